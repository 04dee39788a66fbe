//! A device without a socket: a data model that answers as TR-069 says, or as it was told to err.

use super::harness::{Harness, fault};
use crate::cwmp::{Parameter, ParameterInfo, Request, Response, XsdType};
use std::collections::{BTreeMap, BTreeSet};

/// How it errs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Errors {
    /// Refuses (9004) to name more than that many at once.
    pub(crate) names_max: Option<usize>,
    /// Refuses (9004) to tell more values than that at once.
    pub(crate) values_max: Option<usize>,
    /// Names everything below whatever it is asked.
    pub(crate) ignores_next_level: bool,
    /// Names no objects.
    pub(crate) leaves_objects_out: bool,
}

#[derive(Debug)]
pub(crate) struct Cpe {
    parameters: BTreeMap<String, String>,
    objects: BTreeSet<String>,
    /// Named and not there (9005).
    pub(crate) ghosts: BTreeSet<String>,
    pub(crate) errors: Errors,
}

impl Cpe {
    pub(crate) fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let (mut parameters, mut objects) = (BTreeMap::new(), BTreeSet::new());
        for path in paths {
            objects.extend(path.match_indices('.').map(|(dot, _)| path[..=dot].to_owned()));
            parameters.insert(path, "1".to_owned());
        }
        Self { parameters, objects, ghosts: BTreeSet::new(), errors: Errors::default() }
    }

    /// `tables` objects below the root with that many instances of that many parameters.
    pub(crate) fn of_size(tables: usize, instances: usize, parameters: usize) -> Self {
        let path = |n: usize| {
            let (table, rest) = (n / (instances * parameters), n % (instances * parameters));
            format!("Device.T{table}.{}.P{}", rest / parameters + 1, rest % parameters)
        };
        Self::new((0..tables * instances * parameters).map(path))
    }

    pub(crate) fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Answers everything until nothing more is asked.
    pub(crate) fn converse(&self, it: &mut Harness) {
        for _ in 0..10_000 {
            while !it.tickets.is_empty() {
                it.commit();
            }
            let asked = it.said.last().and_then(|said| said.strip_prefix("send "));
            match asked.filter(|it| *it != "Empty") {
                Some(_) if !it.session.is_closed() => self.answer(it),
                _ => return,
            }
        }
        panic!("it asks for ever");
    }

    fn answer(&self, it: &mut Harness) {
        let answer = match it.calls.last().unwrap() {
            Request::GetParameterNames { path, next_level } => self.names(path, *next_level),
            Request::GetParameterValues { names } => self.values(names),
            Request::SetParameterValues { .. } => Ok(Response::SetParameterValues { status: 0 }),
            other => panic!("{other:?}"),
        };
        match answer {
            Ok(answer) => it.answer(answer),
            Err(code) => it.receive(fault(code)),
        }
    }

    fn names(&self, path: &str, next_level: bool) -> Result<Response, u16> {
        if !self.objects.contains(path) && !self.parameters.contains_key(path) {
            return Err(9005);
        }
        let is_next = |it: &str| it.find('.').is_none_or(|dot| dot + 1 == it.len());
        let is_asked = |it: &str| {
            let Some(rest) = it.strip_prefix(path) else { return false };
            if next_level && !self.errors.ignores_next_level {
                return !rest.is_empty() && is_next(rest);
            }
            true
        };
        let objects = self.objects.iter().filter(|_| !self.errors.leaves_objects_out);
        let all = objects.chain(self.parameters.keys()).chain(&self.ghosts);
        let names: BTreeSet<&str> = all.map(|it| &**it).filter(|it| is_asked(it)).collect();
        if self.errors.names_max.is_some_and(|max| names.len() > max) {
            return Err(9004);
        }
        let info = |it: &str| ParameterInfo { name: it.into(), writable: true };
        Ok(Response::GetParameterNames { parameters: names.into_iter().map(info).collect() })
    }

    fn values(&self, names: &[Box<str>]) -> Result<Response, u16> {
        let mut values = Vec::new();
        for name in names {
            if name.ends_with('.') && self.objects.contains(&**name) {
                values.extend(self.parameters.iter().filter(|(it, _)| it.starts_with(&**name)));
            } else {
                values.push(self.parameters.get_key_value(&**name).ok_or(9005_u16)?);
            }
        }
        if self.errors.values_max.is_some_and(|max| values.len() > max) {
            return Err(9004);
        }
        let value =
            |(name, value): (&String, &String)| Parameter::new(name, value, XsdType::UnsignedInt);
        Ok(Response::GetParameterValues { parameters: values.into_iter().map(value).collect() })
    }
}
