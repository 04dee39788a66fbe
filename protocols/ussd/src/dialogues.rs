//! Every dialogue in progress, found by service and session id, each with its own state.
//!
//! One owner: the driver keeps one table, or several behind a lock each (a session id always to the
//! same one). Tickets are unique within a table.
//!
//! After every call the driver drains [`Dialogues::poll`]: it appends the facts and settles their
//! tickets, hands questions to the backend and answers them, and gives each [`Output::Send`] to all
//! requests that wait for that dialogue ([`Receipt::New`] and [`Receipt::InProgress`]; there is never
//! more than one hop in progress per dialogue). At [`Dialogues::deadline`] it calls
//! [`Dialogues::expire`]. A request that its aggregator gives up may be forgotten: the dialogue goes on.

use crate::error::Refusal;
use crate::message::{Answer, EndReport, Screen, Turn};
use crate::options::{Options, Service};
use crate::resumes::Resume;
use crate::session::{Output, Receipt, Session};
use model::{Monotonic, Now, Settlement, Ticket};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Names a dialogue within its table; never used again for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DialogueId(u64);

/// The dialogues in progress and those that ended a moment ago.
#[derive(Debug)]
pub struct Dialogues {
    options: Arc<Options>,
    by_service: HashMap<Arc<str>, HashMap<Box<str>, DialogueId>>,
    slots: HashMap<DialogueId, Box<Slot>>,
    timers: BTreeSet<(Monotonic, DialogueId)>,
    /// Ended dialogues, oldest first: who makes room when the table is full.
    ended: VecDeque<DialogueId>,
    outputs: VecDeque<(DialogueId, Output)>,
    next: u64,
}

#[derive(Debug)]
struct Slot {
    session: Session,
    /// When it is looked at; never later than its deadline, which most hops move further away.
    timer: Monotonic,
}

/// How a turn stands to the dialogues that are held, as long as the table does not change.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    held: Option<DialogueId>,
    /// Whether it begins a dialogue: its session is not held, in progress or ended a moment ago, or it
    /// is a new dial under the same session id.
    pub begins: bool,
}

impl Dialogues {
    /// An empty table.
    pub fn new(options: Options) -> Self {
        Self {
            options: Arc::new(options),
            by_service: HashMap::new(),
            slots: HashMap::new(),
            timers: BTreeSet::new(),
            ended: VecDeque::new(),
            outputs: VecDeque::new(),
            next: 0,
        }
    }

    /// How `turn` stands to what is held.
    #[must_use]
    pub fn standing(&self, service: &Service, turn: &Turn, now: Now) -> Standing {
        let held = self.find(&service.name, &turn.session);
        let slot = held.and_then(|id| self.slots.get(&id));
        Standing { held, begins: slot.is_none_or(|it| it.session.is_redialled(turn, now)) }
    }

    /// Takes one turn of a caller of `service`; begins a dialogue when the session id is new, or when
    /// it is dialled anew: the old one has then been hung up.
    ///
    /// On [`Receipt::New`] and [`Receipt::InProgress`] wait for the [`Output::Send`] of that dialogue.
    /// There is no id when the table is full.
    pub fn receive(
        &mut self,
        service: &Arc<Service>,
        turn: &Turn,
        now: Now,
    ) -> (Option<DialogueId>, Receipt) {
        let standing = self.standing(service, turn, now);
        self.receive_or_resume((service, turn), standing, None, now)
    }

    /// The same for a turn of a known standing, and for a caller whose dialogue broke off: if `turn`
    /// begins one, he is first asked whether to go on there.
    pub fn receive_or_resume(
        &mut self,
        (service, turn): (&Arc<Service>, &Turn),
        Standing { held, begins }: Standing,
        resume: Option<Resume>,
        now: Now,
    ) -> (Option<DialogueId>, Receipt) {
        let id = match held.filter(|_| !begins) {
            Some(id) => id,
            None => {
                let Some(id) = self.begin(service, turn, now) else {
                    let screen = Screen::End(service.menu.retry_text());
                    return (None, Receipt::Refused(screen, Refusal::Full));
                };
                if let Some(resume) = resume {
                    self.with(id, |session| session.offer(resume));
                }
                if let Some(old) = held {
                    self.with(old, |session| session.hang_up(now));
                }
                id
            }
        };
        let receipt = self.with(id, |session| session.receive(turn, now));
        (Some(id), receipt.unwrap_or(Receipt::InProgress))
    }

