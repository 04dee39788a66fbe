//! A board asks whether there is firmware for it, fetches what it is told of, and later says what it
//! runs. The same attempts, waves, windows and holds as where a CPE is told to download; but nothing
//! waits in a queue for it: the answer is the offer, and who asks again before its end hears the same.

use super::groups::wish_of;
use super::{Entry, Key, Source, Upgrade, Upgrades};
use crate::boards::Question;
use crate::commands::{NewCommand, SubmitError};
use crate::registry::Device;
use crate::store::{ImageRow, ReadError, WriteError};
use crate::transfers::Recipient;
use firmware::{ImageName, RolloutState, Stage, Ticket};
use jiff::Timestamp;
use model::{CommandId, CommandKind, DeviceId, Payload, Protocol, Redacted, Tenant};
use serde::Serialize;
use sha2::Digest as _;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// How long an answer waits for a board that is away or has not subscribed: it asks again tomorrow.
const ANSWER_VALID: Duration = Duration::from_secs(3_600);
/// Steps of a device that are looked through for what it was offered last.
const STEPS_MAX: usize = 100;
/// What a board fetches that was offered nothing.
const NO_OFFER: &str = "otafile";

/// What a board is answered.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// There is an image for it.
    Update {
        /// Its group, where it is in one.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Box<str>>,
        /// The image's version.
        version: Box<str>,
        /// Where it is fetched from; a path alone where nobody says how boards reach us.
        url: String,
        /// Its length in bytes.
        size: u64,
        /// Its content's SHA-256, in hexadecimal.
        sha256: String,
    },
    /// There is none, or not now.
    None {
        /// Its group, where it is in one.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Box<str>>,
        /// The version that it should come to run, or runs.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<Box<str>>,
        /// Why, where there is an image and it is not its turn.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Box<str>>,
        /// In how many seconds asking again may help.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
    },
    /// There is no such board.
    UnknownBoard,
    /// It is in no group, and no rollout is for it.
    NoGroup,
    /// An image is wanted for it, and is not there.
    MissingFile {
        /// Its group, where it is in one.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<Box<str>>,
        /// The version that it should come to run, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<Box<str>>,
    },
}

impl Answer {
    /// A stable word for metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Update { .. } => "update",
            Self::None { .. } => "none",
            Self::UnknownBoard => "unknown_board",
            Self::NoGroup => "no_group",
            Self::MissingFile { .. } => "missing_file",
        }
    }
}

/// The versions of a board that must not be taken for one another.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Versions {
    /// What it should come to run.
    pub target: Option<Box<str>>,
    /// What it was offered last.
    pub offered: Option<Box<str>>,
    /// What it was offered and has reported since.
    pub confirmed: Option<Box<str>>,
}

/// What one rollout says to a board.
enum Said {
    Update(Answer),
    Missing,
    Waits { reason: Box<str>, until: Option<Timestamp> },
    Nothing,
}

impl Upgrades {
    /// Answers a board that asks, and has said what it runs. `called_at` is the host at which it
    /// reached us.
    pub async fn asked(
        self: &Arc<Self>,
        tenant: &Tenant,
        device: &DeviceId,
        called_at: Option<Box<str>>,
    ) -> Answer {
        let (upgrades, key) = (Arc::clone(self), (tenant.clone(), device.clone()));
        // To its end, though the board may hang up. It fails only by a panic, which ends the process.
        let asked =
            tokio::spawn(async move { upgrades.look_for(&key, called_at.as_deref()).await });
        asked.await.unwrap_or(Answer::UnknownBoard)
    }

    /// Counts what a board was answered.
    pub(crate) fn count_answer(&self, way: &str, answer: &Answer) {
        self.metrics.answers.with_label_values(&[way, answer.code()]).inc();
    }

