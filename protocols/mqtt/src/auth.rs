//! Passwords of devices: kept as a keyed hash, compared in constant time.
//!
//! Device passwords are machine-made (128 bits), so one HMAC is enough and 50,000 boards may
//! come back at once; a person's password would need argon2, and has no place here.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// The user name of a device that has no credentials of its own and presents the enrolment
/// secret as its password.
pub const ENROL_USER: &str = "enrol";

/// Separates this use of the key from every other.
const PURPOSE: &[u8] = b"lastmile mqtt password\0";

/// The daemon's key for device passwords.
#[derive(Clone)]
pub struct PasswordKey(Hmac<Sha256>);

impl PasswordKey {
    /// Takes a key of any length; 32 random bytes are right.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(PURPOSE);
        Self(mac)
    }

    /// What is kept of a password.
    #[must_use]
    pub fn digest(&self, password: &[u8]) -> PasswordDigest {
        let mut mac = self.0.clone();
        mac.update(password);
        PasswordDigest(mac.finalize().into_bytes().into())
    }

    /// Whether `password` is the one that `kept` was made of; takes as long either way.
    #[must_use]
    pub fn verify(&self, password: &[u8], kept: &PasswordDigest) -> bool {
        let mut mac = self.0.clone();
        mac.update(password);
        mac.verify_slice(&kept.0).is_ok()
    }
}

/// The key is never printed.
impl fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordKey(…)")
    }
}

/// What is kept of a password: 32 bytes that only [`PasswordKey::verify`] can use.
#[derive(Clone, Copy)]
pub struct PasswordDigest([u8; 32]);

impl PasswordDigest {
    /// Takes bytes that [`PasswordDigest::as_bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The digest is never printed.
impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordDigest(…)")
    }
}

/// Whether a presented secret is the expected one; the time taken tells only the length.
#[must_use]
pub fn same_secret(presented: &[u8], expected: &[u8]) -> bool {
    use subtle::ConstantTimeEq as _;
    presented.ct_eq(expected).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_its_own_digest_only() {
        let key = PasswordKey::new(b"key");
        let kept = key.digest(b"secret");
        let kept = PasswordDigest::from_bytes(*kept.as_bytes());
        assert!(key.verify(b"secret", &kept));
        assert!(!key.verify(b"secreT", &kept));
        assert!(!key.verify(b"", &kept));
        assert!(!PasswordKey::new(b"other").verify(b"secret", &kept));
        assert_eq!(format!("{key:?} {kept:?}"), "PasswordKey(…) PasswordDigest(…)");
    }

    /// Computed with `printf 'lastmile mqtt password\0secret' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_digest_is_hmac_sha_256() {
        let kept = PasswordKey::new(b"key").digest(b"secret");
        let hex: String = kept.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "4cf4aa3c2a0de1a21ffc490f5ea3f1155af4396aa6d52fd76ba30f6586cadf0e");
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret(b"abc", b"abc"));
        assert!(!same_secret(b"abc", b"abd"));
        assert!(!same_secret(b"ab", b"abc"));
        assert!(!same_secret(b"", b"abc"));
    }
}
