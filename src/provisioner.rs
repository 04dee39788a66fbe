//! Making each device what its profiles say, in its sessions.
//!
//! The order of a session: names by which the business may know the device; what the business says;
//! rounds of [`provisioning::decide`] and calls until nothing is left; firmware; and where the device
//! came from factory settings, the business is told. What is remembered between sessions is in the
//! store, and of it in memory only the [`Mark`] by which a steady device is
//! told: it reads nothing and waits for nothing.
//!
//! It never speaks to a device: the CWMP driver gives it what was answered, and takes what to ask.

mod checkup;
mod dry_run;
mod kept;
mod memory;
mod metrics;
mod retries;
mod rounds;
mod run;
mod told;
mod waits;

pub use dry_run::{DryRun, Planned, plan};
pub use kept::{Kept, Lacking, from_factory};
pub use metrics::Metrics;
pub(crate) use rounds::subject;
pub use run::{Introduced, Run};

use crate::clock::Clock;
use crate::data_models::DataModels;
use crate::equipment::Equipments;
use crate::holds::Holds;
use crate::profiles::Profiles;
use crate::quirks;
use crate::registry::{Mark, Registry};
use crate::secrets::Vault;
use crate::store::{ReadError, Store, WriteError, Writer};
use crate::upgrades::Upgrades;
use crate::wake::Wakes;
use cwmp::Quirks;
use kept::Behind;
use memory::Memory;
use model::{DeviceFacts, DeviceId, Event, Now, Tenant};
use provisioning::{Standing, Subject};
use retries::Retries;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use waits::Waits;

/// What the key of [`provisioning::Wanted::fingerprint`] is derived for.
const FINGERPRINTS: &str = "profile fingerprints";

/// What the provisioner works with.
#[derive(Clone)]
pub struct Parts {
    /// For what is remembered of devices.
    pub store: Arc<dyn Store>,
    /// The way in.
    pub writer: Writer,
    /// Who is known.
    pub registry: Arc<Registry>,
    /// What is known of devices' data models.
    pub data_models: Arc<DataModels>,
    /// The profiles as they stand.
    pub profiles: Arc<Profiles>,
    /// Whether anything may be written.
    pub holds: Arc<Holds>,
    /// What the business says of devices.
    pub equipments: Arc<Equipments>,
    /// Firmware.
    pub upgrades: Arc<Upgrades>,
    /// Wakes devices.
    pub wakes: Arc<Wakes>,
    /// The time.
    pub clock: Clock,
}

/// Makes devices what their profiles say. Shared as `Arc<Provisioner>`.
pub struct Provisioner {
    parts: Parts,
    /// Rounds of writing that one session may have.
    rounds_max: u8,
    /// Makes fingerprints that say nothing of the secrets in them.
    key: [u8; 32],
    behind: Behind,
    waits: Waits,
    memory: Memory,
    retries: Retries,
    metrics: Metrics,
}

impl std::fmt::Debug for Provisioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provisioner(…)")
    }
}

/// Why a device is to be looked at though nothing of its own has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// What the business says of it.
    Values,
    /// What was on hold may go on, or was agreed to.
    Allowed,
    /// An operator asked: what was refused or given up is tried again at once.
    Ordered,
}

impl Provisioner {
    /// Over these parts; `rounds_max` bounds the rounds of writing in one session.
    pub fn new(parts: Parts, vault: &Vault, rounds_max: u8, metrics: Metrics) -> Self {
        let key = vault.derive(FINGERPRINTS);
        let (behind, waits, memory) = <(Behind, Waits, Memory)>::default();
        let retries = Retries::default();
        Self { parts, rounds_max, key, behind, waits, memory, retries, metrics }
    }

    /// Whether a device that brings no news is as it should be, as far as can be told without reading
    /// or waiting: then its session has nothing to do here.
    pub fn is_steady(&self, tenant: &Tenant, device: &DeviceId, now: Now) -> bool {
        let Parts { registry, equipments, .. } = &self.parts;
        let Some(mark) = registry.mark(tenant, device) else { return false };
        !mark.is_requested
            && mark.generation == self.generation()
            && i64::from(mark.due_s) > now.wall.as_second()
            && !mark.awaits_claim
            && !self.may_go_on(tenant, device, mark)
            && equipments.fresh(tenant, device, now) == Some(mark.values)
    }

    /// Whether a device stands on hold no longer.
    fn may_go_on(&self, tenant: &Tenant, device: &DeviceId, mark: Mark) -> bool {
        let Parts { holds, registry, .. } = &self.parts;
        mark.standing == Standing::Held && !holds.holds(registry, tenant, device)
    }

    /// The state of the profiles, never 0.
    fn generation(&self) -> u32 {
        let generation = self.parts.profiles.generation();
        u32::try_from(generation % u64::from(u32::MAX)).map_or(1, |it| it + 1)
    }

