//! A CPE written for these tests: its own XML where most is said, its own digest, a socket to be
//! woken at. What it seldom says goes through the codec.

mod rpcs;
mod signing;
mod words;

pub(crate) use self::rpcs::More;
pub(crate) use self::signing::{digest_by_hand, is_right_digest, signed};
pub(crate) use self::words::{bare_envelope, between, envelope};

use self::words::{each, fault, parameter, part_fault};
use crate::daemon::free_port;
use crate::http::{Answer, Connection};
use cwmp::{Body, Message, Namespace, Request};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// The one table in which it makes objects.
pub(crate) const TABLE: &str = "InternetGatewayDevice.Layer3Forwarding.Forwarding.";

/// What a data model holds: path to type and value.
pub(crate) type DataModel = BTreeMap<String, (&'static str, String)>;

/// A CPE between its sessions.
#[derive(Debug)]
pub(crate) struct Cpe {
    pub(crate) serial: String,
    pub(crate) port: u16,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) model: Arc<Mutex<DataModel>>,
    pub(crate) more: Arc<Mutex<More>>,
    /// What it refuses to write.
    read_only: Vec<String>,
}

/// What happened in a session.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    /// Names of the methods that the gateway called, in order.
    pub(crate) calls: Vec<String>,
    /// What they said.
    pub(crate) requests: Vec<Request>,
    /// CommandKey of a Reboot.
    pub(crate) reboot: Option<String>,
    /// Whether the Inform was answered: then the gateway has it.
    pub(crate) informed: bool,
}

/// Why a session did not happen.
#[derive(Debug)]
pub(crate) enum NoVisit {
    /// The gateway answered with this in place of an InformResponse.
    Refused(Answer),
    /// The connection broke; `informed` says whether after the InformResponse.
    Broken {
        informed: bool,
        #[expect(dead_code, reason = "is printed when a test fails")]
        error: io::Error,
    },
}

impl Cpe {
    /// One that enrols with `secret`.
    pub(crate) fn new(port: u16, serial: &str, secret: &str) -> Self {
        let root = "InternetGatewayDevice";
        let text = |value: &str| ("xsd:string", value.to_owned());
        let model = DataModel::from([
            (format!("{root}.DeviceInfo.ModelName"), text("Tester 9")),
            (format!("{root}.DeviceInfo.HardwareVersion"), text("A")),
            (format!("{root}.DeviceInfo.SoftwareVersion"), text("1.0")),
            (format!("{root}.DeviceInfo.ProvisioningCode"), text("")),
            (format!("{root}.DeviceInfo.UpTime"), ("xsd:unsignedInt", "0".to_owned())),
            (format!("{root}.Layer3Forwarding.ForwardNumberOfEntries"), text("0")),
            (format!("{root}.ManagementServer.ParameterKey"), text("")),
            (format!("{root}.ManagementServer.Username"), text("")),
            (format!("{root}.ManagementServer.Password"), text("")),
            (format!("{root}.ManagementServer.ConnectionRequestURL"), text("")),
            (format!("{root}.ManagementServer.ConnectionRequestUsername"), text("")),
            (format!("{root}.ManagementServer.ConnectionRequestPassword"), text("")),
            (format!("{root}.ManagementServer.PeriodicInformEnable"), ("xsd:boolean", "1".into())),
            (
                format!("{root}.ManagementServer.PeriodicInformInterval"),
                ("xsd:unsignedInt", "86400".into()),
            ),
            (
                format!("{root}.ManagementServer.PeriodicInformTime"),
                ("xsd:dateTime", "0001-01-01T00:00:00Z".into()),
            ),
        ]);
        let (serial, password) = (serial.to_owned(), secret.to_owned());
        let username = "enrol".to_owned();
        let (model, more) = (Arc::new(Mutex::new(model)), Arc::default());
        Self { serial, port, username, password, model, more, read_only: Vec::new() }
    }

    /// Its identity as the events spell it.
    pub(crate) fn id(&self) -> String {
        format!("cwmp:0A1B2C-Tester-{}", self.serial)
    }

    /// Sets a value of its own data model; `path` without its root.
    pub(crate) fn set(&self, path: &str, value: &str) {
        let mut model = self.model.lock().unwrap();
        model.get_mut(&format!("InternetGatewayDevice.{path}")).unwrap().1 = value.to_owned();
    }

    /// Refuses to write a value from now on; `path` without its root.
    pub(crate) fn make_read_only(&mut self, path: &str) {
        self.read_only.push(format!("InternetGatewayDevice.{path}"));
    }

