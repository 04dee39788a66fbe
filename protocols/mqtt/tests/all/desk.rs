//! A driver without a socket: feeds a session, collects what it asks for, settles when told.

use jiff::Timestamp;
use model::{CommandState, DeviceId, Fact, Monotonic, Now, Settlement, Tenant, Ticket};
use mqtt::message::{
    Acknowledgement, Connect, Packet, PacketId, Publish, PublishDelivery, QoS, SubscriptionOptions,
    Version,
};
use mqtt::{Acl, CloseReason, Grant, Introduction, Options, Output, Properties, Refusal, Session};
use std::sync::Arc;
use std::time::Duration;

/// The board of most tests: a valid IMEI.
pub(crate) const IMEI: &str = "490154203237518";

/// A session and all that came out of it.
pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) now: Now,
    pub(crate) asked: Option<Introduction>,
    /// Facts handed out and not settled.
    pub(crate) facts: Vec<(Ticket, Fact)>,
    pub(crate) refusals: Vec<Refusal>,
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
            facts: Vec::new(),
            refusals: Vec::new(),
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
        let bytes = encoded(packet);
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

    pub(crate) fn settle(&mut self, settlement: Settlement) {
        while let Some((last, _)) = self.facts.last() {
            let last = *last;
            self.facts.clear();
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
                Output::Emit { fact, ticket } => self.facts.push((ticket, fact)),
                Output::Subscribed => self.subscribed += 1,
                Output::Ready => self.ready += 1,
                Output::Refused(refusal) => self.refusals.push(refusal),
                Output::Close(reason) => self.closed = Some(reason),
            }
        }
    }
}

pub(crate) fn in_a_word(fact: &Fact) -> String {
    match fact {
        Fact::Event(event) => event.kind.as_str().trim_start_matches("lastmile.").to_owned(),
        Fact::Command(change) => match change.state {
            CommandState::Sent | CommandState::Delivered | CommandState::Queued => {
                format!("{} {}", change.id, change.state.as_str())
            }
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
        session_present: false,
        facts: None,
    }
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
