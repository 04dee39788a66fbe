//! Waking CPEs as they are: digests in every spelling, connections reset, TLS of their own making;
//! and, in `udp`, a translation of addresses before them.

mod udp;

use crate::cpe::Cpe;
use crate::daemon::{Daemon, free_port};
use crate::http::PATIENCE;
use digest_auth::{AuthContext, AuthorizationHeader};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        crate::trial("wake::every_digest_is_answered", every_digest_is_answered),
        crate::trial("wake::resets_and_busy_devices", resets_and_busy_devices),
        crate::trial("wake::basic_only_where_allowed", basic_only_where_allowed),
        crate::trial("wake::over_tls_of_its_own_making", over_tls_of_its_own_making),
        crate::trial("wake::new_credentials_wake_the_device", new_credentials_wake),
        crate::trial("wake::nobody_else_is_called", nobody_else_is_called),
    ];
    trials.extend(udp::trials());
    trials
}

/// What a device does with a request.
enum Say {
    /// Answers and closes.
    Close(String),
    /// Answers and waits for the next.
    Keep(String),
    /// Answers, if at all, and resets the connection.
    Reset(String),
}

/// A device that is met, and every head of a request that it got.
struct Woken {
    cpe: Cpe,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Woken {
    /// Meets a device that answers the `n`th head it gets by `say(n, head, whether it is signed right)`.
    fn new(
        daemon: &Daemon,
        serial: &str,
        mut say: impl FnMut(usize, &str, bool) -> Say + Send + 'static,
    ) -> Self {
        let cpe = Cpe::new(daemon.ports.cwmp, serial, &daemon.enrolment());
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        cpe.set("ManagementServer.ConnectionRequestURL", &format!("http://127.0.0.1:{port}/w?a=1"));
        cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, credentials) = (Arc::clone(&heads), credentials(&cpe));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &mut |head| {
                    let number = seen.lock().unwrap().len();
                    seen.lock().unwrap().push(head.to_owned());
                    say(number, head, is_signed(head, &credentials))
                });
            }
        });
        Self { cpe, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Whoever changes a password does not wait for an hour.
fn new_credentials_wake() {
    let daemon = Daemon::start(None, &[]);
    let cpe = Cpe::new(daemon.ports.cwmp, "PUSHWAKE", &daemon.enrolment());
    let wakes = cpe.listen();
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let path = format!("/api/v1/devices/{}/credentials", cpe.id());
    daemon.call("PUT", &path, &json!({"push": false}));
    assert!(wakes.try_recv().is_err(), "somebody else brings them");
    let given = daemon.call("PUT", &path, &json!({"push": true}));
    wakes.recv_timeout(PATIENCE).expect("it is woken");
    cpe.visit(&[("6 CONNECTION REQUEST", "")]).unwrap();
    assert_eq!(cpe.value("ManagementServer.Password"), given["password"].as_str().unwrap());
}

fn credentials(cpe: &Cpe) -> (String, String) {
    let value = |half: &str| cpe.value(&format!("ManagementServer.ConnectionRequest{half}"));
    let pair = (value("Username"), value("Password"));
    assert!(!pair.1.is_empty(), "it was given credentials");
    pair
}

/// Serves a connection. The head is looked at before it is read: what is closed with bytes unread is
/// reset.
fn serve(mut stream: TcpStream, say: &mut dyn FnMut(&str) -> Say) {
    let mut bytes = [0; 4096];
    loop {
        let len = stream.peek(&mut bytes).unwrap_or(0);
        if len == 0 {
            return;
        }
        let Some(end) = bytes[..len].windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let said = say(&head);
        if !matches!(said, Say::Reset(_)) {
            stream.read_exact(&mut bytes[..end + 4]).unwrap();
        }
        let (Say::Close(text) | Say::Keep(text) | Say::Reset(text)) = &said;
        let _ = stream.write_all(text.as_bytes());
        if !matches!(said, Say::Keep(_)) {
            return;
        }
    }
}

fn authorization(head: &str) -> Option<&str> {
    head.lines().find_map(|line| line.strip_prefix("Authorization: "))
}

fn is_signed(head: &str, (username, password): &(String, String)) -> bool {
    let Some(said) = authorization(head).filter(|it| it.starts_with("Digest ")) else {
        return false;
    };
    let Ok(said) = AuthorizationHeader::parse(said) else { return false };
    let mut right = said.clone();
    right.digest(&AuthContext::new(username, password, "/w?a=1"));
    said == right && said.nc <= 1
}

fn unauthorised(challenge: &str) -> String {
    format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 4\r\n\r\noops"
    )
}

const MD5: &str = "Digest realm=\"cpe\", nonce=\"abc\", qop=\"auth\", algorithm=MD5";

