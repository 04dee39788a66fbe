//! Who takes a session up while another has something of it on its way to the disk, or is held up.

use super::scene::{in_s, will};
use super::*;
use ::mqtt::CloseReason;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_session_that_is_ending_is_not_taken_up() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    scene.leave(&seat, &state(&["d"])).await;
    let late = in_s(&scene, 3_601);
    let owner = board("1");
    let ((), opened) = tokio::join!(scene.exchange.look(late), scene.connect(&owner));
    assert_eq!(opened.resumed, None);
    scene.arrive(&opened.seat, Some(&state(&["d"])), LastWords::default()).await;
    scene.publish("d=1").await;
    assert_eq!(scene.texts(&opened.seat).await, ["1"]);
}

#[tokio::test]
async fn nor_is_one_whose_time_is_over_and_nobody_saw_it() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let short = SessionState { expiry_s: 1, ..state(&["d"]) };
    let seat = scene.subscribe(&board("1"), &short).await;
    scene.leave(&seat, &short).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(scene.connect(&board("1")).await.resumed, None);
}

#[tokio::test]
async fn a_connection_waits_for_what_another_has_on_its_way() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let old = scene.subscribe(&board("1"), &state(&["d"])).await;
    let known = SessionState { unreleased: vec![7], ..state(&["d"]) };
    let keeping = scene.exchange.keep(&old, &known).unwrap();
    let owner = board("1");
    let mut opening = std::pin::pin!(scene.connect(&owner));
    assert!(timeout(SHORT, &mut opening).await.is_err());
    scene.exchange.settle(keeping, true);
    assert_eq!(timeout(SHORT, opening).await.unwrap().resumed, Some(known));
}

#[tokio::test]
async fn what_was_refused_is_in_no_state() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.subscribe(&board("1"), &state(&["d"])).await;
    let more = SessionState { unreleased: vec![7], ..state(&["d"]) };
    let keeping = scene.exchange.keep(&seat, &more).unwrap();
    scene.exchange.settle(keeping, false);
    assert_eq!(scene.connect(&board("1")).await.resumed, Some(state(&["d"])));
}

#[tokio::test]
async fn who_takes_over_says_the_last_words_of_one_that_is_held_up() {
    for (delay_s, clean_start) in [(0, false), (60, false), (0, true), (60, true)] {
        let scene = Scene::new(ExchangeOptions::default()).await;
        let old = scene.connect(&board("1")).await.seat;
        let words = LastWords { is_told: true, will: Some((delay_s, will("gone"))) };
        scene.arrive(&old, Some(&state(&["d"])), words).await;
        let opening = scene.opening(&board("1"), clean_start);
        let new = scene.exchange.open(opening).await.unwrap();
        let mut said: Vec<_> = new.unsaid.events.iter().map(|event| event.kind).collect();
        let left = new.unsaid.events.last().unwrap();
        assert_eq!(left.data, LastWords::gone(CloseReason::TakenOver));
        assert_eq!(said.pop(), Some(EventType::DEVICE_DISCONNECTED));
        // One with time is cancelled where the session goes on.
        let has_will = delay_s == 0 || clean_start;
        assert_eq!(said, vec![EventType::WILL_PUBLISHED; usize::from(has_will)]);
        let mut late = scene.exchange.closing(&old, Some(&state(&["d"])), None);
        assert!(late.is_said() && late.take_operations().is_empty());
        scene.writer.append(new.unsaid.events, new.unsaid.operations).await.unwrap();
        let scene = scene.crash().await;
        assert!(scene.store.mqtt_absences().await.unwrap().is_empty(), "told already");
    }
}

#[tokio::test]
async fn one_that_is_ended_from_here_says_its_own() {
    let scene = Scene::new(ExchangeOptions::default()).await;
    let seat = scene.connect(&program("panel")).await.seat;
    let words = LastWords { is_told: false, will: Some((0, will("gone"))) };
    scene.arrive(&seat, Some(&state(&["#"])), words).await;
    scene.exchange.end_programs(|_, _| false).await.unwrap();
    assert!(seat.is_ended() && scene.events(EventType::WILL_PUBLISHED).await.is_empty());
    let mut late = scene.exchange.closing(&seat, Some(&state(&["#"])), None);
    assert!(!late.is_said());
    assert_eq!(late.take_operations().len(), 1, "its row goes with its will");
}
