//! One text to many: gone through page by page, each page a task of its own.
//!
//! A page's texts, the task that follows it and how far it came are one transaction: a crash sends
//! nobody the text twice and leaves nobody out.

use super::backend::{BackendError, WaterBackend};
use crate::clock::{self, Clock};
use crate::secrets::Vault;
use crate::sms::{Draft, Sms, SmsKind};
use crate::store::{
    Audience, BROADCAST_KNOWN, BroadcastRow, BroadcastState, BroadcastStep, Listener, Operation,
    OperationError, SmsOperation, SmsStore, TaskRow, WriteError, Writer,
};
use crate::tasks::{self, Handler, Outcome, Policy};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{Json, Redacted, Tenant};
use std::sync::Arc;
use std::time::Duration;

/// The kind of the tasks that go through a page of listeners.
pub const PAGING: &str = "sms.broadcast";
/// Listeners of a page.
const PAGE: usize = 100;
/// How a page is tried: what stands in its way is the store or the business's hub.
const POLICY: Policy = Policy {
    retry_min: Duration::from_secs(5),
    retry_max: Duration::from_secs(600),
    age_max: Duration::from_secs(24 * 3600),
    lease: Duration::from_secs(60),
};

/// A text to many that is asked for.
#[derive(Clone, Debug)]
pub struct NewBroadcast {
    /// Whose.
    pub tenant: Tenant,
    /// To whom.
    pub audience: Audience,
    /// The text.
    pub text: Redacted<String>,
    /// Who wrote it.
    pub actor: Box<str>,
    /// What makes asking twice the same as asking once.
    pub key: Option<Box<str>>,
}

/// Why a text is sent to nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TextError {
    /// There is nothing in it.
    #[error("there is nothing in it")]
    Empty,
    /// It has more characters than that.
    #[error("it has more than {0} characters")]
    TooLong(usize),
    /// It has characters in it that no phone shows.
    #[error("it has control characters in it")]
    Control,
}

/// What broadcasts stand on.
#[derive(Debug)]
pub struct BroadcastsParts {
    /// Where their texts are asked for.
    pub sms: Arc<Sms>,
    /// What seals what they say.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
    /// Longest text, in characters.
    pub text_max: usize,
}

/// Texts to many. One for the daemon.
#[derive(Debug)]
pub struct Broadcasts {
    parts: BroadcastsParts,
}

impl Broadcasts {
    /// Over these parts.
    pub fn new(parts: BroadcastsParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }

    /// What makes a broadcast, whose first page is due at once; with its row.
    ///
    /// # Errors
    ///
    /// The text cannot be sent.
    pub fn begin(&self, new: NewBroadcast) -> Result<(BroadcastRow, Vec<Operation>), TextError> {
        let NewBroadcast { tenant, audience, text, actor, key } = new;
        self.check(text.expose())?;
        let now = self.parts.clock.now().wall;
        let row = BroadcastRow {
            id: clock::new_name(now),
            tenant,
            key,
            audience,
            state: BroadcastState::Running,
            cursor: None,
            page: 0,
            listeners: 0,
            actor,
            made_at: now,
            changed_at: now,
            sealed: self.parts.vault.seal(text.expose().as_bytes()),
        };
        let task = Operation::PutTask(page_task(&row, 0, now));
        let put = Operation::Sms(SmsOperation::PutBroadcast(row.clone()));
        Ok((row, vec![put, task]))
    }

    fn check(&self, text: &str) -> Result<(), TextError> {
        let text_max = self.parts.text_max;
        if text.trim().is_empty() {
            Err(TextError::Empty)
        } else if text.chars().count() > text_max {
            Err(TextError::TooLong(text_max))
        } else if text.chars().any(|it| it.is_control() && it != '\n') {
            Err(TextError::Control)
        } else {
            Ok(())
        }
    }

    /// What stops a broadcast: what is queued of it is sent all the same. Refused as a conflict when it
    /// has come to its end.
    pub fn cancel(&self, tenant: &Tenant, id: &str) -> Operation {
        Operation::Sms(SmsOperation::StepBroadcast(BroadcastStep {
            tenant: tenant.clone(),
            id: id.into(),
            expect_page: None,
            cursor: None,
            listeners: 0,
            state: BroadcastState::Cancelled,
            at: self.parts.clock.now().wall,
        }))
    }

    /// Whether a write was refused because the key had made a broadcast.
    pub fn is_known(error: WriteError) -> bool {
        error == WriteError::Refused(OperationError::Conflict(BROADCAST_KNOWN))
    }

