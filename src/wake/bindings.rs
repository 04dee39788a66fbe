//! Where devices keep a hole open for us: names and passwords for the STUN server, and what each
//! device's own requests show of its address (TR-069 Annex G).
//!
//! A device's name and password are derived from the store's key, so that nothing of them is kept and
//! a restart changes nothing. What was learnt is in memory: devices repeat it twice a minute.

use crate::registry::{Filter, Registry};
use crate::secrets::Vault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::{DeviceId, Monotonic, Protocol, Redacted, Tenant};
use sha2::Sha256;
use std::net::SocketAddr;
use std::time::Duration;

/// Characters of a name: 120 bits in base64url, a multiple of four so that STUN adds nothing to it.
const NAME_LEN: usize = 20;
/// Bytes of a password before base64url.
const PASSWORD_LEN: usize = 16;
/// How long a binding is believed without being repeated: devices are told to do so every 25 s, and
/// translations of addresses keep a binding for two to five minutes.
const AGE_MAX: Duration = Duration::from_secs(150);
/// Devices taken from the registry at a time when the names are made.
const PAGE: usize = 1_000;

type Key = (Tenant, DeviceId);
type Name = [u8; NAME_LEN];

/// Names, passwords and bindings. As many of each as there are devices at most.
pub struct Bindings {
    key: Hmac<Sha256>,
    devices: DashMap<Name, Key>,
    bindings: DashMap<Key, Binding>,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    address: SocketAddr,
    at: Monotonic,
}

impl Bindings {
    /// Knows the name of every CPE of `tenant` in the registry.
    #[must_use]
    pub fn new(vault: &Vault, registry: &Registry, tenant: &Tenant) -> Self {
        let key = vault.derive("stun");
        let key = <Hmac<Sha256>>::new_from_slice(&key).expect("HMAC takes a key of any length");
        let bindings = Self { key, devices: DashMap::new(), bindings: DashMap::new() };
        let filter = Filter { protocol: Some(Protocol::Cwmp), ..Filter::default() };
        let mut after = None;
        loop {
            let part = registry.part(tenant, &filter, after.as_ref(), PAGE, PAGE);
            for device in part.devices {
                bindings.name(tenant, &device.id);
            }
            after = part.next;
            if after.is_none() {
                return bindings;
            }
        }
    }

    /// A device's STUNUsername, which from now on leads to it.
    pub fn name(&self, tenant: &Tenant, device: &DeviceId) -> String {
        let text = format!("name\0{}\0{}", tenant.as_str(), device.as_str());
        let name = self.derive::<{ NAME_LEN / 4 * 3 }>(&text);
        if let Ok(bytes) = Name::try_from(name.as_bytes()) {
            self.devices.insert(bytes, (tenant.clone(), device.clone()));
        }
        name
    }

    /// The STUNPassword that belongs to a name, anybody's.
    #[must_use]
    pub fn password(&self, name: &str) -> Redacted<String> {
        Redacted(self.derive::<PASSWORD_LEN>(&format!("password\0{name}")))
    }

    /// Takes over where a device's request came from. `name` was proved. `false`: nobody has it.
    pub fn learn(&self, name: &str, address: SocketAddr, at: Monotonic) -> bool {
        let name = Name::try_from(name.as_bytes()).ok();
        let Some(key) = name.and_then(|name| self.devices.get(&name).map(|key| key.clone())) else {
            return false;
        };
        self.bindings.insert(key, Binding { address, at });
        true
    }

    /// Where a device can be reached by UDP now.
    #[must_use]
    pub fn of(&self, tenant: &Tenant, device: &DeviceId, now: Monotonic) -> Option<SocketAddr> {
        let binding = self.bindings.get(&(tenant.clone(), device.clone()))?;
        (now.since(binding.at) <= AGE_MAX).then_some(binding.address)
    }

    /// Forgets bindings that were not repeated; how many there are.
    pub fn sweep(&self, now: Monotonic) -> usize {
        self.bindings.retain(|_, binding| now.since(binding.at) <= AGE_MAX);
        self.bindings.len()
    }

    fn derive<const LEN: usize>(&self, text: &str) -> String {
        let mut mac = self.key.clone();
        mac.update(text.as_bytes());
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        URL_SAFE_NO_PAD.encode(&whole[..LEN])
    }
}

impl std::fmt::Debug for Bindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (devices, bindings) = (self.devices.len(), self.bindings.len());
        f.debug_struct("Bindings").field("devices", &devices).field("bindings", &bindings).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::KEY_LEN;

    fn bindings(key: u8) -> Bindings {
        Bindings::new(&Vault::new(&[key; KEY_LEN]), &Registry::new(), &Tenant::default())
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn names_and_passwords_are_each_devices_own_and_stay() {
        let (ours, tenant) = (bindings(1), Tenant::default());
        let id = |serial: &str| DeviceId::cwmp("00D09E", "X", serial).unwrap();
        let name = ours.name(&tenant, &id("1"));
        assert_eq!(name.len(), NAME_LEN);
        assert_eq!(name, bindings(1).name(&tenant, &id("1")), "after a restart");
        assert_ne!(name, ours.name(&tenant, &id("2")));
        assert_ne!(name, bindings(2).name(&tenant, &id("1")), "another store");
        assert_eq!(ours.password(&name).expose().len(), 22);
        assert_ne!(ours.password(&name), ours.password(&ours.name(&tenant, &id("2"))));
        assert!(!ours.password(&name).expose().contains(&name));
    }

    #[test]
    fn a_binding_is_of_the_named_device_and_ages() {
        let (ours, tenant) = (bindings(1), Tenant::default());
        let id = DeviceId::cwmp("00D09E", "X", "1").unwrap();
        let address: SocketAddr = "203.0.113.7:1024".parse().unwrap();
        assert!(!ours.learn("nobody", address, at(1)));
        assert!(!ours.learn(&"n".repeat(NAME_LEN), address, at(1)));
        let name = ours.name(&tenant, &id);
        assert_eq!(ours.of(&tenant, &id, at(1)), None);
        assert!(ours.learn(&name, address, at(1)));
        assert_eq!(ours.of(&tenant, &id, at(151)), Some(address));
        assert_eq!(ours.of(&tenant, &id, at(152)), None);
        assert_eq!((ours.sweep(at(151)), ours.sweep(at(152))), (1, 0));
    }
}
