//! What is known of a device's data model, as a caller sees it.

use super::scene::{ROUTER, ROUTER_URL, Scene, id, other};
use axum::http::StatusCode;
use jiff::Timestamp;
use model::{AttributeEntry, NameEntry, Observation, Reading, Redacted, Tenant};
use serde_json::json;

fn reading(path: &str, value: &str) -> Reading {
    Reading { path: path.into(), value: Redacted(value.into()), xsd_type: "string".into() }
}

/// A scene whose router told of itself.
async fn told() -> Scene {
    let scene = Scene::furnished().await;
    let name = |path: &str, writable| NameEntry { path: path.into(), writable };
    let names = Observation::Names {
        path: "Device.".into(),
        next_level: false,
        entries: vec![
            name("Device.WiFi.SSID.", true),
            name("Device.WiFi.SSID.1.Name", true),
            name("Device.WiFi.SSID.1.Status", false),
            name("Device.WiFi.Security.KeyPassphrase", true),
        ],
    };
    let values = vec![
        reading("Device.WiFi.SSID.1.Name", "Home"),
        reading("Device.WiFi.SSID.1.Status", "Up"),
        reading("Device.WiFi.Security.KeyPassphrase", "hunter2"),
    ];
    let asked = vec!["Device.WiFi.SSID.1.Status".into()];
    let observations = vec![
        names,
        Observation::Values { asked: Vec::new(), values },
        Observation::Values { asked, values: Vec::new() },
        Observation::Attributes(vec![AttributeEntry {
            path: "Device.WiFi.SSID.1.Name".into(),
            notification: 2,
            access_list: vec!["Subscriber".into()],
        }]),
    ];
    let at = Timestamp::from_second(1_790_000_000).unwrap();
    let models = &scene.state.data_models;
    models.learn(&Tenant::default(), &id(ROUTER), observations, at).await.unwrap();
    scene
}

fn paths(answer: &super::scene::Answer) -> Vec<&str> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let items = answer.json["items"].as_array().unwrap();
    items.iter().map(|item| item["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_parameter_is_shown_with_all_that_is_known_of_it() {
    let scene = told().await;
    let answer = scene
        .call(&format!("GET {ROUTER_URL}/parameters?path=Device.WiFi.SSID.1.Name"), None)
        .await;
    let item = json!({
        "path": "Device.WiFi.SSID.1.Name",
        "value": "Home",
        "secret": false,
        "type": "string",
        "writable": true,
        "notification": 2,
        "access_list": ["Subscriber"],
        "read_at": "2026-09-21T14:13:20Z",
        "stale": false,
    });
    assert_eq!(answer.json, json!({ "items": [item] }));
    let answer =
        scene.call(&format!("GET {ROUTER_URL}/parameters?path=Device.WiFi.SSID.1.N"), None).await;
    assert!(paths(&answer).is_empty(), "a part of a name is no path");
}

#[tokio::test]
async fn a_subtree_is_read_page_by_page() {
    let scene = told().await;
    let all = scene.call(&format!("GET {ROUTER_URL}/parameters"), None).await;
    let all = paths(&all).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(all.len(), 8);
    assert_eq!(all[0], "Device.");
    let call = format!("GET {ROUTER_URL}/parameters?path=Device.WiFi.SSID.&limit=2");
    let first = scene.call(&call, None).await;
    assert_eq!(paths(&first), ["Device.WiFi.SSID.", "Device.WiFi.SSID.1."]);
    assert_eq!(first.json["items"][0]["writable"], true);
    assert_eq!(first.json["items"][0]["value"], json!(null));
    let next = first.json["next"].as_str().unwrap();
    let second = scene.call(&format!("{call}&cursor={next}"), None).await;
    assert_eq!(paths(&second), ["Device.WiFi.SSID.1.Name", "Device.WiFi.SSID.1.Status"]);
    assert_eq!(second.json["items"][1]["stale"], true);
    assert_eq!(second.json["next"], json!(null));
}

#[tokio::test]
async fn a_secret_is_shown_to_nobody() {
    let scene = told().await;
    let answer = scene.call(&format!("GET {ROUTER_URL}/parameters"), None).await;
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    let items = answer.json["items"].as_array().unwrap();
    let secret: Vec<_> = items.iter().filter(|item| item["secret"] == true).collect();
    assert_eq!(secret.len(), 1);
    assert_eq!(secret[0]["path"], "Device.WiFi.Security.KeyPassphrase");
    assert_eq!((&secret[0]["value"], &secret[0]["type"]), (&json!(null), &json!("string")));
    assert_eq!(secret[0]["read_at"], "2026-09-21T14:13:20Z");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let scene = told().await;
    let board = format!("GET /api/v1/devices/{}/parameters", super::scene::BOARD);
    assert!(paths(&scene.call(&board, None).await).is_empty(), "nothing is known of a board");
    let stranger = scene.make_token(&other(), "admin").await;
    let answer =
        scene.call_as(Some(&stranger), &format!("GET {ROUTER_URL}/parameters"), None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "no_such_device"));
    for query in ["limit=0", "limit=1001", "cursor=%FF", "cursor=!", "depth=1"] {
        let answer = scene.call(&format!("GET {ROUTER_URL}/parameters?{query}"), None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_query"), "{query}");
    }
}
