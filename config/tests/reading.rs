//! What is read, and what is refused with which line.

use lastmile_config::{Auth, Cause, Config, Entry, Permission, SinkKind, StoreUrl};
use std::path::Path;
use std::time::Duration;

/// The faults of a file as `lastmile check` shows them.
fn faults(text: &str) -> Vec<String> {
    match Config::parse(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    assert_eq!(faults(text), expected, "of\n{text}");
}

/// A sink that is sound, for a test to add to.
const SINK: &str = "[[sink]]\nname = 'a'\nurl = 'https://b.example'\nsecret_file = '/s'\n";

#[test]
fn an_absent_file_works() {
    let config = Config::parse("").expect("the defaults");
    assert_eq!(config, Config::default());
    assert_eq!(config.cwmp.listen.port(), 7547);
    assert!(config.operator.listen.ip().is_loopback());
    assert_eq!(config.cwmp.auth, Auth::Required);
    assert_eq!(config.store.quota.get(), 8 << 30);
    let service = config.ussd.service.first().expect("one service");
    assert_eq!((service.name.as_str(), service.menu.as_str()), ("home", "home"));
    assert!(config.sink.is_empty());
}

#[test]
fn what_is_given_is_read() {
    let text = r#"
        node = "gw-2"
        tenants = ["acme"]
        trusted_proxies = ["127.0.0.1", "2001:db8::/32"]
        store.url = "sqlite:///var/lib/lastmile/store.db"
        [cwmp]
        auth = "open"
        session_idle = "1.5m"
        connection_request = { networks = ["10.0.0.0/8"], timeout = "250ms" }
        [[cwmp.credential]]
        username = "fleet"
        password_file = "/etc/lastmile/fleet"
        [[ussd.service]]
        name = "water"
        menu = "water"
        aggregator = "africas_talking"
        tenant = "acme"
        [[sink]]
        name = "crm"
        url = "https://crm.example/hook/"
        secret_file = "crm.secret"
        types = ["lastmile.device.*"]
        [roles]
        reader = ["devices.read"]
        night_shift = ["commands.send"]
    "#;
    let config = Config::parse(text).expect("a sound file");
    let store = StoreUrl::Sqlite(Path::new("/var/lib/lastmile/store.db").to_owned());
    assert_eq!(config.store.url, Some(store));
    assert_eq!(config.cwmp.session_idle.get(), Duration::from_secs(90));
    assert_eq!(config.cwmp.connection_request.timeout.get(), Duration::from_millis(250));
    // Keys beside the given ones keep their defaults.
    assert_eq!(config.cwmp.connection_request.parallel_max.get(), 200);
    // Given services take the place of the default one.
    assert_eq!(config.ussd.service.len(), 1);
    let sink = config.sink.first().expect("one sink");
    assert_eq!(sink.kind, SinkKind::Webhook);
    assert_eq!(sink.url.as_ref().map(|it| it.as_str()), Some("https://crm.example/hook"));
    assert_eq!(config.roles.permissions("reader"), Some(&[Permission::DevicesRead][..]));
    assert_eq!(config.roles.permissions("night_shift"), Some(&[Permission::CommandsSend][..]));
    assert!(config.roles.permissions("admin").is_some());
    assert_eq!(config.roles.permissions("nobody"), None);
}

#[test]
fn every_fault_is_named_at_once() {
    refused(
        "nodes = 'x'\n\
         [cwmp]\n\
         lsiten = '0.0.0.0:1'\n\
         session_idle = 30\n\
         body_max = '1 GiB'\n\
         enrol_networks = ['10.0.0.0/8', '10.0.0.1/8', 7]\n\
         [mqtt]\n\
         packet_max = 'big'\n\
         inflight_max = 0\n\
         tls_listen = '0.0.0.0:8883'\n\
         colour = 'red'\n\
         [events]\n\
         retain = '0s'\n\
         informs = 'no'\n\
         [[sink]]\n\
         name = 'a'\n\
         [[sink]]\n\
         name = 'a'\n\
         url = 'http://b.example'\n\
         secret = 'whsec_x'\n",
        &[
            "line 1: nodes: no such key; `node` is one",
            "line 3: cwmp.lsiten: no such key; `listen` is one",
            "line 4: cwmp.session_idle: expected a duration such as \"30s\", \"1.5s\", \"250ms\", \
             \"5m\" or \"72h\", found a whole number",
            "line 5: cwmp.body_max: must be from 16 KiB to 64 MiB",
            "line 6: cwmp.enrol_networks[1]: has address bits beyond its prefix",
            "line 6: cwmp.enrol_networks[2]: expected a network such as \"10.0.0.0/8\", found a \
             whole number",
            "line 8: mqtt.packet_max: expected a size such as \"512 B\", \"64 KiB\", \"1 MiB\" or \
             \"8 GiB\"",
            "line 9: mqtt.inflight_max: must be from 1 to 65535",
            "line 10: mqtt.tls_listen: needs `tls.cert` and `tls.key`, or `tls.self_signed = true`",
            "line 11: mqtt.colour: no such key",
            "line 13: events.retain: must be from 1s to 3650d",
            "line 14: events.informs: expected true or false, found a string",
            "line 15: sink[0].url: a webhook needs `url`",
            "line 15: sink[0].secret_file: a webhook needs `secret_file`: its receiver checks the \
             signature",
            "line 17: sink[1].secret_file: a webhook needs `secret_file`: its receiver checks the \
             signature",
            "line 18: sink[1].name: is the same as `sink[0].name`",
            "line 20: sink[1].secret: no such key",
        ],
    );
}

#[test]
fn what_must_be_given_is_asked_for() {
    refused(
        "\n[[sink]]\nkind = 'webhook'\n[[cwmp.credential]]\n[[ussd.service]]\nname = 'x'\n",
        &[
            "line 2: sink[0].name: must be given",
            "line 3: sink[0].url: a webhook needs `url`",
            "line 3: sink[0].secret_file: a webhook needs `secret_file`: its receiver checks the \
             signature",
            "line 4: cwmp.credential[0].username: must be given",
            "line 4: cwmp.credential[0].password_file: must be given",
            "line 5: ussd.service[0].menu: must be given",
            "line 5: ussd.service[0].aggregator: must be given",
        ],
    );
}

#[test]
fn words_and_forms_are_checked() {
    for (text, fault) in [
        ("node = 'GW 1'", "line 1: node: must be 1 to 64 of a-z, 0-9, `-` and `_`"),
        ("data_dir = ''", "line 1: data_dir: must not be empty"),
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'm'\naggregator = 'nalo'\ncode = '*920**7#'",
            "line 5: ussd.service[0].code: must be digits with `*` in front and between, and `#` \
             behind: `*384*123#`",
        ),
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'm'\naggregator = 'nalo'\ncode = '920'",
            "line 5: ussd.service[0].code: must be digits with `*` in front and between, and `#` \
             behind: `*384*123#`",
        ),
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'm'\naggregator = 'africas_talking'\n\
             fields = { text = 'a&b' }",
            "line 5: ussd.service[0].fields.text: must be 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`",
        ),
        ("cwmp = 7", "line 1: cwmp: expected a table, found a whole number"),
        ("sink = 'x'", "line 1: sink: expected a list, found a string"),
        ("[cwmp]\nauth = 'none'", "line 2: cwmp.auth: must be one of \"required\", \"open\""),
        (
            "[cwmp]\nlisten = '0.0.0.0'",
            "line 2: cwmp.listen: expected an address with its port, such as \"0.0.0.0:7547\" or \
             \"[::]:7547\"",
        ),
        ("[cwmp]\nurl = 'acs.example'", "line 2: cwmp.url: must begin with http:// or https://"),
        (
            "[backend]\nkind = 'http'\nurl = 'https://me:hunter2@hub.example'",
            "line 3: backend.url: must not hold credentials: they belong into a file of their own",
        ),
        (
            "[store]\nurl = 'postgres://me:hunter2@db/lastmile'",
            "line 2: store.url: PostgreSQL is not yet available: leave the key out for SQLite",
        ),
        ("[store]\nurl = 'sqlite:x?mode=rw'", "line 2: store.url: must be \"sqlite:\" and a path"),
        (
            "[mqtt]\ninflight_max = 9999999999999999999",
            "line 2: mqtt.inflight_max: must be from 1 to 65535",
        ),
        ("[mqtt]\ninflight_max = -1", "line 2: mqtt.inflight_max: must be from 1 to 65535"),
        (
            "[mqtt]\ninflight_max = 1.5",
            "line 2: mqtt.inflight_max: expected a whole number, found a number with a fraction",
        ),
        ("[roles]\nadmin = ['devices.fly']", "ROLE"),
        (
            "[roles]\n'Night Shift' = []",
            "line 2: roles.Night Shift: a role's name is 1 to 64 of a-z, 0-9, `-` and `_`",
        ),
    ] {
        let found = faults(text);
        match fault {
            "ROLE" => assert!(
                found.len() == 1 && found[0].starts_with("line 2: roles.admin[0]: must be one of"),
                "{found:?}"
            ),
            fault => assert_eq!(found, [fault], "of\n{text}"),
        }
    }
}

