//! Dialogues of aggregators that send the last keys alone: what is a repetition, and what is lost.

use crate::bench::{ALICE, BOB, Bench, Store, dialled, keyed, turn};
use lastmile_ussd::{Answer, Input, Options, Receipt, Refusal, Turn};
use model::Settlement;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

fn bench() -> Bench {
    Bench::home()
        .answering("router_status", Answer::word("online"))
        .answering("router_restart", Answer::word("accepted"))
}

fn alice(input: Input) -> Turn {
    turn("s", ALICE, input)
}

fn named(input: Input, hop: &str) -> Turn {
    Turn { hop: Some(hop.into()), ..alice(input) }
}

/// Longer after the last answer than any repetition.
fn think(bench: &mut Bench) {
    bench.pass(Options::default().replay_window + Duration::from_millis(1));
}

#[test]
fn the_last_keys_lead_where_all_of_them_do() {
    let mut bench = bench();
    let mut repeated = self::bench();
    let first = bench.latest(&alice(dialled(""))).unwrap();
    assert_eq!(Some(first), repeated.turn("s", ALICE, ""));
    for (key, all) in [("9", "9"), ("2", "9*2"), ("0", "9*2*0"), ("2", "9*2*0*2")] {
        think(&mut bench);
        assert_eq!(bench.latest(&alice(keyed(key))), repeated.turn("s", ALICE, all), "{all}");
    }
    assert!(bench.asked.is_empty());
    think(&mut bench);
    assert!(bench.latest(&alice(keyed("1"))).unwrap().starts_with("END Router yako inawashwa"));
    assert_eq!(&*bench.asked[0].key, "home:s:router_restart:4:0", "with the moment it began");
}

#[test]
fn the_same_bytes_soon_after_the_answer_are_the_same_hop() {
    let mut bench = bench();
    bench.latest(&alice(dialled("")));
    let first = bench.latest(&alice(keyed("7"))).unwrap();
    assert!(first.contains("That is not a choice"), "{first}");
    bench.pass(Options::default().replay_window);
    assert_eq!(bench.latest(&alice(keyed("7"))), Some(first), "at the window's end");
    // Later they are the caller's: the second wrong input, and then the third.
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.take(&alice(keyed("7"))).1, Receipt::New);
    think(&mut bench);
    assert!(bench.latest(&alice(keyed("7"))).unwrap().starts_with("END "));
    let again = bench.latest(&alice(keyed("7"))).unwrap();
    assert!(again.starts_with("END That was not"), "the end is repeated too: {again}");
    think(&mut bench);
    let (_, receipt) = bench.take(&alice(keyed("7")));
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::Ended)), "{receipt:?}");
}

#[test]
fn a_named_hop_is_itself_however_late() {
    let mut bench = bench();
    bench.latest(&named(dialled(""), "a"));
    let second = bench.latest(&named(keyed("2"), "b"));
    think(&mut bench);
    let back = bench.latest(&named(keyed("0"), "c")).unwrap();
    think(&mut bench);
    assert_eq!(bench.latest(&named(keyed("0"), "c")), Some(back), "the last one");
    assert_eq!(bench.latest(&named(keyed("2"), "b")), second, "and the one before");
    // The same bytes under another name are other keys, however soon they come.
    assert_eq!(bench.take(&named(keyed("2"), "d")).1, Receipt::New);
    assert_eq!(bench.take(&named(keyed("2"), "e")).1, Receipt::New);
}

#[test]
fn a_repetition_waits_for_the_hop_in_progress() {
    let mut bench = bench();
    bench.latest(&alice(dialled("")));
    bench.latest(&alice(keyed("2")));
    bench.store = Store::Stalls;
    let (id, receipt) = bench.take(&alice(keyed("1")));
    assert_eq!(receipt, Receipt::New);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.take(&alice(keyed("1"))), (id, Receipt::InProgress));
    let (_, receipt) = bench.take(&alice(keyed("0")));
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::OutOfTurn)), "no hop overtakes");
    bench.store = Store::Commits;
    bench.settle_held(Settlement::Committed);
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(bench.asked.len(), 1, "one effect");
}

