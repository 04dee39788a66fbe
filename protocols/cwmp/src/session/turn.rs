//! Our turn: what we ask of the device, and what comes of it.

use super::job::{self, Begun, Context, Job, Notes, Step, Then, Verdict, Verify, Why};
use super::{Asked, CloseReason, Next, Outcome, Output, Pending, Reply, Session, State, Work};
use crate::message::{Body, Fault, Message, Response, Root};
use bytes::Bytes;
use model::{CommandChange, CommandId, CommandKind, CommandState, Fact, Monotonic, Now, Ticket};

impl Session {
    /// The next piece of work, or the question whether there is any.
    pub(super) fn take_up_work(&mut self, now: Now) -> State {
        if self.rounds >= self.options.requests_max {
            return self.finish();
        }
        self.rounds += 1;
        if let Some(job) = self.own_work() {
            return self.wait_or(Next::Ask(job), now);
        }
        if self.is_held {
            self.drop_held_setup();
        }
        let mut work = std::mem::take(&mut self.work);
        let mut notes = Notes::default();
        let begun = job::begin(&mut work, &self.context(&mut notes, now));
        self.work = work;
        let Some(Begun { sent, verdicts, job }) = begun else {
            self.outputs.push_back(Output::Decide);
            return State::ExpectDecision;
        };
        for id in sent {
            self.emit_sent(id);
        }
        for verdict in verdicts {
            self.report(verdict);
        }
        self.wait_or(job.map_or(Next::Work, Next::Ask), now)
    }

    /// Setting up that would write is not begun, and so not reported: it is decided again in a later
    /// session.
    fn drop_held_setup(&mut self) {
        self.work.retain(|work| match work {
            Work::Setup { kind, .. } => !writes(kind),
            Work::Command { .. } => true,
        });
    }

    /// Ends a job that would write again. Setting up of which the device took nothing counts as not
    /// begun: it is no fault of the device's.
    fn give_up_held(&mut self, job: Box<dyn Job>) {
        let mut notes = Notes::default();
        let verdicts = job.given_up(Why::Held, &mut notes);
        self.note(notes);
        for verdict in verdicts.into_iter().filter(|it| !it.is_empty_setup()) {
            self.report(verdict);
        }
    }

    /// What we must find out before anything else is asked.
    fn own_work(&mut self) -> Option<Box<dyn Job>> {
        if self.awaited.iter().any(|it| it.is_object()) {
            let awaited = std::mem::take(&mut self.awaited);
            let (objects, others) = awaited.into_iter().partition(|it| it.is_object());
            self.awaited = others;
            let root = self.root.unwrap_or(Root::InternetGatewayDevice);
            return Some(Box::new(Verify::new(objects, root.as_str())));
        }
        self.lost.pop().map(job::look_up)
    }

    fn context<'a>(&'a self, notes: &'a mut Notes, now: Now) -> Context<'a> {
        Context {
            options: &self.options,
            quirks: self.known.quirks,
            root: self.root,
            told: &self.told,
            now: now.wall,
            notes,
        }
    }

    pub(super) fn answered(&mut self, asked: Asked, answer: Response, now: Now) -> State {
        self.count(asked.rpc, Outcome::Answered);
        let mut notes = Notes::default();
        let step = asked.job.answered(answer, &mut self.context(&mut notes, now));
        self.step(step, notes, now)
    }

    pub(super) fn refused(&mut self, asked: Asked, fault: Fault, now: Now) -> State {
        self.count(asked.rpc, Outcome::Refused(fault.code));
        let mut notes = Notes::default();
        let step = asked.job.refused(fault, &mut self.context(&mut notes, now));
        self.step(step, notes, now)
    }

    /// Our request went without an answer.
    pub(super) fn passed_over(&mut self, asked: Asked, why: Why) {
        self.count(asked.rpc, Outcome::NotAnswered);
        self.give_up(asked.job, why);
    }

    pub(super) fn give_up(&mut self, job: Box<dyn Job>, why: Why) {
        let mut notes = Notes::default();
        let verdicts = job.given_up(why, &mut notes);
        self.note(notes);
        for verdict in verdicts {
            self.report(verdict);
        }
    }

    fn count(&mut self, rpc: &'static str, outcome: Outcome) {
        self.outputs.push_back(Output::Answered { rpc, outcome });
    }

    fn step(&mut self, step: Step, notes: Notes, now: Now) -> State {
        self.note(notes);
        for verdict in step.verdicts {
            self.report(verdict);
        }
        match step.then {
            Then::Ask(job) if self.rounds >= self.options.requests_max => {
                self.give_up(job, Why::Enough);
                self.wait_or(Next::Work, now)
            }
            Then::Ask(job) if self.is_held && job.request().is_write() => {
                self.give_up_held(job);
                self.wait_or(Next::Work, now)
            }
            Then::Ask(job) => self.wait_or(Next::Ask(job), now),
            Then::Work => self.wait_or(Next::Work, now),
            Then::Finish => self.wait_or(Next::Finish, now),
        }
    }

