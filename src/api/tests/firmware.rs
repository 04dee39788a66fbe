//! Signed images, rollouts and groups, as operators handle them. What devices do is tested from
//! outside.

use super::scene::{Answer, BOARD, ROUTER, ROUTER_URL, Scene};
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use model::{DeviceFacts, Tenant};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Made by OpenSSL: a key, and its signature of `lastmile image sha256:<that of "router image 1">`.
const KEY: &str = "QMmZFzFPbGzfKKDOlOjPHI0NQefwbpVxhWi18dTqNdg=";
const IMAGE: &str = "router image 1";
const SIGNATURE: &str =
    "gfzPTlR9XydAWrUbZYoGY0i7UARKQDs8POFTR9ygnAFMUNt22KXJgce-OGa3ow8uZ-LuXuKInavAhEfSntlJDQ==";

async fn put_signed(scene: &Scene, path: &str, header: &str) -> Answer {
    let request = Request::builder()
        .method("PUT")
        .uri(format!("/api/v1/images/{path}"))
        .header("authorization", format!("Bearer {}", scene.token))
        .header("x-signature", header)
        .body(Body::from(IMAGE))
        .unwrap();
    scene.send(request, IpAddr::from([127, 0, 0, 1])).await
}

#[tokio::test]
async fn only_what_a_listed_key_signed_is_taken() {
    let scene = Scene::signed_by(KEY).await;
    let unsigned = scene.put("fw.bin", IMAGE).await;
    assert_eq!((unsigned.status.as_u16(), unsigned.code()), (422, "not_signed"));
    let other = scene.put(&format!("fw.bin?signature={SIGNATURE}"), "router image 2").await;
    assert_eq!(other.code(), "not_signed");
    let broken = scene.put("fw.bin?signature=x", IMAGE).await;
    assert_eq!(broken.code(), "invalid_query");
    assert_eq!(put_signed(&scene, "fw.bin", "x").await.code(), "invalid_query");
    assert_eq!(scene.call("GET /api/v1/images/fw.bin", None).await.code(), "no_such_image");
    let signed = scene.put(&format!("fw.bin?signature={SIGNATURE}"), IMAGE).await;
    assert_eq!(signed.status, StatusCode::CREATED, "{signed:?}");
    let kept = SIGNATURE.replace('-', "+");
    assert_eq!(signed.json["signature"], kept);
    assert_eq!(put_signed(&scene, "b.bin", &kept).await.status, StatusCode::CREATED);
    let shown = scene.call("GET /api/v1/images/b.bin", None).await;
    assert_eq!(shown.json["signature"], kept);
}

#[tokio::test]
async fn a_signature_may_be_given_later_and_stays() {
    let scene = Scene::new().await;
    let unsigned = scene.put("fw.bin", IMAGE).await;
    assert_eq!((unsigned.status, &unsigned.json["signature"]), (StatusCode::CREATED, &Value::Null));
    let signed = scene.put(&format!("fw.bin?signature={SIGNATURE}"), IMAGE).await;
    assert_eq!(signed.status, StatusCode::OK);
    assert!(signed.json["signature"].is_string());
    let again = scene.put("fw.bin?version=2", IMAGE).await;
    assert_eq!(again.json["signature"], signed.json["signature"]);
    let rows = scene.state.store.images().await.unwrap();
    assert!(rows[0].image.signature.is_some(), "on disk, too");
}

impl Scene {
    /// A router of model HG8245 that runs version 1, and images for it.
    async fn with_images() -> Self {
        let scene = Self::furnished().await;
        let facts = DeviceFacts { software_version: Some("1".into()), ..DeviceFacts::default() };
        scene.meet(&Tenant::default(), ROUTER, facts).await;
        scene.put("fw-2?model=HG8245&version=2", "two").await;
        scene
    }

    async fn order(&self, body: Value) -> Answer {
        self.call("POST /api/v1/rollouts", Some(body)).await
    }
}