#[test]
fn fields_are_named_where_the_aggregator_names_none() {
    for (text, fault) in [
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'm'\naggregator = 'con_end'\n\
             fields = { session = 's', number = 'n', text = 't' }",
            "line 4: ussd.service[0].fields.code: `con_end` needs `fields.code`",
        ),
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'm'\naggregator = 'africas_talking'\n\
             fields.network = 'n'",
            "line 5: ussd.service[0].fields.network: is for `aggregator = \"con_end\"`",
        ),
    ] {
        refused(text, &[fault]);
    }
}

#[test]
fn what_payments_and_texts_need_is_found() {
    for (text, fault) in [
        (
            "[mpesa]\ntill = '1'",
            "line 2: mpesa.till: is for `transaction_type = \"CustomerBuyGoodsOnline\"`",
        ),
        (
            "[mpesa]\nquery_after = ['30s', '30s']",
            "line 2: mpesa.query_after: must name moments that rise, one at least",
        ),
        (
            "[mpesa]\nquery_after = []",
            "line 2: mpesa.query_after: must name moments that rise, one at least",
        ),
        (
            "[mpesa]\nreconcile_after = ['5m', '4m']",
            "line 2: mpesa.reconcile_after: must name moments that rise",
        ),
        (
            "[mpesa]\nreconcile_after = ['2m']",
            "line 2: mpesa.reconcile_after: must begin after `mpesa.query_after`",
        ),
        (
            "[sms]\nprovider = 'twilio'\nbase_url = 'http://t'\nusername = 'u'\nsender = 's'\n\
             api_key_file = 'k'\napi = 'bulk'\n[public]\nurl = 'https://g'",
            "line 7: sms.api: is for `provider = \"africas_talking\"`",
        ),
        (
            "[sms]\nprovider = 'twilio'\nbase_url = 'http://t'\nusername = 'u'\nsender = 's'\n\
             [public]\nurl = 'https://g'",
            "line 2: sms.provider: needs `sms.api_key_file`",
        ),
        (
            "[sms]\nprovider = 'twilio'\nbase_url = 'http://t'\nusername = 'u'\nsender = 's'\n\
             api_key_file = 'k'",
            "line 2: sms.provider: needs `public.url`: what it tells us is signed with the address \
             that it calls",
        ),
        (
            "[[ussd.network]]\ncode = '1'\nname = 'a'\n[[ussd.network]]\ncode = '1'\nname = 'b'",
            "line 5: ussd.network[1].code: is the same as `ussd.network[0].code`",
        ),
    ] {
        refused(text, &[fault]);
    }
}

