//! Subscriptions to water points: what callers, payments, messages and the clock do to them.
//!
//! The rules are [`backend::water`](::backend::water)'s; who keeps sites, managers and customers stands behind
//! [`WaterBackend`]. An effect is one transaction: what changes, what is written down of it, its event,
//! its messages and the answer that the caller is given.
//!
//! ```text
//! a caller ─► Answers ─┐
//! a payment ─► Purse ──┼─► backend::water ─► Effect ─► WaterBackend ─► the store, or the business
//! the clock ─► daily ──┘                      └─ events, messages, records, the kept answer
//! a message's fate ─► SmsObserver ─► its record
//! ```

mod backend;
mod broadcasts;
mod calendar;
mod collection;
mod crediting;
mod daily;
mod embedded;
mod giving;
pub mod hub;
mod metrics;
mod pins;
mod purse;
mod registration;
mod subscriber;
mod texts;

#[cfg(test)]
mod tests;

pub use self::backend::{BackendError, Change, Effect, WaterBackend};
pub use self::broadcasts::{Broadcasts, BroadcastsParts, NewBroadcast, PAGING, Paging, TextError};
pub use self::calendar::{Calendar, Doubt};
pub use self::crediting::{CREDIT, Crediting, credit_policy};
pub use self::daily::{DAILY, Daily, DailyReport, Run, RunError, policy};
pub use self::embedded::Embedded;
pub use self::giving::{GIVE, Giving, giving_policy};
pub use self::metrics::Metrics;
pub use self::pins::Pin;
pub use self::texts::{MenuTexts, Texts};

use self::daily::next_day;
use self::pins::Turns;
use crate::clock::Clock;
use crate::effects::Effects;
use crate::household::Answers;
use crate::payments::Payments;
use crate::pipeline::Pipeline;
use crate::secrets::Vault;
use crate::sms::Sms;
use crate::store::{CustomerBy, Operation, SiteBy, WaterStore};
use ::backend::water::{Action, Customer, Item, Manager, RecordStatus, Service, Site, Transaction};
use async_trait::async_trait;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Event, EventType, Json, Tenant};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::warn;
use ussd::{Answer, Ask, AskMode};

/// What menus may ask here.
pub const OPERATIONS: &[&str] = &[
    "water_caller",
    "water_manager_pin",
    "water_site",
    "water_register",
    "water_move",
    "water_pin",
    "water_code",
    "water_offer",
    "water_pay",
    "water_balance",
    "water_verify",
    "water_collect",
];

/// How a day is shown on a phone.
const DAY_SHOWN: &str = "%d/%m/%Y";

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    /// PINs, tries and SIMs.
    pub store: Arc<dyn WaterStore>,
    /// Sites, managers, customers.
    pub backend: Arc<dyn WaterBackend>,
    /// Who keeps what is done.
    pub pipeline: Arc<Pipeline>,
    /// How callers were answered.
    pub effects: Arc<Effects>,
    /// Who prompts for money.
    pub payments: Arc<Payments>,
    /// Who sends messages.
    pub sms: Arc<Sms>,
    /// What messages say.
    pub texts: Arc<dyn Texts>,
    /// What hashes PINs and SIMs.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

/// How often somebody may be wrong.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    /// So often in a row.
    pub most: u32,
    /// How long he waits then.
    pub hold: SignedDuration,
}

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long subscriptions last and when customers are reminded.
    pub service: Service,
    /// By which zone days begin and end.
    pub zone: TimeZone,
    /// When the daily job runs.
    pub daily_at: Time,
    /// When the calendar is not believed.
    pub doubt: Doubt,
    /// How many wrong PINs in a row a number may enter, and how long it is locked out after them.
    pub pins: Tries,
    /// How many wrong PINs in a row an account takes from others who want it, over all their numbers, and
    /// how long it takes none after them.
    pub account_pins: Tries,
    /// How many codes that nobody has a number may type without giving water, how long it types none
    /// after them, and after which pause they are forgotten.
    pub codes: Tries,
    /// How long a number whose SIM has changed can neither log in, pay nor be moved.
    pub sim_change_hold: SignedDuration,
    /// Whether managers have a PIN, too.
    pub manager_pin: bool,
    /// How long it is kept what happened.
    pub retain: SignedDuration,
    /// Whose customers the daily job looks at.
    pub tenants: Vec<Tenant>,
}

/// The water service. Shared as `Arc<Water>`.
#[derive(Debug)]
pub struct Water {
    parts: Parts,
    options: Options,
    turns: Turns,
    calendar: Mutex<Calendar>,
    /// Whose daily job is under way.
    running: Mutex<BTreeSet<Tenant>>,
}

impl Water {
    /// The service over these parts.
    pub fn new(parts: Parts, options: Options) -> Arc<Self> {
        let (turns, calendar, running) = (Turns::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { parts, options, turns, calendar, running })
    }

    /// The operator's day.
    pub fn today(&self) -> Date {
        self.day_of(self.now())
    }

    fn day_of(&self, time: Timestamp) -> Date {
        time.to_zoned(self.options.zone.clone()).date()
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now().wall
    }

    /// A customer, whoever keeps him.
    ///
    /// # Errors
    ///
    /// Whoever keeps him cannot be asked.
    pub async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<Customer>, BackendError> {
        self.parts.backend.customer(tenant, by).await
    }