    fn note(&mut self, notes: Notes) {
        let Notes { learned, lost, awaited, cancelled } = notes;
        if !learned.is_empty() {
            self.outputs.push_back(Output::Learned(learned));
        }
        for path in lost {
            self.lose(&path);
        }
        self.awaited.extend(awaited);
        if let Some((command, by)) = cancelled {
            self.cancelled(&command, by.as_ref());
        }
    }

    /// What is left where `path` was believed to be is looked up, within bounds.
    fn lose(&mut self, path: &str) {
        let Some(dot) = path.strip_suffix('.').unwrap_or(path).rfind('.') else { return };
        let above = &path[..=dot];
        let is_root = Root::of(above).is_some_and(|it| it.as_str() == above);
        let is_barred = is_root && self.known.quirks.skip_root_names;
        let is_known = self.lost.iter().any(|it| **it == *above);
        if !is_barred && !is_known && self.rediscoveries < self.options.rediscoveries_max {
            self.rediscoveries += 1;
            self.lost.push(above.into());
        }
    }

    /// A transfer that was withdrawn tells no end of its own.
    fn cancelled(&mut self, command: &CommandId, by: Option<&CommandId>) {
        let Some(place) = self.awaited.iter().position(|it| it.id == *command) else { return };
        let cancelled = self.awaited.remove(place);
        let cause = match by {
            Some(by) => format!("the device has dropped it, as command {by} told it to"),
            None => "the device has dropped it".to_owned(),
        };
        let change = CommandChange::new(cancelled.id, CommandState::Failed).because(cause);
        self.emit(Fact::Command(change));
    }

    fn report(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Command(change) => self.emit(Fact::Command(change)),
            Verdict::Setup { name, outcome } => {
                self.outputs.push_back(Output::SetupDone { name, outcome });
            }
            Verdict::Nobodys => {}
        }
    }

    /// Waits for what was emitted; goes on when nothing is left.
    pub(super) fn wait_or(&mut self, next: Next, now: Now) -> State {
        if !self.pending.is_empty() {
            return State::ExpectSettlement(next);
        }
        match next {
            Next::Reply(message) => self.send_and(message, State::ExpectRequest, now),
            Next::Ask(job) => {
                self.calls += 1;
                self.rounds += 1;
                let id = self.calls.to_string().into_boxed_str();
                let request = job.request();
                let rpc = request.name();
                let body = Body::Request(Box::new(request));
                let message = Message::new(Some(id), self.namespace.clone(), body);
                self.send_and(message, State::ExpectAnswer(Asked { job, rpc }), now)
            }
            Next::Work => self.take_up_work(now),
            Next::Finish => self.finish(),
        }
    }

    pub(super) fn emit(&mut self, fact: Fact) {
        self.emit_as(fact, None);
    }

    fn emit_sent(&mut self, id: CommandId) {
        let sent = CommandChange::new(id.clone(), CommandState::Sent);
        self.emit_as(Fact::Command(sent), Some(id));
    }

    fn emit_as(&mut self, fact: Fact, sent: Option<CommandId>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.pending.push(Pending { ticket, sent });
        self.outputs.push_back(Output::Emit { fact, ticket });
    }

    pub(super) fn send_and(&mut self, message: Message, state: State, now: Now) -> State {
        self.send(&message);
        self.deadline = now.monotonic + self.options.idle_timeout;
        state
    }

    pub(super) fn send(&mut self, message: &Message) {
        let body = Bytes::from(message.encode());
        self.outputs.push_back(Output::Send(Reply { body, name: message.body.name() }));
        self.owes_reply = false;
    }

    pub(super) fn refuse(&mut self) {
        self.outputs.push_back(Output::Refuse);
        self.owes_reply = false;
    }

    pub(super) fn finish(&mut self) -> State {
        self.send(&Message::empty());
        self.close(CloseReason::Finished)
    }

    pub(super) fn close(&mut self, reason: CloseReason) -> State {
        self.deadline = Monotonic::NEVER;
        self.outputs.push_back(Output::Close(reason));
        State::Closed
    }
}

/// Whether setting up in this way writes to the device.
fn writes(kind: &CommandKind) -> bool {
    !matches!(
        kind,
        CommandKind::GetParameters { .. }
            | CommandKind::GetParameterNames { .. }
            | CommandKind::GetParameterAttributes { .. }
            | CommandKind::GetRpcMethods
            | CommandKind::Refresh { .. }
    )
}
