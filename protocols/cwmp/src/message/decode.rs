//! Bytes to messages. Lenient in everything but well-formedness and size: see `SPEC.md` §2.

mod fault;
mod notice;
mod request;
mod response;

use super::{Body, Message, Namespace, Oddities, Parameter, XsdType};
use crate::xml::{Element, Reader, local_name};
use crate::{DecodeError, Options, frame};
use model::Redacted;
use std::borrow::Cow;

/// Longest name of an unknown call that is kept, in bytes.
const UNKNOWN_NAME_LEN_MAX: usize = 64;

/// Longest `cwmp:ID` that is echoed, in bytes. TR-069 names no bound; seen are at most 40.
const ID_LEN_MAX: usize = 256;

/// Reads an unpacked HTTP body, given the request's `Content-Type`.
///
/// White space only is [`Body::Empty`]. What follows the envelope is not looked at.
pub fn decode(
    content_type: Option<&str>,
    body: &[u8],
    options: &Options,
) -> Result<Message, DecodeError> {
    if body.len() > options.body_bytes_max {
        return Err(DecodeError::TooLong);
    }
    if frame::is_blank(body) {
        return Ok(Message::empty());
    }
    let text = frame::text(content_type, body);
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
    if !text.starts_with('<') {
        return Err(DecodeError::NotSoap);
    }
    let reader = Reader::new(text, options);
    Decoder { reader, options, namespace: None, oddities: Oddities::default() }.envelope()
}

/// A document on its way to a message.
struct Decoder<'a> {
    reader: Reader<'a>,
    options: &'a Options,
    /// The first namespace of CWMP that is declared on the way down to the call.
    namespace: Option<Namespace>,
    oddities: Oddities,
}

