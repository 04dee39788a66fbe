//! Hostile bytes: each ends its own session with its own reason.

use crate::desk::{Desk, IMEI, connect, encoded};
use mqtt::message::Packet;
use mqtt::{CloseReason, Properties, ProtocolError};

/// What a connected board sends, and why that is its end.
const AFTER_CONNECT: &[(&[u8], ProtocolError)] = &[
    (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], ProtocolError::BadLength),
    (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], ProtocolError::PacketTooLong),
    (&[0x00, 0], ProtocolError::ReservedType),
    (&[0xF0, 0], ProtocolError::ReservedType),
    (&[0x82 ^ 0x02, 5, 0, 1, 0, 0, 0], ProtocolError::ReservedFlags),
    (&[0x8A, 6, 0, 1, 0, 1, b'a', 0], ProtocolError::ReservedFlags),
    (&[0x60, 2, 0, 1], ProtocolError::ReservedFlags),
    (&[0x41, 2, 0, 1], ProtocolError::ReservedFlags),
    (&[0xC1, 0], ProtocolError::ReservedFlags),
    (&[0xE1, 0], ProtocolError::ReservedFlags),
    (&[0x20, 2, 2, 0], ProtocolError::ReservedFlags),
    (&[0x30, 0], ProtocolError::Truncated),
    (&[0x30, 3, 0, 2, b'a'], ProtocolError::Truncated),
    (&[0x32, 3, 0, 1, b'a'], ProtocolError::Truncated),
    (&[0x40, 1, 0], ProtocolError::Truncated),
    (&[0x82, 5, 0, 1, 0, 1, b'a'], ProtocolError::Truncated),
    (&[0x40, 3, 0, 1, 0], ProtocolError::TrailingBytes),
    (&[0xC0, 1, 0], ProtocolError::TrailingBytes),
    (&[0xE0, 1, 0], ProtocolError::TrailingBytes),
    (&[0x30, 3, 0, 1, 0xFF], ProtocolError::NotUtf8),
    (&[0x30, 5, 0, 3, 0xED, 0xA0, 0x80], ProtocolError::NotUtf8),
    (&[0x30, 4, 0, 2, 0xC0, 0x80], ProtocolError::NotUtf8),
    (&[0x30, 3, 0, 1, 0], ProtocolError::NulInString),
    (&[0x82, 6, 0, 1, 0, 1, 0, 0], ProtocolError::NulInString),
    (&[0x32, 5, 0, 1, b'a', 0, 0], ProtocolError::ZeroPacketId),
    (&[0x82, 6, 0, 0, 0, 1, b'a', 0], ProtocolError::ZeroPacketId),
    (&[0x40, 2, 0, 0], ProtocolError::ZeroPacketId),
    (&[0x36, 5, 0, 1, b'a', 0, 1], ProtocolError::ReservedQos),
    (&[0x82, 6, 0, 1, 0, 1, b'a', 3], ProtocolError::ReservedQos),
    (&[0x82, 6, 0, 1, 0, 1, b'a', 0x80], ProtocolError::ReservedQos),
    (&[0x38, 3, 0, 1, b'a'], ProtocolError::DuplicateQos0),
    (&[0x82, 2, 0, 1], ProtocolError::NoFilter),
    (&[0xA2, 2, 0, 1], ProtocolError::NoFilter),
    (&[0x30, 2, 0, 0], ProtocolError::BadTopic),
    (&[0x30, 3, 0, 1, b'+'], ProtocolError::BadTopic),
    (&[0x30, 5, 0, 3, b'a', b'/', b'#'], ProtocolError::BadTopic),
    (&[0x82, 5, 0, 1, 0, 0, 0], ProtocolError::BadFilter),
    (&[0x82, 10, 0, 1, 0, 5, b'a', b'/', b'#', b'/', b'b', 0], ProtocolError::BadFilter),
    (&[0x82, 7, 0, 1, 0, 2, b'a', b'+', 0], ProtocolError::BadFilter),
    (&[0xA2, 4, 0, 1, 0, 0], ProtocolError::BadFilter),
    (&[0x20, 2, 0, 0], ProtocolError::ServerPacket),
    (&[0x90, 3, 0, 1, 0], ProtocolError::ServerPacket),
    (&[0xB0, 2, 0, 1], ProtocolError::ServerPacket),
    (&[0xD0, 0], ProtocolError::ServerPacket),
];

