//! A CPE's data model is learned when it is first met; what single models get wrong; how many may
//! be in a session.

use crate::backend::Backend;
use crate::cpe::{Cpe, TABLE, post};
use crate::daemon::{Daemon, until};
use crate::http::{Connection, PATIENCE};
use crate::rpcs::Scene;
use cwmp::Request;
use libtest_mimic::Trial;
use serde_json::{Value, json};

const OPEN: (&str, &str) = ("cwmp", "auth = \"open\"");

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("discovery::at_first_contact_and_no_more", at_first_contact_and_no_more),
        crate::trial("discovery::off_where_it_is_not_wanted", off_where_it_is_not_wanted),
        crate::trial("discovery::what_breaks_is_not_tried_at_once", what_breaks),
        crate::trial("discovery::a_refresh_brings_what_is_new", a_refresh_brings_what_is_new),
        crate::trial("discovery::attributes_are_kept_and_followed", attributes_are_followed),
        crate::trial("discovery::quirks_are_met_as_configured", quirks_are_met_as_configured),
        crate::trial("discovery::sessions_have_a_bound", sessions_have_a_bound),
    ]
}

fn has_discovered(calls: &[String]) -> bool {
    calls.iter().any(|call| call == "GetParameterNames")
}

fn parameters(daemon: &Daemon, cpe: &Cpe, path: &str) -> Value {
    let path = format!("/api/v1/devices/{}/parameters?path={path}", cpe.id());
    let answer = daemon.api("GET", &path, &Value::Null);
    if answer.status == 200 { answer.json() } else { Value::Null }
}

fn at_first_contact_and_no_more() {
    let mut daemon = Daemon::start(None, &[OPEN]);
    let cpe = Cpe::new(daemon.ports.cwmp, "LEARN001", "");
    let visit = cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    assert!(has_discovered(&visit.calls), "{:?}", visit.calls);
    let version = "InternetGatewayDevice.DeviceInfo.SoftwareVersion";
    let shown = || parameters(&daemon, &cpe, version);
    assert!(until(PATIENCE, || shown().to_string().contains("1.0")), "{}", shown());
    let table = parameters(&daemon, &cpe, TABLE);
    assert!(table.to_string().contains(TABLE), "{table}");

    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, Vec::<String>::new(), "it is known");
    daemon.kill();
    daemon.start_again();
    let visit = cpe.visit(&[("1 BOOT", "")]).unwrap();
    assert!(!has_discovered(&visit.calls), "it is known after a crash: {:?}", visit.calls);
    let visit = cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    assert!(has_discovered(&visit.calls), "from factory settings: {:?}", visit.calls);
}

fn off_where_it_is_not_wanted() {
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"\ndiscovery = \"off\"")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "LEARN002", "");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    // A profile reads what it asks for, and nobody the rest.
    let name = "InternetGatewayDevice.ManagementServer.Username";
    assert_eq!(parameters(&daemon, &cpe, name)["items"], json!([]));
}

fn what_breaks() {
    let daemon = Daemon::start(None, &[OPEN]);
    let cpe = Cpe::new(daemon.ports.cwmp, "LEARN003", "");
    for _ in 0..50 {
        cpe.refuse("GetParameterNames", 9002);
        cpe.refuse("GetParameterValues", 9002);
    }
    let visit = cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    assert!(has_discovered(&visit.calls), "{:?}", visit.calls);
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert!(!has_discovered(&visit.calls), "not in every session: {:?}", visit.calls);
}

fn a_refresh_brings_what_is_new() {
    let daemon = Daemon::start(None, &[OPEN]);
    let cpe = Cpe::new(daemon.ports.cwmp, "LEARN004", "");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    cpe.set("DeviceInfo.ProvisioningCode", "villa-9");
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    assert!(!parameters(&daemon, &cpe, code).to_string().contains("villa-9"));
    let path = format!("/api/v1/devices/{}/commands", cpe.id());
    let refresh = json!({"kind": "refresh", "path": "InternetGatewayDevice.DeviceInfo."});
    let refresh = daemon.call("POST", &path, &refresh);
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let path = format!("/api/v1/commands/{}", refresh["id"].as_str().unwrap());
    let done = daemon.call("GET", &path, &Value::Null);
    assert_eq!(done["state"], "done", "{done}");
    // Who hears that it is done finds what it brought.
    let shown = parameters(&daemon, &cpe, code);
    assert!(shown.to_string().contains("villa-9"), "{shown}");
}

