//! How many devices fetch at once: those that were told to, and for a while those that were woken
//! and have not come yet.

use super::Key;
use model::Monotonic;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// How long a device that was told to download has its place without being seen to fetch: one that
/// falls silent shall not hold the others up for hours.
const BEGIN_TIME: Duration = Duration::from_secs(600);
/// How long a woken device is waited for. One that comes answers within seconds.
const COME_TIME: Duration = Duration::from_secs(20);

/// Places for devices that fetch.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// When each was told.
    taken: HashMap<Key, Monotonic>,
    /// When each was woken.
    expected: HashMap<Key, Monotonic>,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        Self { max, places: Mutex::default() }
    }

    /// Takes a place; false when there is none.
    pub(super) fn take(&self, key: &Key, now: Monotonic) -> bool {
        let mut places = self.places.lock();
        let has_room = places.taken.len() < self.max || places.taken.contains_key(key);
        if has_room {
            places.taken.insert(key.clone(), now);
        }
        has_room
    }

    /// Gives a place back.
    pub(super) fn free(&self, key: &Key) {
        self.places.lock().taken.remove(key);
    }

    /// Takes a place for one that was told before this process began.
    pub(super) fn restore(&self, key: &Key, now: Monotonic) {
        self.places.lock().taken.insert(key.clone(), now);
    }

    /// How many more may be woken.
    pub(super) fn to_wake(&self) -> usize {
        let places = self.places.lock();
        self.max.saturating_sub(places.taken.len() + places.expected.len())
    }

    /// One was woken.
    pub(super) fn woken(&self, key: &Key, now: Monotonic) {
        self.places.lock().expected.insert(key.clone(), now);
    }

    /// One has called.
    pub(super) fn came(&self, key: &Key) {
        self.places.lock().expected.remove(key);
    }

    /// Takes back the places of those that do not fetch, and forgets those that do not come.
    pub(super) fn sweep(&self, now: Monotonic, is_fetching: impl Fn(&Key) -> bool) {
        let mut places = self.places.lock();
        places.expected.retain(|_, woken_at| now.since(*woken_at) < COME_TIME);
        places.taken.retain(|key, told_at| now.since(*told_at) < BEGIN_TIME || is_fetching(key));
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.places.lock().taken.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceId, Tenant};

    fn key(number: u32) -> Key {
        (Tenant::default(), DeviceId::parse(&format!("cwmp:00D09E-{number}")).unwrap())
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn no_more_are_told_or_woken_than_there_are_places() {
        let slots = Slots::new(3);
        assert!(slots.take(&key(1), at(0)) && slots.take(&key(1), at(0)), "it has its place");
        assert_eq!(slots.to_wake(), 2);
        slots.woken(&key(2), at(0));
        slots.woken(&key(3), at(0));
        assert_eq!(slots.to_wake(), 0);
        // One that comes by itself goes before those that may not come.
        assert!(slots.take(&key(4), at(1)));
        slots.came(&key(2));
        assert!(slots.take(&key(2), at(1)) && !slots.take(&key(3), at(1)));
        slots.free(&key(1));
        assert!(slots.take(&key(3), at(2)));
    }

    #[test]
    fn who_does_not_come_or_not_fetch_makes_room() {
        let slots = Slots::new(2);
        slots.woken(&key(1), at(0));
        slots.take(&key(2), at(0));
        slots.sweep(at(19), |_| false);
        assert_eq!(slots.to_wake(), 0);
        slots.sweep(at(20), |_| false);
        assert_eq!(slots.to_wake(), 1);
        slots.sweep(at(600), |it| *it == key(2));
        assert_eq!(slots.to_wake(), 1, "it fetches");
        slots.sweep(at(601), |_| false);
        assert_eq!(slots.to_wake(), 2);
    }
}
