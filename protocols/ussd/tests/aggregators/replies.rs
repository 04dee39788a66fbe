//! Each aggregator's own kinds of answers: to an end, to a probe, to what it should not have sent.

use crate::speakers::{all, decode, end, keyed, speaker, turn};
use lastmile_ussd::{Call, EncodingError, EndStatus, Inbound, Screen, TurnError};

#[test]
fn an_error_is_answered_in_the_aggregator_s_own_way() {
    let errors = [
        (TurnError::Path, 404),
        (TurnError::Method, 405),
        (TurnError::ContentType, 415),
        (TurnError::Body(EncodingError::Charset), 415),
        (TurnError::Body(EncodingError::TooLong), 413),
        (TurnError::Body(EncodingError::TooManyFields), 400),
        (TurnError::Body(EncodingError::TooDeep), 400),
        (TurnError::Body(EncodingError::Malformed), 400),
        (TurnError::Body(EncodingError::Entities), 400),
        (TurnError::Missing("text"), 400),
        (TurnError::Twice("text"), 400),
        (TurnError::Wrong("text"), 400),
    ];
    let mut codes: Vec<&str> = errors.iter().map(|(error, _)| error.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), errors.len(), "a word of its own for each");
    for (error, status) in errors {
        assert_eq!(error.status(), status, "{error}");
        for speaker in all() {
            let reply = speaker.encode_error(error);
            let body = reply.body.expose().as_str();
            match speaker.name() {
                "infobip" => {
                    let in_body = matches!(status, 404 | 405);
                    assert_eq!(reply.status, if in_body { status } else { 200 });
                    assert!(body.contains(&format!("\"responseExitCode\":{status}")), "{body}");
                }
                "mtn_madapi" => {
                    assert_eq!(reply.status, status);
                    assert!(body.contains(&format!("\"supportMessage\":\"{status}\"")), "{body}");
                }
                name => assert_eq!((reply.status, body), (status, ""), "{name}"),
            }
        }
    }
}

#[test]
fn an_end_is_answered_with_200_and_asks_for_nothing() {
    for speaker in all() {
        let Some(call) = speaker.hang_up(&keyed(&["1"], 1)) else { continue };
        let report = end(&*speaker, &call);
        let reply = speaker.encode_end(&report, &call.request(&[]));
        assert_eq!(reply.status, 200);
        let body = reply.body.expose().as_str();
        let expected = match speaker.name() {
            "hubtel" => "\"Type\":\"release\"",
            "infobip" => "{\"responseExitCode\":200,\"responseMessage\":\"\"}",
            "mtn_madapi" => "\"userInputRequired\":false",
            "truroute" => "<type>3</type>",
            "restcomm" => "prearrangedEnd=\"true\"",
            _ => "",
        };
        assert!(body.contains(expected), "{}: {body}", speaker.name());
        assert_eq!(body.is_empty(), expected.is_empty(), "{}: {body}", speaker.name());
    }
}

#[test]
fn infobip_asks_whether_a_session_is_there() {
    let infobip = speaker("infobip");
    let call = infobip.call(&keyed(&["1"], 1));
    let probe = Call { method: "GET", path: "session/9f/status".to_owned(), ..call };
    let Ok(Inbound::Probe(reply)) = decode(&*infobip, &probe) else { panic!() };
    let said = "{\"sessionActive\":true,\"responseExitCode\":200,\"responseMessage\":\"\"}";
    assert_eq!((reply.status, reply.body.expose().as_str()), (200, said));
}

