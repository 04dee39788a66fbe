//! Texts to phones, who wants none, and texts to many: rows, changes, reads.

use super::{Audience, ReadError};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use std::collections::HashSet;

/// What a step answers when the text is not as its author saw it.
pub const SMS_MOVED: &str = "sms_moved";
/// What a step answers when the broadcast is not as its author saw it.
pub const BROADCAST_MOVED: &str = "broadcast_moved";
/// What making a broadcast answers when its key was used before.
pub const BROADCAST_KNOWN: &str = "broadcast_known";

/// A text, and what became of it.
#[derive(Clone, Debug)]
pub struct SmsRow {
    /// Its name, a ULID.
    pub id: Box<str>,
    /// Whose.
    pub tenant: Tenant,
    /// What makes asking twice the same as asking once, within its tenant.
    pub key: Box<str>,
    /// The key of the task that sends it.
    pub batch: Box<str>,
    /// To whom.
    pub to: DeviceId,
    /// What it is about.
    pub kind: SmsKind,
    /// The broadcast that it is a part of.
    pub broadcast: Option<Box<str>>,
    /// Where it stands.
    pub state: SmsState,
    /// Why it failed, in a word.
    pub cause: Option<Box<str>>,
    /// What the provider calls it.
    pub provider_id: Option<Box<str>>,
    /// Whether what became of it is in an event and in the records that hang on it.
    pub is_told: bool,
    /// When it was asked for.
    pub made_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// The text, sealed.
    pub sealed: Redacted<Vec<u8>>,
}

/// What a text is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SmsKind {
    /// A subscription began: an answer to a payment.
    Subscription,
    /// A payment was not made: an answer to one.
    PaymentFailed,
    /// A payment is not confirmed yet: an answer to one.
    PaymentUnconfirmed,
    /// A subscription ends soon.
    Reminder,
    /// A subscription has ended.
    Unsubscription,
    /// What somebody wrote to many.
    Broadcast,
}

impl SmsKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Subscription,
        Self::PaymentFailed,
        Self::PaymentUnconfirmed,
        Self::Reminder,
        Self::Unsubscription,
        Self::Broadcast,
    ];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::PaymentFailed => "payment_failed",
            Self::PaymentUnconfirmed => "payment_unconfirmed",
            Self::Reminder => "reminder",
            Self::Unsubscription => "unsubscription",
            Self::Broadcast => "broadcast",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it answers what its receiver did just now: an opt-out does not silence it.
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Subscription | Self::PaymentFailed | Self::PaymentUnconfirmed)
    }
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SmsState {
    /// It is to be sent.
    Queued,
    /// It is being sent: written before the first byte leaves.
    Sending,
    /// The provider may have it: it was cut off while it was sent, and is never sent again. A report
    /// may still say what became of it.
    Unknown,
    /// The provider has taken it.
    Sent,
    /// It reached the phone.
    Delivered,
    /// It did not, and will not.
    Failed,
}

impl SmsState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Sending, Self::Unknown, Self::Sent, Self::Delivered, Self::Failed];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more comes of it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed)
    }

    /// Whether the provider has taken it, whatever came of it later.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered)
    }
}

/// One text to many.
#[derive(Clone, Debug)]
pub struct BroadcastRow {
    /// Its name, a ULID.
    pub id: Box<str>,
    /// Whose.
    pub tenant: Tenant,
    /// What makes asking twice the same as asking once, within its tenant.
    pub key: Option<Box<str>>,
    /// To whom.
    pub audience: Audience,
    /// Where it stands.
    pub state: BroadcastState,
    /// The last listener for whom it was queued.
    pub cursor: Option<Box<str>>,
    /// How many pages of listeners were gone through.
    pub page: u32,
    /// How many listeners were in them.
    pub listeners: u64,
    /// Who wrote it: the name of a token.
    pub actor: Box<str>,
    /// When.
    pub made_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// The text, sealed.
    pub sealed: Redacted<Vec<u8>>,
}

/// Where a broadcast stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BroadcastState {
    /// Listeners are still to be gone through.
    Running,
    /// It was queued for all of them.
    Done,
    /// An operator stopped it: what was queued for a listener before is sent all the same.
    Cancelled,
}

impl BroadcastState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Running, Self::Done, Self::Cancelled];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What becomes of a text.
#[derive(Clone, Debug)]
pub struct SmsStep {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: Box<str>,
    /// Where it stood when this was decided.
    pub expect: SmsState,
    /// Where it stands now.
    pub state: SmsState,
    /// Why, where it failed.
    pub cause: Option<Box<str>>,
    /// What the provider calls it; `None` leaves what is known.
    pub provider_id: Option<Box<str>>,
    /// Whether it is in an event and in the records that hang on it.
    pub is_told: bool,
    /// When.
    pub at: Timestamp,
}

