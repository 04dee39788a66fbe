//! Idle connections, for what one costs in memory.

use super::build::{self, Roll};
use super::conduct::{Conductor, finish};
use super::{Error, Verdict};
use crate::args::MqttIdle;
use crate::board::{Spec, lean};
use crate::meter::Kind;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Connections that are being made at once.
const PARALLEL: u32 = 64;

/// Rest before the memory is read, so that what was freed is counted as free.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs it.
pub(super) async fn run(args: MqttIdle) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let world = Roll::default().world(common)?;
    build::backend(common, &world, &end).await?;
    let credentials = super::mqtt_qos1::credentials(&world, args.user, args.password);
    // First each board once: what is remembered of a device is not what its connection costs.
    known_once(&world, &common.fleet, args.boards, credentials.as_ref()).await;
    sleep(SETTLE).await;

    let mut conductor = Conductor::new("mqtt-idle", &world, end, common);
    conductor.wanted = args.boards;
    conductor.follower.begin();
    let before = conductor.follower.look().map_or(0, |sample| sample.rss_kib);
    let next = Arc::new(AtomicU32::new(0));
    world.meter.measure(true);
    for _ in 0..PARALLEL {
        let (world, next) = (Arc::clone(&world), Arc::clone(&next));
        let (fleet, count) = (common.fleet.clone(), args.boards);
        let credentials = credentials.clone();
        conductor.clients.spawn(async move {
            keep(&world, &next, &fleet, count, credentials.as_ref()).await;
        });
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

fn spec(fleet: &str, index: u32, credentials: Option<&(String, String)>) -> Spec {
    Spec {
        stream: index,
        client_id: format!("{fleet}B{index:07}"),
        credentials: credentials.cloned(),
        window: 1,
        payload: 0,
        interval: None,
        offset: Duration::ZERO,
    }
}

/// Connects each board once and lets it go, so that the daemon knows it.
pub(super) async fn known_once(
    world: &Arc<World>,
    fleet: &str,
    count: u32,
    credentials: Option<&(String, String)>,
) {
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..PARALLEL {
        let (world, next) = (Arc::clone(world), Arc::clone(&next));
        let (fleet, credentials) = (fleet.to_owned(), credentials.cloned());
        workers.spawn(async move {
            while let Some(index) = take(&next, count) {
                let spec = spec(&fleet, index, credentials.as_ref());
                match lean::connect(&world, &spec, lean::IDLE_KEEP_ALIVE_S).await {
                    Ok(link) => link.end().await,
                    Err(error) => world.meter.error(Kind::MqttConnect, error.to_string()),
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
}

/// Connects boards in turn with others, and keeps them until the load ends.
async fn keep(
    world: &World,
    next: &AtomicU32,
    fleet: &str,
    count: u32,
    credentials: Option<&(String, String)>,
) {
    let mut links = Vec::new();
    while let Some(index) = take(next, count) {
        let spec = spec(fleet, index, credentials);
        match lean::connect(world, &spec, lean::IDLE_KEEP_ALIVE_S).await {
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

fn take(next: &AtomicU32, count: u32) -> Option<u32> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index < count).then_some(index)
}
