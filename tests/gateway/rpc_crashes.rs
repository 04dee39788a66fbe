//! `kill -9` between a call and its answer, for every kind that must not be done twice: it is not
//! sent again, and what the device shows later tells what became of it.

use crate::cpe::{TABLE, Visit, post};
use crate::http::Connection;
use crate::rpcs::{Scene, modules_changed, transfer_complete};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("rpc_crashes::objects", objects),
        crate::trial("rpc_crashes::resets_and_modules", resets_and_modules),
        crate::trial("rpc_crashes::transfers", transfers),
        crate::trial("rpc_crashes::nobody_can_tell", nobody_can_tell),
        crate::trial("rpc_crashes::what_may_be_done_twice_is", what_may_be_done_twice_is),
    ]
}

/// Has the CPE take the call of a command, and do it where `does` says so; then the daemon dies
/// before it hears the answer. The command's name.
fn interrupted(scene: &mut Scene, command: &Value, does: bool) -> String {
    let id = scene.command(command);
    let mut connection = Connection::open(scene.daemon.ports.cwmp).unwrap();
    let inform = scene.cpe.inform(&[("2 PERIODIC", "")]);
    assert_eq!(post(&mut connection, &[], &inform).unwrap().status, 200);
    let rpc = post(&mut connection, &[], "").unwrap();
    assert_eq!(rpc.status, 200, "{command}: {}", rpc.text());
    if does {
        scene.cpe.serve(&rpc.text(), &mut Visit::default());
    }
    scene.daemon.kill();
    scene.daemon.start_again();
    id
}

/// It is unknown what became of it.
fn left_unknown(scene: &mut Scene, command: &Value) -> String {
    let id = interrupted(scene, command, true);
    let shown = scene.show(&id);
    assert_eq!(shown["state"], "unknown", "{shown}");
    assert!(shown["cause"].is_string(), "{shown}");
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(visit.calls, Vec::<String>::new(), "{command}: it is not asked twice");
    assert_eq!(scene.show(&id)["state"], "unknown", "{command}");
    id
}

fn is_over(scene: &Scene, id: &str, state: &str, word: &str) {
    let shown = scene.show(id);
    assert_eq!(shown["state"], state, "{shown}");
    assert!(shown["cause"].as_str().unwrap_or_default().contains(word), "{shown}");
    assert_eq!(shown["attempts"], 1, "{shown}");
}

/// The ParameterKey in the next Inform tells.
fn objects() {
    let mut scene = Scene::start(None, "CRASHOBJ");
    let add = json!({"kind": "add_object", "path": TABLE});
    for (does, state, word) in
        [(true, "done", "after a crash"), (false, "failed", "not carried out")]
    {
        let id = interrupted(&mut scene, &add, does);
        let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        assert!(!visit.calls.contains(&"AddObject".to_owned()), "{:?}", visit.calls);
        is_over(&scene, &id, state, word);
    }
    let made = scene.cpe.model.lock().unwrap().keys().filter(|it| it.starts_with(TABLE)).count();
    assert_eq!(made, 2, "the two parameters of one object");
    let delete = json!({"kind": "delete_object", "path": format!("{TABLE}1.")});
    for (does, state, word) in
        [(false, "failed", "not carried out"), (true, "done", "after a crash")]
    {
        let id = interrupted(&mut scene, &delete, does);
        let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
        assert!(!visit.calls.contains(&"DeleteObject".to_owned()), "{:?}", visit.calls);
        is_over(&scene, &id, state, word);
    }
}

fn resets_and_modules() {
    let mut scene = Scene::start(None, "CRASHRES");
    scene.put_image("module.deb");
    let operations = json!([{"operation": "install", "image": "module.deb"}]);
    let change = json!({"kind": "change_du_state", "operations": operations});
    let id = left_unknown(&mut scene, &change);
    let events = [("11 DU STATE CHANGE COMPLETE", "")];
    scene.cpe.visit_with(&events, vec![modules_changed(&id)]).unwrap();
    is_over(&scene, &id, "done", "");

    let id = left_unknown(&mut scene, &json!({"kind": "factory_reset"}));
    scene.cpe.visit(&[("0 BOOTSTRAP", "")]).unwrap();
    is_over(&scene, &id, "done", "");
}

fn transfers() {
    let mut scene = Scene::start(None, "CRASHTRA");
    scene.put_image("router.bin");
    let windows = json!([{"start_s": 0, "end_s": 600}]);
    for (command, fault, state, word) in [
        (json!({"kind": "download", "image": "router.bin"}), None, "done", ""),
        (json!({"kind": "upload"}), Some(9011), "failed", "9011"),
        (
            json!({"kind": "schedule_download", "image": "router.bin", "windows": windows}),
            None,
            "done",
            "",
        ),
    ] {
        let id = left_unknown(&mut scene, &command);
        let ended = vec![transfer_complete(&id, fault)];
        scene.cpe.visit_with(&[("7 TRANSFER COMPLETE", "")], ended).unwrap();
        is_over(&scene, &id, state, word);
    }
}

/// Vouchers leave no trace: an operator withdraws the command, or it expires.
fn nobody_can_tell() {
    let mut scene = Scene::start(None, "CRASHVOU");
    let id = left_unknown(&mut scene, &json!({"kind": "set_vouchers", "vouchers": ["PGE+"]}));
    let path = format!("/api/v1/commands/{id}");
    let withdrawn = scene.daemon.call("DELETE", &path, &Value::Null);
    assert_eq!(withdrawn["state"], "cancelled", "{withdrawn}");
}

fn what_may_be_done_twice_is() {
    let mut scene = Scene::start(None, "CRASHTWO");
    let read = json!({"kind": "get_parameter_names", "path": TABLE});
    let id = interrupted(&mut scene, &read, true);
    let again = scene.show(&id);
    assert_eq!((&again["state"], &again["attempts"]), (&json!("queued"), &json!(1)), "{again}");
    assert!(again["cause"].as_str().unwrap().contains("interrupted"), "{again}");
    scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    let done = scene.show(&id);
    assert_eq!((&done["state"], &done["attempts"]), (&json!("done"), &json!(2)), "{done}");
}
