//! Boards' clients as they come: Paho's in C and Python, and Mosquitto's, in every version.

use crate::backend::Backend;
use crate::bad_input::versions::VERSIONS;
use crate::daemon::Daemon;
use crate::programs::{self, succeed};
use crate::websocket::paho_talks;
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        programs::trial("clients::paho_in_c", &["paho_c_pub", "paho_cs_pub"], in_c),
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
