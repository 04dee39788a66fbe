//! The way down: what an operator, a program or a caller asks for reaches the device.

use crate::backend::Backend;
use crate::board::{Board, Packet};
use crate::cpe::{Cpe, envelope, post};
use crate::daemon::{Daemon, until};
use crate::http::{self, Connection, PATIENCE};
use crate::phone::Call;
use libtest_mimic::Trial;
use serde_json::{Value, json};

const PHONE: &str = "+254711000009";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("commands::a_caller_restarts_his_router", a_caller_restarts_his_router),
        crate::trial("commands::parameters_are_read_and_set", parameters_are_read_and_set),
        crate::trial("commands::a_publish_waits_for_its_board", a_publish_waits_for_its_board),
        crate::trial("commands::a_board_that_stays_away_misses_it", stays_away),
        crate::trial("commands::a_command_survives_a_crash", a_command_survives_a_crash),
        crate::trial("commands::a_crash_before_the_answer", a_crash_before_the_answer),
        crate::trial("commands::a_crash_before_the_puback", a_crash_before_the_puback),
        crate::trial("commands::a_crash_in_a_dialogue", a_crash_in_a_dialogue),
        crate::trial("commands::one_key_is_one_command", one_key_is_one_command),
        crate::trial("commands::refused_before_it_is_kept", refused_before_it_is_kept),
        crate::trial("commands::a_withdrawn_command_is_not_sent", a_withdrawn_command_is_not_sent),
    ]
}

/// A router that can be woken and lives on its own.
fn living_router(
    daemon: &Daemon,
    serial: &str,
) -> (String, std::sync::Arc<std::sync::Mutex<crate::cpe::DataModel>>) {
    let cpe = Cpe::new(daemon.ports.cwmp, serial, &daemon.enrolment());
    let wakes = cpe.listen();
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    let (id, model) = (cpe.id(), cpe.model.clone());
    cpe.live(wakes);
    (id, model)
}

fn give_home(daemon: &Daemon, router: &str) {
    daemon.call("PUT", "/api/v1/customers/c-1", &json!({"name": "Asha"}));
    let phone = PHONE.replace('+', "%2B");
    for device in [router.to_owned(), format!("msisdn:{phone}")] {
        let path = format!("/api/v1/customers/c-1/devices/{device}");
        let answer = daemon.api("PUT", &path, &Value::Null);
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
    }
}

fn call(daemon: &Daemon, session: &str, number: &str) -> Call {
    Call::begin(daemon.ports.public, &daemon.home(), session, number).unwrap()
}

fn a_caller_restarts_his_router() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (router, _) = living_router(&daemon, "HOME0001");
    let mut stranger = call(&daemon, "s-0", PHONE);
    stranger.dial().unwrap();
    let said = stranger.key("1").unwrap();
    assert!(said.starts_with("END This number belongs to no customer"), "{said}");

    give_home(&daemon, &router);
    let mut asking = call(&daemon, "s-1", PHONE);
    asking.dial().unwrap();
    assert_eq!(asking.key("1").unwrap(), "END Your router is online.");

    let mut restarting = call(&daemon, "s-2", PHONE);
    restarting.dial().unwrap();
    assert!(restarting.key("2").unwrap().starts_with("CON Restart your router?"));
    let said = restarting.key("1").unwrap();
    assert!(said.starts_with("END Your router is restarting."), "{said}");
    assert_eq!(restarting.again().unwrap(), said, "the same hop again, answered the same");

    let requested = backend.wait_for("lastmile.ussd.requested", &format!("msisdn:{PHONE}"));
    assert_eq!(requested.data["operation"], "router_restart");
    let done = backend.wait_for("lastmile.command.completed", &router);
    assert_eq!(done.data["kind"], "reboot");
    assert_eq!(done.data["state"], "done");
    let commands = daemon.call("GET", &format!("/api/v1/devices/{router}/commands"), &Value::Null);
    let commands = commands["items"].as_array().unwrap().clone();
    assert_eq!(commands.len(), 1, "a hop that came twice has one effect: {commands:?}");
    let all = backend.accepted();
    let place = |kind: &str| all.iter().position(|it| it.kind == kind).unwrap();
    assert!(place("lastmile.ussd.requested") < place("lastmile.command.completed"));
    assert!(all.iter().any(|it| it.kind == "lastmile.device.booted" && it.subject == router));
    backend.assert_no_faults();
}

