//! The life of a board, as the console meets it.

use super::scene::{BOARD, PHONE, ROUTER_URL, Scene, id, other};
use axum::http::StatusCode;
use model::{Event, EventType, Fact, Json, Tenant};
use serde_json::{Value, json};

const URL: &str = "/api/v1/devices/imei:490154203237518";

/// The board says this on the boards' topic.
async fn say(scene: &Scene, payload: Value) {
    let data = format!(r#"{{"topic":"customer_mngt","qos":1,"payload":{payload}}}"#);
    let event = Event {
        tenant: Tenant::default(),
        device: id(BOARD),
        kind: EventType::TELEMETRY_RECEIVED,
        time: scene.state.clock.now().wall,
        data: Json::from_stored(data),
        facts: None,
    };
    scene.pipeline.record(vec![Fact::Event(event)]).await;
}

async fn set(scene: &Scene, number: u8) -> super::scene::Answer {
    let call = format!("PUT {URL}/board-status");
    scene.call(&call, Some(json!({ "board_status": number }))).await
}

#[tokio::test]
async fn the_console_says_when_a_contract_begins_and_ends() {
    let scene = Scene::furnished().await;
    let shown = scene.call(&format!("GET {URL}"), None).await;
    assert!(shown.json.get("board_status").is_none() && shown.json.get("trouble").is_none());
    let refused = set(&scene, 1).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "board_status_refused"));
    assert!(refused.json["detail"].as_str().unwrap().contains("(not_inspected)"));

    say(&scene, json!({"imei": "490154203237518", "STATUS": 0, "sketch_ver": "0.0.1"})).await;
    let lines = scene.audit_len(&Tenant::default()).await;
    let answer = set(&scene, 1).await;
    assert_eq!((answer.status, &answer.json["board_status"]), (StatusCode::OK, &json!(1)));
    let (actor, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*actor, &*action, &*subject), ("admin", "board.status", BOARD));
    assert_eq!(detail, json!({ "board_status": 1 }));
    assert_eq!(set(&scene, 1).await.status, StatusCode::OK, "it is so already");
    assert_eq!(scene.audit_len(&Tenant::default()).await, lines + 1);
    for number in [0, 2, 3] {
        assert_eq!(set(&scene, number).await.status, StatusCode::CONFLICT, "{number}");
    }
    assert_eq!(set(&scene, 4).await.json["board_status"], 4);

    let shown = scene.call(&format!("GET {URL}"), None).await;
    assert_eq!(shown.json["board_status"], 4);
    assert!(shown.json["board_status_since"].is_string());
    assert_eq!(
        (&shown.json["sketch_ver"], &shown.json["trouble"]),
        (&json!("0.0.1"), &json!(false))
    );
    assert_eq!(shown.json["software_version"], "0.0.1");

    let page = scene.call(&format!("GET {URL}/board/history?limit=2"), None).await;
    let words = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|it| format!("{} {} {}", it["old"], it["new"], it["actor"])).collect::<Vec<_>>()
    };
    assert_eq!(words(&page.json), ["1 4 \"console\"", "0 1 \"console\""]);
    assert_eq!(page.json["items"][0]["by"], "admin");
    let next = page.json["next"].as_str().unwrap();
    let page = scene.call(&format!("GET {URL}/board/history?cursor={next}"), None).await;
    assert_eq!(words(&page.json), ["null 0 \"board\""]);
    assert_eq!(page.json["items"][0]["evidence"], "report");
    assert!(page.json.get("next").is_none());
}

#[tokio::test]
async fn the_console_keeps_what_it_knows_of_a_board() {
    let scene = Scene::furnished().await;
    let call = format!("PUT {URL}/board");
    let body = json!({"expected_imsi": "295000012345678", "sim_status": "active", "trouble": true});
    let answer = scene.call(&call, Some(body.clone())).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*action, &*subject, detail), ("board.put", BOARD, body));
    let expected =
        json!({"expected_imsi": "295000012345678", "sim_status": "active", "trouble": true});
    assert_eq!(answer.json, expected);
    let answer = scene.call(&call, Some(json!({"sim_status": null, "trouble": false}))).await;
    assert_eq!(answer.json, json!({"expected_imsi": "295000012345678", "trouble": false}));

    say(&scene, json!({"STATUS": 0})).await;
    scene.call(&call, Some(json!({"expected_imsi": "295000012345678"}))).await;
    set(&scene, 1).await;
    say(&scene, json!({"imsi": "295000012345679"})).await;
    let shown = scene.call(&format!("GET {URL}"), None).await;
    assert_eq!(
        (&shown.json["board_status"], &shown.json["imsi_as_expected"]),
        (&json!(2), &json!(false))
    );

    for wrong in [
        json!({"expected_imsi": "1"}),
        json!({"expected_imsi": "440525060010923"}),
        json!({"sim_status": "Active"}),
        json!({"trouble": "yes"}),
        json!({"imsi": "295000012345678"}),
    ] {
        let answer = scene.call(&call, Some(wrong.clone())).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let answer =
        scene.call(&format!("PUT {URL}/board-status"), Some(json!({"board_status": 5}))).await;
    assert_eq!(answer.code(), "invalid_body");
}

#[tokio::test]
async fn only_boards_of_one_s_own_have_such_a_life() {
    let scene = Scene::furnished().await;
    let body = Some(json!({ "board_status": 1 }));
    for device in [ROUTER_URL.to_owned(), format!("/api/v1/devices/{PHONE}").replace('+', "%2B")] {
        let answer = scene.call(&format!("PUT {device}/board-status"), body.clone()).await;
        assert_eq!(answer.code(), "wrong_protocol", "{device}");
    }
    let token = scene.make_token(&other(), "admin").await;
    for call in [format!("PUT {URL}/board-status"), format!("GET {URL}/board/history")] {
        let body = body.clone().filter(|_| call.starts_with("PUT"));
        let answer = scene.call_as(Some(&token), &call, body).await;
        assert_eq!(answer.code(), "no_such_device", "{call}");
    }
}
