//! One state of a menu file: a screen, an end or a question.

use super::{
    OPTIONS_MAX, Reader, TIMEOUT_DEFAULT, TIMEOUT_MAX, VALUE_CHARACTERS_MAX, WORD_LEN_MAX,
    duration, is_word, joined,
};
use crate::menu::read::{At, Section};
use crate::menu::{
    Accept, AskStep, Choice, InputRule, Language, LanguageTurn, Localized, ScreenStep, State,
    StateId, Step,
};
use std::time::Duration;
use toml::de::DeValue;

impl Reader<'_> {
    pub(super) fn state_of(&mut self, mut section: Section<'_>, name: &str) -> Option<State> {
        let line = section.line;
        let step = match (section.has("text"), section.has("end"), section.has("ask")) {
            (true, false, false) => self.screen(&mut section).map(Step::Screen),
            (false, true, false) => self.localized(&mut section, "end").map(Step::End),
            (false, false, true) => self.ask(&mut section).map(Step::Ask),
            _ => {
                let place = section.place.clone();
                self.faults.add(line, &place, "must have one of `text`, `end` and `ask`");
                return None;
            }
        };
        section.finish(self.faults);
        Some(State { name: name.into(), line, step: step? })
    }

    fn screen(&mut self, section: &mut Section<'_>) -> Option<ScreenStep> {
        let text = self.localized(section, "text");
        let error = self.localized(section, "error");
        let mut options = Vec::new();
        let mut labels = Vec::new();
        if let Some(list) = section.array("options", self.faults) {
            if list.value.len() > OPTIONS_MAX {
                let place = section.below("options");
                self.faults.add(list.line, &place, format!("are more than {OPTIONS_MAX}"));
            }
            for item in list.value.iter().take(OPTIONS_MAX) {
                let line = self.faults.line(item.span().start);
                let place = section.below("options");
                let DeValue::Table(table) = item.get_ref() else {
                    self.faults.add(line, &place, "must hold tables");
                    continue;
                };
                let (choice, label) = self.choice(Section::new(table, place, line));
                labels.extend(label);
                options.extend(choice);
            }
        }
        let input = section.table("input", self.faults).and_then(|input| self.input(input));
        let shown = labels
            .iter()
            .fold(text?, |shown, (key, label)| joined(&shown, &format!("\n{key}. "), label));
        let error = error.or_else(|| self.wrong_input.clone());
        let shown_again = error.map_or_else(|| shown.clone(), |error| joined(&error, "\n", &shown));
        Some(ScreenStep { shown, shown_again, options: options.into(), input })
    }

    fn choice(
        &mut self,
        mut section: Section<'_>,
    ) -> (Option<Choice>, Option<(Box<str>, Localized)>) {
        let key = section.string("key", self.faults);
        let key = key.or_else(|| {
            section.missing("key", self.faults);
            None
        });
        let key = key.and_then(|At { line, value }| {
            let typed = (1..=WORD_LEN_MAX).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#');
            if !typed {
                self.faults.add(
                    line,
                    &section.below("key"),
                    "cannot be typed: digits, letters, `#`",
                );
            }
            typed.then_some(value)
        });
        let label = self.localized(&mut section, "text");
        let goto = self.goto(&mut section);
        let language = section.string("lang", self.faults).and_then(|At { line, value }| {
            let known = self.languages.iter().position(|it| **it == *value);
            match (value, known.and_then(|at| u8::try_from(at).ok())) {
                ("next", _) => Some(LanguageTurn::Next),
                (_, Some(at)) => Some(LanguageTurn::To(Language(at))),
                _ => {
                    let text = format!("is `{value}`, which `languages` does not name");
                    self.faults.add(line, &section.below("lang"), text);
                    None
                }
            }
        });
        section.finish(self.faults);
        let label = key.and_then(|key| label.map(|label| (key.into(), label)));
        let choice =
            key.and_then(|key| goto.map(|goto| Choice { key: key.into(), goto, language }));
        (choice, label)
    }

    fn input(&mut self, mut section: Section<'_>) -> Option<InputRule> {
        let accept = section.string("accept", self.faults);
        let accept = match accept.map(|it| it.value) {
            Some("digits") => Some(Accept::Digits),
            Some("name") => Some(Accept::Name),
            Some("alphanumeric") => Some(Accept::Alphanumeric),
            Some("any") => Some(Accept::Any),
            _ => {
                let line = accept.map_or(section.line, |it| it.line);
                let text = "must be `digits`, `name`, `alphanumeric` or `any`";
                self.faults.add(line, &section.below("accept"), text);
                None
            }
        };
        let min = section.number("min", (1, VALUE_CHARACTERS_MAX), self.faults).unwrap_or(1);
        let max = section.number("max", (1, VALUE_CHARACTERS_MAX), self.faults);
        if max.is_none() {
            section.missing("max", self.faults);
        } else if max < Some(min) {
            self.faults.add(section.line, &section.place, "has a `max` below its `min`");
        }
        let save = section.string("save", self.faults).and_then(|At { line, value }| {
            if !is_word(value) {
                self.faults.add(line, &section.below("save"), "is no word: a-z, 0-9 and `_`");
            }
            self.value(value)
        });
        let goto = self.goto(&mut section);
        section.finish(self.faults);
        let (accept, characters_max, goto) = (accept?, max?, goto?);
        Some(InputRule { accept, characters_min: min, characters_max, save, goto })
    }

    fn ask(&mut self, section: &mut Section<'_>) -> Option<AskStep> {
        let operation = self.required_word(section, "ask");
        let effect = section.flag("effect", self.faults).unwrap_or(false);
        let timeout = self.timeout(section);
        let late = self.localized(section, "late");
        // Learnt by `declare`.
        let _ = section.table("values", self.faults);
        let mut arguments = Vec::new();
        if let Some(table) = section.table("arguments", self.faults) {
            for (name, At { line, value }) in table.entries(self.faults) {
                let text = value.as_str().map(|text| self.template(text));
                match text {
                    Some(Ok(template)) if is_word(name) => arguments.push((name.into(), template)),
                    Some(Err(text)) => self.faults.add(line, &table.below(name), text),
                    _ => self.faults.add(line, &table.below(name), "must be a word with a text"),
                }
            }
        }
        let mut results = Vec::new();
        match section.table("results", self.faults) {
            None => section.missing("results", self.faults),
            Some(table) => {
                for (word, At { line, value }) in table.entries(self.faults) {
                    let place = table.below(word);
                    match value.as_str() {
                        Some(value) if is_word(word) => {
                            let state = self.state(At { line, value }, &place);
                            results.extend(state.map(|state| (word.into(), state)));
                        }
                        _ => self.faults.add(line, &place, "must be a word with a state's name"),
                    }
                }
            }
        }
        let place = section.below("otherwise");
        let otherwise = section.string("otherwise", self.faults);
        let otherwise = otherwise.and_then(|name| self.state(name, &place));
        Some(AskStep {
            operation: operation?.value.into(),
            effect,
            timeout: timeout?,
            arguments: arguments.into(),
            results: results.into(),
            otherwise,
            late,
        })
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

    fn goto(&mut self, section: &mut Section<'_>) -> Option<StateId> {
        let place = section.below("goto");
        match section.string("goto", self.faults) {
            Some(name) => self.state(name, &place),
            None => {
                section.missing("goto", self.faults);
                None
            }
        }
    }
}
