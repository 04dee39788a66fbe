//! Who gets what was published, beside commands: boards' subscriptions, retained messages, and
//! everything of MQTT sessions that outlives a connection.
//!
//! A board's subscriptions stand in an index, and what matches is routed to it in the transaction
//! of the event: a kept session has a row in its queue from then on, until it acknowledges. A
//! program's session reads the events itself, from a place of its own that holds back trimming.
//! Programs of a group ([`Exchange::join`]) share one such reader, which deals them the messages.
//!
//! A connection's life, as its driver leads it:
//!
//! ```text
//! let opened = exchange.open(Opening { tenant, owner, client_id, .. }).await?;  // at Authenticate
//! grant.resumed = opened.resumed;                     // and opened.session_expiry_max
//! let seat = opened.seat;
//! // Output::Keep { .. }: what is to be on disk before the answer, with the facts of the drain
//! pipeline.record_with(facts, exchange.keep(&seat, &session.state())).await;
//! // Output::Subscribed: `keep` as above (also where nothing is kept: it is how subscriptions
//! // are known), then for each new one what retain handling asks for
//! for message in exchange.retained(&tenant, filter) { session.send(&message, exchange.next_key(), Through::Filter(filter), now) }
//! // Lines rang, or Output::Acknowledged made room: ask for more once the last are sent
//! waiting.extend(exchange.take(&seat, 16).await?);
//! while let Some(queued) = waiting.front() {
//!     match session.send(&queued.message, queued.key, queued.through(), now) {
//!         Err(WindowFull | NotConnected) => break,
//!         Err(never) => exchange.give_up(&seat, queued.key, never.code()),
//!         Ok(()) => {}                                // `Output::Acknowledged` follows, at QoS 0 too
//!     }
//!     waiting.pop_front();
//! }
//! // Output::Acknowledged(key)
//! exchange.acknowledged(&seat, &[key]);
//! // the end: with the last facts; `will` is the delay and the event's data of Output::WillLater
//! pipeline.record_with(facts, exchange.closed(&seat, &session.state(), will)).await;
//! ```
//!
//! A program's driver reads the events in the place of `take`. It reads on only while the session's
//! window has room, so that it never holds more than one message that was not sent:
//!
//! ```text
//! let mut feed = exchange.feed(&seat).await?;
//! let mut progress = Progress::new(exchange.position(&seat));
//! // FeedItem::Event { event, .. }: `key` is `event.position.sequence`
//! match message_of_stored(&event) {
//!     Some(message) => match session.send(&message, key, Through::Matching { is_own }, now) {
//!         Ok(()) => progress.sent(event.position),
//!         Err(WindowFull | NotConnected) => ..,       // again, once there is room
//!         Err(_) => progress.passed(event.position),
//!     },
//!     None => progress.passed(event.position),
//! }
//! // Output::Acknowledged(key), below SHARED_KEYS
//! progress.done(key);
//! exchange.advance(&seat, progress.position());
//! // each shared subscription, once it is kept
//! let mut member = exchange.join(&seat, "$share/group/filter", window)?;
//! let dealt = member.next().await;                    // send it by Through::Filter(member.filter())
//! member.done(key);                                   // at Output::Acknowledged; `decline` at Err
//! member.leave(&unacknowledged);                      // or drop it: all that it has is others'
//! ```
//!
//! Either kind ends its connection when [`Seat::ended`] resolves: its session is gone. Late words of
//! a connection that was taken over are passed over: a seat knows whether it is the present one.
//!
//! Never parses a packet, never holds a socket; order is kept for each board and each publisher.

mod ending;
mod groups;
mod house;
mod index;
mod load;
mod metrics;
mod options;
mod peek;
mod programs;
mod progress;
mod queue;
mod retained;
mod route;
mod session;

pub use groups::{Dealt, JoinError, Membership, SHARED_KEYS};
pub use load::LoadError;
pub use metrics::Metrics;
pub use options::{ExchangeOptions, QueueFull};
pub use peek::message_of_stored;
pub use progress::Progress;
pub use queue::Queued;
pub use route::Routed;

