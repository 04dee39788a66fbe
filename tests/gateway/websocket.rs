//! MQTT through WebSocket: with Paho's Python client, and by hand what no client does.

use crate::backend::{Backend, Received};
use crate::bad_input::versions::{VERSIONS, Version};
use crate::daemon::{Daemon, free_port, until};
use crate::http::PATIENCE;
use crate::programs;
use libtest_mimic::Trial;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        programs::python_trial("websocket::paho_in_every_version", "paho.mqtt", paho),
        programs::trial("websocket::paho_in_c", &["paho_c_pub", "paho_cs_pub"], paho_in_c),
        crate::trial("websocket::packets_may_be_cut_anywhere", packets_may_be_cut_anywhere),
        crate::trial("websocket::what_is_wrong_is_told_and_counted", what_is_wrong),
    ]
}

/// Runs Paho's client over `transport`; it publishes, and is sent commands, at each QoS.
pub(crate) fn paho_talks(
    (daemon, backend): (&Daemon, &Backend),
    (transport, port): (&str, u16),
    version: Version,
    authorities: Option<&str>,
) {
    let number = match version {
        Version::V31 => "3",
        Version::V311 => "4",
        Version::V5 => "5",
    };
    let id = format!("paho{number}{transport}{}", authorities.map_or("", |_| "tls"));
    // More than one message of ours, and many reads of the client's.
    let payload = json!({"n": number, "pad": "x".repeat(100_000)}).to_string();
    let (topic, port, secret) = (format!("boards/{id}/up/a"), port.to_string(), daemon.enrolment());
    let mut arguments = vec![transport, number, &port, &id, &secret, &topic, &payload];
    arguments.extend(authorities);
    thread::scope(|scope| {
        let said = scope.spawn(|| programs::python(include_str!("paho.py"), &arguments));
        let subject = format!("mqtt:{id}");
        let telemetry =
            |it: &&Received| it.kind == "lastmile.telemetry.received" && it.subject == subject;
        let told = backend.wait("one of each", PATIENCE, |accepted| {
            accepted.iter().filter(telemetry).count() == 3
        });
        let told: Vec<_> = told.iter().filter(telemetry).map(|it| &it.data).collect();
        assert!(told.iter().all(|data| data["payload"]["n"] == number));
        let levels: Vec<_> = told.iter().map(|data| data["qos"].as_u64().unwrap()).collect();
        assert_eq!(levels, [0, 1, 2]);
        let topic = format!("boards/{id}/down/do");
        let pad = "y".repeat(100_000);
        for qos in levels {
            let command = json!({"kind": "publish", "topic": topic, "payload": pad, "qos": qos});
            daemon.call("POST", &format!("/api/v1/devices/{subject}/commands"), &command);
        }
        let said = said.join().unwrap();
        let wanted = [0, 1, 2].map(|qos| format!("{topic} {qos} {pad}"));
        assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
        let left = backend.wait_for("lastmile.device.disconnected", &subject);
        assert_eq!(left.data["cause"], "normal");
    });
}

fn paho() {
    let backend = Backend::start();
    let (plain, tls) = (free_port(), free_port());
    let mqtt = format!(
        "websocket_listen = \"127.0.0.1:{plain}\"\nwebsocket_tls_listen = \"127.0.0.1:{tls}\""
    );
    let settings = [("mqtt", &*mqtt), ("tls", "self_signed = true")];
    let daemon = Daemon::start(Some(&backend), &settings);
    let authorities = daemon.data().join("tls/cert.pem").display().to_string();
    for version in VERSIONS {
        paho_talks((&daemon, &backend), ("websockets", plain), version, None);
    }
    paho_talks((&daemon, &backend), ("websockets", tls), Version::V5, Some(&authorities));
}

fn paho_in_c() {
    let backend = Backend::start();
    let port = free_port();
    let mqtt = format!("websocket_listen = \"127.0.0.1:{port}\"");
    let daemon = Daemon::start(Some(&backend), &[("mqtt", &mqtt)]);
    let (secret, url) = (daemon.enrolment(), format!("ws://127.0.0.1:{port}/mqtt"));
    for (program, version) in [("paho_c_pub", "311"), ("paho_c_pub", "5"), ("paho_cs_pub", "31")] {
        let id = format!("ws{version}");
        let topic = format!("boards/{id}/up/a");
        let connection = ["-c", &url, "-V", version, "-i", &id, "-u", "enrol", "-P", &secret];
        let message = ["-t", &topic, "-q", "2", "-m", "{\"n\":1}"];
        programs::succeed(program, &[&connection[..], &message].concat(), b"");
        backend.wait_for("lastmile.telemetry.received", &format!("mqtt:{id}"));
    }
}

/// A WebSocket by hand.
struct Socket(TcpStream);

