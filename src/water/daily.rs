//! Once a day: who is reminded that his subscription ends, and who is told that it has ended.
//!
//! What is due is said by the customers themselves, not by the run: a day that was missed is made up
//! for by the next run, and a run that comes twice finds nothing to do. The run is a task; the next
//! one is made in the transaction that ends the day. None is made while the calendar is not believed
//! ([`calendar`](super::calendar)).

use super::backend::{BackendError, Change, Effect};
use super::hub::CALLING;
use super::purse::Message;
use super::{DAY_SHOWN, Water, event, record, texts};
use crate::payments::Outcome as Kept;
use crate::shutdown::Stage;
use crate::store::{
    CustomerBy, Operation, ReadError, SmsKind, Store, TaskChange, TaskRow, TaskStep,
    Tasks as Which, WATER_CHANGED, WaterOperation,
};
use crate::tasks::{self, Handler, Outcome, Policy};
use ::backend::water::{Action, Customer, CustomerChange, Deadline, Item, RecordStatus, deadline};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use model::{EventType, Json, Tenant};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info};

/// The kind of the daily task, and the job's name.
pub const DAILY: &str = "water.daily";

/// Customers that are read in one step.
const PAGE_ROWS: usize = 500;
/// Customers that are changed at once, each in a transaction of its own: they share their commits.
const AT_ONCE: usize = 16;
/// How often it is seen to that the job will run.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// How long a run waits that finds the calendar ahead, or another run under way.
const POSTPONED_BY: Duration = Duration::from_secs(900);
/// By how much a waiting run may be later than it should be: one that is later was made by a calendar
/// that was ahead.
const LATE_MAX: SignedDuration = SignedDuration::from_hours(48);

/// Why a run is not made now.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another one is under way.
    #[error("another run is under way")]
    UnderWay,
    /// The calendar is ahead of what can be believed, by so much.
    #[error("the clock is {0:#} ahead of what can be believed")]
    Ahead(SignedDuration),
    /// It cannot be said which day it was run on last.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A run that may be made: of each tenant one at a time.
#[derive(Debug)]
pub struct Run {
    water: Arc<Water>,
    tenant: Tenant,
}

