//! A device calls: what became of its command, what it runs now, and whether it is its turn.

use super::book::is_running;
use super::{Entry, Key, Parts, Source, Upgrade, Upgrades};
use crate::commands::NewCommand;
use crate::registry::Device;
use crate::store::{ImageRow, WriteError};
use firmware::{Candidate, Doubt, Refusal, Report, RolloutState, Stage, admit, is_signed};
use jiff::{SignedDuration, Timestamp};
use model::{Command, CommandChange, CommandKind, CommandState, DeviceId, Protocol, Tenant};
use provisioning::Window;
use std::sync::Arc;
use tracing::{debug, info};

/// In how many seconds a device that found no place, or is about another download, may try again.
const AGAIN_S: i64 = 60;

impl Upgrades {
    /// A device has begun a session: said what it runs, and whether it has just restarted. To be
    /// called before its commands are looked at; costs a look into a map while no rollout concerns it.
    pub async fn called(self: &Arc<Self>, tenant: &Tenant, device: &DeviceId, is_booting: bool) {
        let key = (tenant.clone(), device.clone());
        let is_concerned = self.book.is_concerned(&key) || self.book.has_dynamic();
        if !is_concerned && !self.is_grouped(tenant, device) {
            return;
        }
        let upgrades = Arc::clone(self);
        // To its end, though the device may hang up. It fails only by a panic, which ends the process.
        let _ = tokio::spawn(async move { upgrades.serve(&key, is_booting).await }).await;
    }

    async fn serve(self: &Arc<Self>, key: &Key, is_booting: bool) {
        let _busy = self.begin_in_turn(key).await;
        self.slots.came(key);
        let Some(device) = self.parts.registry.get(&key.0, &key.1) else { return };
        self.leave_groups(&device).await;
        self.join_group(&device).await;
        self.join_dynamic(&device).await;
        let entries = self.book.of(key);
        for entry in &entries {
            self.follow(entry, &key.1).await;
            self.report(entry, &device, is_booting).await;
        }
        for entry in entries.iter().filter(|it| !matches!(it.source, Source::Profile(_))) {
            // What an operator orders has waves of its own; what a group wants counts as its other
            // changes.
            let (window, is_counted) = (entry.window(), entry.source != Source::Order);
            let offered = self.offer(entry, &device, window.as_ref(), is_counted).await;
            if offered == Upgrade::UnderWay {
                return;
            }
        }
    }

    /// Takes over what became of the command that told a device to download.
    pub(super) async fn follow(&self, entry: &Arc<Entry>, device: &DeviceId) {
        let stage = entry.with(|it| it.attempt(device).map(|(_, it)| it.stage));
        if !matches!(stage, Some(Stage::Offered | Stage::Downloading)) {
            return;
        }
        let id = entry.commands.get(device).map(|id| id.clone());
        let command = match id {
            Some(id) => self.parts.desk.command(&entry.tenant, &id).await,
            None => return,
        };
        let kept = match command {
            Ok(command) => self.go_with(entry, device, &command).await,
            Err(crate::commands::SubmitError::NoSuchCommand) => {
                self.fail(entry, device, "what became of the download is not known any more").await
            }
            Err(error) => return debug!(%device, %error, "command not read; looked at again"),
        };
        if let Err(error) = kept {
            debug!(%device, %error, "step not kept; tried again");
        }
    }

    async fn go_with(
        &self,
        entry: &Arc<Entry>,
        device: &DeviceId,
        command: &Command,
    ) -> Result<bool, WriteError> {
        let cause = command.cause.as_deref().unwrap_or("it is not said why");
        match command.state {
            CommandState::Queued => Ok(false),
            CommandState::Sent | CommandState::Delivered | CommandState::Unknown => {
                self.step(entry, device, |it, m| it.fetching(device, m.now)).await
            }
            CommandState::Done => {
                // Both steps are told of, however fast it was.
                self.step(entry, device, |it, m| it.fetching(device, m.now)).await?;
                self.step(entry, device, |it, m| it.applied(device, m.policy, m.now)).await
            }
            CommandState::Cancelled => {
                let was =
                    self.step(entry, device, |it, m| it.withdrawn(device, cause, m.now)).await?;
                if was { Ok(true) } else { self.fail(entry, device, cause).await }
            }
            CommandState::Failed | CommandState::Expired => self.fail(entry, device, cause).await,
        }
    }

