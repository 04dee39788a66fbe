//! Nothing that is a secret, or somebody's own business, stands in any log at any level or in a metric,
//! nor with the business or a clerk who has no need of it.

use crate::backend::{Backend, Received};
use crate::board::{Board, Packet};
use crate::calls::Called;
use crate::cpe::{Cpe, post};
use crate::daemon::{Daemon, until};
use crate::daraja::{self, CONSUMER_SECRET, PASSKEY};
use crate::http::{self, Connection, PATIENCE};
use crate::phone::{Call, form};
use crate::water_point::{NICKNAME, SMS_KEY, WaterPoint, takes};
use lastmile_daraja::{Behaviour, Fate};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const NUMBER: &str = "+254722345678";
const DIGITS: &str = "722345678";
const PIN: &str = "90417";
const PAYLOAD: &str = "payload-6f1d22";
const VALUE: &str = "parameter-77ab31";
const PASSWORD: &str = "password-c0ffee12";
const NAME: &str = "Asha-Wanjiru-51";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("secrets::no_log_and_no_metric_says_one", no_log_and_no_metric_says_one),
        crate::trial("secrets::of_water_and_money_stay_where_they_belong", water_and_money),
    ]
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

const SUBSCRIBER: &str = "+254733445566";
const MANAGER: &str = "+254733445577";
const FIRST_NAME: &str = "Wanjiruketh";
const LAST_NAME: &str = "Lokwawitara";
/// PINs that no number is printed as: right, mistyped, and of somebody who was never a customer.
const PINS: [&str; 3] = ["0739", "0738", "0641"];
/// A code that nobody has.
const WRONG_CODE: &str = "77QXZ";
const BROADCAST: &str = "Tank is cleaned on Sunday.";
/// Reads everything but water, money and events.
const CLERK: &str = "clerk = [\"devices.read\", \"customers.read\", \"equipment.read\", \
    \"images.read\", \"dead_letters.replay\", \"audit.read\"]";

fn water_and_money() {
    let settings = [("log", "level = \"trace\""), ("roles", CLERK)];
    let answers_within = (Duration::from_millis(10), Duration::from_millis(50));
    let behaviour = Behaviour { answers_within, ..Behaviour::kind() };
    let carrier = Called::start(takes);
    let mut point = WaterPoint::start((5, behaviour), carrier, &settings, |it| it);
    point.furnish(&[MANAGER]);
    let code = lives(&point);
    let receipt = point.provider.taken()[0].receipt.clone();
    let path = format!("/sms/africas_talking/{}", secret(&point.daemon, "sms.africas_talking"));
    misheard(&point, &path);
    let metrics = point.daemon.metrics();
    let (clerks, keepers) = (seen_by_a_clerk(&point), seen_by_an_operator(&point));
    point.business.wait_for("lastmile.collection.recorded", &format!("msisdn:{SUBSCRIBER}"));
    let events = point.business.accepted();
    point.daemon.signal("TERM");
    assert_eq!(point.daemon.wait_within(PATIENCE).unwrap().code(), Some(0));
    let log = point.daemon.log();
    assert!(log.contains("payments go through M-Pesa"), "nothing was logged");

    let mut keys = vec![
        ("a service's secret", point.daemon.home()),
        ("the payments' secret", daraja::secret(&point.daemon.data())),
        ("the texts' secret", secret(&point.daemon, "sms.africas_talking")),
        ("the consumer secret", CONSUMER_SECRET.to_owned()),
        ("the passkey", PASSKEY.to_owned()),
        ("the key of texts", SMS_KEY.to_owned()),
    ];
    let signs = point.provider.signs();
    assert!(signs.len() >= 3, "a key, a token and a password: {signs:?}");
    keys.extend(signs.into_iter().map(|it| ("what M-Pesa is signed in with", it)));
    keys.extend(PINS.map(|pin| ("a PIN", pin.to_owned())));
    let mut own = vec![
        ("a code", code),
        ("a code that nobody has", WRONG_CODE.to_owned()),
        ("a first name", FIRST_NAME.to_owned()),
        ("a last name", LAST_NAME.to_owned()),
        ("a text", "you are subscribed at".to_owned()),
        ("a broadcast", BROADCAST.to_owned()),
    ];
    let all = |it: &Received| format!("{} {}", it.kind, it.data);
    let told: Vec<String> = events.iter().map(all).collect();
    assert!(told.iter().any(|it| it.starts_with("lastmile.payment.credited")), "{told:?}");
    for (what, hidden) in &keys {
        assert_nowhere(what, hidden, ("what operators see", &keepers));
    }
    for (what, hidden) in keys.iter().chain(&own) {
        assert_nowhere(what, hidden, ("the events", &told.join("\n")));
    }
    // Whose number it is stands with devices and events; which receipt, in the event that needs it.
    own.push(("a receipt", receipt.clone()));
    for (what, hidden) in keys.iter().chain(&own) {
        assert_nowhere(what, hidden, ("what a clerk sees", &clerks));
    }
    own.push(("a subscriber's number", SUBSCRIBER[4..].to_owned()));
    for (what, hidden) in keys.iter().chain(&own) {
        assert_nowhere(what, hidden, ("the log", &log));
        assert_nowhere(what, hidden, ("the metrics", &metrics));
    }
    for event in told.iter().filter(|it| it.contains(&receipt)) {
        assert!(event.starts_with("lastmile.payment.credited"), "a receipt: {event}");
    }
}

