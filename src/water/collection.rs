//! What a manager does: look at a customer's code, and give him water.

use super::backend::{BackendError, Change, Effect};
use super::giving::Given;
use super::{Water, argument, caller, event, record};
use ::backend::water::{
    Action, Code, Customer, CustomerChange, Item, Manager, RecordStatus, Refusal,
};
use jiff::Timestamp;
use model::{EventType, Tenant};
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
        Ok(match self.give(&managers, self.now()).apply(&customer, None) {
            Ok(_) => Found::Customer(Box::new(customer), managers),
            Err(refusal) => Found::Refused(refusal.as_str()),
        })
    }

    fn give(&self, managers: &[Manager], at: Timestamp) -> CustomerChange {
        let site_ids = managers.iter().map(|it| it.site.clone()).collect();
        CustomerChange::Collect { site_ids, count: JERRYCANS, today: self.day_of(at) }
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
        let (at, key) = (self.now(), ask.key.clone());
        let (site, caller) = (self.site_of(&ask.tenant, &customer).await?, ask.device.clone());
        let given = Given { key, caller, customer: *customer, site, managers, at };
        if self.parts.backend.is_elsewhere() {
            return self.give_there(ask, &given).await;
        }
        let (answer, effect) = self.giving(&ask.tenant, &given);
        self.settle(ask, answer, effect).await.or_else(refused)
    }

    /// What it is to give one, and how whoever gives it is answered.
    pub(super) fn giving(&self, tenant: &Tenant, given: &Given) -> (Answer, Effect) {
        let Given { key, caller, customer, managers, at, .. } = given;
        let left = customer.jerrycans.saturating_sub(JERRYCANS);
        let manager = managers.iter().find(|it| it.site == customer.site).map(|it| &it.id);
        let data = json!({ "customer": customer.id, "site": customer.site, "manager": manager,
            "jerrycans": JERRYCANS, "left": left });
        let change = self.give(managers, *at);
        let effect = Effect {
            tenant: tenant.clone(),
            key: key.clone(),
            at: *at,
            changes: vec![
                Change::Update { id: customer.id.clone(), change },
                visit(given, RecordStatus::Success),
            ],
            events: vec![event(tenant, customer, EventType::COLLECTION_RECORDED, *at, &data)],
            before: Vec::new(),
            operations: vec![self.forget_codes(tenant, caller)],
        };
        (Answer::word("collected").with("left", left.to_string()), effect)
    }
}

/// What is written down of it.
pub(super) fn visit(given: &Given, status: RecordStatus) -> Change {
    let key = format!("{}:visit", given.key).into();
    let person = (&given.customer, given.site.as_ref());
    record(person, key, Action::Visit, status, (JERRYCANS, Item::Jerrycans), given.at)
}

/// How a manager is answered to whom none is given.
pub(super) fn refused(error: BackendError) -> Result<Answer, BackendError> {
    let refusal = REFUSALS.iter().find(|it| error.is_conflict(it.as_str()));
    refusal.map(|it| Answer::word(it.as_str())).ok_or(error)
}
