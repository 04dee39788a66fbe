//! Who is who: enrolment, credentials of a device's own, take-over, proxies, and all of it again
//! after a crash.

use crate::backend::{Backend, Received};
use crate::board::{Board, Packet, SERVER_UNAVAILABLE};
use crate::cpe::{Cpe, NoVisit};
use crate::daemon::{Daemon, until};
use crate::http::{self, PATIENCE};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;

/// CONNACK: not authorised (MQTT 3.1.1 [3.2.2.3]).
const NOT_AUTHORISED: u8 = 5;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("identity::a_board_outgrows_enrolment", a_board_outgrows_enrolment),
        crate::trial("identity::a_router_outgrows_enrolment", a_router_outgrows_enrolment),
        crate::trial("identity::a_shared_password_opens_no_grown_up", shared_password),
        crate::trial("identity::online_without_presence_events", online_without_presence_events),
        crate::trial("identity::nobody_passes_for_another", nobody_passes_for_another),
        crate::trial("identity::guessing_is_slowed", guessing_is_slowed),
        crate::trial("identity::the_newer_connection_wins", the_newer_connection_wins),
        crate::trial("identity::a_will_is_published", a_will_is_published),
        crate::trial("identity::a_trusted_proxy_is_believed", a_trusted_proxy_is_believed),
        crate::trial("identity::a_crash_forgets_nobody", a_crash_forgets_nobody),
    ]
}

fn connect(daemon: &Daemon, id: &str, username: &str, password: &str) -> Result<Board, u8> {
    Board::connect(daemon.ports.mqtt, id, username, password).unwrap()
}

/// Gives a device credentials of its own: user name and password.
fn give_credentials(daemon: &Daemon, device: &str) -> (String, String) {
    let path = format!("/api/v1/devices/{device}/credentials");
    let made = daemon.call("PUT", &path, &json!({}));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}

fn a_board_outgrows_enrolment() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    connect(&daemon, "grown", "enrol", &secret).unwrap().disconnect();
    let (username, password) = give_credentials(&daemon, "mqtt:grown");
    // Not confirmed yet: the board may never have got them.
    connect(&daemon, "grown", "enrol", &secret).unwrap().disconnect();
    connect(&daemon, "grown", &username, &password).unwrap().disconnect();
    let refused = || connect(&daemon, "grown", "enrol", &secret).unwrap_err();
    assert_eq!(refused(), NOT_AUTHORISED);
    backend.wait_for("lastmile.device.enrolment_refused", "mqtt:grown");
    daemon.kill();
    daemon.start_again();
    let refused = connect(&daemon, "grown", "enrol", &secret).unwrap_err();
    assert_eq!(refused, NOT_AUTHORISED, "a crash opens nothing");
    connect(&daemon, "grown", &username, &password).unwrap().disconnect();
    // It lost everything, and an operator says so.
    daemon.call("POST", "/api/v1/devices/mqtt:grown/enrolment", &Value::Null);
    connect(&daemon, "grown", "enrol", &secret).unwrap().disconnect();
    let old = connect(&daemon, "grown", &username, &password);
    assert!(old.is_err(), "what it lost is worth nothing any more");
}

fn a_router_outgrows_enrolment() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let mut cpe = Cpe::new(daemon.ports.cwmp, "GROWN001", &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let enrolment = cpe.password.clone();
    (cpe.username, cpe.password) = give_credentials(&daemon, &cpe.id());
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    (cpe.username, cpe.password) = ("enrol".to_owned(), enrolment);
    let Err(NoVisit::Refused(answer)) = cpe.visit(&[("0 BOOTSTRAP", "")]) else {
        panic!("whoever has the enrolment secret of one router takes over any other")
    };
    assert_eq!(answer.status, 401);
    backend.wait_for("lastmile.device.enrolment_refused", &cpe.id());
    let bootstraps = backend.accepted();
    let bootstraps = bootstraps.iter().filter(|it| it.kind == "lastmile.device.bootstrapped");
    assert_eq!(bootstraps.count(), 1);
}

