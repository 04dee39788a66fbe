//! Certificates that CPEs show, and authorities that change without a restart; with curl, which
//! knows nothing of us.

use crate::backend::Backend;
use crate::cpe::Cpe;
use crate::daemon::{Daemon, free_port, until};
use crate::http::{self, PATIENCE};
use crate::programs::{self, run};
use libtest_mimic::Trial;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        programs::trial("certificates::one_is_proof_of_its_device", &["curl"], proof_of_its_device),
        programs::trial("certificates::one_that_many_share_is_none", &["curl"], shared_by_many),
        programs::trial("certificates::nobody_without_where_required", &["curl"], required),
        programs::trial("certificates::sighup_takes_some_back", &["curl"], taken_back),
        programs::trial("certificates::one_is_made_where_asked", &["curl"], made_where_asked),
        crate::trial("certificates::files_are_checked", files_are_checked),
    ]
}

/// Who signs.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Signs a certificate of that common name; its file, with the key beside it.
    pub(crate) fn sign(&self, dir: &Path, name: &str, serial: u64) -> PathBuf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign_as(dir, params, serial)
    }

    /// The same, with all its names.
    pub(crate) fn sign_as(
        &self,
        dir: &Path,
        mut params: CertificateParams,
        serial: u64,
    ) -> PathBuf {
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let file = dir.join(format!("client-{serial}.pem"));
        fs::write(&file, made.pem() + &key.serialize_pem()).unwrap();
        file
    }

    /// Takes back certificates by their numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2025, 2, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

struct Scene {
    daemon: Daemon,
    dir: tempfile::TempDir,
    authority: Authority,
    port: u16,
}

impl Scene {
    /// A daemon that asks for certificates as `asks` says.
    fn start(backend: Option<&Backend>, asks: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("CPE maker");
        fs::write(dir.path().join("ca.pem"), authority.certificate.pem()).unwrap();
        fs::write(dir.path().join("crl.pem"), authority.revoke(&[])).unwrap();
        let port = free_port();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let cwmp = format!(
            "tls_listen = \"127.0.0.1:{port}\"\nclient_certificates = \"{asks}\"\n\
             client_ca = \"{}\"\nclient_crl = \"{}\"\n{more}",
            file("ca.pem"),
            file("crl.pem")
        );
        let daemon = Daemon::start(backend, &[("cwmp", &cwmp), ("tls", "self_signed = true")]);
        Self { daemon, dir, authority, port }
    }

    fn signed(&self, name: &str, serial: u64) -> PathBuf {
        self.authority.sign(self.dir.path(), name, serial)
    }

    /// Sends the Inform of `cpe` with curl; the status, 0 where the handshake failed.
    fn inform(&self, cpe: &Cpe, certificate: Option<&Path>, more: &[&str]) -> u16 {
        let inform = cpe.inform(&[("0 BOOTSTRAP", "")]);
        let url = format!("https://localhost:{}/acs", self.port);
        let certificate = certificate.map(|file| file.display().to_string());
        let mut arguments = vec!["-sSk", "-o", "/dev/null", "-w", "%{http_code}"];
        if let Some(certificate) = &certificate {
            arguments.extend(["--cert", certificate]);
        }
        arguments.extend(["-H", "Content-Type: text/xml", "--data-binary", "@-"]);
        arguments.extend_from_slice(more);
        arguments.push(&url);
        let said = run("curl", &arguments, inform.as_bytes());
        let said = String::from_utf8(said.stdout).unwrap();
        said[said.len() - 3..].parse().unwrap()
    }
}

fn cpe(serial: &str) -> Cpe {
    Cpe::new(0, serial, "")
}

fn proof_of_its_device() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "accepted", "");
    let names = ["0A1B2C-Tester-CERT0001", "0a1b2c-CERT0002", "CERT0003"];
    for (number, name) in (1..).zip(names) {
        let device = cpe(&format!("CERT{number:04}"));
        let certificate = scene.signed(name, number);
        assert_eq!(scene.inform(&device, Some(&certificate), &[]), 200, "{name}");
        backend.wait_for("lastmile.device.bootstrapped", &device.id());
    }
    let first = scene.dir.path().join("client-1.pem");
    assert_eq!(scene.inform(&cpe("CERT0002"), Some(&first), &[]), 401, "it is another's");
    let told = backend.wait_for("lastmile.device.identity_mismatched", &cpe("CERT0001").id());
    assert_eq!(told.data["said"], cpe("CERT0002").id());
    // A password that is none beside a certificate that is one; with an empty POST before, and
    // without.
    for kind in ["--basic", "--digest"] {
        let wrong = [kind, "-u", "enrol:wrong"];
        assert_eq!(scene.inform(&cpe("CERT0001"), Some(&first), &wrong), 200, "{kind}");
    }
    // Without one, a password is asked for as ever.
    let user = format!("enrol:{}", scene.daemon.enrolment());
    let device = cpe("PLAIN001");
    assert_eq!(scene.inform(&device, None, &[]), 401);
    assert_eq!(scene.inform(&device, None, &["--digest", "-u", &user]), 200);
    // One that another authority signed is worth nothing, and ends the connection.
    let stranger = Authority::new("CPE maker").sign(scene.dir.path(), names[0], 77);
    assert_eq!(scene.inform(&cpe("CERT0001"), Some(&stranger), &[]), 0);
    assert!(scene.daemon.counted("lastmile_listen_refused_total", &["reason=\"tls\""]) >= 1.0);
}

