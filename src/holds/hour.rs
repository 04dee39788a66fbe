//! How many devices of a tenant were changed in the present hour, and who agrees to more.

use crate::clock;
use crate::store::ChangeHourRow;
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use provisioning::Revision;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use tracing::{info, warn};

/// What the limit counts in.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long an agreement holds at most. It ends with the next change of the profiles, too.
const AGREED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Most devices that are remembered to wait, some 100 bytes each; those beyond wait all the same.
const WAITING_MAX: usize = 100_000;
/// Most devices that are remembered to be among the hour's, some 100 bytes each; one beyond counts
/// once more when it is changed again.
const COUNTED_MAX: usize = 100_000;

/// The newest change of the profiles.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) revision: Revision,
    pub(super) actor: Option<Box<str>>,
}

/// How an approval stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Someone must agree.
    Pending,
    /// Someone agreed.
    Agreed,
}

/// What waits for a second person, or was agreed to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Approval {
    /// Its name.
    pub id: Box<str>,
    /// How it stands.
    pub state: ApprovalState,
    /// Since when devices wait.
    pub asked_at: Timestamp,
    /// How many could be changed in that hour.
    pub limit: u32,
    /// The profiles as they stood.
    pub revision: Revision,
    /// Who changed them, and cannot agree; anybody may where the files changed by themselves.
    pub changed_by: Option<Box<str>>,
    /// Who agreed.
    pub agreed_by: Option<Box<str>>,
    /// Until when that holds, unless the profiles change before.
    pub agreed_until: Option<Timestamp>,
    /// How many devices are known to wait.
    #[serde(default)]
    pub waiting: usize,
}

/// Why an agreement was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AgreeError {
    /// Nothing of that name waits.
    #[error("nothing of that name waits for an agreement")]
    NoSuch,
    /// It was agreed to before.
    #[error("it was agreed to before")]
    Agreed,
    /// Who made the change cannot agree to it.
    #[error(
        "who changed the profiles cannot agree to it, by no token that comes of his or his of it: \
         another person must"
    )]
    SamePerson,
}

/// One tenant's.
#[derive(Debug, Default)]
struct Hour {
    began_at: Timestamp,
    changed: u32,
    /// Those that took one of the hour's changes; not kept over a restart, when they take another.
    counted: HashSet<DeviceId>,
    waiting: HashSet<DeviceId>,
    approval: Option<Approval>,
    is_dirty: bool,
}

/// Every tenant's hour.
#[derive(Debug, Default)]
pub(super) struct Hours(BTreeMap<Tenant, Hour>);

/// Sums for the metrics.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Totals {
    pub(super) pending: i64,
    pub(super) waiting: i64,
    pub(super) changed: i64,
}

impl Hours {
    /// Takes over what the store had.
    pub(super) fn restore(&mut self, row: &ChangeHourRow) {
        let approval = row.approval.as_ref().and_then(|it| serde_json::from_str(it.as_str()).ok());
        let (began_at, changed) = (row.began_at, row.changed);
        let hour = Hour { began_at, changed, approval, ..Hour::default() };
        self.0.insert(row.tenant.clone(), hour);
    }

    /// Takes one of the hour's changes for a device; false when there is none left.
    pub(super) fn take(
        &mut self,
        tenant: &Tenant,
        device: &DeviceId,
        max: u32,
        change: &Change,
        now: Timestamp,
    ) -> bool {
        let hour = self.0.entry(tenant.clone()).or_default();
        let age = now.duration_since(hour.began_at);
        // One that begins in the future comes of a clock that was set back.
        if age >= HOUR || age.is_negative() {
            (hour.began_at, hour.changed, hour.is_dirty) = (now, 0, true);
            hour.counted.clear();
        }
        if hour.counted.contains(device) {
            return true;
        }
        if hour.changed < max || hour.is_agreed(change, now) {
            hour.changed = hour.changed.saturating_add(1);
            hour.is_dirty = true;
            if hour.counted.len() < COUNTED_MAX {
                hour.counted.insert(device.clone());
            }
            hour.waiting.remove(device);
            // What was asked for came by itself with another hour.
            let is_pending = |it: &mut Approval| it.state == ApprovalState::Pending;
            if hour.waiting.is_empty() && hour.changed < max {
                hour.approval.take_if(is_pending);
            }
            return true;
        }
        hour.wait(tenant, device, max, change, now);
        false
    }

