//! What no aggregator sends: each refuses it with a status, a word for metrics and its own answer.

use crate::speakers::{all, decode, keyed};
use lastmile_ussd::{Aggregator, Call, EncodingError, Form, Keyed, TurnError, aggregator};
use proptest::prelude::*;
use std::sync::Arc;

/// How an aggregator's calls are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Frame {
    Form,
    Query,
    Json,
    Xml,
}

fn frame(name: &str) -> Frame {
    match name {
        "africas_talking" | "con_end" => Frame::Form,
        "flares" => Frame::Query,
        "truroute" | "restcomm" => Frame::Xml,
        _ => Frame::Json,
    }
}

fn of(wanted: Frame) -> impl Iterator<Item = (Arc<dyn Aggregator>, Call)> {
    let named = all().filter(move |it| frame(it.name()) == wanted);
    named.map(|speaker| {
        let call = speaker.call(&keyed(&["1"], 1));
        (speaker, call)
    })
}

fn fault(speaker: &dyn Aggregator, call: &Call) -> TurnError {
    let error = decode(speaker, call).expect_err(speaker.name());
    let reply = speaker.encode_error(error);
    assert!(reply.status < 500 && !error.code().is_empty(), "{}", speaker.name());
    // What was sent is in no answer.
    assert!(!reply.body.expose().contains("711000001"), "{}", speaker.name());
    error
}

fn refused(speaker: &dyn Aggregator, call: &Call, body: impl Into<Vec<u8>>) -> TurnError {
    let request = call.request(&[]);
    let body = body.into();
    let error = speaker.decode(&lastmile_ussd::Request { body: &body, ..request });
    error.expect_err(speaker.name())
}

#[test]
fn every_aggregator_is_in_one_of_the_frames() {
    let counts = [Frame::Form, Frame::Query, Frame::Json, Frame::Xml].map(|it| of(it).count());
    assert_eq!(counts, [2, 1, 6, 2]);
    assert_eq!(counts.iter().sum::<usize>(), aggregator::NAMES.len());
}

#[test]
fn another_path_method_or_type_is_refused() {
    for speaker in all() {
        let call = speaker.call(&keyed(&["1"], 1));
        let elsewhere = Call { path: "session/9f/never".to_owned(), ..call.clone() };
        assert_eq!(fault(&*speaker, &elsewhere).status(), 404, "{}", speaker.name());
        let put = Call { method: "DELETE", ..call.clone() };
        assert_eq!(fault(&*speaker, &put).status(), 405, "{}", speaker.name());
        if frame(speaker.name()) == Frame::Query {
            continue;
        }
        let image = Call { content_type: Some("image/png"), ..call };
        assert_eq!(fault(&*speaker, &image).status(), 415, "{}", speaker.name());
    }
}

#[test]
fn a_form_is_within_its_bounds() {
    for (speaker, call) in of(Frame::Form) {
        let refused = |body: String| refused(&*speaker, &call, body);
        let long = format!("{}&pad={}", call.body, "1".repeat(Form::LEN_MAX));
        assert_eq!(refused(long), TurnError::Body(EncodingError::TooLong));
        let many = format!("{}{}", call.body, "&a=1".repeat(Form::FIELDS_MAX));
        assert_eq!(refused(many), TurnError::Body(EncodingError::TooManyFields));
        let malformed = TurnError::Body(EncodingError::Malformed);
        assert_eq!(refused(format!("{}&a=%", call.body)), malformed);
        assert_eq!(refused(format!("{}&a=%E9", call.body)), malformed, "latin-1, escaped");
        let latin = [call.body.as_bytes(), b"&a=\xE9"].concat();
        assert_eq!(self::refused(&*speaker, &call, latin), malformed);
        let twice = format!("{0}&{0}", call.body);
        assert!(matches!(refused(twice), TurnError::Twice(_)));
        assert!(matches!(refused(String::new()), TurnError::Missing(_)));
    }
}

#[test]
fn a_query_is_within_its_bounds() {
    for (speaker, call) in of(Frame::Query) {
        let refused = |query: String| fault(&*speaker, &Call { query, ..call.clone() });
        let query = &call.query;
        let long = format!("{query}&pad={}", "1".repeat(Form::LEN_MAX));
        assert_eq!(refused(long), TurnError::Body(EncodingError::TooLong));
        let many = format!("{query}{}", "&a=1".repeat(Form::FIELDS_MAX));
        assert_eq!(refused(many), TurnError::Body(EncodingError::TooManyFields));
        assert_eq!(refused(format!("{query}&a=%E9")), TurnError::Body(EncodingError::Malformed));
        for field in ["SessionID", "MSISDN", "input"] {
            assert_eq!(refused(format!("{query}&{field}=1")), TurnError::Twice(field));
            let rest = query.split('&').filter(|pair| !pair.starts_with(field));
            let rest = rest.collect::<Vec<_>>().join("&");
            assert_eq!(refused(rest), TurnError::Missing(field));
        }
    }
}

