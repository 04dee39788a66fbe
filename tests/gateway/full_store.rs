//! A full store: refused in each protocol's own words, delivered all the same, and open again by
//! itself.

use crate::backend::{Backend, Mood};
use crate::board::{Board, SERVER_UNAVAILABLE};
use crate::cpe::{Cpe, NoVisit};
use crate::daemon::{Daemon, until};
use crate::http::{self, PATIENCE};
use crate::ledger::{Fact, Ledger};
use crate::phone::Call;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// The smallest quota there is, in bytes.
const QUOTA: u64 = 16 << 20;
/// Bytes of one message; a few hundred fill the store.
const LARGE: usize = 64 << 10;
/// Longest way to a full store, and back.
pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("full_store::refuses_and_recovers", refuses_and_recovers),
        crate::trial("full_store::survives_a_kill", survives_a_kill),
    ]
}

fn full(backend: &Backend) -> (Daemon, Ledger) {
    let daemon = Daemon::start(Some(backend), &[("store", "quota = \"16 MiB\"")]);
    // Known while there was room.
    Board::enrol(daemon.ports.mqtt, "known", &daemon.enrolment()).disconnect();
    backend.wait_for("lastmile.device.disconnected", "mqtt:known");
    backend.be(Mood::Refuses(503));
    let ledger = fill(&daemon);
    (daemon, ledger)
}

/// Publishes until a store of the smallest quota takes no more; what was acknowledged.
pub(crate) fn fill(daemon: &Daemon) -> Ledger {
    let mut ledger = Ledger::default();
    let mut board = Board::enrol(daemon.ports.mqtt, "filler", &daemon.enrolment());
    // Nothing that could be written shorter.
    let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
    let mut letter = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from(chance >> 58).unwrap()).to_string().replace(['"', '\\'], "~")
    };
    let padding: String = (0..LARGE).map(|_| letter()).collect();
    for number in 1.. {
        assert!(number < 4 * QUOTA / LARGE as u64, "it takes more than its quota");
        let fact = Fact { subject: "mqtt:filler".to_owned(), kind: "telemetry", number };
        ledger.send(fact.clone());
        let payload = json!({"n": number, "padding": padding}).to_string();
        match board.publish_and_wait("boards/filler/up/a", payload.as_bytes()) {
            Ok(()) => ledger.acknowledge(fact),
            Err(error) => {
                let is_silent = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(!is_silent, "neither acknowledged nor closed");
                break;
            }
        }
    }
    assert!(ledger.acknowledged("telemetry") > 20, "it took hardly anything");
    ledger
}

fn refuses_and_recovers() {
    let backend = Backend::start();
    let (daemon, mut ledger) = full(&backend);
    assert_refused(&daemon);
    let used: u64 = ["store.db", "store.db-wal"]
        .iter()
        .filter_map(|name| fs::metadata(daemon.data().join(name)).ok())
        .map(|file| file.len())
        .sum();
    assert!(used <= QUOTA + QUOTA / 4, "{used} bytes are over the quota");
    let alive = http::once(daemon.ports.operator, "GET", "/livez", &[], b"").unwrap();
    assert_eq!(alive.status, 200, "full is not dead");
    let ready = http::once(daemon.ports.operator, "GET", "/readyz", &[], b"").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("store_full"), "{}", ready.text());
    let read = daemon.call("GET", "/api/v1/devices/mqtt:known", &Value::Null);
    assert_eq!(read["id"], "mqtt:known", "reading goes on");

    backend.be(Mood::Accepts);
    accepts_again(&daemon, &mut ledger);
    ledger.assert_arrived(&backend);
}

fn assert_refused(daemon: &Daemon) {
    let secret = daemon.enrolment();
    let cpe = Cpe::new(daemon.ports.cwmp, "FULL0001", &secret);
    let Err(NoVisit::Refused(answer)) = cpe.visit(&[("0 BOOTSTRAP", "")]) else {
        panic!("an Inform was taken by a full store")
    };
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some(), "a CPE is told when to come back");
    let board = Board::connect(daemon.ports.mqtt, "known", "enrol", &secret).unwrap();
    assert_eq!(board.unwrap_err(), SERVER_UNAVAILABLE);
    let counted = daemon.counted("lastmile_listen_faults_total", &["mqtt", "\"store_full\""]);
    assert!(counted >= 1.0, "{counted}");
    let mut call =
        Call::begin(daemon.ports.public, &daemon.home(), "s-1", "+254711000008").unwrap();
    let said = call.dial().unwrap();
    assert!(said.starts_with("END We cannot serve you right now."), "{said}");
    let answer = daemon.api("PUT", "/api/v1/customers/c-1", &json!({}));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("store_full"), "{}", answer.text());
}

fn accepts_again(daemon: &Daemon, ledger: &mut Ledger) {
    let secret = daemon.enrolment();
    let is_open = || Board::connect(daemon.ports.mqtt, "known", "enrol", &secret).unwrap().is_ok();
    assert!(until(LONG, is_open), "it never took work again:\n{}", daemon.log());
    let mut board = Board::enrol(daemon.ports.mqtt, "known", &secret);
    let fact = Fact { subject: "mqtt:known".to_owned(), kind: "telemetry", number: 1 };
    ledger.send(fact.clone());
    board.publish_and_wait("boards/known/up/a", b"{\"n\":1}").unwrap();
    ledger.acknowledge(fact);
    let cpe = Cpe::new(daemon.ports.cwmp, "FULL0002", &secret);
    let fact = Fact { subject: cpe.id(), kind: "boot", number: 0 };
    ledger.send(fact.clone());
    let visited = until(PATIENCE, || cpe.visit(&[("0 BOOTSTRAP", "")]).is_ok());
    assert!(visited, "a CPE is not taken again");
    ledger.acknowledge(fact);
    let phone = "+254711000007";
    let fact = Fact { subject: format!("msisdn:{phone}"), kind: "call", number: 2 };
    ledger.send(fact.clone());
    let mut call = Call::begin(daemon.ports.public, &daemon.home(), "s_2", phone).unwrap();
    let said = call.dial().unwrap();
    assert!(said.starts_with("CON "), "{said}");
    ledger.acknowledge(fact);
    let ready = http::once(daemon.ports.operator, "GET", "/readyz", &[], b"").unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text());
}

fn survives_a_kill() {
    let backend = Backend::start();
    let (mut daemon, mut ledger) = full(&backend);
    daemon.kill();
    // It starts with no room, says that it is not ready, and delivers.
    daemon.spawn();
    let port = daemon.ports.operator;
    let is_up = || http::once(port, "GET", "/livez", &[], b"").is_ok_and(|it| it.status == 200);
    assert!(until(LONG, is_up), "a full store must not keep it from starting:\n{}", daemon.log());
    backend.be(Mood::Accepts);
    assert!(daemon.is_ready_within(LONG), "{}", daemon.log());
    accepts_again(&daemon, &mut ledger);
    ledger.assert_arrived(&backend);
}
