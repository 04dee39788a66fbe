//! The task of one sink: reads after its cursor, sends, and moves the cursor when the backend has
//! the batch.
//!
//! ```text
//!   outbox ──Reader──▶ window ──cut──▶ batches ──PrepareBatches──▶ Carrier ──2xx──▶ AdvanceCursor
//!                        ▲                                          │
//!                        └───────────── halved, or again ◀──────────┘
//! ```
//!
//! One batch is on its way at a time, so the order of every device is the order of the outbox. The next
//! are read and cut meanwhile, and their ends stored many at once, together with the cursor's step.
//! Never gives up on a batch, never skips an event that it has not parked, unless the sink is one that
//! the outbox does not wait for.

mod ahead;
mod cursor;
mod isolate;
mod replay;
mod skip;

use super::backoff::Backoff;
use super::batch::{Batch, Bounds, Taken};
use super::metrics::SinkMetrics;
use super::options::cursor_name;
use super::parked::ParkedDevices;
use super::reader::Reader;
use super::{Carrier, FailureClass, Message, Metrics, Outcome, Replays, SinkOptions, cloud_event};
use crate::clock::Clock;
use crate::store::{Position, ReadError, Store, WriteError, Writer};
use ahead::{Ahead, Cut};
use cursor::{Pending, Stored, WAITS_BEHIND, waiting};
use isolate::Hunt;
use model::Random;
use skip::Behind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What every sink needs of the daemon.
#[derive(Clone)]
pub struct SinkContext {
    /// Where events are read.
    pub store: Arc<dyn Store>,
    /// Where cursors are moved.
    pub writer: Writer,
    /// The clock.
    pub clock: Clock,
    /// The node's name: the CloudEvents `source` is `/lastmile/<node>`.
    pub node: Box<str>,
    /// The metrics.
    pub metrics: Metrics,
    /// Tells when an operator asked for dead letters to be tried again.
    pub replays: Replays,
}

/// One sink.
pub struct Sink {
    options: SinkOptions,
    cursor: Box<str>,
    source: String,
    store: Arc<dyn Store>,
    writer: Writer,
    clock: Clock,
    carrier: Arc<dyn Carrier>,
    random: Box<dyn Random + Send + Sync>,
    metrics: SinkMetrics,
    replays: watch::Receiver<u64>,
    /// Kept so that the receiver never ends before the sink.
    _replays: Replays,
    replay_at: Option<Instant>,
    replay_pauses: Backoff,
    replay_failures: u32,
    reader: Reader,
    parked: ParkedDevices,
    stored: Stored,
    pending: Option<Pending>,
    ahead: Ahead,
    hunt: Hunt,
    pauses: Backoff,
    sent_at: Option<Instant>,
    flushed_at: Instant,
    /// For a sink that is not required.
    behind: Option<Behind>,
    stop: CancellationToken,
}

/// Whether the task goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    On,
    Stop,
}

/// How often the cursor's steps over unwanted events are stored.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Dead letters read at once.
const LETTERS_PAGE: usize = 500;

impl Sink {
    /// A sink that sends through `carrier`. `random` is for the jitter of its pauses.
    pub fn new(
        options: SinkOptions,
        carrier: Arc<dyn Carrier>,
        context: &SinkContext,
        random: Box<dyn Random + Send + Sync>,
    ) -> Self {
        Self {
            cursor: cursor_name(&options.name),
            source: cloud_event::source(&context.node),
            store: Arc::clone(&context.store),
            writer: context.writer.clone(),
            clock: context.clock,
            carrier,
            random,
            metrics: context.metrics.of_sink(&options.name),
            replays: context.replays.subscribe(),
            _replays: context.replays.clone(),
            replay_at: None,
            replay_pauses: Backoff::new(options.retry_min, options.retry_max),
            replay_failures: 0,
            reader: Reader::new(
                Arc::clone(&context.store),
                context.writer.committed(),
                options.filter.clone(),
                options.batch_rows_max,
                options.batch_bytes_max,
            ),
            parked: ParkedDevices::default(),
            stored: Stored::default(),
            pending: None,
            ahead: Ahead::default(),
            hunt: Hunt::default(),
            pauses: Backoff::new(options.retry_min, options.retry_max),
            sent_at: None,
            flushed_at: Instant::now(),
            behind: options.optional.as_ref().map(Behind::new),
            stop: CancellationToken::new(),
            options,
        }
    }

