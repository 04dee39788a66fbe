//! Calls and answers: of the device where we do not expect them, to ours as TR-069 does not have
//! them.

use super::peer::{Call, Peer, between, call_of, envelope};
use super::{Rows, Scene, device};
use crate::daemon::until;
use crate::http::PATIENCE;
use serde_json::{Value, json};

pub(super) const ROWS: Rows = &[
    ("unknown_rpc", unknown_rpc),
    ("request_download", request_download),
    ("transfer_complete_before_the_empty_post", transfer_before),
    ("transfer_complete_after_the_empty_post", transfer_after),
    ("transfer_complete_without_its_parts", transfer_without_parts),
    ("fault_without_detail", fault_without_detail),
    ("call_answered_by_an_empty_post", answered_by_nothing),
    ("call_answered_by_closing", answered_by_closing),
    ("call_answered_by_a_call", answered_by_a_call),
    ("fault_written_as_a_status", fault_as_status),
    ("fault_of_single_parameters", fault_of_single_parameters),
];

/// A device at whom a command is directed: its session at the first call.
fn asked(scene: &Scene, serial: &str, command: &Value) -> (Peer, Call, String) {
    scene.known(serial);
    let id = scene.command(serial, command);
    let mut peer = scene.peer();
    peer.call_in(serial);
    let call = peer.next("").expect("a command waits");
    (peer, call, id)
}

fn read() -> Value {
    json!({"kind": "get_parameters", "names": ["InternetGatewayDevice.DeviceInfo.UpTime"]})
}

#[track_caller]
fn ends(scene: &Scene, command: &str) -> Value {
    let is_over = || !["queued", "sent"].contains(&scene.shown(command)["state"].as_str().unwrap());
    assert!(until(PATIENCE, is_over), "{}", scene.shown(command));
    scene.shown(command)
}

fn unknown_rpc(scene: &Scene) {
    scene.known("UNKNOWN1");
    let mut peer = scene.peer();
    peer.call_in("UNKNOWN1");
    let answer =
        peer.post(&envelope("77", "<cwmp:X_0A1B2C_Sing><Song>x</Song></cwmp:X_0A1B2C_Sing>"));
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert_eq!(between(&text, "<FaultCode>", "<"), Some("8000"), "{text}");
    for part in
        [":Fault>", "<faultcode>", "<faultstring>", "<detail>", "<cwmp:Fault>", ">77</cwmp:ID>"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(peer.post("").status, 204, "the session goes on");
}

fn request_download(scene: &Scene) {
    scene.known("REQUEST1");
    let mut peer = scene.peer();
    peer.call_in("REQUEST1");
    let body = "<cwmp:RequestDownload><FileType>1 Firmware Upgrade Image</FileType>\
        <FileTypeArg><ArgStruct><Name>a</Name><Value>b</Value></ArgStruct></FileTypeArg>\
        </cwmp:RequestDownload>";
    for id in ["1", "2"] {
        let answer = peer.post(&envelope(id, body));
        assert!(answer.text().contains("RequestDownloadResponse"), "{}", answer.text());
    }
    assert_eq!(peer.post("").status, 204);
}

fn transfer(parts: &str) -> String {
    let body =
        format!("<cwmp:TransferComplete><CommandKey>k</CommandKey>{parts}</cwmp:TransferComplete>");
    envelope("5", &body)
}

#[track_caller]
fn is_noted(peer: &mut Peer, parts: &str) {
    let answer = peer.post(&transfer(parts));
    let text = answer.text();
    assert!(answer.status == 200 && text.contains("TransferCompleteResponse"), "{parts}: {text}");
}

const WHOLE: &str = "<FaultStruct><FaultCode>0</FaultCode><FaultString/></FaultStruct>\
    <StartTime>2026-01-01T00:00:00Z</StartTime><CompleteTime>2026-01-01T00:00:01Z</CompleteTime>";

fn transfer_before(scene: &Scene) {
    scene.known("TRANS001");
    let mut peer = scene.peer();
    peer.call_in("TRANS001");
    is_noted(&mut peer, WHOLE);
    assert_eq!(peer.post("").status, 204);
    scene.backend.wait_for("lastmile.transfer.completed", &device("TRANS001"));
}

/// It comes in place of an answer to ours.
fn transfer_after(scene: &Scene) {
    let (mut peer, _call, id) = asked(scene, "TRANS002", &read());
    is_noted(&mut peer, WHOLE);
    assert_eq!(peer.post("").status, 204);
    scene.backend.wait_for("lastmile.transfer.completed", &device("TRANS002"));
    let shown = ends(scene, &id);
    assert_eq!(shown["cause"], "not answered", "{shown}");
}

fn transfer_without_parts(scene: &Scene) {
    scene.known("TRANS003");
    let mut peer = scene.peer();
    peer.call_in("TRANS003");
    is_noted(&mut peer, "");
    is_noted(&mut peer, "<FaultStruct/>");
    is_noted(
        &mut peer,
        "<StartTime>0001-01-01T00:00:00Z</StartTime><CompleteTime>0001-01-01T00:00:00Z</CompleteTime>",
    );
    is_noted(&mut peer, "<StartTime/><CompleteTime>never</CompleteTime>");
    assert_eq!(peer.post("").status, 204);
    let all = || scene.told("lastmile.transfer.completed", "TRANS003") == 4;
    assert!(until(PATIENCE, all), "each is told");
}

fn fault_without_detail(scene: &Scene) {
    let (mut peer, call, id) = asked(scene, "FAULT001", &read());
    let bare = "<s:Fault><faultcode>Client</faultcode><faultstring>no</faultstring></s:Fault>";
    assert_eq!(peer.post(&envelope(&call.id, bare)).status, 204, "the session goes on to its end");
    let shown = ends(scene, &id);
    assert_eq!(shown["state"], "failed", "{shown}");
    assert!(shown["cause"].as_str().unwrap().starts_with("the device refused"), "{shown}");
}

fn answered_by_nothing(scene: &Scene) {
    scene.known("EMPTY002");
    let first = scene.command("EMPTY002", &read());
    let other = json!({"kind": "set_parameters", "values":
        {"InternetGatewayDevice.A": {"value": "1", "type": "xsd:string"}}});
    let second = scene.command("EMPTY002", &other);
    let mut peer = scene.peer();
    peer.call_in("EMPTY002");
    assert_eq!(peer.next("").unwrap().name, "GetParameterValues");
    let call = peer.next("").expect("the session goes on with the next");
    assert_eq!(call.name, "SetParameterValues");
    assert_eq!(peer.post(&call.answered()).status, 204);
    let shown = ends(scene, &first);
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("failed"), &json!("not answered")));
    assert_eq!(ends(scene, &second)["state"], "done");
}

