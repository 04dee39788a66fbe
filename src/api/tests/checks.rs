//! The technician's checks.

use super::scene::{BOARD, ROUTER, ROUTER_URL, Scene, id, other};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn what_nobody_knows_is_said_so() {
    let scene = Scene::furnished().await;
    let answer = scene.call(&format!("GET {ROUTER_URL}/checks"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!((&answer.json["device"], &answer.json["state"]), (&json!(ROUTER), &json!("failed")));
    let checks = &answer.json["checks"];
    assert_eq!(checks["online"]["value"], false);
    for name in ["wifi_2g", "wifi_5g", "sip", "optical", "profile", "firmware"] {
        assert_eq!(checks[name]["state"], "unknown", "{name}");
        assert_ne!(checks[name]["cause"], Value::Null, "{name}");
    }
    assert!(answer.json.get("refresh").is_none());
    // By any of its names.
    let by_mac = scene.call("GET /api/v1/devices/mac:001a2b3c4d5e/checks", None).await;
    assert_eq!(by_mac.json["device"], ROUTER);
}

#[tokio::test]
async fn who_is_heard_is_online() {
    let scene = Scene::furnished().await;
    let tenant = model::Tenant::default();
    let now = scene.state.clock.now().wall;
    scene.state.registry.seen(&tenant, &id(ROUTER), now, None);
    scene.state.registry.set_awake(&tenant, &id(ROUTER), now);
    let answer = scene.call(&format!("GET {ROUTER_URL}/checks"), None).await;
    let online = &answer.json["checks"]["online"];
    assert_eq!((&online["state"], &online["value"]), (&json!("ok"), &json!(true)), "{online}");
    assert!(online["age_s"].as_i64().is_some_and(|age| age < 60), "{online}");
}

#[tokio::test]
async fn asking_anew_is_for_routers_that_have_something_to_tell() {
    let scene = Scene::furnished().await;
    let call = format!("GET {ROUTER_URL}/checks?refresh=true&wait=1s");
    let answer = scene.call(&call, None).await;
    assert_eq!(
        (answer.status, &answer.json["refresh"]["state"]),
        (StatusCode::OK, &json!("failed"))
    );
    let call = format!("GET /api/v1/devices/{BOARD}/checks?refresh=true");
    assert_eq!(scene.call(&call, None).await.code(), "wrong_protocol");
    for query in ["wait=soon", "wait=1d", "refresh=maybe", "depth=1"] {
        let answer = scene.call(&format!("GET {ROUTER_URL}/checks?{query}"), None).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "invalid_query"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn strangers_see_nothing() {
    let scene = Scene::furnished().await;
    let stranger = scene.make_token(&other(), "admin").await;
    let answer = scene.call_as(Some(&stranger), &format!("GET {ROUTER_URL}/checks"), None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "no_such_device"));
    let reader = scene.make_token(&model::Tenant::default(), "reader").await;
    let answer = scene.call_as(Some(&reader), &format!("GET {ROUTER_URL}/checks"), None).await;
    assert_eq!(answer.status, StatusCode::OK);
}
