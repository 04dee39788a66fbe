//! What is remembered of each device, between its session and the store.
//!
//! What the business is told of, and what must be true before a device is told, is written at once
//! and waited for. The rest (when something was asked for last) waits some seconds, so that many
//! devices' are one write; a crash loses it, and the next session decides without it.

use crate::quirks;
use crate::registry::Mark;
use crate::store::{Operation, ProvisionMark, ProvisionRow, WriteError, Writer};
use cwmp::Quirks;
use dashmap::DashMap;
use jiff::Timestamp;
use model::{DeviceId, Event, Tenant};
use provisioning::{Held, Plan, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use tracing::warn;

/// Most that a device lacks and that is remembered with its cause.
const LACKING_MAX: usize = 64;
/// What stands for a path where firmware is lacking.
const FIRMWARE: &str = "firmware";
/// Most devices that wait to be written behind, some 1 KB each: beyond it they are written at once.
const BEHIND_MAX: usize = 20_000;
/// Most devices in one write.
const STEP_MAX: usize = 1_000;

/// What is remembered of one device. Paths and causes, never a value.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kept {
    /// What the decision remembers.
    pub held: Held,
    /// What it lacks of what is wanted, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<Lacking>,
    /// When it came from factory settings, while the business waits to hear that it is as wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_factory_at: Option<Timestamp>,
    /// The firmware that it ran when it was decided last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Box<str>>,
    /// The version of the values that it was made from.
    pub values: u64,
    /// Whether the business does not know it, and was told so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_unknown: bool,
    /// What its profiles say is peculiar about it.
    pub quirks: u8,
    /// What it refused when the profiles that it tries now began to hold for it: that it refuses it
    /// still says nothing of them. Absent while it tries none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excused: Option<Vec<Box<str>>>,
}

/// What a device lacks of what is wanted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lacking {
    /// The path, or the pattern where nothing fits it.
    pub path: Box<str>,
    /// The device's fault code, where it refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Why, in plain words that hold no value.
    pub cause: Box<str>,
    /// When it is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

impl Kept {
    /// Of a device that has just come from factory settings: nothing that was applied holds.
    #[must_use]
    pub fn from_factory(at: Timestamp) -> Self {
        Self { from_factory_at: Some(at), ..Self::default() }
    }

    /// Reads what the store has; what it cannot read is as good as nothing: the device is decided
    /// anew.
    #[must_use]
    pub fn read(device: &DeviceId, body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_else(|error| {
            warn!(%device, line = error.line(), "what is kept of its profile cannot be read");
            Self::default()
        })
    }

    /// As the store takes it.
    #[must_use]
    pub fn row(&self, tenant: &Tenant, device: &DeviceId) -> ProvisionRow {
        let body = serde_json::to_string(self).expect("paths, causes and times are plain JSON");
        let mark = ProvisionMark { standing: self.held.standing, quirks: self.quirks };
        ProvisionRow { tenant: tenant.clone(), device: device.clone(), mark, body: body.into() }
    }

    /// What a session must know before it reads it; decided under that state of the profiles.
    #[must_use]
    pub fn mark(&self, generation: u32) -> Mark {
        let due_s = self.held.due_at.map_or(0, Timestamp::as_second).max(0);
        Mark {
            values: self.values,
            generation,
            due_s: u32::try_from(due_s).unwrap_or(u32::MAX),
            standing: self.held.standing,
            quirks: self.quirks,
            awaits_claim: self.held.awaits_claim,
            is_requested: false,
            is_ordered: false,
        }
    }

    /// Remembers what its last plan could not do.
    pub(super) fn lacks(&mut self, plan: &Plan) {
        let refused = &self.held.refused;
        let code = |path: &str| {
            let refusal = refused.iter().find(|it| *it.path == *path && it.code != 0);
            refusal.map(|it| it.code)
        };
        let lacking = plan.blocked.iter().filter(|it| !it.is_harmless).map(|it| Lacking {
            path: it.path.clone(),
            code: code(&it.path),
            cause: it.cause.clone(),
            retry_at: it.retry_at,
        });
        self.lacking = lacking.take(LACKING_MAX).collect();
    }

