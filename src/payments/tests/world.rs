//! One store, fifty customers, crashes, and the moments in between.

use super::operator::{Operator, Word};
use super::sky::{Line, Sky, later};
use super::till::{self, NEVER, Slow, TAKEN, Till};
use crate::commands::Desk;
use crate::payments::{
    Daraja as Provider, Metrics, NewPayment, Parts, Payments, Purse, Unkept, claim_of,
};
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::store::{
    CommitError, Operation, OperationError, PAYMENT_OPEN, PaymentRow, SqliteOptions, SqliteStore,
    Store, TaskChange, TaskRow, TaskStep, Tasks as Which, WriteError, Writer, WriterOptions,
};
use crate::tasks::{self, Handler, Outcome, Tasks};
use backend::payment::Timing;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use lastmile_daraja::{Behaviour, CallbackOut, Daraja};
use model::{DeviceId, Tenant};
use mpesa::Callback;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(super) const BEGIN: Timestamp = Timestamp::constant(1_795_206_600, 0);
/// How long customers go on wanting to pay, in milliseconds.
const WISHES_MS: u64 = 3_600_000;
/// How often the daemon crashes at moments of the calendar.
const CRASHES: u64 = 14;
/// How often its calendar is set.
const JUMPS: u64 = 4;
/// How often the operator says something.
const LOOKS: u64 = 16;
/// How long the longest time is in which it is down.
const NIGHT_MS: u64 = 30 * 3_600_000;
/// How long nothing has to happen until those at work count as waiting for a token.
const TOKEN_PAUSE: Duration = Duration::from_millis(3);
/// Waiting tasks that are looked at: more than are ever due at once.
const TASKS_SEEN: usize = 400;

/// A daemon's parts, as far as they matter here; gone with a crash.
pub(super) struct Daemon {
    pub(super) payments: Arc<Payments>,
    pub(super) pipeline: Arc<Pipeline>,
    writer: Writer,
    writer_task: JoinHandle<Result<(), CommitError>>,
}

enum Ended {
    Task(Box<str>),
    Callback(u64, u16, Option<Box<str>>),
    Wish(Result<(), Refused>),
    Settled(Word),
}

pub(super) enum Refused {
    Open,
    Other(String),
}

type Running = FuturesUnordered<BoxFuture<'static, Ended>>;

pub(super) struct World {
    _folder: TempDir,
    options: SqliteOptions,
    pub(super) engine: Arc<SqliteStore>,
    pub(super) sky: Arc<Sky>,
    pub(super) till: Arc<Till>,
    daemon: Option<Daemon>,
    running: Running,
    /// Tasks that somebody is at.
    leased: BTreeSet<Box<str>>,
    called: BTreeSet<u64>,
    /// When what waits is due, by the time that passes: it was counted down from when it was seen first.
    due: BTreeMap<(Box<str>, Timestamp), Timestamp>,
    wishes: Vec<(Timestamp, NewPayment)>,
    crashes: Vec<Timestamp>,
    jumps: Vec<Timestamp>,
    looks: Vec<Timestamp>,
    pub(super) operator: Operator,
    down_until: Timestamp,
    /// Whether it crashes by chance, too.
    is_shaky: bool,
    pub(super) cut_off: BTreeMap<&'static str, u32>,
    pub(super) refused_open: u32,
    pub(super) reopened: u32,
    pub(super) jumped: u32,
    pub(super) nights: u32,
    pub(super) heard: Vec<Box<str>>,
}

fn start(engine: &Arc<SqliteStore>, sky: &Arc<Sky>, till: &Arc<Till>) -> Daemon {
    let store: Arc<dyn Store> = Arc::clone(engine) as _;
    let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    let writer_task = tokio::spawn(task);
    let registry = Arc::new(Registry::new());
    let (wake, _) = mpsc::channel(1);
    let (of_desk, lines) = (Arc::clone(&store), Arc::default());
    let desk = Desk::new(of_desk, writer.clone(), Arc::clone(&registry), lines, sky.clock, wake);
    let pipeline = Pipeline::new(writer.clone(), registry, Arc::new(desk), sky.clock);
    let pipeline = Arc::new(pipeline);
    let prometheus = prometheus::Registry::new();
    let counted = tasks::Metrics::new(&prometheus).unwrap();
    let metrics = Metrics::new(&prometheus).unwrap();
    let line = Box::new(Line(Arc::clone(sky)));
    let base_url = "https://daraja.example";
    let provider = Provider::new(till::account(), base_url, line, sky.clock, metrics.clone());
    let parts = Parts {
        store: Arc::new(Slow(Arc::clone(engine), Arc::clone(sky))),
        pipeline: Arc::clone(&pipeline),
        tasks: Tasks::new(store, writer.clone(), sky.clock, counted),
        clock: sky.clock,
        provider: Some(Arc::new(provider)),
        metrics,
    };
    let payments = Payments::new(parts, Timing::default());
    let purse: Arc<dyn Purse> = Arc::clone(till) as _;
    payments.set_purse(Arc::downgrade(&purse) as Weak<dyn Purse>);
    Daemon { payments, pipeline, writer, writer_task }
}

