//! The credentials that devices have, in memory: by device and by user name.

use crate::store::CredentialRow;
use dashmap::DashMap;
use model::{DeviceId, Protocol, Tenant};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// How many devices' credentials can be changed at once: changes wait for a group commit, not for
/// each other. A storm of first sign-ins fills a group of this size.
const TURNS: usize = 1_024;

/// Which device's, in which protocol.
pub(super) type Place = (Protocol, Tenant, DeviceId);

/// What one device may present: up to two in each protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    /// What it uses.
    pub(super) used: Option<Arc<CredentialRow>>,
    /// What it was given and has not used yet.
    pub(super) next: Option<Arc<CredentialRow>>,
}

impl Pair {
    /// Those of that name.
    fn named(&self, username: &str) -> Self {
        let of = |row: &Option<Arc<CredentialRow>>| {
            row.as_ref().filter(|row| &*row.username == username).cloned()
        };
        Self { used: of(&self.used), next: of(&self.next) }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [&self.used, &self.next].into_iter().flatten().map(|row| &*row.username)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Kept {
    by_device: DashMap<Place, Pair>,
    by_name: DashMap<(Protocol, Box<str>), Pair>,
    /// Held from before a change goes to the disk until it is known, so that changes of one device
    /// are known in the order in which they were kept.
    turns: Box<[Mutex<()>]>,
}

impl Default for Kept {
    fn default() -> Self {
        let turns = (0..TURNS).map(|_| Mutex::default()).collect();
        Self { by_device: DashMap::new(), by_name: DashMap::new(), turns }
    }
}

impl Kept {
    /// Waits until nobody else changes what the device has.
    pub(super) async fn turn(&self, place: &Place) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(place);
        let index = usize::try_from(hash % TURNS as u64).expect("less than the number of turns");
        self.turns[index].lock().await
    }

    pub(super) fn of_device(&self, place: &Place) -> Pair {
        self.by_device.get(place).map(|pair| pair.clone()).unwrap_or_default()
    }

    pub(super) fn of_name(&self, protocol: Protocol, username: &str) -> Pair {
        let pair = self.by_name.get(&(protocol, username.into())).map(|pair| pair.clone());
        pair.unwrap_or_default()
    }

    /// Replaces what a device has.
    pub(super) fn set(&self, place: &Place, pair: Pair) {
        let old = self.of_device(place);
        for name in pair.names() {
            self.by_name.insert((place.0, name.into()), pair.named(name));
        }
        for name in old.names().filter(|name| pair.names().all(|kept| kept != *name)) {
            self.by_name.remove(&(place.0, name.into()));
        }
        if pair.names().next().is_some() {
            self.by_device.insert(place.clone(), pair);
        } else {
            self.by_device.remove(place);
        }
    }
}
