//! Sessions begin, are taken over, wait, expire; their wills with them.

use super::scene::{in_s, will};
use super::*;

async fn leave_with_will(scene: &Scene, seat: &Seat, delay_s: u64) {
    let will = Some((Duration::from_secs(delay_s), will("gone")));
    scene.leave_with(seat, &state(&["d"]), will).await;
}

#[tokio::test]
async fn a_clean_start_forgets_what_was_kept() {
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.leave(&seat, &state(&["d"])).await;
    scene.publish("d=1").await;
    assert_eq!(scene.exchange.sessions_kept(), 1);
    let opened = scene.exchange.open(scene.opening(&board("1"), true)).await.unwrap();
    assert_eq!(opened.resumed, None);
    assert_eq!((scene.rows().await, scene.exchange.sessions_kept()), (0, 0));
    assert!(scene.take(&opened.seat).await.is_empty());
    scene = scene.restart().await;
    assert_eq!(scene.connect(&board("1")).await.resumed, None);
}

#[tokio::test]
async fn late_words_of_a_connection_that_was_taken_over_change_nothing() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let old = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.publish("d=1").await;
    let taken = scene.take(&old).await;
    let new = scene.connect(&board("1")).await;
    assert_eq!(new.resumed, Some(state(&["d"])));
    scene.exchange.acknowledged(&old, &keys(&taken));
    assert_eq!(scene.exchange.keep(&old, &state(&[])).unwrap_err(), Gone);
    let mut late = scene.exchange.closing(&old, Some(&state(&[])), None);
    assert!(late.take_operations().is_empty());
    assert!(scene.take(&old).await.is_empty());
    assert_eq!(keys(&scene.take(&new.seat).await), keys(&taken), "handed out anew");
    scene.publish("d=2").await;
    assert_eq!(scene.texts(&new.seat).await, ["2"]);
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over_and_what_it_missed_is_told() {
    for is_restarted in [false, true] {
        let mut scene = Scene::new(ExchangeOptions::default()).await;
        let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
        scene.leave(&seat, &state(&["d"])).await;
        scene.publish("d=1").await;
        if is_restarted {
            scene = scene.restart().await;
        }
        scene.exchange.look(in_s(&scene, 3_590)).await;
        assert_eq!(scene.exchange.sessions_kept(), 1);
        scene.exchange.look(in_s(&scene, 3_601)).await;
        assert_eq!((scene.rows().await, scene.exchange.sessions_kept()), (0, 0));
        let told = scene.events(EventType::MESSAGE_DROPPED).await;
        assert!(told[0].data.as_str().contains(r#""cause":"session_ended""#));
        scene.publish("d=2").await;
        assert_eq!(scene.rows().await, 0);
        assert_eq!(scene.connect(&board("1")).await.resumed, None);
    }
}

#[tokio::test]
async fn a_session_that_was_connected_at_a_crash_waits_from_then_on() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let _seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    let scene = scene.crash().await;
    scene.exchange.look(in_s(&scene, 3_590)).await;
    assert_eq!(scene.exchange.sessions_kept(), 1);
    scene.exchange.look(in_s(&scene, 3_601)).await;
    assert_eq!(scene.exchange.sessions_kept(), 0);
}

#[tokio::test]
async fn a_will_waits_for_its_delay_and_goes_where_it_is_subscribed_to() {
    for is_restarted in [false, true] {
        let mut scene = Scene::new(ExchangeOptions::default()).await;
        let watcher = state(&["w"]);
        let seat = scene.subscribe(&board("watcher"), &watcher).await;
        scene.leave(&seat, &watcher).await;
        let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
        leave_with_will(&scene, &seat, 60).await;
        if is_restarted {
            scene = scene.restart().await;
        }
        scene.exchange.look(in_s(&scene, 50)).await;
        assert!(scene.events(EventType::WILL_PUBLISHED).await.is_empty());
        scene.exchange.look(in_s(&scene, 61)).await;
        scene.exchange.look(in_s(&scene, 62)).await;
        let told = scene.events(EventType::WILL_PUBLISHED).await;
        assert_eq!((told.len(), &told[0].device), (1, &board("1")));
        let seat = scene.subscribe(&board("watcher"), &watcher).await;
        assert_eq!(scene.texts(&seat).await, ["gone"]);
        scene = scene.restart().await;
        scene.exchange.look(in_s(&scene, 120)).await;
        assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 1, "once");
        assert_eq!(scene.exchange.sessions_kept(), 2);
    }
}

#[tokio::test]
async fn a_will_is_not_published_for_who_comes_back_and_is_at_a_sessions_end() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    leave_with_will(&scene, &seat, 60).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.exchange.look(in_s(&scene, 100)).await;
    assert!(scene.events(EventType::WILL_PUBLISHED).await.is_empty());
    // The session ends before the delay.
    leave_with_will(&scene, &seat, 100_000).await;
    scene.exchange.look(in_s(&scene, 3_601)).await;
    assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 1);
    // So it does with a clean start.
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    leave_with_will(&scene, &seat, 60).await;
    scene.exchange.open(scene.opening(&board("1"), true)).await.unwrap();
    assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 2);
}

