//! The desk of open commands: made durable, handed to sessions, waited for.
//!
//! The store keeps every command; the desk holds those that are not at their end, so that a
//! session finds its work without reading the store. A command belongs to its device and is handed
//! out in order of creation. One that waits for its next try, or for the device to say how a
//! transfer ended, does not hold up those behind it: an operator's other work must not wait for
//! hours because of it.

mod answers;
mod check;
mod limits;
mod metrics;
mod names;
mod open;
mod retry;
mod seats;
mod timers;

use crate::clock::Clock;
use crate::holds::Holds;
use crate::lines::Lines;
use crate::registry::Registry;
use crate::store::{Operation, OperationError, ReadError, Store, WriteError, Writer};
pub(crate) use answers::answer_topic;
use dashmap::DashMap;
use jiff::{SignedDuration, Timestamp};
pub use limits::Limits;
pub(crate) use metrics::Answered;
pub use metrics::Metrics;
use model::{Command, CommandChange, CommandId, CommandKind, CommandState, DeviceId, Json, Tenant};
use names::Names;
use open::Open;
use seats::Seats;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use timers::Timers;
use tokio::sync::mpsc;

/// How long a command waits for its device when the caller does not say.
const EXPIRES_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// How long a command may wait at most: a year.
const EXPIRES_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What someone asks for.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// Whose.
    pub tenant: Tenant,
    /// For which device.
    pub device: DeviceId,
    /// What to do.
    pub kind: CommandKind,
    /// How long it may wait; a week when not said, a year at most.
    pub expires: Option<Duration>,
    /// The first pause before another try where a failure may pass, or a board does not answer: a
    /// second to a day. When not said, such a failure is the end, and a message goes once.
    pub retry: Option<Duration>,
    /// Who asks.
    pub actor: Box<str>,
    /// What makes asking twice the same as asking once.
    pub key: Option<Box<str>>,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The registry does not know the device.
    #[error("there is no such device")]
    NoSuchDevice,
    /// Neither open nor in the store.
    #[error("there is no such command")]
    NoSuchCommand,
    /// A router is not published to, and a board has no parameters.
    #[error("a device of this protocol does not take this command")]
    WrongProtocol,
    /// It was sent or is at its end, so it cannot be withdrawn.
    #[error("the command is under way or at its end")]
    AtItsEnd,
    /// The device has as many open commands as it may, or all devices together have.
    #[error(
        "the device has as many open commands as it may (`commands.open_per_device_max`), or all \
         devices have (`commands.open_max`)"
    )]
    TooMany,
    /// Its content cannot be carried out.
    #[error("{0}")]
    Invalid(&'static str),
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] WriteError),
    /// The store could not be asked.
    #[error("the store cannot be read")]
    Unreadable,
}

type Key = (Tenant, DeviceId);

/// The desk itself.
#[derive(Debug)]
pub struct Desk {
    writer: Writer,
    registry: Arc<Registry>,
    lines: Arc<Lines>,
    /// What must not be written to.
    holds: Arc<Holds>,
    clock: Clock,
    store: StoreRef,
    open: DashMap<Key, Vec<Open>>,
    devices: DashMap<CommandId, Key>,
    limits: Limits,
    seats: Seats,
    expiries: Timers,
    /// When commands that wait for their next try may be sent.
    retries: Timers,
    /// Until when boards that have a command are given to answer.
    unanswered: Timers,
    /// How many open commands want an answer.
    awaited: AtomicUsize,
    metrics: Metrics,
    wake: mpsc::Sender<Key>,
    names: Names,
}

/// The store without a `Debug` of its own.
struct StoreRef(Arc<dyn Store>);

impl std::fmt::Debug for StoreRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Desk {
    /// An empty desk. Devices that have something to do and hold no connection are named on `wake`.
    pub fn new(
        store: Arc<dyn Store>,
        writer: Writer,
        registry: Arc<Registry>,
        lines: Arc<Lines>,
        clock: Clock,
        wake: mpsc::Sender<Key>,
    ) -> Self {
        let limits = Limits::default();
        Self {
            writer,
            registry,
            lines,
            holds: Arc::default(),
            clock,
            store: StoreRef(store),
            open: DashMap::new(),
            devices: DashMap::new(),
            limits,
            seats: Seats::new(&limits),
            expiries: Timers::default(),
            retries: Timers::default(),
            unanswered: Timers::default(),
            awaited: AtomicUsize::new(0),
            metrics: Metrics::unregistered(),
            wake,
            names: Names::default(),
        }
    }

