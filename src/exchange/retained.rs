//! The last message of each topic that was published to stay.
//!
//! A change is known here from the moment on that it is made, so that bounds and what follows it count
//! it; what is sent is only what is on disk. Of two changes of one topic the later made one holds,
//! whichever is on disk first.

use super::index::UNLIMITED;
use super::{ExchangeOptions, Metrics, len};
use crate::store::{MqttChange, MqttRetainedRow, Operation};
use ::mqtt::{Filter, Message, Topic};
use jiff::Timestamp;
use model::{DeviceId, Tenant};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// Most topics that are looked at in one go: others wait for as long.
const LOOK_MAX: usize = 1_000;

/// Retained messages of all tenants.
#[derive(Debug)]
pub(super) struct Retained {
    held: RwLock<Held>,
    messages_max: usize,
    per_board_max: usize,
    per_program_max: usize,
    bytes_max: u64,
    message_bytes_max: u64,
    metrics: Metrics,
}

/// Counted as it will be once all changes are on disk.
#[derive(Debug, Default)]
struct Held {
    tenants: HashMap<Tenant, BTreeMap<Box<str>, Place>>,
    count: usize,
    bytes: u64,
    owners: HashMap<(Tenant, DeviceId), Owned>,
    /// What came to the disk after a later made change had taken it away.
    strays: Vec<Step>,
}

/// What one board or program has.
#[derive(Debug, Default)]
struct Owned {
    count: usize,
    /// Whether it was told that it may have no more, since it had fewer.
    is_told: bool,
}

/// One topic.
#[derive(Debug, Default)]
struct Place {
    /// The place of what made it so, in the order of all messages.
    key: u64,
    kept: Option<Kept>,
    /// Changes on their way to the disk.
    coming: Vec<Coming>,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    owner: Option<DeviceId>,
}

#[derive(Debug)]
struct Coming {
    key: u64,
    /// Nothing where it takes the message away.
    share: Option<Share>,
}

/// What a message counts for.
#[derive(Clone, Debug)]
struct Share {
    bytes: u64,
    owner: Option<DeviceId>,
}

/// A change that is in memory once it is on disk.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(MqttRetainedRow),
    Remove { tenant: Tenant, topic: Box<str>, key: u64 },
}

/// Why a message does not stay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotKept {
    /// Who published it has as many as it may have, and was not told yet: how many.
    pub(super) news: Option<usize>,
}

/// Messages of some of the topics that a filter names.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// With their places in the order of all messages; in the order of the topics.
    pub(super) found: Vec<(u64, Arc<Message>)>,
    /// The last topic that was looked at, where there may be more behind it.
    pub(super) next: Option<Box<str>>,
}

impl Step {
    pub(super) fn operation(&self) -> Operation {
        Operation::Mqtt(match self {
            Self::Put(row) => MqttChange::PutRetained(row.clone()),
            Self::Remove { tenant, topic, key } => MqttChange::RemoveRetained {
                tenant: tenant.clone(),
                topic: topic.clone(),
                key: *key,
            },
        })
    }

    fn place(&self) -> (&Tenant, &str, u64) {
        match self {
            Self::Put(row) => (&row.tenant, &row.message.topic, row.key),
            Self::Remove { tenant, topic, key } => (tenant, topic, *key),
        }
    }
}

impl Retained {
    pub(super) fn new(options: &ExchangeOptions, metrics: Metrics) -> Self {
        Self {
            held: RwLock::default(),
            messages_max: options.retained_messages_max,
            per_board_max: options.retained_per_board_max,
            per_program_max: options.retained_per_program_max,
            bytes_max: options.retained_bytes_max,
            message_bytes_max: options.retained_message_max,
            metrics,
        }
    }

    /// What becomes of a message that is to stay; `None` when there is nothing to do. The step is to
    /// be [applied](Self::apply) or [given up](Self::give_up).
    pub(super) fn step(
        &self,
        (tenant, owner): (&Tenant, &DeviceId),
        key: u64,
        message: &Arc<Message>,
    ) -> Result<Option<Step>, NotKept> {
        let mut held = self.held.write();
        let before = held.tenants.get(tenant).and_then(|topics| topics.get(&*message.topic));
        if message.payload.is_empty() {
            if before.is_none() {
                return Ok(None);
            }
            held.change(tenant, &message.topic, |place| {
                place.coming.push(Coming { key, share: None });
            });
            let (tenant, topic) = (tenant.clone(), message.topic.clone());
            return Ok(Some(Step::Remove { tenant, topic, key }));
        }
        let before = before.and_then(Place::planned);
        if let Some(reason) = self.fault(&held, (tenant, owner), before.as_ref(), message) {
            self.metrics.retained_refused.with_label_values(&[reason]).inc();
            let owned = held.owners.get_mut(&(tenant.clone(), owner.clone()));
            let owned = owned.filter(|_| matches!(reason, "board" | "program"));
            let tell = |it: &mut Owned| {
                let was_told = std::mem::replace(&mut it.is_told, true);
                (!was_told).then_some(it.count)
            };
            return Err(NotKept { news: owned.and_then(tell) });
        }
        let share = Share { bytes: len(message), owner: Some(owner.clone()) };
        held.change(tenant, &message.topic, |place| {
            place.coming.push(Coming { key, share: Some(share) });
        });
        Ok(Some(Step::Put(MqttRetainedRow {
            tenant: tenant.clone(),
            key,
            owner: Some(owner.clone()),
            message: Arc::clone(message),
        })))
    }

