//! Twilio.

use super::{account, form};
use model::Redacted;
use serde_json::{Value, json};
use sms::{
    Answer, Cause, Form, Notice, NoticeError, Notified, Outcome, Provider as _, Report, Reported,
    Twilio,
};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const NUMBER: [&str; 1] = ["+254711000001"];
const URL: &str = "https://gw.example/sms/twilio/secret/default/01J";

fn twilio() -> Twilio {
    Twilio::new(account(SID, Some("+15005550006")))
}

fn read(status: u16, body: &str) -> Answer {
    twilio().read(status, body.as_bytes(), &NUMBER)
}

fn one(outcome: Outcome) -> Answer {
    Answer::Each(vec![outcome])
}

fn error(code: u32) -> String {
    json!({"code": code, "message": "…", "more_info": "https://…", "status": 400}).to_string()
}

#[test]
fn the_call_signs_in_and_says_where_to_report() {
    let call = twilio().call("Hujambo, Achieng'!", &NUMBER, Some(URL));
    assert_eq!(call.path.0, format!("/2010-04-01/Accounts/{SID}/Messages.json"));
    let authorization = &call.headers[0];
    assert_eq!(authorization.0, "authorization");
    let basic = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjphLXNlY3JldC1rZXk=";
    assert_eq!(authorization.1.0, basic);
    let expected = [
        ("To", "+254711000001"),
        ("Body", "Hujambo, Achieng'!"),
        ("From", "+15005550006"),
        ("StatusCallback", URL),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&call.body.0), expected);
    assert!(!format!("{call:?}").contains("2547"));
}

#[test]
fn a_pool_of_senders_is_named_by_its_id() {
    let pool = "MG0123456789abcdef0123456789abcdef";
    let call = Twilio::new(account(SID, Some(pool))).call("x", &NUMBER, None);
    assert!(call.body.0.ends_with(&format!("MessagingServiceSid={pool}")), "{}", call.body.0);
}

#[test]
fn a_text_that_is_taken_has_an_id() {
    let body = |status: &str, error: Value| {
        json!({"sid": "SM1", "status": status, "error_code": error, "to": NUMBER[0]}).to_string()
    };
    for status in ["queued", "accepted", "sending", "sent"] {
        let taken = Outcome::Taken { id: Some("SM1".into()) };
        assert_eq!(read(201, &body(status, Value::Null)), one(taken), "{status}");
    }
    let failed = read(201, &body("failed", json!(30_005)));
    assert_eq!(failed, one(Outcome::Refused(Cause::NotInUse)));
}

#[test]
fn every_code_that_is_known_says_what_came_of_it() {
    let cases = [
        (21_211, Cause::Number),
        (21_408, Cause::NoRoute),
        (21_606, Cause::Sender),
        (21_610, Cause::OptedOut),
        (21_612, Cause::NoRoute),
        (21_614, Cause::UnsupportedNumber),
        (21_617, Cause::Request),
        (30_007, Cause::Blocked),
        (99_999, Cause::Other),
    ];
    for (code, cause) in cases {
        assert_eq!(read(400, &error(code)), one(Outcome::Refused(cause)), "{code}");
    }
}

#[test]
fn what_had_no_effect_is_told_from_what_may_have() {
    assert_eq!(read(401, &error(20_003)), Answer::NotTaken(Cause::Credentials));
    assert_eq!(read(403, &error(20_005)), Answer::NotTaken(Cause::Credentials));
    assert_eq!(read(403, &error(21_610)), one(Outcome::Refused(Cause::OptedOut)));
    assert_eq!(read(404, &error(20_404)), Answer::NotTaken(Cause::Request));
    assert_eq!(read(429, &error(20_429)), Answer::NotTaken(Cause::Busy));
    assert_eq!(read(400, &error(14_107)), Answer::NotTaken(Cause::Busy));
    assert_eq!(read(400, "<html>"), one(Outcome::Refused(Cause::Request)));
    for page in ["", "<html></html>", "{}", "null", r#"{"status":"queued"}"#, r#"{"sid":"SM1"}"#] {
        for status in [200, 201, 302, 500, 502, 503] {
            assert_eq!(read(status, page), one(Outcome::Unknown), "{status} {page}");
        }
    }
}

fn signed(body: &str) -> Result<Notice, NoticeError> {
    let signature = twilio().signature(URL, &Form::parse(body.as_bytes()).unwrap());
    let body = body.as_bytes();
    twilio().notice(&Notified { url: URL, signature: Some(&signature), body })
}

#[test]
fn a_report_says_what_became_of_a_text() {
    let cases = [
        ("sent", Reported::OnItsWay),
        ("queued", Reported::OnItsWay),
        ("delivered", Reported::Delivered),
        ("undelivered&ErrorCode=30003", Reported::Failed(Cause::Absent)),
        ("failed&ErrorCode=30006", Reported::Failed(Cause::UnsupportedNumber)),
        ("failed&ErrorCode=", Reported::Failed(Cause::Other)),
    ];
    for (status, came_to) in cases {
        let body =
            format!("MessageSid=SM1&To=%2B254711000001&AccountSid={SID}&MessageStatus={status}");
        let number = Some(Redacted("+254711000001".into()));
        let expected = Report { id: "SM1".into(), number, came_to };
        assert_eq!(signed(&body), Ok(Notice::Report(expected)), "{status}");
    }
    let odd = signed("MessageSid=SM1&MessageStatus=lost");
    assert_eq!(odd, Err(NoticeError::WrongField("MessageStatus")));
}

#[test]
fn what_is_not_signed_is_not_used() {
    let body = "MessageSid=SM1&MessageStatus=delivered";
    let notice = |signature, url, body: &str| {
        twilio().notice(&Notified { url, signature, body: body.as_bytes() })
    };
    let signature = twilio().signature(URL, &Form::parse(body.as_bytes()).unwrap());
    assert!(notice(Some(&signature), URL, body).is_ok());
    let unsigned = Err(NoticeError::Unsigned);
    assert_eq!(notice(None, URL, body), unsigned);
    assert_eq!(notice(Some(&signature), "https://gw.example/", body), unsigned);
    assert_eq!(notice(Some(&signature), URL, "MessageSid=SM2&MessageStatus=delivered"), unsigned);
    assert_eq!(notice(Some("?"), URL, body), unsigned);
}

#[test]
fn whoever_opts_out_is_told_of() {
    let number = || Redacted("+254711000001".into());
    let said = |more: &str| signed(&format!("From=%2B254711000001&To=%2B15005550006&{more}"));
    let out = Ok(Notice::OptOut { number: number() });
    assert_eq!(said("Body=Stop"), out);
    assert_eq!(said("Body=acha&OptOutType=STOP"), out);
    assert_eq!(said("Body=start"), Ok(Notice::OptIn { number: number() }));
    assert_eq!(said("Body=x&OptOutType=START"), Ok(Notice::OptIn { number: number() }));
    assert_eq!(said("Body=help&OptOutType=HELP"), Ok(Notice::Message));
    assert_eq!(said("Body="), Ok(Notice::Message));
    assert_eq!(said("x=1"), Err(NoticeError::Unfamiliar));
}
