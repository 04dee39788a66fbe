//! A graceful stop: in order, in time, with nothing lost; and at once for who asks twice.

use crate::backend::{Backend, Mood};
use crate::board::Board;
use crate::calls::Called;
use crate::cpe::{Cpe, post};
use crate::daemon::{Daemon, until};
use crate::http::{self, PATIENCE};
use crate::load::Load;
use crate::water_point::{NICKNAME, WaterPoint, takes};
use lastmile_daraja::{Behaviour, Fate};
use libtest_mimic::Trial;
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// What the tests of peers that hold it up configure as `shutdown.grace`.
const SHORT_GRACE: Duration = Duration::from_secs(5);
/// PINGREQ: two bytes that are answered by two.
const DEAF_PACKET: [u8; 2] = [0xC0, 0];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "stopping::sigterm_under_load_loses_nothing",
            sigterm_under_load_loses_nothing,
        ),
        crate::trial("stopping::what_is_kept_is_delivered_first", what_is_kept_is_delivered_first),
        crate::trial("stopping::a_second_signal_stops_at_once", a_second_signal_stops_at_once),
        crate::trial("stopping::the_service_manager_is_told", the_service_manager_is_told),
        crate::trial("stopping::a_prompt_under_way_is_heard_out", a_prompt_under_way_is_heard_out),
        crate::trial("stopping::a_dead_provider_does_not_hold_it_up", dead_provider),
        crate::trial("stopping::idle_peers_do_not_hold_it_up", idle_peers_do_not_hold_it_up),
        crate::trial("stopping::half_a_body_does_not_hold_it_up", half_a_body_does_not_hold_it_up),
        crate::trial(
            "stopping::a_deaf_board_does_not_hold_it_up",
            a_deaf_board_does_not_hold_it_up,
        ),
    ]
}

fn sigterm_under_load_loses_nothing() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[("shutdown", "grace = \"10s\"")]);
    let load = Load::start(&daemon);
    for round in 0..3 {
        backend.be(if round == 1 { Mood::Refuses(503) } else { Mood::Accepts });
        load.wait_for_more(10);
        let asked = Instant::now();
        daemon.signal("TERM");
        let status = daemon.wait_within(PATIENCE).expect("it stops");
        // A stage that did not empty in time says so by its status: here the backend refuses.
        assert_eq!(status.code(), Some(0), "round {round}: {status} {}", daemon.log());
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?} is over the grace");
        daemon.start_again();
    }
    backend.be(Mood::Accepts);
    load.stop().assert_arrived(&backend);
}

fn what_is_kept_is_delivered_first() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    backend.be(Mood::Stalls);
    let mut board = Board::enrol(daemon.ports.mqtt, "last", &daemon.enrolment());
    for number in 0..50 {
        let payload = format!("{{\"n\":{number}}}");
        board.publish_and_wait("boards/last/up/a", payload.as_bytes()).unwrap();
    }
    daemon.signal("TERM");
    assert!(board.is_closed_within(PATIENCE), "its session ends");
    backend.be(Mood::Accepts);
    let status = daemon.wait_within(PATIENCE).expect("it stops");
    assert_eq!(status.code(), Some(0));
    let telemetry = backend.accepted();
    let telemetry = telemetry.iter().filter(|it| it.kind == "lastmile.telemetry.received");
    assert_eq!(telemetry.count(), 50, "delivered within the grace");
}

fn a_second_signal_stops_at_once() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[("shutdown", "grace = \"60s\"")]);
    backend.be(Mood::Stalls);
    let mut board = Board::enrol(daemon.ports.mqtt, "twice", &daemon.enrolment());
    board.publish_and_wait("boards/twice/up/a", b"{\"n\":1}").unwrap();
    daemon.signal("TERM");
    // It has heard the first once it takes nobody new.
    assert!(board.is_closed_within(PATIENCE));
    assert!(daemon.wait_within(Duration::from_secs(1)).is_none(), "it gives the backend its grace");
    daemon.signal("TERM");
    let status = daemon.wait_within(Duration::from_secs(5)).expect("it stops at once");
    assert_ne!(status.code(), Some(0), "not all was done: {status}");
    backend.be(Mood::Accepts);
    daemon.start_again();
    let event = backend.wait_for("lastmile.telemetry.received", "mqtt:twice");
    assert_eq!(event.data["payload"]["n"], 1);
}

