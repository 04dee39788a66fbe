//! What is done for batches before their turn: they are cut, and their ends go to disk many at once,
//! while those before them travel. So a batch waits for no commit of its own.
//!
//! A batch is sent only when its end is on disk, and behind an end that is on disk or the cursor: a
//! restart cuts the same ones. When one is not taken, those behind it are put back, to be cut anew.

use super::super::batch::Batch;
use super::cursor::{Pending, write};
use super::{Sink, SinkError};
use crate::store::{Operation, Position, StoredEvent, WriteError};
use std::collections::VecDeque;
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Most batches that wait for their turn.
const READY_MAX: usize = 64;

/// Most that are cut while one travels, so that its answer is soon seen.
const CUTS_MAX: usize = 4;

/// The next of what was cut.
pub(super) enum Cut {
    Batch(Batch),
    /// Nothing up to there is to be sent.
    WalkedOver {
        to: Position,
        /// Events of parked devices.
        behind: Vec<StoredEvent>,
    },
}

/// Batches that wait for their turn, and the ends of batches.
#[derive(Default)]
pub(super) struct Ahead {
    /// Cut, oldest first.
    ready: VecDeque<Cut>,
    /// Bytes of their bodies.
    ready_bytes: usize,
    /// Where cutting has come to.
    pub(super) cut_to: Position,
    /// Where batches beyond the stored cursor end, rising: of those that were sent, those that are
    /// ready, and after a restart those that are to be cut again.
    ends: VecDeque<Position>,
    /// Up to here `ends` are on disk as they stand here.
    stored_to: Position,
    step: Option<Step>,
}

/// A step of the cursor on its way to disk, with the ends of batches beyond it.
struct Step {
    task: AbortOnDropHandle<Result<(), SinkError>>,
    to: Option<Position>,
    /// The last of the ends that still stand in [`Ahead::ends`] as they do in the step.
    ends_to: Position,
    holds_ends: bool,
}

impl Ahead {
    /// What a restart finds.
    pub(super) fn found(done: Position, ends: Vec<Position>) -> Self {
        let ends: VecDeque<_> = ends.into_iter().filter(|end| *end > done).collect();
        let stored_to = ends.back().copied().unwrap_or(done);
        Self { cut_to: done, ends, stored_to, ..Self::default() }
    }

    /// Where the next batch must end at the latest: it was stored before a restart, or before it was put
    /// back.
    pub(super) fn end_max(&self) -> Option<Position> {
        self.ends.get(self.ends.partition_point(|end| *end <= self.cut_to)).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Cut> {
        let cut = self.ready.pop_front()?;
        self.ready_bytes -= cut.bytes();
        Some(cut)
    }

    /// Takes up what was cut up to `to`.
    fn push(&mut self, to: Position, cut: Cut) {
        if matches!(cut, Cut::Batch(_)) && self.end_max() != Some(to) {
            // Before one that was stored, or behind all: to be stored before it is sent.
            self.forget_behind(self.cut_to);
            let place = self.ends.partition_point(|end| *end < to);
            self.ends.insert(place, to);
        }
        self.cut_to = to;
        self.ready_bytes += cut.bytes();
        self.ready.push_back(cut);
    }

    /// The ends behind `to` no longer stand as they are on disk.
    fn forget_behind(&mut self, to: Position) {
        self.stored_to = self.stored_to.min(to);
        if let Some(step) = &mut self.step {
            step.ends_to = step.ends_to.min(to);
        }
    }

    fn is_full(&self, bytes_max: usize) -> bool {
        self.ready.len() >= READY_MAX || self.ready_bytes >= bytes_max
    }

    /// Whether a step is on its way and not on disk.
    fn is_stepping(&self) -> bool {
        self.step.as_ref().is_some_and(|step| !step.task.is_finished())
    }

    /// Where the cursor will be when the step on its way is on disk.
    pub(super) fn stepping_to(&self) -> Option<Position> {
        self.step.as_ref()?.to
    }
}

impl Cut {
    fn bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.message.body.len(),
            Self::WalkedOver { .. } => 0,
        }
    }
}

impl Sink {
    /// Cuts one batch off the window; false when there is nothing to be cut.
    pub(super) fn cut(&mut self) -> bool {
        let end_max = self.ahead.end_max();
        let read_to = self.reader.read_to;
        let taken = self.take(end_max);
        match taken.batch {
            Some(batch) => self.ahead.push(batch.end, Cut::Batch(batch)),
            None => {
                // Nothing of it is wanted, or all of it waits behind something parked.
                let to = end_max.unwrap_or(read_to).min(read_to);
                if to <= self.ahead.cut_to {
                    return false;
                }
                self.ahead.push(to, Cut::WalkedOver { to, behind: taken.behind });
            }
        }
        true
    }

