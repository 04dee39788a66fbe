//! The only crossing between devices and the rest: append, apply, decide.
//!
//! Facts are durable before they are known, and known before anything is decided from them. A
//! device is answered only after the first step.

use crate::boards::{self, Boards, Followed, Received, Sender, TRIES_MAX};
use crate::clock::Clock;
use crate::commands::{Answered, Desk};
use crate::exchange::Exchange;
use crate::presence::Presence;
use crate::provisioner;
use crate::registry::Registry;
use crate::store::{
    Kept, MqttAbsenceRow, MqttChange, Operation, OperationError, Room, WriteError, Writer,
};
use crate::upgrades::Upgrades;
use model::{
    Command, CommandChange, CommandState, DeviceFacts, DeviceId, Event, EventType, Fact, Json,
    Settlement, Tenant,
};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use tracing::{debug, error};

/// Most boards that are told of in one write.
const ABSENCES_STEP_MAX: usize = 1_000;

/// The crossing. One for the daemon, shared by every listener.
#[derive(Debug)]
pub struct Pipeline {
    writer: Writer,
    registry: Arc<Registry>,
    desk: Arc<Desk>,
    exchange: Option<Arc<Exchange>>,
    presence: Presence,
    boards: Option<Arc<Boards>>,
    /// Who answers boards that ask for firmware; it works with this crossing, too.
    upgrades: OnceLock<Weak<Upgrades>>,
    clock: Clock,
}

/// What became of facts that were recorded together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// The same of all: so it is with events, which most facts are.
    Alike(Settlement),
    /// Of each its own, in the order of the facts; behind them that of the operations.
    Each(Vec<Settlement>),
}

impl Recorded {
    /// What became of the fact at that place; one that was never there counts as refused.
    pub fn of(&self, place: usize) -> Settlement {
        match self {
            Self::Alike(settlement) => *settlement,
            Self::Each(each) => each.get(place).copied().unwrap_or(Settlement::Refused),
        }
    }

    /// Whether what was recorded with operations is there with them.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let of_operations = match self {
            Self::Alike(settlement) => Some(settlement),
            Self::Each(each) => each.last(),
        };
        of_operations == Some(&Settlement::Committed)
    }
}

impl Pipeline {
    /// The crossing over these parts.
    pub fn new(writer: Writer, registry: Arc<Registry>, desk: Arc<Desk>, clock: Clock) -> Self {
        let (presence, upgrades) = (Presence::default(), OnceLock::new());
        let (exchange, boards) = (None, None);
        Self { writer, registry, desk, exchange, boards, presence, upgrades, clock }
    }

    /// The same, which hands on what was a message on MQTT to whoever subscribed to it.
    #[must_use]
    pub fn with_exchange(self, exchange: Arc<Exchange>) -> Self {
        Self { exchange: Some(exchange), ..self }
    }

