//! Shared subscriptions of programs: one reader of the events for each group, which deals the
//! messages to the members that have room, in turn.
//!
//! What a member had and did not acknowledge goes to others when it leaves. The group's place in the
//! events is kept for as long as a kept session subscribes to it, connected or not.

use super::group_names::{GroupKey, NUMBERS, read_reader, reader_of};
use super::index::UNLIMITED;
use super::peek::{message_of_stored, peek_stored};
use super::programs::{JoinError, feed_after};
use super::session::{Inner, Session};
use super::{Metrics, Progress};
use crate::deliver::{Feed, FeedItem};
use crate::store::{MqttChange, Position, ReadError, Store, StoredEvent, Writer};
use ::mqtt::{Filter, Message, SubscriptionRecord, Topic, split_shared};
use model::{DeviceId, Tenant};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Keys of messages that a group dealt are at least this: the event's sequence stands below it, the
/// group's number above. A program that connects again is not to be sent what it has of them
/// under this connection's keys: it went to others.
pub const SHARED_KEYS: u64 = 1 << 43;

/// Pause after the events could not be read.
const READ_RETRY: Duration = Duration::from_secs(1);

/// A message for a member of a group.
#[derive(Clone, Debug)]
pub struct Dealt {
    /// What the session knows it by, and [`Membership::done`].
    pub key: u64,
    /// The message.
    pub message: Arc<Message>,
}

/// The groups of all tenants.
#[derive(Debug)]
pub(super) struct Groups {
    all: Mutex<HashMap<GroupKey, Arc<Group>>>,
    /// Where groups were when the store was opened, with the names of their readers; taken out by the
    /// first that subscribes.
    placed: Mutex<HashMap<GroupKey, (Box<str>, Position)>>,
    /// The number given last.
    last: AtomicU64,
    max: usize,
    metrics: Metrics,
}

/// A reader that is far behind, or may be.
#[derive(Clone, Debug)]
pub(super) struct GroupReader {
    pub(super) group: Arc<Group>,
    pub(super) name: Box<str>,
    pub(super) done: Position,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) tenant: Tenant,
    /// As it is subscribed to.
    pub(super) text: Arc<str>,
    filter: Filter,
    /// Its name as a reader of the events.
    reader: Box<str>,
    /// The upper part of its messages' keys: its number is no other group's, and the same after a
    /// restart.
    key: u64,
    state: Mutex<State>,
    /// Told when there may be room for a message, or another place to read from.
    change: Notify,
    over: CancellationToken,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    /// Sessions that subscribe, and whether they are kept.
    subscribers: BTreeMap<u64, (bool, DeviceId)>,
    members: Vec<Member>,
    last_member: u64,
    turn: usize,
    /// Read and with nobody.
    waiting: VecDeque<Waiting>,
    progress: Progress,
    /// What is on disk of its place; `None` while no kept session subscribes.
    stored: Option<Position>,
    is_read: bool,
    /// Where to go on reading instead.
    skip_to: Option<Position>,
}

#[derive(Debug)]
struct Member {
    id: u64,
    free: usize,
    has: BTreeMap<u64, Waiting>,
    to: mpsc::UnboundedSender<Dealt>,
}

#[derive(Clone, Debug)]
struct Waiting {
    sequence: u64,
    message: Arc<Message>,
    /// Members that may not have it.
    declined: Vec<u64>,
}

/// One connection's part in a group. Dropped, all that it has goes to others.
#[derive(Debug)]
pub struct Membership {
    group: Arc<Group>,
    id: u64,
    from: mpsc::UnboundedReceiver<Dealt>,
}

impl Membership {
    /// The next message; waits for one. Cancelled, it loses nothing. `None` when the group is over.
    pub async fn next(&mut self) -> Option<Dealt> {
        self.from.recv().await
    }

    /// The same for whoever waits for several.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Dealt>> {
        self.from.poll_recv(cx)
    }

    /// The shared subscription, as it was subscribed.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.group.text
    }

    /// Whether a message of that key came by this group.
    #[must_use]
    pub fn dealt(&self, key: u64) -> bool {
        key & !(SHARED_KEYS - 1) == self.group.key
    }

    /// The program has this message: there is room for another.
    pub fn done(&self, key: u64) {
        self.group.done(self.id, key & (SHARED_KEYS - 1));
    }

    /// The program may not have this message: another member is asked.
    pub fn decline(&self, key: u64) {
        self.group.decline(self.id, key & (SHARED_KEYS - 1));
    }

    /// Leaves: only what of `unacknowledged` came by this group goes to others; all else that it was
    /// dealt is done with.
    pub fn leave(self, unacknowledged: &[u64]) {
        self.group.leave(self.id, |sequence| unacknowledged.contains(&(self.group.key | sequence)));
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.group.leave(self.id, |_| true);
    }
}

