//! Boards' clients as they come: Paho's in C and Python, and Mosquitto's, in every version.

use crate::backend::Backend;
use crate::bad_input::versions::VERSIONS;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::programs::{self, succeed};
use crate::websocket::paho_talks;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::Command;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        programs::trial("clients::paho_in_c", &["paho_c_pub", "paho_cs_pub"], in_c),
        programs::trial(
            "clients::paho_in_c_is_sent_to",
            &["paho_c_sub", "paho_cs_sub", "stdbuf"],
            in_c_is_sent_to,
        ),
        programs::python_trial("clients::paho_in_python", "paho.mqtt", in_python),
        programs::trial("clients::mosquitto_in_every_version", &["mosquitto_pub"], mosquitto),
    ]
}

fn in_python() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    for version in VERSIONS {
        paho_talks((&daemon, &backend), ("tcp", daemon.ports.mqtt), version, None);
    }
}

fn mosquitto() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (port, secret) = (daemon.ports.mqtt.to_string(), daemon.enrolment());
    for version in ["31", "311", "5"] {
        for qos in ["0", "1", "2"] {
            let id = format!("m{version}q{qos}");
            let topic = format!("boards/{id}/up/a");
            let connection = ["-V", version, "-h", "127.0.0.1", "-p", &port, "-i", &id];
            let message =
                ["-u", "enrol", "-P", &secret, "-q", qos, "-t", &topic, "-m", "{\"n\":1}"];
            succeed("mosquitto_pub", &[&connection[..], &message].concat(), b"");
            let told = backend.wait_for("lastmile.telemetry.received", &format!("mqtt:{id}"));
            assert_eq!(told.data["qos"], qos.parse::<u8>().unwrap());
        }
    }
}

fn in_c() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (port, secret) = (daemon.ports.mqtt.to_string(), daemon.enrolment());
    // The asynchronous client in 3.1.1 and 5.0, the one that waits in 3.1 as well.
    let runs = [
        ("paho_c_pub", "4"),
        ("paho_c_pub", "5"),
        ("paho_cs_pub", "3"),
        ("paho_cs_pub", "4"),
        ("paho_cs_pub", "5"),
    ];
    for (program, version) in runs {
        let name = match version {
            "3" => "31",
            "4" => "311",
            _ => "5",
        };
        for qos in ["0", "1", "2"] {
            let id = format!("{}v{version}q{qos}", program.replace('_', ""));
            let topic = format!("boards/{id}/up/a");
            let message = ["-m", "{\"n\":1}", "-q", qos, "-V", name];
            let connection = ["-h", "127.0.0.1", "-p", &port, "-i", &id, "-t", &topic];
            let user = ["-u", "enrol", "-P", &secret];
            succeed(program, &[&connection[..], &user, &message].concat(), b"");
            let told = backend.wait_for("lastmile.telemetry.received", &format!("mqtt:{id}"));
            assert_eq!(told.data["payload"]["n"], 1, "{id}");
        }
    }
}

/// Commands at each guarantee, to each of Paho's subscribers, until it says that it has them.
fn in_c_is_sent_to() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (port, secret) = (daemon.ports.mqtt.to_string(), daemon.enrolment());
    let runs = [
        ("paho_c_sub", "311"),
        ("paho_c_sub", "5"),
        ("paho_cs_sub", "31"),
        ("paho_cs_sub", "311"),
        ("paho_cs_sub", "5"),
    ];
    for (program, version) in runs {
        let id = format!("{}v{version}", program.replace('_', ""));
        let (topic, out) = (format!("boards/{id}/down/do"), daemon.path(&id));
        let mut child = Command::new("stdbuf")
            .args(["-oL", program, "-h", "127.0.0.1", "-p", &port, "-V", version, "-i", &id])
            .args(["-u", "enrol", "-P", &secret, "-q", "2", "-t", &topic])
            .stdout(File::create(&out).unwrap())
            .spawn()
            .unwrap();
        backend.wait_for("lastmile.device.connected", &format!("mqtt:{id}"));
        let path = format!("/api/v1/devices/mqtt:{id}/commands");
        for (qos, ended) in [(0, "sent"), (1, "delivered"), (2, "delivered")] {
            let body = json!({"kind": "publish", "topic": topic, "payload": format!("at {qos}"),
                "qos": qos});
            let command = daemon.call("POST", &path, &body);
            let path = format!("/api/v1/commands/{}", command["id"].as_str().unwrap());
            let state = || daemon.call("GET", &path, &Value::Null)["state"].clone();
            assert!(until(PATIENCE, || state() == ended), "{id} at {qos}: {}", state());
        }
        let got = || fs::read_to_string(&out).unwrap();
        let is_whole = until(PATIENCE, || got().lines().count() == 3);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_whole, "{id}: {}", got());
        assert_eq!(got().lines().collect::<Vec<_>>(), ["at 0", "at 1", "at 2"], "{id}");
    }
}
