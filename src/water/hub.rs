//! The business keeps sites, managers and customers: the same six operations, over HTTP.
//!
//! A customer is made or changed there first, under a key by which the hub knows the call again; then
//! what follows from it is kept here. What must not be lost with the hub's answer is kept before it is
//! asked ([`Effect::before`]): the PIN of whoever registers, and that a jerrycan is taken off
//! ([`GIVE`](super::GIVE)). What is only to be written down, and what the clock does to customers, is a
//! task ([`CALLING`]): it is told until the hub has it. So is what a payment does, which is made out when
//! it is told ([`CREDIT`](super::CREDIT)).
//!
//! What a hub must do is in `backend/HUB.md`.

mod later;
mod metrics;
mod wire;

#[cfg(test)]
mod tests;

pub use self::later::{CALLING, Later};
pub use self::metrics::Metrics;

use self::wire::{Items, Row, Spelled};
use super::backend::{BackendError, Change, Effect, WaterBackend};
use crate::outcall::{Base, CallFault, OutAnswer, OutRequest, Outcall};
use crate::pipeline::Pipeline;
use crate::secrets::Vault;
use crate::store::{Audience, CustomerBy, Listener, Operation, SiteBy};
use ::backend::water::{Customer, Manager, Site};
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use model::{DeviceId, Redacted, Tenant};
use reqwest::Method;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Rows that are asked for at once: a page of customers has some 30 KiB.
const PAGE_ROWS: usize = 100;
/// Pages that are read for one question, each at least a row further.
const PAGES_MAX: usize = 100;

/// What the operator sets.
#[derive(Clone, Copy, Debug)]
pub struct HubOptions {
    /// Longest time for the answer to a caller's question: he waits at his phone.
    pub ask_within: Duration,
    /// Longest time for the answer to what nobody waits for.
    pub tell_within: Duration,
}

/// What the hub stands on.
pub struct HubParts {
    /// What calls it.
    pub outcall: Outcall,
    /// Where it is, and what it knows us by.
    pub base: Base,
    /// Where what follows from its answers is kept.
    pub pipeline: Arc<Pipeline>,
    /// What seals calls that are made later.
    pub vault: Vault,
    /// What is counted.
    pub metrics: Metrics,
}

/// The business as backend.
pub struct WaterHub {
    parts: HubParts,
    options: HubOptions,
}

/// Without the token.
impl fmt::Debug for WaterHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaterHub").finish_non_exhaustive()
    }
}

/// One call of the hub.
struct Call<'a> {
    tenant: &'a Tenant,
    /// The word in metrics.
    name: &'static str,
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    key: Option<&'a str>,
    body: Option<Redacted<String>>,
}

impl<'a> Call<'a> {
    fn get(tenant: &'a Tenant, name: &'static str, path: &[&str]) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        let (method, query) = (Method::GET, Vec::new());
        Self { tenant, name, method, path, query, key: None, body: None }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

/// A list that is read in pages.
struct Listed<'a> {
    tenant: &'a Tenant,
    /// The word in metrics.
    name: &'static str,
    path: &'static str,
    filter: Option<(&'static str, String)>,
}

impl<'a> Listed<'a> {
    fn page(&self, after: Option<&str>, rows_max: usize) -> Call<'a> {
        let call = Call::get(self.tenant, self.name, &[self.path]);
        let mut call = call.with("limit", rows_max.to_string());
        call.query.extend(self.filter.clone());
        call.query.extend(after.map(|after| ("cursor", after.to_owned())));
        call
    }
}

impl WaterHub {
    /// The hub at its address.
    pub fn new(parts: HubParts, options: HubOptions) -> Arc<Self> {
        Arc::new(Self { parts, options })
    }

    fn request(&self, call: Call<'_>) -> OutRequest {
        // Callers chose some parts of the path.
        let path = std::iter::once("water").chain(call.path.iter().map(String::as_str));
        let mut request = self.parts.base.request(call.method, path, &call.query);
        request = request.with("lastmile-tenant", call.tenant.as_str());
        if let Some(key) = call.key {
            request = request.with_key(key);
        }
        match call.body {
            Some(body) => request.with_json(Redacted(body.0.into_bytes())),
            None => request,
        }
    }

