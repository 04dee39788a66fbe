//! Bad input on every port: it ends its own session, in the protocol's own words, is counted, and
//! harms nobody else.

use crate::backend::Backend;
use crate::board::{self, Board, Packet};
use crate::cpe::{Cpe, envelope, post};
use crate::daemon::{Daemon, until};
use crate::http::{self, Connection, PATIENCE};
use crate::phone::{Call, form};
use libtest_mimic::Trial;
use serde_json::Value;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

/// Short waits, so that slow peers are cut off while the test looks; failed sign-ins are not what
/// is tested here.
const SETTINGS: &[(&str, &str)] = &[
    (
        "cwmp",
        "auth = \"open\"\nheader_timeout = \"1s\"\nsession_idle = \"1s\"\n\
         failed_sign_ins_per_minute = 10000",
    ),
    ("mqtt", "connect_timeout = \"1s\"\nfailed_sign_ins_per_minute = 10000"),
    ("public", "header_timeout = \"1s\""),
    ("operator", "header_timeout = \"1s\""),
];
/// A slow peer is cut off by its configured second, with room for a busy machine.
const CUT_OFF: Duration = Duration::from_secs(15);
/// Most memory in all that, in bytes: it was seen to peak at a quarter of it.
const MEMORY_MAX: u64 = 128 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("bad_input::cwmp", cwmp),
        crate::trial("bad_input::cwmp_bombs", cwmp_bombs),
        crate::trial("bad_input::mqtt", mqtt),
        crate::trial("bad_input::public", public),
        crate::trial("bad_input::operator", operator),
        crate::trial("bad_input::http_smuggling", http_smuggling),
        crate::trial("bad_input::slow_and_half_open", slow_and_half_open),
        crate::trial("bad_input::random_bytes", random_bytes),
        crate::trial("bad_input::a_flood_slows_itself_alone", a_flood_slows_itself_alone),
        crate::trial("bad_input::connections_are_bounded", connections_are_bounded),
    ]
}

/// A daemon with a healthy peer on each port, looked after until the end.
struct Scene {
    daemon: Daemon,
    backend: Backend,
    board: Board,
    rounds: u32,
}

impl Scene {
    fn new() -> Self {
        let backend = Backend::start();
        let daemon = Daemon::start(Some(&backend), SETTINGS);
        let board = Board::enrol(daemon.ports.mqtt, "healthy", &daemon.enrolment());
        let mut scene = Self { daemon, backend, board, rounds: 0 };
        scene.all_is_well();
        scene
    }

    /// The healthy peers are served, on the connection that they had.
    fn all_is_well(&mut self) {
        self.rounds += 1;
        let round = self.rounds;
        let payload = format!("{{\"n\":{round}}}");
        self.board.publish_and_wait("boards/healthy/up/a", payload.as_bytes()).unwrap();
        let cpe = Cpe::new(self.daemon.ports.cwmp, "HEALTHY1", "");
        cpe.set("DeviceInfo.UpTime", &round.to_string());
        cpe.visit(&[("1 BOOT", "")]).unwrap();
        let session = format!("s-{round}");
        let home = self.daemon.home();
        let mut call =
            Call::begin(self.daemon.ports.public, &home, &session, "+254711000005").unwrap();
        assert!(call.dial().unwrap().starts_with("CON "));
        assert_eq!(call.key("0").unwrap(), "END Goodbye.");
        self.daemon.call("GET", "/api/v1/devices", &Value::Null);
    }

    fn faults(&self, protocol: &str) -> f64 {
        let label = format!("protocol=\"{protocol}\"");
        let mut faults = self.daemon.counted("lastmile_listen_faults_total", &[&label]);
        faults += self.daemon.counted("lastmile_auth_failures_total", &[&label]);
        if protocol == "mqtt" {
            // How each connection ended: nobody but the bad ones leaves while they are counted.
            faults += self.daemon.counted("lastmile_mqtt_disconnects_total", &[]);
        }
        if protocol == "ussd" {
            faults += self.daemon.counted("lastmile_listen_refused_total", &["\"public\""]);
        }
        faults
    }

