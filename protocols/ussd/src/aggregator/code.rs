//! The code that callers dial, and what they dialled behind it.
//!
//! What stands behind a service's code may be a PIN (`*384*1*1234#`): it is keys, and never part of a
//! code that is shown in an event.

use super::field;
use crate::error::TurnError;
use crate::message::{Input, Turn};

/// A service's code as callers dial it: `*384*123#`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceCode {
    dialled: Box<str>,
}

impl ServiceCode {
    /// Longest code, in bytes.
    pub const LEN_MAX: usize = Turn::CODE_LEN_MAX;

    /// Reads a code with or without its first `*` and its last `#`. `None` where it is too long, or
    /// holds anything but digits and those two.
    pub fn new(text: &str) -> Option<Self> {
        let core = core(text);
        let fits = !core.is_empty() && core.len() + 2 <= Self::LEN_MAX;
        let dials = core.bytes().all(|byte| byte.is_ascii_digit() || b"*#".contains(&byte));
        (fits && dials).then(|| Self { dialled: format!("*{core}#").into() })
    }

    /// The code, from its `*` to its `#`.
    pub fn as_str(&self) -> &str {
        &self.dialled
    }

    /// What a phone dials: the code that it leads to, and the keys behind it. That is this code where it
    /// is dialled, else the dialled string's first part.
    ///
    /// `None` where it cannot be dialled: a `*`, digits with a `*` between them, a `#`.
    pub fn split(&self, string: &str) -> Option<(Self, Vec<String>)> {
        let whole = string.strip_prefix('*')?.strip_suffix('#')?;
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
        if !whole.split('*').all(is_digits) {
            return None;
        }
        let (code, keys) = match behind(whole, self.core()) {
            Some(keys) => (self.clone(), keys),
            None => {
                let (code, keys) = whole.split_once('*').unwrap_or((whole, ""));
                (Self::new(code)?, keys)
            }
        };
        Some((code, keys.split('*').filter(|it| !it.is_empty()).map(str::to_owned).collect()))
    }

    pub(super) fn core(&self) -> &str {
        core(&self.dialled)
    }
}

/// A dialled string without its first `*` and its last `#`.
pub(super) fn core(dialled: &str) -> &str {
    let dialled = dialled.trim();
    let begun = dialled.strip_prefix('*').unwrap_or(dialled);
    begun.strip_suffix('#').unwrap_or(begun)
}

/// What stands behind `code` in `text`; both without their first `*` and their last `#`.
pub(super) fn behind<'t>(text: &'t str, code: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(code)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('*') }
}

/// What a caller dialled, as the service's code and the keys behind it.
///
/// The service's code is the `configured` one, else the one that the aggregator sends beside the
/// string. Where there is neither, the string's first part stands for it and none of the rest counts:
/// it may be the code's own.
pub(super) fn dialled(
    string: &str,
    sent: &str,
    configured: Option<&ServiceCode>,
    name: &'static str,
) -> Result<(Box<str>, Input), TurnError> {
    let whole = core(string);
    let known = configured.map_or_else(|| core(sent), ServiceCode::core);
    let keys = if known.is_empty() { None } else { behind(whole, known) };
    let input = Input::Dialled(field::input(keys.unwrap_or(""), name)?);
    let first = whole.split('*').next().unwrap_or("");
    let code = match configured {
        Some(code) => code.as_str().into(),
        None if sent.is_empty() && first.is_empty() => "".into(),
        None if sent.is_empty() => field::code(&format!("*{first}#"), name)?,
        None => field::code(sent, name)?,
    };
    Ok((code, input))
}

/// The code to show: the `configured` one, else what the aggregator sends.
pub(super) fn shown(
    sent: &str,
    configured: Option<&ServiceCode>,
    name: &'static str,
) -> Result<Box<str>, TurnError> {
    configured.map_or_else(|| field::code(sent, name), |code| Ok(code.as_str().into()))
}

