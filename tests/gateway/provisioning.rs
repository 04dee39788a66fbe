//! Routers of real makes become what their profiles and the business say: at first contact, after a
//! factory reset, in spite of refusals, cut sessions and a hub that is down, and never twice.

mod business;
mod makes;
mod objects;
mod plans;
mod portal;
mod refusals;
mod rollouts;
mod steering;
mod upgrades;

use crate::backend::Backend;
use crate::daemon::{Daemon, Settings, until};
use crate::hub::Hub;
use crate::router::Router;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn trials() -> Vec<Trial> {
    [
        makes::trials(),
        refusals::trials(),
        business::trials(),
        objects::trials(),
        portal::trials(),
        plans::trials(),
        rollouts::trials(),
        steering::trials(),
        upgrades::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The makes that profiles are shipped for.
pub(crate) const MAKES: [&str; 5] =
    ["raisecom-ht803g-w", "tplink-deco", "tplink-xx230v", "tplink-xx430v", "tplink-xx530v"];

/// What begins the life of a router.
pub(crate) const UNPACKED: [&str; 2] = ["0 BOOTSTRAP", "1 BOOT"];

/// A gateway, the business's hub before it, and who hears its events.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) hub: Hub,
    pub(crate) backend: Backend,
    dir: TempDir,
}

impl Scene {
    /// One with the shipped profiles.
    pub(crate) fn start() -> Self {
        Self::with(&[], &[])
    }

    /// One with these profiles (name and text) over the shipped ones, and these settings.
    pub(crate) fn with(profiles: &[(&str, &str)], settings: Settings<'_>) -> Self {
        let (hub, backend) = (Hub::start(), Backend::start());
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("profiles");
        fs::create_dir(&folder).unwrap();
        for (name, text) in profiles {
            fs::write(folder.join(format!("{name}.toml")), text).unwrap();
        }
        let token = dir.path().join("hub.token");
        fs::write(&token, Hub::token()).unwrap();
        let of_hub = format!(
            "kind = \"http\"\nurl = \"{}\"\ntoken_file = \"{}\"",
            hub.url(),
            token.display()
        );
        let mut of_profiles = format!("profiles = \"{}\"", folder.display());
        // A test that is not about trials has none.
        if !settings.iter().any(|(_, keys)| keys.contains("canary_share")) {
            of_profiles.push_str("\ncanary_share = 100");
        }
        let mut all = vec![
            ("cwmp", "enrol_networks = [\"127.0.0.0/8\"]"),
            ("backend", &*of_hub),
            ("provisioning", &*of_profiles),
        ];
        all.extend(settings);
        let daemon = Daemon::start(Some(&backend), &all);
        Self { daemon, hub, backend, dir }
    }

    /// A router of that make, whose equipment the hub knows by its serial.
    pub(crate) fn router(&self, make: &str, serial: &str) -> Router {
        self.hub.knows(serial, document(serial));
        Router::new(&self.daemon, make, serial)
    }

    /// Writes a profile anew.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(format!("profiles/{name}.toml")), text).unwrap();
    }

    /// Writes a profile anew and has it loaded.
    pub(crate) fn load(&self, name: &str, text: &str) -> Value {
        self.write(name, text);
        self.daemon.call("POST", "/api/v1/profiles/reload", &json!({}))
    }

    /// Fails the test unless the router is as wanted, by the API.
    pub(crate) fn assert_converged(&self, router: &Router) {
        let shown = router.provisioning(&self.daemon);
        assert_eq!(shown["state"], "converged", "{}: {shown:#}", router.serial());
    }

    /// What the API says that the router refused, and why.
    pub(crate) fn refused(&self, router: &Router) -> Vec<(String, String)> {
        let shown = router.provisioning(&self.daemon);
        let refused = shown["refused"].as_array().cloned().unwrap_or_default();
        let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
        refused.iter().map(|it| (text(it, "path"), text(it, "cause"))).collect()
    }

    /// How many events of that type there are about the router.
    pub(crate) fn events(&self, kind: &str, router: &Router) -> usize {
        let id = router.id();
        let accepted = self.backend.accepted();
        accepted.iter().filter(|it| it.kind == kind && it.subject == id).count()
    }
}

/// What the business keeps for a serial.
pub(crate) fn document(serial: &str) -> Value {
    json!({
        "serial": serial,
        "equipment_id": format!("EQ-{serial}"),
        "wifi": [
            {"band": "2.4GHz", "ssid": format!("Home-{serial}"), "passphrase": passphrase(serial),
             "enable": true, "hidden": false},
            {"band": "5GHz", "ssid": format!("Home-{serial}-5G"),
             "passphrase": format!("{}5", passphrase(serial)), "enable": true, "hidden": false},
        ],
        "voip": [{
            "line": 1, "enable": true, "uri": format!("sip:{serial}@voice.example.net"),
            "auth_user": format!("user-{serial}"), "auth_password": sip_password(serial),
            "registrar": "registrar.example.net", "proxy": "proxy.example.net",
            "outbound_proxy": "edge.example.net", "port": 5070, "transport": "TCP",
            "digit_map": "911|1xxxxxxxxxx|[2-9]xxxxxxxxx", "dtmf": "InBand",
            "directory_number": "+14505550100",
        }],
        "ntp": ["ntp1.example.net", "ntp2.example.net"],
        "dscp": {"sip": 26, "rtp": 34},
        "upnp": false,
    })
}

/// The WiFi passphrase of a serial, 2.4 GHz; that of 5 GHz has a `5` more.
pub(crate) fn passphrase(serial: &str) -> String {
    format!("wpa-secret-{serial}")
}

/// The password of a serial's SIP account.
pub(crate) fn sip_password(serial: &str) -> String {
    format!("sip-secret-{serial}")
}

/// Waits until a second has gone by: what was read of a device has the second in which it was read,
/// and no real one restarts within it.
pub(crate) fn next_second() {
    let second = || jiff::Timestamp::now().as_second();
    let began = second();
    assert!(until(Duration::from_secs(2), || second() > began));
}

/// Whether a router holds these values: booleans in either spelling, the rest to the byte.
pub(crate) fn assert_holds(router: &Router, expected: &[(String, String)]) {
    let held = router.values();
    let plain = |value: &str| match value {
        "true" => "1".to_owned(),
        "false" => "0".to_owned(),
        other => other.to_owned(),
    };
    let mut wrong = Vec::new();
    for (path, value) in expected {
        match held.get(path) {
            Some(held) if plain(held) == plain(value) => {}
            other => wrong.push(format!("{path}: {other:?}, wanted {value:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", router.serial());
}
