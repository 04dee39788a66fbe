//! Objects: found by their keys, made where they are missing, removed where they are not wanted.

mod keys;

use super::decide::{Decision, Target, is_plain};
use super::look::seconds;
use super::parameter::{TIMES_MAX, Want};
use super::{Blocked, Obstacle, Step, Wish, steps};
use crate::pattern::numbers;
use crate::{Adding, Drift, Pattern, Presence, ValueKind, WantedObject, WantedParameter};
use keys::{instance, key, names};
use model::CommandKind;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Most objects that one plan makes or removes. The next has the rest.
const OBJECTS_MAX: usize = 64;
/// How long keys are believed where no parameter of the object says how long, in seconds: a day.
const KEYS_EVERY_S: i64 = 86_400;

/// A wanted object in one table of the device.
#[derive(Clone, Copy, Debug)]
struct Place<'a, 't> {
    object: &'a WantedObject,
    table: &'t str,
    /// What it is called in [`Adding`] and in refusals.
    label: &'t str,
    numbers: &'t [u32],
    every_s: i64,
    rank: usize,
}

impl<'a> Decision<'a> {
    /// Decides on every object, and says what those that are there should hold.
    pub(super) fn objects(&mut self) -> Vec<Target<'a>> {
        let (mut targets, mut claimed) = (Vec::new(), BTreeSet::new());
        let wanted = self.wanted;
        // Those that are to be there first: one that they are is not removed.
        for presence in [Presence::Present, Presence::Absent] {
            let objects = wanted.objects.iter().enumerate();
            for (rank, object) in objects.filter(|(_, it)| it.presence == presence) {
                let same = |it: &&WantedObject| {
                    it.table == object.table && it.keys.iter().map(|key| &key.0).eq(names(object))
                };
                let before = wanted.objects[..rank].iter().filter(same).count();
                for table in self.tables(object) {
                    let place = Place {
                        object,
                        table: &table,
                        label: &label(object, &table, before),
                        numbers: &numbers(self.view.known, &table),
                        every_s: every_s(object),
                        rank,
                    };
                    match presence {
                        Presence::Present => self.present(place, &mut targets, &mut claimed),
                        Presence::Absent => self.absent(place, &claimed),
                    }
                }
            }
        }
        targets
    }

    /// The tables that an object belongs in, as far as they are known.
    fn tables(&mut self, object: &'a WantedObject) -> Vec<Box<str>> {
        let view = self.view;
        let want = of_object(object, "", every_s(object));
        let tables = match is_plain(&object.table) {
            true => vec![object.table.as_str().into()],
            false => self.expand(&object.table, want),
        };
        let mut there = Vec::with_capacity(tables.len());
        for table in tables {
            if view.known.below(&table).next().is_some() {
                there.push(table);
            } else if view.is_absent(&table) {
                if object.presence == Presence::Present {
                    self.block(Blocked::new(&table, Obstacle::Absent, NO_TABLE, &object.rule));
                }
            } else if !self.list(&table) {
                self.untold(&table, object);
            }
        }
        there
    }

    fn present(
        &mut self,
        place: Place<'a, '_>,
        targets: &mut Vec<Target<'a>>,
        claimed: &mut BTreeSet<Box<str>>,
    ) {
        let Place { object, table, numbers, .. } = place;
        let mut same = numbers.iter().filter(|it| self.is_it(place, **it)).copied();
        let found = same.next();
        if same.next().is_some() {
            let blocked = Blocked::new(table, Obstacle::Ambiguous, AMBIGUOUS, &object.rule);
            self.block(Blocked { is_harmless: true, ..blocked });
        }
        if let Some(number) = found {
            claimed.insert(instance(table, number));
            self.holds(place, number, targets);
            return;
        }
        self.plan.unconfirmed.push(place.label.into());
        let adding = self.adding(place.label);
        let bound = adding.and_then(|it| it.instance).filter(|it| numbers.contains(it));
        if let Some(number) = bound {
            claimed.insert(instance(table, number));
            self.holds(place, number, targets);
            return;
        }
        if !self.knows_instances(place) {
            return;
        }
        let adopted = adding.filter(|it| it.instance.is_none()).and_then(|it| {
            let mut new = numbers.iter().filter(|number| !it.before.contains(number));
            new.find(|number| {
                let path = instance(table, **number);
                !claimed.contains(&path) && self.is_untouched(place, **number)
            })
        });
        match adopted {
            Some(number) => {
                claimed.insert(instance(table, *number));
                self.holds(place, *number, targets);
            }
            None => self.add(place, adding),
        }
    }

    /// What an instance should hold: its keys, and the rest. Readings of its keys grow old as others
    /// do.
    fn holds(&mut self, place: Place<'a, '_>, number: u32, targets: &mut Vec<Target<'a>>) {
        let Place { object, table, every_s, rank, .. } = place;
        let layer = self.layer(&object.rule);
        let keys = object.keys.iter().map(|(name, value)| {
            (name.clone(), of_object(object, value.expose(), every_s), (layer, false, usize::MAX))
        });
        let rest = object.parameters.iter().map(|it| {
            (it.path.as_str().into(), Want::from(it), (self.layer(&it.rule), false, rank))
        });
        let all: Vec<(Box<str>, Want<'a>, _)> = keys.chain(rest).collect();
        for (name, want, rank) in all {
            let path = format!("{table}{number}.{name}");
            let pattern = Pattern::parse(&path).ok();
            match pattern.filter(|it| !is_plain(it)) {
                Some(pattern) => {
                    let paths = self.expand(&pattern, want).into_iter();
                    let paths = paths.map(|it| Cow::Owned(it.into_string()));
                    targets.extend(paths.map(|path| Target { path, want, rank }));
                }
                None => targets.push(Target { path: Cow::Owned(path), want, rank }),
            }
        }
    }

    fn adding(&self, label: &str) -> Option<&'a Adding> {
        let adding = self.view.held.adding.iter().find(|it| *it.object == *label);
        adding.filter(|_| !self.view.is_reset)
    }

    fn add(&mut self, place: Place<'a, '_>, adding: Option<&Adding>) {
        let Place { object, table, label, numbers, every_s, .. } = place;
        let view = self.view;
        let rule = &object.rule;
        if let Some(refusal) = view.refusal(label, false).filter(|it| view.is_waiting(it)) {
            return self.block(Blocked::refused(label, refusal, rule));
        }
        if adding.is_some_and(|it| it.times >= TIMES_MAX) {
            return self.block(Blocked::new(label, Obstacle::Unsteady, VANISHES, rule));
        }
        if view.known.get(table).is_some_and(|it| it.writable == Some(false))
            && !view.it.writes_read_only
        {
            return self.block(Blocked::new(label, Obstacle::ReadOnly, NO_ADDING, rule));
        }
        if self.adds.len() + self.deletes.len() >= OBJECTS_MAX {
            return;
        }
        let of = |value| of_object(object, value, every_s);
        let keys = object.keys.iter().map(|(name, value)| (&**name, of(value.expose()), true));
        let plain = |it: &&'a WantedParameter| is_plain(&it.path);
        let rest = object.parameters.iter().filter(plain);
        let rest = rest.map(|it| (it.path.as_str(), Want::from(it), false));
        let mut changes = Vec::with_capacity(object.keys.len() + object.parameters.len());
        for (name, want, is_key) in keys.chain(rest) {
            let sibling = numbers.first().and_then(|it| view.known.get(&key(table, *it, name)));
            match self.new_change(table, name, sibling.as_ref(), want) {
                Some(change) => changes.push(change),
                // Without its keys it would be made again and again.
                None if is_key => return,
                None => {}
            }
        }
        let values = changes.iter().map(steps::value).collect();
        self.adds.push(Step {
            kind: CommandKind::AddObject { path: table.into(), values },
            wish: Wish::Add {
                object: label.into(),
                table: table.into(),
                before: numbers.to_vec(),
                changes,
                rule: rule.clone(),
            },
        });
    }

    fn absent(&mut self, place: Place<'a, '_>, claimed: &BTreeSet<Box<str>>) {
        let Place { object, table, numbers, .. } = place;
        let view = self.view;
        let is_theirs =
            |it: &u32| self.is_it(place, *it) && !claimed.contains(&instance(table, *it));
        let theirs: Vec<u32> = numbers.iter().copied().filter(is_theirs).collect();
        // Nothing is removed on hearsay, and what was never looked for is looked for once.
        let is_believed = theirs.is_empty() && view.is_applied;
        if !is_believed && !self.knows_instances(place) {
            return;
        }
        if theirs.is_empty() {
            self.keys_grow_old(place);
        }
        for number in theirs {
            let path = instance(table, number);
            if let Some(refusal) = view.refusal(&path, false).filter(|it| view.is_waiting(it)) {
                self.block(Blocked::refused(&path, refusal, &object.rule));
            } else if self.adds.len() + self.deletes.len() < OBJECTS_MAX {
                self.deletes.insert((table.into(), Reverse(number)), object.rule.clone());
            }
        }
    }
}

