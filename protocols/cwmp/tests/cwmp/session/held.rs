//! Nothing may be written any more, in the middle of a session.

use super::harness::{Harness, command, fault, set, values};
use crate::cwmp::{Request, Response, Work, XsdType};
use model::{CommandState, Settlement};

fn piece(name: &str, kind: &str) -> Work {
    let Work::Command { kind, .. } = command("x", kind) else { panic!() };
    Work::Setup { name: name.into(), kind }
}

fn write(name: &str, path: &str) -> Work {
    let value = r#"{"value":"1","type":"xsd:string"}"#;
    piece(name, &format!(r#"{{"kind":"set_parameters","values":{{"{path}":{value}}}}}"#))
}

fn read(name: &str, path: &str) -> Work {
    piece(name, &format!(r#"{{"kind":"get_parameters","names":["{path}"]}}"#))
}

#[test]
fn setting_up_that_writes_is_not_begun_and_what_reads_is() {
    let work = vec![
        write("a", "Device.A"),
        write("b", "Device.B"),
        read("c", "Device.C"),
        write("d", "Device.D"),
    ];
    let mut it = Harness::assigned(work);
    assert_eq!(it.take(), ["send SetParameterValues"]);
    it.session.set_held(true);
    it.answer(Response::SetParameterValues { status: 0 });
    assert_eq!(it.take(), ["setup a done", "send GetParameterValues"], "what was sent is heard");
    it.answer(values(&[("Device.C", "1", XsdType::Int)]));
    assert_eq!(it.take(), ["setup c done", "decide"], "and nobody is told of what was not begun");
}

#[test]
fn what_the_device_refuses_is_not_tried_in_parts() {
    let mut it = Harness::informed_under(crate::cwmp::Options::default())
        .ready()
        .given(vec![write("x/1", "Device.A"), write("x/2", "Device.B")]);
    assert_eq!(it.take(), ["send SetParameterValues"], "both at once");
    it.session.set_held(true);
    it.receive(fault(9002));
    assert_eq!(it.take(), ["decide"], "no call for each alone");
}

#[test]
fn a_command_that_is_overtaken_before_its_call_stays_unasked() {
    let write = |id: &str| set(id, r#"{"Device.A":{"value":"1","type":"xsd:string"}}"#);
    let mut it = Harness::assigned(vec![write("C1"), write("C2")]);
    it.commit();
    assert_eq!(it.take(), ["C1 sent", "send SetParameterValues"]);
    it.session.set_held(true);
    it.answer(Response::SetParameterValues { status: 0 });
    it.commit();
    assert_eq!(it.take(), ["C1 done", "C2 sent"]);
    it.settle(Settlement::Overtaken);
    assert_eq!(it.take(), ["decide"]);
    assert_eq!(it.changes.last().unwrap().state, CommandState::Sent, "nothing more is said of it");
    assert_eq!(it.calls.len(), 1);
}

#[test]
fn it_goes_on_when_it_may_again() {
    let mut it = Harness::assigned(vec![read("a", "Device.A"), write("b", "Device.B")]);
    it.session.set_held(true);
    it.session.set_held(false);
    it.answer(values(&[("Device.A", "1", XsdType::Int)]));
    assert!(matches!(it.calls.last(), Some(Request::SetParameterValues { .. })));
}
