//! Sessions with one GetParameterValues each, which a command provokes that was queued before.
//!
//! In rounds: queue a command for each router, wait until the daemon rests, hold a session with each.
//! Only the last part is measured.

use super::conduct::Conductor;
use super::fleet::{self, BREATHE, Fleet, Wanted};
use super::{Error, Verdict};
use crate::api::{Api, ApiError};
use crate::args::CwmpGet;
use crate::cpe::Cpe;
use crate::process::Sample;
use crate::report::Report;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Parameters that both shipped models have.
const NAMES: [&str; 8] = [
    "UpTime",
    "SoftwareVersion",
    "HardwareVersion",
    "SerialNumber",
    "ModelName",
    "Manufacturer",
    "ProductClass",
    "Description",
];

/// Connections to the API.
const API_CONNECTIONS: u32 = 8;

/// Longest wait for the daemon to rest.
const REST_MAX: Duration = Duration::from_secs(30);

/// Tries of one session in a round.
const TRIES_MAX: u32 = 10;

/// A router, its identity and the command that is queued for it.
type Asked = (Cpe, String, Value);

/// Runs it.
pub(super) async fn run(args: CwmpGet) -> Result<Verdict, Error> {
    let common = &args.common;
    if args.parallel == 0 || args.cpes < args.parallel {
        return Err(Error::Zero("--parallel, or --cpes less than it,"));
    }
    let models = [String::from("router"), String::from("ont")];
    let wanted = Wanted {
        models: &models,
        count: args.cpes,
        fleet: &common.fleet,
        wakes: false,
        addresses: 0,
    };
    let Fleet { world, end, cpes, ids } = fleet::muster(&wanted, &args.sign_in, common).await?;
    let roots = ["InternetGatewayDevice", "Device"];
    let commands = (0..).map(|index: usize| command(roots[index % roots.len()], args.names));
    let asked: Vec<Asked> = cpes
        .into_iter()
        .zip(ids)
        .zip(commands)
        .map(|((cpe, id), command)| (cpe, id, command))
        .collect();
    let mut conductor = Conductor::new("cwmp-get", &world, end, common);
    let mut workers = fleet::shares(asked, args.parallel);
    workers = each(workers, &world, meet).await;
    let seconds = Duration::from_secs(common.seconds);
    let generator = std::process::id();
    let (mut measured, mut own, mut calls) = (Duration::ZERO, Duration::ZERO, 0);
    conductor.follower.begin();
    while measured < seconds {
        workers = queue(workers, &world).await?;
        conductor.rest(REST_MAX).await;
        let own_before = Sample::take(generator).unwrap_or_default().cpu();
        conductor.follower.skip();
        let began = Instant::now();
        world.meter.measure(true);
        workers = each(workers, &world, hold).await;
        world.meter.measure(false);
        measured += began.elapsed();
        conductor.follower.look();
        own += Sample::take(generator).unwrap_or_default().cpu().saturating_sub(own_before);
        calls += workers.iter_mut().flatten().map(|(cpe, ..)| cpe.take_calls()).sum::<u64>();
    }
    let usage = conductor.follower.usage();
    let mut report = Report::new("cwmp-get", &world.meter, measured, usage);
    report.generator_cpu_s = own.as_secs_f64();
    let sessions = report.operations;
    report.remarks.push(format!("{calls} calls answered in {sessions} sessions"));
    if calls != sessions {
        report.broken.push(String::from("one call in each session"));
    }
    conductor.close(report, common).await
}

fn command(root: &str, names: u8) -> Value {
    let names = NAMES.iter().take(names.into());
    let names: Vec<String> = names.map(|name| format!("{root}.DeviceInfo.{name}")).collect();
    json!({ "kind": "get_parameters", "names": names })
}

/// Lets each worker do something with its routers.
async fn each<F>(
    workers: Vec<Vec<Asked>>,
    world: &Arc<World>,
    work: impl Fn(Arc<World>, Vec<Asked>) -> F,
) -> Vec<Vec<Asked>>
where
    F: Future<Output = Vec<Asked>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(work(Arc::clone(world), worker));
    }
    tasks.join_all().await
}

async fn meet(world: Arc<World>, mut worker: Vec<Asked>) -> Vec<Asked> {
    for (cpe, ..) in &mut worker {
        fleet::meet(&world, std::slice::from_mut(cpe)).await;
        cpe.take_calls();
    }
    worker
}

/// One session of each.
async fn hold(_world: Arc<World>, mut worker: Vec<Asked>) -> Vec<Asked> {
    for (cpe, ..) in &mut worker {
        for _ in 0..TRIES_MAX {
            if cpe.once().await {
                break;
            }
            sleep(BREATHE).await;
        }
    }
    worker
}

/// A command for each router.
async fn queue(workers: Vec<Vec<Asked>>, world: &Arc<World>) -> Result<Vec<Vec<Asked>>, ApiError> {
    let mut tasks = JoinSet::new();
    for shares in fleet::shares(workers, API_CONNECTIONS) {
        let world = Arc::clone(world);
        tasks.spawn(async move {
            let mut api = Api::connect(&world).await?;
            for (_, id, command) in shares.iter().flatten() {
                api.command(id, command).await?;
            }
            Ok::<_, ApiError>(shares)
        });
    }
    let mut all = Vec::new();
    for shares in tasks.join_all().await {
        all.extend(shares?);
    }
    Ok(all)
}
