//! How rollouts are ordered and shown.

use crate::api::input::{duration, is_name};
use crate::api::problem::{Code, Problem};
use crate::store::{FirmwareStep, RolloutDevice};
use crate::upgrades::{Entry, Made};
use firmware::{Brake, ImageName, LIVES_MAX, Order, Stage, Tally, Target};
use jiff::Timestamp;
use model::Json;
use provisioning::Window;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// Longest name, model, tag …, in bytes.
const TEXT_LEN_MAX: usize = 256;
/// The waves when the caller does not say: a canary, then ever more.
const WAVES: [u8; 4] = [1, 10, 50, 100];
/// The failure threshold when the caller does not say: one device in twenty is no accident.
const FAILURE_THRESHOLD: u8 = 5;
/// The success threshold when the caller does not say: the rest may be switched off for long.
const SUCCESS_THRESHOLD: u8 = 90;
/// How long devices that do not come hold the next wave up when the caller does not say: a day, in
/// which nearly everybody is at home once.
const WAVE_WAIT: Duration = Duration::from_secs(86_400);
/// Tries when the caller does not say.
const TRIES: u16 = 3;
/// How long a rollout lives when the caller does not say: who was away for longer is met by the next.
const LIVES: Duration = Duration::from_secs(90 * 86_400);

/// What is ordered. Exactly one of `model`, `tag` and `group` must be given, or a filter that begins
/// with one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RolloutRequest {
    /// The image's name in the catalogue; it must say its version.
    image: String,
    /// For devices of this model.
    model: Option<Box<str>>,
    /// For devices with this tag.
    tag: Option<Box<str>>,
    /// For devices of this group.
    group: Option<Box<str>>,
    /// For devices of this customer.
    customer: Option<Box<str>>,
    /// For devices with this text in their identity or names.
    q: Option<Box<str>>,
    /// How many percent of the devices have had their turn when each wave is over: rising, the last is
    /// 100. `[1, 10, 50, 100]` by default.
    waves: Option<Vec<u8>>,
    /// How many percent of a wave may fail: reaching it pauses the rollout. 5 by default.
    failure_threshold: Option<u8>,
    /// How many percent of a wave must be confirmed for the next to begin while others of it are still
    /// on their way. 90 by default.
    success_threshold: Option<u8>,
    /// How long devices that do not come hold the next wave up: `"24h"` by default.
    wave_wait: Option<String>,
    /// When the image may be given to a device; at any time by default.
    #[schema(value_type = Option<WindowText>)]
    window: Option<Value>,
    /// Passes over what can be passed over: another model, an older version, failures elsewhere.
    #[serde(default)]
    force: bool,
    /// Failures after which a device is left alone: 1 to 100, 3 by default.
    tries_max: Option<u16>,
    /// How long the rollout lives: `"2160h"` (90 days) by default, a year at most.
    lives: Option<String>,
    /// Whether devices that come to fit later join.
    #[serde(default)]
    dynamic: bool,
    /// What people call it.
    name: Option<Box<str>>,
}

/// Days of the week and hours in a time zone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Window)]
pub(in crate::api) struct WindowText {
    /// `mon` to `sun`; every day by default.
    days: Option<Vec<String>>,
    /// `"02:00"`.
    from: String,
    /// `"05:00"`; on the next day where it is not after `from`.
    to: String,
    /// A name of the time zone database, such as `America/Toronto`.
    zone: String,
}

/// Reads a window as it was given, and spells it one way.
pub(in crate::api) fn window(given: Option<Value>) -> Result<Option<Json>, Problem> {
    let Some(given) = given.filter(|it| !it.is_null()) else { return Ok(None) };
    let window: Window = serde_json::from_value(given)
        .map_err(|error| Problem::new(Code::InvalidBody, format!("`window`: {error}")))?;
    Ok(Some(Json::of(&window)))
}

/// What was ordered, checked.
pub(super) struct Ordered {
    pub(super) name: Option<Box<str>>,
    pub(super) order: Order,
    pub(super) window: Option<Json>,
}

