//! How Twilio signs what it sends.
//!
//! Spec: twilio.com, "Webhooks security": HMAC-SHA-1 under the auth token of the address as Twilio
//! called it and of every field, by name; base64.

use crate::frame::Form;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

fn mac(token: &str, url: &str, fields: &Form<'_>) -> Hmac<Sha1> {
    let keyed = <Hmac<Sha1> as hmac::KeyInit>::new_from_slice(token.as_bytes());
    let mut mac = keyed.expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    let mut sorted: Vec<_> = fields.fields().collect();
    sorted.sort_unstable();
    // A field that came twice with one value counts once.
    sorted.dedup();
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    mac
}

pub(super) fn of(token: &str, url: &str, fields: &Form<'_>) -> String {
    STANDARD.encode(mac(token, url, fields).finalize().into_bytes())
}

/// Whether it is signed, whatever the port in the address was when it was: what it takes to say so
/// tells nothing of the signature.
pub(super) fn holds(token: &str, url: &str, fields: &Form<'_>, signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature.trim()) else { return false };
    let is_of = |url: &str| mac(token, url, fields).verify_slice(&signature).is_ok();
    let other = other_port(url);
    is_of(url) || other.is_some_and(|other| is_of(&other))
}

/// The same address without its port or, where it has none, with that of its scheme.
fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|it| it.is_ascii_digit()));
    Some(match port {
        Some((host, _)) => format!("{scheme}://{host}{path}"),
        None => format!("{scheme}://{host}:{}{path}", if scheme == "http" { 80 } else { 443 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Form<'static> {
        let form = "From=%2B12349013030&CallSid=CA1234567890ABCDE&To=%2B18005551212\
                    &Caller=%2B12349013030&Digits=1234";
        Form::parse(form.as_bytes()).unwrap()
    }

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    #[test]
    fn the_provider_s_own_example_is_signed_so() {
        assert_eq!(of("12345", URL, &fields()), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_alone() {
        let signature = "0/KCTR6DLpKmkAf8muzZqo1nDgQ=";
        assert!(holds("12345", URL, &fields(), signature));
        assert!(holds(
            "12345",
            "https://mycompany.com:443/myapp.php?foo=1&bar=2",
            &fields(),
            signature
        ));
        assert!(!holds("12346", URL, &fields(), signature));
        assert!(!holds("12345", "https://mycompany.com/myapp.php", &fields(), signature));
        let more = Form::parse(b"Digits=1234").unwrap();
        assert!(!holds("12345", URL, &more, signature));
        for other in ["", "0/KCTR6DLpKmkAf8muzZqo1nDgQ", "AAAA", "0/KCTR6DLpKmkAf8muzZqo1nDgU="] {
            assert!(!holds("12345", URL, &fields(), other), "{other}");
        }
    }

    #[test]
    fn an_address_has_its_port_or_none() {
        let cases = [
            ("https://a.b/c", "https://a.b:443/c"),
            ("http://a.b", "http://a.b:80"),
            ("https://a.b:8443/c?d=1", "https://a.b/c?d=1"),
        ];
        for (url, other) in cases {
            assert_eq!(other_port(url).as_deref(), Some(other));
        }
        assert_eq!(other_port("a.b"), None);
    }
}
