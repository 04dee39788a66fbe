//! Rollouts that stand because a profile or a group wants an image: devices come to them one by one.
//! The same machine as for an order: the same refusals, pauses and windows. When too many devices
//! fail with the image it is given to nobody else until an operator resumes.

use super::offer::{Unfit, candidate};
use super::orders::Head;
use super::{Entry, Source, Upgrade, Upgrades};
use crate::registry::Device;
use crate::store::{ImageRow, WriteError};
use firmware::{Brake, ImageName, Order, Refusal, Rollout, Stage, admit, is_signed};
use model::{Json, Now, Protocol, Tenant};
use provisioning::{Subject, WantedFirmware, Window};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tracing::debug;

/// Failures after which a device is left alone: at 10, 20 and 40 minutes' distance, and then once
/// every some hours, for a day or two.
const TRIES_MAX: u16 = 8;

impl Upgrades {
    /// Sees to it that a device comes to run what its profile wants; called in each session in which
    /// its profile is decided, when its parameters are as wanted. Makes the command when it is time:
    /// after [`Upgrade::UnderWay`] the device has one in its queue.
    pub async fn see_to(
        self: &Arc<Self>,
        tenant: &Tenant,
        subject: &Subject<'_>,
        wanted: &WantedFirmware,
        _now: Now,
    ) -> Upgrade {
        if subject.facts.software_version.as_deref().map(str::trim) == Some(wanted.version.trim()) {
            return Upgrade::Right;
        }
        let (upgrades, key) = (Arc::clone(self), (tenant.clone(), subject.id.clone()));
        let wanted = wanted.clone();
        let seen_to = tokio::spawn(async move {
            let Some(device) = upgrades.parts.registry.get(&key.0, &key.1) else {
                return Upgrade::Refused { cause: "the device is not known".into() };
            };
            let _busy = upgrades.begin_in_turn(&key).await;
            let wish = Wish {
                source: Source::Profile(wanted.rule.profile.clone()),
                image: wanted.image.as_deref(),
                version: Some(&wanted.version),
                window: wanted.window.as_ref(),
            };
            match upgrades.join(&device, &wish).await {
                Err(upgrade) => upgrade,
                Ok(entry) => {
                    upgrades.follow(&entry, &key.1).await;
                    upgrades.offer(&entry, &device, wish.window).await
                }
            }
        });
        let panicked = || Upgrade::Refused { cause: "the daemon is stopping".into() };
        seen_to.await.unwrap_or_else(|_| panicked())
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
        match self.fits(device, &row, wish) {
            Ok(()) => {}
            Err(Unfit::Refusal(Refusal::AlreadyRuns)) => return Err(Upgrade::Right),
            Err(unfit) => return Err(refused(unfit.to_string())),
        }
        let entry = self.standing(&device.tenant, &row, wish).await.map_err(|error| {
            debug!(device = %device.id, %error, "what is wanted was not kept; tried again");
            super::offer::waits(self.now(), "the store is full")
        })?;
        let stage = entry.with(|it| it.attempt(&device.id).map(|(_, it)| it.stage));
        let joined = match stage {
            None => {
                let now = self.now();
                entry.with(|it| it.join(&device.id, None, now));
                self.book.concern(&entry, &device.id);
                self.step(&entry, &device.id, |_, _| true).await
            }
            Some(Stage::Refused | Stage::Confirmed) => {
                let id = &device.id;
                self.step(&entry, id, |it, m| it.reconsider(id, m.now)).await
            }
            Some(_) => Ok(true),
        };
        match joined {
            Ok(_) => Ok(entry),
            Err(_) => Err(super::offer::waits(self.now(), "the store is full")),
        }
    }

    fn image_of(&self, device: &Device, wish: &Wish<'_>) -> Option<Arc<ImageRow>> {
        let transfers = &self.parts.transfers;
        match (wish.image, wish.version) {
            (Some(name), _) => transfers.image(&device.tenant, &ImageName::new(name).ok()?),
            (None, Some(version)) => {
                let model = device.facts.model.as_deref()?;
                transfers.image_for(&device.tenant, model, version)
            }
            (None, None) => None,
        }
    }

    fn fits(&self, device: &Device, row: &ImageRow, wish: &Wish<'_>) -> Result<(), Unfit> {
        let image = &row.image;
        if !is_signed(&self.options.keys, image.sha256, image.signature.as_ref()) {
            return Err(Unfit::NotSigned);
        }
        if device.id.protocol() != Protocol::Cwmp {
            return Err(Unfit::NotTold);
        }
        let is_other =
            |version: &str| image.version.as_ref().map(|it| it.as_str()) != Some(version);
        if wish.version.is_some_and(|version| is_other(version.trim())) {
            return Err(Unfit::OtherVersion);
        }
        let id = standing_id(wish, image.name.as_str(), &image.sha256.to_string());
        let sha256 = image.sha256.to_string();
        let record = self.book.record(&device.tenant, &image.name, &sha256, Some(&id));
        admit(image, candidate(device), record, self.options.trust, false)?;
        Ok(())
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
        let id = standing_id(wish, image.name.as_str(), &sha256);
        if let Some(entry) = self.book.get(tenant, &id) {
            return Ok(entry);
        }
        let _turn = self.making.lock().await;
        if let Some(entry) = self.book.get(tenant, &id) {
            return Ok(entry);
        }
        let trust = self.options.trust;
        let order = Order {
            image: image.name.clone(),
            sha256: sha256.into(),
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
        self.keep(head, Rollout::new(&id, order, [], [], self.now())).await
    }
}

/// What is wanted of a device.
pub(super) struct Wish<'a> {
    pub(super) source: Source,
    pub(super) image: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) window: Option<&'a Window>,
}

impl Wish<'_> {
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

/// The name of a rollout that stands: the same for the same wish.
fn standing_id(wish: &Wish<'_>, image: &str, sha256: &str) -> Box<str> {
    let mut hash = Sha256::new();
    for part in [&*wish.source.to_string(), image, sha256] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = firmware::Sha256(hash.finalize().into()).to_string();
    format!("wanted-{}", &digest[..16]).into()
}
