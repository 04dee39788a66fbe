//! A client that keeps to the standard, whatever happens to it.

use super::{Disk, INFLIGHT_MAX, RECEIVE_MAX};
use model::CommandState;
use mqtt::message::{
    self, Acknowledgement, Packet, PacketId, Publish, PublishDelivery, QoS, SubscriptionOptions,
    Version,
};
use mqtt::{Properties, Property, ReasonCode, frame};
use std::collections::{BTreeMap, BTreeSet};

/// Most messages that it has begun and not ended.
const BEGUN_MAX: usize = 6;
/// Identifiers that neither side uses.
const STRAYS: u16 = 60_000;

/// A message of its own between PUBLISH and the last answer.
struct Begun {
    number: u32,
    qos: QoS,
    /// PUBREC has come.
    is_received: bool,
}

/// What it owes an answer for.
enum Owed {
    Puback(PacketId),
    Pubrec(PacketId),
    Pubrel(PacketId),
    Pubcomp(PacketId),
}

pub(super) struct Client {
    version: Version,
    persists: bool,
    pub(super) is_welcome: bool,
    pub(super) is_subscribed: bool,
    /// An earlier connection was welcome, and a session of it is kept.
    was_welcome: bool,
    has_session: bool,
    begun: BTreeMap<PacketId, Begun>,
    /// What it has published, by number, and whether the gateway said that it has it.
    published: BTreeMap<u32, (QoS, bool)>,
    owed: Vec<Owed>,
    /// What it received at QoS 2 and was not told to let go of.
    held: BTreeMap<PacketId, String>,
    /// How often it got each message, at QoS 2 or below.
    got: BTreeMap<String, (QoS, u32)>,
    /// What came over this connection and is not answered to the end.
    unanswered: BTreeSet<PacketId>,
    aliases: BTreeMap<u16, String>,
}

