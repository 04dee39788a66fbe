//! Time as an argument.

use jiff::Timestamp;
use std::time::Duration;

/// Both clocks, read once by the driver and handed to everything that needs to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// For deadlines: never goes back.
    pub monotonic: Monotonic,
    /// For people and records: may jump.
    pub wall: Timestamp,
}

impl Now {
    /// Both clocks moved on by `duration`; what tests and simulations use in place of waiting.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let wall = self.wall.checked_add(
            jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX),
        );
        Self { monotonic: self.monotonic + duration, wall: wall.unwrap_or(Timestamp::MAX) }
    }
}

/// Nanoseconds since an arbitrary start. Lasts 584 years.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The arbitrary start.
    pub const ZERO: Self = Self(0);
    /// Later than every deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Monotonic {
    type Output = Self;

    /// Saturates at [`Monotonic::NEVER`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_saturate() {
        assert_eq!(Monotonic::NEVER + Duration::MAX, Monotonic::NEVER);
        assert_eq!(Monotonic::ZERO.since(Monotonic::NEVER), Duration::ZERO);
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::UNIX_EPOCH };
        assert_eq!(now.after(Duration::from_secs(2)).wall.as_second(), 2);
        assert_eq!(now.after(Duration::MAX).wall, Timestamp::MAX);
    }
}
