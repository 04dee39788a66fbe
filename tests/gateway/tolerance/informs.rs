//! Informs with less, more and other things in them than TR-069 3.7.1.5 and A.3.3.1 have.

use super::peer::{Inform, assert_informed, between};
use super::{Rows, Scene, device};
use serde_json::{Value, json};

pub(super) const ROWS: Rows = &[
    ("no_parameter_list", no_parameter_list),
    ("no_events", no_events),
    ("no_product_class", no_product_class),
    ("no_serial_number", no_serial_number),
    ("current_time_in_any_spelling", current_time),
    ("events_in_any_order_and_of_vendors", events),
];

fn no_parameter_list(scene: &Scene) {
    let mut inform = Inform::of("LIST0001");
    inform.values.clear();
    assert_informed(&scene.peer().post(&inform.envelope()));
    assert_eq!(scene.met("LIST0001").data["parameters"], json!({}));
}

fn no_events(scene: &Scene) {
    for (serial, list) in [("EVENT001", ""), ("EVENT002", "<Event/>")] {
        let mut inform = Inform::of(serial);
        inform.event = list.to_owned();
        assert_informed(&scene.peer().post(&inform.envelope()));
        let told = scene.backend.wait_for("lastmile.device.discovered", &device(serial));
        assert_eq!(told.data["events"], json!([]));
    }
}

fn no_product_class(scene: &Scene) {
    for (serial, class) in [("CLASS001", ""), ("CLASS002", "<ProductClass/>")] {
        let mut inform = Inform::of(serial);
        inform.device = inform.device.replace("<ProductClass>Odd</ProductClass>", class);
        assert_informed(&scene.peer().post(&inform.envelope()));
        let id = format!("cwmp:0A1B2C-{serial}");
        scene.backend.wait_for("lastmile.device.bootstrapped", &id);
        let shown = scene.daemon.call("GET", &format!("/api/v1/devices/{id}"), &Value::Null);
        assert_eq!(shown["id"], id);
    }
}

fn no_serial_number(scene: &Scene) {
    for serial in ["<SerialNumber/>", "", "<SerialNumber> </SerialNumber>"] {
        let mut inform = Inform::of("SERIAL01");
        inform.device = inform.device.replace("<SerialNumber>SERIAL01</SerialNumber>", serial);
        let answer = scene.peer().post(&inform.envelope());
        assert_eq!(answer.status, 400, "{serial}");
        assert!(answer.text().contains("serial"), "a reason: {}", answer.text());
    }
}

/// The device's clock orders nothing: what came later is later, whatever it says.
fn current_time(scene: &Scene) {
    let times = [
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+0000",
        "2026-01-01T00:00:00.123Z",
        "1970-01-01T00:00:13Z",
        "0001-01-01T00:00:00Z",
        "2026-01-01 00:00:00",
        "yesterday",
        "",
    ];
    for (place, time) in times.iter().enumerate() {
        let serial = format!("TIME{place:04}");
        let mut inform = Inform::of(&serial);
        inform.time = (*time).to_owned();
        assert_informed(&scene.peer().post(&inform.envelope()));
        assert_eq!(scene.met(&serial).data["current_time"], *time);
        let path = format!("/api/v1/devices/{}", device(&serial));
        let seen = scene.daemon.call("GET", &path, &Value::Null)["last_seen_at"].clone();
        assert!(seen.as_str().unwrap() > "2026-01-02", "{time}: seen at {seen}");
    }
}

fn events(scene: &Scene) {
    let codes = ["X 0A1B2C Odd", "4 VALUE CHANGE", "M Vendor", "1 BOOT", "99 NEW", "0 BOOTSTRAP"];
    let inform = Inform::of("ORDER001").events(&codes);
    let answer = scene.peer().post(&inform.envelope());
    assert_informed(&answer);
    assert_eq!(scene.met("ORDER001").data["events"], json!(codes));
    assert_eq!(between(&answer.text(), "<MaxEnvelopes>", "<"), Some("1"));
}