impl RolloutRequest {
    /// Checks what is ordered.
    pub(super) fn read(self) -> Result<Ordered, Problem> {
        let invalid = |why: String| Problem::new(Code::InvalidBody, why);
        let image = ImageName::new(&self.image).map_err(|error| invalid(error.to_string()))?;
        let Self { model, tag, group, customer, q, .. } = self;
        let texts = [&model, &tag, &group, &customer, &q, &self.name];
        if !texts.into_iter().flatten().all(|text| is_name(text, TEXT_LEN_MAX)) {
            return Err(invalid(format!("names have 1 to {TEXT_LEN_MAX} bytes")));
        }
        let target = Target { model, tag, group, customer, q };
        if target == Target::default() {
            return Err(invalid("say for whom: `model`, `tag`, `group`, `customer` or `q`".into()));
        }
        let time = |key: &str, given: Option<String>, default: Duration| match given {
            None => Ok(default.as_secs()),
            Some(text) => duration(key, &text, LIVES_MAX).map(|it| it.as_secs()).map_err(invalid),
        };
        let order = Order {
            image,
            // What the catalogue says of it.
            sha256: "".into(),
            version: "".into(),
            target: Some(target),
            waves: self.waves.unwrap_or_else(|| WAVES.to_vec()),
            success_threshold: self.success_threshold.unwrap_or(SUCCESS_THRESHOLD),
            brake: Brake::Wave(self.failure_threshold.unwrap_or(FAILURE_THRESHOLD)),
            wave_wait_s: time("wave_wait", self.wave_wait, WAVE_WAIT)?,
            tries_max: self.tries_max.unwrap_or(TRIES),
            lives_s: Some(time("lives", self.lives, LIVES)?),
            force: self.force,
            dynamic: self.dynamic,
        };
        order.check().map_err(|error| invalid(error.to_string()))?;
        Ok(Ordered { name: self.name, order, window: window(self.window)? })
    }
}

/// Devices by stage: `waiting`, `offered`, `downloading`, `applied`, `confirmed`, `failed`,
/// `refused`.
type Counts = BTreeMap<&'static str, u32>;

fn counts(tally: &Tally) -> Counts {
    Stage::ALL.into_iter().map(|stage| (stage.as_str(), tally.of(stage))).collect()
}

/// A wave of a rollout.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RolloutWave)]
pub(in crate::api) struct WaveView {
    /// Its number, from 1.
    wave: usize,
    /// How many percent of the devices have had their turn when it is over.
    percent: u8,
    /// How many devices are in it.
    devices: u32,
    /// How many are at which stage.
    #[schema(value_type = BTreeMap<String, u32>)]
    counts: Counts,
    /// How many have failed since the rollout was begun or resumed.
    new_failures: u32,
}

/// A rollout.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rollout)]
pub(in crate::api) struct RolloutView {
    /// Its name; names of ordered ones sort by their making.
    pub(super) id: Box<str>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    /// The image.
    #[schema(value_type = String)]
    image: ImageName,
    /// The image's content.
    sha256: Box<str>,
    /// The version that devices must report.
    version: Box<str>,
    /// What wants it: `order`, `profile:<name>` or `group:<name>`.
    source: String,
    /// Who ordered it.
    actor: Box<str>,
    /// For whom it was ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    target: Option<Target>,
    /// `running`, `paused`, `done` or `aborted`.
    state: &'static str,
    /// Why, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    /// The wave that has begun last.
    wave: u8,
    /// When that was.
    #[schema(value_type = String, format = DateTime)]
    wave_since: Timestamp,
    /// When it was begun or last resumed.
    #[schema(value_type = String, format = DateTime)]
    resumed_at: Timestamp,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// How many devices it has.
    devices: u32,
    /// How many are at which stage.
    #[schema(value_type = BTreeMap<String, u32>)]
    counts: Counts,
    /// Its waves.
    waves: Vec<WaveView>,
    /// Reaching so many percent of a wave pauses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_threshold: Option<u8>,
    /// The next wave begins when so many percent are confirmed.
    success_threshold: u8,
    /// How long devices that do not come hold the next wave up.
    wave_wait: String,
    /// Failures after which a device is left alone.
    tries_max: u16,
    /// How long it lives; without an end where a profile or group wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    lives: Option<String>,
    /// When the image may be given to a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WindowText>)]
    window: Option<Json>,
    /// Whether refusals are passed over.
    force: bool,
    /// Whether devices that come to fit later join.
    dynamic: bool,
    /// Devices that run the version already and are no part of it; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    already: Option<u32>,
    /// Devices that are refused the image, by the reason's word; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, u32>>)]
    refused: Option<Counts>,
}

