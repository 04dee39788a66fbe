//! What the configuration bounds of sessions, queues and retained messages, set on a daemon and met.

use crate::backend::{Backend, Received};
use crate::board::{Board, connect_packet};
use crate::broker::token;
use crate::daemon::{Daemon, until};
use crate::five::{Five, Hello};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DROPPED: &str = "lastmile.message.dropped";
const FILTER: &str = "boards/away/down/#";
const TOPIC: &str = "boards/away/down/x";

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, run| crate::trial(&format!("bounds::{name}"), run);
    vec![
        trial("a_session_lasts_so_long", a_session_lasts_so_long),
        trial("a_session_of_3_1_1_has_its_own_end", a_session_of_3_1_1_has_its_own_end),
        trial("so_many_sessions_are_kept", so_many_sessions_are_kept),
        trial("a_full_queue_lets_the_oldest_go", a_full_queue_lets_the_oldest_go),
        trial("or_refuses_the_newest", or_refuses_the_newest),
        trial("nothing_waits_for_ever", nothing_waits_for_ever),
        trial("so_much_is_retained", so_much_is_retained),
    ]
}

/// Connects as 3.1.1 does that wants to be remembered; whether it was.
fn connect_3(daemon: &Daemon, id: &str) -> (Board, bool) {
    let mut packet = connect_packet(id, "enrol", &daemon.enrolment());
    // The flags, behind the header, the protocol's name and its level.
    packet[9] &= !0b10;
    let mut board = Board::open(daemon.ports.mqtt).unwrap();
    board.write(&packet).unwrap();
    let mut connack = [0; 4];
    board.read(&mut connack).unwrap();
    assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
    (board, connack[2] == 1)
}

fn ended(daemon: &Daemon) -> f64 {
    daemon.counted("lastmile_mqtt_sessions_ended_total", &["expired"])
}

fn a_session_lasts_so_long() {
    let daemon = Daemon::start(None, &[("mqtt", "session_expiry_max = \"2s\"")]);
    let hello = Hello::board(&daemon, "five");
    let less = hello.clone().with(|asked| asked.session_expiry_interval = Some(1));
    assert_eq!(Five::connect(&daemon, &less).told().session_expiry_interval, None, "as it asked");
    let five = Five::connect(&daemon, &hello);
    assert_eq!(five.told().session_expiry_interval, Some(2));
    assert!(five.connack.session_present);
    drop(five);
    drop(connect_3(&daemon, "three"));
    let left_at = Instant::now();
    assert!(Five::connect(&daemon, &hello).connack.session_present);
    assert!(connect_3(&daemon, "three").1);
    assert!(until(PATIENCE, || ended(&daemon) == 2.0), "{}", daemon.metrics());
    assert!(left_at.elapsed() >= Duration::from_secs(2), "{:?}", left_at.elapsed());
    assert_eq!(daemon.counted("lastmile_mqtt_sessions_kept", &[]), 0.0);
    assert!(!Five::connect(&daemon, &hello).connack.session_present);
    assert!(!connect_3(&daemon, "three").1);
}

fn a_session_of_3_1_1_has_its_own_end() {
    let daemon = Daemon::start(None, &[("mqtt", "session_expiry_3x = \"1s\"")]);
    let hello = Hello::board(&daemon, "five");
    drop(Five::connect(&daemon, &hello));
    drop(connect_3(&daemon, "three"));
    assert!(until(PATIENCE, || ended(&daemon) == 1.0), "{}", daemon.metrics());
    assert!(!connect_3(&daemon, "three").1);
    assert!(Five::connect(&daemon, &hello).connack.session_present, "it said an hour");
}

