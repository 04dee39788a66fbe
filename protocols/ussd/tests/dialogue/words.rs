//! Words of a menu's file that a screen is made with: keys of its own, pages, checks.

use crate::bench::{ALICE, Bench, service_of};
use lastmile_ussd::{Answer, AskMode, Events, Limits, Network, Networks, Options, Phrases};
use std::time::Duration;

const TEXTS: &str = r#"
[texts]
wrong_input = "No."
attempts = "Often."
retry = "Later."
late = "Late."
hops = "Long."
more = "More"
back = "Back"
"#;

fn menu(keys: &str, states: &str) -> String {
    format!("name = 'm'\nlanguages = ['en']\nstart = 'one'\n{keys}\n{TEXTS}\n{states}")
}

const STATES: &str = r#"
[state.one]
text = "One"
options = [{ key = "1", goto = "two" }, { key = "5", goto = "ask" }]

[state.two]
text = "Two"
options = [{ key = "1", goto = "three" }, { key = "7", goto = "two" }]
input = { accept = "digits", min = 4, max = 4, goto = "three" }

[state.three]
text = "Three"
options = [{ key = "0", goto = "end" }, { key = "3", goto = "act" }]

[state.ask]
ask = "look"
results = { yes = "two" }

[state.act]
ask = "act"
effect = true
results = { done = "after" }

[state.after]
text = "After"
options = [{ key = "9", goto = "end" }]

[state.end]
end = "End"
"#;

fn bench(keys: &str) -> Bench {
    Bench::of(&menu(keys, STATES), Events::Effects, Options::default())
        .answering("look", Answer::word("yes"))
        .answering("act", Answer::word("done"))
}

/// The last lines of what is shown after each key.
fn shown(bench: &mut Bench, keys: &[&str]) -> Vec<String> {
    bench.turn("s", ALICE, "").unwrap();
    let hops = (1..=keys.len()).map(|count| keys[..count].join("*"));
    hops.map(|text| bench.turn("s", ALICE, &text).unwrap()[4..].replace('\n', "|")).collect()
}

#[test]
fn back_and_home_lead_through_the_screens_that_were_seen() {
    assert_eq!(shown(&mut bench(""), &["1", "1", "00"]), ["Two", "Three", "One"]);
    assert_eq!(shown(&mut bench(""), &["1", "0", "0", "1"]), ["Two", "One", "No.|One", "Two"]);
    assert_eq!(shown(&mut bench(""), &["1", "7", "0"]), ["Two", "Two", "One"], "itself is no way");
    assert_eq!(shown(&mut bench(""), &["5", "0"]), ["Two", "One"], "a question is none either");
    assert_eq!(shown(&mut bench(""), &["1", "1", "0"]), ["Two", "Three", "End"], "an option first");
    assert_eq!(shown(&mut bench(""), &["1", "0000"]), ["Two", "Three"], "input first");
    // Keys of the menu's own, and none.
    assert_eq!(shown(&mut bench("keys = { back = '#' }"), &["1", "#"]), ["Two", "One"]);
    let none = "keys = { back = 'none', home = 'none' }";
    assert_eq!(shown(&mut bench(none), &["1", "0", "00"]), ["Two", "No.|Two", "No.|Two"]);
}

#[test]
fn there_is_no_way_back_to_before_an_effect() {
    let mut bench = bench("");
    let seen = shown(&mut bench, &["1", "1", "3", "0", "9"]);
    assert_eq!(seen, ["Two", "Three", "After", "No.|After", "End"]);
    let effects = bench.asked.iter().filter(|ask| ask.mode == AskMode::Effect);
    assert_eq!(effects.map(|ask| &*ask.key).collect::<Vec<_>>(), ["m:s:act:2"]);
}

#[test]
fn a_walk_goes_back_as_keys_one_by_one_do() {
    let keys = ["1", "1", "00", "1", "0", "5"];
    let one_by_one = shown(&mut bench(""), &keys);
    let walked = bench("").turn("s", ALICE, &keys.join("*")).unwrap();
    assert_eq!(walked[4..], *one_by_one.last().unwrap());
}

const LIST: &str = r#"
[state.one]
text = """
Which?
1. Kibera north by the river
2. Kibera south by the road
3. Mathare at the school
4. Kawangware market"""
paged = true
options = [{ key = "1", goto = "end" }, { key = "4", goto = "end" }, { key = "7", goto = "name" }]

[state.name]
text = "Name?"
input = { accept = "name", max = 20, goto = "one" }

[state.end]
end = "End"
"#;

fn narrow(septets: usize) -> Networks {
    let (session, idle) = (Duration::from_secs(180), Duration::from_secs(180));
    let limits = Limits { septets, units: 70 };
    let (code, name) = ("63902".into(), "narrow".into());
    Networks::new(vec![Network { code, name, limits, session, idle }])
}

