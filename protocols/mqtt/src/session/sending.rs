//! Messages that are no commands, and how every publish is written.

use super::downstream::{Inflight, Stage, What};
use super::subscribing::Subscription;
use super::{Output, Reply, Session, State};
use crate::error::Undeliverable;
use crate::message::{self, PacketId, Publish, PublishDelivery, QoS, Version};
use crate::property::{Properties, Property};
use crate::topic::{Topic, split_shared};
use bytes::Bytes;
use jiff::Timestamp;
use model::Now;
use std::fmt;
use std::num::NonZeroU16;

/// What somebody published, as it is passed on. Prints neither its topic nor its payload.
#[derive(Clone, Eq, PartialEq)]
pub struct Message {
    /// Topic name.
    pub topic: Box<str>,
    /// What was sent, byte for byte.
    pub payload: Bytes,
    /// The publisher's guarantee: an upper bound of ours.
    pub qos: QoS,
    /// Whether it was to be retained; set for a retained message too.
    pub retain: bool,
    /// What is passed on unaltered of what 5.0 says beside it ([`Properties::as_bytes`]): payload
    /// format, content type, response topic, correlation data, user properties.
    pub properties: Box<[u8]>,
    /// Not worth delivering from then on.
    pub expires_at: Option<Timestamp>,
    /// The publisher's client id, where it is a program: what "no local" goes by.
    pub publisher: Option<Box<str>>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("payload_len", &self.payload.len())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// By which of its subscriptions a client is sent a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Through<'a> {
    /// By all that match but shared ones, once [MQTT 5.0, 3.3.4]: at the best of their
    /// guarantees, with all their identifiers.
    Matching {
        /// The client published it itself: not by subscriptions with "no local".
        is_own: bool,
    },
    /// By this one, spelled as it was granted: a shared one, or one that is new and is sent what
    /// is retained, with the retain flag as the message has it.
    Filter(&'a str),
}

/// A publish on its way out, but for what each connection adds.
pub(super) struct Outgoing {
    pub(super) topic: Box<str>,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    /// All but a topic alias.
    pub(super) properties: Box<[u8]>,
}

/// How a message goes out: what its subscriptions say.
struct Manner {
    qos: QoS,
    retain: bool,
    identifiers: Vec<u32>,
}

impl Session {
    /// Sends the client a message that is no command, if it can be sent now.
    ///
    /// Its end is [`Output::Acknowledged`] with the same key, at QoS 0 at once. What is not
    /// acknowledged when the connection ends stays with the driver; handed in again under the same
    /// key after a resume, it goes out as a duplicate under its old packet identifier, or is
    /// acknowledged at once where the client has it already.
    ///
    /// A message longer than the client takes is [`Undeliverable::TooLong`]: pass it over, and
    /// count it [MQTT 5.0, MQTT-3.1.2-25].
    pub fn send(
        &mut self,
        message: &Message,
        key: u64,
        through: Through<'_>,
        now: Now,
    ) -> Result<(), Undeliverable> {
        let (State::ExpectPacket, Some(peer)) = (&self.state, &self.peer) else {
            return Err(Undeliverable::NotConnected);
        };
        let topic = self.readable(peer, &message.topic)?;
        let is_it = |known: &Inflight| matches!(known.what, What::Message(it) if it == key);
        let known = self.inflight.iter().position(is_it);
        if let Some(known) = known.and_then(|index| self.inflight.get(index)) {
            match known.stage {
                Stage::Resumed => {}
                // The client has it, and nobody was told.
                Stage::Received | Stage::Released => {
                    self.outputs.push_back(Output::Acknowledged(key));
                    return Ok(());
                }
                Stage::Unsent | Stage::Sent => return Ok(()),
            }
        }
        let remaining_s = remaining_s(message, now).inspect_err(|_| self.forget(key))?;
        let manner = self.manner(topic, message, through).ok_or(Undeliverable::NotSubscribed)?;
        let outgoing = self.outgoing(message, &manner, remaining_s);
        let qos = message.qos.min(manner.qos);
        if !self.fits(&outgoing, qos) {
            return Err(Undeliverable::TooLong);
        }
        if !self.has_room() {
            self.starved = true;
            return Err(Undeliverable::WindowFull);
        }
        let resumed = known.and_then(|index| self.inflight.remove(index));
        if qos == QoS::AtMostOnce {
            self.write_publish(&outgoing, qos, PacketId::MIN, false);
            self.outputs.push_back(Output::Acknowledged(key));
            return Ok(());
        }
        self.begin(key, qos, outgoing, resumed);
        Ok(())
    }

