//! The devices of a tenant in the order of their identities: four bytes each.
//!
//! A list of short lists. Where a device stands is found by comparing identities, some twenty for a
//! million devices; the identities themselves stand in the records only.

use super::shard::Handle;
use std::cmp::Ordering;

/// A short list is cut in two when it has grown to this many. Long enough that the outer list of a
/// million devices is some thousand entries, short enough to be moved about in no time.
const CHUNK_MAX: usize = 1_024;

/// Handles in the order of the identities behind them.
#[derive(Default)]
pub(super) struct Roster(Vec<Vec<Handle>>);

impl Roster {
    /// Puts in a device that is not there; `compare` says how another stands to it.
    pub(super) fn insert(&mut self, handle: Handle, compare: impl Fn(Handle) -> Ordering) {
        let is_before = |other: Handle| compare(other) == Ordering::Less;
        let Some(last) = self.0.last_mut() else {
            self.0.push(vec![handle]);
            return;
        };
        // At start they come in order.
        if last.last().is_some_and(|&last| is_before(last)) {
            if last.len() < CHUNK_MAX {
                last.push(handle);
            } else {
                self.0.push(vec![handle]);
            }
            return;
        }
        let (chunk, place) = self.position(is_before);
        let list = &mut self.0[chunk];
        list.insert(place, handle);
        if list.len() > CHUNK_MAX {
            let tail = list.split_off(CHUNK_MAX / 2);
            self.0.insert(chunk + 1, tail);
        }
    }

    /// Copies at most `max` handles to `out`, from the first that `is_before` does not hold for.
    pub(super) fn copy(
        &self,
        is_before: impl Fn(Handle) -> bool,
        max: usize,
        out: &mut Vec<Handle>,
    ) {
        if self.0.is_empty() {
            return;
        }
        let (chunk, place) = self.position(is_before);
        let from = self.0[chunk][place..].iter().chain(self.0[chunk + 1..].iter().flatten());
        out.extend(from.take(max));
    }

    /// The place of the first that `is_before` does not hold for. There is at least one list.
    fn position(&self, is_before: impl Fn(Handle) -> bool) -> (usize, usize) {
        let starts_before = |list: &Vec<Handle>| list.first().is_some_and(|&it| is_before(it));
        let chunk = self.0.partition_point(starts_before).saturating_sub(1);
        (chunk, self.0[chunk].partition_point(|&it| is_before(it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_of_insertion_gives_one_order() {
        // The handles' own order stands for that of the identities.
        let mut handles: Vec<_> = (0..5_000).map(|slot| Handle::new(0, slot)).collect();
        let sorted = handles.clone();
        // A fixed shuffle: 1,877 and 5,000 have no common divisor.
        for index in 0..handles.len() {
            handles[index] = sorted[index * 1_877 % sorted.len()];
        }
        let mut roster = Roster::default();
        for &it in &handles {
            roster.insert(it, |other| other.cmp(&it));
        }
        let mut all = Vec::new();
        roster.copy(|_| false, usize::MAX, &mut all);
        assert_eq!(all, sorted);
        let mut part = Vec::new();
        roster.copy(|other| other < sorted[1_500], 700, &mut part);
        assert_eq!(part, sorted[1_500..2_200]);
        part.clear();
        roster.copy(|_| true, 1, &mut part);
        assert!(part.is_empty());
    }
}