    /// The manager with that number, once for each of his sites, whoever keeps him.
    ///
    /// # Errors
    ///
    /// Whoever keeps him cannot be asked.
    pub async fn managers(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Vec<Manager>, BackendError> {
        self.parts.backend.managers(tenant, number).await
    }

    async fn site_of(
        &self,
        tenant: &Tenant,
        customer: &Customer,
    ) -> Result<Option<Site>, BackendError> {
        self.parts.backend.site(tenant, &SiteBy::Id(customer.site.clone())).await
    }

    /// These are on disk: what is due later will be carried out.
    fn committed(&self, operations: &[Operation]) {
        self.parts.payments.committed(operations);
    }

    /// Keeps what is no customer's change.
    async fn keep(&self, operations: Vec<Operation>) -> Result<(), BackendError> {
        Ok(self.parts.pipeline.keep(Vec::new(), operations).await?)
    }

    /// Does what a caller asked for and keeps how he is answered, all or nothing. Where that was done
    /// before, he is answered as then.
    async fn settle(
        &self,
        ask: &Ask,
        answer: Answer,
        mut effect: Effect,
    ) -> Result<Answer, BackendError> {
        // He has been told by now that it is not known: he may do it again, and it would be done twice.
        if self.parts.clock.now().monotonic >= ask.deadline {
            return Err(BackendError::Late);
        }
        effect.operations.push(self.parts.effects.keep(ask, &answer, effect.at));
        let before = effect.before.clone();
        let carried_out = self.parts.backend.carry_out(effect).await;
        // It may be there whatever came of the rest; what is not there is nobody's task.
        self.committed(&before);
        match carried_out {
            Ok(operations) => {
                self.committed(&operations);
                Ok(answer)
            }
            // Of two that press the same key at once the second finds everything changed by the first.
            Err(error @ BackendError::Conflict(_)) => self.recall(ask).await?.ok_or(error),
            Err(error) => Err(error),
        }
    }

    async fn recall(&self, ask: &Ask) -> Result<Option<Answer>, BackendError> {
        Ok(self.parts.effects.recall(ask).await?)
    }

    async fn dispatch(&self, ask: &Ask) -> Result<Answer, BackendError> {
        if ask.mode == AskMode::Effect
            && let Some(kept) = self.recall(ask).await?
        {
            return Ok(kept);
        }
        match &*ask.operation {
            "water_caller" => self.caller(ask).await,
            "water_manager_pin" => self.manager_pin(ask).await,
            "water_site" => self.site_asked(ask).await,
            "water_register" => self.register(ask).await,
            "water_move" => self.move_account(ask).await,
            "water_pin" => self.customer_pin(ask).await,
            "water_code" => self.code(ask).await,
            "water_offer" => self.offer(ask).await,
            "water_pay" => self.pay(ask).await,
            "water_balance" => self.balance(ask).await,
            "water_verify" => self.verify(ask).await,
            "water_collect" => self.collect(ask).await,
            _ => Ok(Answer::word("unanswered")),
        }
    }
}

#[async_trait]
impl Answers for Water {
    fn operations(&self) -> &'static [&'static str] {
        OPERATIONS
    }

    async fn answer(&self, ask: &Ask) -> Answer {
        let answered = Box::pin(self.dispatch(ask)).await;
        let answer = answered.unwrap_or_else(|error| {
            warn!(operation = &*ask.operation, %error, "a caller is not served");
            Answer::word(if matches!(error, BackendError::Full) { "full" } else { "trouble" })
        });
        self.parts.metrics.asked(&ask.operation, &answer.outcome);
        answer
    }
}

/// What the menu passed along under that name; nothing where it did not.
fn argument<'a>(ask: &'a Ask, name: &str) -> &'a str {
    let found = ask.arguments.iter().find(|(it, _)| **it == *name);
    found.map_or("", |(_, value)| value.expose())
}

/// What the business hears of a customer: ids, days and numbers.
fn event(
    tenant: &Tenant,
    customer: &Customer,
    kind: EventType,
    time: Timestamp,
    data: &serde_json::Value,
) -> Event {
    let (tenant, device, data) = (tenant.clone(), customer.number.clone(), Json::of(data));
    Event { tenant, device, kind, time, data, facts: None }
}

/// What is written down of a customer.
fn record(
    (customer, site): (&Customer, Option<&Site>),
    key: Box<str>,
    action: Action,
    status: RecordStatus,
    (count, item): (u32, Item),
    at: Timestamp,
) -> Change {
    Change::Record(Box::new(Transaction {
        key,
        number: customer.number.clone(),
        full_name: customer.full_name().into(),
        site_id: customer.site.clone(),
        site_name: site.map_or_else(Box::default, |site| site.name.clone()),
        action,
        status,
        collected_count: count,
        collected_item_type: item,
        at,
    }))
}

/// Whether a wait that began then still holds. One that is said to begin later than so long from now began
/// before the clock was set back, and is over.
fn is_within(since: Timestamp, hold: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(since).abs() < hold
}

/// So long before now.
fn ago(now: Timestamp, time: SignedDuration) -> Timestamp {
    now.checked_sub(time).unwrap_or(Timestamp::MIN)
}

/// Who calls, without the doors of [`Ask`].
fn caller(ask: &Ask) -> (&Tenant, &DeviceId) {
    (&ask.tenant, &ask.device)
}
