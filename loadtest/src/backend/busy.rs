//! How much of the machine the backend's thread takes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Follows the thread that opened it.
#[derive(Debug)]
pub(super) struct Busy {
    /// The first number of it is the thread's time on a processor, in nanoseconds (proc(5)).
    stat: File,
    last_ns: AtomicU64,
}

impl Busy {
    /// Follows this thread.
    pub(super) fn open() -> io::Result<Self> {
        let busy =
            Self { stat: File::open("/proc/thread-self/schedstat")?, last_ns: AtomicU64::new(0) };
        busy.since_last();
        Ok(busy)
    }

    /// Time on a processor since this was asked last.
    pub(super) fn since_last(&self) -> Duration {
        let mut text = [0; 64];
        let read = self.stat.read_at(&mut text, 0).unwrap_or(0);
        let text = std::str::from_utf8(&text[..read]).unwrap_or_default();
        let now = text.split_ascii_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let last = self.last_ns.swap(now, Ordering::Relaxed);
        Duration::from_nanos(now.saturating_sub(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn work_is_seen() {
        let busy = Busy::open().unwrap();
        let mut seen = Duration::ZERO;
        while seen < Duration::from_millis(20) {
            (0..100_000).for_each(|it| _ = black_box(it));
            seen += busy.since_last();
        }
    }
}
