//! Payments by a prompt on the payer's phone: rows, changes, and what is read of them.

use super::{ReadError, TaskRow};
use async_trait::async_trait;
use backend::payment::{Claim, Payment, State};
use jiff::Timestamp;
use model::{DeviceId, Tenant};

/// Why [`PaymentOperation::Put`] is refused: the customer has a payment in flight, or one of which
/// nobody knows and whose time has not passed.
pub const PAYMENT_OPEN: &str = "payment_open";
/// Why [`PaymentOperation::Put`] is refused: it was made before, under the same key.
pub const PAYMENT_KNOWN: &str = "payment_known";
/// Why [`PaymentOperation::Step`] is refused: somebody else made a step meanwhile.
pub const PAYMENT_CHANGED: &str = "payment_changed";
/// Why [`PaymentOperation::Step`] is refused: the prompt is another payment's.
pub const CHECKOUT_TAKEN: &str = "checkout_taken";
/// Why [`PaymentOperation::Step`] is refused: the receipt is another payment's.
pub const RECEIPT_TAKEN: &str = "receipt_taken";

/// A payment, and whose it is. Prints without the number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaymentRow {
    /// Whose.
    pub tenant: Tenant,
    /// Its name, a ULID.
    pub id: Box<str>,
    /// Who pays, by the name that the business has for him.
    pub customer: Box<str>,
    /// What stands in the prompt: at most 12 characters.
    pub reference: Box<str>,
    /// In which language he is told of it.
    pub language: Box<str>,
    /// What makes asking twice the same as asking once.
    pub key: Box<str>,
    /// When it was wanted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Where it stands.
    pub payment: Payment,
}

/// What happened to a payment, in words and codes: no number, no receipt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaymentStepRow {
    /// The payment's version after it.
    pub version: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    pub what: Box<str>,
    /// The state after it.
    pub state: State,
    /// The provider's code, or who it was.
    pub detail: Option<Box<str>>,
}

/// What was said of a prompt and fits nothing, or not what is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StrayRow {
    /// Its number; 0 before it is kept.
    pub id: u64,
    /// Whose: that of the payment, else the default tenant.
    pub tenant: Tenant,
    /// The payment that it came to, if any.
    pub payment: Option<Box<str>>,
    /// When it first came.
    pub time: Timestamp,
    /// What was said.
    pub claim: Claim,
}

/// A step of a payment, with what must be true with it.
#[derive(Clone, Debug)]
pub struct PaymentStep {
    /// The payment after it.
    pub row: PaymentRow,
    /// The version it was made from.
    pub seen: u64,
    /// What happened, as in [`PaymentStepRow::what`].
    pub what: &'static str,
    /// As [`PaymentStepRow::detail`].
    pub detail: Option<Box<str>>,
    /// What did not fit.
    pub strays: Vec<StrayRow>,
    /// Its timers: part of the step, so that a full store takes all of it.
    pub tasks: Vec<TaskRow>,
}

/// A change of what is kept of payments.
#[derive(Clone, Debug)]
pub enum PaymentOperation {
    /// Makes a payment. Refused as a conflict: [`PAYMENT_KNOWN`], [`PAYMENT_OPEN`].
    Put(Box<PaymentRow>),
    /// Moves one on. Refused as a conflict: [`PAYMENT_CHANGED`], [`CHECKOUT_TAKEN`],
    /// [`RECEIPT_TAKEN`].
    Step(Box<PaymentStep>),
    /// Keeps what fits nothing; the same once. When there are too many the oldest go, those that came to
    /// no payment first.
    KeepStray(Box<StrayRow>),
}

impl PaymentOperation {
    /// Strays of a tenant's that are kept.
    pub const STRAYS_MAX: u64 = 10_000;
    /// Strays of one payment that are kept.
    pub const STRAYS_OF_ONE_MAX: u64 = 100;

    /// Whether a full store must still take it: whatever brings a payment nearer to its end, but no
    /// new one and no new prompt.
    pub fn frees_space(&self) -> bool {
        match self {
            Self::Put(_) | Self::KeepStray(_) => false,
            Self::Step(step) => {
                let payment = &step.row.payment;
                payment.state != State::Requesting || payment.is_lost
            }
        }
    }
}

/// Which strays.
#[derive(Clone, Debug)]
pub enum Strays {
    /// A tenant's, newest first, before the one of that number.
    Of {
        /// Whose.
        tenant: Tenant,
        /// Older than this.
        before: Option<u64>,
    },
    /// Those that came to a payment or may belong to it: of its prompt, or of its number and amount. None
    /// that came to a payment of another tenant's.
    MayBelongTo(Box<PaymentRow>),
}

/// What is read of payments.
#[async_trait]
pub trait PaymentStore: Send + Sync + 'static {
    /// One payment.
    async fn payment(&self, tenant: &Tenant, id: &str) -> Result<Option<PaymentRow>, ReadError>;

    /// The payment that a prompt is of.
    async fn payment_of_checkout(&self, checkout: &str) -> Result<Option<PaymentRow>, ReadError>;

    /// The payment that a receipt is of.
    async fn payment_of_receipt(&self, receipt: &str) -> Result<Option<PaymentRow>, ReadError>;

    /// Payments of that number and whole amount whose prompt may be without a name that is sure.
    async fn nameless_payments(
        &self,
        number: &DeviceId,
        amount: u32,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError>;

    /// Whether a customer must wait before he gets another prompt.
    async fn payment_blocks(
        &self,
        tenant: &Tenant,
        customer: &str,
        now: Timestamp,
    ) -> Result<bool, ReadError>;

    /// A tenant's payments in the order of their names, which is that of their making; those of one
    /// state, or all.
    async fn payments(
        &self,
        tenant: &Tenant,
        state: Option<State>,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError>;

    /// Those that wait for a push or a check, and no waiting task is there for it; in the order of
    /// tenant and name, behind that one.
    async fn payments_without_task(
        &self,
        after: Option<(&Tenant, &str)>,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError>;

    /// Whether the customer has one that is in flight, or of which nobody knows.
    async fn has_open_payment(&self, tenant: &Tenant, customer: &str) -> Result<bool, ReadError>;

    /// How many there are of which nobody knows.
    async fn unresolved_payments(&self) -> Result<u64, ReadError>;

    /// What happened to one, oldest first.
    async fn payment_steps(
        &self,
        tenant: &Tenant,
        id: &str,
        rows_max: usize,
    ) -> Result<Vec<PaymentStepRow>, ReadError>;

    /// What fits nothing.
    async fn payment_strays(
        &self,
        which: &Strays,
        rows_max: usize,
    ) -> Result<Vec<StrayRow>, ReadError>;
}
