//! What Daraja, or somebody who found the address, says of a prompt's end.
//!
//! A callback is not signed. It is a claim: it says whom to ask about, and is never believed alone.

use crate::error::Unreadable;
use crate::frame::{bounded, hundredths, id};
use crate::number::Number;
use model::Loose;
use serde::Deserialize;

/// What a callback that was kept is answered with, with status 200. On any other status Daraja may
/// send it again.
pub const ACCEPTED: &str = r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#;

/// The end of a prompt, as it is claimed. Prints without the number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Callback {
    /// The prompt's id: `ws_CO_…`.
    pub checkout: Box<str>,
    /// 0 where the money is said to be taken, else why not.
    pub code: u32,
    /// How much, in hundredths of a shilling; no amount of ours has any. `None` where it is not said,
    /// as it never is with a code other than 0.
    pub amount_cents: Option<u64>,
    /// The receipt's number: 6 to 20 capital letters and digits.
    pub receipt: Option<Box<str>>,
    /// Whose phone; `None` also where the number is masked.
    pub number: Option<Number>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Body")]
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "stkCallback")]
    callback: Said,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "CheckoutRequestID")]
    checkout: Option<Loose>,
    #[serde(rename = "ResultCode")]
    code: Option<Loose>,
    #[serde(rename = "CallbackMetadata")]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "Item")]
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "Name")]
    name: Option<Loose>,
    #[serde(rename = "Value")]
    value: Option<Loose>,
}

impl Callback {
    /// Most items of the metadata; Daraja sends five.
    pub const ITEMS_MAX: usize = 32;

    /// Reads a callback's body.
    ///
    /// The metadata may be missing, and so may an item's value (the balance's is). What is there and
    /// cannot be read is as if it were not said, but for the amount: see [`Callback::parse`]'s errors.
    ///
    /// # Errors
    /// Where it is no callback, has no id or code, or an amount that is no amount of money.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let body = bounded(body).ok_or(Unreadable::TooLong)?;
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Unreadable::Malformed)?;
        let said = envelope.body.callback;
        let checkout =
            id(said.checkout.as_ref()).ok_or(Unreadable::WrongField("CheckoutRequestID"))?;
        let code = said.code.as_ref().and_then(Loose::code);
        let code = code.ok_or(Unreadable::WrongField("ResultCode"))?;
        let items = said.metadata.and_then(|it| it.items).unwrap_or_default();
        if items.len() > Self::ITEMS_MAX {
            return Err(Unreadable::WrongField("Item"));
        }
        let amount = item(&items, "Amount")?;
        let amount_cents = match amount {
            Some(value) => Some(hundredths(value).ok_or(Unreadable::WrongField("Amount"))?),
            None => None,
        };
        let receipt = item(&items, "MpesaReceiptNumber")?.and_then(receipt);
        let number = item(&items, "PhoneNumber")?.and_then(Loose::spelled);
        Ok(Self {
            checkout,
            code,
            amount_cents,
            receipt,
            number: number.and_then(|it| Number::parse(&it)),
        })
    }
}

/// The value of the item of that name.
fn item<'a>(items: &'a [Item], name: &'static str) -> Result<Option<&'a Loose>, Unreadable> {
    let is_named = |it: &&Item| it.name.as_ref().and_then(Loose::text) == Some(name);
    let mut found = items.iter().filter(is_named);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(Unreadable::RepeatedItem(name)),
        (it, None) => Ok(it.and_then(|it| it.value.as_ref())),
    }
}

fn receipt(value: &Loose) -> Option<Box<str>> {
    let text = value.text()?;
    is_receipt(text).then(|| text.into())
}

/// Whether it may be the number of a receipt: 6 to 20 capital letters and digits.
pub fn is_receipt(text: &str) -> bool {
    let is_said = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit();
    (6..=20).contains(&text.len()) && text.bytes().all(is_said)
}
