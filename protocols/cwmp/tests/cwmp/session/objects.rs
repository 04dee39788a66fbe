//! Objects that are made and removed, and what tells after a crash whether they were.

use super::harness::{Harness, command, fault, get, known, set, values};
use crate::cwmp::{
    Body, CloseReason, Fault, Known, Message, Options, Parameter, ParameterFault, Request,
    Response, Root, XsdType,
};
use crate::{inform, informing, message, outstanding};
use model::{Command, CommandState, Observation};
use serde_json::json;

const ADD: &str = r#"{"kind":"add_object","path":"Device.NAT.PortMapping.","values":{"Enable":true,"Port":{"value":80,"type":"xsd:unsignedInt"}}}"#;
const ADD_BARE: &str = r#"{"kind":"add_object","path":"Device.NAT.PortMapping."}"#;
const DELETE: &str = r#"{"kind":"delete_object","path":"Device.NAT.PortMapping.3."}"#;

#[test]
fn an_object_is_made_and_its_parameters_set() {
    let mut it = Harness::assigned(vec![command("C1", ADD)]);
    it.commit();
    it.answer(Response::AddObject { instance: 3, status: 0 });
    it.answer(values(&[("Device.NAT.PortMapping.3.Enable", "0", XsdType::Boolean)]));
    it.answer(Response::SetParameterValues { status: 0 });
    let expected = [
        "C1 sent",
        "send AddObject",
        "send GetParameterValues",
        "send SetParameterValues",
        "C1 done",
    ];
    assert_eq!(it.take(), expected);
    let Request::AddObject { parameter_key, .. } = &it.calls[0] else { panic!() };
    assert_eq!(&**parameter_key, "C1/1", "made, and not all set yet");
    let Request::SetParameterValues { parameters, parameter_key } = &it.calls[2] else { panic!() };
    assert_eq!(&**parameter_key, "C1");
    let path = |leaf: &str| format!("Device.NAT.PortMapping.3.{leaf}");
    let expected = [
        Parameter::new(&path("Enable"), "1", XsdType::Boolean),
        Parameter::new(&path("Port"), "80", XsdType::UnsignedInt),
    ];
    assert_eq!(*parameters, expected);
    assert_eq!(it.result()["instance"], 3);
    assert_eq!(it.result()["path"], "Device.NAT.PortMapping.3.");
    let added = Observation::Added { path: "Device.NAT.PortMapping.3.".into() };
    assert_eq!(it.learned[0], added);
    assert!(matches!(it.learned.last(), Some(Observation::Written(_))));
}

#[test]
fn an_object_alone_is_one_call() {
    let mut it = Harness::assigned(vec![command("C1", ADD_BARE)]);
    it.commit();
    let Request::AddObject { object, parameter_key } = &it.calls[0] else { panic!() };
    assert_eq!((&**object, &**parameter_key), ("Device.NAT.PortMapping.", "C1"));
    it.answer(Response::AddObject { instance: 7, status: 1 });
    let expected = json!({"instance": 7, "path": "Device.NAT.PortMapping.7.", "status": 1});
    assert_eq!(it.result(), expected);
}

#[test]
fn an_object_whose_parameters_are_refused_was_made_all_the_same() {
    let mut it = Harness::assigned(vec![command("C1", ADD)]);
    it.commit();
    it.answer(Response::AddObject { instance: 3, status: 0 });
    it.receive(fault(9002));
    let name = "Device.NAT.PortMapping.3.Port".into();
    let parameters = vec![ParameterFault { name, code: 9007, text: "".into() }];
    let refusal = Fault { code: 9003, text: "".into(), parameters };
    it.receive(message(Body::Fault(Box::new(refusal))));
    it.answer(Response::SetParameterValues { status: 0 });
    let cause = "the object Device.NAT.PortMapping.3. was made, but not all set: \
                 Device.NAT.PortMapping.3.Port: 9007 invalid parameter value";
    assert_eq!(it.changes.last().unwrap().cause.as_deref(), Some(cause));
    assert_eq!(it.result()["instance"], 3);
    assert_eq!(it.result()["applied"], json!(["Device.NAT.PortMapping.3.Enable"]));

    // Asked again it would make another: that is no failure that passes.
    let mut it = Harness::assigned(vec![command("C1", ADD)]);
    it.commit();
    it.answer(Response::AddObject { instance: 3, status: 0 });
    it.receive(fault(9002));
    it.receive(fault(9002));
    let change = it.changes.last().unwrap();
    assert_eq!(change.state, CommandState::Failed);
    assert!(!change.may_pass);
    assert_eq!(it.result()["path"], "Device.NAT.PortMapping.3.");
}

#[test]
fn an_object_is_removed() {
    let mut it = Harness::assigned(vec![command("C1", DELETE)]);
    it.commit();
    it.answer(Response::DeleteObject { status: 0 });
    assert_eq!(it.take(), ["C1 sent", "send DeleteObject", "C1 done"]);
    let deleted = Observation::Deleted { path: "Device.NAT.PortMapping.3.".into() };
    assert_eq!(it.learned, [deleted]);

    let mut it = Harness::assigned(vec![command("C1", DELETE)]);
    it.commit();
    it.receive(fault(9005));
    it.commit();
    let expected = [
        "C1 sent",
        "send DeleteObject",
        "C1 failed: the device refused: 9005 invalid parameter name",
        "send GetParameterNames",
    ];
    assert_eq!(it.take(), expected);
    let Some(Request::GetParameterNames { path, .. }) = it.calls.last() else { panic!() };
    assert_eq!(&**path, "Device.NAT.PortMapping.");
}