impl World {
    pub(super) async fn new(seed: u64, customers: u64) -> Self {
        let behaviour =
            if seed.is_multiple_of(10) { Behaviour::kind() } else { Behaviour::hostile() };
        let mut world = Self::quiet(seed, behaviour).await;
        world.is_shaky = true;
        world.plan(customers);
        world
    }

    /// One in which nothing happens by itself.
    pub(super) async fn quiet(seed: u64, behaviour: Behaviour) -> Self {
        // The store syncs at each commit, which a disk would make the most of the time.
        let memory = std::path::Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let sky = Sky::new(BEGIN, Daraja::new(seed, behaviour, till::merchant()), seed);
        let options = SqliteOptions::new(folder.path().join("store.db"), 256 << 20);
        let engine = Arc::new(SqliteStore::open(options.clone()).await.unwrap());
        let till = Till::new(&sky);
        let daemon = start(&engine, &sky, &till);
        daemon.writer.transact(vec![till::token(TAKEN, BEGIN)]).await.unwrap();
        Self {
            _folder: folder,
            options,
            engine,
            sky,
            till,
            daemon: Some(daemon),
            running: FuturesUnordered::new(),
            leased: BTreeSet::new(),
            called: BTreeSet::new(),
            due: BTreeMap::new(),
            wishes: Vec::new(),
            crashes: Vec::new(),
            jumps: Vec::new(),
            looks: Vec::new(),
            operator: Operator::default(),
            down_until: BEGIN,
            is_shaky: false,
            cut_off: BTreeMap::new(),
            refused_open: 0,
            reopened: 0,
            jumped: 0,
            nights: 0,
            heard: Vec::new(),
        }
    }

    /// Whoever knows what payments are for is gone.
    pub(super) fn forget_till(&mut self) {
        self.till = Till::new(&self.sky);
    }

    /// Somebody wants to pay then.
    pub(super) fn wish(&mut self, after_ms: u64, wish: NewPayment) {
        self.wishes.push((later(self.sky.now(), after_ms), wish));
        self.wishes.sort_by_key(|it| std::cmp::Reverse(it.0));
    }

    /// Who wants to pay, and when the daemon crashes; some want it twice at once.
    fn plan(&mut self, customers: u64) {
        let sky = Arc::clone(&self.sky);
        for index in 0..customers {
            let number = DeviceId::msisdn(&format!("+2547123{:05}", index)).unwrap();
            for round in 0..1 + sky.roll(2) {
                let at = later(BEGIN, sky.roll(WISHES_MS));
                for twin in 0..1 + u64::from(sky.roll(6) == 0) {
                    let wish = NewPayment {
                        tenant: Tenant::default(),
                        customer: format!("customer{index}").into(),
                        number: number.clone(),
                        amount: [100, 100, 250][usize::try_from(sky.roll(3)).unwrap()],
                        reference: format!("LOD{index}").into(),
                        language: "en".into(),
                        key: format!("{index}:{round}:{twin}").into(),
                    };
                    self.wishes.push((at, wish));
                }
            }
        }
        self.wishes.sort_by_key(|it| std::cmp::Reverse(it.0));
        let moments = |count: u64| {
            let some = (0..count).map(|_| later(BEGIN, sky.roll(WISHES_MS * 3 / 2)));
            let mut some: Vec<_> = some.collect();
            some.sort_by_key(|it| std::cmp::Reverse(*it));
            some
        };
        (self.crashes, self.jumps, self.looks) = (moments(CRASHES), moments(JUMPS), moments(LOOKS));
    }

    fn is_up(&self) -> bool {
        self.down_until <= self.sky.now()
    }

    /// Until nothing is left to happen.
    pub(super) async fn run(&mut self) {
        loop {
            self.settle().await;
            let waiting = self.waiting().await;
            self.count_down(&waiting);
            let Some(next) = self.next_at(&waiting) else { return };
            self.sky.pass_until(next);
            self.turn(&waiting).await;
        }
    }

