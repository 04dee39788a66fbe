//! Who hangs records on what became of a text.

use crate::store::{Operation, SmsRow};
use jiff::Timestamp;
use std::fmt;
use std::sync::{OnceLock, Weak};

/// Is asked what else is to be kept in the commit that keeps what became of a text.
pub trait SmsObserver: Send + Sync + 'static {
    /// The text was taken by the provider (`sent`), or did not reach its receiver. May be asked of the
    /// same text again: for a commit that was refused, or where a report says that what was sent was
    /// not received after all.
    fn settled(&self, sms: &SmsRow, sent: bool, now: Timestamp) -> Vec<Operation>;
}

/// The observer, once there is one.
#[derive(Default)]
pub(super) struct Observer(OnceLock<Weak<dyn SmsObserver>>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.0.get().is_some()).finish()
    }
}

impl Observer {
    pub(super) fn set(&self, observer: Weak<dyn SmsObserver>) {
        let _ = self.0.set(observer);
    }

    pub(super) fn settled(&self, sms: &SmsRow, sent: bool, now: Timestamp) -> Vec<Operation> {
        let observer = self.0.get().and_then(Weak::upgrade);
        observer.map(|it| it.settled(sms, sent, now)).unwrap_or_default()
    }
}
