//! What each observation does, one by one, and then all of them against a slow and simple model.

use super::*;
use crate::{AttributeEntry, NameEntry, Observation, Reading};

mod oracle;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn reading(path: &str, value: &str) -> Reading {
    Reading { path: path.into(), value: Redacted(value.into()), xsd_type: "string".into() }
}

fn names(path: &str, next_level: bool, entries: &[(&str, bool)]) -> Observation {
    let entry = |&(path, writable): &(&str, bool)| NameEntry { path: path.into(), writable };
    let entries = entries.iter().map(entry).collect();
    Observation::Names { path: path.into(), next_level, entries }
}

fn values(asked: &[&str], values: &[(&str, &str)]) -> Observation {
    let asked = asked.iter().map(|&path| path.into()).collect();
    let values = values.iter().map(|(path, value)| reading(path, value)).collect();
    Observation::Values { asked, values }
}

fn learnt(observations: &[Observation]) -> DataModel {
    let mut model = DataModel::new();
    (1..).zip(observations).for_each(|(second, it)| model.learn(it, at(second)));
    model
}

fn paths(model: &DataModel) -> Vec<&str> {
    model.below("").map(|entry| entry.path).collect()
}

#[test]
fn objects_that_a_list_leaves_out_are_inferred() {
    let model = learnt(&[names("Device.", false, &[("Device.WiFi.SSID.1.Name", true)])]);
    assert_eq!(
        paths(&model),
        [
            "Device.",
            "Device.WiFi.",
            "Device.WiFi.SSID.",
            "Device.WiFi.SSID.1.",
            "Device.WiFi.SSID.1.Name"
        ]
    );
    assert_eq!(model.get("Device.WiFi.").unwrap().writable, None);
    assert_eq!(model.get("Device.WiFi.SSID.1.Name").unwrap().writable, Some(true));
}

#[test]
fn what_is_not_listed_any_more_goes_and_values_of_the_rest_stay() {
    let model = learnt(&[
        values(&[], &[("D.A.x", "1"), ("D.A.y", "2"), ("D.AB.x", "3"), ("D.B", "4")]),
        names("D.A.", false, &[("D.A.", false), ("D.A.x", false)]),
    ]);
    assert_eq!(paths(&model), ["D.", "D.A.", "D.A.x", "D.AB.", "D.AB.x", "D.B"]);
    let entry = model.get("D.A.x").unwrap();
    assert_eq!((entry.value, entry.read_at), (Some(Redacted("1")), Some(at(1))));
    assert_eq!(entry.writable, Some(false));
}

#[test]
fn a_level_that_is_listed_keeps_what_is_below_the_objects_that_are_still_there() {
    let model = learnt(&[
        values(&[], &[("D.A.1.x", "1"), ("D.A.2.x", "2"), ("D.A.n", "2"), ("D.A-.x", "3")]),
        names("D.A.", true, &[("D.A.2.", true), ("D.A.3.", true)]),
    ]);
    assert_eq!(paths(&model), ["D.", "D.A-.", "D.A-.x", "D.A.", "D.A.2.", "D.A.2.x", "D.A.3."]);
}

#[test]
fn a_parameter_asked_for_by_name_and_not_listed_is_gone_alone() {
    let model = learnt(&[values(&[], &[("D.A", "1"), ("D.AB", "2")]), names("D.A", false, &[])]);
    assert_eq!(paths(&model), ["D.", "D.AB"]);
}

#[test]
fn names_outside_the_question_are_passed_over() {
    let model = learnt(&[names("D.A.", false, &[("D.A.x", true), ("D.B.x", true), ("", true)])]);
    assert_eq!(paths(&model), ["D.", "D.A.", "D.A.x"]);
}

#[test]
fn values_that_were_asked_for_and_did_not_come_are_stale_until_they_do() {
    let mut model = learnt(&[
        values(&[], &[("D.a", "1"), ("D.b", "2"), ("D.c", "3")]),
        values(&["D.a", "D.b", "D.c", "D.none", "D."], &[("D.a", "1"), ("D.c", "4"), ("D.e", "5")]),
    ]);
    let stale = |model: &DataModel| -> Vec<String> {
        model.below("").filter(|it| it.stale).map(|it| it.path.to_owned()).collect()
    };
    assert_eq!(stale(&model), ["D.b"]);
    let entry = model.get("D.b").unwrap();
    assert_eq!((entry.value, entry.read_at), (Some(Redacted("2")), Some(at(1))));
    assert_eq!(model.get("D.a").unwrap().read_at, Some(at(2)), "read again, though the same");
    assert_eq!(model.get("D.e").unwrap().value, Some(Redacted("5")), "nobody asked for it");
    assert_eq!(model.get("D.none"), None);
    model.learn(&values(&["D.b"], &[("D.b", "2")]), at(3));
    assert!(stale(&model).is_empty());
}

