//! What operators order: rollouts made, paused, resumed, begun anew, aborted.

use super::book::is_running;
use super::offer::candidate;
use super::{Entry, Source, Upgrades};
use crate::clock;
use crate::registry::Filter;
use crate::store::{FirmwareOperation, Operation, RolloutDevice, WriteError};
use firmware::{
    Order, OrderError, OrderRefused, Refusal, Rollout, Stage, Target, admit, is_signed,
};
use jiff::Timestamp;
use model::{DeviceId, Json, Protocol, Tenant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most rollouts that are open at once, of all tenants.
const OPEN_MAX: usize = 1_000;
/// Most devices of all open rollouts: some 250 bytes each.
const DEVICES_MAX: u64 = 2_000_000;
/// Devices in one write: a step of milliseconds, so that sessions do not wait for it.
const CHUNK: usize = 2_000;
/// Devices that are looked at in one go.
const LOOKS: usize = 5_000;

/// What an operator orders.
#[derive(Clone, Debug)]
pub struct NewRollout {
    /// Whose.
    pub tenant: Tenant,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// Who orders it.
    pub actor: Box<str>,
    /// What makes ordering twice the same as ordering once.
    pub key: Option<Box<str>>,
    /// The order; `sha256` and `version` are taken from the catalogue.
    pub order: Order,
    /// When it may begin on a device, as it was given.
    pub window: Option<Json>,
}

/// A rollout that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// It.
    pub entry: Arc<Entry>,
    /// Devices that run the version already, and are no part of it.
    pub already: u32,
    /// Devices that are refused the image, by the reason's word.
    pub refused: BTreeMap<&'static str, u32>,
    /// Whether it was made now, and not under the same key before.
    pub is_new: bool,
}

/// Why an order is not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OrderFault {
    /// The catalogue has no such image.
    #[error("there is no image of that name in the catalogue")]
    NoSuchImage,
    /// Nobody whose signature is demanded has signed it.
    #[error("no key of `firmware.keys` has signed the image")]
    NotSigned,
    /// It is given to nobody.
    #[error("{0}")]
    Refused(Refusal),
    /// It cannot be carried out.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// There is no such rollout.
    #[error("there is no such rollout")]
    NoSuchRollout,
    /// It does not stand so that this could be done.
    #[error(transparent)]
    State(#[from] OrderRefused),
    /// There are too many.
    #[error("{OPEN_MAX} rollouts are open, or {DEVICES_MAX} devices are in them")]
    TooMany,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] WriteError),
}

/// Whom an order reaches.
#[derive(Default)]
pub(super) struct Reach {
    pub(super) devices: Vec<DeviceId>,
    pub(super) refused: Vec<(DeviceId, Box<str>)>,
    pub(super) codes: BTreeMap<&'static str, u32>,
    pub(super) already: u32,
}

impl Upgrades {
    /// Makes a rollout, and begins it: to the end, also when the caller goes away.
    ///
    /// # Errors
    ///
    /// When the image may be given to nobody, the order is none, or there are too many.
    pub async fn order(self: &Arc<Self>, new: NewRollout) -> Result<Made, OrderFault> {
        let upgrades = Arc::clone(self);
        let made = tokio::spawn(async move { upgrades.make(new).await });
        // It fails only by a panic, which ends the process.
        made.await.unwrap_or(Err(OrderFault::Store(WriteError::Closed)))
    }

