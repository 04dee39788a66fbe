//! The files: shipped in the binary, of the operator's folder, and the values of tenants.

use super::values;
use crate::files::{self, FileError};
use crate::settings::chain;
use model::Tenant;
use provisioning::{ProfileFault, ProfileSet, Revision};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Profiles that are inside the binary: file name and text.
const SHIPPED: [(&str, &str); 6] = [
    ("default.toml", include_str!("../../config/profiles/default.toml")),
    ("raisecom-ht803g-w.toml", include_str!("../../config/profiles/raisecom-ht803g-w.toml")),
    ("tplink-deco.toml", include_str!("../../config/profiles/tplink-deco.toml")),
    ("tplink-xx230v.toml", include_str!("../../config/profiles/tplink-xx230v.toml")),
    ("tplink-xx430v.toml", include_str!("../../config/profiles/tplink-xx430v.toml")),
    ("tplink-xx530v.toml", include_str!("../../config/profiles/tplink-xx530v.toml")),
];
/// Most files in the folder: no operator has so many models.
const FILES_MAX: usize = 1_000;
/// Most bytes of all files together: they are kept in one row of the store, and in memory while two
/// sets stand beside each other.
const BYTES_MAX: usize = 4 << 20;

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It is inside the binary.
    Shipped,
    /// It stands in the operator's folder.
    Folder,
}

/// A profile's file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Text {
    pub(super) source: Source,
    pub(super) text: Box<str>,
}

/// Every file of a set, as it was read. Not printed: an operator may have written a secret.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Texts {
    /// By file name, `<profile>.toml`.
    pub(super) files: BTreeMap<Box<str>, Text>,
    /// The file of tenants' values.
    pub(super) values: Option<Box<str>>,
    /// Where the folder is, for whoever is told of a fault.
    #[serde(skip)]
    folder: Option<PathBuf>,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}

/// A set of profiles that was read and found sound. Immutable; shared.
#[derive(Debug, Default)]
pub struct Loaded {
    /// As it was written.
    pub texts: Texts,
    /// As it is meant.
    pub set: Arc<ProfileSet>,
    /// What the operator says of each tenant.
    pub values: HashMap<Tenant, Arc<serde_json::Value>>,
    /// Names all files together: other bytes, another revision.
    pub revision: Revision,
}

impl Loaded {
    /// What the operator says of a tenant: the variable `tenant` of its devices' templates.
    #[must_use]
    pub fn values(&self, tenant: &Tenant) -> Arc<serde_json::Value> {
        let empty = || Arc::new(serde_json::Value::Object(serde_json::Map::new()));
        self.values.get(tenant).cloned().unwrap_or_else(empty)
    }
}

impl Texts {
    /// Reads everything; every fault of every file at once.
    ///
    /// # Errors
    ///
    /// What cannot be read, and files beyond the bounds.
    pub fn read(config: &config::Provisioning) -> Result<Self, Vec<ProfileFault>> {
        let mut texts = Self::default();
        for (name, text) in SHIPPED {
            let text = Text { source: Source::Shipped, text: text.into() };
            texts.files.insert(name.into(), text);
        }
        let mut faults = Vec::new();
        if let Some(folder) = config.profiles.as_deref() {
            texts.folder = Some(folder.to_owned());
            faults.extend(texts.read_folder(folder).err().unwrap_or_default());
        }
        if let Some(file) = config.values_file.as_deref() {
            match files::read_text(file) {
                Ok(text) => texts.values = Some(text.into()),
                Err(error) => faults.push(unreadable(file, &error)),
            }
        }
        let bytes: usize = texts.files.values().map(|file| file.text.len()).sum();
        if bytes + texts.values.as_deref().map_or(0, str::len) > BYTES_MAX {
            let message = format!("all files together have more than {BYTES_MAX} bytes");
            faults.push(ProfileFault { file: "profiles".into(), line: None, message });
        }
        if faults.is_empty() { Ok(texts) } else { Err(faults) }
    }