#[test]
fn keys_of_a_dialogue_that_is_lost_are_not_taken() {
    let mut bench = bench();
    let body = bench.latest(&alice(keyed("2"))).unwrap();
    assert!(body.starts_with("CON Your home internet\n1."), "the first screen: {body}");
    assert_eq!(bench.latest(&alice(keyed("2"))), Some(body), "a repetition of it, too");
    think(&mut bench);
    assert!(bench.latest(&alice(keyed("2"))).unwrap().starts_with("CON Restart your router?"));
}

#[test]
fn keys_may_be_dialled_and_have_no_effect() {
    let mut bench = bench();
    let body = bench.latest(&alice(dialled("9*2*1"))).unwrap();
    assert!(body.starts_with("CON Uwashe upya router yako?"), "{body}");
    assert!(bench.asked.is_empty());
    think(&mut bench);
    assert!(bench.latest(&alice(keyed("1"))).unwrap().starts_with("END "));
}

#[test]
fn a_typed_star_is_a_key_and_no_joiner() {
    let mut bench = bench();
    bench.latest(&alice(dialled("")));
    let body = bench.latest(&alice(keyed("2*1"))).unwrap();
    assert!(body.starts_with("CON That is not a choice."), "{body}");
}

#[test]
fn who_dials_anew_under_the_same_id_begins_anew() {
    let mut bench = bench();
    bench.latest(&alice(dialled("")));
    let first = bench.latest(&alice(dialled("")));
    assert_eq!(bench.facts.len(), 1, "at once it is the same dial: {:?}", bench.facts);
    bench.latest(&alice(keyed("2")));
    let turn = alice(dialled(""));
    assert!(
        bench.table.standing(&bench.service, &turn, bench.now).begins,
        "the dial is not the last hop"
    );
    assert_eq!(bench.latest(&turn), first);
    let kinds: Vec<_> = bench.facts.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["started", "ended", "started"].map(|it| format!("lastmile.ussd.{it}")));
    assert!(bench.facts[1].1.contains("\"hung_up\""), "{:?}", bench.facts);
    // What is left of the old one goes without touching the new one.
    bench.pass(Options::default().ended_hold);
    assert_eq!(bench.table.len(), 1);
    assert!(bench.latest(&alice(keyed("2"))).unwrap().starts_with("CON Restart"));
}

#[test]
fn an_id_belongs_to_its_number_until_its_dialogue_is_over() {
    let mut bench = bench();
    bench.latest(&alice(dialled("")));
    let bob = turn("s", BOB, dialled(""));
    let (_, receipt) = bench.take(&bob);
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::NumberChanged)), "{receipt:?}");
    bench.latest(&alice(keyed("0")));
    assert!(bench.latest(&bob).unwrap().starts_with("CON Your home"), "the id is used anew");
}

#[test]
fn an_aggregator_does_not_change_its_way_in_mid_dialogue() {
    let mut bench = bench();
    bench.latest(&alice(dialled("")));
    let (_, receipt) = bench.receive("s", ALICE, "2");
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::OutOfTurn)), "{receipt:?}");
    bench.turn("other", BOB, "");
    let (_, receipt) = bench.take(&turn("other", BOB, keyed("2")));
    assert!(matches!(receipt, Receipt::Refused(_, Refusal::OutOfTurn)), "{receipt:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Fifty callers whose hops come between each other see what each would see alone.
    #[test]
    fn interleaved_callers_never_mix_by_latest_input(
        scripts in prop::collection::vec(prop::collection::vec("[0129]", 1..6), 50),
        order in prop::collection::vec(0usize..50, 300),
    ) {
        let hop = |caller: usize, place: usize| {
            let (session, number) = (format!("s{caller}"), format!("+2547110000{caller:02}"));
            let input = match place.checked_sub(1) {
                None => dialled(""),
                Some(place) => keyed(&scripts[caller][place]),
            };
            Turn { hop: Some(place.to_string().into()), ..turn(&session, &number, input) }
        };
        let mut together = bench();
        let mut done: HashMap<usize, Vec<Option<String>>> = HashMap::new();
        for caller in order {
            let seen = done.entry(caller).or_default();
            if seen.len() <= scripts[caller].len() {
                seen.push(together.latest(&hop(caller, seen.len())));
            }
        }
        for (caller, seen) in done {
            let mut alone = bench();
            for (place, seen) in seen.into_iter().enumerate() {
                prop_assert_eq!(alone.latest(&hop(caller, place)), seen);
            }
        }
    }
}
