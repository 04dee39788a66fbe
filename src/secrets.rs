//! Secrets: made, sealed and compared here; never shown.
//!
//! One key of 32 bytes lies beside the store (`store.key_file`, made at first start). What devices
//! present is kept as an HMAC under it; what we present, and the HA1s of digest authentication, are
//! sealed with an AEAD and carry the key's id, so that a key can be changed later.

use crate::clock::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::{Hmac, Mac as _};
use model::{Random as _, Redacted};
use sha2::Sha256;

/// Bytes of the key.
pub const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
/// The key's id in front of everything sealed: the first byte of a hash of the key.
const ID_LEN: usize = 1;

/// Reads the store's key: 32 bytes, or their base64url text.
pub fn parse_key(bytes: &[u8]) -> Result<[u8; KEY_LEN], KeyError> {
    if let Ok(raw) = bytes.try_into() {
        return Ok(raw);
    }
    let decoded = URL_SAFE_NO_PAD.decode(bytes.trim_ascii()).map_err(|_| KeyError)?;
    decoded.try_into().map_err(|_| KeyError)
}

/// What should be the store's key is something else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the store's key is 32 bytes, or their base64url text")]
pub struct KeyError;

/// Seals and compares with the store's key.
#[derive(Clone)]
pub struct Vault {
    mac: Hmac<Sha256>,
    cipher: ChaCha20Poly1305,
    key_id: u8,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// A vault over `key`. The two uses get keys of their own, derived by HMAC.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        let root = mac(key);
        let sealing = finish(root.clone(), b"lastmile seal");
        let comparing = finish(root.clone(), b"lastmile compare");
        let [key_id, ..] = finish(root, b"lastmile key id");
        let cipher = ChaCha20Poly1305::new(&Key::from(sealing));
        Self { mac: mac(&comparing), cipher, key_id }
    }

    /// The HMAC-SHA-256 of `text` under the store's key.
    #[must_use]
    pub fn hmac(&self, text: &[u8]) -> [u8; 32] {
        finish(self.mac.clone(), text)
    }

    /// A key for one named use, derived from the store's key.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        self.hmac(purpose.as_bytes())
    }

    /// Encrypts so that only this vault can read it and a change is noticed.
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> Redacted<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom.fill(&mut nonce);
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), plain);
        let sealed = sealed.expect("a secret is far shorter than the cipher's bound of 256 GiB");
        let mut whole = Vec::with_capacity(ID_LEN + NONCE_LEN + sealed.len());
        whole.push(self.key_id);
        whole.extend_from_slice(&nonce);
        whole.extend_from_slice(&sealed);
        Redacted(whole)
    }

    /// Reads what [`Vault::seal`] wrote; `None` when it was changed or sealed under another key.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Redacted<Vec<u8>>> {
        let (&key_id, rest) = sealed.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if key_id != self.key_id {
            return None;
        }
        self.cipher.decrypt(&Nonce::from(*nonce), sealed).ok().map(Redacted)
    }

    /// The same of what was sealed as a text.
    #[must_use]
    pub fn open_text(&self, sealed: &[u8]) -> Option<Redacted<String>> {
        String::from_utf8(self.open(sealed)?.0).ok().map(Redacted)
    }
}

/// A secret of 128 bits, as machines present to each other.
#[must_use]
pub fn new_secret() -> Redacted<String> {
    random_text::<16>()
}

/// A token of 256 bits, as an operator's tools present.
#[must_use]
pub fn new_token() -> Redacted<String> {
    random_text::<32>()
}

fn random_text<const LEN: usize>() -> Redacted<String> {
    let mut bytes = [0; LEN];
    SystemRandom.fill(&mut bytes);
    Redacted(URL_SAFE_NO_PAD.encode(bytes))
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn finish(mut mac: Hmac<Sha256>, text: &[u8]) -> [u8; 32] {
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let vault = Vault::new(&[7; KEY_LEN]);
        let sealed = vault.seal(b"secret");
        assert_eq!(vault.open(&sealed.0).unwrap().0, b"secret");
        for index in 0..sealed.0.len() {
            let mut changed = sealed.0.clone();
            changed[index] ^= 1;
            assert!(vault.open(&changed).is_none(), "byte {index}");
        }
        assert!(Vault::new(&[8; KEY_LEN]).open(&sealed.0).is_none());
        assert!(vault.open(&[]).is_none());
    }

    #[test]
    fn secrets_have_their_length_and_differ() {
        assert_eq!(new_secret().0.len(), 22);
        assert_eq!(new_token().0.len(), 43);
        assert_ne!(new_token(), new_token());
        assert_eq!(format!("{:?}", new_token()), "…");
    }
}
