//! What waits for one board: what of it is in the store is known here by its mark, what is about to
//! be sent as it is.

use super::route::seconds;
use ::mqtt::{Message, Through};
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most messages that are on disk and held in memory too, so that a board that keeps up is served
/// without a read. What is more waits on disk.
const READY_MAX: usize = 64;

/// A message on its way to a session.
#[derive(Clone, Debug)]
pub struct Queued {
    /// What [`Session::send`](::mqtt::Session) knows it by, and [`super::Exchange::acknowledged`].
    pub key: u64,
    /// The shared subscription that it came by, as it was subscribed; `None` for all that match.
    pub through: Option<Arc<str>>,
    /// Whether the session's own client published it.
    pub is_own: bool,
    /// The message.
    pub message: Arc<Message>,
}

impl Queued {
    /// How the session is to send it.
    #[must_use]
    pub fn through(&self) -> Through<'_> {
        match &self.through {
            Some(filter) => Through::Filter(filter),
            None => Through::Matching { is_own: self.is_own },
        }
    }
}

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows_max: usize,
    pub(super) bytes_max: u64,
    pub(super) drops_oldest: bool,
}

/// What is known of a message that is on disk or about to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Row {
    pub(super) key: u64,
    pub(super) bytes: u32,
    /// Seconds since 1970.
    pub(super) queued_at_s: u32,
    pub(super) at: At,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum At {
    /// On its way to the disk.
    Pending,
    /// On disk alone.
    Stored,
    /// In memory too.
    Ready,
    /// With the connection.
    Handed,
}

/// Why a message does not get into a queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lost {
    /// The queue is full.
    Full,
    /// It is longer than a queue may be.
    TooLarge,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order of their keys.
    rows: VecDeque<Row>,
    bytes: u64,
    stored: usize,
    ready: VecDeque<Queued>,
    ready_bytes: u64,
    /// Keys whose rows are still to be removed from the store.
    pub(super) acknowledged: Vec<u64>,
    /// Whether a loss was told of since the queue was last empty.
    pub(super) is_loss_told: bool,
}

impl Queue {
    /// Makes a place for a message that is to be on disk; gives back the rows that went for it.
    pub(super) fn admit(&mut self, row: Row, limits: Limits) -> Result<Vec<Row>, Lost> {
        let mut gone = Vec::new();
        if u64::from(row.bytes) > limits.bytes_max {
            return Err(Lost::TooLarge);
        }
        while self.rows.len() >= limits.rows_max
            || self.bytes + u64::from(row.bytes) > limits.bytes_max
        {
            // What the connection has may be half-way; what is not on disk yet cannot be undone.
            let is_loose = |row: &Row| matches!(row.at, At::Stored | At::Ready);
            let oldest = self.rows.iter().position(is_loose).filter(|_| limits.drops_oldest);
            let Some(oldest) = oldest.and_then(|place| self.rows.get(place)).copied() else {
                for row in gone {
                    self.restore(row);
                }
                return Err(Lost::Full);
            };
            self.remove(oldest.key);
            gone.push(oldest);
        }
        self.insert(row);
        Ok(gone)
    }

    /// Takes a message that is not for the disk; false when there is no room.
    pub(super) fn offer(&mut self, queued: Queued, limits: Limits) -> bool {
        let bytes = super::len(&queued.message);
        if self.ready.len() >= limits.rows_max || self.ready_bytes + bytes > limits.bytes_max {
            return false;
        }
        self.ready_bytes += bytes;
        self.ready.push_back(queued);
        true
    }

    /// A pending message is on disk; one whose connection keeps up is held for it.
    pub(super) fn committed(&mut self, queued: Queued, is_live: bool) {
        let keeps_up = is_live && self.stored == 0 && self.ready.len() < READY_MAX;
        let Some(row) = self.row(queued.key).filter(|row| row.at == At::Pending) else { return };
        if keeps_up {
            row.at = At::Ready;
            self.ready_bytes += super::len(&queued.message);
            self.ready.push_back(queued);
        } else {
            row.at = At::Stored;
            self.stored += 1;
        }
    }

    /// Puts back a row that went for a message which was then refused.
    pub(super) fn restore(&mut self, row: Row) {
        self.insert(Row { at: At::Stored, ..row });
    }

    /// Takes in a row that is on disk.
    pub(super) fn insert(&mut self, row: Row) {
        let place = self.rows.partition_point(|held| held.key < row.key);
        self.bytes += u64::from(row.bytes);
        self.stored += usize::from(row.at == At::Stored);
        self.rows.insert(place, row);
    }

    /// Hands out what is in memory.
    pub(super) fn take(&mut self, max: usize) -> Vec<Queued> {
        let count = self.ready.len().min(max);
        let taken: Vec<_> = self.ready.drain(..count).collect();
        for queued in &taken {
            self.ready_bytes -= super::len(&queued.message);
            if let Some(row) = self.row(queued.key) {
                row.at = At::Handed;
            }
        }
        taken
    }

