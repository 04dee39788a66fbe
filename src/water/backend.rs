//! Who keeps sites, managers and customers: the daemon's own store, or the business over HTTP.
//!
//! That is all that is asked of it. PINs, tries, SIMs and phrases are never its own.

use crate::store::{
    Audience, CustomerBy, Listener, Operation, OperationError, ReadError, SiteBy, WriteError,
};
use async_trait::async_trait;
use backend::water::{Customer, CustomerChange, Manager, Site, Transaction};
use jiff::Timestamp;
use jiff::civil::Date;
use model::{DeviceId, Event, Tenant};
use std::fmt::Debug;

/// What is done together.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Whose.
    pub tenant: Tenant,
    /// What makes asking twice the same as asking once.
    pub key: Box<str>,
    /// When.
    pub at: Timestamp,
    /// What becomes of customers, and what is written down.
    pub changes: Vec<Change>,
    /// What is told of it.
    pub events: Vec<Event>,
    /// What must be kept before anybody else hears of a change: with the rest where nobody else does.
    /// It may be kept though nothing else of the effect happens.
    pub before: Vec<Operation>,
    /// What is kept with it.
    pub operations: Vec<Operation>,
}

impl Effect {
    /// One that does nothing yet.
    pub fn new(tenant: &Tenant, key: impl Into<Box<str>>, at: Timestamp) -> Self {
        Self {
            tenant: tenant.clone(),
            key: key.into(),
            at,
            changes: Vec::new(),
            events: Vec::new(),
            before: Vec::new(),
            operations: Vec::new(),
        }
    }
}

/// Something that the backend keeps.
#[derive(Clone, Debug)]
pub enum Change {
    /// Somebody registers. Refused as `taken` where another has his number.
    Create(Box<Customer>),
    /// A customer changes.
    Update {
        /// Who.
        id: Box<str>,
        /// How.
        change: CustomerChange,
    },
    /// Something happened to a customer.
    Record(Box<Transaction>),
}

/// Why the backend did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A condition does not hold; the word says which.
    #[error("refused: {0}")]
    Conflict(Box<str>),
    /// There is no room.
    #[error("the store is full")]
    Full,
    /// It was not answered in time: it may have happened, and asking again under the same key is safe.
    #[error("not answered in time")]
    Late,
    /// It was answered by nothing that we know, or not at all.
    #[error("not answered")]
    Unknown,
    /// The backend cannot do that.
    #[error("the backend cannot do that")]
    Unsupported,
    /// Our own store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl BackendError {
    /// Whether it was refused with that word.
    pub fn is_conflict(&self, word: &str) -> bool {
        matches!(self, Self::Conflict(said) if **said == *word)
    }

    /// The word in metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Full => "full",
            Self::Late => "late",
            Self::Unknown => "unknown",
            Self::Unsupported => "unsupported",
            Self::Read(_) => "store",
        }
    }
}

impl From<WriteError> for BackendError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::Full,
            WriteError::Closed => Self::Unknown,
            WriteError::Refused(OperationError::Conflict(word)) => Self::Conflict(word.into()),
            WriteError::Refused(OperationError::Missing(what)) => Self::Conflict(what.into()),
        }
    }
}

/// Who keeps sites, managers and customers.
#[async_trait]
pub trait WaterBackend: Debug + Send + Sync + 'static {
    /// Whether the customers are kept by somebody else than our store: what changes them is then told
    /// him, and is in no transaction of ours.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// A customer.
    async fn customer(
        &self,
        tenant: &Tenant,
        by: &CustomerBy,
    ) -> Result<Option<Customer>, BackendError>;

    /// The manager with that number, once for each of his sites.
    async fn managers(
        &self,
        tenant: &Tenant,
        number: &DeviceId,
    ) -> Result<Vec<Manager>, BackendError>;

    /// A site.
    async fn site(&self, tenant: &Tenant, by: &SiteBy) -> Result<Option<Site>, BackendError>;

    /// Customers whose subscription nobody has ended and that ends on that day or before, in the order of
    /// their ids.
    async fn due(
        &self,
        tenant: &Tenant,
        until: Date,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Customer>, BackendError>;

    /// Whom a message to many goes to, in the order of their ids.
    async fn audience(
        &self,
        tenant: &Tenant,
        audience: &Audience,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<Listener>, BackendError>;

    /// Does all of it, once for each key: customers are changed and things written down, then the events
    /// and operations kept. All operations that were kept are returned: whoever calls tells their authors
    /// ([`Mirror`](crate::api::Mirror)), of those [before](Effect::before) whatever comes of the rest.
    ///
    /// # Errors
    ///
    /// [`BackendError::Conflict`] where a condition does not hold, of a change or of an operation: then
    /// nothing of it has happened, save what is kept [before](Effect::before).
    async fn carry_out(&self, effect: Effect) -> Result<Vec<Operation>, BackendError>;

    /// The same where nobody waits at a phone: somebody else's answer is waited for longer.
    ///
    /// # Errors
    ///
    /// As [`carry_out`](Self::carry_out).
    async fn carry_out_at_leisure(&self, effect: Effect) -> Result<Vec<Operation>, BackendError> {
        self.carry_out(effect).await
    }

    /// The same as operations, for a transaction that somebody else commits.
    fn deferred(&self, effect: Effect, now: Timestamp) -> Vec<Operation>;
}
