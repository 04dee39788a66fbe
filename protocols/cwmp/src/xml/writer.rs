//! Text that is XML, piece by piece.

use super::is_forbidden;
use std::fmt::{self, Write as _};

/// A document being written. Names are constants of ours; everything else is escaped.
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Markup as it is.
    pub(crate) fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// `<name>text</name>`.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) -> &mut Self {
        self.open(name).escaped(text).close(name)
    }

    /// `<name>text</name>`, or nothing for an empty text.
    pub(crate) fn filled(&mut self, name: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.leaf(name, text) }
    }

    /// `<name>number</name>`.
    pub(crate) fn number(&mut self, name: &str, number: impl Into<i64>) -> &mut Self {
        self.open(name).formatted(format_args!("{}", number.into())).close(name)
    }

    /// The start tag of a SOAP array; some devices read its length.
    pub(crate) fn array(&mut self, name: &str, item: &str, len: usize) -> &mut Self {
        self.formatted(format_args!(r#"<{name} soap-enc:arrayType="{item}[{len}]">"#))
    }

    fn formatted(&mut self, markup: fmt::Arguments<'_>) -> &mut Self {
        self.0.write_fmt(markup).expect("writing to a string cannot fail");
        self
    }

    /// `<name>`.
    pub(crate) fn open(&mut self, name: &str) -> &mut Self {
        self.raw("<").raw(name).raw(">")
    }

    /// `</name>`.
    pub(crate) fn close(&mut self, name: &str) -> &mut Self {
        self.raw("</").raw(name).raw(">")
    }

    /// Character data or an attribute's value. A carriage return is written as a reference, or the
    /// reader would make a line feed of it (XML 1.0, 2.11).
    pub(crate) fn escaped(&mut self, text: &str) -> &mut Self {
        let mut rest = text;
        while let Some(at) =
            rest.find(|c| matches!(c, '&' | '<' | '>' | '"' | '\r') || is_forbidden(c))
        {
            let (clean, tail) = rest.split_at(at);
            let mut chars = tail.chars();
            self.raw(clean).raw(match chars.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                Some('\r') => "&#13;",
                Some(_) | None => "\u{FFFD}",
            });
            rest = chars.as_str();
        }
        self.raw(rest)
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}
