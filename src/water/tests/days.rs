//! The daily job, over days that pass and clocks that are set.

use super::*;
use crate::store::{SmsStore as _, SmsWhich, TaskChange, TaskState, TaskStep, Tasks as Which};
use crate::tasks::{Handler as _, Outcome};
use std::collections::HashMap;

/// Carries the daily task out as the daemon does: a moment is counted once, by the clock that never goes
/// back.
struct Runner<'a> {
    scene: &'a Scene,
    daily: Daily,
    due: HashMap<Box<str>, u64>,
    runs: Vec<String>,
    /// How often a run was put off.
    postponed: usize,
}

impl<'a> Runner<'a> {
    async fn new(scene: &'a Scene) -> Self {
        let mut runner = Self {
            scene,
            daily: Daily(Arc::clone(&scene.water)),
            due: HashMap::new(),
            runs: Vec::new(),
            postponed: 0,
        };
        runner.start().await;
        runner
    }

    /// As after a restart: what is counted is forgotten, and so is what is known of the clocks.
    async fn start(&mut self) {
        self.due.clear();
        *self.scene.water.calendar.lock() = Calendar::default();
        self.keep_house().await;
    }

    async fn keep_house(&self) {
        self.scene.water.begin(&*self.scene.store, &tenant()).await.unwrap();
    }

    /// Lets an hour pass and carries out what is due.
    async fn hour(&mut self) {
        self.scene.time.pass(Duration::from_secs(3_600));
        self.keep_house().await;
        self.look().await;
    }

    async fn look(&mut self) {
        loop {
            let now = self.scene.clock.now();
            let which = Which::Of { tenant: tenant(), state: TaskState::Waiting, after: None };
            let rows = self.scene.store.tasks(&which, 1_000).await.unwrap();
            let dailies: Vec<_> = rows.into_iter().filter(|it| &*it.kind == DAILY).collect();
            assert_eq!(dailies.len(), 1, "there is always one task");
            let task = &dailies[0];
            let monotonic = now.monotonic.as_nanos() / 1_000_000_000;
            let wait = task.due_at.duration_since(now.wall).as_secs().max(0).unsigned_abs();
            let due = *self.due.entry(task.id.clone()).or_insert(monotonic + wait);
            if due > monotonic {
                return;
            }
            let step = match self.daily.carry_out(task).await {
                Outcome::Done { answer } => {
                    self.runs.push(format!("{} {answer}", self.scene.water.today()));
                    TaskStep::Finish { answer }
                }
                Outcome::Failed { cause, retry_after: Some(pause) } => {
                    assert!(cause.contains("ahead of what can be believed"), "{cause}");
                    self.postponed += 1;
                    let pause = pause.as_secs();
                    self.due.insert(task.id.clone(), monotonic + pause);
                    let due_at = now.wall + Duration::from_secs(pause);
                    TaskStep::Postpone { due_at, cause }
                }
                outcome => panic!("it works: {outcome:?}"),
            };
            let (tenant, id, at) = (tenant(), task.id.clone(), now.wall);
            let change = Operation::ChangeTask(TaskChange { tenant, id, at, step });
            self.scene.water.keep(vec![change]).await.unwrap();
        }
    }

    async fn hours(&mut self, hours: u32) {
        for _ in 0..hours {
            self.hour().await;
        }
    }

    fn jump(&self, hours: i64) {
        self.scene.time.jump_wall(SignedDuration::from_hours(hours));
    }
}

async fn texts(scene: &Scene, what: &str, id: &str, expiry: &str) -> usize {
    let (tenant, key) = (tenant(), format!("{what}:{id}:{expiry}"));
    scene.store.sms(SmsWhich::Batch(&tenant, &key), 10).await.unwrap().len()
}

async fn messages(scene: &Scene) -> usize {
    let records = scene.records().await;
    records.iter().filter(|it| it.contains("message")).count()
}

