//! Whether a rollout stops by itself, goes on to its next wave, or is done.

use super::{Brake, Rollout, RolloutState};
use crate::{Record, Stage, Trust};
use jiff::{SignedDuration, Timestamp};

impl Rollout {
    /// Looks whether too many failed, whether the next wave is to begin, and whether this is the end:
    /// after each step, and as time passes.
    pub fn review(&mut self, now: Timestamp) {
        if !self.state().is_open() {
            return;
        }
        if self.has_ended(now) {
            return self.set(RolloutState::Done, Some("its time is over".into()));
        }
        while self.state() == RolloutState::Running {
            if let Some(reason) = self.too_many_failed() {
                return self.set(RolloutState::Paused, Some(reason.into()));
            }
            if !self.is_wave_over(now) {
                return;
            }
            if usize::from(self.progress.wave) < self.order.waves.len() {
                self.begin_next(now);
            } else if self.order.dynamic || self.order.lives_s.is_none() || self.total().open() > 0
            {
                // Others may join, or those of earlier waves are still waited for.
                return;
            } else {
                self.set(RolloutState::Done, None);
            }
        }
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        let passed = |since: Timestamp, s: u64| {
            now.duration_since(since)
                >= SignedDuration::from_secs(i64::try_from(s).unwrap_or(i64::MAX))
        };
        self.order.lives_s.is_some_and(|lives_s| passed(self.progress.created_at, lives_s))
    }

    fn too_many_failed(&self) -> Option<String> {
        match self.order.brake {
            Brake::Wave(percent) => {
                let begun = 1..=usize::from(self.progress.wave);
                begun.into_iter().find_map(|wave| {
                    let tally = self.tallies.get(wave)?;
                    let (failed, size) = (tally.new_failures(), tally.admitted());
                    let is_reached = failed > 0
                        && u64::from(failed) * 100 >= u64::from(percent) * u64::from(size);
                    is_reached.then(|| {
                        format!(
                            "{failed} of {size} devices of wave {wave} failed: {percent} % or more"
                        )
                    })
                })
            }
            Brake::Count { failures_min, failures_share } => {
                let total = self.total();
                let failed = total.new_failures();
                let tried = failed + total.of(Stage::Confirmed);
                let trust = Trust { failures_min, failures_share };
                let is_lost = trust.is_lost(Record { failed, tried });
                is_lost.then(|| format!("{failed} of {tried} devices that tried the image failed"))
            }
        }
    }

    /// Whether the wave holds the next one up no more.
    fn is_wave_over(&self, now: Timestamp) -> bool {
        let wave = usize::from(self.progress.wave);
        let tally = &self.tallies[wave];
        if tally.open() == 0 {
            return true;
        }
        if wave >= self.order.waves.len() {
            return false;
        }
        let confirmed = u64::from(tally.of(Stage::Confirmed));
        let enough =
            |of: u32| confirmed * 100 >= u64::from(of) * u64::from(self.order.success_threshold);
        let wait =
            SignedDuration::from_secs(i64::try_from(self.order.wave_wait_s).unwrap_or(i64::MAX));
        let has_waited = now.duration_since(self.progress.wave_since) >= wait;
        let reached = tally.admitted() - tally.of(Stage::Waiting);
        enough(tally.admitted()) || (has_waited && confirmed > 0 && enough(reached))
    }
}