    /// The first messages that must be read from disk, at most so many, in their order.
    pub(super) fn stored(&self, max: usize) -> Vec<u64> {
        if self.stored == 0 {
            return Vec::new();
        }
        let stored = self.rows.iter().filter(|row| row.at == At::Stored);
        stored.map(|row| row.key).take(max).collect()
    }

    /// Hands out what was read from disk, from the first of `wanted` on and no more rows than those.
    /// Of them, what is not there is forgotten; what came to the disk while it was read stays.
    pub(super) fn read(&mut self, wanted: &[u64], read: Vec<Queued>) -> Vec<Queued> {
        let is_all = read.len() < wanted.len();
        let end = read.last().map(|queued| queued.key).filter(|_| !is_all);
        let mut handed = Vec::with_capacity(read.len());
        for queued in read {
            let Some(row) = self.row(queued.key).filter(|row| row.at == At::Stored) else {
                continue;
            };
            row.at = At::Handed;
            self.stored -= 1;
            handed.push(queued);
        }
        for key in wanted.iter().filter(|key| end.is_none_or(|end| **key <= end)) {
            if self.row(*key).is_some_and(|row| row.at == At::Stored) {
                self.remove(*key);
            }
        }
        handed
    }

    /// Forgets a message; gives its row back where it has one.
    pub(super) fn remove(&mut self, key: u64) -> Option<Row> {
        if let Some(place) = self.ready.iter().position(|queued| queued.key == key) {
            let queued = self.ready.remove(place)?;
            self.ready_bytes -= super::len(&queued.message);
        }
        let place = self.rows.binary_search_by_key(&key, |row| row.key).ok()?;
        let row = self.rows.remove(place)?;
        self.bytes -= u64::from(row.bytes);
        self.stored -= usize::from(row.at == At::Stored);
        if self.rows.is_empty() {
            self.is_loss_told = false;
        }
        Some(row)
    }

    /// The connection is gone: what it had is on disk or lost.
    pub(super) fn detach(&mut self) {
        self.ready = VecDeque::new();
        self.ready_bytes = 0;
        for row in &mut self.rows {
            if matches!(row.at, At::Ready | At::Handed) {
                row.at = At::Stored;
                self.stored += 1;
            }
        }
    }

    /// The keys of what has waited since before then and is not with the connection.
    pub(super) fn older_than(&self, before_s: u32) -> Vec<u64> {
        let old = self.rows.iter().take_while(|row| row.queued_at_s < before_s);
        let loose = old.filter(|row| matches!(row.at, At::Stored | At::Ready));
        loose.map(|row| row.key).collect()
    }

    /// Moves the times of those that were queued in that time.
    pub(super) fn shift(&mut self, when: &RangeInclusive<Timestamp>, by: SignedDuration) {
        let (first, last) = (seconds(*when.start()), seconds(*when.end()));
        for row in self.rows.iter_mut().filter(|row| (first..=last).contains(&row.queued_at_s)) {
            let moved = i64::from(row.queued_at_s).saturating_add(by.as_secs());
            row.queued_at_s = u32::try_from(moved).unwrap_or(0);
        }
    }

    /// How many wait on disk.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether anything can be handed out.
    pub(super) fn has_any(&self) -> bool {
        !self.ready.is_empty() || self.stored > 0
    }

    fn row(&mut self, key: u64) -> Option<&mut Row> {
        let place = self.rows.binary_search_by_key(&key, |row| row.key).ok()?;
        self.rows.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn queued(key: u64) -> Queued {
        let message = Message {
            topic: "t".into(),
            payload: Bytes::new(),
            qos: ::mqtt::message::QoS::AtLeastOnce,
            retain: false,
            properties: Box::default(),
            expires_at: None,
            publisher: None,
        };
        Queued { key, through: None, is_own: false, message: Arc::new(message) }
    }

    fn with_stored(keys: &[u64]) -> Queue {
        let mut queue = Queue::default();
        for key in keys {
            queue.insert(Row { key: *key, bytes: 1, queued_at_s: 0, at: At::Stored });
        }
        queue
    }

    fn keys(queued: &[Queued]) -> Vec<u64> {
        queued.iter().map(|it| it.key).collect()
    }

    #[test]
    fn what_comes_to_the_disk_while_it_is_read_stays() {
        let mut queue = with_stored(&[2, 3]);
        let wanted = queue.stored(10);
        assert_eq!(wanted, [2, 3]);
        // Committed after the rows were looked for: one behind, one out of order before them.
        for key in [1, 4] {
            queue.insert(Row { key, bytes: 1, queued_at_s: 0, at: At::Pending });
            queue.committed(queued(key), true);
        }
        assert_eq!(keys(&queue.read(&wanted, vec![queued(2)])), [2]);
        assert_eq!(queue.stored(10), [1, 4], "and the third is nowhere");
    }

    #[test]
    fn only_what_was_read_up_to_can_be_missing() {
        let mut queue = with_stored(&[1, 2, 3, 4]);
        // As many rows as were asked for, one of them not among those.
        assert_eq!(keys(&queue.read(&[1, 3], vec![queued(1), queued(2)])), [1, 2]);
        assert_eq!(queue.stored(10), [3, 4]);
    }
}
