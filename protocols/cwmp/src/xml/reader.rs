//! Elements in the order they come, with every count bounded.

use super::local_name;
use crate::{DecodeError, Options};
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;

/// Most attributes looked at in one start tag. An envelope with its namespaces has about 6.
const ATTRIBUTES_MAX: usize = 32;

/// Walks down a document: [`Reader::child`] opens an element, and each opened element is finished
/// by `child` returning `None`, by [`Reader::text`] or by [`Reader::skip`].
pub(crate) struct Reader<'a> {
    events: quick_xml::Reader<&'a [u8]>,
    depth: usize,
    elements: usize,
    options: &'a Options,
}

/// A start tag.
pub(crate) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// Its name without a prefix.
    pub(crate) fn name(&self) -> &str {
        local_name(self.0.name().into_inner())
    }

    /// The first attribute for which `choose` has an answer; it is given the name with its prefix
    /// and the value as written.
    pub(crate) fn attribute<T>(
        &self,
        mut choose: impl FnMut(&str, &str) -> Option<T>,
    ) -> Option<T> {
        let mut attributes = self.0.attributes();
        // The check for duplicates takes quadratic time.
        attributes.with_checks(false);
        attributes
            .take(ATTRIBUTES_MAX)
            .flatten()
            .find_map(|attribute| choose(attribute.key.into_inner(), &attribute.value))
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, options: &'a Options) -> Self {
        let mut events = quick_xml::Reader::from_str(text);
        let config = events.config_mut();
        config.allow_dangling_amp = true;
        config.expand_empty_elements = true;
        Self { events, depth: 0, elements: 0, options }
    }

    /// Opens the document's own element.
    pub(crate) fn root(&mut self) -> Result<Element<'a>, DecodeError> {
        self.child()?.ok_or(DecodeError::Malformed)
    }

    /// Opens the next child of the element that is open, or closes that one.
    pub(crate) fn child(&mut self) -> Result<Option<Element<'a>>, DecodeError> {
        loop {
            match self.event()? {
                Event::Start(start) => return Ok(Some(Element(start))),
                Event::End(_) => return Ok(None),
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {}
                Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_)
                | Event::Eof => {}
            }
        }
    }

    /// The open element's text, which closes it. Elements within are passed over.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let (mut text, mut child) = self.text_before_child()?;
        while child.is_some() {
            self.skip()?;
            let (more, next) = self.text_before_child()?;
            if !more.is_empty() {
                text.to_mut().push_str(&more);
            }
            child = next;
        }
        Ok(text)
    }

    /// The open element's text up to its first child, which is opened; without one, its text.
    pub(crate) fn text_before_child(
        &mut self,
    ) -> Result<(Cow<'a, str>, Option<Element<'a>>), DecodeError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.event()? {
                Event::Text(piece) => append(&mut text, piece.xml10_content()),
                Event::CData(piece) => append(&mut text, piece.xml10_content()),
                Event::GeneralRef(reference) => text.to_mut().push_str(&resolved(&reference)),
                Event::Start(start) => return Ok((super::sanitised(text), Some(Element(start)))),
                Event::End(_) => return Ok((super::sanitised(text), None)),
                Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_)
                | Event::Eof => {}
            }
        }
    }

    /// The open element's text without the white space around it.
    pub(crate) fn word(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        Ok(match self.text()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        })
    }

    /// The open element's text as a number: 0 where it is none, for devices write all sorts.
    pub(crate) fn number(&mut self) -> Result<u32, DecodeError> {
        Ok(self.word()?.parse().unwrap_or(0))
    }

    /// Closes the open element without looking at what is in it.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.event()?;
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Event<'a>, DecodeError> {
        let event = self.events.read_event().map_err(|_| DecodeError::Malformed)?;
        match &event {
            Event::Start(_) => {
                self.depth += 1;
                self.elements += 1;
                if self.depth > self.options.depth_max {
                    return Err(DecodeError::TooDeep);
                }
                if self.elements > self.options.elements_max {
                    return Err(DecodeError::TooMany);
                }
            }
            Event::End(_) => self.depth = self.depth.saturating_sub(1),
            Event::DocType(_) => return Err(DecodeError::Dtd),
            Event::Eof => return Err(DecodeError::Truncated),
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
        Ok(event)
    }
}

fn append<'a>(text: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if text.is_empty() {
        *text = piece;
    } else {
        text.to_mut().push_str(&piece);
    }
}

/// The five entities of XML and characters by number; any other stays as it was written.
fn resolved(reference: &BytesRef<'_>) -> Cow<'static, str> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => return Cow::Owned(c.to_string()),
        Ok(None) => {}
        Err(_) => return Cow::Borrowed("\u{FFFD}"),
    }
    let name = reference.xml10_content();
    match &*name {
        "amp" => Cow::Borrowed("&"),
        "lt" => Cow::Borrowed("<"),
        "gt" => Cow::Borrowed(">"),
        "quot" => Cow::Borrowed("\""),
        "apos" => Cow::Borrowed("'"),
        other => Cow::Owned(format!("&{other};")),
    }
}
