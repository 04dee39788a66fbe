//! What a process costs, as Linux tells it in `/proc`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// `/proc/PID/stat` counts in hundredths of a second on every Linux that can be met (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sample {
    /// CPU time in user mode, all threads.
    pub(crate) user: Duration,
    /// CPU time in the kernel on its behalf.
    pub(crate) system: Duration,
    /// Resident memory in KiB.
    pub(crate) rss_kib: u64,
    /// Most resident memory so far in KiB.
    pub(crate) rss_peak_kib: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Open files.
    pub(crate) fds: u64,
}

impl Sample {
    /// Looks at a process; `None` where it is gone.
    pub(crate) fn take(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // Another user's process does not show its files.
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count());
        let fds = u64::try_from(fds).unwrap_or(u64::MAX);
        Some(Self { fds, ..Self::parse(&stat, &status)? })
    }

    /// User and system together.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The name in parentheses may hold anything, parentheses too: what follows begins at the
        // last one (proc(5)). Field 3 is then the first.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace().skip(11);
        let ticks = |field: Option<&str>| field?.parse::<u32>().ok().map(|ticks| TICK * ticks);
        let (user, system) = (ticks(fields.next())?, ticks(fields.next())?);
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        };
        // A process that is ending has no memory left to tell of.
        Some(Self {
            user,
            system,
            rss_kib: line("VmRSS:").unwrap_or(0),
            rss_peak_kib: line("VmHWM:").unwrap_or(0),
            threads: line("Threads:").unwrap_or(0),
            fds: 0,
        })
    }
}

/// Follows the daemon, over restarts where a file says its process id.
#[derive(Debug)]
pub(crate) struct Follower {
    pid: Option<u32>,
    file: Option<PathBuf>,
    /// Of processes that are gone: what they had used when last seen, since `begin`.
    past: Duration,
    past_user: Duration,
    began: Sample,
    last: Sample,
    peak_kib: u64,
    restarts: u32,
}

/// What the daemon used while it was followed.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Usage {
    /// CPU seconds.
    pub(crate) cpu_s: f64,
    /// Of these in user mode.
    pub(crate) user_s: f64,
    /// Resident memory at the beginning, in KiB.
    pub(crate) rss_begin_kib: u64,
    /// Resident memory at the end, in KiB.
    pub(crate) rss_kib: u64,
    /// Most resident memory, in KiB.
    pub(crate) rss_peak_kib: u64,
    /// Open files at the end.
    pub(crate) fds: u64,
    /// Threads at the end.
    pub(crate) threads: u64,
    /// How often it came back as another process.
    pub(crate) restarts: u32,
}

impl Follower {
    /// Follows the process named by either; nothing where neither is given.
    pub(crate) fn new(pid: Option<u32>, file: Option<PathBuf>) -> Self {
        let mut follower = Self {
            pid,
            file,
            past: Duration::ZERO,
            past_user: Duration::ZERO,
            began: Sample::default(),
            last: Sample::default(),
            peak_kib: 0,
            restarts: 0,
        };
        if follower.pid.is_none() {
            follower.pid = follower.pid_in_file();
        }
        follower
    }

    /// The process as it is, which changes nothing of what is counted.
    pub(crate) fn now(&self) -> Option<Sample> {
        self.pid.and_then(Sample::take)
    }

    /// Whether there is anything to follow.
    pub(crate) fn is_following(&self) -> bool {
        self.pid.is_some() || self.file.is_some()
    }

    /// How often it was another process, since `begin`.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Counts from now on.
    pub(crate) fn begin(&mut self) {
        let sample = self.pid.and_then(Sample::take).unwrap_or_default();
        self.past = Duration::ZERO;
        self.past_user = Duration::ZERO;
        self.restarts = 0;
        self.began = sample;
        self.last = sample;
        self.peak_kib = sample.rss_kib;
    }

    /// Looks again, and counts nothing of what was used since it last looked.
    pub(crate) fn skip(&mut self) {
        let Some(sample) = self.pid.and_then(Sample::take) else { return };
        self.began.user += sample.user.saturating_sub(self.last.user);
        self.began.system += sample.system.saturating_sub(self.last.system);
        self.last = sample;
    }

    /// Looks again. What a process used after it was last seen alive is not known.
    pub(crate) fn look(&mut self) -> Option<Sample> {
        let sample = self.pid.and_then(Sample::take);
        if let Some(sample) = sample {
            self.peak_kib = self.peak_kib.max(sample.rss_kib);
            self.last = sample;
            return Some(sample);
        }
        let next = self.pid_in_file().filter(|next| Some(*next) != self.pid)?;
        let first = Sample::take(next)?;
        self.past += self.last.cpu().saturating_sub(self.began.cpu());
        self.past_user += self.last.user.saturating_sub(self.began.user);
        self.began = Sample { rss_kib: self.began.rss_kib, ..Sample::default() };
        self.last = first;
        self.pid = Some(next);
        self.restarts += 1;
        Some(first)
    }

    /// What was used since `begin`.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.is_following().then(|| Usage {
            cpu_s: (self.past + self.last.cpu().saturating_sub(self.began.cpu())).as_secs_f64(),
            user_s: (self.past_user + self.last.user.saturating_sub(self.began.user)).as_secs_f64(),
            rss_begin_kib: self.began.rss_kib,
            rss_kib: self.last.rss_kib,
            rss_peak_kib: self.peak_kib,
            fds: self.last.fds,
            threads: self.last.threads,
            restarts: self.restarts,
        })
    }

    fn pid_in_file(&self) -> Option<u32> {
        fs::read_to_string(self.file.as_ref()?).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (last) mile (x) S 1 42 42 0 -1 4194304 900 0 0 0 123 45 0 0 20 0 5 0 1 2 3";
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t5\n";
        let sample = Sample::parse(stat, status).unwrap();
        assert_eq!(sample.user, Duration::from_millis(1230));
        assert_eq!(sample.cpu(), Duration::from_millis(1680));
        assert_eq!((sample.rss_kib, sample.rss_peak_kib, sample.threads), (1024, 2048, 5));
        assert_eq!(Sample::parse("42 (x", status), None);
        assert_eq!(Sample::parse("42 (x) S 1 2", status), None);
    }

    #[test]
    fn this_process_can_be_seen() {
        let mut follower = Follower::new(Some(std::process::id()), None);
        follower.begin();
        let sample = follower.look().unwrap();
        assert!(sample.rss_kib > 0 && sample.fds > 0 && sample.threads > 0);
        let before = follower.usage().unwrap();
        let until = Instant::now() + TICK * 5;
        while Instant::now() < until {}
        follower.skip();
        let usage = follower.usage().unwrap();
        assert!((usage.cpu_s - before.cpu_s).abs() < 1e-9, "skipped");
        assert!(usage.cpu_s >= 0.0 && usage.restarts == 0);
        assert!(Follower::new(None, None).usage().is_none());
    }
}
