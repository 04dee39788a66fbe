//! Messages that are no commands: to whom, how, and until when.

use crate::desk::{Desk, IMEI, ack, connect, grant, id, program, properties};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mqtt::message::{
    Acknowledgement, Connect, Packet, Publish, PublishDelivery, QoS, RetainHandling,
    SubscriptionOptions, Version, decode,
};
use mqtt::{
    CloseReason, ConnackCode, Delivery, Message, Options, Place, Properties, Property,
    ProtocolError, ReasonCode, Refusal, Through, Undeliverable, frame,
};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const MATCHING: Through<'_> = Through::Matching { is_own: false };

fn message(topic: &str, qos: QoS) -> Message {
    Message {
        topic: topic.into(),
        payload: Bytes::from_static(b"on"),
        qos,
        retain: false,
        properties: Box::default(),
        expires_at: None,
        publisher: None,
    }
}

/// A program of 5.0 that said these properties, and is subscribed to nothing yet.
fn listener(said: &[Property<'_>]) -> Desk {
    let said = properties(said);
    let said = Properties::parse(&said, Place::Connect).unwrap();
    let mut desk = Desk::v5(&Connect { properties: said, ..connect("p") }, program());
    desk.written();
    desk
}

fn subscribe(desk: &mut Desk, filter: &str, options: SubscriptionOptions, identifier: Option<u32>) {
    let said = identifier.map(|it| properties(&[Property::SubscriptionIdentifier(it)]));
    let said = said.as_deref().unwrap_or_default();
    desk.send(&Packet::Subscribe {
        packet_id: id(1),
        filters: vec![(filter, options)],
        properties: Properties::parse(said, Place::Subscribe).unwrap(),
    });
    desk.commit();
    desk.written();
}

const fn qos(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions::new(qos)
}

/// Sends, and returns what was written.
fn sent(desk: &mut Desk, message: &Message, key: u64, through: Through<'_>) -> Vec<u8> {
    desk.session.send(message, key, through, desk.now).unwrap();
    desk.drain();
    desk.written()
}

fn published(bytes: &[u8]) -> Publish<'_> {
    let (frame, len) = frame::decode(bytes, 1 << 20).unwrap().unwrap();
    assert_eq!(len, bytes.len(), "one packet");
    match decode(frame, Version::V5).unwrap() {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_guarantee_ends_with_an_acknowledgement() {
    let mut desk = listener(&[]);
    subscribe(&mut desk, "#", qos(QoS::ExactlyOnce), None);
    let written = sent(&mut desk, &message("a", QoS::AtMostOnce), 5, MATCHING);
    assert_eq!(written, [0x30, 6, 0, 1, b'a', 0, b'o', b'n']);
    assert_eq!(desk.done, [5]);

    let written = sent(&mut desk, &message("a", QoS::AtLeastOnce), 6, MATCHING);
    assert_eq!(written, [0x32, 8, 0, 1, b'a', 0, 1, 0, b'o', b'n']);
    assert_eq!(desk.done, [5]);
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.done, [5, 6]);

    let written = sent(&mut desk, &message("a", QoS::ExactlyOnce), 7, MATCHING);
    assert_eq!(written, [0x34, 8, 0, 1, b'a', 0, 2, 0, b'o', b'n']);
    desk.send(&Packet::Pubrec(ack(2)));
    assert_eq!((desk.written(), &desk.done[..]), (vec![0x62, 2, 0, 2], &[5, 6, 7][..]));
    desk.send(&Packet::Pubrec(ack(2)));
    assert_eq!(desk.written(), [0x62, 2, 0, 2], "again");
    desk.send(&Packet::Pubcomp(ack(2)));
    assert!(desk.refusals.is_empty());
    desk.send(&Packet::Pubcomp(ack(2)));
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.refusals, [Refusal::StrayAcknowledgement; 2]);
    desk.send(&Packet::Pubrec(ack(9)));
    assert_eq!(desk.written(), [0x62, 3, 0, 9, 0x92]);
    assert_eq!(desk.done, [5, 6, 7]);
}

