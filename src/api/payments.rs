//! Payments as an operator sees them, and his word on those that nobody can confirm.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, JsonBody, PageQuery, Params, Segments, cursor, id_page, limit};
use super::problem::{Code, Problem};
use crate::payments::{PurseError, SettleError, Unkept};
use crate::store::{PaymentRow, PaymentStepRow, StrayRow, Strays};
use axum::Json;
use axum::extract::State;
use backend::payment::{Payment, State as PaymentState, Why};
use jiff::Timestamp;
use mpesa::is_receipt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Steps and strays that are shown of one payment.
const SHOWN_MAX: usize = 200;

/// A payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(super) struct PaymentView {
    /// Its name; names sort by creation.
    id: Box<str>,
    /// `draft`, `requesting`, `prompted`, `paid`, `declined` or `unresolved`.
    state: &'static str,
    /// Who pays.
    customer: Box<str>,
    /// The phone that is prompted.
    device: String,
    /// How much, in whole shillings.
    amount: u32,
    /// What stands in the prompt.
    reference: Box<str>,
    /// The provider's name of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkout: Option<Box<str>>,
    /// Whether only a callback says that this prompt is the payment's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    checkout_is_claimed: bool,
    /// The number of the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Box<str>>,
    /// The receipt that a callback claims, while nobody confirms it.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_receipt: Option<Box<str>>,
    /// The provider's number for why it was declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// The same as a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// Whether nobody but an operator will move it any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    awaits_operator: bool,
    /// When it was wanted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// When the provider is asked next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    check_at: Option<Timestamp>,
}

impl From<PaymentRow> for PaymentView {
    fn from(row: PaymentRow) -> Self {
        let Payment { state, number, amount, checkout, claim, receipt, check, code, .. } =
            row.payment;
        let is_paid = state == PaymentState::Paid;
        Self {
            id: row.id,
            state: state.as_str(),
            customer: row.customer,
            device: number.as_str().to_owned(),
            amount,
            reference: row.reference,
            checkout_is_claimed: checkout.as_ref().is_some_and(|it| it.is_adopted),
            checkout: checkout.map(|it| it.id),
            receipt,
            claimed_receipt: claim.and_then(|it| it.receipt).filter(|_| !is_paid),
            code,
            cause: code.map(|it| Why::of(it).as_str()),
            awaits_operator: state == PaymentState::Unresolved && check.is_none(),
            created_at: row.created_at,
            changed_at: row.changed_at,
            check_at: check.map(|it| it.at),
        }
    }
}

/// What happened to a payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentStep)]
struct StepView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// What, as a word.
    what: Box<str>,
    /// The state after it.
    state: &'static str,
    /// The provider's code, or the number of the push.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<str>>,
}

impl From<PaymentStepRow> for StepView {
    fn from(row: PaymentStepRow) -> Self {
        let PaymentStepRow { version: _, time, what, state, detail } = row;
        Self { created_at: time, what, state: state.as_str(), detail }
    }
}

/// What was said of a prompt and fits nothing, or not what is known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentStray)]
pub(super) struct StrayView {
    /// Its number.
    id: u64,
    /// When it first came.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The payment that it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Box<str>>,
    /// The prompt that it names.
    checkout: Box<str>,
    /// 0 where the money is said to be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u32>,
    /// How much, in hundredths of a shilling.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_cents: Option<u64>,
    /// Whose phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The number of the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Box<str>>,
}

impl From<StrayRow> for StrayView {
    fn from(row: StrayRow) -> Self {
        Self {
            id: row.id,
            created_at: row.time,
            payment: row.payment,
            checkout: row.claim.checkout,
            code: row.claim.code,
            amount_cents: row.claim.amount_cents,
            device: row.claim.number.map(|it| it.as_str().to_owned()),
            receipt: row.claim.receipt,
        }
    }
}

/// A payment with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PaymentWhole)]
pub(super) struct WholeView {
    #[serde(flatten)]
    payment: PaymentView,
    /// What happened to it, oldest first.
    steps: Vec<StepView>,
    /// What was said and did not fit, and may belong to it; newest first.
    strays: Vec<StrayView>,
}

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PaymentQuery {
    /// Only those in this state.
    state: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What an operator found out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettleRequest {
    /// `paid` or `not_paid`.
    outcome: String,
    /// The number of the receipt; needed with `paid`, and only there.
    receipt: Option<String>,
}

/// Lists payments, oldest first.
#[utoipa::path(get, path = "/api/v1/payments", tag = "payments",
    operation_id = "list_payments",
    security(("token" = ["payments.read"])), params(PaymentQuery),
    responses((status = 200, description = "A page of them", body = Items<PaymentView>)))]
