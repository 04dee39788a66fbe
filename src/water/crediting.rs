//! What a payment adds to a customer whom the business keeps.
//!
//! It is made out of what he is when the business is told, not of what he was when he paid: two payments
//! may wait for a hub that is away. It is told until the business has it, under the payment's key; the
//! message with the code, the event and the record follow its word. What was refused is made out anew
//! under another key, which is kept before it is used: whoever remembers refusals by their keys would
//! never hear of it otherwise.

use super::backend::{BackendError, Change};
use super::giving::ended;
use super::purse::Paid;
use super::{Water, purse};
use crate::payments;
use crate::store::{
    CODE_TAKEN, CustomerBy, Operation, TaskChange, TaskRow, TaskStep, WATER_CHANGED, WATER_CREDITED,
};
use crate::tasks::{self, Handler, Outcome, Policy};
use ::backend::water::{Customer, Site};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{Json, Tenant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The kind of the tasks that credit payments where the business keeps the customers.
pub const CREDIT: &str = "water.credit";

/// Tellings under way at once: a hub that hangs must not hold up what is owed to others.
const CALLS_MAX: usize = 4;
/// How often one is made out anew in one try, where somebody else changes the customer.
const MADE_OUT_MAX: usize = 3;

/// How they are tried: money was paid. After a month it is the operator's; his retry is as good as any.
pub const fn credit_policy() -> Policy {
    Policy {
        retry_min: Duration::from_secs(5),
        retry_max: Duration::from_secs(900),
        age_max: Duration::from_secs(30 * 86_400),
        lease: Duration::from_secs(120),
    }
}

/// A task's body: a payment, and how often the business has refused what it adds.
#[derive(Deserialize, Serialize)]
struct Telling {
    #[serde(flatten)]
    paid: Paid,
    #[serde(default)]
    refusals: u32,
}

impl Telling {
    /// The key under which the business is told.
    fn key(&self) -> Box<str> {
        let payment = &self.paid.payment;
        match self.refusals {
            0 => format!("{payment}:credit").into(),
            refusals => format!("{payment}:credit:{refusals}").into(),
        }
    }
}

impl Water {
    /// What has the business told of a payment.
    pub(super) fn credit_later(tenant: &Tenant, paid: &Paid, now: Timestamp) -> payments::Outcome {
        let key = format!("{}:credit", paid.payment);
        let task = tasks::task(tenant, CREDIT, &key, None, Json::of(paid), now);
        payments::Outcome { events: Vec::new(), operations: vec![Operation::PutTask(task)] }
    }

    async fn credited_customer(
        &self,
        tenant: &Tenant,
        paid: &Paid,
    ) -> Result<Option<(Customer, Site)>, BackendError> {
        let by = CustomerBy::Id(paid.customer.clone());
        let Some(customer) = self.parts.backend.customer(tenant, &by).await? else {
            return Ok(None);
        };
        let site = self.site_of(tenant, &customer).await?;
        Ok(site.map(|site| (customer, site)))
    }

    /// Tells the business of a payment, then the customer. Says why it has to be told again.
    async fn credit_there(
        &self,
        task: &TaskRow,
        mut telling: Telling,
    ) -> Result<Result<(), &'static str>, BackendError> {
        let tenant = &task.tenant;
        // One payment of his after the other.
        let _turn = self.turns.of_code(tenant, &telling.paid.customer).await;
        for _ in 0..MADE_OUT_MAX {
            let paid = &telling.paid;
            let Some((customer, site)) = self.credited_customer(tenant, paid).await? else {
                return Ok(Err("the business knows no such customer or site"));
            };
            let mut effect = purse::effect_of(tenant, &paid.payment, "credit", self.now());
            effect.key = telling.key();
            let person = (&customer, &site);
            let change = self.activation(tenant, person, &paid.checkout, effect.at).await?;
            effect.changes = vec![Change::Update { id: customer.id, change }];
            let Err(error) = self.parts.backend.carry_out_at_leisure(effect).await else {
                return self.tell_of_credit(task, paid).await;
            };
            // The answer to an earlier try was lost.
            if error.is_conflict(WATER_CREDITED) || error.is_conflict("known") {
                return self.tell_of_credit(task, paid).await;
            }
            if !matches!(error, BackendError::Conflict(_)) {
                return Err(error);
            }
            telling.refusals += 1;
            self.reword(task, &telling).await?;
            if !error.is_conflict(WATER_CHANGED) && !error.is_conflict(CODE_TAKEN) {
                return Err(error);
            }
        }
        Ok(Err("he is changed by others meanwhile"))
    }

    /// Keeps that the business has refused what was told under the last key.
    async fn reword(&self, task: &TaskRow, telling: &Telling) -> Result<(), BackendError> {
        let (tenant, id, at) = (task.tenant.clone(), task.id.clone(), self.now());
        let step = TaskStep::Reword { body: Json::of(telling) };
        self.keep(vec![Operation::ChangeTask(TaskChange { tenant, id, at, step })]).await
    }

    /// Keeps what follows from a credit that the business has, by what it says of the customer now, and
    /// that the task is done: a crash has nobody told twice.
    async fn tell_of_credit(
        &self,
        task: &TaskRow,
        paid: &Paid,
    ) -> Result<Result<(), &'static str>, BackendError> {
        let tenant = &task.tenant;
        let Some((customer, site)) = self.credited_customer(tenant, paid).await? else {
            return Ok(Err("the business no longer knows him"));
        };
        let mut effect = purse::effect_of(tenant, &paid.payment, "credit", self.now());
        self.credited(&mut effect, (&customer, &site), paid);
        let now = effect.at;
        effect.operations.push(ended(task, "credited", now));
        let outcome = self.outcome(effect, now);
        self.parts.pipeline.keep(outcome.events, outcome.operations.clone()).await?;
        self.committed(&outcome.operations);
        Ok(Ok(()))
    }
}

/// Credits payments where the business keeps the customers.
pub struct Crediting(pub Arc<Water>);

#[async_trait]
impl Handler for Crediting {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        let Ok(telling) = serde_json::from_str::<Telling>(task.body.as_str()) else {
            return Outcome::Hopeless { cause: "it cannot be read".into() };
        };
        let failed = |cause: &str| Outcome::Failed { cause: cause.into(), retry_after: None };
        match self.0.credit_there(task, telling).await {
            Ok(Ok(())) => Outcome::Done { answer: "credited".into() },
            Ok(Err(cause)) => failed(cause),
            Err(error) => failed(error.code()),
        }
    }

    fn at_once(&self) -> usize {
        CALLS_MAX
    }
}
