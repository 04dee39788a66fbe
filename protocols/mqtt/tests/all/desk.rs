//! A driver without a socket: feeds a session, collects what it asks for, settles when told.

use jiff::Timestamp;
use model::{CommandState, DeviceId, Event, Fact, Monotonic, Now, Settlement, Tenant, Ticket};
use mqtt::message::{
    Acknowledgement, Connect, Packet, PacketId, Publish, PublishDelivery, QoS, SubscriptionOptions,
    Version,
};
use mqtt::{
    Acl, CloseReason, Grant, Introduction, NewSubscription, Options, Output, Properties, Property,
    Refusal, Session, SessionState, Slowed,
};
use std::sync::Arc;
use std::time::Duration;

/// The board of most tests: a valid IMEI.
pub(crate) const IMEI: &str = "490154203237518";

/// A session and all that came out of it.
pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) now: Now,
    pub(crate) asked: Option<Introduction>,
    /// How what it sends is spelled.
    pub(crate) version: Version,
    /// Facts handed out and not settled.
    pub(crate) facts: Vec<(Ticket, Fact)>,
    /// States to be kept and not settled, as they were when that was asked.
    pub(crate) states: Vec<SessionState>,
    /// The last ticket handed out and not settled.
    last: Option<Ticket>,
    /// Keys of messages that are done with.
    pub(crate) done: Vec<u64>,
    pub(crate) wills: Vec<(Duration, Event)>,
    pub(crate) granted: Vec<NewSubscription>,
    pub(crate) ungranted: Vec<Box<str>>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) slowed: Vec<Slowed>,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) subscribed: usize,
    pub(crate) ready: usize,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let now = Now { monotonic: Monotonic::from_nanos(7), wall: Timestamp::UNIX_EPOCH };
        Self {
            session: Session::new(Arc::new(options), now),
            now,
            asked: None,
            version: Version::V3_1_1,
            facts: Vec::new(),
            states: Vec::new(),
            last: None,
            done: Vec::new(),
            wills: Vec::new(),
            granted: Vec::new(),
            ungranted: Vec::new(),
            refusals: Vec::new(),
            slowed: Vec::new(),
            closed: None,
            subscribed: 0,
            ready: 0,
        }
    }

    /// A board that is welcome and has been told so.
    pub(crate) fn connected() -> Self {
        Self::connected_with(Options::default())
    }

    pub(crate) fn connected_with(options: Options) -> Self {
        let mut desk = Self::with(options);
        desk.send(&Packet::Connect(Box::new(connect(IMEI))));
        desk.grant();
        desk.commit();
        assert_eq!(desk.written(), [0x20, 2, 0, 0]);
        assert!(desk.session.is_connected());
        desk
    }

    /// A client of MQTT 5.0 that has said this and is granted that; its CONNACK is in `written`.
    pub(crate) fn v5(connect: &Connect<'_>, grant: Grant) -> Self {
        Self::v5_with(Options::default(), connect, grant)
    }

    pub(crate) fn v5_with(options: Options, connect: &Connect<'_>, grant: Grant) -> Self {
        let mut desk = Self::with(options);
        desk.version = Version::V5;
        let connect = Connect { version: Version::V5, ..connect.clone() };
        desk.send(&Packet::Connect(Box::new(connect)));
        desk.session.authenticated(grant, desk.now);
        desk.drain();
        desk.commit();
        desk
    }

    /// A client of 3.1.1 that wants to be remembered, and is told whether it was.
    pub(crate) fn persistent(resumed: Option<SessionState>) -> Self {
        let mut desk = Self::with(Options::default());
        let packet = Connect { clean_session: false, ..connect(IMEI) };
        desk.send(&Packet::Connect(Box::new(packet)));
        let present = u8::from(resumed.is_some());
        desk.session.authenticated(persisting(resumed), desk.now);
        desk.drain();
        desk.commit();
        assert_eq!(desk.written()[..4], [0x20, 2, present, 0]);
        desk
    }

    /// The connection breaks: what is kept of it.
    pub(crate) fn broken(mut self) -> SessionState {
        self.close(CloseReason::Lost);
        self.states.pop().expect("something is kept")
    }

    /// A board that is welcome and subscribed to all it may read.
    pub(crate) fn subscribed(qos: QoS) -> Self {
        let mut desk = Self::connected();
        let filter = format!("boards/{IMEI}/down/#");
        desk.send(&subscribe(1, vec![(&filter, qos)]));
        desk.written();
        desk
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> usize {
        let taken = self.session.receive(bytes, self.now);
        self.drain();
        taken
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        assert_eq!(self.bytes(&bytes), bytes.len(), "{packet:?}");
    }

    /// Publishes at QoS 1 on the board's own topic.
    pub(crate) fn publish(&mut self, packet_id: u16, payload: &[u8]) {
        let topic = format!("boards/{IMEI}/up/t");
        let delivery = PublishDelivery::AtLeastOnce(id(packet_id));
        self.send(&publish(&topic, delivery, payload));
    }

    pub(crate) fn grant(&mut self) {
        self.session.authenticated(grant(), self.now);
        self.drain();
    }

    pub(crate) fn commit(&mut self) {
        self.settle(Settlement::Committed);
    }

    /// Whether something is to be settled.
    pub(crate) fn owes(&self) -> bool {
        self.last.is_some()
    }

    pub(crate) fn settle(&mut self, settlement: Settlement) {
        while let Some(last) = self.last.take() {
            self.facts.clear();
            self.states.clear();
            self.session.settle_up_to(last, settlement, self.now);
            self.drain();
        }
    }

    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.session.close(reason, self.now);
        self.drain();
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.session.expire(self.now);
        self.drain();
    }

    pub(crate) fn written(&mut self) -> Vec<u8> {
        let out = self.session.take_output();
        self.drain();
        out
    }

    /// The facts not settled, in one word each: an event's type, or a command's state.
    pub(crate) fn happened(&self) -> Vec<String> {
        self.facts.iter().map(|(_, fact)| in_a_word(fact)).collect()
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            assert_eq!(self.closed, None, "nothing comes after the end, but {output:?} did");
            match output {
                Output::Authenticate(introduction) => {
                    assert!(self.asked.replace(*introduction).is_none(), "asked once");
                }
                Output::Emit { fact, ticket } => {
                    self.last = Some(ticket);
                    self.facts.push((ticket, fact));
                }
                Output::Keep { ticket } => {
                    self.last = Some(ticket);
                    self.states.push(self.session.state());
                }
                Output::Acknowledged(key) => self.done.push(key),
                Output::WillLater { delay, will } => self.wills.push((delay, will)),
                Output::Subscribed { filters } => {
                    self.subscribed += 1;
                    self.granted.extend(filters);
                }
                Output::Unsubscribed { filters } => self.ungranted.extend(filters),
                Output::Ready => self.ready += 1,
                Output::Refused(refusal) => self.refusals.push(refusal),
                Output::Slowed(slowed) => self.slowed.push(slowed),
                Output::Close(reason) => self.closed = Some(reason),
            }
        }
    }
}

