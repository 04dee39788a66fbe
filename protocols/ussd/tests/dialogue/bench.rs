//! The driver's part of a dialogue: a store and a backend that do as they are told, on virtual time.

use jiff::Timestamp;
use lastmile_ussd::aggregator::{self, AfricasTalking};
use lastmile_ussd::{
    Answer, Ask, AskMode, DialogueId, Dialogues, Events, Handset as _, Inbound, Input, Keyed,
    Limits, Menu, Networks, Options, Output, Phrases, Receipt, Request, Resumes, Screen, Service,
    Turn,
};
use model::{DeviceId, Fact, Monotonic, Now, Redacted, Settlement, Tenant, Ticket};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) const HOME: &str = include_str!("../../../../config/menus/home.toml");
pub(crate) const ALICE: &str = "+254711000001";
pub(crate) const BOB: &str = "+254711000002";

/// What the store does with a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Store {
    Commits,
    Refuses,
    /// Facts wait in [`Bench::held`].
    Stalls,
}

/// A table of dialogues with everything around it.
pub(crate) struct Bench {
    pub(crate) table: Dialogues,
    pub(crate) service: Arc<Service>,
    pub(crate) now: Now,
    pub(crate) store: Store,
    pub(crate) held: Vec<Ticket>,
    /// What the backend says, by operation; what is not here it has not answered yet.
    pub(crate) answers: BTreeMap<String, Answer>,
    pub(crate) asked: Vec<Ask>,
    pub(crate) sent: Vec<(DialogueId, Screen)>,
    /// Kept facts: type and data.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) log: Vec<String>,
    /// What effects were answered, by key: what is on the disk of a backend.
    pub(crate) effects: BTreeMap<String, Answer>,
    /// Keys that were asked for there.
    pub(crate) recalled: Vec<String>,
    pub(crate) resumes: Resumes,
}

impl Bench {
    pub(crate) fn home() -> Self {
        // Read once: properties build thousands of benches.
        static SERVICE: OnceLock<Arc<Service>> = OnceLock::new();
        let service = SERVICE.get_or_init(|| service(HOME, Events::All));
        Self::with(Arc::clone(service), Options::default())
    }

    pub(crate) fn of(menu: &str, events: Events, options: Options) -> Self {
        Self::with(service(menu, events), options)
    }

    pub(crate) fn with(service: Arc<Service>, options: Options) -> Self {
        Self {
            table: Dialogues::new(options),
            service,
            now: Now { monotonic: Monotonic::ZERO, wall: Timestamp::UNIX_EPOCH },
            store: Store::Commits,
            held: Vec::new(),
            answers: BTreeMap::new(),
            asked: Vec::new(),
            sent: Vec::new(),
            facts: Vec::new(),
            log: Vec::new(),
            effects: BTreeMap::new(),
            recalled: Vec::new(),
            resumes: Resumes::new(&options),
        }
    }

    pub(crate) fn answering(mut self, operation: &str, answer: Answer) -> Self {
        self.answers.insert(operation.to_owned(), answer);
        self
    }

    /// One callback; what the caller sees when it is answered at once.
    pub(crate) fn turn(&mut self, session: &str, number: &str, text: &str) -> Option<String> {
        let (_, receipt) = self.receive(session, number, text);
        match receipt {
            Receipt::New => self.sent.last().map(|(_, screen)| self.body(screen)),
            Receipt::InProgress => None,
            Receipt::Replay(screen) | Receipt::Refused(screen, _) => Some(self.body(&screen)),
        }
    }

    pub(crate) fn receive(
        &mut self,
        session: &str,
        number: &str,
        text: &str,
    ) -> (Option<DialogueId>, Receipt) {
        self.sent.clear();
        self.form(&form(session, number, text))
    }

    pub(crate) fn form(&mut self, body: &str) -> (Option<DialogueId>, Receipt) {
        let turn = self.decode(body);
        self.give(&turn)
    }

    /// One turn of an aggregator that sends the last keys alone; what the caller sees.
    pub(crate) fn latest(&mut self, turn: &Turn) -> Option<String> {
        let (_, receipt) = self.take(turn);
        match receipt {
            Receipt::New => self.sent.last().map(|(_, screen)| self.body(screen)),
            Receipt::InProgress => None,
            Receipt::Replay(screen) | Receipt::Refused(screen, _) => Some(self.body(&screen)),
        }
    }

    pub(crate) fn take(&mut self, turn: &Turn) -> (Option<DialogueId>, Receipt) {
        self.sent.clear();
        self.give(turn)
    }

    fn give(&mut self, turn: &Turn) -> (Option<DialogueId>, Receipt) {
        let standing = self.table.standing(&self.service, turn, self.now);
        let is_dial = turn.input.is_dial() && standing.begins;
        let resume = is_dial.then(|| self.resumes.take(&self.service, &turn.device, self.now));
        let (table, resume) = (&mut self.table, resume.flatten());
        let result = table.receive_or_resume((&self.service, turn), standing, resume, self.now);
        self.drain();
        result
    }

    pub(crate) fn decode(&self, body: &str) -> Turn {
        match self.service.aggregator.decode(&post(body)) {
            Ok(Inbound::Turn(turn)) => turn,
            other => panic!("no turn: {other:?}"),
        }
    }

