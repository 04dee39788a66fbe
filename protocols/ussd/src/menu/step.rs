//! What happens in a state: a screen with what may be typed, an end, or a question.

use super::{Language, Localized, StateId, Template, ValueId};
use std::time::Duration;

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
    Screen(Box<ScreenStep>),
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
    /// The error line by itself.
    pub(crate) error: Localized,
    pub(crate) options: Box<[Choice]>,
    pub(crate) input: Option<InputRule>,
    /// A text that does not fit is shown in pages.
    pub(crate) is_paged: bool,
    /// A dialogue that breaks off here may go on here.
    pub(crate) may_resume: bool,
}

/// What a key means on a screen.
#[derive(Clone, Copy)]
pub(crate) enum Typed<'m> {
    /// An option.
    Option(&'m Choice),
    /// Allowed input.
    Input(&'m InputRule),
    /// The screen before this one.
    Back,
    /// The menu's start.
    Home,
    /// The next page.
    More,
    /// Nothing.
    Wrong,
}

impl ScreenStep {
    /// What `key` means: a screen's own options go before the menu's keys, and so does input that
    /// the screen asks for.
    pub(crate) fn typed(&self, key: &str, keys: &Keys) -> Typed<'_> {
        let is = |engine: &Option<Box<str>>| engine.as_deref() == Some(key);
        if let Some(choice) = self.options.iter().find(|choice| *choice.key == *key) {
            return Typed::Option(choice);
        }
        if self.is_paged && is(&keys.more) {
            return Typed::More;
        }
        if let Some(input) = self.input.as_ref().filter(|input| input.allows(key)) {
            return Typed::Input(input);
        }
        if is(&keys.back) {
            Typed::Back
        } else if is(&keys.home) {
            Typed::Home
        } else {
            Typed::Wrong
        }
    }
}

/// The keys that mean the same on every screen; none where a menu does without.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) back: Option<Box<str>>,
    pub(crate) home: Option<Box<str>>,
    pub(crate) more: Option<Box<str>>,
}

/// A key and where it leads.
#[derive(Clone, Debug)]
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
    pub(crate) accept: Accept,
    pub(crate) characters_min: usize,
    pub(crate) characters_max: usize,
    pub(crate) save: Option<ValueId>,
    pub(crate) goto: StateId,
    pub(crate) check: Option<Box<CheckStep>>,
}

impl InputRule {
    /// Whether `typed` is of the class and the length asked for.
    fn allows(&self, typed: &str) -> bool {
        let count = typed.chars().count();
        let body = match self.accept {
            Accept::Number => typed.strip_prefix('+').unwrap_or(typed),
            Accept::Name if !typed.starts_with(char::is_alphabetic) => return false,
            Accept::Digits | Accept::Name | Accept::Alphanumeric | Accept::Any => typed,
        };
        (self.characters_min..=self.characters_max).contains(&count)
            && body.chars().all(|letter| self.accept.allows(letter))
    }
}

/// A question that is asked before an input counts.
#[derive(Debug)]
pub(crate) struct CheckStep {
    /// Its `results` are those that lead to a state of their own.
    pub(crate) ask: AskStep,
    /// Outcomes that make it a wrong input, each with the screen below its reason.
    pub(crate) again: Box<[(Box<str>, Localized)]>,
}

/// Where the answer to a check leads.
#[derive(Clone, Copy)]
pub(crate) enum Checked<'m> {
    /// The input counts.
    Right,
    /// It is a wrong one, for this reason.
    Again(&'m Localized),
    /// Elsewhere.
    To(StateId),
}

impl CheckStep {
    /// The outcome that lets an input count.
    pub(crate) const OK: &'static str = "ok";

    pub(crate) fn next(&self, outcome: &str) -> Option<Checked<'_>> {
        if outcome == Self::OK {
            return Some(Checked::Right);
        }
        if let Some((_, screen)) = self.again.iter().find(|(word, _)| **word == *outcome) {
            return Some(Checked::Again(screen));
        }
        self.ask.next(outcome).map(Checked::To)
    }
}

/// A class of characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Accept {
    Digits,
    /// Letters, and behind the first what stands in names: blank, apostrophe, hyphen, full stop.
    Name,
    Alphanumeric,
    /// A telephone number: digits, with or without a plus before them.
    Number,
    /// All but control characters.
    Any,
}

impl Accept {
    fn allows(self, letter: char) -> bool {
        match self {
            Self::Digits | Self::Number => letter.is_ascii_digit(),
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
