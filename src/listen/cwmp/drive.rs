//! Carrying out what a session asks for: one turn from a request to its answer.

use super::sessions::Owned;
use super::{Answer, CwmpListener, Line, refused, spoken};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::pipeline::Recorded;
use cwmp::{CloseReason, Message, Outcome, Output, Reply, SetupOutcome};
use model::{CommandState, Fact, Settlement, Ticket};
use std::sync::{Arc, PoisonError};
use tracing::debug;

/// How a turn ends.
enum Turn {
    /// The device hears this.
    Spoken(Reply),
    /// What it told us could not be kept.
    Refused,
}

/// A session while a request of it is served. A request that is dropped half-way, because its peer
/// went away, gives the session up instead of losing it.
struct Serving<'a> {
    listener: &'a Arc<CwmpListener>,
    owned: Option<Box<Owned>>,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(owned) = self.owned.take() {
            let listener = Arc::clone(self.listener);
            let given_up = async move { listener.abandon(owned, CloseReason::Disconnected).await };
            self.listener.turns.spawn(given_up);
        }
    }
}

impl CwmpListener {
    /// Serves one request of a session and puts the session back to rest.
    pub(super) async fn turn(
        self: &Arc<Self>,
        mut owned: Box<Owned>,
        message: Message,
        line: &Line,
    ) -> Answer {
        owned.session.set_held(self.parts.desk.is_held(&owned.tenant, &owned.device));
        owned.session.receive(message, self.parts.clock.now());
        let mut serving = Serving { listener: self, owned: Some(owned) };
        let (turn, closed) = match serving.owned.as_mut() {
            Some(owned) => self.drain(owned).await,
            None => (None, None),
        };
        match (serving.owned.take(), closed) {
            (Some(mut owned), Some(reason)) => {
                self.cut(&mut owned, reason).await;
                self.ended(&mut owned, reason);
            }
            (Some(owned), None) => {
                *line.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(owned.key);
                if let Some(superseded) = self.sessions.rest(owned) {
                    self.let_go(superseded, CloseReason::Superseded).await;
                }
            }
            (None, _) => {}
        }
        match turn {
            Some(Turn::Spoken(reply)) => spoken(reply),
            Some(Turn::Refused) | None => refused(),
        }
    }

    /// Gives a session up, to the end, whatever becomes of the request that it happens in.
    pub(super) async fn let_go(self: &Arc<Self>, owned: Box<Owned>, reason: CloseReason) {
        let listener = Arc::clone(self);
        let given_up = self.turns.spawn(async move { listener.abandon(owned, reason).await });
        // It fails only by a panic, which ends the process.
        let _ = given_up.await;
    }

    /// Ends a session wherever it stands; what it leaves behind is kept.
    pub(super) async fn abandon(&self, mut owned: Box<Owned>, reason: CloseReason) {
        owned.session.abandon(reason);
        let (_, closed) = self.drain(&mut owned).await;
        let reason = closed.unwrap_or(reason);
        self.cut(&mut owned, reason).await;
        self.ended(&mut owned, reason);
    }

    fn ended(&self, owned: &mut Owned, reason: CloseReason) {
        if !self.note_lessons(owned) {
            // The device does not wait for it.
            self.turns.spawn(self.learning(owned, false));
        }
        self.sessions.end(owned);
        self.parts.metrics.cwmp_sessions_ended.with_label_values(&[reason.as_str()]).inc();
        debug!(device = %owned.device, reason = reason.as_str(), "session ended");
    }

