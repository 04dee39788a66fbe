//! The rows of the store, as the daemon sees them.

use firmware::{FileType, Image, Sha256};
use jiff::Timestamp;
use model::{CommandId, DeviceFacts, DeviceId, Json, Redacted, Tenant};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an event stands: within its shard, sequences only grow. SQLite has the one shard 0.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Position {
    /// Which shard.
    pub shard: u16,
    /// Which event of it, from 1.
    pub sequence: u64,
}

/// `shard-sequence`: the CloudEvents `id`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.sequence)
    }
}

impl Position {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (shard, sequence) = text.split_once('-')?;
        Some(Self { shard: shard.parse().ok()?, sequence: sequence.parse().ok()? })
    }
}

/// An event that is on disk.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Where it stands.
    pub position: Position,
    /// Whose.
    pub tenant: Tenant,
    /// Which device.
    pub device: DeviceId,
    /// The CloudEvents `type`.
    pub kind: Box<str>,
    /// The CloudEvents `time`.
    pub time: Timestamp,
    /// The CloudEvents `data`.
    pub data: Json,
}

/// How far a reader of the events has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// The reader: `sink:<name>` for sinks.
    pub name: Box<str>,
    /// Everything up to here is done with.
    pub done: Position,
    /// The ends of the batches that were sent or about to be, rising, so that a retry after a restart is
    /// the same batch.
    pub batch_ends: Vec<Position>,
    /// Whether the outbox waits for this reader.
    pub required: bool,
    /// How many events it has passed over, because it could not keep up, since it was made.
    pub skipped: u64,
}

/// A device as it is kept.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub id: DeviceId,
    /// What it said of itself; its aliases are in here too.
    pub facts: DeviceFacts,
    /// Who owns it.
    pub customer: Option<Box<str>>,
    /// Labels given by the operator.
    pub tags: Vec<Box<str>>,
    /// The one group that it is in.
    pub group: Option<Box<str>>,
    /// When it was met first.
    pub created_at: Timestamp,
    /// When it was last heard; written behind, so it may lag by the write-behind interval.
    pub last_seen_at: Option<Timestamp>,
    /// The address it was last heard from; written behind.
    pub address: Option<std::net::IpAddr>,
    /// How we sign in to it when waking it, sealed; `None` until it took them over.
    pub connection_request: Option<Redacted<Vec<u8>>>,
    /// Whether its equipment is claimed, so that secret values may be sent to it.
    pub claimed: bool,
    /// How much is kept of its data model ([`super::Store::data_model`]).
    pub data_model: Kept,
}

/// How much is kept of a device's data model.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kept {
    /// Nothing.
    #[default]
    Nothing,
    /// What the device happened to tell.
    Part,
    /// All that it has: it was asked for everything, and answered.
    Whole,
}

impl Kept {
    /// Of a data model that is whole, or is not.
    pub fn of(is_whole: bool) -> Self {
        if is_whole { Self::Whole } else { Self::Part }
    }
}

/// A volatile observation, written behind.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whose.
    pub tenant: Tenant,
    /// Which device.
    pub device: DeviceId,
    /// When it was last heard.
    pub at: Timestamp,
    /// From where.
    pub address: Option<std::net::IpAddr>,
}

/// A customer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CustomerRow {
    /// Whose.
    pub tenant: Tenant,
    /// The business backend's name for the customer.
    pub id: Box<str>,
    /// What people call the customer.
    pub name: Option<Redacted<Box<str>>>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a device presents when it signs in.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// Whose.
    pub tenant: Tenant,
    /// Which device.
    pub device: DeviceId,
    /// The user name it presents; unique within a protocol.
    pub username: Box<str>,
    /// `cwmp` or `mqtt`.
    pub protocol: model::Protocol,
    /// The sealed verifier: HA1s for CWMP, an HMAC for MQTT (design: `src/secrets.rs`).
    pub verifier: Redacted<Vec<u8>>,
    /// Whether the device has used it. It has one that it uses and one that it has not used yet, at
    /// most.
    pub confirmed: bool,
    /// The password, sealed, while we are to put it on the device ourselves.
    pub push: Option<Redacted<Vec<u8>>>,
}

/// Which token: whose, and its name. No name is given twice.
pub type TokenName = (Tenant, Box<str>);