fn shared_by_many() {
    let scene = Scene::start(None, "accepted", "");
    let certificate = scene.signed("Tester product line", 1);
    let user = format!("enrol:{}", scene.daemon.enrolment());
    let device = cpe("SHARED01");
    assert_eq!(scene.inform(&device, Some(&certificate), &[]), 401, "it names nobody");
    assert_eq!(scene.inform(&device, Some(&certificate), &["--digest", "-u", "enrol:wrong"]), 401);
    let all = scene.daemon.call("GET", "/api/v1/devices", &Value::Null);
    assert_eq!(all["items"].as_array().unwrap().len(), 0);
    assert_eq!(scene.inform(&device, Some(&certificate), &["--digest", "-u", &user]), 200);
    assert_eq!(scene.inform(&device, Some(&certificate), &["--basic", "-u", &user]), 200);
}

fn required() {
    let scene = Scene::start(None, "required", "");
    let user = format!("enrol:{}", scene.daemon.enrolment());
    let device = cpe("NEEDED01");
    assert_eq!(scene.inform(&device, None, &["--digest", "-u", &user]), 0);
    let certificate = scene.signed("0A1B2C-Tester-NEEDED01", 1);
    assert_eq!(scene.inform(&device, Some(&certificate), &[]), 200);
    // The port without TLS is no way around it.
    let port = scene.daemon.ports.cwmp;
    let inform = device.inform(&[("2 PERIODIC", "")]);
    let refused = http::once(port, "POST", "/", &[], inform.as_bytes()).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(refused.header("www-authenticate"), None, "no password helps");
}

fn taken_back() {
    let scene = Scene::start(None, "accepted", "");
    let (lost, kept) = (scene.signed("LOST0001", 1), scene.signed("KEPT0001", 2));
    assert_eq!(scene.inform(&cpe("LOST0001"), Some(&lost), &[]), 200);
    fs::write(scene.dir.path().join("crl.pem"), scene.authority.revoke(&[1])).unwrap();
    assert_eq!(scene.inform(&cpe("LOST0001"), Some(&lost), &[]), 200, "not read yet");
    scene.daemon.signal("HUP");
    let is_refused = || scene.inform(&cpe("LOST0001"), Some(&lost), &[]) == 0;
    assert!(until(PATIENCE, is_refused), "{}", scene.daemon.log());
    assert_eq!(scene.inform(&cpe("KEPT0001"), Some(&kept), &[]), 200);

    // A broken list changes nothing, and is named.
    fs::write(scene.dir.path().join("crl.pem"), "rubbish").unwrap();
    let before = scene.daemon.log().len();
    scene.daemon.signal("HUP");
    let says_so = || scene.daemon.log()[before..].contains("crl.pem");
    assert!(until(PATIENCE, says_so), "{}", scene.daemon.log());
    assert!(is_refused());
    assert_eq!(scene.inform(&cpe("KEPT0001"), Some(&kept), &[]), 200);

    // Another authority, in place of the first.
    let other = Authority::new("another maker");
    fs::write(scene.dir.path().join("ca.pem"), other.certificate.pem()).unwrap();
    fs::write(scene.dir.path().join("crl.pem"), other.revoke(&[])).unwrap();
    let new = other.sign(scene.dir.path(), "NEWCA001", 3);
    assert_eq!(scene.inform(&cpe("NEWCA001"), Some(&new), &[]), 0);
    scene.daemon.signal("HUP");
    let is_served = || scene.inform(&cpe("NEWCA001"), Some(&new), &[]) == 200;
    assert!(until(PATIENCE, is_served), "{}", scene.daemon.log());
    assert_eq!(scene.inform(&cpe("KEPT0001"), Some(&kept), &[]), 0);
}

fn made_where_asked() {
    let port = free_port();
    let listen = format!("tls_listen = \"127.0.0.1:{port}\"");
    let mut daemon = Daemon::start(None, &[("cwmp", &listen), ("tls", "self_signed = true")]);
    let made = daemon.data().join("tls/cert.pem");
    let url = format!("https://localhost:{port}/");
    let trusts = || {
        let file = made.display().to_string();
        run("curl", &["-sS", "--cacert", &file, &url], b"").status.success()
    };
    assert!(trusts(), "it is made for this machine's name");
    let first = fs::read(&made).unwrap();
    for name in ["tls/cert.pem", "tls/key.pem"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(daemon.data().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    daemon.kill();
    daemon.start_again();
    assert!(trusts());
    assert_eq!(fs::read(&made).unwrap(), first, "it is made once");
}

fn files_are_checked() {
    let scene = Scene::start(None, "accepted", "");
    let check = || {
        let said = scene.daemon.command("check").output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned()
            + &String::from_utf8_lossy(&said.stderr);
        (said.status.code(), text)
    };
    assert_eq!(check().0, Some(0), "{}", check().1);
    fs::write(scene.dir.path().join("ca.pem"), "no certificate").unwrap();
    let (status, text) = check();
    assert_eq!(status, Some(64), "{text}");
    assert!(text.contains("cwmp.client_ca") && text.contains("ca.pem"), "{text}");
}
