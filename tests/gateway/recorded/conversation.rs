//! A whole conversation: each request of the device in its order, on a connection for each that it
//! had. What the recorded server asked is asked again by a command, just before the device answers
//! it; what the daemon asks beside that is refused.

use super::{Request, assert_answers, kind, refusal, refuse_the_rest};
use crate::daemon::Daemon;
use crate::http::{Answer, Connection};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Most calls of the daemon's own before the one that a command asks for.
const OWN_CALLS_MAX: usize = 50;

/// One entry of a recording.
enum Entry {
    /// The device sent this over the connection of that name.
    Request(String, Request),
    /// It was answered with that status and that call.
    Answer(String, u16, String),
}

/// A request with what became of it.
struct Turn {
    connection: String,
    request: Request,
    status: u16,
    /// What was asked in the answer to it; empty for nothing.
    asked: String,
}

pub(super) fn replay(file: &Path) {
    let turns = turns(read(&fs::read(file).unwrap()));
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"")]);
    let cookie = String::new();
    let device = String::new();
    let mut player = Player { daemon: &daemon, lines: HashMap::new(), cookie, device };
    player.meet(&turns);
    for (place, turn) in turns.iter().enumerate() {
        let what = format!("{} request {place}", file.display());
        player.take(turn, &what);
    }
    let informs = turns.iter().filter(|turn| turn.request.kind() == "Inform").count();
    let ends = turns.iter().filter(|turn| turn.status == 204).count();
    assert!(informs > 0 && ends > 0, "{informs} Informs and {ends} ends");
    let bad = daemon.counted("lastmile_listen_faults_total", &["protocol=\"cwmp\""]);
    assert!(bad < 1.0, "{}", daemon.metrics());
}

/// The device's requests; those that were only asked to sign in were sent again, and a file is none
/// of ours.
fn turns(entries: Vec<Entry>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Request(connection, request) => {
                turns.push(Turn { connection, request, status: 0, asked: String::new() });
            }
            Entry::Answer(connection, status, asked) => {
                let mut open = turns.iter_mut().rev();
                let asking = open.find(|turn| turn.connection == connection);
                if let Some(turn) = asking.filter(|turn| turn.status == 0) {
                    (turn.status, turn.asked) = (status, asked);
                }
            }
        }
    }
    turns.retain(|turn| turn.status != 401 && turn.request.is_post());
    turns
}

/// The device, played.
struct Player<'a> {
    daemon: &'a Daemon,
    lines: HashMap<String, Connection>,
    cookie: String,
    /// Its identity.
    device: String,
}

impl Player<'_> {
    /// A first contact before the recording begins, so that commands find the device.
    fn meet(&mut self, turns: &[Turn]) {
        let first = turns.iter().find(|turn| turn.request.kind() == "Inform").expect("an Inform");
        let answer = self.send("meet", &first.request);
        assert_answers(&answer, &first.request, "the first contact");
        let cookie = self.cookie.clone();
        refuse_the_rest(self.line("meet"), &cookie, answer, "the first contact");
        let devices = self.daemon.call("GET", "/api/v1/devices", &Value::Null);
        self.device = devices["items"][0]["id"].as_str().expect("it is known").to_owned();
    }

    fn take(&mut self, turn: &Turn, what: &str) {
        let is_call = !turn.asked.is_empty() && !turn.asked.ends_with("Response");
        let command = is_call.then(|| self.command(&turn.asked));
        let mut answer = self.send(&turn.connection, &turn.request);
        assert_answers(&answer, &turn.request, what);
        if let Some(call) = command {
            for _ in 0..OWN_CALLS_MAX {
                if kind(&answer.text()) == call {
                    return;
                }
                let text = answer.text();
                assert_eq!(answer.status, 200, "{what}: {call} is not asked: {text}");
                let cookie = self.cookie.clone();
                answer = refusal(self.line(&turn.connection), &cookie, &text);
            }
            panic!("{what}: {call} is never asked");
        }
        if turn.status == 204 {
            let cookie = self.cookie.clone();
            refuse_the_rest(self.line(&turn.connection), &cookie, answer, what);
        }
    }

    /// Has the daemon ask what the recorded server asked, as far as it does such things; the call.
    fn command(&self, asked: &str) -> &'static str {
        const READ: &str = "GetParameterValues";
        let names = json!(["Device.DeviceInfo."]);
        let value = json!({"Device.A": {"value": "1", "type": "xsd:string"}});
        let (call, command) = match asked {
            "SetParameterValues" => {
                ("SetParameterValues", json!({"kind": "set_parameters", "values": value}))
            }
            "Reboot" => ("Reboot", json!({"kind": "reboot"})),
            _ => (READ, json!({"kind": "get_parameters", "names": names})),
        };
        let path = format!("/api/v1/devices/{}/commands", self.device);
        self.daemon.call("POST", &path, &command);
        call
    }

    fn line(&mut self, name: &str) -> &mut Connection {
        let port = self.daemon.ports.cwmp;
        self.lines.entry(name.to_owned()).or_insert_with(|| Connection::open(port).unwrap())
    }

    fn send(&mut self, connection: &str, request: &Request) -> Answer {
        let bytes = request.bytes(&self.cookie);
        let line = self.line(connection);
        line.write(&bytes).unwrap();
        let answer = line.answer().unwrap();
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        }
        answer
    }
}

/// The entries of a recording: `=== time CPE>ACS connection`, then what went over it.
fn read(bytes: &[u8]) -> Vec<Entry> {
    let mark = b"\n===";
    let mut starts: Vec<usize> =
        bytes.windows(mark.len()).enumerate().filter(|(_, it)| it == mark).map(|it| it.0).collect();
    starts.push(bytes.len());
    let entry = |pair: &[usize]| {
        let entry = &bytes[pair[0] + mark.len()..pair[1]];
        let end = entry.iter().position(|byte| *byte == b'\n')?;
        let title = String::from_utf8_lossy(&entry[..end]).into_owned();
        let mut words = title.split_whitespace().skip(1);
        let (way, connection) = (words.next()?, words.next()?.to_owned());
        if !connection.starts_with("conn") || title.contains("connection request") {
            return None;
        }
        match way {
            "CPE>ACS" => Request::parse(&entry[end + 1..]).map(|it| Entry::Request(connection, it)),
            "ACS>CPE" => {
                let text = String::from_utf8_lossy(&entry[end + 1..]);
                let status = text.split(' ').nth(1).and_then(|it| it.parse().ok())?;
                Some(Entry::Answer(connection, status, kind(&text)))
            }
            _ => None,
        }
    };
    starts.windows(2).filter_map(entry).collect()
}
