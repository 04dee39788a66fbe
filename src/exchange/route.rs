//! From an event to the boards that subscribed to what it was on MQTT.

use super::index::Entry;
use super::peek::peek;
use super::queue::{At, Limits, Lost, Queued, Row};
use super::retained::{NotKept, Step};
use super::session::{Inner, Session};
use super::{Exchange, QueueFull, len};
use crate::store::{MqttChange, MqttQueuedRow, Operation};
use ::mqtt::{Message, message_of};
use jiff::Timestamp;
use model::{DeviceId, Event, EventType, Json};
use serde::Serialize;
use std::mem;
use std::sync::Arc;

/// What goes with events into their transaction, and what follows once that is on disk.
///
/// Dropped without a word of how the transaction ended, what it holds is looked for on disk.
#[must_use = "say how the transaction ended"]
#[derive(Debug)]
pub struct Routed<'a> {
    exchange: &'a Exchange,
    rows: Vec<MqttQueuedRow>,
    gone: Vec<(Arc<Session>, Row)>,
    events: Vec<Event>,
    steps: Vec<Step>,
    durable: Vec<(Arc<Session>, Queued)>,
    /// Of no use after a restart: for connections that are there.
    passing: Vec<(Arc<Session>, Queued)>,
}

/// One session's share of a message: all its subscriptions that match, or one shared one.
struct Target {
    session: Arc<Session>,
    through: Option<Arc<str>>,
    is_own: bool,
    /// The best that its subscriptions ask for.
    qos: u8,
}

impl Exchange {
    /// Finds who is to get what these events were on MQTT. Costs a look-up or two for an event that
    /// nobody subscribed to.
    pub fn route(&self, events: &[Event]) -> Routed<'_> {
        let mut routed = Routed::nothing(self);
        for event in events {
            let Some(peek) = peek(event) else { continue };
            let targets = self.targets(event, &peek.topic);
            if targets.is_empty() && !peek.retain {
                continue;
            }
            let Some(message) = message_of(event) else { continue };
            let (key, message) = (self.next_key(), Arc::new(message));
            if peek.retain {
                self.retain(&mut routed, event, key, &message);
            }
            for target in targets {
                self.assign(&mut routed, target, key, &message);
            }
        }
        routed
    }

    /// A message is to stay. The first that a board or program may not leave is told.
    fn retain(&self, routed: &mut Routed<'_>, event: &Event, key: u64, message: &Arc<Message>) {
        #[derive(Serialize)]
        struct Data<'a> {
            topic: &'a str,
            cause: &'static str,
            retained: usize,
        }
        match self.retained.step((&event.tenant, &event.device), key, message) {
            Ok(step) => routed.steps.extend(step),
            Err(NotKept { news: None }) => {}
            Err(NotKept { news: Some(retained) }) => {
                let data = Data { topic: &message.topic, cause: "retained_max", retained };
                routed.events.push(Event {
                    kind: EventType::MESSAGE_DROPPED,
                    time: self.clock.now().wall,
                    data: Json::of(&data),
                    facts: None,
                    ..event.clone()
                });
            }
        }
    }

    fn targets(&self, event: &Event, topic: &str) -> Vec<Target> {
        let mut found = Vec::new();
        if let Some(index) = self.index.read().get(&event.tenant) {
            index.find(topic, &mut found);
        }
        if found.is_empty() {
            return Vec::new();
        }
        let (mut shared, mut own): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|entry| entry.is_shared);
        own.retain(|entry| !(entry.no_local && entry.session.owner == event.device));
        own.sort_unstable_by_key(|entry| entry.session.number);
        let alike = own.chunk_by(|left, right| left.session.number == right.session.number);
        let of_one = |entries: &[Arc<Entry>]| Target {
            session: Arc::clone(&entries[0].session),
            through: None,
            is_own: entries[0].session.owner == event.device,
            qos: entries.iter().map(|entry| entry.qos).max().unwrap_or(0),
        };
        let mut targets: Vec<_> = alike.map(of_one).collect();
        shared.sort_unstable_by(|left, right| {
            (&left.text, left.session.number).cmp(&(&right.text, right.session.number))
        });
        for group in shared.chunk_by(|left, right| left.text == right.text) {
            targets.push(self.pick(group, &event.device));
        }
        targets
    }

    /// Chooses one of a group: those that are connected first, in turn.
    fn pick(&self, group: &[Arc<Entry>], publisher: &DeviceId) -> Target {
        let turn = usize::try_from(self.next_turn()).unwrap_or(0);
        let live: Vec<_> = group.iter().filter(|entry| entry.session.lock().is_live).collect();
        let chosen = match live.len() {
            0 => &group[turn % group.len()],
            count => live[turn % count],
        };
        Target {
            session: Arc::clone(&chosen.session),
            through: Some(Arc::clone(&chosen.text)),
            is_own: chosen.session.owner == *publisher,
            qos: chosen.qos,
        }
    }

    fn assign(&self, routed: &mut Routed<'_>, target: Target, key: u64, message: &Arc<Message>) {
        let Target { session, through, is_own, qos } = target;
        let queued = Queued { key, through, is_own, message: Arc::clone(message) };
        let mut inner = session.lock();
        if inner.is_over {
            return;
        }
        let is_promised = qos.min(message.qos as u8) > 0;
        if !(is_promised && inner.is_kept) {
            if inner.is_live {
                drop(inner);
                routed.passing.push((session, queued));
            }
            return;
        }
        let now = self.clock.now().wall;
        let row = Row {
            key,
            bytes: u32::try_from(len(message)).unwrap_or(u32::MAX),
            queued_at_s: seconds(now),
            at: At::Pending,
        };
        match inner.queue.admit(row, self.limits()) {
            Ok(gone) => {
                if !gone.is_empty() {
                    routed.events.extend(self.note_loss(&session, &mut inner, "full", gone.len()));
                }
                drop(inner);
                let of_session = |row| (Arc::clone(&session), row);
                routed.gone.extend(gone.into_iter().map(of_session));
                routed.rows.push(MqttQueuedRow {
                    session: session.number,
                    key,
                    through: queued.through.clone(),
                    is_own,
                    queued_at: now,
                    message: Arc::clone(message),
                });
                routed.durable.push((session, queued));
            }
            Err(lost) => {
                let cause = match lost {
                    Lost::Full => "full",
                    Lost::TooLarge => "too_large",
                };
                routed.events.extend(self.note_loss(&session, &mut inner, cause, 1));
            }
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            rows_max: self.options.queue_messages_max,
            bytes_max: self.options.queue_bytes_max,
            drops_oldest: self.options.queue_full == QueueFull::DropOldest,
        }
    }

    /// Counts what a board does not get; the first time since its queue was empty, an event tells.
    pub(super) fn note_loss(
        &self,
        session: &Session,
        inner: &mut Inner,
        cause: &'static str,
        messages: usize,
    ) -> Option<Event> {
        #[derive(Serialize)]
        struct Data<'a> {
            client_id: &'a str,
            cause: &'static str,
            messages: usize,
            waiting: usize,
        }
        let counter = self.metrics.dropped.with_label_values(&[cause]);
        counter.inc_by(messages as u64);
        if mem::replace(&mut inner.queue.is_loss_told, true) {
            return None;
        }
        let waiting = inner.queue.len();
        Some(Event {
            tenant: session.tenant.clone(),
            device: session.owner.clone(),
            kind: EventType::MESSAGE_DROPPED,
            time: self.clock.now().wall,
            data: Json::of(&Data { client_id: &session.client_id, cause, messages, waiting }),
            facts: None,
        })
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_second()).unwrap_or(if time.as_second() < 0 { 0 } else { u32::MAX })
}

