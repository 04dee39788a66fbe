//! An image on its way to a thousand routers, of which one in twenty fails.

use crate::daemon::{Daemon, until};
use crate::http;
use crate::router::{End, Mishap, Router};
use crate::tree::Model;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::thread;

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("provisioning::a_thousand_get_an_image", a_thousand_get_an_image)]
}

const ROUTERS: usize = 1000;
/// Of so many routers one fails.
const FAILS_EVERY: usize = 20;
/// Routers that call at once.
const AT_ONCE: usize = 8;
const NEW: &str = "2.0.0";
/// Rounds of everyone's sessions after which it must be over.
const ROUNDS_MAX: usize = 40;

struct Fleet {
    daemon: Daemon,
    routers: Vec<Router>,
}

impl Fleet {
    fn new() -> Self {
        let settings = [
            ("cwmp", "auth = \"open\"\ndiscovery = \"off\""),
            ("firmware", "transfers_max = 1000\nparallel_max = 1000"),
        ];
        let daemon = Daemon::start(None, &settings);
        let model = Arc::new(Model::named("small").unwrap());
        let routers = (0..ROUTERS).map(|number| {
            let serial = format!("FLEET{number:04}");
            let router = Router::of(&daemon, Arc::clone(&model), &serial, String::new());
            router.mishap(mishap(number));
            router
        });
        let fleet = Self { routers: routers.collect(), daemon };
        fleet.all(&["0 BOOTSTRAP", "1 BOOT"]);
        fleet
    }

    /// A session of everyone, and what follows from it. How many did not come to its end.
    fn all(&self, events: &[&str]) -> usize {
        self.sessions(&self.routers.iter().collect::<Vec<_>>(), events)
    }

    /// The same of some.
    fn sessions(&self, routers: &[&Router], events: &[&str]) -> usize {
        let share = routers.len().div_ceil(AT_ONCE);
        thread::scope(|scope| {
            let shares = routers.chunks(share).map(|share| {
                scope.spawn(move || share.iter().filter(|it| !is_through(it, events)).count())
            });
            let shares: Vec<_> = shares.collect();
            shares.into_iter().map(|it| it.join().unwrap()).sum()
        })
    }

    fn downloads(&self) -> u32 {
        self.routers.iter().map(Router::downloads).sum()
    }

    fn upload(&self) {
        let bearer = format!("Bearer {}", self.daemon.token());
        let path = format!("/api/v1/images/fleet.bin?model=LS-10&version={NEW}");
        let image = format!("version {NEW}\n{}", "firmware ".repeat(100));
        let headers = [("Authorization", bearer.as_str())];
        let port = self.daemon.ports.operator;
        let answer = http::once(port, "PUT", &path, &headers, image.as_bytes()).unwrap();
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    }
}

/// What goes wrong with a router's image.
fn mishap(number: usize) -> Option<Mishap> {
    const MISHAPS: [Mishap; 3] = [Mishap::Failed(9010), Mishap::Unchanged, Mishap::Refused(9002)];
    (number % FAILS_EVERY == 7).then(|| MISHAPS[number / FAILS_EVERY % MISHAPS.len()])
}

fn is_through(router: &Router, events: &[&str]) -> bool {
    router.try_live(events).iter().all(|it| matches!(it.end, End::Done))
}

fn a_thousand_get_an_image() {
    let mut fleet = Fleet::new();
    fleet.upload();
    let order = json!({
        "image": "fleet.bin", "model": "LS-10", "waves": [1, 10, 50, 100],
        "failure_threshold": 4, "success_threshold": 90, "tries_max": 1,
    });
    let made = fleet.daemon.call("POST", "/api/v1/rollouts", &order);
    let path = format!("/api/v1/rollouts/{}", made["id"].as_str().unwrap());
    assert_eq!(made["devices"], ROUTERS, "{made:#}");
    let (mut pauses, mut is_killed, mut lost) = (0, false, 0);
    for round in 0.. {
        assert!(round < ROUNDS_MAX, "{:#}", fleet.daemon.call("GET", &path, &Value::Null));
        if !is_killed && confirmed(&fleet, &path) > 150 {
            is_killed = true;
            kill_in_the_middle(&mut fleet, &path);
        }
        assert_eq!(fleet.all(&["2 PERIODIC"]), 0);
        let shown = fleet.daemon.call("GET", &path, &Value::Null);
        match shown["state"].as_str().unwrap() {
            "running" if is_killed && waits_for_lost_calls(&shown) => lost += 1,
            "running" => lost = 0,
            "paused" => {
                pauses += 1;
                stands_still(&fleet, &shown);
                fleet.daemon.call("POST", &format!("{path}/resume"), &json!({}));
            }
            "done" => break,
            other => panic!("{other}: {shown:#}"),
        }
        if lost > 3 {
            break;
        }
    }
    assert!(is_killed && pauses > 0, "killed: {is_killed}, paused {pauses} times");
    everyone_tells(&fleet, &path);
}

