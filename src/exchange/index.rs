//! Whose subscription takes a topic: the boards' filters of one tenant.
//!
//! Most boards subscribe below a name of their own and publish beside it, so a filter is kept under
//! its first literal levels: a topic is looked up by its own first levels, once for each length that
//! any filter has, and only filters found so are compared. What a board may read narrows the levels
//! further: ten thousand boards that subscribe to `#` are ten thousand different places.

use super::session::Session;
use ::mqtt::{Filter, Topic, TopicLimits, split_shared};
use hashbrown::HashMap;
use std::sync::Arc;

/// Most literal levels that filters are told apart by: `boards/<id>/down`.
const LEVELS: usize = 3;

/// Filters and topics were checked when they came in.
pub(super) const UNLIMITED: TopicLimits =
    TopicLimits { len_max: usize::MAX, levels_max: usize::MAX };

/// The filters of one tenant's boards.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Those that name one topic.
    exact: HashMap<Box<str>, Vec<Arc<Entry>>>,
    /// Those with a wildcard, by so many of their first literal levels.
    by_levels: [HashMap<Box<str>, Vec<Arc<Entry>>>; LEVELS + 1],
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: Arc<Session>,
    /// As it was subscribed, with the name of its group.
    pub(super) text: Arc<str>,
    /// Whether it is shared, so that one of its group gets each message.
    pub(super) is_shared: bool,
    pub(super) qos: u8,
    pub(super) no_local: bool,
    filter: Filter,
    /// What the board may read.
    readable: Arc<[Filter]>,
}

impl Entry {
    /// `None` where the filter is none: it was not granted by a session.
    pub(super) fn new(
        session: &Arc<Session>,
        text: &str,
        (qos, no_local): (u8, bool),
        readable: &Arc<[Filter]>,
    ) -> Option<Self> {
        let (share, filter) = split_shared(text).unzip();
        Some(Self {
            session: Arc::clone(session),
            text: text.into(),
            is_shared: share.is_some(),
            qos,
            no_local,
            filter: Filter::parse(filter.unwrap_or(text), UNLIMITED).ok()?,
            readable: Arc::clone(readable),
        })
    }

    /// Whether the board is to be sent what is published to the topic.
    fn takes(&self, topic: Topic<'_>) -> bool {
        self.filter.matches(topic) && self.readable.iter().any(|readable| readable.matches(topic))
    }

    /// Under which levels it is found: several where what may be read lies in several places.
    fn places(&self) -> Vec<Place<'_>> {
        let filter = self.filter.as_str();
        let Some(own) = literal(filter) else { return vec![Place::Exact(filter)] };
        let mut places: Vec<_> = self
            .readable
            .iter()
            .filter_map(|readable| match literal(readable.as_str()) {
                None => Some(Place::Exact(readable.as_str())),
                Some(theirs) if is_within(theirs, own) => Some(Place::Below(theirs)),
                Some(theirs) => is_within(own, theirs).then_some(Place::Below(own)),
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// Where an entry is found.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Place<'a> {
    Exact(&'a str),
    Below(&'a str),
}

/// The first literal levels of a filter, at most [`LEVELS`]; `None` when it has no wildcard.
fn literal(filter: &str) -> Option<&str> {
    let wildcard = filter.find(['+', '#'])?;
    let before = filter[..wildcard].strip_suffix('/').unwrap_or("");
    Some(first_levels(before, LEVELS).unwrap_or(before))
}

/// The first `count` levels of a text, which has at least as many.
fn first_levels(text: &str, count: usize) -> Option<&str> {
    if count == 0 {
        return Some("");
    }
    let mut slashes = text.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
    match slashes.nth(count - 1) {
        Some((end, _)) => Some(&text[..end]),
        None => (slashes_of(text) + 1 == count && !text.is_empty()).then_some(text),
    }
}

fn slashes_of(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'/').count()
}

/// How many levels a literal beginning has.
fn depth(levels: &str) -> usize {
    if levels.is_empty() { 0 } else { slashes_of(levels) + 1 }
}

/// Whether all that begins with the levels `inner` begins with `outer`.
fn is_within(inner: &str, outer: &str) -> bool {
    outer.is_empty()
        || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Index {
    /// Adds a subscription.
    pub(super) fn insert(&mut self, entry: Entry) {
        let entry = Arc::new(entry);
        for place in entry.places() {
            let (map, key) = self.map(place);
            map.entry_ref(key).or_default().push(Arc::clone(&entry));
        }
    }

    /// Removes what a session has under that filter, as `entry` was made of it.
    pub(super) fn remove(&mut self, entry: &Entry) {
        for place in entry.places() {
            let (map, key) = self.map(place);
            let Some(entries) = map.get_mut(key) else { continue };
            let is_it = |held: &Arc<Entry>| {
                held.session.number == entry.session.number && held.text == entry.text
            };
            entries.retain(|held| !is_it(held));
            if entries.is_empty() {
                map.remove(key);
            }
        }
    }

    /// Every subscription that takes the topic; one session's may be several.
    pub(super) fn find(&self, topic: &str, found: &mut Vec<Arc<Entry>>) {
        let Ok(parsed) = Topic::parse(topic, UNLIMITED) else { return };
        let mut look = |entries: Option<&Vec<Arc<Entry>>>| {
            let taking = entries.into_iter().flatten().filter(|entry| entry.takes(parsed));
            found.extend(taking.cloned());
        };
        if !self.exact.is_empty() {
            look(self.exact.get(topic));
        }
        for (count, map) in self.by_levels.iter().enumerate() {
            if !map.is_empty()
                && let Some(levels) = first_levels(topic, count)
            {
                look(map.get(levels));
            }
        }
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.by_levels.iter().all(HashMap::is_empty)
    }

    fn map<'a>(&mut self, place: Place<'a>) -> (&mut HashMap<Box<str>, Vec<Arc<Entry>>>, &'a str) {
        match place {
            Place::Exact(topic) => (&mut self.exact, topic),
            Place::Below(levels) => (&mut self.by_levels[depth(levels)], levels),
        }
    }
}