    /// Delivers until `stop` is cancelled; then what is left in the outbox, until it is empty, an
    /// attempt fails, or `grace` is over. A batch that is on its way then is abandoned, and sent
    /// again under the same id after the next start.
    pub async fn run(mut self, stop: CancellationToken, grace: Duration) -> Result<(), SinkError> {
        self.stop = stop.clone();
        let grace_is_over = async {
            stop.cancelled().await;
            sleep(grace).await;
        };
        tokio::select! {
            ended = self.work() => match ended {
                // The writer ends first only when the daemon does.
                Err(SinkError::Write(WriteError::Closed)) | Ok(()) => Ok(()),
                Err(error) => Err(error),
            },
            () = grace_is_over => Ok(()),
        }
    }

    async fn work(&mut self) -> Result<(), SinkError> {
        self.open().await?;
        loop {
            if self.replay_due() && self.replay().await? == Step::Stop {
                return Ok(());
            }
            self.skip_if_behind().await?;
            if self.ahead.is_empty() {
                self.gather().await?;
                self.cut();
            }
            let step = match self.ahead.next() {
                Some(Cut::Batch(batch)) => self.deliver(batch).await?,
                Some(Cut::WalkedOver { to, behind }) => {
                    self.done_to(to, waiting(behind));
                    if self.ahead.is_empty() { self.idle().await? } else { Step::On }
                }
                None => self.idle().await?,
            };
            if step == Step::Stop {
                return self.flush(Duration::ZERO).await;
            }
        }
    }