use crate::clock::Clock;
use crate::lines::Lines;
use crate::store::{MqttChange, Operation, ReadError, Store, WriteError, Writer};
use ::mqtt::{Filter, Message, SessionState, SubscriptionRecord};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use groups::Groups;
use index::Index;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use parking_lot::{Mutex, RwLock};
use retained::Retained;
use serde::{Deserialize, Serialize};
use session::{Inner, Key, NEVER_S, Reading, Session};

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the exchange works with.
pub struct ExchangeParts {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// The way into it.
    pub writer: Writer,
    /// Which boards are connected.
    pub lines: Arc<Lines>,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

/// The exchange. One for the daemon.
pub struct Exchange {
    store: Arc<dyn Store>,
    writer: Writer,
    lines: Arc<Lines>,
    clock: Clock,
    metrics: Metrics,
    options: ExchangeOptions,
    index: RwLock<HashMap<Tenant, Index>>,
    sessions: DashMap<Key, Arc<Session>>,
    by_number: DashMap<u64, Arc<Session>>,
    /// Sessions that outlive their connections.
    kept: AtomicUsize,
    retained: Retained,
    groups: Groups,
    keys: AtomicU64,
    numbers: AtomicU64,
    turns: AtomicU64,
    /// When there is something to do about a session without a connection.
    timers: Mutex<BTreeSet<(Timestamp, u64)>>,
    /// Sessions of which something is to be written behind.
    dirty: Mutex<BTreeSet<u64>>,
    lags: tokio::sync::Mutex<house::Lags>,
}

/// Who connects.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Whose.
    pub tenant: Tenant,
    /// The board, or the program (`program:<name>`).
    pub owner: DeviceId,
    /// The client id that it keeps a session under.
    pub client_id: Box<str>,
    /// Whether it reads the events itself.
    pub is_program: bool,
    /// Whether what was kept is to be forgotten.
    pub clean_start: bool,
    /// What a board may read, in filters: its subscriptions are cut to it. The narrower, the fewer
    /// filters a message is compared with.
    pub readable: Vec<Filter>,
}

/// What a connection begins with.
#[derive(Debug)]
pub struct Opened {
    /// For all further calls.
    pub seat: Seat,
    /// What was kept of the session, where it goes on.
    pub resumed: Option<SessionState>,
    /// How long the session may outlive the connection; zero when no more are kept.
    pub session_expiry_max: Duration,
}

/// A connection's hold on its session.
#[derive(Clone, Debug)]
pub struct Seat {
    session: Arc<Session>,
    generation: u64,
    ended: CancellationToken,
}

impl Seat {
    /// Resolves when the session is ended from here (a program that is too far behind): the
    /// connection is to go.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether the session is ended from here.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

/// What is on disk of a session.
#[derive(Deserialize, Serialize)]
struct KeptState {
    session: SessionState,
    readable: Vec<Box<str>>,
}

/// Why a connection's session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// What was kept could not be forgotten.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Where the events stand could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Exchange {
    /// An exchange that knows nobody; [`Exchange::load`] follows.
    #[must_use]
    pub fn new(parts: ExchangeParts, options: ExchangeOptions) -> Arc<Self> {
        let ExchangeParts { store, writer, lines, clock, metrics } = parts;
        Arc::new(Self {
            retained: Retained::new(&options, metrics.clone()),
            groups: Groups::new(options.shared_groups_max, metrics.clone()),
            store,
            writer,
            lines,
            clock,
            metrics,
            options,
            index: RwLock::default(),
            sessions: DashMap::new(),
            by_number: DashMap::new(),
            kept: AtomicUsize::new(0),
            keys: AtomicU64::new(1),
            numbers: AtomicU64::new(1),
            turns: AtomicU64::new(0),
            timers: Mutex::default(),
            dirty: Mutex::default(),
            lags: tokio::sync::Mutex::default(),
        })
    }