impl Run {
    /// Looks at everybody to whom something is due today.
    ///
    /// # Errors
    ///
    /// Customers cannot be read; those before were looked at.
    pub async fn carry_out(self) -> Result<DailyReport, BackendError> {
        self.water.daily(&self.tenant, self.water.today()).await
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.water.running.lock().remove(&self.tenant);
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct DailyReport {
    /// For which day.
    pub day: Date,
    /// How many were reminded.
    pub reminded: u64,
    /// Whose subscriptions ended.
    pub expired: u64,
    /// Of how many that could not be kept: they are looked at again.
    pub failed: u64,
    /// Whether whoever keeps the customers cannot say whose subscriptions end: then nothing was done.
    pub unsupported: bool,
}

/// How the daily task is tried: it is never given up, since the next one is made by it.
pub const fn policy() -> Policy {
    Policy {
        retry_min: Duration::from_secs(60),
        retry_max: POSTPONED_BY,
        age_max: Duration::from_secs(86_400 * 3_650),
        lease: Duration::from_secs(3_600),
    }
}

/// What became of one customer.
enum Looked {
    Reminded,
    Expired,
    /// Somebody else changed him meanwhile: he paid, or another run was there before.
    Passed,
    Failed,
}

impl Water {
    /// A run of the daily job, which may be made now. `believes_clock` says that the calendar is right.
    ///
    /// # Errors
    ///
    /// Another one is under way, or the calendar is not believed.
    pub async fn run(
        self: &Arc<Self>,
        tenant: &Tenant,
        believes_clock: bool,
    ) -> Result<Run, RunError> {
        if !self.running.lock().insert(tenant.clone()) {
            return Err(RunError::UnderWay);
        }
        let run = Run { water: Arc::clone(self), tenant: tenant.clone() };
        if believes_clock {
            self.believe_clock();
        }
        match self.ahead().await.map_err(BackendError::from)? {
            Some(ahead) => Err(RunError::Ahead(ahead)),
            None => Ok(run),
        }
    }

    /// Looks at everybody to whom something is due on that day.
    ///
    /// # Errors
    ///
    /// Customers cannot be read; those before were looked at.
    pub(super) async fn daily(
        &self,
        tenant: &Tenant,
        day: Date,
    ) -> Result<DailyReport, BackendError> {
        let mut report =
            DailyReport { day, reminded: 0, expired: 0, failed: 0, unsupported: false };
        let until = self.options.service.horizon(day);
        let mut after: Option<Box<str>> = None;
        loop {
            let backend = &self.parts.backend;
            let page = match backend.due(tenant, until, after.as_deref(), PAGE_ROWS).await {
                Err(BackendError::Unsupported) => {
                    report.unsupported = true;
                    break;
                }
                page => page?,
            };
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let all = page.into_iter().map(|customer| self.look_at(tenant, customer, day));
            let mut all = futures_util::stream::iter(all).buffer_unordered(AT_ONCE);
            while let Some(looked) = all.next().await {
                match looked {
                    Looked::Reminded => report.reminded += 1,
                    Looked::Expired => report.expired += 1,
                    Looked::Failed => report.failed += 1,
                    Looked::Passed => {}
                }
            }
        }
        let outcome = match (report.unsupported, report.failed) {
            (true, _) => "unsupported",
            (false, 0) => "done",
            (false, _) => "failed",
        };
        self.parts.metrics.ran(outcome);
        info!(%day, reminded = report.reminded, expired = report.expired, failed = report.failed,
            "the water service's daily job ran");
        Ok(report)
    }

    async fn look_at(&self, tenant: &Tenant, customer: Customer, day: Date) -> Looked {
        let (looked, effect) = match deadline(&customer, day, &self.options.service) {
            Deadline::None => return Looked::Passed,
            Deadline::Remind { days } => {
                (Looked::Reminded, self.reminding(tenant, &customer, days).await)
            }
            Deadline::Expire => (Looked::Expired, self.expiring(tenant, &customer, day).await),
        };
        let done = match effect {
            // The business is told until it has it: whoever lost its answer would find nothing due the
            // next time, and the customer would never be told.
            Ok(effect) if self.parts.backend.is_elsewhere() => {
                match self.keep_here(effect, &customer).await {
                    Ok(false) => return Looked::Passed,
                    kept => kept.map(|_| ()),
                }
            }
            Ok(effect) => {
                let done = self.parts.backend.carry_out(effect).await;
                done.map(|operations| self.committed(&operations))
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => looked,
            Err(error) if error.is_conflict(WATER_CHANGED) => Looked::Passed,
            Err(error) => {
                error!(customer = &*customer.id, %error, "a customer's day is not kept");
                Looked::Failed
            }
        }
    }

    /// Keeps what is due to a customer of the business's, which is told of it by tasks. Says whether it
    /// was: what an earlier run kept may not have come to the business yet.
    async fn keep_here(&self, effect: Effect, seen: &Customer) -> Result<bool, BackendError> {
        // Two runs may come to him at once.
        let _turn = self.turns.of_code(&effect.tenant, &seen.id).await;
        // He may have paid since the page was read, and his new code must not be said to have ended.
        let by = CustomerBy::Id(seen.id.clone());
        let now = self.parts.backend.customer(&effect.tenant, &by).await?;
        if now.is_none_or(|now| (now.expires_on, now.is_valid) != (seen.expires_on, seen.is_valid))
        {
            return Ok(false);
        }
        if self.parts.store.task_keyed(&effect.tenant, CALLING, &effect.key).await?.is_some() {
            return Ok(false);
        }
        let at = effect.at;
        let Kept { events, operations } = self.outcome(effect, at);
        self.parts.pipeline.keep(events, operations.clone()).await?;
        self.committed(&operations);
        Ok(true)
    }

    /// An effect on a customer whose subscription ends on a day: that day and he are its key.
    fn effect_at(&self, tenant: &Tenant, customer: &Customer, what: &str) -> Effect {
        Effect {
            tenant: tenant.clone(),
            key: format!("{what}:{}:{}", customer.id, customer.expires_on).into(),
            at: self.now(),
            changes: Vec::new(),
            events: Vec::new(),
            before: Vec::new(),
            operations: Vec::new(),
        }
    }

    async fn reminding(
        &self,
        tenant: &Tenant,
        customer: &Customer,
        days: u16,
    ) -> Result<Effect, BackendError> {
        let site = self.site_of(tenant, customer).await?;
        let mut effect = self.effect_at(tenant, customer, "reminder");
        let expiry = customer.expires_on;
        let change = CustomerChange::Reminded { expiry };
        effect.changes.push(Change::Update { id: customer.id.clone(), change });
        let data = json!({ "customer": customer.id, "site": customer.site, "expires_on": expiry });
        let kind = EventType::SUBSCRIPTION_REMINDED;
        effect.events.push(event(tenant, customer, kind, effect.at, &data));
        let message = Message {
            kind: SmsKind::Reminder,
            action: Action::ReminderMessage,
            phrases: &[texts::REMINDER],
            values: &[
                ("name", customer.first_name.as_str()),
                ("site", site.as_ref().map_or("", |site| &site.name)),
                ("expires", &expiry.strftime(DAY_SHOWN).to_string()),
                ("days", &days.to_string()),
            ],
            key: effect.key.clone(),
        };
        self.tell(&mut effect, (customer, site.as_ref()), message);
        Ok(effect)
    }

    async fn expiring(
        &self,
        tenant: &Tenant,
        customer: &Customer,
        today: Date,
    ) -> Result<Effect, BackendError> {
        let site = self.site_of(tenant, customer).await?;
        let mut effect = self.effect_at(tenant, customer, "expiry");
        let person = (customer, site.as_ref());
        let change = CustomerChange::Expire { today };
        effect.changes.push(Change::Update { id: customer.id.clone(), change });
        let (action, status) = (Action::Unsubscription, RecordStatus::Success);
        let key = format!("{}:unsubscription", effect.key).into();
        let nothing = (0, Item::Nothing);
        effect.changes.push(record(person, key, action, status, nothing, effect.at));
        let data = json!({ "customer": customer.id, "site": customer.site,
            "expires_on": customer.expires_on });
        let kind = EventType::SUBSCRIPTION_EXPIRED;
        effect.events.push(event(tenant, customer, kind, effect.at, &data));
        let message = Message {
            kind: SmsKind::Unsubscription,
            action: Action::UnsubscriptionMessage,
            phrases: &[texts::EXPIRED],
            values: &[
                ("name", customer.first_name.as_str()),
                ("site", site.as_ref().map_or("", |site| &site.name)),
            ],
            key: effect.key.clone(),
        };
        self.tell(&mut effect, person, message);
        Ok(effect)
    }

    /// When the job runs on a day.
    pub(super) fn run_at(&self, day: Date) -> Timestamp {
        let at = day.to_datetime(self.options.daily_at);
        let at = at.to_zoned(self.options.zone.clone());
        at.map_or(Timestamp::MAX, |at| at.timestamp())
    }

    /// The task for the first run that is due and was not made: today's, or tomorrow's. `cause` makes its
    /// key another than that of every other task for that day.
    async fn next_run(
        &self,
        tenant: &Tenant,
        now: Timestamp,
        cause: &str,
    ) -> Result<TaskRow, ReadError> {
        let today = self.day_of(now);
        let is_done = self.parts.store.is_done(tenant, DAILY, today).await?;
        Ok(self.run_on(tenant, if is_done { next_day(today) } else { today }, now, cause))
    }

    fn run_on(&self, tenant: &Tenant, day: Date, now: Timestamp, cause: &str) -> TaskRow {
        let key = format!("{day}:{cause}");
        let made = tasks::task(tenant, DAILY, &key, None, Json::empty_object(), now);
        TaskRow { due_at: self.run_at(day).max(now), ..made }
    }

    /// Sees to it that the daily job runs, until the stage stops.
    pub async fn keep_house(self: Arc<Self>, store: Arc<dyn Store>, stage: Stage) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stage.stop().cancelled() => return,
                _ = look.tick() => {}
            }
            for tenant in &self.options.tenants {
                if let Err(error) = self.begin(store.as_ref(), tenant).await {
                    error!(%error, "the water service's daily job is not set; tried again");
                }
            }
        }
    }

