//! Reads the outbox ahead of a sink.

use super::Filter;
use super::batch::Window;
use super::metrics::SinkMetrics;
use super::parked::ParkedDevices;
use crate::store::{Position, ReadError, Store, StoredEvent};
use std::sync::Arc;
use tokio::sync::watch;
use tracing::error;

/// Keeps a window of wanted events filled. Holds at most what one batch needs and one read more.
pub(super) struct Reader {
    store: Arc<dyn Store>,
    committed: watch::Receiver<u64>,
    filter: Filter,
    pub(super) window: Window,
    /// Everything up to here was read; what was not wanted is not in the window.
    pub(super) read_to: Position,
    /// Whether the last read found the end of the outbox.
    caught_up: bool,
    /// Up to here events are read one by one: among them is a damaged one.
    careful_to: Option<Position>,
    /// Events that were not there any more: they were trimmed before this reader came for them.
    missing: Option<Missing>,
    rows_max: usize,
    bytes_max: usize,
}

/// Neighbouring events that were passed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Missing {
    pub(super) first: Position,
    pub(super) last: Position,
}

impl Missing {
    /// What lies behind `after` and not behind `last`.
    pub(super) fn between(after: Position, last: Position) -> Self {
        Self { first: Position { sequence: after.sequence + 1, ..after }, last }
    }

    pub(super) fn events(&self) -> u64 {
        self.last.sequence - self.first.sequence + 1
    }
}

impl Reader {
    pub(super) fn new(
        store: Arc<dyn Store>,
        committed: watch::Receiver<u64>,
        filter: Filter,
        rows_max: usize,
        bytes_max: usize,
    ) -> Self {
        Self {
            store,
            committed,
            filter,
            window: Window::default(),
            read_to: Position::default(),
            caught_up: false,
            careful_to: None,
            missing: None,
            rows_max,
            bytes_max,
        }
    }

    /// Reads until there is a batch's worth of events or no more to read. Cancelled in between, it
    /// has lost nothing.
    ///
    /// One call makes at most [`READS_MAX`] reads, so that the cursor moves on while a filter leaves
    /// nearly everything out.
    pub(super) async fn fill(&mut self, metrics: &SinkMetrics) -> Result<(), ReadError> {
        /// Reads of one call.
        const READS_MAX: usize = 16;
        for _ in 0..READS_MAX {
            if self.is_full() {
                break;
            }
            if self.committed.has_changed().unwrap_or(true) {
                self.caught_up = false;
            }
            if self.caught_up {
                break;
            }
            self.read(metrics).await?;
        }
        Ok(())
    }

    /// What was found missing since this was asked last.
    pub(super) fn take_missing(&mut self) -> Option<Missing> {
        self.missing.take()
    }

    /// Forgets what was read and goes on behind `to`.
    pub(super) fn jump(&mut self, to: Position) {
        self.window = Window::default();
        self.read_to = to;
        self.caught_up = false;
    }

    /// Whether nothing more is known to be in the outbox.
    pub(super) fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Whether the window holds a batch's worth.
    pub(super) fn is_full(&self) -> bool {
        self.window.len() >= self.rows_max || self.window.bytes() >= self.bytes_max
    }

    /// Waits for a commit; false when there will be none.
    pub(super) async fn commit(&mut self) -> bool {
        let changed = self.committed.changed().await.is_ok();
        self.caught_up = false;
        changed
    }

    /// Looks beyond the window for the first event of another device than `culprit`'s, which fills
    /// the window alone. Keeps nothing of what it reads; `looked_to` remembers how far it came, for
    /// the next call.
    pub(super) async fn look_beyond(
        &self,
        culprit: &StoredEvent,
        parked: &ParkedDevices,
        looked_to: &mut Option<Position>,
    ) -> Result<Option<StoredEvent>, ReadError> {
        /// Reads of one call, so that a round of attempts stays short.
        const READS_MAX: usize = 64;
        for _ in 0..READS_MAX {
            let after = looked_to.unwrap_or(self.read_to).max(self.read_to);
            let events = self.store.events_after(after, self.rows_max, self.bytes_max).await;
            let events = match events {
                // Reading in turn will come to it, and tell.
                Err(ReadError::Damaged(_)) => Vec::new(),
                other => other?,
            };
            *looked_to = events.last().map(|event| event.position);
            if events.is_empty() {
                break;
            }
            let other = |event: &StoredEvent| {
                (&event.tenant, &event.device) != (&culprit.tenant, &culprit.device)
                    && !parked.holds(&event.tenant, &event.device)
                    && !self.window.is_ahead(event.position)
                    && self.filter.wants(event)
            };
            if let Some(found) = events.into_iter().find(other) {
                *looked_to = None;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn read(&mut self, metrics: &SinkMetrics) -> Result<(), ReadError> {
        // Before the read: a commit during it is seen by the next.
        self.committed.borrow_and_update();
        let careful = self.careful_to.is_some_and(|to| self.read_to < to);
        let rows_max = if careful { 1 } else { self.rows_max };
        match self.store.events_after(self.read_to, rows_max, self.bytes_max).await {
            Ok(events) => {
                self.caught_up = events.is_empty();
                let first = events.first().map(|event| event.position.sequence - 1);
                if let Some(sequence) = first.filter(|before| *before > self.read_to.sequence) {
                    let last = Position { sequence, ..self.read_to };
                    let missing = Missing::between(self.read_to, last);
                    // One that was not told of yet lies before this one: what was read between the
                    // two is told of as missing, too, rather than nothing.
                    let first = self.missing.map_or(missing.first, |earlier| earlier.first);
                    self.missing = Some(Missing { first, ..missing });
                }
                for event in events {
                    self.read_to = event.position;
                    if self.filter.wants(&event) {
                        self.window.push(event);
                    }
                }
                Ok(())
            }
            Err(ReadError::Damaged(position)) if careful => {
                error!(%position, "skipped a damaged event: restore it from a backup");
                metrics.damaged();
                self.read_to = position;
                Ok(())
            }
            Err(ReadError::Damaged(position)) => {
                self.careful_to = Some(position);
                Ok(())
            }
            Err(failed) => Err(failed),
        }
    }
}
