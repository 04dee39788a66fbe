//! What an operator sees of the life of boards.

use super::happened::Note;
use crate::metrics::Maker;
use prometheus::{IntCounter, IntCounterVec, Registry};

/// Every metric of boards, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    moves: IntCounterVec,
    refused: IntCounterVec,
    mismatches: IntCounterVec,
    sims_moved: IntCounter,
    faults: IntCounterVec,
    unreadable: IntCounterVec,
    conflicts: IntCounter,
}

impl Metrics {
    /// Declares them in `registry`.
    ///
    /// # Errors
    ///
    /// When one of that name is there.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            moves: make.counters(
                "lastmile_board_moves_total",
                "Boards that moved on in their life, by the status they came to.",
                &["board_status"],
            )?,
            refused: make.counters(
                "lastmile_board_refused_total",
                "Statuses that boards or the console said and that were refused, by reason.",
                &["reason"],
            )?,
            mismatches: make.counters(
                "lastmile_board_mismatches_total",
                "Identities of boards that did not agree, by number and by who knows better.",
                &["name", "known_by"],
            )?,
            sims_moved: make.counter(
                "lastmile_board_sims_moved_total",
                "SIMs that were put from one board into another, for which they were ordered.",
            )?,
            faults: make.counters(
                "lastmile_board_field_faults_total",
                "Fields of boards' messages that did not count, by reason.",
                &["code"],
            )?,
            unreadable: make.counters(
                "lastmile_board_unreadable_total",
                "Messages on the boards' topic that could not be read or taken, by reason.",
                &["code"],
            )?,
            conflicts: make.counter(
                "lastmile_board_conflicts_total",
                "Writes of a board's record that another came before, and that were tried again.",
            )?,
        })
    }

    /// For whoever shows none.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::new(&Registry::new()).expect("an empty registry has no such name")
    }

    pub(super) fn count(&self, note: &Note) {
        match note {
            Note::Moved(step) => {
                self.moves.with_label_values(&[&step.new.number().to_string()]).inc();
            }
            Note::Refused(refused) => self.refused.with_label_values(&[refused.reason]).inc(),
            Note::RefusedAgain(reason) => self.refused.with_label_values(&[reason]).inc(),
            Note::SimMoved(_) => self.sims_moved.inc(),
            Note::Disagreed(it) => {
                self.mismatches.with_label_values(&[it.name, it.known_by]).inc();
            }
            Note::Fault(fault) => self.faults.with_label_values(&[fault.code()]).inc(),
            Note::Unreadable(code) => self.unreadable.with_label_values(&[code]).inc(),
        }
    }

    pub(super) fn conflict(&self) {
        self.conflicts.inc();
    }
}