    async fn fail(
        &self,
        entry: &Arc<Entry>,
        device: &DeviceId,
        cause: &str,
    ) -> Result<bool, WriteError> {
        self.step(entry, device, |it, m| it.failed(device, cause, m.policy, m.now, &mut m.random))
            .await
    }

    /// Takes over what a device says that it runs.
    pub(super) async fn report(&self, entry: &Arc<Entry>, device: &Device, is_booting: bool) {
        let Some(version) = device.facts.software_version.as_deref() else { return };
        let report = Report { version, is_booting };
        let id = &device.id;
        let kept = self
            .step(entry, id, |it, m| it.reported(id, report, m.policy, m.now, &mut m.random))
            .await;
        match kept {
            Ok(_) => self.end_command(entry, id).await,
            Err(error) => {
                debug!(device = %id, %error, "what a device runs was not kept; it says it again");
            }
        }
    }

    /// The command of a device that runs the image is done, though the device never said so.
    async fn end_command(&self, entry: &Entry, device: &DeviceId) {
        let is_confirmed =
            entry.with(|it| it.attempt(device).is_some_and(|(_, it)| it.stage == Stage::Confirmed));
        let Some((_, id)) = entry.commands.remove_if(device, |_, _| is_confirmed) else { return };
        if let Some(command) = self.parts.desk.look_up(&id)
            && matches!(command.state, CommandState::Delivered | CommandState::Unknown)
        {
            let done = CommandChange::new(id, CommandState::Done);
            let done = done.because("the device reports the image's version");
            if let Err(error) = self.parts.pipeline.change(done).await {
                debug!(%device, %error, "command not ended; it expires");
            }
        }
    }

    /// Offers the image to a device that is there, if it is its turn; it is one of the hour's changes
    /// where it `is_counted`. Whoever calls holds the right to.
    pub(super) async fn offer(
        &self,
        entry: &Arc<Entry>,
        device: &Device,
        window: Option<&Window>,
        is_counted: bool,
    ) -> Upgrade {
        let now = self.now();
        if let Some(standing) = self.standing_of(entry, &device.id, now) {
            return standing;
        }
        if let Err(upgrade) = self.may_write(device, window, now) {
            return upgrade;
        }
        if let Err(unfit) = self.judge(entry, device) {
            if matches!(unfit, Unfit::Refusal(Refusal::AlreadyRuns)) {
                return Upgrade::Right;
            }
            let cause = unfit.to_string();
            let refused =
                self.step(entry, &device.id, |it, m| it.refuse(&device.id, &cause, m.now));
            if let Err(error) = refused.await {
                debug!(device = %device.id, %error, "refusal not kept; tried again");
            }
            return Upgrade::Refused { cause: cause.into() };
        }
        let holds = &self.parts.holds;
        if is_counted && !holds.may_change(&entry.tenant, &device.id, self.parts.clock.now()) {
            return waits(
                now,
                "as many devices were changed in this hour as may: someone must agree",
            );
        }
        let key = (entry.tenant.clone(), device.id.clone());
        if !self.slots.take(&key, self.parts.clock.now().monotonic) {
            return waits(now, "as many devices fetch an image as may");
        }
        let runs = device.facts.software_version.as_deref();
        let mut number = None;
        let offered = self.step(entry, &device.id, |it, m| {
            number = it.offered(&device.id, runs, m.policy, m.now);
            number.is_some()
        });
        match (offered.await, number) {
            // A board has asked: its answer is the offer.
            (Ok(true), Some(_)) if device.id.protocol() == Protocol::Mqtt => Upgrade::UnderWay,
            (Ok(true), Some(number)) => self.tell(entry, device, number).await,
            (Ok(_), _) => {
                self.slots.free(&key);
                waits(now, "it is not its turn")
            }
            (Err(error), _) => {
                self.slots.free(&key);
                debug!(device = %device.id, %error, "offer not kept; tried again");
                waits(now, "the store is full")
            }
        }
    }

