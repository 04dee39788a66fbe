//! What must go together: contradictions between keys that are sound by themselves.

use crate::broker::Broker;
use crate::cwmp::ClientCertificates;
use crate::http::BackendKind;
use crate::mqtt::BoardCertificates;
use crate::read::Reader;
use crate::sink::{Sink, SinkKind};
use crate::top::{Auth, Config};
use crate::ussd::{Aggregator, Service};
use std::collections::BTreeMap;
use std::net::SocketAddr;

mod money;

/// Pushes every contradiction.
pub(crate) fn contradictions(config: &Config, reader: &mut Reader) {
    tls(config, reader);
    client_certificates(config, reader);
    board_certificates(config, reader);
    listeners(config, reader);
    acl(config, reader);
    names(config, reader);
    tenants(config, reader);
    services(config, reader);
    ask_deadline(config, reader);
    limits(config, reader);
    for (index, sink) in config.sink.iter().enumerate() {
        check_sink(sink, &format!("sink[{index}]"), reader);
    }
    bus(config, reader);
    beam(config, reader);
    checks(config, reader);
    money::mpesa(config, reader);
    money::sms(config, reader);
    quirks(config, reader);
    backend(config, reader);
    if !config.roles.admin_is_whole() {
        let message = "must keep `tokens.write`: the token of the first start has this role";
        reader.contradiction(&["roles.admin"], message.to_owned());
    }
}

fn tls(config: &Config, reader: &mut Reader) {
    let tls = &config.tls;
    if tls.self_signed && (tls.cert.is_some() || tls.key.is_some()) {
        let message = "is given beside `tls.cert` and `tls.key`: which certificate is meant?";
        reader.contradiction(&["tls.self_signed", "tls.cert", "tls.key"], message.to_owned());
    }
    let halves = [
        ("tls.cert", "tls.key", &tls.cert, &tls.key),
        ("tls.key", "tls.cert", &tls.key, &tls.cert),
    ];
    for (key, other, given, missing) in halves {
        if given.is_some() && missing.is_none() {
            reader.contradiction(&[key, other], format!("needs `{other}`"));
        }
    }
    let certified = tls.self_signed || tls.cert.is_some() || tls.key.is_some();
    for (key, listen) in [
        ("cwmp.tls_listen", config.cwmp.tls_listen),
        ("mqtt.tls_listen", config.mqtt.tls_listen),
        ("mqtt.websocket_tls_listen", config.mqtt.websocket_tls_listen),
    ] {
        if listen.is_some() && !certified {
            let message = "needs `tls.cert` and `tls.key`, or `tls.self_signed = true`";
            let keys = [key, "tls.cert", "tls.key", "tls.self_signed"];
            reader.contradiction(&keys, message.to_owned());
        }
    }
}

/// What asking CPEs for certificates needs.
fn client_certificates(config: &Config, reader: &mut Reader) {
    let cwmp = &config.cwmp;
    let key = "cwmp.client_certificates";
    if cwmp.client_certificates == ClientCertificates::Off {
        let given = [
            ("cwmp.client_ca", cwmp.client_ca.is_some()),
            ("cwmp.client_crl", cwmp.client_crl.is_some()),
        ];
        for (file, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = "is for `cwmp.client_certificates`, which is off";
            reader.contradiction(&[file, key], message.to_owned());
        }
        return;
    }
    let needed = [
        ("cwmp.client_ca", cwmp.client_ca.is_some()),
        ("cwmp.tls_listen", cwmp.tls_listen.is_some()),
    ];
    for (other, _) in needed.into_iter().filter(|(_, given)| !*given) {
        reader.contradiction(&[key, other], format!("needs `{other}`"));
    }
    if cwmp.auth == Auth::Open {
        let message = "is given beside `auth = \"open\"`, which asks for no proof";
        reader.contradiction(&[key, "cwmp.auth"], message.to_owned());
    }
}