    pub(super) fn approval(&self, tenant: &Tenant) -> Option<Approval> {
        let hour = self.0.get(tenant)?;
        let waiting = hour.waiting.len();
        hour.approval.clone().map(|it| Approval { waiting, ..it })
    }

    pub(super) fn agree(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
        is_author: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<ChangeHourRow, AgreeError> {
        let hour = self.0.get(tenant).ok_or(AgreeError::NoSuch)?;
        let approval = hour.approval.as_ref().filter(|it| *it.id == *id);
        let approval = approval.ok_or(AgreeError::NoSuch)?;
        if approval.state == ApprovalState::Agreed {
            return Err(AgreeError::Agreed);
        }
        if approval.changed_by.as_deref().is_some_and(is_author) {
            return Err(AgreeError::SamePerson);
        }
        let agreed = Approval {
            state: ApprovalState::Agreed,
            agreed_by: Some(actor.into()),
            agreed_until: now.checked_add(AGREED_FOR).ok(),
            ..approval.clone()
        };
        Ok(hour.row(tenant, Some(&agreed)))
    }

    /// Takes over an agreement that is on disk; gives back who waited for it.
    pub(super) fn take_over(&mut self, row: &ChangeHourRow) -> Vec<DeviceId> {
        let kept = row.approval.as_ref();
        let Some(approval) = kept.and_then(|it| serde_json::from_str(it.as_str()).ok()) else {
            return Vec::new();
        };
        let hour = self.0.entry(row.tenant.clone()).or_default();
        hour.approval = Some(approval);
        // A count that was on its way to the disk may have come after it, with the old state.
        hour.is_dirty = true;
        let waited: Vec<_> = hour.waiting.drain().collect();
        info!(tenant = %row.tenant, devices = waited.len(),
            "a second person agreed: waiting devices may be changed");
        waited
    }

    /// The hours that changed since they were written last.
    pub(super) fn take_dirty(&mut self) -> Vec<ChangeHourRow> {
        let row = |(tenant, hour): (&Tenant, &mut Hour)| {
            std::mem::take(&mut hour.is_dirty).then(|| hour.row(tenant, hour.approval.as_ref()))
        };
        self.0.iter_mut().filter_map(row).collect()
    }

    pub(super) fn totals(&self) -> Totals {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let pending = |hour: &&Hour| {
            hour.approval.as_ref().is_some_and(|it| it.state == ApprovalState::Pending)
        };
        Totals {
            pending: count(self.0.values().filter(pending).count()),
            waiting: count(self.0.values().map(|hour| hour.waiting.len()).sum()),
            changed: self.0.values().map(|hour| i64::from(hour.changed)).sum(),
        }
    }
}

impl Hour {
    fn is_agreed(&self, change: &Change, now: Timestamp) -> bool {
        self.approval.as_ref().is_some_and(|it| {
            it.state == ApprovalState::Agreed
                && it.revision == change.revision
                && it.agreed_until.is_some_and(|until| now < until)
        })
    }

