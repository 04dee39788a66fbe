//! Connection requests by UDP (TR-069 G.2.2.3, once TR-111 part 2): one datagram that looks like an
//! HTTP request, signed with the connection request password, to a device behind a translation of
//! addresses. Nobody answers it: whether it arrived shows when the device informs.

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Redacted;
use sha1::Sha1;
use std::fmt::Write as _;
use std::net::SocketAddr;
use subtle::ConstantTimeEq as _;

/// One connection request. Its copies are the same in every byte: a device takes a second with the
/// same `id` for the first (TR-069 G.2.2.3).
#[derive(Clone, Debug)]
pub struct UdpRequest<'a> {
    /// Seconds since 1970. A device may demand that it does not go back.
    pub timestamp_s: u64,
    /// Another than that of the request before.
    pub id: u32,
    /// ConnectionRequestUsername.
    pub username: &'a str,
    /// Never the same again.
    pub cnonce: &'a str,
    /// ConnectionRequestPassword: signs, and is not sent.
    pub password: Redacted<&'a str>,
}

impl UdpRequest<'_> {
    /// The datagram for a device at `to`.
    #[must_use]
    pub fn encode(&self, to: SocketAddr) -> Vec<u8> {
        let (ts, id) = (self.timestamp_s, self.id);
        let (username, cnonce) = (escaped(self.username), escaped(self.cnonce));
        let signed = self.signature();
        format!(
            "GET http://{to}?ts={ts}&id={id}&un={username}&cn={cnonce}&sig={signed} HTTP/1.1\r\n\r\n"
        )
        .into_bytes()
    }

    /// HMAC-SHA1 over the four values, one after the other, in 40 hexadecimal digits.
    fn signature(&self) -> String {
        let key = self.password.expose().as_bytes();
        let mut mac = <Hmac<Sha1>>::new_from_slice(key).expect("any length will do");
        mac.update(self.timestamp_s.to_string().as_bytes());
        mac.update(self.id.to_string().as_bytes());
        mac.update(self.username.as_bytes());
        mac.update(self.cnonce.as_bytes());
        let digest: [u8; 20] = mac.finalize().into_bytes().into();
        digest.iter().fold(String::with_capacity(40), |mut text, byte| {
            // Capitals, as in the clause's own example.
            write!(text, "{byte:02X}").expect("a String takes any text");
            text
        })
    }
}

/// Whether a device with that user name and password would take the datagram, for simulators and
/// tests; its `id` when it would.
#[must_use]
pub fn accept(datagram: &[u8], username: &str, password: &str) -> Option<u32> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (_, rest) = text.strip_prefix("GET http://")?.split_once('?')?;
    let (query, _) = rest.split_once(" HTTP/1.1\r\n")?;
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let request = UdpRequest {
        timestamp_s: field("ts")?.parse().ok()?,
        id: field("id")?.parse().ok()?,
        username,
        cnonce: field("cn")?,
        password: Redacted(password),
    };
    let signed = request.signature().to_ascii_lowercase();
    let said = field("sig")?.to_ascii_lowercase();
    let is_right =
        field("un")? == escaped(username) && bool::from(signed.as_bytes().ct_eq(said.as_bytes()));
    is_right.then_some(request.id)
}

/// As a query may hold it (RFC 3986 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes any text");
        }
    }
    out
}
