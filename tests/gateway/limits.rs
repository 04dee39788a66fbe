//! What all boards together may do, and what one may; and that nothing is lost of who must wait.

use crate::backend::{Backend, Received};
use crate::board::{Board, Packet, SERVER_UNAVAILABLE};
use crate::daemon::{Daemon, until};
use crate::http::{Connection, PATIENCE};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("limits::boards_may_what_the_operator_says", acl),
        crate::trial("limits::a_tenants_publishes_are_slowed_and_none_is_lost", tenant_rate),
        crate::trial("limits::too_many_connects_are_told_to_come_back", connect_rate),
        crate::trial("limits::who_connects_in_a_loop_is_slowed_alone", reconnects),
        crate::trial("limits::an_address_has_so_many_connections", addresses),
        crate::trial("limits::who_is_back_in_time_was_never_away", back_in_time),
        crate::trial("limits::a_kill_loses_no_absence", killed_while_away),
        crate::trial("limits::a_boards_publishes_are_slowed_and_counted", board_rate),
        crate::trial("limits::a_device_more_than_may_be_is_told_apart", devices),
        crate::trial("limits::a_device_has_so_many_commands", commands),
    ]
}

fn acl() {
    let backend = Backend::start();
    let acl = "publish = [\"sensors/{client_id}/#\", \"shared/+\"]\n\
               subscribe = [\"news/#\", \"sensors/{device}/set\"]\ndeny = [\"news/private/#\"]";
    let daemon = Daemon::start(Some(&backend), &[("mqtt.acl", acl)]);
    let secret = daemon.enrolment();
    let mut board = Board::enrol(daemon.ports.mqtt, "free", &secret);
    board.publish_and_wait("sensors/free/temperature", b"{\"n\":1}").unwrap();
    board.publish_and_wait("shared/x", b"{\"n\":2}").unwrap();
    for (filter, code) in [
        ("news/today", 1),
        ("#", 1),
        ("sensors/free/set", 1),
        ("news/private/#", 0x80),
        ("sensors/other/set", 0x80),
        ("boards/free/down/#", 0x80),
    ] {
        assert_eq!(board.subscribe(filter).unwrap(), code, "{filter}");
    }
    for topic in ["boards/free/up/a", "sensors/other/temperature", "shared/x/y", "news/today"] {
        let mut board = Board::enrol(daemon.ports.mqtt, "bold", &secret);
        let _ = board.publish(topic, b"{}");
        assert!(board.is_closed_within(PATIENCE), "{topic}");
    }
    backend.wait("both", PATIENCE, |it| {
        let topics = it.iter().filter(|it| it.kind == "lastmile.telemetry.received");
        topics.count() == 2
    });
    let check = |acl: &str| {
        let faulty = Daemon::prepare(None, &[("mqtt.acl", acl)]);
        let said = faulty.command("check").output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr)
    };
    let said = check("publish = [\n  \"a/#/b\",\n]");
    assert!(said.contains("line ") && said.contains("mqtt.acl.publish[0]"), "{said}");
}

fn tenant_rate() {
    const EACH: u16 = 80;
    let daemon = Daemon::start(None, &[("mqtt", "publish_rate_tenant_max = 40")]);
    let (secret, port) = (daemon.enrolment(), daemon.ports.mqtt);
    let begun = Instant::now();
    let boards: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|id| {
            let mut board = Board::enrol(port, id, &secret);
            thread::spawn(move || {
                for _ in 0..EACH {
                    board.publish(&format!("boards/{id}/up/x"), b"{}").unwrap();
                }
                for wanted in 1..=EACH {
                    assert_eq!(board.receive().unwrap(), Packet::Puback(wanted));
                }
                board.ping().unwrap();
            })
        })
        .collect();
    boards.into_iter().for_each(|board| board.join().unwrap());
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(3), "160 at 40 a second in {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let slowed = ["reason=\"publish_rate_tenant\""];
    assert!(daemon.counted("lastmile_mqtt_slowed_total", &slowed) >= 2.0);
}

