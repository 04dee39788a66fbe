//! What a router refuses, and where it falls silent or loses its power: the rest is applied, it
//! converges afterwards without anyone's hand, and it is never asked for ever.

use super::{Scene, UNPACKED, assert_holds, document, passphrase};
use crate::router::{End, Router, Trick};
use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use serde_json::json;
use std::time::Duration;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::a_refused_part_leaves_the_rest", a_refused_part),
        crate::trial("provisioning::several_refuse_at_once", several_refuse_at_once),
        crate::trial("provisioning::a_refusal_without_culprit_is_found", without_culprit),
        crate::trial("provisioning::a_call_that_fails_once_is_made_again", fails_once),
        crate::trial("provisioning::silence_and_cuts_are_made_good", silence_and_cuts),
        crate::trial("provisioning::what_never_holds_ends_with_a_reason", what_never_holds),
        crate::trial("provisioning::no_host_is_not_sent", no_host_is_not_sent),
        crate::trial("provisioning::a_changed_wish_is_tried_at_once", a_changed_wish),
    ]
}

const SSID: &str = "Device.WiFi.SSID.1.SSID";
const KEY: &str = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase";
const NTP1: &str = "Device.Time.NTPServer1";
const NTP2: &str = "Device.Time.NTPServer2";
const UPNP: &str = "Device.NAT.X_TP_UPnPCfg.Enable";
const DSCP: &str = "Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.DSCPMark";

/// A profile of six parameters of an XX230v.
pub(super) const SIX: &str = r#"
name = "tplink-xx230v"
description = "Six parameters, for tests."
layer = 50

[match]
oui = ["1C61B4"]
model = ["XX230v"]

[[parameter]]
path = "Device.WiFi.SSID.1.SSID"
template = "{{ wifi('2.4GHz').ssid }}"

[[parameter]]
path = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase"
template = "{{ wifi('2.4GHz').passphrase }}"

[[parameter]]
path = "Device.Time.NTPServer1"
template = "{{ equipment.ntp[0] }}"
type = "host"

[[parameter]]
path = "Device.Time.NTPServer2"
template = "{{ equipment.ntp[1] }}"
type = "host_or_empty"

[[parameter]]
path = "Device.NAT.X_TP_UPnPCfg.Enable"
value = false

[[parameter]]
path = "Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.DSCPMark"
template = "{{ equipment.dscp.sip }}"
"#;

fn scene() -> Scene {
    Scene::with(&[("tplink-xx230v", SIX)], &[])
}

/// What the six hold for a serial, without those of `but`.
fn six(serial: &str, but: &[&str]) -> Vec<(String, String)> {
    let all = [
        (SSID, format!("Home-{serial}")),
        (KEY, passphrase(serial)),
        (NTP1, "ntp1.example.net".to_owned()),
        (NTP2, "ntp2.example.net".to_owned()),
        (UPNP, "0".to_owned()),
        (DSCP, "26".to_owned()),
    ];
    let kept = all.into_iter().filter(|(path, _)| !but.contains(path));
    kept.map(|(path, value)| (path.to_owned(), value)).collect()
}

