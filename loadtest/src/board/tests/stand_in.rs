//! A server for the tests of our own clients: it acknowledges, keeps sessions, and remembers.

use rumqttc::mqttbytes::v4;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Where it listens, and what it saw.
pub(crate) struct StandIn {
    pub(crate) at: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// Sends what it is told to, to whoever subscribes.
    pub(crate) sends: Arc<AtomicBool>,
}

#[derive(Default)]
struct Seen {
    sessions: HashSet<String>,
    published: Vec<(String, String)>,
    /// Packet identifiers by client and payload.
    identifiers: HashMap<(String, String), u16>,
    duplicates: u64,
    strangers: u64,
    /// Connections that ended within a packet.
    torn: u64,
    disconnects: u64,
}

impl StandIn {
    /// Takes a port and serves until the test ends.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let sends = Arc::<AtomicBool>::default();
        let (kept, sending) = (Arc::clone(&seen), Arc::clone(&sends));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&sending)));
            }
        });
        Self { at, seen, sends }
    }

    /// Topics and payloads, in order, the repeated too.
    pub(crate) fn published(&self) -> Vec<(String, String)> {
        self.seen().published.clone()
    }

    /// Messages with DUP under the identifier that they had had.
    pub(crate) fn duplicates(&self) -> u64 {
        self.seen().duplicates
    }

    /// Known messages without DUP, or under another identifier.
    pub(crate) fn strangers(&self) -> u64 {
        self.seen().strangers
    }

    /// Connections that ended within a packet.
    pub(crate) fn torn(&self) -> u64 {
        self.seen().torn
    }

    /// Goodbyes.
    pub(crate) fn disconnects(&self) -> u64 {
        self.seen().disconnects
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>, sends: Arc<AtomicBool>) {
    let mut heard = Vec::new();
    let mut client = Client::default();
    while matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
        let mut out = Vec::new();
        while let Some((first, body, len)) = packet(&heard) {
            let body = body.to_vec();
            heard.drain(..len);
            client.take(first, &body, &mut seen.lock().unwrap(), &mut out);
            if first == 0x82 && sends.load(Ordering::Relaxed) {
                client.send(&seen.lock().unwrap(), &mut out);
            }
        }
        if client.is_gone || stream.write_all(&out).await.is_err() {
            return;
        }
    }
    seen.lock().unwrap().torn += u64::from(!heard.is_empty());
}

/// A whole packet: its first byte, its body and its length.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, rest) = bytes.split_first()?;
    let used = 1 + rest.iter().position(|byte| byte & 0x80 == 0)?;
    let len = rest[..used].iter().rev().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7F));
    Some((first, rest.get(used..used + len)?, 1 + used + len))
}

#[derive(Default)]
struct Client {
    id: String,
    is_5: bool,
    is_gone: bool,
}

impl Client {
    fn take(&mut self, first: u8, body: &[u8], seen: &mut Seen, out: &mut Vec<u8>) {
        match first >> 4 {
            1 => self.connect(body, seen, out),
            3 => self.publish(first, body, seen, out),
            6 => out.extend([0x70, 2, body[0], body[1]]),
            8 if self.is_5 => out.extend([0x90, 4, body[0], body[1], 0, 1]),
            8 => out.extend([0x90, 3, body[0], body[1], 1]),
            12 => out.extend([0xD0, 0]),
            14 => {
                self.is_gone = true;
                seen.disconnects += 1;
            }
            _ => {}
        }
    }

    fn connect(&mut self, body: &[u8], seen: &mut Seen, out: &mut Vec<u8>) {
        let name = 2 + usize::from(body[1]);
        self.is_5 = body[name] == 5;
        let is_clean = body[name + 1] & 2 != 0;
        let properties = if self.is_5 { 1 + usize::from(body[name + 4]) } else { 0 };
        let id = &body[name + 4 + properties..];
        self.id = String::from_utf8(id[2..2 + usize::from(id[1])].to_vec()).unwrap();
        let is_kept = !is_clean && seen.sessions.contains(&self.id);
        if is_clean {
            seen.sessions.remove(&self.id);
        } else {
            seen.sessions.insert(self.id.clone());
        }
        let ack: &[u8] = if self.is_5 { &[0x20, 3] } else { &[0x20, 2] };
        out.extend(ack);
        out.extend([u8::from(is_kept), 0]);
        out.extend(self.is_5.then_some(0));
    }

    fn publish(&self, first: u8, body: &[u8], seen: &mut Seen, out: &mut Vec<u8>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let topic = 2 + usize::from(body[1]);
        let (qos, is_again) = (first >> 1 & 3, first & 8 != 0);
        let identifier = if qos > 0 { 2 } else { 0 };
        let payload = text(&body[topic + identifier + usize::from(self.is_5)..]);
        if qos > 0 {
            let id = u16::from_be_bytes([body[topic], body[topic + 1]]);
            let key = (self.id.clone(), payload.clone());
            match seen.identifiers.insert(key, id) {
                None => {}
                Some(before) if before == id && is_again => seen.duplicates += 1,
                Some(_) => seen.strangers += 1,
            }
            let answer = if qos == 1 { 0x40 } else { 0x50 };
            out.extend([answer, 2, body[topic], body[topic + 1]]);
        }
        seen.published.push((text(&body[2..topic]), payload));
    }

    /// All that was published, as QoS 1 messages.
    fn send(&self, seen: &Seen, out: &mut Vec<u8>) {
        assert!(!self.is_5, "the stand-in sends in 3.1.1 only");
        for (at, (topic, payload)) in (1..).zip(&seen.published) {
            let qos = rumqttc::QoS::AtLeastOnce;
            let mut publish = v4::Publish::new(topic, qos, payload.clone());
            publish.pkid = at;
            let mut bytes = Default::default();
            publish.write(&mut bytes).unwrap();
            out.extend(bytes);
        }
    }
}
