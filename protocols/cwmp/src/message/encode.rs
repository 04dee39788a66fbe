//! Messages to bytes: bare envelopes, because some devices hang up on an XML declaration.

use super::{Body, Fault, Inform, Message, Parameter, Request, Response, TransferComplete};
use crate::xml::Writer;
use std::fmt::Write as _;

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
        Body::Inform(it) => inform(out, it),
        Body::TransferComplete(it) => transfer(out, "cwmp:TransferComplete", it),
        Body::AutonomousTransferComplete(it) => {
            transfer(out, "cwmp:AutonomousTransferComplete", it);
        }
        Body::RequestDownload { file_type } => {
            out.open("cwmp:RequestDownload").leaf("FileType", file_type);
            out.close("cwmp:RequestDownload");
        }
        Body::GetRpcMethods => {
            out.raw("<cwmp:GetRPCMethods></cwmp:GetRPCMethods>");
        }
        Body::Request(it) => request(out, it),
        Body::Response(it) => response(out, it),
        Body::Fault(it) => fault(out, it),
        Body::Unknown { name } => {
            // Only a test writes one; a name that is none would not be XML.
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
            let name = if plain { name } else { "Unknown" };
            out.raw("<cwmp:").raw(name).raw("/>");
        }
    }
}

fn inform(out: &mut Writer, inform: &Inform) {
    out.raw("<cwmp:Inform><DeviceId>");
    out.leaf("Manufacturer", &inform.device.manufacturer);
    out.leaf("OUI", &inform.device.oui);
    out.leaf("ProductClass", &inform.device.product_class);
    out.leaf("SerialNumber", &inform.device.serial).raw("</DeviceId>");
    array(out, "Event", "cwmp:EventStruct", inform.events.len());
    for event in &inform.events {
        out.raw("<EventStruct>").leaf("EventCode", &event.code);
        out.leaf("CommandKey", &event.command_key).raw("</EventStruct>");
    }
    out.raw("</Event>").leaf("MaxEnvelopes", &inform.max_envelopes.to_string());
    out.leaf("CurrentTime", &inform.current_time);
    out.leaf("RetryCount", &inform.retry_count.to_string());
    parameters(out, &inform.parameters);
    out.raw("</cwmp:Inform>");
}

fn transfer(out: &mut Writer, name: &str, transfer: &TransferComplete) {
    out.open(name).leaf("CommandKey", &transfer.command_key);
    if !transfer.transfer_url.is_empty() {
        out.leaf("TransferURL", &transfer.transfer_url);
    }
    if !transfer.file_type.is_empty() {
        out.leaf("FileType", &transfer.file_type);
    }
    let (code, text) = transfer.fault.as_ref().map_or((0, ""), |it| (it.code, &*it.text));
    out.raw("<FaultStruct>").leaf("FaultCode", &code.to_string());
    out.leaf("FaultString", text).raw("</FaultStruct>");
    out.leaf("StartTime", &transfer.start_time).leaf("CompleteTime", &transfer.complete_time);
    out.close(name);
}

fn request(out: &mut Writer, request: &Request) {
    let name = request.name();
    out.raw("<cwmp:").raw(name).raw(">");
    match request {
        Request::GetParameterValues { names } => {
            array(out, "ParameterNames", "xsd:string", names.len());
            names.iter().for_each(|name| {
                out.leaf("string", name);
            });
            out.close("ParameterNames");
        }
        Request::SetParameterValues { parameters: list, parameter_key } => {
            parameters(out, list);
            out.leaf("ParameterKey", parameter_key);
        }
        Request::GetParameterNames { path, next_level } => {
            out.leaf("ParameterPath", path).leaf("NextLevel", bit(*next_level));
        }
        Request::AddObject { object, parameter_key }
        | Request::DeleteObject { object, parameter_key } => {
            out.leaf("ObjectName", object).leaf("ParameterKey", parameter_key);
        }
        Request::Reboot { command_key } => {
            out.leaf("CommandKey", command_key);
        }
        Request::FactoryReset => {}
        _ => {}
    }
    out.raw("</cwmp:").raw(name).raw(">");
}

fn response(out: &mut Writer, response: &Response) {
    let name = response.name();
    out.raw("<cwmp:").raw(name).raw(">");
    match response {
        Response::GetRpcMethods { methods } => {
            array(out, "MethodList", "xsd:string", methods.len());
            methods.iter().for_each(|method| {
                out.leaf("string", method);
            });
            out.close("MethodList");
        }
        Response::GetParameterValues { parameters: list } => parameters(out, list),
        Response::SetParameterValues { status } | Response::DeleteObject { status } => {
            out.leaf("Status", &status.to_string());
        }
        Response::GetParameterNames { parameters } => {
            array(out, "ParameterList", "cwmp:ParameterInfoStruct", parameters.len());
            for info in parameters {
                out.raw("<ParameterInfoStruct>").leaf("Name", &info.name);
                out.leaf("Writable", bit(info.writable)).raw("</ParameterInfoStruct>");
            }
            out.close("ParameterList");
        }
        Response::AddObject { instance, status } => {
            out.leaf("InstanceNumber", &instance.to_string());
            out.leaf("Status", &status.to_string());
        }
        Response::Inform => {
            out.raw("<MaxEnvelopes>1</MaxEnvelopes>");
        }
        Response::Reboot
        | Response::FactoryReset
        | Response::TransferComplete
        | Response::AutonomousTransferComplete
        | Response::RequestDownload
        | Response::Other => {}
        _ => {}
    }
    out.raw("</cwmp:").raw(name).raw(">");
}

/// A.5, with SOAP 1.1's frame around it (3.5.4).
fn fault(out: &mut Writer, fault: &Fault) {
    out.raw("<soap-env:Fault>").leaf("faultcode", fault.soap_code());
    out.raw("<faultstring>CWMP fault</faultstring><detail><cwmp:Fault>");
    out.leaf("FaultCode", &fault.code.to_string()).leaf("FaultString", &fault.text);
    for parameter in &fault.parameters {
        out.raw("<SetParameterValuesFault>").leaf("ParameterName", &parameter.name);
        out.leaf("FaultCode", &parameter.code.to_string());
        out.leaf("FaultString", &parameter.text).raw("</SetParameterValuesFault>");
    }
    out.raw("</cwmp:Fault></detail></soap-env:Fault>");
}

fn parameters(out: &mut Writer, parameters: &[Parameter]) {
    array(out, "ParameterList", "cwmp:ParameterValueStruct", parameters.len());
    for parameter in parameters {
        out.raw("<ParameterValueStruct>").leaf("Name", &parameter.name);
        out.raw(r#"<Value xsi:type="xsd:"#).raw(parameter.xsd_type.local()).raw(r#"">"#);
        out.escaped(parameter.value.expose()).raw("</Value></ParameterValueStruct>");
    }
    out.close("ParameterList");
}

/// The start tag of a SOAP array; some devices read its length.
fn array(out: &mut Writer, name: &str, item: &str, len: usize) {
    let mut tag = String::new();
    write!(tag, r#"<{name} soap-enc:arrayType="{item}[{len}]">"#)
        .expect("writing to a string cannot fail");
    out.raw(&tag);
}

/// Booleans as `1` and `0`: a few devices know no other spelling.
fn bit(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}