/// Each code with which a router may refuse one parameter (TR-069 A.5.1).
fn a_refused_part() {
    let scene = scene();
    for code in [9001, 9002, 9003, 9005, 9007, 9008] {
        let serial = format!("PART{code}");
        let router = scene.router("tplink-xx230v", &serial);
        router.refuse(NTP2, Some(code));
        let visits = router.live(&UNPACKED);
        assert_holds(&router, &six(&serial, &[NTP2]));
        assert_eq!(router.value(NTP2), "", "{code}");
        let shown = router.provisioning(&scene.daemon);
        assert_eq!(shown["state"], "partial", "{code}: {shown:#}");
        assert_eq!(scene.refused(&router), [(NTP2.to_owned(), words(code))], "{shown:#}");
        // What may pass is tried again after a minute, the rest after ten, give or take a quarter.
        let at: Timestamp = shown["refused"][0]["retry_at"].as_str().unwrap().parse().unwrap();
        let pause = at.duration_since(Timestamp::now());
        let first = SignedDuration::from_mins(if code == 9002 { 1 } else { 10 });
        let (least, most) = (first * 3 / 4, first * 5 / 4);
        assert!(least < pause && pause < most, "{code}: {pause}");
        let tries: usize = visits.iter().map(|it| of(&it.told(), NTP2)).sum();
        assert!((1..=2).contains(&tries), "{code}: told {tries} times");
        // It is activated all the same, and what it refused is told.
        let told = scene.hub.wait_activated(&serial, 1);
        assert_eq!(told[0]["refused"][0]["path"], NTP2, "{told:?}");
        for _ in 0..2 {
            let again = router.periodic();
            assert_eq!(again.posts, 2, "{code}: {:?}", again.calls());
        }
        assert_eq!(scene.hub.activated(&serial).len(), 1);
    }
}

/// What an operator reads of a code.
fn words(code: u16) -> String {
    cwmp::fault_words(code).to_owned()
}

fn of(told: &[(String, String)], path: &str) -> usize {
    told.iter().filter(|(it, _)| it == path).count()
}

fn several_refuse_at_once() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "SEVERAL1");
    let refused = [(SSID, 9007), (NTP1, 9005), (UPNP, 9008)];
    for (path, code) in refused {
        router.refuse(path, Some(code));
    }
    router.live(&UNPACKED);
    assert_holds(&router, &six("SEVERAL1", &[SSID, NTP1, UPNP]));
    let mut listed = scene.refused(&router);
    listed.sort();
    let mut expected: Vec<_> =
        refused.iter().map(|(path, code)| ((*path).to_owned(), words(*code))).collect();
    expected.sort();
    assert_eq!(listed, expected);
}

/// A router that refuses a whole call names nobody: each is tried alone, and the culprit is found.
fn without_culprit() {
    let scene = scene();
    for code in [9002, 9003, 9004, 9007] {
        let serial = format!("ALONE{code}");
        let router = scene.router("tplink-xx230v", &serial);
        router.refuse(NTP1, Some(code));
        router.names_no_culprit();
        router.live(&UNPACKED);
        assert_holds(&router, &six(&serial, &[NTP1]));
        let refused = scene.refused(&router);
        assert_eq!(refused.len(), 1, "{code}: {refused:?}");
        assert_eq!(refused[0].0, NTP1);
        let again = router.periodic();
        assert_eq!(again.posts, 2, "{:?}", again.calls());
    }
}

/// A fault that passes: it is as wanted at the end of the session, or of the next.
fn fails_once() {
    let scene = scene();
    for code in [9000, 9001, 9002, 9003, 9004] {
        for call in ["SetParameterValues", "GetParameterValues"] {
            let serial = format!("ONCE{code}{}", &call[..1]);
            let router = scene.router("tplink-xx230v", &serial);
            // The base profile comes first; what is played is for the whole session.
            router.play(call, Trick::Fault(code));
            router.live(&UNPACKED);
            assert!(!router.has_tricks(), "{call} was not called");
            settle(&router, &serial);
            scene.assert_converged(&router);
            assert_eq!(scene.hub.wait_activated(&serial, 1).len(), 1, "{call} {code}");
        }
    }
}

/// Comes by itself until it holds what it should, a few times at most.
fn settle(router: &Router, serial: &str) {
    for _ in 0..3 {
        let held = router.values();
        let is_held = |(path, value): &(String, String)| {
            held.get(path).is_some_and(|held| held == value || (value == "0" && held == "false"))
        };
        if six(serial, &[]).iter().all(is_held) {
            break;
        }
        router.live(&["2 PERIODIC"]);
    }
    assert_holds(router, &six(serial, &[]));
}

