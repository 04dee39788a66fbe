//! Hops of USSD dialogues: each request is one turn, answered by one screen.
//!
//! The dialogues lie in a few tables, each behind a lock that is held for a turn's computing and
//! never while anything is waited for. A hop that makes no fact and asks nobody is answered without
//! leaving its request.

use super::{Called, Route};
use crate::clock::Clock;
use crate::household::Household;
use crate::listen::http1::Answer;
use crate::menus::Book;
use crate::metrics::Metrics;
use crate::pipeline::{Pipeline, Recorded};
use crate::shutdown::Stage;
use async_trait::async_trait;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use model::{DeviceId, Fact, Monotonic, Protocol, Ticket};
use prometheus::IntCounter;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use ussd::{
    Ask, DialogueId, Dialogues, EndReport, Inbound, Output, Receipt, Reply, Request, Resume,
    Resumes, Screen, Service, Turn, TurnError,
};

/// Tables of dialogues: more than workers, so that two rarely meet at a lock.
const TABLES: usize = 16;
/// How often overdue dialogues are looked for.
const REAP_INTERVAL: Duration = Duration::from_millis(100);
/// Numbers that the rate limiter remembers before it forgets the quiet ones.
const NUMBERS_MAX: usize = 100_000;
/// Requests that may wait for one hop: the first, and an aggregator's repetitions of it.
const WAITERS_MAX: usize = 8;

/// Bounds of the dialogues.
#[derive(Clone, Copy, Debug)]
pub struct HopsOptions {
    /// Most dialogues per minute that one number may begin.
    pub rate_per_number: NonZeroU32,
    /// Bounds of each dialogue; `dialogues_max` is for all tables together.
    pub dialogue: ussd::Options,
}

/// What the hops work with.
#[derive(Debug)]
pub struct HopsParts {
    /// Facts in.
    pub pipeline: Arc<Pipeline>,
    /// Answers the menus' questions.
    pub household: Arc<Household>,
    /// The services as they stand.
    pub book: Arc<Book>,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
}

/// Every dialogue, and the requests that wait for their screens.
#[derive(Debug)]
pub struct Hops {
    parts: HopsParts,
    tables: Vec<Mutex<Table>>,
    shards: RandomState,
    dials: DefaultKeyedRateLimiter<DeviceId>,
    /// Where dialogues broke off: of all tables, as who dials again has another session.
    resumes: Mutex<Resumes>,
    /// Facts and questions on their way; they outlive the request that began them.
    work: TaskTracker,
    /// Hops that moved a dialogue.
    turns: IntCounter,
}

#[derive(Debug)]
struct Table {
    dialogues: Dialogues,
    waiting: HashMap<DialogueId, Vec<oneshot::Sender<Screen>>>,
}

/// What one drain of a table leaves to be done without its lock.
#[derive(Debug, Default)]
struct Drained {
    facts: Vec<Fact>,
    tickets: Vec<Ticket>,
    asks: Vec<Ask>,
    broken_off: Vec<Resume>,
}

impl Hops {
    /// Dialogues, none yet.
    pub fn new(parts: HopsParts, options: HopsOptions) -> Arc<Self> {
        let mut dialogue = options.dialogue;
        dialogue.dialogues_max = dialogue.dialogues_max.div_ceil(TABLES);
        let table = || Table { dialogues: Dialogues::new(dialogue), waiting: HashMap::new() };
        let turns = parts.metrics.ussd_hops.with_label_values(&["turn"]);
        Arc::new(Self {
            parts,
            tables: (0..TABLES).map(|_| Mutex::new(table())).collect(),
            shards: RandomState::new(),
            dials: RateLimiter::keyed(Quota::per_minute(options.rate_per_number)),
            resumes: Mutex::new(Resumes::new(&options.dialogue)),
            work: TaskTracker::new(),
            turns,
        })
    }

