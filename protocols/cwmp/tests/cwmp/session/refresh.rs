//! Learning a data model, from devices that answer well and from those that do not.

use super::cpe::{Cpe, Errors};
use super::harness::{Harness, command, known};
use crate::cwmp::{Known, Message, Options, Outcome, Quirks, Request, Work};
use crate::{inform, informing};
use model::{CommandKind, CommandState, Observation};
use std::collections::BTreeSet;

fn refresh(path: &str, depth: Option<u8>) -> Work {
    let depth = depth.map(|it| format!(r#","depth":{it}"#)).unwrap_or_default();
    command("F1", &format!(r#"{{"kind":"refresh","path":"{path}"{depth}}}"#))
}

/// A session of a device whose Inform shows its root.
fn shown(quirks: Quirks, options: Options, work: Vec<Work>) -> Harness {
    let mut it = Harness::new(Known { quirks, ..known(&[]) }, options);
    let told = [("Device.T0.1.P0", "1"), ("Device.T1.1.P0", "1"), ("Device.T1.1.P1", "1")];
    it.receive(informing(inform(&["2 PERIODIC"], &told)));
    it.receive(Message::empty());
    it.take();
    it.given(work)
}

fn refreshed(cpe: &Cpe, path: &str, depth: Option<u8>) -> Harness {
    let mut it = shown(Quirks::default(), Options::default(), vec![refresh(path, depth)]);
    cpe.converse(&mut it);
    it
}

/// All values that were learnt, each once.
fn read(it: &Harness) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    for observation in &it.learned {
        if let Observation::Values { values, .. } = observation {
            for value in values {
                assert!(all.insert(&*value.path), "{} twice", value.path);
            }
        }
    }
    all
}

fn rpcs(it: &Harness) -> Vec<&'static str> {
    it.answered.iter().map(|(rpc, _)| *rpc).collect()
}

#[test]
fn a_thousand_parameters_are_few_calls() {
    let cpe = Cpe::of_size(20, 5, 10);
    let it = refreshed(&cpe, "", None);
    assert_eq!(it.changes.last().unwrap().state, CommandState::Done);
    assert_eq!(it.result(), serde_json::json!({"parameters": 1000, "objects": 120, "faults": {}}));
    assert_eq!(read(&it).len(), cpe.len());
    let rpcs = rpcs(&it);
    assert_eq!(rpcs.iter().filter(|it| **it == "GetParameterNames").count(), 21, "one by object");
    assert_eq!(rpcs.iter().filter(|it| **it == "GetParameterValues").count(), 2, "512 at most");
    let Request::GetParameterNames { path, next_level } = &it.calls[0] else { panic!() };
    assert_eq!((&**path, *next_level), ("Device.", true), "from the root, level by level");
    let Request::GetParameterNames { path, next_level } = &it.calls[1] else { panic!() };
    assert_eq!((&**path, *next_level), ("Device.T0.", false));
}

#[test]
fn setting_up_may_be_a_discovery() {
    let kind = CommandKind::Refresh { path: String::new(), depth: None };
    let work = vec![Work::Setup { name: "discovery".into(), kind }];
    let mut it = shown(Quirks::default(), Options::default(), work);
    Cpe::of_size(2, 2, 2).converse(&mut it);
    assert!(it.said.contains(&"setup discovery done".to_owned()), "{:?}", it.said);
    assert_eq!(read(&it).len(), 8);
}

#[test]
fn a_large_subtree_is_read_in_parts() {
    let cpe = Cpe::of_size(2, 40, 30);
    let it = refreshed(&cpe, "", None);
    assert_eq!(read(&it).len(), 2_400);
    let largest = it.learned.iter().filter_map(|it| match it {
        Observation::Values { values, .. } => Some(values.len()),
        _ => None,
    });
    assert!(largest.max().unwrap() <= 512, "an answer holds twice a batch at most");
    // One object with more parameters than an answer should have.
    let cpe = Cpe::of_size(1, 1, 1_100);
    let it = refreshed(&cpe, "Device.T0.", None);
    assert_eq!(read(&it).len(), 1_100);
    let most = it.calls.iter().filter_map(|it| match it {
        Request::GetParameterValues { names } => Some(names.len()),
        _ => None,
    });
    assert_eq!(most.max(), Some(256), "a call names a batch at most");
}

#[test]
fn depth_bounds_what_is_learnt() {
    let cpe =
        Cpe::new(["Device.A", "Device.B.C", "Device.B.D.E", "Device.B.D.F.G"].map(str::to_owned));
    assert_eq!(read(&refreshed(&cpe, "", Some(1))), ["Device.A"].into());
    assert_eq!(read(&refreshed(&cpe, "", Some(2))), ["Device.A", "Device.B.C"].into());
    assert_eq!(read(&refreshed(&cpe, "Device.B.", Some(1))), ["Device.B.C"].into());
    assert_eq!(read(&refreshed(&cpe, "Device.B.", Some(2))), ["Device.B.C", "Device.B.D.E"].into());
    assert_eq!(read(&refreshed(&cpe, "Device.B.C", None)), ["Device.B.C"].into());
    let it = refreshed(&cpe, "Device.B.", None);
    assert_eq!(read(&it).len(), 3);
    assert_eq!(it.result(), serde_json::json!({"parameters": 3, "objects": 2, "faults": {}}));
    assert_eq!(rpcs(&it), ["GetParameterNames", "GetParameterValues"], "a part is asked whole");
}

#[test]
fn what_is_too_much_at_once_is_asked_level_by_level() {
    let mut cpe = Cpe::of_size(8, 5, 10);
    cpe.errors.names_max = Some(20);
    let it = refreshed(&cpe, "", None);
    assert_eq!(it.result()["parameters"], 400);
    assert_eq!(it.result()["faults"], serde_json::json!({}));
    assert_eq!(read(&it).len(), 400);
    let refused = it.answered.iter().filter(|(_, outcome)| *outcome == Outcome::Refused(9004));
    assert_eq!(refused.count(), 8, "those that were asked already; then levels only");

    let mut cpe = Cpe::of_size(8, 5, 10);
    cpe.errors.values_max = Some(30);
    let it = refreshed(&cpe, "", None);
    assert_eq!(it.result()["parameters"], 400);
    assert_eq!(read(&it).len(), 400, "in halves, and below an object one by one");
}

#[test]
fn levels_that_are_none_and_objects_that_are_left_out() {
    let mut cpe = Cpe::of_size(4, 2, 2);
    cpe.errors = Errors { ignores_next_level: true, ..Errors::default() };
    let it = refreshed(&cpe, "", None);
    assert_eq!(it.result(), serde_json::json!({"parameters": 16, "objects": 12, "faults": {}}));
    assert_eq!(rpcs(&it), ["GetParameterNames", "GetParameterValues"], "it has told all");
    assert_eq!(read(&it).len(), 16);

    cpe.errors = Errors { leaves_objects_out: true, ..Errors::default() };
    let it = refreshed(&cpe, "Device.T1.", None);
    assert_eq!(it.result(), serde_json::json!({"parameters": 4, "objects": 2, "faults": {}}));
    assert_eq!(read(&it).len(), 4);
}

#[test]
fn a_name_that_is_not_there_is_forgotten_and_looked_up() {
    let mut cpe = Cpe::of_size(2, 2, 3);
    cpe.ghosts.insert("Device.T1.2.Ghost".to_owned());
    // Asked by name, for depth forbids subtrees.
    let it = refreshed(&cpe, "", Some(4));
    assert_eq!(it.result()["faults"]["Device.T1.2.Ghost"]["code"], 9005);
    assert_eq!(read(&it).len(), 12, "the others are read all the same");
    let forgotten = |it: &&Observation| matches!(it, Observation::Forgotten { .. });
    let forgotten: Vec<_> = it.learned.iter().filter(forgotten).collect();
    assert_eq!(forgotten, [&Observation::Forgotten { path: "Device.T1.2.Ghost".into() }]);
    let Some(Request::GetParameterNames { path, next_level }) = it.calls.last() else { panic!() };
    assert_eq!((&**path, *next_level), ("Device.T1.2.", true), "what is there in its place?");
}

#[test]
fn rediscoveries_are_bounded() {
    let gets = (0..9).map(|n| {
        let names = format!(r#"{{"kind":"get_parameters","names":["Device.X{n}.Y"]}}"#);
        command(&format!("C{n}"), &names)
    });
    let options = Options { batch_names_max: 1, ..Options::default() };
    let mut it = shown(Quirks::default(), options, gets.collect());
    Cpe::of_size(1, 1, 1).converse(&mut it);
    let looked_up = rpcs(&it).into_iter().filter(|it| *it == "GetParameterNames").count();
    assert_eq!(looked_up, 3);
    assert_eq!(it.changes.iter().filter(|it| it.state == CommandState::Failed).count(), 9);
}

#[test]
fn a_session_asks_only_so_often() {
    let options = Options { requests_max: 20, ..Options::default() };
    let mut it = shown(Quirks::default(), options, vec![refresh("", None)]);
    Cpe::of_size(40, 1, 1).converse(&mut it);
    let change = it.changes.last().unwrap();
    assert_eq!(change.state, CommandState::Failed);
    assert!(change.may_pass);
    assert_eq!(
        change.cause.as_deref(),
        Some("not finished within the calls that one session may make")
    );
    assert_eq!(it.said.last().unwrap(), "close finished");
    assert!(it.calls.len() <= 20);
}

#[test]
fn a_root_that_must_not_be_named_is_not() {
    let quirks = Quirks { skip_root_names: true, ..Quirks::default() };
    let cpe = Cpe::of_size(3, 2, 2);
    for root in ["", "Device."] {
        let mut it = shown(quirks, Options::default(), vec![refresh(root, None)]);
        cpe.converse(&mut it);
        let named: Vec<&str> = it.calls.iter().filter_map(named).collect();
        assert_eq!(named, ["Device.T0.", "Device.T1."], "those that the Inform showed");
        assert_eq!(read(&it).len(), 8);
    }
    // Nor is it looked up when something below it is lost.
    let lost = command("C1", r#"{"kind":"get_parameters","names":["Device.Nope"]}"#);
    let mut it = shown(quirks, Options::default(), vec![lost]);
    cpe.converse(&mut it);
    assert_eq!(rpcs(&it), ["GetParameterValues"]);
}

fn named(call: &Request) -> Option<&str> {
    match call {
        Request::GetParameterNames { path, .. } => Some(path),
        _ => None,
    }
}

#[test]
fn a_device_that_refuses_all_has_nothing_to_learn() {
    let mut it = shown(Quirks::default(), Options::default(), vec![refresh("Device.No.", None)]);
    Cpe::of_size(1, 1, 1).converse(&mut it);
    let change = &it.changes[1];
    assert_eq!(change.state, CommandState::Failed);
    assert_eq!(change.cause.as_deref(), Some("the device refused: 9005 invalid parameter name"));
    assert!(!change.may_pass);
    // And one that falls silent may have more another time.
    let mut it = shown(Quirks::default(), Options::default(), vec![refresh("", None)]);
    it.commit();
    it.receive(Message::empty());
    assert!(it.changes.last().unwrap().may_pass);
    let kind = CommandKind::Refresh { path: String::new(), depth: None };
    let work = vec![Work::Setup { name: "discovery".into(), kind }];
    let quirks = Quirks { skip_root_names: true, ..Quirks::default() };
    let mut it = Harness::new(Known { quirks, ..known(&[]) }, Options::default());
    it.receive(informing(inform(&["2 PERIODIC"], &[])));
    it.receive(Message::empty());
    let it = it.given(work);
    let said = "setup discovery failed: the Inform shows no object to begin at".to_owned();
    assert!(it.said.contains(&said), "{:?}", it.said);
}
