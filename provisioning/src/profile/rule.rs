//! What a profile says, read and compiled: rules that rendering goes through for one device.
//!
//! A value may be a secret of the file: what holds one does not print.

use super::condition::Condition;
use super::template::Template;
use crate::wanted::{Drift, Measure, Presence, ValueKind};
use crate::{Pattern, Window};
use model::AliasKind;
use std::time::Duration;

/// Everything that a profile asks for.
#[derive(Default)]
pub(super) struct Rules {
    /// Wildcards before literals, else in the file's order: where two stand for one path of a
    /// device, the later goes.
    pub(super) parameters: Vec<ParameterRule>,
    pub(super) objects: Vec<ObjectRule>,
    pub(super) refreshes: Vec<RefreshRule>,
    pub(super) aliases: Vec<AliasRule>,
    pub(super) firmware: Option<FirmwareRule>,
    pub(super) window: Option<Window>,
    pub(super) verify_on: Vec<Box<str>>,
}

/// Where a value comes from.
pub(super) enum Source {
    /// It stands in the file, checked.
    Literal(Box<str>),
    /// It is made for the device.
    Template(Template),
}

/// A value with what must hold of it.
pub(super) struct Value {
    pub(super) source: Source,
    pub(super) kind: ValueKind,
    /// Whether the file says that it is a secret.
    pub(super) is_secret: bool,
}

/// How a value is kept.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    pub(super) drift: Drift,
    pub(super) is_optional: bool,
    pub(super) verify_every: Duration,
    pub(super) window: Option<Window>,
}

/// `[[parameter]]`
pub(super) struct ParameterRule {
    pub(super) path: Pattern,
    /// `None`: what lower layers ask for is taken away.
    pub(super) value: Option<Value>,
    pub(super) when: Option<Condition>,
    pub(super) keeping: Keeping,
    pub(super) is_guess: bool,
    pub(super) line: u32,
}

/// `[[object]]`
pub(super) struct ObjectRule {
    pub(super) table: Pattern,
    /// Names below an instance, in their order.
    pub(super) keys: Vec<(Box<str>, Value)>,
    /// `None`: what lower layers ask for is taken away.
    pub(super) presence: Option<Presence>,
    pub(super) set: Vec<EntryRule>,
    pub(super) when: Option<Condition>,
    pub(super) keeping: Keeping,
    pub(super) is_guess: bool,
    pub(super) line: u32,
}

/// A parameter of an object.
pub(super) struct EntryRule {
    /// Below the instance.
    pub(super) name: Pattern,
    pub(super) value: Value,
    pub(super) when: Option<Condition>,
    pub(super) is_optional: bool,
    pub(super) line: u32,
}

/// `[[refresh]]`
#[derive(Debug)]
pub(super) struct RefreshRule {
    pub(super) path: Pattern,
    /// `None`: what lower layers ask for is taken away.
    pub(super) every: Option<Duration>,
    pub(super) on_events: Vec<Box<str>>,
    pub(super) measure: Option<Measure>,
    pub(super) when: Option<Condition>,
    pub(super) is_guess: bool,
    pub(super) line: u32,
}

/// `[[alias]]`
#[derive(Debug)]
pub(super) struct AliasRule {
    pub(super) kind: AliasKind,
    pub(super) path: Pattern,
    pub(super) is_guess: bool,
    pub(super) line: u32,
}

/// `[firmware]`
#[derive(Debug)]
pub(super) struct FirmwareRule {
    pub(super) version: Box<str>,
    pub(super) image: Option<Box<str>>,
    pub(super) when: Option<Condition>,
    pub(super) line: u32,
}

impl Rules {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parameters.len() + self.objects.len() + self.refreshes.len() + self.aliases.len()
    }

    /// How many of them are guesses.
    pub(super) fn guesses(&self) -> usize {
        let parameters = self.parameters.iter().map(|it| it.is_guess);
        let objects = self.objects.iter().map(|it| it.is_guess);
        let refreshes = self.refreshes.iter().map(|it| it.is_guess);
        let aliases = self.aliases.iter().map(|it| it.is_guess);
        parameters.chain(objects).chain(refreshes).chain(aliases).filter(|it| *it).count()
    }

    /// The parameters whose readings its templates ask for.
    pub(super) fn asked(&self) -> impl Iterator<Item = &str> {
        let of_objects = self.objects.iter().flat_map(|it| it.keys.iter().map(|(_, value)| value));
        let of_sets = self.objects.iter().flat_map(|it| it.set.iter().map(|entry| &entry.value));
        let values = self.parameters.iter().filter_map(|it| it.value.as_ref());
        let asked = values.chain(of_objects).chain(of_sets).flat_map(|value| match &value.source {
            Source::Template(template) => template.asks.known.as_slice(),
            Source::Literal(_) => &[],
        });
        asked.map(|path| &**path)
    }
}