    /// Which bound a message would pass, if it took the place of what is there of its topic.
    fn fault(
        &self,
        held: &Held,
        (tenant, owner): (&Tenant, &DeviceId),
        before: Option<&Share>,
        message: &Message,
    ) -> Option<&'static str> {
        let freed = before.map_or(0, |share| share.bytes);
        let is_its_own = before.is_some_and(|share| share.owner.as_ref() == Some(owner));
        let owned = held.owners.get(&(tenant.clone(), owner.clone())).map_or(0, |it| it.count);
        let (own_max, of_owner) = match owner.is_program() {
            true => (self.per_program_max, "program"),
            false => (self.per_board_max, "board"),
        };
        if len(message) > self.message_bytes_max {
            Some("message")
        } else if !is_its_own && owned >= own_max {
            Some(of_owner)
        } else if before.is_none() && held.count >= self.messages_max {
            Some("messages")
        } else if held.bytes - freed + len(message) > self.bytes_max {
            Some("bytes")
        } else {
            None
        }
    }

    /// A change is on disk.
    pub(super) fn apply(&self, step: Step) {
        let mut held = self.held.write();
        held.apply(step);
        self.show(&held);
    }

    /// A change is not on disk and will not be.
    pub(super) fn give_up(&self, step: &Step) {
        let mut held = self.held.write();
        let (tenant, topic, key) = step.place();
        held.change(tenant, topic, |place| place.coming.retain(|it| it.key != key));
        self.show(&held);
    }

    /// Takes in what is on disk.
    pub(super) fn load(&self, rows: Vec<MqttRetainedRow>) {
        let mut held = self.held.write();
        rows.into_iter().for_each(|row| held.apply(Step::Put(row)));
        self.show(&held);
    }

    /// What is retained of the topics that a filter names and, where that is not all, `readable`
    /// too: at most `max`, behind the topic `after`.
    pub(super) fn page(
        &self,
        tenant: &Tenant,
        (filter, readable): (&str, Option<&[Filter]>),
        after: Option<&str>,
        max: usize,
        now: Timestamp,
    ) -> Page {
        let mut page = Page::default();
        let Ok(filter) = Filter::parse(filter, UNLIMITED) else { return page };
        let held = self.held.read();
        let Some(topics) = held.tenants.get(tenant) else { return page };
        let is_meant = |topic: &str| {
            Topic::parse(topic, UNLIMITED).is_ok_and(|topic| {
                filter.matches(topic)
                    && readable.is_none_or(|all| all.iter().any(|it| it.matches(topic)))
            })
        };
        let (mut looked, mut last) = (0, None::<&Box<str>>);
        for span in spans(&filter, readable) {
            let from = match after {
                Some(after) if after >= span.text() => Bound::Excluded(after),
                _ => Bound::Included(span.text()),
            };
            let within = topics.range::<str, _>((from, Bound::Unbounded));
            for (topic, place) in within.take_while(|(topic, _)| span.has(topic)) {
                if looked == LOOK_MAX || page.found.len() == max {
                    page.next = last.cloned();
                    return page;
                }
                (looked, last) = (looked + 1, Some(topic));
                let Some(kept) = place.kept.as_ref().filter(|it| !it.is_expired(now)) else {
                    continue;
                };
                if is_meant(topic) {
                    page.found.push((place.key, Arc::clone(&kept.message)));
                }
            }
        }
        page
    }

    /// The changes that take away what has expired, at most so many, and what is on disk though a
    /// later made change took it away.
    pub(super) fn expired(&self, now: Timestamp, max: usize) -> Vec<Step> {
        let held = self.held.read();
        let mut steps = held.strays.clone();
        let all = held.tenants.iter().flat_map(|(tenant, topics)| {
            topics.iter().map(move |(topic, place)| (tenant, topic, place))
        });
        let is_expired =
            |place: &Place| place.kept.as_ref().is_some_and(|kept| kept.is_expired(now));
        let expired = all.filter(|(_, _, place)| is_expired(place)).take(max);
        steps.extend(expired.map(|(tenant, topic, place)| Step::Remove {
            tenant: tenant.clone(),
            topic: topic.clone(),
            key: place.key,
        }));
        steps
    }

    fn show(&self, held: &Held) {
        self.metrics.retained.set(i64::try_from(held.count).unwrap_or(i64::MAX));
        self.metrics.retained_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }
}

