//! Strings of the file that have a form: names, addresses, URLs, paths.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// 1 to 64 of `a-z 0-9 - _`: a name that may stand in a URL, a metric and a file's name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(String);

impl Name {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn new(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        (fits && text.chars().all(allowed)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Name {
    fn describe() -> String {
        format!("name, 1 to {} of a-z, 0-9, `-`, `_`", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a name")?;
        let message = || format!("must be 1 to {} of a-z, 0-9, `-` and `_`", Self::LEN_MAX);
        Self::new(text).or_else(|| reader.refuse(node, Cause::Value, message()))
    }

    fn blank() -> Option<Self> {
        Some(Self(String::new()))
    }
}

/// 1 to 128 printing characters without blanks: what another service knows us by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlainText(String);

impl PlainText {
    /// Longest text, in bytes.
    pub const LEN_MAX: usize = 128;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for PlainText {
    fn describe() -> String {
        format!("text, 1 to {} printing ASCII characters", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a text")?;
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(Self(text.to_owned()));
        }
        let message = format!("must be 1 to {} printing ASCII characters", Self::LEN_MAX);
        reader.refuse(node, Cause::Value, message)
    }
}

/// A user name that devices present: 1 to 256 bytes without control characters or `:`, which would
/// end it in Basic and in Digest (RFC 7617 §2, RFC 7616 §3.4.2).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserName(String);

impl UserName {
    /// Longest name, in bytes: TR-069's ManagementServer.Username.
    pub const LEN_MAX: usize = 256;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for UserName {
    fn describe() -> String {
        format!("text, 1 to {} bytes without `:`", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a user name")?;
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        if !fits || text.contains(|c: char| c == ':' || c.is_control()) {
            let max = Self::LEN_MAX;
            let message = format!("must be 1 to {max} bytes without `:` and control characters");
            return reader.refuse(node, Cause::Value, message);
        }
        Some(Self(text.to_owned()))
    }

    fn blank() -> Option<Self> {
        Some(Self(String::new()))
    }
}

/// A host (name or address; an IPv6 address in brackets) with or without a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// Longest, in bytes: TR-069's ManagementServer.STUNServerAddress.
    pub const LEN_MAX: usize = 256;

    /// A name, or an address (an IPv6 address without its brackets).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub(crate) fn new(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            let port = if rest.is_empty() { None } else { Some(port(rest.strip_prefix(':')?)?) };
            return Some(Self { host: host.to_owned(), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, rest)) => (host, Some(port(rest)?)),
            None => (text, None),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        (fits && !host.is_empty() && host.bytes().all(allowed))
            .then(|| Self { host: host.to_owned(), port })
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match (host.contains(':'), port) {
            (false, None) => f.write_str(host),
            (false, Some(port)) => write!(f, "{host}:{port}"),
            (true, None) => write!(f, "[{host}]"),
            (true, Some(port)) => write!(f, "[{host}]:{port}"),
        }
    }
}

impl Value for HostPort {
    fn describe() -> String {
        "host, or host:port".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a host, or host:port")?;
        let message = "must be a host (an IPv6 address in brackets) with or without :port";
        Self::new(text).or_else(|| reader.refuse(node, Cause::Value, message.to_owned()))
    }

    fn blank() -> Option<Self> {
        Some(Self { host: String::new(), port: None })
    }
}

/// An `http://` or `https://` URL without credentials, query and fragment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpUrl {
    text: String,
    host: String,
    port: u16,
}

impl HttpUrl {
    /// Longest URL, in bytes: what old CPEs take as a download's URL (TR-069's Download).
    pub const LEN_MAX: usize = 256;

    /// As it stands in the file, without a slash at its end: paths are appended to it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the way there is encrypted.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// A name, or an address (an IPv6 address without its brackets).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, else the scheme's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it names this machine's own loopback.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn new(text: &str) -> Result<Self, &'static str> {
        let (rest, port) = match text.split_once("://") {
            Some(("http", rest)) => (rest, 80),
            Some(("https", rest)) => (rest, 443),
            _ => return Err("must begin with http:// or https://"),
        };
        if text.len() > Self::LEN_MAX {
            return Err("is longer than 256 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '<', '>', '\\'])
        {
            return Err("must be ASCII without spaces, quotes and backslashes");
        }
        if text.contains(['?', '#']) {
            return Err("must not have a query or a fragment");
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("must not hold credentials: they belong into a file of their own");
        }
        let (host, given) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let Some((host, port)) = bracketed.split_once(']') else {
                    return Err("has a bracket that is not closed");
                };
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err("has no IPv6 address in its brackets");
                }
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match given.strip_prefix(':') {
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port != 0 && !digits.starts_with('+') => port,
                _ => return Err("has a port that is none"),
            },
            None if given.is_empty() => port,
            None => return Err("has something between its host and its path"),
        };
        if host.is_empty() || host.contains(['[', ']']) {
            return Err("has no host");
        }
        let text = text.trim_end_matches('/').to_owned();
        Ok(Self { text, host: host.to_ascii_lowercase(), port })
    }
}

impl Value for HttpUrl {
    fn describe() -> String {
        "URL, http:// or https://".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a URL")?;
        match Self::new(text) {
            Ok(url) => Some(url),
            Err(why) => reader.refuse(node, Cause::Value, why.to_owned()),
        }
    }
}

impl Value for SocketAddr {
    fn describe() -> String {
        "address and port".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        const EXPECTED: &str =
            "an address with its port, such as \"0.0.0.0:7547\" or \"[::]:7547\"";
        let text = reader.text(node, EXPECTED)?;
        let message = || format!("expected {EXPECTED}");
        text.parse().ok().or_else(|| reader.refuse(node, Cause::Value, message()))
    }
}

impl Value for PathBuf {
    fn describe() -> String {
        "path".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a path")?;
        if text.is_empty() || text.contains('\0') {
            return reader.refuse(node, Cause::Value, "must not be empty".to_owned());
        }
        Some(Path::new(text).to_owned())
    }

    fn blank() -> Option<Self> {
        Some(Self::new())
    }
}

/// Which events: a type, or a beginning of types that ends in `.*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventPattern(String);

impl EventPattern {
    /// As it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names events of this type (`lastmile.device.bootstrapped`).
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => event_type.starts_with(beginning),
            None => event_type == self.0,
        }
    }
}

impl Value for EventPattern {
    fn describe() -> String {
        "event type, or its beginning with `.*`".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "an event type")?;
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
        };
        let named = text.strip_suffix(".*").unwrap_or(text);
        let mut parts = named.split('.');
        let fits = text.len() <= 128 && parts.next() == Some("lastmile") && parts.all(word);
        if !fits || text == "lastmile" {
            let message = "must be like \"lastmile.device.bootstrapped\" or \"lastmile.device.*\"";
            return reader.refuse(node, Cause::Value, message.to_owned());
        }
        Some(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_port_or_none() {
        for (text, host, port) in [
            ("stun.example.net", "stun.example.net", None),
            ("stun.example.net:3478", "stun.example.net", Some(3478)),
            ("192.0.2.1:1", "192.0.2.1", Some(1)),
            ("[2001:db8::1]:3478", "2001:db8::1", Some(3478)),
            ("[2001:db8::1]", "2001:db8::1", None),
        ] {
            let read = HostPort::new(text).expect(text);
            assert_eq!((read.host(), read.port()), (host, port));
            assert_eq!(read.to_string(), text);
        }
        for bad in
            ["", ":3478", "a:", "a:0", "a:65536", "a b", "2001:db8::1", "[::1", "[x]:1", "a/b"]
        {
            assert_eq!(HostPort::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = HttpUrl::new("https://ACS.example:7548/cwmp/").expect("a URL");
        assert_eq!((url.host(), url.port(), url.is_https()), ("acs.example", 7548, true));
        assert_eq!(url.as_str(), "https://ACS.example:7548/cwmp");
        let url = HttpUrl::new("http://[::1]").expect("a URL");
        assert_eq!((url.host(), url.port(), url.is_loopback()), ("::1", 80, true));
        for bad in [
            "ftp://example",
            "example",
            "http://",
            "http:///path",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://a:+80",
            "http://a:",
            "http://u:p@a",
            "http://a/?q",
            "http://a#f",
            "http://[::1",
            "http://[x]",
            "http://[::1]x",
            "http://a b",
            "http://ä",
            "http://a]",
        ] {
            assert!(HttpUrl::new(bad).is_err(), "{bad}");
        }
        assert!(HttpUrl::new(&format!("http://a/{}", "x".repeat(256))).is_err());
    }

    #[test]
    fn patterns_match_whole_words() {
        let pattern = EventPattern("lastmile.device.*".to_owned());
        assert!(pattern.matches("lastmile.device.bootstrapped"));
        assert!(!pattern.matches("lastmile.devices.bootstrapped"));
        assert!(!EventPattern("lastmile.device".to_owned()).matches("lastmile.device.seen"));
    }
}
