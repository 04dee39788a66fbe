//! Time that passes when it is told, the stand-in, and everything that waits for either.

use crate::clock::{Clock, VirtualTime};
use crate::outcall::{CallFault, Lost, OutAnswer, OutRequest};
use crate::payments::Wire;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lastmile_daraja::{Call, Daraja, Reply};
use model::Monotonic;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Shared by all that waits.
pub(super) struct Sky {
    begin: Timestamp,
    pub(super) clock: Clock,
    time: &'static VirtualTime,
    pub(super) daraja: Mutex<Daraja>,
    pub(super) dice: Mutex<Dice>,
    waits: Mutex<Vec<Waiting>>,
    pub(super) changed: Notify,
}

/// What is waited for by one caller, with others behind him.
const TOKEN: &str = "for a token";

struct Waiting {
    at: Timestamp,
    name: &'static str,
    go: oneshot::Sender<()>,
}

/// Chance of the world's own, apart from the stand-in's.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9) + 1)
    }

    pub(super) fn roll(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(super) fn later(at: Timestamp, ms: u64) -> Timestamp {
    at + SignedDuration::from_millis(i64::try_from(ms).unwrap())
}

impl Sky {
    pub(super) fn new(begin: Timestamp, daraja: Daraja, seed: u64) -> Arc<Self> {
        let (clock, time) = Clock::virtual_at(begin);
        Arc::new(Self {
            begin,
            clock,
            time,
            daraja: Mutex::new(daraja),
            dice: Mutex::new(Dice::new(seed)),
            waits: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// The time as it passes, for all but the daemon.
    pub(super) fn now(&self) -> Timestamp {
        self.begin + self.clock.now().monotonic.since(Monotonic::ZERO)
    }

    /// The daemon's calendar.
    pub(super) fn wall(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// Sets it, ahead or back.
    pub(super) fn jump(&self, by: SignedDuration) {
        self.time.jump_wall(by);
    }

    pub(super) fn pass_until(&self, at: Timestamp) {
        let time = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        self.time.pass(time);
    }

    pub(super) fn roll(&self, bound: u64) -> u64 {
        self.dice.lock().roll(bound)
    }

    /// Waits for that long of our own time; `name` says what for.
    pub(super) async fn wait(&self, name: &'static str, ms: u64) {
        let (go, gone) = oneshot::channel();
        self.waits.lock().push(Waiting { at: later(self.now(), ms), name, go });
        self.changed.notify_one();
        let _ = gone.await;
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waits.lock().iter().filter(|it| !it.go.is_closed()).count()
    }

    /// Whether one waits for a token, and others perhaps for him.
    pub(super) fn is_token_awaited(&self) -> bool {
        self.waits.lock().iter().any(|it| it.name == TOKEN && !it.go.is_closed())
    }

    /// When the first is through.
    pub(super) fn next_wait(&self) -> Option<Timestamp> {
        let waits = self.waits.lock();
        waits.iter().filter(|it| !it.go.is_closed()).map(|it| it.at).min()
    }

    /// Lets one that has waited long enough go on; which of several is chance.
    pub(super) fn let_go(&self) -> bool {
        let now = self.now();
        let mut waits = self.waits.lock();
        waits.retain(|it| !it.go.is_closed());
        let due: Vec<_> = (0..waits.len()).filter(|it| waits[*it].at <= now).collect();
        if due.is_empty() {
            return false;
        }
        let one = due[usize::try_from(self.roll(due.len() as u64)).unwrap()];
        waits.swap_remove(one).go.send(()).is_ok()
    }

    /// What waits now, by its name; all of it is about to be cut off.
    pub(super) fn cut_off(&self, into: &mut BTreeMap<&'static str, u32>) {
        for waiting in self.waits.lock().drain(..).filter(|it| !it.go.is_closed()) {
            *into.entry(waiting.name).or_default() += 1;
        }
    }
}

/// Carries calls to the stand-in, which takes its time.
pub(super) struct Line(pub(super) Arc<Sky>);

#[async_trait]
impl Wire for Line {
    async fn call(&self, request: OutRequest) -> Result<OutAnswer, CallFault> {
        let sky = &self.0;
        // What is on its way while the calendar is set was written by the one before.
        let off = sky.wall().duration_since(sky.now());
        let (before, during) = match request.url.rsplit('/').next() {
            Some("processrequest") => ("before the push", "after the push"),
            Some("query") => ("before a call", "in a call"),
            _ => (TOKEN, TOKEN),
        };
        sky.wait(before, sky.roll(1_000)).await;
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (*name, value.expose().as_str())).collect();
        let path = request.url.strip_prefix("https://daraja.example").unwrap();
        let method = request.method.as_str();
        let body = request.body.expose();
        let call = Call { method, path, headers: &headers, body };
        let reply = {
            let mut daraja = sky.daraja.lock();
            daraja.follow(off);
            daraja.request(&call, sky.now())
        };
        let wait = |after: Duration| sky.wait(during, u64::try_from(after.as_millis()).unwrap());
        match reply {
            Reply::Refused => Err(CallFault::NotSent),
            Reply::Cut { after } => {
                wait(after).await;
                Err(CallFault::Unknown(Lost::Late))
            }
            Reply::Answer(answer) => {
                wait(answer.after).await;
                Ok(OutAnswer::new(answer.status, answer.body.into_bytes()))
            }
        }
    }
}
