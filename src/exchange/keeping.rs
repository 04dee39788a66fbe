//! What is on disk of a session: asked for with the facts that belong to it, and taken for known only
//! once it is there. What was refused was never so.

use super::kept::Handed;
use super::session::{Busy, Inner, Left, NEVER_S, Session};
use super::{Exchange, Seat, is_present, queue};
use crate::store::{MqttChange, Operation};
use ::mqtt::{LastWords, SessionState};
use jiff::{SignedDuration, Timestamp};
use model::Json;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// The session is another connection's, or over: what is asked for it cannot be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the session is another connection's, or over")]
pub struct Gone;

/// What is to be on disk of a session, for the transaction of the facts of the same drain. Nobody
/// else takes the session up before its end is told, by [`Exchange::settle`] or
/// [`Exchange::left_unwritten`]. Dropped without, it counts as refused.
#[must_use = "say how the transaction ended"]
#[derive(Debug, Default)]
pub struct Keeping {
    operations: Vec<Operation>,
    step: Option<Step>,
    is_said: bool,
    /// A connection that is only to be forgotten.
    late: Option<u64>,
}

#[derive(Debug)]
struct Step {
    session: Arc<Session>,
    change: Change,
    /// Readers of groups that go with it, whether there is room or not.
    dropped: Vec<MqttChange>,
    _busy: Busy,
}

/// What follows here once it is on disk, and what is taken back if it is not.
#[derive(Debug, Default)]
struct Change {
    handed: Option<Handed>,
    /// Whether it was kept, and for how long; where a state was given.
    before: Option<(bool, u32)>,
    starts_reader: bool,
    arrival: Option<LastWords>,
    leaving: Option<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    at: Timestamp,
    will: Option<(Timestamp, Json)>,
    is_welcome: bool,
}

impl Keeping {
    fn new(session: &Arc<Session>, changes: Vec<MqttChange>, change: Change) -> Self {
        let drops = changes.iter().filter(|it| matches!(it, MqttChange::DropReader { .. }));
        let dropped = drops.cloned().collect();
        Self {
            operations: changes.into_iter().map(Operation::Mqtt).collect(),
            step: Some(Step {
                session: Arc::clone(session),
                change,
                dropped,
                _busy: session.busy(),
            }),
            ..Self::default()
        }
    }

    /// What must be in the facts' transaction.
    pub fn take_operations(&mut self) -> Vec<Operation> {
        mem::take(&mut self.operations)
    }

    /// Whether another connection has said this one's last words already.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.is_said
    }
}

impl Exchange {
    /// The client has arrived, and this is to be said of it if its end is not seen. `state` is its
    /// session's, where that is to be kept; where it is resumed, that it is back is kept in any case.
    ///
    /// # Errors
    ///
    /// When the session is not this connection's any more.
    pub fn arrive(
        &self,
        seat: &Seat,
        state: Option<&SessionState>,
        words: LastWords,
    ) -> Result<Keeping, Gone> {
        let session = &seat.session;
        let mut inner = session.lock();
        if !is_present(&inner, seat) {
            return Err(Gone);
        }
        let (mut changes, mut change) = match state {
            Some(state) => self.take_over(session, &mut inner, state, None),
            None => Default::default(),
        };
        if inner.is_kept && state.is_none() {
            changes.push(MqttChange::Resumed { number: session.number });
        }
        if !words.is_empty() {
            changes.push(MqttChange::PutConnection(session.connection(&words)));
        } else if inner.words.is_some() {
            changes.push(MqttChange::RemoveConnection { number: session.number });
        }
        change.arrival = Some(words);
        Ok(Keeping::new(session, changes, change))
    }

    /// What is to be on disk of a session as it now is; its subscriptions take messages from here on.
    /// Call it for a session that is not to be kept, too.
    ///
    /// # Errors
    ///
    /// When the session is not this connection's any more.
    pub fn keep(&self, seat: &Seat, state: &SessionState) -> Result<Keeping, Gone> {
        let session = &seat.session;
        let mut inner = session.lock();
        if !is_present(&inner, seat) {
            return Err(Gone);
        }
        let (mut changes, change) = self.take_over(session, &mut inner, state, None);
        if inner.is_kept {
            changes.extend(progress(session, &mut inner));
        }
        Ok(Keeping::new(session, changes, change))
    }

