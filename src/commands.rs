//! The desk of open commands: made durable, handed to sessions, waited for.
//!
//! The store keeps every command; the desk holds those that are not at their end, so that a
//! session finds its work without reading the store. A command belongs to its device and is handed
//! out in order of creation.

mod check;
mod seats;

use crate::clock::{Clock, SystemRandom};
use crate::lines::Lines;
use crate::registry::Registry;
use crate::store::{AuditEntry, Operation, OperationError, ReadError, Store, WriteError, Writer};
use dashmap::DashMap;
use jiff::{SignedDuration, Timestamp};
use model::{
    Command, CommandChange, CommandId, CommandKind, CommandState, DeviceId, Json, Protocol,
    Random as _, Tenant,
};
use seats::Seats;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Most commands that may wait for one device: what an operator has in mind at once, many times.
const OPEN_PER_DEVICE_MAX: usize = 100;
/// Most commands that may wait in all, some 1 KB of memory each with what they carry: one for every
/// other device of the largest fleet.
const OPEN_MAX: usize = 1_000_000;
/// How long a command waits for its device when the caller does not say.
const EXPIRES_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// How long a command may wait at most: a year.
const EXPIRES_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Most commands that are expired in one step.
const EXPIRE_STEP_MAX: usize = 500;

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
    #[error("the device has {OPEN_PER_DEVICE_MAX} open commands, or all devices {OPEN_MAX}")]
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

#[derive(Debug)]
struct Open {
    command: Command,
    changes: watch::Sender<Command>,
}

type Key = (Tenant, DeviceId);

/// The desk itself.
#[derive(Debug)]
pub struct Desk {
    writer: Writer,
    registry: Arc<Registry>,
    lines: Arc<Lines>,
    clock: Clock,
    store: StoreRef,
    open: DashMap<Key, Vec<Open>>,
    devices: DashMap<CommandId, Key>,
    seats: Seats,
    expiries: Mutex<BTreeSet<(Timestamp, CommandId)>>,
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
        Self {
            writer,
            registry,
            lines,
            clock,
            store: StoreRef(store),
            open: DashMap::new(),
            devices: DashMap::new(),
            seats: Seats::default(),
            expiries: Mutex::default(),
            wake,
            names: Names::default(),
        }
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

