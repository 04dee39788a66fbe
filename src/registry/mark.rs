//! How each device stands to what it should be: what a session must know of it before anything is
//! read. It lies beside the device's record, so that a steady session looks at one place.

use super::Registry;
use super::record::Record;
use crate::store::ProvisionMark;
use model::{DeviceId, Tenant};
use provisioning::Standing;
use std::sync::atomic::Ordering;

/// How a device stands to what it should be: 24 bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// The version of the values that it was made from; 0 when there were none.
    pub values: u64,
    /// The state of the profiles that it was decided under; 0 when that was before the start.
    pub generation: u32,
    /// Before when nothing need be done by itself, in whole seconds since 1970.
    pub due_s: u32,
    /// How it stands.
    pub standing: Standing,
    /// What its profiles say is peculiar about it, as bits.
    pub quirks: u8,
    /// Whether something waits for its equipment's claim alone.
    pub awaits_claim: bool,
    /// Whether something that it is decided from has changed, or somebody asked.
    pub is_requested: bool,
    /// Whether an operator asked: what was given up is tried again.
    pub is_ordered: bool,
}

/// What was asked for of a device since it was decided on last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Requested {
    /// Anything.
    pub is_any: bool,
    /// By an operator.
    pub is_ordered: bool,
}

const _: () = assert!(size_of::<Mark>() == 24, "a million of them are 24 MB");

impl Mark {
    /// What the store keeps of it: it is to be decided anew.
    #[must_use]
    pub fn kept(kept: ProvisionMark) -> Self {
        Self { standing: kept.standing, quirks: kept.quirks, ..Self::default() }
    }
}

impl Registry {
    /// How a device stands to what it should be; `None` when it is unknown.
    pub fn mark(&self, tenant: &Tenant, id: &DeviceId) -> Option<Mark> {
        let hash = self.hash_id(tenant, id.as_str());
        let shard = self.shards[hash.shard()].read();
        Some(shard.record(shard.find(hash, tenant, id.as_str())?)?.mark)
    }

    /// It stood so when that was kept last: at start, after the devices.
    pub fn load_mark(&self, tenant: &Tenant, id: &DeviceId, kept: ProvisionMark) {
        self.marked(tenant, id, |record| record.mark = Mark::kept(kept));
    }

    /// It stands so from now on; what was asked for meanwhile stays asked for. `None` when it is
    /// unknown.
    pub fn settle_mark(&self, tenant: &Tenant, id: &DeviceId, mark: Mark) -> Option<()> {
        self.marked(tenant, id, |record| {
            let Mark { is_requested, is_ordered, .. } = record.mark;
            record.mark = Mark { is_requested, is_ordered, ..mark };
        })
    }

    /// It is to be decided anew in its next session, by an operator's order or not. Whether it is
    /// known.
    pub fn request_mark(&self, tenant: &Tenant, id: &DeviceId, is_ordered: bool) -> bool {
        let request = |record: &mut Record| {
            record.mark.is_requested = true;
            record.mark.is_ordered |= is_ordered;
        };
        self.marked(tenant, id, request).is_some()
    }

    /// What was asked for is being looked at.
    pub fn take_request(&self, tenant: &Tenant, id: &DeviceId) -> Requested {
        let take = |record: &mut Record| Requested {
            is_any: std::mem::take(&mut record.mark.is_requested),
            is_ordered: std::mem::take(&mut record.mark.is_ordered),
        };
        self.marked(tenant, id, take).unwrap_or_default()
    }

    /// Whether a device's equipment is claimed, so that secret values may be sent to it.
    pub fn is_claimed(&self, tenant: &Tenant, id: &DeviceId) -> bool {
        self.read(tenant, id, |record, _| record.claimed).unwrap_or(false)
    }

    /// How many devices stand how, of those that were decided on.
    pub fn standings(&self) -> impl Iterator<Item = (Standing, i64)> {
        Standing::ALL
            .into_iter()
            .zip(&self.standings)
            .map(|(standing, count)| (standing, count.load(Ordering::Relaxed)))
    }

    fn marked<T>(
        &self,
        tenant: &Tenant,
        id: &DeviceId,
        change: impl FnOnce(&mut Record) -> T,
    ) -> Option<T> {
        let hash = self.hash_id(tenant, id.as_str());
        let mut shard = self.shards[hash.shard()].write();
        let found = shard.find(hash, tenant, id.as_str());
        let record = found.and_then(|handle| shard.record_mut(handle))?;
        let before = record.mark.standing;
        let changed = change(record);
        let now = record.mark.standing;
        if before != now {
            for (standing, step) in [(before, -1), (now, 1)] {
                // Those that were never decided on are no news: every board is among them.
                if standing != Standing::New {
                    self.standings[standing as usize].fetch_add(step, Ordering::Relaxed);
                }
            }
        }
        Some(changed)
    }
}
