//! What MQTT 5.0 adds between client and server, packet by packet.

use crate::desk::{Desk, IMEI, connect, grant, id, persisting, program, properties, publish};
use model::Fact;
use mqtt::message::{
    Acknowledgement, Connect, Packet, Publish, PublishDelivery, QoS, RetainHandling,
    SubscriptionOptions, Version, Will, decode,
};
use mqtt::{
    CloseReason, ConnackCode, Grant, Options, Place, Properties, Property, ProtocolError,
    ReasonCode, Refusal, frame,
};
use proptest::prelude::*;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// The packets among `bytes`, in few words: the type, then what is asked for.
fn packets(bytes: &[u8]) -> Vec<Packet<'_>> {
    let (mut rest, mut found) = (bytes, Vec::new());
    while let Some((frame, len)) = frame::decode(rest, 1 << 20).unwrap() {
        found.push(decode(frame, Version::V5).unwrap());
        rest = &rest[len..];
    }
    assert!(rest.is_empty());
    found
}

fn parsed(bytes: &[u8], place: Place) -> Properties<'_> {
    Properties::parse(bytes, place).unwrap()
}

/// A client that has said these properties in CONNECT, and is welcome.
fn welcome(said: &[Property<'_>], grant: Grant) -> Desk {
    let said = properties(said);
    let packet = Connect { properties: parsed(&said, Place::Connect), ..connect(IMEI) };
    Desk::v5(&packet, grant)
}

fn told(bytes: &[u8]) -> Vec<Property<'_>> {
    match packets(bytes)[..] {
        [Packet::Connack { code: 0, properties, .. }] => properties.iter().collect(),
        ref other => panic!("{other:?}"),
    }
}

