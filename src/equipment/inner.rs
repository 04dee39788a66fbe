//! What both sources of values have in common: names, seals, versions, and who is given what.

use super::claim::{Admission, Names};
use super::{Equipments, Found, Inner, STORE_PAUSE, Source, UNKNOWN_FRESH, Values, later};
use crate::api::Mirror;
use crate::store::{EquipmentChange, Operation, ReadError};
use model::{DeviceFacts, DeviceId, Now, Redacted, Tenant};
use provisioning::{Equipment, Subject, equipment};
use std::sync::Arc;
use std::time::Duration;
use tracing::error;

impl Inner {
    /// The names under which a device's equipment may be known.
    pub(super) fn keys(&self, tenant: &Tenant, subject: &Subject<'_>) -> Vec<Box<str>> {
        let mut keys = equipment::keys(subject.facts);
        // It may have been given a name since.
        let facts = self.registry.facts(tenant, subject.id);
        for key in facts.iter().flat_map(|facts: &DeviceFacts| equipment::keys(facts)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Opens a document that we sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Equipment> {
        let plain = self.vault.open(sealed)?;
        serde_json::from_slice(plain.expose()).ok()
    }

    pub(super) fn seal(&self, equipment: &Equipment) -> Redacted<Vec<u8>> {
        let plain = serde_json::to_vec(equipment);
        self.vault.seal(&plain.expect("our own types are representable in JSON"))
    }

    /// Names the content of a document. Under the store's key, for a hash of a passphrase is as good as
    /// the passphrase to whoever can try them all.
    pub(super) fn version(&self, equipment: &Equipment) -> u64 {
        let content = Equipment { ttl: None, etag: None, ..equipment.clone() };
        self.hash(&serde_json::to_vec(&content).expect("our own types are representable in JSON"))
    }

    pub(super) fn hash(&self, content: &[u8]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.vault.hmac(content);
        // 0 is "none".
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
    }

    /// Gives a document to its device, if it is its. With the version that it was given, and for how
    /// long that holds.
    pub(super) async fn admit(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        keys: &[Box<str>],
        found: Found,
        now: Now,
    ) -> (Values, Option<(u64, Duration)>) {
        let names = Names::new(&found.key, &found.equipment, keys);
        let Found { equipment, name, key, by, is_stale, fresh } = found;
        match self.hold(tenant, device, &key, &names, by).await {
            Admission::Held => {}
            Admission::NotKept => {
                let retry_at = later(now.wall, STORE_PAUSE);
                return (Values::Unavailable { retry_at }, None);
            }
            Admission::Taken(holder) => {
                self.metrics.refused();
                return (Values::Taken { holder }, Some((0, UNKNOWN_FRESH)));
            }
        }
        let version = self.version(&equipment);
        let equipment = Arc::new(equipment);
        let values = Values::Known { serial: name, equipment, version, is_stale };
        (values, Some((version, fresh)))
    }

    pub(super) fn forget(&self, tenant: &Tenant, device: &DeviceId) {
        self.fresh.remove(tenant, device);
        if let Source::Hub(hub) = &self.source {
            hub.forget(tenant, device);
        }
    }

    /// The devices that may be meant by a name.
    pub(super) fn meant_by(&self, tenant: &Tenant, key: &str) -> Vec<DeviceId> {
        let aliases = equipment::aliases(key);
        let mut devices: Vec<_> =
            aliases.filter_map(|alias| self.registry.by_alias(tenant, &alias)).collect();
        devices.dedup();
        devices
    }

    pub(super) fn read_failed(&self, error: &ReadError, now: Now) -> Values {
        error!(error = error as &dyn std::error::Error, "the store cannot be read for equipment");
        Values::Unavailable { retry_at: later(now.wall, STORE_PAUSE) }
    }
}

/// Changes by operators: whom they concern is decided anew.
impl Mirror for Equipments {
    fn committed(&self, operation: &Operation) {
        let inner = &*self.0;
        match operation {
            Operation::Equipment(EquipmentChange::Put { row, .. }) => {
                if let Source::Embedded(embedded) = &inner.source {
                    embedded.insert(&row.tenant, &row.serial);
                }
                for device in inner.meant_by(&row.tenant, &row.serial) {
                    inner.forget(&row.tenant, &device);
                }
            }
            Operation::Equipment(EquipmentChange::Remove { tenant, serial, .. }) => {
                if let Source::Embedded(embedded) = &inner.source {
                    embedded.remove(tenant, serial);
                }
                for device in inner.meant_by(tenant, serial) {
                    inner.forget(tenant, &device);
                }
            }
            Operation::Equipment(EquipmentChange::PutOverlay { row, .. }) => {
                inner.forget(&row.tenant, &row.device);
            }
            Operation::Equipment(EquipmentChange::Hold { tenant, device, .. })
            | Operation::Claim { tenant, device } => inner.forget(tenant, device),
            Operation::PutAlias { tenant, device, .. }
            | Operation::RemoveAlias { tenant, device, .. } => inner.forget(tenant, device),
            _ => {}
        }
    }
}
