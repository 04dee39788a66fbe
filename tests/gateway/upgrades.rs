//! Firmware on its way to routers: signed, ordered, fetched over real sockets, confirmed, killed in
//! between.

use crate::backend::Backend;
use crate::cpe::{Cpe, Visit};
use crate::daemon::{Daemon, until};
use crate::http;
use crate::programs;
use crate::rpcs::transfer_complete;
use cwmp::Request;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const CONTENT: &[u8] = b"the second version of the firmware";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("upgrades::a_fleet_goes_in_waves_and_survives_a_kill", a_fleet),
        crate::trial("upgrades::those_whose_turn_it_is_are_woken", woken),
        crate::trial("upgrades::a_group_follows_what_is_wanted_of_it", a_group),
        programs::trial("upgrades::openssl_signs_what_is_taken", &["openssl"], signed),
    ]
}

fn put(daemon: &Daemon, path: &str, content: &[u8]) -> http::Answer {
    let bearer = format!("Bearer {}", daemon.token());
    let headers = [("Authorization", &*bearer)];
    let path = format!("/api/v1/images/{path}");
    http::once(daemon.ports.operator, "PUT", &path, &headers, content).unwrap()
}

fn meet(daemon: &Daemon, serial: &str) -> Cpe {
    let cpe = Cpe::new(daemon.ports.cwmp, serial, "");
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    cpe
}

/// What a visit told the CPE to fetch: the command's key, and where it is.
fn told(visit: &Visit) -> Option<(String, String)> {
    visit.requests.iter().find_map(|request| match request {
        Request::Download(it) => {
            Some((it.command_key.to_string(), it.address.url.expose().to_string()))
        }
        _ => None,
    })
}

fn fetch(daemon: &Daemon, url: &str) -> Vec<u8> {
    let path = url.strip_prefix(&format!("http://127.0.0.1:{}", daemon.ports.public)).unwrap();
    let answer = http::once(daemon.ports.public, "GET", path, &[], &[]).unwrap();
    assert_eq!(answer.status, 200);
    answer.body
}

/// It has fetched the image, restarted, and says how it went.
fn ends(cpe: &Cpe, key: &str, fault: Option<u16>, version: &str) {
    cpe.set("DeviceInfo.SoftwareVersion", version);
    let complete = transfer_complete(key, fault);
    let events = [("7 TRANSFER COMPLETE", ""), ("M Download", key), ("1 BOOT", "")];
    let visit = cpe.visit_with(&events, vec![complete]).unwrap();
    assert_eq!(told(&visit), None, "not twice");
}

fn upgrade(daemon: &Daemon, cpe: &Cpe) {
    let visit = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let (key, url) = told(&visit).expect("it is its turn");
    assert_eq!(fetch(daemon, &url), CONTENT);
    ends(cpe, &key, None, "2.0");
}

fn show(daemon: &Daemon, id: &str) -> Value {
    daemon.call("GET", &format!("/api/v1/rollouts/{id}"), &Value::Null)
}

fn history(daemon: &Daemon, cpe: &Cpe) -> Vec<(String, Value)> {
    let path = format!("/api/v1/devices/{}/firmware", cpe.id());
    let list = daemon.call("GET", &path, &Value::Null);
    let mut items = list["items"].as_array().unwrap().clone();
    items.reverse();
    items.iter().map(|it| (it["state"].as_str().unwrap().to_owned(), it["cause"].clone())).collect()
}

fn states(daemon: &Daemon, cpe: &Cpe) -> Vec<String> {
    history(daemon, cpe).into_iter().map(|(state, _)| state).collect()
}

const WHOLE_WAY: [&str; 4] = ["offered", "downloading", "applied", "confirmed"];

