//! Sends texts: one task, one call.

use super::Sms;
use super::ledger::{Ledger, Moved};
use crate::clock::Clock;
use crate::outcall::{CallFault, OutAnswer, OutRequest, Outcall};
use crate::pipeline::Pipeline;
use crate::secrets::Vault;
use crate::store::{ReadError, SmsRow, SmsState, SmsStore, SmsWhich, TaskRow, WriteError, Writer};
use crate::tasks::{Handler, Outcome, Policy};
use ::sms::{Answer, Cause, Outcome as Said, Provider};
use async_trait::async_trait;
use jiff::SignedDuration;
use model::{DeviceId, Redacted};
use reqwest::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Calls under way at once: what is owed to others is not held up by a provider that is slow.
const CALLS_MAX: usize = 4;
/// Tasks that wait for one of these calls, beside those that have one.
const WAITING_MAX: usize = 8;
/// Texts of one task: as many as a batch may ever have had.
const BATCH_MAX: usize = 1_000;
/// The pause after a first failure.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// What a try needs beside its calls.
const MARGIN: Duration = Duration::from_secs(30);
/// Why a text is not sent any more that could not be sent in time.
const TOO_LATE: &str = "too_late";
/// Why a text is not sent to somebody who wants none.
const OPTED_OUT: &str = "opted_out";

/// How texts are sent.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// The provider's address, without a slash at its end.
    pub base_url: String,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// A text that could not be sent for so long is given up.
    pub send_within: Duration,
    /// Most receivers of one call.
    pub batch_max: usize,
    /// Where the provider shall say what became of a text, without a slash at its end; the text's tenant
    /// and name follow. `None` where it has that from somewhere else.
    pub notices: Option<Redacted<String>>,
}

/// What sending stands on.
pub struct SenderParts {
    /// What is read of texts.
    pub store: Arc<dyn SmsStore>,
    /// Where what became of them is kept.
    pub pipeline: Arc<Pipeline>,
    /// Where what nobody needs to know is kept.
    pub writer: Writer,
    /// Where they are asked for.
    pub sms: Arc<Sms>,
    /// Who carries them.
    pub provider: Arc<dyn Provider>,
    /// What calls him.
    pub outcall: Outcall,
    /// The time.
    pub clock: Clock,
}

/// Sends texts.
pub struct Sender {
    ledger: Ledger,
    provider: Arc<dyn Provider>,
    outcall: Outcall,
    options: SenderOptions,
    calls: Semaphore,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({:?})", self.provider.name())
    }
}

/// Why a try ended early; it is tried again.
enum Stop {
    /// Nothing came of a call, or of a part of it.
    Later { cause: &'static str, retry_after: Option<Duration> },
    /// Our own store.
    Store(&'static str),
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Store(match error {
            WriteError::Full => "the store is full",
            WriteError::Closed => "the store is closed",
            WriteError::Refused(_) => "a text was changed meanwhile",
        })
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "texts cannot be read");
        Self::Store("the store cannot be read")
    }
}

impl Sender {
    /// Over these parts.
    pub fn new(parts: SenderParts, options: SenderOptions) -> Arc<Self> {
        let SenderParts { store, pipeline, writer, sms, provider, outcall, clock } = parts;
        Arc::new(Self {
            ledger: Ledger { store, pipeline, writer, sms, clock },
            provider,
            outcall,
            options,
            calls: Semaphore::new(CALLS_MAX),
        })
    }

    /// How its tasks are tried. They outlast the time within which texts are sent: it is the texts that
    /// are given up.
    pub fn policy(&self) -> Policy {
        let rounds = u32::try_from(WAITING_MAX / CALLS_MAX).unwrap_or(u32::MAX) + 2;
        Policy {
            retry_min: RETRY_MIN,
            retry_max: RETRY_MAX,
            age_max: self.options.send_within.saturating_mul(2) + RETRY_MAX,
            lease: self.options.timeout.saturating_mul(rounds) + MARGIN,
        }
    }

