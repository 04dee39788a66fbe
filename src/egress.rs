//! The egress guard: where the daemon may call when somebody else names the address.
//!
//! A device names its own ConnectionRequestURL. Believing it would let any router make us call into
//! our own network. So the address, after resolution and at the moment of connecting, must be the
//! one the device itself was heard from, or lie in networks that the operator named. Loopback is
//! this machine, even for a device that was heard from there: only naming it opens it. The same rule
//! holds for HTTP, HTTPS and UDP.

use config::Cidr;
use std::net::{IpAddr, SocketAddr};

/// Longest URL that is looked at (TR-069 allows 256 characters).
const URL_LEN_MAX: usize = 256;
/// The ports of a URL that names none.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// Where a device asks to be woken: checked, resolved to the one address it may mean.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// Whether it asks for TLS.
    pub is_tls: bool,
    /// The path and query for the request line.
    pub path: String,
    /// The `Host` header.
    pub host: String,
}

/// Why an address is not called.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denied {
    /// Not an absolute `http://` or `https://` URL with an address as its host.
    #[error("the device's connection request URL is not http(s) with an address as its host")]
    Unreadable,
    /// It has user information, which would be sent along.
    #[error("the device's connection request URL has user information in it")]
    UserInformation,
    /// It points at somebody else.
    #[error("the device's connection request URL points away from the device")]
    NotTheDevice,
    /// It points at this machine (and nobody named loopback), a link or everybody.
    #[error("the device's connection request URL points at no device")]
    NoDevice,
}

/// Checks the URL that a device named against the address it was heard from.
///
/// Names are not resolved: a device knows its own address, and a name could change between the
/// check and the connection (rebinding).
pub fn connection_request(
    url: &str,
    heard_from: Option<IpAddr>,
    networks: &[Cidr],
) -> Result<Target, Denied> {
    let (is_tls, rest) = strip_scheme(url).ok_or(Denied::Unreadable)?;
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '\\' | '#' | '"' | '<' | '>');
    if url.len() > URL_LEN_MAX || !rest.chars().all(is_plain) {
        return Err(Denied::Unreadable);
    }
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    if authority.contains('@') {
        return Err(Denied::UserInformation);
    }
    let port = if is_tls { HTTPS } else { HTTP };
    let address = authority_address(authority, port).ok_or(Denied::Unreadable)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let address = guard(address, heard_from, networks)?;
    Ok(Target { address, is_tls, path, host: authority.to_owned() })
}

/// Checks where a device may be woken by UDP: `host:port`, or `host` for port 80 (TR-069 G.2.1.2), as
/// the device said it, against the address it was heard from.
pub fn udp_connection_request(
    said: &str,
    heard_from: Option<IpAddr>,
    networks: &[Cidr],
) -> Result<SocketAddr, Denied> {
    guard(authority_address(said, HTTP).ok_or(Denied::Unreadable)?, heard_from, networks)
}

/// Whether `address` may be called for a device that was heard from `heard_from`; then in its plain
/// form.
pub fn guard(
    address: SocketAddr,
    heard_from: Option<IpAddr>,
    networks: &[Cidr],
) -> Result<SocketAddr, Denied> {
    let ip = address.ip().to_canonical();
    let named = networks.iter().any(|network| network.contains(ip));
    let is_device = heard_from.is_some_and(|heard| heard.to_canonical() == ip);
    if !named && !is_device {
        return Err(Denied::NotTheDevice);
    }
    // Behind a proxy that is not trusted, or on a test bench, everybody is heard from loopback: its
    // ports are ours and our neighbours', not the device's.
    let is_us = ip.is_loopback() && !named;
    let is_nobody = ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip);
    if address.port() == 0 || is_us || is_nobody {
        return Err(Denied::NoDevice);
    }
    Ok(SocketAddr::new(ip, address.port()))
}

