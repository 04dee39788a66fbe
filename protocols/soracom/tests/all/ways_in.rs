//! However a payload comes in, the same fields come out; and nothing that is sent breaks the rule.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use soracom::{Message, Net, Object, Options, RESERVED, Report, mismatches, normalise};

const INGEST: &str = "2026-11-21T09:30:15Z";

fn net() -> Net {
    Net { imei: Some("490154203237518".into()), imsi: Some("295000012345678".into()) }
}

fn written(head: &str, message: &Message) -> Map<String, Value> {
    let ingest: Timestamp = INGEST.parse().unwrap();
    let options = Options::default();
    let text = normalise(head, message, &net(), message.asserted_ms, ingest, &options);
    match serde_json::from_str(&text).unwrap() {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

/// The message as each way brings it: bare, and in Funnel's envelope as an object, text and base64,
/// with names as its page describes them and as its example shows them.
fn ways(payload: &Value) -> Vec<Value> {
    let text = payload.to_string();
    let mut ways = vec![payload.clone()];
    for payloads in [payload.clone(), json!(text), json!(STANDARD.encode(&text))] {
        for (operator, credentials) in
            [("operatorId", "credentialsId"), ("operatorid", "credentialId")]
        {
            ways.push(json!({
                operator: "OP0081185049",
                credentials: "role",
                "timestamp": 1_653_891_795_421_i64,
                "destination": {
                    "provider": "aws",
                    "service": "aws-iot",
                    "resourceUrl": "x.iot.ap-northeast-1.amazonaws.com/customer_mngt",
                    "payloadsOnly": false,
                    "sendPayloadsAsBinary": false,
                },
                "payloads": payloads,
                "sourceProtocol": "http",
                "imsi": "295000012345678",
                "imei": "490154203237518",
            }));
        }
    }
    ways
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn payloads() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("imei".to_owned()),
        Just("STATUS".to_owned()),
        Just("timestamp".to_owned()),
        Just("net".to_owned()),
        Just("topic".to_owned()),
        ".{0,12}",
    ];
    prop::collection::btree_map(names, values(), 0..8)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    /// S0-10, S0-11: one result, with every field of the payload at the top and ours on top of them.
    #[test]
    fn every_way_in_has_one_result(payload in payloads()) {
        let head = r#"{"topic":"customer_mngt","qos":1}"#;
        let names = Object::parse(head.as_bytes()).unwrap();
        for way in ways(&payload) {
            let message = Message::parse(way.to_string().as_bytes()).unwrap();
            let written = written(head, &message);
            for (name, value) in payload.as_object().unwrap() {
                if !RESERVED.contains(&name.as_str()) && !names.has(name) {
                    prop_assert_eq!(&written[name], value);
                }
            }
            prop_assert_eq!(&written["topic"], "customer_mngt");
            prop_assert_eq!(&written["timestamp"], "2026.11.21 18:30:15");
            let net = json!({"imsi": "295000012345678", "imei": "490154203237518"});
            prop_assert_eq!(&written["net"], &net);
            let ms = message.is_enveloped.then_some(1_653_891_795_421_i64);
            prop_assert_eq!(written.get("device_ts").cloned(), ms.map(Value::from));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = soracom::unwrap_payload(&bytes);
        if let Ok(message) = Message::parse(&bytes) {
            let report = Report::of(&message.fields);
            let _ = mismatches(&message, &report, &net());
            written("{}", &message);
        }
    }

    /// An envelope of which anything was changed.
    #[test]
    fn a_bent_envelope_is_read_or_refused(
        place in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = ways(&json!({"imei": "490154203237518", "STATUS": 0}))[1].to_string().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = with;
        if let Ok(message) = Message::parse(&bytes) {
            let written = written("{}", &message);
            prop_assert_eq!(&written["timestamp"], "2026.11.21 18:30:15");
        }
    }
}
