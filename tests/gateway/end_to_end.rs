//! The main job with real clients: a router, a board and a phone in, signed events out.

use crate::backend::Backend;
use crate::board::Board;
use crate::cpe::Cpe;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::programs::{self, succeed};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

/// A board's IMEI (its last digit checks the others).
const IMEI: &str = "490154203237518";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("end_to_end::a_router_bootstraps", a_router_bootstraps),
        programs::trial("end_to_end::a_board_publishes", &["mosquitto_pub"], a_board_publishes),
        programs::trial(
            "end_to_end::a_board_is_told",
            &["mosquitto_pub", "mosquitto_sub"],
            a_board_is_told,
        ),
        programs::trial("end_to_end::a_caller_dials", &["curl"], a_caller_dials),
        programs::trial("end_to_end::events_are_streamed", &["curl"], events_are_streamed),
        crate::trial("end_to_end::secrets_of_the_first_start", secrets_of_the_first_start),
    ]
}

fn a_router_bootstraps() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let cpe = Cpe::new(daemon.ports.cwmp, "END00001", &daemon.enrolment());
    let visit = cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    assert!(visit.calls.contains(&"SetParameterValues".to_owned()), "{:?}", visit.calls);
    let event = backend.wait_for("lastmile.device.bootstrapped", &cpe.id());
    assert_eq!(event.data["model"], "Tester 9");
    assert_eq!(event.data["events"], json!(["0 BOOTSTRAP", "1 BOOT"]));
    // The base profile: its own credentials to be woken by, and how often to call.
    assert_ne!(cpe.value("ManagementServer.ConnectionRequestUsername"), "");
    assert_ne!(cpe.value("ManagementServer.ConnectionRequestPassword"), "");
    assert_eq!(cpe.value("ManagementServer.PeriodicInformInterval"), "3600");

    let device = daemon.call("GET", &format!("/api/v1/devices/{}", cpe.id()), &Value::Null);
    assert_eq!(device["id"], cpe.id());
    assert_eq!(device["online"], true, "{device}");
    let by_serial = daemon.call("GET", "/api/v1/devices/END00001", &Value::Null);
    assert_eq!(by_serial["id"], cpe.id());

    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, Vec::<String>::new(), "it is set up already");
    backend.assert_no_faults();
}

fn a_board_publishes() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (port, secret) = (daemon.ports.mqtt.to_string(), daemon.enrolment());
    let topic = format!("boards/{IMEI}/up/water");
    let publish = |topic: &str| {
        let arguments = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-i",
            IMEI,
            "-u",
            "enrol",
            "-P",
            &secret,
            "-q",
            "1",
            "-t",
            topic,
            "-m",
            "{\"litres\": 7.50}",
        ];
        programs::run("mosquitto_pub", &arguments, b"")
    };
    let output = publish(&topic);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let subject = format!("imei:{IMEI}");
    let event = backend.wait_for("lastmile.telemetry.received", &subject);
    assert_eq!(event.data, json!({"topic": topic, "qos": 1, "payload": {"litres": 7.5}}));
    backend.wait_for("lastmile.device.enrolled", &subject);
    backend.wait_for("lastmile.device.connected", &subject);
    let gone = backend.wait_for("lastmile.device.disconnected", &subject);
    assert_eq!(gone.data, json!({"cause": "normal"}));

    publish("boards/490154203237500/up/water");
    let refused = || daemon.counted("lastmile_mqtt_disconnects_total", &["not_authorised"]) >= 1.0;
    assert!(until(PATIENCE, refused), "another board's topic must be refused and counted");
    let told = backend.accepted();
    assert!(!told.iter().any(|it| it.data["topic"] == "boards/490154203237500/up/water"));
    let wrong = Board::connect(daemon.ports.mqtt, "other", "enrol", "wrong").unwrap();
    assert_eq!(wrong.unwrap_err(), 4, "bad user name or password");
    backend.assert_no_faults();
}

fn a_board_is_told() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (port, secret) = (daemon.ports.mqtt.to_string(), daemon.enrolment());
    let filter = format!("boards/{IMEI}/down/#");
    let listen = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-i",
        IMEI,
        "-u",
        "enrol",
        "-P",
        &secret,
        "-q",
        "1",
        "-t",
        &filter,
        "-C",
        "1",
        "-W",
        "30",
        "-F",
        "%t %p",
    ];
    // Known first, so that it can be sent a command while it is away.
    let topic = format!("boards/{IMEI}/up/hello");
    let hello = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-i",
        IMEI,
        "-u",
        "enrol",
        "-P",
        &secret,
        "-q",
        "1",
        "-t",
        &topic,
        "-m",
        "hello",
    ];
    succeed("mosquitto_pub", &hello, b"");
    let command =
        json!({"kind": "publish", "topic": format!("boards/{IMEI}/down/valve"), "payload": "open"});
    let path = format!("/api/v1/devices/imei:{IMEI}/commands");
    let queued = daemon.call("POST", &path, &command);
    assert_eq!(queued["state"], "queued", "{queued}");
    let said = succeed("mosquitto_sub", &listen, b"");
    assert_eq!(said.trim(), format!("boards/{IMEI}/down/valve open"));
    let done = backend.wait_for("lastmile.command.completed", &format!("imei:{IMEI}"));
    assert_eq!(done.data["state"], "delivered");
    assert_eq!(done.data["id"], queued["id"]);
}

