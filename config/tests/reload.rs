//! What a running daemon may take over, and what is warned of.

use lastmile_config::{Config, LogLevel};

fn parse(text: &str) -> Config {
    Config::parse(text).expect("a sound file")
}

#[test]
fn restart_keys_are_named() {
    let old = Config::default();
    let new = parse(
        "node = 'b'\nlog = { level = 'debug', format = 'json' }\nussd.menus = '/m'\n\
         tls = { cert = 'c', key = 'k' }\ncwmp.connection_request.timeout = '1s'\n\
         roles.reader = []\n\
         [[sink]]\nname = 'a'\nurl = 'https://b.example'\nsecret_file = '/s'\n",
    );
    let changed = old.restart_keys_changed(&new);
    assert_eq!(changed, ["node", "cwmp.connection_request.timeout", "sink", "roles", "log.format"]);
    assert!(old.restart_keys_changed(&old).is_empty());
}

#[test]
fn live_keys_are_taken_and_no_other() {
    let old = Config::default();
    let new =
        parse("node = 'b'\nlog.level = 'debug'\nussd.menus = '/m'\n[tls]\ncert = 'c'\nkey = 'k'");
    let running = old.with_live_of(&new);
    assert_eq!(running.log.level, LogLevel::Debug);
    assert_eq!((&running.ussd.menus, &running.tls), (&new.ussd.menus, &new.tls));
    assert_eq!(running.node, old.node);
    assert_eq!(running.restart_keys_changed(&new), ["node"]);
}

fn warned(text: &str) -> Vec<String> {
    let keys = parse(text).warnings().into_iter().map(|it| it.key);
    // That images need no signature is told in any case.
    keys.filter(|key| key != "firmware.keys").collect()
}

#[test]
fn images_without_a_signature_are_warned_of() {
    let warned = |text: &str| parse(text).warnings().iter().any(|it| it.key == "firmware.keys");
    assert!(warned(""));
    assert!(!warned("[firmware]\nkeys = ['QMmZFzFPbGzfKKDOlOjPHI0NQefwbpVxhWi18dTqNdg=']"));
}

#[test]
fn open_doors_are_warned_of() {
    assert_eq!(warned(""), ["cwmp.listen", "mqtt.listen", "public.listen"]);
    let closed = "cwmp.listen = '127.0.0.1:7547'\nmqtt.listen = '[::1]:1883'\n\
                  public.listen = '127.0.0.1:8080'\n";
    assert_eq!(warned(closed), [""; 0]);
    // In a lab on loopback nobody else can be any router.
    assert_eq!(warned(&format!("{closed}cwmp.auth = 'open'\nmqtt.auth = 'open'\n")), [""; 0]);
    assert_eq!(warned("public.url = 'https://gw.example'"), ["cwmp.listen", "mqtt.listen"]);
    let open = "trusted_proxies = ['0.0.0.0/0']\noperator.listen = '0.0.0.0:8081'\n\
                tls.self_signed = true\n\
                [cwmp]\nauth = 'open'\nallow_basic = true\nenrol_networks = ['::/0']\n\
                connection_request.networks = ['0.0.0.0/0']\n\
                connection_request.allow_basic = true\nstun_address = 'acs.example'\n\
                [mqtt]\nauth = 'open'\n\
                [backend]\nkind = 'http'\nurl = 'http://hub.example'\n\
                [[sink]]\nname = 'a'\nurl = 'http://b.example'\nsecret_file = '/s'\n";
    assert_eq!(
        warned(open),
        [
            "trusted_proxies",
            "cwmp.listen",
            "cwmp.auth",
            "cwmp.allow_basic",
            "cwmp.enrol_networks",
            "cwmp.connection_request.networks",
            "cwmp.connection_request.allow_basic",
            "cwmp.stun_address",
            "mqtt.listen",
            "mqtt.auth",
            "public.listen",
            "operator.listen",
            "sink[0].url",
            "tls.self_signed",
            "backend.url",
        ]
    );
}
