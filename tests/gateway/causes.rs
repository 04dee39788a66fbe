//! How a board's connection ends, what it is told of it, and the cause that its absence is told with.

use crate::backend::{Backend, Received};
use crate::bad_input::versions::{VERSIONS, Version};
use crate::board::{Board, Packet, connect_packet};
use crate::daemon::{Daemon, until};
use crate::five::{Five, Hello};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{DisconnectReasonCode, Packet as Packet5, PingReq};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("causes::who_falls_silent_is_given_up", who_falls_silent_is_given_up),
        crate::trial("causes::each_end_has_its_cause", each_end_has_its_cause),
        crate::trial("causes::a_stop_is_told", a_stop_is_told),
    ]
}

/// The cause with which that board's last absence was told.
fn cause(accepted: &[Received], board: &str) -> Option<String> {
    let subject = format!("mqtt:{board}");
    let told = accepted
        .iter()
        .rfind(|it| it.kind == "lastmile.device.disconnected" && it.subject == subject)?;
    Some(told.data["cause"].as_str().unwrap().to_owned())
}

fn ended(daemon: &Daemon, reason: &str) -> f64 {
    let reason = format!("reason=\"{reason}\"");
    daemon.counted("lastmile_mqtt_disconnects_total", &[&reason])
}

/// A CONNECT of 3.1.1 with that keep-alive.
fn hello(daemon: &Daemon, id: &str, keep_alive_s: u8) -> Vec<u8> {
    let mut packet = connect_packet(id, "enrol", &daemon.enrolment());
    assert!(packet[1] < 0x80, "a length of one byte");
    // Behind the header, the protocol's name, its level and the flags.
    packet[10..12].copy_from_slice(&[0, keep_alive_s]);
    packet
}

/// After one and a half times what it promised, or what it was told to keep.
fn who_falls_silent_is_given_up() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("mqtt", "keep_alive_max = \"2s\"")]);
    let silent = |id: &'static str, keep_alive_s: u8| {
        let (mut board, hello) =
            (Board::open(daemon.ports.mqtt).unwrap(), hello(&daemon, id, keep_alive_s));
        thread::spawn(move || {
            board.write(&hello).unwrap();
            assert_eq!(board.receive().unwrap(), Packet::Connack(0));
            let begun = Instant::now();
            assert!(board.is_closed_within(PATIENCE));
            begun.elapsed()
        })
    };
    // What it asks for holds; none, or more than may be, is the most that may be.
    let (asked, none, more) = (silent("asked", 1), silent("none", 0), silent("more", 200));
    let mut told = Five::connect(&daemon, &Hello::board(&daemon, "told"));
    assert_eq!(told.told().server_keep_alive, Some(2));
    let mut short = Hello::board(&daemon, "short");
    short.connect.keep_alive = 1;
    let mut pinging = Five::connect(&daemon, &short);
    assert_eq!(pinging.told().server_keep_alive, None, "as it asked");
    for round in 0..4 {
        thread::sleep(Duration::from_millis(700));
        pinging.send(&Packet5::PingReq(PingReq)).unwrap();
        pinging.wait(|packet| matches!(packet, Packet5::PingResp(_)));
        if round == 1 {
            // Any packet counts.
            told.subscribe("boards/told/down/#", QoS::AtMostOnce, None);
        }
    }
    let (asked, none, more) = (asked.join().unwrap(), none.join().unwrap(), more.join().unwrap());
    let within =
        |took: Duration, wanted: f64| (wanted - 0.1..wanted + 1.4).contains(&took.as_secs_f64());
    assert!(within(asked, 1.5), "{asked:?}");
    assert!(within(none, 3.0) && within(more, 3.0), "{none:?} {more:?}");
    assert_eq!(pinging.end(), Some(DisconnectReasonCode::KeepAliveTimeout), "now it is silent");
    assert_eq!(told.end(), Some(DisconnectReasonCode::KeepAliveTimeout));
    for board in ["asked", "none", "more", "short", "told"] {
        let told = backend.wait(board, PATIENCE, |it| cause(it, board).is_some());
        assert_eq!(cause(&told, board).unwrap(), "keep_alive", "{board}");
    }
    assert!(until(PATIENCE, || ended(&daemon, "keep_alive") == 5.0));
}

fn each_end_has_its_cause() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let secret = daemon.enrolment();
    let told_as = |board: &str| {
        let told = backend.wait(board, PATIENCE, |it| cause(it, board).is_some());
        cause(&told, board).unwrap()
    };
    for version in VERSIONS {
        for (what, bytes, wanted, reason) in [
            ("bye", vec![0xE0, 0], "normal", "disconnected"),
            ("rubbish", vec![0xF1, 0], "protocol", "reserved"),
            ("twice", version.connect("twice", "enrol", &secret), "protocol", "second_connect"),
            ("foreign", version.publish(2, b"boards/other/up/a", 1, b""), "refused", "publish_not"),
            ("gone", Vec::new(), "lost", "lost"),
        ] {
            let board = format!("{what}{version:?}").to_lowercase();
            let before = daemon.counted("lastmile_mqtt_disconnects_total", &[reason]);
            let mut raw = Board::open(daemon.ports.mqtt).unwrap();
            raw.write(&version.connect(&board, "enrol", &secret)).unwrap();
            assert_eq!(raw.receive().unwrap(), Packet::Connack(0));
            raw.write(&bytes).unwrap();
            if what == "foreign" && version == Version::V5 {
                // 5.0 has a word for it, and the connection goes on.
                raw.write(&[0xE0, 0]).unwrap();
                assert_eq!(told_as(&board), "normal");
                continue;
            }
            assert!(what == "gone" || raw.is_closed_within(PATIENCE), "{board}");
            drop(raw);
            assert_eq!(told_as(&board), wanted, "{board}");
            let after = || daemon.counted("lastmile_mqtt_disconnects_total", &[reason]);
            assert!(until(PATIENCE, || after() == before + 1.0), "{board}: {}", daemon.metrics());
        }
    }
}

/// Who is connected when the daemon stops hears it, and so does the backend.
fn a_stop_is_told() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let mut plain = Board::enrol(daemon.ports.mqtt, "plain", &daemon.enrolment());
    let mut five = Five::connect(&daemon, &Hello::board(&daemon, "five"));
    five.subscribe("boards/five/down/#", QoS::AtLeastOnce, None);
    daemon.signal("TERM");
    assert_eq!(five.end(), Some(DisconnectReasonCode::ServerShuttingDown));
    assert!(plain.is_closed_within(PATIENCE));
    assert_eq!(daemon.wait_within(PATIENCE).expect("it stops").code(), Some(0));
    // What was not delivered within its grace is after the next start.
    daemon.start_again();
    for board in ["plain", "five"] {
        let told = backend.wait(board, PATIENCE, |it| cause(it, board).is_some());
        assert_eq!(cause(&told, board).unwrap(), "shutdown", "{board}");
    }
}
