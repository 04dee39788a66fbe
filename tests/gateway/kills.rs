//! `kill -9` under load: what was acknowledged arrives, whatever is left of the process.

use crate::backend::{Backend, Mood, Received};
use crate::board::{Board, with_will};
use crate::daemon::Daemon;
use crate::five::{Five, Hello};
use crate::http::PATIENCE;
use crate::load::Load;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use std::thread;
use std::time::Duration;

/// How often the daemon is killed when nobody asks for more.
const KILLS: u64 = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("kills::nothing_acknowledged_is_lost", nothing_acknowledged_is_lost),
        crate::trial("kills::nor_while_the_backend_refuses", nor_while_the_backend_refuses),
        crate::trial("kills::exactly_once_is_once", exactly_once_is_once),
        crate::trial("kills::who_was_connected_is_told_of", who_was_connected_is_told_of),
    ]
}

/// `LASTMILE_TEST_SEEDS`, for longer runs.
fn kills() -> u64 {
    let seeds = std::env::var("LASTMILE_TEST_SEEDS");
    seeds.map_or(KILLS, |it| it.parse().expect("LASTMILE_TEST_SEEDS is a number"))
}

/// A moment within the next 100 ms, another for each round.
fn jitter(round: u64) -> Duration {
    let mixed = round.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Duration::from_micros((mixed >> 32) % 100_000)
}

fn nothing_acknowledged_is_lost() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let load = Load::start(&daemon);
    for round in 0..kills() {
        load.wait_for_more(5);
        thread::sleep(jitter(round));
        daemon.kill();
        daemon.start_again();
    }
    load.wait_for_more(5);
    let ledger = load.stop();
    daemon.kill();
    daemon.start_again();
    ledger.assert_arrived(&backend);
    ledger.assert_customers(&daemon);
}

/// The backend answers 503, not at all, or takes a batch and cannot say so any more.
fn nor_while_the_backend_refuses() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let load = Load::start(&daemon);
    for round in 0..kills() {
        backend.be(match round % 5 {
            0 | 1 => Mood::Refuses(503),
            2 => Mood::Stalls,
            3 => Mood::HangsUpLate,
            _ => Mood::Accepts,
        });
        load.wait_for_more(5);
        thread::sleep(jitter(round));
        daemon.kill();
        daemon.start_again();
    }
    backend.be(Mood::Accepts);
    load.stop().assert_arrived(&backend);
    assert!(backend.refused() > 0, "the backend never had a chance to refuse");
}

/// A board's messages at QoS 2, with the daemon killed at each step of each: a board that finishes
/// what it began as the standard says has each kept once.
fn exactly_once_is_once() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let hello = Hello::board(&daemon, "exact");
    let mut board = Five::connect(&daemon, &hello);
    let topic = "boards/exact/up/a";
    for round in 0..6_u32 {
        let (step, payload) = (round % 3, format!("{{\"n\":{round}}}"));
        // The same identifier each time: whose message it is must be kept apart all the same.
        board.publish((topic, QoS::ExactlyOnce), &*payload, |message, _| message.pkid = 7);
        if step > 0 {
            board.wait(|packet| matches!(packet, Packet::PubRec(it) if it.pkid == 7));
        }
        if step > 1 {
            board.release(7).unwrap();
        }
        thread::sleep(jitter(round.into()) / 20);
        daemon.kill();
        daemon.start_again();
        board = Five::connect(&daemon, &hello);
        assert!(board.connack.session_present);
        if step == 0 {
            board.publish((topic, QoS::ExactlyOnce), &*payload, |message, _| {
                (message.pkid, message.dup) = (7, true);
            });
            board.wait(|packet| matches!(packet, Packet::PubRec(it) if it.pkid == 7));
        }
        board.release(7).unwrap();
        board.wait(|packet| matches!(packet, Packet::PubComp(it) if it.pkid == 7));
    }
    board.publish_and_wait(topic, "\"end\"", |_, _| {});
    let numbers = |accepted: &[Received]| -> Vec<serde_json::Value> {
        let telemetry = accepted.iter().filter(|it| it.kind == "lastmile.telemetry.received");
        telemetry.map(|it| it.data["payload"]["n"].clone()).collect()
    };
    let told = backend
        .wait("the end", PATIENCE, |it| it.last().is_some_and(|it| it.data["payload"] == "end"));
    assert_eq!(numbers(&told)[..6], (0..6).map(serde_json::Value::from).collect::<Vec<_>>());
    assert_eq!(numbers(&told).len(), 7);
}

/// Who was connected when the daemon vanished has left, and its will is published; once each.
fn who_was_connected_is_told_of() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let mut dying = Board::open(daemon.ports.mqtt).unwrap();
    dying.write(&with_will("d1", "enrol", &secret)).unwrap();
    dying.ping().unwrap();
    let _plain = Board::enrol(daemon.ports.mqtt, "d2", &secret);
    Board::enrol(daemon.ports.mqtt, "d3", &secret).disconnect();
    backend.wait_for("lastmile.device.disconnected", "mqtt:d3");
    for _ in 0..2 {
        daemon.kill();
        daemon.start_again();
    }
    let will = backend.wait_for("lastmile.will.published", "mqtt:d1");
    assert_eq!((&will.data["text"], &will.data["cause"]), (&"gone".into(), &"lost".into()));
    for subject in ["mqtt:d1", "mqtt:d2"] {
        let left = backend.wait_for("lastmile.device.disconnected", subject);
        assert_eq!(left.data["cause"], "lost");
    }
    let _back = Board::enrol(daemon.ports.mqtt, "d2", &secret);
    let count = |all: &[Received], kind: &str| all.iter().filter(|it| it.kind == kind).count();
    let all =
        backend.wait("d2's return", PATIENCE, |all| count(all, "lastmile.device.connected") == 4);
    assert_eq!(count(&all, "lastmile.device.disconnected"), 3, "{all:?}");
    assert_eq!(count(&all, "lastmile.will.published"), 1, "{all:?}");
}
