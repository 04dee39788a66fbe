//! Who may sign in as which device: enrolment, credentials of a device's own, names a fleet shares.
//!
//! All of it is in memory, so that nobody is looked up in the store before he has proved who he is.
//! What devices present is kept sealed (HA1) or as an HMAC; it is opened only to be compared.

use crate::clock::Clock;
use crate::registry::Registry;
use crate::secrets::{self, Vault};
use crate::store::{CredentialRow, Operation, WriteError, Writer};
use config::Cidr;
use cwmp::auth::Ha1;
use dashmap::DashMap;
use model::{DeviceId, Protocol, Redacted, Tenant};
use mqtt::auth::{ENROL_USER, PasswordDigest, PasswordKey};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The tag by which an operator allows one device that lost its credentials to enrol again; it goes
/// with the enrolment.
pub const MAY_ENROL_TAG: &str = "may-enrol";
/// Longest user name, in bytes (TR-098 ManagementServer.Username: string(256)).
const USERNAME_LEN_MAX: usize = 256;
/// Longest password, in bytes.
const PASSWORD_LEN_MAX: usize = 256;

/// Everything a device may sign in with.
#[derive(Debug)]
pub struct Credentials {
    vault: Vault,
    password_key: PasswordKey,
    writer: Writer,
    registry: Arc<Registry>,
    clock: Clock,
    enrolment: Enrolment,
    shared: HashMap<Box<str>, Ha1>,
    by_name: DashMap<(Protocol, Box<str>), Arc<Own>>,
    by_device: DashMap<(Protocol, Tenant, DeviceId), Box<str>>,
}

/// The enrolment secret, as each protocol compares it.
#[derive(Debug)]
struct Enrolment {
    ha1: Ha1,
    digest: PasswordDigest,
    networks: Vec<Cidr>,
}

/// A device's own credential.
#[derive(Debug)]
struct Own {
    row: CredentialRow,
}

/// What a user name leads to, before the password is compared.
#[derive(Clone, Debug)]
pub enum Claimant {
    /// One device, and no other.
    Own(Tenant, DeviceId),
    /// Any device that has no confirmed credential of its own.
    Enrolling,
    /// Any device of a fleet that shares this name.
    Shared,
}

/// Whether a device may enrol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enrolled {
    /// It is met for the first time.
    First,
    /// It is known and has no credential of its own yet.
    Again,
    /// It had one and lost it, and may start over.
    Anew,
    /// It has one: somebody else may be using its name.
    Refused,
}

/// Why a credential was not set.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The name is taken by another device, the enrolment or the fleet.
    #[error("the user name is taken")]
    Taken,
    /// Phones do not sign in.
    #[error("a device of this protocol does not sign in")]
    WrongProtocol,
    /// Too long, empty, or with a character that no header carries.
    #[error("a user name or password is 1 to 256 printable characters, the name without a colon")]
    Invalid,
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] WriteError),
}

impl Credentials {
    /// The book, with the enrolment secret and the names that fleets share.
    pub fn new(
        vault: Vault,
        writer: Writer,
        registry: Arc<Registry>,
        clock: Clock,
        enrolment_secret: &Redacted<String>,
        enrol_networks: Vec<Cidr>,
        shared: impl IntoIterator<Item = (Box<str>, Redacted<String>)>,
    ) -> Self {
        let password_key = PasswordKey::new(&vault.derive("mqtt passwords"));
        let enrolment = Enrolment {
            ha1: Ha1::new(ENROL_USER, enrolment_secret.expose()),
            digest: password_key.digest(enrolment_secret.expose().as_bytes()),
            networks: enrol_networks,
        };
        let shared = shared.into_iter().map(|(username, password)| {
            let ha1 = Ha1::new(&username, password.expose());
            (username, ha1)
        });
        Self {
            vault,
            password_key,
            writer,
            registry,
            clock,
            enrolment,
            shared: shared.collect(),
            by_name: DashMap::new(),
            by_device: DashMap::new(),
        }
    }

    /// Takes up what the store keeps.
    pub fn load(&self, rows: impl IntoIterator<Item = CredentialRow>) {
        rows.into_iter().for_each(|row| self.remember(row));
    }

