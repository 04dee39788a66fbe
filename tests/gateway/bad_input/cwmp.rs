//! Routers that send what is no CWMP, or far too much of it.

use super::Scene;
use crate::cpe::{Cpe, envelope, post};
use crate::daemon::Daemon;
use crate::http::{self, Connection};
use serde_json::Value;
use std::io::Write as _;

/// Posts a body to the CWMP port; the status.
fn cwmp_post(daemon: &Daemon, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut all = vec![("Content-Type", "text/xml")];
    all.extend_from_slice(headers);
    http::once(daemon.ports.cwmp, "POST", "/", &all, body).unwrap().status
}

pub(super) fn cwmp() {
    let mut scene = Scene::new();
    let inform = Cpe::new(0, "BAD00001", "").inform(&[("1 BOOT", "")]);
    let xxe = inform
        .replace(
            "<?xml version=\"1.0\"?>",
            "<?xml version=\"1.0\"?><!DOCTYPE s [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>",
        )
        .replace("<Manufacturer>Tests", "<Manufacturer>&x;");
    let laughs = inform.replace(
        "<?xml version=\"1.0\"?>",
        "<!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>",
    );
    let deep = envelope("1", &"<a>".repeat(100_000));
    let ten_thousand = envelope("1", &["<a>".repeat(10_000), "</a>".repeat(10_000)].concat());
    let half = &inform[..inform.len() / 2];
    let nobody = inform.replace("<SerialNumber>BAD00001</SerialNumber>", "<SerialNumber/>");
    let long = inform.replace("BAD00001", &"9".repeat(5_000));
    let bodies: [(&str, &[u8]); 11] = [
        ("external entities", xxe.as_bytes()),
        ("entities of its own", laughs.as_bytes()),
        ("depth", deep.as_bytes()),
        ("a depth of ten thousand, well formed", ten_thousand.as_bytes()),
        ("half a body", half.as_bytes()),
        ("no serial", nobody.as_bytes()),
        ("a long serial", long.as_bytes()),
        ("JSON", b"{\"Inform\": {}}"),
        ("bytes", &[0xFF; 1000]),
        ("UTF-16 without end", b"\xFF\xFE<\0?\0x"),
        ("an empty envelope", b"<Envelope/>"),
    ];
    for (what, body) in bodies {
        scene.counted("cwmp", what, |daemon| {
            let status = cwmp_post(daemon, &[], body);
            assert_eq!(status, 400, "{what}");
        });
    }
    let device = scene.daemon.api("GET", "/api/v1/devices?q=BAD00001", &Value::Null).json();
    assert_eq!(device["items"], serde_json::json!([]), "what was refused made no device");
    scene.counted("cwmp", "a method", |daemon| {
        let answer = http::once(daemon.ports.cwmp, "GET", "/", &[], b"").unwrap();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    });
    scene.counted("cwmp", "an RPC without a session", |daemon| {
        let rpc = envelope("1", "<cwmp:RebootResponse></cwmp:RebootResponse>");
        assert_eq!(cwmp_post(daemon, &[("Cookie", "lastmile=forged")], rpc.as_bytes()), 400);
    });
    scene.counted("cwmp", "rubbish in mid-session", |daemon| {
        let mut connection = Connection::open(daemon.ports.cwmp).unwrap();
        let inform = Cpe::new(0, "BAD00002", "").inform(&[("1 BOOT", "")]);
        assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
        assert_eq!(post(&mut connection, &[], "<rubbish").unwrap().status, 400);
    });
    scene.end();
}

pub(super) fn cwmp_bombs() {
    let mut scene = Scene::new();
    let large = vec![b' '; 10 << 20];
    scene.counted("cwmp", "10 MB", |daemon| {
        let answer =
            http::once(daemon.ports.cwmp, "POST", "/", &[("Content-Type", "text/xml")], &large);
        // It may close before all of it is sent, and the answer may be lost with it.
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 413);
        }
    });
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let bomb = gzip(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 1 << 20);
    for _ in 0..5 {
        scene.counted("cwmp", "a bomb", |daemon| {
            assert_eq!(cwmp_post(daemon, &[("Content-Encoding", "gzip")], &bomb), 413);
        });
    }
    scene.counted("cwmp", "not gzip", |daemon| {
        assert_eq!(cwmp_post(daemon, &[("Content-Encoding", "gzip")], b"plain"), 400);
    });
    scene.counted("cwmp", "another coding", |daemon| {
        assert_eq!(cwmp_post(daemon, &[("Content-Encoding", "br")], b"plain"), 415);
    });
    let one = "<ParameterValueStruct><Name>Device.X</Name><Value>1</Value></ParameterValueStruct>";
    let inform = Cpe::new(0, "BAD00003", "").inform(&[("1 BOOT", "")]);
    let many =
        inform.replace("<ParameterList>", &format!("<ParameterList>{}", one.repeat(100_000)));
    let packed = gzip(many.as_bytes());
    scene.counted("cwmp", "100,000 parameters", |daemon| {
        let status = cwmp_post(daemon, &[("Content-Encoding", "gzip")], &packed);
        assert!(matches!(status, 400 | 413), "{status}");
    });
    scene.end();
}
