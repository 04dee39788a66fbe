//! Answering what a device asks for before it lets itself be woken: digest (RFC 7616, 2617, 2069) as
//! devices spell it, Basic where it is allowed.

use super::SignIn;
use super::error::WakeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, HttpMethod};

/// Answers the challenges of a 401: the first digest that can be answered, else Basic where allowed.
/// Gives the value of `Authorization`.
pub(super) fn answer<'a>(
    headers: impl Iterator<Item = &'a str>,
    path: &str,
    sign_in: &SignIn,
    allow_basic: bool,
) -> Result<String, WakeError> {
    let asked: Vec<Challenge<'_>> = headers.flat_map(challenges).collect();
    let of = |scheme: &str| {
        let wanted = scheme.to_owned();
        asked.iter().filter(move |it| it.scheme.eq_ignore_ascii_case(&wanted))
    };
    let digest = of("Digest").find_map(|challenge| digest(challenge, path, sign_in));
    if let Some(digest) = digest {
        return Ok(digest);
    }
    if allow_basic && of("Basic").next().is_some() {
        let pair = format!("{}:{}", sign_in.username, sign_in.password.expose());
        return Ok(format!("Basic {}", STANDARD.encode(pair)));
    }
    Err(WakeError::NotDigest)
}

/// One challenge of a `WWW-Authenticate` header.
#[derive(Debug, Eq, PartialEq)]
struct Challenge<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

/// Takes a header apart: devices put several challenges into one (RFC 9110 11.6.1).
fn challenges(header: &str) -> Vec<Challenge<'_>> {
    let mut found: Vec<Challenge<'_>> = Vec::new();
    for item in items(header) {
        let (head, rest) = item.split_once([' ', '\t']).unwrap_or((item, ""));
        let rest = rest.trim_start();
        // `realm = "x"` is a parameter all the same.
        let is_scheme = !head.contains('=') && !rest.starts_with('=');
        let parameter = if is_scheme {
            found.push(Challenge { scheme: head, parameters: Vec::new() });
            rest
        } else {
            item
        };
        if let (Some(last), Some((name, value))) = (found.last_mut(), parameter.split_once('=')) {
            last.parameters.push((name.trim(), value.trim()));
        }
    }
    found
}

/// What commas divide that stand in no quotes; nothing empty. netcwmp leaves the commas out: a space
/// after a quoted value divides, too.
fn items(header: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped, mut closed) = (false, false, false);
    let parts = header.split(move |c: char| {
        let is_end = !quoted && (c == ',' || closed && c.is_ascii_whitespace());
        closed = quoted && c == '"' && !escaped;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        is_end
    });
    parts.map(str::trim).filter(|item| !item.is_empty())
}

fn digest(challenge: &Challenge<'_>, path: &str, sign_in: &SignIn) -> Option<String> {
    let mut text = String::from("Digest ");
    for &(name, value) in &challenge.parameters {
        let bare = value.trim_matches('"');
        let value = match name.to_ascii_lowercase().as_str() {
            "realm" | "nonce" | "opaque" | "userhash" => value.to_owned(),
            "algorithm" => bare.to_ascii_uppercase().replace("-SESS", "-sess"),
            "qop" => match quality(bare) {
                Some(quality) => quality.to_owned(),
                None => continue,
            },
            _ => continue,
        };
        text.push_str(&format!("{}={value}, ", name.to_ascii_lowercase()));
    }
    let mut prompt = digest_auth::parse(&text).ok()?;
    let password = &**sign_in.password.expose();
    let no_body = Some(&[][..]);
    let username = &*sign_in.username;
    let context = AuthContext::new_with_method(username, password, path, no_body, HttpMethod::GET);
    prompt.respond(&context).ok().map(|answer| answer.to_header_string())
}