#[test]
fn a_written_value_keeps_the_type_that_the_device_told() {
    let told = Reading { xsd_type: "unsignedInt".into(), ..reading("D.a", "1") };
    let model = learnt(&[
        Observation::Values { asked: Vec::new(), values: vec![told] },
        Observation::Written(vec![reading("D.a", "2"), reading("D.b", "x")]),
    ]);
    let types: Vec<_> = model.types(["D.a", "D.b", "D.c", "D."]).collect();
    assert_eq!(types, [("D.a", "unsignedInt"), ("D.b", "string")]);
    assert_eq!(model.get("D.a").unwrap().value, Some(Redacted("2")));
    assert_eq!(model.get("D.a").unwrap().read_at, Some(at(2)));
}

#[test]
fn an_object_that_is_made_is_empty_and_one_that_is_removed_leaves_nothing() {
    let mut model = learnt(&[values(&[], &[("D.T.1.x", "1"), ("D.T.10.x", "2"), ("D.T.n", "2")])]);
    model.learn(&Observation::Added { path: "D.T.1.".into() }, at(2));
    assert_eq!(paths(&model), ["D.", "D.T.", "D.T.1.", "D.T.10.", "D.T.10.x", "D.T.n"]);
    assert_eq!(model.get("D.T.1.").unwrap().writable, Some(true), "it may be deleted");
    model.learn(&Observation::Deleted { path: "D.T.10.".into() }, at(3));
    assert_eq!(paths(&model), ["D.", "D.T.", "D.T.1.", "D.T.n"]);
    model.learn(&Observation::Forgotten { path: "D.T.n".into() }, at(4));
    model.learn(&Observation::Forgotten { path: "D.T.unknown".into() }, at(5));
    assert_eq!(paths(&model), ["D.", "D.T.", "D.T.1."]);
    model.learn(&Observation::Forgotten { path: "D.".into() }, at(6));
    assert!(model.is_empty());
}

#[test]
fn attributes_are_kept_beside_the_value() {
    let list = |who: &[&str]| who.iter().map(|&who| who.into()).collect::<Vec<Box<str>>>();
    let attributes = |path: &str, notification, who: &[&str]| AttributeEntry {
        path: path.into(),
        notification,
        access_list: list(who),
    };
    let model = learnt(&[
        values(&[], &[("D.a", "1")]),
        Observation::Attributes(vec![
            attributes("D.a", 2, &["Subscriber"]),
            attributes("D.b", 0, &[]),
        ]),
    ]);
    let entry = model.get("D.a").unwrap();
    assert_eq!((entry.value, entry.notification), (Some(Redacted("1")), Some(2)));
    assert_eq!(entry.access_list, Some(&list(&["Subscriber"])[..]));
    let entry = model.get("D.b").unwrap();
    assert_eq!((entry.notification, entry.access_list), (Some(0), Some(&[][..])));
    assert_eq!(model.get("D.").unwrap().access_list, None);
}

#[test]
fn a_subtree_is_read_in_order_and_page_by_page() {
    let model = learnt(&[values(&[], &[("D.b", ""), ("D.A.x", ""), ("D.A-x", ""), ("D.A.a", "")])]);
    let below: Vec<_> = model.below("D.A.").map(|it| it.path).collect();
    assert_eq!(below, ["D.A.", "D.A.a", "D.A.x"]);
    let after: Vec<_> = model.below_after("D.A.", "D.A.a").map(|it| it.path).collect();
    assert_eq!(after, ["D.A.x"]);
    let after: Vec<_> = model.below_after("", "D.A.").map(|it| it.path).collect();
    assert_eq!(after, ["D.A.a", "D.A.x", "D.b"]);
    assert_eq!(model.below("D.A.").filter(DataModelEntry::is_object).count(), 1);
    assert_eq!(model.below("E").count(), 0);
}

#[test]
fn what_the_device_lists_as_not_writable_is_known_beforehand() {
    let model = learnt(&[
        names("D.", false, &[("D.a", false), ("D.b", true)]),
        values(&[], &[("D.c", "1")]),
    ]);
    let read_only: Vec<_> = model.read_only(["D.b", "D.a", "D.c", "D.d"]).collect();
    assert_eq!(read_only, ["D.a"], "what was not listed may be writable");
}

