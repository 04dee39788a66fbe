//! What it costs to read what devices send: `cargo bench -p lastmile-cwmp [-- <part of its name>]`. To be reached: 4 µs for
//! an Inform of 2.4 KB, 250 µs for an answer with 1,000 names or values. The quickest of many rounds
//! is told: what else the machine does only makes a round slower.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use lastmile_cwmp::{
    Body, Message, Namespace, Options, Parameter, ParameterInfo, Response, XsdType, decode,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each case is repeated.
const LASTS: Duration = Duration::from_secs(2);

fn main() {
    let inform = inform();
    println!("an Inform of {} bytes", inform.len());
    case("read an Inform", &inform, 100);
    case("read 1,000 names", &names(), 1);
    case("read 1,000 values", &values(), 1);
    let message = decode(None, inform.as_bytes(), &Options::default()).unwrap();
    quickest("write an Inform", 100, || {
        black_box(message.encode());
    });
}

fn case(what: &str, body: &str, repeats: u32) {
    let options = Options::default();
    quickest(what, repeats, || {
        black_box(decode(None, black_box(body.as_bytes()), &options)).unwrap();
    });
}

fn quickest(what: &str, repeats: u32, mut run: impl FnMut()) {
    let chosen = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    if chosen.is_some_and(|it| !what.contains(&it)) {
        return;
    }
    let end = Instant::now() + LASTS;
    let mut least = Duration::MAX;
    while Instant::now() < end {
        let begun = Instant::now();
        (0..repeats).for_each(|_| run());
        least = least.min(begun.elapsed() / repeats);
    }
    println!("{what:<20} {:>9.2} µs", least.as_secs_f64() * 1e6);
}

/// As devices write it: indented, with a prefix for everything.
fn inform() -> String {
    const PARAMETERS: [(&str, &str, &str); 9] = [
        ("DeviceInfo.HardwareVersion", "string", "1.0"),
        ("DeviceInfo.SoftwareVersion", "string", "3.14.15-rc2"),
        ("DeviceInfo.ProvisioningCode", "string", ""),
        ("DeviceInfo.UpTime", "unsignedInt", "123456"),
        ("ManagementServer.ParameterKey", "string", ""),
        ("ManagementServer.ConnectionRequestURL", "string", "http://192.0.2.7:7547/Zo8aiNg5"),
        ("ManagementServer.PeriodicInformInterval", "unsignedInt", "300"),
        ("Ethernet.Interface.1.Enable", "boolean", "1"),
        ("IP.Interface.1.IPv4Address.1.IPAddress", "string", "192.0.2.7"),
    ];
    let parameters: String = PARAMETERS
        .iter()
        .map(|(name, kind, value)| {
            format!(
                "\n    <ParameterValueStruct>\n     <Name>Device.{name}</Name>\n     \
                 <Value xsi:type=\"xsd:{kind}\">{value}</Value>\n    </ParameterValueStruct>"
            )
        })
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:cwmp="urn:dslforum-org:cwmp-1-2">
 <SOAP-ENV:Header>
  <cwmp:ID SOAP-ENV:mustUnderstand="1">1</cwmp:ID>
 </SOAP-ENV:Header>
 <SOAP-ENV:Body>
  <cwmp:Inform>
   <DeviceId>
    <Manufacturer>Maker</Manufacturer>
    <OUI>00D09E</OUI>
    <ProductClass>Router</ProductClass>
    <SerialNumber>S0123456789</SerialNumber>
   </DeviceId>
   <Event SOAP-ENC:arrayType="cwmp:EventStruct[1]">
    <EventStruct>
     <EventCode>2 PERIODIC</EventCode>
     <CommandKey></CommandKey>
    </EventStruct>
   </Event>
   <MaxEnvelopes>1</MaxEnvelopes>
   <CurrentTime>2026-01-01T00:00:00+00:00</CurrentTime>
   <RetryCount>0</RetryCount>
   <ParameterList SOAP-ENC:arrayType="cwmp:ParameterValueStruct[9]">{parameters}
   </ParameterList>
  </cwmp:Inform>
 </SOAP-ENV:Body>
</SOAP-ENV:Envelope>
"#
    )
}

fn path(n: usize) -> Box<str> {
    format!("Device.WiFi.AccessPoint.{}.AssociatedDevice.{n}.SignalStrength", n / 32).into()
}

fn answer(response: Response) -> String {
    Message::new(Some("1".into()), Namespace::default(), Body::Response(Box::new(response)))
        .encode()
}

fn names() -> String {
    let info = |n| ParameterInfo { name: path(n), writable: n % 2 == 0 };
    answer(Response::GetParameterNames { parameters: (0..1000).map(info).collect() })
}

fn values() -> String {
    let types = ["string", "unsignedInt", "boolean", "dateTime"];
    let value = |n: usize| Parameter::new(&path(n), &n.to_string(), XsdType::new(types[n % 4]));
    answer(Response::GetParameterValues { parameters: (0..1000).map(value).collect() })
}
