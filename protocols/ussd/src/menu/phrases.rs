//! The texts of a menu by language and key, apart from the menu: for translators, and to be changed
//! while the service runs.

use super::ValueId;
use super::parse::{SOURCE_LEN_MAX, is_language, is_word};
use super::read::{Faults, MenuError, Section};
use super::template::{Template, Values};
use std::collections::BTreeMap;
use toml::de::DeTable;

/// Texts by language and key. A menu shows one where it says `"@key"`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Phrases {
    texts: BTreeMap<Box<str>, BTreeMap<Box<str>, Box<str>>>,
    first: Option<Box<str>>,
}

impl Phrases {
    /// Most phrases of one language.
    pub const PHRASES_MAX: usize = 1_000;

    /// Reads a file of `key = "text"` lines in `language`. Every fault is reported, with its line.
    pub fn parse(language: &str, source: &str) -> Result<Self, MenuError> {
        let mut faults = Faults::of(source);
        if source.len() > SOURCE_LEN_MAX {
            faults.add(1, "", format!("is longer than {SOURCE_LEN_MAX} bytes"));
            return Err(faults.into_error());
        }
        if !is_language(language) {
            faults.add(1, "", format!("`{language}` is no language: a word such as `en`"));
        }
        let (root, errors) = DeTable::parse_recoverable(source);
        for error in &errors {
            let line = error.span().map_or(1, |span| faults.line(span.start));
            faults.add(line, "", error.message());
        }
        let mut phrases = Self::default();
        let entries = Section::new(root.get_ref(), "", 1).entries(&faults);
        if entries.len() > Self::PHRASES_MAX {
            faults.add(1, "", format!("holds more than {} phrases", Self::PHRASES_MAX));
        }
        for (key, at) in entries {
            match at.value.as_str() {
                _ if !is_word(key) => faults.add(at.line, key, "is no word: a-z, 0-9 and `_`"),
                None => faults.add(at.line, key, "must be text in quotes"),
                Some(text) => match fault_of(text) {
                    Some(fault) => faults.add(at.line, key, fault),
                    None => phrases.set(language, key, text),
                },
            }
        }
        if faults.is_empty() { Ok(phrases) } else { Err(faults.into_error()) }
    }

    /// Whether `text` may be a phrase, whatever menu shows it; else what is wrong with it.
    pub fn check(text: &str) -> Result<(), String> {
        fault_of(text).map_or(Ok(()), Err)
    }

    /// Takes all of `over`, which goes before what is here.
    pub fn merge(&mut self, over: &Self) {
        for (language, texts) in &over.texts {
            let texts = texts.iter().map(|(key, text)| (key.clone(), text.clone()));
            self.texts.entry(language.clone()).or_default().extend(texts);
        }
    }

    /// Sets one phrase.
    pub fn set(&mut self, language: &str, key: &str, text: &str) {
        self.texts.entry(language.into()).or_default().insert(key.into(), text.into());
    }

    /// Forgets one phrase; returns whether it was there.
    pub fn remove(&mut self, language: &str, key: &str) -> bool {
        let Some(texts) = self.texts.get_mut(language) else { return false };
        let was_there = texts.remove(key).is_some();
        if texts.is_empty() {
            self.texts.remove(language);
        }
        was_there
    }

    /// Forgets a language; returns whether it was there.
    pub fn remove_language(&mut self, language: &str) -> bool {
        self.texts.remove(language).is_some()
    }

    /// Says which language stands in for the others: the first of the menu.
    #[must_use]
    pub fn falling_back_to(mut self, language: &str) -> Self {
        self.first = Some(language.into());
        self
    }