    /// Does something bad, which must be counted, and must not be felt by the others.
    fn counted(&mut self, protocol: &str, what: &str, bad: impl FnOnce(&Daemon)) {
        let before = self.faults(protocol);
        bad(&self.daemon);
        let is_counted = until(CUT_OFF, || self.faults(protocol) > before);
        assert!(is_counted, "{what} is not counted:\n{}", self.daemon.metrics());
        self.all_is_well();
    }

    fn end(mut self) {
        self.all_is_well();
        let peak = self.daemon.memory_peak();
        assert!(peak < MEMORY_MAX, "{} MiB at most", peak >> 20);
        let log = self.daemon.log();
        assert!(!log.contains("panicked"), "{log}");
        let rounds = u64::from(self.rounds);
        self.backend.wait("the healthy board's last", PATIENCE, |accepted| {
            accepted.iter().any(|it| it.data["payload"]["n"] == rounds)
        });
        self.backend.assert_no_faults();
    }
}

/// Posts a body to the CWMP port; the status.
fn cwmp_post(daemon: &Daemon, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut all = vec![("Content-Type", "text/xml")];
    all.extend_from_slice(headers);
    http::once(daemon.ports.cwmp, "POST", "/", &all, body).unwrap().status
}

fn cwmp() {
    let mut scene = Scene::new();
    let inform = Cpe::new(0, "BAD00001", "").inform(&[("1 BOOT", "")]);
    let xxe = inform
        .replace(
            "<?xml version=\"1.0\"?>",
            "<?xml version=\"1.0\"?><!DOCTYPE s [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>",
        )
        .replace("<Manufacturer>Tests", "<Manufacturer>&x;");
    let laughs = inform.replace(
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>",
    );
    let deep = envelope("1", &"<a>".repeat(100_000));
    let half = &inform[..inform.len() / 2];
    let nobody = inform.replace("<SerialNumber>BAD00001</SerialNumber>", "<SerialNumber/>");
    let long = inform.replace("BAD00001", &"9".repeat(5_000));
    let bodies: [(&str, &[u8]); 10] = [
        ("external entities", xxe.as_bytes()),
        ("entities of its own", laughs.as_bytes()),
        ("depth", deep.as_bytes()),
        ("half a body", half.as_bytes()),
        ("no serial", nobody.as_bytes()),
        ("a long serial", long.as_bytes()),
        ("JSON", b"{\"Inform\": {}}"),
        ("bytes", &[0xFF; 1000]),
        ("UTF-16 without end", b"\xFF\xFE<\0?\0x"),
        ("an empty envelope", b"<Envelope/>"),
    ];
    for (what, body) in bodies {
        scene.counted("cwmp", what, |daemon| {
            let status = cwmp_post(daemon, &[], body);
            assert_eq!(status, 400, "{what}");
        });
    }
    let device = scene.daemon.api("GET", "/api/v1/devices?q=BAD00001", &Value::Null).json();
    assert_eq!(device["items"], serde_json::json!([]), "what was refused made no device");
    scene.counted("cwmp", "a method", |daemon| {
        let answer = http::once(daemon.ports.cwmp, "GET", "/", &[], b"").unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    });
    scene.counted("cwmp", "an RPC without a session", |daemon| {
        let rpc = envelope("1", "<cwmp:RebootResponse></cwmp:RebootResponse>");
        assert_eq!(cwmp_post(daemon, &[("Cookie", "lastmile=forged")], rpc.as_bytes()), 400);
    });
    scene.counted("cwmp", "rubbish in mid-session", |daemon| {
        let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
        let inform = Cpe::new(0, "BAD00002", "").inform(&[("1 BOOT", "")]);
        assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
        assert_eq!(post(&mut connection, &[], "<rubbish").unwrap().status, 400);
    });
    scene.end();
}