    pub(crate) fn end(&mut self, body: &str) -> bool {
        let report = self.service.aggregator.decode_end(&post(body)).unwrap();
        let known = self.table.end(&self.service, &report, self.now);
        self.drain();
        known
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while self.table.deadline() <= until.monotonic {
            // As a driver's timer does: woken at each deadline, not long after it.
            self.now = self.now.after(self.table.deadline().since(self.now.monotonic));
            self.table.expire(self.now);
            self.drain();
        }
        self.now = until;
    }

    pub(crate) fn settle_held(&mut self, settlement: Settlement) {
        for ticket in std::mem::take(&mut self.held) {
            self.table.settle(ticket, settlement, self.now);
        }
        self.drain();
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answer: &Answer) -> bool {
        let waited = self.table.answer(ticket, answer, self.now);
        self.drain();
        waited
    }

    pub(crate) fn body(&self, screen: &Screen) -> String {
        assert_eq!(Limits::GSM.excess(screen.text()), 0, "{}", screen.text());
        let turn = self.decode(&form("s", ALICE, ""));
        self.service.aggregator.encode(screen, &turn).body.expose().clone()
    }

    fn drain(&mut self) {
        while let Some((id, output)) = self.table.poll() {
            match output {
                Output::Emit { fact: Fact::Event(event), ticket } => {
                    let kind = event.kind.as_str();
                    match self.store {
                        Store::Commits => {
                            let menu = format!(",\"menu\":\"{}\"", self.service.menu.revision());
                            let data = event.data.as_str().replace(&menu, "");
                            self.log.push(format!("! {kind} {data}"));
                            self.facts.push((kind, event.data.as_str().to_owned()));
                            self.table.settle(ticket, Settlement::Committed, self.now);
                        }
                        Store::Refuses => {
                            self.log.push(format!("! {kind} refused"));
                            self.table.settle(ticket, Settlement::Refused, self.now);
                        }
                        Store::Stalls => {
                            self.log.push(format!("! {kind} waits"));
                            self.held.push(ticket);
                        }
                    }
                }
                Output::Emit { fact: Fact::Command(_), .. } => panic!("menus make no commands"),
                Output::Ask(ask) if ask.mode == AskMode::Recall => {
                    self.log.push(format!("? {} recall key={}", ask.operation, ask.key));
                    self.recalled.push(ask.key.to_string());
                    let kept = self.effects.get(&*ask.key).cloned();
                    let answer = kept.unwrap_or_else(|| Answer::word(Ask::NOT_DONE));
                    // A store that refused the dial has ended the dialogue meanwhile.
                    let _ = self.table.answer(ask.ticket, &answer, self.now);
                }
                Output::Ask(ask) => {
                    let key = if ask.mode == AskMode::Effect { &*ask.key } else { "-" };
                    self.log.push(format!("? {} {} key={key}", ask.operation, ask.language));
                    let answer = self.answers.get(&*ask.operation).cloned();
                    let ticket = ask.ticket;
                    self.asked.push(*ask);
                    if let Some(answer) = answer {
                        let asked = self.asked.last().unwrap();
                        if asked.mode == AskMode::Effect {
                            self.effects.insert(asked.key.to_string(), answer.clone());
                        }
                        assert!(self.table.answer(ticket, &answer, self.now));
                    }
                }
                Output::Send(screen) => {
                    let body = self.body(&screen);
                    self.log.push(format!("< {}", body.replace('\n', "\n  ")));
                    self.sent.push((id, screen));
                }
                Output::BrokenOff(resume) => self.resumes.keep(*resume, self.now),
                Output::Close(cause) => self.log.push(format!(". {}", cause.code())),
            }
        }
    }
}

fn service(menu: &str, events: Events) -> Arc<Service> {
    service_of(menu, &Phrases::default(), Networks::default(), events)
}

pub(crate) fn service_of(
    menu: &str,
    phrases: &Phrases,
    networks: Networks,
    events: Events,
) -> Arc<Service> {
    let menu = Menu::parse(menu, phrases, &networks).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Service {
        tenant: Tenant::default(),
        name: menu.name().into(),
        menu: Arc::new(menu),
        aggregator: aggregator::make("africas_talking", None, None).unwrap(),
        networks,
        events,
    })
}

pub(crate) fn form(session: &str, number: &str, text: &str) -> String {
    let (service_code, network, typed) = ("*384*1#", "63902", &[text]);
    let keyed = Keyed { session, number, service_code, network, typed, hop: 0 };
    AfricasTalking::default().call(&keyed).body
}

/// A turn as an aggregator brings it that does not repeat the input.
pub(crate) fn turn(session: &str, number: &str, input: Input) -> Turn {
    Turn {
        session: session.into(),
        device: DeviceId::msisdn(number).unwrap(),
        service_code: "*384*1#".into(),
        network: "63902".into(),
        input,
        hop: None,
        imsi: None,
        echo: Redacted("".into()),
    }
}

pub(crate) fn dialled(text: &str) -> Input {
    Input::Dialled(Redacted(text.into()))
}

pub(crate) fn keyed(text: &str) -> Input {
    Input::Latest(Redacted(text.into()))
}

pub(crate) fn post(body: &str) -> Request<'_> {
    Request {
        method: "POST",
        path: "",
        headers: &[],
        content_type: Some("application/x-www-form-urlencoded"),
        query: "",
        body: body.as_bytes(),
    }
}