    async fn make(self: &Arc<Self>, mut new: NewRollout) -> Result<Made, OrderFault> {
        let _turn = self.making.lock().await;
        let made = |entry, is_new, reach: Reach| Made {
            entry,
            already: reach.already,
            refused: reach.codes,
            is_new,
        };
        if let Some(key) = &new.key
            && let Some(entry) = self.book.by_key(&new.tenant, key)
        {
            return Ok(made(entry, false, Reach::default()));
        }
        let row = self.parts.transfers.image(&new.tenant, &new.order.image);
        let image = row.ok_or(OrderFault::NoSuchImage)?.image.clone();
        if !is_signed(&self.options.keys, image.sha256, image.signature.as_ref()) {
            return Err(OrderFault::NotSigned);
        }
        let version = image.version.as_ref().ok_or(OrderFault::Refused(Refusal::NamesNoVersion))?;
        new.order.version = version.as_str().into();
        new.order.sha256 = image.sha256.to_string().into();
        new.order.check()?;
        let force = new.order.force;
        if image.model.is_none() && image.group.is_none() && !force {
            return Err(OrderFault::Refused(Refusal::NamesNoModel));
        }
        let record = self.book.record(&new.tenant, &image.name, &new.order.sha256, None);
        if self.options.trust.is_lost(record) && !force {
            let (failed, tried) = (record.failed, record.tried);
            return Err(OrderFault::Refused(Refusal::FailedElsewhere { failed, tried }));
        }
        let target = new.order.target.clone().unwrap_or_default();
        let reach = self.reach(&new.tenant, target, image, force).await;
        let open = self.book.open();
        let devices: u64 = open.iter().map(|it| u64::from(it.with(|it| it.total().total()))).sum();
        if open.len() >= OPEN_MAX || devices + reach.devices.len() as u64 > DEVICES_MAX {
            return Err(OrderFault::TooMany);
        }
        let now = self.now();
        let id = clock::new_name(now);
        let NewRollout { tenant, name, actor, key, order, window } = new;
        let (mut reach, name_of) = (reach, id.clone());
        let given = (std::mem::take(&mut reach.devices), std::mem::take(&mut reach.refused));
        // Many hashes: not where sessions are served.
        let begun = tokio::task::spawn_blocking(move || {
            Rollout::new(&name_of, order, given.0, given.1, now)
        });
        let rollout = begun.await.map_err(|_| WriteError::Closed)?;
        let source = Source::Order;
        let head = Head { tenant, id, name, actor, key, source, window };
        let entry = self.keep(head, rollout).await?;
        Ok(made(entry, true, reach))
    }

    /// Whom an order is for, and whether each may be given the image.
    pub(super) async fn reach(
        self: &Arc<Self>,
        tenant: &Tenant,
        target: Target,
        image: firmware::Image,
        force: bool,
    ) -> Reach {
        let (upgrades, tenant) = (Arc::clone(self), tenant.clone());
        let found = tokio::task::spawn_blocking(move || {
            let filter = filter(target);
            let mut reach = Reach::default();
            let mut after = None;
            loop {
                let registry = &upgrades.parts.registry;
                let part = registry.part(&tenant, &filter, after.as_ref(), LOOKS, LOOKS);
                for device in part.devices {
                    if device.id.protocol() == Protocol::Ussd {
                        continue;
                    }
                    // What failed elsewhere was asked before, once for all.
                    let none = firmware::Record::default();
                    let trust = upgrades.options.trust;
                    match admit(&image, candidate(&device), none, trust, force) {
                        Ok(_) => reach.devices.push(device.id),
                        Err(Refusal::AlreadyRuns) => reach.already += 1,
                        Err(refusal) => {
                            *reach.codes.entry(refusal.code()).or_default() += 1;
                            reach.refused.push((device.id, refusal.to_string().into()));
                        }
                    }
                }
                after = part.next;
                if after.is_none() {
                    return reach;
                }
            }
        });
        found.await.unwrap_or_default()
    }

    /// Keeps a new rollout: its devices first, so that it is whole once it is there.
    pub(super) async fn keep(
        &self,
        head: Head,
        mut rollout: Rollout,
    ) -> Result<Arc<Entry>, WriteError> {
        let tenant = head.tenant.clone();
        let devices: Vec<RolloutDevice> = rollout
            .attempts()
            .map(|(device, wave, attempt)| {
                let (device, attempt) = (device.clone(), attempt.clone());
                RolloutDevice { device, wave, attempt }
            })
            .collect();
        for chunk in devices.chunks(CHUNK) {
            let put = FirmwareOperation::PutDevices {
                tenant: tenant.clone(),
                rollout: rollout.id().into(),
                devices: chunk.to_vec(),
            };
            self.parts.writer.transact(vec![Operation::Firmware(put)]).await?;
        }
        rollout.take_changed();
        let (actor, id) = (head.actor.clone(), head.id.clone());
        let detail = detail(&rollout, devices.len());
        let audit = Operation::audit(&tenant, self.now(), &actor, "rollout.create", &id, detail);
        let entry = Arc::new(Entry::new(head, rollout));
        let row = entry.with(|it| entry.row(it));
        let put = Operation::Firmware(FirmwareOperation::PutRollout(Box::new(row)));
        self.parts.writer.transact(vec![put, audit]).await?;
        self.book.put(&entry);
        Ok(entry)
    }