    /// Says what became of an emitted fact ([`Session::settle`]).
    pub fn settle(&mut self, ticket: Ticket, settlement: Settlement, now: Now) {
        self.with(dialogue_of(ticket), |session| session.settle(ticket, settlement, now));
    }

    /// Answers [`Output::Ask`]; returns whether the answer was still waited for.
    pub fn answer(&mut self, ticket: Ticket, answer: &Answer, now: Now) -> bool {
        let waited = self.with(dialogue_of(ticket), |session| session.answer(ticket, answer, now));
        waited == Some(true)
    }

    /// Takes the aggregator's word that a dialogue is over; returns whether it was known.
    pub fn end(&mut self, service: &Service, report: &EndReport, now: Now) -> bool {
        let id = self.find(&service.name, &report.session);
        id.and_then(|id| self.with(id, |session| session.end(report, now))).is_some()
    }

    /// Gives up on what is overdue. Call it at [`Dialogues::deadline`], and again while that is past:
    /// one call handles a bounded number.
    pub fn expire(&mut self, now: Now) {
        for _ in 0..EXPIRED_AT_ONCE_MAX {
            match self.timers.first() {
                Some(&(deadline, id)) if deadline <= now.monotonic => {
                    self.with(id, |session| session.expire(now));
                    self.set_timer(id);
                }
                Some(_) | None => break,
            }
        }
    }

    /// Returns the next thing to do and for which dialogue, until there is nothing left. Drain it after
    /// every other call.
    #[must_use]
    pub fn poll(&mut self) -> Option<(DialogueId, Output)> {
        self.outputs.pop_front()
    }

    /// When [`Dialogues::expire`] should next be called: no later than the first session's deadline.
    pub fn deadline(&self) -> Monotonic {
        self.timers.first().map_or(Monotonic::NEVER, |(deadline, _)| *deadline)
    }

    /// How many dialogues are held, ended ones included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn find(&self, service: &str, session: &str) -> Option<DialogueId> {
        self.by_service.get(service)?.get(session).copied()
    }

    fn begin(&mut self, service: &Arc<Service>, turn: &Turn, now: Now) -> Option<DialogueId> {
        while self.slots.len() >= self.options.dialogues_max {
            let oldest = self.ended.pop_front()?;
            self.remove(oldest);
        }
        let id = DialogueId(self.next);
        self.next += 1;
        let session = Session::new(
            Arc::clone(service),
            Arc::clone(&self.options),
            turn,
            id.0 << TICKET_BITS,
            now,
        );
        let timer = session.deadline();
        self.timers.insert((timer, id));
        self.slots.insert(id, Box::new(Slot { session, timer }));
        let sessions = self.by_service.entry(Arc::clone(&service.name)).or_default();
        sessions.insert(turn.session.clone(), id);
        Some(id)
    }

    /// Lets `change` work on a session, then collects what it wants done and when it wants to be woken.
    fn with<T>(&mut self, id: DialogueId, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let slot = self.slots.get_mut(&id)?;
        let was_closed = slot.session.is_closed();
        let result = change(&mut slot.session);
        while let Some(output) = slot.session.poll() {
            self.outputs.push_back((id, output));
        }
        if slot.session.is_closed() && !was_closed {
            self.ended.push_back(id);
        }
        if slot.session.is_done() {
            self.remove(id);
        } else if slot.session.deadline() < slot.timer {
            self.set_timer(id);
        }
        Some(result)
    }

    /// Looks at a session next at its deadline.
    fn set_timer(&mut self, id: DialogueId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        self.timers.remove(&(slot.timer, id));
        slot.timer = slot.session.deadline();
        self.timers.insert((slot.timer, id));
    }

    fn remove(&mut self, id: DialogueId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        self.timers.remove(&(slot.timer, id));
        if let Some(sessions) = self.by_service.get_mut(&slot.session.service().name) {
            // A dial under the same session id may have taken its place.
            if sessions.get(slot.session.id()) == Some(&id) {
                sessions.remove(slot.session.id());
            }
        }
        // Dialogues end up done in about the order they ended: the front is where they gather.
        while self.ended.front().is_some_and(|id| !self.slots.contains_key(id)) {
            self.ended.pop_front();
        }
    }
}

/// A dialogue's tickets are its id and a count: 65,536 of them, where 60 hops make a few hundred.
const TICKET_BITS: u32 = 16;

fn dialogue_of(ticket: Ticket) -> DialogueId {
    DialogueId(ticket.0 >> TICKET_BITS)
}

/// So that a lock around the table is not held for long after a flood.
const EXPIRED_AT_ONCE_MAX: usize = 1024;
