//! Bad input by name: what ends the connection, and what a client of 5.0 is told of it.

use super::{BODY_LEN_MAX, read};
use mqtt::ReasonCode::{
    MalformedPacket, PacketTooLarge, ProtocolError as Forbidden, ReceiveMaximumExceeded,
    TopicAliasInvalid, TopicFilterInvalid, TopicNameInvalid, UnsupportedProtocolVersion,
};
use mqtt::message::{self, Packet, Version};
use mqtt::{Place, ProtocolError, ReasonCode, frame};

type Named = (&'static str, &'static [u8]);

/// Frames that cannot be read in 5.0, by what is wrong with them.
const FAULTS: &[(ProtocolError, ReasonCode, &[Named])] = &[
    (
        ProtocolError::BadLength,
        MalformedPacket,
        &[
            ("length of five bytes", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF]),
            ("length longer than it needs", &[0xC0, 0x80, 0]),
            ("property length of five bytes", &[0x30, 8, 0, 1, b'a', 0xFF, 0xFF, 0xFF, 0xFF, 1]),
            ("property length longer than it needs", &[0x30, 5, 0, 1, b'a', 0x80, 0]),
            ("CONNECT with a long length", b"\x10\x8D\0\0\x04MQTT\x05\x02\0\0\0\0\0"),
        ],
    ),
    (
        ProtocolError::PacketTooLong,
        PacketTooLarge,
        &[("length above the limit", &[0x30, 0xFF, 0xFF, 0xFF, 0x7F])],
    ),
    (ProtocolError::ReservedType, MalformedPacket, &[("type 0", &[0x00, 0])]),
    (
        ProtocolError::ReservedFlags,
        MalformedPacket,
        &[
            ("flags of PUBLISH on PUBACK", &[0x4B, 2, 0, 1]),
            ("SUBSCRIBE without its flag", &[0x80, 7, 0, 1, 0, 0, 1, b'a', 0]),
            ("UNSUBSCRIBE without its flag", &[0xA0, 6, 0, 1, 0, 0, 1, b'a']),
            ("PUBREL without its flag", &[0x60, 2, 0, 1]),
            ("AUTH with flags", &[0xF1, 0]),
            ("reserved CONNACK flags", &[0x20, 3, 2, 0, 0]),
        ],
    ),
    (
        ProtocolError::ReservedQos,
        MalformedPacket,
        &[
            ("qos 3", &[0x36, 6, 0, 1, b'a', 0, 1, 0]),
            ("will qos 3", b"\x10\x0D\0\x04MQTT\x05\x1E\0\0\0\0\0"),
        ],
    ),
    (ProtocolError::DuplicateQos0, MalformedPacket, &[("dup at qos 0", &[0x38, 4, 0, 1, b'a', 0])]),
    (
        ProtocolError::Truncated,
        MalformedPacket,
        &[
            ("no room for the topic", &[0x30, 3, 0, 2, b'a']),
            ("no properties at all", &[0x30, 3, 0, 1, b'a']),
            ("properties beyond the end", &[0x30, 5, 0, 1, b'a', 9, 1]),
            ("property beyond the properties", &[0x30, 8, 0, 1, b'a', 2, 2, 0, 0, 0]),
            ("SUBACK without a code", &[0x90, 3, 0, 1, 0]),
            ("UNSUBACK without a code", &[0xB0, 3, 0, 1, 0]),
        ],
    ),
    (
        ProtocolError::TrailingBytes,
        MalformedPacket,
        &[
            ("bytes after the last field", &[0x40, 5, 0, 1, 0, 0, 0]),
            ("a body on PINGREQ", &[0xC0, 1, 0]),
        ],
    ),
    (
        ProtocolError::NotUtf8,
        MalformedPacket,
        &[
            ("wrong utf-8", &[0x30, 4, 0, 1, 0xFF, 0]),
            ("a surrogate", &[0x30, 6, 0, 3, 0xED, 0xA0, 0x80, 0]),
            ("wrong utf-8 in a property", &[0x30, 8, 0, 1, b'a', 4, 3, 0, 1, 0xFF]),
        ],
    ),
    (
        ProtocolError::NulInString,
        MalformedPacket,
        &[
            ("nul in a topic", &[0x30, 4, 0, 1, 0, 0]),
            ("nul in a property", &[0x30, 8, 0, 1, b'a', 4, 3, 0, 1, 0]),
        ],
    ),
    (
        ProtocolError::ZeroPacketId,
        Forbidden,
        &[
            ("packet id 0", &[0x32, 6, 0, 1, b'a', 0, 0, 0]),
            ("PUBACK of packet id 0", &[0x40, 2, 0, 0]),
        ],
    ),
    (
        ProtocolError::NoFilter,
        Forbidden,
        &[
            ("SUBSCRIBE without a filter", &[0x82, 3, 0, 1, 0]),
            ("UNSUBSCRIBE without a filter", &[0xA2, 3, 0, 1, 0]),
        ],
    ),
    (
        ProtocolError::BadSubscriptionOption,
        Forbidden,
        &[
            ("subscription for qos 3", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 3]),
            ("retain handling 3", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x30]),
        ],
    ),
    (
        ProtocolError::ReservedSubscriptionOption,
        MalformedPacket,
        &[("reserved subscription option", &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40])],
    ),
    (
        ProtocolError::SharedNoLocal,
        Forbidden,
        &[("no local on a shared subscription", b"\x82\x10\0\x01\0\0\x0A$share/g/a\x04")],
    ),
    (
        ProtocolError::UnknownProperty,
        MalformedPacket,
        &[
            ("unknown property", &[0x30, 6, 0, 1, b'a', 2, 4, 0]),
            ("property of two bytes", &[0x30, 6, 0, 1, b'a', 2, 0x81, 0]),
        ],
    ),
    (
        ProtocolError::MisplacedProperty,
        MalformedPacket,
        &[
            ("session expiry in PUBLISH", &[0x30, 9, 0, 1, b'a', 5, 17, 0, 0, 0, 0]),
            ("will delay in CONNECT", b"\x10\x12\0\x04MQTT\x05\x02\0\0\x05\x18\0\0\0\0\0\0"),
        ],
    ),
    (
        ProtocolError::RepeatedProperty,
        Forbidden,
        &[
            ("payload format twice", &[0x30, 8, 0, 1, b'a', 4, 1, 1, 1, 1]),
            ("subscription identifier twice", &[0x82, 11, 0, 1, 4, 11, 1, 11, 2, 0, 1, b'a', 0]),
        ],
    ),
    (
        ProtocolError::BadPropertyValue,
        Forbidden,
        &[
            ("payload format 2", &[0x30, 6, 0, 1, b'a', 2, 1, 2]),
            ("subscription identifier 0", &[0x82, 9, 0, 1, 2, 11, 0, 0, 1, b'a', 0]),
            ("receive maximum 0", &[0x20, 6, 0, 0, 3, 33, 0, 0]),
            ("maximum packet size 0", &[0x20, 8, 0, 0, 5, 39, 0, 0, 0, 0]),
            ("maximum qos 2", &[0x20, 5, 0, 0, 2, 36, 2]),
            ("request for problems 2", b"\x10\x0F\0\x04MQTT\x05\x02\0\0\x02\x17\x02\0\0"),
        ],
    ),
    (
        ProtocolError::BadResponseTopic,
        TopicNameInvalid,
        &[
            ("wildcard in a response topic", &[0x30, 8, 0, 1, b'a', 4, 8, 0, 1, b'#']),
            ("empty response topic", &[0x30, 7, 0, 1, b'a', 3, 8, 0, 0]),
        ],
    ),
    (
        ProtocolError::BadTopicAlias,
        TopicAliasInvalid,
        &[("topic alias 0", &[0x30, 7, 0, 1, b'a', 3, 35, 0, 0])],
    ),
    (ProtocolError::NoTopic, Forbidden, &[("neither topic nor alias", &[0x30, 3, 0, 0, 0])]),
    (
        ProtocolError::BadReasonCode,
        Forbidden,
        &[
            ("reason without a meaning", &[0x40, 3, 0, 1, 0x03]),
            ("PUBACK with a reason of DISCONNECT", &[0x40, 3, 0, 1, 0x8E]),
            ("PUBREL with a reason of PUBREC", &[0x62, 3, 0, 1, 0x10]),
            ("SUBACK with a reason of CONNACK", &[0x90, 4, 0, 1, 0, 0x86]),
            ("CONNACK with a code of 3.1.1", &[0x20, 3, 0, 5, 0]),
        ],
    ),
    (
        ProtocolError::NoAuthenticationMethod,
        Forbidden,
        &[
            ("AUTH without a method", &[0xF0, 2, 0x18, 0]),
            ("authentication data alone", b"\x10\x10\0\x04MQTT\x05\x02\0\0\x03\x16\0\0\0\0"),
        ],
    ),
    (
        ProtocolError::BadProtocolName,
        UnsupportedProtocolVersion,
        &[("another protocol", b"\x10\x0D\0\x04mqtt\x05\x02\0\0\0\0\0")],
    ),
    (
        ProtocolError::UnsupportedVersion,
        UnsupportedProtocolVersion,
        &[
            ("level 6", b"\x10\x0D\0\x04MQTT\x06\x02\0\0\0\0\0"),
            ("level 5 of the old name", b"\x10\x0F\0\x06MQIsdp\x05\x02\0\0\0\0\0"),
        ],
    ),
    (
        ProtocolError::ReservedConnectFlag,
        MalformedPacket,
        &[("reserved connect flag", b"\x10\x0D\0\x04MQTT\x05\x03\0\0\0\0\0")],
    ),
    (
        ProtocolError::WillContradicts,
        MalformedPacket,
        &[("will retain without a will", b"\x10\x0D\0\x04MQTT\x05\x22\0\0\0\0\0")],
    ),
];

