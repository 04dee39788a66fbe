//! The shipped menu `water`: what went wrong in the service it is made after, and every outcome of its
//! questions in both languages.

use crate::bench::{ALICE, BOB, Bench, dialled, keyed, service_of, turn};
use lastmile_ussd::{
    Answer, AskMode, Events, Limits, Menu, Network, Networks, Options, Phrases, Turn,
};
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const WATER: &str = include_str!("../../../../config/menus/water.toml");
const ENGLISH: &str = include_str!("../../../../config/menus/phrases/water.en.toml");
const SWAHILI: &str = include_str!("../../../../config/menus/phrases/water.sw.toml");

fn phrases() -> Phrases {
    let mut phrases = Phrases::parse("en", ENGLISH).unwrap();
    phrases.merge(&Phrases::parse("sw", SWAHILI).unwrap());
    phrases.falling_back_to("en")
}

/// Those of Kenya.
fn networks() -> Networks {
    let network = |code: &str, name: &str, characters| Network {
        code: code.into(),
        name: name.into(),
        limits: Limits::of(characters, 160),
        session: Duration::from_secs(180),
        idle: Duration::from_secs(30),
    };
    Networks::new(vec![network("63902", "safaricom", 160), network("63903", "airtel", 182)])
}

fn bench() -> Bench {
    static SERVICE: OnceLock<Arc<lastmile_ussd::Service>> = OnceLock::new();
    let service =
        SERVICE.get_or_init(|| service_of(WATER, &phrases(), networks(), Events::Effects));
    let bench = Bench::with(Arc::clone(service), Options::default());
    [
        ("water_caller", Answer::word("unknown")),
        ("water_site", Answer::word("ok")),
        ("water_register", Answer::word("registered")),
        ("water_move", Answer::word("moved")),
        ("water_pin", Answer::word("ok")),
        ("water_code", Answer::word("code").with("code", "123AB").with("expires", "21/12/2026")),
        ("water_offer", offer()),
        ("water_pay", Answer::word("requested")),
        ("water_balance", Answer::word("left").with("left", "12")),
        ("water_verify", Answer::word("ok").with("left", "3")),
        ("water_collect", Answer::word("collected").with("left", "2")),
    ]
    .into_iter()
    .fold(bench, |bench, (operation, answer)| bench.answering(operation, answer))
}

fn offer() -> Answer {
    Answer::word("offer").with("fee", "300").with("site", "Kibera north").with("channel", "till")
}

fn customer(language: &str) -> Bench {
    let answer = Answer::word("customer").with("first_name", "Asha").with("lang", language);
    bench().answering("water_caller", answer)
}

/// What is seen after these keys, typed one by one from the dial on.
fn seen(bench: &mut Bench, keys: &[&str]) -> String {
    let mut last = bench.turn("s", ALICE, "").unwrap();
    for count in 1..=keys.len() {
        last = bench.turn("s", ALICE, &keys[..count].join("*")).unwrap();
    }
    last
}

/// What a backend was told at the one effect.
fn effect(bench: &Bench) -> Vec<(String, String)> {
    let mut effects = bench.asked.iter().filter(|ask| ask.mode == AskMode::Effect);
    let ask = effects.next().expect("an effect");
    assert!(effects.next().is_none(), "one effect");
    let pair = |(name, value): &(Box<str>, model::Redacted<String>)| {
        (name.to_string(), value.expose().clone())
    };
    ask.arguments.iter().map(pair).collect()
}

fn has_no_effect(bench: &Bench) {
    assert!(bench.asked.iter().all(|ask| ask.mode == AskMode::Question), "{:?}", bench.asked);
}

