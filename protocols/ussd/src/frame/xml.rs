//! XML bodies: one tree of elements, within bounds, without a document type.
//!
//! Spec: XML 1.0. quick-xml reads the marks; which of them may be there, how many and how deep, is
//! decided here. No entity but the five of XML itself is ever resolved.

use super::Form;
use crate::error::{EncodingError, TurnError};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion, escape};
use std::borrow::Cow;

/// Deepest element within elements. The deepest known, an address in a dialog, is at four.
const DEPTH_MAX: usize = 8;
/// Most elements of a document, attributes counted with them.
const PARTS_MAX: usize = 4 * Form::FIELDS_MAX;

/// An element with what is in it.
///
/// No `Debug` of its values: they hold numbers and PINs.
#[derive(Default)]
pub(crate) struct Element {
    name: Box<str>,
    attributes: Vec<(Box<str>, Box<str>)>,
    children: Vec<Self>,
    text: String,
}

impl Element {
    /// An element with nothing in it.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with one attribute more.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The same with one child more.
    pub(crate) fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The same with one child more that holds a text.
    pub(crate) fn with_text(self, name: &str, text: &str) -> Self {
        self.with(Self { text: text.to_owned(), ..Self::new(name) })
    }

    /// What it is called, with its prefix.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// An attribute's value, if it is there.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(it, _)| &**it == name).map(|(_, value)| &**value)
    }

    /// An attribute's value, which must be there.
    pub(crate) fn need(&self, name: &'static str) -> Result<&str, TurnError> {
        self.attribute(name).ok_or(TurnError::Missing(name))
    }

    /// The child of that name, if there is one.
    pub(crate) fn child(&self, name: &'static str) -> Result<Option<&Self>, TurnError> {
        let mut named = self.children.iter().filter(|it| &*it.name == name);
        let child = named.next();
        if named.next().is_some() { Err(TurnError::Twice(name)) } else { Ok(child) }
    }

    /// The text of the child of that name, which must be there, with whatever blanks are around it.
    pub(crate) fn text_of(&self, name: &'static str) -> Result<&str, TurnError> {
        let child = self.child(name)?.ok_or(TurnError::Missing(name))?;
        if child.children.is_empty() { Ok(&child.text) } else { Err(TurnError::Wrong(name)) }
    }

    /// Reads a body. What its `Content-Type` says of the character set holds before what it says
    /// itself (RFC 7303 3).
    pub(crate) fn parse(bytes: &[u8], charset: Option<&str>) -> Result<Self, EncodingError> {
        let declared = declared(bytes);
        let text = super::text(bytes, charset.or(declared.as_deref()))?;
        let mut reader = Reader::from_str(&text);
        reader.config_mut().expand_empty_elements = true;
        // Open elements, the root first; then the one that has been closed.
        let (mut open, mut parts) = (Vec::<Self>::new(), 0);
        let mut root = None;
        loop {
            let event = reader.read_event().map_err(|_| EncodingError::Malformed)?;
            match (event, open.last_mut()) {
                (Event::Start(start), _) if root.is_none() => {
                    let element = element(&start, &mut parts)?;
                    if open.len() == DEPTH_MAX {
                        return Err(EncodingError::TooDeep);
                    }
                    open.push(element);
                }
                (Event::End(_), _) => {
                    let closed = open.pop().ok_or(EncodingError::Malformed)?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(closed),
                        None => root = Some(closed),
                    }
                }
                (Event::Text(text), Some(element)) => element.text.push_str(&text.xml10_content()),
                (Event::CData(text), Some(element)) => element.text.push_str(&text.xml10_content()),
                (Event::GeneralRef(name), Some(element)) => element.text.push(resolve(&name)?),
                (Event::DocType(_), _) => return Err(EncodingError::Entities),
                (Event::Text(text), None) if text.trim().is_empty() => {}
                (Event::Decl(_) | Event::PI(_) | Event::Comment(_), _) => {}
                (Event::Eof, None) => return root.ok_or(EncodingError::Malformed),
                _ => return Err(EncodingError::Malformed),
            }
        }
    }

    /// The document of which this is the root.
    pub(crate) fn document(&self) -> String {
        let mut document = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        self.write(&mut document);
        document
    }

    fn write(&self, document: &mut String) {
        document.extend(["<", &*self.name]);
        for (name, value) in &self.attributes {
            // Line breaks in an attribute are blanks to every reader, unless they are escaped.
            let value = escaped(value).replace('\n', "&#10;").replace('\t', "&#9;");
            document.extend([" ", &**name, "=\"", &value, "\""]);
        }
        if self.children.is_empty() && self.text.is_empty() {
            document.push_str("/>");
            return;
        }
        document.extend([">", &escaped(&self.text)]);
        for child in &self.children {
            child.write(document);
        }
        document.extend(["</", &*self.name, ">"]);
    }
}

/// Text without marks, and without what no XML may hold.
fn escaped(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    let text: String = text.chars().map(|c| if allowed(c) { c } else { ' ' }).collect();
    escape::escape(&text).into_owned()
}

fn element(start: &BytesStart<'_>, parts: &mut usize) -> Result<Element, EncodingError> {
    let mut element = Element::new(start.name().into_inner());
    count(parts)?;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| EncodingError::Malformed)?;
        count(parts)?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        // A value that is no value any more than a reference to nothing.
        let value = value.map_err(|_| EncodingError::Entities)?;
        element.attributes.push((attribute.key.into_inner().into(), value.into()));
    }
    Ok(element)
}

