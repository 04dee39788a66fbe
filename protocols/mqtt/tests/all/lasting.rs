//! Sessions that outlive their connections: what is kept, when, and what comes of it.

use crate::desk::{
    Desk, IMEI, ack, connect, id, persisting, properties, publish, subscribe, unsubscribe,
};
use bytes::Bytes;
use model::{CommandId, Settlement};
use mqtt::message::{
    Connect, Packet, PublishDelivery, QoS, RetainHandling, SubscriptionOptions, Version, Will,
};
use mqtt::{
    CloseReason, Delivery, InflightRecord, Message, Place, Properties, Property, ProtocolError,
    ReasonCode, SessionState, SubscriptionRecord, Through,
};
use std::time::Duration;

const MATCHING: Through<'_> = Through::Matching { is_own: false };

fn message(qos: QoS) -> Message {
    Message {
        topic: format!("boards/{IMEI}/down/x").into(),
        payload: Bytes::from_static(b"on"),
        qos,
        retain: false,
        properties: Box::default(),
        expires_at: None,
        publisher: None,
    }
}

fn send(desk: &mut Desk, key: u64, qos: QoS) {
    desk.session.send(&message(qos), key, MATCHING, desk.now).unwrap();
    desk.drain();
}

/// A board of 3.1.1 that is subscribed to all at QoS 2, and that is kept.
fn subscribed() -> Desk {
    let mut desk = Desk::persistent(None);
    desk.send(&subscribe(1, vec![("#", QoS::ExactlyOnce)]));
    desk.commit();
    desk.written();
    desk
}

/// The first byte of each packet written, and its packet identifier where it has a short body.
fn heads(bytes: &[u8]) -> Vec<u8> {
    let (mut rest, mut heads) = (bytes, Vec::new());
    while let Some((&head, more)) = rest.split_first() {
        heads.push(head);
        rest = &more[1 + usize::from(more[0])..];
    }
    heads
}

#[test]
fn an_arrival_is_kept_with_its_session() {
    let mut desk = Desk::new();
    let packet = Connect { clean_session: false, ..connect(IMEI) };
    desk.send(&Packet::Connect(Box::new(packet)));
    let asked = desk.asked.clone().unwrap();
    assert_eq!((asked.clean_start, asked.session_expiry_s), (false, 7 * 86_400));
    desk.session.authenticated(persisting(None), desk.now);
    desk.drain();
    assert_eq!(desk.happened(), ["device.connected"]);
    let state = SessionState { expiry_s: 86_400, ..SessionState::default() };
    assert_eq!(desk.states, std::slice::from_ref(&state), "as long as it may be");
    assert!(desk.written().is_empty());
    desk.commit();
    assert_eq!(desk.written(), [0x20, 2, 0, 0]);

    // One that is as it was needs no second writing.
    let mut again = Desk::new();
    let packet = Connect { clean_session: false, ..connect(IMEI) };
    again.send(&Packet::Connect(Box::new(packet)));
    again.session.authenticated(persisting(Some(state)), again.now);
    again.drain();
    assert_eq!((again.happened().len(), again.states.len()), (1, 0));
    again.commit();
    assert_eq!(again.written(), [0x20, 2, 1, 0]);
}

#[test]
fn a_session_that_cannot_be_kept_is_turned_away() {
    for presence in [true, false] {
        let mut desk = Desk::with(mqtt::Options { presence, ..mqtt::Options::default() });
        let packet = Connect { clean_session: false, ..connect(IMEI) };
        desk.send(&Packet::Connect(Box::new(packet)));
        desk.session.authenticated(persisting(None), desk.now);
        desk.drain();
        desk.settle(Settlement::Refused);
        assert_eq!(desk.written(), [0x20, 2, 0, 3]);
        assert_eq!(desk.closed, Some(CloseReason::StoreFull));
        assert!(desk.facts.is_empty() && desk.states.is_empty(), "it was not there");
    }
}

#[test]
fn a_clean_start_forgets_and_may_last() {
    let state = SessionState {
        subscriptions: vec![SubscriptionRecord {
            filter: "#".into(),
            qos: 1,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        }],
        expiry_s: 60,
        ..SessionState::default()
    };
    let said = properties(&[Property::SessionExpiry(60)]);
    let said = Properties::parse(&said, Place::Connect).unwrap();
    let packet = Connect { properties: said, clean_session: true, ..connect(IMEI) };
    let mut desk = Desk::v5(&packet, persisting(Some(state)));
    assert_eq!(desk.written()[2], 0, "no session present");
    let state = desk.broken();
    assert_eq!(state, SessionState { expiry_s: 60, ..SessionState::default() });
}

