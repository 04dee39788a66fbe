//! Named conditional writes.

use super::{
    AuditEntry, BoardChange, CredentialRow, CustomerRow, DialogueOperation, EquipmentChange,
    FirmwareOperation, ImageRow, MqttChange, NewDeadLetter, PaymentOperation, PhraseOperation,
    Position, ProvisionRow, Seen, SmsOperation, Steering, TaskChange, TaskRow, TokenRow, UploadRow,
    WaterOperation,
};
use firmware::ImageName;
use jiff::Timestamp;
use model::{
    Alias, Command, CommandChange, DeviceFacts, DeviceId, Json, Protocol, Redacted, Tenant,
};

/// A change that is applied whole or refused with a reason.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Makes a command. With a `key` that was used before, nothing happens and it is no error.
    CreateCommand {
        /// The command, in state `queued`.
        command: Command,
        /// What makes asking twice the same as asking once: (event, rule) or (session, hop).
        key: Option<Box<str>>,
    },
    /// Moves a command on. Refused as [`OperationError::Conflict`] when it is at its end already,
    /// and a withdrawal unless the command is `queued` or `unknown`: what left must be heard of.
    /// The cause is replaced; an earlier result stays when the change has none.
    ChangeCommand {
        /// Where it goes.
        change: CommandChange,
        /// When.
        at: Timestamp,
    },
    /// Makes or renames a customer.
    PutCustomer(CustomerRow),
    /// Gives a device to a customer (made when absent), or to nobody. The device is made if
    /// absent: a phone is known by its number before it ever calls.
    SetOwner {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// The customer, who must exist; `None` takes the device from its owner.
        customer: Option<Box<str>>,
        /// When.
        at: Timestamp,
    },
    /// Gives a device another name. Refused as [`OperationError::Conflict`] when another device
    /// holds it.
    PutAlias {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// The name.
        alias: Alias,
    },
    /// Takes a name from a device; refused when it does not hold it.
    RemoveAlias {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// The name.
        alias: Alias,
    },
    /// Sets or removes a label.
    SetTag {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// The label.
        tag: Box<str>,
        /// Whether it is set.
        present: bool,
    },
    /// Puts a device into a group, or takes it out of the one that it is in.
    SetGroup {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// The group; `None` takes it out.
        group: Option<Box<str>>,
    },
    /// Keeps something of rollouts, or of what groups should run.
    Firmware(FirmwareOperation),
    /// Makes a device before it is met, or adds facts to it.
    PutDevice {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// What is known of it.
        facts: DeviceFacts,
        /// When.
        at: Timestamp,
    },
    /// Marks a device's equipment as claimed.
    Claim {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
    },
    /// Keeps how we sign in to a device when waking it (sealed).
    SetConnectionRequest {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// The sealed credentials.
        sealed: Redacted<Vec<u8>>,
    },
    /// Keeps what is known of a device's data model, in place of what was. Refused as
    /// [`OperationError::Missing`] when there is no such device.
    PutDataModel {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// When.
        at: Timestamp,
        /// Whether it is all that the device has.
        is_whole: bool,
        /// Compressed and sealed.
        sealed: Redacted<Vec<u8>>,
    },
    /// Forgets a device's data model; no error when there is none. It goes with its device, too.
    RemoveDataModel {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
    },
    /// Sets what a device presents: in place of what it uses, or of what it has not used yet, as
    /// `confirmed` says. Refused as [`OperationError::Conflict`] when another device has the user
    /// name.
    PutCredential(CredentialRow),
    /// Notes that a credential was used by its device, and drops the one that it used before.
    /// Refused as [`OperationError::Conflict`] when there is none of that name, or with another
    /// verifier: it was replaced meanwhile.
    ConfirmCredential {
        /// In which protocol.
        protocol: Protocol,
        /// Which.
        username: Box<str>,
        /// What the device's answer was compared with.
        verifier: Redacted<Vec<u8>>,
    },
    /// Takes away what a device presents in one protocol; no error when there is nothing.
    RemoveCredential {
        /// Whose.
        tenant: Tenant,
        /// Which device.
        device: DeviceId,
        /// In which protocol.
        protocol: Protocol,
        /// Whether the one that it uses goes too, and not only the one it has not used yet.
        confirmed_too: bool,
    },
    /// Makes an API token. Refused as [`OperationError::Conflict`] when the name is taken, by a
    /// revoked one too: the audit trail names it.
    PutToken(TokenRow),
    /// Revokes an API token.
    RevokeToken {
        /// Whose.
        tenant: Tenant,
        /// Its name.
        name: Box<str>,
    },
    /// Puts an image into the catalogue. Where one of that name has the same content, its file and
    /// time stay and what is said of it is replaced; where it has other content, refused as
    /// [`OperationError::Conflict`] unless it may be replaced.
    PutImage {
        /// The image and its file.
        row: ImageRow,
        /// Whether other content may go.
        may_replace: bool,
    },
    /// Takes an image out of the catalogue.
    RemoveImage {
        /// Whose.
        tenant: Tenant,
        /// Which.
        name: ImageName,
    },
    /// Keeps a file that a device has sent.
    PutUpload(UploadRow),
    /// Forgets one; refused when there is none.
    RemoveUpload {
        /// Whose.
        tenant: Tenant,
        /// Which.
        id: Box<str>,
    },
    /// Keeps how a device stands to what it should be, in place of what was. A device that is not
    /// there is passed over.
    PutProvision(ProvisionRow),
    /// Changes what is kept for equipment.
    Equipment(EquipmentChange),
    /// Changes what is kept of texts, opt-outs and broadcasts.
    Sms(SmsOperation),
    /// Writes what is kept of a board. Refused as [`OperationError::Conflict`] when somebody else wrote
    /// it meanwhile, and as [`OperationError::Missing`] when there is no such device.
    PutBoard(Box<BoardChange>),
    /// Changes what is kept of payments.
    Payment(PaymentOperation),
    /// Changes what is kept of phrases.
    Phrase(PhraseOperation),
    /// Changes what is kept of dialogues.
    Dialogue(DialogueOperation),
    /// Makes a task. With a key that was used before, nothing happens and it is no error.
    PutTask(TaskRow),
    /// Moves a task on. Refused as [`OperationError::Conflict`] where it is past that.
    ChangeTask(TaskChange),
    /// Forgets tasks that were done before then, the oldest first.
    TrimTasks {
        /// Before when.
        older_than: Timestamp,
        /// How many at most.
        rows_max: usize,
    },
    /// Changes what steers the fleet as a whole: profiles, holds, the hour's changes.
    Steer(Steering),
    /// Changes what is kept of MQTT: sessions, queues, retained messages. Never refused.
    Mqtt(MqttChange),
    /// Changes what is kept of the water service.
    Water(WaterOperation),
    /// Adds a line to the audit trail.
    Audit(AuditEntry),
    /// Writes behind what was only seen.
    Seen(Vec<Seen>),
    /// Makes a reader's cursor at the end of what there is (or at the start, when nothing was
    /// trimmed); no change when it exists, but for `required`.
    PutCursor {
        /// The reader.
        name: Box<str>,
        /// Whether the outbox waits for it.
        required: bool,
    },
    /// Stores where batches end before they are sent, in place of what was stored before.
    PrepareBatches {
        /// The reader.
        name: Box<str>,
        /// The last events of the batches, rising, all beyond the cursor.
        ends: Vec<Position>,
    },
    /// Moves a cursor on, never back, and parks what was refused under the sink that the cursor is
    /// named for; what is parked already stays as it is.
    AdvanceCursor {
        /// The reader.
        name: Box<str>,
        /// Everything up to here is done with.
        to: Position,
        /// What goes to the dead letters instead of the sink.
        parked: Vec<NewDeadLetter>,
        /// When.
        at: Timestamp,
    },
    /// Counts events that a reader passed over because it could not keep up.
    CountSkipped {
        /// The reader.
        name: Box<str>,
        /// How many.
        events: u64,
    },
    /// Forgets a reader, so that the outbox no longer waits for it; its dead letters go too.
    DropCursor {
        /// The reader.
        name: Box<str>,
    },
    /// Asks for a dead letter and those of the same device and sink to be tried again.
    ReplayDeadLetter {
        /// Whose.
        tenant: Tenant,
        /// The dead letter's number.
        id: u64,
        /// When.
        at: Timestamp,
    },
    /// Takes dead letters off: they were delivered.
    SettleDeadLetters {
        /// Their numbers.
        ids: Vec<u64>,
    },
    /// Puts dead letters back to waiting for an operator: they were refused again.
    RefuseDeadLetters {
        /// Their numbers.
        ids: Vec<u64>,
        /// Why, in plain words.
        reason: Box<str>,
    },
}

