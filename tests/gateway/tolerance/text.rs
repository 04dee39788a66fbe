//! Charsets, and XML as devices write it.

use super::peer::{Inform, assert_informed, call_of, envelope, parameter};
use super::{Rows, Scene, device};
use serde_json::{Value, json};

pub(super) const ROWS: Rows = &[
    ("byte_order_mark_and_leading_white_space", marks),
    ("no_declaration", no_declaration),
    ("iso_8859_1", latin_1),
    ("utf_16", utf_16),
    ("invalid_utf_8", invalid_utf_8),
    ("unknown_charset", unknown_charset),
    ("cdata", cdata),
    ("value_left_out", value_left_out),
    ("bare_ampersand_and_control_characters", bare_ampersand),
    ("invalid_parameter_name", invalid_name),
    ("values_that_do_not_fit_their_type", unfit_values),
    ("no_id", no_id),
    ("id_with_an_ampersand", id_with_an_ampersand),
    ("default_namespace", default_namespace),
    ("unknown_version", unknown_version),
    ("document_type", document_type),
    ("unknown_headers", unknown_headers),
];

/// An Inform whose maker has an umlaut, in some charset.
fn umlaut(serial: &str) -> String {
    Inform::of(serial).envelope().replace("<Manufacturer>Odd", "<Manufacturer>M\u{fc}ller")
}

/// Posts bytes as a device of that serial; what the backend hears of its maker.
#[track_caller]
fn maker(scene: &Scene, serial: &str, content_type: &str, body: &[u8]) -> Value {
    let answer = scene.peer().post_bytes(&[("Content-Type", content_type)], body);
    assert_informed(&answer);
    scene.met(serial).data["manufacturer"].clone()
}

fn marks(scene: &Scene) {
    let body = format!("\u{feff}{}", umlaut("MARK0001"));
    assert_eq!(maker(scene, "MARK0001", "text/xml", body.as_bytes()), "M\u{fc}ller");
    let body = format!("\r\n \t<?xml version=\"1.0\"?>{}", umlaut("MARK0002"));
    assert_eq!(maker(scene, "MARK0002", "text/xml", body.as_bytes()), "M\u{fc}ller");
    let body = format!("{}\0\0\r\n", umlaut("MARK0003"));
    assert_eq!(maker(scene, "MARK0003", "text/xml", body.as_bytes()), "M\u{fc}ller");
}

fn no_declaration(scene: &Scene) {
    assert_eq!(maker(scene, "DECL0001", "text/xml", umlaut("DECL0001").as_bytes()), "M\u{fc}ller");
}

fn latin_1(scene: &Scene) {
    let latin = |text: String| -> Vec<u8> {
        text.chars().map(|it| u8::try_from(u32::from(it)).unwrap()).collect()
    };
    let by_header = latin(umlaut("LATIN001"));
    let told = maker(scene, "LATIN001", "text/xml; charset=ISO-8859-1", &by_header);
    assert_eq!(told, "M\u{fc}ller");
    let declared = "<?xml version='1.0' encoding='iso-8859-1'?>".to_owned() + &umlaut("LATIN002");
    assert_eq!(maker(scene, "LATIN002", "text/xml", &latin(declared)), "M\u{fc}ller");
}

fn utf_16(scene: &Scene) {
    let wide = |serial: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.iter().copied().chain(umlaut(serial).encode_utf16().flat_map(bytes)).collect()
    };
    let little = wide("WIDE0001", b"\xFF\xFE", u16::to_le_bytes);
    assert_eq!(maker(scene, "WIDE0001", "text/xml; charset=utf-16", &little), "M\u{fc}ller");
    let big = wide("WIDE0002", b"\xFE\xFF", u16::to_be_bytes);
    assert_eq!(maker(scene, "WIDE0002", "text/xml", &big), "M\u{fc}ller");
    let unmarked = wide("WIDE0003", b"", u16::to_le_bytes);
    assert_eq!(maker(scene, "WIDE0003", "text/xml", &unmarked), "M\u{fc}ller");
}

fn invalid_utf_8(scene: &Scene) {
    let (head, rest) = umlaut("BYTES001")
        .split_once('\u{fc}')
        .map(|it| (it.0.to_owned(), it.1.to_owned()))
        .unwrap();
    let body = [head.as_bytes(), b"\xFC", rest.as_bytes()].concat();
    assert_eq!(maker(scene, "BYTES001", "text/xml; charset=utf-8", &body), "M\u{fffd}ller");
}

fn unknown_charset(scene: &Scene) {
    let told =
        maker(scene, "CHARS001", "text/xml; charset=x-klingon", umlaut("CHARS001").as_bytes());
    assert_eq!(told, "M\u{fc}ller");
}

/// What the backend hears of a parameter that an Inform has as `written`.
#[track_caller]
fn heard(scene: &Scene, serial: &str, written: &str) -> Value {
    let name = "InternetGatewayDevice.DeviceInfo.Description";
    let value =
        format!("<ParameterValueStruct><Name>{name}</Name>{written}</ParameterValueStruct>");
    let inform = Inform::of(serial).with(&value);
    assert_informed(&scene.peer().post(&inform.envelope()));
    scene.met(serial).data["parameters"][name].clone()
}

fn cdata(scene: &Scene) {
    let told = heard(scene, "CDATA001", "<Value><![CDATA[a <b> & c]]></Value>");
    assert_eq!(told, "a <b> & c");
}

