//! A trial: which devices a change goes to first, and when it goes to all. Knows no store and no clock.

use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Tenant};
use provisioning::Revision;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// How a change goes to the fleet, as the configuration says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TrialOptions {
    /// To how many in a hundred of the touched devices it goes first.
    pub share: u32,
    /// How long the trial lasts.
    pub wait: Duration,
    /// How many in a hundred of those that answered may not have failed.
    pub failures: u32,
    /// How many in a hundred of those that were heard of lately must have answered.
    pub answers: u32,
}

impl From<&config::Provisioning> for TrialOptions {
    fn from(config: &config::Provisioning) -> Self {
        Self {
            share: config.canary_share.get(),
            wait: config.canary_wait.get(),
            failures: config.canary_failures.get(),
            answers: config.canary_answers.get(),
        }
    }
}

/// How a trial stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Devices of it are brought to the candidate.
    Running,
    /// Too many failed: no further device is brought to it until an operator says which way.
    Halted,
}

/// What is kept of a trial beside the candidate's texts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trial {
    /// The candidate.
    pub revision: Revision,
    /// Who loaded it: a token's name; nobody's where the files changed by themselves.
    pub actor: Option<Box<str>>,
    /// Since when.
    pub began_at: Timestamp,
    /// How it stands.
    pub state: TrialState,
    /// Why it stands still.
    pub cause: Option<Box<str>>,
    /// Devices whose place is below belong to it.
    pub threshold: u64,
    /// Which share that is, in percent.
    pub share: u32,
    /// How many devices the change touches.
    pub touched: usize,
    /// How many of them belong to the trial.
    pub canaries: usize,
    /// How many of those were heard of in the day before it began: theirs are the answers that are
    /// waited for.
    #[serde(default)]
    pub heard: usize,
    /// How many parameters would be set on all that it touches; absent until that is counted.
    pub parameters: Option<u64>,
}

/// How the devices of a trial fared so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Fared {
    /// They are as the candidate wants.
    pub converged: usize,
    /// They are not, and will not be by themselves.
    pub failed: usize,
}

/// What becomes of a trial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It goes on.
    Wait,
    /// The candidate goes to all.
    Promote,
    /// It stands still, and why.
    Halt(Box<str>),
}

impl Trial {
    /// Whether a device belongs to the trial.
    #[must_use]
    pub fn has(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        place(self.revision, tenant, device) < self.threshold
    }

    /// What becomes of it.
    ///
    /// While too few devices of it have answered, it waits: a night in which nothing informs proves
    /// nothing, and those that a change cuts off say nothing at all.
    #[must_use]
    pub(super) fn verdict(&self, fared: Fared, options: TrialOptions, now: Timestamp) -> Verdict {
        let Fared { converged, failed } = fared;
        if self.state == TrialState::Halted {
            return Verdict::Wait;
        }
        let reaches = |count: usize, of: usize| {
            count > 0 && count.saturating_mul(100) >= of.saturating_mul(options.failures as usize)
        };
        // So many that those who have not answered yet cannot mend it.
        if reaches(failed, self.canaries.max(converged + failed)) {
            return Verdict::Halt(cause(failed, converged + failed));
        }
        let wait = SignedDuration::try_from(options.wait).unwrap_or(SignedDuration::MAX);
        let is_over = now.duration_since(self.began_at) >= wait;
        let answered = converged + failed;
        let awaited = self.heard.saturating_mul(options.answers as usize);
        if !is_over || answered == 0 || answered.saturating_mul(100) < awaited {
            return Verdict::Wait;
        }
        if converged == 0 || reaches(failed, answered) {
            return Verdict::Halt(cause(failed, answered));
        }
        Verdict::Promote
    }
}

fn cause(failed: usize, answered: usize) -> Box<str> {
    format!("{failed} of the {answered} devices that answered failed").into()
}

