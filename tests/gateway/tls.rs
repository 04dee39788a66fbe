//! TLS, with clients that check it; and a certificate that is replaced without a restart.

use crate::backend::Backend;
use crate::cpe::Cpe;
use crate::daemon::{Daemon, free_port, until};
use crate::http::PATIENCE;
use crate::programs::{self, run, succeed};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        programs::trial("tls::a_router_signs_in_by_digest", &["curl"], a_router_signs_in_by_digest),
        programs::trial("tls::a_board_checks_the_certificate", &["mosquitto_pub"], a_board_checks),
        programs::trial("tls::sighup_replaces_the_certificate", &["curl"], sighup_replaces_it),
    ]
}

/// Writes a certificate for `localhost` that signs itself, and its key.
fn make_certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
}

struct Secured {
    daemon: Daemon,
    dir: tempfile::TempDir,
    cwmp: u16,
    mqtt: u16,
}

impl Secured {
    fn start(backend: &Backend) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_certificate(dir.path());
        let (cwmp, mqtt) = (free_port(), free_port());
        let listen = |port: u16| format!("tls_listen = \"127.0.0.1:{port}\"");
        let (cwmp_keys, mqtt_keys) = (listen(cwmp), listen(mqtt));
        let file = |name: &str| dir.path().join(name).display().to_string();
        let tls = format!("cert = \"{}\"\nkey = \"{}\"", file("tls.crt"), file("tls.key"));
        let settings = [("cwmp", &*cwmp_keys), ("mqtt", &*mqtt_keys), ("tls", &*tls)];
        let daemon = Daemon::start(Some(backend), &settings);
        Self { daemon, dir, cwmp, mqtt }
    }

    fn certificate(&self) -> String {
        self.dir.path().join("tls.crt").display().to_string()
    }
}

fn a_router_signs_in_by_digest() {
    let backend = Backend::start();
    let secured = Secured::start(&backend);
    let cpe = Cpe::new(0, "TLS00001", "");
    let inform = cpe.inform(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]);
    let (certificate, secret) = (secured.certificate(), secured.daemon.enrolment());
    let (url, user) =
        (format!("https://localhost:{}/acs", secured.cwmp), format!("enrol:{secret}"));
    let post = |more: &[&str]| {
        let mut arguments = vec![
            "-sS",
            "--cacert",
            &certificate,
            "-H",
            "Content-Type: text/xml",
            "--data-binary",
            "@-",
            "-w",
            "\n%{http_code}",
        ];
        arguments.extend_from_slice(more);
        arguments.push(&url);
        succeed("curl", &arguments, inform.as_bytes())
    };
    assert!(post(&[]).ends_with("401"));
    assert!(post(&["--digest", "-u", "enrol:wrong"]).ends_with("401"));
    let answer = post(&["--digest", "-u", &user]);
    assert!(answer.ends_with("200") && answer.contains("InformResponse>"), "{answer}");
    backend.wait_for("lastmile.device.bootstrapped", &cpe.id());
    // Basic is for TLS alone.
    let answer = post(&["--basic", "-u", &user]);
    assert!(answer.ends_with("200"), "{answer}");
    let plain = format!("http://127.0.0.1:{}/acs", secured.daemon.ports.cwmp);
    let arguments =
        ["-sS", "--basic", "-u", &user, "--data-binary", "@-", "-w", "\n%{http_code}", &plain];
    assert!(succeed("curl", &arguments, inform.as_bytes()).ends_with("401"));
}

fn a_board_checks() {
    let backend = Backend::start();
    let secured = Secured::start(&backend);
    let (port, secret) = (secured.mqtt.to_string(), secured.daemon.enrolment());
    let publish = |certificate: &str| {
        let arguments = [
            "-h",
            "localhost",
            "-p",
            &port,
            "--cafile",
            certificate,
            "-i",
            "tls-board",
            "-u",
            "enrol",
            "-P",
            &secret,
            "-q",
            "1",
            "-t",
            "boards/tls-board/up/a",
            "-m",
            "{\"n\":1}",
        ];
        run("mosquitto_pub", &arguments, b"")
    };
    let said = publish(&secured.certificate());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    backend.wait_for("lastmile.telemetry.received", "mqtt:tls%2Dboard");
    let other = tempfile::tempdir().unwrap();
    make_certificate(other.path());
    let other = other.path().join("tls.crt").display().to_string();
    assert!(!publish(&other).status.success(), "it serves the certificate that was configured");
}

fn sighup_replaces_it() {
    let backend = Backend::start();
    let secured = Secured::start(&backend);
    let url = format!("https://localhost:{}/", secured.cwmp);
    let trusts = |certificate: &str| {
        run("curl", &["-sS", "--cacert", certificate, &url], b"").status.success()
    };
    let old = secured.dir.path().join("old.crt").display().to_string();
    fs::copy(secured.certificate(), &old).unwrap();
    assert!(trusts(&old));
    make_certificate(secured.dir.path());
    secured.daemon.signal("HUP");
    assert!(until(PATIENCE, || trusts(&secured.certificate())), "{}", secured.daemon.log());
    assert!(!trusts(&old));
    // A broken one changes nothing.
    let good = secured.dir.path().join("good.crt").display().to_string();
    fs::copy(secured.certificate(), &good).unwrap();
    fs::write(secured.certificate(), "rubbish").unwrap();
    let before = secured.daemon.log().len();
    secured.daemon.signal("HUP");
    let says_so = || secured.daemon.log()[before..].contains("tls.crt");
    assert!(until(PATIENCE, says_so), "{}", &secured.daemon.log()[before..]);
    assert!(trusts(&good));
}