    /// Answers a question that came by MQTT with a message of our own, which is on disk then.
    ///
    /// # Errors
    ///
    /// When it cannot be kept.
    pub async fn reply(self: &Arc<Self>, question: Question) -> Result<(), WriteError> {
        let Question { tenant, device, topic, qos, names_other, .. } = question;
        // Nowhere but below its own `down/`: that is where it may read.
        let is_its_own = |topic: &String| self.parts.desk.takes_topic(&tenant, &device, topic);
        let topic = question.response_topic.filter(is_its_own).unwrap_or(topic);
        let answer = if names_other {
            Answer::UnknownBoard
        } else {
            self.asked(&tenant, &device, None).await
        };
        let payload = serde_json::to_value(&answer).expect("an answer is representable in JSON");
        let request = NewCommand {
            kind: CommandKind::Publish {
                topic,
                payload: Payload::Json(Redacted(payload)),
                qos,
                answer: false,
                correlation_data_base64: question.correlation_data_base64,
            },
            expires: Some(ANSWER_VALID),
            retry: None,
            actor: "firmware".into(),
            key: None,
            tenant,
            device: device.clone(),
        };
        match self.parts.desk.submit(request).await {
            Ok(_) => self.count_answer("mqtt", &answer),
            Err(SubmitError::Store(error)) => return Err(error),
            Err(error) => {
                // It has more unread messages than it may: it asks again when it has read them.
                self.metrics.answers.with_label_values(&["mqtt", "unanswered"]).inc();
                debug!(%device, %error, "question not answered");
            }
        }
        Ok(())
    }

    /// A board has said what it runs: what it was offered may be confirmed by that, or have failed.
    pub async fn heard(self: &Arc<Self>, tenant: &Tenant, device: &DeviceId) {
        let key = (tenant.clone(), device.clone());
        if device.protocol() != Protocol::Mqtt || !self.book.is_concerned(&key) {
            return;
        }
        let upgrades = Arc::clone(self);
        let heard = async move {
            let _busy = upgrades.begin_in_turn(&key).await;
            let Some(device) = upgrades.parts.registry.get(&key.0, &key.1) else { return };
            for entry in upgrades.book.of(&key) {
                upgrades.report(&entry, &device, false).await;
            }
        };
        // As above.
        let _ = tokio::spawn(heard).await;
    }

    async fn look_for(self: &Arc<Self>, key: &Key, called_at: Option<&str>) -> Answer {
        let _busy = self.begin_in_turn(key).await;
        let Some(device) = self.parts.registry.get(&key.0, &key.1) else {
            return Answer::UnknownBoard;
        };
        self.leave_groups(&device).await;
        self.join_group(&device).await;
        self.join_dynamic(&device).await;
        for entry in self.book.of(key) {
            // Who asks with what it had after it has fetched the whole has come back with it.
            let stage = stage_of(&entry, &device.id).map(|(stage, _)| stage);
            self.report(&entry, &device, stage == Some(Stage::Applied)).await;
        }
        let (mut is_missing, mut waits) = (false, None);
        for entry in self.book.of(key) {
            if matches!(entry.source, Source::Profile(_)) {
                continue;
            }
            match self.hand_out(&entry, &device, called_at).await {
                Said::Update(answer) => return answer,
                Said::Missing => is_missing = true,
                Said::Waits { reason, until } => waits = waits.or(Some((reason, until))),
                Said::Nothing => {}
            }
        }
        let (group, version) = (device.group.clone(), self.target(&device));
        if is_missing || self.lacks_image(&device) {
            return Answer::MissingFile { group, version };
        }
        let Some((reason, until)) = waits else {
            return match group {
                Some(_) => Answer::None { group, version, reason: None, retry_after_s: None },
                None => Answer::NoGroup,
            };
        };
        let now = self.now();
        let seconds = until.map(|until| until.duration_since(now).as_secs().max(1).unsigned_abs());
        Answer::None { group, version, reason: Some(reason), retry_after_s: seconds }
    }

    /// Whether the group of a board should run what the catalogue does not have, and it does not run.
    fn lacks_image(&self, device: &Device) -> bool {
        let Some(group) = &device.group else { return false };
        let Some(row) = self.group(&device.tenant, group) else { return false };
        let runs = device.facts.software_version.as_deref();
        let is_right = row.version.is_some() && row.version.as_deref() == runs;
        !is_right && self.image_of(device, &wish_of(&row, None)).is_none()
    }

