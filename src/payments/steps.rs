//! One step: made, kept with all that belongs to it, then known.

use super::{CREDITS_MAX, Outcome, Payments, Purse, PurseError, events, timer};
use crate::store::{
    CHECKOUT_TAKEN, Operation, OperationError, PaymentOperation, PaymentRow, PaymentStep,
    RECEIPT_TAKEN, ReadError, StrayRow, WriteError,
};
use backend::payment::{Claim, Input, Output, Pushed, Queried, State, Step, step};
use jiff::Timestamp;
use model::{Event, Tenant};
use std::borrow::Cow;
use std::sync::{Arc, Weak};

/// Why a step is not kept. Nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// There is no such payment.
    #[error("there is no such payment")]
    Missing,
    /// The store cannot be read.
    #[error("payments cannot be read")]
    Read(#[from] ReadError),
    /// The store does not take it, or a condition does not hold.
    #[error("the step of a payment is not kept")]
    Write(#[source] WriteError),
    /// Nobody says what it is for.
    #[error("what the payment is for is not known")]
    Purse(#[from] PurseError),
    /// The part of the daemon that knows what it is for is not there.
    #[error("nobody knows what the payment is for")]
    NoPurse,
}

impl Unkept {
    /// The word of the condition that did not hold.
    pub(super) fn conflict(&self) -> Option<&'static str> {
        match self {
            Self::Write(WriteError::Refused(OperationError::Conflict(word))) => Some(word),
            _ => None,
        }
    }
}

/// What cannot be kept as the machine would have it, because another payment has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Without {
    /// The receipt's number.
    receipt: bool,
    /// The prompt of the claim.
    claim: bool,
}

impl Without {
    /// What to leave out when it is tried again; whether that may help.
    pub(super) fn learn(&mut self, word: &str, input: &Input) -> bool {
        match (word, input) {
            // The operator named it: he is told.
            (RECEIPT_TAKEN, Input::Settled { .. }) => false,
            (RECEIPT_TAKEN, _) => !std::mem::replace(&mut self.receipt, true),
            // It is for the caller to say whose it is.
            (CHECKOUT_TAKEN, Input::Pushed(_) | Input::CalledBack(_)) => false,
            (CHECKOUT_TAKEN, _) => !std::mem::replace(&mut self.claim, true),
            // It, or what it is for, was changed meanwhile.
            _ => true,
        }
    }
}

/// A step that is on disk, or one that changed nothing.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) row: PaymentRow,
    pub(super) outputs: Vec<Output>,
}

impl Payments {
    /// Has a payment go on by what happened, read anew as long as others come before.
    pub(super) async fn take(
        &self,
        tenant: &Tenant,
        id: &str,
        input: &Input,
        audit: Option<&Operation>,
    ) -> Result<Taken, Unkept> {
        let mut without = Without::default();
        let mut tries_left = CREDITS_MAX;
        let mut input = Cow::Borrowed(input);
        loop {
            let row = self.parts.store.payment(tenant, id).await?.ok_or(Unkept::Missing)?;
            tries_left -= 1;
            match self.attempt(&row, &input, without, audit).await {
                Err(unkept) if tries_left > 0 => {
                    let Some(word) = unkept.conflict() else { return Err(unkept) };
                    if let Some(other) = elsewhere(word, &row, &input) {
                        input = Cow::Owned(other);
                    } else if !without.learn(word, &input) {
                        return Err(unkept);
                    }
                }
                ended => return ended,
            }
        }
    }

    /// Makes one step from what was read and keeps it.
    pub(super) async fn attempt(
        &self,
        row: &PaymentRow,
        input: &Input,
        without: Without,
        audit: Option<&Operation>,
    ) -> Result<Taken, Unkept> {
        let now = self.parts.clock.now().wall;
        let (after, outputs, strays) = self.made(row, input, without, now);
        if after.payment == row.payment && strays.is_empty() {
            return Ok(Taken { row: after, outputs });
        }
        let (mut events, outcomes) = self.follows(row, &after, &outputs, now).await?;
        let mut operations = Vec::new();
        if after.payment == row.payment {
            let keep = |it| Operation::Payment(PaymentOperation::KeepStray(Box::new(it)));
            operations.extend(strays.into_iter().map(keep));
        } else {
            let tasks = outputs.iter().filter_map(|it| timer(&after, it, now)).collect();
            let (what, detail) = said(input);
            let seen = row.payment.version;
            let step = PaymentStep { row: after.clone(), seen, what, detail, strays, tasks };
            operations.push(Operation::Payment(PaymentOperation::Step(Box::new(step))));
        }
        operations.extend(audit.cloned());
        for outcome in outcomes {
            events.extend(outcome.events);
            operations.extend(outcome.operations);
        }
        self.parts.pipeline.keep(events, operations.clone()).await.map_err(Unkept::Write)?;
        self.committed(&operations);
        self.parts.metrics.moved(Some(row.payment.state), after.payment.state);
        Ok(Taken { row: after, outputs })
    }

