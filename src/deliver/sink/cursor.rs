//! The cursor: what is on disk of a sink's progress, and how it gets there.

use super::ahead::Ahead;
use super::{LETTERS_PAGE, Sink, SinkError};
use crate::store::{
    NewDeadLetter, Operation, OperationError, Page, Position, StoredEvent, WriteError, Writer,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// The cursor as it is on disk.
#[derive(Clone, Copy, Default)]
pub(super) struct Stored {
    pub(super) done: Position,
    /// Whether the ends of batches stand beside it.
    pub(super) holds_ends: bool,
}

/// A step of the cursor that is not on disk yet.
pub(super) struct Pending {
    pub(super) to: Position,
    pub(super) parked: Vec<NewDeadLetter>,
}

/// How long a sink waits when the store has no room even for its cursor.
const FULL_PAUSE: Duration = Duration::from_millis(500);

impl Sink {
    /// Makes or finds the cursor, and learns which devices are parked.
    pub(super) async fn open(&mut self) -> Result<(), SinkError> {
        let required = self.options.optional.is_none();
        let cursor = loop {
            let cursors = self.store.cursors().await.map_err(SinkError::Read)?;
            let found = cursors.into_iter().find(|cursor| cursor.name == self.cursor);
            match found {
                Some(cursor) if cursor.required == required => break cursor,
                Some(_) | None => {
                    let name = self.cursor.clone();
                    self.write(|| vec![Operation::PutCursor { name: name.clone(), required }])
                        .await?;
                }
            }
        };
        self.stored = Stored { done: cursor.done, holds_ends: !cursor.batch_ends.is_empty() };
        self.reader.read_to = cursor.done;
        self.ahead = Ahead::found(cursor.done, cursor.batch_ends);
        let (mut after, mut count) = (None, 0);
        loop {
            let page = Page { after, rows_max: LETTERS_PAGE };
            let letters = self.store.dead_letters(None, Some(&self.options.name), page).await;
            let letters = letters.map_err(SinkError::Read)?;
            let Some(last) = letters.last() else { break };
            after = Some(last.id);
            count += letters.len();
            for letter in &letters {
                self.parked.add(&letter.event.tenant, &letter.event.device);
            }
        }
        self.metrics.found_waiting(count);
        self.metrics.devices_parked(self.parked.len());
        self.replay_at = (self.parked.len() > 0).then(Instant::now);
        info!(sink = %self.options.name, done = %self.stored.done, "sink opened");
        Ok(())
    }

    /// Notes that everything up to `to` is done with; stored with the next write.
    pub(super) fn done_to(&mut self, to: Position, mut parked: Vec<NewDeadLetter>) {
        if to <= self.done() {
            return;
        }
        self.reader.window.forget_ahead(to);
        self.metrics.parked(parked.len());
        parked.sort_by_key(|letter| letter.event.position);
        let pending = self.pending.get_or_insert_with(|| Pending { to, parked: Vec::new() });
        pending.to = to;
        pending.parked.append(&mut parked);
    }

    /// Stores the pending step, when there is one and the last is `age` old.
    pub(super) async fn flush(&mut self, age: Duration) -> Result<(), SinkError> {
        let has_parked = self.pending.as_ref().is_some_and(|pending| !pending.parked.is_empty());
        if self.pending.is_some() && (has_parked || self.flushed_at.elapsed() >= age) {
            self.finish_step().await?;
            self.start_step();
        }
        // What is on its way is on disk soon.
        self.finish_step().await
    }

    /// Writes until there is room for it.
    pub(super) async fn write(
        &self,
        operations: impl Fn() -> Vec<Operation>,
    ) -> Result<(), SinkError> {
        write(&self.writer, &self.options.name, operations).await
    }
}

/// Writes until there is room for it.
pub(super) async fn write(
    writer: &Writer,
    sink: &str,
    operations: impl Fn() -> Vec<Operation>,
) -> Result<(), SinkError> {
    loop {
        match writer.transact(operations()).await {
            Ok(()) => return Ok(()),
            Err(WriteError::Full) => {
                warn!(sink, "no room for the cursor, waiting");
                sleep(FULL_PAUSE).await;
            }
            Err(WriteError::Refused(OperationError::Missing(_))) => return Err(SinkError::Dropped),
            Err(error) => return Err(SinkError::Write(error)),
        }
    }
}

/// Events that wait behind a parked one, as dead letters.
pub(super) fn waiting(events: Vec<StoredEvent>) -> Vec<NewDeadLetter> {
    let letter = |event| NewDeadLetter { event, reason: WAITS_BEHIND.into() };
    events.into_iter().map(letter).collect()
}

/// Why an event is a dead letter that no backend refused.
pub(super) const WAITS_BEHIND: &str =
    "waits behind an event of its device that the sink would not take";
