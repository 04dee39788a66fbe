//! The fleet: pages of devices, several at once, each decided on a thread of its own.

use super::Plans;
use super::decided::{self, Decided, DevicePlan, model_of};
use crate::data_models::DataModels;
use crate::profiles::{Loaded, Profiles};
use crate::provisioner::{DryRun, Provisioner};
use crate::registry::{Device, Filter};
use crate::store::{KnownRow, ReadError};
use crate::upgrades::Upgrades;
use futures_util::future::join_all;
use model::{DeviceId, Protocol, Tenant};
use provisioning::Equipment;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Devices in a page: some MB of data models at the most that are usual, and a fraction of a second of
/// one processor.
const PAGE: usize = 256;
/// Devices whose equipment is looked up at once: as many as the store's readers serve without crowding
/// out the others.
const PEEKS_MAX: usize = 4;
/// Most models and profiles that are told apart in the totals; the others are one line together.
const LINES_MAX: usize = 1_000;
/// What the others are called.
const OTHERS: &str = "…";

/// What is asked for.
#[derive(Debug)]
pub struct FleetRequest {
    /// Whose devices.
    pub tenants: Vec<Tenant>,
    /// By which profiles.
    pub which: Which,
    /// How many devices are shown one by one: the first to which something would be sent.
    pub examples: usize,
}

/// By which profiles.
#[derive(Debug)]
pub enum Which {
    /// Those that hold for each device; only devices that have one of this name, where one is given.
    Standing {
        /// The name.
        named: Option<Box<str>>,
    },
    /// `to`, for those devices only for which something else holds there than in `from`.
    Changed {
        /// What holds.
        from: Arc<Loaded>,
        /// What would.
        to: Arc<Loaded>,
    },
}

/// What would be sent to the fleet.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct FleetPlan {
    /// Devices that were looked at.
    pub devices: u64,
    /// Those for which profiles hold; with a changed profile: those for which others hold than now.
    pub touched: u64,
    /// Those of them on which something would be changed.
    pub changed: u64,
    /// Those of them of whose data model nothing is known: what would be sent shows once it is.
    pub unknown: u64,
    /// Parameters that would be set.
    pub parameters: u64,
    /// Objects that would be made or removed.
    pub objects: u64,
    /// Parameters that would not be sent, and are missed.
    pub blocked: u64,
    /// Devices that would be given another firmware.
    pub firmware: u64,
    /// Devices of which another firmware is wanted that they would not be given.
    pub firmware_blocked: u64,
    /// The same by the profile that asks.
    pub by_profile: BTreeMap<Box<str>, Counts>,
    /// The same by model.
    pub by_model: BTreeMap<Box<str>, Counts>,
    /// The first devices to which something would be sent.
    pub examples: Vec<DevicePlan>,
}

/// One line of the totals.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Devices on which something would be changed.
    pub devices: u64,
    /// Parameters that would be set.
    pub parameters: u64,
}

/// Where the pages go on.
struct Cursor {
    tenants: std::vec::IntoIter<Tenant>,
    tenant: Option<Tenant>,
    after: Option<DeviceId>,
}

impl Plans {
    pub(super) async fn plan_fleet(&self, request: FleetRequest) -> Result<FleetPlan, ReadError> {
        let FleetRequest { tenants, which, examples } = request;
        let mut tenants = tenants.into_iter();
        let tenant = tenants.next();
        let cursor = Mutex::new(Cursor { tenants, tenant, after: None });
        // One more than there are processors: while one waits for the store the others work.
        let lanes = available_parallelism().map_or(1, std::num::NonZero::get) + 1;
        let (which, total) = (Arc::new(which), Mutex::new(FleetPlan::default()));
        let lane = |_| async {
            while let Some(devices) = self.next_page(&mut *cursor.lock().await) {
                let part = self.plan_page(devices, &which, examples).await?;
                total.lock().await.add(part, examples);
            }
            Ok::<_, ReadError>(())
        };
        futures_util::future::try_join_all((0..lanes).map(lane)).await?;
        Ok(total.into_inner())
    }

    /// The next devices, all of one tenant.
    fn next_page(&self, cursor: &mut Cursor) -> Option<Vec<Device>> {
        let filter = Filter { protocol: Some(Protocol::Cwmp), ..Filter::default() };
        loop {
            let tenant = cursor.tenant.as_ref()?;
            let after = cursor.after.take();
            let part = self.parts.registry.part(tenant, &filter, after.as_ref(), PAGE, PAGE);
            match part.next {
                Some(next) => cursor.after = Some(next),
                None => cursor.tenant = cursor.tenants.next(),
            }
            if !part.devices.is_empty() {
                return Some(part.devices);
            }
        }
    }

