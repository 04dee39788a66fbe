//! What was kept, read at start.

use super::house::GROUP_READERS;
use super::queue::{At, Row};
use super::route::seconds;
use super::session::{Reading, Session};
use super::{Exchange, SHARED_KEYS};
use crate::store::{
    MqttChange, MqttSessionRow, Operation, Position, ReadError, WriteError, session_of,
};
use ::mqtt::{CloseReason, LastWords};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows of one read.
const PAGE_ROWS: usize = 5_000;

/// Why what was kept could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What does not belong to anything any more could not be removed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The numbers that are taken.
#[derive(Default)]
struct Taken {
    number: u64,
    key: u64,
}

impl Exchange {
    /// Takes up sessions, queues, retained messages and programs' places as they are on disk.
    /// Who was connected when the daemon ended counts as left now: boards are away, wills are due.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or not be written to.
    pub async fn load(&self) -> Result<(), LoadError> {
        let now = self.clock.now().wall;
        let told = LastWords::gone(CloseReason::Lost);
        let interrupted = Operation::Mqtt(MqttChange::Interrupted { at: now, told });
        self.writer.transact(vec![interrupted]).await?;
        let (mut readers, groups) = self.readers().await?;
        self.groups.place(groups);
        let head = self.store.head().await?.into_iter().next().unwrap_or_default();
        let mut taken = Taken::default();
        let mut strays = Vec::new();
        loop {
            let page = self.store.mqtt_sessions(taken.number, PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            taken.number = last.number;
            for row in page {
                let done = readers.remove(&*crate::store::session_reader(row.number));
                strays.extend(self.load_session(row, done, head, &mut taken));
            }
        }
        strays.extend(self.load_queues(&mut taken).await?);
        self.load_retained(&mut taken).await?;
        let gone = readers.into_keys().chain(self.groups.strays());
        strays.extend(gone.map(|name| MqttChange::DropReader { name }));
        self.numbers.store(taken.number + 1, Ordering::Relaxed);
        self.keys.store(taken.key + 1, Ordering::Relaxed);
        if !strays.is_empty() {
            self.writer.transact(strays.into_iter().map(Operation::Mqtt).collect()).await?;
        }
        Ok(())
    }

    /// The places of programs' sessions and of groups.
    async fn readers(
        &self,
    ) -> Result<(HashMap<Box<str>, Position>, HashMap<Box<str>, Position>), ReadError> {
        let cursors = self.store.cursors().await?.into_iter();
        let cursors = cursors.map(|cursor| (cursor.name, cursor.done));
        let (shared, rest): (HashMap<_, _>, HashMap<_, _>) =
            cursors.partition(|(name, _)| name.starts_with(GROUP_READERS));
        let own = rest.into_iter().filter(|(name, _)| session_of(name).is_some()).collect();
        Ok((own, shared))
    }

    fn load_session(
        &self,
        row: MqttSessionRow,
        done: Option<Position>,
        head: Position,
        taken: &mut Taken,
    ) -> Vec<MqttChange> {
        let (number, is_program) = (row.number, row.owner.is_program());
        let key = (row.tenant.clone(), row.owner.clone(), row.client_id.clone());
        let session = Session::new(number, key.clone(), is_program);
        let mut inner = session.lock();
        let state = inner.take_up(row);
        if is_program {
            let reading = Reading { done: done.unwrap_or(head), stored: done };
            inner.reading = Some(reading);
        }
        let inflight = state.inflight.iter().map(|it| it.key);
        let own = inflight.filter(|key| !is_program && *key < SHARED_KEYS).max();
        taken.key = taken.key.max(own.unwrap_or(0));
        let mut changes = self.resubscribe(&session, &mut inner, &state.subscriptions);
        changes.extend(inner.settle_place(&session, &state.subscriptions));
        if let Some(at) = inner.due_at() {
            self.timers.lock().insert((at, number));
        }
        drop(inner);
        self.count_in(&session);
        self.by_number.insert(number, Arc::clone(&session));
        self.sessions.insert(key, session);
        changes
    }

    /// Takes up what is known of queued messages; what is in the queue of no session is to go.
    async fn load_queues(&self, taken: &mut Taken) -> Result<Option<MqttChange>, ReadError> {
        let (mut after, mut strays) = ((0, 0), Vec::new());
        loop {
            let page = self.store.mqtt_queue_marks(after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            after = (last.session, last.key);
            for mark in page {
                taken.key = taken.key.max(mark.key);
                taken.number = taken.number.max(mark.session);
                let Some(session) = self.by_number.get(&mark.session) else {
                    strays.push((mark.session, mark.key));
                    continue;
                };
                session.lock().queue.insert(Row {
                    key: mark.key,
                    bytes: u32::try_from(mark.bytes).unwrap_or(u32::MAX),
                    queued_at_s: seconds(mark.queued_at),
                    at: At::Stored,
                });
            }
        }
        Ok((!strays.is_empty()).then_some(MqttChange::Unqueue(strays)))
    }

    async fn load_retained(&self, taken: &mut Taken) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let page = self.store.mqtt_retained(after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.tenant.clone(), last.message.topic.clone()));
            taken.key = page.iter().map(|row| row.key).fold(taken.key, u64::max);
            self.retained.load(page);
        }
    }
}
