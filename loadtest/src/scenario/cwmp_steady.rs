//! Steady sessions as many as fit: a connection, an Inform without news, an empty POST, 204.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict};
use crate::args::CwmpSteady;
use crate::cpe;
use crate::http::Tls;
use crate::world::World;
use cpe::Cpe;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Wait after a failed session, so that a daemon that is gone is not stormed.
const BREATHE: Duration = Duration::from_millis(100);

/// Runs it.
pub(super) async fn run(args: CwmpSteady) -> Result<Verdict, Error> {
    let common = &args.common;
    if args.parallel == 0 || args.cpes < args.parallel {
        return Err(Error::Zero("--parallel, or --cpes less than it,"));
    }
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let names = [String::from("router"), String::from("ont")];
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let routers = build::routers(&names, args.cpes, &common.fleet, any, &end).await?;
    let routers: Vec<_> = routers
        .into_iter()
        .map(|(device, door)| (roll.add_device(&device), device, door))
        .collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;
    let credentials = credentials(args.digest.as_deref(), &world)?;
    let tls = args.tls.then(Tls::new).transpose()?;

    let mut workers: Vec<Vec<Cpe>> = (0..args.parallel).map(|_| Vec::new()).collect();
    for ((stream, device, door), at) in routers.into_iter().zip(0_usize..) {
        let spec = cpe::Spec {
            stream,
            credentials: credentials.clone(),
            tls: tls.clone(),
            interval: Duration::ZERO,
            change_every: 0,
            from_due: false,
            offset: Duration::ZERO,
            door,
        };
        let worker = at % workers.len();
        workers[worker].push(Cpe::new(Arc::clone(&world), spec, device));
    }
    let mut conductor = Conductor::new("cwmp-steady", &world, end, common);
    for worker in workers {
        conductor.add(work(Arc::clone(&world), worker));
    }
    conductor.run(common).await
}

/// One session after another, of each router in turn; ready when all have been met.
async fn work(world: Arc<World>, mut cpes: Vec<Cpe>) {
    // The first contact is no steady session; the second carries out what the first one set.
    for _ in 0..2 {
        for cpe in &mut cpes {
            while !cpe.once().await && !world.stop.is_cancelled() {
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
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

fn credentials(asked: Option<&str>, world: &World) -> Result<Option<(String, String)>, Error> {
    match asked {
        // A daemon that asks nobody does not ask them either.
        None => Ok(build::enrolment(world)),
        Some("enrol") => build::enrolment(world).map(Some).ok_or(Error::Digest),
        Some(pair) => {
            let (user, password) = pair.split_once(':').ok_or(Error::Digest)?;
            Ok(Some((user.to_owned(), password.to_owned())))
        }
    }
}
