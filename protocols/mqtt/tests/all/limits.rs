//! Every bound, at it and one past it.

use crate::desk::{Desk, IMEI, connect, encoded, id, publish, subscribe, unsubscribe};
use bytes::Bytes;
use model::{CommandId, Monotonic, Settlement};
use mqtt::message::{Connect, Packet, PublishDelivery, QoS};
use mqtt::{
    CloseReason, ConnackCode, Delivery, Options, ProtocolError, Refusal, Session, Slowed,
    TopicLimits, Undeliverable,
};
use std::time::Duration;

const TOO_LONG: Option<CloseReason> = Some(CloseReason::Protocol(ProtocolError::PacketTooLong));

#[test]
fn defaults_are_the_documented_ones() {
    let options = Options::default();
    assert_eq!(options.connect_timeout, Duration::from_secs(10));
    assert_eq!(options.topic, TopicLimits { len_max: 1024, levels_max: 32 });
    assert_eq!(options.subscriptions_max, 100);
    assert_eq!(options.packet_len_max, 256 * 1024);
    assert_eq!(options.publish_rate_max, 2_000);
    assert_eq!(options.keep_alive_max, Duration::from_secs(65_535));
}

#[test]
fn a_packet_is_refused_by_what_it_announces() {
    let options = Options { packet_len_max: 300, ..Options::default() };
    let mut desk = Desk::connected_with(options.clone());
    assert_eq!(desk.bytes(&[0x30, 0xAC, 0x02]), 0, "300 bytes: waits for them");
    assert_eq!(desk.session.announced(&[0x30, 0xAC, 0x02]), Some(303));
    assert_eq!(desk.session.announced(&[0x30, 0xAD, 0x02]), None);
    assert_eq!(desk.closed, None);
    let mut desk = Desk::connected_with(options);
    desk.bytes(&[0x30, 0xAD, 0x02]);
    assert_eq!(desk.closed, TOO_LONG);
}

#[test]
fn a_stranger_may_announce_less() {
    let mut desk = Desk::new();
    desk.bytes(&[0x10, 0x80, 0x80, 0x01]);
    assert_eq!(desk.closed, None, "16 KiB");
    let mut desk = Desk::new();
    desk.bytes(&[0x10, 0x81, 0x80, 0x01]);
    assert_eq!(desk.closed, TOO_LONG);
}

#[test]
fn a_client_id_has_a_bound() {
    let name = "n".repeat(257);
    for (len, asked) in [(256, true), (257, false)] {
        let mut desk = Desk::new();
        desk.send(&Packet::Connect(Box::new(connect(&name[..len]))));
        assert_eq!(desk.asked.is_some(), asked);
        let refused = Some(CloseReason::Refused(ConnackCode::IdentifierRejected));
        assert_eq!(desk.closed, if asked { None } else { refused });
    }
}

#[test]
fn topics_have_bounds() {
    let deep = format!("boards/{IMEI}/up{}", "/x".repeat(29));
    let deeper = format!("{deep}/x");
    let long = format!("boards/{IMEI}/up/{}", "x".repeat(1024 - 26));
    assert_eq!(long.len(), 1024);
    let longer = format!("{long}x");
    for (topic, allowed) in [(deep, true), (deeper, false), (long, true), (longer, false)] {
        let mut desk = Desk::connected();
        desk.send(&publish(&topic, PublishDelivery::AtMostOnce, b""));
        let refused = Some(CloseReason::Protocol(ProtocolError::BadTopic));
        assert_eq!(desk.closed, if allowed { None } else { refused }, "{} bytes", topic.len());
    }
}

#[test]
fn subscriptions_have_a_bound() {
    let mut desk = Desk::connected();
    let own: Vec<String> = (0..101).map(|n| format!("boards/{IMEI}/down/{n}")).collect();
    let filters = own.iter().map(|filter| (&**filter, QoS::AtMostOnce)).collect();
    desk.send(&subscribe(1, filters));
    let written = desk.written();
    assert_eq!(written[written.len() - 2..], [0, 0x80]);
    assert_eq!(desk.refusals, [Refusal::SubscriptionLimit]);
    // Again the same filter: in place of the old one, so there is room.
    desk.send(&subscribe(2, vec![(&own[7], QoS::AtLeastOnce)]));
    assert_eq!(desk.written(), [0x90, 3, 0, 2, 1]);
}

