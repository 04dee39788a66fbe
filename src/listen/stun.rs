//! The STUN server of TR-069 Annex G: tells devices their address, and learns it from them.
//!
//! One datagram in, at most one out, never a longer one, and to nobody but the sender. Only who
//! proves himself with the password of his name is told anything and believed; the others are asked
//! for it. What one address may ask in a second is bounded.

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::shutdown::Stage;
use crate::wake::Bindings;
use cwmp::stun::{DATAGRAM_MAX, Refusal, Request};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tracing::debug;

/// Most requests that one address may make in a second: 2,500 devices that share an address each ask
/// every 25 s.
const PER_SECOND_MAX: u32 = 100;
/// Addresses that are told apart when they are counted, 512 KiB of them; others share a count. Who
/// sends in a million names must not make us remember them.
const COUNTS: usize = 65_536;
/// How often old bindings are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// The wait after a fault of the socket, so that one that stays costs no processor.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// The STUN server.
#[derive(Debug)]
pub struct StunListener {
    socket: Arc<UdpSocket>,
    bindings: Arc<Bindings>,
    metrics: Metrics,
    clock: Clock,
}

/// What becomes of a datagram: a word for the metric, and the answer.
type Served = (&'static str, Option<Vec<u8>>);

impl StunListener {
    /// Serves at `socket`.
    #[must_use]
    pub fn new(
        socket: Arc<UdpSocket>,
        bindings: Arc<Bindings>,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        Self { socket, bindings, metrics, clock }
    }

    /// Answers until the stage stops.
    pub async fn serve(self, stage: Stage) {
        // One byte more than is looked at, so that what is too long shows.
        let mut datagram = [0; DATAGRAM_MAX + 1];
        let mut rate = Rate::new();
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            let received = tokio::select! {
                received = self.socket.recv_from(&mut datagram) => received,
                _ = sweep.tick() => {
                    let count = self.bindings.sweep(self.clock.now().monotonic);
                    self.metrics.stun_bindings.set(i64::try_from(count).unwrap_or(i64::MAX));
                    continue;
                }
                () = stage.stop().cancelled() => return,
            };
            let (len, peer) = match received {
                Ok(received) => received,
                Err(error) => {
                    debug!(%error, "STUN socket");
                    tokio::time::sleep(FAULT_PAUSE).await;
                    continue;
                }
            };
            let second = self.clock.now().monotonic.as_nanos() / 1_000_000_000;
            let (outcome, answer) = if rate.allows(peer.ip(), second) {
                self.answer(&datagram[..len], peer)
            } else {
                ("too_many", None)
            };
            self.metrics.stun_requests.with_label_values(&[outcome]).inc();
            if let Some(answer) = answer {
                // What the network does not take is asked again by itself.
                let _ = self.socket.send_to(&answer, peer).await;
            }
        }
    }

    fn answer(&self, datagram: &[u8], peer: SocketAddr) -> Served {
        let Ok(request) = Request::parse(datagram) else { return ("malformed", None) };
        let from = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let answered = |word: &'static str, answer: Option<Vec<u8>>| {
            if answer.is_some() { (word, answer) } else { ("too_short", None) }
        };
        let named = request.username().map(|name| (name, self.bindings.password(name)));
        let proved = named.filter(|(_, password)| request.proves(password.expose()));
        let Some((name, password)) = proved else {
            return answered("unauthorised", request.refusal(Refusal::Unauthorised));
        };
        if let Some(kind) = request.unknown_attribute() {
            return answered("unknown", request.refusal(Refusal::UnknownAttribute(kind)));
        }
        let mut outcome = "answered";
        if request.is_for_connection_requests() {
            let now = self.clock.now().monotonic;
            outcome = if self.bindings.learn(name, from, now) { "bound" } else { "stranger" };
        }
        answered(outcome, request.answer(from, Some(password.expose())))
    }
}

/// How many requests came in this second, by address: a fixed table, so that a flood in many names
/// takes no memory. The hash is this process's own: nobody can aim at another's place.
struct Rate {
    counts: Box<[(u32, u32)]>,
    hasher: RandomState,
}

impl Rate {
    fn new() -> Self {
        Self { counts: vec![(0, 0); COUNTS].into(), hasher: RandomState::new() }
    }

    fn allows(&mut self, from: IpAddr, second: u64) -> bool {
        // A line has a whole /64 of addresses.
        let net = match from.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        let place = usize::try_from(self.hasher.hash_one(net) % COUNTS as u64).unwrap_or(0);
        let (counted_in, count) = &mut self.counts[place];
        let second = u32::try_from(second % u64::from(u32::MAX)).unwrap_or(0);
        if *counted_in != second {
            (*counted_in, *count) = (second, 0);
        }
        *count = count.saturating_add(1);
        *count <= PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_of_each_second() {
        let mut rate = Rate::new();
        let one = IpAddr::from([203, 0, 113, 7]);
        let mut asked = |from, second| (0..1_000).filter(|_| rate.allows(from, second)).count();
        assert_eq!(asked(one, 5), 100);
        assert_eq!(asked(one, 5), 0);
        assert_eq!(asked(one, 6), 100);
        // Others have their own, but for one in 65,536 that meets it.
        let others = (8..108).filter(|&last| asked(IpAddr::from([203, 0, 113, last]), 6) == 100);
        assert!(others.count() > 90);
        let line: IpAddr = "2001:db8::1".parse().unwrap();
        let same_line: IpAddr = "2001:db8::ffff:1".parse().unwrap();
        assert_eq!((asked(line, 9), asked(same_line, 9)), (100, 0));
    }
}
