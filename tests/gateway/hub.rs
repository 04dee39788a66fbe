//! The business's hub: it knows equipment, hears of what was activated, checks who asks, and has its
//! moods.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What whoever asks must show.
const TOKEN: &str = "the hub's token in these tests";

/// How the hub answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// As it should.
    Answers,
    /// This status to everything.
    Status(u16),
    /// Takes the request and says nothing until its mood changes.
    Stalls,
    /// Hangs up as soon as someone calls.
    HangsUp,
    /// Breaks off in the middle of an answer.
    Cuts,
    /// A page for people, as some proxy before it makes one.
    Html,
    /// As it should, after so long.
    Slow(Duration),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// `GET` or `POST`.
    pub(crate) method: String,
    /// The serial that it is about.
    pub(crate) serial: String,
    /// What was sent; `null` for nothing.
    pub(crate) body: Value,
    /// What makes it the same when it comes again (`Idempotency-Key`).
    pub(crate) key: String,
    /// The status that was answered; 0 for none.
    pub(crate) status: u16,
}

#[derive(Debug, Default)]
struct State {
    /// The document of each serial.
    known: BTreeMap<String, Value>,
    mood: Option<Mood>,
    /// Statuses for single serials.
    single: BTreeMap<String, u16>,
    /// The status of every POST.
    posts: Option<u16>,
    heard: Vec<Heard>,
    /// What a client must not do.
    faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The hub; it lives until the test process ends.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    port: u16,
    shared: Arc<Shared>,
}

impl Hub {
    /// One that knows nothing.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let hub = Self { port, shared: Arc::default() };
        let serving = hub.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        hub
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file that `backend.token_file` names.
    pub(crate) fn token() -> String {
        format!("{TOKEN}\n")
    }

    /// What it says of a serial from now on.
    pub(crate) fn knows(&self, serial: &str, document: Value) {
        self.shared.state.lock().unwrap().known.insert(spelled(serial), document);
    }

    /// Answers every request so from now on.
    pub(crate) fn be(&self, mood: Mood) {
        self.shared.state.lock().unwrap().mood = Some(mood);
        self.shared.changed.notify_all();
    }

    /// Answers what is about one serial with this status; `None`: as it should.
    pub(crate) fn be_for(&self, serial: &str, status: Option<u16>) {
        let single = &mut self.shared.state.lock().unwrap().single;
        match status {
            Some(status) => single.insert(spelled(serial), status),
            None => single.remove(&spelled(serial)),
        };
    }

    /// Answers whoever tells it something with this status; `None`: as it should.
    pub(crate) fn refuse_posts(&self, status: Option<u16>) {
        self.shared.state.lock().unwrap().posts = status;
    }

    /// Everything that it heard about a serial.
    pub(crate) fn heard(&self, serial: &str) -> Vec<Heard> {
        let state = self.shared.state.lock().unwrap();
        state.heard.iter().filter(|it| it.serial == spelled(serial)).cloned().collect()
    }

    /// How often it was asked for a serial's values.
    pub(crate) fn asked(&self, serial: &str) -> usize {
        self.heard(serial).iter().filter(|it| it.method == "GET").count()
    }

    /// How often that had changed nothing.
    pub(crate) fn not_modified(&self, serial: &str) -> usize {
        self.heard(serial).iter().filter(|it| it.status == 304).count()
    }

    /// What it took of a serial's activations, each once: what comes again under its key, because
    /// somebody died between sending it and noting so, is the same.
    pub(crate) fn activated(&self, serial: &str) -> Vec<Value> {
        let mut keys = BTreeSet::new();
        let heard = self.heard(serial).into_iter();
        let taken = heard.filter(|it| it.method == "POST" && (200..300).contains(&it.status));
        taken.filter(|it| keys.insert(it.key.clone())).map(|it| it.body).collect()
    }

    /// Waits until it took that many activations of a serial; those.
    pub(crate) fn wait_activated(&self, serial: &str, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + crate::http::PATIENCE;
        while self.activated(serial).len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{serial}: {:#?}", self.heard(serial));
            let state = self.shared.state.lock().unwrap();
            drop(self.shared.changed.wait_timeout(state, left.min(Duration::from_millis(50))));
        }
        self.activated(serial)
    }

