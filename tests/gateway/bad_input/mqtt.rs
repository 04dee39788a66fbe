//! Boards that break MQTT, before CONNECT and after it.

use super::{CUT_OFF, Scene, Why};
use crate::board::{self, Board, Packet};
use crate::daemon::Daemon;

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

/// A PUBLISH with those flags.
fn publish(topic: &[u8], flags: u8) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic);
    if flags & 0b110 != 0 {
        body.extend_from_slice(&[0, 1]);
    }
    board::packet(0x30 | flags, &body)
}

/// What is wrong, its bytes, and as what it is counted.
type Bad = (&'static str, Vec<u8>, Why);

fn after_connect() -> Vec<Bad> {
    let large = [&[0x32, 0xFF, 0xFF, 0xFF, 0x7F][..], &[b'x'; 1000]].concat();
    vec![
        (
            "a second CONNECT",
            board::connect_packet("bad", "enrol", "x"),
            Why::Fault("second_connect"),
        ),
        ("a packet of 256 MiB", large, Why::Fault("packet_too_long")),
        (
            "a length of five bytes",
            vec![0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            Why::Fault("bad_length"),
        ),
        ("QoS 3", publish(b"boards/bad/up/a", 0b110), Why::Fault("reserved_qos")),
        ("a wildcard in a topic", publish(b"boards/bad/up/#", 2), Why::Fault("bad_topic")),
        ("a NUL in a topic", publish(b"boards/bad/up/\0", 2), Why::Fault("nul_in_string")),
        ("a topic that is no UTF-8", publish(b"boards/bad/up/\xFF", 2), Why::Fault("not_utf8")),
        ("an empty topic", publish(b"", 2), Why::Fault("bad_topic")),
        (
            "another board's topic",
            publish(b"boards/other/up/a", 2),
            Why::Refused("publish_not_authorised"),
        ),
        ("the system's topic", publish(b"$SYS/x", 2), Why::Refused("publish_not_authorised")),
        (
            "reserved flags",
            board::packet(0x81, &[0, 1, 0, 1, b'a', 0]),
            Why::Fault("reserved_flags"),
        ),
        ("a subscription to nothing", board::packet(0x82, &[0, 1]), Why::Fault("no_filter")),
        ("packet type 0", board::packet(0x00, &[]), Why::Fault("reserved_type")),
        ("packet type 15", board::packet(0xF0, &[]), Why::Fault("reserved_type")),
        (
            "packet id 0",
            board::packet(0x32, b"\0\x0fboards/bad/up/a\0\0"),
            Why::Fault("zero_packet_id"),
        ),
    ]
}

fn before_connect() -> Vec<Bad> {
    vec![
        ("PUBLISH before CONNECT", publish(b"boards/bad/up/a", 0), Why::Fault("not_connected")),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Why::Fault("not_connected")),
        (
            "TLS",
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 0, 0, 0, 0],
            Why::Fault("reserved_flags"),
        ),
        (
            "another protocol's name",
            board::packet(0x10, b"\0\x04HTTP\x04\x02\0\x3c\0\x01a"),
            Why::Fault("bad_protocol_name"),
        ),
        ("a long length", vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], Why::Fault("bad_length")),
    ]
}

pub(super) fn mqtt() {
    let mut scene = Scene::new();
    for (what, bytes, why) in after_connect() {
        scene.ended(why, what, |daemon| mqtt_closed(daemon, true, &bytes));
    }
    for (what, bytes, why) in before_connect() {
        scene.ended(why, what, |daemon| mqtt_closed(daemon, false, &bytes));
    }
    // [MQTT-3.1.2-2]: said in the words of 3.1.1 to what came before it, of 5.0 to what comes after.
    for (what, level, code) in [("an old level", 2, 1), ("a level to come", 9, 0x84)] {
        scene.ended(Why::Refused("unacceptable_version"), what, |daemon| {
            let mut board = Board::open(daemon.ports.mqtt).unwrap();
            let body = [b"\0\x04MQTT", &[level][..], b"\x02\0\x3c\0\x01a"].concat();
            board.write(&board::packet(0x10, &body)).unwrap();
            assert_eq!(board.receive().unwrap(), Packet::Connack(code));
            assert!(board.is_closed_within(CUT_OFF));
        });
    }
    scene.ended(Why::Fault("packet_too_long"), "a client id of 60 kB", |daemon| {
        let id = "x".repeat(60_000);
        let refused = Board::connect(daemon.ports.mqtt, &id, "enrol", &daemon.enrolment());
        assert!(!matches!(refused, Ok(Ok(_))), "{refused:?}");
    });
    scene.end();
}
