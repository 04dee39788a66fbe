//! Every make that a profile is shipped for, and one that nobody knows.

use super::{MAKES, Scene, UNPACKED, assert_holds, document, passphrase, sip_password};
use crate::router::Router;
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::six_devices_become_what_they_should_be", six_devices),
        crate::trial("provisioning::product_class_is_no_model", product_class_is_no_model),
        crate::trial("provisioning::a_crash_activates_nobody_again", a_crash_activates_nobody),
        crate::trial("provisioning::known_before_it_is_met", known_before_it_is_met),
    ]
}

/// What a make holds when it is as its profile and its document say.
fn expected(make: &str, serial: &str) -> Vec<(String, String)> {
    let (ssid, key) = (format!("Home-{serial}"), passphrase(serial));
    let mut expected = Vec::new();
    let mut holds = |path: &str, value: &str| expected.push((path.to_owned(), value.to_owned()));
    if make == "raisecom-ht803g-w" {
        const ROOT: &str = "InternetGatewayDevice";
        holds(&format!("{ROOT}.Time.NTPServer1"), "ntp1.example.net");
        holds(&format!("{ROOT}.Time.NTPServer2"), "ntp2.example.net");
        holds(&format!("{ROOT}.UPnP.Device.Enable"), "0");
        let wan = format!("{ROOT}.WANDevice.1.WANConnectionDevice.1");
        holds(&format!("{wan}.WANIPConnection.1.ConnectionType"), "IP_Bridged");
        voice(&format!("{ROOT}.Services.VoiceService.1.VoiceProfile.1"), serial, &mut holds);
        return expected;
    }
    for (instance, ssid, key) in
        [(1, ssid.clone(), key.clone()), (3, format!("{ssid}-5G"), format!("{key}5"))]
    {
        holds(&format!("Device.WiFi.SSID.{instance}.SSID"), &ssid);
        holds(&format!("Device.WiFi.AccessPoint.{instance}.Security.KeyPassphrase"), &key);
    }
    holds("Device.WiFi.SSID.2.SSID", "TP-Link_Guest_0001");
    if make != "tplink-deco" {
        voice("Device.X_TP_Services.VoiceService.1.VoiceProfile.1", serial, &mut holds);
    }
    expected
}

fn voice(profile: &str, serial: &str, holds: &mut impl FnMut(&str, &str)) {
    let uri = format!("sip:{serial}@voice.example.net");
    let (user, password) = (format!("user-{serial}"), sip_password(serial));
    for (path, value) in [
        ("DigitMap", "911|1xxxxxxxxxx|[2-9]xxxxxxxxx"),
        ("DTMFMethod", "InBand"),
        ("SIP.ProxyServer", "proxy.example.net"),
        ("SIP.ProxyServerPort", "5070"),
        ("SIP.ProxyServerTransport", "TCP"),
        ("SIP.RegistrarServer", "registrar.example.net"),
        ("SIP.RegistrarServerPort", "5070"),
        ("SIP.RegistrarServerTransport", "TCP"),
        ("SIP.OutboundProxy", "edge.example.net"),
        ("SIP.DSCPMark", "26"),
        ("RTP.DSCPMark", "34"),
        ("Line.1.Enable", "Enabled"),
        ("Line.1.DirectoryNumber", "+14505550100"),
        ("Line.1.SIP.URI", &uri),
        ("Line.1.SIP.AuthUserName", &user),
        ("Line.1.SIP.AuthPassword", &password),
    ] {
        holds(&format!("{profile}.{path}"), value);
    }
}

/// The document of a make: a Raisecom bridges.
fn of_make(make: &str, serial: &str) -> Value {
    let mut document = document(serial);
    if make == "raisecom-ht803g-w" {
        document["bridge"] = json!({"enable": true});
    }
    document
}

