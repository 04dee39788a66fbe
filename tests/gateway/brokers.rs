//! Events on a broker: an operator's mosquitto, and the one inside.

use crate::backend::Backend;
use crate::board::Board;
use crate::cpe::Cpe;
use crate::daemon::{Daemon, free_port, until};
use crate::http::PATIENCE;
use crate::mosquitto::{Listener, Mosquitto, PROGRAMS};
use crate::programs;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;

pub(crate) fn trials() -> Vec<Trial> {
    let with_passwords: Vec<_> = PROGRAMS.iter().copied().chain(["mosquitto_passwd"]).collect();
    let with_publisher = ["mosquitto_sub", "mosquitto_pub", "stdbuf"];
    vec![
        programs::trial("brokers::a_restart_loses_nothing", PROGRAMS, a_restart_loses_nothing),
        programs::trial("brokers::one_with_tls", PROGRAMS, one_with_tls),
        programs::trial("brokers::who_must_sign_in", &with_passwords, who_must_sign_in),
        programs::trial("brokers::a_bootstrap_on_the_bus", &with_publisher, on_the_bus),
        crate::trial("brokers::one_that_is_away_is_skipped", one_that_is_away_is_skipped),
    ]
}

/// An MQTT sink called `broker`.
fn sink(broker: &str, more: &str) -> String {
    format!(
        "name = \"broker\"\nkind = \"mqtt\"\nbroker = \"{broker}\"\nretry_min = \"20ms\"\n\
         retry_max = \"200ms\"\ntimeout = \"5s\"\n{more}"
    )
}

fn publish(board: &mut Board, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let payload = format!("{{\"n\":{number}}}");
        board.publish_and_wait("boards/b/up/a", payload.as_bytes()).unwrap();
    }
}

/// The numbers that arrived, doubles dropped by event id as a consumer would.
fn numbers(messages: &[(String, Value)]) -> Vec<u64> {
    let mut seen = HashSet::new();
    let once = messages.iter().filter(|(_, event)| seen.insert(event["id"].to_string()));
    once.filter_map(|(_, event)| event["data"]["payload"]["n"].as_u64()).collect()
}

fn a_restart_loses_nothing() {
    let mut broker = Mosquitto::start(|_| "allow_anonymous true\n".to_owned());
    let listener = Listener::start(
        broker.port,
        &["-i", "listener", "-c", "-t", "north/lastmile/events/lastmile.telemetry.received"],
    );
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let daemon = Daemon::start(None, &[("[sink]", &sink(&url, "topic_prefix = \"north/\"\n"))]);
    let mut board = Board::enrol(daemon.ports.mqtt, "b", &daemon.enrolment());
    publish(&mut board, 0..150);
    listener.wait("some of it", |messages| numbers(messages).len() > 50);
    broker.stop();
    publish(&mut board, 150..300);
    broker.start_again();
    publish(&mut board, 300..450);
    board.disconnect();
    let messages = listener.wait("all of it", |messages| numbers(messages).len() >= 450);
    assert_eq!(numbers(&messages), (0..450).collect::<Vec<_>>(), "in order");
    assert!(daemon.counted("lastmile_delivery_attempts_total", &["outcome=\"connect\""]) > 0.0);
}

fn one_with_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let authority = tempfile::NamedTempFile::new().unwrap();
    fs::write(authority.path(), &cert).unwrap();
    let tls_port = free_port();
    let broker = Mosquitto::start(|dir| {
        let (cert_file, key_file) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert_file, &cert).unwrap();
        fs::write(&key_file, &key).unwrap();
        format!(
            "allow_anonymous true\nlistener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
            cert_file.display(),
            key_file.display()
        )
    });
    let listener = Listener::start(broker.port, &["-t", "lastmile/events/#"]);
    let url = format!("mqtts://localhost:{tls_port}");
    let ca = format!("ca_file = \"{}\"\n", authority.path().display());
    let daemon = Daemon::start(None, &[("[sink]", &sink(&url, &ca))]);
    let mut board = Board::enrol(daemon.ports.mqtt, "b", &daemon.enrolment());
    publish(&mut board, 0..20);
    listener.wait("all of it", |messages| numbers(messages).len() == 20);
    drop(daemon);
    // Whose certificate nobody vouches for gets nothing.
    let daemon = Daemon::start(None, &[("[sink]", &sink(&url, ""))]);
    let mut board = Board::enrol(daemon.ports.mqtt, "b", &daemon.enrolment());
    publish(&mut board, 0..1);
    assert!(daemon.logs_within("no TLS with the broker", PATIENCE), "{}", daemon.log());
    assert_eq!(daemon.counted("lastmile_delivery_events_total", &["sink=\"broker\""]), 0.0);
}