#[test]
fn what_the_client_refuses_is_done_with() {
    let mut desk = listener(&[]);
    subscribe(&mut desk, "#", qos(QoS::ExactlyOnce), None);
    sent(&mut desk, &message("a", QoS::AtLeastOnce), 1, MATCHING);
    sent(&mut desk, &message("a", QoS::ExactlyOnce), 2, MATCHING);
    desk.send(&Packet::Puback(Acknowledgement::new(id(1), ReasonCode::QuotaExceeded)));
    desk.send(&Packet::Pubrec(Acknowledgement::new(id(2), ReasonCode::Unspecified)));
    assert!(desk.written().is_empty(), "no PUBREL");
    assert_eq!((desk.done.clone(), desk.refusals), (vec![1, 2], vec![Refusal::Unwelcome; 2]));
}

#[test]
fn overlapping_filters_bring_one_copy() {
    let mut desk = listener(&[]);
    subscribe(&mut desk, "a/#", qos(QoS::AtMostOnce), Some(2));
    subscribe(&mut desk, "a/b", qos(QoS::ExactlyOnce), Some(456_789));
    subscribe(&mut desk, "a/+", qos(QoS::AtLeastOnce), None);
    subscribe(&mut desk, "$share/g/#", qos(QoS::AtLeastOnce), Some(9));
    let written = sent(&mut desk, &message("a/b", QoS::ExactlyOnce), 1, MATCHING);
    let publish = published(&written);
    assert_eq!(publish.delivery, PublishDelivery::ExactlyOnce(id(1)), "the best");
    let identifiers: Vec<_> = publish.properties.iter().collect();
    let expected = [2, 456_789].map(Property::SubscriptionIdentifier);
    assert_eq!(identifiers, expected, "of all that match and have one");
    let written =
        sent(&mut desk, &message("a/b", QoS::AtLeastOnce), 2, Through::Filter("$share/g/#"));
    let identifiers: Vec<_> = published(&written).properties.iter().collect();
    assert_eq!(identifiers, [Property::SubscriptionIdentifier(9)]);
    let shared_only = desk.session.send(&message("b", QoS::AtLeastOnce), 3, MATCHING, desk.now);
    assert_eq!(shared_only, Err(Undeliverable::NotSubscribed));
    let never = Through::Filter("b");
    let refused = desk.session.send(&message("b", QoS::AtLeastOnce), 3, never, desk.now);
    assert_eq!(refused, Err(Undeliverable::NotSubscribed));
}

#[test]
fn a_command_has_its_subscriptions_identifiers_and_where_to_answer() {
    let mut desk = Desk::v5(&connect(IMEI), grant());
    subscribe(&mut desk, "#", qos(QoS::ExactlyOnce), Some(7));
    let (topic, answer) = (format!("boards/{IMEI}/down/led"), format!("boards/{IMEI}/up/led"));
    let delivery = Delivery {
        command: model::CommandId::new("c1").unwrap(),
        topic: &topic,
        payload: Bytes::from_static(b"on"),
        qos: model::QoS::ExactlyOnce,
        duplicate: false,
        answer_topic: Some(answer.clone()),
        correlation: None,
    };
    desk.session.deliver(delivery).unwrap();
    desk.drain();
    desk.commit();
    let written = desk.written();
    let publish = published(&written);
    assert_eq!(publish.delivery, PublishDelivery::ExactlyOnce(id(1)));
    let said: Vec<_> = publish.properties.iter().collect();
    let expected = [
        Property::ResponseTopic(&answer),
        Property::CorrelationData(b"c1"),
        Property::SubscriptionIdentifier(7),
    ];
    assert_eq!(said, expected);
    desk.send(&Packet::Pubrec(ack(1)));
    assert_eq!(desk.happened(), ["c1 delivered"]);
    assert_eq!(desk.written(), [0x62, 2, 0, 1]);

    let reply = Delivery {
        command: model::CommandId::new("c2").unwrap(),
        topic: &topic,
        payload: Bytes::from_static(b"on"),
        qos: model::QoS::AtMostOnce,
        duplicate: false,
        answer_topic: None,
        correlation: Some(Bytes::from_static(b"\x00 334")),
    };
    desk.session.deliver(reply).unwrap();
    desk.drain();
    desk.commit();
    let written = desk.written();
    let said: Vec<_> = published(&written).properties.iter().collect();
    let expected = [Property::CorrelationData(b"\x00 334"), Property::SubscriptionIdentifier(7)];
    assert_eq!(said, expected);
}

