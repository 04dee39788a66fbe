//! Whom a request comes from when a proxy that we trust stands in between, and where it was sent.

use config::Cidr;
use hyper::HeaderMap;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use std::net::IpAddr;

/// Most addresses of a chain that are looked at.
const HOPS_MAX: usize = 16;
/// Longest name of a host, in bytes (RFC 1035 2.3.4).
const HOST_MAX: usize = 253;

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

/// The host of ours that a request names, with the brackets of an IPv6 address. It is the sender's
/// own word: good for telling the same sender where we are, and for nothing else.
pub(crate) fn called_at(head: &Parts) -> Option<Box<str>> {
    let said = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = match head.uri.authority() {
        Some(authority) => authority.clone(),
        None => said?.parse::<Authority>().ok()?,
    };
    let host = authority.host();
    (!host.is_empty() && host.len() <= HOST_MAX).then(|| host.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_without_its_port() {
        let called_at = |uri: &str, host: Option<&str>| {
            let mut request = hyper::Request::post(uri);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            called_at(&request.body(()).unwrap().into_parts().0)
        };
        let host = |host| called_at("/acs", Some(host));
        assert_eq!(host("acs.example:7547").as_deref(), Some("acs.example"));
        assert_eq!(host("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(host("[2001:db8::1]:7547").as_deref(), Some("[2001:db8::1]"));
        let absolute = called_at("http://acs.example:80/acs", Some("other.example"));
        assert_eq!(absolute.as_deref(), Some("acs.example"), "RFC 9112 3.2.2");
        for bad in ["", "a b", "a/b", ":7547", &"a".repeat(254)] {
            assert_eq!(host(bad), None, "{bad:?}");
        }
        assert_eq!(called_at("/acs", None), None);
    }

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