    /// A message will not be handed in again: what is remembered of it is dropped, unless the
    /// client has it and waits to be released.
    pub fn forget(&mut self, key: u64) {
        self.inflight.retain(|known| {
            !(known.stage == Stage::Resumed && matches!(known.what, What::Message(it) if it == key))
        });
    }

    fn begin(&mut self, key: u64, qos: QoS, outgoing: Outgoing, resumed: Option<Inflight>) {
        let duplicate = resumed.is_some();
        let packet_id = resumed.map_or_else(|| self.free_packet_id(), |known| known.packet_id);
        self.inflight.push_back(Inflight {
            packet_id,
            what: What::Message(key),
            qos,
            stage: Stage::Unsent,
            duplicate,
            is_lowered: false,
            unsent: Some(Box::new(outgoing)),
        });
        // At QoS 2 the packet identifier is what tells the client that it has it already.
        let must_keep = qos == QoS::ExactlyOnce && !duplicate;
        if !must_keep || !self.keep(Reply::Deliver(packet_id)) {
            self.send_now(packet_id);
        }
    }

    fn manner(&self, topic: Topic<'_>, message: &Message, through: Through<'_>) -> Option<Manner> {
        let retain_as = |known: &Subscription| message.retain && known.options.retain_as_published;
        match through {
            Through::Matching { is_own } => {
                let matching = || self.subscriptions.iter().filter(|it| it.is_sent(topic, is_own));
                Some(Manner {
                    qos: matching().map(|known| known.options.qos).max()?,
                    retain: matching().any(retain_as),
                    identifiers: matching().filter_map(|known| known.identifier).collect(),
                })
            }
            Through::Filter(filter) => {
                let known = self.subscriptions.iter().find(|it| it.filter.as_str() == filter)?;
                let is_shared = split_shared(filter).is_some();
                Some(Manner {
                    qos: known.options.qos,
                    retain: if is_shared { retain_as(known) } else { message.retain },
                    identifiers: known.identifier.into_iter().collect(),
                })
            }
        }
    }

    fn outgoing(&self, message: &Message, manner: &Manner, remaining_s: Option<u32>) -> Outgoing {
        let mut properties = Vec::new();
        if self.version == Version::V5 {
            properties.extend_from_slice(&message.properties);
            if let Some(seconds) = remaining_s {
                Property::MessageExpiry(seconds).encode(&mut properties);
            }
            for identifier in &manner.identifiers {
                Property::SubscriptionIdentifier(*identifier).encode(&mut properties);
            }
        }
        Outgoing {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            retain: manner.retain,
            properties: properties.into(),
        }
    }

    /// Appends the identifiers of the subscriptions that match [MQTT 5.0, MQTT-3.3.4-3].
    pub(super) fn identify(&self, topic: Topic<'_>, is_own: bool, out: &mut Vec<u8>) {
        let matching = self.subscriptions.iter().filter(|known| known.is_sent(topic, is_own));
        for identifier in matching.filter_map(|known| known.identifier) {
            Property::SubscriptionIdentifier(identifier).encode(out);
        }
    }

