//! What is due to a command at a time.

use jiff::Timestamp;
use model::CommandId;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most commands that are due in one step.
const STEP_MAX: usize = 500;

/// Commands in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Timers(Mutex<BTreeSet<(Timestamp, CommandId)>>);

impl Timers {
    /// Something is due to a command at `at`, if that is a time.
    pub(super) fn set(&self, at: Option<Timestamp>, id: &CommandId) {
        if let Some(at) = at {
            self.lock().insert((at, id.clone()));
        }
    }

    /// Nothing is due any more at that time.
    pub(super) fn clear(&self, at: Option<Timestamp>, id: &CommandId) {
        if let Some(at) = at {
            self.lock().remove(&(at, id.clone()));
        }
    }

    /// The first of those whose time has come. They stay.
    pub(super) fn due(&self, now: Timestamp) -> Vec<CommandId> {
        let timers = self.lock();
        let due = timers.iter().take_while(|(at, _)| *at <= now).take(STEP_MAX);
        due.map(|(_, id)| id.clone()).collect()
    }

    /// Takes out the first of those whose time has come.
    pub(super) fn take_due(&self, now: Timestamp) -> Vec<CommandId> {
        let mut timers = self.lock();
        let mut due = Vec::new();
        while due.len() < STEP_MAX && timers.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(timers.pop_first().map(|(_, id)| id));
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, CommandId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
