//! Whether a request comes from SORACOM Beam: a signature over what Beam says of the sender.
//!
//! The signature is a plain SHA-256 over key and text run together, so two things must be shut out
//! by reading strictly: values that swallow the next name (`imei=1x-soracom-imsi=2`), and a text that
//! was lengthened behind its end. Both need bytes that are no digits, and all signed values are
//! digits. It covers who sent and when, never the body.

use crate::message::Net;
use jiff::Timestamp;
use model::Redacted;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// The one version of the signature that Beam makes.
pub const VERSION: &str = "20151001";

/// The key that an operator has given to Beam and to us.
#[derive(Clone, Debug)]
pub struct PreSharedKey(Redacted<Box<[u8]>>);

impl PreSharedKey {
    /// Shortest key, in bytes: below it a key can be guessed from one message.
    pub const LEN_MIN: usize = 8;
    /// Longest key, in bytes, as SORACOM allows it.
    pub const LEN_MAX: usize = 4096;

    /// Takes a key of [`PreSharedKey::LEN_MIN`] to [`PreSharedKey::LEN_MAX`] bytes.
    pub fn new(key: &[u8]) -> Result<Self, KeyLength> {
        let fits = (Self::LEN_MIN..=Self::LEN_MAX).contains(&key.len());
        if fits { Ok(Self(Redacted(key.into()))) } else { Err(KeyLength) }
    }

    /// What is proven of the sender, if the signature is right and not older, or further ahead, than
    /// `age_max`. Comparing takes the same time whichever digit differs.
    pub fn verify(
        &self,
        signed: &Signed<'_>,
        now: Timestamp,
        age_max: Duration,
    ) -> Result<Sender, SignatureError> {
        let mut hash = Sha256::new();
        hash.update(self.0.expose());
        hash.update(signed.text.as_bytes());
        let right: [u8; 32] = hash.finalize().into();
        if !bool::from(right.ct_eq(&signed.signature)) {
            return Err(SignatureError::Wrong);
        }
        let age = now.as_millisecond().abs_diff(signed.sender.signed_ms);
        if u128::from(age) > age_max.as_millis() {
            return Err(SignatureError::Stale);
        }
        Ok(signed.sender.clone())
    }
}

/// A key that is too short to guard anything, or longer than Beam takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a pre-shared key has {} to {} bytes", PreSharedKey::LEN_MIN, PreSharedKey::LEN_MAX)]
pub struct KeyLength;

/// Who sent, as Beam signed it.
#[derive(Clone, Eq, PartialEq)]
pub struct Sender {
    /// Modem and SIM.
    pub net: Net,
    /// The SIM's phone number, without a plus.
    pub msisdn: Option<Box<str>>,
    /// SORACOM's number of the SIM.
    pub sim_id: Option<Box<str>>,
    /// When Beam had it, in milliseconds since 1970.
    pub signed_ms: i64,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.net)
    }
}

/// What Beam said of a sender, not yet believed.
pub struct Signed<'a> {
    /// What stands behind the key.
    text: std::borrow::Cow<'a, str>,
    signature: [u8; 32],
    sender: Sender,
}

impl fmt::Debug for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(…)")
    }
}

/// What may be signed, in the order of the signature: the name in a header, the name in a line, and
/// how many digits its value has.
const SIGNED: [(&str, &str, usize, usize); 5] = [
    ("x-soracom-imei", "imei", 14, 16),
    ("x-soracom-imsi", "imsi", 14, 15),
    ("x-soracom-msisdn", "msisdn", 5, 15),
    ("x-soracom-sim-id", "simId", 16, 22),
    ("x-soracom-timestamp", "timestamp", 13, 13),
];

impl<'a> Signed<'a> {
    /// Longest line in front of a TCP stream, in bytes, its end included: twice the longest there is.
    pub const LINE_LEN_MAX: usize = 512;

