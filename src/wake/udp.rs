//! One connection request by UDP (TR-069 Annex G): through the hole that the device keeps open, from
//! the port that it keeps it open for.

use super::error::WakeError;
use super::outcome::{Key, Wakes};
use super::{Bindings, SignIn};
use crate::clock::{Clock, SystemRandom};
use crate::egress::{self, Denied};
use crate::registry::Device;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use config::Cidr;
use cwmp::udp_request::UdpRequest;
use model::{Random as _, Redacted};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;

/// How often one request is sent: some datagrams are lost (TR-069 G.2.2.3 leaves the number to us;
/// a device takes copies for one).
const COPIES: usize = 3;
/// Between two copies: what is lost, is lost in bursts.
const COPIES_APART: Duration = Duration::from_millis(100);

/// The STUN server's socket as the waker uses it.
#[derive(Debug)]
pub struct UdpCaller {
    socket: Arc<UdpSocket>,
    /// Where devices are.
    pub(super) bindings: Arc<Bindings>,
    /// Numbers requests, so that a device tells a new one from a copy.
    next: AtomicU32,
}

impl UdpCaller {
    /// Calls from `socket`, which the STUN server listens at.
    #[must_use]
    pub fn new(socket: Arc<UdpSocket>, bindings: Arc<Bindings>) -> Self {
        let mut first = [0; 4];
        SystemRandom.fill(&mut first);
        Self { socket, bindings, next: AtomicU32::new(u32::from_ne_bytes(first)) }
    }

    /// Where a device may be called: at its binding, else at what it said, if the guard allows it.
    /// `None` when there is neither.
    pub(super) fn target(
        &self,
        device: &Device,
        networks: &[Cidr],
        clock: &Clock,
    ) -> Option<Result<SocketAddr, Denied>> {
        let now = clock.now().monotonic;
        let bound = self.bindings.of(&device.tenant, &device.id, now);
        let said = device.facts.udp_connection_request_address.as_deref();
        let bound = bound.map(|bound| egress::guard(bound, device.address, networks));
        bound.or_else(|| Some(egress::udp_connection_request(said?, device.address, networks)))
    }

    /// Calls and waits for the device's session. Nobody answers a datagram: the caller bounds the
    /// wait.
    pub(super) async fn call(
        &self,
        key: &Key,
        to: SocketAddr,
        sign_in: &SignIn,
        wakes: &Arc<Wakes>,
        clock: &Clock,
    ) -> Result<(), WakeError> {
        let mut cnonce = [0; 12];
        SystemRandom.fill(&mut cnonce);
        let cnonce = URL_SAFE_NO_PAD.encode(cnonce);
        let seconds = clock.now().wall.as_second();
        let request = UdpRequest {
            timestamp_s: u64::try_from(seconds).unwrap_or(0),
            id: self.next.fetch_add(1, Ordering::Relaxed),
            username: &sign_in.username,
            cnonce: &cnonce,
            password: Redacted(sign_in.password.expose()),
        };
        let datagram = request.encode(to);
        // Before the first copy: it may come at once.
        let mut called = wakes.await_inform(key);
        for _ in 0..COPIES {
            self.send(&datagram, to).await.map_err(WakeError::Unreachable)?;
            let informed = tokio::time::timeout(COPIES_APART, called.informed()).await;
            if informed.is_ok() {
                return Ok(());
            }
        }
        called.informed().await;
        Ok(())
    }

    async fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let is_v6 = self.socket.local_addr()?.is_ipv6();
        let to = match to.ip() {
            // A socket of both families knows IPv4 by another spelling.
            IpAddr::V4(ip) if is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        };
        self.socket.send_to(datagram, to).await.map(|_| ())
    }
}