    /// What a rollout has for a board. Whoever calls holds the right to make its steps.
    async fn hand_out(&self, entry: &Arc<Entry>, device: &Device, called_at: Option<&str>) -> Said {
        let waits = |reason: &str| Said::Waits { reason: reason.into(), until: None };
        let now = self.now();
        let stage = stage_of(entry, &device.id);
        let is_offered = match stage {
            None => return Said::Nothing,
            Some((Stage::Applied, _)) => return waits("it has fetched the image"),
            Some((Stage::Offered | Stage::Downloading, _)) => true,
            Some(_) => false,
        };
        if !is_offered && !entry.with(|it| it.may_offer(&device.id, now)) {
            let pause = entry.with(|it| it.attempt(&device.id).and_then(|(_, it)| it.not_before));
            return match self.told_of(entry, device).await {
                // When a wave begins nobody knows: a fleet that asked every minute would not help it.
                Said::Waits { reason, .. } => Said::Waits { reason, until: pause },
                said => said,
            };
        }
        let Some(row) = self.image_with_bytes(entry).await else { return Said::Missing };
        if is_offered {
            if entry.with(|it| it.state()) != RolloutState::Running {
                return waits("the rollout was stopped");
            }
            if self.parts.holds.holds(&self.parts.registry, &device.tenant, &device.id) {
                return waits("writing to devices is on hold");
            }
            if let Err(unfit) = self.judge(entry, device) {
                return waits(&unfit.to_string());
            }
            return self.update(entry, device, &row, called_at);
        }
        let said = self.told_of(entry, device).await;
        match stage_of(entry, &device.id) {
            Some((Stage::Offered, _)) => self.update(entry, device, &row, called_at),
            _ => said,
        }
    }

    /// Offers the image where it is the board's turn, and says in words where it is not.
    async fn told_of(&self, entry: &Arc<Entry>, device: &Device) -> Said {
        let (window, is_counted) = (entry.window(), entry.source != Source::Order);
        match self.offer(entry, device, window.as_ref(), is_counted).await {
            Upgrade::Right | Upgrade::UnderWay => Said::Nothing,
            Upgrade::Waits { until, cause, .. } => {
                Said::Waits { reason: cause, until: Some(until) }
            }
            Upgrade::Refused { cause } => Said::Waits { reason: cause, until: None },
        }
    }

    async fn image_with_bytes(&self, entry: &Entry) -> Option<Arc<ImageRow>> {
        let (name, sha256) = entry.with(|it| (it.order().image.clone(), it.order().sha256.clone()));
        let row = self.parts.transfers.image(&entry.tenant, &name);
        let row = row.filter(|row| *row.image.sha256.to_string() == *sha256)?;
        self.parts.transfers.has_bytes(&row).await.then_some(row)
    }

    fn update(
        &self,
        entry: &Entry,
        device: &Device,
        row: &ImageRow,
        called_at: Option<&str>,
    ) -> Said {
        let number = stage_of(entry, &device.id).map_or(0, |(_, number)| number);
        let command = pull_id(entry, &device.id, number);
        let to =
            Recipient { tenant: &device.tenant, device: &device.id, command: &command, called_at };
        let url = self.parts.transfers.address_of(to, &row.image, self.options.board_grace);
        Said::Update(Answer::Update {
            group: device.group.clone(),
            version: entry.with(|it| it.order().version.clone()),
            url,
            size: row.image.bytes,
            sha256: row.image.sha256.to_string(),
        })
    }

    /// Whether what a board was offered still stands: it begins to fetch. True of what is no offer.
    pub async fn fetching(&self, ticket: &Ticket) -> bool {
        if ticket.device.protocol() != Protocol::Mqtt || ticket.command.as_str() == NO_OFFER {
            return true;
        }
        let key = (ticket.tenant.clone(), ticket.device.clone());
        let _busy = self.begin_in_turn(&key).await;
        let Some(entry) = self.pulled(ticket) else { return false };
        let device = self.parts.registry.get(&key.0, &key.1);
        if !device.is_some_and(|it| self.is_for(&entry, &it)) {
            return false;
        }
        let begun = self.step(&entry, &key.1, |it, m| it.fetching(&key.1, m.now)).await;
        if let Err(error) = begun {
            debug!(device = %key.1, %error, "step not kept; tried again with the next piece");
        }
        true
    }