    /// The connection is over: what is to be on disk of it, with its last facts. The session ends, or
    /// waits for its client; `will` is the data of the event that tells of it and what is left of its
    /// delay. A client that was not welcome has no `state`: the session stays as it was.
    pub fn closing(
        &self,
        seat: &Seat,
        state: Option<&SessionState>,
        will: Option<(Duration, Json)>,
    ) -> Keeping {
        let session = &seat.session;
        let mut inner = session.lock();
        if !is_present(&inner, seat) {
            return late(session, &mut inner, seat);
        }
        let now = self.clock.now().wall;
        let after = |delay| now.checked_add(SignedDuration::try_from(delay).ok()?).ok();
        let will = will.map(|(delay, data)| (after(delay).unwrap_or(Timestamp::MAX), data));
        let (mut changes, mut change) = match state {
            Some(state) => self.take_over(session, &mut inner, state, Some((now, will.as_ref()))),
            None => Default::default(),
        };
        let is_welcome = state.is_some();
        if is_welcome && inner.words.is_some() {
            changes.push(MqttChange::RemoveConnection { number: session.number });
        }
        if !inner.is_kept {
            inner.is_over = true;
            changes.extend(self.ungroup(session, &inner));
        } else if is_welcome {
            changes.extend(progress(session, &mut inner));
        }
        change.leaving = Some(Leaving { at: now, will, is_welcome });
        Keeping::new(session, changes, change)
    }

    /// Says how the transaction ended: what it asked for is so, or was never.
    pub fn settle(&self, keeping: Keeping, is_kept: bool) {
        let Some(Step { session, change, _busy, .. }) = keeping.step else { return };
        let mut inner = session.lock();
        if is_kept {
            self.confirm(&session, &mut inner, change);
        } else {
            self.take_back(&session, &mut inner, &change);
        }
        // Before who waits is told.
        drop(inner);
    }

    /// The connection is over, and what [`Exchange::closing`] asked for was refused: the session stays
    /// as it is on disk, or ends all the same, where it was to. `will` is that of the event which was
    /// refused with it: it is published when there is room. What a full store must take of this is
    /// given back, for a write of its own.
    pub fn left_unwritten(&self, keeping: Keeping, will: Option<Json>) -> Vec<Operation> {
        let Some(Step { session, change, dropped, _busy }) = keeping.step else {
            let said = keeping.late.filter(|_| will.is_none());
            let forget = |number| Operation::Mqtt(MqttChange::RemoveConnection { number });
            return said.map(forget).into_iter().collect();
        };
        let mut inner = session.lock();
        let is_to_end = change.before.is_some() && !inner.is_kept;
        self.take_back(&session, &mut inner, &change);
        let Some(leaving) = change.leaving else { return Vec::new() };
        inner.is_over = false;
        inner.is_live = false;
        inner.detach();
        let changes = if inner.state.is_some() && !is_to_end {
            // Its groups stay with it.
            self.stay_unwritten(&session, &mut inner, leaving, will)
        } else if let Some((_, data)) = leaving.will.or_else(|| will.map(|data| (leaving.at, data)))
        {
            let mut changes = self.wait_with_will(&session, &mut inner, (leaving.at, data));
            changes.extend(dropped);
            changes
        } else {
            if inner.is_kept {
                self.release(&session, "not_kept");
            }
            let mut changes = self.forget(&session, &mut inner);
            changes.extend(dropped);
            changes.push(MqttChange::RemoveSession { number: session.number });
            changes.push(MqttChange::RemoveConnection { number: session.number });
            changes
        };
        let operations = changes.into_iter().map(Operation::Mqtt);
        operations.filter(Operation::frees_space).collect()
    }

    /// The session waits for its client, as it was last kept.
    fn stay_unwritten(
        &self,
        session: &Arc<Session>,
        inner: &mut Inner,
        leaving: Leaving,
        will: Option<Json>,
    ) -> Vec<MqttChange> {
        let mut changes = Vec::new();
        if leaving.is_welcome {
            inner.left_at = Some(leaving.at);
            inner.will = leaving.will.or_else(|| will.map(|data| (leaving.at, data)));
            let number = session.number;
            changes.extend(match (&mut inner.words, &inner.will) {
                (None, _) => None,
                (Some(words), Some(_)) => {
                    words.is_told = false;
                    Some(MqttChange::KeepWillAlone { number })
                }
                (words, None) => {
                    *words = None;
                    Some(MqttChange::RemoveConnection { number })
                }
            });
            let records = inner.kept().subscriptions;
            inner.places.keep_to(&records);
            changes.extend(self.resubscribe(session, inner, &records));
        }
        self.set_timer(session, inner);
        changes
    }

    /// The session is over but for its will, which waits for room.
    fn wait_with_will(
        &self,
        session: &Arc<Session>,
        inner: &mut Inner,
        will: (Timestamp, Json),
    ) -> Vec<MqttChange> {
        if !mem::replace(&mut inner.is_kept, true) {
            self.count_in(session);
        }
        inner.expiry_s = 0;
        inner.left_at = Some(will.0);
        inner.will = Some(will);
        if let Some(words) = &mut inner.words {
            words.is_told = false;
        }
        let mut changes = self.resubscribe(session, inner, &[]);
        changes.push(MqttChange::KeepWillAlone { number: session.number });
        if let Some(reading) = &mut inner.reading {
            reading.stored = None;
            changes.push(MqttChange::DropReader { name: session.reader() });
        }
        self.set_timer(session, inner);
        changes
    }