pub(super) async fn list(
    caller: Authorised<need::PaymentsRead>,
    State(state): State<ApiState>,
    Params(query): Params<PaymentQuery>,
) -> Result<Json<Items<PaymentView>>, Problem> {
    let (limit, after) = id_page(query.limit, query.cursor.as_deref())?;
    let parsed = |word: &str| {
        PaymentState::parse(word).ok_or_else(|| {
            let words = PaymentState::ALL.map(PaymentState::as_str).join("`, `");
            Problem::new(Code::InvalidQuery, format!("`state` is one of `{words}`"))
        })
    };
    let in_state = query.state.as_deref().map(parsed).transpose()?;
    let store = &state.payment_store;
    let rows = store.payments(caller.tenant(), in_state, after.as_deref(), limit + 1).await?;
    let views = rows.into_iter().map(PaymentView::from).collect();
    Ok(Json(Items::page(views, limit, |it: &PaymentView| it.id.to_string())))
}

/// Lists what was said of prompts and fits nothing, or not what is known, newest first.
#[utoipa::path(get, path = "/api/v1/payment-strays", tag = "payments",
    operation_id = "list_payment_strays",
    security(("token" = ["payments.read"])), params(PageQuery),
    responses((status = 200, description = "A page of them", body = Items<StrayView>)))]
pub(super) async fn strays(
    caller: Authorised<need::PaymentsRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<StrayView>>, Problem> {
    let limit = limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), |text| text.parse().ok())?;
    let which = Strays::Of { tenant: caller.tenant().clone(), before };
    let rows = state.payment_store.payment_strays(&which, limit + 1).await?;
    let views = rows.into_iter().map(StrayView::from).collect();
    Ok(Json(Items::page(views, limit, |it: &StrayView| it.id.to_string())))
}

/// Shows a payment with its steps, and with what may belong to it.
#[utoipa::path(get, path = "/api/v1/payments/{id}", tag = "payments",
    operation_id = "show_payment",
    security(("token" = ["payments.read"])),
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The payment", body = WholeView)))]
pub(super) async fn show(
    caller: Authorised<need::PaymentsRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<WholeView>, Problem> {
    let store = &state.payment_store;
    let row = store.payment(caller.tenant(), &id).await?.ok_or(Code::NoSuchPayment)?;
    let steps = store.payment_steps(caller.tenant(), &id, SHOWN_MAX).await?;
    let strays = Strays::MayBelongTo(Box::new(row.clone()));
    let strays = store.payment_strays(&strays, SHOWN_MAX).await?;
    Ok(Json(WholeView {
        payment: row.into(),
        steps: steps.into_iter().map(StepView::from).collect(),
        strays: strays.into_iter().map(StrayView::from).collect(),
    }))
}

/// Settles a payment by what an operator found out: credits it under a receipt, or declines it.
#[utoipa::path(post, path = "/api/v1/payments/{id}/settle", tag = "payments",
    operation_id = "settle_payment",
    security(("token" = ["payments.settle"])),
    params(("id" = String, Path, description = "Its name")),
    request_body = SettleRequest,
    responses((status = 200, description = "The payment as it stands", body = PaymentView)))]
pub(super) async fn settle(
    caller: Authorised<need::PaymentsSettle>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody<SettleRequest>,
) -> Result<Json<PaymentView>, Problem> {
    let receipt = match (&*body.outcome, body.receipt) {
        ("paid", Some(receipt)) if is_receipt(&receipt) => Some(receipt),
        ("paid", _) => {
            let detail = "`receipt` is needed: 6 to 20 capital letters and digits";
            return Err(Problem::new(Code::InvalidBody, detail));
        }
        ("not_paid", None) => None,
        ("not_paid", Some(_)) => {
            return Err(Problem::new(Code::InvalidBody, "`receipt` is of what was paid"));
        }
        _ => return Err(Problem::new(Code::InvalidBody, "`outcome` is `paid` or `not_paid`")),
    };
    let detail = json!({ "outcome": body.outcome, "receipt": receipt });
    let audit = state.audit(&caller, "payment.settle", &id, &detail);
    let (payments, tenant) = (Arc::clone(&state.payments), caller.tenant().clone());
    let settled = super::change::to_its_end(async move {
        payments.settle(&tenant, &id, receipt.as_deref(), &audit).await
    });
    Ok(Json(settled.await??.into()))
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Settled => Code::PaymentSettled.into(),
            SettleError::Unkept(unkept) => unkept.into(),
        }
    }
}

impl From<Unkept> for Problem {
    fn from(unkept: Unkept) -> Self {
        match unkept {
            Unkept::Missing => Code::NoSuchPayment.into(),
            Unkept::Read(error) | Unkept::Purse(PurseError::Read(error)) => error.into(),
            Unkept::Write(error) => error.into(),
            Unkept::Purse(PurseError::Nothing) | Unkept::NoPurse => {
                Self::new(Code::Conflict, "there is nothing that it could be credited to")
            }
        }
    }
}