#[test]
fn contradictions_are_found() {
    for (text, fault) in [
        (
            "[cwmp]\nlisten = '127.0.0.1:8081'",
            "line 2: operator.listen: has the same address and port as `cwmp.listen`",
        ),
        (
            "[cwmp]\nlisten = '[::]:1883'",
            "line 2: mqtt.listen: has the same address and port as `cwmp.listen`",
        ),
        (
            "[cwmp]\nlisten = '0.0.0.0:9'\n[mqtt]\nlisten = '192.0.2.1:9'",
            "line 4: mqtt.listen: has the same address and port as `cwmp.listen`",
        ),
        ("[tls]\ncert = 'c'", "line 2: tls.cert: needs `tls.key`"),
        ("[tls]\nkey = 'c'", "line 2: tls.key: needs `tls.cert`"),
        (
            "[tls]\nself_signed = true\ncert = 'c'\nkey = 'k'",
            "line 2: tls.self_signed: is given beside `tls.cert` and `tls.key`: which certificate \
             is meant?",
        ),
        (
            "[cwmp]\nsession_max = '20s'",
            "line 2: cwmp.session_idle: is more than `cwmp.session_max`",
        ),
        (
            "[cwmp]\nbody_max = '5 MiB'",
            "line 2: cwmp.body_max: is more than `cwmp.body_decoded_max`",
        ),
        (
            "[mqtt]\ntopic_bytes_max = 2048\npacket_max = '1 KiB'",
            "line 2: mqtt.topic_bytes_max: is more than `mqtt.packet_max`",
        ),
        ("[store]\nqueue_max = 10", "line 2: store.batch_max: is more than `store.queue_max`"),
        ("tenants = ['a', 'b', 'a']", "line 1: tenants[2]: is the same as `tenants[0]`"),
        (
            "[[cwmp.credential]]\nusername = 'enrol'\npassword_file = '/p'",
            "line 2: cwmp.credential[0].username: is the name that the enrolment secret goes with: \
             take another",
        ),
        (
            "[[cwmp.quirk]]\nflags = ['boolean_literal']",
            "line 1: cwmp.quirk[0]: fits every device: give `oui`, `product_class`, `model` or \
             `software`",
        ),
        (
            "[[cwmp.quirk]]\noui = '00259E'\nflags = []",
            "line 3: cwmp.quirk[0].flags: names no flag",
        ),
        ("[backend]\nkind = 'http'", "line 2: backend.kind: needs `backend.url`"),
        (
            "[backend]\nurl = 'http://hub.example'",
            "line 2: backend.url: is for `kind = \"http\"`: the embedded backend is not called",
        ),
        (
            "[roles]\nadmin = ['devices.read']",
            "line 2: roles.admin: must keep `tokens.write`: the token of the first start has this \
             role",
        ),
    ] {
        refused(text, &[fault]);
    }
}

