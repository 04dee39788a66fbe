//! Payments by a prompt on the payer's phone.
//!
//! [`backend::payment`] decides; this carries it out. A step is on disk before anything follows from
//! it: the intent before the prompt is asked for, the credit in the transaction that says paid. What is
//! due later is a task ([`PUSH`], [`CHECK`]); a callback is kept as a claim and answered, and the
//! provider is asked by a task of its own.
//!
//! What crediting means is not known here: that is the [`Purse`]'s.

mod daraja;
mod events;
mod heard;
mod metrics;
mod provider;
mod purse;
mod steps;
mod work;

pub use self::daraja::{Daraja, Wire};
pub use self::heard::{Heard, SettleError, claim_of};
pub use self::metrics::Metrics;
pub use self::provider::{Channel, Provider};
pub use self::purse::{Outcome, Purse, PurseError};
pub use self::steps::Unkept;
pub use self::work::policy;
pub use backend::payment::{Notice, Why};

#[cfg(test)]
mod tests;

use crate::clock::{self, Clock};
use crate::pipeline::Pipeline;
use crate::store::{Operation, PaymentOperation, PaymentRow, PaymentStore, ReadError, TaskRow};
use crate::tasks::{self, Tasks};
use backend::payment::{Output, Payment, Step, Timing};
use jiff::Timestamp;
use model::{DeviceId, Event, Json, Tenant};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock, Weak};
use tracing::{error, warn};

/// The kind of the tasks that ask for a prompt.
pub const PUSH: &str = "mpesa.push";
/// The kind of the tasks that ask what became of one.
pub const CHECK: &str = "mpesa.check";

/// Prompts that are asked for at once, and prompts that are asked about: a dead provider must not hold
/// up what is owed to others.
const CALLS_MAX: usize = 4;
/// Payments without a task that are given one in one transaction.
const REARMED_ROWS: usize = 200;
/// How often a credit is asked for anew where another change stood against it.
pub const CREDITS_MAX: usize = 8;

/// A payment that is wanted.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// Whose.
    pub tenant: Tenant,
    /// Who pays, by the name that the business has for him.
    pub customer: Box<str>,
    /// Whose phone is prompted: one that [`Payments::may_prompt`].
    pub number: DeviceId,
    /// How much, in whole shillings; not 0.
    pub amount: u32,
    /// What stands in the prompt: 1 to 12 letters, digits, blanks or `-`.
    pub reference: Box<str>,
    /// In which language he is told of it.
    pub language: Box<str>,
    /// What makes asking twice the same as asking once, within the tenant.
    pub key: Box<str>,
}

/// What a task is about: names only, since tasks are shown.
#[derive(Debug, Deserialize, Serialize)]
struct Subject {
    payment: Box<str>,
    /// Which push, or which check.
    number: u32,
}

/// What payments are made of.
pub struct Parts {
    /// Where they are kept.
    pub store: Arc<dyn PaymentStore>,
    /// Who keeps them.
    pub pipeline: Arc<Pipeline>,
    /// Who carries out what is due later.
    pub tasks: Arc<Tasks>,
    /// The time.
    pub clock: Clock,
    /// Who takes the money; nothing can be paid without.
    pub provider: Option<Arc<dyn Provider>>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Carries payments out. Shared as `Arc<Payments>`.
pub struct Payments {
    parts: Parts,
    timing: Timing,
    purse: OnceLock<Weak<dyn Purse>>,
}

impl std::fmt::Debug for Payments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payments")
            .field("is_configured", &self.is_configured())
            .finish_non_exhaustive()
    }
}

impl Payments {
    /// Payments by that provider, at those moments.
    pub fn new(parts: Parts, timing: Timing) -> Arc<Self> {
        Arc::new(Self { parts, timing, purse: OnceLock::new() })
    }

    /// Whether anything can be paid.
    pub fn is_configured(&self) -> bool {
        self.parts.provider.is_some()
    }

    /// Whether that phone can be prompted.
    pub fn may_prompt(&self, phone: &DeviceId) -> bool {
        self.is_configured() && mpesa::Number::of(phone).is_some()
    }

    /// What a customer pays to, as screens call it; `None` where nothing can be paid.
    pub fn channel(&self) -> Option<Channel> {
        self.parts.provider.as_ref().map(|it| it.channel())
    }

