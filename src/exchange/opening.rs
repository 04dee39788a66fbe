//! How a connection takes its session up.

use super::session::{Inner, Reading, Session};
use super::{Exchange, Place, RetainNot, Seat};
use crate::store::{MqttChange, Operation, ReadError, WriteError};
use ::mqtt::{CloseReason, Filter, LastWords, SessionState};
use model::{DeviceId, Event, EventType, Tenant};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Who connects.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Whose.
    pub tenant: Tenant,
    /// The board, or the program (`program:<name>`).
    pub owner: DeviceId,
    /// The client id that it keeps a session under.
    pub client_id: Box<str>,
    /// Whether it reads the events itself.
    pub is_program: bool,
    /// Whether what was kept is to be forgotten.
    pub clean_start: bool,
    /// What a board may read, in filters: its subscriptions are cut to it. The narrower, the fewer
    /// filters a message is compared with.
    pub readable: Vec<Filter>,
}

/// What a connection begins with.
#[derive(Debug)]
pub struct Opened {
    /// For all further calls.
    pub seat: Seat,
    /// What was kept of the session, where it goes on.
    pub resumed: Option<SessionState>,
    /// How long the session may outlive the connection; zero when no more are kept.
    pub session_expiry_max: Duration,
    /// What is to be recorded before anything of this connection.
    pub unsaid: Unsaid,
}

/// Last words of a connection that did not come to say them, since it is held up, and will not say
/// them any more.
#[derive(Debug, Default)]
pub struct Unsaid {
    /// That it left, and its will.
    pub events: Vec<Event>,
    /// What is true with them.
    pub operations: Vec<Operation>,
}

/// Why a connection's session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// What was kept could not be forgotten.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Where the events stand could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A program has as many connections as it may have.
    #[error("too many connections of one program")]
    TooMany,
}

/// What a connection finds under its client id.
enum Found {
    /// What it waits for before it looks again.
    Busy,
    Taken(Seat, Option<SessionState>),
    /// It is not to be taken up.
    Ends,
}

impl Exchange {
    /// Takes a connection's session up, or begins one. What was kept and is not wanted any more is
    /// forgotten on disk, and its will published, before this returns. Waits for what another
    /// connection, or the end of the session, has on its way to the disk.
    ///
    /// # Errors
    ///
    /// When that could not be written, or the events not be read, or a program has too many; then
    /// there is no session.
    pub async fn open(&self, opening: Opening) -> Result<Opened, OpenSessionError> {
        self.may_open(&opening)?;
        let key = (opening.tenant.clone(), opening.owner.clone(), opening.client_id.clone());
        let mut unsaid = Unsaid::default();
        loop {
            let found = self.sessions.get(&key).map(|found| Arc::clone(&found));
            let Some(session) = found else {
                let begun = self.begin(key.clone(), &opening).await?;
                let Some((seat, session_expiry_max)) = begun else { continue };
                return Ok(Opened { seat, resumed: None, session_expiry_max, unsaid });
            };
            let settled = session.settled();
            match self.find(&session, &opening, &mut unsaid) {
                Found::Busy => settled.await,
                Found::Ends => self.end(&session, "clean_start", None).await?,
                Found::Taken(seat, resumed) => {
                    let session_expiry_max = self.options.session_expiry_max;
                    return Ok(Opened { seat, resumed, session_expiry_max, unsaid });
                }
            }
        }
    }

    fn find(&self, session: &Arc<Session>, opening: &Opening, unsaid: &mut Unsaid) -> Found {
        let mut inner = session.lock();
        if session.is_busy() {
            return Found::Busy;
        }
        let now = self.clock.now().wall;
        let is_due = inner.expires_at().is_some_and(|at| at <= now);
        let goes_on = !opening.clean_start && inner.is_kept && !inner.is_over && !is_due;
        self.say_for(session, &mut inner, goes_on, unsaid);
        if !goes_on {
            return Found::Ends;
        }
        let seat = self.sit(session, &mut inner, opening);
        Found::Taken(seat, Some(inner.kept()))
    }

    /// The last words of the connection that the session still has. A will that has time is cancelled
    /// where the session goes on.
    fn say_for(&self, session: &Session, inner: &mut Inner, goes_on: bool, unsaid: &mut Unsaid) {
        if !inner.is_live {
            return;
        }
        inner.said = inner.generation;
        let Some(LastWords { is_told, will }) = inner.words.take() else { return };
        if let Some((_, data)) = will.filter(|(delay_s, _)| *delay_s == 0 || !goes_on) {
            self.metrics.wills.inc();
            unsaid.events.push(self.will_event(session, data));
        }
        if is_told {
            unsaid.events.push(Event {
                tenant: session.tenant.clone(),
                device: session.owner.clone(),
                kind: EventType::DEVICE_DISCONNECTED,
                time: self.clock.now().wall,
                data: LastWords::gone(CloseReason::TakenOver),
                facts: None,
            });
        }
        let forget = MqttChange::RemoveConnection { number: session.number };
        unsaid.operations.push(Operation::Mqtt(forget));
    }

    /// Begins a session; none when another has begun it meanwhile.
    async fn begin(
        &self,
        key: super::Key,
        opening: &Opening,
    ) -> Result<Option<(Seat, Duration)>, ReadError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(number, key.clone(), opening.is_program);
        if opening.is_program {
            let heads = self.store.head().await?;
            let done = heads.into_iter().next().unwrap_or_default();
            session.lock().reading = Some(Reading { done, stored: None });
        }
        let seat = self.sit(&session, &mut session.lock(), opening);
        self.by_number.insert(number, Arc::clone(&session));
        let is_first = match self.sessions.entry(key) {
            Place::Occupied(_) => false,
            Place::Vacant(place) => {
                place.insert(session);
                true
            }
        };
        if !is_first {
            self.by_number.remove(&number);
            return Ok(None);
        }
        let bound = self.bound(&seat.session);
        if let Some(bound) = bound {
            self.metrics.sessions_refused.with_label_values(&[bound]).inc();
        }
        let has_room = bound.is_none();
        let expiry_max = if has_room { self.options.session_expiry_max } else { Duration::ZERO };
        Ok(Some((seat, expiry_max)))
    }

    /// The connection is the session's present one from now on. What is on disk of its predecessor's
    /// end holds until this one is welcome.
    fn sit(&self, session: &Arc<Session>, inner: &mut Inner, opening: &Opening) -> Seat {
        let readable: Arc<[Filter]> = opening.readable.clone().into();
        self.timers.lock().retain_not(inner.due_at(), session.number);
        inner.generation += 1;
        inner.is_live = true;
        inner.detach();
        if *inner.readable != *readable {
            let records = std::mem::take(&mut inner.subscribed);
            self.unsubscribe(session, inner, &records);
            inner.readable = readable;
            self.subscribe(session, inner, &records);
            inner.subscribed = records;
        }
        let (generation, ended) = (inner.generation, inner.ended.clone());
        Seat { session: Arc::clone(session), generation, ended }
    }
}
