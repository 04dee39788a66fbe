//! PINs: what they are compared with, how often, and after which change of a SIM not at all.
//!
//! A PIN is kept as an HMAC under the store's key, bound to whose it is. Four digits are guessed in
//! ten thousand tries, so that what protects them is that tries are counted: of each number over all its
//! dialogues, one after the other.

use super::backend::BackendError;
use super::{Tries, Water, ago, is_within};
use crate::secrets::Vault;
use crate::store::{CustomerBy, Operation, TryPurpose, WaterOperation, WaterTries, WrongTry};
use ::backend::water::{Code, Customer};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Redacted, Tenant};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};
use tracing::debug;
use ussd::{Answer, Ask};

/// To how much it is kept when a number was last seen.
const SEEN_TO: SignedDuration = SignedDuration::from_hours(24);
/// Numbers that may be looked at at once.
const TURNS: usize = 64;

/// A PIN as it is typed: four digits, of which zeros in front count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pin(Redacted<[u8; 4]>);

impl Pin {
    /// Reads a PIN; `None` where it is anything but four digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 4] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(Redacted(digits)))
    }

    /// What is kept of it. `owner` is the id of a customer or a manager.
    pub fn mac(&self, vault: &Vault, tenant: &Tenant, owner: &str) -> Redacted<[u8; 32]> {
        let mut text = format!("water pin\n{}\n{owner}\n", tenant.as_str()).into_bytes();
        text.extend_from_slice(self.0.expose());
        Redacted(vault.hmac(&text))
    }

    /// What keeps it.
    pub fn set(&self, vault: &Vault, tenant: &Tenant, owner: &str) -> Operation {
        let mac = self.mac(vault, tenant, owner);
        let (tenant, owner) = (tenant.clone(), owner.into());
        Operation::Water(WaterOperation::SetPin { tenant, owner, mac })
    }
}

/// Whose turn it is: of one number, or one customer, one thing at a time.
#[derive(Debug)]
pub(super) struct Turns {
    of_numbers: [Mutex<()>; TURNS],
    /// Of who types a code it is a number's turn within the code's.
    of_codes: [Mutex<()>; TURNS],
    /// Moves look at two numbers; of each tenant one at a time does for all of them.
    of_moves: parking_lot::Mutex<BTreeMap<Tenant, Arc<Mutex<()>>>>,
}

impl Default for Turns {
    fn default() -> Self {
        let (of_numbers, of_codes) = ([(); TURNS].map(Mutex::new), [(); TURNS].map(Mutex::new));
        Self { of_numbers, of_codes, of_moves: parking_lot::Mutex::default() }
    }
}

impl Turns {
    pub(super) async fn of_code(&self, tenant: &Tenant, code: &str) -> MutexGuard<'_, ()> {
        self.of_codes[place(tenant, code)].lock().await
    }
}

impl Water {
    /// Who waits for a turn longer than for his answer goes without.
    async fn within<T>(&self, ask: &Ask, turn: impl Future<Output = T>) -> Result<T, BackendError> {
        let deadline = self.parts.clock.instant(ask.deadline);
        tokio::time::timeout_at(deadline, turn).await.map_err(|_| BackendError::Late)
    }

    pub(super) async fn turn_of_number(
        &self,
        ask: &Ask,
    ) -> Result<MutexGuard<'_, ()>, BackendError> {
        let place = place(&ask.tenant, ask.device.as_str());
        self.within(ask, self.turns.of_numbers[place].lock()).await
    }

    pub(super) async fn turn_of_code(
        &self,
        ask: &Ask,
        code: &str,
    ) -> Result<MutexGuard<'_, ()>, BackendError> {
        self.within(ask, self.turns.of_code(&ask.tenant, code)).await
    }

    /// A tenant whose business is slow holds up no other.
    pub(super) async fn turn_of_moves(
        &self,
        ask: &Ask,
    ) -> Result<OwnedMutexGuard<()>, BackendError> {
        let turn = Arc::clone(self.turns.of_moves.lock().entry(ask.tenant.clone()).or_default());
        self.within(ask, turn.lock_owned()).await
    }
}

fn place(tenant: &Tenant, who: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    (tenant.as_str(), who).hash(&mut hasher);
    usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default()
}

/// What a PIN was found to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Checked {
    Right,
    Wrong,
    Locked,
}

impl Checked {
    pub(super) fn answer(self) -> Answer {
        Answer::word(match self {
            Self::Right => "ok",
            Self::Wrong => "wrong",
            Self::Locked => "locked",
        })
    }
}

