//! Each transition of the session alone. Whole conversations are in `tests/transcripts`.

mod any_order;
mod batches;
mod calls;
mod cpe;
mod harness;
mod held;
mod objects;
mod refresh;
mod transfers;

use crate::cwmp::{
    Body, CloseReason, Fault, Known, Message, Options, Output, Parameter, ParameterFault, Request,
    Response, Session, TransferComplete, Work, XsdType, decode,
};
use crate::{inform, informing, message, now};
use harness::{Harness, command, fault, get, known, set, setup, unknown, values};
use model::{CommandState, Fact, Settlement, Ticket};
use std::sync::Arc;
use std::time::Duration;

/// netcwmp tells its own password, the enrolment secret, in every Inform.
#[test]
fn secrets_that_an_inform_tells_are_no_event() {
    let path = |leaf: &str| format!("InternetGatewayDevice.ManagementServer.{leaf}");
    let told = [
        (path("Password"), "hunter2"),
        (path("ConnectionRequestPassword"), "hunter3"),
        ("Device.WiFi.AccessPoint.1.Security.KeyPassphrase".to_owned(), "hunter4"),
        ("Device.WiFi.AccessPoint.1.WPS.PIN".to_owned(), "hunter5"),
        ("Device.WiFi.AccessPoint.1.Security.X_EN_WEPKey1".to_owned(), "hunter6"),
        (path("Username"), "enrol"),
        (path("STUNPassword"), ""),
    ];
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (&**name, *value)).collect();
    let met = Known { facts: None, ..known(&[]) };
    let mut session = Session::new(met, Arc::new(Options::default()), now());
    session.receive(message(Body::Inform(Box::new(inform(&[], &told)))), now());
    let Some(Output::Emit { fact: Fact::Event(event), .. }) = session.poll() else { panic!() };
    let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
    assert!(!event.data.as_str().contains("hunter"));
    assert_eq!(data["parameters"][path("Password")], serde_json::Value::Null);
    assert_eq!(data["parameters"][path("Username")], "enrol");
    assert_eq!(data["parameters"][path("STUNPassword")], "", "as it should be");
}

/// The data of the event that a first Inform with those parameters makes.
fn event_data(told: &[(&str, &str)]) -> serde_json::Value {
    let mut session = Session::new(unknown(), Arc::new(Options::default()), now());
    session.receive(informing(inform(&[], told)), now());
    let Some(Output::Emit { fact: Fact::Event(event), .. }) = session.poll() else { panic!() };
    serde_json::from_str(event.data.as_str()).unwrap()
}

#[test]
fn an_informs_event_holds_no_more_parameters_than_it_should() {
    let names: Vec<String> = (0..257).map(|index| format!("Device.P{index}")).collect();
    let told: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let data = event_data(&told[..256]);
    assert_eq!(data["parameters"].as_object().unwrap().len(), 256);
    assert!(data.get("parameters_left_out").is_none(), "nothing was");
    let data = event_data(&told);
    assert_eq!(data["parameters"].as_object().unwrap().len(), 256);
    assert_eq!(data["parameters_left_out"], 1);
    assert!(data["parameters"].get("Device.P256").is_none(), "the last is left out");
}

#[test]
fn an_informs_event_holds_no_more_bytes_than_it_should() {
    let name = "Device.Long";
    let fits = "v".repeat(64 * 1024 - name.len());
    let data = event_data(&[(name, &fits)]);
    assert_eq!(data["parameters"][name], fits);
    assert!(data.get("parameters_left_out").is_none(), "nothing was");
    let over = format!("{fits}v");
    let data =
        event_data(&[("Device.A", "1"), (name, &over), ("Device.Other", &over), ("Device.B", "2")]);
    assert_eq!(data["parameters"], serde_json::json!({"Device.A": "1", "Device.B": "2"}));
    assert_eq!(data["parameters_left_out"], 2);
}

