//! What is kept of water points and of those who collect there: rows, changes, reads.

use super::{ReadError, TaskRow};
use async_trait::async_trait;
use backend::water::{
    Action, Code, Customer, CustomerChange, Manager, Nickname, Refusal, Site, Transaction,
};
use jiff::Timestamp;
use jiff::civil::Date;
use model::{DeviceId, Redacted, Tenant};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Another site has this nickname.
pub const NICKNAME_TAKEN: &str = "nickname_taken";
/// Another customer or manager has this number.
pub const NUMBER_TAKEN: &str = "number_taken";
/// Another subscriber has this code.
pub const CODE_TAKEN: &str = "code_taken";
/// There are customers or managers at the site.
pub const SITE_IN_USE: &str = "site_in_use";
/// The row is not as the author of the change saw it.
pub const WATER_CHANGED: &str = Refusal::Changed.as_str();
/// The payment has subscribed the customer already.
pub const WATER_CREDITED: &str = Refusal::Credited.as_str();

/// A water point as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct WaterSiteRow {
    /// Whose.
    pub tenant: Tenant,
    /// Counts its changes; the store sets it.
    pub version: u64,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// What is said of it.
    pub site: Site,
}

/// A manager at one of his sites.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaterManagerRow {
    /// Whose.
    pub tenant: Tenant,
    /// Who he is.
    pub manager: Manager,
}

/// A manager with all of his sites.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaterManager {
    /// His id.
    pub id: Box<str>,
    /// His phone.
    pub number: DeviceId,
    /// In which language he is spoken to.
    pub language: Box<str>,
    /// The ids of his sites.
    pub sites: BTreeSet<Box<str>>,
}

/// A customer as he is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaterCustomerRow {
    /// Whose.
    pub tenant: Tenant,
    /// Counts his changes; the store sets it.
    pub version: u64,
    /// When he registered.
    pub created_at: Timestamp,
    /// When he last changed.
    pub changed_at: Timestamp,
    /// Who he is.
    pub customer: Customer,
    /// The payment that subscribed him last.
    pub last_checkout: Option<Box<str>>,
}

/// Something that happened to a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaterTransactionRow {
    /// Whose.
    pub tenant: Tenant,
    /// What.
    pub transaction: Transaction,
    /// How long it is kept.
    pub keep_until: Timestamp,
}

/// Wrong PINs in a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaterTries {
    /// How many.
    pub tries: u32,
    /// When the last one was.
    pub since: Timestamp,
    /// The key press that was counted last ([`ussd::Ask::key`]).
    pub last_key: Box<str>,
}

/// What wrong PINs and codes are counted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TryPurpose {
    /// A number that logs in.
    Pin,
    /// A number that wants another's account.
    Move,
    /// An account that others want, by its number.
    Account,
    /// A number that types customers' codes.
    Code,
}

impl TryPurpose {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pin, Self::Move, Self::Account, Self::Code];

    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Move => "move",
            Self::Account => "account",
            Self::Code => "code",
        }
    }
}

/// A wrong PIN or code that is counted.
#[derive(Clone, Debug)]
pub struct WrongTry {
    /// Whose.
    pub tenant: Tenant,
    /// A number.
    pub who: DeviceId,
    /// For what.
    pub purpose: TryPurpose,
    /// The key press ([`ussd::Ask::key`]).
    pub key: Box<str>,
    /// When.
    pub at: Timestamp,
    /// What was last counted at this time or before is forgotten: counting begins anew.
    pub forget: Timestamp,
}

/// Which SIM a number was last seen with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaterNumber {
    /// The SIM's number as an HMAC.
    pub imsi: Redacted<[u8; 32]>,
    /// When another SIM was seen than before.
    pub changed_at: Option<Timestamp>,
    /// When it was last kept that the number was seen.
    pub seen_at: Timestamp,
}

