//! Which devices a profile is for.

use super::condition::{Condition, Facts};
use crate::{Equipment, Subject};
use firmware::Version;
use model::Protocol;
use serde_json::Value as Json;
use std::cmp::Ordering;

/// What must hold of a device: everything that is given. Cheap tests stand before dear ones.
#[derive(Debug, Default)]
pub(super) struct Match {
    pub(super) oui: Option<Vec<Glob>>,
    pub(super) protocol: Option<Vec<Protocol>>,
    pub(super) model: Option<Vec<Glob>>,
    pub(super) product_class: Option<Vec<Glob>>,
    pub(super) manufacturer: Option<Vec<Glob>>,
    pub(super) hardware_version: Option<Vec<Versions>>,
    pub(super) software_version: Option<Vec<Versions>>,
    pub(super) serial: Option<Vec<Glob>>,
    pub(super) group: Option<Vec<Glob>>,
    pub(super) tags_all: Vec<Box<str>>,
    pub(super) tags_any: Vec<Box<str>>,
    pub(super) when: Option<Condition>,
}

/// A text in which `*` stands for any number of characters. ASCII case does not count: makers do not
/// keep to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Glob(Box<str>);

/// What a version must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Versions {
    /// As this text.
    Like(Glob),
    /// As all of these say.
    Compared(Vec<Bound>),
}

/// One bound of a version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bound {
    operator: Operator,
    version: Box<str>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operator {
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Match {
    /// Whether a device fits. A condition that cannot be evaluated does not hold.
    pub(super) fn fits(&self, subject: &Subject<'_>, equipment: Option<&Equipment>) -> bool {
        let facts = subject.facts;
        likes(self.oui.as_deref(), facts.oui.as_deref())
            && self.protocol.as_ref().is_none_or(|it| it.contains(&subject.id.protocol()))
            && likes(self.model.as_deref(), facts.model.as_deref())
            && likes(self.product_class.as_deref(), facts.product_class.as_deref())
            && likes(self.manufacturer.as_deref(), facts.manufacturer.as_deref())
            && is_version(self.hardware_version.as_deref(), facts.hardware_version.as_deref())
            && is_version(self.software_version.as_deref(), facts.software_version.as_deref())
            && likes(self.serial.as_deref(), facts.serial.as_deref())
            && likes(self.group.as_deref(), subject.group)
            && self.tags_all.iter().all(|tag| subject.tags.contains(tag))
            && (self.tags_any.is_empty()
                || self.tags_any.iter().any(|tag| subject.tags.contains(tag)))
            && self.when.as_ref().is_none_or(|when| {
                let facts = Facts::new(subject, equipment, &Json::Null, None);
                when.holds(&facts).unwrap_or(false)
            })
    }
}

fn likes(globs: Option<&[Glob]>, said: Option<&str>) -> bool {
    let Some(globs) = globs else { return true };
    said.is_some_and(|said| globs.iter().any(|it| it.matches(said)))
}

fn is_version(versions: Option<&[Versions]>, said: Option<&str>) -> bool {
    let Some(versions) = versions else { return true };
    said.is_some_and(|said| versions.iter().any(|it| it.holds(said)))
}

impl Glob {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// What it matches without a `*`, in upper case; `None` where there is one.
    pub(super) fn exactly(&self) -> Option<String> {
        (!self.0.contains('*')).then(|| self.0.to_ascii_uppercase())
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else {
            return self.0.eq_ignore_ascii_case(text);
        };
        let Some(mut left) = strip(text, head) else { return false };
        let (inner, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        // What stands between two `*` is taken where it comes first.
        for part in inner.split('*').filter(|it| !it.is_empty()) {
            let at = (0..=left.len())
                .find(|at| left.get(*at..).and_then(|it| strip(it, part)).is_some());
            let Some(at) = at else { return false };
            left = &left[at + part.len()..];
        }
        let end = left.len().checked_sub(tail.len()).and_then(|at| left.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(tail))
    }
}

/// The rest of a text that begins with `head`, in whatever case.
fn strip<'t>(text: &'t str, head: &str) -> Option<&'t str> {
    let begin = text.get(..head.len())?;
    begin.eq_ignore_ascii_case(head).then(|| &text[head.len()..])
}

impl Versions {
    /// Reads `3.*`, `>=3.0.1` or `>=3.0.1 <4`; `None` where bounds are none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with(['<', '>']) {
            return Some(Self::Like(Glob::new(text)));
        }
        let mut bounds = Vec::new();
        for part in text.split_whitespace() {
            let (operator, version) = [
                (">=", Operator::AtLeast),
                ("<=", Operator::AtMost),
                (">", Operator::Above),
                ("<", Operator::Below),
            ]
            .iter()
            .find_map(|(sign, operator)| Some((*operator, part.strip_prefix(sign)?)))?;
            version.contains(|it: char| it.is_ascii_digit()).then_some(())?;
            bounds.push(Bound { operator, version: version.into() });
        }
        Some(Self::Compared(bounds))
    }

    fn holds(&self, said: &str) -> bool {
        match self {
            Self::Like(glob) => glob.matches(said),
            Self::Compared(bounds) => bounds.iter().all(|bound| {
                let order = compare(said, &bound.version);
                match bound.operator {
                    Operator::AtLeast => order.is_ge(),
                    Operator::Above => order.is_gt(),
                    Operator::AtMost => order.is_le(),
                    Operator::Below => order.is_lt(),
                }
            }),
        }
    }
}

/// The order of what a device says and a bound, as `firmware` has it of versions. Vendors write builds
/// and dates behind the first blank: a bound is on what stands before it.
pub(super) fn compare(said: &str, bound: &str) -> Ordering {
    let first = said.split_whitespace().next().unwrap_or_default();
    Version::new(first).compare(&Version::new(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (glob, text, fits) in [
            ("XX230v", "xx230V", true),
            ("XX230v", "XX230v1", false),
            ("XX*", "XX230v", true),
            ("*230*", "XX230v", true),
            ("XX*0v", "XX230v", true),
            ("XX*0v", "XX0", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*bc*c", "abc", false),
            ("*", "", true),
            ("**", "x", true),
            ("é*", "éa", true),
            ("e*", "éa", false),
            ("", "", true),
        ] {
            assert_eq!(Glob::new(glob).matches(text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        let holds = |bound: &str, said: &str| Versions::parse(bound).unwrap().holds(said);
        let said = "3.0.1 0.9.1 v6036.0 Build 210805 Rel.41021n";
        assert!(holds(">=3.0.1", said) && holds("<=3.0.1", said) && !holds(">3.0.1", said));
        assert!(holds(">=3 <3.1", said) && !holds("<3", said));
        assert!(holds(">3.0.9", "3.0.10"));
        assert!(holds(">=V2.0.08", "V2.0.8_181204"));
        assert!(holds(">=1.2.0", "1.2") && holds("<=1.2", "1.2.0"));
        assert!(holds("3.*", said));
        assert_eq!(Versions::parse(">=a"), None);
        assert_eq!(Versions::parse(">=1 2"), None);
        assert_eq!(Versions::parse(">="), None);
    }
}