    async fn send_batch(&self, task: &TaskRow) -> Result<usize, Stop> {
        let began = self.ledger.clock.now().monotonic;
        let which = SmsWhich::Batch(&task.tenant, &task.key);
        let rows = self.ledger.store.sms(which, BATCH_MAX).await?;
        let queued = self.take_up(rows).await?;
        let queued = self.without_those_who_want_none(queued).await?;
        let queued = self.without_those_too_late(queued, task.attempts > 0).await?;
        let texts = self.open(queued)?;
        let numbers_max = self.options.batch_max.min(self.provider.numbers_max()).max(1);
        let mut sent = 0;
        for alike in texts.chunk_by(|one, other| one.1.0 == other.1.0) {
            for chunk in alike.chunks(numbers_max) {
                // Another call would outlast the lease.
                let passed = self.ledger.clock.now().monotonic.since(began);
                if sent > 0 && passed > self.options.timeout + MARGIN {
                    let (cause, retry_after) = ("more are left to be sent", None);
                    return Err(Stop::Later { cause, retry_after });
                }
                self.send(chunk).await?;
                sent += chunk.len();
            }
        }
        Ok(sent)
    }

    /// Settles what an earlier try left: what was cut off while it was sent may have been sent, and what
    /// is known but was not told is told. What is left is to be sent.
    async fn take_up(&self, rows: Vec<SmsRow>) -> Result<Vec<SmsRow>, Stop> {
        let (mut queued, mut moved) = (Vec::new(), Vec::new());
        for row in rows {
            match row.state {
                SmsState::Queued => queued.push(row),
                SmsState::Sending => moved.push(Moved::to(row, SmsState::Unknown)),
                state if !row.is_told && state != SmsState::Unknown => {
                    moved.push(Moved::to(row, state));
                }
                _ => {}
            }
        }
        self.ledger.keep(moved).await?;
        Ok(queued)
    }

