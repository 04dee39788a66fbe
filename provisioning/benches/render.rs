//! What it costs to know what one device should be.
//!
//! `cargo bench -p lastmile-provisioning --bench render`; what must be reached: the shipped profile of
//! the XX230v rendered well under 100 µs, and 100,000 devices matched with 20 profiles well under a
//! second. Times are those of the processor.
#![expect(clippy::disallowed_methods, reason = "a measurement reads /proc")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use lastmile_provisioning::{Equipment, ProfileSet, Subject};
use model::{DataModel, DeviceFacts, DeviceId};
use serde_json::json;
use std::hint::black_box;

const DEFAULT: &str = include_str!("../../config/profiles/default.toml");
const XX230V: &str = include_str!("../../config/profiles/tplink-xx230v.toml");
/// Devices of the fleet.
const DEVICES: usize = 100_000;
/// Renderings that are measured.
const RENDERINGS: u32 = 20_000;

fn main() {
    let files = files();
    let files = || files.iter().map(|(name, text)| (&**name, &**text));
    let set = ProfileSet::parse(files()).unwrap();
    each("read 20 profiles", 20, || ProfileSet::parse(files()).unwrap());

    let id = DeviceId::cwmp("1C61B4", "Device2", "1").unwrap();
    let facts = facts("1C61B4", "XX230v");
    let subject = subject(&id, &facts);
    let equipment = household();
    let (known, tenant) = (DataModel::new(), json!({}));
    let layers = set.layers(&subject, Some(&equipment));
    let wanted = layers.render(&subject, Some(&equipment), &tenant, &known);
    assert!(wanted.faults.is_empty() && wanted.parameters.len() >= 34, "{wanted:?}");
    each("layers", RENDERINGS, || set.layers(&subject, Some(&equipment)));
    each("render with equipment", RENDERINGS, || {
        layers.render(&subject, Some(&equipment), &tenant, &known)
    });
    each("render without", RENDERINGS, || layers.render(&subject, None, &tenant, &known));
    each("fingerprint", RENDERINGS, || wanted.fingerprint(&[7; 32]));

    let models = ["XX230v", "Deco M4", "HG8145X6", "model-3", "model-17"];
    let fleet: Vec<_> = (0..DEVICES)
        .map(|n| {
            let oui = format!("{:06X}", 0x1C_61B0 + n % 8);
            let id = DeviceId::cwmp(&oui, "P", &n.to_string()).unwrap();
            (id, self::facts(&oui, models[n % models.len()]))
        })
        .collect();
    let mut layers = 0;
    let all = cpu_us(|| {
        for (id, facts) in &fleet {
            layers += set.layers(&self::subject(id, facts), None).profiles.len();
        }
    });
    println!("match {DEVICES} devices         {:>9.0} ms, {layers} layers", all / 1e3);
}

fn each<T>(what: &str, times: u32, mut work: impl FnMut() -> T) {
    let all = cpu_us(|| (0..times).for_each(|_| drop(black_box(work()))));
    println!("{what:<28} {:>9.2} µs", all / f64::from(times));
}

/// What the processor spent on it, in microseconds.
fn cpu_us(work: impl FnOnce()) -> f64 {
    let so_far = || {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        spent.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap()
    };
    let before = so_far();
    work();
    (so_far() - before) as f64 / 1e3
}

/// The shipped default and XX230v, and eighteen of an operator's own.
fn files() -> Vec<(String, String)> {
    let mut files = vec![
        ("default".to_owned(), DEFAULT.to_owned()),
        ("tplink-xx230v".to_owned(), XX230V.to_owned()),
    ];
    for n in 0..18 {
        let (name, oui) = (format!("own-{n}"), 0x1C_61B0 + n % 4);
        let matching = match n % 3 {
            0 => format!("oui = \"{oui:06X}\"\nmodel = \"model-{n}*\""),
            1 => format!("model = [\"*-{n}\", \"other-{n}\"]\nsoftware_version = \">=2.{n}\""),
            _ => format!("product_class = \"class-{n}\"\ntags = {{ any = [\"t{n}\"] }}"),
        };
        let text = format!("name = \"{name}\"\ndescription = \"d\"\n[match]\n{matching}\n");
        files.push((name, text));
    }
    files
}

fn facts(oui: &str, model: &str) -> DeviceFacts {
    DeviceFacts {
        oui: Some(oui.into()),
        product_class: Some("Device2".into()),
        model: Some(model.into()),
        serial: Some("1".into()),
        software_version: Some("3.0.1 0.9.1 v6036.0 Build 210805".into()),
        ..DeviceFacts::default()
    }
}

fn subject<'a>(id: &'a DeviceId, facts: &'a DeviceFacts) -> Subject<'a> {
    Subject { id, facts, tags: &[], group: None, customer: None, root: "Device." }
}

fn household() -> Equipment {
    serde_json::from_value(json!({
        "serial": "1",
        "wifi": [
            {"band": "2.4GHz", "ssid": "A", "passphrase": "correct horse", "enable": true, "hidden": false},
            {"band": "5GHz", "ssid": "B", "passphrase": "battery staple", "enable": true, "hidden": false},
        ],
        "voip": [{
            "line": 1, "enable": true, "uri": "sip:u@sip.example", "auth_user": "u", "auth_password": "p",
            "registrar": "reg.example", "proxy": "sip.example", "outbound_proxy": "out.example", "port": 5060,
            "transport": "UDP", "digit_map": "x.t", "directory_number": "5145550100",
        }],
        "ntp": ["a.example", "b.example"],
        "dscp": {"sip": 24, "rtp": 46},
        "upnp": false,
    }))
    .unwrap()
}