    /// The same, which tells of boards that leave only when they are not back in time.
    #[must_use]
    pub fn with_presence(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    /// Boards that are away for a moment.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Tells of boards that were not back in time. What cannot be kept now is told at the next call.
    pub async fn tell_absences(&self) {
        let _turn = self.presence.turn().await;
        loop {
            let (events, operations) = self.presence.due(self.clock.now().wall, ABSENCES_STEP_MAX);
            if events.is_empty() {
                return;
            }
            if let Err(error) = self.write(events, operations).await {
                self.presence.not_told();
                return debug!(%error, "boards that left are not told of; tried again");
            }
            self.presence.told();
        }
    }

    /// Keeps of boards that left what a full store refused: they are told of by
    /// [`Pipeline::tell_absences`], once there is room. With it what else of their connections' ends
    /// a full store must take ([`Operation::frees_space`]).
    pub async fn put_off(&self, gone: Vec<Event>, mut operations: Vec<Operation>) {
        let rows: Vec<_> = gone.into_iter().map(MqttAbsenceRow::from).collect();
        let absent = |row: &MqttAbsenceRow| Operation::Mqtt(MqttChange::PutAbsence(row.clone()));
        operations.extend(rows.iter().map(absent));
        if operations.is_empty() {
            return;
        }
        match self.writer.transact(operations).await {
            Ok(()) => self.presence.load(rows),
            Err(error) => debug!(%error, "a connection's end is not kept before the next start"),
        }
    }

    /// The same, in which boards' messages move them on in their life.
    #[must_use]
    pub fn with_boards(self, boards: Arc<Boards>) -> Self {
        Self { boards: Some(boards), ..self }
    }

    /// Boards that ask for firmware are answered by `upgrades` from now on, and what they say that they
    /// run is told to it. The first one stays.
    pub fn set_upgrades(&self, upgrades: &Arc<Upgrades>) {
        let _ = self.upgrades.set(Arc::downgrade(upgrades));
    }

    /// Makes facts durable, then known. `Committed` means: answer the device.
    ///
    /// Events share one settlement; each command's step has its own.
    pub async fn record(&self, facts: Vec<Fact>) -> Recorded {
        self.record_with(facts, Vec::new()).await
    }

    /// As [`Pipeline::record`], with operations that must be true with the events or not at all. They
    /// share the events' settlement.
    pub async fn record_with(&self, facts: Vec<Fact>, operations: Vec<Operation>) -> Recorded {
        let count = facts.len();
        let mut events = Vec::with_capacity(count);
        let (mut changes, mut places) = (Vec::new(), Vec::new());
        for (place, fact) in facts.into_iter().enumerate() {
            match fact {
                Fact::Event(event) => events.push(event),
                Fact::Command(change) => {
                    changes.push(change);
                    places.push(place);
                }
            }
        }
        if changes.is_empty() {
            return Recorded::Alike(self.events(events, operations).await);
        }
        let (events, changes) =
            tokio::join!(self.events(events, operations), Box::pin(self.changes(changes)));
        let mut each = vec![events; count + 1];
        for (place, settlement) in places.into_iter().zip(changes) {
            each[place] = settlement;
        }
        Recorded::Each(each)
    }

    /// Makes one fact durable together with what must be true with it, then known.
    pub async fn append(&self, event: Event, operations: Vec<Operation>) -> Result<(), WriteError> {
        let news = event.facts.is_some().then(|| event.clone());
        self.write(vec![event], operations).await?;
        news.iter().for_each(|event| self.registry.apply(event));
        Ok(())
    }

    /// Keeps what is noteworthy of a sign-in: which identity was `said`, and from where. The event is
    /// about `subject`: the device whose credential was used.
    pub async fn note_sign_in(
        &self,
        kind: EventType,
        tenant: &Tenant,
        subject: &DeviceId,
        said: &DeviceId,
        address: IpAddr,
    ) -> Settlement {
        #[derive(Serialize)]
        struct Data<'a> {
            said: &'a DeviceId,
            address: IpAddr,
        }
        let event = Event {
            tenant: tenant.clone(),
            device: subject.clone(),
            kind,
            time: self.clock.now().wall,
            data: Json::of(&Data { said, address }),
            facts: None,
        };
        self.events(vec![event], Vec::new()).await
    }

    /// Whether facts would be taken now; listeners ask before they accept work.
    pub fn has_room(&self) -> bool {
        self.writer.room() == Room::Free
    }

    /// Makes events durable, with what they are routed to.
    async fn write(
        &self,
        mut events: Vec<Event>,
        mut operations: Vec<Operation>,
    ) -> Result<(), WriteError> {
        // A full store may take these, where it takes no facts.
        if events.is_empty() {
            return self.writer.transact(operations).await;
        }
        let Some(exchange) = &self.exchange else {
            return self.commit(events, operations).await;
        };
        let mut routed = exchange.route(&events);
        events.extend(routed.take_events());
        operations.extend(routed.take_operations());
        let written = self.commit(events, operations).await;
        match written {
            Ok(()) => routed.committed(),
            Err(_) => routed.refused(),
        }
        written
    }

    /// A full store still takes what brings something to its end, where nothing is told of it.
    async fn commit(
        &self,
        events: Vec<Event>,
        operations: Vec<Operation>,
    ) -> Result<(), WriteError> {
        match events.as_slice() {
            [] => self.writer.transact(operations).await,
            _ => self.writer.append(events, operations).await,
        }
    }

    /// Makes durable what a board sent by another way than its own connection, with all that follows
    /// from it. `Committed` means: answer whoever brought it.
    pub async fn board_message(&self, received: &Received) -> Settlement {
        let event = received.event(self.clock.now().wall);
        match &self.boards {
            Some(boards) => {
                self.of_boards(boards, vec![event], Vec::new(), Some(&received.sender)).await
            }
            None => self.events(vec![event], Vec::new()).await,
        }
    }

