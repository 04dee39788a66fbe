//! The values that the business keeps for a device: our own, or those of its hub.

use crate::store::WriteError;
use jiff::Timestamp;
use model::{DeviceId, Json, Tenant};
use provisioning::{Equipment, Subject};
use std::sync::Arc;

/// Who answers for equipment.
#[derive(Debug, Default)]
pub struct Equipments {}

/// What the business says of a device.
#[derive(Clone, Debug)]
pub enum Values {
    /// These.
    Known {
        /// The values.
        equipment: Arc<Equipment>,
        /// The name under which the business knows it: what was asked with.
        serial: Box<str>,
        /// Changes whenever they do.
        version: u64,
        /// Whether they are the last that are known, because the business did not answer.
        is_stale: bool,
        /// Until when they need not be asked for again.
        fresh_until: Timestamp,
    },
    /// It does not know the device.
    Unknown,
    /// It knows it, and has no values yet.
    NotReady {
        /// When it is asked again.
        retry_at: Timestamp,
    },
    /// It did not answer, and never did for this device.
    Unavailable {
        /// When it is asked again.
        retry_at: Timestamp,
    },
}

impl Equipments {
    /// The version of the values that are known and need not be asked for, and until when; a version
    /// of 0 says that the business has none. `None`: they are to be asked for.
    pub fn fresh(
        &self,
        _tenant: &Tenant,
        _device: &DeviceId,
        now: model::Now,
    ) -> Option<(u64, Timestamp)> {
        Some((0, now.wall))
    }

    /// What the business says of a device: from memory while that is fresh, else asked for, within the
    /// operator's timeout. A first 200 of a hub claims the equipment.
    pub async fn values(
        &self,
        _tenant: &Tenant,
        _subject: &Subject<'_>,
        _now: model::Now,
    ) -> Values {
        Values::Unknown
    }

    /// A device has another name: what was believed of it is asked for anew.
    pub fn forget(&self, _tenant: &Tenant, _device: &DeviceId) {}

    /// Has the business told that the device is as its profile says; kept before this returns, and
    /// delivered once for each `key`.
    pub async fn activated(
        &self,
        _tenant: &Tenant,
        _device: &DeviceId,
        _serial: &str,
        _key: &str,
        _body: Json,
    ) -> Result<(), WriteError> {
        Ok(())
    }
}