fn answered_by_closing(scene: &Scene) {
    let (peer, _call, id) = asked(scene, "CLOSE001", &read());
    drop(peer);
    // Closing alone ends nothing, for the session may be resumed: the next Inform does.
    let mut peer = scene.peer();
    peer.call_in("CLOSE001");
    assert_eq!(peer.post("").status, 204);
    let shown = ends(scene, &id);
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("failed"), &json!("not answered")));
}

fn answered_by_a_call(scene: &Scene) {
    let (mut peer, _call, id) = asked(scene, "CROSS001", &read());
    let answer = peer.post(&envelope("9", "<cwmp:GetRPCMethods/>"));
    let text = answer.text();
    assert!(text.contains("GetRPCMethodsResponse") && text.contains("Inform"), "{text}");
    assert_eq!(peer.post("").status, 204);
    assert_eq!(ends(scene, &id)["cause"], "not answered");
}

/// What cwmp-sim 0.1.2 says to a table that it does not have.
fn fault_as_status(scene: &Scene) {
    let command = json!({"kind": "add_object", "path": "InternetGatewayDevice.Table."});
    let (mut peer, call, id) = asked(scene, "STATUS01", &command);
    assert_eq!(call.name, "AddObject");
    let answer = "<InstanceNumber>0</InstanceNumber><Status>9005</Status>";
    let mut next = peer.next(&call.answer(answer));
    while let Some(call) = next {
        next = peer.next(&call.fault(9005));
    }
    let shown = ends(scene, &id);
    assert_eq!(shown["state"], "failed", "{shown}");
    assert!(shown["cause"].as_str().unwrap().contains("9005"), "{shown}");
}

/// 9003 with the culprits inside: each hears its own cause, and the rest is set without them.
fn fault_of_single_parameters(scene: &Scene) {
    let value = |value: &str| json!({"value": value, "type": "xsd:string"});
    let command = json!({"kind": "set_parameters", "values": {
        "InternetGatewayDevice.A": value("1"),
        "InternetGatewayDevice.B": value("2"),
        "InternetGatewayDevice.C": value("3"),
    }});
    let (mut peer, call, id) = asked(scene, "PARTS001", &command);
    assert_eq!(call.name, "SetParameterValues");
    let part = |name: &str, code: u32| {
        format!(
            "<SetParameterValuesFault><ParameterName>InternetGatewayDevice.{name}</ParameterName>\
             <FaultCode>{code}</FaultCode><FaultString>no</FaultString></SetParameterValuesFault>"
        )
    };
    let parts = part("A", 9008) + &part("C", 9007);
    let fault = call.fault(9003).replace("</cwmp:Fault>", &format!("{parts}</cwmp:Fault>"));
    let again = call_of(&peer.post(&fault)).expect("the rest is tried again");
    assert_eq!(again.name, "SetParameterValues");
    let has = |name: &str| again.body.contains(&format!("InternetGatewayDevice.{name}<"));
    assert!(has("B") && !has("A") && !has("C"), "{}", again.body);
    assert_eq!(peer.post(&again.answered()).status, 204);
    let shown = ends(scene, &id);
    assert_eq!(shown["state"], "failed", "{shown}");
    let result = &shown["result"];
    assert_eq!(result["applied"], json!(["InternetGatewayDevice.B"]), "{shown}");
    assert_eq!(result["refused"]["InternetGatewayDevice.A"]["code"], 9008, "{shown}");
    assert_eq!(result["refused"]["InternetGatewayDevice.C"]["code"], 9007, "{shown}");
}
