//! Commands: sent, waited for, shown, withdrawn.

use super::super::ApiOptions;
use super::scene::{BOARD, ROUTER, ROUTER_URL, Scene};
use axum::http::StatusCode;
use config::Permission;
use model::{CommandChange, CommandId, CommandState, Json, Tenant};
use serde_json::{Value, json};
use std::time::Duration;

/// A device comes for its command and does it.
async fn carry_out(scene: &Scene, id: &Value) {
    carry_out_with(scene, id, &json!({ "A.B": "x" })).await;
}

async fn carry_out_with(scene: &Scene, id: &Value, result: &Value) {
    let id = CommandId::new(id.as_str().unwrap()).unwrap();
    let result = Some(Json::of(result));
    let change = CommandChange::new(id, CommandState::Done).with_result(result);
    let at = scene.state.clock.now().wall;
    let operation = crate::store::Operation::ChangeCommand { change: change.clone(), at };
    scene.commit(vec![operation]).await;
    scene.state.desk.apply(&change, at);
}

#[tokio::test]
async fn who_may_send_no_command_reads_no_secret_in_one() {
    let scene = Scene::furnished().await;
    let path = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase";
    let typed = json!({ "value": "hunter2", "type": "xsd:string" });
    let written = json!({ path: typed, "Device.A": "open" });
    let bodies = [
        json!({ "kind": "set_parameters", "values": written }),
        json!({ "kind": "add_object", "path": "Device.Users.User.",
            "values": { "Password": "hunter2", "Enable": true } }),
        json!({ "kind": "get_parameters", "names": [path, "Device.A"] }),
    ];
    let mut ids = Vec::new();
    for body in bodies {
        let taken = scene.call(&format!("POST {ROUTER_URL}/commands"), Some(body)).await;
        ids.push(taken.json["id"].clone());
    }
    let told = json!({ "parameters": {
        path: { "type": "xsd:string", "value": "hunter2" },
        "Device.A": { "type": "xsd:string", "value": "open" },
    } });
    carry_out_with(&scene, &ids[2], &told).await;

    let only = Permission::ALL.iter().position(|it| *it == Permission::DevicesRead).unwrap();
    let reader = scene.make_token(&Tenant::default(), &format!("only{only}")).await;
    let show = |id: &Value| format!("GET /api/v1/commands/{}", id.as_str().unwrap());
    let mut calls: Vec<String> = ids.iter().map(show).collect();
    calls.push(format!("GET {ROUTER_URL}/commands"));
    for call in &calls {
        let seen = scene.call(call, None).await.text;
        assert!(seen.contains("hunter2"), "{seen}");
        let seen = scene.call_as(Some(&reader), call, None).await;
        assert!(seen.status == StatusCode::OK && !seen.text.contains("hunter2"), "{seen:?}");
    }
    let seen = scene.call_as(Some(&reader), &calls[2], None).await.json;
    let expected = json!({ path: null, "Device.A": { "type": "xsd:string", "value": "open" } });
    assert_eq!(seen["result"]["parameters"], expected);
}