#[test]
fn a_packet_full_of_filters_is_counted_once() {
    let mut desk = Desk::connected();
    desk.send(&subscribe(1, vec![("a", QoS::AtMostOnce); 50_000]));
    assert_eq!(desk.refusals, [Refusal::Subscription, Refusal::SubscriptionLimit]);
    assert_eq!(desk.written().len(), 4 + 2 + 50_000);
}

#[test]
fn of_one_packet_so_many_filters_are_looked_at_and_each_once() {
    let mut desk = Desk::connected_with(Options { subscriptions_max: 3, ..Options::default() });
    desk.send(&subscribe(1, vec![("#", QoS::AtMostOnce); 5]));
    assert_eq!(desk.written(), [0x90, 7, 0, 1, 0, 0, 0, 0x80, 0x80]);
    assert_eq!(desk.refusals, [Refusal::SubscriptionLimit]);
    assert_eq!(desk.granted.len(), 1, "what is retained is sent once");
    assert!(desk.granted[0].is_new && desk.granted[0].wants_retained);
    desk.send(&subscribe(2, vec![("#", QoS::AtMostOnce), ("#", QoS::AtLeastOnce)]));
    assert_eq!(desk.written(), [0x90, 4, 0, 2, 0, 1]);
    assert_eq!((desk.granted.len(), desk.granted[1].qos), (2, QoS::AtLeastOnce));
}

#[test]
fn filters_count_among_the_publishes_of_a_second() {
    let mut desk = Desk::connected_with(Options { publish_rate_max: 3, ..Options::default() });
    desk.send(&subscribe(1, vec![("#", QoS::AtMostOnce), ("+/a", QoS::AtMostOnce)]));
    assert!(desk.session.wants_input());
    desk.send(&unsubscribe(2, vec!["#"]));
    assert!(!desk.session.wants_input());
    desk.wait(Duration::from_secs(1));
    assert!(desk.session.wants_input());
}

#[test]
fn reading_stops_while_too_many_facts_wait_and_the_silence_is_forgiven() {
    let mut desk = Desk::connected_with(Options { unsettled_max: 2, ..Options::default() });
    let one = encoded(&publish("customer_mngt", PublishDelivery::AtLeastOnce(id(1)), b"1"));
    let three = [&*one, &one, &one].concat();
    assert_eq!(desk.bytes(&three), 2 * one.len(), "the third stays with the driver");
    assert!(!desk.session.wants_input());
    assert_eq!(desk.slowed, [Slowed::Unsettled], "said once");
    assert_eq!(desk.session.deadline(), Monotonic::NEVER);
    desk.wait(Duration::from_secs(1_000));
    assert_eq!(desk.closed, None, "we would not listen");
    desk.commit();
    assert!(desk.session.wants_input());
    desk.wait(Duration::from_secs(89));
    assert_eq!(desk.closed, None, "counted anew");
    assert_eq!(desk.bytes(&three[2 * one.len()..]), one.len());
    desk.commit();
    desk.wait(Duration::from_secs(90));
    assert_eq!(desk.closed, Some(CloseReason::KeepAlive));
}

#[test]
fn reading_stops_while_too_many_bytes_wait() {
    let options = Options { unsettled_bytes_max: 1000, ..Options::default() };
    let mut desk = Desk::connected_with(options);
    desk.publish(1, &[b'x'; 500]);
    assert!(desk.session.wants_input());
    assert!(desk.slowed.is_empty());
    desk.publish(2, &[b'x'; 500]);
    assert!(!desk.session.wants_input());
    assert_eq!(desk.slowed, [Slowed::Unsettled]);
    let first = desk.facts.remove(0).0;
    desk.session.settle_up_to(first, Settlement::Committed, desk.now);
    assert!(desk.session.wants_input());
}

#[test]
fn reading_stops_while_the_board_does_not_read() {
    let mut desk = Desk::connected_with(Options { output_bytes_max: 64, ..Options::default() });
    let pings = [0xC0, 0].repeat(100);
    assert_eq!(desk.bytes(&pings), 64);
    assert!(!desk.session.wants_input());
    desk.wait(Duration::from_secs(89));
    assert_eq!(desk.closed, None);
    assert_eq!(desk.written().len(), 64);
    assert!(desk.session.wants_input());
    desk.bytes(&pings);
    desk.wait(Duration::from_secs(90));
    assert_eq!(desk.closed, Some(CloseReason::KeepAlive), "it is the board that is silent");
}

