//! One test for each arrow of the session's machine, but those of commands.

use crate::desk::{
    Desk, IMEI, ack, connect, encoded, grant, id, persisting, publish, subscribe, unsubscribe,
};
use model::{Fact, Settlement};
use mqtt::message::{Connect, Packet, PublishDelivery, QoS, Version, Will};
use mqtt::{CloseReason, ConnackCode, Properties, ProtocolError, Refusal};
use std::time::Duration;

fn data(desk: &Desk, index: usize) -> &str {
    match &desk.facts[index].1 {
        Fact::Event(event) => event.data.as_str(),
        Fact::Command(change) => panic!("{change:?}"),
    }
}

/// A board with a will, which the ACL allows or not.
fn connect_with_will(desk: &mut Desk, topic: &str) {
    let will = Will {
        topic,
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::EMPTY,
    };
    desk.send(&Packet::Connect(Box::new(Connect { will: Some(will), ..connect(IMEI) })));
    desk.grant();
}

#[test]
fn connack_waits_for_the_arrival_to_be_kept() {
    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    let asked = desk.asked.clone().unwrap();
    assert_eq!(&**asked.client_id.expose(), IMEI);
    assert_eq!(&**asked.password.unwrap().expose(), b"hunter2");
    assert!(!desk.session.wants_input(), "the driver owes an answer");

    desk.grant();
    assert_eq!(desk.happened(), ["device.connected"]);
    assert!(desk.written().is_empty(), "not before it is on disk");
    assert!(!desk.session.wants_input());

    desk.commit();
    assert_eq!(desk.written(), [0x20, 2, 0, 0]);
    assert!(desk.session.wants_input());
}

#[test]
fn a_refused_sign_in_leaves_no_trace_but_its_code() {
    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    desk.session.refused(ConnackCode::BadCredentials, desk.now);
    desk.drain();
    assert_eq!(desk.written(), [0x20, 2, 0, 4]);
    assert_eq!(desk.closed, Some(CloseReason::Refused(ConnackCode::BadCredentials)));
    assert!(desk.facts.is_empty());
}

#[test]
fn an_arrival_that_cannot_be_kept_is_turned_away() {
    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    desk.grant();
    desk.settle(Settlement::Refused);
    assert_eq!(desk.written(), [0x20, 2, 0, 3]);
    assert_eq!(desk.closed, Some(CloseReason::StoreFull));
    assert!(desk.facts.is_empty(), "who has not arrived does not leave");
}

#[test]
fn a_late_answer_finds_nobody() {
    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    desk.close(CloseReason::Lost);
    desk.grant();
    desk.session.refused(ConnackCode::NotAuthorised, desk.now);
    assert_eq!((desk.facts.len(), desk.written()), (0, vec![]));
    assert!(desk.session.is_closed());
}

#[test]
fn versions_are_spoken_or_refused_by_connack() {
    let mut desk = Desk::new();
    let old = Connect { version: Version::V3_1, ..connect(IMEI) };
    desk.send(&Packet::Connect(Box::new(old)));
    desk.grant();
    desk.commit();
    assert_eq!(desk.written(), [0x20, 2, 0, 0]);

    let (old, new) = ([0x20, 2, 0, 1].as_slice(), [0x20, 3, 0, 0x84, 0].as_slice());
    for (level, said) in [(3, old), (0x84, old), (0, old), (6, new), (0x7F, new)] {
        let mut desk = Desk::new();
        let mut bytes = encoded(&Packet::Connect(Box::new(connect(IMEI))));
        bytes[8] = level;
        desk.bytes(&bytes);
        assert_eq!(desk.written(), said, "level {level}");
        assert_eq!(desk.closed, Some(CloseReason::Refused(ConnackCode::UnacceptableVersion)));
    }
}

