//! Digest by hand: what a library does not make, and what a CPE asks of who wakes it.

use super::Cpe;
use super::words::between;
use crate::http::Answer;
use digest_auth::{AuthContext, HttpMethod};
use md5::{Digest as _, Md5};
use std::fmt::Write as _;
use std::io;

/// The answer to a challenge as the RFCs say and libraries do not make it: RFC 2617 with a hash of
/// choice, or without `qop` and client nonce, as RFC 2069 has it.
pub(crate) fn digest_by_hand(
    cpe: &Cpe,
    challenge: &Answer,
    algorithm: &str,
    has_qop: bool,
) -> String {
    let hash = |text: String| match algorithm {
        "MD5" => md5(text),
        _ => hex(&sha2::Sha256::digest(text.as_bytes())),
    };
    let offered = format!("algorithm={algorithm},");
    let challenge = challenge.all("www-authenticate").find(|it| it.contains(&offered)).unwrap();
    let nonce = between(challenge, "nonce=\"", "\"").unwrap();
    let Cpe { username, password, .. } = cpe;
    let ha1 = hash(format!("{username}:lastmile:{password}"));
    let ha2 = hash("POST:/acs".to_owned());
    let (response, more) = if has_qop {
        let response = hash(format!("{ha1}:{nonce}:00000001:c0ffee:auth:{ha2}"));
        (response, ", qop=auth, nc=00000001, cnonce=\"c0ffee\"")
    } else {
        (hash(format!("{ha1}:{nonce}:{ha2}")), "")
    };
    format!(
        "Digest username=\"{username}\", realm=\"lastmile\", nonce=\"{nonce}\", uri=\"/acs\", \
         response=\"{response}\", algorithm={algorithm}{more}"
    )
}

/// The `Authorization` that answers a challenge.
pub(crate) fn signed(challenge: &Answer, username: &str, password: &str) -> io::Result<String> {
    let prompt = challenge.all("www-authenticate").find(|it| it.starts_with("Digest"));
    let prompt = prompt.ok_or_else(|| io::Error::other("no digest challenge"))?;
    let mut prompt = digest_auth::parse(prompt).map_err(io::Error::other)?;
    let context =
        AuthContext::new_with_method(username, password, "/acs", None::<&[u8]>, HttpMethod::POST);
    let answer = prompt.respond(&context).map_err(io::Error::other)?;
    Ok(answer.to_header_string())
}

/// RFC 2617 with `qop=auth`, by hand.
pub(crate) fn is_right_digest(header: &str, username: &str, password: &str) -> bool {
    let field = |name: &str| {
        let fields = header.trim_start_matches("Digest ").split(',');
        let mut pairs = fields.filter_map(|it| it.trim().split_once('='));
        pairs
            .find(|(it, _)| *it == name)
            .map_or("", |(_, value)| value.trim_matches('"'))
            .to_owned()
    };
    let ha1 = md5(format!("{username}:cpe:{password}"));
    let ha2 = md5(format!("GET:{}", field("uri")));
    let (nc, cnonce) = (field("nc"), field("cnonce"));
    let expected = md5(format!("{ha1}:4f6e6365:{nc}:{cnonce}:auth:{ha2}"));
    !password.is_empty() && field("username") == username && field("response") == expected
}

fn md5(text: String) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
