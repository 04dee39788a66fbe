//! Nothing that is a secret, or somebody's own business, stands in any log at any level or in a metric.

use crate::backend::Backend;
use crate::board::{Board, Packet};
use crate::cpe::{Cpe, post};
use crate::daemon::Daemon;
use crate::http::{self, Connection, PATIENCE};
use crate::phone::{Call, form};
use libtest_mimic::Trial;
use serde_json::{Value, json};

const NUMBER: &str = "+254722345678";
const DIGITS: &str = "722345678";
const PIN: &str = "90417";
const PAYLOAD: &str = "payload-6f1d22";
const VALUE: &str = "parameter-77ab31";
const PASSWORD: &str = "password-c0ffee12";
const NAME: &str = "Asha-Wanjiru-51";

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("secrets::no_log_and_no_metric_says_one", no_log_and_no_metric_says_one)]
}

fn no_log_and_no_metric_says_one() {
    let backend = Backend::start();
    let settings = [("log", "level = \"trace\""), ("cwmp", "allow_basic = true")];
    let daemon = Daemon::start(Some(&backend), &settings);
    boards(&daemon);
    let (wake_password, router) = routers(&daemon);
    phones(&daemon);
    operators(&daemon, &router);
    backend.wait_for("lastmile.command.completed", &router);
    backend.wait_for("lastmile.ussd.ended", &format!("msisdn:{NUMBER}"));
    let metrics = daemon.metrics();
    daemon.signal("HUP");
    daemon.signal("TERM");
    let mut daemon = daemon;
    let (enrolment, token, home) = (daemon.enrolment(), daemon.token(), daemon.home());
    assert!(daemon.wait_within(PATIENCE).is_some());

    let log = daemon.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "nothing was logged");
    assert!(metrics.contains("lastmile_ussd_hops_total"), "nothing was counted");
    let signing = backend.secret();
    let secrets = [
        ("the enrolment secret", enrolment.as_str()),
        ("the operator's token", &token),
        ("a service's secret", &home),
        ("the signing secret", signing.trim().trim_start_matches("whsec_")),
        ("a connection request's password", &wake_password),
        ("a device's password", PASSWORD),
        ("a subscriber's number", DIGITS),
        ("a PIN", PIN),
        ("a payload", PAYLOAD),
        ("a parameter's value", VALUE),
        ("a customer's name", NAME),
    ];
    for (what, secret) in secrets {
        assert!(!secret.is_empty());
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} in the log: {line:?}");
        let line = metrics.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} in the metrics: {line:?}");
    }
}

fn boards(daemon: &Daemon) {
    let secret = daemon.enrolment();
    let port = daemon.ports.mqtt;
    let mut board = Board::enrol(port, "secretive", &secret);
    board.publish_and_wait("boards/secretive/up/a", PAYLOAD.as_bytes()).unwrap();
    board.subscribe("boards/secretive/down/#").unwrap();
    let command =
        json!({"kind": "publish", "topic": "boards/secretive/down/x", "payload": PAYLOAD});
    daemon.call("POST", "/api/v1/devices/mqtt:secretive/commands", &command);
    let Packet::Publish { id, .. } = board.receive().unwrap() else { panic!("publish") };
    board.puback(id).unwrap();
    // What is refused is not told either: a wrong topic, a wrong password, a broken packet.
    let _ = board.publish(&format!("boards/{PAYLOAD}/up"), PAYLOAD.as_bytes());
    assert!(board.is_closed_within(PATIENCE));
    let wrong = Board::connect(port, "secretive", "enrol", PASSWORD).unwrap();
    assert!(wrong.is_err());
    let wrong = Board::connect(port, "secretive", PASSWORD, &secret).unwrap();
    assert!(wrong.is_err());
    let mut broken = Board::open(port).unwrap();
    broken.write(format!("GET /{PAYLOAD}/{secret} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    assert!(broken.is_closed_within(PATIENCE));
    let mut own = daemon.call(
        "PUT",
        "/api/v1/devices/mqtt:secretive/credentials",
        &json!({"username": "own-name", "password": PASSWORD}),
    );
    own["password"].take();
    Board::connect(port, "secretive", "own-name", PASSWORD).unwrap().unwrap().disconnect();
}

/// A CPE with values of its own; the password it was given to be woken by, and its identity.
fn routers(daemon: &Daemon) -> (String, String) {
    let cpe = Cpe::new(daemon.ports.cwmp, "SECRET01", &daemon.enrolment());
    let wakes = cpe.listen();
    cpe.set("DeviceInfo.ProvisioningCode", VALUE);
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let wake_password = cpe.value("ManagementServer.ConnectionRequestPassword");
    let id = cpe.id();
    // Wrong in several ways: the body, the password, the method.
    let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
    let body = format!("<cwmp:Inform>{VALUE}</broken>");
    let basic = base64(&format!("enrol:{}", daemon.enrolment()));
    let headers = [("Authorization", basic.as_str())];
    assert_eq!(post(&mut connection, &headers, &body).unwrap().status, 400);
    let basic = base64(&format!("enrol:{PASSWORD}"));
    let headers = [("Authorization", basic.as_str())];
    assert_eq!(post(&mut connection, &headers, &body).unwrap().status, 401);
    cpe.live(wakes);
    (wake_password, id)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

fn phones(daemon: &Daemon) {
    let home = daemon.home();
    let mut call = Call::begin(daemon.ports.public, &home, "s-1", NUMBER).unwrap();
    call.dial().unwrap();
    assert!(call.key(PIN).unwrap().starts_with("CON That is not a choice."));
    call.key(NUMBER.trim_start_matches('+')).unwrap();
    call.key("0").unwrap();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let path = format!("/ussd/home/{home}");
    let port = daemon.ports.public;
    let wrong = form("s-2", NUMBER, PIN).replace("text=", "txt=");
    let answer = http::once(port, "POST", &path, &headers, wrong.as_bytes()).unwrap();
    assert_eq!(answer.status, 400);
    let query = form("s-3", NUMBER, PIN);
    let answer = http::once(port, "GET", &format!("{path}?{query}"), &[], b"").unwrap();
    assert!(answer.status >= 400);
    let path = format!("/ussd/home/{home}x/{PIN}");
    assert_eq!(http::once(port, "POST", &path, &headers, b"").unwrap().status, 404);
}

fn operators(daemon: &Daemon, router: &str) {
    let number = NUMBER.replace('+', "%2B");
    daemon.call("PUT", "/api/v1/customers/c-9", &json!({ "name": NAME }));
    daemon.call("PUT", &format!("/api/v1/customers/c-9/devices/msisdn:{number}"), &Value::Null);
    daemon.call("GET", &format!("/api/v1/devices?q={DIGITS}"), &Value::Null);
    let unknown = daemon.api("GET", "/api/v1/devices/msisdn:%2B254722345679", &Value::Null);
    assert_eq!(unknown.status, 404);
    let path = format!("/api/v1/devices/{router}/commands?wait=30s");
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let set = json!({"kind": "set_parameters", "values": {code: VALUE}});
    assert_eq!(daemon.call("POST", &path, &set)["state"], "done");
    let read = json!({"kind": "get_parameters", "names": [code]});
    let read = daemon.call("POST", &path, &read);
    assert!(read["result"].to_string().contains(VALUE), "{read}");
    daemon.api("POST", &path, &json!({"kind": "set_parameters", "values": VALUE}));
    daemon.api_as(PASSWORD, "GET", "/api/v1/devices", &Value::Null);
}
