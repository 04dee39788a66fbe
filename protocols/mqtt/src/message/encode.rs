//! Packets to bytes, appended to a buffer.

use super::connect::flag;
use super::{
    Acknowledgement, Connect, DUPLICATE, Packet, PacketId, Publish, PublishDelivery, QoS,
    SubscriptionOptions, Version, kind,
};
use crate::frame::{self, encode_header};
use crate::{Properties, ReasonCode};

impl Packet<'_> {
    /// Appends the packet as `version` spells it; a CONNECT as its own version does. Strings and
    /// filters must each fit into 65,535 bytes, as those of a decoded packet do. What 3.x has no
    /// word for (reasons, properties, options) is left out there.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Self::Connect(packet) => connect(packet, out),
            Self::Connack { session_present, code, properties } => {
                connack(*session_present, *code, *properties, version, out);
            }
            Self::Publish(packet) => publish(packet, version, out),
            Self::Puback(packet) => puback(packet, version, out),
            Self::Pubrec(packet) => pubrec(packet, version, out),
            Self::Pubrel(packet) => pubrel(packet, version, out),
            Self::Pubcomp(packet) => pubcomp(packet, version, out),
            Self::Subscribe { packet_id, filters, properties } => {
                let len: usize = filters.iter().map(|(filter, _)| filter.len() + 3).sum();
                request(kind::SUBSCRIBE, *packet_id, *properties, len, version, out);
                for (filter, options) in filters {
                    binary(filter.as_bytes(), out);
                    out.push(options_byte(*options, version));
                }
            }
            Self::Suback { packet_id, codes, properties } => {
                suback(*packet_id, codes, *properties, version, out);
            }
            Self::Unsubscribe { packet_id, filters, properties } => {
                let len: usize = filters.iter().map(|filter| filter.len() + 2).sum();
                request(kind::UNSUBSCRIBE, *packet_id, *properties, len, version, out);
                for filter in filters {
                    binary(filter.as_bytes(), out);
                }
            }
            Self::Unsuback { packet_id, codes, properties } => {
                unsuback(*packet_id, codes, *properties, version, out);
            }
            Self::Pingreq => encode_header(kind::PINGREQ << 4, 0, out),
            Self::Pingresp => pingresp(out),
            Self::Disconnect { reason, properties } => {
                disconnect(*reason, *properties, version, out);
            }
            Self::Auth { reason, properties } => auth(*reason, *properties, out),
        }
    }
}

/// Appends a CONNACK: `code` is 0, in 3.x a [`crate::ConnackCode`], in 5.0 a [`ReasonCode`].
pub fn connack(
    session_present: bool,
    code: u8,
    properties: Properties<'_>,
    version: Version,
    out: &mut Vec<u8>,
) {
    encode_header(kind::CONNACK << 4, 2 + list_len(properties, version), out);
    out.extend_from_slice(&[u8::from(session_present), code]);
    list(properties, version, out);
}

/// Appends a PUBACK.
#[inline]
pub fn puback(packet: &Acknowledgement<'_>, version: Version, out: &mut Vec<u8>) {
    acknowledgement(kind::PUBACK << 4, packet, version, out);
}

/// Appends a PUBREC.
pub fn pubrec(packet: &Acknowledgement<'_>, version: Version, out: &mut Vec<u8>) {
    acknowledgement(kind::PUBREC << 4, packet, version, out);
}

/// Appends a PUBREL.
pub fn pubrel(packet: &Acknowledgement<'_>, version: Version, out: &mut Vec<u8>) {
    acknowledgement(kind::PUBREL << 4 | 0b0010, packet, version, out);
}

/// Appends a PUBCOMP.
pub fn pubcomp(packet: &Acknowledgement<'_>, version: Version, out: &mut Vec<u8>) {
    acknowledgement(kind::PUBCOMP << 4, packet, version, out);
}

