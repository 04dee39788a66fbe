//! Golden transcripts: each file is a whole conversation, replayed with no socket and no waiting.
//!
//! `=` what the registry and the driver know, `>` from the device, `<` to the device, `!` a fact,
//! `?` the question for work, `+` a setting-up's end, `%` what is learnt of the data model, `~`
//! seconds of silence, `.` the end.
//! Replaying the `=`, `>` and `~` lines must write the file again exactly. After a wanted change,
//! run with `UPDATE_TRANSCRIPTS=1` and read the diff: it is the change in behaviour.

#![expect(clippy::disallowed_methods, reason = "a test may read files and the environment")]

use crate::cwmp::{
    CloseReason, FileAddress, Known, Options, Output, Quirks, Session, SetupOutcome, Support,
    SupportedFile, Work, XsdType, decode,
};
use crate::{now, outstanding};
use model::{
    AttributeEntry, Command, CommandId, CommandState, DeviceFacts, Fact, NameEntry, Now,
    Observation, Reading, Redacted, Settlement, Tenant,
};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

#[test]
fn transcripts_replay_exactly() {
    let mut read = 0;
    for entry in fs::read_dir("tests/transcripts").unwrap() {
        let path = entry.unwrap().path();
        let expected = fs::read_to_string(&path).unwrap();
        let actual = Replay::new().run(&expected);
        if env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            fs::write(&path, actual).unwrap();
        } else {
            assert_eq!(actual, expected, "{}", path.display());
        }
        read += 1;
    }
    assert!(read > 0);
}

/// A driver with no socket.
struct Replay {
    now: Now,
    facts: Option<DeviceFacts>,
    quirks: Quirks,
    options: Options,
    /// What the desk would hand over at the next Inform.
    outstanding: Vec<Command>,
    /// What each command that was ever given is.
    kinds: HashMap<String, String>,
    /// For the next command.
    support: Support,
    work: Vec<Work>,
    settlement: Settlement,
    session: Option<Session>,
    written: String,
}

impl Replay {
    fn new() -> Self {
        Self {
            now: now(),
            facts: None,
            quirks: Quirks::default(),
            options: Options::default(),
            outstanding: Vec::new(),
            kinds: HashMap::new(),
            support: Support::default(),
            work: Vec::new(),
            settlement: Settlement::Committed,
            session: None,
            written: String::new(),
        }
    }

    fn run(mut self, script: &str) -> String {
        let mut lines = script.lines().peekable();
        while let Some(line) = lines.next() {
            if line.is_empty() {
                self.write("", "");
                continue;
            }
            let (mark, rest) = (&line[..1], unmarked(line));
            match mark {
                "#" => self.write(mark, rest),
                "=" => {
                    self.write(mark, rest);
                    self.prepare(rest);
                }
                "~" => {
                    self.write(mark, rest);
                    self.now = self.now.after(Duration::from_secs(rest.parse().unwrap()));
                    if let Some(session) = &mut self.session {
                        session.expire(self.now);
                    }
                    self.drain();
                }
                ">" => {
                    let mut body = rest.to_owned();
                    self.write(mark, rest);
                    while let Some(more) = lines.next_if(|line| line.starts_with('>')) {
                        let more = unmarked(more);
                        self.write(">", more);
                        write!(body, "\n{more}").unwrap();
                    }
                    self.receive(&body);
                }
                _ => {}
            }
        }
        self.written
    }