/// What asking boards for certificates needs.
fn board_certificates(config: &Config, reader: &mut Reader) {
    let mqtt = &config.mqtt;
    let key = "mqtt.client_certificates";
    if mqtt.client_certificates == BoardCertificates::Off {
        let given = [
            ("mqtt.client_ca_file", mqtt.client_ca_file.is_some()),
            ("mqtt.client_crl_file", mqtt.client_crl_file.is_some()),
        ];
        for (file, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = "is for `mqtt.client_certificates`, which is off";
            reader.contradiction(&[file, key], message.to_owned());
        }
        return;
    }
    if mqtt.client_ca_file.is_none() {
        let other = "mqtt.client_ca_file";
        reader.contradiction(&[key, other], format!("needs `{other}`"));
    }
    if mqtt.tls_listen.is_none() && mqtt.websocket_tls_listen.is_none() {
        let keys = [key, "mqtt.tls_listen", "mqtt.websocket_tls_listen"];
        let message = "needs `mqtt.tls_listen` or `mqtt.websocket_tls_listen`";
        reader.contradiction(&keys, message.to_owned());
    }
    if mqtt.auth == Auth::Open {
        let message = "is given beside `auth = \"open\"`, which asks for no proof";
        reader.contradiction(&[key, "mqtt.auth"], message.to_owned());
    }
}

fn listeners(config: &Config, reader: &mut Reader) {
    let all = [
        ("cwmp.listen", Some(config.cwmp.listen)),
        ("cwmp.tls_listen", config.cwmp.tls_listen),
        ("mqtt.listen", Some(config.mqtt.listen)),
        ("mqtt.tls_listen", config.mqtt.tls_listen),
        ("mqtt.websocket_listen", config.mqtt.websocket_listen),
        ("mqtt.websocket_tls_listen", config.mqtt.websocket_tls_listen),
        ("public.listen", Some(config.public.listen)),
        ("beam.tcp_listen", config.beam.tcp_listen),
        ("operator.listen", Some(config.operator.listen)),
        ("bus.listen", config.has_bus().then_some(config.bus.listen)),
    ];
    for (index, (key, listen)) in all.iter().enumerate() {
        for (earlier_key, earlier) in all.iter().take(index) {
            let (Some(listen), Some(earlier)) = (listen, earlier) else { continue };
            if collide(*listen, *earlier) {
                let message = format!("has the same address and port as `{earlier_key}`");
                reader.contradiction(&[key, earlier_key], message);
            }
        }
    }
}

/// Whether the second of two listeners would be refused by the system. Port 0 is any free one. An
/// unspecified IPv6 address takes IPv4 too, where the system does not say otherwise.
fn collide(left: SocketAddr, right: SocketAddr) -> bool {
    let (a, b) = (left.ip().to_canonical(), right.ip().to_canonical());
    let covers = |it: std::net::IpAddr, other: std::net::IpAddr| {
        it.is_unspecified() && (it.is_ipv6() || other.is_ipv4())
    };
    left.port() != 0 && left.port() == right.port() && (a == b || covers(a, b) || covers(b, a))
}

/// Most templates of one kind in `[mqtt.acl]`: every message is held against all of them.
const TEMPLATES_MAX: usize = 100;

fn acl(config: &Config, reader: &mut Reader) {
    let acl = &config.mqtt.acl;
    for (key, templates) in [
        ("mqtt.acl.publish", &acl.publish),
        ("mqtt.acl.subscribe", &acl.subscribe),
        ("mqtt.acl.deny", &acl.deny),
    ] {
        if templates.len() > TEMPLATES_MAX {
            reader.contradiction(&[key], format!("has more than {TEMPLATES_MAX} entries"));
        }
    }
}

