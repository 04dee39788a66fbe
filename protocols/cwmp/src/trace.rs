//! A body as an engineer may read it: as it was, without the secrets in it.
//!
//! Errs on the side of hiding: what cannot be read as XML is not shown, for nobody can say what is
//! in it. Never looks at headers: those are the driver's.

#[cfg(test)]
mod tests;

use crate::xml::{Scanner, Token, meant};
use crate::{Options, frame};
use std::fmt::Write as _;
use std::mem;
use std::ops::Range;

/// What stands for a secret.
const BLANK: &str = "…";

/// A body without its secrets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Blanked {
    /// What may be shown.
    pub text: String,
    /// How many places were blanked because a secret was in them. The answer to such a body may
    /// repeat what was in it.
    pub secrets: usize,
}

/// Blanks the secrets of an unpacked body: values of parameters whose name says that they are one,
/// and where and how files are fetched. `repeats` hides the words of a fault, too: for the answer to
/// a body that had secrets.
#[must_use]
pub fn blanked(
    content_type: Option<&str>,
    body: &[u8],
    repeats: bool,
    options: &Options,
) -> Blanked {
    if frame::is_blank(body) {
        return Blanked::default();
    }
    if body.len() > options.body_bytes_max {
        let text = format!("({} bytes, too long to show)", body.len());
        return Blanked { text, secrets: 0 };
    }
    let text = frame::text(content_type, body);
    let mut blanker = Blanker {
        scanner: Scanner::new(&text),
        open: Vec::new(),
        hidden: Vec::new(),
        depth_max: options.depth_max,
        repeats,
    };
    let end = blanker.run();
    blanker.hidden.sort_unstable_by_key(|it| it.start);
    blanker.hidden.dedup();
    Blanked { secrets: blanker.hidden.len(), text: shown(&text, &blanker.hidden, end) }
}

/// Whether nobody may read what a parameter or an element of that name holds.
fn is_secret_name(name: &str) -> bool {
    model::is_secret(name.trim_end_matches('.'))
}

/// Elements of calls that hold where files are and how one signs in there, or vouchers.
fn is_secret_element(name: &str) -> bool {
    matches!(name, "URL" | "Username" | "base64") || is_secret_name(name)
}

/// An open element.
struct Frame<'a> {
    name: &'a str,
    /// Whether all in it is hidden, for its name or that of one around it.
    hides: bool,
    /// Of a Name or ParameterName within it: whether the value beside it is a secret.
    names_secret: Option<bool>,
    /// Where its Value or FaultString is.
    values: Vec<Range<usize>>,
}

struct Blanker<'a> {
    scanner: Scanner<'a>,
    open: Vec<Frame<'a>>,
    hidden: Vec<Range<usize>>,
    depth_max: usize,
    repeats: bool,
}

impl<'a> Blanker<'a> {
    /// Reads the document; says up to where it could.
    fn run(&mut self) -> usize {
        let end = loop {
            let begun = self.scanner.position();
            let Ok(token) = self.scanner.token() else { break self.scanner.position() };
            match token {
                // A quote that was left open has taken up what comes behind it.
                Token::Start if self.scanner.element().has_markup() => break begun,
                Token::Start => self.start(self.scanner.element().name()),
                Token::Text => self.text(begun..self.scanner.position()),
                Token::End => self.end(),
            }
            let is_over = self.open.is_empty() && matches!(token, Token::End);
            if is_over || self.open.len() > self.depth_max {
                break self.scanner.position();
            }
        };
        // Where it ends too early: what was not told to be no secret may be one.
        while !self.open.is_empty() {
            self.end();
        }
        end
    }

    fn start(&mut self, name: &'a str) {
        let around = self.open.last().is_some_and(|it| it.hides);
        let hides = around || is_secret_element(name);
        self.open.push(Frame { name, hides, names_secret: None, values: Vec::new() });
    }

    fn text(&mut self, place: Range<usize>) {
        let piece = self.scanner.piece();
        if piece.raw.trim().is_empty() {
            return;
        }
        let Some((frame, around)) = self.open.split_last_mut() else {
            self.hidden.push(place);
            return;
        };
        if frame.hides {
            self.hidden.push(place);
            return;
        }
        match frame.name {
            "Name" | "ParameterName" => {
                if let Some(owner) = around.last_mut() {
                    let is_secret = is_secret_name(meant(&piece).trim());
                    owner.names_secret = Some(owner.names_secret.unwrap_or(false) || is_secret);
                }
            }
            "FaultString" | "faultstring" if self.repeats => self.hidden.push(place.clone()),
            "Value" | "FaultString" => {
                if let Some(owner) = around.last_mut() {
                    owner.values.push(place.clone());
                }
            }
            _ => {}
        }
        // A value may have elements within it: all of it belongs to who owns each value around.
        for value in 1..around.len() {
            if matches!(around[value].name, "Value" | "FaultString") {
                around[value - 1].values.push(place.clone());
            }
        }
    }

    fn end(&mut self) {
        let Some(mut frame) = self.open.pop() else { return };
        // A fault of the whole call has no parameter's name beside it.
        let is_fault = matches!(frame.name, "Fault" | "FaultStruct");
        if frame.names_secret.unwrap_or(!is_fault) {
            self.hidden.append(&mut mem::take(&mut frame.values));
        }
    }
}

/// The text up to `end` without what is hidden and without comments, which may hold anything.
fn shown(text: &str, hidden: &[Range<usize>], end: usize) -> String {
    let mut kept = String::with_capacity(end);
    let mut at = 0;
    for place in hidden {
        kept.push_str(text.get(at..place.start).unwrap_or_default());
        kept.push_str(BLANK);
        at = place.end;
    }
    kept.push_str(text.get(at..end).unwrap_or_default());
    let mut shown = without_comments(&kept);
    let rest = text.len() - end;
    if !text.get(end..).unwrap_or_default().trim().is_empty() {
        let _ = write!(shown, "({rest} bytes more, which are not shown)");
    }
    shown
}

fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("<!--") {
        kept.push_str(before);
        kept.push_str("<!--…-->");
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}
