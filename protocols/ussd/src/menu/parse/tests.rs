use super::*;
use crate::menu::{Fault, Menu};
use crate::network::Network;
use crate::text::Limits;
use proptest::prelude::*;
use std::time::Duration;

/// Small, without a fault, with one of each kind of state.
const SMALL: &str = r#"name = "small"
languages = ["en", "sw"]
start = "main"

[texts]
wrong_input = "No."
attempts = "Too often."
retry = "Later."
late = "Late."
hops = "Long."

[state.main]
text = { en = "Hello", sw = "Habari" }
options = [
    { key = "1", text = "Ask", goto = "ask" },
    { key = "2", goto = "name" },
    { key = "9", text = "Next", goto = "main", lang = "next" },
]

[state.name]
text = "Your name?"
input = { accept = "name", min = 2, max = 20, save = "name", goto = "sure" }

[state.sure]
text = "Sure, {name}?"
options = [{ key = "1", text = "Yes", goto = "do" }]

[state.ask]
ask = "look"
values = { since = 20 }
arguments = { who = "{name}" }
results = { yes = "done" }
otherwise = "done"

[state.do]
ask = "act"
effect = true
timeout = "500ms"
results = { yes = "done" }

[state.done]
end = "Since {since}."
"#;

fn faults(source: &str) -> Vec<Fault> {
    Menu::parse(source, &Phrases::default(), &Networks::default())
        .map_or_else(|error| error.faults, |_| Vec::new())
}

/// What changing `from` to `to` in the small menu is answered with.
fn changed(from: &str, to: &str) -> Vec<Fault> {
    assert!(SMALL.contains(from), "{from}");
    faults(&SMALL.replacen(from, to, 1))
}

fn holds(from: &str, to: &str, line: usize, place: &str, part: &str) {
    let found = changed(from, to);
    let hit = found.iter().any(|it| it.line == line && it.place == place && it.text.contains(part));
    assert!(hit, "{from:?} → {to:?}: {found:#?}");
}

#[test]
fn the_small_menu_is_taken() {
    let menu = Menu::parse(SMALL, &Phrases::default(), &Networks::default()).unwrap();
    assert_eq!(menu.name(), "small");
    assert_eq!(
        menu.operations().collect::<Vec<_>>(),
        [("look", false), ("act", true)].map(|it| it)
    );
    assert_eq!(menu.attempts(), 3, "the default");
    assert_eq!(menu.retry_text().as_ref(), "Later.");
}

#[test]
fn what_is_no_menu_is_refused_with_its_line() {
    assert_eq!(changed("start = \"main\"", "start = ")[0].line, 3);
    assert_eq!(changed("effect = true", "effect = true\neffect = true")[0].line, 38);
    holds("name = \"small\"", "", 1, "", "lacks `name`");
    holds("name = \"small\"", "name = \"Small!\"", 1, "name", "no word");
    holds("start = \"main\"", "start = \"mane\"", 3, "start", "no state");
    holds("start = \"main\"", "start = 3", 3, "start", "text in quotes");
    holds("start = \"main\"", "start = \"main\"\nattempts = 0", 4, "attempts", "from 1 to 10");
    holds("start = \"main\"", "start = \"main\"\ncolour = 1", 4, "", "no key `colour`");
    holds("retry = \"Later.\"\n", "", 5, "texts", "lacks `retry`");
    holds("late = ", "laet = ", 9, "texts", "no key `laet`");
    holds("[\"en\", \"sw\"]", "[]", 2, "languages", "1 to 8");
    holds("[\"en\", \"sw\"]", "[\"en\", \"en\"]", 2, "languages", "twice");
    holds("[\"en\", \"sw\"]", "[\"en\", \"next\"]", 2, "languages", "no word");
    holds("[state.name]", "[state.Name]", 20, "state.Name", "no word");
    let long = "#".repeat(SOURCE_LEN_MAX + 1);
    assert!(faults(&long)[0].text.contains("longer"));
}

