//! A menu file to a [`Menu`]: first every name is learnt, then every state is read.

use super::read::{At, Faults, MenuError, Section, whole};
use super::template::Template;
use super::{
    Accept, AskStep, Choice, Declared, InputRule, Language, LanguageTurn, Localized, Menu,
    ScreenStep, State, StateId, Step, Texts, ValueId, lint,
};
use crate::text::Limits;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Longest menu file, in bytes. The water service in two languages takes a tenth.
pub const SOURCE_LEN_MAX: usize = 256 * 1024;
/// Most states of a menu.
pub const STATES_MAX: usize = 500;
/// Most languages of a menu.
pub const LANGUAGES_MAX: usize = 8;
/// Most options of a screen: more do not fit one anyway.
pub const OPTIONS_MAX: usize = 20;
/// Most wrong inputs that a menu may allow on one screen.
pub const ATTEMPTS_MAX: usize = 10;
/// Most values a menu may declare.
const VALUES_MAX: usize = 100;
/// Most characters of one value; more than a screen holds.
const VALUE_CHARACTERS_MAX: usize = 160;
/// Longest key of an option, word of an outcome or name, in bytes.
const WORD_LEN_MAX: usize = 32;
/// How long a question waits where the menu does not say: a caller bears little more.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
/// Longest wait of a question: Africa's Talking gives up after 10 s.
const TIMEOUT_MAX: Duration = Duration::from_secs(9);

pub(super) fn parse(source: &str, limits: Limits) -> Result<Menu, MenuError> {
    let mut faults = Faults::of(source);
    if source.len() > SOURCE_LEN_MAX {
        faults.add(1, "", format!("is longer than {SOURCE_LEN_MAX} bytes"));
        return Err(faults.into_error());
    }
    let (root, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let line = error.span().map_or(1, |span| faults.line(span.start));
        faults.add(line, "", error.message());
    }
    if !faults.is_empty() {
        return Err(faults.into_error());
    }
    let reader = Reader {
        faults: &mut faults,
        languages: Vec::new(),
        states: Vec::new(),
        declared: Vec::new(),
        wrong_input: None,
    };
    let menu = reader.menu(Section::new(root.get_ref(), "", 1), limits);
    match menu {
        Some(menu) if faults.is_empty() => {
            lint::check(&menu, &mut faults);
            if faults.is_empty() { Ok(menu) } else { Err(faults.into_error()) }
        }
        _ => {
            if faults.is_empty() {
                faults.add(1, "", "cannot be read");
            }
            Err(faults.into_error())
        }
    }
}

/// What must be known before a state can be read.
struct Reader<'f> {
    faults: &'f mut Faults,
    languages: Vec<Box<str>>,
    states: Vec<Box<str>>,
    declared: Vec<Declared>,
    /// What stands above a screen shown again, where the screen has no error text of its own.
    wrong_input: Option<Localized>,
}