    /// Makes a command durable with its line in the audit trail, then known, then rings the device.
    ///
    /// With a `key` that was used before, nothing new is done: the answer is the command that was
    /// made under it, as it stands now.
    pub async fn submit(&self, request: NewCommand) -> Result<Command, SubmitError> {
        let NewCommand { tenant, device, kind, expires, actor, key } = request;
        if let Some(key) = &key
            && let Some(made) = self.made_under(&tenant, key).await?
        {
            return Ok(made);
        }
        check::kind(&kind, &device, self.registry.get(&tenant, &device).as_ref())?;
        let place = (tenant, device);
        let open = || self.open.get(&place).map_or(0, |open| open.len());
        let seat = self.seats.take(&place, open).ok_or(SubmitError::TooMany)?;
        let now = self.clock.now().wall;
        let expires = expires.unwrap_or(EXPIRES_DEFAULT).min(EXPIRES_MAX);
        let expires = SignedDuration::try_from(expires).unwrap_or(SignedDuration::ZERO);
        let (tenant, device) = place;
        let command = Command {
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
            retry: None,
            attempts: 0,
            retry_at: None,
        };
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

    async fn made_under(&self, tenant: &Tenant, key: &str) -> Result<Option<Command>, SubmitError> {
        let made = self.store.0.command_of_key(tenant, key).await;
        made.map_err(|_| SubmitError::Unreadable)
    }

    /// Withdraws a command that has not left yet.
    pub async fn cancel(
        &self,
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
        match self.writer.transact(operations).await {
            Ok(()) => {}
            Err(WriteError::Refused(OperationError::Conflict(_))) => {
                return Err(SubmitError::AtItsEnd);
            }
            Err(error) => return Err(error.into()),
        }
        self.apply(&change, at);
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

    /// The commands that a device may be handed now, in order.
    pub fn queued(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Command> {
        self.in_state(tenant, device, |command| command.state == CommandState::Queued)
    }

    /// Whether there is something for a device to do. Costs nothing when there is not.
    pub fn has_queued(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        !self.open.is_empty() && !self.queued(tenant, device).is_empty()
    }

    /// What becomes of commands that an earlier session of the device sent and could not say the end
    /// of, because there was no room to keep it. To be made durable before the device's new session
    /// is given work.
    pub fn stranded(&self, tenant: &Tenant, device: &DeviceId) -> Vec<CommandChange> {
        let sent = self.in_state(tenant, device, |command| command.state == CommandState::Sent);
        sent.iter().map(interrupted).collect()
    }

    /// What a device was told to do and has not been seen to end.
    pub fn outstanding(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Command> {
        self.in_state(tenant, device, |command| {
            matches!(
                command.state,
                CommandState::Sent | CommandState::Delivered | CommandState::Unknown
            )
        })
    }

    fn in_state(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        wanted: impl Fn(&Command) -> bool,
    ) -> Vec<Command> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let Some(open) = self.open.get(&(tenant.clone(), device.clone())) else {
            return Vec::new();
        };
        open.iter().map(|open| &open.command).filter(|command| wanted(command)).cloned().collect()
    }

    /// What is known of an open command.
    pub fn look_up(&self, id: &CommandId) -> Option<Command> {
        self.follow(id).map(|changes| changes.borrow().clone())
    }

    /// Takes over a change that is on disk.
    pub fn apply(&self, change: &CommandChange, at: Timestamp) {
        let Some(place) = self.devices.get(&change.id).map(|place| place.clone()) else { return };
        let Some(mut open) = self.open.get_mut(&place) else { return };
        let Some(index) = open.iter().position(|open| open.command.id == change.id) else { return };
        amend(&mut open[index].command, change, at);
        let command = open[index].command.clone();
        let ended = command.state.is_final(&command.kind);
        let expires_at = command.expires_at;
        open[index].changes.send_replace(command);
        if ended {
            open.remove(index);
            let empty = open.is_empty();
            drop(open);
            if empty {
                self.open.remove_if(&place, |_, open| open.is_empty());
            }
            if self.devices.remove(&change.id).is_some() {
                self.seats.free();
            }
            if let Some(at) = expires_at {
                self.expiries().remove(&(at, change.id.clone()));
            }
        }
    }

    /// Commands whose time is over, with the change that ends them.
    pub fn expired(&self, now: Timestamp) -> Vec<CommandChange> {
        let due: Vec<CommandId> = {
            let expiries = self.expiries();
            let due = expiries.iter().take_while(|(at, _)| *at <= now).take(EXPIRE_STEP_MAX);
            due.map(|(_, id)| id.clone()).collect()
        };
        let cause = |command: Command| match command.state {
            CommandState::Queued => "the device did not come for it in time",
            _ => "the device did not say what became of it in time",
        };
        let change = |id: CommandId| {
            let cause = self.look_up(&id).map(cause)?;
            Some(CommandChange::new(id, CommandState::Expired).because(cause))
        };
        due.into_iter().filter_map(change).collect()
    }

    /// How many commands are open.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    fn follow(&self, id: &CommandId) -> Option<watch::Receiver<Command>> {
        let place = self.devices.get(id)?.clone();
        let open = self.open.get(&place)?;
        open.iter().find(|open| open.command.id == *id).map(|open| open.changes.subscribe())
    }

    fn put(&self, command: Command) {
        let place = (command.tenant.clone(), command.device.clone());
        self.devices.insert(command.id.clone(), place.clone());
        if let Some(at) = command.expires_at {
            self.expiries().insert((at, command.id.clone()));
        }
        let (changes, _) = watch::channel(command.clone());
        self.open.entry(place).or_default().push(Open { command, changes });
    }

    fn ring(&self, tenant: &Tenant, device: &DeviceId) {
        if !self.lines.ring(tenant, device) && device.protocol() == Protocol::Cwmp {
            // A full channel means that the waker is busy: the next Inform brings the command.
            let _ = self.wake.try_send((tenant.clone(), device.clone()));
        }
    }

    fn expiries(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Timestamp, CommandId)>> {
        self.expiries.lock().unwrap_or_else(PoisonError::into_inner)
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
    if change.result.is_some() {
        command.result.clone_from(&change.result);
    }
}

fn audit(command: &Command, action: &str, actor: &str, time: Timestamp) -> Operation {
    #[derive(serde::Serialize)]
    struct Detail<'a> {
        device: &'a DeviceId,
        kind: &'a str,
    }
    Operation::Audit(AuditEntry {
        sequence: 0,
        tenant: command.tenant.clone(),
        time,
        actor: actor.into(),
        action: action.into(),
        subject: command.id.as_str().into(),
        detail: Json::of(&Detail { device: &command.device, kind: command.kind.as_str() }),
    })
}

/// Names commands in the order of their creation: ULIDs, of which a second in the same millisecond
/// is one more than the first.
#[derive(Debug, Default)]
struct Names(Mutex<u128>);

impl Names {
    fn next(&self, now: Timestamp) -> CommandId {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let mut random = [0; 16];
        SystemRandom.fill(&mut random);
        let fresh = ulid::Ulid::from_parts(millis, u128::from_ne_bytes(random)).0;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = fresh.max(last.saturating_add(1));
        let text = ulid::Ulid(*last).to_string();
        CommandId::new(&text).expect("a ULID is 26 letters and digits")
    }
}

#[cfg(test)]
mod tests;
