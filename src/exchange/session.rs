//! One session as the exchange knows it, with a connection or without.

use super::index::Entry;
use super::queue::Queue;
use crate::store::{MqttSessionRow, Position, session_reader};
use ::mqtt::{Filter, SubscriptionRecord};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Expiries that never come.
pub(super) const NEVER_S: u32 = u32::MAX;

/// Whose session, and under which client id.
pub(super) type Key = (Tenant, DeviceId, Box<str>);

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) tenant: Tenant,
    pub(super) owner: DeviceId,
    pub(super) client_id: Box<str>,
    pub(super) is_program: bool,
    inner: Mutex<Inner>,
}

/// What changes of it.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Counts connections, so that what an earlier one says late is not taken for the present one's.
    pub(super) generation: u64,
    pub(super) is_live: bool,
    /// Whether it is over, and only an old connection still speaks of it.
    pub(super) is_over: bool,
    /// Ends the connection when the session is ended from here.
    pub(super) ended: CancellationToken,
    /// Whether it outlives its connection.
    pub(super) is_kept: bool,
    pub(super) expiry_s: u32,
    pub(super) left_at: Option<Timestamp>,
    pub(super) will: Option<(Timestamp, Json)>,
    /// What is kept of it, as JSON.
    pub(super) state: Option<Json>,
    pub(super) readable: Arc<[Filter]>,
    pub(super) subscribed: Vec<SubscriptionRecord>,
    pub(super) queue: Queue,
    pub(super) reading: Option<Reading>,
}

/// A program's place in the events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) done: Position,
    /// What is on disk of it; `None` while it has no cursor there.
    pub(super) stored: Option<Position>,
}

impl Session {
    pub(super) fn new(number: u64, (tenant, owner, client_id): Key, is_program: bool) -> Arc<Self> {
        let inner = Mutex::default();
        Arc::new(Self { number, tenant, owner, client_id, is_program, inner })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(super) fn key(&self) -> Key {
        (self.tenant.clone(), self.owner.clone(), self.client_id.clone())
    }

    /// Its name as a reader of the events.
    pub(super) fn reader(&self) -> Box<str> {
        session_reader(self.number)
    }

    pub(super) fn entry(
        self: &Arc<Self>,
        record: &SubscriptionRecord,
        readable: &Arc<[Filter]>,
    ) -> Option<Entry> {
        Entry::new(self, &record.filter, (record.qos, record.no_local), readable)
    }

    /// What is to be on disk of it.
    pub(super) fn row(&self, inner: &Inner) -> MqttSessionRow {
        MqttSessionRow {
            number: self.number,
            tenant: self.tenant.clone(),
            owner: self.owner.clone(),
            client_id: self.client_id.clone(),
            state: inner.state.clone().unwrap_or_else(Json::empty_object),
            expiry_s: inner.expiry_s,
            left_at: inner.left_at,
            will: inner.will.clone(),
        }
    }
}

impl Inner {
    /// When it ends, where it has no connection and will end.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let left_at = self.left_at.filter(|_| self.expiry_s != NEVER_S)?;
        left_at.checked_add(SignedDuration::from_secs(self.expiry_s.into())).ok()
    }

    /// When there is something to do about it: its will, or its end.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let will_at = self.will.as_ref().map(|(at, _)| *at);
        [will_at, self.expires_at()].into_iter().flatten().min()
    }
}