#[test]
fn json_is_within_its_bounds() {
    for (speaker, call) in of(Frame::Json) {
        let name = speaker.name();
        let fault = |body: String| refused(&*speaker, &call, body);
        let body = call.body.strip_suffix('}').unwrap();
        let with = |more: &str| fault(format!("{body},{more}}}"));
        let bodies =
            [("", "no body"), ("{", "cut"), ("[]", "a list"), ("null", "nothing"), ("x", "text")];
        for (body, what) in bodies {
            let error = fault(body.to_owned());
            assert_eq!(error, TurnError::Body(EncodingError::Malformed), "{name}: {what}");
        }
        let nested = format!("\"a\":{}1{}", "{\"a\":".repeat(9), "}".repeat(9));
        assert_eq!(with(&nested), TurnError::Body(EncodingError::TooDeep), "{name}");
        let list = format!("\"a\":{}{}", "[".repeat(2_000), "]".repeat(2_000));
        assert_eq!(with(&list), TurnError::Body(EncodingError::TooDeep), "{name}");
        let many = vec!["\"a\":1"; Form::FIELDS_MAX].join(",");
        assert_eq!(with(&many), TurnError::Body(EncodingError::TooManyFields), "{name}");
        let long = format!("\"a\":\"{}\"", "1".repeat(Form::LEN_MAX));
        assert_eq!(with(&long), TurnError::Body(EncodingError::TooLong), "{name}");
        let latin = [body.as_bytes(), b",\"a\":\"\xE9\"}"].concat();
        let malformed = TurnError::Body(EncodingError::Malformed);
        assert_eq!(refused(&*speaker, &call, latin), malformed, "{name}");
    }
}

#[test]
fn json_in_latin_1_is_read_where_it_says_so() {
    for (speaker, call) in of(Frame::Json) {
        let body = [call.body.strip_suffix('}').unwrap().as_bytes(), b",\"a\":\"\xE9\"}"].concat();
        let read = |content_type| {
            let request = lastmile_ussd::Request { body: &body, content_type, ..call.request(&[]) };
            speaker.decode(&request)
        };
        assert!(read(Some("application/json; charset=ISO-8859-1")).is_ok(), "{}", speaker.name());
        let other = read(Some("application/json; charset=utf-16")).unwrap_err();
        assert_eq!((other.status(), other.code()), (415, "charset"));
    }
}

#[test]
fn each_field_that_is_needed_is_needed_once() {
    let fields: [(&str, &[&str]); 6] = [
        ("hubtel", &["SessionId", "Mobile", "Type"]),
        ("nalo", &["USERID", "MSISDN", "MSGTYPE", "SESSIONID"]),
        ("arkesel", &["sessionID", "userID", "newSession", "msisdn"]),
        ("beem", &["command", "msisdn", "session_id"]),
        ("infobip", &["msisdn", "text"]),
        ("mtn_madapi", &["sessionId", "messageType", "msisdn", "serviceCode"]),
    ];
    for (name, fields) in fields {
        let (speaker, call) = of(Frame::Json).find(|(it, _)| it.name() == name).unwrap();
        for &field in fields {
            let quoted = format!("\"{field}\":");
            assert!(call.body.contains(&quoted), "{name}: {field}");
            let error = |body| refused(&*speaker, &call, body);
            let missing = error(call.body.replace(&quoted, "\"other\":"));
            assert_eq!(missing, TurnError::Missing(field), "{name}");
            let twice = error(call.body.replacen('{', &format!("{{{quoted}\"1\","), 1));
            assert_eq!(twice, TurnError::Twice(field), "{name}");
            let wrong = error(call.body.replacen(&quoted, &format!("{quoted}[],\"other\":"), 1));
            assert_eq!(wrong, TurnError::Wrong(field), "{name}");
        }
    }
}

#[test]
fn xml_is_within_its_bounds() {
    for (speaker, call) in of(Frame::Xml) {
        let name = speaker.name();
        let fault = |body: String| refused(&*speaker, &call, body);
        let (head, root) = call.body.split_once("?>").unwrap();
        let close = root.rfind("</").unwrap();
        let with =
            |more: &str| fault(format!("{head}?>{}{more}{}", &root[..close], &root[close..]));
        for (body, what) in [("", "no body"), ("<ussd>", "cut"), ("x", "text"), ("<a/><a/>", "two")]
        {
            let error = fault(body.to_owned());
            assert_eq!(error, TurnError::Body(EncodingError::Malformed), "{name}: {what}");
        }
        let nested = format!("{}{}", "<a>".repeat(8), "</a>".repeat(8));
        assert_eq!(with(&nested), TurnError::Body(EncodingError::TooDeep), "{name}");
        let many = "<a/>".repeat(4 * Form::FIELDS_MAX);
        assert_eq!(with(&many), TurnError::Body(EncodingError::TooManyFields), "{name}");
        let long = format!("<a>{}</a>", "1".repeat(Form::LEN_MAX));
        assert_eq!(with(&long), TurnError::Body(EncodingError::TooLong), "{name}");
        let entities = TurnError::Body(EncodingError::Entities);
        assert_eq!(with("<a>&other;</a>"), entities, "{name}");
        let dtd = format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{root}");
        assert_eq!(fault(dtd), entities, "{name}");
        let outside = format!("<!DOCTYPE a SYSTEM \"http://127.0.0.1/\">{root}");
        assert_eq!(fault(outside), entities, "{name}");
        let (before, after) = root.as_bytes().split_at(close);
        let latin = [before, b"<a>\xE9</a>", after].concat();
        let malformed = TurnError::Body(EncodingError::Malformed);
        assert_eq!(refused(&*speaker, &call, latin.clone()), malformed, "{name}");
        // It is read where it says so itself.
        let declared = [b"<?xml version='1.0' encoding='ISO-8859-1'?>".as_slice(), &latin].concat();
        let request = call.request(&[]);
        let content_type = Some("text/xml");
        let request = lastmile_ussd::Request { body: &declared, content_type, ..request };
        assert!(speaker.decode(&request).is_ok(), "{name}");
        assert!(matches!(fault("<other/>".to_owned()), TurnError::Missing(_)), "{name}");
    }
}

