//! The water service as its administrators see it: sites, managers, customers, what happened to them,
//! the daily job, and what callers are told.
//!
//! Where the business's hub keeps sites, managers and customers, they are managed there; PINs and
//! phrases stay here. A change that stands against what is there is refused with the word of what
//! stands against it: `nickname_taken`, `taken`, `site_in_use`, `changed`.

pub(super) mod customers;
pub(super) mod jobs;
pub(super) mod managers;
pub(super) mod phrases;
pub(super) mod sites;
pub(super) mod transactions;

use super::ApiState;
use super::input::refuse;
use super::problem::{Code, Problem};
use crate::store::{Operation, SiteBy, WriteError};
use crate::water::{BackendError, Pin, Water};
use model::{DeviceId, Redacted, Tenant};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::IntoParams;

/// Longest name of a language, in bytes.
const LANGUAGE_LEN_MAX: usize = 8;

/// Those of a site, or all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeopleQuery {
    /// Only those of this site.
    site: Option<String>,
    /// Only who has this phone.
    phone_number: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A hub that does not answer is not our fault, and the caller may try again.
impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Conflict(word) => Self::new(Code::Conflict, String::from(word)),
            BackendError::Full => WriteError::Full.into(),
            BackendError::Read(error) => error.into(),
            BackendError::Unsupported => Self::new(Code::KeptByHub, "the hub cannot do that"),
            BackendError::Late | BackendError::Unknown => {
                Self::new(Code::TimedOut, "the business's hub does not answer")
            }
        }
    }
}

/// Refuses where the business's hub keeps sites, managers and customers.
fn demand_ours(state: &ApiState) -> Result<(), Problem> {
    if state.equipments.is_embedded() { Ok(()) } else { Err(Code::KeptByHub.into()) }
}

/// What `whole` becomes by a change, in JSON's terms (RFC 7396): what is left out stays, and `null` takes
/// away.
fn merged<T: DeserializeOwned>(
    whole: &impl Serialize,
    change: &impl Serialize,
) -> Result<T, Problem> {
    let object = |value: Result<Value, _>| match value {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let mut whole = object(serde_json::to_value(whole));
    for (key, value) in object(serde_json::to_value(change)) {
        if value.is_null() {
            whole.remove(&key);
        } else {
            whole.insert(key, value);
        }
    }
    serde_json::from_value(Value::Object(whole)).map_err(|error| refuse(&error))
}

/// The names of what a request says, for the audit trail: of people no more than that.
fn named(change: &impl Serialize) -> Vec<String> {
    match serde_json::to_value(change) {
        Ok(Value::Object(object)) => object.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

/// A number in a query or a body.
fn number(text: &str) -> Result<DeviceId, &'static str> {
    DeviceId::msisdn(text).map_err(|_| "`phone_number` is `+` and 7 to 15 digits")
}

/// A number as answers spell it.
fn spelt(number: &DeviceId) -> String {
    number.number().unwrap_or(number.as_str()).to_owned()
}

fn demand_language(text: &str) -> Result<(), Problem> {
    let fits = (2..=LANGUAGE_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if fits {
        return Ok(());
    }
    Err(Problem::new(Code::InvalidBody, "`preferred_language` is a code such as `sw`"))
}

/// Refuses a body that names a site that is not there.
async fn demand_site(state: &ApiState, tenant: &Tenant, id: &str) -> Result<(), Problem> {
    match state.water_store.site(tenant, &SiteBy::Id(id.into())).await? {
        Some(_) => Ok(()),
        None => Err(Problem::new(Code::InvalidBody, "there is no such site")),
    }
}

/// What sets a PIN, and lifts the lock of a number that was wrong too often, where a body says so.
fn pin_operations(
    state: &ApiState,
    tenant: &Tenant,
    (owner, who): (&str, &DeviceId),
    (pin, tries): (Option<&Redacted<String>>, Option<u32>),
) -> Result<Vec<Operation>, Problem> {
    let wrong = |detail| Problem::new(Code::InvalidBody, detail);
    let mut operations = Vec::new();
    if let Some(pin) = pin {
        let pin = Pin::parse(pin.expose()).ok_or_else(|| wrong("`pin` is four digits"))?;
        operations.push(pin.set(&state.vault, tenant, owner));
    }
    match tries {
        None => {}
        Some(0) => operations.extend(Water::unlock(tenant, who)),
        Some(_) => return Err(wrong("`pin_tries` can be set to 0 and nothing else")),
    }
    Ok(operations)
}
