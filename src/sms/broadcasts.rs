//! One text to many: gone through page by page, each page a task of its own.
//!
//! A page's texts, the task that follows it and how far it came are one transaction: a crash sends
//! nobody the text twice and leaves nobody out.

use super::{Draft, Sms, SmsKind};
use crate::clock::{self, Clock};
use crate::store::{
    Audience, BROADCAST_KNOWN, BroadcastRow, BroadcastState, Operation, OperationError, ReadError,
    SmsOperation, SmsRow, SmsState, SmsStore, SmsWhich, TaskRow, WriteError, Writer,
};
use crate::tasks::{self, Handler, Outcome, Policy};
use crate::water::{BackendError, WaterBackend};
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

/// Whom a text goes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whom(Audience);

impl Whom {
    /// Every word for an audience.
    pub const WORDS: [&'static str; 2] = ["customers", "managers"];

    /// The audience of that word: all of them, or those of one site.
    pub fn parse(word: &str, site: Option<&str>) -> Option<Self> {
        let site = site.map(Into::into);
        Some(Self(match (word, site) {
            ("customers", None) => Audience::Customers,
            ("customers", Some(site)) => Audience::CustomersOf(site),
            ("managers", None) => Audience::Managers,
            ("managers", Some(site)) => Audience::ManagersOf(site),
            _ => return None,
        }))
    }

    fn spelled(&self) -> (&'static str, Option<&str>) {
        match &self.0 {
            Audience::Customers => ("customers", None),
            Audience::CustomersOf(site) => ("customers", Some(site)),
            Audience::Managers => ("managers", None),
            Audience::ManagersOf(site) => ("managers", Some(site)),
        }
    }
}

/// A text to many that is asked for.
#[derive(Clone, Debug)]
pub struct NewBroadcast {
    /// Whose.
    pub tenant: Tenant,
    /// To whom.
    pub whom: Whom,
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
pub struct BroadcastsParts {
    /// What is read of them.
    pub store: Arc<dyn SmsStore>,
    /// Where their texts are asked for.
    pub sms: Arc<Sms>,
    /// The time.
    pub clock: Clock,
    /// Longest text, in characters.
    pub text_max: usize,
}

/// Texts to many. One for the daemon.
pub struct Broadcasts {
    parts: BroadcastsParts,
}

impl std::fmt::Debug for Broadcasts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broadcasts").finish_non_exhaustive()
    }
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
        let NewBroadcast { tenant, whom, text, actor, key } = new;
        self.check(text.expose())?;
        let now = self.parts.clock.now().wall;
        let (audience, site) = whom.spelled();
        let row = BroadcastRow {
            id: clock::new_name(now),
            tenant,
            key,
            audience: audience.into(),
            site: site.map(Into::into),
            state: BroadcastState::Running,
            cursor: None,
            page: 0,
            listeners: 0,
            actor,
            made_at: now,
            changed_at: now,
            sealed: self.parts.sms.vault().seal(text.expose().as_bytes()),
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
        Operation::Sms(SmsOperation::StepBroadcast {
            tenant: tenant.clone(),
            id: id.into(),
            expect_page: None,
            cursor: None,
            listeners: 0,
            state: BroadcastState::Cancelled,
            at: self.parts.clock.now().wall,
        })
    }

    /// Whether a write was refused because the key had made a broadcast.
    pub fn is_known(error: WriteError) -> bool {
        error == WriteError::Refused(OperationError::Conflict(BROADCAST_KNOWN))
    }

    /// One broadcast.
    ///
    /// # Errors
    ///
    /// The store cannot be read; so it is with all that follow.
    pub async fn one(&self, tenant: &Tenant, id: &str) -> Result<Option<BroadcastRow>, ReadError> {
        self.parts.store.broadcast(tenant, id).await
    }

    /// The one that this key has made.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn of_key(
        &self,
        tenant: &Tenant,
        key: &str,
    ) -> Result<Option<BroadcastRow>, ReadError> {
        self.parts.store.broadcast_of_key(tenant, key).await
    }

    /// Broadcasts, newest first, before the one of that name.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn page(
        &self,
        tenant: &Tenant,
        before: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<BroadcastRow>, ReadError> {
        self.parts.store.broadcasts(tenant, before, rows_max).await
    }

    /// How many of its texts stand where.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn counts(
        &self,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Vec<(SmsState, u64)>, ReadError> {
        self.parts.store.broadcast_counts(tenant, id).await
    }

    /// Its texts, behind the one of that name: what became of each.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn texts(
        &self,
        tenant: &Tenant,
        id: &str,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<SmsRow>, ReadError> {
        self.parts.store.sms(SmsWhich::Broadcast(tenant, id, after), rows_max).await
    }

    /// What it says; `None` where it was sealed with another key.
    pub fn text(&self, row: &BroadcastRow) -> Option<Redacted<String>> {
        let text = self.parts.sms.vault().open(row.sealed.expose())?;
        String::from_utf8(text.0).ok().map(Redacted)
    }
}

fn page_task(row: &BroadcastRow, page: u32, now: Timestamp) -> TaskRow {
    let key = format!("{}:{page}", row.id);
    tasks::task(&row.tenant, PAGING, &key, None, Json::empty_object(), now)
}

/// Goes through the listeners of broadcasts.
#[derive(Debug)]
pub struct Paging {
    /// The broadcasts.
    pub broadcasts: Arc<Broadcasts>,
    /// Who knows the listeners.
    pub backend: Arc<dyn WaterBackend>,
    /// Where it is kept how far they came.
    pub writer: Writer,
}

impl Paging {
    /// How its tasks are tried.
    pub const fn policy() -> Policy {
        POLICY
    }

    async fn go_on(&self, task: &TaskRow) -> Result<&'static str, Outcome> {
        let Some((id, page)) = task.key.split_once(':') else { return Ok("no page") };
        let broadcasts = &self.broadcasts;
        let row = broadcasts.one(&task.tenant, id).await.map_err(|_| failed("the store"))?;
        let is_its = |row: &BroadcastRow| {
            row.state == BroadcastState::Running && page == row.page.to_string()
        };
        let Some(row) = row.filter(is_its) else { return Ok("it is past") };
        let whom = Whom::parse(&row.audience, row.site.as_deref());
        let (Some(Whom(audience)), Some(text)) = (whom, broadcasts.text(&row)) else {
            return Err(Outcome::Hopeless { cause: "it cannot be read".into() });
        };
        let after = row.cursor.as_deref();
        let listeners = match self.backend.audience(&row.tenant, &audience, after, PAGE).await {
            Ok(listeners) => listeners,
            Err(BackendError::Unsupported) => return Err(self.stop(&row).await),
            Err(error) => return Err(failed(error.code())),
        };
        let now = broadcasts.parts.clock.now().wall;
        let is_last = listeners.len() < PAGE;
        let mut operations = vec![Operation::Sms(SmsOperation::StepBroadcast {
            tenant: row.tenant.clone(),
            id: row.id.clone(),
            expect_page: Some(row.page),
            cursor: listeners.last().map(|listener| listener.id.clone()),
            listeners: listeners.len() as u64,
            state: if is_last { BroadcastState::Done } else { BroadcastState::Running },
            at: now,
        })];
        let draft = |(place, listener): (usize, crate::store::Listener)| Draft {
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
