//! A device written by hand: bytes on a connection, and no help from anybody's library.

pub(super) use crate::cpe::{bare_envelope as envelope, between};

use crate::http::{Answer, Connection};
use std::fmt::Write as _;

/// Most calls that a device answers in one session.
const CALLS_MAX: usize = 200;

/// One connection and the cookies that came over it.
pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) port: u16,
    /// As a device sends it back; none is sent while it is empty.
    pub(super) cookie: String,
}

/// A call of the gateway.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) body: String,
}

impl Peer {
    pub(super) fn connect(port: u16) -> Self {
        Self { connection: Connection::open(port).unwrap(), port, cookie: String::new() }
    }

    /// The same device on a new connection, with what it kept.
    pub(super) fn reconnect(&mut self) {
        self.connection = Connection::open(self.port).unwrap();
    }

    /// Posts as most devices do; keeps the cookie that comes.
    pub(super) fn post(&mut self, body: &str) -> Answer {
        self.post_with(&[("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", "")], body)
    }

    /// Posts with just these headers and the cookie.
    pub(super) fn post_with(&mut self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.post_bytes(headers, body.as_bytes())
    }

    pub(super) fn post_bytes(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut headers = headers.to_vec();
        let cookie = self.cookie.clone();
        if !cookie.is_empty() {
            headers.push(("Cookie", &cookie));
        }
        let answer = self.connection.request("POST", "/", &headers, body).unwrap();
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        }
        answer
    }

    /// Sends a whole request as it is written here; its answer.
    pub(super) fn raw(&mut self, request: &[u8]) -> Answer {
        self.connection.write(request).unwrap();
        self.connection.answer().unwrap()
    }

    /// A first contact up to the InformResponse.
    pub(super) fn introduce(&mut self, serial: &str) {
        let answer = self.post(&Inform::of(serial).envelope());
        assert_informed(&answer);
    }

    /// A periodic Inform up to the InformResponse.
    pub(super) fn call_in(&mut self, serial: &str) {
        let answer = self.post(&Inform::of(serial).events(&["2 PERIODIC"]).envelope());
        assert_informed(&answer);
    }

    /// Posts and reads the call that comes back; none for 204.
    pub(super) fn next(&mut self, body: &str) -> Option<Call> {
        let answer = self.post(body);
        call_of(&answer)
    }

    /// Gives the turn away and does all that is asked until nothing is; the names of the calls.
    pub(super) fn obey(&mut self) -> Vec<String> {
        let first = self.next("");
        self.obey_from(first)
    }

    /// The same from a call that has come already.
    pub(super) fn obey_from(&mut self, first: Option<Call>) -> Vec<String> {
        let mut calls = Vec::new();
        let mut call = first;
        while let Some(asked) = call {
            assert!(calls.len() < CALLS_MAX, "it asks for ever: {calls:?}");
            calls.push(asked.name.clone());
            call = self.next(&asked.answered());
        }
        calls
    }
}

impl Call {
    /// An answer with that body.
    pub(super) fn answer(&self, body: &str) -> String {
        let name = &self.name;
        envelope(&self.id, &format!("<cwmp:{name}Response>{body}</cwmp:{name}Response>"))
    }

    /// A fault.
    pub(super) fn fault(&self, code: u32) -> String {
        let fault = format!(
            "<s:Fault><faultcode>Client</faultcode><faultstring>CWMP fault</faultstring><detail>\
             <cwmp:Fault><FaultCode>{code}</FaultCode><FaultString>no</FaultString></cwmp:Fault>\
             </detail></s:Fault>"
        );
        envelope(&self.id, &fault)
    }

    /// What a device that has nearly nothing says to it.
    pub(super) fn answered(&self) -> String {
        match self.name.as_str() {
            "SetParameterValues" => self.answer("<Status>0</Status>"),
            "GetParameterValues" => {
                let values: String = self.names().iter().map(|it| parameter(it, "v")).collect();
                self.answer(&format!("<ParameterList>{values}</ParameterList>"))
            }
            "Reboot" | "FactoryReset" => self.answer(""),
            _ => self.fault(9000),
        }
    }

