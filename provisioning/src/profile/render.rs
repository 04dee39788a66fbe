//! Profiles and values together: what one device should be, with nothing left to compute.
//!
//! Layers are gone through from the lowest to the highest; a rule of a higher one takes the place of
//! those below it for the same path, object or reading. A rule that cannot be made is told and left
//! out; the others go on.

use super::condition::{Condition, Facts};
use super::grammar::EQUIPMENT;
use super::rule::{ObjectRule, ParameterRule, RefreshRule, Source, Value};
use super::scope::Scope;
use super::template::Unfilled;
use super::{Layers, Profile};
use crate::wanted::{Presence, Rule, Wanted, WantedAlias, WantedFirmware, WantedObject};
use crate::wanted::{WantedParameter, WantedRefresh};
use crate::{Equipment, Pattern, Segment, Subject, Window};
use firmware::Sha256;
use model::{DataModel, Redacted, is_secret};
use std::collections::{BTreeMap, BTreeSet};

/// Most parameters, objects and readings of one device together. What stands lowest goes.
const WANTED_MAX: usize = 4_000;

impl Layers {
    /// What the device should be. `tenant` is what the operator says of the tenant
    /// (`[provisioning.values]`); `known` gives the parameters that expressions may ask for.
    ///
    /// The same arguments give the same answer. Its cost is bounded by the profiles' rules, and by
    /// the fuel of each of their templates.
    #[must_use]
    pub fn render(
        &self,
        subject: &Subject<'_>,
        equipment: Option<&Equipment>,
        tenant: &serde_json::Value,
        known: &DataModel,
    ) -> Wanted {
        let asked = self.profiles.iter().flat_map(|it| it.rules.rules.asked());
        let scope = Scope::new(subject, equipment, tenant, known, asked);
        let facts = Facts::new(subject, equipment, tenant, Some(known));
        let mut rendering = Rendering {
            root: subject.root,
            has_equipment: equipment.is_some(),
            scope: &scope,
            facts: &facts,
            parameters: BTreeMap::new(),
            objects: BTreeMap::new(),
            refreshes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            firmware: None,
            window: None,
            verify_on: BTreeSet::new(),
            guesses: BTreeSet::new(),
            faults: Vec::new(),
            open: Vec::new(),
        };
        if let Some(name) = &self.missing {
            let cause = format!("the equipment names the profile `{name}`, which does not exist");
            rendering.whole(equipment_rule(), cause);
        }
        for (layer, profile) in self.profiles.iter().enumerate() {
            rendering.profile(layer, profile);
        }
        let firmware = rendering.firmware(equipment);
        let mut wanted = rendering.into_wanted(firmware);
        wanted.profiles = self.profiles.iter().map(|it| it.name.clone()).collect();
        wanted.revision = self.revision;
        wanted.lacks_values = equipment.is_none();
        wanted
    }
}

fn equipment_rule() -> Rule {
    Rule { profile: EQUIPMENT.into(), line: 0 }
}

/// Where something lies among the others: the layer, then wildcards before literals, then the line.
type Place = (usize, usize, u32);

/// Which object: its table, and the names and values of its keys.
type Which = (Pattern, Vec<(Box<str>, Box<str>)>);

struct Rendering<'a> {
    root: &'a str,
    has_equipment: bool,
    scope: &'a Scope,
    facts: &'a Facts<'a>,
    parameters: BTreeMap<Pattern, (Place, WantedParameter)>,
    objects: BTreeMap<Which, (Place, WantedObject)>,
    refreshes: BTreeMap<Pattern, (Place, WantedRefresh)>,
    aliases: BTreeMap<(&'static str, Pattern), WantedAlias>,
    firmware: Option<WantedFirmware>,
    window: Option<Window>,
    verify_on: BTreeSet<Box<str>>,
    guesses: BTreeSet<Rule>,
    faults: Vec<(Pattern, Rule, Box<str>)>,
    /// What the business has not said yet, and from which layer down it would go.
    open: Vec<(usize, Pattern)>,
}

