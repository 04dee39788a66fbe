//! One message of a real device: what begins a session does, what belongs into one is said in one.

use super::{Request, assert_answers, kind, refuse_the_rest};
use crate::cpe::Cpe;
use crate::daemon::Daemon;
use crate::http::Connection;
use serde_json::json;
use std::fs;
use std::path::Path;

pub(super) fn replay(file: &Path) {
    let bytes = fs::read(file).unwrap();
    let request = match file.extension().is_some_and(|it| it == "http") {
        true => Request::parse(&bytes).expect("a request"),
        false => {
            let head = ["POST / HTTP/1.1", "Host: acs", "Content-Type: text/xml"];
            Request { lines: head.map(str::to_owned).to_vec(), body: bytes }
        }
    };
    let what = file.display().to_string();
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"")]);
    let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
    let mut cookie = String::new();
    // A chunk's bytes may look like anything: what it is, its answer tells.
    let is_inform = request.kind() == "Inform";
    if !is_inform {
        cookie = asked(&daemon, &mut connection, &request);
    }
    connection.write(&request.bytes(&cookie)).unwrap();
    let answer = connection.answer().unwrap();
    assert_answers(&answer, &request, &what);
    if let Some(set) = answer.header("set-cookie") {
        cookie = set.split(';').next().unwrap_or_default().to_owned();
    }
    if is_inform {
        let cookies = [("Cookie", cookie.as_str())];
        let next = connection.request("POST", "/", &cookies, b"").unwrap();
        refuse_the_rest(&mut connection, &cookie, next, &what);
    } else {
        refuse_the_rest(&mut connection, &cookie, answer, &what);
    }
    let bad = daemon.counted("lastmile_listen_faults_total", &["protocol=\"cwmp\""]);
    assert!(bad < 1.0, "{}", daemon.metrics());
}

/// A session in which the message has its place: after our question, if it is an answer. The cookie.
fn asked(daemon: &Daemon, connection: &mut Connection, request: &Request) -> String {
    let cpe = Cpe::new(daemon.ports.cwmp, "RECORDED", "");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let path = format!("/api/v1/devices/{}/commands", cpe.id());
    daemon.call("POST", &path, &json!({"kind": "get_parameters", "names": ["Device.A"]}));
    let inform = cpe.inform(&[("2 PERIODIC", "")]);
    let answer = connection.request("POST", "/", &[], inform.as_bytes()).unwrap();
    assert_eq!(kind(&answer.text()), "InformResponse");
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    if request.kind().ends_with("Response") {
        let asked = connection.request("POST", "/", &[("Cookie", &cookie)], b"").unwrap();
        assert_eq!(kind(&asked.text()), "GetParameterValues");
    }
    cookie
}
