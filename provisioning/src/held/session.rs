//! The course of one session: how it begins, how many rounds it has, and how it ends.

use super::Held;
use crate::Wanted;
use crate::plan::{Circumstances, Plan};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What a session has asked so far. Not stored: the next one may ask again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Session {
    began: Timestamp,
    /// Tables whose instances were asked for.
    listed: BTreeSet<Box<str>>,
    /// Parameters whose values were asked for, and not set since.
    read: BTreeSet<Box<str>>,
    /// Rounds that wrote.
    rounds: u8,
    /// Rounds that only learned.
    lessons: u8,
}

impl Held {
    /// A session begins to be decided on. `wanted` may be another than before. After it, where
    /// `it.is_bootstrap`, what is remembered should be durable before the device is told anything.
    pub fn begin(&mut self, it: Circumstances<'_>) {
        let _ = it;
    }

    /// Whether there is anything to decide: costs some nanoseconds and reads nothing else. What this
    /// cannot see is for the caller: another fingerprint, a bootstrap, an operator's order.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, events: &[Box<str>], is_claimed: bool) -> bool {
        self.due_at.is_none_or(|due| due <= now)
            || (self.awaits_claim && is_claimed)
            || events.iter().any(|event| self.wakes_on.contains(event))
    }

    /// Takes up a round: remembers what is asked in it and which objects are being made. False where
    /// there is nothing to ask or the session had its rounds: then it is to be
    /// [settled](Self::settle). `rounds_max` bounds those that write; those that only learn have a
    /// bound of their own.
    pub fn starts_round(&mut self, plan: &Plan, rounds_max: u8, now: Timestamp) -> bool {
        let _ = (plan, rounds_max, now);
        false
    }

    /// The session is done with: says how the device stands, and when something is due next. `plan`
    /// is the last one; steps that are left in it mean that it had its rounds.
    pub fn settle(&mut self, wanted: &Wanted, plan: &Plan, it: Circumstances<'_>) {
        let _ = (wanted, plan, it);
    }

    /// The session was lost before it was done: the next one goes on.
    pub fn cut(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Forgets what was refused and what is stuck, so that all is tried at once: an operator's order,
    /// another firmware.
    pub fn release(&mut self) {}
}
