//! A changed profile goes to a few first, and to many only when a second person agrees.

use super::{Scene, UNPACKED, refusals::SIX};
use crate::daemon::until;
use crate::http::PATIENCE;
use crate::router::Router;
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("provisioning::a_change_goes_to_a_few_first", a_few_first),
        crate::trial("provisioning::a_trial_that_fails_stays_with_its_few", failing_trial),
        crate::trial("provisioning::many_changes_need_a_second_person", a_second_person),
    ]
}

const NTP1: &str = "Device.Time.NTPServer1";
const OTHER: &str = "time.example.org";

/// The six with another time server.
fn other() -> String {
    SIX.replace("{{ equipment.ntp[0] }}", OTHER)
}

fn fleet(scene: &Scene, prefix: &str, count: usize) -> Vec<Router> {
    let routers = (0..count).map(|number| {
        let router = scene.router("tplink-xx230v", &format!("{prefix}{number:04}"));
        router.live(&UNPACKED);
        router
    });
    routers.collect()
}

/// A session of each; how many hold the other time server then.
fn changed(routers: &[Router]) -> usize {
    let holds = |router: &&Router| {
        router.live(&["2 PERIODIC"]);
        router.value(NTP1) == OTHER
    };
    routers.iter().filter(holds).count()
}

fn trial(scene: &Scene) -> Value {
    scene.daemon.call("GET", "/api/v1/profiles", &Value::Null)["trial"].clone()
}

fn few() -> Scene {
    let settings =
        [("provisioning", "canary_share = 10\ncanary_wait = \"1h\"\ncanary_failures = 50")];
    Scene::with(&[("tplink-xx230v", SIX)], &settings)
}

fn a_few_first() {
    let scene = few();
    let routers = fleet(&scene, "FEW", 20);
    let taken = scene.load("tplink-xx230v", &other());
    assert_eq!((&taken["touched"], &taken["canaries"]), (&json!(20), &json!(2)), "{taken:#}");
    assert_eq!(changed(&routers), 2, "{taken:#}");
    assert_eq!(changed(&routers), 2, "and no more");
    let counted = || trial(&scene)["converged"] == 2;
    assert!(until(PATIENCE, counted), "{:#}", trial(&scene));
    scene.daemon.call("POST", "/api/v1/profiles/promote", &json!({}));
    assert_eq!(changed(&routers), 20);
    assert_eq!(trial(&scene), Value::Null);
    for router in &routers {
        assert_eq!(router.periodic().posts, 2);
    }
}

fn failing_trial() {
    let scene = few();
    let routers = fleet(&scene, "BAD", 20);
    for router in &routers {
        router.refuse(NTP1, Some(9007));
    }
    scene.load("tplink-xx230v", &other());
    assert_eq!(changed(&routers), 0);
    assert!(until(PATIENCE, || trial(&scene)["state"] == "halted"), "{:#}", trial(&scene));
    for router in &routers {
        router.refuse(NTP1, None);
    }
    assert!(changed(&routers) <= 2, "nobody new is brought to it");
    scene.daemon.call("POST", "/api/v1/profiles/rollback", &json!({}));
    assert_eq!(changed(&routers), 0, "what it was");
    for router in &routers {
        assert_eq!(router.value(NTP1), "ntp1.example.net");
        assert_eq!(router.periodic().posts, 2);
    }
}

fn a_second_person() {
    let settings = [("provisioning", "changes_per_hour_max = 5")];
    let scene = Scene::with(&[("tplink-xx230v", SIX)], &settings);
    // Those that come from the factory are not counted.
    let routers = fleet(&scene, "MANY", 12);
    for router in &routers {
        scene.assert_converged(router);
    }
    let token = |maker: Option<&str>, name: &str| {
        let made = json!({"name": name, "role": "admin"});
        let answer = match maker {
            Some(maker) => scene.daemon.api_as(maker, "POST", "/api/v1/tokens", &made),
            None => scene.daemon.api("POST", "/api/v1/tokens", &made),
        };
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let (ada, bob) = (token(None, "ada"), token(None, "bob"));
    scene.write("tplink-xx230v", &other());
    scene.daemon.api_as(&ada, "POST", "/api/v1/profiles/reload", &json!({}));
    assert_eq!(changed(&routers), 5);
    assert_eq!(changed(&routers), 5);
    let waits = routers.iter().find(|it| it.value(NTP1) != OTHER).unwrap();
    assert_eq!(waits.provisioning(&scene.daemon)["state"], "awaiting_approval");
    let approvals = scene.daemon.call("GET", "/api/v1/approvals", &Value::Null);
    let approval = &approvals["items"][0];
    assert_eq!(
        (&approval["state"], &approval["limit"]),
        (&json!("pending"), &json!(5)),
        "{approvals:#}"
    );
    let path = format!("/api/v1/approvals/{}", approval["id"].as_str().unwrap());
    assert_eq!(approval["changed_by"], "ada");
    // Nor by a token of another name that she made, nor by the one that made hers.
    let second = token(Some(&ada), "second");
    let first = scene.daemon.token();
    for own in [&ada, &second, &first] {
        let own = scene.daemon.api_as(own, "POST", &path, &json!({}));
        assert!((400..500).contains(&own.status), "who made the change agrees: {}", own.text());
    }
    assert_eq!(changed(&routers), 5);
    let agreed = scene.daemon.api_as(&bob, "POST", &path, &json!({}));
    assert_eq!(agreed.status, 200, "{}", agreed.text());
    assert_eq!(changed(&routers), 12);
}