/// Whether all there is to wait for are routers whose call or whose word of it was on its way when the
/// daemon was killed: it may have come or not, so each is waited for as long as a download and a restart
/// may take (`firmware.download_time`, `firmware.apply_grace`).
fn waits_for_lost_calls(shown: &Value) -> bool {
    let count = |states: [&str; 2]| {
        states.iter().map(|state| shown["counts"][state].as_u64().unwrap()).sum::<u64>()
    };
    let lost = count(["downloading", "applied"]);
    count(["waiting", "offered"]) == 0 && (1..=CUT_OFF_MAX).contains(&lost)
}

fn confirmed(fleet: &Fleet, path: &str) -> u64 {
    let shown = fleet.daemon.call("GET", path, &Value::Null);
    shown["counts"]["confirmed"].as_u64().unwrap()
}

/// Paused because its threshold was reached: nobody is told to download.
fn stands_still(fleet: &Fleet, shown: &Value) {
    let waves = shown["waves"].as_array().unwrap();
    let has_failed = |wave: &Value| {
        let (failed, devices) = (wave["new_failures"].as_u64(), wave["devices"].as_u64());
        failed.zip(devices).is_some_and(|(failed, devices)| failed * 100 >= devices * 4)
    };
    assert!(waves.iter().any(has_failed), "{shown:#}");
    assert!(shown["reason"].as_str().is_some_and(|it| !it.is_empty()), "{shown:#}");
    let before = fleet.downloads();
    assert_eq!(fleet.all(&["2 PERIODIC"]), 0);
    assert_eq!(fleet.downloads(), before, "it stands");
}

/// SIGKILL while they call; it goes on where it was. Those that refuse the call itself stay away: when
/// the refusal is lost nobody can tell it from a download that takes its time, and it is waited for as
/// long as that may take (`firmware.download_time`).
fn kill_in_the_middle(fleet: &mut Fleet, path: &str) {
    let before = confirmed(fleet, path);
    let pid = fleet.daemon.pid();
    let downloads = fleet.downloads();
    let calls = |number: usize| !matches!(mishap(number), Some(Mishap::Refused(_)));
    let all = fleet.routers.iter().enumerate().filter(|(number, _)| calls(*number));
    let calling: Vec<_> = all.map(|(_, router)| router).collect();
    thread::scope(|scope| {
        let calling = scope.spawn(|| fleet.sessions(&calling, &["2 PERIODIC"]));
        let is_under_way = || fleet.downloads() > downloads + 40 || calling.is_finished();
        assert!(until(http::PATIENCE, is_under_way));
        let kill = format!("kill -9 {pid}");
        assert!(Command::new("/bin/sh").arg("-c").arg(kill).status().unwrap().success());
    });
    fleet.daemon.kill();
    fleet.daemon.start_again();
    let shown = fleet.daemon.call("GET", path, &Value::Null);
    assert!(shown["counts"]["confirmed"].as_u64().unwrap() >= before, "{shown:#}");
}

/// Each device says what happened to it, and nobody that took the image was given it twice.
fn everyone_tells(fleet: &Fleet, path: &str) {
    let mut states = BTreeMap::new();
    let mut next = String::new();
    loop {
        let page = format!("{path}/devices?limit=1000{next}");
        let page = fleet.daemon.call("GET", &page, &Value::Null);
        for it in page["items"].as_array().unwrap() {
            let device = it["device"].as_str().unwrap().to_owned();
            states.insert(device, it.clone());
        }
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(states.len(), ROUTERS);
    let mut cut_off = 0;
    for (number, router) in fleet.routers.iter().enumerate() {
        let state = &states[&router.id()];
        let runs = router.value_below_root("DeviceInfo.SoftwareVersion");
        let is_lost = match state["state"].as_str().unwrap() {
            "downloading" => router.downloads() == 0,
            "applied" => matches!(mishap(number), Some(Mishap::Unchanged)),
            _ => false,
        };
        if mishap(number).is_some() && !is_lost {
            assert_eq!(state["state"], "failed", "{number}: {state}");
            assert!(state["cause"].as_str().is_some_and(|it| !it.is_empty()), "{state}");
            assert_ne!(runs, NEW);
        } else if state["cause"].as_str().is_some_and(|it| it.contains("9015")) {
            // The kill met it while it fetched the image, and it said so: it has no second try.
            assert_eq!(state["state"], "failed", "{number}: {state}");
            assert_ne!(runs, NEW);
            cut_off += 1;
        } else if is_lost {
            assert_ne!(runs, NEW);
            cut_off += 1;
        } else {
            assert_eq!(state["state"], "confirmed", "{number}: {state}");
            assert_eq!((runs.as_str(), router.downloads()), (NEW, 1), "{number}: {state}");
        }
        assert!(router.downloads() <= 1, "{number}: told {} times", router.downloads());
        if number % 50 == 7 {
            let steps =
                fleet.daemon.call("GET", &format!("{}/firmware", router.path()), &Value::Null);
            let stages: Vec<_> =
                steps["items"].as_array().unwrap().iter().map(|it| it["state"].clone()).collect();
            assert!(stages.contains(&state["state"]), "{steps:#}");
            assert!(stages.contains(&json!("offered")), "{steps:#}");
        }
    }
    assert!(cut_off <= CUT_OFF_MAX, "{cut_off} were cut off by one kill");
}
/// Most routers that can be fetching at once, which is as many as one kill can cut off: those that
/// call together.
const CUT_OFF_MAX: u64 = 32;
