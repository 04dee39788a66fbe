//! One device on its way to an image, whichever way the bytes travel.
//!
//! The machine is the same where we tell a CPE to download and where a board asks for its firmware
//! by itself: it hears that the image was [`Attempt::offered`], of [`Attempt::progress`], that it
//! was [`Attempt::applied`] or [`Attempt::failed`], and what version the device
//! [`Attempt::reported`]. Only that last word confirms it.

use jiff::{SignedDuration, Timestamp};
use model::Random;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The pause after the first try, and before a device that does not come is woken again.
pub const PAUSE_FIRST: Duration = Duration::from_secs(600);
/// The longest pause: it doubles up to here.
pub const PAUSE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// How far a device is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing was done yet.
    #[default]
    Waiting,
    /// It is to be told, or was and has not begun.
    Offered,
    /// It fetches the image, or was told to.
    Downloading,
    /// It says that it took the image over; it may be restarting.
    Applied,
    /// It reports the image's version.
    Confirmed,
    /// It did not come to run the image; `due_at` says whether it is tried again.
    Failed,
    /// It is not given the image.
    Refused,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Offered,
        Self::Downloading,
        Self::Applied,
        Self::Confirmed,
        Self::Failed,
        Self::Refused,
    ];

    /// The word used in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Applied => "applied",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    /// The stage of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word)
    }

    /// Whether the device has something of ours in hand.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Offered | Self::Downloading | Self::Applied)
    }
}

/// How attempts are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Failures after which a device is left alone.
    pub failures_max: u16,
    /// Longest time from the offer to the end of the download.
    pub download_time: Duration,
    /// Longest time in which a device that took the image over restarts and reports.
    pub apply_grace: Duration,
}

/// One device on its way to an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Attempt {
    /// How far it is.
    pub stage: Stage,
    /// How often it was offered the image: names each try.
    pub tries: u16,
    /// How often that failed.
    pub failures: u16,
    /// How often it was woken in vain since the last try.
    pub wakes: u16,
    /// Since when it is at this stage.
    pub since: Timestamp,
    /// Not offered again before.
    pub not_before: Option<Timestamp>,
    /// When the clock has something to do with it: to wake it, or to give up waiting for it.
    pub due_at: Option<Timestamp>,
    /// When it failed last.
    pub failed_at: Option<Timestamp>,
    /// What it ran when it was offered the image.
    pub version_before: Option<Box<str>>,
    /// Why it is where it is, in plain words.
    pub cause: Option<Box<str>>,
}

/// What a device reports when it calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report<'a> {
    /// The version that it runs.
    pub version: &'a str,
    /// Whether it has just restarted.
    pub is_booting: bool,
}

impl Attempt {
    /// Waits since `now`, woken as soon as there is room.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// Is not to be made at all.
    #[must_use]
    pub fn refused(cause: impl Into<Box<str>>, now: Timestamp) -> Self {
        Self { stage: Stage::Refused, since: now, cause: Some(cause.into()), ..Self::default() }
    }