    /// The payment after the step, what is to be done, and what fits nothing.
    fn made(
        &self,
        row: &PaymentRow,
        input: &Input,
        without: Without,
        now: Timestamp,
    ) -> (PaymentRow, Vec<Output>, Vec<StrayRow>) {
        let mut before = row.payment.clone();
        let mut claims: Vec<Claim> = Vec::new();
        if without.claim {
            claims.extend(before.claim.take());
        }
        let Step { mut payment, outputs } = step(&before, input.clone(), now, &self.timing);
        if without.receipt {
            payment.forget_receipt();
            if let Input::CalledBack(claim) = input {
                claims.push(claim.clone());
            }
        }
        payment.version = row.payment.version;
        payment.version += u64::from(payment != row.payment);
        claims.extend(outputs.iter().filter_map(|output| match output {
            Output::Stray(claim) => Some(claim.clone()),
            _ => None,
        }));
        let strays = claims.into_iter().map(|claim| StrayRow {
            id: 0,
            tenant: row.tenant.clone(),
            payment: Some(row.id.clone()),
            time: now,
            claim,
        });
        let strays = strays.collect();
        (PaymentRow { payment, changed_at: now, ..row.clone() }, outputs, strays)
    }

    /// What must be true with a step: what happened by it, and what it is for.
    async fn follows(
        &self,
        row: &PaymentRow,
        after: &PaymentRow,
        outputs: &[Output],
        now: Timestamp,
    ) -> Result<(Vec<Event>, Vec<Outcome>), Unkept> {
        let (mut happened, mut outcomes) = (Vec::new(), Vec::new());
        let is_new = |state| after.payment.state == state && row.payment.state != state;
        if is_new(State::Declined) {
            happened.push(events::declined(after, now));
        }
        for output in outputs {
            match output {
                Output::Credit { late } => {
                    happened.push(events::credited(after, *late, now));
                    outcomes.push(self.purse()?.credit(after, now).await?);
                }
                Output::Notice(notice) => {
                    outcomes.push(self.purse()?.told(after, *notice, now).await?);
                }
                Output::Unresolved => happened.push(events::unresolved(after, now)),
                Output::Push
                | Output::Query
                | Output::PushAt { .. }
                | Output::Timer { .. }
                | Output::Stray(_) => {}
            }
        }
        Ok((happened, outcomes))
    }

    fn purse(&self) -> Result<Arc<dyn Purse>, Unkept> {
        self.purse.get().and_then(Weak::upgrade).ok_or(Unkept::NoPurse)
    }
}

/// What a receipt that is another payment's says of a prompt that only a claim gave to this one.
fn elsewhere(word: &str, row: &PaymentRow, input: &Input) -> Option<Input> {
    let Input::Queried { checkout, answer: Queried::Paid, .. } = input else { return None };
    let held = row.payment.checkout.as_ref()?;
    let is_adopted = held.is_adopted && held.id == *checkout;
    (word == RECEIPT_TAKEN && is_adopted).then(|| Input::Elsewhere { checkout: checkout.clone() })
}

/// What happened, as it is noted: words and codes.
fn said(input: &Input) -> (&'static str, Option<Box<str>>) {
    let code = |code: u32| Some(code.to_string().into());
    match input {
        Input::PushDue { attempt } => ("push", code(u32::from(*attempt))),
        Input::Pushed(it @ Pushed::Refused { code: number }) => (it.as_str(), code(*number)),
        Input::Pushed(it) => (it.as_str(), None),
        Input::CheckDue { .. } => ("check", None),
        Input::Queried { answer: it @ Queried::Declined { code: number }, .. } => {
            (it.as_str(), code(*number))
        }
        Input::Queried { answer, .. } => (answer.as_str(), None),
        Input::PushGivenUp { attempt } => ("push_given_up", code(u32::from(*attempt))),
        Input::CheckGivenUp { .. } => ("check_given_up", None),
        Input::Elsewhere { .. } => ("elsewhere", None),
        Input::CalledBack(claim) => ("called_back", claim.code.and_then(code)),
        Input::Settled { paid: true, .. } => ("settled_paid", None),
        Input::Settled { paid: false, .. } => ("settled_not_paid", None),
    }
}
