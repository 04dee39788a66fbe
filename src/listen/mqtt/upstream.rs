//! What a session asks for: facts and its state to the store, and what follows once they are there.

use super::Driver;
use crate::pipeline::Recorded;
use crate::store::Operation;
use ::mqtt::{CloseReason, NewSubscription, Output};
use model::{EventType, Fact, Json, Protocol, Settlement, Ticket};
use std::mem;
use std::time::Duration;

/// What a session handed out in one go: it goes to the store at once, or not at all.
#[derive(Default)]
struct Batch {
    facts: Vec<Fact>,
    /// Which of the tickets are the state's, counted from the first.
    keeps: Vec<usize>,
    /// How many of the facts are what the client published.
    published: u64,
    last: Option<Ticket>,
    will: Option<(Duration, Json)>,
    /// Keys of messages that are needed no more.
    done: Vec<u64>,
}

impl Batch {
    /// Tickets count up by one.
    fn len(&self) -> usize {
        self.facts.len() + self.keeps.len()
    }
}

impl Driver {
    /// Does all that the session asks for. What is asked for beside facts and state is done after
    /// those that came before it are kept.
    pub(super) async fn drain(&mut self) {
        loop {
            let mut batch = Batch::default();
            let asked = self.gather(&mut batch);
            let was_quiet = asked.is_none() && batch.last.is_none();
            if !batch.done.is_empty() {
                self.acknowledge(&batch.done);
            }
            if let Some(Output::Close(reason)) = asked {
                Box::pin(self.end(batch, reason)).await;
                return;
            }
            if batch.last.is_some() {
                // On the heap for as long as it lasts: an idle connection has no room for it.
                Box::pin(self.record(batch)).await;
            }
            match asked {
                Some(Output::Authenticate(introduction)) => {
                    Box::pin(self.authenticate(*introduction)).await;
                }
                Some(Output::Subscribed { filters }) => {
                    Box::pin(self.subscribed(&filters)).await;
                }
                Some(Output::Unsubscribed { .. }) => Box::pin(self.unsubscribed()).await,
                Some(Output::Ready) => Box::pin(self.offer()).await,
                _ if was_quiet => return,
                _ => {}
            }
        }
    }

    /// Takes outputs up to the first that is for after what came before it.
    fn gather(&mut self, batch: &mut Batch) -> Option<Output> {
        loop {
            match self.session.poll()? {
                Output::Emit { fact, ticket } => {
                    batch.published += u64::from(is_publish(&fact));
                    batch.facts.push(fact);
                    batch.last = Some(ticket);
                }
                Output::Keep { ticket } => {
                    batch.keeps.push(batch.len());
                    batch.last = Some(ticket);
                }
                Output::Acknowledged(key) => batch.done.push(key),
                Output::WillLater { delay, will } => batch.will = Some((delay, will.data)),
                Output::Refused(refusal) => {
                    self.listener.parts.metrics.fault(Protocol::Mqtt, refusal.code());
                }
                Output::Slowed(slowed) => {
                    let slow = &self.listener.parts.metrics.mqtt_slowed;
                    slow.with_label_values(&[slowed.code()]).inc();
                }
                other @ (Output::Authenticate(_)
                | Output::Subscribed { .. }
                | Output::Unsubscribed { .. }
                | Output::Ready
                | Output::Close(_)) => return Some(other),
            }
        }
    }