    /// Stops a rollout until it is resumed. Offers that no device has heard are taken back.
    pub async fn pause(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
    ) -> Result<Arc<Entry>, OrderFault> {
        let reason = format!("by {actor}");
        let entry = self.ask(tenant, id, actor, "rollout.pause", |it, _| it.pause(reason)).await?;
        self.take_back(&entry, "the rollout was paused").await;
        Ok(entry)
    }

    /// Lets a paused rollout go on; failures so far are forgiven.
    pub async fn resume(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
    ) -> Result<Arc<Entry>, OrderFault> {
        self.ask(tenant, id, actor, "rollout.resume", Rollout::resume).await
    }

    /// Begins the next wave by hand.
    pub async fn next(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
    ) -> Result<Arc<Entry>, OrderFault> {
        self.ask(tenant, id, actor, "rollout.next", Rollout::next).await
    }

    /// Ends a rollout: no download begins any more once this returns.
    pub async fn abort(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
    ) -> Result<Arc<Entry>, OrderFault> {
        let reason = format!("by {actor}");
        let entry = self.ask(tenant, id, actor, "rollout.abort", |it, _| it.abort(reason)).await?;
        self.take_back(&entry, "the rollout was aborted").await;
        Ok(entry)
    }

    async fn ask(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
        action: &str,
        order: impl FnOnce(&mut Rollout, Timestamp) -> Result<(), OrderRefused>,
    ) -> Result<Arc<Entry>, OrderFault> {
        let entry = self.book.get(tenant, id).ok_or(OrderFault::NoSuchRollout)?;
        let _turn = entry.saving.lock().await;
        let now = self.now();
        // In force at once: whoever offers looks here.
        let row = entry.with(|rollout| {
            order(rollout, now)?;
            rollout.take_changed();
            Ok::<_, OrderRefused>(entry.row(rollout))
        })?;
        let nothing = Json::empty_object();
        let audit = Operation::audit(tenant, now, actor, action, id, nothing);
        let put = Operation::Firmware(FirmwareOperation::PutRollout(Box::new(row)));
        if let Err(error) = self.parts.writer.transact(vec![put, audit]).await {
            entry.with(|rollout| {
                rollout.mark_changed();
                // Who was told that it failed shall not see it go on.
                let _ = rollout.pause("an order could not be kept");
            });
            return Err(error.into());
        }
        drop(_turn);
        Ok(entry)
    }

    /// Takes back what was offered and not heard.
    pub(super) async fn take_back(&self, entry: &Arc<Entry>, cause: &str) {
        let offered: Vec<DeviceId> = entry.with(|rollout| {
            let offered = rollout.attempts().filter(|(_, _, it)| it.stage == Stage::Offered);
            offered.map(|(device, ..)| device.clone()).collect()
        });
        for device in offered {
            let key = (entry.tenant.clone(), device.clone());
            // Who is at it sees for himself that the rollout has stopped.
            if let Some(_busy) = self.begin(&key)
                && !is_running(entry)
            {
                self.withdraw(entry, &device, cause).await;
            }
        }
    }
}

fn detail(rollout: &Rollout, devices: usize) -> Json {
    let order = rollout.order();
    Json::of(&serde_json::json!({
        "image": order.image, "version": order.version, "target": order.target,
        "waves": order.waves, "force": order.force, "devices": devices,
    }))
}

/// What a rollout is called and where it comes from.
pub(super) struct Head {
    pub(super) tenant: Tenant,
    pub(super) id: Box<str>,
    pub(super) name: Option<Box<str>>,
    pub(super) actor: Box<str>,
    pub(super) key: Option<Box<str>>,
    pub(super) source: Source,
    pub(super) window: Option<Json>,
}

/// Whom a target names: devices that are told to download, and boards, which ask.
pub(super) fn filter(target: Target) -> Filter {
    let Target { model, tag, group, customer, q } = target;
    Filter { protocol: None, tag, model, q, customer, group, standing: None }
}
