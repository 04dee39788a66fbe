//! One CWMP session: the device speaks first, we answer, until neither has more to ask.
//!
//! Pure: no socket, no clock, no task. The driver hands in messages and the time, and carries out
//! whatever [`Session::poll`] returns. A fact is handed out before the reply that acknowledges it,
//! and the reply waits until the driver has settled every fact (TR-069 3.7.2 is the flow).
//!
//! All transitions stand in [`Session::receive`] and [`Session::settle`]. What the device asks of us
//! is in `serve`, what we ask of it in `turn`, and each kind of work in `job`.

mod awaited;
mod heard;
mod job;
mod output;
mod serve;
mod turn;
mod work;

pub use output::{CloseReason, Outcome, Output, Reply};
pub use work::{SetupOutcome, Support, SupportedFile, Work};

use crate::message::{Message, Namespace, Root};
use crate::{Options, Quirks};
use awaited::Awaited;
use heard::{Heard, Letter};
use job::{Job, Told, Why};
use model::{
    Command, CommandId, DeviceFacts, DeviceId, Monotonic, Now, Settlement, Tenant, Ticket,
};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

/// What the registry knows of a device when its session begins.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whose device.
    pub tenant: Tenant,
    /// Which device, checked against its credential.
    pub device: DeviceId,
    /// What is known of it; `None` for a device never met.
    pub facts: Option<DeviceFacts>,
    /// Commands that were sent and whose end was not seen: states sent, delivered and unknown, of
    /// any kind. The session ends those whose end it sees.
    pub outstanding: Vec<Command>,
    /// What is peculiar about its model.
    pub quirks: Quirks,
}

/// A session in progress with one device.
#[derive(Debug)]
pub struct Session {
    options: Arc<Options>,
    known: Known,
    state: State,
    /// Whether the device waits for an answer to its last POST.
    owes_reply: bool,
    namespace: Namespace,
    root: Option<Root>,
    /// From the Inform: their types are the device's own. Their values are not kept, for a session
    /// rests in memory for as long as its device is silent.
    told: Box<[Told]>,
    /// Commands whose end the device will show.
    awaited: Vec<Awaited>,
    work: VecDeque<Work>,
    /// Objects to be looked up again, since something that we believed to be in them is not.
    lost: Vec<Box<str>>,
    /// How many were, which [`Options::rediscoveries_max`] bounds.
    rediscoveries: u32,
    outputs: VecDeque<Output>,
    pending: Vec<Pending>,
    tickets: u64,
    /// Whether nothing may be written to the device.
    is_held: bool,
    /// Calls made, which also names them.
    calls: u32,
    /// Calls made and work begun: what [`Options::requests_max`] bounds.
    rounds: u32,
    deadline: Monotonic,
}

/// A fact that is not settled yet.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    /// The command that it says is sent.
    sent: Option<CommandId>,
}

/// Named for what must come next.
#[derive(Debug)]
enum State {
    /// The device must introduce itself.
    ExpectInform,
    /// The device may make requests of its own, or hand us the turn with an empty POST.
    ExpectRequest,
    /// Facts are on their way to the disk; then `Next`.
    ExpectSettlement(Next),
    /// Our turn: the driver must say what to ask.
    ExpectDecision,
    /// We asked; the device must answer or refuse.
    ExpectAnswer(Asked),
    /// Nothing more may be said.
    Closed,
}

/// A call of ours on its way.
#[derive(Debug)]
struct Asked {
    job: Box<dyn Job>,
    /// The call's name.
    rpc: &'static str,
}

/// What waits for facts to be settled.
#[derive(Debug)]
enum Next {
    /// Answer the device's call.
    Reply(Message),
    /// Make the call that the job has ready.
    Ask(Box<dyn Job>),
    /// Take up the next piece of work.
    Work,
    /// Say that that is all.
    Finish,
}

impl Session {
    /// Starts waiting for the Inform of a device whose identity has been checked.
    #[must_use]
    pub fn new(mut known: Known, options: Arc<Options>, now: Now) -> Self {
        let deadline = now.monotonic + options.idle_timeout;
        let outstanding = mem::take(&mut known.outstanding);
        Self {
            options,
            known,
            state: State::ExpectInform,
            owes_reply: false,
            namespace: Namespace::default(),
            root: None,
            told: Box::default(),
            awaited: outstanding.into_iter().filter_map(Awaited::of).collect(),
            work: VecDeque::new(),
            lost: Vec::new(),
            rediscoveries: 0,
            outputs: VecDeque::new(),
            pending: Vec::new(),
            tickets: 0,
            is_held: false,
            calls: 0,
            rounds: 0,
            deadline,
        }
    }