/// Three who end tomorrow, in two days and in four; one who ended last week; one who never paid.
async fn people(scene: &Scene) {
    for (id, number, until) in [
        ("gone", 1, "2026-11-15"),
        ("one", 2, "2026-11-23"),
        ("two", 3, "2026-11-24"),
        ("four", 4, "2026-11-26"),
    ] {
        scene.customer(id, number, Some((until, &format!("12{number}AB"), 3))).await;
    }
    scene.customer("fresh", 9, None).await;
}

/// Defect 13: a missed run is made up for, and who never paid hears nothing.
#[tokio::test]
async fn defect_13_a_day_that_was_missed_is_made_up_for() {
    let scene = Scene::new().await;
    people(&scene).await;
    let report = scene.water.daily(&tenant(), scene.water.today()).await.unwrap();
    assert_eq!((report.reminded, report.expired, report.failed), (2, 1, 0));
    let again = scene.water.daily(&tenant(), scene.water.today()).await.unwrap();
    assert_eq!((again.reminded, again.expired), (0, 0), "each is told once");
    let gone = scene.kept("gone").await;
    assert_eq!((gone.is_valid, gone.code, gone.jerrycans), (false, None, 0));
    assert_eq!(texts(&scene, "expiry", "gone", "2026-11-15").await, 1);
    assert_eq!(texts(&scene, "expiry", "fresh", "2026-11-22").await, 0);
    // Nothing runs for a week.
    scene.time.pass(Duration::from_secs(7 * 86_400));
    assert_eq!(scene.says(2, "water_balance", &[]).await, "none", "served is who is in time");
    let report = scene.water.daily(&tenant(), scene.water.today()).await.unwrap();
    assert_eq!((report.reminded, report.expired), (0, 3));
    assert_eq!(texts(&scene, "reminder", "four", "2026-11-26").await, 0, "it is too late for that");
    assert_eq!(messages(&scene).await, 6);
    let ends = scene.records().await;
    assert_eq!(ends.iter().filter(|it| *it == "unsubscription success").count(), 4);
}

#[tokio::test]
async fn two_runs_at_once_tell_everybody_once() {
    let scene = Scene::new().await;
    people(&scene).await;
    let today = scene.water.today();
    let tenant = tenant();
    let (one, other) =
        tokio::join!(scene.water.daily(&tenant, today), scene.water.daily(&tenant, today));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.reminded + other.reminded, one.expired + other.expired), (2, 1));
    assert_eq!(messages(&scene).await, 3);
}

#[tokio::test]
async fn a_day_of_virtual_time_has_one_run_at_its_hour() {
    let scene = Scene::new().await;
    people(&scene).await;
    let mut runner = Runner::new(&scene).await;
    runner.look().await;
    assert_eq!(
        runner.runs,
        ["2026-11-22 done"],
        "six o'clock has passed: it is made up for at once"
    );
    runner.hours(17).await;
    assert_eq!(runner.runs.len(), 1, "five in the morning");
    runner.hour().await;
    assert_eq!(runner.runs[1..], ["2026-11-23 done"]);
    runner.hours(72).await;
    assert_eq!(runner.runs.len(), 5);
    for (id, expiry) in [("one", "2026-11-23"), ("two", "2026-11-24"), ("four", "2026-11-26")] {
        assert_eq!(texts(&scene, "reminder", id, expiry).await, 1, "{id}");
        assert_eq!(texts(&scene, "expiry", id, expiry).await, 1, "{id}");
    }
    assert_eq!(messages(&scene).await, 7, "and the one who had ended before");
}