/// Fails when `text` says it. A PIN is four digits: those within a longer word are none.
#[track_caller]
fn assert_nowhere(what: &str, hidden: &str, (place, text): (&str, &str)) {
    assert!(hidden.len() >= 4, "{what} is {hidden:?}");
    let is_inside = |it: char| it.is_ascii_alphanumeric() || it == '.';
    for (at, _) in text.match_indices(hidden) {
        let (before, after) =
            (text[..at].chars().next_back(), text[at + hidden.len()..].chars().next());
        let is_part = before.is_some_and(is_inside) || after.is_some_and(is_inside);
        let line = text[..at].rfind('\n').map_or(0, |it| it + 1);
        let line: String = text[line..].chars().take(600).collect();
        assert!(hidden.len() == 4 && is_part, "{what} in {place}: {line}");
    }
}

/// Registers, mistypes, pays and is given water; his code. And a broadcast to all.
fn lives(point: &WaterPoint) -> String {
    let network = point.network();
    let talk = |session: &str, number: &str, keys: &[&str]| {
        network.talk((session, number), keys, true).unwrap()
    };
    let [right, wrong, strangers] = PINS;
    let registers = ["1", "1", FIRST_NAME, LAST_NAME, right, NICKNAME];
    assert!(talk("s-1", SUBSCRIBER, &registers).contains("You are registered"));
    assert!(talk("s-2", SUBSCRIBER, &[wrong]).contains("Wrong PIN"));
    let moves = ["1", "2", SUBSCRIBER.trim_start_matches('+'), strangers];
    assert!(talk("s-3", "+254733445588", &moves).contains("do not match"));
    point.provider.decide(&SUBSCRIBER[1..], Fate::Pays { after: Duration::from_millis(300) });
    assert!(talk("s-4", SUBSCRIBER, &[right, "2", "1"]).contains("ask for your PIN"));
    let code = point.code_sent_to(SUBSCRIBER);
    assert!(talk("s-5", SUBSCRIBER, &[right, "1"]).contains(&code));
    assert!(talk("s-6", MANAGER, &["1", WRONG_CODE]).contains("no such code"));
    assert!(talk("s-7", MANAGER, &["1", &code, "1"]).contains("is given"));
    let body = json!({ "audience": "customers", "text": BROADCAST });
    let begun = point.daemon.api("POST", "/api/v1/water/broadcasts", &body);
    assert!((200..300).contains(&begun.status), "{}", begun.text());
    let is_told = || point.texts_to(SUBSCRIBER).iter().any(|text| text == BROADCAST);
    assert!(until(PATIENCE, is_told), "{:?}", point.texts_to(SUBSCRIBER));
    code
}

/// What comes to these doors and is refused: with secrets in it, at the wrong place.
fn misheard(point: &WaterPoint, sms: &str) {
    let public = point.daemon.ports.public;
    let payments = format!("/payments/mpesa/{}", daraja::secret(&point.daemon.data()));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let text = format!("from=%2B{}&to=22384&text={FIRST_NAME}&id=1", &SUBSCRIBER[1..]);
    for (method, path, body, status) in [
        ("POST", payments.clone(), "<html>", 400),
        ("GET", payments.clone(), "", 405),
        ("POST", format!("{payments}x"), "{}", 404),
        ("POST", format!("{payments}/more"), "{}", 404),
        ("GET", sms.to_owned(), "", 405),
        ("POST", format!("{sms}x"), "a=1", 404),
        ("POST", sms.to_owned(), "a=%zz", 400),
        ("POST", sms.to_owned(), &text, 200),
    ] {
        let answer = http::once(public, method, &path, &form, body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
}

fn secret(daemon: &Daemon, door: &str) -> String {
    let file = daemon.data().join(format!("public/{door}.secret"));
    fs::read_to_string(file).unwrap().trim().to_owned()
}

/// What somebody sees who may read, but has no business with water, money or events.
fn seen_by_a_clerk(point: &WaterPoint) -> String {
    let made = json!({ "name": "at-the-desk", "role": "clerk" });
    let made = point.daemon.call("POST", "/api/v1/tokens", &made);
    let token = made["token"].as_str().unwrap();
    let get = |path: &str| point.daemon.api_as(token, "GET", path, &Value::Null);
    for shut in [
        "water/customers",
        "water/managers",
        "water/transactions",
        "water/sites",
        "water/broadcasts",
        "payments",
        "payment-strays",
        "events",
        "tokens",
    ] {
        let answer = get(&format!("/api/v1/{shut}"));
        assert_eq!(answer.status, 403, "{shut}: {}", answer.text());
    }
    let phone = format!("/api/v1/devices/msisdn:%2B{}", &SUBSCRIBER[1..]);
    let open = ["devices?limit=1000", "tasks?limit=1000", "audit?limit=1000", "dead-letters"];
    let open = open.map(|it| format!("/api/v1/{it}")).into_iter().chain([phone]);
    open.map(|path| {
        let answer = get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    })
    .collect::<Vec<_>>()
    .join("\n")
}

/// What those see who may see most.
fn seen_by_an_operator(point: &WaterPoint) -> String {
    let all = [
        "water/customers",
        "water/managers",
        "water/transactions",
        "water/sites",
        "water/broadcasts",
        "payments",
        "payment-strays",
        "tasks",
        "audit",
        "sinks",
        "tokens",
    ];
    let mut seen: Vec<String> = all
        .map(|it| point.daemon.call("GET", &format!("/api/v1/{it}"), &Value::Null).to_string())
        .into();
    for payment in point.payments() {
        let path = format!("/api/v1/payments/{}", payment["id"].as_str().unwrap());
        seen.push(point.daemon.call("GET", &path, &Value::Null).to_string());
    }
    let customer = point.customer(SUBSCRIBER)["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/water/customers/{customer}");
    seen.push(point.daemon.call("GET", &path, &Value::Null).to_string());
    seen.join("\n")
}
