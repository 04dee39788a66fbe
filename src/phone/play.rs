//! Dialogues as a text file, played against the daemon.
//!
//! ```text
//! # Two callers, one after the other.
//! > *384#
//! < CON Your home internet
//!   1. Is my router online?
//!   …
//! > 1
//! < END Your router is …
//! ```
//!
//! | line | what it does |
//! |---|---|
//! | `> *384#` | dials, outside a dialogue; what stands behind the service's code are keys |
//! | `> 1` | sends keys, within one; `>` alone sends none |
//! | `< CON …`, `< END …` | the screen must be this; further lines of it are indented by two blanks, and `…` stands for any text |
//! | `=` | sends the last hop again, as an aggregator that heard no answer; what is shown must be the same |
//! | `x` | hangs up |
//! | `~ 40s` | waits |
//! | `@ +254711000002 63902` | goes on as that caller, with the dialogue that he has; the network may be left out |
//! | `# …` | a remark |

use super::line::{Caller, Line};
use super::{PhoneError, PhoneOptions};
use crate::files;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use ussd::Screen;

/// A file of dialogues, in its order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Play(Vec<(usize, Step)>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Caller { number: String, network: Option<String> },
    Send(String),
    Expect(String),
    Again,
    HangUp,
    Wait(Duration),
}

/// A line that is none of a play.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct PlayFault {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: &'static str,
}

impl Play {
    /// Reads a file of dialogues.
    ///
    /// # Errors
    ///
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, PlayFault> {
        let mut steps: Vec<(usize, Step)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let fault = |message| PlayFault { line, message };
            if let Some(rest) = text.strip_prefix("  ") {
                let Some((_, Step::Expect(screen))) = steps.last_mut() else {
                    return Err(fault("only a screen goes on in a further line"));
                };
                screen.push('\n');
                screen.push_str(rest);
                continue;
            }
            if text.trim_end().is_empty() || text.starts_with('#') {
                continue;
            }
            steps.push((line, step(text).map_err(fault)?));
        }
        Ok(Self(steps))
    }
}

fn step(text: &str) -> Result<Step, &'static str> {
    let mark = text.chars().next().unwrap_or_default();
    let rest = text.get(mark.len_utf8()..).unwrap_or_default();
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    Ok(match mark {
        '>' => Step::Send(rest.to_owned()),
        '<' if rest.starts_with("CON ") || rest.starts_with("END ") => Step::Expect(rest.into()),
        '<' => return Err("a screen begins with `CON ` or `END `"),
        '=' if rest.is_empty() => Step::Again,
        'x' if rest.is_empty() => Step::HangUp,
        '~' => {
            let span = rest.parse::<jiff::SignedDuration>().ok();
            let span = span.and_then(|span| Duration::try_from(span).ok());
            Step::Wait(span.ok_or("a wait is a time: `~ 40s`")?)
        }
        '@' => {
            let mut words = rest.split_whitespace();
            let number = words.next().ok_or("a caller has a number: `@ +254711000001`")?.to_owned();
            Step::Caller { number, network: words.next().map(str::to_owned) }
        }
        _ => return Err("none of `>`, `<`, `=`, `x`, `~`, `@`, `#`"),
    })
}

/// Plays a file; the first difference ends it.
pub(super) async fn play(
    line: &Line,
    options: &PhoneOptions,
    file: &Path,
) -> Result<(), PhoneError> {
    let place = |at: usize, error: &dyn std::fmt::Display| -> PhoneError {
        format!("{}:{at}: {error}", file.display()).into()
    };
    let Play(steps) =
        Play::parse(&files::read_text(file)?).map_err(|fault| place(fault.line, &fault.message))?;
    let mut stage = Stage::new(line, options);
    for (at, step) in steps {
        stage.carry_out(step).await.map_err(|error| place(at, &error))?;
    }
    Ok(())
}

/// The callers of a play, and who of them is at the keys.
struct Stage<'a> {
    line: &'a Line,
    network: &'a str,
    callers: BTreeMap<String, (Caller, Option<Screen>)>,
    number: String,
}

impl<'a> Stage<'a> {
    fn new(line: &'a Line, options: &'a PhoneOptions) -> Self {
        let PhoneOptions { number, network, .. } = options;
        Self { line, network, callers: BTreeMap::new(), number: number.clone() }
    }