fn a_fleet() {
    let backend = Backend::start();
    let settings =
        [("cwmp", "auth = \"open\"\ndiscovery = \"off\""), ("firmware", "apply_grace = \"1h\"")];
    let mut daemon = Daemon::start(Some(&backend), &settings);
    let cpes: Vec<Cpe> = (0..6).map(|it| meet(&daemon, &format!("FLEET00{it}"))).collect();
    assert_eq!(put(&daemon, "router-2?model=Tester%209&version=2.0", CONTENT).status, 201);
    let body = json!({
        "image": "router-2", "model": "Tester 9", "waves": [33, 100], "failure_threshold": 50,
        "success_threshold": 100, "tries_max": 1,
    });
    let made = daemon.call("POST", "/api/v1/rollouts", &body);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["waves"][0]["devices"], &made["waves"][1]["devices"]),
        (&json!(2), &json!(4))
    );

    // Only the first wave is told anything.
    let path = format!("/api/v1/rollouts/{id}/devices");
    let list = daemon.call("GET", &path, &Value::Null);
    let wave_of = |cpe: &Cpe| {
        let devices = list["items"].as_array().unwrap().iter();
        let mut own = devices.filter(|it| it["device"] == cpe.id().as_str());
        own.next().unwrap()["wave"].as_u64().unwrap()
    };
    let (first, second): (Vec<&Cpe>, Vec<&Cpe>) = cpes.iter().partition(|it| wave_of(it) == 1);
    assert_eq!(told(&second[0].visit(&[("2 PERIODIC", "")]).unwrap()), None);
    upgrade(&daemon, first[0]);
    assert_eq!(states(&daemon, first[0]), WHOLE_WAY);
    let confirmed = backend.wait_for("lastmile.firmware.confirmed", &first[0].id());
    assert_eq!(confirmed.data["rollout"], *id);
    assert_eq!((&confirmed.data["version"], &confirmed.data["try"]), (&json!("2.0"), &json!(1)));

    // Killed while the second fetches: it is told nothing twice, and confirmed all the same.
    let visit = first[1].visit(&[("2 PERIODIC", "")]).unwrap();
    let (key, url) = told(&visit).expect("it is its turn");
    daemon.kill();
    daemon.start_again();
    assert_eq!(told(&first[1].visit(&[("2 PERIODIC", "")]).unwrap()), None);
    assert_eq!(fetch(&daemon, &url), CONTENT);
    ends(first[1], &key, None, "2.0");
    assert_eq!(states(&daemon, first[1]), WHOLE_WAY);
    assert_eq!(show(&daemon, &id)["wave"], 2);

    // One says that it failed, one comes back with what it had: half of the wave, so it stops.
    let visit = second[0].visit(&[("2 PERIODIC", "")]).unwrap();
    let (key, _) = told(&visit).expect("it is its turn");
    ends(second[0], &key, Some(9016), "1.0");
    let visit = second[1].visit(&[("2 PERIODIC", "")]).unwrap();
    let (key, _) = told(&visit).expect("it is its turn");
    ends(second[1], &key, None, "1.0");
    let failed = history(&daemon, second[0]).pop().unwrap();
    assert!(failed.0 == "failed" && failed.1.as_str().unwrap().contains("9016"), "{failed:?}");
    let failed = history(&daemon, second[1]).pop().unwrap();
    assert_eq!(failed.1, "it restarted with the version that it had");
    let event = backend.wait_for("lastmile.firmware.failed", &second[0].id());
    assert!(event.data["cause"].as_str().unwrap().contains("9016"), "{event:?}");
    let stopped = show(&daemon, &id);
    assert_eq!(stopped["state"], "paused", "{stopped}");
    assert_eq!(told(&second[2].visit(&[("2 PERIODIC", "")]).unwrap()), None);

    // It goes on when someone says so, after a kill too.
    daemon.kill();
    daemon.start_again();
    assert_eq!(show(&daemon, &id)["state"], "paused");
    daemon.call("POST", &format!("/api/v1/rollouts/{id}/resume"), &Value::Null);
    upgrade(&daemon, second[2]);
    upgrade(&daemon, second[3]);
    let done = show(&daemon, &id);
    assert_eq!(done["state"], "done", "{done}");
    let counts = &done["counts"];
    assert_eq!((&counts["confirmed"], &counts["failed"]), (&json!(4), &json!(2)), "{done}");
    assert_eq!(daemon.counted("lastmile_firmware_transitions_total", &["confirmed"]), 2.0);
    assert!(until(PATIENCE, || daemon.counted("lastmile_firmware_rollouts", &["done"]) == 1.0));
    assert_eq!(
        backend.accepted().iter().filter(|it| it.kind == "lastmile.firmware.offered").count(),
        6
    );
}

