//! Putting new credentials on a CPE ourselves: in its session, where it keeps what it presents to us
//! (TR-098 and TR-181: ManagementServer.Username and Password).
//!
//! The password is sealed in the store until the device has used it. What became of the tries is in
//! memory alone: after a restart there is one more.

use super::kept::{Pair, Place};
use super::{Credentials, place_of};
use crate::store::CredentialRow;
use cwmp::SetupOutcome;
use dashmap::DashMap;
use jiff::Timestamp;
use model::{CommandKind, DeviceId, Monotonic, Now, ParameterValue, Protocol, Redacted, Tenant};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The pause after the first try; it doubles with each. A device that took the credentials uses
/// them in its next session, or after its next start.
const PAUSE_MIN: Duration = Duration::from_secs(10 * 60);
/// The longest pause: who refuses today may have new firmware tomorrow.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Credentials on their way to a device.
#[derive(Clone, Debug)]
pub struct Pushing(Arc<CredentialRow>);

/// What became of putting credentials on a device so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Push {
    /// How often it was tried since the daemon started.
    pub tries: u32,
    /// When it was tried last.
    pub tried_at: Option<Timestamp>,
    /// Why the device did not take them then; `None` when it did.
    pub refused: Option<Box<str>>,
    /// When it may be tried again.
    not_before: Monotonic,
}

impl Push {
    fn tried(&mut self, refused: Option<Box<str>>, now: Now) {
        let pause = PAUSE_MIN.saturating_mul(1 << self.tries.min(16)).min(PAUSE_MAX);
        self.tries = self.tries.saturating_add(1);
        self.tried_at = Some(now.wall);
        self.refused = refused;
        self.not_before = now.monotonic + pause;
    }
}

/// What is still to be put on devices.
#[derive(Debug, Default)]
pub(super) struct Pushes(DashMap<Place, Push>);

impl Pushes {
    /// Starts over with what a device has now.
    pub(super) fn set(&self, place: &Place, pair: &Pair) {
        if pair.next.as_ref().is_some_and(|next| next.push.is_some()) {
            self.0.insert(place.clone(), Push::default());
        } else {
            self.0.remove(place);
        }
    }

    pub(super) fn get(&self, place: &Place) -> Option<Push> {
        self.0.get(place).map(|push| push.clone())
    }
}

impl Credentials {
    /// What a CPE in its session is to be told so that it presents its new credentials from now on.
    /// Costs next to nothing while no device is to be told.
    ///
    /// The user name is told only where it changes: what a device refuses of the two shuts it out.
    pub fn to_push(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        root: &str,
        now: Monotonic,
    ) -> Option<(CommandKind, Pushing)> {
        if self.pushes.0.is_empty() {
            return None;
        }
        let place = place_of(tenant, device);
        self.pushes.0.get(&place).filter(|push| now >= push.not_before)?;
        let Pair { used, next } = self.kept.of_device(&place);
        let next = next?;
        let password = self.vault.open(next.push.as_ref()?.expose())?;
        let password = String::from_utf8(password.0).ok()?;
        let mut values = BTreeMap::new();
        let mut set = |name: &str, text: String| {
            let value = Redacted(serde_json::Value::String(text));
            let value = ParameterValue::Typed { value, xsd_type: "xsd:string".to_owned() };
            values.insert(format!("{root}ManagementServer.{name}"), value);
        };
        if used.is_none_or(|used| used.username != next.username) {
            set("Username", next.username.clone().into_string());
        }
        set("Password", password);
        Some((CommandKind::SetParameters { values }, Pushing(next)))
    }

    /// Notes what became of [`Credentials::to_push`].
    pub fn pushed(&self, pushing: &Pushing, outcome: &SetupOutcome, now: Now) {
        let row = &pushing.0;
        let place = (Protocol::Cwmp, row.tenant.clone(), row.device.clone());
        let next = self.kept.of_device(&place).next;
        // Replaced meanwhile: the new ones have a try of their own.
        if !next.is_some_and(|next| Arc::ptr_eq(&next, row)) {
            return;
        }
        let refused = match outcome {
            SetupOutcome::Done { .. } => None,
            SetupOutcome::Failed { cause, .. } => Some(cause.clone()),
        };
        if let Some(mut push) = self.pushes.0.get_mut(&place) {
            push.tried(refused, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_at_a_day() {
        let mut push = Push::default();
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let now = Now { monotonic: push.not_before, wall: Timestamp::UNIX_EPOCH };
            push.tried(None, now);
            pauses.push(push.not_before.since(now.monotonic));
        }
        assert_eq!(pauses[..3], [PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MIN * 4]);
        assert_eq!(pauses[19], PAUSE_MAX);
    }
}
