//! What is kept of MQTT beside events: sessions, what waits for boards, retained messages.

use super::Position;
use crate::exchange::len;
use ::mqtt::{LastWords, Message};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Event, EventType, Json, Tenant};
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
    /// What the session is, as JSON: what changes seldom.
    pub state: Json,
    /// What of it is on its way, as JSON; `None` where `state` has it, of an earlier version.
    pub flight: Option<Json>,
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
    /// Who published it; `None` where an earlier version kept it.
    pub owner: Option<DeviceId>,
    /// The message.
    pub message: Arc<Message>,
}

/// A connection whose client has last words.
#[derive(Clone, Debug)]
pub struct MqttConnectionRow {
    /// The number of its session, kept or not.
    pub number: u64,
    /// Whose.
    pub tenant: Tenant,
    /// Which board, or which program.
    pub owner: DeviceId,
    /// Its client id.
    pub client_id: Box<str>,
    /// What is said of it if its end is not seen.
    pub words: LastWords,
}

/// A board that left, of which nobody was told yet.
#[derive(Clone, Debug)]
pub struct MqttAbsenceRow {
    /// Whose.
    pub tenant: Tenant,
    /// Which board.
    pub device: DeviceId,
    /// When it left.
    pub left_at: Timestamp,
    /// The data of the event that will tell of it.
    pub data: Json,
}

impl From<Event> for MqttAbsenceRow {
    /// What is kept in the place of the event that tells of it.
    fn from(event: Event) -> Self {
        Self { tenant: event.tenant, device: event.device, left_at: event.time, data: event.data }
    }
}

impl MqttAbsenceRow {
    /// The event that tells of it.
    pub(crate) fn into_event(self) -> Event {
        Event {
            tenant: self.tenant,
            device: self.device,
            kind: EventType::DEVICE_DISCONNECTED,
            time: self.left_at,
            data: self.data,
            facts: None,
        }
    }
}

/// A change of what is kept of MQTT. None is ever refused: what it would change and is not there
/// needs no change.
#[derive(Clone, Debug)]
pub enum MqttChange {
    /// Keeps a session in place of what was kept of it, and of any other under its client id.
    PutSession(MqttSessionRow),
    /// Keeps what of a session is on its way.
    PutFlight {
        /// Which session.
        number: u64,
        /// As JSON.
        flight: Json,
    },
    /// Ends a session: with its queue and its place in the events.
    RemoveSession {
        /// Which.
        number: u64,
    },
    /// Says of a session that its client is back: it does not wait for its end any more, nor does
    /// its will for its time.
    Resumed {
        /// Which.
        number: u64,
    },
    /// Takes away a session's will that was due by then.
    ForgetWill {
        /// Which.
        number: u64,
        /// By when.
        due: Timestamp,
    },
    /// Keeps the last words of a connection, in place of its predecessor's.
    PutConnection(MqttConnectionRow),
    /// Forgets a connection: its last words are said.
    RemoveConnection {
        /// Which.
        number: u64,
    },
    /// Forgets of a connection all but its will: that the board left is kept elsewhere.
    KeepWillAlone {
        /// Which.
        number: u64,
    },
    /// Says of every connection that is known, and of every session without an end of its connection,
    /// that it ended then. Boards that are told of are away from then on. Wills become those of their
    /// sessions, which are made, and over at once, where there was none.
    Interrupted {
        /// When.
        at: Timestamp,
        /// The data of the events that will tell of the boards.
        told: Json,
    },
    /// Moves times of sessions and queues that lie between two, and were taken from a clock that was
    /// wrong.
    Shift {
        /// The first.
        from: Timestamp,
        /// The last.
        to: Timestamp,
        /// By how much.
        by: SignedDuration,
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
    /// Keeps that a board left, in place of what was kept of it.
    PutAbsence(MqttAbsenceRow),
    /// Forgets that a board left.
    RemoveAbsence {
        /// Whose.
        tenant: Tenant,
        /// Which board.
        device: DeviceId,
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
    /// Whether it only frees space, or moves a reader; or is of the ends of connections, which come
    /// about whether there is room or not, and take little: one short row for each board.
    pub(super) fn frees_space(&self) -> bool {
        matches!(
            self,
            Self::RemoveSession { .. }
                | Self::Interrupted { .. }
                | Self::ForgetWill { .. }
                | Self::RemoveConnection { .. }
                | Self::KeepWillAlone { .. }
                | Self::Shift { .. }
                | Self::PutAbsence(_)
                | Self::Unqueue(_)
                | Self::RemoveRetained { .. }
                | Self::RemoveAbsence { .. }
                | Self::AdvanceReader { .. }
                | Self::DropReader { .. }
        )
    }

    /// Bytes that it adds.
    pub(super) fn body_bytes(&self) -> usize {
        match self {
            Self::PutConnection(row) => {
                let will = row.words.will.as_ref().map_or(0, |(_, data)| data.as_str().len());
                row.owner.as_str().len() + row.client_id.len() + will
            }
            Self::PutSession(row) => {
                row.state.as_str().len() + row.flight.as_ref().map_or(0, |it| it.as_str().len())
            }
            Self::PutFlight { flight, .. } => flight.as_str().len(),
            Self::Queue(rows) => rows.iter().map(|row| bytes_of(&row.message)).sum(),
            Self::PutRetained(row) => bytes_of(&row.message),
            _ => 0,
        }
    }
}

/// The name of a program's session as a reader of the events.
#[must_use]
pub fn session_reader(number: u64) -> Box<str> {
    format!("{SESSION_READERS}{number}").into_boxed_str()
}

/// The session whose reader has that name, if it is one's.
#[must_use]
pub fn session_of(reader: &str) -> Option<u64> {
    reader.strip_prefix(SESSION_READERS)?.parse().ok()
}

/// How the names of sessions' readers begin.
const SESSION_READERS: &str = "mqtt:";

fn bytes_of(message: &Message) -> usize {
    usize::try_from(len(message)).unwrap_or(usize::MAX)
}
