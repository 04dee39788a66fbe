//! Idle connections, for what one costs in memory.

use super::build::{self, Roll};
use super::conduct::{Conductor, finish};
use super::{Error, Verdict, fleet};
use crate::args::MqttIdle;
use crate::board::{Caller, Link, LinkError, Way, connect};
use crate::meter::Kind;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Connections that are being made at once.
const PARALLEL: u32 = 64;

/// How long an idle board is silent, in seconds: a quarter of an hour, so that pings do not blur the
/// memory.
const IDLE_KEEP_ALIVE_S: u16 = 900;

/// Rest before the memory is read, so that what was freed is counted as free.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs it.
pub(super) async fn run(args: MqttIdle) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let world = Roll::default().world(common)?;
    build::backend(common, &world, &end).await?;
    let way = Arc::new(build::way(&world, &args.way)?);
    // First each board once: what is remembered of a device is not what its connection costs.
    known_once(&world, &common.fleet, args.boards, args.addresses, &way).await;
    sleep(SETTLE).await;

    let mut conductor = Conductor::new("mqtt-idle", &world, end, common);
    conductor.wanted = args.boards;
    conductor.follower.begin();
    let before = conductor.follower.look().map_or(0, |sample| sample.rss_kib);
    let next = Arc::new(AtomicU32::new(0));
    world.meter.measure(true);
    for _ in 0..PARALLEL {
        let (world, next) = (Arc::clone(&world), Arc::clone(&next));
        let crowd = Crowd::new(&common.fleet, args.boards, args.addresses, &way);
        conductor.clients.spawn(async move { keep(&world, &next, &crowd).await });
    }
    conductor.warm_up(common.warm_up).await?;
    sleep(SETTLE).await;
    let after = conductor.follower.look().map_or(0, |sample| sample.rss_kib);
    let ready = world.ready();
    let mut report = conductor.measure(Duration::from_secs(common.seconds)).await;
    if conductor.follower.is_following() && ready > 0 {
        let each = f64::from(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX))
            / f64::from(ready);
        report.remarks.push(format!(
            "{ready} idle connections: {before} KiB before, {after} KiB with them: {each:.2} KiB each"
        ));
    }
    conductor.stop().await;
    conductor.end.cancel();
    finish(report, common)
}

/// Boards that do nothing but connect.
struct Crowd {
    fleet: String,
    count: u32,
    addresses: u8,
    way: Arc<Way>,
}

impl Crowd {
    fn new(fleet: &str, count: u32, addresses: u8, way: &Arc<Way>) -> Self {
        Self { fleet: fleet.to_owned(), count, addresses, way: Arc::clone(way) }
    }

    /// The next one's place.
    fn take(&self, next: &AtomicU32) -> Option<u32> {
        let index = next.fetch_add(1, Ordering::Relaxed);
        (index < self.count).then_some(index)
    }

    async fn connect(&self, world: &World, index: u32) -> Result<Link, LinkError> {
        let began = Instant::now();
        let client_id = format!("{}B{index:07}", self.fleet);
        let caller = Caller {
            client_id: &client_id,
            keep_alive_s: IDLE_KEEP_ALIVE_S,
            expiry_s: 0,
            from: fleet::address(index, self.addresses),
            pace: None,
        };
        let link = connect(&self.way, &caller).await?;
        world.meter.record(Kind::MqttConnect, index, began.elapsed());
        Ok(link)
    }
}

/// Connects each board once and lets it go, so that the daemon knows it.
pub(super) async fn known_once(
    world: &Arc<World>,
    fleet: &str,
    count: u32,
    addresses: u8,
    way: &Arc<Way>,
) {
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..PARALLEL {
        let (world, next) = (Arc::clone(world), Arc::clone(&next));
        let crowd = Crowd::new(fleet, count, addresses, way);
        workers.spawn(async move {
            while let Some(index) = crowd.take(&next) {
                let done = match crowd.connect(&world, index).await {
                    Ok(link) => link.end_and_wait().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    world.meter.error(Kind::MqttConnect, error.to_string());
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
}

/// Connects boards in turn with others, and keeps them until the load ends.
async fn keep(world: &World, next: &AtomicU32, crowd: &Crowd) {
    let mut links = Vec::new();
    while let Some(index) = crowd.take(next) {
        match crowd.connect(world, index).await {
            Ok(mut link) => {
                link.shrink();
                links.push(link);
                world.is_ready();
            }
            Err(error) => world.meter.error(Kind::MqttConnect, error.to_string()),
        }
    }
    world.stop.cancelled().await;
    for link in links {
        link.end().await;
    }
}
