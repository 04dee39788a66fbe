//! What happened to a board: for its events, and to be counted.

use crate::store::{BoardRow, BoardStep};
use jiff::Timestamp;
use model::{DeviceId, Event, EventType, Json, Redacted};
use serde::Serialize;
use soracom::{Actor, FieldFault, Status};

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// It moved.
    Moved(BoardStep),
    /// A status that it may not take on was said.
    Refused(RefusedStatus),
    /// The same, which was told of before.
    RefusedAgain(&'static str),
    /// Its SIM is another board's from now on.
    SimMoved(SimMoved),
    /// What is said of it does not agree.
    Disagreed(Disagreement),
    /// A field did not count.
    Fault(FieldFault),
    /// A message on the boards' topic could not be read, or is of no board.
    Unreadable(&'static str),
}

/// A status that was refused.
#[derive(Clone, Debug)]
pub(super) struct RefusedStatus {
    /// The one that was said; `None` where it is no status.
    pub(super) wanted: Option<Status>,
    pub(super) actor: Actor,
    /// The name of the token.
    pub(super) by: Option<Box<str>>,
    pub(super) reason: &'static str,
}

/// A SIM that another board has from now on.
#[derive(Clone, Debug)]
pub(super) struct SimMoved {
    pub(super) imsi: Redacted<Box<str>>,
    pub(super) to: DeviceId,
}

/// Two that say different numbers of the same thing.
#[derive(Clone, Debug)]
pub(super) struct Disagreement {
    /// `imei` or `imsi`.
    pub(super) name: &'static str,
    pub(super) said: Redacted<Box<str>>,
    /// `payload`, `envelope` or `network`.
    pub(super) by: &'static str,
    pub(super) known: Redacted<Box<str>>,
    /// `connection`, `network`, `record`, `order` or `another_board`.
    pub(super) known_by: &'static str,
}

impl Note {
    /// The event that tells of it, where one does.
    pub(super) fn event(&self, row: &BoardRow, at: Timestamp) -> Option<Event> {
        let (kind, data) = match self {
            Self::Moved(step) => (EventType::BOARD_STATUS_CHANGED, changed(step)),
            Self::Refused(refused) => {
                (EventType::BOARD_STATUS_REFUSED, self::refused(refused, row, at))
            }
            Self::Disagreed(it) => (EventType::BOARD_IDENTITY_MISMATCHED, mismatched(it, at)),
            Self::SimMoved(moved) => (EventType::BOARD_SIM_MOVED, sim_moved(moved, at)),
            Self::RefusedAgain(_) | Self::Fault(_) | Self::Unreadable(_) => return None,
        };
        let (tenant, device) = (row.tenant.clone(), row.device.clone());
        Some(Event { tenant, device, kind, time: at, data, facts: None })
    }
}

fn changed(step: &BoardStep) -> Json {
    #[derive(Serialize)]
    struct Data<'a> {
        old: Option<u8>,
        new: u8,
        actor: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        evidence: Option<&'a str>,
        time: Timestamp,
    }
    Json::of(&Data {
        old: step.old.map(Status::number),
        new: step.new.number(),
        actor: step.actor.as_str(),
        by: step.by.as_deref(),
        evidence: step.evidence.as_deref(),
        time: step.at,
    })
}

fn refused(refused: &RefusedStatus, row: &BoardRow, at: Timestamp) -> Json {
    #[derive(Serialize)]
    struct Data<'a> {
        board_status: Option<u8>,
        wanted: Option<u8>,
        reason: &'static str,
        actor: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        time: Timestamp,
    }
    Json::of(&Data {
        board_status: row.status.map(Status::number),
        wanted: refused.wanted.map(Status::number),
        reason: refused.reason,
        actor: refused.actor.as_str(),
        by: refused.by.as_deref(),
        time: at,
    })
}

fn sim_moved(moved: &SimMoved, at: Timestamp) -> Json {
    #[derive(Serialize)]
    struct Data<'a> {
        imsi: &'a str,
        to: &'a DeviceId,
        time: Timestamp,
    }
    Json::of(&Data { imsi: moved.imsi.expose(), to: &moved.to, time: at })
}

fn mismatched(it: &Disagreement, at: Timestamp) -> Json {
    #[derive(Serialize)]
    struct Data<'a> {
        name: &'static str,
        said: &'a str,
        by: &'static str,
        known: &'a str,
        known_by: &'static str,
        time: Timestamp,
    }
    let Disagreement { name, said, by, known, known_by } = it;
    let (said, known) = (said.expose(), known.expose());
    Json::of(&Data { name, said, by, known, known_by, time: at })
}
