//! A clock that is set while the daemon runs, as of a box that has none of its own and asks another
//! later. What was timed before is moved along: nobody is away for the longer by it.

use super::{Exchange, RetainNot};
use crate::store::{MqttChange, Operation};
use jiff::{SignedDuration, Timestamp};
use model::{Monotonic, Now};
use std::ops::RangeInclusive;
use std::sync::Arc;
use tracing::{info, warn};

/// What is no step: a clock that is slewed, or a look that was cut in two by the scheduler.
const STEP_MIN: SignedDuration = SignedDuration::from_secs(10);

/// By which time things were timed here.
#[derive(Debug)]
pub(super) struct Times {
    first: Timestamp,
    last: Timestamp,
    last_monotonic: Monotonic,
}

/// Times that are wrong, and by how much.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Step {
    wrong: RangeInclusive<Timestamp>,
    by: SignedDuration,
}

impl Times {
    pub(super) fn since(now: Now) -> Self {
        Self { first: now.wall, last: now.wall, last_monotonic: now.monotonic }
    }

    /// What has been timed wrongly until now, where the clock was set since the last call.
    fn step(&mut self, now: Now) -> Option<Step> {
        let passed = SignedDuration::try_from(now.monotonic.since(self.last_monotonic)).ok()?;
        let by = self.last.duration_until(now.wall) - passed;
        // What was timed since the last look is wrong, too.
        let wrong = self.first..=self.last.checked_add(passed).unwrap_or(self.last);
        (self.last, self.last_monotonic) = (now.wall, now.monotonic);
        if by.abs() < STEP_MIN {
            return None;
        }
        self.first = self.first.checked_add(by).unwrap_or(self.first);
        Some(Step { wrong, by })
    }
}

impl Exchange {
    /// Moves ends and ages of sessions and of what waits for them by as much as the clock was set
    /// since the last call; call it before [`Exchange::look`].
    pub async fn follow_clock(&self, now: Now) {
        let Some(Step { wrong, by }) = self.times.lock().step(now) else { return };
        info!(by_s = by.as_secs(), "the clock was set; sessions' times are moved along");
        let sessions: Vec<_> = self.by_number.iter().map(|found| Arc::clone(&found)).collect();
        for session in sessions {
            let mut inner = session.lock();
            inner.queue.shift(&wrong, by);
            let Some(left_at) = inner.left_at.filter(|at| wrong.contains(at)) else { continue };
            let before = inner.due_at();
            inner.left_at = left_at.checked_add(by).ok();
            if let Some((at, _)) = &mut inner.will {
                *at = at.checked_add(by).unwrap_or(*at);
            }
            let mut timers = self.timers.lock();
            timers.retain_not(before, session.number);
            if let Some(at) = inner.due_at().filter(|_| !inner.is_live) {
                timers.insert((at, session.number));
            }
        }
        let (from, to) = wrong.into_inner();
        let operation = Operation::Mqtt(MqttChange::Shift { from, to, by });
        if let Err(error) = self.writer.transact(vec![operation]).await {
            warn!(%error, "that the clock was set is not written; it counts until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall_s: i64, monotonic_s: u64) -> Now {
        let monotonic = Monotonic::from_nanos(monotonic_s * 1_000_000_000);
        Now { monotonic, wall: Timestamp::from_second(wall_s).unwrap() }
    }

    #[test]
    fn only_what_was_timed_by_the_wrong_clock_is_moved() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut times = Times::since(now(100, 0));
        assert_eq!(times.step(now(160, 60)), None);
        assert_eq!(times.step(now(169, 61)), None, "no more than a slewed clock");
        let by = SignedDuration::from_secs(1_000_000);
        let step = times.step(now(1_000_171, 63));
        assert_eq!(step, Some(Step { wrong: at(100)..=at(171), by }));
        assert_eq!(times.step(now(1_000_181, 73)), None);
        let step = times.step(now(100, 74));
        let by = SignedDuration::from_secs(-1_000_082);
        assert_eq!(step, Some(Step { wrong: at(1_000_100)..=at(1_000_182), by }));
    }
}
