//! What MQTT 5.0 has beyond 3.1.1, through the daemon and over its crashes.

use crate::backend::{Backend, Received};
use crate::broker::token;
use crate::daemon::{Daemon, until};
use crate::five::{Five, Hello};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    DisconnectReasonCode, LastWill, LastWillProperties, Packet, Publish, PublishProperties,
};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

const TELEMETRY: &str = "lastmile.telemetry.received";
const WILL: &str = "lastmile.will.published";

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, run| crate::trial(&format!("version_5::{name}"), run);
    vec![
        trial("topics_have_numbers_both_ways", topics_have_numbers_both_ways),
        trial("each_side_says_how_much_it_takes", each_side_says_how_much_it_takes),
        trial("identifiers_outlive_a_crash", identifiers_outlive_a_crash),
        trial("a_message_expires_while_it_waits", a_message_expires_while_it_waits),
        trial("a_boards_will_outlives_a_crash", a_boards_will_outlives_a_crash),
    ]
}

fn plain(_: &mut Publish, _: &mut PublishProperties) {}

/// Has the board sent a command.
fn command(daemon: &Daemon, board: &str, topic: &str, payload: &str) {
    let topic = format!("boards/{board}/down/{topic}");
    let body = json!({"kind": "publish", "topic": topic, "payload": payload});
    daemon.call("POST", &format!("/api/v1/devices/mqtt:{board}/commands"), &body);
}

/// The topics of what the backend has had of a kind.
fn topics(accepted: &[Received], kind: &str) -> Vec<String> {
    let of_kind = accepted.iter().filter(|it| it.kind == kind);
    of_kind.map(|it| it.data["topic"].as_str().unwrap().to_owned()).collect()
}

fn text(message: &Publish) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

fn topics_have_numbers_both_ways() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let hello = Hello::board(&daemon, "alias").with(|asked| asked.topic_alias_max = Some(2));
    let mut board = Five::connect(&daemon, &hello);
    assert_eq!(board.told().topic_alias_max, Some(16));
    // Named, by its number, the number given to another, by that again, and without one.
    let (one, two) = ("boards/alias/up/one", "boards/alias/up/two");
    for (topic, alias) in
        [(one, Some(3)), ("", Some(3)), (two, Some(3)), ("", Some(3)), (one, None)]
    {
        board.publish_and_wait(topic, "{}", |_, properties| properties.topic_alias = alias);
    }
    let told = backend.wait("five", PATIENCE, |it| topics(it, TELEMETRY).len() == 5);
    assert_eq!(topics(&told, TELEMETRY), [one, one, two, two, one]);

    board.subscribe("boards/alias/down/#", QoS::AtLeastOnce, None);
    let sent = |board: &mut Five, topic: &str| {
        command(&daemon, "alias", topic, topic);
        let message = board.next();
        assert_eq!(text(&message), topic);
        let topic = String::from_utf8(message.topic.to_vec()).unwrap();
        (topic, message.properties.and_then(|it| it.topic_alias))
    };
    let full = |topic: &str| format!("boards/alias/down/{topic}");
    assert_eq!(sent(&mut board, "a"), (full("a"), Some(1)));
    assert_eq!(sent(&mut board, "a"), (String::new(), Some(1)));
    assert_eq!(sent(&mut board, "b"), (full("b"), Some(2)));
    assert_eq!(sent(&mut board, "c"), (full("c"), None), "it wanted two");
    assert_eq!(sent(&mut board, "b"), (String::new(), Some(2)));
    // Numbers end with their connection, on both sides.
    let mut board = Five::connect(&daemon, &hello);
    assert!(board.connack.session_present);
    assert_eq!(sent(&mut board, "b"), (full("b"), Some(1)));
    let by_number = |_: &mut Publish, properties: &mut PublishProperties| {
        properties.topic_alias = Some(3);
    };
    board.publish(("", QoS::AtLeastOnce), "{}", by_number);
    assert_eq!(board.end(), Some(DisconnectReasonCode::TopicAliasInvalid));
}

