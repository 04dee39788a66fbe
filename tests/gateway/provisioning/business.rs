//! The hub in all its moods: nothing is sent that it did not say, nothing is lost that it was owed,
//! and a device that was as it should be stays so.

use super::{Scene, UNPACKED, assert_holds, document, passphrase, refusals::SIX};
use crate::daemon::until;
use crate::http::PATIENCE;
use crate::hub::Mood;
use crate::router::Router;
use libtest_mimic::Trial;
use serde_json::json;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::a_hub_that_is_down_all_session", down_all_session),
        crate::trial("provisioning::a_hub_that_is_not_ready", not_ready),
        crate::trial("provisioning::the_last_that_is_known_holds", last_known_holds),
        crate::trial("provisioning::a_404_overwrites_nothing", a_404_overwrites_nothing),
        crate::trial("provisioning::what_did_not_change_is_not_sent_again", not_modified),
        crate::trial("provisioning::an_activation_waits_for_the_hub", activation_waits),
        crate::trial("provisioning::no_secret_before_the_claim", no_secret_before_the_claim),
        crate::trial("provisioning::no_secret_under_another_name", no_secret_under_another_name),
    ]
}

const SSID: &str = "Device.WiFi.SSID.1.SSID";
const KEY: &str = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase";

/// A hub that answers within a second or not at all, and whose values are asked for each time.
fn scene() -> Scene {
    Scene::with(&[("tplink-xx230v", SIX)], &[("backend", "timeout = \"1s\"\nttl = \"0s\"")])
}

fn holds(router: &Router, serial: &str) {
    let of = |path: &str, value: String| (path.to_owned(), value);
    assert_holds(router, &[of(SSID, format!("Home-{serial}")), of(KEY, passphrase(serial))]);
}

/// Nothing of a customer's is known, so nothing of a customer's is sent; what needs no values is.
fn nothing_of_the_customers(router: &Router) {
    assert_eq!(router.value(SSID), "TP-Link_0001");
    assert_eq!(router.value(KEY), "");
}

fn down_all_session() {
    let scene = scene();
    let moods = [
        Mood::HangsUp,
        Mood::Status(500),
        Mood::Status(503),
        Mood::Status(429),
        Mood::Stalls,
        Mood::Cuts,
        Mood::Html,
    ];
    for (number, mood) in moods.into_iter().enumerate() {
        let serial = format!("DOWN000{number}");
        let router = scene.router("tplink-xx230v", &serial);
        scene.hub.be(mood);
        router.live(&UNPACKED);
        nothing_of_the_customers(&router);
        let shown = router.provisioning(&scene.daemon);
        assert_ne!(shown["state"], "converged", "{mood:?}: {shown:#}");
        assert_eq!(scene.events("lastmile.device.unknown", &router), 0, "{mood:?}: nobody said so");
        scene.hub.be(Mood::Answers);
        // It comes by itself, and needs no hand.
        assert!(
            until(PATIENCE, || {
                router.live(&["2 PERIODIC"]);
                router.value(KEY) == passphrase(&serial)
            }),
            "{mood:?}: {:#}",
            router.provisioning(&scene.daemon)
        );
        holds(&router, &serial);
        scene.assert_converged(&router);
        let told = scene.hub.wait_activated(&serial, 1);
        assert_eq!((told.len(), &told[0]["reason"]), (1, &json!("bootstrap")), "{mood:?}");
    }
    scene.hub.assert_no_faults();
}

fn not_ready() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "NOTREADY");
    scene.hub.be_for("NOTREADY", Some(409));
    router.live(&UNPACKED);
    nothing_of_the_customers(&router);
    let shown = router.provisioning(&scene.daemon);
    assert_eq!(shown["state"], "awaiting_values", "{shown:#}");
    let before = scene.hub.asked("NOTREADY");
    router.live(&["2 PERIODIC"]);
    assert!(scene.hub.asked("NOTREADY") > before, "asked at the next Inform at the latest");
    scene.hub.be_for("NOTREADY", None);
    router.live(&["2 PERIODIC"]);
    holds(&router, "NOTREADY");
    scene.assert_converged(&router);
    assert_eq!(scene.hub.wait_activated("NOTREADY", 1).len(), 1);
    assert_eq!(scene.events("lastmile.device.unknown", &router), 0);
}

