//! What an operator says to a rollout.

use super::{Rollout, RolloutState, Tally};
use jiff::Timestamp;

/// Why an operator's order cannot be followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OrderRefused {
    /// It is done or aborted.
    #[error("the rollout is at its end")]
    AtItsEnd,
    /// It is not paused.
    #[error("the rollout is not paused")]
    NotPaused,
    /// It is not running.
    #[error("the rollout is not running")]
    NotRunning,
    /// The last wave has begun.
    #[error("the last wave has begun")]
    LastWave,
}

impl Rollout {
    /// Stops until it is resumed.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn pause(&mut self, reason: impl Into<Box<str>>) -> Result<(), OrderRefused> {
        match self.state() {
            RolloutState::Running => {
                self.set(RolloutState::Paused, Some(reason.into()));
                Ok(())
            }
            RolloutState::Paused => Err(OrderRefused::NotRunning),
            RolloutState::Done | RolloutState::Aborted => Err(OrderRefused::AtItsEnd),
        }
    }

    /// Goes on. Failures so far are forgiven: the brake counts new ones only. The totals stay.
    ///
    /// # Errors
    ///
    /// When it is not paused.
    pub fn resume(&mut self, now: Timestamp) -> Result<(), OrderRefused> {
        match self.state() {
            RolloutState::Paused => {}
            RolloutState::Running => return Err(OrderRefused::NotPaused),
            RolloutState::Done | RolloutState::Aborted => return Err(OrderRefused::AtItsEnd),
        }
        self.progress.resumed_at = now;
        self.tallies.iter_mut().for_each(Tally::forgive);
        self.set(RolloutState::Running, None);
        self.review(now);
        Ok(())
    }

    /// Ends: no further device gets the image. What is under way is heard out.
    ///
    /// # Errors
    ///
    /// When it is at its end already.
    pub fn abort(&mut self, reason: impl Into<Box<str>>) -> Result<(), OrderRefused> {
        if !self.state().is_open() {
            return Err(OrderRefused::AtItsEnd);
        }
        self.set(RolloutState::Aborted, Some(reason.into()));
        Ok(())
    }

    /// Begins the next wave by hand.
    ///
    /// # Errors
    ///
    /// When it is not running, or in its last wave.
    pub fn next(&mut self, now: Timestamp) -> Result<(), OrderRefused> {
        match self.state() {
            RolloutState::Running if usize::from(self.progress.wave) < self.order.waves.len() => {}
            RolloutState::Running => return Err(OrderRefused::LastWave),
            RolloutState::Paused => return Err(OrderRefused::NotRunning),
            RolloutState::Done | RolloutState::Aborted => return Err(OrderRefused::AtItsEnd),
        }
        self.begin_next(now);
        self.review(now);
        Ok(())
    }
}
