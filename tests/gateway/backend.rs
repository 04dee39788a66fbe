//! A business backend that remembers what it accepted, checks every signature, and can refuse.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What it signs with: 32 bytes that are no secret to anyone.
const KEY: [u8; 32] = *b"the backend's key in these tests";
/// How far a signature's time may be from ours, in seconds.
const SKEW_MAX_S: u64 = 300;

/// How the backend answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// 204 to everything.
    Accepts,
    /// This status to everything.
    Refuses(u16),
    /// Takes the request and says nothing until its mood changes.
    Stalls,
    /// Hangs up without an answer.
    HangsUp,
    /// Takes the batch and hangs up before saying so: it will come again.
    HangsUpLate,
    /// 422 to every batch with an event whose data says `"poison":true`, 204 to the others.
    RefusesPoison,
}

/// One accepted event, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) sequence: String,
    pub(crate) data: Value,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    /// Each accepted event once, in the order of first acceptance.
    accepted: Vec<Received>,
    seen: HashSet<String>,
    /// Hash of the bytes that came under each `webhook-id`.
    batches: HashMap<String, Vec<u8>>,
    requests: u64,
    refused: u64,
    /// What the gateway did that a webhook must not do.
    faults: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The backend; it lives until the test process ends.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    port: u16,
    shared: Arc<Shared>,
}

impl Backend {
    /// One that accepts everything.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            mood: Mood::Accepts,
            accepted: Vec::new(),
            seen: HashSet::new(),
            batches: HashMap::new(),
            requests: 0,
            refused: 0,
            faults: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let backend = Self { port, shared };
        let serving = backend.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        backend
    }

    /// Where it takes batches.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.port)
    }

    /// What the gateway signs with.
    pub(crate) fn secret(&self) -> String {
        format!("whsec_{}\n", STANDARD.encode(KEY))
    }

    /// Changes how it answers from now on.
    pub(crate) fn be(&self, mood: Mood) {
        self.shared.state.lock().unwrap().mood = mood;
        self.shared.changed.notify_all();
    }

    /// Everything it accepted, each event once, in order.
    pub(crate) fn accepted(&self) -> Vec<Received> {
        self.shared.state.lock().unwrap().accepted.clone()
    }

    /// How many requests it has refused.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.state.lock().unwrap().refused
    }

    /// Waits until `is_so` of what it has accepted; what that is then.
    pub(crate) fn wait(
        &self,
        what: &str,
        patience: Duration,
        mut is_so: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.state.lock().unwrap();
        loop {
            if is_so(&state.accepted) {
                return state.accepted.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let kinds: Vec<_> =
                    state.accepted.iter().rev().take(20).map(|it| &it.kind).collect();
                let (count, requests) = (state.accepted.len(), state.requests);
                let last = format!("{count} events in {requests} requests, the last: {kinds:?}");
                drop(state);
                panic!("the backend never had {what}; {last}");
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for one event of that type about that device.
    pub(crate) fn wait_for(&self, kind: &str, subject: &str) -> Received {
        let is_it = |it: &&Received| it.kind == kind && it.subject == subject;
        let what = format!("{kind} of {subject}");
        let all = self
            .wait(&what, crate::http::PATIENCE, |accepted| accepted.iter().any(|it| is_it(&it)));
        all.into_iter().find(|it| is_it(&it)).unwrap()
    }

    /// Fails the test when the gateway did what a webhook must not do.
    pub(crate) fn assert_no_faults(&self) {
        let faults = self.shared.state.lock().unwrap().faults.clone();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((headers, body)) = read_request(&mut reader) {
            let Some(status) = self.judge(&headers, &body) else { return };
            let reason = if status == 204 { "No Content" } else { "Refused" };
            let answer = format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\n\r\n");
            let answer =
                if status == 204 { "HTTP/1.1 204 No Content\r\n\r\n".to_owned() } else { answer };
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// The status to answer with; none to hang up.
    fn judge(&self, headers: &HashMap<String, String>, body: &[u8]) -> Option<u16> {
        let mut state = self.shared.state.lock().unwrap();
        state.requests += 1;
        while state.mood == Mood::Stalls {
            state = self.shared.changed.wait(state).unwrap();
        }
        let events = match check(headers, body) {
            Ok(events) => events,
            Err(fault) => {
                state.faults.push(fault);
                return Some(400);
            }
        };
        let hash = Sha256::digest(body).to_vec();
        let id = headers["webhook-id"].clone();
        if state.batches.entry(id.clone()).or_insert_with(|| hash.clone()) != &hash {
            state.faults.push(format!("{id} came twice with other bytes"));
        }
        let status = match state.mood {
            Mood::Accepts | Mood::Stalls | Mood::HangsUpLate => 204,
            Mood::HangsUp => 502,
            Mood::Refuses(status) => status,
            Mood::RefusesPoison if events.iter().any(|it| is_poison(&it.data)) => 422,
            Mood::RefusesPoison => 204,
        };
        if status == 204 {
            for event in events {
                if state.seen.insert(event.id.clone()) {
                    state.accepted.push(event);
                }
            }
        } else {
            state.refused += 1;
        }
        self.shared.changed.notify_all();
        let hangs_up = matches!(state.mood, Mood::HangsUp | Mood::HangsUpLate);
        (!hangs_up).then_some(status)
    }
}

/// Whether an event is one that a poisonable backend refuses.
pub(crate) fn is_poison(data: &Value) -> bool {
    data["payload"]["poison"] == true
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(HashMap<String, String>, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
    let mut headers = HashMap::from([("request".to_owned(), line.trim_end().to_owned())]);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

/// Checks a delivery as Standard Webhooks and CloudEvents ask a receiver to.
fn check(headers: &HashMap<String, String>, body: &[u8]) -> Result<Vec<Received>, String> {
    let header =
        |name: &str| headers.get(name).map(String::as_str).ok_or_else(|| format!("no {name}"));
    if header("request")? != "POST /events HTTP/1.1" {
        return Err(format!("{} is no delivery", header("request")?));
    }
    let media = header("content-type")?;
    if !media.starts_with("application/cloudevents-batch+json") {
        return Err(format!("{media} is no batch"));
    }
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sent: u64 = timestamp.parse().map_err(|_| format!("{timestamp} is no time"))?;
    if now.abs_diff(sent) > SKEW_MAX_S {
        return Err(format!("signed at {sent}, received at {now}"));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    if !header("webhook-signature")?.split(' ').any(|it| it == expected) {
        return Err(format!("the signature of {id} is wrong"));
    }
    let batch: Vec<Value> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    batch.into_iter().map(read_event).collect()
}

fn read_event(mut event: Value) -> Result<Received, String> {
    let data = event["data"].take();
    let text = |name: &str| {
        let value = event[name].as_str().map(str::to_owned);
        value.ok_or_else(|| format!("an event without {name}: {event}"))
    };
    let (version, source, tenant) = (text("specversion")?, text("source")?, text("tenant")?);
    text("time")?;
    if version != "1.0" || source != "/lastmile/test" || tenant != "default" {
        return Err(format!("not an event of ours: {version} {source} {tenant}"));
    }
    let (id, kind) = (text("id")?, text("type")?);
    Ok(Received { id, kind, subject: text("subject")?, sequence: text("sequence")?, data })
}
