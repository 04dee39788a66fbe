//! What is remembered of one device until its next session: what it took, and what it would not.
//!
//! A session goes: [`Held::begin`]; then as long as [`Held::starts_round`] says so of what
//! [`super::decide`] says: the steps are carried out and each is told to [`Held::outcome`]; at the end
//! [`Held::settle`], or [`Held::cut`] where the session was lost. One value goes through all of it:
//! what a session has asked is remembered in it and not stored.

mod backoff;
mod outcome;
mod session;

pub use outcome::{StepOutcome, StepRefusal};

use super::Revision;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use session::Session;

/// What is remembered of one device. Kept in the store; holds paths and causes, never a value.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Held {
    /// The profiles that it was made to fit last, in their order.
    pub profiles: Vec<Box<str>>,
    /// As they stood.
    pub revision: Revision,
    /// [`super::Wanted::fingerprint`] of what it is being made to fit.
    pub wanted: u64,
    /// [`super::Wanted::fingerprint`] of what it holds, but for what is `owed`; 0 when nothing was
    /// ever applied, or another thing is being applied.
    pub applied: u64,
    /// How it stands.
    pub standing: Standing,
    /// Why it stands so, in plain words; empty when it is as wanted.
    pub cause: Box<str>,
    /// Since when.
    pub since: Timestamp,
    /// Rounds of writing that were made towards what is wanted now.
    pub rounds: u8,
    /// What it would not take or tell, in the order of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// What was set towards what is wanted now and is not settled yet, in the order of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    /// Numbers for values that it holds and that a change of something else must not send again: those
    /// whose changes by others are only reported, and those that it does not tell. In the order of
    /// paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hashed>,
    /// Whether it was made from what the business says.
    pub has_values: bool,
    /// Paths that were never as wanted though `applied` says that all is: something stands in their
    /// way. In the order of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Box<str>>,
    /// Paths that someone else changed, and that are only reported. In the order of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drifting: Vec<Box<str>>,
    /// Paths that were refused together with others while nobody was named as the culprit: each is
    /// set alone. In the order of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Box<str>>,
    /// Paths that were set without an answer, or with the answer that there is no such path: what is
    /// known of them may not be so until a reading tells. In the order of paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubted: Vec<Box<str>>,
    /// Objects that we told it to make and have not found yet by their keys: made durable before it
    /// is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adding: Vec<Adding>,
    /// When what is read again and again was asked for last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<Refreshed>,
    /// Events of an Inform after which something is to be done, whatever `due_at` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wakes_on: Vec<Box<str>>,
    /// Whether something waits for the equipment's claim alone.
    pub awaits_claim: bool,
    /// When it was last as wanted.
    pub converged_at: Option<Timestamp>,
    /// Before when nothing need be done; `None`: at the next session.
    pub due_at: Option<Timestamp>,
    #[serde(skip)]
    session: Session,
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

impl Standing {
    /// Every standing, in the order of its discriminant and of its number in the store: only ever
    /// added to at the end.
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::Unmatched,
        Self::Unknown,
        Self::AwaitingValues,
        Self::Pending,
        Self::Converged,
        Self::Partial,
        Self::Stuck,
        Self::Held,
        Self::AwaitingApproval,
    ];

    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Unmatched => "unmatched",
            Self::Unknown => "unknown",
            Self::AwaitingValues => "awaiting_values",
            Self::Pending => "pending",
            Self::Converged => "converged",
            Self::Partial => "partial",
            Self::Stuck => "stuck",
            Self::Held => "held",
            Self::AwaitingApproval => "awaiting_approval",
        }
    }
}

/// What a device refused: to set a parameter, to make or remove an object, or to tell a value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// Its path; of an object that was to be made, the table and the names of its keys.
    pub path: Box<str>,
    /// Whether it would not tell it, rather than take it.
    #[serde(default)]
    pub is_reading: bool,
    /// The device's fault code, or 0 where there was none: it did not answer, or did not tell.
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