/// The string that leads to `code`, with keys behind it.
pub(crate) fn dial(code: &str, keys: &[&str]) -> String {
    let mut string = format!("*{}", core(code));
    for key in keys {
        string.extend(["*", key]);
    }
    string.push('#');
    string
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Redacted;
    use proptest::prelude::*;

    fn split(string: &str, sent: &str, configured: Option<&str>) -> (String, String) {
        let configured = configured.map(|it| ServiceCode::new(it).unwrap());
        let (code, input) = dialled(string, sent, configured.as_ref(), "dialled").unwrap();
        assert!(matches!(input, Input::Dialled(_)));
        (code.into(), input.text().to_owned())
    }

    #[test]
    fn a_dialled_string_is_a_code_and_keys() {
        let pair = |code: &str, keys: &str| (code.to_owned(), keys.to_owned());
        // By the code that the aggregator sends, in whichever spelling.
        assert_eq!(split("*713#", "713", None), pair("713", ""));
        assert_eq!(split("*713*1*1234#", "*713#", None), pair("*713#", "1*1234"));
        assert_eq!(split("713*1", "713", None), pair("713", "1"));
        assert_eq!(split("*7134*1#", "713", None), pair("713", ""), "another code");
        assert_eq!(split("", "713", None), pair("713", ""));
        // By the configured one, whatever is sent.
        let code = Some("*920*77#");
        assert_eq!(split("*920*77*1#", "", code), pair("*920*77#", "1"));
        assert_eq!(split("920*77", "*920#", code), pair("*920*77#", ""));
        assert_eq!(split("*920*78*1#", "", code), pair("*920*77#", ""));
        // By neither: nothing behind the first part is taken or shown.
        assert_eq!(split("*920*77*1234#", "", None), pair("*920#", ""));
        assert_eq!(split("", "", None), pair("", ""));
    }

    #[test]
    fn a_code_is_digits_stars_and_hashes() {
        for good in ["*384*123#", "384*123", "384*123#", " *384*123# "] {
            assert_eq!(ServiceCode::new(good).unwrap().as_str(), "*384*123#");
        }
        assert_eq!(ServiceCode::new("*123#1#").unwrap().core(), "123#1");
        for bad in ["", "*#", "384 1", "abc", "*384\n#"] {
            assert_eq!(ServiceCode::new(bad), None, "{bad}");
        }
        assert_eq!(ServiceCode::new(&"1".repeat(ServiceCode::LEN_MAX - 1)), None);
        assert!(ServiceCode::new(&"1".repeat(ServiceCode::LEN_MAX - 2)).is_some());
    }

    #[test]
    fn what_a_phone_dials_is_a_code_and_keys() {
        let dial = |what, code| {
            let (code, keys) = ServiceCode::new(code).unwrap().split(what)?;
            Some((code.as_str().to_owned(), keys.join(" ")))
        };
        let some = |code: &str, keys: &str| Some((code.to_owned(), keys.to_owned()));
        assert_eq!(dial("*384#", "*384#"), some("*384#", ""));
        assert_eq!(dial("*384*1*2#", "*384#"), some("*384#", "1 2"));
        assert_eq!(dial("*384*91102*1#", "*384*91102#"), some("*384*91102#", "1"));
        assert_eq!(dial("*123*1#", "*384#"), some("*123#", "1"));
        assert_eq!(dial("*3845*1#", "*384#"), some("*3845#", "1"));
        for wrong in ["384", "*384", "*#", "**#", "*38a#", "*384**1#", ""] {
            assert_eq!(dial(wrong, "*384#"), None, "{wrong}");
        }
    }

    #[test]
    fn what_no_dialogue_may_hold_is_refused() {
        let long = format!("*1*{}#", "1".repeat(Turn::TEXT_LEN_MAX + 1));
        assert_eq!(dialled(&long, "1", None, "x").err(), Some(TurnError::Wrong("x")));
        assert_eq!(dialled("*1*\u{7}#", "1", None, "x").err(), Some(TurnError::Wrong("x")));
        let other = format!("*{}#", "1".repeat(Turn::CODE_LEN_MAX));
        assert_eq!(dialled(&other, "", None, "x").err(), Some(TurnError::Wrong("x")));
    }

    proptest! {
        #[test]
        fn what_is_dialled_is_taken_apart_again(
            code in "[0-9]{2,4}(\\*[0-9]{1,3}){0,2}",
            keys in prop::collection::vec("[^*#\\pC]{0,8}", 0..4),
        ) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let configured = ServiceCode::new(&code);
            let string = dial(&code, &keys);
            let (shown, input) = dialled(&string, "", configured.as_ref(), "x").unwrap();
            prop_assert_eq!(&*shown, format!("*{code}#"));
            prop_assert_eq!(input, Input::Dialled(Redacted(keys.join("*").into())));
        }
    }
}