fn idle_peers_do_not_hold_it_up() {
    let mut daemon = Daemon::start(None, &[]);
    let mut board = Board::enrol(daemon.ports.mqtt, "idle", &daemon.enrolment());
    let mut idle = http::Connection::open(daemon.ports.cwmp).unwrap();
    let mut operator = http::Connection::open(daemon.ports.operator).unwrap();
    assert_eq!(operator.request("GET", "/livez", &[], b"").unwrap().status, 200);
    let mut phone = http::Connection::open(daemon.ports.public).unwrap();
    phone.write(b"POST /ussd/home/x HTTP/1.1\r\n").unwrap();
    // In mid-session: its Inform is answered, its next POST never comes.
    let cpe = Cpe::new(daemon.ports.cwmp, "IDLE0001", &daemon.enrolment());
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let asked = Instant::now();
    daemon.signal("TERM");
    let status = daemon.wait_within(PATIENCE).expect("it stops");
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(21), "{took:?}: idle peers took the whole grace and more");
    assert!(board.is_closed_within(PATIENCE) && idle.is_closed_within(PATIENCE));
}

/// A stop with a peer that would hold it up; what is kept must be delivered all the same.
fn assert_stops_within_its_grace(daemon: &mut Daemon, backend: &Backend) {
    let mut board = Board::enrol(daemon.ports.mqtt, "witness", &daemon.enrolment());
    backend.be(Mood::Stalls);
    for number in 0..20 {
        let payload = format!("{{\"n\":{number}}}");
        board.publish_and_wait("boards/witness/up/a", payload.as_bytes()).unwrap();
    }
    let asked = Instant::now();
    daemon.signal("TERM");
    assert!(board.is_closed_within(PATIENCE), "it has heard the signal");
    backend.be(Mood::Accepts);
    let status = daemon.wait_within(PATIENCE).expect("it stops");
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "after {took:?}: {status} {}", daemon.log());
    assert!(took < SHORT_GRACE, "{took:?} is over the grace");
    let delivered = backend.accepted();
    let telemetry = delivered
        .iter()
        .filter(|it| it.kind == "lastmile.telemetry.received" && it.subject == "mqtt:witness");
    assert_eq!(telemetry.count(), 20, "delivered within the grace");
}

fn half_a_body_does_not_hold_it_up() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[("shutdown", "grace = \"5s\"")]);
    // Without a password, which is refused once the body is there, and with one, which is read.
    let mut stranger = http::Connection::open(daemon.ports.cwmp).unwrap();
    stranger.write(&half_a_request("")).unwrap();
    let inform = Cpe::new(daemon.ports.cwmp, "HALF0001", &daemon.enrolment());
    let mut known = http::Connection::open(daemon.ports.cwmp).unwrap();
    let challenge = post(&mut known, &[], &inform.inform(&[("1 BOOT", "")])).unwrap();
    let authorization = inform.sign(&challenge).unwrap();
    known.write(&half_a_request(&format!("Authorization: {authorization}\r\n"))).unwrap();
    assert_stops_within_its_grace(&mut daemon, &backend);
    assert!(stranger.is_closed_within(PATIENCE) && known.is_closed_within(PATIENCE));
}

fn half_a_request(header: &str) -> Vec<u8> {
    let head = "POST /acs HTTP/1.1\r\nHost: gateway\r\nContent-Type: text/xml\r\n";
    format!("{head}{header}Content-Length: 4000\r\n\r\n<half of an envelope").into_bytes()
}

fn a_deaf_board_does_not_hold_it_up() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[("shutdown", "grace = \"5s\"")]);
    let mut deaf = Board::enrol(daemon.ports.mqtt, "deaf", &daemon.enrolment());
    // Asks and never reads an answer, until neither side's buffers take more.
    deaf.stuff(&DEAF_PACKET.repeat(8192)).unwrap();
    assert_stops_within_its_grace(&mut daemon, &backend);
    drop(deaf);
}

