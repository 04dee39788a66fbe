//! Failed sign-ins, limited by the user name that they try.
//!
//! A guesser with many addresses gets no more tries at one device than with one. What is counted
//! must not depend on which names there are, must not grow with those that are tried, and must not
//! be emptied by trying others: so the counts of all names share two tables of fixed size, and a
//! name is spent when both of its places are. Names that share both with a guessed one are spent
//! with it: of fifty thousand devices, under a flood of random names, none is hit by less than some
//! hundred thousand wrong answers a minute.

use model::Monotonic;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Places of one table. Both together are half a megabyte.
const PLACES: usize = 1 << 15;
const MINUTE_NANOS: u64 = 60_000_000_000;
/// Bits of a place that hold the count; those above hold the minute that it is of.
const COUNT_BITS: u32 = 32;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// The failures of the current minute, by user name.
#[derive(Debug)]
pub struct FailedNames {
    per_minute: u32,
    tables: [Box<[AtomicU64]>; 2],
    /// Its own in each process: nobody can choose names that share a place.
    hash: RandomState,
}

impl FailedNames {
    /// Allows `per_minute` failures at each name.
    pub fn new(per_minute: u32) -> Self {
        let table = || (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { per_minute, tables: [table(), table()], hash: RandomState::new() }
    }

    /// Whether a name has used up its failures.
    pub fn is_spent(&self, name: &str, now: Monotonic) -> bool {
        let is_spent = |place: &AtomicU64| {
            let kept = place.load(Ordering::Relaxed);
            kept >> COUNT_BITS == minute(now) && kept & COUNT_MAX >= u64::from(self.per_minute)
        };
        self.places(name).into_iter().all(is_spent)
    }

    /// Counts a failure.
    pub fn count(&self, name: &str, now: Monotonic) {
        let this = minute(now) << COUNT_BITS;
        for place in self.places(name) {
            let count = |kept: u64| {
                if kept >> COUNT_BITS == minute(now) {
                    (kept & COUNT_MAX < COUNT_MAX).then_some(kept + 1)
                } else {
                    Some(this | 1)
                }
            };
            // It fails only where the count is at its highest.
            let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        }
    }

    fn places(&self, name: &str) -> [&AtomicU64; 2] {
        let hash = self.hash.hash_one(name);
        let place =
            |part: u64| usize::try_from(part % PLACES as u64).expect("less than the places");
        [&self.tables[0][place(hash)], &self.tables[1][place(hash >> 32)]]
    }
}

/// Its low bits, one too many: 0 is a place that nothing was counted in.
fn minute(now: Monotonic) -> u64 {
    (now.as_nanos() / MINUTE_NANOS + 1) & COUNT_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_name_waits_out_its_minute() {
        let failed = FailedNames::new(2);
        let start = Monotonic::from_nanos(MINUTE_NANOS);
        assert!(!failed.is_spent("cpe", start));
        failed.count("cpe", start);
        assert!(!failed.is_spent("cpe", start));
        failed.count("cpe", start);
        assert!(failed.is_spent("cpe", start));
        assert!(!failed.is_spent("other", start));
        let next = start + Duration::from_secs(60);
        assert!(!failed.is_spent("cpe", next));
        failed.count("cpe", next);
        assert!(!failed.is_spent("cpe", next), "a new minute starts from nothing");
    }

    #[test]
    fn a_flood_of_other_names_neither_hides_a_guessed_one_nor_spends_the_rest() {
        let failed = FailedNames::new(10);
        let now = Monotonic::from_nanos(1);
        for _ in 0..10 {
            failed.count("victim", now);
        }
        for number in 0..100_000 {
            failed.count(&format!("nobody-{number}"), now);
        }
        assert!(failed.is_spent("victim", now));
        let spent = (0..10_000).filter(|number| failed.is_spent(&format!("cpe-{number}"), now));
        assert!(spent.count() < 10, "a hundred thousand are three in each place");
    }
}