#[tokio::test]
async fn clocks_that_are_set_over_midnight_neither_lose_a_day_nor_tell_twice() {
    let scene = Scene::new().await;
    people(&scene).await;
    let mut runner = Runner::new(&scene).await;
    runner.look().await;
    // Back over midnight: yesterday has no run of its own any more, and nothing is told again.
    runner.jump(-13);
    runner.hours(24).await;
    assert_eq!(messages(&scene).await, 3);
    runner.hours(24).await;
    // Ahead by ten days, for two days, and back: what is paid for is not taken away.
    let before = messages(&scene).await;
    runner.jump(240);
    runner.hours(48).await;
    assert!(runner.postponed > 30, "{}", runner.postponed);
    for (id, code) in [("two", "123AB"), ("four", "124AB")] {
        let kept = scene.kept(id).await;
        let code_kept = kept.code.as_ref().map(Code::as_str);
        assert_eq!((kept.is_valid, code_kept, kept.jerrycans), (true, Some(code), 3), "{id}");
    }
    assert_eq!(messages(&scene).await, before, "nobody is told");
    runner.jump(-240);
    runner.hours(96).await;
    // To and fro around six o'clock, and restarts in between.
    for hours in [-3, 5, -2, 1, -1, 24, -24] {
        runner.jump(hours);
        runner.start().await;
        runner.hours(7).await;
    }
    runner.hours(48).await;
    for (id, expiry) in [("one", "2026-11-23"), ("two", "2026-11-24"), ("four", "2026-11-26")] {
        assert!(!scene.kept(id).await.is_valid, "{id}");
        assert_eq!(texts(&scene, "expiry", id, expiry).await, 1, "{id}");
        assert!(texts(&scene, "reminder", id, expiry).await <= 1, "{id}");
    }
    let done: Vec<_> = runner.runs.iter().filter(|it| it.ends_with(" done")).collect();
    let days: std::collections::HashSet<_> = done.iter().collect();
    assert_eq!(done.len(), days.len(), "no day ran twice: {:?}", runner.runs);
}

/// Whose days are paid for keeps them, whatever the clock says at a start.
#[tokio::test]
async fn a_start_with_a_clock_that_is_days_ahead_ends_nothing() {
    let scene = Scene::new().await;
    people(&scene).await;
    let mut runner = Runner::new(&scene).await;
    runner.look().await;
    runner.hours(2).await;
    for _ in 0..3 {
        runner.jump(240);
        for _ in 0..3 {
            runner.start().await;
            runner.hours(8).await;
        }
        runner.jump(-240);
        runner.start().await;
        runner.hours(1).await;
    }
    // Three days and a bit have passed, with hours of right time in between.
    assert_eq!(scene.water.today(), day("2026-11-25"));
    let done: Vec<_> = runner.runs.iter().map(|it| &it[..10]).collect();
    assert!(done.iter().all(|day| *day <= "2026-11-25"), "{done:?}");
    assert!(done.len() > 1, "{done:?}");
    let four = scene.kept("four").await;
    assert_eq!((four.is_valid, four.code.is_some(), four.jerrycans), (true, true, 3));
    assert_eq!(texts(&scene, "expiry", "four", "2026-11-26").await, 0);
    for (id, expiry) in [("one", "2026-11-23"), ("two", "2026-11-24")] {
        assert!(!scene.kept(id).await.is_valid, "{id}");
        assert_eq!(texts(&scene, "expiry", id, expiry).await, 1, "{id}");
    }
}

/// Nobody can tell nine days without the daemon from a clock that is nine days ahead: it is believed
/// after three days, or when an operator says so.
#[tokio::test]
async fn a_long_time_without_the_daemon_is_made_up_for_once_the_clock_is_believed() {
    for believes in [false, true] {
        let scene = Scene::new().await;
        people(&scene).await;
        let mut runner = Runner::new(&scene).await;
        runner.look().await;
        scene.time.pass(Duration::from_secs(9 * 86_400));
        runner.start().await;
        runner.look().await;
        runner.hours(24).await;
        assert_eq!(runner.runs, ["2026-11-22 done"]);
        assert!(matches!(
            scene.water.run(&tenant(), false).await,
            Err(RunError::Ahead(ahead)) if ahead.as_hours() == 9 * 24 - 18
        ));
        assert!(scene.kept("one").await.is_valid);
        if believes {
            let run = scene.water.run(&tenant(), true).await.unwrap();
            assert_eq!(run.carry_out().await.unwrap().expired, 3);
            runner.hours(1).await;
            assert_eq!(runner.runs[1..], ["2026-12-02 done"]);
        } else {
            runner.hours(47).await;
            assert_eq!(runner.runs.len(), 1);
            runner.hours(2).await;
            assert_eq!(runner.runs[1..], ["2026-12-04 done"]);
        }
        for (id, expiry) in [("one", "2026-11-23"), ("two", "2026-11-24"), ("four", "2026-11-26")] {
            assert!(!scene.kept(id).await.is_valid, "{id}");
            assert_eq!(texts(&scene, "expiry", id, expiry).await, 1, "{id}");
        }
    }
}

