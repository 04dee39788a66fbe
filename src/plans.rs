//! What would be sent to devices, and why, without sending it.
//!
//! One device at once, or the whole fleet: a page of devices at a time, decided on threads of their own,
//! so that neither memory nor any session feels it. One plan of the fleet is made at a time.

mod decided;
mod fleet;

pub use decided::{DevicePlan, FirmwareObstacle, FirmwarePlan};
pub use fleet::{Counts, FleetPlan, FleetRequest, Which};

use crate::clock::Clock;
use crate::data_models::DataModels;
use crate::equipment::Equipments;
use crate::profiles::{Loaded, Profiles};
use crate::provisioner::{self, DryRun, Provisioner};
use crate::registry::{Device, Registry};
use crate::store::{ReadError, Store};
use crate::upgrades::Upgrades;
use model::Now;
use provisioning::Equipment;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::debug;

/// What plans are made of.
pub struct PlansParts {
    /// For many data models at once.
    pub store: Arc<dyn Store>,
    /// Every device.
    pub registry: Arc<Registry>,
    /// What is known of each.
    pub data_models: Arc<DataModels>,
    /// What each should be.
    pub profiles: Arc<Profiles>,
    /// Who remembers what devices hold and took.
    pub provisioner: Arc<Provisioner>,
    /// What the business says of them. It is not asked.
    pub equipments: Arc<Equipments>,
    /// Which firmware they would be given.
    pub upgrades: Arc<Upgrades>,
    /// The time.
    pub clock: Clock,
}

/// The planner. Shared as `Arc<Plans>`.
pub struct Plans {
    parts: PlansParts,
    /// One plan of the fleet at a time for those who ask,
    fleet: Semaphore,
    /// and one for ourselves, which keeps nobody from his.
    changes: Semaphore,
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plans(…)")
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// One of the fleet is being made.
    #[error("another plan of the fleet is being made")]
    Busy,
    /// The store could not be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Plans {
    /// A planner over these parts.
    #[must_use]
    pub fn new(parts: PlansParts) -> Arc<Self> {
        Arc::new(Self { parts, fleet: Semaphore::new(1), changes: Semaphore::new(1) })
    }

    /// What would be sent to a device now: by the profiles that hold for it, or by `loaded`; as though
    /// its equipment named the profile `named`, where one is given.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn device(
        &self,
        device: Device,
        loaded: Option<Arc<Loaded>>,
        named: Option<&str>,
    ) -> Result<DevicePlan, ReadError> {
        let standing = || self.parts.profiles.loaded_for(&device.tenant, &device.id);
        let loaded = loaded.unwrap_or_else(standing);
        let Device { tenant, id, .. } = &device;
        let model = self.parts.data_models.load(tenant, id).await?;
        let held = self.parts.provisioner.kept(tenant, id).await?.held;
        let mut equipment = self.equipment(&device, self.parts.clock.now()).await;
        if let Some(named) = named {
            equipment = Some(Arc::new(naming(equipment.as_deref(), named, &device)));
        }
        let upgrades = Arc::clone(&self.parts.upgrades);
        let (now, key) = (self.parts.clock.now().wall, *self.parts.provisioner.key());
        let decide = move || {
            let known = DryRun {
                loaded: &loaded,
                device: &device,
                model: model.as_ref(),
                equipment: equipment.as_deref(),
                held: &held,
                key: &key,
                now,
            };
            decided::decide(&known, &upgrades).view(&device)
        };
        spawn_blocking(decide).await.map_err(|error| ReadError::Failed(error.into()))
    }

    /// What would be sent to all devices that are asked for.
    ///
    /// # Errors
    ///
    /// When another such plan is being made, or the store cannot be read.
    pub async fn fleet(&self, request: FleetRequest) -> Result<FleetPlan, PlanError> {
        let _turn = self.fleet.try_acquire().map_err(|_| PlanError::Busy)?;
        Ok(self.plan_fleet(request).await?)
    }

    /// What a change of the profiles would send to the devices that it touches; waits for its turn.
    /// `None` when that cannot be told.
    pub async fn change(&self, from: Arc<Loaded>, to: Arc<Loaded>) -> Option<FleetPlan> {
        let _turn = self.changes.acquire().await.ok()?;
        let which = Which::Changed { from, to };
        let request = FleetRequest { tenants: self.parts.registry.tenants(), which, examples: 0 };
        let planned = self.plan_fleet(request).await;
        planned.inspect_err(|error| debug!(%error, "what a change would send is not told")).ok()
    }

    /// What the business said of a device last.
    async fn equipment(&self, device: &Device, now: Now) -> Option<Arc<Equipment>> {
        let subject = provisioner::subject(device, "");
        self.parts.equipments.peek(&device.tenant, &subject, now).await
    }
}

/// As though a device's equipment named this profile.
fn naming(equipment: Option<&Equipment>, profile: &str, device: &Device) -> Equipment {
    let mut equipment = equipment.cloned().unwrap_or_default();
    if equipment.serial.is_empty() {
        equipment.serial = device.facts.serial.as_deref().unwrap_or_default().to_owned();
    }
    Equipment { profile: Some(profile.to_owned()), ..equipment }
}
