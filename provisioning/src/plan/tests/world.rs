//! A gateway around a device: what it knows, what it remembers, and its clock.

use super::device::Device;
use crate::{
    Change, Circumstances, Drift, Held, Pattern, Plan, Presence, Rule, ValueKind, Wanted,
    WantedObject, WantedParameter, WantedRefresh, decide,
};
use jiff::{SignedDuration, Timestamp};
use model::{DataModel, Redacted};
use std::time::Duration;

/// As the daemon's default.
pub(super) const ROUNDS_MAX: u8 = 5;
/// Nothing goes round longer than this, whatever the bounds of rounds say.
const PLANS_MAX: usize = 40;

/// All that one device's sessions go through.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) device: Device,
    pub(super) known: DataModel,
    pub(super) held: Held,
    pub(super) wanted: Wanted,
    pub(super) now: Timestamp,
    pub(super) is_claimed: bool,
    pub(super) fingerprint: u64,
    pub(super) events: Vec<Box<str>>,
    /// Whether the next session begins from factory settings.
    pub(super) is_bootstrap: bool,
    /// What was told to have drifted.
    pub(super) drifted: Vec<Change>,
}

/// How a session went.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The last plan.
    pub(super) plan: Plan,
    /// How many calls it took.
    pub(super) calls: usize,
    pub(super) is_lost: bool,
    /// Whether anything was decided at all.
    pub(super) is_due: bool,
}

impl World {
    /// A device that was met and told everything, a while ago.
    pub(super) fn new(device: Device, wanted: Wanted) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let known = device.discovered(now);
        Self {
            device,
            known,
            held: Held::default(),
            wanted,
            now: now + SignedDuration::from_secs(60),
            is_claimed: true,
            fingerprint: 1,
            events: vec!["2 PERIODIC".into()],
            is_bootstrap: false,
            drifted: Vec::new(),
        }
    }

    pub(super) fn wait(&mut self, time: SignedDuration) {
        self.now += time;
    }

    /// Another wish.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.fingerprint += 1;
    }

    pub(super) fn circumstances(&self, session_began: Timestamp) -> Circumstances<'_> {
        Circumstances {
            now: self.now,
            session_began,
            events: &self.events,
            is_claimed: self.is_claimed,
            is_bootstrap: self.is_bootstrap,
            fingerprint: self.fingerprint,
            key: Some(Redacted(&[7; 32])),
            seed: 7,
            ..Circumstances::default()
        }
    }

    /// What would be done now.
    pub(super) fn plan(&self) -> Plan {
        let plan = decide(&self.wanted, &self.known, &self.held, self.circumstances(self.now));
        let again = decide(&self.wanted, &self.known, &self.held, self.circumstances(self.now));
        assert_eq!(plan, again, "the same arguments, the same plan");
        plan
    }

    /// A session in which nothing is decided where nothing is due, as in the daemon.
    pub(super) fn call(&mut self) -> Session {
        let is_new = self.held.wanted != self.fingerprint || self.is_bootstrap;
        if !is_new && !self.held.is_due(self.now, &self.events, self.is_claimed) {
            self.wait(SignedDuration::from_secs(1));
            return Session::default();
        }
        self.session()
    }

    /// A session, a second for each round.
    pub(super) fn session(&mut self) -> Session {
        let began = self.now;
        let before = self.device.calls.len();
        let mut held = std::mem::take(&mut self.held);
        held.begin(self.circumstances(began));
        let mut session = Session { is_due: true, ..Session::default() };
        for _ in 0..PLANS_MAX {
            let it = self.circumstances(began);
            session.plan = decide(&self.wanted, &self.known, &held, it);
            let again = decide(&self.wanted, &self.known, &held, it);
            assert_eq!(session.plan, again, "the same arguments, the same plan");
            self.drifted.extend(session.plan.drifted.iter().cloned());
            if !held.starts_round(&session.plan, ROUNDS_MAX, self.now) {
                held.settle(&self.wanted, &session.plan, self.circumstances(began));
                session.calls = self.device.calls.len() - before;
                self.end(held);
                return session;
            }
            let went = self.device.carry_out(&session.plan.steps, &mut self.known, self.now);
            self.wait(SignedDuration::from_secs(1));
            let it = self.circumstances(began);
            for (step, outcome) in session.plan.steps.iter().zip(&went) {
                let outcome = outcome.clone().unwrap_or_default();
                held.outcome(step, &outcome, it);
            }
            if went.iter().any(Option::is_none) {
                held.cut(self.now);
                session.is_lost = true;
                session.calls = self.device.calls.len() - before;
                self.end(held);
                return session;
            }
        }
        panic!("a session without an end: {:?}", session.plan);
    }

    /// What is remembered goes through the store.
    fn end(&mut self, held: Held) {
        let text = serde_json::to_string(&held).unwrap();
        self.held = serde_json::from_str(&text).unwrap();
        self.is_bootstrap = false;
        self.events = vec!["2 PERIODIC".into()];
        self.wait(SignedDuration::from_secs(1));
    }

    /// Factory settings: another tree, learned anew.
    pub(super) fn reset(&mut self, mut device: Device) {
        device.calls = std::mem::take(&mut self.device.calls);
        device.losses = std::mem::take(&mut self.device.losses);
        self.device = device;
        self.known = self.device.discovered(self.now);
        self.is_bootstrap = true;
        self.events = vec!["0 BOOTSTRAP".into(), "1 BOOT".into()];
    }
}

pub(super) fn rule(line: u32) -> Rule {
    Rule { profile: "test".into(), line }
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// A parameter with the defaults of a profile.
pub(super) fn parameter(path: &str, value: &str) -> WantedParameter {
    let path = Pattern::parse(path).ok().or_else(|| Pattern::below_instance(path)).unwrap();
    WantedParameter {
        path,
        value: Redacted(value.into()),
        kind: ValueKind::AsTheDevice,
        is_secret: false,
        drift: Drift::Mend,
        is_optional: false,
        verify_every: Duration::from_secs(86_400),
        window: None,
        rule: rule(1),
    }
}

pub(super) fn secret(path: &str, value: &str) -> WantedParameter {
    WantedParameter { is_secret: true, ..parameter(path, value) }
}

pub(super) fn object(table: &str, keys: &[(&str, &str)], values: &[(&str, &str)]) -> WantedObject {
    WantedObject {
        table: pattern(table),
        keys: keys.iter().map(|(name, it)| ((*name).into(), Redacted((*it).into()))).collect(),
        presence: Presence::Present,
        parameters: values.iter().map(|(name, value)| parameter(name, value)).collect(),
        rule: rule(9),
    }
}

pub(super) fn refresh(path: &str, every_s: u64) -> WantedRefresh {
    WantedRefresh {
        path: pattern(path),
        every: Duration::from_secs(every_s),
        on_events: Vec::new(),
        measure: None,
        rule: rule(20),
    }
}

pub(super) fn parameters(parameters: Vec<WantedParameter>) -> Wanted {
    Wanted { profiles: vec!["test".into()], parameters, ..Wanted::default() }
}

pub(super) fn objects(objects: Vec<WantedObject>) -> Wanted {
    Wanted { profiles: vec!["test".into()], objects, ..Wanted::default() }
}
