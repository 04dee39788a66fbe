//! Africa's Talking.

use super::{account, form, notified};
use model::Redacted;
use serde_json::{Value, json};
use sms::{
    AfricasTalking, Answer, Api, Cause, Notice, NoticeError, Outcome, Provider as _, Report,
    Reported,
};

const NUMBERS: [&str; 3] = ["+254711000001", "+254711000002", "+254711000003"];

fn classic() -> AfricasTalking {
    AfricasTalking::new(account("tapgives", Some("TapGives")), Api::Classic)
}

fn header<'a>(call: &'a sms::Call, name: &str) -> &'a str {
    &call.headers.iter().find(|(key, _)| *key == name).unwrap().1.0
}

fn recipient(code: &Value, number: &str, id: &str) -> Value {
    json!({"statusCode": code, "number": number, "status": "x", "cost": "KES 0.80", "messageId": id})
}

fn answered(recipients: &[Value]) -> String {
    let message = "Sent to 1/1 Total Cost: KES 0.80";
    json!({"SMSMessageData": {"Message": message, "Recipients": recipients}}).to_string()
}

fn read(status: u16, body: &str) -> Answer {
    classic().read(status, body.as_bytes(), &NUMBERS)
}

fn all(outcome: &Outcome) -> Answer {
    Answer::Each(vec![outcome.clone(); 3])
}

#[test]
fn the_classic_call_is_a_form() {
    let call = classic().call("Maji 50% & more", &NUMBERS[..2], Some("https://unused"));
    assert_eq!(call.path.expose(), "/version1/messaging");
    assert_eq!(header(&call, "apikey"), "a-secret-key");
    assert_eq!(header(&call, "content-type"), "application/x-www-form-urlencoded");
    let expected = [
        ("username", "tapgives"),
        ("to", "+254711000001,+254711000002"),
        ("message", "Maji 50% & more"),
        ("bulkSMSMode", "1"),
        ("enqueue", "1"),
        ("from", "TapGives"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&call.body.0), expected);
}

