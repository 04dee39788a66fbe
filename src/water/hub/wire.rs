//! What the hub is told and what it answers: JSON in the words of the service's data.

use super::super::backend::Change;
use crate::store::{Listener, NUMBER_TAKEN};
use ::backend::water::{Customer, CustomerChange};
use model::{DeviceId, Redacted};
use reqwest::Method;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

/// Longest word of a conflict that is believed.
const WORD_LEN_MAX: usize = 64;

/// A list.
#[derive(Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
}

/// Something in a list that goes by ids.
pub(super) trait Row: de::DeserializeOwned {
    fn id(&self) -> &str;
}

impl Row for Customer {
    fn id(&self) -> &str {
        &self.id
    }
}

/// What a customer and a manager have in common.
#[derive(Deserialize)]
pub(super) struct Person {
    id: Box<str>,
    #[serde(rename = "phone_number", deserialize_with = "phone")]
    number: DeviceId,
    #[serde(rename = "preferred_language", default)]
    language: Box<str>,
}

fn phone<'de, D: Deserializer<'de>>(from: D) -> Result<DeviceId, D::Error> {
    let text = Box::<str>::deserialize(from)?;
    DeviceId::msisdn(&text).map_err(|_| de::Error::custom("a number in E.164"))
}

impl Row for Person {
    fn id(&self) -> &str {
        &self.id
    }
}

impl From<Person> for Listener {
    fn from(person: Person) -> Self {
        Self { id: person.id, number: person.number, language: person.language }
    }
}

/// A change as the hub is told of it.
pub(super) struct Spelled {
    /// The word in metrics.
    pub(super) name: &'static str,
    pub(super) method: Method,
    /// Behind `/water`.
    pub(super) path: Vec<String>,
    pub(super) body: Redacted<String>,
}

pub(super) fn spelled(change: &Change) -> Spelled {
    let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    let (name, method, path, body) = match change {
        Change::Create(customer) => {
            ("create_customer", Method::POST, path(&["customers"]), written(&**customer))
        }
        Change::Update { id, change } => {
            ("update_customer", Method::PATCH, path(&["customers", id]), update(change).to_string())
        }
        Change::Record(transaction) => {
            ("record", Method::POST, path(&["transactions"]), written(&**transaction))
        }
    };
    Spelled { name, method, path, body: Redacted(body) }
}

fn written(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).expect("rows of ours are always JSON")
}

fn update(change: &CustomerChange) -> Value {
    match change {
        CustomerChange::Activate { from, today, until, code, jerrycans, checkout } => json!({
            "change": "activate", "from": from, "today": today, "until": until,
            "monthly_subscription_code": code.as_str(), "jerrycans": jerrycans,
            "checkout": checkout,
        }),
        CustomerChange::Collect { site_ids, count, today } => {
            json!({ "change": "collect", "site_ids": site_ids, "count": count, "today": today })
        }
        CustomerChange::Move { number, language } => json!({
            "change": "move", "phone_number": super::number(number),
            "preferred_language": language,
        }),
        CustomerChange::Expire { today } => json!({ "change": "expire", "today": today }),
        CustomerChange::Reminded { expiry } => json!({ "change": "reminded", "expiry": expiry }),
    }
}

/// The word of `{"conflict": "taken"}` as we have it; none of anything else.
pub(super) fn conflict(body: &[u8]) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Said {
        conflict: Box<str>,
    }
    let is_word = |word: &str| {
        (1..=WORD_LEN_MAX).contains(&word.len())
            && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
    };
    let said = serde_json::from_slice::<Said>(body).ok().map(|said| said.conflict);
    let word = said.filter(|word| is_word(word))?;
    Some(if *word == *"taken" { NUMBER_TAKEN.into() } else { word })
}
