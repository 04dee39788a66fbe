//! Random callers, stores and backends: no panic, and exactly one answer for each hop.

use crate::bench::{Bench, HOME, Store, dialled, keyed, post, turn};
use lastmile_ussd::aggregator::ConEndFields;
use lastmile_ussd::{Answer, AskMode, DialogueId, Events, Options, Receipt, Turn, aggregator};
use model::Settlement;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    /// One caller types; `number` is not always his.
    Turn {
        session: usize,
        number: usize,
        text: String,
    },
    /// The same of an aggregator that sends the last keys alone, or a dial.
    Latest {
        session: usize,
        keys: Option<String>,
        hop: Option<u8>,
    },
    Store(Store),
    Settle(Settlement),
    /// The oldest question still open is answered.
    Answer(&'static str),
    Pass(u64),
    HangUp(usize),
}

/// Steps of both kinds of aggregators, under the same session ids.
fn any_step() -> impl Strategy<Value = Step> {
    let keys = prop::option::weighted(0.7, "[0-29]{1,2}");
    let latest = (0usize..3, keys, prop::option::of(0u8..4));
    let latest = latest.prop_map(|(session, keys, hop)| Step::Latest { session, keys, hop });
    prop_oneof![2 => step(), 1 => latest]
}

fn step() -> impl Strategy<Value = Step> {
    let outcome =
        prop::sample::select(vec!["online", "offline", "accepted", "queued", "none", "??"]);
    let store = prop::sample::select(vec![Store::Commits, Store::Refuses, Store::Stalls]);
    let settlement = prop::sample::select(vec![Settlement::Committed, Settlement::Refused]);
    // What leads somewhere, and what leads anywhere.
    let path = prop::sample::select(vec!["", "1", "2", "2*1", "9", "9*2", "9*2*1", "0"]);
    let text = prop_oneof![3 => path.prop_map(str::to_owned), 1 => "[0-29]?(\\*[0-29]){0,4}"];
    prop_oneof![
        8 => (0usize..3, 0usize..12, text).prop_map(|(session, number, text)| {
            Step::Turn { session, number, text }
        }),
        1 => store.prop_map(Step::Store),
        2 => settlement.prop_map(Step::Settle),
        3 => outcome.prop_map(Step::Answer),
        2 => prop::sample::select(vec![1, 500, 2000, 5000, 40_000, 200_000]).prop_map(Step::Pass),
        1 => (0usize..3).prop_map(Step::HangUp),
    ]
}

fn owe(
    bench: &Bench,
    (id, receipt): (Option<DialogueId>, Receipt),
    sent: usize,
    owed: &mut HashMap<DialogueId, u32>,
) {
    match receipt {
        Receipt::New => *owed.entry(id.unwrap()).or_default() += 1,
        Receipt::InProgress => assert_eq!(owed.get(&id.unwrap()), Some(&1), "one to come"),
        Receipt::Replay(screen) | Receipt::Refused(screen, _) => {
            assert_eq!(bench.sent.len(), sent, "nothing beside the answer");
            bench.body(&screen);
        }
    }
}

/// Carries out `step`; notes which dialogue owes an answer.
fn play(bench: &mut Bench, step: Step, owed: &mut HashMap<DialogueId, u32>) {
    match step {
        Step::Turn { session, number, text } => {
            let number = format!("+25471100000{}", if number < 10 { session } else { 9 });
            let sent = bench.sent.len();
            let body = crate::bench::form(&format!("s{session}"), &number, &text);
            let (id, receipt) = bench.form(&body);
            owe(bench, (id, receipt), sent, owed);
        }
        Step::Latest { session, keys, hop } => {
            let (sent, number) = (bench.sent.len(), format!("+25471100000{session}"));
            let input = keys.map_or_else(|| dialled(""), |keys| keyed(&keys));
            let hop = hop.map(|hop| hop.to_string().into());
            let turn = Turn { hop, ..turn(&format!("s{session}"), &number, input) };
            let taken = bench.take(&turn);
            owe(bench, taken, sent, owed);
        }
        Step::Store(store) => bench.store = store,
        Step::Settle(settlement) => bench.settle_held(settlement),
        Step::Answer(outcome) => {
            if !bench.asked.is_empty() {
                let ticket = bench.asked.remove(0).ticket;
                bench.answer(ticket, &Answer::word(outcome));
            }
        }
        Step::Pass(ms) => bench.pass(Duration::from_millis(ms)),
        Step::HangUp(session) => {
            bench.end(&format!(
                "sessionId=s{session}&phoneNumber=%2B25471100000{session}&status=Incomplete"
            ));
        }
    }
    for (id, _) in bench.sent.drain(..) {
        let waiting = owed.get_mut(&id).expect("a screen nobody waits for");
        assert_eq!(*waiting, 1, "one answer for one hop");
        owed.remove(&id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_hop_is_answered_exactly_once(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut bench = Bench::home();
        let mut owed = HashMap::new();
        for step in steps {
            play(&mut bench, step, &mut owed);
        }
        // Whatever is still on its way is answered when its time is over, and all is forgotten.
        bench.store = Store::Commits;
        play(&mut bench, Step::Pass(6_000), &mut owed);
        prop_assert!(owed.is_empty(), "{owed:?} never answered");
        play(&mut bench, Step::Pass(181_000), &mut owed);
        play(&mut bench, Step::Pass(31_000), &mut owed);
        prop_assert!(bench.table.is_empty(), "{} left", bench.table.len());
    }

    /// An effect's key is asked once, whatever is repeated or lost.
    #[test]
    fn no_effect_is_asked_twice(steps in prop::collection::vec(step(), 1..80)) {
        // Long enough that no session id is forgotten and begun anew, as no aggregator would.
        let day = Duration::from_secs(86_400);
        let options = Options { idle_timeout: day, ended_hold: day, ..Options::default() };
        let mut bench = Bench::of(HOME, Events::All, options);
        let mut owed = HashMap::new();
        for step in steps.into_iter().filter(|step| !matches!(step, Step::Answer(_))) {
            play(&mut bench, step, &mut owed);
        }
        let effects = bench.asked.iter().filter(|ask| ask.mode == AskMode::Effect);
        let mut keys: Vec<_> = effects.map(|ask| ask.key.clone()).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), count);
    }

    #[test]
    fn any_bytes_are_a_turn_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let [session, number, code, text] = ["s", "n", "c", "t"].map(Box::from);
        let fields = ConEndFields { session, number, code, text, network: None };
        for name in aggregator::NAMES {
            let aggregator = aggregator::make(name, Some(&fields), None).unwrap();
            let request = lastmile_ussd::Request { body: &bytes, ..post("") };
            if let Err(error) = aggregator.decode(&request) {
                prop_assert!((400..500).contains(&error.status()) && !error.code().is_empty());
            }
            let _ = aggregator.decode_end(&request);
        }
    }

    /// Any text that can be typed is taken: it never ends the process, and the answer fits.
    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}") {
        let mut bench = Bench::home().answering("router_status", Answer::word("online"));
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = bench.turn("s", crate::bench::ALICE, &escaped).unwrap();
        prop_assert!(body.starts_with("CON ") || body.starts_with("END "), "{body}");
    }
}
