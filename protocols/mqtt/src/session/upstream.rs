//! What the client sends: publishes become events, acknowledged when they are on disk.

use super::{Output, Reply, Session, Slowed, State};
use crate::error::{CloseReason, ProtocolError, Refusal};
use crate::message::{self, Acknowledgement, PacketId, Publish, PublishDelivery, Version};
use crate::property::{Properties, Property};
use crate::reason::ReasonCode;
use crate::topic::Topic;
use crate::translate::{self, Content};
use model::{Fact, Now};
use std::num::NonZeroU16;

/// A QoS 2 publish between PUBLISH and PUBREL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unreleased {
    pub(super) packet_id: PacketId,
    /// On disk, so PUBREC was sent.
    pub(super) is_kept: bool,
    /// Under which the state with it is kept.
    pub(super) ticket: u64,
}

impl Unreleased {
    pub(super) const fn resumed(packet_id: PacketId) -> Self {
        Self { packet_id, is_kept: true, ticket: 0 }
    }
}

impl Session {
    /// Takes a publish [3.3].
    #[inline]
    pub(super) fn published(
        &mut self,
        publish: Publish<'_>,
        now: Now,
    ) -> Result<State, CloseReason> {
        self.published_in_second = self.published_in_second.saturating_add(1);
        if self.is_too_fast() {
            self.outputs.push_back(Output::Slowed(Slowed::PublishRate));
        }
        if self.version == Version::V5 {
            self.count_unanswered(publish.delivery)?;
            if let Some(alias) = alias_of(publish.properties) {
                let topic = self.named(alias, publish.topic)?;
                return self.take_over(Publish { topic: &topic, ..publish }, now);
            }
        }
        self.take_over(publish, now)
    }

    /// Takes a publish whose topic is known.
    #[inline]
    fn take_over(&mut self, publish: Publish<'_>, now: Now) -> Result<State, CloseReason> {
        let topic =
            Topic::parse(publish.topic, self.options.topic).map_err(|_| ProtocolError::BadTopic)?;
        let Some(peer) = &self.peer else { return Err(ProtocolError::NotConnected.into()) };
        if !peer.acl.may_publish(topic, &peer.names) {
            return self.refuse_publish(publish.delivery);
        }
        let (reply, qos_2) = match publish.delivery {
            PublishDelivery::AtMostOnce => (Reply::Nothing, None),
            PublishDelivery::AtLeastOnce(packet_id) => (Reply::Puback(packet_id), None),
            PublishDelivery::ExactlyOnce(packet_id) => {
                if self.repeated(packet_id)? {
                    return Ok(State::ExpectPacket);
                }
                let reply = Reply::Pubrec(packet_id);
                if self.persists { (Reply::Nothing, Some(reply)) } else { (reply, None) }
            }
        };
        let Some(peer) = &self.peer else { return Err(ProtocolError::NotConnected.into()) };
        let content = Content {
            topic: publish.topic,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            payload: publish.payload,
            properties: publish.properties,
            client_id: peer.said_client_id(),
        };
        let event = translate::publish(peer.origin(now), content);
        self.emit(Fact::Event(event), reply);
        if let Some(reply) = qos_2 {
            // In one write with the fact: neither may be on disk without the other.
            self.keep(reply);
        }
        Ok(State::ExpectPacket)
    }

    /// What an alias stands for, or will from now on [MQTT 5.0, 3.3.2.3.4].
    fn named(&mut self, alias: NonZeroU16, topic: &str) -> Result<Box<str>, CloseReason> {
        const BAD_ALIAS: CloseReason = CloseReason::Protocol(ProtocolError::BadTopicAlias);
        let Some(peer) = &mut self.peer else { return Err(ProtocolError::NotConnected.into()) };
        if alias.get() > self.options.topic_alias_max {
            return Err(BAD_ALIAS);
        }
        let index = usize::from(alias.get()) - 1;
        let known = &mut peer.aliases.get_or_insert_default().theirs;
        if topic.is_empty() {
            let named = known.get(index).filter(|name| !name.is_empty());
            return named.cloned().ok_or(BAD_ALIAS);
        }
        if topic.len() > self.options.topic.len_max {
            return Err(ProtocolError::BadTopic.into());
        }
        if known.len() <= index {
            known.resize(index + 1, Box::default());
        }
        known[index] = topic.into();
        Ok(topic.into())
    }

    /// Counts what the client has not been answered [MQTT 5.0, MQTT-3.3.4-7].
    fn count_unanswered(&mut self, delivery: PublishDelivery) -> Result<(), CloseReason> {
        match delivery {
            PublishDelivery::AtMostOnce => Ok(()),
            PublishDelivery::AtLeastOnce(_) | PublishDelivery::ExactlyOnce(_) => {
                if self.unanswered >= self.options.receive_max {
                    return Err(ProtocolError::TooManyUnreleased.into());
                }
                self.unanswered += 1;
                Ok(())
            }
        }
    }