#[test]
fn each_fault_of_5_0_has_its_name_and_reason() {
    for (error, reason, faults) in FAULTS {
        for (name, bytes) in *faults {
            assert_eq!(read(bytes, Version::V5), Err(*error), "{name}");
        }
        assert_eq!(error.reason(), *reason, "{error}");
        // Told to the client in words that DISCONNECT, or before the welcome CONNACK, has.
        let is_word = reason.may_stand_in(Place::Disconnect) || reason.may_stand_in(Place::Connack);
        assert!(is_word, "{error}");
    }
}

/// What the session finds out: the reason is the codec's all the same.
#[test]
fn the_sessions_faults_have_their_reasons() {
    let reasons = [
        ("wildcard in a publish, no topic", ProtocolError::BadTopic, TopicNameInvalid),
        ("a/#/b, no filter", ProtocolError::BadFilter, TopicFilterInvalid),
        ("packet before CONNECT", ProtocolError::NotConnected, Forbidden),
        ("second CONNECT", ProtocolError::SecondConnect, Forbidden),
        ("a server's packet", ProtocolError::ServerPacket, Forbidden),
        ("more than receive maximum", ProtocolError::TooManyUnreleased, ReceiveMaximumExceeded),
        ("password without a user in 3.x", ProtocolError::PasswordWithoutUser, Forbidden),
    ];
    for (name, error, reason) in reasons {
        assert_eq!(error.reason(), reason, "{name}");
    }
}

