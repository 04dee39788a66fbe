//! Where a request comes from, behind proxies or not.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use config::Cidr;
use std::net::{IpAddr, Ipv4Addr};

/// The address at the other end of the connection; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The client of a request: the peer, or whom trusted proxies name.
pub(super) fn address(parts: &Parts, trusted: &[Cidr]) -> IpAddr {
    let peer = parts.extensions.get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    forwarded(peer, &parts.headers, trusted)
}

/// Walks `X-Forwarded-For` from its end, for as long as the address found so far is a proxy of
/// ours: what stands before that may be anyone's invention.
fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_ours = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or("").rsplit(','));
    for hop in hops {
        if !is_ours(client) {
            break;
        }
        let Ok(named) = hop.trim().parse::<IpAddr>() else { break };
        client = named.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client_of(peer: &str, forwarded_for: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded_for {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        forwarded(peer.parse().unwrap(), &headers, &[trusted.parse().unwrap()]).to_string()
    }

    #[test]
    fn only_our_own_proxies_are_believed() {
        let net = "10.0.0.0/8";
        assert_eq!(client_of("192.0.2.1", &["198.51.100.7"], net), "192.0.2.1");
        assert_eq!(client_of("10.0.0.1", &["198.51.100.7"], net), "198.51.100.7");
        assert_eq!(client_of("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], net), "198.51.100.7");
        assert_eq!(client_of("10.0.0.1", &["1.1.1.1", "198.51.100.7"], net), "198.51.100.7");
        assert_eq!(client_of("10.0.0.1", &["nonsense"], net), "10.0.0.1");
        assert_eq!(client_of("::ffff:10.0.0.1", &["2001:db8::1"], net), "2001:db8::1");
    }
}