fn six_devices() {
    let scene = Scene::start();
    let routers = MAKES.iter().zip(1..).map(|(make, number)| {
        let serial = format!("SIX{number:05}");
        (*make, Router::new(&scene.daemon, make, &serial))
    });
    let routers: Vec<_> = routers.collect();
    for (make, router) in &routers {
        scene.hub.knows(router.serial(), of_make(make, router.serial()));
        router.live(&UNPACKED);
        assert_holds(router, &expected(make, router.serial()));
        scene.assert_converged(router);
        let again = router.periodic();
        assert_eq!(again.posts, 2, "{make}: {:?}", again.calls());
    }
    let stranger = Router::new(&scene.daemon, "ont", "SIX00006");
    let before = stranger.values();
    stranger.live(&UNPACKED);
    scene.backend.wait_for("lastmile.device.unknown", &stranger.id());
    let foreign = |path: &&String| !path.contains("ManagementServer.");
    let changed: Vec<_> =
        stranger.values().into_iter().filter(|it| before.get(&it.0) != Some(&it.1)).collect();
    assert!(!changed.iter().any(|(path, _)| foreign(&path)), "{changed:?}");
    assert_eq!(stranger.periodic().posts, 2);

    for (make, router) in &routers {
        let told = scene.hub.wait_activated(router.serial(), 1);
        assert_eq!(told[0]["reason"], "bootstrap", "{make}");
        assert_eq!(told[0]["device"], router.id(), "{make}");
        assert_eq!(told[0]["refused"], json!([]), "{make}");
        scene.backend.wait_for("lastmile.device.provisioned", &router.id());
        router.factory_reset();
        assert_holds(router, &expected(make, router.serial()));
        assert_eq!(router.periodic().posts, 2, "{make}");
    }
    stranger.factory_reset();
    for (make, router) in &routers {
        let told = scene.hub.wait_activated(router.serial(), 2);
        assert_eq!((told.len(), &told[1]["reason"]), (2, &json!("bootstrap")), "{make}");
        assert_eq!(scene.events("lastmile.device.unknown", router), 0, "{make}");
        assert_eq!(router.downloads(), 0, "{make}");
    }
    assert_eq!(scene.hub.activated(stranger.serial()), Vec::<Value>::new());
    scene.hub.assert_no_faults();
    scene.backend.assert_no_faults();
}

/// One product class, two products: each has the profile of its model.
fn product_class_is_no_model() {
    let scene = Scene::start();
    let profiles: Vec<_> = ["tplink-xx230v", "tplink-deco"]
        .into_iter()
        .map(|make| {
            let router = scene.router(make, &format!("CLASS{}", make.len()));
            router.live(&UNPACKED);
            assert!(router.id().starts_with("cwmp:") && router.id().contains("-Device2-"));
            router.provisioning(&scene.daemon)["profile"].clone()
        })
        .collect();
    assert_eq!(profiles, ["tplink-xx230v", "tplink-deco"]);
}

/// Neither a kill nor a second session makes a second activation of one bootstrap.
fn a_crash_activates_nobody() {
    let mut scene = Scene::start();
    let router = scene.router("tplink-deco", "CRASH001");
    router.live(&UNPACKED);
    scene.hub.wait_activated("CRASH001", 1);
    scene.daemon.kill();
    scene.daemon.start_again();
    assert_eq!(router.periodic().posts, 2, "what it holds is known after a crash");
    router.live(&["1 BOOT"]);
    scene.assert_converged(&router);
    assert_eq!(scene.hub.activated("CRASH001").len(), 1);
}

/// A technician scanned its MAC; its serial is known to nobody.
fn known_before_it_is_met() {
    let scene = Scene::start();
    let router = Router::new(&scene.daemon, "tplink-deco", "NOBODYS1");
    let mac = router.mac().replace(':', "");
    let mut document = document("NOBODYS1");
    document["serial"] = json!(mac);
    scene.hub.knows(&mac, document);
    router.live(&UNPACKED);
    assert_holds(&router, &expected("tplink-deco", "NOBODYS1"));
    let told = scene.hub.wait_activated(&mac, 1);
    assert_eq!(told[0]["device"], router.id());
    assert_eq!(router.periodic().posts, 2);
    assert_eq!(scene.events("lastmile.device.unknown", &router), 0);
}