#[tokio::test]
async fn no_more_sessions_are_kept_than_may_be() {
    let options = ExchangeOptions {
        sessions_max: 1,
        session_expiry_max: Duration::from_secs(10),
        ..ExchangeOptions::default()
    };
    let scene = Scene::new(options).await;
    let opened = scene.connect(&board("1")).await;
    assert_eq!(opened.session_expiry_max, Duration::from_secs(10));
    scene.keep(&opened.seat, &state(&["d"])).await;
    let second = scene.connect(&board("2")).await;
    assert_eq!(second.session_expiry_max, Duration::ZERO);
    scene.keep(&second.seat, &state(&["d"])).await;
    assert_eq!(scene.exchange.sessions_kept(), 1);
    scene.publish("d=1").await;
    assert_eq!(scene.texts(&second.seat).await, ["1"], "served while it is there");
    scene.leave(&second.seat, &state(&["d"])).await;
    scene.leave(&opened.seat, &state(&["d"])).await;
    scene.exchange.look(in_s(&scene, 11)).await;
    assert_eq!(scene.exchange.sessions_kept(), 0, "no longer than may be, whatever it asks for");
}

#[tokio::test]
async fn what_is_asked_to_be_kept_no_more_is_not() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.publish("d=1").await;
    let passing = SessionState { expiry_s: 0, ..state(&["d"]) };
    scene.leave(&seat, &passing).await;
    assert_eq!((scene.rows().await, scene.exchange.sessions_kept()), (0, 0));
    let scene = scene.restart().await;
    assert_eq!(scene.connect(&board("1")).await.resumed, None);
}

#[tokio::test]
async fn subscriptions_change_and_go() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["a", "b/#"])).await;
    scene.keep(&seat, &state(&["b/#", "c"])).await;
    scene.publish("a=1 b/x=2 c=3").await;
    assert_eq!(scene.texts(&seat).await, ["2", "3"]);
    scene.keep(&seat, &SessionState { expiry_s: 0, ..state(&["b/#", "c"]) }).await;
    scene.leave(&seat, &SessionState { expiry_s: 0, ..state(&["b/#", "c"]) }).await;
    assert!(scene.exchange.index.read().is_empty());
    assert!(scene.exchange.by_number.is_empty() && scene.exchange.sessions.is_empty());
}

#[tokio::test]
async fn what_changes_with_every_packet_is_written_without_what_does_not() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    let begun = |unreleased: &[u16]| {
        let unreleased = unreleased.to_vec();
        SessionState { unreleased, ..state(&["d"]) }
    };
    let keep = |state: SessionState, is_kept: bool| {
        let mut keeping = scene.exchange.keep(&seat, &state).unwrap();
        let operations = keeping.take_operations();
        let (exchange, writer, written) = (&scene.exchange, &scene.writer, operations.clone());
        async move {
            if is_kept {
                writer.append(Vec::new(), written).await.unwrap();
            }
            exchange.settle(keeping, is_kept);
            operations
        }
    };
    assert!(keep(state(&["d"]), true).await.is_empty(), "as it is");
    for is_kept in [false, true] {
        let operations = keep(begun(&[7]), is_kept).await;
        assert!(matches!(operations[..], [Operation::Mqtt(MqttChange::PutFlight { .. })]));
    }
    assert!(keep(begun(&[7]), true).await.is_empty());
    for is_kept in [false, true] {
        let shorter = SessionState { expiry_s: 60, ..begun(&[7, 8]) };
        let operations = keep(shorter, is_kept).await;
        assert!(matches!(operations[..], [Operation::Mqtt(MqttChange::PutSession(_))]), "both");
    }
    let scene = scene.crash().await;
    let kept = Some(SessionState { expiry_s: 60, ..begun(&[7, 8]) });
    let opened = scene.connect(&board("1")).await;
    assert_eq!(opened.resumed, kept);
    scene.leave(&opened.seat, &begun(&[])).await;
    assert_eq!(scene.restart().await.connect(&board("1")).await.resumed, Some(begun(&[])));
}

#[tokio::test]
async fn a_session_that_an_earlier_version_kept_goes_on() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let state = Json::from_stored(
        r##"{"session":{"subscriptions":[{"filter":"d","qos":1}],"unreleased":[9],
            "inflight":[{"key":3,"packet_id":4,"is_received":true}],"expiry_s":3600},
            "readable":["#"]}"##
            .to_owned(),
    );
    let row = crate::store::MqttSessionRow {
        number: 5,
        tenant: Tenant::default(),
        owner: board("1"),
        client_id: "1".into(),
        state,
        flight: None,
        expiry_s: 3_600,
        left_at: None,
        will: None,
    };
    let change = Operation::Mqtt(MqttChange::PutSession(row));
    scene.writer.transact(vec![change]).await.unwrap();
    let scene = scene.restart().await;
    let resumed = scene.connect(&board("1")).await.resumed.unwrap();
    assert_eq!((&resumed.unreleased[..], resumed.inflight[0].packet_id), (&[9][..], 4));
    assert_eq!(resumed.subscriptions, [record("d", 1)]);
}
