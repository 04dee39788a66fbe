//! How many bytes a sink is behind, counted once as they come and taken off as they are done with.

use crate::store::{Position, ReadError, Store};
use std::collections::VecDeque;

/// What lies between a sink and the newest event.
#[derive(Debug)]
pub(crate) struct Lag {
    /// Neighbouring stretches of the outbox, oldest first.
    stretches: VecDeque<Stretch>,
    counted_to: Position,
    bytes: u64,
    /// Stretches are joined up to this, so that there are few.
    joined_bytes_max: u64,
    /// Events counted at once: as many as make a stretch, which depends on how long they are.
    step_events: u64,
}

#[derive(Debug)]
struct Stretch {
    to: Position,
    bytes: u64,
}

/// Most events counted at once: some milliseconds of a reader's time.
const STEP_EVENTS_MAX: u64 = 10_000;
/// Into how many stretches of equal weight what is allowed is divided at most.
const STRETCHES: u64 = 64;

impl Lag {
    /// For a sink that may be `bytes_max` behind.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let stretches = VecDeque::new();
        let joined_bytes_max = bytes_max / STRETCHES;
        let (counted_to, step_events) = (Position::default(), STEP_EVENTS_MAX);
        Self { stretches, counted_to, bytes: 0, joined_bytes_max, step_events }
    }

    /// Bytes between `done` and `head`: exact but for the stretch that `done` lies in, which counts
    /// whole.
    pub(crate) async fn count(
        &mut self,
        store: &dyn Store,
        done: Position,
        head: Position,
    ) -> Result<u64, ReadError> {
        while let Some(passed) = self.stretches.pop_front_if(|first| first.to <= done) {
            self.bytes -= passed.bytes;
        }
        self.counted_to = self.counted_to.max(done);
        while self.counted_to < head {
            let sequence = (self.counted_to.sequence + self.step_events).min(head.sequence);
            let to = Position { sequence, ..head };
            let bytes = store.bytes_between(self.counted_to, to).await?;
            let events = sequence - self.counted_to.sequence;
            if bytes > self.joined_bytes_max && events > 1 {
                self.step_events = events / 2;
                continue;
            }
            if bytes < self.joined_bytes_max / 4 {
                self.step_events = (self.step_events * 2).min(STEP_EVENTS_MAX);
            }
            self.counted_to = to;
            self.bytes += bytes;
            match self.stretches.back_mut() {
                Some(last) if last.bytes + bytes <= self.joined_bytes_max => {
                    last.bytes += bytes;
                    last.to = to;
                }
                _ => self.stretches.push_back(Stretch { to, bytes }),
            }
        }
        Ok(self.bytes)
    }

    /// Where to go on so that at most `bytes` are left to do: the end of a stretch. `None` when no
    /// more is.
    pub(crate) fn leaving(&self, bytes: u64) -> Option<Position> {
        let (mut left, mut to) = (self.bytes, None);
        for stretch in &self.stretches {
            if left <= bytes {
                break;
            }
            left -= stretch.bytes;
            to = Some(stretch.to);
        }
        to
    }
}
