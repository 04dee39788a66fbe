//! A purse that leaves a mark for each credit and each word to a customer, and a store that is slow.

use super::sky::Sky;
use crate::clock;
use crate::payments::{Notice, Outcome, Purse, PurseError};
use crate::store::{
    Operation, PaymentRow, PaymentStepRow, PaymentStore, ReadError, SqliteStore, StrayRow, Strays,
    TokenRow,
};
use crate::tasks::task;
use async_trait::async_trait;
use backend::payment::State;
use jiff::Timestamp;
use model::{DeviceId, Json, Redacted, Tenant};
use parking_lot::Mutex;
use std::sync::Arc;

/// The kinds of its marks, which are tasks that nobody carries out.
pub(super) const CREDIT: &str = "test.credit";
pub(super) const NOTICE: &str = "test.notice";
/// When a mark is due: after all that happens.
pub(super) const NEVER: Timestamp = Timestamp::constant(4_000_000_000, 0);
/// A name that is taken, so that to make it is refused.
pub(super) const TAKEN: &str = "taken";

pub(super) struct Till {
    pub(super) sky: Arc<Sky>,
    /// How often something else stood against a credit.
    pub(super) refused: Mutex<u32>,
}

impl Till {
    pub(super) fn new(sky: &Arc<Sky>) -> Arc<Self> {
        Arc::new(Self { sky: Arc::clone(sky), refused: Mutex::new(0) })
    }
}

/// A mark of its own for each time, so that what happens twice is there twice.
fn mark(kind: &'static str, payment: &PaymentRow, word: &str, now: Timestamp) -> Operation {
    let key = format!("{}:{}", payment.id, clock::new_name(now));
    let body = Json::of(&serde_json::json!({ "payment": payment.id, "word": word }));
    let mut row = task(&payment.tenant, kind, &key, None, body, now);
    row.due_at = NEVER;
    Operation::PutTask(row)
}

/// A token of that name.
pub(super) fn token(name: &str, now: Timestamp) -> Operation {
    Operation::PutToken(TokenRow {
        tenant: Tenant::default(),
        name: name.into(),
        hash: [0; 32],
        role: "admin".into(),
        created_at: now,
        made_by: None,
        acl: None,
        is_revoked: false,
    })
}

#[async_trait]
impl Purse for Till {
    async fn credit(&self, payment: &PaymentRow, now: Timestamp) -> Result<Outcome, PurseError> {
        self.sky.wait("before the commit of a credit", self.sky.roll(900)).await;
        assert_eq!(payment.payment.state, State::Paid, "as it will be kept");
        let mut operations = vec![mark(CREDIT, payment, "credit", now)];
        if self.sky.roll(8) == 0 {
            *self.refused.lock() += 1;
            operations.push(token(TAKEN, now));
        }
        Ok(Outcome { events: Vec::new(), operations })
    }

    async fn told(
        &self,
        payment: &PaymentRow,
        notice: Notice,
        now: Timestamp,
    ) -> Result<Outcome, PurseError> {
        self.sky.wait("before the commit of a notice", self.sky.roll(900)).await;
        let word = match notice {
            Notice::Declined(why) => why.as_str(),
            Notice::Unconfirmed => "unconfirmed",
        };
        let operations = vec![mark(NOTICE, payment, word, now)];
        Ok(Outcome { events: Vec::new(), operations })
    }
}

/// Lets time pass between a read and what is made of it, so that others come in between.
pub(super) struct Slow(pub(super) Arc<SqliteStore>, pub(super) Arc<Sky>);

#[async_trait]
impl PaymentStore for Slow {
    async fn payment(&self, tenant: &Tenant, id: &str) -> Result<Option<PaymentRow>, ReadError> {
        let row = self.0.payment(tenant, id).await;
        self.1.wait("after a read", self.1.roll(50)).await;
        row
    }

    async fn payment_of_checkout(&self, checkout: &str) -> Result<Option<PaymentRow>, ReadError> {
        let row = self.0.payment_of_checkout(checkout).await;
        self.1.wait("in a callback", self.1.roll(50)).await;
        row
    }

    async fn payment_of_receipt(&self, receipt: &str) -> Result<Option<PaymentRow>, ReadError> {
        let row = self.0.payment_of_receipt(receipt).await;
        self.1.wait("in a callback", self.1.roll(50)).await;
        row
    }

    async fn nameless_payments(
        &self,
        number: &DeviceId,
        amount: u32,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        let rows = self.0.nameless_payments(number, amount, rows_max).await;
        self.1.wait("in a callback", self.1.roll(50)).await;
        rows
    }

    async fn payment_blocks(
        &self,
        tenant: &Tenant,
        customer: &str,
        now: Timestamp,
    ) -> Result<bool, ReadError> {
        self.0.payment_blocks(tenant, customer, now).await
    }

    async fn payments(
        &self,
        tenant: &Tenant,
        state: Option<State>,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        self.0.payments(tenant, state, after, rows_max).await
    }

    async fn payments_without_task(
        &self,
        after: Option<(&Tenant, &str)>,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        self.0.payments_without_task(after, rows_max).await
    }

    async fn has_open_payment(&self, tenant: &Tenant, customer: &str) -> Result<bool, ReadError> {
        self.0.has_open_payment(tenant, customer).await
    }

    async fn unresolved_payments(&self) -> Result<u64, ReadError> {
        self.0.unresolved_payments().await
    }

    async fn payment_steps(
        &self,
        tenant: &Tenant,
        id: &str,
        rows_max: usize,
    ) -> Result<Vec<PaymentStepRow>, ReadError> {
        self.0.payment_steps(tenant, id, rows_max).await
    }

    async fn payment_strays(
        &self,
        which: &Strays,
        rows_max: usize,
    ) -> Result<Vec<StrayRow>, ReadError> {
        self.0.payment_strays(which, rows_max).await
    }
}

/// What M-Pesa is asked with; the stand-in knows the same.
pub(super) fn account() -> mpesa::Account {
    mpesa::Account::new(&mpesa::AccountFields {
        consumer_key: "key",
        consumer_secret: Redacted("secret"),
        passkey: Redacted("passkey"),
        short_code: "600100",
        till: Some("600123"),
        transaction_type: mpesa::TransactionType::BuyGoods,
        callback_url: Redacted("https://gateway.example/payments/mpesa/s"),
    })
    .unwrap()
}

pub(super) fn merchant() -> lastmile_daraja::Merchant {
    lastmile_daraja::Merchant {
        consumer_key: "key".into(),
        consumer_secret: "secret".into(),
        short_code: "600100".into(),
        passkey: "passkey".into(),
        transaction_type: "CustomerBuyGoodsOnline".into(),
        party_b: "600123".into(),
    }
}