/// Appends a SUBACK with one code per filter of the SUBSCRIBE, in its order [MQTT-3.8.4-5].
pub fn suback(
    packet_id: PacketId,
    codes: &[u8],
    properties: Properties<'_>,
    version: Version,
    out: &mut Vec<u8>,
) {
    encode_header(kind::SUBACK << 4, 2 + list_len(properties, version) + codes.len(), out);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
    list(properties, version, out);
    out.extend_from_slice(codes);
}

/// Appends an UNSUBACK; in 5.0 with one [`ReasonCode`] per filter of the UNSUBSCRIBE, in its order
/// [MQTT 5.0, MQTT-3.11.3-1].
pub fn unsuback(
    packet_id: PacketId,
    codes: &[u8],
    properties: Properties<'_>,
    version: Version,
    out: &mut Vec<u8>,
) {
    let codes = if version == Version::V5 { codes } else { &[] };
    encode_header(kind::UNSUBACK << 4, 2 + list_len(properties, version) + codes.len(), out);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
    list(properties, version, out);
    out.extend_from_slice(codes);
}

/// Appends a PINGRESP.
pub fn pingresp(out: &mut Vec<u8>) {
    encode_header(kind::PINGRESP << 4, 0, out);
}

/// Appends a DISCONNECT. In 3.x only a client sends one.
pub fn disconnect(
    reason: ReasonCode,
    properties: Properties<'_>,
    version: Version,
    out: &mut Vec<u8>,
) {
    if version == Version::V5 {
        ending(kind::DISCONNECT << 4, reason, properties, out);
    } else {
        encode_header(kind::DISCONNECT << 4, 0, out);
    }
}

/// Appends an AUTH, which only MQTT 5.0 has.
pub fn auth(reason: ReasonCode, properties: Properties<'_>, out: &mut Vec<u8>) {
    ending(kind::AUTH << 4, reason, properties, out);
}

/// How long the body of a PUBLISH is, in bytes.
pub fn publish_len(
    topic: &str,
    qos: QoS,
    properties: Properties<'_>,
    payload_len: usize,
    version: Version,
) -> usize {
    let packet_id_len = if qos == QoS::AtMostOnce { 0 } else { 2 };
    2 + topic.len() + packet_id_len + list_len(properties, version) + payload_len
}

/// Appends a PUBLISH. The topic must fit into 65,535 bytes.
pub fn publish(packet: &Publish<'_>, version: Version, out: &mut Vec<u8>) {
    let (qos, properties) = (packet.delivery.qos(), packet.properties);
    let duplicate = if packet.duplicate { DUPLICATE } else { 0 };
    let head = kind::PUBLISH << 4 | duplicate | qos.level() << 1 | u8::from(packet.retain);
    let body_len = publish_len(packet.topic, qos, properties, packet.payload.len(), version);
    out.reserve(frame::HEADER_LEN_MAX + body_len);
    encode_header(head, body_len, out);
    binary(packet.topic.as_bytes(), out);
    match packet.delivery {
        PublishDelivery::AtMostOnce => {}
        PublishDelivery::AtLeastOnce(packet_id) | PublishDelivery::ExactlyOnce(packet_id) => {
            out.extend_from_slice(&packet_id.get().to_be_bytes());
        }
    }
    list(properties, version, out);
    out.extend_from_slice(packet.payload);
}

