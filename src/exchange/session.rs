//! One session as the exchange knows it, with a connection or without.

use super::index::Entry;
use super::kept::Written;
use super::places::Places;
use super::progress::Ahead;
use super::queue::Queue;
use crate::store::{MqttConnectionRow, MqttSessionRow, Position, session_reader};
use ::mqtt::{Filter, LastWords, SubscriptionRecord};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
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
    /// How many are writing of it: who would take it up waits.
    busy: AtomicUsize,
    settled: Notify,
}

/// Something of a session is on its way to the disk, and not known of until it is there.
#[derive(Debug)]
pub(super) struct Busy(Arc<Session>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
        self.0.settled.notify_waiters();
    }
}

/// What changes of it.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Counts connections, so that what an earlier one says late is not taken for the present one's.
    pub(super) generation: u64,
    pub(super) is_live: bool,
    /// The last connection whose last words another has said.
    pub(super) said: u64,
    /// Last words that are on disk.
    pub(super) words: Option<LastWords>,
    /// Whether it is over, and only an old connection still speaks of it.
    pub(super) is_over: bool,
    /// Ends the connection when the session is ended from here.
    pub(super) ended: CancellationToken,
    /// Whether it outlives its connection.
    pub(super) is_kept: bool,
    pub(super) expiry_s: u32,
    /// As it is on disk: while it has a connection that is not welcome yet, too.
    pub(super) left_at: Option<Timestamp>,
    pub(super) will: Option<(Timestamp, Json)>,
    /// What is on disk of it, as JSON: what changes seldom; none while nothing is.
    pub(super) state: Option<Json>,
    /// With what that was written; none where it is to be written in any case.
    pub(super) written: Option<Written>,
    /// What is on disk of what is on its way.
    pub(super) flight: Option<Json>,
    pub(super) readable: Arc<[Filter]>,
    pub(super) subscribed: Vec<SubscriptionRecord>,
    pub(super) queue: Queue,
    /// How far it is with what is retained.
    pub(super) places: Places,
    pub(super) reading: Option<Reading>,
    /// What a program is done with beyond that.
    pub(super) ahead: Ahead,
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
        let (inner, busy, settled) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        Arc::new(Self { number, tenant, owner, client_id, is_program, inner, busy, settled })
    }

    /// Whoever else would write of it waits until this is dropped. Call it with the lock held.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    /// Resolves when somebody has written of it, from now on.
    pub(super) fn settled(&self) -> Notified<'_> {
        self.settled.notified()
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
    pub(super) fn row(
        &self,
        inner: &Inner,
        (state, flight): (Json, Json),
        left: Left<'_>,
    ) -> MqttSessionRow {
        MqttSessionRow {
            number: self.number,
            tenant: self.tenant.clone(),
            owner: self.owner.clone(),
            client_id: self.client_id.clone(),
            state,
            flight: Some(flight),
            expiry_s: inner.expiry_s,
            left_at: left.map(|(at, _)| at),
            will: left.and_then(|(_, will)| will.cloned()),
        }
    }

    /// What is to be on disk of its connection.
    pub(super) fn connection(&self, words: &LastWords) -> MqttConnectionRow {
        MqttConnectionRow {
            number: self.number,
            tenant: self.tenant.clone(),
            owner: self.owner.clone(),
            client_id: self.client_id.clone(),
            words: words.clone(),
        }
    }
}

/// When its connection ended, and the will that waits.
pub(super) type Left<'a> = Option<(Timestamp, Option<&'a (Timestamp, Json)>)>;

impl Inner {
    /// The connection is gone: what it had is on disk or lost.
    pub(super) fn detach(&mut self) {
        self.queue.detach();
        self.places.detach();
    }

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