    /// The languages there is a phrase in.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(AsRef::as_ref)
    }

    /// Every phrase: language, key, text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.texts.iter().flat_map(|(language, texts)| {
            texts.iter().map(move |(key, text)| (&**language, &**key, &**text))
        })
    }

    /// The phrase, in the language that stands in where `language` lacks it.
    pub fn text(&self, language: &str, key: &str) -> Option<&str> {
        let first = || self.exact(self.first.as_deref()?, key);
        self.exact(language, key).or_else(first)
    }

    /// The phrase in that very language.
    pub fn exact(&self, language: &str, key: &str) -> Option<&str> {
        self.texts.get(language)?.get(key).map(AsRef::as_ref)
    }

    /// The phrase with its placeholders filled in; one that is not given shows as `-`.
    pub fn fill(&self, language: &str, key: &str, values: &[(&str, &str)]) -> Option<String> {
        let id = |at: usize| ValueId(u8::try_from(at).unwrap_or(u8::MAX));
        let place = |name: &str| values.iter().position(|(known, _)| *known == name);
        let text = self.text(language, key)?;
        let resolve = &mut |name: &str| Some(id(place(name).unwrap_or(usize::MAX)));
        let template = Template::parse(text, resolve).ok()?;
        let mut filled = Values::default();
        for (at, (_, value)) in values.iter().enumerate() {
            filled.set(id(at), value, usize::MAX);
        }
        Some(template.fill_in(&filled))
    }
}

fn fault_of(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is empty".to_owned());
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Some("holds a control character".to_owned());
    }
    Template::parse(text, &mut |name| is_word(name).then_some(ValueId(0))).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_phrases_is_read_with_its_faults_in_their_lines() {
        let phrases =
            Phrases::parse("en", "# Greeting\nhi = \"Hi {name}\"\nbye = 'Bye'\n").unwrap();
        assert_eq!(phrases.text("en", "hi"), Some("Hi {name}"));
        assert_eq!(phrases.text("sw", "hi"), None);
        let faults = |source: &str| {
            let error = Phrases::parse("en", source).unwrap_err();
            error.faults.into_iter().map(|it| (it.line, it.place, it.text)).collect::<Vec<_>>()
        };
        let found = faults("hi = \"Hi\"\nBye = 'x'\nn = 3\ne = ' '\nb = '{x'\nc = \"\\u0007\"\n");
        let lines: Vec<_> = found.iter().map(|(line, place, _)| (*line, place.as_str())).collect();
        assert_eq!(lines, [(2, "Bye"), (3, "n"), (4, "e"), (5, "b"), (6, "c")], "{found:?}");
        assert_eq!(faults("a = 'x'\na = 'y'")[0].0, 2, "twice");
        assert_eq!(faults("a = ")[0].0, 1);
        assert!(Phrases::parse("Englisch!", "a = 'x'").is_err());
        let many: String = (0..=Phrases::PHRASES_MAX).map(|it| format!("k{it} = 'x'\n")).collect();
        assert!(Phrases::parse("en", &many).is_err());
    }

    #[test]
    fn what_is_over_goes_before_and_the_first_language_stands_in() {
        let mut phrases = Phrases::parse("en", "hi = 'Hi'\nbye = 'Bye'").unwrap();
        let mut over = Phrases::parse("sw", "hi = 'Habari'").unwrap();
        over.set("en", "bye", "Goodbye");
        phrases.merge(&over);
        let mut phrases = phrases.falling_back_to("en");
        assert_eq!(phrases.languages().collect::<Vec<_>>(), ["en", "sw"]);
        assert_eq!(phrases.text("en", "bye"), Some("Goodbye"));
        assert_eq!(phrases.text("sw", "hi"), Some("Habari"));
        assert_eq!(phrases.text("sw", "bye"), Some("Goodbye"), "not said in Swahili");
        assert_eq!((phrases.exact("sw", "bye"), phrases.text("sw", "no")), (None, None));
        assert!(phrases.remove_language("sw") && !phrases.remove_language("sw"));
        assert_eq!(phrases.text("sw", "hi"), Some("Hi"));
        assert!(phrases.remove("en", "hi") && !phrases.remove("en", "hi"));
        assert_eq!(phrases.iter().collect::<Vec<_>>(), [("en", "bye", "Goodbye")]);
    }

    #[test]
    fn a_phrase_is_filled_in() {
        let mut phrases = Phrases::default();
        phrases.set("en", "code", "Code {code}, until {until}, {{{what}}}.");
        let filled = phrases.fill("en", "code", &[("until", "1 May"), ("code", "{x}")]);
        assert_eq!(filled.as_deref(), Some("Code {x}, until 1 May, {-}."));
        assert_eq!(phrases.fill("en", "none", &[]), None);
    }
}
