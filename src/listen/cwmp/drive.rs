//! Carrying out what a session asks for: one turn from a request to its answer.

use super::sessions::Owned;
use super::{Answer, CwmpListener, Line, refused, spoken};
use crate::pipeline::Recorded;
use crate::provision;
use crate::wake::SignIn;
use cwmp::{CloseReason, Message, Output, Reply, SetupOutcome, Work};
use model::{Fact, Settlement, Ticket};
use std::sync::{Arc, PoisonError};
use tracing::{debug, info};

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
        owned.session.receive(message, self.parts.clock.now());
        let mut serving = Serving { listener: self, owned: Some(owned) };
        let (turn, closed) = match serving.owned.as_mut() {
            Some(owned) => self.drain(owned).await,
            None => (None, None),
        };
        match (serving.owned.take(), closed) {
            (Some(owned), Some(reason)) => self.ended(&owned, reason),
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
        self.ended(&owned, closed.unwrap_or(reason));
    }

    fn ended(&self, owned: &Owned, reason: CloseReason) {
        self.sessions.end(owned);
        self.parts.metrics.cwmp_sessions_ended.with_label_values(&[reason.as_str()]).inc();
        debug!(device = %owned.device, reason = reason.as_str(), "session ended");
    }

    /// Does all that the session asks for, until it asks for nothing more.
    async fn drain(&self, owned: &mut Owned) -> (Option<Turn>, Option<CloseReason>) {
        let (mut turn, mut closed) = (None, None);
        loop {
            let (facts, tickets, step) = collect(owned);
            let is_quiet = facts.is_empty();
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
                Some(Step::Decide) => self.decide(owned),
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

    async fn record(&self, facts: Vec<Fact>) -> Recorded {
        let timer = self.parts.metrics.ack_seconds.with_label_values(&["cwmp"]).start_timer();
        let pipeline = Arc::clone(&self.parts.pipeline);
        // In a task of its own: what is on disk must also become known.
        let recorded = self.turns.spawn(async move { pipeline.record(facts).await });
        let recorded = recorded.await.unwrap_or(Recorded::Alike(Settlement::Refused));
        timer.observe_duration();
        recorded
    }

    /// Says what the device should do: first what its profile demands, then what was asked of it.
    fn decide(&self, owned: &mut Owned) {
        let mut work: Vec<Work> = Vec::new();
        if !owned.is_set_up {
            owned.is_set_up = true;
            let set_up = self.parts.provision.set_up(owned.subject());
            if let Some((kind, sign_in)) = set_up {
                owned.offered = Some(sign_in);
                work.push(Work::Setup { name: "base".into(), kind });
            }
            if let Some(kind) = self.parts.provision.set_up_stun(owned.subject()) {
                work.push(Work::Setup { name: provision::STUN.into(), kind });
            }
        }
        let commands = self.parts.pipeline.decide(&owned.tenant, &owned.device);
        work.extend(commands.iter().map(Work::from));
        owned.session.assign(work, self.parts.clock.now());
    }

    async fn set_up(&self, owned: &mut Owned, name: &str, outcome: SetupOutcome) {
        if name == provision::STUN {
            return self.stun_told(owned, &outcome).await;
        }
        let sign_in = owned.offered.take();
        match (outcome, sign_in) {
            (SetupOutcome::Done { .. }, Some(sign_in)) => self.keep(owned, &sign_in).await,
            (SetupOutcome::Done { .. }, None) => {}
            (SetupOutcome::Failed { cause, applied, .. }, sign_in) => {
                info!(device = %owned.device, profile = name, %cause, "profile not applied");
                // What it took is in force: forgetting it would shut us out.
                if let Some(sign_in) = sign_in.filter(|_| takes_credentials(&applied)) {
                    self.keep(owned, &sign_in).await;
                }
            }
        }
    }

    /// Whatever the device says of the STUN server, it was told; unless it did not answer.
    async fn stun_told(&self, owned: &Owned, outcome: &SetupOutcome) {
        if let SetupOutcome::Failed { cause, result, .. } = outcome {
            debug!(device = %owned.device, %cause, "STUN server not taken");
            if result.is_none() {
                return;
            }
        }
        let told = self.parts.provision.stun_told(&owned.tenant, &owned.device).await;
        if let Err(error) = told {
            info!(device = %owned.device, %error, "not kept that the device was told of STUN");
        }
    }

    async fn keep(&self, owned: &Owned, sign_in: &SignIn) {
        let kept = self.parts.provision.keep(&owned.tenant, &owned.device, sign_in).await;
        if let Err(error) = kept {
            info!(device = %owned.device, %error, "connection request credentials not kept");
        }
    }
}

/// Whether both halves of the connection request credentials are among what a device took.
fn takes_credentials(applied: &[Box<str>]) -> bool {
    ["Username", "Password"].iter().all(|half| {
        let end = format!(".ManagementServer.ConnectionRequest{half}");
        applied.iter().any(|path| path.ends_with(&end))
    })
}

/// What a session asks for beside keeping facts.
enum Step {
    Decide,
    SetupDone(Box<str>, SetupOutcome),
    Speak(Turn),
    Close(CloseReason),
}

/// Takes the facts at the front and what comes after them.
fn collect(owned: &mut Owned) -> (Vec<Fact>, Vec<Ticket>, Option<Step>) {
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
            // Not kept yet.
            Some(Output::Learned(_)) => continue,
            Some(Output::Send(reply)) => Some(Step::Speak(Turn::Spoken(reply))),
            Some(Output::Refuse) => Some(Step::Speak(Turn::Refused)),
            Some(Output::Close(reason)) => Some(Step::Close(reason)),
            None => None,
        };
        return (facts, tickets, step);
    }
}
