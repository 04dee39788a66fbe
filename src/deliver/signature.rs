//! Signatures by the Standard Webhooks convention (version 1.0.0, symmetric `v1`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Redacted;
use sha2::Sha256;

/// What a webhook's bodies are signed with. Prints as `…`.
#[derive(Clone, Debug)]
pub struct SigningSecret(Redacted<Box<[u8]>>);

impl SigningSecret {
    /// Shortest key, in bytes (Standard Webhooks, "Symmetric").
    pub const LEN_MIN: usize = 24;
    /// Longest key, in bytes (Standard Webhooks, "Symmetric").
    pub const LEN_MAX: usize = 64;

    /// Reads `whsec_<base64>`; white space around it, as a file's last newline, is not part of it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(SecretError::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretError::Encoding)?;
        if !(Self::LEN_MIN..=Self::LEN_MAX).contains(&key.len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(Redacted(key.into_boxed_slice())))
    }

    /// The value of `webhook-signature` for a body sent under `id` at `timestamp_s`.
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp_s.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Not a webhook's secret. The text itself is never repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretError {
    /// It does not say what it is.
    #[error("a webhook secret begins with `whsec_`")]
    Prefix,
    /// What follows the prefix is not base64.
    #[error("a webhook secret is base64 after `whsec_`")]
    Encoding,
    /// Too short to be safe, or longer than receivers take.
    #[error("a webhook secret is 24 to 64 bytes long before base64")]
    Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_reference_libraries_do() {
        // The vector that the reference libraries of Standard Webhooks share.
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn refuses_what_is_no_secret_and_prints_none() {
        assert_eq!(SigningSecret::parse("MfKQ9r8GKYqr").unwrap_err(), SecretError::Prefix);
        assert_eq!(SigningSecret::parse("whsec_!").unwrap_err(), SecretError::Encoding);
        assert_eq!(SigningSecret::parse("whsec_c2hvcnQ=").unwrap_err(), SecretError::Length);
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
    }
}