fn each_side_says_how_much_it_takes() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let hello = Hello::board(&daemon, "narrow").with(|asked| asked.receive_maximum = Some(2));
    let mut board = Five::connect(&daemon, &hello);
    board.subscribe("boards/narrow/down/#", QoS::ExactlyOnce, None);
    let writer = token(&daemon, "writer", &["boards/+/down/#"], &[]);
    let mut writer = Five::connect(&daemon, &Hello::program("writer", &writer));
    for n in 0..6 {
        let qos = if n % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let id = writer.publish(("boards/narrow/down/x", qos), n.to_string(), plain);
        if qos == QoS::ExactlyOnce {
            writer.wait(|packet| matches!(packet, Packet::PubRec(it) if it.pkid == id));
            writer.release(id).unwrap();
        }
    }
    let (first, second) = (board.peek(), board.peek());
    assert_eq!((text(&first), text(&second)), ("0", "1"));
    assert!(board.is_quiet_for(Duration::from_millis(500)), "a third is too many");
    // At QoS 1 a place is free with PUBACK, at QoS 2 only with PUBCOMP [4.9].
    board.acknowledge(&second);
    let id = second.pkid;
    board.wait(|packet| matches!(packet, Packet::PubRel(it) if it.pkid == id));
    assert!(board.is_quiet_for(Duration::from_millis(300)));
    board.acknowledge(&first);
    assert_eq!(text(&board.peek()), "2");
    assert!(board.is_quiet_for(Duration::from_millis(300)));
    drop(board);

    // What it takes itself.
    let mut board = Five::connect(&daemon, &Hello::board(&daemon, "wide"));
    let receive_max = board.told().receive_max.expect("it says so");
    for n in 0..=receive_max {
        board.publish(("boards/wide/up/x", QoS::ExactlyOnce), format!("{{\"n\":{n}}}"), plain);
    }
    // What it says when it is over does not have the reason lost on the way.
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(100));
        board.publish(("boards/narrow/up/late", QoS::ExactlyOnce), "late", plain);
    }
    assert_eq!(board.end(), Some(DisconnectReasonCode::ReceiveMaximumExceeded));
    let fault = ["mqtt", "too_many_unreleased"];
    assert!(until(PATIENCE, || daemon.counted("lastmile_listen_faults_total", &fault) == 1.0));
}

fn identifiers_outlive_a_crash() {
    let mut daemon = Daemon::start(None, &[]);
    let reader = token(&daemon, "reader", &[], &["boards/#"]);
    let hello = Hello::program("reader", &reader);
    let identifiers = |message: &Publish| {
        let properties = message.properties.clone().unwrap_or_default();
        let mut identifiers = properties.subscription_identifiers;
        identifiers.sort_unstable();
        identifiers
    };
    let speak = |daemon: &Daemon, topic: &str| {
        let mut board = Five::connect(daemon, &Hello::board(daemon, "b"));
        board.publish_and_wait(&format!("boards/b/up/{topic}"), topic, plain);
    };
    let mut program = Five::connect(&daemon, &hello);
    program.subscribe("boards/+/up/#", QoS::AtLeastOnce, Some(7));
    program.subscribe("boards/b/up/x", QoS::AtLeastOnce, Some(268_435_455));
    program.subscribe("boards/b/#", QoS::AtMostOnce, None);
    for (topic, wanted) in [("x", vec![7, 268_435_455]), ("y", vec![7])] {
        speak(&daemon, topic);
        let message = program.next();
        assert_eq!((text(&message), message.qos), (topic, QoS::AtLeastOnce));
        assert_eq!(identifiers(&message), wanted, "once, by all that match");
    }
    for topic in ["x", "y"] {
        daemon.kill();
        daemon.start_again();
        speak(&daemon, topic);
        let mut program = Five::connect(&daemon, &hello);
        assert!(program.connack.session_present);
        // What it acknowledged just before the crash may come again.
        let mut message = program.next();
        while let Some(next) = program.next_within(Duration::from_millis(200)) {
            message = next;
        }
        assert_eq!(text(&message), topic);
        let wanted = if topic == "x" { vec![7, 268_435_455] } else { vec![7] };
        assert_eq!(identifiers(&message), wanted);
    }
}

