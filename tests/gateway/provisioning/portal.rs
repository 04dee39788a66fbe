//! A customer changes his WiFi in the portal, or on the router itself; a technician looks whether all
//! is well.

use super::{Scene, UNPACKED, next_second, passphrase, refusals::SIX};
use crate::backend::Backend;
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::hub::Mood;
use crate::router::{Router, Trick, Visit};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::wifi_changes_at_once_by_a_wake", wifi_by_a_wake),
        crate::trial("provisioning::wifi_changes_at_the_next_inform", wifi_at_the_next_inform),
        crate::trial("provisioning::wifi_that_is_refused_is_told", wifi_refused),
        crate::trial("provisioning::wifi_changes_in_parallel", wifi_in_parallel),
        crate::trial("provisioning::drift_is_mended_or_reported", drift),
    ]
}

const SSID: &str = "Device.WiFi.SSID.1.SSID";
const SSID_5G: &str = "Device.WiFi.SSID.3.SSID";
const KEY: &str = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase";
const NTP1: &str = "Device.Time.NTPServer1";

fn new_wifi() -> Value {
    json!({"wifi": [
        {"band": "2.4GHz", "ssid": "Chez nous", "passphrase": "a new passphrase"},
        {"band": "5GHz", "ssid": "Chez nous 5"},
    ]})
}

/// A gateway whose business is its own, and a router with a customer.
fn embedded(serial: &str) -> (Daemon, Backend, std::sync::Arc<Router>) {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[("cwmp", "enrol_networks = [\"127.0.0.0/8\"]")]);
    let path = format!("/api/v1/equipment/{serial}");
    daemon.call("PUT", &path, &super::document(serial));
    let router = Router::awake(&daemon, "tplink-xx230v", serial);
    router.live(&UNPACKED);
    assert_eq!(router.value(KEY), passphrase(serial));
    (daemon, backend, router)
}

fn wifi_by_a_wake() {
    let (daemon, backend, router) = embedded("PORTAL01");
    let before = router.history().len();
    let path = format!("{}/wifi?wait=20s", router.path());
    let answer = daemon.api("PUT", &path, &new_wifi());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["state"], "converged", "{}", answer.text());
    assert_eq!(router.value(SSID), "Chez nous");
    assert_eq!(router.value(KEY), "a new passphrase");
    assert_eq!(router.value(SSID_5G), "Chez nous 5");
    let woken = router.visits_after(before, PATIENCE);
    assert!(woken[0].events.contains(&"6 CONNECTION REQUEST".to_owned()), "{:?}", woken[0].events);
    // By the customer's name, too.
    daemon.call("PUT", "/api/v1/customers/villa-9", &json!({"name": "Villa 9"}));
    let owned = format!("/api/v1/customers/villa-9/devices/{}", router.id().replace('%', "%25"));
    daemon.call("PUT", &owned, &json!({}));
    let change = json!({"wifi": [{"band": "2.4GHz", "ssid": "Villa 9"}]});
    let before = router.history().len();
    let answer = daemon.api("PUT", "/api/v1/customers/villa-9/wifi?wait=20s", &change);
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The answer comes before the session is over, and the button is for afterwards.
    router.visits_after(before, PATIENCE);
    assert_eq!(router.value(SSID), "Villa 9");
    assert_eq!(router.value(KEY), "a new passphrase", "what was not said stays");
    // It survives a factory reset, and nobody hears the passphrase.
    router.factory_reset();
    assert_eq!(router.value(KEY), "a new passphrase");
    let events = backend.accepted();
    assert!(events.iter().all(|it| !it.data.to_string().contains("a new passphrase")));
    let audit = daemon.call("GET", "/api/v1/audit", &Value::Null).to_string();
    assert!(audit.contains("wifi") && !audit.contains("a new passphrase"), "{audit}");
    assert!(!daemon.log().contains("a new passphrase"));
}

/// Beside a hub: the change is laid over its values, and waits for a router that cannot be woken.
fn wifi_at_the_next_inform() {
    let scene = Scene::with(&[("tplink-xx230v", SIX)], &[]);
    let router = scene.router("tplink-xx230v", "PORTAL02");
    router.live(&UNPACKED);
    let path = format!("{}/wifi", router.path());
    let answer = scene.daemon.api("PUT", &path, &new_wifi());
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(router.value(SSID), "Home-PORTAL02");
    router.live(&["2 PERIODIC"]);
    assert_eq!(
        (router.value(SSID), router.value(KEY)),
        ("Chez nous".into(), "a new passphrase".into())
    );
    assert_eq!(router.periodic().posts, 2);
    scene.assert_converged(&router);
    assert_eq!(scene.hub.activated("PORTAL02").len(), 1, "no bootstrap, no activation");
    router.factory_reset();
    assert_eq!(router.value(SSID), "Chez nous", "laid over the hub's word still");
}

