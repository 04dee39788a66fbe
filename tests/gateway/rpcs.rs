//! Every kind of command for a CPE, over a socket: asked for by the API, carried out, told of.

use crate::backend::Backend;
use crate::cpe::{Cpe, TABLE};
use crate::daemon::{Daemon, until};
use crate::http::{self, PATIENCE};
use cwmp::{Body, DuResult, DuStateChange, Fault, Request, TransferComplete};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("rpcs::what_is_answered_at_once", what_is_answered_at_once),
        crate::trial("rpcs::attributes_are_set_and_read", attributes_are_set_and_read),
        crate::trial("rpcs::objects_come_and_go", objects_come_and_go),
        crate::trial("rpcs::a_factory_reset_ends_with_its_bootstrap", a_factory_reset),
        crate::trial("rpcs::transfers_end_when_they_are_told_of", transfers_end_when_told),
        crate::trial("rpcs::files_are_where_the_device_calls", files_where_it_calls),
        crate::trial("rpcs::half_a_base_profile_is_better_than_none", half_a_base_profile),
        crate::trial("rpcs::a_transfer_is_withdrawn", a_transfer_is_withdrawn),
        crate::trial("rpcs::an_unknown_image_is_not_sent", an_unknown_image_is_not_sent),
        crate::trial("rpcs::modules_change", modules_change),
        crate::trial("rpcs::commands_stand_in_few_calls", commands_stand_in_few_calls),
        crate::trial("rpcs::commands_keep_their_order", commands_keep_their_order),
        crate::trial("rpcs::a_failure_that_passes_is_tried_again", a_failure_that_passes),
        crate::trial("rpcs::a_command_expires", a_command_expires),
        crate::trial("rpcs::calls_are_counted", calls_are_counted),
    ]
}

/// A CPE that has been met, and a place to command it.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) cpe: Cpe,
}

impl Scene {
    pub(crate) fn start(backend: Option<&Backend>, serial: &str) -> Self {
        let daemon = Daemon::start(backend, &[("cwmp", "auth = \"open\"")]);
        let cpe = Cpe::new(daemon.ports.cwmp, serial, "");
        cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
        Self { daemon, cpe }
    }

