//! The networks that callers come from: how much each shows at once, and how long it waits.

use crate::text::Limits;
use std::sync::Arc;
use std::time::Duration;

/// A mobile network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Network {
    /// Its code, as aggregators say it.
    pub code: Box<str>,
    /// Its name, for people.
    pub name: Box<str>,
    /// How long a screen may be there.
    pub limits: Limits,
    /// Longest session.
    pub session: Duration,
    /// Longest silence of a caller.
    pub idle: Duration,
}

/// The networks that are known, with what the bearer itself allows.
#[derive(Clone, Debug)]
pub struct Networks {
    all: Arc<[Network]>,
    bearer: Limits,
}

impl Networks {
    /// These networks, over a bearer that carries whole USSD strings.
    pub fn new(networks: Vec<Network>) -> Self {
        Self { all: networks.into(), bearer: Limits::GSM }
    }

    /// The same where an aggregator carries no more than `bearer`.
    #[must_use]
    pub fn within(&self, bearer: Limits) -> Self {
        let narrowed =
            |it: &Network| Network { limits: it.limits.narrowed(bearer), ..Network::clone(it) };
        Self { all: self.all.iter().map(narrowed).collect(), bearer: self.bearer.narrowed(bearer) }
    }

    /// The network of that code.
    pub fn of(&self, code: &str) -> Option<&Network> {
        self.all.iter().find(|network| *network.code == *code)
    }

    /// How long a screen may be for a caller from there: of a network that is not known, as long as
    /// every known one would show.
    pub fn limits_of(&self, code: &str) -> Limits {
        self.of(code).map_or_else(|| self.tightest(), |network| network.limits)
    }

    /// What every one of them shows.
    pub fn tightest(&self) -> Limits {
        self.all.iter().fold(self.bearer, |limits, network| limits.narrowed(network.limits))
    }

    /// Each limit that a screen must keep, with the name of its network.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = (Option<&str>, Limits)> {
        let bearer = self.all.is_empty().then_some((None, self.bearer));
        self.all.iter().map(|network| (Some(&*network.name), network.limits)).chain(bearer)
    }
}

/// No network is known: a whole USSD string may be shown.
impl Default for Networks {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(code: &str, characters: usize, octets: usize) -> Network {
        Network {
            code: code.into(),
            name: code.into(),
            limits: Limits::of(characters, octets),
            session: Duration::from_secs(180),
            idle: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_network_s_limits_are_the_smaller_of_characters_and_octets() {
        assert_eq!(Limits::of(160, 160), Limits { septets: 160, units: 80 });
        assert_eq!(Limits::of(184, 160), Limits { septets: 182, units: 80 }, "TS 24.080's own");
        assert_eq!(Limits::of(182, 120), Limits { septets: 137, units: 60 });
    }

    #[test]
    fn who_calls_from_nowhere_known_gets_what_all_would_show() {
        let networks = Networks::new(vec![network("1", 160, 160), network("2", 182, 100)]);
        assert_eq!(networks.limits_of("1"), Limits { septets: 160, units: 80 });
        assert_eq!(networks.limits_of("2"), Limits { septets: 114, units: 50 });
        assert_eq!(networks.limits_of("3"), Limits { septets: 114, units: 50 });
        assert_eq!(Networks::default().limits_of("3"), Limits::GSM);
        let narrow = networks.within(Limits { septets: 130, units: 70 });
        assert_eq!(narrow.limits_of("1"), Limits { septets: 130, units: 70 });
        assert_eq!(narrow.limits_of("2"), Limits { septets: 114, units: 50 });
        let bearer = Networks::default().within(Limits { septets: 130, units: 70 });
        assert_eq!(bearer.tightest(), Limits { septets: 130, units: 70 });
    }
}