fn parameters_are_read_and_set() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let (router, model) = living_router(&daemon, "READ0001");
    let path = format!("/api/v1/devices/{router}/commands?wait=30s");
    let version = "InternetGatewayDevice.DeviceInfo.SoftwareVersion";
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";

    let read = daemon.api("POST", &path, &json!({"kind": "get_parameters", "names": [version]}));
    assert_eq!(read.status, 200, "it ended within the wait: {}", read.text());
    let read = read.json();
    assert_eq!(read["state"], "done", "{read}");
    assert!(read["result"].to_string().contains("1.0"), "{read}");
    assert!(read["result"].to_string().contains(version), "{read}");

    let set = json!({"kind": "set_parameters", "values": {code: "villa-7"}});
    let set = daemon.call("POST", &path, &set);
    assert_eq!(set["state"], "done", "{set}");
    assert_eq!(model.lock().unwrap()[code].1, "villa-7");

    let unknown = json!({"kind": "set_parameters", "values": {"InternetGatewayDevice.None": "x"}});
    let failed = daemon.call("POST", &path, &unknown);
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["cause"].is_string(), "{failed}");
    let told = backend.wait_for("lastmile.command.failed", &router);
    assert_eq!(told.data["id"], failed["id"]);
    assert!(daemon.counted("lastmile_cwmp_connection_requests_total", &[]) >= 3.0);
    let audit = daemon.call("GET", "/api/v1/audit", &Value::Null).to_string();
    assert!(audit.contains(failed["id"].as_str().unwrap()), "{audit}");
    assert!(!audit.contains("villa-7"), "the audit holds no values");
}

fn a_publish_waits_for_its_board() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    Board::enrol(daemon.ports.mqtt, "away", &secret).disconnect();
    backend.wait_for("lastmile.device.disconnected", "mqtt:away");
    let command =
        json!({"kind": "publish", "topic": "boards/away/down/x", "payload": {"on": true}});
    let queued = daemon.call("POST", "/api/v1/devices/mqtt:away/commands", &command);
    assert_eq!(queued["state"], "queued");

    let mut board = Board::enrol(daemon.ports.mqtt, "away", &secret);
    assert_eq!(board.subscribe("boards/away/down/#").unwrap(), 1);
    let Packet::Publish { topic, payload, id } = board.receive().unwrap() else {
        panic!("publish")
    };
    assert_eq!(topic, "boards/away/down/x");
    assert_eq!(payload, b"{\"on\":true}");
    let path = format!("/api/v1/commands/{}", queued["id"].as_str().unwrap());
    let state = || daemon.call("GET", &path, &Value::Null)["state"].clone();
    assert_eq!(state(), "sent", "on its way, and not more than that");
    board.puback(id).unwrap();
    assert!(until(PATIENCE, || state() == "delivered"), "{}", state());
    assert_eq!(board.subscribe("boards/other/down/#").unwrap(), 0x80, "another board's");

    let now = daemon.call("POST", "/api/v1/devices/mqtt:away/commands", &command);
    let Packet::Publish { id, .. } = board.receive().unwrap() else { panic!("publish") };
    board.puback(id).unwrap();
    backend.wait("both completed", PATIENCE, |accepted| {
        let ids = accepted.iter().filter(|it| it.kind == "lastmile.command.completed");
        let ids: Vec<_> = ids.map(|it| it.data["id"].clone()).collect();
        ids == [queued["id"].clone(), now["id"].clone()]
    });
}

/// What it did not come for in time fails, and is not sent to it after all.
fn stays_away() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    Board::enrol(daemon.ports.mqtt, "away", &secret).disconnect();
    let path = "/api/v1/devices/mqtt:away/commands";
    let command = |payload: &str, expires: &str| {
        json!({"kind": "publish", "topic": "boards/away/down/x", "payload": payload,
            "expires": expires})
    };
    let short = daemon.call("POST", path, &command("short", "1s"));
    let crossing = daemon.call("POST", path, &command("crossing", "2s"));
    let long = daemon.call("POST", path, &command("long", "1h"));
    let state = |daemon: &Daemon, command: &Value| {
        let path = format!("/api/v1/commands/{}", command["id"].as_str().unwrap());
        daemon.call("GET", &path, &Value::Null)["state"].clone()
    };
    assert!(until(PATIENCE, || state(&daemon, &short) == "expired"));
    // One that comes due while the daemon is away, too.
    daemon.kill();
    daemon.start_again();
    assert!(until(PATIENCE, || state(&daemon, &crossing) == "expired"));
    for command in [&short, &crossing] {
        let is_it = |accepted: &[crate::backend::Received]| {
            let mut failed = accepted.iter().filter(|it| it.kind == "lastmile.command.failed");
            failed.any(|it| it.data["id"] == command["id"] && it.data["state"] == "expired")
        };
        backend.wait("the failure", PATIENCE, is_it);
    }
    let mut board = Board::enrol(daemon.ports.mqtt, "away", &secret);
    board.subscribe("boards/away/down/#").unwrap();
    let Packet::Publish { payload, id, .. } = board.receive().unwrap() else { panic!("publish") };
    assert_eq!(payload, b"long");
    board.puback(id).unwrap();
    assert!(until(PATIENCE, || state(&daemon, &long) == "delivered"));
    // Were there another, it would be before the answer.
    board.write(&[0xC0, 0]).unwrap();
    assert_eq!(board.receive().unwrap(), Packet::Pingresp);
}

