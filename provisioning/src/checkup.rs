//! What a technician asks before he leaves: is it online, as ordered, both networks on, the line
//! registered, the light strong enough, the firmware right?
//!
//! Judged from what is known alone. A reading that is too old is no reading: the answer is then that
//! nobody knows, never that all is well.

use crate::{Equipment, Held, Measured, Standing, Wanted, measured};
use jiff::{SignedDuration, Timestamp};
use model::{DataModel, Redacted};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// What is known of a device.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Whether it can be reached.
    pub is_online: bool,
    /// When it was heard last; it says its firmware whenever it is heard.
    pub last_seen_at: Option<Timestamp>,
    /// Why it could not be woken last, in plain words.
    pub not_woken: Option<&'a str>,
    /// The firmware that it runs.
    pub firmware: Option<&'a str>,
    /// What is remembered of its profile.
    pub held: &'a Held,
    /// What it should be.
    pub wanted: &'a Wanted,
    /// What is known of its data model.
    pub model: &'a DataModel,
    /// What the business keeps for it, where that is known.
    pub equipment: Option<&'a Equipment>,
    /// Now.
    pub now: Timestamp,
}

/// From where on something is not well. Levels are in dBm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Received light below this is weak.
    pub optical_weak_dbm: f64,
    /// Received light below this is too weak to work.
    pub optical_low_dbm: f64,
    /// Received light above this blinds the receiver.
    pub optical_high_dbm: f64,
    /// How old a reading may be.
    pub reading_age_max: Duration,
}

/// What the receivers of GPON's class B+ are sure to hear (ITU-T G.984.2, amendment 1), with 2 dB to
/// age; readings that profiles renew each hour.
impl Default for Limits {
    fn default() -> Self {
        Self {
            optical_weak_dbm: -25.0,
            optical_low_dbm: -27.0,
            optical_high_dbm: -8.0,
            reading_age_max: Duration::from_secs(3 * 3_600),
        }
    }
}

/// How something stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Nobody knows.
    Unknown,
    /// It works, or soon will.
    Warning,
    /// It does not.
    Failed,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How it stands.
    pub state: State,
    /// What was read or is known; null where nothing is. It never prints.
    pub value: Redacted<Value>,
    /// When that was known.
    pub read_at: Option<Timestamp>,
    /// Why it does not stand well, in plain words; empty when all is.
    pub cause: Box<str>,
}

/// All answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkup {
    /// Whether it can be reached.
    pub online: Check,
    /// Whether it is what its profiles say.
    pub profile: Check,
    /// Whether its network of 2.4 GHz is on.
    pub wifi_2g: Check,
    /// Whether its network of 5 GHz is on.
    pub wifi_5g: Check,
    /// Whether its telephone lines are registered.
    pub sip: Check,
    /// Whether its received light is strong enough.
    pub optical: Check,
    /// Whether it runs the firmware that it should.
    pub firmware: Check,
}

/// The measures that are asked for.
const WIFI_2G: &str = "wifi_2g_enabled";
const WIFI_5G: &str = "wifi_5g_enabled";
const SIP: &str = "sip_status";
const OPTICAL: &str = "optical_rx_dbm";

impl Checkup {
    /// Judges a device.
    #[must_use]
    pub fn of(facts: &Facts<'_>, limits: &Limits) -> Self {
        Self {
            online: online(facts),
            profile: profile(facts.held),
            wifi_2g: wifi(facts, limits, WIFI_2G, "2.4GHz"),
            wifi_5g: wifi(facts, limits, WIFI_5G, "5GHz"),
            sip: sip(facts, limits),
            optical: optical(facts, limits),
            firmware: firmware(facts),
        }
    }

    fn all(&self) -> [&Check; 7] {
        let Self { online, profile, wifi_2g, wifi_5g, sip, optical, firmware } = self;
        [online, profile, wifi_2g, wifi_5g, sip, optical, firmware]
    }

    /// The worst of all.
    #[must_use]
    pub fn overall(&self) -> State {
        self.all().into_iter().map(|check| check.state).max().unwrap_or(State::Unknown)
    }