/// A change of what is kept of the water service.
#[derive(Clone, Debug)]
pub enum WaterOperation {
    /// Makes or changes a site. Refused as [`WATER_CHANGED`], or [`NICKNAME_TAKEN`].
    PutSite {
        /// The row.
        row: Box<WaterSiteRow>,
        /// The version it was made from; `None` of one that must be new.
        expect: Option<u64>,
    },
    /// Forgets a site. Refused as [`SITE_IN_USE`], and when there is none.
    RemoveSite {
        /// Whose.
        tenant: Tenant,
        /// Which.
        id: Box<str>,
    },
    /// Gives a site to a manager, in place of what was there of the two; his number and language are the
    /// same at all of his sites. Refused as [`NUMBER_TAKEN`] where another manager has the number, and
    /// when there is no such site.
    PutManager(WaterManagerRow),
    /// Takes a site from a manager, with the last one his PIN. Refused when he has not got it.
    RemoveManager {
        /// Whose.
        tenant: Tenant,
        /// Who.
        id: Box<str>,
        /// Which site.
        site: Box<str>,
    },
    /// Makes or changes a customer. Refused as [`WATER_CHANGED`], [`NUMBER_TAKEN`] or [`CODE_TAKEN`], and
    /// when there is no such site.
    PutCustomer {
        /// The row.
        row: Box<WaterCustomerRow>,
        /// The version it was made from; `None` of one that must be new.
        expect: Option<u64>,
    },
    /// Forgets a customer and his PIN. Refused when there is none.
    RemoveCustomer {
        /// Whose.
        tenant: Tenant,
        /// Who.
        id: Box<str>,
    },
    /// Changes a customer, if the change holds of him as he is now ([`CustomerChange::apply`]): refused
    /// with its word else, or as [`NUMBER_TAKEN`] or [`CODE_TAKEN`].
    ChangeCustomer {
        /// Whose.
        tenant: Tenant,
        /// Who.
        id: Box<str>,
        /// How.
        change: CustomerChange,
        /// When.
        at: Timestamp,
    },
    /// Sets what a PIN is compared with.
    SetPin {
        /// Whose.
        tenant: Tenant,
        /// A customer's or a manager's id.
        owner: Box<str>,
        /// The PIN as an HMAC.
        mac: Redacted<[u8; 32]>,
    },
    /// Counts a wrong PIN; a key press that was the last to be counted is not counted again.
    CountTry(WrongTry),
    /// Forgets wrong PINs.
    ClearTries {
        /// Whose.
        tenant: Tenant,
        /// A number.
        who: DeviceId,
        /// For what.
        purpose: TryPurpose,
    },
    /// Keeps that a number is used, and with which SIM; another than before is a change at that time.
    SeeNumber {
        /// Whose.
        tenant: Tenant,
        /// The number.
        number: DeviceId,
        /// The SIM's number as an HMAC.
        imsi: Redacted<[u8; 32]>,
        /// When.
        at: Timestamp,
    },
    /// Writes down what happened; what is there under the key stays.
    Record(Box<WaterTransactionRow>),
    /// Writes down what became of a message; no error when nothing is there under the key.
    SettleRecord {
        /// Whose.
        tenant: Tenant,
        /// The message's key.
        key: Box<str>,
        /// Whether it was sent.
        sent: bool,
    },
    /// Notes that a day's job is done; no error when it was noted before.
    EndDay {
        /// Whose.
        tenant: Tenant,
        /// Which job.
        job: &'static str,
        /// The day.
        day: Date,
    },
}

impl WaterOperation {
    /// Whether a full store must still take it.
    pub(super) fn frees_space(&self) -> bool {
        match self {
            Self::RemoveSite { .. }
            | Self::RemoveManager { .. }
            | Self::RemoveCustomer { .. }
            // Else PINs could be tried without end while the store is full: it is a row for each number.
            | Self::CountTry(_)
            | Self::ClearTries { .. }
            | Self::SettleRecord { .. } => true,
            Self::PutSite { .. }
            | Self::PutManager(_)
            | Self::PutCustomer { .. }
            | Self::ChangeCustomer { .. }
            | Self::SetPin { .. }
            | Self::SeeNumber { .. }
            | Self::Record(_)
            | Self::EndDay { .. } => false,
        }
    }
}

/// By what a customer is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CustomerBy {
    /// His id.
    Id(Box<str>),
    /// His phone.
    Number(DeviceId),
    /// The code of a subscription that nobody has ended yet.
    Code(Code),
}

/// By what a site is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SiteBy {
    /// Its id.
    Id(Box<str>),
    /// What callers type.
    Nickname(Nickname),
}

/// Whom a message to many goes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Audience {
    /// All customers.
    Customers,
    /// Those of a site.
    CustomersOf(Box<str>),
    /// All managers.
    Managers,
    /// Those of a site.
    ManagersOf(Box<str>),
}