/// How often who may be wrong at what, and how long he waits then.
struct Limit<'a> {
    who: &'a DeviceId,
    purpose: TryPurpose,
    tries: u32,
    hold: SignedDuration,
}

impl Limit<'_> {
    fn is_reached(&self, tries: &WaterTries, now: Timestamp) -> bool {
        tries.tries >= self.tries && is_within(tries.since, self.hold, now)
    }

    /// How many are counted now that still hold.
    fn counted(&self, tries: Option<&WaterTries>, now: Timestamp) -> u32 {
        let held = tries.filter(|it| is_within(it.since, self.hold, now));
        held.map_or(0, |it| it.tries)
    }

    fn count(&self, ask: &Ask, at: Timestamp) -> Operation {
        Operation::Water(WaterOperation::CountTry(WrongTry {
            tenant: ask.tenant.clone(),
            who: self.who.clone(),
            purpose: self.purpose,
            key: ask.key.clone(),
            at,
            forget: ago(at, self.hold),
        }))
    }

    fn clear(&self, tenant: &Tenant) -> Operation {
        let (tenant, who, purpose) = (tenant.clone(), self.who.clone(), self.purpose);
        Operation::Water(WaterOperation::ClearTries { tenant, who, purpose })
    }
}

/// What came of somebody who wants another's account.
pub(super) struct Claimed {
    pub(super) checked: Checked,
    /// What is to be kept with the answer.
    pub(super) operations: Vec<Operation>,
}

