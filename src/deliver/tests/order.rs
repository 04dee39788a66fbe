//! Whatever a backend does and whenever the process dies: every event at least once, the events of
//! each device in their order, and only poison in the dead letters.

use super::scene::{Backend, Running, Scene, Seeded, options};
use crate::deliver::{FailureClass, Outcome, SinkOptions};
use jiff::Timestamp;
use model::Tenant;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Seeds of one run; `LASTMILE_TEST_SEEDS` sets another number.
const SEEDS: u64 = 300;

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by the environment")]
fn seeds() -> u64 {
    std::env::var("LASTMILE_TEST_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_and_nothing_lost_under_random_failures() {
    for seed in 0..seeds() {
        // Shown when the test fails.
        println!("seed {seed}");
        play(seed).await;
    }
}

async fn play(seed: u64) {
    let mut chance = Seeded(seed);
    let mut scene = Scene::new();
    let backend = Backend::new(moody(Seeded(seed ^ 0xFACE)));
    let mut sink = options();
    sink.batch_rows_max = usize::try_from(1 + chance.below(40)).unwrap();
    let mut running = scene.start(sink.clone(), &backend);
    let mut next = [0_u64; 6];
    let poisoned = [chance.below(60), chance.below(60)];
    for _ in 0..40 {
        for _ in 0..chance.below(12) {
            let device = usize::try_from(chance.below(6)).unwrap();
            let number = next[device];
            next[device] += 1;
            let bad = device < 2 && number == poisoned[device];
            let (name, data) =
                (format!("d{device}"), format!("{} {number}", if bad { "bad" } else { "good" }));
            scene.append([(name.as_str(), data.as_str())]).await;
        }
        sleep(Duration::from_millis(chance.below(4_000))).await;
        if chance.below(5) == 0 {
            (scene, running) = restart(scene, running, &sink, &backend).await;
        }
    }
    // A last word from every healthy device, so that no refusal stays without evidence.
    for (device, next) in next.iter_mut().enumerate().skip(2) {
        scene.append([(format!("d{device}").as_str(), format!("good {next}").as_str())]).await;
        *next += 1;
    }
    scene.until_done("hub").await;
    running.stop().await;

    let taken = backend.taken_by_device();
    let letters = scene.letters();
    for (device, count) in next.into_iter().enumerate() {
        let poison = poisoned.get(device).copied().filter(|at| *at < count);
        let taken = taken.get(&format!("mqtt:d{device}")).cloned().unwrap_or_default();
        let expected: Vec<_> = (0..poison.unwrap_or(count)).collect();
        assert_eq!(taken, expected, "seed {seed}, device {device}");
    }
    let parked: u64 = (0..2).map(|d| next[d].saturating_sub(poisoned[d])).sum();
    assert_eq!(letters.len() as u64, parked, "seed {seed}: {letters:?}");
    replay(seed, scene, &sink, &backend, next).await;
}

/// The backend is mended, an operator asks for what was parked, and more happens meanwhile.
async fn replay(
    seed: u64,
    scene: Scene,
    sink: &SinkOptions,
    backend: &Arc<Backend>,
    mut next: [u64; 6],
) {
    let mut moods = moody(Seeded(seed ^ 0xCAFE));
    backend.answer(move |data| {
        let mended: Vec<_> = data.iter().map(|data| data.replace("bad", "good")).collect();
        moods(&mended)
    });
    let running = scene.start(sink.clone(), backend);
    let mut rounds = 0;
    while let Some(id) = { scene.store.kept().letters.first().map(|letter| letter.id) } {
        let (writer, tenant) = (&scene.writer, Tenant::default());
        // Settled in between: there is nothing left to ask for.
        let _ = scene.context.replays.ask(writer, tenant, id, Timestamp::UNIX_EPOCH, vec![]).await;
        if rounds < 5 {
            let device = rounds % 6;
            let (name, data) = (format!("d{device}"), format!("good {}", next[device]));
            scene.append([(name.as_str(), data.as_str())]).await;
            next[device] += 1;
        }
        rounds += 1;
        sleep(Duration::from_millis(700)).await;
    }
    scene.until_done("hub").await;
    running.stop().await;
    assert_eq!(scene.letters(), Vec::<String>::new(), "seed {seed}");
    let taken = backend.taken_by_device();
    for (device, count) in next.into_iter().enumerate() {
        let taken = taken.get(&format!("mqtt:d{device}")).cloned().unwrap_or_default();
        assert_eq!(taken, (0..count).collect::<Vec<_>>(), "seed {seed}, device {device}");
    }
}

async fn restart(
    scene: Scene,
    running: Running,
    sink: &SinkOptions,
    backend: &Arc<Backend>,
) -> (Scene, Running) {
    running.kill().await;
    let scene = Scene::over(scene.store);
    let running = scene.start(sink.clone(), backend);
    (scene, running)
}

/// Refuses poison; otherwise takes, fails in some way, or takes and loses its answer (a time-out).
fn moody(mut chance: Seeded) -> impl FnMut(&[String]) -> Outcome + Send + 'static {
    move |data| {
        let failed = |class| Outcome::Failed { class, retry_after: None };
        if data.iter().any(|data| data.starts_with("bad")) {
            return Outcome::Refused { status: 422 };
        }
        match chance.below(12) {
            0 => failed(FailureClass::Server),
            1 => failed(FailureClass::TimedOut),
            2 => failed(FailureClass::Unreachable),
            3 => Outcome::Failed {
                class: FailureClass::Deferred,
                retry_after: Some(Duration::from_secs(chance.below(5))),
            },
            4 => failed(FailureClass::Redirected),
            _ => Outcome::Taken,
        }
    }
}
