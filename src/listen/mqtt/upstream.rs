//! What a session asks for: facts and its state to the store, and what follows once they are there.

use super::Driver;
use crate::exchange::{Gone, Keeping};
use crate::pipeline::Recorded;
use ::mqtt::{CloseReason, NewSubscription, Output};
use model::{CommandState, Event, EventType, Fact, Json, Protocol, Settlement, Ticket};
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
        if self.client.as_deref().is_some_and(|client| client.seat.is_ended()) {
            let now = self.listener.parts.clock.now();
            self.session.close(CloseReason::Administrative, now);
        }
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
        let is_plain = batch.keeps.is_empty() && self.session.was_welcome();
        let keeping = if is_plain {
            Ok(Keeping::default())
        } else {
            Box::pin(self.keeping(!batch.keeps.is_empty())).await
        };
        let parts = &self.listener.parts;
        let (count, facts) = (batch.len(), mem::take(&mut batch.facts));
        let began = parts.clock.now().monotonic;
        let timer = self.listener.counted.ack_seconds.start_timer();
        let recorded = match keeping {
            Ok(mut keeping) => {
                let operations = keeping.take_operations();
                let recorded = parts.pipeline.record_with(facts, operations).await;
                parts.exchange.settle(keeping, recorded.is_kept());
                recorded
            }
            // Another connection has the session: what is kept with it is that one's to say.
            Err(Gone) => Recorded::Alike(Settlement::Refused),
        };
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
        if let Some(client) = self.client.as_deref_mut() {
            // Once its arrival is kept: that is what makes an unknown board known.
            if !mem::replace(&mut client.is_marked, true) && client.program.is_none() {
                let registry = &self.listener.parts.registry;
                registry.set_connected(&client.tenant, &client.device, true, now);
            }
        }
        self.mark_seen(now);
    }

    /// What is to be on disk of the session as it is now: its state, where that is asked for, and
    /// with its arrival its last words.
    async fn keeping(&mut self, is_asked: bool) -> Result<Keeping, Gone> {
        let parts = &self.listener.parts;
        let Some(client) = self.client.as_deref_mut() else { return Ok(Keeping::default()) };
        let state = is_asked.then(|| self.session.state());
        if let (Some(program), true) = (client.program.as_deref_mut(), is_asked) {
            program.catch_up(parts, &client.seat).await;
        }
        match &state {
            Some(state) if self.session.was_welcome() => parts.exchange.keep(&client.seat, state),
            state => {
                let words = self.session.last_words(parts.clock.now());
                parts.exchange.arrive(&client.seat, state.as_ref(), words)
            }
        }
    }

    /// Has the exchange know what is subscribed to, where nothing is kept: what is kept came with
    /// the answer.
    async fn take_over_state(&mut self) -> bool {
        if self.session.state().expiry_s > 0 {
            return true;
        }
        let Ok(mut keeping) = self.keeping(true).await else { return false };
        let operations = keeping.take_operations();
        let parts = &self.listener.parts;
        let is_kept = operations.is_empty()
            || parts.pipeline.record_with(Vec::new(), operations).await.is_kept();
        parts.exchange.settle(keeping, is_kept);
        is_kept
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
    async fn end(&mut self, mut batch: Batch, reason: CloseReason) {
        self.closed = Some(reason);
        let parts = &self.listener.parts;
        let mut keeping = Keeping::default();
        if let Some(client) = self.client.as_deref_mut() {
            if let Some(program) = client.program.as_deref_mut() {
                program.leave(parts, &client.seat).await;
            }
            // Where it was not welcome, all stays as it was.
            let state = self.session.was_welcome().then(|| self.session.state());
            keeping = parts.exchange.closing(&client.seat, state.as_ref(), batch.will);
            if keeping.is_said() {
                batch.facts.retain(is_no_last_word);
            }
            client.waiting.clear();
        }
        parts.metrics.mqtt_messages.with_label_values(&["up"]).inc_by(batch.published);
        let operations = keeping.take_operations();
        if batch.facts.is_empty() && operations.is_empty() {
            return parts.exchange.settle(keeping, true);
        }
        let (gone, will) = last_words(&batch.facts);
        if parts.pipeline.record_with(batch.facts, operations).await.is_kept() {
            return parts.exchange.settle(keeping, true);
        }
        let operations = parts.exchange.left_unwritten(keeping, will);
        parts.pipeline.put_off(gone, operations).await;
    }
}

/// Whether a fact is what a client published, and not its coming and going or a command's step.
fn is_publish(fact: &Fact) -> bool {
    let of = [EventType::TELEMETRY_RECEIVED, EventType::MESSAGE_PUBLISHED];
    matches!(fact, Fact::Event(event) if of.contains(&event.kind))
}

/// Whether a fact of a connection's end is one that only it knows: that the client left, its will,
/// and that it has no commands any more is said by who took its place.
fn is_no_last_word(fact: &Fact) -> bool {
    match fact {
        Fact::Event(event) => {
            event.kind != EventType::DEVICE_DISCONNECTED && event.kind != EventType::WILL_PUBLISHED
        }
        Fact::Command(change) => change.state != CommandState::Queued,
    }
}

/// That the board left, and its will, where they are among the facts.
fn last_words(facts: &[Fact]) -> (Vec<Event>, Option<Json>) {
    let of_kind = |kind: EventType| {
        facts.iter().filter_map(move |fact| match fact {
            Fact::Event(event) if event.kind == kind => Some(event),
            Fact::Event(_) | Fact::Command(_) => None,
        })
    };
    let gone = of_kind(EventType::DEVICE_DISCONNECTED).cloned().collect();
    let will = of_kind(EventType::WILL_PUBLISHED).next().map(|event| event.data.clone());
    (gone, will)
}
