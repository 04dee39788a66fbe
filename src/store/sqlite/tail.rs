//! The newest runs, in memory as they were committed: who keeps up with the outbox reads them here, and
//! neither asks the file nor waits for it.

use super::run::Run;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bounded end of the outbox.
#[derive(Debug)]
pub(super) struct Tail {
    runs: Mutex<Runs>,
    bytes_max: usize,
}

/// Runs without a gap, oldest first.
#[derive(Debug, Default)]
struct Runs {
    runs: VecDeque<Arc<Run>>,
    bytes: usize,
}

impl Tail {
    /// One that keeps at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { runs: Mutex::default(), bytes_max }
    }

    /// Keeps what was committed just now.
    pub(super) fn push(&self, committed: Vec<Run>) {
        let mut runs = self.lock();
        for run in committed {
            // A commit of which it is not known whether it happened leaves a gap.
            if runs.runs.back().is_some_and(|last| last.last + 1 != run.first) {
                *runs = Runs::default();
            }
            runs.bytes += run.body.len();
            runs.runs.push_back(Arc::new(run));
        }
        while runs.bytes > self.bytes_max {
            let Some(oldest) = runs.runs.pop_front() else { break };
            runs.bytes -= oldest.body.len();
        }
    }

    /// Runs from the one with that sequence on, as many as hold about `rows_max` events or `bytes_max`
    /// bytes of data; `None` when it is not here any more, or not yet.
    pub(super) fn from(
        &self,
        sequence: u64,
        rows_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<Arc<Run>>> {
        let runs = self.lock();
        runs.runs.front().filter(|oldest| oldest.first <= sequence)?;
        let begin = runs.runs.partition_point(|run| run.last < sequence);
        let (mut rows, mut bytes) = (0, 0);
        let wanted = runs.runs.range(begin..).take_while(|run| {
            let has_room = rows < rows_max as u64 && bytes < bytes_max as u64;
            // Of the first not all may be wanted.
            rows += run.last - run.first.max(sequence) + 1;
            bytes += if run.first < sequence { 0 } else { run.bytes };
            has_room
        });
        Some(wanted.map(Arc::clone).collect()).filter(|runs: &Vec<_>| !runs.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, last: u64) -> Run {
        Run { first, last, newest: 0, bytes: 10 * (last - first + 1), body: vec![0; 100] }
    }

    fn firsts(runs: Option<Vec<Arc<Run>>>) -> Option<Vec<u64>> {
        Some(runs?.iter().map(|run| run.first).collect())
    }

    #[test]
    fn who_keeps_up_finds_what_he_lacks() {
        let tail = Tail::new(350);
        assert_eq!(firsts(tail.from(1, 9, 999)), None);
        tail.push(vec![run(5, 6), run(7, 7), run(8, 11)]);
        assert_eq!(firsts(tail.from(4, 99, 999)), None, "older than what is kept");
        assert_eq!(firsts(tail.from(5, 99, 999)), Some(vec![5, 7, 8]));
        assert_eq!(firsts(tail.from(6, 2, 999)), Some(vec![5, 7]));
        assert_eq!(firsts(tail.from(6, 99, 10)), Some(vec![5, 7]));
        assert_eq!(firsts(tail.from(12, 9, 999)), None, "not committed yet");
        tail.push(vec![run(12, 12)]);
        assert_eq!(firsts(tail.from(6, 9, 999)), None, "the bound took it");
        assert_eq!(firsts(tail.from(7, 99, 999)), Some(vec![7, 8, 12]));
    }

    #[test]
    fn behind_a_gap_it_begins_anew() {
        let tail = Tail::new(1_000);
        tail.push(vec![run(1, 2)]);
        tail.push(vec![run(5, 6)]);
        assert_eq!(firsts(tail.from(1, 9, 999)), None);
        assert_eq!(firsts(tail.from(5, 9, 999)), Some(vec![5]));
    }
}