    /// Makes the daily task where none waits: at the first start, after an operator removed it, and where
    /// it was put off to a day of a calendar that was ahead.
    pub async fn begin(&self, store: &dyn Store, tenant: &Tenant) -> Result<(), BackendError> {
        self.ahead().await?;
        let now = self.now();
        let cause = format!("start-{}", now.as_millisecond());
        let first = self.next_run(tenant, now, &cause).await?;
        let which = Which::OfKind { tenant: tenant.clone(), kind: DAILY.into() };
        let waiting = store.tasks(&which, PAGE_ROWS).await?;
        let due_by = first.due_at.checked_add(LATE_MAX).unwrap_or(Timestamp::MAX);
        // The next one is made by the run that is under way.
        let is_running = self.running.lock().contains(tenant);
        if is_running || waiting.iter().any(|row| row.due_at <= due_by) {
            return Ok(());
        }
        let removed = waiting.into_iter().map(|row| {
            let (tenant, id, step) = (tenant.clone(), row.id, TaskStep::Remove);
            Operation::ChangeTask(TaskChange { tenant, id, at: now, step })
        });
        let operations: Vec<_> = removed.chain([Operation::PutTask(first)]).collect();
        self.keep(operations.clone()).await?;
        self.committed(&operations);
        Ok(())
    }

