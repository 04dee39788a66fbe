//! HTTP digest (RFC 2617, MD5, qop auth), both sides: a CPE that signs in, and one that is woken.

use md5::{Digest as _, Md5};
use std::collections::HashMap;

/// What a server asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// Whether it offers `qop=auth`.
    auth: bool,
}

/// How often a challenge has been answered: part of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    challenge: Challenge,
    count: u32,
}

impl Challenge {
    /// Reads a `WWW-Authenticate`; `None` is another scheme or another hash.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let fields = fields(header)?;
        let field = |name: &str| fields.get(name).cloned();
        if field("algorithm").is_some_and(|it| !it.eq_ignore_ascii_case("MD5")) {
            return None;
        }
        let auth = field("qop").is_some_and(|it| it.split(',').any(|word| word.trim() == "auth"));
        Some(Self { realm: field("realm")?, nonce: field("nonce")?, opaque: field("opaque"), auth })
    }
}

impl Signer {
    /// Ready to answer.
    pub(crate) fn new(challenge: Challenge) -> Self {
        Self { challenge, count: 0 }
    }

    /// The next `Authorization`.
    pub(crate) fn sign(&mut self, user: &str, password: &str, method: &str, uri: &str) -> String {
        self.count += 1;
        let Challenge { realm, nonce, opaque, auth } = &self.challenge;
        let ha1 = md5_hex(&[user, realm, password]);
        let ha2 = md5_hex(&[method, uri]);
        let mut header = format!(
            r#"Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5"#
        );
        if *auth {
            let (nc, cnonce) =
                (format!("{:08x}", self.count), format!("{:08x}", self.count ^ 0x5A5A));
            let response = md5_hex(&[&ha1, nonce, &nc, &cnonce, "auth", &ha2]);
            header += &format!(r#", qop=auth, nc={nc}, cnonce="{cnonce}", response="{response}""#);
        } else {
            header += &format!(r#", response="{}""#, md5_hex(&[&ha1, nonce, &ha2]));
        }
        if let Some(opaque) = opaque {
            header += &format!(r#", opaque="{opaque}""#);
        }
        header
    }
}

/// Whether an `Authorization` answers our challenge (realm and nonce) for that user and method.
pub(crate) fn is_right(
    header: &str,
    user: &str,
    password: &str,
    method: &str,
    (realm, nonce): (&str, &str),
) -> bool {
    let Some(fields) = fields(header) else { return false };
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if field("username") != user || field("nonce") != nonce || field("realm") != realm {
        return false;
    }
    let ha1 = md5_hex(&[user, realm, password]);
    let ha2 = md5_hex(&[method, field("uri")]);
    let expected = if field("qop").is_empty() {
        md5_hex(&[&ha1, nonce, &ha2])
    } else {
        md5_hex(&[&ha1, nonce, field("nc"), field("cnonce"), field("qop"), &ha2])
    };
    field("response") == expected
}

/// `Digest a="b, c", d=e` as a map with lower-case names.
fn fields(header: &str) -> Option<HashMap<String, String>> {
    let (scheme, mut rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let between = |c: char| c.is_whitespace() || c == ',';
    let mut fields = HashMap::new();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        fields.insert(name.trim_matches(between).to_ascii_lowercase(), value.trim().to_owned());
        rest = left.trim_start_matches(between);
    }
    Some(fields)
}

fn md5_hex(parts: &[&str]) -> String {
    let hash = Md5::digest(parts.join(":"));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_as_in_rfc_2617_section_3_5() {
        let ha1 = md5_hex(&["Mufasa", "testrealm@host.com", "Circle Of Life"]);
        assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
        let header = r#"Digest username="Mufasa", realm="testrealm@host.com",
            nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,
            cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1",
            opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let asked = ("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093");
        assert!(is_right(header, "Mufasa", "Circle Of Life", "GET", asked));
        assert!(!is_right(header, "Mufasa", "Circle of Life", "GET", asked));
        assert!(!is_right(header, "Mufasa", "Circle Of Life", "POST", asked));
        assert!(!is_right(header, "Mufasa", "Circle Of Life", "GET", ("testrealm@host.com", "x")));
    }

    #[test]
    fn what_is_signed_verifies() {
        for qop in [r#", qop="auth-int, auth""#, ""] {
            let asked = format!(r#"Digest realm="a, b", nonce="n=1"{qop}, algorithm=MD5"#);
            let mut signer = Signer::new(Challenge::read(&asked).unwrap());
            for _ in 0..2 {
                let answer = signer.sign("u", "p", "POST", "/");
                assert!(is_right(&answer, "u", "p", "POST", ("a, b", "n=1")), "{answer}");
            }
            assert_eq!(signer.count, 2);
        }
        assert_eq!(Challenge::read(r#"Digest realm="a", nonce="b", algorithm=SHA-256"#), None);
        assert_eq!(Challenge::read(r#"Basic realm="a""#), None);
    }
}
