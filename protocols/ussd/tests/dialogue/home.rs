//! The shipped menu `home`: every outcome of its questions in every language, every screen fitting.

use crate::bench::{ALICE, Bench, HOME};
use lastmile_ussd::{Answer, Menu, Networks, Phrases};

#[test]
fn its_operations_are_those_the_daemon_answers() {
    let menu = Menu::parse(HOME, &Phrases::default(), &Networks::default())
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(menu.languages().collect::<Vec<_>>(), ["en", "sw"]);
    let mut operations: Vec<_> = menu.operations().collect();
    operations.sort_unstable();
    assert_eq!(operations, [("router_restart", true), ("router_status", false)]);
}

/// Says what the caller sees when `operation` comes to `outcome`, in English and in Swahili.
fn seen(operation: &str, outcome: &'static str, keys: &[&str]) -> [String; 2] {
    ["", "9"].map(|language| {
        // `since` longer than the menu declares, and with a letter that GSM-7 lacks.
        let answer = Answer::word(outcome).with("since", "2026-11-21 ĉ 09:30:00.000000 UTC");
        let mut bench = Bench::home().answering(operation, answer);
        bench.turn("s", ALICE, "").unwrap();
        let mut text = language.to_owned();
        let mut last = String::new();
        for key in std::iter::once(&"").chain(keys) {
            text = [text.as_str(), key]
                .into_iter()
                .filter(|it| !it.is_empty())
                .collect::<Vec<_>>()
                .join("*");
            if !text.is_empty() {
                last = bench.turn("s", ALICE, &text).unwrap();
            }
        }
        last
    })
}

#[test]
fn every_outcome_has_its_words() {
    let [english, swahili] = seen("router_status", "online", &["1"]);
    assert_eq!(
        (english.as_str(), swahili.as_str()),
        ("END Your router is online.", "END Router yako iko hewani.")
    );
    let mut all = Vec::new();
    for outcome in ["online", "offline", "none", "unknown_caller", "what?"] {
        all.extend(seen("router_status", outcome, &["1"]));
    }
    for outcome in ["accepted", "queued", "refused"] {
        all.extend(seen("router_restart", outcome, &["2", "1"]));
    }
    assert!(all.iter().all(|body| body.starts_with("END ")), "{all:#?}");
    assert!(all.iter().any(|body| body.contains("since 2026-11-21 ? 09:30:0.")), "{all:#?}");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 16, "{all:#?}");
    for outcome in ["none", "unknown_caller", "what?"] {
        let status = seen("router_status", outcome, &["1"]);
        assert_eq!(status, seen("router_restart", outcome, &["2", "1"]));
    }
}