    /// Reads the headers of a request: names in any case, each at most once.
    pub fn of_headers<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Self, SignatureError> {
        let mut values: [Option<&str>; 5] = [None; 5];
        let (mut signature, mut version) = (None, None);
        for (name, value) in headers {
            let slot = match SIGNED.iter().position(|it| name.eq_ignore_ascii_case(it.0)) {
                Some(index) => &mut values[index],
                None if name.eq_ignore_ascii_case("x-soracom-signature") => &mut signature,
                None if name.eq_ignore_ascii_case("x-soracom-signature-version") => &mut version,
                None => continue,
            };
            if slot.replace(value.trim_ascii()).is_some() {
                return Err(SignatureError::Malformed);
            }
        }
        let (signature, sender) = checked(signature, version, values)?;
        let text = SIGNED.iter().zip(values);
        let text = text.filter_map(|(it, value)| value.map(|value| format!("{}={value}", it.0)));
        Ok(Self { text: text.collect(), signature, sender })
    }

    /// Reads the line that stands in front of a TCP stream, without its end:
    /// `imei=… imsi=… msisdn=… simId=… timestamp=…;signature=… version=20151001`.
    pub fn of_line(line: &'a str) -> Result<Self, SignatureError> {
        let (text, proof) = line.split_once(';').ok_or(SignatureError::Unsigned)?;
        let mut values: [Option<&str>; 5] = [None; 5];
        for pair in text.split(' ') {
            let (name, value) = pair.split_once('=').ok_or(SignatureError::Malformed)?;
            let index = SIGNED.iter().position(|it| it.1 == name);
            let slot = &mut values[index.ok_or(SignatureError::Malformed)?];
            if slot.replace(value).is_some() {
                return Err(SignatureError::Malformed);
            }
        }
        let (mut signature, mut version) = (None, None);
        for pair in proof.split([' ', ';']).filter(|it| !it.is_empty()) {
            let slot = match pair.split_once('=') {
                Some(("signature", value)) => (&mut signature, value),
                Some(("version", value)) => (&mut version, value),
                _ => return Err(SignatureError::Malformed),
            };
            if slot.0.replace(slot.1).is_some() {
                return Err(SignatureError::Malformed);
            }
        }
        let (signature, sender) = checked(signature, version, values)?;
        Ok(Self { text: text.into(), signature, sender })
    }
}

/// The parts, each of its form. Beam signs only where it also says modem, SIM or number.
fn checked(
    signature: Option<&str>,
    version: Option<&str>,
    values: [Option<&str>; 5],
) -> Result<([u8; 32], Sender), SignatureError> {
    let signature = signature.ok_or(SignatureError::Unsigned)?;
    if version != Some(VERSION) {
        return Err(SignatureError::Version);
    }
    let signature = hex(signature).ok_or(SignatureError::Malformed)?;
    for (value, (.., len_min, len_max)) in values.iter().zip(SIGNED) {
        let fits = |value: &str| {
            (len_min..=len_max).contains(&value.len())
                && value.bytes().all(|it| it.is_ascii_digit())
        };
        if value.is_some_and(|value| !fits(value)) {
            return Err(SignatureError::Malformed);
        }
    }
    let [imei, imsi, msisdn, sim_id, timestamp] = values;
    if [imei, imsi, msisdn, sim_id].iter().all(Option::is_none) {
        return Err(SignatureError::Malformed);
    }
    let signed_ms = timestamp.and_then(|it| it.parse().ok()).ok_or(SignatureError::Malformed)?;
    let own = |value: Option<&str>| value.map(Into::into);
    let net = Net { imei: own(imei), imsi: own(imsi) };
    Ok((signature, Sender { net, msisdn: own(msisdn), sim_id: own(sim_id), signed_ms }))
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Why a request is not taken for one of Beam's. All are answered alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("not signed")]
    Unsigned,
    /// The signature is of another version than [`VERSION`].
    #[error("another version of the signature")]
    Version,
    /// What is signed is not what Beam signs.
    #[error("malformed signature")]
    Malformed,
    /// The signature is of another key or another text.
    #[error("wrong signature")]
    Wrong,
    /// It was made too long ago, or lies ahead.
    #[error("stale signature")]
    Stale,
}

impl SignatureError {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Version => "signature_version",
            Self::Malformed => "malformed_signature",
            Self::Wrong => "wrong_signature",
            Self::Stale => "stale_signature",
        }
    }
}

#[cfg(test)]
mod tests;
