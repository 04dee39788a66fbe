//! How long to wait before the next attempt.

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use model::Random;
use std::time::Duration;

/// Exponential pauses with full jitter, without end.
pub(super) struct Backoff {
    builder: ExponentialBuilder,
    ceilings: ExponentialBackoff,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(min)
            .with_max_delay(max)
            .with_factor(2.0)
            .without_max_times();
        Self { builder, ceilings: builder.build(), max }
    }

    /// A pause drawn evenly from 0 to the ceiling, which then doubles.
    pub(super) fn draw(&mut self, random: &mut dyn Random) -> Duration {
        let ceiling = self.ceilings.next().unwrap_or(self.max);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(random.next_u64() % nanos)
    }

    /// Starts over: something succeeded.
    pub(super) fn reset(&mut self) {
        self.ceilings = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Always the highest number.
    struct Most;

    impl Random for Most {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0xFF);
        }
    }

    #[test]
    fn ceilings_double_to_the_cap_and_never_end() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 60);
        for _ in 0..10_000 {
            assert!(backoff.draw(&mut Most) < second * 60);
        }
        backoff.reset();
        assert!(backoff.draw(&mut Most) < second);
        assert!(backoff.draw(&mut Most) < second * 2);
    }
}
