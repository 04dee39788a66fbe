//! Standard Webhooks: `v1,<base64 of HMAC-SHA-256 over id.timestamp.body>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// How far the sender's clock may be off, in seconds.
const TOLERANCE_S: u64 = 300;

/// The key that both sides share.
#[derive(Clone)]
pub(crate) struct Secret(Hmac<Sha256>);

/// Why a batch is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a signature header is missing or unreadable")]
    Headers,
    #[error("webhook-timestamp is too far off")]
    Time,
    #[error("the signature does not verify")]
    Signature,
}

impl Secret {
    /// Reads `whsec_` and the key in base64.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let key = STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok()?;
        (!key.is_empty()).then(|| Hmac::<Sha256>::new_from_slice(&key).ok().map(Self)).flatten()
    }

    /// Judges a batch; `now` is in seconds since 1970. One right signature among several is enough.
    pub(crate) fn verify(
        &self,
        id: &str,
        timestamp: &str,
        body: &[u8],
        signatures: &str,
        now: u64,
    ) -> Result<(), Refusal> {
        let sent = timestamp.parse::<u64>().map_err(|_| Refusal::Headers)?;
        if id.is_empty() || signatures.is_empty() {
            return Err(Refusal::Headers);
        }
        if sent.abs_diff(now) > TOLERANCE_S {
            return Err(Refusal::Time);
        }
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let mut given = signatures
            .split_ascii_whitespace()
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
        let right = given.any(|signature| mac.clone().verify_slice(&signature).is_ok());
        right.then_some(()).ok_or(Refusal::Signature)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// The known answer of the convention's own libraries for this key, id, time and body.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_known_answer_verifies() {
        let secret = Secret::read(KEY).unwrap();
        let now = 1_614_265_330;
        assert_eq!(secret.verify(ID, TIME, BODY, SIGNATURE, now), Ok(()));
        let two = format!("v1,AAAA v2,x {SIGNATURE}");
        assert_eq!(secret.verify(ID, TIME, BODY, &two, now + 299), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let secret = Secret::read(KEY).unwrap();
        let now = 1_614_265_330;
        let wrong = Err(Refusal::Signature);
        assert_eq!(secret.verify("msg_other", TIME, BODY, SIGNATURE, now), wrong);
        assert_eq!(secret.verify(ID, "1614265331", BODY, SIGNATURE, now), wrong);
        assert_eq!(secret.verify(ID, TIME, b"{}", SIGNATURE, now), wrong);
        assert_eq!(secret.verify(ID, TIME, BODY, SIGNATURE, now + 301), Err(Refusal::Time));
        assert_eq!(secret.verify(ID, "x", BODY, SIGNATURE, now), Err(Refusal::Headers));
        assert_eq!(secret.verify(ID, TIME, BODY, "", now), Err(Refusal::Headers));
        assert!(Secret::read("MfKQ").is_none() && Secret::read("whsec_").is_none());
    }
}
