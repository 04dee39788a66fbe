//! CWMP sessions in progress: found by cookie or by connection, one for each device.
//!
//! A session has one owner at a time: this table while the device is silent, the request that it
//! came with while it is served. So no lock is held while a fact goes to the disk.

use super::lessons::Lessons;
use super::provision::Course;
use cwmp::{CloseReason, Quirks, Session};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use jiff::Timestamp;
use model::{CommandId, DeviceId, Monotonic, Random as _, Tenant};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The name of a session: 128 random bits, which a cookie carries.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct SessionKey(u128);

impl SessionKey {
    /// A name that nobody can guess.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        crate::clock::SystemRandom.fill(&mut bytes);
        Self(u128::from_ne_bytes(bytes))
    }

    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A session and whose it is.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) key: SessionKey,
    pub(crate) session: Session,
    pub(crate) tenant: Tenant,
    pub(crate) device: DeviceId,
    /// From the Inform: what the base profile is decided from.
    pub(crate) inform: Introduction,
    /// When the session ends whatever happens.
    pub(crate) ends_at: Monotonic,
    /// Whether the base profile was decided in this session.
    pub(crate) is_set_up: bool,
    /// Connection request credentials on their way to the device, to be kept once it took them.
    pub(crate) offered: Option<crate::wake::SignIn>,
    /// Credentials of its own on their way to the device.
    pub(crate) pushing: Option<crate::credentials::Pushing>,
    /// What the device told of its data model and is not kept yet.
    pub(super) lessons: Lessons,
    /// Whether the whole data model was learned in this session.
    pub(crate) is_discovered: bool,
    /// How far the session is with the device's profile.
    pub(crate) course: Course,
    /// Refreshes that the session was given, and whether each is of all that the device has.
    pub(crate) refreshes: Vec<(CommandId, bool)>,
}

/// What a session remembers of its Inform.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) root: &'static str,
    pub(crate) is_bootstrap: bool,
    /// Its event codes, unless they are those that every session has.
    pub(crate) events: Vec<Box<str>>,
    /// When it came, in whole seconds: what is learned in the session is not older.
    pub(crate) at: Timestamp,
    /// What is peculiar about its model.
    pub(crate) quirks: Quirks,
    /// Whether the device has just restarted.
    pub(crate) is_booting: bool,
    /// Where it came from.
    pub(crate) from: std::net::IpAddr,
    /// At which host of ours, as it said.
    pub(crate) called_at: Option<Box<str>>,
}

impl Owned {
    /// The device, as provisioning sees it.
    pub(crate) fn subject(&self) -> crate::provision::Subject<'_> {
        crate::provision::Subject {
            tenant: &self.tenant,
            device: &self.device,
            root: self.inform.root,
            is_bootstrap: self.inform.is_bootstrap,
            inform_interval_s: self.session.facts().and_then(|facts| facts.periodic_interval_s),
        }
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    resting: DashMap<SessionKey, Box<Owned>>,
    current: DashMap<(Tenant, DeviceId), SessionKey>,
    /// How many devices are in one.
    count: AtomicUsize,
    max: usize,
}

/// As many devices are in a session as may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooManySessions;

impl Sessions {
    /// Room for `max` devices at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { resting: DashMap::new(), current: DashMap::new(), count: AtomicUsize::new(0), max }
    }

    /// Whether the device may begin a session: one that is in a session takes its own place again.
    pub(crate) fn have_room_for(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        self.len() < self.max || self.current.contains_key(&(tenant.clone(), device.clone()))
    }

    /// Makes `key` the device's one session; returns the one it supersedes, if that is at rest.
    pub(crate) fn begin(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        key: SessionKey,
    ) -> Result<Option<Box<Owned>>, TooManySessions> {
        let old = match self.current.entry((tenant.clone(), device.clone())) {
            Entry::Occupied(mut current) => current.insert(key),
            Entry::Vacant(place) => {
                let more = |count| (count < self.max).then_some(count + 1);
                let taken = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
                taken.map_err(|_| TooManySessions)?;
                place.insert(key);
                return Ok(None);
            }
        };
        Ok(self.resting.remove(&old).map(|(_, owned)| owned))
    }

    /// Takes a session out, to be served.
    pub(crate) fn take(&self, key: SessionKey) -> Option<Box<Owned>> {
        self.resting.remove(&key).map(|(_, owned)| owned)
    }

    /// Whether there is such a session at rest.
    pub(crate) fn holds(&self, key: SessionKey) -> bool {
        self.resting.contains_key(&key)
    }

    /// Whose session it is, if it is at rest.
    pub(crate) fn device(&self, key: SessionKey) -> Option<DeviceId> {
        self.resting.get(&key).map(|owned| owned.device.clone())
    }

    /// Puts a session back to rest; gives it back when the device has begun another meanwhile.
    pub(crate) fn rest(&self, owned: Box<Owned>) -> Option<Box<Owned>> {
        let (key, place) = (owned.key, (owned.tenant.clone(), owned.device.clone()));
        self.resting.insert(key, owned);
        // In this order: whoever supersedes it from now on finds it at rest.
        if self.current.get(&place).is_some_and(|current| *current == key) {
            return None;
        }
        self.take(key)
    }

    /// Forgets a session that is over.
    pub(crate) fn end(&self, owned: &Owned) {
        let place = (owned.tenant.clone(), owned.device.clone());
        if self.current.remove_if(&place, |_, key| *key == owned.key).is_some() {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Takes out what has been silent too long, or all when `now` is [`Monotonic::NEVER`].
    pub(crate) fn overdue(&self, now: Monotonic) -> Vec<(Box<Owned>, CloseReason)> {
        let is_due = |owned: &Owned| now >= owned.session.deadline().min(owned.ends_at);
        let due: Vec<SessionKey> =
            self.resting.iter().filter(|it| is_due(it)).map(|it| *it.key()).collect();
        let reason =
            if now == Monotonic::NEVER { CloseReason::Stopping } else { CloseReason::Silent };
        let taken =
            due.into_iter().filter_map(|key| self.resting.remove_if(&key, |_, it| is_due(it)));
        taken.map(|(_, owned)| (owned, reason)).collect()
    }

    /// How many devices are in a session.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_session_and_all_together_have_a_bound() {
        let sessions = Sessions::new(2);
        let tenant = Tenant::default();
        let device = |serial: &str| DeviceId::cwmp("00259E", "X", serial).unwrap();
        let begin = |serial: &str| {
            sessions.begin(&tenant, &device(serial), SessionKey::random()).map(|old| old.is_some())
        };
        assert_eq!((begin("1"), begin("2")), (Ok(false), Ok(false)));
        assert_eq!(begin("3"), Err(TooManySessions));
        let has_room = |serial| sessions.have_room_for(&tenant, &device(serial));
        assert_eq!((has_room("3"), has_room("2")), (false, true));
        assert_eq!((begin("1"), sessions.len()), (Ok(false), 2), "it takes its own place again");
    }
}