/// Whether a rule's condition holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Holding {
    Yes,
    No,
    /// The business would have to say.
    Open,
}

/// A value made for the device.
struct Made {
    text: Box<str>,
    is_secret: bool,
}

impl<'a> Rendering<'a> {
    fn profile(&mut self, layer: usize, profile: &Profile) {
        let rules = &profile.rules.rules;
        self.verify_on.extend(rules.verify_on.iter().cloned());
        if rules.window.is_some() {
            self.window.clone_from(&rules.window);
        }
        let root = self.root;
        let at = |line| Rule { profile: profile.name.clone(), line };
        let mut settled = BTreeSet::new();
        for rule in rules.parameters.iter().filter(|it| it.path.root() == root) {
            // Of several for one path the first whose condition holds goes.
            if settled.contains(&rule.path) {
                continue;
            }
            match self.holding(rule.when.as_ref(), &rule.path, &at(rule.line)) {
                Holding::Yes => self.parameter(layer, profile, rule, at(rule.line)),
                Holding::Open => self.open.push((layer, rule.path.clone())),
                Holding::No => continue,
            }
            settled.insert(&rule.path);
        }
        let mut settled = BTreeSet::new();
        for rule in rules.objects.iter().filter(|it| it.table.root() == root) {
            let holding = self.holding(rule.when.as_ref(), &rule.table, &at(rule.line));
            if holding != Holding::No {
                self.object(layer, profile, rule, at(rule.line), holding, &mut settled);
            }
        }
        let mut settled = BTreeSet::new();
        for rule in rules.refreshes.iter().filter(|it| it.path.root() == root) {
            if !settled.contains(&rule.path)
                && self.holds(rule.when.as_ref(), &rule.path, &at(rule.line))
            {
                settled.insert(&rule.path);
                self.refresh(layer, rule, at(rule.line));
            }
        }
        for alias in rules.aliases.iter().filter(|it| it.path.root() == root) {
            let rule = at(alias.line);
            self.guess(alias.is_guess, &rule);
            let wanted = WantedAlias { kind: alias.kind, path: alias.path.clone(), rule };
            self.aliases.insert((alias.kind.as_str(), alias.path.clone()), wanted);
        }
        if let Some(firmware) = &rules.firmware {
            let rule = at(firmware.line);
            if self.holds_whole(firmware.when.as_ref(), &rule) {
                let (version, image) = (firmware.version.clone(), firmware.image.clone());
                let default = WantedFirmware::default();
                self.firmware = Some(WantedFirmware { version, image, rule, ..default });
            }
        }
    }

    fn parameter(&mut self, layer: usize, profile: &Profile, it: &ParameterRule, rule: Rule) {
        let Some(value) = &it.value else {
            self.parameters.remove(&it.path);
            return;
        };
        if self.is_open(value) {
            self.open.push((layer, it.path.clone()));
            return;
        }
        let is_optional = it.keeping.is_optional;
        let Some(made) = self.make(profile, value, is_optional, &it.path, &rule) else { return };
        self.guess(it.is_guess, &rule);
        let wanted = WantedParameter {
            path: it.path.clone(),
            value: Redacted(made.text),
            kind: value.kind.clone(),
            is_secret: made.is_secret || is_secret(it.path.as_str()),
            drift: it.keeping.drift,
            is_optional,
            verify_every: it.keeping.verify_every,
            window: it.keeping.window.clone(),
            rule,
        };
        let place = (layer, literalness(&it.path), it.line);
        self.parameters.insert(it.path.clone(), (place, wanted));
    }