    /// It is looked at again by then.
    pub(super) fn due_by(&mut self, at: Timestamp) {
        let due = &mut self.held.due_at;
        *due = Some(due.map_or(at, |due| due.min(at)));
    }

    /// The firmware that it should run is not given to it.
    pub(super) fn lacks_firmware(&mut self, cause: Box<str>) {
        self.lacking.push(Lacking { path: FIRMWARE.into(), code: None, cause, retry_at: None });
    }

    /// Changed profiles are on trial with it, or none; `refused` is what it refused before. A candidate
    /// that follows another excuses nothing more.
    pub(super) fn tries(&mut self, is_trying: bool, refused: &[Refusal]) {
        match (is_trying, &self.excused) {
            (true, None) => {
                let paths = refused.iter().map(|it| it.path.clone());
                self.excused = Some(paths.collect());
            }
            (false, Some(_)) => self.excused = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Whether it refuses anything for which it is not excused.
    pub(super) fn refuses_news(&self) -> bool {
        let excused = self.excused.as_deref().unwrap_or_default();
        self.held.refused.iter().any(|it| !excused.contains(&it.path))
    }

    /// What is peculiar about it, by its profiles.
    pub(super) fn set_quirks(&mut self, quirks: Quirks) {
        self.quirks = quirks::to_bits(quirks);
    }
}

/// The operation that must be true with a bootstrap's event.
#[must_use]
pub fn from_factory(event: &Event) -> Operation {
    Operation::PutProvision(Kept::from_factory(event.time).row(&event.tenant, &event.device))
}

/// Rows that wait to be written behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    rows: DashMap<(Tenant, DeviceId), ProvisionRow>,
    /// Held for reading by who writes at once, so that nothing older comes after it.
    turn: RwLock<()>,
}

impl Behind {
    /// What waits for a device.
    pub(super) fn waiting(&self, tenant: &Tenant, device: &DeviceId) -> Option<Kept> {
        let row = self.rows.get(&(tenant.clone(), device.clone()))?;
        Some(Kept::read(device, &row.body))
    }

    /// Forgets what waits for a device: something newer was kept.
    pub(super) fn forget(&self, tenant: &Tenant, device: &DeviceId) {
        self.rows.remove(&(tenant.clone(), device.clone()));
    }

    /// Writes at once.
    pub(super) async fn write(
        &self,
        writer: &Writer,
        events: Vec<Event>,
        row: ProvisionRow,
    ) -> Result<(), WriteError> {
        let _turn = self.turn.read().await;
        self.forget(&row.tenant, &row.device);
        writer.append(events, vec![Operation::PutProvision(row)]).await
    }

    /// Leaves it to be written later; at once where too many wait.
    pub(super) async fn leave(&self, writer: &Writer, row: ProvisionRow) -> Result<(), WriteError> {
        if self.rows.len() >= BEHIND_MAX {
            return self.write(writer, Vec::new(), row).await;
        }
        self.rows.insert((row.tenant.clone(), row.device.clone()), row);
        Ok(())
    }

    /// Writes what waits.
    pub(super) async fn flush(&self, writer: &Writer) {
        loop {
            let _turn = self.turn.write().await;
            let keys: Vec<_> = self.rows.iter().take(STEP_MAX).map(|it| it.key().clone()).collect();
            if keys.is_empty() {
                return;
            }
            let rows = keys.iter().filter_map(|key| self.rows.remove(key));
            let puts = rows.map(|(_, row)| Operation::PutProvision(row)).collect();
            if let Err(error) = writer.transact(puts).await {
                return warn!(%error, "how devices stand to their profiles is not written");
            }
        }
    }
}
