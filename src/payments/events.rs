//! What the business hears of payments: ids, amounts and words.

use crate::store::PaymentRow;
use backend::payment::Why;
use jiff::Timestamp;
use model::{Event, EventType, Json};
use serde_json::{Value, json};

/// A customer asked to pay.
pub(super) fn requested(row: &PaymentRow, now: Timestamp) -> Event {
    event(row, EventType::PAYMENT_REQUESTED, now, json!({}))
}

/// It is paid, and he has what he paid for. `late`: he may have been told otherwise.
pub(super) fn credited(row: &PaymentRow, late: bool, now: Timestamp) -> Event {
    let more = json!({ "receipt": row.payment.receipt, "late": late });
    event(row, EventType::PAYMENT_CREDITED, now, more)
}

/// It was not paid.
pub(super) fn declined(row: &PaymentRow, now: Timestamp) -> Event {
    let why = row.payment.code.map_or(Why::Other, Why::of);
    let more = json!({ "cause": why.as_str(), "code": row.payment.code });
    event(row, EventType::PAYMENT_DECLINED, now, more)
}

/// Nobody can say.
pub(super) fn unresolved(row: &PaymentRow, now: Timestamp) -> Event {
    let receipt = row.payment.claim.as_ref().and_then(|it| it.receipt.as_ref());
    event(row, EventType::PAYMENT_UNRESOLVED, now, json!({ "claimed_receipt": receipt }))
}

fn event(row: &PaymentRow, kind: EventType, time: Timestamp, more: Value) -> Event {
    let mut data = json!({
        "id": row.id,
        "customer": row.customer,
        "amount": row.payment.amount,
        "reference": row.reference,
        "checkout": row.payment.checkout.as_ref().map(|it| &it.id),
    });
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
        data.retain(|_, value| !value.is_null());
    }
    Event {
        tenant: row.tenant.clone(),
        device: row.payment.number.clone(),
        kind,
        time,
        data: Json::of(&data),
        facts: None,
    }
}
