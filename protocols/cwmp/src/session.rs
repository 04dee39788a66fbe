//! One CWMP session: the device speaks first, we answer, until neither has more to ask.
//!
//! Pure: no socket, no clock, no task. The driver hands in messages and the time, and carries out
//! whatever [`Session::poll`] returns. A fact is handed out before the reply that acknowledges it,
//! and the reply waits until the driver has settled every fact (TR-069 3.7.2 is the flow).

mod output;
mod task;
mod work;

pub use output::{CloseReason, Output, Reply};
pub use work::{SetupOutcome, Support, SupportedFile, Work};

use crate::message::{Body, Fault, Inform, Message, Namespace, Response, Root};
use crate::{Options, Quirks, translate};
use bytes::Bytes;
use model::{
    CommandChange, CommandId, CommandState, DeviceFacts, DeviceId, Event, Fact, Monotonic, Now,
    Settlement, Tenant, Ticket,
};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use task::{Step, Task, Told, Verdict};

/// What the registry knows of a device when its session begins.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whose device.
    pub tenant: Tenant,
    /// Which device, checked against its credential.
    pub device: DeviceId,
    /// What is known of it; `None` for a device never met.
    pub facts: Option<DeviceFacts>,
    /// Reboots that were sent and not seen to happen: states sent, delivered and unknown.
    pub reboots: Vec<CommandId>,
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
    work: VecDeque<Work>,
    outputs: VecDeque<Output>,
    pending: Vec<Ticket>,
    tickets: u64,
    /// Calls made, which also names them.
    calls: u32,
    /// Calls made and work begun: what [`Options::requests_max`] bounds.
    rounds: u32,
    deadline: Monotonic,
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
    ExpectAnswer(Box<Task>),
    /// Nothing more may be said.
    Closed,
}

/// What waits for facts to be settled.
#[derive(Debug)]
enum Next {
    /// Answer the device's call.
    Reply(Message),
    /// Make the call that the task has ready.
    Ask(Box<Task>),
    /// Take up the next piece of work.
    Work,
    /// Say that that is all.
    Finish,
}

impl Session {
    /// Starts waiting for the Inform of a device whose identity has been checked.
    #[must_use]
    pub fn new(known: Known, options: Arc<Options>, now: Now) -> Self {
        let deadline = now.monotonic + options.idle_timeout;
        Self {
            options,
            known,
            state: State::ExpectInform,
            owes_reply: false,
            namespace: Namespace::default(),
            root: None,
            told: Box::default(),
            work: VecDeque::new(),
            outputs: VecDeque::new(),
            pending: Vec::new(),
            tickets: 0,
            calls: 0,
            rounds: 0,
            deadline,
        }
    }

    /// Takes one message from the device. After it, [`Session::poll`] leads to exactly one
    /// [`Output::Send`] or [`Output::Refuse`].
    ///
    /// A second Inform is a new session and not for this one: [`Session::abandon`] it first.
    #[expect(clippy::too_many_lines, reason = "all transitions stand in one match")]
    pub fn receive(&mut self, message: Message, now: Now) {
        self.owes_reply = true;
        self.deadline = Monotonic::NEVER;
        let Message { id, namespace, body, oddities: _ } = message;
        let reply = |body| Message::new(id.clone(), namespace.clone(), body);

        // `Closed` is left behind while we decide, so no path can leave a usable session by mistake.
        self.state = match (mem::replace(&mut self.state, State::Closed), body) {
            (State::ExpectInform, Body::Inform(inform)) => {
                self.namespace = namespace.clone();
                self.informed(*inform, reply(answer(Response::Inform)), now)
            }
            (State::ExpectInform, Body::Empty) => {
                self.send_and(Message::empty(), State::ExpectInform, now)
            }
            (
                State::ExpectInform,
                Body::TransferComplete(_)
                | Body::AutonomousTransferComplete(_)
                | Body::Kicked(_)
                | Body::RequestDownload(_)
                | Body::DuStateChangeComplete(_)
                | Body::AutonomousDuStateChangeComplete(_)
                | Body::GetRpcMethods
                | Body::Request(_)
                | Body::Response(_)
                | Body::Fault(_)
                | Body::Unknown { .. },
            ) => {
                self.send(&reply(refusal(FAULT_DENIED)));
                self.close(CloseReason::Unexpected)
            }

            // The device's own requests (3.7.2.4). One that comes in place of an answer means that
            // our request was passed over.
            (
                State::ExpectRequest,
                body @ (Body::TransferComplete(_)
                | Body::AutonomousTransferComplete(_)
                | Body::Kicked(_)
                | Body::RequestDownload(_)
                | Body::DuStateChangeComplete(_)
                | Body::AutonomousDuStateChangeComplete(_)
                | Body::GetRpcMethods
                | Body::Request(_)
                | Body::Unknown { .. }),
            ) => self.serve(body, reply, now),
            (
                State::ExpectAnswer(task),
                body @ (Body::TransferComplete(_)
                | Body::AutonomousTransferComplete(_)
                | Body::Kicked(_)
                | Body::RequestDownload(_)
                | Body::DuStateChangeComplete(_)
                | Body::AutonomousDuStateChangeComplete(_)
                | Body::GetRpcMethods
                | Body::Request(_)
                | Body::Unknown { .. }),
            ) => {
                self.passed_over(*task);
                self.serve(body, reply, now)
            }

            // The device's turn is over. An answer or fault with no request of ours is no more
            // than that.
            (State::ExpectRequest, Body::Empty | Body::Response(_) | Body::Fault(_)) => {
                self.take_up_work(now)
            }
            (State::ExpectAnswer(task), Body::Response(response)) => {
                let step = task.answered(*response);
                self.step(step, now)
            }
            (State::ExpectAnswer(task), Body::Fault(fault)) => {
                let step = task.refused(*fault, &self.options);
                self.step(step, now)
            }
            (State::ExpectAnswer(task), Body::Empty) => {
                self.passed_over(*task);
                self.wait_or(Next::Work, now)
            }

            // The driver starts a new session with an Inform, and asks nothing while it owes.
            (state @ (State::ExpectRequest | State::ExpectAnswer(_)), Body::Inform(_)) => {
                self.state = state;
                self.abandon(CloseReason::Superseded);
                State::Closed
            }
            (state @ (State::ExpectSettlement(_) | State::ExpectDecision), _any_body) => {
                self.state = state;
                self.abandon(CloseReason::Unexpected);
                State::Closed
            }
            (State::Closed, _any_body) => {
                self.refuse();
                State::Closed
            }
        };
    }