    async fn carry_out(&mut self, step: Step) -> Result<(), PhoneError> {
        let line = self.line;
        let network = match &step {
            Step::Caller { network: Some(network), .. } => network.clone(),
            _ => self.network.to_owned(),
        };
        if let Step::Caller { number, .. } = &step {
            self.number.clone_from(number);
        }
        let new = || (Caller::new(&self.number, &network), None);
        let (caller, shown) = self.callers.entry(self.number.clone()).or_insert_with(new);
        match step {
            Step::Caller { .. } => {}
            Step::Send(keys) if caller.is_in_dialogue() => {
                *shown = Some(caller.key(line, &keys).await?);
            }
            Step::Send(code) => *shown = Some(caller.dial(line, &code).await?),
            Step::Expect(screen) => compare(&screen, shown.as_ref())?,
            Step::Again => {
                let before = shown.take().ok_or("nothing was shown yet")?;
                let screen = caller.again(line).await?;
                compare(&as_text(&before), Some(&screen))?;
                *shown = Some(screen);
            }
            Step::HangUp => caller.hang_up(line).await?,
            Step::Wait(time) => tokio::time::sleep(time).await,
        }
        Ok(())
    }
}

fn as_text(screen: &Screen) -> String {
    let kind = if screen.is_end() { "END" } else { "CON" };
    format!("{kind} {}", screen.text())
}

fn compare(expected: &str, shown: Option<&Screen>) -> Result<(), PhoneError> {
    let shown = shown.map(as_text).unwrap_or_default();
    if matches(expected, &shown) {
        return Ok(());
    }
    let mut text = String::from("another screen is shown");
    for (name, screen) in [("expected", expected), ("shown", &shown)] {
        let _ = write!(text, "\n  {name}:\n    {}", screen.replace('\n', "\n    "));
    }
    Err(text.into())
}

/// Whether a text is what is expected, where each `…` stands for any text.
fn matches(expected: &str, text: &str) -> bool {
    let Some((first, rest)) = expected.split_once('…') else { return expected == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_play_is_read_line_by_line() {
        let text =
            "# a remark\n\n> *384#\n< CON Water\n  1. Buy\n> 1\n>\n=\n~ 40s\nx\n@ +254711000002\n";
        let Play(steps) = Play::parse(text).unwrap();
        let number = "+254711000002".to_owned();
        let expected = [
            (3, Step::Send("*384#".into())),
            (4, Step::Expect("CON Water\n1. Buy".into())),
            (6, Step::Send("1".into())),
            (7, Step::Send(String::new())),
            (8, Step::Again),
            (9, Step::Wait(Duration::from_secs(40))),
            (10, Step::HangUp),
            (11, Step::Caller { number, network: None }),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_is_no_line_of_a_play_is_said_with_its_number() {
        for (text, line) in [
            ("? what", 1),
            ("> 1\n< Water", 2),
            ("  1. Buy", 1),
            ("> 1\n  1. Buy", 2),
            ("~ soon", 1),
            ("~ -1s", 1),
            ("@", 1),
            ("x 1", 1),
            ("é", 1),
        ] {
            assert_eq!(Play::parse(text).map_err(|fault| fault.line), Err(line), "{text}");
        }
    }

    #[test]
    fn an_ellipsis_stands_for_any_text() {
        assert!(matches("CON Hi …!\n1. Buy", "CON Hi Asha!\n1. Buy"));
        assert!(matches("CON …", "CON a\nb"));
        assert!(matches("CON a…b…c", "CON abc"));
        assert!(!matches("CON a…b…c", "CON ac"));
        assert!(!matches("CON a…a", "CON a"), "no letter is two");
        assert!(!matches("CON a", "CON ab"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[><=x~@# \n…é*0-9A-Z]{0,60}") {
            let _ = Play::parse(&text);
        }

        #[test]
        fn a_text_is_what_it_is(text in "[a-z\n]{0,20}", more in "[a-z]{1,5}") {
            prop_assert!(matches(&text, &text));
            let longer = format!("{}{}", text, more);
            prop_assert!(!matches(&text, &longer));
            let open = text + "…";
            prop_assert!(matches(&open, &longer));
        }
    }
}
