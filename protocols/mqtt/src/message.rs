//! MQTT control packets: what a frame's bytes mean, and back.
//!
//! Borrowed from the frame, so a publish is read without copying it. Checks what the standard
//! says of a packet by itself; whether a packet may come now, and whether its topic is allowed,
//! is the session's. Spec: MQTT 3.1.1, chapters 2 and 3; MQTT 3.1 and MQTT 5.0 where they differ.

mod connect;
mod decode;
mod encode;
pub(crate) mod reader;

pub use connect::{Connect, Will};
pub use decode::{check_client, decode, version_of};
pub(crate) use encode::binary;
pub use encode::{
    auth, connack, disconnect, pingresp, puback, pubcomp, publish, publish_len, pubrec, pubrel,
    suback, unsuback,
};

use crate::{Properties, ProtocolError, ReasonCode};
use std::num::NonZeroU16;

/// Names one exchange between the two ends; never zero [MQTT-2.3.1-1].
pub type PacketId = NonZeroU16;

/// The protocol levels we speak.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// MQTT 3.1, level 3, "MQIsdp".
    V3_1,
    /// MQTT 3.1.1, level 4.
    V3_1_1,
    /// MQTT 5.0, level 5.
    V5,
}

impl Version {
    /// How events name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
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
        /// 0, or why not: a [`crate::ConnackCode`] in 3.x, a [`ReasonCode`] in 5.0.
        code: u8,
        /// What 5.0 says beside it.
        properties: Properties<'a>,
    },
    /// A message [3.3].
    Publish(Publish<'a>),
    /// QoS 1: received [3.4].
    Puback(Acknowledgement<'a>),
    /// QoS 2: received [3.5].
    Pubrec(Acknowledgement<'a>),
    /// QoS 2: release [3.6].
    Pubrel(Acknowledgement<'a>),
    /// QoS 2: complete [3.7].
    Pubcomp(Acknowledgement<'a>),
    /// A client asks for topics [3.8].
    Subscribe {
        /// Its name.
        packet_id: PacketId,
        /// Filters, unchecked, with what is asked for each; at least one.
        filters: Vec<(&'a str, SubscriptionOptions)>,
        /// What 5.0 says beside them.
        properties: Properties<'a>,
    },
    /// The answer [3.9].
    Suback {
        /// Of which SUBSCRIBE.
        packet_id: PacketId,
        /// One per filter: the granted QoS, or [`SUBACK_FAILURE`], in 5.0 a [`ReasonCode`].
        codes: &'a [u8],
        /// What 5.0 says beside them.
        properties: Properties<'a>,
    },
    /// A client wants topics no longer [3.10].
    Unsubscribe {
        /// Its name.
        packet_id: PacketId,
        /// Filters, unchecked; at least one.
        filters: Vec<&'a str>,
        /// What 5.0 says beside them.
        properties: Properties<'a>,
    },
    /// The answer [3.11].
    Unsuback {
        /// Of which UNSUBSCRIBE.
        packet_id: PacketId,
        /// One [`ReasonCode`] per filter in 5.0, none in 3.x.
        codes: &'a [u8],
        /// What 5.0 says beside them.
        properties: Properties<'a>,
    },
    /// Are you there? [3.12]
    Pingreq,
    /// Yes [3.13].
    Pingresp,
    /// Goodbye [3.14]. In 3.x only a client's, and always [`ReasonCode::Success`].
    Disconnect {
        /// Why.
        reason: ReasonCode,
        /// What 5.0 says beside it.
        properties: Properties<'a>,
    },
    /// A step of an authentication that takes several [MQTT 5.0, 3.15].
    Auth {
        /// Which step.
        reason: ReasonCode,
        /// The method and what it needs.
        properties: Properties<'a>,
    },
}

/// One of the four answers that a publish above QoS 0 takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acknowledgement<'a> {
    /// Of which PUBLISH.
    pub packet_id: PacketId,
    /// How it went; in 3.x always [`ReasonCode::Success`].
    pub reason: ReasonCode,
    /// What 5.0 says beside it.
    pub properties: Properties<'a>,
}

impl Acknowledgement<'_> {
    /// All is well.
    pub const fn success(packet_id: PacketId) -> Self {
        Self::new(packet_id, ReasonCode::Success)
    }

    /// How it went, and no more than that.
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: Properties::EMPTY }
    }
}

/// What is asked for with a filter [MQTT 5.0, 3.8.3.1]; in 3.x only the guarantee.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SubscriptionOptions {
    /// The greatest guarantee wanted.
    pub qos: QoS,
    /// Not what this client published itself.
    pub no_local: bool,
    /// The publisher's retain flag is wanted as it was.
    pub retain_as_published: bool,
    /// Whether retained messages are wanted now.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// That guarantee, and all else as in 3.x.
    pub const fn new(qos: QoS) -> Self {
        Self {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// Whether a subscription is sent the retained messages [MQTT 5.0, 3.3.1.3].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always.
    Send = 0,
    /// If there was no such subscription yet.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
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
    /// Topic name, unchecked but for being a string. Empty in 5.0 with a topic alias.
    pub topic: &'a str,
    /// What is sent; any bytes, or none.
    pub payload: &'a [u8],
    /// What 5.0 says beside it.
    pub properties: Properties<'a>,
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
    pub(crate) const AUTH: u8 = 15;
}

/// PUBLISH and nothing else has flags that may differ; MQTT 3.1 sets DUP on three more.
const DUPLICATE: u8 = 0b1000;