    /// The service that a URL means, if its secret and the caller's address are right.
    fn admit(&self, name: &str, secret: &str, from: IpAddr) -> Option<Arc<Service>> {
        let services = self.parts.book.services();
        let is_known = services.contains_key(name);
        // An unknown name costs as much as a known one with a wrong secret.
        let guarded = services.get(name).or_else(|| services.values().next())?;
        let may_enter = guarded.door.admits(secret, from);
        (is_known && may_enter).then(|| Arc::clone(&guarded.service))
    }

    /// Answers one hop.
    async fn hop(self: &Arc<Self>, service: &Arc<Service>, request: &Request<'_>) -> Answer {
        let timer = self.parts.metrics.ussd_hop_seconds.start_timer();
        let turn = match service.aggregator.decode(request) {
            Ok(Inbound::Turn(turn)) => turn,
            Ok(Inbound::End(report)) => return self.end(service, &report, request),
            Ok(Inbound::Probe(reply)) => return written(reply),
            Err(error) => return self.unreadable(service, error),
        };
        let screen = self.turn(service, &turn).await;
        timer.observe_duration();
        written(service.aggregator.encode(&screen, &turn))
    }

    fn unreadable(&self, service: &Service, error: TurnError) -> Answer {
        self.parts.metrics.fault(Protocol::Ussd, error.code());
        written(service.aggregator.encode_error(error))
    }

    async fn turn(self: &Arc<Self>, service: &Arc<Service>, turn: &Turn) -> Screen {
        let shard = self.shard(&service.name, &turn.session);
        let (screen, drained) = self.receive(shard, service, turn);
        if let Some(drained) = drained {
            self.carry_on(shard, drained);
        }
        match screen {
            Ok(screen) => screen,
            // The dialogue itself sees to it that there is an answer in time.
            Err(waiter) => waiter.await.unwrap_or_else(|_| Screen::End(service.menu.retry_text())),
        }
    }

    /// Takes a turn: its screen where there is one already, else what will bring it.
    fn receive(
        &self,
        shard: usize,
        service: &Arc<Service>,
        turn: &Turn,
    ) -> (Result<Screen, oneshot::Receiver<Screen>>, Option<Drained>) {
        let now = self.parts.clock.now();
        let mut table = self.table(shard);
        // By what is held and not by the text: keys may come with the dial, and a hop that comes again
        // begins nothing.
        let standing = table.dialogues.standing(service, turn, now);
        let begins = standing.begins;
        if begins && self.dials.check_key(&turn.device).is_err() {
            drop(table);
            self.count("rate_per_number");
            return (Ok(Screen::End(service.menu.retry_text())), None);
        }
        let may_resume = begins && turn.input.is_dial();
        let resume = may_resume.then(|| self.resumes().take(service, &turn.device, now)).flatten();
        let (id, receipt) =
            table.dialogues.receive_or_resume((service, turn), standing, resume, now);
        let (ready, drained) = table.drain_for(id, &self.parts.metrics);
        let screen = match (id, receipt) {
            (Some(id), Receipt::New | Receipt::InProgress) => {
                self.turns.inc();
                // Most hops have their screen by now.
                ready.ok_or_else(|| table.wait(id))
            }
            (None, Receipt::New | Receipt::InProgress) => {
                Ok(Screen::End(service.menu.retry_text()))
            }
            (_, Receipt::Replay(screen)) => {
                self.count("replay");
                Ok(screen)
            }
            (_, Receipt::Refused(screen, refusal)) => {
                self.count(refusal.code());
                Ok(screen)
            }
        };
        drop(table);
        (screen, drained)
    }

    /// Takes the notification that a dialogue is over.
    fn ended(self: &Arc<Self>, service: &Arc<Service>, request: &Request<'_>) -> Answer {
        match service.aggregator.decode_end(request) {
            Ok(report) => self.end(service, &report, request),
            Err(error) => self.unreadable(service, error),
        }
    }

