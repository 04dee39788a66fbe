//! Our own backend: which names it knows is in memory, the documents are in the store.

use super::{EMBEDDED_FRESH, Found, Inner, Values};
use crate::store::{ReadError, Store};
use model::{DeviceId, Now, Tenant};
use parking_lot::RwLock;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use tracing::{error, warn};

/// Names read in one step.
const PAGE_ROWS: usize = 10_000;

/// The names that it knows, as hashes under a key of this process: one of another name costs one
/// question to the store.
#[derive(Default)]
pub(super) struct Embedded {
    hasher: RandomState,
    names: RwLock<HashSet<u64>>,
}

impl Embedded {
    fn hash(&self, tenant: &Tenant, key: &str) -> u64 {
        self.hasher.hash_one((tenant.as_str(), key))
    }

    pub(super) async fn load(&self, store: &dyn Store) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let keys = store.equipment_keys(after.take(), PAGE_ROWS).await?;
            let hashes: Vec<_> = keys.iter().map(|(tenant, key)| self.hash(tenant, key)).collect();
            self.names.write().extend(hashes);
            match keys.into_iter().enumerate().last() {
                Some((index, last)) if index + 1 == PAGE_ROWS => after = Some(last),
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn insert(&self, tenant: &Tenant, key: &str) {
        self.names.write().insert(self.hash(tenant, key));
    }

    pub(super) fn remove(&self, tenant: &Tenant, key: &str) {
        self.names.write().remove(&self.hash(tenant, key));
    }

    fn knows(&self, tenant: &Tenant, key: &str) -> bool {
        self.names.read().contains(&self.hash(tenant, key))
    }
}

impl Inner {
    /// Finds the document of a device: under the serial that it says, else under another of its names.
    pub(super) async fn look_up(
        &self,
        embedded: &Embedded,
        tenant: &Tenant,
        device: &DeviceId,
        keys: &[Box<str>],
        now: Now,
    ) -> Result<Found, Values> {
        let known: Vec<_> = keys.iter().filter(|key| embedded.knows(tenant, key)).collect();
        if known.len() > 1 {
            self.metrics.ambiguous();
            warn_of_many(device, known.len());
        }
        for key in known {
            let row = self.store.equipment(tenant, key).await;
            let Some(row) = row.map_err(|error| self.read_failed(&error, now))? else { continue };
            let Some(equipment) = self.open(row.sealed.expose()) else {
                error!(%device, "equipment cannot be opened: it was sealed under another key");
                let retry_at = super::later(now.wall, super::STORE_PAUSE);
                return Err(Values::Unavailable { retry_at });
            };
            return Ok(Found {
                name: equipment.serial.as_str().into(),
                equipment,
                key: key.clone(),
                by: "equipment",
                is_stale: false,
                fresh: EMBEDDED_FRESH,
            });
        }
        Err(Values::Unknown)
    }
}

/// Says that more than one document fits a device; which goes first is a rule, but one of them was
/// not meant.
fn warn_of_many(device: &DeviceId, names: usize) {
    warn!(%device, names, "equipment is known under more than one name of the device");
}