/// A factory reset while the hub is down: all is brought back from what is known.
fn last_known_holds() {
    let mut scene = scene();
    let router = scene.router("tplink-xx230v", "LASTGOOD");
    router.live(&UNPACKED);
    holds(&router, "LASTGOOD");
    scene.hub.wait_activated("LASTGOOD", 1);
    scene.hub.be(Mood::HangsUp);
    router.factory_reset();
    holds(&router, "LASTGOOD");
    // Known on disk, too.
    scene.daemon.kill();
    scene.daemon.start_again();
    router.factory_reset();
    holds(&router, "LASTGOOD");
    // A steady device does not suffer from it.
    assert_eq!(router.periodic().posts, 2);
    // A 404 that comes later takes nothing away.
    scene.hub.be(Mood::Status(404));
    router.live(&["2 PERIODIC"]);
    holds(&router, "LASTGOOD");
}

/// What the hub said once is not replaced by what a profile has for those who say nothing.
fn a_404_overwrites_nothing() {
    let fresh = ("backend", "timeout = \"1s\"\nttl = \"0s\"");
    let named = "name = \"villa\"\ndescription = \"a\"\n[[parameter]]\n\
        path = \"Device.X_TP_AlgCfg.SipAlg\"\nvalue = true\n";
    let scene = Scene::with(&[("villa", named)], &[fresh]);
    let router = scene.router("tplink-xx230v", "OVERW001");
    let mut own = document("OVERW001");
    own["upnp"] = json!(true);
    own["profile"] = json!("villa");
    scene.hub.knows("OVERW001", own);
    router.live(&UNPACKED);
    holds(&router, "OVERW001");
    let before = router.values();
    for status in [404, 409] {
        scene.hub.be_for("OVERW001", Some(status));
        // The hub is not asked twice within seconds about whom it does not know.
        assert!(until(Duration::from_secs(20), || {
            router.live(&["2 PERIODIC"]);
            let state = router.provisioning(&scene.daemon)["state"].clone();
            state == if status == 404 { "unknown" } else { "awaiting_values" }
        }));
        assert_eq!(router.values(), before, "{status}");
    }
    scene.hub.be_for("OVERW001", None);
    let visits = router.live(&["2 PERIODIC"]);
    assert_eq!(visits.iter().flat_map(|it| it.told()).count(), 0, "it has it all");
    assert_eq!(router.values(), before);
    scene.assert_converged(&router);
    // Whom the hub never knew is not given what only it could say.
    let stranger = Router::new(&scene.daemon, "tplink-xx230v", "OVERW002");
    let visits = stranger.live(&UNPACKED);
    let told: Vec<_> = visits
        .iter()
        .flat_map(|it| it.told())
        .filter(|(path, _)| !path.contains(".ManagementServer."))
        .collect();
    assert!(told.iter().all(|(path, _)| path == "Device.X_TP_AlgCfg.SipAlg"), "{told:?}");
}

fn not_modified() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "ETAG0001");
    scene.hub.be(Mood::Slow(Duration::from_millis(300)));
    router.live(&UNPACKED);
    holds(&router, "ETAG0001");
    scene.hub.be(Mood::Answers);
    for _ in 0..3 {
        assert_eq!(router.periodic().posts, 2);
    }
    assert!(until(PATIENCE, || {
        router.periodic();
        scene.hub.not_modified("ETAG0001") > 0
    }));
    // What changed there is sent; once.
    let mut other = document("ETAG0001");
    other["wifi"][0]["ssid"] = json!("Renamed");
    scene.hub.knows("ETAG0001", other);
    assert!(until(PATIENCE, || {
        router.live(&["2 PERIODIC"]);
        router.value(SSID) == "Renamed"
    }));
    assert_eq!(router.periodic().posts, 2);
    assert_eq!(scene.hub.wait_activated("ETAG0001", 1).len(), 1, "no bootstrap, no activation");
}