    /// Makes a call that somebody waits for.
    async fn ask(&self, call: Call<'_>) -> Result<OutAnswer, BackendError> {
        self.call(call, self.options.ask_within).await
    }

    async fn call(&self, call: Call<'_>, within: Duration) -> Result<OutAnswer, BackendError> {
        let (name, request) = (call.name, self.request(call));
        let called = self.parts.outcall.call(request);
        let answer = tokio::time::timeout(within, called).await;
        let (word, answer) = match answer {
            Ok(Ok(answer)) => (outcome(answer.status), Ok(answer)),
            Ok(Err(CallFault::NotSent)) => ("not_sent", Err(BackendError::Unknown)),
            Ok(Err(CallFault::Unknown(_))) => ("unknown", Err(BackendError::Late)),
            Err(_) => ("late", Err(BackendError::Late)),
        };
        self.parts.metrics.called(name, word);
        answer
    }

    /// Reads one thing; nothing where there is none.
    async fn one<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, BackendError> {
        let answer = self.ask(call).await?;
        match answer.status {
            200 => read(&answer).map(Some),
            404 => Ok(None),
            _ => Err(BackendError::Unknown),
        }
    }

    /// Reads a list behind `after` in the order of its ids, as many rows as are wanted of those that
    /// `counts`. Rows that are not behind it are passed over, so that a hub which begins anew is not
    /// read for ever.
    async fn list<T: Row>(
        &self,
        listed: &Listed<'_>,
        after: Option<&str>,
        rows_max: usize,
        counts: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, BackendError> {
        let mut rows: Vec<T> = Vec::new();
        let mut last: Option<Box<str>> = after.map(Into::into);
        for _ in 0..PAGES_MAX {
            let wanted = (rows_max - rows.len()).min(PAGE_ROWS);
            let answer = self.ask(listed.page(last.as_deref(), wanted)).await?;
            let items: Items<T> = match answer.status {
                200 => read(&answer)?,
                404 | 405 | 501 => return Err(BackendError::Unsupported),
                _ => return Err(BackendError::Unknown),
            };
            let (count, before) = (items.items.len(), last.clone());
            for row in items.items {
                if last.as_deref().is_none_or(|last| last < row.id()) {
                    last = Some(row.id().into());
                    rows.extend(Some(row).filter(&counts));
                }
            }
            if count < wanted || last == before || rows.len() >= rows_max {
                break;
            }
        }
        rows.truncate(rows_max);
        Ok(rows)
    }

    /// Tells the hub of one change, under a key of its own. A conflict that is none of our words says
    /// nothing of the change: an earlier call under the key may be under way.
    async fn tell(
        &self,
        tenant: &Tenant,
        key: &str,
        change: &Spelled,
        within: Duration,
    ) -> Result<(), BackendError> {
        let call = Call {
            tenant,
            name: change.name,
            method: change.method.clone(),
            path: change.path.clone(),
            query: Vec::new(),
            key: Some(key),
            body: Some(change.body.clone()),
        };
        let answer = self.call(call, within).await?;
        match answer.status {
            200..=299 => Ok(()),
            409 => {
                let word = wire::conflict(answer.body.expose());
                Err(word.map_or(BackendError::Unknown, BackendError::Conflict))
            }
            507 => Err(BackendError::Full),
            _ => Err(BackendError::Unknown),
        }
    }

    async fn carry_out_within(
        &self,
        effect: Effect,
        within: Duration,
    ) -> Result<Vec<Operation>, BackendError> {
        let Effect { tenant, key, at, changes, events, before, mut operations } = effect;
        if !before.is_empty() {
            self.parts.pipeline.keep(Vec::new(), before).await?;
        }
        for (place, change) in changes.into_iter().enumerate() {
            let key = key_of(&key, place);
            match change {
                Change::Record(_) => {
                    operations.push(self.later(&tenant, &key, &change, at));
                }
                Change::Create(_) | Change::Update { .. } => {
                    self.tell(&tenant, &key, &wire::spelled(&change), within).await?;
                }
            }
        }
        self.parts.pipeline.keep(events, operations.clone()).await?;
        Ok(operations)
    }
}

/// The word in metrics for a status.
const fn outcome(status: u16) -> &'static str {
    match status {
        200..=299 => "ok",
        404 => "none",
        409 => "conflict",
        401 | 403 => "unauthorised",
        429 => "limited",
        500..=599 => "server",
        _ => "odd",
    }
}