#[test]
fn a_state_s_faults_are_named() {
    holds(", sw = \"Habari\"", "", 13, "state.main.text", "not there in `sw`");
    holds("sw = \"Habari\"", "fr = \"Salut\"", 13, "state.main.text", "`fr`");
    holds("\"Your name?\"", "\"\"", 21, "state.name.text", "empty");
    holds("\"Your name?\"", "\"{nmae}?\"", 21, "state.name.text", "`{nmae}`");
    holds("\"Your name?\"", "\"{name?\"", 21, "state.name.text", "bracket");
    holds("text = \"Your name?\"", "end = \"a\"\ntext = \"b\"", 20, "state.name", "one of");
    holds("key = \"2\", goto", "key = \"*\", goto", 16, "state.main.options.key", "typed");
    holds("key = \"2\", goto", "goto", 16, "state.main.options", "lacks `key`");
    holds("goto = \"name\"", "goto = \"nmae\"", 16, "state.main.options.goto", "`nmae`");
    holds("key = \"2\"", "key = \"1\"", 12, "state.main", "two options for `1`");
    holds("lang = \"next\"", "lang = \"fr\"", 17, "state.main.options.lang", "`fr`");
    holds("accept = \"name\"", "accept = \"^[a-z]$\"", 22, "state.name.input.accept", "`digits`");
    holds("max = 20, save", "save", 22, "state.name.input", "lacks `max`");
    holds("min = 2", "min = 21", 22, "state.name.input", "below its `min`");
    holds("timeout = \"500ms\"", "timeout = \"1m\"", 38, "state.do.timeout", "duration");
    holds("timeout = \"500ms\"", "timeout = \"10s\"", 38, "state.do.timeout", "at most");
    holds("effect = true", "effect = 1", 37, "state.do.effect", "true or false");
    holds("{ since = 20 }", "{ since = 0 }", 30, "state.ask.values.since", "1 to 160");
    holds("who = \"{name}\"", "who = \"{nobody}\"", 31, "state.ask.arguments.who", "`{nobody}`");
    holds("otherwise = \"done\"", "otherwise = \"x\"", 33, "state.ask.otherwise", "no state");
}

#[test]
fn where_a_menu_leads_is_checked() {
    holds(
        "[state.done]",
        "[state.lost]\nend = \"a\"\n[state.done]",
        41,
        "state.lost",
        "cannot be reached",
    );
    let found = changed("[{ key = \"1\", text = \"Yes\", goto = \"do\" }]", "[]");
    assert!(found.iter().any(|it| it.text.contains("dead end") && it.line == 24), "{found:?}");
    assert!(found.iter().any(|it| it.text.contains("leads to no end")), "{found:?}");
    holds(
        "results = { yes = \"done\" }\notherwise",
        "results = { yes = \"do\" }\notherwise",
        35,
        "state.do",
        "only a key",
    );
    holds("start = \"main\"", "start = \"do\"", 35, "state.do", "only a key");
    holds(
        "results = { yes = \"done\" }\notherwise = \"done\"",
        "results = { yes = \"ask\" }\notherwise = \"done\"",
        28,
        "state.ask",
        "in a row",
    );
}

#[test]
fn the_longest_screen_must_fit() {
    let text = |length: usize| format!("\"{}\"", "a".repeat(length));
    // Below its error line: "No." and a line break before it.
    assert_eq!(changed("\"Your name?\"", &text(178)), []);
    holds("\"Your name?\"", &text(179), 20, "state.name", "too long by 1 in `en`");
    assert_eq!(changed("\"Since {since}.\"", &format!("\"{}{{since}}\"", "a".repeat(162))), []);
    let over = format!("\"{}{{since}}\"", "a".repeat(163));
    holds("\"Since {since}.\"", &over, 41, "state.done", "too long by 1");
    let dash = format!("\"—{}\"", "a".repeat(80));
    holds("\"Late.\"", &dash, 1, "texts.late", "too long by 1");
}

