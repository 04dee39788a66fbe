//! SORACOM Beam from outside: by HTTP, TCP and UDP, with right signatures, wrong ones, and none; and
//! whatever bytes chance makes.

use crate::backend::Backend;
use crate::daemon::{Daemon, free_port, until};
use crate::http::{self, PATIENCE};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const KEY: &str = "mysecretkey";
const IMEI: &str = "490154203237518";
const IMSI: &str = "295000012345678";
const RECEIVED: &str = "lastmile.telemetry.received";
const OUTCOMES: &str = "lastmile_beam_messages_total";
const MUTATIONS: u64 = 10_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("beam::one_result_by_every_way", one_result_by_every_way),
        crate::trial("beam::who_is_not_proven_is_refused", who_is_not_proven_is_refused),
        crate::trial("beam::what_is_acknowledged_survives", what_is_acknowledged_survives),
        crate::trial("beam::rates_are_kept", rates_are_kept),
        crate::trial("beam::how_a_connection_ends_is_counted", how_a_connection_ends_is_counted),
        crate::trial("beam::who_does_not_read_goes", who_does_not_read_goes),
        crate::trial("beam::any_bytes_at_all", any_bytes_at_all),
        crate::trial("beam::a_port_needs_its_key", a_port_needs_its_key),
    ]
}

/// A daemon with Beam on every way.
struct Scene {
    daemon: Daemon,
    tcp: u16,
    udp: u16,
    _folder: TempDir,
}

impl Scene {
    fn new(backend: Option<&Backend>, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beam.secret");
        std::fs::write(&file, format!("{KEY}\n")).unwrap();
        let (tcp, udp) = (free_port(), free_port());
        let lines = format!(
            "secret_file = \"{}\"\ntcp_listen = \"127.0.0.1:{tcp}\"\n\
             udp_listen = \"127.0.0.1:{udp}\"\n{more}",
            file.display()
        );
        let daemon = Daemon::start(backend, &[("beam", &lines)]);
        Self { daemon, tcp, udp, _folder: folder }
    }

    fn post(&self, signed: &[(&str, String)], body: &[u8]) -> http::Answer {
        let headers: Vec<(&str, &str)> = signed.iter().map(|(k, v)| (*k, v.as_str())).collect();
        http::once(self.daemon.ports.public, "POST", "/beam", &headers, body).unwrap()
    }

    fn talk(&self, line: &str) -> Talk {
        let stream = TcpStream::connect(("127.0.0.1", self.tcp)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut talk = Talk(BufReader::new(stream));
        talk.write(line.as_bytes());
        talk
    }

    fn datagram(&self, bytes: &[u8]) -> Option<String> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.send_to(bytes, ("127.0.0.1", self.udp)).unwrap();
        let mut answer = [0; 256];
        let (len, _) = socket.recv_from(&mut answer).ok()?;
        Some(String::from_utf8(answer[..len].to_vec()).unwrap())
    }

    fn outcomes(&self, way: &str, outcome: &str) -> f64 {
        let labels = [format!("way=\"{way}\""), format!("outcome=\"{outcome}\"")];
        self.daemon.counted(OUTCOMES, &[&labels[0], &labels[1]])
    }

    fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

struct Talk(BufReader<TcpStream>);

impl Talk {
    fn write(&mut self, bytes: &[u8]) {
        // A daemon that has hung up is seen when its answer is read.
        let _ = self.0.get_mut().write_all(bytes);
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line.split(' ').next().unwrap().to_owned()
    }

