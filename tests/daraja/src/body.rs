//! Daraja's answers and callbacks, byte by byte.

use crate::judge::Fault;
use crate::prompt::Prompt;
use crate::{Answer, Taken};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn json(status: u16, body: &Value, after: Duration) -> Answer {
    Answer { status, content_type: "application/json;charset=UTF-8", body: body.to_string(), after }
}

pub(crate) fn fault(fault: &Fault, id: &str, after: Duration) -> Answer {
    let body = json!({
        "requestId": id,
        "errorCode": fault.code,
        "errorMessage": fault.message,
    });
    json(fault.status, &body, after)
}

/// Too many requests, as Daraja or as its edge says it.
pub(crate) fn spike(is_edge: bool, after: Duration) -> Answer {
    if is_edge {
        let body = json!({"fault": {
            "faultstring": "Spike arrest violation. Allowed rate : 5ps",
            "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"},
        }});
        return json(429, &body, after);
    }
    let message = "Error Occurred: Spike Arrest Violation";
    fault(&Fault::new(500, "500.003.02", message), "11728-2929992-1", after)
}

/// What stands before Daraja speaks in its place.
pub(crate) fn page(is_down: bool, after: Duration) -> Answer {
    let status = if is_down { 503 } else { 200 };
    let body = "<html><body>Request unsuccessful. Incident ID: 1-2</body></html>".to_owned();
    Answer { status, content_type: "text/html", body, after }
}

pub(crate) fn token(token: &str, lifetime: Duration) -> Value {
    json!({"access_token": token, "expires_in": lifetime.as_secs().to_string()})
}

pub(crate) fn accepted(prompt: &Prompt) -> Value {
    json!({
        "MerchantRequestID": prompt.merchant,
        "CheckoutRequestID": prompt.checkout,
        "ResponseCode": "0",
        "ResponseDescription": "Success. Request accepted for processing",
        "CustomerMessage": "Success. Request accepted for processing",
    })
}

pub(crate) fn result(prompt: &Prompt, code: u32, as_text: bool) -> Value {
    let code_said = if as_text { json!(code.to_string()) } else { json!(code) };
    queried(prompt, &code_said, said(code))
}

pub(crate) fn still_processing(prompt: &Prompt) -> Value {
    queried(prompt, &json!("4999"), "The transaction is still under processing")
}

fn queried(prompt: &Prompt, code: &Value, text: &str) -> Value {
    json!({
        "ResponseCode": "0",
        "ResponseDescription": "The service request has been accepted successsfully",
        "MerchantRequestID": prompt.merchant,
        "CheckoutRequestID": prompt.checkout,
        "ResultCode": code,
        "ResultDesc": text,
    })
}

/// The end of a prompt. Only money that was taken has metadata.
pub(crate) fn callback(
    prompt: &Prompt,
    code: u32,
    taken: Option<&Taken>,
    as_text: bool,
    is_balance_bare: bool,
) -> String {
    let number = |value: u64| if as_text { json!(value.to_string()) } else { json!(value) };
    let mut said = json!({
        "MerchantRequestID": prompt.merchant,
        "CheckoutRequestID": prompt.checkout,
        "ResultCode": number(code.into()),
        "ResultDesc": said(code),
    });
    if let Some(taken) = taken {
        let nairobi = (taken.at + SignedDuration::from_hours(3)).to_zoned(TimeZone::UTC);
        let date = nairobi.strftime("%Y%m%d%H%M%S").to_string();
        let amount = if as_text {
            json!(format!("{}.00", prompt.amount))
        } else {
            json!(f64::from(prompt.amount))
        };
        let mut balance = json!({"Name": "Balance"});
        if !is_balance_bare {
            balance["Value"] = json!(1234.5);
        }
        said["CallbackMetadata"] = json!({"Item": [
            {"Name": "Amount", "Value": amount},
            {"Name": "MpesaReceiptNumber", "Value": taken.receipt},
            balance,
            {"Name": "TransactionDate", "Value": number(date.parse().unwrap_or_default())},
            {"Name": "PhoneNumber", "Value": number(prompt.number.parse().unwrap_or_default())},
        ]});
    }
    json!({"Body": {"stkCallback": said}}).to_string()
}

fn said(code: u32) -> &'static str {
    match code {
        0 => "The service request is processed successfully.",
        1 => "The balance is insufficient for the transaction.",
        17 => "Rule limited.",
        26 => "System busy. Try again in a short while.",
        1001 => {
            "Unable to lock subscriber, a transaction is already in process for the current subscriber"
        }
        1019 => "Transaction expired. No MO has been received",
        1032 => "Request cancelled by user",
        1037 => "DS timeout user cannot be reached",
        2001 => "The initiator information is invalid.",
        _ => "The request failed.",
    }
}
