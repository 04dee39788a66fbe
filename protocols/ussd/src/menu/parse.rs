//! A menu file to a [`Menu`]: first every name is learnt, then every state is read.

mod ask;
mod screen;
mod state;
mod text;

use super::phrases::Phrases;
use super::read::{At, Faults, MenuError, Section, whole};
use super::{Declared, Keys, Localized, Menu, Texts, lint};
use crate::network::Networks;
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

pub(super) fn parse(
    source: &str,
    phrases: &Phrases,
    networks: &Networks,
) -> Result<Menu, MenuError> {
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
        phrases,
        languages: Vec::new(),
        own_languages: 0,
        states: Vec::new(),
        declared: Vec::new(),
        wrong_input: None,
        language_names: None,
    };
    let revision = revision(source, phrases);
    let menu = reader.menu(Section::new(root.get_ref(), "", 1), revision, networks);
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

/// The name and the languages in a menu's source, where it can be read so far.
pub(super) fn peek(source: &str) -> Option<(String, Vec<String>)> {
    let (root, _) = DeTable::parse_recoverable(source);
    let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    let name = text(root.get_ref().get("name")?.get_ref())?;
    let languages = root.get_ref().get("languages").and_then(|it| it.get_ref().as_array());
    let languages = languages.into_iter().flat_map(|list| list.iter());
    Some((name, languages.filter_map(|it| text(it.get_ref())).collect()))
}

/// FNV-1a of all that makes a menu: no key to anything, so that no more is needed.
fn revision(source: &str, phrases: &Phrases) -> Box<str> {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    let mut take = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    };
    take(source);
    for (language, key, text) in phrases.iter() {
        for part in [language, key, text] {
            take(part);
        }
    }
    format!("{hash:016x}").into()
}

/// What must be known before a state can be read.
struct Reader<'f> {
    faults: &'f mut Faults,
    phrases: &'f Phrases,
    /// The menu's own, and behind them those that phrases bring.
    languages: Vec<Box<str>>,
    own_languages: usize,
    states: Vec<Box<str>>,
    declared: Vec<Declared>,
    /// What stands above a screen shown again, where the screen has no error text of its own.
    wrong_input: Option<Localized>,
    /// What each language calls itself.
    language_names: Option<Localized>,
}

