//! One question to the hub, from a device's names to the values that it is given.

use super::pauses::PAUSE_MIN;
use super::{Got, Hub, HubError, HubFault};
use crate::equipment::{Found, Inner, Values, later};
use crate::store::{EquipmentChange, HubAnswerRow, HubMemory, Operation};
use jiff::Timestamp;
use model::{DeviceId, Now, Tenant};
use parking_lot::Mutex;
use provisioning::equipment;
use provisioning::{Equipment, Subject};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tracing::{debug, warn};

/// Most names under which one device is asked for.
const NAMES_MAX: usize = 6;
/// For how long a device that the hub does not know is not asked for again: it is at its next Inform,
/// but one that restarts over and over is no flood.
pub(in crate::equipment) const UNKNOWN_FRESH: Duration = Duration::from_secs(5);

/// What came of a question.
pub(super) type Answer = Result<Found, Values>;

/// A device in its tenant, with the number of the changes before the question: what was asked before
/// a change is no answer to who asks after it.
type Whom = (Tenant, DeviceId, u32);

/// Questions under way: those of one device at once are one.
#[derive(Default)]
pub(super) struct Asking(Mutex<HashMap<Whom, Arc<OnceCell<Answer>>>>);

/// A question under way; forgotten when whoever asks has heard or has gone.
struct Question<'a> {
    asking: &'a Asking,
    whom: Whom,
    cell: Arc<OnceCell<Answer>>,
}

impl Asking {
    fn about(&self, tenant: &Tenant, device: &DeviceId, changes: u32) -> Question<'_> {
        let whom = (tenant.clone(), device.clone(), changes);
        let cell = Arc::clone(self.0.lock().entry(whom.clone()).or_default());
        Question { asking: self, whom, cell }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut asking = self.asking.0.lock();
        if asking.get(&self.whom).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell)) {
            asking.remove(&self.whom);
        }
    }
}

/// What the hub said last, opened.
struct Last {
    row: HubAnswerRow,
    equipment: Equipment,
}

impl Inner {
    /// Asks the hub for a device's values; together with whoever asks for the same.
    pub(in crate::equipment) async fn ask(
        &self,
        hub: &Hub,
        tenant: &Tenant,
        subject: &Subject<'_>,
        keys: &[Box<str>],
        changes: u32,
        now: Now,
    ) -> Answer {
        let question = hub.asking.about(tenant, subject.id, changes);
        let ask = || self.ask_alone(hub, tenant, subject, keys, now);
        question.cell.get_or_init(ask).await.clone()
    }

    async fn ask_alone(
        &self,
        hub: &Hub,
        tenant: &Tenant,
        subject: &Subject<'_>,
        keys: &[Box<str>],
        now: Now,
    ) -> Answer {
        let device = subject.id;
        let memory = self.store.hub_memory(tenant, device).await;
        let HubMemory { answer, overlay } =
            memory.map_err(|error| self.read_failed(&error, now))?;
        let laid_at = overlay.map(|overlay| overlay.changed_at);
        let last = answer.and_then(|row| {
            let equipment = self.open(row.sealed.expose());
            if equipment.is_none() {
                warn!(%device, "what the hub said last was sealed under another key");
            }
            Some(Last { equipment: equipment?, row })
        });
        for name in names(last.as_ref(), subject, keys) {
            let same = last.as_ref().filter(|last| *last.row.serial == *name);
            match hub.get(&name, same.and_then(|last| last.row.etag.as_deref())).await {
                Ok(Got::Unknown) => {}
                Ok(Got::NotReady) => {
                    let pause = hub.pauses.failed(tenant, device);
                    return Err(Values::NotReady { retry_at: later(now.wall, pause) });
                }
                Ok(Got::NotModified) if same.is_some() => {
                    hub.pauses.clear(tenant, device);
                    let equipment = last.map(|last| last.equipment).unwrap_or_default();
                    return Ok(self.found(hub, tenant, device, equipment, &name, laid_at).await);
                }
                Ok(Got::NotModified) => {
                    let error = HubFault::Odd.into();
                    return self.failed(hub, tenant, device, last, laid_at, error, now).await;
                }
                Ok(Got::Document { text, etag }) => {
                    let read = read(hub, device, text.expose(), &name, keys);
                    let Some(equipment) = read else {
                        hub.metrics.cached("failed");
                        let pause = hub.pauses.failed(tenant, device);
                        return self.make_do(tenant, device, last, laid_at, pause, now).await;
                    };
                    hub.pauses.clear(tenant, device);
                    self.keep(tenant, device, last, &equipment, &name, etag, now).await;
                    return Ok(self.found(hub, tenant, device, equipment, &name, laid_at).await);
                }
                Err(error) => {
                    return self.failed(hub, tenant, device, last, laid_at, error, now).await;
                }
            }
        }
        hub.pauses.clear(tenant, device);
        Err(Values::Unknown)
    }

