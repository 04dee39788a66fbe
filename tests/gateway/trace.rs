//! Reading along with one device: what was said is there, what nobody may read is not.

use crate::cpe::Cpe;
use crate::daemon::Daemon;
use libtest_mimic::Trial;
use serde_json::{Value, json};

const SECRET: &str = "pass-that-nobody-reads";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("trace::what_is_said_is_kept_without_secrets", without_secrets),
        crate::trial("trace::a_refused_sign_in_is_kept_too", a_refused_sign_in),
        crate::trial("trace::calls_are_refused_in_words", refused_in_words),
    ]
}

/// A router that was met, and the path of its trace.
fn met(daemon: &Daemon, serial: &str) -> (Cpe, String) {
    let cpe = Cpe::new(daemon.ports.cwmp, serial, &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let path = format!("/api/v1/devices/{}/trace", cpe.id());
    (cpe, path)
}

fn begin(daemon: &Daemon, path: &str) {
    let answer = daemon.api("POST", path, &json!({ "for": "5m" }));
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn without_secrets() {
    let daemon = Daemon::start(None, &[]);
    let (cpe, path) = met(&daemon, "TRACE001");
    let (other, _) = met(&daemon, "TRACE002");
    begin(&daemon, &path);
    let password = "InternetGatewayDevice.ManagementServer.ConnectionRequestPassword";
    let code = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let command =
        json!({ "kind": "set_parameters", "values": { password: SECRET, code: "zone-7" } });
    let commands = format!("/api/v1/devices/{}/commands", cpe.id());
    assert_eq!(daemon.api("POST", &commands, &command).status, 202);
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(cpe.value("ManagementServer.ConnectionRequestPassword"), SECRET);
    other.visit(&[("2 PERIODIC", "")]).unwrap();

    let answer = daemon.api("GET", &path, &Value::Null);
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert!(!text.contains(SECRET), "{text}");
    assert!(!text.contains(&other.serial), "{text}");
    for part in [
        "<SerialNumber>TRACE001</SerialNumber>",
        "InformResponse>",
        "SetParameterValues>",
        "<Value xsi:type=\"xsd:string\">zone-7</Value>",
        "SetParameterValuesResponse>",
        "answered 204",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let marked = |line: &str| [">", "<", "#"].iter().any(|mark| line.starts_with(mark));
    assert!(text.lines().all(marked), "{text}");
    assert!(
        text.contains("\n>\n") && text.ends_with("\n<\n"),
        "an empty POST, and its 204: {text}"
    );

    assert_eq!(daemon.api("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(daemon.api("GET", &path, &Value::Null).status, 404);
    let trail = daemon.api("GET", "/api/v1/audit", &Value::Null).text();
    assert!(trail.contains("device.trace.begin") && trail.contains("device.trace.end"), "{trail}");
}

fn a_refused_sign_in() {
    let daemon = Daemon::start(None, &[]);
    let (cpe, path) = met(&daemon, "TRACE003");
    begin(&daemon, &path);
    // Its first request has no proof yet: nobody knows whose it is until the second.
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let text = daemon.api("GET", &path, &Value::Null).text();
    let challenged = text.find("answered 401").unwrap_or_else(|| panic!("{text}"));
    let proved = text.find("authorization: Digest …").unwrap_or_else(|| panic!("{text}"));
    assert!(challenged < proved, "{text}");
    assert!(!text.contains("response="), "{text}");
}

fn refused_in_words() {
    let daemon = Daemon::start(None, &[]);
    let (_, path) = met(&daemon, "TRACE004");
    let none = daemon.api("GET", &path, &Value::Null);
    assert!(none.status == 404 && none.text().contains("no_such_trace"), "{}", none.text());
    assert_eq!(daemon.api("DELETE", &path, &Value::Null).status, 404);
    for body in [json!({ "for": "2 days" }), json!({ "for": 5 }), json!({ "four": "5m" })] {
        let answer = daemon.api("POST", &path, &body);
        assert!(answer.status == 422, "{body}: {}", answer.text());
    }
    let unknown = "/api/v1/devices/cwmp:0A1B2C-Tester-NOBODY/trace";
    assert_eq!(daemon.api("POST", unknown, &json!({})).status, 404);
}
