//! Known answers of the codec, and its bounds.

use crate::cwmp::{
    Body, DecodeError, EventStruct, Fault, IdentityError, Inform, Message, Namespace, Options,
    Parameter, Request, Response, XsdType, decode,
};
use crate::{envelope, inform, message};

const INFORM: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"
  xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xmlns:cwmp="urn:dslforum-org:cwmp-1-4">
 <soap:Header><cwmp:ID soap:mustUnderstand="1"> a&amp;b </cwmp:ID></soap:Header>
 <soap:Body><cwmp:Inform>
  <DeviceId><Manufacturer>M &lt;1&gt;</Manufacturer><OUI>00D09E</OUI>
   <ProductClass>Router</ProductClass><SerialNumber>S1</SerialNumber></DeviceId>
  <Event><EventStruct><EventCode>M Reboot</EventCode><CommandKey>k</CommandKey></EventStruct>
   <EventStruct><EventCode>1 BOOT</EventCode><CommandKey/></EventStruct></Event>
  <MaxEnvelopes>1</MaxEnvelopes><CurrentTime>2026-01-01T00:00:00</CurrentTime><RetryCount>03</RetryCount>
  <ParameterList><ParameterValueStruct><Name>Device.DeviceInfo.UpTime</Name>
   <Value xsi:type="xsd:unsignedInt"> 17 </Value></ParameterValueStruct>
   <ParameterValueStruct><Name>Device.X</Name><Value xsi:type="xsd:string"> two &#50; </Value>
   </ParameterValueStruct></ParameterList>
 </cwmp:Inform></soap:Body></soap:Envelope>
"#;

#[test]
fn an_inform_is_read_whole() {
    let read = crate::decode(INFORM).unwrap();
    assert_eq!(read.id.as_deref(), Some("a&b"));
    assert_eq!(read.namespace.as_str(), "urn:dslforum-org:cwmp-1-4");
    let said = read.inform().unwrap();
    assert_eq!(&*said.device.manufacturer, "M <1>");
    assert_eq!(said.device_id().unwrap().as_str(), "cwmp:00D09E-Router-S1");
    let event = |code: &str, key: &str| EventStruct { code: code.into(), command_key: key.into() };
    assert_eq!(said.events, [event("M Reboot", "k"), event("1 BOOT", "")]);
    assert_eq!((said.max_envelopes, said.retry_count), (1, 3));
    assert_eq!(&*said.current_time, "2026-01-01T00:00:00");
    let uptime = Parameter::new("Device.DeviceInfo.UpTime", "17", XsdType::UnsignedInt);
    // White space belongs to a string and to nothing else.
    assert_eq!(said.parameters, [uptime, Parameter::new("Device.X", " two 2 ", XsdType::String)]);
    assert_eq!(said.root().unwrap().as_str(), "Device.");
}

#[test]
fn cut_anywhere_it_is_refused() {
    let end = INFORM.find("</soap:Envelope>").unwrap() + "</soap:Envelope>".len();
    for cut in 0..end {
        let body = &INFORM.as_bytes()[..cut];
        match decode(None, body, &Options::default()) {
            Ok(message) => assert_eq!((cut, message.body), (0, Body::Empty)),
            Err(error) => assert!(
                matches!(
                    error,
                    DecodeError::Malformed | DecodeError::Truncated | DecodeError::NotSoap
                ),
                "{cut}: {error}"
            ),
        }
    }
    assert!(decode(None, &INFORM.as_bytes()[..end], &Options::default()).is_ok());
}

#[test]
fn our_envelopes_are_bare() {
    let body = Body::Response(Box::new(Response::Inform));
    let written = Message::new(Some("a&b<".into()), Namespace::default(), body).encode();
    assert_eq!(
        written,
        "<soap-env:Envelope xmlns:soap-env=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:soap-enc=\"http://schemas.xmlsoap.org/soap/encoding/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns:cwmp=\"urn:dslforum-org:cwmp-1-0\"><soap-env:Header><cwmp:ID \
         soap-env:mustUnderstand=\"1\">a&amp;b&lt;</cwmp:ID></soap-env:Header><soap-env:Body>\
         <cwmp:InformResponse><MaxEnvelopes>1</MaxEnvelopes></cwmp:InformResponse>\
         </soap-env:Body></soap-env:Envelope>"
    );
    assert_eq!(Message::empty().encode(), "");
    let no_id = Message::new(None, Namespace::default(), Body::GetRpcMethods).encode();
    assert!(!no_id.contains("Header"), "no ID, no header");
}

#[test]
fn a_fault_of_ours_is_soap() {
    let written = message(Body::Fault(Box::new(Fault::ours(8000)))).encode();
    let expected = "<soap-env:Fault><faultcode>Server</faultcode>\
         <faultstring>CWMP fault</faultstring><detail><cwmp:Fault><FaultCode>8000</FaultCode>\
         <FaultString>method not supported</FaultString></cwmp:Fault></detail></soap-env:Fault>";
    assert!(written.contains(expected), "{written}");
}

