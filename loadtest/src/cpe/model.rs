//! Data models: paths, types and first values, from CSV.
//!
//! A line is `path,type,writable,value`: an `xsd:` type without its prefix, `0` or `1`, and the rest
//! of the line as it is. In a value `{serial}`, `{mac}` and `{wake_url}` stand for the device's own.

use cwmp::XsdType;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

/// The parameters of one kind of device, sorted by path.
#[derive(Debug)]
pub(crate) struct Model {
    root: String,
    entries: Vec<Entry>,
    /// Tables that instances may be added to, and instances that may be removed: those with
    /// something below them that may be set.
    tables: BTreeSet<String>,
}

/// One parameter.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) xsd: XsdType,
    pub(crate) writable: bool,
    /// The first value, with places for the device's own names.
    pub(crate) value: String,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("model file cannot be read")]
    Read(#[from] std::io::Error),
    #[error("line {0} is not path,type,writable,value")]
    Line(usize),
    #[error("path of line {0} is there twice, or not below the first one's root")]
    Path(usize),
    #[error("model is empty")]
    Empty,
    #[error("a generated model is generated:N")]
    Generated,
}

impl Model {
    /// A shipped one by its name, `generated:N`, or one from a file.
    pub(crate) fn named(name: &str) -> Result<Self, ModelError> {
        match name.split_once(':') {
            None if name == "router" => Self::parse(include_str!("../../models/router.csv")),
            None if name == "small" => Self::parse(include_str!("../../models/small.csv")),
            None if name == "ont" => Self::parse(include_str!("../../models/ont.csv")),
            Some(("generated", count)) => {
                let count = count.parse().map_err(|_| ModelError::Generated)?;
                Self::parse(&generated(count))
            }
            _ => Self::parse(&fs::read_to_string(name)?),
        }
    }

    /// `Device.` or `InternetGatewayDevice.`
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// One parameter.
    pub(crate) fn entry(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// All below a path that ends in a dot, or is empty.
    pub(crate) fn below(&self, path: &str) -> &[Entry] {
        let begin = self.entries.partition_point(|entry| entry.path.as_str() < path);
        let rest = &self.entries[begin..];
        &rest[..rest.partition_point(|entry| entry.path.starts_with(path))]
    }

    /// Whether instances may be added to this table, or this instance may be removed.
    pub(crate) fn grows(&self, object: &str) -> bool {
        self.tables.contains(object)
    }

    pub(super) fn parse(csv: &str) -> Result<Self, ModelError> {
        let mut entries = Vec::new();
        let mut root = String::new();
        for (at, line) in csv.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fields = line.splitn(4, ',');
            let mut field = || fields.next().ok_or(ModelError::Line(at + 1));
            let (path, xsd, writable, value) = (field()?, field()?, field()?, field()?);
            if !matches!(writable, "0" | "1") || !cwmp::Parameter::is_name(path) {
                return Err(ModelError::Line(at + 1));
            }
            if root.is_empty() {
                let (top, _) = path.split_once('.').ok_or(ModelError::Path(at + 1))?;
                root = format!("{top}.");
            }
            if !path.starts_with(&root) {
                return Err(ModelError::Path(at + 1));
            }
            entries.push((
                at + 1,
                Entry {
                    path: path.to_owned(),
                    xsd: XsdType::new(xsd),
                    writable: writable == "1",
                    value: value.to_owned(),
                },
            ));
        }
        entries.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].1.path == pair[1].1.path) {
            return Err(ModelError::Path(twice[1].0));
        }
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        let tables = tables(&entries);
        if entries.is_empty() { Err(ModelError::Empty) } else { Ok(Self { root, entries, tables }) }
    }
}

fn tables(entries: &[Entry]) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.writable) {
        let mut begin = 0;
        for (dot, _) in entry.path.match_indices('.') {
            if is_number(&entry.path[begin..dot]) {
                tables.insert(entry.path[..begin].to_owned());
                tables.insert(entry.path[..=dot].to_owned());
            }
            begin = dot + 1;
        }
    }
    tables
}

