//! Who may sign in as which device: enrolment, credentials of a device's own, names a fleet shares.
//!
//! All of it is in memory, so that nobody is looked up in the store before he has proved who he is.
//! What devices present is kept sealed (HA1) or as an HMAC; it is opened only to be compared.
//!
//! A device that is given new credentials keeps the old until it has used the new: it may never get
//! them.

mod kept;
mod push;
mod words;

pub use self::push::{Push, Pushing};
pub use self::words::{
    Candidates, Claimant, Enrolled, Given, NewCredential, Own, Pending, PutError, Standing,
};

use self::kept::{Kept, Pair, Place};
use self::push::Pushes;
use self::words::check;
use crate::clock::Clock;
use crate::registry::Registry;
use crate::secrets::{self, Vault};
use crate::store::{CredentialRow, Operation, WriteError, Writer};
use config::Cidr;
use cwmp::auth::Ha1;
use model::{DeviceId, Protocol, Redacted, Tenant};
use mqtt::auth::{ENROL_USER, PasswordDigest, PasswordKey};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The tag by which an operator allows one device that lost its credentials to enrol again; it goes
/// with the enrolment.
pub const MAY_ENROL_TAG: &str = "may-enrol";

/// The user name of programs over MQTT, whose password is a token; no board's.
pub const TOKEN_USER: &str = "token";

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
    kept: Kept,
    pushes: Pushes,
}

