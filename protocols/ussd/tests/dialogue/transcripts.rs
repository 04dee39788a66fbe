//! Golden transcripts: each file is a whole conversation, from the aggregator's form to our body.
//!
//! From outside: `>` a callback's form, `x` an end notification's form, `~` milliseconds of silence,
//! `$` what the store does (`commits`, `refuses`, `stalls`, `settles`), `=` what the backend says to an
//! operation from now on (`= router_status offline since=09:30`, or nothing at all).
//! From us: `!` a fact, `?` a question, `<` the body of an answer, `.` why the dialogue ended, `(` how
//! a callback was taken when it was not simply new. A line that begins with a blank continues the one
//! above it; `#` is a remark.
//!
//! Replaying what comes from outside must write the file again exactly. After a wanted change, run
//! with `UPDATE_TRANSCRIPTS=1` and read the diff: it is the change in behaviour.

use crate::bench::{Bench, Store};
use lastmile_ussd::{Answer, Receipt};
use model::{Redacted, Settlement};
use std::time::Duration;
use std::{env, fs};

#[test]
#[expect(clippy::disallowed_methods, reason = "transcripts are files")]
fn transcripts_replay_exactly() {
    let mut count = 0;
    for entry in fs::read_dir("tests/transcripts/africas_talking").unwrap() {
        let path = entry.unwrap().path();
        let expected = fs::read_to_string(&path).unwrap();
        let actual = replay(&expected);
        if env::var_os("UPDATE_TRANSCRIPTS").is_some() {
            fs::write(&path, actual).unwrap();
        } else {
            assert_eq!(actual, expected, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 8, "only {count} transcripts are there");
}

fn replay(script: &str) -> String {
    let mut bench = Bench::home();
    let mut written = String::new();
    for line in script.lines() {
        let (mark, rest) = line.split_at_checked(1).unwrap_or(("", ""));
        let rest = rest.trim();
        match mark {
            "" | "#" => {}
            ">" => {
                let (_, receipt) = bench.form(rest);
                note_receipt(&mut bench, &receipt);
            }
            "x" => {
                if !bench.end(rest) {
                    bench.log.push("( unknown".to_owned());
                }
            }
            "~" => bench.pass(Duration::from_millis(rest.parse().unwrap())),
            "$" => set_store(&mut bench, rest),
            "=" => set_answer(&mut bench, rest),
            _ => continue,
        }
        written.push_str(line);
        written.push('\n');
        for said in bench.log.drain(..) {
            written.push_str(&said);
            written.push('\n');
        }
    }
    written
}

fn note_receipt(bench: &mut Bench, receipt: &Receipt) {
    let said = match receipt {
        Receipt::New => return,
        Receipt::InProgress => "( in progress".to_owned(),
        Receipt::Replay(screen) => format!("( replay\n< {}", bench.body(screen)),
        Receipt::Refused(screen, refusal) => {
            format!("( refused: {}\n< {}", refusal.code(), bench.body(screen))
        }
    };
    bench.log.extend(said.lines().map(|line| {
        let marked = line.starts_with(['(', '<']);
        if marked { line.to_owned() } else { format!("  {line}") }
    }));
}

fn set_store(bench: &mut Bench, word: &str) {
    match word {
        "commits" => bench.store = Store::Commits,
        "refuses" => bench.store = Store::Refuses,
        "stalls" => bench.store = Store::Stalls,
        "settles" => bench.settle_held(Settlement::Committed),
        _ => panic!("`{word}` is nothing a store does"),
    }
}

fn set_answer(bench: &mut Bench, line: &str) {
    let mut words = line.split(' ');
    let operation = words.next().unwrap().to_owned();
    let Some(outcome) = words.next() else {
        bench.answers.remove(&operation);
        return;
    };
    let mut answer = Answer { outcome: outcome.to_owned().into(), ..Answer::default() };
    for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
        answer.values.insert(name.to_owned().into(), Redacted(value.to_owned()));
    }
    bench.answers.insert(operation, answer);
}