impl Audience {
    /// Every word for an audience.
    pub const WORDS: [&'static str; 2] = ["customers", "managers"];

    /// The audience of that word: all of them, or those of one site.
    pub fn parse(word: &str, site: Option<&str>) -> Option<Self> {
        match (word, site) {
            ("customers", None) => Some(Self::Customers),
            ("customers", Some(site)) => Some(Self::CustomersOf(site.into())),
            ("managers", None) => Some(Self::Managers),
            ("managers", Some(site)) => Some(Self::ManagersOf(site.into())),
            _ => None,
        }
    }

    /// The word in the API and the store.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Customers | Self::CustomersOf(_) => "customers",
            Self::Managers | Self::ManagersOf(_) => "managers",
        }
    }

    /// The site, where it is those of one.
    pub fn site(&self) -> Option<&str> {
        match self {
            Self::Customers | Self::Managers => None,
            Self::CustomersOf(site) | Self::ManagersOf(site) => Some(site),
        }
    }
}

/// Somebody of an audience: a number is there once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// A customer's or a manager's id: an audience is read in their order.
    pub id: Box<str>,
    /// His phone.
    pub number: DeviceId,
    /// His language.
    pub language: Box<str>,
}

/// Which managers or customers: of what is given, those who have all of it.
#[derive(Clone, Debug, Default)]
pub struct WaterPeople {
    /// Who has this id.
    pub id: Option<Box<str>>,
    /// Those of this site.
    pub site: Option<Box<str>>,
    /// Who has this phone.
    pub number: Option<DeviceId>,
}

/// Which of the things that happened.
#[derive(Clone, Debug, Default)]
pub struct WaterTransactions {
    /// To whom.
    pub number: Option<DeviceId>,
    /// Where.
    pub site: Option<Box<str>>,
    /// What.
    pub action: Option<Action>,
    /// Only those before this one.
    pub before: Option<u64>,
}

/// Reads what is kept of the water service.
#[async_trait]
pub trait WaterStore: Debug + Send + Sync + 'static {
    /// A site.
    async fn site(&self, tenant: &Tenant, by: &SiteBy) -> Result<Option<WaterSiteRow>, ReadError>;

    /// Sites in the order of their ids.
    async fn sites(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterSiteRow>, ReadError>;

    /// How many customers of a site are served on a day.
    async fn subscribers(&self, tenant: &Tenant, site: &str, today: Date)
    -> Result<u64, ReadError>;

    /// The manager with that number, once for each of his sites.
    async fn managers_of(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Vec<WaterManagerRow>, ReadError>;

    /// Managers in the order of their ids.
    async fn managers(
        &self,
        tenant: &Tenant,
        which: &WaterPeople,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterManager>, ReadError>;

    /// A customer.
    async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<WaterCustomerRow>, ReadError>;

    /// Customers in the order of their ids.
    async fn customers(
        &self,
        tenant: &Tenant,
        which: &WaterPeople,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterCustomerRow>, ReadError>;

    /// Customers whose subscription nobody has ended and that ends on that day or before, in the order of
    /// their ids.
    async fn due(
        &self,
        tenant: &Tenant,
        until: Date,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<WaterCustomerRow>, ReadError>;

    /// Whom a message to many goes to, in the order of their ids.
    async fn audience(
        &self,
        tenant: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, ReadError>;

    /// What happened, newest first, each with its number.
    async fn transactions(
        &self,
        tenant: &Tenant,
        which: &WaterTransactions,
        rows_max: usize,
    ) -> Result<Vec<(u64, WaterTransactionRow)>, ReadError>;

    /// What a PIN is compared with.
    async fn pin(
        &self,
        tenant: &Tenant,
        owner: &str,
    ) -> Result<Option<Redacted<[u8; 32]>>, ReadError>;

    /// Wrong PINs in a row.
    async fn tries(
        &self,
        tenant: &Tenant,
        who: &DeviceId,
        purpose: TryPurpose,
    ) -> Result<Option<WaterTries>, ReadError>;

    /// Which SIM a number was last seen with.
    async fn number(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Option<WaterNumber>, ReadError>;

    /// Whether a day's job is done.
    async fn is_done(&self, tenant: &Tenant, job: &str, day: Date) -> Result<bool, ReadError>;

    /// The task of that kind and key, wherever it stands.
    async fn task_keyed(
        &self,
        tenant: &Tenant,
        kind: &str,
        key: &str,
    ) -> Result<Option<TaskRow>, ReadError>;

    /// Tasks of a kind that wait and whose keys begin so, in the order of their keys.
    async fn tasks_waiting(
        &self,
        tenant: &Tenant,
        kind: &str,
        begins: &str,
        rows_max: usize,
    ) -> Result<Vec<TaskRow>, ReadError>;
    /// The last day whose job is done.
    async fn last_done(&self, tenant: &Tenant, job: &str) -> Result<Option<Date>, ReadError>;
}
