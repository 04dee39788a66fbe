//! One dialogue: a caller's keys in, screens out, with the facts on disk before the caller hears.
//!
//! Pure: the driver hands in turns and the time, and carries out what [`Session::poll`] returns. Each
//! turn that [`Session::receive`] takes is answered by exactly one [`Output::Send`]; a repeated one is
//! answered the same without a second effect; one that waits too long is ended by
//! [`Session::expire`]. Keys that came together (a deep dial, a missed hop, a walk back after a
//! restart) are taken as if typed one by one, but stop at the screen before an effect.

mod asks;
mod hop;
mod place;
mod resume;
mod steps;
mod walk;

use crate::error::Refusal;
use crate::menu::{Language, StateId, Values};
use crate::message::{Answer, EndReport, EndStatus, Screen, Turn};
use crate::options::{Options, Service};
use crate::resumes::Resume;
use crate::text::Limits;
use hop::{Hop, Work};
use model::{DeviceId, Fact, Monotonic, Now, Redacted, Settlement, Tenant, Ticket};
use place::{Kept, Place};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// A dialogue in progress with one caller.
#[derive(Debug)]
pub struct Session {
    service: Arc<Service>,
    options: Arc<Options>,
    id: Box<str>,
    device: DeviceId,
    state: State,
    position: StateId,
    /// Which page of it, from 0.
    page: u16,
    /// The screens that led here, as far as going back goes.
    trail: Vec<StateId>,
    language: Language,
    wrong_inputs: u8,
    /// How long a screen may be on the caller's network.
    limits: Limits,
    /// How long the caller may be silent there.
    idle: Duration,
    /// When the network ends the session whatever happens.
    ends_at: Monotonic,
    /// Asked first: whether to go on there.
    offered: Option<Box<Resume>>,
    /// Where a caller may go on who is cut off.
    resumable: Option<StateId>,
    values: Values,
    /// What the last hop brought, its keys joined by [`place::JOINER`]: all input since the dial where
    /// the aggregator repeats it, else its own keys.
    taken: Redacted<Box<str>>,
    /// The aggregator's name of the last hop.
    hop: Option<Box<str>>,
    /// How many keys have been taken since the dial.
    keys: u16,
    /// How many of them when the present screen was reached.
    reached: u16,
    /// When it began, where the aggregator does not repeat the input: after a restart the same count
    /// of keys is another's there.
    began_ms: Option<i64>,
    /// The SIM of the last hop, where the network tells.
    imsi: Option<Redacted<Box<str>>>,
    hops: u16,
    screens: Vec<StateId>,
    /// The last answers.
    kept: [Option<Kept>; 2],
    /// When the last one was given.
    answered: Option<Monotonic>,
    outputs: VecDeque<Output>,
    deadline: Monotonic,
    began: Monotonic,
    next_ticket: u64,
    hung_up: bool,
    /// How often the store may still be offered the end of this dialogue.
    offers_left: u8,
}

/// Named for what must come next.
#[derive(Debug)]
enum State {
    /// A screen is shown: the caller may type.
    ExpectTurn,
    /// A hop waits for a backend or the disk. Most dialogues wait for a caller: it lies apart.
    ExpectWork(Box<Hop>),
    /// The end of a dialogue that nobody waits for is on its way to the disk.
    ExpectRecord(Ticket, Cause),
    /// The store had no room for that end: it is offered again later.
    ExpectRoom(Cause),
    /// Over. Repeated hops are still answered.
    Closed,
}

impl Session {
    /// A dialogue that `turn` begins; pass the same turn to [`Session::receive`] next.
    ///
    /// Its tickets are `first_ticket` and the numbers after it, a few per hop.
    pub fn new(
        service: Arc<Service>,
        options: Arc<Options>,
        turn: &Turn,
        first_ticket: u64,
        now: Now,
    ) -> Self {
        let network = service.networks.of(&turn.network);
        let patience = |longest: Duration| longest.saturating_add(ON_THE_WAY);
        let idle = network.map_or(options.idle_timeout, |it| patience(it.idle));
        let ends_at = network.map(|it| now.monotonic + patience(it.session));
        let idle = idle.min(options.idle_timeout);
        Self {
            limits: service.networks.limits_of(&turn.network),
            idle,
            ends_at: ends_at.unwrap_or(Monotonic::NEVER),
            position: service.menu.start(),
            page: 0,
            trail: Vec::new(),
            offered: None,
            resumable: None,
            service,
            options,
            id: turn.session.clone(),
            device: turn.device.clone(),
            state: State::ExpectTurn,
            language: Language::FIRST,
            wrong_inputs: 0,
            values: Values::default(),
            taken: Redacted("".into()),
            hop: None,
            keys: 0,
            reached: 0,
            began_ms: (!place::is_cumulative(&turn.input)).then(|| now.wall.as_millisecond()),
            imsi: None,
            hops: 0,
            screens: Vec::new(),
            kept: [None, None],
            answered: None,
            outputs: VecDeque::new(),
            deadline: now.monotonic + idle,
            began: now.monotonic,
            next_ticket: first_ticket,
            hung_up: false,
            offers_left: OFFERS_MAX,
        }
    }