#[test]
fn no_name_needs_a_clean_session() {
    let unnamed = |clean_session| Connect { clean_session, ..connect("") };
    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(unnamed(true))));
    assert!(desk.asked.is_some());

    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(unnamed(false))));
    assert_eq!(desk.written(), [0x20, 2, 0, 2]);
    assert_eq!(desk.closed, Some(CloseReason::Refused(ConnackCode::IdentifierRejected)));

    let mut desk = Desk::new();
    let old = Connect { version: Version::V3_1, ..unnamed(true) };
    desk.send(&Packet::Connect(Box::new(old)));
    assert_eq!(desk.written(), [0x20, 2, 0, 2]);
}

#[test]
fn session_present_is_said_only_where_it_may_be() {
    for (clean_session, version, said) in
        [(false, Version::V3_1_1, 1), (true, Version::V3_1_1, 0), (false, Version::V3_1, 0)]
    {
        let mut desk = Desk::new();
        let packet = Connect { clean_session, version, ..connect(IMEI) };
        desk.send(&Packet::Connect(Box::new(packet)));
        let state = mqtt::SessionState { expiry_s: 86_400, ..mqtt::SessionState::default() };
        desk.session.authenticated(persisting(Some(state)), desk.now);
        desk.drain();
        desk.commit();
        assert_eq!(desk.written(), [0x20, 2, said, 0], "{clean_session} {version:?}");
    }
}

