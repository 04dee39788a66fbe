//! Two tenants in one daemon: neither sees the other.

use crate::board::Board;
use crate::daemon::Daemon;
use crate::five::{Five, Hello};
use crate::programs;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("tenants::neither_sees_the_other", neither_sees_the_other),
        programs::trial("tenants::streams_are_apart", &["curl"], streams_are_apart),
        crate::trial("tenants::programs_hear_their_own_alone", programs_hear_their_own_alone),
        crate::trial("tenants::roles_are_held_to", roles_are_held_to),
    ]
}

fn token(daemon: &Daemon, name: &str, role: &str, tenant: Option<&str>) -> String {
    let mut request = json!({"name": name, "role": role});
    if let Some(tenant) = tenant {
        request["tenant"] = tenant.into();
    }
    let made = daemon.call("POST", "/api/v1/tokens", &request);
    made["token"].as_str().unwrap().to_owned()
}

fn neither_sees_the_other() {
    let daemon = Daemon::start(None, &[("", "tenants = [\"acme\"]")]);
    Board::enrol(daemon.ports.mqtt, "ours", &daemon.enrolment()).disconnect();
    daemon.call("PUT", "/api/v1/customers/c-1", &json!({"name": "ours"}));
    let theirs = token(&daemon, "acme-admin", "admin", Some("acme"));
    let ask = |method: &str, path: &str, body: &Value| daemon.api_as(&theirs, method, path, body);

    let list = ask("GET", "/api/v1/devices", &Value::Null);
    assert_eq!(list.status, 200);
    assert_eq!(list.json()["items"], json!([]));
    let publish = json!({"kind": "publish", "topic": "boards/ours/down/x", "payload": "x"});
    for (method, path, body) in [
        ("GET", "/api/v1/devices/mqtt:ours", &Value::Null),
        ("POST", "/api/v1/devices/mqtt:ours/commands", &publish),
        ("PUT", "/api/v1/devices/mqtt:ours/tags/x", &Value::Null),
        ("PUT", "/api/v1/devices/mqtt:ours/credentials", &json!({})),
        ("GET", "/api/v1/customers/c-1", &Value::Null),
    ] {
        let answer = ask(method, path, body);
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
    }
    let command = daemon.call("POST", "/api/v1/devices/mqtt:ours/commands", &publish);
    let path = format!("/api/v1/commands/{}", command["id"].as_str().unwrap());
    assert_eq!(ask("GET", &path, &Value::Null).status, 404);
    assert_eq!(ask("DELETE", &path, &Value::Null).status, 404);
    let audit = ask("GET", "/api/v1/audit", &Value::Null);
    assert!(
        !audit.text().contains("c-1") && !audit.text().contains("mqtt:ours"),
        "{}",
        audit.text()
    );
    // Nor may it make itself a token of ours.
    let more =
        ask("POST", "/api/v1/tokens", &json!({"name": "x", "role": "admin", "tenant": "default"}));
    assert!((400..500).contains(&more.status), "{}", more.text());
    let same = ask("PUT", "/api/v1/customers/c-1", &json!({"name": "theirs"}));
    assert_eq!(same.status, 201, "the same name is another customer: {}", same.text());
    let ours = daemon.call("GET", "/api/v1/customers/c-1", &Value::Null);
    assert_eq!(ours["name"], "ours");
}

fn streams_are_apart() {
    let daemon = Daemon::start(None, &[("", "tenants = [\"acme\"]")]);
    let mut board = Board::enrol(daemon.ports.mqtt, "ours", &daemon.enrolment());
    board.publish_and_wait("boards/ours/up/a", b"{\"n\":1}").unwrap();
    let read = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let url = format!("http://127.0.0.1:{}/api/v1/events?after=oldest", daemon.ports.operator);
        let arguments = ["-sN", "--max-time", "2", "-H", &bearer, &url];
        String::from_utf8(programs::run("curl", &arguments, b"").stdout).unwrap()
    };
    assert!(read(&daemon.token()).contains("lastmile.telemetry.received"));
    let theirs = token(&daemon, "acme-reader", "reader", Some("acme"));
    assert!(!read(&theirs).contains("lastmile."));
}