/// Of the qualities of protection that are offered, the one to use; none as in RFC 2069.
fn quality(offered: &str) -> Option<&'static str> {
    let has = |wanted: &str| offered.split(',').any(|it| it.trim().eq_ignore_ascii_case(wanted));
    if has("auth") {
        Some("\"auth\"")
    } else if has("auth-int") {
        Some("\"auth-int\"")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Redacted;
    use sha2::{Digest as _, Sha256};

    fn sign_in() -> SignIn {
        SignIn { username: "lastmile".into(), password: Redacted("pw".into()), knows_stun: false }
    }

    fn answered(headers: &[&str], allow_basic: bool) -> Result<String, &'static str> {
        let answer = answer(headers.iter().copied(), "/wake?x=1", &sign_in(), allow_basic);
        answer.map_err(|error| error.code())
    }

    fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
        let mut pairs = header.trim_start_matches("Digest ").split(", ");
        let pair = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.map(|value| value.trim_matches('"'))
    }

    fn md5(text: String) -> String {
        hex(&md5::Md5::digest(text.as_bytes()))
    }

    fn sha256(text: String) -> String {
        hex(&Sha256::digest(text.as_bytes()))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the response must be, by RFC 7616 3.4.1 and RFC 2069 2.1.2.
    fn right(header: &str, hash: fn(String) -> String) -> String {
        let ha1 = hash("lastmile:cpe:pw".to_owned());
        let ha2 = hash("GET:/wake?x=1".to_owned());
        let nonce = field(header, "nonce").unwrap();
        match field(header, "qop") {
            Some(qop) => {
                let (nc, cnonce) = (field(header, "nc").unwrap(), field(header, "cnonce").unwrap());
                hash(format!("{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}"))
            }
            None => hash(format!("{ha1}:{nonce}:{ha2}")),
        }
    }

    #[test]
    fn every_digest_is_answered() {
        type Hash = fn(String) -> String;
        let cases: [(&str, Hash, bool); 10] = [
            ("Digest realm=\"cpe\", nonce=\"n,1\", qop=\"auth\", algorithm=MD5", md5, true),
            ("Digest realm=\"cpe\",nonce=\"n\",algorithm=\"MD5\"", md5, false),
            ("Digest realm=\"cpe\", nonce=\"n\"", md5, false),
            ("Digest qop=\"auth\" nonce=\"n\" opaque=\"\" realm=\"cpe\"", md5, true),
            ("digest REALM=\"cpe\", Nonce=\"n\", algorithm=md5, qop=auth", md5, true),
            ("Digest realm = \"cpe\" , nonce = \"n\", qop=\"\", opaque=\"\"", md5, false),
            ("Digest realm=\"cpe\", nonce=\"n\", qop=\"auth-int,auth\"", md5, true),
            ("Digest realm=\"cpe\", nonce=\"n\", algorithm=SHA-256", sha256, false),
            ("Digest realm=\"cpe\", nonce=\"n\", algorithm=sha-256, qop=\"auth\"", sha256, true),
            (
                "Digest realm=\"cpe\", nonce=\"n\", charset=latin, domain=\"/ /a\", stale=false",
                md5,
                false,
            ),
        ];
        for (challenge, hash, has_quality) in cases {
            let answer = answered(&[challenge], false).unwrap();
            assert_eq!(
                field(&answer, "response"),
                Some(right(&answer, hash).as_str()),
                "{challenge}"
            );
            assert_eq!(field(&answer, "qop").is_some(), has_quality, "{challenge}");
            assert_eq!(field(&answer, "uri"), Some("/wake?x=1"));
        }
    }

    #[test]
    fn of_several_the_one_that_can_be_answered() {
        let together = "Basic realm=\"cpe\", Digest realm=\"cpe\", nonce=\"n\", qop=\"auth\", \
                        algorithm=SHA-512, Digest realm=\"cpe\", nonce=\"m\", algorithm=SHA-256";
        let answer = answered(&[together], true).unwrap();
        assert_eq!(field(&answer, "nonce"), Some("m"), "{answer}");
        assert_eq!(field(&answer, "response"), Some(right(&answer, sha256).as_str()));
        let apart = ["Basic realm=\"cpe\"", "Negotiate", "Digest realm=\"cpe\", nonce=\"n\""];
        assert!(answered(&apart, true).unwrap().starts_with("Digest "), "digest before basic");
    }

    #[test]
    fn basic_only_where_it_is_allowed() {
        let basic = ["BASIC realm=\"a, Digest realm=x, nonce=y\""];
        assert_eq!(answered(&basic, false), Err("not_digest"));
        assert_eq!(answered(&basic, true).unwrap(), "Basic bGFzdG1pbGU6cHc=");
        assert_eq!(answered(&["Basic"], true).unwrap(), "Basic bGFzdG1pbGU6cHc=");
        for none in [&[][..], &["Bearer x"], &["Digest"], &["Digest realm=\"x\""], &[",,=,\""]] {
            assert_eq!(answered(none, true), Err("not_digest"), "{none:?}");
        }
    }
}