/// A parameter that was set.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Told {
    /// Its path.
    pub path: Box<str>,
    /// How often it was set to what is wanted now, and read back otherwise.
    pub times: u8,
    /// Whether it was read since it was set last.
    pub is_read: bool,
}

/// A value that a parameter was given or found with, by a keyed number that says nothing of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hashed {
    /// The parameter's path.
    pub path: Box<str>,
    /// The number.
    pub hash: u64,
}

/// An object on its way into a table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Adding {
    /// Which wanted object, as [`super::Wish::Add`] calls it.
    pub object: Box<str>,
    /// The table, without wildcards; ends in a dot.
    pub table: Box<str>,
    /// Instances that were there before: one that was not, and does not say otherwise, is ours.
    pub before: Vec<u32>,
    /// How often it was told.
    #[serde(default)]
    pub times: u8,
    /// The instance that the device said it is. Until its keys are read as wanted, it is found by this.
    pub instance: Option<u32>,
}

/// When something was asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refreshed {
    /// The pattern of the [`super::WantedRefresh`].
    pub path: Box<str>,
    /// When, whether or not the device answered.
    pub at: Timestamp,
}

impl Held {
    /// Whether this session was begun.
    pub(crate) fn is_in(&self, began: Timestamp) -> bool {
        self.session.began == began
    }

    /// Whether a table was listed in the session that began then.
    pub(crate) fn has_listed(&self, table: &str, began: Timestamp) -> bool {
        self.is_in(began) && self.session.listed.contains(table)
    }

    /// Whether a parameter was asked for in the session that began then, and not set since.
    pub(crate) fn has_read(&self, path: &str, began: Timestamp) -> bool {
        self.is_in(began) && self.session.read.contains(path)
    }

    pub(crate) fn refusal(&self, path: &str, is_reading: bool) -> Option<&Refusal> {
        let place = self.place_of_refusal(path, is_reading).ok()?;
        self.refused.get(place)
    }

    fn place_of_refusal(&self, path: &str, is_reading: bool) -> Result<usize, usize> {
        self.refused.binary_search_by(|it| (&*it.path, it.is_reading).cmp(&(path, is_reading)))
    }

    pub(crate) fn told(&self, path: &str) -> Option<&Told> {
        let place = self.told.binary_search_by(|it| (*it.path).cmp(path)).ok()?;
        self.told.get(place)
    }

    pub(crate) fn hash(&self, path: &str) -> Option<u64> {
        let place = self.hashes.binary_search_by(|it| (*it.path).cmp(path)).ok()?;
        Some(self.hashes[place].hash)
    }

    /// Another value may be there from now on.
    fn forget_hash(&mut self, path: &str) {
        if let Ok(place) = self.hashes.binary_search_by(|it| (*it.path).cmp(path)) {
            self.hashes.remove(place);
        }
    }

    /// What is there from now on is another object.
    fn forget_hashes_below(&mut self, instance: &str) {
        self.hashes.retain(|it| !it.path.starts_with(instance));
    }

    pub(crate) fn owes(&self, path: &str) -> bool {
        has(&self.owed, path)
    }

    pub(crate) fn is_drifting(&self, path: &str) -> bool {
        has(&self.drifting, path)
    }

    pub(crate) fn is_apart(&self, path: &str) -> bool {
        has(&self.apart, path)
    }

    pub(crate) fn doubts(&self, path: &str) -> bool {
        has(&self.doubted, path)
    }

    pub(crate) fn refreshed_at(&self, pattern: &str) -> Option<Timestamp> {
        self.refreshed.iter().find(|it| *it.path == *pattern).map(|it| it.at)
    }
}

fn has(paths: &[Box<str>], path: &str) -> bool {
    paths.binary_search_by(|it| (**it).cmp(path)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standing_has_its_place_and_its_word() {
        for (place, standing) in Standing::ALL.into_iter().enumerate() {
            assert_eq!(standing as usize, place);
            assert_eq!(serde_json::json!(standing), standing.as_str());
        }
    }
}
