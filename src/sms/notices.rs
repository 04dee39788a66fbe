//! What the provider tells: what became of a text, and who wants none.

use super::Sms;
use super::ledger::{Ledger, Moved};
use crate::clock::Clock;
use crate::pipeline::Pipeline;
use crate::store::{
    Operation, ReadError, SmsOperation, SmsRow, SmsState, SmsStore, SmsWhich, WriteError, Writer,
};
use ::sms::{Notice, NoticeError, Notified, Provider, Report, Reported};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Tenant};
use std::sync::Arc;

/// Texts that are looked at to find the one that is meant.
const ROWS_MAX: usize = 2;
/// For how long a report may settle a text whose answer was lost: no network tries longer.
const UNDECIDED_WITHIN: SignedDuration = SignedDuration::from_hours(72);
/// How often a text is read anew that something else moved on meanwhile.
const TRIES_MAX: usize = 8;

/// What hearing the provider stands on.
pub struct NoticesParts {
    /// What is read of texts.
    pub store: Arc<dyn SmsStore>,
    /// Where what became of them is kept.
    pub pipeline: Arc<Pipeline>,
    /// Where wishes are kept.
    pub writer: Writer,
    /// Where they are asked for.
    pub sms: Arc<Sms>,
    /// Who carries them.
    pub provider: Arc<dyn Provider>,
    /// The time.
    pub clock: Clock,
}

/// Hears the provider.
pub struct Notices {
    ledger: Ledger,
    provider: Arc<dyn Provider>,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notices({:?})", self.provider.name())
    }
}

/// What came of a notice that could be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// It is kept.
    Kept,
    /// It is about nothing of ours, says nothing new, or is nothing that we keep.
    Passed,
}

/// Why a notice is not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotHeard {
    /// It cannot be used.
    #[error(transparent)]
    Notice(#[from] NoticeError),
    /// The store would not take it; it may be told again.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store cannot be read; it may be told again.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Notices {
    /// Over these parts.
    pub fn new(parts: NoticesParts) -> Arc<Self> {
        let NoticesParts { store, pipeline, writer, sms, provider, clock } = parts;
        Arc::new(Self { ledger: Ledger { store, pipeline, writer, sms, clock }, provider })
    }

    /// Who tells.
    pub fn provider(&self) -> &dyn Provider {
        &*self.provider
    }

    /// Hears one notice. `about` names the text, where the address that was called does.
    ///
    /// # Errors
    ///
    /// It cannot be read, is not the provider's, or cannot be kept: nothing of it is.
    pub async fn hear(
        &self,
        notified: &Notified<'_>,
        about: Option<(&Tenant, &str)>,
    ) -> Result<Heard, NotHeard> {
        let heard = self.take(notified, about).await;
        let word = match &heard {
            Ok((word, _)) => word,
            Err(NotHeard::Notice(error)) => error.code(),
            Err(NotHeard::Write(_) | NotHeard::Read(_)) => "store",
        };
        self.ledger.sms.metrics().told(word);
        heard.map(|(_, heard)| heard)
    }

    async fn take(
        &self,
        notified: &Notified<'_>,
        about: Option<(&Tenant, &str)>,
    ) -> Result<(&'static str, Heard), NotHeard> {
        let now = self.ledger.clock.now().wall;
        match self.provider.notice(notified)? {
            Notice::Report(report) => self.report(&report, about, now).await,
            Notice::OptOut { number } => {
                self.wish(number.expose(), |tenant, number| SmsOperation::OptOut {
                    tenant,
                    number,
                    at: now,
                })
                .await?;
                Ok(("opt_out", Heard::Kept))
            }
            Notice::OptIn { number } => {
                self.wish(number.expose(), |tenant, number| SmsOperation::OptIn { tenant, number })
                    .await?;
                Ok(("opt_in", Heard::Kept))
            }
            Notice::Message => Ok(("message", Heard::Passed)),
        }
    }

    /// All tenants write under one sender's name: the wish holds for whoever wrote to this number.
    async fn wish(
        &self,
        number: &str,
        operation: impl Fn(Tenant, DeviceId) -> SmsOperation,
    ) -> Result<(), NotHeard> {
        let number = DeviceId::msisdn(number).map_err(|_| NoticeError::WrongField("number"))?;
        let mut tenants = self.ledger.store.sms_tenants(&number).await?;
        if tenants.is_empty() {
            tenants.push(Tenant::default());
        }
        let operations =
            tenants.into_iter().map(|tenant| Operation::Sms(operation(tenant, number.clone())));
        Ok(self.ledger.writer.transact(operations.collect()).await?)
    }

    async fn report(
        &self,
        report: &Report,
        about: Option<(&Tenant, &str)>,
        now: Timestamp,
    ) -> Result<(&'static str, Heard), NotHeard> {
        for _ in 0..TRIES_MAX {
            let row = match self.find(report, about, now).await? {
                Ok(row) => row,
                Err(word) => return Ok((word, Heard::Passed)),
            };
            let Some(moved) = moved(row, report) else { return Ok(("known", Heard::Passed)) };
            match self.ledger.keep_together(&[moved]).await {
                Ok(()) => return Ok(("report", Heard::Kept)),
                // The answer to the call came meanwhile.
                Err(WriteError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(("known", Heard::Passed))
    }

    /// The text that is meant: by our own name for it, by the provider's, or, where the answer that
    /// would have brought that was lost, as the only one to its number that this is so of.
    async fn find(
        &self,
        report: &Report,
        about: Option<(&Tenant, &str)>,
        now: Timestamp,
    ) -> Result<Result<SmsRow, &'static str>, ReadError> {
        let store = &self.ledger.store;
        if let Some((tenant, id)) = about {
            let row = store.sms(SmsWhich::Id(tenant, id), 1).await?.pop();
            let is_it = |row: &SmsRow| row.provider_id.as_ref().is_none_or(|it| *it == report.id);
            return Ok(row.filter(is_it).ok_or("stray"));
        }
        let mut named = store.sms(SmsWhich::ProviderId(&report.id), ROWS_MAX).await?;
        if let Some(row) = named.pop() {
            return Ok(if named.is_empty() { Ok(row) } else { Err("ambiguous") });
        }
        let number = report.number.as_ref().and_then(|it| DeviceId::msisdn(it.expose()).ok());
        let Some(number) = number else { return Ok(Err("stray")) };
        let since = now.checked_sub(UNDECIDED_WITHIN).unwrap_or(Timestamp::MIN);
        let mut rows = store.sms(SmsWhich::Undecided(&number, since), ROWS_MAX).await?;
        let row = rows.pop();
        Ok(if rows.is_empty() { row.ok_or("stray") } else { Err("ambiguous") })
    }
}

/// What a report adds to what is known; `None` when nothing.
fn moved(row: SmsRow, report: &Report) -> Option<Moved> {
    let open = matches!(row.state, SmsState::Sending | SmsState::Unknown);
    let moved = match report.came_to {
        Reported::OnItsWay if open => Moved::to(row, SmsState::Sent),
        // A phone that was not to be reached may be reached after all.
        Reported::Delivered if row.state != SmsState::Delivered => {
            Moved::to(row, SmsState::Delivered)
        }
        Reported::Failed(cause) if open || row.state == SmsState::Sent => {
            Moved::failed(row, cause.as_str())
        }
        Reported::OnItsWay | Reported::Delivered | Reported::Failed(_) => return None,
    };
    Some(Moved { provider_id: Some(report.id.clone()), ..moved })
}
