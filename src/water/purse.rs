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
use serde_json::json;
use tracing::error;

/// How often a code with the customer's own end is tried before one of chance alone.
const CODES_OF_HIS: usize = 20;
/// How often one of chance alone is.
const CODES_OF_CHANCE: usize = 5;

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

    /// A code that nobody has who is subscribed; it may be taken before it is kept.
    async fn free_code(&self, tenant: &Tenant, customer: &str) -> Result<Code, BackendError> {
        for tried in 0.. {
            let chance = chance();
            let code = match tried < CODES_OF_HIS {
                true => Code::of(customer, chance),
                false => Code::any(chance),
            };
            let is_last = tried + 1 >= CODES_OF_HIS + CODES_OF_CHANCE;
            let by = CustomerBy::Code(code.clone());
            if is_last || self.parts.backend.customer(tenant, &by).await?.is_none() {
                return Ok(code);
            }
        }
        Err(BackendError::Unknown)
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

    fn outcome(&self, mut effect: Effect, now: Timestamp) -> Outcome {
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
fn effect_of(payment: &PaymentRow, what: &str, at: Timestamp) -> Effect {
    Effect {
        tenant: payment.tenant.clone(),
        key: format!("{}:{what}", payment.id).into(),
        at,
        changes: Vec::new(),
        events: Vec::new(),
        before: Vec::new(),
        operations: Vec::new(),
    }
}

#[async_trait]
impl Purse for Water {
    async fn credit(&self, payment: &PaymentRow, now: Timestamp) -> Result<Outcome, PurseError> {
        let Some((customer, Some(site))) = self.payer(payment).await? else {
            return Err(PurseError::Nothing);
        };
        let today = self.day_of(now);
        let Credit { from, until } = credit(&customer, today, &self.options.service);
        let code = match customer.code.clone().filter(|_| from.is_some()) {
            Some(code) => code,
            None => self.free_code(&payment.tenant, &customer.id).await?,
        };
        let checkout = payment.payment.checkout.as_ref().map_or(&payment.id, |it| &it.id);
        let jerrycans = site.expected_jerrycans;
        let change = CustomerChange::Activate {
            from,
            today,
            until,
            code: code.clone(),
            jerrycans,
            checkout: checkout.clone(),
        };
        let paid = (payment.payment.amount, Item::Shillings);
        let person = (&customer, Some(&site));
        let key = format!("{}:subscription", payment.id).into();
        let mut effect = effect_of(payment, "credit", now);
        effect.changes = vec![
            Change::Update { id: customer.id.clone(), change },
            record(person, key, Action::Subscription, RecordStatus::Success, paid, now),
        ];
        let data = json!({ "customer": customer.id, "site": site.id, "payment": payment.id,
            "expires_on": until, "jerrycans": jerrycans });
        let kind = EventType::SUBSCRIPTION_STARTED;
        effect.events.push(event(&payment.tenant, &customer, kind, now, &data));
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
            key: format!("{}:subscribed", payment.id).into(),
        };
        self.tell(&mut effect, person, message);
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
        let mut effect = effect_of(payment, what, now);
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

    fn committed(&self, outcome: &Outcome) {
        Self::committed(self, &outcome.operations);
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
