//! How many sessions are kept, and who may keep one more.

use super::session::Session;
use super::{Exchange, OpenSessionError, Opening};
use model::{DeviceId, Tenant};
use std::collections::HashMap;

/// How many sessions are kept: of all, of programs together, and of each program.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) all: usize,
    programs: usize,
    of_program: HashMap<(Tenant, DeviceId), usize>,
}

impl Count {
    fn add(&mut self, session: &Session) {
        self.all += 1;
        if session.is_program {
            self.programs += 1;
            let owner = (session.tenant.clone(), session.owner.clone());
            *self.of_program.entry(owner).or_default() += 1;
        }
    }

    fn remove(&mut self, session: &Session) {
        self.all -= 1;
        if session.is_program {
            self.programs -= 1;
            let owner = (session.tenant.clone(), session.owner.clone());
            if let Some(count) = self.of_program.get_mut(&owner) {
                *count -= 1;
                if *count == 0 {
                    self.of_program.remove(&owner);
                }
            }
        }
    }
}

impl Exchange {
    /// Whether a program may have the connection that it has just opened its line for.
    pub(super) fn may_open(&self, opening: &Opening) -> Result<(), OpenSessionError> {
        let max = self.options.connections_per_program_max;
        if opening.is_program
            && self.lines.programs_of(&opening.tenant, &opening.owner, max + 1) > max
        {
            let refused = &self.metrics.sessions_refused;
            refused.with_label_values(&["connections_per_program_max"]).inc();
            return Err(OpenSessionError::TooMany);
        }
        Ok(())
    }

    /// Which bound keeps one more session from being kept; `None` where there is room.
    pub(super) fn bound(&self, session: &Session) -> Option<&'static str> {
        self.bound_of(&self.kept.lock(), session)
    }

    fn bound_of(&self, count: &Count, session: &Session) -> Option<&'static str> {
        let max = self.options.sessions_max;
        if count.all >= max {
            return Some("sessions_max");
        }
        if !session.is_program {
            return None;
        }
        let owner = (session.tenant.clone(), session.owner.clone());
        let own = count.of_program.get(&owner).copied().unwrap_or(0);
        if own >= self.options.sessions_per_program_max {
            Some("sessions_per_program_max")
        } else {
            // The other half is the boards'.
            (count.programs >= max.div_ceil(2)).then_some("sessions_max_programs")
        }
    }

    /// Takes one of the places of sessions that are kept.
    pub(super) fn claim(&self, session: &Session) -> bool {
        let mut count = self.kept.lock();
        let has_room = self.bound_of(&count, session).is_none();
        if has_room {
            count.add(session);
            self.metrics.sessions.inc();
        }
        has_room
    }

    /// Takes a place for one that is on disk, whatever the bounds are now.
    pub(super) fn count_in(&self, session: &Session) {
        self.kept.lock().add(session);
        self.metrics.sessions.inc();
    }

    /// Gives back a place of one that was not kept after all.
    pub(super) fn count_out(&self, session: &Session) {
        self.kept.lock().remove(session);
        self.metrics.sessions.dec();
    }

    /// Gives back the place of one that ended.
    pub(super) fn release(&self, session: &Session, reason: &str) {
        self.count_out(session);
        self.metrics.sessions_ended.with_label_values(&[reason]).inc();
    }
}
