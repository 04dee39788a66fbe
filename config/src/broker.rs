//! What an MQTT sink is told of its broker.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::text::HostPort;
use std::fmt;
use std::net::IpAddr;

/// Where events are published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Broker {
    /// The one inside.
    Embedded,
    /// The operator's.
    Remote {
        /// A name, or an address (an IPv6 address without its brackets).
        host: String,
        /// The port, else the scheme's: 1883 or 8883.
        port: u16,
        /// Whether the way there is encrypted: `mqtts://`.
        is_tls: bool,
    },
}

impl Broker {
    /// Whether it is the one inside.
    pub fn is_embedded(&self) -> bool {
        *self == Self::Embedded
    }

    /// Whether it is reached over a network in plain text.
    pub fn is_overheard(&self) -> bool {
        match self {
            Self::Embedded => false,
            Self::Remote { is_tls: true, .. } => false,
            Self::Remote { host, .. } => {
                let is_loopback = host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
                !is_loopback && !host.eq_ignore_ascii_case("localhost")
            }
        }
    }

    fn new(text: &str) -> Result<Self, &'static str> {
        let (authority, is_tls) = match text.split_once("://") {
            None if text == "embedded" => return Ok(Self::Embedded),
            Some(("mqtt", authority)) => (authority, false),
            Some(("mqtts", authority)) => (authority, true),
            _ => return Err("must be \"embedded\", or begin with mqtt:// or mqtts://"),
        };
        if authority.contains('@') {
            return Err("must not hold credentials: `username` and `password_file` do");
        }
        let message = "must be mqtt://host or mqtts://host, with or without :port, and no more";
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let named = HostPort::new(authority).ok_or(message)?;
        let port = named.port().unwrap_or(if is_tls { 8883 } else { 1883 });
        Ok(Self::Remote { host: named.host().to_owned(), port, is_tls })
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Remote { host, port, is_tls } => {
                let scheme = if *is_tls { "mqtts" } else { "mqtt" };
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "{scheme}://{open}{host}{close}:{port}")
            }
        }
    }
}

impl Value for Broker {
    fn describe() -> String {
        "`embedded`, mqtt:// or mqtts://".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a broker")?;
        match Self::new(text) {
            Ok(broker) => Some(broker),
            Err(why) => reader.refuse(node, Cause::Value, why.to_owned()),
        }
    }
}

/// What a client calls itself: 1 to 128 of ASCII letters, digits, `-`, `_`, `.`, `:`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientId(String);

impl ClientId {
    /// Longest, in bytes. Servers must take 23 (MQTT 3.1.1, 3.1.3.1), and all take more.
    pub const LEN_MAX: usize = 128;

    /// The client id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for ClientId {
    fn describe() -> String {
        format!("client id, 1 to {} of ASCII letters, digits, `-`, `_`, `.`, `:`", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a client id")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !(1..=Self::LEN_MAX).contains(&text.len()) || !text.bytes().all(allowed) {
            let max = Self::LEN_MAX;
            let message = format!("must be 1 to {max} ASCII letters, digits, `-`, `_`, `.`, `:`");
            return reader.refuse(node, Cause::Value, message);
        }
        Some(Self(text.to_owned()))
    }
}

/// What topics begin with: printable ASCII without wildcards, not beginning with `$` or `/`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TopicPrefix(String);

impl TopicPrefix {
    /// Longest, in bytes.
    pub const LEN_MAX: usize = 128;

    /// The prefix, with the slash at its end where the operator wrote one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for TopicPrefix {
    fn describe() -> String {
        format!("beginning of topics, at most {} bytes of ASCII", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "the beginning of topics")?;
        let fits = text.len() <= Self::LEN_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && !text.contains(['+', '#', '"', '\\'])
            && !text.starts_with(['$', '/']);
        if !fits {
            let message =
                "must be ASCII without spaces, `+`, `#` and quotes, and not begin with `$` or `/`";
            return reader.refuse(node, Cause::Value, message.to_owned());
        }
        Some(Self(text.to_owned()))
    }

    fn blank() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_taken_apart() {
        let remote =
            |host: &str, port, is_tls| Broker::Remote { host: host.to_owned(), port, is_tls };
        for (text, broker, spelled) in [
            ("embedded", Broker::Embedded, "embedded"),
            (
                "mqtt://emqx.example",
                remote("emqx.example", 1883, false),
                "mqtt://emqx.example:1883",
            ),
            (
                "mqtts://emqx.example/",
                remote("emqx.example", 8883, true),
                "mqtts://emqx.example:8883",
            ),
            ("mqtt://10.0.0.5:2883", remote("10.0.0.5", 2883, false), "mqtt://10.0.0.5:2883"),
            ("mqtt://[::1]:1", remote("::1", 1, false), "mqtt://[::1]:1"),
        ] {
            let read = Broker::new(text).expect(text);
            assert_eq!((&read, &*read.to_string()), (&broker, spelled));
        }
        for bad in [
            "",
            "Embedded",
            "broker",
            "tcp://a",
            "http://a",
            "mqtt://",
            "mqtt://u:p@a",
            "mqtt://a/topic",
            "mqtt://a:0",
            "mqtt://a b",
            "mqtt://::1",
        ] {
            assert!(Broker::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_text_over_a_network_is_told_apart() {
        let is_overheard = |text: &str| Broker::new(text).expect(text).is_overheard();
        assert!(is_overheard("mqtt://emqx.example"));
        for safe in
            ["embedded", "mqtt://127.0.0.1", "mqtt://[::1]", "mqtt://localhost", "mqtts://a"]
        {
            assert!(!is_overheard(safe), "{safe}");
        }
    }
}
