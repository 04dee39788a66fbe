//! How sessions end, and what is published of them.

use super::session::{Inner, Session};
use super::{Exchange, Place, RetainNot, queue};
use crate::store::{MqttChange, Operation, WriteError};
use jiff::Timestamp;
use model::{Event, EventType, Json};
use std::sync::Arc;

impl Exchange {
    /// Ends a session on disk, with its will and an event that tells of it, and then here. What its
    /// connection has on its way to the disk comes before.
    pub(super) async fn end(
        &self,
        session: &Arc<Session>,
        reason: &str,
        told: Option<Event>,
    ) -> Result<(), WriteError> {
        let (will, was_kept, has_row, busy) = loop {
            let settled = session.settled();
            {
                let mut inner = session.lock();
                if inner.is_over && !session.is_busy() {
                    return Ok(());
                }
                if !session.is_busy() {
                    inner.is_over = true;
                    // The last words of a connection that is there are its own to say.
                    let has_row = inner.words.is_some() && !inner.is_live;
                    break (inner.will.clone(), inner.is_kept, has_row, session.busy());
                }
            }
            settled.await;
        };
        if was_kept {
            let number = session.number;
            let mut operations = vec![Operation::Mqtt(MqttChange::RemoveSession { number })];
            if has_row {
                operations.push(Operation::Mqtt(MqttChange::RemoveConnection { number }));
            }
            if let Err(error) = self.write_end(session, will, told, operations).await {
                session.lock().is_over = false;
                return Err(error);
            }
            self.release(session, reason);
        }
        let (changes, was_live) = {
            let mut inner = session.lock();
            let was_live = inner.is_live;
            (self.forget(session, &mut inner), was_live)
        };
        drop(busy);
        // A program's connection waits for it, a board's looks when it is rung.
        self.ring(session, was_live && !session.is_program);
        if changes.is_empty() {
            return Ok(());
        }
        self.writer.transact(changes.into_iter().map(Operation::Mqtt).collect()).await
    }

    /// Without room, the session goes without a word of it; one with a will stays for that, and holds
    /// nothing back.
    async fn write_end(
        &self,
        session: &Session,
        will: Option<(Timestamp, Json)>,
        told: Option<Event>,
        operations: Vec<Operation>,
    ) -> Result<(), WriteError> {
        let has_will = will.is_some();
        let event = will.map(|(_, data)| self.will_event(session, data));
        let events = event.into_iter().chain(told).collect();
        let ended = self.publish(events, operations.clone()).await;
        match ended {
            Ok(()) if has_will => self.metrics.wills.inc(),
            Err(WriteError::Full) if !has_will => return self.writer.transact(operations).await,
            Err(WriteError::Full) => {
                let stored = session.lock().reading.as_mut().and_then(|it| it.stored.take());
                if stored.is_some() {
                    let drop = MqttChange::DropReader { name: session.reader() };
                    self.writer.transact(vec![Operation::Mqtt(drop)]).await?;
                }
            }
            Ok(()) | Err(_) => {}
        }
        ended
    }

    /// What goes from the disk with a program's part in groups.
    pub(super) fn ungroup(&self, session: &Session, inner: &Inner) -> Vec<MqttChange> {
        if session.is_program { self.groups.regroup(session, inner, &[]) } else { Vec::new() }
    }

    /// Takes a session out of memory.
    pub(super) fn forget(&self, session: &Arc<Session>, inner: &mut Inner) -> Vec<MqttChange> {
        self.timers.lock().retain_not(inner.due_at(), session.number);
        inner.is_over = true;
        inner.is_live = false;
        inner.ended.cancel();
        let records = std::mem::take(&mut inner.subscribed);
        self.unsubscribe(session, inner, &records);
        inner.queue = queue::Queue::default();
        let changes = self.ungroup(session, inner);
        self.by_number.remove(&session.number);
        if let Place::Occupied(entry) = self.sessions.entry(session.key())
            && Arc::ptr_eq(entry.get(), session)
        {
            entry.remove();
        }
        changes
    }

    /// Makes events durable with operations, and routes what they were on MQTT.
    pub(super) async fn publish(
        &self,
        mut events: Vec<Event>,
        mut operations: Vec<Operation>,
    ) -> Result<(), WriteError> {
        let mut routed = self.route(&events);
        events.extend(routed.take_events());
        operations.extend(routed.take_operations());
        match self.writer.append(events, operations).await {
            Ok(()) => {
                routed.committed();
                Ok(())
            }
            Err(error) => {
                routed.refused();
                Err(error)
            }
        }
    }

    pub(super) fn will_event(&self, session: &Session, data: Json) -> Event {
        Event {
            tenant: session.tenant.clone(),
            device: session.owner.clone(),
            kind: EventType::WILL_PUBLISHED,
            time: self.clock.now().wall,
            data,
            facts: None,
        }
    }
}
