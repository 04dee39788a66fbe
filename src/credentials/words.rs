//! What is said of credentials: who signs in with them, what is given, how it stands.

use super::Push;
use crate::store::{CredentialRow, WriteError};
use cwmp::auth::Ha1;
use model::{DeviceId, Redacted, Tenant};
use std::sync::Arc;

/// Longest user name, in bytes (TR-098 ManagementServer.Username: string(256)).
const USERNAME_LEN_MAX: usize = 256;
/// Longest password, in bytes (TR-098 ManagementServer.Password: string(256)).
const PASSWORD_LEN_MAX: usize = 256;

/// A credential of a device's own.
#[derive(Clone, Debug)]
pub struct Own(pub(super) Arc<CredentialRow>);

impl Own {
    /// Whose.
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Which device's.
    pub fn device(&self) -> &DeviceId {
        &self.0.device
    }
}

/// What a user name leads to, before the password is compared.
#[derive(Clone, Debug)]
pub enum Claimant {
    /// One device, and no other.
    Own(Own),
    /// Any device that has no confirmed credential of its own.
    Enrolling,
    /// Any device of a fleet that shares this name.
    Shared,
}

/// The passwords that a user name of a CPE may come with: two while a device has new ones that it
/// has not used yet.
pub type Candidates = [Option<(Ha1, Claimant)>; 2];

/// What a device is given. What is left out is made.
#[derive(Clone, Debug, Default)]
pub struct NewCredential {
    /// By default the name it has, else its identity with a dash for its colon.
    pub username: Option<Box<str>>,
    /// By default 128 random bits.
    pub password: Option<Redacted<String>>,
    /// Whether we are to put it on the device. By default yes for a CPE that has proved who it is
    /// (it uses credentials of its own) or whose equipment is claimed: whoever knows the enrolment
    /// secret may pass for any other.
    pub push: Option<bool>,
}

/// What a device was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The user name.
    pub username: Box<str>,
    /// The password; not kept in clear.
    pub password: Redacted<String>,
    /// Whether we put it on the device.
    pub push: bool,
}

/// What a device has, without the secrets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// The user name that it uses.
    pub confirmed: Option<Box<str>>,
    /// What it was given and has not used yet.
    pub pending: Option<Pending>,
}

/// Credentials that a device has not used yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pending {
    /// The user name.
    pub username: Box<str>,
    /// What became of putting them on the device, where we are to do that.
    pub push: Option<Push>,
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
    /// Only a CPE has a place for what it presents.
    #[error("only a CPE's credentials can be put on it: leave `push` out")]
    NotPushed,
    /// Too long, empty, or with a character that no header carries.
    #[error("a user name or password is 1 to 256 printable characters, the name without a colon")]
    Invalid,
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] WriteError),
}

/// Refuses what a device could not present.
pub(super) fn check(username: &str, password: &Redacted<String>) -> Result<(), PutError> {
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
