//! What is on disk of a session: what it is subscribed to, which is long and changes seldom, and what is
//! on its way, which is short and changes with every packet. Each is written when it is another.

use super::index;
use super::places::{PlaceRecord, Places};
use super::progress::Ahead;
use super::session::{Inner, Left, Session};
use crate::store::{MqttChange, MqttSessionRow};
use ::mqtt::{Filter, InflightRecord, SessionState, SubscriptionRecord, split_shared};
use model::Json;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What changes seldom.
#[derive(Deserialize, Serialize)]
struct Standing {
    /// Without what is on its way; with it where an earlier version wrote it.
    session: SessionState,
    readable: Vec<Box<str>>,
}

/// What is on its way.
#[derive(Default, Deserialize, Serialize)]
struct Flight {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreleased: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inflight: Vec<InflightRecord>,
    /// How far the client is with what is retained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retained: Vec<PlaceRecord>,
    /// The number given last to one of those.
    #[serde(default)]
    last: u32,
    /// What a program is done with beyond its place in the events.
    #[serde(default)]
    ahead: Ahead,
}

/// What a session's row was written with, but for what it is subscribed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Written {
    expiry_s: u32,
    readable: Arc<[Filter]>,
}

/// What is on disk once it is written.
#[derive(Debug)]
pub(super) struct Handed {
    standing: Option<(Json, Written)>,
    flight: Json,
}

impl Inner {
    /// What is to be on disk of it in place of what is there; nothing where that is the same. `left`
    /// is always written.
    pub(super) fn hand_out(
        &mut self,
        session: &Session,
        state: &SessionState,
        left: Left<'_>,
    ) -> (Option<MqttChange>, Handed) {
        let flight = self.flight_of(session, state);
        let written = Written { expiry_s: self.expiry_s, readable: Arc::clone(&self.readable) };
        let is_same = self.written.as_ref() == Some(&written)
            && self.subscribed == state.subscriptions
            && (left.is_none() && self.left_at.is_none() && self.will.is_none());
        if is_same {
            let number = session.number;
            let is_new = self.flight.as_ref() != Some(&flight);
            let change = is_new.then(|| MqttChange::PutFlight { number, flight: flight.clone() });
            return (change, Handed { standing: None, flight });
        }
        // Until this is on disk, the next is another in any case.
        self.written = None;
        let readable = self.readable.iter().map(|filter| filter.as_str().into()).collect();
        let (subscriptions, expiry_s) = (state.subscriptions.clone(), state.expiry_s);
        let standing = SessionState { subscriptions, expiry_s, ..SessionState::default() };
        let standing = Json::of(&Standing { session: standing, readable });
        let row = session.row(self, (standing.clone(), flight.clone()), left);
        let standing = Some((standing, written));
        (Some(MqttChange::PutSession(row)), Handed { standing, flight })
    }

    /// What was handed out is on disk.
    pub(super) fn confirm(&mut self, handed: Handed) {
        if let Some((standing, written)) = handed.standing {
            (self.state, self.written) = (Some(standing), Some(written));
        }
        self.flight = Some(handed.flight);
    }

    /// Nothing of it is on disk any more.
    pub(super) fn forget_written(&mut self) {
        (self.state, self.written, self.flight) = (None, None, None);
    }

    fn flight_of(&self, session: &Session, state: &SessionState) -> Json {
        let (last, retained) = self.places.records(&state.subscriptions);
        Json::of(&Flight {
            unreleased: state.unreleased.clone(),
            inflight: state.inflight.clone(),
            retained,
            last,
            ahead: if session.is_program { self.ahead.clone() } else { Ahead::default() },
        })
    }

    /// The session as it is on disk.
    pub(super) fn kept(&self) -> SessionState {
        let standing = self.state.as_ref();
        let standing = standing.and_then(|it| serde_json::from_str::<Standing>(it.as_str()).ok());
        let session = standing.map(|standing| standing.session).unwrap_or_default();
        let flight = self.flight.as_ref();
        let flight = flight.and_then(|it| serde_json::from_str::<Flight>(it.as_str()).ok());
        match flight {
            Some(Flight { unreleased, inflight, .. }) => {
                SessionState { unreleased, inflight, ..session }
            }
            None => session,
        }
    }

    /// Takes up what is on disk; what is subscribed to is for the caller to take up.
    pub(super) fn take_up(&mut self, row: MqttSessionRow) -> SessionState {
        self.is_kept = true;
        (self.expiry_s, self.left_at, self.will) = (row.expiry_s, row.left_at, row.will);
        let standing = serde_json::from_str::<Standing>(row.state.as_str()).ok();
        self.state = Some(row.state);
        let Some(Standing { session, readable }) = standing else { return SessionState::default() };
        let readable = readable.iter().filter_map(|it| Filter::parse(it, index::UNLIMITED).ok());
        self.readable = readable.collect();
        let SessionState { subscriptions, unreleased, inflight, expiry_s, .. } = session;
        let flight = row.flight.and_then(|it| serde_json::from_str::<Flight>(it.as_str()).ok());
        let older = || Flight { unreleased, inflight, ..Flight::default() };
        let flight = flight.unwrap_or_else(older);
        self.flight = Some(Json::of(&flight));
        self.places = Places::of_records(flight.last, flight.retained, &subscriptions);
        self.ahead = flight.ahead;
        let (unreleased, inflight) = (flight.unreleased, flight.inflight);
        SessionState { subscriptions, unreleased, inflight, expiry_s, wants_retained: Vec::new() }
    }

    /// Has a program's place in the events on disk while it reads them for itself, and no longer: what
    /// is only shared, or nothing, holds back no trimming.
    pub(super) fn settle_place(
        &mut self,
        session: &Session,
        subscriptions: &[SubscriptionRecord],
    ) -> Option<MqttChange> {
        let name = session.reader();
        let is_own = |record: &SubscriptionRecord| split_shared(&record.filter).is_none();
        let reads = self.is_kept && subscriptions.iter().any(is_own);
        let reading = self.reading.as_mut()?;
        match (reads, reading.stored) {
            (true, None) => {
                reading.stored = Some(reading.done);
                Some(MqttChange::StartReader { name, at: reading.done })
            }
            (false, Some(_)) => {
                reading.stored = None;
                Some(MqttChange::DropReader { name })
            }
            _ => None,
        }
    }
}