    /// A value of its data model; `path` without its root.
    pub(crate) fn value(&self, path: &str) -> String {
        value(&self.model, path)
    }

    /// A whole session: signs in, informs, does what it is told until it is told nothing.
    pub(crate) fn visit(&self, events: &[(&str, &str)]) -> Result<Visit, NoVisit> {
        self.visit_with(events, Vec::new())
    }

    /// The same; before it hands over the turn it makes calls of its own.
    pub(crate) fn visit_with(
        &self,
        events: &[(&str, &str)],
        calls: Vec<Body>,
    ) -> Result<Visit, NoVisit> {
        let mut visit = Visit::default();
        match self.try_visit(events, calls, &mut visit) {
            Ok(None) => Ok(visit),
            Ok(Some(answer)) => Err(NoVisit::Refused(answer)),
            Err(error) => Err(NoVisit::Broken { informed: visit.informed, error }),
        }
    }

    fn try_visit(
        &self,
        events: &[(&str, &str)],
        calls: Vec<Body>,
        visit: &mut Visit,
    ) -> io::Result<Option<Answer>> {
        let mut connection = Connection::open(self.port)?;
        let inform = self.inform(events);
        let mut answer = post(&mut connection, &[], &inform)?;
        if answer.status == 401 {
            let authorization = self.sign(&answer)?;
            let headers = [("Authorization", authorization.as_str())];
            answer = post(&mut connection, &headers, &inform)?;
        }
        if answer.status != 200 || !answer.text().contains("InformResponse>") {
            return Ok(Some(answer));
        }
        visit.informed = true;
        let cookies: Vec<&str> =
            answer.all("set-cookie").filter_map(|it| it.split(';').next()).collect();
        let cookies = cookies.join("; ");
        let headers = [("Cookie", cookies.as_str())];
        for call in calls {
            let name = call.name();
            let call = Message::new(Some("9".into()), Namespace::default(), call).encode();
            let answer = post(&mut connection, &headers, &call)?;
            if !answer.text().contains(&format!("{name}Response")) {
                return Ok(Some(answer));
            }
        }
        let mut body = String::new();
        loop {
            let answer = post(&mut connection, &headers, &body)?;
            match answer.status {
                204 => return Ok(None),
                200 if answer.body.is_empty() => return Ok(None),
                200 => body = self.serve(&answer.text(), visit),
                status => {
                    let text = answer.text();
                    return Err(io::Error::other(format!("{status} in mid-session: {text}")));
                }
            }
        }
    }

    /// The `Authorization` that answers a challenge.
    pub(crate) fn sign(&self, challenge: &Answer) -> io::Result<String> {
        signed(challenge, &self.username, &self.password)
    }

    /// The Inform's envelope.
    pub(crate) fn inform(&self, events: &[(&str, &str)]) -> String {
        let mut list = String::new();
        for (code, key) in events {
            write!(
                list,
                "<EventStruct><EventCode>{code}</EventCode><CommandKey>{key}</CommandKey></EventStruct>"
            )
            .unwrap();
        }
        let model = self.model.lock().unwrap();
        let told = [
            "DeviceInfo.",
            "ParameterKey",
            "ConnectionRequestURL",
            "UDPConnectionRequestAddress",
            "PeriodicInformInterval",
        ];
        let told = model.iter().filter(|(path, _)| told.iter().any(|it| path.contains(it)));
        let values =
            told.map(|(path, (kind, value))| parameter(path, kind, value)).collect::<String>();
        envelope(
            "1",
            &format!(
                "<cwmp:Inform><DeviceId><Manufacturer>Tests</Manufacturer><OUI>0A1B2C</OUI>\
                 <ProductClass>Tester</ProductClass><SerialNumber>{}</SerialNumber></DeviceId>\
                 <Event>{list}</Event><MaxEnvelopes>1</MaxEnvelopes>\
                 <CurrentTime>2026-01-01T00:00:00Z</CurrentTime><RetryCount>0</RetryCount>\
                 <ParameterList>{values}</ParameterList></cwmp:Inform>",
                self.serial
            ),
        )
    }