    pub(crate) fn command(&self, command: &Value) -> String {
        let path = format!("/api/v1/devices/{}/commands", self.cpe.id());
        let made = self.daemon.call("POST", &path, command);
        assert_eq!(made["state"], "queued", "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.daemon.call("GET", &format!("/api/v1/commands/{id}"), &Value::Null)
    }

    /// Has the CPE call and do what it is told; the command as it stands then.
    pub(crate) fn carried_out(&self, command: &Value) -> Value {
        let id = self.command(command);
        self.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        self.show(&id)
    }

    /// The same, of a command that must succeed; what the device answered.
    pub(crate) fn done(&self, command: &Value) -> Value {
        let shown = self.carried_out(command);
        assert_eq!(shown["state"], "done", "{shown}");
        shown["result"].clone()
    }

    pub(crate) fn put_image(&self, name: &str) {
        let bearer = format!("Bearer {}", self.daemon.token());
        let headers =
            [("Authorization", bearer.as_str()), ("Content-Type", "application/octet-stream")];
        let path = format!("/api/v1/images/{name}?model=Tester%209&version=2.0");
        let answer =
            http::once(self.daemon.ports.operator, "PUT", &path, &headers, b"an image").unwrap();
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    }
}

pub(crate) fn transfer_complete(key: &str, code: Option<u16>) -> Body {
    let fault = |code| Box::new(Fault { code, text: "no".into(), parameters: Vec::new() });
    Body::TransferComplete(Box::new(TransferComplete {
        command_key: key.into(),
        fault: code.map(fault),
        start_time: "2026-01-01T00:00:00Z".into(),
        complete_time: "2026-01-01T00:01:00Z".into(),
        ..TransferComplete::default()
    }))
}

pub(crate) fn modules_changed(key: &str) -> Body {
    let result = DuResult { state: "Installed".into(), ..DuResult::default() };
    let change = DuStateChange { results: vec![result], command_key: key.into() };
    Body::DuStateChangeComplete(Box::new(change))
}

fn what_is_answered_at_once() {
    let scene = Scene::start(None, "ATONCE01");
    let names = scene.done(&json!({"kind": "get_parameter_names", "path": TABLE}));
    assert_eq!(names["names"][TABLE]["writable"], true, "{names}");
    let root = json!({"kind": "get_parameter_names", "next_level": true});
    let names = scene.done(&root);
    assert!(names["names"]["InternetGatewayDevice.DeviceInfo."].is_object(), "{names}");
    let methods = scene.done(&json!({"kind": "get_rpc_methods"}));
    assert!(methods["methods"].as_array().unwrap().contains(&json!("Download")), "{methods}");
    assert_eq!(scene.done(&json!({"kind": "get_transfers"}))["transfers"], json!([]));
    assert_eq!(scene.done(&json!({"kind": "get_transfers", "all": true}))["transfers"], json!([]));
    assert_eq!(scene.done(&json!({"kind": "get_options"}))["options"], json!([]));
    scene.done(&json!({"kind": "set_vouchers", "vouchers": ["PGE+"]}));

    let id = scene.command(&json!({"kind": "schedule_inform", "delay_s": 60}));
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let [Request::ScheduleInform { delay_s: 60, command_key }] = visit.requests.as_slice() else {
        panic!("{visit:?}")
    };
    assert_eq!((&**command_key, scene.show(&id)["state"].as_str()), (id.as_str(), Some("done")));

    let refused = json!({"kind": "get_parameter_names", "path": "InternetGatewayDevice.None."});
    let refused = scene.carried_out(&refused);
    assert_eq!(refused["state"], "failed", "{refused}");
    assert!(refused["cause"].as_str().unwrap().contains("9005"), "{refused}");
}

fn attributes_are_set_and_read() {
    let scene = Scene::start(None, "ATTRIB01");
    let path = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let set = json!({"path": path, "notification": 2, "access_list": ["Subscriber"]});
    scene.done(&json!({"kind": "set_parameter_attributes", "attributes": [set]}));
    let read = json!({"kind": "get_parameter_attributes", "names": [path]});
    let expected = json!({"notification": 2, "access_list": ["Subscriber"]});
    assert_eq!(scene.done(&read)["attributes"][path], expected);
    // What is not said stays as it is.
    let set = json!({"path": "InternetGatewayDevice.DeviceInfo.", "notification": 1});
    scene.done(&json!({"kind": "set_parameter_attributes", "attributes": [set]}));
    let expected = json!({"notification": 1, "access_list": ["Subscriber"]});
    assert_eq!(scene.done(&read)["attributes"][path], expected);
}

fn objects_come_and_go() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "OBJECT01");
    let values = json!({"Enable": true, "DestIPAddress": "192.0.2.1"});
    let add = json!({"kind": "add_object", "path": TABLE, "values": values});
    let made = scene.done(&add);
    assert_eq!((&made["instance"], &made["path"]), (&json!(1), &json!(format!("{TABLE}1."))));
    assert_eq!(scene.cpe.value("Layer3Forwarding.Forwarding.1.DestIPAddress"), "192.0.2.1");
    assert_eq!(scene.cpe.value("Layer3Forwarding.Forwarding.1.Enable"), "1");
    let told = backend.wait_for("lastmile.command.completed", &scene.cpe.id());
    assert_eq!((&told.data["kind"], &told.data["result"]), (&json!("add_object"), &made));

    let delete = json!({"kind": "delete_object", "path": format!("{TABLE}1.")});
    scene.done(&delete);
    assert!(!scene.cpe.model.lock().unwrap().keys().any(|path| path.starts_with(TABLE)));
    let again = scene.carried_out(&delete);
    assert_eq!(again["state"], "failed", "{again}");

    // The object is made, and one value is refused: the operator hears both.
    let values = json!({"Enable": true, "Colour": "red"});
    let half = scene.carried_out(&json!({"kind": "add_object", "path": TABLE, "values": values}));
    assert_eq!(half["state"], "failed", "{half}");
    assert_eq!(half["result"]["path"], format!("{TABLE}2."), "{half}");
    assert!(half["cause"].as_str().unwrap().contains("was made"), "{half}");
}

fn a_factory_reset() {
    let scene = Scene::start(None, "RESET001");
    let delivered = scene.carried_out(&json!({"kind": "factory_reset"}));
    assert_eq!(delivered["state"], "delivered", "{delivered}");
    let id = delivered["id"].as_str().unwrap();
    let visit = scene.cpe.visit(&[("1 BOOT", "")]).unwrap();
    assert!(!visit.calls.contains(&"FactoryReset".to_owned()), "it is not asked twice");
    assert_eq!(scene.show(id)["state"], "delivered", "a restart is none");
    scene.cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    assert_eq!(scene.show(id)["state"], "done");
}

