//! Rollouts that stand because a profile or a group wants an image: devices come to them one by one.
//! The same machine as for an order: the same refusals, pauses and windows. When too many devices
//! fail with the image it is given to nobody else until an operator resumes.

use super::offer::Unfit;
use super::orders::{Head, filter};
use super::{Entry, Key, Source, Upgrade, Upgrades};
use crate::clock;
use crate::registry::Device;
use crate::store::{ImageRow, WriteError};
use firmware::{Brake, ImageName, Order, Refusal, Rollout, RolloutState, Sha256, Stage};
use jiff::Timestamp;
use model::{DeviceId, Json, Tenant};
use provisioning::{Subject, WantedFirmware, Window};
use std::sync::Arc;
use tracing::debug;

/// Failures after which a device is left alone: at 10, 20 and 40 minutes' distance, and then once
/// every some hours, for a day or two.
const TRIES_MAX: u16 = 8;

impl Upgrades {
    /// Sees to it that a device comes to run what its profile wants; called in each session in which
    /// its profile is decided, when its parameters are as wanted. Makes the command when it is time:
    /// after [`Upgrade::UnderWay`] the device has one in its queue. One that `is_new` comes from factory
    /// settings: what it is told is none of the hour's changes.
    pub async fn see_to(
        self: &Arc<Self>,
        tenant: &Tenant,
        subject: &Subject<'_>,
        wanted: &WantedFirmware,
        is_new: bool,
    ) -> Upgrade {
        let (upgrades, key) = (Arc::clone(self), (tenant.clone(), subject.id.clone()));
        let runs = subject.facts.software_version.as_deref().map(str::trim);
        let is_right = runs == Some(wanted.version.trim());
        if is_right && !self.book.is_concerned(&key) {
            return Upgrade::Right;
        }
        let wanted = wanted.clone();
        let seen_to = tokio::spawn(async move {
            let Some(device) = upgrades.parts.registry.get(&key.0, &key.1) else {
                return Upgrade::Refused { cause: "the device is not known".into() };
            };
            let _busy = upgrades.begin_in_turn(&key).await;
            let wish = Wish::of(&wanted);
            if is_right {
                upgrades.leave(&key, &wish.source, |it| it.order().version != wanted.version).await;
                return Upgrade::Right;
            }
            let joined = upgrades.join(&device, &wish).await;
            let own = joined.as_ref().ok().map(|it| it.id.clone());
            upgrades.leave(&key, &wish.source, |it| own.as_deref() != Some(it.id())).await;
            match joined {
                Err(upgrade) => upgrade,
                Ok(entry) => {
                    upgrades.follow(&entry, &key.1).await;
                    upgrades.offer(&entry, &device, wish.window, !is_new).await
                }
            }
        });
        let panicked = || Upgrade::Refused { cause: "the daemon is stopping".into() };
        seen_to.await.unwrap_or_else(|_| panicked())
    }

    /// What [`Self::see_to`] would come to, without any of it; `None` when nothing is to be done.
    pub fn foresee(&self, device: &Device, wanted: &WantedFirmware) -> Option<Foresight> {
        let runs = device.facts.software_version.as_deref().map(str::trim);
        if runs == Some(wanted.version.trim()) {
            return None;
        }
        let wish = Wish::of(wanted);
        let Some(row) = self.image_of(device, &wish) else {
            return Some(Foresight::hindered("no_image", wish.no_image(), None));
        };
        let foreseen = match self.fits(device, &row, &wish) {
            Ok(()) => self.foresee_turn(device, &row, &wish),
            Err(Unfit::Refusal(Refusal::AlreadyRuns)) => return None,
            Err(unfit) => Foresight::hindered(unfit.code(), unfit.to_string(), None),
        };
        Some(Foresight { image: Some(row.image.name.clone()), ..foreseen })
    }

    /// Whether it would be a device's turn that may be given the image.
    fn foresee_turn(&self, device: &Device, row: &ImageRow, wish: &Wish<'_>) -> Foresight {
        let (image, now) = (&row.image, self.now());
        let sha256 = image.sha256.to_string();
        let entry = self.book.standing(&device.tenant, &wish.source, &image.name, &sha256);
        let hindered = entry.and_then(|entry| {
            entry.with(|it| {
                let attempt = it.attempt(&device.id).map(|(_, attempt)| attempt);
                if attempt.is_some_and(|it| it.stage.is_under_way()) {
                    return Some(Foresight { is_under_way: true, ..Foresight::default() });
                }
                if it.state() != RolloutState::Running {
                    let reason = it.progress().reason.clone().unwrap_or_default();
                    let cause = format!("the rollout is {}: {reason}", it.state().as_str());
                    return Some(Foresight::hindered(it.state().as_str(), cause, None));
                }
                let failed = attempt.filter(|it| it.stage == Stage::Failed)?;
                if failed.not_before.is_some_and(|until| until <= now) {
                    return None;
                }
                let cause = failed.cause.clone().unwrap_or_default();
                Some(Foresight::hindered("failed", cause, failed.not_before))
            })
        });
        let window = wish.window.filter(|it| !it.is_open(now));
        let waits = || {
            let opens_at = Some(window?.opens_at(now)).filter(|at| *at > now);
            Some(Foresight::hindered("window", "waits for its window", opens_at))
        };
        hindered.or_else(waits).unwrap_or_default()
    }