    /// Does all that the session asks for, until it asks for nothing more.
    async fn drain(&self, owned: &mut Owned) -> (Option<Turn>, Option<CloseReason>) {
        let (mut turn, mut closed) = (None, None);
        loop {
            let (facts, tickets, step) = collect(owned, &self.parts.metrics, self.parts.clock);
            let is_quiet = facts.is_empty();
            // Who hears that a command is done looks at what it brought.
            let refreshed = refreshed(owned, &facts);
            if refreshed.is_some() || owned.lessons.are_many() {
                self.keep_lessons(owned, refreshed == Some(true)).await;
            } else if facts.iter().any(ends_command) && !self.note_lessons(owned) {
                self.keep_lessons(owned, false).await;
            }
            if !is_quiet {
                let recorded = self.record(facts).await;
                let now = self.parts.clock.now();
                for (place, ticket) in tickets.into_iter().enumerate() {
                    owned.session.settle(ticket, recorded.of(place), now);
                }
            }
            match step {
                None if is_quiet => break,
                // What was settled may have more to ask.
                None => {}
                Some(Step::Decide) => self.decide(owned).await,
                Some(Step::SetupDone(name, outcome)) => self.set_up(owned, &name, outcome).await,
                Some(Step::Speak(spoken)) => turn = Some(spoken),
                Some(Step::Close(reason)) => closed = Some(reason),
            }
        }
        // Heard: after the facts, so that the first fact has made the device.
        let now = self.parts.clock.now().wall;
        self.parts.registry.seen(&owned.tenant, &owned.device, now, Some(owned.inform.from));
        (turn, closed)
    }

    pub(super) async fn record(&self, facts: Vec<Fact>) -> Recorded {
        let timer = self.parts.metrics.ack_seconds.with_label_values(&["cwmp"]).start_timer();
        let pipeline = Arc::clone(&self.parts.pipeline);
        // In a task of its own: what is on disk must also become known.
        let recorded = self.turns.spawn(async move { pipeline.record(facts).await });
        let recorded = recorded.await.unwrap_or(Recorded::Alike(Settlement::Refused));
        timer.observe_duration();
        recorded
    }
}

/// What a session asks for beside keeping facts.
enum Step {
    Decide,
    SetupDone(Box<str>, SetupOutcome),
    Speak(Turn),
    Close(CloseReason),
}

/// Takes the facts at the front and what comes after them.
fn collect(
    owned: &mut Owned,
    metrics: &Metrics,
    clock: Clock,
) -> (Vec<Fact>, Vec<Ticket>, Option<Step>) {
    let (mut facts, mut tickets) = (Vec::new(), Vec::new());
    loop {
        let step = match owned.session.poll() {
            Some(Output::Emit { fact, ticket }) => {
                facts.push(fact);
                tickets.push(ticket);
                continue;
            }
            Some(Output::Decide) => Some(Step::Decide),
            Some(Output::SetupDone { name, outcome }) => Some(Step::SetupDone(name, outcome)),
            Some(Output::Learned(learned)) => {
                owned.course.learn(&learned, || clock.now().wall);
                owned.lessons.add(learned);
                continue;
            }
            Some(Output::Answered { rpc, outcome }) => {
                count(metrics, rpc, outcome);
                continue;
            }
            Some(Output::Send(reply)) => Some(Step::Speak(Turn::Spoken(reply))),
            Some(Output::Refuse) => Some(Step::Speak(Turn::Refused)),
            Some(Output::Close(reason)) => Some(Step::Close(reason)),
            None => None,
        };
        return (facts, tickets, step);
    }
}

/// Whether these facts end a refresh of the session's, and then whether all that the device has is
/// known with it.
fn refreshed(owned: &Owned, facts: &[Fact]) -> Option<bool> {
    let ends = |fact: &Fact| {
        let Fact::Command(change) = fact else { return None };
        let is_refresh = |(id, _): &&(_, _)| ends_command(fact) && *id == change.id;
        let (_, is_whole) = owned.refreshes.iter().find(is_refresh)?;
        Some(*is_whole && change.state == CommandState::Done)
    };
    facts.iter().filter_map(ends).reduce(|left, right| left | right)
}

fn ends_command(fact: &Fact) -> bool {
    let is_end = |state| matches!(state, CommandState::Done | CommandState::Failed);
    matches!(fact, Fact::Command(change) if is_end(change.state))
}

/// Counts a call of ours. Codes that TR-069 does not name (A.5.1) are one label together.
fn count(metrics: &Metrics, rpc: &'static str, outcome: Outcome) {
    let calls = &metrics.cwmp_calls;
    match outcome {
        Outcome::Answered => calls.with_label_values(&[rpc, "answered"]).inc(),
        Outcome::NotAnswered => calls.with_label_values(&[rpc, "not_answered"]).inc(),
        Outcome::Refused(code @ 9000..=9032) => {
            calls.with_label_values(&[rpc, code.to_string().as_str()]).inc();
        }
        Outcome::Refused(_) => calls.with_label_values(&[rpc, "other"]).inc(),
    }
}
