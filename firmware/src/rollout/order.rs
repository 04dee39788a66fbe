//! What an operator orders: which image, for whom, in which waves, and when to stop.

use crate::{ImageName, Policy};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most waves.
pub const WAVES_MAX: usize = 16;
/// Most tries for each device.
pub const TRIES_MAX: u16 = 100;
/// Longest life of a rollout: a year, as long as a command may wait.
pub const LIVES_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Whom a rollout is for: devices for which all that is given holds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Of this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Box<str>>,
    /// With this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Box<str>>,
    /// Of this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Box<str>>,
    /// Of this customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Box<str>>,
    /// With this text in their identity or names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<Box<str>>,
}

/// When a rollout stops by itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Brake {
    /// When so many percent of a wave have failed since it was begun or resumed.
    Wave(u8),
    /// When so many devices at the least, and such a share of those that tried, have failed: of one
    /// that has no waves, since devices come to it one by one.
    Count {
        /// Devices.
        failures_min: u32,
        /// Percent of those that tried.
        failures_share: u32,
    },
}

/// What is ordered. Immutable once the rollout is made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Order {
    /// The image.
    pub image: ImageName,
    /// Its content, in hexadecimal: another content under the name is another image.
    pub sha256: Box<str>,
    /// The version that a device reports once it runs.
    pub version: Box<str>,
    /// For whom; `None` where devices are named one by one.
    pub target: Option<Target>,
    /// How many percent of the devices have had their turn when each wave is over: rising, the last
    /// is 100.
    pub waves: Vec<u8>,
    /// How many percent of a wave must be confirmed for the next to begin while others of it are
    /// still on their way.
    pub success_threshold: u8,
    /// When it stops by itself.
    pub brake: Brake,
    /// How long devices that do not come hold the next wave up, in seconds.
    pub wave_wait_s: u64,
    /// Failures after which a device is left alone.
    pub tries_max: u16,
    /// How long it lives, in seconds: who has not come by then is not waited for any more; `None`
    /// for one that stands until it is taken away.
    pub lives_s: Option<u64>,
    /// Whether the refusals are passed over that can be.
    pub force: bool,
    /// Whether devices that come to fit the target later join.
    pub dynamic: bool,
}

/// Why an order is not one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// The waves are no such list.
    #[error("`waves` are 1 to {WAVES_MAX} rising percentages of which the last is 100")]
    Waves,
    /// The success threshold is no percentage.
    #[error("`success_threshold` is 1 to 100 percent")]
    Success,
    /// The failure threshold is no percentage.
    #[error("`failure_threshold` is 1 to 100 percent")]
    Failure,
    /// The number of tries is out of bounds.
    #[error("`tries_max` is 1 to {TRIES_MAX}")]
    Tries,
    /// It lives too long.
    #[error("a rollout lives for a year at most")]
    Lives,
}

impl Order {
    /// Whether it can be carried out.
    ///
    /// # Errors
    ///
    /// The first bound that it does not keep.
    pub fn check(&self) -> Result<(), OrderError> {
        let rises = self.waves.is_sorted_by(|a, b| a < b) && self.waves.first() > Some(&0);
        if !rises || self.waves.len() > WAVES_MAX || self.waves.last() != Some(&100) {
            return Err(OrderError::Waves);
        }
        if !(1..=100).contains(&self.success_threshold) {
            return Err(OrderError::Success);
        }
        if matches!(self.brake, Brake::Wave(percent) if !(1..=100).contains(&percent)) {
            return Err(OrderError::Failure);
        }
        if !(1..=TRIES_MAX).contains(&self.tries_max) {
            return Err(OrderError::Tries);
        }
        match self.lives_s {
            Some(lives_s) if Duration::from_secs(lives_s) > LIVES_MAX => Err(OrderError::Lives),
            _ => Ok(()),
        }
    }

    /// How its attempts are made, within the daemon's bounds of time.
    #[must_use]
    pub const fn policy(&self, download_time: Duration, apply_grace: Duration) -> Policy {
        Policy { failures_max: self.tries_max, download_time, apply_grace }
    }
}
