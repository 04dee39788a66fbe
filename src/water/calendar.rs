//! Whether the calendar is to be believed.
//!
//! What the daily job ends stays ended: codes and jerrycans are gone, and people were told. A clock that
//! is set days ahead must not do that to those who have paid for these days. So the calendar is held
//! against the clock that never goes back, and at a start against the last run that the store knows of.
//! One that is ahead of both is believed once it has gone on so for long enough, as after a long time
//! without the daemon, or when an operator says that it is right. One that is behind ends nothing.

use super::{DAILY, Water, next_day};
use crate::store::ReadError;
use jiff::{SignedDuration, Timestamp};
use model::Now;
use std::time::Duration;
use tracing::{error, info};

/// How far the calendar may be off, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// What it may be ahead of the time that has passed.
    pub bound: SignedDuration,
    /// What it may be ahead of the next run at a start: for how long the daemon may have been away.
    pub away: SignedDuration,
    /// For how long it must have gone on so, to be believed all the same.
    pub settle: Duration,
}

/// What the store knows of the past: a run of the daily job, and when the next one was to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastRun {
    pub(super) at: Timestamp,
    pub(super) next: Timestamp,
}

/// What is known of both clocks since the start. Empty as long as nobody has looked at them.
#[derive(Debug, Default)]
pub struct Calendar {
    /// From where the calendar is reckoned.
    from: Option<Now>,
    /// When it was first seen to be off as far as it is now.
    off: Option<Now>,
}

impl Calendar {
    /// By how much the calendar is ahead of what can be believed; `None` where it is believed.
    pub(super) fn look(
        &mut self,
        now: Now,
        last: Option<LastRun>,
        doubt: Doubt,
    ) -> Option<SignedDuration> {
        let from = *self.from.get_or_insert_with(|| match last {
            Some(last) if now.wall.duration_since(last.next) > doubt.away => {
                Now { wall: last.next, ..now }
            }
            // A clock that stands before what has happened is slow.
            Some(last) => Now { wall: now.wall.max(last.at), ..now },
            None => now,
        });
        let ahead = ahead_of(from, now);
        if ahead.abs() <= doubt.bound {
            self.off = None;
            return None;
        }
        let goes_on = |off: &Now| ahead_of(*off, now).abs() <= doubt.bound;
        let off = *self.off.get_or_insert(now);
        let off = if goes_on(&off) { off } else { *self.off.insert(now) };
        if now.monotonic.since(off.monotonic) >= doubt.settle {
            self.believe(now);
            return None;
        }
        ahead.is_positive().then_some(ahead)
    }

    /// Whether the calendar is ahead of what can be believed, where nothing is known of the past.
    pub fn is_ahead(&mut self, now: Now, doubt: Doubt) -> bool {
        self.look(now, None, doubt).is_some()
    }

    /// The calendar is right as it is now.
    fn believe(&mut self, now: Now) {
        *self = Self { from: Some(now), off: None };
    }
}

/// By how much the calendar has gone further than the time that has passed.
fn ahead_of(from: Now, now: Now) -> SignedDuration {
    let passed = SignedDuration::try_from(now.monotonic.since(from.monotonic));
    now.wall.duration_since(from.wall).saturating_sub(passed.unwrap_or(SignedDuration::MAX))
}

impl Water {
    /// By how much the calendar is ahead of what can be believed; `None` where it is believed. Says so
    /// where that has changed.
    pub(super) async fn ahead(&self) -> Result<Option<SignedDuration>, ReadError> {
        let last = self.last_run().await?;
        let now = self.parts.clock.now();
        let ahead = self.calendar.lock().look(now, last, self.options.doubt);
        let was_ahead = self.parts.metrics.ahead(ahead.map_or(0, |it| it.as_secs()));
        match ahead {
            Some(ahead) if !was_ahead => error!(
                "the clock is {ahead:#} ahead of what can be believed: no subscription is ended until \
                 it is right, has gone on so for `water.clock_settle`, or an operator says it is right"
            ),
            None if was_ahead => info!("the clock is believed again"),
            Some(_) | None => {}
        }
        Ok(ahead)
    }

    /// An operator says that the calendar is right.
    pub(super) fn believe_clock(&self) {
        self.calendar.lock().believe(self.parts.clock.now());
    }

