//! Finds the event that a backend will not take, and tells it from a backend that takes nothing.
//!
//! A refused batch is halved until one event stands alone. That alone proves little: a wrong URL or
//! an expired credential refuses everything, and parking the whole outbox would only make work for
//! an operator. So an event is parked only on evidence that the endpoint takes others: a batch that
//! was taken since the refusal, or a *probe*, the first waiting event of another device sent before
//! its turn. Without evidence the sink goes on trying, says so, and probes another device each time.

use super::super::Outcome;
use super::super::batch::{Batch, MessageWriter};
use super::{Sink, SinkError, Step};
use crate::store::{NewDeadLetter, Position, StoredEvent};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};

/// Rounds in which an event must fail while a probe succeeds, before time alone condemns it: after
/// an outage the first failure may still be the outage's.
const ROUNDS_MIN: u32 = 3;

/// What is known of the event that holds the sink up.
#[derive(Default)]
pub(super) struct Hunt {
    /// So many events at the head of the window were in a batch that was not taken.
    suspects: usize,
    /// Batches taken since the refusal that began the hunt; `None` while nothing is refused.
    taken_since: Option<u32>,
    /// Whether a batch was taken since the last parking: good for parking one event.
    trusted: bool,
    /// Since when nothing was taken in turn.
    failing_since: Option<Instant>,
    /// Rounds in which the head failed and a probe succeeded.
    rounds: u32,
    /// Probes so far; chooses the next probe's device.
    probes: usize,
    /// How far beyond the window a probe was looked for.
    looked_to: Option<Position>,
}

impl Hunt {
    /// How many events the next batch may have.
    pub(super) fn rows_max(&self, configured: usize) -> usize {
        match self.suspects {
            0 => configured,
            suspects => (suspects / 2).clamp(1, configured),
        }
    }

    /// Whether nothing is known against any event.
    pub(super) fn is_calm(&self) -> bool {
        self.suspects == 0 && !self.is_failing()
    }

    /// Whether the endpoint takes nothing at the moment.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// How long the head of the outbox has failed.
    pub(super) fn failing_for(&self) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn failed(&mut self) {
        self.failing_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn suspect(&mut self, events: usize) {
        self.suspects = events;
        self.taken_since.get_or_insert(0);
    }

    pub(super) fn succeeded(&mut self, events: usize) {
        let suspects = self.suspects.saturating_sub(events);
        let taken_since = self.taken_since.filter(|_| suspects > 0).map(|taken| taken + 1);
        // The culprit is among the suspects that are left, and has failed as long as they have.
        let failing_since = self.failing_since.filter(|_| suspects > 0);
        *self = Self { suspects, taken_since, trusted: true, failing_since, ..Self::default() };
    }
}

impl Sink {
    /// Decides about an event that failed alone: parks it, or leaves it to be tried again.
    pub(super) async fn judge(
        &mut self,
        batch: Batch,
        outcome: Outcome,
    ) -> Result<Step, SinkError> {
        self.hunt.suspect(self.hunt.suspects.max(1));
        // Cut before it was known what is parked.
        self.take_back(batch.end);
        let refused = match outcome {
            Outcome::Refused { status } => Some(status),
            Outcome::Taken | Outcome::Failed { .. } => None,
        };
        if let Some(status) = refused {
            let others_taken = self.hunt.taken_since.is_some_and(|taken| taken > 0);
            if others_taken || (self.hunt.trusted && !concerns_endpoint(status)) {
                self.park(batch, outcome);
                return Ok(Step::On);
            }
        }
        let endpoint_takes_others = self.probe(&batch).await?;
        if endpoint_takes_others {
            self.hunt.rounds += 1;
            let overdue = self.hunt.failing_for() >= self.options.poison_after
                && self.hunt.rounds >= ROUNDS_MIN;
            if refused.is_some() || overdue {
                self.park(batch, outcome);
                return Ok(Step::On);
            }
        } else if let Some(status) = refused {
            self.metrics.endpoint_refuses();
            error!(
                sink = %self.options.name,
                status,
                "the endpoint refuses what it is sent: check its URL, secret and credentials"
            );
        }
        self.put_back(batch);
        let retry_after = match outcome {
            Outcome::Failed { retry_after, .. } => retry_after,
            Outcome::Taken | Outcome::Refused { .. } => None,
        };
        Ok(self.pause(retry_after).await)
    }

    /// Sends the first waiting event of another device before its turn; true when it is taken. A
    /// crash before the cursor has passed it sends it twice, under the same event id.
    async fn probe(&mut self, batch: &Batch) -> Result<bool, SinkError> {
        let Some(culprit) = batch.events.first() else { return Ok(false) };
        let turn = self.hunt.probes;
        let near = self.reader.window.probe(culprit, &self.parked, turn);
        let found = match near {
            Some(event) => Some(event),
            None => {
                let looked_to = &mut self.hunt.looked_to;
                let found = self.reader.look_beyond(culprit, &self.parked, looked_to).await;
                found.map_err(SinkError::Read)?
            }
        };
        let Some(event) = found else { return Ok(false) };
        self.hunt.probes = turn.wrapping_add(1);
        let mut writer = MessageWriter::new(self.options.batch_bytes_max);
        writer.add(&self.source, &event);
        let message = writer.finish(&self.options.name, std::slice::from_ref(&event));
        let taken = self.attempt(&message, false).await? == Outcome::Taken;
        if taken {
            self.metrics.took(1);
            self.reader.window.delivered_ahead(event.position);
        }
        Ok(taken)
    }

    /// Parks the batch's only event; its device's later ones follow as the cursor reaches them.
    fn park(&mut self, batch: Batch, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Refused { status } => format!("refused with status {status}"),
            Outcome::Taken | Outcome::Failed { .. } => {
                format!("failed for {} s while others succeeded", self.hunt.failing_for().as_secs())
            }
        };
        let mut letters = super::waiting(batch.behind);
        for event in batch.events {
            self.park_device(&event);
            letters.push(NewDeadLetter { event, reason: reason.as_str().into() });
        }
        self.done_to(batch.end, letters);
        self.hunt = Hunt::default();
        self.pauses.reset();
    }

    fn park_device(&mut self, event: &StoredEvent) {
        warn!(
            sink = %self.options.name,
            device = %event.device,
            position = %event.position,
            "event parked: its device's later events wait behind it"
        );
        self.parked.add(&event.tenant, &event.device);
        self.metrics.devices_parked(self.parked.len());
    }
}

/// Statuses that speak of the endpoint or of who calls it rather than of what was sent.
fn concerns_endpoint(status: u16) -> bool {
    matches!(status, 401 | 402 | 403 | 404 | 405 | 407 | 410 | 421 | 426 | 451)
}
