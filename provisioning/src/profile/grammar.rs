//! From a file's tree to a profile: every key of the language in one place.

mod rules;

use super::condition::Condition;
use super::matching::{Glob, Match, Versions};
use super::read::{Node, Reader, Table, json};
use super::rule::{FirmwareRule, Keeping, Rules};
use super::spelling::{meant, shown};
use super::template::Templates;
use super::words::{self, COMMON_EVENTS, EVENTS, PROTOCOLS, QUIRKS};
use super::{Profile, Revision, lint};
use crate::Window;
use crate::wanted::Drift;
use crate::window::DAYS;
use model::Protocol;
use std::time::Duration;

/// Longest name of a profile, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// The name that says in [`crate::Rule`] that no profile asked, but the values of the equipment.
pub(super) const EQUIPMENT: &str = "equipment";
/// Highest layer, and lowest below zero.
const LAYER_MAX: i32 = 1_000;
/// Where a profile lies that does not say.
const LAYER_DEFAULT: i32 = 50;
/// Shortest and longest time for which a reading is believed.
const EVERY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(90 * 86_400));
/// How long a held value is believed where nothing is said: it is read back once a day, which finds
/// what a customer changed, and is one small RPC.
const VERIFY_EVERY: Duration = Duration::from_secs(86_400);

/// What reading a profile needs on the way.
struct Grammar<'r, 'f> {
    reader: &'r mut Reader<'f>,
    templates: Templates,
    keeping: Keeping,
    window: Option<Window>,
    is_guess: bool,
}

/// Reads one profile; `None` where its file has faults. `name` is what its file is called.
pub(super) fn profile(reader: &mut Reader<'_>, name: &str, text: &str) -> Option<Profile> {
    let tree = reader.tree()?;
    let root = reader.table(&tree, "a profile", words::PROFILE)?;
    self::name(reader, root, name);
    let description = reader.text(root, "description").unwrap_or_default().into();
    if root.find("description").is_none() {
        reader.push(None, "`description` must be given: what the profile is for".to_owned());
    }
    let layer = reader.whole(root, "layer", LAYER_MAX).unwrap_or(LAYER_DEFAULT);
    let quirks = quirks(reader, root);
    let verify_on = events(reader, root, "verify_on");
    let is_guess = reader.truth(root, "guess").unwrap_or(false);
    let matching = root.find("match").and_then(|node| matching(reader, node));
    let window = root.find("window").and_then(|node| window(reader, node));
    let keeping = Keeping {
        drift: Drift::Mend,
        is_optional: false,
        verify_every: VERIFY_EVERY,
        window: None,
    };
    let mut grammar =
        Grammar { reader, templates: Templates::default(), keeping, window, is_guess };
    if let Some(table) = root
        .find("defaults")
        .and_then(|node| grammar.reader.table(node, "[defaults]", words::DEFAULTS))
    {
        grammar.keeping = grammar.keeping(table);
    }
    let mut rules = grammar.rules(root);
    rules.verify_on = verify_on;
    let Grammar { templates, window, .. } = grammar;
    rules.window = window;
    lint::rules(reader, &rules);
    reader.is_faultless().then(|| Profile {
        name: name.into(),
        revision: Revision::of(text.as_bytes()),
        description,
        layer,
        quirks,
        is_guess,
        matching,
        matched: root.find("match").map(json),
        rules: super::Compiled { rules, templates },
    })
}

fn name(reader: &mut Reader<'_>, root: Table<'_, '_>, file: &str) {
    let Some(name) = reader.text(root, "name") else {
        if root.find("name").is_none() {
            reader.push(None, "`name` must be given: the file's name without .toml".to_owned());
        }
        return;
    };
    let is_spelled = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_".contains(&it);
    let line = root.find("name").map_or(1, |node| reader.line_of(node));
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_spelled) {
        let message =
            format!("`name` must be 1 to {NAME_BYTES_MAX} small letters, digits, `-` and `_`");
        reader.at(line, message);
    } else if name == EQUIPMENT {
        reader.at(line, format!("`{EQUIPMENT}` stands for the values of the equipment"));
    } else if name != file {
        let message = format!("`name` is `{name}`, the file is called `{}`", shown(file));
        reader.at(line, message);
    }
}

