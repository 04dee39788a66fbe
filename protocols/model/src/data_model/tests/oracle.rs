//! The same rules, slow and simple, and observations drawn by chance.

use super::at;
use crate::{AttributeEntry, DataModel, DataModelEntry, NameEntry, Observation, Reading, Redacted};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
struct Known {
    writable: Option<bool>,
    value: Option<(String, i64)>,
    xsd_type: Option<String>,
    attributes: Option<(u8, Vec<Box<str>>)>,
    stale: bool,
}

#[derive(Debug, Default)]
struct Oracle(BTreeMap<String, Known>);

impl Oracle {
    /// The entry of a path; it and the objects it is in are made.
    fn make(&mut self, path: &str) -> &mut Known {
        for (dot, _) in path.match_indices('.') {
            self.0.entry(path[..=dot].to_owned()).or_default();
        }
        self.0.entry(path.to_owned()).or_default()
    }

    fn learn(&mut self, observation: &Observation, second: i64) {
        match observation {
            Observation::Names { path, next_level, entries } => {
                self.names(path, *next_level, entries);
            }
            Observation::Values { asked, values } => {
                for value in values {
                    let known = self.make(&value.path);
                    known.value = Some((value.value.expose().to_string(), second));
                    known.xsd_type = Some(value.xsd_type.to_string());
                    known.stale = false;
                }
                for path in asked.iter().filter(|path| !path.ends_with('.')) {
                    let came = values.iter().any(|value| value.path == *path);
                    if let Some(known) = self.0.get_mut(&**path).filter(|_| !came) {
                        known.stale = known.value.is_some();
                    }
                }
            }
            Observation::Attributes(entries) => {
                for entry in entries {
                    let attributes = (entry.notification, entry.access_list.clone());
                    self.make(&entry.path).attributes = Some(attributes);
                }
            }
            Observation::Written(values) => {
                // Of two with one path the last counts, its type too.
                let last = |at: usize| values[at + 1..].iter().all(|it| it.path != values[at].path);
                for value in (0..values.len()).filter(|at| last(*at)).map(|at| &values[at]) {
                    let known = self.make(&value.path);
                    known.value = Some((value.value.expose().to_string(), second));
                    known.xsd_type.get_or_insert_with(|| value.xsd_type.to_string());
                    known.stale = false;
                }
            }
            Observation::Added { path } => {
                self.0.retain(|known, _| !known.starts_with(&**path));
                self.make(path).writable = Some(true);
            }
            Observation::Deleted { path } | Observation::Forgotten { path } => {
                let below = |known: &str| path.ends_with('.') && known.starts_with(&**path);
                self.0.retain(|known, _| known != &**path && !below(known));
            }
        }
    }

    fn names(&mut self, path: &str, next_level: bool, entries: &[NameEntry]) {
        let is_object = path.is_empty() || path.ends_with('.');
        let asked = |it: &&NameEntry| {
            if is_object { it.path.starts_with(path) } else { *it.path == *path }
        };
        let listed: Vec<_> = entries.iter().filter(asked).collect();
        let mut there: BTreeSet<_> = listed.iter().map(|it| it.path.to_string()).collect();
        for entry in &listed {
            there.extend(
                entry.path.match_indices('.').map(|(dot, _)| entry.path[..=dot].to_owned()),
            );
        }
        self.0.retain(|known, _| match known.strip_prefix(path) {
            _ if !is_object => known != path || there.contains(known),
            None | Some("") => true,
            Some(rest) if next_level => {
                let level = rest.find('.').map_or(rest, |dot| &rest[..=dot]);
                there.contains(&format!("{path}{level}"))
            }
            Some(_) => there.contains(known),
        });
        if is_object && !path.is_empty() {
            self.make(path);
        }
        for entry in listed {
            self.make(&entry.path).writable = Some(entry.writable);
        }
    }

    fn check(&self, model: &DataModel) {
        assert_eq!(model.dropped(), 0);
        let known: Vec<_> = self.0.iter().map(|(path, known)| known.entry(path)).collect();
        let found: Vec<_> = model.below("").collect();
        assert_eq!(found, known);
        for entry in &found {
            assert_eq!(model.get(entry.path).as_ref(), Some(entry));
        }
    }
}

