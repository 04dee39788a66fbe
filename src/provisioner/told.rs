//! How a session's course ends: how the device stands, and what the business is told of it.

use super::kept::Lacking;
use super::run::{Known, Run, Stage};
use super::{Provisioner, word};
use crate::profiles::Outcome;
use crate::registry::Device;
use jiff::Timestamp;
use model::{DataModel, Event, EventType, Json, Now};
use provisioning::Standing;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use tracing::info;

/// What the business waits to hear of a device from factory settings, and the event tells.
#[derive(Serialize)]
struct Provisioned<'a> {
    profile: &'a str,
    profiles: &'a [Box<str>],
    revision: String,
    reason: &'static str,
    standing: &'static str,
    /// Parameters that were set, objects that were made or removed.
    applied: usize,
    refused: &'a [Lacking],
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<&'a str>,
    ip: IpAddr,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
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
        self.metrics.sessions.with_label_values(&[word(standing)]).inc();
        let is_as_wanted = matches!(standing, Standing::Converged | Standing::Partial);
        if is_as_wanted {
            self.see_to_firmware(run, &device, now).await;
        }
        if let Known::Later(at) = run.known {
            self.retries.put(&run.it.tenant, &run.it.device, at);
        }
        self.note_trial(run);
        // Who asked is told when there is an end.
        let is_end = matches!(standing, Standing::Converged | Standing::Partial | Standing::Stuck);
        let requests = if is_end { run.asked.ids() } else { &[] };
        let events = self.events(run, (&device, model), requests, now.wall);
        let is_told = self.activate(run, &device).await;
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
        let (held, before) = (&run.kept.held, &run.before.held);
        let is_new = |path: &str| !before.refused.iter().any(|it| *it.path == *path);
        let outcome = match held.standing {
            Standing::Stuck => Outcome::Failed,
            Standing::New
            | Standing::AwaitingValues
            | Standing::Pending
            | Standing::Held
            | Standing::AwaitingApproval => return,
            _ if held.refused.iter().any(|it| is_new(&it.path)) => Outcome::Failed,
            _ => Outcome::Converged,
        };
        let (tenant, device) = (&run.it.tenant, &run.it.device);
        self.parts.profiles.note(tenant, device, held.revision, outcome);
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
        let body = Json::of(&json!({
            "serial": serial,
            "device": run.it.device,
            "reason": "bootstrap",
            "profile": held.profiles.last(),
            "revision": held.revision.to_string(),
            "refused": refused(&run.kept.lacking),
            "firmware": device.facts.software_version,
            "ip": run.it.from,
        }));
        let (tenant, id) = (&run.it.tenant, &run.it.device);
        let key = format!("{}/{}/{at}", tenant.as_str(), id.as_str());
        let told = self.parts.equipments.activated(tenant, id, serial, &key, body).await;
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
    match held.standing {
        Standing::Converged | Standing::Partial
            if is_news || run.applied > 0 || lacks_other(run) =>
        {
            let provisioned = Provisioned {
                profile: held.profiles.last().map_or("", |name| name),
                profiles: &held.profiles,
                revision: held.revision.to_string(),
                reason: reason(run),
                standing: word(held.standing),
                applied: run.applied,
                refused: &run.kept.lacking,
                firmware: device.facts.software_version.as_deref(),
                ip: run.it.from,
                requests,
            };
            Some((EventType::DEVICE_PROVISIONED, Json::of(&provisioned)))
        }
        Standing::Stuck if is_news || held.cause != before.cause => {
            let data = json!({
                "profile": held.profiles.last(),
                "profiles": held.profiles,
                "revision": held.revision.to_string(),
                "reason": reason(run),
                "cause": held.cause,
                "refused": refused(&run.kept.lacking),
                "requests": requests,
            });
            Some((EventType::DEVICE_PROVISION_FAILED, Json::of(&data)))
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

/// What a device lacks, as the business is told: paths and causes.
fn refused(lacking: &[Lacking]) -> Vec<Value> {
    lacking.iter().map(|it| json!({ "path": it.path, "cause": it.cause })).collect()
}

/// How the device stands, with what the decision cannot know.
fn stand(run: &mut Run, barred: Option<Standing>, now: Timestamp) {
    let held = &mut run.kept.held;
    let is_quiet = matches!(
        held.standing,
        Standing::New | Standing::Unmatched | Standing::Converged | Standing::Partial
    );
    if let Some(barred) = barred {
        held.standing = barred;
        held.cause = match barred {
            Standing::Held => "writing to it is on hold".into(),
            _ => "more devices were changed in this hour than one person may".into(),
        };
    } else if is_quiet {
        match run.known {
            Known::Nothing => {
                held.standing = Standing::Unknown;
                held.cause = "the business does not know it".into();
            }
            Known::Taken => {
                held.standing = Standing::Unknown;
                held.cause = "another device holds the claim of its serial".into();
            }
            Known::Later(at) => {
                held.standing = Standing::AwaitingValues;
                held.cause = "the business has no values for it yet".into();
                run.kept.due_by(at);
            }
            Known::Values { .. } if run.wanted.profiles.is_empty() => {
                held.standing = Standing::Unmatched;
                held.cause = "no profile is for it".into();
            }
            Known::Values { .. } => {}
        }
    }
    let held = &mut run.kept.held;
    let before = &run.before.held;
    held.since = if held.standing == before.standing { before.since } else { now };
    // A business that does not answer says nothing else than before.
    (run.kept.values, run.kept.is_unknown) = match run.known {
        Known::Values { version, .. } => (version, false),
        Known::Nothing => (0, true),
        Known::Taken => (0, false),
        Known::Later(_) => (0, run.before.is_unknown),
    };
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
