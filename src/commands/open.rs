//! What is on the desk: found, handed out, moved on, taken off.

use super::check::board;
use super::retry::{self, awaits_answer};
use super::timers::Timers;
use super::{Desk, Key, amend, interrupted};
use crate::holds;
use jiff::Timestamp;
use model::{
    Command, CommandChange, CommandId, CommandKind, CommandState, DeviceId, Protocol, Tenant,
};
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tracing::debug;

/// Why a command is sent again, or given up, that a board was to answer.
const UNANSWERED: &str = "the board did not answer in time";

/// A command that is not at its end, and who waits for that.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) command: Command,
    changes: watch::Sender<Command>,
}

impl Desk {
    /// The commands that a device may be handed now, in order; without those that wait for their
    /// next try, and without writes while they are held.
    pub fn queued(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Command> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let is_held = self.is_held(tenant, device);
        let may = |command: &Command| {
            self.may_be_sent(command) && !(is_held && holds::is_write(&command.kind))
        };
        self.in_state(tenant, device, may)
    }

    /// Whether nothing may be written to a device now.
    pub fn is_held(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        self.holds.holds(&self.registry, tenant, device)
    }

    /// Whether a command waits because nothing may be written to its device.
    pub fn holds_back(&self, command: &Command) -> bool {
        command.state == CommandState::Queued
            && self.holds.stands()
            && holds::is_write(&command.kind)
            && self.is_held(&command.tenant, &command.device)
    }

    /// Devices for which there is something to be written.
    pub fn with_writes(&self) -> Vec<(Tenant, DeviceId)> {
        let waits =
            |open: &Open| self.may_be_sent(&open.command) && holds::is_write(&open.command.kind);
        let waiting = self.open.iter().filter(|open| open.value().iter().any(waits));
        waiting.map(|open| open.key().clone()).collect()
    }

    fn may_be_sent(&self, command: &Command) -> bool {
        let is_due = |at| at <= self.clock.now().wall;
        command.state == CommandState::Queued && command.retry_at.is_none_or(is_due)
    }

    /// Whether there is something for a device to do. Costs nothing when there is not.
    pub fn has_queued(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let is_held = self.is_held(tenant, device);
        let may = |command: &Command| {
            self.may_be_sent(command) && !(is_held && holds::is_write(&command.kind))
        };
        let open = self.open.get(&(tenant.clone(), device.clone()));
        open.is_some_and(|open| open.iter().any(|open| may(&open.command)))
    }

    /// Whether a command that has not ended has the device fetch or send a file: while it does, it is
    /// given no other.
    pub fn has_transfer(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        let open = self.open.get(&(tenant.clone(), device.clone()));
        let is_one = |kind: &CommandKind| {
            kind.is_transfer() || matches!(kind, CommandKind::ChangeDuState { .. })
        };
        open.is_some_and(|open| open.iter().any(|open| is_one(&open.command.kind)))
    }

    /// What becomes of commands that an earlier session of the device sent and could not say the end
    /// of, because there was no room to keep it. To be made durable before the device's new session
    /// is given work.
    pub fn stranded(&self, tenant: &Tenant, device: &DeviceId) -> Vec<CommandChange> {
        let sent = self.in_state(tenant, device, |command| command.state == CommandState::Sent);
        sent.iter().map(interrupted).collect()
    }

