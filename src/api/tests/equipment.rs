//! What the business keeps for equipment: put, shown, found by its device, changed from a portal.

use super::scene::{BOARD, ROUTER, Scene, id, other};
use crate::equipment::Values;
use crate::store::{Operation, TaskChange, TaskState, TaskStep, Tasks as Which};
use crate::tasks;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::{Alias, AliasKind, DeviceFacts, Json, Tenant};
use provisioning::Subject;
use provisioning::equipment::Activated;
use serde_json::{Value, json};

const URL: &str = "/api/v1/equipment/RCMG12345678";

fn document() -> Value {
    json!({
        "serial": "RCMG12345678",
        "wifi": [{ "band": "2.4GHz", "ssid": "Chez nous", "passphrase": "correct horse" }],
        "voip": [{ "line": 1, "auth_user": "5550100", "auth_password": "s3cret-sip" }],
        "pin": "4711",
    })
}

/// A CPE that says this serial.
fn facts(oui: &str, serial: &str) -> DeviceFacts {
    let kinds = [AliasKind::Serial, AliasKind::GponSerial, AliasKind::Mac];
    DeviceFacts {
        oui: Some(oui.into()),
        serial: Some(serial.into()),
        aliases: kinds.into_iter().filter_map(|kind| Alias::new(kind, serial).ok()).collect(),
        ..DeviceFacts::default()
    }
}

impl Scene {
    async fn cpe(&self, oui: &str, serial: &str) -> String {
        let device = format!("cwmp:{oui}-X-{serial}");
        self.meet(&Tenant::default(), &device, facts(oui, serial)).await;
        device
    }

    /// What a device is given.
    async fn values(&self, device: &str) -> Values {
        let tenant = Tenant::default();
        let facts = self.state.registry.facts(&tenant, &id(device)).unwrap();
        let subject = Subject {
            id: &id(device),
            facts: &facts,
            tags: &[],
            group: None,
            customer: None,
            root: "Device.",
        };
        self.state.equipments.values(&tenant, &subject, self.state.clock.now()).await
    }

    fn is_claimed(&self, device: &str) -> bool {
        self.state.registry.get(&Tenant::default(), &id(device)).unwrap().claimed
    }

    async fn conditional(&self, call: &str, header: (&str, &str), body: Value) -> StatusCode {
        let (method, path) = call.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header(header.0, header.1)
            .body(Body::from(body.to_string()));
        self.send(request.unwrap(), [10, 9, 8, 7].into()).await.status
    }
}

#[tokio::test]
async fn a_document_is_put_shown_and_forgotten() {
    let scene = Scene::new().await;
    let made = scene.call(&format!("PUT {URL}"), Some(document())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let (who, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*who, &*action, &*subject), ("admin", "equipment.put", "RCMG12345678"));
    assert_eq!(detail, json!({ "fields": ["pin", "serial", "voip", "wifi"] }));
    // In any spelling of its name; what we add is passed over when it comes back.
    let shown = scene.call("GET /api/v1/equipment/52434d4712345678", None).await;
    assert_eq!((shown.status, &shown.json["status"]), (StatusCode::OK, &json!("created")));
    assert_eq!(shown.json["wifi"][0]["passphrase"], "correct horse");
    assert_eq!(shown.headers["etag"], made.headers["etag"]);
    let again = scene.call(&format!("PUT {URL}"), Some(shown.json)).await;
    assert_eq!((again.status, &again.headers["etag"]), (StatusCode::OK, &made.headers["etag"]));
    let mut changed = document();
    changed["upnp"] = json!(true);
    let changed = scene.call(&format!("PUT {URL}"), Some(changed)).await;
    assert_ne!(changed.headers["etag"], made.headers["etag"]);

    let status = format!("PUT {URL}/status");
    let active = scene.call(&status, Some(json!({ "status": "Actif" }))).await;
    assert_eq!(active.json["status"], "Actif");
    assert_eq!(scene.call(&status, Some(json!({ "status": "x" }))).await.code(), "invalid_body");
    assert_eq!(scene.call(&format!("DELETE {URL}"), None).await.status, StatusCode::NO_CONTENT);
    for call in ["GET", "DELETE"] {
        let gone = scene.call(&format!("{call} {URL}"), None).await;
        assert_eq!(gone.code(), "no_such_equipment");
    }
    let gone = scene.call(&status, Some(json!({ "status": "Actif" }))).await;
    assert_eq!(gone.code(), "no_such_equipment");
    assert_eq!(scene.call("GET /api/v1/equipment/a%20b", None).await.code(), "invalid_path");
}