    /// Reads on, cuts what is whole, and has ends stored; false when there was nothing to be cut.
    pub(super) async fn work_ahead(&mut self) -> Result<bool, SinkError> {
        self.fill().await?;
        let mut has_cut = false;
        for _ in 0..CUTS_MAX {
            let stored_before = self.ahead.end_max().is_some_and(|end| end <= self.reader.read_to);
            if !(self.reader.is_full() || stored_before)
                || self.ahead.is_full(self.options.ahead_bytes_max)
            {
                break;
            }
            // What travels goes on meanwhile.
            yield_now().await;
            if !self.cut() {
                break;
            }
            has_cut = true;
            self.fill().await?;
        }
        self.store_ends().await?;
        Ok(has_cut)
    }

    /// Puts back what was cut and not sent: it is cut anew behind `to`, but no batch reaches beyond an
    /// end that was stored.
    pub(super) fn take_back(&mut self, to: Position) {
        while let Some(cut) = self.ahead.ready.pop_back() {
            match cut {
                Cut::Batch(batch) => self.reader.window.put_back(batch),
                Cut::WalkedOver { behind, .. } => self.reader.window.put_back_events(behind),
            }
        }
        self.ahead.ready_bytes = 0;
        self.ahead.cut_to = to;
    }

    /// Puts back a batch that was not taken, and all behind it.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.take_back(self.done());
        self.reader.window.put_back(batch);
    }

    /// Waits until the end of a batch is on disk.
    pub(super) async fn prepare(&mut self, end: Position) -> Result<(), SinkError> {
        while self.ahead.stored_to < end {
            self.store_ends().await?;
            while self.is_calm() && self.ahead.is_stepping() && self.work_ahead().await? {}
            self.finish_step().await?;
        }
        Ok(())
    }

    /// Has ends and the cursor's step go to disk; what is on its way goes first.
    async fn store_ends(&mut self) -> Result<(), SinkError> {
        if self.ahead.step.as_ref().is_some_and(|step| step.task.is_finished()) {
            self.finish_step().await?;
        }
        let stored_to = self.ahead.stored_to;
        let has_new_ends = self.ahead.ends.back().is_some_and(|end| *end > stored_to);
        if self.ahead.step.is_none() && (has_new_ends || self.pending.is_some()) {
            self.start_step();
        }
        Ok(())
    }

    /// Sends the cursor's step and the ends of batches to disk.
    pub(super) fn start_step(&mut self) {
        let pending = self.pending.take();
        let to = pending.as_ref().map(|pending| pending.to);
        let done = to.unwrap_or(self.stored.done);
        self.ahead.ends.retain(|end| *end > done);
        let ends: Vec<_> = self.ahead.ends.iter().copied().collect();
        let (holds_ends, ends_to) =
            (!ends.is_empty(), ends.last().copied().unwrap_or(self.ahead.stored_to));
        let (name, at) = (self.cursor.clone(), self.clock.now().wall);
        let (writer, sink) = (self.writer.clone(), self.options.name.clone());
        let task = tokio::spawn(async move {
            let operations = || {
                let advance = pending.as_ref().map(|step: &Pending| Operation::AdvanceCursor {
                    name: name.clone(),
                    to: step.to,
                    parked: step.parked.clone(),
                    at,
                });
                let prepare = Operation::PrepareBatches { name: name.clone(), ends: ends.clone() };
                advance.into_iter().chain([prepare]).collect()
            };
            write(&writer, &sink, operations).await
        });
        let task = AbortOnDropHandle::new(task);
        self.ahead.step = Some(Step { task, to, ends_to, holds_ends });
    }

    /// Waits until the step that is on its way, if there is one, is on disk.
    pub(super) async fn finish_step(&mut self) -> Result<(), SinkError> {
        let Some(step) = &mut self.ahead.step else { return Ok(()) };
        // Cancelled here, it is still on its way.
        let ended = (&mut step.task).await;
        ended.unwrap_or(Err(SinkError::Write(WriteError::Closed)))?;
        let Some(step) = self.ahead.step.take() else { return Ok(()) };
        if let Some(to) = step.to {
            self.stored.done = to;
            self.flushed_at = Instant::now();
        }
        self.stored.holds_ends = step.holds_ends;
        self.ahead.stored_to = self.ahead.stored_to.max(step.ends_to);
        Ok(())
    }

    /// Up to where everything is done with, on disk or not.
    pub(super) fn done(&self) -> Position {
        let pending = self.pending.as_ref().map(|pending| pending.to);
        pending.or_else(|| self.ahead.stepping_to()).unwrap_or(self.stored.done)
    }
}
