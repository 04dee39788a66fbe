//! Changes by operators: on disk first, with their line in the audit trail, then known.
//!
//! Each change is carried out by a task of its own kind, so that a caller who hangs up between the
//! commit and the moment it is known leaves no stale registry behind. Changes of one subject go
//! through one lane, in order: the registry hears of them in the order in which they were kept.

use super::problem::{Code, Problem};
use crate::registry::Registry;
use crate::store::{Operation, WriteError, Writer};
use futures_util::future::join_all;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// How many subjects can be changed at once: changes wait for a group commit, not for each other.
const LANES: usize = 32;
/// How many changes may wait in one lane; who comes later waits to be let in.
const LANE_LEN_MAX: usize = 64;

/// Whoever keeps in memory what the store holds.
pub trait Mirror: Send + Sync + 'static {
    /// Takes over an operation that is on disk. Operations that are not its own are ignored.
    fn committed(&self, operation: &Operation);
}

impl Mirror for Registry {
    fn committed(&self, operation: &Operation) {
        self.apply_operation(operation);
    }
}

struct Job {
    operations: Vec<Operation>,
    settled: oneshot::Sender<Result<(), WriteError>>,
}

/// The way in for changes. Clones share the lanes; they end when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Changes {
    lanes: Arc<[mpsc::Sender<Job>]>,
}

impl Changes {
    /// Opens the lanes. The returned future carries the changes out, and is to be spawned; it ends
    /// when every handle is dropped and all that was accepted is done.
    pub fn new(
        writer: &Writer,
        mirrors: &[Arc<dyn Mirror>],
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (lanes, queues): (Vec<_>, Vec<_>) =
            (0..LANES).map(|_| mpsc::channel(LANE_LEN_MAX)).unzip();
        let run = |queue| carry_out(queue, writer.clone(), mirrors.to_vec());
        let all: Vec<_> = queues.into_iter().map(run).collect();
        let task = async move { drop(join_all(all).await) };
        (Self { lanes: lanes.into() }, task)
    }

    /// Makes a change durable, then known. Changes of one `lane` are made in order.
    pub async fn make(&self, lane: &str, operations: Vec<Operation>) -> Result<(), WriteError> {
        let (settled, outcome) = oneshot::channel();
        let job = Job { operations, settled };
        self.lane(lane).send(job).await.map_err(|_| WriteError::Closed)?;
        outcome.await.unwrap_or(Err(WriteError::Closed))
    }

    fn lane(&self, name: &str) -> &mpsc::Sender<Job> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = hasher.finish() % LANES as u64;
        &self.lanes[usize::try_from(index).expect("less than the number of lanes")]
    }
}

/// In which lane a change of `subject` belongs: its own, but for aliases. One that is taken from a
/// device and given to another must be known in that order.
pub(super) fn lane<'a>(operations: &[Operation], subject: &'a str) -> &'a str {
    let is_alias = |operation: &Operation| {
        matches!(operation, Operation::PutAlias { .. } | Operation::RemoveAlias { .. })
    };
    if operations.iter().any(is_alias) { "aliases" } else { subject }
}

async fn carry_out(mut queue: mpsc::Receiver<Job>, writer: Writer, mirrors: Vec<Arc<dyn Mirror>>) {
    while let Some(Job { operations, settled }) = queue.recv().await {
        let outcome = writer.transact(operations.clone()).await;
        if outcome.is_ok() {
            for operation in &operations {
                mirrors.iter().for_each(|mirror| mirror.committed(operation));
            }
        }
        // Who no longer waits has gone away: the change is made all the same.
        let _ = settled.send(outcome);
    }
}

/// Carries work to its end even when the caller hangs up: what is on disk must be known, too.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|_| Code::Internal.into())
}