fn silence_and_cuts() {
    let scene = scene();
    let tricks = [
        Trick::Silence,
        Trick::CutBefore,
        Trick::CutAfter,
        Trick::Slow(Duration::from_millis(300)),
    ];
    for (number, trick) in tricks.into_iter().enumerate() {
        // The first call of the kind is the base profile's; the second is of the profile.
        for nth in [1, 2] {
            let serial = format!("CUT{number}{nth}");
            let router = scene.router("tplink-xx230v", &serial);
            router.play_nth("SetParameterValues", nth, trick);
            let first = router.visit(&UNPACKED);
            if matches!(trick, Trick::Slow(_)) {
                first.assert_ended();
            } else {
                assert!(matches!(first.end, End::Tricked(_)), "{first:#?}");
                // Power is back.
                let back = router.live(&["1 BOOT"]);
                assert!(back.len() < 3, "{back:#?}");
            }
            settle(&router, &serial);
            scene.assert_converged(&router);
            assert_eq!(router.periodic().posts, 2, "{serial}");
            let told = scene.hub.wait_activated(&serial, 1);
            assert_eq!((told.len(), &told[0]["refused"]), (1, &json!([])), "{serial}");
        }
    }
}

/// A router that takes what it is told and holds something else.
fn what_never_holds() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "STUBBORN");
    router.ignore(NTP1);
    let visits = router.live(&UNPACKED);
    let told: usize = visits.iter().map(|it| of(&it.told(), NTP1)).sum();
    assert!((1..=6).contains(&told), "told {told} times");
    assert_holds(&router, &six("STUBBORN", &[NTP1]));
    let shown = router.provisioning(&scene.daemon);
    assert!(shown["state"] == "stuck" || shown["state"] == "partial", "{shown:#}");
    assert!(shown.to_string().contains(NTP1), "{shown:#}");
    let again = router.periodic();
    assert_eq!(again.posts, 2, "left alone: {:?}", again.calls());
}

/// What is no host is not sent, and is said; the rest is applied.
fn no_host_is_not_sent() {
    let own = SIX.replace("{{ equipment.ntp[0] }}", "{{ equipment.clock }}");
    let scene = Scene::with(&[("tplink-xx230v", &own)], &[]);
    let router = Router::new(&scene.daemon, "tplink-xx230v", "NOHOST01");
    let mut wrong = document("NOHOST01");
    wrong["clock"] = json!("not a host!");
    scene.hub.knows("NOHOST01", wrong);
    let visits = router.live(&UNPACKED);
    assert!(visits.iter().all(|it| of(&it.told(), NTP1) == 0), "{visits:#?}");
    assert_holds(&router, &six("NOHOST01", &[NTP1]));
    let shown = router.provisioning(&scene.daemon);
    assert_ne!(shown["state"], "converged", "{shown:#}");
    assert!(!shown.to_string().contains("not a host"), "no value in it: {shown:#}");
}

/// What was refused is tried at once when something else is wanted, or by an operator's order.
fn a_changed_wish() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "WISH0001");
    router.refuse(NTP1, Some(9007));
    router.live(&UNPACKED);
    assert_eq!(scene.refused(&router).len(), 1);
    router.refuse(NTP1, None);
    assert_eq!(router.periodic().posts, 2, "its time has not come");
    let other = SIX.replace("{{ equipment.ntp[0] }}", "time.example.org");
    scene.load("tplink-xx230v", &other);
    router.live(&["2 PERIODIC"]);
    assert_eq!(router.value(NTP1), "time.example.org");
    scene.assert_converged(&router);

    let router = scene.router("tplink-xx230v", "WISH0002");
    router.refuse(NTP1, Some(9007));
    router.live(&UNPACKED);
    router.refuse(NTP1, None);
    let ordered = format!("{}/provision", router.path());
    scene.daemon.call("POST", &ordered, &json!({}));
    router.live(&["2 PERIODIC"]);
    assert_eq!(router.value(NTP1), "time.example.org");
    scene.assert_converged(&router);
}
