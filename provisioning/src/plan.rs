//! The decision: what is wanted against what is known, and the fewest calls that make it so.

mod decide;
mod look;
mod measured;
mod object;
mod obstacle;
mod parameter;
mod refresh;
mod steps;
mod value;
mod view;

pub use decide::decide;
pub use measured::{Measured, aliases, measured};
pub use obstacle::{Blocked, Obstacle};
pub(crate) use parameter::TIMES_MAX;
pub use view::{ChangeView, LearnView, ObjectView, PlanView};

use super::Rule;
use super::held::Hashed;
use jiff::Timestamp;
use model::{CommandKind, Redacted};

/// What holds while a decision is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// Now.
    pub now: Timestamp,
    /// When the session began: what was read before may have changed since where a device informed
    /// of a restart, and an object is only made after its table was listed in this session.
    pub session_began: Timestamp,
    /// The event codes of the session's Inform.
    pub events: &'a [Box<str>],
    /// Whether the equipment is claimed, so that secrets may be sent.
    pub is_claimed: bool,
    /// Whether the device comes from factory settings: what was applied before no longer counts.
    pub is_bootstrap: bool,
    /// Whether the whole data model was learned in this session.
    pub is_discovered: bool,
    /// Whether the model takes what it lists as not writable (the quirk `write_readonly`).
    pub writes_read_only: bool,
    /// [`super::Wanted::fingerprint`] of what is wanted.
    pub fingerprint: u64,
    /// What numbers for single values are made with, so that they say nothing of them. Without it
    /// none are remembered, and any change of what is wanted sends again what cannot be read back.
    pub key: Option<Redacted<&'a [u8; 32]>>,
    /// A number of the device's own, the same for ever: it spreads the retries of a fleet.
    pub seed: u64,
}

/// What would be sent, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is to be asked of the device now, in order. When it is done, decide again: empty and
    /// without anything blocked means that the device is as wanted.
    ///
    /// [`Wish::Set`]s that stand together are one call: given to a session as neighbours whose names
    /// agree up to a slash, it makes one SetParameterValues of them, and tries each alone where the
    /// device refuses the whole without naming a culprit.
    pub steps: Vec<Step>,
    /// What is not sent, and why.
    pub blocked: Vec<Blocked>,
    /// Parameters that someone else changed since they were applied: those that are set back now,
    /// and those that are only reported and were not before.
    pub drifted: Vec<Change>,
    /// When something is due next without anyone asking: a reading grown old, a refusal's backoff.
    pub due_at: Option<Timestamp>,
    /// Objects that are only known by what [`super::Adding`] remembers.
    pub(crate) unconfirmed: Vec<Box<str>>,
    /// Values that the device holds and that are not remembered yet.
    pub(crate) hashes: Vec<Hashed>,
    /// [`super::Wanted::lacks_values`].
    pub(crate) lacks_values: bool,
}

impl Plan {
    /// Whether nothing is to be asked of the device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it changes the device: holds and approvals are about these.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.steps.iter().any(|step| !matches!(step.wish, Wish::Learn { .. }))
    }

    /// Whether it makes an object: what is remembered must be durable before.
    #[must_use]
    pub fn adds(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.wish, Wish::Add { .. }))
    }

    /// Everything that is set, in new objects too.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.steps.iter().flat_map(|step| match &step.wish {
            Wish::Set(changes) | Wish::Add { changes, .. } => changes.as_slice(),
            Wish::Learn { .. } | Wish::Delete { .. } => &[],
        })
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What the session is given: reading, listing, adding, setting or deleting.
    pub kind: CommandKind,
    /// What it is for.
    pub wish: Wish,
}

/// What a step is for, for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// To learn what is not known or too old, and to read back what was set.
    Learn {
        /// The patterns of the refreshes among it.
        refreshes: Vec<Box<str>>,
    },
    /// To set parameters.
    Set(Vec<Change>),
    /// To make an object.
    Add {
        /// What it is called here: the table, the names of its keys, and which of several of such.
        object: Box<str>,
        /// The table; ends in a dot.
        table: Box<str>,
        /// The instances that are there before.
        before: Vec<u32>,
        /// What it is to hold; paths are below the instance.
        changes: Vec<Change>,
        /// Who asks for it.
        rule: Rule,
    },
    /// To remove an object.
    Delete {
        /// The instance; ends in a dot.
        path: Box<str>,
        /// Who asks for it.
        rule: Rule,
    },
}

/// One parameter's way from what it is to what it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The whole path.
    pub path: Box<str>,
    /// What it is, as far as is known.
    pub old: Option<Redacted<Box<str>>>,
    /// What it is to be.
    pub new: Redacted<Box<str>>,
    /// Its XML Schema type, without a prefix.
    pub xsd_type: Box<str>,
    /// Whether neither is to be shown.
    pub is_secret: bool,
    /// Why.
    pub why: Why,
    /// Who asks for it.
    pub rule: Rule,
}

/// Why a parameter is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is other than wanted.
    Differs,
    /// It was as wanted, and someone changed it.
    Drifted,
    /// Its value cannot be read back, and another was wanted when it was set last.
    Unreadable,
    /// It belongs to a new object.
    New,
}

#[cfg(test)]
mod tests;