/// A run that was put off to a day of a wrong calendar is not waited for.
#[tokio::test]
async fn a_task_that_a_wrong_calendar_made_is_made_anew() {
    let scene = Scene::new().await;
    people(&scene).await;
    let mut runner = Runner::new(&scene).await;
    runner.look().await;
    runner.jump(240);
    runner.hours(20).await;
    assert!(runner.postponed > 0);
    runner.jump(-240);
    runner.start().await;
    runner.hours(24).await;
    assert_eq!(runner.runs, ["2026-11-22 done", "2026-11-23 done", "2026-11-24 done"]);
}

#[tokio::test]
async fn a_run_is_made_once_at_a_time() {
    let scene = Scene::new().await;
    people(&scene).await;
    let run = scene.water.run(&tenant(), false).await.unwrap();
    let again = scene.water.run(&tenant(), false).await;
    assert!(matches!(again, Err(RunError::UnderWay)), "{again:?}");
    let other = scene.water.run(&Tenant::new("acme").unwrap(), false).await;
    assert!(other.is_ok(), "each tenant for itself");
    assert_eq!(run.carry_out().await.unwrap().reminded, 2);
    assert!(scene.water.run(&tenant(), false).await.is_ok());
}

/// Among many other tasks the daily one is found, and among other tenants' the right one.
#[tokio::test]
async fn the_daily_task_is_found_among_many_others() {
    let scene = Scene::new().await;
    let make = |tenant: &Tenant, kind: &'static str, key: &str| {
        let task = tasks::task(tenant, kind, key, None, Json::empty_object(), scene.now());
        Operation::PutTask(task)
    };
    let stranger = Tenant::new("acme").unwrap();
    let many = (0..600).map(|n| make(&tenant(), "mpesa.check", &n.to_string()));
    let theirs = make(&stranger, DAILY, "theirs");
    scene.water.keep(many.chain([theirs]).collect()).await.unwrap();
    for _ in 0..2 {
        scene.water.begin(&*scene.store, &tenant()).await.unwrap();
        let which = Which::OfKind { tenant: tenant(), kind: DAILY.into() };
        let found = scene.store.tasks(&which, 10).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].tenant, &*found[0].kind), (&tenant(), DAILY));
    }
}

#[tokio::test]
async fn days_without_the_daemon_are_one_run_and_a_removed_task_comes_back() {
    // Whoever trusts his clock has it believed at once.
    let trusting = Doubt { settle: Duration::ZERO, ..DOUBT };
    let scene = Scene::with(|options| Options { doubt: trusting, ..options }).await;
    people(&scene).await;
    let mut runner = Runner::new(&scene).await;
    runner.look().await;
    scene.time.pass(Duration::from_secs(9 * 86_400));
    runner.start().await;
    runner.look().await;
    assert_eq!(runner.runs, ["2026-11-22 done", "2026-12-01 done"]);
    let which = Which::Of { tenant: tenant(), state: TaskState::Waiting, after: None };
    let rows = scene.store.tasks(&which, 1_000).await.unwrap();
    let task = rows.iter().find(|it| &*it.kind == DAILY).unwrap();
    let (id, at) = (task.id.clone(), scene.now());
    let remove = TaskChange { tenant: tenant(), id, at, step: TaskStep::Remove };
    scene.water.keep(vec![Operation::ChangeTask(remove)]).await.unwrap();
    runner.start().await;
    runner.hours(24).await;
    assert_eq!(runner.runs[2..], ["2026-12-02 done"]);
}