    fn confirm(&self, session: &Arc<Session>, inner: &mut Inner, change: Change) {
        if let Some(handed) = change.handed {
            inner.confirm(handed);
        }
        if change.before.is_some_and(|(was_kept, _)| was_kept) && !inner.is_kept {
            self.release(session, "not_kept");
            inner.forget_written();
            inner.queue = queue::Queue::default();
        }
        if let Some(words) = change.arrival {
            (inner.left_at, inner.will) = (None, None);
            inner.words = Some(words).filter(|words| !words.is_empty());
        }
        let Some(leaving) = change.leaving else { return };
        if !inner.is_kept {
            // What it leaves on disk went with the transaction.
            self.forget(session, inner);
            return;
        }
        inner.is_live = false;
        inner.detach();
        if leaving.is_welcome {
            (inner.left_at, inner.will) = (Some(leaving.at), leaving.will);
            inner.words = None;
        }
        self.set_timer(session, inner);
    }

    fn take_back(&self, session: &Session, inner: &mut Inner, change: &Change) {
        if let Some((was_kept, expiry_s)) = change.before {
            if inner.is_kept && !was_kept {
                self.count_out(session);
            }
            (inner.is_kept, inner.expiry_s) = (was_kept, expiry_s);
        }
        if let Some(reading) = inner.reading.as_mut().filter(|_| change.starts_reader) {
            reading.stored = None;
        }
    }

    /// What of a session's state is to be on disk. Its subscriptions hold from here on.
    fn take_over(
        &self,
        session: &Arc<Session>,
        inner: &mut Inner,
        state: &SessionState,
        left: Left<'_>,
    ) -> (Vec<MqttChange>, Change) {
        let mut changes = Vec::new();
        let was_kept = inner.is_kept;
        let mut change = Change { before: Some((was_kept, inner.expiry_s)), ..Change::default() };
        inner.expiry_s = state.expiry_s.min(self.expiry_max_s());
        inner.is_kept = inner.expiry_s > 0 && (was_kept || self.claim(session));
        state.wants_retained.iter().for_each(|filter| inner.places.begin(filter));
        inner.places.keep_to(&state.subscriptions);
        if inner.is_kept {
            let (put, handed) = inner.hand_out(session, state, left);
            changes.extend(put);
            change.handed = Some(handed);
        } else if was_kept {
            changes.push(MqttChange::RemoveSession { number: session.number });
        }
        let place = inner.settle_place(session, &state.subscriptions);
        change.starts_reader = matches!(place, Some(MqttChange::StartReader { .. }));
        changes.extend(place);
        changes.extend(self.resubscribe(session, inner, &state.subscriptions));
        (changes, change)
    }

    fn set_timer(&self, session: &Session, inner: &Inner) {
        if let Some(at) = inner.due_at() {
            self.timers.lock().insert((at, session.number));
        }
    }

    fn expiry_max_s(&self) -> u32 {
        u32::try_from(self.options.session_expiry_max.as_secs()).unwrap_or(NEVER_S)
    }
}

/// What a connection says late: nothing, but that its last words are said, unless another did.
fn late(session: &Session, inner: &mut Inner, seat: &Seat) -> Keeping {
    let is_said = inner.said >= seat.generation;
    let is_its_own = !is_said && inner.generation == seat.generation;
    let late = inner.words.take_if(|_| is_its_own).map(|_| session.number);
    let forget = |number| Operation::Mqtt(MqttChange::RemoveConnection { number });
    let operations = late.map(forget).into_iter().collect();
    Keeping { operations, step: None, is_said, late }
}

/// What is written of acknowledgements and of a program's place. Acknowledgements stay noted: they
/// are written once more behind, lest this transaction is refused.
fn progress(session: &Session, inner: &mut Inner) -> Vec<MqttChange> {
    let mut changes = Vec::new();
    if !inner.queue.acknowledged.is_empty() {
        let keys = inner.queue.acknowledged.iter().map(|key| (session.number, *key));
        changes.push(MqttChange::Unqueue(keys.collect()));
    }
    if let Some(reading) = inner.reading.as_mut()
        && reading.stored.is_some_and(|stored| stored < reading.done)
    {
        let (name, to) = (session.reader(), reading.done);
        changes.push(MqttChange::AdvanceReader { name, to });
    }
    changes
}