    /// The same, which hands out no write that is held.
    #[must_use]
    pub fn with_holds(self, holds: Arc<Holds>) -> Self {
        Self { holds, ..self }
    }

    /// The same with other bounds than by default; counts in `metrics`. Before anything is on it.
    #[must_use]
    pub fn with_limits(self, limits: Limits, metrics: Metrics) -> Self {
        Self { limits, seats: Seats::new(&limits), metrics, ..self }
    }

    /// What must not be written to.
    #[must_use]
    pub fn holds(&self) -> &Arc<Holds> {
        &self.holds
    }

    /// Takes up where the last process left off: what was sent then is `unknown` now, or queued
    /// again where doing it twice is the same as doing it once.
    pub async fn load(&self) -> Result<(), LoadError> {
        for mut command in self.store.0.open_commands().await? {
            if command.state == CommandState::Sent {
                let change = interrupted(&command);
                let at = self.clock.now().wall;
                let operation = Operation::ChangeCommand { change: change.clone(), at };
                self.writer.transact(vec![operation]).await?;
                amend(&mut command, &change, at);
            }
            // However many there are: what was taken is carried out.
            self.seats.add();
            self.put(command);
        }
        Ok(())
    }

    /// Makes a command durable with its line in the audit trail, then known, then rings the device;
    /// to the end, also when the caller goes away.
    ///
    /// With a `key` that was used before, nothing new is done: the answer is the command that was
    /// made under it, as it stands now.
    pub async fn submit(self: &Arc<Self>, request: NewCommand) -> Result<Command, SubmitError> {
        if let Some(key) = &request.key
            && let Some(made) = self.made_under(&request.tenant, key).await?
        {
            return Ok(made);
        }
        let device = self.registry.get(&request.tenant, &request.device);
        check::request(&request, device.as_ref(), &self.limits)?;
        self.check_cancelled(&request)?;
        let desk = Arc::clone(self);
        to_its_end(async move { desk.make(request).await }).await
    }

    /// What a cancel names must be a transfer that the same device was told of.
    fn check_cancelled(&self, request: &NewCommand) -> Result<(), SubmitError> {
        let CommandKind::CancelTransfer { command } = &request.kind else { return Ok(()) };
        let place = |it: &Command| it.tenant == request.tenant && it.device == request.device;
        match self.look_up(command).filter(|it| place(it) && it.kind.is_transfer()) {
            Some(transfer) if transfer.state == CommandState::Queued => Err(SubmitError::Invalid(
                "the transfer has not left yet: withdraw its command instead",
            )),
            Some(_) => Ok(()),
            None => {
                Err(SubmitError::Invalid("`command` is no transfer that this device is making"))
            }
        }
    }

    async fn make(&self, request: NewCommand) -> Result<Command, SubmitError> {
        let key = request.key.clone();
        let place = (request.tenant.clone(), request.device.clone());
        let open = || self.open.get(&place).map_or(0, |open| open.len());
        let seat = self.seats.take(&place, open).ok_or(SubmitError::TooMany)?;
        let now = self.clock.now().wall;
        let command = self.new_command(request, now);
        let audit = audit(&command, "command.create", &command.actor, now);
        let create = Operation::CreateCommand { command: command.clone(), key: key.clone() };
        self.writer.transact(vec![create, audit]).await?;
        // Two that ask under one key at once: the second was left out.
        if let Some(key) = &key
            && let Some(made) = self.made_under(&command.tenant, key).await?
            && made.id != command.id
        {
            return Ok(made);
        }
        self.put(command.clone());
        seat.keep();
        self.ring(&command.tenant, &command.device);
        Ok(command)
    }

    fn new_command(&self, request: NewCommand, now: Timestamp) -> Command {
        let NewCommand { tenant, device, kind, expires, retry, actor, key: _ } = request;
        let expires = expires.unwrap_or(EXPIRES_DEFAULT).min(EXPIRES_MAX);
        let expires = SignedDuration::try_from(expires).unwrap_or(SignedDuration::ZERO);
        Command {
            id: self.names.next(now),
            tenant,
            device,
            kind,
            state: CommandState::Queued,
            cause: None,
            result: None,
            created_at: now,
            updated_at: now,
            expires_at: now.checked_add(expires).ok(),
            actor,
            retry,
            attempts: 0,
            retry_at: None,
        }
    }