/// A password that a whole fleet knows proves nobody: it must not open who has one of its own.
fn shared_password() {
    let backend = Backend::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fleet.password");
    fs::write(&file, "fleet-password-1\n").unwrap();
    let fleet = format!("username = \"fleet\"\npassword_file = \"{}\"", file.display());
    let daemon = Daemon::start(Some(&backend), &[("[cwmp.credential]", &fleet)]);
    let of_the_fleet = |serial: &str| {
        let mut cpe = Cpe::new(daemon.ports.cwmp, serial, "fleet-password-1");
        cpe.username = "fleet".to_owned();
        cpe
    };
    let mut grown = of_the_fleet("SHARED01");
    grown.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let (username, password) = give_credentials(&daemon, &grown.id());
    grown.visit(&[("2 PERIODIC", "")]).expect("not confirmed yet: it may never have got them");
    (grown.username, grown.password) = (username, password);
    grown.visit(&[("2 PERIODIC", "")]).unwrap();

    for event in ["2 PERIODIC", "0 BOOTSTRAP"] {
        let Err(NoVisit::Refused(answer)) = of_the_fleet("SHARED01").visit(&[(event, "")]) else {
            panic!("whoever has the password of one router takes over any other")
        };
        assert_eq!(answer.status, 401, "{event}");
    }
    of_the_fleet("SHARED02").visit(&[("0 BOOTSTRAP", "")]).expect("who has none still may");
    grown.visit(&[("2 PERIODIC", "")]).expect("its own still opens it");
    backend.wait_for("lastmile.device.bootstrapped", &of_the_fleet("SHARED02").id());
    let of_grown = |it: &&Received| it.subject == grown.id();
    let accepted = backend.accepted();
    let bootstraps = accepted.iter().filter(of_grown);
    let bootstraps = bootstraps.filter(|it| it.kind == "lastmile.device.bootstrapped");
    assert_eq!(bootstraps.count(), 1, "what was refused said nothing in its name");
}

fn online_without_presence_events() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("events", "presence = false")]);
    let online =
        || daemon.call("GET", "/api/v1/devices/mqtt:quiet", &Value::Null)["online"].clone();
    let mut board = connect(&daemon, "quiet", "enrol", &daemon.enrolment()).unwrap();
    assert!(until(PATIENCE, || online() == true), "before it says anything");
    board.disconnect();
    assert!(until(PATIENCE, || online() == false), "gone");
    board = connect(&daemon, "quiet", "enrol", &daemon.enrolment()).unwrap();
    assert!(until(PATIENCE, || online() == true), "known from before");
    board.publish_and_wait("boards/quiet/up/a", b"{}").unwrap();
    backend.wait_for("lastmile.telemetry.received", "mqtt:quiet");
    let told = backend.accepted();
    assert!(!told.iter().any(|it| it.kind.contains("connected")), "nobody asked for presence");
}

fn nobody_passes_for_another() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    for id in ["thief", "victim"] {
        connect(&daemon, id, "enrol", &secret).unwrap().disconnect();
    }
    let (username, password) = give_credentials(&daemon, "mqtt:thief");
    let refused = connect(&daemon, "victim", &username, &password).unwrap_err();
    assert_eq!(refused, NOT_AUTHORISED);
    let told = backend.wait_for("lastmile.device.identity_mismatched", "mqtt:thief");
    assert_eq!(told.data["said"], "mqtt:victim");
    let mut thief = connect(&daemon, "thief", &username, &password).unwrap();
    assert_eq!(thief.subscribe("boards/victim/down/#").unwrap(), 0x80);
    // A wide filter is granted, and cut to what is its own.
    assert_eq!(thief.subscribe("#").unwrap(), 1);
    for id in ["victim", "thief"] {
        let topic = format!("boards/{id}/down/x");
        let command = json!({"kind": "publish", "topic": topic, "payload": id});
        daemon.call("POST", &format!("/api/v1/devices/mqtt:{id}/commands"), &command);
    }
    let first = thief.receive().unwrap();
    assert!(matches!(&first, Packet::Publish { payload, .. } if payload == b"thief"), "{first:?}");
    let _ = thief.publish("boards/victim/up/a", b"forged");
    assert!(thief.is_closed_within(PATIENCE));
    let forged = |it: &Received| it.data["topic"] == "boards/victim/up/a";
    assert!(!backend.accepted().iter().any(forged));
}

fn guessing_is_slowed() {
    let daemon = Daemon::start(None, &[("mqtt", "failed_sign_ins_per_minute = 3")]);
    let secret = daemon.enrolment();
    for _ in 0..3 {
        assert!(connect(&daemon, "guess", "enrol", "wrong").is_err());
    }
    let right = connect(&daemon, "guess", "enrol", &secret);
    assert_eq!(right.unwrap_err(), SERVER_UNAVAILABLE, "not even the right one is looked at");
    let counted = daemon.counted("lastmile_auth_failures_total", &["protocol=\"mqtt\""]);
    assert!(counted >= 4.0, "{counted}");
    let cpe = Cpe::new(daemon.ports.cwmp, "OTHER001", &secret);
    cpe.visit(&[("0 BOOTSTRAP", "")]).expect("the other port counts for itself");
}

