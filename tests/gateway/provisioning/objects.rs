//! Objects that must be there, and that must not: found by their keys, made once, whatever happens.

use super::{Scene, UNPACKED};
use crate::router::{End, Router, Trick};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::an_object_is_made_once_and_removed", made_once_and_removed),
        crate::trial("provisioning::what_is_there_by_its_keys_is_not_made", found_by_its_keys),
        crate::trial("provisioning::an_object_is_made_once_over_a_kill", made_once_over_a_kill),
        crate::trial("provisioning::a_table_that_is_full_is_left_alone", a_full_table),
    ]
}

const VLANS: &str = "Device.Ethernet.VLANTermination.";
const MAPPINGS: &str = "Device.NAT.PortMapping.";

/// A VLAN for voice, and no mapping of a certain name.
const OBJECTS: &str = r#"
name = "tplink-xx230v"
description = "An object that must be there and one that must not, for tests."
layer = 50

[match]
oui = ["1C61B4"]
model = ["XX230v"]

[[parameter]]
path = "Device.NAT.X_TP_UPnPCfg.Enable"
value = false

[[object]]
table = "Device.Ethernet.VLANTermination."
key = { Alias = "voip" }
ensure = "present"
set = { Enable = true, VLANID = 35, X_TP_VLANPriority = "5" }

[[object]]
table = "Device.NAT.PortMapping."
key = { Description = "rogue" }
ensure = "absent"
"#;

fn scene() -> Scene {
    Scene::with(&[("tplink-xx230v", OBJECTS)], &[])
}

/// The one VLAN of that name, as it should be.
fn assert_voip(router: &Router) -> String {
    let named = |it: &String| router.value(&format!("{it}Alias")) == "voip";
    let voip: Vec<_> = router.instances(VLANS).into_iter().filter(named).collect();
    assert_eq!(voip.len(), 1, "{voip:?}");
    let held = |name: &str| router.value(&format!("{}{name}", voip[0]));
    assert!(["1", "true"].contains(&&*held("Enable")));
    assert_eq!((held("VLANID"), held("X_TP_VLANPriority")), ("35".to_owned(), "5".to_owned()));
    voip[0].clone()
}

fn made_once_and_removed() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "OBJECT01");
    let (rogue, own) = (router.make(MAPPINGS), router.make(MAPPINGS));
    router.change(&format!("{rogue}Description"), "rogue");
    router.change(&format!("{own}Description"), "the owner's game");
    router.live(&UNPACKED);
    assert_voip(&router);
    assert_eq!(router.instances(MAPPINGS), [own], "what nobody spoke of stays");
    assert_eq!(router.instances(VLANS).len(), 2);
    scene.assert_converged(&router);
    assert_eq!(router.periodic().posts, 2);
    router.live(&["1 BOOT"]);
    assert_eq!(router.instances(VLANS).len(), 2, "found again, not made again");
    // No longer wanted to be there.
    scene.load(
        "tplink-xx230v",
        &OBJECTS.replace("ensure = \"present\"\nset", "ensure = \"absent\"\n# set"),
    );
    router.live(&["2 PERIODIC"]);
    assert_eq!(router.instances(VLANS).len(), 1);
    scene.assert_converged(&router);
    scene.load("tplink-xx230v", OBJECTS);
    router.factory_reset();
    assert_voip(&router);
    assert_eq!(router.periodic().posts, 2);
}

fn found_by_its_keys() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "OBJECT02");
    let there = router.make(VLANS);
    router.change(&format!("{there}Alias"), "voip");
    router.change(&format!("{there}VLANID"), "7");
    let visits = router.live(&UNPACKED);
    assert_eq!(assert_voip(&router), there);
    assert!(visits.iter().all(|it| it.asks("AddObject") == 0), "{visits:#?}");
}

/// Made, and nobody heard of it: the gateway dies, or the router does, before AddObject is answered.
fn made_once_over_a_kill() {
    let mut scene = scene();
    for (number, trick) in [Trick::SilenceAfter, Trick::CutAfter, Trick::Silence, Trick::CutBefore]
        .into_iter()
        .enumerate()
    {
        for is_killed in [true, false] {
            let router = scene.router("tplink-xx230v", &format!("OBJKILL{number}{is_killed}"));
            router.play("AddObject", trick);
            let first = router.visit(&UNPACKED);
            assert!(matches!(first.end, End::Tricked(_)), "{first:#?}");
            if is_killed {
                scene.daemon.kill();
                scene.daemon.start_again();
            }
            router.live(&["1 BOOT"]);
            for _ in 0..2 {
                router.live(&["2 PERIODIC"]);
            }
            let history = router.history();
            let calls: Vec<_> = history.iter().map(|it| (it.calls(), &it.faults)).collect();
            assert_eq!(router.instances(VLANS).len(), 2, "{trick:?} {is_killed} {calls:#?}");
            assert_voip(&router);
            scene.assert_converged(&router);
            assert_eq!(router.periodic().posts, 2);
        }
    }
}

/// A router that makes no more objects (9004): the rest is applied, and it is not asked for ever.
fn a_full_table() {
    let scene = scene();
    let router = scene.router("tplink-xx230v", "OBJECT03");
    router.refuse(VLANS, Some(9004));
    let visits = router.live(&UNPACKED);
    let asked: usize = visits.iter().map(|it| it.asks("AddObject")).sum();
    assert!((1..=2).contains(&asked), "{asked}");
    let upnp = router.value("Device.NAT.X_TP_UPnPCfg.Enable");
    assert!(["0", "false"].contains(&&*upnp), "{upnp}");
    let refused = scene.refused(&router);
    assert!(refused.len() == 1 && refused[0].0.starts_with(VLANS), "{refused:?}");
    assert_eq!(router.periodic().posts, 2);
    let told = scene.hub.wait_activated("OBJECT03", 1);
    assert_eq!(told[0]["refused"].as_array().map(Vec::len), Some(1), "{told:?}");
}
