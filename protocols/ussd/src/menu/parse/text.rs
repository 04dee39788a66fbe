//! Names and texts of a menu file: what every part of it refers to or says.

use super::Reader;
use super::is_word;
use crate::menu::read::{At, Section};
use crate::menu::template::Template;
use crate::menu::{Localized, StateId, ValueId};

impl Reader<'_> {
    pub(super) fn state(&mut self, name: At<&str>, place: &str) -> Option<StateId> {
        let found = self.states.iter().position(|known| **known == *name.value);
        let found = found.and_then(|at| u16::try_from(at).ok()).map(StateId);
        if found.is_none() {
            self.faults.add(
                name.line,
                place,
                format!("leads to `{}`, which is no state", name.value),
            );
        }
        found
    }

    pub(super) fn required_word<'t>(
        &mut self,
        section: &mut Section<'t>,
        key: &'static str,
    ) -> Option<At<&'t str>> {
        let Some(word) = section.string(key, self.faults) else {
            section.missing(key, self.faults);
            return None;
        };
        if !is_word(word.value) {
            self.faults.add(word.line, &section.below(key), "is no word: a-z, 0-9 and `_`");
        }
        Some(word)
    }

    /// A text for all languages, or one for each.
    pub(super) fn localized(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Option<Localized> {
        let At { line, value } = section.take(key, self.faults)?;
        let place = section.below(key);
        if let Some(text) = value.as_str() {
            let template = self.template_at(text, line, &place)?;
            return Some(Localized(vec![template; self.languages.len()].into()));
        }
        let Some(table) = value.as_table() else {
            self.faults.add(line, &place, "must be a text, or a table of one per language");
            return None;
        };
        let entries = Section::new(table, place.as_str(), line).entries(self.faults);
        for (name, At { line, .. }) in &entries {
            if !self.languages.iter().any(|known| **known == **name) {
                let text = format!("is in `{name}`, which `languages` does not name");
                self.faults.add(*line, &place, text);
            }
        }
        let mut templates = Vec::new();
        for language in self.languages.clone() {
            let entry = entries.iter().find(|(name, _)| **name == *language);
            match entry.map(|(_, at)| (at.line, at.value.as_str())) {
                Some((line, Some(text))) => templates.extend(self.template_at(text, line, &place)),
                Some((line, None)) => self.faults.add(line, &place, "must be text in quotes"),
                None => self.faults.add(line, &place, format!("is not there in `{language}`")),
            }
        }
        (templates.len() == self.languages.len()).then(|| Localized(templates.into()))
    }

    pub(super) fn template_at(&mut self, text: &str, line: usize, place: &str) -> Option<Template> {
        if text.trim().is_empty() {
            self.faults.add(line, place, "is empty");
        }
        match self.template(text) {
            Ok(template) => Some(template),
            Err(text) => {
                self.faults.add(line, place, text);
                None
            }
        }
    }

    pub(super) fn template(&self, text: &str) -> Result<Template, String> {
        if text.chars().any(|letter| letter.is_control() && letter != '\n') {
            return Err("holds a control character".to_owned());
        }
        Template::parse(text, &mut |name| self.value(name))
    }

    pub(super) fn value(&self, name: &str) -> Option<ValueId> {
        let at = self.declared.iter().position(|it| *it.name == *name)?;
        u8::try_from(at).ok().map(ValueId)
    }
}
