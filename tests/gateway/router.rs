//! Routers with the trees of real makes: they hold what they are told, refuse what their kind
//! refuses, restart, forget, fetch images, and misbehave on order.
//!
//! Their parameters are those of the load's routers, by the same code.

mod door;
mod script;
mod session;

pub(crate) use self::script::{Mishap, Trick};
pub(crate) use self::session::{End, Visit};

use self::script::Script;
use crate::daemon::Daemon;
use crate::tree::{Model, Names, Tree};
use cwmp::{Body, Request, Response};
use model::DeviceId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Most sessions that one thing leads to: more would be a gateway that never ends.
const SESSIONS_MAX: usize = 12;

/// A router between its sessions.
#[derive(Debug)]
pub(crate) struct Router {
    serial: String,
    cwmp: u16,
    public: u16,
    /// What it enrols with.
    secret: String,
    tree: Mutex<Tree>,
    script: Mutex<Script>,
    /// What it has yet to do, and to tell.
    pending: Mutex<Pending>,
    /// Every session that it had.
    history: Mutex<Vec<Visit>>,
    held_one: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    /// Calls that are carried out after the session.
    errands: Vec<Request>,
    /// Events of its next Inform.
    events: Vec<(String, String)>,
    /// What it tells after it has informed.
    to_tell: Vec<Body>,
    /// Sessions that failed since the last that did not.
    retries: u32,
}

impl Router {
    /// One of that model (`tplink-xx230v`), fresh from the factory, that cannot be woken.
    pub(crate) fn new(daemon: &Daemon, model: &str, serial: &str) -> Self {
        Self::of(daemon, Arc::new(Model::named(model).unwrap()), serial, String::new())
    }

    /// Many of one model share what their kind has.
    pub(crate) fn of(daemon: &Daemon, model: Arc<Model>, serial: &str, wake_url: String) -> Self {
        // Locally administered, so that it is nobody's.
        let hash =
            serial.bytes().fold(7_u32, |sum, it| sum.wrapping_mul(31).wrapping_add(it.into()));
        let [a, b, c, d] = hash.to_be_bytes();
        let mac = format!("02:0A:{a:02X}:{b:02X}:{c:02X}:{d:02X}");
        let names = Names { serial: serial.to_owned(), mac, wake_url };
        Self {
            serial: serial.to_owned(),
            cwmp: daemon.ports.cwmp,
            public: daemon.ports.public,
            secret: daemon.enrolment(),
            tree: Mutex::new(Tree::new(model, names)),
            script: Mutex::default(),
            pending: Mutex::default(),
            history: Mutex::default(),
            held_one: Condvar::new(),
        }
    }

    /// Its serial number, as the business knows it.
    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// Its identity as events spell it.
    pub(crate) fn id(&self) -> String {
        let who = self.tree.lock().unwrap().identity();
        DeviceId::cwmp(&who.oui, &who.product_class, &who.serial).unwrap().as_str().to_owned()
    }

