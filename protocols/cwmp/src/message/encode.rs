//! Messages to bytes: bare envelopes, because some devices hang up on an XML declaration.

mod notice;
mod request;
mod response;

use super::{Body, Fault, Message, Parameter};
use crate::xml::Writer;

/// About what an envelope without its call needs, in bytes.
const ENVELOPE_BYTES: usize = 640;

impl Message {
    /// The HTTP body; nothing for [`Body::Empty`].
    #[must_use]
    pub fn encode(&self) -> String {
        if self.body == Body::Empty {
            return String::new();
        }
        let mut out = Writer::with_capacity(ENVELOPE_BYTES);
        out.raw(concat!(
            r#"<soap-env:Envelope xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/""#,
            r#" xmlns:soap-enc="http://schemas.xmlsoap.org/soap/encoding/""#,
            r#" xmlns:xsd="http://www.w3.org/2001/XMLSchema""#,
            r#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:cwmp=""#,
        ));
        out.escaped(self.namespace.as_str()).raw(r#"">"#);
        if let Some(id) = &self.id {
            out.raw(r#"<soap-env:Header><cwmp:ID soap-env:mustUnderstand="1">"#);
            out.escaped(id).raw("</cwmp:ID></soap-env:Header>");
        }
        out.raw("<soap-env:Body>");
        body(&mut out, &self.body);
        out.raw("</soap-env:Body></soap-env:Envelope>");
        out.finish()
    }
}

fn body(out: &mut Writer, body: &Body) {
    match body {
        Body::Empty => {}
        Body::Fault(it) => fault(out, it),
        Body::Unknown { name } => {
            // Only a test writes one; a name that is none would not be XML.
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
            let name: &str = if plain { name } else { "Unknown" };
            out.raw("<cwmp:").raw(name).raw("/>");
        }
        Body::Inform(_)
        | Body::TransferComplete(_)
        | Body::AutonomousTransferComplete(_)
        | Body::Kicked(_)
        | Body::RequestDownload(_)
        | Body::DuStateChangeComplete(_)
        | Body::AutonomousDuStateChangeComplete(_)
        | Body::GetRpcMethods
        | Body::Request(_)
        | Body::Response(_) => call(out, body),
    }
}

/// A call or an answer: an element of its name around its arguments.
fn call(out: &mut Writer, body: &Body) {
    let name = body.name();
    out.raw("<cwmp:").raw(name).raw(">");
    match body {
        Body::Inform(it) => notice::inform(out, it),
        Body::TransferComplete(it) => notice::transfer(out, it),
        Body::AutonomousTransferComplete(it) => notice::autonomous_transfer(out, it),
        Body::Kicked(it) => notice::kicked(out, it),
        Body::RequestDownload(it) => notice::request_download(out, it),
        Body::DuStateChangeComplete(it) => notice::state_change(out, it),
        Body::AutonomousDuStateChangeComplete(it) => notice::autonomous_state_change(out, it),
        Body::Request(it) => request::arguments(out, it),
        Body::Response(it) => response::arguments(out, it),
        Body::GetRpcMethods | Body::Empty | Body::Fault(_) | Body::Unknown { .. } => {}
    }
    out.raw("</cwmp:").raw(name).raw(">");
}

/// A.5, with SOAP 1.1's frame around it (3.5).
fn fault(out: &mut Writer, fault: &Fault) {
    out.raw("<soap-env:Fault>").leaf("faultcode", fault.soap_code());
    out.leaf("faultstring", Fault::SOAP_TEXT).raw("<detail><cwmp:Fault>");
    fault_parts(out, fault);
    for parameter in &fault.parameters {
        out.open("SetParameterValuesFault").leaf("ParameterName", &parameter.name);
        out.number("FaultCode", parameter.code).leaf("FaultString", &parameter.text);
        out.close("SetParameterValuesFault");
    }
    out.raw("</cwmp:Fault></detail></soap-env:Fault>");
}

fn fault_parts(out: &mut Writer, fault: &Fault) {
    out.number("FaultCode", fault.code).leaf("FaultString", &fault.text);
}

/// A fault within a notice: code 0 where there is none (A.3.3.2, A.4.2.3).
fn outcome(out: &mut Writer, name: &str, fault: Option<&Fault>) {
    out.open(name);
    match fault {
        Some(fault) => fault_parts(out, fault),
        None => {
            out.raw("<FaultCode>0</FaultCode><FaultString></FaultString>");
        }
    }
    out.close(name);
}

fn parameters(out: &mut Writer, parameters: &[Parameter]) {
    out.array("ParameterList", "cwmp:ParameterValueStruct", parameters.len());
    for parameter in parameters {
        out.raw("<ParameterValueStruct>").leaf("Name", &parameter.name);
        out.raw(r#"<Value xsi:type="xsd:"#).raw(parameter.xsd_type.local()).raw(r#"">"#);
        out.escaped(parameter.value.expose()).raw("</Value></ParameterValueStruct>");
    }
    out.close("ParameterList");
}

/// A SOAP array of strings.
fn strings(out: &mut Writer, name: &str, strings: &[Box<str>]) {
    out.array(name, "xsd:string", strings.len());
    for text in strings {
        out.leaf("string", text);
    }
    out.close(name);
}

/// A length in bytes. `unsignedInt` holds no more than 4 GiB; 0 is "not said" (A.3.2.8).
fn file_bytes(out: &mut Writer, bytes: u64) {
    out.number("FileSize", u32::try_from(bytes).unwrap_or(0));
}

/// Booleans as `1` and `0`: a few devices know no other spelling.
fn bit(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}
