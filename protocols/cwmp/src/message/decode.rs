//! Bytes to messages. Lenient in everything but well-formedness and size: see `SPEC.md` §3.

mod rpc;

use super::{
    Body, DeviceIdStruct, EventStruct, Fault, Inform, Message, Namespace, Oddities, Parameter,
    ParameterFault, TransferComplete, XsdType,
};
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
        Ok(match name {
            "Inform" => Body::Inform(Box::new(self.inform()?)),
            "Fault" => Body::Fault(Box::new(self.fault()?)),
            "TransferComplete" => Body::TransferComplete(Box::new(self.transfer()?)),
            "AutonomousTransferComplete" => {
                Body::AutonomousTransferComplete(Box::new(self.transfer()?))
            }
            "RequestDownload" => {
                let mut file_type = Box::default();
                self.fields(|this, field| match field {
                    "FileType" => this.boxed(&mut file_type),
                    _ => this.reader.skip(),
                })?;
                Body::RequestDownload { file_type }
            }
            "GetRPCMethods" => {
                self.reader.skip()?;
                Body::GetRpcMethods
            }
            _ => self.request_or_response(name)?,
        })
    }

    fn inform(&mut self) -> Result<Inform, DecodeError> {
        let mut inform = Inform { max_envelopes: 1, ..Inform::default() };
        self.fields(|this, field| match field {
            "DeviceId" => this.device_id(&mut inform.device),
            "Event" => {
                let bound = this.options.events_max;
                this.list(&mut inform.events, bound, Self::event)
            }
            "MaxEnvelopes" => this.number(&mut inform.max_envelopes),
            "CurrentTime" => this.boxed(&mut inform.current_time),
            "RetryCount" => this.number(&mut inform.retry_count),
            "ParameterList" => this.parameters(&mut inform.parameters),
            _ => this.reader.skip(),
        })?;
        Ok(inform)
    }

    fn device_id(&mut self, device: &mut DeviceIdStruct) -> Result<(), DecodeError> {
        self.fields(|this, field| match field {
            "Manufacturer" => this.boxed(&mut device.manufacturer),
            "OUI" => this.boxed(&mut device.oui),
            "ProductClass" => this.boxed(&mut device.product_class),
            "SerialNumber" => this.boxed(&mut device.serial),
            _ => this.reader.skip(),
        })
    }

    fn event(&mut self) -> Result<Option<EventStruct>, DecodeError> {
        let mut event = EventStruct { code: Box::default(), command_key: Box::default() };
        self.fields(|this, field| match field {
            "EventCode" => this.boxed(&mut event.code),
            "CommandKey" => this.boxed(&mut event.command_key),
            _ => this.reader.skip(),
        })?;
        Ok((!event.code.is_empty()).then_some(event))
    }

    fn transfer(&mut self) -> Result<TransferComplete, DecodeError> {
        let mut transfer = TransferComplete::default();
        self.fields(|this, field| match field {
            "CommandKey" => this.boxed(&mut transfer.command_key),
            "FaultStruct" => {
                let fault = this.fault()?;
                transfer.fault = (fault.code != 0).then(|| Box::new(fault));
                Ok(())
            }
            "StartTime" => this.boxed(&mut transfer.start_time),
            "CompleteTime" => this.boxed(&mut transfer.complete_time),
            "TransferURL" => this.boxed(&mut transfer.transfer_url),
            "FileType" => this.boxed(&mut transfer.file_type),
            _ => this.reader.skip(),
        })?;
        Ok(transfer)
    }

    /// SOAP's Fault with CWMP's Fault in its detail, or either alone.
    fn fault(&mut self) -> Result<Fault, DecodeError> {
        let mut fault = Fault::default();
        let mut soap_text = Box::default();
        self.fault_fields(&mut fault, &mut soap_text)?;
        if fault.text.is_empty() {
            fault.text = soap_text;
        }
        Ok(fault)
    }

    fn fault_fields(
        &mut self,
        fault: &mut Fault,
        soap_text: &mut Box<str>,
    ) -> Result<(), DecodeError> {
        // The reader's bound on depth is the bound of this recursion.
        self.fields(|this, field| this.fault_field(field, fault, soap_text))
    }

    fn fault_field(
        &mut self,
        field: &str,
        fault: &mut Fault,
        soap_text: &mut Box<str>,
    ) -> Result<(), DecodeError> {
        match field {
            "detail" | "Detail" | "Fault" => self.fault_fields(fault, soap_text),
            "faultstring" => {
                // netcwmp has the detail inside of it.
                let (text, child) = self.reader.text_before_child()?;
                *soap_text = text.trim().into();
                let Some(child) = child else { return Ok(()) };
                self.fault_field(child.name(), fault, soap_text)?;
                self.fault_fields(fault, soap_text)
            }
            "FaultCode" => self.code(&mut fault.code),
            "FaultString" => self.boxed(&mut fault.text),
            "SetParameterValuesFault" => {
                let bound = self.options.parameters_max;
                let one = self.parameter_fault()?;
                push_bounded(&mut fault.parameters, one, bound)
            }
            _ => self.reader.skip(),
        }
    }

    /// A SetParameterValuesFault; `None` for one that says that there is none: netcwmp lists every
    /// parameter, those in order with the code 0.
    fn parameter_fault(&mut self) -> Result<Option<ParameterFault>, DecodeError> {
        let mut fault = ParameterFault { name: Box::default(), code: 0, text: Box::default() };
        let mut is_none = false;
        self.fields(|this, field| match field {
            "ParameterName" => this.boxed(&mut fault.name),
            "FaultCode" => {
                this.code(&mut fault.code)?;
                is_none = fault.code == 0;
                Ok(())
            }
            "FaultString" => this.boxed(&mut fault.text),
            _ => this.reader.skip(),
        })?;
        Ok((!is_none).then_some(fault))
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

    fn code(&mut self, into: &mut u16) -> Result<(), DecodeError> {
        *into = u16::try_from(self.reader.number()?).unwrap_or(u16::MAX);
        Ok(())
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