/// The hub gives values and does not hear: what it is owed is kept, over a crash, and told once.
fn activation_waits() {
    let mut scene = scene();
    let router = scene.router("tplink-xx230v", "OWED0001");
    scene.hub.refuse_posts(Some(503));
    router.live(&UNPACKED);
    holds(&router, "OWED0001");
    assert!(until(PATIENCE, || scene.hub.heard("OWED0001").iter().any(|it| it.method == "POST")));
    scene.daemon.kill();
    scene.daemon.start_again();
    scene.hub.refuse_posts(None);
    let told = scene.hub.wait_activated("OWED0001", 1);
    assert_eq!(told[0]["serial"], "OWED0001");
    router.periodic();
    assert_eq!(scene.hub.activated("OWED0001").len(), 1);
}

/// One leaked router must not let anyone collect another's secrets: the second that comes with a
/// serial gets none, until an operator says so.
fn no_secret_before_the_claim() {
    let scene = scene();
    let first = scene.router("tplink-xx230v", "CLAIM001");
    first.live(&UNPACKED);
    holds(&first, "CLAIM001");
    // The same serial from another product class is another device.
    let thief = Router::new(&scene.daemon, "tplink-xx430v", "CLAIM001");
    told_no_secret_of(&thief, "CLAIM001");
    scene.backend.wait_for("lastmile.device.claim_refused", &thief.id());
    scene.daemon.call("POST", &format!("{}/claim", thief.path()), &json!({}));
    assert!(until(Duration::from_secs(10), || {
        thief.live(&["2 PERIODIC"]);
        thief.value(KEY) == passphrase("CLAIM001")
    }));
}

/// It comes to life and is told nothing of that customer's.
fn told_no_secret_of(thief: &Router, serial: &str) {
    let visits = thief.live(&UNPACKED);
    let secrets = [passphrase(serial), super::sip_password(serial)];
    let told = visits.iter().flat_map(|it| it.told());
    let leaked: Vec<_> =
        told.filter(|(_, value)| secrets.iter().any(|it| value.starts_with(it))).collect();
    assert!(leaked.is_empty(), "{:?}", leaked.iter().map(|(path, _)| path).collect::<Vec<_>>());
    assert_eq!(thief.value(KEY), "");
}

/// The hub knows one unit by its serial, by the serial of its light and by its MAC. Whoever says one
/// of them that its owner did not come with is told nothing either.
fn no_secret_under_another_name() {
    let scene = scene();
    let owner = scene.router("tplink-xx230v", "CLAIM002");
    owner.live(&UNPACKED);
    holds(&owner, "CLAIM002");
    // One name is known to the registry, the other to the hub alone.
    let alias = format!("{}/aliases/gpon_serial/TPLG12AB34CD", owner.path());
    scene.daemon.call("PUT", &alias, &json!({}));
    let mut of_light = document("TPLG12AB34CD");
    of_light["equipment_id"] = json!("EQ-ANOTHER");
    let mut of_mac = document("403F8C001122");
    of_mac["equipment_id"] = json!("EQ-CLAIM002");
    for document in [of_light, of_mac] {
        let serial = document["serial"].as_str().unwrap().to_owned();
        scene.hub.knows(&serial, document);
        let thief = Router::new(&scene.daemon, "tplink-xx430v", &serial);
        told_no_secret_of(&thief, &serial);
        let told = scene.backend.wait_for("lastmile.device.claim_refused", &thief.id());
        assert_eq!(told.data["holder"], owner.id(), "{:?}", told.data);
        let shown = scene.daemon.call("GET", &thief.path(), &json!(null));
        assert_eq!(shown["claimed"], false);
    }
    owner.live(&["2 PERIODIC"]);
    holds(&owner, "CLAIM002");
}
