//! Which events a reader wants.

use crate::store::StoredEvent;
use model::Tenant;

/// Chooses events by type and tenant. Empty lists choose all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    types: Vec<TypePattern>,
    tenants: Vec<Tenant>,
}

#[derive(Clone, Debug)]
enum TypePattern {
    Exact(Box<str>),
    Prefix(Box<str>),
}

impl Filter {
    /// Most patterns in one filter: each is compared with each event.
    pub const PATTERNS_MAX: usize = 64;

    /// Reads type patterns: a full type (`lastmile.telemetry.received`), or one that ends in `*`
    /// and stands for all that begin so (`lastmile.device.*`, `*`).
    pub fn new<'a>(
        types: impl IntoIterator<Item = &'a str>,
        tenants: impl IntoIterator<Item = Tenant>,
    ) -> Result<Self, FilterError> {
        let types = types.into_iter().map(TypePattern::parse).collect::<Result<Vec<_>, _>>()?;
        if types.len() > Self::PATTERNS_MAX {
            return Err(FilterError::TooMany);
        }
        Ok(Self { types, tenants: tenants.into_iter().collect() })
    }

    /// Whether the event is wanted.
    pub fn wants(&self, event: &StoredEvent) -> bool {
        (self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(&event.kind)))
            && (self.tenants.is_empty() || self.tenants.contains(&event.tenant))
    }
}

impl TypePattern {
    fn parse(text: &str) -> Result<Self, FilterError> {
        let (stem, pattern) = match text.strip_suffix('*') {
            Some(stem) => (stem, Self::Prefix(stem.into())),
            None if text.is_empty() => return Err(FilterError::Pattern),
            None => (text, Self::Exact(text.into())),
        };
        let spelled = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
        if stem.chars().all(spelled) { Ok(pattern) } else { Err(FilterError::Pattern) }
    }

    fn matches(&self, kind: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *kind,
            Self::Prefix(prefix) => kind.starts_with(&**prefix),
        }
    }
}

/// Not a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// A pattern that no event's type can match.
    #[error("an event type is `a-z`, `0-9`, `.` and `_`, with `*` at its end only")]
    Pattern,
    /// More patterns than are compared with each event.
    #[error("a filter has at most {} types", Filter::PATTERNS_MAX)]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Position;
    use model::{DeviceId, Json};

    fn event(kind: &str, tenant: &str) -> StoredEvent {
        StoredEvent {
            position: Position { shard: 0, sequence: 1 },
            tenant: Tenant::new(tenant).unwrap(),
            device: DeviceId::mqtt("b").unwrap(),
            kind: kind.into(),
            time: jiff::Timestamp::UNIX_EPOCH,
            data: Json::empty_object(),
        }
    }

    #[test]
    fn matches_exactly_or_by_what_a_type_begins_with() {
        let filter = Filter::new(["lastmile.device.*", "lastmile.ussd.ended"], []).unwrap();
        assert!(filter.wants(&event("lastmile.device.booted", "default")));
        assert!(filter.wants(&event("lastmile.ussd.ended", "other")));
        assert!(!filter.wants(&event("lastmile.ussd.ended_twice", "default")));
        assert!(!filter.wants(&event("lastmile.devices", "default")));
        assert!(Filter::default().wants(&event("anything", "default")));
        assert!(Filter::new(["*"], []).unwrap().wants(&event("anything", "default")));
    }

    #[test]
    fn keeps_tenants_apart() {
        let filter = Filter::new([], [Tenant::new("a").unwrap()]).unwrap();
        assert!(filter.wants(&event("x", "a")));
        assert!(!filter.wants(&event("x", "b")));
    }

    #[test]
    fn refuses_patterns_that_cannot_match() {
        for wrong in ["", "lastmile.*.booted", "Lastmile.device", "a b", "**"] {
            assert_eq!(Filter::new([wrong], []).unwrap_err(), FilterError::Pattern, "{wrong}");
        }
        let many = vec!["x"; Filter::PATTERNS_MAX + 1];
        assert_eq!(Filter::new(many, []).unwrap_err(), FilterError::TooMany);
    }
}
