//! Tokens, the audit trail, sinks and their dead letters.

use super::super::Mirror as _;
use super::super::access::{Access, bootstrap_token};
use super::scene::{BOARD, ROUTER_URL, Scene, id, other};
use crate::secrets::{KEY_LEN, Vault};
use crate::store::{NewDeadLetter, Operation, Position, StoredEvent, TokenRow};
use axum::http::StatusCode;
use config::Config;
use jiff::Timestamp;
use model::Tenant;
use serde_json::json;

#[tokio::test]
async fn a_token_is_made_told_once_used_and_revoked() {
    let scene = Scene::furnished().await;
    let body = json!({ "name": "dashboard", "role": "reader" });
    let made = scene.call("POST /api/v1/tokens", Some(body.clone())).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!((&made.json["role"], &made.json["tenant"]), (&json!("reader"), &json!("default")));
    let token = made.json["token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 43, "256 bits");
    let detail = json!({ "role": "reader", "tenant": "default" });
    let line = ("admin".into(), "token.create".into(), "dashboard".into(), detail);
    assert_eq!(scene.last_audit().await, line);
    let used = scene.call_as(Some(&token), "GET /api/v1/devices", None).await;
    assert_eq!(used.status, StatusCode::OK);

    let list = scene.call("GET /api/v1/tokens", None).await;
    let names: Vec<_> =
        list.json["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["admin", "dashboard"]);
    assert!(!list.text.contains(&token) && !list.text.contains("hash"), "{list:?}");

    let taken = scene.call("POST /api/v1/tokens", Some(body)).await;
    assert_eq!(taken.code(), "conflict");
    let revoked = scene.call("DELETE /api/v1/tokens/dashboard", None).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.last_audit().await.1, "token.revoke");
    let refused = scene.call_as(Some(&token), "GET /api/v1/devices", None).await;
    assert_eq!(refused.code(), "unauthorised");
    assert_eq!(scene.call("DELETE /api/v1/tokens/dashboard", None).await.code(), "no_such_token");
    for body in [
        json!({ "name": "", "role": "reader" }),
        json!({ "name": "x", "role": "emperor" }),
        json!({ "name": "x" }),
        json!({ "name": "x", "role": "reader", "tenant": "Not A Tenant" }),
        json!({ "name": "x", "role": "reader", "expires": "1h" }),
    ] {
        let answer = scene.call("POST /api/v1/tokens", Some(body.clone())).await;
        assert_eq!(answer.code(), "invalid_body", "{body}");
    }
}

#[tokio::test]
async fn nobody_hands_out_more_than_he_has() {
    let scene = Scene::new().await;
    // Of all permissions only the one to make tokens (the last of them).
    let index = config::Permission::ALL.len() - 1;
    let maker = scene.make_token(&Tenant::default(), &format!("only{index}")).await;
    let body = json!({ "name": "x", "role": "admin" });
    let answer = scene.call_as(Some(&maker), "POST /api/v1/tokens", Some(body)).await;
    assert_eq!(answer.code(), "forbidden");
    let same = json!({ "name": "x", "role": format!("only{index}") });
    let answer = scene.call_as(Some(&maker), "POST /api/v1/tokens", Some(same)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
}

#[tokio::test]
async fn only_the_operators_own_tenant_names_another() {
    let scene = Scene::new().await;
    let body = json!({ "name": "theirs", "role": "admin", "tenant": "other" });
    let made = scene.call("POST /api/v1/tokens", Some(body)).await;
    assert_eq!((made.status, &made.json["tenant"]), (StatusCode::CREATED, &json!("other")));
    let theirs = made.json["token"].as_str().unwrap();
    let grant = scene.state.access.sign_in(theirs).unwrap();
    assert_eq!(grant.tenant, other());
    let body = json!({ "name": "spy", "role": "reader", "tenant": "default" });
    for (call, body) in [
        ("POST /api/v1/tokens", Some(body)),
        ("GET /api/v1/tokens?tenant=default", None),
        ("DELETE /api/v1/tokens/admin?tenant=default", None),
    ] {
        let answer = scene.call_as(Some(theirs), call, body).await;
        assert_eq!(answer.code(), "forbidden", "{call}");
    }
    let list = scene.call("GET /api/v1/tokens?tenant=other", None).await;
    assert_eq!(list.json["items"][0]["name"], "theirs");
    let gone = scene.call("DELETE /api/v1/tokens/theirs?tenant=other", None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert!(scene.state.access.sign_in(theirs).is_none());
}

#[tokio::test]
async fn the_first_token_is_an_admin() {
    let scene = Scene::new().await;
    let first = bootstrap_token(&scene.state.vault, scene.state.clock.now().wall);
    assert!(!format!("{first:?}").contains(first.token.expose()));
    scene.state.writer.transact(first.operations.clone()).await.unwrap();
    assert!(scene.state.access.sign_in(first.token.expose()).is_none(), "not known yet");
    first.operations.iter().for_each(|operation| scene.state.access.committed(operation));
    let token = Some(first.token.expose().as_str());
    assert_eq!(scene.call_as(token, "GET /api/v1/tokens", None).await.status, StatusCode::OK);
    let (actor, action, subject, _) = scene.last_audit().await;
    assert_eq!((&*actor, &*action, &*subject), ("daemon", "token.create", "operator"));
}

#[tokio::test]
async fn the_trail_is_shown_newest_first_in_pages() {
    let scene = Scene::furnished().await;
    for tag in ["a", "b", "c"] {
        scene.call(&format!("PUT {ROUTER_URL}/tags/{tag}"), None).await;
    }
    let all = scene.call("GET /api/v1/audit", None).await;
    let items = all.json["items"].as_array().unwrap();
    let tags: Vec<_> = items.iter().map(|it| it["detail"]["tag"].as_str().unwrap()).collect();
    assert_eq!(tags, ["c", "b", "a"]);
    assert_eq!(items[0]["action"], "device.tag.put");
    let first = scene.call("GET /api/v1/audit?limit=2", None).await.json;
    let next = first["next"].as_str().unwrap();
    let rest = scene.call(&format!("GET /api/v1/audit?limit=2&cursor={next}"), None).await.json;
    assert_eq!(rest["items"], json!([items[2]]));
    assert!(rest["next"].is_null());
    for call in ["PUT", "POST", "DELETE"] {
        let answer = scene.call(&format!("{call} /api/v1/audit"), None).await;
        assert_eq!(answer.code(), "method_not_allowed", "append-only");
    }
}

/// A sink that has not got the last of two events, and would not take the first.
async fn with_sink(scene: &Scene, name: &str) {
    for _ in 0..2 {
        scene.meet(&Tenant::default(), BOARD, model::DeviceFacts::default()).await;
    }
    let reader: Box<str> = format!("sink:{name}").into();
    let event = StoredEvent {
        position: Position { shard: 0, sequence: 1 },
        tenant: Tenant::default(),
        device: id(BOARD),
        kind: "lastmile.device.bootstrapped".into(),
        time: scene.state.clock.now().wall,
        data: model::Json::empty_object(),
    };
    let parked = vec![NewDeadLetter { event, reason: "422".into() }];
    let to = Position { shard: 0, sequence: 1 };
    let at = scene.state.clock.now().wall;
    let advance = Operation::AdvanceCursor { name: reader.clone(), to, parked, at };
    scene.commit(vec![Operation::PutCursor { name: reader, required: true }, advance]).await;
}

#[tokio::test]
async fn sinks_are_shown_with_their_lag_and_dropped_once_removed() {
    let scene = Scene::new().await;
    // Before there is any event, a cursor stands at the start.
    for name in ["erp", "old"] {
        let name = format!("sink:{name}").into();
        scene.commit(vec![Operation::PutCursor { name, required: true }]).await;
    }
    for _ in 0..3 {
        scene.meet(&Tenant::default(), BOARD, model::DeviceFacts::default()).await;
    }
    let (name, at) = ("sink:erp".into(), scene.state.clock.now().wall);
    let to = Position { shard: 0, sequence: 2 };
    scene.commit(vec![Operation::AdvanceCursor { name, to, parked: Vec::new(), at }]).await;
    let count = Operation::CountSkipped { name: "sink:old".into(), events: 7 };
    scene.commit(vec![count]).await;
    let sinks = scene.call("GET /api/v1/sinks", None).await;
    let expected = json!([
        { "name": "erp", "configured": true, "required": true, "done": ["0-2"], "lag_events": 1,
          "skipped_events": 0 },
        { "name": "old", "configured": false, "required": true, "done": ["0-0"], "lag_events": 3,
          "skipped_events": 7 },
    ]);
    assert_eq!(sinks.json["items"], expected);

    let in_use = scene.call("DELETE /api/v1/sinks/erp", None).await;
    assert_eq!((in_use.status, in_use.code()), (StatusCode::CONFLICT, "sink_configured"));
    let dropped = scene.call("DELETE /api/v1/sinks/old", None).await;
    assert_eq!(dropped.status, StatusCode::NO_CONTENT);
    let line = ("admin".into(), "sink.drop".into(), "old".into(), json!({}));
    assert_eq!(scene.last_audit().await, line);
    assert_eq!(scene.call("DELETE /api/v1/sinks/old", None).await.code(), "no_such_sink");
    let names = scene.call("GET /api/v1/sinks", None).await.json;
    assert_eq!(names["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn dead_letters_are_shown_and_tried_again() {
    let scene = Scene::new().await;
    with_sink(&scene, "erp").await;
    let list = scene.call("GET /api/v1/dead-letters?sink=erp", None).await;
    let letter = &list.json["items"][0];
    assert_eq!((&letter["sink"], &letter["reason"]), (&json!("erp"), &json!("422")), "{list:?}");
    assert_eq!(letter["event"]["subject"], BOARD);
    assert_eq!(letter["event"]["id"], "0-1");
    assert_eq!(letter["replay_at"], json!(null));
    let number = letter["id"].to_string();
    let other_sink = scene.call("GET /api/v1/dead-letters?sink=crm", None).await;
    assert_eq!(other_sink.json["items"], json!([]));

    let replay = scene.call(&format!("POST /api/v1/dead-letters/{number}/replay"), None).await;
    assert_eq!(replay.status, StatusCode::ACCEPTED);
    let line = ("admin".into(), "dead_letter.replay".into(), number.clone(), json!({}));
    assert_eq!(scene.last_audit().await, line);
    let list = scene.call("GET /api/v1/dead-letters", None).await;
    assert!(list.json["items"][0]["replay_at"].is_string());
    for number in ["999", "x"] {
        let answer = scene.call(&format!("POST /api/v1/dead-letters/{number}/replay"), None).await;
        assert_eq!(answer.code(), "no_such_dead_letter", "{number}");
    }
    let stranger = scene.make_token(&other(), "admin").await;
    let call = format!("POST /api/v1/dead-letters/{number}/replay");
    assert_eq!(scene.call_as(Some(&stranger), &call, None).await.code(), "no_such_dead_letter");
}

#[test]
fn tokens_that_one_person_may_have_made_are_one_persons() {
    let access = Access::new(Vault::new(&[7; KEY_LEN]), Config::default().roles);
    let name = |name: &str| (Tenant::default(), Box::<str>::from(name));
    let row = |(number, (own, maker)): (u8, (&str, Option<&str>))| TokenRow {
        tenant: Tenant::default(),
        name: own.into(),
        hash: [number; 32],
        role: "admin".into(),
        created_at: Timestamp::UNIX_EPOCH,
        made_by: maker.map(name),
        is_revoked: own == "ada2",
        acl: None,
    };
    let made = [
        ("operator", None),
        ("ada", Some("operator")),
        ("bob", Some("operator")),
        ("ada2", Some("ada")),
        ("ada3", Some("ada2")),
        ("ada4", Some("ada")),
    ];
    access.load((1..).zip(made).map(row));
    let may = |one: &str, other: &str| {
        let both = [(one, other), (other, one)].map(|(a, b)| access.may_be_one(&name(a), &name(b)));
        assert_eq!(both[0], both[1], "{one} {other}");
        both[0]
    };
    for (one, other) in [
        ("ada", "ada"),
        ("operator", "ada"),
        ("ada", "ada2"),
        // By way of one that is revoked.
        ("ada", "ada3"),
        ("ada3", "ada4"),
        ("operator", "ada3"),
    ] {
        assert!(may(one, other), "{one} {other}");
    }
    for (one, other) in [("ada", "bob"), ("ada3", "bob"), ("bob", "nobody")] {
        assert!(!may(one, other), "{one} {other}");
    }
    let stranger = (Tenant::new("north").unwrap(), "ada".into());
    assert!(!access.may_be_one(&name("ada"), &stranger), "another of the same name");
}
