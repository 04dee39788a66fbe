//! MQTT control packets: what a frame's bytes mean, and back.
//!
//! Borrowed from the frame, so a publish is read without copying it. Checks what the standard
//! says of a packet by itself; whether a packet may come now, and whether its topic is allowed,
//! is the session's. Spec: MQTT 3.1.1, chapters 2 and 3; MQTT 3.1 where it differs.

mod connect;
mod encode;
mod reader;

pub use connect::{Connect, Will};
pub use encode::{
    connack, pingresp, puback, pubcomp, publish, publish_len, pubrec, suback, unsuback,
};

use crate::ProtocolError;
use crate::frame::Frame;
use reader::Reader;
use std::num::NonZeroU16;

/// Names one exchange between the two ends; never zero [MQTT-2.3.1-1].
pub type PacketId = NonZeroU16;

/// The protocol levels we speak. 5.0 will stand here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// MQTT 3.1, level 3, "MQIsdp".
    V3_1,
    /// MQTT 3.1.1, level 4.
    V3_1_1,
}

impl Version {
    /// How events name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
        }
    }
}

/// Delivery guarantee [4.3].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum QoS {
    /// 0.
    AtMostOnce = 0,
    /// 1.
    AtLeastOnce = 1,
    /// 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// The guarantee of that number; 3 is reserved [MQTT-3.3.1-4].
    pub const fn parse(level: u8) -> Result<Self, ProtocolError> {
        match level {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err(ProtocolError::ReservedQos),
        }
    }

    /// The number.
    pub const fn level(self) -> u8 {
        self as u8
    }
}

/// One control packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet<'a> {
    /// A client asks to connect [3.1].
    Connect(Box<Connect<'a>>),
    /// The answer [3.2].
    Connack {
        /// Whether the server kept a session.
        session_present: bool,
        /// 0 or a [`crate::ConnackCode`].
        code: u8,
    },
    /// A message [3.3].
    Publish(Publish<'a>),
    /// QoS 1: received [3.4].
    Puback(PacketId),
    /// QoS 2: received [3.5].
    Pubrec(PacketId),
    /// QoS 2: release [3.6].
    Pubrel(PacketId),
    /// QoS 2: complete [3.7].
    Pubcomp(PacketId),
    /// A client asks for topics [3.8].
    Subscribe {
        /// Its name.
        packet_id: PacketId,
        /// Filters, unchecked, with the guarantee asked for; at least one.
        filters: Vec<(&'a str, QoS)>,
    },
    /// The answer [3.9].
    Suback {
        /// Of which SUBSCRIBE.
        packet_id: PacketId,
        /// The granted QoS or [`SUBACK_FAILURE`], one per filter.
        codes: Vec<u8>,
    },
    /// A client wants topics no longer [3.10].
    Unsubscribe {
        /// Its name.
        packet_id: PacketId,
        /// Filters, unchecked; at least one.
        filters: Vec<&'a str>,
    },
    /// The answer [3.11].
    Unsuback(PacketId),
    /// Are you there? [3.12]
    Pingreq,
    /// Yes [3.13].
    Pingresp,
    /// Goodbye [3.14].
    Disconnect,
}

/// A message on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Publish<'a> {
    /// It may have been sent before.
    pub duplicate: bool,
    /// Guarantee; with its packet identifier where there is one.
    pub delivery: PublishDelivery,
    /// Whether it asks to be kept for later subscribers.
    pub retain: bool,
    /// Topic name, unchecked but for being a string.
    pub topic: &'a str,
    /// What is sent; any bytes, or none.
    pub payload: &'a [u8],
}

/// A publish's guarantee; a packet identifier where the guarantee has one [MQTT-2.3.1-5].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublishDelivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl PublishDelivery {
    /// The guarantee alone.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce(_) => QoS::AtLeastOnce,
            Self::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }
}

/// The SUBACK code of a filter that is refused [3.9.3].
pub const SUBACK_FAILURE: u8 = 0x80;

/// The packet types of table 2.1, in the high four bits of a frame's head.
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const CONNACK: u8 = 2;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const SUBACK: u8 = 9;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const UNSUBACK: u8 = 11;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const PINGRESP: u8 = 13;
    pub(crate) const DISCONNECT: u8 = 14;
}