fn disconnected(bytes: &[u8]) -> ReasonCode {
    match packets(bytes).pop() {
        Some(Packet::Disconnect { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn five() -> Desk {
    let mut desk = welcome(&[], grant());
    desk.written();
    desk
}

#[test]
fn connack_says_what_is_other_than_asked() {
    let mut desk = welcome(&[], grant());
    let written = desk.written();
    let limits = [
        Property::ReceiveMaximum(NonZeroU16::new(100).unwrap()),
        Property::MaximumPacketSize(NonZeroU32::new(256 * 1024).unwrap()),
        Property::TopicAliasMaximum(16),
    ];
    assert_eq!(told(&written), limits);

    let asks = [Property::SessionExpiry(u32::MAX), Property::RequestResponseInformation(true)];
    let mut desk = welcome(&asks, persisting(None));
    let written = desk.written();
    let said = told(&written);
    assert!(said.contains(&Property::SessionExpiry(86_400)));
    let prefix = format!("boards/{IMEI}/down/");
    assert!(said.contains(&Property::ResponseInformation(&prefix)));
}

#[test]
fn a_keep_alive_that_is_not_held_is_said() {
    let options = Options { keep_alive_max: Duration::from_secs(60), ..Options::default() };
    for (asked_s, said_s) in [(120, Some(60)), (0, Some(60)), (60, None), (5, None)] {
        let packet = Connect { keep_alive_s: asked_s, ..connect(IMEI) };
        let mut desk = Desk::v5_with(options.clone(), &packet, grant());
        let written = desk.written();
        let said = told(&written).into_iter().find_map(|property| match property {
            Property::ServerKeepAlive(seconds) => Some(seconds),
            _ => None,
        });
        assert_eq!(said, said_s, "{asked_s} s");
    }
}

#[test]
fn a_client_without_a_name_is_given_one() {
    for clean_session in [true, false] {
        let named = Grant { assigned_client_id: Some("given".into()), ..grant() };
        let packet = Connect { clean_session, ..connect("") };
        let mut desk = Desk::v5(&packet, named);
        let written = desk.written();
        assert!(told(&written).contains(&Property::AssignedClientId("given")));
        desk.send(&publish("boards/given/up/t", PublishDelivery::AtMostOnce, b""));
        assert_eq!((desk.closed, desk.refusals.len()), (None, 0), "it is one of its names");
    }
}

#[test]
fn a_connect_that_cannot_be_read_is_told_why() {
    let mut desk = Desk::new();
    // Session expiry stands twice.
    let said = properties(&[Property::SessionExpiry(1), Property::SessionExpiry(2)]);
    let mut bytes = vec![0x10, 0];
    bytes.extend_from_slice(b"\0\x04MQTT\x05\x02\0\x3C");
    bytes.push(u8::try_from(said.len()).unwrap());
    bytes.extend_from_slice(&said);
    bytes.extend_from_slice(b"\0\x01a");
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    desk.bytes(&bytes);
    assert_eq!(desk.closed, Some(CloseReason::Protocol(ProtocolError::RepeatedProperty)));
    let written = desk.written();
    let found = packets(&written);
    assert!(matches!(found[..], [Packet::Connack { code: 0x82, .. }]), "{found:?}");
}

#[test]
fn authentication_beyond_a_password_is_refused() {
    let mut desk = Desk::new();
    let said = properties(&[Property::AuthenticationMethod("SCRAM-SHA-1")]);
    let packet = Connect {
        version: Version::V5,
        properties: parsed(&said, Place::Connect),
        ..connect(IMEI)
    };
    desk.send(&Packet::Connect(Box::new(packet)));
    assert_eq!(desk.written(), [0x20, 3, 0, 0x8C, 0]);
    assert_eq!(desk.closed, Some(CloseReason::Refused(ConnackCode::BadAuthenticationMethod)));

    let mut desk = five();
    let said = properties(&[Property::AuthenticationMethod("SCRAM-SHA-1")]);
    let reason = ReasonCode::Reauthenticate;
    desk.send(&Packet::Auth { reason, properties: parsed(&said, Place::Auth) });
    assert_eq!(disconnected(&desk.written()), ReasonCode::BadAuthenticationMethod);
}

#[test]
fn refusals_have_words_in_both() {
    for (code, old, new) in [
        (ConnackCode::UnacceptableVersion, 1, 0x84),
        (ConnackCode::IdentifierRejected, 2, 0x85),
        (ConnackCode::ServerUnavailable, 3, 0x88),
        (ConnackCode::QuotaExceeded, 3, 0x97),
        (ConnackCode::ConnectionRateExceeded, 3, 0x9F),
        (ConnackCode::BadCredentials, 4, 0x86),
        (ConnackCode::NotAuthorised, 5, 0x87),
        (ConnackCode::BadAuthenticationMethod, 5, 0x8C),
    ] {
        for version in [Version::V3_1_1, Version::V5] {
            let mut desk = Desk::new();
            desk.send(&Packet::Connect(Box::new(Connect { version, ..connect(IMEI) })));
            desk.session.refused(code, desk.now);
            desk.drain();
            let expected: &[u8] = match version {
                Version::V5 => &[0x20, 3, 0, new, 0],
                Version::V3_1 | Version::V3_1_1 => &[0x20, 2, 0, old],
            };
            assert_eq!(desk.written(), expected, "{code:?} {version:?}");
        }
    }
}

#[test]
fn every_end_of_ours_is_told() {
    for (reason, code) in [
        (CloseReason::TakenOver, ReasonCode::SessionTakenOver),
        (CloseReason::Shutdown, ReasonCode::ServerShuttingDown),
        (CloseReason::KeepAlive, ReasonCode::KeepAliveTimeout),
        (CloseReason::StoreFull, ReasonCode::QuotaExceeded),
        (CloseReason::TooSlow, ReasonCode::QuotaExceeded),
        (CloseReason::NotAuthorised, ReasonCode::NotAuthorised),
        (CloseReason::Administrative, ReasonCode::AdministrativeAction),
        (ProtocolError::BadTopic.into(), ReasonCode::TopicNameInvalid),
    ] {
        let mut desk = five();
        desk.close(reason);
        assert_eq!(disconnected(&desk.written()), code, "{reason:?}");
        let mut old = Desk::connected();
        old.close(reason);
        assert!(old.written().is_empty(), "3.x has no such packet");
    }
    let mut desk = five();
    desk.close(CloseReason::Lost);
    assert!(desk.written().is_empty());
}

#[test]
fn each_fault_is_told_by_its_code() {
    for (bytes, code) in [
        (&[0x30, 4, 0, 1, b'+', 0][..], ReasonCode::TopicNameInvalid),
        (&[0x82, 7, 0, 1, 0, 0, 1, b'#', 3], ReasonCode::ProtocolError),
        (
            &[0x82, 11, 0, 1, 0, 0, 5, b'a', b'/', b'#', b'/', b'b', 0],
            ReasonCode::TopicFilterInvalid,
        ),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], ReasonCode::PacketTooLarge),
        (&[0x36, 6, 0, 1, b'a', 0, 1, 0], ReasonCode::MalformedPacket),
        (&[0x30, 3, 0, 0, 0], ReasonCode::ProtocolError),
        (&[0x30, 7, 0, 1, b'a', 3, 35, 0, 0], ReasonCode::TopicAliasInvalid),
        (&[0x30, 6, 0, 1, b'a', 2, 11, 1], ReasonCode::MalformedPacket),
    ] {
        let mut desk = five();
        desk.bytes(bytes);
        assert_eq!(disconnected(&desk.written()), code, "{bytes:02X?}");
    }
}

#[test]
fn a_reason_string_is_said_to_who_wants_it() {
    let refuse = |said: &[Property<'_>]| {
        let mut desk = welcome(said, grant());
        desk.written();
        desk.send(&publish("elsewhere", PublishDelivery::AtLeastOnce(id(7)), b""));
        assert_eq!((desk.closed, &desk.refusals[..]), (None, &[Refusal::Publish][..]));
        desk.written()
    };
    let long = refuse(&[]);
    match packets(&long)[..] {
        [Packet::Puback(Acknowledgement { reason, properties, .. })] => {
            assert_eq!(reason, ReasonCode::NotAuthorised);
            assert!(matches!(properties.iter().next(), Some(Property::ReasonString(_))));
        }
        ref other => panic!("{other:?}"),
    }
    let bare = [0x40, 3, 0, 7, 0x87];
    assert_eq!(refuse(&[Property::RequestProblemInformation(false)]), bare);
    let short = NonZeroU32::new(20).unwrap();
    assert_eq!(refuse(&[Property::MaximumPacketSize(short)]), bare, "it would be too long");
}

#[test]
fn a_refused_publish_is_answered_in_its_turn() {
    let mut desk = five();
    desk.publish(1, b"1");
    desk.send(&publish("elsewhere", PublishDelivery::AtLeastOnce(id(2)), b""));
    desk.send(&publish("elsewhere", PublishDelivery::ExactlyOnce(id(3)), b""));
    desk.send(&publish("elsewhere", PublishDelivery::AtMostOnce, b""));
    desk.publish(4, b"1");
    assert!(desk.written().is_empty());
    desk.commit();
    let written = desk.written();
    let answered = packets(&written).into_iter().map(|packet| match packet {
        Packet::Puback(it) => (1, it.packet_id.get(), it.reason.byte()),
        Packet::Pubrec(it) => (2, it.packet_id.get(), it.reason.byte()),
        other => panic!("{other:?}"),
    });
    let answered: Vec<_> = answered.collect();
    assert_eq!(answered, [(1, 1, 0), (1, 2, 0x87), (2, 3, 0x87), (1, 4, 0)]);
    assert_eq!(desk.refusals.len(), 3);
}

#[test]
fn more_than_the_receive_maximum_ends_the_connection() {
    let options = Options { receive_max: 2, ..Options::default() };
    for exactly_once in [false, true] {
        let mut desk = Desk::v5_with(options.clone(), &connect(IMEI), grant());
        desk.written();
        for packet_id in 1..=3 {
            assert_eq!(desk.closed, None);
            let delivery = if exactly_once {
                PublishDelivery::ExactlyOnce(id(packet_id))
            } else {
                PublishDelivery::AtLeastOnce(id(packet_id))
            };
            desk.send(&publish("customer_mngt", delivery, b""));
        }
        assert_eq!(disconnected(&desk.written()), ReasonCode::ReceiveMaximumExceeded);
    }
    // What is answered counts no more.
    let mut desk = Desk::v5_with(options, &connect(IMEI), grant());
    for round in 0..3 {
        desk.publish(1, b"1");
        desk.send(&publish("elsewhere", PublishDelivery::AtLeastOnce(id(2)), b""));
        desk.send(&publish("customer_mngt", PublishDelivery::ExactlyOnce(id(3)), b""));
        desk.commit();
        desk.send(&Packet::Pubrel(Acknowledgement::success(id(3))));
        assert_eq!(desk.closed, None, "round {round}");
    }
}

#[test]
fn pubrel_for_nothing_is_answered_so() {
    let mut desk = five();
    desk.send(&Packet::Pubrel(Acknowledgement::success(id(9))));
    assert_eq!(desk.written(), [0x70, 3, 0, 9, 0x92]);
}

fn aliased(desk: &mut Desk, topic: &str, alias: u16) {
    let said = properties(&[Property::TopicAlias(NonZeroU16::new(alias).unwrap())]);
    desk.send(&Packet::Publish(Publish {
        duplicate: false,
        delivery: PublishDelivery::AtMostOnce,
        retain: false,
        topic,
        payload: b"1",
        properties: parsed(&said, Place::Publish),
    }));
}

#[test]
fn a_topic_may_be_named_by_a_number() {
    let mut desk = five();
    let own = format!("boards/{IMEI}/up/t");
    aliased(&mut desk, &own, 16);
    aliased(&mut desk, "", 16);
    aliased(&mut desk, "customer_mngt", 16);
    aliased(&mut desk, "", 16);
    let topics = desk.facts.iter().map(|(_, fact)| match fact {
        Fact::Event(event) => mqtt::topic_of(event).unwrap().into_owned(),
        Fact::Command(change) => panic!("{change:?}"),
    });
    let topics: Vec<_> = topics.collect();
    assert_eq!(topics, [&*own, &own, "customer_mngt", "customer_mngt"]);

    for (topic, alias) in [("", 1), ("customer_mngt", 17)] {
        let mut desk = five();
        aliased(&mut desk, topic, alias);
        assert_eq!(disconnected(&desk.written()), ReasonCode::TopicAliasInvalid, "{alias}");
    }
}

fn subscribe_as(desk: &mut Desk, filter: &str, options: SubscriptionOptions) -> Vec<u8> {
    desk.send(&Packet::Subscribe {
        packet_id: id(1),
        filters: vec![(filter, options)],
        properties: Properties::EMPTY,
    });
    let written = desk.written();
    match packets(&written)[..] {
        [Packet::Suback { codes, .. }] => codes.to_vec(),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn suback_says_why() {
    let options = Options { subscriptions_max: 1, ..Options::default() };
    let mut desk = Desk::v5_with(options, &connect(IMEI), grant());
    desk.written();
    let qos_2 = SubscriptionOptions::new(QoS::ExactlyOnce);
    assert_eq!(subscribe_as(&mut desk, "boards/1/down/#", qos_2), [0x87]);
    assert_eq!(subscribe_as(&mut desk, "#", qos_2), [2]);
    assert_eq!(subscribe_as(&mut desk, "boards/+/down/#", qos_2), [0x97]);
    desk.send(&Packet::Unsubscribe {
        packet_id: id(2),
        filters: vec!["#", "never"],
        properties: Properties::EMPTY,
    });
    assert_eq!(desk.written(), [0xB0, 5, 0, 2, 0, 0, 0x11]);
    assert_eq!(desk.ungranted, ["#".into()]);
}

#[test]
fn retained_messages_are_wanted_as_retain_handling_says() {
    let mut desk = five();
    let mut wanted = |handling, filter: &str| {
        let options = SubscriptionOptions {
            retain_handling: handling,
            ..SubscriptionOptions::new(QoS::AtLeastOnce)
        };
        subscribe_as(&mut desk, filter, options);
        let granted = desk.granted.pop().unwrap();
        (granted.is_new, granted.wants_retained)
    };
    assert_eq!(wanted(RetainHandling::SendIfNew, "#"), (true, true));
    assert_eq!(wanted(RetainHandling::SendIfNew, "#"), (false, false));
    assert_eq!(wanted(RetainHandling::Send, "#"), (false, true));
    assert_eq!(wanted(RetainHandling::DoNotSend, "+/#"), (true, false));
    assert_eq!(wanted(RetainHandling::Send, "$share/g/#"), (true, false), "4.8.2");
}

#[test]
fn shared_filters_are_told_and_checked() {
    let mut desk = five();
    let plain = SubscriptionOptions::new(QoS::AtLeastOnce);
    assert_eq!(subscribe_as(&mut desk, "$share/g/boards/+/down/#", plain), [1]);
    let filter = desk.granted.pop().unwrap().filter;
    assert_eq!(mqtt::split_shared(&filter), Some(("g", "boards/+/down/#")));
    assert_eq!(subscribe_as(&mut desk, "$share/g/boards/1/down/#", plain), [0x87]);
    for filter in ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/g/a#"] {
        let mut desk = five();
        desk.send(&Packet::Subscribe {
            packet_id: id(1),
            filters: vec![(filter, plain)],
            properties: Properties::EMPTY,
        });
        let reason = disconnected(&desk.written());
        assert_eq!(reason, ReasonCode::TopicFilterInvalid, "{filter}");
    }
}

/// Has a place for one subscription, and counts who asks.
#[derive(Debug, Default)]
struct OnePlace(std::sync::atomic::AtomicU32);

impl mqtt::SharedPlaces for OnePlace {
    fn take(&self, filter: &str) -> bool {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        filter == "$share/g/a"
    }
}

#[test]
fn a_shared_subscription_without_a_place_is_refused() {
    let places = std::sync::Arc::new(OnePlace::default());
    let shares: Option<std::sync::Arc<dyn mqtt::SharedPlaces>> = Some(places.clone());
    let mut desk = Desk::v5(&connect("p"), Grant { shares: shares.clone(), ..program() });
    desk.written();
    let plain = SubscriptionOptions::new(QoS::AtLeastOnce);
    assert_eq!(subscribe_as(&mut desk, "$share/g/a", plain), [1]);
    assert_eq!(subscribe_as(&mut desk, "$share/g/a", plain), [1], "it has its place");
    assert_eq!(subscribe_as(&mut desk, "$share/g/b", plain), [0x97]);
    assert_eq!(subscribe_as(&mut desk, "b", plain), [1]);
    assert_eq!(places.0.load(std::sync::atomic::Ordering::Relaxed), 2, "asked for what is new");
    assert_eq!(desk.refusals, [Refusal::SharedLimit]);
    assert_eq!(desk.session.state().subscriptions.len(), 2);

    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect("p"))));
    desk.session.authenticated(Grant { shares, ..program() }, desk.now);
    desk.drain();
    desk.commit();
    desk.written();
    desk.send(&crate::desk::subscribe(1, vec![("$share/g/b", QoS::AtLeastOnce)]));
    assert_eq!(desk.written(), [0x90, 3, 0, 1, 0x80]);
}

