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
//! // opened.unsaid: what the connection before did not live to say, is recorded first
//! grant.resumed = opened.resumed;                     // and opened.session_expiry_max
//! let seat = opened.seat;
//! // its arrival: `state` where there is an Output::Keep
//! let mut keeping = exchange.arrive(&seat, state, session.last_words(now))?;
//! // Output::Keep { .. }: what is to be on disk before the answer, with the facts of the drain
//! let mut keeping = exchange.keep(&seat, &session.state())?;
//! let recorded = pipeline.record_with(facts, keeping.take_operations()).await;
//! exchange.settle(keeping, is_committed);             // only now it counts
//! // Output::Subscribed: where nothing is kept, `keep` too: it is how subscriptions are known; and
//! // where retain handling asks for it `exchange.send_retained(&seat, filter)`
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
//! let mut keeping = exchange.closing(&seat, session.was_welcome().then_some(&state), will);
//! let recorded = pipeline.record_with(facts, keeping.take_operations()).await;
//! exchange.settle(keeping, true);                     // or `left_unwritten`, where it is not
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
//! exchange.advance(&seat, &progress);
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

mod clock_steps;
mod count;
mod ending;
mod group_names;
mod groups;
mod house;
mod index;
mod keeping;
mod kept;
mod load;
mod metrics;
mod opening;
mod options;
mod peek;
mod places;
mod programs;
mod progress;
mod queue;
mod retained;
mod route;
mod session;
mod taking;

pub use groups::{Dealt, Membership, SHARED_KEYS};
pub use keeping::{Gone, Keeping};
pub use load::LoadError;
pub use metrics::Metrics;
pub use opening::{OpenSessionError, Opened, Opening, Unsaid};
pub use options::{ExchangeOptions, QueueFull};
pub use peek::{message_of_stored, topic_of_stored};
pub use places::is_retained;
pub use programs::JoinError;
pub use progress::Progress;
pub use queue::Queued;
pub use route::Routed;

use crate::clock::Clock;
use crate::lines::Lines;
use crate::store::{MqttChange, Store, Writer};
use ::mqtt::{Message, SubscriptionRecord};
use count::Count;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use groups::Groups;
use index::Index;
use jiff::Timestamp;
use model::Tenant;
use parking_lot::{Mutex, RwLock};
use retained::Retained;
use session::{Inner, Key, Session};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    kept: Mutex<Count>,
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
    /// Readers of the events that nobody was known to be when it was last looked.
    strays: Mutex<HashSet<Box<str>>>,
    times: Mutex<clock_steps::Times>,
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
            kept: Mutex::default(),
            keys: AtomicU64::new(1),
            numbers: AtomicU64::new(1),
            turns: AtomicU64::new(0),
            timers: Mutex::default(),
            dirty: Mutex::default(),
            lags: tokio::sync::Mutex::default(),
            strays: Mutex::default(),
            times: Mutex::new(clock_steps::Times::since(clock.now())),
        })
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

    fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }

    /// How many sessions outlive their connections.
    #[must_use]
    pub fn sessions_kept(&self) -> usize {
        self.kept.lock().all
    }

    fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn ring(&self, session: &Session, is_live: bool) {
        if is_live {
            self.lines.ring(&session.tenant, &session.owner);
        }
    }
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