    /// The last run of anybody's daily job.
    async fn last_run(&self) -> Result<Option<LastRun>, ReadError> {
        if self.calendar.lock().from.is_some() {
            return Ok(None);
        }
        let mut last = None;
        for tenant in &self.options.tenants {
            last = last.max(self.parts.store.last_done(tenant, DAILY).await?);
        }
        Ok(last.map(|day| LastRun { at: self.run_at(day), next: self.run_at(next_day(day)) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Monotonic;

    const DOUBT: Doubt = Doubt {
        bound: SignedDuration::from_hours(12),
        away: SignedDuration::from_hours(72),
        settle: Duration::from_secs(72 * 3_600),
    };

    /// So many hours after the start by the clock that never goes back, and after `NOON` by the other.
    fn now(passed: u64, wall: i64) -> Now {
        let monotonic = Monotonic::from_nanos(passed * 3_600_000_000_000);
        Now { monotonic, wall: noon() + SignedDuration::from_hours(wall) }
    }

    fn noon() -> Timestamp {
        "2026-11-22T09:00:00Z".parse().unwrap()
    }

    /// A run so many hours before noon.
    fn run(hours: i64) -> Option<LastRun> {
        let at = noon() - SignedDuration::from_hours(hours);
        Some(LastRun { at, next: at + SignedDuration::from_hours(24) })
    }

    fn hours(ahead: Option<SignedDuration>) -> Option<i64> {
        ahead.map(|it| it.as_hours())
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_doubted_until_it_is_set_back_or_has_settled() {
        let mut calendar = Calendar::default();
        let mut look = |passed, wall| hours(calendar.look(now(passed, wall), None, DOUBT));
        assert_eq!([look(0, 0), look(1, 13), look(2, 2)], [None; 3], "within the bound");
        assert_eq!([look(3, 243), look(74, 314)], [Some(240), Some(240)]);
        assert_eq!(look(74, 74), None, "set back");
        assert_eq!([look(75, 315), look(146, 386)], [Some(240), Some(240)], "counted anew");
        assert_eq!([look(147, 387), look(148, 388)], [None, None], "it has settled");
        assert_eq!(look(149, 409), Some(20), "from there on");
    }

    #[test]
    fn a_clock_that_jumps_on_and_on_never_settles() {
        let mut calendar = Calendar::default();
        assert_eq!(calendar.look(now(0, 0), None, DOUBT), None);
        for days in 1_u64..20 {
            let seen = now(days * 24, i64::try_from(days).unwrap() * 48);
            assert!(calendar.look(seen, None, DOUBT).is_some(), "{days}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed_and_is_no_excuse_for_one_that_is_ahead() {
        let mut calendar = Calendar::default();
        let mut look = |passed, wall| hours(calendar.look(now(passed, wall), None, DOUBT));
        assert_eq!([look(0, 0), look(1, -239), look(2, 2)], [None; 3], "back, and right again");
        assert_eq!([look(3, -237), look(75, -165)], [None; 2], "back, for good");
        assert_eq!(look(76, 76), Some(240));
    }

    #[test]
    fn a_start_is_held_against_the_last_run() {
        for (last, wall, expected) in [
            (None, 1_000, None),
            (run(1), 0, None),
            (run(1), 36, None),
            (run(1), 95, None),
            (run(1), 96, Some(73)),
            (run(1), 240, Some(217)),
            (run(-240), 0, None),
        ] {
            let mut calendar = Calendar::default();
            let seen = now(0, wall);
            assert_eq!(hours(calendar.look(seen, last, DOUBT)), expected, "{last:?} {wall}");
        }
        // Without a clock of its own it starts in 1970, until the network has told it the time.
        let mut calendar = Calendar::default();
        let mut look = |passed, wall| hours(calendar.look(now(passed, wall), run(1), DOUBT));
        assert_eq!([look(0, -500_000), look(1, 2)], [None; 2]);
        assert_eq!(look(2, 243), Some(242));
    }

    #[test]
    fn an_operator_is_believed() {
        let mut calendar = Calendar::default();
        assert_eq!(hours(calendar.look(now(0, 240), run(1), DOUBT)), Some(217));
        calendar.believe(now(0, 240));
        assert_eq!(calendar.look(now(1, 241), run(1), DOUBT), None);
    }
}
