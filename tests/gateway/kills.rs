//! `kill -9` under load: what was acknowledged arrives, whatever is left of the process.

use crate::backend::{Backend, Mood};
use crate::daemon::Daemon;
use crate::load::Load;
use libtest_mimic::Trial;
use std::thread;
use std::time::Duration;

/// How often the daemon is killed when nobody asks for more.
const KILLS: u64 = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("kills::nothing_acknowledged_is_lost", nothing_acknowledged_is_lost),
        crate::trial("kills::nor_while_the_backend_refuses", nor_while_the_backend_refuses),
    ]
}

/// `LASTMILE_TEST_SEEDS`, for longer runs.
fn kills() -> u64 {
    let seeds = std::env::var("LASTMILE_TEST_SEEDS");
    seeds.map_or(KILLS, |it| it.parse().expect("LASTMILE_TEST_SEEDS is a number"))
}

/// A moment within the next 100 ms, another for each round.
fn jitter(round: u64) -> Duration {
    let mixed = round.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Duration::from_micros((mixed >> 32) % 100_000)
}

fn nothing_acknowledged_is_lost() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let load = Load::start(&daemon);
    for round in 0..kills() {
        load.wait_for_more(5);
        thread::sleep(jitter(round));
        daemon.kill();
        daemon.start_again();
    }
    load.wait_for_more(5);
    let ledger = load.stop();
    daemon.kill();
    daemon.start_again();
    ledger.assert_arrived(&backend);
    ledger.assert_customers(&daemon);
}

/// The backend answers 503, not at all, or takes a batch and cannot say so any more.
fn nor_while_the_backend_refuses() {
    let backend = Backend::start();
    let mut daemon = Daemon::start(Some(&backend), &[]);
    let load = Load::start(&daemon);
    for round in 0..kills() {
        backend.be(match round % 5 {
            0 | 1 => Mood::Refuses(503),
            2 => Mood::Stalls,
            3 => Mood::HangsUpLate,
            _ => Mood::Accepts,
        });
        load.wait_for_more(5);
        thread::sleep(jitter(round));
        daemon.kill();
        daemon.start_again();
    }
    backend.be(Mood::Accepts);
    load.stop().assert_arrived(&backend);
    assert!(backend.refused() > 0, "the backend never had a chance to refuse");
}