fn a_command_survives_a_crash() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    Board::enrol(daemon.ports.mqtt, "later", &secret).disconnect();
    let cpe = Cpe::new(daemon.ports.cwmp, "LATE0001", &secret);
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    let publish = json!({"kind": "publish", "topic": "boards/later/down/x", "payload": "kept"});
    daemon.call("POST", "/api/v1/devices/mqtt:later/commands", &publish);
    let path = format!("/api/v1/devices/{}/commands", cpe.id());
    let reboot = daemon.call("POST", &path, &json!({"kind": "reboot"}));
    daemon.kill();
    daemon.start_again();

    let mut board = Board::enrol(daemon.ports.mqtt, "later", &secret);
    board.subscribe("boards/later/down/#").unwrap();
    let Packet::Publish { payload, id, .. } = board.receive().unwrap() else { panic!("publish") };
    assert_eq!(payload, b"kept");
    board.puback(id).unwrap();
    backend.wait_for("lastmile.command.completed", "mqtt:later");

    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let key = visit.reboot.expect("the reboot is still wanted");
    // The crash comes between the Reboot and the boot.
    daemon.kill();
    daemon.start_again();
    let visit = cpe.visit(&[("1 BOOT", ""), ("M Reboot", &key)]).unwrap();
    assert_eq!(visit.reboot, None, "it is not restarted twice");
    let done = backend.wait_for("lastmile.command.completed", &cpe.id());
    assert_eq!(done.data["id"], reboot["id"]);
    assert_eq!(done.data["state"], "done");
}

fn refused_before_it_is_kept() {
    let daemon = Daemon::start(None, &[]);
    Board::enrol(daemon.ports.mqtt, "plain", &daemon.enrolment()).disconnect();
    let refused = |device: &str, command: &Value, status: u16| {
        let path = format!("/api/v1/devices/{device}/commands");
        let answer = daemon.api("POST", &path, command);
        assert_eq!(answer.status, status, "{command}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    };
    let reboot = json!({"kind": "reboot"});
    refused("cwmp:0A1B2C-Tester-NONE", &reboot, 404);
    refused("mqtt:plain", &json!({"kind": "no_such_kind"}), 422);
    let foreign = json!({"kind": "publish", "topic": "boards/other/down/x", "payload": "x"});
    refused("mqtt:plain", &foreign, 422);
    refused("mqtt:plain", &reboot, 409);
}

/// The RPC is on its way when the daemon dies. What may be done twice is asked again; a Reboot is
/// not, and is known by its key when the device comes back.
fn a_crash_before_the_answer() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[("cwmp", "auth = \"open\"")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "CRASH001", "");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let path = format!("/api/v1/devices/{}/commands", cpe.id());
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let set = json!({"kind": "set_parameters", "values": {code: "after"}});
    let set = daemon.call("POST", &path, &set);
    let asked = ask_and_die(&mut daemon, &cpe);
    assert!(asked.contains("ParameterValues>"), "{asked}");
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert!(visit.calls.contains(&"SetParameterValues".to_owned()), "{:?}", visit.calls);
    assert_eq!(cpe.value("DeviceInfo.ProvisioningCode"), "after");
    let done = backend.wait_for("lastmile.command.completed", &cpe.id());
    assert_eq!(done.data["id"], set["id"]);

    let reboot = daemon.call("POST", &path, &json!({"kind": "reboot"}));
    let asked = ask_and_die(&mut daemon, &cpe);
    let key = asked.split("<CommandKey>").nth(1).and_then(|it| it.split('<').next()).unwrap();
    let state = |daemon: &Daemon| {
        let path = format!("/api/v1/commands/{}", reboot["id"].as_str().unwrap());
        daemon.call("GET", &path, &Value::Null)["state"].clone()
    };
    assert_eq!(state(&daemon), "unknown", "nobody can say whether it was carried out");
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.reboot, None, "it is not asked twice");
    cpe.visit(&[("1 BOOT", ""), ("M Reboot", key)]).unwrap();
    assert!(until(PATIENCE, || state(&daemon) == "done"), "{}", state(&daemon));
}

/// Informs, takes the gateway's RPC, and lets the daemon die before it answers; the RPC.
fn ask_and_die(daemon: &mut Daemon, cpe: &Cpe) -> String {
    let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
    let inform = cpe.inform(&[("2 PERIODIC", "")]);
    assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
    let rpc = post(&mut connection, &[], "").unwrap();
    assert_eq!(rpc.status, 200);
    daemon.kill();
    daemon.start_again();
    rpc.text()
}