    /// Commands of any kind that left, and of which the device has not shown what became: what its
    /// next Inform or a later message may tell. In order.
    pub fn outstanding(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Command> {
        let is_under_way = |command: &Command| {
            matches!(
                command.state,
                CommandState::Sent | CommandState::Delivered | CommandState::Unknown
            )
        };
        self.in_state(tenant, device, is_under_way)
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
        self.amend_open(&change.id, |command| amend(command, change, at));
    }

    /// Takes over how a command stands in the store, where that is not how it stands here: what is
    /// at its end there, or gone, is not handed out again.
    pub(crate) async fn refresh(&self, command: &Command) {
        match self.store.0.command(&command.tenant, &command.id).await {
            Ok(Some(stored)) if stored.state.is_final(&stored.kind) => {
                self.amend_open(&command.id, |open| *open = stored);
            }
            // What is open there is moved on by whoever wrote it.
            Ok(Some(_)) => {}
            Ok(None) => self.amend_open(&command.id, |open| {
                open.state = CommandState::Failed;
                open.cause = Some("the store has lost it".into());
            }),
            Err(error) => debug!(command = %command.id, %error, "command not read again"),
        }
    }

    fn amend_open(&self, id: &CommandId, amend: impl FnOnce(&mut Command)) {
        let Some(place) = self.devices.get(id).map(|place| place.clone()) else { return };
        let Some(mut open) = self.open.get_mut(&place) else { return };
        let Some(index) = open.iter().position(|open| open.command.id == *id) else { return };
        let waited = &open[index].command;
        self.timers_of(waited).clear(waited.retry_at, id);
        amend(&mut open[index].command);
        let command = open[index].command.clone();
        let ended = command.state.is_final(&command.kind);
        let expires_at = command.expires_at;
        let is_awaited = awaits_answer(&command.kind);
        if !ended {
            self.timers_of(&command).set(command.retry_at, id);
        }
        open[index].changes.send_replace(command);
        if !ended {
            return;
        }
        open.remove(index);
        let empty = open.is_empty();
        drop(open);
        if empty {
            self.open.remove_if(&place, |_, open| open.is_empty());
        }
        if self.devices.remove(id).is_some() {
            self.seats.free();
            if is_awaited {
                self.awaited.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.expiries.clear(expires_at, id);
    }

    /// Where it stands until when a command waits: for its next try, or for its answer.
    fn timers_of(&self, command: &Command) -> &Timers {
        if command.state == CommandState::Delivered { &self.unanswered } else { &self.retries }
    }

    /// What becomes of a command by `change`: what is to be sent again is, as often as it may be.
    pub(crate) fn settled(
        &self,
        command: &Command,
        change: CommandChange,
        now: Timestamp,
    ) -> CommandChange {
        retry::settled(command, change, self.limits.attempts_max, now)
    }

    /// Commands which a board has and has not answered in time, with the change that has them sent
    /// again. To be made durable before [`Desk::ring_due`].
    pub fn unanswered(&self, now: Timestamp) -> Vec<CommandChange> {
        let again = |id| CommandChange::new(id, CommandState::Queued).because(UNANSWERED);
        let due = self.unanswered.due(now).into_iter();
        due.map(|id| again(id).not_before(now)).collect()
    }

    /// Whether a message may be sent to a device on that topic.
    pub(crate) fn takes_topic(&self, tenant: &Tenant, device: &DeviceId, topic: &str) -> bool {
        let known = self.registry.get(tenant, device);
        known.is_some_and(|it| board::is_below(topic, device, &it, &self.limits))
    }

    /// Commands whose time is over, with the change that ends them.
    pub fn expired(&self, now: Timestamp) -> Vec<CommandChange> {
        let cause = |command: Command| match command.state {
            CommandState::Queued | CommandState::Delivered
                if awaits_answer(&command.kind) && command.attempts > 0 =>
            {
                UNANSWERED
            }
            CommandState::Queued if command.attempts > 0 => "no try succeeded in time",
            CommandState::Queued => "the device did not come for it in time",
            _ => "the device did not say what became of it in time",
        };
        let change = |id: CommandId| {
            let cause = self.look_up(&id).map(cause)?;
            Some(CommandChange::new(id, CommandState::Expired).because(cause))
        };
        self.expiries.due(now).into_iter().filter_map(change).collect()
    }

    /// Rings the devices of commands whose next try is due.
    pub fn ring_due(&self, now: Timestamp) {
        for id in self.retries.take_due(now) {
            let place = self.devices.get(&id).map(|place| place.clone());
            if let Some((tenant, device)) = place {
                self.ring(&tenant, &device);
            }
        }
    }

    /// How many commands are open.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    pub(super) fn follow(&self, id: &CommandId) -> Option<watch::Receiver<Command>> {
        let place = self.devices.get(id)?.clone();
        let open = self.open.get(&place)?;
        open.iter().find(|open| open.command.id == *id).map(|open| open.changes.subscribe())
    }

    pub(super) fn put(&self, command: Command) {
        let place: Key = (command.tenant.clone(), command.device.clone());
        self.devices.insert(command.id.clone(), place.clone());
        self.expiries.set(command.expires_at, &command.id);
        self.timers_of(&command).set(command.retry_at, &command.id);
        if awaits_answer(&command.kind) {
            self.awaited.fetch_add(1, Ordering::Relaxed);
        }
        let (changes, _) = watch::channel(command.clone());
        self.open.entry(place).or_default().push(Open { command, changes });
    }

    /// Has a device come for what there is to do.
    pub fn ring(&self, tenant: &Tenant, device: &DeviceId) {
        if !self.lines.ring(tenant, device) && device.protocol() == Protocol::Cwmp {
            // A full channel means that the waker is busy: the next Inform brings the command.
            let _ = self.wake.try_send((tenant.clone(), device.clone()));
        }
    }
}