#[test]
fn a_screen_is_measured_on_every_network() {
    let network = |name: &str, characters, octets| Network {
        code: name.into(),
        name: name.into(),
        limits: Limits::of(characters, octets),
        session: Duration::from_secs(180),
        idle: Duration::from_secs(30),
    };
    let networks = Networks::new(vec![network("wide", 182, 160), network("slim", 160, 100)]);
    let found = |text: &str| {
        let source = SMALL.replacen("Your name?", text, 1);
        let faults = Menu::parse(&source, &Phrases::default(), &networks).unwrap_err().faults;
        assert!(faults.iter().all(|it| it.line == 20 && it.place == "state.name"), "{faults:?}");
        faults.into_iter().map(|it| it.text).collect::<Vec<_>>()
    };
    // 100 octets: 114 septets, or 50 units. Below its error there are four more.
    assert_eq!(
        found(&"a".repeat(111)),
        ["en", "sw"]
            .map(|it| format!("is too long by 1 in `{it}` on `slim` (screen below its error)"))
    );
    let dash = found(&format!("—{}", "a".repeat(76)));
    assert!(dash.contains(&"is too long by 27 in `en` on `slim` (screen)".to_owned()), "{dash:?}");
    let both = "is too long by 1 in `sw` on `wide` (screen below its error)".to_owned();
    assert!(dash.contains(&both), "{dash:?}");
}

