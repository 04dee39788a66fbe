//! What a device is told without anyone asking: the shipped profile, decided by `provisioning`.

use crate::clock::Clock;
use crate::registry::Registry;
use crate::secrets::{self, Vault};
use crate::store::{Operation, WriteError, Writer};
use crate::wake::SignIn;
use model::{CommandKind, DeviceId, Redacted, Tenant};
use provisioning::{BaseProfile, ConnectionRequest, Known};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// The user name that we present when waking a device; the password is its own.
const WAKE_USERNAME: &str = "lastmile";

/// Decides with what the daemon knows, and keeps what came of it.
#[derive(Debug)]
pub struct Provision {
    profile: BaseProfile,
    registry: Arc<Registry>,
    writer: Writer,
    vault: Vault,
    clock: Clock,
}

/// A device in its session.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Which.
    pub device: &'a DeviceId,
    /// The root of its data model.
    pub root: &'a str,
    /// Whether it comes from factory settings.
    pub is_bootstrap: bool,
    /// The interval it said, in seconds.
    pub inform_interval_s: Option<u32>,
}

impl Provision {
    /// With the shipped profile; `server_url` is where CPEs are told to call.
    pub fn new(
        registry: Arc<Registry>,
        writer: Writer,
        vault: Vault,
        clock: Clock,
        server_url: Option<Box<str>>,
    ) -> Self {
        let profile = BaseProfile { server_url, ..BaseProfile::default() };
        Self { profile, registry, writer, vault, clock }
    }

    /// What the profile demands of a device now, and the credentials among it, which are to be
    /// [kept](Self::keep) once the device took them.
    pub fn set_up(&self, subject: Subject<'_>) -> Option<(CommandKind, SignIn)> {
        let known = Known {
            root: subject.root,
            is_bootstrap: subject.is_bootstrap,
            can_be_woken: self.can_be_woken(subject.tenant, subject.device),
            inform_interval_s: subject.inform_interval_s,
        };
        if known.can_be_woken && !known.is_bootstrap {
            return None;
        }
        let password = secrets::new_secret();
        let credentials = ConnectionRequest { username: WAKE_USERNAME, password: &password };
        let phase = self.phase(subject.device);
        let kind = provisioning::decide(known, &self.profile, credentials, &phase)?;
        let password = Redacted(password.expose().as_str().into());
        Some((kind, SignIn { username: WAKE_USERNAME.into(), password }))
    }

    /// Whether there are credentials to wake a device with, and it took them when they were last
    /// presented ([`Waker`](crate::wake::Waker) empties those that a device refused).
    fn can_be_woken(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        let sealed = self.registry.connection_request(tenant, device);
        sealed.is_some_and(|sealed| !sealed.expose().is_empty())
    }

    /// Keeps the credentials that a device took over.
    pub async fn keep(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        sign_in: &SignIn,
    ) -> Result<(), WriteError> {
        let sealed = self.vault.seal(&sign_in.to_bytes());
        let (tenant, device) = (tenant.clone(), device.clone());
        let keep = |sealed| Operation::SetConnectionRequest {
            tenant: tenant.clone(),
            device: device.clone(),
            sealed,
        };
        self.writer.transact(vec![keep(sealed.clone())]).await?;
        self.registry.apply_operation(&keep(sealed));
        Ok(())
    }

    /// A moment within one interval that is the device's own, so that a fleet that was switched on
    /// together does not call together.
    fn phase(&self, device: &DeviceId) -> String {
        let interval_s = self.profile.inform_interval.as_secs().max(1);
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(device);
        let offset_s = i64::try_from(hash % interval_s).unwrap_or(0);
        let day = self.clock.now().wall.as_second() / 86_400 * 86_400;
        let phase = jiff::Timestamp::from_second(day + offset_s);
        phase.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }
}
