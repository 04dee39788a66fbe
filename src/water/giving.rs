//! A jerrycan that is given where the business counts them.
//!
//! That it is taken off is kept here before the business hears of it, so that neither a lost answer nor a
//! crash makes two of one: the same call is made under the same key until its answer is known. Then the
//! record, the event, how the manager is answered and the end of the task are one transaction.

use super::Water;
use super::backend::{BackendError, Effect};
use super::collection::{refused, visit};
use crate::store::{Operation, TaskChange, TaskRow, TaskState, TaskStep};
use crate::tasks::{self, Handler, Outcome, Policy};
use ::backend::water::{Customer, Manager, RecordStatus, Site};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};
use ussd::{Answer, Ask};

/// The kind of the tasks that take jerrycans off where the business counts them.
pub const GIVE: &str = "water.collect";

/// When the business is told again of one whose answer is not there: after more time than a manager
/// waits for it.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// Tellings under way at once: a hub that hangs must not hold up what is owed to others.
const CALLS_MAX: usize = 4;
/// Jerrycans under way that are looked at to find one of a customer's: he has one at most, and few have
/// an id that another one's begins with.
const ROWS_MAX: usize = 100;
/// The word for one that is being taken off.
const UNDER_WAY: &str = "collecting";

/// How they are tried: people wait with their cans. After thirty days, in which the business's hub knows
/// the key, it is the operator's.
pub const fn giving_policy() -> Policy {
    Policy {
        retry_min: Duration::from_secs(5),
        retry_max: Duration::from_secs(120),
        age_max: Duration::from_secs(30 * 86_400),
        lease: Duration::from_secs(120),
    }
}

/// One jerrycan.
#[derive(Deserialize, Serialize)]
pub(super) struct Given {
    /// The key of the press that gives it.
    pub(super) key: Box<str>,
    /// Who gives it.
    pub(super) caller: DeviceId,
    /// To whom, as he was then.
    pub(super) customer: Customer,
    /// Where.
    pub(super) site: Option<Site>,
    /// Whoever gives it, once for each of his sites.
    pub(super) managers: Vec<Manager>,
    /// When.
    pub(super) at: Timestamp,
}

/// A task's body. Operators see it: names, numbers and codes are sealed.
#[derive(Deserialize, Serialize)]
struct Body {
    customer: Box<str>,
    sealed: Box<str>,
}

/// What ends a task with what follows from its call.
pub(super) fn ended(task: &TaskRow, answer: &str, at: Timestamp) -> Operation {
    let (tenant, id, answer) = (task.tenant.clone(), task.id.clone(), answer.into());
    Operation::ChangeTask(TaskChange { tenant, id, at, step: TaskStep::Finish { answer } })
}

impl Water {
    fn intent(&self, tenant: &Tenant, given: &Given) -> TaskRow {
        let plain = serde_json::to_vec(given).expect("rows of ours are always JSON");
        let sealed = STANDARD_NO_PAD.encode(self.parts.vault.seal(&plain).expose()).into();
        let customer = given.customer.id.clone();
        let key = format!("{customer}:{}", given.key);
        let body = Json::of(&Body { customer, sealed });
        let task = tasks::task(tenant, GIVE, &key, None, body, given.at);
        let due_at = given.at.checked_add(AGAIN_AFTER).unwrap_or(Timestamp::MAX);
        TaskRow { due_at, ..task }
    }

    fn opened(&self, task: &TaskRow) -> Option<Given> {
        let body: Body = serde_json::from_str(task.body.as_str()).ok()?;
        let sealed = STANDARD_NO_PAD.decode(&*body.sealed).ok()?;
        serde_json::from_slice(self.parts.vault.open(&sealed)?.expose()).ok()
    }