#[test]
fn a_phrase_is_missed_with_the_line_that_shows_it() {
    let source = SMALL.replacen("\"Your name?\"", "\"@ask_name\"", 1);
    let with = |phrases: &[(&str, &str)]| {
        let mut all = Phrases::default();
        for (language, text) in phrases {
            all.set(language, "ask_name", text);
        }
        let parsed = Menu::parse(&source, &all, &Networks::default());
        parsed.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(with(&[("en", "Name?"), ("sw", "Jina?")]), Ok(()));
    let error = with(&[("en", "Name?")]).unwrap_err();
    let place = "line 21: `state.name.text` ";
    assert!(error.contains(&format!("{place}shows the phrase `@ask_name`")), "{error}");
    assert!(error.contains("not there in `sw`"), "{error}");
    let error = with(&[("en", "{nmae}?"), ("sw", "Jina?")]).unwrap_err();
    assert!(error.contains(&format!("{place}`@ask_name` in `en` shows `{{nmae}}`")), "{error}");
    let long = "a".repeat(179);
    let error = with(&[("en", "Name?"), ("sw", &long)]).unwrap_err();
    assert!(error.contains("too long by 1 in `sw`"), "{error}");
    // A language of the phrases alone says the rest in the first, but what it says must fit.
    assert_eq!(with(&[("en", "Name?"), ("sw", "Jina?"), ("fr", "Nom?")]), Ok(()));
    let error = with(&[("en", "Name?"), ("sw", "Jina?"), ("fr", &long)]).unwrap_err();
    assert!(error.contains("too long by 1 in `fr`"), "{error}");
    let many: Vec<_> = (0..7).map(|it| (format!("l{it}"), "x")).collect();
    let many: Vec<_> = many.iter().map(|(language, text)| (language.as_str(), *text)).collect();
    let error = with(&[&[("en", "Name?"), ("sw", "Jina?")], &many[..]].concat()).unwrap_err();
    assert!(error.contains("are more than 8"), "{error}");
}

#[test]
fn faults_of_the_newer_words_are_named() {
    let start = "start = \"main\"";
    let keys = |keys: &str| format!("{start}\nkeys = {keys}");
    holds(start, &keys("{ back = '*' }"), 4, "keys.back", "typed");
    holds(start, &keys("{ back = '00' }"), 4, "keys", "same key twice");
    holds(start, &keys("{ forth = '1' }"), 4, "keys", "no key `forth`");
    assert_eq!(changed(start, &keys("{ back = 'none', home = '#' }")), []);

    let options = "options = [{ key = \"1\", text = \"Yes\", goto = \"do\" }]";
    let more = |rest: &str| format!("{options}\n{rest}");
    holds(options, &more("paged = true"), 24, "state.sure", "needs `keys.more` and `texts.more`");
    holds(options, &more("paged = 1"), 27, "state.sure.paged", "true or false");
    holds(options, &more("resume = 'no'"), 27, "state.sure.resume", "true or false");
    holds(options, &more("choose = 'name'\ngoto = 'name'"), 27, "state.sure.choose", "`language`");
    holds(options, &more("choose = 'language'\ngoto = 'name'"), 27, "state.sure.choose", "names");
    let two = SMALL.replacen("hops = ", "more = 'More'\nhops = ", 1);
    let paged = two.replacen(options, &more("paged = true"), 1);
    assert_eq!(faults(&paged), []);
    let taken = paged.replacen("key = \"1\", text = \"Yes\"", "key = \"98\", text = \"Yes\"", 1);
    assert!(faults(&taken)[0].text.contains("shows its next page"), "{:?}", faults(&taken));
    let error =
        paged.replacen("paged = true", &format!("paged = true\nerror = '{}'", "a".repeat(160)), 1);
    assert!(faults(&error)[0].text.contains("leaves no room"), "{:?}", faults(&error));
}

#[test]
fn faults_of_checks_and_secrets_are_named() {
    let goto = "save = \"name\", goto = \"sure\" }";
    let check = |rest: &str| format!("save = \"name\", goto = \"sure\", {rest} }}");
    let good =
        "check = { ask = 'look', arguments = { it = '{input}' }, results = { no = 'again' } }";
    assert_eq!(changed(goto, &check(good)), []);
    let bad = |from: &str, to: &str| check(&good.replace(from, to));
    holds(
        goto,
        &bad("ask = 'look'", "ask = 'look', effect = true"),
        22,
        "state.name.input.check",
        "has none",
    );
    holds(goto, &bad("no = ", "ok = "), 22, "state.name.input.check.results.ok", "leave it out");
    holds(goto, &bad("'again'", "'do'"), 35, "state.do", "only a key");
    holds(goto, &bad("'again'", "'nowhere'"), 22, "state.name.input.check.results.no", "no state");
    let errors = format!("{}\nerrors = {{ yes = 'x' }}", check(good));
    holds(goto, &errors, 23, "state.name.errors.yes", "leads `again`");
    holds(
        "text = \"Your name?\"",
        "text = \"You said {input}?\"",
        21,
        "state.name.text",
        "arguments",
    );
    holds("who = \"{name}\"", "who = \"{input}\"", 31, "state.ask.arguments.who", "only a check");
    assert_eq!(changed("who = \"{name}\"", "who = \"{name}, {language}\""), []);
    holds("{ since = 20 }", "{ language = 20 }", 30, "", "by itself");
    // `sure` shows the name: it may not be a secret.
    holds(goto, &check("secret = true"), 25, "state.sure.text", "only `arguments`");
}

#[test]
fn all_faults_come_at_once_in_order() {
    let source =
        SMALL.replace("goto = \"name\"", "goto = \"x\"").replace("effect = true", "effect = 3");
    let found = faults(&source);
    let lines: Vec<_> = found.iter().map(|it| it.line).collect();
    assert_eq!(lines, [16, 37], "{found:?}");
    let error =
        Menu::parse(&source, &Phrases::default(), &Networks::default()).unwrap_err().to_string();
    assert!(error.contains("line 16: `state.main.options.goto`"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_with_a_reason(source in "[\\[\\]a-z= \"{},.\n0-9]{0,300}") {
        match Menu::parse(&source, &Phrases::default(), &Networks::default()) {
            Ok(_) => {}
            Err(error) => prop_assert!(!error.faults.is_empty()),
        }
    }

    /// A good menu with a piece cut out or put elsewhere is still read or refused, never a panic.
    #[test]
    fn a_broken_menu_is_refused(from in 0..SMALL.len(), len in 0usize..60, to in 0..SMALL.len()) {
        let until = (from + len).min(SMALL.len());
        let mut source = format!("{}{}", &SMALL[..from], &SMALL[until..]);
        let to = to.min(source.len());
        source.insert_str(to, &SMALL[from..until]);
        if let Err(error) = Menu::parse(&source, &Phrases::default(), &Networks::default()) {
            prop_assert!(!error.faults.is_empty());
            prop_assert!(error.faults.iter().all(|fault| fault.line > 0));
        }
    }
}
