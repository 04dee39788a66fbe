//! `lastmile phone`: dialogues by hand and from a file, with the daemon that runs beside it.

use crate::backend::{Backend, Received};
use crate::daemon::Daemon;
use crate::http::PATIENCE;
use libtest_mimic::Trial;
use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 4] = [
        ("a_play_is_played_to_its_end", a_play_is_played_to_its_end),
        ("the_first_other_screen_ends_a_play", the_first_other_screen_ends_a_play),
        ("a_person_keys_until_the_end_or_hangs_up", a_person_keys_until_the_end_or_hangs_up),
        ("what_cannot_be_dialled_is_said", what_cannot_be_dialled_is_said),
    ];
    tests.map(|(name, run)| crate::trial(&format!("dialogues::{name}"), run)).into()
}

const NUMBER: &str = "+254711000001";

fn play(daemon: &Daemon, text: &str) -> Output {
    let file = daemon.path("calls.txt");
    fs::write(&file, text).unwrap();
    let mut phone = daemon.command("phone");
    phone.args(["--number", NUMBER, "--play"]).arg(&file);
    phone.output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn a_play_is_played_to_its_end() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let output = play(
        &daemon,
        "# Two callers hop by hop, keys dialled at once, a hop sent twice, one who hangs up.
> *384#
< CON Your home internet
  1. Is my router online?
  …
@ +254711000002
> *384*9#
< CON …
@ +254711000001
> 1
< END …
=
~ 1ms
> *384#
< CON Your home internet
  …
x
> *384#
< CON …
",
    );
    assert!(output.status.success(), "{}", error(&output));
    let is_end = |it: &Received| it.kind == "lastmile.ussd.ended" && it.subject.ends_with(NUMBER);
    let all =
        backend.wait("both ends", PATIENCE, |all| all.iter().filter(|it| is_end(it)).count() == 2);
    let causes: Vec<_> =
        all.iter().filter(|it| is_end(it)).map(|it| it.data["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["finished", "hung_up"], "a hop that came twice is one");
}

fn the_first_other_screen_ends_a_play() {
    let daemon = Daemon::start(None, &[]);
    let output = play(&daemon, "> *384#\n< CON Your home internet\n  1. Buy water\n> 1\n");
    assert_eq!(output.status.code(), Some(1));
    let text = error(&output);
    assert!(text.contains("calls.txt:2: another screen is shown"), "{text}");
    assert!(text.contains("1. Buy water") && text.contains("1. Is my router online?"), "{text}");
    let output = play(&daemon, "> *384#\n? 1\n");
    assert!(error(&output).contains("calls.txt:2: none of"), "{}", error(&output));
}

fn a_person_keys_until_the_end_or_hangs_up() {
    let daemon = Daemon::start(None, &[]);
    let talk = |keys: &str| {
        let mut phone = daemon.command("phone");
        phone.args(["--number", NUMBER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut phone = phone.spawn().unwrap();
        phone.stdin.take().unwrap().write_all(keys.as_bytes()).unwrap();
        let output = phone.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = talk("1\n");
    assert!(shown.contains("1. Is my router online?"), "{shown}");
    assert!(shown.contains("(the dialogue is over)"), "{shown}");
    assert!(!talk("").contains("(the dialogue is over)"));
}

fn what_cannot_be_dialled_is_said() {
    let daemon = Daemon::start(None, &[]);
    let fails = |arguments: &[&str]| {
        let output = daemon.command("phone").args(["--number", NUMBER]).args(arguments).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        error(&output)
    };
    assert!(fails(&["--service", "water"]).contains("there is no service `water`"));
    assert!(fails(&["--code", "384"]).contains("no code to dial"));
    fs::write(daemon.data().join("public/home.secret"), "another-0123456789abcdef").unwrap();
    let text = fails(&[]);
    assert!(text.contains("answered 404"), "{text}");
    assert!(!text.contains("another-"), "no secret is printed: {text}");
}
