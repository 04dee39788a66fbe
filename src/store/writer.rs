//! The one way in: group commit.
//!
//! One task drains whatever has arrived, has the engine commit it in one transaction, and then
//! releases the waiting acknowledgements. While a commit runs, the next group gathers: the slower
//! the disk, the larger the groups. When the store is full, facts are refused at once, while what
//! moves cursors and frees space goes on; room found again is noticed here. When the store fails,
//! nobody is released any more: the writer ends with the error, and the process with it.

use super::{CommitError, Metrics, Operation, OperationError, Store, Write, WriteError};
use crate::clock::Clock;
use model::Event;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Most writes in one group. Beyond some 2,000 a larger group gains nothing and waits longer.
    pub group_max: usize,
    /// Most writes that may wait for the next group; who comes later waits to be let in, and his
    /// socket is not read.
    pub queue_max: usize,
    /// How often the store is asked whether there is room (still, or again).
    pub room_interval: Duration,
    /// It is asked after so many bytes of facts and bodies, too: at full speed the interval is long. The
    /// quota is passed by this and a group at most, which is less than the ballast.
    pub room_check_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            group_max: 2_000,
            queue_max: 8_192,
            room_interval: Duration::from_millis(500),
            room_check_bytes: 1024 * 1024,
        }
    }
}

/// Whether facts are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Room {
    /// There is room.
    Free,
    /// The quota or the disk is full: facts are refused until there is room again.
    Full,
    /// A write failed: nothing will be taken again, and the process must end.
    Failed,
}

type Settled = oneshot::Sender<Result<(), WriteError>>;

struct Job {
    write: Write,
    settled: Settled,
}

/// A handle to the writer task. Clones share it; it ends when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    room: watch::Receiver<Room>,
    committed: watch::Receiver<u64>,
    metrics: Metrics,
}

impl Writer {
    /// Starts the writer over `store`. The returned future is the writer itself, to be spawned; it
    /// ends when every handle is dropped and everything accepted is on disk, or when the store
    /// fails: then the process must end, since what it cannot keep it may not acknowledge.
    pub fn new(
        store: Arc<dyn Store>,
        options: WriterOptions,
    ) -> (Self, impl Future<Output = Result<(), CommitError>> + Send + 'static) {
        Self::measured(store, options, Metrics::unregistered())
    }

    /// As [`Writer::new`], seen through `metrics`.
    pub fn measured(
        store: Arc<dyn Store>,
        options: WriterOptions,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = Result<(), CommitError>> + Send + 'static) {
        let (jobs, queue) = mpsc::channel(options.queue_max);
        let (room, room_seen) = watch::channel(Room::Free);
        let (committed, committed_seen) = watch::channel(0);
        let task = Task {
            store,
            options,
            queue,
            room,
            committed,
            unchecked_bytes: 0,
            clock: Clock::start(),
            metrics: metrics.clone(),
        };
        (Self { jobs, room: room_seen, committed: committed_seen, metrics }, task.run())
    }

    /// Makes facts durable, with the operations that belong to them. When this returns `Ok`, they
    /// are on disk and the device may be answered. When it is dropped before, they may be kept all
    /// the same.
    pub async fn append(
        &self,
        events: Vec<Event>,
        operations: Vec<Operation>,
    ) -> Result<(), WriteError> {
        self.write(Write::Append { events, operations }).await
    }

    /// Applies operations, all or none.
    pub async fn transact(&self, operations: Vec<Operation>) -> Result<(), WriteError> {
        self.write(Write::Transact(operations)).await
    }

    /// Whether facts are taken at the moment: listeners ask before they accept work.
    pub fn room(&self) -> Room {
        *self.room.borrow()
    }

    /// Follows [`Writer::room`].
    pub fn room_changes(&self) -> watch::Receiver<Room> {
        self.room.clone()
    }

    /// Counts commits that held events: readers of the outbox wait for it to change.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    async fn write(&self, write: Write) -> Result<(), WriteError> {
        match self.room() {
            Room::Full if !frees_space(&write) => {
                self.metrics.refused_full();
                return Err(WriteError::Full);
            }
            Room::Failed => return Err(WriteError::Closed),
            Room::Full | Room::Free => {}
        }
        let (settled, outcome) = oneshot::channel();
        self.jobs.send(Job { write, settled }).await.map_err(|_| WriteError::Closed)?;
        // A job that the writer did not come to is dropped by it, see `Task::turn_away`.
        outcome.await.unwrap_or(Err(WriteError::Closed))
    }
}

/// Whether a full store must still take it.
fn frees_space(write: &Write) -> bool {
    match write {
        Write::Append { .. } => false,
        // Its line of the audit trail may ride along: else no operator could free space by hand.
        Write::Transact(operations) => {
            let rides = |it: &Operation| it.frees_space() || matches!(it, Operation::Audit(_));
            operations.iter().any(Operation::frees_space) && operations.iter().all(rides)
        }
    }
}

struct Task {
    store: Arc<dyn Store>,
    options: WriterOptions,
    queue: mpsc::Receiver<Job>,
    room: watch::Sender<Room>,
    committed: watch::Sender<u64>,
    /// Bytes of facts and bodies since the store was last asked for room.
    unchecked_bytes: usize,
    clock: Clock,
    metrics: Metrics,
}

impl Task {
    async fn run(mut self) -> Result<(), CommitError> {
        let outcome = self.serve().await;
        if outcome.is_err() {
            // Told before the queue is dropped, so that nobody is told "closed" and then asks.
            self.set_room(Room::Failed);
        }
        self.turn_away().await;
        outcome
    }

