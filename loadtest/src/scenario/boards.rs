//! Boards in the field, which sleep, wake, and are gone without a word.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict};
use crate::args::Boards;
use crate::board::modem::{self, Counts, Habits};
use crate::board::{Pace, Version, Way};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs it.
pub(super) async fn run(args: Boards) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let boards: Vec<_> = (0..args.boards).map(|it| roll.add_board(&common.fleet, it)).collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;
    let way = build::way(&world, &args.way)?;
    let versions = match args.way.mqtt_version {
        Some(version) => vec![version],
        None => vec![Version::V4, Version::V5],
    };
    let ways: Vec<_> =
        versions.into_iter().map(|version| Arc::new(Way { version, ..way.clone() })).collect();

    let counts = Arc::new(Counts::default());
    let mut conductor = Conductor::new("boards", &world, end, common);
    for ((stream, client_id), at) in boards.into_iter().zip(0..) {
        let spec = modem::Spec {
            stream,
            client_id,
            way: Arc::clone(&ways[at as usize % ways.len()]),
            habits: habits(&args, at),
            offset: args.sleep * at / args.boards.max(1),
        };
        conductor.add(modem::run(Arc::clone(&world), spec, Arc::clone(&counts)));
    }
    conductor.warm_up(common.warm_up).await?;
    let mut report = conductor.measure(Duration::from_secs(common.seconds)).await;
    report.remarks.push(tell(&counts));
    conductor.close(report, common).await
}

fn habits(args: &Boards, index: u32) -> Habits {
    // Every so many-th has a slow link, so that a run can be made again.
    let is_slow = f64::from(index % 100) < args.slow * 100.0;
    Habits {
        sleep: args.sleep,
        listen: args.listen,
        messages: args.messages,
        status: args.status,
        cut: args.cut,
        vanish: args.vanish,
        firmware: args.ask_firmware,
        pace: is_slow.then_some(Pace { bytes: args.slow_bytes, pause: args.slow_pause }),
    }
}

fn tell(counts: &Counts) -> String {
    let count = |it: &AtomicU64| it.load(Ordering::Relaxed);
    format!(
        "{} wakings, {} of them with their session kept; {} messages sent again; {} connections \
         reset, {} left open; {} messages came down; {} questions for firmware, {} pieces of it \
         fetched, {} boards updated",
        count(&counts.wakings),
        count(&counts.resumed),
        count(&counts.again),
        count(&counts.resets),
        count(&counts.half_open),
        count(&counts.down),
        count(&counts.asked),
        count(&counts.pieces),
        count(&counts.updated),
    )
}
