//! What the next process finds of clients that were connected when this one vanished.

use super::scene::{in_s, will};
use super::*;
use ::mqtt::CloseReason;

fn words(delay_s: u32) -> LastWords {
    LastWords { is_told: true, will: Some((delay_s, will("gone"))) }
}

#[tokio::test]
async fn a_client_that_is_back_has_not_left() {
    for arrives_with_state in [false, true] {
        let scene = Scene::new(ExchangeOptions::default()).await;
        let wanted = state(&["d"]);
        let seat = scene.subscribe(&board("1"), &wanted).await;
        scene.leave_with(&seat, &wanted, Some((Duration::from_secs(60), will("gone")))).await;
        assert!(scene.session().await.is_some_and(|it| it.left_at.is_some() && it.will.is_some()));
        let seat = scene.connect(&board("1")).await.seat;
        let state = arrives_with_state.then_some(&wanted);
        scene.arrive(&seat, state, LastWords::default()).await;
        let kept = scene.session().await;
        assert!(kept.is_some_and(|it| it.left_at.is_none() && it.will.is_none()));
        let scene = scene.crash().await;
        scene.exchange.look(in_s(&scene, 3_590)).await;
        assert!(scene.events(EventType::WILL_PUBLISHED).await.is_empty(), "it was cancelled");
        assert_eq!(scene.exchange.sessions_kept(), 1);
    }
}

#[tokio::test]
async fn a_client_that_is_turned_away_has_not_come_back() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let wanted = state(&["d"]);
    let seat = scene.subscribe(&board("1"), &wanted).await;
    scene.leave_with(&seat, &wanted, Some((Duration::from_secs(60), will("gone")))).await;
    let seat = scene.connect(&board("1")).await.seat;
    let passing = SessionState { expiry_s: 0, ..wanted.clone() };
    let arriving = scene.exchange.arrive(&seat, Some(&passing), words(0)).unwrap();
    scene.exchange.settle(arriving, false);
    let closing = scene.exchange.closing(&seat, None, None);
    scene.exchange.settle(closing, true);
    scene.publish("d=1").await;
    scene.exchange.look(in_s(&scene, 61)).await;
    assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 1);
    let opened = scene.connect(&board("1")).await;
    assert_eq!(opened.resumed, Some(wanted));
    assert_eq!(scene.texts(&opened.seat).await, ["1"], "what waited, and came since, is there");
}

#[tokio::test]
async fn who_was_connected_is_away_and_its_will_is_published_once() {
    for is_kept in [false, true] {
        let mut scene = Scene::new(ExchangeOptions::default()).await;
        let seat = scene.connect(&board("1")).await.seat;
        scene.arrive(&seat, is_kept.then_some(&state(&["d"])), words(0)).await;
        scene = scene.crash().await;
        let away = scene.store.mqtt_absences().await.unwrap();
        let [away] = away.as_slice() else { panic!("{away:?}") };
        assert_eq!((&away.device, &away.data), (&board("1"), &LastWords::gone(CloseReason::Lost)));
        // Nor does it get lost when the next one vanishes before it came to that.
        scene = scene.crash().await;
        for _ in 0..2 {
            scene.exchange.look(in_s(&scene, 0)).await;
            let told = scene.events(EventType::WILL_PUBLISHED).await;
            assert_eq!((told.len(), &told[0].device), (1, &board("1")));
            assert_eq!(scene.exchange.sessions_kept(), usize::from(is_kept));
            scene = scene.crash().await;
        }
    }
}

#[tokio::test]
async fn a_will_with_a_delay_waits_for_its_session() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    for name in ["1", "2"] {
        let seat = scene.connect(&board(name)).await.seat;
        scene.arrive(&seat, Some(&state(&["d"])), words(60)).await;
    }
    let scene = scene.crash().await;
    let opened = scene.connect(&board("2")).await;
    assert!(opened.resumed.is_some());
    scene.arrive(&opened.seat, None, words(60)).await;
    scene.exchange.look(in_s(&scene, 50)).await;
    assert!(scene.events(EventType::WILL_PUBLISHED).await.is_empty());
    scene.exchange.look(in_s(&scene, 61)).await;
    let told = scene.events(EventType::WILL_PUBLISHED).await;
    assert_eq!((told.len(), &told[0].device), (1, &board("1")), "the other came back");
}

#[tokio::test]
async fn who_has_left_is_not_told_of_again() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    for (name, expiry_s) in [("1", 0), ("2", 3_600)] {
        let state = SessionState { expiry_s, ..state(&["d"]) };
        let seat = scene.connect(&board(name)).await.seat;
        scene.arrive(&seat, Some(&state), words(0)).await;
        scene.leave(&seat, &state).await;
    }
    let scene = scene.crash().await;
    assert!(scene.store.mqtt_absences().await.unwrap().is_empty());
    scene.exchange.look(in_s(&scene, 10)).await;
    assert!(scene.events(EventType::WILL_PUBLISHED).await.is_empty());
}

#[tokio::test]
async fn a_program_that_only_had_a_will_is_not_said_to_have_been_dropped() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.connect(&program("panel")).await.seat;
    scene.arrive(&seat, None, LastWords { is_told: false, ..words(0) }).await;
    let scene = scene.crash().await;
    assert!(scene.store.mqtt_absences().await.unwrap().is_empty());
    scene.exchange.look(in_s(&scene, 0)).await;
    assert_eq!(scene.events(EventType::WILL_PUBLISHED).await.len(), 1);
    assert!(scene.events(EventType::SESSION_DROPPED).await.is_empty());
    assert_eq!(scene.exchange.sessions_kept(), 0);
}

#[tokio::test]
async fn a_clock_that_is_set_makes_nobody_older() {
    const DAYS_S: i64 = 30 * 86_400;
    let mut scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.leave(&seat, &state(&["d"])).await;
    scene.publish("d=1").await;
    let now = scene.exchange.clock.now();
    let wall = in_s(&scene, DAYS_S);
    scene.exchange.follow_clock(model::Now { wall, ..now }).await;
    for _ in 0..2 {
        scene.exchange.look(in_s(&scene, DAYS_S + 3_590)).await;
        scene.exchange.sweep(in_s(&scene, DAYS_S + 3_590)).await;
        assert_eq!((scene.exchange.sessions_kept(), scene.rows().await), (1, 1));
        scene = scene.crash().await;
    }
    scene.exchange.look(in_s(&scene, DAYS_S + 3_610)).await;
    assert_eq!(scene.exchange.sessions_kept(), 0, "but it ends");
}
