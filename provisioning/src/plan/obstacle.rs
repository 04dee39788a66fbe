//! What stands in the way of what is wanted.

use crate::{Refusal, Rule};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is not sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Blocked {
    /// The path, or the pattern where nothing fits it.
    pub path: Box<str>,
    /// What stands in its way.
    pub obstacle: Obstacle,
    /// Why, in plain words that hold no value.
    pub cause: Box<str>,
    /// When it is tried again by itself; `None`: not before something changes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
    /// Whether the device is as wanted without it: a secret before the claim, drift that is only
    /// reported, an optional parameter that it does not have.
    pub is_harmless: bool,
    /// Who asks for it.
    pub rule: Rule,
}

/// What stands in the way, as one of few words: for who acts on it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The device has no such parameter or object.
    Absent,
    /// The device lists it as not writable.
    ReadOnly,
    /// The value is none of its type, or no host.
    Invalid,
    /// The profile or its values are at fault: the value could not be made.
    Fault,
    /// The device refused it; it is tried again.
    Refused,
    /// The device was asked for it and did not tell it.
    Untold,
    /// A secret waits until the equipment is claimed.
    Unclaimed,
    /// It waits for its maintenance window.
    Window,
    /// Someone else changed it, and that is only reported.
    Reported,
    /// It was set again and again and reads back otherwise.
    Unsteady,
    /// Several objects have the keys of one; the others are left alone.
    Ambiguous,
    /// A plan has a bound, and it was reached.
    TooMany,
}

impl Obstacle {
    /// Whether the path was never as wanted, so that it is set once the obstacle is gone, whatever
    /// was applied beside it.
    pub(crate) const fn owes(self) -> bool {
        match self {
            Self::ReadOnly
            | Self::Invalid
            | Self::Refused
            | Self::Untold
            | Self::Unclaimed
            | Self::Window
            | Self::Unsteady
            | Self::TooMany => true,
            Self::Absent | Self::Fault | Self::Reported | Self::Ambiguous => false,
        }
    }
}

impl Blocked {
    pub(super) fn new(path: &str, obstacle: Obstacle, cause: &str, rule: &Rule) -> Self {
        Self {
            path: path.into(),
            obstacle,
            cause: cause.into(),
            retry_at: None,
            is_harmless: false,
            rule: rule.clone(),
        }
    }

    /// It waits until it is tried again.
    pub(super) fn refused(path: &str, refusal: &Refusal, rule: &Rule) -> Self {
        let obstacle = if refusal.code == 0 { Obstacle::Untold } else { Obstacle::Refused };
        let blocked = Self::new(path, obstacle, &refusal.cause, rule);
        Self { retry_at: Some(refusal.retry_at), ..blocked }
    }
}
