//! What is refused before it is kept, kind by kind.

use super::*;
use model::{DeviceFacts, DeviceId, Tenant};
use serde_json::{Value, json};
use std::time::Duration;

fn cpe() -> Device {
    Device {
        tenant: Tenant::default(),
        id: DeviceId::cwmp("00259E", "HG8245", "1").unwrap(),
        facts: DeviceFacts::default(),
        customer: None,
        group: None,
        tags: Vec::new(),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        last_seen_at: None,
        address: None,
        online: true,
        connected: false,
        claimed: false,
        has_connection_request: false,
    }
}

fn checked(kind: Value) -> Checked {
    let device = cpe();
    let asked = NewCommand {
        tenant: device.tenant.clone(),
        device: device.id.clone(),
        kind: serde_json::from_value(kind.clone())
            .unwrap_or_else(|error| panic!("{kind}: {error}")),
        expires: None,
        retry: None,
        actor: "op".into(),
        key: None,
    };
    request(&asked, Some(&device), &Limits::default())
}

/// Each of those that are refused breaks one rule.
fn taken_and_refused(taken: &[Value], refused: &[Value]) {
    for kind in taken {
        assert_eq!(checked(kind.clone()), Ok(()), "{kind}");
    }
    for kind in refused {
        let told = checked(kind.clone());
        assert!(matches!(told, Err(SubmitError::Invalid(_))), "{kind}: {told:?}");
    }
}

#[test]
fn names_and_values() {
    let many: Vec<String> = (0..501).map(|it| format!("A.{it}")).collect();
    let long = "A".repeat(257);
    let get = |names: Value| json!({"kind": "get_parameters", "names": names});
    let set = |values: Value| json!({"kind": "set_parameters", "values": values});
    taken_and_refused(
        &[
            get(json!(["Device.", "Device.A.{i}.B-2", "InternetGatewayDevice.X_00D09E_Ä"])),
            get(json!(many[..500])),
            set(json!({"A.B": true, "A.C": 1, "A.D": {"value": "x", "type": "xsd:string"}})),
            json!({"kind": "get_parameter_attributes", "names": ["A."]}),
            json!({"kind": "get_parameter_names"}),
            json!({"kind": "get_parameter_names", "path": "A.", "next_level": true}),
            json!({"kind": "get_parameter_names", "path": "A.B"}),
            json!({"kind": "refresh"}),
            json!({"kind": "refresh", "path": "A.B", "depth": 32}),
        ],
        &[
            get(json!([])),
            get(json!(many)),
            get(json!([long])),
            get(json!(["A B"])),
            get(json!(["A..B"])),
            get(json!(["."])),
            get(json!([".A"])),
            get(json!([""])),
            set(json!({})),
            set(json!({"A.": "x"})),
            set(json!({"A.B": null})),
            set(json!({"A.B": [1]})),
            set(json!({"A.B": "x".repeat(32 * 1024 + 1)})),
            set(json!({"A.B": {"value": "x", "type": "xsd:string\"/>"}})),
            json!({"kind": "get_parameter_names", "path": "A.B", "next_level": true}),
            json!({"kind": "get_parameter_names", "path": "A B"}),
            json!({"kind": "refresh", "depth": 0}),
            json!({"kind": "refresh", "depth": 33}),
        ],
    );
}

#[test]
fn attributes() {
    let set = |one: Value| json!({"kind": "set_parameter_attributes", "attributes": [one]});
    taken_and_refused(
        &[
            set(json!({"path": "A.", "notification": 6})),
            set(json!({"path": "A.B", "access_list": []})),
            set(json!({"path": "A.B", "notification": 0, "access_list": ["Subscriber"]})),
        ],
        &[
            json!({"kind": "set_parameter_attributes", "attributes": []}),
            set(json!({"path": "A.B"})),
            set(json!({"path": "", "notification": 1})),
            set(json!({"path": "A.B", "notification": 7})),
            set(json!({"path": "A.B", "access_list": [""]})),
            set(json!({"path": "A.B", "access_list": ["x".repeat(65)]})),
            set(json!({"path": "A.B", "access_list": vec!["x"; 17]})),
        ],
    );
}

