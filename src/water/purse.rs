//! What payments and messages come to: a subscription, and what is written down of it.

use super::backend::{BackendError, Change, Effect};
use super::{DAY_SHOWN, Water, event, record, texts};
use crate::clock::SystemRandom;
use crate::payments::{Notice, Outcome, Purse, PurseError};
use crate::sms::{Draft, SmsObserver};
use crate::store::{CustomerBy, Operation, PaymentRow, ReadError, SmsKind, SmsRow, WaterOperation};
use ::backend::water::{
    Action, Code, Credit, Customer, CustomerChange, Item, RecordStatus, Site, credit,
};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{EventType, Random as _, Redacted, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::error;

/// How often a code with the customer's own end is tried before one of chance alone.
const CODES_OF_HIS: usize = 20;
/// How often one of chance alone is.
const CODES_OF_CHANCE: usize = 5;

/// What a payment credits whom with. Operators see it in tasks: ids and an amount.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Paid {
    /// The payment's id.
    pub(super) payment: Box<str>,
    /// The customer's.
    pub(super) customer: Box<str>,
    /// Whole shillings.
    pub(super) amount: u32,
    /// The provider's name of it, else its id: each subscribes once.
    pub(super) checkout: Box<str>,
}

impl Paid {
    fn of(row: &PaymentRow) -> Self {
        let checkout = row.payment.checkout.as_ref().map_or(&row.id, |it| &it.id);
        Self {
            payment: row.id.clone(),
            customer: row.customer.clone(),
            amount: row.payment.amount,
            checkout: checkout.clone(),
        }
    }
}

/// A message that is to be sent to a customer, and written down.
pub(super) struct Message<'a> {
    pub(super) kind: SmsKind,
    pub(super) action: Action,
    /// The phrase, and what is tried before it.
    pub(super) phrases: &'a [&'a str],
    pub(super) values: &'a [(&'a str, &'a str)],
    pub(super) key: Box<str>,
}

impl Water {
    /// What has a message sent and written down, behind the effect's own changes. Without a phrase for it
    /// there is none.
    pub(super) fn tell(
        &self,
        effect: &mut Effect,
        (customer, site): (&Customer, Option<&Site>),
        message: Message<'_>,
    ) {
        let tenant = &effect.tenant;
        let fill =
            |key: &&str| self.parts.texts.fill(tenant, &customer.language, key, message.values);
        let Some(text) = message.phrases.iter().find_map(fill) else {
            return error!(phrase = message.phrases.last(), "no phrase: the customer is not told");
        };
        let draft = Draft {
            tenant: tenant.clone(),
            to: customer.number.clone(),
            kind: message.kind,
            text: Redacted(text),
            key: message.key.clone(),
            broadcast: None,
        };
        let (status, nothing) = (RecordStatus::Pending, (0, Item::Nothing));
        let person = (customer, site);
        effect.changes.push(record(
            person,
            message.key,
            message.action,
            status,
            nothing,
            effect.at,
        ));
        effect.operations.extend(self.parts.sms.queue(vec![draft], effect.at));
    }

    /// A code that nobody has who is subscribed; it may be taken before it is kept, and the last that is
    /// tried is taken on trust.
    async fn free_code(&self, tenant: &Tenant, customer: &str) -> Result<Code, BackendError> {
        let of_his = (0..CODES_OF_HIS).map(|_| Code::of(customer, chance()));
        for code in of_his.chain((1..CODES_OF_CHANCE).map(|_| Code::any(chance()))) {
            let by = CustomerBy::Code(code.clone());
            if self.parts.backend.customer(tenant, &by).await?.is_none() {
                return Ok(code);
            }
        }
        Ok(Code::any(chance()))
    }

    async fn payer(
        &self,
        payment: &PaymentRow,
    ) -> Result<Option<(Customer, Option<Site>)>, BackendError> {
        let by = CustomerBy::Id(payment.customer.clone());
        let Some(customer) = self.parts.backend.customer(&payment.tenant, &by).await? else {
            return Ok(None);
        };
        let site = self.site_of(&payment.tenant, &customer).await?;
        Ok(Some((customer, site)))
    }

    /// What a payment adds to a customer as he is now.
    pub(super) async fn activation(
        &self,
        tenant: &Tenant,
        (customer, site): (&Customer, &Site),
        checkout: &str,
        now: Timestamp,
    ) -> Result<CustomerChange, BackendError> {
        let today = self.day_of(now);
        let Credit { from, until } = credit(customer, today, &self.options.service);
        let code = match customer.code.clone().filter(|_| from.is_some()) {
            Some(code) => code,
            None => self.free_code(tenant, &customer.id).await?,
        };
        let (jerrycans, checkout) = (site.expected_jerrycans, checkout.into());
        Ok(CustomerChange::Activate { from, today, until, code, jerrycans, checkout })
    }