/// PUBLISH and nothing else has flags that may differ; MQTT 3.1 sets DUP on three more.
const DUPLICATE: u8 = 0b1000;

/// Reads the packet in `frame`, which came from a peer that speaks `version`.
pub fn decode(frame: Frame<'_>, version: Version) -> Result<Packet<'_>, ProtocolError> {
    let (kind, flags) = (frame.head >> 4, frame.head & 0x0F);
    if kind == kind::PUBLISH {
        return publish_of(flags, frame.body).map(Packet::Publish);
    }
    check_flags(kind, flags, version)?;
    let mut reader = Reader::new(frame.body);
    let packet = match kind {
        kind::CONNECT => Packet::Connect(Box::new(connect::decode(&mut reader)?)),
        kind::CONNACK => {
            let session_present = match reader.byte()? {
                0 => false,
                1 => true,
                _ => return Err(ProtocolError::ReservedFlags),
            };
            Packet::Connack { session_present, code: reader.byte()? }
        }
        kind::PUBACK => Packet::Puback(reader.packet_id()?),
        kind::PUBREC => Packet::Pubrec(reader.packet_id()?),
        kind::PUBREL => Packet::Pubrel(reader.packet_id()?),
        kind::PUBCOMP => Packet::Pubcomp(reader.packet_id()?),
        kind::SUBSCRIBE => {
            let packet_id = reader.packet_id()?;
            Packet::Subscribe { packet_id, filters: requested(&mut reader)? }
        }
        kind::SUBACK => {
            let packet_id = reader.packet_id()?;
            Packet::Suback { packet_id, codes: reader.rest().to_vec() }
        }
        kind::UNSUBSCRIBE => {
            let packet_id = reader.packet_id()?;
            Packet::Unsubscribe { packet_id, filters: unwanted(&mut reader)? }
        }
        kind::UNSUBACK => Packet::Unsuback(reader.packet_id()?),
        kind::PINGREQ => Packet::Pingreq,
        kind::PINGRESP => Packet::Pingresp,
        kind::DISCONNECT => Packet::Disconnect,
        _ => return Err(ProtocolError::ReservedType),
    };
    reader.end()?;
    Ok(packet)
}

/// Table 2.2: every type but PUBLISH has fixed flags [MQTT-2.2.2-2].
fn check_flags(kind: u8, flags: u8, version: Version) -> Result<(), ProtocolError> {
    let (fixed, free) = match (kind, version) {
        (0 | 15, _) => return Err(ProtocolError::ReservedType),
        // MQTT 3.1, 2.1: a client that sends one of these again marks it as a duplicate.
        (kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE, Version::V3_1) => (0b0010, DUPLICATE),
        (kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE, Version::V3_1_1) => (0b0010, 0),
        _ => (0, 0),
    };
    if flags & !free == fixed { Ok(()) } else { Err(ProtocolError::ReservedFlags) }
}

#[inline]
fn publish_of(flags: u8, body: &[u8]) -> Result<Publish<'_>, ProtocolError> {
    let mut reader = Reader::new(body);
    let duplicate = flags & DUPLICATE != 0;
    let qos = QoS::parse((flags >> 1) & 0b11)?;
    let topic = reader.string()?;
    let delivery = match qos {
        QoS::AtMostOnce if duplicate => return Err(ProtocolError::DuplicateQos0),
        QoS::AtMostOnce => PublishDelivery::AtMostOnce,
        QoS::AtLeastOnce => PublishDelivery::AtLeastOnce(reader.packet_id()?),
        QoS::ExactlyOnce => PublishDelivery::ExactlyOnce(reader.packet_id()?),
    };
    Ok(Publish { duplicate, delivery, retain: flags & 1 != 0, topic, payload: reader.rest() })
}

fn requested<'a>(reader: &mut Reader<'a>) -> Result<Vec<(&'a str, QoS)>, ProtocolError> {
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = reader.string()?;
        // The upper six bits are reserved: anything above 2 is refused [MQTT-3.8.3-4].
        filters.push((filter, QoS::parse(reader.byte()?)?));
    }
    if filters.is_empty() { Err(ProtocolError::NoFilter) } else { Ok(filters) }
}

fn unwanted<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, ProtocolError> {
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.string()?);
    }
    if filters.is_empty() { Err(ProtocolError::NoFilter) } else { Ok(filters) }
}
