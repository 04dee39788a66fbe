//! What is remembered of one device until its next session: what it took, and what it would not.

use super::Revision;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is remembered of one device. Kept in the store; holds paths and causes, never a value.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Held {
    /// The profiles that it was made to fit last, in their order.
    pub profiles: Vec<Box<str>>,
    /// As they stood.
    pub revision: Revision,
    /// [`super::Wanted::fingerprint`] of what it holds; 0 when nothing was ever applied.
    pub applied: u64,
    /// How it stands.
    pub standing: Standing,
    /// Why it stands so, in plain words; empty when it is as wanted.
    pub cause: Box<str>,
    /// Since when.
    pub since: Timestamp,
    /// Rounds that were made towards what is wanted now.
    pub rounds: u8,
    /// What it would not take.
    pub refused: Vec<Refusal>,
    /// An object that we told it to make and have not seen yet: made durable before it is told.
    pub adding: Option<Adding>,
    /// When it was last as wanted.
    pub converged_at: Option<Timestamp>,
    /// Before when nothing need be done; `None`: at the next session.
    pub due_at: Option<Timestamp>,
}

/// How a device stands to what it should be.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing was decided yet.
    #[default]
    New,
    /// No profile is for it.
    Unmatched,
    /// The business does not know it.
    Unknown,
    /// Its values are not to be had yet.
    AwaitingValues,
    /// Something is still to be done.
    Pending,
    /// It is as wanted.
    Converged,
    /// It is as wanted but for what it refused or does not have; that is tried again.
    Partial,
    /// It did not become as wanted in the rounds it was given; left alone until something changes.
    Stuck,
    /// Something is to be done, and writing is on hold.
    Held,
    /// Something is to be done, and a second person must agree.
    AwaitingApproval,
}

/// A parameter or object that a device refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// Its path.
    pub path: Box<str>,
    /// The device's fault code, or 0 where the refusal is ours.
    pub code: u32,
    /// Why, in plain words that hold no value.
    pub cause: Box<str>,
    /// How often it was tried.
    pub tries: u32,
    /// Before when it is not tried again.
    pub retry_at: Timestamp,
    /// What was wanted then ([`super::Wanted::fingerprint`]): a new wish is tried at once.
    pub wanted: u64,
}

/// An object on its way into a table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Adding {
    /// The table, without wildcards; ends in a dot.
    pub table: Box<str>,
    /// Instances that were there before: one that was not, and does not say otherwise, is ours.
    pub before: Vec<u32>,
}
