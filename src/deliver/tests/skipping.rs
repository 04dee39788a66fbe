//! Sinks that the outbox does not wait for.

use super::scene::{Backend, Scene, unavailable};
use crate::deliver::{Filter, Keeper, KeeperOptions, Optional, Outcome, SinkOptions};
use crate::store::Room;
use crate::store::Usage;
use model::Tenant;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const KIB: u64 = 1 << 10;

/// A sink that may be so many bytes behind.
fn optional(lag_bytes_max: u64) -> SinkOptions {
    let tenant = Tenant::default();
    let mut options = super::scene::options();
    options.optional = Some(Optional { lag_bytes_max, tenant });
    options.batch_rows_max = 10;
    // What tells of skipping is for others.
    options.filter = Filter::new(["lastmile.telemetry.*"], []).unwrap();
    options
}

/// The data of every event that tells of skipping.
fn told(scene: &Scene) -> Vec<Value> {
    let kept = scene.store.kept();
    let skips = kept.events.iter().filter(|event| &*event.kind == "lastmile.sink.skipped");
    skips
        .map(|event| {
            assert_eq!(event.device.as_str(), "sink:hub");
            serde_json::from_str(event.data.as_str()).unwrap()
        })
        .collect()
}

fn skipped(scene: &Scene, cause: &str) -> String {
    let families = scene.registry.gather();
    let name = "lastmile_delivery_skipped_events_total";
    let family = families.iter().find(|family| family.name() == name);
    let series = family.into_iter().flat_map(|family| family.get_metric());
    let of_cause =
        |it: &&prometheus::proto::Metric| it.get_label().iter().any(|label| label.value() == cause);
    let sum: f64 = series.filter(of_cause).map(|it| it.get_counter().get_value()).sum();
    sum.to_string()
}

#[tokio::test(start_paused = true)]
async fn one_that_falls_too_far_behind_skips_the_older_half_and_says_so() {
    let scene = Scene::new();
    let backend = Backend::new(|_| unavailable());
    let running = scene.start(optional(100 * KIB), &backend);
    let long = "x".repeat(1_000);
    let texts: Vec<_> = (0..400).map(|number| format!("{long} {number}")).collect();
    for text in &texts[..80] {
        scene.append([("a", &**text)]).await;
    }
    sleep(Duration::from_secs(60)).await;
    assert!(told(&scene).is_empty(), "80 KB may wait");
    for text in &texts[80..] {
        scene.append([("a", &**text)]).await;
    }
    scene.until("it skips", |scene| !told(scene).is_empty()).await;
    backend.answer(|_| Outcome::Taken);
    scene.until_done("hub").await;
    running.stop().await;

    let told = told(&scene);
    let events = told[0]["events"].as_u64().unwrap();
    let to = format!("0-{events}");
    let expected =
        json!({"sink": "hub", "from": "0-1", "to": to, "events": events, "cause": "max_lag"});
    assert_eq!(told, [expected]);
    // What is left is at most half of what is allowed, and not much less.
    assert!((345..=355).contains(&events), "{events}");
    let numbers: Vec<u64> = backend
        .taken()
        .iter()
        .filter_map(|text| text.rsplit(' ').next().and_then(|number| number.parse().ok()))
        .collect();
    assert_eq!(numbers, (events..400).collect::<Vec<_>>(), "the newer half comes whole");
    let cursor = scene.store.cursor("hub").unwrap();
    assert_eq!((cursor.required, cursor.skipped), (false, events));
    assert_eq!(skipped(&scene, "max_lag"), events.to_string());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_it_and_it_says_what_was_trimmed_meanwhile() {
    let scene = Scene::new();
    let backend = Backend::new(|_| unavailable());
    let running = scene.start(optional(100_000 * KIB), &backend);
    scene.append((0..3_000).map(|_| ("a", "early"))).await;
    sleep(Duration::from_secs(10)).await;
    let stop = CancellationToken::new();
    let options = KeeperOptions { retain: Duration::from_secs(3_600), ..KeeperOptions::default() };
    let sinks = vec!["hub".into()];
    let (store, metrics) = (Arc::clone(&scene.context.store), scene.context.metrics.clone());
    let keeper = Keeper::new(store, &scene.writer, scene.context.clock, options, metrics, sinks);
    tokio::spawn(keeper.run(stop.clone()));
    // The tests' events are as old as the epoch: they go as soon as nobody required needs them.
    scene.until("they are trimmed", |scene| scene.store.kept().events.is_empty()).await;
    stop.cancel();
    scene.append((0..5).map(|_| ("a", "late"))).await;
    backend.answer(|_| Outcome::Taken);
    scene.until_done("hub").await;
    running.stop().await;
    let told = told(&scene);
    assert_eq!((told.len(), &told[0]["cause"]), (1, &json!("trimmed")));
    let missed = told[0]["events"].as_u64().unwrap();
    // What it had read already, it delivers.
    let early = backend.taken().iter().filter(|text| *text == "early").count() as u64;
    assert_eq!(early + missed, 3_000);
    assert_eq!(backend.taken().iter().filter(|text| *text == "late").count(), 5);
    assert_eq!(scene.store.cursor("hub").unwrap().skipped, missed);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_lets_it_skip_and_trims_behind_it() {
    let scene = Scene::new();
    let backend = Backend::new(|_| unavailable());
    let running = scene.start(optional(10 * KIB), &backend);
    let long = "x".repeat(1_000);
    scene.append((0..5).map(|_| ("a", &*long))).await;
    sleep(Duration::from_secs(10)).await;
    scene.append((0..45).map(|_| ("a", &*long))).await;
    scene.store.kept().usage = Usage { used_bytes: 1_000, quota_bytes: 1_000, events: 50 };
    scene.until("it is full", |scene| scene.writer.room() == Room::Full).await;
    let moved = |scene: &Scene| scene.store.cursor("hub").is_some_and(|it| it.skipped > 0);
    scene.until("the cursor moves in a full store", moved).await;
    running.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_required_may_change_over_a_restart() {
    let scene = Scene::new();
    let backend = Backend::new(|_| Outcome::Taken);
    let is_required = |scene: &Scene| scene.store.cursor("hub").unwrap().required;
    scene.append([("a", "1")]).await;
    let running = scene.start(super::scene::options(), &backend);
    scene.until_done("hub").await;
    assert!(is_required(&scene));
    running.stop().await;
    let again = Scene::over(Arc::clone(&scene.store));
    let running = again.start(optional(KIB), &backend);
    again.append([("a", "2")]).await;
    again.until_done("hub").await;
    assert!(!is_required(&again));
    running.stop().await;
    let again = Scene::over(Arc::clone(&scene.store));
    let running = again.start(super::scene::options(), &backend);
    again.append([("a", "3")]).await;
    again.until_done("hub").await;
    assert!(is_required(&again));
    running.stop().await;
    assert_eq!(backend.taken(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_required_one_never_skips() {
    let scene = Scene::new();
    let backend = Backend::new(|_| unavailable());
    let mut options = optional(KIB);
    options.optional = None;
    let running = scene.start(options, &backend);
    let long = "x".repeat(1_000);
    scene.append((0..50).map(|_| ("a", &*long))).await;
    sleep(Duration::from_secs(3_600)).await;
    backend.answer(|_| Outcome::Taken);
    scene.until_done("hub").await;
    assert!(told(&scene).is_empty());
    assert_eq!(backend.taken().len(), 50);
    running.stop().await;
}