impl Groups {
    pub(super) fn new(max: usize, metrics: Metrics) -> Self {
        let (all, placed, last) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Self { all, placed, last, max, metrics }
    }

    /// Where groups were, by the names of their readers.
    pub(super) fn place(&self, readers: HashMap<Box<str>, Position>) {
        let mut placed = self.placed.lock();
        for (name, at) in readers {
            // What is no group's goes with those that nobody takes.
            let read = read_reader(&name);
            let (number, key) = read.unwrap_or_else(|| (0, (Tenant::default(), name.clone())));
            self.last.fetch_max(number, Ordering::Relaxed);
            placed.insert(key, (name, at));
        }
    }

    /// The readers of no group any more, once all sessions are known.
    pub(super) fn strays(&self) -> Vec<Box<str>> {
        let left = std::mem::take(&mut *self.placed.lock());
        left.into_values().map(|(name, _)| name).collect()
    }

    /// A program's session asks for a place in a group before it subscribes; false when there are as
    /// many groups as may be.
    pub(super) fn claim(&self, session: &Session, inner: &Inner, text: &str) -> bool {
        let mut all = self.all.lock();
        let group = self.enter(&mut all, session, inner, text);
        let Some(group) = group else {
            self.metrics.sessions_refused.with_label_values(&["shared_groups_max"]).inc();
            return false;
        };
        // Its place in the events is kept with the subscription.
        group
            .state
            .lock()
            .subscribers
            .entry(session.number)
            .or_insert_with(|| (false, session.owner.clone()));
        self.show(&all);
        true
    }

    /// The group of a subscription, made where there is none and may be one.
    fn enter(
        &self,
        all: &mut HashMap<GroupKey, Arc<Group>>,
        session: &Session,
        inner: &Inner,
        text: &str,
    ) -> Option<Arc<Group>> {
        let key = (session.tenant.clone(), Box::from(text));
        if let Some(group) = all.get(&key) {
            return Some(Arc::clone(group));
        }
        if all.len() >= self.max {
            return None;
        }
        let placed = self.placed.lock().remove(&key);
        let own = inner.reading.map(|reading| reading.done).unwrap_or_default();
        let number = match placed.as_ref().and_then(|(name, _)| read_reader(name)) {
            Some((number, _)) if number > 0 => number,
            _ => self.next_number(all),
        };
        let group = Group::new(session, text, number, (placed, own), &self.metrics)?;
        let group = Arc::new(group);
        all.insert(key, Arc::clone(&group));
        Some(group)
    }

    /// A number that no group has.
    fn next_number(&self, all: &HashMap<GroupKey, Arc<Group>>) -> u64 {
        loop {
            let number = self.last.fetch_add(1, Ordering::Relaxed) % (NUMBERS - 1) + 1;
            if all.values().all(|group| group.key != number * SHARED_KEYS) {
                return number;
            }
        }
    }

    fn show(&self, all: &HashMap<GroupKey, Arc<Group>>) {
        self.metrics.groups.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
    }

    /// A program's session subscribes to these shared subscriptions now, and no others.
    pub(super) fn regroup(
        &self,
        session: &Session,
        inner: &Inner,
        records: &[SubscriptionRecord],
    ) -> Vec<MqttChange> {
        let mut all = self.all.lock();
        let mut changes = Vec::new();
        let mut wanted: Vec<&str> = records.iter().map(|record| &*record.filter).collect();
        wanted.retain(|filter| split_shared(filter).is_some());
        all.retain(|(tenant, text), group| {
            if *tenant == session.tenant && !wanted.contains(&&**text) {
                group.unsubscribed(session.number, &mut changes)
            } else {
                true
            }
        });
        for text in wanted {
            match self.enter(&mut all, session, inner, text) {
                Some(group) => group.subscribed(session, inner.is_kept, &mut changes),
                // It was granted when more might be.
                None => {
                    self.metrics.sessions_refused.with_label_values(&["shared_groups_max"]).inc()
                }
            }
        }
        self.show(&all);
        changes
    }

    pub(super) fn join(
        &self,
        store: &Arc<dyn Store>,
        writer: &Writer,
        tenant: &Tenant,
        filter: &str,
        window: usize,
    ) -> Result<Membership, JoinError> {
        let all = self.all.lock();
        let group = all.get(&(tenant.clone(), filter.into())).ok_or(JoinError::NoSuchGroup)?;
        Ok(Group::join(group, store, writer, window))
    }

    /// The steps of readers that are on disk, to be written.
    pub(super) fn moved(&self) -> Vec<MqttChange> {
        let all = self.all.lock();
        let moved = all.values().filter_map(|group| {
            let mut state = group.state.lock();
            let to = state.progress.position();
            let stored = state.stored.filter(|stored| *stored < to)?;
            debug_assert!(stored < to);
            state.stored = Some(to);
            Some(MqttChange::AdvanceReader { name: group.reader.clone(), to })
        });
        moved.collect()
    }

