//! Why a sign-in over MQTT is refused: what the client is told, and as what it is counted.

use crate::board::{Board, Packet};
use crate::daemon::Daemon;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// CONNACK's codes [MQTT 3.1.1, table 3.1].
const BAD_CREDENTIALS: u8 = 4;
const NOT_AUTHORISED: u8 = 5;

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("board_sign_ins::each_refusal_has_its_name", each_refusal_has_its_name)]
}

/// All refused sign-ins over MQTT: series and value.
fn refusals(daemon: &Daemon) -> Vec<String> {
    let metrics = daemon.metrics();
    let is_one = |line: &&str| {
        line.starts_with("lastmile_auth_failures_total{") && line.contains("\"mqtt\"")
    };
    metrics.lines().filter(is_one).map(str::to_owned).collect()
}

fn credentials(daemon: &Daemon, board: &str) -> (String, String) {
    let made = daemon.call("PUT", &format!("/api/v1/devices/mqtt:{board}/credentials"), &json!({}));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}

/// A CONNECT of 3.1.1 that names nobody.
fn nameless(client_id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\x02\0\x3c\0".to_vec();
    body.push(u8::try_from(client_id.len()).unwrap());
    body.extend_from_slice(client_id.as_bytes());
    crate::board::packet(0x10, &body)
}

fn each_refusal_has_its_name() {
    let daemon = Daemon::start(None, &[("mqtt", "failed_sign_ins_per_minute = 9")]);
    let secret = daemon.enrolment();
    let connect = |id: &str, user: &str, password: &str| {
        Board::connect(daemon.ports.mqtt, id, user, password).unwrap()
    };
    for id in ["grown", "other"] {
        connect(id, "enrol", &secret).unwrap().disconnect();
    }
    let (user, password) = credentials(&daemon, "grown");
    connect("grown", &user, &password).unwrap().disconnect();
    let reader = json!({"name": "reader", "role": "reader"});
    let reader = daemon.call("POST", "/api/v1/tokens", &reader)["token"].clone();
    let reader = reader.as_str().unwrap();

    let mut counted = BTreeMap::new();
    let mut assert_counted = |reason: &str| {
        *counted.entry(reason.to_owned()).or_insert(0) += 1;
        let series = counted.iter().map(|(reason, count)| {
            format!("lastmile_auth_failures_total{{protocol=\"mqtt\",reason=\"{reason}\"}} {count}")
        });
        assert_eq!(refusals(&daemon), series.collect::<Vec<_>>(), "{reason}");
    };
    for (id, user, password, code, reason) in [
        ("grown", "enrol", &*secret, NOT_AUTHORISED, "enrolled"),
        ("other", &user, &password, NOT_AUTHORISED, "identity"),
        ("program", "token", reader, NOT_AUTHORISED, "no_topics"),
        ("program", "token", "lm_nonsense", BAD_CREDENTIALS, "wrong"),
        ("grown", &user, "nonsense", BAD_CREDENTIALS, "wrong"),
        ("fresh", "enrol", "nonsense", BAD_CREDENTIALS, "wrong"),
        ("fresh", "nobody", "nonsense", BAD_CREDENTIALS, "wrong"),
    ] {
        assert_eq!(connect(id, user, password).unwrap_err(), code, "{id} {user} {reason}");
        assert_counted(reason);
    }
    let mut open = Board::open(daemon.ports.mqtt).unwrap();
    open.write(&nameless("nameless")).unwrap();
    assert_eq!(open.receive().unwrap(), Packet::Connack(BAD_CREDENTIALS));
    assert_counted("missing");
    // The ninth from this address is the last that is looked at.
    assert_eq!(connect("grown", &user, "nonsense").unwrap_err(), BAD_CREDENTIALS);
    assert_counted("wrong");
    for _ in 0..2 {
        assert!(connect("grown", &user, &password).is_err(), "not even the right one");
        assert_counted("too_many");
    }
    let known = daemon.call("GET", "/api/v1/devices", &Value::Null);
    let ids: Vec<_> =
        known["items"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, ["mqtt:grown", "mqtt:other"], "who is refused is no device");
}
