//! A backend that refuses: everything for a while, or one event for ever.

use crate::backend::{Backend, Mood, is_poison};
use crate::board::Board;
use crate::daemon::Daemon;
use crate::http::PATIENCE;
use crate::ledger::assert_in_order;
use crate::load::Load;
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial(
            "refusals::a_refusing_backend_gets_all_later",
            a_refusing_backend_gets_all_later,
        ),
        crate::trial(
            "refusals::poison_is_parked_with_what_follows",
            poison_is_parked_with_what_follows,
        ),
    ]
}

fn a_refusing_backend_gets_all_later() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let load = Load::start(&daemon);
    for mood in [
        Mood::Refuses(503),
        Mood::Accepts,
        Mood::Refuses(429),
        Mood::HangsUp,
        Mood::Refuses(500),
        Mood::HangsUpLate,
        Mood::Refuses(408),
    ] {
        backend.be(mood);
        load.wait_for_more(10);
    }
    let ledger = load.stop();
    backend.be(Mood::Accepts);
    ledger.assert_arrived(&backend);
    assert!(backend.refused() > 0);
}

fn poison_is_parked_with_what_follows() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    backend.be(Mood::RefusesPoison);
    let secret = daemon.enrolment();
    let mut sick = Board::enrol(daemon.ports.mqtt, "sick", &secret);
    let mut well = Board::enrol(daemon.ports.mqtt, "well", &secret);
    for number in 1..=6 {
        let poison = number == 3;
        let payload = json!({"n": number, "poison": poison}).to_string();
        sick.publish_and_wait("boards/sick/up/a", payload.as_bytes()).unwrap();
        let payload = json!({"n": number}).to_string();
        well.publish_and_wait("boards/well/up/a", payload.as_bytes()).unwrap();
    }
    let of = |subject: &'static str| {
        move |accepted: &[crate::backend::Received]| -> Vec<u64> {
            let of = accepted.iter().filter(|it| it.subject == subject);
            of.filter_map(|it| it.data["payload"]["n"].as_u64()).collect()
        }
    };
    let (of_sick, of_well) = (of("mqtt:sick"), of("mqtt:well"));
    backend.wait("all of the healthy board", PATIENCE, |it| of_well(it).len() == 6);
    let parked = || daemon.call("GET", "/api/v1/dead-letters?sink=test", &Value::Null);
    let has_all =
        crate::daemon::until(PATIENCE, || parked()["items"].as_array().unwrap().len() == 4);
    assert!(has_all, "parked: {}", parked());
    let letters = parked()["items"].as_array().unwrap().clone();
    let accepted = backend.accepted();
    assert_eq!(of_sick(&accepted), [1, 2], "what follows the poison waits behind it");
    assert!(is_poison(&letters[0]["event"]["data"]), "{letters:?}");

    backend.be(Mood::Accepts);
    let first = &letters[0]["id"];
    daemon.call("POST", &format!("/api/v1/dead-letters/{first}/replay"), &Value::Null);
    let all = backend.wait("the parked events", PATIENCE, |it| of_sick(it).len() == 6);
    assert_eq!(of_sick(&all), [1, 2, 3, 4, 5, 6], "replayed in order");
    assert_in_order(&all);
    sick.publish_and_wait("boards/sick/up/a", b"{\"n\":7}").unwrap();
    backend.wait("what came after", PATIENCE, |it| of_sick(it).len() == 7);
    backend.assert_no_faults();
}
