//! What is kept of MQTT beside events: sessions, what waits for boards, retained messages.

use super::Position;
use crate::exchange::len;
use ::mqtt::Message;
use jiff::Timestamp;
use model::{DeviceId, Json, Tenant};
use std::sync::Arc;

/// A session that outlives its connection.
#[derive(Clone, Debug)]
pub struct MqttSessionRow {
    /// Its number, given once.
    pub number: u64,
    /// Whose.
    pub tenant: Tenant,
    /// Which board, or which program.
    pub owner: DeviceId,
    /// The client id that it is kept under.
    pub client_id: Box<str>,
    /// What the session is, as JSON.
    pub state: Json,
    /// Seconds from the end of the connection to the end of the session; [`u32::MAX`] is never.
    pub expiry_s: u32,
    /// When its connection ended; `None` while it has one.
    pub left_at: Option<Timestamp>,
    /// The will that is published unless it is resumed before: the data of its event, and when.
    pub will: Option<(Timestamp, Json)>,
}

/// A message that waits for the acknowledgement of one session.
#[derive(Clone, Debug)]
pub struct MqttQueuedRow {
    /// Which session.
    pub session: u64,
    /// Its place in the order, and its name between exchange and session.
    pub key: u64,
    /// The shared subscription that it came by, as it was subscribed.
    pub through: Option<Arc<str>>,
    /// Whether the session's own client published it.
    pub is_own: bool,
    /// Since when.
    pub queued_at: Timestamp,
    /// The message.
    pub message: Arc<Message>,
}

/// What is known of a queued message without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MqttQueuedMark {
    /// Which session.
    pub session: u64,
    /// Which message of it.
    pub key: u64,
    /// How long it is, as [`crate::exchange::len`] counts.
    pub bytes: u64,
    /// Since when it waits.
    pub queued_at: Timestamp,
}

/// A retained message.
#[derive(Clone, Debug)]
pub struct MqttRetainedRow {
    /// Whose.
    pub tenant: Tenant,
    /// Its place in the order of all messages: an older one never takes its place.
    pub key: u64,
    /// The message.
    pub message: Arc<Message>,
}

/// A change of what is kept of MQTT. None is ever refused: what it would change and is not there
/// needs no change.
#[derive(Clone, Debug)]
pub enum MqttChange {
    /// Keeps a session in place of what was kept of it, and of any other under its client id.
    PutSession(MqttSessionRow),
    /// Ends a session: with its queue and its place in the events.
    RemoveSession {
        /// Which.
        number: u64,
    },
    /// Says of every session that has no end of its connection that it ended then.
    Interrupted {
        /// When.
        at: Timestamp,
    },
    /// Puts messages into queues.
    Queue(Vec<MqttQueuedRow>),
    /// Takes messages out of queues: acknowledged, or given up.
    Unqueue(Vec<(u64, u64)>),
    /// Keeps retained messages, where none that is newer is there.
    PutRetained(MqttRetainedRow),
    /// Takes away a topic's retained message, unless it is newer than that.
    RemoveRetained {
        /// Whose.
        tenant: Tenant,
        /// Which topic.
        topic: Box<str>,
        /// The place of what took it away.
        key: u64,
    },
    /// Makes a required reader of the events at a place, where there is none of that name.
    StartReader {
        /// Its name.
        name: Box<str>,
        /// It has everything up to here.
        at: Position,
    },
    /// Moves a reader on, never back.
    AdvanceReader {
        /// Its name.
        name: Box<str>,
        /// It has everything up to here.
        to: Position,
    },
    /// Forgets a reader.
    DropReader {
        /// Its name.
        name: Box<str>,
    },
}

impl MqttChange {
    /// Whether it only frees space, or moves a reader.
    pub(super) fn frees_space(&self) -> bool {
        matches!(
            self,
            Self::RemoveSession { .. }
                | Self::Interrupted { .. }
                | Self::Unqueue(_)
                | Self::RemoveRetained { .. }
                | Self::AdvanceReader { .. }
                | Self::DropReader { .. }
        )
    }

    /// Bytes that it adds.
    pub(super) fn body_bytes(&self) -> usize {
        match self {
            Self::PutSession(row) => row.state.as_str().len(),
            Self::Queue(rows) => rows.iter().map(|row| bytes_of(&row.message)).sum(),
            Self::PutRetained(row) => bytes_of(&row.message),
            _ => 0,
        }
    }
}

/// The name of a program's session as a reader of the events.
#[must_use]
pub fn session_reader(number: u64) -> Box<str> {
    format!("mqtt:{number}").into_boxed_str()
}

fn bytes_of(message: &Message) -> usize {
    usize::try_from(len(message)).unwrap_or(usize::MAX)
}
