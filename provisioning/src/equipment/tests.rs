//! Documents that hold and that do not; the table, the types and the schema are one.

use super::*;
use serde_json::json;

/// A document with every field there is.
fn full() -> Value {
    json!({
        "serial": "2227A1B2C3",
        "equipment_id": "EQ-7",
        "profile": "tplink-xx230v",
        "wifi": [
            { "band": "2.4GHz", "ssid": "Chez nous", "passphrase": "correct horse", "enable": true, "hidden": false },
            { "band": "5GHz", "ssid": "Chez nous 5", "passphrase": "correct horse", "enable": true, "hidden": false },
        ],
        "voip": [{
            "line": 1, "enable": true, "uri": "sip:15145550100@sip.example.net", "auth_user": "15145550100",
            "auth_password": "s3cret", "registrar": "sip.example.net", "proxy": "192.0.2.5",
            "outbound_proxy": "2001:db8::5", "port": 5060, "transport": "UDP",
            "digit_map": "[2-9]xxxxxxxxx|1[2-9]xxxxxxxxx", "dtmf": "RFC2833",
            "directory_number": "+15145550100",
        }],
        "vlan": [{ "role": "internet", "id": 40, "priority": 0 }, { "role": "voice", "id": 41, "priority": 5 }],
        "bridge": { "enable": true, "ports": ["LAN1"] },
        "ntp": ["pool.ntp.org", "192.0.2.9"],
        "dscp": { "sip": 24, "rtp": 46 },
        "upnp": false,
        "firmware": { "version": "3.0.1", "url": "https://example.net/f.bin", "sha256": "ab".repeat(32), "size": 100 },
        "ttl": 3600,
        "etag": "\"7\"",
    })
}

fn parse(value: &Value) -> Result<Parsed<Equipment>, Faults> {
    Equipment::parse(value.to_string().as_bytes())
}

/// The faults of the full document with one value in another's place.
fn faults_with(pointer: &str, value: Value) -> Vec<String> {
    let mut document = full();
    *document.pointer_mut(pointer).expect(pointer) = value;
    let outcome = parse(&document).map(|_| ());
    outcome.err().map_or_else(Vec::new, |it| it.0.into_iter().map(|fault| fault.path).collect())
}

#[test]
fn what_was_read_is_written_the_same() {
    let document = full();
    let parsed = parse(&document).unwrap();
    assert!(parsed.passed_over.is_empty());
    assert_eq!(serde_json::to_value(&parsed.value).unwrap(), document);
    assert!(parsed.value.extra.expose().is_empty());
    let least = parse(&json!({ "serial": "A" })).unwrap().value;
    assert_eq!(serde_json::to_value(&least).unwrap(), json!({ "serial": "A" }));
}

#[test]
fn every_fault_is_named_and_no_value() {
    let document = json!({
        "wifi": [{ "band": "6GHz", "ssid": "", "passphrase": "short-1" }, { "band": "5GHz", "hidden": "no-2" }],
        "voip": [{ "line": 0 }, { "line": 0, "proxy": "http://secret-3", "port": 0, "dtmf": "Loud" }],
        "vlan": [{ "role": "voice", "id": 4095, "priority": 8 }],
        "dscp": { "sip": 64, "rtp": -1 },
        "ntp": "pool.ntp.org",
        "upnp": 1,
    });
    let faults = parse(&document).unwrap_err();
    let paths: Vec<_> = faults.0.iter().map(|fault| &*fault.path).collect();
    let expected = [
        "serial",
        "wifi[0].band",
        "wifi[0].ssid",
        "wifi[0].passphrase",
        "wifi[1].hidden",
        "voip[0].line",
        "voip[1].line",
        "voip[1].proxy",
        "voip[1].port",
        "voip[1].dtmf",
        "voip[1].line",
        "vlan[0].id",
        "vlan[0].priority",
        "ntp",
        "dscp.sip",
        "dscp.rtp",
        "upnp",
    ];
    assert_eq!(paths, expected);
    let text = faults.to_string();
    for value in ["short-1", "no-2", "secret-3", "Loud", "6GHz"] {
        assert!(!text.contains(value), "{text}");
    }
}

