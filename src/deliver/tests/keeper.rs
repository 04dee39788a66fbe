//! Trimming.

use super::scene::{Backend, Scene, options};
use crate::deliver::{Keeper, KeeperOptions, Outcome};
use crate::store::{Room, Usage};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

fn keep(scene: &Scene, retain: Duration) -> CancellationToken {
    let stop = CancellationToken::new();
    let keeper = Keeper::new(
        Arc::clone(&scene.context.store),
        &scene.writer,
        scene.context.clock,
        KeeperOptions { retain, rows_max: 7, ..KeeperOptions::default() },
        scene.context.metrics.clone(),
        vec!["hub".into()],
    );
    tokio::spawn(keeper.run(stop.clone()));
    stop
}

#[tokio::test(start_paused = true)]
async fn what_a_required_reader_lacks_stays() {
    let scene = Scene::new();
    let slow = Backend::slow(Duration::from_secs(3_600), |_| Outcome::Taken);
    let mut behind = options();
    (behind.name, behind.batch_rows_max) = ("behind".into(), 10);
    let running = scene.start(behind, &slow);
    let fast = Backend::new(|_| Outcome::Taken);
    let other = scene.start(options(), &fast);
    scene.append((0..50).map(|_| ("a", "x"))).await;
    // Events of the tests are as old as the epoch: what counts is the readers.
    let stop = keep(&scene, Duration::from_secs(3_600));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(scene.store.kept().events.len(), 50);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(scene.store.kept().events.len(), 40);
    running.kill().await;
    other.stop().await;
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn delivered_events_stay_for_a_while_but_not_in_a_full_store() {
    /// Longer than since the epoch.
    const AGES: Duration = Duration::from_secs(200 * 366 * 86_400);
    let scene = Scene::new();
    scene.append((0..50).map(|_| ("a", "x"))).await;
    let stop = keep(&scene, AGES);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(scene.store.kept().events.len(), 50, "nobody needs them, but they are retained");
    scene.store.kept().usage = Usage { used_bytes: 1_000, quota_bytes: 1_000, events: 50 };
    scene
        .until("room", |scene| {
            scene.store.kept().events.len() < 50 && scene.writer.room() == Room::Free
        })
        .await;
    assert!(!scene.store.kept().events.is_empty(), "no more than was needed");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn ended_commands_stay_for_a_while_and_a_shorter_one_in_a_full_store() {
    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    let scene = Scene::new();
    let now = scene.context.clock.now().wall;
    let (old, middling, young) = (now - HOUR * 100, now - HOUR * 10, now - HOUR / 2);
    let all = [vec![old; 30], vec![middling; 30], vec![young; 30]].concat();
    scene.store.kept().ended_commands = all;
    let stop = keep(&scene, Duration::from_secs(72 * 3_600));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.store.kept().ended_commands, [vec![middling; 30], vec![young; 30]].concat());
    assert_eq!(scene.store.kept().commands_step, 7, "in steps");
    scene.store.kept().usage = Usage { used_bytes: 1_000, quota_bytes: 1_000, events: 0 };
    scene.until("less", |scene| scene.store.kept().ended_commands.len() < 60).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(scene.store.kept().ended_commands, vec![young; 30]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn says_how_far_a_sink_is_behind() {
    let scene = Scene::new();
    let mut small = options();
    small.batch_rows_max = 10;
    let slow = Backend::slow(Duration::from_secs(60), |_| Outcome::Taken);
    let running = scene.start(small, &slow);
    scene.append((0..50).map(|_| ("a", "x"))).await;
    let stop = keep(&scene, Duration::from_secs(3_600));
    let gauge = |name: &str| {
        let families = scene.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        assert_eq!(family.get_metric()[0].get_label()[0].value(), "hub");
        family.get_metric()[0].get_gauge().get_value()
    };
    sleep(Duration::from_secs(130)).await;
    let near = |is: f64, should: f64| (is - should).abs() < 0.5;
    assert!(near(gauge("lastmile_delivery_lag_events"), 30.0));
    // The tests' events are as old as the epoch.
    assert!(gauge("lastmile_delivery_oldest_age_seconds") > 1e9);
    sleep(Duration::from_secs(600)).await;
    assert!(near(gauge("lastmile_delivery_lag_events"), 0.0));
    assert!(near(gauge("lastmile_delivery_oldest_age_seconds"), 0.0));
    stop.cancel();
    running.stop().await;
}
