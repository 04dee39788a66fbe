//! Data models that are not as they were told, or not as TR-106 has them.

use super::peer::{Call, Inform, Peer, assert_informed, between, parameter};
use super::{Rows, Scene, device};
use crate::daemon::until;
use crate::http::PATIENCE;
use serde_json::{Value, json};

pub(super) const ROWS: Rows = &[
    ("discovery_begins_at_the_root_that_is_shown", discovery_begins_at_the_root),
    ("names_without_parents", names_without_parents),
    ("names_that_nobody_asked_for", names_unasked),
    ("fewer_values_and_more", fewer_values_and_more),
    ("fault_9005_on_a_known_path", lost_path),
    ("fault_9005_again_and_again", lost_paths_are_bounded),
];

const OBJECT: &str = "InternetGatewayDevice.LAN.";

/// What is kept below a path: each entry's path.
fn kept(scene: &Scene, serial: &str) -> Vec<Value> {
    let path = format!("/api/v1/devices/{}/parameters?path={OBJECT}&limit=1000", device(serial));
    let answer = scene.daemon.api("GET", &path, &Value::Null);
    match answer.status {
        404 => Vec::new(),
        200 => answer.json()["items"].as_array().unwrap().clone(),
        status => panic!("{status}: {}", answer.text()),
    }
}

fn paths(scene: &Scene, serial: &str) -> Vec<String> {
    let kept = kept(scene, serial);
    kept.iter()
        .map(|it| it["path"].as_str().unwrap().trim_start_matches(OBJECT).to_owned())
        .collect()
}

#[track_caller]
fn keeps(scene: &Scene, serial: &str, expected: &[&str]) {
    assert!(until(PATIENCE, || paths(scene, serial) == expected), "{:?}", paths(scene, serial));
}

/// A session in which a device does what it is asked by `answer`; the calls, with where they began.
fn session(
    scene: &Scene,
    serial: &str,
    command: &Value,
    mut answer: impl FnMut(&Call) -> String,
) -> (Vec<(String, String)>, Value) {
    let id = scene.command(serial, command);
    let mut peer: Peer = scene.peer();
    peer.call_in(serial);
    let mut calls = Vec::new();
    let mut call = peer.next("");
    while let Some(asked) = call {
        assert!(calls.len() < 200, "it asks for ever");
        let began = between(&asked.body, "<ParameterPath>", "<").unwrap_or_default();
        let began = began.trim_start_matches(OBJECT).to_owned();
        calls.push((asked.name.clone(), began));
        call = peer.next(&answer(&asked));
    }
    (calls, scene.shown(&id))
}

fn named(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "<ParameterInfoStruct><Name>{name}</Name><Writable>1</Writable></ParameterInfoStruct>"
        )
    };
    let names: String = names.iter().map(one).collect();
    format!("<ParameterList>{names}</ParameterList>")
}

fn values(names: &[String]) -> String {
    let values: String = names.iter().map(|name| parameter(name, "v")).collect();
    format!("<ParameterList>{values}</ParameterList>")
}

/// Has the device told these names whenever it is asked for any, and a value for each.
fn refreshed(scene: &Scene, serial: &str, names: &[&str]) -> Value {
    scene.known(serial);
    let leaves: Vec<String> =
        names.iter().filter(|it| !it.ends_with('.')).map(|it| (*it).to_owned()).collect();
    let command = json!({"kind": "refresh", "path": OBJECT});
    let (_, shown) = session(scene, serial, &command, |call| match call.name.as_str() {
        "GetParameterNames" => call.answer(&named(names)),
        "GetParameterValues" => {
            let asked = call.names();
            let is_asked = |leaf: &&String| {
                asked.iter().any(|it| *it == **leaf || it.ends_with('.') && leaf.starts_with(it))
            };
            call.answer(&values(&leaves.iter().filter(is_asked).cloned().collect::<Vec<_>>()))
        }
        _ => call.answered(),
    });
    shown
}