/// Whether the rest of a URL is to be spoken over TLS, and that rest.
fn strip_scheme(url: &str) -> Option<(bool, &str)> {
    let after = |scheme: &str| {
        let (head, rest) = url.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let plain = after("http://").map(|rest| (false, rest));
    plain.or_else(|| after("https://").map(|rest| (true, rest)))
}

/// Reads `a.b.c.d`, `a.b.c.d:port`, `[v6]` and `[v6]:port` in their one spelling each; octal, hex
/// and decimal spellings of an address are refused by the standard library's parser.
fn authority_address(authority: &str, port: u16) -> Option<SocketAddr> {
    let with_port = authority.parse::<SocketAddr>().ok();
    let v4 = || authority.parse::<std::net::Ipv4Addr>().ok().map(|ip| (ip, port).into());
    let v6 = || {
        let inside = authority.strip_prefix('[')?.strip_suffix(']')?;
        Some((inside.parse::<std::net::Ipv6Addr>().ok()?, port).into())
    };
    with_port.or_else(v4).or_else(v6)
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.is_link_local())
        || matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_device(url: &str) -> Result<Target, Denied> {
        connection_request(url, Some([203, 0, 113, 7].into()), &[])
    }

    #[test]
    fn the_device_itself_may_be_called() {
        let target = from_device("http://203.0.113.7:7547/abc?x=1").unwrap();
        assert_eq!(target.address, SocketAddr::from(([203, 0, 113, 7], 7547)));
        assert_eq!((target.path.as_str(), target.host.as_str()), ("/abc?x=1", "203.0.113.7:7547"));
        assert_eq!(from_device("HTTP://203.0.113.7").unwrap().address.port(), 80);
        let target = from_device("HTTPS://203.0.113.7/x").unwrap();
        assert_eq!((target.is_tls, target.address.port()), (true, 443));
        assert!(!from_device("http://203.0.113.7:443/").unwrap().is_tls);
        assert!(from_device("https://203.0.113.7:7547/").unwrap().is_tls);
        assert_eq!(from_device("http://203.0.113.7?x").unwrap().path, "/?x");
        assert!(from_device("http://[::ffff:203.0.113.7]:80/").is_ok(), "the same address");
    }

    #[test]
    fn nobody_else_may_be_called() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::]/",
            "http://0.0.0.0/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://[fe80::1]/",
            "http://[fd00::1]:80/",
            "http://203.0.113.8/",
            "http://203.0.113.7.nip.io/",
            "http://203.0.113.7:80@10.0.0.1/",
            "http://10.0.0.1@203.0.113.7/",
            "http://203.0.113.7\\@10.0.0.1/",
            "http://203.0.113.7:0/",
            "http://203.0.113.7:99999/",
            "http://203.0.113.7 /",
            "http://203.0.113.7\r\nX: y/",
            "https://203.0.113.8/",
            "https://127.0.0.1/",
            "https://203.0.113.7:443@10.0.0.1/",
            "https://acs.example/",
            "https:///",
            "httpss://203.0.113.7/",
            "ftp://203.0.113.7/",
            "file:///etc/passwd",
            "//203.0.113.7/",
            "203.0.113.7",
            "",
            "http://",
            "http:///",
            "http://?",
            "http://[203.0.113.7]/",
            "http://２０３.0.113.7/",
            "http://203。0.113.7/",
            "http://203.0.113.7#@10.0.0.1/",
            "gopher://203.0.113.7/",
            "http://[::1%25eth0]/",
            "http://user:pw@203.0.113.7/",
        ] {
            assert!(from_device(url).is_err(), "{url}");
        }
        assert!(connection_request("http://203.0.113.7/", None, &[]).is_err(), "never heard");
        let long = format!("http://203.0.113.7/{}", "a".repeat(300));
        assert!(from_device(&long).is_err());
    }

    #[test]
    fn networks_of_the_operator_may_be_called() {
        let networks = ["10.0.0.0/8".parse::<Cidr>().unwrap()];
        assert!(connection_request("http://10.1.2.3:30005/", None, &networks).is_ok());
        assert!(connection_request("http://11.1.2.3:30005/", None, &networks).is_err());
    }

    #[test]
    fn udp_is_guarded_alike() {
        let heard = Some([203, 0, 113, 7].into());
        let guarded = |said: &str| udp_connection_request(said, heard, &[]);
        assert_eq!(guarded("203.0.113.7:3478"), Ok(([203, 0, 113, 7], 3478).into()));
        assert_eq!(guarded("203.0.113.7"), Ok(([203, 0, 113, 7], 80).into()));
        for said in
            ["192.168.1.1:3478", "127.0.0.1:53", "203.0.113.8:1", "dns.example:53", "", ":1"]
        {
            assert!(guarded(said).is_err(), "{said}");
        }
        assert_eq!(guarded("203.0.113.7:0"), Err(Denied::NoDevice));
        let broadcast = Some([255, 255, 255, 255].into());
        assert_eq!(
            udp_connection_request("255.255.255.255:1", broadcast, &[]),
            Err(Denied::NoDevice)
        );
    }

    #[test]
    fn loopback_is_us_unless_it_is_named() {
        let heard = [
            ([127, 0, 0, 1].into(), "http://127.0.0.1:7547/"),
            ([127, 9, 9, 9].into(), "http://127.9.9.9:8081/api/v1/devices"),
            ([127, 0, 0, 1].into(), "http://[::ffff:127.0.0.1]:8081/"),
            ("::ffff:127.0.0.1".parse::<IpAddr>().unwrap(), "http://127.0.0.1/"),
            ("::1".parse().unwrap(), "http://[::1]:8081/"),
        ];
        let elsewhere = ["10.0.0.0/8".parse::<Cidr>().unwrap()];
        let named = ["127.0.0.0/8".parse::<Cidr>().unwrap(), "::1/128".parse().unwrap()];
        for (from, url) in heard {
            let guarded = |networks| connection_request(url, Some(from), networks);
            assert_eq!(guarded(&[]), Err(Denied::NoDevice), "{url}");
            assert_eq!(guarded(&elsewhere), Err(Denied::NoDevice), "{url}");
            assert!(guarded(&named).is_ok(), "{url}");
        }
    }
}
