//! Routers for the scenarios of CWMP alone: who they are, how they sign in, and their first contact.

use super::Error;
use super::build::{self, Roll};
use crate::args::{Common, SignIn};
use crate::cpe::{self, Cpe};
use crate::http::Tls;
use crate::world::World;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Wait after a failed session, so that a daemon that is gone is not stormed.
pub(super) const BREATHE: Duration = Duration::from_millis(100);

/// What routers are wanted.
pub(super) struct Wanted<'a> {
    /// Their data models, in turn.
    pub(super) models: &'a [String],
    /// How many.
    pub(super) count: u32,
    /// What their serial numbers begin with.
    pub(super) fleet: &'a str,
    /// Whether they can be woken.
    pub(super) wakes: bool,
    /// How many addresses they call from; 0 leaves it to the system.
    pub(super) addresses: u8,
}

/// Routers and their world.
pub(super) struct Fleet {
    pub(super) world: Arc<World>,
    pub(super) end: CancellationToken,
    pub(super) cpes: Vec<Cpe>,
    /// Their identities, in the same order.
    pub(super) ids: Vec<String>,
}

/// Makes the world, its backend and its routers; nothing has happened yet.
pub(super) async fn muster(
    wanted: &Wanted<'_>,
    sign_in: &SignIn,
    common: &Common,
) -> Result<Fleet, Error> {
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let wake_at = wanted.wakes.then_some(any);
    let routers = build::routers(wanted.models, wanted.count, wanted.fleet, wake_at, &end).await?;
    let routers: Vec<_> = routers
        .into_iter()
        .map(|(device, door)| (roll.add_device(&device), device, door))
        .collect();
    let ids = roll.subjects().to_vec();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;
    let credentials = credentials(sign_in.digest.as_deref(), &world)?;
    let tls = sign_in.tls.then(Tls::new).transpose()?;
    let cpes = routers.into_iter().zip(0..).map(|((stream, device, door), index)| {
        let spec = cpe::Spec {
            stream,
            credentials: credentials.clone(),
            tls: tls.clone(),
            interval: Duration::ZERO,
            change_every: 0,
            from_due: false,
            offset: Duration::ZERO,
            door,
            from: address(index, wanted.addresses),
        };
        Cpe::new(Arc::clone(&world), spec, device)
    });
    Ok(Fleet { cpes: cpes.collect(), ids, world, end })
}

/// One of the first addresses of this machine's own network.
pub(super) fn address(index: u32, of: u8) -> Option<IpAddr> {
    let last = index.checked_rem(of.into())?;
    let last = u8::try_from(last).unwrap_or(0).saturating_add(1);
    Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

/// Shares things out to as many workers.
pub(super) fn shares<T>(all: Vec<T>, workers: u32) -> Vec<Vec<T>> {
    let mut shares: Vec<Vec<T>> = (0..workers).map(|_| Vec::new()).collect();
    let count = shares.len().max(1);
    for (one, at) in all.into_iter().zip(0_usize..) {
        if let Some(share) = shares.get_mut(at % count) {
            share.push(one);
        }
    }
    shares
}

/// The first contact of each, and a second session, which carries out what the first one set.
pub(super) async fn meet(world: &World, cpes: &mut [Cpe]) {
    for _ in 0..2 {
        for cpe in &mut *cpes {
            while !cpe.once().await && !world.stop.is_cancelled() {
                tokio::time::sleep(BREATHE).await;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_shares() {
        assert_eq!(address(7, 0), None);
        assert_eq!(address(7, 3).map(|it| it.to_string()).as_deref(), Some("127.0.0.2"));
        assert_eq!(shares(vec![1, 2, 3, 4, 5], 2), [vec![1, 3, 5], vec![2, 4]]);
    }
}
