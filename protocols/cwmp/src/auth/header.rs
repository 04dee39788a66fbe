//! The `Authorization` header: read, and its digest checked.

use super::{Algorithm, AuthError, Ha1, NonceKey, NonceUse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Now, Redacted};
use std::fmt;
use subtle::ConstantTimeEq;

/// Longest header that is read, in bytes. Seen are at most 400.
const HEADER_BYTES_MAX: usize = 4096;

/// What a caller says to prove who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authorization {
    /// A hash of the password and our nonce.
    Digest(Digest),
    /// The password itself.
    Basic {
        /// Whose.
        username: Box<str>,
        /// For [`Ha1::matches`].
        password: Redacted<Box<str>>,
    },
}

impl Authorization {
    /// Reads the header's value.
    pub fn parse(header: &str) -> Result<Self, AuthError> {
        if header.len() > HEADER_BYTES_MAX {
            return Err(AuthError::Unreadable);
        }
        let (scheme, rest) = header.trim().split_once(' ').ok_or(AuthError::Unreadable)?;
        if scheme.eq_ignore_ascii_case("digest") {
            Digest::parse(rest).map(Self::Digest)
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic(rest)
        } else {
            Err(AuthError::Unsupported)
        }
    }

    /// Who it says it is.
    #[must_use]
    pub fn username(&self) -> &str {
        match self {
            Self::Digest(digest) => &digest.username,
            Self::Basic { username, .. } => username,
        }
    }
}

fn basic(encoded: &str) -> Result<Authorization, AuthError> {
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| AuthError::Unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| AuthError::Unreadable)?;
    let (username, password) = text.split_once(':').ok_or(AuthError::Unreadable)?;
    Ok(Authorization::Basic { username: username.into(), password: Redacted(password.into()) })
}

/// A digest answer (RFC 7616 3.4). Without `qop` it is RFC 2069's, which many devices still send.
/// Prints as its user: the rest would serve guessing.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Digest {
    pub(super) username: String,
    nonce: String,
    pub(super) uri: String,
    response: String,
    cnonce: String,
    nc: String,
    qop: String,
    algorithm: String,
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:?})", self.username)
    }
}

impl Digest {
    fn parse(fields: &str) -> Result<Self, AuthError> {
        let mut digest = Self::default();
        let mut rest = fields;
        while let Some((key, value, tail)) = field(rest)? {
            let slot = match key.to_ascii_lowercase().as_str() {
                "username" => &mut digest.username,
                "nonce" => &mut digest.nonce,
                "uri" => &mut digest.uri,
                "response" => &mut digest.response,
                "cnonce" => &mut digest.cnonce,
                "nc" => &mut digest.nc,
                "qop" => &mut digest.qop,
                "algorithm" => &mut digest.algorithm,
                // The realm is in HA1; `opaque` we never send.
                _ => {
                    rest = tail;
                    continue;
                }
            };
            *slot = value;
            rest = tail;
        }
        let whole =
            ![&digest.username, &digest.nonce, &digest.response].iter().any(|it| it.is_empty());
        if whole { Ok(digest) } else { Err(AuthError::Unreadable) }
    }

    /// Checks the answer, then its nonce, in constant time for the secret parts.
    ///
    /// `ha1` is `None` for an unknown user, which costs as much as a wrong password. The use of the
    /// nonce is for [`super::NonceWindow::accept`].
    pub fn verify(
        &self,
        method: &str,
        ha1: Option<&Ha1>,
        key: &NonceKey,
        now: Now,
    ) -> Result<NonceUse, AuthError> {
        let count = self.answered(method, ha1)?;
        key.check(&self.nonce, count, now)
    }

    /// The same of a device that repeats one answer for ever ([`crate::Quirks::digest_replay`]): the
    /// nonce must be one of ours, but neither its age nor its use is looked at. Whoever overhears
    /// one such answer is this device from then on.
    pub fn verify_repeated(
        &self,
        method: &str,
        ha1: Option<&Ha1>,
        key: &NonceKey,
    ) -> Result<(), AuthError> {
        self.answered(method, ha1)?;
        key.issued(&self.nonce).map(|_| ())
    }

    /// Whether it is the right answer; the count that it carries.
    fn answered(&self, method: &str, ha1: Option<&Ha1>) -> Result<Option<u32>, AuthError> {
        let (named, per_session) = self.algorithm()?;
        let algorithm = self.hashed_with().unwrap_or(named);
        let qop = match self.qop.to_ascii_lowercase().as_str() {
            "" => false,
            "auth" => true,
            _ => return Err(AuthError::Unsupported),
        };
        let known = ha1.is_some();
        let nobody = Ha1 { md5: [0; 16], sha256: [0; 32] };
        let mut secret = ha1.unwrap_or(&nobody).hex(algorithm);
        if per_session {
            secret = algorithm.hash(&[&secret, &self.nonce, &self.cnonce]);
        }
        let request = algorithm.hash(&[method, &self.uri]);
        let expected = if qop {
            algorithm.hash(&[&secret, &self.nonce, &self.nc, &self.cnonce, &self.qop, &request])
        } else {
            algorithm.hash(&[&secret, &self.nonce, &request])
        };
        let given = self.response.to_ascii_lowercase();
        let right: bool = expected.as_bytes().ct_eq(given.as_bytes()).into();
        if !(right && known) {
            return Err(AuthError::Wrong);
        }
        if qop {
            u32::from_str_radix(&self.nc, 16).map(Some).map_err(|_| AuthError::Unreadable)
        } else {
            Ok(None)
        }
    }

    /// What the answer was made with, as its length shows.
    ///
    /// A client that only knows MD5 and joins our two challenges to one line answers the first and
    /// repeats the name of the last. Either is offered, so taking it for what it is weakens nothing.
    fn hashed_with(&self) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256]
            .into_iter()
            .find(|it| it.hex_len() == self.response.len())
    }

    /// What the answer says that it was made with, and whether its secret is for one session.
    fn algorithm(&self) -> Result<(Algorithm, bool), AuthError> {
        const KNOWN: [(&str, Algorithm, bool); 5] = [
            ("", Algorithm::Md5, false),
            ("MD5", Algorithm::Md5, false),
            ("MD5-sess", Algorithm::Md5, true),
            ("SHA-256", Algorithm::Sha256, false),
            ("SHA-256-sess", Algorithm::Sha256, true),
        ];
        let known = KNOWN.iter().find(|(name, ..)| name.eq_ignore_ascii_case(&self.algorithm));
        known.map(|(_, algorithm, sess)| (*algorithm, *sess)).ok_or(AuthError::Unsupported)
    }
}

/// The next `key=value` or `key="value"`, and what follows it.
fn field(text: &str) -> Result<Option<(&str, String, &str)>, AuthError> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    if text.is_empty() {
        return Ok(None);
    }
    let (key, rest) = text.split_once('=').ok_or(AuthError::Unreadable)?;
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Ok(Some((key.trim(), rest[..end].trim().to_owned(), &rest[end..])));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(Some((key.trim(), value, &quoted[at + 1..]))),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    Err(AuthError::Unreadable)
}