fn count(parts: &mut usize) -> Result<(), EncodingError> {
    *parts += 1;
    if *parts > PARTS_MAX { Err(EncodingError::TooManyFields) } else { Ok(()) }
}

fn resolve(name: &BytesRef<'_>) -> Result<char, EncodingError> {
    match name.resolve_char_ref() {
        Ok(Some(letter)) => Ok(letter),
        Err(_) => Err(EncodingError::Malformed),
        Ok(None) => {
            let text = escape::resolve_predefined_entity(&name.xml10_content());
            text.and_then(|it| it.chars().next()).ok_or(EncodingError::Entities)
        }
    }
}

/// The character set that a document's first line names. It is in ASCII, whatever follows.
fn declared(bytes: &[u8]) -> Option<Cow<'static, str>> {
    let line = bytes.get(..bytes.len().min(128)).unwrap_or_default();
    let line: String = line.iter().map(|&byte| char::from(byte)).collect();
    let line = line.trim_start_matches("ï»¿").strip_prefix("<?xml")?;
    let (line, _) = line.split_once("?>")?;
    let (_, value) = line.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    value[1..].split(quote).next().map(|it| it.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Element, EncodingError> {
        Element::parse(text.as_bytes(), None)
    }

    fn fault(text: &str) -> Option<EncodingError> {
        parse(text).err()
    }

    #[test]
    fn reads_elements_attributes_and_text() {
        let text = "<?xml version=\"1.0\"?>\n<!-- a --><a x='1&amp;2&#10;3'>\n <b>\n 1*2 </b><c/>\
                    <d>&lt;<![CDATA[&]]>&#x41;</d><e> 5</e></a>\n";
        let root = parse(text).ok().unwrap();
        assert_eq!((root.name(), root.attribute("x")), ("a", Some("1&2\n3")));
        assert_eq!(root.text_of("b"), Ok("\n 1*2 "));
        assert_eq!((root.text_of("c"), root.text_of("d")), (Ok(""), Ok("<&A")));
        assert_eq!(root.text_of("e"), Ok(" 5"));
        assert_eq!(root.text_of("f"), Err(TurnError::Missing("f")));
        assert_eq!(root.need("y"), Err(TurnError::Missing("y")));
        let twice = parse("<a><b/><b/></a>").ok().unwrap();
        assert_eq!(twice.text_of("b"), Err(TurnError::Twice("b")));
        let deep = parse("<a><b><c/></b></a>").ok().unwrap();
        assert_eq!(deep.text_of("b"), Err(TurnError::Wrong("b")));
    }

    #[test]
    fn no_document_type_and_no_entity_of_its_own() {
        for bad in [
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<a>&b;</a>",
            "<a x='&b;'/>",
        ] {
            assert_eq!(fault(bad), Some(EncodingError::Entities), "{bad}");
        }
    }

    #[test]
    fn refuses_what_is_no_document_or_out_of_bounds() {
        let bad = [
            "",
            " ",
            "a",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a x='1' x='2'/>",
            "<a x=1/>",
            "<a>&</a>",
            "<a>&#0;</a>",
            "<a>&#x110000;</a>",
            "<a><![CDATA[</a>",
            "<a/><![CDATA[x]]>",
        ];
        for bad in bad {
            assert_eq!(fault(bad), Some(EncodingError::Malformed), "{bad}");
        }
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(fault(&nested(DEPTH_MAX)), None);
        assert_eq!(fault(&nested(DEPTH_MAX + 1)), Some(EncodingError::TooDeep));
        let wide = |count: usize| format!("<a>{}</a>", "<b c='1'/>".repeat(count));
        assert_eq!(fault(&wide(PARTS_MAX / 2 - 1)), None);
        assert_eq!(fault(&wide(PARTS_MAX / 2)), Some(EncodingError::TooManyFields));
        let long = format!("<a>{}</a>", "x".repeat(Form::LEN_MAX));
        assert_eq!(fault(&long), Some(EncodingError::TooLong));
    }

    #[test]
    fn the_character_set_is_the_one_that_is_named() {
        let said = |bytes: &[u8], charset| {
            Element::parse(bytes, charset).map(|root| root.text_of("b").unwrap().to_owned())
        };
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a><b>Caf\xE9</b></a>";
        assert_eq!(said(latin, None).as_deref(), Ok("Café"));
        assert_eq!(said(latin, Some("utf-8")), Err(EncodingError::Malformed));
        let bare = b"<a><b>Caf\xE9</b></a>";
        assert_eq!(said(bare, Some("latin1")).as_deref(), Ok("Café"));
        assert_eq!(said(bare, None), Err(EncodingError::Malformed));
        let other = b"<?xml version=\"1.0\" encoding = \"UTF-16\"?><a><b/></a>";
        assert_eq!(said(other, None), Err(EncodingError::Charset));
        assert_eq!(said("\u{FEFF}<a><b>é</b></a>".as_bytes(), None).as_deref(), Ok("é"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Element::parse(&bytes, None);
            let _ = Element::parse(&bytes, Some("latin1"));
        }

        #[test]
        fn any_marks_are_read_or_refused(text in "[<>/a&;#x='\"!\\[\\]? \n0-9-]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read(value in "[\\PC\n\t ]{0,40}", text in "[\\PC\n\t ]{0,40}") {
            let written = Element::new("a").set("x", &value).with_text("b", &text).document();
            let read = parse(&written).ok().unwrap();
            prop_assert_eq!(read.attribute("x"), Some(value.as_str()));
            prop_assert_eq!(read.text_of("b"), Ok(text.as_str()));
        }
    }
}
