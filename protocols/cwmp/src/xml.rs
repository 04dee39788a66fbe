//! The little of XML that SOAP uses: a bounded reader of elements and a writer that escapes.
//!
//! Elements are known by their local names: devices declare the namespaces in every way there is.
//! No document type is read, so no entity is ever expanded.

mod reader;
mod writer;

pub(crate) use reader::{Element, Reader};
pub(crate) use writer::Writer;

use std::borrow::Cow;

/// A name without its prefix. Names are short: a plain loop beats a search made for long texts.
#[inline]
pub(crate) fn local_name(name: &str) -> &str {
    match name.bytes().position(|byte| byte == b':') {
        Some(colon) => &name[colon + 1..],
        None => name,
    }
}

/// Whether XML 1.0 (2.2) forbids `c`.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\u{FFFE}' | '\u{FFFF}')
}

/// Replaces what XML forbids, so that it can be written again.
fn sanitised(text: Cow<'_, str>) -> Cow<'_, str> {
    // Without a branch for each byte: U+FFFE and U+FFFF begin with EF.
    let suspect = |byte: u8| (byte < 0x20) | (byte == 0xEF);
    if !text.bytes().fold(false, |found, byte| found | suspect(byte))
        || !text.contains(is_forbidden)
    {
        return text;
    }
    Cow::Owned(text.replace(is_forbidden, "\u{FFFD}"))
}