impl Operation {
    /// A line of the audit trail.
    pub fn audit(
        tenant: &Tenant,
        time: Timestamp,
        actor: &str,
        action: &str,
        subject: &str,
        detail: Json,
    ) -> Self {
        Self::Audit(AuditEntry {
            sequence: 0,
            tenant: tenant.clone(),
            time,
            actor: actor.into(),
            action: action.into(),
            subject: subject.into(),
            detail,
        })
    }

    /// Whether its row comes behind all others, and shares its page with those of its neighbours.
    pub(super) fn is_appended(&self) -> bool {
        matches!(self, Self::Mqtt(MqttChange::PutConnection(_)))
    }

    /// Whether a full store must still take it: it moves a cursor or frees space, or has the outbox
    /// no longer wait for a reader.
    pub fn frees_space(&self) -> bool {
        match self {
            Self::Mqtt(change) => return change.frees_space(),
            Self::Phrase(change) => return change.frees_space(),
            Self::Dialogue(change) => return change.frees_space(),
            Self::Payment(change) => return change.frees_space(),
            Self::Sms(operation) => return operation.frees_space(),
            Self::Water(operation) => return operation.frees_space(),
            _ => {}
        }
        matches!(
            self,
            Self::PutCursor { required: false, .. }
                | Self::PrepareBatches { .. }
                | Self::AdvanceCursor { .. }
                | Self::CountSkipped { .. }
                | Self::DropCursor { .. }
                | Self::SettleDeadLetters { .. }
                | Self::RefuseDeadLetters { .. }
                | Self::RemoveDataModel { .. }
                | Self::RemoveImage { .. }
                | Self::RemoveUpload { .. }
                | Self::Firmware(
                    FirmwareOperation::RemoveRollout { .. } | FirmwareOperation::Sweep { .. }
                )
                | Self::ChangeTask(_)
                | Self::TrimTasks { .. }
                | Self::Steer(Steering::RemoveHold { .. })
        )
    }

    /// Bytes that it adds to the store, where they are many.
    pub fn body_bytes(&self) -> usize {
        match self {
            Self::PutDataModel { sealed, .. } => sealed.expose().len(),
            Self::PutProvision(row) => row.body.len(),
            Self::Equipment(EquipmentChange::Put { row, .. }) => row.sealed.expose().len(),
            Self::Equipment(EquipmentChange::KeepAnswer(row)) => row.sealed.expose().len(),
            Self::PutTask(task) => task.body.as_str().len(),
            Self::Mqtt(change) => change.body_bytes(),
            Self::Sms(operation) => operation.body_bytes(),
            Self::Steer(Steering::PutProfiles(row)) => row.files.expose().len(),
            _ => 0,
        }
    }
}

/// Why an operation was refused. Nothing of it, or of those beside it, was applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OperationError {
    /// What it names does not exist.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// What it would change stands against it.
    #[error("{0}")]
    Conflict(&'static str),
}
