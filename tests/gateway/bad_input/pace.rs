//! Too slow, too fast, too many, and noise.

use super::{CUT_OFF, Scene};
use crate::board::{self, Board, Packet};
use crate::cpe::{Cpe, post};
use crate::daemon::{Daemon, until};
use crate::http::Connection;
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn slow_and_half_open() {
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

/// A byte a second: each comes in time, the body never does. It is told so, and a session
/// that waits for it ends.
pub(super) fn a_byte_a_second() {
    let mut scene = Scene::new();
    let port = scene.daemon.ports.cwmp;
    let mut slow: Vec<_> = (0..20).map(|_| Connection::open(port).unwrap()).collect();
    let inform = Cpe::new(0, "SLOW0001", "").inform(&[("1 BOOT", "")]);
    assert_eq!(post(&mut slow[0], &[], &inform).unwrap().status, 200);
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n<";
    slow.iter_mut().for_each(|it| it.write(head).unwrap());
    for _ in 0..3 {
        scene.all_is_well();
        thread::sleep(Duration::from_secs(1));
        for connection in &mut slow {
            let _ = connection.write(b" ");
        }
    }
    for connection in &mut slow {
        assert_eq!(connection.answer().unwrap().status, 408);
    }
    let cut = scene.daemon.counted("lastmile_listen_faults_total", &["slow_body"]);
    assert!(cut >= 20.0, "{cut}");
    let ended = |reason| scene.daemon.counted("lastmile_cwmp_sessions_ended_total", &[reason]);
    assert!(ended("silent") + ended("malformed") >= 1.0, "{}", scene.daemon.metrics());
    scene.end();
}

/// Whatever comes: nobody else feels it.
pub(super) fn random_bytes() {
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
pub(super) fn a_flood_slows_itself_alone() {
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
    let begun = Instant::now();
    for _ in 0..10 {
        calm.publish_and_wait("boards/calm/up/a", b"{}").unwrap();
    }
    let calm_took = begun.elapsed();
    let took = flood.join().unwrap();
    assert!(took > Duration::from_secs(1), "60 at 20 a second in {took:?}");
    assert!(calm_took < took, "{calm_took:?} beside {took:?}");
}

pub(super) fn connections_are_bounded() {
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
