//! Walks the OpenAPI document: every call it names is there, guarded, and no other is.

use super::super::document;
use super::scene::{BOARD, ROUTER, Scene, id, other};
use axum::http::StatusCode;
use config::Permission;
use model::Tenant;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One call of the document.
struct Call {
    method: String,
    path: String,
    /// The permission it needs; `None` for any token.
    needs: Option<String>,
    /// Whether it needs a token at all.
    is_open: bool,
}

fn calls() -> Vec<Call> {
    let document = serde_json::to_value(document()).unwrap();
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            let security = &call["security"][0];
            let needs = security["token"][0].as_str().map(str::to_owned);
            let is_open = security.as_object().unwrap().is_empty();
            let (method, path) = (method.to_uppercase(), path.clone());
            calls.push(Call { method, path, needs, is_open });
        }
    }
    calls
}

/// The call with its blanks filled with what the tenant `default` has.
fn spell(call: &Call) -> String {
    let device = if ["credentials", "/board"].iter().any(|it| call.path.contains(it)) {
        BOARD
    } else {
        ROUTER
    };
    let device = device.replace('%', "%25");
    let mut path = call.path.clone();
    for (blank, value) in [
        ("/devices/{id}", format!("/devices/{device}")),
        ("/customers/{id}", "/customers/C1".to_owned()),
        ("/commands/{id}", "/commands/01HZZZ".to_owned()),
        ("/dead-letters/{id}", "/dead-letters/1".to_owned()),
        ("{device}", device),
        ("/tokens/{name}", "/tokens/admin".to_owned()),
        ("/sinks/{name}", "/sinks/erp".to_owned()),
        ("/images/{name}", "/images/fw.bin".to_owned()),
        ("/profiles/{name}", "/profiles/none".to_owned()),
        ("/hold/{id}", "/hold/01HZZZ".to_owned()),
        ("/approvals/{id}", "/approvals/01HZZZ".to_owned()),
        ("/tasks/{id}", "/tasks/01HZZZ".to_owned()),
        ("{serial}", "RCMG12345678".to_owned()),
        ("/uploads/{id}", "/uploads/01HZZZ".to_owned()),
        ("/payments/{id}", "/payments/01HZZZ".to_owned()),
        ("{language}", "fr".to_owned()),
        ("{key}", "goodbye".to_owned()),
        ("/sites/{id}", "/sites/01HZZZ".to_owned()),
        ("/managers/{id}", "/managers/01HZZZ".to_owned()),
        ("{kind}/{value}", "mac/00:1A:2B:3C:4D:5E".to_owned()),
        ("{tag}", "core".to_owned()),
        ("/rollouts/{id}", "/rollouts/01HZZZ".to_owned()),
        ("/broadcasts/{id}", "/broadcasts/01HZZZ".to_owned()),
        ("{group}", "north".to_owned()),
        ("{phone_number}", "+254711000001".to_owned()),
    ] {
        path = path.replace(blank, &value);
    }
    assert!(!path.contains('{'), "{path}");
    // A place that is refused: the walk must not wait for a stream to end.
    let query = if path.ends_with("/events") { "?after=nowhere" } else { "" };
    format!("{} {path}{query}", call.method)
}

fn body(call: &Call) -> Option<Value> {
    let body = match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/api/v1/devices/{id}/commands") => json!({ "kind": "reboot" }),
        ("PUT", "/api/v1/customers/{id}") => json!({ "name": "Eve" }),
        ("PUT", "/api/v1/devices/{id}/credentials") => json!({}),
        ("PUT", "/api/v1/equipment/{serial}") => json!({}),
        ("PUT", "/api/v1/equipment/{serial}/status") => json!({ "status": "Actif" }),
        ("PUT", "/api/v1/devices/{id}/wifi" | "/api/v1/customers/{id}/wifi") => {
            json!({ "wifi": [{ "band": "5GHz", "ssid": "x" }] })
        }
        ("PUT", "/api/v1/devices/{id}/board-status") => json!({ "board_status": 1 }),
        ("PUT", "/api/v1/devices/{id}/board") => json!({ "trouble": true }),
        ("PUT", "/api/v1/devices/{id}/group") => json!({ "group": "north" }),
        ("PUT", "/api/v1/groups/{group}/firmware") => json!({ "image": "fw.bin" }),
        ("POST", "/api/v1/rollouts") => json!({ "image": "fw.bin", "tag": "core" }),
        ("POST", "/api/v1/payments/{id}/settle") => json!({ "outcome": "not_paid" }),
        ("POST", "/api/v1/water/broadcasts") => json!({ "audience": "customers", "text": "x" }),
        ("PUT", "/api/v1/water/phrases/{language}") => {
            json!({ "phrases": { "goodbye": "Au revoir." } })
        }
        ("PUT", "/api/v1/water/phrases/{language}/{key}") => json!({ "text": "Au revoir." }),
        ("POST", "/api/v1/tokens") => json!({ "name": "t", "role": "reader" }),
        _ => return None,
    };
    Some(body)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test compares with, or rewrites, a file of ours")]
