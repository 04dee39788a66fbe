//! Certificates that boards show, with Mosquitto's client, which knows nothing of us.

use crate::backend::Backend;
use crate::board::Board;
use crate::certificates::Authority;
use crate::daemon::{Daemon, free_port, until};
use crate::http::PATIENCE;
use crate::programs::{self, run};
use libtest_mimic::Trial;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};
use serde_json::Value;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

const NOT_AUTHORISED: u8 = 5;

pub(crate) fn trials() -> Vec<Trial> {
    let needs = |name, run| programs::trial(name, &["mosquitto_pub"], run);
    vec![
        needs("board_certificates::one_is_proof_of_its_board", proof_of_its_board),
        needs("board_certificates::every_name_of_a_board_will_do", every_name),
        needs("board_certificates::one_without_a_name_is_nobodys", unnamed),
        needs("board_certificates::nobody_without_where_required", required),
        needs("board_certificates::sighup_takes_some_back", taken_back),
        needs("board_certificates::who_never_says_hello_holds_nobody_up", silent_handshakes),
    ]
}

struct Scene {
    daemon: Daemon,
    dir: tempfile::TempDir,
    authority: Authority,
    port: u16,
}

impl Scene {
    fn start(backend: Option<&Backend>, asks: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("board maker");
        fs::write(dir.path().join("ca.pem"), authority.certificate.pem()).unwrap();
        fs::write(dir.path().join("crl.pem"), authority.revoke(&[])).unwrap();
        let port = free_port();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let mqtt = format!(
            "tls_listen = \"127.0.0.1:{port}\"\nclient_certificates = \"{asks}\"\n\
             client_ca_file = \"{}\"\nclient_crl_file = \"{}\"",
            file("ca.pem"),
            file("crl.pem")
        );
        let daemon = Daemon::start(backend, &[("mqtt", &mqtt), ("tls", "self_signed = true")]);
        Self { daemon, dir, authority, port }
    }

    fn signed(&self, name: &str, serial: u64) -> PathBuf {
        self.authority.sign(self.dir.path(), name, serial)
    }

    /// Publishes to the client id's own topic; whether that was acknowledged.
    fn publishes(&self, id: &str, certificate: Option<&Path>, more: &[&str]) -> bool {
        let ca = self.daemon.data().join("tls/cert.pem").display().to_string();
        let (port, topic) = (self.port.to_string(), format!("boards/{id}/up/a"));
        let certificate = certificate.map(|file| file.display().to_string());
        let mut arguments = vec!["-h", "localhost", "-p", &port, "--cafile", &ca, "-i", id];
        if let Some(file) = &certificate {
            arguments.extend(["--cert", file, "--key", file]);
        }
        arguments.extend(["-q", "1", "-t", &topic, "-m", "{\"n\":1}"]);
        arguments.extend_from_slice(more);
        run("mosquitto_pub", &arguments, b"").status.success()
    }
}

fn proof_of_its_board() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "allowed");
    let (one, other) = (scene.signed("one", 1), scene.signed("other", 2));
    for version in ["31", "311", "5"] {
        assert!(scene.publishes("one", Some(&one), &["-V", version]), "{version}");
    }
    backend.wait_for("lastmile.telemetry.received", "mqtt:one");
    // Nobody is another, whatever he knows.
    let secret = scene.daemon.enrolment();
    assert!(!scene.publishes("one", Some(&other), &[]));
    let told = backend.wait_for("lastmile.device.identity_mismatched", "mqtt:other");
    assert_eq!(told.data["said"], "mqtt:one");
    assert!(!scene.publishes("third", Some(&other), &["-u", "enrol", "-P", &secret]));
    // A wrong password beside the right certificate.
    assert!(scene.publishes("other", Some(&other), &["-u", "enrol", "-P", "wrong"]));
    // Without one, a password is asked for as ever.
    assert!(!scene.publishes("plain", None, &[]));
    assert!(scene.publishes("plain", None, &["-u", "enrol", "-P", &secret]));
    // One that another authority signed is worth nothing, and ends the connection.
    let stranger = Authority::new("board maker").sign(scene.dir.path(), "one", 77);
    assert!(!scene.publishes("one", Some(&stranger), &[]));
    assert!(scene.daemon.counted("lastmile_listen_refused_total", &["reason=\"tls\""]) >= 1.0);
    let mismatches = ["protocol=\"mqtt\"", "reason=\"identity\""];
    assert!(scene.daemon.counted("lastmile_auth_failures_total", &mismatches) >= 2.0);
}

