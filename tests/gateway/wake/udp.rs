//! Waking by UDP, through a translation of addresses; and what the STUN server tells to whom.

use super::{credentials, path, start, wake};
use crate::cpe::Cpe;
use crate::daemon::{Daemon, free_port, until};
use crate::http::PATIENCE;
use cwmp::{stun, udp_request};
use libtest_mimic::Trial;
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("wake::through_a_translation_of_addresses", through_a_translation),
        crate::trial("wake::udp_after_http_failed", udp_after_http_failed),
        crate::trial("wake::udp_counts_when_the_device_comes", udp_counts_when_it_comes),
        crate::trial("wake::stun_tells_nobody_else", stun_tells_nobody_else),
        crate::trial("wake::a_device_without_stun_loses_nothing", a_device_without_stun),
    ]
}

/// A CPE behind a translation of addresses: what it sends comes from another port, and only from whom
/// it has called does anything come back to it.
struct Hidden {
    cpe: Cpe,
    inside: UdpSocket,
    router: SocketAddr,
    outside: SocketAddr,
}

const STUN_KEYS: [(&str, &str); 7] = [
    ("STUNEnable", "xsd:boolean"),
    ("STUNServerAddress", "xsd:string"),
    ("STUNServerPort", "xsd:unsignedInt"),
    ("STUNUsername", "xsd:string"),
    ("STUNPassword", "xsd:string"),
    ("STUNMinimumKeepAlivePeriod", "xsd:unsignedInt"),
    ("STUNMaximumKeepAlivePeriod", "xsd:int"),
];

impl Hidden {
    fn new(daemon: &Daemon, stun_port: u16, serial: &str, url: &str) -> Self {
        let cpe = Cpe::new(daemon.ports.cwmp, serial, &daemon.enrolment());
        for (name, kind) in STUN_KEYS {
            let path = format!("InternetGatewayDevice.ManagementServer.{name}");
            cpe.model.lock().unwrap().insert(path, (kind, String::new()));
        }
        cpe.set("ManagementServer.ConnectionRequestURL", url);
        cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (inside, lan, wan) = (bind(), bind(), bind());
        let (router, outside) = (lan.local_addr().unwrap(), wan.local_addr().unwrap());
        let device = inside.local_addr().unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], stun_port));
        let (lan_in, wan_out) = (lan.try_clone().unwrap(), wan.try_clone().unwrap());
        thread::spawn(move || relay(&lan_in, device, &wan_out, server));
        thread::spawn(move || relay(&wan, server, &lan, device));
        Self { cpe, inside, router, outside }
    }

    fn value(&self, name: &str) -> String {
        self.cpe.value(&format!("ManagementServer.{name}"))
    }

    /// Asks the STUN server; its answer.
    fn ask(&self, proof: Option<(&str, &str)>) -> Vec<u8> {
        let question = stun::binding_request([3; 12], false, proof, false);
        self.inside.send_to(&question, self.router).unwrap();
        let answer = self.receive();
        assert!(answer.len() <= question.len(), "{} > {}", answer.len(), question.len());
        answer
    }

    /// Opens the hole; the address that it is told.
    fn bind(&self) -> SocketAddr {
        let (username, password) = (self.value("STUNUsername"), self.value("STUNPassword"));
        let answer = self.ask(Some((&username, &password)));
        stun::mapped_address(&answer).unwrap()
    }

    fn receive(&self) -> Vec<u8> {
        let mut bytes = [0; 2048];
        let (len, _) = self.inside.recv_from(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }

    /// The number of a connection request that it would take.
    fn called(&self) -> Option<u32> {
        let (username, password) = credentials(&self.cpe);
        udp_request::accept(&self.receive(), &username, &password)
    }
}

/// Passes on what comes from `from`, as a router does for those inside.
fn relay(here: &UdpSocket, from: SocketAddr, there: &UdpSocket, to: SocketAddr) {
    let mut bytes = [0; 2048];
    while let Ok((len, sender)) = here.recv_from(&mut bytes) {
        if sender == from {
            let _ = there.send_to(&bytes[..len], to);
        }
    }
}