#[test]
fn contradictions_of_phones_are_found() {
    for (text, fault) in [
        (
            "[ussd]\ndialogue_idle = '2s'",
            "line 2: ussd.ask_deadline: is more than `ussd.dialogue_idle`",
        ),
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'home'\naggregator = 'africas_talking'\n\
             [[ussd.service]]\nname = 'b'\nmenu = 'home'\naggregator = 'hubtel'\n\
             [ussd]\nask_deadline = '4s'",
            "line 10: ussd.ask_deadline: is more than `hubtel` waits for: 3.5 s at most, or leave it out, \
             and each service waits as long as its aggregator allows",
        ),
        (
            "[ussd]\nask_deadline = '9s'",
            "line 2: ussd.ask_deadline: is more than `africas_talking` waits for: 8.5 s at most, or leave \
             it out, and each service waits as long as its aggregator allows",
        ),
        (
            "[[ussd.service]]\nname = 'a'\nmenu = 'm'\naggregator = 'africas_talking'\ntenant = 'x'",
            "line 5: ussd.service[0].tenant: is not listed in `tenants`",
        ),
    ] {
        refused(text, &[fault]);
    }
}

#[test]
fn sinks_must_be_whole() {
    for (more, fault) in [
        ("retry_min = '2m'", "line 5: sink[0].retry_min: is more than `retry_max`"),
        ("tenant = 'acme'", "line 5: sink[0].tenant: is not listed in `tenants`"),
        (
            "types = ['device.seen']",
            "line 5: sink[0].types[0]: must be like \"lastmile.device.bootstrapped\" or \
             \"lastmile.device.*\"",
        ),
        ("broker = 'embedded'", "line 5: sink[0].broker: is for `kind = \"mqtt\"`"),
        ("retain = true", "line 5: sink[0].retain: is for `kind = \"mqtt\"`"),
        ("max_lag_mib = 0", "line 5: sink[0].max_lag_mib: must be from 1 to 1048576"),
    ] {
        refused(&format!("{SINK}{more}"), &[fault]);
    }
}