#[test]
fn a_command_that_the_board_refuses_has_failed() {
    let mut desk = Desk::v5(&connect(IMEI), grant());
    subscribe(&mut desk, "#", qos(QoS::AtLeastOnce), None);
    let delivery = Delivery {
        command: model::CommandId::new("c1").unwrap(),
        topic: &format!("boards/{IMEI}/down/led"),
        payload: Bytes::new(),
        qos: model::QoS::AtLeastOnce,
        duplicate: false,
        answer_topic: None,
        correlation: None,
    };
    desk.session.deliver(delivery).unwrap();
    desk.drain();
    desk.commit();
    desk.send(&Packet::Puback(Acknowledgement::new(id(1), ReasonCode::TopicNameInvalid)));
    assert_eq!(desk.happened(), ["c1 failed"]);
}

#[test]
fn no_local_is_not_sent_what_is_its_own() {
    let mut desk = listener(&[]);
    let no_local = SubscriptionOptions { no_local: true, ..qos(QoS::AtLeastOnce) };
    subscribe(&mut desk, "a", no_local, None);
    let own = Through::Matching { is_own: true };
    let refused = desk.session.send(&message("a", QoS::AtLeastOnce), 1, own, desk.now);
    assert_eq!(refused, Err(Undeliverable::NotSubscribed));
    sent(&mut desk, &message("a", QoS::AtLeastOnce), 1, MATCHING);
    subscribe(&mut desk, "+", qos(QoS::AtMostOnce), None);
    let written = sent(&mut desk, &message("a", QoS::AtLeastOnce), 2, own);
    assert_eq!(published(&written).delivery, PublishDelivery::AtMostOnce, "by the other alone");
}

#[test]
fn the_retain_flag_is_passed_on_as_asked() {
    let retained = Message { retain: true, ..message("a", QoS::AtLeastOnce) };
    for (as_published, through, said) in [
        (false, MATCHING, false),
        (true, MATCHING, true),
        (false, Through::Filter("a"), true),
        (true, Through::Filter("a"), true),
        (false, Through::Filter("$share/g/a"), false),
        (true, Through::Filter("$share/g/a"), true),
    ] {
        let mut desk = listener(&[]);
        let options = SubscriptionOptions {
            retain_as_published: as_published,
            retain_handling: RetainHandling::Send,
            ..qos(QoS::AtLeastOnce)
        };
        subscribe(&mut desk, "a", options, None);
        subscribe(&mut desk, "$share/g/a", options, None);
        let written = sent(&mut desk, &retained, 1, through);
        assert_eq!(published(&written).retain, said, "{as_published} {through:?}");
    }
}

#[test]
fn topics_are_numbered_where_the_client_takes_it() {
    let mut desk = listener(&[Property::TopicAliasMaximum(1)]);
    subscribe(&mut desk, "#", qos(QoS::AtMostOnce), None);
    let alias = Property::TopicAlias(NonZeroU16::MIN);
    for (key, (topic, said, numbered)) in
        [("a", "a", true), ("a", "", true), ("b", "b", false), ("a", "", true)]
            .into_iter()
            .enumerate()
    {
        let key = u64::try_from(key).unwrap();
        let written = sent(&mut desk, &message(topic, QoS::AtMostOnce), key, MATCHING);
        let publish = published(&written);
        assert_eq!(publish.topic, said, "{key}");
        assert_eq!(publish.properties.iter().any(|it| it == alias), numbered, "{key}");
    }
    let mut desk = listener(&[]);
    subscribe(&mut desk, "#", qos(QoS::AtMostOnce), None);
    let written = sent(&mut desk, &message("a", QoS::AtMostOnce), 1, MATCHING);
    assert!(published(&written).properties.is_empty());
}

