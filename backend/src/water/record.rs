//! What is written down of what happened to a customer.

use jiff::Timestamp;
use model::DeviceId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happened.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Water was collected.
    Visit,
    /// A payment subscribed him.
    Subscription,
    /// His subscription ended.
    Unsubscription,
    /// He was reminded of its end.
    ReminderMessage,
    /// He was told what became of a payment.
    SubscriptionMessage,
    /// He was told that it ended.
    UnsubscriptionMessage,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Visit,
        Self::Subscription,
        Self::Unsubscription,
        Self::ReminderMessage,
        Self::SubscriptionMessage,
        Self::UnsubscriptionMessage,
    ];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Visit => "visit",
            Self::Subscription => "subscription",
            Self::Unsubscription => "unsubscription",
            Self::ReminderMessage => "reminder_message",
            Self::SubscriptionMessage => "subscription_message",
            Self::UnsubscriptionMessage => "unsubscription_message",
        }
    }

    /// The action of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// What was given or taken.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Item {
    /// Whole shillings.
    #[serde(rename = "KSH")]
    Shillings,
    /// Jerrycans of water.
    #[serde(rename = "jerrycans")]
    Jerrycans,
    /// Nothing.
    #[serde(rename = "N/A")]
    Nothing,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shillings, Self::Jerrycans, Self::Nothing];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shillings => "KSH",
            Self::Jerrycans => "jerrycans",
            Self::Nothing => "N/A",
        }
    }

    /// The item of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// Whether it worked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// A message of which nobody has said yet what became of it.
    Pending,
    /// It did.
    Success,
    /// It did not.
    Failure,
}

impl RecordStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Success, Self::Failure];

    /// The word in the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// One thing that happened to a customer.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Transaction {
    /// What makes writing it down twice the same as once. That of a message is the message's own.
    pub key: Box<str>,
    /// Whose.
    #[serde(rename = "user_phone_number", with = "super::number")]
    pub number: DeviceId,
    /// What he is called.
    pub full_name: Box<str>,
    /// Where.
    pub site_id: Box<str>,
    /// What the site is called.
    pub site_name: Box<str>,
    /// What happened.
    pub action: Action,
    /// Whether it worked.
    pub status: RecordStatus,
    /// How much was given or taken.
    pub collected_count: u32,
    /// Of what.
    pub collected_item_type: Item,
    /// When.
    pub at: Timestamp,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({}, {:?}, {:?})", self.key, self.action, self.status)
    }
}
