//! Data models: paths, types and first values, from CSV.
//!
//! A line is `path,type,writable,value`: an `xsd:` type without its prefix; `0` for what may only be
//! read, `1` for what may be set, `w` for what may be set and reads as nothing; and the rest of the
//! line as it is. In a value `{serial}`, `{mac}` and `{wake_url}` stand for the device's own.
//!
//! Behind a type stands what it takes: `string(64)` so many bytes, `int(0:63)` from and to,
//! `string(On|Off)` one of these words. Instance `0` of a table is not there: it is what an instance
//! that is added is like, with its first values.

use cwmp::XsdType;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

/// The parameters of one kind of device, sorted by path.
#[derive(Debug)]
pub(crate) struct Model {
    root: String,
    /// What is there.
    entries: Vec<Entry>,
    /// What instances that are added are like: below an instance 0.
    templates: Vec<Entry>,
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
    /// Whether it reads as nothing, whatever it holds (TR-106 3.3).
    pub(crate) hidden: bool,
    takes: Takes,
    /// The first value, with places for the device's own names.
    pub(crate) value: String,
}

/// What a value must be beside its type.
#[derive(Debug)]
enum Takes {
    Anything,
    Bytes(usize),
    Between(i64, i64),
    OneOf(Vec<String>),
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
            None if let Some((_, csv)) = VENDORS.iter().find(|(it, _)| *it == name) => {
                Self::parse(csv)
            }
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

    /// One parameter, or one of a template.
    pub(crate) fn entry(&self, path: &str) -> Option<&Entry> {
        let entries = self.entries_of(path);
        let at = entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        entries.get(at)
    }

    /// All below a path that ends in a dot, or is empty; templates only below a template.
    pub(crate) fn below(&self, path: &str) -> &[Entry] {
        let entries = self.entries_of(path);
        let begin = entries.partition_point(|entry| entry.path.as_str() < path);
        let rest = &entries[begin..];
        &rest[..rest.partition_point(|entry| entry.path.starts_with(path))]
    }

    /// Tables that may be empty, below a path.
    pub(super) fn tables_below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.tables.iter().map(String::as_str);
        let may_be_empty = move |it: &&str| {
            it.starts_with(path) && !is_template(it) && !self.below(&format!("{it}0.")).is_empty()
        };
        all.filter(may_be_empty)
    }

    fn entries_of(&self, path: &str) -> &[Entry] {
        if is_template(path) { &self.templates } else { &self.entries }
    }

    /// Whether instances may be added to this table, or this instance may be removed.
    pub(crate) fn grows(&self, object: &str) -> bool {
        self.tables.contains(object)
    }

    pub(crate) fn parse(csv: &str) -> Result<Self, ModelError> {
        let mut entries = Vec::new();
        let mut root = String::new();
        for (at, line) in csv.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fields = line.splitn(4, ',');
            let mut field = || fields.next().ok_or(ModelError::Line(at + 1));
            let (path, xsd, writable, value) = (field()?, field()?, field()?, field()?);
            if !matches!(writable, "0" | "1" | "w") || !cwmp::Parameter::is_name(path) {
                return Err(ModelError::Line(at + 1));
            }
            let (xsd, takes) = Takes::read(xsd).ok_or(ModelError::Line(at + 1))?;
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
                    writable: writable != "0",
                    hidden: writable == "w" || path.ends_with("Password"),
                    takes,
                    value: value.to_owned(),
                },
            ));
        }
        entries.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].1.path == pair[1].1.path) {
            return Err(ModelError::Path(twice[1].0));
        }
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        if entries.is_empty() {
            return Err(ModelError::Empty);
        }
        let tables = tables(&entries);
        let (templates, entries) = entries.into_iter().partition(|it| is_template(&it.path));
        Ok(Self { root, entries, templates, tables })
    }
}

impl Entry {
    /// Whether it can hold that.
    pub(super) fn fits(&self, value: &str) -> bool {
        let is_of_type = match self.xsd {
            XsdType::Boolean => ["0", "1", "true", "false"].contains(&value),
            XsdType::Int | XsdType::Long => value.parse::<i64>().is_ok(),
            XsdType::UnsignedInt | XsdType::UnsignedLong => value.parse::<u64>().is_ok(),
            _ => true,
        };
        is_of_type
            && match &self.takes {
                Takes::Anything => true,
                Takes::Bytes(most) => value.len() <= *most,
                Takes::Between(from, to) => {
                    value.parse::<i64>().is_ok_and(|it| (*from..=*to).contains(&it))
                }
                Takes::OneOf(words) => words.iter().any(|it| it == value),
            }
    }

    /// What it holds in an instance that was made: what the template says, or nothing yet.
    pub(super) fn first_value(&self) -> &str {
        if is_template(&self.path) {
            return &self.value;
        }
        match self.xsd {
            XsdType::Boolean
            | XsdType::Int
            | XsdType::Long
            | XsdType::UnsignedInt
            | XsdType::UnsignedLong => "0",
            XsdType::DateTime => "0001-01-01T00:00:00Z",
            _ => "",
        }
    }
}

impl Takes {
    /// A type, and what stands behind it.
    fn read(spelled: &str) -> Option<(&str, Self)> {
        let Some((xsd, rest)) = spelled.split_once('(') else {
            return Some((spelled, Self::Anything));
        };
        let rest = rest.strip_suffix(')')?;
        let takes = if let Some((from, to)) = rest.split_once(':') {
            Self::Between(from.parse().ok()?, to.parse().ok()?)
        } else if let Ok(most) = rest.parse() {
            Self::Bytes(most)
        } else {
            Self::OneOf(rest.split('|').map(str::to_owned).collect())
        };
        Some((xsd, takes))
    }
}

/// Models of real makes: the paths are theirs, as far as we know them, and the values are ours.
const VENDORS: [(&str, &str); 5] = [
    ("raisecom-ht803g-w", include_str!("../../models/raisecom-ht803g-w.csv")),
    ("tplink-deco", include_str!("../../models/tplink-deco.csv")),
    ("tplink-xx230v", include_str!("../../models/tplink-xx230v.csv")),
    ("tplink-xx430v", include_str!("../../models/tplink-xx430v.csv")),
    ("tplink-xx530v", include_str!("../../models/tplink-xx530v.csv")),
];

/// Whether a path is of an instance that is not there.
pub(super) fn is_template(path: &str) -> bool {
    path.contains(".0.")
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
        for (name, _) in VENDORS {
            let model = Model::named(name).unwrap();
            let count = model.entries.len();
            assert!((150..=400).contains(&count), "{name}: {count}");
            let wrong =
                model.entries.iter().chain(&model.templates).find(|it| {
                    !it.value.is_empty() && !it.value.contains('{') && !it.fits(&it.value)
                });
            assert!(wrong.is_none(), "{name}: {wrong:?}");
        }
    }

    #[test]
    fn a_type_says_what_it_takes() {
        let csv = "D.A,unsignedInt(0:63),1,46\nD.B,string(3),w,\nD.C,string(On|Off),1,On\n";
        let model = Model::parse(csv).unwrap();
        let fits = |path: &str, value: &str| model.entry(path).is_some_and(|it| it.fits(value));
        assert!(fits("D.A", "0") && fits("D.A", "63") && !fits("D.A", "64") && !fits("D.A", "x"));
        assert!(fits("D.B", "abc") && !fits("D.B", "abcd") && model.entry("D.B").unwrap().hidden);
        assert!(fits("D.C", "Off") && !fits("D.C", "off") && !fits("D.C", "On|Off"));
        assert!(Model::parse("D.A,string(3,1,\n").is_err());
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