fn cwmp_bombs() {
    let mut scene = Scene::new();
    let large = vec![b' '; 10 << 20];
    scene.counted("cwmp", "10 MB", |daemon| {
        let answer =
            http::once(daemon.ports.cwmp, "POST", "/", &[("Content-Type", "text/xml")], &large);
        // It may close before all of it is sent, and the answer may be lost with it.
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 413);
        }
    });
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let bomb = gzip(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 1 << 20);
    for _ in 0..5 {
        scene.counted("cwmp", "a bomb", |daemon| {
            assert_eq!(cwmp_post(daemon, &[("Content-Encoding", "gzip")], &bomb), 413);
        });
    }
    scene.counted("cwmp", "not gzip", |daemon| {
        assert_eq!(cwmp_post(daemon, &[("Content-Encoding", "gzip")], b"plain"), 400);
    });
    scene.counted("cwmp", "another coding", |daemon| {
        assert_eq!(cwmp_post(daemon, &[("Content-Encoding", "br")], b"plain"), 415);
    });
    let one = "<ParameterValueStruct><Name>Device.X</Name><Value>1</Value></ParameterValueStruct>";
    let inform = Cpe::new(0, "BAD00003", "").inform(&[("1 BOOT", "")]);
    let many =
        inform.replace("<ParameterList>", &format!("<ParameterList>{}", one.repeat(100_000)));
    let packed = gzip(many.as_bytes());
    scene.counted("cwmp", "100,000 parameters", |daemon| {
        let status = cwmp_post(daemon, &[("Content-Encoding", "gzip")], &packed);
        assert!(matches!(status, 400 | 413), "{status}");
    });
    scene.end();
}

/// Sends bytes in place of a CONNECT, or after one; the peer must close.
fn mqtt_closed(daemon: &Daemon, is_connected: bool, bytes: &[u8]) {
    let mut board = if is_connected {
        Board::enrol(daemon.ports.mqtt, "bad", &daemon.enrolment())
    } else {
        Board::open(daemon.ports.mqtt).unwrap()
    };
    let _ = board.write(bytes);
    assert!(board.is_closed_within(CUT_OFF), "{:02x?} was suffered", &bytes[..bytes.len().min(20)]);
}

