//! Signatures of images: Ed25519 (RFC 8032) over a line that names the content.
//!
//! What is signed is not the image but the text `lastmile image sha256:<64 hexadecimal digits>` and
//! a line feed. So a signature is checked without holding an image of half a GiB in memory, can be
//! checked again for as long as the image is kept, and is no signature of anything else by the same
//! key. Stock tools make keys and signatures:
//!
//! ```text
//! openssl genpkey -algorithm ed25519 -out release.key
//! openssl pkey -in release.key -pubout -out release.pem          # goes into `firmware.keys`
//! printf 'lastmile image sha256:%s\n' "$(sha256sum < router.bin | cut -c1-64)" > router.line
//! openssl pkeyutl -sign -rawin -inkey release.key -in router.line | base64 -w0 > router.sig
//! ```

use crate::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use std::fmt;

/// How the DER of an Ed25519 public key begins (RFC 8410 4): the key's 32 bytes follow.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// Whose signatures are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey(VerifyingKey);

/// Not a public key of this kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an Ed25519 public key: its PEM, or its 32 bytes or its DER in base64")]
pub struct PublicKeyError;

/// A signature of an image.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct ImageSignature([u8; 64]);

/// Not a signature at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a signature is the 64 bytes of an Ed25519 signature in base64")]
pub struct SignatureError;

impl PublicKey {
    /// Reads a key: PEM as `openssl pkey -pubout` writes it, or base64 of its 32 bytes or its DER.
    ///
    /// # Errors
    ///
    /// Where it is neither, and where the point is one that nobody has a private key of.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let text = text.trim();
        let body = match text.strip_prefix(PEM_BEGIN) {
            Some(rest) => rest.split_once(PEM_END).ok_or(PublicKeyError)?.0,
            None => text,
        };
        let body: String = body.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(body).map_err(|_| PublicKeyError)?;
        let key = bytes.strip_prefix(&SPKI).unwrap_or(&bytes);
        let key = <[u8; 32]>::try_from(key).map_err(|_| PublicKeyError)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| PublicKeyError)?;
        if key.is_weak() { Err(PublicKeyError) } else { Ok(Self(key)) }
    }

    /// Whether it signed a content.
    #[must_use]
    pub fn signed(&self, content: Sha256, signature: &ImageSignature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(line(content).as_bytes(), &signature).is_ok()
    }
}

/// In base64, as it may be given.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl ImageSignature {
    /// Reads base64, in the standard alphabet or the one of URLs, with or without its padding.
    ///
    /// # Errors
    ///
    /// Where it is not base64 of 64 bytes.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        // Who pastes it into a query without escaping it sends a blank for each plus sign.
        let plain = |c: char| match c {
            '-' | ' ' => '+',
            '_' => '/',
            other => other,
        };
        let text: String = text.trim().trim_end_matches('=').chars().map(plain).collect();
        let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text);
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(SignatureError)
    }

    /// Takes the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Display for ImageSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for ImageSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageSignature({self})")
    }
}

/// What is signed of a content.
#[must_use]
pub fn line(content: Sha256) -> String {
    format!("lastmile image sha256:{content}\n")
}

/// Whether one of `keys` signed a content. With no keys nothing is demanded.
#[must_use]
pub fn is_signed(keys: &[PublicKey], content: Sha256, signature: Option<&ImageSignature>) -> bool {
    keys.is_empty() || signature.is_some_and(|it| keys.iter().any(|key| key.signed(content, it)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest as _;

    /// Made by OpenSSL 3 with the four commands above.
    const IMAGE: &[u8] = b"router image 1";
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
                       MCowBQYDK2VwAyEAQMmZFzFPbGzfKKDOlOjPHI0NQefwbpVxhWi18dTqNdg=\n\
                       -----END PUBLIC KEY-----\n";
    const RAW: &str = "QMmZFzFPbGzfKKDOlOjPHI0NQefwbpVxhWi18dTqNdg=";
    const SIGNATURE: &str = "gfzPTlR9XydAWrUbZYoGY0i7UARKQDs8POFTR9ygnAFMUNt22KXJgce+OGa3ow8uZ+\
                             LuXuKInavAhEfSntlJDQ==";
    /// By the same key, over the image itself.
    const OF_THE_IMAGE: &str = "Xl9uf+VBeJFOg+s0y/DhkeyqSm+xzX8oWXhQ0GmqXQW8PzAVQ7SdHdM+XpQwbIW5\
                                yyeQYBDGUlO6upoG1jB8Aw==";

    fn content(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    #[test]
    fn what_openssl_signed_is_taken() {
        let keys = [PublicKey::parse(PEM).unwrap()];
        let signature = ImageSignature::parse(SIGNATURE).unwrap();
        assert!(is_signed(&keys, content(IMAGE), Some(&signature)));
        assert!(!is_signed(&keys, content(b"router image 2"), Some(&signature)));
        assert!(!is_signed(&keys, content(IMAGE), None));
        let other = ImageSignature::parse(OF_THE_IMAGE).unwrap();
        assert!(!is_signed(&keys, content(IMAGE), Some(&other)), "it says something else");
        assert!(is_signed(&[], content(IMAGE), None), "nobody demands one");
        let stranger = PublicKey::parse("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
        let both = [stranger, keys[0].clone()];
        assert!(!is_signed(&both[..1], content(IMAGE), Some(&signature)));
        assert!(is_signed(&both, content(IMAGE), Some(&signature)));
    }

    #[test]
    fn every_bit_of_a_signature_counts() {
        let key = PublicKey::parse(PEM).unwrap();
        let signature = ImageSignature::parse(SIGNATURE).unwrap();
        for bit in 0..512 {
            let mut bytes = *signature.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.signed(content(IMAGE), &ImageSignature::from_bytes(bytes)), "{bit}");
        }
    }

    #[test]
    fn keys_and_signatures_are_read_in_their_spellings() {
        let key = PublicKey::parse(PEM).unwrap();
        assert_eq!(PublicKey::parse(RAW), Ok(key.clone()));
        let der = "MCowBQYDK2VwAyEAQMmZFzFPbGzfKKDOlOjPHI0NQefwbpVxhWi18dTqNdg=";
        assert_eq!(PublicKey::parse(der), Ok(key.clone()));
        assert_eq!(PublicKey::parse(&key.to_string()), Ok(key));
        let zero = STANDARD.encode([0; 32]);
        for bad in ["", "x", "-----BEGIN PUBLIC KEY-----\nMCow", &RAW[4..], &zero] {
            assert_eq!(PublicKey::parse(bad), Err(PublicKeyError), "{bad}");
        }
        let signature = ImageSignature::parse(SIGNATURE).unwrap();
        let url = SIGNATURE.replace('+', "-").replace('/', "_");
        let unescaped = SIGNATURE.replace('+', " ");
        for spelling in [&*url, &*unescaped, SIGNATURE.trim_end_matches('=')] {
            assert_eq!(ImageSignature::parse(spelling), Ok(signature));
        }
        assert_eq!(ImageSignature::parse(&signature.to_string()), Ok(signature));
        for bad in ["", "x", &SIGNATURE[4..], &format!("{SIGNATURE}AAAA")] {
            assert_eq!(ImageSignature::parse(bad), Err(SignatureError), "{bad}");
        }
    }
}