    fn object(
        &mut self,
        layer: usize,
        profile: &Profile,
        it: &ObjectRule,
        rule: Rule,
        holding: Holding,
        settled: &mut BTreeSet<Which>,
    ) {
        let mut keys = Vec::with_capacity(it.keys.len());
        for (name, value) in &it.keys {
            let optional = it.keeping.is_optional;
            let Some(made) = self.make(profile, value, optional, &it.table, &rule) else { return };
            if made.is_secret || is_secret(name) {
                let cause = "a key of an object may be no secret: it is sent to find the object";
                return self.fault(&it.table, &rule, cause);
            }
            keys.push((name.clone(), made.text));
        }
        let key = (it.table.clone(), keys.clone());
        if !settled.insert(key.clone()) {
            return;
        }
        let Some(presence) = it.presence.filter(|_| holding == Holding::Yes) else {
            self.objects.remove(&key);
            return;
        };
        self.guess(it.is_guess, &rule);
        let parameters = match presence {
            Presence::Present => self.entries(profile, it, &rule),
            Presence::Absent => Vec::new(),
        };
        let keys = keys.into_iter().map(|(name, text)| (name, Redacted(text))).collect();
        let wanted = WantedObject { table: it.table.clone(), keys, presence, parameters, rule };
        let place = (layer, literalness(&it.table), it.line);
        self.objects.insert(key, (place, wanted));
    }

    /// The parameters of an object, with paths below the instance.
    fn entries(&mut self, profile: &Profile, it: &ObjectRule, rule: &Rule) -> Vec<WantedParameter> {
        let mut parameters = Vec::with_capacity(it.set.len());
        for entry in &it.set {
            let rule = Rule { line: entry.line, ..rule.clone() };
            if self.holding(entry.when.as_ref(), &it.table, &rule) != Holding::Yes {
                continue;
            }
            let made = self.make(profile, &entry.value, entry.is_optional, &it.table, &rule);
            let Some(made) = made else { continue };
            parameters.push(WantedParameter {
                path: entry.name.clone(),
                value: Redacted(made.text),
                kind: entry.value.kind.clone(),
                is_secret: made.is_secret || is_secret(entry.name.as_str()),
                drift: it.keeping.drift,
                is_optional: entry.is_optional,
                verify_every: it.keeping.verify_every,
                window: it.keeping.window.clone(),
                rule,
            });
        }
        parameters.sort_by(|a, b| a.path.cmp(&b.path));
        parameters
    }

    fn refresh(&mut self, layer: usize, it: &RefreshRule, rule: Rule) {
        let Some(every) = it.every else {
            self.refreshes.remove(&it.path);
            return;
        };
        self.guess(it.is_guess, &rule);
        let (on_events, measure) = (it.on_events.clone(), it.measure.clone());
        let wanted = WantedRefresh { path: it.path.clone(), every, on_events, measure, rule };
        let place = (layer, literalness(&it.path), it.line);
        self.refreshes.insert(it.path.clone(), (place, wanted));
    }

    /// The firmware: what the equipment says goes before what profiles say.
    fn firmware(&mut self, equipment: Option<&Equipment>) -> Option<WantedFirmware> {
        let said = equipment.and_then(|it| it.firmware.as_ref()).map(|it| WantedFirmware {
            version: it.version.as_str().into(),
            // It was checked when the document was read.
            sha256: it.sha256.as_deref().and_then(|text| Sha256::parse(text).ok()),
            size: it.size,
            rule: equipment_rule(),
            ..WantedFirmware::default()
        });
        let wanted = said.or_else(|| self.firmware.take())?;
        Some(WantedFirmware { window: self.window.clone(), ..wanted })
    }

    /// The text of a value; `None` where it cannot be made, which has been told.
    fn make(
        &mut self,
        profile: &Profile,
        value: &Value,
        is_optional: bool,
        path: &Pattern,
        rule: &Rule,
    ) -> Option<Made> {
        let template = match &value.source {
            Source::Literal(text) => {
                return Some(Made { text: text.clone(), is_secret: value.is_secret });
            }
            Source::Template(template) => template,
        };
        if self.is_open(value) {
            return None;
        }
        self.scope.take_seen();
        let filled = profile.rules.templates.fill(template, self.scope);
        let is_secret = value.is_secret || self.scope.take_seen();
        let cause = match filled {
            Ok(text) => match value.kind.check(&text) {
                Ok(text) => return Some(Made { text: text.into(), is_secret }),
                Err(why) => format!("the value {why}"),
            },
            Err(Unfilled::Undefined) if is_optional => return None,
            Err(Unfilled::Undefined) => {
                "the template asks for a value that is not there".to_owned()
            }
            Err(Unfilled::Failed(why)) => why.to_owned(),
        };
        self.fault(path, rule, cause);
        None
    }