    /// Whether the device may be offered the image now: it waits, or it failed and its pause is over.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        match self.stage {
            Stage::Waiting => self.not_before.is_none_or(|at| at <= now),
            Stage::Failed => self.not_before.is_some_and(|at| at <= now),
            _ => false,
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.stage {
            Stage::Confirmed | Stage::Refused => true,
            Stage::Failed => self.not_before.is_none(),
            _ => false,
        }
    }

    /// The image is offered: the number of this try. Only to a device that [`Attempt::is_ready`].
    pub fn offered(&mut self, runs: Option<&str>, policy: Policy, now: Timestamp) -> Option<u16> {
        if !self.is_ready(now) {
            return None;
        }
        self.go(Stage::Offered, now, None);
        self.tries = self.tries.saturating_add(1);
        self.wakes = 0;
        self.not_before = None;
        self.due_at = Some(after(now, policy.download_time));
        self.version_before = runs.map(Into::into);
        Some(self.tries)
    }

    /// The offer is taken back before the device has heard it. Says whether it was.
    pub fn withdrawn(&mut self, cause: impl Into<Box<str>>, now: Timestamp) -> bool {
        let is_possible = self.stage == Stage::Offered;
        if is_possible {
            self.go(Stage::Waiting, now, Some(cause.into()));
            self.due_at = Some(now);
        }
        is_possible
    }

    /// The device has begun to fetch the image, or was told to. Says whether that is news.
    pub fn fetching(&mut self, now: Timestamp) -> bool {
        let is_news = self.stage == Stage::Offered;
        if is_news {
            self.go(Stage::Downloading, now, None);
        }
        is_news
    }

    /// The device says that it took the image over. Says whether that is news.
    pub fn applied(&mut self, policy: Policy, now: Timestamp) -> bool {
        let is_news = matches!(self.stage, Stage::Offered | Stage::Downloading);
        if is_news {
            self.go(Stage::Applied, now, None);
            self.due_at = Some(after(now, policy.apply_grace));
        }
        is_news
    }

    /// The try under way has failed. Says whether there was one.
    pub fn failed(
        &mut self,
        cause: impl Into<Box<str>>,
        policy: Policy,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> bool {
        if !self.stage.is_under_way() {
            return false;
        }
        self.go(Stage::Failed, now, Some(cause.into()));
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        let again = self.failures < policy.failures_max;
        self.not_before = again.then(|| after(now, pause(self.failures, random)));
        self.due_at = self.not_before;
        true
    }

    /// The device is not given the image after all. Says whether that can still be said.
    pub fn refuse(&mut self, cause: impl Into<Box<str>>, now: Timestamp) -> bool {
        let is_possible = matches!(self.stage, Stage::Waiting | Stage::Failed);
        if is_possible {
            self.go(Stage::Refused, now, Some(cause.into()));
        }
        is_possible
    }

    /// The image is for the device no longer, and what it was offered ends with that, begun or not. Says
    /// whether it does: what has been fetched whole is about to be reported.
    pub fn leave(&mut self, cause: impl Into<Box<str>>, now: Timestamp) -> bool {
        let is_possible = matches!(
            self.stage,
            Stage::Waiting | Stage::Failed | Stage::Offered | Stage::Downloading
        );
        if is_possible {
            self.go(Stage::Refused, now, Some(cause.into()));
        }
        is_possible
    }

    /// The device reports what it runs. Says whether that moved it: to [`Stage::Confirmed`] when it
    /// is `wanted`, to [`Stage::Failed`] when it is neither that nor what is expected until it has
    /// restarted.
    pub fn reported(
        &mut self,
        report: Report<'_>,
        wanted: &str,
        policy: Policy,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> bool {
        let is_as_before = self.version_before.as_deref() == Some(report.version);
        if report.version.trim() == wanted.trim() {
            let cause = match self.stage {
                Stage::Confirmed | Stage::Refused => return false,
                // It ran it before: only that it took the image over is news.
                Stage::Offered | Stage::Downloading if is_as_before => return false,
                Stage::Offered | Stage::Downloading | Stage::Applied => None,
                Stage::Waiting => Some("it ran this version before it was offered"),
                Stage::Failed => Some("it came to run this version after all"),
            };
            self.go(Stage::Confirmed, now, cause.map(Into::into));
            return true;
        }
        let is_wrong = match self.stage {
            Stage::Applied => !is_as_before || report.is_booting,
            // A model that never says how a download ended.
            Stage::Downloading => !is_as_before && self.version_before.is_some(),
            _ => false,
        };
        let cause = if is_as_before {
            "it restarted with the version that it had".to_owned()
        } else {
            format!("it runs {} after the download", shortened(report.version))
        };
        is_wrong && self.failed(cause, policy, now, random)
    }

    /// Gives up what took too long. Says whether it did.
    pub fn expire(&mut self, policy: Policy, now: Timestamp, random: &mut dyn Random) -> bool {
        if self.due_at.is_none_or(|at| at > now) {
            return false;
        }
        let cause = match self.stage {
            Stage::Offered | Stage::Downloading => {
                "the device did not say in time how the download ended"
            }
            Stage::Applied => "the device did not report the version in time after the download",
            _ => return false,
        };
        self.failed(cause, policy, now, random)
    }

    /// The device is woken; when it does not come, it is again after a pause that doubles.
    pub fn woken(&mut self, now: Timestamp, random: &mut dyn Random) {
        self.wakes = self.wakes.saturating_add(1);
        self.due_at = Some(after(now, pause(self.wakes, random)));
    }

    fn go(&mut self, stage: Stage, now: Timestamp, cause: Option<Box<str>>) {
        self.stage = stage;
        self.since = now;
        self.cause = cause;
        self.not_before = None;
        self.due_at = None;
    }
}

/// The pause after the `count`th failure: 10 minutes, doubled up to 12 hours, a quarter more or less
/// by chance, so that what failed together does not come back together.
pub fn pause(count: u16, random: &mut dyn Random) -> Duration {
    let doubled = 1_u32.checked_shl(u32::from(count.saturating_sub(1))).unwrap_or(u32::MAX);
    let whole = PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX);
    // 75 to 125 percent, in steps of a thousandth.
    let share = u32::try_from(750 + random.next_u64() % 501).unwrap_or(1_000);
    whole * share / 1_000
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// What a device says goes into a text for people: no more of it than a version has.
fn shortened(version: &str) -> String {
    version.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