    /// Takes one message from the device. After it, [`Session::poll`] leads to exactly one
    /// [`Output::Send`] or [`Output::Refuse`].
    ///
    /// A second Inform is a new session and not for this one: [`Session::abandon`] it first.
    pub fn receive(&mut self, message: Message, now: Now) {
        self.owes_reply = true;
        self.deadline = Monotonic::NEVER;
        let (letter, heard) = Letter::open(message);

        // `Closed` is left behind while we decide, so no path can leave a usable session by mistake.
        self.state = match (mem::replace(&mut self.state, State::Closed), heard) {
            (State::ExpectInform, Heard::Inform(inform)) => self.informed(*inform, letter, now),
            (State::ExpectInform, Heard::Nothing) => {
                self.send_and(Message::empty(), State::ExpectInform, now)
            }
            (State::ExpectInform, Heard::Notice(_) | Heard::Answer(_) | Heard::Fault(_)) => {
                self.send(&letter.refusal(FAULT_DENIED));
                self.close(CloseReason::Unexpected)
            }

            // The device's own requests (3.7.2.4). One that comes in place of an answer means that
            // our request was passed over.
            (State::ExpectRequest, Heard::Notice(notice)) => self.serve(notice, letter, now),
            (State::ExpectAnswer(asked), Heard::Notice(notice)) => {
                self.passed_over(asked, Why::PassedOver);
                self.serve(notice, letter, now)
            }

            // The device's turn is over. An answer or fault with no request of ours is no more
            // than that.
            (State::ExpectRequest, Heard::Nothing | Heard::Answer(_) | Heard::Fault(_)) => {
                self.take_up_work(now)
            }
            (State::ExpectAnswer(asked), Heard::Answer(answer)) => {
                self.answered(asked, *answer, now)
            }
            (State::ExpectAnswer(asked), Heard::Fault(fault)) => self.refused(asked, *fault, now),
            (State::ExpectAnswer(asked), Heard::Nothing) => {
                self.passed_over(asked, Why::PassedOver);
                self.wait_or(Next::Work, now)
            }

            // The driver starts a new session with an Inform, and asks nothing while it owes.
            (state @ (State::ExpectRequest | State::ExpectAnswer(_)), Heard::Inform(_)) => {
                self.state = state;
                self.abandon(CloseReason::Superseded);
                State::Closed
            }
            (state @ (State::ExpectSettlement(_) | State::ExpectDecision), _anything) => {
                self.state = state;
                self.abandon(CloseReason::Unexpected);
                State::Closed
            }
            (State::Closed, _anything) => {
                self.refuse();
                State::Closed
            }
        };
    }

    /// Says what became of an emitted fact. One that was refused turns the reply into a refusal; a
    /// command that was overtaken before its call is not asked, and the next work is taken up.
    pub fn settle(&mut self, ticket: Ticket, settlement: Settlement, now: Now) {
        let place = self.pending.iter().position(|it| it.ticket == ticket);
        let sent = place.and_then(|place| self.pending.remove(place).sent);
        self.state = match (mem::replace(&mut self.state, State::Closed), settlement) {
            (State::ExpectSettlement(_), Settlement::Refused) => {
                self.pending.clear();
                self.refuse();
                self.close(CloseReason::Refused)
            }
            // The command was withdrawn or has expired, so it stays unasked.
            (State::ExpectSettlement(Next::Ask(mut job)), Settlement::Overtaken) => {
                let is_left = sent.is_none_or(|id| job.withdraw(&id));
                self.wait_or(if is_left { Next::Ask(job) } else { Next::Work }, now)
            }
            (
                State::ExpectSettlement(next @ (Next::Reply(_) | Next::Work | Next::Finish)),
                Settlement::Overtaken,
            )
            | (State::ExpectSettlement(next), Settlement::Committed) => self.wait_or(next, now),
            (
                state @ (State::ExpectInform
                | State::ExpectRequest
                | State::ExpectDecision
                | State::ExpectAnswer(_)
                | State::Closed),
                Settlement::Committed | Settlement::Refused | Settlement::Overtaken,
            ) => state,
        };
    }

    /// Says whether anything may be written to the device from now on. What it was asked already it
    /// answers; setting up that would write is not begun and never reported, and a command that is under
    /// way and would write again ends as failed. A command's first call is for the driver to stop: it settles that it was
    /// sent as overtaken.
    pub fn set_held(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Answers [`Output::Decide`] with what to ask of the device, in order; nothing ends the
    /// session. Work that is never reported was not begun: assign it again in the next session.
    pub fn assign(&mut self, work: impl IntoIterator<Item = Work>, now: Now) {
        if !matches!(self.state, State::ExpectDecision) {
            return;
        }
        self.work.extend(work);
        self.state = if self.work.is_empty() { self.finish() } else { self.take_up_work(now) };
    }

    /// Gives up on a device that has been silent past [`Session::deadline`].
    pub fn expire(&mut self, now: Now) {
        if now.monotonic >= self.deadline {
            self.abandon(CloseReason::Silent);
        }
    }

    /// Ends the session wherever it stands. What was asked and not answered fails, in facts that
    /// hold nothing up: [`Session::poll`] ends in [`Output::Close`] at once.
    pub fn abandon(&mut self, reason: CloseReason) {
        match mem::replace(&mut self.state, State::Closed) {
            State::ExpectAnswer(asked) => self.passed_over(asked, Why::Gone),
            State::ExpectSettlement(Next::Ask(job)) => {
                let is_unsent = self.pending.iter().any(|it| it.sent.is_some());
                self.give_up(job, if is_unsent { Why::Unsent } else { Why::Gone });
            }
            State::ExpectInform
            | State::ExpectRequest
            | State::ExpectSettlement(Next::Reply(_) | Next::Work | Next::Finish)
            | State::ExpectDecision => {}
            State::Closed => return,
        }
        self.pending.clear();
        if self.owes_reply {
            self.refuse();
        }
        self.state = self.close(reason);
    }

    /// The next thing for the driver to do, until there is nothing left.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::expire`] should next be called; never while it is our turn.
    #[must_use]
    pub fn deadline(&self) -> Monotonic {
        self.deadline
    }

    /// Whether nothing more may be said.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Which device.
    #[must_use]
    pub fn device(&self) -> &DeviceId {
        &self.known.device
    }

    /// What is known of it, the Inform included.
    #[must_use]
    pub fn facts(&self) -> Option<&DeviceFacts> {
        self.known.facts.as_ref()
    }

    /// The data model its Inform showed.
    #[must_use]
    pub fn root(&self) -> Option<Root> {
        self.root
    }
}

/// Request denied (A.5.2).
const FAULT_DENIED: u16 = 8001;