    /// Whether profiles say of any devices what is peculiar about them.
    pub fn knows_quirks(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        let set = self.parts.profiles.set_for(tenant, device);
        set.profiles().iter().any(|profile| !profile.quirks.is_empty())
    }

    /// What its profiles say is peculiar about a device, before its session begins: as it was decided
    /// last, and of one that never was, by what its Inform says.
    pub fn quirks(&self, tenant: &Tenant, device: &DeviceId, facts: &DeviceFacts) -> Quirks {
        let mark = self.parts.registry.mark(tenant, device);
        if let Some(mark) = mark.filter(|mark| mark.standing != Standing::New) {
            return quirks::from_bits(mark.quirks);
        }
        let set = self.parts.profiles.set_for(tenant, device);
        let (tags, group, customer, root) = (&[][..], None, None, "");
        let subject = Subject { id: device, facts, tags, group, customer, root };
        quirks::named(set.layers(&subject, None).quirks())
    }

    /// What is remembered of a device; nothing when it was never decided on.
    pub async fn kept(&self, tenant: &Tenant, device: &DeviceId) -> Result<Kept, ReadError> {
        if let Some(kept) = self.behind.waiting(tenant, device) {
            return Ok(kept);
        }
        let body = self.parts.store.provision(tenant, device).await?;
        Ok(body.map_or_else(Kept::default, |body| Kept::read(device, &body)))
    }

    /// The same of one whose row was read by others.
    #[must_use]
    pub fn kept_as(&self, tenant: &Tenant, device: &DeviceId, body: Option<&str>) -> Kept {
        let read = || body.map_or_else(Kept::default, |body| Kept::read(device, body));
        self.behind.waiting(tenant, device).unwrap_or_else(read)
    }

    /// How a device stands, as far as it is known without reading.
    pub fn standing(&self, tenant: &Tenant, device: &DeviceId) -> Standing {
        self.parts.registry.mark(tenant, device).map_or(Standing::New, |mark| mark.standing)
    }

    /// Has a device looked at in its next session, and wakes it. The number that names the request in
    /// the event that tells its end; `None` when there is no such device.
    pub fn request(&self, tenant: &Tenant, device: &DeviceId, reason: Reason) -> Option<Box<str>> {
        let id = self.waits.ask(tenant, device);
        self.have_looked_at(tenant, device, reason, &id).then_some(id)
    }

    /// The same, with what waits until that has ended, for so long at most: a session that begins
    /// before this is called is none that answers it.
    pub fn request_and_wait(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        reason: Reason,
        within: Duration,
    ) -> Option<(Box<str>, impl Future<Output = bool> + Send + use<>)> {
        let (id, ended) = self.waits.ask_and_listen(tenant, device);
        let ended = async move { tokio::time::timeout(within, ended).await.is_ok() };
        self.have_looked_at(tenant, device, reason, &id).then_some((id, ended))
    }

    /// The request is there before the mark: a session takes them in the other order, so none takes
    /// the mark alone.
    fn have_looked_at(&self, tenant: &Tenant, device: &DeviceId, reason: Reason, id: &str) -> bool {
        let is_known = self.parts.registry.request_mark(tenant, device, reason == Reason::Ordered);
        if is_known {
            // Who is not woken comes by itself.
            drop(self.parts.wakes.ask(tenant, device));
        } else {
            self.waits.withdraw(tenant, device, id);
        }
        is_known
    }

    /// Forgets what waits to be written of a device.
    pub fn forget_waiting(&self, tenant: &Tenant, device: &DeviceId) {
        self.behind.forget(tenant, device);
    }

    /// Writes what waits to be written.
    pub async fn write_behind(&self) {
        self.behind.flush(&self.parts.writer).await;
    }

    /// Sets what is shown of how many devices stand how.
    pub fn count(&self) {
        for (standing, count) in self.parts.registry.standings() {
            self.metrics.devices.with_label_values(&[standing.as_str()]).set(count);
        }
    }

    /// Keeps how a device stands, with the events that tell of it.
    async fn keep(&self, run: &Run, events: Vec<Event>, at_once: bool) -> Result<(), WriteError> {
        let (tenant, device) = (&run.it.tenant, &run.it.device);
        let row = run.kept.row(tenant, device);
        let mark = run.kept.mark(run.generation);
        if at_once || !events.is_empty() {
            self.behind.write(&self.parts.writer, events, row).await?;
        } else {
            self.behind.leave(&self.parts.writer, row).await?;
        }
        self.parts.registry.settle_mark(tenant, device, mark);
        Ok(())
    }
}

/// A number that is a device's own, the same in every process.
fn seed(device: &DeviceId) -> u64 {
    let hash: [u8; 32] = Sha256::digest(device.as_str().as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