#[test]
fn a_broker_has_what_it_needs_and_no_more() {
    let bare = "[[sink]]\nname = 'a'\nkind = 'mqtt'\n";
    refused(
        &format!("{bare}url = 'https://b.example'"),
        &[
            "line 3: sink[0].broker: an MQTT sink needs `broker`: its address, or \"embedded\"",
            "line 4: sink[0].url: is for `kind = \"webhook\"`",
        ],
    );
    let remote = format!("{bare}broker = 'mqtt://b.example'\n");
    for (more, fault) in [
        ("password_file = '/p'", "line 5: sink[0].password_file: needs `username`"),
        ("ca_file = '/c'", "line 5: sink[0].ca_file: is for a broker with TLS: `mqtts://`"),
        (
            "client_id = 'dev/1'",
            "line 5: sink[0].client_id: must be 1 to 128 ASCII letters, digits, `-`, `_`, `.`, `:`",
        ),
        (
            "topic_prefix = 'a/#'",
            "line 5: sink[0].topic_prefix: must be ASCII without spaces, `+`, `#` and quotes, and \
             not begin with `$` or `/`",
        ),
    ] {
        refused(&format!("{remote}{more}"), &[fault]);
    }
    let embedded = format!("{bare}broker = 'embedded'\n");
    refused(
        &format!("{embedded}username = 'u'\nretain = true"),
        &[
            "line 4: sink[0].required: must be `false` for the embedded broker, which keeps what \
             it has in memory",
            "line 5: sink[0].username: is for a broker of yours; the embedded one has its own ways",
            "line 6: sink[0].retain: is for a broker of yours; the embedded one has its own ways",
        ],
    );
    let sound = format!("{embedded}required = false\ntopic_prefix = 'north/'\n");
    assert_eq!(faults(&sound), [""; 0]);
    assert!(Config::parse(&sound).expect("a sound file").has_bus());
    assert!(!Config::parse(&remote).expect("a sound file").has_bus());
    refused(
        "bus.listen = '0.0.0.0:1884'",
        &["line 1: bus.listen: must be a loopback address: what must be reached from elsewhere \
           is a broker of your own"],
    );
    // It listens only where a sink names it.
    let shared = "bus.listen = '127.0.0.1:7547'\n";
    assert_eq!(faults(shared), [""; 0]);
    let fault = "line 1: bus.listen: has the same address and port as `cwmp.listen`";
    refused(&format!("{shared}{sound}"), &[fault]);
}

#[test]
fn levels_of_light_are_in_order() {
    let text = "[checks]\noptical_low = '-24 dBm'\n";
    refused(text, &["line 2: checks.optical_low: is more than `checks.optical_weak`"]);
    let text = "[checks]\noptical_weak = '-8dBm'\n";
    refused(text, &["line 2: checks.optical_weak: is not less than `checks.optical_high`"]);
    for bad in ["-25", "dBm", "-61 dBm", "NaN dBm", "-25 dB"] {
        let fault =
            "line 1: checks.optical_weak: must be from -60 dBm to 20 dBm, such as \"-25 dBm\"";
        refused(&format!("checks.optical_weak = '{bad}'"), &[fault]);
    }
    let config = Config::parse("checks.optical_weak = '-24.5 dBm'").expect("a sound file");
    assert_eq!(config.checks.optical_weak.get().to_string(), "-24.5");
}