fn every_name() {
    const IMEI: &str = "490154203237518";
    let scene = Scene::start(None, "required");
    let params = |dns: &[&str], uri: Option<&str>| {
        let dns: Vec<String> = dns.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a product line");
        params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
        params
    };
    let sign = |params, serial| scene.authority.sign_as(scene.dir.path(), params, serial);
    let by_dns = sign(params(&["board-1.example"], None), 1);
    assert!(scene.publishes("board-1.example", Some(&by_dns), &[]));
    let by_uri = sign(params(&[], Some("urn:imei:490154203237518")), 2);
    assert!(scene.publishes(IMEI, Some(&by_uri), &[]));
    let by_identity = sign(params(&[], Some("imei:490154203237518")), 3);
    assert!(scene.publishes(IMEI, Some(&by_identity), &[]));
    let by_imei = scene.signed(IMEI, 4);
    assert!(scene.publishes(IMEI, Some(&by_imei), &[]));
    // By an alias of the board, whichever of its names it calls itself.
    let devices = scene.daemon.call("GET", "/api/v1/devices", &Value::Null);
    let ids = devices["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap());
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids[0], "imei:490154203237518");
    assert_eq!(ids.len(), 2, "{ids:?}");
    let id = ids[1].replace('%', "%25");
    let alias = format!("/api/v1/devices/{id}/aliases/iccid/8981100005819480000");
    scene.daemon.call("PUT", &alias, &Value::Null);
    let by_alias = scene.signed("8981100005819480000", 5);
    assert!(scene.publishes("board-1.example", Some(&by_alias), &[]));
    assert!(!scene.publishes("a product", Some(&by_dns), &[]));
}

fn unnamed() {
    let scene = Scene::start(None, "allowed");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "a factory");
    let nobodys = scene.authority.sign_as(scene.dir.path(), params, 1);
    let secret = scene.daemon.enrolment();
    for password in [&[][..], &["-u", "enrol", "-P", &secret]] {
        assert!(!scene.publishes("plain", Some(&nobodys), password));
    }
    let reason = ["protocol=\"mqtt\"", "reason=\"unnamed\""];
    assert_eq!(scene.daemon.counted("lastmile_auth_failures_total", &reason), 2.0);
    assert_eq!(scene.daemon.counted("lastmile_auth_failures_total", &["\"mqtt\""]), 2.0);
}

fn required() {
    let scene = Scene::start(None, "required");
    let secret = scene.daemon.enrolment();
    assert!(!scene.publishes("needed", None, &["-u", "enrol", "-P", &secret]));
    let certificate = scene.signed("needed", 1);
    assert!(scene.publishes("needed", Some(&certificate), &[]));
    // The port without TLS is no way around it.
    let refused = Board::connect(scene.daemon.ports.mqtt, "needed", "enrol", &secret).unwrap();
    assert_eq!(refused.unwrap_err(), NOT_AUTHORISED);
    let reason = ["protocol=\"mqtt\"", "reason=\"certificate\""];
    assert!(scene.daemon.counted("lastmile_auth_failures_total", &reason) >= 1.0);
}

fn taken_back() {
    let scene = Scene::start(None, "allowed");
    let (lost, kept) = (scene.signed("lost", 1), scene.signed("kept", 2));
    assert!(scene.publishes("lost", Some(&lost), &[]));
    fs::write(scene.dir.path().join("crl.pem"), scene.authority.revoke(&[1])).unwrap();
    scene.daemon.signal("HUP");
    let is_refused = || !scene.publishes("lost", Some(&lost), &[]);
    assert!(until(PATIENCE, is_refused), "{}", scene.daemon.log());
    assert!(scene.publishes("kept", Some(&kept), &[]));
    // What is no list is named, with its key.
    fs::write(scene.dir.path().join("crl.pem"), "rubbish").unwrap();
    let said = scene.daemon.command("check").output().unwrap();
    let said =
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("mqtt.client_ca_file") && said.contains("crl.pem"), "{said}");
}

fn silent_handshakes() {
    let scene = Scene::start(None, "allowed");
    let silent: Vec<_> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", scene.port)).unwrap()).collect();
    let secret = scene.daemon.enrolment();
    assert!(scene.publishes("patient", None, &["-u", "enrol", "-P", &secret]));
    drop(silent);
}