    /// Whether only the business could say a value. A default that a template has for what the
    /// business leaves out is none for what it has not said yet.
    fn is_open(&self, value: &Value) -> bool {
        matches!(&value.source, Source::Template(it) if !self.has_equipment && it.asks.equipment)
    }

    fn holding(&mut self, when: Option<&Condition>, path: &Pattern, rule: &Rule) -> Holding {
        if when.is_some_and(|it| !self.has_equipment && it.asks.equipment) {
            Holding::Open
        } else if self.holds(when, path, rule) {
            Holding::Yes
        } else {
            Holding::No
        }
    }

    fn holds(&mut self, when: Option<&Condition>, path: &Pattern, rule: &Rule) -> bool {
        let Some(when) = when else { return true };
        when.holds(self.facts).unwrap_or_else(|_| {
            self.fault(path, rule, Condition::UNFIT);
            false
        })
    }

    fn holds_whole(&mut self, when: Option<&Condition>, rule: &Rule) -> bool {
        let Some(when) = when else { return true };
        when.holds(self.facts).unwrap_or_else(|_| {
            self.whole(rule.clone(), Condition::UNFIT.to_owned());
            false
        })
    }

    fn guess(&mut self, is_guess: bool, rule: &Rule) {
        if is_guess {
            self.guesses.insert(rule.clone());
        }
    }

    fn fault(&mut self, path: &Pattern, rule: &Rule, cause: impl Into<Box<str>>) {
        self.faults.push((path.clone(), rule.clone(), cause.into()));
    }

    /// A fault that is of no path: it stands at the root.
    fn whole(&mut self, rule: Rule, cause: String) {
        let root = Pattern::parse(self.root).or_else(|_| Pattern::parse(crate::pattern::ROOTS[0]));
        if let Ok(root) = root {
            self.faults.push((root, rule, cause.into()));
        }
    }

    /// Takes away what would stand in for what the business has not said yet: of the same paths, what
    /// goes after it.
    fn leave_open(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.parameters.retain(|path, ((layer, literal, _), _)| {
            !open.iter().any(|(above, it)| {
                let goes_before =
                    *layer > *above || (*layer == *above && *literal > literalness(it));
                let is_same = path == it || path.matches(it.as_str()) || it.matches(path.as_str());
                is_same && !goes_before
            })
        });
    }

    fn into_wanted(mut self, firmware: Option<WantedFirmware>) -> Wanted {
        self.leave_open();
        let total = self.parameters.len() + self.objects.len() + self.refreshes.len();
        if total > WANTED_MAX {
            let cause = format!("more than {WANTED_MAX} rules are for it: the lowest are left out");
            self.whole(Rule::default(), cause);
        }
        let mut room = WANTED_MAX;
        let parameters = in_order(self.parameters.into_values(), &mut room);
        let objects = in_order(self.objects.into_values(), &mut room);
        let refreshes = in_order(self.refreshes.into_values(), &mut room);
        Wanted {
            parameters,
            objects,
            refreshes,
            aliases: self.aliases.into_values().collect(),
            verify_on: self.verify_on.into_iter().collect(),
            firmware,
            guesses: self.guesses.into_iter().collect(),
            faults: self.faults,
            ..Wanted::default()
        }
    }
}

/// More literal patterns stand for fewer paths: they go before others of their layer.
fn literalness(path: &Pattern) -> usize {
    let open = path.segments().filter(|it| !matches!(it, Segment::Name(_))).count();
    usize::MAX - open
}

/// By their places, the lowest left out where there is no room for all.
fn in_order<T>(all: impl Iterator<Item = (Place, T)>, room: &mut usize) -> Vec<T> {
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(place, _)| *place);
    all.drain(..all.len().saturating_sub(*room));
    *room -= all.len();
    all.into_iter().map(|(_, it)| it).collect()
}
