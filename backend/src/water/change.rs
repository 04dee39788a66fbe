//! Changes of a customer, each with the condition under which it holds.

use super::{Code, Customer, JERRYCANS_LEFT_MAX};
use jiff::civil::Date;
use model::DeviceId;

/// A change of a customer that is made whole or not at all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CustomerChange {
    /// A payment subscribes him.
    Activate {
        /// The expiry from which `until` was counted, of one who is served; `None` of one who is not.
        from: Option<Date>,
        /// The day.
        today: Date,
        /// The new expiry.
        until: Date,
        /// His code: of one who is served the one that he has.
        code: Code,
        /// How many jerrycans are allowed him, on top of what is left to one who is served; at most
        /// [`JERRYCANS_LEFT_MAX`] come of it.
        jerrycans: u32,
        /// The provider's name of the payment: each subscribes once.
        checkout: Box<str>,
    },
    /// Water is given to him.
    Collect {
        /// The sites of whoever gives it.
        site_ids: Vec<Box<str>>,
        /// How many jerrycans.
        count: u32,
        /// The day.
        today: Date,
    },
    /// His account goes to another phone.
    Move {
        /// The phone.
        number: DeviceId,
        /// In which language he is spoken to from now on.
        language: Box<str>,
    },
    /// His subscription is over, and that is noticed.
    Expire {
        /// The day.
        today: Date,
    },
    /// He was reminded.
    Reminded {
        /// Of which expiry.
        expiry: Date,
    },
}

/// Why a change does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// He is not as the author of the change saw him.
    Changed,
    /// This payment has subscribed him already.
    Credited,
    /// He belongs to another site.
    NotMySite,
    /// His subscription is over.
    Expired,
    /// Nothing is left to him.
    NoneLeft,
}

impl Refusal {
    /// The word, which a menu may map.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Credited => "credited",
            Self::NotMySite => "not_my_site",
            Self::Expired => "expired",
            Self::NoneLeft => "none_left",
        }
    }
}

impl CustomerChange {
    /// The customer as he is after it. `last_checkout` is the payment that subscribed him last.
    ///
    /// That code and number are nobody else's is for the store to see.
    ///
    /// # Errors
    ///
    /// What stands against it.
    pub fn apply(
        &self,
        customer: &Customer,
        last_checkout: Option<&str>,
    ) -> Result<Customer, Refusal> {
        let mut after = customer.clone();
        match self {
            Self::Activate { from, today, until, code, jerrycans, checkout } => {
                if last_checkout == Some(checkout) {
                    return Err(Refusal::Credited);
                }
                let served = customer.is_served(*today);
                if *from != served.then_some(customer.expires_on) {
                    return Err(Refusal::Changed);
                }
                let left = if served { customer.jerrycans } else { 0 };
                after.jerrycans = left.saturating_add(*jerrycans).min(JERRYCANS_LEFT_MAX);
                after.is_valid = true;
                after.expires_on = *until;
                after.code = Some(code.clone());
                after.reminded_for = None;
            }
            Self::Collect { site_ids, count, today } => {
                if !site_ids.contains(&customer.site) {
                    return Err(Refusal::NotMySite);
                }
                if !customer.is_served(*today) {
                    return Err(Refusal::Expired);
                }
                let left = customer.jerrycans.checked_sub(*count).ok_or(Refusal::NoneLeft)?;
                after.jerrycans = left;
            }
            Self::Move { number, language } => {
                after.number = number.clone();
                after.language = language.clone();
            }
            Self::Expire { today } => {
                if !customer.is_valid || customer.expires_on > *today {
                    return Err(Refusal::Changed);
                }
                after.is_valid = false;
                after.code = None;
                after.jerrycans = 0;
            }
            Self::Reminded { expiry } => {
                let is_due = customer.is_valid && customer.expires_on == *expiry;
                if !is_due || customer.reminded_for == Some(*expiry) {
                    return Err(Refusal::Changed);
                }
                after.reminded_for = Some(*expiry);
            }
        }
        Ok(after)
    }
}