    /// Fails the test when someone did what a client must not do.
    pub(crate) fn assert_no_faults(&self) {
        let faults = self.shared.state.lock().unwrap().faults.clone();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    fn serve(&self, stream: TcpStream) {
        if self.mood() == Mood::HangsUp {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader) {
            let Some(answer) = self.answer(&request) else { return };
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
            if self.mood() == Mood::Cuts {
                return;
            }
        }
    }

    fn mood(&self) -> Mood {
        self.shared.state.lock().unwrap().mood.unwrap_or(Mood::Answers)
    }

    /// The whole answer; none to hang up.
    fn answer(&self, request: &Request) -> Option<String> {
        let mood = self.mood();
        if let Mood::Slow(time) = mood {
            thread::sleep(time);
        }
        let mut state = self.shared.state.lock().unwrap();
        while state.mood == Some(Mood::Stalls) {
            state = self.shared.changed.wait(state).unwrap();
        }
        let (status, etag, body) = state.judge(mood, request);
        let heard = Heard {
            method: request.method.clone(),
            serial: request.serial().unwrap_or_default(),
            body: serde_json::from_slice(&request.body).unwrap_or_default(),
            key: request.header("idempotency-key").to_owned(),
            status: if matches!(mood, Mood::HangsUp | Mood::Cuts) { 0 } else { status },
        };
        state.heard.push(heard);
        drop(state);
        self.shared.changed.notify_all();
        let kind = if mood == Mood::Html { "text/html" } else { "application/json" };
        let mut head = format!("HTTP/1.1 {status} Answered\r\nContent-Type: {kind}\r\n");
        if let Some(etag) = etag {
            head.push_str(&format!("ETag: {etag}\r\n"));
        }
        if !matches!(status, 204 | 304) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        match mood {
            Mood::HangsUp => None,
            Mood::Cuts => Some(format!("{head}\r\n{}", &body[..body.len() / 2])),
            _ => Some(format!("{head}\r\n{body}")),
        }
    }
}

impl State {
    /// Status, ETag and body of an answer.
    fn judge(&mut self, mood: Mood, request: &Request) -> (u16, Option<String>, String) {
        if request.header("authorization") != format!("Bearer {TOKEN}") {
            self.faults.push(format!("{} {} without the token", request.method, request.path));
            return (401, None, String::new());
        }
        let Some(serial) = request.serial() else {
            self.faults.push(format!("{} is no path of a hub", request.path));
            return (404, None, String::new());
        };
        match mood {
            Mood::Status(status) => return (status, None, "{}".to_owned()),
            Mood::Html => return (200, None, "<html><p>Sign in to the WiFi</p></html>".to_owned()),
            _ => {}
        }
        if let Some(status) = self.single.get(&serial) {
            return (*status, None, "{}".to_owned());
        }
        let Some(document) = self.known.get(&serial) else {
            return (404, None, r#"{"error":"unknown serial"}"#.to_owned());
        };
        if request.method == "POST" {
            if request.header("idempotency-key").is_empty() {
                self.faults.push(format!("{} has no key", request.path));
            }
            return (self.posts.unwrap_or(204), None, String::new());
        }
        let body = document.to_string();
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        if request.header("if-none-match") == etag {
            return (304, Some(etag), String::new());
        }
        (200, Some(etag), body)
    }
}

/// A request as it came.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |it| it.parse()).ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { method, path, headers, body })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The serial of `/devices/{serial}/provision` and `…/activated`, asked for as each is.
    fn serial(&self) -> Option<String> {
        let rest = self.path.strip_prefix("/devices/")?;
        let (serial, what) = rest.split_once('/')?;
        let is_right = [("GET", "provision"), ("POST", "activated")];
        is_right.contains(&(&self.method, what)).then(|| spelled(&serial.replace("%3A", "")))
    }
}

/// A name in one spelling: businesses write a MAC in many.
fn spelled(serial: &str) -> String {
    let plain = serial.chars().filter(char::is_ascii_alphanumeric);
    plain.map(|it| it.to_ascii_uppercase()).collect()
}
