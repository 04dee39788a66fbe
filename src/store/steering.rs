//! What steers the fleet as a whole: profiles, their trial, holds, the hour's changes.

use jiff::Timestamp;
use model::{DeviceId, Json, Redacted, Tenant};

/// Which set of profiles a row holds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SetRole {
    /// It holds for every device that is not of a trial.
    Settled,
    /// It is on trial.
    Candidate,
    /// It was taken back, and is not tried again by itself.
    Rejected,
}

impl SetRole {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Settled, Self::Candidate, Self::Rejected];

    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Candidate => "candidate",
            Self::Rejected => "rejected",
        }
    }
}

/// A set of profiles.
#[derive(Clone, Debug)]
pub struct ProfileSetRow {
    /// Which.
    pub role: SetRole,
    /// What is known of it beside its text.
    pub about: Json,
    /// The text of every file, compressed and sealed.
    pub files: Redacted<Vec<u8>>,
}

/// How a device of a trial fared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrialOutcome {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub device: DeviceId,
    /// Whether it failed.
    pub failed: bool,
}

/// What must not be written to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HoldRow {
    /// Its name.
    pub id: Box<str>,
    /// Whose token made it: only such a one lifts it, or one of `default`.
    pub owner: Tenant,
    /// Only this tenant's devices; all tenants' when absent.
    pub tenant: Option<Tenant>,
    /// Only devices of this model; all when absent.
    pub model: Option<Box<str>>,
    /// Why.
    pub reason: Box<str>,
    /// Who made it.
    pub actor: Box<str>,
    /// When.
    pub created_at: Timestamp,
}

/// How many of a tenant's devices were changed in its present hour.
#[derive(Clone, Debug)]
pub struct ChangeHourRow {
    /// Whose.
    pub tenant: Tenant,
    /// When the hour began.
    pub began_at: Timestamp,
    /// How many.
    pub changed: u32,
    /// What waits for a second person, or was agreed to.
    pub approval: Option<Json>,
}

/// What is kept of one device beside its row.
#[derive(Clone, Debug)]
pub struct KnownRow {
    /// Which.
    pub device: DeviceId,
    /// Its data model, compressed and sealed.
    pub data_model: Option<Redacted<Vec<u8>>>,
    /// What it took of its profiles.
    pub provision: Option<Box<str>>,
}

/// A change of what steers the fleet.
#[derive(Clone, Debug)]
pub enum Steering {
    /// Keeps a set of profiles in place of the one in its role.
    PutProfiles(ProfileSetRow),
    /// Forgets one; no error when there is none.
    RemoveProfiles(SetRole),
    /// Keeps how devices of the trial fared, each in place of what it was.
    NoteTrial(Vec<TrialOutcome>),
    /// Forgets how all of them fared.
    ClearTrial,
    /// Makes a hold.
    PutHold(HoldRow),
    /// Lifts one; refused when there is none.
    RemoveHold {
        /// Its name.
        id: Box<str>,
    },
    /// Keeps the hour's count of a tenant.
    PutChangeHour(ChangeHourRow),
}

/// All that steers the fleet, as it is read at start.
#[derive(Clone, Debug, Default)]
pub struct SteeringRows {
    /// The sets of profiles that are there.
    pub profiles: Vec<ProfileSetRow>,
    /// How devices of the trial fared.
    pub outcomes: Vec<TrialOutcome>,
    /// The holds, oldest first.
    pub holds: Vec<HoldRow>,
    /// Each tenant's hour.
    pub hours: Vec<ChangeHourRow>,
}