/// The enrolment secret, as each protocol compares it.
#[derive(Debug)]
struct Enrolment {
    ha1: Ha1,
    digest: PasswordDigest,
    networks: Vec<Cidr>,
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
            kept: Kept::default(),
            pushes: Pushes::default(),
        }
    }

    /// Takes up what the store keeps.
    pub fn load(&self, rows: impl IntoIterator<Item = CredentialRow>) {
        for row in rows {
            let place = place_of(&row.tenant, &row.device);
            let mut pair = self.kept.of_device(&place);
            let slot = if row.confirmed { &mut pair.used } else { &mut pair.next };
            *slot = Some(Arc::new(row));
            self.know(&place, pair);
        }
    }

    /// The HA1s behind a user name of a CPE, and whom each leads to. What the device has not used
    /// yet comes first: where both are the same, it is confirmed.
    pub fn cwmp(&self, username: &str) -> Candidates {
        if username == ENROL_USER {
            return [Some((self.enrolment.ha1.clone(), Claimant::Enrolling)), None];
        }
        if let Some(ha1) = self.shared.get(username) {
            return [Some((ha1.clone(), Claimant::Shared)), None];
        }
        let Pair { used, next } = self.kept.of_name(Protocol::Cwmp, username);
        [next, used].map(|row| {
            let row = row?;
            let plain = self.vault.open(row.verifier.expose())?;
            Some((Ha1::from_bytes(plain.expose())?, Claimant::Own(Own(row))))
        })
    }

    /// Whom a board's user name and password lead to; `None` when they do not match.
    pub fn mqtt(&self, username: &str, password: &[u8]) -> Option<Claimant> {
        if username == ENROL_USER {
            let right = self.password_key.verify(password, &self.enrolment.digest);
            return right.then_some(Claimant::Enrolling);
        }
        let Pair { used, next } = self.kept.of_name(Protocol::Mqtt, username);
        let right = |row: &Arc<CredentialRow>| {
            let kept = <[u8; 32]>::try_from(row.verifier.expose().as_slice());
            kept.is_ok_and(|kept| {
                self.password_key.verify(password, &PasswordDigest::from_bytes(kept))
            })
        };
        [next, used].into_iter().flatten().find(right).map(|row| Claimant::Own(Own(row)))
    }

    /// The device that has a user name of its own, whatever the password.
    pub fn holder(&self, protocol: Protocol, username: &str) -> Option<Own> {
        let Pair { used, next } = self.kept.of_name(protocol, username);
        used.or(next).map(Own)
    }

    /// Whether a user name is no device's own: that of the enrolment, of programs, or of a fleet.
    pub fn is_common(&self, username: &str) -> bool {
        username == ENROL_USER || username == TOKEN_USER || self.shared.contains_key(username)
    }

    /// What a device has.
    pub fn standing(&self, tenant: &Tenant, device: &DeviceId) -> Standing {
        let place = place_of(tenant, device);
        let Pair { used, next } = self.kept.of_device(&place);
        let pending = next
            .map(|next| Pending { username: next.username.clone(), push: self.pushes.get(&place) });
        Standing { confirmed: used.map(|used| used.username.clone()), pending }
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
        if self.kept.of_device(&place_of(tenant, device)).used.is_none() {
            let known = self.registry.knows(tenant, device);
            return if known { Enrolled::Again } else { Enrolled::First };
        }
        let trusted = self.enrolment.networks.iter().any(|network| network.contains(from));
        let marked = self.registry.get(tenant, device);
        let marked =
            marked.is_some_and(|device| device.tags.iter().any(|tag| &**tag == MAY_ENROL_TAG));
        if marked || (trusted && lost_everything) { Enrolled::Anew } else { Enrolled::Refused }
    }

    /// Forgets the credentials that a device has lost, and the operator's mark.
    pub async fn forget_lost(&self, tenant: &Tenant, device: &DeviceId) -> Result<(), WriteError> {
        let unmark = Operation::SetTag {
            tenant: tenant.clone(),
            device: device.clone(),
            tag: MAY_ENROL_TAG.into(),
            present: false,
        };
        self.remove(tenant, device, true, vec![unmark]).await
    }

    /// Notes that a device has used its own credential, so that neither the enrolment secret nor
    /// the credential before it opens it any more. One that was replaced or taken away meanwhile
    /// stays as it is.
    pub async fn confirm(&self, own: &Own) -> Result<(), WriteError> {
        let row = &own.0;
        if row.confirmed {
            return Ok(());
        }
        let place = place_of(&row.tenant, &row.device);
        let _turn = self.kept.turn(&place).await;
        let next = self.kept.of_device(&place).next;
        if !next.is_some_and(|next| Arc::ptr_eq(&next, row)) {
            return Ok(());
        }
        let (username, verifier) = (row.username.clone(), row.verifier.clone());
        let confirm = Operation::ConfirmCredential { protocol: row.protocol, username, verifier };
        self.writer.transact(vec![confirm]).await?;
        let used = CredentialRow { confirmed: true, push: None, ..CredentialRow::clone(row) };
        self.know(&place, Pair { used: Some(Arc::new(used)), next: None });
        Ok(())
    }

    /// Gives a device a credential, together with `beside` (the line of the audit trail). What it
    /// uses stays until it has used the new one; what it was given before and has not used goes.
    pub async fn put(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        new: NewCredential,
        mut beside: Vec<Operation>,
    ) -> Result<Given, PutError> {
        let place = place_of(tenant, device);
        let _turn = self.kept.turn(&place).await;
        let Pair { used, .. } = self.kept.of_device(&place);
        let NewCredential { username, password, push } = new;
        // A colon would end the name in Basic authentication.
        let made = || device.as_str().replacen(':', "-", 1).into();
        let has = || used.as_ref().map(|used| used.username.clone());
        let username: Box<str> = username.or_else(has).unwrap_or_else(made);
        let password = password.unwrap_or_else(secrets::new_secret);
        check(&username, &password)?;
        let push = self.is_pushed(push, tenant, device, used.is_some())?;
        let verifier = self.verifier(device.protocol(), &username, &password)?;
        self.check_free(&username, tenant, device)?;
        let row = CredentialRow {
            tenant: tenant.clone(),
            device: device.clone(),
            username: username.clone(),
            protocol: device.protocol(),
            verifier,
            confirmed: false,
            push: push.then(|| self.vault.seal(password.expose().as_bytes())),
        };
        let at = self.clock.now().wall;
        let (tenant, device) = (tenant.clone(), device.clone());
        let facts = model::DeviceFacts::default();
        let make = Operation::PutDevice { tenant, device, facts, at };
        beside.extend([make, Operation::PutCredential(row.clone())]);
        self.commit(beside).await?;
        self.know(&place, Pair { used, next: Some(Arc::new(row)) });
        Ok(Given { username, password, push })
    }

    fn is_pushed(
        &self,
        asked: Option<bool>,
        tenant: &Tenant,
        device: &DeviceId,
        is_proved: bool,
    ) -> Result<bool, PutError> {
        if device.protocol() != Protocol::Cwmp {
            return if asked == Some(true) { Err(PutError::NotPushed) } else { Ok(false) };
        }
        let is_claimed = || self.registry.get(tenant, device).is_some_and(|device| device.claimed);
        Ok(asked.unwrap_or_else(|| is_proved || is_claimed()))
    }

    fn verifier(
        &self,
        protocol: Protocol,
        username: &str,
        password: &Redacted<String>,
    ) -> Result<Redacted<Vec<u8>>, PutError> {
        let password = password.expose();
        match protocol {
            Protocol::Cwmp => Ok(self.vault.seal(&Ha1::new(username, password).to_bytes())),
            Protocol::Mqtt => {
                let digest = self.password_key.digest(password.as_bytes());
                Ok(Redacted(digest.as_bytes().to_vec()))
            }
            Protocol::Ussd => Err(PutError::WrongProtocol),
        }
    }

    /// Whether nobody else has the user name.
    fn check_free(
        &self,
        username: &str,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<(), PutError> {
        let holder = self.holder(device.protocol(), username);
        let other = holder.is_some_and(|own| own.tenant() != tenant || own.device() != device);
        if other || self.is_common(username) {
            return Err(PutError::Taken);
        }
        Ok(())
    }

    /// Takes away what a device has not used yet, and with `confirmed_too` what it uses, together
    /// with `beside`.
    pub async fn remove(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        confirmed_too: bool,
        mut beside: Vec<Operation>,
    ) -> Result<(), WriteError> {
        let place = place_of(tenant, device);
        let _turn = self.kept.turn(&place).await;
        let (tenant, device) = (tenant.clone(), device.clone());
        let protocol = place.0;
        beside.push(Operation::RemoveCredential { tenant, device, protocol, confirmed_too });
        self.commit(beside).await?;
        let used = self.kept.of_device(&place).used.filter(|_| !confirmed_too);
        self.know(&place, Pair { used, next: None });
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

    /// Takes over what is on disk.
    fn know(&self, place: &Place, pair: Pair) {
        self.pushes.set(place, &pair);
        self.kept.set(place, pair);
    }
}

/// Each device speaks one protocol, and its credentials are of that.
fn place_of(tenant: &Tenant, device: &DeviceId) -> Place {
    (device.protocol(), tenant.clone(), device.clone())
}

#[cfg(test)]
mod tests;
