//! All boards at once, each once: what a restart of the daemon brings.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict, fleet};
use crate::args::MqttConnects;
use crate::board::{Caller, LinkError, Way, connect};
use crate::meter::Kind;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the daemon is another process.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A board that was refused tries again after this, times a little chance.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Messages of a board: one when it is met, one in the wave.
const PAYLOAD_BYTES: usize = 200;

/// Runs it.
pub(super) async fn run(args: MqttConnects) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let boards: Vec<_> = (0..args.boards).map(|it| roll.add_board(&common.fleet, it)).collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;
    let way = build::way(&world, &args.way)?;
    let mut conductor = Conductor::new("mqtt-connects --once", &world, end, common);
    let room = build::sockets_max();
    let wave = Arc::new(Wave {
        world: Arc::clone(&world),
        way,
        addresses: args.addresses,
        sockets: Semaphore::new(room),
        begin: Barrier::new(boards.len() + 1),
        served: AtomicU32::new(0),
        failed: AtomicU32::new(0),
    });
    wave.meet(&boards, args.parallel).await;
    if args.await_restart {
        await_restart(&mut conductor, args.patience).await?;
    }

    for (stream, client_id) in boards {
        conductor.clients.spawn(Arc::clone(&wave).weather(stream, client_id));
    }
    wave.begin.wait().await;
    let is_over = || wave.served.load(Ordering::Relaxed) >= args.boards;
    let mut report = conductor.measure_until(args.patience, is_over).await;
    let (served, failed) =
        (wave.served.load(Ordering::Relaxed), wave.failed.load(Ordering::Relaxed));
    report.remarks.push(format!(
        "{served} of {} boards served in {:.1} s; {failed} tries failed",
        args.boards, report.seconds
    ));
    let sockets = usize::try_from(args.boards).unwrap_or(usize::MAX);
    if room < sockets {
        report.remarks.push(build::few_sockets(room, sockets));
    }
    if served < args.boards {
        report.broken.push(format!("every board is served: {} were not", args.boards - served));
    }
    conductor.close(report, common).await
}

/// Waits until the daemon is another process.
async fn await_restart(conductor: &mut Conductor, patience: Duration) -> Result<(), Error> {
    conductor.follower.begin();
    eprintln!("loadtest: all are met: start the daemon again");
    let began = Instant::now();
    while conductor.follower.restarts() == 0 {
        if began.elapsed() > patience {
            return Err(Error::NoRestart);
        }
        sleep(LOOK_EVERY).await;
        conductor.follower.look();
    }
    Ok(())
}

/// What happens to all of them.
struct Wave {
    world: Arc<World>,
    way: Way,
    addresses: u8,
    /// As many sockets as this program may have open.
    sockets: Semaphore,
    /// All begin together.
    begin: Barrier,
    served: AtomicU32,
    failed: AtomicU32,
}

impl Wave {
    /// The first contact of all, some at once. One that fails is news, and the wave finds it new.
    async fn meet(self: &Arc<Self>, boards: &[(u32, String)], parallel: u32) {
        let mut workers = JoinSet::new();
        for share in fleet::shares(boards.to_vec(), parallel) {
            let wave = Arc::clone(self);
            workers.spawn(async move {
                for (stream, client_id) in share {
                    let number = wave.world.ledger.offer(stream);
                    if let Err(error) = wave.report(stream, &client_id, number).await {
                        wave.world.meter.error(Kind::MqttConnect, error.to_string());
                    }
                }
            });
        }
        workers.join_all().await;
    }

    /// One board: until its fact is acknowledged.
    async fn weather(self: Arc<Self>, stream: u32, client_id: String) {
        self.begin.wait().await;
        let began = Instant::now();
        let number = self.world.ledger.offer(stream);
        let mut tries = 0;
        while !self.world.is_over() {
            let Ok(socket) = self.sockets.acquire().await else { return };
            if tries > 0 {
                self.world.ledger.offer_again(stream, number);
            }
            let done = self.report(stream, &client_id, number).await;
            drop(socket);
            match done {
                Ok(()) => {
                    self.world.meter.record(Kind::MqttServed, stream, began.elapsed());
                    self.served.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    self.world.meter.error(Kind::MqttServed, error.to_string());
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    tries += 1;
                    sleep(RETRY_AFTER + crate::board::reconnect_after(stream)).await;
                }
            }
        }
    }

    /// Connects, has one fact acknowledged, and goes.
    async fn report(&self, stream: u32, client_id: &str, number: u32) -> Result<(), LinkError> {
        let began = Instant::now();
        let caller = Caller {
            client_id,
            keep_alive_s: 60,
            expiry_s: 0,
            from: fleet::address(stream, self.addresses),
            pace: None,
        };
        let mut link = connect(&self.way, &caller).await?;
        self.world.meter.record(Kind::MqttConnect, stream, began.elapsed());
        let tag = self.world.ledger.tag(stream, number);
        let topic = format!("boards/{client_id}/up/telemetry");
        link.publish_one(&topic, &crate::board::payload(tag, PAYLOAD_BYTES)).await?;
        self.world.ledger.acknowledge(stream, number);
        // What follows its PUBACK is no matter of the board's.
        let _ = link.end_and_wait().await;
        Ok(())
    }
}
