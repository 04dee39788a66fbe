//! Changed profiles on trial, plans in a terminal: over signals, restarts and `kill -9`.

use crate::cpe::{Visit, post};
use crate::daemon::{Daemon, until};
use crate::http::Connection;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("steering::a_faulty_profile_changes_nothing", a_faulty_profile),
        crate::trial("steering::a_trial_outlasts_a_kill", a_trial_outlasts_a_kill),
        crate::trial("steering::a_hold_outlasts_a_kill", a_hold_outlasts_a_kill),
        crate::trial("steering::a_hold_stops_the_next_write", a_hold_stops_the_next_write),
        crate::trial("steering::a_plan_says_by_its_exit_code", a_plan_says_by_its_exit_code),
    ]
}

/// A profile for the tests' CPE.
fn profile(code: &str) -> String {
    format!(
        "name = \"tester\"\ndescription = \"for tests\"\nmatch.product_class = \"Tester\"\n\
         [[parameter]]\npath = \"InternetGatewayDevice.DeviceInfo.ProvisioningCode\"\n\
         value = \"{code}\"\n"
    )
}

/// A daemon whose profiles lie in a folder, and a device that it knows.
fn start(settings: &str) -> (Daemon, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(file(&dir), profile("A")).unwrap();
    let settings = format!("profiles = {:?}\n{settings}", dir.path().display().to_string());
    let daemon = Daemon::start(None, &[("provisioning", &settings)]);
    let cpe = crate::cpe::Cpe::new(daemon.ports.cwmp, "S1", &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    (daemon, dir)
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("tester.toml")
}

fn shown(daemon: &Daemon) -> Value {
    daemon.call("GET", "/api/v1/profiles", &Value::Null)
}

fn a_faulty_profile() {
    let (daemon, dir) = start("");
    let before = shown(&daemon);
    fs::write(file(&dir), profile("A") + "weight = 1\n").unwrap();
    daemon.signal("HUP");
    assert!(daemon.logs_within("tester.toml:7", PATIENCE), "the fault is told with its line");
    assert!(daemon.logs_within("nothing is reloaded", PATIENCE));
    assert_eq!(shown(&daemon), before);
    let check = daemon.command("check").output().unwrap();
    assert_eq!(check.status.code(), Some(64));
    let told = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(told.contains("tester.toml:7"), "{told}");
    let answer = daemon.api("POST", "/api/v1/profiles/reload", &json!({}));
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["faults"][0]["line"], 7);

    fs::write(file(&dir), profile("B")).unwrap();
    daemon.signal("HUP");
    let is_tried = || shown(&daemon)["trial"]["canaries"] == 1;
    assert!(until(PATIENCE, is_tried), "a sound one is tried: {}", shown(&daemon));
}

fn a_trial_outlasts_a_kill() {
    let (mut daemon, dir) = start("canary_wait = \"1h\"");
    fs::write(file(&dir), profile("B")).unwrap();
    let taken = daemon.call("POST", "/api/v1/profiles/reload", &json!({}));
    assert_eq!((&taken["outcome"], &taken["touched"]), (&json!("trial"), &json!(1)));
    let before = shown(&daemon)["trial"].clone();
    daemon.kill();
    daemon.start_again();
    let after = shown(&daemon)["trial"].clone();
    for key in ["revision", "state", "actor", "began_at", "devices", "canaries"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    daemon.call("POST", "/api/v1/profiles/rollback", &json!({}));
    daemon.kill();
    daemon.start_again();
    assert_eq!(shown(&daemon)["trial"], Value::Null, "what was taken back is not tried again");
    assert_eq!(shown(&daemon)["rejected"], before["revision"]);
}

fn a_hold_outlasts_a_kill() {
    let (mut daemon, _dir) = start("");
    let hold = daemon.call("POST", "/api/v1/hold", &json!({ "reason": "smoke" }));
    let cpe = crate::cpe::Cpe::new(daemon.ports.cwmp, "S1", &daemon.enrolment());
    let url = format!("/api/v1/devices/{}/commands", cpe.id());
    let body = json!({ "kind": "reboot" });
    let command = daemon.call("POST", &url, &body)["id"].as_str().unwrap().to_owned();
    daemon.kill();
    daemon.start_again();
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert!(!visit.calls.iter().any(|call| call == "Reboot"), "{:?}", visit.calls);
    let url = format!("/api/v1/commands/{command}");
    assert_eq!(daemon.call("GET", &url, &Value::Null)["held"], true);
    let lift = format!("/api/v1/hold/{}", hold["id"].as_str().unwrap());
    daemon.call("DELETE", &lift, &Value::Null);
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert!(visit.calls.iter().any(|call| call == "Reboot"), "{:?}", visit.calls);
}

/// Put in the middle of a session, between one write and the next.
fn a_hold_stops_the_next_write() {
    let (daemon, _dir) = start("");
    let cpe = crate::cpe::Cpe::new(daemon.ports.cwmp, "S1", &daemon.enrolment());
    let url = format!("/api/v1/devices/{}/commands", cpe.id());
    let send = |body: Value| {
        let made = daemon.call("POST", &url, &body);
        format!("/api/v1/commands/{}", made["id"].as_str().unwrap())
    };
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let first = send(json!({ "kind": "set_parameters", "values": { code: "Z" } }));
    let second = send(json!({ "kind": "reboot" }));
    let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
    let inform = cpe.inform(&[("2 PERIODIC", "")]);
    let challenge = post(&mut connection, &[], &inform).unwrap();
    let authorization = cpe.sign(&challenge).unwrap();
    let headers = [("Authorization", authorization.as_str())];
    assert_eq!(post(&mut connection, &headers, &inform).unwrap().status, 200);
    // Without a cookie the session is that of the connection.
    let (mut visit, mut body) = (Visit::default(), String::new());
    loop {
        let answer = post(&mut connection, &[], &body).unwrap();
        if answer.status == 204 || answer.body.is_empty() {
            break;
        }
        body = cpe.serve(&answer.text(), &mut visit);
        if visit.calls.last().is_some_and(|call| call == "SetParameterValues") {
            daemon.call("POST", "/api/v1/hold", &json!({ "reason": "smoke" }));
        }
    }
    let writes: Vec<_> = visit.calls.iter().filter(|call| !call.starts_with("Get")).collect();
    assert_eq!(writes, ["SetParameterValues"], "what was sent is done, and nothing more");
    assert_eq!(daemon.call("GET", &first, &Value::Null)["state"], "done");
    let waiting = daemon.call("GET", &second, &Value::Null);
    assert_eq!((&waiting["state"], &waiting["held"]), (&json!("queued"), &json!(true)));
}

fn a_plan_says_by_its_exit_code() {
    let (daemon, dir) = start("canary_share = 0");
    let plan = |more: &[&str]| {
        let output = daemon.command("plan").args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let other = dir.path().join("other");
    fs::write(&other, profile("B")).unwrap();
    let other = other.display().to_string();
    let (code, text) = plan(&["--fleet", "--profile", &other]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("ProvisioningCode") && text.contains("\"B\""), "{text}");
    let id = "cwmp:0A1B2C-Tester-S1";
    let (code, text) = plan(&["--device", id, "--profile", &other]);
    assert_eq!(code, Some(2), "{text}");
    let (code, _) = plan(&["--device", "nobody"]);
    assert_eq!(code, Some(1));
}