fn transfers_end_when_told() {
    let scene = Scene::start(None, "TRANSF01");
    scene.put_image("router.bin");
    let download = json!({"kind": "download", "image": "router.bin", "delay_s": 5});
    let windows = json!([{"start_s": 0, "end_s": 600}]);
    let schedule = json!({"kind": "schedule_download", "image": "router.bin", "windows": windows});
    let upload = json!({"kind": "upload", "file_type": "2 Vendor Log File"});
    for (command, call) in
        [(download, "Download"), (schedule, "ScheduleDownload"), (upload, "Upload")]
    {
        let id = scene.command(&command);
        let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        assert_eq!(visit.calls, [call]);
        let (key, url, file_type) = match visit.requests.as_slice() {
            [Request::Download(it)] => {
                assert_eq!((it.delay_s, it.file_bytes), (5, 8));
                (&it.command_key, &it.address.url, &it.file_type)
            }
            [Request::ScheduleDownload(it)] => {
                assert_eq!((it.windows.len(), it.file_bytes), (1, 8));
                (&it.command_key, &it.address.url, &it.file_type)
            }
            [Request::Upload(it)] => (&it.command_key, &it.address.url, &it.file_type),
            other => panic!("{other:?}"),
        };
        let begins = format!("http://127.0.0.1:{}/", scene.daemon.ports.public);
        assert!(url.expose().starts_with(&begins), "{}", url.expose());
        let expected =
            if call == "Upload" { "2 Vendor Log File" } else { "1 Firmware Upgrade Image" };
        assert_eq!((&**key, &**file_type), (id.as_str(), expected));
        assert_eq!(scene.show(&id)["state"], "delivered");
        // The next one hears of it, and does not hear the command again.
        let ended = vec![transfer_complete(&id, None)];
        let visit = scene.cpe.visit_with(&[("7 TRANSFER COMPLETE", "")], ended).unwrap();
        assert_eq!(visit.calls, Vec::<String>::new());
        assert_eq!(scene.show(&id)["state"], "done", "{call}");

        let id = scene.command(&command);
        scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        let ended = vec![transfer_complete(&id, Some(9016))];
        scene.cpe.visit_with(&[("7 TRANSFER COMPLETE", "")], ended).unwrap();
        let failed = scene.show(&id);
        assert_eq!(failed["state"], "failed", "{failed}");
        assert!(failed["cause"].as_str().unwrap().contains("9016"), "{failed}");
    }
    scene.cpe.more.lock().unwrap().transfers_at_once = true;
    let now = scene.carried_out(&json!({"kind": "download", "image": "router.bin"}));
    assert_eq!(now["state"], "done", "{now}");
}

fn a_transfer_is_withdrawn() {
    let scene = Scene::start(None, "WITHDR01");
    scene.put_image("router.bin");
    let download = scene.carried_out(&json!({"kind": "download", "image": "router.bin"}));
    let id = download["id"].as_str().unwrap();
    let path = format!("/api/v1/commands/{id}");
    assert_eq!(scene.daemon.api("DELETE", &path, &Value::Null).status, 409, "the device has it");
    let listed = scene.done(&json!({"kind": "get_transfers"}));
    assert_eq!(listed["transfers"][0]["command_key"], *id, "{listed}");
    let cancel = json!({"kind": "cancel_transfer", "command": id});
    scene.done(&cancel);
    assert_eq!(scene.done(&json!({"kind": "get_transfers"}))["transfers"], json!([]));
    let ended = scene.show(id);
    assert_eq!(ended["state"], "failed", "{ended}");
    let path = format!("/api/v1/devices/{}/commands", scene.cpe.id());
    assert_eq!(scene.daemon.api("POST", &path, &cancel).status, 422, "it is under way no more");
}

