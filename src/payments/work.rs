//! What is due: asking for a prompt, and asking what became of one.

use super::steps::Unkept;
use super::{CALLS_MAX, CHECK, PUSH, Payments, Provider, Subject};
use crate::store::{CHECKOUT_TAKEN, Operation, PaymentOperation, StrayRow, TaskRow, WriteError};
use crate::tasks::{Handler, Outcome, Policy};
use async_trait::async_trait;
use backend::payment::{Claim, Input, Output, Pushed};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};

/// How often an answer is tried to be kept before it is given up as if a crash had come; and the pause.
const ANSWER_TRIES: usize = 5;
const ANSWER_PAUSE: Duration = Duration::from_millis(500);
/// Calls that one task may lead to: a token and what it is for, and both again where it was refused.
const CALLS_PER_TASK: u32 = 4;

/// How tasks of payments are tried; `timeout` is that of one call. A day after the push the last
/// question is asked: until then none is given up.
pub fn policy(timeout: Duration) -> Policy {
    Policy {
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(60),
        age_max: Duration::from_secs(26 * 3_600),
        lease: timeout * CALLS_PER_TASK + Duration::from_secs(30),
    }
}

#[async_trait]
impl Handler for Payments {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        let Ok(subject) = serde_json::from_str::<Subject>(task.body.as_str()) else {
            return Outcome::Hopeless { cause: "its body is not ours".into() };
        };
        let Some(provider) = &self.parts.provider else {
            return Outcome::Failed { cause: "nothing can be paid".into(), retry_after: None };
        };
        let ended = match &*task.kind {
            PUSH => self.push(task, &subject, provider).await,
            CHECK => self.check(task, &subject, provider).await,
            _ => Ok("not ours"),
        };
        match ended {
            Ok(answer) => Outcome::Done { answer: answer.into() },
            Err(unkept) => self.put_off(task, &unkept),
        }
    }

    fn at_once(&self) -> usize {
        CALLS_MAX
    }

    /// A payment that nobody moves any more is before the operator.
    async fn given_up(&self, task: &TaskRow) -> bool {
        let Ok(subject) = serde_json::from_str::<Subject>(task.body.as_str()) else { return true };
        let number = subject.number;
        let input = match &*task.kind {
            PUSH => Input::PushGivenUp { attempt: u8::try_from(number).unwrap_or(u8::MAX) },
            CHECK => Input::CheckGivenUp { number },
            _ => return true,
        };
        match self.take(&task.tenant, &subject.payment, &input, None).await {
            Ok(_) | Err(Unkept::Missing) => true,
            Err(unkept) => {
                let error = &unkept as &dyn std::error::Error;
                error!(task = &*task.key, error, "a payment cannot be given up; tried again");
                false
            }
        }
    }
}

impl Payments {
    /// Asks for a prompt, whose intent is on disk by then.
    async fn push(
        &self,
        task: &TaskRow,
        subject: &Subject,
        provider: &Arc<dyn Provider>,
    ) -> Result<&'static str, Unkept> {
        let attempt = u8::try_from(subject.number).unwrap_or(u8::MAX);
        let due = Input::PushDue { attempt };
        let taken = self.take(&task.tenant, &subject.payment, &due, None).await?;
        if !taken.outputs.contains(&Output::Push) {
            return Ok("past");
        }
        let pushed = provider.push(&taken.row).await;
        let answer = pushed.as_str();
        self.keep_answer(task, subject, pushed).await?;
        Ok(answer)
    }

    /// Keeps how a push ended. It is known only here: what is not kept is as if a crash had come.
    async fn keep_answer(
        &self,
        task: &TaskRow,
        subject: &Subject,
        pushed: Pushed,
    ) -> Result<(), Unkept> {
        let mut input = Input::Pushed(pushed);
        for left in (0..ANSWER_TRIES).rev() {
            let kept = self.take(&task.tenant, &subject.payment, &input, None).await;
            let Err(unkept) = kept else { return Ok(()) };
            match &input {
                Input::Pushed(Pushed::Accepted { checkout, .. })
                    if unkept.conflict() == Some(CHECKOUT_TAKEN) =>
                {
                    self.keep_name(task, subject, checkout.clone()).await?;
                    input = Input::Pushed(Pushed::Unknown);
                }
                _ if left == 0 => return Err(unkept),
                _ => tokio::time::sleep(ANSWER_PAUSE).await,
            }
        }
        Ok(())
    }

    /// Two payments are told that a prompt is theirs: an operator must see the second, too.
    async fn keep_name(
        &self,
        task: &TaskRow,
        subject: &Subject,
        checkout: Box<str>,
    ) -> Result<(), Unkept> {
        warn!(payment = &*subject.payment, "a prompt is another payment's");
        let claim = Claim { checkout, code: None, amount_cents: None, number: None, receipt: None };
        let stray = StrayRow {
            id: 0,
            tenant: task.tenant.clone(),
            payment: Some(subject.payment.clone()),
            time: self.parts.clock.now().wall,
            claim,
        };
        let keep = Operation::Payment(PaymentOperation::KeepStray(Box::new(stray)));
        self.parts.pipeline.keep(Vec::new(), vec![keep]).await.map_err(Unkept::Write)
    }

    /// Asks what became of a prompt.
    async fn check(
        &self,
        task: &TaskRow,
        subject: &Subject,
        provider: &Arc<dyn Provider>,
    ) -> Result<&'static str, Unkept> {
        let number = subject.number;
        let due = Input::CheckDue { number };
        let taken = self.take(&task.tenant, &subject.payment, &due, None).await?;
        let checkout = taken.row.payment.checkout.map(|it| it.id);
        let Some(checkout) = checkout.filter(|_| taken.outputs.contains(&Output::Query)) else {
            return Ok("past");
        };
        let answer = provider.query(&checkout).await;
        let queried = Input::Queried { number, checkout, answer };
        self.take(&task.tenant, &subject.payment, &queried, None).await?;
        Ok(answer.as_str())
    }

    /// What becomes of a task whose step is not kept.
    fn put_off(&self, task: &TaskRow, unkept: &Unkept) -> Outcome {
        let cause = match unkept {
            Unkept::Missing => return Outcome::Done { answer: "no such payment".into() },
            Unkept::Purse(super::PurseError::Nothing) => {
                error!(task = &*task.key, "a payment cannot be credited: nothing is known of it");
                return Outcome::Hopeless { cause: unkept.to_string().into() };
            }
            Unkept::Write(WriteError::Full) => "the store is full".into(),
            Unkept::Write(_) | Unkept::Read(_) | Unkept::Purse(_) | Unkept::NoPurse => {
                error!(
                    task = &*task.key,
                    error = unkept as &dyn std::error::Error,
                    "a payment does not go on; tried again"
                );
                unkept.to_string().into()
            }
        };
        Outcome::Failed { cause, retry_after: None }
    }
}