impl Reader<'_> {
    /// `None` only with at least one fault.
    fn menu(
        mut self,
        mut root: Section<'_>,
        revision: Box<str>,
        networks: &Networks,
    ) -> Option<Menu> {
        let name = self.required_word(&mut root, "name");
        self.languages(&mut root);
        let attempts = root.number("attempts", (1, ATTEMPTS_MAX), self.faults).unwrap_or(3);
        let keys = self.keys(&mut root);
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
        self.declare_ours();
        for (section, _) in &states {
            self.declare(section);
        }
        let texts = self.texts(texts?);
        let start = start.and_then(|start| self.state(start, "start"));
        let states: Vec<_> =
            states.into_iter().map(|(section, name)| self.state_of(section, name)).collect();
        Some(Menu {
            name: name?.value.into(),
            revision,
            languages: self.languages.into(),
            start: start?,
            attempts: u8::try_from(attempts).ok()?,
            keys,
            texts: texts?,
            states: states.into_iter().collect::<Option<_>>()?,
            declared: self.declared.into(),
            networks: networks.clone(),
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
                Some(name) if !is_language(name) => {
                    self.faults.add(line, "languages", "has a name that is no word (`en`, `sw`)");
                }
                Some(name) if self.languages.iter().any(|known| **known == *name) => {
                    self.faults.add(line, "languages", format!("names `{name}` twice"));
                }
                Some(name) => self.languages.push(name.into()),
                None => self.faults.add(line, "languages", "must hold text in quotes"),
            }
        }
        self.own_languages = self.languages.len();
        for language in self.phrases.languages() {
            if self.languages.iter().all(|known| **known != *language) {
                self.languages.push(language.into());
            }
        }
        if self.languages.len() > LANGUAGES_MAX {
            let text = format!("are more than {LANGUAGES_MAX} with those of its phrases");
            self.faults.add(list.line, "languages", text);
        }
    }

    fn keys(&mut self, root: &mut Section<'_>) -> Keys {
        let mut section = root.table("keys", self.faults);
        let [back, home, more] =
            [("back", "0"), ("home", "00"), ("more", "98")].map(|(name, key)| {
                let given = section.as_mut().and_then(|section| section.string(name, self.faults));
                match given {
                    None => Some(Box::from(key)),
                    Some(given) if given.value == "none" => None,
                    Some(given) if is_typed(given.value) => Some(given.value.into()),
                    Some(given) => {
                        let text = "cannot be typed: digits, letters, `#`; `none` for no key";
                        self.faults.add(given.line, &format!("keys.{name}"), text);
                        None
                    }
                }
            });
        if let Some(section) = section {
            let line = section.line;
            section.finish(self.faults);
            let given: Vec<_> = [&back, &home, &more].into_iter().flatten().collect();
            if (1..given.len()).any(|at| given[..at].contains(&given[at])) {
                self.faults.add(line, "keys", "has the same key twice");
            }
        }
        Keys { back, home, more }
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
            match value.as_table() {
                Some(table) => {
                    self.states.push(name.into());
                    sections.push((Section::new(table, place, line), name));
                }
                None => self.faults.add(line, &place, "must be a table"),
            }
        }
        sections
    }

    /// The values that a dialogue knows by itself; [`ValueId`](crate::menu::ValueId) has their places.
    fn declare_ours(&mut self) {
        self.declared = ["language", "input"]
            .map(|name| Declared {
                name: name.into(),
                characters_max: VALUE_CHARACTERS_MAX,
                is_secret: true,
                is_ours: true,
            })
            .into();
    }

    /// Learns the values that a state brings, from its answers or its input.
    fn declare(&mut self, state: &Section<'_>) {
        for (key, At { line, value }) in state.entries(self.faults) {
            let DeValue::Table(table) = value else { continue };
            let section = Section::new(table, state.below(key), line);
            match key {
                "values" => self.declare_values(&section),
                "input" => {
                    let text = |key| table.get(key).and_then(|it| it.get_ref().as_str());
                    let most = table.get("max").and_then(|it| whole(it.get_ref()));
                    let is_secret = table.get("secret").and_then(|it| it.get_ref().as_bool());
                    if let (Some(name), Some(most)) = (text("save"), most) {
                        let most = most.min(VALUE_CHARACTERS_MAX);
                        self.declare_one((name, most), is_secret.unwrap_or(false), line);
                    }
                    for (key, At { line, value }) in section.entries(self.faults) {
                        if let ("check", DeValue::Table(check)) = (key, value) {
                            let check = Section::new(check, section.below(key), line);
                            self.declare(&check);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn declare_values(&mut self, section: &Section<'_>) {
        for (name, At { line, value }) in section.entries(self.faults) {
            let most = whole(value).filter(|it| (1..=VALUE_CHARACTERS_MAX).contains(it));
            match most {
                Some(most) if is_word(name) => self.declare_one((name, most), false, line),
                _ => {
                    let text =
                        format!("must be a word with 1 to {VALUE_CHARACTERS_MAX} characters");
                    self.faults.add(line, &section.below(name), text);
                }
            }
        }
    }

    fn declare_one(&mut self, (name, characters_max): (&str, usize), is_secret: bool, line: usize) {
        if let Some(known) = self.declared.iter_mut().find(|it| *it.name == *name) {
            if known.is_ours {
                let text = format!("declares `{name}`, which every dialogue has by itself");
                return self.faults.add(line, "", text);
            }
            known.characters_max = known.characters_max.max(characters_max);
            known.is_secret |= is_secret;
        } else if self.declared.len() < VALUES_MAX {
            let name = name.into();
            self.declared.push(Declared { name, characters_max, is_secret, is_ours: false });
        } else {
            self.faults.add(line, "", format!("more than {VALUES_MAX} values are declared"));
        }
    }

    fn texts(&mut self, mut section: Section<'_>) -> Option<Texts> {
        let needed = ["wrong_input", "attempts", "retry", "late", "hops"].map(|key| {
            let text = self.localized(&mut section, key);
            if text.is_none() && !section.has(key) {
                section.missing(key, self.faults);
            }
            text
        });
        let [more, back, language, resume] =
            ["more", "back", "language", "resume"].map(|key| self.localized(&mut section, key));
        section.finish(self.faults);
        let [wrong_input, attempts, retry, late, hops] = needed;
        self.wrong_input.clone_from(&wrong_input);
        self.language_names = language;
        let wrong_input = wrong_input?;
        let resume = resume.map(|resume| {
            let again = joined(&wrong_input, "\n", &resume);
            (resume, again)
        });
        Some(Texts {
            wrong_input,
            attempts: attempts?,
            retry: retry?,
            late: late?,
            hops: hops?,
            more,
            back,
            resume,
        })
    }
}

fn joined(first: &Localized, between: &str, second: &Localized) -> Localized {
    let pairs = first.0.iter().zip(second.0.iter());
    Localized(pairs.map(|(first, second)| first.joined(between, second)).collect())
}

/// Whether `text` is the code of a language, such as `sw` or `pt_br`: 2 to 32 of a-z, 0-9 and `_`, and not
/// `next`, which stands for the language behind this one.
pub fn is_language(text: &str) -> bool {
    is_word(text) && text.len() >= 2 && text != "next"
}

pub(super) fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=WORD_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether a caller can type it as one key.
fn is_typed(text: &str) -> bool {
    (1..=WORD_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#')
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
