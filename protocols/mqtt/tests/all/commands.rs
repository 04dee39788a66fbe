//! Commands on their way to a board.

use crate::desk::{Desk, IMEI, ack, subscribe, unsubscribe};
use bytes::Bytes;
use model::{CommandId, Settlement};
use mqtt::message::{Packet, QoS};
use mqtt::{CloseReason, Delivery, Options, Refusal, Undeliverable};

fn deliver(desk: &mut Desk, name: &str, qos: model::QoS) -> Result<(), Undeliverable> {
    let topic = format!("boards/{IMEI}/down/led");
    deliver_to(desk, name, &topic, qos)
}

fn deliver_to(
    desk: &mut Desk,
    name: &str,
    topic: &str,
    qos: model::QoS,
) -> Result<(), Undeliverable> {
    let delivery = Delivery {
        command: CommandId::new(name).unwrap(),
        topic,
        payload: Bytes::from_static(b"on"),
        qos,
        duplicate: name == "again",
        answer_topic: None,
        correlation: None,
    };
    let delivered = desk.session.deliver(delivery);
    desk.drain();
    delivered
}

/// The bytes of the publish: head, then topic, packet identifier if any, payload.
fn on_the_wire(head: u8, packet_id: Option<u8>) -> Vec<u8> {
    let topic = format!("boards/{IMEI}/down/led");
    let topic_len = u8::try_from(topic.len()).unwrap();
    let mut bytes = vec![head, 0, 0, topic_len];
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend(packet_id.into_iter().flat_map(|low| [0, low]));
    bytes.extend_from_slice(b"on");
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    bytes
}

#[test]
fn a_command_is_on_disk_before_it_leaves_and_delivered_when_acknowledged() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    assert_eq!(desk.happened(), ["c1 sent"]);
    assert!(desk.written().is_empty());
    desk.commit();
    assert_eq!(desk.written(), on_the_wire(0x32, Some(1)));
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.happened(), ["c1 delivered"]);
    desk.commit();
    assert!(desk.written().is_empty());
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["device.disconnected"], "it is done with");
}

#[test]
fn qos_0_ends_with_being_sent() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "c1", model::QoS::AtMostOnce).unwrap();
    desk.commit();
    assert_eq!(desk.written(), on_the_wire(0x30, None));
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["device.disconnected"]);
}

#[test]
fn a_board_that_listens_at_qos_0_is_sent_at_qos_0() {
    let mut desk = Desk::subscribed(QoS::AtMostOnce);
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    let sent = desk.facts.pop().unwrap().0;
    desk.session.settle_up_to(sent, Settlement::Committed, desk.now);
    desk.drain();
    assert_eq!(desk.written(), on_the_wire(0x30, None));
    assert_eq!(desk.happened(), ["c1 delivered"]);
}

#[test]
fn what_is_not_acknowledged_goes_back_to_wait() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    for name in ["c1", "c2", "c3"] {
        deliver(&mut desk, name, model::QoS::AtLeastOnce).unwrap();
    }
    let second = desk.facts[1].0;
    desk.session.settle_up_to(second, Settlement::Committed, desk.now);
    desk.facts.clear();
    desk.written();
    desk.send(&Packet::Puback(ack(2)));
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["c2 delivered", "c1 queued", "c3 queued", "device.disconnected"]);
}

#[test]
fn a_second_try_is_marked_as_one() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "again", model::QoS::AtLeastOnce).unwrap();
    desk.commit();
    assert_eq!(desk.written(), on_the_wire(0x3A, Some(1)));
    deliver(&mut desk, "again", model::QoS::AtMostOnce).unwrap();
    desk.commit();
    assert_eq!(desk.written(), on_the_wire(0x30, None), "never at qos 0");
}

#[test]
fn what_cannot_be_recorded_as_sent_is_not_sent() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    desk.settle(Settlement::Refused);
    assert!(desk.written().is_empty());
    assert_eq!(desk.closed, None, "what it has is still delivered");
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["device.disconnected"]);
}

#[test]
fn what_was_withdrawn_meanwhile_is_not_sent_and_frees_its_place() {
    let options = Options { inflight_max: 2, ..Options::default() };
    let mut desk = Desk::connected_with(options);
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce)]));
    desk.written();
    for name in ["c1", "c2"] {
        deliver(&mut desk, name, model::QoS::AtLeastOnce).unwrap();
    }
    let full = deliver(&mut desk, "c3", model::QoS::AtLeastOnce);
    assert_eq!(full, Err(Undeliverable::WindowFull));
    let (first, second) = (desk.facts[0].0, desk.facts[1].0);
    desk.facts.clear();
    desk.session.settle_up_to(first, Settlement::Overtaken, desk.now);
    desk.session.settle_up_to(second, Settlement::Committed, desk.now);
    desk.drain();
    assert_eq!(desk.written(), on_the_wire(0x32, Some(2)), "the second alone");
    assert_eq!(desk.ready, 1);
    deliver(&mut desk, "c3", model::QoS::AtLeastOnce).unwrap();
    desk.commit();
    assert_eq!(desk.written(), on_the_wire(0x32, Some(3)));
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["c2 queued", "c3 queued", "device.disconnected"]);
}

#[test]
fn an_end_that_came_too_late_holds_nothing_up() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    desk.commit();
    desk.written();
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.happened(), ["c1 delivered"]);
    desk.settle(Settlement::Overtaken);
    assert_eq!(desk.closed, None);
    desk.publish(7, b"1");
    desk.commit();
    assert_eq!(desk.written(), [0x40, 2, 0, 7], "the session goes on");
}

