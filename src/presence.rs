//! Boards that are away for a moment: nobody is told of one that comes back in time.
//!
//! What would be told is kept on disk in the place of the event, in the same write, and is taken
//! away in the same write in which the board's return is noted or its absence told. So a crash at
//! any moment loses no absence and tells none twice. Who was connected at a crash is away from the
//! next start on ([`MqttChange::Interrupted`]); who leaves while the store is full, from then on.

use crate::store::{MqttAbsenceRow, MqttChange, Operation};
use jiff::Timestamp;
use model::{DeviceId, Event, EventType, Tenant};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{Mutex as Turn, MutexGuard};

type Who = (Tenant, DeviceId);

/// Who is away and was not told of. Bounded by the devices.
#[derive(Debug, Default)]
pub struct Presence {
    debounce: Duration,
    away: Mutex<HashMap<Who, Absence>>,
    /// Held while absences are told: the return of one of them is told after it.
    telling: Turn<()>,
}

#[derive(Clone, Debug)]
struct Absence {
    row: MqttAbsenceRow,
    is_told: bool,
}

/// What a write changes here once it is on disk.
#[derive(Debug, Default)]
#[must_use = "what was taken is put back where the write fails"]
pub(crate) struct Changed {
    left: Vec<MqttAbsenceRow>,
    back: Vec<MqttAbsenceRow>,
}

impl Presence {
    /// Waits `debounce` before a board's leaving is told; zero: nothing waits.
    pub fn new(debounce: Duration) -> Self {
        Self { debounce, ..Self::default() }
    }

    /// Takes up what the store keeps.
    pub fn load(&self, rows: Vec<MqttAbsenceRow>) {
        self.away.lock().extend(rows.into_iter().map(|row| (who(&row), Absence::of(row))));
    }

    /// Takes out of `events` what nobody is told now, and adds to `operations` what is written in its
    /// place. Call [`Presence::committed`] or [`Presence::refused`] with what came of it.
    pub(crate) async fn hold(
        &self,
        events: &mut Vec<Event>,
        operations: &mut Vec<Operation>,
    ) -> Changed {
        let mut changed = Changed::default();
        let comes = |event: &Event| event.kind == EventType::DEVICE_CONNECTED;
        let leaves = |event: &Event| event.kind == EventType::DEVICE_DISCONNECTED;
        if !events.iter().any(|event| comes(event) || leaves(event)) {
            return changed;
        }
        let mut told = Vec::with_capacity(events.len());
        for event in events.drain(..) {
            if leaves(&event) && !self.debounce.is_zero() {
                let row = MqttAbsenceRow::from(event);
                operations.push(Operation::Mqtt(MqttChange::PutAbsence(row.clone())));
                changed.left.push(row);
            } else if comes(&event)
                && event.facts.is_none()
                && let Some(row) = self.take(&event).await
            {
                let (tenant, device) = (event.tenant, event.device);
                operations.push(Operation::Mqtt(MqttChange::RemoveAbsence { tenant, device }));
                changed.back.push(row);
            } else {
                told.push(event);
            }
        }
        *events = told;
        changed
    }

    /// The absence of the board that is back. One that is being told is waited for: it is no more,
    /// or could not be told.
    async fn take(&self, event: &Event) -> Option<MqttAbsenceRow> {
        let who = (event.tenant.clone(), event.device.clone());
        loop {
            {
                let mut away = self.away.lock();
                if !away.get(&who)?.is_told {
                    return away.remove(&who).map(|absence| absence.row);
                }
            }
            drop(self.telling.lock().await);
        }
    }

    /// The write is on disk.
    pub(crate) fn committed(&self, changed: Changed) {
        if !changed.left.is_empty() {
            self.load(changed.left);
        }
    }

    /// The write is not.
    pub(crate) fn refused(&self, changed: Changed) {
        if !changed.back.is_empty() {
            self.load(changed.back);
        }
    }

    /// Whoever tells of absences has the turn as long as it holds this.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.telling.lock().await
    }

    /// At most `max` absences that are to be told by now, and what is written with them. They are told
    /// by [`Presence::told`] or stay by [`Presence::not_told`].
    pub(crate) fn due(&self, now: Timestamp, max: usize) -> (Vec<Event>, Vec<Operation>) {
        let mut away = self.away.lock();
        let is_due = |absence: &&mut Absence| {
            let left_at = absence.row.left_at;
            let due_at = left_at.checked_add(self.debounce).unwrap_or(left_at);
            !absence.is_told && (due_at <= now || left_at > now)
        };
        let due = away.values_mut().filter(is_due).take(max);
        due.map(|absence| {
            absence.is_told = true;
            let row = absence.row.clone();
            let (tenant, device) = (row.tenant.clone(), row.device.clone());
            let remove = Operation::Mqtt(MqttChange::RemoveAbsence { tenant, device });
            (row.into_event(), remove)
        })
        .unzip()
    }

    /// What was due is on disk as events.
    pub(crate) fn told(&self) {
        self.away.lock().retain(|_, absence| !absence.is_told);
    }

    /// What was due could not be written: it is due again.
    pub(crate) fn not_told(&self) {
        self.away.lock().values_mut().for_each(|absence| absence.is_told = false);
    }
}