    /// Whether one is being taken off a customer's count, and nobody knows yet whether it was.
    async fn is_under_way(&self, tenant: &Tenant, customer: &str) -> Result<bool, BackendError> {
        let begins = format!("{customer}:");
        let tasks = self.parts.store.tasks_waiting(tenant, GIVE, &begins, ROWS_MAX).await?;
        let body = |task: &TaskRow| serde_json::from_str::<Body>(task.body.as_str()).ok();
        Ok(tasks.iter().filter_map(body).any(|body| *body.customer == *customer))
    }

    /// Has the business take one off, and tells whoever gives it what came of that, or what will. To be
    /// called in the code's turn.
    pub(super) async fn give_there(
        &self,
        ask: &Ask,
        given: &Given,
    ) -> Result<Answer, BackendError> {
        let (tenant, customer) = (&ask.tenant, &*given.customer.id);
        if self.is_under_way(tenant, customer).await? {
            return Ok(Answer::word(UNDER_WAY));
        }
        let task = self.intent(tenant, given);
        // A press that had its end, and whose answer is forgotten by now, has no other.
        if self.parts.store.task_keyed(tenant, GIVE, &task.key).await?.is_some() {
            return Err(BackendError::Unknown);
        }
        let (answer, mut effect) = self.giving(tenant, given);
        effect.before.push(Operation::PutTask(task.clone()));
        effect.operations.push(ended(&task, "given", given.at));
        match self.settle(ask, answer, effect).await {
            Ok(answer) => Ok(answer),
            Err(error @ BackendError::Conflict(_)) => {
                let end = vec![ended(&task, "refused", self.now())];
                if let Err(error) = self.keep(end).await {
                    warn!(%error, "the business is asked again for a jerrycan that it refused");
                }
                refused(error)
            }
            // Unless it could not be kept, the task has it.
            Err(error) => match self.is_under_way(tenant, customer).await? {
                true => Ok(Answer::word(UNDER_WAY)),
                false => Err(error),
            },
        }
    }

    /// Tells the business again; says what came of it.
    async fn give_again(
        &self,
        task: &TaskRow,
        given: &Given,
    ) -> Result<&'static str, BackendError> {
        let (tenant, now) = (&task.tenant, self.now());
        let (answer, mut effect) = self.giving(tenant, given);
        let who = (tenant, &given.caller);
        effect.operations.push(self.parts.effects.keep_for(who, &given.key, &answer, now));
        effect.operations.push(ended(task, "given", now));
        let error = match self.parts.backend.carry_out_at_leisure(effect).await {
            Ok(operations) => {
                self.committed(&operations);
                return Ok("given");
            }
            Err(error @ BackendError::Conflict(_)) => error,
            Err(error) => return Err(error),
        };
        let kept = self.parts.store.task_keyed(tenant, GIVE, &task.key).await?;
        if kept.is_none_or(|it| it.state != TaskState::Waiting) {
            return Ok("known");
        }
        // It never was taken off, and will not be: whoever gave it has been told that it is.
        error!(customer = &*given.customer.id, %error, "a jerrycan was given and not taken off");
        let mut effect = Effect {
            tenant: tenant.clone(),
            key: format!("{}:refused", given.key).into(),
            at: now,
            changes: vec![visit(given, RecordStatus::Failure)],
            events: Vec::new(),
            before: Vec::new(),
            operations: Vec::new(),
        };
        effect.operations.push(ended(task, "refused", now));
        let operations = self.parts.backend.carry_out_at_leisure(effect).await?;
        self.committed(&operations);
        Ok("refused")
    }
}

/// Takes off what may not have been.
pub struct Giving(pub Arc<Water>);

#[async_trait]
impl Handler for Giving {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        let Some(given) = self.0.opened(task) else {
            return Outcome::Hopeless { cause: "it cannot be read".into() };
        };
        match self.0.give_again(task, &given).await {
            Ok(answer) => Outcome::Done { answer: answer.into() },
            Err(error) => Outcome::Failed { cause: error.code().into(), retry_after: None },
        }
    }

    fn at_once(&self) -> usize {
        CALLS_MAX
    }
}