/// A device's place in a trial of this candidate, evenly spread: the same in every process, and
/// another for another candidate, so that it is not always the same customers who try.
#[must_use]
pub(super) fn place(candidate: Revision, tenant: &Tenant, device: &DeviceId) -> u64 {
    let mut hash = Sha256::new();
    hash.update(candidate.0.to_be_bytes());
    hash.update(tenant.as_str().as_bytes());
    // No tenant's name holds a zero: it separates.
    hash.update([0]);
    hash.update(device.as_str().as_bytes());
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The threshold of a share in percent, so that at least the device at place `least` belongs to it.
#[must_use]
pub(super) fn threshold(share: u32, least: Option<u64>) -> u64 {
    let of_share = u64::MAX / 100 * u64::from(share.min(100));
    of_share.max(least.map_or(0, |least| least.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: TrialOptions =
        TrialOptions { share: 5, wait: Duration::from_secs(3_600), failures: 10, answers: 50 };

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn trial(canaries: usize) -> Trial {
        Trial {
            revision: Revision(1),
            actor: None,
            began_at: time(0),
            state: TrialState::Running,
            cause: None,
            threshold: threshold(5, None),
            share: 5,
            touched: canaries * 20,
            canaries,
            heard: canaries / 2,
            parameters: None,
        }
    }

    fn device(n: u32) -> DeviceId {
        DeviceId::cwmp("00259E", "HG8245", &format!("48575443{n:08X}")).unwrap()
    }

    #[test]
    fn a_share_is_what_it_says_and_differs_by_candidate() {
        let tenant = Tenant::default();
        let of = |revision| -> Vec<u32> {
            let trial = Trial { revision: Revision(revision), ..trial(1) };
            (0..20_000).filter(|n| trial.has(&tenant, &device(*n))).collect()
        };
        let (one, other) = (of(1), of(2));
        // Five in a hundred of 20,000 are 1,000; six standard deviations are 185.
        assert!((815..=1_185).contains(&one.len()), "{}", one.len());
        let both = one.iter().filter(|n| other.contains(n)).count();
        assert!(both < 120, "{both} try twice");
        assert_eq!(of(1), one, "the same in every process");
        assert_eq!(place(Revision(1), &tenant, &device(0)), 0x10ea_4a0c_3c05_c391);
    }

    #[test]
    fn at_least_one_device_tries() {
        assert_eq!(threshold(0, Some(7)), 8);
        assert_eq!(threshold(5, Some(7)), threshold(5, None));
        assert_eq!(threshold(0, Some(u64::MAX)), u64::MAX);
    }

    #[test]
    fn it_ends_when_its_time_is_over_and_enough_have_answered() {
        let fared = |converged, failed| Fared { converged, failed };
        for (second, fared, expected) in [
            (3_599, fared(100, 0), Verdict::Wait),
            (3_600, fared(0, 0), Verdict::Wait),
            // Half of the 50 that were heard of the day before.
            (3_600, fared(24, 0), Verdict::Wait),
            (3_600, fared(24, 1), Verdict::Promote),
            (3_600, fared(25, 0), Verdict::Promote),
            (3_600, fared(91, 9), Verdict::Promote),
            (3_600, fared(27, 3), Verdict::Halt(cause(3, 30))),
            (3_600, fared(0, 1), Verdict::Wait),
            // Before its time, when those that are still away cannot mend it.
            (1, fared(0, 9), Verdict::Wait),
            (1, fared(0, 10), Verdict::Halt(cause(10, 10))),
        ] {
            assert_eq!(trial(100).verdict(fared, OPTIONS, time(second)), expected, "{fared:?}");
        }
        let halted = Trial { state: TrialState::Halted, ..trial(100) };
        assert_eq!(halted.verdict(fared(100, 0), OPTIONS, time(9_999)), Verdict::Wait);
        assert_eq!(trial(1).verdict(fared(0, 1), OPTIONS, time(0)), Verdict::Halt(cause(1, 1)));
        let silent = Trial { heard: 0, ..trial(100) };
        assert_eq!(silent.verdict(fared(0, 0), OPTIONS, time(3_600)), Verdict::Wait);
        assert_eq!(silent.verdict(fared(1, 0), OPTIONS, time(3_600)), Verdict::Promote);
        assert_eq!(silent.verdict(fared(0, 1), OPTIONS, time(3_600)), Verdict::Halt(cause(1, 1)));
    }
}