fn connect_rate() {
    let daemon = Daemon::start(None, &[("mqtt", "connect_rate_max = 3")]);
    let (secret, port) = (daemon.enrolment(), daemon.ports.mqtt);
    let connect =
        |number: u32| Board::connect(port, &format!("c{number}"), "enrol", &secret).unwrap();
    let (mut held, mut refused) = (Vec::new(), 0);
    for number in 0..30 {
        match connect(number) {
            Ok(board) => held.push(board),
            Err(SERVER_UNAVAILABLE) => refused += 1,
            Err(code) => panic!("{code}"),
        }
    }
    assert!(refused >= 10, "{refused} of 30");
    let counted = daemon.counted("lastmile_auth_failures_total", &["reason=\"connect_rate\""]);
    assert_eq!(counted, f64::from(refused));
    assert!(until(PATIENCE, || connect(0).is_ok()), "the next second has its own");
    held.iter_mut().skip(1).for_each(|board| board.ping().unwrap());
}

fn reconnects() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("mqtt", "reconnects_per_minute_max = 3")]);
    let (secret, port) = (daemon.enrolment(), daemon.ports.mqtt);
    // Not across the end of a minute.
    let loops = || {
        let mut taken = 0;
        for _ in 0..5 {
            let begun = Instant::now();
            match Board::connect(port, "loop", "enrol", &secret).unwrap() {
                Ok(board) => {
                    taken += 1;
                    board.disconnect();
                }
                Err(code) => {
                    assert_eq!(code, SERVER_UNAVAILABLE);
                    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
                }
            }
        }
        taken
    };
    let taken = loops();
    assert!((3..=4).contains(&taken) || loops() == 0, "{taken} of 5");
    let slowed = ["reason=\"reconnect_rate\""];
    let slowed_so_far = daemon.counted("lastmile_mqtt_slowed_total", &slowed);
    assert!(slowed_so_far >= 1.0);
    let mut calm = Board::enrol(port, "calm", &secret);
    calm.publish_and_wait("boards/calm/up/a", b"{}").unwrap();
    assert_eq!(daemon.counted("lastmile_mqtt_slowed_total", &slowed), slowed_so_far);
    // Who does not know its password cannot use up its tries.
    for _ in 0..6 {
        assert!(Board::connect(port, "victim", "enrol", "wrong").unwrap().is_err());
    }
    Board::enrol(port, "victim", &secret).disconnect();
}

fn addresses() {
    let daemon = Daemon::start(None, &[("mqtt", "connections_per_address_max = 3")]);
    let port = daemon.ports.mqtt;
    let held: Vec<_> = (0..3).map(|_| Connection::open(port).unwrap()).collect();
    let mut fourth = Connection::open(port).unwrap();
    assert!(fourth.is_closed_within(PATIENCE));
    let counted = ["protocol=\"mqtt\"", "connections_per_address_max"];
    assert!(until(PATIENCE, || daemon.counted("lastmile_listen_refused_total", &counted) >= 1.0));
    drop(held);
    let enters = || {
        Board::connect(port, "next", "enrol", &daemon.enrolment()).is_ok_and(|board| board.is_ok())
    };
    assert!(until(PATIENCE, enters), "places that were left are free");
}

/// What was told of coming and leaving, in order.
fn presence(accepted: &[Received]) -> Vec<String> {
    let told = accepted.iter().filter(|it| it.kind.ends_with("connected"));
    told.map(|it| it.data["cause"].as_str().unwrap_or("connected").to_owned()).collect()
}

fn is_online(daemon: &Daemon, id: &str) -> bool {
    daemon.call("GET", &format!("/api/v1/devices/mqtt:{id}"), &Value::Null)["online"] == true
}

fn back_in_time() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("mqtt", "presence_debounce = \"3s\"")]);
    let (secret, port) = (daemon.enrolment(), daemon.ports.mqtt);
    for round in 0..5 {
        let mut board = Board::enrol(port, "blinking", &secret);
        let payload = format!("{{\"n\":{round}}}");
        board.publish_and_wait("boards/blinking/up/a", payload.as_bytes()).unwrap();
        assert!(is_online(&daemon, "blinking"));
        drop(board);
        assert!(until(PATIENCE, || !is_online(&daemon, "blinking")), "the API says it at once");
    }
    // Taken over, which is leaving and coming at once.
    let _old = Board::enrol(port, "blinking", &secret);
    let new = Board::enrol(port, "blinking", &secret);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(presence(&backend.accepted()), ["connected"]);
    let left_at = Instant::now();
    new.disconnect();
    let told = backend.wait_for("lastmile.device.disconnected", "mqtt:blinking");
    assert!(left_at.elapsed() >= Duration::from_millis(2_900), "{:?}", left_at.elapsed());
    assert_eq!(told.data["cause"], "normal");
    Board::enrol(port, "blinking", &secret);
    let told = backend.wait("it comes", PATIENCE, |it| presence(it).len() == 3);
    assert_eq!(presence(&told), ["connected", "normal", "connected"]);
    let telemetry = told.iter().filter(|it| it.kind == "lastmile.telemetry.received");
    assert_eq!(telemetry.count(), 5);
}