/// One crashes on an empty path, and none has both roots.
fn discovery_begins_at_the_root(scene: &Scene) {
    for (serial, root) in [("ROOT0001", "InternetGatewayDevice."), ("ROOT0002", "Device.")] {
        let inform = Inform::of(serial).envelope().replace("InternetGatewayDevice.", root);
        let mut peer = scene.peer();
        assert_informed(&peer.post(&inform));
        let mut begins = Vec::new();
        let mut call = peer.next("");
        while let Some(asked) = call {
            let path = between(&asked.body, "<ParameterPath>", "</ParameterPath>");
            begins.extend(path.map(str::to_owned));
            assert!(!asked.body.contains("<ParameterPath/>"), "{}", asked.body);
            call = peer.next(&asked.answered());
        }
        assert!(begins.first().is_some_and(|it| it == root), "{begins:?}");
        assert!(begins.iter().all(|it| it.starts_with(root)), "{begins:?}");
    }
}

fn names_without_parents(scene: &Scene) {
    let leaves = ["InternetGatewayDevice.LAN.Host.1.Name", "InternetGatewayDevice.LAN.Count"];
    let shown = refreshed(scene, "PARENT01", &leaves);
    assert_eq!(shown["state"], "done", "{shown}");
    keeps(scene, "PARENT01", &["", "Count", "Host.", "Host.1.", "Host.1.Name"]);
}

fn names_unasked(scene: &Scene) {
    let names = [
        "InternetGatewayDevice.",
        "InternetGatewayDevice.LAN.",
        "InternetGatewayDevice.LAN.Count",
        "InternetGatewayDevice.WAN.Count",
        "Other.Thing",
    ];
    let shown = refreshed(scene, "EXTRA001", &names);
    assert_eq!(shown["state"], "done", "{shown}");
    keeps(scene, "EXTRA001", &["", "Count"]);
    let all = format!("/api/v1/devices/{}/parameters?limit=1000", device("EXTRA001"));
    let all = scene.daemon.call("GET", &all, &Value::Null).to_string();
    assert!(!all.contains("WAN.Count") && !all.contains("Other.Thing"), "{all}");
}

fn fewer_values_and_more(scene: &Scene) {
    let [a, b, c] = ["A", "B", "C"].map(|name| format!("{OBJECT}{name}"));
    refreshed(scene, "FEWER001", &[&a, &b]);
    let command = json!({"kind": "get_parameters", "names": [a, b]});
    let (_, shown) =
        session(scene, "FEWER001", &command, |call| call.answer(&values(&[b.clone(), c.clone()])));
    assert!(["done", "failed"].contains(&shown["state"].as_str().unwrap()), "{shown}");
    keeps(scene, "FEWER001", &["", "A", "B", "C"]);
    let entries = kept(scene, "FEWER001");
    let entry = |path: &str| entries.iter().find(|it| it["path"] == path).unwrap().clone();
    assert_eq!(entry(&a)["stale"], true, "it did not come");
    assert_eq!(entry(&b)["stale"], false);
    assert_eq!((&entry(&c)["value"], &entry(&c)["stale"]), (&json!("v"), &json!(false)));
}

fn lost_path(scene: &Scene) {
    let [gone, there, new] =
        ["Host.1.Gone", "Host.1.There", "Host.1.New"].map(|it| format!("{OBJECT}{it}"));
    refreshed(scene, "LOST0001", &[&gone, &there]);
    let command = json!({"kind": "get_parameters", "names": [gone]});
    let (calls, shown) = session(scene, "LOST0001", &command, |call| match call.name.as_str() {
        "GetParameterValues" => call.fault(9005),
        "GetParameterNames" => call.answer(&named(&[&there, &new])),
        _ => call.answered(),
    });
    assert_eq!(shown["state"], "failed", "{shown}");
    let looked = ("GetParameterNames".to_owned(), "Host.1.".to_owned());
    assert!(calls.contains(&looked), "what is there is looked up: {calls:?}");
    keeps(scene, "LOST0001", &["", "Host.", "Host.1.", "Host.1.New", "Host.1.There"]);
}

fn lost_paths_are_bounded(scene: &Scene) {
    let names: Vec<String> = (1..=9).map(|it| format!("{OBJECT}Host.{it}.Name")).collect();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    refreshed(scene, "LOST0002", &known);
    for name in &names[1..] {
        scene.command("LOST0002", &json!({"kind": "get_parameters", "names": [name]}));
    }
    let command = json!({"kind": "get_parameters", "names": [names[0]]});
    let (calls, _) = session(scene, "LOST0002", &command, |call| call.fault(9005));
    let looked = calls.iter().filter(|(name, _)| name == "GetParameterNames").count();
    assert!((1..=3).contains(&looked), "{calls:?}");
}