/// As it is configured by default: on every address, and nobody says how devices reach us.
fn files_where_it_calls() {
    let mut daemon = Daemon::prepare(None, &[("cwmp", "auth = \"open\"")]);
    let public = daemon.ports.public;
    let text = std::fs::read_to_string(daemon.config()).unwrap();
    let everywhere = text.replace(&format!("127.0.0.1:{public}"), &format!("0.0.0.0:{public}"));
    std::fs::write(daemon.config(), everywhere).unwrap();
    daemon.spawn();
    assert!(daemon.is_ready_within(PATIENCE), "{}", daemon.log());
    let cpe = Cpe::new(daemon.ports.cwmp, "WHERE001", "");
    cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let scene = Scene { daemon, cpe };
    scene.put_image("router.bin");
    let id = scene.command(&json!({"kind": "download", "image": "router.bin"}));
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let [Request::Download(it)] = visit.requests.as_slice() else {
        panic!("{:?}", scene.show(&id))
    };
    // Its requests say `Host: gateway`.
    let path = it.address.url.expose().strip_prefix(&format!("http://gateway:{public}"));
    let image = http::once(public, "GET", path.unwrap(), &[], &[]).unwrap();
    assert_eq!((image.status, image.body.len()), (200, 8));
}

/// A device that refuses to be told when to call, and does not say that it is this, can be woken.
fn half_a_base_profile() {
    let daemon = Daemon::start(None, &[("cwmp", "auth = \"open\"\ndiscovery = \"off\"")]);
    let cpe = Cpe::new(daemon.ports.cwmp, "HALFBASE", "");
    cpe.model.lock().unwrap().remove("InternetGatewayDevice.ManagementServer.PeriodicInformTime");
    let visit = cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    let calls = visit.calls.iter().filter(|it| *it == "SetParameterValues").count();
    assert_eq!(calls, 4, "together, then in its three parts: {:?}", visit.calls);
    assert_eq!(cpe.value("ManagementServer.PeriodicInformInterval"), "3600");
    let wakes = cpe.listen();
    let visit = cpe.visit(&[("1 BOOT", "")]).unwrap();
    let is_told = visit.calls.iter().any(|it| it == "SetParameterValues");
    assert!(!is_told, "not with every session: {:?}", visit.calls);
    daemon.call("POST", &format!("/api/v1/devices/{}/wake?wait=10s", cpe.id()), &Value::Null);
    wakes.recv_timeout(PATIENCE).expect("it is woken, by the credentials that it took");
}

fn an_unknown_image_is_not_sent() {
    let scene = Scene::start(None, "NOIMAGE1");
    let id = scene.command(&json!({"kind": "download", "image": "none.bin"}));
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, Vec::<String>::new());
    let failed = scene.show(&id);
    assert_eq!((&failed["state"], &failed["attempts"]), (&json!("failed"), &json!(0)), "{failed}");
    assert!(failed["cause"].as_str().unwrap().contains("none.bin"), "{failed}");
}

fn modules_change() {
    let scene = Scene::start(None, "MODULE01");
    scene.put_image("module.deb");
    let operations = json!([{"operation": "install", "image": "module.deb"}]);
    let delivered =
        scene.carried_out(&json!({"kind": "change_du_state", "operations": operations}));
    assert_eq!(delivered["state"], "delivered", "{delivered}");
    let id = delivered["id"].as_str().unwrap();
    let events = [("11 DU STATE CHANGE COMPLETE", "")];
    scene.cpe.visit_with(&events, vec![modules_changed(id)]).unwrap();
    assert_eq!(scene.show(id)["state"], "done");
}

fn commands_stand_in_few_calls() {
    let scene = Scene::start(None, "BATCH001");
    let info = |leaf: &str| format!("InternetGatewayDevice.DeviceInfo.{leaf}");
    let read =
        |leaf: &str| scene.command(&json!({"kind": "get_parameters", "names": [info(leaf)]}));
    let reads = ["SoftwareVersion", "HardwareVersion", "ModelName"].map(|leaf| (leaf, read(leaf)));
    let code = json!({ info("ProvisioningCode"): "x" });
    let writes = [
        scene.command(&json!({"kind": "set_parameters", "values": code})),
        scene.command(&json!({"kind": "set_parameters", "values":
            {"InternetGatewayDevice.ManagementServer.PeriodicInformEnable": true}})),
    ];
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, ["GetParameterValues", "SetParameterValues"], "types are known");
    for (leaf, id) in reads {
        let shown = scene.show(&id);
        assert_eq!(shown["state"], "done", "{shown}");
        let result = shown["result"].to_string();
        assert!(result.contains(&info(leaf)), "{shown}");
        assert_eq!(result.matches("InternetGatewayDevice").count(), 1, "its own alone: {shown}");
    }
    for id in writes {
        let shown = scene.show(&id);
        assert_eq!(shown["result"]["applied"].as_array().unwrap().len(), 1, "{shown}");
    }
    assert_eq!(scene.cpe.value("DeviceInfo.ProvisioningCode"), "x");
}

