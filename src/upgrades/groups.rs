//! What groups should run: every device of one is brought to it, also one that joins later.

use super::standing::Wish;
use super::{Entry, Key, Source, Upgrades};
use crate::registry::{Device, Filter};
use crate::store::{FirmwareOperation, GroupFirmwareRow, Operation, WriteError};
use firmware::{ImageName, Rollout};
use model::{DeviceId, Json, Protocol, Tenant};
use provisioning::Window;
use std::sync::Arc;
use tracing::debug;

/// Devices that are looked at in one go.
const LOOKS: usize = 1_000;

impl Upgrades {
    /// What a group should run.
    pub fn group(&self, tenant: &Tenant, group: &str) -> Option<GroupFirmwareRow> {
        self.groups.get(&(tenant.clone(), group.into())).map(|row| row.clone())
    }

    /// Says what a group should run, in place of what was said before; its devices have their turn
    /// from now on.
    pub async fn set_group(self: &Arc<Self>, row: GroupFirmwareRow) -> Result<(), WriteError> {
        let detail = Json::of(&serde_json::json!({ "image": row.image, "version": row.version }));
        let (tenant, actor, group, now) = (&row.tenant, &row.actor, &row.group, self.now());
        let audit = Operation::audit(tenant, now, actor, "group.firmware.put", group, detail);
        let put = Operation::Firmware(FirmwareOperation::PutGroup(row.clone()));
        self.parts.writer.transact(vec![put, audit]).await?;
        let key = (row.tenant.clone(), row.group.clone());
        self.groups.insert(key, row.clone());
        let reason = "the group is to run another image";
        self.end_group(&row.tenant, &row.group, reason, Some(&row)).await;
        let upgrades = Arc::clone(self);
        tokio::spawn(async move { upgrades.call_group(&row.tenant, &row.group).await });
        Ok(())
    }

    /// Nothing is wanted of a group any more; says whether anything was.
    pub async fn clear_group(
        &self,
        tenant: &Tenant,
        group: &str,
        actor: &str,
    ) -> Result<bool, WriteError> {
        let key = (tenant.clone(), group.into());
        if !self.groups.contains_key(&key) {
            return Ok(false);
        }
        let (now, nothing) = (self.now(), Json::empty_object());
        let audit = Operation::audit(tenant, now, actor, "group.firmware.delete", group, nothing);
        let remove = FirmwareOperation::RemoveGroup { tenant: tenant.clone(), group: group.into() };
        self.parts.writer.transact(vec![Operation::Firmware(remove), audit]).await?;
        self.groups.remove(&key);
        self.end_group(tenant, group, "nothing is wanted of the group any more", None).await;
        Ok(true)
    }

    /// A device was put into a group, or taken out of one: what it was to run as one of another is over,
    /// and it has its turn.
    pub fn regrouped(self: &Arc<Self>, tenant: &Tenant, device: &DeviceId) {
        let (upgrades, key) = (Arc::clone(self), (tenant.clone(), device.clone()));
        if self.groups.is_empty() && !self.book.is_concerned(&key) {
            return;
        }
        tokio::spawn(async move { upgrades.call(&key).await });
    }

    /// Ends the rollouts that stood for a group, but for the one that stands for it now.
    async fn end_group(
        &self,
        tenant: &Tenant,
        group: &str,
        reason: &str,
        now: Option<&GroupFirmwareRow>,
    ) {
        let source = Source::Group(group.into());
        let is_wanted = |it: &Rollout| {
            now.is_some_and(|row| match (&row.image, &row.version) {
                (Some(image), _) => *image == it.order().image,
                (None, version) => version.as_deref() == Some(&*it.order().version),
            })
        };
        for entry in self.book.open() {
            if entry.tenant != *tenant || entry.source != source || entry.with(|it| is_wanted(it)) {
                continue;
            }
            if entry.with(|it| it.abort(reason)).is_ok() {
                self.save(&entry).await;
                self.take_back(&entry, reason).await;
            }
        }
    }