#[test]
fn subscriptions_are_kept_before_they_are_granted() {
    let mut desk = Desk::persistent(None);
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce), ("$share/g/+/x", QoS::AtMostOnce)]));
    assert!(desk.written().is_empty());
    assert_eq!((desk.subscribed, desk.states[0].subscriptions.len()), (0, 1));
    desk.commit();
    assert_eq!(desk.written(), [0x90, 4, 0, 1, 1, 0x80]);
    assert_eq!(desk.subscribed, 1);
    let state = desk.broken();

    let mut desk = Desk::persistent(Some(state));
    assert_eq!(desk.ready, 1, "what waits may be offered");
    send(&mut desk, 1, QoS::AtLeastOnce);
    assert_eq!(heads(&desk.written()), [0x32]);
    desk.send(&unsubscribe(2, vec!["#"]));
    assert!(desk.written().is_empty());
    desk.commit();
    assert_eq!(desk.written(), [0xB0, 2, 0, 2]);
    assert!(desk.broken().subscriptions.is_empty());
}

#[test]
fn what_is_to_be_sent_of_what_is_retained_is_kept_with_the_answer() {
    let mut desk = Desk::persistent(None);
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce)]));
    assert_eq!(desk.states[0].wants_retained, ["#".into()]);
    desk.commit();
    assert!(desk.granted[0].wants_retained && desk.session.is_kept());
    assert!(desk.session.state().wants_retained.is_empty(), "once");
}

#[test]
fn an_answer_that_changes_nothing_is_not_kept() {
    let mut desk = subscribed();
    desk.send(&unsubscribe(2, vec!["other"]));
    assert!(desk.states.is_empty());
    assert_eq!(desk.written(), [0xB0, 2, 0, 2]);
    // In turn behind one that is.
    desk.send(&subscribe(3, vec![("+/+/down/x", QoS::AtMostOnce)]));
    desk.send(&unsubscribe(4, vec!["other"]));
    assert_eq!(desk.states.len(), 1);
    assert!(desk.written().is_empty());
    desk.commit();
    assert_eq!(desk.written(), [0x90, 3, 0, 3, 0, 0xB0, 2, 0, 4]);

    let asked = properties(&[Property::SessionExpiry(60)]);
    let asked = Properties::parse(&asked, Place::Connect).unwrap();
    let mut desk = Desk::v5(&Connect { properties: asked, ..connect(IMEI) }, persisting(None));
    let again = |identifier: u32, desk: &mut Desk| {
        let said = properties(&[Property::SubscriptionIdentifier(identifier)]);
        let options = SubscriptionOptions {
            retain_handling: RetainHandling::DoNotSend,
            ..SubscriptionOptions::new(QoS::AtLeastOnce)
        };
        desk.send(&Packet::Subscribe {
            packet_id: id(1),
            filters: vec![("#", options)],
            properties: Properties::parse(&said, Place::Subscribe).unwrap(),
        });
        let kept = desk.states.len();
        desk.commit();
        kept
    };
    assert_eq!(again(7, &mut desk), 1);
    assert_eq!(again(7, &mut desk), 0, "as it was");
    assert_eq!(again(8, &mut desk), 1);
}

#[test]
fn an_answer_that_cannot_be_kept_is_not_given() {
    let mut desk = Desk::persistent(None);
    desk.send(&subscribe(1, vec![("#", QoS::AtLeastOnce)]));
    desk.settle(Settlement::Refused);
    assert!(desk.written().is_empty());
    assert_eq!(desk.closed, Some(CloseReason::StoreFull));
}

#[test]
fn a_qos_2_publish_is_taken_once_over_a_reconnect() {
    let mut desk = Desk::persistent(None);
    let packet = publish("customer_mngt", PublishDelivery::ExactlyOnce(id(9)), b"hi");
    desk.send(&packet);
    assert_eq!(desk.happened(), ["telemetry.received"]);
    assert_eq!(desk.states[0].unreleased, [9], "in one write with the fact");
    assert!(desk.written().is_empty());
    desk.commit();
    assert_eq!(desk.written(), [0x50, 2, 0, 9]);
    let state = desk.broken();
    assert_eq!(state.unreleased, [9]);

    let mut desk = Desk::persistent(Some(state));
    desk.send(&packet);
    assert!(desk.facts.is_empty(), "known");
    assert_eq!(desk.written(), [0x50, 2, 0, 9]);
    desk.send(&Packet::Pubrel(ack(9)));
    assert!(desk.written().is_empty(), "the identifier is free on disk first");
    assert!(desk.states[0].unreleased.is_empty());
    desk.commit();
    assert_eq!(desk.written(), [0x70, 2, 0, 9]);
    desk.send(&packet);
    assert_eq!(desk.happened(), ["telemetry.received"], "another message");
}

