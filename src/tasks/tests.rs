//! Tasks from their making to their end, over failures, restarts and jumps of the calendar.

use super::tries::{pause, short};
use super::*;
use crate::store::{SqliteOptions, SqliteStore, WriterOptions};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

const KIND: &str = "test";
/// What calls under way have when the tasks stop.
const DRAIN: Duration = Duration::from_secs(1);

/// Answers as it is told, and remembers under which keys it was called.
#[derive(Default)]
struct Peer {
    answers: Mutex<Vec<Outcome>>,
    calls: Mutex<Vec<Box<str>>>,
    called: Notify,
}

#[async_trait]
impl Handler for Peer {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        self.calls.lock().push(task.key.clone());
        self.called.notify_one();
        let answer = self.answers.lock().pop();
        answer.unwrap_or_else(|| Outcome::Done { answer: "204".into() })
    }
}

struct Scene {
    store: Arc<dyn Store>,
    writer: Writer,
    tasks: Arc<Tasks>,
    peer: Arc<Peer>,
    clock: Clock,
    folder: TempDir,
}

fn failed() -> Outcome {
    Outcome::Failed { cause: "503".into(), retry_after: None }
}

fn policy() -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        retry_min: second,
        retry_max: second * 60,
        age_max: second * 3_600,
        lease: second * 30,
    }
}

impl Scene {
    async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    async fn in_folder(folder: TempDir) -> Self {
        let options = SqliteOptions::new(folder.path().join("store.db"), 64 << 20);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await.unwrap());
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let clock = Clock::start();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let tasks = Tasks::new(Arc::clone(&store), writer.clone(), clock, metrics);
        let peer = Arc::<Peer>::default();
        tasks.register(KIND, policy(), Arc::clone(&peer) as Arc<dyn Handler>);
        Self { store, writer, tasks, peer, clock, folder }
    }

    fn row(&self, key: &str) -> TaskRow {
        let now = self.clock.now().wall;
        let device = DeviceId::cwmp("00259E", "HG8245", "1").unwrap();
        task(&Tenant::default(), KIND, key, Some(&device), Json::empty_object(), now)
    }

    async fn put(&self, row: &TaskRow) {
        self.writer.transact(vec![Operation::PutTask(row.clone())]).await.unwrap();
        self.tasks.added(row);
    }

    fn run(&self) -> Stage {
        let stage = Stage::new("tasks");
        stage.spawn(Arc::clone(&self.tasks).run(stage.clone(), DRAIN));
        stage
    }

    async fn kept(&self, id: &str) -> TaskRow {
        let rows = self.store.tasks(&Which::One(id.into()), 1).await.unwrap();
        rows.into_iter().next().unwrap()
    }

    /// Waits until the store says so of a task.
    async fn until(&self, id: &str, holds: impl Fn(&TaskRow) -> bool) -> TaskRow {
        for _ in 0..2_000 {
            let row = self.kept(id).await;
            if holds(&row) {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not come so far");
    }

    fn calls(&self) -> usize {
        self.peer.calls.lock().len()
    }
}

#[tokio::test]
async fn a_key_is_carried_out_once() {
    let scene = Scene::new().await;
    let (one, twin) = (scene.row("k"), scene.row("k"));
    scene.put(&one).await;
    scene.put(&twin).await;
    let stage = scene.run();
    let done = scene.until(&one.id, |row| row.state == TaskState::Done).await;
    assert_eq!((done.attempts, done.cause.as_deref()), (1, Some("204")));
    scene.put(&scene.row("k")).await;
    let other = scene.row("other");
    scene.put(&other).await;
    scene.until(&other.id, |row| row.state == TaskState::Done).await;
    assert_eq!(*scene.peer.calls.lock(), [Box::from("k"), Box::from("other")]);
    assert!(scene.store.tasks(&Which::One(twin.id), 1).await.unwrap().is_empty());
    drop(stage);
}

#[tokio::test]
async fn what_fails_comes_again_and_what_is_hopeless_is_parked() {
    let scene = Scene::new().await;
    scene.peer.answers.lock().extend([Outcome::Hopeless { cause: "404".into() }, failed()]);
    let row = scene.row("k");
    scene.put(&row).await;
    let stage = scene.run();
    let waits = scene.until(&row.id, |row| row.cause.is_some()).await;
    assert_eq!((waits.state, waits.cause.as_deref()), (TaskState::Waiting, Some("503")));
    assert!(waits.due_at > waits.changed_at && waits.lease_until.is_none());
    let parked = scene.until(&row.id, |row| row.state == TaskState::Parked).await;
    assert_eq!((parked.attempts, parked.cause.as_deref()), (2, Some("404")));
    let event = scene.store.events_after(Default::default(), 10, 10_000).await.unwrap().remove(0);
    assert_eq!(&*event.kind, "lastmile.task.parked");
    let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
    assert_eq!((&data["key"], &data["cause"]), (&"k".into(), &"404".into()));
    // An operator sends it again.
    let (tenant, at) = (row.tenant.clone(), scene.clock.now().wall);
    let release = TaskChange { tenant, id: row.id.clone(), at, step: TaskStep::Release };
    let release = Operation::ChangeTask(release);
    scene.writer.transact(vec![release.clone()]).await.unwrap();
    scene.tasks.committed(&release);
    let done = scene.until(&row.id, |row| row.state == TaskState::Done).await;
    assert_eq!((done.attempts, scene.calls()), (1, 3));
    drop(stage);
}

#[tokio::test]
async fn one_that_grew_too_old_is_parked() {
    let scene = Scene::new().await;
    scene.peer.answers.lock().push(failed());
    let mut row = scene.row("k");
    row.since = row.since.checked_sub(SignedDuration::from_hours(2)).unwrap();
    row.attempts = 4;
    scene.put(&row).await;
    let stage = scene.run();
    let parked = scene.until(&row.id, |row| row.state == TaskState::Parked).await;
    assert_eq!(parked.cause.as_deref(), Some("given up: 503"));
    drop(stage);
}

#[tokio::test]
async fn what_is_old_at_its_first_try_is_tried_again() {
    let scene = Scene::new().await;
    scene.peer.answers.lock().push(failed());
    let mut row = scene.row("k");
    row.since = row.since.checked_sub(SignedDuration::from_hours(2)).unwrap();
    scene.put(&row).await;
    let stage = scene.run();
    let done = scene.until(&row.id, |row| row.state != TaskState::Waiting).await;
    assert_eq!((done.state, done.attempts), (TaskState::Done, 2));
    drop(stage);
}

/// Is called one at a time, and stays until it may go; nothing of it can be given up at first.
#[derive(Default)]
struct Narrow {
    go: Notify,
    given_up: AtomicU32,
}

#[async_trait]
impl Handler for Narrow {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        self.go.notified().await;
        match &*task.key {
            "hopeless" => Outcome::Hopeless { cause: "404".into() },
            _ => Outcome::Done { answer: "204".into() },
        }
    }

    fn at_once(&self) -> usize {
        1
    }

    async fn given_up(&self, _: &TaskRow) -> bool {
        self.given_up.fetch_add(1, Ordering::Relaxed) > 0
    }
}