    /// Whether a publish is within our limit and the client's.
    pub(super) fn fits(&self, outgoing: &Outgoing, qos: QoS) -> bool {
        let body_len = self.body_len(outgoing, &outgoing.topic, &outgoing.properties, qos);
        body_len <= self.options.packet_len_max && self.takes(body_len)
    }

    fn body_len(&self, outgoing: &Outgoing, topic: &str, properties: &[u8], qos: QoS) -> usize {
        let properties = Properties::trusted(properties);
        message::publish_len(topic, qos, properties, outgoing.payload.len(), self.version)
    }

    /// Writes a publish, with a number for its topic where the client takes one.
    pub(super) fn write_publish(
        &mut self,
        outgoing: &Outgoing,
        qos: QoS,
        packet_id: PacketId,
        duplicate: bool,
    ) {
        let delivery = match qos {
            QoS::AtMostOnce => PublishDelivery::AtMostOnce,
            QoS::AtLeastOnce => PublishDelivery::AtLeastOnce(packet_id),
            QoS::ExactlyOnce => PublishDelivery::ExactlyOnce(packet_id),
        };
        let mut topic = &*outgoing.topic;
        let mut numbered = Vec::new();
        if let Some((alias, is_known)) = self.alias_for(outgoing, qos) {
            numbered.reserve(outgoing.properties.len() + ALIAS_LEN);
            numbered.extend_from_slice(&outgoing.properties);
            Property::TopicAlias(alias).encode(&mut numbered);
            if is_known {
                topic = "";
            }
        }
        let properties = if numbered.is_empty() { &*outgoing.properties } else { &*numbered };
        let publish = Publish {
            duplicate,
            delivery,
            retain: outgoing.retain,
            topic,
            payload: &outgoing.payload,
            properties: Properties::trusted(properties),
        };
        message::publish(&publish, self.version, &mut self.out);
    }

    /// The number of a topic, given to it now where there is one left, and whether the client
    /// knows it already [MQTT 5.0, 3.3.2.3.4].
    fn alias_for(&mut self, outgoing: &Outgoing, qos: QoS) -> Option<(NonZeroU16, bool)> {
        let alias_max = self.peer.as_ref().map_or(0, |peer| peer.alias_max);
        if alias_max == 0 {
            return None;
        }
        // A number that is new comes beside the topic: it must fit too.
        let longer_by = ALIAS_LEN + 1;
        let theirs = self.their_packet_len_max as usize;
        let body_len = self.body_len(outgoing, &outgoing.topic, &outgoing.properties, qos);
        let has_room = body_len + longer_by + crate::frame::HEADER_LEN_MAX <= theirs;
        let known = &mut self.peer.as_mut()?.aliases.get_or_insert_default().ours;
        let place = known.iter().position(|name| *name == outgoing.topic);
        let index = match place {
            Some(index) => index,
            None if known.len() < usize::from(alias_max) && has_room => {
                known.push(outgoing.topic.clone());
                known.len() - 1
            }
            None => return None,
        };
        let alias = u16::try_from(index + 1).ok().and_then(NonZeroU16::new)?;
        Some((alias, place.is_some()))
    }
}

impl Subscription {
    /// Whether it is sent what is published to `topic`, by the client itself or another
    /// [MQTT 5.0, MQTT-3.8.3-3].
    fn is_sent(&self, topic: Topic<'_>, is_own: bool) -> bool {
        self.matches(topic) && !(is_own && self.options.no_local)
    }
}

/// For how many seconds more it is worth delivering [MQTT 5.0, MQTT-3.3.2-6].
fn remaining_s(message: &Message, now: Now) -> Result<Option<u32>, Undeliverable> {
    let Some(expires_at) = message.expires_at else { return Ok(None) };
    let left = expires_at.duration_since(now.wall);
    // What has less than a second left is still sent, and said to have one.
    let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
    if seconds <= 0 {
        return Err(Undeliverable::Expired);
    }
    Ok(Some(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

/// A topic alias among the properties, in bytes.
const ALIAS_LEN: usize = 3;