/// Whether a part of a path is an instance's.
pub(super) fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Names below `path` and whether they may be set: the next level with the objects on it, or
/// everything. Objects end in a dot; `grows` says which of them do. `below` is sorted, and is what is
/// below `path`.
pub(super) fn names<'a>(
    below: impl Iterator<Item = (&'a str, bool)>,
    path: &str,
    next_level: bool,
    grows: impl Fn(&str) -> bool,
) -> Vec<(String, bool)> {
    let mut names: BTreeMap<&str, bool> = BTreeMap::new();
    for (full, writable) in below {
        let Some(rest) = full.get(path.len()..) else { continue };
        for (dot, _) in rest.match_indices('.') {
            let object = &full[..=path.len() + dot];
            names.entry(object).or_insert_with(|| grows(object));
            if next_level {
                break;
            }
        }
        if !next_level || !rest.contains('.') {
            names.insert(full, writable);
        }
    }
    names.into_iter().map(|(name, writable)| (name.to_owned(), writable)).collect()
}

/// The shipped ONT with hosts behind it until there are `count` parameters.
fn generated(count: usize) -> String {
    const HOST: [(&str, &str); 5] = [
        ("Active", "boolean,0,1"),
        ("HostName", "string,0,host"),
        ("IPAddress", "string,0,192.0.2.1"),
        ("PhysAddress", "string,0,02:00:00:00:00:01"),
        ("LeaseTimeRemaining", "unsignedInt,0,3600"),
    ];
    let mut csv = String::from(include_str!("../../models/ont.csv"));
    let have = csv.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    for more in 0..count.saturating_sub(have) {
        let (name, rest) = HOST[more % HOST.len()];
        // The shipped model has hosts of its own from 1.
        let host = 100 + more / HOST.len();
        writeln!(csv, "Device.Hosts.Host.{host}.{name},{rest}")
            .expect("writing to a string cannot fail");
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_models_can_be_used() {
        for (name, root, least) in
            [("router", "InternetGatewayDevice.", 100), ("ont", "Device.", 100)]
        {
            let model = Model::named(name).unwrap();
            assert_eq!(model.root(), root);
            assert!((least..=300).contains(&model.entries.len()), "{}", model.entries.len());
            for path in [
                "DeviceInfo.Manufacturer",
                "DeviceInfo.ManufacturerOUI",
                "DeviceInfo.ProductClass",
                "DeviceInfo.SerialNumber",
                "DeviceInfo.SoftwareVersion",
                "ManagementServer.ConnectionRequestURL",
                "ManagementServer.PeriodicInformInterval",
            ] {
                assert!(model.entry(&format!("{root}{path}")).is_some(), "{name} {path}");
            }
        }
        assert_eq!(Model::named("generated:1000").unwrap().entries.len(), 1000);
        assert!(Model::named("small").unwrap().entries.len() < 30);
    }

    #[test]
    fn names_by_level() {
        let model =
            Model::parse("D.A.1.X,string,1,a,b\nD.B,int,0,\nD.A.1.Y,boolean,0,1\n").unwrap();
        let names = |path, next| {
            let below = model.below(path).iter().map(|it| (it.path.as_str(), it.writable));
            let names = names(below, path, next, |object| model.grows(object));
            names.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("D.", true), ["D.A.", "D.B"]);
        assert_eq!(names("D.", false), ["D.A.", "D.A.1.", "D.A.1.X", "D.A.1.Y", "D.B"]);
        assert_eq!(names("", true), ["D."]);
        assert_eq!(names("D.B", true), ["D.B"]);
        assert!(model.grows("D.A.") && model.grows("D.A.1.") && !model.grows("D."));
        assert_eq!(names("D.C.", false), Vec::<String>::new());
        assert_eq!(model.below("D.A.").len(), 2);
        assert_eq!(model.entry("D.A.1.X").map(|it| (&*it.value, it.writable)), Some(("a,b", true)));
    }

    #[test]
    fn faults_are_named_by_line() {
        let line = |csv: &str| Model::parse(csv).unwrap_err().to_string();
        assert_eq!(line("D.A,string,1,\nD.B,string"), "line 2 is not path,type,writable,value");
        assert_eq!(line("D.A,string,yes,"), "line 1 is not path,type,writable,value");
        assert!(line("D.A,string,1,\nE.A,string,1,").starts_with("path of line 2"));
        assert!(line("D.A,string,1,\nD.A,string,1,").starts_with("path of line 2"));
        assert_eq!(line("# nothing\n"), "model is empty");
    }
}
