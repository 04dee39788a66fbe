use super::*;
use crate::frame::Form;
use model::DeviceId;
use proptest::prelude::*;
use std::sync::Arc;

const DIAL: &str = "sessionId=ATUid_0a1b&phoneNumber=%2B254711000001&networkCode=63902&serviceCode=*384*1%23&text=";

fn post(body: &str) -> Request<'_> {
    Request {
        method: "POST",
        path: "",
        headers: &[],
        content_type: Some("application/x-www-form-urlencoded; charset=UTF-8"),
        query: "",
        body: body.as_bytes(),
    }
}

fn decode(body: &str) -> Result<Turn, TurnError> {
    AfricasTalking::default().decode(&post(body)).map(|inbound| match inbound {
        Inbound::Turn(turn) => turn,
        other => panic!("no turn: {other:?}"),
    })
}

#[test]
fn what_is_dialled_behind_the_code_is_not_shown_as_the_code() {
    let at = AfricasTalking::new(ServiceCode::new("*384*1#"));
    let dialled = DIAL.replace("*384*1%23", "*384*1*1234%23");
    let Ok(Inbound::Turn(turn)) = at.decode(&post(&dialled)) else { panic!() };
    assert_eq!((&*turn.service_code, turn.input.text()), ("*384*1#", ""));
}

#[test]
fn reads_a_callback() {
    let turn = decode(&format!("{DIAL}1*2%2A3")).unwrap();
    assert_eq!(&*turn.session, "ATUid_0a1b");
    assert_eq!(turn.device, DeviceId::msisdn("+254711000001").unwrap());
    assert_eq!((&*turn.service_code, &*turn.network), ("*384*1#", "63902"));
    assert_eq!(turn.input, Input::Cumulative(Redacted("1*2*3".into())));
    assert_eq!(decode(DIAL).unwrap().input.text(), "");
    // A plus that was not escaped arrives as a blank; some leave it out.
    for plus in ["+", ""] {
        assert_eq!(decode(&DIAL.replace("%2B", plus)).unwrap().device, turn.device);
    }
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
    assert_eq!(AfricasTalking::default().decode(&get).err().map(TurnError::status), Some(405));
    let below = Request { path: "start", ..post(DIAL) };
    assert_eq!(AfricasTalking::default().decode(&below).err().map(TurnError::status), Some(404));
    let json = Request { content_type: Some("application/json"), ..post(DIAL) };
    assert_eq!(AfricasTalking::default().decode(&json).err().map(TurnError::status), Some(415));
    let none = Request { content_type: None, ..post(DIAL) };
    assert_eq!(AfricasTalking::default().decode(&none).err(), Some(TurnError::ContentType));
    let long = format!("{DIAL}&pad={}", "1".repeat(Form::LEN_MAX));
    assert_eq!(decode(&long).err().map(TurnError::status), Some(413));
}

#[test]
fn answers_begin_exactly_with_con_or_end() {
    let turn = decode(DIAL).unwrap();
    let body = |screen| AfricasTalking::default().encode(&screen, &turn).body.expose().clone();
    assert_eq!(body(Screen::Continue(Arc::from("a\nb"))), "CON a\nb");
    assert_eq!(body(Screen::End(Arc::from("a"))), "END a");
    let reply = AfricasTalking::default().encode(&Screen::End("a".into()), &turn);
    assert!(reply.status == 200 && reply.content_type.starts_with("text/plain"));
}

#[test]
fn an_end_report_is_read_without_what_was_typed() {
    let body = "date=2026-11-20+10%3A00%3A00&sessionId=ATUid_1&serviceCode=*384*1%23&networkCode=63902\
        &phoneNumber=%2B254711000001&status=Incomplete&cost=KES+0.10&durationInMillis=12345&hopsCount=3\
        &hopsMetadata=&input=1*9876&lastAppResponse=CON+PIN";
    let report = AfricasTalking::default().decode_end(&post(body)).unwrap();
    assert_eq!(report.status, EndStatus::Incomplete);
    assert_eq!(report.duration, Some(Duration::from_millis(12_345)));
    assert_eq!(report.hops, Some(3));
    let printed = format!("{report:?}");
    assert!(!printed.contains("9876") && !printed.contains("711000001"), "{printed}");
    let other = body.replace("Incomplete", "Perhaps");
    let refused = AfricasTalking::default().decode_end(&post(&other)).err();
    assert_eq!(refused, Some(TurnError::Wrong("status")));
    let odd = body.replace("12345", "soon");
    assert_eq!(AfricasTalking::default().decode_end(&post(&odd)).unwrap().duration, None);
}

#[test]
fn a_turn_prints_neither_number_nor_keys() {
    let printed = format!("{:?}", decode(&format!("{DIAL}1*9876")).unwrap());
    assert!(!printed.contains("9876") && !printed.contains("711000001"), "{printed}");
}

#[test]
fn who_hangs_up_is_told_of_without_a_screen() {
    let keyed = keyed(&["1"], "+254711000001");
    let call = AfricasTalking::default().hang_up(&keyed).unwrap();
    assert_eq!((call.method, call.path.as_str()), ("POST", "end"));
    let report = AfricasTalking::default().decode_end(&request(&call)).unwrap();
    assert_eq!((&*report.session, report.status), ("ATUid_1", EndStatus::Incomplete));
    assert_eq!(report.hops, Some(2));
    let reply = AfricasTalking::default().encode_end(&report, &request(&call));
    assert_eq!((reply.status, reply.body.expose().as_str()), (200, ""));
    let refused = AfricasTalking::default().encode_error(TurnError::Missing("text"));
    assert_eq!((refused.status, refused.body.expose().as_str()), (400, ""));
    for (status, body) in [(500, "CON a"), (200, "COn a"), (200, "")] {
        assert_eq!(AfricasTalking::default().shown(&Shown { status, headers: &[], body }), None);
    }
}

fn keyed<'a>(typed: &'a [&'a str], number: &'a str) -> Keyed<'a> {
    let (session, service_code, network) = ("ATUid_1", "*384*1#", "63902");
    let hop = u32::try_from(typed.len()).unwrap();
    Keyed { session, number, service_code, network, typed, hop }
}

fn request(call: &Call) -> Request<'_> {
    let (content_type, body) = (call.content_type, call.body.as_bytes());
    Request { method: call.method, path: "", content_type, headers: &[], query: &call.query, body }
}

proptest! {
    #[test]
    fn what_a_handset_sends_is_read_and_what_is_written_it_shows(
        typed in prop::collection::vec("[^*\\pC]{0,12}", 0..6),
        number in "\\+254[0-9]{9}",
        text in "\\PC{0,80}",
        ends in any::<bool>(),
    ) {
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let call = AfricasTalking::default().call(&keyed(&typed, &number));
        let turn = match AfricasTalking::default().decode(&request(&call)) {
            Ok(Inbound::Turn(turn)) => turn,
            other => panic!("no turn: {other:?}"),
        };
        prop_assert_eq!(&*turn.session, "ATUid_1");
        prop_assert_eq!((&*turn.service_code, &*turn.network), ("*384*1#", "63902"));
        prop_assert_eq!(&turn.device, &DeviceId::msisdn(&number).unwrap());
        prop_assert_eq!(turn.input.text(), typed.join("*"));
        let text = Arc::<str>::from(text);
        let screen = if ends { Screen::End(text) } else { Screen::Continue(text) };
        let reply = AfricasTalking::default().encode(&screen, &turn);
        let shown = Shown { status: reply.status, headers: &[], body: reply.body.expose() };
        prop_assert_eq!(AfricasTalking::default().shown(&shown), Some(screen));
    }
}