fn a_crash_before_the_puback() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let mut board = Board::enrol(daemon.ports.mqtt, "mute", &secret);
    board.subscribe("boards/mute/down/#").unwrap();
    let command = json!({"kind": "publish", "topic": "boards/mute/down/x", "payload": "once"});
    daemon.call("POST", "/api/v1/devices/mqtt:mute/commands", &command);
    assert!(matches!(board.receive().unwrap(), Packet::Publish { .. }));
    daemon.kill();
    daemon.start_again();
    let mut board = Board::enrol(daemon.ports.mqtt, "mute", &secret);
    board.subscribe("boards/mute/down/#").unwrap();
    let Packet::Publish { payload, id, .. } = board.receive().unwrap() else { panic!("publish") };
    assert_eq!(payload, b"once");
    board.puback(id).unwrap();
    let done = backend.wait_for("lastmile.command.completed", "mqtt:mute");
    assert_eq!(done.data["state"], "delivered");
}

/// The caller confirms what the new process never showed him: he is asked again, and nothing is
/// restarted behind his back.
fn a_crash_in_a_dialogue() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let (router, _) = living_router(&daemon, "HOME0002");
    give_home(&daemon, &router);
    let mut before = call(&daemon, "s-1", PHONE);
    before.dial().unwrap();
    assert!(before.key("2").unwrap().starts_with("CON Restart your router?"));
    daemon.kill();
    daemon.start_again();
    let mut after = call(&daemon, "s-1", PHONE);
    let said = after.key("2*1").unwrap();
    assert!(said.starts_with("CON Restart your router?"), "{said}");
    let commands = daemon.call("GET", &format!("/api/v1/devices/{router}/commands"), &Value::Null);
    assert_eq!(commands["items"], json!([]));
    let said = after.key("1").unwrap();
    // When and where it was last heard is written behind: it may have to call by itself first.
    let is_taken = ["END Your router is restarting.", "END Your router is away. It restarts when"];
    assert!(is_taken.iter().any(|it| said.starts_with(it)), "{said}");
    let commands = daemon.call("GET", &format!("/api/v1/devices/{router}/commands"), &Value::Null);
    assert_eq!(commands["items"].as_array().unwrap().len(), 1, "{commands}");
    assert_eq!(commands["items"][0]["kind"], "reboot");
}

fn one_key_is_one_command() {
    let mut daemon = Daemon::start(None, &[]);
    Board::enrol(daemon.ports.mqtt, "once", &daemon.enrolment()).disconnect();
    let bearer = format!("Bearer {}", daemon.token());
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "order-77"),
    ];
    let body =
        json!({"kind": "publish", "topic": "boards/once/down/x", "payload": "x"}).to_string();
    let path = "/api/v1/devices/mqtt:once/commands";
    let submit = |daemon: &Daemon| {
        let answer =
            http::once(daemon.ports.operator, "POST", path, &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()["id"].clone()
    };
    let first = submit(&daemon);
    assert_eq!(submit(&daemon), first);
    daemon.kill();
    daemon.start_again();
    assert_eq!(submit(&daemon), first, "a crash between two tries makes no second command");
}

/// The session has been given both commands when the second is withdrawn.
fn a_withdrawn_command_is_not_sent() {
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "DRAWN001", "");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let path = format!("/api/v1/devices/{}/commands", cpe.id());
    let version = "InternetGatewayDevice.DeviceInfo.SoftwareVersion";
    let read = json!({"kind": "get_parameters", "names": [version]});
    let read = daemon.call("POST", &path, &read);
    let reboot = daemon.call("POST", &path, &json!({"kind": "reboot"}));

    let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
    let inform = cpe.inform(&[("2 PERIODIC", "")]);
    assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
    let rpc = post(&mut connection, &[], "").unwrap().text();
    assert!(rpc.contains("<cwmp:GetParameterValues>"), "{rpc}");
    let of = |command: &Value| format!("/api/v1/commands/{}", command["id"].as_str().unwrap());
    daemon.call("DELETE", &of(&reboot), &Value::Null);
    let empty = "<cwmp:GetParameterValuesResponse><ParameterList></ParameterList>\
                 </cwmp:GetParameterValuesResponse>";
    let next = post(&mut connection, &[], &envelope("1", empty)).unwrap();
    assert!(matches!(next.status, 200 | 204), "{}", next.status);
    assert_eq!(next.text(), "", "nothing more is asked of it");

    let state = |command: &Value| daemon.call("GET", &of(command), &Value::Null)["state"].clone();
    assert_eq!(state(&read), "done");
    assert_eq!(state(&reboot), "cancelled");
    assert_eq!(cpe.visit(&[("2 PERIODIC", "")]).unwrap().reboot, None);
}