    async fn made_under(&self, tenant: &Tenant, key: &str) -> Result<Option<Command>, SubmitError> {
        let made = self.store.0.command_of_key(tenant, key).await;
        made.map_err(|_| SubmitError::Unreadable)
    }

    /// Withdraws a command that has not left yet, or of which nobody knows whether it did; to the
    /// end, also when the caller goes away. What the device has is taken back by a command of its
    /// own: [`CommandKind::CancelTransfer`].
    pub async fn cancel(
        self: &Arc<Self>,
        tenant: &Tenant,
        id: &CommandId,
        actor: &str,
    ) -> Result<Command, SubmitError> {
        let command = self.command(tenant, id).await?;
        if !matches!(command.state, CommandState::Queued | CommandState::Unknown) {
            return Err(SubmitError::AtItsEnd);
        }
        let change = CommandChange::new(id.clone(), CommandState::Cancelled)
            .because(format!("withdrawn by {actor}"));
        let at = self.clock.now().wall;
        let operations = vec![
            Operation::ChangeCommand { change: change.clone(), at },
            audit(&command, "command.cancel", actor, at),
        ];
        let desk = Arc::clone(self);
        to_its_end(async move {
            match desk.writer.transact(operations).await {
                Ok(()) => desk.apply(&change, at),
                Err(WriteError::Refused(OperationError::Conflict(_))) => {
                    desk.refresh(&command).await;
                    return Err(SubmitError::AtItsEnd);
                }
                Err(error) => return Err(error.into()),
            }
            Ok(())
        })
        .await?;
        self.command(tenant, id).await
    }

    /// One command, from the desk or else from the store.
    pub async fn command(&self, tenant: &Tenant, id: &CommandId) -> Result<Command, SubmitError> {
        if let Some(open) = self.look_up(id).filter(|open| open.tenant == *tenant) {
            return Ok(open);
        }
        let stored = self.store.0.command(tenant, id).await;
        stored.map_err(|_| SubmitError::Unreadable)?.ok_or(SubmitError::NoSuchCommand)
    }

    /// Waits until the command is at its end, or for `wait`; says how it stands then.
    pub async fn wait(&self, command: &Command, wait: Duration) -> Command {
        let Some(mut changes) = self.follow(&command.id) else {
            let stored = self.command(&command.tenant, &command.id).await;
            return stored.unwrap_or_else(|_| command.clone());
        };
        let ended = changes.wait_for(|command| command.state.is_final(&command.kind));
        // Over time or at its end: what was seen last is how it stands.
        let _ = tokio::time::timeout(wait, ended).await.map(|last| last.map(|last| last.clone()));
        let last = changes.borrow();
        last.clone()
    }
}

/// Why the open commands could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They could not be read.
    #[error("failed to read the open commands")]
    Read(#[from] ReadError),
    /// What became of one could not be kept.
    #[error("failed to mark a command that was under way")]
    Write(#[from] WriteError),
}

/// What a command is that was sent by a session that is no more: queued again where doing it twice
/// is the same as doing it once, else not known until the device shows it.
fn interrupted(command: &Command) -> CommandChange {
    let (state, cause) = if command.kind.is_idempotent() {
        (CommandState::Queued, "interrupted while it was on its way")
    } else {
        (CommandState::Unknown, "interrupted before the device answered")
    };
    CommandChange::new(command.id.clone(), state).because(cause)
}

/// Brings a command to where `change` says it is.
fn amend(command: &mut Command, change: &CommandChange, at: Timestamp) {
    command.state = change.state;
    command.updated_at = at;
    command.cause.clone_from(&change.cause);
    command.retry_at = change.retry_at;
    if change.state == CommandState::Sent {
        command.attempts += 1;
    }
    if change.result.is_some() {
        command.result.clone_from(&change.result);
    }
}

/// Carries work to its end even when the caller goes away: what is on disk must be known, too.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, SubmitError>> + Send + 'static,
) -> Result<T, SubmitError> {
    // It fails only by a panic, which ends the process.
    tokio::spawn(work).await.unwrap_or(Err(SubmitError::Store(WriteError::Closed)))
}

fn audit(command: &Command, action: &str, actor: &str, time: Timestamp) -> Operation {
    #[derive(serde::Serialize)]
    struct Detail<'a> {
        device: &'a DeviceId,
        kind: &'a str,
    }
    let detail = Json::of(&Detail { device: &command.device, kind: command.kind.as_str() });
    Operation::audit(&command.tenant, time, actor, action, command.id.as_str(), detail)
}

#[cfg(test)]
mod tests;
