//! What characters stand for: references, line ends, and what XML forbids.

use super::is_forbidden;
use super::scanner::Text;
use std::borrow::Cow;

/// The text that was meant. Line ends are line feeds (XML 1.0, 2.11), a reference that is none stays
/// as it is written, and what XML forbids is U+FFFD, so that it can be written again.
pub(super) fn meant<'a>(text: &Text<'a>) -> Cow<'a, str> {
    let is_special = |c: char| c == '\r' || (c == '&' && !text.literal) || is_forbidden(c);
    let Some(first) = text.raw.find(is_special) else { return Cow::Borrowed(text.raw) };
    let mut meant = String::with_capacity(text.raw.len());
    let mut rest = text.raw;
    let mut at = Some(first);
    while let Some(len) = at {
        meant.push_str(&rest[..len]);
        let (c, after) = special(&rest[len..]);
        meant.push(c);
        rest = after;
        at = rest.find(is_special);
    }
    meant.push_str(rest);
    Cow::Owned(meant)
}

/// What the special character that `text` begins with stands for, and what follows it.
fn special(text: &str) -> (char, &str) {
    if let Some(after) = text.strip_prefix('\r') {
        return ('\n', after.strip_prefix('\n').unwrap_or(after));
    }
    let mut chars = text.chars();
    let first = chars.next().unwrap_or('\u{FFFD}');
    let after = chars.as_str();
    if first != '&' {
        return ('\u{FFFD}', after);
    }
    const NAMED: [(&str, char); 5] =
        [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\'')];
    for (name, c) in NAMED {
        if let Some(after) = after.strip_prefix(name) {
            return (c, after);
        }
    }
    numbered(after).unwrap_or(('&', after))
}

/// A character by its number: `#65;` or `#x41;`. A number that is no character's is U+FFFD.
fn numbered(reference: &str) -> Option<(char, &str)> {
    let digits = reference.strip_prefix('#')?;
    let (digits, radix) = match digits.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    let len = digits.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let after = digits[len..].strip_prefix(';')?;
    let c = u32::from_str_radix(&digits[..len], radix).ok().and_then(char::from_u32);
    Some((c.filter(|c| !is_forbidden(*c)).unwrap_or('\u{FFFD}'), after))
}