fn quirks(reader: &mut Reader<'_>, root: Table<'_, '_>) -> Vec<Box<str>> {
    let mut quirks = Vec::new();
    for (text, node) in reader.texts(root, "quirks").unwrap_or_default() {
        if QUIRKS.contains(&text) {
            quirks.push(text.into());
        } else {
            let message = format!("no quirk is called `{}`{}", shown(text), meant(text, &QUIRKS));
            reader.refuse::<()>(node, message);
        }
    }
    quirks
}

/// The events under a key: those of an Inform, and vendors' own, which begin with `X `.
fn events(reader: &mut Reader<'_>, table: Table<'_, '_>, name: &str) -> Vec<Box<str>> {
    let mut events = Vec::new();
    for (text, node) in reader.texts(table, name).unwrap_or_default() {
        if COMMON_EVENTS.contains(&text) {
            let message =
                format!("`{text}` is in every session: what it triggers is done each time");
            reader.refuse::<()>(node, message);
        } else if EVENTS.contains(&text) || text.starts_with("X ") {
            events.push(text.into());
        } else {
            let near = meant(text, &EVENTS);
            let message = format!("no Inform has the event `{}`{near}", shown(text));
            reader.refuse::<()>(node, message);
        }
    }
    events
}

fn matching(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Match> {
    let table = reader.table(node, "[match]", words::MATCH)?;
    if table.entries().next().is_none() {
        let message = "[match] is empty: say for which devices; without it a profile is only for \
                       equipment that names it";
        return reader.refuse(node, message);
    }
    let mut globs = |name| {
        let texts = reader.texts(table, name)?;
        Some(texts.into_iter().map(|(text, _)| Glob::new(text)).collect::<Vec<_>>())
    };
    let mut it = Match {
        oui: globs("oui"),
        model: globs("model"),
        product_class: globs("product_class"),
        manufacturer: globs("manufacturer"),
        serial: globs("serial"),
        group: globs("group"),
        ..Match::default()
    };
    if let Some(globs) = &it.oui {
        let is_oui = |text: &str| text.len() == 6 && text.bytes().all(|it| it.is_ascii_hexdigit());
        let is_good = globs.iter().all(|it| it.exactly().is_none_or(|text| is_oui(&text)));
        if !is_good && let Some(node) = table.find("oui") {
            reader.refuse::<()>(node, "`oui` must be 6 hexadecimal digits, as \"1C61B4\"");
        }
    }
    it.hardware_version = versions(reader, table, "hardware_version");
    it.software_version = versions(reader, table, "software_version");
    it.protocol = reader.texts(table, "protocol").map(|texts| protocols(reader, &texts));
    if let Some(tags) = table.find("tags")
        && let Some(tags) = reader.table(tags, "[match.tags]", words::TAGS)
    {
        let mut list = |name| {
            let texts = reader.texts(tags, name).unwrap_or_default();
            texts.into_iter().map(|(text, _)| text.into()).collect()
        };
        (it.tags_all, it.tags_any) = (list("all"), list("any"));
    }
    it.when = condition(reader, table);
    if let (Some(when), Some(node)) = (&it.when, table.find("when"))
        && (when.asks.tenant || !when.asks.known.is_empty())
    {
        let message = "a condition of [match] sees `device` and `equipment`: `tenant` and `known` \
                       are for the conditions of rules";
        reader.refuse::<()>(node, message);
    }
    Some(it)
}

fn versions(reader: &mut Reader<'_>, table: Table<'_, '_>, name: &str) -> Option<Vec<Versions>> {
    let mut versions = Vec::new();
    for (text, node) in reader.texts(table, name)? {
        match Versions::parse(text) {
            Some(read) => versions.push(read),
            None => {
                let message = format!("`{name}` is compared as \">=3.0.1\" or \">=3.0.1 <4\"");
                reader.refuse::<()>(node, message);
            }
        }
    }
    Some(versions)
}

fn protocols(reader: &mut Reader<'_>, texts: &[(&str, &Node<'_>)]) -> Vec<Protocol> {
    let mut protocols = Vec::new();
    for (text, node) in texts {
        match *text {
            "cwmp" => protocols.push(Protocol::Cwmp),
            "mqtt" => protocols.push(Protocol::Mqtt),
            "ussd" => protocols.push(Protocol::Ussd),
            _ => {
                let near = meant(text, &PROTOCOLS);
                let message = format!("`protocol` is of `{}`{near}", PROTOCOLS.join("`, `"));
                reader.refuse::<()>(node, message);
            }
        }
    }
    protocols
}

