//! Versions as devices say them, and which of two is the newer.
//!
//! There is no one spelling: `0.0.10`, `V3R017C10S125`, `1.2.0 0.9.1 v6086.0 Build 230915
//! Rel.40311n`. A text is read as words with numbers behind them; whatever else stands in it only
//! separates, and the case of letters does not count. A `v`, `ver` or `version` before a number says
//! nothing and is left out. Then, word by word:
//!
//! 1. numbers are compared as numbers (`0.0.10` is above `0.0.9`), and a missing one is a zero
//!    (`1.2` and `1.2.0` are of the same height);
//! 2. a word of something not finished (`dev`, `alpha`, `beta`, `pre`, `rc` …) is below nothing at
//!    all (`1.2-rc1` is below `1.2`), any other is above it (`1.2b`, `1.2 Build 5` are above `1.2`);
//! 3. single letters are in the order of the alphabet (`1.2a` is below `1.2b`);
//! 4. other words that differ, or a word where the other has a letter or begins with a number, belong to different lines of firmware:
//!    they have an order, so that lists can be sorted, but nobody can say which is newer
//!    ([`Step::Unclear`]).
//!
//! Two versions are the same only when their texts are, but for blanks around them: what a device
//! reports is compared with what is expected of it byte by byte.

use std::cmp::Ordering;

/// A version as a device says it, made ready to be compared. There is no `==`: versions of the same
/// height need not be the same ([`Version::is_same`], [`Version::compare`]).
#[derive(Clone, Debug)]
pub struct Version<'a> {
    text: &'a str,
    parts: Vec<Part>,
}

/// A word, and the numbers behind it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Part {
    word: String,
    /// Without leading zeros each, and without zeros at the end.
    numbers: Vec<String>,
    /// Whether there were any.
    is_numbered: bool,
}

/// What going from one version to another would be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing: it is the same.
    Same,
    /// To a newer one.
    Up,
    /// To an older one.
    Down,
    /// It cannot be told: they are spelled differently and of the same height, or of different lines.
    Unclear,
}

/// Words of something that is not finished, in the order in which it proceeds.
const UNFINISHED: [&str; 10] =
    ["dev", "snapshot", "test", "trial", "alpha", "beta", "pre", "preview", "cr", "rc"];
/// Words that say only that a number follows.
const EMPTY: [&str; 3] = ["v", "ver", "version"];

impl<'a> Version<'a> {
    /// Reads a version. Every text is one.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let text = text.trim();
        let mut parts = vec![Part::default()];
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let same: fn(char) -> bool = match first {
                _ if first.is_ascii_digit() => |c| c.is_ascii_digit(),
                _ if first.is_alphabetic() => char::is_alphabetic,
                _ => |c| !c.is_alphabetic() && !c.is_ascii_digit(),
            };
            let (token, after) = rest.split_at(rest.find(|c| !same(c)).unwrap_or(rest.len()));
            rest = after;
            if first.is_ascii_digit() {
                let number = token.trim_start_matches('0').to_owned();
                let part = parts.last_mut().expect("there is always one");
                part.numbers.push(number);
                part.is_numbered = true;
            } else if first.is_alphabetic() {
                let word = token.to_lowercase();
                let is_numbered = after
                    .trim_start_matches(['.', ' ', ':'])
                    .starts_with(|c: char| c.is_ascii_digit());
                if !(is_numbered && EMPTY.contains(&word.as_str())) {
                    parts.push(Part { word, ..Part::default() });
                }
            }
        }
        for part in &mut parts {
            let end = part.numbers.iter().rposition(|it| !it.is_empty()).map_or(0, |at| at + 1);
            part.numbers.truncate(end);
        }
        Self { text, parts }
    }

    /// The text, without blanks around it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text
    }

    /// Whether both are spelled alike.
    #[must_use]
    pub fn is_same(&self, other: &Version<'_>) -> bool {
        self.text == other.text
    }

    /// An order of all versions: reflexive, transitive and total. What [`Version::step_to`] calls
    /// newer is above here.
    #[must_use]
    pub fn compare(&self, other: &Version<'_>) -> Ordering {
        self.difference(other).0
    }

    /// What going from this version to `other` would be.
    #[must_use]
    pub fn step_to(&self, other: &Version<'_>) -> Step {
        if self.is_same(other) {
            return Step::Same;
        }
        match self.difference(other) {
            (Ordering::Less, true) => Step::Up,
            (Ordering::Greater, true) => Step::Down,
            (Ordering::Equal, _) | (_, false) => Step::Unclear,
        }
    }

    /// The order, and whether it says which is newer.
    fn difference(&self, other: &Version<'_>) -> (Ordering, bool) {
        let longest = self.parts.len().max(other.parts.len());
        for place in 0..longest {
            let (here, there) = (self.parts.get(place), other.parts.get(place));
            let words = (here.map(word), there.map(word));
            let (order, is_told) = compare_words(words.0, words.1);
            if order.is_ne() {
                return (order, is_told);
            }
            let numbers = |part: Option<&Part>| part.map_or(Vec::new(), |it| it.numbers.clone());
            let order = compare_numbers(&numbers(here), &numbers(there));
            if order.is_ne() {
                // One that begins with a number, and one that begins with a name.
                let begins = |part: Option<&Part>| part.is_some_and(|it| it.is_numbered);
                return (order, place > 0 || begins(here) == begins(there));
            }
        }
        (Ordering::Equal, true)
    }
}