    /// The hub did not answer: what it said last stands in.
    #[expect(clippy::too_many_arguments, reason = "a step of `ask_alone`, with what it knows")]
    async fn failed(
        &self,
        hub: &Hub,
        tenant: &Tenant,
        device: &DeviceId,
        last: Option<Last>,
        laid_at: Option<Timestamp>,
        error: HubError,
        now: Now,
    ) -> Answer {
        let wait = match error.fault {
            // Not this device's trouble.
            HubFault::Down | HubFault::Busy => {
                hub.metrics.cached("breaker");
                PAUSE_MIN
            }
            _ => {
                debug!(%device, fault = error.fault.code(), "the hub did not answer");
                hub.metrics.cached("failed");
                hub.pauses.failed(tenant, device).max(error.retry_after.unwrap_or_default())
            }
        };
        self.make_do(tenant, device, last, laid_at, wait, now).await
    }

    /// What there is without the hub.
    async fn make_do(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        last: Option<Last>,
        laid_at: Option<Timestamp>,
        wait: Duration,
        now: Now,
    ) -> Answer {
        let Some(Last { row, equipment }) = last else {
            return Err(Values::Unavailable { retry_at: later(now.wall, wait) });
        };
        let equipment = self.overlaid(tenant, device, equipment, laid_at).await;
        let (name, key, by) = (row.serial.clone(), key(&row.serial), "hub");
        Ok(Found { equipment, name, key, by, is_stale: true, fresh: Duration::ZERO })
    }

    /// What the hub says now.
    async fn found(
        &self,
        hub: &Hub,
        tenant: &Tenant,
        device: &DeviceId,
        equipment: Equipment,
        name: &str,
        laid_at: Option<Timestamp>,
    ) -> Found {
        let ttl = equipment.ttl.map(|ttl| Duration::from_secs(ttl.into()));
        let fresh = ttl.unwrap_or(hub.options.ttl);
        let equipment = self.overlaid(tenant, device, equipment, laid_at).await;
        let (name, key) = (name.into(), key(name));
        Found { equipment, name, key, by: "hub", is_stale: false, fresh }
    }

    /// Keeps what the hub said, unless it said the same before.
    #[expect(clippy::too_many_arguments, reason = "a step of `ask_alone`, with what it knows")]
    async fn keep(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        last: Option<Last>,
        equipment: &Equipment,
        name: &str,
        etag: Option<Box<str>>,
        now: Now,
    ) {
        let etag = etag.or_else(|| equipment.etag.as_deref().map(Into::into));
        let is_same = last.is_some_and(|last| {
            last.equipment == *equipment && last.row.etag == etag && *last.row.serial == *name
        });
        if is_same {
            return;
        }
        let row = HubAnswerRow {
            tenant: tenant.clone(),
            device: device.clone(),
            serial: name.into(),
            etag,
            fetched_at: now.wall,
            sealed: self.seal(equipment),
        };
        let keep = Operation::Equipment(EquipmentChange::KeepAnswer(row));
        if let Err(error) = self.writer.transact(vec![keep]).await {
            debug!(%device, %error, "the hub's answer is not kept; it is asked again");
        }
    }
}

/// The one spelling of a name under which the hub was asked.
pub(in crate::equipment) fn key(name: &str) -> Box<str> {
    equipment::key(name).unwrap_or_else(|| name.into())
}

/// The names under which the hub is asked, in turn: the one that it knew last, the serial as the device
/// says it, then the others.
fn names(last: Option<&Last>, subject: &Subject<'_>, keys: &[Box<str>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let known = last.map(|last| last.row.serial.to_string());
    let said = subject.facts.serial.as_deref().map(|serial| serial.trim().to_owned());
    let others = keys.iter().map(|key| equipment::asked_as(key));
    for name in known.into_iter().chain(said).chain(others) {
        if !name.is_empty() && !names.contains(&name) && names.len() < NAMES_MAX {
            names.push(name);
        }
    }
    names
}

/// Reads a document of the hub; one with a fault is refused whole.
fn read(
    hub: &Hub,
    device: &DeviceId,
    text: &[u8],
    asked: &str,
    keys: &[Box<str>],
) -> Option<Equipment> {
    let parsed = match Equipment::parse(text) {
        Ok(parsed) => parsed,
        Err(faults) => {
            hub.metrics.not_called("provision", "invalid");
            warn!(%device, %faults, "the hub's document does not hold; what it said before stays");
            return None;
        }
    };
    if !parsed.passed_over.is_empty() {
        hub.metrics.passed_over(parsed.passed_over.len());
        let fields = parsed.passed_over.join(", ");
        debug!(%device, fields, "fields of the hub's document are not known");
    }
    // An answer to another question, out of a cache in between, would give one customer another's
    // secrets.
    let said = key(&parsed.value.serial);
    if said != key(asked) && !keys.contains(&said) {
        hub.metrics.not_called("provision", "other_serial");
        warn!(%device, "the hub's document is of another serial; what it said before stays");
        return None;
    }
    Some(parsed.value)
}