fn commands_keep_their_order() {
    let scene = Scene::start(None, "ORDER001");
    let path = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    let read = || scene.command(&json!({"kind": "get_parameters", "names": [path]}));
    let write = |to: &str| scene.command(&json!({"kind": "set_parameters", "values": {path: to}}));
    let before = read();
    write("one");
    let between = read();
    write("two");
    let after = read();
    let reboot = scene.command(&json!({"kind": "reboot"}));
    scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let value = |id: &str| scene.show(id)["result"].to_string();
    assert!(value(&between).contains("one"), "{}", value(&between));
    assert!(value(&after).contains("two"), "{}", value(&after));
    assert!(!value(&before).contains("one"));
    assert_eq!(scene.show(&reboot)["state"], "delivered", "the last of them");
}

/// The device is woken for the second try, when it is due.
fn a_failure_that_passes() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    let cpe = Cpe::new(daemon.ports.cwmp, "PASSES01", &daemon.enrolment());
    let wakes = cpe.listen();
    cpe.visit(&[("0 BOOTSTRAP", ""), ("1 BOOT", "")]).unwrap();
    let id = cpe.id();
    for _ in 0..2 {
        cpe.refuse("GetParameterNames", 9002);
    }
    cpe.live(wakes);
    let path = format!("/api/v1/devices/{id}/commands");
    let command = json!({"kind": "get_parameter_names", "path": TABLE, "retry": "1s"});
    let command = daemon.call("POST", &path, &command);
    assert_eq!((&command["retry"], &command["attempts"]), (&json!("1s"), &json!(0)));
    let path = format!("/api/v1/commands/{}", command["id"].as_str().unwrap());
    let show = || daemon.call("GET", &path, &Value::Null);
    let waits = || show()["retry_at"].is_string();
    assert!(until(PATIENCE, waits), "{}", show());
    let waiting = show();
    assert_eq!(waiting["state"], "queued", "{waiting}");
    assert!(waiting["cause"].as_str().unwrap().contains("9002"), "{waiting}");
    let done = backend.wait_for("lastmile.command.completed", &id);
    assert_eq!(done.data["id"], command["id"]);
    let done = show();
    assert_eq!((&done["state"], &done["attempts"]), (&json!("done"), &json!(3)), "{done}");
    assert!(done["retry_at"].is_null() && done["cause"].is_null(), "{done}");
    assert!(!backend.accepted().iter().any(|it| it.kind == "lastmile.command.failed"));
}

fn a_command_expires() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "EXPIRE01");
    let id = scene.command(&json!({"kind": "reboot", "expires": "1s"}));
    let told = backend.wait_for("lastmile.command.failed", &scene.cpe.id());
    assert_eq!((told.data["id"].as_str(), &told.data["state"]), (Some(&*id), &json!("expired")));
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, Vec::<String>::new());
    let path = format!("/api/v1/devices/{}/commands", scene.cpe.id());
    for term in [json!({"retry": "0s"}), json!({"retry": "2d"}), json!({"retry": 5})] {
        let mut command = json!({"kind": "reboot"});
        command.as_object_mut().unwrap().extend(term.as_object().unwrap().clone());
        assert_eq!(scene.daemon.api("POST", &path, &command).status, 422, "{command}");
    }
}

fn calls_are_counted() {
    let scene = Scene::start(None, "COUNT001");
    let count = |labels: &[&str]| scene.daemon.counted("lastmile_cwmp_calls_total", labels);
    let refused = || count(&["rpc=\"GetParameterNames\"", "outcome=\"9002\""]);
    let answered = || count(&["rpc=\"GetRPCMethods\"", "outcome=\"answered\""]);
    assert_eq!((refused(), answered()), (0.0, 0.0));
    scene.cpe.refuse("GetParameterNames", 9002);
    scene.carried_out(&json!({"kind": "get_parameter_names", "path": TABLE}));
    scene.done(&json!({"kind": "get_rpc_methods"}));
    assert_eq!((refused(), answered()), (1.0, 1.0));
    scene.cpe.refuse("GetParameterNames", 31_337);
    scene.carried_out(&json!({"kind": "get_parameter_names", "path": TABLE}));
    assert_eq!(count(&["rpc=\"GetParameterNames\"", "outcome=\"other\""]), 1.0);
}