impl RolloutView {
    /// As it stands.
    pub(in crate::api) fn of(entry: &Entry) -> Self {
        let (order, progress) = entry.with(|it| (it.order().clone(), it.progress().clone()));
        let tallies = entry.tallies();
        let total = tallies.iter().fold(Tally::default(), |sum, tally| sum.plus(tally));
        let wave = |(index, percent): (usize, &u8)| {
            let tally = tallies.get(index + 1).copied().unwrap_or_default();
            WaveView {
                wave: index + 1,
                percent: *percent,
                devices: tally.total(),
                counts: counts(&tally),
                new_failures: tally.new_failures(),
            }
        };
        Self {
            id: entry.id.clone(),
            name: entry.name.clone(),
            image: order.image,
            sha256: order.sha256,
            version: order.version,
            source: entry.source.to_string(),
            actor: entry.actor.clone(),
            target: order.target,
            state: progress.state.as_str(),
            reason: progress.reason,
            wave: progress.wave,
            wave_since: progress.wave_since,
            resumed_at: progress.resumed_at,
            created_at: progress.created_at,
            devices: total.total(),
            counts: counts(&total),
            waves: order.waves.iter().enumerate().map(wave).collect(),
            failure_threshold: match order.brake {
                Brake::Wave(percent) => Some(percent),
                Brake::Count { .. } => None,
            },
            success_threshold: order.success_threshold,
            wave_wait: format!("{}s", order.wave_wait_s),
            tries_max: order.tries_max,
            lives: order.lives_s.map(|lives_s| format!("{lives_s}s")),
            window: entry.window_text(),
            force: order.force,
            dynamic: order.dynamic,
            already: None,
            refused: None,
        }
    }

    /// As it was made.
    pub(super) fn made(made: &Made) -> Self {
        let view = Self::of(&made.entry);
        if !made.is_new {
            return view;
        }
        Self { already: Some(made.already), refused: Some(made.refused.clone()), ..view }
    }
}

/// How a device of a rollout stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RolloutDevice)]
pub(in crate::api) struct DeviceState {
    /// Which.
    pub(super) device: String,
    /// Its wave; 0 where it was refused the image from the start.
    wave: u8,
    /// `waiting`, `offered`, `downloading`, `applied`, `confirmed`, `failed` or `refused`.
    state: &'static str,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Why, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// How often it was offered the image.
    tries: u16,
    /// How often that failed.
    failures: u16,
    /// When it may be offered it again; absent where it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    retry_at: Option<Timestamp>,
    /// What it ran when it was offered the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_before: Option<Box<str>>,
}

impl From<RolloutDevice> for DeviceState {
    fn from(row: RolloutDevice) -> Self {
        let attempt = row.attempt;
        Self {
            device: row.device.as_str().to_owned(),
            wave: row.wave,
            state: attempt.stage.as_str(),
            since: attempt.since,
            cause: attempt.cause,
            tries: attempt.tries,
            failures: attempt.failures,
            retry_at: attempt.not_before,
            version_before: attempt.version_before,
        }
    }
}

/// A step that a device took on its way to an image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FirmwareStep)]
pub(in crate::api) struct StepView {
    #[serde(skip)]
    pub(super) id: u64,
    /// In which rollout.
    rollout: Box<str>,
    /// To which image.
    #[schema(value_type = String)]
    image: ImageName,
    /// The image's version.
    version: Box<str>,
    /// At which try.
    r#try: u16,
    /// Where it came to: `offered`, `downloading`, `applied`, `confirmed`, `failed`, `refused`, or
    /// `waiting` where an offer was taken back.
    state: &'static str,
    /// Why, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
}

impl From<FirmwareStep> for StepView {
    fn from(step: FirmwareStep) -> Self {
        Self {
            id: step.id,
            rollout: step.rollout,
            image: step.image,
            version: step.version,
            r#try: step.number,
            state: step.stage.as_str(),
            cause: step.cause,
            time: step.at,
        }
    }
}
