//! What a manager does: look at a customer's code, and give him water.

use super::backend::{BackendError, Change, Effect};
use super::{Water, argument, caller, event, record};
use ::backend::water::{
    Action, Code, Customer, CustomerChange, Item, Manager, RecordStatus, Refusal,
};
use model::EventType;
use serde_json::json;
use ussd::{Answer, Ask};

/// How many jerrycans are given at a time.
const JERRYCANS: u32 = 1;
/// Why none is given, in the words of the menu.
const REFUSALS: [Refusal; 3] = [Refusal::NotMySite, Refusal::Expired, Refusal::NoneLeft];

/// What a manager is shown of a code.
enum Found {
    Customer(Box<Customer>, Vec<Manager>),
    Refused(&'static str),
}

impl Water {
    /// Checks the PIN of a manager.
    pub(super) async fn manager_pin(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let (tenant, device) = caller(ask);
        let managers = self.parts.backend.managers(tenant, device).await?;
        let Some(manager) = managers.first() else { return Ok(Answer::word("unknown")) };
        if self.is_held(ask).await? {
            return Ok(Answer::word("held"));
        }
        Ok(self.log_in(ask, &manager.id, argument(ask, "pin")).await?.answer())
    }

    /// The customer with the code that was typed, if water may be given to him here and now.
    async fn found(&self, ask: &Ask) -> Result<Found, BackendError> {
        // Who has taken a manager's number with another SIM could give away the water of a whole site.
        if self.is_held(ask).await? {
            return Ok(Found::Refused("held"));
        }
        let (tenant, device) = caller(ask);
        let turn = self.turn_of_number(ask).await?;
        let code = Code::parse(argument(ask, "code")).ok();
        let customer = match self.customer_with(ask, code).await? {
            Ok(customer) => customer,
            Err(word) => return Ok(Found::Refused(word)),
        };
        drop(turn);
        let managers = self.parts.backend.managers(tenant, device).await?;
        Ok(match self.give(&managers).apply(&customer, None) {
            Ok(_) => Found::Customer(Box::new(customer), managers),
            Err(refusal) => Found::Refused(refusal.as_str()),
        })
    }

    fn give(&self, managers: &[Manager]) -> CustomerChange {
        let site_ids = managers.iter().map(|it| it.site.clone()).collect();
        CustomerChange::Collect { site_ids, count: JERRYCANS, today: self.today() }
    }

    /// How many jerrycans are left to the customer with that code.
    pub(super) async fn verify(&self, ask: &Ask) -> Result<Answer, BackendError> {
        Ok(match self.found(ask).await? {
            Found::Customer(customer, _) => {
                Answer::word("ok").with("left", customer.jerrycans.to_string())
            }
            Found::Refused(word) => Answer::word(word),
        })
    }

    /// Gives one to him. The count is taken off where it is kept, if there is one; here it is only read,
    /// one manager after the other, to be shown.
    pub(super) async fn collect(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let code = argument(ask, "code").to_ascii_uppercase();
        let _turn = self.turn_of_code(ask, &code).await?;
        let (customer, managers) = match self.found(ask).await? {
            Found::Customer(customer, managers) => (customer, managers),
            Found::Refused(word) => return Ok(Answer::word(word)),
        };
        let (tenant, at) = (&ask.tenant, self.now());
        let site = self.site_of(tenant, &customer).await?;
        let left = customer.jerrycans.saturating_sub(JERRYCANS);
        let manager = managers.iter().find(|it| it.site == customer.site).map(|it| &it.id);
        let data = json!({ "customer": customer.id, "site": customer.site, "manager": manager,
            "jerrycans": JERRYCANS, "left": left });
        let key = format!("{}:visit", ask.key).into();
        let given = (JERRYCANS, Item::Jerrycans);
        let person = (&*customer, site.as_ref());
        let effect = Effect {
            tenant: tenant.clone(),
            key: ask.key.clone(),
            at,
            changes: vec![
                Change::Update { id: customer.id.clone(), change: self.give(&managers) },
                record(person, key, Action::Visit, RecordStatus::Success, given, at),
            ],
            events: vec![event(tenant, &customer, EventType::COLLECTION_RECORDED, at, &data)],
            before: Vec::new(),
            operations: vec![self.forget_codes(ask)],
        };
        let answer = Answer::word("collected").with("left", left.to_string());
        match self.settle(ask, answer, effect).await {
            Err(error) => {
                let refusal = REFUSALS.iter().find(|it| error.is_conflict(it.as_str()));
                refusal.map(|it| Answer::word(it.as_str())).ok_or(error)
            }
            settled => settled,
        }
    }
}
