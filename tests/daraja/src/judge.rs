//! Whether a request is one that Daraja takes.

use crate::{Call, Merchant};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Most shillings of one payment.
const AMOUNT_MAX: u64 = 250_000;
/// How far a request's time may be off.
const SKEW: SignedDuration = SignedDuration::from_secs(300);

/// A refusal, in Daraja's words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Whether the request is wrong, rather than its moment.
    pub(crate) is_wrong: bool,
}

impl Fault {
    pub(crate) fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), is_wrong: true }
    }

    pub(crate) fn field(name: &str) -> Self {
        Self::new(400, "400.002.02", &format!("Bad Request - Invalid {name}"))
    }

    pub(crate) fn locked() -> Self {
        let message = "Unable to lock subscriber, a transaction is already in process for the current subscriber";
        Self { is_wrong: false, ..Self::new(500, "500.001.1001", message) }
    }

    pub(crate) fn processing() -> Self {
        let message = "The transaction is being processed";
        Self { is_wrong: false, ..Self::new(500, "500.001.1001", message) }
    }

    pub(crate) fn unknown_prompt() -> Self {
        Self { is_wrong: false, ..Self::field("CheckoutRequestID") }
    }

    fn stale_token() -> Self {
        Self { is_wrong: false, ..Self::new(404, "404.001.03", "Invalid Access Token") }
    }

    fn merchant() -> Self {
        Self::new(500, "500.001.1001", "Merchant does not exist")
    }

    fn credentials() -> Self {
        Self::new(500, "500.001.1001", "Wrong credentials")
    }

    fn method() -> Self {
        Self::new(405, "405.001", "Method Not Allowed")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) number: String,
    pub(crate) amount: u32,
    pub(crate) callback_url: String,
    pub(crate) stamp: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) checkout: String,
}

pub(crate) fn sign_in(merchant: &Merchant, call: &Call<'_>, query: &str) -> Result<(), Fault> {
    if call.method != "GET" {
        return Err(Fault::method());
    }
    if query != "grant_type=client_credentials" {
        return Err(Fault::new(400, "400.008.02", "Invalid grant type passed"));
    }
    let both = format!("{}:{}", merchant.consumer_key, merchant.consumer_secret);
    let wanted = format!("Basic {}", STANDARD.encode(both));
    if header(call, "authorization") == Some(wanted.as_str()) {
        Ok(())
    } else {
        Err(Fault::new(400, "400.008.01", "Invalid Authentication passed"))
    }
}

pub(crate) fn bearer(call: &Call<'_>, is_good: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let Some(header) = header(call, "authorization") else {
        return Err(Fault::new(404, "404.001.04", "Invalid Authentication Header"));
    };
    match header.strip_prefix("Bearer ") {
        Some(token) if is_good(token) => Ok(()),
        Some(_) | None => Err(Fault::stale_token()),
    }
}

