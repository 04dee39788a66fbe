//! Which CPEs fell silent.
//!
//! Every CPE that may yet fall silent stands here once, under the second at which to look at it
//! again. Hearing it moves nothing: when its second comes, it is looked at, and if it was heard
//! since, it is put where its new line lies. So a CPE costs one step in 2.5 intervals, not one with
//! each Inform, and asking never walks over all of them.

use super::Registry;
use super::record::{Micros, Record};
use super::shard::Handle;
use jiff::Timestamp;
use model::{DeviceId, Tenant};
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// How many CPEs are looked at in one call, at most; the rest waits for the next. Some 20 ms.
const LOOKS_MAX: usize = 65_536;
/// Taken from the set at a time, so that no session waits for long.
const BATCH: usize = 256;
/// After a restart, a CPE whose line lay at least this long before the last sign of life of any
/// device was reported before the restart. Longer than the write-behind and the asking lag.
const REPORTED_BEFORE_MICROS: Micros = 120_000_000;

/// Who is looked at when. Taken after a shard's lock, never before it.
#[derive(Default)]
pub(super) struct Watch(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    due: BTreeSet<(u32, Handle)>,
    /// When the registry was asked first: a CPE that was not heard since the restart is judged as
    /// if it had been heard then, for it could not inform while there was no daemon.
    started_at: Option<Micros>,
    /// The last sign of life of any device in the rows that the registry was rebuilt from.
    restored_until: Micros,
}

impl Watch {
    /// Sees to it that `record` is looked at when its line comes, if it is heard and watched at
    /// all; moves it forward when its line now comes sooner.
    pub(super) fn keep(&self, handle: Handle, record: &mut Record) {
        let Some(line) = record.line() else { return };
        let second = second_after(line);
        if record.watched_s != 0 && record.watched_s <= second {
            return;
        }
        let waiting = &mut self.0.lock();
        if record.watched_s != 0 {
            waiting.due.remove(&(record.watched_s, handle));
        }
        record.watched_s = second;
        waiting.due.insert((second, handle));
    }

    /// Takes note that a row was last heard then.
    pub(super) fn restored(&self, heard: Micros) {
        let waiting = &mut self.0.lock();
        waiting.restored_until = waiting.restored_until.max(heard);
    }

    /// Takes out at most `max` whose second has come.
    fn take(&self, now: Micros, max: usize, out: &mut Vec<(u32, Handle)>) {
        let waiting = &mut self.0.lock();
        waiting.started_at.get_or_insert(now);
        while out.len() < max
            && waiting
                .due
                .first()
                .is_some_and(|first| i64::from(first.0) <= now.div_euclid(1_000_000))
        {
            out.extend(waiting.due.pop_first());
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().due.len()
    }

    /// Looks at a record that was taken out: whether it fell silent just now.
    fn judge(&self, second: u32, handle: Handle, record: &mut Record, now: Micros) -> bool {
        if record.watched_s != second {
            return false; // moved forward meanwhile
        }
        record.watched_s = 0;
        let Some(mut line) = record.line() else { return false };
        let waiting = &mut self.0.lock();
        if record.restored {
            if line <= waiting.restored_until.saturating_sub(REPORTED_BEFORE_MICROS) {
                return false;
            }
            line = record.line_after(waiting.started_at.unwrap_or(now)).max(line);
        }
        if now > line {
            return true;
        }
        record.watched_s = second_after(line);
        waiting.due.insert((record.watched_s, handle));
        false
    }
}

/// The first whole second after `line`; 0 stands for "not watched".
fn second_after(line: Micros) -> u32 {
    let second = line.div_euclid(1_000_000).saturating_add(1).max(1);
    u32::try_from(second).unwrap_or(u32::MAX)
}

impl Registry {
    /// CPEs that have not been heard for 2.5 times their interval, at most `max`: each once, until
    /// it is heard again. Found up to a second late. To be asked every second or so.
    ///
    /// After a restart, a CPE has 2.5 intervals from the first call, because it could not inform
    /// while the daemon was down; those that fell silent long before it are not reported again.
    pub fn newly_silent(&self, now: Timestamp, max: usize) -> Vec<(Tenant, DeviceId)> {
        let now = now.as_microsecond();
        self.set_clock(now);
        let (mut silent, mut batch) = (Vec::new(), Vec::new());
        let mut looks = 0;
        while silent.len() < max && looks < LOOKS_MAX {
            batch.clear();
            self.watch.take(now, BATCH.min(max - silent.len()), &mut batch);
            if batch.is_empty() {
                break;
            }
            looks += batch.len();
            for &(second, handle) in &batch {
                let mut shard = self.shards[handle.shard()].write();
                let Some(record) = shard.record_mut(handle) else { continue };
                if self.watch.judge(second, handle, record, now) {
                    silent.push((record.tenant.clone(), super::device_id(record)));
                }
            }
        }
        silent
    }
}