/// Names that must be there once.
fn names(config: &Config, reader: &mut Reader) {
    let sinks = config.sink.iter().map(|it| it.name.as_str());
    once(sinks, |index| format!("sink[{index}].name"), reader);
    let networks = config.ussd.network.iter().map(|it| it.code.as_str());
    once(networks, |index| format!("ussd.network[{index}].code"), reader);
    let services = config.ussd.service.iter().map(|it| it.name.as_str());
    once(services, |index| format!("ussd.service[{index}].name"), reader);
    let tenants = config.tenants.iter().map(|it| it.as_str());
    once(tenants, |index| format!("tenants[{index}]"), reader);
    let users = config.cwmp.credential.iter().map(|it| it.username.as_str());
    once(users, |index| format!("cwmp.credential[{index}].username"), reader);
    for (index, credential) in config.cwmp.credential.iter().enumerate() {
        if credential.username.as_str() == ENROL {
            let message = "is the name that the enrolment secret goes with: take another";
            let key = format!("cwmp.credential[{index}].username");
            reader.contradiction(&[&key], message.to_owned());
        }
    }
}

/// Rules that fit every device, or change nothing.
fn quirks(config: &Config, reader: &mut Reader) {
    for (index, quirk) in config.cwmp.quirk.iter().enumerate() {
        let at = format!("cwmp.quirk[{index}]");
        let matchers = [&quirk.oui, &quirk.product_class, &quirk.model, &quirk.software];
        if matchers.iter().all(|it| it.is_none()) {
            let message = "fits every device: give `oui`, `product_class`, `model` or `software`";
            reader.contradiction(&[&at, &format!("{at}.flags")], message.to_owned());
        }
        if quirk.flags.is_empty() {
            reader.contradiction(&[&format!("{at}.flags")], "names no flag".to_owned());
        }
    }
}

/// The user name of the enrolment secret.
const ENROL: &str = "enrol";
/// The tenant that is always there.
const DEFAULT_TENANT: &str = "default";

fn once<'a>(
    names: impl Iterator<Item = &'a str>,
    key: impl Fn(usize) -> String,
    reader: &mut Reader,
) {
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        let Some(first) = seen.get(name).copied() else {
            seen.insert(name, index);
            continue;
        };
        let (first, again) = (key(first), key(index));
        reader.contradiction(&[&again, &first], format!("is the same as `{first}`"));
    }
}

fn tenants(config: &Config, reader: &mut Reader) {
    let sinks = config.sink.iter().enumerate();
    let sinks = sinks.map(|(index, it)| (format!("sink[{index}].tenant"), &it.tenant));
    let services = config.ussd.service.iter().enumerate();
    let services =
        services.map(|(index, it)| (format!("ussd.service[{index}].tenant"), &it.tenant));
    for (key, tenant) in sinks.chain(services) {
        if tenant.as_str() != DEFAULT_TENANT && !config.tenants.contains(tenant) {
            reader.contradiction(&[&key, "tenants"], "is not listed in `tenants`".to_owned());
        }
    }
}

/// The names of fields, where an aggregator has none of its own.
fn services(config: &Config, reader: &mut Reader) {
    for (index, service) in config.ussd.service.iter().enumerate() {
        let key = |name: &str| format!("ussd.service[{index}].{name}");
        let (aggregator, fields) = (key("aggregator"), &service.fields);
        let needed = [
            ("fields.session", &fields.session),
            ("fields.number", &fields.number),
            ("fields.code", &fields.code),
            ("fields.text", &fields.text),
        ];
        if service.aggregator == Aggregator::ConEnd {
            for (name, _) in needed.iter().filter(|(_, given)| given.is_none()) {
                let message = format!("`con_end` needs `{name}`");
                reader.contradiction(&[&key(name), &aggregator], message);
            }
            continue;
        }
        let given = needed.into_iter().chain([("fields.network", &fields.network)]);
        for (name, _) in given.filter(|(_, given)| given.is_some()) {
            let message = "is for `aggregator = \"con_end\"`".to_owned();
            reader.contradiction(&[&key(name), &aggregator], message);
        }
    }
}

