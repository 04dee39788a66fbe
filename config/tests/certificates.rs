//! Certificates that CPEs show: what goes together, and what is warned of.

use lastmile_config::{ClientCertificates, Config};
use std::path::Path;

fn faults(text: &str) -> Vec<String> {
    match Config::parse(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.key.clone()).collect(),
    }
}

const WHOLE: &str = "[cwmp]\ntls_listen = '127.0.0.1:7548'\nclient_certificates = 'required'\n\
                     client_ca = '/ca.pem'\n";
const TLS: &str = "[tls]\nself_signed = true\n";

#[test]
fn they_need_an_authority_and_tls() {
    let config = Config::parse(&format!("{WHOLE}client_crl = '/crl.pem'\n{TLS}")).unwrap();
    assert_eq!(config.cwmp.client_certificates, ClientCertificates::Required);
    assert_eq!(config.cwmp.client_crl.as_deref(), Some(Path::new("/crl.pem")));
    assert_eq!(Config::default().cwmp.client_certificates, ClientCertificates::Off);
    let key = "cwmp.client_certificates";
    assert_eq!(faults("[cwmp]\nclient_certificates = 'accepted'\n"), [key]);
    assert_eq!(faults("[cwmp]\nclient_certificates = 'perhaps'\n"), [key]);
    assert_eq!(faults("[cwmp]\nclient_ca = '/ca.pem'\n"), ["cwmp.client_ca"]);
    assert_eq!(faults("[cwmp]\nclient_crl = '/crl.pem'\n"), ["cwmp.client_crl"]);
    assert_eq!(faults(&format!("{WHOLE}auth = 'open'\n{TLS}")), [key]);
}

#[test]
fn a_port_that_serves_nobody_without_is_not_warned_of() {
    let warned = |text: &str| -> Vec<String> {
        let warnings = Config::parse(text).unwrap().warnings();
        warnings.into_iter().map(|it| it.key).filter(|key| key.starts_with("cwmp")).collect()
    };
    assert_eq!(warned(""), ["cwmp.listen"]);
    assert!(warned(&format!("{WHOLE}{TLS}")).is_empty());
    let accepted = format!("{WHOLE}{TLS}").replace("required", "accepted");
    assert_eq!(warned(&accepted), ["cwmp.listen"]);
    assert_eq!(warned("[cwmp]\nauth = 'open'\n"), ["cwmp.listen", "cwmp.auth"]);
    assert_eq!(warned("[cwmp]\nallow_basic = true\n"), ["cwmp.listen", "cwmp.allow_basic"]);
    let local = "[cwmp]\nlisten = '127.0.0.1:7547'\nauth = 'open'\nallow_basic = true\n";
    assert!(warned(local).is_empty(), "nobody else reaches it");
    let repeats = "[cwmp]\nlisten = '127.0.0.1:7547'\n[[cwmp.quirk]]\noui = '0A1B2C'\n\
                   flags = ['digest_replay']\n";
    assert_eq!(warned(repeats), ["cwmp.quirk"]);
}