pub(crate) fn push(merchant: &Merchant, call: &Call<'_>, now: Timestamp) -> Result<Push, Fault> {
    let body = body(call)?;
    let stamp = stamp(&body, now)?;
    let text = |name: &str| body[name].as_str().filter(|it| !it.is_empty());
    let amount = match &body["Amount"] {
        // Clients that keep amounts as fractions write `100.0`.
        Value::Number(number) => number.to_string().trim_end_matches(".0").parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let amount = amount.filter(|it| (1..=AMOUNT_MAX).contains(it));
    let amount = amount.and_then(|it| u32::try_from(it).ok());
    let amount = amount.ok_or_else(|| Fault::field("Amount"))?;
    let number = text("PhoneNumber").filter(|it| is_number(it));
    let number = number.ok_or_else(|| Fault::field("PhoneNumber"))?;
    if text("PartyA") != Some(number) {
        return Err(Fault::field("PartyA"));
    }
    let url = text("CallBackURL").filter(|it| is_callback(it));
    let url = url.ok_or_else(|| Fault::field("CallBackURL"))?;
    for (name, len_max) in [("AccountReference", 12), ("TransactionDesc", 13)] {
        if text(name).is_none_or(|it| it.chars().count() > len_max) {
            return Err(Fault::field(name));
        }
    }
    if !matches!(text("TransactionType"), Some("CustomerPayBillOnline" | "CustomerBuyGoodsOnline"))
    {
        return Err(Fault::field("TransactionType"));
    }
    signed(merchant, &body, &stamp)?;
    if text("TransactionType") != Some(&merchant.transaction_type) {
        return Err(Fault::merchant());
    }
    if text("PartyB") != Some(&merchant.party_b) {
        return Err(Fault::field("PartyB"));
    }
    Ok(Push { number: number.to_owned(), amount, callback_url: url.to_owned(), stamp })
}

pub(crate) fn query(merchant: &Merchant, call: &Call<'_>, now: Timestamp) -> Result<Query, Fault> {
    let body = body(call)?;
    let stamp = stamp(&body, now)?;
    let checkout = body["CheckoutRequestID"].as_str().filter(|it| it.starts_with("ws_CO_"));
    let checkout = checkout.ok_or_else(|| Fault::field("CheckoutRequestID"))?;
    signed(merchant, &body, &stamp)?;
    Ok(Query { checkout: checkout.to_owned() })
}

fn body(call: &Call<'_>) -> Result<Value, Fault> {
    if call.method != "POST" {
        return Err(Fault::method());
    }
    let is_json = header(call, "content-type").is_some_and(|it| it.starts_with("application/json"));
    let body: Option<Value> = serde_json::from_slice(call.body).ok();
    let body = body.filter(|it| is_json && it.is_object());
    body.ok_or_else(|| Fault::new(400, "400.002.05", "Invalid Request Payload"))
}

/// The request's time, which is Nairobi's: three hours ahead of UTC.
fn stamp(body: &Value, now: Timestamp) -> Result<String, Fault> {
    let fault = || Fault::field("Timestamp");
    let stamp = body["Timestamp"].as_str().filter(|it| it.len() == 14).ok_or_else(fault)?;
    let nairobi = (now + SignedDuration::from_hours(3)).to_zoned(TimeZone::UTC).datetime();
    let part = |from: usize, to: usize| stamp.get(from..to).and_then(|it| it.parse::<i16>().ok());
    let small = |from: usize| part(from, from + 2).and_then(|it| i8::try_from(it).ok());
    let said = || {
        let date = (part(0, 4)?, small(4)?, small(6)?);
        let time = (small(8)?, small(10)?, small(12)?);
        jiff::civil::DateTime::new(date.0, date.1, date.2, time.0, time.1, time.2, 0).ok()
    };
    let said = said().ok_or_else(fault)?;
    if said.duration_since(nairobi).abs() <= SKEW { Ok(stamp.to_owned()) } else { Err(fault()) }
}

fn signed(merchant: &Merchant, body: &Value, stamp: &str) -> Result<(), Fault> {
    let short_code = body["BusinessShortCode"].as_str();
    let short_code = short_code.ok_or_else(|| Fault::field("BusinessShortCode"))?;
    if short_code != merchant.short_code {
        return Err(Fault::merchant());
    }
    let wanted = STANDARD.encode(format!("{short_code}{}{stamp}", merchant.passkey));
    if body["Password"].as_str() == Some(&wanted) { Ok(()) } else { Err(Fault::credentials()) }
}

fn header<'a>(call: &Call<'a>, name: &str) -> Option<&'a str> {
    call.headers.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1)
}

fn is_number(text: &str) -> bool {
    let is_ours = text.starts_with("2547") || text.starts_with("2541");
    is_ours && text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit())
}

/// Over TLS, or to this machine.
fn is_callback(url: &str) -> bool {
    let is_here = url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost");
    url.starts_with("https://") || is_here
}
