//! Courses over a store in a file, against a device that is a table of parameters.

mod cpe;
mod scene;

use crate::profiles::{Loaded, Outcome};
use crate::provisioner::Reason;
use cpe::{Cpe, Fault};
use jiff::SignedDuration;
use provisioning::{ProfileSet, Standing};
use scene::{Scene, device, tenant};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NTP: &str = r#"
name = "ntp"
description = "Time servers."
layer = 10
[match]
oui = ["00259E"]
[[parameter]]
path = "Device.Time.NTPServer1"
value = "a.example.net"
[[parameter]]
path = "Device.Time.NTPServer2"
value = "b.example.net"
"#;

fn router() -> Cpe {
    Cpe::new(&[
        ("Device.DeviceInfo.ModelName", "HG8245", false),
        ("Device.Time.NTPServer1", "old.example.net", true),
        ("Device.Time.NTPServer2", "", true),
    ])
}

#[tokio::test]
async fn a_device_becomes_what_its_profile_says_and_is_left_alone_then() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    assert!(!scene.is_steady());
    scene.session(&mut cpe, &["2 PERIODIC"]).await;
    assert_eq!(cpe.value("Device.Time.NTPServer1"), "a.example.net");
    assert_eq!(cpe.value("Device.Time.NTPServer2"), "b.example.net");
    assert_eq!(scene.calls(&cpe, "SetParameterValues"), 1);
    let kept = scene.kept().await;
    assert_eq!((kept.held.standing, &*kept.held.profiles[0]), (Standing::Converged, "ntp"));
    assert_eq!(scene.events().await, ["lastmile.device.provisioned"]);

    let calls = cpe.calls.len();
    assert!(scene.is_steady(), "{:?}", scene.mark());
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.calls.len(), calls, "a steady session asks nothing");
    assert_eq!(scene.events().await.len(), 1);
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_cause_and_the_rest_is_applied() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    let mut cpe = router();
    cpe.refuse("Device.Time.NTPServer2", Fault::Named(9007));
    scene.know("A1").await;
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value("Device.Time.NTPServer1"), "a.example.net");
    let kept = scene.kept().await;
    assert_eq!(kept.held.standing, Standing::Partial);
    assert_eq!(&*kept.lacking[0].path, "Device.Time.NTPServer2");
    assert_eq!(kept.lacking[0].code, Some(9007));
    assert_eq!(scene.events().await, ["lastmile.device.provisioned"]);
    assert!(scene.is_steady());

    cpe.refusals.clear();
    scene.wait(SignedDuration::from_hours(1));
    assert!(!scene.is_steady(), "it is tried again");
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value("Device.Time.NTPServer2"), "b.example.net");
    assert_eq!(scene.kept().await.held.standing, Standing::Converged);
    assert_eq!(scene.events().await.len(), 2);
}

#[tokio::test]
async fn a_bootstrap_brings_it_all_back_and_tells_the_business_once() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    for activations in 1..=2 {
        cpe.reset(&router());
        scene.bootstrap(&cpe).await;
        scene.session(&mut cpe, &["0 BOOTSTRAP", "1 BOOT"]).await;
        assert_eq!(cpe.value("Device.Time.NTPServer1"), "a.example.net");
        assert_eq!(scene.activations().await.len(), activations);
        assert_eq!(scene.kept().await.from_factory_at, None);
        scene.session(&mut cpe, &["2 PERIODIC", "1 BOOT"]).await;
        assert_eq!(scene.activations().await.len(), activations, "once for each bootstrap");
    }
    let told = scene.activations().await;
    let expected = serde_json::json!({
        "serial": "A1", "device": device(), "reason": "bootstrap", "profile": "ntp",
        "revision": scene.kept().await.held.revision.to_string(), "refused": [],
        "firmware": "V3", "ip": "127.0.0.1",
    });
    assert_eq!(told[0], expected);
}

#[tokio::test]
async fn a_device_that_hangs_up_on_what_it_is_told_is_told_less_and_less_often() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    cpe.refuse("Device.Time.NTPServer2", Fault::Silence);
    scene.discovered(&cpe).await;
    for _ in 0..2 {
        assert!(!scene.session(&mut cpe, &["1 BOOT"]).await, "it hangs up");
    }
    let sets = scene.calls(&cpe, "SetParameterValues");
    for _ in 0..5 {
        scene.session(&mut cpe, &["1 BOOT"]).await;
    }
    assert_eq!(scene.calls(&cpe, "SetParameterValues"), sets, "not in each session");
    scene.wait(SignedDuration::from_hours(24));
    cpe.refusals.clear();
    assert!(scene.session(&mut cpe, &[]).await);
    assert_eq!(scene.kept().await.held.standing, Standing::Converged);
}

