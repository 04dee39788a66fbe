//! Subscriptions to water points: who may collect how much water, where, until when.
//!
//! The rules alone: names, codes, what a payment adds, when a subscription ends and its customer is
//! reminded. Days are days of the operator's calendar; the caller says which one it is.
//!
//! Pure: no clock, no store, no chance. Prints neither name nor number nor code.

mod change;
mod code;
mod name;
mod record;
mod subscription;
mod typed;

pub use change::{CustomerChange, Refusal};
pub use code::{CODE_LEN, Code, CodeError};
pub use name::{NameError, Nickname, PersonName};
pub use record::{Action, Item, RecordStatus, Transaction};
pub use subscription::{Credit, Deadline, Service, credit, deadline};
pub use typed::typed_number;

use jiff::civil::Date;
use model::DeviceId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most jerrycans of one subscription.
pub const JERRYCANS_MAX: u32 = 9_999;
/// Most jerrycans that are left to anybody, however many subscriptions add to them: a screen has five
/// digits for them.
pub const JERRYCANS_LEFT_MAX: u32 = 99_999;

/// A water point.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Site {
    /// Its id.
    pub id: Box<str>,
    /// What people call it.
    pub name: Box<str>,
    /// What callers type to find it.
    pub nickname: Nickname,
    /// What messages say of it, at most 160 characters.
    #[serde(default)]
    pub sms_description: Box<str>,
    /// What else is to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// From how far people come, in kilometres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_radius: Option<f64>,
    /// Where it is, in degrees north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Where it is, in degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// How long people wait there, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_wait_minute: Option<u32>,
    /// How many stand in line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_line_count: Option<u32>,
    /// Whether there is water.
    #[serde(default)]
    pub status: SiteStatus,
    /// What a subscription costs, in whole shillings: 1 to 250,000.
    pub subscription_fee: u32,
    /// How many jerrycans a subscription allows: 1 to 9,999.
    pub expected_jerrycans: u32,
}

impl Site {
    /// Longest name, in bytes.
    pub const NAME_LEN_MAX: usize = 256;
    /// Longest text for messages, in characters.
    pub const SMS_DESCRIPTION_MAX: usize = 160;
    /// Longest description, in bytes.
    pub const DESCRIPTION_LEN_MAX: usize = 4_096;
    /// Highest fee, in shillings: M-Pesa carries no more at once.
    pub const FEE_MAX: u32 = 250_000;

    /// Whether all that is said of it is within its bounds.
    ///
    /// # Errors
    ///
    /// The name of the first field that is not.
    pub fn check(&self) -> Result<(), &'static str> {
        let within = |value: Option<f64>, max: f64| value.is_none_or(|it| it.abs() <= max);
        let is_named = !self.name.trim().is_empty()
            && self.name.len() <= Self::NAME_LEN_MAX
            && !self.name.chars().any(char::is_control);
        let describes = |text: &str| text.len() <= Self::DESCRIPTION_LEN_MAX;
        let is_far = self.service_radius.is_some_and(|it| !(0.0..=1_000.0).contains(&it));
        let too_long = self.sms_description.chars().count() > Self::SMS_DESCRIPTION_MAX;
        let faults = [
            ("name", !is_named),
            ("sms_description", too_long),
            ("description", !self.description.as_deref().is_none_or(describes)),
            ("service_radius", is_far),
            ("latitude", !within(self.latitude, 90.0)),
            ("longitude", !within(self.longitude, 180.0)),
            ("subscription_fee", !(1..=Self::FEE_MAX).contains(&self.subscription_fee)),
            ("expected_jerrycans", !(1..=JERRYCANS_MAX).contains(&self.expected_jerrycans)),
        ];
        faults.into_iter().find(|(_, is_fault)| *is_fault).map_or(Ok(()), |(field, _)| Err(field))
    }
}

/// Whether a site gives water.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteStatus {
    /// It does.
    #[default]
    Online,
    /// It is being repaired.
    Maintenance,
    /// It does not.
    Offline,
}

/// Who gives out water at a site: one for each of the sites that he manages, under one id.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manager {
    /// His id.
    pub id: Box<str>,
    /// The site.
    #[serde(rename = "site_id")]
    pub site: Box<str>,
    /// His phone.
    #[serde(rename = "phone_number", with = "number")]
    pub number: DeviceId,
    /// In which language he is spoken to.
    #[serde(rename = "preferred_language")]
    pub language: Box<str>,
}

/// Who collects water.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Customer {
    /// His id.
    pub id: Box<str>,
    /// Where he collects.
    #[serde(rename = "site_id")]
    pub site: Box<str>,
    /// His phone.
    #[serde(rename = "phone_number", with = "number")]
    pub number: DeviceId,
    /// His given name.
    pub first_name: PersonName,
    /// His family name.
    pub last_name: PersonName,
    /// In which language he is spoken to.
    #[serde(rename = "preferred_language")]
    pub language: Box<str>,
    /// Whether a payment subscribed him and nothing has ended that. His subscription may be over all
    /// the same, where nobody has noticed yet: [`Customer::is_served`].
    #[serde(rename = "valid_subscription")]
    pub is_valid: bool,
    /// The first day on which he is no longer served.
    #[serde(rename = "subscription_expiration")]
    pub expires_on: Date,
    /// What he shows at his site; while he is subscribed nobody else has the same.
    #[serde(rename = "monthly_subscription_code", with = "code::or_none")]
    pub code: Option<Code>,
    /// How many jerrycans are left to him.
    #[serde(rename = "jerrycans_allowed")]
    pub jerrycans: u32,
    /// Of which expiry he was reminded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reminded_for: Option<Date>,
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Customer({}, valid {}, until {})", self.id, self.is_valid, self.expires_on)
    }
}

impl Customer {
    /// Somebody who has registered and not paid yet.
    pub fn new(
        id: Box<str>,
        (site, number): (Box<str>, DeviceId),
        (first_name, last_name): (PersonName, PersonName),
        language: Box<str>,
        today: Date,
    ) -> Self {
        Self {
            id,
            site,
            number,
            first_name,
            last_name,
            language,
            is_valid: false,
            expires_on: today,
            code: None,
            jerrycans: 0,
            reminded_for: None,
        }
    }

    /// Whether water is given to him on that day, whatever has been noticed of his subscription's end.
    pub fn is_served(&self, today: Date) -> bool {
        self.is_valid && self.expires_on > today
    }

    /// Both names.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.first_name.as_str(), self.last_name.as_str())
    }
}

/// Phone numbers as documents spell them: `+254…`.
mod number {
    use model::DeviceId;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(it: &DeviceId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(it.number().unwrap_or(it.as_str()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DeviceId, D::Error> {
        let text = Box::<str>::deserialize(from)?;
        DeviceId::msisdn(&text).map_err(|_| de::Error::custom("not a phone number"))
    }
}

#[cfg(test)]
mod tests;
