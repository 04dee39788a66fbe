//! Menus as data: states with texts, options, inputs and questions, read from TOML and checked.
//!
//! A menu never holds code: a text is literals and `{placeholders}`, an action is the name of an
//! operation that a backend answers, and what the caller may type is a named class with a length. What
//! can be said of a menu without a caller (where it leads, how long its screens become) is said when
//! it is read, with the line ([`Menu::parse`]).

mod lint;
mod parse;
mod read;
mod template;

pub(crate) use lint::ASKS_IN_A_ROW_MAX;
pub use parse::{ATTEMPTS_MAX, LANGUAGES_MAX, OPTIONS_MAX, SOURCE_LEN_MAX, STATES_MAX};
pub use read::{Fault, MenuError};
pub(crate) use template::{Template, Values};

use crate::text::Limits;
use std::time::Duration;

/// A checked menu: every name in it leads somewhere, every screen fits.
#[derive(Debug)]
pub struct Menu {
    name: Box<str>,
    languages: Box<[Box<str>]>,
    start: StateId,
    attempts: u8,
    texts: Texts,
    states: Box<[State]>,
    declared: Box<[Declared]>,
    limits: Limits,
}

impl Menu {
    /// Reads a menu whose screens must fit `limits`. Every fault is reported, not only the first.
    pub fn parse(source: &str, limits: Limits) -> Result<Self, MenuError> {
        parse::parse(source, limits)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its languages, the first of which greets.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(AsRef::as_ref)
    }

    /// The operations it asks for and whether each has an effect: what a backend must know.
    pub fn operations(&self) -> impl Iterator<Item = (&str, bool)> {
        self.states.iter().filter_map(|state| match &state.step {
            Step::Ask(ask) => Some((ask.operation.as_ref(), ask.effect)),
            Step::Screen(_) | Step::End(_) => None,
        })
    }

    /// What a caller is told when his turn moves no dialogue, in the first language.
    pub fn retry_text(&self) -> std::sync::Arc<str> {
        self.texts.retry.render(Language::FIRST, &Values::default(), self)
    }

    pub(crate) fn state(&self, id: StateId) -> &State {
        &self.states[usize::from(id.0)]
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = (StateId, &State)> {
        (0..).map(StateId).zip(self.states.iter())
    }

    pub(crate) fn start(&self) -> StateId {
        self.start
    }

    pub(crate) fn has_effect(&self, id: StateId) -> bool {
        matches!(&self.state(id).step, Step::Ask(ask) if ask.effect)
    }

    pub(crate) fn attempts(&self) -> u8 {
        self.attempts
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn language(&self, name: &str) -> Option<Language> {
        let found = self.languages.iter().position(|it| **it == *name)?;
        u8::try_from(found).ok().map(Language)
    }

    pub(crate) fn turned(&self, language: Language, turn: LanguageTurn) -> Language {
        match turn {
            LanguageTurn::To(language) => language,
            LanguageTurn::Next if usize::from(language.0) + 1 < self.languages.len() => {
                Language(language.0 + 1)
            }
            LanguageTurn::Next => Language(0),
        }
    }

    pub(crate) fn language_name(&self, language: Language) -> &str {
        &self.languages[usize::from(language.0)]
    }

    /// The value of that name and the most characters it may have.
    pub(crate) fn declared(&self, name: &str) -> Option<(ValueId, usize)> {
        let at = self.declared.iter().position(|it| *it.name == *name)?;
        Some((ValueId(u8::try_from(at).ok()?), self.declared[at].characters_max))
    }

    pub(crate) fn declared_max(&self, value: ValueId) -> usize {
        self.declared[usize::from(value.0)].characters_max
    }
}

/// A state's place in its menu. Made by the parser alone, so that it always names one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct StateId(pub(super) u16);

/// A language's place in its menu.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Language(pub(super) u8);

impl Language {
    /// The one that greets.
    pub(crate) const FIRST: Self = Self(0);
}

/// A value's place among those a menu declares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ValueId(pub(super) u8);

/// A value that texts may show.
#[derive(Debug)]
pub(crate) struct Declared {
    name: Box<str>,
    characters_max: usize,
}

/// What is said in any state.
#[derive(Debug)]
pub(crate) struct Texts {
    /// Above a screen shown again, where the state has no error of its own.
    pub(crate) wrong_input: Localized,
    /// END after the last attempt.
    pub(crate) attempts: Localized,
    /// END when nothing can be kept, or the turn fits no dialogue.
    pub(crate) retry: Localized,
    /// END when a question was not answered in time, where it has no text of its own.
    pub(crate) late: Localized,
    /// END of a dialogue with too many hops.
    pub(crate) hops: Localized,
}

/// One text in every language of the menu.
#[derive(Clone, Debug)]
pub(crate) struct Localized(Box<[Template]>);

impl Localized {
    pub(crate) fn render(
        &self,
        language: Language,
        values: &Values,
        menu: &Menu,
    ) -> std::sync::Arc<str> {
        self.0[usize::from(language.0)].render(values, menu.limits)
    }
}

/// One place in a menu.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: Box<str>,
    pub(crate) line: usize,
    pub(crate) step: Step,
}

/// What happens there.
#[derive(Debug)]
pub(crate) enum Step {
    /// A text is shown and keys are awaited.
    Screen(ScreenStep),
    /// A text is shown and the dialogue is over.
    End(Localized),
    /// A backend is asked, and its answer chooses the next state.
    Ask(AskStep),
}

/// A text with what may be typed.
#[derive(Debug)]
pub(crate) struct ScreenStep {
    /// The text with its options below it.
    pub(crate) shown: Localized,
    /// The same with the error line above it.
    pub(crate) shown_again: Localized,
    pub(crate) options: Box<[Choice]>,
    pub(crate) input: Option<InputRule>,
}

impl ScreenStep {
    /// Where `key` leads; nowhere when it is neither an option nor allowed input.
    pub(crate) fn typed<'k>(&self, key: &'k str) -> Option<Move<'k>> {
        if let Some(choice) = self.options.iter().find(|choice| *choice.key == *key) {
            return Some(Move { goto: choice.goto, language: choice.language, save: None });
        }
        let input = self.input.as_ref().filter(|input| input.allows(key))?;
        let save = input.save.map(|value| (value, key));
        Some(Move { goto: input.goto, language: None, save })
    }
}