fn mqtt() {
    let mut scene = Scene::new();
    let publish = |topic: &[u8], flags: u8| {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        if flags & 0b110 != 0 {
            body.extend_from_slice(&[0, 1]);
        }
        board::packet(0x30 | flags, &body)
    };
    let large = [&[0x32, 0xFF, 0xFF, 0xFF, 0x7F][..], &[b'x'; 1000]].concat();
    let after: [(&str, Vec<u8>); 15] = [
        ("a second CONNECT", board::connect_packet("bad", "enrol", "x")),
        ("a packet of 256 MiB", large),
        ("a length of five bytes", vec![0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("QoS 3", publish(b"boards/bad/up/a", 0b110)),
        ("a wildcard in a topic", publish(b"boards/bad/up/#", 2)),
        ("a NUL in a topic", publish(b"boards/bad/up/\0", 2)),
        ("a topic that is no UTF-8", publish(b"boards/bad/up/\xFF", 2)),
        ("an empty topic", publish(b"", 2)),
        ("another board's topic", publish(b"boards/other/up/a", 2)),
        ("the system's topic", publish(b"$SYS/x", 2)),
        ("reserved flags", board::packet(0x81, &[0, 1, 0, 1, b'a', 0])),
        ("a subscription to nothing", board::packet(0x82, &[0, 1])),
        ("packet type 0", board::packet(0x00, &[])),
        ("packet type 15", board::packet(0xF0, &[])),
        ("packet id 0", board::packet(0x32, b"\0\x0fboards/bad/up/a\0\0")),
    ];
    for (what, bytes) in after {
        scene.counted("mqtt", what, |daemon| mqtt_closed(daemon, true, &bytes));
    }
    let before: [(&str, Vec<u8>); 5] = [
        ("PUBLISH before CONNECT", publish(b"boards/bad/up/a", 0)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 0, 0, 0, 0]),
        ("another protocol's name", board::packet(0x10, b"\0\x04HTTP\x04\x02\0\x3c\0\x01a")),
        ("a long length", vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
    ];
    for (what, bytes) in before {
        scene.counted("mqtt", what, |daemon| mqtt_closed(daemon, false, &bytes));
    }
    scene.counted("mqtt", "a level that is not spoken", |daemon| {
        let mut board = Board::open(daemon.ports.mqtt).unwrap();
        board.write(&board::packet(0x10, b"\0\x04MQTT\x09\x02\0\x3c\0\x01a")).unwrap();
        // [MQTT-3.1.2-2]: 0x01, and then closed.
        assert_eq!(board.receive().unwrap(), Packet::Connack(1));
        assert!(board.is_closed_within(CUT_OFF));
    });
    scene.counted("mqtt", "a client id of 60 kB", |daemon| {
        let id = "x".repeat(60_000);
        let refused = Board::connect(daemon.ports.mqtt, &id, "enrol", &daemon.enrolment());
        assert!(!matches!(refused, Ok(Ok(_))), "{refused:?}");
    });
    scene.end();
}

fn public() {
    let mut scene = Scene::new();
    let path = format!("/ussd/home/{}", scene.daemon.home());
    let good = form("s-bad", "+254711000006", "");
    let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
    let twice = format!("{good}&text=1");
    let long = form("s-bad", "+254711000006", &"1*".repeat(1_000));
    let bodies: [(&str, String); 8] = [
        ("no session", good.replace("sessionId=s-bad", "x=y")),
        ("no number", good.replace("phoneNumber", "phone")),
        ("a number that is none", good.replace("%2B254711000006", "hello")),
        ("two texts", twice),
        ("a control character", format!("{good}%00%07")),
        ("a broken escape", format!("{good}%ZZ")),
        ("an empty body", String::new()),
        ("a long text", long),
    ];
    for (what, body) in bodies {
        scene.counted("ussd", what, |daemon| {
            let answer =
                http::once(daemon.ports.public, "POST", &path, &form_type, body.as_bytes())
                    .unwrap();
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        });
    }
    scene.counted("ussd", "JSON", |daemon| {
        let headers = [("Content-Type", "application/json")];
        let answer = http::once(daemon.ports.public, "POST", &path, &headers, b"{}").unwrap();
        assert!(matches!(answer.status, 400 | 415), "{}", answer.status);
    });
    scene.counted("ussd", "10 MB", |daemon| {
        let large = vec![b'x'; 10 << 20];
        if let Ok(answer) = http::once(daemon.ports.public, "POST", &path, &form_type, &large) {
            assert_eq!(answer.status, 413);
        }
    });
    for wrong in
        ["/", "/ussd", "/ussd/home", "/ussd/home/", "/ussd/other/x", "/ussd/home/../home/x"]
    {
        let answer =
            http::once(scene.daemon.ports.public, "POST", wrong, &form_type, good.as_bytes());
        assert_eq!(answer.unwrap().status, 404, "{wrong}");
    }
    scene.end();
}

fn operator() {
    let mut scene = Scene::new();
    let token = format!("Bearer {}", scene.daemon.token());
    let port = scene.daemon.ports.operator;
    let json = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let put =
        |path: &str, body: &[u8]| http::once(port, "PUT", path, &json, body).map(|it| it.status);
    assert_eq!(put("/api/v1/customers/x", b"{").unwrap(), 400);
    assert_eq!(put("/api/v1/customers/x", b"{\"nmae\": 1}").unwrap(), 422);
    assert_eq!(put("/api/v1/customers/x", &[b'['; 100_000]).unwrap(), 422, "depth");
    assert_eq!(put("/api/v1/customers/%00", b"{}").unwrap() / 100, 4);
    assert_eq!(put("/api/v1/customers/%FF%FE", b"{}").unwrap() / 100, 4);
    assert_eq!(put(&format!("/api/v1/customers/{}", "x".repeat(10_000)), b"{}").unwrap() / 100, 4);
    if let Ok(status) = put("/api/v1/customers/x", &vec![b' '; 10 << 20]) {
        assert_eq!(status, 413);
    }
    let mut connection = Connection::open(port).unwrap();
    let many = (0..2000).map(|index| format!("X-{index}: y\r\n")).collect::<String>();
    let _ = connection.write(format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes());
    assert!(
        connection.answer().is_ok_and(|it| it.status / 100 == 4)
            || connection.is_closed_within(CUT_OFF)
    );
    let text = [("Authorization", token.as_str()), ("Content-Type", "text/plain")];
    let answer = http::once(port, "PUT", "/api/v1/customers/x", &text, b"{}").unwrap();
    assert_eq!(answer.status, 415);
    for path in [
        "/api/v1/devices?limit=0",
        "/api/v1/devices?limit=x",
        "/api/v1/devices?what=x",
        "/api/v1/devices?cursor=%00",
    ] {
        let answer = scene.daemon.api("GET", path, &Value::Null);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let failures = scene.daemon.counted("lastmile_api_requests_total", &["status=\"400\""]);
    assert!(failures >= 5.0, "counted: {failures}");
    scene.all_is_well();
    scene.end();
}

/// What two parsers could read differently is refused, or is one request and no more.
fn http_smuggling() {
    let mut scene = Scene::new();
    let hidden = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = [
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef{hidden}"
        ),
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{hidden}"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{hidden}"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc{hidden}"),
        format!("POST / HTTP/1.1\nHost: x\n X: folded\nContent-Length: 3\n\nabc{hidden}"),
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"
            .to_owned(),
        "\r\n\r\n\0\0\0\r\n\r\n".to_owned(),
        format!("POST /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000)),
    ];
    let ports = scene.daemon.ports;
    for request in &requests {
        for port in [ports.cwmp, ports.public, ports.operator] {
            let mut connection = Connection::open(port).unwrap();
            let _ = connection.write(request.as_bytes());
            let mut answers = 0;
            while let Ok(answer) = connection.answer() {
                answers += 1;
                let start = &request[..request.len().min(120)];
                // RFC 9112 6.1, 6.3: refused, or read by its chunks alone; and then closed.
                let by_chunks = request.contains("chunked\r\n\r\n0\r\n");
                let is_well = answer.status >= 400 || by_chunks;
                assert!(is_well, "{port} took {start:?}: {}", answer.status);
                assert_eq!(answers, 1, "{port} read the hidden request of {start:?}");
            }
        }
        scene.all_is_well();
    }
    scene.end();
}

fn slow_and_half_open() {
    let mut scene = Scene::new();
    let ports = scene.daemon.ports;
    let slow = |port: u16, bytes: &'static [u8]| {
        thread::spawn(move || {
            let begun = Instant::now();
            let mut connection = Connection::open(port).unwrap();
            // A byte a quarter second: never idle, never done.
            for byte in bytes.iter().cycle() {
                if connection.write(&[*byte]).is_err()
                    || connection.is_closed_within(Duration::from_millis(250))
                {
                    return begun.elapsed();
                }
                assert!(begun.elapsed() < CUT_OFF, "port {port} waits for ever");
            }
            unreachable!("cycles for ever")
        })
    };
    let slow_ones = [
        slow(
            ports.cwmp,
            b"POST / HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        slow(
            ports.public,
            b"POST / HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        slow(
            ports.operator,
            b"GET /livez HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        slow(
            ports.mqtt,
            b"\x10\x7F\0\x04MQTT\x04\x02\0\x3c\0\x60aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
    ];
    // Meanwhile: many that say nothing at all, and a router that falls silent in mid-session.
    let silent: Vec<_> = (0..100)
        .flat_map(|_| [ports.cwmp, ports.mqtt, ports.public, ports.operator])
        .map(|port| Connection::open(port).unwrap())
        .collect();
    let mut connection = Connection::open(ports.cwmp).unwrap();
    let inform = Cpe::new(0, "SILENT01", "").inform(&[("1 BOOT", "")]);
    assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
    scene.all_is_well();
    for slow in slow_ones {
        slow.join().unwrap();
    }
    scene.all_is_well();
    for mut connection in silent {
        assert!(connection.is_closed_within(CUT_OFF), "a silent peer is kept for ever");
    }
    let ended = || scene.daemon.counted("lastmile_cwmp_sessions_ended_total", &["silent"]) >= 1.0;
    assert!(until(CUT_OFF, ended), "{}", scene.daemon.metrics());
    let timeouts = scene.daemon.counted("lastmile_listen_faults_total", &["timeout"]);
    assert!(timeouts >= 2.0, "slow peers are counted: {}", scene.daemon.metrics());
    scene.end();
}

/// Whatever comes: nobody else feels it.
fn random_bytes() {
    let scene = Scene::new();
    let ports = scene.daemon.ports;
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let connect = board::connect_packet("random", "enrol", &scene.daemon.enrolment());
    for round in 0..200 {
        let length = usize::from(next()[0]) + 1;
        let bytes: Vec<u8> = std::iter::repeat_with(&mut next).flatten().take(length).collect();
        for port in [ports.cwmp, ports.mqtt, ports.public, ports.operator] {
            let mut connection = Connection::open(port).unwrap();
            if port == ports.mqtt && round % 2 == 0 {
                let _ = connection.write(&connect);
            }
            let _ = connection.write(&bytes);
        }
    }
    scene.end();
}

/// A board over its rate is read more slowly: nothing of it is lost, and nobody else waits.
fn a_flood_slows_itself_alone() {
    let daemon = Daemon::start(None, &[("mqtt", "publish_rate_max = 20")]);
    let secret = daemon.enrolment();
    let port = daemon.ports.mqtt;
    let flooding = Board::enrol(port, "flood", &secret);
    let flood = thread::spawn(move || {
        let (mut board, begun) = (flooding, Instant::now());
        for _ in 0..60 {
            board.publish("boards/flood/up/a", b"{}").unwrap();
        }
        for id in 1..=60 {
            assert_eq!(board.receive().unwrap(), Packet::Puback(id));
        }
        begun.elapsed()
    });
    let mut calm = Board::enrol(port, "calm", &secret);
    for _ in 0..10 {
        let begun = Instant::now();
        calm.publish_and_wait("boards/calm/up/a", b"{}").unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    let took = flood.join().unwrap();
    assert!(took > Duration::from_secs(1), "60 at 20 a second in {took:?}");
}

fn connections_are_bounded() {
    let bound = "connections_max = 5";
    let daemon = Daemon::start(None, &[("mqtt", bound), ("cwmp", bound), ("public", bound)]);
    let ports = daemon.ports;
    for (port, name) in [(ports.mqtt, "mqtt"), (ports.cwmp, "cwmp"), (ports.public, "public")] {
        let mut held: Vec<_> = (0..5).map(|_| Connection::open(port).unwrap()).collect();
        let label = format!("\"{name}\"");
        let refused =
            || daemon.counted("lastmile_listen_refused_total", &[&label, "connections_max"]);
        let mut sixth = Connection::open(port).unwrap();
        assert!(sixth.is_closed_within(CUT_OFF), "{name}: the sixth waits for nothing");
        assert!(until(CUT_OFF, || refused() >= 1.0), "{name} is not counted");
        assert!(!held[0].is_closed_within(Duration::from_millis(50)), "{name}: the first stays");
        drop(held);
        let is_free = || {
            let mut next = Connection::open(port).unwrap();
            !next.is_closed_within(Duration::from_millis(50))
        };
        assert!(until(CUT_OFF, is_free), "{name}: a place that was left is free");
    }
}