#[test]
fn room_to_write_lets_deliveries_go_on() {
    let mut desk = Desk::connected_with(Options { output_bytes_max: 32, ..Options::default() });
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce)]));
    desk.written();
    let topic = format!("boards/{IMEI}/down/x");
    let delivery = |name: &str| Delivery {
        command: CommandId::new(name).unwrap(),
        topic: &topic,
        payload: Bytes::from_static(b"on"),
        qos: model::QoS::AtMostOnce,
        duplicate: false,
        answer_topic: None,
        correlation: None,
    };
    desk.session.deliver(delivery("c1")).unwrap();
    desk.drain();
    desk.commit();
    assert_eq!(desk.session.deliver(delivery("c2")), Err(Undeliverable::WindowFull));
    assert!(desk.session.has_output());
    desk.written();
    assert_eq!(desk.ready, 1);
    desk.session.deliver(delivery("c2")).unwrap();
}

#[test]
fn a_board_that_is_too_fast_is_read_on_when_the_second_is_over() {
    let mut desk = Desk::connected_with(Options { publish_rate_max: 2, ..Options::default() });
    let one = encoded(&publish("customer_mngt", PublishDelivery::AtMostOnce, b"1"));
    let five = one.repeat(5);
    let began = desk.now;
    desk.now = began.after(Duration::from_millis(600));
    assert_eq!(desk.bytes(&five), 2 * one.len());
    assert!(!desk.session.wants_input());
    assert_eq!(desk.session.deadline(), began.monotonic + Duration::from_secs(1));
    assert_eq!(desk.bytes(&five), 0);
    desk.wait(Duration::from_millis(399));
    assert!(!desk.session.wants_input());
    desk.wait(Duration::from_millis(1));
    assert!(desk.session.wants_input());
    assert_eq!(desk.bytes(&five), 2 * one.len());
    assert_eq!(desk.slowed, [Slowed::PublishRate; 2], "once a second");
    // What is not a publish does not count, but waits behind those that do.
    desk.now = desk.now.after(Duration::from_secs(1));
    assert_eq!(desk.bytes(&[&[0xC0, 0].repeat(9)[..], &one].concat()), 18 + one.len());
    desk.wait(Duration::from_secs(90));
    assert_eq!(desk.closed, Some(CloseReason::KeepAlive));
}

#[test]
fn qos_2_publishes_begun_have_a_bound() {
    let mut desk = Desk::connected();
    for packet_id in 1..=500 {
        let delivery = PublishDelivery::ExactlyOnce(id(packet_id));
        desk.send(&publish("customer_mngt", delivery, b""));
        desk.commit();
    }
    assert_eq!(desk.closed, None, "3.1.1 cannot say how many may be");
    let options = Options { unreleased_max_3x: 2, receive_max: 1, ..Options::default() };
    let mut desk = Desk::connected_with(options);
    for packet_id in 1..=3 {
        assert_eq!(desk.closed, None);
        let delivery = PublishDelivery::ExactlyOnce(id(packet_id));
        desk.send(&publish("customer_mngt", delivery, b""));
    }
    assert_eq!(desk.closed, Some(CloseReason::Protocol(ProtocolError::TooManyUnreleased)));
}

#[test]
fn a_keep_alive_has_a_bound() {
    for (asked_s, allowed_s, silence_s) in
        [(60, 65_535, 90), (0, 60, 90), (600, 60, 90), (1, 60, 1), (65_535, 65_535, 98_302)]
    {
        let keep_alive_max = Duration::from_secs(allowed_s);
        let mut desk = Desk::with(Options { keep_alive_max, ..Options::default() });
        let packet = Connect { keep_alive_s: asked_s, ..connect(IMEI) };
        desk.send(&Packet::Connect(Box::new(packet)));
        desk.grant();
        desk.commit();
        let silence = desk.session.deadline().since(desk.now.monotonic);
        assert_eq!(silence.as_secs(), silence_s, "{asked_s} s asked, {allowed_s} s allowed");
    }
}

/// Idle, a session is its own size, a name or two, a filter, and what shares with all others.
#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 448, "{} bytes", size_of::<Session>());
}
