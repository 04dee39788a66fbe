//! How a session's course ends: how the device stands, and what the business is told of it.

use super::Provisioner;
use super::kept::Lacking;
use super::run::{Known, Run, Stage};
use crate::profiles::Outcome;
use crate::registry::Device;
use jiff::Timestamp;
use model::{DataModel, Event, EventType, Json, Now};
use provisioning::Standing;
use provisioning::equipment::{Activated, NotTaken};
use serde::Serialize;
use serde_json::{Map, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use tracing::info;

/// How a provisioning ended, as the events tell it.
#[derive(Serialize)]
struct Ended<'a> {
    profile: Option<&'a str>,
    profiles: &'a [Box<str>],
    revision: String,
    reason: &'static str,
    standing: Standing,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    /// Parameters that were set, objects that were made or removed.
    applied: usize,
    refused: &'a [Lacking],
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<&'a str>,
    ip: IpAddr,
    requests: &'a [Box<str>],
}

impl Provisioner {
    /// Ends a course: settles how the device stands, tells it, keeps it.
    pub(super) async fn end(
        &self,
        run: &mut Run,
        model: &DataModel,
        barred: Option<Standing>,
        now: Now,
    ) {
        run.stage = Stage::Over;
        let device = self.parts.registry.get(&run.it.tenant, &run.it.device);
        let Some(device) = device else { return };
        stand(run, barred, now.wall);
        let standing = run.kept.held.standing;
        self.metrics.sessions.with_label_values(&[standing.as_str()]).inc();
        let is_as_wanted = matches!(standing, Standing::Converged | Standing::Partial);
        if is_as_wanted {
            run.awaits_firmware = self.see_to_firmware(run, &device, now).await;
        }
        if let Known::Later(at) = run.known {
            self.retries.put(&run.it.tenant, &run.it.device, at);
        }
        self.note_trial(run);
        // Who asked is told when there is an end.
        let is_end = matches!(standing, Standing::Converged | Standing::Partial | Standing::Stuck);
        let requests = if is_end { run.asked.ids() } else { &[] };
        let events = self.events(run, (&device, model), requests, now.wall);
        let is_told = !run.awaits_firmware && self.activate(run, &device).await;
        let was_from_factory = run.kept.from_factory_at;
        if is_as_wanted && is_told {
            run.kept.from_factory_at = None;
        }
        let is_other = standing != run.before.held.standing
            || run.kept.from_factory_at != run.before.from_factory_at
            || run.kept.held.adding != run.before.held.adding;
        if let Err(error) = self.keep(run, events, is_other).await {
            run.kept.from_factory_at = was_from_factory;
            info!(device = %run.it.device, %error, "how it stands is not kept; decided again later");
            return self.put_back(run);
        }
        self.waits.tell(run.asked.ids());
        if is_end {
            run.asked.told();
        }
    }

    /// Tells the trial of changed profiles, where there is one, how the device fared with them.
    fn note_trial(&self, run: &Run) {
        let outcome = match run.kept.held.standing {
            Standing::Stuck => Outcome::Failed,
            Standing::New
            | Standing::AwaitingValues
            | Standing::Pending
            | Standing::Held
            | Standing::AwaitingApproval => return,
            _ if run.kept.refuses_news() => Outcome::Failed,
            _ => Outcome::Converged,
        };
        self.note(run, outcome);
    }

    pub(super) fn note(&self, run: &Run, outcome: Outcome) {
        let (tenant, device) = (&run.it.tenant, &run.it.device);
        self.parts.profiles.note(tenant, device, run.wanted.revision, outcome);
    }

    /// Has the business told that a device from factory settings is as wanted. False when that is to
    /// be tried again.
    async fn activate(&self, run: &Run, device: &Device) -> bool {
        let Known::Values { serial, .. } = &run.known else { return false };
        let standing = run.kept.held.standing;
        let (Standing::Converged | Standing::Partial, Some(at)) =
            (standing, run.kept.from_factory_at)
        else {
            return true;
        };
        let held = &run.kept.held;
        let refused = |it: &Lacking| NotTaken { path: it.path.clone(), cause: it.cause.clone() };
        let (tenant, id) = (&run.it.tenant, &run.it.device);
        let activated = Activated {
            serial: serial.clone(),
            device: id.clone(),
            reason: "bootstrap".into(),
            profile: held.profiles.last().cloned(),
            revision: Some(held.revision.to_string().into()),
            refused: run.kept.lacking.iter().map(refused).collect(),
            firmware: device.facts.software_version.clone(),
            ip: Some(run.it.from),
        };
        let key = format!("{}/{}/{at}", tenant.as_str(), id.as_str());
        let told = self.parts.equipments.activated(tenant, &activated, &key).await;
        if let Err(error) = &told {
            info!(device = %id, %error, "the business is not told yet that it is as wanted");
        }
        told.is_ok()
    }