fn value_left_out(scene: &Scene) {
    assert_eq!(heard(scene, "VALUE001", ""), "");
    assert_eq!(heard(scene, "VALUE002", "<Value/>"), "");
    assert_eq!(heard(scene, "VALUE003", "<Value xsi:type=\"xsd:string\"/>"), "");
    assert_eq!(heard(scene, "VALUE004", "<Value>17</Value>"), "17", "no type is a string");
}

fn bare_ampersand(scene: &Scene) {
    assert_eq!(
        heard(scene, "AMPER001", "<Value>Tom & Jerry &amp; Co &</Value>"),
        "Tom & Jerry & Co &"
    );
    let told = heard(scene, "AMPER002", "<Value>a\u{1}b\u{1f}c</Value>");
    assert_eq!(told, "a\u{fffd}b\u{fffd}c");
}

fn invalid_name(scene: &Scene) {
    let dropped = || scene.daemon.counted("lastmile_cwmp_oddities_total", &["parameter_dropped"]);
    let before = dropped();
    let bad = ["", "Device. B", "1.2", "A..B"].map(|name| parameter(name, "x")).concat();
    let told = {
        let inform = Inform::of("NAMES001").with(&bad);
        assert_informed(&scene.peer().post(&inform.envelope()));
        scene.met("NAMES001").data["parameters"].clone()
    };
    assert_eq!(told, json!({"InternetGatewayDevice.DeviceInfo.SoftwareVersion": "1.0"}));
    assert!(dropped() >= before + 4.0, "{}", dropped());
}

fn unfit_values(scene: &Scene) {
    let boolean = "<Value xsi:type=\"xsd:boolean\">True</Value>";
    assert_eq!(heard(scene, "UNFIT001", boolean), "True");
    let time = "<Value xsi:type=\"xsd:dateTime\">0000-00-00T00:00:00</Value>";
    assert_eq!(heard(scene, "UNFIT002", time), "0000-00-00T00:00:00");
    assert_eq!(heard(scene, "UNFIT003", "<Value xsi:type=\"xsd:int\">many</Value>"), "many");
}

fn no_id(scene: &Scene) {
    let (head, rest) = (Inform::of("NOID0001").envelope(), "</cwmp:ID>");
    let start = head.find("<cwmp:ID").unwrap();
    let end = head.find(rest).unwrap() + rest.len();
    let answer = scene.peer().post(&format!("{}{}", &head[..start], &head[end..]));
    assert_informed(&answer);
    let text = answer.text();
    assert!(!text.contains("ID") && !text.contains("null"), "{text}");
}

fn id_with_an_ampersand(scene: &Scene) {
    let mut inform = Inform::of("ID000001");
    inform.id = "a&amp;b&lt;c".to_owned();
    let answer = scene.peer().post(&inform.envelope());
    assert_informed(&answer);
    assert!(answer.text().contains(">a&amp;b&lt;c</cwmp:ID>"), "{}", answer.text());
}

fn default_namespace(scene: &Scene) {
    let body = Inform::of("SPACE001").body().replace("cwmp:Inform", "Inform");
    let body = body.replacen("<Inform>", "<Inform xmlns=\"urn:dslforum-org:cwmp-1-1\">", 1);
    let xml = format!(
        "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body>{body}</Body></Envelope>"
    );
    let answer = scene.peer().post(&xml.replace("xsi:type=\"xsd:string\"", ""));
    assert_informed(&answer);
    assert!(answer.text().contains("urn:dslforum-org:cwmp-1-1"), "{}", answer.text());
}

fn unknown_version(scene: &Scene) {
    let inform = Inform::of("MINOR001").envelope().replace("cwmp-1-0", "cwmp-1-9");
    let answer = scene.peer().post(&inform);
    assert_informed(&answer);
    assert!(answer.text().contains("urn:dslforum-org:cwmp-1-9"), "{}", answer.text());
}

fn document_type(scene: &Scene) {
    let inform = Inform::of("TYPE0001").envelope().replace("Odd</Man", "&x;</Man");
    let declared = format!("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>{inform}");
    let answer = scene.peer().post(&declared);
    assert_eq!(answer.status, 400);
    let path = format!("/api/v1/devices/{}", device("TYPE0001"));
    assert_eq!(scene.daemon.api("GET", &path, &Value::Null).status, 404);
    // Undeclared, it is text.
    assert_eq!(maker(scene, "TYPE0001", "text/xml", inform.as_bytes()), "&x;");
}

fn unknown_headers(scene: &Scene) {
    let ignored = || scene.daemon.counted("lastmile_cwmp_oddities_total", &["header_ignored"]);
    let before = ignored();
    let more = "<x:Sec xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"><a>b</a></x:Sec><Foo/></s:Header>";
    let inform = Inform::of("HEAD0001").body().replace("<MaxEnvelopes>1<", "<MaxEnvelopes>7<");
    let inform = envelope("1", &inform).replace("</s:Header>", more);
    let mut peer = scene.peer();
    let answer = peer.post(&inform);
    assert_informed(&answer);
    assert!(answer.text().contains("<MaxEnvelopes>1</MaxEnvelopes>"), "{}", answer.text());
    assert!(call_of(&peer.post("")).is_some(), "one envelope, and the session goes on");
    assert!(ignored() >= before + 2.0, "{}", ignored());
}