    /// What is to be kept, in one transaction, of a payment that is wanted now; then it is under way,
    /// and [`Payments::committed`] is called. The transaction is refused as a conflict
    /// ([`PAYMENT_OPEN`](crate::store::PAYMENT_OPEN)) while the customer has another one.
    pub fn request(&self, new: &NewPayment, now: Timestamp) -> (Event, Vec<Operation>) {
        let Step { payment, outputs } =
            Payment::wanted(new.number.clone(), new.amount, now, &self.timing);
        let row = PaymentRow {
            tenant: new.tenant.clone(),
            id: clock::new_name(now),
            customer: new.customer.clone(),
            reference: new.reference.clone(),
            language: new.language.clone(),
            key: new.key.clone(),
            created_at: now,
            changed_at: now,
            payment,
        };
        let event = events::requested(&row, now);
        let tasks = outputs.iter().filter_map(|it| timer(&row, it, now));
        let tasks: Vec<_> = tasks.map(Operation::PutTask).collect();
        let put = PaymentOperation::Put(Box::new(row));
        let operations = std::iter::once(Operation::Payment(put)).chain(tasks).collect();
        (event, operations)
    }

    /// These are on disk: what is due later will be carried out.
    pub fn committed(&self, operations: &[Operation]) {
        for operation in operations {
            match operation {
                Operation::PutTask(task) => self.parts.tasks.added(task),
                Operation::Payment(PaymentOperation::Put(row)) => {
                    self.parts.metrics.moved(None, row.payment.state);
                }
                Operation::Payment(PaymentOperation::Step(step)) => {
                    step.tasks.iter().for_each(|task| self.parts.tasks.added(task));
                }
                _ => {}
            }
        }
    }

    /// Whether the customer must wait before he gets another prompt: one is in flight, or nobody knows
    /// of one and its hold has not passed.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn open_of(
        &self,
        tenant: &Tenant,
        customer: &str,
        now: Timestamp,
    ) -> Result<bool, ReadError> {
        self.parts.store.payment_blocks(tenant, customer, now).await
    }

    /// Whether money may be under way that would find nobody: the customer has a payment in flight, or
    /// one of which nobody knows yet.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn has_open(&self, tenant: &Tenant, customer: &str) -> Result<bool, ReadError> {
        self.parts.store.has_open_payment(tenant, customer).await
    }

    /// Shows how many payments nobody knows of, and has go on what stands still; at start.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn look(&self) -> Result<(), ReadError> {
        self.parts.metrics.unresolved(self.parts.store.unresolved_payments().await?);
        self.rearm().await
    }

    /// Has go on what nobody would move any more because its task was taken away; at start and every
    /// hour. Costs nothing where there is no such payment.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn rearm(&self) -> Result<(), ReadError> {
        let store = &self.parts.store;
        let mut after: Option<(Tenant, Box<str>)> = None;
        loop {
            let behind = after.as_ref().map(|(tenant, id)| (tenant, &**id));
            let rows = store.payments_without_task(behind, REARMED_ROWS).await?;
            let now = self.parts.clock.now().wall;
            let tasks = rows.iter().filter_map(|row| {
                let pending = row.payment.pending(&self.timing)?;
                timer(row, &pending, now)
            });
            let operations: Vec<_> = tasks.map(Operation::PutTask).collect();
            if !operations.is_empty() {
                let kept = self.parts.pipeline.keep(Vec::new(), operations.clone()).await;
                if let Err(fault) = kept {
                    let error = &fault as &dyn std::error::Error;
                    error!(error, "open payments without a task stand still; tried again");
                    return Ok(());
                }
                self.committed(&operations);
                self.parts.metrics.rearmed(operations.len());
                warn!(payments = operations.len(), "open payments had no task, and have one again");
            }
            match rows.last() {
                Some(last) if rows.len() == REARMED_ROWS => {
                    after = Some((last.tenant.clone(), last.id.clone()));
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Says what payments are for; once, before the tasks run. It is asked for as long as it is there.
    pub fn set_purse(&self, purse: Weak<dyn Purse>) {
        let _ = self.purse.set(purse);
    }
}

/// The task that a step wants done later.
fn timer(row: &PaymentRow, output: &Output, now: Timestamp) -> Option<TaskRow> {
    let (kind, word, number, at) = match output {
        Output::PushAt { attempt, at } => (PUSH, "push", u32::from(*attempt), *at),
        Output::Timer { number, at } => (CHECK, "check", *number, *at),
        Output::Push
        | Output::Query
        | Output::Credit { .. }
        | Output::Notice(_)
        | Output::Unresolved
        | Output::Stray(_) => return None,
    };
    let key = format!("{}:{word}:{number}", row.id);
    let body = Json::of(&Subject { payment: row.id.clone(), number });
    // Tasks are shown to more people than payments are: no number.
    let made = tasks::task(&row.tenant, kind, &key, None, body, now);
    // It grows old from then on: until it is due nobody tries it.
    Some(TaskRow { due_at: at, since: at.max(now), ..made })
}
