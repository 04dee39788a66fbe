//! The life of a board from outside: with Mosquitto's client, over restarts and `kill -9`.

use crate::backend::{Backend, Received};
use crate::board::Board;
use crate::daemon::{Daemon, free_port, until};
use crate::http::{self, Answer, PATIENCE};
use crate::programs;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

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
        crate::trial("boards::a_cloud_hands_on_what_funnel_gave_it", a_cloud_hands_on),
        crate::trial("boards::the_bench_s_sim_is_nobody_s", the_bench_s_sim_is_nobody_s),
        crate::trial("boards::a_modem_without_its_check_digit", a_modem_without_its_check_digit),
        programs::trial("boards::a_field_of_them_loses_nothing", &["cargo"], a_field_of_them),
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

/// A program's token that may publish there.
fn token(daemon: &Daemon, name: &str, topic: &str) -> String {
    let body = json!({"name": name, "role": "program", "publish": [topic], "subscribe": []});
    daemon.call("POST", "/api/v1/tokens", &body)["token"].as_str().unwrap().to_owned()
}

fn post(daemon: &Daemon, path: &str, token: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &str)] = &[("Authorization", &bearer)];
    let headers = if token.is_empty() { &[] } else { headers };
    http::once(daemon.ports.public, "POST", path, headers, body).unwrap()
}

/// Funnel, a cloud's rule, and its HTTP action: the same as what a program publishes.
fn a_cloud_hands_on() {
    let backend = Backend::start();
    let lines = "funnel_message_max = \"1 KiB\"";
    let mut daemon = Daemon::start(Some(&backend), &[("boards", lines)]);
    let own = token(&daemon, "funnel", "customer_mngt");
    let other = token(&daemon, "other", "boards/+/down/#");
    let envelope = json!({
        "operatorId": "OP0081185049", "timestamp": 1_653_891_795_421_i64, "credentialsId": "role",
        "destination": {"provider": "aws"}, "sourceProtocol": "udp", "imsi": BENCH, "imei": IMEI,
        "payloads": {"imei": IMEI, "STATUS": 0, "topic": "mine"},
    });
    let envelope = envelope.to_string();
    assert_eq!(post(&daemon, "/funnel", &own, envelope.as_bytes()).status, 200);
    daemon.kill();
    daemon.start_again();
    let shown = show(&daemon);
    assert_eq!(shown["board_status"], 0);
    let is_message = |it: &&Received| it.kind == "lastmile.telemetry.received";
    let all = backend.wait("it", PATIENCE, |all| all.iter().any(|it| is_message(&it)));
    let data = &all.iter().find(is_message).unwrap().data;
    assert_eq!(data["net"], json!({"imei": IMEI, "imsi": BENCH}));
    assert_eq!(data["payload"]["payloads"]["topic"], "mine");
    let published = of(&all, "lastmile.message.published");
    assert_eq!((&published[0]["client_id"], &published[0]["qos"]), (&json!("http"), &json!(1)));

    let refused = post(&daemon, "/funnel", "", envelope.as_bytes());
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer "));
    assert_eq!(post(&daemon, "/funnel", "lm_wrong", envelope.as_bytes()).status, 401);
    assert_eq!(post(&daemon, "/funnel", &other, envelope.as_bytes()).status, 403);
    assert_eq!(post(&daemon, "/funnel", &daemon.token(), envelope.as_bytes()).status, 403);
    assert_eq!(post(&daemon, "/funnel", &own, b"").status, 400);
    assert_eq!(post(&daemon, "/funnel", &own, &[b'x'; 1_025]).status, 413);
    let got = http::once(daemon.ports.public, "GET", "/funnel", &[], &[]).unwrap();
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let outcome = |outcome: &str| daemon.counted("lastmile_funnel_messages_total", &[outcome]);
    for (code, count) in
        [("unauthorised", 2.0), ("forbidden", 2.0), ("empty", 1.0), ("too_long", 1.0)]
    {
        assert_eq!(outcome(code), count, "{code}");
    }

    // AWS IoT asks before it posts; whoever makes that up has a line in the log and no more.
    let kind = ("x-amz-rules-engine-message-type", "DestinationConfirmation");
    let ask = |query: &str| {
        let path = format!("/funnel/?confirmationToken={query}");
        http::once(daemon.ports.public, "POST", &path, &[kind], b"{}").unwrap().status
    };
    assert_eq!((ask("AYADeM-_1"), ask("%0Aevil"), ask("")), (200, 401, 401));
    assert!(daemon.logs_within("AYADeM-_1", PATIENCE));
    assert!(!daemon.log().contains("evil"));

    let daemon = Daemon::start(None, &[("boards", "funnel_rate_per_token = 2")]);
    let own = token(&daemon, "funnel", "customer_mngt");
    let posted = || post(&daemon, "/funnel", &own, b"{}").status;
    let statuses: Vec<u16> = (0..20).map(|_| posted()).collect();
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
}