    async fn call_group(self: &Arc<Self>, tenant: &Tenant, group: &str) {
        let filter = Filter { group: Some(group.into()), ..Filter::default() };
        let mut after = None;
        loop {
            let (registry, last) = (&self.parts.registry, after.take());
            let part = registry.part(tenant, &filter, last.as_ref(), LOOKS, LOOKS);
            for device in part.devices {
                self.call(&(device.tenant.clone(), device.id.clone())).await;
            }
            after = part.next;
            if after.is_none() {
                return;
            }
        }
    }

    async fn call(&self, key: &Key) {
        let _busy = self.begin_in_turn(key).await;
        if let Some(device) = self.parts.registry.get(&key.0, &key.1) {
            self.leave_groups(&device).await;
            self.join_group(&device).await;
        }
    }

    /// Ends what a device was to run as one of another group, unless it has fetched that whole: then
    /// its report says how it ended. Whoever calls holds the right to make its steps.
    pub(super) async fn leave_groups(&self, device: &Device) {
        const CAUSE: &str = "it is in another group now";
        let id = &device.id;
        for entry in self.book.of(&(device.tenant.clone(), id.clone())) {
            if self.is_for(&entry, device) {
                continue;
            }
            let left = if id.protocol() == Protocol::Mqtt {
                self.step(&entry, id, |it, m| it.leave(id, CAUSE, m.now)).await
            } else {
                // What it was told cannot be taken back, and is heard out.
                self.withdraw(&entry, id, CAUSE).await;
                self.step(&entry, id, |it, m| it.refuse(id, CAUSE, m.now)).await
            };
            if let Err(error) = left {
                debug!(device = %id, %error, "step not kept; tried again");
            }
        }
    }

    /// Whether a rollout is for the group that a device is in: by what wants it, by its target, and by
    /// its image unless that is forced.
    pub(super) fn is_for(&self, entry: &Entry, device: &Device) -> bool {
        let is_own = |group: &str| device.group.as_deref() == Some(group);
        if matches!(&entry.source, Source::Group(group) if !is_own(group)) {
            return false;
        }
        let (image, target, force) = entry.with(|it| {
            let order = it.order();
            let target = order.target.as_ref().and_then(|it| it.group.clone());
            (order.image.clone(), target, order.force)
        });
        let image = self.parts.transfers.image(&entry.tenant, &image).filter(|_| !force);
        let of_image = image.as_ref().and_then(|it| it.image.group.as_ref());
        target.is_none_or(|it| is_own(&it)) && of_image.is_none_or(|it| is_own(it.as_str()))
    }

    /// Whether something is wanted of the group that a device is in.
    pub(super) fn is_grouped(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        if self.groups.is_empty() {
            return false;
        }
        let group = self.parts.registry.group(tenant, device);
        group.is_some_and(|group| self.groups.contains_key(&(tenant.clone(), group)))
    }

    /// Puts a device into the rollout that stands for its group. Whoever calls holds the right to
    /// make its steps.
    pub(super) async fn join_group(&self, device: &Device) {
        let Some(group) = &device.group else { return };
        let Some(row) = self.group(&device.tenant, group) else { return };
        let window = window_of(&row);
        let wish = wish_of(&row, window.as_ref());
        // Who is not given it has his reason: it is told by the group's answer, device by device.
        let _ = self.join(device, &wish).await;
    }
}

/// When a group's image may be given.
fn window_of(row: &GroupFirmwareRow) -> Option<Window> {
    row.window.as_ref().and_then(|text| serde_json::from_str(text.as_str()).ok())
}

/// What is wanted of a group.
pub(super) fn wish_of<'a>(row: &'a GroupFirmwareRow, window: Option<&'a Window>) -> Wish<'a> {
    Wish {
        source: Source::Group(row.group.clone()),
        image: row.image.as_ref().map(ImageName::as_str),
        version: row.version.as_deref(),
        sha256: None,
        size: None,
        window,
    }
}
