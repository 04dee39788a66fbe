//! The one way in: group commit.
//!
//! One task drains whatever has arrived, has the engine commit it in one transaction, and then
//! releases the waiting acknowledgements. While a commit runs, the next group gathers: the slower
//! the disk, the larger the groups. When the store is full, facts are refused at once, while what
//! moves cursors and frees space goes on; room found again is noticed here.

use super::{CommitError, Operation, OperationError, Store, Write, WriteError};
use model::Event;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Most writes in one group. Beyond some 2,000 a larger group gains nothing and waits longer.
    pub group_max: usize,
    /// Most writes that may wait for the next group; who comes later waits to be let in, and his
    /// socket is not read.
    pub queue_max: usize,
    /// How often a full store is asked whether there is room again.
    pub room_interval: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { group_max: 2_000, queue_max: 8_192, room_interval: Duration::from_millis(500) }
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

struct Job {
    write: Write,
    settled: oneshot::Sender<Result<(), WriteError>>,
}

/// A handle to the writer task. Clones share it; it ends when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    room: watch::Receiver<Room>,
    committed: watch::Receiver<u64>,
}

impl Writer {
    /// Starts the writer over `store`. The returned future is the writer itself, to be spawned; it
    /// ends when every handle is dropped and everything accepted is on disk, or when the store
    /// fails.
    pub fn new(
        store: Arc<dyn Store>,
        options: WriterOptions,
    ) -> (Self, impl Future<Output = Result<(), CommitError>> + Send + 'static) {
        let (jobs, queue) = mpsc::channel(options.queue_max);
        let (room, room_seen) = watch::channel(Room::Free);
        let (committed, committed_seen) = watch::channel(0);
        let task = Task { store, options, queue, room, committed };
        (Self { jobs, room: room_seen, committed: committed_seen }, task.run())
    }

    /// Makes facts durable, with the operations that belong to them. When this returns `Ok`, they
    /// are on disk and the device may be answered.
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
        let (settled, outcome) = oneshot::channel();
        self.jobs.send(Job { write, settled }).await.map_err(|_| WriteError::Closed)?;
        outcome.await.unwrap_or(Err(WriteError::Closed))
    }
}

struct Task {
    store: Arc<dyn Store>,
    options: WriterOptions,
    queue: mpsc::Receiver<Job>,
    room: watch::Sender<Room>,
    committed: watch::Sender<u64>,
}

impl Task {
    async fn run(mut self) -> Result<(), CommitError> {
        let mut jobs = Vec::with_capacity(self.options.group_max);
        let mut ask_for_room = interval(self.options.room_interval);
        ask_for_room.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = self.queue.recv_many(&mut jobs, self.options.group_max) => {
                    if taken == 0 {
                        return Ok(());
                    }
                    self.commit(&mut jobs).await?;
                }
                _ = ask_for_room.tick() => self.look_for_room().await?,
            }
        }
    }

    async fn commit(&mut self, jobs: &mut Vec<Job>) -> Result<(), CommitError> {
        let room = *self.room.borrow();
        if room == Room::Full {
            refuse_growth(jobs);
        }
        let (group, waiting): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.write, job.settled)).unzip();
        if group.is_empty() {
            return Ok(());
        }
        match self.store.commit(&group).await {
            Ok(outcomes) => self.release(&group, waiting, outcomes),
            Err(CommitError::Full) => {
                self.fill_up().await?;
                // Cursors move on the room that the ballast gave back; all else is refused.
                *jobs = group
                    .into_iter()
                    .zip(waiting)
                    .map(|(write, settled)| Job { write, settled })
                    .collect();
                refuse_growth(jobs);
                self.commit_in_full_store(jobs).await?;
            }
            Err(failed) => {
                self.room.send_replace(Room::Failed);
                return Err(failed);
            }
        }
        Ok(())
    }

    async fn commit_in_full_store(&mut self, jobs: &mut Vec<Job>) -> Result<(), CommitError> {
        let (group, waiting): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.write, job.settled)).unzip();
        match self.store.commit(&group).await {
            Ok(outcomes) => self.release(&group, waiting, outcomes),
            // Even the ballast is used up: readers repeat their batch once there is room.
            Err(CommitError::Full) => drop_all(waiting, WriteError::Full),
            Err(failed) => {
                self.room.send_replace(Room::Failed);
                return Err(failed);
            }
        }
        Ok(())
    }

    fn release(
        &self,
        group: &[Write],
        waiting: Vec<oneshot::Sender<Result<(), WriteError>>>,
        outcomes: Vec<Result<(), OperationError>>,
    ) {
        let has_events = |write: &Write| match write {
            Write::Append { events, .. } => !events.is_empty(),
            Write::Transact(_) => false,
        };
        if group.iter().any(has_events) {
            self.committed.send_modify(|count| *count += 1);
        }
        for (settled, outcome) in waiting.into_iter().zip(outcomes) {
            // Who no longer waits has gone away: his fact is kept all the same.
            let _ = settled.send(outcome.map_err(WriteError::Refused));
        }
    }

    async fn fill_up(&self) -> Result<(), CommitError> {
        self.room.send_replace(Room::Full);
        self.store.set_ballast(false).await
    }

    async fn look_for_room(&self) -> Result<(), CommitError> {
        let Ok(usage) = self.store.usage().await else { return Ok(()) };
        let full = usage.used_bytes >= usage.quota_bytes;
        let room = *self.room.borrow();
        match (room, full) {
            (Room::Full, false) => match self.store.set_ballast(true).await {
                Ok(()) => drop(self.room.send_replace(Room::Free)),
                Err(CommitError::Full) => self.store.set_ballast(false).await?,
                Err(failed) => return Err(failed),
            },
            (Room::Free, true) => self.fill_up().await?,
            (Room::Free | Room::Full | Room::Failed, _) => {}
        }
        Ok(())
    }
}

/// Answers those whose write would take room, and keeps the others.
fn refuse_growth(jobs: &mut Vec<Job>) {
    let mut kept = Vec::with_capacity(jobs.len());
    for job in jobs.drain(..) {
        let frees = match &job.write {
            Write::Append { .. } => false,
            Write::Transact(operations) => operations.iter().all(Operation::frees_space),
        };
        if frees {
            kept.push(job);
        } else {
            let _ = job.settled.send(Err(WriteError::Full));
        }
    }
    *jobs = kept;
}

fn drop_all(waiting: Vec<oneshot::Sender<Result<(), WriteError>>>, error: WriteError) {
    for settled in waiting {
        let _ = settled.send(Err(error));
    }
}