/// A session rests for half a minute with what its Inform told.
#[test]
fn a_resting_session_keeps_types_and_no_values() {
    let mut said = inform(&["2 PERIODIC"], &[]);
    said.parameters.push(Parameter::new("Device.A", "kept-nowhere", XsdType::Int));
    let mut session = Session::new(known(&[]), Arc::new(Options::default()), now());
    session.receive(informing(said), now());
    while session.poll().is_some() {}
    session.receive(Message::empty(), now());
    assert!(matches!(session.poll(), Some(Output::Decide)));
    let printed = format!("{session:?}");
    assert!(printed.contains("Told { name: \"Device.A\", xsd_type: Int }"), "{printed}");
    session.assign([set("C1", r#"{"Device.A": "5"}"#)], now());
    let sent = session.poll();
    let Some(Output::Emit { ticket, .. }) = sent else { panic!("{sent:?}") };
    session.settle(ticket, Settlement::Committed, now());
    let Some(Output::Send(reply)) = session.poll() else { panic!() };
    assert_eq!(reply.name, "SetParameterValues", "its type need not be learnt");
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(text.contains("xsd:int"), "{text}");
}

/// The event that an Inform makes, if any.
fn event_of(known: Known, codes: &[&str], parameters: &[(&str, &str)]) -> Option<String> {
    let mut it = Harness::new(known, Options::default());
    it.receive(informing(inform(codes, parameters)));
    let event =
        it.said.iter().find_map(|said| said.strip_prefix("event lastmile.")).map(str::to_owned);
    if event.is_some() {
        assert!(
            !it.take().iter().any(|said| said.starts_with("send")),
            "no answer before the disk"
        );
        it.commit();
    }
    assert_eq!(it.take(), ["send InformResponse"]);
    event
}

#[test]
fn an_inform_makes_its_most_significant_event() {
    let event = |codes: &[&str]| event_of(known(&[]), codes, &[]);
    assert_eq!(event(&["2 PERIODIC"]), None);
    assert_eq!(event(&["6 CONNECTION REQUEST", "X 00D09E Own", "M Reboot"]), None);
    assert_eq!(event(&["1 BOOT", "0 BOOTSTRAP"]).unwrap(), "device.bootstrapped");
    assert_eq!(event(&["4 VALUE CHANGE", "1 BOOT"]).unwrap(), "device.booted");
    assert_eq!(event(&["4 VALUE CHANGE", "8 DIAGNOSTICS COMPLETE"]).unwrap(), "device.diagnosed");
    assert_eq!(event(&["4 VALUE CHANGE"]).unwrap(), "device.values_changed");
    assert_eq!(event_of(unknown(), &["1 BOOT"], &[]).unwrap(), "device.discovered");
    assert_eq!(event_of(unknown(), &["0 BOOTSTRAP"], &[]).unwrap(), "device.bootstrapped");
    let newer = [("Device.DeviceInfo.SoftwareVersion", "2")];
    assert_eq!(event_of(known(&[]), &["2 PERIODIC"], &newer).unwrap(), "device.changed");
}

#[test]
fn a_model_once_named_is_not_forgotten() {
    let mut known = known(&[]);
    known.facts.as_mut().unwrap().model = Some("R-1".into());
    assert_eq!(event_of(known.clone(), &["2 PERIODIC"], &[]), None, "silence is no news");
    let other = [("Device.DeviceInfo.ModelName", "R-2")];
    assert_eq!(event_of(known, &["2 PERIODIC"], &other).unwrap(), "device.changed");
}

#[test]
fn facts_go_with_an_event_only_where_they_changed() {
    let facts = |known: Known, parameters: &[(&str, &str)]| {
        let mut session = Session::new(known, Arc::new(Options::default()), now());
        session.receive(informing(inform(&["1 BOOT"], parameters)), now());
        match session.poll() {
            Some(Output::Emit { fact: Fact::Event(event), .. }) => event.facts,
            other => panic!("{other:?}"),
        }
    };
    assert!(facts(known(&[]), &[]).is_none());
    assert!(facts(unknown(), &[]).is_some());
    let version = [("Device.DeviceInfo.SoftwareVersion", "2")];
    assert_eq!(facts(known(&[]), &version).unwrap().software_version.as_deref(), Some("2"));
}

#[test]
fn every_inform_makes_an_event_where_that_is_wanted() {
    let options = Options { event_per_inform: true, ..Options::default() };
    let mut it = Harness::new(known(&[]), options);
    it.receive(informing(inform(&["2 PERIODIC"], &[])));
    assert_eq!(it.take(), ["event lastmile.device.informed"]);
}

#[test]
fn a_refused_fact_refuses_the_device() {
    let mut it = Harness::new(known(&["R1"]), Options::default());
    it.receive(informing(inform(&["1 BOOT"], &[])));
    assert_eq!(it.take(), ["event lastmile.device.booted", "R1 done"]);
    it.settle(Settlement::Refused);
    assert_eq!(it.take(), ["refuse", "close refused"]);
    assert!(it.session.is_closed());
}

#[test]
fn the_answer_waits_for_every_fact() {
    let mut it = Harness::new(known(&["R1"]), Options::default());
    it.receive(informing(inform(&["1 BOOT"], &[])));
    let second = it.tickets.pop().unwrap();
    it.take();
    it.commit();
    assert!(it.take().is_empty(), "one is still on its way");
    it.session.settle(second, Settlement::Committed, now());
    it.drain();
    assert_eq!(it.take(), ["send InformResponse"]);
}

#[test]
fn nothing_to_do_ends_the_session() {
    let mut it = Harness::assigned(vec![]);
    assert_eq!(it.take(), ["send Empty", "close finished"]);
    it.receive(Message::empty());
    assert_eq!(it.take(), ["refuse"], "a request after the end has an answer, too");
}

#[test]
fn the_devices_own_requests_are_served_in_any_order() {
    let mut it = Harness::informed();
    it.receive(message(Body::GetRpcMethods));
    it.receive(message(Body::RequestDownload(Box::default())));
    it.commit();
    it.receive(message(Body::Unknown { name: "Vendor".into() }));
    let expected = [
        "send GetRPCMethodsResponse",
        "event lastmile.download.requested",
        "send RequestDownloadResponse",
        "send Fault",
    ];
    assert_eq!(it.take(), expected);
    it.receive(message(Body::TransferComplete(Box::default())));
    assert_eq!(it.take(), ["event lastmile.transfer.completed"]);
    it.commit();
    let own = TransferComplete { file_type: "x".into(), ..TransferComplete::default() };
    it.receive(message(Body::AutonomousTransferComplete(Box::new(own))));
    it.commit();
    let expected = [
        "send TransferCompleteResponse",
        "event lastmile.transfer.completed",
        "send AutonomousTransferCompleteResponse",
    ];
    assert_eq!(it.take(), expected);
    it.receive(Message::empty());
    assert_eq!(it.take(), ["decide"]);
}

#[test]
fn a_transfer_after_the_empty_post_is_served() {
    let mut it = Harness::assigned(vec![get("C1"), get("C2")]);
    it.commit();
    assert_eq!(it.take(), ["C1 sent", "send GetParameterValues"]);
    it.receive(message(Body::TransferComplete(Box::default())));
    assert_eq!(it.take(), ["C1 failed: not answered", "event lastmile.transfer.completed"]);
    it.commit();
    assert_eq!(it.take(), ["send TransferCompleteResponse"]);
    it.receive(Message::empty());
    assert_eq!(it.take(), ["C2 sent"], "what is left goes on");
}

#[test]
fn an_answer_to_nothing_is_an_empty_post() {
    for body in [Body::Response(Box::new(Response::Reboot)), Body::Fault(Box::default())] {
        let mut it = Harness::informed();
        it.receive(message(body));
        assert_eq!(it.take(), ["decide"]);
    }
}

#[test]
fn a_command_that_was_withdrawn_meanwhile_is_not_asked() {
    let mut it = Harness::assigned(vec![get("C1"), get("C2"), get("C3")]);
    assert_eq!(it.take(), ["C1 sent"]);
    it.settle(Settlement::Overtaken);
    assert_eq!(it.take(), ["C2 sent"], "the next is taken up in its place");
    it.commit();
    assert_eq!(it.take(), ["send GetParameterValues"]);
    it.answer(values(&[("Device.A", "1", XsdType::Int)]));
    assert_eq!(it.take(), ["C2 done"]);
    it.settle(Settlement::Overtaken);
    assert_eq!(it.take(), ["C3 sent"], "of an end nobody need know");
    it.settle(Settlement::Overtaken);
    assert_eq!(it.take(), ["decide"]);
    it.session.assign([], now());
    it.drain();
    assert_eq!(it.take(), ["send Empty", "close finished"]);
}

#[test]
fn a_reboot_that_ended_otherwise_holds_nothing_up() {
    let mut it = Harness::new(known(&["R1"]), Options::default());
    it.receive(informing(inform(&["1 BOOT"], &[])));
    assert_eq!(it.take(), ["event lastmile.device.booted", "R1 done"]);
    let done = it.tickets.pop().unwrap();
    it.session.settle(done, Settlement::Overtaken, now());
    it.drain();
    assert!(it.take().is_empty(), "the event is still on its way");
    it.commit();
    assert_eq!(it.take(), ["send InformResponse"]);
}

#[test]
fn a_settlement_of_nothing_drops_no_command() {
    let mut it = Harness::assigned(vec![get("C1")]);
    it.take();
    it.session.settle(Ticket(99), Settlement::Overtaken, now());
    it.drain();
    assert!(it.take().is_empty());
    it.commit();
    assert_eq!(it.take(), ["send GetParameterValues"]);
}

#[test]
fn a_command_is_on_disk_before_it_is_sent() {
    let mut it = Harness::assigned(vec![get("C1"), get("C2")]);
    assert_eq!(it.take(), ["C1 sent"]);
    it.commit();
    assert_eq!(it.take(), ["send GetParameterValues"]);
    it.answer(values(&[("Device.A", "1", XsdType::Int)]));
    assert_eq!(it.take(), ["C1 done"]);
    it.commit();
    assert_eq!(it.take(), ["C2 sent"]);
    it.commit();
    it.receive(fault(9005));
    let expected =
        ["send GetParameterValues", "C2 failed: the device refused: 9005 invalid parameter name"];
    assert_eq!(it.take(), expected);
    it.commit();
    assert_eq!(it.take(), ["send GetParameterNames"], "what is there in its place?");
    it.answer(Response::GetParameterNames { parameters: Vec::new() });
    assert_eq!(it.take(), ["decide"], "commands may have come meanwhile");
    it.session.assign([], now());
    it.drain();
    assert_eq!(it.take(), ["send Empty", "close finished"]);
}

#[test]
fn results_have_values_and_types() {
    let mut it = Harness::assigned(vec![get("C1")]);
    it.commit();
    it.answer(values(&[("Device.A", "1", XsdType::Int), ("Device.B", "x", XsdType::String)]));
    let change = it.changes.last().unwrap();
    assert_eq!(change.state, CommandState::Done);
    assert_eq!(
        change.result.as_ref().unwrap().as_str(),
        r#"{"parameters":{"Device.A":{"type":"xsd:int","value":1},"Device.B":{"type":"xsd:string","value":"x"}}}"#
    );
}

#[test]
fn an_unanswered_command_fails_and_the_rest_goes_on() {
    let mut it = Harness::assigned(vec![get("C1"), get("C2")]);
    it.commit();
    it.receive(Message::empty());
    it.commit();
    let expected = ["C1 sent", "send GetParameterValues", "C1 failed: not answered", "C2 sent"];
    assert_eq!(it.take(), expected);
    it.commit();
    it.answer(Response::Reboot);
    let expected =
        ["send GetParameterValues", "C2 failed: the device answered with RebootResponse"];
    assert_eq!(it.take(), expected);
}

#[test]
fn types_are_learnt_before_values_are_set() {
    let mut it = Harness::assigned(vec![set(
        "C1",
        r#"{"Device.A":true,"Device.B":{"value":1,"type":"xsd:int"}}"#,
    )]);
    it.commit();
    it.answer(values(&[("Device.A", "0", XsdType::Boolean)]));
    let expected = ["C1 sent", "send GetParameterValues", "send SetParameterValues"];
    assert_eq!(it.take(), expected);
    let Some(Request::SetParameterValues { parameters, .. }) = it.calls.last() else { panic!() };
    let expected = [
        Parameter::new("Device.A", "1", XsdType::Boolean),
        Parameter::new("Device.B", "1", XsdType::Int),
    ];
    assert_eq!(*parameters, expected);
    it.answer(Response::SetParameterValues { status: 0 });
    assert_eq!(it.take(), ["C1 done"]);
}

#[test]
fn what_cannot_be_read_is_set_all_the_same() {
    let mut it = Harness::assigned(vec![set("C1", r#"{"Device.A":-5}"#)]);
    it.commit();
    it.receive(fault(9005));
    assert_eq!(it.take(), ["C1 sent", "send GetParameterValues", "send SetParameterValues"]);
    it.receive(fault(9002));
    assert_eq!(it.take(), ["C1 failed: the device refused: 9002 internal error"]);
}

#[test]
fn what_the_inform_told_need_not_be_learnt() {
    let mut it = Harness::new(known(&[]), Options::default());
    let mut said = inform(&["2 PERIODIC"], &[]);
    said.parameters.push(Parameter::new("Device.A", "1", XsdType::Int));
    it.receive(informing(said));
    it.receive(Message::empty());
    it.take();
    it.session.assign([set("C1", r#"{"Device.A":2}"#)], now());
    it.drain();
    it.commit();
    assert_eq!(it.take(), ["C1 sent", "send SetParameterValues"]);
}

#[test]
fn the_rest_is_set_without_the_culprits() {
    let values =
        r#"{"Device.A":{"value":"1","type":"string"},"Device.B":{"value":"2","type":"string"}}"#;
    let mut it = Harness::assigned(vec![set("C1", values)]);
    it.commit();
    let culprit = ParameterFault { name: "Device.B".into(), code: 9008, text: "".into() };
    let parts = Fault { code: 9003, text: "".into(), parameters: vec![culprit] };
    it.receive(message(Body::Fault(Box::new(parts.clone()))));
    assert_eq!(it.take(), ["C1 sent", "send SetParameterValues", "send SetParameterValues"]);
    it.answer(Response::SetParameterValues { status: 1 });
    let change = it.changes.last().unwrap();
    assert_eq!(change.cause.as_deref(), Some("Device.B: 9008 parameter is not writable"));
    assert_eq!(it.result()["applied"], serde_json::json!(["Device.A"]));
    assert_eq!(it.result()["refused"]["Device.B"]["code"], 9008);

    // A fault that names no parameter of ours ends it.
    let mut it = Harness::assigned(vec![set("C1", values)]);
    it.commit();
    let mut stranger = parts;
    stranger.parameters[0].name = "Device.C".into();
    it.receive(message(Body::Fault(Box::new(stranger))));
    assert_eq!(it.take().len(), 3);
    assert!(it.tickets.len() == 1, "failed");
}

/// Half a credential would shut the device out.
#[test]
fn credentials_are_set_whole_or_not_at_all() {
    let kind = serde_json::from_str(
        r#"{"kind":"set_parameters","values":{
            "Device.ManagementServer.Password":{"value":"p","type":"xsd:string"},
            "Device.ManagementServer.Username":{"value":"u","type":"xsd:string"}}}"#,
    );
    let name = Work::CREDENTIALS.into();
    let mut it = Harness::assigned(vec![Work::Setup { name, kind: kind.unwrap() }]);
    let name = "Device.ManagementServer.Username".into();
    let culprit = ParameterFault { name, code: 9008, text: "".into() };
    let parts = Fault { code: 9003, text: "".into(), parameters: vec![culprit] };
    it.receive(message(Body::Fault(Box::new(parts))));
    let said = it.take();
    let sets = said.iter().filter(|it| *it == "send SetParameterValues");
    assert_eq!(sets.count(), 1, "{said:?}");
    assert!(said.iter().any(|it| it.starts_with("setup credentials failed:")), "{said:?}");
}

#[test]
fn a_value_that_no_parameter_holds_fails_unsent() {
    let mut it =
        Harness::assigned(vec![set("C1", r#"{"Device.A":{"value":[1],"type":"xsd:int"}}"#)]);
    let expected = ["C1 failed: Device.A: a value is a string, a number or a boolean"];
    assert_eq!(it.take(), expected);
    for nothing in
        [r#"{"kind":"get_parameters","names":[]}"#, r#"{"kind":"set_parameters","values":{}}"#]
    {
        let mut it = Harness::assigned(vec![command("C1", nothing)]);
        assert_eq!(it.take(), ["C1 failed: no parameter is named"]);
    }
    let publish = r#"{"kind":"publish","topic":"boards/1/down/a","payload":1}"#;
    assert_eq!(
        Harness::assigned(vec![command("C1", publish)]).take(),
        ["C1 failed: not a command for a CPE"]
    );
}

#[test]
fn a_reboot_is_delivered_then_done() {
    let mut it = Harness::assigned(vec![command("R1", r#"{"kind":"reboot"}"#), get("C2")]);
    it.commit();
    it.answer(Response::Reboot);
    it.commit();
    let expected = ["R1 sent", "send Reboot", "R1 delivered", "send Empty", "close finished"];
    assert_eq!(it.take(), expected, "nothing more is asked of a device about to restart");

    let mut it = Harness::new(known(&["R1", "R2"]), Options::default());
    let mut keyed = inform(&["M Reboot", "2 PERIODIC"], &[]);
    keyed.events[0].command_key = "R2".into();
    it.receive(informing(keyed));
    it.commit();
    assert_eq!(it.take(), ["R2 done", "send InformResponse"]);
    let mut it = Harness::new(known(&["R1", "R2"]), Options::default());
    it.receive(informing(inform(&["1 BOOT"], &[])));
    assert_eq!(it.take(), ["event lastmile.device.booted", "R1 done", "R2 done"]);
}

#[test]
fn an_unanswered_reboot_is_unknown() {
    let mut it = Harness::assigned(vec![command("R1", r#"{"kind":"reboot"}"#)]);
    it.commit();
    it.session.abandon(CloseReason::Disconnected);
    it.drain();
    let expected = ["R1 sent", "send Reboot", "R1 unknown: not answered", "close disconnected"];
    assert_eq!(it.take(), expected);
    let mut it = Harness::assigned(vec![command("R1", r#"{"kind":"reboot"}"#)]);
    it.commit();
    it.receive(fault(9001));
    assert_eq!(it.take()[2], "R1 failed: the device refused: 9001 request denied");
}

#[test]
fn setting_up_is_not_a_fact() {
    let typed = r#"{"Device.A":{"value":"1","type":"string"}}"#;
    let mut it = Harness::assigned(vec![setup(typed), setup(typed), setup(typed)]);
    assert_eq!(it.take(), ["send SetParameterValues"]);
    it.answer(Response::SetParameterValues { status: 0 });
    assert_eq!(it.take(), ["setup base done", "send SetParameterValues"]);
    it.receive(fault(9003));
    let expected = [
        "setup base failed: the device refused: 9003 invalid arguments",
        "send SetParameterValues",
    ];
    assert_eq!(it.take(), expected);
    it.receive(Message::empty());
    assert_eq!(it.take(), ["setup base failed: not answered", "decide"]);
}

#[test]
fn silence_ends_a_session() {
    let mut it = Harness::assigned(vec![get("C1")]);
    assert_eq!(it.session.deadline(), model::Monotonic::NEVER, "it is our turn");
    it.commit();
    it.take();
    let almost = now().after(Duration::from_millis(29_999));
    it.session.expire(almost);
    it.drain();
    assert!(it.take().is_empty());
    it.session.expire(now().after(Duration::from_secs(30)));
    it.drain();
    assert_eq!(it.take(), ["C1 failed: not answered", "close silent"]);
    it.session.expire(now().after(Duration::from_secs(60)));
    it.session.abandon(CloseReason::Stopping);
    it.drain();
    assert!(it.take().is_empty(), "closed once");
}

#[test]
fn abandoned_in_our_turn_the_device_is_refused() {
    let mut it = Harness::informed();
    it.receive(Message::empty());
    it.session.abandon(CloseReason::Stopping);
    it.drain();
    assert_eq!(it.take(), ["decide", "refuse", "close stopping"]);
    it.session.assign([get("C1")], now());
    it.drain();
    assert!(it.take().is_empty(), "too late");

    let mut it = Harness::assigned(vec![get("C1")]);
    it.session.abandon(CloseReason::Disconnected);
    it.drain();
    let expected = [
        "C1 sent",
        "C1 failed: the device went away before it was asked",
        "refuse",
        "close disconnected",
    ];
    assert_eq!(it.take(), expected);
    it.commit();
    assert!(it.take().is_empty(), "nothing is sent afterwards");
}

#[test]
fn what_has_no_place_ends_the_session() {
    let mut it = Harness::new(known(&[]), Options::default());
    it.receive(message(Body::GetRpcMethods));
    assert_eq!(it.take(), ["send Fault", "close unexpected"]);

    let mut it = Harness::new(known(&[]), Options::default());
    it.receive(Message::empty());
    assert_eq!(it.take(), ["send Empty"]);
    it.receive(informing(inform(&["2 PERIODIC"], &[])));
    assert_eq!(it.take(), ["send InformResponse"], "an empty POST first does no harm");

    it.receive(informing(inform(&["2 PERIODIC"], &[])));
    assert_eq!(it.take(), ["refuse", "close superseded"]);

    let mut it = Harness::new(known(&[]), Options::default());
    it.receive(informing(inform(&["1 BOOT"], &[])));
    it.receive(Message::empty());
    let expected = ["event lastmile.device.booted", "refuse", "close unexpected"];
    assert_eq!(it.take(), expected, "a second request before the first has its answer");
}

#[test]
fn rounds_are_bounded() {
    let options = Options { requests_max: 4, batch_names_max: 1, ..Options::default() };
    let mut it = Harness::new(known(&[]), options);
    it.receive(informing(inform(&["2 PERIODIC"], &[])));
    it.receive(Message::empty());
    it.take();
    it.session.assign((0..9).map(|n| get(&format!("C{n}"))), now());
    it.drain();
    for _ in 0..9 {
        it.commit();
        it.commit();
        if it.session.is_closed() {
            break;
        }
        it.answer(values(&[]));
    }
    let said = it.take();
    assert_eq!(said.iter().filter(|it| *it == "send GetParameterValues").count(), 2, "{said:?}");
    assert_eq!(said.last().unwrap(), "close finished");
}

#[test]
fn our_answer_speaks_as_the_device_does() {
    let mut session = Session::new(known(&[]), Arc::new(Options::default()), now());
    let xml = crate::envelope("<cwmp:Inform/>").replace("cwmp-1-2", "cwmp-1-9");
    session.receive(crate::decode(&xml).unwrap(), now());
    // The product class has gone: that is no news, but this Inform says nothing else either.
    let Some(Output::Send(reply)) = session.poll() else { panic!() };
    let read = decode(None, &reply.body, &Options::default()).unwrap();
    assert_eq!(read.namespace.as_str(), "urn:dslforum-org:cwmp-1-9");
    assert_eq!(read.id.as_deref(), Some("42"));
}
