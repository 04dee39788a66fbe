//! What is to be done later and must be done once: calls that the business is owed.
//!
//! A task is a row of the store, made in the transaction of what caused it, so that neither is there
//! without the other. Before anything is sent its lease is on disk; afterwards what was answered. A
//! crash in between has it sent again under the same key, by which the far side knows it. What fails
//! is tried again, ever more seldom; what is hopeless, or too old, is parked: it stays where people
//! see it and can have it tried again.
//!
//! In memory are only names and moments. They are counted by the clock that never goes back, so that
//! a jump of the calendar neither fires a task twice nor holds it up.

mod metrics;
mod queue;
mod tries;

#[cfg(test)]
mod tests;

pub use self::metrics::Metrics;

use self::queue::{Due, Queue};
use crate::api::Mirror;
use crate::clock::{self, Clock};
use crate::shutdown::Stage;
use crate::store::{
    Operation, Store, TaskChange, TaskRow, TaskState, TaskStep, Tasks as Which, Writer,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, info};

/// Tasks under way at once: each waits for a peer. More than any one peer is called at once
/// ([`Handler::at_once`]), so that a slow one does not hold up what is owed to others.
const AT_ONCE: usize = 64;
/// Names and moments in memory, some 10 MB; what is due later than these waits in the store alone.
const QUEUE_MAX: usize = 100_000;
/// Tasks read from the store in one step.
const PAGE_ROWS: usize = 1_000;
/// How often done tasks are removed.
const TRIM_EVERY: Duration = Duration::from_secs(600);
/// Done tasks that are removed in one step.
const TRIM_ROWS: usize = 2_000;
/// How long a done task keeps its key: longer than any cause of it would ask twice.
const DONE_RETAIN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The pause after our own store would not take a step.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Carries out tasks of one kind.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does what the task says. It may have been done before: then it must do no harm, or say the
    /// task's key to whoever can tell.
    async fn carry_out(&self, task: &TaskRow) -> Outcome;

    /// Most tasks of the kind that are under way at once. What finds no room waits, which is no try.
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    /// A task will be parked, and not be tried any more. Whether it may be: whoever cannot keep now
    /// what follows from that has it tried again.
    async fn given_up(&self, _task: &TaskRow) -> bool {
        true
    }
}

/// What came of one try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done {
        /// What was answered, in plain words and without values.
        answer: Box<str>,
    },
    /// It may succeed later.
    Failed {
        /// Why, in plain words and without values.
        cause: Box<str>,
        /// Not before that has passed, if the peer said so.
        retry_after: Option<Duration>,
    },
    /// It will not succeed as it is.
    Hopeless {
        /// Why, in plain words and without values.
        cause: Box<str>,
    },
}

impl Outcome {
    /// The word in metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Hopeless { .. } => "hopeless",
        }
    }
}

/// How tasks of one kind are tried.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The pause after the first failure; it doubles with each.
    pub retry_min: Duration,
    /// The longest pause.
    pub retry_max: Duration,
    /// After so long it is given up, unless it was hardly tried: what was due while we were down, or
    /// before the calendar jumped, is old at its first try.
    pub age_max: Duration,
    /// Longest time for one try.
    pub lease: Duration,
}

#[derive(Clone)]
struct Registered {
    policy: Policy,
    handler: Arc<dyn Handler>,
    turns: Arc<Semaphore>,
}

/// The tasks of the daemon. Shared as `Arc<Tasks>`.
pub struct Tasks {
    store: Arc<dyn Store>,
    writer: Writer,
    clock: Clock,
    metrics: Metrics,
    handlers: RwLock<HashMap<&'static str, Registered>>,
    queue: Mutex<Queue>,
    news: Notify,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tasks({} in memory)", self.queue.lock().len())
    }
}

/// A new task, due at once.
pub fn task(
    tenant: &Tenant,
    kind: &'static str,
    key: &str,
    device: Option<&DeviceId>,
    body: Json,
    now: Timestamp,
) -> TaskRow {
    TaskRow {
        id: clock::new_name(now),
        tenant: tenant.clone(),
        kind: kind.into(),
        key: key.into(),
        device: device.cloned(),
        body,
        state: TaskState::Waiting,
        created_at: now,
        since: now,
        changed_at: now,
        due_at: now,
        lease_until: None,
        attempts: 0,
        cause: None,
    }
}

