//! Menus as data: states with texts, options, inputs and questions, read from TOML and checked.
//!
//! A menu never holds code: a text is literals and `{placeholders}`, an action is the name of an
//! operation that a backend answers, and what the caller may type is a named class with a length. What
//! can be said of a menu without a caller (where it leads, how long its screens become) is said when
//! it is read, with the line ([`Menu::parse`]).

mod lint;
mod page;
mod parse;
mod phrases;
mod read;
mod step;
mod template;

pub(crate) use lint::ASKS_IN_A_ROW_MAX;
pub(crate) use page::{Frame, Page};
pub use parse::{
    ATTEMPTS_MAX, LANGUAGES_MAX, OPTIONS_MAX, SOURCE_LEN_MAX, STATES_MAX, is_language,
};
pub use phrases::Phrases;
pub use read::{Fault, MenuError};
pub(crate) use step::{
    AskStep, CheckStep, Checked, InputRule, Keys, LanguageTurn, ScreenStep, State, Step, Typed,
};
pub(crate) use template::{Template, Values};

use crate::network::Networks;
use crate::text::Limits;
use std::sync::Arc;

/// A checked menu: every name in it leads somewhere, every screen fits.
#[derive(Debug)]
pub struct Menu {
    name: Box<str>,
    revision: Box<str>,
    languages: Box<[Box<str>]>,
    start: StateId,
    attempts: u8,
    keys: Keys,
    texts: Texts,
    states: Box<[State]>,
    declared: Box<[Declared]>,
    networks: Networks,
}

impl Menu {
    /// Reads a menu with its phrases, whose screens must fit on all of `networks`. Every fault is
    /// reported, not only the first.
    pub fn parse(source: &str, phrases: &Phrases, networks: &Networks) -> Result<Self, MenuError> {
        parse::parse(source, phrases, networks)
    }

    /// The name of the menu in `source`, where it has one.
    pub fn name_in(source: &str) -> Option<String> {
        parse::peek(source).map(|(name, _)| name)
    }

    /// The languages that `source` names itself; the first greets.
    pub fn languages_in(source: &str) -> Vec<String> {
        parse::peek(source).map(|(_, languages)| languages).unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells it from what it was before its file or a phrase of it was changed: 16 digits.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Its languages, the first of which greets.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(AsRef::as_ref)
    }

    /// The operations it asks for and whether each has an effect: what a backend must know.
    pub fn operations(&self) -> impl Iterator<Item = (&str, bool)> {
        self.states.iter().filter_map(|state| {
            let ask = match &state.step {
                Step::Ask(ask) => Some(ask),
                Step::Screen(screen) => {
                    let check = screen.input.as_ref().and_then(|input| input.check.as_ref());
                    check.map(|check| &check.ask)
                }
                Step::End(_) => None,
            };
            ask.map(|ask| (ask.operation.as_ref(), ask.effect))
        })
    }

    /// What a caller is told when his turn moves no dialogue, in the first language.
    pub fn retry_text(&self) -> Arc<str> {
        self.texts.retry.render(Language::FIRST, &Values::default(), self.networks.tightest())
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

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    pub(crate) fn networks(&self) -> &Networks {
        &self.networks
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

    /// The value of that name that an answer may bring, and the most characters it may have.
    pub(crate) fn declared(&self, name: &str) -> Option<(ValueId, usize)> {
        let at = self.declared.iter().position(|it| *it.name == *name)?;
        let declared = &self.declared[at];
        (!declared.is_ours).then_some((ValueId(u8::try_from(at).ok()?), declared.characters_max))
    }

    pub(crate) fn declared_max(&self, value: ValueId) -> usize {
        self.declared[usize::from(value.0)].characters_max
    }

    pub(crate) fn is_secret(&self, value: ValueId) -> bool {
        self.declared[usize::from(value.0)].is_secret
    }

    /// Page `at` of a screen that may have more than one.
    pub(crate) fn page(
        &self,
        screen: &ScreenStep,
        view: View<'_>,
        (at, again): (usize, bool),
    ) -> Page {
        let filled = |text: &Localized| text.in_language(view.language).fill_in(view.values);
        let hint = |key: &Option<Box<str>>, text: &Option<Localized>| {
            let (key, text) = (key.as_ref()?, text.as_ref()?);
            Some(format!("{key}. {}", filled(text)))
        };
        let more = hint(&self.keys.more, &self.texts.more).unwrap_or_default();
        let back = hint(&self.keys.back, &self.texts.back);
        let error = filled(&screen.error);
        let frame =
            Frame { limits: view.limits, error: &error, more: &more, back: back.as_deref() };
        frame.page(&filled(&screen.shown), at, again)
    }
}

/// How a dialogue sees its menu.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) language: Language,
    pub(crate) values: &'a Values,
    /// What its caller's network shows.
    pub(crate) limits: Limits,
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

impl ValueId {
    /// The dialogue's language, for arguments.
    pub(crate) const LANGUAGE: Self = Self(0);
    /// What was typed, for the arguments of its check.
    pub(crate) const INPUT: Self = Self(1);
}

/// A value that texts may show or arguments pass on.
#[derive(Debug)]
pub(crate) struct Declared {
    name: Box<str>,
    characters_max: usize,
    /// Never shown, and forgotten when the dialogue breaks off.
    is_secret: bool,
    /// Known to the dialogue itself: no answer sets it.
    is_ours: bool,
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
    /// Beside the key for the next page.
    pub(crate) more: Option<Localized>,
    /// Beside the key for the page before.
    pub(crate) back: Option<Localized>,
    /// Asks whether to go on where a dialogue broke off, 1, or to begin anew, 2; and the same below
    /// the error line. Without it there is no going on.
    pub(crate) resume: Option<(Localized, Localized)>,
}

/// One text in every language of the menu.
#[derive(Clone, Debug)]
pub(crate) struct Localized(Box<[Template]>);

impl Localized {
    pub(crate) fn render(&self, language: Language, values: &Values, limits: Limits) -> Arc<str> {
        self.in_language(language).render(values, limits)
    }

    pub(crate) fn in_language(&self, language: Language) -> &Template {
        &self.0[usize::from(language.0)]
    }
}
