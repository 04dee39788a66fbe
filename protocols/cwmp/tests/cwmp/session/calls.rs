//! Commands that are one call, and what the device tells of its own accord.

use super::harness::{Harness, command, fault, known};
use crate::cwmp::{
    Attributes, Body, FileTypeArg, Inform, Kicked, Known, Message, OptionStruct, Options, Outcome,
    ParameterInfo, Request, RequestDownload, Response, SetAttributes, TransferComplete,
};
use crate::{inform, informing, message, outstanding};
use model::{AttributeEntry, CommandState, NameEntry, Observation};
use serde_json::{Value, json};

/// What becomes of a command whose call is answered so.
fn answered(kind: &str, answer: Response) -> Harness {
    let mut it = Harness::assigned(vec![command("C1", kind)]);
    it.commit();
    it.answer(answer);
    it
}

#[test]
fn a_device_is_asked_what_it_can() {
    let methods = vec!["Reboot".into(), "Upload".into()];
    let it = answered(r#"{"kind":"get_rpc_methods"}"#, Response::GetRpcMethods { methods });
    assert_eq!(it.result(), json!({"methods": ["Reboot", "Upload"]}));
    assert_eq!(it.answered, [("GetRPCMethods", Outcome::Answered)]);
    let options = vec![OptionStruct { name: "VoIP".into(), state: 2, ..OptionStruct::default() }];
    let it = answered(r#"{"kind":"get_options"}"#, Response::GetOptions { options });
    assert_eq!(it.result()["options"][0]["name"], "VoIP");
    let it = answered(r#"{"kind":"set_vouchers","vouchers":["YQ=="]}"#, Response::SetVouchers);
    assert_eq!(it.said.last().unwrap(), "C1 done");
    let it = answered(r#"{"kind":"schedule_inform","delay_s":9}"#, Response::ScheduleInform);
    assert_eq!(it.said.last().unwrap(), "C1 done", "it is done when it is answered");
    let Some(Request::ScheduleInform { delay_s, command_key }) = it.calls.last() else { panic!() };
    assert_eq!((*delay_s, &**command_key), (9, "C1"));
}

#[test]
fn names_are_listed_and_learnt() {
    let kind = r#"{"kind":"get_parameter_names","path":"Device.","next_level":true}"#;
    let info = |name: &str, writable| ParameterInfo { name: name.into(), writable };
    let parameters = vec![info("Device.A", true), info("Device.B.", false)];
    let it = answered(kind, Response::GetParameterNames { parameters });
    let expected = json!({"Device.A": {"writable": true}, "Device.B.": {"writable": false}});
    assert_eq!(it.result()["names"], expected);
    let entry = |path: &str, writable| NameEntry { path: path.into(), writable };
    let entries = vec![entry("Device.A", true), entry("Device.B.", false)];
    let expected = Observation::Names { path: "Device.".into(), next_level: true, entries };
    assert_eq!(it.learned, [expected]);
}

#[test]
fn attributes_are_read_and_written() {
    let read = r#"{"kind":"get_parameter_attributes","names":["Device.A"]}"#;
    let list: Vec<Box<str>> = vec!["Subscriber".into()];
    let attributes =
        vec![Attributes { name: "Device.A".into(), notification: 2, access_list: list.clone() }];
    let answer = Response::GetParameterAttributes { attributes };
    let it = answered(read, answer.clone());
    let expected = json!({"Device.A": {"notification": 2, "access_list": ["Subscriber"]}});
    assert_eq!(it.result()["attributes"], expected);
    let entry = AttributeEntry { path: "Device.A".into(), notification: 2, access_list: list };
    let learned = Observation::Attributes(vec![entry]);
    assert_eq!(it.learned, [learned.clone()]);

    // Said whole: nothing need be read back.
    let whole = r#"{"kind":"set_parameter_attributes","attributes":[{"path":"Device.A","notification":2,"access_list":["Subscriber"]}]}"#;
    let it = answered(whole, Response::SetParameterAttributes);
    assert_eq!(it.said, ["C1 sent", "send SetParameterAttributes", "C1 done"]);
    assert_eq!(it.learned, [learned.clone()]);
    // In part: what it left as it was is read back, and whether or not, it was set.
    let part = r#"{"kind":"set_parameter_attributes","attributes":[{"path":"Device.A","notification":2}]}"#;
    let mut it = answered(part, Response::SetParameterAttributes);
    let expected =
        SetAttributes { name: "Device.A".into(), notification: Some(2), access_list: None };
    let Request::SetParameterAttributes { attributes } = &it.calls[0] else { panic!() };
    assert_eq!(*attributes, [expected]);
    it.answer(answer);
    let expected =
        ["C1 sent", "send SetParameterAttributes", "send GetParameterAttributes", "C1 done"];
    assert_eq!(it.take(), expected);
    assert_eq!(it.learned, [learned]);
    let mut it = answered(part, Response::SetParameterAttributes);
    it.receive(fault(9000));
    assert_eq!(it.take().last().unwrap(), "C1 done");
    let mut it = answered(part, Response::SetParameterAttributes);
    it.receive(Message::empty());
    assert_eq!(it.take()[3], "C1 done");
}

#[test]
fn refusals_and_other_answers_end_a_command() {
    for kind in [
        r#"{"kind":"get_rpc_methods"}"#,
        r#"{"kind":"get_parameter_names"}"#,
        r#"{"kind":"get_parameter_attributes","names":["A"]}"#,
        r#"{"kind":"set_parameter_attributes","attributes":[{"path":"A"}]}"#,
        r#"{"kind":"add_object","path":"A."}"#,
        r#"{"kind":"delete_object","path":"A.1."}"#,
        r#"{"kind":"refresh","path":"A."}"#,
        r#"{"kind":"factory_reset"}"#,
        r#"{"kind":"cancel_transfer","command":"C9"}"#,
        r#"{"kind":"get_transfers"}"#,
        r#"{"kind":"schedule_inform","delay_s":1}"#,
        r#"{"kind":"get_options"}"#,
        r#"{"kind":"set_vouchers","vouchers":[]}"#,
        r#"{"kind":"get_parameters","names":["A"]}"#,
        r#"{"kind":"set_parameters","values":{"A":{"value":1,"type":"xsd:int"}}}"#,
    ] {
        let mut it = Harness::assigned(vec![command("C1", kind)]);
        it.commit();
        it.receive(fault(9002));
        if kind.contains("refresh") {
            it.receive(fault(9002));
        }
        let change = it.changes.last().unwrap();
        assert_eq!(change.state, CommandState::Failed, "{kind}");
        assert_eq!(change.cause.as_deref(), Some("the device refused: 9002 internal error"));
        assert!(change.may_pass, "{kind}");
        let it = answered(kind, Response::Other);
        let change = it.changes.last().unwrap();
        assert_eq!(change.state, CommandState::Failed, "{kind}");
        assert_eq!(change.cause.as_deref(), Some("the device answered with OtherResponse"));
        assert!(!change.may_pass, "{kind}");
        // Without an answer, what may be done twice failed; of the rest only the device knows.
        let mut it = Harness::assigned(vec![command("C1", kind)]);
        it.commit();
        it.receive(Message::empty());
        let change = it.changes.last().unwrap();
        let kind: model::CommandKind = serde_json::from_str(kind).unwrap();
        let expected = match kind.is_idempotent() {
            true => (CommandState::Failed, true),
            false => (CommandState::Unknown, false),
        };
        assert_eq!((change.state, change.may_pass), expected, "{kind:?}");
        assert_eq!(it.answered.last().unwrap().1, Outcome::NotAnswered);
    }
}

#[test]
fn a_factory_reset_is_done_when_the_device_bootstraps() {
    let it = answered(r#"{"kind":"factory_reset"}"#, Response::FactoryReset);
    assert_eq!(it.said[2], "C1 delivered");
    let shown = |codes: &[&str]| {
        let outstanding = vec![outstanding("C1", r#"{"kind":"factory_reset"}"#)];
        let mut it = Harness::new(Known { outstanding, ..known(&[]) }, Options::default());
        it.receive(informing(inform(codes, &[])));
        it.said.contains(&"C1 done".to_owned())
    };
    assert!(shown(&["0 BOOTSTRAP", "1 BOOT"]));
    assert!(!shown(&["1 BOOT"]));
}

#[test]
fn a_call_back_that_was_scheduled_shows() {
    let kind = r#"{"kind":"schedule_inform","delay_s":9}"#;
    let known = Known { outstanding: vec![outstanding("C1", kind)], ..known(&[]) };
    let mut it = Harness::new(known, Options::default());
    let mut said: Inform = inform(&["M ScheduleInform"], &[]);
    said.events[0].command_key = "C1".into();
    it.receive(informing(said));
    assert_eq!(it.take(), ["C1 done"]);
}

fn event_data(it: &Harness) -> Value {
    serde_json::from_str(it.events.last().unwrap().data.as_str()).unwrap()
}

#[test]
fn what_a_device_tells_is_an_event_and_has_an_answer() {
    let mut it = Harness::informed();
    let kicked = Kicked {
        command: "buy".into(),
        referer: "http://r".into(),
        arg: "a=1".into(),
        next: "http://next/".into(),
    };
    it.receive(message(Body::Kicked(Box::new(kicked))));
    it.commit();
    assert_eq!(it.take(), ["event lastmile.device.kicked", "send KickedResponse"]);
    let expected =
        json!({"command": "buy", "referer": "http://r", "arg": "a=1", "next": "http://next/"});
    assert_eq!(event_data(&it), expected);

    let args = vec![FileTypeArg { name: "Version".into(), value: "2".into() }];
    let request = RequestDownload { file_type: "1 Firmware Upgrade Image".into(), args };
    it.receive(message(Body::RequestDownload(Box::new(request))));
    it.commit();
    assert_eq!(it.take(), ["event lastmile.download.requested", "send RequestDownloadResponse"]);
    assert_eq!(event_data(&it)["args"], json!({"Version": "2"}));

    it.receive(message(Body::AutonomousDuStateChangeComplete(Box::default())));
    it.commit();
    let expected =
        ["event lastmile.software.changed", "send AutonomousDUStateChangeCompleteResponse"];
    assert_eq!(it.take(), expected);
    assert_eq!(event_data(&it)["autonomous"], true);

    let own = TransferComplete {
        transfer_url: "http://user:secret@host/f".into(),
        is_download: true,
        target_file_name: "f".into(),
        ..TransferComplete::default()
    };
    it.receive(message(Body::AutonomousTransferComplete(Box::new(own))));
    assert_eq!(event_data(&it)["is_download"], true);
    assert!(!it.events.last().unwrap().data.as_str().contains("secret"));
}

#[test]
fn what_a_device_tells_at_length_is_cut() {
    let mut it = Harness::informed();
    let long = "ä".repeat(100_000);
    let kicked = Kicked { arg: long.as_str().into(), ..Kicked::default() };
    it.receive(message(Body::Kicked(Box::new(kicked))));
    assert!(it.events.last().unwrap().data.as_str().len() < 5_000);
    it.commit();
    let arg = FileTypeArg { name: long.as_str().into(), value: long.as_str().into() };
    let request = RequestDownload { file_type: "x".into(), args: vec![arg; 100] };
    it.receive(message(Body::RequestDownload(Box::new(request))));
    assert!(it.events.last().unwrap().data.as_str().len() < 100_000);
}

#[test]
fn an_inform_that_brings_news_is_learnt_and_a_steady_one_is_not() {
    let told = [("Device.A", "1"), ("Device.B", "2")];
    let mut it = Harness::new(known(&[]), Options::default());
    it.receive(informing(inform(&["4 VALUE CHANGE"], &told)));
    let [Observation::Values { asked, values }] = it.learned.as_slice() else { panic!() };
    assert!(asked.is_empty());
    let values: Vec<_> = values.iter().map(|it| (&*it.path, &**it.value.expose())).collect();
    assert_eq!(values, told);
    let mut it = Harness::new(known(&[]), Options::default());
    it.receive(informing(inform(&["2 PERIODIC"], &told)));
    assert!(it.learned.is_empty());
}