impl Kept {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.message.expires_at.is_some_and(|at| at <= now)
    }
}

impl Place {
    /// What it will count for once all that comes is on disk: the change that was made last decides.
    fn planned(&self) -> Option<Share> {
        let last = self.coming.iter().max_by_key(|it| it.key).filter(|it| it.key > self.key);
        match last {
            Some(coming) => coming.share.clone(),
            None => self
                .kept
                .as_ref()
                .map(|kept| Share { bytes: len(&kept.message), owner: kept.owner.clone() }),
        }
    }
}

impl Held {
    fn apply(&mut self, step: Step) {
        let (tenant, topic, key) = step.place();
        let (tenant, topic) = (tenant.clone(), Box::<str>::from(topic));
        self.strays.retain(|stray| stray.place().2 != key);
        let mut is_stray = false;
        self.change(&tenant, &topic, |place| {
            place.coming.retain(|it| it.key != key);
            if key >= place.key {
                place.key = key;
                place.kept = match step {
                    Step::Put(row) => Some(Kept { message: row.message, owner: row.owner }),
                    Step::Remove { .. } => None,
                };
            } else {
                is_stray = place.kept.is_none() && matches!(step, Step::Put(_));
            }
        });
        if is_stray {
            self.strays.push(Step::Remove { tenant, topic, key });
        }
    }

    /// Changes one topic's place and what it counts for. A place is there for as long as it has a
    /// message or one comes, so that it is known what is older.
    fn change(&mut self, tenant: &Tenant, topic: &str, change: impl FnOnce(&mut Place)) {
        let topics = self.tenants.entry(tenant.clone()).or_default();
        let place = topics.entry(topic.into()).or_default();
        let before = place.planned();
        change(place);
        let after = place.planned();
        if place.kept.is_none() && place.coming.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.tenants.remove(tenant);
        }
        let bytes = |share: &Option<Share>| share.as_ref().map_or(0, |it| it.bytes);
        self.count = self.count + usize::from(after.is_some()) - usize::from(before.is_some());
        self.bytes = self.bytes + bytes(&after) - bytes(&before);
        let (before, after) = (before.and_then(|it| it.owner), after.and_then(|it| it.owner));
        if before != after {
            self.disown(tenant, before);
            if let Some(owner) = after {
                self.owners.entry((tenant.clone(), owner)).or_default().count += 1;
            }
        }
    }

    fn disown(&mut self, tenant: &Tenant, owner: Option<DeviceId>) {
        let Some(owner) = owner else { return };
        let key = (tenant.clone(), owner);
        if let Some(owned) = self.owners.get_mut(&key) {
            owned.count -= 1;
            owned.is_told = false;
            if owned.count == 0 {
                self.owners.remove(&key);
            }
        }
    }
}

/// Topics that stand side by side.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Span<'a> {
    /// All that begin so.
    Below(&'a str),
    /// This one.
    Exact(&'a str),
}

impl<'a> Span<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Below(text) | Self::Exact(text) => text,
        }
    }

    fn has(self, topic: &str) -> bool {
        match self {
            Self::Below(text) => topic.starts_with(text),
            Self::Exact(text) => topic == text,
        }
    }
}

/// Where a filter's topics may be: itself, or all that begins as it does before its first wildcard.
fn span(filter: &Filter) -> Span<'_> {
    let text = filter.as_str();
    text.find(['+', '#']).map_or(Span::Exact(text), |wildcard| Span::Below(&text[..wildcard]))
}

/// Where the topics may be that a filter names and one of `readable` too, in their order; none twice.
fn spans<'a>(filter: &'a Filter, readable: Option<&'a [Filter]>) -> Vec<Span<'a>> {
    let own = span(filter);
    let mut all = match readable {
        None => with_parent(own),
        Some(readable) => {
            let both = readable.iter().map(span).filter_map(|theirs| match (own, theirs) {
                (Span::Exact(_), _) => Some(own),
                (_, Span::Exact(_)) => Some(theirs),
                (Span::Below(ours), Span::Below(it)) if it.starts_with(ours) => Some(theirs),
                (Span::Below(ours), Span::Below(it)) => ours.starts_with(it).then_some(own),
            });
            both.flat_map(with_parent).collect()
        }
    };
    all.sort_unstable_by_key(|span| (span.text(), *span));
    all.dedup();
    let mut outer: Option<&str> = None;
    all.retain(|span| {
        let is_within = outer.is_some_and(|outer| span.text().starts_with(outer));
        if let (Span::Below(text), false) = (span, is_within) {
            outer = Some(text);
        }
        !is_within
    });
    all
}

/// `sport/#` takes `sport`, too.
fn with_parent(span: Span<'_>) -> Vec<Span<'_>> {
    let parent = match span {
        Span::Below(text) => text.strip_suffix('/').filter(|parent| !parent.is_empty()),
        Span::Exact(_) => None,
    };
    parent.map(Span::Exact).into_iter().chain([span]).collect()
}
