//! Profiles: files that say which devices they are for, and what those should be.
//!
//! A file is read once, with every fault at once; what is in it is compiled then. Which profiles are
//! a device's is a question of cheap comparisons; what they make of it, [`Layers::render`] says.
//! `PROFILES.md` is the language for people.

mod condition;
mod grammar;
mod lint;
mod matching;
mod read;
mod render;
mod rule;
mod scope;
mod spelling;
mod template;
mod words;

pub use words::{MEASURES, QUIRKS};

use super::{Equipment, Subject};
use matching::Match;
use read::Reader;
use rule::Rules;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use template::Templates;

/// Most profiles of one gateway: ten times the models that an operator has.
pub const PROFILES_MAX: usize = 1_000;
/// Longest file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Most rules of one profile: no model has more parameters that are worth holding.
pub const RULES_MAX: usize = 2_000;
/// Most profiles that lie on each other for one device; the highest go.
pub const LAYERS_MAX: usize = 32;
/// Most faults that are told of all files together.
const FAULTS_MAX: usize = 1_000;

/// Names a profile, or profiles on each other, as they stand: the beginning of a SHA-256, as 16
/// hexadecimal digits. Other bytes, other revision; the same in every process.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Revision(pub u64);

impl Revision {
    fn of(bytes: &[u8]) -> Self {
        Self::from_hash(Sha256::digest(bytes).into())
    }

    fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Of several profiles in their order.
    fn of_all<'p>(profiles: impl Iterator<Item = &'p Profile>) -> Self {
        let mut hasher = Sha256::new();
        for profile in profiles {
            // A name ends where no name has a character.
            hasher.update(profile.name.as_bytes());
            hasher.update([0]);
            hasher.update(profile.revision.0.to_be_bytes());
        }
        Self::from_hash(hasher.finalize().into())
    }
}

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

impl fmt::Display for ProfileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
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
    /// Whether it says of itself that its paths are not verified.
    pub is_guess: bool,
    /// `None`: it is only for equipment that names it.
    matching: Option<Match>,
    /// As it stands in the file.
    matched: Option<serde_json::Value>,
    rules: Compiled,
}

/// What a profile says, with its templates. It does not print: values stand in it.
struct Compiled {
    rules: Rules,
    templates: Templates,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules", self.rules.len())
    }
}

impl Profile {
    /// How many rules it has.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.rules.len()
    }

    /// How many of them say that their paths are not verified.
    #[must_use]
    pub fn guesses(&self) -> usize {
        self.rules.rules.guesses()
    }

    /// Which devices it is for: its `[match]` as it stands; `None`: those whose equipment names it.
    #[must_use]
    pub fn match_summary(&self) -> Option<&serde_json::Value> {
        self.matched.as_ref()
    }
}

/// Every profile of a tenant's gateway, as one state of the files. Immutable; shared; swapped whole.
#[derive(Debug, Default)]
pub struct ProfileSet {
    /// In the order of names.
    profiles: Vec<Arc<Profile>>,
    /// Places of those that match by themselves, in the order in which they lie on each other.
    order: Vec<usize>,
    /// Places in `order` of those that are for certain OUIs alone, by the OUI in upper case.
    by_oui: HashMap<Box<str>, Vec<usize>>,
    /// Places in `order` of the others.
    others: Vec<usize>,
}

/// The profiles that are one device's, in their order.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Low first.
    pub profiles: Vec<Arc<Profile>>,
    /// Of all of them together.
    pub revision: Revision,
    /// The profile that the equipment names and that does not exist.
    missing: Option<Box<str>>,
}

impl Layers {
    /// What is peculiar about the device, as its profiles say.
    pub fn quirks(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().flat_map(|it| it.quirks.iter().map(|quirk| &**quirk))
    }
}