    fn prepare(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "known" => self.facts = Some(serde_json::from_str(rest).unwrap()),
            "full" => self.settlement = Settlement::Refused,
            "room" => self.settlement = Settlement::Committed,
            "command" => {
                let (id, kind) = rest.split_once(' ').unwrap();
                self.kinds.insert(id.to_owned(), kind.to_owned());
                let kind = serde_json::from_str(kind).unwrap();
                let id = CommandId::new(id).unwrap();
                let support = std::mem::take(&mut self.support);
                self.work.push(Work::Command { id, kind, support });
            }
            "unknown" => {
                let (id, kind) = rest.split_once(' ').unwrap();
                self.kinds.insert(id.to_owned(), kind.to_owned());
                self.await_end(id, CommandState::Unknown);
            }
            "quirk" => match rest {
                "skip_root_names" => self.quirks.skip_root_names = true,
                "boolean_literal" => self.quirks.boolean_literal = true,
                "date_time_milliseconds" => self.quirks.date_time_milliseconds = true,
                "download_success_on_timeout" => self.quirks.download_success_on_timeout = true,
                "write_readonly" => self.quirks.write_readonly = true,
                other => panic!("`= quirk {other}` is not known"),
            },
            "batch" => self.options.batch_names_max = rest.parse().unwrap(),
            "type" => {
                let (path, xsd_type) = rest.split_once(' ').unwrap();
                self.support.types.push((path.into(), XsdType::new(xsd_type)));
            }
            "read_only" => self.support.read_only.push(rest.into()),
            "file" => {
                let (url, file_type) = rest.split_once(' ').unwrap();
                let url = Redacted(url.into());
                self.support.files.push(SupportedFile {
                    address: FileAddress { url, ..FileAddress::default() },
                    file_type: file_type.into(),
                    file_bytes: 1_048_576,
                    target_file_name: url_file_name(rest).into(),
                });
            }
            "setup" => {
                let (name, kind) = rest.split_once(' ').unwrap();
                let kind = serde_json::from_str(kind).unwrap();
                self.work.push(Work::Setup { name: name.into(), kind });
            }
            other => panic!("`= {other}` is not known"),
        }
    }

    fn receive(&mut self, body: &str) {
        let message = match decode(None, body.as_bytes(), &Options::default()) {
            Ok(message) => message,
            Err(error) => {
                self.write("<", &format!("400 {error}"));
                self.abandon(CloseReason::Malformed);
                return;
            }
        };
        if let Some(inform) = message.inform() {
            let device = inform.device_id().unwrap();
            self.abandon(CloseReason::Superseded);
            let known = Known {
                tenant: Tenant::default(),
                device,
                facts: self.facts.clone(),
                outstanding: self.outstanding.clone(),
                quirks: self.quirks,
            };
            let options = Arc::new(self.options.clone());
            self.session = Some(Session::new(known, options, self.now));
        }
        match &mut self.session {
            Some(session) => session.receive(message, self.now),
            None => self.write("<", "204"),
        }
        self.drain();
    }

    fn abandon(&mut self, reason: CloseReason) {
        if let Some(session) = &mut self.session {
            session.abandon(reason);
            self.drain();
        }
    }

    fn drain(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        loop {
            let mut tickets = Vec::new();
            while let Some(output) = session.poll() {
                match output {
                    Output::Emit { fact, ticket } => {
                        tickets.push(ticket);
                        self.keep(&fact);
                    }
                    Output::Decide => {
                        self.write("?", "");
                        session.assign(self.work.drain(..), self.now);
                    }
                    Output::SetupDone { name, outcome } => match outcome {
                        SetupOutcome::Done { .. } => self.write("+", &format!("{name} done")),
                        SetupOutcome::Failed { cause, applied, .. } => {
                            self.write("+", &format!("{name} failed: {cause}"));
                            for path in applied {
                                self.write("+", &format!("{name} applied {path}"));
                            }
                        }
                    },
                    Output::Learned(learned) => {
                        for observation in &learned {
                            self.write("%", &observed(observation));
                        }
                    }
                    Output::Answered { .. } => {}
                    Output::Send(reply) => {
                        self.write("<", std::str::from_utf8(&reply.body).unwrap());
                    }
                    Output::Refuse => self.write("<", "503"),
                    Output::Close(reason) => self.write(".", reason.as_str()),
                }
            }
            if tickets.is_empty() {
                break;
            }
            for ticket in tickets {
                session.settle(ticket, self.settlement, self.now);
            }
        }
        if !session.is_closed() {
            self.session = Some(session);
        }
    }

    fn keep(&mut self, fact: &Fact) {
        let text = match fact {
            Fact::Event(event) => {
                if let Some(facts) = &event.facts {
                    self.facts.get_or_insert_default().merge(facts);
                }
                format!("{} {}", event.kind.as_str(), event.data.as_str())
            }
            Fact::Command(change) => {
                self.outstanding.retain(|it| it.id != change.id);
                if let CommandState::Delivered | CommandState::Unknown = change.state {
                    self.await_end(change.id.as_str(), change.state);
                }
                let cause = change.cause.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
                let result = change.result.as_ref().map(|it| format!(" {}", it.as_str()));
                let result = result.unwrap_or_default();
                format!("{} {}{cause}{result}", change.id, change.state.as_str())
            }
        };
        self.write("!", &text);
    }

    fn await_end(&mut self, id: &str, state: CommandState) {
        let known = outstanding(id, &self.kinds[id]);
        let updated_at = self.now.wall;
        self.outstanding.push(Command { state, updated_at, ..known });
    }

    fn write(&mut self, mark: &str, rest: &str) {
        let line = format!("{mark} {rest}");
        writeln!(self.written, "{}", line.trim_end()).unwrap();
    }
}

/// What was learnt, without its values.
fn observed(observation: &Observation) -> String {
    let reading = |it: &Reading| format!(" {}:{}", it.path, it.xsd_type);
    let readings = |values: &[Reading]| values.iter().map(reading).collect::<String>();
    match observation {
        Observation::Names { path, next_level, entries } => {
            let entry = |it: &NameEntry| format!(" {}{}", it.path, mark(it.writable));
            let entries: String = entries.iter().map(entry).collect();
            format!("names {path} {}:{entries}", if *next_level { "level" } else { "whole" })
        }
        Observation::Values { asked, values } => {
            format!("values {}:{}", asked.join(" "), readings(values))
        }
        Observation::Attributes(entries) => {
            let entry = |it: &AttributeEntry| {
                format!(" {}={}[{}]", it.path, it.notification, it.access_list.join(" "))
            };
            format!("attributes:{}", entries.iter().map(entry).collect::<String>())
        }
        Observation::Written(values) => format!("written:{}", readings(values)),
        Observation::Added { path } => format!("added {path}"),
        Observation::Deleted { path } => format!("deleted {path}"),
        Observation::Forgotten { path } => format!("forgotten {path}"),
    }
}

/// `+` for what may be written.
const fn mark(writable: bool) -> &'static str {
    if writable { "+" } else { "" }
}

/// The last part of an address.
fn url_file_name(line: &str) -> &str {
    let url = line.split(' ').next().unwrap_or_default();
    url.rsplit('/').next().unwrap_or_default()
}

/// A line without its mark and the one space after it.
fn unmarked(line: &str) -> &str {
    let rest = &line[1..];
    rest.strip_prefix(' ').unwrap_or(rest)
}