    fn end(
        self: &Arc<Self>,
        service: &Service,
        report: &EndReport,
        request: &Request<'_>,
    ) -> Answer {
        let shard = self.shard(&service.name, &report.session);
        let mut table = self.table(shard);
        table.dialogues.end(service, report, self.parts.clock.now());
        let drained = table.drain(&self.parts.metrics);
        drop(table);
        if let Some(drained) = drained {
            self.carry_on(shard, drained);
        }
        written(service.aggregator.encode_end(report, request))
    }

    /// Does what a drain left, and what comes of it, until nothing is left.
    async fn carry(self: Arc<Self>, shard: usize, mut drained: Drained) {
        loop {
            self.keep_broken_off(&mut drained);
            for ask in std::mem::take(&mut drained.asks) {
                let hops = Arc::clone(&self);
                // On its own: a slow backend must not hold up the facts of other dialogues.
                self.work.spawn(async move { hops.answer(shard, &ask).await });
            }
            if drained.facts.is_empty() {
                return;
            }
            let timer = self.parts.metrics.ack_seconds.with_label_values(&["ussd"]).start_timer();
            let recorded = self.parts.pipeline.record(std::mem::take(&mut drained.facts)).await;
            timer.observe_duration();
            match self.settle(shard, &drained.tickets, &recorded) {
                Some(next) => drained = next,
                None => return,
            }
        }
    }

    fn keep_broken_off(&self, drained: &mut Drained) {
        for resume in std::mem::take(&mut drained.broken_off) {
            self.resumes().keep(resume, self.parts.clock.now());
        }
    }

    fn settle(&self, shard: usize, tickets: &[Ticket], recorded: &Recorded) -> Option<Drained> {
        let now = self.parts.clock.now();
        let mut table = self.table(shard);
        for (place, ticket) in tickets.iter().enumerate() {
            table.dialogues.settle(*ticket, recorded.of(place), now);
        }
        table.drain(&self.parts.metrics)
    }

    async fn answer(self: Arc<Self>, shard: usize, ask: &Ask) {
        let answer = self.parts.household.answer(ask).await;
        let drained = {
            let mut table = self.table(shard);
            let now = self.parts.clock.now();
            if !table.dialogues.answer(ask.ticket, &answer, now) {
                self.count("late_answer");
            }
            table.drain(&self.parts.metrics)
        };
        if let Some(drained) = drained {
            self.carry_on(shard, drained);
        }
    }

    /// Carries in a task of its own. Boxed: an answer leads to facts, facts to the next question.
    fn carry_on(self: &Arc<Self>, shard: usize, mut drained: Drained) {
        // Before the hang-up is answered: who dials again at once may be quicker than the task.
        self.keep_broken_off(&mut drained);
        let hops = Arc::clone(self);
        let carried: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { hops.carry(shard, drained).await });
        self.work.spawn(carried);
    }

    /// Ends dialogues that are overdue, until the stage stops and all work is done.
    pub async fn reap(self: Arc<Self>, stage: Stage) {
        let mut tick = tokio::time::interval(REAP_INTERVAL);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => break,
            }
            self.expire();
        }
        self.work.close();
        self.work.wait().await;
    }

    fn expire(self: &Arc<Self>) {
        let now = self.parts.clock.now();
        let mut held = 0;
        for shard in 0..TABLES {
            let mut table = self.table(shard);
            while table.dialogues.deadline() <= now.monotonic && now.monotonic < Monotonic::NEVER {
                table.dialogues.expire(now);
            }
            held += table.dialogues.len();
            if let Some(drained) = table.drain(&self.parts.metrics) {
                self.carry_on(shard, drained);
            }
        }
        self.parts.metrics.ussd_dialogues.set(i64::try_from(held).unwrap_or(0));
        if self.dials.len() > NUMBERS_MAX {
            self.dials.retain_recent();
        }
    }

    fn shard(&self, service: &str, session: &str) -> usize {
        let hash = self.shards.hash_one((service, session));
        usize::try_from(hash % TABLES as u64).unwrap_or(0)
    }

    fn table(&self, shard: usize) -> MutexGuard<'_, Table> {
        self.tables[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resumes(&self) -> MutexGuard<'_, Resumes> {
        self.resumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, outcome: &str) {
        self.parts.metrics.ussd_hops.with_label_values(&[outcome]).inc();
    }
}

