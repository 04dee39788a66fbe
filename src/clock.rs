//! The one place that reads clocks and draws chance.

use model::{Monotonic, Now, Random};
use std::cell::RefCell;
use std::time::Instant;

/// Reads both clocks. Cheap to copy; all copies of one process count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    #[cfg(test)]
    told: Option<&'static VirtualTime>,
}

impl Clock {
    /// A clock that counts from now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(test)]
            told: None,
        }
    }

    /// Both clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> Now {
        #[cfg(test)]
        if let Some(told) = self.told {
            return told.now();
        }
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { monotonic: Monotonic::from_nanos(nanos), wall: jiff::Timestamp::now() }
    }

    /// The runtime's instant for one of our own deadlines.
    #[must_use]
    pub fn instant(&self, at: Monotonic) -> tokio::time::Instant {
        /// Far enough to mean "never", near enough for the timer wheel.
        const FAR_S: u64 = 86_400 * 365;
        let after = std::time::Duration::from_nanos(at.as_nanos());
        let far = std::time::Duration::from_secs(FAR_S);
        (self.start + after.min(far)).into()
    }
}

/// Time that passes only when a test says so.
///
/// The runtime's timers do not follow it: a test carries out itself what is due.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct VirtualTime {
    now: parking_lot::Mutex<Now>,
}

#[cfg(test)]
impl Clock {
    /// A clock that stands at `wall` until it is told to go on. It leaks a few bytes, so as to be
    /// copied like any other.
    pub(crate) fn virtual_at(wall: jiff::Timestamp) -> (Self, &'static VirtualTime) {
        let now = parking_lot::Mutex::new(Now { monotonic: Monotonic::ZERO, wall });
        let told = Box::leak(Box::new(VirtualTime { now }));
        (Self { told: Some(told), ..Self::start() }, told)
    }
}

#[cfg(test)]
impl VirtualTime {
    fn now(&self) -> Now {
        *self.now.lock()
    }

    /// Lets time pass on both clocks.
    pub(crate) fn pass(&self, time: std::time::Duration) {
        let mut now = self.now.lock();
        *now = now.after(time);
    }

    /// Sets the calendar ahead or back, as people and time servers do.
    pub(crate) fn jump_wall(&self, by: jiff::SignedDuration) {
        self.now.lock().wall += by;
    }
}

/// A new name for something that is made now: a ULID, so that names sort by their making.
#[must_use]
pub fn new_name(now: jiff::Timestamp) -> Box<str> {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let mut random = [0; 16];
    SystemRandom.fill(&mut random);
    ulid::Ulid::from_parts(millis, u128::from_ne_bytes(random)).to_string().into()
}

/// The operating system's randomness, fit for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

/// What one call to the system brings: enough for many names of sessions, each of which would else be
/// a call of its own.
const DRAWN_BYTES: usize = 512;

thread_local! {
    /// Random bytes that nobody has been given yet, and where they begin.
    static DRAWN: RefCell<([u8; DRAWN_BYTES], usize)> = const { RefCell::new(([0; DRAWN_BYTES], DRAWN_BYTES)) };
}

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        DRAWN.with_borrow_mut(|(drawn, begin)| {
            for byte in bytes {
                if *begin == DRAWN_BYTES {
                    getrandom::fill(drawn).expect("the system's random source is open since boot");
                    *begin = 0;
                }
                // Given once, and kept nowhere.
                *byte = std::mem::take(&mut drawn[*begin]);
                *begin += 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn virtual_time_passes_and_jumps_for_every_copy() {
        let noon: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let (clock, time) = Clock::virtual_at(noon);
        let copy = clock;
        time.pass(Duration::from_secs(90));
        time.jump_wall(jiff::SignedDuration::from_hours(-13));
        let now = copy.now();
        assert_eq!(now.wall.to_string(), "2026-11-19T23:01:30Z");
        assert_eq!(now.monotonic.since(Monotonic::ZERO), Duration::from_secs(90));
        assert_eq!(clock.now(), now, "it stands");
    }
}
