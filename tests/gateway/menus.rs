//! Menus of a folder's own: changed while a caller is inside, and an effect whose answer a crash took.

use crate::calls::{Called, Does};
use crate::daemon::{Daemon, until};
use crate::http::PATIENCE;
use crate::phone::Call;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 3] = [
        ("a_dialogue_keeps_its_menu_over_a_reload", a_dialogue_keeps_its_menu_over_a_reload),
        ("an_effect_is_told_again_after_a_crash", an_effect_is_told_again_after_a_crash),
        ("who_is_cut_off_may_go_on", who_is_cut_off_may_go_on),
    ];
    tests.map(|(name, run)| crate::trial(&format!("menus::{name}"), run)).into()
}

const CALLER: &str = "+254711000003";

const MENU: &str = r#"
name = "home"
languages = ["en"]
start = "one"

[texts]
wrong_input = "No."
attempts = "Often."
retry = "Later."
late = "Late."
hops = "Long."
resume = "1. Go on\n2. Begin anew"

[state.one]
text = "@greeting"
options = [{ key = "1", goto = "two" }]

[state.two]
text = "Your name?"
input = { accept = "name", max = 20, save = "name", goto = "three" }

[state.three]
text = "Sure, {name}?"
options = [{ key = "1", goto = "act" }]

[state.act]
ask = "act"
effect = true
timeout = "5s"
arguments = { name = "{name}" }
values = { number = 9 }
results = { done = "done" }

[state.done]
end = "Done as {number}."
"#;

/// A backend that answers its one operation with how often it was asked.
fn backend() -> Called {
    let asked = AtomicUsize::new(0);
    Called::start(move |_| {
        let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
        let values = json!({ "number": format!("number {number}") });
        Does::Answers(200, json!({ "outcome": "done", "values": values }).to_string())
    })
}

/// A daemon with that menu and its phrases.
fn daemon(backend: &Called) -> Daemon {
    let hub = format!("kind = \"http\"\nurl = \"{}\"\nnetworks = [\"127.0.0.0/8\"]", backend.url());
    let mut daemon = Daemon::prepare(None, &[("backend", hub.as_str())]);
    let menus = daemon.path("menus");
    fs::create_dir_all(menus.join("phrases")).unwrap();
    fs::write(menus.join("home.toml"), MENU).unwrap();
    greet(&daemon, "Welcome");
    let text = fs::read_to_string(daemon.config()).unwrap();
    let text = text.replace("[ussd]\n", &format!("[ussd]\nmenus = \"{}\"\n", menus.display()));
    fs::write(daemon.config(), text).unwrap();
    daemon.start_again();
    daemon
}

fn greet(daemon: &Daemon, greeting: &str) {
    let file = daemon.path("menus").join("phrases").join("home.en.toml");
    fs::write(file, format!("greeting = \"{greeting}\"\n")).unwrap();
}

fn call(daemon: &Daemon, session: &str) -> Call {
    Call::begin(daemon.ports.public, &daemon.home(), session, CALLER).unwrap()
}

fn a_dialogue_keeps_its_menu_over_a_reload() {
    let daemon = daemon(&backend());
    let mut inside = call(&daemon, "inside");
    assert_eq!(inside.dial().unwrap(), "CON Welcome");
    let menu = fs::read_to_string(daemon.path("menus").join("home.toml")).unwrap();
    let menu = menu.replace("Your name?", "What are you called?");
    fs::write(daemon.path("menus").join("home.toml"), menu).unwrap();
    greet(&daemon, "Good day");
    daemon.signal("HUP");
    let mut session = 0;
    let is_new = until(PATIENCE, || {
        session += 1;
        call(&daemon, &format!("s{session}")).dial().unwrap() == "CON Good day"
    });
    assert!(is_new, "{}", daemon.log());
    assert_eq!(inside.key("1").unwrap(), "CON Your name?", "as it was when he dialled");
    let mut new = call(&daemon, "new");
    new.dial().unwrap();
    assert_eq!(new.key("1").unwrap(), "CON What are you called?");
    // A phrase that is missed changes nothing.
    let file = daemon.path("menus").join("phrases").join("home.en.toml");
    fs::write(file, "greetings = 'x'\n").unwrap();
    daemon.signal("HUP");
    assert!(
        until(PATIENCE, || daemon.log().contains("the phrase `@greeting`")),
        "{}",
        daemon.log()
    );
    assert_eq!(call(&daemon, "still").dial().unwrap(), "CON Good day");
}

fn an_effect_is_told_again_after_a_crash() {
    let backend = backend();
    let mut daemon = daemon(&backend);
    let mut caller = call(&daemon, "s");
    for (key, shown) in [("1", "CON Your name?"), ("Asha", "CON Sure, Asha?")] {
        assert_eq!(caller.key(key).unwrap(), shown);
    }
    assert_eq!(caller.key("1").unwrap(), "END Done as number 1.");
    // He did not hear it: his aggregator sends the hop again, to a process that knows nothing.
    daemon.kill();
    daemon.start_again();
    let mut again = call(&daemon, "s");
    for key in ["1", "Asha"] {
        again = again.having_typed(key);
    }
    assert_eq!(again.key("1").unwrap(), "END Done as number 1.");
    let heard = backend.heard();
    assert_eq!(heard.len(), 1, "one effect");
    let asked: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(asked["idempotency_key"], "home:s:act:2");
    // Another dialogue has its own, and keys that come together stop before it.
    let mut other = call(&daemon, "t").having_typed("1").having_typed("Asha");
    assert_eq!(other.key("1").unwrap(), "CON Sure, Asha?");
    assert_eq!(other.key("1").unwrap(), "END Done as number 2.");
}

fn who_is_cut_off_may_go_on() {
    let daemon = daemon(&backend());
    let mut first = call(&daemon, "first");
    first.key("1").unwrap();
    assert_eq!(first.key("Asha").unwrap(), "CON Sure, Asha?");
    first.hang_up().unwrap();
    let mut second = call(&daemon, "second");
    assert_eq!(second.dial().unwrap(), "CON 1. Go on\n2. Begin anew");
    assert_eq!(second.key("1").unwrap(), "CON Sure, Asha?");
    assert_eq!(second.key("1").unwrap(), "END Done as number 1.");
    assert_eq!(call(&daemon, "third").dial().unwrap(), "CON Welcome");
}
