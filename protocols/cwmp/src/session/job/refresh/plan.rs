//! Which values to ask for together, so that few calls bring answers of a bearable size.

use crate::message::ParameterInfo;
use std::collections::{BTreeSet, VecDeque};

/// What one GetParameterValues asks for.
#[derive(Debug)]
pub(super) struct Asking {
    /// Parameters, and objects for all below them.
    pub(super) names: Vec<Box<str>>,
    /// How many values will come, as far as their names are known.
    expected: usize,
}

/// Calls for values that are still to be made.
#[derive(Debug)]
pub(super) struct Plan {
    calls: VecDeque<Asking>,
    /// Most names in a call.
    names_max: usize,
    /// Most values in an answer, where whole subtrees are asked.
    values_max: usize,
}

impl Plan {
    pub(super) fn new(batch_max: usize) -> Self {
        let names_max = batch_max.max(1);
        Self { calls: VecDeque::new(), names_max, values_max: names_max * 2 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Asking> {
        self.calls.front()
    }

    pub(super) fn take(&mut self) -> Option<Asking> {
        self.calls.pop_front()
    }

    /// Adds to the last call what still fits into it.
    pub(super) fn push(&mut self, name: Box<str>, expected: usize) {
        let (names_max, values_max) = (self.names_max, self.values_max);
        let fits =
            |it: &&mut Asking| it.names.len() < names_max && it.expected + expected <= values_max;
        match self.calls.back_mut().filter(fits) {
            Some(call) => {
                call.names.push(name);
                call.expected += expected;
            }
            None => self.calls.push_back(Asking { names: vec![name], expected }),
        }
    }

    /// Asks for a subtree of unknown size.
    pub(super) fn push_alone(&mut self, name: Box<str>) {
        self.calls.push_back(Asking { names: vec![name], expected: self.values_max });
    }

    /// Asks again in two calls what was too much for one, next.
    pub(super) fn halve(&mut self, mut asking: Asking) {
        let second = asking.names.split_off(asking.names.len() / 2);
        let expected = asking.expected / 2;
        self.calls.push_front(Asking { names: second, expected });
        self.calls.push_front(Asking { names: asking.names, expected });
    }

    /// Plans for the parameters right below `path`, and gives the objects there.
    pub(super) fn level<'a>(&mut self, path: &str, entries: &'a [ParameterInfo]) -> Vec<&'a str> {
        let mut objects = Vec::new();
        for (name, rest) in below(path, entries) {
            match rest.find('.') {
                None => self.push(name.into(), 1),
                Some(dot) if dot + 1 == rest.len() => objects.push(name),
                // Deeper than was asked.
                Some(_) => {}
            }
        }
        objects
    }

    /// Plans for everything below `path`.
    pub(super) fn whole(&mut self, path: &str, entries: &[ParameterInfo]) {
        let is_parameter = |it: &(&str, &str)| !it.0.ends_with('.');
        let expected = below(path, entries).filter(is_parameter).count();
        if expected == 0 {
            return;
        }
        if expected <= self.values_max {
            return self.push(path.into(), expected);
        }
        let mut names: Vec<&str> =
            below(path, entries).filter(is_parameter).map(|(name, _)| name).collect();
        names.sort_unstable();
        self.split(path.len(), &names);
    }

    /// Plans for `names`, in order and all below the same object, whose path has `above` bytes.
    fn split(&mut self, above: usize, names: &[&str]) {
        let mut rest = names;
        while let Some(first) = rest.first() {
            let Some(dot) = first[above..].find('.') else {
                self.push((*first).into(), 1);
                rest = &rest[1..];
                continue;
            };
            let object = &first[..=above + dot];
            // In order, all below one object stand together.
            let inside = rest.iter().take_while(|it| it.starts_with(object)).count();
            let (inside, behind) = rest.split_at(inside);
            if inside.len() <= self.values_max {
                self.push(object.into(), inside.len());
            } else {
                self.split(object.len(), inside);
            }
            rest = behind;
        }
    }
}

/// What lies below `path`, with what comes after it. Whatever else a device names is passed over.
fn below<'a>(path: &str, entries: &'a [ParameterInfo]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let rest = move |it: &'a ParameterInfo| Some((&*it.name, it.name.strip_prefix(path)?));
    entries.iter().filter_map(rest).filter(|(_, rest)| !rest.is_empty())
}

/// Whether an answer goes deeper than the one level that was asked for.
pub(super) fn is_deep(path: &str, entries: &[ParameterInfo]) -> bool {
    below(path, entries).any(|(_, rest)| rest.find('.').is_some_and(|dot| dot + 1 < rest.len()))
}

/// How many parameters and objects lie below `path`.
pub(super) fn count(path: &str, entries: &[ParameterInfo], one_level: bool) -> (usize, usize) {
    let is_near = |rest: &str| rest.find('.').is_none_or(|dot| dot + 1 == rest.len());
    let (mut parameters, mut objects) = (0, 0);
    for (name, _) in below(path, entries).filter(|(_, rest)| !one_level || is_near(rest)) {
        if name.ends_with('.') {
            objects += 1;
        } else {
            parameters += 1;
        }
    }
    if objects == 0 && !one_level {
        // The device leaves the objects out: they are what its parameters lie in.
        let above = below(path, entries).flat_map(|(_, rest)| {
            rest.match_indices('.').map(|(dot, _)| &rest[..=dot]).collect::<Vec<_>>()
        });
        objects = above.collect::<BTreeSet<_>>().len();
    }
    (parameters, objects)
}
