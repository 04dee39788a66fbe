//! Whether the hub is taken to be down.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// So many failures in a row, and it is down: fewer may be one unlucky moment, and with the questions
/// that are under way together they are there after one timeout.
const FAILURES_MAX: u32 = 5;
/// How often it is asked while it is down.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Longest time for which it may ask to be left alone.
const LEFT_ALONE_MAX: Duration = Duration::from_secs(60);

/// Whether a call is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pass {
    /// It is.
    Free,
    /// It is, to see whether the hub is still down.
    Probe,
    /// It is not.
    Refused,
}

/// Counts failures.
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Whether it is open, for those who wait for their turn.
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// When the next probe goes; `None` while it is closed.
    probe_at: Option<Instant>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: Mutex::default(), open: watch::channel(false).0 }
    }
}

impl Breaker {
    /// Whether the next call would be refused.
    pub(super) fn refuses(&self) -> bool {
        self.state.lock().probe_at.is_some_and(|at| Instant::now() < at)
    }

    /// Lets a call pass, or not. A probe is the only one of its second.
    pub(super) fn pass(&self) -> Pass {
        let mut state = self.state.lock();
        match state.probe_at {
            None => Pass::Free,
            Some(at) if Instant::now() < at => Pass::Refused,
            Some(_) => {
                state.probe_at = Some(Instant::now() + PROBE_EVERY);
                Pass::Probe
            }
        }
    }

    /// Returns when the hub is taken to be down.
    pub(super) async fn opened(&self) {
        // The sender is ours, so it cannot be gone while we wait.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// A call was answered; whether the hub was down before.
    pub(super) fn succeeded(&self) -> bool {
        *self.state.lock() = State::default();
        self.open.send_replace(false)
    }

    /// A call failed; whether the hub is down from now on. One that asks to be left alone is.
    pub(super) fn failed(&self, left_alone: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let is_down = state.failures >= FAILURES_MAX || left_alone.is_some();
        if is_down {
            let after = left_alone.unwrap_or_default().clamp(PROBE_EVERY, LEFT_ALONE_MAX);
            let at = Instant::now() + after;
            // Those that were under way together do not bring the probe nearer.
            state.probe_at = state.probe_at.max(Some(at));
        }
        drop(state);
        is_down && !self.open.send_replace(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_probes_and_closes() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            assert!(!breaker.failed(None));
            assert_eq!(breaker.pass(), Pass::Free);
        }
        assert!(breaker.failed(None), "now it is down");
        assert!(!breaker.failed(None), "told once");
        assert!(breaker.refuses());
        assert_eq!(breaker.pass(), Pass::Refused);
        tokio::time::advance(PROBE_EVERY).await;
        assert!(!breaker.refuses());
        assert_eq!(breaker.pass(), Pass::Probe);
        assert_eq!(breaker.pass(), Pass::Refused, "one a second");
        breaker.opened().await;
        assert!(breaker.succeeded());
        assert_eq!((breaker.pass(), breaker.refuses()), (Pass::Free, false));
        assert!(!breaker.succeeded());
    }

    #[tokio::test(start_paused = true)]
    async fn it_leaves_alone_who_asks_for_it() {
        let breaker = Breaker::default();
        assert!(breaker.failed(Some(Duration::from_secs(30))));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(breaker.pass(), Pass::Refused);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.pass(), Pass::Probe);
        breaker.failed(Some(Duration::from_secs(1_000_000)));
        tokio::time::advance(LEFT_ALONE_MAX).await;
        assert_eq!(breaker.pass(), Pass::Probe);
    }
}
