//! Firmware as a profile wants it: after the parameters, from the catalogue, confirmed by what the
//! router itself says it runs.

use super::{Scene, UNPACKED, refusals::SIX};
use crate::daemon::until;
use crate::http::{self, PATIENCE};
use crate::router::{Mishap, Router};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::firmware_comes_after_the_parameters", firmware),
        crate::trial("provisioning::firmware_is_planned_and_must_be_the_one", planned_firmware),
        crate::trial("provisioning::firmware_that_fails_bricks_nobody", failing_firmware),
        crate::trial("provisioning::nobody_waits_for_a_window", closed_window),
    ]
}

const NEW: &str = "9.1.0 Build 250101";

fn scene() -> Scene {
    let own = format!("{SIX}\n[firmware]\nversion = \"{NEW}\"\n");
    Scene::with(&[("tplink-xx230v", &own)], &[])
}

fn upload(scene: &Scene, model: &str) {
    let bearer = format!("Bearer {}", scene.daemon.token());
    let version = NEW.replace(' ', "%20");
    let path = format!("/api/v1/images/xx230v.bin?model={model}&version={version}");
    let port = scene.daemon.ports.operator;
    let image = format!("version {NEW}\nand what makes it run");
    let headers = [("Authorization", bearer.as_str())];
    let answer = http::once(port, "PUT", &path, &headers, image.as_bytes()).unwrap();
    assert!((200..300).contains(&answer.status), "{}", answer.text());
}

fn runs(router: &Router) -> String {
    router.value("Device.DeviceInfo.SoftwareVersion")
}

