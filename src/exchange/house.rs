//! What is done by the clock: what was acknowledged is written behind, wills and expiries come due,
//! what waits too long and who is too far behind is let go.

use super::Exchange;
use super::retained::Step;
use super::route::seconds;
use super::session::{Inner, Session};
use crate::deliver::Lag;
use crate::store::{MqttChange, Operation, Position, ReadError, WriteError, session_of};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Event, EventType, Json, Tenant};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tracing::{debug, warn};

/// How far each reader of the events is behind.
pub(super) type Lags = HashMap<Box<str>, Lag>;

/// Most sessions whose time has come in one look.
const DUE_STEP_MAX: usize = 500;
/// Most retained messages that expire in one sweep: they are not sent from the moment on.
const RETAINED_STEP_MAX: usize = 1_000;
/// Most messages that are given up for their age in one transaction.
const AGED_STEP_MAX: usize = 5_000;

/// How the names of groups' readers of the events begin.
pub(super) const GROUP_READERS: &str = "share:";

/// What became of a program's place in the events: the data of `lastmile.session.dropped`.
#[derive(Serialize)]
struct Dropped<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<&'a str>,
    cause: &'static str,
    /// Everything up to here was delivered.
    done: String,
}

impl Exchange {
    /// Does what is due; once a second.
    pub async fn look(&self, now: Timestamp) {
        self.write_behind().await;
        for session in self.take_due(now) {
            if let Err(error) = self.do_due(&session, now).await {
                debug!(%error, "a session's end is not kept; tried again");
                self.timers.lock().insert((now, session.number));
            }
        }
    }

    /// Lets go of what has waited too long and of who is too far behind; every few seconds.
    pub async fn sweep(&self, now: Timestamp) {
        self.give_up_aged(now).await;
        self.expire_retained(now).await;
        if let Err(error) = self.drop_laggards().await {
            warn!(%error, "how far programs are behind could not be counted");
        }
        if let Err(error) = self.drop_strays().await {
            warn!(%error, "readers of the events could not be looked through");
        }
    }

    /// Writes what was acknowledged, and how far programs have come.
    pub async fn write_behind(&self) {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let (mut keys, mut changes, mut sessions) = (Vec::new(), self.groups.moved(), Vec::new());
        for number in dirty {
            let Some(session) = self.by_number.get(&number).map(|found| Arc::clone(&found)) else {
                continue;
            };
            let mut inner = session.lock();
            keys.extend(inner.queue.acknowledged.drain(..).map(|key| (number, key)));
            if let Some(reading) = inner.reading.as_mut()
                && reading.stored.is_some_and(|stored| stored < reading.done)
            {
                reading.stored = Some(reading.done);
                let (name, to) = (session.reader(), reading.done);
                changes.push(MqttChange::AdvanceReader { name, to });
            }
            drop(inner);
            sessions.push(session);
        }
        if !keys.is_empty() {
            changes.push(MqttChange::Unqueue(keys.clone()));
        }
        if changes.is_empty() {
            return;
        }
        let operations = changes.into_iter().map(Operation::Mqtt).collect();
        let Err(error) = self.writer.transact(operations).await else { return };
        debug!(%error, "acknowledgements are not written; tried again");
        // A reader's place is written with its next step; it is at most so far behind.
        for (number, key) in keys {
            let session = self.by_number.get(&number).map(|found| Arc::clone(&found));
            if let Some(session) = session {
                session.lock().queue.acknowledged.push(key);
                self.dirty.lock().insert(number);
            }
        }
    }