impl ProfileSet {
    /// Reads the files (name and text), all of them: a file that has the name of a shipped one
    /// replaces it, which is for the caller to see to. Of a name only what stands between the last
    /// `/` and `.toml` counts.
    ///
    /// # Errors
    ///
    /// Every fault of every file at once, in the files' order.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<ProfileFault>> {
        let mut faults = Vec::new();
        let mut profiles: BTreeMap<Box<str>, Arc<Profile>> = BTreeMap::new();
        for (place, (file, text)) in files.into_iter().enumerate() {
            let mut reader = Reader::new(file, text);
            let name = file.rsplit('/').next().unwrap_or(file);
            let name = name.strip_suffix(".toml").unwrap_or(name);
            if place == PROFILES_MAX {
                reader.push(None, format!("there are more than {PROFILES_MAX} profiles"));
            } else if text.len() > FILE_BYTES_MAX {
                reader.push(None, format!("is longer than {FILE_BYTES_MAX} bytes"));
            } else if profiles.contains_key(name) {
                reader.push(None, "another file has the same name".to_owned());
            } else if let Some(profile) = grammar::profile(&mut reader, name, text) {
                profiles.insert(profile.name.clone(), Arc::new(profile));
            }
            let mut told = reader.into_faults();
            told.sort_by_key(|fault| fault.line.unwrap_or(0));
            faults.extend(told);
            if faults.len() >= FAULTS_MAX || place == PROFILES_MAX {
                break;
            }
        }
        if faults.is_empty() { Ok(Self::of(profiles.into_values().collect())) } else { Err(faults) }
    }

    fn of(profiles: Vec<Arc<Profile>>) -> Self {
        let mut order: Vec<_> = (0..profiles.len()).collect();
        order.retain(|it| profiles[*it].matching.is_some());
        order.sort_by_key(|it| (profiles[*it].layer, *it));
        let mut set = Self { profiles, order, ..Self::default() };
        for (place, profile) in set.order.iter().enumerate() {
            let matching = set.profiles[*profile].matching.as_ref();
            let ouis = matching.and_then(|it| it.oui.as_ref());
            let exact = ouis.and_then(|it| it.iter().map(matching::Glob::exactly).collect());
            let exact: Option<Vec<String>> = exact;
            for oui in exact.iter().flatten() {
                set.by_oui.entry(oui.as_str().into()).or_default().push(place);
            }
            if exact.is_none() {
                set.others.push(place);
            }
        }
        set
    }

    /// Every profile, in the order of names.
    #[must_use]
    pub fn profiles(&self) -> &[Arc<Profile>] {
        &self.profiles
    }

    /// The profile of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Profile>> {
        let place = self.profiles.binary_search_by(|it| (*it.name).cmp(name)).ok()?;
        self.profiles.get(place)
    }

    /// The profiles that are for a device, with the one that its equipment names on top of them.
    #[must_use]
    pub fn layers(&self, subject: &Subject<'_>, equipment: Option<&Equipment>) -> Layers {
        let oui = subject.facts.oui.as_deref().map(str::to_ascii_uppercase);
        let of_oui = oui.and_then(|oui| self.by_oui.get(oui.as_str())).map_or(&[][..], |it| it);
        let mut places: Vec<usize> = of_oui.iter().chain(&self.others).copied().collect();
        places.sort_unstable();
        // One that lists an OUI twice is there once.
        places.dedup();
        let mut layers: Vec<&Arc<Profile>> = Vec::new();
        for place in places {
            let profile = &self.profiles[self.order[place]];
            if profile.matching.as_ref().is_some_and(|it| it.fits(subject, equipment)) {
                layers.push(profile);
            }
        }
        let mut missing = None;
        if let Some(name) = equipment.and_then(|it| it.profile.as_deref()) {
            match self.find(name) {
                Some(named) => {
                    layers.retain(|it| it.name != named.name);
                    layers.push(named);
                }
                None => missing = Some(spelling::shown(name).into()),
            }
        }
        let above = layers.len().saturating_sub(LAYERS_MAX);
        let profiles: Vec<_> = layers.drain(above..).cloned().collect();
        let revision = Revision::of_all(profiles.iter().map(|it| &**it));
        Layers { profiles, revision, missing }
    }
}

#[cfg(test)]
mod tests;