#[test]
fn what_could_not_be_kept_was_not_received() {
    let mut desk = Desk::persistent(None);
    desk.send(&publish("customer_mngt", PublishDelivery::ExactlyOnce(id(9)), b"hi"));
    desk.settle(Settlement::Refused);
    assert_eq!(desk.closed, Some(CloseReason::StoreFull));
    assert!(desk.session.state().unreleased.is_empty());
}

/// The driver may store after any `Keep`: what has not been handed out by then is not in it.
#[test]
fn a_state_is_never_ahead_of_its_facts() {
    let mut desk = Desk::persistent(None);
    let mut bytes = Vec::new();
    for packet_id in 1..=2 {
        let packet = publish("customer_mngt", PublishDelivery::ExactlyOnce(id(packet_id)), b"hi");
        packet.encode(Version::V3_1_1, &mut bytes);
    }
    desk.bytes(&bytes);
    assert_eq!(desk.facts.len(), 2);
    assert_eq!(desk.states[0].unreleased, [1]);
    assert_eq!(desk.states[1].unreleased, [1, 2]);
}

#[test]
fn what_was_not_acknowledged_goes_out_again_as_it_was() {
    let mut desk = subscribed();
    send(&mut desk, 11, QoS::AtLeastOnce);
    assert_eq!(heads(&desk.written()), [0x32]);
    send(&mut desk, 12, QoS::ExactlyOnce);
    assert!(desk.written().is_empty(), "its identifier is kept first");
    desk.commit();
    assert_eq!(heads(&desk.written()), [0x34]);
    let state = desk.broken();
    let keys: Vec<_> = state.inflight.iter().map(|it| (it.key, it.packet_id)).collect();
    assert_eq!(keys, [(11, 1), (12, 2)]);

    let mut desk = Desk::persistent(Some(state));
    send(&mut desk, 12, QoS::ExactlyOnce);
    let written = desk.written();
    assert_eq!(heads(&written), [0x3C], "a duplicate, and nothing new to keep");
    assert_eq!(written[written.len() - 4..written.len() - 2], [0, 2], "the old identifier");
    send(&mut desk, 11, QoS::AtLeastOnce);
    assert_eq!(heads(&desk.written()), [0x3A]);
    send(&mut desk, 13, QoS::AtLeastOnce);
    let written = desk.written();
    assert_eq!(written[written.len() - 4..written.len() - 2], [0, 3], "no identifier in use");
    desk.send(&Packet::Puback(ack(1)));
    assert_eq!(desk.done, [11]);
}

#[test]
fn received_is_kept_before_it_is_released() {
    let mut desk = subscribed();
    send(&mut desk, 5, QoS::ExactlyOnce);
    desk.commit();
    desk.written();
    desk.send(&Packet::Pubrec(ack(1)));
    assert_eq!(desk.done, [5]);
    assert!(desk.written().is_empty());
    assert!(desk.states[0].inflight[0].is_received);
    desk.commit();
    assert_eq!(desk.written(), [0x62, 2, 0, 1]);
    let state = desk.broken();

    // Released again after CONNACK; sent again it is not.
    let mut desk = Desk::new();
    let packet = Connect { clean_session: false, ..connect(IMEI) };
    desk.send(&Packet::Connect(Box::new(packet)));
    desk.session.authenticated(persisting(Some(state)), desk.now);
    desk.drain();
    desk.commit();
    assert_eq!(desk.written(), [0x20, 2, 1, 0, 0x62, 2, 0, 1]);
    send(&mut desk, 5, QoS::ExactlyOnce);
    assert_eq!((desk.written().len(), &desk.done[..]), (0, &[5][..]));
    desk.send(&Packet::Pubcomp(ack(1)));
    assert!(desk.broken().inflight.is_empty());
}

#[test]
fn a_key_that_never_comes_again_is_forgotten() {
    let mut desk = subscribed();
    send(&mut desk, 5, QoS::AtLeastOnce);
    send(&mut desk, 6, QoS::AtLeastOnce);
    let mut desk = Desk::persistent(Some(desk.broken()));
    desk.session.forget(5);
    let late = Message { expires_at: Some(desk.now.wall), ..message(QoS::AtLeastOnce) };
    desk.session.send(&late, 6, MATCHING, desk.now).unwrap_err();
    assert!(desk.broken().inflight.is_empty());
}