/// systemd's protocol: a datagram when it is up, one when it stops, one in each half interval.
fn the_service_manager_is_told() {
    let mut daemon = Daemon::prepare(None, &[]);
    let socket = daemon.path("notify");
    let notified = UnixDatagram::bind(&socket).unwrap();
    notified.set_read_timeout(Some(PATIENCE)).unwrap();
    let interval_us = "1000000";
    let environment =
        [("NOTIFY_SOCKET", socket.as_os_str()), ("WATCHDOG_USEC", interval_us.as_ref())];
    daemon.spawn_with(&environment);
    let wait_for = |what: &str| loop {
        let mut datagram = [0; 256];
        let length = notified.recv(&mut datagram).unwrap_or_else(|_| panic!("{what} never came"));
        if String::from_utf8_lossy(&datagram[..length]).lines().any(|line| line == what) {
            return;
        }
    };
    wait_for("READY=1");
    let port = daemon.ports.operator;
    let ready = http::once(port, "GET", "/readyz", &[], b"").expect("ready means ready");
    assert_eq!(ready.status, 200);
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    daemon.signal("TERM");
    wait_for("STOPPING=1");
    assert_eq!(daemon.wait_within(PATIENCE).unwrap().code(), Some(0));
}

const PAYER: &str = "+254711000301";
const NEIGHBOUR: &str = "+254711000302";
const MOMENT: Duration = Duration::from_millis(20);

/// Somebody has asked to pay, and the prompt is asked for of a provider that takes so long to answer.
fn paying(answers_after: Duration, settings: &[(&str, &str)]) -> WaterPoint {
    let patient = |it: String| it.replace("timeout = \"2s\"", "timeout = \"30s\"");
    let quick = Behaviour { answers_within: (MOMENT, MOMENT * 2), ..Behaviour::kind() };
    let point = WaterPoint::start((1, quick.clone()), Called::start(takes), settings, patient);
    point.furnish(&[]);
    let network = point.network();
    let buys = |number: &str| {
        let talk = |word: &str, keys: &[&str]| {
            network.talk((&format!("{word}-{}", &number[1..]), number), keys, true).unwrap()
        };
        let keys = ["1", "1", "Asha", "Njeri", "0042", NICKNAME];
        assert!(talk("registers", &keys).contains("You are registered"));
        point.provider.decide(&number[1..], Fate::Pays { after: MOMENT });
        assert!(talk("buys", &["0042", "2", "1"]).contains("ask for your PIN"));
        let is_asked = || point.provider.pushes(&number[1..]) == 1;
        assert!(until(PATIENCE, is_asked), "{:?}", point.payments());
    };
    // The first brings the token.
    buys(NEIGHBOUR);
    point.code_sent_to(NEIGHBOUR);
    let answers_within = (answers_after, answers_after + MOMENT);
    point.provider.behave(Behaviour { answers_within, ..quick });
    buys(PAYER);
    point
}

/// The payment that is under way.
fn payment(point: &WaterPoint) -> Value {
    let is_his = |it: &Value| it["device"] == format!("msisdn:{PAYER}").as_str();
    point.payments().into_iter().find(is_his).unwrap()
}

/// The prompt is on the phone, and its answer on the way: after the next start it is known whose it is.
fn a_prompt_under_way_is_heard_out() {
    let mut point = paying(Duration::from_millis(1_200), &[]);
    assert_eq!(payment(&point)["state"], "requesting");
    point.daemon.signal("TERM");
    let status = point.daemon.wait_within(PATIENCE).expect("it stops");
    assert_eq!(status.code(), Some(0), "{}", point.daemon.log());
    point.provider.behave(Behaviour { answers_within: (MOMENT, MOMENT * 2), ..Behaviour::kind() });
    point.daemon.start_again();
    let payment = payment(&point);
    assert!(!payment["checkout"].is_null(), "its answer is lost: {payment}");
    assert!(payment["checkout_is_claimed"].is_null(), "{payment}");
    point.code_sent_to(PAYER);
    assert_eq!(point.provider.pushes(&PAYER[1..]), 1);
}

/// It has half of the grace and no more; what was cut off is as after a crash.
fn dead_provider() {
    const HANGS: Duration = Duration::from_secs(25);
    let mut point = paying(HANGS, &[("shutdown", "grace = \"5s\"")]);
    let asked = Instant::now();
    point.daemon.signal("TERM");
    let status = point.daemon.wait_within(PATIENCE).expect("it stops");
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status} {}", point.daemon.log());
    assert!(took >= SHORT_GRACE / 2 && took < SHORT_GRACE, "{took:?}");
    point.daemon.start_again();
    assert_eq!(payment(&point)["state"], "requesting");
}