#[test]
fn limits_are_where_they_are_said_to_be() {
    let fits = |pointer: &str, value: Value| faults_with(pointer, value).is_empty();
    assert!(fits("/wifi/0/ssid", json!("é".repeat(16))), "32 bytes");
    assert!(!fits("/wifi/0/ssid", json!("é".repeat(17))), "34 bytes");
    for (passphrase, holds) in [
        ("1234567".to_owned(), false),
        ("12345678".to_owned(), true),
        (" ~".repeat(4), true),
        ("x".repeat(63), true),
        ("x".repeat(64), false),
        ("a1".repeat(32), true),
        ("motdepassé".to_owned(), false),
        ("tab\there12".to_owned(), false),
    ] {
        assert_eq!(fits("/wifi/0/passphrase", json!(passphrase)), holds, "{passphrase}");
    }
    for (host, holds) in [
        ("sip.example.net", true),
        ("sip_1.example.net.", true),
        ("10.0.0.1", true),
        ("2001:db8::1", true),
        ("10.0.0.256", false),
        ("10.0.0", false),
        ("", false),
        ("a..b", false),
        ("-a.example", false),
        ("sip.example.net:5060", false),
        ("sip:example.net", false),
        ("exämple.net", false),
    ] {
        assert_eq!(fits("/voip/0/registrar", json!(host)), holds, "{host}");
        assert_eq!(fits("/ntp/0", json!(host)), holds, "{host}");
    }
    for (pointer, least, most) in [
        ("/vlan/0/id", 1_u64, 4094_u64),
        ("/vlan/0/priority", 0, 7),
        ("/dscp/sip", 0, 63),
        ("/voip/0/port", 1, 65_535),
        ("/voip/0/line", 1, 64),
        ("/ttl", 0, 604_800),
    ] {
        assert!(fits(pointer, json!(least)) && fits(pointer, json!(most)), "{pointer}");
        assert!(!fits(pointer, json!(most + 1)), "{pointer}");
        assert!(least == 0 || !fits(pointer, json!(least - 1)), "{pointer}");
        assert!(!fits(pointer, json!(1.5)) && !fits(pointer, json!("1")), "{pointer}");
    }
}

#[test]
fn nothing_stands_twice() {
    assert_eq!(faults_with("/wifi/1/band", json!("2.4GHz")), ["wifi[1].band"]);
    assert_eq!(faults_with("/vlan/1/role", json!("internet")), ["vlan[1].role"]);
    assert_eq!(faults_with("/ntp/1", json!("pool.ntp.org")), ["ntp[1]"]);
    assert_eq!(faults_with("/voip", json!([{ "line": 2 }, { "line": 2 }])), ["voip[1].line"]);
}

#[test]
fn null_is_not_there_and_strangers_are_kept_or_told_of() {
    let document = json!({
        "serial": "A", "wifi": null, "upnp": null, "contract": { "id": 7 },
        "voip": [{ "line": 1, "passwrod": "x", "enable": null }],
    });
    let parsed = parse(&document).unwrap();
    assert_eq!(parsed.value.extra.expose()["contract"], json!({ "id": 7 }));
    assert_eq!(parsed.passed_over, ["voip[0].passwrod"]);
    let faults = parsed.strict().unwrap_err();
    assert_eq!(faults.to_string(), "`voip[0].passwrod` is not a known field");
    assert_eq!(parse(&json!({ "serial": null })).unwrap_err().0[0].path, "serial");
}

#[test]
fn what_is_no_document_is_said_to_be_none() {
    for text in ["", "[]", "<html>", "\"a\"", "{\"serial\":", "null"] {
        assert!(Equipment::parse(text.as_bytes()).is_err(), "{text}");
    }
    let long = json!({ "serial": "A", "x": "y".repeat(Equipment::LEN_MAX) });
    assert!(parse(&long).unwrap_err().to_string().contains("bytes"));
    let many: Vec<_> = (0..2_000).map(|_| json!({ "role": "" })).collect();
    let many = parse(&json!({ "serial": "A", "vlan": many })).unwrap_err();
    assert_eq!(many.0.len(), 1);
    let deep = format!("{{\"serial\":\"A\",\"x\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(Equipment::parse(deep.as_bytes()).is_err());
}

#[test]
fn hidden_secrets_are_hidden_and_cannot_be_put_back() {
    let mut document = full();
    document["pin"] = json!("0000");
    let hidden = parse(&document).unwrap().value.without_secrets();
    let shown = serde_json::to_value(&hidden).unwrap();
    assert_eq!(shown["wifi"][0]["passphrase"], HIDDEN);
    assert_eq!(shown["voip"][0]["auth_password"], HIDDEN);
    assert_eq!(shown["pin"], HIDDEN);
    assert_eq!(shown["wifi"][0]["ssid"], "Chez nous");
    let paths: Vec<_> = parse(&shown).unwrap_err().0.into_iter().map(|it| it.path).collect();
    assert_eq!(paths, ["wifi[0].passphrase", "wifi[1].passphrase", "voip[0].auth_password", "pin"]);
    assert!(!format!("{:?}", parse(&document).unwrap().value).contains("correct horse"));
}

#[test]
fn a_change_of_wifi_changes_what_it_names() {
    let change = br#"{"wifi":[{"band":"5GHz","ssid":"New"}]}"#;
    let change = parse_wifi(change).unwrap().strict().unwrap();
    let mut equipment = parse(&full()).unwrap().value;
    let before = equipment.clone();
    equipment.change_wifi(&change.wifi);
    assert_eq!(equipment.wifi[0], before.wifi[0]);
    assert_eq!(equipment.wifi[1].ssid.as_deref(), Some("New"));
    assert_eq!(equipment.wifi[1].passphrase, before.wifi[1].passphrase);
    let mut empty = Equipment { serial: "A".into(), ..Equipment::default() };
    empty.change_wifi(&change.wifi);
    assert_eq!((empty.wifi.len(), empty.wifi[0].band.as_str()), (1, "5GHz"));
    assert!(empty.checked().is_ok());
    for faulty in [
        "{}",
        r#"{"wifi":[]}"#,
        r#"{"wifi":[{"band":"5GHz"}]}"#,
        r#"{"wifi":[{"ssid":"x"}]}"#,
        r#"{"wifi":[{"band":"5GHz","passphrase":"1234567"}]}"#,
    ] {
        assert!(parse_wifi(faulty.as_bytes()).is_err(), "{faulty}");
    }
    let stray = parse_wifi(br#"{"wifi":[{"band":"5GHz","ssid":"x","pasphrase":"12345678"}]}"#);
    assert!(stray.unwrap().strict().is_err());
}

/// Every name of a field in a schema, with its place.
fn names_of_schema(schema: &Value, path: &str, names: &mut Vec<String>) {
    if let Some(items) = schema.get("items") {
        names_of_schema(items, path, names);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{path}/{name}");
        names_of_schema(property, &place, names);
        names.push(place);
    }
}

/// The same of a document.
fn names_of(value: &Value, path: &str, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names_of(item, path, names)),
        Value::Object(map) => {
            for (name, value) in map {
                let place = format!("{path}/{name}");
                names_of(value, &place, names);
                names.push(place);
            }
        }
        _ => {}
    }
}