fn killed_while_away() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[("mqtt", "presence_debounce = \"4s\"")]);
    let (secret, port) = (daemon.enrolment(), daemon.ports.mqtt);
    for id in ["gone", "back"] {
        drop(Board::enrol(port, id, &secret));
        assert!(until(PATIENCE, || !is_online(&daemon, id)));
    }
    daemon.kill();
    daemon.start_again();
    let mut back = Board::enrol(port, "back", &secret);
    backend.wait_for("lastmile.device.disconnected", "mqtt:gone");
    back.ping().unwrap();
    let _lost = Board::enrol(port, "lost", &secret);
    // Connected when it vanishes: one of them is back in time, again.
    daemon.kill();
    daemon.start_again();
    let _back = Board::enrol(port, "back", &secret);
    thread::sleep(Duration::from_secs(5));
    let told = backend.accepted();
    let of = |id: &str| {
        let own: Vec<_> = told.iter().filter(|it| it.subject == id).cloned().collect();
        presence(&own)
    };
    assert_eq!(of("mqtt:gone"), ["connected", "lost"], "once, and with its cause");
    assert_eq!(of("mqtt:back"), ["connected"]);
    assert_eq!(of("mqtt:lost"), ["connected", "lost"]);
}

fn board_rate() {
    let daemon = Daemon::start(None, &[("mqtt", "publish_rate_max = 5")]);
    let mut board = Board::enrol(daemon.ports.mqtt, "fast", &daemon.enrolment());
    for _ in 0..12 {
        board.publish("boards/fast/up/x", b"{}").unwrap();
    }
    for wanted in 1..=12 {
        assert_eq!(board.receive().unwrap(), Packet::Puback(wanted));
    }
    assert!(daemon.counted("lastmile_mqtt_slowed_total", &["reason=\"publish_rate\""]) >= 2.0);
    let up = || daemon.counted("lastmile_mqtt_messages_total", &["direction=\"up\""]);
    assert_eq!(up(), 12.0, "coming and going are no messages");
    // What is said in one breath with goodbye is one.
    let mut last = Board::enrol(daemon.ports.mqtt, "brief", &daemon.enrolment());
    last.write(b"\x30\x13\0\x11boards/brief/up/x\xE0\0").unwrap();
    assert!(last.is_closed_within(PATIENCE));
    assert_eq!(up(), 13.0);
}

fn devices() {
    let daemon = Daemon::start(None, &[("store", "devices_max = 1")]);
    let (secret, port) = (daemon.enrolment(), daemon.ports.mqtt);
    let mut first = Board::enrol(port, "first", &secret);
    first.publish_and_wait("boards/first/up/x", b"{}").unwrap();
    let second = Board::connect(port, "second", "enrol", &secret).unwrap();
    assert_eq!(second.unwrap_err(), SERVER_UNAVAILABLE);
    let faults = |code: &str| daemon.counted("lastmile_listen_faults_total", &["mqtt", code]);
    assert_eq!((faults("\"devices_max\""), faults("\"store_full\"")), (1.0, 0.0));
    let ended = || daemon.counted("lastmile_mqtt_disconnects_total", &["quota_exceeded"]);
    assert!(until(PATIENCE, || ended() >= 1.0));
    first.ping().unwrap();
}

fn commands() {
    let daemon = Daemon::start(None, &[("commands", "open_per_device_max = 2")]);
    Board::enrol(daemon.ports.mqtt, "busy", &daemon.enrolment()).disconnect();
    let command = json!({"kind": "publish", "topic": "boards/busy/down/x", "payload": "x"});
    let submit = || daemon.api("POST", "/api/v1/devices/mqtt:busy/commands", &command);
    let all: Vec<_> = (0..3).map(|_| submit()).collect();
    let codes: Vec<_> = all.iter().map(|it| it.status).collect();
    assert_eq!(codes, [202, 202, 429], "{}", all[2].text());
    assert!(all[2].text().contains("commands.open_per_device_max"), "{}", all[2].text());
}