    async fn plan_page(
        &self,
        devices: Vec<Device>,
        which: &Arc<Which>,
        examples: usize,
    ) -> Result<FleetPlan, ReadError> {
        let looked_at = devices.len() as u64;
        let (of, profiles) = (Arc::clone(which), Arc::clone(&self.parts.profiles));
        let failed = |error: tokio::task::JoinError| ReadError::Failed(error.into());
        let choose = move || {
            let mut devices = devices;
            devices.retain(|device| of.is_asked(device, &profiles));
            devices
        };
        let devices = spawn_blocking(choose).await.map_err(failed)?;
        let nothing = FleetPlan { devices: looked_at, ..FleetPlan::default() };
        let Some(first) = devices.first() else { return Ok(nothing) };
        let tenant = first.tenant.clone();
        let ids: Vec<_> = devices.iter().map(|device| device.id.clone()).collect();
        let known = self.parts.store.known_of(&tenant, &ids).await?;
        let now = self.parts.clock.now();
        let mut equipment = Vec::with_capacity(devices.len());
        for some in devices.chunks(PEEKS_MAX) {
            let mut peeks = Vec::with_capacity(PEEKS_MAX);
            for device in some {
                peeks.push(self.equipment(device, now));
            }
            equipment.extend(join_all(peeks).await);
        }
        let page = Page {
            devices,
            known: known.into_iter().map(|row| (row.device.clone(), row)).collect(),
            equipment,
            data_models: Arc::clone(&self.parts.data_models),
            profiles: Arc::clone(&self.parts.profiles),
            provisioner: Arc::clone(&self.parts.provisioner),
            upgrades: Arc::clone(&self.parts.upgrades),
            now: now.wall,
        };
        let of = Arc::clone(which);
        let planned = spawn_blocking(move || page.plan(&of, examples)).await.map_err(failed)?;
        Ok(FleetPlan { devices: looked_at, ..planned })
    }
}

/// A page of devices with all that is known of them.
struct Page {
    devices: Vec<Device>,
    known: HashMap<DeviceId, KnownRow>,
    /// In the order of the devices.
    equipment: Vec<Option<Arc<Equipment>>>,
    data_models: Arc<DataModels>,
    profiles: Arc<Profiles>,
    provisioner: Arc<Provisioner>,
    upgrades: Arc<Upgrades>,
    now: jiff::Timestamp,
}

impl Page {
    fn plan(&self, which: &Which, examples: usize) -> FleetPlan {
        let mut plan = FleetPlan::default();
        for (device, equipment) in self.devices.iter().zip(&self.equipment) {
            let row = self.known.get(&device.id);
            let sealed = row.and_then(|row| row.data_model.as_ref());
            let model = sealed.and_then(|sealed| self.data_models.unseal(sealed));
            let body = row.and_then(|row| row.provision.as_deref());
            let kept = self.provisioner.kept_as(&device.tenant, &device.id, body);
            let known = DryRun {
                loaded: &which.loaded(device, &self.profiles),
                device,
                model: model.as_ref(),
                equipment: equipment.as_deref(),
                held: &kept.held,
                key: self.provisioner.key(),
                now: self.now,
            };
            let decided = decided::decide(&known, &self.upgrades);
            if let Which::Standing { named: Some(named) } = which
                && !decided.planned.profiles.contains(named)
            {
                continue;
            }
            plan.count(device, &decided, examples);
        }
        plan
    }
}

impl Which {
    /// Whether a device's plan is to be made, as far as that can be told at once.
    fn is_asked(&self, device: &Device, profiles: &Profiles) -> bool {
        match self {
            Self::Standing { .. } => {
                // A profile that only its equipment names shows when that is known.
                !self.loaded(device, profiles).set.profiles().is_empty()
            }
            Self::Changed { from, to } => from.differs(to, device),
        }
    }

    fn loaded(&self, device: &Device, profiles: &Profiles) -> Arc<Loaded> {
        match self {
            Self::Standing { .. } => profiles.loaded_for(&device.tenant, &device.id),
            Self::Changed { to, .. } => Arc::clone(to),
        }
    }
}

impl FleetPlan {
    fn count(&mut self, device: &Device, decided: &Decided, examples: usize) {
        if decided.planned.profiles.is_empty() {
            return;
        }
        self.touched += 1;
        self.unknown += u64::from(!decided.planned.is_known);
        let mut by_profile = decided.parameters();
        let parameters: u64 = by_profile.values().sum();
        let is_changed = decided.writes();
        self.changed += u64::from(is_changed);
        self.parameters += parameters;
        self.objects += decided.objects();
        self.blocked += decided.blocked();
        if let Some(firmware) = &decided.firmware {
            self.firmware += u64::from(firmware.is_due());
            self.firmware_blocked += u64::from(!firmware.is_due());
        }
        if let Some(firmware) = decided.upgrade() {
            by_profile.entry(&*firmware.rule.profile).or_default();
        }
        if !is_changed {
            return;
        }
        for (profile, parameters) in by_profile {
            line(&mut self.by_profile, profile).add(Counts { devices: 1, parameters });
        }
        let model = model_of(device);
        let model = model.as_deref().unwrap_or("unknown");
        line(&mut self.by_model, model).add(Counts { devices: 1, parameters });
        if self.examples.len() < examples {
            self.examples.push(decided.view(device));
        }
    }

    fn add(&mut self, other: Self, examples: usize) {
        self.devices += other.devices;
        self.touched += other.touched;
        self.changed += other.changed;
        self.unknown += other.unknown;
        self.parameters += other.parameters;
        self.objects += other.objects;
        self.blocked += other.blocked;
        self.firmware += other.firmware;
        self.firmware_blocked += other.firmware_blocked;
        for (name, counts) in other.by_profile {
            line(&mut self.by_profile, &name).add(counts);
        }
        for (name, counts) in other.by_model {
            line(&mut self.by_model, &name).add(counts);
        }
        // Pages come in any order: the first by identity are shown.
        self.examples.extend(other.examples);
        self.examples.sort_by(|one, other| one.device.cmp(&other.device));
        self.examples.truncate(examples);
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.devices += other.devices;
        self.parameters += other.parameters;
    }
}

fn line<'a>(lines: &'a mut BTreeMap<Box<str>, Counts>, name: &str) -> &'a mut Counts {
    let has_room = lines.len() < LINES_MAX || lines.contains_key(name);
    lines.entry(if has_room { name } else { OTHERS }.into()).or_default()
}
