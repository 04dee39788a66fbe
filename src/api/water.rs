//! The water service as its administrators see it: sites, managers, customers, what happened to them,
//! the daily job, and what callers are told.
//!
//! Where the business's hub keeps sites, managers and customers, they are managed there; PINs and
//! phrases stay here. A change that stands against what is there is refused with the code of what
//! stands against it: `nickname_taken`, `number_taken`, `code_taken`, `site_in_use`, `changed`.

pub(super) mod broadcasts;
pub(super) mod customers;
pub(super) mod jobs;
pub(super) mod managers;
pub(super) mod phrases;
pub(super) mod sites;
pub(super) mod transactions;

use super::ApiState;
use super::access::{Authorised, Need};
use super::input::{id_page, refuse};
use super::problem::{Code, Problem};
use crate::store::{Operation, SiteBy, WaterPeople, WriteError};
use crate::water::{BackendError, Pin, Water};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::{DeviceId, Redacted, Tenant};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::Deref;
use utoipa::IntoParams;

/// A caller who may, where sites, managers and customers are ours to keep; where the business's hub keeps
/// them, everybody is refused.
#[derive(Debug)]
pub(super) struct Ours<N>(Authorised<N>);

impl<N> Deref for Ours<N> {
    type Target = Authorised<N>;

    fn deref(&self) -> &Authorised<N> {
        &self.0
    }
}

impl<N: Need> FromRequestParts<ApiState> for Ours<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Authorised::from_request_parts(parts, state).await?;
        if state.equipments.is_embedded() { Ok(Self(caller)) } else { Err(Code::KeptByHub.into()) }
    }
}

/// Those of a site, or all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PeopleQuery {
    /// Only those of this site.
    site_id: Option<Box<str>>,
    /// Only who has this phone.
    phone_number: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl PeopleQuery {
    /// Whom it asks for, how many of them, and behind whom.
    fn read(self) -> Result<(WaterPeople, usize, Option<Box<str>>), Problem> {
        let (limit, after) = id_page(self.limit, self.cursor.as_deref())?;
        let number = self.phone_number.map(|it| number(&it, Code::InvalidQuery)).transpose()?;
        Ok((WaterPeople { id: None, site: self.site_id, number }, limit, after))
    }
}

/// A hub that does not answer is not our fault, and the caller may try again.
impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Conflict(word) => Self::conflict(String::from(word)),
            BackendError::Full => WriteError::Full.into(),
            BackendError::Read(error) => error.into(),
            BackendError::Unsupported => Code::UnsupportedByHub.into(),
            BackendError::Late | BackendError::Unknown => {
                Self::new(Code::TimedOut, "the business's hub does not answer")
            }
        }
    }
}

/// What `whole` becomes by a change, in JSON's terms (RFC 7396): what is left out stays, and `null` takes
/// away.
fn merged<T: DeserializeOwned>(
    whole: &impl Serialize,
    change: &impl Serialize,
) -> Result<T, Problem> {
    let mut whole = object(whole);
    for (key, value) in object(change) {
        if value.is_null() {
            whole.remove(&key);
        } else {
            whole.insert(key, value);
        }
    }
    serde_json::from_value(Value::Object(whole)).map_err(|error| refuse(&error))
}

/// A document of ours as an object.
fn object(document: &impl Serialize) -> Map<String, Value> {
    let document = serde_json::to_value(document).expect("documents of ours are always JSON");
    serde_json::from_value(document).expect("these are objects")
}

/// The names of what a request says, for the audit trail: of people no more than that.
fn named(change: &impl Serialize) -> Vec<String> {
    object(change).into_iter().map(|(key, _)| key).collect()
}

/// A number in a query or a body; what is none is refused so.
fn number(text: &str, refusal: Code) -> Result<DeviceId, Problem> {
    let detail = "`phone_number` is `+` and 7 to 15 digits";
    DeviceId::msisdn(text).map_err(|_| Problem::new(refusal, detail))
}

/// A number as answers spell it.
fn spelt(number: &DeviceId) -> String {
    number.number().unwrap_or(number.as_str()).to_owned()
}

fn demand_language(text: &str) -> Result<(), Problem> {
    if ussd::is_language(text) {
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