#[test]
fn a_command_at_qos_2_keeps_its_identifier() {
    let deliver = |desk: &mut Desk| {
        let delivery = Delivery {
            command: CommandId::new("c1").unwrap(),
            topic: &format!("boards/{IMEI}/down/x"),
            payload: Bytes::from_static(b"on"),
            qos: model::QoS::ExactlyOnce,
            duplicate: false,
            answer_topic: None,
            correlation: None,
        };
        desk.session.deliver(delivery).unwrap();
        desk.drain();
        assert_eq!(desk.facts.len(), 1);
    };
    let mut desk = subscribed();
    deliver(&mut desk);
    assert_eq!(desk.states.len(), 1);
    desk.commit();
    assert_eq!(heads(&desk.written()), [0x34]);
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["c1 queued", "device.disconnected"]);
    let state = desk.states.pop().unwrap();
    let record =
        InflightRecord { key: 0, packet_id: 1, is_received: false, command: CommandId::new("c1") };
    assert_eq!(state.inflight, std::slice::from_ref(&record));

    // Nor does a connection lose it that breaks before it is sent again.
    let mut desk = Desk::persistent(Some(state.clone()));
    deliver(&mut desk);
    assert_eq!(desk.broken().inflight, [record]);

    let mut desk = Desk::persistent(Some(state));
    deliver(&mut desk);
    desk.commit();
    assert_eq!(heads(&desk.written()), [0x3C]);
    desk.send(&Packet::Pubrec(ack(1)));
    assert_eq!(desk.happened(), ["c1 delivered"]);
    let received = desk.states.pop().unwrap();
    desk.commit();
    assert_eq!(desk.written(), [0x62, 2, 0, 1]);
    desk.close(CloseReason::Lost);
    assert_eq!(desk.happened(), ["device.disconnected"], "it is delivered");

    // The daemon stopped between the two.
    let mut desk = Desk::persistent(Some(received));
    desk.written();
    deliver(&mut desk);
    assert_eq!(desk.happened(), ["c1 delivered"]);
    desk.commit();
    assert!(desk.written().is_empty());
}

#[test]
fn goodbye_may_change_how_long_a_session_lasts() {
    let leave = |asked_s: u32, said: &[Property<'_>]| {
        let asked = properties(&[Property::SessionExpiry(asked_s)]);
        let asked = Properties::parse(&asked, Place::Connect).unwrap();
        let mut desk = Desk::v5(&Connect { properties: asked, ..connect(IMEI) }, persisting(None));
        desk.written();
        let said = properties(said);
        desk.send(&Packet::Disconnect {
            reason: ReasonCode::Success,
            properties: Properties::parse(&said, Place::Disconnect).unwrap(),
        });
        (desk.closed.unwrap(), desk.states.pop().map(|state| state.expiry_s))
    };
    let normal = CloseReason::Disconnected;
    assert_eq!(leave(60, &[]), (normal, Some(60)));
    assert_eq!(leave(60, &[Property::SessionExpiry(5)]), (normal, Some(5)));
    assert_eq!(leave(60, &[Property::SessionExpiry(u32::MAX)]), (normal, Some(86_400)));
    assert_eq!(leave(60, &[Property::SessionExpiry(0)]), (normal, Some(0)), "forget it");
    assert_eq!(leave(0, &[Property::SessionExpiry(0)]), (normal, None));
    let raised = CloseReason::Protocol(ProtocolError::SessionExpiryRaised);
    assert_eq!(leave(0, &[Property::SessionExpiry(5)]), (raised, None));
}

#[test]
fn a_session_taken_up_without_expiry_ends_with_the_connection() {
    let state = SessionState { unreleased: vec![3], expiry_s: 60, ..SessionState::default() };
    let packet = Connect { clean_session: false, ..connect(IMEI) };
    let mut desk = Desk::v5(&packet, persisting(Some(state)));
    assert_eq!(desk.written()[2], 1);
    desk.send(&publish("customer_mngt", PublishDelivery::ExactlyOnce(id(3)), b"hi"));
    assert!(desk.facts.is_empty(), "a duplicate");
    desk.send(&publish("customer_mngt", PublishDelivery::ExactlyOnce(id(4)), b"hi"));
    assert_eq!(desk.states.len(), 1, "kept as long as it is known on disk");
    desk.commit();
    assert_eq!(desk.broken().expiry_s, 0);
}

