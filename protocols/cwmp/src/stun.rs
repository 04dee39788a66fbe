//! STUN binding requests and their answers, as TR-069 Annex G (once TR-111 part 2) has CPEs behind
//! a translation of addresses send them: RFC 3489 with two attributes of its own, RFC 5389 where the
//! device speaks it.
//!
//! Pure: no socket, no table. The driver takes a datagram to [`Request::parse`], finds the password of
//! [`Request::username`], asks [`Request::proves`], and sends what [`Request::answer`] or
//! [`Request::refusal`] makes. No answer is longer than its question, whatever it would say: who
//! sends in another's name (UDP names nobody for sure) gains nothing by it.

mod device;

pub use device::{binding_request, error_code, mapped_address};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq as _;

/// Longest datagram that is looked at, in bytes. A request of Annex G has a user name of at most
/// 256 bytes and some 70 beside it; RFC 5389 7.1 keeps requests below 576.
pub const DATAGRAM_MAX: usize = 576;
/// Most attributes that are looked at; devices send three to six.
const ATTRIBUTES_MAX: usize = 32;

const HEADER_LEN: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_RESPONSE: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// TR-069 G.2.1.2: this binding is where connection requests go.
const CONNECTION_REQUEST_BINDING: u16 = 0xc001;
/// TR-069 G.2.1.2: the binding is another than before.
const BINDING_CHANGE: u16 = 0xc002;
/// From here on an attribute that nobody knows is passed over (RFC 3489 11.2, RFC 5389 15).
const FIRST_OPTIONAL: u16 = 0x8000;
const INTEGRITY_LEN: usize = 20;

/// What [`CONNECTION_REQUEST_BINDING`] must hold (TR-069 G.2.1.2).
const CONNECTION_REQUEST_VALUE: &[u8; 20] = b"dslforum.org/TR-111 ";

/// Why a datagram is no binding request. Such a datagram gets no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StunError {
    /// Longer than [`DATAGRAM_MAX`].
    #[error("longer than a binding request may be")]
    TooLong,
    /// Not STUN, or cut off.
    #[error("not a STUN message")]
    Malformed,
    /// STUN, but no binding request: an answer, an indication, a shared secret request.
    #[error("not a binding request")]
    NotARequest,
}

/// Why a request is refused; a device that is refused with [`Refusal::Unauthorised`] tries again with
/// its name and password (TR-069 G.2.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// 401: no name, a name that is nobody's, or not proved.
    Unauthorised,
    /// 420: it has attributes that must be understood and are not: the first is named.
    UnknownAttribute(u16),
}

/// A binding request, read from one datagram.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    username: Option<&'a str>,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: Option<usize>,
    is_for_connection_requests: bool,
    has_changed: bool,
    unknown: Option<u16>,
}

/// One attribute and where it stands.
struct Attribute<'a> {
    kind: u16,
    value: &'a [u8],
    at: usize,
}