/// The outcome of waking, waited for.
fn wake(daemon: &Daemon, cpe: &Cpe) -> Value {
    let answer = daemon.api("POST", &format!("{}/wake?wait=60s", path(cpe)), &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let woken = answer.json();
    assert_eq!(last(daemon, cpe), woken, "it is shown with the device");
    woken
}

fn path(cpe: &Cpe) -> String {
    format!("/api/v1/devices/{}", cpe.id())
}

/// What became of waking it last.
fn last(daemon: &Daemon, cpe: &Cpe) -> Value {
    daemon.call("GET", &path(cpe), &Value::Null)["connection_request"].clone()
}

fn start(cwmp: &str, waking: &str) -> Daemon {
    let waking = format!("timeout = \"1s\"\n{waking}");
    Daemon::start(None, &[("cwmp", cwmp), ("cwmp.connection_request", &waking)])
}

fn every_digest_is_answered() {
    let daemon = start("", "");
    let close = "Connection: close\r\n";
    let ok = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: 100000\r\n\r\nnever all of it");
    let cases = [
        (MD5, ok.as_str()),
        ("Digest realm=\"cpe\", nonce=\"abc\"", "HTTP/1.0 200 OK\r\n\r\n"),
        (
            "digest algorithm=md5, nonce=\"abc\",realm=\"a, b\",opaque=\"x\"",
            "HTTP/1.0 204 None\r\n\r\n",
        ),
        (
            "Digest realm=\"cpe\", nonce=\"abc\", qop=\"auth,auth-int\", algorithm=SHA-256",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "Basic realm=\"cpe\", Digest realm=\"cpe\", nonce=\"abc\", algorithm=SHA-256",
            "HTTP/1.1 200 OK\r\n\r\n",
        ),
    ];
    for (number, (challenge, answer)) in cases.into_iter().enumerate() {
        for keeps in [false, true] {
            let serial = format!("DIGEST{number}{keeps}");
            let (challenge, answer) = (challenge.to_owned(), answer.to_owned());
            let woken = Woken::new(&daemon, &serial, move |_, _, signed| match (signed, keeps) {
                (true, _) => Say::Close(answer.clone()),
                (false, true) => Say::Keep(unauthorised(&challenge)),
                (false, false) => Say::Close(unauthorised(&challenge)),
            });
            let outcome = wake(&daemon, &woken.cpe);
            assert_eq!(outcome["outcome"], "woken", "{number}: {outcome} {:?}", woken.heads());
            assert_eq!(outcome["way"], "http");
            assert_eq!(woken.heads().len(), 2, "asked, then signed: {:?}", woken.heads());
        }
    }
    assert_eq!(daemon.counted("lastmile_cwmp_connection_requests_total", &["http", "woken"]), 10.0);
}

fn resets_and_busy_devices() {
    let daemon = start("", "");
    let ok = || Say::Close("HTTP/1.1 204 No Content\r\n\r\n".to_owned());
    // Resets after its 401, though it said that the connection stays.
    let reset =
        Woken::new(
            &daemon,
            "RESET",
            move |_, _, signed| {
                if signed { ok() } else { Say::Reset(unauthorised(MD5)) }
            },
        );
    assert_eq!(wake(&daemon, &reset.cpe)["outcome"], "woken", "{:?}", reset.heads());
    // Resets without a word at first, then is busy, then has forgotten the nonce.
    let moody = Woken::new(&daemon, "MOODY", move |number, _, signed| match number {
        0 => Say::Reset(String::new()),
        1 => Say::Close("HTTP/1.1 503 Service Unavailable\r\n\r\n".to_owned()),
        2 => Say::Close(unauthorised(MD5)),
        3 => Say::Close(unauthorised(&MD5.replace("abc", "def"))),
        _ if signed => ok(),
        _ => Say::Close(unauthorised(MD5)),
    });
    assert_eq!(wake(&daemon, &moody.cpe)["outcome"], "woken", "{:?}", moody.heads());
    assert!(moody.heads().last().unwrap().contains("nonce=\"def\""));
    let counted = |word: &str| daemon.counted("lastmile_cwmp_connection_requests_total", &[word]);
    assert_eq!([counted("\"broken\""), counted("\"busy\"")], [1.0, 1.0]);
    // What does not take our digest is asked no more, and is given new credentials.
    let deaf = Woken::new(&daemon, "DEAF", |_, _, _| Say::Close(unauthorised(MD5)));
    let before = credentials(&deaf.cpe);
    let outcome = wake(&daemon, &deaf.cpe);
    assert_eq!(outcome["outcome"], "refused", "{outcome}");
    assert!(outcome["cause"].as_str().unwrap().contains("credentials"));
    assert_eq!(deaf.heads().len(), 2, "{:?}", deaf.heads());
    deaf.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_ne!(credentials(&deaf.cpe), before);
}

fn basic_only_where_allowed() {
    let basic = "Basic realm=\"cpe\"";
    let say = move |_: usize, head: &str, _: bool| {
        if authorization(head).is_some() {
            Say::Close("HTTP/1.1 200 OK\r\n\r\n".to_owned())
        } else {
            Say::Close(unauthorised(basic))
        }
    };
    let daemon = start("", "");
    let refused = Woken::new(&daemon, "BASIC1", say);
    let outcome = wake(&daemon, &refused.cpe);
    assert_eq!(outcome["outcome"], "not_digest", "{outcome}");
    assert_eq!(refused.heads().len(), 1, "it learnt nothing: {:?}", refused.heads());
    drop(daemon);
    let daemon = start("", "allow_basic = true");
    let allowed = Woken::new(&daemon, "BASIC2", say);
    assert_eq!(wake(&daemon, &allowed.cpe)["outcome"], "woken");
    assert!(authorization(&allowed.heads()[1]).unwrap().starts_with("Basic "));
}

fn over_tls_of_its_own_making() {
    let daemon = start("", "");
    let cpe = Cpe::new(daemon.ports.cwmp, "TLSWAKE", &daemon.enrolment());
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    cpe.set("ManagementServer.ConnectionRequestURL", &format!("https://127.0.0.1:{port}/w?a=1"));
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    // For a name that is not its own.
    let made = rcgen::generate_simple_self_signed(vec!["router.lan".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (config, credentials) = (Arc::new(config), credentials(&cpe));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let is_right = is_signed(&String::from_utf8_lossy(&head), &credentials);
            let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned();
            let answer = if is_right { ok } else { unauthorised(MD5) };
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
        }
    });
    let outcome = wake(&daemon, &cpe);
    assert_eq!((&outcome["outcome"], &outcome["way"]), (&json!("woken"), &json!("https")));
    // Where plain HTTP is spoken, TLS is not.
    let plain =
        Woken::new(&daemon, "NOTLS", |_, _, _| Say::Close("HTTP/1.1 200 OK\r\n\r\n".into()));
    let url = plain.cpe.value("ManagementServer.ConnectionRequestURL").replace("http:", "https:");
    plain.cpe.set("ManagementServer.ConnectionRequestURL", &url);
    plain.cpe.visit(&[("4 VALUE CHANGE", "")]).unwrap();
    let outcome = wake(&daemon, &plain.cpe);
    assert_ne!(outcome["outcome"], "woken", "{outcome}");
    assert_eq!(outcome["way"], "https");
}

