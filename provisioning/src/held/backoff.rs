//! How long is waited before what was refused is tried again.

use jiff::{SignedDuration, Timestamp};

/// Why something is to be tried again, as far as it says how soon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    /// There was no answer. A device that restarted over what it was told comes back within a minute
    /// and is to go on; one that does so every time is left alone for longer and longer.
    Silence,
    /// The device may get over it by itself: it lacked resources, or failed within.
    Passing,
    /// It will hardly be otherwise tomorrow.
    Lasting,
}

impl Pause {
    /// Of a fault code (TR-069 A.5.1).
    pub(super) const fn of(code: u32) -> Self {
        match code {
            9002 | 9004 => Self::Passing,
            _ => Self::Lasting,
        }
    }

    /// The first pause and the longest, in seconds.
    const fn bounds_s(self) -> (i64, i64) {
        match self {
            Self::Silence | Self::Passing => (60, 6 * 3_600),
            Self::Lasting => (600, 24 * 3_600),
        }
    }

    /// When it is tried again after `tries` tries, the last of them now. Each pause is twice the one
    /// before, give or take an eighth: which, `seed` and the path say, the same in every process.
    pub(super) fn until(self, now: Timestamp, tries: u32, seed: u64, path: &str) -> Timestamp {
        let doublings = match self {
            Self::Silence if tries <= 1 => return now,
            Self::Silence => tries - 2,
            Self::Passing | Self::Lasting => tries.saturating_sub(1),
        };
        let (first_s, last_s) = self.bounds_s();
        let pause_s = first_s.saturating_mul(1_i64 << doublings.min(20)).min(last_s);
        let spread = i64::try_from(hash(seed, path, tries) % 256).unwrap_or_default() - 128;
        let pause = SignedDuration::from_secs(pause_s + pause_s * spread / 1_024);
        now.checked_add(pause).unwrap_or(Timestamp::MAX)
    }
}

/// FNV-1a: it need only differ.
fn hash(seed: u64, path: &str, tries: u32) -> u64 {
    let bytes = path.bytes().chain(tries.to_le_bytes());
    let mixed = bytes.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses_s(pause: Pause, tries: u32) -> i64 {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        pause.until(now, tries, 7, "Device.X").duration_since(now).as_secs()
    }

    #[test]
    fn pauses_double_to_a_day() {
        let expected_s = [600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 76_800, 86_400, 86_400];
        for (tries, expected_s) in (1..).zip(expected_s) {
            let pause_s = pauses_s(Pause::of(9007), tries);
            assert!((pause_s - expected_s).abs() <= expected_s / 8, "{tries}: {pause_s}");
        }
        assert!(pauses_s(Pause::Lasting, u32::MAX) <= 86_400 * 9 / 8);
    }

    #[test]
    fn what_may_pass_is_tried_sooner_and_silence_first_at_once() {
        assert!(pauses_s(Pause::of(9004), 1) <= 68);
        assert_eq!(pauses_s(Pause::Silence, 1), 0);
        assert!((52..=68).contains(&pauses_s(Pause::Silence, 2)));
        assert!(pauses_s(Pause::Silence, 40) >= 5 * 3_600);
    }

    #[test]
    fn devices_and_paths_do_not_come_together() {
        let now = Timestamp::UNIX_EPOCH;
        let at = |seed, path| Pause::Lasting.until(now, 3, seed, path);
        let seeds: std::collections::BTreeSet<_> = (0..100).map(|seed| at(seed, "A.B")).collect();
        assert!(seeds.len() > 40, "{}", seeds.len());
        assert_ne!(at(1, "A.B"), at(1, "A.C"));
        assert_eq!(at(1, "A.B"), at(1, "A.B"));
    }
}