/// A word by which an aggregator says that a dialogue is over, and how it ended then.
type End = (&'static str, EndStatus);

/// Every word by which an aggregator says that a dialogue is over.
#[test]
fn every_kind_of_end_is_one() {
    use EndStatus::{Failed, Incomplete, Success};
    let ends: [(&str, &str, &[End]); 6] = [
        (
            "africas_talking",
            "status=Incomplete",
            &[("status=Success", Success), ("status=Failed&errorMessage=none", Failed)],
        ),
        (
            "hubtel",
            "\"release\"",
            &[
                ("\"Release\"", Incomplete),
                ("\"timeout\"", Incomplete),
                ("\"Timeout\"", Incomplete),
            ],
        ),
        (
            "mtn_madapi",
            "\"messageType\":\"4\"",
            &[("\"messageType\":\"2\"", Success), ("\"messageType\":5", Incomplete)],
        ),
        ("truroute", "<type>3<", &[("<type>4<", Incomplete), ("<type>10<", Failed)]),
        (
            "infobip",
            "\"exitCode\":500",
            &[
                ("\"exitCode\":0", Success),
                ("\"exitCode\":\"200\"", Success),
                ("\"exitCode\":null", Incomplete),
            ],
        ),
        (
            "restcomm",
            "mapUserAbortChoice=\"isUserSpecificReason\"",
            &[
                ("dialogTimedOut=\"true\"", Incomplete),
                ("invokeTimedOut=\"1\"", Incomplete),
                ("mapAbortProviderReason=\"InvalidPDU\"", Failed),
                ("mapRefuseReason=\"NoReasonGiven\"", Failed),
                ("dialogTimedOut=\"false\"", Failed),
            ],
        ),
    ];
    for (name, said, others) in ends {
        let speaker = speaker(name);
        let call = speaker.hang_up(&keyed(&["1"], 1)).unwrap();
        assert!(call.body.contains(said), "{name}: {}", call.body);
        assert_eq!(end(&*speaker, &call).status, Incomplete, "{name}");
        for (other, status) in others {
            let call = Call { body: call.body.replace(said, other), ..call.clone() };
            assert_eq!(end(&*speaker, &call).status, *status, "{name}: {other}");
        }
    }
}

#[test]
fn a_sim_is_told_where_the_network_tells_it() {
    for (name, field) in [("infobip", "\"imsi\":null"), ("mtn_madapi", "\"msisdn\"")] {
        let speaker = speaker(name);
        let call = speaker.call(&keyed(&["1"], 1));
        assert_eq!(turn(&*speaker, &call).imsi, None);
        let with = |imsi: &str| {
            let known = if field.ends_with("null") { String::new() } else { format!(",{field}") };
            let body = call.body.replace(field, &format!("\"imsi\":\"{imsi}\"{known}"));
            turn(&*speaker, &Call { body, ..call.clone() }).imsi
        };
        let imsi = with("639020123456789").unwrap();
        assert_eq!(&**imsi.expose(), "639020123456789");
        assert_eq!(with("none"), None, "one that is none keeps nobody from his menu");
    }
}

#[test]
fn restcomm_gives_back_what_later_messages_lack() {
    let restcomm = speaker("restcomm");
    let dial = restcomm.call(&keyed(&[], 0));
    let dial = Call { body: dial.body.replace("invokeId=\"0\"", "invokeId=\"5\""), ..dial };
    let screen = Screen::Continue("PIN".into());
    let first = restcomm.encode(&screen, &turn(&*restcomm, &dial));
    let body = first.body.expose();
    assert!(body.contains("invokeId=\"6\""), "one more than it asked with: {body}");
    assert!(body.contains("userObject=\"5-254711000001\"") && !body.contains("prearrangedEnd"));
    assert_eq!(first.headers, [("set-cookie", "lastmile=5-254711000001; HttpOnly".into())]);
    // The caller's answer repeats it, or else the cookie does.
    let keys = restcomm.call(&keyed(&["1"], 1));
    let keys = Call { body: keys.body.replace("0-254711000001", "5-254711000001"), ..keys };
    let bare = Call { body: keys.body.replace("userObject", "other"), ..keys.clone() };
    let cookie =
        Call { headers: vec![("cookie", "a=b; lastmile=5-254711000001".to_owned())], ..bare };
    for call in [keys, cookie] {
        let turn = turn(&*restcomm, &call);
        let last = restcomm.encode(&Screen::End("Kwaheri — asante".into()), &turn);
        let body = last.body.expose();
        assert!(body.contains("invokeId=\"5\" dataCodingScheme=\"72\""), "{body}");
        assert!(body.contains("prearrangedEnd=\"false\"") && last.headers.is_empty(), "{body}");
    }
    // Where neither is there, the dialog may say who called.
    let origin = restcomm.call(&keyed(&["1"], 1)).body.replace("userObject", "other");
    let origin = origin.replace("<unstr", "<originationReference number=\"254711000001\"/><unstr");
    let origin = Call { body: origin, ..restcomm.call(&keyed(&["1"], 1)) };
    assert_eq!(turn(&*restcomm, &origin).device.as_str(), "msisdn:+254711000001");
}

#[test]
fn hubtel_is_answered_in_its_own_spelling() {
    let hubtel = speaker("hubtel");
    let call = hubtel.call(&keyed(&["1"], 1));
    let said = |body: String, ends: bool| {
        let turn = turn(&*hubtel, &Call { body, ..call.clone() });
        let screen = if ends { Screen::End("a".into()) } else { Screen::Continue("a".into()) };
        hubtel.encode(&screen, &turn).body.expose().clone()
    };
    let new = &call.body;
    let old = new.replace("\"response\"", "\"Response\"");
    assert!(said(new.clone(), false).contains("\"Type\":\"response\""));
    assert!(said(new.clone(), true).contains("\"Type\":\"release\""));
    assert!(said(old.clone(), false).contains("\"Type\":\"Response\""));
    assert!(said(old, true).contains("\"Type\":\"Release\""));
    let unknown = new.replace("\"response\"", "\"AddToCart\"");
    let refused = hubtel.decode(&Call { body: unknown, ..call.clone() }.request(&[]));
    assert_eq!(refused, Err(TurnError::Wrong("Type")));
}

#[test]
fn beem_is_answered_with_its_session_and_request() {
    let beem = speaker("beem");
    let call = beem.call(&keyed(&["1"], 1));
    let body = call.body.replace("\"request_id\":\"0\"", "\"request_id\":7");
    let turn = turn(&*beem, &Call { body, ..call });
    let reply = beem.encode(&Screen::Continue("a".into()), &turn);
    let said = "{\"command\":\"continue\",\"msisdn\":\"254711000001\",\"session_id\":\"9f-1\",\
        \"operator\":\"63902\",\"payload\":{\"request_id\":\"7\",\"request\":\"a\"}}";
    assert_eq!(reply.body.expose(), said);
    assert_eq!(turn.hop, None, "servers in the field answer every screen with the same one");
}
