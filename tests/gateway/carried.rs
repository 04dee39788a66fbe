//! Files carried from end to end: told to a router in its session, fetched or sent by it at the
//! address it was told, and ended by the session in which it says so.

use crate::backend::Backend;
use crate::cpe::Visit;
use crate::http;
use crate::rpcs::{Scene, transfer_complete};
use cwmp::Request;
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("carried::an_image_from_command_to_end", an_image),
        crate::trial("carried::a_configuration_from_command_to_end", a_configuration),
    ]
}

/// Has the router call; what it was told, and the command's id.
fn told(scene: &Scene, command: &Value) -> (Visit, String) {
    let id = scene.command(command);
    let visit = scene.cpe.visit(&[("2 PERIODIC", "")]).unwrap();
    assert_eq!(scene.show(&id)["state"], "delivered", "{}", scene.show(&id));
    (visit, id)
}

/// A later session in which the router says how it ended.
fn ends(scene: &Scene, id: &str, code: Option<u16>) -> Value {
    let events = [("7 TRANSFER COMPLETE", ""), ("M Download", id)];
    let visit = scene.cpe.visit_with(&events, vec![transfer_complete(id, code)]).unwrap();
    // It may well be asked what it runs now.
    let told = visit.calls.iter().find(|call| !call.starts_with("Get"));
    assert_eq!(told, None, "it is not told twice");
    scene.show(id)
}

/// What stands behind host and port.
fn path<'a>(scene: &Scene, url: &'a str) -> &'a str {
    let begins = format!("http://127.0.0.1:{}", scene.daemon.ports.public);
    url.strip_prefix(&begins).unwrap_or_else(|| panic!("{url}"))
}

fn an_image() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "CARRY001");
    scene.put_image("router.bin");
    let download = json!({"kind": "download", "image": "router.bin"});
    let (visit, id) = told(&scene, &download);
    let [Request::Download(asked)] = visit.requests.as_slice() else { panic!("{visit:?}") };
    let url = asked.address.url.expose();
    let answer = http::once(scene.daemon.ports.public, "GET", path(&scene, url), &[], b"").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "an image"));
    assert_eq!(u64::try_from(answer.body.len()).unwrap(), asked.file_bytes);
    let over = ends(&scene, &id, None);
    assert_eq!(over["state"], "done", "{over}");
    let event = backend.wait_for("lastmile.transfer.completed", &scene.cpe.id());
    assert_eq!((&event.data["command_key"], &event.data["fault"]), (&json!(id), &Value::Null));
    let event = backend.wait_for("lastmile.command.completed", &scene.cpe.id());
    assert_eq!(event.data["id"], id);

    // The next breaks: the operator reads why in words.
    let (_, id) = told(&scene, &download);
    let over = ends(&scene, &id, Some(9018));
    let cause = over["cause"].as_str().unwrap();
    assert!(over["state"] == "failed" && cause.contains(cwmp::fault_words(9018)), "{over}");
}

fn a_configuration() {
    let backend = Backend::start();
    let scene = Scene::start(Some(&backend), "CARRY002");
    let upload = json!({"kind": "upload", "file_type": "1 Vendor Configuration File"});
    let (visit, id) = told(&scene, &upload);
    let [Request::Upload(asked)] = visit.requests.as_slice() else { panic!("{visit:?}") };
    let url = asked.address.url.expose();
    let config = b"<config>all of it</config>";
    let answer =
        http::once(scene.daemon.ports.public, "PUT", path(&scene, url), &[], config).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let over = ends(&scene, &id, None);
    assert_eq!(over["state"], "done", "{over}");
    let event = backend.wait_for("lastmile.upload.received", &scene.cpe.id());
    assert_eq!(event.data["command"], id);

    let uploads = format!("/api/v1/devices/{}/uploads", scene.cpe.id());
    let uploads = scene.daemon.call("GET", &uploads, &Value::Null);
    let [sent] = uploads["items"].as_array().unwrap().as_slice() else { panic!("{uploads}") };
    assert_eq!((&sent["command"], &sent["bytes"]), (&json!(id), &json!(config.len())), "{sent}");
    let content = format!("/api/v1/uploads/{}/content", sent["id"].as_str().unwrap());
    assert_eq!(scene.daemon.api("GET", &content, &Value::Null).body, config);
}
