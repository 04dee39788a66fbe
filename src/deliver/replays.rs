//! What an operator may do to a sink while the daemon runs.

use super::options::cursor_name;
use crate::store::{Operation, WriteError, Writer};
use jiff::Timestamp;
use model::Tenant;
use std::sync::Arc;
use tokio::sync::watch;

/// Asks sinks to try dead letters again. Clones share it.
#[derive(Clone, Debug)]
pub struct Replays(Arc<watch::Sender<u64>>);

impl Default for Replays {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Replays {
    /// Marks a dead letter, and with it those of the same device and sink, to be tried again next,
    /// and wakes the sinks. Refused as `Missing` when the tenant has no such letter.
    ///
    /// `beside` is stored with it or not at all: the line of the audit trail.
    pub async fn ask(
        &self,
        writer: &Writer,
        tenant: Tenant,
        id: u64,
        at: Timestamp,
        beside: Vec<Operation>,
    ) -> Result<(), WriteError> {
        let mut operations = vec![Operation::ReplayDeadLetter { tenant, id, at }];
        operations.extend(beside);
        writer.transact(operations).await?;
        self.wake();
        Ok(())
    }

    /// Wakes the sinks after a [`Operation::ReplayDeadLetter`] was committed by other means.
    pub fn wake(&self) {
        self.0.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Forgets a sink that is no longer configured, with its cursor and dead letters, so that the
/// outbox no longer waits for it. Refused as `Missing` when there is none of that name; dropping one
/// that still runs ends its task with [`super::SinkError::Dropped`].
pub async fn drop_sink(
    writer: &Writer,
    sink: &str,
    beside: Vec<Operation>,
) -> Result<(), WriteError> {
    let mut operations = vec![Operation::DropCursor { name: cursor_name(sink) }];
    operations.extend(beside);
    writer.transact(operations).await
}
