//! Which facts a dialogue makes, and what stands in none of them nor in any text of ours.

use crate::bench::{ALICE, Bench, HOME, Store};
use lastmile_ussd::{Answer, Events, Options, Receipt};

const PIN_MENU: &str = r#"
name = "pin"
languages = ["en"]
start = "pin"

[texts]
wrong_input = "No."
attempts = "Too often."
retry = "Later."
late = "Late."
hops = "Long."

[state.pin]
text = "PIN?"
input = { accept = "digits", min = 4, max = 4, save = "pin", goto = "check" }

[state.check]
ask = "check_pin"
arguments = { pin = "{pin}" }
values = { name = 20 }
results = { right = "done" }

[state.done]
end = "Hello {name}"
"#;

fn kinds(events: Events, hops: &[&str]) -> (Vec<&'static str>, Vec<usize>) {
    let mut bench = Bench::of(HOME, events, Options::default())
        .answering("router_restart", Answer::word("accepted"));
    let counts = hops.iter().map(|text| {
        let before = bench.facts.len();
        bench.turn("s", ALICE, text).unwrap();
        bench.facts.len() - before
    });
    let counts = counts.collect();
    (bench.facts.iter().map(|(kind, _)| *kind).collect(), counts)
}

#[test]
fn facts_are_those_the_service_asks_for() {
    let (started, ended, requested) =
        ("lastmile.ussd.started", "lastmile.ussd.ended", "lastmile.ussd.requested");
    let hops = ["", "2", "2*0", "2*0*2", "2*0*2*1"];
    let (all, counts) = kinds(Events::All, &hops);
    assert_eq!(all, [started, requested, ended]);
    assert_eq!(counts, [1, 0, 0, 0, 2], "a hop between waits for no disk");
    assert_eq!(kinds(Events::Ended, &hops).0, [requested, ended]);
    assert_eq!(kinds(Events::Effects, &hops).0, [requested]);
    for (word, events) in
        Events::WORDS.into_iter().zip([Events::All, Events::Ended, Events::Effects])
    {
        assert_eq!(Events::parse(word), Some(events));
    }
    assert_eq!(Events::parse("none"), None);
}

#[test]
fn a_hop_without_a_fact_is_answered_while_the_disk_stalls() {
    let mut bench = Bench::of(HOME, Events::Ended, Options::default());
    bench.store = Store::Stalls;
    assert!(bench.turn("s", ALICE, "").unwrap().starts_with("CON "));
    assert!(bench.turn("s", ALICE, "2").unwrap().starts_with("CON "));
    assert!(bench.held.is_empty());
}

#[test]
fn the_backend_hears_of_an_effect_only_after_the_disk() {
    let mut bench = Bench::home();
    bench.turn("s", ALICE, "");
    bench.turn("s", ALICE, "2");
    bench.store = Store::Stalls;
    assert_eq!(bench.receive("s", ALICE, "2*1").1, Receipt::New);
    assert_eq!(bench.held.len(), 1);
    assert!(bench.asked.is_empty());
    bench.settle_held(model::Settlement::Committed);
    assert_eq!(bench.asked.len(), 1);
}

#[test]
fn what_was_typed_is_told_to_the_backend_alone() {
    let answer = Answer::word("right").with("name", "Njeri");
    let mut bench =
        Bench::of(PIN_MENU, Events::All, Options::default()).answering("check_pin", answer.clone());
    bench.turn("s", ALICE, "");
    let body = bench.turn("s", ALICE, "9876").unwrap();
    assert_eq!(body, "END Hello Njeri");
    let argument = &bench.asked[0].arguments[0];
    assert_eq!((&*argument.0, argument.1.expose().as_str()), ("pin", "9876"));

    let facts: String = bench.facts.iter().map(|(_, data)| data.as_str()).collect();
    let printed = format!("{:?} {:?} {:?} {answer:?}", bench.table, bench.asked, bench.sent);
    for secret in ["9876", "711000001", "Njeri"] {
        assert!(!facts.contains(secret), "{secret} in a fact");
        assert!(!printed.contains(secret), "{secret} in a debug text");
    }
}