#[test]
fn a_goodbye_may_ask_for_the_will() {
    let will = Will {
        topic: "customer_mngt",
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::EMPTY,
    };
    for (reason, happened) in [
        (ReasonCode::Success, &["device.disconnected"][..]),
        (ReasonCode::DisconnectWithWill, &["will.published", "device.disconnected"]),
    ] {
        let mut desk = Desk::v5(&Connect { will: Some(will), ..connect(IMEI) }, grant());
        desk.written();
        desk.send(&Packet::Disconnect { reason, properties: Properties::EMPTY });
        assert_eq!(desk.happened(), happened);
        assert!(desk.written().is_empty(), "who said goodbye is not answered");
    }
}

#[test]
fn a_program_publishes_messages_and_is_no_device() {
    let mut desk = Desk::v5(&connect("billing-1"), program());
    assert!(desk.happened().is_empty(), "its coming is no event");
    desk.written();
    for topic in ["a/b", "$a/b"] {
        desk.send(&publish(topic, PublishDelivery::AtMostOnce, b"1"));
    }
    assert_eq!(desk.happened(), ["message.published"; 2]);
    let Fact::Event(event) = &desk.facts[0].1 else { panic!() };
    assert_eq!(event.device.as_str(), "program:billing");
    let data = r#"{"topic":"a/b","qos":0,"client_id":"billing-1","payload":1}"#;
    assert_eq!(event.data.as_str(), data);
    for topic in ["$SYS/x", "$share/g/x", "test/nosubscribe"] {
        desk.send(&publish(topic, PublishDelivery::AtMostOnce, b"1"));
    }
    assert_eq!((desk.facts.len(), desk.refusals.len()), (2, 3));
    let plain = SubscriptionOptions::new(QoS::ExactlyOnce);
    assert_eq!(subscribe_as(&mut desk, "test/nosubscribe", plain), [0x87]);
    assert_eq!(subscribe_as(&mut desk, "$share/g/test/nosubscribe", plain), [0x87]);
    assert_eq!(subscribe_as(&mut desk, "#", plain), [2]);
    desk.close(CloseReason::Lost);
    assert_eq!(desk.facts.len(), 2, "nor is its going");
}