#[tokio::test]
async fn a_rollout_is_ordered_shown_paused_resumed_and_aborted() {
    let scene = Scene::with_images().await;
    let made = scene.order(json!({ "image": "fw-2", "model": "HG8245", "name": "spring" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let rollout = &made.json;
    assert_eq!((&rollout["state"], &rollout["devices"]), (&json!("running"), &json!(1)));
    assert_eq!(rollout["counts"]["waiting"], 1);
    assert_eq!((&rollout["version"], &rollout["source"]), (&json!("2"), &json!("order")));
    let percents: Vec<_> =
        rollout["waves"].as_array().unwrap().iter().map(|it| &it["percent"]).collect();
    assert_eq!(percents, [1, 10, 50, 100]);
    assert_eq!((&rollout["failure_threshold"], &rollout["already"]), (&json!(5), &json!(0)));
    let (actor, action, subject, detail) = scene.last_audit().await;
    let id = rollout["id"].as_str().unwrap();
    assert_eq!((&*actor, &*action, &*subject), ("admin", "rollout.create", id));
    assert_eq!(detail["devices"], 1);

    let listed = scene.call("GET /api/v1/rollouts", None).await.json;
    assert_eq!(listed["items"][0]["id"], id);
    let path = format!("/api/v1/rollouts/{id}");
    let devices = scene.call(&format!("GET {path}/devices?state=waiting"), None).await.json;
    let device = &devices["items"][0];
    assert_eq!((&device["device"], &device["wave"]), (&json!(ROUTER), &json!(1)));
    let none = scene.call(&format!("GET {path}/devices?state=failed"), None).await.json;
    assert_eq!(none["items"], json!([]));
    let bad = scene.call(&format!("GET {path}/devices?state=x"), None).await;
    assert_eq!(bad.code(), "invalid_query");

    let used = scene.call("DELETE /api/v1/images/fw-2", None).await;
    assert_eq!(used.code(), "image_in_use");
    for (call, state, code) in [
        ("resume", None, "rollout_state"),
        ("pause", Some("paused"), ""),
        ("pause", None, "rollout_state"),
        ("next", None, "rollout_state"),
        ("resume", Some("running"), ""),
        ("next", Some("running"), ""),
        ("abort", Some("aborted"), ""),
        ("abort", None, "rollout_state"),
        ("resume", None, "rollout_state"),
    ] {
        let answer = scene.call(&format!("POST {path}/{call}"), None).await;
        match state {
            Some(state) => {
                assert_eq!(answer.json["state"], state, "{call}: {answer:?}");
                let (_, action, subject, _) = scene.last_audit().await;
                assert_eq!((&*action, &*subject), (&*format!("rollout.{call}"), id));
            }
            None => assert_eq!(answer.code(), code, "{call}"),
        }
    }
    let shown = scene.call(&format!("GET {path}"), None).await.json;
    assert_eq!((&shown["reason"], &shown["wave"]), (&json!("by admin"), &json!(4)));
    let history = scene.call(&format!("GET {ROUTER_URL}/firmware"), None).await.json;
    assert_eq!(history["items"], json!([]));
}

#[tokio::test]
async fn what_cannot_go_well_is_refused_with_its_reason() {
    let scene = Scene::with_images().await;
    scene.put("bare", "three").await;
    scene.put("any-model?version=3", "four").await;
    scene.put("other?model=Other&version=9", "five").await;
    let to = |image: &str| json!({ "image": image, "tag": "core" });
    for (body, status, code) in [
        (to("none"), 404, "no_such_image"),
        (to("bare"), 409, "image_refused"),
        (to("any-model"), 409, "image_refused"),
        (to("../x"), 422, "invalid_body"),
        (json!({ "image": "fw-2" }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "model": "" }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "waves": [] }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "waves": [50] }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "waves": [50, 10, 100] }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "waves": [300] }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "failure_threshold": 0 }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "success_threshold": 101 }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "tries_max": 0 }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "lives": "9000h" }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "wave_wait": "soon" }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "window": { "from": "x" } }), 422, "invalid_body"),
        (json!({ "image": "fw-2", "tag": "a", "wafes": [100] }), 422, "invalid_body"),
    ] {
        let answer = scene.order(body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {answer:?}");
    }
    let wrong = scene.order(json!({ "image": "other", "model": "HG8245" })).await.json;
    assert_eq!(wrong["refused"], json!({ "wrong_model": 1 }));
    assert_eq!((&wrong["state"], &wrong["counts"]["refused"]), (&json!("done"), &json!(1)));
    let forced =
        scene.order(json!({ "image": "other", "model": "HG8245", "force": true })).await.json;
    assert_eq!((&forced["state"], &forced["counts"]["waiting"]), (&json!("running"), &json!(1)));
    for call in ["GET", "POST"] {
        let end = if call == "POST" { "/abort" } else { "" };
        let answer = scene.call(&format!("{call} /api/v1/rollouts/nobody{end}"), None).await;
        assert_eq!(answer.code(), "no_such_rollout");
    }
}