#[test]
fn a_call_of_ours_says_types_and_lengths() {
    let parameters = vec![Parameter::new("Device.A", "1", XsdType::Boolean)];
    let call = Request::SetParameterValues { parameters, parameter_key: "k".into() };
    let written = message(Body::Request(Box::new(call))).encode();
    let expected = "<cwmp:SetParameterValues>\
         <ParameterList soap-enc:arrayType=\"cwmp:ParameterValueStruct[1]\"><ParameterValueStruct>\
         <Name>Device.A</Name><Value xsi:type=\"xsd:boolean\">1</Value></ParameterValueStruct>\
         </ParameterList><ParameterKey>k</ParameterKey></cwmp:SetParameterValues>";
    assert!(written.contains(expected), "{written}");
    let names = vec!["Device.".into()];
    let call = Request::GetParameterValues { names };
    let written = message(Body::Request(Box::new(call))).encode();
    let expected = "<ParameterNames soap-enc:arrayType=\"xsd:string[1]\"><string>Device.</string>";
    assert!(written.contains(expected), "{written}");
}

#[test]
fn faults_name_each_parameter() {
    let body = envelope(
        "<SOAP-ENV:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail>\
         <cwmp:Fault><FaultCode>9003</FaultCode><FaultString>Invalid arguments</FaultString>\
         <SetParameterValuesFault><ParameterName>Device.A</ParameterName><FaultCode>9008</FaultCode>\
         <FaultString>ro</FaultString></SetParameterValuesFault><SetParameterValuesFault>\
         <ParameterName>Device.B</ParameterName><FaultCode>9007</FaultCode></SetParameterValuesFault>\
         </cwmp:Fault></detail></SOAP-ENV:Fault>",
    );
    let Body::Fault(fault) = crate::decode(&body).unwrap().body else { panic!() };
    assert_eq!((fault.code, &*fault.text), (9003, "Invalid arguments"));
    let parts: Vec<_> = fault.parameters.iter().map(|it| (&*it.name, it.code, &*it.text)).collect();
    assert_eq!(parts, [("Device.A", 9008, "ro"), ("Device.B", 9007, "")]);
}

#[test]
fn every_bound_holds() {
    let options = Options {
        body_bytes_max: 1 << 20,
        depth_max: 12,
        elements_max: 100,
        parameters_max: 4,
        events_max: 2,
        ..Options::default()
    };
    let read = |body: &str| decode(None, envelope(body).as_bytes(), &options).map(|_| ());
    assert_eq!(read(&"<a>".repeat(10_000)), Err(DecodeError::TooDeep));
    assert_eq!(read(&"<a/>".repeat(101)), Err(DecodeError::TooMany));
    let list = |item: &str, len| format!("<Inform><{item}>{}</{item}></Inform>", ITEM.repeat(len));
    assert_eq!(read(&list("ParameterList", 4)), Ok(()));
    assert_eq!(read(&list("ParameterList", 5)), Err(DecodeError::TooMany));
    assert_eq!(read(&list("Event", 2)), Ok(()));
    assert_eq!(read(&list("Event", 3)), Err(DecodeError::TooMany));
    assert_eq!(read(&" ".repeat(1 << 20)), Err(DecodeError::TooLong));
    let attributes: String = (0..10_000).map(|n| format!(" a{n}='v'")).collect();
    assert_eq!(read(&format!("<Inform{attributes}/>")), Ok(()), "an attribute flood is not read");
}

/// Serves as an EventStruct and as a ParameterValueStruct.
const ITEM: &str = "<Struct><EventCode>X</EventCode><Name>Device.A</Name></Struct>";

#[test]
fn a_hundred_thousand_parameters_are_refused() {
    let list = format!("<Inform><ParameterList>{}</ParameterList></Inform>", ITEM.repeat(100_000));
    let options = Options { body_bytes_max: 100 << 20, ..Options::default() };
    let read = decode(None, envelope(&list).as_bytes(), &options);
    assert_eq!(read, Err(DecodeError::TooMany));
}

#[test]
fn ten_megabytes_are_refused_by_default_and_read_within_bounds() {
    let value = format!(
        "<Inform><ParameterList><a><Name>Device.A</Name><Value>{}</Value></a></ParameterList></Inform>",
        "x&amp;".repeat(2 << 20)
    );
    let body = envelope(&value);
    assert!(body.len() > 10 << 20);
    assert_eq!(crate::decode(&body), Err(DecodeError::TooLong));
    let options = Options { body_bytes_max: 16 << 20, ..Options::default() };
    let read = decode(None, body.as_bytes(), &options).unwrap();
    assert_eq!(read.inform().unwrap().parameters[0].value.expose().len(), 2 * (2 << 20));
}

#[test]
fn an_identity_needs_a_serial() {
    let named = |serial: &str| {
        let mut it: Inform = inform(&[], &[]);
        it.device.serial = serial.into();
        it.device_id().map(|id| id.as_str().to_owned())
    };
    assert_eq!(named("a b"), Ok("cwmp:00D09E-Router-a%20b".into()));
    assert_eq!(named(""), Err(IdentityError::NoSerial));
    assert_eq!(named(&"x".repeat(300)), Err(IdentityError::TooLong));
    let mut plain = inform(&[], &[]);
    plain.device.product_class = "".into();
    assert_eq!(plain.device_id().unwrap().as_str(), "cwmp:00D09E-S1");
}

#[test]
fn values_do_not_print() {
    let read = crate::decode(INFORM).unwrap();
    assert!(!format!("{read:?}").contains("17"), "{read:?}");
}
