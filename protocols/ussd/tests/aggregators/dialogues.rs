//! Whole dialogues: the same keys lead to the same screens, whoever carries them.

use crate::bench::Bench;
use crate::speakers::{ALICE, all, end, keyed, speaker, turn};
use lastmile_ussd::{Aggregator, Answer, Call, Options, Receipt, Screen};
use model::Settlement;
use proptest::prelude::*;
use std::time::Duration;

/// A caller behind one aggregator.
struct Caller<'a> {
    bench: Bench,
    speaker: &'a dyn Aggregator,
    typed: Vec<String>,
    hop: u32,
}

impl<'a> Caller<'a> {
    fn of(speaker: &'a dyn Aggregator) -> Self {
        let bench = Bench::home()
            .answering("router_status", Answer::word("online"))
            .answering("router_restart", Answer::word("accepted"));
        Self { bench, speaker, typed: Vec::new(), hop: 0 }
    }

    fn call(&self) -> Call {
        let typed: Vec<&str> = self.typed.iter().map(String::as_str).collect();
        self.speaker.call(&keyed(&typed, self.hop))
    }

    /// What is shown of that call.
    fn send(&mut self, call: &Call) -> Screen {
        let turn = turn(self.speaker, call);
        match self.bench.take(&turn).1 {
            Receipt::New => self.bench.sent.last().unwrap().1.clone(),
            Receipt::InProgress => panic!("nothing stalls"),
            Receipt::Replay(screen) | Receipt::Refused(screen, _) => screen,
        }
    }

    fn dial(&mut self, behind: &[&str]) -> Screen {
        self.typed = behind.iter().map(|&it| it.to_owned()).collect();
        self.send(&self.call())
    }

    fn key(&mut self, key: &str) -> Screen {
        // Longer than any repetition takes.
        self.bench.pass(Options::default().replay_window + Duration::from_millis(1));
        self.typed.push(key.to_owned());
        self.hop += 1;
        self.send(&self.call())
    }
}

#[test]
fn an_effect_is_asked_once_whoever_carries_it() {
    for speaker in all() {
        let mut caller = Caller::of(&*speaker);
        let name = speaker.name();
        assert!(caller.dial(&[]).text().starts_with("Your home internet"), "{name}");
        assert!(caller.key("2").text().starts_with("Restart your router?"), "{name}");
        let ended = caller.key("1");
        assert!(ended.is_end(), "{name}: {}", ended.text());
        // It comes again at once, as when our answer was lost.
        let again = caller.send(&caller.call());
        assert_eq!(again.text(), ended.text(), "{name}");
        assert_eq!(caller.bench.asked.len(), 1, "{name}");
    }
}

#[test]
fn keys_that_are_dialled_are_walked() {
    for speaker in all().filter(|it| it.name() != "beem") {
        let mut caller = Caller::of(&*speaker);
        let screen = caller.dial(&["2", "1"]);
        let name = speaker.name();
        assert!(screen.text().starts_with("Restart your router?"), "{name}: {}", screen.text());
        assert!(caller.bench.asked.is_empty(), "{name}: no effect is walked through");
    }
    let beem = speaker("beem");
    let screen = Caller::of(&*beem).dial(&["2"]);
    assert!(screen.text().starts_with("Your home internet"), "it does not say what was dialled");
}

#[test]
fn who_hangs_up_is_gone() {
    for speaker in all().filter(|it| it.capabilities().end_report) {
        let mut caller = Caller::of(&*speaker);
        caller.dial(&[]);
        let report = end(&*speaker, &speaker.hang_up(&keyed(&[], 0)).unwrap());
        let bench = &mut caller.bench;
        assert!(bench.table.end(&bench.service, &report, bench.now), "{}", speaker.name());
        bench.settle_held(Settlement::Committed);
        let (kind, data) = bench.facts.last().unwrap();
        assert_eq!(*kind, "lastmile.ussd.ended", "{}", speaker.name());
        assert!(data.contains("\"cause\":\"hung_up\""), "{}: {data}", speaker.name());
    }
}

#[test]
fn what_was_dialled_is_in_no_event() {
    for speaker in all() {
        let mut caller = Caller::of(&*speaker);
        caller.dial(&["9876"]);
        let facts = &caller.bench.facts;
        let (kind, data) = &facts[0];
        assert_eq!(*kind, "lastmile.ussd.started");
        assert!(data.contains("\"service_code\":\"*384*1#\""), "{}: {data}", speaker.name());
        let told: String = facts.iter().map(|(_, data)| data.as_str()).collect();
        assert!(!told.contains("9876") && !told.contains(&ALICE[1..]), "{}", speaker.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_keys_lead_to_the_same_screens(
        keys in prop::collection::vec(prop::sample::select(vec!["1", "2", "9", "0", "7", "x y"]), 1..8),
    ) {
        let model = speaker("africas_talking");
        for other in all() {
            let (mut first, mut second) = (Caller::of(&*model), Caller::of(&*other));
            prop_assert_eq!(first.dial(&[]), second.dial(&[]), "{}", other.name());
            for key in &keys {
                let screen = first.key(key);
                prop_assert_eq!(&screen, &second.key(key), "{}: {}", other.name(), key);
                if screen.is_end() {
                    break;
                }
            }
        }
    }
}
