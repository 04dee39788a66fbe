//! How far a reader of the events has come whose messages are acknowledged in any order.

use crate::store::Position;
use std::collections::BTreeSet;

/// What was read, and what of it is not acknowledged yet.
#[derive(Clone, Debug)]
pub struct Progress {
    read_to: Position,
    open: BTreeSet<u64>,
}

impl Progress {
    /// Of a reader that begins after `at`.
    #[must_use]
    pub fn new(at: Position) -> Self {
        Self { read_to: at, open: BTreeSet::new() }
    }

    /// An event was read that nobody has to acknowledge.
    pub fn passed(&mut self, at: Position) {
        self.read_to = self.read_to.max(at);
    }

    /// An event was read that must be acknowledged.
    pub fn sent(&mut self, at: Position) {
        self.passed(at);
        self.open.insert(at.sequence);
    }

    /// Where reading goes on.
    pub(super) fn read_to(&self) -> Position {
        self.read_to
    }

    /// The event of that sequence is acknowledged, or given up.
    pub fn done(&mut self, sequence: u64) {
        self.open.remove(&sequence);
    }

    /// Everything up to here is done with.
    #[must_use]
    pub fn position(&self) -> Position {
        let sequence = match self.open.first() {
            Some(first) => first.saturating_sub(1).min(self.read_to.sequence),
            None => self.read_to.sequence,
        };
        Position { sequence, ..self.read_to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_before_the_first_that_is_open() {
        let at = |sequence| Position { shard: 0, sequence };
        let mut progress = Progress::new(at(10));
        progress.sent(at(11));
        progress.passed(at(12));
        progress.sent(at(13));
        assert_eq!(progress.position(), at(10));
        progress.done(13);
        assert_eq!(progress.position(), at(10));
        progress.done(11);
        assert_eq!(progress.position(), at(13));
    }
}