fn so_many_sessions_are_kept() {
    let daemon = Daemon::start(None, &[("mqtt", "sessions_max = 1")]);
    let (first, second) = (Hello::board(&daemon, "first"), Hello::board(&daemon, "second"));
    assert_eq!(Five::connect(&daemon, &first).told().session_expiry_interval, None);
    // Served, and told that nothing is kept of it.
    let mut served = Five::connect(&daemon, &second);
    assert_eq!(served.told().session_expiry_interval, Some(0));
    served.publish_and_wait("boards/second/up/a", "{}", |_, _| {});
    drop(served);
    let refused = ["sessions_max"];
    assert_eq!(daemon.counted("lastmile_mqtt_sessions_refused_total", &refused), 1.0);
    assert!(!Five::connect(&daemon, &second).connack.session_present);
    assert!(Five::connect(&daemon, &first).connack.session_present);
    // A place that is given up is free.
    let mut over = first;
    over.connect.clean_start = true;
    drop(Five::connect(&daemon, &over.with(|asked| asked.session_expiry_interval = None)));
    let is_kept = || {
        let told = Five::connect(&daemon, &second).told();
        told.session_expiry_interval.is_none()
    };
    assert!(until(PATIENCE, is_kept));
}

/// A board that is away and wants all that is sent to it, and a program that sends it such
/// payloads; what the board gets when it is back.
fn queued(daemon: &Daemon, payloads: &[&str]) -> Vec<String> {
    let hello = away(daemon);
    send(daemon, payloads);
    back(daemon, &hello)
}

fn away(daemon: &Daemon) -> Hello {
    let hello = Hello::board(daemon, "away");
    Five::connect(daemon, &hello).subscribe(FILTER, QoS::AtLeastOnce, None);
    hello
}

fn send(daemon: &Daemon, payloads: &[&str]) {
    // Another each time: a name is one token's.
    let name = format!("writer{}", payloads.len());
    let writer = token(daemon, &name, &["boards/+/down/#"], &[]);
    let mut writer = Five::connect(daemon, &Hello::program(&name, &writer));
    for payload in payloads {
        writer.publish_and_wait(TOPIC, *payload, |_, _| {});
    }
}

fn back(daemon: &Daemon, hello: &Hello) -> Vec<String> {
    let mut board = Five::connect(daemon, hello);
    assert!(board.connack.session_present);
    // The last that it is sent.
    let command = json!({"kind": "publish", "topic": TOPIC, "payload": "end"});
    daemon.call("POST", "/api/v1/devices/mqtt:away/commands", &command);
    let mut got = Vec::new();
    let (mut is_over, pause) = (false, Duration::from_millis(300));
    while let Some(message) = if is_over { board.next_within(pause) } else { Some(board.next()) } {
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        if text == "end" { is_over = true } else { got.push(text) }
    }
    got
}

/// What the backend was told of losses: cause, how many were lost then, and how many wait.
fn losses(accepted: &[Received]) -> Vec<(String, u64, u64)> {
    let told = accepted.iter().filter(|it| it.kind == DROPPED);
    let number = |value: &Value| value.as_u64().unwrap();
    told.map(|it| {
        assert_eq!((&*it.subject, &it.data["client_id"]), ("mqtt:away", &json!("away")));
        let cause = it.data["cause"].as_str().unwrap().to_owned();
        (cause, number(&it.data["messages"]), number(&it.data["waiting"]))
    })
    .collect()
}

fn dropped(daemon: &Daemon, cause: &str) -> f64 {
    let cause = format!("reason=\"{cause}\"");
    daemon.counted("lastmile_mqtt_dropped_total", &[&cause])
}

fn a_full_queue_lets_the_oldest_go() {
    let backend = Backend::start();
    let bounds = "queue_messages_max = 3\nqueue_bytes_max = \"1 KiB\"";
    let daemon = Daemon::start(Some(&backend), &[("mqtt", bounds)]);
    assert_eq!(queued(&daemon, &["1", "2", "3", "4", "5"]), ["3", "4", "5"]);
    assert_eq!(dropped(&daemon, "full"), 2.0);
    // Told once, not once for each.
    let told = backend.wait("a loss", PATIENCE, |it| !losses(it).is_empty());
    assert_eq!(losses(&told), [("full".to_owned(), 1, 3)]);
    // By bytes: the oldest two make room for one; what never fits is not waited for.
    let (half, whole) = ("h".repeat(450), "w".repeat(900));
    let hello = Hello::board(&daemon, "away");
    send(&daemon, &[&half, &half, &whole, &"t".repeat(1_100)]);
    assert_eq!(back(&daemon, &hello), [whole]);
    assert_eq!((dropped(&daemon, "full"), dropped(&daemon, "too_large")), (4.0, 1.0));
    let told = backend.wait("a second", PATIENCE, |it| losses(it).len() == 2);
    assert_eq!(losses(&told)[1].0, "full");
}

