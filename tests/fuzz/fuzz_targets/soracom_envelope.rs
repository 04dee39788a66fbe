//! What a board, Funnel and Beam send.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use soracom::auth::Signed;
use soracom::{Message, Net, Object, Options, RESERVED, Report, mismatches, normalise};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(line) = std::str::from_utf8(bytes) {
        let _ = Signed::of_line(line);
        let _ = Signed::of_headers(line.lines().filter_map(|it| it.split_once(':')));
    }
    if let Ok(inner) = soracom::unwrap_payload(bytes) {
        assert!(inner.len() <= soracom::UNWRAPPED_LEN_MAX);
    }
    let Ok(message) = Message::parse(bytes) else { return };
    assert!(message.fields.len() <= Object::FIELDS_MAX);
    let report = Report::of(&message.fields);
    let trusted = Net { imei: Some("490154203237518".into()), imsi: None };
    for mismatch in mismatches(&message, &report, &trusted) {
        assert_eq!(&*mismatch.trusted, "490154203237518");
    }
    let head = r#"{"topic":"t","qos":0}"#;
    let options = Options::default();
    let text = normalise(head, &message, &trusted, None, Timestamp::UNIX_EPOCH, &options);
    let written: Value = serde_json::from_str(&text).expect("what is written is JSON");
    assert_eq!(written["timestamp"], "1970.01.01 09:00:00");
    assert_eq!(written["net"], serde_json::json!({"imei": "490154203237518"}));
    assert!(written.get("device_ts").is_none());
    // Each name stands there once, ours among them.
    if message.fields.len() + 4 <= Object::FIELDS_MAX {
        let again =
            Object::parse(text.as_bytes()).expect("no name twice, and no deeper than before");
        let ours = again.iter().filter(|(name, _)| RESERVED.contains(name)).count();
        assert_eq!(ours, 2);
    }
});