    async fn events(&self, events: Vec<Event>, kept: Vec<Operation>) -> Settlement {
        let answers = self.desk.answered(&events);
        let of_boards = self.boards.as_ref();
        let settlement = match of_boards.filter(|it| events.iter().any(|event| it.concerns(event)))
        {
            Some(boards) => {
                let asking = events.iter().filter(|it| boards::awaits_answer(it));
                let asking: Vec<Event> = asking.cloned().collect();
                match self.of_boards(boards, events, kept, None).await {
                    Settlement::Committed => self.answer(boards, &asking).await,
                    other => other,
                }
            }
            None => {
                let is_kept = self.keep(events, kept).await;
                is_kept.map_or(Settlement::Refused, |()| Settlement::Committed)
            }
        };
        if settlement == Settlement::Committed && !answers.is_empty() {
            return Box::pin(self.answered(answers)).await;
        }
        settlement
    }

    /// Ends commands that boards answered: an answer is acknowledged once that is on disk, so that a
    /// board which is not heard answers again.
    async fn answered(&self, answers: Vec<CommandChange>) -> Settlement {
        for change in answers {
            let outcome = match self.change(change).await {
                Ok(Settlement::Committed) => Answered::Done,
                Ok(Settlement::Overtaken) => Answered::Late,
                Ok(Settlement::Refused) | Err(_) => return Settlement::Refused,
            };
            self.desk.count_answer(outcome);
        }
        Settlement::Committed
    }