#[test]
fn each_fault_of_a_board_ends_its_session_by_name() {
    for (bytes, error) in AFTER_CONNECT {
        let mut desk = Desk::connected();
        assert_eq!(desk.bytes(bytes), bytes.len());
        assert_eq!(desk.closed, Some(CloseReason::Protocol(*error)), "{bytes:02X?}");
        assert!(desk.written().is_empty(), "{bytes:02X?}");
        assert_eq!(desk.happened(), ["device.disconnected"], "{bytes:02X?}");
        assert_eq!(desk.bytes(&[0xC0, 0]), 2, "what comes after is thrown away");
        assert!(desk.written().is_empty());
    }
}

#[test]
fn a_second_connect_ends_the_session() {
    let mut desk = Desk::connected();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    assert_eq!(desk.closed, Some(CloseReason::Protocol(ProtocolError::SecondConnect)));
}

#[test]
fn a_stranger_may_only_connect() {
    for head in (0..=255_u8).filter(|head| head >> 4 != 1) {
        let mut desk = Desk::new();
        desk.bytes(&[head]);
        let reason = CloseReason::Protocol(ProtocolError::NotConnected);
        assert_eq!(desk.closed, Some(reason), "{head:02X}");
        assert!(desk.facts.is_empty() && desk.written().is_empty());
    }
}

/// Offsets into the CONNECT of the desk: name 4..8, level 8, flags 9, client id's length 12..14.
#[test]
fn each_fault_in_connect_ends_the_session_by_name() {
    let whole = encoded(&Packet::Connect(Box::new(connect(IMEI))));
    let user = 14 + IMEI.len();
    let faults: &[(usize, u8, ProtocolError)] = &[
        (0, 0x11, ProtocolError::ReservedFlags),
        (4, b'm', ProtocolError::BadProtocolName),
        (3, 3, ProtocolError::BadProtocolName),
        (9, 0b1100_0011, ProtocolError::ReservedConnectFlag),
        (9, 0b0100_0010, ProtocolError::PasswordWithoutUser),
        (9, 0b1100_1010, ProtocolError::WillContradicts),
        (9, 0b1110_0010, ProtocolError::WillContradicts),
        (9, 0b1101_1110, ProtocolError::ReservedQos),
        (9, 0b1000_0010, ProtocolError::TrailingBytes),
        (9, 0b1100_0110, ProtocolError::Truncated),
        (12, 0xFF, ProtocolError::Truncated),
        (14, 0xFF, ProtocolError::NotUtf8),
        (14, 0, ProtocolError::NulInString),
        (user + 2, 0xFF, ProtocolError::NotUtf8),
        (user + 2, 0, ProtocolError::NulInString),
    ];
    for &(offset, byte, error) in faults {
        let mut bytes = whole.clone();
        bytes[offset] = byte;
        let mut desk = Desk::new();
        desk.bytes(&bytes);
        assert_eq!(desk.closed, Some(CloseReason::Protocol(error)), "{byte:02X} at {offset}");
        assert!(desk.asked.is_none() && desk.written().is_empty(), "{byte:02X} at {offset}");
    }
}

#[test]
fn a_will_to_no_topic_ends_the_session() {
    use mqtt::message::{Connect, QoS, Will};
    for topic in ["", "a/+", "#"] {
        let will = Will {
            topic,
            payload: b"",
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Properties::EMPTY,
        };
        let mut desk = Desk::new();
        desk.send(&Packet::Connect(Box::new(Connect { will: Some(will), ..connect(IMEI) })));
        assert_eq!(desk.closed, Some(CloseReason::Protocol(ProtocolError::BadTopic)), "{topic}");
    }
}