/// Who may call the API.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// Whose.
    pub tenant: Tenant,
    /// Its name: what the audit trail calls the actor.
    pub name: Box<str>,
    /// HMAC-SHA-256 of the token under the store's key.
    pub hash: [u8; 32],
    /// A role of the configuration.
    pub role: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which token made it; none made that of the first start.
    pub made_by: Option<TokenName>,
    /// Whether it is valid no more: its row stays, since others come of it.
    pub is_revoked: bool,
    /// What it may publish and read over MQTT, where it names topics.
    pub acl: Option<TokenAcl>,
}

/// The topics of a token, as filters in which a level may be `{client_id}`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenAcl {
    /// What its bearer may publish to.
    pub publish: Vec<Box<str>>,
    /// What it may read.
    pub subscribe: Vec<Box<str>>,
    /// What it may neither publish to nor read, whatever the others say.
    pub deny: Vec<Box<str>>,
}

impl TokenAcl {
    /// As sessions ask it.
    ///
    /// # Errors
    ///
    /// When one of them is no filter, or there are more than a session compares a topic with.
    pub fn parse(&self) -> Result<mqtt::Acl, mqtt::AclError> {
        let [publish, subscribe, deny] =
            [&self.publish, &self.subscribe, &self.deny].map(|texts| texts.iter().map(|it| &**it));
        Ok(mqtt::Acl::new(publish, subscribe)?.denying(deny)?.for_program())
    }
}

/// One line of the audit trail. Append-only.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AuditEntry {
    /// Its place in the trail, from 1; 0 before it is stored.
    pub sequence: u64,
    /// Whose.
    pub tenant: Tenant,
    /// When.
    pub time: Timestamp,
    /// Who: the name of a token, `ussd:<service>`, `daemon`.
    pub actor: Box<str>,
    /// What was done: `device.alias.put`, `command.create`, …
    pub action: Box<str>,
    /// To what.
    pub subject: Box<str>,
    /// What is worth knowing beside, without secrets.
    pub detail: Json,
}

/// An event that a sink will not take, or that waits behind one it did not.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its number, from 1.
    pub id: u64,
    /// Which sink.
    pub sink: Box<str>,
    /// The event, whole: it may have been trimmed from the outbox since.
    pub event: StoredEvent,
    /// Why it is here, in plain words.
    pub reason: Box<str>,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// When an operator asked for another try; the sink delivers it next.
    pub replay_at: Option<Timestamp>,
}

/// An event to be parked.
#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    /// The event.
    pub event: StoredEvent,
    /// Why.
    pub reason: Box<str>,
}

/// An image of the catalogue, and where its bytes are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageRow {
    /// What it is.
    pub image: Image,
    /// The name of its file: made by us, never chosen by anyone.
    pub file: Box<str>,
}

/// A file that a device has sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UploadRow {
    /// Its name, a ULID, and that of the file that holds it.
    pub id: Box<str>,
    /// Whose.
    pub tenant: Tenant,
    /// Who sent it.
    pub device: DeviceId,
    /// Which command asked for it.
    pub command: CommandId,
    /// What was asked for.
    pub file_type: FileType,
    /// What the device called it; empty when it did not say.
    pub name: Box<str>,
    /// Its length.
    pub bytes: u64,
    /// Its content.
    pub sha256: Sha256,
    /// When it was whole.
    pub received_at: Timestamp,
}

/// Which uploads.
#[derive(Clone, Debug)]
pub enum Uploads {
    /// The one of that name.
    One {
        /// Whose.
        tenant: Tenant,
        /// Its name.
        id: Box<str>,
    },
    /// Those of one device, newest first.
    Of {
        /// Whose.
        tenant: Tenant,
        /// Who sent them.
        device: DeviceId,
        /// Only those before this one.
        before: Option<Box<str>>,
    },
    /// Everybody's, oldest first.
    Oldest {
        /// Only those after this one.
        after: Option<Box<str>>,
    },
}

/// Which part of a long list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The last number already seen; `None` starts at the beginning.
    pub after: Option<u64>,
    /// At most this many.
    pub rows_max: usize,
}

/// How much room is taken and left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// What is in use, free pages not counted.
    pub used_bytes: u64,
    /// The configured limit.
    pub quota_bytes: u64,
    /// Events waiting or retained.
    pub events: u64,
}