impl Reader<'_> {
    /// `None` only with at least one fault.
    fn menu(mut self, mut root: Section<'_>, limits: Limits) -> Option<Menu> {
        let name = self.required_word(&mut root, "name");
        self.languages(&mut root);
        let attempts = root.number("attempts", (1, ATTEMPTS_MAX), self.faults).unwrap_or(3);
        let start = self.required_word(&mut root, "start");
        let texts = root.table("texts", self.faults);
        if texts.is_none() {
            root.missing("texts", self.faults);
        }
        let states = root.table("state", self.faults);
        if states.is_none() {
            root.missing("state", self.faults);
        }
        root.finish(self.faults);
        let states = self.state_sections(&states?);
        for (section, _) in &states {
            self.declare(section);
        }
        let texts = self.texts(texts?);
        let start = start.and_then(|start| self.state(start, "start"));
        let states: Vec<_> =
            states.into_iter().map(|(section, name)| self.state_of(section, name)).collect();
        Some(Menu {
            name: name?.value.into(),
            languages: self.languages.into(),
            start: start?,
            attempts: u8::try_from(attempts).ok()?,
            texts: texts?,
            states: states.into_iter().collect::<Option<_>>()?,
            declared: self.declared.into(),
            limits,
        })
    }

    fn languages(&mut self, root: &mut Section<'_>) {
        let Some(list) = root.array("languages", self.faults) else {
            return root.missing("languages", self.faults);
        };
        if list.value.is_empty() || list.value.len() > LANGUAGES_MAX {
            self.faults.add(list.line, "languages", format!("must be 1 to {LANGUAGES_MAX} names"));
        }
        for item in list.value.iter().take(LANGUAGES_MAX) {
            let line = self.faults.line(item.span().start);
            match item.get_ref().as_str() {
                Some(name) if !is_word(name) || name == "next" => {
                    self.faults.add(line, "languages", "has a name that is no word (`en`, `sw`)");
                }
                Some(name) if self.languages.iter().any(|known| **known == *name) => {
                    self.faults.add(line, "languages", format!("names `{name}` twice"));
                }
                Some(name) => self.languages.push(name.into()),
                None => self.faults.add(line, "languages", "must hold text in quotes"),
            }
        }
    }

    fn state_sections<'t>(&mut self, states: &Section<'t>) -> Vec<(Section<'t>, &'t str)> {
        let entries = states.entries(self.faults);
        if entries.is_empty() || entries.len() > STATES_MAX {
            self.faults.add(states.line, "state", format!("must hold 1 to {STATES_MAX} states"));
        }
        let mut sections = Vec::new();
        for (name, At { line, value }) in entries.into_iter().take(STATES_MAX) {
            let place = states.below(name);
            if !is_word(name) {
                self.faults.add(line, &place, "is no word: a-z, 0-9 and `_`");
            }
            match value {
                DeValue::Table(table) => {
                    self.states.push(name.into());
                    sections.push((Section::new(table, place, line), name));
                }
                _ => self.faults.add(line, &place, "must be a table"),
            }
        }
        sections
    }

    /// Learns the values that a state brings, from its answers or its input.
    fn declare(&mut self, state: &Section<'_>) {
        for (key, At { line, value }) in state.entries(self.faults) {
            let DeValue::Table(table) = value else { continue };
            let section = Section::new(table, state.below(key), line);
            match key {
                "values" => {
                    for (name, At { line, value }) in section.entries(self.faults) {
                        let most =
                            whole(value).filter(|it| (1..=VALUE_CHARACTERS_MAX).contains(it));
                        match most {
                            Some(most) if is_word(name) => self.declare_one(name, most, line),
                            _ => self.faults.add(
                                line,
                                &section.below(name),
                                format!(
                                    "must be a word with 1 to {VALUE_CHARACTERS_MAX} characters"
                                ),
                            ),
                        }
                    }
                }
                "input" => {
                    let text = |key| table.get(key).and_then(|it| it.get_ref().as_str());
                    let most = table.get("max").and_then(|it| whole(it.get_ref()));
                    if let (Some(name), Some(most)) = (text("save"), most) {
                        self.declare_one(name, most.min(VALUE_CHARACTERS_MAX), line);
                    }
                }
                _ => {}
            }
        }
    }

    fn declare_one(&mut self, name: &str, characters_max: usize, line: usize) {
        if let Some(known) = self.declared.iter_mut().find(|it| *it.name == *name) {
            known.characters_max = known.characters_max.max(characters_max);
        } else if self.declared.len() < VALUES_MAX {
            self.declared.push(Declared { name: name.into(), characters_max });
        } else {
            self.faults.add(line, "", format!("more than {VALUES_MAX} values are declared"));
        }
    }

    fn texts(&mut self, mut section: Section<'_>) -> Option<Texts> {
        let texts = ["wrong_input", "attempts", "retry", "late", "hops"].map(|key| {
            let text = self.localized(&mut section, key);
            if text.is_none() && !section.has(key) {
                section.missing(key, self.faults);
            }
            text
        });
        section.finish(self.faults);
        let [wrong_input, attempts, retry, late, hops] = texts;
        self.wrong_input.clone_from(&wrong_input);
        Some(Texts {
            wrong_input: wrong_input?,
            attempts: attempts?,
            retry: retry?,
            late: late?,
            hops: hops?,
        })
    }

    fn state_of(&mut self, mut section: Section<'_>, name: &str) -> Option<State> {
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

    fn state(&mut self, name: At<&str>, place: &str) -> Option<StateId> {
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

    fn required_word<'t>(
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
    fn localized(&mut self, section: &mut Section<'_>, key: &'static str) -> Option<Localized> {
        let At { line, value } = section.take(key, self.faults)?;
        let place = section.below(key);
        match value {
            DeValue::String(text) => {
                let template = self.template_at(text, line, &place)?;
                Some(Localized(vec![template; self.languages.len()].into()))
            }
            DeValue::Table(table) => {
                let table = Section::new(table, place.as_str(), line);
                let entries = table.entries(self.faults);
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
                        Some((line, Some(text))) => {
                            templates.extend(self.template_at(text, line, &place));
                        }
                        Some((line, None)) => {
                            self.faults.add(line, &place, "must be text in quotes")
                        }
                        None => {
                            self.faults.add(line, &place, format!("is not there in `{language}`"))
                        }
                    }
                }
                let whole = templates.len() == self.languages.len();
                whole.then(|| Localized(templates.into()))
            }
            _ => {
                self.faults.add(line, &place, "must be a text, or a table of one per language");
                None
            }
        }
    }

    fn template_at(&mut self, text: &str, line: usize, place: &str) -> Option<Template> {
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

    fn template(&self, text: &str) -> Result<Template, String> {
        if text.chars().any(|letter| letter.is_control() && letter != '\n') {
            return Err("holds a control character".to_owned());
        }
        Template::parse(text, &mut |name| self.value(name))
    }

    fn value(&self, name: &str) -> Option<ValueId> {
        let at = self.declared.iter().position(|it| *it.name == *name)?;
        u8::try_from(at).ok().map(ValueId)
    }
}

fn joined(first: &Localized, between: &str, second: &Localized) -> Localized {
    let pairs = first.0.iter().zip(second.0.iter());
    Localized(pairs.map(|(first, second)| first.joined(between, second)).collect())
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=WORD_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// `"2s"`, `"500ms"`.
fn duration(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.trim().parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