fn who_must_sign_in() {
    let broker = Mosquitto::start(|dir| {
        let file = dir.join("passwords").display().to_string();
        programs::succeed("mosquitto_passwd", &["-b", "-c", &file, "gw", "sesame 1"], b"");
        format!("password_file {file}\n")
    });
    let listener = Listener::start(
        broker.port,
        &["-u", "gw", "-P", "sesame 1", "-t", "lastmile/events/lastmile.telemetry.received"],
    );
    let password = tempfile::NamedTempFile::new().unwrap();
    fs::write(password.path(), "sesame 2\n").unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let login = format!("username = \"gw\"\npassword_file = \"{}\"\n", password.path().display());
    let mut daemon = Daemon::start(None, &[("[sink]", &sink(&url, &login))]);
    let mut board = Board::enrol(daemon.ports.mqtt, "b", &daemon.enrolment());
    publish(&mut board, 0..10);
    assert!(daemon.logs_within("refused the sign-in", PATIENCE), "{}", daemon.log());
    assert_eq!(daemon.counted("lastmile_delivery_endpoint_refusing", &["broker"]), 1.0);
    daemon.signal("TERM");
    assert!(daemon.wait_within(PATIENCE).is_some());
    fs::write(password.path(), "sesame 1\n").unwrap();
    daemon.start_again();
    let messages = listener.wait("all of it", |messages| numbers(messages).len() == 10);
    assert_eq!(numbers(&messages), (0..10).collect::<Vec<_>>());
    assert!(!daemon.log().contains("sesame"), "{}", daemon.log());
}

fn on_the_bus() {
    let port = free_port();
    let (bus, sink) =
        (format!("listen = \"127.0.0.1:{port}\"\n"), sink("embedded", "required = false\n"));
    let daemon = Daemon::start(None, &[("bus", &bus), ("[sink]", &sink)]);
    let secret_file = daemon.data().join("bus.secret");
    let secret = fs::read_to_string(&secret_file).unwrap().trim().to_owned();
    let up = until(PATIENCE, || daemon.counted("lastmile_bus_up", &[]) > 0.0);
    assert!(up, "{}", daemon.log());
    let login = ["-u", "bus", "-P", &secret];
    let listener =
        Listener::start(port, &[&login[..], &["-i", "n8n", "-t", "device/bootstrap/+"]].concat());
    let cpe = Cpe::new(daemon.ports.cwmp, "BUS00001", &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    let messages = listener.wait("the bootstrap", |messages| !messages.is_empty());
    let (topic, said) = &messages[0];
    assert_eq!(topic, "device/bootstrap/BUS00001");
    assert_eq!(
        (&said["event"], &said["serial"], &said["device"], &said["model"], &said["firmware"]),
        (
            &json!("bootstrapped"),
            &json!("BUS00001"),
            &json!(cpe.id()),
            &json!("Tester 9"),
            &json!("1.0")
        )
    );
    // Nobody comes in without the secret, and who is in may not publish, whatever the topic.
    let port = port.to_string();
    let publish = |login: &[&str], topic: &str| {
        let to = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", "x"];
        programs::run("mosquitto_pub", &[&to[..], login].concat(), b"").status.success()
    };
    assert!(!publish(&[], "a"));
    assert!(!publish(&["-u", "bus", "-P", "guess"], "a"));
    assert!(!publish(&login, "device/bootstrap/BUS00001"));
    assert!(!publish(&login, "é"));
    let sinks = daemon.call("GET", "/api/v1/sinks", &Value::Null);
    assert_eq!(
        (&sinks["items"][0]["required"], &sinks["items"][0]["skipped_events"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(daemon.counted("lastmile_bus_restarts_total", &[]), 0.0);
    let log = daemon.log();
    assert!(!log.contains(&secret) && !log.contains("rumqttd"), "{log}");
}

fn one_that_is_away_is_skipped() {
    /// Beyond what the daemon needs for itself.
    const MEMORY_MAX: u64 = 300 << 20;
    let backend = Backend::start();
    let url = format!("mqtt://127.0.0.1:{}", free_port());
    let more = "required = false\nmax_lag_mib = 1\n";
    let second = format!("\n[[sink]]\n{}", sink(&url, more));
    let daemon = Daemon::start(Some(&backend), &[("[sink]", &second)]);
    let mut board = Board::enrol(daemon.ports.mqtt, "b", &daemon.enrolment());
    let long = "x".repeat(20_000);
    for number in 0..300 {
        let payload = format!("{{\"n\":{number},\"long\":\"{long}\"}}");
        board.publish_and_wait("boards/b/up/a", payload.as_bytes()).unwrap();
    }
    let told = backend.wait_for("lastmile.sink.skipped", "sink:broker");
    assert_eq!((&told.data["sink"], &told.data["cause"]), (&json!("broker"), &json!("max_lag")));
    let events = told.data["events"].as_u64().unwrap();
    assert!(events > 10, "{events}");
    // Nobody else noticed, and nobody is made of it.
    backend.wait("all of it", PATIENCE, |accepted| {
        accepted.iter().filter(|it| it.kind == "lastmile.telemetry.received").count() == 300
    });
    let sinks = daemon.call("GET", "/api/v1/sinks", &Value::Null);
    let skipped = sinks["items"][0]["skipped_events"].as_u64().unwrap();
    assert!(skipped >= events, "{sinks}");
    let devices = daemon.call("GET", "/api/v1/devices", &Value::Null);
    assert_eq!(devices["items"].as_array().unwrap().len(), 1, "{devices}");
    let missing = daemon.api("GET", "/api/v1/devices/sink:broker", &Value::Null);
    assert_eq!(missing.status, 404);
    assert!(daemon.memory_peak() < MEMORY_MAX, "{}", daemon.memory_peak());
}
