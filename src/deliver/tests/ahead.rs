//! Batches that are prepared before their turn.

use super::scene::{Backend, Running, Scene, Seeded, options, unavailable};
use crate::deliver::{Message, Outcome, SinkOptions};
use crate::store::Operation;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A sink of batches of ten events.
fn tens() -> SinkOptions {
    SinkOptions { batch_rows_max: 10, ..options() }
}

fn numbered(range: std::ops::Range<u64>) -> Vec<(String, String)> {
    range.map(|number| (format!("d{}", number % 7), format!("good {number}"))).collect()
}

async fn append(scene: &Scene, range: std::ops::Range<u64>) {
    let events = numbered(range);
    scene.append(events.iter().map(|(device, data)| (device.as_str(), data.as_str()))).await;
}

/// The first numbers of the ids: where the batches begin and end.
fn places(message: &Message) -> String {
    message.id.rsplit_once('_').unwrap().0.to_owned()
}

#[tokio::test(start_paused = true)]
async fn ends_of_many_batches_go_to_disk_in_one_commit() {
    let scene = Scene::new();
    append(&scene, 0..400).await;
    scene.store.kept().commit_takes = Duration::from_millis(50);
    let before = scene.store.kept().commits;
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(tens(), &backend);
    scene.until_done("hub").await;
    let commits = scene.store.kept().commits - before;
    assert_eq!(backend.attempts().len(), 40);
    assert!(commits < 10, "{commits} commits for 40 batches");
    running.stop().await;
    let expected: Vec<_> = (0..400).map(|number| format!("good {number}")).collect();
    assert_eq!(backend.taken(), expected);
    assert!(scene.store.cursor("hub").unwrap().batch_ends.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_whose_end_is_not_on_disk() {
    let scene = Scene::new();
    append(&scene, 0..300).await;
    let store = Arc::clone(&scene.store);
    let backend = Backend::new(move |data| {
        let last: u64 = data.last().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        let cursor = store.cursor("hub").unwrap();
        let first: u64 = data[0].rsplit(' ').next().unwrap().parse().unwrap();
        // The events' positions begin at 1.
        let is_known = |sequence: u64| cursor.batch_ends.iter().any(|it| it.sequence == sequence);
        assert!(is_known(last + 1), "{last}: {cursor:?}");
        assert!(cursor.done.sequence == first || is_known(first), "{first}: {cursor:?}");
        Outcome::Taken
    });
    let running = scene.start(tens(), &backend);
    append(&scene, 300..333).await;
    scene.until_done("hub").await;
    running.stop().await;
}

/// Killed wherever it stands, with a larger bound each time: what was sent once and is sent again is the
/// same batch under the same id, until it is taken, and nothing is skipped.
#[tokio::test(start_paused = true)]
async fn killed_between_prepared_ends_it_sends_the_same_batches() {
    for seed in 0..200 {
        println!("seed {seed}");
        let mut chance = Seeded(seed);
        let mut scene = Scene::new();
        let mut fails = Seeded(seed ^ 0xF00D);
        let delay = Duration::from_millis(1 + chance.below(9));
        scene.store.kept().commit_takes = Duration::from_millis(chance.below(30));
        let backend = Backend::slow(delay, move |_| match fails.below(6) {
            0 => unavailable(),
            _ => Outcome::Taken,
        });
        let mut sink = tens();
        let mut running = scene.start(sink.clone(), &backend);
        let mut next = 0;
        for _ in 0..12 {
            let count = chance.below(120);
            append(&scene, next..next + count).await;
            next += count;
            sleep(Duration::from_millis(chance.below(60))).await;
            if chance.below(2) == 0 {
                sink.batch_rows_max += usize::try_from(chance.below(4)).unwrap();
                (scene, running) = restart(scene, running, sink.clone(), &backend).await;
            }
        }
        scene.until_done("hub").await;
        running.stop().await;
        let mut batches = HashMap::new();
        let mut covered = 0;
        for attempt in backend.attempts() {
            let numbers = super::scene::data_of(&attempt.message);
            let number = |text: &String| text.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
            let (first, last) = (number(numbers.first().unwrap()), number(numbers.last().unwrap()));
            assert!(first <= covered, "seed {seed}: {covered} skipped");
            let earlier = batches.insert(first, (last, attempt.message.clone()));
            if let Some((earlier_last, earlier)) = earlier {
                assert_eq!(earlier_last, last, "seed {seed}: cut otherwise");
                assert_eq!(earlier.id, attempt.message.id, "seed {seed}");
                assert_eq!(earlier.body, attempt.message.body, "seed {seed}");
            }
            if attempt.outcome == Outcome::Taken {
                covered = covered.max(last + 1);
            }
        }
        assert_eq!(covered, next, "seed {seed}");
    }
}

async fn restart(
    scene: Scene,
    running: Running,
    sink: SinkOptions,
    backend: &Arc<Backend>,
) -> (Scene, Running) {
    running.kill().await;
    // What was on its way to the disk comes there.
    sleep(Duration::from_millis(100)).await;
    let scene = Scene::over(scene.store);
    let running = scene.start(sink, backend);
    (scene, running)
}

#[tokio::test(start_paused = true)]
async fn ends_that_were_stored_by_another_bound_are_kept() {
    let scene = Scene::new();
    append(&scene, 0..50).await;
    let name = || "sink:hub".into();
    let ends = [4, 11, 30].map(|sequence| crate::store::Position { shard: 0, sequence });
    let put = Operation::PutCursor { name: name(), required: true };
    let prepare = Operation::PrepareBatches { name: name(), ends: ends.into() };
    scene.writer.transact(vec![put, prepare]).await.unwrap();
    let backend = Backend::new(|_| Outcome::Taken);
    let running = scene.start(tens(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    let places: Vec<_> = backend.attempts().iter().map(|it| places(&it.message)).collect();
    // Of what is longer than is allowed now, each part ends where it must, the last where it did.
    let expected = ["0-1_0-4", "0-5_0-11", "0-12_0-21", "0-22_0-30", "0-31_0-40", "0-41_0-50"];
    assert_eq!(places, expected.map(|place| format!("hub_{place}")));
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_refused_batch_is_cut_anew() {
    let scene = Scene::new();
    let mut events = numbered(0..200);
    "bad 25".clone_into(&mut events[25].1);
    scene.append(events.iter().map(|(device, data)| (device.as_str(), data.as_str()))).await;
    let backend = Backend::slow(Duration::from_millis(5), |data| {
        let is_bad = data.iter().any(|data| data.starts_with("bad"));
        if is_bad { Outcome::Refused { status: 422 } } else { Outcome::Taken }
    });
    let running = scene.start(tens(), &backend);
    scene.until_done("hub").await;
    running.stop().await;
    // Its device's later events were cut into batches before it was parked.
    let behind = |number: &u64| number % 7 == 25 % 7 && *number >= 25;
    let mut expected: Vec<_> = (0..200).filter(behind).map(|it| format!("good {it}")).collect();
    "bad 25".clone_into(&mut expected[0]);
    assert_eq!(scene.letters(), expected);
    let expected: Vec<_> =
        (0..200).filter(|it| !behind(it)).map(|it| format!("good {it}")).collect();
    assert_eq!(backend.taken(), expected);
}