fn the_newer_connection_wins() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let mut old = connect(&daemon, "twin", "enrol", &secret).unwrap();
    let mut new = connect(&daemon, "twin", "enrol", &secret).unwrap();
    assert!(old.is_closed_within(PATIENCE));
    new.publish_and_wait("boards/twin/up/a", b"{}").unwrap();
    let device = daemon.call("GET", "/api/v1/devices/mqtt:twin", &Value::Null);
    assert_eq!(device["online"], true, "the old one's end is not the new one's");
    new.disconnect();
    let story = |accepted: &[Received]| -> Vec<String> {
        let presence = accepted.iter().filter(|it| it.kind.contains("connected"));
        let word = |it: &Received| it.data["cause"].as_str().unwrap_or("connected").to_owned();
        presence.map(word).collect()
    };
    let all = backend.wait("four", PATIENCE, |it| story(it).len() == 4);
    assert_eq!(story(&all), ["connected", "taken_over", "connected", "normal"]);
    let device = daemon.call("GET", "/api/v1/devices/mqtt:twin", &Value::Null);
    assert_eq!(device["online"], false);
}

fn a_will_is_published() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let with_will = |id: &str| crate::board::with_will(id, "enrol", &secret);
    let mut dying = Board::open(daemon.ports.mqtt).unwrap();
    dying.write(&with_will("d1")).unwrap();
    dying.ping().unwrap();
    drop(dying);
    let will = backend.wait_for("lastmile.will.published", "mqtt:d1");
    assert_eq!(will.data["topic"], "boards/d1/up/w");
    assert_eq!(will.data["text"], "gone");
    let mut leaving = Board::open(daemon.ports.mqtt).unwrap();
    leaving.write(&with_will("d2")).unwrap();
    leaving.ping().unwrap();
    leaving.disconnect();
    backend.wait_for("lastmile.device.disconnected", "mqtt:d2");
    let wills = backend.accepted();
    let wills: Vec<_> = wills.iter().filter(|it| it.kind == "lastmile.will.published").collect();
    assert_eq!(wills.len(), 1, "who says goodbye has no last will: {wills:?}");
}

fn a_trusted_proxy_is_believed() {
    let inform = Cpe::new(0, "PROXY001", "").inform(&[("1 BOOT", "")]);
    let heard_from = |settings: &[(&str, &str)]| {
        let daemon = Daemon::start(None, settings);
        let headers =
            [("Content-Type", "text/xml"), ("X-Forwarded-For", "198.51.100.1, 203.0.113.9")];
        let port = daemon.ports.cwmp;
        let answer = http::once(port, "POST", "/", &headers, inform.as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
        let path = "/api/v1/devices/cwmp:0A1B2C-Tester-PROXY001";
        daemon.call("GET", path, &Value::Null)["address"].clone()
    };
    let open = ("cwmp", "auth = \"open\"");
    assert_eq!(heard_from(&[open]), "127.0.0.1", "anyone may write that header");
    let trusted = ("", "trusted_proxies = [\"127.0.0.0/8\"]");
    assert_eq!(heard_from(&[trusted, open]), "203.0.113.9");
}

/// The registry is rebuilt from the store: devices, owners, names, tags, tokens.
fn a_crash_forgets_nobody() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let cpe = Cpe::new(daemon.ports.cwmp, "KEPT0001", &secret);
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    connect(&daemon, "kept", "enrol", &secret).unwrap().disconnect();
    let router = format!("/api/v1/devices/{}", cpe.id());
    daemon.call("PUT", "/api/v1/customers/c-1", &json!({"name": "Juma"}));
    daemon.call("PUT", &format!("/api/v1/customers/c-1/devices/{}", cpe.id()), &Value::Null);
    daemon.call("PUT", &format!("{router}/tags/vip"), &Value::Null);
    daemon.call("PUT", &format!("{router}/aliases/mac/02:00:5E:00:53:01"), &Value::Null);
    let token = json!({"name": "reader-1", "role": "reader"});
    let token = daemon.call("POST", "/api/v1/tokens", &token)["token"].clone();
    let token = token.as_str().unwrap().to_owned();
    let show = |daemon: &Daemon| {
        let mut device = daemon.call("GET", &router, &Value::Null);
        // Written behind: not worth a write with every Inform.
        device["last_seen_at"].take();
        device["address"].take();
        device["online"].take();
        let all = daemon.call("GET", "/api/v1/devices", &Value::Null);
        let ids: Vec<_> =
            all["items"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
        let audit = daemon.call("GET", "/api/v1/audit", &Value::Null);
        (device, ids, daemon.call("GET", "/api/v1/customers/c-1", &Value::Null), audit)
    };
    let before = show(&daemon);
    assert_eq!(before.1.len(), 2, "{:?}", before.1);
    assert_eq!(before.0["customer"], "c-1");
    daemon.kill();
    daemon.start_again();
    assert_eq!(show(&daemon), before);
    for name in ["02005e005301", "KEPT0001"] {
        let found = daemon.api_as(&token, "GET", &format!("/api/v1/devices/{name}"), &Value::Null);
        assert_eq!(found.json()["id"], cpe.id(), "{name}");
    }
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, Vec::<String>::new(), "it is still set up");
    assert!(until(PATIENCE, || daemon.call("GET", &router, &Value::Null)["online"] == true));
}