#[tokio::test]
async fn what_is_known_outlives_the_process() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    let calls = cpe.calls.len();
    scene.provisioner.write_behind().await;
    let scene = scene.restart().await;
    let mark = scene.mark();
    assert_eq!((mark.standing, mark.generation), (Standing::Converged, 0));
    assert!(!scene.is_steady(), "the profiles may be others");
    let mut scene = scene;
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.calls.len(), calls, "and it is still as they say");
    assert!(scene.is_steady());
    assert_eq!(scene.events().await.len(), 1, "which is no news");
}

#[tokio::test]
async fn who_asks_is_answered_when_it_has_ended() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    assert!(scene.is_steady());
    let second = std::time::Duration::from_secs(1);
    let asked = scene.provisioner.request_and_wait(&tenant(), &device(), Reason::Ordered, second);
    let (id, ended) = asked.unwrap();
    assert!(!scene.is_steady());
    scene.session(&mut cpe, &[]).await;
    assert!(ended.await);
    let told = scene.told("lastmile.device.provisioned").await;
    assert_eq!(told[1]["requests"][0], *id, "{told:?}");
    assert!(scene.is_steady());
}

#[tokio::test]
async fn an_unknown_device_is_told_of_once_and_what_needs_no_values_is_applied() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    for _ in 0..3 {
        scene.session(&mut cpe, &["2 PERIODIC"]).await;
        scene.wait(SignedDuration::from_mins(10));
    }
    assert_eq!(cpe.value("Device.Time.NTPServer1"), "a.example.net");
    assert_eq!(scene.kept().await.held.standing, Standing::Unknown);
    assert_eq!(scene.events().await, ["lastmile.device.unknown"]);
    scene.know("A1").await;
    scene.session(&mut cpe, &["2 PERIODIC"]).await;
    assert_eq!(scene.kept().await.held.standing, Standing::Converged, "it is asked again");
    assert_eq!(scene.calls(&cpe, "SetParameterValues"), 1);
    assert!(scene.registry.is_claimed(&tenant(), &device()), "being known is the claim");
}

#[tokio::test]
async fn an_unknown_device_is_told_of_whatever_else_holds_it_up() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    scene.hold(true);
    for is_held in [true, false, true, false] {
        scene.hold(is_held);
        cpe.set_by_hand("Device.Time.NTPServer1", "other.example.net");
        scene.session(&mut cpe, &["2 PERIODIC"]).await;
        let standing = if is_held { Standing::Held } else { Standing::Unknown };
        assert_eq!(scene.kept().await.held.standing, standing);
        assert_eq!(scene.events().await[0], "lastmile.device.unknown");
        assert_eq!(scene.told("lastmile.device.unknown").await.len(), 1);
        scene.wait(SignedDuration::from_hours(24 * 8));
    }
    // Told again once the business has known it in between.
    scene.know("A1").await;
    scene.session(&mut cpe, &["2 PERIODIC"]).await;
    scene.hub_forgets("A1");
    scene.wait(SignedDuration::from_hours(48));
    scene.session(&mut cpe, &["2 PERIODIC"]).await;
    assert_eq!(scene.told("lastmile.device.unknown").await.len(), 2);
}

const WIFI: &str = r#"
name = "wifi"
description = "The name of the radio network."
layer = 10
[match]
oui = ["00259E"]
[[parameter]]
path = "Device.WiFi.SSID.1.SSID"
template = "{{ wifi('5GHz').ssid }}"
"#;

const SSID: &str = "Device.WiFi.SSID.1.SSID";

/// A device with a radio network, as the hub says.
async fn with_wifi() -> (Scene, Cpe) {
    let mut scene = Scene::new(&[("wifi.toml", WIFI)]).await;
    let mut cpe = Cpe::new(&[("Device.DeviceInfo.ModelName", "HG8245", false), (SSID, "", true)]);
    let wifi = r#"[{"band":"5GHz","ssid":"Home"}]"#;
    scene.hub_says("A1", &format!(r#"{{"serial":"A1","ttl":86400,"wifi":{wifi}}}"#));
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value(SSID), "Home");
    assert!(scene.is_steady());
    (scene, cpe)
}

#[tokio::test]
async fn a_change_that_comes_while_the_business_is_asked_is_neither_lost_nor_said_to_be_done() {
    let (mut scene, mut cpe) = with_wifi().await;
    scene.provisioner.request(&tenant(), &device(), Reason::Values);
    scene.hub_takes(std::time::Duration::from_millis(200));
    let portal = scene.portal("Portal");
    let portal = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        portal.await
    };
    let (_, (id, mut ended)) = tokio::join!(scene.session(&mut cpe, &[]), portal);
    if cpe.value(SSID) != "Portal" {
        let early = tokio::time::timeout(std::time::Duration::ZERO, &mut ended).await;
        assert!(early.is_err(), "the device still has the old name");
    }
    assert!(!scene.is_steady());
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value(SSID), "Portal");
    assert!(ended.await);
    let told = scene.told("lastmile.device.provisioned").await;
    let of_it = told.iter().filter(|it| it["requests"].to_string().contains(&*id));
    assert_eq!(of_it.count(), 1, "{told:?}");
    assert!(scene.is_steady());
}