#[test]
fn pubacks_wait_for_the_commit_and_keep_their_order() {
    let mut desk = Desk::connected();
    for packet_id in [3, 1, 2] {
        desk.publish(packet_id, br#"{"t":21.5}"#);
    }
    assert!(desk.written().is_empty(), "nothing is on disk yet");
    assert_eq!(desk.happened(), ["telemetry.received"; 3]);
    let expected = format!(r#"{{"topic":"boards/{IMEI}/up/t","qos":1,"payload":{{"t":21.5}}}}"#);
    assert_eq!(data(&desk, 0), expected);

    let (first, _) = desk.facts.remove(0);
    desk.session.settle_up_to(first, Settlement::Committed, desk.now);
    assert_eq!(desk.written(), [0x40, 2, 0, 3]);
    desk.session.settle_up_to(first, Settlement::Committed, desk.now);
    assert!(desk.written().is_empty(), "settled twice, answered once");
    desk.commit();
    assert_eq!(desk.written(), [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
}

#[test]
fn a_publish_that_cannot_be_kept_is_not_acknowledged() {
    for delivery in [
        PublishDelivery::AtMostOnce,
        PublishDelivery::AtLeastOnce(id(1)),
        PublishDelivery::ExactlyOnce(id(1)),
    ] {
        let mut desk = Desk::connected();
        desk.send(&publish("customer_mngt", delivery, b"{}"));
        desk.settle(Settlement::Refused);
        assert!(desk.written().is_empty());
        assert_eq!(desk.closed, Some(CloseReason::StoreFull));
    }
}

#[test]
fn a_qos_0_publish_is_a_fact_without_an_answer() {
    let mut desk = Desk::connected();
    desk.send(&publish("customer_mngt", PublishDelivery::AtMostOnce, b"hi"));
    assert_eq!(data(&desk, 0), r#"{"topic":"customer_mngt","qos":0,"text":"hi"}"#);
    desk.commit();
    assert!(desk.written().is_empty());
}

#[test]
fn a_qos_2_publish_is_taken_once_until_released() {
    let mut desk = Desk::connected();
    let packet = publish("customer_mngt", PublishDelivery::ExactlyOnce(id(9)), b"hi");
    desk.send(&packet);
    desk.send(&packet);
    assert_eq!(desk.happened(), ["telemetry.received"]);
    assert!(desk.written().is_empty());
    desk.commit();
    assert_eq!(desk.written(), [0x50, 2, 0, 9]);
    desk.send(&packet);
    assert_eq!(desk.written(), [0x50, 2, 0, 9], "known, so answered at once");
    assert!(desk.facts.is_empty());
    desk.send(&Packet::Pubrel(ack(9)));
    assert_eq!(desk.written(), [0x70, 2, 0, 9]);
    desk.send(&packet);
    assert_eq!(desk.happened(), ["telemetry.received"], "released: a new message");
    desk.send(&Packet::Pubrel(ack(77)));
    assert_eq!(desk.written(), [0x70, 2, 0, 77]);
}

#[test]
fn a_publish_elsewhere_ends_the_session() {
    for topic in
        ["boards/999/up/t", "boards", "customer_mngt/x", "$SYS/x", "boards/490154203237518/down/x"]
    {
        let mut desk = Desk::connected();
        desk.send(&publish(topic, PublishDelivery::AtLeastOnce(id(1)), b""));
        assert_eq!(desk.closed, Some(CloseReason::NotAuthorised), "{topic}");
        assert_eq!(desk.happened(), ["device.disconnected"]);
        assert_eq!(data(&desk, 0), r#"{"cause":"refused"}"#);
    }
}

#[test]
fn an_alias_is_as_good_as_the_client_id() {
    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    let known = mqtt::Grant { aliases: vec!["440101234567890".into()], ..grant() };
    desk.session.authenticated(known, desk.now);
    desk.drain();
    desk.commit();
    for name in ["440101234567890", IMEI] {
        let topic = format!("boards/{name}/up/t");
        desk.send(&publish(&topic, PublishDelivery::AtMostOnce, b""));
    }
    assert_eq!((desk.closed, desk.facts.len()), (None, 2));
}

#[test]
fn subscriptions_are_granted_cut_or_refused() {
    let mut desk = Desk::connected();
    let own = format!("boards/{IMEI}/down/#");
    let filters = vec![
        (&*own, QoS::ExactlyOnce),
        ("#", QoS::AtMostOnce),
        ("boards/+/down/x", QoS::AtLeastOnce),
        ("boards/999/down/#", QoS::AtLeastOnce),
        ("$SYS/#", QoS::AtMostOnce),
    ];
    desk.send(&subscribe(5, filters));
    assert_eq!(desk.written(), [0x90, 7, 0, 5, 2, 0, 1, 0x80, 0x80]);
    assert_eq!(desk.refusals, [Refusal::Subscription]);
    assert_eq!(desk.subscribed, 1);

    desk.send(&unsubscribe(6, vec!["#", "never"]));
    assert_eq!(desk.written(), [0xB0, 2, 0, 6]);
}

#[test]
fn mqtt_3_1_is_refused_a_subscription_in_silence() {
    let mut desk = Desk::new();
    let old = Connect { version: Version::V3_1, ..connect(IMEI) };
    desk.send(&Packet::Connect(Box::new(old)));
    desk.grant();
    desk.commit();
    desk.written();
    desk.send(&subscribe(1, vec![("a", QoS::AtLeastOnce)]));
    assert_eq!(desk.written(), [0x90, 3, 0, 1, 1]);
    assert_eq!(desk.refusals, [Refusal::Subscription]);
    let topic = mqtt::Topic::parse("a", mqtt::TopicLimits::default()).unwrap();
    assert_eq!(desk.session.subscribed_qos(topic), None);
}

#[test]
fn a_ping_is_answered_at_once() {
    let mut desk = Desk::connected();
    desk.publish(1, b"");
    desk.bytes(&[0xC0, 0]);
    assert_eq!(desk.written(), [0xD0, 0]);
}

#[test]
fn goodbye_discards_the_will() {
    let mut desk = Desk::new();
    connect_with_will(&mut desk, "customer_mngt");
    desk.commit();
    desk.bytes(&[0xE0, 0]);
    assert_eq!(desk.happened(), ["device.disconnected"]);
    assert_eq!(data(&desk, 0), r#"{"cause":"normal"}"#);
    assert_eq!(desk.closed, Some(CloseReason::Disconnected));
}

#[test]
fn every_other_end_publishes_the_will() {
    for (reason, cause) in [
        (CloseReason::Lost, "lost"),
        (CloseReason::TakenOver, "taken_over"),
        (CloseReason::Shutdown, "shutdown"),
        (CloseReason::KeepAlive, "keep_alive"),
        (CloseReason::Protocol(ProtocolError::SecondConnect), "protocol"),
    ] {
        let mut desk = Desk::new();
        connect_with_will(&mut desk, "customer_mngt");
        desk.commit();
        desk.close(reason);
        assert_eq!(desk.happened(), ["will.published", "device.disconnected"]);
        let will =
            format!(r#"{{"topic":"customer_mngt","qos":1,"cause":"{cause}","text":"gone"}}"#);
        assert_eq!(data(&desk, 0), will);
        assert_eq!(data(&desk, 1), format!(r#"{{"cause":"{cause}"}}"#));
        assert_eq!(desk.closed, Some(reason));
        desk.close(CloseReason::Lost);
        assert_eq!(desk.facts.len(), 2, "a session ends once");
    }
}

#[test]
fn a_will_elsewhere_is_refused_with_the_connection() {
    let mut desk = Desk::new();
    connect_with_will(&mut desk, "boards/999/up/t");
    assert_eq!(desk.written(), [0x20, 2, 0, 5]);
    assert_eq!(desk.closed, Some(CloseReason::Refused(ConnackCode::NotAuthorised)));
    assert!(desk.facts.is_empty());
}

#[test]
fn a_silent_board_is_closed_after_one_and_a_half_keep_alives() {
    let mut desk = Desk::connected();
    desk.wait(Duration::from_millis(89_999));
    assert_eq!(desk.closed, None);
    desk.bytes(&[0xC0, 0]);
    desk.wait(Duration::from_millis(89_999));
    assert_eq!(desk.closed, None, "heard of in between");
    desk.wait(Duration::from_millis(1));
    assert_eq!(desk.closed, Some(CloseReason::KeepAlive));
}

#[test]
fn a_stranger_must_say_who_it_is_in_time() {
    let mut desk = Desk::new();
    desk.bytes(&[0x10]);
    desk.wait(Duration::from_millis(9_999));
    assert_eq!(desk.closed, None);
    desk.wait(Duration::from_millis(1));
    assert_eq!(desk.closed, Some(CloseReason::ConnectTimeout));
    assert!(desk.facts.is_empty());

    let mut desk = Desk::new();
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    desk.wait(Duration::from_secs(10));
    assert_eq!(desk.closed, Some(CloseReason::ConnectTimeout), "nobody vouched for it");
}

#[test]
fn without_presence_the_welcome_is_immediate() {
    let options = mqtt::Options { presence: false, ..mqtt::Options::default() };
    let mut desk = Desk::with(options);
    desk.send(&Packet::Connect(Box::new(connect(IMEI))));
    desk.grant();
    assert_eq!(desk.written(), [0x20, 2, 0, 0]);
    desk.close(CloseReason::Lost);
    assert!(desk.facts.is_empty());
}

#[test]
fn nothing_printed_says_who_or_what() {
    let mut desk = Desk::new();
    let number = "+254711000001";
    let will = Will {
        topic: "customer_mngt",
        payload: b"x",
        qos: QoS::AtMostOnce,
        retain: false,
        properties: Properties::EMPTY,
    };
    let packet =
        Connect { username: Some(number), client_id: number, will: Some(will), ..connect(number) };
    desk.send(&Packet::Connect(Box::new(packet.clone())));
    let printed = format!("{packet:?} {:?} {:?}", desk.session, desk.asked);
    assert!(!printed.contains("2547"), "{printed}");
    assert!(!printed.contains("hunter2") && !printed.contains("104, 117"), "{printed}");
}
