//! A state that awaits keys: its text with its options, and what may be typed beside them.

use super::{OPTIONS_MAX, Reader, VALUE_CHARACTERS_MAX, is_typed, is_word, joined};
use crate::menu::read::{At, Section};
use crate::menu::step::{Accept, CheckStep, Choice};
use crate::menu::{InputRule, Language, LanguageTurn, Localized, ScreenStep};
use toml::de::DeValue;

/// What stands beside a key.
type Label = (Box<str>, Localized);

impl Reader<'_> {
    pub(super) fn screen(&mut self, section: &mut Section<'_>) -> Option<ScreenStep> {
        let text = self.localized(section, "text");
        let error = self.localized(section, "error");
        let is_paged = section.flag("paged", self.faults).unwrap_or(false);
        let may_resume = section.flag("resume", self.faults).unwrap_or(true);
        let (mut options, mut labels) = self.choose(section).unwrap_or_default();
        self.options(section, &mut options, &mut labels);
        let shown = labels
            .iter()
            .fold(text?, |shown, (key, label)| joined(&shown, &format!("\n{key}. "), label));
        let input = section.table("input", self.faults);
        let input = input.and_then(|input| self.input(input, section, &shown));
        if is_paged && input.as_ref().is_some_and(|input| input.check.is_some()) {
            let place = section.place.clone();
            self.faults.add(section.line, &place, "is `paged` and has a `check`: one or the other");
        }
        let error = error.or_else(|| self.wrong_input.clone()).unwrap_or_else(|| shown.clone());
        let shown_again = joined(&error, "\n", &shown);
        let options = options.into();
        Some(ScreenStep { shown, shown_again, error, options, input, is_paged, may_resume })
    }

    fn options(
        &mut self,
        section: &mut Section<'_>,
        options: &mut Vec<Choice>,
        labels: &mut Vec<Label>,
    ) {
        let Some(list) = section.array("options", self.faults) else { return };
        let place = section.below("options");
        if list.value.len() > OPTIONS_MAX {
            self.faults.add(list.line, &place, format!("are more than {OPTIONS_MAX}"));
        }
        for item in list.value.iter().take(OPTIONS_MAX) {
            let line = self.faults.line(item.span().start);
            let DeValue::Table(table) = item.get_ref() else {
                self.faults.add(line, &place, "must hold tables");
                continue;
            };
            let (choice, label) = self.choice(Section::new(table, place.as_str(), line));
            labels.extend(label);
            options.extend(choice);
        }
    }

    /// `choose = "language"`: one option for each, by the name it has for itself.
    fn choose(&mut self, section: &mut Section<'_>) -> Option<(Vec<Choice>, Vec<Label>)> {
        let what = section.string("choose", self.faults)?;
        let place = section.below("choose");
        if what.value != "language" {
            self.faults.add(what.line, &place, "must be `language`");
        }
        let goto = self.goto(section)?;
        let Some(names) = self.language_names.clone() else {
            self.faults.add(what.line, &place, "needs `texts.language`, the languages' names");
            return None;
        };
        let (mut options, mut labels) = (Vec::new(), Vec::new());
        for at in 0..self.languages.len() {
            let key: Box<str> = (at + 1).to_string().into();
            let language = Language(u8::try_from(at).ok()?);
            let language_turn = Some(LanguageTurn::To(language));
            options.push(Choice { key: key.clone(), goto, language: language_turn });
            let name = names.in_language(language).clone();
            labels.push((key, Localized(vec![name; self.languages.len()].into())));
        }
        Some((options, labels))
    }

    fn choice(&mut self, mut section: Section<'_>) -> (Option<Choice>, Option<Label>) {
        let key = section.string("key", self.faults);
        let key = key.or_else(|| {
            section.missing("key", self.faults);
            None
        });
        let key = key.and_then(|At { line, value }| {
            if !is_typed(value) {
                let text = "cannot be typed: digits, letters, `#`";
                self.faults.add(line, &section.below("key"), text);
            }
            is_typed(value).then_some(value)
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

    fn input(
        &mut self,
        mut section: Section<'_>,
        state: &mut Section<'_>,
        shown: &Localized,
    ) -> Option<InputRule> {
        let accept = self.accept(&mut section);
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
        // Learnt by `declare`.
        let _ = section.flag("secret", self.faults);
        let check = section.table("check", self.faults);
        let has_check = check.is_some();
        let check = check.and_then(|check| self.check(check, state, shown)).map(Box::new);
        let goto = self.goto(&mut section);
        section.finish(self.faults);
        if has_check && check.is_none() {
            return None;
        }
        let (accept, characters_max, goto) = (accept?, max?, goto?);
        Some(InputRule { accept, characters_min: min, characters_max, save, goto, check })
    }

    fn accept(&mut self, section: &mut Section<'_>) -> Option<Accept> {
        let accept = section.string("accept", self.faults);
        match accept.map(|it| it.value) {
            Some("digits") => Some(Accept::Digits),
            Some("name") => Some(Accept::Name),
            Some("alphanumeric") => Some(Accept::Alphanumeric),
            Some("number") => Some(Accept::Number),
            Some("any") => Some(Accept::Any),
            _ => {
                let line = accept.map_or(section.line, |it| it.line);
                let text = "must be `digits`, `name`, `alphanumeric`, `number` or `any`";
                self.faults.add(line, &section.below("accept"), text);
                None
            }
        }
    }

    /// A question before the input counts, with the state's `errors` for outcomes that lead `again`.
    fn check(
        &mut self,
        mut section: Section<'_>,
        state: &mut Section<'_>,
        shown: &Localized,
    ) -> Option<CheckStep> {
        let (ask, words) = self.question(&mut section, true)?;
        if ask.effect {
            self.faults.add(section.line, &section.place, "has an effect: a check has none");
        }
        section.finish(self.faults);
        let mut errors: Vec<Label> = Vec::new();
        if let Some(table) = state.table("errors", self.faults) {
            for (word, at) in table.entries(self.faults) {
                let place = table.below(word);
                if !words.iter().any(|known| **known == *word) {
                    let text = "is no outcome of the check that leads `again`";
                    self.faults.add(at.line, &place, text);
                }
                errors.extend(self.localized_at(at, &place).map(|text| (word.into(), text)));
            }
        }
        let plain = self.wrong_input.clone()?;
        let again = words.into_iter().map(|word| {
            let error = errors.iter().find(|(known, _)| *known == word).map(|(_, text)| text);
            let screen = joined(error.unwrap_or(&plain), "\n", shown);
            (word, screen)
        });
        Some(CheckStep { again: again.collect(), ask })
    }
}