    /// Lets everything go on until it waits for our time; or cuts it off in the middle of that.
    async fn settle(&mut self) {
        while self.running.len() > self.sky.waiting() {
            let is_struck = self.is_shaky && self.sky.roll(400) == 0;
            tokio::select! {
                Some(ended) = self.running.next() => self.ended(ended),
                () = self.sky.changed.notified() => {}
                // Who waits for another's token waits for our time, too.
                () = tokio::time::sleep(TOKEN_PAUSE), if self.sky.is_token_awaited() => return,
            }
            if is_struck && !self.running.is_empty() {
                let at_work = self.running.len() - self.sky.waiting().min(self.running.len());
                *self.cut_off.entry("at work").or_default() += u32::try_from(at_work).unwrap();
                self.crash().await;
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Task(id) => {
                self.leased.remove(&id);
            }
            Ended::Callback(id, status, receipt) => {
                self.called.remove(&id);
                self.sky.daraja.lock().answered(id, Some(status), self.sky.now());
                if status == 200 {
                    self.heard.extend(receipt);
                }
            }
            Ended::Settled(word) => self.operator.heard(word),
            Ended::Wish(Ok(())) => {}
            Ended::Wish(Err(Refused::Open)) => self.refused_open += 1,
            Ended::Wish(Err(Refused::Other(why))) => panic!("a wish is refused: {why}"),
        }
    }

    /// The tasks that nobody is at, by when they are due.
    pub(super) async fn waiting(&self) -> Vec<TaskRow> {
        let which = Which::Waiting { after: None };
        let rows = self.engine.tasks(&which, TASKS_SEEN).await.unwrap();
        assert!(rows.len() < TASKS_SEEN || rows.last().unwrap().due_at == NEVER);
        let is_free = |it: &TaskRow| it.due_at < NEVER && !self.leased.contains(&it.id);
        rows.into_iter().filter(is_free).collect()
    }

    /// As the daemon does: the calendar says how long to wait, once.
    fn count_down(&mut self, waiting: &[TaskRow]) {
        let (now, wall) = (self.sky.now(), self.sky.wall());
        let mut before = std::mem::take(&mut self.due);
        for task in waiting {
            let name = (task.id.clone(), task.due_at);
            let wait = task.due_at.duration_since(wall).max(SignedDuration::ZERO);
            let at = before.remove(&name).unwrap_or(now + wait);
            self.due.insert(name, at);
        }
    }

    fn due_of(&self, task: &TaskRow) -> Timestamp {
        self.due[&(task.id.clone(), task.due_at)]
    }

    fn next_at(&self, waiting: &[TaskRow]) -> Option<Timestamp> {
        let now = self.sky.now();
        let up = |at: Timestamp| at.max(self.down_until).max(now);
        let task = waiting.iter().map(|it| up(self.due_of(it))).min();
        let wish = self.wishes.last().map(|it| up(it.0));
        let crash = self.crashes.last().map(|it| (*it).max(now));
        let jump = self.jumps.last().map(|it| (*it).max(now));
        let look = self.looks.last().map(|it| up(*it));
        let daraja = self.sky.daraja.lock().next_at().map(|it| it.max(now));
        let wait = self.sky.next_wait().map(|it| it.max(now));
        [task, wish, crash, jump, look, daraja, wait].into_iter().flatten().min()
    }

    /// One thing that is due; which of several is chance.
    async fn turn(&mut self, waiting: &[TaskRow]) {
        let is_struck = self.is_shaky && !self.running.is_empty() && self.sky.roll(200) == 0;
        if self.crashes.pop_if(|it| *it <= self.sky.now()).is_some() || is_struck {
            return self.crash().await;
        }
        if self.jumps.pop_if(|it| *it <= self.sky.now()).is_some() {
            let by = [-86_400, -3_600, -70, 70, 3_600, 86_400];
            let by = by[usize::try_from(self.sky.roll(6)).unwrap()];
            self.jumped += 1;
            return self.sky.jump(SignedDuration::from_secs(by));
        }
        if self.is_up() && self.looks.pop_if(|it| *it <= self.sky.now()).is_some() {
            return self.have_settled().await;
        }
        let first = self.sky.roll(4);
        let done = (0..4).any(|it| match (first + it) % 4 {
            0 => self.call_back(),
            1 => self.sky.let_go(),
            2 => self.begin(waiting),
            _ => self.want(),
        });
        assert!(done, "nothing is due at {}", self.sky.now());
    }

    /// The operator looks at what stands there, and says something of one payment.
    async fn have_settled(&mut self) {
        let rows = self.rows().await;
        let taken = self.sky.daraja.lock().taken().to_vec();
        let Some(word) = self.operator.choose(&rows, &taken, &self.sky) else { return };
        let payments = Arc::clone(&self.daemon().payments);
        let wall = self.sky.wall();
        self.running.push(Box::pin(async move { Ended::Settled(word.say(&payments, wall).await) }));
    }

    /// All that is not on disk is gone, for up to five minutes, and once for more than a day; now and then
    /// the store is opened anew.
    async fn crash(&mut self) {
        self.sky.cut_off(&mut self.cut_off);
        self.running = FuturesUnordered::new();
        self.leased.clear();
        self.due.clear();
        let now = self.sky.now();
        for id in std::mem::take(&mut self.called) {
            self.sky.daraja.lock().answered(id, None, now);
        }
        let Some(Daemon { payments, pipeline, writer, writer_task }) = self.daemon.take() else {
            panic!("it is down");
        };
        drop((payments, pipeline, writer));
        // What the writer had taken is kept, or not, before anybody reads again.
        writer_task.await.unwrap().unwrap();
        if self.sky.roll(3) == 0 {
            self.reopened += 1;
            self.engine.close().await;
            self.engine = Arc::new(SqliteStore::open(self.options.clone()).await.unwrap());
        }
        self.daemon = Some(start(&self.engine, &self.sky, &self.till));
        let down_ms = [1, 1_000, 300_000][usize::try_from(self.sky.roll(3)).unwrap()];
        self.down_until = later(now, self.sky.roll(down_ms));
        if self.is_shaky && self.nights == 0 && self.sky.roll(6) == 0 {
            self.nights += 1;
            self.down_until = later(now, NIGHT_MS);
        }
    }

    pub(super) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn begin(&mut self, waiting: &[TaskRow]) -> bool {
        let now = self.sky.now();
        let due: Vec<_> = waiting.iter().filter(|it| self.due_of(it) <= now).collect();
        if due.is_empty() || !self.is_up() {
            return false;
        }
        let task = due[usize::try_from(self.sky.roll(due.len() as u64)).unwrap()].clone();
        self.leased.insert(task.id.clone());
        let (payments, writer) =
            (Arc::clone(&self.daemon().payments), self.daemon().writer.clone());
        let sky = Arc::clone(&self.sky);
        self.running.push(Box::pin(async move {
            let outcome = payments.carry_out(&task).await;
            let now = sky.wall();
            let step = match outcome {
                Outcome::Done { answer } => TaskStep::Finish { answer },
                Outcome::Failed { cause, retry_after } => {
                    let pause = retry_after.unwrap_or_default().as_millis();
                    let pause = u64::try_from(pause).unwrap().max(1_000);
                    TaskStep::Postpone { due_at: later(now, pause), cause }
                }
                Outcome::Hopeless { cause } => panic!("{cause}"),
            };
            let (tenant, id) = (task.tenant.clone(), task.id.clone());
            let change = TaskChange { tenant, id, at: now, step };
            writer.transact(vec![Operation::ChangeTask(change)]).await.unwrap();
            Ended::Task(task.id)
        }));
        true
    }

    fn want(&mut self) -> bool {
        let now = self.sky.now();
        if !self.is_up() {
            return false;
        }
        let Some((_, wish)) = self.wishes.pop_if(|it| it.0 <= now) else { return false };
        let (payments, pipeline) =
            (Arc::clone(&self.daemon().payments), Arc::clone(&self.daemon().pipeline));
        let wall = self.sky.wall();
        self.running.push(Box::pin(async move {
            let (event, operations) = payments.request(&wish, wall);
            let kept = pipeline.keep(vec![event], operations.clone()).await;
            Ended::Wish(match kept {
                Ok(()) => {
                    payments.committed(&operations);
                    Ok(())
                }
                Err(WriteError::Refused(OperationError::Conflict(PAYMENT_OPEN))) => {
                    Err(Refused::Open)
                }
                Err(error) => Err(Refused::Other(error.to_string())),
            })
        }));
        true
    }

    fn call_back(&mut self) -> bool {
        let now = self.sky.now();
        // Also where a customer decides, and nothing leaves.
        let is_due = self.sky.daraja.lock().next_at().is_some_and(|it| it <= now);
        let out = self.sky.daraja.lock().due(now);
        for out in out {
            if self.is_up() {
                self.called.insert(out.id);
                self.running.push(heard(&self.daemon().payments, &out));
            } else {
                self.sky.daraja.lock().answered(out.id, None, now);
            }
        }
        is_due
    }

    pub(super) async fn rows(&self) -> Vec<PaymentRow> {
        let tenant = Tenant::default();
        crate::store::PaymentStore::payments(&*self.engine, &tenant, None, None, 10_000)
            .await
            .unwrap()
    }

    /// Something outside the run, through to its end.
    pub(super) async fn through<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(TOKEN_PAUSE) => {
                    if let Some(next) = self.sky.next_wait() {
                        self.sky.pass_until(next);
                        self.sky.let_go();
                    }
                }
            }
        }
    }
}

/// One callback, until it is answered.
fn heard(payments: &Arc<Payments>, out: &CallbackOut) -> BoxFuture<'static, Ended> {
    let claim = claim_of(Callback::parse(out.body.as_bytes()).unwrap());
    let (payments, id) = (Arc::clone(payments), out.id);
    Box::pin(async move {
        let kept: Result<_, Unkept> = payments.called_back(&claim).await;
        let status = if kept.is_ok() { 200 } else { 503 };
        Ended::Callback(id, status, claim.receipt)
    })
}