    /// Takes a connection's session up, or begins one. What was kept and is not wanted any more is
    /// forgotten on disk, and its will published, before this returns.
    ///
    /// # Errors
    ///
    /// When that could not be written, or the events not be read; then there is no session.
    pub async fn open(&self, opening: Opening) -> Result<Opened, OpenSessionError> {
        let key = (opening.tenant.clone(), opening.owner.clone(), opening.client_id.clone());
        let found = self.sessions.get(&key).map(|found| Arc::clone(&found));
        if let Some(session) = found {
            if !opening.clean_start && session.lock().is_kept {
                return Ok(self.resume(&session, &opening));
            }
            self.end(&session, "clean_start", None).await?;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(number, key.clone(), opening.is_program);
        if opening.is_program {
            let heads = self.store.head().await?;
            let done = heads.into_iter().next().unwrap_or_default();
            session.lock().reading = Some(Reading { done, stored: None });
        }
        self.by_number.insert(number, Arc::clone(&session));
        self.sessions.insert(key, Arc::clone(&session));
        let has_room = self.kept.load(Ordering::Relaxed) < self.options.sessions_max;
        if !has_room {
            self.metrics.sessions_refused.with_label_values(&["sessions_max"]).inc();
        }
        let session_expiry_max =
            if has_room { self.options.session_expiry_max } else { Duration::ZERO };
        Ok(Opened { seat: self.sit(&session, &opening), resumed: None, session_expiry_max })
    }

    fn resume(&self, session: &Arc<Session>, opening: &Opening) -> Opened {
        let seat = self.sit(session, opening);
        let state = session.lock().state.clone();
        let kept = state.and_then(|state| serde_json::from_str::<KeptState>(state.as_str()).ok());
        let resumed = Some(kept.map(|kept| kept.session).unwrap_or_default());
        Opened { seat, resumed, session_expiry_max: self.options.session_expiry_max }
    }

    /// The connection is the session's present one from now on.
    fn sit(&self, session: &Arc<Session>, opening: &Opening) -> Seat {
        let readable: Arc<[Filter]> = opening.readable.clone().into();
        let mut inner = session.lock();
        self.timers.lock().retain_not(inner.due_at(), session.number);
        inner.generation += 1;
        inner.is_live = true;
        (inner.left_at, inner.will) = (None, None);
        inner.queue.detach();
        if *inner.readable != *readable {
            let records = std::mem::take(&mut inner.subscribed);
            self.unsubscribe(session, &inner, &records);
            inner.readable = readable;
            self.subscribe(session, &inner, &records);
            inner.subscribed = records;
        }
        let (generation, ended) = (inner.generation, inner.ended.clone());
        Seat { session: Arc::clone(session), generation, ended }
    }

    /// What is to be on disk of a session as it now is, for the transaction of the facts of the same
    /// drain; its subscriptions take messages from here on. Call it for a session that is not to be
    /// kept, too.
    pub fn keep(&self, seat: &Seat, state: &SessionState) -> Vec<Operation> {
        let session = &seat.session;
        let mut inner = session.lock();
        if !is_present(&inner, seat) {
            return Vec::new();
        }
        let mut changes = self.take_over(session, &mut inner, state);
        if inner.is_kept {
            changes.extend(progress(session, &mut inner));
        }
        changes.into_iter().map(Operation::Mqtt).collect()
    }

    /// The connection is over: what is to be on disk of it, with its last facts. The session ends, or
    /// waits for its client; `will` is the data of the event that tells of it and what is left of its
    /// delay.
    pub fn closed(
        &self,
        seat: &Seat,
        state: &SessionState,
        will: Option<(Duration, Json)>,
    ) -> Vec<Operation> {
        let session = &seat.session;
        let mut inner = session.lock();
        if !is_present(&inner, seat) {
            return Vec::new();
        }
        let now = self.clock.now().wall;
        let after = |delay| now.checked_add(SignedDuration::try_from(delay).ok()?).ok();
        inner.is_live = false;
        inner.left_at = Some(now);
        inner.will = will.map(|(delay, data)| (after(delay).unwrap_or(Timestamp::MAX), data));
        inner.queue.detach();
        let mut changes = self.take_over(session, &mut inner, state);
        if inner.is_kept {
            changes.extend(progress(session, &mut inner));
            if let Some(at) = inner.due_at() {
                self.timers.lock().insert((at, session.number));
            }
        } else {
            changes.extend(self.forget(session, &mut inner));
        }
        changes.into_iter().map(Operation::Mqtt).collect()
    }

    /// Takes a session's state over into memory; what of it is to be on disk.
    fn take_over(
        &self,
        session: &Arc<Session>,
        inner: &mut Inner,
        state: &SessionState,
    ) -> Vec<MqttChange> {
        let mut changes = Vec::new();
        let expiry_s = state.expiry_s.min(self.expiry_max_s());
        inner.expiry_s = expiry_s;
        let was_kept = inner.is_kept;
        inner.is_kept = expiry_s > 0 && (was_kept || self.claim());
        if inner.is_kept {
            let readable = inner.readable.iter().map(|filter| filter.as_str().into()).collect();
            inner.state = Some(Json::of(&KeptState { session: state.clone(), readable }));
            changes.push(MqttChange::PutSession(session.row(inner)));
            if let Some(reading) = inner.reading.as_mut().filter(|it| it.stored.is_none()) {
                reading.stored = Some(reading.done);
                let (name, at) = (session.reader(), reading.done);
                changes.push(MqttChange::StartReader { name, at });
            }
        } else if was_kept {
            changes.push(MqttChange::RemoveSession { number: session.number });
            self.release("not_kept");
            inner.state = None;
            inner.queue = queue::Queue::default();
        }
        changes.extend(self.resubscribe(session, inner, &state.subscriptions));
        changes
    }

    /// Has the index and the groups know what is subscribed to now.
    fn resubscribe(
        &self,
        session: &Arc<Session>,
        inner: &mut Inner,
        records: &[SubscriptionRecord],
    ) -> Vec<MqttChange> {
        if inner.subscribed == records && !session.is_program {
            return Vec::new();
        }
        let has = |records: &[SubscriptionRecord], wanted: &SubscriptionRecord| {
            records.iter().any(|record| record == wanted)
        };
        let before = std::mem::take(&mut inner.subscribed);
        let gone: Vec<_> = before.iter().filter(|it| !has(records, it)).cloned().collect();
        let new: Vec<_> = records.iter().filter(|it| !has(&before, it)).cloned().collect();
        self.unsubscribe(session, inner, &gone);
        self.subscribe(session, inner, &new);
        inner.subscribed = records.to_vec();
        if session.is_program { self.groups.regroup(session, inner, records) } else { Vec::new() }
    }

    fn subscribe(&self, session: &Arc<Session>, inner: &Inner, records: &[SubscriptionRecord]) {
        if session.is_program || records.is_empty() {
            return;
        }
        let mut tenants = self.index.write();
        let index = tenants.entry(session.tenant.clone()).or_default();
        for entry in records.iter().filter_map(|it| session.entry(it, &inner.readable)) {
            index.insert(entry);
            self.metrics.filters.inc();
        }
    }

    fn unsubscribe(&self, session: &Arc<Session>, inner: &Inner, records: &[SubscriptionRecord]) {
        if session.is_program || records.is_empty() {
            return;
        }
        let mut tenants = self.index.write();
        let Some(index) = tenants.get_mut(&session.tenant) else { return };
        for entry in records.iter().filter_map(|it| session.entry(it, &inner.readable)) {
            index.remove(&entry);
            self.metrics.filters.dec();
        }
        if index.is_empty() {
            tenants.remove(&session.tenant);
        }
    }

    /// What waits for a board, in its order, at most so many; they are with the connection from now
    /// on, until it is closed or has them [acknowledged](Self::acknowledged). Empty when nothing does.
    ///
    /// # Errors
    ///
    /// When what is on disk cannot be read; it stays there.
    pub async fn take(&self, seat: &Seat, max: usize) -> Result<Vec<Queued>, ReadError> {
        let session = &seat.session;
        let (mut taken, from) = {
            let mut inner = session.lock();
            if !is_present(&inner, seat) {
                return Ok(Vec::new());
            }
            let taken = inner.queue.take(max);
            let from = inner.queue.first_stored().filter(|_| taken.len() < max);
            (taken, from)
        };
        let Some(from) = from else { return Ok(taken) };
        let rows_max = max - taken.len();
        let read = match self.store.mqtt_queue(session.number, from, rows_max).await {
            Ok(read) => read,
            // What was in memory is not lost for it: the next call tells.
            Err(_) if !taken.is_empty() => return Ok(taken),
            Err(error) => return Err(error),
        };
        let to = (read.len() == rows_max).then(|| read.last().map(|row| row.key)).flatten();
        let read = read.into_iter().map(|row| Queued {
            key: row.key,
            through: row.through,
            is_own: row.is_own,
            message: row.message,
        });
        let mut inner = session.lock();
        if is_present(&inner, seat) {
            taken.extend(inner.queue.read(from, to, read.collect()));
        }
        Ok(taken)
    }

    /// Whether [`Exchange::take`] would hand out anything.
    #[must_use]
    pub fn has_any(&self, seat: &Seat) -> bool {
        let inner = seat.session.lock();
        is_present(&inner, seat) && inner.queue.has_any()
    }

    /// The board has these messages: they are needed no more. Written behind, and with the next
    /// [`Exchange::keep`].
    pub fn acknowledged(&self, seat: &Seat, keys: &[u64]) {
        let mut inner = seat.session.lock();
        if !is_present(&inner, seat) {
            return;
        }
        let rows = keys.iter().filter_map(|key| inner.queue.remove(*key));
        let gone: Vec<_> = rows.map(|row| row.key).collect();
        if !gone.is_empty() {
            inner.queue.acknowledged.extend(gone);
            self.dirty.lock().insert(seat.session.number);
        }
    }

    /// The board will not have this message; `reason` is one of few words.
    pub fn give_up(&self, seat: &Seat, key: u64, reason: &str) {
        self.metrics.drop_one(reason);
        self.acknowledged(seat, &[key]);
    }

    /// The retained messages of the topics that a filter names.
    #[must_use]
    pub fn retained(&self, tenant: &Tenant, filter: &str) -> Vec<Arc<Message>> {
        self.retained.matching(tenant, filter, self.clock.now().wall)
    }

    /// A key that no message has: for what is sent and in no queue, such as retained messages.
    pub fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }

    /// How many sessions outlive their connections.
    #[must_use]
    pub fn sessions_kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn ring(&self, session: &Session, is_live: bool) {
        if is_live {
            self.lines.ring(&session.tenant, &session.owner);
        }
    }

    fn expiry_max_s(&self) -> u32 {
        u32::try_from(self.options.session_expiry_max.as_secs()).unwrap_or(NEVER_S)
    }

    /// Takes one of the places of sessions that are kept.
    fn claim(&self) -> bool {
        let max = self.options.sessions_max;
        let more = |kept| (kept < max).then_some(kept + 1);
        let claimed = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if claimed {
            self.metrics.sessions.inc();
        }
        claimed
    }

    fn release(&self, reason: &str) {
        self.kept.fetch_sub(1, Ordering::Relaxed);
        self.metrics.sessions.dec();
        self.metrics.sessions_ended.with_label_values(&[reason]).inc();
    }
}

/// What is written of acknowledgements and of a program's place. Acknowledgements stay noted: they
/// are written once more behind, lest this transaction is refused.
fn progress(session: &Session, inner: &mut Inner) -> Vec<MqttChange> {
    let mut changes = Vec::new();
    if !inner.queue.acknowledged.is_empty() {
        let keys = inner.queue.acknowledged.iter().map(|key| (session.number, *key));
        changes.push(MqttChange::Unqueue(keys.collect()));
    }
    if let Some(reading) = inner.reading.as_mut()
        && reading.stored.is_some_and(|stored| stored < reading.done)
    {
        let (name, to) = (session.reader(), reading.done);
        changes.push(MqttChange::AdvanceReader { name, to });
    }
    changes
}

/// Whether the connection is the one that its session has now.
fn is_present(inner: &Inner, seat: &Seat) -> bool {
    !inner.is_over && inner.is_live && inner.generation == seat.generation
}

/// Bytes of a message, as queues and retained messages are measured.
#[must_use]
pub fn len(message: &Message) -> u64 {
    (message.topic.len() + message.payload.len() + message.properties.len()) as u64
}

/// Taking out what was put in under a time that is now known.
trait RetainNot {
    fn retain_not(&mut self, at: Option<Timestamp>, number: u64);
}

impl RetainNot for BTreeSet<(Timestamp, u64)> {
    fn retain_not(&mut self, at: Option<Timestamp>, number: u64) {
        if let Some(at) = at {
            self.remove(&(at, number));
        }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
