//! Whatever is wrong, the answer is a problem; and what the probes say is true.

use super::super::ApiOptions;
use super::scene::{ROUTER_URL, Scene};
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

const PEER: [u8; 4] = [192, 0, 2, 7];

fn post(scene: &Scene, content_type: &str, body: impl Into<Body>) -> Request {
    Request::builder()
        .method("PUT")
        .uri("/api/v1/customers/C1")
        .header("authorization", format!("bearer {}", scene.token))
        .header("content-type", content_type)
        .body(body.into())
        .unwrap()
}

#[tokio::test]
async fn what_axum_refuses_is_a_problem_too() {
    let scene = Scene::new().await;
    for (call, code) in [
        ("GET /", "no_such_route"),
        ("GET /api/v1/nothing", "no_such_route"),
        ("GET /api/v1/devices/", "no_such_route"),
        ("POST /api/v1/devices", "method_not_allowed"),
        ("DELETE /livez", "method_not_allowed"),
        ("GET /api/v1/customers/%FF", "invalid_path"),
    ] {
        assert_eq!(scene.call(call, None).await.code(), code, "{call}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_declared_and_json() {
    let options = ApiOptions { body_bytes_max: 100, ..ApiOptions::default() };
    let scene = Scene::bounded(options).await;
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(100));
    for (content_type, body, code) in [
        ("application/json", long.as_str(), "body_too_large"),
        ("application/json", "{\"name\":", "malformed_json"),
        ("application/json", "{\"name\":1}", "invalid_body"),
        ("application/json", "{\"name\":\"\"}", "invalid_body"),
        ("application/json", "{\"nome\":\"x\"}", "invalid_body"),
        ("application/json", "{]", "malformed_json"),
        ("application/x-www-form-urlencoded", "{}", "unsupported_media_type"),
    ] {
        let answer = scene.send(post(&scene, content_type, body.to_owned()), PEER.into()).await;
        assert_eq!(answer.code(), code, "{body}");
    }
    for content_type in ["application/json; charset=utf-8", "application/merge-patch+json"] {
        let answer = scene.send(post(&scene, content_type, "{\"name\":\"x\"}"), PEER.into()).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let options = ApiOptions { body_timeout: Duration::from_secs(3), ..ApiOptions::default() };
    let scene = Scene::bounded(options).await;
    let never = futures_util::stream::pending::<Result<Bytes, Infallible>>();
    let request = post(&scene, "application/json", Body::from_stream(never));
    // Only now: the store's threads do not know of virtual time.
    tokio::time::pause();
    let answer = scene.send(request, PEER.into()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::REQUEST_TIMEOUT, "timed_out"));
}

#[tokio::test]
async fn answers_are_not_to_be_kept() {
    let scene = Scene::furnished().await;
    for call in [format!("GET {ROUTER_URL}"), "GET /nothing".to_owned(), "GET /livez".to_owned()] {
        let answer = scene.call(&call, None).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{call}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{call}");
    }
}

#[tokio::test]
async fn failed_tries_are_limited_by_address_and_shut_nobody_else_out() {
    let scene = Scene::new().await;
    let ask = |token: &str, from: [u8; 4]| {
        let request = Request::builder()
            .uri("/api/v1/devices")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty());
        scene.send(request.unwrap(), from.into())
    };
    for _ in 0..20 {
        assert_eq!(ask("guess", PEER).await.code(), "unauthorised");
    }
    let spent = ask("guess", PEER).await;
    assert_eq!((spent.status, spent.code()), (StatusCode::TOO_MANY_REQUESTS, "too_many_tries"));
    assert_eq!(spent.headers["retry-after"], "60");
    assert_eq!(ask("guess", [192, 0, 2, 8]).await.code(), "unauthorised");
    assert_eq!(ask(&scene.token, PEER).await.status, StatusCode::OK, "he has a token");
}

