//! Attempts: the same bytes under the same id, for as long as it takes.

use super::scene::{Backend, Scene, events_of, options, unavailable};
use crate::deliver::{FailureClass, Filter, Outcome, drop_sink};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_retry_repeats_the_bytes_and_the_id() {
    let scene = Scene::new();
    scene.append([("a", "1"), ("b", "2"), ("a", "3")]).await;
    let mut failures = 5;
    let backend = Backend::new(move |_| {
        failures -= 1;
        if failures >= 0 { unavailable() } else { Outcome::Taken }
    });
    let running = scene.start(options(), &backend);
    sleep(Duration::from_secs(5)).await;
    scene.append([("a", "4")]).await;
    scene.until_done("hub").await;
    running.stop().await;
    let attempts = backend.attempts();
    assert_eq!(attempts.len(), 7);
    for retry in &attempts[1..6] {
        assert_eq!(retry.message.body, attempts[0].message.body);
        assert_eq!(retry.message.id, attempts[0].message.id);
    }
    assert_ne!(attempts[6].message.id, attempts[0].message.id);
    assert_eq!(backend.taken(), ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_the_bytes_and_the_id() {
    let scene = Scene::new();
    scene.append([("a", "1"), ("b", "2")]).await;
    let backend = Backend::new(|_| unavailable());
    let running = scene.start(options(), &backend);
    scene.until("an attempt", |_| backend.attempts().len() > 2).await;
    running.kill().await;
    // What came meanwhile is not part of the batch that was on its way.
    scene.append([("a", "3"), ("c", "4")]).await;
    let before = backend.attempts().pop().unwrap();
    backend.answer(|_| Outcome::Taken);
    let scene = Scene::over(scene.store);
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    let taken: Vec<_> =
        backend.attempts().into_iter().filter(|a| a.outcome == Outcome::Taken).collect();
    assert_eq!(taken[0].message.body, before.message.body);
    assert_eq!(taken[0].message.id, before.message.id);
    assert_eq!(backend.taken(), ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_halving_keeps_the_half() {
    let scene = Scene::new();
    scene.append((0..8).map(|_| ("a", "good"))).await;
    let backend =
        Backend::new(
            |data| if data.len() > 4 { Outcome::Refused { status: 413 } } else { unavailable() },
        );
    let running = scene.start(options(), &backend);
    scene.until("a half", |_| backend.attempts().len() > 2).await;
    running.kill().await;
    let before = backend.attempts().pop().unwrap();
    assert_eq!(events_of(&before.message).len(), 4);
    backend.answer(|_| Outcome::Taken);
    let scene = Scene::over(scene.store);
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    let first = backend.attempts().into_iter().find(|a| a.outcome == Outcome::Taken).unwrap();
    assert_eq!(first.message.id, before.message.id);
    assert_eq!(first.message.body, before.message.body);
    assert_eq!(backend.taken().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_up_to_its_bound() {
    let scene = Scene::new();
    scene.append([("a", "1")]).await;
    let mut asked = [100, 1_000_000].into_iter();
    let backend = Backend::new(move |_| match asked.next() {
        Some(seconds) => Outcome::Failed {
            class: FailureClass::Deferred,
            retry_after: Some(Duration::from_secs(seconds)),
        },
        None => Outcome::Taken,
    });
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    let attempts = backend.attempts();
    let pause = |n: usize| (attempts[n].at - attempts[n - 1].at).as_secs();
    assert_eq!((pause(1), pause(2)), (100, options().retry_after_max.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_their_cap_and_go_on() {
    let scene = Scene::new();
    scene.append([("a", "1")]).await;
    let backend = Backend::new(|_| unavailable());
    let running = scene.start(options(), &backend);
    sleep(Duration::from_secs(24 * 3_600)).await;
    let attempts = backend.attempts();
    let longest = attempts.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(longest <= options().retry_max + Duration::from_millis(2), "{longest:?}");
    assert!(longest > options().retry_max / 2, "{longest:?}");
    // Some 30 s apart on average: a day of outage is neither a flood nor a surrender.
    assert!((2_000..6_000).contains(&attempts.len()), "{}", attempts.len());
    assert!(scene.letters().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_holds_up_no_other() {
    let scene = Scene::new();
    let mut named = options();
    named.name = "slow".into();
    let slow = Backend::slow(Duration::from_secs(3_600), |_| Outcome::Taken);
    let fast = Backend::new(|_| Outcome::Taken);
    let (first, second) = (scene.start(named, &slow), scene.start(options(), &fast));
    let begun = Instant::now();
    for _ in 0..100 {
        scene.append([("a", "x")]).await;
    }
    scene.until("the fast sink has all", |_| fast.taken().len() == 100).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(scene.store.cursor("slow").unwrap().done.sequence, 0);
    first.kill().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unwanted_events_move_the_cursor_without_a_write_for_each() {
    let scene = Scene::new();
    let mut wants_devices = options();
    wants_devices.filter = Filter::new(["lastmile.device.*"], []).unwrap();
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(wants_devices, &backend);
    scene.until("opened", |scene| scene.store.cursor("hub").is_some()).await;
    let before = scene.store.kept().commits;
    for _ in 0..500 {
        scene.append([("a", "x")]).await;
    }
    scene.until_done("hub").await;
    let commits = scene.store.kept().commits - before;
    assert!((501..520).contains(&commits), "{commits}");
    assert!(backend.attempts().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn under_load_events_travel_together_and_one_commit_serves_two_steps() {
    let scene = Scene::new();
    for _ in 0..50 {
        scene.append((0..100).map(|_| ("a", "x"))).await;
    }
    let backend = Backend::slow(Duration::from_millis(5), |_| Outcome::Taken);
    let before = scene.store.kept().commits;
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(backend.taken().len(), 5_000);
    assert_eq!(backend.attempts().len(), 5);
    let commits = scene.store.kept().commits - before;
    assert!(commits <= 8, "cursor, the first end, the others, five steps: {commits}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_in_bytes_but_a_large_event_goes_alone() {
    let scene = Scene::new();
    let large = "x".repeat(5_000);
    let mut small = options();
    small.batch_bytes_max = 2_000;
    scene.append([("a", "1"), ("a", "2"), ("a", large.as_str()), ("a", "3")]).await;
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(small, &backend);
    scene.until_done("hub").await;
    running.stop().await;
    let sizes: Vec<_> = backend.attempts().iter().map(|a| events_of(&a.message).len()).collect();
    assert_eq!(sizes, [2, 1, 1]);
    assert_eq!(backend.taken(), ["1", "2", large.as_str(), "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_delivers_what_is_left_and_ends_when_the_backend_does_not_answer() {
    let scene = Scene::new();
    let backend = Backend::slow(Duration::from_secs(1), |_| Outcome::Taken);
    let mut small = options();
    small.batch_rows_max = 2;
    let running = scene.start(small.clone(), &backend);
    scene.append((0..9).map(|_| ("a", "x"))).await;
    sleep(Duration::from_millis(1_500)).await;
    running.stop().await;
    assert_eq!(backend.taken().len(), 9);
    assert_eq!(scene.store.cursor("hub").unwrap().done.sequence, 9);

    let stalled = Backend::slow(Duration::from_secs(3_600), |_| Outcome::Taken);
    scene.append([("a", "x")]).await;
    let running = scene.start(small, &stalled);
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    running.stop().await;
    assert_eq!(begun.elapsed().as_secs(), 10, "the grace");
    assert_eq!(scene.store.cursor("hub").unwrap().done.sequence, 9);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_event_is_told_and_the_rest_delivered() {
    let scene = Scene::new();
    scene.append([("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")]).await;
    scene.store.kept().damaged = Some(3);
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(backend.taken(), ["1", "2", "4"]);
    let told = scene.registry.gather();
    let told = told.iter().find(|m| m.name() == "lastmile_delivery_damaged_events_total").unwrap();
    assert!((told.get_metric()[0].get_counter().get_value() - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_sink_ends_its_task() {
    let scene = Scene::new();
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(options(), &backend);
    scene.until("opened", |scene| scene.store.cursor("hub").is_some()).await;
    drop_sink(&scene.writer, "hub", Vec::new()).await.unwrap();
    scene.append([("a", "1")]).await;
    let ended = running.task.await.unwrap();
    assert!(matches!(ended, Err(crate::deliver::SinkError::Dropped)), "{ended:?}");
    assert!(drop_sink(&scene.writer, "hub", Vec::new()).await.is_err());
}