#[test]
fn a_caller_registers() {
    let mut bench = bench();
    let body = bench.turn("s", ALICE, "").unwrap();
    assert_eq!(
        body,
        "CON Welcome to the water service. Choose a language.\nKaribu huduma ya maji. Chagua \
         lugha.\n1. English\n2. Kiswahili\n0. Exit"
    );
    let body = seen(&mut bench, &["2", "1", "JOHN", "O'Neil", "0123", "lod"]);
    assert_eq!(body, "END Umesajiliwa. Piga tena kununua usajili wa mwezi.");
    let expected = [
        ("first", "JOHN"),
        ("language", "sw"),
        ("last", "O'Neil"),
        ("nickname", "lod"),
        ("pin", "0123"),
    ];
    let mut told = effect(&bench);
    told.sort();
    assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Registers as caller `of` with names, PIN and site of his own; the keys in order.
fn registration(of: usize) -> Vec<String> {
    let letter = |of: usize| char::from(b'a' + u8::try_from(of % 26).unwrap());
    let name = format!("Asha{}{}", letter(of), letter(of / 26));
    [
        ["1", "2"][of % 2].to_owned(),
        "1".to_owned(),
        name.clone(),
        format!("Njeri{}", &name[4..]),
        format!("{:04}", 7 * of),
        format!("SITE{of}"),
    ]
    .into()
}

fn number(of: usize) -> String {
    format!("+2547110000{of:02}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Registration answers of callers whose hops come between each other never mix, whether the
    /// aggregator repeats the input or not.
    #[test]
    fn defect_1_what_interleaved_callers_answer_never_mixes(
        order in prop::collection::vec(0usize..50, 350),
        repeats in any::<bool>(),
    ) {
        let mut bench = bench();
        let mut hops = [0usize; 50];
        for caller in order.into_iter().chain(0..50).chain((0..50).cycle().take(300)) {
            let keys = registration(caller);
            let done = hops[caller];
            if done > keys.len() {
                continue;
            }
            hops[caller] += 1;
            let (session, number) = (format!("s{caller}"), number(caller));
            if repeats {
                bench.turn(&session, &number, &keys[..done].join("*"));
            } else {
                let input = match done.checked_sub(1) {
                    None => dialled(""),
                    Some(at) => keyed(&keys[at]),
                };
                let hop = Some(done.to_string().into());
                bench.latest(&Turn { hop, ..turn(&session, &number, input) });
            }
        }
        prop_assert!(hops.iter().all(|done| *done == 7), "{hops:?}");
        let mut registered = 0;
        for ask in bench.asked.iter().filter(|ask| ask.mode == AskMode::Effect) {
            let caller: usize = ask.device.as_str()[ask.device.as_str().len() - 2..].parse().unwrap();
            let keys = registration(caller);
            let told = |name: &str| {
                let found = ask.arguments.iter().find(|(it, _)| **it == *name);
                found.map(|(_, value)| value.expose().clone()).unwrap()
            };
            prop_assert_eq!(told("language"), ["en", "sw"][caller % 2]);
            prop_assert_eq!(&told("first"), &keys[2]);
            prop_assert_eq!(&told("last"), &keys[3]);
            prop_assert_eq!(&told("pin"), &keys[4]);
            prop_assert_eq!(&told("nickname"), &keys[5]);
            registered += 1;
        }
        prop_assert_eq!(registered, 50);
    }
}

#[test]
fn defect_2_a_last_hop_on_a_cold_worker_makes_nothing() {
    let keys = ["1", "1", "Asha", "Njeri", "0123", "KIBERA"];
    let mut cold = bench();
    let body = cold.turn("s", ALICE, &keys.join("*")).unwrap();
    assert!(body.starts_with("CON The short name of your water point?"), "{body}");
    has_no_effect(&cold);
    // Typed once more it is whole: what the walk took is there.
    let body = cold.turn("s", ALICE, &format!("{}*KIBERA", keys.join("*"))).unwrap();
    assert!(body.starts_with("END You are registered."), "{body}");
    let told = effect(&cold);
    assert!(told.contains(&("first".to_owned(), "Asha".to_owned())), "{told:?}");
    assert!(told.contains(&("pin".to_owned(), "0123".to_owned())), "{told:?}");
    // Where the aggregator sends the last keys alone, nothing of them is taken.
    let mut cold = bench();
    let body = cold.latest(&turn("s", ALICE, keyed("KIBERA"))).unwrap();
    assert!(body.starts_with("CON Welcome"), "{body}");
    has_no_effect(&cold);
}

#[test]
fn defect_3_zero_on_the_language_screen_says_goodbye() {
    assert_eq!(seen(&mut bench(), &["0"]), "END Thank you. Goodbye.");
    let mut latest = bench();
    latest.latest(&turn("s", ALICE, dialled("")));
    assert_eq!(latest.latest(&turn("s", ALICE, keyed("0"))).unwrap(), "END Thank you. Goodbye.");
}

#[test]
fn defect_4_twelve_is_no_language_and_leads_nowhere() {
    let mut bench = bench();
    let body = seen(&mut bench, &["12"]);
    assert!(body.starts_with("CON That is not a choice.\nWelcome"), "{body}");
    // What came behind it then moved another's account although an error was shown.
    for text in ["12*2", "12*2*2"] {
        bench.turn("s", ALICE, text).unwrap();
    }
    let body = bench.turn("s", ALICE, "12*2*2*+254711000009").unwrap();
    assert_eq!(body, "CON PIN yako?");
    has_no_effect(&bench);
    for key in ["1 2", "01", "1a", "3", "", "98", "00"] {
        let body = seen(&mut self::bench(), &["1", key]);
        assert!(body.contains("That is not a choice.") || key.is_empty(), "{key}: {body}");
    }
}

#[test]
fn defect_5_no_screen_is_without_its_phrase() {
    let manager = Answer::word("manager").with("lang", "en");
    let mut bench = bench().answering("water_caller", manager);
    assert_eq!(seen(&mut bench, &["0"]), "END Thank you. Goodbye.");

    let whole = phrases();
    let mut shown = 0;
    for (language, key, _) in whole.iter() {
        let mut without = whole.clone();
        without.remove(language, key);
        let parsed = Menu::parse(WATER, &without, &networks());
        if key.starts_with("sms_") {
            assert!(parsed.is_ok(), "{key} is no screen's");
            continue;
        }
        let error = parsed.expect_err(key);
        let named = format!("the phrase `@{key}`, which is not there in `{language}`");
        let fault = error.faults.iter().find(|fault| fault.text.contains(&named));
        let fault = fault.unwrap_or_else(|| panic!("{error}"));
        let line = WATER.lines().nth(fault.line - 1).unwrap();
        assert!(line.contains(&format!("\"@{key}\"")), "line {}: {line}", fault.line);
        shown += 1;
    }
    assert!(shown > 100, "{shown}");
    let keys = |language| {
        let of = move |(it, key, _): (&'static str, &'static str, &'static str)| {
            (it == language).then_some(key)
        };
        let all: Vec<_> = Box::leak(Box::new(phrases())).iter().filter_map(of).collect();
        all
    };
    assert_eq!(keys("en"), keys("sw"), "messages too are there in both");
}

#[test]
fn defect_15_no_screen_needs_ucs_2() {
    for (language, key, text) in phrases().iter() {
        let gsm_alone = Limits { septets: usize::MAX, units: 0 };
        assert_eq!(gsm_alone.excess(text), 0, "`{key}` in `{language}` is not all GSM-7");
    }
    // And each one fits the network that shows least, its values as long as they may be.
    let gsm_alone = Network {
        code: "1".into(),
        name: "narrow".into(),
        limits: Limits { septets: 160, units: 0 },
        session: Duration::from_secs(1),
        idle: Duration::from_secs(1),
    };
    Menu::parse(WATER, &phrases(), &Networks::new(vec![gsm_alone])).unwrap();
    let dashed =
        ENGLISH.replace("Welcome to the water service.", "Welcome — to the water service.");
    let mut dashes = phrases();
    dashes.merge(&Phrases::parse("en", &dashed).unwrap());
    let error = Menu::parse(WATER, &dashes, &networks()).unwrap_err().to_string();
    assert!(error.contains("`state.welcome` is too long by"), "{error}");
    assert!(error.contains("in `en` on `safaricom` (screen)"), "{error}");
}

/// Every outcome of every question, and where it leads.
#[test]
fn every_outcome_has_its_words_in_both_languages() {
    let held: &[&str] = &["held", "??"];
    let cases: [(&str, &str, &[&str], &[&str]); 8] = [
        (
            "unknown",
            "water_register",
            &["1", "Asha", "Njeri", "0123", "LOD"],
            &["registered", "taken", "unknown_site"],
        ),
        (
            "unknown",
            "water_move",
            &["2", "+254711000009", "0123"],
            &["moved", "mismatch", "locked"],
        ),
        ("customer", "water_pin", &["0123"], &["wrong", "locked"]),
        ("customer", "water_code", &["0123", "1"], &["code", "none"]),
        ("customer", "water_balance", &["0123", "3"], &["left", "none"]),
        ("customer", "water_offer", &["0123", "2"], &["subscribed", "open", "unavailable"]),
        (
            "customer",
            "water_pay",
            &["0123", "2", "1"],
            &["requested", "subscribed", "open", "unavailable"],
        ),
        (
            "manager",
            "water_collect",
            &["1", "123AB", "1"],
            &["collected", "none_left", "expired", "not_my_site", "unknown_code", "too_many_codes"],
        ),
    ];
    let mut all = Vec::new();
    for (caller, operation, keys, outcomes) in cases {
        for outcome in outcomes.iter().chain(held) {
            let both = ["en", "sw"].map(|language| {
                let known = Answer::word(caller).with("lang", language).with("first_name", "Asha");
                let answer = Answer::word(outcome).with("left", "7").with("code", "999ZZ");
                let mut bench =
                    bench().answering("water_caller", known).answering(operation, answer);
                let chosen = ["1", "2"][usize::from(language == "sw")];
                let keys =
                    if caller == "unknown" { [&[chosen], keys].concat() } else { keys.into() };
                let body = seen(&mut bench, &keys);
                assert!(body.starts_with("END "), "{operation} {outcome}: {body}");
                body
            });
            assert_ne!(both[0], both[1], "{operation} {outcome}");
            if *outcome == "??" {
                assert!(
                    both[0].starts_with("END Something went wrong"),
                    "{operation}: {}",
                    both[0]
                );
            }
            all.extend(both);
        }
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2 * 22, "{all:#?}");
}

#[test]
fn a_fee_that_is_another_by_now_is_shown_before_it_is_paid() {
    let mut bench = customer("en").answering("water_pay", Answer::word("changed"));
    let body = seen(&mut bench, &["0123", "2"]);
    let ask = bench.turn("s", ALICE, "0123*2*1").unwrap();
    assert_eq!(ask, body, "the offer again");
    let paid = bench.asked.iter().find(|it| &*it.operation == "water_pay").unwrap();
    assert_eq!((&*paid.arguments[0].0, paid.arguments[0].1.expose().as_str()), ("fee", "300"));
}

#[test]
fn a_wrong_site_is_an_input_error_like_any_other() {
    let mut bench = bench().answering("water_site", Answer::word("unknown"));
    let keys = ["1", "1", "Asha", "Njeri", "0123", "NOWHERE"];
    let body = seen(&mut bench, &keys);
    assert!(body.starts_with("CON There is no such water point.\nThe short name"), "{body}");
    let nickname = &bench.asked.last().unwrap().arguments[0];
    assert_eq!((&*nickname.0, nickname.1.expose().as_str()), ("nickname", "NOWHERE"));
    // A second fault is of the form, the third ends it; then all three are counted together.
    let body = bench.turn("s", ALICE, &format!("{}*?", keys.join("*"))).unwrap();
    assert!(body.starts_with("CON A short name has 2 to 30"), "{body}");
    let body = bench.turn("s", ALICE, &format!("{}*?*NOWHERE", keys.join("*"))).unwrap();
    assert!(body.starts_with("END That was not a choice either."), "{body}");
    has_no_effect(&bench);
}

#[test]
fn a_pin_is_asked_for_once_and_shown_nowhere() {
    let mut bench = customer("en").answering("water_pin", Answer::word("wrong"));
    assert_eq!(bench.turn("s", ALICE, "").unwrap(), "CON Hello Asha. Your PIN?");
    let body = bench.turn("s", ALICE, "12a4").unwrap();
    assert!(body.starts_with("CON A PIN has four digits."), "{body}");
    assert_eq!(bench.asked.len(), 1, "what is no PIN is not asked about");
    assert_eq!(bench.turn("s", ALICE, "12a4*0123").unwrap(), "END Wrong PIN. Please dial again.");
    assert_eq!(&*bench.asked[1].key, "water:s:water_pin:2", "of the key that is checked");
    assert_eq!(bench.asked[1].arguments[0].1.expose(), "0123");
    let printed = format!("{:?} {:?} {:?}", bench.table, bench.asked, bench.facts);
    assert!(!printed.contains("0123"), "{printed}");
}

#[test]
fn a_crash_between_a_payment_and_its_answer_is_told_as_if_nothing_had_been() {
    let keys = ["0123", "2", "1"];
    let mut before = customer("en");
    let paid = seen(&mut before, &keys);
    assert!(paid.starts_with("END Please wait for M-Pesa"), "{paid}");
    let key = before.asked.last().unwrap().key.to_string();
    assert_eq!(key, "water:s:water_pay:2", "the keys until its screen");

    // The daemon died before the caller heard; his aggregator sends the hop again.
    let mut after = customer("en");
    after.effects.clone_from(&before.effects);
    assert_eq!(after.turn("s", ALICE, &keys.join("*")).unwrap(), paid);
    assert_eq!(after.recalled, std::slice::from_ref(&key));
    has_no_effect(&after);

    // It died before the payment: nothing was had, and the caller confirms the same effect.
    let mut after = customer("en");
    let body = after.turn("s", ALICE, &keys.join("*")).unwrap();
    assert!(body.starts_with("CON One month of water at Kibera north for KES 300"), "{body}");
    has_no_effect(&after);
    after.turn("s", ALICE, &format!("{}*1", keys.join("*"))).unwrap();
    assert_eq!(*after.asked.last().unwrap().key, *key);
}

#[test]
fn a_registration_that_broke_off_is_gone_on_with_when_he_likes() {
    let mut bench = bench();
    let begun = ["2", "1", "Asha", "Njeri", "0123"];
    assert!(seen(&mut bench, &begun).starts_with("CON Jina fupi"));
    bench.pass(Duration::from_secs(40));
    assert!(bench.log.contains(&". timeout".to_owned()), "{:?}", bench.log);
    assert_eq!(bench.resumes.len(), 1);

    let body = bench.turn("t", ALICE, "").unwrap();
    assert_eq!(body, "CON Simu ilikatika. Uendelee?\n1. Endelea\n2. Anza upya");
    let body = bench.turn("t", ALICE, "7").unwrap();
    assert!(body.starts_with("CON Hilo si chaguo.\nSimu ilikatika"), "{body}");
    // His PIN is not kept: he is asked for it again, and the names are there.
    let body = bench.turn("t", ALICE, "7*1").unwrap();
    assert!(body.starts_with("CON Chagua PIN"), "{body}");
    bench.turn("t", ALICE, "7*1*4567").unwrap();
    let body = bench.turn("t", ALICE, "7*1*4567*LOD").unwrap();
    assert!(body.starts_with("END Umesajiliwa"), "{body}");
    let told = effect(&bench);
    for (name, value) in [("first", "Asha"), ("last", "Njeri"), ("pin", "4567"), ("language", "sw")]
    {
        assert!(told.contains(&(name.to_owned(), value.to_owned())), "{told:?}");
    }
    assert!(bench.turn("u", ALICE, "").unwrap().starts_with("CON Welcome"), "it is asked once");
}

#[test]
fn a_broken_off_dialogue_is_its_caller_s_and_of_its_menu_and_a_moment_old() {
    let begun = || {
        let mut bench = bench();
        seen(&mut bench, &["1", "1", "Asha"]);
        bench.pass(Duration::from_secs(36));
        bench
    };
    let mut bench = begun();
    assert!(bench.turn("b", BOB, "").unwrap().starts_with("CON Welcome"), "another caller");
    assert!(bench.turn("d", ALICE, "1*1").unwrap().starts_with("CON Your first"), "keys come too");
    let mut bench = begun();
    bench.turn("t", ALICE, "").unwrap();
    assert!(bench.turn("t", ALICE, "2").unwrap().starts_with("CON Welcome"), "he begins anew");
    let mut bench = begun();
    bench.pass(Options::default().resume_within);
    assert!(bench.turn("t", ALICE, "").unwrap().starts_with("CON Welcome"), "too late");
    let mut bench = begun();
    let mut changed = phrases();
    changed.set("en", "last_name", "Surname?");
    bench.service = service_of(WATER, &changed, networks(), Events::Effects);
    assert!(bench.turn("t", ALICE, "").unwrap().starts_with("CON Welcome"), "another menu");

    // Nobody lands behind a PIN.
    let mut bench = customer("en");
    seen(&mut bench, &["0123", "2"]);
    bench.pass(Duration::from_secs(36));
    assert!(bench.resumes.is_empty());
    // An end that the menu came to is no break.
    let mut bench = self::bench();
    seen(&mut bench, &["1", "1", "Asha", "Njeri", "0123", "LOD"]);
    assert!(bench.resumes.is_empty());
}

#[test]
fn a_dialogue_keeps_the_menu_it_began_with() {
    let mut bench = bench();
    let first = bench.turn("s", ALICE, "").unwrap();
    let mut changed = phrases();
    changed.set("en", "first_name", "What are you called?");
    changed.set("kam", "language_name", "Kikamba");
    changed.set("kam", "first_name", "Syitwa yaku?");
    changed.set("kam", "welcome", "Eka kuthi.");
    bench.service = service_of(WATER, &changed, networks(), Events::Effects);
    assert_eq!(bench.turn("s", ALICE, "").unwrap(), first, "also when it is repeated");
    assert_eq!(bench.turn("s", ALICE, "1*1").unwrap(), "CON Your first name?");
    let dialled = bench.turn("t", BOB, "").unwrap();
    assert!(dialled.contains("\n1. English\n2. Kiswahili\n3. Kikamba\n0. Exit"), "{dialled}");
    assert_eq!(bench.turn("t", BOB, "1*1").unwrap(), "CON What are you called?");
    // What a new language does not say yet is said in the first.
    assert!(bench.turn("u", BOB, "3").unwrap().starts_with("CON What would you like to do?"));
    assert_eq!(bench.turn("u", BOB, "3*1").unwrap(), "CON Syitwa yaku?");
    assert_eq!(&*bench.asked.last().unwrap().operation, "water_caller");
    assert_eq!(bench.turn("u", BOB, "3*1*Zoé").unwrap(), "CON Your family name?");
}

#[test]
fn silence_ends_with_what_the_network_allows() {
    let mut bench = bench();
    bench.turn("s", ALICE, "").unwrap();
    bench.pass(Duration::from_secs(34));
    assert!(bench.turn("s", ALICE, "1").unwrap().starts_with("CON "), "30 s, and 5 s on the way");
    bench.pass(Duration::from_secs(35));
    assert!(bench.log.contains(&". timeout".to_owned()));
    // The whole session: 180 s, however busy he is.
    let mut bench = self::bench();
    let mut text = String::new();
    bench.turn("s", ALICE, "").unwrap();
    for key in ["1", "1", "Asha", "Njeri", "1", "1234", "?"] {
        bench.pass(Duration::from_secs(25));
        text = if text.is_empty() { key.to_owned() } else { format!("{text}*{key}") };
        bench.turn("s", ALICE, &text).unwrap();
    }
    assert!(!bench.log.contains(&". timeout".to_owned()), "175 s");
    bench.pass(Duration::from_secs(10));
    assert!(bench.log.contains(&". timeout".to_owned()), "185 s");
}

#[test]
fn a_screen_fits_the_caller_s_own_network() {
    let mut bench = bench();
    for network in ["63902", "63903", "00000"] {
        let caller = Answer::word("customer").with("first_name", "W".repeat(40)).with("lang", "en");
        bench.answers.insert("water_caller".to_owned(), caller);
        let turn = Turn { network: network.into(), ..turn(network, ALICE, dialled("")) };
        let body = bench.latest(&turn).unwrap();
        assert_eq!(body, format!("CON Hello {}. Your PIN?", "W".repeat(30)));
    }
}