    /// How a device stands that is not to be offered the image now; `None` when it is.
    fn standing_of(&self, entry: &Entry, device: &DeviceId, now: Timestamp) -> Option<Upgrade> {
        entry.with(|rollout| {
            if rollout.may_offer(device, now) {
                return None;
            }
            let state = rollout.state();
            let reason = rollout.progress().reason.clone().unwrap_or_default();
            let Some((_, attempt)) = rollout.attempt(device) else {
                return Some(Upgrade::Refused { cause: "it is not among the devices".into() });
            };
            let cause = attempt.cause.clone().unwrap_or_default();
            Some(match attempt.stage {
                Stage::Offered | Stage::Downloading | Stage::Applied => Upgrade::UnderWay,
                Stage::Confirmed => Upgrade::Right,
                Stage::Refused => Upgrade::Refused { cause },
                _ if state != RolloutState::Running => {
                    let cause = format!("the rollout is {}: {reason}", state.as_str());
                    Upgrade::Refused { cause: cause.into() }
                }
                Stage::Waiting | Stage::Failed => match attempt.not_before {
                    Some(until) => Upgrade::Waits { until, cause, is_for_window: false },
                    None if attempt.stage == Stage::Failed => Upgrade::Refused { cause },
                    None => waits(now, "its wave has not begun"),
                },
            })
        })
    }

    /// Whether anything may be written to the device now, and nothing else is under way on it.
    fn may_write(
        &self,
        device: &Device,
        window: Option<&Window>,
        now: Timestamp,
    ) -> Result<(), Upgrade> {
        let Parts { holds, registry, .. } = &self.parts;
        if holds.holds(registry, &device.tenant, &device.id) {
            return Err(waits(now, "writing to devices is on hold"));
        }
        if let Some(window) = window.filter(|it| !it.is_open(now)) {
            let (until, cause) = (window.opens_at(now), "its window is closed".into());
            return Err(Upgrade::Waits { until, cause, is_for_window: true });
        }
        let key = (device.tenant.clone(), device.id.clone());
        let is_under_way = |entry: &Arc<Entry>| {
            entry.with(|it| it.attempt(&device.id).is_some_and(|(_, it)| it.stage.is_under_way()))
        };
        let is_busy = self.parts.desk.has_transfer(&device.tenant, &device.id)
            || self.book.of(&key).iter().any(is_under_way);
        if is_busy { Err(waits(now, "another download is under way")) } else { Ok(()) }
    }

    /// Whether the device may be given the image.
    pub(super) fn judge(&self, entry: &Entry, device: &Device) -> Result<(), Unfit> {
        let (name, sha256, force) = entry.with(|it| {
            let order = it.order();
            (order.image.clone(), order.sha256.clone(), order.force)
        });
        let row = self.parts.transfers.image(&entry.tenant, &name);
        let row = row.filter(|row| *row.image.sha256.to_string() == *sha256);
        let row = row.ok_or(Unfit::Gone)?;
        if let Some(doubt) = self.may_have(device, &row, Some(&entry.id), force)? {
            info!(device = %device.id, rollout = %entry.id, %doubt, "image offered in doubt");
        }
        Ok(())
    }

