//! First contacts: each session is that of a router that was never met, from `0 BOOTSTRAP` over the
//! base profile to the discovery of its data model.

use super::build::run_number;
use super::conduct::Conductor;
use super::fleet::{self, BREATHE, Wanted};
use super::{Error, Verdict};
use crate::args::CwmpBootstrap;
use crate::cpe::Cpe;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What all workers count.
#[derive(Debug, Default)]
struct Tally {
    over: AtomicU32,
    calls: AtomicU64,
    sessions: AtomicU64,
}

/// Runs it.
pub(super) async fn run(args: CwmpBootstrap) -> Result<Verdict, Error> {
    let common = &args.common;
    if args.parallel == 0 || args.cpes < args.parallel {
        return Err(Error::Zero("--parallel, or --cpes less than it,"));
    }
    let models = [args.model.clone()];
    // Another run's routers are no strangers any more.
    let strangers = format!("{}{:06X}", common.fleet, run_number() & 0x00FF_FFFF);
    let wanted =
        Wanted { models: &models, count: args.cpes, fleet: &strangers, wakes: true, addresses: 0 };
    let fleet = fleet::muster(&wanted, &args.sign_in, common).await?;
    let world = Arc::clone(&fleet.world);
    let tally = Arc::new(Tally::default());
    let mut conductor = Conductor::new("cwmp-bootstrap", &world, fleet.end, common);
    conductor.rest(common.warm_up).await;
    for worker in fleet::shares(fleet.cpes, args.parallel) {
        conductor.clients.spawn(work(Arc::clone(&world), worker, Arc::clone(&tally)));
    }
    let seconds = Duration::from_secs(common.seconds);
    let is_over = || tally.over.load(Ordering::Relaxed) >= args.parallel;
    let mut report = conductor.measure_until(seconds, is_over).await;
    let (calls, sessions) =
        (tally.calls.load(Ordering::Relaxed), tally.sessions.load(Ordering::Relaxed));
    if sessions > 0 {
        let each = calls / sessions;
        let model = &args.model;
        report.remarks.push(format!("{each} calls answered in each first contact of {model}"));
    }
    conductor.close(report, common).await
}

/// One first contact after another.
async fn work(world: Arc<World>, cpes: Vec<Cpe>, tally: Arc<Tally>) {
    for mut cpe in cpes {
        while !world.stop.is_cancelled() && !cpe.once().await {
            tokio::time::sleep(BREATHE).await;
        }
        if world.stop.is_cancelled() {
            return;
        }
        tally.calls.fetch_add(cpe.take_calls(), Ordering::Relaxed);
        tally.sessions.fetch_add(1, Ordering::Relaxed);
    }
    tally.over.fetch_add(1, Ordering::Relaxed);
}
