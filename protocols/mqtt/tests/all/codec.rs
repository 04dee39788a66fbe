//! The codec both ways: round trips, cuts, arbitrary bytes, and rumqttc as a second opinion.

mod faults;
mod packets;
mod rumqttc;
mod tables;

use crate::desk::{Desk, IMEI, ack, connect, encoded, id, subscribe, unsubscribe};
use ::rumqttc::mqttbytes::{self, v4};
use bytes::BytesMut;
use mqtt::message::{self, Connect, Packet, Publish, PublishDelivery, QoS, Version, Will};
use mqtt::{Properties, ProtocolError, ReasonCode, frame};
use packets::{delivery, packets, qos, text, versions};
use proptest::prelude::*;

const BODY_LEN_MAX: usize = 256 * 1024;

fn decode(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, ProtocolError> {
    read(bytes, Version::V3_1_1)
}

fn read(bytes: &[u8], version: Version) -> Result<Option<(Packet<'_>, usize)>, ProtocolError> {
    match frame::decode(bytes, BODY_LEN_MAX)? {
        None => Ok(None),
        Some((frame, used)) => Ok(Some((message::decode(frame, version)?, used))),
    }
}

/// One of each, with every field that may be absent both ways.
fn samples() -> Vec<Packet<'static>> {
    let properties = Properties::EMPTY;
    let will =
        Will { topic: "w/t", payload: b"gone", qos: QoS::ExactlyOnce, retain: true, properties };
    let full = Connect { will: Some(will), ..connect(IMEI) };
    let bare = Connect {
        username: None,
        password: None,
        clean_session: false,
        keep_alive_s: 0,
        ..connect("b")
    };
    let old = Connect { version: Version::V3_1, ..connect("c") };
    let publish = |delivery, duplicate, retain| {
        Packet::Publish(Publish {
            duplicate,
            delivery,
            retain,
            topic: "a/é",
            payload: b"\0\xFF",
            properties,
        })
    };
    vec![
        Packet::Connect(Box::new(full)),
        Packet::Connect(Box::new(bare)),
        Packet::Connect(Box::new(old)),
        Packet::Connack { session_present: true, code: 0, properties },
        Packet::Connack { session_present: false, code: 5, properties },
        publish(PublishDelivery::AtMostOnce, false, true),
        publish(PublishDelivery::AtLeastOnce(id(1)), true, false),
        publish(PublishDelivery::ExactlyOnce(id(65_535)), false, false),
        Packet::Puback(ack(258)),
        Packet::Pubrec(ack(1)),
        Packet::Pubrel(ack(1)),
        Packet::Pubcomp(ack(1)),
        subscribe(10, vec![("a/b", QoS::AtLeastOnce), ("c/d", QoS::ExactlyOnce)]),
        Packet::Suback { packet_id: id(10), codes: &[0, 2, 0x80], properties },
        unsubscribe(10, vec!["a/b", "c/d"]),
        Packet::Unsuback { packet_id: id(10), codes: &[], properties },
        Packet::Pingreq,
        Packet::Pingresp,
        Packet::Disconnect { reason: ReasonCode::Success, properties },
    ]
}

