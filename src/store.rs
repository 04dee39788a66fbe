//! What must outlive the process: events, devices, commands, cursors.
//!
//! [`Store`] is what an engine must offer; [`Writer`] is the one way in: it gathers whatever has
//! arrived into a group, has the engine commit the group in one durable transaction, and only then
//! releases those who wait. Nothing in the trait may be true of SQLite only.

mod boards;
mod dialogue;
mod equipment;
mod error;
mod firmware;
mod metrics;
mod mqtt;
mod old;
mod operation;
mod payment;
mod phrase;
mod provision;
mod row;
mod sms;
mod sqlite;
mod steering;
mod task;
mod water;
mod writer;

pub use boards::{BoardChange, BoardRow, BoardStep};
pub use dialogue::{DialogueOperation, DialogueStore, EFFECT_KEPT, EffectRow};
pub use equipment::{
    EquipmentChange, EquipmentRow, EquipmentStatus, Expect, HubAnswerRow, HubMemory, HubSeen,
    WifiOverlayRow,
};
pub use error::{CommitError, OpenError, ReadError, WriteError};
pub use firmware::{
    FirmwareOperation, FirmwareStep, GroupFirmwareRow, RolloutDevice, RolloutDevices, RolloutRow,
};
pub use metrics::Metrics;
pub use mqtt::{
    MqttAbsenceRow, MqttChange, MqttConnectionRow, MqttQueuedMark, MqttQueuedRow, MqttRetainedRow,
    MqttSessionRow, session_of, session_reader,
};
pub use old::{Old, OldStore};
pub use operation::{Operation, OperationError};
pub use payment::{
    CHECKOUT_TAKEN, PAYMENT_CHANGED, PAYMENT_KNOWN, PAYMENT_OPEN, PaymentOperation, PaymentRow,
    PaymentStep, PaymentStepRow, PaymentStore, RECEIPT_TAKEN, StrayRow, Strays,
};
pub use phrase::{PhraseOperation, PhraseRow, PhraseStore};
pub use provision::{ProvisionMark, ProvisionRow};
pub use row::{
    AuditEntry, CredentialRow, Cursor, CustomerRow, DeadLetter, DeviceRow, ImageRow, Kept,
    NewDeadLetter, Page, Position, Seen, StoredEvent, TokenAcl, TokenName, TokenRow, UploadRow,
    Uploads, Usage,
};
pub use sms::{
    BROADCAST_KNOWN, BROADCAST_MOVED, BroadcastRow, BroadcastState, BroadcastStep, OptOutRow,
    OptOuts, SMS_MOVED, SmsKind, SmsOperation, SmsRow, SmsState, SmsStep, SmsStore, SmsWhich,
};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use steering::{
    ChangeHourRow, HoldRow, KnownRow, ProfileSetRow, SetRole, Steering, SteeringRows, TrialOutcome,
};
pub use task::{TaskChange, TaskRow, TaskState, TaskStep, Tasks};
pub use water::{
    Audience, CODE_TAKEN, CustomerBy, Listener, NICKNAME_TAKEN, NUMBER_TAKEN, SITE_IN_USE, SiteBy,
    TryPurpose, WATER_CHANGED, WATER_CREDITED, WaterCustomerRow, WaterManager, WaterManagerRow,
    WaterNumber, WaterOperation, WaterPeople, WaterSiteRow, WaterStore, WaterTransactionRow,
    WaterTransactions, WaterTries, WrongTry,
};
pub use writer::{Room, Writer, WriterOptions};

use async_trait::async_trait;
use jiff::Timestamp;
use model::{Command, CommandId, DeviceId, Event, Redacted, Tenant};
use soracom::Status;

/// One write of a group. Each stands alone: a refused one does not undo its neighbours.
#[derive(Debug)]
pub enum Write {
    /// Facts, with the operations that must be true with them or not at all.
    Append {
        /// What happened. Where an event carries `facts`, they are merged into the device's row
        /// (made when absent) and its aliases are taken where nobody else holds them.
        events: Vec<Event>,
        /// Steps of commands and what else belongs to the same instant.
        operations: Vec<Operation>,
    },
    /// Changes that are no facts of devices: all of them or, when one is refused, none.
    Transact(Vec<Operation>),
}