/// `/ussd/{service}/{secret}`, and what its aggregator has below it.
#[async_trait]
impl Route for Arc<Hops> {
    async fn answer(&self, mut called: Called<'_>) -> Answer {
        let head = called.head;
        let mut rest = called.rest.splitn(3, '/');
        let (Some(service), Some(secret)) = (rest.next(), rest.next()) else {
            return called.refuse(StatusCode::NOT_FOUND, "not_found");
        };
        let path = rest.next().unwrap_or_default();
        if !matches!(head.method, Method::POST | Method::GET | Method::PUT) {
            return called.refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
        }
        // A wrong secret is told from a missing service by nothing: not by status, not by time.
        let Some(service) = self.admit(service, secret, called.from) else {
            return called.refuse(StatusCode::NOT_FOUND, "secret");
        };
        let body = match called.body().await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let wanted = service.aggregator.headers().iter();
        let headers: Vec<(&str, &str)> =
            wanted.filter_map(|name| text(name).map(|value| (*name, value))).collect();
        let request = Request {
            method: head.method.as_str(),
            path,
            content_type: text(CONTENT_TYPE.as_str()),
            headers: &headers,
            query: head.uri.query().unwrap_or_default(),
            body: &body,
        };
        if path == "end" {
            self.ended(&service, &request)
        } else {
            self.hop(&service, &request).await
        }
    }
}

/// An aggregator's reply as HTTP. What it may not say there is left out.
fn written(reply: Reply) -> Answer {
    let mut answer = Response::new(Full::from(reply.body.0));
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_REQUEST);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    for (name, value) in &reply.headers {
        let name = HeaderName::from_lowercase(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

impl Table {
    /// Waits for a dialogue's next screen.
    fn wait(&mut self, id: DialogueId) -> oneshot::Receiver<Screen> {
        let (sender, receiver) = oneshot::channel();
        let waiting = self.waiting.entry(id).or_default();
        if waiting.len() >= WAITERS_MAX {
            waiting.remove(0);
        }
        waiting.push(sender);
        receiver
    }

    /// Hands out the screens that are ready; returns what needs waiting for.
    fn drain(&mut self, metrics: &Metrics) -> Option<Drained> {
        self.drain_for(None, metrics).1
    }

    /// The same, with the screen of one dialogue for whoever moved it and waits for it right here.
    fn drain_for(
        &mut self,
        mover: Option<DialogueId>,
        metrics: &Metrics,
    ) -> (Option<Screen>, Option<Drained>) {
        let (mut ready, mut drained) = (None, Drained::default());
        while let Some((id, output)) = self.dialogues.poll() {
            match output {
                Output::Emit { fact, ticket } => {
                    drained.facts.push(fact);
                    drained.tickets.push(ticket);
                }
                Output::Ask(ask) => drained.asks.push(*ask),
                Output::Send(screen) => {
                    for waiter in self.waiting.remove(&id).unwrap_or_default() {
                        // Who no longer waits asks again and hears the same.
                        let _ = waiter.send(screen.clone());
                    }
                    if mover == Some(id) {
                        ready = Some(screen);
                    }
                }
                Output::BrokenOff(resume) => drained.broken_off.push(*resume),
                Output::Close(cause) => {
                    metrics.ussd_hops.with_label_values(&[cause.code()]).inc();
                }
            }
        }
        let is_idle = drained.facts.is_empty() && drained.asks.is_empty();
        (ready, (!is_idle || !drained.broken_off.is_empty()).then_some(drained))
    }
}