fn crashed(kind: &str) -> Known {
    let command = Command { state: CommandState::Unknown, ..outstanding("C1", kind) };
    Known { outstanding: vec![command], ..known(&[]) }
}

/// What an Inform with that ParameterKey shows of a command that a crash interrupted.
fn shown(kind: &str, key: &str) -> Vec<String> {
    let mut it = Harness::new(crashed(kind), Options::default());
    it.receive(informing(inform(
        &["2 PERIODIC"],
        &[("Device.ManagementServer.ParameterKey", key)],
    )));
    it.take()
}

#[test]
fn the_parameter_key_of_the_inform_tells_what_a_crash_left() {
    assert_eq!(shown(DELETE, "C1"), ["C1 done: found done after a crash"]);
    assert_eq!(shown(DELETE, "C0"), ["C1 failed: was not carried out before the crash"]);
    let made = "C1 done: found done after a crash; the instance that was made is not known";
    assert_eq!(shown(ADD, "C1"), [made]);
    assert_eq!(shown(ADD, ""), ["C1 failed: was not carried out before the crash"]);
    let half = "C1 failed: the object was made before a crash, but its parameters were not set; \
                which one is not known";
    assert_eq!(shown(ADD, "C1/1"), [half]);
    assert_eq!(shown(ADD_BARE, "C1/1"), ["C1 failed: was not carried out before the crash"]);
}

#[test]
fn the_parameter_key_is_read_before_all_else_where_the_inform_lacks_it() {
    let path = "Device.ManagementServer.ParameterKey";
    let session = || {
        let mut it = Harness::new(crashed(DELETE), Options::default());
        it.receive(informing(inform(&["2 PERIODIC"], &[("Device.A", "1")])));
        it.receive(Message::empty());
        assert_eq!(it.take(), ["send InformResponse", "send GetParameterValues"]);
        assert_eq!(it.session.root(), Some(Root::Device));
        let Some(Request::GetParameterValues { names }) = it.calls.last() else { panic!() };
        assert_eq!(*names, [Box::from(path)]);
        it
    };
    let mut it = session();
    it.answer(values(&[(path, "C1", XsdType::String)]));
    it.commit();
    assert_eq!(it.take(), ["C1 done: found done after a crash", "decide"]);
    let untold = "C1 failed: sent before a crash, and the device does not tell whether it was \
                  carried out";
    let mut it = session();
    it.receive(fault(9005));
    it.commit();
    assert_eq!(it.take(), [untold, "decide"]);
    let mut it = session();
    it.answer(values(&[]));
    assert_eq!(it.take(), [untold]);
    // Gone again: it stays open, for the next session to find out.
    let mut it = session();
    it.session.abandon(CloseReason::Disconnected);
    it.drain();
    assert_eq!(it.take(), ["close disconnected"]);
}

#[test]
fn an_object_call_that_is_passed_over_is_verified_before_the_next_leaves_its_key() {
    let mut it = Harness::assigned(vec![
        command("C1", DELETE),
        set("C2", r#"{"Device.A":{"value":"1","type":"xsd:string"}}"#),
    ]);
    it.commit();
    it.receive(Message::empty());
    it.commit();
    let expected =
        ["C1 sent", "send DeleteObject", "C1 unknown: not answered", "send GetParameterValues"];
    assert_eq!(it.take(), expected);
    let path = "InternetGatewayDevice.ManagementServer.ParameterKey";
    it.answer(values(&[(path, "C0", XsdType::String)]));
    it.commit();
    let expected = ["C1 failed: was not carried out before the crash", "C2 sent"];
    assert_eq!(it.take(), expected);
}

#[test]
fn what_was_never_sent_may_be_sent_again() {
    let mut it = Harness::assigned(vec![command("C1", ADD), get("C2")]);
    it.session.abandon(CloseReason::Disconnected);
    it.drain();
    let said = it.take();
    assert_eq!(said[1], "C1 failed: the device went away before it was asked");
    assert!(it.changes.last().unwrap().may_pass);
    // Sent and not answered: only the device knows.
    let mut it = Harness::assigned(vec![command("C1", ADD)]);
    it.commit();
    it.session.abandon(CloseReason::Disconnected);
    it.drain();
    assert_eq!(it.take()[2], "C1 unknown: not answered");
}

#[test]
fn values_that_no_parameter_holds_make_no_object() {
    let nested =
        r#"{"kind":"add_object","path":"Device.T.","values":{"A":{"value":[1],"type":"xsd:int"}}}"#;
    let it = Harness::assigned(vec![command("C1", nested)]);
    assert_eq!(it.said, ["C1 failed: A: a value is a string, a number or a boolean"]);
}
