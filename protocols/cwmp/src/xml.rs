//! The little of XML that SOAP uses: a bounded reader of elements and a writer that escapes.
//!
//! Elements are known by their local names: devices declare the namespaces in every way there is.
//! No document type is read, so no entity is ever expanded.

mod reader;
mod scanner;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use scanner::Element;
pub(crate) use writer::Writer;

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