    /// A board was sent the last of what it was offered.
    pub async fn fetched(&self, ticket: &Ticket) {
        let key = (ticket.tenant.clone(), ticket.device.clone());
        let _busy = self.begin_in_turn(&key).await;
        let Some(entry) = self.pulled(ticket) else { return };
        let device = &key.1;
        let kept = self.step(&entry, device, |it, m| it.applied(device, m.policy, m.now)).await;
        if let Err(error) = kept {
            debug!(%device, %error, "step not kept; what the board reports says it, too");
        }
    }

    /// The rollout that offered what a ticket is for, while that try is under way.
    fn pulled(&self, ticket: &Ticket) -> Option<Arc<Entry>> {
        let entries = self.book.of(&(ticket.tenant.clone(), ticket.device.clone()));
        entries.into_iter().find(|entry| {
            let stage = stage_of(entry, &ticket.device);
            let under_way = stage.filter(|(stage, _)| stage.is_under_way());
            under_way.is_some_and(|(_, n)| pull_id(entry, &ticket.device, n) == ticket.command)
        })
    }

    /// What a board's fetching an image belongs to: its offer, where there is one.
    pub fn pull_of(&self, tenant: &Tenant, device: &DeviceId, image: &ImageName) -> CommandId {
        let entries = self.book.of(&(tenant.clone(), device.clone()));
        let own = entries.iter().find_map(|entry| {
            let (stage, number) = stage_of(entry, device)?;
            let is_it = stage.is_under_way() && entry.with(|it| it.order().image == *image);
            is_it.then(|| pull_id(entry, device, number))
        });
        own.unwrap_or_else(|| CommandId::new(NO_OFFER).expect("letters are a name"))
    }

    /// What a board should run, was offered, and has confirmed.
    ///
    /// # Errors
    ///
    /// When its history cannot be read.
    pub async fn versions(&self, device: &Device) -> Result<Versions, ReadError> {
        let (tenant, id) = (&device.tenant, &device.id);
        let steps = self.parts.store.firmware_steps(tenant, id, None, STEPS_MAX).await?;
        let last = |stage| {
            let step = steps.iter().find(|it| it.stage == stage);
            step.map(|it| it.version.clone())
        };
        Ok(Versions {
            target: self.target(device),
            offered: last(Stage::Offered),
            confirmed: last(Stage::Confirmed),
        })
    }

    fn target(&self, device: &Device) -> Option<Box<str>> {
        let open = self.book.of(&(device.tenant.clone(), device.id.clone()));
        let open = open.iter().filter(|it| self.is_for(it, device));
        let ordered = open.filter(|it| it.with(|it| it.state().is_open()));
        if let Some(entry) = ordered.max_by_key(|it| it.id.clone()) {
            return Some(entry.with(|it| it.order().version.clone()));
        }
        let row = self.group(&device.tenant, device.group.as_deref()?)?;
        let image = self.image_of(device, &wish_of(&row, None));
        let version = image.and_then(|it| it.image.version.as_ref().map(|it| it.as_str().into()));
        version.or(row.version)
    }
}

fn stage_of(entry: &Entry, device: &DeviceId) -> Option<(Stage, u16)> {
    entry.with(|it| it.attempt(device).map(|(_, it)| (it.stage, it.tries)))
}

/// The name of a try, which stands in its ticket: nothing is remembered of what was given out.
fn pull_id(entry: &Entry, device: &DeviceId, number: u16) -> CommandId {
    let name = entry.command_key(device, number);
    let hash: [u8; 32] = sha2::Sha256::digest(name.as_bytes()).into();
    let mut id = String::from("ota");
    for byte in &hash[..12] {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    CommandId::new(&id).expect("27 letters and digits are a name")
}
