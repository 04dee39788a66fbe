//! The technician's checks on a router of a real make: one call, and again after it was asked anew.

use crate::daemon::until;
use crate::http::PATIENCE;
use crate::provisioning::{Scene, UNPACKED};
use crate::router::Router;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::thread;

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("checks::a_technician_asks", a_technician_asks)]
}

const LINE: &str = "Device.X_TP_Services.VoiceService.1.VoiceProfile.1.Line.1.Status";
const LIGHT: &str = "Device.Optical.Interface.1.X_TP_GPON_Config.RXPower";

fn checks(scene: &Scene, router: &Router) -> Value {
    scene.daemon.call("GET", &format!("/api/v1/devices/{}/checks", router.serial()), &Value::Null)
}

/// Asks it anew while it comes, as a woken router does.
fn asked_anew(scene: &Scene, router: &Router) -> Value {
    let path = format!("/api/v1/devices/{}/checks?refresh=true&wait=20s", router.serial());
    thread::scope(|scope| {
        let asking = scope.spawn(|| scene.daemon.call("GET", &path, &Value::Null));
        let commands = format!("{}/commands?limit=1", router.path());
        let is_asked = until(PATIENCE, || {
            let newest = scene.daemon.call("GET", &commands, &Value::Null);
            newest["items"][0]["state"] == "queued"
        });
        assert!(is_asked, "it was not asked");
        router.live(&["6 CONNECTION REQUEST"]);
        asking.join().unwrap()
    })
}

fn a_technician_asks() {
    let scene = Scene::start();
    let router = scene.router("tplink-xx230v", "2227A00000001");
    router.change(LINE, "Up");
    // 0.01 mW: -20 dBm.
    router.change(LIGHT, "100");
    router.live(&UNPACKED);
    let answer = checks(&scene, &router);
    assert_eq!(answer["device"], router.id());
    let of = |answer: &Value, name: &str| {
        let check = &answer["checks"][name];
        (check["state"].as_str().unwrap().to_owned(), check["value"].clone())
    };
    let ok = |value: Value| ("ok".to_owned(), value);
    assert_eq!(of(&answer, "online"), ok(json!(true)), "{answer:#}");
    assert_eq!(of(&answer, "sip"), ok(json!("Up")), "{answer:#}");
    assert_eq!(of(&answer, "optical"), ok(json!(-20.0)), "{answer:#}");
    assert_eq!(of(&answer, "wifi_2g").0, "ok", "{answer:#}");
    assert_eq!(of(&answer, "wifi_5g").0, "ok", "{answer:#}");
    assert_eq!(of(&answer, "profile").0, "ok", "{answer:#}");
    assert_eq!(answer["state"], "ok", "{answer:#}");

    // What changes at the router is known once it is asked anew.
    router.change(LINE, "Error");
    router.change(LIGHT, "10");
    assert_eq!(checks(&scene, &router)["state"], "ok");
    let answer = asked_anew(&scene, &router);
    assert_eq!(answer["refresh"]["state"], "done", "{answer:#}");
    assert_eq!(of(&answer, "sip"), ("failed".to_owned(), json!("Error")));
    assert_eq!(of(&answer, "optical"), ("failed".to_owned(), json!(-30.0)));
    assert_eq!(answer["state"], "failed");
}
