//! A session and a driver without a socket.

use crate::cwmp::{
    Body, Fault, Known, Message, Options, Outcome, Output, Parameter, Quirks, Request, Response,
    Session, SetupOutcome, Support, Work, XsdType, decode, facts_of,
};
use crate::{inform, informing, message, now, outstanding};
use model::{
    CommandChange, CommandId, CommandKind, DeviceId, Event, Fact, Now, Observation, Settlement,
    Tenant, Ticket,
};
use std::sync::Arc;

/// A session and all it has said.
pub(crate) struct Harness {
    pub(crate) session: Session,
    /// All but what is learnt and counted, in words.
    pub(crate) said: Vec<String>,
    pub(crate) tickets: Vec<Ticket>,
    /// Every step of a command.
    pub(crate) changes: Vec<CommandChange>,
    /// Every event.
    pub(crate) events: Vec<Event>,
    /// Every call of ours, as a device reads it.
    pub(crate) calls: Vec<Request>,
    pub(crate) learned: Vec<Observation>,
    pub(crate) answered: Vec<(&'static str, Outcome)>,
    pub(crate) now: Now,
}

impl Harness {
    pub(crate) fn new(known: Known, options: Options) -> Self {
        Self {
            session: Session::new(known, Arc::new(options), now()),
            said: Vec::new(),
            tickets: Vec::new(),
            changes: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
            learned: Vec::new(),
            answered: Vec::new(),
            now: now(),
        }
    }

    /// A known device that has informed without news, and is asked for one thing at a time.
    pub(crate) fn informed() -> Self {
        Self::informed_under(Options { batch_names_max: 1, ..Options::default() })
    }

    pub(crate) fn informed_under(options: Options) -> Self {
        let mut it = Self::new(known(&[]), options);
        it.receive(informing(inform(&["2 PERIODIC"], &[])));
        assert_eq!(it.take(), ["send InformResponse"]);
        it
    }

    /// And has been given that work.
    pub(crate) fn assigned(work: Vec<Work>) -> Self {
        Self::informed().ready().given(work)
    }

    /// Whose turn is over.
    pub(crate) fn ready(mut self) -> Self {
        self.receive(Message::empty());
        assert_eq!(self.take(), ["decide"]);
        self
    }

    pub(crate) fn given(mut self, work: Vec<Work>) -> Self {
        self.session.assign(work, now());
        self.drain();
        self
    }

    pub(crate) fn receive(&mut self, message: Message) {
        self.session.receive(message, self.now);
        self.drain();
    }

    pub(crate) fn answer(&mut self, response: Response) {
        self.receive(message(Body::Response(Box::new(response))));
    }

    pub(crate) fn settle(&mut self, settlement: Settlement) {
        for ticket in std::mem::take(&mut self.tickets) {
            self.session.settle(ticket, settlement, self.now);
        }
        self.drain();
    }

    pub(crate) fn commit(&mut self) {
        self.settle(Settlement::Committed);
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            let said = match output {
                Output::Emit { fact, ticket } => {
                    self.tickets.push(ticket);
                    let words = fact_words(&fact);
                    match fact {
                        Fact::Event(event) => self.events.push(event),
                        Fact::Command(change) => self.changes.push(change),
                    }
                    words
                }
                Output::Decide => "decide".to_owned(),
                Output::SetupDone { name, outcome } => match outcome {
                    SetupOutcome::Done { .. } => format!("setup {name} done"),
                    SetupOutcome::Failed { cause, .. } => format!("setup {name} failed: {cause}"),
                },
                Output::Send(reply) => {
                    assert_eq!(reply.is_empty(), reply.name == "Empty");
                    if !reply.is_empty() {
                        let read = decode(None, &reply.body, &Options::default()).unwrap();
                        assert_eq!(read.body.name(), reply.name);
                        match read.body {
                            Body::Request(call) => self.calls.push(*call),
                            Body::GetRpcMethods => self.calls.push(Request::GetRpcMethods),
                            _ => {}
                        }
                    }
                    format!("send {}", reply.name)
                }
                Output::Learned(learned) => {
                    self.learned.extend(learned);
                    continue;
                }
                Output::Answered { rpc, outcome } => {
                    self.answered.push((rpc, outcome));
                    continue;
                }
                Output::Refuse => "refuse".to_owned(),
                Output::Close(reason) => format!("close {}", reason.as_str()),
            };
            self.said.push(said);
        }
    }

    /// The result of the command that ended last.
    pub(crate) fn result(&self) -> serde_json::Value {
        let result = self.changes.last().unwrap().result.as_ref().unwrap();
        serde_json::from_str(result.as_str()).unwrap()
    }

    pub(crate) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }
}

pub(crate) fn fact_words(fact: &Fact) -> String {
    match fact {
        Fact::Event(event) => format!("event {}", event.kind.as_str()),
        Fact::Command(change) => {
            let cause = change.cause.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
            format!("{} {}{cause}", change.id, change.state.as_str())
        }
    }
}

pub(crate) fn known(reboots: &[&str]) -> Known {
    Known {
        tenant: Tenant::default(),
        device: DeviceId::cwmp("00D09E", "Router", "S1").unwrap(),
        facts: Some(facts_of(&inform(&[], &[]))),
        outstanding: reboots.iter().map(|id| outstanding(id, r#"{"kind":"reboot"}"#)).collect(),
        quirks: Quirks::default(),
    }
}

pub(crate) fn unknown() -> Known {
    Known { facts: None, ..known(&[]) }
}

pub(crate) fn command(id: &str, kind: &str) -> Work {
    let kind: CommandKind = serde_json::from_str(kind).unwrap();
    Work::Command { id: CommandId::new(id).unwrap(), kind, support: Support::default() }
}

pub(crate) fn get(id: &str) -> Work {
    command(id, r#"{"kind":"get_parameters","names":["Device.A"]}"#)
}

pub(crate) fn set(id: &str, values: &str) -> Work {
    command(id, &format!(r#"{{"kind":"set_parameters","values":{values}}}"#))
}

pub(crate) fn setup(values: &str) -> Work {
    let Work::Command { kind, .. } = set("x", values) else { panic!() };
    Work::Setup { name: "base".into(), kind }
}

pub(crate) fn fault(code: u16) -> Message {
    message(Body::Fault(Box::new(Fault { code, text: "x".into(), parameters: Vec::new() })))
}

pub(crate) fn values(parameters: &[(&str, &str, XsdType)]) -> Response {
    let one =
        |(name, value, kind): &(&str, &str, XsdType)| Parameter::new(name, value, kind.clone());
    Response::GetParameterValues { parameters: parameters.iter().map(one).collect() }
}