#[test]
fn a_will_waits_as_long_as_the_session_may_be_resumed() {
    let leave = |delay_s: u32, expiry_s: u32| {
        let asked = properties(&[Property::SessionExpiry(expiry_s)]);
        let of_will = properties(&[Property::WillDelay(delay_s), Property::UserProperty("a", "2")]);
        let will = Will {
            topic: "customer_mngt",
            payload: b"gone",
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Properties::parse(&of_will, Place::Will).unwrap(),
        };
        let packet = Connect {
            will: Some(will),
            properties: Properties::parse(&asked, Place::Connect).unwrap(),
            ..connect(IMEI)
        };
        let mut desk = Desk::v5(&packet, persisting(None));
        desk.close(CloseReason::Lost);
        let data = r#"{"topic":"customer_mngt","qos":1,"properties":{"user":[["a","2"]]},"cause":"lost","text":"gone"}"#;
        match desk.wills.pop() {
            Some((delay, will)) => {
                assert_eq!(will.data.as_str(), data);
                assert_eq!(desk.happened(), ["device.disconnected"]);
                Some(delay)
            }
            None => {
                assert_eq!(desk.happened(), ["will.published", "device.disconnected"]);
                None
            }
        }
    };
    assert_eq!(leave(3, 5), Some(Duration::from_secs(3)));
    assert_eq!(leave(5, 2), Some(Duration::from_secs(2)), "the session ends before");
    assert_eq!(leave(5, 0), None);
    assert_eq!(leave(0, 5), None);
}

#[test]
fn a_state_survives_its_spelling() {
    let mut desk = subscribed();
    send(&mut desk, 5, QoS::ExactlyOnce);
    let state = desk.session.state();
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<SessionState>(&text).unwrap(), state);
    // What a limit no longer allows is dropped, not refused.
    let odd = r##"{"subscriptions":[{"filter":"a/#/b","qos":1},{"filter":"#","qos":3}],
        "unreleased":[0],"inflight":[{"key":1,"packet_id":0,"is_received":true}],"expiry_s":60}"##;
    let state = serde_json::from_str(odd).unwrap();
    let state = Desk::persistent(Some(state)).broken();
    assert_eq!(state.subscriptions.len() + state.unreleased.len() + state.inflight.len(), 0);
}

/// What is to be said of a client, and where its arrival is no event, that it is asked for.
#[test]
fn a_client_has_last_words_from_its_arrival_on() {
    let will = Will {
        topic: "boards/x/up/w",
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::EMPTY,
    };
    for (presence, has_will, keeps) in
        [(true, true, 0), (true, false, 0), (false, true, 1), (false, false, 0)]
    {
        let mut desk = Desk::with(mqtt::Options { presence, ..mqtt::Options::default() });
        let will = has_will.then_some(will);
        desk.send(&Packet::Connect(Box::new(Connect { will, ..connect(IMEI) })));
        assert!(desk.session.last_words(desk.now).is_empty());
        let grant = mqtt::Grant { acl: mqtt::Acl::open().into(), ..persisting(None) };
        desk.session.authenticated(grant, desk.now);
        desk.drain();
        assert_eq!(desk.states.len(), keeps, "a clean session: only for its will");
        assert_eq!(desk.session.was_welcome(), !presence && !has_will);
        let words = desk.session.last_words(desk.now);
        assert_eq!((words.is_told, words.will.is_some()), (presence, has_will));
        if let Some((delay_s, data)) = words.will {
            assert_eq!(delay_s, 0);
            let expected = r#"{"topic":"boards/x/up/w","qos":1,"cause":"lost","text":"gone"}"#;
            assert_eq!(data.as_str(), expected);
        }
        desk.commit();
        assert!(desk.session.was_welcome());
        desk.session.close(CloseReason::Lost, desk.now);
        assert!(desk.session.was_welcome() && desk.session.last_words(desk.now).is_empty());
    }
}

/// Where nothing else is written of it, that it is back is.
#[test]
fn a_return_that_is_no_event_is_kept() {
    let state = SessionState { expiry_s: 86_400, ..SessionState::default() };
    let mut desk = Desk::with(mqtt::Options { presence: false, ..mqtt::Options::default() });
    let packet = Connect { clean_session: false, ..connect(IMEI) };
    desk.send(&Packet::Connect(Box::new(packet)));
    desk.session.authenticated(persisting(Some(state.clone())), desk.now);
    desk.drain();
    assert!(desk.written().is_empty());
    assert_eq!(desk.states, [state]);
    desk.commit();
    assert_eq!(desk.written(), [0x20, 2, 1, 0]);
}
