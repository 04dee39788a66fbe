//! One try of a task: its lease, what is done, and what came of it.

use super::queue::{self, Due};
use super::{Handler, Outcome, Policy, Registered, STORE_PAUSE, Tasks};
use crate::clock::SystemRandom;
use crate::store::{
    Operation, TaskChange, TaskRow, TaskState, TaskStep, Tasks as Which, WriteError,
};
use jiff::{SignedDuration, Timestamp};
use model::{Event, EventType, Json, Random as _};
use std::time::Duration;
use tracing::{debug, error, warn};

/// Longest cause that is kept, in bytes.
const CAUSE_LEN_MAX: usize = 256;
/// How often a task is tried at least before it is given up for its age.
const TRIES_MIN: u32 = 5;

impl Tasks {
    /// Tries one task; says when it is to be tried again.
    pub(super) async fn carry_out(&self, due: &Due) -> Option<Duration> {
        let row = match self.store.tasks(&Which::One(due.id.clone()), 1).await {
            Ok(rows) => rows.into_iter().next()?,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "a task cannot be read");
                return Some(STORE_PAUSE);
            }
        };
        if row.state != TaskState::Waiting {
            return None;
        }
        let wall = self.clock.now().wall;
        // Its moment was too far away to be counted down in one piece. A moment that was counted down
        // has come, whatever the calendar says by now.
        if due.is_part && row.due_at > wall {
            return Some(queue::delay(row.due_at, wall));
        }
        let Some(Registered { policy, handler, turns }) =
            self.handlers.read().get(&*row.kind).cloned()
        else {
            // Of an older or newer release: it is not ours to throw away.
            debug!(kind = &*row.kind, "nobody carries out such tasks");
            return Some(queue::DELAY_MAX);
        };
        let Ok(_turn) = turns.try_acquire_owned() else { return Some(busy_pause()) };
        let lease = SignedDuration::try_from(policy.lease).unwrap_or(SignedDuration::MAX);
        let until = wall.checked_add(lease).unwrap_or(Timestamp::MAX);
        match self.change(&row, TaskStep::Lease { until }, None).await {
            Ok(()) => {}
            // Removed, parked or done meanwhile.
            Err(WriteError::Refused(_)) => return None,
            Err(_) => return Some(STORE_PAUSE),
        }
        let tried = tokio::time::timeout(policy.lease, handler.carry_out(&row)).await;
        let outcome = tried.unwrap_or_else(|_| Outcome::Failed {
            cause: "it took too long".into(),
            retry_after: None,
        });
        self.metrics.tried(&row.kind, &outcome);
        self.settle(&row, outcome, policy, &*handler).await
    }

    /// Keeps what came of a try.
    async fn settle(
        &self,
        row: &TaskRow,
        outcome: Outcome,
        policy: Policy,
        handler: &dyn Handler,
    ) -> Option<Duration> {
        let wall = self.clock.now().wall;
        let age = Duration::try_from(wall.duration_since(row.since)).unwrap_or_default();
        let is_old = age >= policy.age_max && row.attempts + 1 >= TRIES_MIN;
        let is_parked = match &outcome {
            Outcome::Done { .. } => false,
            Outcome::Hopeless { .. } => true,
            Outcome::Failed { .. } => is_old,
        };
        let is_parked = is_parked && handler.given_up(row).await;
        let (step, again) = match outcome {
            Outcome::Done { answer } => (TaskStep::Finish { answer: short(&answer) }, None),
            Outcome::Hopeless { cause } if is_parked => {
                (TaskStep::Park { cause: short(&cause) }, None)
            }
            Outcome::Failed { cause, .. } if is_parked => {
                (TaskStep::Park { cause: short(&format!("given up: {cause}")) }, None)
            }
            Outcome::Hopeless { .. } | Outcome::Failed { .. } => {
                let (cause, retry_after) = match outcome {
                    Outcome::Failed { cause, retry_after } => (cause, retry_after),
                    Outcome::Hopeless { cause } | Outcome::Done { answer: cause } => (cause, None),
                };
                let pause = pause(&policy, row.attempts).max(retry_after.unwrap_or_default());
                let pause = pause.min(policy.retry_max.max(policy.retry_min));
                let signed = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
                let due_at = wall.checked_add(signed).unwrap_or(Timestamp::MAX);
                (TaskStep::Postpone { due_at, cause: short(&cause) }, Some(pause))
            }
        };
        let event = match &step {
            TaskStep::Park { cause } => {
                self.metrics.parked(&row.kind);
                warn!(kind = &*row.kind, task = &*row.id, cause = &**cause, "task parked");
                parked(row, cause, wall)
            }
            _ => None,
        };
        match self.change(row, step, event).await {
            Ok(()) => again,
            Err(WriteError::Refused(_)) => None,
            // What was answered is not kept: it is asked again, under the same key.
            Err(_) => Some(policy.retry_min.max(STORE_PAUSE)),
        }
    }

    async fn change(
        &self,
        row: &TaskRow,
        step: TaskStep,
        event: Option<Event>,
    ) -> Result<(), WriteError> {
        let (tenant, id, at) = (row.tenant.clone(), row.id.clone(), self.clock.now().wall);
        let change = || Operation::ChangeTask(TaskChange { tenant, id, at, step });
        match event {
            None => self.writer.transact(vec![change()]).await,
            Some(event) => self.writer.append(vec![event], vec![change()]).await,
        }
    }
}

/// The pause until one that found no room looks again: apart from others, and short, since room comes
/// with the end of any call.
fn busy_pause() -> Duration {
    Duration::from_millis(1_000 + SystemRandom.next_u64() % 2_000)
}

/// The pause before the next try: doubled with each, the upper half of it by chance, so that many that
/// failed together do not come together.
pub(super) fn pause(policy: &Policy, attempts: u32) -> Duration {
    let ceiling = policy.retry_min.saturating_mul(1 << attempts.min(20)).min(policy.retry_max);
    let half = u64::try_from(ceiling.as_nanos() / 2).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(half + SystemRandom.next_u64() % half)
}

/// A cause as it is kept: bounded, cut between characters.
pub(super) fn short(text: &str) -> Box<str> {
    let mut end = text.len().min(CAUSE_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// The event that tells of a task that was given up; of one that is about no device only the log does.
fn parked(row: &TaskRow, cause: &str, time: Timestamp) -> Option<Event> {
    let data = serde_json::json!({
        "id": row.id, "kind": row.kind, "key": row.key, "cause": cause, "attempts": row.attempts + 1,
    });
    Some(Event {
        tenant: row.tenant.clone(),
        device: row.device.clone()?,
        kind: EventType::TASK_PARKED,
        time,
        data: Json::of(&data),
        facts: None,
    })
}