    /// What follows from a payment that is credited. `customer` is as he is by it: whose subscription is
    /// over again by now is told of no code.
    pub(super) fn credited(
        &self,
        effect: &mut Effect,
        (customer, site): (&Customer, &Site),
        paid: &Paid,
    ) {
        let (person, at) = ((customer, Some(site)), effect.at);
        let key = format!("{}:subscription", paid.payment).into();
        let (action, status) = (Action::Subscription, RecordStatus::Success);
        let amount = (paid.amount, Item::Shillings);
        effect.changes.push(record(person, key, action, status, amount, at));
        let (until, jerrycans) = (customer.expires_on, site.expected_jerrycans);
        let data = json!({ "customer": customer.id, "site": site.id, "payment": paid.payment,
            "expires_on": until, "jerrycans": jerrycans });
        let kind = EventType::SUBSCRIPTION_STARTED;
        effect.events.push(event(&effect.tenant, customer, kind, at, &data));
        let Some(code) = &customer.code else { return };
        let expires = until.strftime(DAY_SHOWN).to_string();
        let message = Message {
            kind: SmsKind::Subscription,
            action: Action::SubscriptionMessage,
            phrases: &[texts::SUBSCRIBED],
            values: &[
                ("name", customer.first_name.as_str()),
                ("site", &site.name),
                ("code", code.as_str()),
                ("expires", &expires),
                ("jerrycans", &jerrycans.to_string()),
                ("about", &site.sms_description),
            ],
            key: format!("{}:subscribed", paid.payment).into(),
        };
        self.tell(effect, person, message);
    }

    pub(super) fn outcome(&self, mut effect: Effect, now: Timestamp) -> Outcome {
        let events = std::mem::take(&mut effect.events);
        Outcome { events, operations: self.parts.backend.deferred(effect, now) }
    }
}

fn chance() -> u64 {
    let mut bytes = [0; 8];
    SystemRandom.fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

impl From<BackendError> for PurseError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Read(error) => Self::Read(error),
            other => Self::Read(ReadError::Failed(Box::new(other))),
        }
    }
}

/// An effect of a payment: its key is the payment's.
pub(super) fn effect_of(tenant: &Tenant, payment: &str, what: &str, at: Timestamp) -> Effect {
    Effect::new(tenant, format!("{payment}:{what}"), at)
}

#[async_trait]
impl Purse for Water {
    async fn credit(&self, payment: &PaymentRow, now: Timestamp) -> Result<Outcome, PurseError> {
        let (tenant, paid) = (&payment.tenant, Paid::of(payment));
        if self.parts.backend.is_elsewhere() {
            return Ok(Self::credit_later(tenant, &paid, now));
        }
        let Some((before, Some(site))) = self.payer(payment).await? else {
            return Err(PurseError::Nothing);
        };
        let change = self.activation(tenant, (&before, &site), &paid.checkout, now).await?;
        // Where he is not so any more when it is kept, it is refused and made out anew.
        let customer = change.apply(&before, None).map_err(|_| PurseError::Nothing)?;
        let mut effect = effect_of(tenant, &payment.id, "credit", now);
        effect.changes.push(Change::Update { id: before.id, change });
        self.credited(&mut effect, (&customer, &site), &paid);
        Ok(self.outcome(effect, now))
    }

    async fn told(
        &self,
        payment: &PaymentRow,
        notice: Notice,
        now: Timestamp,
    ) -> Result<Outcome, PurseError> {
        // Nobody is left to be told.
        let Some((customer, site)) = self.payer(payment).await? else {
            return Ok(Outcome::default());
        };
        let reason = |why: &str| format!("{}_{why}", texts::DECLINED);
        let (kind, what, first, last) = match notice {
            Notice::Declined(why) => {
                (SmsKind::PaymentFailed, "declined", reason(why.as_str()), texts::DECLINED)
            }
            Notice::Unconfirmed => {
                let phrase = texts::UNCONFIRMED;
                (SmsKind::PaymentUnconfirmed, "unconfirmed", phrase.to_owned(), phrase)
            }
        };
        let mut effect = effect_of(&payment.tenant, &payment.id, what, now);
        let message = Message {
            kind,
            action: Action::SubscriptionMessage,
            phrases: &[&first, last],
            values: &[
                ("name", customer.first_name.as_str()),
                ("amount", &payment.payment.amount.to_string()),
                ("site", site.as_ref().map_or("", |site| &site.name)),
            ],
            key: effect.key.clone(),
        };
        self.tell(&mut effect, (&customer, site.as_ref()), message);
        Ok(self.outcome(effect, now))
    }
}

impl SmsObserver for Water {
    fn settled(&self, sms: &SmsRow, sent: bool, _now: Timestamp) -> Vec<Operation> {
        // A broadcast is written down by itself.
        if sms.kind == SmsKind::Broadcast {
            return Vec::new();
        }
        let (tenant, key) = (sms.tenant.clone(), sms.key.clone());
        vec![Operation::Water(WaterOperation::SettleRecord { tenant, key, sent })]
    }
}
