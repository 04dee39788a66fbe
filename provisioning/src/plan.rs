//! The decision: what is wanted against what is known, and the fewest calls that make it so.

use super::{Drift, Held, Rule, Wanted};
use jiff::Timestamp;
use model::{Alias, CommandKind, DataModel, Redacted};

/// What holds while a decision is made.
#[derive(Clone, Copy, Debug)]
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
    /// [`Wanted::fingerprint`] of what is wanted.
    pub fingerprint: u64,
}

/// What would be sent, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is to be asked of the device now, in order. When it is done, decide again: empty and
    /// without anything blocked means that the device is as wanted.
    pub steps: Vec<Step>,
    /// What is not sent, and why.
    pub blocked: Vec<Blocked>,
    /// Parameters that someone else changed since they were applied.
    pub drifted: Vec<Change>,
    /// When something is due next without anyone asking: a reading grown old, a refusal's backoff.
    pub due_at: Option<Timestamp>,
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
    /// To learn what is not known or too old.
    Learn {
        /// The patterns that ask for it.
        rules: Vec<Rule>,
    },
    /// To set parameters.
    Set(Vec<Change>),
    /// To make an object.
    Add {
        /// The table; ends in a dot.
        table: Box<str>,
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
    /// Its XML Schema type.
    pub xsd_type: Box<str>,
    /// Whether neither is to be shown.
    pub is_secret: bool,
    /// Why.
    pub why: Why,
    /// Who asks for it.
    pub rule: Rule,
}

/// Why a parameter is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
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

/// What is not sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    /// The path, or the pattern where nothing fits it.
    pub path: Box<str>,
    /// Why, in plain words that hold no value.
    pub cause: Box<str>,
    /// When it is tried again by itself; `None`: not before something changes.
    pub retry_at: Option<Timestamp>,
    /// Whether the device is as wanted without it: a secret before the claim, drift that is only
    /// reported, an optional parameter that it does not have.
    pub is_harmless: bool,
    /// Who asks for it.
    pub rule: Rule,
}

/// Says what to do.
///
/// Deterministic and total: the same arguments give the same plan, and a device that takes what it
/// is told leads to an empty one. What it refuses is in `held.refused` and left out until its time.
#[must_use]
pub fn decide(wanted: &Wanted, known: &DataModel, held: &Held, it: Circumstances<'_>) -> Plan {
    let _ = (wanted, known, held, it, Drift::Mend);
    Plan::default()
}

/// A reading under the name that is the same for every model.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name, such as `optical_rx_dbm`.
    pub name: Box<str>,
    /// Where it was read.
    pub path: Box<str>,
    /// A number where the measure has a scale or the text is one, else text. It never prints.
    pub value: Redacted<serde_json::Value>,
    /// When.
    pub read_at: Timestamp,
}

/// What is known of everything that the profiles measure.
#[must_use]
pub fn measured(wanted: &Wanted, known: &DataModel) -> Vec<Measured> {
    let _ = (wanted, known);
    Vec::new()
}

/// The names that the device says in the parameters that its profiles name.
#[must_use]
pub fn aliases(wanted: &Wanted, known: &DataModel) -> Vec<Alias> {
    let _ = (wanted, known);
    Vec::new()
}