impl Known {
    fn entry<'a>(&'a self, path: &'a str) -> DataModelEntry<'a> {
        DataModelEntry {
            path,
            writable: self.writable,
            value: self.value.as_ref().map(|(value, _)| Redacted(value.as_str())),
            xsd_type: self.xsd_type.as_deref(),
            notification: self.attributes.as_ref().map(|(notification, _)| *notification),
            access_list: self.attributes.as_ref().map(|(_, list)| &list[..]),
            read_at: self.value.as_ref().map(|(_, second)| at(*second)),
            stale: self.stale,
        }
    }
}

/// Few names, so that they meet; some that sort around a dot, and one with long characters.
fn path() -> impl Strategy<Value = Box<str>> {
    let segment = prop::sample::select(vec!["A", "A-", "B", "1", "10", "2", "ä"]);
    (prop::collection::vec(segment, 1..5), any::<bool>()).prop_map(|(segments, is_object)| {
        (segments.join(".") + if is_object { "." } else { "" }).into()
    })
}

fn object() -> impl Strategy<Value = Box<str>> {
    path().prop_map(|path| if path.ends_with('.') { path } else { format!("{path}.").into() })
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let xsd_type = prop::sample::select(vec!["string", "boolean", "vendorType", "ö"]);
    let reading = (path(), "[a-cä]{0,3}", xsd_type).prop_map(|(path, value, xsd_type)| Reading {
        path,
        value: Redacted(value.into()),
        xsd_type: xsd_type.into(),
    });
    prop::collection::vec(reading, 0..8)
}

fn observation() -> impl Strategy<Value = Observation> {
    let name = (path(), any::<bool>()).prop_map(|(path, writable)| NameEntry { path, writable });
    let list = prop::sample::subsequence(vec![Box::<str>::from("Subscriber"), "X_1".into()], 0..=2);
    let attribute = (path(), 0..7_u8, list).prop_map(|(path, notification, access_list)| {
        AttributeEntry { path, notification, access_list }
    });
    let start = prop_oneof![1 => Just("".into()), 6 => path(), 6 => object()];
    prop_oneof![
        4 => (start, any::<bool>(), prop::collection::vec(name, 0..8)).prop_map(
            |(path, next_level, entries)| Observation::Names { path, next_level, entries }
        ),
        4 => (prop::collection::vec(path(), 0..6), readings())
            .prop_map(|(asked, values)| Observation::Values { asked, values }),
        1 => prop::collection::vec(attribute, 0..4).prop_map(Observation::Attributes),
        1 => readings().prop_map(Observation::Written),
        1 => object().prop_map(|path| Observation::Added { path }),
        1 => object().prop_map(|path| Observation::Deleted { path }),
        1 => path().prop_map(|path| Observation::Forgotten { path }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_rules_say_and_comes_back_as_it_was(
        observations in prop::collection::vec(observation(), 0..20),
    ) {
        let (mut model, mut oracle) = (DataModel::new(), Oracle::default());
        for (second, observation) in (-3..).zip(&observations) {
            model.learn(observation, at(second));
            oracle.learn(observation, second);
            oracle.check(&model);
        }
        let again = DataModel::decode(&model.encode()).unwrap();
        oracle.check(&again);
        model.compact();
        oracle.check(&model);
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        mut bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 1..200),
    ) {
        bytes[0] = 1;
        if let Ok(model) = DataModel::decode(&bytes) {
            prop_assert_eq!(DataModel::decode(&model.encode()), Ok(model));
        }
    }

    #[test]
    fn damage_is_refused_or_a_data_model(
        observations in prop::collection::vec(observation(), 1..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut model = DataModel::new();
        observations.iter().for_each(|it| model.learn(it, at(1)));
        let mut bytes = model.encode();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(model) = DataModel::decode(&bytes) {
            prop_assert_eq!(DataModel::decode(&model.encode()), Ok(model));
        }
    }
}