/// Attributes are kept as they are read and set; what a device then tells of its own accord is news,
/// and is kept.
fn attributes_are_followed() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "NOTIFY01");
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let shown = |path: &str| parameters(&scene.daemon, &scene.cpe, path)["items"][0].clone();
    let becomes = |path: &str, field: &str, value: Value| {
        assert!(until(PATIENCE, || shown(path)[field] == value), "{field}: {}", shown(path));
    };
    assert_eq!(shown(code)["notification"], Value::Null, "nobody has asked yet");
    scene.done(&json!({"kind": "get_parameter_attributes", "names": ["InternetGatewayDevice."]}));
    becomes(code, "notification", json!(0));
    becomes("InternetGatewayDevice.DeviceInfo.UpTime", "notification", json!(0));
    let set = json!({"path": code, "notification": 2, "access_list": ["Subscriber"]});
    scene.done(&json!({"kind": "set_parameter_attributes", "attributes": [set]}));
    becomes(code, "notification", json!(2));
    assert_eq!(shown(code)["access_list"], json!(["Subscriber"]));

    scene.cpe.set("DeviceInfo.ProvisioningCode", "villa-9");
    scene.cpe.visit(&[("4 VALUE CHANGE", "")]).unwrap();
    let told = backend.wait_for("lastmile.device.values_changed", &scene.cpe.id());
    assert_eq!(told.data["parameters"][code], "villa-9");
    becomes(code, "value", json!("villa-9"));
    assert_eq!(shown(code)["notification"], 2, "its attributes stay");
}

fn quirks_are_met_as_configured() {
    let quirk = "model = \"Tester 9\"\nsoftware = \"1.\"\n\
                 flags = [\"skip_root_names\", \"boolean_literal\"]";
    let daemon = Daemon::start(None, &[OPEN, ("[cwmp.quirk]", quirk)]);
    let enable = "InternetGatewayDevice.ManagementServer.PeriodicInformEnable";
    let visited = |serial: &str, version: &str| {
        let cpe = Cpe::new(daemon.ports.cwmp, serial, "");
        cpe.set("DeviceInfo.SoftwareVersion", version);
        let visit = cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
        let asks_root = |request: &Request| {
            matches!(request, Request::GetParameterNames { path, .. }
                if matches!(&**path, "" | "InternetGatewayDevice."))
        };
        let asks_root = visit.requests.iter().any(asks_root);
        let path = format!("/api/v1/devices/{}/commands", cpe.id());
        let set = json!({"kind": "set_parameters", "values": {enable: true}});
        daemon.call("POST", &path, &set);
        cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        (asks_root, cpe.value("ManagementServer.PeriodicInformEnable"))
    };
    assert_eq!(visited("QUIRK001", "1.4"), (false, "true".to_owned()));
    assert_eq!(visited("QUIRK002", "2.0"), (true, "1".to_owned()), "another version");

    let faulty = Daemon::prepare(None, &[("[cwmp.quirk]", "flags = [\"no_such_flag\"]")]);
    let checked = faulty.command("check").output().unwrap();
    let told = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(64), "{told}");
    assert!(told.contains("cwmp.quirk[0].flags"), "{told}");
}

fn sessions_have_a_bound() {
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"\nsessions_max = 1")]);
    let first = Cpe::new(daemon.ports.cwmp, "BOUND001", "");
    let second = Cpe::new(daemon.ports.cwmp, "BOUND002", "");
    let mut held = Connection::open(daemon.ports.cwmp).unwrap();
    let inform = first.inform(&[("2 PERIODIC", "")]);
    assert_eq!(post(&mut held, &[], &inform).unwrap().status, 200);

    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let mut refused = Connection::open(daemon.ports.cwmp).unwrap();
        let inform = second.inform(&[("2 PERIODIC", "")]);
        let answer = post(&mut refused, &[], &inform).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        waits.insert(answer.header("retry-after").unwrap().parse::<u32>().unwrap());
    }
    assert!(waits.iter().all(|it| (30..=300).contains(it)), "{waits:?}");
    assert!(waits.len() > 1, "they must not come back together: {waits:?}");
    // The one that is in may begin anew, on its connection and on another.
    assert_eq!(post(&mut held, &[], &first.inform(&[("2 PERIODIC", "")])).unwrap().status, 200);
    first.visit(&[("2 PERIODIC", "")]).unwrap();
    second.visit(&[("2 PERIODIC", "")]).unwrap();
}
