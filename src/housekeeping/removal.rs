//! Removes what is old, in pages: one of each kind in a second, as long as there is more, and as long as
//! the calendar is believed: what is removed for being old does not come back when the clock is set back.

use crate::clock::Clock;
use crate::metrics::Maker;
use crate::store::{CommitError, Old, OldStore};
use crate::water::{Calendar, Doubt};
use jiff::{SignedDuration, Timestamp};
use model::Monotonic;
use prometheus::{IntCounterVec, Registry};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// How often it is looked whether something has grown old.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Rows that are removed in one transaction: few enough for the room that a full store keeps for what
/// frees some, and for nobody to wait for it.
const ROWS: usize = 150;

/// How long each kind is kept.
pub type Keep = Vec<(Old, SignedDuration)>;

struct Kind {
    what: Old,
    keep: SignedDuration,
    look_at: Monotonic,
}

/// Removes what is old.
pub struct Removal {
    store: Arc<dyn OldStore>,
    clock: Clock,
    removed: IntCounterVec,
    kinds: Vec<Kind>,
    calendar: Calendar,
    doubt: Doubt,
}

impl std::fmt::Debug for Removal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Removal({} kinds)", self.kinds.len())
    }
}

impl Removal {
    /// Removes each kind when it is so old.
    ///
    /// # Errors
    ///
    /// When its metric is there.
    pub fn new(
        store: Arc<dyn OldStore>,
        clock: Clock,
        (keep, doubt): (Keep, Doubt),
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let removed = Maker(registry).counters(
            "lastmile_store_removed_total",
            "Rows that were removed because they were old, by what they were.",
            &["what"],
        )?;
        let kind = |(what, keep)| {
            removed.with_label_values(&[Old::as_str(what)]);
            Kind { what, keep, look_at: Monotonic::ZERO }
        };
        let kinds = keep.into_iter().map(kind).collect();
        Ok(Self { store, clock, removed, kinds, calendar: Calendar::default(), doubt })
    }

    /// Removes a page of each kind that is due.
    pub async fn step(&mut self) {
        let now = self.clock.now();
        if self.calendar.is_ahead(now, self.doubt) {
            return;
        }
        for kind in &mut self.kinds {
            if now.monotonic < kind.look_at {
                continue;
            }
            let older_than = now.wall.checked_sub(kind.keep).unwrap_or(Timestamp::MIN);
            let removed = match self.store.remove_old(kind.what, older_than, ROWS).await {
                Ok(removed) => removed,
                Err(CommitError::Full) => {
                    debug!(what = kind.what.as_str(), "no room to remove what is old; tried again");
                    0
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(what = kind.what.as_str(), error, "what is old is not removed");
                    0
                }
            };
            self.removed.with_label_values(&[kind.what.as_str()]).inc_by(removed);
            if removed < ROWS as u64 {
                kind.look_at = now.monotonic + LOOK_EVERY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use parking_lot::Mutex;

    /// So many rows of each kind, each second older than the one before.
    struct Rows(Mutex<Vec<(Old, Timestamp)>>);

    #[async_trait]
    impl OldStore for Rows {
        async fn remove_old(
            &self,
            what: Old,
            older_than: Timestamp,
            rows_max: usize,
        ) -> Result<u64, CommitError> {
            if what == Old::Texts {
                return Err(CommitError::Full);
            }
            let mut rows = self.0.lock();
            let is_old = |it: &mut (Old, Timestamp)| it.0 == what && it.1 < older_than;
            let gone = rows.extract_if(.., is_old).take(rows_max).count();
            Ok(gone as u64)
        }
    }

    fn doubt() -> Doubt {
        let day = SignedDuration::from_hours(24);
        Doubt { bound: day, away: day, settle: Duration::from_secs(3 * 86_400) }
    }

    #[tokio::test]
    async fn a_calendar_that_jumps_ahead_removes_nothing() {
        let begin: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let (clock, time) = Clock::virtual_at(begin);
        let store = Arc::new(Rows(Mutex::new(vec![(Old::Payments, begin)])));
        let keep = vec![(Old::Payments, SignedDuration::from_hours(24 * 400))];
        let parts = (Arc::clone(&store) as _, clock, (keep, doubt()));
        let mut removal = Removal::new(parts.0, parts.1, parts.2, &Registry::new()).unwrap();
        removal.step().await;
        let years = SignedDuration::from_hours(24 * 800);
        time.jump_wall(years);
        removal.step().await;
        time.jump_wall(-years);
        time.pass(LOOK_EVERY);
        removal.step().await;
        assert_eq!(store.0.lock().len(), 1);
    }

    #[tokio::test]
    async fn what_is_old_goes_in_pages_and_is_counted() {
        let begin: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let (clock, time) = Clock::virtual_at(begin);
        let of = |what, count: i64| {
            (0..count).map(move |it| (what, begin - SignedDuration::from_secs(it)))
        };
        let rows = of(Old::Payments, 500).chain(of(Old::Effects, 10));
        let store = Arc::new(Rows(Mutex::new(rows.collect())));
        let day = SignedDuration::from_hours(24);
        let keep = vec![(Old::Payments, day), (Old::Effects, day * 2), (Old::Texts, day)];
        let registry = Registry::new();
        let kept = (keep, doubt());
        let mut removal = Removal::new(Arc::clone(&store) as _, clock, kept, &registry).unwrap();
        removal.step().await;
        assert_eq!(store.0.lock().len(), 510, "all of it is young");
        time.pass(Duration::from_secs(86_400 + 1));
        for left in [360, 210, 60, 10, 10] {
            removal.step().await;
            assert_eq!(store.0.lock().len(), left, "a page of it");
        }
        time.pass(Duration::from_secs(86_400));
        removal.step().await;
        assert_eq!(store.0.lock().len(), 0);
        let counted = |what: Old| removal.removed.with_label_values(&[what.as_str()]).get();
        assert_eq!([Old::Payments, Old::Effects, Old::Texts].map(counted), [500, 10, 0]);
    }
}
