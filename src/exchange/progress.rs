//! How far a reader of the events has come whose messages are acknowledged in any order.

use crate::store::Position;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was read, and what of it is not acknowledged yet.
#[derive(Clone, Debug)]
pub struct Progress {
    read_to: Position,
    open: BTreeSet<u64>,
    before: Ahead,
}

/// What an earlier connection was done with beyond the place up to which it was done with all: the
/// events up to a sequence, but for few.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Ahead {
    to: u64,
    open: BTreeSet<u64>,
}

impl Progress {
    /// Of a reader that begins after `at`.
    #[must_use]
    pub fn new(at: Position) -> Self {
        Self::resumed(at, Ahead::default())
    }

    /// Of one that goes on after `at`, and was done with some of what follows.
    #[must_use]
    pub(super) fn resumed(at: Position, before: Ahead) -> Self {
        Self { read_to: at, open: BTreeSet::new(), before }
    }

    /// Whether an earlier connection was done with the event of that sequence: a client that
    /// acknowledges in any order is not to be sent it again.
    #[must_use]
    pub fn was_done(&self, sequence: u64) -> bool {
        sequence <= self.before.to && !self.before.open.contains(&sequence)
    }

    /// What it is done with beyond [`Self::position`].
    #[must_use]
    pub(super) fn ahead(&self) -> Ahead {
        let read_to = self.read_to.sequence;
        if self.open.is_empty() && read_to >= self.before.to {
            return Ahead::default();
        }
        // What the earlier connection had open and this one has not read yet.
        let unread = self.before.open.range(read_to.saturating_add(1)..).copied();
        let open = self.open.iter().copied().chain(unread).collect();
        Ahead { to: self.before.to.max(read_to), open }
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

    /// Whether anything is sent and not acknowledged.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
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

    #[test]
    fn what_was_done_out_of_order_is_known_to_the_next() {
        let at = |sequence| Position { shard: 0, sequence };
        let mut progress = Progress::new(at(10));
        (11..=14).for_each(|sequence| progress.sent(at(sequence)));
        progress.done(12);
        progress.done(14);
        let ahead = progress.ahead();
        let mut next = Progress::resumed(progress.position(), ahead.clone());
        let done: Vec<_> = (10..=16).filter(|sequence| next.was_done(*sequence)).collect();
        assert_eq!(done, [10, 12, 14]);
        // It ends before it has read them all.
        assert_eq!(next.ahead(), ahead);
        next.sent(at(11));
        assert_eq!(next.ahead(), ahead);
        next.done(11);
        assert!(next.ahead().open.contains(&13), "not read yet");
        for sequence in 12..=14 {
            if next.was_done(sequence) {
                next.passed(at(sequence))
            } else {
                next.sent(at(sequence))
            }
        }
        next.done(13);
        assert_eq!((next.position(), next.ahead()), (at(14), Ahead::default()));
    }
}
