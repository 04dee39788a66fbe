//! Where calls may go: the address is checked when it is connected to, not when it was written.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Says which addresses a client may connect to.
pub trait EgressGuard: Send + Sync + 'static {
    /// Whether a connection to `address` is allowed.
    fn permits(&self, address: IpAddr) -> bool;
}

/// Permits every address: for URLs that only an administrator sets, in the configuration. Backends
/// live in private networks, so private addresses are no sign of a mistake there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anywhere;

impl EgressGuard for Anywhere {
    fn permits(&self, _: IpAddr) -> bool {
        true
    }
}

/// A name resolver that leaves out what the guard forbids, so that a name which changes its address
/// between check and use leads nowhere.
pub(crate) struct GuardedResolver(pub(crate) Arc<dyn EgressGuard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| guard.permits(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Forbidden.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// No address of the host is one that calls may go to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the egress guard forbids this address")]
pub(super) struct Forbidden;
