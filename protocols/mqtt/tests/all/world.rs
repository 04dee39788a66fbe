//! A client, a driver and a disk around a session, and chance, which says in what order they act.
//!
//! The client keeps to the standard, the driver to the session's contract; the disk takes what it is
//! given whole or not at all, and now and then not. Whatever the order: nothing is acknowledged that
//! is not kept, what is begun at QoS 2 arrives once, and all of it arrives in the end. For property
//! tests and for fuzzing, from the same bytes.

// By its path, so that it is found from the fuzz target too.
#[path = "world/client.rs"]
mod client;

use bytes::Bytes;
use client::Client;
use jiff::Timestamp;
use model::{
    CommandId, CommandState, DeviceId, EventType, Fact, Monotonic, Now, Settlement, Tenant, Ticket,
};
use mqtt::message::{Connect, Packet, QoS, Version};
use mqtt::{
    Acl, CloseReason, Delivery, Grant, Message, Options, Output, Place, Properties, Property,
    Refusal, Session, SessionState, Slowed, Through, Undeliverable,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

const IMEI: &str = "490154203237518";
/// What the client takes at once, in 5.0.
const RECEIVE_MAX: usize = 2;
/// What is sent at once to one that does not say.
const INFLIGHT_MAX: usize = 3;
const ALIAS_MAX: u16 = 2;
/// More rounds than anything takes to come to its end.
const ROUNDS_MAX: usize = 400;

/// What is on disk.
#[derive(Default)]
struct Disk {
    state: Option<SessionState>,
    /// How often each of the client's messages is kept.
    published: BTreeMap<u32, u32>,
    /// Messages for the client, by key.
    queue: BTreeMap<u64, QoS>,
    commands: BTreeMap<CommandId, (QoS, CommandState)>,
}

/// What the session asked for in one go.
#[derive(Default)]
struct Batch {
    facts: Vec<Fact>,
    state: Option<SessionState>,
    done: Vec<u64>,
    last: Option<Ticket>,
    /// The session's last words.
    closes: bool,
}

/// All of it.
struct World {
    version: Version,
    persists: bool,
    /// At which the client subscribes.
    granted: QoS,
    options: Arc<Options>,
    session: Session,
    now: Now,
    disk: Disk,
    batches: VecDeque<Batch>,
    tickets: u64,
    closed: bool,
    /// Bytes of the client that the session did not take yet.
    unread: Vec<u8>,
    /// Keys and commands that this connection was handed.
    handed: BTreeSet<u64>,
    offered: BTreeSet<CommandId>,
    may_offer: bool,
    client: Client,
    keys: u64,
}

/// Plays one sequence. The first byte says of what kind the client is; then each step is two.
pub(crate) fn play(kind: u8, steps: &[[u8; 2]]) {
    let version = if kind & 1 == 0 { Version::V3_1_1 } else { Version::V5 };
    let granted = QoS::parse((kind >> 2) % 3).expect("below 3");
    let mut world = World::new(version, kind & 2 == 0, granted);
    for [what, which] in steps {
        world.step(*what, *which);
    }
    world.finish();
}

impl World {
    fn new(version: Version, persists: bool, granted: QoS) -> Self {
        let options = Arc::new(Options {
            inflight_max: INFLIGHT_MAX,
            unsettled_max: 4,
            output_bytes_max: 300,
            topic_alias_max: ALIAS_MAX,
            ..Options::default()
        });
        let now = Now { monotonic: Monotonic::from_nanos(7), wall: Timestamp::UNIX_EPOCH };
        let mut world = Self {
            version,
            persists,
            granted,
            session: Session::new(Arc::clone(&options), now),
            options,
            now,
            disk: Disk::default(),
            batches: VecDeque::new(),
            tickets: 0,
            closed: false,
            unread: Vec::new(),
            handed: BTreeSet::new(),
            offered: BTreeSet::new(),
            may_offer: false,
            client: Client::new(version, persists),
            keys: 0,
        };
        world.connect();
        world
    }

    fn step(&mut self, what: u8, which: u8) {
        if self.closed {
            self.part(which);
            return;
        }
        let level = QoS::parse(which % 3).expect("below 3");
        match what % 16 {
            0 | 1 => self.say(|client| client.publish(level)),
            2 | 3 => self.listen(),
            4 | 5 => self.say(|client| client.answer(which)),
            6 => {
                let granted = self.granted;
                self.say(|client| client.subscribe(granted));
            }
            7 | 8 => self.settle(Settlement::Committed),
            9 => self.offer(),
            10 => self.queue(level),
            11 => self.command(level),
            12 => self.say(|client| client.stray(which)),
            13 => self.wait(Duration::from_secs(which.into())),
            14 if which.is_multiple_of(4) => self.settle(Settlement::Refused),
            14 => self.say(Client::ping),
            _ => self.break_off(which),
        }
        self.client.check(&self.disk.published);
    }

    /// The connection breaks, ends in good order, or ends with the whole daemon.
    fn break_off(&mut self, which: u8) {
        match which % 3 {
            0 => {
                self.session.close(CloseReason::Lost, self.now);
                self.drain();
            }
            1 => self.say(|client| client.goodbye()),
            _ => self.part(which),
        }
    }

    /// What the session wrote comes to the client, some of what it asked for to the disk, and the rest
    /// is lost; then the client connects anew.
    fn part(&mut self, which: u8) {
        if which & 4 == 0 {
            self.listen();
        }
        let is_crash = which & 8 != 0 || !self.closed;
        let kept = if is_crash { usize::from(which >> 4) } else { usize::MAX };
        for batch in std::mem::take(&mut self.batches).into_iter().take(kept) {
            self.keep(batch);
        }
        self.connect();
    }

    fn connect(&mut self) {
        self.session = Session::new(Arc::clone(&self.options), self.now);
        (self.tickets, self.closed, self.may_offer) = (0, false, false);
        self.batches.clear();
        self.unread.clear();
        self.handed.clear();
        self.offered.clear();
        // What a connection that is gone had sent goes back to its queue.
        for (level, state) in self.disk.commands.values_mut() {
            if *state == CommandState::Sent && *level > QoS::AtMostOnce {
                *state = CommandState::Queued;
            }
        }
        if !self.persists {
            self.disk.queue.clear();
            self.disk.state = None;
        }
        self.client.begin(self.disk.state.is_some());
        let mut asked = Vec::new();
        if self.version == Version::V5 {
            let receive_max = u16::try_from(RECEIVE_MAX).ok().and_then(NonZeroU16::new);
            Property::ReceiveMaximum(receive_max.expect("not 0")).encode(&mut asked);
            Property::TopicAliasMaximum(ALIAS_MAX).encode(&mut asked);
            if self.persists {
                Property::SessionExpiry(3_600).encode(&mut asked);
            }
        }
        let connect = Connect {
            version: self.version,
            clean_session: !self.persists,
            keep_alive_s: 60,
            client_id: IMEI,
            will: None,
            username: None,
            password: None,
            properties: Properties::parse(&asked, Place::Connect).expect("our own"),
        };
        let mut bytes = Vec::new();
        Packet::Connect(Box::new(connect)).encode(self.version, &mut bytes);
        self.hear(bytes);
    }

    fn grant(&self) -> Grant {
        let day = Duration::from_secs(86_400);
        Grant {
            device: DeviceId::imei(IMEI).expect("a valid one"),
            tenant: Tenant::default(),
            acl: Arc::new(Acl::board()),
            aliases: Vec::new(),
            is_program: false,
            resumed: self.disk.state.clone(),
            assigned_client_id: None,
            session_expiry_max: if self.persists { day } else { Duration::ZERO },
            facts: None,
            shares: None,
        }
    }

    /// The client sends something, if it has anything to send.
    fn say(&mut self, what: impl FnOnce(&mut Client) -> Vec<u8>) {
        if self.client.is_welcome {
            let bytes = what(&mut self.client);
            self.hear(bytes);
        }
    }

    fn hear(&mut self, bytes: Vec<u8>) {
        self.unread.extend(bytes);
        self.pump();
    }

    /// Hands the session what it wants to read.
    fn pump(&mut self) {
        loop {
            if !self.session.wants_input() || self.unread.is_empty() {
                return;
            }
            let taken = self.session.receive(&self.unread, self.now);
            self.unread.drain(..taken);
            self.drain();
            if taken == 0 {
                return;
            }
        }
    }

    /// What is written comes to the client, which may have to send again what it began.
    fn listen(&mut self) {
        let bytes = self.session.take_output();
        self.drain();
        let again = self.client.read(&bytes, &self.disk);
        self.hear(again);
    }

    fn drain(&mut self) {
        let (mut batch, mut keeps, mut is_empty) = (Batch::default(), false, true);
        while let Some(output) = self.session.poll() {
            assert!(!self.closed, "{output:?} after the end");
            is_empty = false;
            match output {
                Output::Authenticate(_) => self.session.authenticated(self.grant(), self.now),
                Output::Emit { fact, ticket } => {
                    batch.facts.push(fact);
                    batch.last = Some(self.next(ticket));
                }
                Output::Keep { ticket } => {
                    keeps = true;
                    batch.last = Some(self.next(ticket));
                }
                Output::Acknowledged(key) => batch.done.push(key),
                Output::Subscribed { .. } | Output::Ready => self.may_offer = true,
                Output::Unsubscribed { .. } | Output::WillLater { .. } => {
                    panic!("{output:?}, which nobody asked for")
                }
                Output::Refused(refusal) => assert_eq!(refusal, Refusal::StrayAcknowledgement),
                Output::Slowed(slowed) => assert_eq!(slowed, Slowed::Unsettled),
                Output::Close(reason) => {
                    assert!(!matches!(reason, CloseReason::Protocol(_)), "{reason:?}");
                    (self.closed, batch.closes) = (true, true);
                }
            }
        }
        if keeps {
            batch.state = Some(self.session.state());
        }
        if !is_empty {
            self.batches.push_back(batch);
        }
        if self.closed {
            assert!(!self.session.wants_input() && self.session.is_closed());
            assert_eq!(self.session.receive(b"x", self.now), 1);
        }
    }

    fn next(&mut self, ticket: Ticket) -> Ticket {
        assert_eq!(ticket, Ticket(self.tickets), "tickets count up by one");
        self.tickets += 1;
        ticket
    }

    /// The disk says what became of what waits longest.
    fn settle(&mut self, settlement: Settlement) {
        let Some(batch) = self.batches.pop_front() else { return };
        // What becomes of a command whose step is refused is held elsewhere.
        let is_command = |fact: &Fact| matches!(fact, Fact::Command(_));
        let has_command = |batch: &Batch| batch.facts.iter().any(is_command);
        let has_commands = has_command(&batch) || self.batches.iter().any(has_command);
        if settlement == Settlement::Refused && !has_commands {
            return self.refuse(batch);
        }
        let last = batch.last;
        self.keep(batch);
        if let Some(last) = last {
            self.session.settle_up_to(last, Settlement::Committed, self.now);
        }
        self.drain();
        self.pump();
    }

    /// There is no room for that, nor for what follows, but for the last words.
    fn refuse(&mut self, first: Batch) {
        let (closing, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.batches).into_iter().partition(|batch| batch.closes);
        self.batches = closing;
        let (mut last, mut again) = (None, Batch::default());
        for batch in std::iter::once(first).chain(others) {
            last = batch.last.or(last);
            again.done.extend(batch.done);
        }
        if let Some(last) = last {
            self.session.settle_up_to(last, Settlement::Refused, self.now);
        }
        self.drain();
        // That something is needed no more is said until it is taken.
        match self.batches.iter_mut().find(|batch| batch.closes) {
            Some(closing) => closing.done.append(&mut again.done),
            None => self.batches.push_front(again),
        }
        self.pump();
    }

    /// What was asked for in one go is on disk.
    fn keep(&mut self, batch: Batch) {
        for fact in batch.facts {
            match fact {
                Fact::Event(event) if event.kind == EventType::TELEMETRY_RECEIVED => {
                    let data: serde_json::Value =
                        serde_json::from_str(event.data.as_str()).expect("events are JSON");
                    let number = data["payload"].as_u64().and_then(|it| u32::try_from(it).ok());
                    *self.disk.published.entry(number.expect("a number")).or_default() += 1;
                }
                Fact::Event(_) => {}
                Fact::Command(change) => {
                    if change.state == CommandState::Queued {
                        self.offered.remove(&change.id);
                    }
                    let known = self.disk.commands.get_mut(&change.id).expect("one of ours");
                    known.1 = change.state;
                }
            }
        }
        for key in batch.done {
            self.disk.queue.remove(&key);
        }
        if let Some(state) = batch.state {
            self.disk.state = (state.expiry_s > 0).then_some(state);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.session.expire(self.now);
        self.drain();
        self.pump();
    }

    /// Somebody publishes something for the client.
    fn queue(&mut self, level: QoS) {
        let kept = self.disk.state.as_ref().is_some_and(|it| !it.subscriptions.is_empty());
        if kept || self.client.is_subscribed {
            self.keys += 1;
            self.disk.queue.insert(self.keys, level);
            self.may_offer = true;
        }
    }

    fn command(&mut self, level: QoS) {
        self.keys += 1;
        let id = CommandId::new(&format!("c{}", self.keys)).expect("a valid one");
        self.disk.commands.insert(id, (level, CommandState::Queued));
        self.may_offer = true;
    }

    /// The driver hands in what waits, where it was told that there may be room.
    fn offer(&mut self) {
        if !self.may_offer || !self.session.is_connected() {
            return;
        }
        self.may_offer = false;
        let is_over = self.offer_messages() && self.offer_commands();
        self.drain();
        if is_over {
            let inflight = self.disk.state.iter().flat_map(|state| &state.inflight);
            let gone: Vec<u64> = inflight.map(|it| it.key).filter(|key| *key > 0).collect();
            for key in gone.into_iter().filter(|key| !self.disk.queue.contains_key(key)) {
                self.session.forget(key);
            }
        }
    }

    /// False when there is no more room.
    fn offer_messages(&mut self) -> bool {
        let waiting: Vec<_> = self.disk.queue.iter().map(|(key, level)| (*key, *level)).collect();
        for (key, qos) in waiting {
            if self.handed.contains(&key) {
                continue;
            }
            let message = Message {
                topic: format!("boards/{IMEI}/down/m").into(),
                payload: Bytes::from(format!("m{key}")),
                qos,
                retain: false,
                properties: Box::default(),
                expires_at: None,
                publisher: None,
            };
            let through = Through::Matching { is_own: false };
            match self.session.send(&message, key, through, self.now) {
                Ok(()) => _ = self.handed.insert(key),
                Err(Undeliverable::WindowFull) => return false,
                Err(Undeliverable::NotSubscribed) => {
                    self.session.forget(key);
                    self.disk.queue.remove(&key);
                }
                Err(error) => panic!("{error}"),
            }
        }
        true
    }

    fn offer_commands(&mut self) -> bool {
        let is_open =
            |(_, (_, state)): &(&CommandId, &(QoS, CommandState))| *state == CommandState::Queued;
        let open = self.disk.commands.iter().filter(is_open);
        let open: Vec<_> = open.map(|(id, (level, _))| (id.clone(), *level)).collect();
        for (id, level) in open {
            if self.offered.contains(&id) {
                continue;
            }
            let qos = match level {
                QoS::AtMostOnce => model::QoS::AtMostOnce,
                QoS::AtLeastOnce => model::QoS::AtLeastOnce,
                QoS::ExactlyOnce => model::QoS::ExactlyOnce,
            };
            let delivery = Delivery {
                command: id.clone(),
                topic: &format!("boards/{IMEI}/down/c"),
                payload: Bytes::from(id.as_str().to_owned()),
                qos,
                duplicate: false,
                answer_topic: None,
                correlation: None,
            };
            match self.session.deliver(delivery) {
                Ok(()) => _ = self.offered.insert(id),
                Err(Undeliverable::WindowFull) => return false,
                Err(Undeliverable::NotSubscribed) => {}
                Err(error) => panic!("{error}"),
            }
        }
        true
    }

    /// From here on all goes well: everything comes to its end.
    fn finish(&mut self) {
        for round in 0..ROUNDS_MAX {
            if self.closed {
                self.part(0);
            }
            while !self.batches.is_empty() && !self.closed {
                self.settle(Settlement::Committed);
            }
            self.listen();
            if self.client.is_welcome && !self.client.is_subscribed {
                let granted = self.granted;
                self.say(|client| client.subscribe(granted));
            }
            while self.client.owes() && self.client.is_welcome {
                self.say(|client| client.answer(0));
            }
            self.offer();
            self.client.check(&self.disk.published);
            let is_quiet = self.batches.is_empty() && !self.session.has_output();
            if is_quiet && self.client.is_at_rest() && round > 2 {
                break;
            }
        }
        self.client.check_whole(&self.disk.published);
        assert!(self.disk.queue.is_empty(), "{:?} were never acknowledged", self.disk.queue);
        for (id, (level, state)) in &self.disk.commands {
            let ended = match level {
                QoS::AtMostOnce => CommandState::Sent,
                QoS::AtLeastOnce | QoS::ExactlyOnce => CommandState::Delivered,
            };
            assert_eq!(*state, ended, "{id}");
        }
    }
}