    /// Does what an RPC asks; the answer's envelope.
    pub(crate) fn serve(&self, rpc: &str, visit: &mut Visit) -> String {
        let message = cwmp::decode(None, rpc.as_bytes(), &cwmp::Options::default()).unwrap();
        let id = between(rpc, "mustUnderstand=\"1\">", "<").unwrap_or_default();
        let body = between(rpc, "Body>", "Body>").unwrap_or_default();
        let call = between(body, "<cwmp:", ">").unwrap_or_default();
        let call = call.split([' ', '/']).next().unwrap_or_default();
        visit.calls.push(call.to_owned());
        if let Some(code) = self.noted(&message, call, visit) {
            return envelope(id, &fault(code, "refused"));
        }
        let mut model = self.model.lock().unwrap();
        let answer = match call {
            "GetParameterValues" => {
                let mut found = String::new();
                for name in each(body, "<string>", "</string>") {
                    for (path, (kind, value)) in model.iter() {
                        if path == name || (name.ends_with('.') && path.starts_with(name)) {
                            found.push_str(&parameter(path, kind, value));
                        }
                    }
                }
                format!("<ParameterList>{found}</ParameterList>")
            }
            "SetParameterValues" => {
                let names = each(body, "<Name>", "</Name>");
                let culprit = names.iter().find(|it| self.read_only.iter().any(|path| path == *it));
                if let Some(culprit) = culprit {
                    return envelope(id, &part_fault(culprit, 9008));
                }
                for one in each(body, "<ParameterValueStruct>", "</ParameterValueStruct>") {
                    let path = between(one, "<Name>", "</Name>").unwrap();
                    let value = between(one, "<Value", "</Value>").unwrap_or_default();
                    let value = value.split_once('>').map_or("", |(_, value)| value);
                    let Some(slot) = model.get_mut(path) else {
                        return envelope(id, &fault(9005, "no such parameter"));
                    };
                    slot.1 = value.to_owned();
                }
                let key = between(body, "<ParameterKey>", "</ParameterKey>").unwrap_or_default();
                rpcs::keep_key(&mut model, key);
                "<Status>0</Status>".to_owned()
            }
            "Reboot" => {
                let key = between(body, "<CommandKey>", "</CommandKey>").unwrap_or_default();
                visit.reboot = Some(key.to_owned());
                String::new()
            }
            _ => {
                drop(model);
                let answer = match self.carry_out(&message.body) {
                    Ok(response) => Body::Response(Box::new(response)),
                    Err(code) => rpcs::refusal(code),
                };
                return Message::new(message.id, message.namespace, answer).encode();
            }
        };
        envelope(id, &format!("<cwmp:{call}Response>{answer}</cwmp:{call}Response>"))
    }

    /// Opens the socket at which the gateway may wake this CPE, and names it in its data model.
    /// Each right request is sent to the receiver.
    pub(crate) fn listen(&self) -> Receiver<()> {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let url = format!("http://127.0.0.1:{port}/wake");
        self.set("ManagementServer.ConnectionRequestURL", &url);
        let (woken, wakes) = channel();
        let model = Arc::clone(&self.model);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer_wake(BufReader::new(stream), &model, &woken).is_none() {
                    return;
                }
            }
        });
        wakes
    }

    /// Lives on its own from now on: each wake is a session, each Reboot a boot.
    pub(crate) fn live(self, wakes: Receiver<()>) {
        thread::spawn(move || {
            for () in wakes {
                let Ok(visit) = self.visit(&[("6 CONNECTION REQUEST", "")]) else { continue };
                if let Some(key) = visit.reboot {
                    let _ = self.visit(&[("1 BOOT", ""), ("M Reboot", &key)]);
                }
            }
        });
    }
}

/// Answers one connection request; nothing when nobody listens any more.
fn answer_wake(
    mut stream: BufReader<std::net::TcpStream>,
    model: &Mutex<DataModel>,
    woken: &Sender<()>,
) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return Some(());
        }
    }
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    let is_right = authorization.is_some_and(|it| {
        let half = |half: &str| value(model, &format!("ManagementServer.ConnectionRequest{half}"));
        is_right_digest(&it, &half("Username"), &half("Password"))
    });
    let answer = if is_right {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    } else {
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"cpe\", nonce=\"4f6e6365\", \
         algorithm=MD5, qop=\"auth\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    };
    let _ = stream.get_mut().write_all(answer.as_bytes());
    if is_right { woken.send(()).ok() } else { Some(()) }
}

fn value(model: &Mutex<DataModel>, path: &str) -> String {
    model.lock().unwrap()[&format!("InternetGatewayDevice.{path}")].1.clone()
}

/// One POST of CWMP.
pub(crate) fn post(
    connection: &mut Connection,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let mut all = headers.to_vec();
    if !body.is_empty() {
        all.push(("Content-Type", "text/xml; charset=utf-8"));
    }
    connection.request("POST", "/acs", &all, body.as_bytes())
}