    /// Where the API has it.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/devices/{}", self.id().replace('%', "%25"))
    }

    /// What the API says of it.
    pub(crate) fn shown(&self, daemon: &Daemon) -> Value {
        daemon.call("GET", &self.path(), &Value::Null)
    }

    /// How it stands to its profile, by the API.
    pub(crate) fn provisioning(&self, daemon: &Daemon) -> Value {
        self.shown(daemon)["provisioning"].clone()
    }

    /// A value that it holds, passwords too.
    pub(crate) fn value(&self, path: &str) -> String {
        let value = self.tree.lock().unwrap().value(path);
        value.unwrap_or_else(|| panic!("{} has no {path}", self.serial))
    }

    /// The same, without its root.
    pub(crate) fn value_below_root(&self, path: &str) -> String {
        self.tree.lock().unwrap().value_below_root(path).unwrap_or_default()
    }

    /// Whether it has that parameter.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.tree.lock().unwrap().value(path).is_some()
    }

    /// Everything that it holds, passwords too.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        self.tree.lock().unwrap().values()
    }

    /// Paths of the instances that a table has now.
    pub(crate) fn instances(&self, table: &str) -> Vec<String> {
        let values = self.values();
        let mut instances: Vec<_> = values
            .keys()
            .filter_map(|path| {
                let number = path.strip_prefix(table)?.split('.').next()?;
                Some(format!("{table}{number}."))
            })
            .collect();
        instances.dedup();
        instances
    }

    /// Makes an object as its owner does at its own pages.
    pub(crate) fn make(&self, table: &str) -> String {
        let add = Request::AddObject { object: table.into(), parameter_key: Box::default() };
        let made = self.tree.lock().unwrap().answer(&add);
        let Some(Ok(Response::AddObject { instance, .. })) = made else { panic!("{made:?}") };
        format!("{table}{instance}.")
    }

    /// Its MAC address.
    pub(crate) fn mac(&self) -> String {
        self.tree.lock().unwrap().names().mac.clone()
    }

    /// Its owner changes something at its own pages.
    pub(crate) fn change(&self, path: &str, value: &str) {
        assert!(self.has(path), "{path}");
        self.tree.lock().unwrap().change(path, value);
    }

    /// Refuses to set a parameter from now on, or to add to a table; `None` takes it again.
    pub(crate) fn refuse(&self, path: &str, code: Option<u16>) {
        self.tree.lock().unwrap().refuse(path, code);
    }

    /// Takes a parameter from now on, says that all went well, and leaves it as it is.
    pub(crate) fn ignore(&self, path: &str) {
        self.tree.lock().unwrap().ignore(path);
    }

    /// Refuses whole calls from now on, without a word about which part it was.
    pub(crate) fn names_no_culprit(&self) {
        self.script.lock().unwrap().is_mute = true;
    }

    /// Plays a trick at the next call of that name.
    pub(crate) fn play(&self, call: &'static str, trick: Trick) {
        self.play_nth(call, 1, trick);
    }

    /// Plays a trick at the nth call of that name from now on.
    pub(crate) fn play_nth(&self, call: &'static str, nth: u32, trick: Trick) {
        self.script.lock().unwrap().tricks.push((call, nth, trick));
    }

    /// Whether a trick has not been played yet.
    pub(crate) fn has_tricks(&self) -> bool {
        !self.script.lock().unwrap().tricks.is_empty()
    }

    /// What goes wrong with each image from now on; `None`: nothing.
    pub(crate) fn mishap(&self, mishap: Option<Mishap>) {
        self.script.lock().unwrap().mishap = mishap;
    }

    /// One session that begins with these events, and all that follows from it: restarts, images,
    /// a return to factory settings. Every session must come to its end.
    pub(crate) fn live(&self, events: &[&str]) -> Vec<Visit> {
        let visits = self.try_live(events);
        for visit in &visits {
            visit.assert_ended();
        }
        visits
    }

    /// The same, until one does not come to its end; what is not told by then waits.
    pub(crate) fn try_live(&self, events: &[&str]) -> Vec<Visit> {
        let mut visits = Vec::new();
        self.expect_events(events);
        loop {
            let visit = self.once();
            let is_done = matches!(visit.end, End::Done);
            visits.push(visit);
            assert!(
                visits.len() < SESSIONS_MAX,
                "{} never comes to rest: {visits:#?}",
                self.serial
            );
            if !is_done || !self.carry_out() {
                return visits;
            }
        }
    }

    /// One session that begins with these events, however it ends; what follows from it waits.
    pub(crate) fn visit(&self, events: &[&str]) -> Visit {
        self.expect_events(events);
        self.once()
    }

    /// A session of a router that has nothing to say.
    pub(crate) fn periodic(&self) -> Visit {
        let visit = self.visit(&["2 PERIODIC"]);
        visit.assert_ended();
        visit
    }

    /// Its owner presses the button: all is as it left the factory, and it says so.
    pub(crate) fn factory_reset(&self) -> Vec<Visit> {
        self.forget();
        self.live(&[])
    }

    /// Every session that it had so far.
    pub(crate) fn history(&self) -> Vec<Visit> {
        self.history.lock().unwrap().clone()
    }

    /// Waits until it has had more sessions than `before`; those.
    pub(crate) fn visits_after(&self, before: usize, patience: Duration) -> Vec<Visit> {
        let deadline = Instant::now() + patience;
        let mut history = self.history.lock().unwrap();
        while history.len() <= before {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} was not heard of", self.serial);
            history = self.held_one.wait_timeout(history, left).unwrap().0;
        }
        history[before..].to_vec()
    }

    fn expect_events(&self, events: &[&str]) {
        let mut pending = self.pending.lock().unwrap();
        for event in events {
            pending.happened(event, "");
        }
    }

    fn once(&self) -> Visit {
        let visit = self.session();
        let mut history = self.history.lock().unwrap();
        history.push(visit.clone());
        self.held_one.notify_all();
        visit
    }

    fn forget(&self) {
        self.tree.lock().unwrap().forget();
        let mut pending = self.pending.lock().unwrap();
        pending.events.clear();
        pending.happened("0 BOOTSTRAP", "");
        pending.happened("1 BOOT", "");
    }

    /// Carries out what it was told to do after its session; whether there is something to tell.
    fn carry_out(&self) -> bool {
        let errands = std::mem::take(&mut self.pending.lock().unwrap().errands);
        for errand in errands {
            match errand {
                Request::Reboot { command_key } => {
                    let mut pending = self.pending.lock().unwrap();
                    pending.happened("1 BOOT", "");
                    pending.happened("M Reboot", &command_key);
                }
                Request::FactoryReset => self.forget(),
                Request::Download(download) => self.download(&download),
                other => panic!("{} is no errand", other.name()),
            }
        }
        !self.pending.lock().unwrap().events.is_empty()
    }
}

impl Pending {
    fn happened(&mut self, code: &str, command_key: &str) {
        let event = (code.to_owned(), command_key.to_owned());
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }
}
