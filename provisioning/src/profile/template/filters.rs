//! What templates may do to a value: filters and tests, each with a bound on what it makes.

use super::TEXT_BYTES_MAX;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, filters, tests};

/// The filters.
pub(in crate::profile) const FILTERS: [&str; 20] = [
    "abs",
    "default",
    "digits",
    "first",
    "hex",
    "int",
    "join",
    "last",
    "length",
    "lower",
    "mac",
    "pad",
    "quote",
    "replace",
    "split",
    "times",
    "trim",
    "truncate",
    "upper",
    "without_spaces",
];
/// The tests.
pub(in crate::profile) const TESTS: [&str; 5] =
    ["defined", "endingwith", "none", "startingwith", "undefined"];

/// Most parts that a text is cut into, and most items of a list that is joined.
const PARTS_MAX: usize = 256;
/// Widest number that is filled up.
const WIDTH_MAX: usize = 256;

pub(super) const TOO_LONG: &str = "the template makes a text that is too long";
pub(super) const NO_TEXT: &str = "the template makes a list or an object, which is no text";
const NO_NUMBER: &str = "a filter of the template needs a whole number";
const NO_MAC: &str = "the filter `mac` needs 12 hexadecimal digits";
const NO_WIDTH: &str = "a width in the template is too large";
const NO_PART: &str = "a filter of the template cannot replace or cut at an empty text";
const NO_LIST: &str = "the filter `join` needs a list of at most 256 texts";
const FAILED: &str = "the template cannot be filled: an operation does not fit its values";

/// Everything that may be said.
const WORDS: [&str; 7] = [TOO_LONG, NO_TEXT, NO_NUMBER, NO_MAC, NO_WIDTH, NO_PART, NO_LIST];

/// A text that is too long to be a value.
pub(in crate::profile) fn too_long() -> Error {
    fault(TOO_LONG)
}

/// A failure in our own words.
pub(super) fn fault(words: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, words)
}

/// Our own words for a failure. Those of the engine hold values.
pub(super) fn words(error: &Error) -> &'static str {
    let said = WORDS.iter().find(|it| error.detail() == Some(it));
    said.copied().unwrap_or(FAILED)
}

pub(super) fn add(language: &mut Environment<'static>) {
    language.add_filter("abs", filters::abs);
    language.add_filter("default", filters::default);
    language.add_filter("digits", |text: &str| {
        text.chars().filter(char::is_ascii_digit).collect::<String>()
    });
    language.add_filter("first", filters::first);
    language.add_filter("hex", hex);
    language.add_filter("int", int);
    language.add_filter("join", join);
    language.add_filter("last", filters::last);
    language.add_filter("length", filters::length);
    language.add_filter("lower", filters::lower);
    language.add_filter("mac", mac);
    language.add_filter("pad", pad);
    language.add_filter("quote", quote);
    language.add_filter("replace", replace);
    language.add_filter("split", split);
    language.add_filter("times", times);
    language.add_filter("trim", |text: &str| text.trim().to_owned());
    language.add_filter("truncate", truncate);
    language.add_filter("upper", filters::upper);
    language.add_filter("without_spaces", |text: &str| text.replace(' ', ""));
    language.add_test("defined", tests::is_defined);
    language.add_test("endingwith", tests::is_endingwith);
    language.add_test("none", tests::is_none);
    language.add_test("startingwith", tests::is_startingwith);
    language.add_test("undefined", tests::is_undefined);
}

fn bounded(text: String) -> Result<String, Error> {
    if text.len() > TEXT_BYTES_MAX { Err(fault(TOO_LONG)) } else { Ok(text) }
}

fn hex(number: i64, width: Option<usize>) -> Result<String, Error> {
    let width = width.unwrap_or_default();
    match number {
        0.. if width <= WIDTH_MAX => Ok(format!("{number:0width$x}")),
        0.. => Err(fault(NO_WIDTH)),
        _ => Err(fault(NO_NUMBER)),
    }
}

fn int(value: &Value) -> Result<i64, Error> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number.ok_or_else(|| fault(NO_NUMBER))
}

fn join(list: &Value, between: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (place, item) in list.try_iter().map_err(|_| fault(NO_LIST))?.enumerate() {
        let item = match item.as_str() {
            Some(text) => text.to_owned(),
            None if item.is_number() => item.to_string(),
            None => return Err(fault(NO_LIST)),
        };
        if place == PARTS_MAX {
            return Err(fault(NO_LIST));
        }
        if place > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        joined.push_str(&item);
        joined = bounded(joined)?;
    }
    Ok(joined)
}

fn mac(text: &str, between: Option<&str>) -> Result<String, Error> {
    let digits: String = text.chars().filter(|it| !":-.".contains(*it)).collect();
    if digits.len() != 12 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(fault(NO_MAC));
    }
    let digits = digits.to_ascii_lowercase();
    let pairs: Vec<_> = (0..12).step_by(2).map(|at| &digits[at..at + 2]).collect();
    Ok(pairs.join(between.unwrap_or(":")))
}

fn pad(value: &Value, width: usize) -> Result<String, Error> {
    if width > WIDTH_MAX {
        return Err(fault(NO_WIDTH));
    }
    let text = match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.as_i64().ok_or_else(|| fault(NO_NUMBER))?.to_string(),
    };
    Ok(format!("{text:0>width$}"))
}

fn quote(text: &str) -> Result<String, Error> {
    bounded(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    if from.is_empty() {
        return Err(fault(NO_PART));
    }
    let grown = text.matches(from).count().saturating_mul(to.len()).saturating_add(text.len());
    // Told before it is made.
    if grown > 2 * TEXT_BYTES_MAX { Err(fault(TOO_LONG)) } else { bounded(text.replace(from, to)) }
}

fn split(text: &str, at: &str) -> Result<Vec<String>, Error> {
    if at.is_empty() {
        return Err(fault(NO_PART));
    }
    Ok(text.splitn(PARTS_MAX, at).map(str::to_owned).collect())
}

fn times(value: &Value, factor: i64) -> Result<i64, Error> {
    int(value)?.checked_mul(factor).ok_or_else(|| fault(NO_NUMBER))
}

fn truncate(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or_default()].to_owned()
}