#[test]
fn a_client_is_sent_no_more_than_it_takes() {
    let mut desk = listener(&[Property::ReceiveMaximum(NonZeroU16::new(2).unwrap())]);
    subscribe(&mut desk, "#", qos(QoS::AtLeastOnce), None);
    for key in 1..=2 {
        sent(&mut desk, &message("a", QoS::AtLeastOnce), key, MATCHING);
    }
    let third = message("a", QoS::AtLeastOnce);
    let full = desk.session.send(&third, 3, MATCHING, desk.now);
    assert_eq!((full, desk.ready), (Err(Undeliverable::WindowFull), 0));
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.ready, 1);
    sent(&mut desk, &third, 3, MATCHING);
}

#[test]
fn a_packet_longer_than_the_client_takes_is_passed_over() {
    let len_max = NonZeroU32::new(64).unwrap();
    for aliases in [0, 1] {
        let mut desk =
            listener(&[Property::MaximumPacketSize(len_max), Property::TopicAliasMaximum(aliases)]);
        subscribe(&mut desk, "#", qos(QoS::AtMostOnce), None);
        // Header 2, topic 3, properties 1.
        for (len, fits) in [(58, true), (59, false)] {
            let long =
                Message { payload: Bytes::from(vec![b'.'; len]), ..message("a", QoS::AtMostOnce) };
            let result = desk.session.send(&long, 1, MATCHING, desk.now);
            desk.drain();
            assert_eq!(result, if fits { Ok(()) } else { Err(Undeliverable::TooLong) }, "{len}");
            assert_eq!(desk.written().len(), if fits { 64 } else { 0 });
        }
    }
}

/// [MQTT-3.1.2-24]: no packet at all.
#[test]
fn a_client_is_welcomed_within_what_it_takes() {
    let welcome = |len_max: u32| {
        let said = properties(&[
            Property::MaximumPacketSize(NonZeroU32::new(len_max).unwrap()),
            Property::RequestResponseInformation(true),
        ]);
        let said = Properties::parse(&said, Place::Connect).unwrap();
        let mut desk = Desk::v5(&Connect { properties: said, ..connect(IMEI) }, grant());
        (desk.written(), desk.closed)
    };
    let too_long = Some(CloseReason::Protocol(ProtocolError::AnswerTooLong));
    let (whole, _) = welcome(1_000);
    let len = u32::try_from(whole.len()).unwrap();
    assert_eq!(welcome(len), (whole.clone(), None));
    // Receive Maximum and Maximum Packet Size are what it must know.
    let needed = [&[0x20, 11, 0, 0, 8], &whole[5..13]].concat();
    assert_eq!(welcome(len - 1), (needed.clone(), None));
    assert_eq!(welcome(13), (needed, None));
    assert_eq!(welcome(12), (vec![0x20, 3, 0, 0x95, 0], too_long));
    assert_eq!(welcome(4), (Vec::new(), too_long), "not even that it is not");
}

#[test]
fn a_client_that_takes_little_is_turned_away_in_silence() {
    for (len_max, written) in [(5, vec![0x20, 3, 0, 0x87, 0]), (4, Vec::new())] {
        let said = properties(&[Property::MaximumPacketSize(NonZeroU32::new(len_max).unwrap())]);
        let said = Properties::parse(&said, Place::Connect).unwrap();
        let packet = Connect { version: Version::V5, properties: said, ..connect(IMEI) };
        let mut desk = Desk::new();
        desk.version = Version::V5;
        desk.send(&Packet::Connect(Box::new(packet)));
        desk.session.refused(ConnackCode::NotAuthorised, desk.now);
        desk.drain();
        assert_eq!(desk.written(), written);
        assert_eq!(desk.closed, Some(CloseReason::Refused(ConnackCode::NotAuthorised)));
    }
}

#[test]
fn nothing_is_subscribed_to_with_an_answer_longer_than_the_client_takes() {
    let len_max = NonZeroU32::new(64).unwrap();
    for (count, fits) in [(59, true), (60, false)] {
        let names: Vec<String> = (0..count).map(|it| format!("a/{it}")).collect();
        let mut desk = listener(&[Property::MaximumPacketSize(len_max)]);
        let filters = names.iter().map(|it| (&**it, qos(QoS::AtMostOnce))).collect();
        let properties = Properties::EMPTY;
        desk.send(&Packet::Subscribe { packet_id: id(1), filters, properties });
        desk.commit();
        let too_long = Some(CloseReason::Protocol(ProtocolError::AnswerTooLong));
        assert_eq!(desk.closed, if fits { None } else { too_long });
        assert_eq!(desk.granted.len(), if fits { count } else { 0 });
        let written = desk.written();
        assert_eq!((written[0], written.len() <= 64), (if fits { 0x90 } else { 0xE0 }, true));

        let mut desk = listener(&[Property::MaximumPacketSize(len_max)]);
        let filters = names.iter().map(|it| &**it).collect();
        desk.send(&Packet::Unsubscribe { packet_id: id(1), filters, properties });
        desk.commit();
        assert_eq!(desk.closed, if fits { None } else { too_long });
    }
}