    async fn without_those_who_want_none(&self, rows: Vec<SmsRow>) -> Result<Vec<SmsRow>, Stop> {
        let asked: Vec<_> = rows.iter().filter(|row| !row.kind.is_answer()).collect();
        let Some(first) = asked.first() else { return Ok(rows) };
        let numbers: Vec<DeviceId> = asked.iter().map(|row| row.to.clone()).collect();
        let opted_out = self.ledger.store.opted_out(&first.tenant, &numbers).await?;
        let (gone, rows): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| !row.kind.is_answer() && opted_out.contains(&row.to));
        self.give_up(gone, OPTED_OUT).await?;
        Ok(rows)
    }

    /// The first try is never too late, however long we were down.
    async fn without_those_too_late(
        &self,
        rows: Vec<SmsRow>,
        was_tried: bool,
    ) -> Result<Vec<SmsRow>, Stop> {
        let within = SignedDuration::try_from(self.options.send_within);
        let within = within.unwrap_or(SignedDuration::MAX);
        let now = self.ledger.clock.now().wall;
        let is_late = |row: &SmsRow| was_tried && now.duration_since(row.made_at) > within;
        let (gone, rows) = rows.into_iter().partition(is_late);
        self.give_up(gone, TOO_LATE).await?;
        Ok(rows)
    }

    async fn give_up(&self, rows: Vec<SmsRow>, cause: &'static str) -> Result<(), Stop> {
        let moved = rows.into_iter().map(|row| Moved::failed(row, cause)).collect();
        Ok(self.ledger.keep(moved).await?)
    }

    fn open(&self, rows: Vec<SmsRow>) -> Result<Vec<(SmsRow, Redacted<String>)>, Stop> {
        let vault: &Vault = self.ledger.sms.vault();
        let open = |row: SmsRow| {
            let text = vault.open_text(row.sealed.expose())?;
            Some((row, text))
        };
        let opened: Option<Vec<_>> = rows.into_iter().map(open).collect();
        opened.ok_or(Stop::Store("a text was sealed with another key"))
    }

    /// One call: that it is made is on disk before it is, what came of it afterwards.
    async fn send(&self, chunk: &[(SmsRow, Redacted<String>)]) -> Result<(), Stop> {
        let Some((first, text)) = chunk.first() else { return Ok(()) };
        let numbers: Vec<&str> = chunk.iter().map(|(row, _)| number(&row.to)).collect();
        let notices = self
            .options
            .notices
            .as_ref()
            .map(|base| Redacted(format!("{}/{}/{}", base.expose(), first.tenant, first.id)));
        let notices = notices.as_ref().map(|it| it.expose().as_str());
        let call = self.provider.call(text.expose(), &numbers, notices);
        let url = format!("{}{}", self.options.base_url, call.path.expose());
        let request = OutRequest {
            headers: call.headers,
            body: Redacted(call.body.0.into_bytes()),
            ..OutRequest::new(Method::POST, url)
        };
        let Ok(_turn) = self.calls.acquire().await else {
            return Err(Stop::Store("nothing is sent any more"));
        };
        let sending = |(row, _): &(SmsRow, _)| Moved::to(row.clone(), SmsState::Sending);
        let sending: Vec<Moved> = chunk.iter().map(sending).collect();
        self.ledger.step(&sending).await?;
        let rows = sending.into_iter().map(|it| SmsRow { state: SmsState::Sending, ..it.row });
        let answer = self.outcall.call(request).await;
        self.answered(rows.collect(), answer, &numbers).await
    }

    async fn answered(
        &self,
        rows: Vec<SmsRow>,
        answer: Result<OutAnswer, CallFault>,
        numbers: &[&str],
    ) -> Result<(), Stop> {
        let retry_after = answer.as_ref().ok().and_then(|answer| answer.retry_after);
        let (word, said) = match &answer {
            Err(fault @ CallFault::NotSent) => (fault.code(), None),
            Err(fault @ CallFault::Unknown(_)) => {
                (fault.code(), Some(vec![Said::Unknown; rows.len()]))
            }
            Ok(answer) => match self.provider.read(answer.status, answer.body.expose(), numbers) {
                Answer::NotTaken(cause) => (cause.as_str(), None),
                Answer::Each(each) => ("answered", Some(each)),
            },
        };
        self.ledger.sms.metrics().called(word);
        let Some(each) = said else {
            self.put_back(rows).await?;
            return Err(Stop::Later { cause: word, retry_after });
        };
        let (mut moved, mut back, mut later) = (Vec::new(), Vec::new(), None::<Cause>);
        for (row, said) in rows.into_iter().zip(each) {
            match said {
                Said::Taken { id } => {
                    moved.push(Moved { provider_id: id, ..Moved::to(row, SmsState::Sent) });
                }
                Said::Refused(cause) => moved.push(Moved::failed(row, cause.as_str())),
                Said::Unknown => moved.push(Moved::to(row, SmsState::Unknown)),
                Said::Later(cause) => {
                    later = Some(cause);
                    back.push(row);
                }
            }
        }
        let kept = self.ledger.keep(moved).await;
        self.put_back(back).await?;
        kept?;
        match later {
            Some(cause) => Err(Stop::Later { cause: cause.as_str(), retry_after }),
            None => Ok(()),
        }
    }

    /// Nothing came of it: it may be sent again.
    async fn put_back(&self, rows: Vec<SmsRow>) -> Result<(), Stop> {
        let back: Vec<_> = rows.into_iter().map(|it| Moved::to(it, SmsState::Queued)).collect();
        Ok(self.ledger.step(&back).await?)
    }
}

/// The number of a phone; a provider refuses what is none.
fn number(phone: &DeviceId) -> &str {
    phone.number().unwrap_or(phone.as_str())
}

#[async_trait]
impl Handler for Sender {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        match self.send_batch(task).await {
            Ok(sent) => Outcome::Done { answer: format!("{sent} given to the provider").into() },
            Err(Stop::Later { cause, retry_after }) => {
                Outcome::Failed { cause: cause.into(), retry_after }
            }
            Err(Stop::Store(cause)) => Outcome::Failed { cause: cause.into(), retry_after: None },
        }
    }

    fn at_once(&self) -> usize {
        CALLS_MAX + WAITING_MAX
    }
}
