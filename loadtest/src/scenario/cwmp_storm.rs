//! Power comes back: every router at once, and none may be forgotten.

use super::build;
use super::conduct::Conductor;
use super::fleet::{self, Wanted};
use super::{Error, Verdict};
use crate::api::Api;
use crate::args::CwmpStorm;
use crate::cpe::{Cpe, SessionError};
use crate::meter::Kind;
use crate::world::World;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Longest wait for the daemon to rest before the storm.
const REST_MAX: Duration = Duration::from_secs(30);

/// A try that failed is made again after 5 to 10 s, the next after 10 to 20 s, and so on up to the
/// tenth (TR-069 3.2.1.1 with its default multiplier).
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRIES_APART_MAX: u32 = 9;

/// Who was asked to come back comes within this after the time that he was told: clocks differ.
const SPREAD: Duration = Duration::from_secs(1);

/// What happens to all of them.
struct Storm {
    world: Arc<World>,
    /// As many sockets as this program may have open.
    sockets: Semaphore,
    /// All begin together.
    begin: Barrier,
    chance: RandomState,
    served: AtomicU32,
    /// Routers that were asked to come back, and how often that was.
    asked: AtomicU32,
    asked_times: AtomicU32,
    /// Tries that ended without an answer.
    cut_off: AtomicU32,
    /// Longest time that one was asked to stay away, in seconds.
    longest_s: AtomicU32,
}

/// Runs it.
pub(super) async fn run(args: CwmpStorm) -> Result<Verdict, Error> {
    let common = &args.common;
    if args.parallel == 0 || args.cpes < args.parallel {
        return Err(Error::Zero("--parallel, or --cpes less than it,"));
    }
    let models = [args.model.clone()];
    let wanted = Wanted {
        models: &models,
        count: args.cpes,
        fleet: &common.fleet,
        wakes: false,
        addresses: args.addresses,
    };
    let fleet = fleet::muster(&wanted, &args.sign_in, common).await?;
    let world = Arc::clone(&fleet.world);
    let mut conductor = Conductor::new("cwmp-storm", &world, fleet.end, common);
    let cpes = meet(&world, fleet.cpes, args.parallel).await;
    conductor.rest(REST_MAX).await;

    let room = build::sockets_max();
    let storm = Arc::new(Storm {
        world: Arc::clone(&world),
        sockets: Semaphore::new(room),
        begin: Barrier::new(cpes.len() + 1),
        chance: RandomState::new(),
        served: AtomicU32::new(0),
        asked: AtomicU32::new(0),
        asked_times: AtomicU32::new(0),
        cut_off: AtomicU32::new(0),
        longest_s: AtomicU32::new(0),
    });
    for (cpe, index) in cpes.into_iter().zip(0..) {
        conductor.clients.spawn(Arc::clone(&storm).weather(cpe, index));
    }
    storm.begin.wait().await;
    let is_over = || storm.served.load(Ordering::Relaxed) >= args.cpes;
    let mut report = conductor.measure_until(args.patience, is_over).await;
    storm.tell(&args, room, &mut report.remarks, &mut report.broken);
    if let Some(known) = Api::metric(&world, "lastmile_registry_devices").await {
        report.remarks.push(format!("the registry holds {known} devices"));
        if known < f64::from(args.cpes) {
            report.broken.push(String::from("every router is in the registry"));
        }
    }
    conductor.close(report, common).await
}

/// The first contact of all, some at once.
async fn meet(world: &Arc<World>, cpes: Vec<Cpe>, parallel: u32) -> Vec<Cpe> {
    let mut tasks = JoinSet::new();
    for mut worker in fleet::shares(cpes, parallel) {
        let world = Arc::clone(world);
        tasks.spawn(async move {
            fleet::meet(&world, &mut worker).await;
            worker
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

impl Storm {
    /// One router: until it is served.
    async fn weather(self: Arc<Self>, mut cpe: Cpe, index: u32) {
        self.begin.wait().await;
        let began = Instant::now();
        let (mut asked, mut tries) = (0_u32, 0_u32);
        while !self.world.stop.is_cancelled() {
            let Ok(socket) = self.sockets.acquire().await else { return };
            let held = cpe.boot().await;
            drop(socket);
            let wait = match held {
                Ok(()) => {
                    self.world.meter.record(Kind::CwmpServed, index, began.elapsed());
                    self.served.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(SessionError::Later(after)) => {
                    self.asked.fetch_add(u32::from(asked == 0), Ordering::Relaxed);
                    self.asked_times.fetch_add(1, Ordering::Relaxed);
                    let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX);
                    self.longest_s.fetch_max(seconds, Ordering::Relaxed);
                    asked += 1;
                    after + SPREAD.mul_f64(self.share(index, asked))
                }
                Err(error) => {
                    self.world.meter.error(Kind::CwmpSession, error.to_string());
                    self.cut_off.fetch_add(1, Ordering::Relaxed);
                    let apart = RETRY_FIRST * 2_u32.pow(tries.min(RETRIES_APART_MAX));
                    tries += 1;
                    apart.mul_f64(1.0 + self.share(index, asked + tries))
                }
            };
            tokio::select! {
                () = self.world.stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// A share of one, by chance.
    fn share(&self, index: u32, round: u32) -> f64 {
        let hash = self.chance.hash_one((index, round));
        f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn tell(
        &self,
        args: &CwmpStorm,
        room: usize,
        remarks: &mut Vec<String>,
        broken: &mut Vec<String>,
    ) {
        let count = |it: &AtomicU32| it.load(Ordering::Relaxed);
        let (served, cpes) = (count(&self.served), args.cpes);
        remarks.push(format!(
            "{served} of {cpes} served; {} were asked to come back ({} times, after {} s at most), \
             {} tries were cut off",
            count(&self.asked),
            count(&self.asked_times),
            count(&self.longest_s),
            count(&self.cut_off),
        ));
        let sockets = usize::try_from(cpes).unwrap_or(usize::MAX);
        if room < sockets {
            remarks.push(build::few_sockets(room, sockets));
        }
        if served < cpes {
            broken.push(format!("every router is served: {} were not", cpes - served));
        }
    }
}
