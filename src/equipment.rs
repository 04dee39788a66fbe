//! The values that the business keeps for a device: our own, or those of its hub; and telling the
//! business that a device has become what it should be.
//!
//! A steady device costs nothing here but a look into memory ([`Equipments::fresh`]): which state of
//! the values it was given, and until when they need not be asked for. The documents themselves are
//! in the store, sealed, and read only when a device is to be decided anew.
//!
//! Enrolled is not claimed: one leaked enrolment secret lets anyone be any router. So a serial's
//! secrets belong to one device: the first that comes with it, or the one that an
//! operator names. A unit has several names, and they belong together: a second device that says any
//! of them is told nothing, and an event says so.

mod claim;
mod embedded;
mod fresh;
mod hub;
mod inner;
mod metrics;
mod tell;
mod wifi;

#[cfg(test)]
mod tests;

pub use hub::{Carrier, Got, HttpCarrier, HubError, HubFault, HubOptions, Posted};
pub use metrics::Metrics;
pub use wifi::{WifiError, WifiTarget};

use self::claim::Refusals;
use self::embedded::Embedded;
use self::fresh::Fresh;
use self::hub::Hub;
use crate::clock::Clock;
use crate::registry::{Device, Registry};
use crate::secrets::Vault;
use crate::store::{EquipmentChange, Operation, ReadError, Store, WriteError, Writer};
use crate::tasks::Tasks;
use config::Cidr;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Now, Tenant};
use provisioning::equipment::Activated;
use provisioning::{Equipment, Subject, equipment};
use std::sync::Arc;
use std::time::Duration;

/// For how long the embedded backend's values need not be looked up: whoever changes them has them
/// looked up at once, so this is only how long a mistake of ours would last.
const EMBEDDED_FRESH: Duration = Duration::from_secs(86_400);
/// For how long it need not be looked whether the embedded backend knows a device by now.
const UNKNOWN_FRESH: Duration = Duration::from_secs(3_600);
/// Most names of one device that are held for it, beside those of its document.
const NAMES_HELD_MAX: usize = 8;
/// The pause before values are asked for again when our own store did not give them.
const STORE_PAUSE: Duration = Duration::from_secs(30);

/// Who answers for equipment.
pub struct Equipments(Box<Inner>);

/// What it stands on.
pub struct Parts {
    /// Where documents are.
    pub store: Arc<dyn Store>,
    /// The way in for them.
    pub writer: Writer,
    /// Devices and their names.
    pub registry: Arc<Registry>,
    /// Seals documents.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// For what the business is to be told.
    pub tasks: Arc<Tasks>,
    /// What is counted.
    pub metrics: Metrics,
    /// Networks from which a device counts as claimed.
    pub claim_networks: Vec<Cidr>,
    /// The hub; `None`: we answer ourselves.
    pub hub: Option<HubParts>,
}

/// How the hub is called, and within which bounds.
pub type HubParts = (Arc<dyn Carrier>, HubOptions);

struct Inner {
    store: Arc<dyn Store>,
    writer: Writer,
    registry: Arc<Registry>,
    vault: Vault,
    clock: Clock,
    tasks: Arc<Tasks>,
    metrics: Metrics,
    claim_networks: Vec<Cidr>,
    source: Source,
    fresh: Fresh,
    refusals: Refusals,
}

enum Source {
    Embedded(Embedded),
    Hub(Arc<Hub>),
}

/// What the business says of a device.
#[derive(Clone, Debug)]
pub enum Values {
    /// These.
    Known {
        /// The values.
        equipment: Arc<Equipment>,
        /// The name under which the business knows it: what was asked with.
        serial: Box<str>,
        /// Changes whenever they do; never 0.
        version: u64,
        /// Whether they are the last that are known, because the business did not answer.
        is_stale: bool,
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
    /// Its serial belongs to another device: it is given nothing until an operator claims it.
    Taken {
        /// Which.
        holder: DeviceId,
    },
}

/// A document that was found, before anyone is given it.
#[derive(Clone)]
struct Found {
    equipment: Equipment,
    /// As it was asked for.
    name: Box<str>,
    /// The name under which it was found, in the one spelling.
    key: Box<str>,
    /// Who says that the device may have it, for the audit trail.
    by: &'static str,
    /// Whether it is what the hub said last, while it does not answer.
    is_stale: bool,
    /// For how long it need not be asked for again, not even at the device's next Inform.
    fresh: Duration,
}

impl std::fmt::Debug for Equipments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.0.source {
            Source::Embedded(_) => "embedded",
            Source::Hub(_) => "hub",
        };
        write!(f, "Equipments({kind})")
    }
}

