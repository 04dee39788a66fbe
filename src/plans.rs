//! What would be sent to devices, and why, without sending it.
//!
//! One device at once, or the whole fleet: a page of devices at a time, decided on threads of their own,
//! so that neither memory nor any session feels it. One plan of the fleet is made at a time.

mod decided;
mod fleet;
mod recall;

pub use decided::DevicePlan;
pub use fleet::{Counts, FleetPlan, FleetRequest, Which};
pub use recall::{Memory, NoMemory, Recalled};

use crate::clock::Clock;
use crate::data_models::DataModels;
use crate::profiles::{Loaded, Profiles};
use crate::registry::{Device, Registry};
use crate::store::{ReadError, Store};
use model::Tenant;
use std::sync::{Arc, OnceLock};
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
    /// The key of [`provisioning::Wanted::fingerprint`].
    pub fingerprint_key: [u8; 32],
    /// The time.
    pub clock: Clock,
}

/// The planner. Shared as `Arc<Plans>`.
pub struct Plans {
    parts: PlansParts,
    memory: OnceLock<Arc<dyn Memory>>,
    /// One plan of the fleet at a time.
    fleet: Semaphore,
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
    /// A planner. It knows nothing of what devices hold until it is [told](Plans::set_memory) who does.
    #[must_use]
    pub fn new(parts: PlansParts) -> Arc<Self> {
        Arc::new(Self { parts, memory: OnceLock::new(), fleet: Semaphore::new(1) })
    }

    /// Who remembers what devices hold and took; the first is kept.
    pub fn set_memory(&self, memory: Arc<dyn Memory>) {
        let _ = self.memory.set(memory);
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
        let model = self.parts.data_models.load(&device.tenant, &device.id).await?;
        let devices = [device];
        let recalled = self.recall(&devices[0].tenant, &devices).await;
        let mut recalled = recalled.into_iter().next().unwrap_or_default();
        if let Some(named) = named {
            recalled.name_profile(named, &devices[0]);
        }
        let (now, key) = (self.parts.clock.now().wall, self.parts.fingerprint_key);
        let decide = move || {
            let [device] = &devices;
            decided::decide(&loaded, device, model.as_ref(), &recalled, &key, now).view(device)
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
        let _turn = self.fleet.acquire().await.ok()?;
        let which = Which::Changed { from, to };
        let request = FleetRequest { tenants: self.parts.registry.tenants(), which, examples: 0 };
        let planned = self.plan_fleet(request).await;
        planned.inspect_err(|error| debug!(%error, "what a change would send is not told")).ok()
    }

    async fn recall(&self, tenant: &Tenant, devices: &[Device]) -> Vec<Recalled> {
        match self.memory.get() {
            Some(memory) => memory.recall(tenant, devices).await,
            None => NoMemory.recall(tenant, devices).await,
        }
    }
}
