//! The devices of a rollout, found by name and by time.

use crate::{Attempt, Stage};
use jiff::Timestamp;
use model::DeviceId;
use std::collections::{BTreeSet, HashMap};

/// The devices of a rollout: some 250 bytes each.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    list: Vec<Member>,
    places: HashMap<DeviceId, u32>,
    /// What the clock has to do, with places in the list.
    timers: BTreeSet<(Timestamp, u32)>,
}

#[derive(Clone, Debug)]
struct Member {
    device: DeviceId,
    wave: u8,
    attempt: Attempt,
}

impl Members {
    /// Adds a device; false when it is there.
    pub(super) fn insert(&mut self, device: DeviceId, wave: u8, attempt: Attempt) -> bool {
        if self.places.contains_key(&device) {
            return false;
        }
        let place = u32::try_from(self.list.len()).expect("no memory holds so many devices");
        self.timers.extend(attempt.due_at.map(|at| (at, place)));
        self.places.insert(device.clone(), place);
        self.list.push(Member { device, wave, attempt });
        true
    }

    pub(super) fn get(&self, device: &DeviceId) -> Option<(u8, &Attempt)> {
        let place = *self.places.get(device)?;
        self.list.get(place as usize).map(|it| (it.wave, &it.attempt))
    }

    pub(super) fn set(&mut self, device: &DeviceId, attempt: Attempt) {
        let Some(&place) = self.places.get(device) else { return };
        let Some(member) = self.list.get_mut(place as usize) else { return };
        if member.attempt.due_at != attempt.due_at {
            member.attempt.due_at.map(|at| self.timers.remove(&(at, place)));
            self.timers.extend(attempt.due_at.map(|at| (at, place)));
        }
        member.attempt = attempt;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&DeviceId, u8, &Attempt)> {
        self.list.iter().map(|it| (&it.device, it.wave, &it.attempt))
    }

    /// The first `max` devices whose time has come and that `fit`.
    pub(super) fn due(
        &self,
        now: Timestamp,
        max: usize,
        fit: impl Fn(&Attempt) -> bool,
    ) -> Vec<DeviceId> {
        let come = self.timers.iter().take_while(|(at, _)| *at <= now);
        let members = come.filter_map(|(_, place)| self.list.get(*place as usize));
        members.filter(|it| fit(&it.attempt)).take(max).map(|it| it.device.clone()).collect()
    }

    /// When the first of them has its time.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// All devices of a wave that wait are due now.
    pub(super) fn call(&mut self, wave: u8, now: Timestamp) {
        for (place, member) in (0_u32..).zip(&mut self.list) {
            if member.wave == wave && member.attempt.stage == Stage::Waiting {
                member.attempt.due_at.map(|at| self.timers.remove(&(at, place)));
                member.attempt.due_at = Some(now);
                self.timers.insert((now, place));
            }
        }
    }
}