impl Equipments {
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, writer, registry, vault, clock, tasks, metrics, claim_networks, hub } =
            parts;
        let source = match hub {
            None => Source::Embedded(Embedded::default()),
            Some((carrier, options)) => {
                let hub = Arc::new(Hub::new(carrier, options, metrics.clone()));
                tell::register(&tasks, Arc::clone(&hub));
                Source::Hub(hub)
            }
        };
        Self(Box::new(Inner {
            store,
            writer,
            registry,
            vault,
            clock,
            tasks,
            metrics,
            claim_networks,
            source,
            fresh: Fresh::default(),
            refusals: Refusals::default(),
        }))
    }

    /// Takes over from the store which names the embedded backend knows; at start.
    pub async fn load(&self) -> Result<(), ReadError> {
        match &self.0.source {
            Source::Embedded(embedded) => embedded.load(&*self.0.store).await,
            Source::Hub(_) => Ok(()),
        }
    }

    /// Which state of the values a device was given last, from memory alone; 0: the business has none
    /// for it. `None`: they are to be [asked for](Self::values).
    pub fn fresh(&self, tenant: &Tenant, device: &DeviceId, now: Now) -> Option<u64> {
        let inner = &*self.0;
        let (version, until) = inner.fresh.get(tenant, device)?;
        // While the hub refuses there is nothing better to be had; one a second looks whether there is
        // by now.
        let is_best = || matches!(&inner.source, Source::Hub(hub) if hub.refuses());
        (until.since(now.monotonic) > Duration::ZERO || is_best()).then_some(version)
    }

    /// What the business says of a device: asked for, within the operator's timeout. What a hub said
    /// last stands in where it does not answer. A first document claims the equipment for the device,
    /// on disk and in the registry, before this returns.
    pub async fn values(&self, tenant: &Tenant, subject: &Subject<'_>, now: Now) -> Values {
        let inner = &*self.0;
        let device = subject.id;
        // What is changed from here on was not asked for.
        let changes = inner.fresh.changes(tenant, device);
        inner.claim_by_network(tenant, device).await;
        let keys = inner.keys(tenant, subject);
        // Boxed: what calls out is large, and most sessions do not come here.
        let (found, unknown_fresh) = match &inner.source {
            Source::Embedded(embedded) => {
                let found = Box::pin(inner.look_up(embedded, tenant, device, &keys, now)).await;
                (found, UNKNOWN_FRESH)
            }
            Source::Hub(hub) => {
                let found = Box::pin(inner.ask(hub, tenant, subject, &keys, changes, now)).await;
                (found, hub::UNKNOWN_FRESH)
            }
        };
        let (values, fresh) = match found {
            Ok(found) => inner.admit(tenant, device, &keys, found, now).await,
            Err(Values::Unknown) => (Values::Unknown, Some((0, unknown_fresh))),
            Err(values) => (values, None),
        };
        if let Some((version, fresh)) = fresh {
            inner.fresh.put(tenant, device, (version, now.monotonic + fresh), changes);
        }
        values
    }

    /// Counts the changes of what a device is to be given: while the number is the same, what was
    /// [asked for](Self::values) is what the business says.
    pub fn changes(&self, tenant: &Tenant, device: &DeviceId) -> u32 {
        self.0.fresh.changes(tenant, device)
    }

    /// What is known here of a device's values: nobody is asked, and nothing claimed. For plans.
    pub async fn peek(
        &self,
        tenant: &Tenant,
        subject: &Subject<'_>,
        now: Now,
    ) -> Option<Arc<Equipment>> {
        let inner = &*self.0;
        let keys = inner.keys(tenant, subject);
        let found = match &inner.source {
            Source::Embedded(embedded) => {
                inner.look_up(embedded, tenant, subject.id, &keys, now).await.ok()?.equipment
            }
            Source::Hub(_) => inner.remembered(tenant, subject.id).await?,
        };
        Some(Arc::new(found))
    }

    /// The devices that a name of equipment may mean, in any of its spellings.
    pub fn devices_of(&self, tenant: &Tenant, name: &str) -> Vec<DeviceId> {
        let key = equipment::key(name);
        key.map_or_else(Vec::new, |key| self.0.meant_by(tenant, &key))
    }

    /// What gives a device's serials to it, with the equipment that is known under them, from whoever
    /// holds them: an operator says that it is the one. Nothing where it has them.
    pub async fn take_over(&self, device: &Device) -> Result<Vec<Operation>, ReadError> {
        let inner = &*self.0;
        let (tenant, at) = (&device.tenant, inner.clock.now().wall);
        let mut operations = Vec::new();
        for serial in inner.names_of(device).await? {
            let is_its = match inner.store.equipment_holder(tenant, &serial).await? {
                Some(holder) => holder == device.id,
                // The first document gives it to a device that is claimed.
                None => {
                    device.claimed && inner.other_claimed(tenant, &device.id, &serial).is_none()
                }
            };
            if !is_its {
                let (tenant, device) = (tenant.clone(), device.id.clone());
                let hold = EquipmentChange::Hold { tenant, serial, device, at, by_force: true };
                operations.push(Operation::Equipment(hold));
            }
        }
        Ok(operations)
    }

    /// Has the values of a device asked for at its next session, whatever is known: it has got another
    /// name.
    pub fn forget(&self, tenant: &Tenant, device: &DeviceId) {
        self.0.forget(tenant, device);
    }

    /// Has the business told that a device is as its profile says; kept before this returns, and
    /// delivered once for each `key`.
    pub async fn activated(
        &self,
        tenant: &Tenant,
        told: &Activated,
        key: &str,
    ) -> Result<(), WriteError> {
        self.0.activated(tenant, told, key).await
    }
}

/// So long after an instant.
fn later(wall: Timestamp, after: Duration) -> Timestamp {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    wall.checked_add(after).unwrap_or(Timestamp::MAX)
}