    /// The parameters to read for answers that are new: those that stand for a measure of a check on
    /// this device, as far as its data model is known; each once.
    #[must_use]
    pub fn paths(wanted: &Wanted, known: &DataModel) -> Vec<Box<str>> {
        let mut paths = Vec::new();
        for refresh in &wanted.refreshes {
            let is_asked = refresh
                .measure
                .as_ref()
                .is_some_and(|measure| [WIFI_2G, WIFI_5G, SIP, OPTICAL].contains(&&*measure.name));
            if is_asked && !refresh.path.is_object() {
                for path in refresh.path.expand(known).paths {
                    if !paths.contains(&path) && known.get(&path).is_some_and(|it| !it.stale) {
                        paths.push(path);
                    }
                }
            }
        }
        paths
    }
}

impl Check {
    fn new(state: State, value: Value, read_at: Option<Timestamp>, cause: &str) -> Self {
        Self { state, value: Redacted(value), read_at, cause: cause.into() }
    }

    fn unknown(cause: &str) -> Self {
        Self::new(State::Unknown, Value::Null, None, cause)
    }
}

fn online(facts: &Facts<'_>) -> Check {
    let (state, cause) = match (facts.is_online, facts.not_woken) {
        (true, _) => (State::Ok, "".into()),
        (false, Some(why)) => (State::Failed, format!("not heard of lately, and not woken: {why}")),
        (false, None) => (State::Failed, "not heard of lately".to_owned()),
    };
    Check::new(state, facts.is_online.into(), facts.last_seen_at, &cause)
}

fn profile(held: &Held) -> Check {
    let (state, plain) = match held.standing {
        Standing::Converged => (State::Ok, ""),
        Standing::Partial => (State::Warning, "it refused or does not have some of what is wanted"),
        Standing::Pending => (State::Warning, "something is still to be done"),
        Standing::Held => (State::Warning, "something is to be done, and writing is on hold"),
        Standing::AwaitingApproval => {
            (State::Warning, "something is to be done, and a second person must agree")
        }
        Standing::AwaitingValues => (State::Warning, "the business does not say its values yet"),
        Standing::New => (State::Unknown, "it was not decided on yet"),
        Standing::Unmatched => (State::Failed, "no profile is for it"),
        Standing::Unknown => (State::Failed, "the business does not know it"),
        Standing::Stuck => (State::Failed, "it does not become as wanted"),
    };
    let cause = match (&*held.cause, state) {
        (_, State::Ok) | ("", _) => plain,
        (cause, _) => cause,
    };
    let value = json!({
        "standing": held.standing,
        "profiles": held.profiles,
        "revision": held.revision.to_string(),
    });
    let since = (held.standing != Standing::New).then_some(held.since);
    Check::new(state, value, since, cause)
}

/// The readings under one name. Where profiles of several layers measure it, those of the highest
/// layer that found any: a model's own place goes before the standard's.
fn readings(facts: &Facts<'_>, limits: &Limits, name: &str) -> Result<Vec<Measured>, Check> {
    let named = |it: &&crate::WantedRefresh| it.measure.as_ref().is_some_and(|m| *m.name == *name);
    let mut refreshes = facts.wanted.refreshes.iter().rev().filter(named).peekable();
    if refreshes.peek().is_none() {
        return Err(Check::unknown("no profile of it measures this"));
    }
    let found = refreshes.map(|refresh| {
        let alone = Wanted { refreshes: vec![refresh.clone()], ..Wanted::default() };
        measured(&alone, facts.model)
    });
    let Some(found) = found.into_iter().find(|found| !found.is_empty()) else {
        return Err(Check::unknown("it has no such thing, or has not told of it yet"));
    };
    let oldest = found.iter().map(|it| it.read_at).min();
    let age_max = SignedDuration::try_from(limits.reading_age_max).unwrap_or(SignedDuration::MAX);
    let is_old = |read_at| facts.now.duration_since(read_at) > age_max;
    match oldest.filter(|read_at| is_old(*read_at)) {
        Some(_) => {
            let value = found.first().map_or(Value::Null, |it| it.value.expose().clone());
            Err(Check::new(State::Unknown, value, oldest, "was read too long ago"))
        }
        None => Ok(found),
    }
}