impl Absence {
    fn of(row: MqttAbsenceRow) -> Self {
        Self { row, is_told: false }
    }
}

fn who(row: &MqttAbsenceRow) -> Who {
    (row.tenant.clone(), row.device.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Json;

    const DEBOUNCE: Duration = Duration::from_secs(30);

    fn event(kind: EventType, at: i64) -> Event {
        Event {
            tenant: Tenant::default(),
            device: DeviceId::mqtt("board-1").unwrap(),
            kind,
            time: Timestamp::from_second(at).unwrap(),
            data: Json::empty_object(),
            facts: None,
        }
    }

    /// What is told at once, and how much is written in the place of the rest.
    async fn write(presence: &Presence, event: Event, is_kept: bool) -> (usize, usize) {
        let (mut events, mut operations) = (vec![event], Vec::new());
        let changed = presence.hold(&mut events, &mut operations).await;
        if is_kept {
            presence.committed(changed)
        } else {
            presence.refused(changed)
        }
        (events.len(), operations.len())
    }

    fn due(presence: &Presence, at: i64) -> usize {
        presence.due(Timestamp::from_second(at).unwrap(), 10).0.len()
    }

    #[tokio::test]
    async fn who_is_back_in_time_was_never_away() {
        let presence = Presence::new(DEBOUNCE);
        let (left, back) = (EventType::DEVICE_DISCONNECTED, EventType::DEVICE_CONNECTED);
        assert_eq!(write(&presence, event(back, 0), true).await, (1, 0), "met for the first time");
        assert_eq!(write(&presence, event(left, 10), true).await, (0, 1));
        assert_eq!(due(&presence, 39), 0);
        assert_eq!(write(&presence, event(back, 39), false).await, (0, 1), "and not kept");
        assert_eq!(write(&presence, event(back, 39), true).await, (0, 1));
        assert_eq!(due(&presence, 100), 0);
        assert_eq!(write(&presence, event(back, 101), true).await, (1, 0));
    }

    #[tokio::test]
    async fn who_is_not_is_told_of_once() {
        let presence = Presence::new(DEBOUNCE);
        let (left, back) = (EventType::DEVICE_DISCONNECTED, EventType::DEVICE_CONNECTED);
        assert_eq!(write(&presence, event(left, 10), false).await, (0, 1));
        assert_eq!(due(&presence, 100), 0, "its leaving was not kept");
        assert_eq!(write(&presence, event(left, 10), true).await, (0, 1));
        let (told, written) = presence.due(Timestamp::from_second(40).unwrap(), 10);
        assert_eq!((told[0].time.as_second(), written.len()), (10, 1));
        assert_eq!(due(&presence, 40), 0, "it is being told");
        presence.not_told();
        assert_eq!(due(&presence, 40), 1);
        presence.told();
        assert_eq!(write(&presence, event(back, 41), true).await, (1, 0));
        let telemetry = event(EventType::TELEMETRY_RECEIVED, 42);
        assert_eq!(write(&presence, telemetry, true).await, (1, 0));
    }

    #[tokio::test]
    async fn who_comes_back_while_it_is_told_comes_after_it() {
        let presence = Presence::new(DEBOUNCE);
        let left = event(EventType::DEVICE_DISCONNECTED, 10);
        write(&presence, left, true).await;
        let turn = presence.turn().await;
        assert_eq!(due(&presence, 40), 1);
        let telling = async {
            tokio::task::yield_now().await;
            presence.told();
            drop(turn);
        };
        let back = write(&presence, event(EventType::DEVICE_CONNECTED, 40), true);
        let ((), back) = tokio::join!(telling, back);
        assert_eq!(back, (1, 0));
    }

    #[tokio::test]
    async fn without_a_wait_all_is_told_and_what_waits_is_due() {
        let presence = Presence::new(Duration::ZERO);
        let left = event(EventType::DEVICE_DISCONNECTED, 10);
        assert_eq!(write(&presence, left, true).await, (1, 0));
        let row = MqttAbsenceRow {
            tenant: Tenant::default(),
            device: DeviceId::mqtt("board-2").unwrap(),
            left_at: Timestamp::from_second(10).unwrap(),
            data: Json::empty_object(),
        };
        presence.load(vec![row]);
        assert_eq!(due(&presence, 10), 1, "the wait was longer before the restart");
    }
}