/// The CPE sleeps until it is woken, and then is told.
fn woken() {
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"\ndiscovery = \"off\"")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "SLEEPER1", "");
    let wakes = cpe.listen();
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    put(&daemon, "router-2?model=Tester%209&version=2.0", CONTENT);
    let body = json!({ "image": "router-2", "model": "Tester 9", "waves": [100] });
    let id = daemon.call("POST", "/api/v1/rollouts", &body)["id"].as_str().unwrap().to_owned();
    wakes.recv_timeout(PATIENCE).expect("its turn has come");
    let visit = cpe.visit(&[("6 CONNECTION REQUEST", "")]).unwrap();
    let (key, _) = told(&visit).unwrap();
    // What it was told is heard out after an abort; nothing else begins.
    let aborted = daemon.call("POST", &format!("/api/v1/rollouts/{id}/abort"), &Value::Null);
    assert_eq!(
        (&aborted["state"], &aborted["counts"]["downloading"]),
        (&json!("aborted"), &json!(1))
    );
    ends(&cpe, &key, None, "2.0");
    assert!(until(PATIENCE, || show(&daemon, &id)["counts"]["confirmed"] == 1));
}

fn a_group() {
    let mut daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"\ndiscovery = \"off\"")]);
    let (inside, later) = (meet(&daemon, "GROUP001"), meet(&daemon, "GROUP002"));
    put(&daemon, "router-2?model=Tester%209&version=2.0", CONTENT);
    let join = |daemon: &Daemon, cpe: &Cpe| {
        let path = format!("/api/v1/devices/{}/group", cpe.id());
        assert_eq!(daemon.api("PUT", &path, &json!({ "group": "north" })).status, 204);
    };
    join(&daemon, &inside);
    daemon.call("PUT", "/api/v1/groups/north/firmware", &json!({ "version": "2.0" }));
    upgrade(&daemon, &inside);
    assert_eq!(told(&later.visit(&[("2 PERIODIC", "")]).unwrap()), None);
    daemon.kill();
    daemon.start_again();
    join(&daemon, &later);
    upgrade(&daemon, &later);
    assert_eq!(states(&daemon, &later).last().unwrap(), "confirmed");
    let standing = daemon.call("GET", "/api/v1/rollouts", &Value::Null);
    let standing = &standing["items"][0];
    assert_eq!(
        (&standing["source"], &standing["counts"]["confirmed"]),
        (&json!("group:north"), &json!(2))
    );
}

/// By the commands that the documentation gives.
fn signed() {
    let keys = tempfile::tempdir().unwrap();
    let file = |name: &str| keys.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| programs::succeed("openssl", arguments, b"");
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &file("key")]);
    openssl(&["pkey", "-in", &file("key"), "-pubout", "-out", &file("pem")]);
    let settings = format!("keys = [\"{}\"]", file("pem"));
    let daemon = Daemon::start(None, &[("firmware", &settings)]);
    assert_eq!(put(&daemon, "router-2", CONTENT).json()["code"], "not_signed");
    fs::write(file("image"), CONTENT).unwrap();
    let digest = openssl(&["dgst", "-sha256", "-r", &file("image")]);
    let line = format!("lastmile image sha256:{}\n", digest.split(' ').next().unwrap());
    fs::write(file("line"), line).unwrap();
    let arguments = [
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        &file("key"),
        "-in",
        &file("line"),
        "-out",
        &file("sig"),
    ];
    openssl(&arguments);
    let base64 = openssl(&["base64", "-A", "-in", &file("sig")]);
    let escaped = base64.trim().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let answer = put(&daemon, &format!("router-2?signature={escaped}"), CONTENT);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let other = put(&daemon, &format!("router-3?signature={escaped}"), b"something else");
    assert_eq!(other.json()["code"], "not_signed");
    assert!(!daemon.log().contains("firmware.keys"), "nobody is warned");
}
