//! Neighbouring commands of a kind in one call, each with its own result.

use super::harness::{Harness, command, get, set, values};
use crate::cwmp::{Body, Fault, Options, Parameter, ParameterFault, Request, Response, XsdType};
use crate::message;
use model::{CommandState, Observation, Settlement};
use serde_json::{Value, json};

fn assigned(work: Vec<crate::cwmp::Work>) -> Harness {
    Harness::informed_under(Options::default()).ready().given(work)
}

fn read(id: &str, names: &str) -> crate::cwmp::Work {
    command(id, &format!(r#"{{"kind":"get_parameters","names":{names}}}"#))
}

fn typed(id: &str, path: &str) -> crate::cwmp::Work {
    set(id, &format!(r#"{{"{path}":{{"value":"1","type":"xsd:string"}}}}"#))
}

fn ended(it: &Harness, id: &str) -> (CommandState, Option<String>, Value) {
    let change = it.changes.iter().rfind(|it| it.id.as_str() == id).unwrap();
    let result = change.result.as_ref().map(|it| serde_json::from_str(it.as_str()).unwrap());
    (change.state, change.cause.as_deref().map(str::to_owned), result.unwrap_or_default())
}

#[test]
fn reads_that_stand_together_are_one_call() {
    let mut it = assigned(vec![
        read("C1", r#"["Device.A","Device.B."]"#),
        read("C2", r#"["Device.B.2"]"#),
        read("C3", r#"["Device.C"]"#),
    ]);
    assert_eq!(it.take(), ["C1 sent", "C2 sent", "C3 sent"]);
    it.commit();
    let Some(Request::GetParameterValues { names }) = it.calls.last() else { panic!() };
    assert_eq!(names.len(), 4);
    let one = |path: &'static str| (path, "1", XsdType::Int);
    it.answer(values(&["Device.A", "Device.B.1", "Device.B.2", "Device.X"].map(one)));
    assert_eq!(it.take(), ["send GetParameterValues", "C1 done", "C2 done", "C3 done"]);
    let paths = |id: &str| -> Vec<String> {
        ended(&it, id).2["parameters"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(paths("C1"), ["Device.A", "Device.B.1", "Device.B.2"]);
    assert_eq!(paths("C2"), ["Device.B.2"]);
    assert_eq!(ended(&it, "C3").2["absent"], json!(["Device.C"]), "it came without");
    let [Observation::Values { asked, values }] = it.learned.as_slice() else { panic!() };
    assert_eq!((asked.len(), values.len()), (4, 4), "what nobody asked for is learnt, too");
}

#[test]
fn a_read_that_is_refused_is_asked_in_halves() {
    let mut it = assigned(vec![read("C1", r#"["Device.A","Device.B"]"#), get("C2"), get("C3")]);
    it.commit();
    it.take();
    let mut asked = Vec::new();
    while let Some(Request::GetParameterValues { names }) = it.calls.last().cloned() {
        asked.push(names.len());
        if names.iter().any(|it| **it == *"Device.B") {
            it.receive(super::harness::fault(9005));
        } else {
            let all: Vec<_> = names.iter().map(|it| (&**it, "1", XsdType::Int)).collect();
            it.answer(values(&all));
        }
        it.commit();
        if it.changes.len() > 3 {
            break;
        }
    }
    assert_eq!(asked, [4, 2, 1, 1, 2]);
    let (state, cause, result) = ended(&it, "C1");
    assert_eq!(state, CommandState::Failed);
    assert_eq!(cause.unwrap(), "Device.B: 9005 invalid parameter name");
    assert_eq!(result["parameters"]["Device.A"]["value"], 1, "what came is in the result");
    assert_eq!(result["refused"]["Device.B"]["code"], 9005);
    assert_eq!(ended(&it, "C2").0, CommandState::Done);
    assert_eq!(ended(&it, "C3").0, CommandState::Done);
    assert!(it.learned.contains(&Observation::Forgotten { path: "Device.B".into() }));
}

#[test]
fn a_device_that_refuses_whatever_it_is_asked_is_not_asked_for_ever() {
    let names: Vec<String> = (0..256).map(|n| format!("\"Device.P{n}\"")).collect();
    let mut it = assigned(vec![read("C1", &format!("[{}]", names.join(",")))]);
    it.commit();
    for _ in 0..200 {
        if ended(&it, "C1").0 != CommandState::Sent {
            break;
        }
        it.receive(super::harness::fault(9002));
    }
    let (state, _, result) = ended(&it, "C1");
    assert_eq!(state, CommandState::Failed);
    assert!(it.changes.last().unwrap().may_pass, "9002 may pass");
    assert_eq!(result["refused"].as_object().unwrap().len(), 256);
    assert!(it.calls.len() < 80, "{}", it.calls.len());
}

#[test]
fn a_long_read_is_several_calls_and_one_result() {
    let options = Options { batch_names_max: 2, ..Options::default() };
    let names = r#"["Device.A","Device.B","Device.C","Device.D","Device.E"]"#;
    let mut it = Harness::informed_under(options).ready().given(vec![read("C1", names)]);
    it.commit();
    while let Some(Request::GetParameterValues { names }) = it.calls.last().cloned() {
        let all: Vec<_> = names.iter().map(|it| (&**it, "1", XsdType::Int)).collect();
        it.answer(values(&all));
        if !it.tickets.is_empty() {
            break;
        }
    }
    assert_eq!(it.calls.len(), 3);
    assert_eq!(it.result()["parameters"].as_object().unwrap().len(), 5);
}

#[test]
fn writes_that_stand_together_are_one_call() {
    let mut it = assigned(vec![
        typed("C1", "Device.A"),
        typed("C2", "Device.B"),
        typed("C3", "Device.A"),
        get("C4"),
    ]);
    it.commit();
    assert_eq!(it.take(), ["C1 sent", "C2 sent", "send SetParameterValues"], "A twice is two");
    let Some(Request::SetParameterValues { parameters, parameter_key }) = it.calls.last() else {
        panic!()
    };
    assert_eq!((parameters.len(), &**parameter_key), (2, "C2"));
    it.answer(Response::SetParameterValues { status: 1 });
    assert_eq!(it.take(), ["C1 done", "C2 done"]);
    assert_eq!(ended(&it, "C1").2, json!({"applied": ["Device.A"], "status": 1}));
    assert_eq!(ended(&it, "C2").2, json!({"applied": ["Device.B"], "status": 1}));
    let [Observation::Written(written)] = it.learned.as_slice() else { panic!() };
    assert_eq!(written.len(), 2);
    it.commit();
    assert_eq!(it.take(), ["C3 sent"]);
}

fn culprit(name: &str, code: u16) -> ParameterFault {
    ParameterFault { name: name.into(), code, text: "".into() }
}

fn refusal(parameters: Vec<ParameterFault>) -> crate::cwmp::Message {
    message(Body::Fault(Box::new(Fault { code: 9003, text: "".into(), parameters })))
}

#[test]
fn a_culprit_is_its_own_commands() {
    let mut it =
        assigned(vec![typed("C1", "Device.A"), typed("C2", "Device.B"), typed("C3", "Device.C")]);
    it.commit();
    it.receive(refusal(vec![culprit("Device.B", 9007)]));
    it.answer(Response::SetParameterValues { status: 0 });
    assert_eq!(ended(&it, "C1").0, CommandState::Done);
    assert_eq!(ended(&it, "C3").0, CommandState::Done);
    let (state, cause, result) = ended(&it, "C2");
    assert_eq!(state, CommandState::Failed);
    assert_eq!(cause.unwrap(), "Device.B: 9007 invalid parameter value");
    assert_eq!(result["applied"], json!([]));
}

#[test]
fn writes_that_are_refused_for_no_said_reason_are_tried_alone() {
    let mut it = assigned(vec![typed("C1", "Device.A"), typed("C2", "Device.B")]);
    it.commit();
    it.receive(super::harness::fault(9002));
    it.receive(super::harness::fault(9002));
    it.commit();
    it.answer(Response::SetParameterValues { status: 0 });
    let expected = [
        "C1 sent",
        "C2 sent",
        "send SetParameterValues",
        "send SetParameterValues",
        "C1 failed: the device refused: 9002 internal error",
        "send SetParameterValues",
        "C2 done",
    ];
    assert_eq!(it.take(), expected);
    assert!(it.changes[2].may_pass);
    let keys: Vec<&str> = it.calls.iter().map(key).collect();
    assert_eq!(keys, ["C2", "C1", "C2"]);
}

#[test]
fn parts_of_one_thing_are_set_together_and_fail_apart() {
    use crate::cwmp::Work;
    let part = |name: &str, path: &str| {
        let Work::Command { kind, .. } = typed("x", path) else { panic!() };
        Work::Setup { name: name.into(), kind }
    };
    let parts = [("base/a", "Device.A"), ("base/b", "Device.B"), ("stun", "Device.C")];
    let mut work: Vec<Work> = parts.iter().map(|(name, path)| part(name, path)).collect();
    work.push(typed("C1", "Device.D"));
    let mut it = assigned(work);
    let lengths = |it: &Harness| -> Vec<usize> {
        let count = |call: &Request| match call {
            Request::SetParameterValues { parameters, .. } => parameters.len(),
            other => panic!("{other:?}"),
        };
        it.calls.iter().map(count).collect()
    };
    it.receive(super::harness::fault(9002));
    it.answer(Response::SetParameterValues { status: 0 });
    it.receive(super::harness::fault(9003));
    it.answer(Response::SetParameterValues { status: 0 });
    it.commit();
    let expected = [
        "send SetParameterValues",
        "send SetParameterValues",
        "setup base/a done",
        "send SetParameterValues",
        "setup base/b failed: the device refused: 9003 invalid arguments",
        "send SetParameterValues",
        "setup stun done",
        "C1 sent",
        "send SetParameterValues",
    ];
    assert_eq!(it.take(), expected);
    assert_eq!(lengths(&it), [2, 1, 1, 1, 1]);
}

fn key(call: &Request) -> &str {
    match call {
        Request::SetParameterValues { parameter_key, .. } => parameter_key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_of_a_batch_may_be_withdrawn() {
    let mut it = assigned(vec![typed("C1", "Device.A"), typed("C2", "Device.B")]);
    let second = it.tickets.pop().unwrap();
    it.session.settle(second, Settlement::Overtaken, crate::now());
    it.drain();
    it.commit();
    let Some(Request::SetParameterValues { parameters, .. }) = it.calls.last() else { panic!() };
    assert_eq!(*parameters, [Parameter::new("Device.A", "1", XsdType::String)]);
    it.answer(Response::SetParameterValues { status: 0 });
    it.commit();
    let expected = ["C1 sent", "C2 sent", "send SetParameterValues", "C1 done", "decide"];
    assert_eq!(it.take(), expected);

    let mut it = assigned(vec![read("C1", r#"["Device.A"]"#), read("C2", r#"["Device.B"]"#)]);
    let second = it.tickets.pop().unwrap();
    it.commit();
    it.session.settle(second, Settlement::Overtaken, crate::now());
    it.drain();
    let Some(Request::GetParameterValues { names }) = it.calls.last() else { panic!() };
    assert_eq!(*names, [Box::from("Device.A")]);
}

#[test]
fn what_the_kept_model_says_is_not_read_again_and_not_sent() {
    use crate::cwmp::{Support, Work};
    let mut work = set("C1", r#"{"Device.A":1,"Device.B":2}"#);
    let Work::Command { support, .. } = &mut work else { panic!() };
    *support = Support {
        types: vec![("Device.A".into(), XsdType::Long)],
        read_only: vec!["Device.B".into()],
        files: Vec::new(),
    };
    let mut it = assigned(vec![work.clone()]);
    it.commit();
    let Some(Request::SetParameterValues { parameters, .. }) = it.calls.last() else { panic!() };
    assert_eq!(*parameters, [Parameter::new("Device.A", "1", XsdType::Long)]);
    it.answer(Response::SetParameterValues { status: 0 });
    let (state, cause, result) = ended(&it, "C1");
    assert_eq!(state, CommandState::Failed);
    assert_eq!(cause.unwrap(), "Device.B: 9008 parameter is not writable");
    assert_eq!(result["applied"], json!(["Device.A"]));
    // Nothing left to send: it ends unsent.
    let mut only = set("C2", r#"{"Device.B":2}"#);
    let Work::Command { support, .. } = &mut only else { panic!() };
    support.read_only = vec!["Device.B".into()];
    let mut it = assigned(vec![only]);
    assert_eq!(it.take(), ["C2 failed: Device.B: 9008 parameter is not writable"]);
}
