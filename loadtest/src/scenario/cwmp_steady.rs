//! Steady sessions as many as fit: a connection, an Inform without news, an empty POST, 204.

use super::conduct::Conductor;
use super::fleet::{self, BREATHE, Wanted};
use super::{Error, Verdict, equipment};
use crate::args::CwmpSteady;
use crate::cpe::Cpe;
use crate::world::World;
use std::sync::Arc;

/// Runs it.
pub(super) async fn run(args: CwmpSteady) -> Result<Verdict, Error> {
    let common = &args.common;
    if args.parallel == 0 || args.cpes < args.parallel {
        return Err(Error::Zero("--parallel, or --cpes less than it,"));
    }
    let wanted = Wanted {
        models: &args.models,
        count: args.cpes,
        fleet: &common.fleet,
        wakes: true,
        addresses: 0,
    };
    let fleet = fleet::muster(&wanted, &args.sign_in, common).await?;
    if args.equipment {
        let serials = fleet.cpes.iter().map(Cpe::serial).collect();
        equipment::put(&fleet.world, serials).await?;
    }
    let mut conductor = Conductor::new("cwmp-steady", &fleet.world, fleet.end, common);
    for worker in fleet::shares(fleet.cpes, args.parallel) {
        conductor.add(work(Arc::clone(&fleet.world), worker));
    }
    conductor.run(common).await
}

/// One session after another, of each router in turn; ready when all have been met.
async fn work(world: Arc<World>, mut cpes: Vec<Cpe>) {
    fleet::meet(&world, &mut cpes).await;
    world.is_ready();
    for at in (0..cpes.len()).cycle() {
        if world.stop.is_cancelled() {
            return;
        }
        if !cpes[at].once().await {
            tokio::time::sleep(BREATHE).await;
        }
    }
}