/// A program of each tenant, alike in all but that: what each publishes, leaves to stay and shares
/// reaches its own.
fn programs_hear_their_own_alone() {
    let mut daemon = Daemon::start(None, &[("", "tenants = [\"acme\"]")]);
    let program = |tenant: &str| {
        let topics = json!(["#"]);
        let body = json!({"name": "all", "role": "program", "tenant": tenant,
            "publish": topics, "subscribe": topics});
        daemon.call("POST", "/api/v1/tokens", &body)["token"].as_str().unwrap().to_owned()
    };
    let tokens = ["default", "acme"].map(program);
    let hellos = [0, 1].map(|tenant| Hello::program("same", &tokens[tenant]));
    let mut clients = [0, 1].map(|tenant| {
        let mut client = Five::connect(&daemon, &hellos[tenant]);
        client.subscribe("#", QoS::AtLeastOnce, None);
        client.subscribe("$share/workers/#", QoS::AtLeastOnce, None);
        client
    });
    let heard = |client: &mut Five| {
        let mut heard = Vec::new();
        while let Some(message) = client.next_within(Duration::from_millis(400)) {
            heard.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
        heard.sort_unstable();
        heard
    };
    for (client, name) in clients.iter_mut().zip(["ours", "theirs"]) {
        client.publish_and_wait("x/y", name, |message, _| message.retain = true);
    }
    let mut board = Board::enrol(daemon.ports.mqtt, "ours", &daemon.enrolment());
    board.publish_and_wait("boards/ours/up/a", b"board").unwrap();
    // Once for each subscription.
    let [ours, theirs] = &mut clients;
    assert_eq!(heard(ours), ["board", "board", "ours", "ours"]);
    assert_eq!(heard(theirs), ["theirs", "theirs"]);
    // What they missed, and what was left to stay, over a crash.
    drop(clients);
    board.publish_and_wait("boards/ours/up/a", b"later").unwrap();
    daemon.kill();
    daemon.start_again();
    let mut clients = hellos.map(|hello| Five::connect(&daemon, &hello));
    let retained = |client: &mut Five| {
        assert!(client.connack.session_present);
        let mut heard = heard(client);
        client.subscribe("x/+", QoS::AtLeastOnce, None);
        heard.extend(client.next_within(Duration::from_secs(5)).map(|message| {
            assert!(message.retain);
            String::from_utf8(message.payload.to_vec()).unwrap()
        }));
        assert!(client.is_quiet_for(Duration::from_millis(200)));
        heard.dedup();
        heard
    };
    let [ours, theirs] = &mut clients;
    let (ours, theirs) = (retained(ours), retained(theirs));
    assert!(ours.ends_with(&["later".to_owned(), "ours".to_owned()]), "{ours:?}");
    assert_eq!(theirs.last().unwrap(), "theirs");
    assert!(!ours.contains(&"theirs".to_owned()), "{ours:?}");
    assert!(theirs.iter().all(|heard| heard == "theirs"), "{theirs:?}");
}

fn roles_are_held_to() {
    let daemon = Daemon::start(None, &[]);
    Board::enrol(daemon.ports.mqtt, "ours", &daemon.enrolment()).disconnect();
    let reader = token(&daemon, "looker", "reader", None);
    let publish = json!({"kind": "publish", "topic": "boards/ours/down/x", "payload": "x"});
    let ask =
        |method: &str, path: &str, body: &Value| daemon.api_as(&reader, method, path, body).status;
    assert_eq!(ask("GET", "/api/v1/devices", &Value::Null), 200);
    assert_eq!(ask("POST", "/api/v1/devices/mqtt:ours/commands", &publish), 403);
    assert_eq!(ask("PUT", "/api/v1/customers/c-1", &json!({})), 403);
    assert_eq!(ask("PUT", "/api/v1/devices/mqtt:ours/credentials", &json!({})), 403);
    assert_eq!(ask("GET", "/api/v1/audit", &Value::Null), 403);
    assert_eq!(ask("POST", "/api/v1/tokens", &json!({"name": "x", "role": "admin"})), 403);
    daemon.call("DELETE", "/api/v1/tokens/looker", &Value::Null);
    assert_eq!(ask("GET", "/api/v1/devices", &Value::Null), 401, "revoked");
}
