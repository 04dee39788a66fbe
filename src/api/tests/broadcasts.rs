//! Texts to many.

use super::scene::{Scene, other};
use crate::store::{Operation, SmsKind, SmsOperation, SmsRow, SmsState};
use axum::http::StatusCode;
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use serde_json::{Value, json};

const ALL: &str = "/api/v1/water/broadcasts";

fn request() -> Value {
    json!({ "audience": "customers", "site_id": "S1", "text": "Maji yapo leo" })
}

#[tokio::test]
async fn a_broadcast_is_begun_shown_and_stopped() {
    let scene = Scene::furnished().await;
    let made = scene.call(&format!("POST {ALL}"), Some(request())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json["state"], "running");
    assert_eq!((&made.json["site_id"], &made.json["listeners"]), (&json!("S1"), &json!(0)));
    let one = format!("{ALL}/{}", made.json["id"].as_str().unwrap());
    let shown = scene.call(&format!("GET {one}"), None).await;
    assert_eq!(shown.json["text"], "Maji yapo leo");
    assert_eq!(shown.json["texts"], json!({}));
    let listed = scene.call(&format!("GET {ALL}"), None).await;
    assert_eq!(listed.json["items"].as_array().unwrap().len(), 1);
    let stopped = scene.call(&format!("DELETE {one}"), None).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT);
    let again = scene.call(&format!("DELETE {one}"), None).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "broadcast_ended"));
    let shown = scene.call(&format!("GET {one}"), None).await;
    assert_eq!(shown.json["state"], "cancelled");
    // Its first page waits to be gone through, under a key that names nobody.
    let tasks = scene.call("GET /api/v1/tasks?state=waiting", None).await;
    let task = &tasks.json["items"][0];
    assert_eq!(task["kind"], "sms.broadcast");
    assert_eq!(task["key"], format!("{}:0", made.json["id"].as_str().unwrap()));
    let stranger = scene.make_token(&other(), "admin").await;
    let hidden = scene.call_as(Some(&stranger), &format!("GET {one}"), None).await;
    assert_eq!(hidden.code(), "no_such_broadcast");
}

#[tokio::test]
async fn one_key_makes_one_broadcast() {
    let scene = Scene::furnished().await;
    let send = || async {
        let request = axum::http::Request::builder()
            .method("POST")
            .uri(ALL)
            .header("authorization", format!("Bearer {}", scene.token))
            .header("idempotency-key", "water-is-back")
            .body(request().to_string().into())
            .unwrap();
        scene.send(request, [192, 0, 2, 1].into()).await
    };
    let made = send().await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let again = send().await;
    assert_eq!((again.status, &again.json["id"]), (StatusCode::OK, &made.json["id"]));
    let listed = scene.call(&format!("GET {ALL}"), None).await;
    assert_eq!(listed.json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() {
    let scene = Scene::furnished().await;
    for (body, word) in [
        (json!({ "audience": "everybody", "text": "x" }), "audience"),
        (json!({ "audience": "managers", "text": " " }), "nothing"),
        (json!({ "audience": "managers", "text": "x".repeat(161) }), "160"),
        (json!({ "audience": "managers", "text": "a\u{7}b" }), "control"),
        (json!({ "audience": "managers" }), "text"),
    ] {
        let answer = scene.call(&format!("POST {ALL}"), Some(body)).await;
        assert_eq!(answer.code(), "invalid_body");
        assert!(answer.text.contains(word), "{}", answer.text);
    }
    // As many characters as may be, whatever their bytes.
    let long = json!({ "audience": "managers", "text": "ä".repeat(160) });
    let answer = scene.call(&format!("POST {ALL}"), Some(long)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn each_receiver_has_his_own_result() {
    let scene = Scene::furnished().await;
    let made = scene.call(&format!("POST {ALL}"), Some(request())).await;
    let id = made.json["id"].as_str().unwrap();
    let put = |name: &str, state, cause: Option<&str>| {
        let now = Timestamp::UNIX_EPOCH;
        Operation::Sms(SmsOperation::Put(SmsRow {
            id: name.into(),
            tenant: Tenant::default(),
            key: name.into(),
            batch: name.into(),
            to: DeviceId::msisdn("+254711000001").unwrap(),
            kind: SmsKind::Broadcast,
            broadcast: Some(id.into()),
            state,
            cause: cause.map(Into::into),
            provider_id: None,
            is_told: true,
            made_at: now,
            changed_at: now,
            sealed: Redacted(Vec::new()),
        }))
    };
    let rows = vec![
        put("a", SmsState::Delivered, None),
        put("b", SmsState::Failed, Some("opted_out")),
        put("c", SmsState::Failed, Some("number")),
    ];
    scene.state.writer.transact(rows).await.unwrap();
    let shown = scene.call(&format!("GET {ALL}/{id}"), None).await;
    assert_eq!(shown.json["texts"], json!({ "delivered": 1, "failed": 2 }));
    let page = scene.call(&format!("GET {ALL}/{id}/texts?limit=2"), None).await;
    let texts = page.json["items"].as_array().unwrap();
    assert_eq!(
        (&texts[0]["state"], &texts[1]["cause"]),
        (&json!("delivered"), &json!("opted_out"))
    );
    let next = page.json["next"].as_str().unwrap();
    let rest = scene.call(&format!("GET {ALL}/{id}/texts?limit=2&cursor={next}"), None).await;
    assert_eq!(rest.json["items"][0]["cause"], "number");
}