/// What becomes of a broadcast.
#[derive(Clone, Debug)]
pub struct BroadcastStep {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: Box<str>,
    /// How many pages were gone through when this was decided; `None` where it does not matter.
    pub expect_page: Option<u32>,
    /// The last listener of the page; `None` leaves what is there.
    pub cursor: Option<Box<str>>,
    /// How many listeners are in it.
    pub listeners: u64,
    /// Where it stands now.
    pub state: BroadcastState,
    /// When.
    pub at: Timestamp,
}

/// Changes of texts, opt-outs and broadcasts.
#[derive(Clone, Debug)]
pub enum SmsOperation {
    /// Keeps a text. Nothing happens where its key, or its task's, was used before.
    Put(SmsRow),
    /// Moves a text on. Refused as a conflict ([`SMS_MOVED`]) unless it stands where it was seen.
    Step(SmsStep),
    /// Its receiver wants no texts that are not answers.
    OptOut {
        /// Whose texts.
        tenant: Tenant,
        /// Who.
        number: DeviceId,
        /// When.
        at: Timestamp,
    },
    /// He wants them again; no error when he always did.
    OptIn {
        /// Whose texts.
        tenant: Tenant,
        /// Who.
        number: DeviceId,
    },
    /// Makes a broadcast. Refused as a conflict ([`BROADCAST_KNOWN`]) when its key has made one.
    PutBroadcast(BroadcastRow),
    /// Moves a broadcast on. Refused as a conflict ([`BROADCAST_MOVED`]) unless it runs and so many
    /// pages were gone through.
    StepBroadcast(BroadcastStep),
}

impl SmsOperation {
    /// Whether a full store must still take it: what became of a text must not be lost.
    pub(super) const fn frees_space(&self) -> bool {
        matches!(self, Self::Step(_) | Self::StepBroadcast(_))
    }

    /// Bytes that it adds to the store, where they are many.
    pub(super) const fn body_bytes(&self) -> usize {
        match self {
            Self::Put(row) => row.sealed.0.len(),
            Self::PutBroadcast(row) => row.sealed.0.len(),
            _ => 0,
        }
    }
}

/// Which texts.
#[derive(Clone, Debug)]
pub enum SmsWhich<'a> {
    /// Those that one task sends.
    Batch(&'a Tenant, &'a str),
    /// The one of that name.
    Id(&'a Tenant, &'a str),
    /// Those that the provider calls so.
    ProviderId(&'a str),
    /// Those to a number that were cut off while they were sent, since then.
    Undecided(&'a DeviceId, Timestamp),
    /// Those of one broadcast behind the one of that name.
    Broadcast(&'a Tenant, &'a str, Option<&'a str>),
}

/// A number that wants no texts that are not answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OptOutRow {
    /// Who.
    pub number: DeviceId,
    /// Since when.
    pub at: Timestamp,
}

/// Which of a tenant's numbers that want no texts.
#[derive(Clone, Copy, Debug)]
pub enum OptOuts<'a> {
    /// This one, if it wants none.
    Of(&'a DeviceId),
    /// Those behind this one.
    After(Option<&'a DeviceId>),
}

/// What is read of texts.
#[async_trait]
pub trait SmsStore: Send + Sync + 'static {
    /// Texts, in the order of their names.
    async fn sms(&self, which: SmsWhich<'_>, rows_max: usize) -> Result<Vec<SmsRow>, ReadError>;

    /// Who of these wants no texts that are not answers.
    async fn opted_out(
        &self,
        tenant: &Tenant,
        numbers: &[DeviceId],
    ) -> Result<HashSet<DeviceId>, ReadError>;

    /// Numbers that want no texts that are not answers, in their order.
    async fn opt_outs(
        &self,
        tenant: &Tenant,
        which: OptOuts<'_>,
        rows_max: usize,
    ) -> Result<Vec<OptOutRow>, ReadError>;

    /// Who has texts of it kept that went to this number.
    async fn sms_tenants(&self, number: &DeviceId) -> Result<Vec<Tenant>, ReadError>;

    /// One broadcast.
    async fn broadcast(&self, tenant: &Tenant, id: &str)
    -> Result<Option<BroadcastRow>, ReadError>;

    /// The broadcast that this key has made.
    async fn broadcast_of_key(
        &self,
        tenant: &Tenant,
        key: &str,
    ) -> Result<Option<BroadcastRow>, ReadError>;

    /// Broadcasts, newest first, before the one of that name.
    async fn broadcasts(
        &self,
        tenant: &Tenant,
        before: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<BroadcastRow>, ReadError>;

    /// How many texts of a broadcast stand where.
    async fn broadcast_counts(
        &self,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Vec<(SmsState, u64)>, ReadError>;
}