#[test]
fn undeliverable_says_why() {
    let mut desk = Desk::new();
    assert_eq!(deliver(&mut desk, "c", model::QoS::AtMostOnce), Err(Undeliverable::NotConnected));
    let mut desk = Desk::connected();
    assert_eq!(deliver(&mut desk, "c", model::QoS::AtMostOnce), Err(Undeliverable::NotSubscribed));
    for topic in ["boards/999/down/x", "boards/+/down/x", "customer_mngt", ""] {
        let refused = deliver_to(&mut desk, "c", topic, model::QoS::AtMostOnce);
        assert_eq!(refused, Err(Undeliverable::NotAllowed), "{topic}");
    }
    let options = Options { packet_len_max: 1024, ..Options::default() };
    let mut desk = Desk::connected_with(options);
    let delivery = Delivery {
        command: CommandId::new("c").unwrap(),
        topic: &format!("boards/{IMEI}/down/x"),
        payload: Bytes::from(vec![0; 1024]),
        qos: model::QoS::AtLeastOnce,
        duplicate: false,
        answer_topic: None,
        correlation: None,
    };
    assert_eq!(desk.session.deliver(delivery), Err(Undeliverable::TooLong));
    assert!(desk.facts.is_empty());
}

#[test]
fn what_cannot_be_answered_is_not_sent() {
    let answered_on = |answer_topic: String| {
        let mut desk = Desk::subscribed(QoS::AtLeastOnce);
        let delivery = Delivery {
            command: CommandId::new("c").unwrap(),
            topic: &format!("boards/{IMEI}/down/led"),
            payload: Bytes::from_static(b"on"),
            qos: model::QoS::AtLeastOnce,
            duplicate: false,
            answer_topic: Some(answer_topic),
            correlation: None,
        };
        let delivered = desk.session.deliver(delivery);
        desk.drain();
        desk.commit();
        delivered.map(|()| desk.written())
    };
    let own = answered_on(format!("boards/{IMEI}/up/answers/c"));
    assert_eq!(own, Ok(on_the_wire(0x32, Some(1))), "3.1.1 has no place to say it");
    let long = format!("boards/{IMEI}/up/{}", "x".repeat(1024));
    for topic in ["boards/999/up/answers/c", &long] {
        let refused = answered_on(topic.to_owned());
        assert_eq!(refused, Err(Undeliverable::NotAnswerable), "{topic}");
    }
    assert!(!Undeliverable::NotAnswerable.is_transient());
}

#[test]
fn a_wide_subscription_is_cut_to_what_may_be_read() {
    let mut desk = Desk::connected();
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce)]));
    let refused = deliver_to(&mut desk, "c", "boards/999/down/x", model::QoS::AtLeastOnce);
    assert_eq!(refused, Err(Undeliverable::NotAllowed));
    deliver(&mut desk, "c", model::QoS::AtLeastOnce).unwrap();
}

#[test]
fn the_best_of_overlapping_subscriptions_counts() {
    let mut desk = Desk::connected();
    let filters = vec![("boards/+/down/led", QoS::AtLeastOnce), ("#", QoS::AtMostOnce)];
    desk.send(&subscribe(1, filters));
    desk.written();
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    desk.commit();
    assert_eq!(desk.written(), on_the_wire(0x32, Some(1)), "once, at the better");
}

#[test]
fn the_window_is_bounded_and_says_when_it_opens() {
    let options = Options { inflight_max: 2, ..Options::default() };
    let mut desk = Desk::connected_with(options);
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce)]));
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    deliver(&mut desk, "c2", model::QoS::AtLeastOnce).unwrap();
    let full = deliver(&mut desk, "c3", model::QoS::AtLeastOnce);
    assert_eq!(full, Err(Undeliverable::WindowFull));
    desk.commit();
    desk.written();
    assert_eq!(desk.ready, 0);
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.ready, 1);
    deliver(&mut desk, "c3", model::QoS::AtLeastOnce).unwrap();
    desk.commit();
    desk.send(&Packet::Puback(ack(2)));
    assert_eq!(desk.ready, 1, "nobody was waiting");
}

#[test]
fn an_acknowledgement_of_nothing_is_counted() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "c1", model::QoS::AtLeastOnce).unwrap();
    for packet in [Packet::Puback(ack(1)), Packet::Pubrec(ack(1)), Packet::Pubcomp(ack(1))] {
        desk.send(&packet);
    }
    assert_eq!(desk.refusals, [Refusal::StrayAcknowledgement; 3]);
    assert_eq!(desk.happened(), ["c1 sent"], "not sent yet, so not delivered");
}

#[test]
fn unsubscribing_stops_delivery() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    let filter = format!("boards/{IMEI}/down/#");
    desk.send(&unsubscribe(2, vec![&filter]));
    let refused = deliver(&mut desk, "c1", model::QoS::AtLeastOnce);
    assert_eq!(refused, Err(Undeliverable::NotSubscribed));
}

#[test]
fn packet_identifiers_go_round_and_skip_what_is_in_use() {
    let mut desk = Desk::subscribed(QoS::AtLeastOnce);
    deliver(&mut desk, "kept", model::QoS::AtLeastOnce).unwrap();
    desk.commit();
    desk.written();
    for turn in 0..65_535_u32 {
        deliver(&mut desk, "c", model::QoS::AtLeastOnce).unwrap();
        desk.commit();
        let wire = desk.written();
        let packet_id = u16::from_be_bytes([wire[wire.len() - 4], wire[wire.len() - 3]]);
        assert!(packet_id > 1, "turn {turn} used {packet_id}");
        desk.send(&Packet::Puback(ack(packet_id)));
        desk.commit();
    }
}