#[test]
fn objects() {
    let add =
        |path: &str, values: Value| json!({"kind": "add_object", "path": path, "values": values});
    let delete = |path: &str| json!({"kind": "delete_object", "path": path});
    taken_and_refused(
        &[
            add("A.B.", json!({})),
            add("A.B.", json!({"Enable": true, "C.D": "x"})),
            delete("A.B.1."),
            delete("A.B.[wan]."),
        ],
        &[
            add("A.B", json!({})),
            add("", json!({})),
            add("A.", json!({"B.": 1})),
            add("A.", json!({"": 1})),
            add(&format!("{}.", "A".repeat(200)), json!({"B".repeat(60): 1})),
            delete("A.B."),
            delete("A.B.0."),
            delete("A.B.1"),
            delete("A.B.[]."),
        ],
    );
}

#[test]
fn transfers() {
    let download =
        |image: &str, delay: u32| json!({"kind": "download", "image": image, "delay_s": delay});
    let windows =
        |windows: Value| json!({"kind": "schedule_download", "image": "a.bin", "windows": windows});
    let window = |start: u32, end: u32| json!({"start_s": start, "end_s": end});
    let upload = |kind: &str| json!({"kind": "upload", "file_type": kind});
    taken_and_refused(
        &[
            download("router-1.2_3.bin", 3600),
            windows(json!([window(0, 10)])),
            windows(json!([window(0, 10), {"start_s": 10, "end_s": 20, "mode": "3 When Idle"}])),
            json!({"kind": "upload"}),
            upload("2 Vendor Log File"),
            upload("4 Vendor Log File 12"),
            upload("X 00D09E Core Dump"),
            json!({"kind": "schedule_inform", "delay_s": 1}),
            json!({"kind": "get_transfers"}),
        ],
        &[
            download("", 0),
            download("a/b", 0),
            download("a.bin", 7 * 86_400 + 1),
            windows(json!([])),
            windows(json!([window(10, 10)])),
            windows(json!([window(0, 10), window(9, 20)])),
            windows(json!([window(10, 20), window(0, 10)])),
            windows(json!([window(0, 1), window(2, 3), window(4, 5)])),
            windows(json!([{"start_s": 0, "end_s": 10, "mode": "5 Never"}])),
            windows(json!([{"start_s": 0, "end_s": 10, "retries_max": -2}])),
            windows(json!([{"start_s": 0, "end_s": 10, "user_message": "x".repeat(257)}])),
            // The command itself would expire in between.
            windows(json!([window(0, 7 * 86_400)])),
            upload("1 Firmware Upgrade Image"),
            upload("3 Vendor Configuration File"),
            upload("4 Vendor Log File 0"),
            json!({"kind": "schedule_inform", "delay_s": 0}),
            json!({"kind": "schedule_inform", "delay_s": 604_801}),
        ],
    );
}

#[test]
fn modules_options_and_vouchers() {
    let uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let change = |one: Value| json!({"kind": "change_du_state", "operations": [one]});
    let vouchers = |list: Value| json!({"kind": "set_vouchers", "vouchers": list});
    taken_and_refused(
        &[
            change(json!({"operation": "install", "image": "m.deb", "uuid": uuid})),
            change(json!({"operation": "update", "image": "m.deb", "version": "1.2"})),
            change(json!({"operation": "uninstall", "uuid": uuid, "environment": "Device.X.1."})),
            json!({"kind": "get_options"}),
            json!({"kind": "get_rpc_methods"}),
            vouchers(json!(["PFg+"])),
        ],
        &[
            json!({"kind": "change_du_state", "operations": []}),
            change(json!({"operation": "install", "image": "m.deb", "uuid": "f81d4fae"})),
            change(json!({"operation": "install", "image": ""})),
            change(json!({"operation": "uninstall", "uuid": ""})),
            change(json!({"operation": "uninstall", "uuid": uuid, "environment": "a b"})),
            change(json!({"operation": "update", "image": "m", "version": "1".repeat(33)})),
            json!({"kind": "get_options", "option": "x".repeat(65)}),
            vouchers(json!([])),
            vouchers(json!(["not base64!"])),
            vouchers(json!([""])),
        ],
    );
}