    /// A publish where the client may not.
    #[cold]
    fn refuse_publish(&mut self, delivery: PublishDelivery) -> Result<State, CloseReason> {
        if self.version != Version::V5 {
            // MQTT 3.1.1 [MQTT-3.3.5-2]: acknowledge what is not done, or close; we do not lie.
            return Err(CloseReason::NotAuthorised);
        }
        self.outputs.push_back(Output::Refused(Refusal::Publish));
        let (write, packet_id): (fn(&Acknowledgement<'_>, Version, &mut Vec<u8>), _) =
            match delivery {
                PublishDelivery::AtMostOnce => return Ok(State::ExpectPacket),
                PublishDelivery::AtLeastOnce(packet_id) => (message::puback, packet_id),
                PublishDelivery::ExactlyOnce(packet_id) => (message::pubrec, packet_id),
            };
        let start = self.out.len();
        self.with_reason_string(Refusal::Publish.reason_string(), |properties, out| {
            let reason = ReasonCode::NotAuthorised;
            write(&Acknowledgement { packet_id, reason, properties }, Version::V5, out);
        });
        let bytes = self.out.split_off(start);
        self.answer_in_turn(bytes);
        self.unanswered = self.unanswered.saturating_sub(1);
        Ok(State::ExpectPacket)
    }

    /// Whether a QoS 2 publish was taken before; if not, notes that it now is [MQTT-4.3.3-2].
    fn repeated(&mut self, packet_id: PacketId) -> Result<bool, CloseReason> {
        if let Some(known) = self.unreleased.iter().find(|known| known.packet_id == packet_id) {
            if known.is_kept {
                let mut bytes = Vec::new();
                message::pubrec(&Acknowledgement::success(packet_id), self.version, &mut bytes);
                self.answer_in_turn(bytes);
            }
            return Ok(true);
        }
        let max = match self.version {
            Version::V5 => self.options.receive_max.into(),
            Version::V3_1 | Version::V3_1_1 => self.options.unreleased_max_3x,
        };
        if self.unreleased.len() >= max {
            return Err(ProtocolError::TooManyUnreleased.into());
        }
        // The state follows the fact.
        let ticket = if self.persists { self.ticket_next + 1 } else { 0 };
        self.unreleased.push(Unreleased { packet_id, is_kept: false, ticket });
        Ok(false)
    }

    /// A QoS 1 publish is on disk.
    #[inline]
    pub(super) fn taken(&mut self, packet_id: PacketId) {
        self.unanswered = self.unanswered.saturating_sub(1);
        message::puback(&Acknowledgement::success(packet_id), self.version, &mut self.out);
    }

    /// A QoS 2 publish is on disk.
    pub(super) fn received(&mut self, packet_id: PacketId) {
        for known in &mut self.unreleased {
            known.is_kept |= known.packet_id == packet_id;
        }
        message::pubrec(&Acknowledgement::success(packet_id), self.version, &mut self.out);
    }

    /// Takes PUBREL: the packet identifier may be used anew. Answered even when unknown, so that a
    /// client that comes back can finish what it began.
    pub(super) fn released(&mut self, packet_id: PacketId) -> State {
        let count = self.unreleased.len();
        self.unreleased.retain(|known| known.packet_id != packet_id);
        let is_known = self.unreleased.len() < count;
        if self.unreleased.is_empty() {
            self.unreleased = Vec::new();
        }
        // Before the client may use the identifier anew: the next message under it is another.
        if !is_known {
            let packet = Acknowledgement::new(packet_id, ReasonCode::PacketIdNotFound);
            message::pubcomp(&packet, self.version, &mut self.out);
        } else if !self.keep(Reply::Pubcomp(packet_id)) {
            self.complete(packet_id);
        }
        State::ExpectPacket
    }

    /// A QoS 2 publish is done with.
    pub(super) fn complete(&mut self, packet_id: PacketId) {
        self.unanswered = self.unanswered.saturating_sub(1);
        message::pubcomp(&Acknowledgement::success(packet_id), self.version, &mut self.out);
    }

    /// Says that deliveries may go on, if one was refused and there is room now.
    pub(super) fn say_if_ready(&mut self) {
        if self.starved && self.has_room() {
            self.starved = false;
            self.outputs.push_back(Output::Ready);
        }
    }
}

#[inline]
fn alias_of(properties: Properties<'_>) -> Option<NonZeroU16> {
    properties.iter().find_map(|property| {
        if let Property::TopicAlias(alias) = property { Some(alias) } else { None }
    })
}