    /// The HA1 behind a user name of a CPE, and whom it leads to.
    pub fn cwmp(&self, username: &str) -> Option<(Ha1, Claimant)> {
        if username == ENROL_USER {
            return Some((self.enrolment.ha1.clone(), Claimant::Enrolling));
        }
        if let Some(ha1) = self.shared.get(username) {
            return Some((ha1.clone(), Claimant::Shared));
        }
        let own = self.own(Protocol::Cwmp, username)?;
        let plain = self.vault.open(own.row.verifier.expose())?;
        let ha1 = Ha1::from_bytes(plain.expose())?;
        Some((ha1, Claimant::Own(own.row.tenant.clone(), own.row.device.clone())))
    }

    /// Whom a board's user name and password lead to; `None` when they do not match.
    pub fn mqtt(&self, username: &str, password: &[u8]) -> Option<Claimant> {
        if username == ENROL_USER {
            let right = self.password_key.verify(password, &self.enrolment.digest);
            return right.then_some(Claimant::Enrolling);
        }
        let own = self.own(Protocol::Mqtt, username)?;
        let kept = <[u8; 32]>::try_from(own.row.verifier.expose().as_slice()).ok()?;
        let right = self.password_key.verify(password, &PasswordDigest::from_bytes(kept));
        right.then(|| Claimant::Own(own.row.tenant.clone(), own.row.device.clone()))
    }

    /// Whether a device may sign in with the enrolment secret. `lost_everything` is whether it says
    /// that it comes from factory settings.
    pub fn enrol(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        from: IpAddr,
        lost_everything: bool,
    ) -> Enrolled {
        let place = (device.protocol(), tenant.clone(), device.clone());
        let own = self.by_device.get(&place).map(|username| username.clone());
        let confirmed = own.and_then(|name| self.own(device.protocol(), &name));
        if !confirmed.is_some_and(|own| own.row.confirmed) {
            let known = self.registry.knows(tenant, device);
            return if known { Enrolled::Again } else { Enrolled::First };
        }
        let trusted = self.enrolment.networks.iter().any(|network| network.contains(from));
        let marked = self.registry.get(tenant, device);
        let marked =
            marked.is_some_and(|device| device.tags.iter().any(|tag| &**tag == MAY_ENROL_TAG));
        if marked || (trusted && lost_everything) { Enrolled::Anew } else { Enrolled::Refused }
    }

    /// Forgets the credential that a device has lost, and the operator's mark.
    pub async fn forget_lost(&self, tenant: &Tenant, device: &DeviceId) -> Result<(), WriteError> {
        let protocol = device.protocol();
        let (tenant, device) = (tenant.clone(), device.clone());
        let unmark = Operation::SetTag {
            tenant: tenant.clone(),
            device: device.clone(),
            tag: MAY_ENROL_TAG.into(),
            present: false,
        };
        self.remove(&tenant, &device, protocol, vec![unmark]).await
    }