#[tokio::test]
async fn every_fault_is_named_and_none_of_its_values() {
    let scene = Scene::new().await;
    let body = json!({
        "serial": "OTHER", "wifi": [{ "band": "5GHz", "passphrase": "hunter2" }],
        "vlan": [{ "role": "voice", "id": 5000 }],
    });
    let refused = scene.call(&format!("PUT {URL}"), Some(body)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::UNPROCESSABLE_ENTITY, "invalid_body")
    );
    let detail = refused.json["detail"].as_str().unwrap();
    assert!(detail.contains("wifi[0].passphrase") && detail.contains("vlan[0].id"), "{detail}");
    assert!(!refused.text.contains("hunter2"));
    for (body, expected) in [
        (json!({ "serial": "OTHER" }), "not the one of the path"),
        (json!({ "wifi": [{ "band": "5GHz", "pasphrase": "12345678" }] }), "not a known field"),
        (json!({ "wifi": [{ "band": "5GHz", "passphrase": "…" }] }), "hidden secret"),
    ] {
        let refused = scene.call(&format!("PUT {URL}"), Some(body)).await;
        assert!(refused.json["detail"].as_str().unwrap().contains(expected), "{refused:?}");
    }
    assert_eq!(scene.audit_len(&Tenant::default()).await, 0);
}

#[tokio::test]
async fn secrets_are_shown_to_a_permission_of_their_own() {
    let scene = Scene::new().await;
    scene.call(&format!("PUT {URL}"), Some(document())).await;
    let reader = scene.make_token(&Tenant::default(), "reader").await;
    for path in [URL, "/api/v1/equipment"] {
        let shown = scene.call_as(Some(&reader), &format!("GET {path}"), None).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(shown.text.contains("Chez nous"), "{shown:?}");
        for secret in ["correct horse", "s3cret-sip", "4711"] {
            assert!(!shown.text.contains(secret), "{path}: {secret}");
        }
    }
    let put = scene.call_as(Some(&reader), &format!("PUT {URL}"), Some(document())).await;
    assert_eq!(put.code(), "forbidden");
    // Nor does the file hold them.
    let row = scene.state.store.equipment(&Tenant::default(), "RCMG12345678").await.unwrap();
    let sealed = row.unwrap().sealed;
    assert!(!sealed.expose().windows(7).any(|part| part == b"correct"));
}