#[tokio::test]
async fn a_change_that_comes_while_the_device_is_written_to_is_told_when_it_has_it() {
    let (mut scene, mut cpe) = with_wifi().await;
    let _first = scene.portal("First").await;
    let (asked, answer) = tokio::sync::oneshot::channel();
    let portal = scene.portal("Second");
    scene.before_writing = Some(Box::pin(async move {
        let _ = asked.send(portal.await);
    }));
    scene.session(&mut cpe, &[]).await;
    let (id, mut ended) = answer.await.unwrap();
    assert_eq!(cpe.value(SSID), "First");
    let early = tokio::time::timeout(std::time::Duration::ZERO, &mut ended).await;
    assert!(early.is_err(), "that was the end of the first");
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value(SSID), "Second");
    assert!(ended.await);
    let told = scene.told("lastmile.device.provisioned").await;
    assert_eq!(told.len(), 3);
    assert_eq!(told[2]["requests"], serde_json::json!([id]));
    assert!(!told[1].to_string().contains(&*id));
}

#[tokio::test]
async fn a_request_outlives_a_session_that_is_lost() {
    let (mut scene, mut cpe) = with_wifi().await;
    let (id, ended) = scene.portal("Portal").await;
    cpe.refuse(SSID, Fault::Silence);
    assert!(!scene.session(&mut cpe, &[]).await);
    cpe.refusals.clear();
    scene.wait(SignedDuration::from_hours(1));
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value(SSID), "Portal");
    assert!(ended.await);
    let told = scene.told("lastmile.device.provisioned").await;
    assert_eq!(told[1]["requests"], serde_json::json!([id]));
}

#[tokio::test]
async fn what_somebody_changes_is_set_back_and_told() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    cpe.set_by_hand("Device.Time.NTPServer1", "evil.example.net");
    scene.wait(SignedDuration::from_hours(24 * 8));
    assert!(!scene.is_steady(), "it is to be read again");
    scene.session(&mut cpe, &[]).await;
    assert_eq!(cpe.value("Device.Time.NTPServer1"), "a.example.net");
    let drifted = scene.told("lastmile.device.drifted").await;
    let expected = serde_json::json!([{
        "paths": ["Device.Time.NTPServer1"],
        "action": "mended",
    }]);
    assert_eq!(serde_json::Value::Array(drifted), expected);
    let told = scene.told("lastmile.device.provisioned").await;
    assert_eq!((told.len(), &told[1]["reason"]), (2, &"drift".into()));
    let texts = serde_json::to_string(&told).unwrap();
    assert!(!texts.contains("example.net"), "no value is told: {texts}");
}

#[tokio::test]
async fn while_writing_is_on_hold_nothing_is_written_and_afterwards_it_is() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    scene.hold(true);
    for _ in 0..2 {
        scene.session(&mut cpe, &[]).await;
        assert_eq!(scene.kept().await.held.standing, Standing::Held);
        assert_eq!(scene.calls(&cpe, "SetParameterValues"), 0);
    }
    scene.hold(false);
    scene.session(&mut cpe, &[]).await;
    assert_eq!(scene.kept().await.held.standing, Standing::Converged);
    assert_eq!(scene.events().await, ["lastmile.device.provisioned"]);
}

