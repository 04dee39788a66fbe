//! What a device is told without anyone asking: the shipped profile, decided by `provisioning`.

use crate::clock::Clock;
use crate::registry::Registry;
use crate::secrets::{self, Vault};
use crate::store::{Operation, WriteError, Writer};
use crate::wake::{Bindings, SignIn};
use model::{CommandKind, DeviceId, Redacted, Tenant};
use provisioning::base::{self, BaseProfile, ConnectionRequest, Known, Part, Stun};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The user name that we present when waking a device; the password is its own.
const WAKE_USERNAME: &str = "lastmile";

/// The name of the work that tells a device of the STUN server.
pub const STUN: &str = "stun";

/// Decides with what the daemon knows, and keeps what came of it.
#[derive(Debug)]
pub struct Provision {
    profile: BaseProfile,
    stun: Option<StunServer>,
    registry: Arc<Registry>,
    writer: Writer,
    vault: Vault,
    clock: Clock,
}

/// Our STUN server as devices are told of it.
#[derive(Clone, Debug)]
pub struct StunServer {
    /// How they reach it; `None`: at the host of their ACS URL.
    pub host: Option<Box<str>>,
    /// Its port.
    pub port: u16,
    /// Their names and passwords.
    pub bindings: Arc<Bindings>,
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
    /// With the shipped profile; `server_url` is where CPEs are told to call, `stun` where they keep a
    /// hole open for us.
    pub fn new(
        registry: Arc<Registry>,
        writer: Writer,
        vault: Vault,
        clock: Clock,
        server_url: Option<Box<str>>,
        stun: Option<StunServer>,
    ) -> Self {
        let profile = BaseProfile { server_url, ..BaseProfile::default() };
        Self { profile, stun, registry, writer, vault, clock }
    }

    /// What the profile demands of a device now, and the credentials among it, which are to be
    /// [kept](Self::keep) once the device took them.
    pub fn set_up(&self, subject: Subject<'_>) -> Option<(Vec<Part>, SignIn)> {
        let known = self.known(subject, false);
        if known.can_be_woken && !known.is_bootstrap {
            return None;
        }
        let password = secrets::new_secret();
        let credentials = ConnectionRequest { username: WAKE_USERNAME, password: &password };
        let phase = self.phase(subject.device);
        let parts = base::decide(known, &self.profile, credentials, &phase);
        let password = Redacted(password.expose().as_str().into());
        Some((parts, SignIn { username: WAKE_USERNAME.into(), password, knows_stun: false }))
    }

    /// What a device is to be told of the STUN server now; to be given as work named [`STUN`], and
    /// its end [told](Self::stun_told).
    pub fn set_up_stun(&self, subject: Subject<'_>) -> Option<CommandKind> {
        let server = self.stun.as_ref()?;
        let kept = self.kept(subject.tenant, subject.device);
        let known = self.known(subject, kept.is_some_and(|kept| kept.knows_stun));
        if known.knows_stun && !known.is_bootstrap {
            return None;
        }
        let username = server.bindings.name(subject.tenant, subject.device);
        let password = server.bindings.password(&username);
        let (host, port) = (server.host.as_deref(), server.port);
        let stun = Stun { host, port, username: &username, password: &password };
        base::decide_stun(known, stun)
    }

    /// A device answered what it was told of the STUN server, whatever it said: one that does not
    /// know such a thing is not asked at each session.
    pub async fn stun_told(&self, tenant: &Tenant, device: &DeviceId) -> Result<(), WriteError> {
        match self.kept(tenant, device) {
            Some(kept) if !kept.knows_stun => {
                self.keep(tenant, device, &SignIn { knows_stun: true, ..kept }).await
            }
            // Without credentials the device is told both again.
            Some(_) | None => Ok(()),
        }
    }

    fn kept(&self, tenant: &Tenant, device: &DeviceId) -> Option<SignIn> {
        let sealed = self.registry.connection_request(tenant, device)?;
        SignIn::from_bytes(self.vault.open(sealed.expose())?.expose())
    }

    fn known<'a>(&self, subject: Subject<'a>, knows_stun: bool) -> Known<'a> {
        Known {
            root: subject.root,
            is_bootstrap: subject.is_bootstrap,
            can_be_woken: self.can_be_woken(subject.tenant, subject.device),
            knows_stun,
            inform_interval_s: subject.inform_interval_s,
        }
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
        let offset_s = offset_s(device, self.profile.inform_interval.as_secs());
        let day = self.clock.now().wall.as_second() / 86_400 * 86_400;
        let phase = jiff::Timestamp::from_second(day + offset_s);
        phase.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }
}

/// Where in an interval a device's moment lies, in seconds: the same in every process and every
/// release, or each restart would move a part of the fleet.
fn offset_s(device: &DeviceId, interval_s: u64) -> i64 {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(device.as_str().as_bytes()).into();
    let hash = u64::from(u32::from_be_bytes([a, b, c, d]));
    i64::try_from(hash % interval_s.max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICES: u32 = 20_000;
    const BUCKETS: usize = 60;

    /// Serials in a row and makers in few: as fleets are bought.
    fn fleet() -> impl Iterator<Item = DeviceId> {
        (0..DEVICES).map(|n| {
            let oui = ["00259E", "00D09E"][(n % 2) as usize];
            DeviceId::cwmp(oui, "HG8245", &format!("48575443{:08X}", 0x1000 + n)).unwrap()
        })
    }

    #[test]
    fn a_fleet_calls_evenly() {
        let mut minutes = [0_u32; BUCKETS];
        for device in fleet() {
            let offset_s = usize::try_from(offset_s(&device, 3_600)).unwrap();
            assert!(offset_s < 3_600);
            minutes[offset_s / BUCKETS] += 1;
        }
        let mean = f64::from(DEVICES) / BUCKETS as f64;
        let square = |&count: &u32| (f64::from(count) - mean).powi(2) / mean;
        let chi: f64 = minutes.iter().map(square).sum();
        // 59 degrees of freedom: one even fleet in a thousand is above 99.
        assert!(chi < 99.0, "chi-square {chi}: {minutes:?}");
        let most = f64::from(*minutes.iter().max().unwrap());
        assert!(most < 1.25 * mean, "{most} in one minute, {mean} on average");
    }

    #[test]
    fn a_devices_moment_stays() {
        let device = DeviceId::cwmp("00259E", "HG8245", "1").unwrap();
        assert_eq!(offset_s(&device, 3_600), 3516, "as it always was");
        assert_eq!(offset_s(&device, 0), 0);
        assert!((0..300).contains(&offset_s(&device, 300)));
    }
}
