//! Names and texts of a menu file: what every part of it refers to or says.

use super::Reader;
use super::is_word;
use crate::menu::read::{At, Section};
use crate::menu::template::Template;
use crate::menu::{Localized, StateId, ValueId};
use toml::de::DeValue;

/// The key in `"@key"`.
fn phrase_key(text: &str) -> Option<&str> {
    text.strip_prefix('@').filter(|key| is_word(key))
}

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

    /// A text for all languages, one for each, or a phrase. What phrases add a language for, and do
    /// not say in it, is said in the first.
    pub(super) fn localized(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
    ) -> Option<Localized> {
        let At { line, value } = section.take(key, self.faults)?;
        self.localized_at(At { line, value }, &section.below(key))
    }

    pub(super) fn localized_at(
        &mut self,
        At { line, value }: At<&DeValue<'_>>,
        place: &str,
    ) -> Option<Localized> {
        let mut templates = Vec::new();
        if let Some(key) = value.as_str().and_then(phrase_key) {
            for at in 0..self.languages.len() {
                templates.push(self.phrase(key, at, (line, place)));
            }
        } else if let Some(text) = value.as_str() {
            let template = self.template_at(text, line, place)?;
            return Some(Localized(vec![template; self.languages.len()].into()));
        } else {
            let Some(table) = value.as_table() else {
                self.faults.add(line, place, "must be a text, or a table of one per language");
                return None;
            };
            let entries = Section::new(table, place, line).entries(self.faults);
            self.check_languages(&entries, place);
            for at in 0..self.languages.len() {
                templates.push(self.table_entry(&entries, at, (line, place)));
            }
        }
        let templates: Option<Vec<_>> = templates.into_iter().collect();
        templates.map(|templates| Localized(templates.into()))
    }

    fn check_languages(&mut self, entries: &[(&str, At<&DeValue<'_>>)], place: &str) {
        for (name, At { line, .. }) in entries {
            if !self.languages.iter().any(|known| **known == **name) {
                let text = format!("is in `{name}`, which `languages` does not name");
                self.faults.add(*line, place, text);
            }
        }
    }

    fn table_entry(
        &mut self,
        entries: &[(&str, At<&DeValue<'_>>)],
        at: usize,
        (line, place): (usize, &str),
    ) -> Option<Template> {
        let language = self.languages[at].clone();
        let entry = entries.iter().find(|(name, _)| **name == *language);
        match entry.map(|(_, at)| (at.line, at.value.as_str())) {
            Some((line, Some(text))) => self.template_at(text, line, place),
            Some((line, None)) => {
                self.faults.add(line, place, "must be text in quotes");
                None
            }
            None if at >= self.own_languages => self.table_entry(entries, 0, (line, place)),
            None => {
                self.faults.add(line, place, format!("is not there in `{language}`"));
                None
            }
        }
    }

    fn phrase(&mut self, key: &str, at: usize, (line, place): (usize, &str)) -> Option<Template> {
        let language = self.languages[at].clone();
        let Some(text) = self.phrases.exact(&language, key) else {
            if at >= self.own_languages {
                return self.phrase(key, 0, (line, place));
            }
            let text = format!("shows the phrase `@{key}`, which is not there in `{language}`");
            self.faults.add(line, place, text);
            return None;
        };
        match self.shown(text) {
            Ok(template) => Some(template),
            Err(text) => {
                self.faults.add(line, place, format!("`@{key}` in `{language}` {text}"));
                None
            }
        }
    }

    pub(super) fn template_at(&mut self, text: &str, line: usize, place: &str) -> Option<Template> {
        if text.trim().is_empty() {
            self.faults.add(line, place, "is empty");
        }
        match self.shown(text) {
            Ok(template) => Some(template),
            Err(text) => {
                self.faults.add(line, place, text);
                None
            }
        }
    }

    /// A template that callers see: of no secret.
    fn shown(&self, text: &str) -> Result<Template, String> {
        let template = self.template(text)?;
        let secret = template.values().find(|it| self.declared[usize::from(it.0)].is_secret);
        match secret {
            Some(secret) => {
                let name = &self.declared[usize::from(secret.0)].name;
                Err(format!("shows `{{{name}}}`, which only `arguments` may hold"))
            }
            None => Ok(template),
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