fn start_with_stun() -> (Daemon, u16) {
    let port = free_port();
    (start(&format!("stun_listen = \"127.0.0.1:{port}\""), ""), port)
}

/// An address that the guard denies: as a device behind a translation names its own.
const PRIVATE: &str = "http://192.168.1.1:7547/x";

fn through_a_translation() {
    let (daemon, port) = start_with_stun();
    let hidden = Hidden::new(&daemon, port, "HIDDEN1", PRIVATE);
    assert_eq!(hidden.value("STUNEnable"), "1");
    assert_eq!(hidden.value("STUNServerPort"), port.to_string());
    assert_eq!(hidden.value("STUNServerAddress"), "", "that of its ACS");
    assert_eq!(wake(&daemon, &hidden.cpe)["outcome"], "denied", "no hole yet");

    assert_eq!(stun::error_code(&hidden.ask(None)), Some(401));
    let username = hidden.value("STUNUsername");
    assert_eq!(stun::error_code(&hidden.ask(Some((&username, "guessed")))), Some(401));
    assert_eq!(wake(&daemon, &hidden.cpe)["outcome"], "denied", "nothing was believed");
    assert_eq!(hidden.bind(), hidden.outside, "its own address as we see it");

    let outcome = thread::scope(|scope| {
        let waking = scope.spawn(|| wake(&daemon, &hidden.cpe));
        assert!(hidden.called().is_some());
        hidden.cpe.visit(&[("6 CONNECTION REQUEST", "")]).unwrap();
        waking.join().unwrap()
    });
    assert_eq!((&outcome["outcome"], &outcome["way"]), (&json!("woken"), &json!("udp")));
    assert_eq!(daemon.counted("lastmile_cwmp_stun_requests_total", &["bound"]), 1.0);
    assert_eq!(daemon.counted("lastmile_cwmp_stun_requests_total", &["unauthorised"]), 2.0);
    assert_eq!(daemon.counted("lastmile_cwmp_connection_requests_total", &["udp", "woken"]), 1.0);

    // And for a command.
    let version = "InternetGatewayDevice.DeviceInfo.SoftwareVersion";
    let command = json!({"kind": "get_parameters", "names": [version]});
    let done = thread::scope(|scope| {
        let path = format!("{}/commands?wait=30s", path(&hidden.cpe));
        let (daemon, command) = (&daemon, &command);
        let command = scope.spawn(move || daemon.call("POST", &path, command));
        assert!(hidden.called().is_some());
        hidden.cpe.visit(&[("6 CONNECTION REQUEST", "")]).unwrap();
        command.join().unwrap()
    });
    assert_eq!(done["state"], "done", "{done}");
}

fn udp_after_http_failed() {
    let (daemon, port) = start_with_stun();
    let closed = format!("http://127.0.0.1:{}/", free_port());
    let hidden = Hidden::new(&daemon, port, "HIDDEN2", &closed);
    hidden.bind();
    let woken = || {
        thread::scope(|scope| {
            let waking = scope.spawn(|| wake(&daemon, &hidden.cpe));
            while hidden.called().is_none() {}
            hidden.cpe.visit(&[("6 CONNECTION REQUEST", "")]).unwrap();
            waking.join().unwrap()
        })
    };
    assert_eq!(woken()["way"], "udp");
    let failed = || daemon.counted("lastmile_cwmp_connection_requests_total", &["unreachable"]);
    assert_eq!(failed(), 2.0);
    // What came late of the first must not be taken for the second.
    hidden.inside.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let mut bytes = [0; 2048];
    while hidden.inside.recv_from(&mut bytes).is_ok() {}
    hidden.inside.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(woken()["way"], "udp");
    assert_eq!(failed(), 2.0, "what worked last goes first");

    // At what a device says of itself in an Inform, where it asked no STUN server.
    let stranger = Hidden::new(&daemon, port, "HIDDEN3", PRIVATE);
    let path = "InternetGatewayDevice.ManagementServer.UDPConnectionRequestAddress".to_owned();
    let address = stranger.inside.local_addr().unwrap().to_string();
    stranger.cpe.model.lock().unwrap().insert(path, ("xsd:string", address));
    stranger.cpe.visit(&[("4 VALUE CHANGE", "")]).unwrap();
    let outcome = thread::scope(|scope| {
        let waking = scope.spawn(|| wake(&daemon, &stranger.cpe));
        assert!(stranger.called().is_some());
        stranger.cpe.visit(&[("6 CONNECTION REQUEST", "")]).unwrap();
        waking.join().unwrap()
    });
    assert_eq!((&outcome["outcome"], &outcome["way"]), (&json!("woken"), &json!("udp")));
}