    /// Says what became of an emitted fact. One that was refused turns the reply into a refusal; a
    /// command that was overtaken before its call is not asked, and the next work is taken up.
    pub fn settle(&mut self, ticket: Ticket, settlement: Settlement, now: Now) {
        let waited = self.pending.len();
        self.pending.retain(|it| *it != ticket);
        let was_waited_for = self.pending.len() < waited;
        self.state = match (mem::replace(&mut self.state, State::Closed), settlement) {
            (State::ExpectSettlement(_), Settlement::Refused) => {
                self.pending.clear();
                self.refuse();
                self.close(CloseReason::Refused)
            }
            // All that a call waits for is its `Sent`: the command was withdrawn or has expired, so
            // it stays unasked.
            (State::ExpectSettlement(Next::Ask(_)), Settlement::Overtaken) if was_waited_for => {
                self.wait_or(Next::Work, now)
            }
            (State::ExpectSettlement(next), Settlement::Committed | Settlement::Overtaken) => {
                self.wait_or(next, now)
            }
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
        let task = match mem::replace(&mut self.state, State::Closed) {
            State::ExpectAnswer(task) | State::ExpectSettlement(Next::Ask(task)) => Some(task),
            State::ExpectInform
            | State::ExpectRequest
            | State::ExpectSettlement(Next::Reply(_) | Next::Work | Next::Finish)
            | State::ExpectDecision => None,
            State::Closed => return,
        };
        if let Some(task) = task {
            self.passed_over(*task);
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

    fn informed(&mut self, inform: Inform, reply: Message, now: Now) -> State {
        self.root = inform.root();
        let every = self.options.event_per_inform;
        if let Some(event) = translate::news(&inform, &mut self.known, every, now) {
            self.emit(Fact::Event(event));
        }
        self.reboots_done(&inform);
        self.told = inform.parameters.into_iter().map(Told::from).collect();
        self.wait_or(Next::Reply(reply), now)
    }

    /// `1 BOOT` ends every outstanding reboot, `M Reboot` the one whose key it brings.
    fn reboots_done(&mut self, inform: &Inform) {
        let booted = inform.has_event(crate::EventStruct::BOOT);
        let keyed = |id: &CommandId| {
            let mut events = inform.events.iter();
            events.any(|it| {
                &*it.code == crate::EventStruct::M_REBOOT && &*it.command_key == id.as_str()
            })
        };
        let reboots = mem::take(&mut self.known.reboots);
        let (done, waiting) = reboots.into_iter().partition(|id| booted || keyed(id));
        self.known.reboots = waiting;
        for id in done {
            let done = CommandChange::new(id, CommandState::Done);
            self.emit(Fact::Command(done));
        }
    }

    fn serve(&mut self, body: Body, reply: impl Fn(Body) -> Message, now: Now) -> State {
        let (event, body): (Option<Event>, Body) = match body {
            Body::TransferComplete(transfer) => (
                Some(translate::transfer_event(&transfer, false, &self.known, now)),
                answer(Response::TransferComplete),
            ),
            Body::AutonomousTransferComplete(transfer) => (
                Some(translate::transfer_event(&transfer, true, &self.known, now)),
                answer(Response::AutonomousTransferComplete),
            ),
            Body::GetRpcMethods => {
                let methods = METHODS.map(Box::from).to_vec();
                (None, answer(Response::GetRpcMethods { methods }))
            }
            Body::RequestDownload(_) => (None, answer(Response::RequestDownload)),
            Body::Kicked(kicked) => (None, answer(Response::Kicked { next_url: kicked.next })),
            Body::DuStateChangeComplete(_) => (None, answer(Response::DuStateChangeComplete)),
            Body::AutonomousDuStateChangeComplete(_) => {
                (None, answer(Response::AutonomousDuStateChangeComplete))
            }
            Body::Request(_) | Body::Unknown { .. } => (None, refusal(FAULT_NOT_SUPPORTED)),
            Body::Empty | Body::Inform(_) | Body::Response(_) | Body::Fault(_) => {
                (None, refusal(FAULT_DENIED))
            }
        };
        if let Some(event) = event {
            self.emit(Fact::Event(event));
        }
        self.wait_or(Next::Reply(reply(body)), now)
    }

    /// The next piece of work, or the question whether there is any.
    fn take_up_work(&mut self, now: Now) -> State {
        if self.rounds >= self.options.requests_max {
            return self.finish();
        }
        self.rounds += 1;
        let Some(work) = self.work.pop_front() else {
            self.outputs.push_back(Output::Decide);
            return State::ExpectDecision;
        };
        let (sent, step) = Task::begin(work, &self.told);
        if let Some(sent) = sent {
            self.emit(Fact::Command(sent));
        }
        self.step(step, now)
    }

    fn step(&mut self, step: Step, now: Now) -> State {
        match step {
            Step::Ask(task) => self.wait_or(Next::Ask(task), now),
            Step::End(verdict) => {
                self.report(verdict);
                self.wait_or(Next::Work, now)
            }
            Step::Last(verdict) => {
                self.report(verdict);
                self.wait_or(Next::Finish, now)
            }
        }
    }

    fn report(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Command(change) => self.emit(Fact::Command(change)),
            Verdict::Setup { name, outcome } => {
                self.outputs.push_back(Output::SetupDone { name, outcome });
            }
        }
    }

    /// Our request went without an answer.
    fn passed_over(&mut self, task: Task) {
        self.report(task.unanswered());
    }

    /// Waits for what was emitted; goes on when nothing is left.
    fn wait_or(&mut self, next: Next, now: Now) -> State {
        if !self.pending.is_empty() {
            return State::ExpectSettlement(next);
        }
        match next {
            Next::Reply(message) => self.send_and(message, State::ExpectRequest, now),
            Next::Ask(mut task) => {
                self.calls += 1;
                self.rounds += 1;
                let id = self.calls.to_string().into_boxed_str();
                let body = Body::Request(Box::new(task.take_request()));
                let message = Message::new(Some(id), self.namespace.clone(), body);
                self.send_and(message, State::ExpectAnswer(task), now)
            }
            Next::Work => self.take_up_work(now),
            Next::Finish => self.finish(),
        }
    }

    fn emit(&mut self, fact: Fact) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.pending.push(ticket);
        self.outputs.push_back(Output::Emit { fact, ticket });
    }

    fn send_and(&mut self, message: Message, state: State, now: Now) -> State {
        self.send(&message);
        self.deadline = now.monotonic + self.options.idle_timeout;
        state
    }

    fn send(&mut self, message: &Message) {
        let body = Bytes::from(message.encode());
        self.outputs.push_back(Output::Send(Reply { body, name: message.body.name() }));
        self.owes_reply = false;
    }

    fn refuse(&mut self) {
        self.outputs.push_back(Output::Refuse);
        self.owes_reply = false;
    }

    fn finish(&mut self) -> State {
        self.send(&Message::empty());
        self.close(CloseReason::Finished)
    }

    fn close(&mut self, reason: CloseReason) -> State {
        self.deadline = Monotonic::NEVER;
        self.outputs.push_back(Output::Close(reason));
        State::Closed
    }
}

/// What a device may call (A.3.1, A.3.3).
const METHODS: [&str; 5] = [
    "Inform",
    "GetRPCMethods",
    "TransferComplete",
    "AutonomousTransferComplete",
    "RequestDownload",
];

/// A.5.2.
const FAULT_NOT_SUPPORTED: u16 = 8000;
/// A.5.2.
const FAULT_DENIED: u16 = 8001;

fn answer(response: Response) -> Body {
    Body::Response(Box::new(response))
}

fn refusal(code: u16) -> Body {
    Body::Fault(Box::new(Fault::ours(code)))
}
