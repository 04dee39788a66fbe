//! A question of a menu file: what is asked, with what, and where its answers lead.

use super::{Reader, TIMEOUT_DEFAULT, TIMEOUT_MAX, duration, is_word};
use crate::menu::read::{At, Section};
use crate::menu::{AskStep, CheckStep, StateId, Template};
use std::time::Duration;

/// The outcome of a check that makes an input a wrong one.
const AGAIN: &str = "again";

/// A word and where it leads.
type Outcome = (Box<str>, StateId);

impl Reader<'_> {
    pub(super) fn ask(&mut self, section: &mut Section<'_>) -> Option<AskStep> {
        self.question(section, false).map(|(ask, _)| ask)
    }

    /// A question; of a check also the outcomes that lead `again`.
    pub(super) fn question(
        &mut self,
        section: &mut Section<'_>,
        is_check: bool,
    ) -> Option<(AskStep, Vec<Box<str>>)> {
        let operation = self.required_word(section, "ask");
        let effect = section.flag("effect", self.faults).unwrap_or(false);
        let timeout = self.timeout(section);
        let late = self.localized(section, "late");
        // Learnt by `declare`.
        let _ = section.table("values", self.faults);
        let arguments = self.arguments(section, is_check);
        let (results, again) = self.results(section, is_check);
        let place = section.below("otherwise");
        let otherwise = section.string("otherwise", self.faults);
        let otherwise = otherwise.and_then(|name| self.state(name, &place));
        let ask = AskStep {
            operation: operation?.value.into(),
            effect,
            timeout: timeout?,
            arguments: arguments.into(),
            results: results.into(),
            otherwise,
            late,
        };
        Some((ask, again))
    }

    fn arguments(
        &mut self,
        section: &mut Section<'_>,
        is_check: bool,
    ) -> Vec<(Box<str>, Template)> {
        let mut arguments = Vec::new();
        let Some(table) = section.table("arguments", self.faults) else { return arguments };
        for (name, At { line, value }) in table.entries(self.faults) {
            let place = table.below(name);
            match value.as_str().map(|text| self.template(text)) {
                Some(Ok(template)) if is_word(name) => {
                    if !is_check && template.values().any(|it| it == crate::menu::ValueId::INPUT) {
                        self.faults.add(line, &place, "shows `{input}`, which only a check has");
                    }
                    arguments.push((name.into(), template));
                }
                Some(Err(text)) => self.faults.add(line, &place, text),
                _ => self.faults.add(line, &place, "must be a word with a text"),
            }
        }
        arguments
    }

    fn results(
        &mut self,
        section: &mut Section<'_>,
        is_check: bool,
    ) -> (Vec<Outcome>, Vec<Box<str>>) {
        let (mut results, mut again) = (Vec::new(), Vec::new());
        let Some(table) = section.table("results", self.faults) else {
            section.missing("results", self.faults);
            return (results, again);
        };
        for (word, At { line, value }) in table.entries(self.faults) {
            let place = table.below(word);
            match value.as_str() {
                Some(_) if is_check && word == CheckStep::OK => {
                    let text = "leads where the input's `goto` says: leave it out";
                    self.faults.add(line, &place, text);
                }
                Some(AGAIN) if is_check && is_word(word) => again.push(word.into()),
                Some(value) if is_word(word) => {
                    let state = self.state(At { line, value }, &place);
                    results.extend(state.map(|state| (word.into(), state)));
                }
                _ => self.faults.add(line, &place, "must be a word with a state's name"),
            }
        }
        (results, again)
    }

    fn timeout(&mut self, section: &mut Section<'_>) -> Option<Duration> {
        let Some(At { line, value }) = section.string("timeout", self.faults) else {
            return Some(TIMEOUT_DEFAULT);
        };
        let timeout = duration(value).filter(|it| !it.is_zero() && *it <= TIMEOUT_MAX);
        if timeout.is_none() {
            let text = "must be a duration such as \"2s\" or \"500ms\", at most 9s";
            self.faults.add(line, &section.below("timeout"), text);
        }
        timeout
    }
}
