//! How sessions end, and what is published of them.

use super::session::{Inner, Session};
use super::{Exchange, Place, RetainNot, queue};
use crate::store::{MqttChange, Operation, WriteError};
use model::{Event, EventType, Json};
use std::sync::Arc;

impl Exchange {
    /// Ends a session on disk, with its will and an event that tells of it, and then here.
    pub(super) async fn end(
        &self,
        session: &Arc<Session>,
        reason: &str,
        told: Option<Event>,
    ) -> Result<(), WriteError> {
        let (will, was_kept) = {
            let mut inner = session.lock();
            if std::mem::replace(&mut inner.is_over, true) {
                return Ok(());
            }
            (inner.will.clone(), inner.is_kept)
        };
        if was_kept {
            let event = will.map(|(_, data)| self.will_event(session, data));
            let events = event.into_iter().chain(told).collect();
            let change = MqttChange::RemoveSession { number: session.number };
            let operations = vec![Operation::Mqtt(change)];
            let mut ended = self.publish(events, operations.clone()).await;
            if matches!(ended, Err(WriteError::Full)) {
                ended = self.writer.transact(operations).await;
            }
            if let Err(error) = ended {
                session.lock().is_over = false;
                return Err(error);
            }
            self.release(reason);
        }
        let changes = self.forget(session, &mut session.lock());
        if changes.is_empty() {
            return Ok(());
        }
        self.writer.transact(changes.into_iter().map(Operation::Mqtt).collect()).await
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
        let changes =
            if session.is_program { self.groups.regroup(session, inner, &[]) } else { Vec::new() };
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
