//! How many devices of a wave are at which stage.

use crate::{Attempt, Stage};
use serde::{Deserialize, Serialize};

/// How many devices of a wave are at which stage.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tally {
    /// In the order of [`Stage::ALL`].
    stages: [u32; Stage::ALL.len()],
    /// Of those that failed: how many are tried again.
    retrying: u32,
    /// How many failed, and were not confirmed later, since the rollout was begun or resumed.
    new_failures: u32,
}

impl Tally {
    /// How many are at that stage.
    #[must_use]
    pub const fn of(&self, stage: Stage) -> u32 {
        self.stages[stage as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.stages.iter().sum()
    }

    /// How many failed, and were not confirmed later, since the rollout was begun or resumed.
    #[must_use]
    pub const fn new_failures(&self) -> u32 {
        self.new_failures
    }

    /// How many are given the image: all but those that are refused it.
    #[must_use]
    pub fn admitted(&self) -> u32 {
        self.total() - self.of(Stage::Refused)
    }

    /// How many are not at their end.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.of(Stage::Waiting) + self.under_way() + self.retrying
    }

    /// How many have something of ours in hand.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.of(Stage::Offered) + self.of(Stage::Downloading) + self.of(Stage::Applied)
    }

    /// One more, or one less, that stands like this.
    pub(super) fn count(&mut self, attempt: &Attempt, is_new_failure: bool, more: bool) {
        let add = |count: &mut u32| *count = if more { *count + 1 } else { *count - 1 };
        add(&mut self.stages[attempt.stage as usize]);
        if attempt.stage == Stage::Failed && !attempt.is_settled() {
            add(&mut self.retrying);
        }
        if is_new_failure {
            add(&mut self.new_failures);
        }
    }

    pub(super) fn forgive(&mut self) {
        self.new_failures = 0;
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for (count, more) in sum.stages.iter_mut().zip(other.stages) {
            *count += more;
        }
        sum.retrying += other.retrying;
        sum.new_failures += other.new_failures;
        sum
    }
}
