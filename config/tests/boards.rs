//! What boards show, and what they may publish and read: each fault with its line.

use lastmile_config::{BoardCertificates, Config};

fn faults(text: &str) -> Vec<String> {
    match Config::parse(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn keys(text: &str) -> Vec<String> {
    match Config::parse(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.key.clone()).collect(),
    }
}

const TLS: &str = "[tls]\nself_signed = true\n";

#[test]
fn certificates_need_an_authority_and_tls() {
    for listen in ["tls_listen", "websocket_tls_listen"] {
        let whole = format!(
            "[mqtt]\n{listen} = '127.0.0.1:8883'\nclient_certificates = 'required'\n\
             client_ca_file = '/ca.pem'\nclient_crl_file = '/crl.pem'\n{TLS}"
        );
        let config = Config::parse(&whole).unwrap();
        assert_eq!(config.mqtt.client_certificates, BoardCertificates::Required);
    }
    let key = "mqtt.client_certificates";
    assert_eq!(keys("[mqtt]\nclient_certificates = 'allowed'\n"), [key]);
    assert_eq!(keys("[mqtt]\nclient_certificates = 'perhaps'\n"), [key]);
    assert_eq!(keys("[mqtt]\nclient_ca_file = '/ca.pem'\n"), ["mqtt.client_ca_file"]);
    assert_eq!(keys("[mqtt]\nclient_crl_file = '/crl.pem'\n"), ["mqtt.client_crl_file"]);
    assert_eq!(keys("[mqtt]\nwebsocket_tls_listen = ':8084'\n").len(), 1);
    assert_eq!(
        keys("[mqtt]\nwebsocket_tls_listen = '127.0.0.1:8084'\n"),
        ["mqtt.websocket_tls_listen"],
        "there is no certificate"
    );
    assert_eq!(
        keys("[mqtt]\nlisten = '127.0.0.1:1883'\nwebsocket_listen = '127.0.0.1:1883'\n"),
        ["mqtt.websocket_listen"]
    );
}

#[test]
fn what_boards_may_is_closed_by_default_and_named_by_line() {
    let acl = Config::default().mqtt.acl;
    let texts = |templates: &[lastmile_config::TopicTemplate]| -> Vec<String> {
        templates.iter().map(|template| template.as_str().to_owned()).collect()
    };
    assert_eq!(texts(&acl.publish), ["boards/{device}/up/#", "customer_mngt"]);
    assert_eq!(texts(&acl.subscribe), ["boards/{device}/down/#"]);
    assert!(acl.deny.is_empty());

    let given = "[mqtt.acl]\npublish = ['a/{client_id}/+']\nsubscribe = []\ndeny = ['a/+/x/#']\n";
    assert_eq!(texts(&Config::parse(given).unwrap().mqtt.acl.publish), ["a/{client_id}/+"]);
    for bad in
        ["", "a/#/b", "a#", "a/b+", "{device", "x{device}", "{board}", "$share/g/a", "a\\u0000b"]
    {
        let text = format!("[mqtt.acl]\npublish = [\n  'fine',\n  \"{bad}\",\n]\n");
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
        assert!(found[0].starts_with("line 4: mqtt.acl.publish[1]: "), "{bad}: {found:?}");
    }
    let deep = ["x"; 33].join("/");
    assert_eq!(keys(&format!("[mqtt.acl]\ndeny = ['{deep}']\n")), ["mqtt.acl.deny[0]"]);
    let many = vec!["'a'"; 101].join(", ");
    assert_eq!(keys(&format!("[mqtt.acl]\nsubscribe = [{many}]\n")), ["mqtt.acl.subscribe"]);
}

#[test]
fn what_opens_boards_to_each_other_is_warned_of() {
    let warned = |text: &str| -> Vec<String> {
        let text = format!("[mqtt]\nlisten = '127.0.0.1:1883'\n{text}");
        let warnings = Config::parse(&text).unwrap().warnings();
        warnings.into_iter().map(|it| it.key).filter(|key| key.starts_with("mqtt")).collect()
    };
    assert!(warned("").is_empty());
    assert_eq!(warned("[mqtt.acl]\nsubscribe = ['#']\n"), ["mqtt.acl.subscribe"]);
    assert_eq!(warned("[mqtt.acl]\npublish = ['boards/+/up/#']\n"), ["mqtt.acl.publish"]);
    assert!(warned("[mqtt.acl]\nsubscribe = ['news/#', 'boards/{device}/#']\n").is_empty());
    assert_eq!(warned("websocket_listen = '0.0.0.0:8083'\n"), ["mqtt.websocket_listen"]);
    assert_eq!(
        warned("auth = 'open'\nwebsocket_listen = '0.0.0.0:8083'\n"),
        ["mqtt.websocket_listen", "mqtt.auth"]
    );
}
