//! How fast bytes may flow: a debt that is paid off with time.

use model::Monotonic;
use std::time::Duration;

/// Nanoseconds in a second.
const SECOND_NS: u128 = 1_000_000_000;

/// A limit in bytes a second, shared by whoever takes from it. Each taker waits until those before
/// it are paid for, so that many transfers share it evenly and their sum never goes beyond it.
#[derive(Clone, Debug)]
pub struct Pace {
    bytes_per_s: u64,
    /// When everything that was taken so far is paid for.
    paid_at: Monotonic,
}

impl Pace {
    /// A limit; `None` when `bytes_per_s` is 0, which means none.
    pub fn new(bytes_per_s: u64) -> Option<Self> {
        (bytes_per_s > 0).then_some(Self { bytes_per_s, paid_at: Monotonic::ZERO })
    }

    /// Takes `bytes` at `now`: how long to wait until the taker may go on. What nobody took in quiet
    /// times is not saved up.
    #[must_use]
    pub fn take(&mut self, bytes: u64, now: Monotonic) -> Duration {
        let cost_ns = u128::from(bytes) * SECOND_NS / u128::from(self.bytes_per_s);
        let cost = Duration::from_nanos(u64::try_from(cost_ns).unwrap_or(u64::MAX));
        self.paid_at = self.paid_at.max(now) + cost;
        self.paid_at.since(now)
    }

    /// How many bytes are worth `time`, at least one: what is taken at once, so that nobody waits
    /// long for his turn.
    pub fn worth(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.bytes_per_s) * time.as_nanos() / SECOND_NS;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Monotonic = Monotonic::from_nanos(7_000_000_000);

    #[test]
    fn takers_wait_for_each_other_and_rest_is_not_saved_up() {
        let mut pace = Pace::new(1_000).unwrap();
        assert_eq!(pace.take(500, START), Duration::from_millis(500));
        assert_eq!(pace.take(500, START), Duration::from_secs(1));
        let later = START + Duration::from_secs(60);
        assert_eq!(pace.take(100, later), Duration::from_millis(100));
        assert_eq!(pace.worth(Duration::from_millis(250)), 250);
        assert_eq!(pace.worth(Duration::ZERO), 1);
        assert!(Pace::new(0).is_none());
    }

    proptest! {
        /// Whoever waits as long as he is told never goes faster than the limit.
        #[test]
        fn the_limit_holds(
            rate in 1_u64..10_000_000,
            takes in prop::collection::vec(1_u64..1_000_000, 1..50),
        ) {
            let mut pace = Pace::new(rate).unwrap();
            let (mut now, mut sum) = (START, 0_u64);
            for bytes in takes {
                now = now + pace.take(bytes, now);
                sum += bytes;
                let allowed = now.since(START).as_secs_f64() * rate as f64;
                prop_assert!(sum as f64 <= allowed + 1.0 + sum as f64 * 1e-6, "{sum} > {allowed}");
            }
        }
    }
}
