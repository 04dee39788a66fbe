//! The little of XML that SOAP uses: a bounded reader of elements and a writer that escapes.
//!
//! Elements are known by their local names: devices declare the namespaces in every way there is.
//! No document type is read, so no entity is ever expanded.

mod reader;
mod writer;

pub(crate) use reader::{Element, Reader};
pub(crate) use writer::Writer;

use std::borrow::Cow;

/// Whether XML 1.0 (2.2) forbids `c`.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\u{FFFE}' | '\u{FFFF}')
}

/// Replaces what XML forbids, so that it can be written again.
fn sanitised(text: Cow<'_, str>) -> Cow<'_, str> {
    let clean = text.bytes().all(|byte| byte >= 0x20 && byte != 0xEF || b"\t\n\r".contains(&byte));
    if clean || !text.contains(is_forbidden) {
        return text;
    }
    Cow::Owned(text.replace(is_forbidden, "\u{FFFD}"))
}
