use super::*;
use std::sync::Arc;

const DIAL: &str = "sessionId=ATUid_0a1b&phoneNumber=%2B254711000001&networkCode=63902&serviceCode=*384*1%23&text=";

fn post(body: &str) -> Request<'_> {
    Request {
        method: "POST",
        content_type: Some("application/x-www-form-urlencoded; charset=UTF-8"),
        query: "",
        body: body.as_bytes(),
    }
}

fn decode(body: &str) -> Result<Turn, TurnError> {
    AfricasTalking.decode(&post(body))
}

#[test]
fn reads_a_callback() {
    let turn = decode(&format!("{DIAL}1*2%2A3")).unwrap();
    assert_eq!(&*turn.session, "ATUid_0a1b");
    assert_eq!(turn.device, DeviceId::msisdn("+254711000001").unwrap());
    assert_eq!((&*turn.service_code, &*turn.network), ("*384*1#", "63902"));
    assert_eq!(turn.text.expose().as_ref(), "1*2*3");
    assert_eq!(decode(DIAL).unwrap().text.expose().as_ref(), "");
    // A plus that was not escaped arrives as a blank.
    assert_eq!(decode(&DIAL.replace("%2B", "+")).unwrap().device, turn.device);
}

#[test]
fn refuses_what_is_no_callback() {
    let without = |field: &str| {
        let fields = DIAL.split('&').filter(|pair| !pair.starts_with(field));
        decode(&fields.collect::<Vec<_>>().join("&")).err()
    };
    for field in ["sessionId", "phoneNumber", "text"] {
        assert_eq!(without(field), Some(TurnError::Missing(field)));
        let twice = decode(&format!("{DIAL}&{field}=1"));
        assert_eq!(twice.err(), Some(TurnError::Twice(field)));
    }
    let wrong =
        |body: String, field| assert_eq!(decode(&body).err(), Some(TurnError::Wrong(field)));
    wrong(DIAL.replace("%2B254711000001", "0711000001"), "phoneNumber");
    wrong(DIAL.replace("%2B254711000001", "%2B0711000001"), "phoneNumber");
    wrong(DIAL.replace("ATUid_0a1b", ""), "sessionId");
    wrong(DIAL.replace("ATUid_0a1b", "a%20b"), "sessionId");
    wrong(DIAL.replace("ATUid_0a1b", &"a".repeat(Turn::SESSION_LEN_MAX + 1)), "sessionId");
    wrong(DIAL.replace("63902", &"9".repeat(Turn::CODE_LEN_MAX + 1)), "networkCode");
    wrong(format!("{DIAL}{}", "1".repeat(Turn::TEXT_LEN_MAX + 1)), "text");
    wrong(format!("{DIAL}1%0A2"), "text");
    assert!(decode(&format!("{DIAL}{}", "1".repeat(Turn::TEXT_LEN_MAX))).is_ok());
}

#[test]
fn refuses_other_methods_and_types_with_a_status() {
    let get = Request { method: "GET", ..post(DIAL) };
    assert_eq!(AfricasTalking.decode(&get).err().map(TurnError::status), Some(405));
    let json = Request { content_type: Some("application/json"), ..post(DIAL) };
    assert_eq!(AfricasTalking.decode(&json).err().map(TurnError::status), Some(415));
    let none = Request { content_type: None, ..post(DIAL) };
    assert_eq!(AfricasTalking.decode(&none).err(), Some(TurnError::ContentType));
    let long = format!("{DIAL}&pad={}", "1".repeat(Form::LEN_MAX));
    assert_eq!(decode(&long).err().map(TurnError::status), Some(413));
}

#[test]
fn answers_begin_exactly_with_con_or_end() {
    let body = |screen| AfricasTalking.encode(&screen).body.expose().clone();
    assert_eq!(body(Screen::Continue(Arc::from("a\nb"))), "CON a\nb");
    assert_eq!(body(Screen::End(Arc::from("a"))), "END a");
    assert!(AfricasTalking.encode(&Screen::End("a".into())).content_type.starts_with("text/plain"));
}

#[test]
fn an_end_report_is_read_without_what_was_typed() {
    let body = "date=2026-11-20+10%3A00%3A00&sessionId=ATUid_1&serviceCode=*384*1%23&networkCode=63902\
        &phoneNumber=%2B254711000001&status=Incomplete&cost=KES+0.10&durationInMillis=12345&hopsCount=3\
        &hopsMetadata=&input=1*9876&lastAppResponse=CON+PIN";
    let report = AfricasTalking.decode_end(&post(body)).unwrap();
    assert_eq!(report.status, EndStatus::Incomplete);
    assert_eq!(report.duration, Some(Duration::from_millis(12_345)));
    assert_eq!(report.hops, Some(3));
    let printed = format!("{report:?}");
    assert!(!printed.contains("9876") && !printed.contains("711000001"), "{printed}");
    let other = body.replace("Incomplete", "Perhaps");
    let refused = AfricasTalking.decode_end(&post(&other)).err();
    assert_eq!(refused, Some(TurnError::Wrong("status")));
    let odd = body.replace("12345", "soon");
    assert_eq!(AfricasTalking.decode_end(&post(&odd)).unwrap().duration, None);
}

#[test]
fn a_turn_prints_neither_number_nor_keys() {
    let printed = format!("{:?}", decode(&format!("{DIAL}1*9876")).unwrap());
    assert!(!printed.contains("9876") && !printed.contains("711000001"), "{printed}");
}
