//! Whom a request comes from when a proxy that we trust stands in between.

use config::Cidr;
use hyper::HeaderMap;
use std::net::IpAddr;

/// Most addresses of a chain that are looked at.
const HOPS_MAX: usize = 16;

/// The client's address: the last in `X-Forwarded-For` that is not a trusted proxy, if the
/// connection itself comes from one; else the connection's own.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let chain: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut client = peer;
    for hop in chain.into_iter().rev().take(HOPS_MAX) {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, chain: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", chain.parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client_of("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(client_of("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client_of("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(client_of("10.0.0.1", "198.51.100.1, junk"), "10.0.0.1", "a broken chain ends");
        assert_eq!(client_of("10.0.0.1", "10.0.0.5"), "10.0.0.5");
    }
}
