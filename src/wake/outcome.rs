//! What became of waking: why not, by which way, and who waits to hear it.
//!
//! In memory and bounded: after a restart nothing was tried yet.

use super::error::WakeError;
use dashmap::DashMap;
use jiff::Timestamp;
use model::{DeviceId, Monotonic, Tenant};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, mpsc, oneshot};

/// How many devices' last tries are remembered before old ones are forgotten: some 30 MB.
const REMEMBERED_MAX: usize = 100_000;
/// How old a try may be when room is needed; the next is tried when that made none.
const AGES: [Duration; 4] =
    [Duration::from_secs(3_600), Duration::from_secs(600), Duration::from_secs(60), PAUSE];
/// Least time between two requests to one device, as design and TR-069 3.2.2 ask.
const PAUSE: Duration = Duration::from_secs(1);
/// Operators' requests that may wait; beyond it they are refused.
const ASKED_MAX: usize = 1_000;

pub(super) type Key = (Tenant, DeviceId);

/// How a device was called.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Way {
    /// TR-069 3.2.2.
    Http,
    /// The same over TLS.
    Https,
    /// TR-069 Annex G.
    Udp,
}

impl Way {
    /// The word in labels and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
        }
    }
}

/// What became of the last try to wake a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// `woken`, or a stable word for why not.
    pub code: &'static str,
    /// Why not, in plain words.
    pub cause: Option<Box<str>>,
    /// By which way; none when there was none.
    pub way: Option<Way>,
    /// When it was known.
    pub at: Timestamp,
}

impl Outcome {
    /// The code of a device that is awake: by HTTP it said so, by UDP it came.
    pub const WOKEN: &str = "woken";

    pub(super) fn new(result: &Result<(), WakeError>, way: Option<Way>, at: Timestamp) -> Self {
        let code = result.as_ref().map_or_else(WakeError::code, |()| Self::WOKEN);
        let cause = result.as_ref().err().map(|error| error.to_string().into());
        Self { code, cause, way, at }
    }

    /// Whether the device is awake.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.code == Self::WOKEN
    }
}

/// Somebody wants a device awake, without a command for it.
#[derive(Debug)]
pub struct Ask {
    pub(super) key: Key,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// Why a device is not woken for whoever asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// Too many wait already.
    #[error("{ASKED_MAX} devices wait to be woken already")]
    TooMany,
    /// Nobody is woken any more.
    #[error("the daemon is stopping")]
    Stopping,
}

/// What is remembered of one device.
#[derive(Clone, Debug, Default)]
struct Remembered {
    /// When its last turn is or was.
    turn: Option<Monotonic>,
    outcome: Option<Outcome>,
    worked: Option<Way>,
}

/// Last tries, and who waits for what.
#[derive(Debug)]
pub struct Wakes {
    asks: mpsc::Sender<Ask>,
    devices: DashMap<Key, Remembered>,
    /// Devices that were called by UDP: only their session shows that they heard it.
    called: DashMap<Key, Arc<Notify>>,
    /// Devices that are being woken for their commands: a second command needs no second waking.
    under_way: DashMap<Key, ()>,
}

impl Wakes {
    /// Nothing tried yet; the receiver is the waker's.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        let (devices, called, under_way) = (DashMap::new(), DashMap::new(), DashMap::new());
        (Arc::new(Self { asks, devices, called, under_way }), asked)
    }

    /// Has a device woken; the answer comes when that succeeded or was given up.
    pub fn ask(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<oneshot::Receiver<Outcome>, AskError> {
        let (answer, outcome) = oneshot::channel();
        let key = (tenant.clone(), device.clone());
        match self.asks.try_send(Ask { key, answer }) {
            Ok(()) => Ok(outcome),
            Err(mpsc::error::TrySendError::Full(_)) => Err(AskError::TooMany),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AskError::Stopping),
        }
    }

    /// What became of the last try; `None` when none is remembered.
    #[must_use]
    pub fn last(&self, tenant: &Tenant, device: &DeviceId) -> Option<Outcome> {
        self.devices.get(&(tenant.clone(), device.clone())).and_then(|it| it.outcome.clone())
    }

    /// A device began a session with `6 CONNECTION REQUEST`.
    pub fn informed(&self, tenant: &Tenant, device: &DeviceId) {
        if let Some(called) = self.called.get(&(tenant.clone(), device.clone())) {
            called.notify_waiters();
        }
    }

    /// Begins to wake a device for its commands; `None` while that is under way already.
    pub(super) fn begin(self: &Arc<Self>, key: &Key) -> Option<UnderWay> {
        let earlier = self.under_way.insert(key.clone(), ());
        earlier.is_none().then(|| UnderWay { wakes: Arc::clone(self), key: key.clone() })
    }

    /// Waits for a device's next session that answers a connection request, from now on.
    pub(super) fn await_inform(self: &Arc<Self>, key: &Key) -> Called {
        let notify = Arc::clone(&self.called.entry(key.clone()).or_default());
        let mut heard = Box::pin(notify.notified_owned());
        heard.as_mut().enable();
        Called { wakes: Arc::clone(self), key: key.clone(), heard: Some(heard) }
    }

    /// Takes a device's next turn: turns of one device lie [`PAUSE`] apart. How long it is until then.
    pub(super) fn take_turn(&self, key: &Key, now: Monotonic) -> Duration {
        self.make_room(now);
        let mut device = self.devices.entry(key.clone()).or_default();
        let turn = device.turn.map_or(now, |last| (last + PAUSE).max(now));
        device.turn = Some(turn);
        turn.since(now)
    }

    /// Which way worked last.
    pub(super) fn worked(&self, key: &Key) -> Option<Way> {
        self.devices.get(key).and_then(|it| it.worked)
    }

    pub(super) fn remember(&self, key: &Key, outcome: &Outcome) {
        let mut device = self.devices.entry(key.clone()).or_default();
        if outcome.is_woken() {
            device.worked = outcome.way;
        }
        device.outcome = Some(outcome.clone());
    }

    fn make_room(&self, now: Monotonic) {
        for age in AGES {
            if self.devices.len() < REMEMBERED_MAX {
                return;
            }
            self.devices.retain(|_, it| it.turn.is_some_and(|turn| turn + age > now));
        }
    }
}