fn a_message_expires_while_it_waits() {
    let mut daemon = Daemon::start(None, &[]);
    let both = token(&daemon, "both", &["boards/+/down/#", "state/#"], &["state/#"]);
    let hello = Hello::board(&daemon, "late");
    let mut board = Five::connect(&daemon, &hello);
    board.subscribe("boards/late/down/#", QoS::AtLeastOnce, None);
    drop(board);
    let expiry = |seconds: u32| {
        move |publish: &mut Publish, properties: &mut PublishProperties| {
            publish.retain = publish.topic.starts_with(b"state/");
            properties.message_expiry_interval = Some(seconds);
        }
    };
    let mut writer = Five::connect(&daemon, &Hello::program("writer", &both));
    let sent_at = Instant::now();
    for (topic, payload, seconds) in [
        ("boards/late/down/x", "long", 60),
        ("boards/late/down/x", "short", 1),
        ("state/long", "long", 60),
        ("state/short", "short", 1),
    ] {
        writer.publish_and_wait(topic, payload, expiry(seconds));
    }
    let waiting = || daemon.counted("lastmile_mqtt_retained_messages", &[]);
    assert_eq!(waiting(), 2.0);
    daemon.kill();
    daemon.start_again();
    thread::sleep(Duration::from_secs(2).saturating_sub(sent_at.elapsed()));
    let mut board = Five::connect(&daemon, &hello);
    let mut reader = Five::connect(&daemon, &Hello::program("reader", &both));
    reader.subscribe("state/#", QoS::AtLeastOnce, None);
    for client in [&mut board, &mut reader] {
        let message = client.next();
        assert_eq!(text(&message), "long");
        let left = message.properties.and_then(|it| it.message_expiry_interval).expect("said on");
        let gone = u32::try_from(sent_at.elapsed().as_secs()).unwrap();
        assert!((60 - gone - 1..=58).contains(&left), "{left} s left of 60 after {gone} s");
        assert!(client.is_quiet_for(Duration::from_millis(300)), "what has expired is not sent");
    }
    assert_eq!(daemon.counted("lastmile_mqtt_dropped_total", &["expired"]), 1.0);
}

/// Of a board that was lost before the crash; and one that comes back in time after it has none.
fn a_boards_will_outlives_a_crash() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let hello = |daemon: &Daemon, id: &str, delay: u32| {
        let mut hello = Hello::board(daemon, id);
        let properties = LastWillProperties {
            delay_interval: Some(delay),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: vec![("why".to_owned(), "battery".to_owned())],
        };
        let topic = format!("boards/{id}/up/will");
        let will = LastWill::new(topic, "gone", QoS::AtLeastOnce, false, Some(properties));
        hello.will = Some(will);
        hello
    };
    let lost_at = Instant::now();
    for (id, delay) in [("lost", 2), ("back", 3)] {
        drop(Five::connect(&daemon, &hello(&daemon, id, delay)));
        backend.wait_for("lastmile.device.disconnected", &format!("mqtt:{id}"));
    }
    assert_eq!(topics(&backend.accepted(), WILL), Vec::<String>::new(), "not yet");
    daemon.kill();
    daemon.start_again();
    let back = Five::connect(&daemon, &hello(&daemon, "back", 3));
    assert!(back.connack.session_present);
    let will = backend.wait_for(WILL, "mqtt:lost");
    assert!(lost_at.elapsed() >= Duration::from_secs(2), "{:?}", lost_at.elapsed());
    assert_eq!(will.data["topic"], "boards/lost/up/will");
    assert_eq!((&will.data["text"], &will.data["cause"]), (&json!("gone"), &json!("lost")));
    assert_eq!(will.data["properties"]["user"], json!([["why", "battery"]]));
    thread::sleep(Duration::from_millis(4_500).saturating_sub(lost_at.elapsed()));
    assert_eq!(topics(&backend.accepted(), WILL), ["boards/lost/up/will"], "once, and of one");
    drop(back);
}