#[tokio::test]
async fn an_event_of_the_profiles_has_all_of_it_read_again() {
    let text = NTP.replace("layer = 10", "layer = 10\nverify_on = [\"1 BOOT\"]");
    let mut scene = Scene::new(&[("ntp.toml", &text)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.bootstrap(&cpe).await;
    scene.session(&mut cpe, &["0 BOOTSTRAP", "1 BOOT"]).await;
    cpe.set_by_hand("Device.Time.NTPServer1", "evil.example.net");
    assert!(scene.is_steady());
    scene.session(&mut cpe, &["4 VALUE CHANGE"]).await;
    assert_eq!(cpe.value("Device.Time.NTPServer1"), "evil.example.net");
    scene.session(&mut cpe, &["1 BOOT"]).await;
    assert_eq!(cpe.value("Device.Time.NTPServer1"), "a.example.net");
}

#[tokio::test]
async fn a_bootstrap_that_was_begun_with_is_gone_on_with() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    cpe.refuse("Device.Time.NTPServer2", Fault::Silence);
    scene.bootstrap(&cpe).await;
    assert!(!scene.session(&mut cpe, &["0 BOOTSTRAP"]).await);
    let kept = scene.kept().await;
    assert_eq!(kept.held.standing, Standing::Pending);
    assert!(kept.from_factory_at.is_some());
    let tries = |kept: &crate::provisioner::Kept| {
        let server = |it: &&provisioning::Refusal| &*it.path == "Device.Time.NTPServer2";
        kept.held.refused.iter().find(server).map(|it| it.tries)
    };
    assert_eq!(tries(&kept), Some(1));
    assert!(!scene.session(&mut cpe, &["1 BOOT"]).await);
    assert_eq!(tries(&scene.kept().await), Some(2), "and not begun anew");
    assert_eq!(scene.activations().await.len(), 0);
    cpe.refusals.clear();
    scene.wait(SignedDuration::from_hours(1));
    assert!(scene.session(&mut cpe, &[]).await);
    assert_eq!(scene.activations().await.len(), 1);
    let told = scene.told("lastmile.device.provisioned").await;
    assert_eq!(told[0]["reason"], "bootstrap");
}

/// A profile and the values of its tenant: what they make together shows whether they are of one set.
fn set_of(name: &str) -> Arc<Loaded> {
    let template = format!("{{{{ tenant.town }}}}.{name}");
    let text = NTP.replace("value = \"a.example.net\"", &format!("template = \"{template}\""));
    let set = Arc::new(ProfileSet::parse([("ntp.toml", &*text)]).unwrap());
    let values = [(tenant(), Arc::new(serde_json::json!({ "town": name })))].into();
    Arc::new(Loaded { set, values, ..Loaded::default() })
}

#[tokio::test]
async fn profiles_and_values_are_of_one_set_though_another_takes_over_meanwhile() {
    let scene = Scene::new(&[]).await;
    scene.know("A1").await;
    scene.discovered(&router()).await;
    let sets = ["north", "south"].map(set_of);
    scene.profiles.settle(Arc::clone(&sets[0]));
    let (profiles, is_over) = (Arc::clone(&scene.profiles), Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let swaps = tokio::task::spawn_blocking(move || {
        let next = sets.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed));
        next.for_each(|set| profiles.settle(Arc::clone(set)));
    });
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        let wanted = scene.wanted().await;
        seen.insert(wanted.parameters[0].value.expose().to_string());
    }
    is_over.store(true, Ordering::Relaxed);
    swaps.await.unwrap();
    let of_one = ["north.north", "south.south"].map(str::to_owned);
    assert!(seen.is_subset(&of_one.into()), "{seen:?}");
}

#[tokio::test]
async fn a_device_that_hangs_up_on_a_change_has_failed_until_it_comes_right() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    assert_eq!(scene.fared(), [], "nothing is on trial");
    scene.try_out(&[("ntp.toml", &NTP.replace("b.example.net", "c.example.net"))]);
    cpe.refuse("Device.Time.NTPServer2", Fault::Silence);
    assert!(!scene.session(&mut cpe, &[]).await, "it hangs up");
    assert_eq!(scene.fared(), [Outcome::Failed]);
    // It is left alone for a while, and holds the rest.
    while !scene.session(&mut cpe, &["1 BOOT"]).await {}
    assert_eq!(scene.kept().await.held.standing, Standing::Partial);
    assert_eq!(scene.fared(), [Outcome::Failed]);
    scene.wait(SignedDuration::from_hours(24));
    cpe.refusals.clear();
    scene.session(&mut cpe, &[]).await;
    assert_eq!(scene.fared(), [Outcome::Converged]);
}

#[tokio::test]
async fn what_a_device_refused_before_says_nothing_of_a_change() {
    let mut scene = Scene::new(&[("ntp.toml", NTP)]).await;
    scene.know("A1").await;
    let mut cpe = router();
    cpe.refuse("Device.Time.NTPServer2", Fault::Named(9007));
    scene.discovered(&cpe).await;
    scene.session(&mut cpe, &[]).await;
    scene.try_out(&[("ntp.toml", &NTP.replace("a.example.net", "c.example.net"))]);
    for _ in 0..2 {
        scene.session(&mut cpe, &[]).await;
        assert_eq!(scene.kept().await.held.standing, Standing::Partial);
        assert_eq!(scene.fared(), [Outcome::Converged]);
        scene.wait(SignedDuration::from_hours(48));
    }
    cpe.refuse("Device.Time.NTPServer1", Fault::Named(9007));
    scene.try_out(&[("ntp.toml", &NTP.replace("a.example.net", "d.example.net"))]);
    for _ in 0..2 {
        scene.session(&mut cpe, &[]).await;
        assert_eq!(scene.fared(), [Outcome::Failed]);
        scene.wait(SignedDuration::from_hours(48));
    }
}
