//! The three requests.

use crate::auth::{Token, basic, password, stamp};
use crate::error::OrderError;
use crate::number::Number;
use crate::options::Account;
use jiff::Timestamp;
use model::Redacted;
use serde::Serialize;

/// A request as it goes out, below Daraja's base address. Prints without headers' values and body.
#[derive(Clone, Debug)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub path: &'static str,
    /// Its headers, `content-type` among them where there is a body.
    pub headers: Vec<(&'static str, Redacted<String>)>,
    /// JSON, or nothing.
    pub body: Redacted<String>,
}

/// A prompt to be shown: who pays how much, and what for.
#[derive(Clone, Debug)]
pub struct Order {
    number: Number,
    amount: u32,
    reference: Box<str>,
    description: Box<str>,
}

impl Order {
    /// Longest account reference, in characters.
    pub const REFERENCE_LEN_MAX: usize = 12;
    /// Longest description, in characters.
    pub const DESCRIPTION_LEN_MAX: usize = 13;

    /// Checks an order of `amount` whole shillings. Both texts stand in the prompt, all of which has to
    /// fit into 182 characters.
    ///
    /// # Errors
    /// Names the first of the three that Daraja would not take.
    pub fn new(
        number: Number,
        amount: u32,
        reference: &str,
        description: &str,
    ) -> Result<Self, OrderError> {
        if amount == 0 {
            return Err(OrderError::Amount);
        }
        if !is_text(reference, Self::REFERENCE_LEN_MAX) {
            return Err(OrderError::Reference);
        }
        if !is_text(description, Self::DESCRIPTION_LEN_MAX) {
            return Err(OrderError::Description);
        }
        Ok(Self { number, amount, reference: reference.into(), description: description.into() })
    }
}

fn is_text(text: &str, len_max: usize) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b' ' | b'-');
    !text.trim().is_empty() && text.len() <= len_max && text.bytes().all(is_plain)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PushBody<'a> {
    business_short_code: &'a str,
    password: &'a str,
    timestamp: &'a str,
    transaction_type: &'a str,
    amount: u32,
    party_a: &'a str,
    party_b: &'a str,
    phone_number: &'a str,
    #[serde(rename = "CallBackURL")]
    callback_url: &'a str,
    account_reference: &'a str,
    transaction_desc: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueryBody<'a> {
    business_short_code: &'a str,
    password: &'a str,
    timestamp: &'a str,
    #[serde(rename = "CheckoutRequestID")]
    checkout: &'a str,
}

impl Account {
    /// Asks for a token.
    pub fn token_call(&self) -> Call {
        Call {
            method: "GET",
            path: "/oauth/v1/generate?grant_type=client_credentials",
            headers: vec![
                ("authorization", basic(self)),
                ("accept", Redacted("application/json".to_owned())),
            ],
            body: Redacted(String::new()),
        }
    }

    /// Asks for a prompt on a phone. There is no key that would make a second one harmless: whoever
    /// sends this has written down that he will, and never sends it again for the same payment unless
    /// he knows that the first had no effect.
    pub fn push_call(&self, token: &Token, order: &Order, now: Timestamp) -> Call {
        let stamp = stamp(self, now);
        let body = PushBody {
            business_short_code: &self.short_code,
            password: &password(self, &stamp),
            timestamp: &stamp,
            transaction_type: self.transaction_type.as_str(),
            amount: order.amount,
            party_a: order.number.as_str(),
            party_b: &self.payee,
            phone_number: order.number.as_str(),
            callback_url: self.callback_url.expose(),
            account_reference: &order.reference,
            transaction_desc: &order.description,
        };
        post("/mpesa/stkpush/v1/processrequest", token, &body)
    }

    /// Asks what became of a prompt. May be asked again at any time.
    pub fn query_call(&self, token: &Token, checkout: &str, now: Timestamp) -> Call {
        let stamp = stamp(self, now);
        let body = QueryBody {
            business_short_code: &self.short_code,
            password: &password(self, &stamp),
            timestamp: &stamp,
            checkout,
        };
        post("/mpesa/stkpushquery/v1/query", token, &body)
    }
}

fn post(path: &'static str, token: &Token, body: &impl Serialize) -> Call {
    let body = serde_json::to_string(body).expect("texts and numbers are always JSON");
    Call {
        method: "POST",
        path,
        headers: vec![
            ("authorization", token.bearer()),
            ("content-type", Redacted("application/json".to_owned())),
            ("accept", Redacted("application/json".to_owned())),
        ],
        body: Redacted(body),
    }
}
