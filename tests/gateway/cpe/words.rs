//! A CPE's words, by hand.

/// A SOAP envelope around a body.
pub(crate) fn envelope(id: &str, body: &str) -> String {
    format!("<?xml version=\"1.0\"?>{}", bare_envelope(id, body))
}

/// An envelope without a declaration.
pub(crate) fn bare_envelope(id: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns:cwmp=\"urn:dslforum-org:cwmp-1-0\"><s:Header>\
         <cwmp:ID s:mustUnderstand=\"1\">{id}</cwmp:ID></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

pub(super) fn fault(code: u16, text: &str) -> String {
    format!(
        "<s:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail>\
         <cwmp:Fault><FaultCode>{code}</FaultCode><FaultString>{text}</FaultString></cwmp:Fault>\
         </detail></s:Fault>"
    )
}

pub(super) fn part_fault(name: &str, code: u32) -> String {
    let part = format!(
        "<SetParameterValuesFault><ParameterName>{name}</ParameterName><FaultCode>{code}</FaultCode>\
         <FaultString>no</FaultString></SetParameterValuesFault></cwmp:Fault>"
    );
    fault(9003, "invalid arguments").replace("</cwmp:Fault>", &part)
}

pub(super) fn parameter(path: &str, kind: &str, value: &str) -> String {
    format!(
        "<ParameterValueStruct><Name>{path}</Name><Value xsi:type=\"{kind}\">{value}</Value>\
         </ParameterValueStruct>"
    )
}

/// What stands between two texts, the first time.
pub(crate) fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let start = text.find(from)? + from.len();
    let end = text[start..].find(to)?;
    Some(&text[start..start + end])
}

/// What stands between two texts, each time.
pub(super) fn each<'a>(text: &'a str, from: &'a str, to: &'a str) -> Vec<&'a str> {
    text.split(from).skip(1).filter_map(|it| it.split(to).next()).collect()
}
