//! Who calls; registering; moving an account to another phone.

use super::backend::{BackendError, Change, Effect};
use super::pins::{Checked, Pin};
use super::{Water, argument, caller};
use crate::store::{CustomerBy, NUMBER_TAKEN, SiteBy};
use ::backend::water::{Customer, CustomerChange, Nickname, PersonName, Site, typed_number};
use ulid::Ulid;
use ussd::{Answer, Ask};

impl Water {
    /// A manager, else a customer, else nobody that we know.
    pub(super) async fn caller(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let (tenant, device) = caller(ask);
        let managers = self.parts.backend.managers(tenant, device).await?;
        if let Some(manager) = managers.first() {
            let word = if self.options.manager_pin { "manager_pin" } else { "manager" };
            return Ok(Answer::word(word).with("lang", &*manager.language));
        }
        let by = CustomerBy::Number(device.clone());
        Ok(match self.parts.backend.customer(tenant, &by).await? {
            Some(customer) => Answer::word("customer")
                .with("first_name", customer.first_name.as_str())
                .with("lang", &*customer.language),
            None => Answer::word("unknown"),
        })
    }

    /// Whether there is such a site.
    pub(super) async fn site_asked(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let found = self.site_named(ask).await?;
        Ok(Answer::word(if found.is_some() { "ok" } else { "unknown" }))
    }

    async fn site_named(&self, ask: &Ask) -> Result<Option<Site>, BackendError> {
        match Nickname::parse(argument(ask, "nickname")) {
            Ok(nickname) => self.parts.backend.site(&ask.tenant, &SiteBy::Nickname(nickname)).await,
            Err(_) => Ok(None),
        }
    }

    /// The language that is asked for, else the dialogue's.
    fn language(ask: &Ask) -> Box<str> {
        match argument(ask, "language") {
            "" => ask.language.clone(),
            language => language.into(),
        }
    }

    /// Makes a customer of the caller.
    pub(super) async fn register(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let (tenant, device) = caller(ask);
        let first = PersonName::parse(argument(ask, "first"));
        let last = PersonName::parse(argument(ask, "last"));
        let (Ok(first), Ok(last), Some(pin)) = (first, last, Pin::parse(argument(ask, "pin")))
        else {
            return Ok(Answer::word("refused"));
        };
        let Some(site) = self.site_named(ask).await? else {
            return Ok(Answer::word("unknown_site"));
        };
        // The first sight of his SIM: another one later is a change.
        self.is_held(ask).await?;
        let (at, id) = (self.now(), self.id_of(ask));
        // His own, of whom the first answer was lost.
        let is_there = match self.customer_of(ask).await? {
            Some(customer) if customer.id == id => true,
            Some(_) => return Ok(Answer::word("taken")),
            None => false,
        };
        if self.is_manager(ask).await? || self.is_anothers(ask, &id, &pin).await? {
            return Ok(Answer::word("taken"));
        }
        let (place, names) = ((site.id, device.clone()), (first, last));
        let customer =
            Customer::new(id.clone(), place, names, Self::language(ask), self.day_of(at));
        let effect = Effect {
            tenant: tenant.clone(),
            key: ask.key.clone(),
            at,
            changes: if is_there { Vec::new() } else { vec![Change::Create(Box::new(customer))] },
            events: Vec::new(),
            // Who is made elsewhere and has no PIN here could never log in.
            before: vec![pin.set(&self.parts.vault, tenant, &id)],
            operations: Vec::new(),
        };
        match self.settle(ask, Answer::word("registered"), effect).await {
            Err(error) if error.is_conflict(NUMBER_TAKEN) => Ok(Answer::word("taken")),
            settled => settled,
        }
    }

    /// The id of whom this key press makes a customer: of a press that is made again the same one. As
    /// long as a ULID, whose alphabet it has.
    fn id_of(&self, ask: &Ask) -> Box<str> {
        let (tenant, device) = caller(ask);
        let text = format!("water id\n{}\n{}\n{}", tenant.as_str(), device.as_str(), ask.key);
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            self.parts.vault.hmac(text.as_bytes());
        Ulid::from_bytes(bytes).to_string().into()
    }

    /// Whether another PIN is kept for that id: a session that comes again would set somebody's anew.
    async fn is_anothers(&self, ask: &Ask, id: &str, pin: &Pin) -> Result<bool, BackendError> {
        let kept = self.parts.store.pin(&ask.tenant, id).await?;
        Ok(kept.is_some_and(|kept| kept != pin.mac(&self.parts.vault, &ask.tenant, id)))
    }

    async fn is_manager(&self, ask: &Ask) -> Result<bool, BackendError> {
        let (tenant, device) = caller(ask);
        Ok(!self.parts.backend.managers(tenant, device).await?.is_empty())
    }

    /// Whether the caller is a customer or a manager.
    async fn is_somebody(&self, ask: &Ask) -> Result<bool, BackendError> {
        Ok(self.customer_of(ask).await?.is_some() || self.is_manager(ask).await?)
    }

    /// Gives the caller the account of another number, if he knows its PIN. Whether there is such an
    /// account is not said.
    pub(super) async fn move_account(&self, ask: &Ask) -> Result<Answer, BackendError> {
        let tenant = &ask.tenant;
        let Some(old) = typed_number(argument(ask, "old_number"), &ask.device) else {
            return Ok(Answer::word("mismatch"));
        };
        let _turn = self.turn_of_moves(ask).await?;
        if self.is_held(ask).await? {
            return Ok(Answer::word("held"));
        }
        let account = match self.is_somebody(ask).await? {
            true => None,
            false => self.parts.backend.customer(tenant, &CustomerBy::Number(old.clone())).await?,
        };
        let owner = account.as_ref().map(|it| &*it.id);
        let claimed = self.claim(ask, (&old, owner), argument(ask, "old_pin")).await?;
        let mut effect = Effect {
            tenant: tenant.clone(),
            key: ask.key.clone(),
            at: self.now(),
            changes: Vec::new(),
            events: Vec::new(),
            before: Vec::new(),
            operations: claimed.operations,
        };
        let answer = match (claimed.checked, account) {
            (Checked::Right, Some(account)) => {
                if self.is_number_held(tenant, &old).await? {
                    return Ok(Answer::word("held"));
                }
                let (number, language) = (ask.device.clone(), Self::language(ask));
                let change = CustomerChange::Move { number, language };
                effect.changes.push(Change::Update { id: account.id, change });
                Answer::word("moved")
            }
            (Checked::Locked, _) if effect.operations.is_empty() => {
                return Ok(Answer::word("locked"));
            }
            (Checked::Locked, _) => Answer::word("locked"),
            (Checked::Right | Checked::Wrong, _) => Answer::word("mismatch"),
        };
        match self.settle(ask, answer, effect).await {
            Err(error) if error.is_conflict(NUMBER_TAKEN) => Ok(Answer::word("mismatch")),
            settled => settled,
        }
    }
}