    /// Fills the window; waits a little for more when it is not full and a batch left just now.
    async fn gather(&mut self) -> Result<(), SinkError> {
        self.fill().await?;
        // A batch that was stored before a restart ends where it ended then: read that far.
        while self.ahead.end_max().is_some_and(|end| self.reader.read_to < end)
            && !self.reader.is_full()
            && !self.reader.is_caught_up()
        {
            self.fill().await?;
        }
        let due = self.sent_at.map(|sent_at| sent_at + self.options.linger);
        if let Some(due) = due.filter(|due| *due > Instant::now())
            && !self.reader.is_full()
            && self.reader.window.len() > 0
            && !self.stop.is_cancelled()
        {
            sleep_until(due).await;
            self.fill().await?;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), SinkError> {
        self.reader.fill(&self.metrics).await.map_err(SinkError::Read)
    }

    /// Whether nothing is known against any event: then batches are cut before their turn.
    fn is_calm(&self) -> bool {
        self.hunt.is_calm()
    }

    /// Takes the next batch off the window.
    fn take(&mut self, end_max: Option<Position>) -> Taken {
        let bounds = Bounds {
            rows_max: self.hunt.rows_max(self.options.batch_rows_max),
            bytes_max: self.options.batch_bytes_max,
            end_max,
        };
        let names = (&*self.options.name, &*self.source);
        self.reader.window.take(names, bounds, &self.parked, self.reader.read_to)
    }

    /// Sends a batch until it is taken, split or parked.
    async fn deliver(&mut self, batch: Batch) -> Result<Step, SinkError> {
        self.prepare(batch.end).await?;
        loop {
            let outcome = self.attempt(&batch.message, self.is_calm()).await?;
            if outcome != Outcome::Taken {
                self.hunt.failed();
            }
            match outcome {
                Outcome::Taken => {
                    self.took(batch);
                    return Ok(Step::On);
                }
                Outcome::Refused { status } if batch.events.len() > 1 => {
                    info!(sink = %self.options.name, status, "batch refused, halving it");
                    self.halve(batch);
                    return Ok(Step::On);
                }
                Outcome::Refused { .. } => return self.judge(batch, outcome).await,
                Outcome::Failed { retry_after, .. } => {
                    let suspicious = self.hunt.failing_for() >= self.options.poison_after / 2;
                    if suspicious && batch.events.len() == 1 {
                        return self.judge(batch, outcome).await;
                    }
                    if self.pause(retry_after).await == Step::Stop {
                        return Ok(Step::Stop);
                    }
                    if self.skip_if_behind().await? {
                        return Ok(Step::On);
                    }
                    if suspicious {
                        self.halve(batch);
                        return Ok(Step::On);
                    }
                }
            }
        }
    }

    /// One attempt; the next batch is read meanwhile, or cut, too.
    async fn attempt(&mut self, message: &Message, cut: bool) -> Result<Outcome, SinkError> {
        self.sent_at = Some(Instant::now());
        let carrier = Arc::clone(&self.carrier);
        let meanwhile =
            async { if cut { self.work_ahead().await.map(drop) } else { self.fill().await } };
        let (outcome, done) = tokio::join!(carrier.send(message), meanwhile);
        done?;
        self.metrics.attempted(outcome);
        if let Outcome::Failed { class, .. } = outcome {
            warn!(sink = %self.options.name, ?class, id = %message.id, "delivery failed");
            if class == FailureClass::SignIn {
                self.metrics.endpoint_refuses();
            }
        }
        Ok(outcome)
    }

    fn took(&mut self, batch: Batch) {
        self.metrics.took(batch.events.len());
        self.hunt.succeeded(batch.events.len());
        self.pauses.reset();
        self.done_to(batch.end, waiting(batch.behind));
    }

    fn halve(&mut self, batch: Batch) {
        self.hunt.suspect(batch.events.len());
        self.put_back(batch);
    }

    /// Waits for something to do.
    async fn idle(&mut self) -> Result<Step, SinkError> {
        if !self.reader.is_caught_up() || self.reader.window.len() > 0 {
            self.flush(FLUSH_INTERVAL).await?;
            return Ok(Step::On);
        }
        if self.stop.is_cancelled() {
            return Ok(Step::Stop);
        }
        // What a backend took is stored at once; what was only walked over may wait for company.
        let walked_over = !self.stored.holds_ends;
        self.flush(if walked_over { FLUSH_INTERVAL } else { Duration::ZERO }).await?;
        let flush_at = self.pending.as_ref().map(|_| self.flushed_at + FLUSH_INTERVAL);
        let wake_at = flush_at.into_iter().chain(self.replay_at).min();
        tokio::select! {
            more = self.reader.commit() => return Ok(if more { Step::On } else { Step::Stop }),
            _ = self.replays.changed() => self.replay_at = Some(Instant::now()),
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            () = self.stop.cancelled() => {}
        }
        Ok(Step::On)
    }

    /// Waits before the next attempt: full jitter, or what the backend asked for.
    async fn pause(&mut self, retry_after: Option<Duration>) -> Step {
        let drawn = self.pauses.draw(&mut *self.random);
        let asked = retry_after.unwrap_or_default().min(self.options.retry_after_max);
        tokio::select! {
            () = sleep(drawn.max(asked)) => Step::On,
            () = self.stop.cancelled() => Step::Stop,
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("name", &self.options.name).finish_non_exhaustive()
    }
}

/// Why a sink's task ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The outbox cannot be read: our own fault, the process must end.
    #[error("failed to read the outbox")]
    Read(#[source] ReadError),
    /// The cursor cannot be moved: our own fault, the process must end.
    #[error("failed to move a sink's cursor")]
    Write(#[source] WriteError),
    /// An operator dropped the sink while it ran.
    #[error("the sink was dropped")]
    Dropped,
}