    fn take_due(&self, now: Timestamp) -> Vec<Arc<Session>> {
        let mut timers = self.timers.lock();
        let mut due = Vec::new();
        while due.len() < DUE_STEP_MAX
            && timers.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, number)) = timers.pop_first()
        {
            due.extend(self.by_number.get(&number).map(|found| Arc::clone(&found)));
        }
        due
    }

    async fn do_due(&self, session: &Arc<Session>, now: Timestamp) -> Result<(), WriteError> {
        let (told, will, busy) = {
            let mut inner = session.lock();
            if inner.is_live || inner.is_over {
                return Ok(());
            }
            if session.is_busy() {
                self.timers.lock().insert((now, session.number));
                return Ok(());
            }
            if inner.expires_at().is_none_or(|at| at > now) {
                let Some(will) = inner.will.clone().filter(|(at, _)| *at <= now) else {
                    return Ok(());
                };
                (None, Some((will, inner.words.is_some())), Some(session.busy()))
            } else {
                (self.expired(session, &mut inner), None, None)
            }
        };
        let Some(((at, data), has_row)) = will else {
            return self.end(session, "expired", told).await;
        };
        let number = session.number;
        let mut changes = vec![MqttChange::ForgetWill { number, due: at }];
        if has_row {
            changes.push(MqttChange::RemoveConnection { number });
        }
        let operations = changes.into_iter().map(Operation::Mqtt).collect();
        self.publish(vec![self.will_event(session, data)], operations).await?;
        self.metrics.wills.inc();
        {
            let mut inner = session.lock();
            (inner.will, inner.words) = (None, None);
            if let Some(at) = inner.due_at() {
                self.timers.lock().insert((at, number));
            }
        }
        drop(busy);
        Ok(())
    }

    /// What tells of a session's end, where anything goes with it.
    fn expired(&self, session: &Session, inner: &mut Inner) -> Option<Event> {
        let waiting = inner.queue.len();
        if session.is_program {
            let done = inner.reading.map(|reading| reading.done).unwrap_or_default();
            // One that was to end with its connection only waited with its will.
            (inner.expiry_s > 0).then(|| self.session_dropped(session, "expired", done))
        } else if waiting > 0 {
            self.note_loss(session, inner, "session_ended", waiting)
        } else {
            None
        }
    }

    async fn give_up_aged(&self, now: Timestamp) {
        let age = SignedDuration::try_from(self.options.queue_age_max);
        let before = age.ok().and_then(|age| now.checked_sub(age).ok()).unwrap_or(Timestamp::MIN);
        let before_s = seconds(before);
        let (mut keys, mut events, mut waiting) = (Vec::new(), Vec::new(), 0);
        let sessions: Vec<_> = self.by_number.iter().map(|found| Arc::clone(&found)).collect();
        for session in sessions {
            let mut inner = session.lock();
            if keys.len() < AGED_STEP_MAX {
                let aged = inner.queue.older_than(before_s);
                if !aged.is_empty() {
                    events.extend(self.note_loss(&session, &mut inner, "age", aged.len()));
                    for key in &aged {
                        inner.queue.remove(*key);
                    }
                    keys.extend(aged.into_iter().map(|key| (session.number, key)));
                }
            }
            waiting += inner.queue.len();
        }
        self.metrics.queued.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        if keys.is_empty() {
            return;
        }
        let operation = Operation::Mqtt(MqttChange::Unqueue(keys));
        self.write(events, vec![operation]).await;
    }

    async fn expire_retained(&self, now: Timestamp) {
        let steps = self.retained.expired(now, RETAINED_STEP_MAX);
        if steps.is_empty() {
            return;
        }
        let operations = steps.iter().map(Step::operation).collect();
        match self.writer.transact(operations).await {
            Ok(()) => steps.into_iter().for_each(|step| self.retained.apply(step)),
            Err(error) => debug!(%error, "expired messages are not removed; tried again"),
        }
    }

    /// Ends programs' sessions, and moves groups on, that hold back more than they may.
    async fn drop_laggards(&self) -> Result<(), ReadError> {
        let Some(head) = self.store.head().await?.into_iter().next() else { return Ok(()) };
        let mut lags = self.lags.lock().await;
        let mut known = Lags::with_capacity(lags.len());
        for session in self.kept_programs() {
            let Some(reading) = session.lock().reading else { continue };
            let name = session.reader();
            if self.is_behind(&mut lags, &mut known, &name, reading.done, head).await? {
                let told = self.session_dropped(&session, "lag", reading.done);
                if let Err(error) = self.end(&session, "lag", Some(told)).await {
                    debug!(%error, "the end of a session is not kept; tried again");
                }
            }
        }
        for reader in self.groups.readers() {
            if self.is_behind(&mut lags, &mut known, &reader.name, reader.done, head).await? {
                let (tenant, shared) = (&reader.group.tenant, &*reader.group.text);
                let Some(owner) = reader.group.skip(head) else { continue };
                let told = self.dropped(tenant, owner, (None, Some(shared)), "lag", reader.done);
                self.metrics.sessions_ended.with_label_values(&["lag"]).inc();
                let change = MqttChange::AdvanceReader { name: reader.name, to: head };
                self.write(vec![told], vec![Operation::Mqtt(change)]).await;
            }
        }
        *lags = known;
        Ok(())
    }

    /// Forgets readers of the events that no session and no group has, or has any more: whatever became of the write
    /// that was to take them away, nothing waits for them. Those alone that were there at the last
    /// look, too: what is being written is not looked at.
    async fn drop_strays(&self) -> Result<(), ReadError> {
        let mut names: Vec<_> = self.store.cursors().await?.into_iter().map(|it| it.name).collect();
        let groups: HashSet<_> = self.groups.readers().into_iter().map(|it| it.name).collect();
        names.retain(|name| match session_of(name) {
            Some(number) => {
                let session = self.by_number.get(&number).map(|found| Arc::clone(&found));
                let place = session.and_then(|session| session.lock().reading);
                place.is_none_or(|place| place.stored.is_none())
            }
            None => name.starts_with(GROUP_READERS) && !groups.contains(name),
        });
        let before = std::mem::replace(&mut *self.strays.lock(), names.iter().cloned().collect());
        names.retain(|name| before.contains(name));
        if names.is_empty() {
            return Ok(());
        }
        let drop = |name| Operation::Mqtt(MqttChange::DropReader { name });
        self.write(Vec::new(), names.into_iter().map(drop).collect()).await;
        Ok(())
    }

    async fn is_behind(
        &self,
        lags: &mut Lags,
        known: &mut Lags,
        name: &str,
        done: Position,
        head: Position,
    ) -> Result<bool, ReadError> {
        let max = self.options.program_session_lag_max;
        let mut lag = lags.remove(name).unwrap_or_else(|| Lag::new(max));
        let bytes = lag.count(&*self.store, done, head).await?;
        if bytes <= max {
            known.insert(name.into(), lag);
        }
        Ok(bytes > max)
    }

    pub(super) fn kept_programs(&self) -> Vec<Arc<Session>> {
        // Collected before any is locked: whoever holds a session may want to take it out of there.
        let all: Vec<_> = self.by_number.iter().map(|found| Arc::clone(&found)).collect();
        let has_place = |session: &Arc<Session>| {
            let place = if session.is_program { session.lock().reading } else { None };
            place.is_some_and(|place| place.stored.is_some())
        };
        all.into_iter().filter(has_place).collect()
    }

    fn session_dropped(&self, session: &Session, cause: &'static str, done: Position) -> Event {
        let (tenant, owner) = (&session.tenant, session.owner.clone());
        self.dropped(tenant, owner, (Some(&session.client_id), None), cause, done)
    }

    fn dropped(
        &self,
        tenant: &Tenant,
        owner: DeviceId,
        (client_id, shared): (Option<&str>, Option<&str>),
        cause: &'static str,
        done: Position,
    ) -> Event {
        Event {
            tenant: tenant.clone(),
            device: owner,
            kind: EventType::SESSION_DROPPED,
            time: self.clock.now().wall,
            data: Json::of(&Dropped { client_id, shared, cause, done: done.to_string() }),
            facts: None,
        }
    }

    /// Writes changes that free space, with what tells of them where there is room for it.
    async fn write(&self, events: Vec<Event>, operations: Vec<Operation>) {
        let mut written = self.writer.append(events, operations.clone()).await;
        if matches!(written, Err(WriteError::Full)) {
            written = self.writer.transact(operations).await;
        }
        if let Err(error) = written {
            warn!(%error, "what was let go of MQTT sessions is not written");
        }
    }
}
