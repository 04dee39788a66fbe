//! Frames to packets.

use super::connect;
use super::reader::{self, Reader};
use super::{
    Acknowledgement, DUPLICATE, Packet, Publish, PublishDelivery, QoS, RetainHandling,
    SubscriptionOptions, Version, kind,
};
use crate::frame::Frame;
use crate::property::{Place, Properties, Property};
use crate::{ProtocolError, ReasonCode};

/// Reads the packet in `frame`, which came from a peer that speaks `version`. A CONNECT says by
/// itself what it speaks.
#[inline]
pub fn decode(frame: Frame<'_>, version: Version) -> Result<Packet<'_>, ProtocolError> {
    // Nearly every packet is one: nothing else is asked first.
    if frame.head >> 4 == kind::PUBLISH {
        return publish_of(frame, version).map(Packet::Publish);
    }
    other_than_publish(frame, version)
}

fn other_than_publish(frame: Frame<'_>, version: Version) -> Result<Packet<'_>, ProtocolError> {
    let (kind, flags) = (frame.head >> 4, frame.head & 0x0F);
    check_flags(kind, flags, version)?;
    let mut reader = Reader::new(frame.body);
    let packet = match kind {
        kind::CONNECT => {
            let packet = connect::decode(&mut reader)?;
            check_length(frame, packet.version)?;
            Packet::Connect(Box::new(packet))
        }
        _ => {
            check_length(frame, version)?;
            other(kind, &mut reader, version)?
        }
    };
    reader.end()?;
    Ok(packet)
}

/// What a CONNECT speaks, even where the rest of it cannot be read: so that it can be refused in
/// words that it understands.
pub fn version_of(frame: Frame<'_>) -> Option<Version> {
    let is_connect = frame.head >> 4 == kind::CONNECT;
    let version = is_connect.then(|| connect::version(&mut Reader::new(frame.body)));
    version.and_then(Result::ok)
}

/// Checks what a client may not send although the packet type is one of a client's.
///
/// Packet types that only a server sends are [`ProtocolError::ServerPacket`].
pub fn check_client(packet: &Packet<'_>) -> Result<(), ProtocolError> {
    let lacks = |properties: Properties<'_>, refused: fn(&Property<'_>) -> bool| {
        let has = properties.iter().any(|property| refused(&property));
        if has { Err(ProtocolError::MisplacedProperty) } else { Ok(()) }
    };
    match packet {
        // MQTT 5.0 [MQTT-3.3.4-6]
        Packet::Publish(publish) => {
            lacks(publish.properties, |it| matches!(it, Property::SubscriptionIdentifier(_)))
        }
        // MQTT 5.0, 3.14.2.2.5: a server sends the client elsewhere, not the other way round.
        Packet::Disconnect { reason, properties } => {
            if !reason.is_clients_goodbye() {
                return Err(ProtocolError::BadReasonCode);
            }
            lacks(*properties, |it| matches!(it, Property::ServerReference(_)))
        }
        // MQTT 5.0, table 3.15: success is the server's word.
        Packet::Auth { reason: ReasonCode::Success, .. } => Err(ProtocolError::BadReasonCode),
        Packet::Connack { .. }
        | Packet::Suback { .. }
        | Packet::Unsuback { .. }
        | Packet::Pingresp => Err(ProtocolError::ServerPacket),
        Packet::Connect(_)
        | Packet::Puback(_)
        | Packet::Pubrec(_)
        | Packet::Pubrel(_)
        | Packet::Pubcomp(_)
        | Packet::Subscribe { .. }
        | Packet::Unsubscribe { .. }
        | Packet::Pingreq
        | Packet::Auth { .. } => Ok(()),
    }
}

/// Every packet but CONNECT and PUBLISH.
fn other<'a>(
    kind: u8,
    reader: &mut Reader<'a>,
    version: Version,
) -> Result<Packet<'a>, ProtocolError> {
    Ok(match kind {
        kind::CONNACK => connack(reader, version)?,
        kind::PUBACK => Packet::Puback(acknowledgement(reader, version, Place::Puback)?),
        kind::PUBREC => Packet::Pubrec(acknowledgement(reader, version, Place::Pubrec)?),
        kind::PUBREL => Packet::Pubrel(acknowledgement(reader, version, Place::Pubrel)?),
        kind::PUBCOMP => Packet::Pubcomp(acknowledgement(reader, version, Place::Pubcomp)?),
        kind::SUBSCRIBE => Packet::Subscribe {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, Place::Subscribe)?,
            filters: requested(reader, version)?,
        },
        kind::SUBACK => Packet::Suback {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, Place::Suback)?,
            codes: codes(reader, version, Place::Suback)?,
        },
        kind::UNSUBSCRIBE => Packet::Unsubscribe {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, Place::Unsubscribe)?,
            filters: unwanted(reader)?,
        },
        kind::UNSUBACK => Packet::Unsuback {
            packet_id: reader.packet_id()?,
            properties: reader.properties(version, Place::Unsuback)?,
            codes: if version == Version::V5 {
                codes(reader, version, Place::Unsuback)?
            } else {
                &[]
            },
        },
        kind::PINGREQ => Packet::Pingreq,
        kind::PINGRESP => Packet::Pingresp,
        kind::DISCONNECT => {
            let (reason, properties) = ending(reader, version, Place::Disconnect)?;
            Packet::Disconnect { reason, properties }
        }
        kind::AUTH => auth(reader, version)?,
        _ => return Err(ProtocolError::ReservedType),
    })
}