/// What a key does.
#[derive(Clone, Copy)]
pub(crate) struct Move<'k> {
    pub(crate) goto: StateId,
    pub(crate) language: Option<LanguageTurn>,
    pub(crate) save: Option<(ValueId, &'k str)>,
}

/// A key and where it leads.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) key: Box<str>,
    pub(crate) goto: StateId,
    pub(crate) language: Option<LanguageTurn>,
}

/// A change of language.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LanguageTurn {
    To(Language),
    /// The one after the present one, and after the last the first.
    Next,
}

/// What may be typed beside the options' keys.
#[derive(Debug)]
pub(crate) struct InputRule {
    accept: Accept,
    characters_min: usize,
    characters_max: usize,
    save: Option<ValueId>,
    goto: StateId,
}

impl InputRule {
    /// Whether `typed` is of the class and the length asked for.
    fn allows(&self, typed: &str) -> bool {
        let count = typed.chars().count();
        (self.characters_min..=self.characters_max).contains(&count)
            && typed.chars().all(|letter| self.accept.allows(letter))
    }
}

/// A class of characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Accept {
    Digits,
    /// Letters, with what stands in names: blank, apostrophe, hyphen, full stop.
    Name,
    Alphanumeric,
    /// All but control characters.
    Any,
}

impl Accept {
    fn allows(self, letter: char) -> bool {
        match self {
            Self::Digits => letter.is_ascii_digit(),
            Self::Name => letter.is_alphabetic() || matches!(letter, ' ' | '\'' | '’' | '-' | '.'),
            Self::Alphanumeric => letter.is_alphanumeric(),
            Self::Any => !letter.is_control(),
        }
    }
}

/// A question to a backend.
#[derive(Debug)]
pub(crate) struct AskStep {
    pub(crate) operation: Box<str>,
    /// Whether answering changes something in the world. Such a question is on disk before it is asked,
    /// and only a key typed by itself leads to it.
    pub(crate) effect: bool,
    pub(crate) timeout: Duration,
    pub(crate) arguments: Box<[(Box<str>, Template)]>,
    /// Outcome to next state.
    pub(crate) results: Box<[(Box<str>, StateId)]>,
    /// Where every other outcome leads.
    pub(crate) otherwise: Option<StateId>,
    /// END when the answer is late.
    pub(crate) late: Option<Localized>,
}

impl AskStep {
    pub(crate) fn next(&self, outcome: &str) -> Option<StateId> {
        let found = self.results.iter().find(|(word, _)| **word == *outcome);
        found.map(|(_, state)| *state).or(self.otherwise)
    }
}
