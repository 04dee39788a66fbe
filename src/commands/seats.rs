//! Places for open commands: taken before a command is made durable, so that however many ask at
//! once no bound is passed.

use super::{Key, Limits};
use dashmap::DashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many are taken.
#[derive(Debug)]
pub(super) struct Seats {
    /// Of all devices: open commands and those about to be.
    taken: AtomicUsize,
    max: usize,
    of_one_max: usize,
    /// Of one device: only those about to be.
    asked: DashMap<Key, usize>,
}

/// A place for one command that is about to be open; free again when dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Seat<'a> {
    seats: &'a Seats,
    place: Key,
    is_kept: bool,
}

impl Seats {
    pub(super) fn new(limits: &Limits) -> Self {
        let Limits { open_max: max, open_per_device_max: of_one_max, .. } = *limits;
        Self { taken: AtomicUsize::new(0), max, of_one_max, asked: DashMap::new() }
    }

    /// Takes a place beside the `open` commands of the device, which are counted while nobody else
    /// takes or leaves one there. `None` when it has as many as it may, or all devices have.
    pub(super) fn take(&self, place: &Key, open: impl FnOnce() -> usize) -> Option<Seat<'_>> {
        let more = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        let mut asked = self.asked.entry(place.clone()).or_insert(0);
        *asked += 1;
        // From here on dropping the seat gives both counts back; it needs the entry for that.
        let has_room = open() + *asked <= self.of_one_max;
        drop(asked);
        let seat = Seat { seats: self, place: place.clone(), is_kept: false };
        has_room.then_some(seat)
    }

    /// Counts a command that was open before this process was.
    pub(super) fn add(&self) {
        self.taken.fetch_add(1, Ordering::AcqRel);
    }

    /// Frees the place of a command that is no longer open.
    pub(super) fn free(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Seat<'_> {
    /// The command is open now: it has its place until [`Seats::free`].
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(mut asked) = self.seats.asked.get_mut(&self.place) {
            *asked -= 1;
        }
        self.seats.asked.remove_if(&self.place, |_, asked| *asked == 0);
        if !self.is_kept {
            self.seats.free();
        }
    }
}
