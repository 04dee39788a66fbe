//! What an operator sees of answers to commands.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, Registry};

/// Every metric of the desk, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    answers: IntCounterVec,
}

/// What became of what a board said to a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answered {
    /// It ended its command.
    Done,
    /// Nobody waits for it: the command has ended, or never was.
    Late,
    /// The command is another board's.
    Foreign,
}

impl Answered {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Late => "late",
            Self::Foreign => "foreign",
        }
    }
}

impl Metrics {
    /// Declares them in `registry`.
    ///
    /// # Errors
    ///
    /// When one of that name is there.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let answers = Maker(registry).counters(
            "lastmile_command_answers_total",
            "Boards' answers to commands, by outcome: done, late (the command has ended, or never \
             was) or foreign (it is another board's).",
            &["outcome"],
        )?;
        Ok(Self { answers })
    }

    /// For whoever shows none.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::new(&Registry::new()).expect("an empty registry has no such name")
    }

    pub(super) fn count_answer(&self, outcome: Answered) {
        self.answers.with_label_values(&[outcome.as_str()]).inc();
    }
}