    /// Takes one turn of the caller. [`Receipt::New`] promises one [`Output::Send`].
    pub fn receive(&mut self, turn: &Turn, now: Now) -> Receipt {
        if turn.device != self.device {
            return self.refuse(Refusal::NumberChanged);
        }
        let keys_at = match self.place(turn, now) {
            Place::Next { keys_at } => keys_at,
            Place::Last if matches!(self.state, State::ExpectWork(_)) => {
                return Receipt::InProgress;
            }
            Place::Last => return self.replay(0),
            Place::Earlier(at) => return self.replay(at),
            Place::Nowhere => return self.refuse(Refusal::OutOfTurn),
        };
        match self.state {
            State::ExpectTurn => {}
            State::ExpectWork(_) => return self.refuse(Refusal::OutOfTurn),
            State::ExpectRecord(..) | State::ExpectRoom(_) | State::Closed => {
                return self.refuse(Refusal::Ended);
            }
        }
        self.taken = place::taken(&turn.input);
        self.hop.clone_from(&turn.hop);
        self.imsi.clone_from(&turn.imsi);
        self.state = self.begin_hop(turn, keys_at, now);
        Receipt::New
    }

    /// Says what became of an emitted fact. A ticket that is no longer waited for is ignored.
    pub fn settle(&mut self, ticket: Ticket, settlement: Settlement, now: Now) {
        self.state = match (mem::replace(&mut self.state, State::Closed), settlement) {
            (State::ExpectWork(mut hop), Settlement::Committed) => {
                hop.settled(ticket);
                match hop.work {
                    Work::Requesting(requested) if requested == ticket => self.ask(*hop, now),
                    Work::Walking | Work::Requesting(_) | Work::Asking { .. } => {
                        State::ExpectWork(hop)
                    }
                    Work::Answered { .. } => self.release(*hop, now),
                }
            }
            (State::ExpectWork(hop), Settlement::Refused) if !hop.awaits(ticket) => {
                State::ExpectWork(hop)
            }
            (State::ExpectWork(hop), Settlement::Refused) => self.refused(*hop, ticket, now),
            (State::ExpectRecord(recorded, cause), Settlement::Committed) if recorded == ticket => {
                self.close(cause, now)
            }
            (State::ExpectRecord(recorded, cause), Settlement::Refused) if recorded == ticket => {
                self.wait_for_room(cause, now)
            }
            (state, _) => state,
        };
    }

    /// Answers [`Output::Ask`]. Returns whether the answer was still waited for.
    pub fn answer(&mut self, ticket: Ticket, answer: &Answer, now: Now) -> bool {
        let waited = matches!(
            &self.state,
            State::ExpectWork(hop)
                if matches!(hop.work, Work::Asking { ticket: asked, .. } if asked == ticket)
        );
        if waited && let State::ExpectWork(hop) = mem::replace(&mut self.state, State::Closed) {
            self.state = self.answered(*hop, answer, now);
        }
        waited
    }

    /// Takes the aggregator's word that the dialogue is over. A hop in progress is finished first.
    /// Ignored when it comes from another number.
    pub fn end(&mut self, report: &EndReport, now: Now) {
        if report.device.as_ref().is_some_and(|it| *it != self.device) {
            return;
        }
        let cause = match report.status {
            EndStatus::Success | EndStatus::Incomplete => Cause::HungUp,
            EndStatus::Failed => Cause::Failed,
        };
        self.break_off(cause, now);
    }

    /// The caller dialled anew: nobody types here again. A hop in progress is finished first.
    pub fn hang_up(&mut self, now: Now) {
        self.break_off(Cause::HungUp, now);
    }

    fn break_off(&mut self, cause: Cause, now: Now) {
        match self.state {
            State::ExpectTurn => self.state = self.record(cause, now),
            State::ExpectWork(_) => self.hung_up = true,
            State::ExpectRecord(..) | State::ExpectRoom(_) | State::Closed => {}
        }
    }

    /// Gives up on what is overdue: a backend, the disk, or the caller. Call it at
    /// [`Session::deadline`]; earlier calls do nothing.
    pub fn expire(&mut self, now: Now) {
        if now.monotonic < self.deadline() {
            return;
        }
        self.state = match mem::replace(&mut self.state, State::Closed) {
            State::ExpectTurn => self.record(Cause::Timeout, now),
            State::ExpectWork(hop) => self.hop_overdue(*hop, now),
            State::ExpectRecord(_, cause) => self.close(cause, now),
            State::ExpectRoom(cause) => self.record(cause, now),
            State::Closed => {
                self.deadline = Monotonic::NEVER;
                State::Closed
            }
        };
    }