/// A wait that would be cut short by every aggregator of its kind. Where the file says nothing, each
/// service waits as long as its own aggregator allows.
fn ask_deadline(config: &Config, reader: &mut Reader) {
    let (deadline, key) = (config.ussd.ask_deadline.get(), "ussd.ask_deadline");
    let cut = |it: &&Service| deadline > it.aggregator.ask_deadline_max();
    let mut services = config.ussd.service.iter().enumerate();
    let Some((index, service)) = services.find(|(_, it)| cut(it)) else { return };
    if reader.is_given(key) {
        let (name, most) = (service.aggregator.as_str(), service.aggregator.ask_deadline_max());
        let message = format!(
            "is more than `{name}` waits for: {} s at most, or leave it out, and each service waits as \
             long as its aggregator allows",
            most.as_secs_f32()
        );
        let at = format!("ussd.service[{index}].aggregator");
        reader.contradiction(&[key, &at], message);
    }
}

/// Pairs of limits of which one must not go beyond the other.
fn limits(config: &Config, reader: &mut Reader) {
    let (cwmp, mqtt, ussd) = (&config.cwmp, &config.mqtt, &config.ussd);
    let (firmware, files) = (&config.firmware, &config.files);
    let pairs = [
        (
            cwmp.session_idle.get() > cwmp.session_max.get(),
            ["cwmp.session_idle", "cwmp.session_max"],
        ),
        (
            cwmp.body_max.get() > cwmp.body_decoded_max.get(),
            ["cwmp.body_max", "cwmp.body_decoded_max"],
        ),
        (
            mqtt.topic_bytes_max.as_usize() > mqtt.packet_max.as_usize(),
            ["mqtt.topic_bytes_max", "mqtt.packet_max"],
        ),
        (
            config.commands.open_per_device_max.get() > config.commands.open_max.get(),
            ["commands.open_per_device_max", "commands.open_max"],
        ),
        (
            ussd.ask_deadline.get() > ussd.dialogue_idle.get(),
            ["ussd.ask_deadline", "ussd.dialogue_idle"],
        ),
        (firmware.image_max.get() > firmware.quota.get(), ["firmware.image_max", "firmware.quota"]),
        (files.upload_max.get() > files.quota.get(), ["files.upload_max", "files.quota"]),
        (
            config.store.batch_max.get() > config.store.queue_max.get(),
            ["store.batch_max", "store.queue_max"],
        ),
    ];
    for (beyond, [key, limit]) in pairs {
        if beyond {
            reader.contradiction(&[key, limit], format!("is more than `{limit}`"));
        }
    }
}

/// Levels of light in their order.
fn checks(config: &Config, reader: &mut Reader) {
    let checks = &config.checks;
    let (weak, low) = ("checks.optical_weak", "checks.optical_low");
    if checks.optical_low.get() > checks.optical_weak.get() {
        reader.contradiction(&[low, weak], format!("is more than `{weak}`"));
    }
    if checks.optical_weak.get() >= checks.optical_high.get() {
        let high = "checks.optical_high";
        reader.contradiction(&[weak, high], format!("is not less than `{high}`"));
    }
}