    /// The readers that hold back trimming.
    pub(super) fn readers(&self) -> Vec<GroupReader> {
        let all = self.all.lock();
        let reader = |group: &Arc<Group>| {
            let state = group.state.lock();
            state.stored?;
            let (name, done) = (group.reader.clone(), state.progress.position());
            Some(GroupReader { group: Arc::clone(group), name, done })
        };
        all.values().filter_map(reader).collect()
    }
}

impl Group {
    fn new(
        session: &Session,
        text: &str,
        number: u64,
        (placed, own): (Option<(Box<str>, Position)>, Position),
        metrics: &Metrics,
    ) -> Option<Self> {
        let (reader, placed) = placed.unzip();
        let state = State {
            subscribers: BTreeMap::new(),
            members: Vec::new(),
            last_member: 0,
            turn: 0,
            waiting: VecDeque::new(),
            progress: Progress::new(placed.unwrap_or(own)),
            stored: placed,
            is_read: false,
            skip_to: None,
        };
        Some(Self {
            tenant: session.tenant.clone(),
            text: text.into(),
            filter: Filter::parse(split_shared(text)?.1, UNLIMITED).ok()?,
            reader: reader.unwrap_or_else(|| reader_of(number, &session.tenant, text)),
            key: number * SHARED_KEYS,
            state: Mutex::new(state),
            change: Notify::new(),
            over: CancellationToken::new(),
            metrics: metrics.clone(),
        })
    }

    fn subscribed(&self, session: &Session, is_kept: bool, changes: &mut Vec<MqttChange>) {
        let mut state = self.state.lock();
        state.subscribers.insert(session.number, (is_kept, session.owner.clone()));
        self.settle_reader(&mut state, changes);
    }

    /// A session subscribes no more; false when it was the last.
    fn unsubscribed(&self, session: u64, changes: &mut Vec<MqttChange>) -> bool {
        let mut state = self.state.lock();
        if state.subscribers.remove(&session).is_none() {
            return true;
        }
        self.settle_reader(&mut state, changes);
        if state.subscribers.is_empty() {
            self.over.cancel();
            state.members.clear();
        }
        !state.subscribers.is_empty()
    }

    /// Has the place on disk while a kept session subscribes, and no longer.
    fn settle_reader(&self, state: &mut State, changes: &mut Vec<MqttChange>) {
        let is_kept = state.subscribers.values().any(|(is_kept, _)| *is_kept);
        let name = self.reader.clone();
        match (is_kept, state.stored) {
            (true, None) => {
                let at = state.progress.position();
                state.stored = Some(at);
                changes.push(MqttChange::StartReader { name, at });
            }
            (false, Some(_)) => {
                state.stored = None;
                changes.push(MqttChange::DropReader { name });
            }
            _ => {}
        }
    }

    fn join(
        group: &Arc<Self>,
        store: &Arc<dyn Store>,
        writer: &Writer,
        window: usize,
    ) -> Membership {
        let (to, from) = mpsc::unbounded_channel();
        let mut state = group.state.lock();
        state.last_member += 1;
        let id = state.last_member;
        state.members.push(Member { id, free: window.max(1), has: BTreeMap::new(), to });
        group.deal_waiting(&mut state);
        if !std::mem::replace(&mut state.is_read, true) {
            let (store, writer) = (Arc::clone(store), writer.clone());
            tokio::spawn(Arc::clone(group).run(store, writer));
        }
        drop(state);
        group.change.notify_one();
        Membership { group: Arc::clone(group), id, from }
    }

