//! The life of a board from outside: with Mosquitto's client, over restarts and `kill -9`.

use crate::backend::{Backend, Received};
use crate::board::Board;
use crate::daemon::Daemon;
use crate::http::PATIENCE;
use crate::programs;
use libtest_mimic::Trial;
use serde_json::{Value, json};

const IMEI: &str = "490154203237518";
const IMSI: &str = "295000012345678";
const URL: &str = "/api/v1/devices/imei:490154203237518";
const CHANGED: &str = "lastmile.board.status_changed";
/// The SIM of the inspection bench, by default.
const BENCH: &str = "440525060010923";

pub(crate) fn trials() -> Vec<Trial> {
    let publisher = &["mosquitto_pub"];
    vec![
        programs::trial("boards::a_life_over_restarts", publisher, a_life_over_restarts),
        crate::trial("boards::no_move_is_lost_or_made_twice", no_move_is_lost_or_made_twice),
        crate::trial("boards::the_zone_must_be_one", the_zone_must_be_one),
    ]
}

/// A real client that ends when its message is on disk.
fn publish(daemon: &Daemon, version: &str, topic: &str, payload: &Value) {
    let (port, secret) = (daemon.ports.mqtt.to_string(), daemon.enrolment());
    let payload = payload.to_string();
    let server = ["-p", &port, "-V", version, "-u", "enrol", "-P", &secret, "-i", IMEI];
    let message = ["-q", "1", "-t", topic, "-m", &payload];
    let arguments = [server.as_slice(), &message].concat();
    programs::succeed("mosquitto_pub", &arguments, b"");
}

fn show(daemon: &Daemon) -> Value {
    daemon.call("GET", URL, &Value::Null)
}

fn set(daemon: &Daemon, number: u8) -> u16 {
    let body = json!({ "board_status": number });
    daemon.api("PUT", &format!("{URL}/board-status"), &body).status
}

/// The data of events of a kind.
fn of(all: &[Received], kind: &str) -> Vec<Value> {
    all.iter().filter(|it| it.kind == kind).map(|it| it.data.clone()).collect()
}

fn a_life_over_restarts() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let up = format!("boards/{IMEI}/up/t");

    publish(&daemon, "311", "customer_mngt", &json!({"imei": IMEI, "imsi": BENCH, "STATUS": 0}));
    assert_eq!(set(&daemon, 4), 409, "no contract");
    assert_eq!(set(&daemon, 1), 200);
    let board = json!({"expected_imsi": IMSI, "sim_status": "ready"});
    daemon.call("PUT", &format!("{URL}/board"), &board);
    daemon.kill();
    daemon.start_again();

    publish(&daemon, "311", &up, &json!({"t": 20}));
    assert_eq!(show(&daemon)["board_status"], 1, "data is not the first message");
    let first = json!({"imei": IMEI, "imsi": IMSI, "sketch_ver": "0.0.1"});
    publish(&daemon, "31", "customer_mngt", &first);
    let shown = show(&daemon);
    assert_eq!((&shown["board_status"], &shown["imsi"]), (&json!(2), &json!(IMSI)));
    assert_eq!((&shown["imsi_as_expected"], &shown["sketch_ver"]), (&json!(true), &json!("0.0.1")));
    daemon.kill();
    daemon.start_again();

    publish(&daemon, "311", &up, &json!({"t": 21}));
    assert_eq!(show(&daemon)["board_status"], 3);
    publish(&daemon, "311", "customer_mngt", &json!({"STATUS": 1}));
    assert_eq!(set(&daemon, 1), 409, "it has a contract");
    assert_eq!(set(&daemon, 4), 200);
    publish(&daemon, "311", "customer_mngt", &json!({"imsi": BENCH, "board_status": "0"}));
    let shown = show(&daemon);
    assert_eq!(shown["board_status"], 0);
    assert!(shown.get("imsi").is_none() && shown.get("expected_imsi").is_none());

    let history = daemon.call("GET", &format!("{URL}/board/history"), &Value::Null);
    let moves: Vec<_> = history["items"].as_array().unwrap().iter().rev().collect();
    let moves: Vec<_> = moves.iter().map(|it| it["new"].as_u64().unwrap()).collect();
    assert_eq!(moves, [0, 1, 2, 3, 4, 0]);
    assert_eq!(daemon.counted("lastmile_board_refused_total", &["only_the_console"]), 1.0);

    // The business backend hears all of it, in order.
    let all = backend.wait("every move", PATIENCE, |all| of(all, CHANGED).len() == moves.len());
    let heard: Vec<_> = of(&all, CHANGED).iter().map(|it| it["new"].as_u64().unwrap()).collect();
    assert_eq!(heard, moves);
    let refused = of(&all, "lastmile.board.status_refused");
    let reasons: Vec<_> = refused.iter().map(|it| it["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["not_contracted", "only_the_console", "already_contracted"]);
    let message = of(&all, "lastmile.telemetry.received")
        .into_iter()
        .find(|it| it["sketch_ver"] == "0.0.1")
        .expect("the first message");
    assert_eq!((&message["imei"], &message["net"]), (&json!(IMEI), &json!({ "imei": IMEI })));
    let timestamp = message["timestamp"].as_str().unwrap();
    let form: String =
        timestamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000.00.00 00:00:00");
}

/// What was acknowledged moved the board, once, wherever the daemon was killed.
fn no_move_is_lost_or_made_twice() {
    let mut daemon = Daemon::start(None, &[]);
    let mut board = Board::enrol(daemon.ports.mqtt, IMEI, &daemon.enrolment());
    let inspected = br#"{"STATUS":0}"#;
    board.publish_and_wait("customer_mngt", inspected).unwrap();
    let up = format!("boards/{IMEI}/up/t");
    for round in 0..5 {
        assert_eq!(set(&daemon, 1), 200);
        // Not waited for: the kill comes before, between or after.
        for _ in 0..5 {
            board.publish("customer_mngt", b"{}").unwrap();
        }
        if round % 2 == 0 {
            board.publish_and_wait("customer_mngt", b"{}").unwrap();
        }
        daemon.kill();
        daemon.start_again();
        board = Board::enrol(daemon.ports.mqtt, IMEI, &daemon.enrolment());
        if round % 2 == 0 {
            assert_eq!(show(&daemon)["board_status"], 2, "it was acknowledged");
        }
        board.publish_and_wait("customer_mngt", b"{}").unwrap();
        board.publish_and_wait(&up, b"1").unwrap();
        assert_eq!(show(&daemon)["board_status"], 3);
        assert_eq!(set(&daemon, 4), 200);
        board.publish_and_wait("customer_mngt", inspected).unwrap();
    }
    let history = daemon.call("GET", &format!("{URL}/board/history"), &Value::Null);
    let moves = history["items"].as_array().unwrap().iter().rev();
    let moves: Vec<_> = moves.map(|it| it["new"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = std::iter::once(0).chain([1, 2, 3, 4, 0].repeat(5)).collect();
    assert_eq!(moves, expected);
}

fn the_zone_must_be_one() {
    let daemon = Daemon::prepare(None, &[("boards", "timezone = \"Asia/Edo\"")]);
    let output = daemon.command("check").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("boards.timezone: there is no such time zone"), "{said}");
}