fn check_sink(sink: &Sink, at: &str, reader: &mut Reader) {
    let key = |name: &str| format!("{at}.{name}");
    let of_webhooks = [("url", sink.url.is_some()), ("secret_file", sink.secret_file.is_some())];
    let of_brokers = [
        ("broker", sink.broker.is_some()),
        ("username", sink.username.is_some()),
        ("password_file", sink.password_file.is_some()),
        ("client_id", sink.client_id.is_some()),
        ("ca_file", sink.ca_file.is_some()),
        ("topic_prefix", !sink.topic_prefix.as_str().is_empty()),
        ("retain", sink.retain),
    ];
    let (strange, kind): (&[(&str, bool)], &str) = match sink.kind {
        SinkKind::Webhook => {
            if sink.url.is_none() {
                reader.contradiction(
                    &[&key("url"), &key("kind")],
                    "a webhook needs `url`".to_owned(),
                );
            }
            if sink.secret_file.is_none() {
                let message = "a webhook needs `secret_file`: its receiver checks the signature";
                reader.contradiction(&[&key("secret_file"), &key("kind")], message.to_owned());
            }
            (&of_brokers, "mqtt")
        }
        SinkKind::Mqtt => {
            check_broker(sink, at, reader);
            (&of_webhooks, "webhook")
        }
    };
    for (name, _) in strange.iter().filter(|(_, given)| *given) {
        let message = format!("is for `kind = \"{kind}\"`");
        reader.contradiction(&[&key(name), &key("kind")], message);
    }
    if sink.retry_min.get() > sink.retry_max.get() {
        let (min, max) = (key("retry_min"), key("retry_max"));
        reader.contradiction(&[&min, &max], "is more than `retry_max`".to_owned());
    }
}

fn check_broker(sink: &Sink, at: &str, reader: &mut Reader) {
    let key = |name: &str| format!("{at}.{name}");
    let Some(broker) = &sink.broker else {
        let message = "an MQTT sink needs `broker`: its address, or \"embedded\"";
        return reader.contradiction(&[&key("broker"), &key("kind")], message.to_owned());
    };
    if broker.is_embedded() {
        if sink.required {
            let message =
                "must be `false` for the embedded broker, which keeps what it has in memory";
            reader.contradiction(&[&key("required"), &key("broker")], message.to_owned());
        }
        let given = [
            ("username", sink.username.is_some()),
            ("password_file", sink.password_file.is_some()),
            ("client_id", sink.client_id.is_some()),
            ("retain", sink.retain),
            ("networks", !sink.networks.is_empty()),
        ];
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            let message = "is for a broker of yours; the embedded one has its own ways";
            reader.contradiction(&[&key(name), &key("broker")], message.to_owned());
        }
    }
    // MQTT 3.1.1 [MQTT-3.1.2-22]: no password without a user name.
    if sink.password_file.is_some() && sink.username.is_none() {
        let message = "needs `username`".to_owned();
        reader.contradiction(&[&key("password_file"), &key("username")], message);
    }
    let is_tls = matches!(broker, Broker::Remote { is_tls: true, .. });
    if sink.ca_file.is_some() && !is_tls {
        let message = "is for a broker with TLS: `mqtts://`".to_owned();
        reader.contradiction(&[&key("ca_file"), &key("broker")], message);
    }
}

/// There is no TLS on the bus, and whoever may read it reads every event.
fn bus(config: &Config, reader: &mut Reader) {
    if !config.bus.listen.ip().is_loopback() {
        let message = "must be a loopback address: what must be reached from elsewhere is a broker of your own";
        reader.contradiction(&["bus.listen"], message.to_owned());
    }
}

/// A listener at which nobody could be right.
fn beam(config: &Config, reader: &mut Reader) {
    let beam = &config.beam;
    let given = [
        ("beam.tcp_listen", beam.tcp_listen.is_some()),
        ("beam.udp_listen", beam.udp_listen.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given && beam.secret_file.is_none()) {
        let message = "needs `beam.secret_file`: who sends is known by the signature alone";
        reader.contradiction(&[key, "beam.secret_file"], message.to_owned());
    }
}

fn backend(config: &Config, reader: &mut Reader) {
    let backend = &config.backend;
    match backend.kind {
        BackendKind::Http if backend.url.is_none() => {
            reader
                .contradiction(&["backend.kind", "backend.url"], "needs `backend.url`".to_owned());
        }
        BackendKind::Http => {}
        BackendKind::Embedded => {
            let given = [
                ("backend.url", backend.url.is_some()),
                ("backend.token_file", backend.token_file.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                let message = "is for `kind = \"http\"`: the embedded backend is not called";
                reader.contradiction(&[key, "backend.kind"], message.to_owned());
            }
        }
    }
}