    /// Drops what is in the queue, and what is still put into it by those who were let in. Left in
    /// there, a job would stay for as long as there are handles, and its outcome be waited for for
    /// ever by one of them.
    async fn turn_away(&mut self) {
        self.queue.close();
        while self.queue.recv().await.is_some() {}
    }

    async fn serve(&mut self) -> Result<(), CommitError> {
        // Room is what the ballast could be written to.
        self.make_room().await?;
        self.look_for_room().await?;
        let mut jobs = Vec::with_capacity(self.options.group_max);
        let first = Instant::now() + self.options.room_interval;
        let mut ask_for_room = interval_at(first, self.options.room_interval);
        ask_for_room.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = self.queue.recv_many(&mut jobs, self.options.group_max) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.commit(&mut jobs).await?;
                    if self.unchecked_bytes >= self.options.room_check_bytes {
                        self.look_for_room().await?;
                    }
                }
                _ = ask_for_room.tick() => self.look_for_room().await?,
            }
        }
    }

    async fn commit(&mut self, jobs: &mut Vec<Job>) -> Result<(), CommitError> {
        if *self.room.borrow() == Room::Full {
            self.refuse_growth(jobs);
        }
        let Some((group, waiting)) = self.try_commit(jobs).await? else { return Ok(()) };
        // The group did not fit. Cursors move on the room that the ballast gave back; all else is
        // refused.
        self.set_room(Room::Full);
        self.store.set_ballast(false).await?;
        jobs.extend(group.into_iter().zip(waiting).map(|(write, settled)| Job { write, settled }));
        self.refuse_growth(jobs);
        if let Some((_, waiting)) = self.try_commit(jobs).await? {
            // Even the ballast is used up: readers repeat their batch once there is room.
            for settled in waiting {
                self.metrics.refused_full();
                let _ = settled.send(Err(WriteError::Full));
            }
        }
        Ok(())
    }

    /// Commits the jobs and releases who waits; hands them back when there was no room.
    async fn try_commit(
        &mut self,
        jobs: &mut Vec<Job>,
    ) -> Result<Option<(Vec<Write>, Vec<Settled>)>, CommitError> {
        let (group, waiting): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.write, job.settled)).unzip();
        if group.is_empty() {
            return Ok(None);
        }
        let start = self.clock.now().monotonic;
        match self.store.commit(&group).await {
            Ok(outcomes) => {
                let took = self.clock.now().monotonic.since(start);
                self.metrics.committed(group.len(), took);
                self.release(&group, waiting, outcomes);
                Ok(None)
            }
            Err(CommitError::Full) => Ok(Some((group, waiting))),
            Err(failed) => Err(failed),
        }
    }

    fn release(
        &mut self,
        group: &[Write],
        waiting: Vec<Settled>,
        outcomes: Vec<Result<(), OperationError>>,
    ) {
        let mut has_events = false;
        for (write, outcome) in group.iter().zip(&outcomes) {
            if outcome.is_err() {
                self.metrics.refused_operation();
                continue;
            }
            let operations = match write {
                Write::Append { events, operations } => {
                    has_events |= !events.is_empty();
                    self.unchecked_bytes += events.iter().map(bytes_of).sum::<usize>();
                    operations
                }
                Write::Transact(operations) => operations,
            };
            self.unchecked_bytes += operations.iter().map(Operation::body_bytes).sum::<usize>();
        }
        if has_events {
            self.committed.send_modify(|count| *count += 1);
        }
        for (settled, outcome) in waiting.into_iter().zip(outcomes) {
            // Who no longer waits has gone away: his fact is kept all the same.
            let _ = settled.send(outcome.map_err(WriteError::Refused));
        }
    }

    /// Asks how much is used, and acts on a change.
    async fn look_for_room(&mut self) -> Result<(), CommitError> {
        self.unchecked_bytes = 0;
        // A reader's failure is not the writer's: the next commit tells whether the store works.
        let Ok(usage) = self.store.usage().await else { return Ok(()) };
        self.metrics.usage(usage);
        let full = usage.used_bytes >= usage.quota_bytes;
        let room = *self.room.borrow();
        match (room, full) {
            (Room::Full, false) => self.make_room().await,
            (Room::Free, true) => {
                self.set_room(Room::Full);
                self.store.set_ballast(false).await
            }
            (Room::Free | Room::Full | Room::Failed, _) => Ok(()),
        }
    }

    /// Takes the ballast; facts are taken once it is held.
    async fn make_room(&self) -> Result<(), CommitError> {
        match self.store.set_ballast(true).await {
            Ok(()) => {
                self.set_room(Room::Free);
                Ok(())
            }
            Err(CommitError::Full) => {
                self.set_room(Room::Full);
                self.store.set_ballast(false).await
            }
            Err(failed) => Err(failed),
        }
    }

    fn set_room(&self, room: Room) {
        let before = self.room.send_replace(room);
        self.metrics.room(room);
        match (before, room) {
            (Room::Free, Room::Full) => tracing::warn!("store is full, facts are refused"),
            (Room::Full, Room::Free) => tracing::info!("store has room again"),
            _ => {}
        }
    }

    /// Answers those whose write would take room, and keeps the others.
    fn refuse_growth(&self, jobs: &mut Vec<Job>) {
        let (kept, refused): (Vec<_>, Vec<_>) =
            jobs.drain(..).partition(|job| frees_space(&job.write));
        for job in refused {
            self.metrics.refused_full();
            let _ = job.settled.send(Err(WriteError::Full));
        }
        *jobs = kept;
    }
}

/// About how much room an event takes.
fn bytes_of(event: &Event) -> usize {
    /// Tenant, device, type, time, checksum and the row's own.
    const BESIDE: usize = 128;
    event.data.as_str().len() + BESIDE
}

#[cfg(test)]
mod tests;
