//! Names and moments of tasks, each name once.

use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time that is counted down in one piece: after it the calendar is asked again, in which it
/// may have jumped.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(86_400);
/// After a fault the store is read again, not sooner.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A task whose moment has come.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Due {
    /// When, by the clock that never goes back.
    at: Instant,
    pub(super) id: Box<str>,
    /// Whether only a part of the time was counted down.
    pub(super) is_part: bool,
}

/// The soonest tasks.
pub(super) struct Queue {
    /// Some may be outdated: only those of `waiting` count.
    heap: BinaryHeap<Reverse<Due>>,
    waiting: HashMap<Box<str>, Instant>,
    /// Whether each was asked for anew meanwhile.
    under_way: HashMap<Box<str>, bool>,
    len_max: usize,
    /// When to read the store, which holds more than we do.
    read_at: Option<Instant>,
}

impl Queue {
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            waiting: HashMap::new(),
            under_way: HashMap::new(),
            len_max,
            read_at: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.len_max
    }

    /// Takes a task in. One that is known stays as it is; without room the store is read again when
    /// there is some.
    pub(super) fn push(&mut self, id: &str, due_at: Timestamp, now: Timestamp) -> bool {
        if self.waiting.contains_key(id) {
            return false;
        }
        if let Some(again) = self.under_way.get_mut(id) {
            *again = true;
            return false;
        }
        if self.is_full() {
            self.read_at.get_or_insert_with(Instant::now);
            return false;
        }
        self.insert(id.into(), delay(due_at, now));
        true
    }

    /// Has a task tried at once, when it was to wait too.
    pub(super) fn hasten(&mut self, id: &str) {
        match self.under_way.get_mut(id) {
            Some(again) => *again = true,
            None => self.insert(id.into(), Duration::ZERO),
        }
    }

    fn insert(&mut self, id: Box<str>, after: Duration) {
        let (at, is_part) = (Instant::now() + after.min(DELAY_MAX), after > DELAY_MAX);
        self.waiting.insert(id.clone(), at);
        self.heap.push(Reverse(Due { at, id, is_part }));
    }

    /// When the next is due, or the store to be read.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = self.heap.peek().map(|Reverse(due)| due.at);
        let read = self.read_at.filter(|_| self.has_room());
        due.into_iter().chain(read).min()
    }

    /// Takes the first that is due; it stays known until it [ended](Self::ended).
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        while self.heap.peek()?.0.at <= now {
            let Reverse(due) = self.heap.pop()?;
            if self.waiting.get(&due.id) == Some(&due.at) {
                self.waiting.remove(&due.id);
                self.under_way.insert(due.id.clone(), false);
                return Some(due);
            }
        }
        None
    }

    /// One that was due is through, or is to be tried again after that time.
    pub(super) fn ended(&mut self, id: &str, again: Option<Duration>) {
        let asked = self.under_way.remove(id).unwrap_or(false);
        if let Some(after) = again.or_else(|| asked.then_some(Duration::ZERO)) {
            self.insert(id.into(), after);
        }
    }

    /// The store holds what we do not: it is read when there is room.
    pub(super) fn lacks_some(&mut self) {
        self.read_at = Some(Instant::now());
    }

    /// The store could not be read, or did not bring all that was asked of it.
    pub(super) fn try_later(&mut self) {
        self.read_at = Some(Instant::now() + AGAIN_AFTER);
    }

    fn has_room(&self) -> bool {
        self.len() <= self.len_max / 2
    }

    /// Whether to read the store.
    pub(super) fn wants_more(&self) -> bool {
        self.read_at.is_some_and(|at| at <= Instant::now()) && self.has_room()
    }

    /// The store holds nothing more.
    pub(super) fn has_all(&mut self) {
        self.read_at = None;
    }
}

/// How long until then.
pub(super) fn delay(due_at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(due_at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn due(queue: &mut Queue) -> Option<String> {
        queue.pop_due(Instant::now()).map(|due| due.id.into())
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_due_once_and_in_order() {
        let mut queue = Queue::new(10);
        assert!(queue.push("b", at(20), NOW) && queue.push("a", at(10), NOW));
        assert!(!queue.push("a", at(0), NOW), "known: it stays as it is");
        assert_eq!(due(&mut queue), None);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(due(&mut queue).as_deref(), Some("a"));
        assert!(!queue.push("a", at(0), NOW), "under way");
        assert_eq!(due(&mut queue).as_deref(), Some("b"));
        assert_eq!(due(&mut queue), None);
        queue.ended("b", None);
        queue.ended("a", None);
        assert_eq!(due(&mut queue).as_deref(), Some("a"), "asked for anew meanwhile");
        queue.ended("a", Some(Duration::from_secs(5)));
        assert_eq!(due(&mut queue), None);
        queue.hasten("a");
        assert_eq!(due(&mut queue).as_deref(), Some("a"));
        queue.ended("a", None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((due(&mut queue), queue.len()), (None, 0), "the outdated moment counts no more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_read_again() {
        let mut queue = Queue::new(4);
        for id in ["a", "b", "c", "d"] {
            assert!(queue.push(id, NOW, NOW));
        }
        assert!(queue.is_full() && !queue.push("e", NOW, NOW));
        assert!(!queue.wants_more());
        for _ in 0..2 {
            let id = due(&mut queue).unwrap();
            queue.ended(&id, None);
        }
        assert!(queue.wants_more());
        queue.has_all();
        assert!(!queue.wants_more());
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_moment_is_counted_down_in_parts() {
        let mut queue = Queue::new(4);
        queue.push("a", at(3 * 86_400), NOW);
        tokio::time::advance(DELAY_MAX).await;
        let due = queue.pop_due(Instant::now()).unwrap();
        assert!(due.is_part);
        queue.ended("a", Some(DELAY_MAX));
        tokio::time::advance(DELAY_MAX).await;
        assert!(!queue.pop_due(Instant::now()).unwrap().is_part);
    }
}