    /// Notes that a device has used its own credential, so that the enrolment secret no longer
    /// opens it. One that was replaced or taken away meanwhile stays as it is.
    pub async fn confirm(&self, protocol: Protocol, username: &str) -> Result<(), WriteError> {
        let Some(own) = self.own(protocol, username) else { return Ok(()) };
        if own.row.confirmed {
            return Ok(());
        }
        let verifier = own.row.verifier.clone();
        let confirm =
            Operation::ConfirmCredential { protocol, username: username.into(), verifier };
        match self.writer.transact(vec![confirm]).await {
            Ok(()) => {}
            Err(WriteError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(mut kept) = self.by_name.get_mut(&(protocol, username.into()))
            && Arc::ptr_eq(&kept, &own)
        {
            let row = CredentialRow { confirmed: true, ..own.row.clone() };
            *kept = Arc::new(Own { row });
        }
        Ok(())
    }

    /// Gives a device a credential, made by us where a part is absent, together with `beside` (the
    /// line of the audit trail). Answers what to present: it is not kept in clear.
    pub async fn put(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        username: Option<&str>,
        password: Option<Redacted<String>>,
        mut beside: Vec<Operation>,
    ) -> Result<(Box<str>, Redacted<String>), PutError> {
        let protocol = device.protocol();
        // A colon would end the name in Basic authentication.
        let made = || device.as_str().replacen(':', "-", 1);
        let username: Box<str> = username.map_or_else(made, str::to_owned).into();
        let password = password.unwrap_or_else(secrets::new_secret);
        check(&username, &password)?;
        let verifier = match protocol {
            Protocol::Cwmp => self.vault.seal(&Ha1::new(&username, password.expose()).to_bytes()),
            Protocol::Mqtt => {
                let digest = self.password_key.digest(password.expose().as_bytes());
                Redacted(digest.as_bytes().to_vec())
            }
            Protocol::Ussd => return Err(PutError::WrongProtocol),
        };
        let holder = self.own(protocol, &username);
        let is_own = |own: &Own| own.row.tenant == *tenant && own.row.device == *device;
        let taken = holder.is_some_and(|own| !is_own(&own));
        if taken || &*username == ENROL_USER || self.shared.contains_key(&username) {
            return Err(PutError::Taken);
        }
        let row = CredentialRow {
            tenant: tenant.clone(),
            device: device.clone(),
            username: username.clone(),
            protocol,
            verifier,
            confirmed: false,
        };
        let at = self.clock.now().wall;
        let (tenant, device) = (tenant.clone(), device.clone());
        let facts = model::DeviceFacts::default();
        let make = Operation::PutDevice { tenant, device, facts, at };
        beside.extend([make, Operation::PutCredential(row.clone())]);
        self.commit(beside).await?;
        self.remember(row);
        Ok((username, password))
    }

    /// Takes a device's credential in one protocol away, together with `beside`.
    pub async fn remove(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        protocol: Protocol,
        mut beside: Vec<Operation>,
    ) -> Result<(), WriteError> {
        let (tenant, device) = (tenant.clone(), device.clone());
        let place = (protocol, tenant.clone(), device.clone());
        beside.push(Operation::RemoveCredential { tenant, device, protocol });
        self.commit(beside).await?;
        if let Some((_, username)) = self.by_device.remove(&place) {
            self.by_name.remove(&(protocol, username));
        }
        Ok(())
    }

    async fn commit(&self, operations: Vec<Operation>) -> Result<(), WriteError> {
        // The registry mirrors what it can use of it: the writer keeps nothing of the operations.
        let mirrored: Vec<Operation> = operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::SetTag { tenant, device, tag, present } => Some(Operation::SetTag {
                    tenant: tenant.clone(),
                    device: device.clone(),
                    tag: tag.clone(),
                    present: *present,
                }),
                Operation::PutDevice { tenant, device, facts, at } => Some(Operation::PutDevice {
                    tenant: tenant.clone(),
                    device: device.clone(),
                    facts: facts.clone(),
                    at: *at,
                }),
                _ => None,
            })
            .collect();
        self.writer.transact(operations).await?;
        mirrored.iter().for_each(|operation| self.registry.apply_operation(operation));
        Ok(())
    }

    fn own(&self, protocol: Protocol, username: &str) -> Option<Arc<Own>> {
        self.by_name.get(&(protocol, username.into())).map(|own| Arc::clone(&own))
    }

    fn remember(&self, row: CredentialRow) {
        let place = (row.protocol, row.tenant.clone(), row.device.clone());
        let name = row.username.clone();
        if let Some(old) = self.by_device.insert(place, name.clone()).filter(|old| *old != name) {
            self.by_name.remove(&(row.protocol, old));
        }
        self.by_name.insert((row.protocol, name), Arc::new(Own { row }));
    }
}

fn check(username: &str, password: &Redacted<String>) -> Result<(), PutError> {
    let printable = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    let name_fits = username.len() <= USERNAME_LEN_MAX && !username.contains([':', '"', '\\']);
    let password = password.expose();
    if name_fits && printable(username) && printable(password) && password.len() <= PASSWORD_LEN_MAX
    {
        Ok(())
    } else {
        Err(PutError::Invalid)
    }
}

#[cfg(test)]
mod tests;
