//! An image on its way to many devices: in waves, that stop when too many fail.
//!
//! ```text
//! running ──► paused ──► running      by an operator, or by failures
//!    │           │
//!    ├──► done   │                    every device of the last wave is settled, or its time is over
//!    └──► aborted ◄──┘                nothing begins any more; what is under way is heard out
//! ```
//!
//! Which wave a device is in comes from a hash of it and the rollout: neither the order of creation
//! nor a place on the map, so that no cell site, street or maker's batch is hit at once. Offers go to
//! devices of the waves that have begun, one at a time for each device; who calls ([`Rollout::may_offer`])
//! goes before whom the clock would wake ([`Rollout::due`]).

mod members;
mod order;
mod review;
mod steer;
mod tally;

pub use order::{Brake, LIVES_MAX, Order, OrderError, TRIES_MAX, Target, WAVES_MAX};
pub use steer::OrderRefused;
pub use tally::Tally;

use crate::{Attempt, Policy, Report, Stage};
use jiff::Timestamp;
use members::Members;
use model::{DeviceId, Random};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The wave of those that are refused the image from the start: none.
pub const NO_WAVE: u8 = 0;

/// How a rollout stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Devices get the image.
    Running,
    /// No further device gets it until it is resumed.
    Paused,
    /// All have their end.
    Done,
    /// No further device gets it.
    Aborted,
}

impl RolloutState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Done, Self::Aborted];

    /// The word used in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }

    /// Whether it can still go on.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// How far a rollout is; what is kept of it beside its devices.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Progress {
    /// How it stands.
    pub state: RolloutState,
    /// Why, in plain words.
    pub reason: Option<Box<str>>,
    /// The wave that has begun last, from 1.
    pub wave: u8,
    /// When that was.
    pub wave_since: Timestamp,
    /// When it was begun or last resumed: failures before are forgiven.
    pub resumed_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A rollout with its devices.
#[derive(Clone, Debug)]
pub struct Rollout {
    id: Box<str>,
    order: Order,
    progress: Progress,
    members: Members,
    /// Of each wave; the first entry is [`NO_WAVE`]'s.
    tallies: Vec<Tally>,
    /// Whether the progress was changed since it was taken.
    is_changed: bool,
}

impl Rollout {
    /// Begins with the first wave. `devices` are those that are given the image, `refused` those that
    /// are not, and why. Who is named twice counts once.
    #[must_use]
    pub fn new(
        id: &str,
        order: Order,
        devices: impl IntoIterator<Item = DeviceId>,
        refused: impl IntoIterator<Item = (DeviceId, Box<str>)>,
        now: Timestamp,
    ) -> Self {
        let progress = Progress {
            state: RolloutState::Running,
            reason: None,
            wave: 1,
            wave_since: now,
            resumed_at: now,
            created_at: now,
        };
        let mut ranked: Vec<(u64, DeviceId)> =
            devices.into_iter().map(|device| (rank(id, &device), device)).collect();
        ranked.sort_unstable();
        ranked.dedup();
        let total = ranked.len();
        let mut rollout = Self::restore(id, order, progress, [], now);
        for (place, (_, device)) in ranked.into_iter().enumerate() {
            let wave = rollout.wave_at(place, total);
            rollout.insert(device, wave, Attempt::new(now));
        }
        for (device, cause) in refused {
            rollout.insert(device, NO_WAVE, Attempt::refused(cause, now));
        }
        rollout.open_wave(now);
        rollout.review(now);
        rollout.is_changed = true;
        rollout
    }

    /// Takes up where an earlier process left off: devices that wait are due at `now`.
    #[must_use]
    pub fn restore(
        id: &str,
        order: Order,
        progress: Progress,
        members: impl IntoIterator<Item = (DeviceId, u8, Attempt)>,
        now: Timestamp,
    ) -> Self {
        let tallies = vec![Tally::default(); order.waves.len() + 1];
        let members_none = Members::default();
        let id = id.into();
        let mut rollout =
            Self { id, order, progress, members: members_none, tallies, is_changed: false };
        for (device, wave, mut attempt) in members {
            if attempt.stage == Stage::Waiting && wave <= rollout.progress.wave {
                attempt.due_at = Some(attempt.not_before.map_or(now, |at| at.max(now)));
            }
            rollout.insert(device, wave, attempt);
        }
        rollout
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What was ordered.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How it stands.
    #[must_use]
    pub const fn state(&self) -> RolloutState {
        self.progress.state
    }

    /// Of each wave, how many devices are at which stage. The first entry is of those that were
    /// refused the image from the start.
    #[must_use]
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Of all waves together.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.tallies.iter().fold(Tally::default(), |sum, tally| sum.plus(tally))
    }