#[test]
fn a_long_screen_is_shown_in_pages() {
    let service = service_of(&menu("", LIST), &Phrases::default(), narrow(80), Events::Effects);
    let mut bench = Bench::with(service, Options::default());
    let first = "Which?|1. Kibera north by the river|2. Kibera south by the road|98. More";
    let second = "3. Mathare at the school|4. Kawangware market|0. Back";
    let again = |page: &str| format!("No.|{page}");
    assert_eq!(bench.turn("s", ALICE, "").unwrap()[4..].replace('\n', "|"), first);
    let seen = shown(&mut bench, &["98", "98", "0", "x", "98", "98"]);
    let expected = [second, &again(second), first, &again(first), second];
    assert_eq!(seen[..5], expected);
    assert_eq!(seen[5], "Often.", "three on one screen, whichever page");
    // Options of every page count on each; another screen begins at its first page.
    bench.pass(Duration::from_secs(60));
    assert!(bench.turn("t", ALICE, "4").unwrap().starts_with("END"));
    let seen = bench.turn("u", ALICE, "98*7*Asha").unwrap();
    assert_eq!(seen[4..].replace('\n', "|"), first);
    // Where it fits whole there are no pages and no hints.
    let wide = service_of(&menu("", LIST), &Phrases::default(), narrow(160), Events::Effects);
    let mut bench = Bench::with(wide, Options::default());
    let whole = bench.turn("s", ALICE, "").unwrap();
    assert!(whole.ends_with("4. Kawangware market"), "{whole}");
    assert!(bench.turn("s", ALICE, "98").unwrap().starts_with("CON No.\nWhich?"));
}

const CHECKED: &str = r#"
[state.one]
text = "Number?"
errors = { taken = "That is taken." }
input = { accept = "digits", max = 4, save = "it", goto = "two", check = { ask = "check", arguments = { it = "{input}", in = "{language}" }, values = { who = 10 }, results = { taken = "again", odd = "again", gone = "end" }, late = "Too late." } }

[state.two]
text = "Thanks {who}, {it}"
options = [{ key = "1", goto = "end" }]

[state.end]
end = "End"
"#;

#[test]
fn an_input_counts_once_its_check_says_so() {
    let seen = |answer: Answer| {
        let mut bench = Bench::of(&menu("", CHECKED), Events::Effects, Options::default())
            .answering("check", answer);
        let seen = shown(&mut bench, &["12"]).remove(0);
        let told = &bench.asked[0].arguments;
        let told: Vec<_> = told.iter().map(|(name, it)| (&**name, it.expose().as_str())).collect();
        assert_eq!(told, [("in", "en"), ("it", "12")]);
        seen
    };
    assert_eq!(seen(Answer::word("ok").with("who", "Asha")), "Thanks Asha, 12");
    assert_eq!(seen(Answer::word("taken")), "That is taken.|Number?");
    assert_eq!(seen(Answer::word("odd")), "No.|Number?", "without a reason of its own");
    assert_eq!(seen(Answer::word("gone")), "End");
    assert_eq!(seen(Answer::word("what?")), "Too late.", "in no words of the menu");
    // An answer cannot set what the dialogue knows by itself.
    assert_eq!(seen(Answer::word("ok").with("input", "99").with("it", "77")), "Thanks -, 12");
}

#[test]
fn a_check_that_is_late_ends_with_its_own_words() {
    let mut bench = Bench::of(&menu("", CHECKED), Events::Effects, Options::default());
    bench.turn("s", ALICE, "").unwrap();
    let _ = bench.receive("s", ALICE, "12");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.body(&bench.sent[0].1), "END Too late.");
}

#[test]
fn many_checks_of_one_walk_are_asked_but_not_without_end() {
    let states = CHECKED.replace("goto = \"two\"", "goto = \"one\"");
    let states = states.replace("\"Thanks {who}, {it}\"", "\"Thanks\"");
    let states =
        format!("{states}\n[state.three]\ntext = 'x'\noptions = [{{ key = '1', goto = 'two' }}]\n");
    let states =
        states.replacen("errors =", "options = [{ key = 'a', goto = 'three' }]\nerrors =", 1);
    let walked = |count: usize| {
        let mut bench = Bench::of(&menu("", &states), Events::Effects, Options::default())
            .answering("check", Answer::word("ok"));
        let body = bench.turn("s", ALICE, &vec!["12"; count].join("*")).unwrap();
        (body, bench.asked.len())
    };
    assert_eq!(walked(24), ("CON Number?".to_owned(), 24), "a walk back asks as often as it was");
    assert_eq!(walked(25), ("END Too late.".to_owned(), 24));
}