#[tokio::test]
async fn ordering_twice_under_one_key_is_ordering_once() {
    let scene = Scene::with_images().await;
    let body = json!({ "image": "fw-2", "model": "HG8245" }).to_string();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = Request::builder()
            .method("POST")
            .uri("/api/v1/rollouts")
            .header("authorization", format!("Bearer {}", scene.token))
            .header("content-type", "application/json")
            .header("idempotency-key", "spring")
            .body(Body::from(body.clone()))
            .unwrap();
        answers.push(scene.send(request, IpAddr::from([127, 0, 0, 1])).await);
    }
    assert_eq!((answers[0].status.as_u16(), answers[1].status.as_u16()), (201, 200));
    assert_eq!(answers[0].json["id"], answers[1].json["id"]);
    let listed = scene.call("GET /api/v1/rollouts", None).await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_device_is_in_one_group_and_a_group_runs_one_thing() {
    let scene = Scene::with_images().await;
    let put = |group: &str| {
        let body = json!({ "group": group });
        let call = format!("PUT {ROUTER_URL}/group");
        let scene = &scene;
        async move { scene.call(&call, Some(body)).await }
    };
    assert_eq!(put("north").await.status, StatusCode::NO_CONTENT);
    assert_eq!(put("south").await.status, StatusCode::NO_CONTENT);
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*action, &*subject), ("device.group.put", ROUTER));
    assert_eq!(detail, json!({ "group": "south" }));
    assert_eq!(put("a b").await.code(), "invalid_body");
    let shown = scene.call(&format!("GET {ROUTER_URL}"), None).await.json;
    assert_eq!(shown["group"], "south");
    for (group, found) in [("north", 0), ("south", 1)] {
        let list = scene.call(&format!("GET /api/v1/devices?group={group}"), None).await.json;
        assert_eq!(list["items"].as_array().unwrap().len(), found, "{group}");
    }
    let board = scene.call(&format!("GET /api/v1/devices/{BOARD}"), None).await.json;
    assert_eq!(board["group"], Value::Null);

    let path = "/api/v1/groups/south/firmware";
    assert_eq!(scene.call(&format!("GET {path}"), None).await.code(), "no_such_wish");
    for body in [json!({}), json!({ "image": "fw-2", "version": "2" }), json!({ "image": "" })] {
        let answer = scene.call(&format!("PUT {path}"), Some(body)).await;
        assert_eq!(answer.code(), "invalid_body");
    }
    let answer = scene.call(&format!("PUT {path}"), Some(json!({ "image": "none" }))).await;
    assert_eq!(answer.code(), "no_such_image");
    let window = json!({ "from": "02:00", "to": "05:00", "zone": "America/Toronto" });
    let body = json!({ "version": "2", "window": window });
    let wish = scene.call(&format!("PUT {path}"), Some(body)).await.json;
    assert_eq!((&wish["group"], &wish["version"]), (&json!("south"), &json!("2")));
    assert_eq!(wish["window"]["zone"], "America/Toronto");
    assert_eq!(scene.call(&format!("GET {path}"), None).await.json, wish);
    let gone = scene.call(&format!("DELETE {path}"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.call(&format!("DELETE {path}"), None).await.code(), "no_such_wish");
    let out = scene.call(&format!("DELETE {ROUTER_URL}/group"), None).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    let shown = scene.call(&format!("GET {ROUTER_URL}"), None).await.json;
    assert_eq!(shown["group"], Value::Null);
    let rows = scene.state.store.devices(None, 10).await.unwrap();
    assert!(rows.iter().all(|row| row.group.is_none()), "on disk, too");
}