    /// Whether a device may have an image. What failed in the rollout `own` is that one's to judge.
    pub(super) fn may_have(
        &self,
        device: &Device,
        row: &ImageRow,
        own: Option<&str>,
        force: bool,
    ) -> Result<Option<Doubt>, Unfit> {
        let image = &row.image;
        if !is_signed(&self.options.keys, image.sha256, image.signature.as_ref()) {
            return Err(Unfit::NotSigned);
        }
        if device.id.protocol() == Protocol::Ussd {
            return Err(Unfit::NoFirmware);
        }
        let sha256 = image.sha256.to_string();
        let record = self.book.record(&device.tenant, &image.name, &sha256, own);
        Ok(admit(image, candidate(device), record, self.options.trust, force)?)
    }

    /// Makes the command that tells a device to download: once for each try.
    async fn tell(&self, entry: &Arc<Entry>, device: &Device, number: u16) -> Upgrade {
        let id = &device.id;
        let image = entry.with(|it| it.order().image.as_str().to_owned());
        let request = NewCommand {
            tenant: entry.tenant.clone(),
            device: id.clone(),
            kind: CommandKind::Download { image, delay_s: 0 },
            expires: Some(self.options.download_time),
            retry: None,
            actor: format!("rollout:{}", entry.id).into(),
            key: Some(entry.command_key(id, number)),
        };
        let made = self.parts.desk.submit(request).await;
        match made {
            Ok(command) => {
                entry.commands.insert(id.clone(), command.id.clone());
                if !is_running(entry) {
                    self.withdraw(entry, id, "the rollout stopped").await;
                    return waits(self.now(), "the rollout stopped");
                }
                Upgrade::UnderWay
            }
            Err(error) => {
                let cause = format!("the command could not be made: {error}");
                info!(device = %id, rollout = %entry.id, %error, "offer taken back");
                let _ = self.step(entry, id, |it, m| it.withdrawn(id, &cause, m.now)).await;
                waits(self.now(), &cause)
            }
        }
    }

    /// Takes an offer back that the device has not heard. Whoever calls holds the right to.
    pub(super) async fn withdraw(&self, entry: &Arc<Entry>, device: &DeviceId, cause: &str) {
        let id = entry.commands.get(device).map(|id| id.clone());
        if let Some(id) = id {
            let actor = format!("rollout:{}", entry.id);
            // It has left, or is at its end: then it is followed.
            let _ = self.parts.desk.cancel(&entry.tenant, &id, &actor).await;
            return self.follow(entry, device).await;
        }
        let _ = self.step(entry, device, |it, m| it.withdrawn(device, cause, m.now)).await;
    }
}

/// Why a device is not given an image.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    Refusal(#[from] Refusal),
    #[error("the image has left the catalogue, or has other content now")]
    Gone,
    #[error("no key of `firmware.keys` has signed the image")]
    NotSigned,
    #[error("the image is of another version than is wanted")]
    OtherVersion,
    #[error("the image's content is not what the business says: its SHA-256 or size is another")]
    OtherContent,
    #[error("a phone is given no firmware")]
    NoFirmware,
}

impl Unfit {
    /// A stable word.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Refusal(refusal) => refusal.code(),
            Self::Gone => "gone",
            Self::NotSigned => "not_signed",
            Self::OtherVersion => "other_version",
            Self::OtherContent => "other_content",
            Self::NoFirmware => "no_firmware",
        }
    }
}

/// What is known of a device where firmware is concerned.
pub(super) fn candidate(device: &Device) -> Candidate<'_> {
    Candidate {
        model: device.facts.model.as_deref(),
        group: device.group.as_deref(),
        version: device.facts.software_version.as_deref(),
    }
}

pub(super) fn waits(now: Timestamp, cause: &str) -> Upgrade {
    let until = now.checked_add(SignedDuration::from_secs(AGAIN_S)).unwrap_or(Timestamp::MAX);
    Upgrade::Waits { until, cause: cause.into(), is_for_window: false }
}
