//! Whether anything may be written to a device now: holds by an operator, and how many devices may be
//! changed in an hour before a second person agrees.
//!
//! A hold stops every write at once: commands stay queued, profiles wait, sessions and events go on. It
//! is asked where writes are handed out, which costs a look at a flag while there is none. What waited
//! is woken little by little afterwards ([`wake`]).

mod hour;
mod metrics;
pub mod wake;

pub use hour::{AgreeError, Approval, ApprovalState};
pub use metrics::Metrics;

use crate::api::Mirror;
use crate::registry::Registry;
use crate::store::{ChangeHourRow, HoldRow, Operation, Steering, SteeringRows};
use arc_swap::ArcSwap;
use hour::{Change, Hours};
use model::{CommandKind, DeviceId, Now, Tenant};
use parking_lot::Mutex;
use provisioning::Revision;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::Notify;

/// Most holds at once: each is a decision of a person.
pub const HOLDS_MAX: usize = 1_000;
/// Most devices that are remembered to be woken, some 100 bytes each; the others come by themselves.
const WAITING_MAX: usize = 100_000;

/// Holds, and the changes of this hour. Shared as `Arc<Holds>`.
#[derive(Debug)]
pub struct Holds {
    /// Whether there is any: what nearly every caller looks at alone.
    stands: AtomicBool,
    rows: ArcSwap<Vec<HoldRow>>,
    changes_max: AtomicU32,
    hours: Mutex<Hours>,
    /// The newest change of the profiles, and who made it.
    change: ArcSwap<Change>,
    /// Devices that wait for a hold to be lifted or were agreed to, and are to be woken then.
    waiting: Mutex<HashSet<(Tenant, DeviceId)>>,
    /// Something that waited may go on.
    released: Notify,
    metrics: Metrics,
}

/// Nothing is held, and there is no limit.
impl Default for Holds {
    fn default() -> Self {
        Self::new(0, Metrics::unregistered())
    }
}

impl Holds {
    /// Nothing is held. So many devices of a tenant may be changed in an hour; 0 is no limit.
    #[must_use]
    pub fn new(changes_max: u32, metrics: Metrics) -> Self {
        Self {
            stands: AtomicBool::new(false),
            rows: ArcSwap::default(),
            changes_max: AtomicU32::new(changes_max),
            hours: Mutex::default(),
            change: ArcSwap::default(),
            waiting: Mutex::default(),
            released: Notify::new(),
            metrics,
        }
    }

    /// Takes over what the store had.
    pub fn load(&self, rows: &SteeringRows) {
        self.put(rows.holds.clone());
        let mut hours = self.hours.lock();
        rows.hours.iter().for_each(|row| hours.restore(row));
        self.metrics.show_hours(&hours);
    }

    /// Whether there is any hold.
    pub fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }

    /// Whether nothing may be written to devices of this model.
    pub fn is_held(&self, tenant: &Tenant, model: Option<&str>) -> bool {
        self.stands() && self.rows.load().iter().any(|row| row.covers(tenant, model))
    }

    /// Whether nothing may be written to a device.
    pub fn holds(&self, registry: &Registry, tenant: &Tenant, device: &DeviceId) -> bool {
        if !self.stands() {
            return false;
        }
        let rows = self.rows.load();
        if rows.iter().any(|row| row.covers(tenant, None)) {
            return true;
        }
        let facts = registry.facts(tenant, device).unwrap_or_default();
        let model = facts.model.or(facts.product_class);
        rows.iter().any(|row| row.covers(tenant, model.as_deref()))
    }

    /// A device has something to be done and is held: it is woken once it is not.
    pub fn remember(&self, tenant: &Tenant, device: &DeviceId) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX {
            waiting.insert((tenant.clone(), device.clone()));
        }
    }

    /// Every hold, oldest first.
    pub fn rows(&self) -> Arc<Vec<HoldRow>> {
        self.rows.load_full()
    }

    /// Takes one of this hour's changes for a device, once an hour and device; false when there is
    /// none left and nobody has agreed to more.
    pub fn may_change(&self, tenant: &Tenant, device: &DeviceId, now: Now) -> bool {
        let max = self.changes_max.load(Ordering::Relaxed);
        if max == 0 {
            return true;
        }
        let change = self.change.load();
        let mut hours = self.hours.lock();
        let may = hours.take(tenant, device, max, &change, now.wall);
        self.metrics.show_hours(&hours);
        may
    }

    /// Another limit holds from now on; 0 is none.
    pub fn set_changes_max(&self, changes_max: u32) {
        let before = self.changes_max.swap(changes_max, Ordering::Relaxed);
        if changes_max == 0 || changes_max > before {
            self.released.notify_one();
        }
    }

    /// The profiles are these from now on, by this token's change; by nobody's where files changed.
    pub fn set_change(&self, revision: Revision, actor: Option<Box<str>>) {
        self.change.store(Arc::new(Change { revision, actor }));
    }

    /// What waits for someone to agree, or was agreed to; of a tenant.
    pub fn approval(&self, tenant: &Tenant) -> Option<Approval> {
        self.hours.lock().approval(tenant)
    }

    /// What is to be kept when `actor` agrees; it holds once that is [committed](Mirror::committed).
    /// `is_author` says whether he may be whom a token of the tenant `default` stands for.
    ///
    /// # Errors
    ///
    /// When there is nothing of that name to agree to, or he may have made the change himself.
    pub fn agree(
        &self,
        tenant: &Tenant,
        id: &str,
        actor: &str,
        is_author: impl Fn(&str) -> bool,
        now: Now,
    ) -> Result<ChangeHourRow, AgreeError> {
        self.hours.lock().agree(tenant, id, actor, is_author, now.wall)
    }

    /// The hours that changed since they were written last.
    fn take_dirty(&self) -> Vec<ChangeHourRow> {
        self.hours.lock().take_dirty()
    }

    fn put(&self, rows: Vec<HoldRow>) {
        self.metrics.show_holds(rows.len());
        // Seen to stand before the flag says so: who sees the flag finds the rows.
        let stands = !rows.is_empty();
        self.rows.store(Arc::new(rows));
        self.stands.store(stands, Ordering::Release);
    }
}

