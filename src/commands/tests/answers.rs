//! What boards answer, and what they do not.

use super::*;
use model::{Event, EventType, Fact};
use serde_json::{Value, json};

/// A scene with a board, for which a message that wants an answer is queued.
async fn asked(retry_s: Option<u64>) -> (Scene, DeviceId, Command) {
    let scene = Scene::new(1_000).await;
    let board = DeviceId::mqtt("b1").unwrap();
    scene.desk.registry.apply_operation(&Operation::PutDevice {
        tenant: Tenant::default(),
        device: board.clone(),
        facts: model::DeviceFacts::default(),
        at: scene.desk.clock.now().wall,
    });
    let kind =
        json!({"kind": "publish", "topic": "boards/b1/down/x", "payload": 1, "answer": true});
    let request = NewCommand {
        device: board.clone(),
        kind: serde_json::from_value(kind).unwrap(),
        retry: retry_s.map(Duration::from_secs),
        ..scene.request(None)
    };
    let command = scene.desk.submit(request).await.unwrap();
    (scene, board, command)
}

fn event(device: &DeviceId, data: &str) -> Event {
    Event {
        tenant: Tenant::default(),
        device: device.clone(),
        kind: EventType::TELEMETRY_RECEIVED,
        time: Timestamp::UNIX_EPOCH,
        data: Json::from_stored(data.to_owned()),
        facts: None,
    }
}