/// All a client of 5.0 may send, its CONNECT first.
fn conversation() -> Vec<u8> {
    let connects = properties(&[
        Property::SessionExpiry(60),
        Property::ReceiveMaximum(NonZeroU16::new(3).unwrap()),
        Property::TopicAliasMaximum(2),
        Property::RequestResponseInformation(true),
    ]);
    let publishes = properties(&[
        Property::TopicAlias(NonZeroU16::MIN),
        Property::MessageExpiry(60),
        Property::UserProperty("a", "b"),
    ]);
    let subscribes = properties(&[Property::SubscriptionIdentifier(300)]);
    let leaves = properties(&[Property::SessionExpiry(5)]);
    let options = SubscriptionOptions::new(QoS::ExactlyOnce);
    let message = |topic: &'static str, delivery| Publish {
        duplicate: false,
        delivery,
        retain: true,
        topic,
        payload: b"{}",
        properties: parsed(&publishes, Place::Publish),
    };
    let packets = [
        Packet::Connect(Box::new(Connect {
            version: Version::V5,
            properties: parsed(&connects, Place::Connect),
            ..connect("p")
        })),
        Packet::Publish(message("a/b", PublishDelivery::AtLeastOnce(id(1)))),
        Packet::Publish(message("", PublishDelivery::ExactlyOnce(id(2)))),
        Packet::Publish(message("test/nosubscribe", PublishDelivery::AtMostOnce)),
        Packet::Pubrel(Acknowledgement::success(id(2))),
        Packet::Subscribe {
            packet_id: id(3),
            filters: vec![("#", options), ("$share/g/a", options)],
            properties: parsed(&subscribes, Place::Subscribe),
        },
        Packet::Puback(Acknowledgement::new(id(1), ReasonCode::QuotaExceeded)),
        Packet::Pubrec(Acknowledgement::success(id(1))),
        Packet::Pubcomp(Acknowledgement::success(id(1))),
        Packet::Unsubscribe { packet_id: id(4), filters: vec!["#"], properties: Properties::EMPTY },
        Packet::Pingreq,
        Packet::Disconnect {
            reason: ReasonCode::DisconnectWithWill,
            properties: parsed(&leaves, Place::Disconnect),
        },
    ];
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(Version::V5, &mut bytes));
    bytes
}