/// Takes over holds and agreements that are on disk.
impl Mirror for Holds {
    fn committed(&self, operation: &Operation) {
        match operation {
            Operation::Steer(Steering::PutHold(row)) => {
                let mut rows = self.rows.load().to_vec();
                rows.push(row.clone());
                self.put(rows);
            }
            Operation::Steer(Steering::RemoveHold { id }) => {
                let rows = self.rows.load();
                self.put(rows.iter().filter(|row| row.id != *id).cloned().collect());
                self.released.notify_one();
            }
            Operation::Steer(Steering::PutChangeHour(row)) => {
                let mut hours = self.hours.lock();
                let waited = hours.take_over(row);
                self.metrics.show_hours(&hours);
                drop(hours);
                let of_tenant = |device| (row.tenant.clone(), device);
                self.waiting.lock().extend(waited.into_iter().map(of_tenant));
                self.released.notify_one();
            }
            _ => {}
        }
    }
}

impl HoldRow {
    /// Whether it is for such devices. A device whose model is not known is not of a model.
    #[must_use]
    pub fn covers(&self, tenant: &Tenant, model: Option<&str>) -> bool {
        self.tenant.as_ref().is_none_or(|it| it == tenant)
            && self.model.as_deref().is_none_or(|it| model == Some(it))
    }
}

/// Whether a command changes something on its device, so that a hold keeps it back. What reads, what has
/// a device send a file of its own, and what takes a transfer back does not.
#[must_use]
pub fn is_write(kind: &CommandKind) -> bool {
    !matches!(
        kind,
        CommandKind::GetParameters { .. }
            | CommandKind::GetParameterNames { .. }
            | CommandKind::GetParameterAttributes { .. }
            | CommandKind::Refresh { .. }
            | CommandKind::GetRpcMethods
            | CommandKind::GetTransfers { .. }
            | CommandKind::GetOptions { .. }
            | CommandKind::Upload { .. }
            | CommandKind::CancelTransfer { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use model::DeviceFacts;

    fn row(id: &str, tenant: Option<&str>, model: Option<&str>) -> HoldRow {
        HoldRow {
            id: id.into(),
            owner: Tenant::default(),
            tenant: tenant.map(|it| Tenant::new(it).unwrap()),
            model: model.map(Into::into),
            reason: "smoke".into(),
            actor: "ada".into(),
            created_at: Clock::start().now().wall,
        }
    }

    fn put(holds: &Holds, row: HoldRow) {
        holds.committed(&Operation::Steer(Steering::PutHold(row)));
    }

    #[test]
    fn a_hold_is_for_all_a_tenant_a_model_or_both() {
        let holds = Holds::default();
        let (default, north) = (Tenant::default(), Tenant::new("north").unwrap());
        let held = |holds: &Holds| {
            let models = [Some("HG8245"), Some("XX230v"), None];
            let of = |tenant: &Tenant| models.map(|it| u8::from(holds.is_held(tenant, it)));
            [of(&default), of(&north)]
        };
        assert_eq!(held(&holds), [[0, 0, 0], [0, 0, 0]]);
        for (tenant, model, expected) in [
            (None, None, [[1, 1, 1], [1, 1, 1]]),
            (Some("north"), None, [[0, 0, 0], [1, 1, 1]]),
            (None, Some("HG8245"), [[1, 0, 0], [1, 0, 0]]),
            (Some("north"), Some("HG8245"), [[0, 0, 0], [1, 0, 0]]),
        ] {
            put(&holds, row("A", tenant, model));
            assert_eq!(held(&holds), expected, "{tenant:?} {model:?}");
            holds.committed(&Operation::Steer(Steering::RemoveHold { id: "A".into() }));
            assert_eq!(held(&holds), [[0, 0, 0], [0, 0, 0]]);
            assert!(!holds.stands());
        }
    }

    #[test]
    fn a_devices_model_is_looked_up_where_a_hold_names_one() {
        let (holds, registry, tenant) = (Holds::default(), Registry::new(), Tenant::default());
        let device = DeviceId::cwmp("00259E", "HG8245", "1").unwrap();
        let facts = DeviceFacts { model: Some("HG8245H".into()), ..DeviceFacts::default() };
        let at = Clock::start().now().wall;
        let (of, id) = (tenant.clone(), device.clone());
        registry.apply_operation(&Operation::PutDevice { tenant: of, device: id, facts, at });
        put(&holds, row("A", None, Some("HG8245")));
        assert!(!holds.holds(&registry, &tenant, &device));
        put(&holds, row("B", None, Some("HG8245H")));
        assert!(holds.holds(&registry, &tenant, &device));
        let stranger = DeviceId::cwmp("00259E", "HG8245", "2").unwrap();
        assert!(!holds.holds(&registry, &tenant, &stranger));
    }
}
