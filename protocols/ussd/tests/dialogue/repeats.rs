//! The same hop twice, at once or later, and callers who come between each other.

use crate::bench::{ALICE, BOB, Bench, Store, form};
use lastmile_ussd::{Answer, Options, Receipt, Refusal, Service};
use model::Settlement;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

#[test]
fn each_hop_delivered_twice_is_answered_alike_with_one_effect() {
    let mut bench = Bench::home().answering("router_restart", Answer::word("accepted"));
    for text in ["", "2", "2*1"] {
        let first = bench.turn("s", ALICE, text).unwrap();
        let facts = bench.facts.len();
        assert_eq!(bench.turn("s", ALICE, text).unwrap(), first);
        assert_eq!(bench.facts.len(), facts, "a repetition makes no fact");
    }
    assert_eq!(bench.asked.len(), 1);
    // The hop before the last is still known; older ones are not guessed at.
    assert!(bench.turn("s", ALICE, "2").unwrap().starts_with("CON Restart"));
    let (_, receipt) = bench.receive("s", ALICE, "");
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::OutOfTurn)), "{receipt:?}");
}

#[test]
fn a_dialogue_is_held_from_its_first_turn_until_it_is_forgotten() {
    let mut bench = Bench::home();
    let begins = |bench: &Bench, session| {
        let turn = bench.decode(&form(session, ALICE, "2"));
        bench.table.standing(&bench.service, &turn, bench.now).begins
    };
    assert!(begins(&bench, "deep"), "its first turn begins it, whatever its text");
    assert!(bench.turn("deep", ALICE, "2").unwrap().starts_with("CON "));
    assert!(!begins(&bench, "deep"), "another turn begins nothing");
    assert!(begins(&bench, "other"));
    assert!(bench.turn("deep", ALICE, "2*0*0").unwrap().starts_with("END "));
    assert!(!begins(&bench, "deep"), "nor does its last hop come again");
    bench.pass(Options::default().ended_hold);
    assert!(begins(&bench, "deep"));
    bench.turn("deep", ALICE, "");
    let other = Service { name: "other".into(), ..Service::clone(&bench.service) };
    let turn = bench.decode(&form("deep", ALICE, "2"));
    let is_new = bench.table.standing(&other, &turn, bench.now).begins;
    assert!(is_new, "each service has sessions of its own");
}

#[test]
fn a_repetition_in_parallel_gets_the_same_answer() {
    let mut bench = Bench::home();
    bench.turn("s", ALICE, "");
    bench.turn("s", ALICE, "2");
    bench.store = Store::Stalls;
    let (id, receipt) = bench.receive("s", ALICE, "2*1");
    assert_eq!(receipt, Receipt::New);
    assert_eq!(bench.receive("s", ALICE, "2*1"), (id, Receipt::InProgress), "while the disk works");
    bench.settle_held(Settlement::Committed);
    assert_eq!(
        bench.receive("s", ALICE, "2*1"),
        (id, Receipt::InProgress),
        "while the backend works"
    );
    let (_, receipt) = bench.receive("s", ALICE, "2*1*1");
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::OutOfTurn)), "no hop overtakes another");
    bench.store = Store::Commits;
    let ask = bench.asked[0].ticket;
    assert!(bench.answer(ask, &Answer::word("queued")));
    assert_eq!(bench.sent.len(), 1, "one screen for all who wait");
    assert_eq!(bench.sent[0].0, id.unwrap());
    let screen = bench.sent[0].1.clone();
    assert_eq!(bench.receive("s", ALICE, "2*1").1, Receipt::Replay(screen));
    assert_eq!(bench.asked.len(), 1);
    assert!(!bench.answer(ask, &Answer::word("accepted")), "a second answer is not waited for");
}

#[test]
fn an_answer_after_the_deadline_changes_nothing() {
    let mut bench = Bench::home();
    bench.turn("s", ALICE, "");
    assert_eq!(bench.receive("s", ALICE, "1").1, Receipt::New);
    assert_eq!(bench.asked[0].deadline, bench.now.after(Duration::from_secs(2)).monotonic);
    bench.pass(Duration::from_millis(1999));
    assert!(bench.sent.is_empty());
    bench.pass(Duration::from_millis(1));
    let body = bench.body(&bench.sent[0].1);
    assert!(body.starts_with("END This takes longer"), "{body}");
    let ticket = bench.asked[0].ticket;
    assert!(!bench.answer(ticket, &Answer::word("online")));
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn two_services_never_share_a_dialogue() {
    let mut bench = Bench::home();
    bench.turn("s", ALICE, "");
    let mut other = (*bench.service).clone();
    other.name = "other".into();
    bench.service = other.into();
    let body = bench.turn("s", BOB, "").unwrap();
    assert!(body.starts_with("CON Your home"), "{body}");
    assert_eq!(bench.table.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Callers whose hops come between each other see what each would see alone.
    #[test]
    fn interleaved_callers_never_mix(
        scripts in prop::collection::vec(prop::collection::vec("[0129]", 1..6), 50),
        order in prop::collection::vec(0usize..50, 300),
    ) {
        let backend = || Bench::home()
            .answering("router_status", Answer::word("offline").with("since", "09:30"))
            .answering("router_restart", Answer::word("queued"));
        let hops = |keys: &[String]| -> Vec<String> {
            (0..=keys.len()).map(|count| keys[..count].join("*")).collect()
        };
        let name = |caller: usize| (format!("s{caller}"), format!("+2547110000{caller:02}"));

        let mut together = backend();
        let mut done: HashMap<usize, Vec<Option<String>>> = HashMap::new();
        for caller in order {
            let texts = hops(&scripts[caller]);
            let seen = done.entry(caller).or_default();
            if let Some(text) = texts.get(seen.len()) {
                let (session, number) = name(caller);
                seen.push(together.turn(&session, &number, text));
            }
        }
        for (caller, seen) in done {
            let mut alone = backend();
            let (session, number) = name(caller);
            for (text, seen) in hops(&scripts[caller]).iter().zip(seen) {
                prop_assert_eq!(alone.turn(&session, &number, text), seen);
            }
        }
    }
}