#[test]
fn what_goes_over_a_bound_is_counted_and_not_kept() {
    let long_path = "D.".to_owned() + &"x".repeat(PATH_BYTES_MAX - 1);
    let long_value = "v".repeat(VALUE_BYTES_MAX + 1);
    let mut model = learnt(&[values(&[], &[("D.a", "1"), (&long_path, "1")])]);
    assert_eq!((paths(&model), model.dropped()), (vec!["D.", "D.a"], 1));
    model.learn(&values(&[], &[("D.a", &long_value), ("D.b", &long_value)]), at(2));
    let entry = model.get("D.a").unwrap();
    assert_eq!((entry.value, entry.stale), (Some(Redacted("1")), true), "no longer what it is");
    assert_eq!(model.get("D.b").unwrap().value, None);
    assert_eq!(model.dropped(), 3);

    let odd = |n| Reading { xsd_type: format!("odd{n}").into(), ..reading(&format!("D.{n}"), "1") };
    let mut model = DataModel::new();
    let all = (0..TYPES_MAX + 3).map(odd).collect();
    model.learn(&Observation::Values { asked: Vec::new(), values: all }, at(1));
    assert_eq!((model.dropped(), model.len()), (3, TYPES_MAX + 4));
    assert_eq!(model.below("").filter(|it| it.xsd_type.is_some()).count(), TYPES_MAX);
}

#[test]
fn entries_and_bytes_have_bounds() {
    let many: Vec<_> = (0..ENTRIES_MAX).map(|n| format!("D.{n}")).collect();
    let entry = |path: &String| NameEntry { path: path.as_str().into(), writable: true };
    let entries: Vec<_> = many.iter().map(entry).collect();
    let mut model = DataModel::new();
    model.learn(&Observation::Names { path: "".into(), next_level: false, entries }, at(1));
    assert_eq!((model.len(), model.dropped()), (ENTRIES_MAX, 1), "the object takes one place");
    assert_eq!(DataModel::decode(&model.encode()).unwrap(), model);

    let value = "v".repeat(VALUE_BYTES_MAX);
    let all = |value: &str| -> Vec<_> {
        (0..200).map(|n| reading(&format!("D.{n:03}"), value)).collect()
    };
    let mut model = DataModel::new();
    let big = Observation::Values { asked: Vec::new(), values: all(&value) };
    model.learn(&big, at(1));
    let kept = model.below("").filter(|it| it.value.is_some()).count();
    assert_eq!(kept, (TEXT_BYTES_MAX - 1) / VALUE_BYTES_MAX);
    assert_eq!(model.dropped(), 200 - kept as u64);
    assert_eq!(DataModel::decode(&model.encode()).unwrap(), model, "what is kept can be read");
    // What is replaced makes room again.
    model.learn(&Observation::Written(all("")), at(2));
    assert_eq!(model.below("").filter(|it| it.value == Some(Redacted(""))).count(), 200);
    assert!(model.text.len() < 2 * GARBAGE_BYTES_FREE);
}

const GARBAGE_BYTES_FREE: usize = 16 * 1024;

#[test]
fn no_value_is_ever_printed() {
    let model = learnt(&[values(&[], &[("D.Password", "hunter2")])]);
    let shown = format!("{model:?} {:?}", model.get("D.Password"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn bytes_that_are_not_a_data_model_are_refused() {
    let model = learnt(&[values(&[], &[("D.a", "1"), ("D.b", "2")])]);
    let bytes = model.encode();
    assert_eq!(DataModel::decode(&bytes), Ok(model));
    for len in 0..bytes.len() {
        assert_eq!(DataModel::decode(&bytes[..len]), Err(DecodeError::Damaged), "{len}");
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        DataModel::decode(&bytes)
    };
    assert_eq!(with(0, 2), Err(DecodeError::Newer));
    assert_eq!(with(0, 0), Err(DecodeError::Damaged));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(DataModel::decode(&longer), Err(DecodeError::Damaged));
    assert_eq!(DataModel::decode(&DataModel::new().encode()), Ok(DataModel::new()));
}

#[test]
fn whole_is_remembered() {
    let mut model = learnt(&[values(&[], &[("D.a", "1")])]);
    assert!(!DataModel::decode(&model.encode()).unwrap().is_whole());
    model.set_whole();
    assert!(DataModel::decode(&model.encode()).unwrap().is_whole());
}

#[test]
fn a_cursor_finds_what_a_look_up_finds_in_any_order() {
    let paths: Vec<String> = (0..200).map(|n| format!("D.{}.P{}", n % 7, n * 37 % 200)).collect();
    let told: Vec<(&str, &str)> = paths.iter().step_by(2).map(|it| (it.as_str(), "1")).collect();
    let model = learnt(&[values(&[], &told)]);
    let mut sorted: Vec<&str> = paths.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut cursor = model.cursor();
    let shuffled = paths.iter().map(String::as_str);
    for path in sorted.into_iter().chain(shuffled).chain(["", "D.", "E", "A", "D.3.", "D.3."]) {
        assert_eq!(cursor.get(path), model.get(path), "{path}");
    }
    assert_eq!(DataModel::new().cursor().get("D."), None);
}
