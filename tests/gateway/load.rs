//! Mixed load: boards, routers and callers that go on through every crash and write down what they
//! were told is kept.

use crate::board::{Board, Packet};
use crate::cpe::{Cpe, NoVisit};
use crate::daemon::{Daemon, Ports, until};
use crate::http::{self, PATIENCE};
use crate::ledger::{Fact, Ledger};
use crate::phone::Call;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Publishes that a board has under way at once.
const WINDOW: usize = 5;
/// Between two rounds of one device, so that two processors carry load and daemon both.
const PAUSE: Duration = Duration::from_millis(4);
/// Between two tries to reach a daemon that is down.
const RETRY: Duration = Duration::from_millis(20);

/// Load under way.
#[derive(Debug)]
pub(crate) struct Load {
    peers: Peers,
    threads: Vec<JoinHandle<()>>,
}

/// What every peer of the load has.
#[derive(Clone, Debug)]
struct Peers {
    ports: Ports,
    enrolment: String,
    home: String,
    token: String,
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Load {
    /// Three boards, two routers, two callers, one operator.
    pub(crate) fn start(daemon: &Daemon) -> Self {
        let peers = Peers {
            ports: daemon.ports,
            enrolment: daemon.enrolment(),
            home: daemon.home(),
            token: daemon.token(),
            stop: Arc::default(),
            ledger: Arc::default(),
        };
        let mut threads = Vec::new();
        let mut add = |run: fn(&Peers, u32), index: u32| {
            let peers = peers.clone();
            threads.push(thread::spawn(move || run(&peers, index)));
        };
        (0..3).for_each(|index| add(board, index));
        (0..2).for_each(|index| add(router, index));
        (0..2).for_each(|index| add(caller, index));
        add(operator, 0);
        Self { peers, threads }
    }

    /// Waits until each protocol had `more` facts acknowledged than now.
    pub(crate) fn wait_for_more(&self, more: usize) {
        let kinds = ["telemetry", "boot", "call end"];
        let count = |kind: &str| self.peers.ledger.lock().unwrap().acknowledged(kind);
        let before = kinds.map(count);
        let goes_on =
            until(PATIENCE, || kinds.iter().zip(before).all(|(it, was)| count(it) >= was + more));
        assert!(goes_on, "{kinds:?} stand still at {before:?}, {:?}", kinds.map(count));
    }

    /// Ends it and gives what was written down.
    pub(crate) fn stop(self) -> Ledger {
        self.peers.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a peer of the load");
        }
        Arc::into_inner(self.peers.ledger).expect("all peers are gone").into_inner().unwrap()
    }
}

impl Peers {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn send(&self, fact: &Fact) {
        self.ledger.lock().unwrap().send(fact.clone());
    }

    fn acknowledge(&self, fact: Fact) {
        self.ledger.lock().unwrap().acknowledge(fact);
    }
}

fn board(peers: &Peers, index: u32) {
    let client_id = format!("load{index}");
    let mut number = 0;
    while peers.goes_on() {
        let connected = Board::connect(peers.ports.mqtt, &client_id, "enrol", &peers.enrolment);
        match connected {
            // Until the connection breaks; the daemon will be back.
            Ok(Ok(board)) => drop(publish(peers, board, &client_id, &mut number)),
            Ok(Err(_)) | Err(_) => thread::sleep(RETRY),
        }
    }
}

fn publish(peers: &Peers, mut board: Board, client_id: &str, number: &mut u64) -> io::Result<()> {
    let topic = format!("boards/{client_id}/up/state");
    let mut inflight: VecDeque<(u16, Fact)> = VecDeque::new();
    while peers.goes_on() {
        while inflight.len() < WINDOW {
            *number += 1;
            let subject = format!("mqtt:{client_id}");
            let fact = Fact { subject, kind: "telemetry", number: *number };
            peers.send(&fact);
            let id = board.publish(&topic, format!("{{\"n\":{number}}}").as_bytes())?;
            inflight.push_back((id, fact));
        }
        while let Some((expected, fact)) = inflight.pop_front() {
            // PUBACKs come in the order of the publishes [MQTT-4.6.0-2].
            let packet = board.receive()?;
            assert_eq!(packet, Packet::Puback(expected));
            peers.acknowledge(fact);
        }
        thread::sleep(PAUSE);
    }
    board.disconnect();
    Ok(())
}

fn router(peers: &Peers, index: u32) {
    let cpe = Cpe::new(peers.ports.cwmp, &format!("LOAD{index:08}"), &peers.enrolment);
    let mut number = 0;
    while peers.goes_on() {
        number += 1;
        cpe.set("DeviceInfo.UpTime", &number.to_string());
        let fact = Fact { subject: cpe.id(), kind: "boot", number };
        peers.send(&fact);
        let events: &[_] =
            if number == 1 { &[("0 BOOTSTRAP", ""), ("1 BOOT", "")] } else { &[("1 BOOT", "")] };
        match cpe.visit(events) {
            Ok(_) | Err(NoVisit::Broken { informed: true, .. }) => {
                peers.acknowledge(fact);
                thread::sleep(PAUSE);
            }
            Err(NoVisit::Broken { informed: false, .. } | NoVisit::Refused(_)) => {
                thread::sleep(RETRY);
            }
        }
    }
}

fn caller(peers: &Peers, index: u32) {
    let phone = format!("+25471100000{index}");
    let mut number = 0;
    while peers.goes_on() {
        number += 1;
        let fact = |kind| Fact { subject: format!("msisdn:{phone}"), kind, number };
        peers.send(&fact("call"));
        peers.send(&fact("call end"));
        let session = format!("ATUid_{index}_{number}");
        if call(peers, &session, &phone, &fact).is_err() {
            thread::sleep(RETRY);
        }
        thread::sleep(PAUSE);
    }
}

fn call(
    peers: &Peers,
    session: &str,
    phone: &str,
    fact: &impl Fn(&'static str) -> Fact,
) -> io::Result<()> {
    let mut call = Call::begin(peers.ports.public, &peers.home, session, phone)?;
    if !call.dial()?.starts_with("CON ") {
        return Err(io::Error::other("told to dial again"));
    }
    peers.acknowledge(fact("call"));
    if call.key("0")?.starts_with("END Goodbye") {
        peers.acknowledge(fact("call end"));
    }
    Ok(())
}

/// Makes a customer after the other.
fn operator(peers: &Peers, _: u32) {
    let bearer = format!("Bearer {}", peers.token);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let mut number = 0;
    while peers.goes_on() {
        number += 1;
        let id = format!("load-{number}");
        let path = format!("/api/v1/customers/{id}");
        match http::once(peers.ports.operator, "PUT", &path, &headers, b"{}") {
            Ok(answer) if answer.status == 201 => {
                peers.ledger.lock().unwrap().made_customer(id);
                thread::sleep(PAUSE);
            }
            _ => thread::sleep(RETRY),
        }
    }
}
