//! Who is slow: a board that does not read, and a store that does not come back. Neither makes the
//! daemon grow, and neither loses anything.

use crate::backend::Backend;
use crate::board::{Board, Packet};
use crate::broker::token;
use crate::daemon::{Daemon, until};
use crate::five::{Five, Hello};
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use rumqttc::v5::mqttbytes::QoS;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, run| crate::trial(&format!("stalls::{name}"), run);
    vec![
        trial("a_stuck_board_goes_and_loses_nothing", a_stuck_board_goes_and_loses_nothing),
        trial("a_slow_store_is_waited_for", a_slow_store_is_waited_for),
    ]
}

/// How many messages the stuck board does not read, and bytes of each: more than sockets hold.
const MESSAGES: usize = 200;
const MESSAGE_LEN: usize = 200_000;
/// Those after which the memory is measured, which must not grow with the others by half of them.
const WARM_UP: usize = 110;
const GROWTH_MAX: u64 = 9 << 20;

fn a_stuck_board_goes_and_loses_nothing() {
    let bounds = "slow_reader_timeout = \"3s\"\nqueue_bytes_max = \"64 MiB\"\n\
                  inflight_max = 10000";
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("mqtt", bounds)]);
    let hello = Hello::board(&daemon, "stuck");
    let mut stuck = Five::connect(&daemon, &hello);
    stuck.subscribe("boards/stuck/down/#", QoS::AtLeastOnce, None);
    let writer = token(&daemon, "writer", &["boards/+/down/#"], &[]);
    let mut writer = Five::connect(&daemon, &Hello::program("writer", &writer));
    let mut before = 0;
    for n in 0..MESSAGES {
        let payload = format!("{n:05}{}", "x".repeat(MESSAGE_LEN));
        writer.publish_and_wait("boards/stuck/down/x", payload, |_, _| {});
        if n == WARM_UP {
            before = daemon.memory();
        }
    }
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{} KiB", grown >> 10);
    let gone = || daemon.counted("lastmile_mqtt_disconnects_total", &["too_slow"]) == 1.0;
    assert!(until(PATIENCE, gone), "{}", daemon.metrics());
    let told = backend.wait_for("lastmile.device.disconnected", "mqtt:stuck");
    assert_eq!(told.data["cause"], "refused");
    drop(stuck);

    let mut board = Five::connect(&daemon, &hello);
    assert!(board.connack.session_present, "its session is kept");
    let mut got = BTreeSet::new();
    while got.len() < MESSAGES {
        let message = board.next();
        assert_eq!(message.payload.len(), 5 + MESSAGE_LEN);
        got.insert(std::str::from_utf8(&message.payload[..5]).unwrap().parse::<usize>().unwrap());
    }
    assert_eq!(got, (0..MESSAGES).collect());
    assert_eq!(daemon.counted("lastmile_mqtt_dropped_total", &[]), 0.0);
}

/// Holds the store for itself, as a disk that hangs does, until dropped.
pub(crate) struct Hold {
    runtime: tokio::runtime::Runtime,
    connection: Option<SqliteConnection>,
}

impl Hold {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let file = daemon.data().join("store.db");
        let connection = runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(file).busy_timeout(PATIENCE);
            let mut connection = options.connect().await.unwrap();
            connection.execute("BEGIN IMMEDIATE").await.unwrap();
            connection
        });
        Self { runtime, connection: Some(connection) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            self.runtime.block_on(async {
                connection.execute("ROLLBACK").await.unwrap();
                connection.close().await.unwrap();
            });
        }
    }
}

/// For how long the store hangs: twice the boards' patience, less than the daemon's.
const STALL: Duration = Duration::from_secs(3);
/// What the daemon may grow by meanwhile, in bytes: a fraction of what is sent to it.
const STALL_GROWTH_MAX: u64 = 4 << 20;

/// Sockets are not read meanwhile, and who is not read is not given up for his silence.
fn a_slow_store_is_waited_for() {
    const COUNT: u16 = 320;
    let daemon = Daemon::start(None, &[("mqtt", "keep_alive_max = \"1s\"")]);
    let secret = daemon.enrolment();
    let mut flooding = Board::enrol(daemon.ports.mqtt, "flood", &secret);
    let mut calm = Board::enrol(daemon.ports.mqtt, "calm", &secret);
    let (before, sent) = (daemon.memory(), AtomicUsize::new(0));
    let (hold, begun) = (Hold::of(&daemon), Instant::now());
    let calm_id = calm.publish("boards/calm/up/a", b"{\"n\":1}").unwrap();
    thread::scope(|scope| {
        let mut flood = flooding.twin();
        let sent = &sent;
        scope.spawn(move || {
            let pad = "x".repeat(64_000);
            for n in 1..=COUNT {
                flood.publish("boards/flood/up/a", format!("{n} {pad}").as_bytes()).unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 1..=3 {
            calm.set_patience((STALL / 3 * round).saturating_sub(begun.elapsed()));
            assert!(calm.receive().is_err(), "acknowledged, and not on disk");
        }
        let (taken, now) = (sent.load(Ordering::Relaxed), daemon.memory());
        assert!(taken < usize::from(COUNT), "all of {taken} were read");
        let grown = now.saturating_sub(before);
        assert!(grown < STALL_GROWTH_MAX, "{} KiB", grown >> 10);
        drop(hold);
        calm.set_patience(PATIENCE);
        assert_eq!(calm.receive().unwrap(), Packet::Puback(calm_id));
        // It waited in silence for longer than its keep-alive.
        calm.ping().unwrap();
        for n in 1..=COUNT {
            assert_eq!(flooding.receive().unwrap(), Packet::Puback(n));
        }
    });
}
