//! What a customer does: log in, see his code and what is left, pay.

use super::backend::{BackendError, Effect};
use super::{DAY_SHOWN, Water, argument, caller};
use crate::effects::KEPT;
use crate::payments::NewPayment;
use crate::store::{CustomerBy, PAYMENT_KNOWN, PAYMENT_OPEN};
use ::backend::water::{Customer, Site};
use ussd::{Answer, Ask};

/// Longest reference in a prompt, in characters.
const REFERENCE_MAX: usize = 12;
/// Longest name of a site on a screen, in characters.
const SITE_SHOWN_MAX: usize = 30;

/// For how many seconds one key is one payment: as long as its answer is kept.
const KEY_S: i64 = KEPT.as_secs();

/// What a customer could buy now.
enum Offer {
    Open(Box<(Customer, Site)>),
    Shut(&'static str),
}

impl Water {
    pub(super) async fn customer_of(&self, ask: &Ask) -> Result<Option<Customer>, BackendError> {
        let (tenant, device) = caller(ask);
        self.parts.backend.customer(tenant, &CustomerBy::Number(device.clone())).await
    }

    /// The customer, if water is given to him today.
    async fn served(&self, ask: &Ask) -> Result<Option<Customer>, BackendError> {
        let today = self.today();
        Ok(self.customer_of(ask).await?.filter(|it| it.is_served(today)))
    }

    /// Checks the PIN of the caller's own account.
    pub(super) async fn customer_pin(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let Some(customer) = self.customer_of(ask).await? else {
            return Ok(Answer::word("unknown"));
        };
        if self.is_held(ask).await? {
            return Ok(Answer::word("held"));
        }
        Ok(self.log_in(ask, &customer.id, argument(ask, "pin")).await?.answer())
    }

    /// What he shows at his site.
    pub(super) async fn code(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let Some(customer) = self.served(ask).await? else { return Ok(Answer::word("none")) };
        let Some(code) = &customer.code else { return Ok(Answer::word("none")) };
        let expires = customer.expires_on.strftime(DAY_SHOWN).to_string();
        Ok(Answer::word("code").with("code", code.as_str()).with("expires", expires))
    }

    /// How many jerrycans are left to him.
    pub(super) async fn balance(&self, ask: &Ask) -> Result<Answer, BackendError> {
        Ok(match self.served(ask).await? {
            Some(customer) => Answer::word("left").with("left", customer.jerrycans.to_string()),
            None => Answer::word("none"),
        })
    }

    async fn offered(&self, ask: &Ask) -> Result<Offer, BackendError> {
        let (tenant, device) = caller(ask);
        let Some(customer) = self.customer_of(ask).await? else {
            return Ok(Offer::Shut("unknown"));
        };
        let now = self.now();
        if customer.is_served(self.day_of(now)) {
            return Ok(Offer::Shut("subscribed"));
        }
        if !self.parts.payments.may_prompt(device) {
            return Ok(Offer::Shut("unavailable"));
        }
        if self.parts.payments.open_of(tenant, &customer.id, now).await? {
            return Ok(Offer::Shut("open"));
        }
        let site = self.site_of(tenant, &customer).await?;
        Ok(match site.filter(|site| site.subscription_fee > 0) {
            Some(site) => Offer::Open(Box::new((customer, site))),
            None => Offer::Shut("unavailable"),
        })
    }

    /// What a subscription costs him.
    pub(super) async fn offer(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let site = match self.offered(ask).await? {
            Offer::Open(open) => open.1,
            Offer::Shut(word) => return Ok(Answer::word(word)),
        };
        let name: String = site.name.chars().take(SITE_SHOWN_MAX).collect();
        let channel = self.parts.payments.channel().map_or("", |it| it.as_str());
        Ok(Answer::word("offer")
            .with("fee", site.subscription_fee.to_string())
            .with("site", name)
            .with("channel", channel))
    }

    /// Has him prompted for it, once this dialogue has left his phone.
    pub(super) async fn pay(&self, ask: &Ask) -> Result<Answer, BackendError> {
        if self.is_held(ask).await? {
            return Ok(Answer::word("held"));
        }
        let (customer, site) = match self.offered(ask).await? {
            Offer::Open(open) => *open,
            Offer::Shut(word) => return Ok(Answer::word(word)),
        };
        let shown = argument(ask, "fee");
        if !shown.is_empty() && *shown != site.subscription_fee.to_string() {
            return Ok(Answer::word("changed"));
        }
        let at = self.now();
        let payment = NewPayment {
            tenant: ask.tenant.clone(),
            customer: customer.id,
            number: ask.device.clone(),
            amount: site.subscription_fee,
            reference: site.nickname.as_str().chars().take(REFERENCE_MAX).collect(),
            language: customer.language,
            // The answer that is kept under the caller's key makes a second press the same as one. Some
            // aggregators use a session's name again later: what he buys then is another payment.
            key: format!("{}:{}", ask.key, at.as_second().div_euclid(KEY_S)).into(),
        };
        let (event, operations) = self.parts.payments.request(&payment, at);
        let nothing = Effect::new(&payment.tenant, ask.key.clone(), at);
        let effect = Effect { events: vec![event], operations, ..nothing };
        match self.settle(ask, Answer::word("requested"), effect).await {
            Err(error) if error.is_conflict(PAYMENT_OPEN) || error.is_conflict(PAYMENT_KNOWN) => {
                Ok(Answer::word("open"))
            }
            settled => settled,
        }
    }
}