fn a_caller_dials() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let url = format!("http://127.0.0.1:{}/ussd/home/{}", daemon.ports.public, daemon.home());
    let hop = |url: &str, typed: &str| {
        let text = format!("text={typed}");
        let arguments = [
            "-sS",
            "-i",
            "--data-urlencode",
            "sessionId=ATUid_00aa",
            "--data-urlencode",
            "phoneNumber=+254711000001",
            "--data-urlencode",
            "networkCode=63902",
            "--data-urlencode",
            "serviceCode=*384#",
            "--data-urlencode",
            &text,
            url,
        ];
        succeed("curl", &arguments, b"")
    };
    let first = hop(&url, "");
    assert!(first.to_ascii_lowercase().contains("content-type: text/plain"), "{first}");
    assert!(first.contains("\r\n\r\nCON Your home internet"), "{first}");
    assert!(hop(&url, "9").contains("\r\n\r\nCON Intaneti ya nyumbani"));
    assert!(hop(&url, "9*0").contains("\r\n\r\nEND Kwaheri."));
    let subject = "msisdn:+254711000001";
    let started = backend.wait_for("lastmile.ussd.started", subject);
    assert_eq!(started.data["service"], "home");
    assert_eq!(started.data["session"], "ATUid_00aa");
    let ended = backend.wait_for("lastmile.ussd.ended", subject);
    assert_eq!(ended.data["hops"], 3, "{}", ended.data);
    let wrong = format!("{}x", &url[..url.len() - 1]);
    assert!(
        hop(&wrong, "").starts_with("HTTP/1.1 404"),
        "a wrong secret is a page that is not there"
    );
    backend.assert_no_faults();
}

fn events_are_streamed() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let mut board = Board::enrol(daemon.ports.mqtt, "streamed", &daemon.enrolment());
    board.publish_and_wait("boards/streamed/up/a", b"{\"n\":1}").unwrap();
    board.publish_and_wait("boards/streamed/up/a", b"{\"n\":2}").unwrap();
    let url = format!("http://127.0.0.1:{}/api/v1/events", daemon.ports.operator);
    let bearer = format!("Authorization: Bearer {}", daemon.token());
    let read = |from: &str| {
        let from = format!("Last-Event-ID: {from}");
        let arguments = ["-sN", "--max-time", "3", "-H", &bearer, "-H", &from, &url];
        // curl gives up after three seconds, with a status that says so: the stream has no end.
        String::from_utf8(programs::run("curl", &arguments, b"").stdout).unwrap()
    };
    let all = read("0-0");
    let telemetry = |text: &str| text.matches("lastmile.telemetry.received").count();
    let data: Vec<Value> = all
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data.trim()).ok())
        .filter(|event: &Value| event["type"] == "lastmile.telemetry.received")
        .collect();
    assert_eq!(data.len(), 2, "{all}");
    let first = all.lines().take_while(|line| !line.contains("\"n\":1"));
    let first = first.filter_map(|line| line.strip_prefix("id:")).last().map(str::trim);
    let rest = read(first.expect("each event has an id"));
    assert_eq!(telemetry(&rest), telemetry(&all) / 2, "resumes after the id: {rest}");
}

fn secrets_of_the_first_start() {
    let daemon = Daemon::start(None, &[]);
    for name in ["operator.token", "enrolment.secret", "public/home.secret"] {
        let file = daemon.data().join(name);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let secret = std::fs::read_to_string(&file).unwrap();
        assert!(secret.trim().len() >= 22, "{name} has 128 bits");
        let log = daemon.log();
        assert!(log.contains(name), "the log says where {name} is");
        assert!(!log.contains(secret.trim()), "the log says what {name} is");
    }
    let before = daemon.token();
    let mut daemon = daemon;
    daemon.kill();
    daemon.start_again();
    assert_eq!(daemon.token(), before, "made once");
    let nobody = daemon.api_as("wrong", "GET", "/api/v1/devices", &Value::Null);
    assert_eq!(nobody.status, 401);
    assert_eq!(nobody.header("content-type"), Some("application/problem+json"));
}