pub(crate) fn in_a_word(fact: &Fact) -> String {
    match fact {
        Fact::Event(event) => event.kind.as_str().trim_start_matches("lastmile.").to_owned(),
        Fact::Command(change) => match change.state {
            CommandState::Sent
            | CommandState::Delivered
            | CommandState::Queued
            | CommandState::Failed => format!("{} {}", change.id, change.state.as_str()),
            state => panic!("a session never says {state:?}"),
        },
    }
}

pub(crate) fn grant() -> Grant {
    Grant {
        device: DeviceId::imei(IMEI).unwrap(),
        tenant: Tenant::default(),
        acl: Arc::new(Acl::board()),
        aliases: Vec::new(),
        is_program: false,
        resumed: None,
        assigned_client_id: None,
        session_expiry_max: Duration::ZERO,
        facts: None,
        shares: None,
    }
}

/// Whose session may be kept for a day.
pub(crate) fn persisting(resumed: Option<SessionState>) -> Grant {
    Grant { resumed, session_expiry_max: Duration::from_secs(86_400), ..grant() }
}

/// A program that may do anything but with `test/nosubscribe`.
pub(crate) fn program() -> Grant {
    let acl = Acl::open().denying(["test/nosubscribe"]).unwrap().for_program();
    Grant {
        device: DeviceId::program("billing").unwrap(),
        acl: Arc::new(acl),
        is_program: true,
        ..persisting(None)
    }
}

/// Properties as they stand in a packet.
pub(crate) fn properties(all: &[Property<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    all.iter().for_each(|property| property.encode(&mut out));
    out
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// All is well with that publish.
pub(crate) fn ack(number: u16) -> Acknowledgement<'static> {
    Acknowledgement::success(id(number))
}

pub(crate) fn subscribe(number: u16, filters: Vec<(&str, QoS)>) -> Packet<'_> {
    let filters = filters.into_iter();
    Packet::Subscribe {
        packet_id: id(number),
        filters: filters.map(|(it, qos)| (it, SubscriptionOptions::new(qos))).collect(),
        properties: Properties::EMPTY,
    }
}

pub(crate) fn unsubscribe(number: u16, filters: Vec<&str>) -> Packet<'_> {
    Packet::Unsubscribe { packet_id: id(number), filters, properties: Properties::EMPTY }
}

pub(crate) fn connect(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V3_1_1,
        clean_session: true,
        keep_alive_s: 60,
        client_id,
        will: None,
        username: Some("enrol"),
        password: Some(b"hunter2"),
        properties: Properties::EMPTY,
    }
}

pub(crate) fn publish<'a>(
    topic: &'a str,
    delivery: PublishDelivery,
    payload: &'a [u8],
) -> Packet<'a> {
    let properties = Properties::EMPTY;
    Packet::Publish(Publish {
        duplicate: false,
        delivery,
        retain: false,
        topic,
        payload,
        properties,
    })
}

pub(crate) fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(Version::V3_1_1, &mut out);
    out
}
