//! Names of commands.

use crate::clock::SystemRandom;
use jiff::Timestamp;
use model::{CommandId, Random as _};
use std::sync::{Mutex, PoisonError};

/// Names commands in the order of their creation: ULIDs, of which a second in the same millisecond
/// is one more than the first.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<u128>);

impl Names {
    pub(super) fn next(&self, now: Timestamp) -> CommandId {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let mut random = [0; 16];
        SystemRandom.fill(&mut random);
        let fresh = ulid::Ulid::from_parts(millis, u128::from_ne_bytes(random)).0;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = fresh.max(last.saturating_add(1));
        let text = ulid::Ulid(*last).to_string();
        CommandId::new(&text).expect("a ULID is 26 letters and digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_follow_each_other_within_a_millisecond_and_when_the_clock_goes_back() {
        let names = Names::default();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut last = names.next(now);
        for second in [1_000_000, 1_000_000, 999_999, 1_000_001] {
            let next = names.next(Timestamp::from_second(second).unwrap());
            assert!(next > last);
            last = next;
        }
    }
}