impl<'a> Request<'a> {
    /// Reads a datagram (RFC 3489 11, RFC 5389 6).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        if datagram.len() > DATAGRAM_MAX {
            return Err(StunError::TooLong);
        }
        let kind = number(datagram, 0).ok_or(StunError::Malformed)?;
        let len = number(datagram, 2).ok_or(StunError::Malformed)?;
        if datagram.len() != HEADER_LEN + usize::from(len) || len % 4 != 0 {
            return Err(StunError::Malformed);
        }
        if kind != BINDING_REQUEST {
            return Err(StunError::NotARequest);
        }
        let mut request = Self {
            bytes: datagram,
            username: None,
            integrity_at: None,
            is_for_connection_requests: false,
            has_changed: false,
            unknown: None,
        };
        let mut at = HEADER_LEN;
        for _ in 0..ATTRIBUTES_MAX {
            if at == datagram.len() {
                return Ok(request);
            }
            let attribute = attribute(datagram, at).ok_or(StunError::Malformed)?;
            at += 4 + attribute.value.len().next_multiple_of(4);
            // What comes behind the proof is not proved (RFC 5389 15.4).
            if request.integrity_at.is_none() {
                request.take(&attribute)?;
            }
        }
        Err(StunError::Malformed)
    }

    fn take(&mut self, attribute: &Attribute<'a>) -> Result<(), StunError> {
        match attribute.kind {
            USERNAME => {
                let name =
                    std::str::from_utf8(attribute.value).map_err(|_| StunError::Malformed)?;
                // Filled up to four bytes: by spaces (TR-069 G.2.1.2) or zeros, within its length.
                self.username = Some(name.trim_end_matches([' ', '\0']));
            }
            MESSAGE_INTEGRITY => {
                if attribute.value.len() != INTEGRITY_LEN {
                    return Err(StunError::Malformed);
                }
                self.integrity_at = Some(attribute.at);
            }
            CONNECTION_REQUEST_BINDING => {
                self.is_for_connection_requests = attribute.value == CONNECTION_REQUEST_VALUE;
            }
            BINDING_CHANGE => self.has_changed = true,
            // Asks for no other address to answer from.
            CHANGE_REQUEST if attribute.value.iter().all(|&byte| byte == 0) => {}
            REALM | NONCE => {}
            kind if kind < FIRST_OPTIONAL => self.unknown = self.unknown.or(Some(kind)),
            _ => {}
        }
        Ok(())
    }

    /// Whose name it bears, without what fills it up.
    #[must_use]
    pub fn username(&self) -> Option<&'a str> {
        self.username
    }

    /// Whether the binding that it comes by is where the device waits for connection requests.
    #[must_use]
    pub fn is_for_connection_requests(&self) -> bool {
        self.is_for_connection_requests
    }

    /// Whether the device says that its binding is another than before.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// The first attribute that must be understood and is not: answer [`Refusal::UnknownAttribute`].
    /// RESPONSE-ADDRESS is among them: we answer nobody but who asks.
    #[must_use]
    pub fn unknown_attribute(&self) -> Option<u16> {
        self.unknown
    }

    /// Whether its MESSAGE-INTEGRITY was made with `password` (STUNPassword): over the message before
    /// it, filled up with zeros to 64 bytes (RFC 3489 11.2.8) or as it is (RFC 5389 15.4).
    #[must_use]
    pub fn proves(&self, password: &str) -> bool {
        let Some(at) = self.integrity_at else { return false };
        let Some(said) = self.bytes.get(at + 4..at + 4 + INTEGRITY_LEN) else { return false };
        let padded = integrity(&self.bytes[..at], password, true);
        let bare = integrity(&self.bytes[..at], password, false);
        (padded.ct_eq(said) | bare.ct_eq(said)).into()
    }

    /// The answer that tells the device its own address: MAPPED-ADDRESS always, XOR-MAPPED-ADDRESS
    /// where the device speaks RFC 5389, and our proof where `password` says that it proved its own.
    ///
    /// `None` when it would be longer than the question.
    #[must_use]
    pub fn answer(&self, from: SocketAddr, password: Option<&str>) -> Option<Vec<u8>> {
        let both = self.response(from, password, self.has_cookie());
        // An old translation of addresses may have rewritten the plain one: the other is the better.
        let fits = |answer: &Vec<u8>| answer.len() <= self.bytes.len();
        Some(both).filter(fits).or_else(|| Some(self.response(from, password, false)).filter(fits))
    }

    fn response(&self, from: SocketAddr, password: Option<&str>, with_xor: bool) -> Vec<u8> {
        let mut out = self.begin(BINDING_RESPONSE);
        put(&mut out, MAPPED_ADDRESS, &address(from));
        if with_xor {
            put(&mut out, XOR_MAPPED_ADDRESS, &self.masked(from));
        }
        if let Some(password) = password {
            let total = out.len() + 4 + INTEGRITY_LEN;
            set_len(&mut out, total);
            // As the device itself does it: who fills up, expects it filled up.
            let proof = integrity(&out, password, !self.has_cookie());
            put(&mut out, MESSAGE_INTEGRITY, &proof);
        }
        let total = out.len();
        set_len(&mut out, total);
        out
    }

    /// The answer that refuses; `None` when it would be longer than the question.
    #[must_use]
    pub fn refusal(&self, refusal: Refusal) -> Option<Vec<u8>> {
        let mut out = self.begin(BINDING_ERROR);
        match refusal {
            // Without words: the shorter, the more questions can be answered.
            Refusal::Unauthorised => put(&mut out, ERROR_CODE, &[0, 0, 4, 1]),
            Refusal::UnknownAttribute(kind) => {
                put(&mut out, ERROR_CODE, &[0, 0, 4, 20]);
                let [high, low] = kind.to_be_bytes();
                // RFC 3489 11.2.10: an odd one is told twice, to fill four bytes.
                put(&mut out, UNKNOWN_ATTRIBUTES, &[high, low, high, low]);
            }
        }
        let total = out.len();
        set_len(&mut out, total);
        (out.len() <= self.bytes.len()).then_some(out)
    }

    fn has_cookie(&self) -> bool {
        self.bytes[4..8] == COOKIE
    }

    /// A header with the request's own transaction.
    fn begin(&self, kind: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.bytes[4..HEADER_LEN]);
        out
    }

    /// RFC 5389 15.2: the address under a mask of cookie and transaction.
    fn masked(&self, from: SocketAddr) -> Vec<u8> {
        let mut value = address(from);
        let mask = &self.bytes[4..HEADER_LEN];
        for (byte, mask) in value[2..4].iter_mut().zip(mask) {
            *byte ^= mask;
        }
        for (byte, mask) in value[4..].iter_mut().zip(mask) {
            *byte ^= mask;
        }
        value
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The attribute at `at`; its value lies within `bytes` with what fills it up.
fn attribute(bytes: &[u8], at: usize) -> Option<Attribute<'_>> {
    let kind = number(bytes, at)?;
    let len = usize::from(number(bytes, at + 2)?);
    let whole = bytes.get(at + 4..at + 4 + len.next_multiple_of(4))?;
    Some(Attribute { kind, value: &whole[..len], at })
}

fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len()).expect("a name is at most 256 bytes, all else is shorter");
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Writes into the header how long the message will be in all, `total` bytes.
fn set_len(out: &mut [u8], total: usize) {
    let len = u16::try_from(total - HEADER_LEN).expect("a message is at most a datagram");
    out[2..4].copy_from_slice(&len.to_be_bytes());
}

/// RFC 3489 11.2.1: family, port, address.
fn address(from: SocketAddr) -> Vec<u8> {
    let mut value = vec![0, if from.is_ipv4() { 1 } else { 2 }];
    value.extend_from_slice(&from.port().to_be_bytes());
    match from.ip() {
        IpAddr::V4(ip) => value.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => value.extend_from_slice(&ip.octets()),
    }
    value
}

/// The proof over a message whose header counts the proof in, as its last attribute.
fn integrity(before: &[u8], password: &str, padded: bool) -> [u8; INTEGRITY_LEN] {
    let mut mac = <Hmac<Sha1>>::new_from_slice(password.as_bytes()).expect("any length will do");
    let total = u16::try_from(before.len() + 4 + INTEGRITY_LEN - HEADER_LEN).unwrap_or(u16::MAX);
    // RFC 5389 15.4: attributes behind the proof are not counted.
    mac.update(&before[..2]);
    mac.update(&total.to_be_bytes());
    mac.update(&before[4..]);
    if padded {
        mac.update(&[0; 64][..before.len().next_multiple_of(64) - before.len()]);
    }
    mac.finalize().into_bytes().into()
}