    /// Keeps events with what follows from them in the life of boards, computed anew where another
    /// wrote one of these boards meanwhile.
    async fn of_boards(
        &self,
        boards: &Boards,
        events: Vec<Event>,
        kept: Vec<Operation>,
        sender: Option<&Sender>,
    ) -> Settlement {
        for _ in 0..TRIES_MAX {
            let followed = match boards.follow(events.clone(), sender).await {
                Ok(followed) => followed,
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, "a board cannot be read");
                    return Settlement::Refused;
                }
            };
            let (events, mut operations) = (followed.events.clone(), followed.operations.clone());
            operations.extend(kept.iter().cloned());
            match self.keep(events, operations).await {
                Ok(()) => {
                    boards.kept(&followed);
                    self.follow_up(&followed).await;
                    return Settlement::Committed;
                }
                Err(WriteError::Refused(_)) => boards.count_conflict(),
                Err(_) => return Settlement::Refused,
            }
        }
        Settlement::Refused
    }

    /// Answers boards that ask for firmware: a question is acknowledged once its answer is on disk, so
    /// that a board which hears of neither asks again.
    async fn answer(&self, boards: &Boards, asking: &[Event]) -> Settlement {
        let Some(upgrades) = self.upgrades.get().and_then(Weak::upgrade) else {
            return Settlement::Committed;
        };
        for question in asking.iter().filter_map(|event| boards.question(event)) {
            if upgrades.reply(question).await.is_err() {
                return Settlement::Refused;
            }
        }
        Settlement::Committed
    }

    /// What is known from boards' messages beside their life: that they were heard, though by another way
    /// than their own connection; that they left their group; what they run, which may end an upgrade.
    async fn follow_up(&self, followed: &Followed) {
        let now = self.clock.now().wall;
        for (tenant, device) in &followed.spoken_of {
            self.registry.seen(tenant, device, now, None);
        }
        let upgrades = || self.upgrades.get().and_then(Weak::upgrade);
        for operation in &followed.operations {
            if let Operation::SetGroup { tenant, device, .. } = operation
                && let Some(upgrades) = upgrades()
            {
                upgrades.regrouped(tenant, device);
            }
        }
        let says = |it: &&Event| it.facts.as_ref().is_some_and(|it| it.software_version.is_some());
        for event in followed.events.iter().filter(says) {
            if let Some(upgrades) = upgrades() {
                upgrades.heard(&event.tenant, &event.device).await;
            }
        }
    }

    /// Makes events durable together with `more`, all or nothing, then known: the one transaction of an
    /// effect. What boards' messages lead to is not looked at: that is [`Pipeline::record_with`]'s.
    ///
    /// # Errors
    ///
    /// Nothing of it is kept. [`WriteError::Refused`] says which operation's condition did not hold.
    pub async fn keep(
        &self,
        mut events: Vec<Event>,
        mut more: Vec<Operation>,
    ) -> Result<(), WriteError> {
        if events.is_empty() && more.is_empty() {
            return Ok(());
        }
        let presence = self.presence.hold(&mut events, &mut more).await;
        // Whoever speaks exists: a device's first event makes its row. One session's events are of
        // one device, so it is looked up once.
        let mut known: Option<DeviceId> = None;
        for event in &mut events {
            if known.as_ref() == Some(&event.device) {
                continue;
            }
            // Nor is a program a device, whatever it publishes.
            if event.facts.is_none()
                && !event.device.is_program()
                && !self.registry.knows(&event.tenant, &event.device)
            {
                event.facts = Some(Box::<DeviceFacts>::default());
            }
            known = Some(event.device.clone());
        }
        let news: Vec<Event> =
            events.iter().filter(|event| event.facts.is_some()).cloned().collect();
        let mut operations = self.resets(&events);
        operations.extend(more);
        match self.write(events, operations.clone()).await {
            Ok(()) => self.presence.committed(presence),
            Err(error) => {
                self.presence.refused(presence);
                return Err(error);
            }
        }
        for event in &news {
            self.registry.apply(event);
        }
        for operation in &operations {
            self.registry.apply_operation(operation);
        }
        Ok(())
    }

    /// What no longer holds of a device that comes from factory settings: what was applied to it,
    /// and what was known of its parameters.
    fn resets(&self, events: &[Event]) -> Vec<Operation> {
        let mut operations = Vec::new();
        for event in events.iter().filter(|event| event.kind == EventType::DEVICE_BOOTSTRAPPED) {
            operations.push(provisioner::from_factory(event));
            let (tenant, device) = (&event.tenant, &event.device);
            if self.registry.data_model(tenant, device) != Kept::Nothing {
                let (tenant, device) = (tenant.clone(), device.clone());
                operations.push(Operation::RemoveDataModel { tenant, device });
            }
        }
        operations
    }

    /// Each change stands alone: one that comes too late (the command was withdrawn or expired
    /// meanwhile) must not undo its neighbours.
    async fn changes(&self, changes: Vec<CommandChange>) -> Vec<Settlement> {
        let all = changes.into_iter().map(|change| self.change(change));
        let outcomes = futures_util::future::join_all(all).await;
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Settlement::Refused)).collect()
    }

    /// Moves one command on, with the event that tells its end; a failure that may pass puts it back
    /// into the queue where it is to be tried again. `Overtaken` when the command has come to its end
    /// meanwhile, or was about to be sent and may not be; what would be `Refused` is the error that says why.
    pub async fn change(&self, change: CommandChange) -> Result<Settlement, WriteError> {
        let Some(command) = self.desk.look_up(&change.id) else {
            return Ok(Settlement::Overtaken);
        };
        // It stays queued: what is about to leave is the last that a hold can stop.
        if change.state == CommandState::Sent && self.desk.holds_back(&command) {
            return Ok(Settlement::Overtaken);
        }
        let at = self.clock.now().wall;
        let change = self.desk.settled(&command, change, at);
        let events = command_ended(&command, &change, at).into_iter().collect();
        let operation = Operation::ChangeCommand { change: change.clone(), at };
        match self.writer.append(events, vec![operation]).await {
            Ok(()) => {
                self.desk.apply(&change, at);
                Ok(Settlement::Committed)
            }
            Err(WriteError::Refused(refused)) => {
                if let OperationError::Missing(_) = refused {
                    error!(command = %change.id, "open command is not in the store");
                }
                self.desk.refresh(&command).await;
                Ok(Settlement::Overtaken)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes up what an earlier session of a device left half-way. Call it before a new session is
    /// given work; costs nothing while no command is open.
    pub async fn take_up(&self, tenant: &Tenant, device: &DeviceId) {
        for change in self.desk.stranded(tenant, device) {
            if let Err(error) = self.change(change).await {
                return debug!(%device, %error, "command not taken up; tried at the next session");
            }
        }
    }

    /// What a device is to do now.
    pub fn decide(&self, tenant: &Tenant, device: &DeviceId) -> Vec<Command> {
        self.desk.queued(tenant, device)
    }
}

/// The event that tells the business backend how a command ended.
fn command_ended(
    command: &Command,
    change: &CommandChange,
    time: jiff::Timestamp,
) -> Option<Event> {
    #[derive(Serialize)]
    struct Data<'a> {
        id: &'a str,
        kind: &'a str,
        state: CommandState,
        actor: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a Json>,
    }
    if !change.state.is_final(&command.kind) {
        return None;
    }
    let kind = match change.state {
        CommandState::Done | CommandState::Delivered | CommandState::Sent => {
            EventType::COMMAND_COMPLETED
        }
        _ => EventType::COMMAND_FAILED,
    };
    let data = Json::of(&Data {
        id: command.id.as_str(),
        kind: command.kind.as_str(),
        state: change.state,
        actor: &command.actor,
        cause: change.cause.as_deref(),
        result: change.result.as_ref(),
    });
    let (tenant, device) = (command.tenant.clone(), command.device.clone());
    Some(Event { tenant, device, kind, time, data, facts: None })
}
