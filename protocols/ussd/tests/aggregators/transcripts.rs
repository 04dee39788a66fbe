//! Golden transcripts of each aggregator: what it sends, what we take it for, and our answer in its
//! own form. Which document each is written after stands in `SPEC.md`.
//!
//! From outside: `@ code` the service's code, `@ fields` the names of a CON/END aggregator's fields,
//! `: name value` a header of the next request, `>` a request (method, path, type; the body in the
//! lines below), `= CON` or `= END` the screen to answer the last turn with, `\n` for a line break.
//! From us: `!` what it was taken for, `<` the answer. A line that begins with a blank continues the
//! one above it; `#` is a remark.
//!
//! Replaying what comes from outside must write the file again exactly. After a wanted change, run
//! with `UPDATE_TRANSCRIPTS=1` and read the diff: it is the change in behaviour.

use lastmile_ussd::aggregator::{self, ConEndFields, ServiceCode};
use lastmile_ussd::{Aggregator, Inbound, Input, Reply, Request, Screen, Turn};
use std::fmt::Write as _;
use std::sync::Arc;
use std::{env, fs};

#[test]
#[expect(clippy::disallowed_methods, reason = "transcripts are files")]
fn transcripts_replay_exactly() {
    // The first one's are those of whole dialogues.
    for name in &aggregator::NAMES[1..] {
        let folder = format!("tests/transcripts/{name}");
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut count = 0;
        for entry in files {
            let path = entry.unwrap().path();
            let expected = fs::read_to_string(&path).unwrap();
            let actual = Player::of(name).play(&expected);
            if env::var_os("UPDATE_TRANSCRIPTS").is_some() {
                fs::write(&path, actual).unwrap();
            } else {
                assert_eq!(actual, expected, "{}", path.display());
            }
            count += 1;
        }
        assert!(count > 0, "{folder} is empty");
    }
}

struct Player {
    name: &'static str,
    code: Option<ServiceCode>,
    fields: Option<ConEndFields>,
    headers: Vec<(String, String)>,
    turn: Option<Turn>,
}

impl Player {
    fn of(name: &'static str) -> Self {
        Self { name, code: None, fields: None, headers: Vec::new(), turn: None }
    }

    fn speaker(&self) -> Arc<dyn Aggregator> {
        aggregator::make(self.name, self.fields.as_ref(), self.code.as_ref()).unwrap()
    }

    fn play(mut self, script: &str) -> String {
        let mut written = String::new();
        let mut lines = script.lines().peekable();
        while let Some(line) = lines.next() {
            let (mark, rest) = line.split_at_checked(1).unwrap_or(("", ""));
            if !matches!(mark, "" | "#" | "@" | ":" | ">" | "=") {
                continue;
            }
            let mut below = Vec::new();
            while let Some(more) = lines.next_if(|it| mark == ">" && it.starts_with(' ')) {
                below.push(more);
            }
            for line in [line].into_iter().chain(below.iter().copied()) {
                writeln!(written, "{line}").unwrap();
            }
            let rest = rest.trim_start();
            match mark {
                "@" => self.set(rest),
                ":" => {
                    let (name, value) = rest.split_once(' ').unwrap();
                    self.headers.push((name.to_owned(), value.to_owned()));
                }
                ">" => written.push_str(&self.receive(rest, &below)),
                "=" => written.push_str(&self.answer(rest)),
                _ => {}
            }
        }
        written
    }

    fn set(&mut self, rest: &str) {
        let (word, value) = rest.split_once(' ').unwrap();
        match word {
            "code" => self.code = Some(ServiceCode::new(value).unwrap()),
            "fields" => {
                let names: Vec<Box<str>> = value.split(' ').map(Box::from).collect();
                let [session, number, code, text] = [0, 1, 2, 3].map(|at: usize| names[at].clone());
                let network = names.get(4).cloned();
                self.fields = Some(ConEndFields { session, number, code, text, network });
            }
            _ => panic!("`{word}` is nothing to set"),
        }
    }

    fn receive(&mut self, head: &str, below: &[&str]) -> String {
        let speaker = self.speaker();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let content_type = Some(words.collect::<Vec<_>>().join(" ")).filter(|it| !it.is_empty());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body: Vec<&str> = below.iter().map(|line| line.strip_prefix("  ").unwrap()).collect();
        let body = body.join("\n");
        let headers: Vec<(String, String)> = std::mem::take(&mut self.headers);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = Request {
            method,
            path: path.trim_start_matches('/'),
            content_type: content_type.as_deref(),
            headers: &headers,
            query,
            body: body.as_bytes(),
        };
        let taken = if request.path == "end" {
            speaker.decode_end(&request).map(Inbound::End)
        } else {
            speaker.decode(&request)
        };
        match taken {
            Ok(Inbound::Turn(turn)) => {
                let said = said(&turn);
                self.turn = Some(turn);
                said
            }
            Ok(Inbound::End(report)) => {
                let device = report.device.as_ref().map_or("-", |it| it.as_str());
                let said = format!("! end {} {device} {:?}\n", report.session, report.status);
                said + &shown(&speaker.encode_end(&report, &request))
            }
            Ok(Inbound::Probe(reply)) => format!("! probe\n{}", shown(&reply)),
            Err(error) => {
                format!(
                    "! error {}: {error}\n{}",
                    error.code(),
                    shown(&speaker.encode_error(error))
                )
            }
        }
    }

    fn answer(&self, screen: &str) -> String {
        let text: Arc<str> = screen[4..].replace("\\n", "\n").into();
        let screen = match &screen[..4] {
            "CON " => Screen::Continue(text),
            "END " => Screen::End(text),
            other => panic!("`{other}` is no screen"),
        };
        shown(&self.speaker().encode(&screen, self.turn.as_ref().unwrap()))
    }
}

fn said(turn: &Turn) -> String {
    let mut said = format!("! turn {} {} ", turn.session, turn.device.as_str());
    let input = match &turn.input {
        Input::Cumulative(_) => "all",
        Input::Dialled(_) => "dialled",
        Input::Latest(_) => "keys",
    };
    write!(
        said,
        "code={} network={} {input}={}",
        turn.service_code,
        turn.network,
        turn.input.text()
    )
    .unwrap();
    if let Some(hop) = &turn.hop {
        write!(said, " hop={hop}").unwrap();
    }
    if let Some(imsi) = &turn.imsi {
        write!(said, " imsi={}", imsi.expose()).unwrap();
    }
    said + "\n"
}

fn shown(reply: &Reply) -> String {
    let mut shown = format!("< {} {}\n", reply.status, reply.content_type);
    for (name, value) in &reply.headers {
        writeln!(shown, "  {name}: {value}").unwrap();
    }
    for line in reply.body.expose().lines() {
        writeln!(shown, "  {line}").unwrap();
    }
    shown
}