fn on_topic(device: &DeviceId, id: &CommandId, content: &str) -> Event {
    event(device, &format!(r#"{{"topic":"boards/b1/up/answers/{id}","qos":1,{content}}}"#))
}

fn with_correlation(device: &DeviceId, id: &CommandId, retain: &str) -> Event {
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, id.as_str());
    let properties = format!(r#""properties":{{"correlation_data_base64":"{base64}"}}"#);
    event(
        device,
        &format!(r#"{{"topic":"boards/b1/up/x","qos":1,{retain}{properties},"text":"a"}}"#),
    )
}

async fn goes_out(scene: &Scene, id: &CommandId) -> Command {
    scene.change(CommandChange::new(id.clone(), CommandState::Sent)).await;
    scene.change(CommandChange::new(id.clone(), CommandState::Delivered)).await;
    scene.desk.look_up(id).unwrap()
}

#[tokio::test]
async fn an_answer_is_known_by_its_topic_or_its_correlation_data() {
    let (scene, board, command) = asked(None).await;
    let other = DeviceId::mqtt("b2").unwrap();
    let id = &command.id;
    let ends = |event: &Event| {
        let changes = scene.desk.answered(std::slice::from_ref(event));
        changes.into_iter().next().map(|it| {
            assert_eq!((&it.id, it.state), (id, CommandState::Done));
            serde_json::from_str::<Value>(it.result.unwrap().as_str()).unwrap()
        })
    };
    let topic = format!("boards/b1/up/answers/{id}");
    for (content, value) in [
        (r#""payload":{"on":true}"#, json!({"topic": topic, "payload": {"on": true}})),
        (r#""payload":null"#, json!({"topic": topic, "payload": null})),
        (r#""retain":true,"text":"a \"b\"""#, json!({"topic": topic, "text": "a \"b\""})),
        (r#""data_base64":"AAE=""#, json!({"topic": topic, "data_base64": "AAE="})),
    ] {
        assert_eq!(ends(&on_topic(&board, id, content)), Some(value));
    }
    let by_correlation = Some(json!({"topic": "boards/b1/up/x", "text": "a"}));
    assert_eq!(ends(&with_correlation(&board, id, "")), by_correlation);
    assert_eq!(ends(&with_correlation(&board, id, r#""retain":true,"#)), by_correlation);

    let unknown = CommandId::new("334").unwrap();
    for event in [
        on_topic(&other, id, r#""text":"a""#),
        with_correlation(&other, id, ""),
        Event { tenant: Tenant::new("else").unwrap(), ..on_topic(&board, id, r#""text":"a""#) },
        Event { kind: EventType::MESSAGE_PUBLISHED, ..on_topic(&board, id, r#""text":"a""#) },
        Event { kind: EventType::WILL_PUBLISHED, ..on_topic(&board, id, r#""text":"a""#) },
        on_topic(&board, &unknown, r#""text":"a""#),
        with_correlation(&board, &unknown, ""),
        event(&board, &format!(r#"{{"topic":"boards/b1/up/{id}","qos":1,"text":"a"}}"#)),
        event(&board, &format!(r#"{{"topic":"boards/b1/up/answers/{id}/x","qos":1,"text":"a"}}"#)),
        event(&board, r#"{"topic":"boards/b1/up/x","qos":1,"payload":{"properties":1}}"#),
    ] {
        assert_eq!(ends(&event), None, "{event:?}");
    }
}

#[tokio::test]
async fn an_answer_ends_its_command_whether_or_not_it_was_acknowledged() {
    let (scene, board, first) = asked(None).await;
    let second = scene.desk.submit(NewCommand {
        device: board.clone(),
        kind: first.kind.clone(),
        ..scene.request(None)
    });
    let second = second.await.unwrap();
    scene.change(CommandChange::new(first.id.clone(), CommandState::Sent)).await;
    let delivered = goes_out(&scene, &second.id).await;
    assert_eq!((delivered.state, delivered.retry_at), (CommandState::Delivered, None));
    for id in [&first.id, &second.id] {
        let answer = Fact::Event(on_topic(&board, id, r#""payload":[1]"#));
        // It comes twice.
        let recorded = scene.pipeline.record(vec![answer.clone(), answer]).await;
        assert_eq!(recorded.of(0), Settlement::Committed);
        let ended = scene.desk.command(&Tenant::default(), id).await.unwrap();
        assert_eq!((ended.state, ended.cause), (CommandState::Done, None));
        let result: Value = serde_json::from_str(ended.result.unwrap().as_str()).unwrap();
        assert_eq!(result["payload"], json!([1]));
        let late = CommandChange::new(id.clone(), CommandState::Delivered);
        assert_eq!(scene.change(late).await, Settlement::Overtaken);
    }
    assert!(scene.desk.is_empty());
    assert_eq!(scene.desk.awaited.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_not_answered_is_sent_again_and_expires() {
    let (scene, board, command) = asked(Some(60)).await;
    let id = &command.id;
    let queued = |desk: &Desk| desk.queued(&Tenant::default(), &board).len();
    let due = |command: &Command| {
        let at = command.retry_at.unwrap();
        (at, at.duration_since(command.updated_at).as_secs())
    };
    let (at, pause_s) = due(&goes_out(&scene, id).await);
    assert_eq!((pause_s, queued(&scene.desk)), (60, 0));
    let early = at.checked_sub(SignedDuration::from_secs(1)).unwrap();
    assert!(scene.desk.unanswered(early).is_empty());
    // Not kept the first time: it is due again.
    let now = scene.desk.clock.now().wall;
    for _ in 0..2 {
        let again = scene.desk.unanswered(at);
        assert_eq!(again.len(), 1, "{again:?}");
        assert_eq!((&again[0].id, again[0].state), (id, CommandState::Queued));
    }
    let again = scene.desk.unanswered(at).remove(0).not_before(now);
    scene.change(again).await;
    assert_eq!((scene.desk.unanswered(at).len(), queued(&scene.desk)), (0, 1));
    let waiting = scene.desk.look_up(id).unwrap();
    assert_eq!(waiting.cause.as_deref(), Some("the board did not answer in time"));

    let (at, pause_s) = due(&goes_out(&scene, id).await);
    assert_eq!(pause_s, 120, "it doubles");
    let (desk, _wakes) = scene.another_desk().await;
    assert_eq!((queued(&desk), desk.unanswered(early).len()), (0, 0));
    assert_eq!(desk.unanswered(at).len(), 1, "a restart does not change that");

    let expired = scene.desk.expired(command.expires_at.unwrap());
    let [change] = expired.as_slice() else { panic!("{expired:?}") };
    assert_eq!(change.cause.as_deref(), Some("the board did not answer in time"));
    scene.change(change.clone()).await;
    assert_eq!(scene.state(id).await, CommandState::Expired);
    assert!(scene.desk.unanswered(at).is_empty());
}