/// Sends the pieces as a socket would, keeps all, and tells what came of it.
fn converse(pieces: &[&[u8]]) -> String {
    let mut desk = Desk::new();
    let (mut unread, mut happened) = (Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let taken = desk.bytes(&unread);
            unread.drain(..taken);
            let was_asked = desk.asked.take().is_some();
            if was_asked {
                desk.session.authenticated(program(), desk.now);
                desk.drain();
            }
            happened.extend(desk.happened());
            let owed = desk.owes();
            desk.commit();
            if !owed && taken == 0 && !was_asked {
                break;
            }
        }
    }
    format!("{happened:?} {:?} {:?} {:?}", desk.closed, desk.refusals, desk.session.state())
}

#[test]
fn a_whole_conversation_goes_through() {
    let bytes = conversation();
    let told = converse(&[&bytes]);
    assert!(told.contains("DisconnectedWithWill"), "{told}");
    assert!(told.contains("expiry_s: 5"), "{told}");
}

proptest! {
    #[test]
    fn mutated_conversations_of_5_0_never_panic_and_do_not_care_for_cuts(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = conversation();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let cut = cut.index(bytes.len());
        let whole = converse(&[&bytes]);
        prop_assert_eq!(whole, converse(&[&bytes[..cut], &bytes[cut..]]));
    }
}