/// The worst of several readings.
fn worst(found: Vec<Measured>, judge: impl Fn(&Value) -> (State, Box<str>)) -> Check {
    let judged = found.into_iter().map(|it| {
        let (state, cause) = judge(it.value.expose());
        Check { state, value: it.value, read_at: Some(it.read_at), cause }
    });
    let worst = judged.reduce(|worst, next| if next.state > worst.state { next } else { worst });
    worst.unwrap_or_else(|| Check::unknown("nothing was read"))
}

fn wifi(facts: &Facts<'_>, limits: &Limits, measure: &str, band: &str) -> Check {
    let of_band = |wifi: &&crate::equipment::Wifi| wifi.band == band;
    let ordered = facts.equipment.and_then(|it| it.wifi.iter().find(of_band));
    let is_ordered_off = ordered.is_some_and(|it| it.enable == Some(false));
    let found = match readings(facts, limits, measure) {
        Ok(found) => found,
        Err(unknown) => return unknown,
    };
    worst(found, |value| match (is_on(value), is_ordered_off) {
        (Some(true), false) => (State::Ok, "".into()),
        (Some(false), true) => (State::Ok, "is off, as ordered".into()),
        (Some(true), true) => (State::Warning, "is on, and ordered to be off".into()),
        (Some(false), false) => (State::Failed, "is off".into()),
        (None, _) => (State::Unknown, "says something else than on or off".into()),
    })
}

fn is_on(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(is_on) => return Some(*is_on),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    match &*text {
        "1" | "true" | "up" | "enabled" => Some(true),
        "0" | "false" | "down" | "disabled" => Some(false),
        _ => None,
    }
}

fn sip(facts: &Facts<'_>, limits: &Limits) -> Check {
    let is_on = |line: &crate::equipment::Voip| line.enable != Some(false);
    if facts.equipment.is_some_and(|it| !it.voip.iter().any(is_on)) {
        return Check::new(State::Ok, Value::Null, None, "no telephone line is ordered");
    }
    let found = match readings(facts, limits, SIP) {
        Ok(found) => found,
        Err(unknown) => return unknown,
    };
    // TR-104 (Amendment 2), Line.{i}.Status; models say `Registered` for `Up`, too.
    worst(found, |value| match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("up" | "registered") => (State::Ok, "".into()),
        Some("initializing" | "registering" | "testing" | "quiescent") => {
            (State::Warning, "is not registered yet".into())
        }
        Some("unregistering" | "error" | "disabled" | "unregistered" | "down") => {
            (State::Failed, "is not registered".into())
        }
        _ => (State::Unknown, "says a word that is not TR-104's".into()),
    })
}

fn optical(facts: &Facts<'_>, limits: &Limits) -> Check {
    let found = match readings(facts, limits, OPTICAL) {
        Ok(found) => found,
        Err(unknown) => return unknown,
    };
    worst(found, |value| match value.as_f64() {
        Some(level) if level > limits.optical_high_dbm => {
            (State::Failed, format!("blinds it: above {} dBm", limits.optical_high_dbm).into())
        }
        Some(level) if level < limits.optical_low_dbm => {
            (State::Failed, format!("is too weak: below {} dBm", limits.optical_low_dbm).into())
        }
        Some(level) if level < limits.optical_weak_dbm => {
            (State::Warning, format!("is weak: below {} dBm", limits.optical_weak_dbm).into())
        }
        Some(_) => (State::Ok, "".into()),
        None => (State::Unknown, "is no level".into()),
    })
}

fn firmware(facts: &Facts<'_>) -> Check {
    let wanted = facts.wanted.firmware.as_ref().map(|it| &*it.version);
    let value = json!({ "reported": facts.firmware, "wanted": wanted });
    let (state, cause) = match (facts.firmware, wanted) {
        (None, _) => (State::Unknown, "it did not say which it runs"),
        (Some(reported), Some(wanted)) if reported != wanted => {
            (State::Warning, "it is to run another")
        }
        (Some(_), _) => (State::Ok, ""),
    };
    Check::new(state, value, facts.last_seen_at, cause)
}

#[cfg(test)]
mod tests;