/// A CONNECT that cannot be read is refused in the words of its version.
#[test]
fn an_unreadable_connect_says_its_version() {
    let version = |bytes: &[u8]| {
        let (frame, _) = frame::decode(bytes, BODY_LEN_MAX).unwrap().unwrap();
        assert!(message::decode(frame, Version::V3_1_1).is_err());
        message::version_of(frame)
    };
    assert_eq!(version(b"\x10\x0D\0\x04MQTT\x05\x03\0\0\0\0\0"), Some(Version::V5));
    assert_eq!(version(b"\x10\x07\0\x04MQTT\x04"), Some(Version::V3_1_1));
    assert_eq!(version(b"\x10\x09\0\x06MQIsdp\x03"), Some(Version::V3_1));
    assert_eq!(version(b"\x10\x07\0\x04MQTT\x06"), None);
    assert_eq!(version(b"\x20\x07\0\x04MQTT\x05"), None);
}

/// What only a server may say, of packets that a client may send.
#[test]
fn a_client_may_not_speak_as_a_server() {
    let misplaced = Err(ProtocolError::MisplacedProperty);
    let reason = Err(ProtocolError::BadReasonCode);
    let server = Err(ProtocolError::ServerPacket);
    let said: &[(&[u8], Result<(), ProtocolError>)] = &[
        (&[0x30, 6, 0, 1, b'a', 2, 11, 1], misplaced), // subscription identifier
        (&[0xE0, 6, 0, 4, 28, 0, 1, b's'], misplaced), // server reference
        (&[0xE0, 1, 0x8E], reason),                    // session taken over
        (&[0xF0, 0], reason),                          // AUTH success
        (&[0x20, 3, 0, 0, 0], server),
        (&[0x90, 4, 0, 1, 0, 0], server),
        (&[0xB0, 4, 0, 1, 0, 0], server),
        (&[0xD0, 0], server),
        (&[0x30, 6, 0, 1, b'a', 2, 1, 1], Ok(())),
        (&[0xE0, 1, 0x04], Ok(())), // disconnect with will
        (&[0xE0, 7, 0, 5, 17, 0, 0, 0, 9], Ok(())),
        (&[0xF0, 6, 0x18, 4, 21, 0, 1, b'm'], Ok(())),
        (&[0xF0, 6, 0x19, 4, 21, 0, 1, b'm'], Ok(())),
        (&[0x40, 3, 0, 1, 0x10], Ok(())),
        (&[0xC0, 0], Ok(())),
    ];
    for (bytes, expected) in said {
        let (packet, _) = read(bytes, Version::V5).unwrap().unwrap();
        assert_eq!(message::check_client(&packet), *expected, "{packet:?}");
    }
}