#[tokio::test]
async fn what_finds_no_room_was_not_tried() {
    let scene = Scene::new().await;
    let narrow = Arc::<Narrow>::default();
    scene.tasks.register("narrow", policy(), Arc::clone(&narrow) as Arc<dyn Handler>);
    let row = |key: &str| TaskRow { kind: "narrow".into(), ..scene.row(key) };
    let (first, second, other) = (row("1"), row("2"), scene.row("other"));
    for row in [&first, &second, &other] {
        scene.put(row).await;
    }
    let stage = scene.run();
    scene.until(&first.id, |row| row.lease_until.is_some()).await;
    scene.until(&other.id, |row| row.state == TaskState::Done).await;
    let waits = scene.kept(&second.id).await;
    assert_eq!((waits.attempts, waits.lease_until, &waits.cause), (0, None, &None));
    narrow.go.notify_one();
    scene.until(&first.id, |row| row.state == TaskState::Done).await;
    narrow.go.notify_one();
    let done = scene.until(&second.id, |row| row.state == TaskState::Done).await;
    assert_eq!(done.attempts, 1);
    drop(stage);
}

#[tokio::test]
async fn what_may_not_be_given_up_is_tried_again() {
    let scene = Scene::new().await;
    let narrow = Arc::<Narrow>::default();
    scene.tasks.register("narrow", policy(), Arc::clone(&narrow) as Arc<dyn Handler>);
    let row = TaskRow { kind: "narrow".into(), ..scene.row("hopeless") };
    scene.put(&row).await;
    let stage = scene.run();
    narrow.go.notify_one();
    let waits = scene.until(&row.id, |row| row.cause.is_some()).await;
    assert_eq!(waits.state, TaskState::Waiting);
    narrow.go.notify_one();
    let parked = scene.until(&row.id, |row| row.state == TaskState::Parked).await;
    assert_eq!((parked.attempts, narrow.given_up.load(Ordering::Relaxed)), (2, 2));
    drop(stage);
}

#[tokio::test]
async fn a_crash_between_sending_and_keeping_repeats_the_key() {
    let scene = Scene::new().await;
    let row = scene.row("k");
    scene.put(&row).await;
    // The first process took the lease, sent, and died.
    let until = scene.clock.now().wall.checked_add(SignedDuration::from_secs(30)).unwrap();
    let (tenant, at) = (row.tenant.clone(), row.created_at);
    let lease = TaskChange { tenant, id: row.id.clone(), at, step: TaskStep::Lease { until } };
    scene.writer.transact(vec![Operation::ChangeTask(lease)]).await.unwrap();
    scene.store.close().await;
    let again = Scene::in_folder(scene.folder).await;
    let stage = again.run();
    let done = again.until(&row.id, |row| row.state == TaskState::Done).await;
    assert_eq!((done.attempts, again.calls()), (2, 1));
    assert_eq!(*again.peer.calls.lock(), [Box::from("k")]);
    drop(stage);
}