    async fn record(&mut self, mut batch: Batch) {
        let operations =
            if batch.keeps.is_empty() { Vec::new() } else { Box::pin(self.state_to_keep()).await };
        let parts = &self.listener.parts;
        let (count, facts) = (batch.len(), mem::take(&mut batch.facts));
        let began = parts.clock.now().monotonic;
        let timer = self.listener.counted.ack_seconds.start_timer();
        let recorded = parts.pipeline.record_with(facts, operations).await;
        timer.observe_duration();
        self.listener.counted.up.inc_by(batch.published);
        let now = parts.clock.now();
        self.session.unread_for(now.monotonic.since(began));
        let Some(last) = batch.last else { return };
        match recorded {
            Recorded::Alike(settlement) => self.session.settle_up_to(last, settlement, now),
            Recorded::Each(each) => {
                let (mut of_facts, of_state) = (each.iter(), each.last().copied());
                for place in 0..count {
                    let settlement = if batch.keeps.contains(&place) {
                        of_state
                    } else {
                        of_facts.next().copied()
                    };
                    let back = (count - 1 - place) as u64;
                    let settlement = settlement.unwrap_or(Settlement::Refused);
                    self.session.settle_up_to(Ticket(last.0 - back), settlement, now);
                }
            }
        }
        self.has_arrived(now.wall);
    }

    /// Something of the client is on disk.
    fn has_arrived(&mut self, now: jiff::Timestamp) {
        let is_welcome = self.session.is_connected();
        if let Some(client) = self.client.as_deref_mut() {
            if is_welcome && client.resumed.is_some() {
                client.resumed = None;
            }
            // Once its arrival is kept: that is what makes an unknown board known.
            if !mem::replace(&mut client.is_marked, true) && client.program.is_none() {
                let registry = &self.listener.parts.registry;
                registry.set_connected(&client.tenant, &client.device, true, now);
            }
        }
        self.mark_seen(now);
    }

    /// What is to be on disk of the session as it is now.
    async fn state_to_keep(&mut self) -> Vec<Operation> {
        let parts = &self.listener.parts;
        let Some(client) = self.client.as_deref_mut() else { return Vec::new() };
        let state = self.session.state();
        if let Some(program) = client.program.as_deref_mut() {
            program.catch_up(parts, &client.seat).await;
        }
        parts.exchange.keep(&client.seat, &state)
    }

    /// Has the exchange know what is subscribed to, where nothing is kept: what is kept came with
    /// the answer.
    async fn take_over_state(&mut self) -> bool {
        if self.session.state().expiry_s > 0 {
            return true;
        }
        let operations = self.state_to_keep().await;
        if operations.is_empty() {
            return true;
        }
        let kept = self.listener.parts.pipeline.record_with(Vec::new(), operations).await;
        kept.of(0) == Settlement::Committed
    }

    async fn subscribed(&mut self, filters: &[NewSubscription]) {
        if !self.take_over_state().await {
            let now = self.listener.parts.clock.now();
            return self.session.close(CloseReason::StoreFull, now);
        }
        self.follow(filters).await;
        self.send_retained(filters);
        self.offer().await;
    }

    async fn unsubscribed(&mut self) {
        self.take_over_state().await;
        self.follow(&[]).await;
    }

    /// The session's last words: its last facts, and what is kept of it without a connection.
    async fn end(&mut self, batch: Batch, reason: CloseReason) {
        self.closed = Some(reason);
        let parts = &self.listener.parts;
        let mut operations = Vec::new();
        if let Some(client) = self.client.as_deref_mut() {
            if let Some(program) = client.program.as_deref_mut() {
                program.leave(parts, &client.seat).await;
            }
            let state = match client.resumed.take() {
                // It was not welcome: all stays as it was.
                Some(resumed) => *resumed,
                None => self.session.state(),
            };
            operations = parts.exchange.closed(&client.seat, &state, batch.will);
            client.waiting.clear();
        }
        parts.metrics.mqtt_messages.with_label_values(&["up"]).inc_by(batch.published);
        if !batch.facts.is_empty() || !operations.is_empty() {
            parts.pipeline.record_with(batch.facts, operations).await;
        }
    }
}

/// Whether a fact is what a client published, and not its coming and going or a command's step.
fn is_publish(fact: &Fact) -> bool {
    let of = [EventType::TELEMETRY_RECEIVED, EventType::MESSAGE_PUBLISHED];
    matches!(fact, Fact::Event(event) if of.contains(&event.kind))
}