fn udp_counts_when_it_comes() {
    let (daemon, port) = start_with_stun();
    let hidden = Hidden::new(&daemon, port, "HIDDEN4", PRIVATE);
    hidden.bind();
    let outcome = thread::scope(|scope| {
        let waking = scope.spawn(|| wake(&daemon, &hidden.cpe));
        let first = hidden.called().unwrap();
        assert_eq!([hidden.called(), hidden.called()], [Some(first); 2], "copies of one request");
        let second = hidden.called().unwrap();
        assert_ne!(second, first, "a new try is a new request");
        // A session that answers no connection request proves nothing.
        hidden.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        waking.join().unwrap()
    });
    assert_eq!((&outcome["outcome"], &outcome["way"]), (&json!("silent"), &json!("udp")));
}

fn stun_tells_nobody_else() {
    let (daemon, port) = start_with_stun();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut bytes = [0; 2048];
    let mut exchange = |question: &[u8]| {
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.send_to(question, server).unwrap();
        socket.recv(&mut bytes).map(|len| bytes[..len].to_vec()).ok()
    };
    // A request that any client sends: there is no room for an answer in twenty bytes.
    let mut bare = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bare.extend_from_slice(&[5; 12]);
    assert_eq!(exchange(&bare), None);
    for rubbish in [&b""[..], b"x", &[0; 20], &[0xff; 100], &[0; 2000]] {
        assert_eq!(exchange(rubbish), None);
    }
    // A name that is nobody's.
    let stranger = stun::binding_request([1; 12], true, Some(("nobody's name is this", "p")), true);
    assert_eq!(exchange(&stranger).and_then(|answer| stun::error_code(&answer)), Some(401));
    // A flood: sent more than is answered, in messages and in bytes.
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let (mut sent, mut received, mut answers) = (0, 0, 0);
    for _ in 0..2_000 {
        sent += socket.send_to(&stranger, server).unwrap();
    }
    while let Ok(len) = socket.recv(&mut bytes) {
        received += len;
        answers += 1;
    }
    assert!((1..=400).contains(&answers), "{answers} answers of 2,000");
    assert!(received < sent, "{received} of {sent} bytes");
    let limited = || daemon.counted("lastmile_cwmp_stun_requests_total", &["too_many"]) > 0.0;
    assert!(until(PATIENCE, limited));
}

fn a_device_without_stun() {
    let (daemon, _) = start_with_stun();
    let cpe = Cpe::new(daemon.ports.cwmp, "PLAIN", &daemon.enrolment());
    let wakes = cpe.listen();
    let first = cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let sets = |calls: &[String]| calls.iter().filter(|it| *it == "SetParameterValues").count();
    assert_eq!(sets(&first.calls), 2, "base, then STUN: {:?}", first.calls);
    let moment = cpe.value("ManagementServer.PeriodicInformTime");
    assert!(!moment.starts_with("0001"), "{moment}: its own moment");
    let second = cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(second.calls, [""; 0], "it is not told again");
    assert_eq!(wake(&daemon, &cpe)["outcome"], "woken");
    assert!(wakes.recv_timeout(PATIENCE).is_ok());
    let reset = cpe.visit(&[("0 BOOTSTRAP", "")]);
    assert!(reset.is_ok_and(|visit| sets(&visit.calls) == 2), "after a factory reset it is");
}
