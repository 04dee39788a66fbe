//! How far a client is with what is retained, for each subscription that is to be sent it: read from the
//! retained messages themselves as the client has room, so that nothing of it is queued, and gone on with
//! over another connection where the session is kept.

use super::groups::SHARED_KEYS;
use super::queue::Queued;
use super::retained::Page;
use ::mqtt::{Message, SubscriptionRecord};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Keys of retained messages are at least this: the message's own place in the order of all stands
/// below [`SHARED_KEYS`], between them the number of the place that it is sent by. So a message that is
/// sent again has the key that it had.
const RETAINED_KEYS: u64 = 1 << 63;
/// How many numbers there are.
const NUMBERS: u32 = 1 << 20;

/// Whether a message of that key was sent because it is retained.
#[must_use]
pub const fn is_retained(key: u64) -> bool {
    key >= RETAINED_KEYS
}

/// All of one session, in the order in which they are read.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: VecDeque<Place>,
    /// The number given last.
    last: u32,
}

/// One subscription's.
#[derive(Debug)]
struct Place {
    number: u32,
    filter: Arc<str>,
    /// The client has all up to this topic.
    done_to: Option<Box<str>>,
    /// Read up to this topic.
    read_to: Option<Box<str>>,
    is_read: bool,
    /// With the connection, in the order of the topics.
    open: VecDeque<Open>,
    /// What the client has beyond `done_to` of an earlier connection.
    had: BTreeSet<u64>,
}

#[derive(Debug)]
struct Open {
    key: u64,
    topic: Box<str>,
    is_done: bool,
}

/// A place as it is kept.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct PlaceRecord {
    number: u32,
    /// Which of the session's subscriptions.
    of: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_to: Option<Box<str>>,
    /// What the client has beyond.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    had: BTreeSet<u64>,
}

impl Places {
    /// The subscription is to be sent what is retained, from the first topic on.
    pub(super) fn begin(&mut self, filter: &str) {
        self.all.retain(|place| *place.filter != *filter);
        let is_taken = |number: u32| self.all.iter().any(|place| place.number == number);
        loop {
            self.last = (self.last + 1) % NUMBERS;
            if !is_taken(self.last) {
                break;
            }
        }
        self.all.push_back(Place {
            number: self.last,
            filter: filter.into(),
            done_to: None,
            read_to: None,
            is_read: false,
            open: VecDeque::new(),
            had: BTreeSet::new(),
        });
    }

    /// What is no longer subscribed to is sent nothing.
    pub(super) fn keep_to(&mut self, subscriptions: &[SubscriptionRecord]) {
        if !self.all.is_empty() {
            let is_wanted =
                |place: &Place| subscriptions.iter().any(|it| *it.filter == *place.filter);
            self.all.retain(is_wanted);
        }
    }

    /// Whether anything is left to be read.
    pub(super) fn has_any(&self) -> bool {
        self.all.iter().any(|place| !place.is_read)
    }

    /// Reads on in the first place that is not read, by `read` (of this filter, behind this topic):
    /// what the client is to be sent.
    pub(super) fn read(&mut self, read: impl FnOnce(&str, Option<&str>) -> Page) -> Vec<Queued> {
        let Some(place) = self.all.iter_mut().find(|place| !place.is_read) else {
            return Vec::new();
        };
        let page = read(&place.filter, place.read_to.as_deref());
        place.is_read = page.next.is_none();
        let mut taken = Vec::with_capacity(page.found.len());
        for (key, message) in page.found {
            let key = RETAINED_KEYS | (u64::from(place.number) * SHARED_KEYS) | key;
            let is_done = place.had.contains(&key);
            place.open.push_back(Open { key, topic: message.topic.clone(), is_done });
            if !is_done {
                taken.push(place.queued(key, message));
            }
        }
        place.read_to = page.next.or_else(|| place.read_to.take());
        place.settle();
        self.all.retain(|place| !place.is_over());
        taken
    }

    /// The client has this message, or will not have it.
    pub(super) fn done(&mut self, key: u64) {
        let number = (key & !RETAINED_KEYS) / SHARED_KEYS;
        let Some(at) = self.all.iter().position(|place| u64::from(place.number) == number) else {
            return;
        };
        let place = &mut self.all[at];
        if let Some(open) = place.open.iter_mut().find(|open| open.key == key) {
            open.is_done = true;
        }
        place.settle();
        if place.is_over() {
            self.all.remove(at);
        }
    }

    /// The connection is gone: what it had and did not acknowledge is read again.
    pub(super) fn detach(&mut self) {
        for place in &mut self.all {
            place.had = place.has();
            place.open.clear();
            place.read_to.clone_from(&place.done_to);
            place.is_read = false;
        }
    }

    /// As they are kept, with the number given last.
    pub(super) fn records(&self, subscriptions: &[SubscriptionRecord]) -> (u32, Vec<PlaceRecord>) {
        let record = |place: &Place| {
            let of = subscriptions.iter().position(|it| *it.filter == *place.filter)?;
            let (number, done_to) = (place.number, place.done_to.clone());
            Some(PlaceRecord { number, of, done_to, had: place.has() })
        };
        (self.last, self.all.iter().filter_map(record).collect())
    }

    /// Takes up what was kept.
    pub(super) fn of_records(
        last: u32,
        records: Vec<PlaceRecord>,
        subscriptions: &[SubscriptionRecord],
    ) -> Self {
        let place = |record: PlaceRecord| {
            let PlaceRecord { number, of, done_to, had } = record;
            let filter = Arc::from(&*subscriptions.get(of)?.filter);
            let (read_to, open) = (done_to.clone(), VecDeque::new());
            Some(Place { number, filter, done_to, read_to, is_read: false, open, had })
        };
        Self { all: records.into_iter().filter_map(place).collect(), last }
    }
}

impl Place {
    fn queued(&self, key: u64, message: Arc<Message>) -> Queued {
        Queued { key, through: Some(Arc::clone(&self.filter)), is_own: false, message }
    }

    /// What the client has beyond `done_to`: of what was read now, and of what was not read again yet.
    fn has(&self) -> BTreeSet<u64> {
        if self.is_read && self.open.is_empty() {
            return BTreeSet::new();
        }
        let of_now = self.open.iter().filter(|open| open.is_done).map(|open| open.key);
        self.had.iter().copied().chain(of_now).collect()
    }

    fn settle(&mut self) {
        while let Some(open) = self.open.pop_front_if(|open| open.is_done) {
            self.had.remove(&open.key);
            self.done_to = Some(open.topic);
        }
        // Nothing of what was looked at so far is awaited.
        if self.open.is_empty() && self.read_to > self.done_to {
            self.done_to.clone_from(&self.read_to);
        }
    }

    fn is_over(&self) -> bool {
        self.is_read && self.open.is_empty()
    }
}
