//! A profile's file, as an operator or a token may bring it: from the text to a plan.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{DataModel, DeviceFacts, DeviceId};
use provisioning::{Circumstances, Equipment, Held, PlanView, ProfileSet, Subject, decide};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let set = match ProfileSet::parse([("fuzz.toml", &*text)]) {
        Ok(set) => set,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.iter().all(|it| !it.message.is_empty()));
            return;
        }
    };
    let id = DeviceId::cwmp("1C61B4", "Device2", "2227000001").expect("it is one");
    let facts = DeviceFacts {
        oui: Some("1C61B4".into()),
        product_class: Some("Device2".into()),
        model: Some("XX230v".into()),
        software_version: Some("3.0.0".into()),
        ..DeviceFacts::default()
    };
    let subject = Subject {
        id: &id,
        facts: &facts,
        tags: &[],
        group: None,
        customer: None,
        root: "Device.",
    };
    let (empty, known) = (Equipment::default(), DataModel::new());
    for equipment in [None, Some(&empty)] {
        let layers = set.layers(&subject, equipment);
        let wanted = layers.render(&subject, equipment, &serde_json::json!({}), &known);
        let it = Circumstances { fingerprint: wanted.fingerprint(&[7; 32]), ..Default::default() };
        let plan = decide(&wanted, &known, &Held::default(), it);
        assert!(!plan.writes(), "of a device of which nothing is known");
        assert!(serde_json::to_string(&PlanView::from(&plan)).is_ok());
    }
});