/// Of changes that come together none is lost, though a hub is slow to answer meanwhile.
fn wifi_in_parallel() {
    let scene = Scene::with(&[], &[("backend", "ttl = \"0s\"")]);
    let router = scene.router("tplink-xx230v", "PORTAL04");
    router.live(&UNPACKED);
    let path = format!("{}/wifi", router.path());
    for round in 0..6 {
        scene.hub.be(Mood::Slow(Duration::from_millis(100)));
        std::thread::scope(|scope| {
            for band in ["2.4GHz", "5GHz"] {
                let change = json!({"wifi": [{"band": band, "ssid": format!("{round} {band}")}]});
                let (daemon, path) = (&scene.daemon, &path);
                scope.spawn(move || assert_eq!(daemon.api("PUT", path, &change).status, 202));
            }
            scope.spawn(|| router.live(&["2 PERIODIC"]));
        });
        router.live(&["2 PERIODIC"]);
        let both = (router.value(SSID), router.value(SSID_5G));
        assert_eq!(both, (format!("{round} 2.4GHz"), format!("{round} 5GHz")));
    }
}

/// The router will not have it: whoever waits is told so, and so is who listens.
fn wifi_refused() {
    let (daemon, _backend, router) = embedded("PORTAL03");
    router.refuse(SSID, Some(9007));
    let path = format!("{}/wifi?wait=20s", router.path());
    let answer = daemon.api("PUT", &path, &new_wifi());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    assert_eq!(told["state"], "partial", "{told}");
    assert_eq!(told["refused"][0]["path"], SSID, "{told}");
    assert_eq!(router.value(KEY), "a new passphrase", "the rest is applied");
    // Another name is another wish.
    router.refuse(SSID, None);
    let change = json!({"wifi": [{"band": "2.4GHz", "ssid": "Another"}]});
    let answer = daemon.api("PUT", &path, &change);
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("converged")));
    assert_eq!(router.value(SSID), "Another");
    // One that falls silent does not hold the portal up for longer than it asked for.
    router.play("SetParameterValues", Trick::Slow(Duration::from_secs(3)));
    let quick = format!("{}/wifi?wait=1s", router.path());
    let answer = daemon.api("PUT", &quick, &json!({"wifi": [{"band": "2.4GHz", "ssid": "Late"}]}));
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(until(PATIENCE, || router.value(SSID) == "Late"));
}

/// What the owner changes himself: mended where the profile says so, else told and left, until the
/// business wants something else.
fn drift() {
    let own = SIX.replacen(
        "template = \"{{ wifi('2.4GHz').ssid }}\"",
        "template = \"{{ wifi('2.4GHz').ssid }}\"\ndrift = \"report\"",
        1,
    );
    let own = own.replacen("layer = 50", "layer = 50\nverify_on = [\"1 BOOT\"]", 1);
    let scene = Scene::with(&[("tplink-xx230v", &own)], &[("backend", "ttl = \"0s\"")]);
    let router = scene.router("tplink-xx230v", "DRIFT001");
    router.live(&UNPACKED);
    router.change(SSID, "The owner's");
    router.change(NTP1, "time.example.com");
    assert_eq!(router.periodic().posts, 2, "not looked at in every session");
    next_second();
    router.live(&["1 BOOT"]);
    assert_eq!(router.value(NTP1), "ntp1.example.net", "mended");
    assert_eq!(router.value(SSID), "The owner's", "left");
    let told = scene.backend.wait_for("lastmile.device.drifted", &router.id());
    assert!(told.data.to_string().contains("paths"), "{:?}", told.data);
    let events = || {
        let all = scene.backend.accepted();
        let drifted = all.into_iter().filter(|it| it.kind == "lastmile.device.drifted");
        drifted.map(|it| (it.data["action"].clone(), it.data["paths"].clone())).collect::<Vec<_>>()
    };
    let both = [(json!("mended"), json!([NTP1])), (json!("reported"), json!([SSID]))];
    assert!(until(PATIENCE, || both.iter().all(|it| events().contains(it))), "{:?}", events());
    assert_eq!(router.periodic().posts, 2);
    let count = events().len();
    next_second();
    router.live(&["1 BOOT"]);
    assert_eq!(router.value(SSID), "The owner's");
    assert_eq!(events().len(), count, "told once");
    // Something else changes, and it alone is sent: the owner's name stays his, and no passphrase
    // goes out again.
    let mut elsewhere = super::document("DRIFT001");
    elsewhere["ntp"][0] = json!("ntp3.example.net");
    scene.hub.knows("DRIFT001", elsewhere.clone());
    next_second();
    let visits = router.live(&["1 BOOT"]);
    let sent: Vec<_> = visits.iter().flat_map(Visit::told).collect();
    assert_eq!(sent, [(NTP1.to_owned(), "ntp3.example.net".to_owned())]);
    assert_eq!(router.value(SSID), "The owner's");
    assert_eq!(events().len(), count, "told once");
    // Of this the router tells by itself.
    router.change(NTP1, "time.example.com");
    router.live(&["4 VALUE CHANGE"]);
    let mut changed = elsewhere;
    changed["wifi"][0]["ssid"] = json!("The business's");
    scene.hub.knows("DRIFT001", changed);
    scene.daemon.call("POST", &format!("{}/provision", router.path()), &json!({}));
    router.live(&["2 PERIODIC"]);
    assert_eq!(router.value(SSID), "The business's", "a new wish is applied");
}
