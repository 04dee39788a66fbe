//! Around the envelope: how an HTTP body becomes text, and what our headers look like when devices
//! send them back. Never looks inside the XML beyond its declaration.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// How far into a body its XML declaration is looked for, in bytes.
const DECLARATION_BYTES_MAX: usize = 200;

/// Most cookies looked at in one request; ours is among the first where it is at all.
const COOKIES_MAX: usize = 64;

/// Whether a body says nothing: TR-069 3.4.4's empty POST, white space included.
#[must_use]
pub fn is_blank(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    body.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0)
}

/// The body as text: by its byte order mark, else the `charset` of `content_type`, else its XML
/// declaration, else UTF-8. An unknown charset is tried as UTF-8; bad bytes become U+FFFD.
#[must_use]
pub fn text<'a>(content_type: Option<&str>, body: &'a [u8]) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(body) {
        return encoding.decode_without_bom_handling(&body[mark..]).0;
    }
    // No charset a device uses is shorter than a byte or moves ASCII, but UTF-16: it shows itself.
    let encoding = match body {
        [b'<', 0, ..] => UTF_16LE,
        [0, b'<', ..] => UTF_16BE,
        _ if body.is_ascii() => UTF_8,
        _ => content_type.and_then(charset_of).or_else(|| declared(body)).unwrap_or(UTF_8),
    };
    encoding.decode_without_bom_handling(body).0
}

fn charset_of(content_type: &str) -> Option<&'static Encoding> {
    let mut attributes = content_type.split(';').skip(1);
    let charset = attributes.find_map(|attribute| {
        let (name, value) = attribute.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    single_byte_or_utf8(charset)
}

fn declared(body: &[u8]) -> Option<&'static Encoding> {
    let head = body.get(..DECLARATION_BYTES_MAX).unwrap_or(body).trim_ascii_start();
    let declaration = head.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|window| window == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| "\"'".contains(*quote))?;
    single_byte_or_utf8(value[1..].split(quote).next()?)
}

/// A text that is not UTF-16 by its bytes is not so by its label either.
fn single_byte_or_utf8(label: &str) -> Option<&'static Encoding> {
    let label = label.trim().trim_matches(['"', '\'']).trim();
    Encoding::for_label(label.as_bytes()).filter(|it| *it != UTF_16LE && *it != UTF_16BE)
}

/// How a request's body is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// `gzip` or `x-gzip`.
    Gzip,
    /// `deflate`: zlib by the letter, raw deflate by many.
    Deflate,
}

/// Reads a `Content-Encoding`; `None` is one that we refuse with 415.
#[must_use]
pub fn coding(content_encoding: &str) -> Option<Coding> {
    const KNOWN: [(&str, Coding); 5] = [
        ("", Coding::Identity),
        ("identity", Coding::Identity),
        ("gzip", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
    ];
    let word = content_encoding.trim();
    KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, coding)| *coding)
}

/// Every value of the cookie `name` in the request's `Cookie` headers.
///
/// Devices send it quoted, separated by commas, or with the attributes that we gave it (`Path`,
/// `HttpOnly`); all of that is read. More than one value may come: the driver takes what it knows.
pub fn cookies<'a>(
    headers: impl IntoIterator<Item = &'a str>,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    let pairs = headers.into_iter().flat_map(|header| header.split([';', ',']));
    pairs.take(COOKIES_MAX).filter_map(move |pair| {
        let (key, value) = pair.split_once('=')?;
        // `$Version="1"; name="value"; $Path="/"` is RFC 2109's way.
        (key.trim() == name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_any_charset() {
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE4</a>";
        assert!(text(None, latin).ends_with("<a>\u{e4}</a>"));
        assert_eq!(text(Some("text/xml; Charset=\"ISO-8859-1\""), b"\xE4"), "\u{e4}");
        assert_eq!(text(Some("text/xml;charset=klingon"), "\u{e4}".as_bytes()), "\u{e4}");
        assert_eq!(text(Some("text/xml;charset=utf-8"), b"a\xE4b"), "a\u{fffd}b");
        assert_eq!(text(None, b"\xEF\xBB\xBF<a/>"), "<a/>");
        assert_eq!(text(None, b"\xFF\xFE<\0a\0"), "<a");
        assert_eq!(text(None, b"\0<\0a"), "<a");
        assert_eq!(text(None, b"<\0a\0"), "<a");
        assert!(
            matches!(text(None, b"<a/>"), Cow::Borrowed("<a/>")),
            "no copy where none is needed"
        );
        assert_eq!(text(Some("x; charset=utf-16"), b"<a>\xC3\xA4"), "<a>\u{e4}", "label lies");
    }

    #[test]
    fn blank_is_empty() {
        assert!(is_blank(b"") && is_blank(b" \r\n\t") && is_blank(b"\xEF\xBB\xBF\n\0"));
        assert!(!is_blank(b" <a/>"));
    }

    #[test]
    fn codings() {
        assert_eq!(coding(" GZip "), Some(Coding::Gzip));
        assert_eq!(coding("deflate"), Some(Coding::Deflate));
        assert_eq!(coding(""), Some(Coding::Identity));
        assert_eq!(coding("br"), None);
        assert_eq!(coding("gzip, gzip"), None, "packed twice is a bomb, not a device");
    }

    #[test]
    fn a_cookie_however_it_comes_back() {
        let found = |header| cookies([header], "lm").collect::<Vec<_>>();
        assert_eq!(found("lm=abc"), ["abc"]);
        assert_eq!(found("a=b; lm=\"abc\""), ["abc"]);
        assert_eq!(found("a=b,lm=abc"), ["abc"]);
        assert_eq!(found("lm=abc; Path=/; HttpOnly"), ["abc"]);
        assert_eq!(found("$Version=\"1\"; lm=\"abc\"; $Path=\"/\""), ["abc"]);
        assert_eq!(found("xlm=no; lm=old; lm=new"), ["old", "new"]);
        assert!(found("lm").is_empty() && found("").is_empty());
        assert_eq!(cookies(["a=1", "lm=2"], "lm").collect::<Vec<_>>(), ["2"]);
    }
}
