//! Several sinks: each at its own pace, each with its own types; and the commands that manage them.

use crate::backend::{Backend, Mood};
use crate::board::Board;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::ledger::assert_in_order;
use libtest_mimic::Trial;
use serde_json::Value;
use std::fs;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("sinks::a_slow_one_holds_nobody_up", a_slow_one_holds_nobody_up),
        crate::trial("sinks::a_removed_one_is_dropped_by_hand", a_removed_one_is_dropped_by_hand),
        crate::trial("sinks::tokens_are_made_on_the_command_line", tokens_on_the_command_line),
    ]
}

fn publish(board: &mut Board, id: &str, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let payload = format!("{{\"n\":{number}}}");
        board.publish_and_wait(&format!("boards/{id}/up/a"), payload.as_bytes()).unwrap();
    }
}

fn a_slow_one_holds_nobody_up() {
    let (quick, slow) = (Backend::start(), Backend::start());
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("second.secret");
    fs::write(&secret, slow.secret()).unwrap();
    let second = format!(
        "\n[[sink]]\nname = \"second\"\nurl = \"{}\"\nsecret_file = \"{}\"\n\
         types = [\"lastmile.telemetry.*\"]\nretry_min = \"20ms\"\nretry_max = \"200ms\"\n",
        slow.url(),
        secret.display()
    );
    slow.be(Mood::Stalls);
    let daemon = Daemon::start(Some(&quick), &[("[sink]", &second)]);
    let mut board = Board::enrol(daemon.ports.mqtt, "both", &daemon.enrolment());
    publish(&mut board, "both", 0..300);
    board.disconnect();
    let telemetry = |accepted: &[crate::backend::Received]| {
        accepted.iter().filter(|it| it.kind == "lastmile.telemetry.received").count()
    };
    quick.wait("all of it", PATIENCE, |it| telemetry(it) == 300);
    quick.wait_for("lastmile.device.disconnected", "mqtt:both");
    assert_eq!(slow.accepted().len(), 0);
    let lag = || {
        let sinks = daemon.call("GET", "/api/v1/sinks", &Value::Null);
        let sinks = sinks["items"].as_array().unwrap().clone();
        let of = |name: &str| sinks.iter().find(|it| it["name"] == name).unwrap().clone();
        (of("test")["lag_events"].as_u64().unwrap(), of("second")["lag_events"].as_u64().unwrap())
    };
    assert!(until(PATIENCE, || lag().0 == 0), "{:?}", lag());
    assert!(lag().1 >= 300, "{:?}", lag());

    slow.be(Mood::Accepts);
    let all = slow.wait("all of its types", PATIENCE, |it| telemetry(it) == 300);
    assert_eq!(all.len(), 300, "its types and no others");
    assert_in_order(&all);
    assert_in_order(&quick.accepted());
    assert!(until(PATIENCE, || lag() == (0, 0)), "{:?}", lag());
    quick.assert_no_faults();
    slow.assert_no_faults();
}

fn a_removed_one_is_dropped_by_hand() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    backend.be(Mood::Refuses(503));
    let mut board = Board::enrol(daemon.ports.mqtt, "kept", &daemon.enrolment());
    publish(&mut board, "kept", 0..10);
    let drop_it = |daemon: &Daemon| {
        let mut command = crate::daemon::binary();
        command.args(["sink", "drop", "test", "--config"]).arg(daemon.config());
        command.arg("--data-dir").arg(daemon.data()).output().unwrap()
    };
    let refused = drop_it(&daemon);
    assert!(!refused.status.success(), "it is in use");
    // Out of the configuration, and in again under its name: it goes on where it was.
    let with = fs::read_to_string(daemon.config()).unwrap();
    let without = with.split("\n[[sink]]").next().unwrap();
    daemon.kill();
    fs::write(daemon.config(), without).unwrap();
    daemon.start_again();
    daemon.kill();
    backend.be(Mood::Accepts);
    fs::write(daemon.config(), &with).unwrap();
    daemon.start_again();
    let numbered = |accepted: &[crate::backend::Received]| {
        accepted.iter().filter(|it| it.data["payload"]["n"].is_u64()).count()
    };
    backend.wait("what waited for it", PATIENCE, |it| numbered(it) == 10);
    daemon.kill();
    fs::write(daemon.config(), without).unwrap();
    daemon.start_again();
    let dropped = drop_it(&daemon);
    assert!(dropped.status.success(), "{}", String::from_utf8_lossy(&dropped.stderr));
    let sinks = daemon.call("GET", "/api/v1/sinks", &Value::Null);
    assert_eq!(sinks["items"], serde_json::json!([]));
}

fn tokens_on_the_command_line() {
    let mut daemon = Daemon::start(None, &[]);
    let make = |daemon: &Daemon, role: &str| {
        let mut command = crate::daemon::binary();
        command.args(["token", "create", "--role", role, "--config"]).arg(daemon.config());
        command.arg("--data-dir").arg(daemon.data()).output().unwrap()
    };
    let made = make(&daemon, "reader");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout).unwrap();
    let token = text.split_whitespace().last().unwrap();
    let read = daemon.api_as(token, "GET", "/api/v1/devices", &Value::Null);
    assert_eq!(read.status, 200);
    assert!(!make(&daemon, "emperor").status.success());
    assert!(!daemon.log().contains(token));
    daemon.signal("TERM");
    assert!(daemon.wait_within(Duration::from_secs(30)).is_some());
    assert!(!make(&daemon, "reader").status.success(), "there is no daemon to ask");
}
