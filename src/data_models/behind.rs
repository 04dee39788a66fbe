//! What devices taught in passing, until it is worth a write.
//!
//! A data model is written whole, some 10 KB, and a session that reads one parameter teaches one
//! value: read, merged and written at once it would cost ten times what the session does. So little
//! lessons wait here, in memory, and the next thing that reads or writes the model takes them along.
//! A crash loses what has waited: what the device said is asked again, and what a command read is in
//! its result.

use dashmap::DashMap;
use jiff::{SignedDuration, Timestamp};
use model::{DataModel, DeviceId, Observation, Tenant};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How long a lesson waits for others at most.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Most entries that wait for one device: beyond it a write is worth it.
const ENTRIES_EACH_MAX: usize = 256;
/// Most entries that wait for all devices together, some 100 bytes each.
const ENTRIES_MAX: usize = 200_000;

type Key = (Tenant, DeviceId);

/// Lessons that wait.
#[derive(Debug, Default)]
pub(super) struct Behind {
    devices: DashMap<Key, Taught>,
    entries: AtomicUsize,
}

/// What one device taught, in order.
#[derive(Debug)]
struct Taught {
    lessons: Lessons,
    entries: usize,
    since: Timestamp,
}

impl Behind {
    /// Takes what waits for a write; gives back what is not to wait.
    pub(super) fn add(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        observations: Vec<Observation>,
        at: Timestamp,
    ) -> Option<Vec<Observation>> {
        let entries: usize = observations.iter().map(Observation::weight).sum();
        if self.entries.load(Ordering::Relaxed) + entries > ENTRIES_MAX {
            return Some(observations);
        }
        let new = || Taught { lessons: Lessons::default(), entries: 0, since: at };
        let mut taught = self.devices.entry((tenant.clone(), device.clone())).or_insert_with(new);
        if taught.entries + entries > ENTRIES_EACH_MAX {
            return Some(observations);
        }
        taught.entries += entries;
        taught.lessons.0.push((at, observations));
        self.entries.fetch_add(entries, Ordering::Relaxed);
        None
    }

    /// What waits for a device, for a copy of its data model.
    pub(super) fn waiting(&self, tenant: &Tenant, device: &DeviceId) -> Lessons {
        let found = self.devices.get(&(tenant.clone(), device.clone()));
        Lessons(found.map_or_else(Vec::new, |taught| taught.lessons.0.clone()))
    }

    /// Takes out what waits for a device, whose data model is to be written now.
    pub(super) fn settle(&self, tenant: &Tenant, device: &DeviceId) -> Lessons {
        self.take(tenant, device).map_or_else(Lessons::default, |taught| taught.lessons)
    }

    /// Forgets what waits for a device.
    pub(super) fn forget(&self, tenant: &Tenant, device: &DeviceId) {
        self.take(tenant, device);
    }

    /// Whose lessons have waited long enough.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Key> {
        let is_due = |taught: &Taught| now.duration_since(taught.since) >= WAIT_MAX;
        self.devices.iter().filter(|it| is_due(it)).map(|it| it.key().clone()).collect()
    }

    /// All whose lessons wait.
    pub(super) fn all(&self) -> Vec<Key> {
        self.devices.iter().map(|it| it.key().clone()).collect()
    }

    fn take(&self, tenant: &Tenant, device: &DeviceId) -> Option<Taught> {
        let (_, taught) = self.devices.remove(&(tenant.clone(), device.clone()))?;
        self.entries.fetch_sub(taught.entries, Ordering::Relaxed);
        Some(taught)
    }
}

/// What was taught when, in order.
#[derive(Debug, Default)]
pub(super) struct Lessons(Vec<(Timestamp, Vec<Observation>)>);

impl Lessons {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn teach(&self, model: &mut DataModel) {
        for (at, observations) in &self.0 {
            for observation in observations {
                model.learn(observation, *at);
            }
        }
    }
}
