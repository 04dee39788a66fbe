//! Events that a backend will not take, and backends that take nothing.

use super::scene::{Backend, Scene, options, unavailable};
use crate::deliver::Outcome;
use jiff::Timestamp;
use model::Tenant;
use std::time::Duration;
use tokio::time::sleep;

fn refusing_bad(status: u16) -> impl FnMut(&[String]) -> Outcome + Send + 'static {
    move |data| {
        let bad = data.iter().any(|data| data.starts_with("bad"));
        if bad { Outcome::Refused { status } } else { Outcome::Taken }
    }
}

/// 200 events of 20 devices, of which number 77 is poison.
async fn with_one_poison(scene: &Scene) -> Vec<String> {
    let data: Vec<_> =
        (0..200).map(|n| format!("{} {n}", if n == 77 { "bad" } else { "good" })).collect();
    let devices: Vec<_> = (0..200).map(|n| format!("d{}", n % 20)).collect();
    let events = devices.iter().zip(&data).map(|(device, data)| (device.as_str(), data.as_str()));
    scene.append(events).await;
    let parked = |n: &usize| n % 20 == 17 && *n >= 77;
    (0..200).filter(parked).map(|n| data[n].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn poison_is_found_by_halving_and_parked_with_its_devices_later_events() {
    for status in [400, 404, 422] {
        let scene = Scene::new();
        let expected = with_one_poison(&scene).await;
        let backend = Backend::new(refusing_bad(status));
        let running = scene.start(options(), &backend);
        scene.until_done("hub").await;
        assert_eq!(scene.letters(), expected);
        assert_eq!(backend.taken().len(), 200 - expected.len());
        assert!(backend.attempts().len() < 30, "{}", backend.attempts().len());
        // Its device stays parked, also after a restart; the others do not.
        running.kill().await;
        let scene = Scene::over(scene.store);
        let running = scene.start(options(), &backend);
        scene.append([("d17", "good 200"), ("d18", "good 201")]).await;
        scene.until_done("hub").await;
        running.stop().await;
        assert_eq!(scene.letters().last().unwrap(), "good 200");
        assert_eq!(backend.taken().last().unwrap(), "good 201");
    }
}

#[tokio::test(start_paused = true)]
async fn poison_at_the_head_is_told_by_a_probe() {
    let scene = Scene::new();
    scene.append([("a", "bad 0"), ("a", "good 1"), ("b", "good 2"), ("b", "good 3")]).await;
    let backend = Backend::new(refusing_bad(404));
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(scene.letters(), ["bad 0", "good 1"]);
    assert_eq!(backend.taken(), ["good 2", "good 3"], "the probe is not sent twice");
}

#[tokio::test(start_paused = true)]
async fn poison_is_told_even_when_its_device_alone_fills_the_window() {
    let scene = Scene::new();
    let mut small = options();
    small.batch_rows_max = 3;
    scene.append([("a", "bad 0")]).await;
    scene.append((0..400).map(|_| ("a", "good 1"))).await;
    scene.append([("b", "good 2"), ("b", "good 3")]).await;
    let backend = Backend::new(refusing_bad(404));
    let running = scene.start(small, &backend);
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(scene.letters().len(), 401);
    assert_eq!(backend.taken(), ["good 2", "good 3"]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_everything_has_nothing_parked() {
    for status in [400, 401, 404, 410] {
        let scene = Scene::new();
        scene.append((0..50).map(|n| (["a", "b", "c"][n % 3], "good 1"))).await;
        let backend = Backend::new(move |_| Outcome::Refused { status });
        let running = scene.start(options(), &backend);
        sleep(Duration::from_secs(24 * 3_600)).await;
        assert!(scene.letters().is_empty(), "{status}");
        assert_eq!(scene.store.cursor("hub").unwrap().done.sequence, 0);
        assert!(backend.attempts().len() < 10_000);
        backend.answer(|_| Outcome::Taken);
        scene.until_done("hub").await;
        running.stop().await;
        assert_eq!(backend.taken().len(), 50);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_turns_against_everything_costs_one_device_at_most() {
    let scene = Scene::new();
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(options(), &backend);
    scene.append([("a", "good 0")]).await;
    scene.until_done("hub").await;
    backend.answer(|_| Outcome::Refused { status: 400 });
    for n in 0..100 {
        scene.append([(["b", "c", "d", "e"][n % 4], "good 1")]).await;
    }
    sleep(Duration::from_secs(24 * 3_600)).await;
    let devices: std::collections::HashSet<_> =
        scene.store.kept().letters.iter().map(|letter| letter.event.device.clone()).collect();
    assert!(devices.len() <= 1, "{devices:?}");
    running.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_long_while_others_succeed_is_parked() {
    let scene = Scene::new();
    let expected = with_one_poison(&scene).await;
    let backend = Backend::new(|data| {
        if data.iter().any(|data| data.starts_with("bad")) { unavailable() } else { Outcome::Taken }
    });
    let begun = tokio::time::Instant::now();
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(scene.letters(), expected);
    let took = begun.elapsed();
    let poison_after = options().poison_after;
    assert!(took >= poison_after && took < poison_after * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_parks_nothing() {
    let scene = Scene::new();
    with_one_poison(&scene).await;
    let backend = Backend::new(|_| unavailable());
    let running = scene.start(options(), &backend);
    sleep(Duration::from_secs(24 * 3_600)).await;
    // It comes back and fails once more.
    let mut again = true;
    backend.answer(
        move |_| {
            if std::mem::take(&mut again) { unavailable() } else { Outcome::Taken }
        },
    );
    scene.until_done("hub").await;
    running.stop().await;
    assert!(scene.letters().is_empty());
    assert_eq!(backend.taken().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_replay_delivers_in_order_and_frees_the_device() {
    let scene = Scene::new();
    scene.append([("a", "bad 0"), ("a", "good 1"), ("b", "good 2")]).await;
    let backend = Backend::new(refusing_bad(422));
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    scene.append([("a", "good 3"), ("b", "good 4")]).await;
    scene.until_done("hub").await;
    assert_eq!(scene.letters(), ["bad 0", "good 1", "good 3"]);
    let ask = || {
        let id = scene.store.kept().letters[1].id;
        let (writer, tenant) = (&scene.writer, Tenant::default());
        scene.context.replays.ask(writer, tenant, id, Timestamp::UNIX_EPOCH, Vec::new())
    };
    // Refused again: nothing is lost, and the device stays parked.
    ask().await.unwrap();
    scene
        .until("refused again", |scene| {
            scene.store.kept().letters.iter().all(|letter| letter.replay_at.is_none())
        })
        .await;
    assert_eq!(scene.letters(), ["bad 0", "good 1", "good 3"]);
    assert_eq!(backend.taken(), ["good 2", "good 4"]);
    // The backend was mended.
    backend.answer(|_| Outcome::Taken);
    ask().await.unwrap();
    scene.append([("a", "good 5")]).await;
    scene.until("all settled", |scene| scene.letters().is_empty()).await;
    scene.append([("a", "good 6")]).await;
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(
        backend.taken(),
        ["good 2", "good 4", "bad 0", "good 1", "good 3", "good 5", "good 6"]
    );
    assert!(scene.letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replay_includes_what_is_about_to_be_parked() {
    let scene = Scene::new();
    scene.append([("a", "bad 0"), ("b", "good 1")]).await;
    let backend = Backend::slow(Duration::from_secs(1), refusing_bad(422));
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    // A batch is on its way that has walked over an event of the parked device.
    scene.append([("b", "good 2"), ("a", "good 3"), ("b", "good 4")]).await;
    sleep(Duration::from_millis(500)).await;
    backend.answer(|_| Outcome::Taken);
    let (writer, tenant) = (&scene.writer, Tenant::default());
    scene.context.replays.ask(writer, tenant, 1, Timestamp::UNIX_EPOCH, Vec::new()).await.unwrap();
    scene.until_done("hub").await;
    scene.until("all settled", |scene| scene.letters().is_empty()).await;
    running.stop().await;
    assert_eq!(backend.taken(), ["good 1", "good 2", "good 4", "bad 0", "good 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_fails_for_ever_holds_up_nobody() {
    let scene = Scene::new();
    scene.append([("a", "bad 0"), ("b", "good 1")]).await;
    let backend = Backend::new(refusing_bad(422));
    let running = scene.start(options(), &backend);
    scene.until_done("hub").await;
    backend.answer(|data| {
        if data.iter().any(|data| data.starts_with("bad")) { unavailable() } else { Outcome::Taken }
    });
    let (writer, tenant) = (&scene.writer, Tenant::default());
    scene.context.replays.ask(writer, tenant, 1, Timestamp::UNIX_EPOCH, Vec::new()).await.unwrap();
    for _ in 0..100 {
        scene.append([("b", "good 2")]).await;
        sleep(Duration::from_secs(10)).await;
    }
    scene.until_done("hub").await;
    assert_eq!(backend.taken().len(), 101);
    assert_eq!(scene.letters(), ["bad 0"]);
    assert_eq!(scene.store.kept().letters[0].replay_at, None, "given back to the operator");
    running.stop().await;
}