#[tokio::test]
async fn a_command_is_taken_shown_and_withdrawn() {
    let mut scene = Scene::furnished().await;
    let body = json!({ "kind": "get_parameters", "names": ["Device."], "expires": "1h" });
    let taken = scene.call(&format!("POST {ROUTER_URL}/commands"), Some(body)).await;
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    assert_eq!(taken.json["state"], "queued");
    assert_eq!(taken.json["kind"], "get_parameters");
    assert_eq!(taken.json["names"], json!(["Device."]));
    assert_eq!((&taken.json["device"], &taken.json["actor"]), (&json!(ROUTER), &json!("admin")));
    let time = |key: &str| taken.json[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expires_at").duration_since(time("created_at")).as_secs(), 3_600);
    let (_, woken) = scene.wakes.try_recv().unwrap();
    assert_eq!(woken.as_str(), ROUTER);
    let id = taken.json["id"].as_str().unwrap().to_owned();
    let (actor, action, subject, _) = scene.last_audit().await;
    assert_eq!((actor.as_str(), action.as_str(), &subject), ("admin", "command.create", &id));

    let shown = scene.call(&format!("GET /api/v1/commands/{id}"), None).await;
    assert_eq!(shown.json, taken.json);
    let list = scene.call(&format!("GET {ROUTER_URL}/commands"), None).await;
    assert_eq!(list.json["items"], json!([taken.json]));

    let withdrawn = scene.call(&format!("DELETE /api/v1/commands/{id}"), None).await;
    assert_eq!((withdrawn.status, &withdrawn.json["state"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(scene.last_audit().await.1, "command.cancel");
    let again = scene.call(&format!("DELETE /api/v1/commands/{id}"), None).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "command_under_way"));
}

#[tokio::test]
async fn a_callers_wait_ends_with_the_command() {
    let scene = Scene::furnished().await;
    let call = format!("POST {ROUTER_URL}/commands?wait=30s");
    let body = json!({ "kind": "get_parameters", "names": ["A.B"] });
    let asked = scene.call(&call, Some(body));
    let device = async {
        loop {
            let list = scene.call(&format!("GET {ROUTER_URL}/commands"), None).await;
            if list.json["items"][0].is_object() {
                return carry_out(&scene, &list.json["items"][0]["id"]).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let (answer, ()) = tokio::join!(asked, device);
    assert_eq!((answer.status, &answer.json["state"]), (StatusCode::OK, &json!("done")));
    assert_eq!(answer.json["result"], json!({ "A.B": "x" }));
}

#[tokio::test]
async fn a_wait_ends_when_it_is_over_and_when_the_daemon_stops() {
    let scene = Scene::furnished().await;
    let reboot = || Some(json!({ "kind": "reboot" }));
    let answer = scene.call(&format!("POST {ROUTER_URL}/commands?wait=1ms"), reboot()).await;
    assert_eq!((answer.status, &answer.json["state"]), (StatusCode::ACCEPTED, &json!("queued")));
    scene.state.stop.cancel();
    let answer = scene.call(&format!("POST {ROUTER_URL}/commands?wait=120s"), reboot()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn asking_twice_with_one_key_is_asking_once() {
    let scene = Scene::furnished().await;
    for _ in 0..2 {
        let request = axum::http::Request::builder()
            .method("POST")
            .uri(format!("{ROUTER_URL}/commands"))
            .header("authorization", format!("Bearer {}", scene.token))
            .header("idempotency-key", "1")
            .body(r#"{"kind":"reboot"}"#.into())
            .unwrap();
        let answer = scene.send(request, [192, 0, 2, 1].into()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    let list = scene.call(&format!("GET {ROUTER_URL}/commands"), None).await;
    assert_eq!(list.json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_devices_commands_are_listed_newest_first_in_pages() {
    let scene = Scene::furnished().await;
    for _ in 0..3 {
        let body = Some(json!({ "kind": "reboot" }));
        scene.call(&format!("POST {ROUTER_URL}/commands"), body).await;
    }
    let all = scene.call(&format!("GET {ROUTER_URL}/commands"), None).await.json;
    let first = scene.call(&format!("GET {ROUTER_URL}/commands?limit=2"), None).await.json;
    let next = first["next"].as_str().unwrap();
    let rest =
        scene.call(&format!("GET {ROUTER_URL}/commands?limit=2&cursor={next}"), None).await.json;
    assert!(rest["next"].is_null());
    let joined: Vec<_> = [&first, &rest]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap().clone())
        .collect();
    assert_eq!(json!(joined), all["items"]);
    // Names sort by creation, so the newest comes first.
    let names: Vec<_> = joined.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(names.is_sorted_by(|left, right| left > right), "{names:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let options = ApiOptions { wait_max: Duration::from_secs(60), ..ApiOptions::default() };
    let scene = Scene::bounded(options).await;
    scene.meet(&Tenant::default(), ROUTER, model::DeviceFacts::default()).await;
    scene.meet(&Tenant::default(), BOARD, model::DeviceFacts::default()).await;
    let lines = scene.audit_len(&Tenant::default()).await;
    for (body, code) in [
        (json!({}), "invalid_body"),
        (json!({ "kind": "explode" }), "invalid_body"),
        (json!({ "kind": "reboot", "expire": "1h" }), "invalid_body"),
        (json!({ "kind": "reboot", "expires": "soon" }), "invalid_body"),
        (json!({ "kind": "reboot", "expires": "-1h" }), "invalid_body"),
        (json!({ "kind": "reboot", "expires": 5 }), "invalid_body"),
        (json!({ "kind": "get_parameters" }), "invalid_body"),
        (json!({ "kind": "get_parameters", "names": [] }), "invalid_body"),
        (json!({ "kind": "set_parameters", "values": { "A.B": ["s3cret"] } }), "invalid_body"),
        (json!({ "kind": "get_parameters", "names": "s3cret" }), "invalid_body"),
        (
            json!({ "kind": "publish", "topic": "boards/x/down/a", "payload": "s3cret" }),
            "wrong_protocol",
        ),
        (json!([]), "invalid_body"),
    ] {
        let answer = scene.call(&format!("POST {ROUTER_URL}/commands"), Some(body.clone())).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(!answer.text.contains("s3cret"), "{answer:?}");
    }
    for query in ["wait=61s", "wait=x", "wait=-1s", "weight=1s"] {
        let call = format!("POST {ROUTER_URL}/commands?{query}");
        let answer = scene.call(&call, Some(json!({ "kind": "reboot" }))).await;
        assert_eq!(answer.code(), "invalid_query", "{query}");
    }
    let nobody = "POST /api/v1/devices/imei:356938035643809/commands";
    let answer = scene.call(nobody, Some(json!({ "kind": "reboot" }))).await;
    assert_eq!(answer.code(), "no_such_device");
    for call in ["GET /api/v1/commands/01HZZZ", "DELETE /api/v1/commands/a.b"] {
        assert_eq!(scene.call(call, None).await.code(), "no_such_command", "{call}");
    }
    assert_eq!(scene.audit_len(&Tenant::default()).await, lines, "nothing was done");
}

#[tokio::test]
async fn a_device_has_only_so_many_open_commands() {
    let scene = Scene::furnished().await;
    let mut last = None;
    for _ in 0..101 {
        let body = Some(json!({ "kind": "reboot" }));
        last = Some(scene.call(&format!("POST {ROUTER_URL}/commands"), body).await);
    }
    let last = last.unwrap();
    assert_eq!((last.status, last.code()), (StatusCode::TOO_MANY_REQUESTS, "too_many_commands"));
    assert!(last.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn every_kind_is_taken_with_its_own_fields_and_no_other() {
    let scene = Scene::furnished().await;
    let call = format!("POST {ROUTER_URL}/commands");
    let attributes = json!([{ "path": "A.B", "notification": 1 }]);
    let windows = json!([{ "start_s": 0, "end_s": 60 }]);
    let operations = json!([{ "operation": "install", "image": "m.deb" }]);
    for kind in [
        json!({ "kind": "get_parameters", "names": ["A."] }),
        json!({ "kind": "set_parameters", "values": { "A.B": 1 } }),
        json!({ "kind": "get_parameter_names", "path": "A.", "next_level": true }),
        json!({ "kind": "get_parameter_attributes", "names": ["A."] }),
        json!({ "kind": "set_parameter_attributes", "attributes": attributes }),
        json!({ "kind": "add_object", "path": "A.", "values": { "B": true } }),
        json!({ "kind": "delete_object", "path": "A.1." }),
        json!({ "kind": "refresh", "path": "A.", "depth": 1 }),
        json!({ "kind": "reboot" }),
        json!({ "kind": "factory_reset" }),
        json!({ "kind": "download", "image": "a.bin", "delay_s": 1 }),
        json!({ "kind": "schedule_download", "image": "a.bin", "windows": windows }),
        json!({ "kind": "upload", "file_type": "2 Vendor Log File", "delay_s": 1 }),
        json!({ "kind": "get_transfers", "all": true }),
        json!({ "kind": "schedule_inform", "delay_s": 1 }),
        json!({ "kind": "change_du_state", "operations": operations }),
        json!({ "kind": "get_rpc_methods" }),
        json!({ "kind": "get_options", "option": "x" }),
        json!({ "kind": "set_vouchers", "vouchers": ["PGE+"] }),
    ] {
        let with = |key: &str, value: Value| {
            let mut body = kind.clone();
            body[key] = value;
            Some(body)
        };
        let taken = scene.call(&call, with("retry", json!("5m"))).await;
        assert_eq!(taken.status, StatusCode::ACCEPTED, "{kind}: {:?}", taken.json);
        assert_eq!((&taken.json["retry"], &taken.json["attempts"]), (&json!("300s"), &json!(0)));
        assert_eq!(taken.json["kind"], kind["kind"]);
        let refused = scene.call(&call, with("stray", json!(1))).await;
        assert_eq!(refused.code(), "invalid_body", "{kind}");
    }
    for retry in [json!("0s"), json!("25h"), json!(300), json!("soon")] {
        let refused = scene.call(&call, Some(json!({ "kind": "reboot", "retry": retry }))).await;
        assert_eq!(refused.code(), "invalid_body", "{retry}");
    }
}