fn word(part: &Part) -> &str {
    &part.word
}

/// Where a word stands: below nothing, or above it.
fn height(word: Option<&str>) -> usize {
    match word {
        None => UNFINISHED.len(),
        Some(word) => UNFINISHED.iter().position(|it| *it == word).unwrap_or(UNFINISHED.len() + 1),
    }
}

fn compare_words(here: Option<&str>, there: Option<&str>) -> (Ordering, bool) {
    let order = height(here).cmp(&height(there));
    if order.is_ne() {
        return (order, true);
    }
    let (here, there) = (here.unwrap_or_default(), there.unwrap_or_default());
    let are_letters = here.chars().count() == 1 && there.chars().count() == 1;
    (here.cmp(there), are_letters)
}

/// Numbers of any length, as digits without leading zeros; the shorter list ends in zeros.
fn compare_numbers(here: &[String], there: &[String]) -> Ordering {
    let longer = |a: &String, b: &String| a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    let both = here.iter().zip(there).map(|(a, b)| longer(a, b));
    both.fold(Ordering::Equal, Ordering::then).then_with(|| here.len().cmp(&there.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(from: &str, to: &str) -> Step {
        Version::new(from).step_to(&Version::new(to))
    }

    #[test]
    fn the_newer_one_is_found() {
        for (older, newer) in [
            ("0.0.9", "0.0.10"),
            ("1.2", "1.2.1"),
            ("1.2.0", "1.10"),
            ("v1.9", "V2.0"),
            ("1.2-rc1", "1.2"),
            ("1.2-rc1", "1.2-rc2"),
            ("1.2-alpha9", "1.2-beta1"),
            ("1.2.0-dev", "1.2.0-rc1"),
            ("1.2", "1.2b"),
            ("1.2a", "1.2b"),
            ("V3R017C10S125", "V3R017C10S130"),
            ("V3R017C10S125", "V5R019C00S001"),
            (
                "1.2.0 0.9.1 v6086.0 Build 220810 Rel.34781n",
                "1.2.0 0.9.1 v6086.0 Build 230915 Rel.40311n",
            ),
            (
                "3.0.1 0.8.0 v6068.0 Build 220810 Rel.34781n(5553)",
                "3.0.1 0.9.0 v6068.0 Build 1 Rel.1n",
            ),
            ("1.0.0.0.99999999999999999999998", "1.0.0.0.99999999999999999999999"),
            ("ver 1.2", "version 1.3"),
            ("r1 2021", "r1 2022"),
        ] {
            assert_eq!(step(older, newer), Step::Up, "{older} < {newer}");
            assert_eq!(step(newer, older), Step::Down, "{newer} > {older}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        assert_eq!(step(" 1.2 ", "1.2"), Step::Same);
        for (one, other) in [
            ("1.2", "1.2.0"),
            ("1.2", "v1.2"),
            ("1.02", "1.2"),
            ("V3R017C10S125", "V3R017C10SPC125"),
            ("main-2", "stable-1"),
            ("main-2", "1.2"),
            ("1.2 RC1", "1.2-rc1"),
        ] {
            assert_eq!(step(one, other), Step::Unclear, "{one}, {other}");
            assert_eq!(step(other, one), Step::Unclear, "{other}, {one}");
        }
    }

    fn versions() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9]{1,2}(\\.[0-9]{1,2}){0,3}",
            "[vV]?[0-9](\\.[0-2]){0,3}(-?(rc|beta|b|a|dev|Build )[0-9]?)?",
            "([a-c]|rc|dev|[0-2]|[.]|-| ){0,8}",
            ".{0,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Reflexive, total and antisymmetric by construction of `Ordering`; transitive.
        #[test]
        fn it_is_a_total_preorder(a in versions(), b in versions(), c in versions()) {
            let (a, b, c) = (Version::new(&a), Version::new(&b), Version::new(&c));
            prop_assert_eq!(a.compare(&a), Ordering::Equal);
            prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
            if a.compare(&b).is_le() && b.compare(&c).is_le() {
                prop_assert!(a.compare(&c).is_le(), "{:?} {:?} {:?}", a, b, c);
            }
            if a.compare(&b).is_eq() && b.compare(&c).is_eq() {
                prop_assert!(a.compare(&c).is_eq());
            }
        }

        /// A step up one way is a step down the other way, and agrees with the order.
        #[test]
        fn steps_agree_with_the_order(a in versions(), b in versions()) {
            let (from, to) = (Version::new(&a), Version::new(&b));
            match from.step_to(&to) {
                Step::Same => prop_assert_eq!(a.trim(), b.trim()),
                Step::Up => {
                    prop_assert_eq!(to.step_to(&from), Step::Down);
                    prop_assert!(from.compare(&to).is_lt());
                }
                Step::Down => prop_assert_eq!(to.step_to(&from), Step::Up),
                Step::Unclear => prop_assert_eq!(to.step_to(&from), Step::Unclear),
            }
        }

        /// Dotted numbers are compared as the list of numbers that they are.
        #[test]
        fn dotted_numbers_are_compared_as_numbers(
            a in prop::collection::vec(0_u32..120, 3),
            b in prop::collection::vec(0_u32..120, 3),
        ) {
            let text = |it: &[u32]| it.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
            let (here, there) = (text(&a), text(&b));
            prop_assert_eq!(Version::new(&here).compare(&Version::new(&there)), a.cmp(&b));
        }
    }
}
