//! What becomes of texts, kept with all that hangs on it: the event, and what the observer adds.

use super::Sms;
use crate::clock::Clock;
use crate::pipeline::Pipeline;
use crate::store::{
    Operation, OperationError, SMS_MOVED, SmsOperation, SmsRow, SmsState, SmsStep, SmsStore,
    WriteError, Writer,
};
use jiff::Timestamp;
use model::{Event, EventType, Json};
use serde::Serialize;
use std::sync::Arc;
use tracing::error;

/// Keeps what becomes of texts.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) store: Arc<dyn SmsStore>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) writer: Writer,
    pub(super) sms: Arc<Sms>,
    pub(super) clock: Clock,
}

/// A text as it was seen, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) row: SmsRow,
    pub(super) state: SmsState,
    pub(super) cause: Option<&'static str>,
    pub(super) provider_id: Option<Box<str>>,
}

impl Moved {
    pub(super) fn to(row: SmsRow, state: SmsState) -> Self {
        Self { row, state, cause: None, provider_id: None }
    }

    pub(super) fn failed(row: SmsRow, cause: &'static str) -> Self {
        Self { row, state: SmsState::Failed, cause: Some(cause), provider_id: None }
    }

    /// What is counted of it.
    fn outcome(&self) -> &'static str {
        self.cause.unwrap_or(self.state.as_str())
    }

    /// What an observer is told, where it is news to him.
    fn news(&self) -> Option<bool> {
        let was_taken = self.row.state.is_taken() && self.row.is_told;
        match self.state {
            SmsState::Failed => Some(false),
            SmsState::Sent | SmsState::Delivered if !was_taken => Some(true),
            _ => None,
        }
    }

    fn after(&self, at: Timestamp) -> SmsRow {
        let mut row = self.row.clone();
        row.state = self.state;
        row.cause = self.cause.map(Into::into);
        row.provider_id = self.provider_id.clone().or(row.provider_id);
        row.changed_at = at;
        row
    }

    fn step(&self, is_told: bool, at: Timestamp) -> Operation {
        Operation::Sms(SmsOperation::Step(SmsStep {
            tenant: self.row.tenant.clone(),
            id: self.row.id.clone(),
            expect: self.row.state,
            state: self.state,
            cause: self.cause.map(Into::into).or_else(|| self.kept_cause()),
            provider_id: self.provider_id.clone(),
            is_told,
            at,
        }))
    }

    /// A failure that is told of later keeps its cause.
    fn kept_cause(&self) -> Option<Box<str>> {
        self.row.cause.clone().filter(|_| self.state == SmsState::Failed)
    }

    fn event(&self, at: Timestamp) -> Option<Event> {
        #[derive(Serialize)]
        struct Data<'a> {
            id: &'a str,
            key: &'a str,
            kind: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            broadcast: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cause: Option<&'a str>,
        }
        let kind = match self.state {
            SmsState::Sent => EventType::SMS_SENT,
            SmsState::Delivered => EventType::SMS_DELIVERED,
            SmsState::Failed => EventType::SMS_FAILED,
            SmsState::Queued | SmsState::Sending | SmsState::Unknown => return None,
        };
        let kept = self.kept_cause();
        let data = Json::of(&Data {
            id: &self.row.id,
            key: &self.row.key,
            kind: self.row.kind.as_str(),
            broadcast: self.row.broadcast.as_deref(),
            cause: self.cause.or(kept.as_deref()),
        });
        let (tenant, device) = (self.row.tenant.clone(), self.row.to.clone());
        Some(Event { tenant, device, kind, time: at, data, facts: None })
    }
}

impl Ledger {
    /// Moves texts on in the store alone: nothing of it is news to anybody.
    pub(super) async fn step(&self, moved: &[Moved]) -> Result<(), WriteError> {
        if moved.is_empty() {
            return Ok(());
        }
        let at = self.clock.now().wall;
        self.writer.transact(moved.iter().map(|it| it.step(it.row.is_told, at)).collect()).await
    }

    /// Keeps what became of texts, with its events and what the observer adds. A text that something
    /// else has moved on meanwhile (a report comes before its answer) is left as it is.
    ///
    /// # Errors
    ///
    /// Nothing is kept, unless the store is full: then what became of them is, and they are told of when
    /// the task is tried again.
    pub(super) async fn keep(&self, moved: Vec<Moved>) -> Result<(), WriteError> {
        match self.keep_together(&moved).await {
            Err(WriteError::Refused(_)) if moved.len() > 1 => {
                for one in moved {
                    Box::pin(self.keep(vec![one])).await?;
                }
                Ok(())
            }
            Err(WriteError::Refused(refused)) => {
                if refused != OperationError::Conflict(SMS_MOVED) {
                    let sms = moved.first().map(|it| &*it.row.id);
                    error!(sms, %refused, "what became of a text is not kept");
                }
                Ok(())
            }
            other => other,
        }
    }

    /// The same, all or nothing: each must stand where it was seen.
    pub(super) async fn keep_together(&self, moved: &[Moved]) -> Result<(), WriteError> {
        if moved.is_empty() {
            return Ok(());
        }
        let at = self.clock.now().wall;
        let events: Vec<Event> = moved.iter().filter_map(|it| it.event(at)).collect();
        let mut operations = Vec::with_capacity(moved.len() * 2);
        for it in moved {
            operations.push(it.step(true, at));
            if let Some(sent) = it.news() {
                operations.extend(self.sms.observer().settled(&it.after(at), sent, at));
            }
        }
        let kept = if events.is_empty() {
            self.writer.transact(operations.clone()).await
        } else {
            self.pipeline.keep(events, operations.clone()).await
        };
        match kept {
            Ok(()) => {}
            Err(WriteError::Full) => {
                // There is no room for events, but what is known must not be lost: sent once is sent.
                let steps = moved.iter().map(|it| it.step(false, at)).collect();
                self.writer.transact(steps).await?;
                return Err(WriteError::Full);
            }
            Err(error) => return Err(error),
        }
        self.sms.committed(&operations);
        moved.iter().for_each(|it| self.sms.metrics().came_to(it.outcome(), 1));
        Ok(())
    }
}