/// A durable engine. Shared by the one writer and any number of readers.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Commits a group in one transaction; when this returns it is on disk.
    ///
    /// The answer has one entry for each write, in order. While the store is full only operations
    /// that free space or move cursors are sent here. On an error nothing of the group is kept.
    async fn commit(&self, group: &[Write])
    -> Result<Vec<Result<(), OperationError>>, CommitError>;

    /// Where the newest event stands; sequence 0 when there is none.
    async fn head(&self) -> Result<Vec<Position>, ReadError>;

    /// Events of one shard after `after`, oldest first, at most `rows_max` and, beyond the first,
    /// at most `bytes_max` of data. Every checksum is verified.
    async fn events_after(
        &self,
        after: Position,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEvent>, ReadError>;

    /// Bytes of data of the events of one shard after `after` and up to `to`.
    async fn bytes_between(&self, after: Position, to: Position) -> Result<u64, ReadError>;

    /// Every reader's cursor.
    async fn cursors(&self) -> Result<Vec<Cursor>, ReadError>;

    /// Devices in the order of (tenant, id), for rebuilding the registry.
    async fn devices(
        &self,
        after: Option<(Tenant, DeviceId)>,
        rows_max: usize,
    ) -> Result<Vec<DeviceRow>, ReadError>;

    /// Every customer.
    async fn customers(&self) -> Result<Vec<CustomerRow>, ReadError>;

    /// Every credential that a device may present.
    async fn credentials(&self) -> Result<Vec<CredentialRow>, ReadError>;

    /// Every API token that is not revoked.
    async fn tokens(&self) -> Result<Vec<TokenRow>, ReadError>;

    /// One command.
    async fn command(&self, tenant: &Tenant, id: &CommandId) -> Result<Option<Command>, ReadError>;

    /// Commands of one device, newest first, older than `before`.
    async fn commands_of(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        before: Option<CommandId>,
        rows_max: usize,
    ) -> Result<Vec<Command>, ReadError>;

    /// The command that was made under this idempotency key.
    async fn command_of_key(
        &self,
        tenant: &Tenant,
        key: &str,
    ) -> Result<Option<Command>, ReadError>;

    /// Every command that is not at its end, oldest first.
    async fn open_commands(&self) -> Result<Vec<Command>, ReadError>;

    /// What is known of a device's data model, as [`Operation::PutDataModel`] brought it.
    /// [`Store::devices`] tells whose is kept.
    async fn data_model(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<Redacted<Vec<u8>>>, ReadError>;

    /// What [`Store::data_model`] and [`Store::provision`] say of many devices of a tenant at once; those
    /// of which neither says anything are left out.
    async fn known_of(
        &self,
        tenant: &Tenant,
        devices: &[DeviceId],
    ) -> Result<Vec<KnownRow>, ReadError>;

    /// All that steers the fleet as a whole.
    async fn steering(&self) -> Result<SteeringRows, ReadError>;
    /// How devices stand to what they should be, in the order of (tenant, id), for rebuilding the
    /// registry.
    async fn provision_marks(
        &self,
        after: Option<(Tenant, DeviceId)>,
        rows_max: usize,
    ) -> Result<Vec<(Tenant, DeviceId, ProvisionMark)>, ReadError>;

    /// What is remembered of how a device stands, as [`Operation::PutProvision`] brought it.
    async fn provision(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<Box<str>>, ReadError>;

    /// The audit trail, newest first.
    async fn audit(&self, tenant: &Tenant, page: Page) -> Result<Vec<AuditEntry>, ReadError>;

    /// What a sink would not take (of all sinks when `sink` is `None`), oldest first.
    async fn dead_letters(
        &self,
        tenant: Option<&Tenant>,
        sink: Option<&str>,
        page: Page,
    ) -> Result<Vec<DeadLetter>, ReadError>;

    /// Every image of the catalogue.
    async fn images(&self) -> Result<Vec<ImageRow>, ReadError>;

    /// Files that devices have sent.
    async fn uploads(&self, which: &Uploads, rows_max: usize) -> Result<Vec<UploadRow>, ReadError>;

    /// What the embedded backend keeps for one piece of equipment, by its name in the one spelling.
    async fn equipment(
        &self,
        tenant: &Tenant,
        serial: &str,
    ) -> Result<Option<EquipmentRow>, ReadError>;

    /// What it keeps for a tenant, in the order of the names.
    async fn equipment_page(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<EquipmentRow>, ReadError>;

    /// The names of all that it keeps, in the order of (tenant, name).
    async fn equipment_keys(
        &self,
        after: Option<(Tenant, Box<str>)>,
        rows_max: usize,
    ) -> Result<Vec<(Tenant, Box<str>)>, ReadError>;

    /// The device that is given the secrets of a serial.
    async fn equipment_holder(
        &self,
        tenant: &Tenant,
        serial: &str,
    ) -> Result<Option<DeviceId>, ReadError>;

    /// What is kept of a device beside the hub.
    async fn hub_memory(&self, tenant: &Tenant, device: &DeviceId) -> Result<HubMemory, ReadError>;

    /// What is to be done later.
    async fn tasks(&self, which: &Tasks, rows_max: usize) -> Result<Vec<TaskRow>, ReadError>;
    /// Every rollout, without its devices.
    async fn rollouts(&self) -> Result<Vec<RolloutRow>, ReadError>;

    /// Devices of one rollout, in the order of their identities.
    async fn rollout_devices(
        &self,
        which: &RolloutDevices,
        rows_max: usize,
    ) -> Result<Vec<RolloutDevice>, ReadError>;

    /// What one device went through, newest first, before the step of that number.
    async fn firmware_steps(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        before: Option<u64>,
        rows_max: usize,
    ) -> Result<Vec<FirmwareStep>, ReadError>;

    /// What groups should run.
    async fn group_firmware(&self) -> Result<Vec<GroupFirmwareRow>, ReadError>;

    /// MQTT sessions behind that number, in the order of their numbers.
    async fn mqtt_sessions(
        &self,
        after: u64,
        rows_max: usize,
    ) -> Result<Vec<MqttSessionRow>, ReadError>;

    /// What is known of queued messages without reading them, in the order of (session, key).
    async fn mqtt_queue_marks(
        &self,
        after: (u64, u64),
        rows_max: usize,
    ) -> Result<Vec<MqttQueuedMark>, ReadError>;

    /// Queued messages of one session from that key on, in their order.
    async fn mqtt_queue(
        &self,
        session: u64,
        from: u64,
        rows_max: usize,
    ) -> Result<Vec<MqttQueuedRow>, ReadError>;

    /// Retained messages, in the order of (tenant, topic).
    async fn mqtt_retained(
        &self,
        after: Option<(Tenant, Box<str>)>,
        rows_max: usize,
    ) -> Result<Vec<MqttRetainedRow>, ReadError>;
    /// What is kept of a board.
    async fn board(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<BoardRow>, ReadError>;

    /// Every board that is contracted or ready to ship: whom a message may move.
    async fn moving_boards(&self) -> Result<Vec<(Tenant, DeviceId, Status)>, ReadError>;

    /// A board's moves, newest first, before the one of that number.
    async fn board_steps(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        before: Option<u64>,
        rows_max: usize,
    ) -> Result<Vec<BoardStep>, ReadError>;

    /// Every board that left and was not told of.
    async fn mqtt_absences(&self) -> Result<Vec<MqttAbsenceRow>, ReadError>;

    /// How much room is taken and left.
    async fn usage(&self) -> Result<Usage, ReadError>;

    /// Removes events up to `to` that were recorded before `older_than`, at most `rows_max`, oldest
    /// first and none behind one that stays; returns how many. What was committed together may stay
    /// until all of it may go. Sequences go on where they were, even when no event is left.
    async fn trim(
        &self,
        to: Position,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError>;

    /// Removes commands at their end that last changed before `older_than`, at most `rows_max`, the
    /// longest unchanged first; returns how many. Their idempotency keys go with them. Open
    /// commands stay however old they are.
    async fn trim_commands(
        &self,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError>;

    /// Gives up or takes back the room kept for the cursors and the trimming that free space.
    /// Taking it back is [`CommitError::Full`] when there is no room for it and a margin. What is
    /// kept counts as used whether held or not.
    async fn set_ballast(&self, held: bool) -> Result<(), CommitError>;

    /// Flushes and closes; the files are whole afterwards.
    async fn close(&self);
}

#[cfg(test)]
#[path = "../tests/vfs/scenarios/all.rs"]
mod scenarios;
