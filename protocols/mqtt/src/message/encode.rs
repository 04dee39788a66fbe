//! Packets to bytes, appended to a buffer.

use super::connect::flag;
use super::{Connect, DUPLICATE, Packet, PacketId, Publish, PublishDelivery, Version, kind};
use crate::frame::encode_header;

impl Packet<'_> {
    /// Appends the packet. Strings and filters must each fit into 65,535 bytes, as those of a
    /// decoded packet do.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Connect(packet) => connect(packet, out),
            Self::Connack { session_present, code } => connack(*session_present, *code, out),
            Self::Publish(packet) => publish(packet, out),
            Self::Puback(packet_id) => puback(*packet_id, out),
            Self::Pubrec(packet_id) => pubrec(*packet_id, out),
            Self::Pubrel(packet_id) => identified(kind::PUBREL << 4 | 0b0010, *packet_id, out),
            Self::Pubcomp(packet_id) => pubcomp(*packet_id, out),
            Self::Subscribe { packet_id, filters } => {
                let len: usize = filters.iter().map(|(filter, _)| filter.len() + 3).sum();
                encode_header(kind::SUBSCRIBE << 4 | 0b0010, 2 + len, out);
                out.extend_from_slice(&packet_id.get().to_be_bytes());
                for (filter, qos) in filters {
                    binary(filter.as_bytes(), out);
                    out.push(qos.level());
                }
            }
            Self::Suback { packet_id, codes } => suback(*packet_id, codes, out),
            Self::Unsubscribe { packet_id, filters } => {
                let len: usize = filters.iter().map(|filter| filter.len() + 2).sum();
                encode_header(kind::UNSUBSCRIBE << 4 | 0b0010, 2 + len, out);
                out.extend_from_slice(&packet_id.get().to_be_bytes());
                for filter in filters {
                    binary(filter.as_bytes(), out);
                }
            }
            Self::Unsuback(packet_id) => unsuback(*packet_id, out),
            Self::Pingreq => encode_header(kind::PINGREQ << 4, 0, out),
            Self::Pingresp => pingresp(out),
            Self::Disconnect => encode_header(kind::DISCONNECT << 4, 0, out),
        }
    }
}

/// Appends a CONNACK: `code` is 0 or a [`crate::ConnackCode`].
pub fn connack(session_present: bool, code: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[kind::CONNACK << 4, 2, u8::from(session_present), code]);
}

/// Appends a PUBACK.
pub fn puback(packet_id: PacketId, out: &mut Vec<u8>) {
    identified(kind::PUBACK << 4, packet_id, out);
}

/// Appends a PUBREC.
pub fn pubrec(packet_id: PacketId, out: &mut Vec<u8>) {
    identified(kind::PUBREC << 4, packet_id, out);
}

/// Appends a PUBCOMP.
pub fn pubcomp(packet_id: PacketId, out: &mut Vec<u8>) {
    identified(kind::PUBCOMP << 4, packet_id, out);
}

/// Appends an UNSUBACK.
pub fn unsuback(packet_id: PacketId, out: &mut Vec<u8>) {
    identified(kind::UNSUBACK << 4, packet_id, out);
}

/// Appends a SUBACK with one code per filter of the SUBSCRIBE, in its order [MQTT-3.8.4-5].
pub fn suback(packet_id: PacketId, codes: &[u8], out: &mut Vec<u8>) {
    encode_header(kind::SUBACK << 4, 2 + codes.len(), out);
    out.extend_from_slice(&packet_id.get().to_be_bytes());
    out.extend_from_slice(codes);
}

/// Appends a PINGRESP.
pub fn pingresp(out: &mut Vec<u8>) {
    encode_header(kind::PINGRESP << 4, 0, out);
}

/// How long the body of a PUBLISH is, in bytes.
pub fn publish_len(topic: &str, qos: super::QoS, payload_len: usize) -> usize {
    let packet_id_len = if qos == super::QoS::AtMostOnce { 0 } else { 2 };
    2 + topic.len() + packet_id_len + payload_len
}

/// Appends a PUBLISH. The topic must fit into 65,535 bytes.
pub fn publish(packet: &Publish<'_>, out: &mut Vec<u8>) {
    let qos = packet.delivery.qos();
    let duplicate = if packet.duplicate { DUPLICATE } else { 0 };
    let head = kind::PUBLISH << 4 | duplicate | qos.level() << 1 | u8::from(packet.retain);
    let body_len = publish_len(packet.topic, qos, packet.payload.len());
    out.reserve(crate::frame::HEADER_LEN_MAX + body_len);
    encode_header(head, body_len, out);
    binary(packet.topic.as_bytes(), out);
    match packet.delivery {
        PublishDelivery::AtMostOnce => {}
        PublishDelivery::AtLeastOnce(packet_id) | PublishDelivery::ExactlyOnce(packet_id) => {
            out.extend_from_slice(&packet_id.get().to_be_bytes());
        }
    }
    out.extend_from_slice(packet.payload);
}

fn connect(packet: &Connect<'_>, out: &mut Vec<u8>) {
    let (name, level): (&[u8], u8) = match packet.version {
        Version::V3_1 => (b"MQIsdp", 3),
        Version::V3_1_1 => (b"MQTT", 4),
    };
    let mut flags = if packet.clean_session { flag::CLEAN_SESSION } else { 0 };
    let mut body = Vec::new();
    binary(packet.client_id.as_bytes(), &mut body);
    if let Some(will) = &packet.will {
        let retain = if will.retain { flag::WILL_RETAIN } else { 0 };
        flags |= flag::WILL | will.qos.level() << flag::WILL_QOS_SHIFT | retain;
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

fn identified(head: u8, packet_id: PacketId, out: &mut Vec<u8>) {
    let [high, low] = packet_id.get().to_be_bytes();
    out.extend_from_slice(&[head, 2, high, low]);
}

/// Two bytes of length, then `bytes`, which callers keep within 65,535.
fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(bytes.len()).expect("callers keep fields within 65,535 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