fn assert_alike(schema: &Value, document: &Value) {
    let (mut of_schema, mut of_document) = (Vec::new(), Vec::new());
    names_of_schema(schema, "", &mut of_schema);
    names_of(document, "", &mut of_document);
    of_schema.sort_unstable();
    of_document.sort_unstable();
    of_document.dedup();
    assert_eq!(of_schema, of_document);
}

#[test]
fn types_and_table_have_the_same_fields() {
    let equipment = parse(&full()).unwrap().value;
    assert!(equipment.extra.expose().is_empty(), "the types know every field of the table");
    // Destructured, so that a new field is not forgotten in the full document.
    let Equipment {
        serial: _,
        equipment_id: Some(_),
        profile: Some(_),
        wifi,
        voip,
        vlan,
        bridge: Some(Bridge { enable: true, ports }),
        ntp,
        dscp: Some(Dscp { sip: Some(_), rtp: Some(_) }),
        upnp: Some(_),
        firmware: Some(Firmware { version: _, url: Some(_), sha256: Some(_), size: Some(_) }),
        ttl: Some(_),
        etag: Some(_),
        extra: _,
    } = &equipment
    else {
        panic!("a field of the full document is empty");
    };
    assert!(!wifi.is_empty() && !voip.is_empty() && !vlan.is_empty());
    assert!(!ports.is_empty() && !ntp.is_empty());
    assert_alike(&equipment_schema(), &serde_json::to_value(&equipment).unwrap());
}

#[test]
fn what_is_told_of_an_activation_is_what_its_schema_says() {
    let activated = Activated {
        serial: "2227A1B2C3".into(),
        device: model::DeviceId::cwmp("1C61B4", "Device2", "2227A1B2C3").unwrap(),
        reason: "bootstrap".into(),
        profile: Some("tplink-xx230v".into()),
        revision: Some("1f".into()),
        refused: vec![NotTaken { path: "Device.Time.NTPServer1".into(), cause: "9007".into() }],
        firmware: Some("3.0.1".into()),
        ip: Some([192, 0, 2, 1].into()),
    };
    assert_alike(&activated_schema(), &serde_json::to_value(&activated).unwrap());
    let (profile, firmware, ip) = (None, None, None);
    let silent = Activated { profile, firmware, ip, refused: Vec::new(), ..activated.clone() };
    for activated in [activated, silent] {
        let text = serde_json::to_vec(&activated).unwrap();
        let read: Parsed<Activated> = check::parse(&text, &shape::ACTIVATED).unwrap();
        assert_eq!(read.strict().unwrap(), activated);
    }
}

/// `UPDATE=1 cargo test -p lastmile-provisioning schema` writes the schemas anew.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test compares files, and may write them")]
fn schemas_in_the_repository_are_those_of_the_table() {
    let schemas = [("equipment", equipment_schema()), ("activated", activated_schema())];
    for (name, schema) in schemas {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let file = format!("{}/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(kept, text, "{name}.schema.json: UPDATE=1 writes it anew");
    }
}