fn or_refuses_the_newest() {
    let backend = Backend::start();
    let bounds = "queue_messages_max = 3\nqueue_full = \"refuse_newest\"";
    let daemon = Daemon::start(Some(&backend), &[("mqtt", bounds)]);
    assert_eq!(queued(&daemon, &["1", "2", "3", "4", "5"]), ["1", "2", "3"]);
    assert_eq!(dropped(&daemon, "full"), 2.0);
    let told = backend.wait("a loss", PATIENCE, |it| !losses(it).is_empty());
    assert_eq!(losses(&told), [("full".to_owned(), 1, 3)]);
}

fn nothing_waits_for_ever() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("mqtt", "queue_age_max = \"1s\"")]);
    let hello = away(&daemon);
    send(&daemon, &["1", "2"]);
    assert!(until(PATIENCE, || dropped(&daemon, "age") == 2.0), "{}", daemon.metrics());
    assert_eq!(back(&daemon, &hello), Vec::<String>::new());
    let told = backend.wait("a loss", PATIENCE, |it| !losses(it).is_empty());
    assert_eq!(losses(&told)[0].0, "age");
}

fn so_much_is_retained() {
    let bounds = "retained_messages_max = 3\nretained_bytes_max = \"2 KiB\"\n\
                  retained_message_max = \"1 KiB\"";
    let daemon = Daemon::start(None, &[("mqtt", bounds)]);
    let both = token(&daemon, "both", &["state/#"], &["state/#"]);
    let mut writer = Five::connect(&daemon, &Hello::program("writer", &both));
    let refused = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        daemon.counted("lastmile_mqtt_retained_refused_total", &[&reason])
    };
    let mut retain = |topic: &str, len: usize| {
        let payload = topic.repeat(len).into_bytes()[..len].to_vec();
        writer.publish_and_wait(&format!("state/{topic}"), payload, |it, _| it.retain = true);
        (refused("message"), refused("bytes"), refused("messages"))
    };
    assert_eq!(retain("a", 900), (0.0, 0.0, 0.0));
    assert_eq!(retain("b", 1_100), (1.0, 0.0, 0.0));
    assert_eq!(retain("c", 900), (1.0, 0.0, 0.0));
    assert_eq!(retain("d", 500), (1.0, 1.0, 0.0));
    assert_eq!(retain("e", 100), (1.0, 1.0, 0.0));
    assert_eq!(retain("f", 1), (1.0, 1.0, 1.0));
    // In place of one that is there.
    assert_eq!(retain("a", 950), (1.0, 1.0, 1.0));
    assert_eq!(daemon.counted("lastmile_mqtt_retained_messages", &[]), 3.0);
    let bytes = daemon.counted("lastmile_mqtt_retained_bytes", &[]);
    assert!((1_950.0..=2_048.0).contains(&bytes), "{bytes}");
    let mut reader = Five::connect(&daemon, &Hello::program("reader", &both));
    reader.subscribe("state/#", QoS::AtLeastOnce, None);
    let got: Vec<_> = (0..3)
        .map(|_| {
            let message = reader.next();
            assert!(message.retain);
            (String::from_utf8(message.topic.to_vec()).unwrap(), message.payload.len())
        })
        .collect();
    let wanted = [("state/a", 950), ("state/c", 900), ("state/e", 100)];
    assert_eq!(got, wanted.map(|(topic, len)| (topic.to_owned(), len)));
    assert!(reader.is_quiet_for(Duration::from_millis(200)));
}
