//! What the standard draws: packets byte for byte, and its tables of properties and reason codes.

use super::packets::in_bytes;
use super::read;
use crate::desk::{connect, id};
use mqtt::message::{
    self, Connect, Packet, Publish, PublishDelivery, RetainHandling, SubscriptionOptions, Version,
};
use mqtt::{Place, Properties, Property, ProtocolError, ReasonCode};
use std::collections::BTreeSet;

/// Figures 3.9, 3.11, 3.21 and 3.24 of 5.0 and what its sections say of lengths left out.
#[test]
fn known_packets_of_5_0_are_spelled_as_the_standard_says() {
    let properties = Properties::EMPTY;
    let aliased = in_bytes(&[Property::TopicAlias(id(7))]);
    let whole = SubscriptionOptions {
        qos: message::QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let publish = Publish {
        duplicate: false,
        delivery: PublishDelivery::AtLeastOnce(id(10)),
        retain: false,
        topic: "a/b",
        payload: b"",
        properties,
    };
    let bare = Publish {
        topic: "",
        payload: b"x",
        delivery: PublishDelivery::AtMostOnce,
        properties: Properties::parse(&aliased, Place::Publish).unwrap(),
        ..publish
    };
    let mut acknowledged = message::Acknowledgement::success(id(258));
    let success = Packet::Puback(acknowledged);
    acknowledged.reason = ReasonCode::NoMatchingSubscribers;
    let ending = |reason| Packet::Disconnect { reason, properties };
    let connect = Connect { version: Version::V5, username: None, password: None, ..connect("") };
    let spelled: &[(Packet<'_>, &[u8])] = &[
        (Packet::Connect(Box::new(connect)), b"\x10\x0D\0\x04MQTT\x05\x02\0\x3C\0\0\0"),
        (Packet::Connack { session_present: true, code: 0, properties }, &[0x20, 3, 1, 0, 0]),
        (Packet::Publish(publish), &[0x32, 8, 0, 3, b'a', b'/', b'b', 0, 10, 0]),
        (Packet::Publish(bare), &[0x30, 7, 0, 0, 3, 35, 0, 7, b'x']),
        (success, &[0x40, 2, 1, 2]),
        (Packet::Pubrec(acknowledged), &[0x50, 3, 1, 2, 0x10]),
        (
            Packet::Subscribe { packet_id: id(10), filters: vec![("a", whole)], properties },
            &[0x82, 7, 0, 10, 0, 0, 1, b'a', 0b0010_1101],
        ),
        (
            Packet::Unsuback { packet_id: id(10), codes: &[0, 0x11], properties },
            &[0xB0, 5, 0, 10, 0, 0, 0x11],
        ),
        (ending(ReasonCode::Success), &[0xE0, 0]),
        (ending(ReasonCode::SessionTakenOver), &[0xE0, 1, 0x8E]),
        (Packet::Auth { reason: ReasonCode::Success, properties }, &[0xF0, 0]),
    ];
    for (packet, expected) in spelled {
        let mut bytes = Vec::new();
        packet.encode(Version::V5, &mut bytes);
        assert_eq!(bytes, *expected, "{packet:?}");
        assert_eq!(read(&bytes, Version::V5), Ok(Some((packet.clone(), bytes.len()))));
    }
}

/// What may be left out may also be there.
#[test]
fn endings_may_be_spelled_out() {
    for bytes in [&[0x40, 2, 0, 1][..], &[0x40, 3, 0, 1, 0], &[0x40, 4, 0, 1, 0, 0]] {
        let expected = Packet::Puback(message::Acknowledgement::success(id(1)));
        assert_eq!(read(bytes, Version::V5), Ok(Some((expected, bytes.len()))));
    }
    for bytes in [&[0xE0, 0][..], &[0xE0, 1, 0], &[0xE0, 2, 0, 0]] {
        let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
        let expected = Packet::Disconnect { reason, properties };
        assert_eq!(read(bytes, Version::V5), Ok(Some((expected, bytes.len()))));
    }
}

const ALL: [Place; 14] = [
    Place::Connect,
    Place::Will,
    Place::Connack,
    Place::Publish,
    Place::Puback,
    Place::Pubrec,
    Place::Pubrel,
    Place::Pubcomp,
    Place::Subscribe,
    Place::Suback,
    Place::Unsubscribe,
    Place::Unsuback,
    Place::Disconnect,
    Place::Auth,
];

const EXPLAINED: [Place; 9] = [
    Place::Connack,
    Place::Puback,
    Place::Pubrec,
    Place::Pubrel,
    Place::Pubcomp,
    Place::Suback,
    Place::Unsuback,
    Place::Disconnect,
    Place::Auth,
];

/// Table 2.4, spelled anew: an example of each property, and where it may stand.
const TABLE_2_4: &[(&[u8], &[Place])] = &[
    (&[1, 1], &[Place::Publish, Place::Will]),
    (&[2, 0, 0, 0, 1], &[Place::Publish, Place::Will]),
    (&[3, 0, 0], &[Place::Publish, Place::Will]),
    (&[8, 0, 1, b'r'], &[Place::Publish, Place::Will]),
    (&[9, 0, 0], &[Place::Publish, Place::Will]),
    (&[11, 1], &[Place::Publish, Place::Subscribe]),
    (&[17, 0, 0, 0, 1], &[Place::Connect, Place::Connack, Place::Disconnect]),
    (&[18, 0, 0], &[Place::Connack]),
    (&[19, 0, 0], &[Place::Connack]),
    (&[21, 0, 0], &[Place::Connect, Place::Connack, Place::Auth]),
    (&[22, 0, 0], &[Place::Connect, Place::Connack, Place::Auth]),
    (&[23, 0], &[Place::Connect]),
    (&[24, 0, 0, 0, 0], &[Place::Will]),
    (&[25, 0], &[Place::Connect]),
    (&[26, 0, 0], &[Place::Connack]),
    (&[28, 0, 0], &[Place::Connack, Place::Disconnect]),
    (&[31, 0, 0], &EXPLAINED),
    (&[33, 0, 1], &[Place::Connect, Place::Connack]),
    (&[34, 0, 0], &[Place::Connect, Place::Connack]),
    (&[35, 0, 1], &[Place::Publish]),
    (&[36, 0], &[Place::Connack]),
    (&[37, 0], &[Place::Connack]),
    (&[38, 0, 0, 0, 0], &ALL),
    (&[39, 0, 0, 0, 1], &[Place::Connect, Place::Connack]),
    (&[40, 0], &[Place::Connack]),
    (&[41, 0], &[Place::Connack]),
    (&[42, 0], &[Place::Connack]),
];

/// Every property in every place.
#[test]
fn properties_stand_where_table_2_4_says() {
    for identifier in 0..=u8::MAX {
        if !TABLE_2_4.iter().any(|(bytes, _)| bytes[0] == identifier) {
            let bytes = [identifier, 0, 0, 0, 0, 0];
            assert!(Properties::parse(&bytes, Place::Publish).is_err(), "there is no {identifier}");
        }
    }
    for (bytes, places) in TABLE_2_4 {
        for place in ALL {
            let read = Properties::parse(bytes, place);
            if places.contains(&place) {
                let read = read.unwrap();
                assert_eq!(in_bytes(&read.iter().collect::<Vec<_>>()), *bytes);
                let twice = [*bytes, *bytes].concat();
                let repeats = bytes[0] == 38 || (bytes[0] == 11 && place == Place::Publish);
                let expected = Err(ProtocolError::RepeatedProperty);
                let read = Properties::parse(&twice, place);
                assert_eq!(read.is_ok(), repeats, "{bytes:?} twice in {place:?}");
                assert!(repeats || read == expected, "{bytes:?} twice in {place:?}");
            } else {
                let expected = Err(ProtocolError::MisplacedProperty);
                assert_eq!(read, expected, "{bytes:?} in {place:?}");
            }
        }
    }
}

#[test]
fn reason_codes_are_those_of_table_2_6() {
    let known = (0..=u8::MAX).filter_map(ReasonCode::parse);
    let mut words = BTreeSet::new();
    for code in known {
        assert_eq!(ReasonCode::parse(code.byte()), Some(code));
        assert_eq!(code.is_failure(), code.byte() >= 0x80);
        assert!(words.insert(code.code()), "{} stands twice", code.code());
    }
    assert_eq!(words.len(), 43);
    // The tables of each packet, as ranges of how many they have.
    let count = |place| {
        (0..=u8::MAX).filter_map(ReasonCode::parse).filter(|it| it.may_stand_in(place)).count()
    };
    let counts = [
        (Place::Connack, 22),
        (Place::Puback, 9),
        (Place::Pubrec, 9),
        (Place::Pubrel, 2),
        (Place::Pubcomp, 2),
        (Place::Suback, 12),
        (Place::Unsuback, 7),
        (Place::Disconnect, 30),
        (Place::Auth, 3),
        (Place::Publish, 0),
    ];
    for (place, expected) in counts {
        assert_eq!(count(place), expected, "{place:?}");
    }
}

/// Authentication data is a secret, names may be subscriber numbers.
#[test]
fn properties_print_nothing_they_say() {
    let bytes = in_bytes(&[Property::UserProperty("msisdn", "254711000001")]);
    let printed = format!("{:?}", Properties::parse(&bytes, Place::Connect).unwrap());
    assert_eq!(printed, "Properties(23 bytes)");
}
