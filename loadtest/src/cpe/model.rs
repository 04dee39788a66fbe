//! Data models: paths, types and first values, from CSV.
//!
//! A line is `path,type,writable,value`: an `xsd:` type without its prefix, `0` or `1`, and the rest
//! of the line as it is. In a value `{serial}`, `{mac}` and `{wake_url}` stand for the device's own.

use cwmp::XsdType;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// The parameters of one kind of device, sorted by path.
#[derive(Debug)]
pub(crate) struct Model {
    root: String,
    entries: Vec<Entry>,
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

    /// Names below a path and whether they may be set: the next level with the objects on it, or
    /// everything. Objects end in a dot.
    pub(crate) fn names(&self, path: &str, next_level: bool) -> Vec<(String, bool)> {
        let mut names = BTreeMap::new();
        if !path.is_empty() && !path.ends_with('.') {
            return self.entry(path).map(|it| (it.path.clone(), it.writable)).into_iter().collect();
        }
        for entry in self.below(path) {
            let rest = &entry.path[path.len()..];
            for (dot, _) in rest.match_indices('.') {
                names.insert(format!("{path}{}", &rest[..=dot]), false);
                if next_level {
                    break;
                }
            }
            if !next_level || !rest.contains('.') {
                names.insert(entry.path.clone(), entry.writable);
            }
        }
        names.into_iter().collect()
    }

    fn parse(csv: &str) -> Result<Self, ModelError> {
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
        if entries.is_empty() { Err(ModelError::Empty) } else { Ok(Self { root, entries }) }
    }
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
    }

    #[test]
    fn names_by_level() {
        let model =
            Model::parse("D.A.1.X,string,1,a,b\nD.B,int,0,\nD.A.1.Y,boolean,0,1\n").unwrap();
        let names = |path, next| {
            model.names(path, next).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("D.", true), ["D.A.", "D.B"]);
        assert_eq!(names("D.", false), ["D.A.", "D.A.1.", "D.A.1.X", "D.A.1.Y", "D.B"]);
        assert_eq!(names("", true), ["D."]);
        assert_eq!(names("D.B", true), ["D.B"]);
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