fn states(scene: &Scene, router: &Router) -> Vec<String> {
    let steps = scene.daemon.call("GET", &format!("{}/firmware", router.path()), &Value::Null);
    let steps = steps["items"].as_array().unwrap().iter();
    steps.map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

fn firmware() {
    let scene = scene();
    upload(&scene, "XX230v");
    let router = scene.router("tplink-xx230v", "FIRM0001");
    let before = runs(&router);
    router.live(&UNPACKED);
    // Its turn may come with the next session.
    assert!(
        until(PATIENCE, || {
            router.live(&["2 PERIODIC"]);
            runs(&router) == NEW
        }),
        "{before} {:?}",
        states(&scene, &router)
    );
    assert_eq!(router.downloads(), 1);
    assert!(until(PATIENCE, || states(&scene, &router)
        .first()
        .is_some_and(|it| it == "confirmed")));
    scene.assert_converged(&router);
    // The business hears of it once it runs what it should, and not before.
    let told = scene.hub.wait_activated("FIRM0001", 1);
    assert_eq!((told.len(), &told[0]["firmware"]), (1, &json!(NEW)), "{told:#?}");
    let kind = "lastmile.device.provisioned";
    assert!(
        until(PATIENCE, || scene.events(kind, &router) == 1),
        "{}",
        scene.events(kind, &router)
    );
    let id = router.id();
    let events = scene.backend.accepted();
    let event = events.iter().find(|it| it.kind == kind && it.subject == id).unwrap();
    assert_eq!(
        (&event.data["firmware"], &event.data["reason"]),
        (&json!(NEW), &json!("bootstrap"))
    );
    assert_eq!(router.periodic().posts, 2);
    // A factory reset leaves the software as it is.
    router.factory_reset();
    assert_eq!(router.periodic().posts, 2);
    assert_eq!(router.downloads(), 1, "it runs what it should");
}

/// A plan shows it before anything is given; and an image that the business does not mean is not.
fn planned_firmware() {
    let scene = Scene::with(&[("tplink-xx230v", SIX)], &[("backend", "ttl = \"0s\"")]);
    upload(&scene, "XX230v");
    let router = scene.router("tplink-xx230v", "FIRM0002");
    let mut own = super::document("FIRM0002");
    own["firmware"] = json!({"version": NEW, "sha256": "00".repeat(32), "size": 5});
    scene.hub.knows("FIRM0002", own);
    router.live(&UNPACKED);
    for _ in 0..3 {
        router.live(&["2 PERIODIC"]);
    }
    assert_eq!(router.downloads(), 0);
    let refused = scene.refused(&router);
    assert!(
        refused.iter().any(|(path, it)| path == "firmware" && it.contains("SHA-256")),
        "{refused:?}"
    );
    let plan = || scene.daemon.call("POST", "/api/v1/plans", &json!({"device": router.id()}));
    let shown = plan();
    let firmware = &shown["firmware"];
    assert_eq!((&firmware["from"], &firmware["to"]), (&json!(runs(&router)), &json!(NEW)));
    assert_eq!(
        (&firmware["image"], &firmware["obstacle"]["code"]),
        (&json!("xx230v.bin"), &json!("other_content"))
    );
    let fleet = |body: Value| scene.daemon.call("POST", "/api/v1/plans", &body);
    let all = fleet(json!({"fleet": true}));
    assert_eq!((&all["firmware"], &all["firmware_blocked"]), (&json!(0), &json!(1)), "{all}");
    // A profile that wants it of everyone is a change, by the command line, too.
    scene.hub.knows("FIRM0002", super::document("FIRM0002"));
    router.live(&["2 PERIODIC"]);
    assert_eq!(plan().get("firmware"), None);
    let changed = format!("{SIX}\n[firmware]\nversion = \"{NEW}\"\n");
    let all = fleet(json!({"fleet": true, "profile": changed}));
    assert_eq!((&all["changed"], &all["firmware"]), (&json!(1), &json!(1)), "{all}");
    assert_eq!(all["by_profile"]["tplink-xx230v"]["devices"], 1, "{all}");
    assert_eq!(all["examples"][0]["firmware"]["to"], NEW);
    assert_eq!(all["examples"][0]["firmware"].get("obstacle"), None, "{all}");
    let folder = tempfile::tempdir().unwrap();
    let printed = |text: &str| {
        let file = folder.path().join("tplink-xx230v.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = scene.daemon.command("plan");
        let output = command.args(["--device", &router.id(), "--profile"]).arg(&file).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(printed(SIX).0, Some(0));
    let (code, text) = printed(&changed);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("give   firmware: ") && text.contains(NEW), "{text}");
    assert_eq!(router.downloads(), 0, "a plan is no order");
}

/// One that says that all went well and runs what it ran: it is not given the image again at once,
/// and everything else goes on. The business is told when nobody is given it any more.
fn failing_firmware() {
    let own = format!("{SIX}\n[firmware]\nversion = \"{NEW}\"\n");
    let settings = [("firmware", "failed_elsewhere_min = 3\nfailed_elsewhere_share = 50")];
    let scene = Scene::with(&[("tplink-xx230v", &own)], &settings);
    upload(&scene, "XX230v");
    let mut routers = Vec::new();
    for (number, mishap) in
        [Mishap::Failed(9010), Mishap::Unchanged, Mishap::Refused(9002)].into_iter().enumerate()
    {
        for earlier in &routers {
            assert_eq!(scene.hub.activated(Router::serial(earlier)).len(), 0, "it is tried again");
        }
        let router = scene.router("tplink-xx230v", &format!("BRICK{number:03}"));
        router.mishap(Some(mishap));
        router.live(&UNPACKED);
        for _ in 0..5 {
            router.live(&["2 PERIODIC"]);
        }
        assert_eq!(router.downloads(), 1, "{mishap:?}");
        let states = states(&scene, &router);
        assert!(states.contains(&"failed".to_owned()), "{mishap:?}: {states:?}");
        assert_eq!(router.value("Device.Time.NTPServer1"), "ntp1.example.net");
        routers.push(router);
    }
    for router in &routers {
        let is_told = || {
            router.live(&["2 PERIODIC"]);
            !scene.hub.activated(router.serial()).is_empty()
        };
        assert!(until(PATIENCE, is_told), "the rollout is paused: {:?}", states(&scene, router));
        let told = scene.hub.wait_activated(router.serial(), 1);
        assert_eq!(told[0]["refused"][0]["path"], "firmware", "{told:#?}");
    }
    // Of another model: not given at all.
    let scene = Scene::with(
        &[("tplink-xx230v", &format!("{SIX}\n[firmware]\nversion = \"{NEW}\"\n"))],
        &[],
    );
    upload(&scene, "XX530v");
    let router = scene.router("tplink-xx230v", "BRICK009");
    router.live(&UNPACKED);
    for _ in 0..3 {
        router.live(&["2 PERIODIC"]);
    }
    assert_eq!(router.downloads(), 0);
    assert_eq!(scene.hub.wait_activated("BRICK009", 1)[0]["reason"], json!("bootstrap"));
}

/// It may be days until it opens, and the customer has a line now.
fn closed_window() {
    let later = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let hour = |add: i64| {
        let at = later.checked_add(jiff::Span::new().hours(add)).unwrap();
        format!("{:02}:00", at.hour())
    };
    let window =
        format!("[window]\nfrom = \"{}\"\nto = \"{}\"\nzone = \"UTC\"\n", hour(2), hour(4));
    let own = format!("{SIX}\n[firmware]\nversion = \"{NEW}\"\n{window}");
    let scene = Scene::with(&[("tplink-xx230v", &own)], &[]);
    upload(&scene, "XX230v");
    let router = scene.router("tplink-xx230v", "WINDOW01");
    let before = runs(&router);
    router.live(&UNPACKED);
    let told = scene.hub.wait_activated("WINDOW01", 1);
    assert_eq!((told.len(), &told[0]["firmware"]), (1, &json!(before)), "{told:#?}");
    assert_eq!(router.downloads(), 0);
}