    /// Runs the job for today, unless it ran, and makes the next task in the transaction that ends the
    /// day.
    async fn run_task(self: &Arc<Self>, task: &TaskRow) -> Result<Outcome, BackendError> {
        let tenant = &task.tenant;
        let _run = match self.run(tenant, false).await {
            Ok(run) => run,
            Err(RunError::Backend(error)) => return Err(error),
            Err(error @ (RunError::UnderWay | RunError::Ahead(_))) => {
                self.parts.metrics.ran("postponed");
                let (cause, retry_after) = (error.to_string().into(), Some(POSTPONED_BY));
                return Ok(Outcome::Failed { cause, retry_after });
            }
        };
        let now = self.now();
        let today = self.day_of(now);
        let is_done = self.parts.store.is_done(tenant, DAILY, today).await?;
        let is_early = now < self.run_at(today);
        let mut operations = Vec::new();
        let answer = match (is_done, is_early) {
            // The clock was set back.
            (true, _) => "done before",
            (false, true) => "too early",
            (false, false) => {
                let report = self.daily(tenant, today).await?;
                if report.failed > 0 {
                    let cause = format!("{} customers were not kept", report.failed).into();
                    return Ok(Outcome::Failed { cause, retry_after: None });
                }
                let (tenant, job) = (tenant.clone(), DAILY);
                let end = WaterOperation::EndDay { tenant, job, day: today };
                operations.push(Operation::Water(end));
                if report.unsupported { "unsupported" } else { "done" }
            }
        };
        let day = if is_early && !is_done { today } else { next_day(today) };
        operations.push(Operation::PutTask(self.run_on(tenant, day, now, &task.id)));
        self.keep(operations.clone()).await?;
        self.committed(&operations);
        Ok(Outcome::Done { answer: answer.into() })
    }
}

pub(super) fn next_day(day: Date) -> Date {
    day.tomorrow().unwrap_or(Date::MAX)
}

/// Carries out the daily task.
pub struct Daily(pub Arc<Water>);

#[async_trait]
impl Handler for Daily {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        match self.0.run_task(task).await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.0.parts.metrics.ran("failed");
                Outcome::Failed { cause: error.code().into(), retry_after: None }
            }
        }
    }
}