/// 3.x has none of it.
#[test]
fn what_5_0_brings_is_not_read_in_3_x() {
    for version in [Version::V3_1, Version::V3_1_1] {
        assert_eq!(read(&[0xF0, 0], version), Err(ProtocolError::ReservedType));
        assert_eq!(read(&[0xE0, 1, 0], version), Err(ProtocolError::TrailingBytes));
        assert_eq!(read(&[0x40, 3, 0, 1, 0], version), Err(ProtocolError::TrailingBytes));
        let no_local = [0x82, 6, 0, 1, 0, 1, b'a', 4];
        assert_eq!(read(&no_local, version), Err(ProtocolError::ReservedQos));
        let overlong = read(&[0xC0, 0x80, 0], version);
        assert_eq!(overlong, Ok(Some((Packet::Pingreq, 3))), "3.x allows it");
    }
    let password_alone = b"\x10\x10\0\x04MQTT\x05\x42\0\0\0\0\0\0\x01x";
    let Ok(Some((Packet::Connect(it), _))) = read(password_alone, Version::V3_1_1) else {
        panic!("5.0 allows it")
    };
    assert_eq!((it.version, it.username, it.password), (Version::V5, None, Some(&b"x"[..])));
    let password_alone = b"\x10\x0F\0\x04MQTT\x04\x42\0\0\0\0\0\x01x";
    let refused = Err(ProtocolError::PasswordWithoutUser);
    assert_eq!(read(password_alone, Version::V3_1_1), refused);
}