#[test]
fn what_is_said_of_boards_has_its_form() {
    let topic = "must be 1 to 1024 bytes without wildcards, and begin with no `$`";
    for bad in ["", "a/#", "a/+", "$SYS"] {
        let fault = format!("line 1: boards.topic: {topic}");
        refused(&format!("boards.topic = '{bad}'"), &[&*fault]);
    }
    for bad in ["", "Asia Tokyo", "../etc"] {
        let fault =
            "line 1: boards.timezone: must be a time zone such as \"Asia/Tokyo\" or \"UTC\"";
        refused(&format!("boards.timezone = '{bad}'"), &[fault]);
    }
    for bad in ["1", "44052506001092x", "4405250600109231"] {
        let fault = "line 1: boards.inspection_imsi[0]: must be 14 or 15 digits";
        refused(&format!("boards.inspection_imsi = ['{bad}']"), &[fault]);
    }
    refused(
        "boards.ready_on = 'data'",
        &["line 1: boards.ready_on: must be one of \"message\", \"traffic\", \"report\""],
    );
    let config = Config::default();
    assert_eq!(config.boards.topic.as_str(), "customer_mngt");
    assert_eq!(config.boards.timezone.as_str(), "Asia/Tokyo");
    assert_eq!(config.boards.inspection_imsi[0].as_str(), "440525060010923");
}

#[test]
fn a_faulty_key_is_not_also_a_contradiction() {
    // The default that stands in for the faulty address would collide with the other one.
    let text = "[cwmp]\nlisten = 'x'\n[mqtt]\nlisten = '0.0.0.0:7547'\n";
    let found = Config::parse(text).expect_err("a faulty address");
    assert_eq!(found.iter().map(|it| it.cause).collect::<Vec<_>>(), [Cause::Value]);
}

#[test]
fn any_free_port_may_be_asked_for_twice() {
    let text = "cwmp.listen = '127.0.0.1:0'\nmqtt.listen = '127.0.0.1:0'\n";
    assert_eq!(faults(text), [""; 0]);
}

#[test]
fn what_is_not_toml_is_refused_with_its_lines() {
    let found = Config::parse("a = \n[cwmp\nlisten = 'x'\n").expect_err("not TOML");
    let lines: Vec<_> = found.iter().map(|it| (it.cause, it.line)).collect();
    assert_eq!(lines, [(Cause::Syntax, Some(1)), (Cause::Syntax, Some(2))]);
    for deep in ["a = [", "a = {b = "] {
        let text = format!("a = {}", deep.trim_start_matches("a = ").repeat(100_000));
        let found = Config::parse(&text).expect_err("too deep");
        assert!(found.iter().all(|it| it.cause == Cause::Syntax), "{deep}");
    }
    let found = Config::parse(&"#".repeat(Config::FILE_MAX + 1)).expect_err("too long");
    assert_eq!(found.to_string(), "is longer than 1048576 bytes");
}

#[test]
fn no_value_is_repeated_in_a_fault() {
    let text = "node = 'hunter2!'\n[cwmp]\nlisten = 'hunter2'\nurl = 'hunter2'\n\
                [store]\nquota = 'hunter2'\nurl = 'hunter2'\n[[sink]]\nname = 'hunter2!'\n\
                types = ['hunter2']\nkind = 'hunter2'\nsecret = 'hunter2'\n";
    let found = Config::parse(text).expect_err("faults");
    assert!(found.iter().count() >= 8);
    assert!(!found.to_string().contains("hunter2"), "{found}");
    let found = Config::parse("a = 'hunter2' 'hunter2'\n").expect_err("not TOML");
    assert!(!found.to_string().contains("hunter2"), "{found}");
}