#[tokio::test]
async fn a_change_may_be_conditional() {
    let scene = Scene::new().await;
    let put = format!("PUT {URL}");
    let only_if = |header, body| scene.conditional(&put, header, body);
    let failed = StatusCode::PRECONDITION_FAILED;
    assert_eq!(only_if(("if-match", "*"), document()).await, failed);
    assert_eq!(only_if(("if-none-match", "*"), document()).await, StatusCode::CREATED);
    assert_eq!(only_if(("if-none-match", "*"), document()).await, failed);
    let shown = scene.call(&format!("GET {URL}"), None).await;
    let tag = shown.headers["etag"].to_str().unwrap().to_owned();
    let changed = json!({ "upnp": true });
    assert_eq!(only_if(("if-match", &tag), changed.clone()).await, StatusCode::OK);
    assert_eq!(only_if(("if-match", &tag), changed.clone()).await, failed);
    assert_eq!(only_if(("if-match", "nonsense"), changed).await, failed);
    let delete = format!("DELETE {URL}");
    assert_eq!(scene.conditional(&delete, ("if-match", &tag), Value::Null).await, failed);
    assert_eq!(
        scene.conditional(&delete, ("if-match", "*"), Value::Null).await,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn lists_go_page_by_page_and_tenants_do_not_meet() {
    let scene = Scene::new().await;
    for serial in ["C3", "A1", "B2"] {
        scene.call(&format!("PUT /api/v1/equipment/{serial}"), Some(json!({}))).await;
    }
    let stranger = scene.make_token(&other(), "admin").await;
    let none = scene.call_as(Some(&stranger), "GET /api/v1/equipment", None).await;
    assert_eq!(none.json["items"], json!([]));
    let none = scene.call_as(Some(&stranger), "GET /api/v1/equipment/A1", None).await;
    assert_eq!(none.code(), "no_such_equipment");
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = scene.call(&format!("GET /api/v1/equipment{query}"), None).await.json;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|it| it["serial"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["A1", "B2", "C3"]);
}

#[tokio::test]
async fn a_scanned_label_finds_its_device_and_claims_it() {
    let scene = Scene::new().await;
    // A technician scans the GPON serial; nobody knows the serial in CWMP.
    scene.call("PUT /api/v1/equipment/hwtc12345678", Some(json!({ "upnp": false }))).await;
    scene.call("PUT /api/v1/equipment/40:3F:8C:00:11:22", Some(json!({}))).await;
    let ont = scene.cpe("00259E", "4857544312345678").await;
    let deco = scene.cpe("403F8C", "2227A1").await;
    assert!(!scene.is_claimed(&ont));
    let Values::Known { equipment, serial, version, is_stale, .. } = scene.values(&ont).await
    else {
        panic!("it is known");
    };
    assert_eq!((equipment.upnp, &*serial, is_stale), (Some(false), "hwtc12345678", false));
    assert_ne!(version, 0);
    assert!(scene.is_claimed(&ont));
    let (who, action, _, detail) = scene.last_audit().await;
    assert_eq!((&*who, &*action), ("daemon", "device.claim"));
    assert_eq!(detail, json!({ "by": "equipment" }));
    let shown = scene.call("GET /api/v1/equipment/HWTC12345678", None).await;
    assert_eq!(shown.json["device"], ont);
    let by_label = scene.call("GET /api/v1/devices/HWTC12345678", None).await;
    assert_eq!(by_label.json["id"], ont, "the technician's name is one of its names");

    // The Deco says its MAC only in its data model.
    assert!(matches!(scene.values(&deco).await, Values::Unknown));
    let (tenant, now) = (Tenant::default(), scene.state.clock.now());
    assert_eq!(scene.state.equipments.fresh(&tenant, &id(&deco), now), Some(0));
    let deco_url = format!("/api/v1/devices/{deco}");
    scene.call(&format!("PUT {deco_url}/aliases/mac/403f8c001122"), None).await;
    assert_eq!(scene.state.equipments.fresh(&tenant, &id(&deco), now), None, "to be looked up");
    assert!(matches!(scene.values(&deco).await, Values::Known { .. }));
    let again = scene.values(&deco).await;
    let Values::Known { version, .. } = again else { panic!("it stays known") };
    assert_eq!(scene.state.equipments.fresh(&tenant, &id(&deco), now), Some(version));
}

#[tokio::test]
async fn the_serial_in_cwmp_goes_before_other_names() {
    let scene = Scene::new().await;
    let deco = scene.cpe("403F8C", "2227A1").await;
    scene.call(&format!("PUT /api/v1/devices/{deco}/aliases/mac/403f8c001122"), None).await;
    scene.call("PUT /api/v1/equipment/403f8c001122", Some(json!({ "equipment_id": "mac" }))).await;
    let named = |values| match values {
        Values::Known { equipment, .. } => equipment.equipment_id.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(named(scene.values(&deco).await), "mac");
    scene.call("PUT /api/v1/equipment/2227a1", Some(json!({ "equipment_id": "cwmp" }))).await;
    assert_eq!(named(scene.values(&deco).await), "cwmp");
    let metrics = scene.call("GET /metrics", None).await.text;
    assert!(metrics.contains("lastmile_equipment_ambiguous_total 1"), "it is told");
}

#[tokio::test]
async fn a_second_device_with_the_same_serial_is_given_nothing() {
    let scene = Scene::new().await;
    scene.call(&format!("PUT {URL}"), Some(document())).await;
    let first = scene.cpe("AAAAAA", "RCMG12345678").await;
    let second = scene.cpe("BBBBBB", "RCMG12345678").await;
    assert!(matches!(scene.values(&first).await, Values::Known { .. }));
    for _ in 0..3 {
        let Values::Taken { holder } = scene.values(&second).await else { panic!("not to two") };
        assert_eq!(holder.as_str(), first);
    }
    assert!(!scene.is_claimed(&second));
    let events = scene.state.store.events_after(Default::default(), 100, 1 << 20).await.unwrap();
    let told: Vec<_> =
        events.iter().filter(|it| &*it.kind == "lastmile.device.claim_refused").collect();
    assert_eq!(told.len(), 1, "told once");
    assert_eq!(told[0].device.as_str(), second);
    assert!(!told[0].data.as_str().contains("correct horse"));
    // An operator says that it is the one.
    let claim = format!("POST /api/v1/devices/{second}/claim");
    assert_eq!(scene.call(&claim, None).await.status, StatusCode::OK);
    let lines = scene.audit_len(&Tenant::default()).await;
    assert_eq!(scene.call(&claim, None).await.status, StatusCode::OK);
    assert_eq!(scene.audit_len(&Tenant::default()).await, lines, "again changes nothing");
    assert!(matches!(scene.values(&second).await, Values::Known { .. }));
    assert!(matches!(scene.values(&first).await, Values::Taken { .. }));
}

#[tokio::test]
async fn an_activation_connects_the_equipment() {
    let scene = Scene::new().await;
    scene.call(&format!("PUT {URL}"), Some(document())).await;
    let device = scene.cpe("AAAAAA", "RCMG12345678").await;
    let told = Activated {
        serial: "52434D4712345678".into(),
        device: id(&device),
        reason: "bootstrap".into(),
        profile: None,
        revision: None,
        refused: Vec::new(),
        firmware: Some("3.0.1".into()),
        ip: Some([192, 0, 2, 7].into()),
    };
    let (tenant, equipments) = (Tenant::default(), &scene.state.equipments);
    let tell = |key: &'static str| equipments.activated(&tenant, &told, key);
    tell("1").await.unwrap();
    let shown = scene.call(&format!("GET {URL}"), None).await.json;
    assert_eq!((&shown["status"], &shown["last_ip"]), (&json!("Connected"), &json!("192.0.2.7")));
    assert_eq!(shown["last_firmware"], "3.0.1");
    scene.call(&format!("PUT {URL}/status"), Some(json!({ "status": "Actif" }))).await;
    tell("2").await.unwrap();
    let shown = scene.call(&format!("GET {URL}"), None).await.json;
    assert_eq!(shown["status"], "Actif", "a factory reset in service is no step back");
}

#[tokio::test]
async fn a_portal_changes_wifi_by_device_by_label_and_by_customer() {
    let scene = Scene::furnished().await;
    let change =
        json!({ "wifi": [{ "band": "5GHz", "ssid": "New", "passphrase": "battery staple" }] });
    let nameless = "cwmp:AAAAAA-X-nameless";
    scene.meet(&Tenant::default(), nameless, DeviceFacts::default()).await;
    let put = format!("PUT /api/v1/devices/{nameless}/wifi");
    let by_device = scene.call(&put, Some(change.clone())).await;
    assert_eq!(by_device.code(), "conflict", "it has said no serial");

    let ont = scene.cpe("AAAAAA", "RCMG12345678").await;
    scene.call(&format!("PUT {URL}"), Some(document())).await;
    let by_device = scene.call("PUT /api/v1/devices/RCMG12345678/wifi", Some(change.clone())).await;
    assert_eq!((by_device.status, &by_device.json["device"]), (StatusCode::ACCEPTED, &json!(ont)));
    assert_eq!(scene.last_audit().await.3, json!({ "bands": ["5GHz"] }));
    assert!(!by_device.text.contains("battery"));
    let shown = scene.call(&format!("GET {URL}"), None).await.json;
    assert_eq!(shown["wifi"][0]["ssid"], "Chez nous", "the other band stays");
    assert_eq!(shown["wifi"][1]["passphrase"], "battery staple");
    assert_eq!(shown["voip"][0]["auth_password"], "s3cret-sip");

    // Not met yet.
    scene.call("PUT /api/v1/equipment/403f8c001122", Some(json!({}))).await;
    let unmet =
        scene.call("PUT /api/v1/devices/40-3F-8C-00-11-22/wifi", Some(change.clone())).await;
    assert_eq!((unmet.status, &unmet.json["state"]), (StatusCode::ACCEPTED, &json!("not_met")));
    let nobody = scene.call("PUT /api/v1/devices/AAAA/wifi", Some(change.clone())).await;
    assert_eq!(nobody.code(), "no_such_device");

    let by_customer = "PUT /api/v1/customers/C1/wifi";
    let none = scene.call(by_customer, Some(change.clone())).await;
    assert_eq!(none.code(), "conflict", "he has no CPE");
    let bridge = scene.cpe("BBBBBB", "BRIDGE1").await;
    for device in [&ont, &bridge] {
        scene.call(&format!("PUT /api/v1/customers/C1/devices/{device}"), None).await;
    }
    let one = scene.call(by_customer, Some(change.clone())).await;
    assert_eq!(one.json["device"], ont, "the one with WiFi");
    let wifi = json!({ "wifi": [{ "band": "5GHz", "ssid": "x" }] });
    scene.call("PUT /api/v1/equipment/BRIDGE1", Some(wifi)).await;
    let two = scene.call(by_customer, Some(change.clone())).await;
    assert_eq!(two.code(), "conflict");
    assert!(two.text.contains(&ont) && two.text.contains(&bridge), "{two:?}");
    let mut named = change.clone();
    named["device"] = json!("BRIDGE1");
    assert_eq!(scene.call(by_customer, Some(named)).await.json["device"], bridge);
    let mut strange = change.clone();
    strange["device"] = json!(ROUTER);
    assert_eq!(scene.call(by_customer, Some(strange)).await.code(), "not_the_owner");
    let unknown = scene.call("PUT /api/v1/customers/C9/wifi", Some(change.clone())).await;
    assert_eq!(unknown.code(), "no_such_customer");
    let board = scene.call(&format!("PUT /api/v1/devices/{BOARD}/wifi"), Some(change)).await;
    assert_eq!(board.code(), "wrong_protocol");
}

#[tokio::test]
async fn schemas_are_served() {
    let scene = Scene::new().await;
    for (name, field) in [("equipment", "passphrase"), ("activated", "revision")] {
        let answer = scene.call(&format!("GET /api/v1/{name}.schema.json"), None).await;
        assert_eq!(answer.headers["content-type"], "application/schema+json");
        assert!(answer.text.contains(field) && answer.json["$schema"].is_string());
    }
}

#[tokio::test]
async fn tasks_are_seen_released_and_forgotten() {
    let scene = Scene::new().await;
    let (tenant, now) = (Tenant::default(), scene.state.clock.now().wall);
    let task =
        tasks::task(&tenant, "activated", "k1", Some(&id(ROUTER)), Json::empty_object(), now);
    let step = |step| {
        let change = TaskChange { tenant: tenant.clone(), id: task.id.clone(), at: now, step };
        Operation::ChangeTask(change)
    };
    scene.commit(vec![Operation::PutTask(task.clone())]).await;
    scene.commit(vec![step(TaskStep::Park { cause: "404".into() })]).await;
    let list = scene.call("GET /api/v1/tasks?state=parked", None).await.json;
    let [item] = list["items"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!((&item["key"], &item["cause"]), (&json!("k1"), &json!("404")));
    assert_eq!((&item["device"], &item["state"]), (&json!(ROUTER), &json!("parked")));
    let url = format!("/api/v1/tasks/{}", task.id);
    let stranger = scene.make_token(&other(), "admin").await;
    for call in [format!("POST {url}/retry"), format!("DELETE {url}")] {
        assert_eq!(scene.call_as(Some(&stranger), &call, None).await.code(), "no_such_task");
    }
    let released = scene.call(&format!("POST {url}/retry"), None).await;
    assert_eq!(released.status, StatusCode::ACCEPTED);
    assert_eq!(scene.last_audit().await.1, "task.retry");
    let kept = scene.state.store.tasks(&Which::One(task.id.clone()), 1).await.unwrap().remove(0);
    assert_eq!(kept.state, TaskState::Waiting);
    assert_eq!(scene.call(&format!("DELETE {url}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.call(&format!("DELETE {url}"), None).await.code(), "no_such_task");
    assert_eq!(scene.call("GET /api/v1/tasks?state=x", None).await.code(), "invalid_query");
}