fn the_bench_s_sim_is_nobody_s() {
    let daemon = Daemon::start(None, &[]);
    let mut board = Board::enrol(daemon.ports.mqtt, IMEI, &daemon.enrolment());
    board.publish_and_wait("customer_mngt", br#"{"STATUS":0}"#).unwrap();
    let alias = |imsi: &str| daemon.api("PUT", &format!("{URL}/aliases/imsi/{imsi}"), &Value::Null);
    assert_eq!(alias(BENCH).status, 400);
    assert_eq!(alias(IMSI).status, 204);
    let expected = json!({ "expected_imsi": BENCH });
    assert_eq!(daemon.api("PUT", &format!("{URL}/board"), &expected).status, 422);
}

/// A zero stands for the check digit that a modem leaves out.
fn a_modem_without_its_check_digit() {
    let daemon = Daemon::start(None, &[]);
    let mut board = Board::enrol(daemon.ports.mqtt, "490154203237510", &daemon.enrolment());
    board.publish_and_wait("boards/490154203237510/up/hello", b"1").unwrap();
    assert_eq!(show(&daemon)["online"], true);
    let shown = daemon.api("GET", "/api/v1/devices/mqtt:490154203237510", &Value::Null);
    assert_eq!(shown.status, 404);
}

/// The load as a process, which ends with its test.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The load's boards, which sleep, are cut off and ask for firmware, with its own backend.
fn a_field_of_them() {
    const BOARDS: usize = 20;
    const GROUP: &str = "field";
    let port = free_port();
    let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loadtest.secret");
    std::fs::write(&file, secret).unwrap();
    let sink = format!(
        "name = \"loadtest\"\nurl = \"http://127.0.0.1:{port}/\"\nsecret_file = {:?}\n\
         retry_min = \"20ms\"\nretry_max = \"200ms\"",
        file.display().to_string()
    );
    let daemon = Daemon::start(None, &[("[sink]", &sink)]);
    let query = format!("/api/v1/images/sketch?group={GROUP}&version=1.0.1");
    let bearer = format!("Bearer {}", daemon.token());
    let headers = [("Authorization", bearer.as_str())];
    let put = http::once(daemon.ports.operator, "PUT", &query, &headers, &[b'x'; 3_000]).unwrap();
    assert_eq!(put.status, 201);
    let wish = json!({ "version": "1.0.1" });
    daemon.call("PUT", &format!("/api/v1/groups/{GROUP}/firmware"), &wish);

    let (report, data) = (folder.path().join("report.json"), daemon.data());
    let at = |port: u16| format!("127.0.0.1:{port}");
    let (boards, mqtt, public) =
        (BOARDS.to_string(), at(daemon.ports.mqtt), at(daemon.ports.public));
    let (operator, backend) = (at(daemon.ports.operator), at(port));
    let arguments = [
        ["--boards", &boards],
        ["--seconds", "8"],
        ["--sleep", "300ms"],
        ["--listen", "50ms"],
        ["--cut", "0.2"],
        ["--vanish", "0.2"],
        ["--slow", "0.2"],
        ["--slow-pause", "1ms"],
        ["--ask-firmware", "1000"],
        ["--mqtt", &mqtt],
        ["--ussd", &public],
        ["--operator", &operator],
        ["--backend-listen", &backend],
        ["--webhook-secret-file", file.to_str().unwrap()],
        ["--data-dir", data.to_str().unwrap()],
        ["--json", report.to_str().unwrap()],
    ];
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "-p", "loadtest", "--", "boards"]);
    command.args(arguments.concat()).stdout(Stdio::null());
    let mut load = Load(command.spawn().unwrap());
    // The first time it is built.
    let known = || daemon.call("GET", "/api/v1/devices?limit=100", &Value::Null)["items"].clone();
    let are_known = || known().as_array().is_some_and(|it| it.len() == BOARDS);
    until(PATIENCE * 10, || are_known() || load.0.try_wait().unwrap().is_some());
    for device in known().as_array().unwrap() {
        let path = format!("/api/v1/devices/{}/group", device["id"].as_str().unwrap());
        daemon.call("PUT", &path, &json!({ "group": GROUP }));
    }
    assert!(load.0.wait().unwrap().success(), "something acknowledged was lost");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let account = &report["account"];
    assert_eq!((&account["lost"], &account["phantom"]), (&json!(0), &json!(0)), "{account}");
    assert!(account["acknowledged"].as_u64().unwrap() > BOARDS as u64 * 5, "{account}");
    // What was cut off came again, and is told apart from what was not.
    assert_eq!(account["doubled"], 0, "{account}");
    let updates = daemon.counted("lastmile_firmware_transitions_total", &["confirmed"]);
    assert!(updates > 0.0, "{updates} of {BOARDS}: {report}");
}

fn the_zone_must_be_one() {
    let daemon = Daemon::prepare(None, &[("boards", "timezone = \"Asia/Edo\"")]);
    let output = daemon.command("check").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("boards.timezone: there is no such time zone"), "{said}");
}
