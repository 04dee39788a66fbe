//! First contacts that end as the device's profile and the business's values say: discovery, the base
//! profile, WiFi on both bands, a telephone line, and reading back what was set.

use super::conduct::Conductor;
use super::fleet::{self, BREATHE, Wanted};
use super::{Error, Verdict, build, equipment};
use crate::args::CwmpProvision;
use crate::cpe::Cpe;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Sessions that a router may need until it is as wanted.
const SESSIONS_MAX: u32 = 3;

/// What all workers count.
#[derive(Debug, Default)]
struct Tally {
    over: AtomicU32,
    contacts: AtomicU64,
    sessions: AtomicU64,
    calls: AtomicU64,
    /// Routers that do not hold what they should.
    wrong: AtomicU64,
}

/// Runs it.
pub(super) async fn run(args: CwmpProvision) -> Result<Verdict, Error> {
    let common = &args.common;
    if args.parallel == 0 || args.cpes < args.parallel {
        return Err(Error::Zero("--parallel, or --cpes less than it,"));
    }
    let models = [args.model.clone()];
    // Another run's routers are no strangers any more.
    let strangers = format!("{}{:06X}", common.fleet, build::run_number() & 0x00FF_FFFF);
    let wanted =
        Wanted { models: &models, count: args.cpes, fleet: &strangers, wakes: true, addresses: 0 };
    let fleet = fleet::muster(&wanted, &args.sign_in, common).await?;
    let world = Arc::clone(&fleet.world);
    let serials = fleet.cpes.iter().map(Cpe::serial).collect();
    equipment::put(&world, serials).await?;
    let tally = Arc::new(Tally::default());
    let mut conductor = Conductor::new("cwmp-provision", &world, fleet.end, common);
    conductor.rest(common.warm_up).await;
    for worker in fleet::shares(fleet.cpes, args.parallel) {
        conductor.clients.spawn(work(Arc::clone(&world), worker, Arc::clone(&tally)));
    }
    let seconds = Duration::from_secs(common.seconds);
    let is_over = || tally.over.load(Ordering::Relaxed) >= args.parallel;
    let mut report = conductor.measure_until(seconds, is_over).await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (contacts, calls) = (count(&tally.contacts), count(&tally.calls));
    if let Some(each) = calls.checked_div(contacts) {
        let (model, sessions) = (&args.model, count(&tally.sessions));
        report.remarks.push(format!(
            "{contacts} routers ({model}) as wanted in {sessions} sessions, {each} calls each"
        ));
    }
    if count(&tally.wrong) > 0 {
        report.broken.push(format!("{} routers hold what they should", count(&tally.wrong)));
    }
    conductor.close(report, common).await
}

/// One first contact after another.
async fn work(world: Arc<World>, cpes: Vec<Cpe>, tally: Arc<Tally>) {
    for mut cpe in cpes {
        let mut sessions = 0;
        while (sessions == 0 || !equipment::is_held(&cpe))
            && sessions < SESSIONS_MAX
            && !world.stop.is_cancelled()
        {
            if cpe.once().await {
                sessions += 1;
            } else {
                tokio::time::sleep(BREATHE).await;
            }
        }
        if world.stop.is_cancelled() {
            return;
        }
        tally.wrong.fetch_add(u64::from(!equipment::is_held(&cpe)), Ordering::Relaxed);
        tally.calls.fetch_add(cpe.take_calls(), Ordering::Relaxed);
        tally.sessions.fetch_add(u64::from(sessions), Ordering::Relaxed);
        tally.contacts.fetch_add(1, Ordering::Relaxed);
    }
    tally.over.fetch_add(1, Ordering::Relaxed);
}