    /// Returns the next thing for the driver to do, until there is nothing left. Drain it after every
    /// other call.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // A dialogue that waits holds no room for what it will say.
            self.outputs = VecDeque::new();
        }
        next
    }

    /// When [`Session::expire`] should next be called. Changes with every call but `poll`.
    pub fn deadline(&self) -> Monotonic {
        match &self.state {
            State::ExpectWork(hop) => hop.deadline(),
            State::ExpectTurn | State::ExpectRecord(..) | State::ExpectRoom(_) | State::Closed => {
                self.deadline
            }
        }
    }

    /// Whether the dialogue is over; it may still answer repeated hops.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the session may be dropped: over, and too late for a repeated hop.
    pub fn is_done(&self) -> bool {
        self.is_closed() && self.deadline == Monotonic::NEVER
    }

    /// The service it began with.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The aggregator's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn refuse(&self, refusal: Refusal) -> Receipt {
        Receipt::Refused(self.retry(), refusal)
    }

    fn retry(&self) -> Screen {
        let menu = &self.service.menu;
        Screen::End(menu.texts().retry.render(self.language, &self.values, self.limits))
    }
}

/// Ten minutes of a full store at one offer each [`steps::OFFER_EVERY`]; then the end goes unrecorded.
const OFFERS_MAX: u8 = 60;

/// How much later than the network a caller's silence is noticed here: screens and keys are under way.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// What [`Session::receive`] made of a turn.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "the caller is waiting for a screen"]
pub enum Receipt {
    /// It is being worked on: one [`Output::Send`] will come.
    New,
    /// The same hop was answered before: answer it alike.
    Replay(Screen),
    /// The same hop is still being worked on: answer it with the [`Output::Send`] to come.
    InProgress,
    /// It moves nothing: answer this END and count the reason.
    Refused(Screen, Refusal),
}

/// What the driver must do, in order.
#[derive(Debug)]
pub enum Output {
    /// Put this on disk, then call [`Session::settle`] with the ticket.
    Emit {
        /// What happened.
        fact: Fact,
        /// What to settle.
        ticket: Ticket,
    },
    /// Ask a backend, then call [`Session::answer`].
    Ask(Box<Ask>),
    /// Answer the hop in progress, and every repetition of it that waits.
    Send(Screen),
    /// The caller was cut off here: keep it for when he dials again.
    BrokenOff(Box<Resume>),
    /// The dialogue is over. Keep the session for repeated hops until [`Session::is_done`].
    Close(Cause),
}

/// A question to a backend in mid-dialogue.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What [`Session::answer`] names.
    pub ticket: Ticket,
    /// Whose service.
    pub tenant: Tenant,
    /// Which service: in a command, the actor is `ussd:<service>`.
    pub service: Arc<str>,
    /// Who calls.
    pub device: DeviceId,
    /// What is asked: a word that menu and backend agree on.
    pub operation: Box<str>,
    /// What the menu passes along.
    pub arguments: Vec<(Box<str>, Redacted<String>)>,
    /// The dialogue's language. Values in an answer should need none (a time, a number, a name).
    pub language: Box<str>,
    /// `<service>:<session>:<operation>:<keys>`, and `:<begin in ms>` where the aggregator does not
    /// repeat the input. `keys` counts those taken since the dial: of an effect until its screen was
    /// reached, so that the same confirmation, walked to again, is the same effect; of a question
    /// until it was asked. It holds neither number nor input.
    pub key: Box<str>,
    /// Whether answering changes anything.
    pub mode: AskMode,
    /// The SIM the caller calls with, where the network tells.
    pub imsi: Option<Redacted<Box<str>>>,
    /// An answer after this is not waited for; the effect may still happen.
    pub deadline: Monotonic,
}

impl Ask {
    /// The outcome of a recall of what was not done.
    pub const NOT_DONE: &'static str = "not_done";
}

/// What answering an [`Ask`] does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AskMode {
    /// It changes nothing that the caller would miss: it may be asked again, by a walk or a repetition.
    Question,
    /// It has an effect: the same [`Ask::key`] must not have it twice.
    Effect,
    /// Nothing is to be done: only what an [`AskMode::Effect`] of the same key was answered with is
    /// asked for; [`Ask::NOT_DONE`] where there was none.
    Recall,
}

/// Why a dialogue ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It came to an END of its menu.
    Finished,
    /// Too many wrong inputs on one screen.
    WrongInputs,
    /// A backend did not answer in time, or not in words the menu knows.
    Unanswered,
    /// More hops than allowed.
    TooManyHops,
    /// The caller was silent.
    Timeout,
    /// The aggregator says the caller is gone.
    HungUp,
    /// The aggregator says our answer was late or unreadable.
    Failed,
    /// The store refused a fact.
    Refused,
    /// The store did not answer in time.
    Stalled,
}

impl Cause {
    /// The word in events and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::WrongInputs => "wrong_inputs",
            Self::Unanswered => "unanswered",
            Self::TooManyHops => "too_many_hops",
            Self::Timeout => "timeout",
            Self::HungUp => "hung_up",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Stalled => "stalled",
        }
    }
}