/// In 5.0 a length takes as few bytes as can be [MQTT 5.0, MQTT-1.5.5-1].
fn check_length(frame: Frame<'_>, version: Version) -> Result<(), ProtocolError> {
    let is_fine = version != Version::V5 || !frame.is_overlong;
    if is_fine { Ok(()) } else { Err(ProtocolError::BadLength) }
}

/// Table 2.2: every type but PUBLISH has fixed flags [MQTT-2.2.2-2], in 5.0 [MQTT-2.1.3-1].
fn check_flags(kind: u8, flags: u8, version: Version) -> Result<(), ProtocolError> {
    let (fixed, free) = match (kind, version) {
        (0, _) | (kind::AUTH, Version::V3_1 | Version::V3_1_1) => {
            return Err(ProtocolError::ReservedType);
        }
        // MQTT 3.1, 2.1: a client that sends one of these again marks it as a duplicate.
        (kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE, Version::V3_1) => (0b0010, DUPLICATE),
        (kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE, Version::V3_1_1 | Version::V5) => {
            (0b0010, 0)
        }
        _ => (0, 0),
    };
    if flags & !free == fixed { Ok(()) } else { Err(ProtocolError::ReservedFlags) }
}

#[inline]
fn publish_of(frame: Frame<'_>, version: Version) -> Result<Publish<'_>, ProtocolError> {
    let (head, mut reader) = (frame.head, Reader::new(frame.body));
    let duplicate = head & DUPLICATE != 0;
    let qos = QoS::parse((head >> 1) & 0b11)?;
    let topic = reader.string()?;
    let delivery = match qos {
        QoS::AtMostOnce if duplicate => return Err(ProtocolError::DuplicateQos0),
        QoS::AtMostOnce => PublishDelivery::AtMostOnce,
        QoS::AtLeastOnce => PublishDelivery::AtLeastOnce(reader.packet_id()?),
        QoS::ExactlyOnce => PublishDelivery::ExactlyOnce(reader.packet_id()?),
    };
    let (mut properties, mut payload) = (Properties::EMPTY, reader.rest());
    if version == Version::V5 {
        check_length(frame, version)?;
        (properties, payload) = publish_properties(topic, payload)?;
    }
    Ok(Publish { duplicate, delivery, retain: head & 1 != 0, topic, payload, properties })
}

/// Parts the properties from the payload. By value: 3.x keeps its fields in registers.
fn publish_properties<'a>(
    topic: &str,
    rest: &'a [u8],
) -> Result<(Properties<'a>, &'a [u8]), ProtocolError> {
    let mut reader = Reader::new(rest);
    let properties = reader.properties(Version::V5, Place::Publish)?;
    check_topic(topic, properties)?;
    Ok((properties, reader.rest()))
}

/// A topic may be left out where an alias stands for it [MQTT 5.0, 3.3.2.1].
fn check_topic(topic: &str, properties: Properties<'_>) -> Result<(), ProtocolError> {
    let is_alias = |it: &Property<'_>| matches!(it, Property::TopicAlias(_));
    let is_named = !topic.is_empty() || properties.iter().any(|it| is_alias(&it));
    if is_named { Ok(()) } else { Err(ProtocolError::NoTopic) }
}