impl Decoder<'_> {
    fn envelope(mut self) -> Result<Message, DecodeError> {
        let root = self.reader.root()?;
        if root.name() != "Envelope" {
            return Err(DecodeError::NotSoap);
        }
        self.note_namespace(&root);
        let mut id = None;
        let mut body = None;
        while let Some(part) = self.reader.child()? {
            self.note_namespace(&part);
            match part.name() {
                "Header" => id = self.header()?,
                "Body" if body.is_none() => body = Some(self.body()?),
                _ => self.reader.skip()?,
            }
        }
        Ok(Message {
            id,
            namespace: self.namespace.unwrap_or_default(),
            body: body.ok_or(DecodeError::NotSoap)?,
            oddities: self.oddities,
        })
    }

    fn header(&mut self) -> Result<Option<Box<str>>, DecodeError> {
        let mut id = None;
        while let Some(block) = self.reader.child()? {
            self.note_namespace(&block);
            match block.name() {
                "ID" => {
                    let text = self.reader.word()?;
                    id = (text.len() <= ID_LEN_MAX).then(|| text.into());
                }
                // We ask nothing while the device does, so there is nothing to hold (3.5.2).
                "HoldRequests"
                | "NoMoreRequests"
                | "SupportedCWMPVersions"
                | "UseCWMPVersion"
                | "SessionTimeout" => self.reader.skip()?,
                _ => {
                    self.oddities.headers_ignored += 1;
                    self.reader.skip()?;
                }
            }
        }
        Ok(id)
    }

    /// The first call in the body: one envelope carries one (3.4.5). An empty body says nothing.
    fn body(&mut self) -> Result<Body, DecodeError> {
        let mut body = Body::Empty;
        let mut found = false;
        while let Some(call) = self.reader.child()? {
            if found {
                self.reader.skip()?;
                continue;
            }
            self.note_namespace(&call);
            body = self.call(call.name())?;
            found = true;
        }
        Ok(body)
    }

    fn call(&mut self, name: &str) -> Result<Body, DecodeError> {
        if let Some(call) = name.strip_suffix("Response") {
            return Ok(Body::Response(Box::new(self.response(call)?)));
        }
        if let Some(notice) = self.notice(name)? {
            return Ok(notice);
        }
        if let Some(request) = self.request(name)? {
            return Ok(Body::Request(Box::new(request)));
        }
        self.reader.skip()?;
        Ok(match name {
            "GetRPCMethods" => Body::GetRpcMethods,
            _ => Body::Unknown {
                name: name[..name.floor_char_boundary(UNKNOWN_NAME_LEN_MAX)].into(),
            },
        })
    }

    fn parameters(&mut self, parameters: &mut Vec<Parameter>) -> Result<(), DecodeError> {
        self.list(parameters, self.options.parameters_max, Self::parameter)
    }

    /// A ParameterValueStruct. No Value, an empty one and one without a type are all served.
    fn parameter(&mut self) -> Result<Option<Parameter>, DecodeError> {
        let mut name = Cow::Borrowed("");
        let mut value = Cow::Borrowed("");
        let mut xsd_type = XsdType::String;
        while let Some(field) = self.reader.child()? {
            match field.name() {
                "Name" => name = self.reader.word()?,
                "Value" => {
                    xsd_type = field
                        .attribute(|key, value| is_type(key).then(|| XsdType::new(value)))
                        .unwrap_or_default();
                    let written =
                        if xsd_type.collapses() { self.reader.word() } else { self.reader.text() };
                    value = written?;
                }
                _ => self.reader.skip()?,
            }
        }
        if !Parameter::is_name(&name) {
            self.oddities.parameters_dropped += 1;
            return Ok(None);
        }
        Ok(Some(Parameter { name: name.into(), value: Redacted(value.into()), xsd_type }))
    }

    /// Each child of the open element by its name.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while let Some(field) = self.reader.child()? {
            read(self, field.name())?;
        }
        Ok(())
    }

    /// Each child of the open element, whatever its name: SOAP arrays name them as they like.
    fn list<T>(
        &mut self,
        items: &mut Vec<T>,
        bound: usize,
        mut read: impl FnMut(&mut Self) -> Result<Option<T>, DecodeError>,
    ) -> Result<(), DecodeError> {
        while self.reader.child()?.is_some() {
            let item = read(self)?;
            push_bounded(items, item, bound)?;
        }
        Ok(())
    }

    fn boxed(&mut self, into: &mut Box<str>) -> Result<(), DecodeError> {
        *into = self.reader.word()?.into();
        Ok(())
    }

    fn number(&mut self, into: &mut u32) -> Result<(), DecodeError> {
        *into = self.reader.number()?;
        Ok(())
    }

    /// A fault's code, or anything else that is small by its nature: what is not is the largest.
    fn code(&mut self, into: &mut u16) -> Result<(), DecodeError> {
        *into = u16::try_from(self.reader.number()?).unwrap_or(u16::MAX);
        Ok(())
    }

    fn byte(&mut self, into: &mut u8) -> Result<(), DecodeError> {
        *into = u8::try_from(self.reader.number()?).unwrap_or(u8::MAX);
        Ok(())
    }

    fn bytes(&mut self, into: &mut u64) -> Result<(), DecodeError> {
        *into = self.reader.number()?.into();
        Ok(())
    }

    fn boolean(&mut self, into: &mut bool) -> Result<(), DecodeError> {
        *into = matches!(&*self.reader.word()?, "1" | "true" | "True" | "TRUE");
        Ok(())
    }

    fn strings(&mut self, strings: &mut Vec<Box<str>>) -> Result<(), DecodeError> {
        let bound = self.options.parameters_max;
        self.list(strings, bound, |this| {
            let text = this.reader.word()?;
            Ok((!text.is_empty()).then(|| text.into()))
        })
    }

    fn note_namespace(&mut self, element: &Element<'_>) {
        if self.namespace.is_none() {
            self.namespace = element.attribute(|key, value| {
                key.starts_with("xmlns").then(|| Namespace::new(value)).flatten()
            });
        }
    }
}

/// `xsi:type` under any prefix.
fn is_type(key: &str) -> bool {
    local_name(key) == "type"
}

fn push_bounded<T>(items: &mut Vec<T>, item: Option<T>, bound: usize) -> Result<(), DecodeError> {
    if let Some(item) = item {
        if items.len() >= bound {
            return Err(DecodeError::TooMany);
        }
        items.push(item);
    }
    Ok(())
}