    /// Reads for as long as there are members, while one of them has room.
    async fn run(self: Arc<Self>, store: Arc<dyn Store>, writer: Writer) {
        let mut feed = None;
        loop {
            let read = tokio::select! {
                () = self.over.cancelled() => return,
                read = self.read(&store, &writer, &mut feed) => read,
            };
            match read {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    warn!(%error, "the events of a shared subscription could not be read");
                    feed = None;
                    tokio::time::sleep(READ_RETRY).await;
                }
            }
        }
    }

    /// Reads one item; false when there is nobody to read for, or the daemon stops.
    async fn read(
        &self,
        store: &Arc<dyn Store>,
        writer: &Writer,
        feed: &mut Option<Feed>,
    ) -> Result<bool, ReadError> {
        let (has_room, from) = {
            let mut state = self.state.lock();
            if state.members.is_empty() {
                // The next member begins where this ends.
                state.is_read = false;
                return Ok(false);
            }
            let from = state.skip_to.take();
            let has_room = state.members.iter().any(|member| member.free > 0);
            (has_room && state.waiting.is_empty(), from)
        };
        if from.is_some() {
            *feed = None;
        }
        if !has_room {
            self.change.notified().await;
            return Ok(true);
        }
        let feed = match feed {
            Some(feed) => feed,
            None => {
                // What was read and is with members is not read again.
                let at = self.state.lock().progress.read_to();
                feed.insert(feed_after(store, writer, &self.tenant, at).await?)
            }
        };
        tokio::select! {
            item = feed.next() => match item {
                Some(Ok(FeedItem::Event { event, .. })) => self.take(&event),
                Some(Ok(FeedItem::Gap { .. })) => self.metrics.drop_one("trimmed"),
                Some(Err(error)) => return Err(error),
                None => return Ok(false),
            },
            () = self.change.notified() => {}
        }
        Ok(true)
    }

    fn take(&self, event: &StoredEvent) {
        let is_wanted = peek_stored(event).is_some_and(|peek| {
            let topic = Topic::parse(&peek.topic, UNLIMITED);
            topic.is_ok_and(|topic| self.filter.matches(topic))
        });
        let message = if is_wanted { message_of_stored(event) } else { None };
        let mut state = self.state.lock();
        // Another place was chosen while this was read.
        if state.skip_to.is_some() {
            return;
        }
        let Some(message) = message else { return state.progress.passed(event.position) };
        state.progress.sent(event.position);
        let (sequence, message) = (event.position.sequence, Arc::new(message));
        state.waiting.push_back(Waiting { sequence, message, declined: Vec::new() });
        self.deal_waiting(&mut state);
    }

    /// Deals what waits, oldest first, while there is a member for it.
    fn deal_waiting(&self, state: &mut State) {
        while let Some(first) = state.waiting.front() {
            if state.members.is_empty() {
                return;
            }
            let may_have = |member: &Member| !first.declined.contains(&member.id);
            if !state.members.iter().any(may_have) {
                let sequence = first.sequence;
                state.waiting.pop_front();
                state.progress.done(sequence);
                self.metrics.drop_one("declined");
                continue;
            }
            let (count, turn) = (state.members.len(), state.turn);
            let in_turn = (0..count).map(|step| (turn + step) % count);
            let fits = |place: &usize| {
                let member = &state.members[*place];
                member.free > 0 && may_have(member)
            };
            let Some(place) = in_turn.into_iter().find(fits) else { return };
            let Some(waiting) = state.waiting.pop_front() else { return };
            state.turn = (place + 1) % count;
            let key = self.key | waiting.sequence;
            let dealt = Dealt { key, message: Arc::clone(&waiting.message) };
            let member = &mut state.members[place];
            member.free -= 1;
            member.has.insert(waiting.sequence, waiting);
            // Who does not listen any more is about to leave, and leaves it to others.
            let _ = member.to.send(dealt);
        }
    }

    fn done(&self, id: u64, sequence: u64) {
        let mut state = self.state.lock();
        if state.take_back(id, sequence).is_some() {
            state.progress.done(sequence);
            self.deal_waiting(&mut state);
            self.change.notify_one();
        }
    }

    fn decline(&self, id: u64, sequence: u64) {
        let mut state = self.state.lock();
        if let Some(mut waiting) = state.take_back(id, sequence) {
            waiting.declined.push(id);
            state.put_back(waiting);
            self.deal_waiting(&mut state);
            self.change.notify_one();
        }
    }

    fn leave(&self, id: u64, is_for_others: impl Fn(u64) -> bool) {
        let mut state = self.state.lock();
        let Some(place) = state.members.iter().position(|member| member.id == id) else { return };
        let member = state.members.remove(place);
        state.turn = 0;
        for (sequence, waiting) in member.has {
            if is_for_others(sequence) {
                state.put_back(waiting);
            } else {
                state.progress.done(sequence);
            }
        }
        self.deal_waiting(&mut state);
        self.change.notify_one();
    }

    /// Goes on behind `to`, and forgets what it has not dealt before. Returns who is told.
    pub(super) fn skip(&self, to: Position) -> Option<DeviceId> {
        let mut state = self.state.lock();
        state.progress = Progress::new(to);
        state.waiting.clear();
        state.skip_to = Some(to);
        let owner = state.subscribers.values().next().map(|(_, owner)| owner.clone());
        drop(state);
        self.change.notify_one();
        owner
    }
}

impl State {
    fn take_back(&mut self, id: u64, sequence: u64) -> Option<Waiting> {
        let member = self.members.iter_mut().find(|member| member.id == id)?;
        let waiting = member.has.remove(&sequence)?;
        member.free += 1;
        Some(waiting)
    }

    fn put_back(&mut self, waiting: Waiting) {
        let place = self.waiting.partition_point(|held| held.sequence < waiting.sequence);
        self.waiting.insert(place, waiting);
    }
}
