//! A plan is what is sent: for each make, what is shown beforehand is what the router is told.

use super::{MAKES, Scene, UNPACKED, document};
use crate::router::{Router, Visit};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::a_plan_is_what_is_sent", a_plan_is_what_is_sent),
        crate::trial("provisioning::a_hold_stops_every_write", a_hold_stops_every_write),
        crate::trial("provisioning::a_profile_is_planned_before_it_holds", planned_before_it_holds),
    ]
}

/// What a plan would set: path and new value, `…` for a secret.
fn planned(plan: &Value) -> BTreeMap<String, String> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let changes = plan["changes"].as_array().unwrap();
    changes.iter().map(|it| (text(it, "path"), text(it, "new"))).collect()
}

/// What a router was told beside the settings of every first contact.
fn told(visits: &[Visit]) -> BTreeMap<String, String> {
    let told = visits.iter().flat_map(Visit::told);
    told.filter(|(path, _)| !path.contains(".ManagementServer.")).collect()
}

fn plan(scene: &Scene, router: &Router) -> Value {
    scene.daemon.call("POST", "/api/v1/plans", &json!({"device": router.id()}))
}

fn hold(scene: &Scene) -> String {
    let held = scene.daemon.call("POST", "/api/v1/hold", &json!({"reason": "a test"}));
    held["id"].as_str().unwrap().to_owned()
}

fn lift(scene: &Scene, hold: &str) {
    scene.daemon.call("DELETE", &format!("/api/v1/hold/{hold}"), &Value::Null);
}

fn a_plan_is_what_is_sent() {
    let scene = Scene::start();
    for (make, number) in MAKES.iter().zip(1..) {
        let serial = format!("PLAN{number:04}");
        let router = Router::new(&scene.daemon, make, &serial);
        let mut of_make = document(&serial);
        of_make["bridge"] = json!({"enable": *make == "raisecom-ht803g-w"});
        scene.hub.knows(&serial, of_make);
        let held = hold(&scene);
        let visits = router.live(&UNPACKED);
        assert_eq!(told(&visits), BTreeMap::new(), "{make}: nothing is written on hold");
        let before = plan(&scene, &router);
        assert_eq!(before["claimed"], true, "{make}: {before:#}");
        let mut expected = planned(&before);
        assert!(!expected.is_empty(), "{make}: {before:#}");
        lift(&scene, &held);
        let visits = router.live(&["2 PERIODIC"]);
        let mut sent = told(&visits);
        for (path, value) in &mut expected {
            let Some(sent) = sent.get_mut(path) else { continue };
            let is_secret = path.ends_with("KeyPassphrase") || path.ends_with("AuthPassword");
            assert!(value == "…" || !is_secret, "{make}: {path}");
            assert!(value != "…" || !path.ends_with(".SSID"), "{make}: {path}");
            if value == "…" {
                sent.clone_from(value);
            }
        }
        assert_eq!(sent, expected, "{make}");
        let after = plan(&scene, &router);
        assert_eq!(planned(&after), BTreeMap::new(), "{make}: {after:#}");
        let shown = before.to_string() + &after.to_string();
        for secret in [super::passphrase(&serial), super::sip_password(&serial)] {
            assert!(!shown.contains(&secret), "{make}: a plan says a secret");
        }
    }
}

fn a_hold_stops_every_write() {
    let scene = Scene::start();
    let router = scene.router("tplink-xx230v", "HOLD0001");
    let held = hold(&scene);
    let before = router.values();
    for events in [&UNPACKED[..], &["2 PERIODIC"], &["1 BOOT"]] {
        for visit in router.live(events) {
            let writes =
                ["SetParameterValues", "AddObject", "DeleteObject", "SetParameterAttributes"];
            assert!(!visit.calls().iter().any(|call| writes.contains(call)), "{:?}", visit.calls());
        }
    }
    assert_eq!(router.values(), before);
    assert_eq!(router.provisioning(&scene.daemon)["state"], "held");
    assert!(scene.hub.activated("HOLD0001").is_empty());
    lift(&scene, &held);
    router.live(&["2 PERIODIC"]);
    scene.assert_converged(&router);
    assert_eq!(scene.hub.wait_activated("HOLD0001", 1).len(), 1);
}

/// A profile's text is planned with, and changes nothing until it is loaded.
fn planned_before_it_holds() {
    let scene = Scene::with(&[("tplink-xx230v", super::refusals::SIX)], &[]);
    let router = scene.router("tplink-xx230v", "BEFORE01");
    router.live(&UNPACKED);
    let other = super::refusals::SIX.replace("{{ equipment.ntp[0] }}", "time.example.org");
    let ask = json!({"device": router.id(), "profile": other});
    let shown = scene.daemon.call("POST", "/api/v1/plans", &ask);
    let expected = [("Device.Time.NTPServer1".to_owned(), "time.example.org".to_owned())];
    assert_eq!(planned(&shown), BTreeMap::from(expected.clone()), "{shown:#}");
    assert_eq!(shown["changes"][0]["old"], "ntp1.example.net");
    assert_eq!(router.periodic().posts, 2, "a plan is no order");
    scene.load("tplink-xx230v", &other);
    let visits = router.live(&["2 PERIODIC"]);
    assert_eq!(told(&visits), BTreeMap::from(expected));
}