impl Socket {
    /// Sends a request; the head of its answer.
    fn ask(port: u16, path: &str, more: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                break;
            }
            head.push(byte[0]);
        }
        (Self(stream), String::from_utf8(head).unwrap())
    }

    fn open(port: u16) -> Self {
        let (socket, head) = Self::ask(port, "/mqtt", "Sec-WebSocket-Protocol: mqtt\r\n");
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("mqtt"), "{head}");
        // RFC 6455, 1.3: the answer to that key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        socket
    }

    /// Sends a frame of that first byte, masked as a client must.
    fn send(&mut self, first: u8, payload: &[u8]) {
        let mask = [0x37, 0xFA, 0x21, 0x3D];
        let mut frame = vec![first];
        match u16::try_from(payload.len()) {
            Ok(len) if len < 126 => frame.push(0x80 | u8::try_from(len).unwrap()),
            Ok(len) => {
                frame.push(0x80 | 126);
                frame.extend(len.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let _ = self.0.write_all(&frame);
    }

    /// The next frame, of less than 126 bytes: its first byte, and what is in it.
    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }
}

const BINARY: u8 = 0x82;
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

fn start(more: &str) -> (Daemon, u16) {
    let port = free_port();
    let mqtt = format!("websocket_listen = \"127.0.0.1:{port}\"\n{more}");
    (Daemon::start(None, &[("mqtt", &mqtt)]), port)
}

fn packets_may_be_cut_anywhere() {
    let (daemon, port) = start("");
    for version in VERSIONS {
        let mut socket = Socket::open(port);
        let hello = version.connect("cut", "enrol", &daemon.enrolment());
        // Byte by byte; then parts of one message; then two packets in one.
        for byte in &hello {
            socket.send(BINARY, &[*byte]);
        }
        let (first, connack) = socket.receive().unwrap();
        assert_eq!((first, connack[0], connack[3]), (BINARY, 0x20, 0), "{connack:02x?}");
        let publish = |id| version.publish(2, b"boards/cut/up/a", id, b"{}");
        let (start, end) = (publish(1)[..5].to_vec(), publish(1)[5..].to_vec());
        socket.send(0x02, &start);
        socket.send(PING, b"between");
        socket.send(0x80, &end);
        socket.send(BINARY, &[publish(2), publish(3)].concat());
        let (mut acknowledged, mut is_ponged) = (Vec::new(), false);
        while acknowledged.len() < 12 {
            match socket.receive().unwrap() {
                (BINARY, payload) => acknowledged.extend(payload),
                (first, payload) => {
                    assert_eq!((first, &*payload), (0x8A, &b"between"[..]));
                    is_ponged = true;
                }
            }
        }
        assert!(is_ponged);
        let wanted: Vec<u8> = (1..=3).flat_map(|id| [0x40, 2, 0, id]).collect();
        assert_eq!(acknowledged, wanted);
        socket.send(CLOSE, &1000_u16.to_be_bytes());
        assert_eq!(socket.receive(), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
        assert_eq!(socket.receive(), None);
    }
}

fn what_is_wrong() {
    let (daemon, port) =
        start("websocket_handshake_timeout = \"1s\"\nwebsocket_frame_max = \"1 KiB\"");
    let mut healthy = Socket::open(port);
    healthy.send(BINARY, &Version::V311.connect("healthy", "enrol", &daemon.enrolment()));
    assert_eq!(healthy.receive().unwrap().1[..2], [0x20, 2]);
    let counted = |metric: &str, reason: &str| {
        let label = format!("\"{reason}\"");
        until(PATIENCE, || daemon.counted(metric, &["protocol=\"mqtt\"", &label]) >= 1.0)
    };
    let protocol = "Sec-WebSocket-Protocol: mqtt\r\n";
    for (path, more, status, reason) in [
        ("/", protocol, "404", "websocket_path"),
        ("/mqtt", "", "400", "websocket_subprotocol"),
        ("/mqtt", "Sec-WebSocket-Protocol: chat\r\n", "400", "websocket_subprotocol"),
    ] {
        let (_, head) = Socket::ask(port, path, more);
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        assert!(counted("lastmile_listen_refused_total", reason), "{reason}");
    }
    let mut slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET /mqtt HTTP/1.1\r\n").unwrap();
    assert_eq!(slow.read(&mut [0; 9]).unwrap_or(0), 0, "it waits for ever");
    assert!(counted("lastmile_listen_refused_total", "websocket_timeout"));
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.write_all(b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0\r\n\r\n").unwrap();
    assert!(counted("lastmile_listen_refused_total", "websocket"));

    for (first, payload, code, reason) in [
        (TEXT, b"hello".to_vec(), 1003_u16, "websocket_text"),
        (BINARY, vec![0; 2_000], 1009, "websocket_message_max"),
        (0x83, Vec::new(), 1002, "websocket_protocol"),
        (0xC2, Vec::new(), 1002, "websocket_protocol"),
    ] {
        let mut socket = Socket::open(port);
        socket.send(first, &payload);
        let told = socket.receive();
        assert_eq!(told, Some((CLOSE, code.to_be_bytes().to_vec())), "{reason}");
        assert!(counted("lastmile_listen_faults_total", reason), "{reason}");
    }
    // Two parts of a message that are too large only together.
    let mut socket = Socket::open(port);
    socket.send(0x02, &[0x10; 1_000]);
    socket.send(0x80, &[0; 1_000]);
    assert_eq!(socket.receive(), Some((CLOSE, 1009_u16.to_be_bytes().to_vec())));
    thread::sleep(Duration::from_millis(50));
    healthy.send(BINARY, &[0xC0, 0]);
    assert_eq!(healthy.receive(), Some((BINARY, vec![0xD0, 0])));
}