fn the_document_is_the_one_in_git() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/openapi.json");
    let written = document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, written).unwrap();
    } else {
        let kept = std::fs::read_to_string(file).unwrap();
        assert!(kept == written, "openapi.json is not what the code says: run with UPDATE=1");
    }
}

#[test]
fn calls_have_names_of_their_own() {
    let document = serde_json::to_value(document()).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let calls: Vec<_> = items.flat_map(|item| item.as_object().unwrap().values()).collect();
    let names: BTreeSet<_> = calls.iter().map(|call| call["operationId"].as_str()).collect();
    assert_eq!(names.len(), calls.len(), "{names:?}");
}

#[tokio::test]
async fn what_is_served_is_what_is_described() {
    let scene = Scene::new().await;
    let calls = calls();
    let described: BTreeSet<_> = calls.iter().map(|call| call.path.as_str()).collect();
    // axum tells its routes by `Debug` alone; "/" is how it names the fallback.
    let routes = format!("{:?}", scene.app);
    let is_route = |text: &&str| text.starts_with('/') && *text != "/" && !text.contains("__");
    let served: BTreeSet<_> = routes.split('"').filter(is_route).collect();
    assert_eq!(served, described);
    assert!(described.len() >= 25, "{}", described.len());
    for path in described {
        let methods: BTreeSet<_> = calls
            .iter()
            .filter(|call| call.path == path)
            .map(|call| call.method.as_str())
            .collect();
        let some = calls.iter().find(|call| call.path == path).unwrap();
        let spelt = spell(some).split_once(' ').unwrap().1.to_owned();
        let answer = scene.call(&format!("TRACE {spelt}"), None).await;
        assert_eq!(answer.code(), "method_not_allowed", "{path}");
        let allowed = answer.headers["allow"].to_str().unwrap();
        let allowed: BTreeSet<_> = allowed.split(',').filter(|method| *method != "HEAD").collect();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_nobody_gets_in() {
    let scene = Scene::furnished().await;
    let before = scene.audit_len(&Tenant::default()).await;
    for call in calls() {
        for token in [None, Some(""), Some("wrong"), Some(&*"x".repeat(4_000))] {
            let answer = scene.call_as(token, &spell(&call), body(&call)).await;
            if call.is_open {
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{}", call.path);
            } else {
                assert_eq!(answer.code(), "unauthorised", "{} {}", call.method, call.path);
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
        }
    }
    assert_eq!(scene.audit_len(&Tenant::default()).await, before);
}

#[tokio::test]
async fn only_metrics_and_probes_need_no_token() {
    let open: Vec<_> = calls().into_iter().filter(|it| it.is_open).map(|it| it.path).collect();
    assert_eq!(open, ["/livez", "/metrics", "/readyz", "/startupz"]);
}

#[tokio::test]
async fn a_role_without_the_permission_is_refused_and_with_it_alone_let_in() {
    let scene = Scene::furnished().await;
    let mut tokens = Vec::new();
    for (index, permission) in Permission::ALL.iter().enumerate() {
        let only = scene.make_token(&Tenant::default(), &format!("only{index}")).await;
        let but = scene.make_token(&Tenant::default(), &format!("but{index}")).await;
        tokens.push((permission.as_str(), only, but));
    }
    for call in calls() {
        let Some(needs) = &call.needs else { continue };
        let named = tokens.iter().find(|(word, _, _)| word == needs);
        let (_, only, but) = named.unwrap_or_else(|| panic!("no permission `{needs}`"));
        let before = scene.audit_len(&Tenant::default()).await;
        let answer = scene.call_as(Some(but), &spell(&call), body(&call)).await;
        assert_eq!(answer.code(), "forbidden", "{} {}", call.method, call.path);
        assert_eq!(scene.audit_len(&Tenant::default()).await, before);
        // Making a token of a role that permits more is refused for that reason.
        if call.method == "POST" && call.path == "/api/v1/tokens" {
            continue;
        }
        let answer = scene.call_as(Some(only), &spell(&call), body(&call)).await;
        let let_in =
            answer.status != StatusCode::FORBIDDEN && answer.status != StatusCode::UNAUTHORIZED;
        assert!(let_in, "{} {}: {answer:?}", call.method, call.path);
    }
}

#[tokio::test]
async fn the_three_roles_may_what_the_design_says() {
    let scene = Scene::furnished().await;
    let reader = scene.make_token(&Tenant::default(), "reader").await;
    let operator = scene.make_token(&Tenant::default(), "operator").await;
    for (token, call, allowed) in [
        (&reader, "GET /api/v1/devices", true),
        (&reader, "GET /api/v1/audit", false),
        (&reader, "PUT /api/v1/devices/imei:490154203237518/tags/x", false),
        (&operator, "PUT /api/v1/devices/imei:490154203237518/tags/x", true),
        (&operator, "GET /api/v1/audit", true),
        (&operator, "GET /api/v1/tokens", false),
    ] {
        let answer = scene.call_as(Some(token), call, None).await;
        assert_eq!(answer.status != StatusCode::FORBIDDEN, allowed, "{call}");
    }
}

#[tokio::test]
async fn a_tenant_sees_and_changes_nothing_of_another() {
    let scene = Scene::furnished().await;
    scene.call(&format!("PUT /api/v1/customers/C1/devices/{BOARD}"), None).await;
    let snapshot = || {
        let get = |it| scene.state.registry.get(&Tenant::default(), &id(it)).unwrap();
        format!("{:?} {:?}", get(ROUTER), get(BOARD))
    };
    let (mine, lines) = (snapshot(), scene.audit_len(&Tenant::default()).await);
    let stranger = scene.make_token(&other(), "operator").await;
    let keeper = scene.make_token(&other(), "admin").await;
    for call in calls().into_iter().filter(|call| !call.is_open) {
        // Who makes and revokes tokens; the rest may as much, and has no token of this name.
        let token = if call.path.contains("tokens") { &stranger } else { &keeper };
        let name = format!("{} {}", call.method, call.path);
        let answer = scene.call_as(Some(token), &spell(&call), body(&call)).await;
        match name.as_str() {
            "GET /api/v1/events" => assert_eq!(answer.code(), "invalid_query"),
            "GET /api/openapi.json" => assert_eq!(answer.status, StatusCode::OK),
            "PUT /api/v1/customers/{id}" => {
                // A customer of its own, who is called the same. The walk goes on without him.
                assert_eq!(answer.status, StatusCode::CREATED);
            }
            "PUT /api/v1/customers/{id}/devices/{device}" => {
                assert_eq!(answer.status, StatusCode::NO_CONTENT, "a device of its own");
                let made = scene.state.registry.get(&other(), &id(ROUTER)).unwrap();
                assert_eq!(made.facts, model::DeviceFacts::default());
            }
            _ if call.path.contains("tokens") => assert_eq!(answer.code(), "forbidden", "{name}"),
            _ => {
                let leaks = ["Huawei", "HG8245", "Ada", BOARD];
                let leaked = leaks.iter().find(|text| answer.text.contains(**text));
                assert_eq!(leaked, None, "{name}: {answer:?}");
            }
        }
        assert_eq!(snapshot(), mine, "{name}");
        assert_eq!(scene.audit_len(&Tenant::default()).await, lines, "{name}");
    }
}

#[tokio::test]
async fn a_tenant_finds_nothing_by_the_names_of_another() {
    let scene = Scene::furnished().await;
    let stranger = scene.make_token(&other(), "admin").await;
    for call in calls().into_iter().filter(|call| !call.is_open) {
        let name = format!("{} {}", call.method, call.path);
        let makes_its_own = [
            "PUT /api/v1/customers/{id}",
            "PUT /api/v1/images/{name}",
            "PUT /api/v1/equipment/{serial}",
            "DELETE /api/v1/tokens/{name}",
            "PUT /api/v1/water/phrases/{language}",
            "PUT /api/v1/water/phrases/{language}/{key}",
            "PUT /api/v1/sms/opt-outs/{phone_number}",
        ];
        if makes_its_own.contains(&name.as_str()) {
            continue;
        }
        let answer = scene.call_as(Some(&stranger), &spell(&call), body(&call)).await;
        let code = answer.status.as_u16();
        match (call.method.as_str(), call.path.contains('{')) {
            (_, true) => assert_eq!(code, 404, "{name}: {answer:?}"),
            ("GET", false) if answer.json["items"].is_array() => {
                let own = ["/api/v1/tokens", "/api/v1/audit"].contains(&call.path.as_str());
                assert!(own || answer.json["items"] == json!([]), "{name}: {answer:?}");
            }
            _ => {}
        }
    }
}