    /// What is told of this session.
    fn events(
        &self,
        run: &Run,
        (device, model): (&Device, &DataModel),
        requests: &[Box<str>],
        now: Timestamp,
    ) -> Vec<Event> {
        let event = |kind, data: Json| Event {
            tenant: run.it.tenant.clone(),
            device: run.it.device.clone(),
            kind,
            time: now,
            data,
            facts: None,
        };
        let mut events = Vec::new();
        for (paths, action) in [(&run.mended, "mended"), (&run.reported, "reported")] {
            if !paths.is_empty() {
                let data = json!({ "paths": paths, "action": action });
                events.push(event(EventType::DEVICE_DRIFTED, Json::of(&data)));
            }
        }
        if run.kept.is_unknown && !run.before.is_unknown {
            let data = json!({
                "serial": device.facts.serial,
                "aliases": device.facts.aliases,
                "model": device.facts.model,
                "ip": run.it.from,
            });
            events.push(event(EventType::DEVICE_UNKNOWN, Json::of(&data)));
        }
        if let Some((kind, data)) = outcome(run, device, requests) {
            events.push(event(kind, data));
        }
        if run.has_refreshed
            && let Some(data) = measures(run, model)
        {
            events.push(event(EventType::DEVICE_MEASURED, data));
        }
        events
    }
}

/// How it ended, where that is news.
fn outcome(run: &Run, device: &Device, requests: &[Box<str>]) -> Option<(EventType, Json)> {
    let (held, before) = (&run.kept.held, &run.before.held);
    let is_asked = !requests.is_empty();
    let is_news = held.standing != before.standing || is_asked;
    let ended = |cause| {
        Json::of(&Ended {
            profile: held.profiles.last().map(|name| &**name),
            profiles: &held.profiles,
            revision: held.revision.to_string(),
            reason: reason(run),
            standing: held.standing,
            cause,
            applied: run.applied,
            refused: &run.kept.lacking,
            firmware: device.facts.software_version.as_deref(),
            ip: run.it.from,
            requests,
        })
    };
    let is_new = run.kept.from_factory_at.is_some();
    match held.standing {
        // It is told of when it runs its firmware, too.
        Standing::Converged | Standing::Partial if run.awaits_firmware && !is_asked => None,
        Standing::Converged | Standing::Partial
            if is_news || is_new || run.applied > 0 || lacks_other(run) =>
        {
            Some((EventType::DEVICE_PROVISIONED, ended(None)))
        }
        Standing::Stuck if is_news || held.cause != before.cause => {
            Some((EventType::DEVICE_PROVISION_FAILED, ended(Some(&*held.cause))))
        }
        _ => None,
    }
}

/// Whether it lacks other things than before; when they are tried again is no news.
fn lacks_other(run: &Run) -> bool {
    let paths = |lacking: &[Lacking]| -> Vec<(Box<str>, Option<u32>)> {
        lacking.iter().map(|it| (it.path.clone(), it.code)).collect()
    };
    paths(&run.kept.lacking) != paths(&run.before.lacking)
}

/// How the device stands, with what the decision cannot know.
fn stand(run: &mut Run, barred: Option<Standing>, now: Timestamp) {
    if let Some((standing, cause)) = beside(run, barred) {
        if let (Standing::AwaitingValues, Known::Later(at)) = (standing, &run.known) {
            run.kept.due_by(*at);
        }
        run.kept.held.standing = standing;
        run.kept.held.cause = cause.into();
    }
    let (held, before) = (&mut run.kept.held, &run.before.held);
    held.since = if held.standing == before.standing { before.since } else { now };
    // A business that does not answer says nothing else than before.
    (run.kept.values, run.kept.is_unknown) = match run.known {
        Known::Values { version, .. } => (version, false),
        Known::Nothing => (0, true),
        Known::Taken => (0, false),
        Known::Later(_) => (0, run.before.is_unknown),
    };
}

/// How it stands by what the decision does not know, and why; `None`: as was decided.
fn beside(run: &Run, barred: Option<Standing>) -> Option<(Standing, &'static str)> {
    if let Some(barred) = barred {
        let cause = match barred {
            Standing::Held => "writing to it is on hold",
            _ => "more devices were changed in this hour than one person may",
        };
        return Some((barred, cause));
    }
    let is_quiet = matches!(
        run.kept.held.standing,
        Standing::New | Standing::Unmatched | Standing::Converged | Standing::Partial
    );
    let found = match &run.known {
        Known::Nothing => (Standing::Unknown, "the business does not know it"),
        Known::Taken => (Standing::Unknown, "another device holds the claim of its serial"),
        Known::Later(_) => (Standing::AwaitingValues, "the business has no values for it yet"),
        Known::Values { .. } if run.wanted.profiles.is_empty() => {
            (Standing::Unmatched, "no profile is for it")
        }
        Known::Values { .. } => return None,
    };
    is_quiet.then_some(found)
}

/// Why it was provisioned.
fn reason(run: &Run) -> &'static str {
    if run.kept.from_factory_at.is_some() {
        "bootstrap"
    } else if run.is_requested {
        "requested"
    } else if run.fingerprint != run.before.held.applied {
        "changed"
    } else {
        "drift"
    }
}

/// What the profiles measure; nothing where nothing was read in this session.
fn measures(run: &Run, model: &DataModel) -> Option<Json> {
    let mut measures = Map::new();
    let mut names = BTreeSet::new();
    let mut is_new = false;
    for it in provisioning::measured(&run.wanted, model) {
        // Where several places have one name, the first is told.
        if names.insert(it.name.clone()) {
            is_new |= it.read_at >= run.it.began;
            let value = json!({ "value": it.value.expose(), "read_at": it.read_at });
            measures.insert(it.name.into(), value);
        }
    }
    is_new.then(|| Json::of(&json!({ "measures": measures })))
}