impl Tasks {
    /// Nothing to do yet.
    pub fn new(store: Arc<dyn Store>, writer: Writer, clock: Clock, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            store,
            writer,
            clock,
            metrics,
            handlers: RwLock::default(),
            queue: Mutex::new(Queue::new(QUEUE_MAX)),
            news: Notify::new(),
        })
    }

    /// Says who carries out tasks of a kind; before [`Tasks::run`].
    pub fn register(&self, kind: &'static str, policy: Policy, handler: Arc<dyn Handler>) {
        let turns = Arc::new(Semaphore::new(handler.at_once()));
        self.handlers.write().insert(kind, Registered { policy, handler, turns });
    }

    /// A task is on disk: it is carried out when it is due.
    pub fn added(&self, task: &TaskRow) {
        let now = self.clock.now().wall;
        if self.queue.lock().push(&task.id, task.due_at, now) {
            self.news.notify_one();
        }
    }

    /// Carries out what is due until the stage stops. Then nothing more begins, and what is under way has
    /// `drain` to end: somebody may wait for what is answered. What takes longer is cut off: it is sent
    /// again after the next start, under the same key.
    pub async fn run(self: Arc<Self>, stage: Stage, drain: Duration) {
        let (mut under_way, mut names) = (JoinSet::new(), HashMap::new());
        let mut trim = tokio::time::interval(TRIM_EVERY);
        trim.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.queue.lock().lacks_some();
        loop {
            self.refill().await;
            while under_way.len() < AT_ONCE
                && let Some(due) = self.next_due()
            {
                let tasks = Arc::clone(&self);
                let id = due.id.clone();
                let started = under_way.spawn(async move { tasks.carry_out(&due).await });
                names.insert(started.id(), id);
            }
            let has_room = under_way.len() < AT_ONCE;
            let next = self.queue.lock().next().filter(|_| has_room);
            tokio::select! {
                () = stage.stop().cancelled() => break,
                () = self.news.notified(), if has_room => {}
                () = sleep_until(next) => {}
                _ = trim.tick() => self.trim().await,
                Some(ended) = under_way.join_next_with_id(), if !under_way.is_empty() => {
                    let (started, again) = ended.unwrap_or_else(|fault| {
                        error!(error = &fault as &dyn std::error::Error, "task broke off");
                        (fault.id(), Some(queue::DELAY_MAX))
                    });
                    if let Some(id) = names.remove(&started) {
                        self.queue.lock().ended(&id, again);
                    }
                }
            }
        }
        let ended = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, ended).await.is_err() {
            info!(tasks = under_way.len(), "calls under way are cut off, and made again");
        }
    }

    fn next_due(&self) -> Option<Due> {
        self.queue.lock().pop_due(Instant::now())
    }

    /// Reads on in the store where memory does not hold all.
    async fn refill(&self) {
        let mut after = None;
        while self.queue.lock().wants_more() {
            let which = Which::Waiting { after: after.take() };
            let rows = match self.store.tasks(&which, PAGE_ROWS).await {
                Ok(rows) => rows,
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, "tasks cannot be read");
                    return self.queue.lock().try_later();
                }
            };
            let now = self.clock.now().wall;
            let mut queue = self.queue.lock();
            for row in &rows {
                queue.push(&row.id, row.due_at, now);
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE_ROWS => {
                    after = Some((last.due_at, last.id.clone()));
                }
                Some(_) | None => return queue.has_all(),
            }
        }
    }

    async fn trim(&self) {
        let now = self.clock.now().wall;
        let older_than = now.checked_sub(DONE_RETAIN).unwrap_or(Timestamp::MIN);
        let trim = Operation::TrimTasks { older_than, rows_max: TRIM_ROWS };
        if let Err(error) = self.writer.transact(vec![trim]).await {
            debug!(%error, "done tasks are not removed; tried again");
        }
        self.metrics.waiting(self.queue.lock().len());
    }
}

/// What operators change: a task that is released is due at once.
impl Mirror for Tasks {
    fn committed(&self, operation: &Operation) {
        match operation {
            Operation::PutTask(row) => self.added(row),
            Operation::ChangeTask(TaskChange { id, step: TaskStep::Release, .. }) => {
                self.queue.lock().hasten(id);
                self.news.notify_one();
            }
            _ => {}
        }
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}