    fn read_folder(&mut self, folder: &Path) -> Result<(), Vec<ProfileFault>> {
        let listed = files::list(folder).map_err(|error| vec![unreadable(folder, &error)])?;
        let is_toml = |file: &&PathBuf| file.extension().is_some_and(|it| it == "toml");
        let found: Vec<_> = listed.iter().filter(is_toml).collect();
        if found.len() > FILES_MAX {
            let message = format!("holds more than {FILES_MAX} profiles");
            let file = folder.display().to_string().into();
            return Err(vec![ProfileFault { file, line: None, message }]);
        }
        let mut faults = Vec::new();
        for file in found {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            match files::read_text(file) {
                Ok(text) => {
                    let text = Text { source: Source::Folder, text: text.into() };
                    self.files.insert(name.unwrap_or_default().into(), text);
                }
                Err(error) => faults.push(unreadable(file, &error)),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Reads what is written.
    ///
    /// # Errors
    ///
    /// Every fault of every file.
    pub fn load(self) -> Result<Loaded, Vec<ProfileFault>> {
        let files = self.files.iter().map(|(name, file)| (&**name, &*file.text));
        let set = ProfileSet::parse(files).map_err(|faults| self.placed(faults));
        let values = values::parse(self.values.as_deref().unwrap_or_default());
        match (set, values) {
            (Ok(set), Ok(values)) => {
                let revision = self.revision();
                let set = Arc::new(set);
                Ok(Loaded { texts: self, set, values, revision })
            }
            (set, values) => {
                let faults = set.err().unwrap_or_default();
                Err(faults.into_iter().chain(values.err().unwrap_or_default()).collect())
            }
        }
    }

    /// The same faults with where their files are.
    fn placed(&self, mut faults: Vec<ProfileFault>) -> Vec<ProfileFault> {
        for fault in &mut faults {
            let source = self.files.get(&fault.file).map(|file| file.source);
            if let (Some(Source::Folder), Some(folder)) = (source, &self.folder) {
                fault.file = folder.join(&*fault.file).display().to_string().into();
            }
        }
        faults
    }

    /// The text of a profile, and where it comes from.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<(&str, Source)> {
        let file = self.files.get(&*format!("{name}.toml"))?;
        Some((&file.text, file.source))
    }

    /// This set with one more file, in place of one of its name: for a plan.
    ///
    /// # Errors
    ///
    /// Every fault of that file, or of the set with it.
    pub fn with(&self, name: &str, text: &str) -> Result<Loaded, Vec<ProfileFault>> {
        let mut texts = self.clone();
        let text = Text { source: Source::Folder, text: text.into() };
        texts.files.insert(format!("{name}.toml").into(), text);
        texts.load()
    }

    /// Names all files together. Where a file comes from does not count.
    fn revision(&self) -> Revision {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        };
        for (name, file) in &self.files {
            add(name);
            add(&file.text);
        }
        // A set without values and one with an empty file mean the same.
        add(self.values.as_deref().unwrap_or_default());
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        Revision(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

fn unreadable(file: &Path, error: &FileError) -> ProfileFault {
    ProfileFault { file: file.display().to_string().into(), line: None, message: chain(error) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Texts of a folder that holds these.
    pub(in crate::profiles) fn texts(files: &[(&str, &str)], values: Option<&str>) -> Texts {
        let text = |text: &str| Text { source: Source::Folder, text: text.into() };
        Texts {
            files: files.iter().map(|(name, it)| ((*name).into(), text(it))).collect(),
            values: values.map(Into::into),
            folder: None,
        }
    }

    fn folder(config: &mut config::Provisioning, files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let text = model::Redacted((*text).to_owned());
            files::write_new_secret(&dir.path().join(name), text).unwrap();
        }
        config.profiles = Some(dir.path().to_owned());
        dir
    }

    #[test]
    fn the_folder_adds_to_what_is_shipped() {
        let mut config = config::Config::default().provisioning;
        let _dir = folder(&mut config, &[("mine.toml", "name = \"mine\""), ("readme.txt", "no")]);
        let texts = Texts::read(&config).unwrap();
        assert_eq!(texts.files.len(), SHIPPED.len() + 1);
        assert_eq!(texts.profile("mine").unwrap().1, Source::Folder);
        assert_eq!(texts.profile("readme.txt"), None);
    }

    #[test]
    fn every_file_that_cannot_be_read_is_named() {
        let mut config = config::Config::default().provisioning;
        config.profiles = Some("/nowhere/profiles".into());
        config.values_file = Some("/nowhere/values.toml".into());
        let faults = Texts::read(&config).unwrap_err();
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("/nowhere/profiles: "), "{lines:?}");
        assert!(lines[1].starts_with("/nowhere/values.toml: "), "{lines:?}");
    }

    #[test]
    fn other_bytes_are_another_revision_and_the_same_are_not() {
        let revision = |texts: Texts| texts.revision();
        let base = revision(texts(&[("a.toml", "x"), ("b.toml", "y")], None));
        assert_eq!(revision(texts(&[("b.toml", "y"), ("a.toml", "x")], None)), base);
        for other in [
            texts(&[("a.toml", "x")], None),
            texts(&[("a.toml", "xb.toml"), ("b.toml", "y")], None),
            texts(&[("a.toml", "x"), ("b.toml", "y ")], None),
            texts(&[("a.toml", "x"), ("b.toml", "y")], Some("z")),
        ] {
            assert_ne!(revision(other), base);
        }
    }

    #[test]
    fn what_is_kept_reads_as_it_was_written() {
        let written = texts(&[("a.toml", "x")], Some("[default]\n"));
        let kept = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Texts>(&kept).unwrap(), written);
        assert!(!format!("{written:?}").contains('x'), "texts do not print");
    }
}
