//! What real devices send although they should not: each is served (`SPEC.md`, the second table).

use crate::cwmp::{Body, DecodeError, Message, Options, Parameter, Response, XsdType, decode};
use crate::envelope;

fn body(xml: &str) -> Body {
    crate::decode(&envelope(xml)).unwrap().body
}

fn parameters(list: &str) -> Vec<Parameter> {
    let xml = format!(
        "<cwmp:GetParameterValuesResponse><ParameterList>{list}</ParameterList>\
         </cwmp:GetParameterValuesResponse>"
    );
    match body(&xml) {
        Body::Response(response) => match *response {
            Response::GetParameterValues { parameters } => parameters,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn value(written: &str) -> String {
    let list =
        format!("<ParameterValueStruct><Name>Device.A</Name>{written}</ParameterValueStruct>");
    parameters(&list)[0].value.expose().to_string()
}

#[test]
fn values_in_every_spelling() {
    assert_eq!(value("<Value>a</Value>"), "a", "no type is a string");
    assert_eq!(value("<Value/>"), "");
    assert_eq!(value(""), "", "no Value at all");
    assert_eq!(value("<Value><![CDATA[<a&b>]]> c</Value>"), "<a&b> c");
    assert_eq!(value("<Value>Tom & Jerry &amp; Co</Value>"), "Tom & Jerry & Co");
    assert_eq!(value("<Value>a &</Value>"), "a &");
    assert_eq!(value("<Value>&nbsp;&#x41;&#0;</Value>"), "&nbsp;A\u{fffd}");
    assert_eq!(value("<Value>a\u{1}b\u{1f}</Value>"), "a\u{fffd}b\u{fffd}");
    assert_eq!(value("<Value>a<!-- b -->c<?d?></Value>"), "ac");
    assert_eq!(value("<Value>a<b>c</b>d</Value>"), "ad");
    assert_eq!(value("<Value xsi:type=\"xsd:dateTime\"> yesterday </Value>"), "yesterday");
}

#[test]
fn values_of_the_wrong_kind_stay_text() {
    let json = |xsd_type, text: &str| Parameter::new("Device.A", text, xsd_type).json().to_string();
    assert_eq!(json(XsdType::Boolean, "1"), "true");
    assert_eq!(json(XsdType::Boolean, "True"), "\"True\"");
    assert_eq!(json(XsdType::UnsignedInt, "17"), "17");
    assert_eq!(json(XsdType::Int, "-1"), "-1");
    assert_eq!(json(XsdType::Int, "many"), "\"many\"");
    assert_eq!(json(XsdType::String, "17"), "\"17\"");
}

#[test]
fn types_in_every_spelling() {
    for (spelled, local) in [
        ("xsd:unsignedInt", "unsignedInt"),
        ("xs:boolean", "boolean"),
        ("string", "string"),
        ("SOAP-ENC:base64", "base64Binary"),
        ("xsd:decimal", "decimal"),
        ("xsd:a b", "string"),
        ("", "string"),
    ] {
        assert_eq!(XsdType::new(spelled).local(), local, "{spelled}");
    }
}

#[test]
fn a_name_that_cannot_be_one_is_dropped_and_counted() {
    let item = |name: &str| format!("<a><Name>{name}</Name><Value>v</Value></a>");
    let list: String =
        ["Device.A", "", "Device. B", "1.2", "A..B", "A.\u{1}"].iter().map(|it| item(it)).collect();
    let xml = format!(
        "<GetParameterValuesResponse><ParameterList>{list}</ParameterList></GetParameterValuesResponse>"
    );
    let read = crate::decode(&envelope(&xml)).unwrap();
    assert_eq!(read.oddities.parameters_dropped, 5);
    assert_eq!(parameters(&item(" Device.X_00D09E_A.1.[alias].B ")).len(), 1);
}

#[test]
fn an_inform_without_most_things() {
    let Body::Inform(inform) = body("<cwmp:Inform/>") else { panic!() };
    assert!(inform.events.is_empty() && inform.parameters.is_empty() && inform.root().is_none());
    let Body::Inform(inform) = body(
        "<Inform><RetryCount>many</RetryCount><Event><EventStruct><EventCode>X V</EventCode>\
         </EventStruct><EventStruct/></Event><Extra><a/></Extra></Inform>",
    ) else {
        panic!()
    };
    assert_eq!(inform.retry_count, 0);
    assert_eq!(inform.events.len(), 1);
    assert!(inform.has_event("X V"));
}

#[test]
fn envelopes_in_every_shape() {
    let ns = |envelope: &str| crate::decode(envelope).unwrap().namespace.as_str().to_owned();
    let default = "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body>\
         <Inform xmlns='urn:dslforum-org:cwmp-1-1'/></Body></Envelope>";
    assert_eq!(ns(default), "urn:dslforum-org:cwmp-1-1");
    let unknown = default.replace("1-1", "1-9");
    assert_eq!(ns(&unknown), "urn:dslforum-org:cwmp-1-9", "answered as it is spelled");
    let none = default.replace("urn:dslforum-org:cwmp-1-1", "urn:x");
    assert_eq!(ns(&none), "urn:dslforum-org:cwmp-1-0");
    let hostile = default.replace("1-1", "1-1&lt;");
    assert_eq!(ns(&hostile), "urn:dslforum-org:cwmp-1-0", "not echoed");

    let leading = format!("\u{feff} \r\n{default}\0\0 trailing");
    assert!(crate::decode(&leading).unwrap().inform().is_some());
    let two = default.replace("<Inform ", "<First/><Inform ");
    assert_eq!(crate::decode(&two).unwrap().body.name(), "Unknown", "one envelope, one call");
    assert_eq!(crate::decode(&envelope("")).unwrap().body, Body::Empty);
    assert_eq!(crate::decode(" \r\n ").unwrap(), Message::empty());
}

#[test]
fn charsets() {
    let xml = envelope("<Inform><DeviceId><Manufacturer>\u{e4}</Manufacturer></DeviceId></Inform>");
    let maker = |content_type: Option<&str>, body: &[u8]| {
        let read = decode(content_type, body, &Options::default()).unwrap();
        read.inform().unwrap().device.manufacturer.to_string()
    };
    let latin: Vec<u8> = xml.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let wide: Vec<u8> = xml.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xFF\xFE".as_slice(), &wide].concat();
    assert_eq!(maker(None, xml.as_bytes()), "\u{e4}");
    assert_eq!(maker(Some("text/xml; charset=iso-8859-1"), &latin), "\u{e4}");
    assert_eq!(maker(Some("text/xml; charset=utf-16"), &marked), "\u{e4}");
    assert_eq!(maker(None, &wide), "\u{e4}");
    assert_eq!(maker(Some("text/xml; charset=nonsense"), xml.as_bytes()), "\u{e4}");
    assert_eq!(maker(None, &latin), "\u{fffd}");
}

#[test]
fn a_document_type_is_refused() {
    let declared = format!("<!DOCTYPE a [<!ENTITY e \"boom\">]>{}", envelope("<Inform/>"));
    assert_eq!(crate::decode(&declared), Err(DecodeError::Dtd));
    assert_eq!(value("<Value>&e;</Value>"), "&e;", "nothing is expanded");
}

#[test]
fn what_is_no_envelope_is_refused() {
    for other in ["hello", "<html/>", "<a><Envelope/></a>", "{}"] {
        assert_eq!(crate::decode(other), Err(DecodeError::NotSoap), "{other}");
    }
    assert_eq!(crate::decode("<Envelope></Envelope>"), Err(DecodeError::NotSoap), "no body");
}

#[test]
fn ids_and_headers() {
    let read = |header: &str| {
        crate::decode(&format!("<Envelope><Header>{header}</Header><Body/></Envelope>")).unwrap()
    };
    assert_eq!(read("").id, None);
    assert_eq!(read("<ID>a&amp;b</ID>").id.as_deref(), Some("a&b"));
    assert_eq!(read("<ID/>").id.as_deref(), Some(""));
    assert_eq!(read(&format!("<ID>{}</ID>", "x".repeat(300))).id, None, "too long to echo");
    let odd = read("<x:Foo mustUnderstand='1'><a/></x:Foo><NoMoreRequests>1</NoMoreRequests>");
    assert_eq!(odd.oddities.headers_ignored, 1);
}

#[test]
fn transfers_without_their_parts() {
    let Body::TransferComplete(it) = body("<cwmp:TransferComplete/>") else { panic!() };
    assert!(it.fault.is_none() && it.start_time.is_empty());
    let Body::TransferComplete(it) = body(
        "<TransferComplete><CommandKey>k</CommandKey><FaultStruct><FaultCode>9010</FaultCode>\
         <FaultString>no</FaultString></FaultStruct><StartTime>0001-01-01T00:00:00Z</StartTime>\
         </TransferComplete>",
    ) else {
        panic!()
    };
    assert_eq!(it.fault.unwrap().code, 9010);
    assert_eq!(&*it.start_time, "0001-01-01T00:00:00Z");
}

#[test]
fn faults_without_their_parts() {
    let Body::Fault(fault) = body("<Fault><faultstring>no</faultstring></Fault>") else { panic!() };
    assert_eq!((fault.code, &*fault.text), (0, "no"));
    let Body::Fault(fault) = body("<cwmp:Fault><FaultCode>9005</FaultCode></cwmp:Fault>") else {
        panic!()
    };
    assert_eq!(fault.code, 9005);
    let Body::Fault(fault) = body("<Fault><detail><FaultCode>99999</FaultCode></detail></Fault>")
    else {
        panic!()
    };
    assert_eq!(fault.code, u16::MAX);
}

/// As netcwmp has them: the detail within the text, and every parameter listed.
#[test]
fn faults_with_parts_that_are_none() {
    let part = |name: &str, code: &str| {
        format!(
            "<SetParameterValuesFault><ParameterName>{name}</ParameterName>{code}\
             <FaultString>x</FaultString></SetParameterValuesFault>"
        )
    };
    let code = |code: u16| format!("<FaultCode>{code}</FaultCode>");
    let parts = [part("A.B", &code(0)), part("A.C", &code(9008)), part("A.D", "")].concat();
    let detail =
        format!("<detail><cwmp:Fault><FaultCode>9003</FaultCode>{parts}</cwmp:Fault></detail>");
    for text in [
        format!("<faultstring>\n{detail}\n</faultstring>"),
        format!("<faultstring>CWMP fault<x/>{detail}</faultstring>"),
        format!("<faultstring>CWMP fault</faultstring>{detail}"),
    ] {
        let fault = format!("<Fault><faultcode>Client</faultcode>{text}</Fault>");
        let Body::Fault(fault) = body(&fault) else { panic!("{fault}") };
        let names: Vec<&str> = fault.parameters.iter().map(|it| &*it.name).collect();
        assert_eq!((fault.code, names), (9003, vec!["A.C", "A.D"]), "{text}");
        assert_eq!(&*fault.text, "", "SOAP's own text says nothing");
    }
}

#[test]
fn unknown_calls_keep_a_bounded_name() {
    let Body::Unknown { name } = body(&format!("<cwmp:{}/>", "\u{e4}".repeat(100))) else {
        panic!()
    };
    assert!(name.len() <= 64, "{}", name.len());
    assert_eq!(body("<FooResponse><a/></FooResponse>").name(), "OtherResponse");
}
