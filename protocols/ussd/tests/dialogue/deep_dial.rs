//! Keys that come together: a deep dial, a missed hop, a walk back after a restart.

use crate::bench::{ALICE, Bench};
use lastmile_ussd::{Answer, AskMode, Events, Options};
use proptest::prelude::*;

fn bench() -> Bench {
    Bench::home()
        .answering("router_status", Answer::word("online"))
        .answering("router_restart", Answer::word("accepted"))
}

#[test]
fn a_walk_stops_at_the_screen_before_an_effect() {
    let mut bench = bench();
    let body = bench.turn("s", ALICE, "2*1").unwrap();
    assert!(body.starts_with("CON Restart your router?"), "{body}");
    assert!(bench.asked.is_empty());
    let body = bench.turn("s", ALICE, "2*1*1").unwrap();
    assert!(body.starts_with("END Your router is restarting"), "{body}");
    assert_eq!(&*bench.asked[0].key, "home:s:router_restart:1", "the keys until its screen");
}

#[test]
fn one_dialled_key_has_no_effect_either() {
    const DIRECT: &str = r#"
name = "direct"
languages = ["en"]
start = "sure"
texts = { wrong_input = "No.", attempts = "Often.", retry = "Later.", late = "Late.", hops = "Long." }

[state.sure]
text = "Sure?"
options = [{ key = "1", text = "Yes", goto = "do" }]

[state.do]
ask = "act"
effect = true
results = { done = "done" }

[state.done]
end = "Done."
"#;
    let mut bench =
        Bench::of(DIRECT, Events::All, Options::default()).answering("act", Answer::word("done"));
    assert!(bench.turn("s", ALICE, "1").unwrap().starts_with("CON Sure?"));
    assert!(bench.asked.is_empty());
    assert_eq!(bench.turn("s", ALICE, "1*1").unwrap(), "END Done.");
}

#[test]
fn the_keys_after_an_effect_are_not_taken_for_others() {
    let mut bench = bench();
    // Were `1` and the `1` after it taken for answers to the confirmation, the router would restart.
    let body = bench.turn("s", ALICE, "2*1*1*1").unwrap();
    assert!(body.starts_with("CON Restart your router?"), "{body}");
    assert!(bench.asked.is_empty());
}

#[test]
fn a_restarted_daemon_walks_back_to_the_screen() {
    let mut before = bench();
    let mut after = bench();
    for text in ["", "9", "9*7", "9*7*2"] {
        before.turn("s", ALICE, text).unwrap();
    }
    // The same callback reaches a daemon that knows nothing: the same screen, in the same language.
    let same = after.turn("s", ALICE, "9*7*2");
    assert_eq!(same, before.turn("s", ALICE, "9*7*2"));
    assert_eq!(after.turn("s", ALICE, "9*7*2*0"), before.turn("s", ALICE, "9*7*2*0"));
}

proptest! {
    /// Whatever is dialled at once has no effect; and where typing it key by key has none either, it
    /// leads to the same screen.
    #[test]
    fn a_deep_dial_has_no_effect(keys in prop::collection::vec("[01279]", 1..8)) {
        let mut deep = bench();
        let body = deep.turn("s", ALICE, &keys.join("*")).unwrap();
        prop_assert!(deep.asked.iter().all(|ask| ask.mode == AskMode::Question));
        prop_assert!(deep.facts.iter().all(|(kind, _)| *kind != "lastmile.ussd.requested"));

        let mut typed = bench();
        let mut last = typed.turn("s", ALICE, "").unwrap();
        for count in 1..=keys.len() {
            if last.starts_with("END ") {
                break;
            }
            last = typed.turn("s", ALICE, &keys[..count].join("*")).unwrap();
        }
        if typed.asked.iter().all(|ask| ask.mode == AskMode::Question) {
            prop_assert_eq!(body, last);
        }
    }

    /// The same for keys that come together in mid-dialogue.
    #[test]
    fn a_missed_hop_has_no_effect(keys in prop::collection::vec("[0127]", 2..8)) {
        let mut bench = bench();
        bench.turn("s", ALICE, "");
        bench.turn("s", ALICE, &keys.join("*"));
        prop_assert!(bench.asked.iter().all(|ask| ask.mode == AskMode::Question));
    }
}
