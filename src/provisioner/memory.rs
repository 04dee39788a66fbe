//! How many data models wait in memory for their devices' next words.
//!
//! A session that is between two rounds has read its device's data model and would read it again;
//! thousands of sessions at once, as after a power cut, must not hold thousands of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most entries of data models that wait together, some 110 bytes each.
const ENTRIES_MAX: usize = 1_000_000;

/// What all sessions hold together.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<AtomicUsize>);

/// A data model's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    memory: Memory,
    entries: usize,
}

impl Memory {
    /// A place for so many entries; `None` when there is none.
    pub(super) fn place(&self, entries: usize) -> Option<Place> {
        let taken = self.0.fetch_add(entries, Ordering::Relaxed);
        let place = Place { memory: self.clone(), entries };
        (taken + entries <= ENTRIES_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.entries, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_again_when_they_are_gone() {
        let memory = Memory::default();
        let first = memory.place(ENTRIES_MAX - 10).unwrap();
        assert!(memory.place(11).is_none());
        let second = memory.place(10);
        assert!(second.is_some() && memory.place(1).is_none());
        drop(first);
        assert!(memory.place(11).is_some());
        drop(second);
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }
}