fn nobody_else_is_called() {
    let daemon = start("", "");
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let elsewhere = canary.local_addr().unwrap();
    let redirect = Woken::new(&daemon, "REDIRECT", move |_, _, _| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\n\r\n");
        Say::Close(head)
    });
    let outcome = wake(&daemon, &redirect.cpe);
    assert_eq!(outcome["outcome"], "unexpected", "{outcome}");
    assert!(outcome["cause"].as_str().unwrap().contains("302"), "{outcome}");
    assert!(canary.accept().is_err(), "nobody came");

    let cpe = Cpe::new(daemon.ports.cwmp, "DENIED", &daemon.enrolment());
    cpe.set("ManagementServer.ConnectionRequestURL", "https://192.0.2.1:8443/x");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    assert_eq!(last(&daemon, &cpe), Value::Null, "nothing tried yet");
    let outcome = wake(&daemon, &cpe);
    assert_eq!(outcome["outcome"], "denied");
    assert!(outcome["cause"].as_str().unwrap().contains("away from the device"), "{outcome}");
    assert_eq!(outcome.get("way"), None);
    // It gets its commands when it comes by itself.
    let version = "InternetGatewayDevice.DeviceInfo.SoftwareVersion";
    let command = json!({"kind": "get_parameters", "names": [version]});
    let command = daemon.call("POST", &format!("{}/commands", path(&cpe)), &command);
    assert_eq!(command["state"], "queued");
    cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let of = format!("/api/v1/commands/{}", command["id"].as_str().unwrap());
    assert_eq!(daemon.call("GET", &of, &Value::Null)["state"], "done");
    // A wake leaves its line, and is for CPEs alone.
    let audit = daemon.call("GET", "/api/v1/audit", &Value::Null).to_string();
    assert!(audit.contains("device.wake"), "{audit}");
    let unknown = daemon.api("POST", "/api/v1/devices/cwmp:0A1B2C-X-1/wake", &Value::Null);
    assert_eq!(unknown.status, 404);
}