impl Water {
    fn limit<'a>(&self, who: &'a DeviceId, purpose: TryPurpose) -> Limit<'a> {
        let Tries { most, hold } = match purpose {
            TryPurpose::Pin | TryPurpose::Move => self.options.pins,
            TryPurpose::Account => self.options.account_pins,
            TryPurpose::Code => self.options.codes,
        };
        Limit { who, purpose, tries: most, hold }
    }

    async fn tries(
        &self,
        tenant: &Tenant,
        limit: &Limit<'_>,
    ) -> Result<Option<WaterTries>, BackendError> {
        Ok(self.parts.store.tries(tenant, limit.who, limit.purpose).await?)
    }

    /// Whether it is the PIN of `owner`. Who has none must have one set at his site, and is locked out
    /// until then.
    async fn is_pin(&self, ask: &Ask, owner: &str, typed: &str) -> Result<Checked, BackendError> {
        let Some(kept) = self.parts.store.pin(&ask.tenant, owner).await? else {
            return Ok(Checked::Locked);
        };
        let mac = Pin::parse(typed).map(|pin| pin.mac(&self.parts.vault, &ask.tenant, owner));
        // Both are HMACs under a key of ours: how long they are alike says nothing of the PIN.
        let is_right = mac.is_some_and(|mac| mac == kept);
        Ok(if is_right { Checked::Right } else { Checked::Wrong })
    }

    /// Checks the PIN that the caller typed to log in. Each key press is one try at most, however often a
    /// walk repeats it; a right one clears what was counted.
    pub(super) async fn log_in(
        &self,
        ask: &Ask,
        owner: &str,
        typed: &str,
    ) -> Result<Checked, BackendError> {
        let _turn = self.turn_of_number(ask).await?;
        let now = self.now();
        let limit = self.limit(&ask.device, TryPurpose::Pin);
        let tries = self.tries(&ask.tenant, &limit).await?;
        if tries.as_ref().is_some_and(|it| limit.is_reached(it, now)) {
            return Ok(Checked::Locked);
        }
        let checked = self.is_pin(ask, owner, typed).await?;
        match checked {
            Checked::Right if tries.is_some() => {
                self.keep(vec![limit.clear(&ask.tenant)]).await?;
            }
            Checked::Right | Checked::Locked => {}
            Checked::Wrong => {
                let is_known = tries.as_ref().is_some_and(|it| it.last_key == ask.key);
                if !is_known {
                    self.keep(vec![limit.count(ask, now)]).await?;
                    if limit.counted(tries.as_ref(), now) + 1 >= limit.tries {
                        return Ok(Checked::Locked);
                    }
                }
            }
        }
        Ok(checked)
    }

    /// The customer with that code. Codes that nobody has are counted, and after too many of them none
    /// is looked up. To be called in the number's turn.
    pub(super) async fn customer_with(
        &self,
        ask: &Ask,
        code: Option<Code>,
    ) -> Result<Result<Customer, &'static str>, BackendError> {
        let now = self.now();
        let limit = self.limit(&ask.device, TryPurpose::Code);
        let tries = self.tries(&ask.tenant, &limit).await?;
        if tries.as_ref().is_some_and(|it| limit.is_reached(it, now)) {
            return Ok(Err("too_many_codes"));
        }
        let found = match code {
            Some(code) => self.customer(&ask.tenant, &CustomerBy::Code(code)).await?,
            None => None,
        };
        if let Some(customer) = found {
            return Ok(Ok(customer));
        }
        if tries.is_none_or(|it| it.last_key != ask.key) {
            self.keep(vec![limit.count(ask, now)]).await?;
        }
        Ok(Err("unknown_code"))
    }

    /// What forgets the codes that the caller typed in vain: he gives water.
    pub(super) fn forget_codes(&self, tenant: &Tenant, caller: &DeviceId) -> Operation {
        self.limit(caller, TryPurpose::Code).clear(tenant)
    }

    /// Checks the PIN with which the caller wants the account of `old`, whose owner's id is `owner`, if
    /// there is one. To be called in the turn of moves; what is counted is kept with the answer.
    pub(super) async fn claim(
        &self,
        ask: &Ask,
        (old, owner): (&DeviceId, Option<&str>),
        typed: &str,
    ) -> Result<Claimed, BackendError> {
        let now = self.now();
        let mine = self.limit(&ask.device, TryPurpose::Move);
        let theirs = self.limit(old, TryPurpose::Account);
        let tries = self.tries(&ask.tenant, &mine).await?;
        if tries.as_ref().is_some_and(|it| mine.is_reached(it, now)) {
            return Ok(Claimed { checked: Checked::Locked, operations: Vec::new() });
        }
        let mut operations = Vec::new();
        if let Some(owner) = owner {
            let against = self.tries(&ask.tenant, &theirs).await?;
            let is_shut = against.as_ref().is_some_and(|it| theirs.is_reached(it, now));
            // A shut account answers as one that is not there.
            if !is_shut && self.is_pin(ask, owner, typed).await? == Checked::Right {
                let operations = vec![mine.clear(&ask.tenant), theirs.clear(&ask.tenant)];
                return Ok(Claimed { checked: Checked::Right, operations });
            }
            if !is_shut {
                operations.push(theirs.count(ask, now));
            }
        }
        operations.push(mine.count(ask, now));
        let is_last = mine.counted(tries.as_ref(), now) + 1 >= mine.tries;
        let checked = if is_last { Checked::Locked } else { Checked::Wrong };
        Ok(Claimed { checked, operations })
    }

    /// Whether the number is used with another SIM than before, and has not been for long enough. Where
    /// the network tells which SIM calls, that is kept.
    pub(super) async fn is_held(&self, ask: &Ask) -> Result<bool, BackendError> {
        let seen = self.parts.store.number(&ask.tenant, &ask.device).await?;
        let now = self.now();
        let mac = |imsi: &Redacted<Box<str>>| {
            Redacted(self.parts.vault.hmac(format!("water sim\n{}", imsi.expose()).as_bytes()))
        };
        let said = ask.imsi.as_ref().map(mac);
        let mut changed_at = seen.as_ref().and_then(|it| it.changed_at);
        if let Some(imsi) = said {
            let is_other = seen.as_ref().is_none_or(|it| it.imsi != imsi);
            let is_due = seen.as_ref().is_some_and(|it| !is_within(it.seen_at, SEEN_TO, now));
            let (tenant, number, at) = (ask.tenant.clone(), ask.device.clone(), now);
            let see = WaterOperation::SeeNumber { tenant, number, imsi, at };
            if is_other {
                changed_at = seen.as_ref().map(|_| now);
                self.keep(vec![Operation::Water(see)]).await?;
            } else if is_due && let Err(error) = self.keep(vec![Operation::Water(see)]).await {
                debug!(%error, "it is not kept that a number was seen");
            }
        }
        Ok(changed_at.is_some_and(|at| is_within(at, self.options.sim_change_hold, now)))
    }

    /// Whether another number is held, as far as is known.
    pub(super) async fn is_number_held(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<bool, BackendError> {
        let seen = self.parts.store.number(tenant, number).await?;
        let changed_at = seen.and_then(|it| it.changed_at);
        let now = self.now();
        Ok(changed_at.is_some_and(|at| is_within(at, self.options.sim_change_hold, now)))
    }

    /// What lifts the lock of a number, for an operator.
    pub fn unlock(tenant: &Tenant, who: &DeviceId) -> Vec<Operation> {
        let clear = |purpose| {
            let (tenant, who) = (tenant.clone(), who.clone());
            Operation::Water(WaterOperation::ClearTries { tenant, who, purpose })
        };
        TryPurpose::ALL.map(clear).into()
    }
}