fn read<T: DeserializeOwned>(answer: &OutAnswer) -> Result<T, BackendError> {
    serde_json::from_slice(answer.body.expose()).map_err(|_| BackendError::Unknown)
}

fn number(phone: &DeviceId) -> &str {
    phone.number().unwrap_or(phone.as_str())
}

#[async_trait]
impl WaterBackend for WaterHub {
    fn is_elsewhere(&self) -> bool {
        true
    }

    async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<Customer>, BackendError> {
        let get = |path: &[&str]| Call::get(tenant, "get_customer", path);
        let call = match by {
            CustomerBy::Id(id) => get(&["customers", id]),
            CustomerBy::Number(phone) => get(&["customers"]).with("phone_number", number(phone)),
            CustomerBy::Code(code) => {
                get(&["customers"]).with("monthly_subscription_code", code.as_str())
            }
        };
        self.one(call).await
    }

    async fn managers(
        &self,
        tenant: &Tenant,
        phone: &DeviceId,
    ) -> Result<Vec<Manager>, BackendError> {
        let call = Call::get(tenant, "get_site_manager", &["site-managers"]);
        let found: Option<Items<Manager>> =
            self.one(call.with("phone_number", number(phone))).await?;
        Ok(found.map(|found| found.items).unwrap_or_default())
    }

    async fn site(&self, tenant: &Tenant, by: &SiteBy) -> Result<Option<Site>, BackendError> {
        let call = match by {
            SiteBy::Id(id) => Call::get(tenant, "get_site", &["sites", id]),
            SiteBy::Nickname(nickname) => {
                Call::get(tenant, "get_site", &["sites"]).with("nickname", nickname.as_str())
            }
        };
        self.one(call).await
    }

    async fn due(
        &self,
        tenant: &Tenant,
        until: Date,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Customer>, BackendError> {
        let before = until.tomorrow().unwrap_or(Date::MAX).to_string();
        let (name, path) = ("list_customers", "customers");
        let listed = Listed { tenant, name, path, filter: Some(("expires_before", before)) };
        let is_due = |row: &Customer| row.is_valid && row.expires_on <= until;
        self.list(&listed, after, rows_max, is_due).await
    }

    async fn audience(
        &self,
        tenant: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, BackendError> {
        let (path, site) = match audience {
            Audience::Customers => ("customers", None),
            Audience::CustomersOf(site) => ("customers", Some(site)),
            Audience::Managers => ("site-managers", None),
            Audience::ManagersOf(site) => ("site-managers", Some(site)),
        };
        let filter = site.map(|site| ("site_id", site.to_string()));
        let listed = Listed { tenant, name: "list_audience", path, filter };
        // A manager of several sites is in the list once for each, and is one listener.
        let rows: Vec<wire::Person> = self.list(&listed, after, rows_max, |_| true).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn carry_out(&self, effect: Effect) -> Result<Vec<Operation>, BackendError> {
        self.carry_out_within(effect, self.options.ask_within).await
    }

    async fn carry_out_at_leisure(&self, effect: Effect) -> Result<Vec<Operation>, BackendError> {
        self.carry_out_within(effect, self.options.tell_within).await
    }

    fn deferred(&self, effect: Effect, now: Timestamp) -> Vec<Operation> {
        let Effect { tenant, key, changes, before, operations, .. } = effect;
        let later = changes
            .into_iter()
            .enumerate()
            .map(|(place, change)| self.later(&tenant, &key_of(&key, place), &change, now));
        before.into_iter().chain(later).chain(operations).collect()
    }
}

/// Each change of an effect has a key of its own.
fn key_of(key: &str, place: usize) -> String {
    if place == 0 { key.to_owned() } else { format!("{key}:{place}") }
}
