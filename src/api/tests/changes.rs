//! Devices, their names and their owners: shown, changed, and what each change leaves behind.

use super::scene::{BOARD, PHONE, ROUTER, ROUTER_URL, Scene, id};
use crate::credentials::{Claimant, Enrolled, MAY_ENROL_TAG};
use axum::http::StatusCode;
use model::Tenant;
use serde_json::{Value, json};

/// The newest line of the trail says that the admin did this.
async fn assert_audit(scene: &Scene, action: &str, subject: &str, detail: Value) {
    let expected = ("admin".into(), action.into(), subject.into(), detail);
    assert_eq!(scene.last_audit().await, expected);
}

#[tokio::test]
async fn a_device_is_found_by_any_of_its_names() {
    let scene = Scene::furnished().await;
    for path in [
        ROUTER_URL,
        // As it is pasted, with the percent sign of the identity itself.
        "/api/v1/devices/cwmp:00259E-HG%2D8245-48575443",
        "/api/v1/devices/mac:00-1A-2B-3C-4D-5E",
        "/api/v1/devices/001a2b3c4d5e",
        "/api/v1/devices/00%3A1a%3A2b%3A3c%3A4d%3A5e",
    ] {
        let answer = scene.call(&format!("GET {path}"), None).await;
        assert_eq!((answer.status, &answer.json["id"]), (StatusCode::OK, &json!(ROUTER)), "{path}");
    }
    let device = scene.call(&format!("GET {ROUTER_URL}"), None).await.json;
    assert_eq!(device["protocol"], "cwmp");
    assert_eq!(device["manufacturer"], "Huawei");
    assert_eq!(device["model"], "HG8245");
    assert_eq!(device["aliases"], json!([{ "kind": "mac", "value": "001a2b3c4d5e" }]));
    assert_eq!(device["customer"], Value::Null);
    assert_eq!((&device["claimed"], &device["tags"]), (&json!(false), &json!([])));
    assert!(device["created_at"].is_string());
    let missing = scene.call("GET /api/v1/devices/imei:356938035643809", None).await;
    assert_eq!(missing.code(), "no_such_device");
    let phone = scene.call(&format!("GET /api/v1/devices/{PHONE}"), None).await;
    assert_eq!(phone.json["id"], PHONE, "numbers are the API's to say");
}

#[tokio::test]
async fn lists_go_page_by_page_and_by_what_is_asked_for() {
    let scene = Scene::furnished().await;
    let ids = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut path = "GET /api/v1/devices?limit=1".to_owned();
    loop {
        let page = scene.call(&path, None).await.json;
        assert!(ids(&page).len() <= 1);
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("GET /api/v1/devices?limit=1&cursor={next}");
    }
    assert_eq!(seen, [ROUTER, BOARD, PHONE]);
    for (query, expected) in [
        ("protocol=mqtt", vec![BOARD]),
        ("protocol=ussd", vec![PHONE]),
        ("model=HG8245", vec![ROUTER]),
        ("tag=none", vec![]),
        ("q=4857", vec![ROUTER]),
        ("q=4857&protocol=mqtt", vec![]),
    ] {
        let answer = scene.call(&format!("GET /api/v1/devices?{query}"), None).await;
        assert_eq!(ids(&answer.json), expected, "{query}");
    }
    let long = "x".repeat(300);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "protocol=x",
        "cursor=!",
        "colour=red",
        &format!("q={long}"),
    ] {
        let answer = scene.call(&format!("GET /api/v1/devices?{query}"), None).await;
        assert_eq!(answer.code(), "invalid_query", "{query}");
    }
}

#[tokio::test]
async fn a_claim_is_made_once() {
    let scene = Scene::furnished().await;
    let answer = scene.call(&format!("POST {ROUTER_URL}/claim"), None).await;
    assert_eq!((answer.status, &answer.json["claimed"]), (StatusCode::OK, &json!(true)));
    assert_audit(&scene, "device.claim", ROUTER, json!({})).await;
    let lines = scene.audit_len(&Tenant::default()).await;
    assert_eq!(scene.call(&format!("POST {ROUTER_URL}/claim"), None).await.status, StatusCode::OK);
    assert_eq!(scene.audit_len(&Tenant::default()).await, lines, "nothing changed");
    let missing = scene.call("POST /api/v1/devices/imei:356938035643809/claim", None).await;
    assert_eq!(missing.code(), "no_such_device");
}

