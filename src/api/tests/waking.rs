//! Waking a device without a command for it.

use super::scene::{BOARD, ROUTER, ROUTER_URL, Scene};
use axum::http::StatusCode;
use serde_json::Value;

#[tokio::test]
async fn a_cpe_is_woken_and_who_asked_is_written_down() {
    let mut scene = Scene::furnished().await;
    let call = format!("POST {ROUTER_URL}/wake");
    let answer = scene.call(&call, None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json["outcome"], "under_way");
    assert_eq!(answer.json.get("at"), None);
    assert!(scene.asked.try_recv().is_ok());
    let (actor, action, subject, _) = scene.last_audit().await;
    assert_eq!((&*actor, &*action, &*subject), ("admin", "device.wake", ROUTER));
    let waited = scene.call(&format!("{call}?wait=50ms"), None).await;
    assert_eq!(
        (waited.status, &waited.json["outcome"]),
        (StatusCode::ACCEPTED, &"under_way".into())
    );
    let shown = scene.call(&format!("GET {ROUTER_URL}"), None).await;
    assert_eq!(shown.json["connection_request"], Value::Null, "no outcome yet");
}

#[tokio::test]
async fn only_what_can_be_woken_is() {
    let mut scene = Scene::furnished().await;
    for (call, code) in [
        (format!("POST /api/v1/devices/{BOARD}/wake"), "wrong_protocol"),
        (format!("POST {ROUTER_URL}/wake?wait=soon"), "invalid_query"),
        (format!("POST {ROUTER_URL}/wake?for=1s"), "invalid_query"),
        ("POST /api/v1/devices/cwmp:00259E-X-1/wake".to_owned(), "no_such_device"),
    ] {
        assert_eq!(scene.call(&call, None).await.code(), code, "{call}");
    }
    assert!(scene.asked.try_recv().is_err());
    scene.asked.close();
    let stopping = scene.call(&format!("POST {ROUTER_URL}/wake"), None).await;
    assert_eq!(stopping.code(), "stopping");
}
