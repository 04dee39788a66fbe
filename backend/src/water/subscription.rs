//! What a payment adds, and when what it added ends.

use super::Customer;
use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

/// How long things last, in whole days.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Service {
    /// For how many days a payment subscribes.
    pub subscription_days: u16,
    /// How many days before its end a customer is reminded.
    pub remind_days: u16,
}

impl Default for Service {
    fn default() -> Self {
        Self { subscription_days: 30, remind_days: 2 }
    }
}

/// What a payment makes of a customer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Credit {
    /// From which expiry it counts on, of one who is served.
    pub from: Option<Date>,
    /// The new expiry.
    pub until: Date,
}

/// What a payment that is credited today makes of the customer: days are counted from today, or, of one
/// who is served, on top of what he has.
pub fn credit(customer: &Customer, today: Date, service: &Service) -> Credit {
    let from = customer.is_served(today).then_some(customer.expires_on);
    let until = later(from.unwrap_or(today), service.subscription_days);
    Credit { from, until }
}

/// What is due to a customer on a day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deadline {
    /// Nothing.
    None,
    /// He is to be told that his subscription ends in so many days.
    Remind {
        /// How many.
        days: u16,
    },
    /// His subscription is over, and nobody has noticed.
    Expire,
}

/// What is due to the customer today. A day that was missed is made up for: reminded is who is still
/// subscribed, and each expiry is told of once.
pub fn deadline(customer: &Customer, today: Date, service: &Service) -> Deadline {
    if !customer.is_valid {
        return Deadline::None;
    }
    if customer.expires_on <= today {
        return Deadline::Expire;
    }
    let is_told = customer.reminded_for == Some(customer.expires_on);
    if is_told || customer.expires_on > later(today, service.remind_days) {
        return Deadline::None;
    }
    let days = today.until(customer.expires_on).map_or(0, |span: Span| span.get_days());
    Deadline::Remind { days: u16::try_from(days).unwrap_or(0) }
}

impl Service {
    /// The last expiry of which customers are told today: whose ends later has nothing due.
    pub fn horizon(&self, today: Date) -> Date {
        later(today, self.remind_days)
    }
}

/// So many days later, at most the calendar's last day.
fn later(day: Date, days: u16) -> Date {
    day.saturating_add(i64::from(days).days())
}