/// A file with every table and every key, each key given as `value` says.
fn every_key(value: &str) -> (String, Vec<(usize, String)>) {
    let (mut text, mut expected, mut table) = (String::new(), Vec::new(), String::new());
    let mut list = "";
    for entry in Config::reference() {
        match entry {
            Entry::Section { header: "", .. } => {}
            Entry::Section { header, .. } => {
                text.push_str(&format!("{header}\n"));
                let name = header.trim_matches(['[', ']']);
                if header.starts_with("[[") {
                    list = name;
                }
                // A table within one of a list is in its first.
                table = match name.strip_prefix(list).filter(|_| !list.is_empty()) {
                    Some(rest) => format!("{list}[0]{rest}."),
                    None => format!("{name}."),
                };
            }
            Entry::Key { path, .. } => {
                let name = path.rsplit('.').next().expect("a name");
                text.push_str(&format!("{name} = {value}\n"));
                expected.push((text.lines().count(), format!("{table}{name}")));
            }
        }
    }
    (text, expected)
}

#[test]
fn money_is_asked_for_where_nobody_listens() {
    let with = |url: &str, more: &str| {
        Config::parse(&format!(
            "[mpesa]\nbase_url = 'https://d.example'\nconsumer_key = 'k'\nshort_code = '600000'\n\
             consumer_secret_file = 's'\npasskey_file = 'p'\ncallback_url = '{url}'\n{more}"
        ))
    };
    for url in
        ["https://g.example", "http://127.0.0.1:8080", "http://[::1]:1/x", "http://localhost"]
    {
        assert!(with(url, "").is_ok(), "{url}");
    }
    for url in ["http://g.example", "http://127.0.0.1.example", "http://192.0.2.1"] {
        let faults = with(url, "").expect_err(url).to_string();
        assert!(faults.contains("mpesa.callback_url: must begin with https://"), "{faults}");
    }
    let goods = "transaction_type = 'CustomerBuyGoodsOnline'\n";
    let faults = with("https://g.example", goods).expect_err("no till").to_string();
    assert!(faults.contains("needs `mpesa.till`"), "{faults}");
    assert!(with("https://g.example", &format!("{goods}till = '1'")).is_ok());
    assert!(Config::parse("[water]\ndaily_at = '23:59'").is_ok());
    for time in ["24:00", "6:00", "06:60", "+6:00", "0600"] {
        assert!(Config::parse(&format!("[water]\ndaily_at = '{time}'")).is_err(), "{time}");
    }
}

#[test]
fn every_key_has_its_type_and_all_are_judged_in_one_run() {
    // No key holds a date.
    let (text, expected) = every_key("1979-05-27");
    assert!(expected.len() > 90, "{}", expected.len());
    let faults = Config::parse(&text).expect_err("wrong types");
    let found: Vec<_> = faults
        .iter()
        .filter(|it| it.cause != Cause::Contradiction)
        .map(|it| (it.line.expect("a line"), it.key.clone()))
        .collect();
    assert_eq!(found, expected);
    assert!(faults.iter().all(|it| it.cause == Cause::Type), "{faults}");
}

#[test]
fn every_unknown_key_is_named() {
    let mut text = String::new();
    let mut expected = Vec::new();
    for entry in Config::reference() {
        let Entry::Section { header, .. } = entry else { continue };
        // Any name is a role's.
        if header != "[roles]" {
            text.push_str(&format!("{header}\nxyzzyx = 1\n"));
            expected.push(text.lines().count());
        }
    }
    let faults = Config::parse(&text).expect_err("unknown keys");
    let found: Vec<_> = faults
        .iter()
        .filter(|it| it.cause == Cause::Unknown && it.key.ends_with("xyzzyx"))
        .filter_map(|it| it.line)
        .collect();
    assert_eq!(found, expected);
}

/// What the file does not say is no fault of it.
#[test]
fn a_service_whose_aggregator_gives_up_early_needs_no_deadline() {
    let service = "[[ussd.service]]\nname = 'b'\nmenu = 'home'\naggregator = 'hubtel'\n";
    assert!(Config::parse(service).is_ok());
    let fits = format!("[ussd]\nask_deadline = '3500ms'\n{service}");
    assert!(Config::parse(&fits).is_ok());
}