#[tokio::test]
async fn many_are_all_carried_out_after_a_restart() {
    const MANY: usize = 2_500;
    let scene = Scene::new().await;
    let rows: Vec<_> = (0..MANY).map(|n| scene.row(&n.to_string())).collect();
    let puts = rows.iter().cloned().map(Operation::PutTask).collect();
    scene.writer.transact(puts).await.unwrap();
    let stage = scene.run();
    for row in &rows {
        scene.until(&row.id, |row| row.state == TaskState::Done).await;
    }
    let mut calls = scene.peer.calls.lock().clone();
    calls.sort_unstable();
    calls.dedup();
    assert_eq!((calls.len(), scene.calls()), (MANY, MANY));
    drop(stage);
}

/// A handler with a fault of ours.
struct Faulty(AtomicU32);

#[async_trait]
impl Handler for Faulty {
    async fn carry_out(&self, _: &TaskRow) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("a fault of ours");
    }
}

#[tokio::test]
async fn a_fault_of_one_holds_up_no_other() {
    let scene = Scene::new().await;
    let faulty = Arc::new(Faulty(AtomicU32::new(0)));
    scene.tasks.register("faulty", policy(), Arc::clone(&faulty) as Arc<dyn Handler>);
    let mut bad = scene.row("bad");
    bad.kind = "faulty".into();
    let mut stranger = scene.row("of another release");
    stranger.kind = "stranger".into();
    let good = scene.row("good");
    for row in [&bad, &stranger, &good] {
        scene.put(row).await;
    }
    let stage = scene.run();
    scene.until(&good.id, |row| row.state == TaskState::Done).await;
    let bad = scene.until(&bad.id, |row| row.attempts == 1).await;
    assert_eq!((bad.state, faulty.0.load(Ordering::Relaxed)), (TaskState::Waiting, 1));
    assert_eq!(scene.kept(&stranger.id).await.attempts, 0, "it is not ours to throw away");
    drop(stage);
}

#[tokio::test]
async fn a_calendar_set_back_holds_nothing_up() {
    let scene = Scene::new().await;
    let mut row = scene.row("k");
    // As the calendar was when it was made: in ten minutes by the clock of now, in none by the count.
    row.due_at = row.due_at.checked_add(SignedDuration::from_mins(10)).unwrap();
    scene.writer.transact(vec![Operation::PutTask(row.clone())]).await.unwrap();
    scene.tasks.queue.lock().hasten(&row.id);
    let due = scene.tasks.next_due().unwrap();
    assert_eq!(scene.tasks.carry_out(&due).await, None);
    assert_eq!(scene.kept(&row.id).await.state, TaskState::Done);
    // One that was counted down in part asks the calendar.
    let mut far = scene.row("far");
    far.due_at = far.due_at.checked_add(SignedDuration::from_hours(72)).unwrap();
    scene.writer.transact(vec![Operation::PutTask(far.clone())]).await.unwrap();
    scene.tasks.queue.lock().hasten(&far.id);
    let mut due = scene.tasks.next_due().unwrap();
    due.is_part = true;
    let again = scene.tasks.carry_out(&due).await.unwrap();
    assert!(again > Duration::from_secs(71 * 3_600), "{again:?}");
}

#[test]
fn pauses_double_and_differ() {
    let policy = policy();
    for attempts in 0..100 {
        let pause = pause(&policy, attempts);
        let ceiling = policy.retry_min.saturating_mul(1 << attempts.min(20)).min(policy.retry_max);
        assert!(pause >= ceiling / 2 && pause <= ceiling, "{attempts}: {pause:?}");
    }
    assert_eq!(short(&"é".repeat(200)).len(), 256);
    assert_eq!(short(&format!("a{}", "é".repeat(200))).len(), 255);
}

/// Whose call takes so long.
struct Slow(Duration);

#[async_trait]
impl Handler for Slow {
    async fn carry_out(&self, _: &TaskRow) -> Outcome {
        tokio::time::sleep(self.0).await;
        Outcome::Done { answer: "204".into() }
    }
}

#[tokio::test]
async fn what_is_under_way_at_the_stop_has_its_time_and_no_more() {
    for (takes, state) in [
        (Duration::from_millis(300), TaskState::Done),
        (DRAIN + Duration::from_secs(60), TaskState::Waiting),
    ] {
        let scene = Scene::new().await;
        scene.tasks.register(KIND, policy(), Arc::new(Slow(takes)));
        let stage = scene.run();
        let row = scene.row("slow");
        scene.put(&row).await;
        scene.until(&row.id, |row| row.lease_until.is_some()).await;
        assert_eq!(stage.finish(DRAIN * 2).await, Ok(()));
        assert_eq!(scene.kept(&row.id).await.state, state);
    }
}