fn connack<'a>(reader: &mut Reader<'a>, version: Version) -> Result<Packet<'a>, ProtocolError> {
    let session_present = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(ProtocolError::ReservedFlags),
    };
    let code = reader.byte()?;
    if version == Version::V5 {
        reader::reason(code, Place::Connack)?;
    }
    let properties = reader.properties(version, Place::Connack)?;
    Ok(Packet::Connack { session_present, code, properties })
}

/// In 5.0 the reason may be left out where it is success, and the properties where there are none
/// [MQTT 5.0, 3.4.2.1].
fn acknowledgement<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    place: Place,
) -> Result<Acknowledgement<'a>, ProtocolError> {
    let packet_id = reader.packet_id()?;
    let (reason, properties) = ending(reader, version, place)?;
    Ok(Acknowledgement { packet_id, reason, properties })
}

/// A reason and properties at the end of a packet, of which both, or the properties, may be left
/// out; in 3.x nothing.
fn ending<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    place: Place,
) -> Result<(ReasonCode, Properties<'a>), ProtocolError> {
    if version != Version::V5 || reader.is_empty() {
        return Ok((ReasonCode::Success, Properties::EMPTY));
    }
    let reason = reader.reason(place)?;
    if reader.is_empty() {
        return Ok((reason, Properties::EMPTY));
    }
    Ok((reason, reader.properties(version, place)?))
}

/// An AUTH names its method, unless it says nothing but success [MQTT 5.0, 3.15.2.2.2].
fn auth<'a>(reader: &mut Reader<'a>, version: Version) -> Result<Packet<'a>, ProtocolError> {
    let (reason, properties) = ending(reader, version, Place::Auth)?;
    let is_bare = reason == ReasonCode::Success && properties.is_empty();
    let has_method = properties.iter().any(|it| matches!(it, Property::AuthenticationMethod(_)));
    if !is_bare && !has_method {
        return Err(ProtocolError::NoAuthenticationMethod);
    }
    Ok(Packet::Auth { reason, properties })
}

fn requested<'a>(
    reader: &mut Reader<'a>,
    version: Version,
) -> Result<Vec<(&'a str, SubscriptionOptions)>, ProtocolError> {
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = reader.string()?;
        let options = reader.byte()?;
        let options = if version == Version::V5 {
            options_of(options, filter)?
        } else {
            // The upper six bits are reserved: anything above 2 is refused [MQTT-3.8.3-4].
            SubscriptionOptions::new(QoS::parse(options)?)
        };
        filters.push((filter, options));
    }
    if filters.is_empty() { Err(ProtocolError::NoFilter) } else { Ok(filters) }
}

/// The subscription options of MQTT 5.0, figure 3.21.
fn options_of(byte: u8, filter: &str) -> Result<SubscriptionOptions, ProtocolError> {
    if byte & 0b1100_0000 != 0 {
        return Err(ProtocolError::ReservedSubscriptionOption);
    }
    let options = SubscriptionOptions {
        qos: QoS::parse(byte & 0b11).map_err(|_| ProtocolError::BadSubscriptionOption)?,
        no_local: byte & 0b100 != 0,
        retain_as_published: byte & 0b1000 != 0,
        retain_handling: match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(ProtocolError::BadSubscriptionOption),
        },
    };
    // MQTT 5.0 [MQTT-3.8.3-4]
    if options.no_local && filter.starts_with("$share/") {
        return Err(ProtocolError::SharedNoLocal);
    }
    Ok(options)
}

fn unwanted<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a str>, ProtocolError> {
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.string()?);
    }
    if filters.is_empty() { Err(ProtocolError::NoFilter) } else { Ok(filters) }
}

/// What is left: in 5.0 a reason code for each filter, so at least one [MQTT 5.0, MQTT-3.9.3-2].
fn codes<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    place: Place,
) -> Result<&'a [u8], ProtocolError> {
    let codes = reader.rest();
    if version == Version::V5 {
        if codes.is_empty() {
            return Err(ProtocolError::Truncated);
        }
        for &byte in codes {
            reader::reason(byte, place)?;
        }
    }
    Ok(codes)
}