#[test]
fn a_message_is_not_sent_after_its_time() {
    let mut desk = listener(&[]);
    subscribe(&mut desk, "#", qos(QoS::AtLeastOnce), None);
    let in_ = |millis| {
        let at = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(millis)).unwrap();
        Message { expires_at: Some(at), ..message("a", QoS::AtLeastOnce) }
    };
    desk.now = desk.now.after(Duration::from_secs(2));
    let written = sent(&mut desk, &in_(6_500), 1, MATCHING);
    let said: Vec<_> = published(&written).properties.iter().collect();
    assert_eq!(said, [Property::MessageExpiry(5)]);
    let late = desk.session.send(&in_(2_000), 2, MATCHING, desk.now);
    assert_eq!(late, Err(Undeliverable::Expired));
}

#[test]
fn what_was_said_beside_a_message_is_passed_on() {
    let said = [
        Property::PayloadFormat(1),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answers"),
        Property::CorrelationData(b"334"),
        Property::UserProperty("a", "2"),
        Property::UserProperty("a", "3"),
    ];
    let message = Message { properties: properties(&said).into(), ..message("a", QoS::AtMostOnce) };
    let mut desk = listener(&[]);
    subscribe(&mut desk, "#", qos(QoS::AtLeastOnce), None);
    let written = sent(&mut desk, &message, 1, MATCHING);
    assert_eq!(published(&written).properties.iter().collect::<Vec<_>>(), said);

    let mut old = Desk::subscribed(QoS::AtMostOnce);
    let topic = format!("boards/{IMEI}/down/x");
    let written = sent(&mut old, &Message { topic: topic.as_str().into(), ..message }, 1, MATCHING);
    assert_eq!(written.len(), 2 + 2 + topic.len() + 2, "3.x has no place for it");
}

#[test]
fn unsendable_says_why() {
    let mut desk = Desk::new();
    let any = message("a", QoS::AtLeastOnce);
    assert_eq!(desk.session.send(&any, 1, MATCHING, desk.now), Err(Undeliverable::NotConnected));
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    for topic in ["boards/999/down/x", "boards/+/down/x", "customer_mngt", ""] {
        let refused = desk.session.send(&message(topic, QoS::AtLeastOnce), 1, MATCHING, desk.now);
        assert_eq!(refused, Err(Undeliverable::NotAllowed), "{topic}");
    }
    let mut desk = listener(&[]);
    subscribe(&mut desk, "#", qos(QoS::AtLeastOnce), None);
    let denied = message("test/nosubscribe", QoS::AtLeastOnce);
    assert_eq!(desk.session.send(&denied, 1, MATCHING, desk.now), Err(Undeliverable::NotAllowed));
    desk.close(CloseReason::Lost);
    assert_eq!(desk.session.send(&any, 1, MATCHING, desk.now), Err(Undeliverable::NotConnected));
}

#[test]
fn a_session_of_3x_shares_too() {
    let options = Options { presence: false, ..Options::default() };
    let mut desk = Desk::with(options);
    desk.send(&Packet::Connect(Box::new(connect("p"))));
    desk.session.authenticated(program(), desk.now);
    desk.drain();
    desk.send(&crate::desk::subscribe(1, vec![("$share/g/a", QoS::AtLeastOnce)]));
    assert_eq!(desk.granted.pop().unwrap().filter, "$share/g/a".into());
    desk.written();
    let through = Through::Filter("$share/g/a");
    let written = sent(&mut desk, &message("a", QoS::AtLeastOnce), 1, through);
    assert_eq!(written, [0x32, 7, 0, 1, b'a', 0, 1, b'o', b'n']);
}
