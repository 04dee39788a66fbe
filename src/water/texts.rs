//! What messages say: phrases of the service's menu, in the language of whoever gets them.

use crate::menus::Book;
use model::Tenant;
use std::fmt::Debug;
use std::sync::Arc;

/// A payment subscribed him: `{name}`, `{site}`, `{code}`, `{expires}`, `{jerrycans}`, `{about}`.
pub(super) const SUBSCRIBED: &str = "sms_subscribed";
/// He did not pay, and may try again: `{name}`, `{amount}`, `{site}`. With `_` and a reason behind it
/// ([`Why::as_str`](backend::payment::Why::as_str)) the one for that reason, where there is one.
pub(super) const DECLINED: &str = "sms_declined";
/// Nobody knows yet whether he paid: `{name}`, `{amount}`, `{site}`.
pub(super) const UNCONFIRMED: &str = "sms_unconfirmed";
/// His subscription ends soon: `{name}`, `{site}`, `{expires}`, `{days}`.
pub(super) const REMINDER: &str = "sms_reminder";
/// It has ended: `{name}`, `{site}`.
pub(super) const EXPIRED: &str = "sms_expired";

/// Knows phrases.
pub trait Texts: Debug + Send + Sync + 'static {
    /// The phrase of that key with these values in it, in that language or the menu's first; `None` where
    /// there is no such phrase.
    fn fill(
        &self,
        tenant: &Tenant,
        language: &str,
        key: &str,
        values: &[(&str, &str)],
    ) -> Option<String>;
}

/// The phrases of a menu as they stand when something is said.
#[derive(Debug)]
pub struct MenuTexts {
    /// All menus.
    pub book: Arc<Book>,
    /// Which one.
    pub menu: Box<str>,
}

impl Texts for MenuTexts {
    fn fill(
        &self,
        tenant: &Tenant,
        language: &str,
        key: &str,
        values: &[(&str, &str)],
    ) -> Option<String> {
        self.book.phrases(tenant, &self.menu).fill(language, key, values)
    }
}