    /// What it says; `None` where it was sealed with another key.
    pub fn text(&self, row: &BroadcastRow) -> Option<Redacted<String>> {
        self.parts.vault.open_text(row.sealed.expose())
    }
}

fn page_task(row: &BroadcastRow, page: u32, now: Timestamp) -> TaskRow {
    let key = format!("{}:{page}", row.id);
    tasks::task(&row.tenant, PAGING, &key, None, Json::empty_object(), now)
}

/// Goes through the listeners of broadcasts.
pub struct Paging {
    /// The broadcasts.
    pub broadcasts: Arc<Broadcasts>,
    /// What is read of them.
    pub store: Arc<dyn SmsStore>,
    /// Who knows the listeners.
    pub backend: Arc<dyn WaterBackend>,
    /// Where it is kept how far they came.
    pub writer: Writer,
}

impl std::fmt::Debug for Paging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paging").finish_non_exhaustive()
    }
}

impl Paging {
    /// How its tasks are tried.
    pub const fn policy() -> Policy {
        POLICY
    }

    async fn go_on(&self, task: &TaskRow) -> Result<&'static str, Outcome> {
        let Some((id, page)) = task.key.split_once(':') else { return Ok("no page") };
        let broadcasts = &self.broadcasts;
        let row = self.store.broadcast(&task.tenant, id).await.map_err(|_| failed("the store"))?;
        let is_its = |row: &BroadcastRow| {
            row.state == BroadcastState::Running && page == row.page.to_string()
        };
        let Some(row) = row.filter(is_its) else { return Ok("it is past") };
        let Some(text) = broadcasts.text(&row) else {
            return Err(Outcome::Hopeless { cause: "it cannot be read".into() });
        };
        let after = row.cursor.as_deref();
        let asked = self.backend.audience(&row.tenant, &row.audience, after, PAGE).await;
        let listeners = match asked {
            Ok(listeners) => listeners,
            Err(BackendError::Unsupported) => return Err(self.stop(&row).await),
            Err(error) => return Err(failed(error.code())),
        };
        let now = broadcasts.parts.clock.now().wall;
        let is_last = listeners.len() < PAGE;
        let mut operations = vec![Operation::Sms(SmsOperation::StepBroadcast(BroadcastStep {
            tenant: row.tenant.clone(),
            id: row.id.clone(),
            expect_page: Some(row.page),
            cursor: listeners.last().map(|listener| listener.id.clone()),
            listeners: listeners.len() as u64,
            state: if is_last { BroadcastState::Done } else { BroadcastState::Running },
            at: now,
        }))];
        let draft = |(place, listener): (usize, Listener)| Draft {
            tenant: row.tenant.clone(),
            to: listener.number,
            kind: SmsKind::Broadcast,
            text: text.clone(),
            // No name and no number: operators see it.
            key: format!("{}:{}:{place}", row.id, row.page).into(),
            broadcast: Some(row.id.clone()),
        };
        let drafts = listeners.into_iter().enumerate().map(draft).collect();
        operations.extend(broadcasts.parts.sms.queue(drafts, now));
        if !is_last {
            operations.push(Operation::PutTask(page_task(&row, row.page + 1, now)));
        }
        match self.writer.transact(operations.clone()).await {
            Ok(()) => broadcasts.parts.sms.committed(&operations),
            // An operator stopped it meanwhile.
            Err(WriteError::Refused(_)) => return Ok("it is past"),
            Err(error) => return Err(failed(&error.to_string())),
        }
        Ok(if is_last { "the last page" } else { "a page" })
    }

    /// The business's hub has no lists: there is nobody to write to.
    async fn stop(&self, row: &BroadcastRow) -> Outcome {
        let cancel = self.broadcasts.cancel(&row.tenant, &row.id);
        match self.writer.transact(vec![cancel]).await {
            Ok(()) | Err(WriteError::Refused(_)) => {
                Outcome::Hopeless { cause: "the backend cannot say who they are".into() }
            }
            Err(error) => failed(&error.to_string()),
        }
    }
}

fn failed(cause: &str) -> Outcome {
    Outcome::Failed { cause: cause.into(), retry_after: None }
}

#[async_trait]
impl Handler for Paging {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        match self.go_on(task).await {
            Ok(answer) => Outcome::Done { answer: answer.into() },
            Err(outcome) => outcome,
        }
    }
}
