//! What is allowed but seldom meant.

use crate::cwmp::ClientCertificates;
use crate::fault::Warning;
use crate::mqtt::BoardCertificates;
use crate::quirk::QuirkFlag;
use crate::top::{Auth, Config};
use std::net::SocketAddr;

/// Every warning, in the order of the reference.
pub(crate) fn warnings(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |key: &str, message: &str| {
        found.push(Warning { key: key.to_owned(), message: message.to_owned() });
    };
    if config.trusted_proxies.iter().any(|it| it.is_everything()) {
        warn("trusted_proxies", "believes anyone's X-Forwarded-For: name the proxies alone");
    }
    cwmp(config, &mut warn);
    mqtt(config, &mut warn);
    if is_open(config.public.listen) && !config.public.url.as_ref().is_some_and(|it| it.is_https())
    {
        warn(
            "public.listen",
            "takes the secrets of its URLs in plain text: put a proxy with TLS in front and name it in `public.url`",
        );
    }
    if is_open(config.operator.listen) {
        warn(
            "operator.listen",
            "takes tokens in plain text: listen on loopback behind a proxy with TLS",
        );
    }
    for (index, sink) in config.sink.iter().enumerate() {
        if sink.url.as_ref().is_some_and(|it| !it.is_https() && !it.is_loopback()) {
            warn(&format!("sink[{index}].url"), "sends events in plain text: use https");
        }
        if sink.broker.as_ref().is_some_and(|it| it.is_overheard()) {
            warn(&format!("sink[{index}].broker"), "sends events in plain text: use mqtts");
        }
    }
    if config.firmware.keys.is_empty() {
        warn(
            "firmware.keys",
            "is empty: images are taken without a signature, and devices run what is there",
        );
    }
    if config.tls.self_signed {
        warn("tls.self_signed", "proves nothing to a device: for a lab only");
    }
    if config.provisioning.claim_networks.iter().any(|it| it.is_everything()) {
        let message = "gives any router's secrets to whoever names its serial first";
        warn("provisioning.claim_networks", message);
    }
    if config.backend.url.as_ref().is_some_and(|it| !it.is_https() && !it.is_loopback()) {
        warn("backend.url", "fetches customers' secrets in plain text: use https");
    }
    found
}

fn cwmp(config: &Config, warn: &mut impl FnMut(&str, &str)) {
    let cwmp = &config.cwmp;
    if is_open(cwmp.listen) && cwmp.client_certificates != ClientCertificates::Required {
        warn(
            "cwmp.listen",
            "serves routers in plain text: use `cwmp.tls_listen`, or a network that only they reach",
        );
    }
    let reached = is_open(cwmp.listen) || cwmp.tls_listen.is_some_and(is_open);
    if cwmp.auth == Auth::Open && reached {
        warn("cwmp.auth", "lets anyone who reaches the port be any router: for a lab only");
    }
    if cwmp.allow_basic && is_open(cwmp.listen) {
        warn("cwmp.allow_basic", "takes passwords in plain text on `cwmp.listen`");
    }
    if cwmp.quirk.iter().any(|quirk| quirk.flags.contains(&QuirkFlag::DigestReplay)) {
        warn("cwmp.quirk", "lets whoever overhears a CPE with `digest_replay` be that CPE");
    }
    if cwmp.enrol_networks.iter().any(|it| it.is_everything()) {
        warn("cwmp.enrol_networks", "lets the enrolment secret take over any router from anywhere");
    }
    if cwmp.connection_request.networks.iter().any(|it| it.is_everything()) {
        warn("cwmp.connection_request.networks", "lets a device point us at any host");
    }
    if cwmp.connection_request.allow_basic {
        warn(
            "cwmp.connection_request.allow_basic",
            "gives a device's connection request password to whoever answers in its place",
        );
    }
    if cwmp.stun_address.is_some() && cwmp.stun_listen.is_none() {
        warn("cwmp.stun_address", "says where nobody listens: `cwmp.stun_listen` is not given");
    }
}

fn mqtt(config: &Config, warn: &mut impl FnMut(&str, &str)) {
    let mqtt = &config.mqtt;
    let needs_certificate = mqtt.client_certificates == BoardCertificates::Required;
    if is_open(mqtt.listen) && !needs_certificate {
        warn(
            "mqtt.listen",
            "serves boards in plain text: use `mqtt.tls_listen`, or a network that only they reach",
        );
    }
    if mqtt.websocket_listen.is_some_and(is_open) && !needs_certificate {
        warn(
            "mqtt.websocket_listen",
            "takes passwords in plain text: use `mqtt.websocket_tls_listen`, or a proxy with TLS in front",
        );
    }
    let others = [mqtt.tls_listen, mqtt.websocket_listen, mqtt.websocket_tls_listen];
    let reached = is_open(mqtt.listen) || others.into_iter().flatten().any(is_open);
    if mqtt.auth == Auth::Open && reached {
        warn("mqtt.auth", "opens every topic to anyone who reaches the port: for a lab only");
    }
    if mqtt.acl.subscribe.iter().any(|template| template.reaches_others()) {
        warn("mqtt.acl.subscribe", "lets any board read what others send or are sent");
    }
    if mqtt.acl.publish.iter().any(|template| template.reaches_others()) {
        warn("mqtt.acl.publish", "lets any board speak on others' topics");
    }
}

/// Whether others than this machine reach it.
fn is_open(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}
