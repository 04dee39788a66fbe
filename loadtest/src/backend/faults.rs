//! How the backend misbehaves, as the command line asks.

use crate::args;
use crate::ledger::Tag;
use hyper::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What it does to batches.
#[derive(Debug)]
pub(crate) struct Faults {
    stall: Duration,
    fail: f64,
    cut: f64,
    forget: f64,
    poison: f64,
    outage: Option<(Duration, Duration)>,
    began: Instant,
    dice: Dice,
}

/// What it does to one batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mood {
    /// Keeps it.
    Keep,
    /// Keeps it, but the sender does not hear.
    KeepAndCut,
    /// Says that it keeps it, and does not: what a broken backend does.
    Forget,
    /// Does not keep it now.
    Busy(StatusCode),
}

impl Faults {
    /// As the command line says.
    pub(crate) fn new(args: &args::Backend, began: Instant) -> Self {
        Self {
            stall: args.backend_stall,
            fail: args.backend_fail,
            cut: args.backend_cut,
            forget: args.backend_forget,
            poison: args.backend_poison,
            outage: args.backend_outage,
            began,
            dice: Dice(AtomicU64::new(1)),
        }
    }

    /// Takes its time.
    pub(super) async fn think(&self) {
        if !self.stall.is_zero() {
            tokio::time::sleep(self.stall).await;
        }
    }

    /// What becomes of the next batch.
    pub(super) fn mood(&self) -> Mood {
        let age = self.began.elapsed();
        if self.outage.is_some_and(|(after, long)| age >= after && age < after + long) {
            return Mood::Busy(StatusCode::SERVICE_UNAVAILABLE);
        }
        let thrown = self.dice.throw();
        if thrown < self.fail / 2.0 {
            Mood::Busy(StatusCode::TOO_MANY_REQUESTS)
        } else if thrown < self.fail {
            Mood::Busy(StatusCode::SERVICE_UNAVAILABLE)
        } else if thrown < self.fail + self.cut {
            Mood::KeepAndCut
        } else if thrown < self.fail + self.cut + self.forget {
            Mood::Forget
        } else {
            Mood::Keep
        }
    }

    /// Whether any fact is refused for good.
    pub(super) fn has_poison(&self) -> bool {
        self.poison > 0.0
    }

    /// Whether this is the one fact of its device that is refused for good. Always the same answer.
    pub(super) fn is_poison(&self, tag: Tag) -> bool {
        /// Not the first, so that something stands before it.
        const POISONOUS: u32 = 3;
        tag.number == POISONOUS && spread(u64::from(tag.stream)) < self.poison
    }
}

/// Chance that is the same in every run, so that a run can be made again.
#[derive(Debug)]
struct Dice(AtomicU64);

impl Dice {
    fn throw(&self) -> f64 {
        spread(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A number in 0..1 that looks like chance (the mixing step of SplitMix64).
#[expect(clippy::cast_precision_loss, reason = "53 bits are taken")]
fn spread(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(fail: f64, cut: f64, poison: f64) -> Faults {
        Faults {
            stall: Duration::ZERO,
            fail,
            cut,
            forget: 0.0,
            poison,
            outage: None,
            began: Instant::now(),
            dice: Dice(AtomicU64::new(1)),
        }
    }

    #[test]
    fn shares_are_kept() {
        let faults = faults(0.2, 0.1, 0.5);
        let moods: Vec<_> = (0..10_000).map(|_| faults.mood()).collect();
        let share = |wanted: fn(&Mood) -> bool| moods.iter().filter(|it| wanted(it)).count();
        assert!((1800..2200).contains(&share(|it| matches!(it, Mood::Busy(_)))));
        assert!((850..1150).contains(&share(|it| *it == Mood::KeepAndCut)));
        let poisoned =
            (0..1000).filter(|&stream| faults.is_poison(Tag { run: 1, stream, number: 3 })).count();
        assert!((400..600).contains(&poisoned), "{poisoned}");
        assert!(!faults.is_poison(Tag { run: 1, stream: 0, number: 2 }));
    }

    #[test]
    fn well_behaved_by_default() {
        let kind = faults(0.0, 0.0, 0.0);
        assert!((0..1000).all(|_| kind.mood() == Mood::Keep));
        assert!((0..1000).all(|stream| !kind.is_poison(Tag { run: 1, stream, number: 3 })));
        let sleepy = Faults { forget: 1.0, ..faults(0.0, 0.0, 0.0) };
        assert_eq!(sleepy.mood(), Mood::Forget);
        let outage = Faults { outage: Some((Duration::ZERO, Duration::from_secs(3600))), ..kind };
        assert!(matches!(outage.mood(), Mood::Busy(_)));
    }
}