/// A device that is being woken, until this is dropped.
pub(super) struct UnderWay {
    wakes: Arc<Wakes>,
    key: Key,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.wakes.under_way.remove(&self.key);
    }
}

/// A device that was called by UDP.
pub(super) struct Called {
    wakes: Arc<Wakes>,
    key: Key,
    heard: Option<Pin<Box<OwnedNotified>>>,
}

impl Called {
    /// Waits until it informs.
    pub(super) async fn informed(&mut self) {
        if let Some(heard) = &mut self.heard {
            heard.as_mut().await;
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        // Another that waits for the same device holds the same bell.
        drop(self.heard.take());
        self.wakes.called.remove_if(&self.key, |_, notify| Arc::strong_count(notify) == 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: usize) -> Key {
        (Tenant::default(), DeviceId::parse(&format!("cwmp:00D09E-{serial}")).unwrap())
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::ZERO + Duration::from_secs(1_000 + seconds)
    }

    #[test]
    fn turns_of_one_device_lie_a_second_apart() {
        let (wakes, _) = Wakes::new();
        let wait = |serial, now| wakes.take_turn(&key(serial), at(now)).as_secs();
        assert_eq!([wait(1, 0), wait(1, 0), wait(1, 0), wait(2, 0)], [0, 1, 2, 0]);
        assert_eq!([wait(1, 3), wait(1, 3), wait(1, 60)], [0, 1, 0]);
    }

    #[test]
    fn what_worked_last_is_remembered_beside_what_became_of_it() {
        let (wakes, _) = Wakes::new();
        let (tenant, device) = key(1);
        assert_eq!(wakes.last(&tenant, &device), None);
        let now = Timestamp::UNIX_EPOCH;
        wakes.remember(&key(1), &Outcome::new(&Ok(()), Some(Way::Udp), now));
        wakes.remember(&key(1), &Outcome::new(&Err(WakeError::Busy), Some(Way::Http), now));
        assert_eq!(wakes.worked(&key(1)), Some(Way::Udp));
        let last = wakes.last(&tenant, &device).unwrap();
        assert_eq!((last.code, last.way), ("busy", Some(Way::Http)));
        assert_eq!(last.cause.as_deref(), Some("the device is busy"));
    }

    #[test]
    fn the_oldest_tries_are_forgotten_when_there_are_many() {
        let (wakes, _) = Wakes::new();
        for serial in 0..REMEMBERED_MAX {
            wakes.take_turn(&key(serial), at(if serial < 1_000 { 0 } else { 3_000 }));
        }
        wakes.take_turn(&key(REMEMBERED_MAX), at(4_000));
        assert_eq!(wakes.devices.len(), REMEMBERED_MAX - 1_000 + 1);
        wakes.take_turn(&key(REMEMBERED_MAX + 1), at(1_000_000));
        assert!(wakes.devices.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn a_device_is_woken_once_for_all_its_commands() {
        let (wakes, _) = Wakes::new();
        let first = wakes.begin(&key(1));
        assert!(
            first.is_some() && wakes.begin(&key(1)).is_none() && wakes.begin(&key(2)).is_some()
        );
        drop(first);
        assert!(wakes.begin(&key(1)).is_some());
    }

    #[test]
    fn no_more_are_asked_for_than_wait() {
        let (wakes, asked) = Wakes::new();
        let (tenant, device) = key(1);
        for _ in 0..ASKED_MAX {
            assert!(wakes.ask(&tenant, &device).is_ok());
        }
        assert_eq!(wakes.ask(&tenant, &device).unwrap_err(), AskError::TooMany);
        drop(asked);
        assert_eq!(wakes.ask(&tenant, &device).unwrap_err(), AskError::Stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_told_to_all_who_called_and_nothing_is_left() {
        let (wakes, _) = Wakes::new();
        let (tenant, device) = key(1);
        wakes.informed(&tenant, &device);
        let (mut first, mut second) = (wakes.await_inform(&key(1)), wakes.await_inform(&key(1)));
        let mut other = wakes.await_inform(&key(2));
        wakes.informed(&tenant, &device);
        first.informed().await;
        drop(first);
        second.informed().await;
        let waited = tokio::time::timeout(Duration::from_secs(5), other.informed()).await;
        assert!(waited.is_err(), "another device's session is not its own");
        drop((second, other));
        assert!(wakes.called.is_empty());
    }
}