    fn wait(
        &mut self,
        tenant: &Tenant,
        device: &DeviceId,
        max: u32,
        change: &Change,
        now: Timestamp,
    ) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(device.clone());
        }
        let asks =
            |it: &Approval| it.state == ApprovalState::Pending && it.revision == change.revision;
        if self.approval.as_ref().is_some_and(asks) {
            return;
        }
        let id = clock::new_name(now);
        warn!(%tenant, limit = max, approval = %id,
            "as many devices were changed as may be in an hour: others wait until someone agrees");
        self.approval = Some(Approval {
            id,
            state: ApprovalState::Pending,
            asked_at: now,
            limit: max,
            revision: change.revision,
            changed_by: change.actor.clone(),
            agreed_by: None,
            agreed_until: None,
            waiting: 0,
        });
        self.is_dirty = true;
    }

    fn row(&self, tenant: &Tenant, approval: Option<&Approval>) -> ChangeHourRow {
        ChangeHourRow {
            tenant: tenant.clone(),
            began_at: self.began_at,
            changed: self.changed,
            approval: approval.map(Json::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn device(n: u32) -> DeviceId {
        DeviceId::cwmp("00259E", "HG8245", &n.to_string()).unwrap()
    }

    fn change(revision: u64, actor: Option<&str>) -> Change {
        Change { revision: Revision(revision), actor: actor.map(Into::into) }
    }

    fn taken(hours: &mut Hours, devices: std::ops::Range<u32>, change: &Change, at: i64) -> usize {
        let tenant = Tenant::default();
        let take = |n: &u32| hours.take(&tenant, &device(*n), 3, change, time(at));
        devices.filter(take).count()
    }

    #[test]
    fn an_hour_has_so_many_changes_and_a_device_takes_one() {
        let (mut hours, change) = (Hours::default(), change(1, Some("ada")));
        assert_eq!(taken(&mut hours, 0..5, &change, 0), 3);
        assert_eq!(taken(&mut hours, 0..5, &change, 3_599), 3, "the same go on");
        let asked = hours.approval(&Tenant::default()).unwrap();
        assert_eq!((asked.state, asked.limit, asked.waiting), (ApprovalState::Pending, 3, 2));
        assert_eq!(hours.totals(), Totals { pending: 1, waiting: 2, changed: 3 });
        assert_eq!(taken(&mut hours, 3..5, &change, 3_600), 2, "another hour");
        assert_eq!(hours.approval(&Tenant::default()), None, "what was asked came by itself");
        let other = Tenant::new("north").unwrap();
        assert!(hours.take(&other, &device(9), 3, &change, time(0)), "others have their own");
    }

    #[test]
    fn who_made_the_change_cannot_agree_to_it() {
        let (mut hours, tenant) = (Hours::default(), Tenant::default());
        let made = change(1, Some("ada"));
        taken(&mut hours, 0..5, &made, 0);
        let id = hours.approval(&tenant).unwrap().id;
        let agree = |hours: &Hours, id: &str, actor| {
            let is_author = |author: &str| author == actor;
            hours.agree(&tenant, id, actor, is_author, time(1)).map(|row| row.changed)
        };
        assert_eq!(agree(&hours, &id, "ada"), Err(AgreeError::SamePerson));
        assert_eq!(agree(&hours, "other", "bob"), Err(AgreeError::NoSuch));
        let row = hours.agree(&tenant, &id, "bob", |_| false, time(1)).unwrap();
        assert_eq!(taken(&mut hours, 3..5, &made, 2), 0, "not before it is on disk");
        assert_eq!(hours.take_over(&row).len(), 2);
        assert_eq!(taken(&mut hours, 3..9, &made, 3), 6);
        assert_eq!(agree(&hours, &id, "eve"), Err(AgreeError::Agreed));
        assert_eq!(taken(&mut hours, 10..20, &made, 86_402), 3, "a day later it is over");
    }

    #[test]
    fn an_agreement_is_for_one_change() {
        let (mut hours, tenant) = (Hours::default(), Tenant::default());
        taken(&mut hours, 0..5, &change(1, None), 0);
        let id = hours.approval(&tenant).unwrap().id;
        let row = hours.agree(&tenant, &id, "anybody", |_| true, time(1)).unwrap();
        hours.take_over(&row);
        assert_eq!(taken(&mut hours, 5..6, &change(1, None), 2), 1);
        assert_eq!(taken(&mut hours, 6..7, &change(2, Some("bob")), 2), 0);
        let asked = hours.approval(&tenant).unwrap();
        assert_ne!(asked.id, id);
        assert_eq!(asked.changed_by.as_deref(), Some("bob"));
    }

    #[test]
    fn the_hour_outlasts_the_process() {
        let (mut hours, made) = (Hours::default(), change(1, Some("ada")));
        taken(&mut hours, 0..5, &made, 0);
        let rows = hours.take_dirty();
        assert!(hours.take_dirty().is_empty());
        let mut again = Hours::default();
        rows.iter().for_each(|row| again.restore(row));
        assert_eq!(taken(&mut again, 7..9, &made, 10), 0);
        let (before, after) =
            (hours.approval(&Tenant::default()), again.approval(&Tenant::default()));
        assert_eq!(before.map(|it| (it.id, it.changed_by)), after.map(|it| (it.id, it.changed_by)));
        assert_eq!(taken(&mut again, 7..8, &made, -1), 1, "a clock set back begins anew");
    }
}
