//! Profiles: files that say which devices they are for, and what those should be.

use super::{Equipment, Subject, Wanted};
use model::DataModel;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Names a profile, or profiles on each other, as they stand: the beginning of a SHA-256, as 16
/// hexadecimal digits. Other bytes, other revision; the same in every process.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One fault of a profile's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProfileFault {
    /// The file, as it was named.
    pub file: Box<str>,
    /// The line, counted from 1; `None` where it is about the whole.
    pub line: Option<u32>,
    /// What is wrong and, where that can be told, what was meant.
    pub message: String,
}

/// One profile.
#[derive(Debug)]
pub struct Profile {
    /// Its name.
    pub name: Box<str>,
    /// As it stands.
    pub revision: Revision,
    /// What it is for, in a sentence.
    pub description: Box<str>,
    /// Where it lies: higher goes before lower.
    pub layer: i32,
    /// What is peculiar about its devices, as `[[cwmp.quirk]]` spells it.
    pub quirks: Vec<Box<str>>,
}

/// Every profile of a tenant's gateway, as one state of the files. Immutable; shared; swapped whole.
#[derive(Debug, Default)]
pub struct ProfileSet {
    profiles: Vec<Arc<Profile>>,
}

/// The profiles that are one device's, in their order.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Low first.
    pub profiles: Vec<Arc<Profile>>,
    /// Of all of them together.
    pub revision: Revision,
}

impl ProfileSet {
    /// Reads the files (name and text), all of them: a file that has the name of a shipped one
    /// replaces it, which is for the caller to see to.
    ///
    /// # Errors
    ///
    /// Every fault of every file at once.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<ProfileFault>> {
        let _ = files;
        Ok(Self::default())
    }

    /// Of all files together.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision::default()
    }

    /// Every profile, in the order of names.
    #[must_use]
    pub fn profiles(&self) -> &[Arc<Profile>] {
        &self.profiles
    }

    /// The profiles that are for a device, with the one that its equipment names.
    #[must_use]
    pub fn layers(&self, subject: &Subject<'_>, equipment: Option<&Equipment>) -> Layers {
        let _ = (subject, equipment);
        Layers::default()
    }
}

impl Layers {
    /// What the device should be. `tenant` is what the operator says of the tenant
    /// (`[provisioning.values]`); `known` gives the parameters that expressions may ask for.
    #[must_use]
    pub fn render(
        &self,
        subject: &Subject<'_>,
        equipment: Option<&Equipment>,
        tenant: &serde_json::Value,
        known: &DataModel,
    ) -> Wanted {
        let _ = (subject, equipment, tenant, known);
        Wanted::default()
    }
}
