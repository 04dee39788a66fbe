//! The cursor: what is on disk of a sink's progress, and how it gets there.

use super::{LETTERS_PAGE, Sink, SinkError};
use crate::store::{
    NewDeadLetter, Operation, OperationError, Page, Position, StoredEvent, WriteError,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// The cursor as it is on disk.
#[derive(Clone, Copy, Default)]
pub(super) struct Stored {
    pub(super) done: Position,
    pub(super) batch_end: Option<Position>,
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
        self.stored = Stored { done: cursor.done, batch_end: cursor.batch_end };
        self.reader.read_to = cursor.done;
        self.resume_end = cursor.batch_end.filter(|end| *end > cursor.done);
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
        if self.resume_end.is_some_and(|end| end <= to) {
            self.resume_end = None;
        }
        if to <= self.pending.as_ref().map_or(self.stored.done, |pending| pending.to) {
            return;
        }
        self.reader.window.forget_ahead(to);
        self.metrics.parked(parked.len());
        parked.sort_by_key(|letter| letter.event.position);
        let pending = self.pending.get_or_insert_with(|| Pending { to, parked: Vec::new() });
        pending.to = to;
        pending.parked.append(&mut parked);
    }

    /// Stores the pending step together with the end of the batch that is sent next.
    pub(super) async fn prepare(&mut self, end: Position) -> Result<(), SinkError> {
        if self.pending.is_none() && self.stored.batch_end == Some(end) {
            return Ok(());
        }
        self.store_step(Some(end)).await
    }

    /// Stores the pending step, when there is one and the last is `age` old.
    pub(super) async fn flush(&mut self, age: Duration) -> Result<(), SinkError> {
        let has_parked = self.pending.as_ref().is_some_and(|pending| !pending.parked.is_empty());
        if self.pending.is_some() && (has_parked || self.flushed_at.elapsed() >= age) {
            self.store_step(None).await?;
        }
        Ok(())
    }

    pub(super) async fn store_step(&mut self, end: Option<Position>) -> Result<(), SinkError> {
        let pending = self.pending.take();
        let (name, at) = (self.cursor.clone(), self.clock.now().wall);
        let operations = || {
            let advance = pending.as_ref().map(|step| Operation::AdvanceCursor {
                name: name.clone(),
                to: step.to,
                parked: step.parked.clone(),
                at,
            });
            let prepare = end.map(|end| Operation::PrepareBatch { name: name.clone(), end });
            advance.into_iter().chain(prepare).collect()
        };
        self.write(operations).await?;
        if let Some(step) = &pending {
            self.stored = Stored { done: step.to, batch_end: None };
            self.flushed_at = Instant::now();
        }
        if end.is_some() {
            self.stored.batch_end = end;
        }
        Ok(())
    }

    /// Writes until there is room for it.
    pub(super) async fn write(
        &self,
        operations: impl Fn() -> Vec<Operation>,
    ) -> Result<(), SinkError> {
        loop {
            match self.writer.transact(operations()).await {
                Ok(()) => return Ok(()),
                Err(WriteError::Full) => {
                    warn!(sink = %self.options.name, "no room for the cursor, waiting");
                    sleep(FULL_PAUSE).await;
                }
                Err(WriteError::Refused(OperationError::Missing(_))) => {
                    return Err(SinkError::Dropped);
                }
                Err(error) => return Err(SinkError::Write(error)),
            }
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