    /// Puts a device into the rollout that stands for what is wanted of it. Whoever calls holds the
    /// right to make its steps.
    pub(super) async fn join(
        &self,
        device: &Device,
        wish: &Wish<'_>,
    ) -> Result<Arc<Entry>, Upgrade> {
        let refused = |cause: String| Upgrade::Refused { cause: cause.into() };
        let row = self.image_of(device, wish).ok_or_else(|| refused(wish.no_image()))?;
        let unfit = match self.fits(device, &row, wish) {
            Ok(()) => None,
            Err(Unfit::Refusal(Refusal::AlreadyRuns)) => return Err(Upgrade::Right),
            Err(unfit) => Some(unfit.to_string()),
        };
        let entry = self.standing(&device.tenant, &row, wish).await.map_err(|error| {
            debug!(device = %device.id, %error, "what is wanted was not kept; tried again");
            super::offer::waits(self.now(), "the store is full")
        })?;
        entry.set_window(wish.window);
        let id = &device.id;
        let stage = entry.with(|it| it.attempt(id).map(|(_, it)| it.stage));
        let joined = match (stage, &unfit) {
            (None, _) => self.add(&entry, id, unfit.as_deref()).await,
            (Some(Stage::Refused | Stage::Confirmed), None) => {
                self.step(&entry, id, |it, m| it.reconsider(id, m.now)).await
            }
            (Some(Stage::Waiting | Stage::Failed), Some(cause)) => {
                self.step(&entry, id, |it, m| it.refuse(id, cause, m.now)).await
            }
            (Some(_), _) => Ok(true),
        };
        match (joined, unfit) {
            (Ok(_), None) => Ok(entry),
            (Ok(_), Some(cause)) => Err(refused(cause)),
            (Err(_), _) => Err(super::offer::waits(self.now(), "the store is full")),
        }
    }

    /// Adds a device to a rollout. Whoever calls holds the right to make its steps.
    async fn add(
        &self,
        entry: &Arc<Entry>,
        device: &DeviceId,
        refused: Option<&str>,
    ) -> Result<bool, WriteError> {
        let now = self.now();
        if !entry.with(|it| it.join(device, refused, now)) {
            return Ok(false);
        }
        // The step is that it is there: where it cannot be kept it is there in memory alone, and
        // every later step keeps it whole.
        self.step(entry, device, |_, _| true).await
    }

    /// Takes a device out of those rollouts that stood for what its profile wanted before.
    async fn leave(&self, key: &Key, source: &Source, is_other: impl Fn(&Rollout) -> bool) {
        let entries = self.book.of(key);
        let others = entries.iter().filter(|it| it.source == *source && it.with(|it| is_other(it)));
        for entry in others {
            let cause = "its profile wants something else now";
            let left = self.step(entry, &key.1, |it, m| it.refuse(&key.1, cause, m.now)).await;
            if let Err(error) = left {
                debug!(device = %key.1, %error, "step not kept; tried again");
            }
        }
    }

    /// Puts a device into the ordered rollouts that it has come to fit. Whoever calls holds the right
    /// to make its steps.
    pub(super) async fn join_dynamic(&self, device: &Device) {
        for entry in self.book.dynamic(&device.tenant) {
            let target = entry.with(|it| match it.attempt(&device.id) {
                None if it.state().is_open() => it.order().target.clone(),
                _ => None,
            });
            let Some(target) = target else { continue };
            let registry = &self.parts.registry;
            if !registry.is_among(&device.tenant, &device.id, &filter(target)) {
                continue;
            }
            let added = match self.judge(&entry, device) {
                Err(Unfit::Refusal(Refusal::AlreadyRuns)) => continue,
                Err(unfit) => self.add(&entry, &device.id, Some(&unfit.to_string())).await,
                Ok(()) => self.add(&entry, &device.id, None).await,
            };
            if let Err(error) = added {
                debug!(device = %device.id, %error, "step not kept; tried again");
            }
        }
    }

