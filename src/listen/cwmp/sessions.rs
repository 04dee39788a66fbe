//! CWMP sessions in progress: found by cookie or by connection, one for each device.
//!
//! A session has one owner at a time: this table while the device is silent, the request that it
//! came with while it is served. So no lock is held while a fact goes to the disk.

use cwmp::{CloseReason, Session};
use dashmap::DashMap;
use model::{DeviceId, Monotonic, Random as _, Tenant};
use std::fmt;

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
}

/// What a session remembers of its Inform.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) root: &'static str,
    pub(crate) is_bootstrap: bool,
    /// Where it came from.
    pub(crate) from: std::net::IpAddr,
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
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    resting: DashMap<SessionKey, Box<Owned>>,
    current: DashMap<(Tenant, DeviceId), SessionKey>,
}

impl Sessions {
    /// Makes `key` the device's one session; returns the one it supersedes, if that is at rest.
    pub(crate) fn begin(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        key: SessionKey,
    ) -> Option<Box<Owned>> {
        let old = self.current.insert((tenant.clone(), device.clone()), key)?;
        self.resting.remove(&old).map(|(_, owned)| owned)
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
        if !self.is_current(&owned) {
            return Some(owned);
        }
        self.resting.insert(owned.key, owned);
        None
    }

    /// Forgets a session that is over.
    pub(crate) fn end(&self, owned: &Owned) {
        let place = (owned.tenant.clone(), owned.device.clone());
        self.current.remove_if(&place, |_, key| *key == owned.key);
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
        self.current.len()
    }

    fn is_current(&self, owned: &Owned) -> bool {
        let place = (owned.tenant.clone(), owned.device.clone());
        self.current.get(&place).is_some_and(|key| *key == owned.key)
    }
}