impl<'a> Routed<'a> {
    fn nothing(exchange: &'a Exchange) -> Self {
        Self {
            exchange,
            rows: Vec::new(),
            gone: Vec::new(),
            events: Vec::new(),
            steps: Vec::new(),
            durable: Vec::new(),
            passing: Vec::new(),
        }
    }

    /// What must be in the events' transaction.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        let rows = mem::take(&mut self.rows);
        if !self.gone.is_empty() {
            let keys = self.gone.iter().map(|(session, row)| (session.number, row.key));
            operations.push(Operation::Mqtt(MqttChange::Unqueue(keys.collect())));
        }
        if !rows.is_empty() {
            operations.push(Operation::Mqtt(MqttChange::Queue(rows)));
        }
        operations.extend(self.steps.iter().map(Step::operation));
        operations
    }

    /// Events that tell of losses, for the same transaction.
    pub fn take_events(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    /// It is on disk: who is connected is rung.
    pub fn committed(mut self) {
        self.gone.clear();
        for step in mem::take(&mut self.steps) {
            self.exchange.retained.apply(step);
        }
        self.deliver();
    }

    /// It is not, and will not be.
    pub fn refused(mut self) {
        for (session, queued) in mem::take(&mut self.durable) {
            session.lock().queue.remove(queued.key);
        }
        for (session, row) in mem::take(&mut self.gone) {
            session.lock().queue.restore(row);
        }
        self.passing.clear();
    }

    fn deliver(&mut self) {
        let (exchange, limits) = (self.exchange, self.exchange.limits());
        for (session, queued) in mem::take(&mut self.durable) {
            let mut inner = session.lock();
            let is_live = inner.is_live;
            inner.queue.committed(queued, is_live);
            drop(inner);
            exchange.metrics.routed.inc();
            exchange.ring(&session, is_live);
        }
        for (session, queued) in mem::take(&mut self.passing) {
            let mut inner = session.lock();
            let is_taken = inner.is_live && inner.queue.offer(queued, limits);
            drop(inner);
            if is_taken {
                exchange.metrics.routed.inc();
                exchange.ring(&session, true);
            } else {
                exchange.metrics.drop_one("behind");
            }
        }
    }
}

impl Drop for Routed<'_> {
    fn drop(&mut self) {
        for step in mem::take(&mut self.steps) {
            self.exchange.retained.give_up(&step);
        }
        self.deliver();
    }
}