#[tokio::test]
async fn aliases_are_given_and_taken() {
    let scene = Scene::furnished().await;
    let alias = "aliases/gpon_serial/414c434cf1234567";
    let answer = scene.call(&format!("PUT {ROUTER_URL}/{alias}"), None).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let detail = json!({ "kind": "gpon_serial", "value": "ALCLF1234567" });
    assert_audit(&scene, "device.alias.put", ROUTER, detail.clone()).await;
    let named = scene.call("GET /api/v1/devices/ALCLF1234567", None).await;
    assert_eq!(named.json["id"], ROUTER);

    let taken = scene.call(&format!("PUT /api/v1/devices/{BOARD}/{alias}"), None).await;
    assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "conflict"));
    let not_its = scene.call(&format!("DELETE /api/v1/devices/{BOARD}/{alias}"), None).await;
    assert_eq!(not_its.code(), "no_such_alias");
    for wrong in ["aliases/colour/red", "aliases/mac/00:1A", "aliases/imei/490154203237517"] {
        let answer = scene.call(&format!("PUT {ROUTER_URL}/{wrong}"), None).await;
        assert_eq!(answer.code(), "invalid_path", "{wrong}");
    }

    let gone = scene.call(&format!("DELETE {ROUTER_URL}/{alias}"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.alias.delete", ROUTER, detail).await;
    let unknown = scene.call("GET /api/v1/devices/ALCLF1234567", None).await;
    assert_eq!(unknown.code(), "no_such_device");
    let again = scene.call(&format!("DELETE {ROUTER_URL}/{alias}"), None).await;
    assert_eq!(again.code(), "no_such_alias");
}

#[tokio::test]
async fn tags_are_put_and_taken_off() {
    let scene = Scene::furnished().await;
    let tag = format!("{ROUTER_URL}/tags/core-1");
    assert_eq!(scene.call(&format!("PUT {tag}"), None).await.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.tag.put", ROUTER, json!({ "tag": "core-1" })).await;
    let tagged = scene.call("GET /api/v1/devices?tag=core-1", None).await;
    assert_eq!(tagged.json["items"][0]["tags"], json!(["core-1"]));
    assert_eq!(scene.call(&format!("DELETE {tag}"), None).await.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.tag.delete", ROUTER, json!({ "tag": "core-1" })).await;
    assert_eq!(scene.call(&format!("DELETE {tag}"), None).await.code(), "no_such_tag");
    let wrong = scene.call(&format!("PUT {ROUTER_URL}/tags/a%20b"), None).await;
    assert_eq!(wrong.code(), "invalid_path");
    let mark = scene.call(&format!("PUT {ROUTER_URL}/tags/{MAY_ENROL_TAG}"), None).await;
    assert_eq!(mark.code(), "conflict", "it needs another permission");
}

#[tokio::test]
async fn only_so_many_tags_and_aliases() {
    let scene = Scene::furnished().await;
    for number in 0..64 {
        let answer = scene.call(&format!("PUT {ROUTER_URL}/tags/t{number}"), None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    let more = scene.call(&format!("PUT {ROUTER_URL}/tags/more"), None).await;
    assert_eq!(more.code(), "conflict");
    let again = scene.call(&format!("PUT {ROUTER_URL}/tags/t0"), None).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn customers_own_devices() {
    let scene = Scene::furnished().await;
    let made = scene.call("PUT /api/v1/customers/C2", Some(json!({ "name": "Grace" }))).await;
    assert_eq!((made.status, &made.json["name"]), (StatusCode::CREATED, &json!("Grace")));
    assert_audit(&scene, "customer.put", "C2", json!({})).await;
    let renamed = scene.call("PUT /api/v1/customers/C2", None).await;
    assert_eq!((renamed.status, &renamed.json["name"]), (StatusCode::OK, &Value::Null));
    let shown = scene.call("GET /api/v1/customers/C2", None).await;
    assert_eq!(shown.json, renamed.json);
    assert_eq!(shown.json["created_at"], made.json["created_at"], "made once");

    let owned = "/api/v1/customers/C1/devices";
    let given = scene.call(&format!("PUT {owned}/001a2b3c4d5e"), None).await;
    assert_eq!(given.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.owner.put", ROUTER, json!({ "customer": "C1" })).await;
    let new_phone = "msisdn:+254711000002";
    let phone = scene.call(&format!("PUT {owned}/{new_phone}"), None).await;
    assert_eq!(phone.status, StatusCode::NO_CONTENT, "known before it ever calls");
    let list = scene.call(&format!("GET {owned}"), None).await.json;
    let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [ROUTER, new_phone]);
    let shown = scene.call(&format!("GET {ROUTER_URL}"), None).await;
    assert_eq!(shown.json["customer"], "C1");

    let not_his =
        scene.call(&format!("DELETE /api/v1/customers/C2/devices/{new_phone}"), None).await;
    assert_eq!(not_his.code(), "not_the_owner");
    let taken = scene.call(&format!("DELETE {owned}/{new_phone}"), None).await;
    assert_eq!(taken.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.owner.delete", new_phone, json!({ "customer": "C1" })).await;
    for call in ["GET /api/v1/customers/C9", "GET /api/v1/customers/C9/devices"] {
        assert_eq!(scene.call(call, None).await.code(), "no_such_customer", "{call}");
    }
    let nobody = scene.call(&format!("PUT /api/v1/customers/C9/devices/{BOARD}"), None).await;
    assert_eq!(nobody.code(), "no_such_customer");
    let nothing = scene.call(&format!("PUT {owned}/nonsense"), None).await;
    assert_eq!(nothing.code(), "no_such_device");
}

#[tokio::test]
async fn credentials_are_told_once_and_kept_as_no_one_can_read() {
    let scene = Scene::furnished().await;
    let path = format!("/api/v1/devices/{BOARD}/credentials");
    let made = scene.call(&format!("PUT {path}"), Some(json!({}))).await;
    assert_eq!(made.status, StatusCode::OK);
    let username = made.json["username"].as_str().unwrap();
    let password = made.json["password"].as_str().unwrap();
    assert_eq!(password.len(), 22, "128 bits");
    assert!(scene.state.credentials.mqtt(username, password.as_bytes()).is_some());
    assert_audit(&scene, "device.credential.put", BOARD, json!({ "protocol": "mqtt" })).await;

    let body = json!({ "username": "board", "password": "a-password" });
    let given = scene.call(&format!("PUT {path}"), Some(body)).await;
    assert_eq!(given.json, json!({ "username": "board" }), "what he gave is not repeated");
    assert!(scene.state.credentials.mqtt(username, password.as_bytes()).is_none());
    assert!(scene.state.credentials.mqtt("board", b"a-password").is_some());

    for (body, code) in [
        (json!({ "password": "short" }), "invalid_body"),
        (json!({ "username": "a:b" }), "invalid_body"),
        (json!({ "username": "enrol" }), "conflict"),
        (json!({ "colour": "red" }), "invalid_body"),
        (json!({ "password": 12_345_678 }), "invalid_body"),
    ] {
        let answer = scene.call(&format!("PUT {path}"), Some(body.clone())).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(!answer.text.contains("12345678"), "{answer:?}");
    }
    let phone = scene.call(&format!("PUT /api/v1/devices/{PHONE}/credentials"), None).await;
    assert_eq!(phone.code(), "wrong_protocol");

    let gone = scene.call(&format!("DELETE {path}"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.credential.delete", BOARD, json!({ "protocol": "mqtt" })).await;
    assert!(scene.state.credentials.mqtt("board", b"a-password").is_none());
}

#[tokio::test]
async fn what_a_device_uses_and_what_it_was_given_are_shown_without_secrets() {
    let scene = Scene::furnished().await;
    let path = format!("{ROUTER_URL}/credentials");
    let nothing = json!({ "confirmed": null, "pending": null });
    assert_eq!(scene.call(&format!("GET {path}"), None).await.json, nothing);

    let body = json!({ "username": "r", "password": "first-password" });
    let given = scene.call(&format!("PUT {path}"), Some(body)).await;
    assert_eq!(given.json, json!({ "username": "r" }), "whoever enrols may pass for it");
    let shown = scene.call(&format!("GET {path}"), None).await;
    let pending = json!({ "username": "r", "push": null });
    assert_eq!(shown.json, json!({ "confirmed": null, "pending": pending }));

    let credentials = &scene.state.credentials;
    let [Some((_, Claimant::Own(own))), None] = credentials.cwmp("r") else { panic!("one") };
    credentials.confirm(&own).await.unwrap();
    let body = json!({ "password": "second-password" });
    let given = scene.call(&format!("PUT {path}"), Some(body)).await;
    assert_eq!(given.json, json!({ "username": "r", "push": true }), "it keeps its name");
    let shown = scene.call(&format!("GET {path}"), None).await;
    assert!(!shown.text.contains("password"), "{shown:?}");
    let push = json!({ "state": "waiting", "tries": 0, "tried_at": null, "cause": null });
    let pending = json!({ "username": "r", "push": push });
    assert_eq!(shown.json, json!({ "confirmed": { "username": "r" }, "pending": pending }));

    let gone = scene.call(&format!("DELETE {path}?pending=true"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let detail = json!({ "protocol": "cwmp", "pending": true });
    assert_audit(&scene, "device.credential.delete", ROUTER, detail).await;
    let shown = scene.call(&format!("GET {path}"), None).await;
    assert_eq!(shown.json, json!({ "confirmed": { "username": "r" }, "pending": null }));
    let gone = scene.call(&format!("DELETE {path}"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.call(&format!("GET {path}"), None).await.json, nothing);

    let board = format!("PUT /api/v1/devices/{BOARD}/credentials");
    let refused = scene.call(&board, Some(json!({ "push": true }))).await;
    assert_eq!(refused.code(), "invalid_body", "a board has no place for them");
    let phone = scene.call(&format!("GET /api/v1/devices/{PHONE}/credentials"), None).await;
    assert_eq!(phone.code(), "wrong_protocol");
    let odd = scene.call(&format!("DELETE {path}?all=true"), None).await;
    assert_eq!(odd.code(), "invalid_query");
}

#[tokio::test]
async fn an_operators_mark_lets_a_device_enrol_again() {
    let scene = Scene::furnished().await;
    let path = format!("/api/v1/devices/{BOARD}");
    let made = scene.call(&format!("PUT {path}/credentials"), Some(json!({}))).await;
    let username = made.json["username"].as_str().unwrap();
    let password = made.json["password"].as_str().unwrap();
    let credentials = &scene.state.credentials;
    let Some(Claimant::Own(own)) = credentials.mqtt(username, password.as_bytes()) else {
        panic!("it is the board's own")
    };
    credentials.confirm(&own).await.unwrap();
    let enrol = || {
        let from = [192, 0, 2, 1].into();
        credentials.enrol(&Tenant::default(), &id(BOARD), from, false)
    };
    assert_eq!(enrol(), Enrolled::Refused);
    let marked = scene.call(&format!("POST {path}/enrolment"), None).await;
    assert_eq!(marked.status, StatusCode::NO_CONTENT);
    assert_audit(&scene, "device.enrolment.allow", BOARD, json!({})).await;
    assert_eq!(enrol(), Enrolled::Anew);
    let phone = scene.call(&format!("POST /api/v1/devices/{PHONE}/enrolment"), None).await;
    assert_eq!(phone.code(), "wrong_protocol");
}

#[tokio::test]
async fn a_change_is_known_even_when_the_caller_hangs_up() {
    let scene = Scene::furnished().await;
    let state = scene.state.clone();
    let operation = crate::store::Operation::Claim { tenant: Tenant::default(), device: id(BOARD) };
    {
        let change = state.changes.make(BOARD, vec![operation]);
        let mut change = std::pin::pin!(change);
        // Polled once: the change is on its way. Then nobody waits for it.
        assert!(futures_util::poll!(change.as_mut()).is_pending());
    }
    // The same lane answers in order, so the one before is known by then.
    let refused = state.changes.make(
        BOARD,
        vec![crate::store::Operation::Claim {
            tenant: Tenant::default(),
            device: id("imei:356938035643809"),
        }],
    );
    assert!(refused.await.is_err());
    assert!(state.registry.get(&Tenant::default(), &id(BOARD)).unwrap().claimed);
}