    fn is_over(&mut self) -> bool {
        let mut rest = String::new();
        !matches!(self.0.read_line(&mut rest), Ok(len) if len > 0)
    }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The headers of Beam, signed as its page says.
fn headers(key: &str, ms: u128) -> Vec<(&'static str, String)> {
    let text = format!("{key}x-soracom-imei={IMEI}x-soracom-imsi={IMSI}x-soracom-timestamp={ms}");
    vec![
        ("X-Soracom-Imei", IMEI.to_owned()),
        ("X-Soracom-Imsi", IMSI.to_owned()),
        ("X-Soracom-Timestamp", ms.to_string()),
        ("X-Soracom-Signature", hex(&text)),
        ("X-Soracom-Signature-Version", "20151001".to_owned()),
    ]
}

/// The line of Beam, signed as its page says.
fn line(key: &str, ms: u128) -> String {
    let text = format!("imei={IMEI} imsi={IMSI} timestamp={ms}");
    let signature = hex(&format!("{key}{text}"));
    format!("{text};signature={signature} version=20151001\r\n")
}

/// `{"payload": base64}` of `hello`, as Beam wraps what came by TCP or UDP.
const WRAPPED: &[u8] = br#"{"payload":"eyJ0IjoyMX0="}"#;

fn one_result_by_every_way() {
    let backend = Backend::start();
    let scene = Scene::new(Some(&backend), "");
    let report = json!({"imei": IMEI, "imsi": IMSI, "STATUS": 0, "sketch_ver": "0.0.1"});
    assert_eq!(scene.post(&headers(KEY, now_ms()), report.to_string().as_bytes()).status, 200);
    assert_eq!(scene.post(&headers(KEY, now_ms()), WRAPPED).status, 200);
    let mut talk = scene.talk(&line(KEY, now_ms()));
    for message in [WRAPPED, br#"{"t":21}"#] {
        talk.write(&[message, b"\n"].concat());
        assert_eq!(talk.answer(), "200");
    }
    let datagram = [line(KEY, now_ms()).as_bytes(), WRAPPED].concat();
    assert!(scene.datagram(&datagram).unwrap().starts_with("200 "));

    let all = backend.wait("every message", PATIENCE, |all| {
        all.iter().filter(|it| it.kind == RECEIVED).count() == 5
    });
    let all: Vec<&Value> = all.iter().filter(|it| it.kind == RECEIVED).map(|it| &it.data).collect();
    assert_eq!((&all[0]["sketch_ver"], &all[0]["via"]), (&json!("0.0.1"), &json!("beam")));
    assert_eq!(all[0]["topic"], "customer_mngt");
    for data in &all[1..] {
        assert_eq!((&data["t"], &data["payload"]), (&json!(21), &json!({"t": 21})), "{data}");
        assert_eq!(data["net"], json!({"imei": IMEI, "imsi": IMSI}));
        assert!(data["device_ts"].is_u64() && data["timestamp"].is_string(), "{data}");
    }
    let board = scene.daemon.call("GET", &format!("/api/v1/devices/imei:{IMEI}"), &Value::Null);
    assert_eq!((&board["board_status"], &board["sketch_ver"]), (&json!(0), &json!("0.0.1")));
    assert_eq!(scene.outcomes("http", "taken"), 2.0);
    assert_eq!(scene.outcomes("tcp", "taken"), 2.0);
    assert_eq!(scene.outcomes("udp", "taken"), 1.0);
}

fn who_is_not_proven_is_refused() {
    let scene = Scene::new(None, "message_max = \"1 KiB\"");
    let now = now_ms();
    let old = now - 301_000;
    for (signed, code) in [
        (headers("anotherkey", now), "wrong_signature"),
        (headers(KEY, old), "stale_signature"),
        (headers(KEY, now + 301_000), "stale_signature"),
        (headers(KEY, now)[..3].to_vec(), "unsigned"),
        (headers(KEY, now)[..4].to_vec(), "signature_version"),
        (headers(KEY, now)[1..].to_vec(), "wrong_signature"),
        ([headers(KEY, now), headers(KEY, now)].concat(), "malformed_signature"),
    ] {
        let before = scene.outcomes("http", code);
        let answer = scene.post(&signed, WRAPPED);
        assert_eq!(answer.status, 403, "{code}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(
            (&answer.json()["status"], &answer.json()["code"]),
            (&json!(403), &json!("forbidden"))
        );
        assert_eq!(scene.outcomes("http", code), before + 1.0, "{code}");
    }
    for (text, code) in
        [(line("anotherkey", now), "wrong_signature"), (line(KEY, old), "stale_signature")]
    {
        let mut talk = scene.talk(&text);
        assert_eq!(talk.answer(), "403");
        assert!(talk.is_over(), "it is hung up on");
        assert_eq!(scene.outcomes("tcp", code), 1.0);
        let datagram = [text.as_bytes(), WRAPPED].concat();
        assert!(scene.datagram(&datagram).unwrap().starts_with("403 "));
        assert_eq!(scene.outcomes("udp", code), 1.0);
    }
    // What is proven and no message is said so, and what is too long ends the connection.
    let right = headers(KEY, now);
    assert_eq!(scene.post(&right, b"").status, 400);
    assert_eq!(scene.post(&right, &[b'x'; 1025]).status, 413);
    assert_eq!(scene.post(&right, &[b'x'; 9000]).status, 413);
    assert_eq!(scene.post(&right, br#"{"payload":"%"}"#).status, 400);
    assert_eq!(scene.post(&right, br#"{"payload":5}"#).status, 200);
    assert_eq!(scene.post(&right, &[b'x'; 1024]).status, 200);
    let mut talk = scene.talk(&line(KEY, now));
    talk.write(b"{\"payload\":\"%\"}\n");
    assert_eq!(talk.answer(), "400");
    // A board's own JSON, which Beam never writes.
    talk.write(b"{\"payload\":5}\n");
    assert_eq!(talk.answer(), "200");
    talk.write(b"\r\n21.5\r\n");
    assert_eq!(talk.answer(), "200");
    talk.write(&[b'x'; 9000]);
    assert_eq!(talk.answer(), "413");
    assert!(talk.is_over());
    assert!(scene.talk(&"x".repeat(600)).answer() == "400", "no signed line is so long");
    let get = http::once(scene.daemon.ports.public, "GET", "/beam", &[], &[]).unwrap();
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    // Who asks for nothing is told nothing longer than that.
    assert_eq!(scene.datagram(b"x"), None);
    assert_eq!(scene.outcomes("udp", "line"), 1.0);

    let without = Daemon::start(None, &[]);
    let right: Vec<(&str, &str)> = right.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let answer = http::once(without.ports.public, "POST", "/beam", &right, WRAPPED).unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(without.counted(OUTCOMES, &["no_key"]), 1.0);
}

fn what_is_acknowledged_survives() {
    let backend = Backend::start();
    let mut scene = Scene::new(Some(&backend), "");
    let mut sent = Vec::new();
    for round in 0..3 {
        let mut talk = scene.talk(&line(KEY, now_ms()));
        for n in 0..20 {
            let number = round * 100 + n;
            talk.write(format!("{{\"n\":{number}}}\n").as_bytes());
            assert_eq!(talk.answer(), "200");
            sent.push(number);
        }
        let datagram = format!("{}{{\"n\":{}}}", line(KEY, now_ms()), round * 100 + 50);
        assert!(scene.datagram(datagram.as_bytes()).unwrap().starts_with("200 "));
        sent.push(round * 100 + 50);
        scene.daemon.kill();
        scene.daemon.start_again();
    }
    let all = backend.wait("all that was acknowledged", PATIENCE, |all| {
        all.iter().filter(|it| it.kind == RECEIVED).count() >= sent.len()
    });
    let heard: Vec<i64> = all
        .iter()
        .filter(|it| it.kind == RECEIVED)
        .filter_map(|it| it.data["n"].as_i64())
        .collect();
    for number in sent {
        assert!(heard.contains(&number), "{number} was acknowledged");
    }
}

fn rates_are_kept() {
    let scene = Scene::new(None, "rate_per_device = 3");
    let signed = headers(KEY, now_ms());
    for _ in 0..3 {
        assert_eq!(scene.post(&signed, WRAPPED).status, 200);
    }
    let answer = scene.post(&signed, WRAPPED);
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")));
    let scene = Scene::new(None, "rate_per_address = 2");
    let statuses: Vec<u16> = (0..20).map(|_| scene.post(&signed, WRAPPED).status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(
        scene.outcomes("http", "rate_per_address"),
        f64::from(u32::try_from(statuses.iter().filter(|it| **it == 429).count()).unwrap())
    );
}

fn how_a_connection_ends_is_counted() {
    let scene = Scene::new(None, "line_timeout = \"1s\"\nidle_timeout = \"1s\"");
    let is_one = |outcome: &str| until(PATIENCE, || scene.outcomes("tcp", outcome) == 1.0);
    drop(scene.talk(""));
    assert!(is_one("no_line"));
    let silent = scene.talk("imei=");
    assert!(is_one("line_timeout"));
    drop(scene.talk("imei="));
    assert!(is_one("broken"));
    let mut idle = scene.talk(&line(KEY, now_ms()));
    idle.write(b"1\n");
    assert_eq!(idle.answer(), "200");
    assert!(is_one("idle_timeout"));
    // Who closes after what it had to say has ended well.
    let mut done = scene.talk(&line(KEY, now_ms()));
    done.write(b"1\n");
    assert_eq!(done.answer(), "200");
    drop((done, idle, silent));
    let board = format!("/api/v1/devices/imei:{IMEI}");
    assert!(scene.daemon.call("GET", &board, &Value::Null)["last_seen_at"].is_string());
    for outcome in ["no_line", "line_timeout", "broken", "idle_timeout"] {
        assert_eq!(scene.outcomes("tcp", outcome), 1.0, "{outcome}");
    }
}

/// One that sends and does not read its answers loses its place to others.
fn who_does_not_read_goes() {
    let scene = Scene::new(None, "line_timeout = \"1s\"\nconnections_max = 1");
    let mut deaf = scene.talk(&line(KEY, now_ms()));
    deaf.0.get_ref().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // What is no base64 is answered and no more, so that buffers are soon full of answers.
    let lines = b"{\"payload\":\"!\"}\n".repeat(1_000);
    let goes = || {
        let _ = deaf.0.get_mut().write(&lines);
        scene.outcomes("tcp", "too_slow") == 1.0
    };
    assert!(until(4 * PATIENCE, goes));
    let mut next = scene.talk(&line(KEY, now_ms()));
    next.write(b"1\n");
    assert_eq!(next.answer(), "200");
}

/// A generator of chance that can be repeated.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).unwrap()
    }

    /// Some bytes changed, taken out, doubled or cut off.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.next(4) {
            let at = self.next(bytes.len());
            match self.next(5) {
                0 if !bytes.is_empty() => bytes[at] = u8::try_from(self.next(256)).unwrap(),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, u8::try_from(self.next(256)).unwrap()),
                3 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes.truncate(60_000);
        bytes
    }
}

fn any_bytes_at_all() {
    let scene = Scene::new(None, "line_timeout = \"1s\"\nrate_per_device = 1000000");
    let mut chance = Chance(0x5EED_0BEA);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut before = 0;
    for round in 0..MUTATIONS {
        if round == MUTATIONS / 10 {
            before = scene.memory();
        }
        let datagram = [line(KEY, now_ms()).as_bytes(), WRAPPED].concat();
        match round % 10 {
            0 => {
                let mut talk = scene.talk("");
                talk.write(&chance.mutate(&[&datagram[..], b"\n"].concat()));
            }
            1 => {
                let head = format!(
                    "POST /beam HTTP/1.1\r\nHost: g\r\nContent-Length: {}\r\n{}\r\n",
                    WRAPPED.len(),
                    headers(KEY, now_ms())
                        .iter()
                        .map(|(name, value)| format!("{name}: {value}\r\n"))
                        .collect::<String>()
                );
                let bytes = chance.mutate(&[head.as_bytes(), WRAPPED].concat());
                let mut stream =
                    TcpStream::connect(("127.0.0.1", scene.daemon.ports.public)).unwrap();
                let _ = stream.write_all(&bytes);
            }
            _ => {
                let bytes = chance.mutate(&datagram);
                let _ = socket.send_to(&bytes, ("127.0.0.1", scene.udp));
            }
        }
        if round % 1_000 == 999 {
            // The others notice nothing.
            assert_eq!(scene.post(&headers(KEY, now_ms()), WRAPPED).status, 200);
        }
    }
    let mut talk = scene.talk(&line(KEY, now_ms()));
    talk.write(b"1\n");
    assert_eq!(talk.answer(), "200");
    let is_flat = || scene.memory() < before * 2;
    assert!(until(PATIENCE, is_flat), "{before} and then {}", scene.memory());
    assert!(!scene.daemon.log().contains("panicked"));
}

fn a_port_needs_its_key() {
    let daemon = Daemon::prepare(None, &[("beam", "tcp_listen = \"127.0.0.1:8023\"")]);
    let output = daemon.command("check").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("beam.tcp_listen: needs `beam.secret_file`"), "{said}");
}
