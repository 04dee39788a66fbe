//! What is kept of images on their way to devices: rollouts, their devices, what each device went
//! through, and what groups should run.

use firmware::{Attempt, ImageName, Order, Progress, Stage, Tally};
use jiff::Timestamp;
use model::{DeviceId, Json, Tenant};

/// A rollout, without its devices.
#[derive(Clone, Debug)]
pub struct RolloutRow {
    /// Whose.
    pub tenant: Tenant,
    /// Its name: a ULID, or one made of what wants it.
    pub id: Box<str>,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// Who ordered it.
    pub actor: Box<str>,
    /// What makes ordering twice the same as ordering once.
    pub key: Option<Box<str>>,
    /// What wants it: `order`, `profile:<name>` or `group:<name>`.
    pub source: Box<str>,
    /// What was ordered.
    pub order: Order,
    /// When it may begin on a device, as it was given; at any time when absent.
    pub window: Option<Json>,
    /// How far it is.
    pub progress: Progress,
    /// How many devices are at which stage, for each wave.
    pub tallies: Vec<Tally>,
}

/// How one device of a rollout stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RolloutDevice {
    /// Which.
    pub device: DeviceId,
    /// Its wave.
    pub wave: u8,
    /// How it stands.
    pub attempt: Attempt,
}

/// A step that a device took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FirmwareStep {
    /// Its number, from 1; 0 before it is stored.
    pub id: u64,
    /// In which rollout.
    pub rollout: Box<str>,
    /// To which image.
    pub image: ImageName,
    /// The image's version.
    pub version: Box<str>,
    /// At which try.
    pub number: u16,
    /// Where it came to.
    pub stage: Stage,
    /// Why.
    pub cause: Option<Box<str>>,
    /// When.
    pub at: Timestamp,
}

/// What the devices of a group should run.
#[derive(Clone, Debug)]
pub struct GroupFirmwareRow {
    /// Whose.
    pub tenant: Tenant,
    /// Which group.
    pub group: Box<str>,
    /// This image.
    pub image: Option<ImageName>,
    /// Or the image for each one's model that has this version.
    pub version: Option<Box<str>>,
    /// When it may begin on a device, as it was given.
    pub window: Option<Json>,
    /// Who says so.
    pub actor: Box<str>,
    /// Since when.
    pub since: Timestamp,
}

/// Which devices of a rollout.
#[derive(Clone, Debug)]
pub struct RolloutDevices {
    /// Whose.
    pub tenant: Tenant,
    /// Of which rollout.
    pub rollout: Box<str>,
    /// Only those at this stage.
    pub stage: Option<Stage>,
    /// Only those after this one.
    pub after: Option<DeviceId>,
}

/// A change of these; each refuses nothing.
#[derive(Clone, Debug)]
pub enum FirmwareOperation {
    /// Makes a rollout, or keeps how far it is.
    PutRollout(Box<RolloutRow>),
    /// Makes devices of a rollout.
    PutDevices {
        /// Whose.
        tenant: Tenant,
        /// Of which rollout.
        rollout: Box<str>,
        /// They, and how they stand.
        devices: Vec<RolloutDevice>,
    },
    /// Keeps a device's step.
    Step {
        /// Whose.
        tenant: Tenant,
        /// How it stands now.
        device: Box<RolloutDevice>,
        /// What it went through; its rollout is in here.
        step: Box<FirmwareStep>,
    },
    /// Removes a rollout and its devices.
    RemoveRollout {
        /// Whose.
        tenant: Tenant,
        /// Which.
        rollout: Box<str>,
    },
    /// Removes devices of rollouts that were never made, and steps before that time.
    Sweep {
        /// Steps before it go.
        older_than: Timestamp,
    },
    /// Says what a group should run.
    PutGroup(GroupFirmwareRow),
    /// Nothing is wanted of a group any more.
    RemoveGroup {
        /// Whose.
        tenant: Tenant,
        /// Which.
        group: Box<str>,
    },
}