fn connect(packet: &Connect<'_>, out: &mut Vec<u8>) {
    let version = packet.version;
    let (name, level): (&[u8], u8) = match version {
        Version::V3_1 => (b"MQIsdp", 3),
        Version::V3_1_1 => (b"MQTT", 4),
        Version::V5 => (b"MQTT", 5),
    };
    let mut flags = if packet.clean_session { flag::CLEAN_SESSION } else { 0 };
    let mut body = Vec::new();
    list(packet.properties, version, &mut body);
    binary(packet.client_id.as_bytes(), &mut body);
    if let Some(will) = &packet.will {
        let retain = if will.retain { flag::WILL_RETAIN } else { 0 };
        flags |= flag::WILL | will.qos.level() << flag::WILL_QOS_SHIFT | retain;
        list(will.properties, version, &mut body);
        binary(will.topic.as_bytes(), &mut body);
        binary(will.payload, &mut body);
    }
    if let Some(username) = packet.username {
        flags |= flag::USERNAME;
        binary(username.as_bytes(), &mut body);
    }
    if let Some(password) = packet.password {
        flags |= flag::PASSWORD;
        binary(password, &mut body);
    }
    encode_header(kind::CONNECT << 4, 2 + name.len() + 4 + body.len(), out);
    binary(name, out);
    out.extend_from_slice(&[level, flags]);
    out.extend_from_slice(&packet.keep_alive_s.to_be_bytes());
    out.extend_from_slice(&body);
}

/// The front of SUBSCRIBE and UNSUBSCRIBE, whose filters take `filters_len` bytes.
fn request(
    kind: u8,
    packet_id: PacketId,
    properties: Properties<'_>,
    filters_len: usize,
    version: Version,
    out: &mut Vec<u8>,
) {
    encode_header(kind << 4 | 0b0010, 2 + list_len(properties, version) + filters_len, out);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
    list(properties, version, out);
}

fn options_byte(options: SubscriptionOptions, version: Version) -> u8 {
    let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = options;
    if version != Version::V5 {
        return qos.level();
    }
    let flags = u8::from(no_local) << 2 | u8::from(retain_as_published) << 3;
    qos.level() | flags | (retain_handling as u8) << 4
}

/// Success without properties is left out, as 3.x always does [MQTT 5.0, 3.4.2.1].
#[inline]
fn acknowledgement(head: u8, packet: &Acknowledgement<'_>, version: Version, out: &mut Vec<u8>) {
    let is_bare = packet.reason == ReasonCode::Success && packet.properties.is_empty();
    if is_bare || version != Version::V5 {
        let [high, low] = packet.packet_id.get().to_be_bytes();
        out.extend_from_slice(&[head, 2, high, low]);
    } else {
        explained(head, packet, out);
    }
}

/// An acknowledgement of 5.0 that says more than that all is well.
fn explained(head: u8, packet: &Acknowledgement<'_>, out: &mut Vec<u8>) {
    let Acknowledgement { packet_id, reason, properties } = *packet;
    let has_more = !properties.is_empty();
    let more_len = if has_more { list_len(properties, Version::V5) } else { 0 };
    encode_header(head, 3 + more_len, out);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
    out.push(reason.byte());
    if has_more {
        list(properties, Version::V5, out);
    }
}

/// A packet of 5.0 with a reason and properties alone, each left out where it says nothing.
fn ending(head: u8, reason: ReasonCode, properties: Properties<'_>, out: &mut Vec<u8>) {
    if !properties.is_empty() {
        encode_header(head, 1 + list_len(properties, Version::V5), out);
        out.push(reason.byte());
        list(properties, Version::V5, out);
    } else if reason == ReasonCode::Success {
        encode_header(head, 0, out);
    } else {
        out.extend_from_slice(&[head, 1, reason.byte()]);
    }
}

/// How many bytes properties take with their length: in 3.x none.
fn list_len(properties: Properties<'_>, version: Version) -> usize {
    if version != Version::V5 {
        return 0;
    }
    let len = properties.as_bytes().len();
    frame::length_size(len) + len
}

fn list(properties: Properties<'_>, version: Version, out: &mut Vec<u8>) {
    if version == Version::V5 {
        frame::encode_length(properties.as_bytes().len(), out);
        out.extend_from_slice(properties.as_bytes());
    }
}

/// Two bytes of length, then `bytes`, which callers keep within 65,535.
pub(crate) fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(bytes.len()).expect("callers keep fields within 65,535 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