    /// The strings of its list.
    pub(super) fn names(&self) -> Vec<String> {
        let strings = self.body.split("<string>").skip(1);
        strings.filter_map(|it| it.split('<').next()).map(str::to_owned).collect()
    }
}

/// An Inform, to be bent in one place.
#[derive(Clone, Debug)]
pub(super) struct Inform {
    pub(super) id: String,
    pub(super) device: String,
    pub(super) event: String,
    pub(super) time: String,
    pub(super) values: String,
}

impl Inform {
    pub(super) fn of(serial: &str) -> Self {
        let device = format!(
            "<DeviceId><Manufacturer>Odd</Manufacturer><OUI>0A1B2C</OUI>\
             <ProductClass>Odd</ProductClass><SerialNumber>{serial}</SerialNumber></DeviceId>"
        );
        let value = parameter("InternetGatewayDevice.DeviceInfo.SoftwareVersion", "1.0");
        let values = format!("<ParameterList>{value}</ParameterList>");
        let (id, time) = ("1".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        let blank = Self { id, device, event: String::new(), time, values };
        blank.events(&["0 BOOTSTRAP"])
    }

    pub(super) fn events(mut self, codes: &[&str]) -> Self {
        self.event = String::from("<Event>");
        for code in codes {
            write!(
                self.event,
                "<EventStruct><EventCode>{code}</EventCode><CommandKey/></EventStruct>"
            )
            .unwrap();
        }
        self.event.push_str("</Event>");
        self
    }

    /// Adds a ParameterValueStruct as it is written.
    pub(super) fn with(mut self, value: &str) -> Self {
        let list = "</ParameterList>";
        self.values = self.values.replace(list, &format!("{value}{list}"));
        self
    }

    pub(super) fn body(&self) -> String {
        let Self { device, event, time, values, .. } = self;
        format!(
            "<cwmp:Inform>{device}{event}<MaxEnvelopes>1</MaxEnvelopes>\
             <CurrentTime>{time}</CurrentTime><RetryCount>0</RetryCount>{values}</cwmp:Inform>"
        )
    }

    pub(super) fn envelope(&self) -> String {
        envelope(&self.id, &self.body())
    }
}

pub(super) fn parameter(name: &str, value: &str) -> String {
    format!(
        "<ParameterValueStruct><Name>{name}</Name><Value xsi:type=\"xsd:string\">{value}</Value>\
         </ParameterValueStruct>"
    )
}

#[track_caller]
pub(super) fn assert_informed(answer: &Answer) {
    let text = answer.text();
    assert!(answer.status == 200 && text.contains("InformResponse>"), "{} {text}", answer.status);
    assert_bare(&text);
}

/// Some devices close on a body that begins with a declaration.
#[track_caller]
fn assert_bare(text: &str) {
    assert!(text.starts_with("<soap-env:Envelope ") && !text.contains("<?"), "{text}");
}

/// The call in an answer; none for 204, and nothing else may come.
#[track_caller]
pub(super) fn call_of(answer: &Answer) -> Option<Call> {
    let text = answer.text();
    if answer.status == 204 {
        assert_eq!(text, "");
        return None;
    }
    assert_eq!(answer.status, 200, "{text}");
    assert_bare(&text);
    let id = between(&text, "mustUnderstand=\"1\">", "<").unwrap_or_default().to_owned();
    let body = between(&text, "Body>", "Body>").unwrap_or_default().to_owned();
    let name = between(&body, "<cwmp:", ">").unwrap_or_default();
    let name = name.split([' ', '/']).next().unwrap_or_default().to_owned();
    assert!(!name.is_empty(), "no call in {text}");
    Some(Call { name, id, body })
}