#[test]
fn each_packet_round_trips_and_each_cut_waits() {
    for packet in samples() {
        let bytes = encoded(&packet);
        assert_eq!(decode(&bytes), Ok(Some((packet.clone(), bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Ok(None), "{packet:?} cut at {cut}");
        }
        // The same body announced shorter by any number of bytes is never read past its end.
        let body = &bytes[2..];
        for len in 0..body.len() {
            let shorter = frame::Frame { head: bytes[0], body: &body[..len], is_overlong: false };
            if let Ok(read) = message::decode(shorter, Version::V3_1_1) {
                assert!(encoded(&read).len() <= bytes.len(), "{packet:?} shortened to {len}");
            }
        }
    }
}

/// The examples of figures 3.6, 3.11, 3.23 and 3.26, and table 3.5.
#[test]
fn known_packets_are_spelled_as_the_standard_says() {
    let connect = [
        0x10,
        24,
        0,
        4,
        b'M',
        b'Q',
        b'T',
        b'T',
        4,
        0b1100_1110,
        0,
        10, // figure 3.6
        0,
        1,
        b'c',
        0,
        1,
        b'w',
        0,
        1,
        b'!',
        0,
        1,
        b'u',
        0,
        0,
    ];
    let Ok(Some((Packet::Connect(read), 26))) = decode(&connect[..26]) else { panic!() };
    assert_eq!((read.keep_alive_s, read.clean_session), (10, true));
    assert_eq!(read.will.map(|will| (will.qos, will.retain)), Some((QoS::AtLeastOnce, false)));
    assert_eq!((read.username, read.password), (Some("u"), Some(&b""[..])));

    let publish = [0x32, 7, 0, 3, b'a', b'/', b'b', 0, 10];
    let Ok(Some((Packet::Publish(read), _))) = decode(&publish) else { panic!() };
    assert_eq!((read.topic, read.delivery), ("a/b", PublishDelivery::AtLeastOnce(id(10))));
    assert!(read.payload.is_empty());

    let subscribe = [0x82, 14, 0, 10, 0, 3, b'a', b'/', b'b', 1, 0, 3, b'c', b'/', b'd', 2];
    assert!(samples().iter().any(|packet| encoded(packet) == subscribe), "figure 3.23");
    let suback = [0x90, 5, 0, 10, 0, 2, 0x80];
    assert!(samples().iter().any(|packet| encoded(packet) == suback), "figure 3.26");
}

/// MQTT 3.1, 2.1: DUP may stand on these; in 3.1.1 the bit is reserved.
#[test]
fn mqtt_3_1_repeats_with_dup() {
    for bytes in
        [&[0x8A, 6, 0, 1, 0, 1, b'a', 0][..], &[0xAA, 5, 0, 1, 0, 1, b'a'], &[0x6A, 2, 0, 1]]
    {
        let (frame, _) = frame::decode(bytes, BODY_LEN_MAX).unwrap().unwrap();
        assert!(message::decode(frame, Version::V3_1).is_ok(), "{bytes:02X?}");
        let refused = Err(ProtocolError::ReservedFlags);
        assert_eq!(message::decode(frame, Version::V3_1_1), refused, "{bytes:02X?}");
    }
}

fn theirs(bytes: &[u8]) -> Result<v4::Packet, mqttbytes::Error> {
    v4::Packet::read(&mut BytesMut::from(bytes), BODY_LEN_MAX)
}

/// Their reading of a packet, in our words, as far as both say the same.
fn in_our_words(packet: &v4::Packet) -> String {
    match packet {
        v4::Packet::Connect(it) => {
            let will = it.last_will.as_ref();
            let will = will.map(|will| (&*will.topic, &*will.message, will.qos as u8, will.retain));
            // They take an absent user name and an empty one for the same.
            let login = it.login.as_ref();
            let username = login.map_or("", |login| &login.username);
            let password = login.map_or(&b""[..], |login| login.password.as_bytes());
            let (id, clean) = (&it.client_id, it.clean_session);
            format!("connect {id} {clean} {} {will:?} {username} {password:?}", it.keep_alive)
        }
        v4::Packet::ConnAck(it) => format!("connack {} {}", it.session_present, it.code as u8),
        v4::Packet::Publish(it) => {
            let (qos, id, topic, payload) = (it.qos as u8, it.pkid, &it.topic, &it.payload);
            format!("publish {} {qos} {} {id} {topic} {:?}", it.dup, it.retain, &payload[..])
        }
        v4::Packet::PubAck(it) => format!("puback {}", it.pkid),
        v4::Packet::PubRec(it) => format!("pubrec {}", it.pkid),
        v4::Packet::PubRel(it) => format!("pubrel {}", it.pkid),
        v4::Packet::PubComp(it) => format!("pubcomp {}", it.pkid),
        v4::Packet::Subscribe(it) => {
            let filters = it.filters.iter();
            let filters: Vec<_> = filters.map(|it| (&*it.path, it.qos as u8)).collect();
            format!("subscribe {} {filters:?}", it.pkid)
        }
        v4::Packet::SubAck(it) => {
            let codes = it.return_codes.iter().map(|code| match code {
                v4::SubscribeReasonCode::Success(qos) => *qos as u8,
                v4::SubscribeReasonCode::Failure => 0x80,
            });
            format!("suback {} {:?}", it.pkid, codes.collect::<Vec<_>>())
        }
        v4::Packet::Unsubscribe(it) => format!("unsubscribe {} {:?}", it.pkid, it.topics),
        v4::Packet::UnsubAck(it) => format!("unsuback {}", it.pkid),
        v4::Packet::PingReq => "pingreq".to_owned(),
        v4::Packet::PingResp => "pingresp".to_owned(),
        v4::Packet::Disconnect => "disconnect".to_owned(),
    }
}

fn in_words(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(it) => {
            let will = it.will.as_ref();
            let will = will.map(|will| (will.topic, will.payload, will.qos.level(), will.retain));
            let (username, password) = (it.username.unwrap_or(""), it.password.unwrap_or(b""));
            let (id, clean) = (it.client_id, it.clean_session);
            format!("connect {id} {clean} {} {will:?} {username} {password:?}", it.keep_alive_s)
        }
        Packet::Connack { session_present, code, .. } => {
            format!("connack {session_present} {code}")
        }
        Packet::Publish(it) => {
            let (qos, packet_id) = match it.delivery {
                PublishDelivery::AtMostOnce => (0, 0),
                PublishDelivery::AtLeastOnce(packet_id) => (1, packet_id.get()),
                PublishDelivery::ExactlyOnce(packet_id) => (2, packet_id.get()),
            };
            let (dup, retain, topic) = (it.duplicate, it.retain, it.topic);
            format!("publish {dup} {qos} {retain} {packet_id} {topic} {:?}", it.payload)
        }
        Packet::Puback(it) => format!("puback {}", it.packet_id),
        Packet::Pubrec(it) => format!("pubrec {}", it.packet_id),
        Packet::Pubrel(it) => format!("pubrel {}", it.packet_id),
        Packet::Pubcomp(it) => format!("pubcomp {}", it.packet_id),
        Packet::Subscribe { packet_id, filters, .. } => {
            let filters: Vec<_> = filters.iter().map(|(it, qos)| (*it, qos.qos.level())).collect();
            format!("subscribe {packet_id} {filters:?}")
        }
        Packet::Suback { packet_id, codes, .. } => format!("suback {packet_id} {codes:?}"),
        Packet::Unsubscribe { packet_id, filters, .. } => {
            format!("unsubscribe {packet_id} {filters:?}")
        }
        Packet::Unsuback { packet_id, .. } => format!("unsuback {packet_id}"),
        Packet::Pingreq => "pingreq".to_owned(),
        Packet::Pingresp => "pingresp".to_owned(),
        Packet::Auth { .. } => "auth".to_owned(),
        Packet::Disconnect { .. } => "disconnect".to_owned(),
    }
}

#[test]
fn rumqttc_reads_what_we_write() {
    for packet in samples() {
        if matches!(&packet, Packet::Connect(it) if it.version == Version::V3_1) {
            continue; // they speak 3.1.1 only
        }
        let read = theirs(&encoded(&packet)).unwrap_or_else(|error| panic!("{packet:?}: {error}"));
        assert_eq!(in_our_words(&read), in_words(&packet));
    }
}

proptest! {
    /// Read as it was written (the strategy sees to that), written as it was read, and never read
    /// before it is whole.
    #[test]
    fn every_packet_of_every_version_round_trips(
        (version, bytes) in versions().prop_flat_map(|it| (Just(it), packets(it))),
        cut in any::<prop::sample::Index>(),
    ) {
        let (packet, _) = read(&bytes, version).unwrap().unwrap();
        let mut again = Vec::new();
        packet.encode(version, &mut again);
        prop_assert_eq!(&again, &bytes);
        prop_assert_eq!(read(&bytes[..cut.index(bytes.len())], version), Ok(None));
    }

    #[test]
    fn publishes_agree_with_rumqttc(
        topic in text(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        delivery in delivery(),
        flags in any::<(bool, bool)>(),
    ) {
        let duplicate = flags.0 && delivery.qos() != QoS::AtMostOnce;
        let publish =
            Publish { duplicate, delivery, retain: flags.1, topic: &topic, payload: &payload, properties: Properties::EMPTY };
        let packet = Packet::Publish(publish);
        let bytes = encoded(&packet);
        prop_assert_eq!(decode(&bytes), Ok(Some((packet.clone(), bytes.len()))));
        prop_assert_eq!(in_our_words(&theirs(&bytes).unwrap()), in_words(&packet));
        let body_len = message::publish_len(&topic, delivery.qos(), Properties::EMPTY, payload.len(), Version::V3_1_1);
        prop_assert_eq!(frame::announced(&bytes, BODY_LEN_MAX), Ok(Some(bytes.len())));
        prop_assert!(bytes.ends_with(&payload) && bytes.len() > body_len);
    }

    #[test]
    fn connects_agree_with_rumqttc(
        client_id in text(),
        keep_alive_s in any::<u16>(),
        clean_session in any::<bool>(),
        login in prop::option::of((text(), prop::option::of("[ -~]{0,20}"))),
        will in prop::option::of((text(), prop::collection::vec(any::<u8>(), 0..20), qos(), any::<bool>())),
    ) {
        let packet = Packet::Connect(Box::new(Connect {
            version: Version::V3_1_1,
            clean_session,
            keep_alive_s,
            client_id: &client_id,
            will: will.as_ref().map(|(topic, payload, qos, retain)| {
                Will { topic, payload, qos: *qos, retain: *retain, properties: Properties::EMPTY }
            }),
            username: login.as_ref().map(|(username, _)| &**username),
            password: login.as_ref().and_then(|(_, word)| word.as_deref()).map(str::as_bytes),
            properties: Properties::EMPTY,
        }));
        let bytes = encoded(&packet);
        prop_assert_eq!(decode(&bytes), Ok(Some((packet.clone(), bytes.len()))));
        prop_assert_eq!(in_our_words(&theirs(&bytes).unwrap()), in_words(&packet));
    }

    #[test]
    fn subscriptions_agree_with_rumqttc(
        filters in prop::collection::vec((text(), qos()), 1..20),
        number in 1..=u16::MAX,
    ) {
        let both = [
            subscribe(number, filters.iter().map(|(filter, qos)| (&**filter, *qos)).collect()),
            unsubscribe(number, filters.iter().map(|(filter, _)| &**filter).collect()),
        ];
        for packet in both {
            let bytes = encoded(&packet);
            prop_assert_eq!(decode(&bytes), Ok(Some((packet.clone(), bytes.len()))));
            prop_assert_eq!(in_our_words(&theirs(&bytes).unwrap()), in_words(&packet));
        }
    }

    /// Whatever arrives: no panic; and what is read is written the same.
    #[test]
    fn arbitrary_bytes_read_and_written_agree(
        version in versions(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        read_again(&bytes, version);
    }

    /// The same of packets with a few bytes changed, which get further.
    #[test]
    fn mutated_packets_read_and_written_agree(
        (version, bytes) in versions().prop_flat_map(|it| (Just(it), packets(it))),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes;
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        read_again(&bytes, version);
    }

    /// A good conversation with a few bytes changed: no panic, and cut anywhere it reads the same.
    #[test]
    fn mutated_conversations_never_panic_and_do_not_care_for_cuts(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = samples()[1..2].iter().chain(&samples()[5..]).flat_map(encoded).collect();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let cut = cut.index(bytes.len());
        let whole = converse(&[&bytes]);
        prop_assert_eq!(whole, converse(&[&bytes[..cut], &bytes[cut..]]));
    }
}

fn read_again(bytes: &[u8], version: Version) {
    let Ok(Some((packet, used))) = read(bytes, version) else { return };
    let version = if let Packet::Connect(it) = &packet { it.version } else { version };
    let mut again = Vec::new();
    packet.encode(version, &mut again);
    assert_eq!(read(&again, version), Ok(Some((packet, again.len()))), "{bytes:02X?}");
    // Only what may be left out, or a length, may have been spelled longer than needed.
    assert!(again.len() <= used, "{bytes:02X?}");
}

/// Sends the pieces as a socket would, commits all at once, and tells what came of it. Not what was
/// written: an answer that waits for a commit is not given to who is gone by then.
fn converse(pieces: &[&[u8]]) -> String {
    let options = mqtt::Options { unsettled_max: 3, ..mqtt::Options::default() };
    let mut desk = Desk::with(options);
    let mut unread = Vec::new();
    let mut happened = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let taken = desk.bytes(&unread);
            unread.drain(..taken);
            let was_asked = desk.asked.take().is_some();
            if was_asked {
                let open = mqtt::Grant {
                    acl: std::sync::Arc::new(mqtt::Acl::open()),
                    ..crate::desk::grant()
                };
                desk.session.authenticated(open, desk.now);
                desk.drain();
            }
            happened.extend(desk.happened());
            let owed = !desk.facts.is_empty();
            desk.commit();
            desk.written();
            if taken == 0 && !was_asked && !owed {
                break;
            }
        }
    }
    format!("{happened:?} {:?} {:?}", desk.closed, desk.refusals)
}
