//! Ten thousand connections of clients that are almost right.

use super::versions::{Raw, VERSIONS, Version};
use crate::backend::Backend;
use crate::board::Board;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use std::time::{Duration, Instant};

const MUTATIONS: u32 = 10_000;
/// Those after which the memory is measured that must not grow with the others.
const WARM_UP: u32 = 3_000;
/// What it may grow by all the same, in bytes: what allocators keep, and some devices more. Six times as
/// many mutations were seen to add nothing.
const GROWTH_MAX: u64 = 16 << 20;
/// Connections that are left open, so that the daemon meets all ends of a connection.
const OPEN_MAX: usize = 32;

/// A generator of numbers that is the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// What a client may say, as it should be.
fn good(version: Version, client_id: &str, chance: &mut Chance) -> Vec<u8> {
    let topic = format!("boards/{client_id}/up/a");
    let topic = topic.as_bytes();
    let (id, payload) = (u16::from(chance.byte()) + 1, vec![b'7'; chance.below(100)]);
    match chance.below(9) {
        0 => version.publish(0, topic, id, &payload),
        1 | 2 => version.publish(2, topic, id, &payload),
        3 => version.publish(4, topic, id, &payload),
        4 => crate::board::packet(0x62, &id.to_be_bytes()),
        5 => version.subscribe(format!("boards/{client_id}/down/#").as_bytes(), 1),
        6 => crate::board::packet(0x40, &id.to_be_bytes()),
        7 => crate::board::packet(0xC0, &[]),
        _ => crate::board::packet(0xE0, &[]),
    }
}

fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len());
        match chance.below(6) {
            0 => bytes.insert(at, chance.byte()),
            1 if !bytes.is_empty() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let part = bytes[at..].to_vec();
                bytes.extend(part);
            }
            _ if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            _ => {}
        }
    }
}

pub(super) fn ten_thousand() {
    let backend = Backend::start();
    let mqtt = "failed_sign_ins_per_minute = 100000\nreconnects_per_minute_max = 1000000\n\
                connect_timeout = \"2s\"";
    // What is told of coming and leaving would fill the store's cache while it is measured.
    let settings = [("mqtt", mqtt), ("events", "presence = false")];
    let daemon = Daemon::start(Some(&backend), &settings);
    let secret = daemon.enrolment();
    let mut healthy = Board::enrol(daemon.ports.mqtt, "healthy", &secret);
    let (mut chance, mut open, mut before) = (Chance(0x9E37_79B9_7F4A_7C15), Vec::new(), 0);
    for round in 0..MUTATIONS {
        let version = VERSIONS[chance.below(3)];
        // Not all one board: each of its connections would wait for the last word of the one before.
        let client_id = format!("mutant{}", round % 61);
        let mut hello = version.connect(&client_id, "enrol", &secret);
        if chance.below(5) == 0 {
            mutate(&mut hello, &mut chance);
        }
        let mut said: Vec<u8> =
            (0..=chance.below(4)).flat_map(|_| good(version, &client_id, &mut chance)).collect();
        mutate(&mut said, &mut chance);
        let mut raw = Raw::open(daemon.ports.mqtt);
        raw.write(&hello);
        raw.write(&said);
        open.push(raw);
        if open.len() > OPEN_MAX {
            drop(open.swap_remove(chance.below(OPEN_MAX)));
        }
        if round % 250 == 0 {
            let begun = Instant::now();
            let payload = format!("{{\"n\":{round}}}");
            healthy.publish_and_wait("boards/healthy/up/a", payload.as_bytes()).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
        if round == WARM_UP {
            before = daemon.memory();
        }
    }
    drop(open);
    healthy.publish_and_wait("boards/healthy/up/a", b"{\"n\":\"last\"}").unwrap();
    let is_flat = || daemon.memory() < before + GROWTH_MAX;
    assert!(until(PATIENCE, is_flat), "{} MiB, now {} MiB", before >> 20, daemon.memory() >> 20);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    backend.wait("the healthy board's last", PATIENCE, |accepted| {
        accepted.iter().any(|it| it.data["payload"]["n"] == "last")
    });
    backend.assert_no_faults();
}
