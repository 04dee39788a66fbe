//! Connections that end while the store takes no more.

use super::scene::{in_s, will};
use super::*;

/// Ends a connection whose last words are refused; whether they were.
async fn leave_refused(
    scene: &Scene,
    seat: &Seat,
    state: &SessionState,
    will: Option<Json>,
) -> bool {
    let mut keeping = scene.exchange.closing(seat, Some(state), None);
    let operations = keeping.take_operations();
    let is_refused = scene.writer.append(Vec::new(), operations).await.is_err();
    let operations = scene.exchange.left_unwritten(keeping, will);
    if !operations.is_empty() {
        scene.writer.transact(operations).await.unwrap();
    }
    is_refused
}

async fn readers(scene: &Scene) -> usize {
    let cursors = scene.store.cursors().await.unwrap();
    cursors.iter().filter(|cursor| cursor.name.starts_with("mqtt:")).count()
}

#[tokio::test]
async fn a_session_that_is_to_end_ends_and_holds_nothing_back() {
    let scene = Scene::small().await;
    let all = state(&["#", "$share/g/a"]);
    let seat = scene.subscribe(&program("panel"), &all).await;
    scene.fill().await;
    assert_eq!(readers(&scene).await, 1);
    let passing = SessionState { expiry_s: 0, ..all };
    assert!(leave_refused(&scene, &seat, &passing, None).await);
    assert!(scene.store.cursors().await.unwrap().is_empty());
    assert_eq!(scene.exchange.sessions_kept(), 0);
    assert!(scene.exchange.by_number.is_empty());
}

#[tokio::test]
async fn a_session_that_is_kept_stays_as_it_is_on_disk() {
    let scene = Scene::small().await;
    let wanted = state(&["d"]);
    let seat = scene.subscribe(&board("1"), &wanted).await;
    scene.publish("d=1").await;
    scene.fill().await;
    let more = SessionState { unreleased: vec![7], ..state(&["d", "e"]) };
    assert!(leave_refused(&scene, &seat, &more, None).await);
    let opened = scene.connect(&board("1")).await;
    assert_eq!(opened.resumed, Some(wanted.clone()), "what was refused was never received");
    assert_eq!(scene.texts(&opened.seat).await, ["1"]);
    assert_eq!(opened.seat.session.lock().subscribed, wanted.subscriptions);
}

#[tokio::test]
async fn a_will_that_is_refused_is_published_when_there_is_room() {
    for (is_kept, is_killed) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut scene = Scene::small().await;
        let seat = scene.connect(&board("1")).await.seat;
        let expiry_s = if is_kept { 3_600 } else { 0 };
        let state = SessionState { expiry_s, ..state(&["d"]) };
        let words = LastWords { is_told: true, will: Some((0, will("gone"))) };
        scene.arrive(&seat, Some(&state), words).await;
        scene.fill().await;
        assert!(leave_refused(&scene, &seat, &state, Some(will("gone"))).await);
        scene.exchange.look(in_s(&scene, 1)).await;
        assert!(scene.events(EventType::WILL_PUBLISHED).await.is_empty());
        if is_killed {
            scene = scene.crash().await;
        }
        scene.make_room().await;
        scene.exchange.look(in_s(&scene, 2)).await;
        scene.exchange.look(in_s(&scene, 3)).await;
        assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 1, "{is_kept} {is_killed}");
        assert_eq!(scene.exchange.sessions_kept(), usize::from(is_kept));
        // Its leaving was kept elsewhere, and nothing of it is left here.
        scene = scene.crash().await;
        assert!(scene.store.mqtt_absences().await.unwrap().is_empty());
        scene.exchange.look(in_s(&scene, 4)).await;
        assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 1);
    }
}

#[tokio::test]
async fn readers_that_nobody_has_are_dropped() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let _seat = scene.subscribe(&program("panel"), &state(&["#", "$share/g/a"])).await;
    let start = |name: &str| {
        let at = crate::store::Position::default();
        Operation::Mqtt(MqttChange::StartReader { name: name.into(), at })
    };
    let strays = vec![start("mqtt:99"), start("share:default/$share/h/a"), start("sink")];
    scene.writer.transact(strays).await.unwrap();
    for (sweep, left) in [(1, 5), (2, 3), (3, 3)] {
        scene.exchange.sweep(in_s(&scene, 0)).await;
        let cursors = scene.store.cursors().await.unwrap();
        assert_eq!(cursors.len(), left, "sweep {sweep}: {cursors:?}");
    }
}