impl Client {
    pub(super) fn new(version: Version, persists: bool) -> Self {
        Self {
            version,
            persists,
            is_welcome: false,
            is_subscribed: false,
            was_welcome: false,
            has_session: false,
            begun: BTreeMap::new(),
            published: BTreeMap::new(),
            owed: Vec::new(),
            held: BTreeMap::new(),
            got: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// A new connection: what belonged to the old one is gone.
    pub(super) fn begin(&mut self, has_session: bool) {
        (self.is_welcome, self.has_session) = (false, has_session);
        self.owed.clear();
        self.unanswered.clear();
        self.aliases.clear();
        if !self.persists {
            (self.is_subscribed, self.was_welcome) = (false, false);
            self.begun.clear();
            self.held.clear();
            // Whoever forgets does not know whether it came.
            self.published.values_mut().filter(|it| !it.1).for_each(|it| it.0 = QoS::AtMostOnce);
            self.got.clear();
        }
    }

    fn bytes(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        bytes
    }

    fn message(&self, number: u32, delivery: PublishDelivery, duplicate: bool) -> Vec<u8> {
        self.bytes(&Packet::Publish(Publish {
            duplicate,
            delivery,
            retain: false,
            topic: "customer_mngt",
            payload: number.to_string().as_bytes(),
            properties: Properties::EMPTY,
        }))
    }

    pub(super) fn publish(&mut self, qos: QoS) -> Vec<u8> {
        let number = u32::try_from(self.published.len()).expect("few");
        let mut ids = (1..=u16::MAX).filter_map(PacketId::new);
        let free = ids.find(|id| !self.begun.contains_key(id)).expect("one is free");
        let delivery = match qos {
            QoS::AtMostOnce => PublishDelivery::AtMostOnce,
            QoS::AtLeastOnce => PublishDelivery::AtLeastOnce(free),
            QoS::ExactlyOnce => PublishDelivery::ExactlyOnce(free),
        };
        if qos != QoS::AtMostOnce {
            if self.begun.len() >= BEGUN_MAX {
                return Vec::new();
            }
            self.begun.insert(free, Begun { number, qos, is_received: false });
        }
        self.published.insert(number, (qos, false));
        self.message(number, delivery, false)
    }

    pub(super) fn subscribe(&self, qos: QoS) -> Vec<u8> {
        let filters = vec![("#", SubscriptionOptions::new(qos))];
        let packet_id = PacketId::new(STRAYS - 1).expect("not 0");
        self.bytes(&Packet::Subscribe { packet_id, filters, properties: Properties::EMPTY })
    }

    pub(super) fn ping(&mut self) -> Vec<u8> {
        self.bytes(&Packet::Pingreq)
    }

    pub(super) fn goodbye(&self) -> Vec<u8> {
        let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
        self.bytes(&Packet::Disconnect { reason, properties })
    }

    /// Acknowledges what nobody sent.
    pub(super) fn stray(&self, which: u8) -> Vec<u8> {
        let id = PacketId::new(STRAYS + u16::from(which)).expect("not 0");
        let answer = Acknowledgement::success(id);
        self.bytes(&match which % 3 {
            0 => Packet::Puback(answer),
            1 => Packet::Pubcomp(answer),
            _ => Packet::Pubrec(answer),
        })
    }

    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Gives one of the answers that it owes.
    pub(super) fn answer(&mut self, which: u8) -> Vec<u8> {
        if self.owed.is_empty() {
            return Vec::new();
        }
        let owed = self.owed.remove(usize::from(which) % self.owed.len());
        let answer = Acknowledgement::success;
        let packet = match owed {
            Owed::Puback(id) => {
                self.unanswered.remove(&id);
                Packet::Puback(answer(id))
            }
            Owed::Pubrec(id) => Packet::Pubrec(answer(id)),
            Owed::Pubrel(id) => Packet::Pubrel(answer(id)),
            Owed::Pubcomp(id) => {
                self.held.remove(&id);
                self.unanswered.remove(&id);
                Packet::Pubcomp(answer(id))
            }
        };
        self.bytes(&packet)
    }

    /// Takes what came; what it then sends at once.
    pub(super) fn read(&mut self, bytes: &[u8], disk: &Disk) -> Vec<u8> {
        let (mut rest, mut said) = (bytes, Vec::new());
        while let Ok(Some((frame, len))) = frame::decode(rest, usize::MAX) {
            let packet = message::decode(frame, self.version).expect("the gateway speaks MQTT");
            said.extend(self.take(packet, disk));
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "whole packets are written");
        said
    }

    fn take(&mut self, packet: Packet<'_>, disk: &Disk) -> Vec<u8> {
        let is_kept = |number: &u32| disk.published.contains_key(number);
        match packet {
            Packet::Connack { session_present, code, .. } => {
                if code != 0 {
                    return Vec::new();
                }
                assert_eq!(session_present, self.has_session);
                assert!(session_present || !self.was_welcome, "its session is gone");
                assert_eq!(disk.state.is_some(), self.persists, "its session is kept first");
                (self.is_welcome, self.was_welcome) = (true, true);
                return self.resend();
            }
            Packet::Publish(publish) => self.receive(publish, disk),
            Packet::Puback(it) => {
                let begun = self.begun.remove(&it.packet_id).expect("PUBACK of what was sent");
                assert!(begun.qos == QoS::AtLeastOnce && is_kept(&begun.number), "not kept");
                self.published.insert(begun.number, (begun.qos, true));
            }
            Packet::Pubrec(it) => {
                let begun = self.begun.get_mut(&it.packet_id).expect("PUBREC of what was sent");
                assert!(begun.qos == QoS::ExactlyOnce && is_kept(&begun.number), "not kept");
                self.published.insert(begun.number, (begun.qos, true));
                begun.is_received = true;
                self.owed.push(Owed::Pubrel(it.packet_id));
            }
            Packet::Pubcomp(it) => {
                let begun = self.begun.remove(&it.packet_id).expect("PUBCOMP of what was sent");
                assert!(begun.is_received);
            }
            Packet::Pubrel(it) => self.owed.push(Owed::Pubcomp(it.packet_id)),
            Packet::Suback { .. } => {
                let mut kept = disk.state.iter().flat_map(|state| &state.subscriptions);
                assert!(!self.persists || kept.any(|it| &*it.filter == "#"), "not kept");
                self.is_subscribed = true;
            }
            Packet::Pingresp | Packet::Disconnect { .. } => {}
            other => panic!("{other:?} from a server"),
        }
        Vec::new()
    }

    /// After a resume: all that it began, in its order [MQTT-4.4.0-1].
    fn resend(&self) -> Vec<u8> {
        let mut said = Vec::new();
        for (&id, begun) in &self.begun {
            said.extend(match (begun.qos, begun.is_received) {
                (QoS::ExactlyOnce, true) => {
                    self.bytes(&Packet::Pubrel(Acknowledgement::success(id)))
                }
                (QoS::ExactlyOnce, false) => {
                    self.message(begun.number, PublishDelivery::ExactlyOnce(id), true)
                }
                _ => self.message(begun.number, PublishDelivery::AtLeastOnce(id), true),
            });
        }
        said
    }

    fn receive(&mut self, publish: Publish<'_>, disk: &Disk) {
        self.resolve(&publish);
        let what = std::str::from_utf8(publish.payload).expect("what we sent").to_owned();
        let command = disk.commands.iter().find(|(id, _)| id.as_str() == what);
        if let Some((id, (_, state))) = command {
            assert_ne!(*state, CommandState::Queued, "{id} is not kept as sent");
        }
        let qos = publish.delivery.qos();
        let is_new = match publish.delivery {
            PublishDelivery::AtMostOnce => true,
            PublishDelivery::AtLeastOnce(id) => {
                self.count(id);
                self.owed.push(Owed::Puback(id));
                true
            }
            PublishDelivery::ExactlyOnce(id) => {
                self.count(id);
                self.owed.push(Owed::Pubrec(id));
                self.assert_identified(id, &what, disk);
                match self.held.insert(id, what.clone()) {
                    Some(before) => {
                        assert_eq!(before, what, "{id} is another's");
                        assert!(publish.duplicate, "{what} is a duplicate and does not say so");
                        false
                    }
                    None => true,
                }
            }
        };
        if is_new {
            let got = self.got.entry(what.clone()).or_insert((qos, 0));
            got.1 += 1;
            assert!(qos != QoS::ExactlyOnce || got.1 == 1, "{what} came twice");
        }
    }

    /// An identifier at QoS 2 is on disk before it is used, where the session is.
    fn assert_identified(&self, id: PacketId, what: &str, disk: &Disk) {
        let mut known = disk.state.iter().flat_map(|state| &state.inflight);
        let is_it = known.any(|it| {
            let name =
                it.command.as_ref().map_or_else(|| format!("m{}", it.key), |id| id.to_string());
            it.packet_id == id.get() && name == what
        });
        assert!(is_it || !self.persists, "{what} under {id} would be another's after a crash");
    }

    fn resolve(&mut self, publish: &Publish<'_>) {
        let alias = publish.properties.iter().find_map(|it| {
            if let Property::TopicAlias(alias) = it { Some(alias.get()) } else { None }
        });
        let Some(alias) = alias else {
            assert!(!publish.topic.is_empty());
            return;
        };
        if publish.topic.is_empty() {
            assert!(self.aliases.contains_key(&alias), "{alias} stands for nothing");
        } else {
            self.aliases.insert(alias, publish.topic.to_owned());
        }
    }

    fn count(&mut self, id: PacketId) {
        self.unanswered.insert(id);
        let max = if self.version == Version::V5 { RECEIVE_MAX } else { INFLIGHT_MAX };
        assert!(self.unanswered.len() <= max, "more than it takes");
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.begun.is_empty() && self.owed.is_empty() && self.is_subscribed
    }

    /// Nothing that is kept is kept twice, unless it was sent twice.
    pub(super) fn check(&self, kept: &BTreeMap<u32, u32>) {
        for (number, count) in kept {
            let (qos, _) = self.published[number];
            assert!(*count == 1 || qos == QoS::AtLeastOnce, "{number} is kept {count} times");
        }
    }

    /// All is over: what was begun above QoS 0 is kept.
    pub(super) fn check_whole(&self, kept: &BTreeMap<u32, u32>) {
        assert!(self.is_at_rest(), "something never comes to its end");
        for (number, (qos, _)) in &self.published {
            assert!(*qos == QoS::AtMostOnce || kept.contains_key(number), "{number} is lost");
        }
    }
}