#[test]
fn a_pause_before_another_try_has_bounds_and_is_for_cpes() {
    let device = cpe();
    let asked = |retry: u64| NewCommand {
        tenant: device.tenant.clone(),
        device: device.id.clone(),
        kind: CommandKind::Reboot,
        expires: None,
        retry: Some(Duration::from_secs(retry)),
        actor: "op".into(),
        key: None,
    };
    for (retry, fits) in [(0, false), (1, true), (86_400, true), (86_401, false)] {
        assert_eq!(
            request(&asked(retry), Some(&device), &Limits::default()).is_ok(),
            fits,
            "{retry}"
        );
    }
    let board = Device { id: DeviceId::mqtt("b").unwrap(), ..cpe() };
    let publish = json!({"kind": "publish", "topic": "boards/b/down/x", "payload": "x"});
    let mut asked = NewCommand {
        device: board.id.clone(),
        kind: serde_json::from_value(publish).unwrap(),
        ..asked(10)
    };
    assert!(request(&asked, Some(&board), &Limits::default()).is_err());
    asked.retry = None;
    assert_eq!(request(&asked, Some(&board), &Limits::default()), Ok(()));
    assert_eq!(request(&asked, None, &Limits::default()), Err(SubmitError::NoSuchDevice));
}

fn board() -> Device {
    Device { id: DeviceId::mqtt("b").unwrap(), ..cpe() }
}

fn told_to_board(kind: Value, retry: Option<u64>, limits: &Limits) -> Checked {
    let device = board();
    let asked = NewCommand {
        tenant: device.tenant.clone(),
        device: device.id.clone(),
        kind: serde_json::from_value(kind).unwrap(),
        expires: None,
        retry: retry.map(Duration::from_secs),
        actor: "op".into(),
        key: None,
    };
    request(&asked, Some(&device), limits)
}

#[test]
fn a_message_that_wants_an_answer() {
    let publish = |more: Value| {
        let mut kind = json!({"kind": "publish", "topic": "boards/b/down/x", "payload": "x"});
        kind.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        kind
    };
    let limits = Limits::default();
    for (more, retry, fits) in [
        (json!({"answer": true}), None, true),
        (json!({"answer": true, "qos": 2}), Some(1), true),
        (json!({"answer": true, "qos": 0}), None, false),
        (json!({"answer": false}), Some(1), false),
        (json!({"answer": true}), Some(86_401), false),
        (json!({"answer": true, "correlation_data_base64": "MzM0"}), None, false),
        (json!({"correlation_data_base64": "MzM0"}), None, true),
        (json!({"correlation_data_base64": "not base64!"}), None, false),
    ] {
        let told = told_to_board(publish(more.clone()), retry, &limits);
        assert_eq!(told.is_ok(), fits, "{more} {retry:?}: {told:?}");
    }
    // boards/b/up/answers/ and 26 letters and digits.
    for (topic_len_max, fits) in [(46, true), (45, false)] {
        let limits = Limits { topic_len_max, ..limits };
        assert_eq!(told_to_board(publish(json!({"answer": true})), None, &limits).is_ok(), fits);
        assert_eq!(told_to_board(publish(json!({})), None, &limits), Ok(()));
    }
}

#[test]
fn a_message_is_as_long_as_a_packet_may_be() {
    let limits = Limits { packet_len_max: 1_024, topic_len_max: 64, ..Limits::default() };
    let topic = "boards/b/down/x";
    let room = 1_024 - 64 - topic.len();
    let publish = |len: usize, more: Value| {
        let mut kind = json!({"kind": "publish", "topic": topic, "payload": "x".repeat(len)});
        kind.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told_to_board(kind, None, &limits).is_ok()
    };
    assert_eq!((publish(room, json!({})), publish(room + 1, json!({}))), (true, false));
    let asks = json!({"answer": true});
    assert_eq!((publish(room - 46, asks.clone()), publish(room - 45, asks)), (true, false));
    let says = json!({"correlation_data_base64": "MzM0"});
    assert_eq!((publish(room - 3, says.clone()), publish(room - 2, says)), (true, false));
    let long = format!("boards/b/down/{}", "x".repeat(51));
    let kind = json!({"kind": "publish", "topic": long, "payload": "x"});
    assert!(matches!(told_to_board(kind, None, &limits), Err(SubmitError::Invalid(_))));
}
