//! What is said of files that are wrong, and which profiles are whose.

mod faults;
mod layers;
mod rendering;

use super::*;
use jiff::Timestamp;
use model::{DataModel, DeviceFacts, DeviceId, Observation, Reading, Redacted};

/// A device with what is borrowed of it.
#[derive(Debug)]
struct Device {
    id: DeviceId,
    facts: DeviceFacts,
    tags: Vec<Box<str>>,
    group: Option<&'static str>,
    root: &'static str,
}

impl Device {
    fn xx230v() -> Self {
        let facts = DeviceFacts {
            manufacturer: Some("TP-Link".into()),
            oui: Some("1C61B4".into()),
            product_class: Some("Device2".into()),
            serial: Some("2227000000001".into()),
            model: Some("XX230v".into()),
            hardware_version: Some("XX230v v1.0".into()),
            software_version: Some("3.0.1 0.9.1 v6036.0 Build 210805".into()),
            ..DeviceFacts::default()
        };
        let id = DeviceId::cwmp("1C61B4", "Device2", "2227000000001").unwrap();
        Self { id, facts, tags: vec![], group: None, root: "Device." }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            id: &self.id,
            facts: &self.facts,
            tags: &self.tags,
            group: self.group,
            customer: None,
            root: self.root,
        }
    }
}

fn set(files: &[(&str, &str)]) -> ProfileSet {
    ProfileSet::parse(files.iter().copied()).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(|it| format!("{it}\n")).collect::<String>())
    })
}

/// A profile of one file with these rules.
fn one(rules: &str) -> ProfileSet {
    set(&[("p", &format!("name = \"p\"\ndescription = \"d\"\nmatch.oui = \"1C61B4\"\n{rules}"))])
}

fn names(layers: &Layers) -> Vec<&str> {
    layers.profiles.iter().map(|it| &*it.name).collect()
}

fn equipment(json: serde_json::Value) -> Equipment {
    serde_json::from_value(json).unwrap()
}

fn known(values: &[(&str, &str, &str)]) -> DataModel {
    let values = values.iter().map(|(path, xsd_type, value)| Reading {
        path: (*path).into(),
        xsd_type: xsd_type.to_string().into(),
        value: Redacted((*value).into()),
    });
    let mut known = DataModel::new();
    let values = values.collect();
    known.learn(&Observation::Values { asked: vec![], values }, Timestamp::UNIX_EPOCH);
    known
}

/// Every key and every word of the language stands in its reference.
#[test]
fn the_reference_holds_every_word() {
    let reference = include_str!("../../PROFILES.md");
    let is_there = |word: &str| {
        reference.contains(&format!("`{word}`"))
            || reference.contains(&format!("`{word}("))
            || reference.contains(&format!("`is {word}"))
            || reference.contains(&format!("{{ {word} = "))
            || reference.contains(&format!(", {word} = "))
    };
    let keys = words::TABLES.iter().flat_map(|(_, keys)| keys.iter().copied());
    let fields = [&words::DEVICE[..], &words::WIFI, &words::VOIP, &words::VLAN, &words::BANDS];
    let names = [&words::VARIABLES[..], &words::FUNCTIONS, &MEASURES, &QUIRKS];
    let more = [&words::DRIFT[..], &words::ENSURE, &words::PROTOCOLS, &words::COMMON_EVENTS];
    let rest =
        [template::FILTERS.as_slice(), &template::TESTS, &[words::HOST, words::HOST_OR_EMPTY]];
    let lists = [&fields[..], &names, &more, &rest].concat();
    for word in keys.chain(lists.into_iter().flatten().copied()) {
        assert!(is_there(word), "`{word}`");
    }
}

/// The examples of the reference are profiles, or parts of one.
#[test]
fn the_examples_of_the_reference_are_read() {
    let reference = include_str!("../../PROFILES.md");
    let examples = reference.split("```toml\n").skip(1).filter_map(|it| it.split("```").next());
    let mut count = 0;
    for example in examples.filter(|it| it.contains("\n[[") || it.starts_with("[[")) {
        let text = match example.strip_prefix("name = \"tplink-xx230v\"\n") {
            Some(whole) => format!("name = \"p\"\n{whole}"),
            None => format!("name = \"p\"\ndescription = \"d\"\n{example}"),
        };
        set(&[("p", &text)]);
        count += 1;
    }
    assert!(count >= 4, "{count}");
}
