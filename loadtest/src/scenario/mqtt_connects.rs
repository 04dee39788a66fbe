//! Connections a second, against our daemon or any other server.

use super::build;
use super::conduct::Conductor;
use super::{Error, Verdict, fleet, mqtt_wave};
use crate::args::MqttConnects;
use crate::board::{Caller, LinkError, Way, connect};
use crate::meter::Kind;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Wait after a failed connection, so that a server that is gone is not stormed.
const BREATHE: Duration = Duration::from_millis(100);

/// Runs it.
pub(super) async fn run(args: MqttConnects) -> Result<Verdict, Error> {
    if args.boards == 0 || args.parallel == 0 {
        return Err(Error::Zero("--boards and --parallel"));
    }
    if args.once { mqtt_wave::run(args).await } else { steady(args).await }
}

async fn steady(args: MqttConnects) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let world = build::Roll::default().world(common)?;
    build::backend(common, &world, &end).await?;
    let way = Arc::new(build::way(&world, &args.way)?);
    let mut conductor = Conductor::new("mqtt-connects", &world, end, common);
    let turn = Arc::new(Turn {
        next: AtomicU32::new(0),
        boards: args.boards,
        addresses: args.addresses,
        fleet: common.fleet.clone(),
    });
    for _ in 0..args.parallel.min(args.boards) {
        conductor.add(go_round(Arc::clone(&world), Arc::clone(&way), Arc::clone(&turn)));
    }
    conductor.run(common).await
}

/// Whose turn it is.
struct Turn {
    next: AtomicU32,
    boards: u32,
    addresses: u8,
    fleet: String,
}

/// One connection after another, each of the next board.
async fn go_round(world: Arc<World>, way: Arc<Way>, turn: Arc<Turn>) {
    let mut is_known = false;
    while !world.is_over() {
        let index = turn.next.fetch_add(1, Ordering::Relaxed) % turn.boards;
        let began = Instant::now();
        match cycle(&world, &way, &turn, index).await {
            Ok(()) => {
                world.meter.record(Kind::MqttCycle, index, began.elapsed());
                if !is_known {
                    is_known = true;
                    world.is_ready();
                }
            }
            Err(error) => {
                world.meter.error(Kind::MqttCycle, error.to_string());
                sleep(BREATHE).await;
            }
        }
    }
}

async fn cycle(world: &World, way: &Way, turn: &Turn, index: u32) -> Result<(), LinkError> {
    let began = Instant::now();
    let client_id = format!("{}B{index:07}", turn.fleet);
    let caller = Caller {
        client_id: &client_id,
        keep_alive_s: 60,
        expiry_s: 0,
        from: fleet::address(index, turn.addresses),
        pace: None,
    };
    let link = connect(way, &caller).await?;
    world.meter.record(Kind::MqttConnect, index, began.elapsed());
    link.end_and_wait().await
}