    pub(super) fn image_of(&self, device: &Device, wish: &Wish<'_>) -> Option<Arc<ImageRow>> {
        let transfers = &self.parts.transfers;
        match (wish.image, wish.version) {
            (Some(name), _) => transfers.image(&device.tenant, &ImageName::new(name).ok()?),
            (None, Some(version)) => {
                if let Source::Group(group) = &wish.source
                    && let Some(row) = transfers.image_of_group(&device.tenant, group, version)
                {
                    return Some(row);
                }
                let model = device.facts.model.as_deref()?;
                transfers.image_for(&device.tenant, model, version, wish.sha256)
            }
            (None, None) => None,
        }
    }

    fn fits(&self, device: &Device, row: &ImageRow, wish: &Wish<'_>) -> Result<(), Unfit> {
        let image = &row.image;
        let is_other =
            |version: &str| image.version.as_ref().map(|it| it.as_str()) != Some(version);
        if wish.version.is_some_and(|version| is_other(version.trim())) {
            return Err(Unfit::OtherVersion);
        }
        let is_other = wish.sha256.is_some_and(|it| it != image.sha256)
            || wish.size.is_some_and(|it| it != image.bytes);
        if is_other {
            return Err(Unfit::OtherContent);
        }
        let sha256 = image.sha256.to_string();
        let own = self.book.standing(&device.tenant, &wish.source, &image.name, &sha256);
        self.may_have(device, row, own.as_ref().map(|it| &*it.id), false).map(drop)
    }

    /// The rollout that stands for an image that someone wants, made when there is none.
    async fn standing(
        &self,
        tenant: &Tenant,
        row: &ImageRow,
        wish: &Wish<'_>,
    ) -> Result<Arc<Entry>, WriteError> {
        let image = &row.image;
        let sha256 = image.sha256.to_string();
        let there = || self.book.standing(tenant, &wish.source, &image.name, &sha256);
        if let Some(entry) = there() {
            return Ok(entry);
        }
        let _turn = self.making.lock().await;
        if let Some(entry) = there() {
            return Ok(entry);
        }
        let now = self.now();
        let id: Box<str> = format!("wanted-{}", clock::new_name(now)).into();
        let trust = self.options.trust;
        let order = Order {
            image: image.name.clone(),
            sha256: sha256.as_str().into(),
            version: image.version.as_ref().map_or("", |it| it.as_str()).into(),
            target: None,
            waves: vec![100],
            success_threshold: 100,
            brake: Brake::Count {
                failures_min: trust.failures_min,
                failures_share: trust.failures_share,
            },
            wave_wait_s: 0,
            tries_max: TRIES_MAX,
            lives_s: None,
            force: false,
            dynamic: true,
        };
        let head = Head {
            tenant: tenant.clone(),
            name: Some(format!("{}: {}", wish.source, image.name).into()),
            actor: wish.source.to_string().into(),
            key: None,
            source: wish.source.clone(),
            window: wish.window.map(Json::of),
            id: id.clone(),
        };
        self.keep(head, Rollout::new(&id, order, [], [], now)).await
    }
}

/// What would become of a device's firmware.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Foresight {
    /// The image of the catalogue that it would be given.
    pub image: Option<ImageName>,
    /// Whether it was told already, and is at it.
    pub is_under_way: bool,
    /// Why it would not be told now: a stable word, plain words, and when it is tried again by itself.
    pub hindrance: Option<(&'static str, Box<str>, Option<Timestamp>)>,
}

impl Foresight {
    fn hindered(
        word: &'static str,
        cause: impl Into<Box<str>>,
        retry_at: Option<Timestamp>,
    ) -> Self {
        Self { hindrance: Some((word, cause.into(), retry_at)), ..Self::default() }
    }
}

/// What is wanted of a device.
pub(super) struct Wish<'a> {
    pub(super) source: Source,
    pub(super) image: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
    pub(super) window: Option<&'a Window>,
}

impl<'a> Wish<'a> {
    /// What a device's profile or its equipment says.
    fn of(wanted: &'a WantedFirmware) -> Self {
        Self {
            source: Source::Profile(wanted.rule.profile.clone()),
            image: wanted.image.as_deref(),
            version: Some(&wanted.version),
            sha256: wanted.sha256,
            size: wanted.size,
            window: wanted.window.as_ref(),
        }
    }

    fn no_image(&self) -> String {
        match (self.image, self.version) {
            (Some(name), _) => format!("there is no image `{name}` in the catalogue"),
            (None, version) => {
                let version = version.unwrap_or_default();
                format!("the catalogue has no image that brings this model to {version}")
            }
        }
    }
}