#[test]
fn each_element_that_is_needed_is_needed_once() {
    let (truroute, call) = of(Frame::Xml).find(|(it, _)| it.name() == "truroute").unwrap();
    for field in ["msisdn", "sessionid", "type", "msg"] {
        let error = |body| refused(&*truroute, &call, body);
        let (open, close) = (format!("<{field}>"), format!("</{field}>"));
        let missing = call.body.replace(&open, "<other>").replace(&close, "</other>");
        assert_eq!(error(missing), TurnError::Missing(field));
        let twice = call.body.replace("<ussd>", &format!("<ussd>{open}1{close}"));
        assert_eq!(error(twice), TurnError::Twice(field));
        let nested = call.body.replace(&open, &format!("{open}<b/>"));
        assert_eq!(error(nested), TurnError::Wrong(field));
    }
    let unknown = call.body.replace("<type>2<", "<type>5<");
    assert_eq!(refused(&*truroute, &call, unknown), TurnError::Wrong("type"));
    let (restcomm, call) = of(Frame::Xml).find(|(it, _)| it.name() == "restcomm").unwrap();
    for (name, error) in [
        ("localId", TurnError::Missing("localId")),
        ("invokeId", TurnError::Missing("invokeId")),
        ("userObject", TurnError::Missing("msisdn")),
        (
            "unstructuredSSRequest_Response",
            TurnError::Missing("processUnstructuredSSRequest_Request"),
        ),
    ] {
        let other = call.body.replace(name, "other");
        assert_eq!(refused(&*restcomm, &call, other), error);
    }
    let wrong = call.body.replace("invokeId=\"1\"", "invokeId=\"x\"");
    assert_eq!(refused(&*restcomm, &call, wrong), TurnError::Wrong("invokeId"));
}

#[test]
fn controls_and_endless_keys_are_refused() {
    for speaker in all() {
        let long = "1".repeat(lastmile_ussd::Turn::TEXT_LEN_MAX + 1);
        for keys in ["a\u{7}b", "a\u{1F}b", &long] {
            // XML cannot hold the first two: a blank stands in their place.
            if frame(speaker.name()) == Frame::Xml && keys.len() < 4 {
                continue;
            }
            let typed = [keys];
            let call = speaker.call(&keyed(&typed, 1));
            let error = fault(&*speaker, &call);
            assert!(matches!(error, TurnError::Wrong(_)), "{}: {error:?}", speaker.name());
        }
        let long = "9".repeat(65);
        for session in ["a b", &long] {
            let other = Keyed { session, ..keyed(&["1"], 1) };
            let error = fault(&*speaker, &speaker.call(&other));
            assert!(matches!(error, TurnError::Wrong(_)), "{}: {error:?}", speaker.name());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        query in "[a-zA-Z0-9=&%+]{0,60}",
        path in "(session/)?[a-z0-9/]{0,20}",
    ) {
        for speaker in all() {
            for method in ["GET", "POST", "PUT"] {
                let mut call = speaker.call(&keyed(&["1"], 1));
                (call.method, call.query) = (method, query.clone());
                let headers = [("cookie", query.as_str())];
                let request = call.request(&headers);
                let _ = speaker.decode(&lastmile_ussd::Request { body: &bytes, ..request });
                let _ = speaker.decode(&lastmile_ussd::Request { path: &path, ..request });
                let _ = speaker.decode_end(&lastmile_ussd::Request { body: &bytes, ..request });
            }
        }
    }

    /// A call with one byte changed: read as something, or refused.
    #[test]
    fn a_broken_call_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for speaker in all() {
            let call = speaker.call(&keyed(&["1"], 1));
            let mut body = call.body.clone().into_bytes();
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let _ = speaker.decode(&lastmile_ussd::Request { body: &body, ..call.request(&[]) });
        }
    }
}