/// A key, or anything of an object that no rule of its own speaks of.
fn of_object<'a>(object: &'a WantedObject, value: &'a str, every_s: i64) -> Want<'a> {
    const KIND: &ValueKind = &ValueKind::AsTheDevice;
    Want {
        value,
        kind: KIND,
        is_secret: false,
        drift: Drift::Mend,
        is_optional: object.presence == Presence::Absent,
        every_s,
        window: None,
        rule: &object.rule,
    }
}

/// Keys are believed as long as the most fickle of the object's parameters.
fn every_s(object: &WantedObject) -> i64 {
    let every_s = object.parameters.iter().map(|it| seconds(it.verify_every)).min();
    every_s.unwrap_or(KEYS_EVERY_S)
}

/// What an object is called: its table, the names of its keys, and which of several of such.
fn label(object: &WantedObject, table: &str, before: usize) -> Box<str> {
    let names = names(object).map(|it| &**it).collect::<Vec<_>>().join(",");
    match before {
        0 => format!("{table}[{names}]"),
        many => format!("{table}[{names}]#{}", many + 1),
    }
    .into()
}

const NO_TABLE: &str = "the device has no such table";

const AMBIGUOUS: &str =
    "several objects have these keys: the lowest is it, the others are left alone";
const NO_ADDING: &str = "the device lists the table as not writable: no object can be made in it";
const VANISHES: &str = "made 3 times and was gone each time";
