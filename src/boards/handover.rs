//! What a board leaves behind when it or its SIM changes hands: the name of the SIM, and whose it was.

use super::happened::{Note, SimMoved};
use super::hear::Heard;
use super::reading::Told;
use super::{Boards, Changed, Followed};
use crate::store::{BoardRow, Operation, ReadError};
use model::{Alias, AliasKind, DeviceId, Redacted, Tenant};

impl Boards {
    /// The other board that has the SIM through which a message came, once `operations` are done.
    pub(super) fn holder(&self, operations: &[Operation], told: &Told) -> Option<DeviceId> {
        let alias = Alias::new(AliasKind::Imsi, told.observed()?.0).ok()?;
        let holder = self.named(operations, &told.tenant, &alias)?;
        (holder != told.device).then_some(holder)
    }

    /// Whom a name will mean once `operations` are done.
    fn named(&self, operations: &[Operation], tenant: &Tenant, name: &Alias) -> Option<DeviceId> {
        let last = operations.iter().rev().find_map(|operation| match operation {
            Operation::PutAlias { device, alias, .. } if alias == name => Some(Some(device)),
            Operation::RemoveAlias { alias, .. } if alias == name => Some(None),
            _ => None,
        });
        match last {
            Some(named) => named.cloned(),
            None => self.parts.registry.by_alias(tenant, name),
        }
    }

    /// Takes from a board what is no longer its own: the name of a SIM that it is not bound to any more,
    /// and, when it is back from its customer, that customer and the group.
    pub(super) fn left_behind(
        &self,
        row: &BoardRow,
        heard: &Heard,
        at: jiff::Timestamp,
        operations: &mut Vec<Operation>,
    ) {
        let (tenant, device) = (&row.tenant, &row.device);
        let imsi = heard.released.as_ref();
        let alias = imsi.and_then(|imsi| Alias::new(AliasKind::Imsi, imsi.expose()).ok());
        if let Some(alias) = alias
            && self.named(operations, tenant, &alias).as_ref() == Some(device)
        {
            let (tenant, device) = (tenant.clone(), device.clone());
            operations.push(Operation::RemoveAlias { tenant, device, alias });
        }
        let known = heard.is_returned.then(|| self.parts.registry.get(tenant, device)).flatten();
        let Some(known) = known else { return };
        let (tenant, device) = (known.tenant, known.id);
        if known.group.is_some() {
            let (tenant, device) = (tenant.clone(), device.clone());
            operations.push(Operation::SetGroup { tenant, device, group: None });
        }
        if known.customer.is_some() {
            operations.push(Operation::SetOwner { tenant, device, customer: None, at });
        }
    }

    /// Takes a SIM from the board that had it, in the same write in which another is bound to it.
    pub(super) async fn take_sim(
        &self,
        rows: &mut Vec<Changed>,
        followed: &mut Followed,
        told: &Told,
        (imsi, from): (Redacted<Box<str>>, DeviceId),
    ) -> Result<(), ReadError> {
        let Ok(alias) = Alias::new(AliasKind::Imsi, imsi.expose()) else { return Ok(()) };
        let (tenant, device) = (told.tenant.clone(), from.clone());
        followed.operations.push(Operation::RemoveAlias { tenant, device, alias: alias.clone() });
        let (tenant, device) = (told.tenant.clone(), told.device.clone());
        followed.operations.push(Operation::PutAlias { tenant, device, alias });
        let other = self.row(rows, &told.tenant, &from).await?;
        if other.row.imsi.as_ref() == Some(&imsi) {
            other.row.imsi = None;
            other.row.imsi_trusted = false;
        }
        let moved = Note::SimMoved(SimMoved { imsi, to: told.device.clone() });
        followed.take(&other.row, vec![moved], told.at);
        Ok(())
    }
}
