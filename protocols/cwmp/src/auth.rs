//! Who is calling: HTTP digest (RFC 7616, RFC 2617 and what devices make of them) and basic on the
//! server's side. Pure: keeps no password, no nonce and no clock.
//!
//! The driver: no `Authorization` → 401 with [`challenge`]. Else [`Authorization::parse`], look up
//! the [`Ha1`] of its user name, [`Digest::verify`], then [`NonceWindow::accept`]. An error for
//! which [`AuthError::is_stale`] is a challenge with `stale`, any other one without.
//!
//! The `uri` a device signs is taken as it writes it: any path is served the same, devices write it
//! in every form, and proxies rewrite it.
//!
//! A CPE that shows a certificate has proved to be whom [`CertificateNames`] name; checking the
//! certificate itself is for the driver's TLS.

mod certificate;
mod header;
mod nonce;

pub use certificate::CertificateNames;
pub use header::{Authorization, Digest};
pub use nonce::{NonceKey, NonceUse, NonceWindow};

use md5::Md5;
use model::Now;
use sha2::Sha256;
use std::fmt::{self, Write as _};

/// The realm of every challenge. Part of each [`Ha1`]: changing it invalidates them all.
pub const REALM: &str = "lastmile";

/// Values for two `WWW-Authenticate` headers.
///
/// Send MD5 first: widespread client libraries look at the first digest challenge alone, and of
/// those the old ones know nothing else. One that can choose takes what it likes (RFC 7616 3.7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// For every device.
    pub md5: String,
    /// For those that can.
    pub sha256: String,
}

/// Asks for digest authentication with a fresh nonce (RFC 7616 3.3). `stale` says that the answer
/// was right and only its nonce was not, so that the device tries again by itself.
#[must_use]
pub fn challenge(key: &NonceKey, stale: bool, now: Now) -> Challenge {
    let nonce = key.nonce(now);
    let stale = if stale { ", stale=true" } else { "" };
    let of = |algorithm: Algorithm| {
        let algorithm = algorithm.as_str();
        format!(
            r#"Digest realm="{REALM}", qop="auth", algorithm={algorithm}, nonce="{nonce}"{stale}"#
        )
    };
    Challenge { md5: of(Algorithm::Md5), sha256: of(Algorithm::Sha256) }
}

/// The value of a `WWW-Authenticate` header that asks for basic authentication: on TLS only, or
/// where the configuration allows it.
#[must_use]
pub fn basic_challenge() -> String {
    format!(r#"Basic realm="{REALM}", charset="UTF-8""#)
}

/// The hash that digest algorithms work with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// What every device can do.
    Md5,
    /// RFC 7616.
    Sha256,
}

impl Algorithm {
    /// Its name in headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Length of a hash in hexadecimal.
    const fn hex_len(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }

    /// The lower-case hexadecimal hash of `parts` with colons between them.
    fn hash(self, parts: &[&str]) -> String {
        match self {
            Self::Md5 => hex(&joined::<Md5>(parts)),
            Self::Sha256 => hex(&joined::<Sha256>(parts)),
        }
    }
}

fn joined<D: sha2::Digest>(parts: &[&str]) -> sha2::digest::Output<D> {
    let mut hash = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// What must be kept of a password to check digests: `H(user:realm:password)` for each algorithm.
/// As good as the password within this realm: keep it sealed. Never prints.
#[derive(Clone, Eq, PartialEq)]
pub struct Ha1 {
    md5: [u8; 16],
    sha256: [u8; 32],
}

impl Ha1 {
    /// Size of [`Ha1::to_bytes`].
    pub const LEN: usize = 48;

    /// Of a user name and password in [`REALM`].
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let parts = [username, REALM, password];
        Self { md5: joined::<Md5>(&parts).into(), sha256: joined::<Sha256>(&parts).into() }
    }

    /// For keeping.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.md5);
        bytes[16..].copy_from_slice(&self.sha256);
        bytes
    }

    /// From [`Ha1::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (md5, sha256) = bytes.split_at_checked(16)?;
        Some(Self { md5: md5.try_into().ok()?, sha256: sha256.try_into().ok()? })
    }

    /// Whether `password` is the one, for basic authentication. Takes the same time either way.
    #[must_use]
    pub fn matches(&self, username: &str, password: &str) -> bool {
        use subtle::ConstantTimeEq;
        Self::new(username, password).to_bytes().ct_eq(&self.to_bytes()).into()
    }

    fn hex(&self, algorithm: Algorithm) -> String {
        match algorithm {
            Algorithm::Md5 => hex(&self.md5),
            Algorithm::Sha256 => hex(&self.sha256),
        }
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthError {
    /// Not an Authorization header, or without a field it needs.
    #[error("authorization cannot be read")]
    Unreadable,
    /// A scheme, algorithm or quality of protection that was not offered.
    #[error("authorization uses what was not offered")]
    Unsupported,
    /// Unknown user or wrong password: not told apart.
    #[error("credentials do not match")]
    Wrong,
    /// Right, but the nonce is too old or not ours.
    #[error("nonce is stale")]
    Stale,
    /// Right, but this very answer was given before.
    #[error("authorization was used before")]
    Replayed,
}

impl AuthError {
    /// A stable word for metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
        }
    }

    /// Whether the credentials were right, so that the next challenge says `stale=true` and the try
    /// does not count as a failed one.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::Stale | Self::Replayed)
    }
}

#[cfg(test)]
mod tests;