#[tokio::test]
async fn a_token_is_taken_in_one_form_only() {
    let scene = Scene::new().await;
    let token = &scene.token;
    let send = |lines: Vec<String>, uri: String| {
        let mut request = Request::builder().uri(uri);
        for line in lines {
            request = request.header("authorization", line);
        }
        scene.send(request.body(Body::empty()).unwrap(), [198, 51, 100, 1].into())
    };
    let path = || "/api/v1/devices".to_owned();
    let good = format!("Bearer {token}");
    assert_eq!(send(vec![good.clone()], path()).await.status, StatusCode::OK);
    for lines in [
        vec![good.clone(), good],
        vec![format!("Basic {token}")],
        vec![token.clone()],
        vec![format!("Bearer {}", token.to_lowercase())],
        vec![format!("Bearer {token}x")],
    ] {
        assert_eq!(send(lines, path()).await.code(), "unauthorised");
    }
    let in_url = send(Vec::new(), format!("/api/v1/devices?access_token={token}"));
    assert_eq!(in_url.await.code(), "unauthorised");
}

#[tokio::test]
async fn a_full_store_refuses_changes_and_says_so() {
    // Any use is more than this quota: the store is full from the start.
    let scene = Scene::full().await;
    let row = crate::store::TokenRow {
        tenant: model::Tenant::default(),
        name: "admin".into(),
        hash: scene.state.vault.hmac(b"let me in"),
        role: "admin".into(),
        created_at: scene.state.clock.now().wall,
        made_by: None,
        is_revoked: false,
        acl: None,
    };
    scene.state.access.load([row]);
    let mut room = scene.state.writer.room_changes();
    room.wait_for(|room| *room == crate::store::Room::Full).await.unwrap();
    let call = "PUT /api/v1/customers/C1";
    let answer = scene.call_as(Some("let me in"), call, Some(json!({}))).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "store_full"));
    assert_eq!(answer.headers["retry-after"], "5");
    assert!(scene.state.registry.customer(&model::Tenant::default(), "C1").is_none());
    let devices = scene.call_as(Some("let me in"), "GET /api/v1/devices", None).await;
    assert_eq!(devices.status, StatusCode::OK, "reading goes on");

    scene.state.health.set_started();
    let ready = scene.call("GET /readyz", None).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json, json!({ "ok": false, "reasons": ["store_full"] }));
    assert_eq!(scene.call("GET /livez", None).await.status, StatusCode::OK, "it recovers alone");
}

#[tokio::test]
async fn probes_tell_a_start_and_a_stop() {
    let scene = Scene::new().await;
    let probe = async |path: &str| {
        let answer = scene.call_as(None, &format!("GET {path}"), None).await;
        (answer.status.as_u16(), answer.json["reasons"].clone())
    };
    assert_eq!(probe("/startupz").await, (503, json!(["starting"])));
    assert_eq!(probe("/readyz").await, (503, json!(["starting"])));
    assert_eq!(probe("/livez").await, (200, json!([])));
    scene.state.health.set_started();
    assert_eq!(probe("/startupz").await, (200, json!([])));
    assert_eq!(probe("/readyz").await, (200, json!([])));
    scene.state.health.set_stopping();
    assert_eq!(probe("/readyz").await, (503, json!(["stopping"])));
    assert_eq!(probe("/livez").await, (200, json!([])));
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_device() {
    let scene = Scene::furnished().await;
    scene.call(&format!("GET {ROUTER_URL}"), None).await;
    scene.call_as(None, "GET /api/v1/devices", None).await;
    scene.call("GET /some/wild/path", None).await;
    let page = scene.call_as(None, "GET /metrics", None).await;
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    for line in [
        r#"lastmile_api_requests_total{route="/api/v1/devices/{id}",status="200"} 1"#,
        r#"lastmile_api_requests_total{route="/api/v1/devices",status="401"} 1"#,
        r#"lastmile_api_requests_total{route="none",status="404"} 1"#,
        "lastmile_api_sign_ins_refused_total 1",
        "# HELP lastmile_api_streams ",
    ] {
        assert!(page.text.contains(line), "{line} in {}", page.text);
    }
    assert!(!page.text.contains("48575443") && !page.text.contains("wild"));
}