#[test]
fn the_bulk_call_is_json() {
    let bulk = AfricasTalking::new(account("tapgives", None), Api::Bulk);
    let call = bulk.call("habari", &NUMBERS[..2], None);
    assert_eq!(call.path.expose(), "/version1/messaging/bulk");
    assert_eq!(header(&call, "content-type"), "application/json");
    let body: Value = serde_json::from_str(&call.body.0).unwrap();
    let numbers = &NUMBERS[..2];
    let expected = json!({
        "username": "tapgives", "message": "habari", "phoneNumbers": numbers, "enqueue": 1,
    });
    assert_eq!(body, expected);
    let named = AfricasTalking::new(account("t", Some("22384")), Api::Bulk);
    assert!(named.call("x", numbers, None).body.0.contains(r#""senderId":"22384""#));
}

#[test]
fn no_call_is_printed() {
    let printed = format!("{:?} {:?}", classic(), classic().call("habari", &NUMBERS, None));
    for secret in ["a-secret-key", "habari", "254711"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn each_number_has_its_own_outcome() {
    let body = answered(&[
        recipient(&json!(403), "+254711000003", "None"),
        recipient(&json!(101), "+254711000001", "ATXid_1"),
        recipient(&json!("102"), "+254711000002", "None"),
    ]);
    let taken = |id: Option<&str>| Outcome::Taken { id: id.map(Into::into) };
    let expected = vec![taken(Some("ATXid_1")), taken(None), Outcome::Refused(Cause::Number)];
    assert_eq!(read(201, &body), Answer::Each(expected));
}

#[test]
fn a_number_that_is_not_named_is_unknown() {
    let one = recipient(&json!(101), "+254711000002", "ATXid_1");
    let Answer::Each(each) = read(201, &answered(&[one])) else { panic!("not each") };
    assert_eq!((&each[0], &each[2]), (&Outcome::Unknown, &Outcome::Unknown));
    // One answer is one text's, even where a number was named twice.
    let twice = ["+254711000002", "+254711000002"];
    let one = answered(&[recipient(&json!(101), "+254711000002", "ATXid_1")]);
    let Answer::Each(each) = classic().read(201, one.as_bytes(), &twice) else {
        panic!("not each")
    };
    assert_eq!(each[1], Outcome::Unknown);
}

#[test]
fn every_code_that_is_known_says_what_came_of_it() {
    let cases = [
        (401, Outcome::Refused(Cause::Blocked)),
        (402, Outcome::Refused(Cause::Sender)),
        (403, Outcome::Refused(Cause::Number)),
        (404, Outcome::Refused(Cause::UnsupportedNumber)),
        (405, Outcome::Later(Cause::NoBalance)),
        (406, Outcome::Refused(Cause::OptedOut)),
        (407, Outcome::Refused(Cause::NoRoute)),
        (409, Outcome::Refused(Cause::OptedOut)),
        (500, Outcome::Refused(Cause::Fault)),
        (501, Outcome::Refused(Cause::Fault)),
        (502, Outcome::Refused(Cause::Rejected)),
        (999, Outcome::Unknown),
    ];
    for (code, outcome) in cases {
        let body = answered(&[recipient(&json!(code), NUMBERS[0], "None")]);
        let Answer::Each(each) = read(201, &body) else { panic!("{code}") };
        assert_eq!(each[0], outcome, "{code}");
    }
}

#[test]
fn an_answer_without_receivers_is_a_refusal_where_it_says_so() {
    let said = |message: &str| {
        json!({"SMSMessageData": {"Message": message, "Recipients": []}}).to_string()
    };
    assert_eq!(read(201, &said("InvalidSenderId")), all(&Outcome::Refused(Cause::Sender)));
    assert_eq!(read(201, &said("InsufficientBalance")), Answer::NotTaken(Cause::NoBalance));
    let none = said("Sent to 0/3 Total Cost: 0");
    assert_eq!(read(201, &none), all(&Outcome::Refused(Cause::Other)));
    assert_eq!(read(201, &said("Something new")), all(&Outcome::Unknown));
}

#[test]
fn what_had_no_effect_is_told_from_what_may_have() {
    let text = "The supplied authentication is invalid";
    assert_eq!(read(401, text), Answer::NotTaken(Cause::Credentials));
    assert_eq!(read(429, ""), Answer::NotTaken(Cause::Busy));
    assert_eq!(read(404, "<html>"), Answer::NotTaken(Cause::Request));
    let missing = "Request is missing required form field 'to'";
    assert_eq!(read(400, missing), all(&Outcome::Refused(Cause::Request)));
    let pages = ["", "<html>502</html>", "{}", "null", r#"{"SMSMessageData":null}"#, "[1]"];
    for page in pages {
        for status in [200, 201, 302, 500, 502, 503, 504] {
            assert_eq!(read(status, page), all(&Outcome::Unknown), "{status} {page}");
        }
    }
    assert_eq!(read(201, &" ".repeat(300_000)), all(&Outcome::Unknown));
}

fn report(body: &str) -> Result<Notice, NoticeError> {
    classic().notice(&notified(body))
}

#[test]
fn a_report_says_what_became_of_a_text() {
    let cases = [
        ("Success", Reported::Delivered),
        ("Sent", Reported::OnItsWay),
        ("Submitted", Reported::OnItsWay),
        ("Buffered", Reported::OnItsWay),
        ("Rejected&failureReason=InvalidLinkId", Reported::Failed(Cause::Request)),
        ("Rejected", Reported::Failed(Cause::Rejected)),
        ("Failed&failureReason=UserInBlackList", Reported::Failed(Cause::OptedOut)),
        ("Failed&failureReason=NotNetworkSubcriber", Reported::Failed(Cause::NoRoute)),
        ("Failed&failureReason=UserDoesNotExist", Reported::Failed(Cause::NotInUse)),
        ("Failed&failureReason=InsufficientCredit", Reported::Failed(Cause::NoBalance)),
        ("Failed&failureReason=DeliveryFailure", Reported::Failed(Cause::Other)),
        ("Failed", Reported::Failed(Cause::Other)),
        ("AbsentSubscriber", Reported::Failed(Cause::Absent)),
        ("Expired&retryCount=3", Reported::Failed(Cause::Absent)),
    ];
    for (status, came_to) in cases {
        // The plus was not escaped, as it comes at times.
        let body =
            format!("id=ATXid_1&phoneNumber=+254711000001&networkCode=63902&status={status}");
        let number = Some(Redacted("+254711000001".into()));
        let expected = Report { id: "ATXid_1".into(), number, came_to };
        assert_eq!(report(&body), Ok(Notice::Report(expected)), "{status}");
    }
}

#[test]
fn whoever_opts_out_is_told_of() {
    let number = || Redacted("+254711000001".into());
    let out = report("senderId=TapGives&phoneNumber=%2B254711000001");
    assert_eq!(out, Ok(Notice::OptOut { number: number() }));
    let message = |text: &str| {
        report(&format!("from=%2B254711000001&to=22384&id=9&date=2026-03-01&linkId=&text={text}"))
    };
    assert_eq!(message("Stop"), Ok(Notice::OptOut { number: number() }));
    assert_eq!(message("START"), Ok(Notice::OptIn { number: number() }));
    assert_eq!(message("asante"), Ok(Notice::Message));
    assert_eq!(message(""), Ok(Notice::Message));
}

#[test]
fn each_fault_of_a_notice_has_its_name() {
    let wrong = |name| Err(NoticeError::WrongField(name));
    assert_eq!(report("status=Lost&id=1"), wrong("status"));
    assert_eq!(report("status=Success"), wrong("id"));
    assert_eq!(report("status=Success&id=a%20b"), wrong("id"));
    assert_eq!(report("status=Success&status=Failed&id=1"), wrong("status"));
    assert_eq!(report("from=TapGives&text=STOP"), wrong("from"));
    assert_eq!(report("senderId=x"), wrong("phoneNumber"));
    assert_eq!(report("a=1"), Err(NoticeError::Unfamiliar));
    assert_eq!(report(""), Err(NoticeError::Unfamiliar));
    assert_eq!(report("id=%zz"), Err(NoticeError::Malformed));
    let faults = [
        NoticeError::TooLong,
        NoticeError::TooManyFields,
        NoticeError::Malformed,
        NoticeError::Unsigned,
        NoticeError::WrongField("id"),
        NoticeError::Unfamiliar,
    ];
    let codes = faults.map(NoticeError::code);
    let expected =
        ["too_long", "too_many_fields", "malformed", "unsigned", "wrong_field", "unfamiliar"];
    assert_eq!(codes, expected);
}