/// The condition under `when`.
fn condition(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<Condition> {
    let node = table.find("when")?;
    let Some(text) = node.get_ref().as_str() else {
        return reader.refuse(node, "`when` must be a condition in quotes");
    };
    match Condition::parse(text) {
        Ok(condition) => Some(condition),
        Err(faults) => {
            let first = reader.line_within(node);
            for (line, message) in faults {
                reader.at(first.saturating_add(line), format!("`when`: {message}"));
            }
            None
        }
    }
}

fn window(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Window> {
    let table = reader.table(node, "a window", words::WINDOW)?;
    let days = reader.texts(table, "days");
    let days = days.map(|days| days.into_iter().map(|(day, _)| day).collect::<Vec<_>>());
    let mut part = |name| {
        if table.find(name).is_none() {
            reader.at(table.line, format!("a window needs `{name}`"));
        }
        reader.text(table, name)
    };
    let (from, to, zone) = (part("from"), part("to"), part("zone"));
    match Window::new(days.as_deref().unwrap_or(&DAYS), from?, to?, zone?) {
        Ok(window) => Some(window),
        Err(error) => reader.refuse(node, format!("the window: {error}")),
    }
}

impl Grammar<'_, '_> {
    /// How values are kept: what `table` says, else what holds already.
    fn keeping(&mut self, table: Table<'_, '_>) -> Keeping {
        let outer = self.keeping.clone();
        let drift = match self.reader.word(table, "drift", &words::DRIFT) {
            Some("report") => Drift::Report,
            Some(_) => Drift::Mend,
            None => outer.drift,
        };
        Keeping {
            drift,
            is_optional: self.reader.truth(table, "optional").unwrap_or(outer.is_optional),
            verify_every: self
                .reader
                .period(table, "verify_every", EVERY)
                .unwrap_or(outer.verify_every),
            window: self.own_window(table).unwrap_or(outer.window),
        }
    }

    /// `window = true`: that of the profile; `false`: none; a table: another.
    fn own_window(&mut self, table: Table<'_, '_>) -> Option<Option<Window>> {
        let node = table.find("window")?;
        match node.get_ref().as_bool() {
            Some(true) if self.window.is_none() => {
                self.reader.refuse(node, "`window = true` needs a [window] in the profile")
            }
            Some(true) => Some(self.window.clone()),
            Some(false) => Some(None),
            None => window(self.reader, node).map(Some),
        }
    }

    fn firmware(&mut self, node: &Node<'_>) -> Option<FirmwareRule> {
        let table = self.reader.table(node, "[firmware]", words::FIRMWARE)?;
        if table.find("version").is_none() {
            return self
                .reader
                .refuse(node, "[firmware] needs `version`, as the device reports it");
        }
        Some(FirmwareRule {
            version: self.reader.text(table, "version")?.into(),
            image: self.reader.text(table, "image").map(Into::into),
            when: condition(self.reader, table),
            line: table.line,
        })
    }

    fn rules(&mut self, root: Table<'_, '_>) -> Rules {
        let mut rules = Rules {
            parameters: self.each(root, "parameter", Self::parameter),
            objects: self.each(root, "object", Self::object),
            refreshes: self.each(root, "refresh", Self::refresh),
            aliases: self.each(root, "alias", Self::alias),
            ..Rules::default()
        };
        rules.firmware = root.find("firmware").and_then(|node| self.firmware(node));
        rules
    }

    fn each<T>(
        &mut self,
        root: Table<'_, '_>,
        name: &str,
        read: impl Fn(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Vec<T> {
        let nodes = self.reader.tables(root, name, super::RULES_MAX);
        nodes.iter().filter_map(|node| read(self, node)).collect()
    }
}
