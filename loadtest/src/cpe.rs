//! Routers and ONTs: a data model each, sessions, and a door to knock at.

mod device;
mod errand;
mod session;
mod wake;

pub(crate) use device::Device;
pub(crate) use session::SessionError;
pub(crate) use wake::{Door, Doors};

use crate::digest::Signer;
use crate::http::Tls;
use crate::meter::Kind;
use crate::world::World;
use cwmp::{Body, EventStruct};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// Time a router needs to restart: short, for tests; real ones take two minutes.
const RESTART: Duration = Duration::from_secs(1);

/// Wait before a failed session is tried again (TR-069 3.2.1.1 begins at 5 s; a test is impatient).
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What one router is and does.
#[derive(Clone)]
pub(crate) struct Spec {
    /// Its place in the ledger.
    pub(crate) stream: u32,
    /// User name and password until it is given its own.
    pub(crate) credentials: Option<(String, String)>,
    /// TLS, where it is asked for.
    pub(crate) tls: Option<Tls>,
    /// Time between two sessions.
    pub(crate) interval: Duration,
    /// Of how many sessions one brings a changed value; 0 is none.
    pub(crate) change_every: u32,
    /// Count an Inform's time from when it was due, not from when it was sent.
    pub(crate) from_due: bool,
    /// When the first is due.
    pub(crate) offset: Duration,
    /// Where it is knocked at.
    pub(crate) door: Arc<Door>,
    /// Which address of this machine it calls from; any when absent.
    pub(crate) from: Option<IpAddr>,
}

/// A router between sessions.
pub(crate) struct Cpe {
    world: Arc<World>,
    spec: Spec,
    device: Device,
    signer: Option<Signer>,
    /// What it must tell, and the fact that this is.
    events: Vec<EventStruct>,
    fact: Option<u32>,
    /// What it must tell beside that, once it has informed.
    to_tell: Vec<Body>,
    retries: u32,
}

impl Cpe {
    /// One that has just been unpacked.
    pub(crate) fn new(world: Arc<World>, spec: Spec, device: Device) -> Self {
        let events = vec![event(EventStruct::BOOTSTRAP, ""), event(EventStruct::BOOT, "")];
        let to_tell = Vec::new();
        Self { world, spec, device, signer: None, events, fact: None, to_tell, retries: 0 }
    }

    /// Lives until the load ends.
    pub(crate) async fn run(mut self) {
        let mut due = Instant::now() + self.spec.offset;
        let mut sessions = 0_u32;
        let mut known = false;
        loop {
            let errand = self.device.next_errand();
            let next = errand.map_or(due, |it| it.min(due));
            let woken = tokio::select! {
                () = self.world.stop.cancelled() => return,
                () = sleep_until(next.into()) => false,
                () = self.spec.door.knocked(), if known => true,
            };
            let is_periodic = !woken && errand.is_none_or(|it| it >= due);
            let began = if self.spec.from_due && is_periodic { due } else { Instant::now() };
            while let Some(errand) = self.device.take_errand(Instant::now()) {
                self.carry_out(errand).await;
            }
            if woken {
                self.events.push(event(EventStruct::CONNECTION_REQUEST, ""));
            } else if self.events.is_empty() {
                sessions += 1;
                self.periodic(sessions);
            }
            match self.session(began).await {
                Ok(()) => {
                    if !known {
                        known = true;
                        self.world.is_ready();
                    }
                    if is_periodic {
                        due += self.spec.interval;
                    }
                }
                Err(error) => {
                    self.world.meter.error(Kind::CwmpSession, error.to_string());
                    self.retries += 1;
                    sleep(RETRY_AFTER).await;
                    if !self.spec.from_due {
                        due = Instant::now();
                    }
                }
            }
        }
    }

    /// One session for the next in turn, without a clock, and what it leaves to be done. Returns
    /// whether it went well.
    pub(crate) async fn once(&mut self) -> bool {
        if self.events.is_empty() {
            self.periodic(0);
        }
        if let Err(error) = self.session(Instant::now()).await {
            self.world.meter.error(Kind::CwmpSession, error.to_string());
            self.retries += 1;
            return false;
        }
        while let Some(due) = self.device.next_errand() {
            sleep_until(due.into()).await;
            if let Some(errand) = self.device.take_errand(due) {
                self.carry_out(errand).await;
            }
        }
        true
    }

    /// One session of a router that has just been switched on, with all that goes wrong told.
    pub(crate) async fn boot(&mut self) -> Result<(), SessionError> {
        if self.events.is_empty() {
            self.events.push(event(EventStruct::BOOT, ""));
        }
        let held = self.session(Instant::now()).await;
        self.retries += u32::from(held.is_err());
        held
    }

    /// How many calls of the server it has answered since the last time this was asked.
    pub(crate) fn take_calls(&mut self) -> u64 {
        self.device.take_calls()
    }

    /// Its serial number.
    pub(crate) fn serial(&self) -> String {
        self.device.identity().serial.to_string()
    }

    /// What a parameter holds, passwords too; nothing where it has none of that path.
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        self.device.value(path)
    }

    fn periodic(&mut self, sessions: u32) {
        self.events.push(event(EventStruct::PERIODIC, ""));
        if self.spec.change_every > 0 && sessions.is_multiple_of(self.spec.change_every) {
            self.events.push(event(EventStruct::VALUE_CHANGE, ""));
        }
    }

    /// Whether what it must tell is a fact that the daemon keeps for sure.
    fn brings_news(&self) -> bool {
        const NEWS: [&str; 3] =
            [EventStruct::BOOTSTRAP, EventStruct::BOOT, EventStruct::VALUE_CHANGE];
        self.events.iter().any(|event| NEWS.contains(&&*event.code))
    }
}

fn event(code: &str, command_key: &str) -> EventStruct {
    EventStruct { code: code.into(), command_key: command_key.into() }
}

/// The time as CWMP writes it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