    /// How a device stands, and in which wave.
    #[must_use]
    pub fn attempt(&self, device: &DeviceId) -> Option<(u8, &Attempt)> {
        self.members.get(device)
    }

    /// Every device with its wave and how it stands.
    pub fn attempts(&self) -> impl Iterator<Item = (&DeviceId, u8, &Attempt)> {
        self.members.iter()
    }

    /// Whether the progress was changed since this was asked last, so that it is to be kept.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// The progress is still to be kept: what asked for it could not.
    pub const fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// Whether nothing of it is left to be done or heard.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.state().is_open() && self.total().under_way() == 0
    }

    /// A device that came later. It is in the wave that its hash says, or has its turn at once when
    /// that has begun. False when it is a member already or nobody may join any more.
    pub fn join(&mut self, device: &DeviceId, refused: Option<&str>, now: Timestamp) -> bool {
        if !self.state().is_open() || self.members.get(device).is_some() {
            return false;
        }
        let percent = rank(&self.id, device) / (u64::MAX / 100 + 1);
        let later = |limit: &&u8| u64::from(**limit) <= percent;
        let wave = self.order.waves.iter().take_while(later).count() + 1;
        let wave = u8::try_from(wave).unwrap_or(u8::MAX);
        let attempt = match refused {
            Some(cause) => Attempt::refused(cause, now),
            None => {
                let due_at = (wave <= self.progress.wave).then_some(now);
                Attempt { due_at, ..Attempt::new(now) }
            }
        };
        self.insert(device.clone(), wave, attempt);
        self.review(now);
        true
    }

    /// A device that was refused the image, and is not any more, has its turn; so has one that was
    /// confirmed and runs something else now.
    pub fn reconsider(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        let is_at_rest = |it: &Attempt| matches!(it.stage, Stage::Refused | Stage::Confirmed);
        let attempt = self.members.get(device).filter(|(wave, _)| *wave != NO_WAVE);
        if !self.state().is_open() || !attempt.is_some_and(|(_, it)| is_at_rest(it)) {
            return false;
        }
        self.change(device, now, |it| {
            *it = Attempt { tries: it.tries, due_at: Some(now), ..Attempt::new(now) };
            true
        })
    }

    /// Whether the device may be offered the image now.
    #[must_use]
    pub fn may_offer(&self, device: &DeviceId, now: Timestamp) -> bool {
        let begun = |wave: u8| wave != NO_WAVE && wave <= self.progress.wave;
        self.state() == RolloutState::Running
            && self.members.get(device).is_some_and(|(wave, it)| begun(wave) && it.is_ready(now))
    }

    /// The device is offered the image: the number of this try; `None` when it may not be.
    pub fn offered(
        &mut self,
        device: &DeviceId,
        runs: Option<&str>,
        policy: Policy,
        now: Timestamp,
    ) -> Option<u16> {
        if !self.may_offer(device, now) {
            return None;
        }
        let mut number = None;
        self.change(device, now, |it| {
            number = it.offered(runs, policy, now);
            number.is_some()
        });
        number
    }

    /// As [`Attempt::withdrawn`].
    pub fn withdrawn(&mut self, device: &DeviceId, cause: &str, now: Timestamp) -> bool {
        self.change(device, now, |it| it.withdrawn(cause, now))
    }

    /// As [`Attempt::fetching`].
    pub fn fetching(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        self.change(device, now, |it| it.fetching(now))
    }

    /// As [`Attempt::applied`].
    pub fn applied(&mut self, device: &DeviceId, policy: Policy, now: Timestamp) -> bool {
        self.change(device, now, |it| it.applied(policy, now))
    }

    /// As [`Attempt::failed`].
    pub fn failed(
        &mut self,
        device: &DeviceId,
        cause: &str,
        policy: Policy,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> bool {
        self.change(device, now, |it| it.failed(cause, policy, now, random))
    }

    /// As [`Attempt::refuse`].
    pub fn refuse(&mut self, device: &DeviceId, cause: &str, now: Timestamp) -> bool {
        self.change(device, now, |it| it.refuse(cause, now))
    }

    /// As [`Attempt::leave`].
    pub fn leave(&mut self, device: &DeviceId, cause: &str, now: Timestamp) -> bool {
        self.change(device, now, |it| it.leave(cause, now))
    }

    /// As [`Attempt::reported`].
    pub fn reported(
        &mut self,
        device: &DeviceId,
        report: Report<'_>,
        policy: Policy,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> bool {
        let wanted = self.order.version.clone();
        self.change(device, now, |it| it.reported(report, &wanted, policy, now, random))
    }

    /// Puts a device back to how it stood: what was to be kept of its last step could not be.
    pub fn put_back(&mut self, device: &DeviceId, before: Attempt, now: Timestamp) {
        self.change(device, now, |it| {
            *it = before;
            true
        });
    }

    /// At most `max` devices whose time is over; each is then to [`Rollout::expire`].
    #[must_use]
    pub fn late(&self, max: usize, now: Timestamp) -> Vec<DeviceId> {
        self.members.due(now, max, |it| it.stage.is_under_way())
    }

    /// As [`Attempt::expire`].
    pub fn expire(
        &mut self,
        device: &DeviceId,
        policy: Policy,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> bool {
        self.change(device, now, |it| it.expire(policy, now, random))
    }

    /// At most `max` devices that are to be woken because they have their turn and have not come;
    /// each is due again after a pause.
    pub fn due(&mut self, max: usize, now: Timestamp, random: &mut dyn Random) -> Vec<DeviceId> {
        if self.state() != RolloutState::Running {
            return Vec::new();
        }
        let due = self.members.due(now, max, |it| it.is_ready(now));
        for device in &due {
            self.change(device, now, |it| {
                it.woken(now, random);
                true
            });
        }
        due
    }

    /// When the clock has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.members.next_due()
    }
}

/// What the rest is made of.
impl Rollout {
    /// The wave of the device at `place` of `total` in the order of the hash: as many as the
    /// percentage says, rounded up, so that a wave of any percentage reaches somebody.
    fn wave_at(&self, place: usize, total: usize) -> u8 {
        let is_over = |percent: &&u8| place >= (total * usize::from(**percent)).div_ceil(100);
        let wave = self.order.waves.iter().take_while(is_over).count() + 1;
        u8::try_from(wave).unwrap_or(u8::MAX)
    }

    fn insert(&mut self, device: DeviceId, wave: u8, attempt: Attempt) {
        let wave = if usize::from(wave) < self.tallies.len() { wave } else { NO_WAVE };
        let is_new_failure = self.is_new_failure(&attempt);
        let tally = &mut self.tallies[usize::from(wave)];
        let kept = attempt.clone();
        if self.members.insert(device, wave, attempt) {
            tally.count(&kept, is_new_failure, true);
        }
    }

    /// Whether it failed since the rollout was begun or resumed, and was not confirmed later.
    fn is_new_failure(&self, attempt: &Attempt) -> bool {
        attempt.stage != Stage::Confirmed
            && attempt.failed_at.is_some_and(|at| at > self.progress.resumed_at)
    }

    fn change(
        &mut self,
        device: &DeviceId,
        now: Timestamp,
        edit: impl FnOnce(&mut Attempt) -> bool,
    ) -> bool {
        let Some((wave, before)) = self.members.get(device) else { return false };
        let mut attempt = before.clone();
        if !edit(&mut attempt) && attempt == *before {
            return false;
        }
        let (was, is) = (self.is_new_failure(before), self.is_new_failure(&attempt));
        let has_moved = before.stage != attempt.stage;
        let tally = &mut self.tallies[usize::from(wave)];
        tally.count(before, was, false);
        tally.count(&attempt, is, true);
        self.members.set(device, attempt);
        if has_moved {
            self.review(now);
        }
        has_moved
    }

    fn begin_next(&mut self, now: Timestamp) {
        self.progress.wave += 1;
        self.progress.wave_since = now;
        self.is_changed = true;
        self.open_wave(now);
    }

    /// Its devices have their turn.
    fn open_wave(&mut self, now: Timestamp) {
        self.members.call(self.progress.wave, now);
    }

    fn set(&mut self, state: RolloutState, reason: Option<Box<str>>) {
        self.progress.state = state;
        self.progress.reason = reason;
        self.is_changed = true;
    }
}

/// Where a device stands in the order of a rollout: the same in every process, and another for each
/// rollout, so that it is not always the same devices that go first.
fn rank(rollout: &str, device: &DeviceId) -> u64 {
    let mut hash = Sha256::new();
    hash.update(rollout.as_bytes());
    hash.update([0]);
    hash.update(device.as_str().as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
