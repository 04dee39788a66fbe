use super::*;

const CHECKOUT: &str = "ws_CO_191220191020363925";

fn push(status: u16, body: &str) -> PushAnswer {
    PushAnswer::read(status, body.as_bytes())
}

fn query(status: u16, body: &str) -> QueryAnswer {
    QueryAnswer::read(CHECKOUT, status, body.as_bytes())
}

fn fault(code: &str, text: &str) -> String {
    format!(r#"{{"requestId": "4801-1", "errorCode": "{code}", "errorMessage": "{text}"}}"#)
}

fn result(code: &str, text: &str) -> String {
    format!(
        r#"{{"ResponseCode": "0", "ResponseDescription": "The service request has been accepted successsfully", "MerchantRequestID": "22205-34066-1", "CheckoutRequestID": "{CHECKOUT}", "ResultCode": {code}, "ResultDesc": "{text}"}}"#
    )
}

/// What says nothing of a prompt, whatever was asked.
fn silences() -> Vec<(u16, String)> {
    let edge = r#"{"fault": {"faultstring": "Spike arrest violation. Allowed rate : 5ps", "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"}}}"#;
    let mut silences = vec![
        (200, String::new()),
        (200, "<html><body>Request unsuccessful. Incapsula incident ID: 1</body></html>".into()),
        (403, "<html></html>".into()),
        (503, "<html><title>503 Service Unavailable</title></html>".into()),
        (200, "null".into()),
        (200, "[]".into()),
        (200, "{}".into()),
        (302, "{}".into()),
        (429, edge.into()),
        (500, edge.into()),
        (200, edge.into()),
        (429, fault("429.001.01", "Spike arrest")),
        (500, fault("500.003.02", "Error Occurred: Spike Arrest Violation")),
        (500, fault("500.003.03", "Error Occurred: Quota Violation")),
        (500, fault("500.001.1001", "Something new")),
        (500, fault("500.002.1001", "Internal error")),
        (400, fault("500.003.02", "System is busy")),
        (500, fault("400.002.02", "Bad Request - Invalid Amount")),
        (504, fault("504.001", "Gateway timeout")),
        (502, fault("404.001.03", "Invalid Access Token")),
        (200, format!("{{\"x\": \"{}\"}}", "x".repeat(crate::BODY_LEN_MAX))),
    ];
    silences.push((200, r#"{"ResponseCode": {}, "CheckoutRequestID": 1}"#.into()));
    silences
}

#[test]
fn a_prompt_is_accepted_by_code_and_id() {
    for code in [r#""0""#, "0"] {
        let body = format!(
            r#"{{"MerchantRequestID": "29115-34620561-1", "CheckoutRequestID": "{CHECKOUT}", "ResponseCode": {code}, "ResponseDescription": "Success. Request accepted for processing", "CustomerMessage": "Success. Request accepted for processing"}}"#
        );
        let accepted = PushAnswer::Accepted { checkout: CHECKOUT.into() };
        assert_eq!(push(200, &body), accepted);
        for cut in 0..body.len() {
            assert_eq!(push(200, &body[..cut]), PushAnswer::Unknown, "cut at {cut}");
        }
    }
    let no_id = r#"{"ResponseCode": "0", "CheckoutRequestID": "a b"}"#;
    assert_eq!(push(200, no_id), PushAnswer::Unknown, "a prompt nobody can ask for");
    let twice = r#"{"ResponseCode": "0", "ResponseCode": "1", "CheckoutRequestID": "ws_CO_1"}"#;
    assert_eq!(push(200, twice), PushAnswer::Unknown);
}

#[test]
fn a_refusal_has_its_number() {
    let refused = |code| PushAnswer::Refused { code };
    assert_eq!(push(200, r#"{"ResponseCode": "17"}"#), refused(17));
    assert_eq!(push(200, r#"{"ResponseCode": 26}"#), refused(26));
    for field in ["PhoneNumber", "Amount", "CallBackURL"] {
        let body = fault("400.002.02", &format!("Bad Request - Invalid {field}"));
        assert_eq!(push(400, &body), refused(400));
    }
    assert_eq!(push(404, &fault("404.001.01", "Resource not found")), refused(404));
    assert_eq!(push(405, &fault("405.001", "Method Not Allowed")), refused(405));
    let locked =
        "Unable to lock subscriber, a transaction is already in process for the current subscriber";
    assert_eq!(push(500, &fault("500.001.1001", locked)), refused(1001));
    assert_eq!(push(500, &fault("500.001.1001", "Merchant does not exist")), refused(500));
    assert_eq!(push(500, &fault("500.001.1001", "Wrong credentials")), refused(500));
}

#[test]
fn a_token_is_refused_before_anything_has_effect() {
    let cases = [
        (404, fault("404.001.03", "Invalid Access Token")),
        (404, fault("404.001.04", "Invalid Authentication Header")),
        (400, fault("400.003.01", "Invalid Access Token")),
        (401, fault("401.002.01", "Error Occurred - Invalid Access Token")),
        (401, "<html></html>".to_owned()),
    ];
    for (status, body) in cases {
        assert_eq!(push(status, &body), PushAnswer::TokenRefused, "{body}");
        assert_eq!(query(status, &body), QueryAnswer::TokenRefused, "{body}");
    }
}

#[test]
fn what_cannot_be_read_never_means_failed() {
    for (status, body) in silences() {
        assert_eq!(push(status, &body), PushAnswer::Unknown, "{status} {body}");
        assert_eq!(query(status, &body), QueryAnswer::Unknown, "{status} {body}");
    }
}

#[test]
fn a_result_is_read_as_text_and_as_a_number() {
    let paid = "The service request is processed successfully.";
    for (code, answer) in [
        (r#""0""#, QueryAnswer::Paid),
        ("0", QueryAnswer::Paid),
        (r#""1032""#, QueryAnswer::Declined { code: 1032 }),
        ("1032", QueryAnswer::Declined { code: 1032 }),
        (r#""77""#, QueryAnswer::Declined { code: 77 }),
        (r#""SFC_IC0003""#, QueryAnswer::Unknown),
        (r#""""#, QueryAnswer::Unknown),
        ("null", QueryAnswer::Unknown),
        ("-1", QueryAnswer::Unknown),
    ] {
        assert_eq!(query(200, &result(code, paid)), answer, "{code}");
    }
}

#[test]
fn every_code_that_is_known_is_final() {
    for code in [1, 2, 3, 4, 8, 17, 26, 1001, 1019, 1025, 1032, 1037, 2001, 2028, 8006, 9999] {
        let answer = query(200, &result(&format!("\"{code}\""), "No"));
        assert_eq!(answer, QueryAnswer::Declined { code });
    }
}

#[test]
fn what_is_being_processed_is_open() {
    let open = fault("500.001.1001", "The transaction is being processed");
    assert_eq!(query(500, &open), QueryAnswer::Pending);
    assert_eq!(query(200, &result(r#""4999""#, "")), QueryAnswer::Pending);
    let still = "The transaction is still under processing";
    assert_eq!(query(200, &result("1", still)), QueryAnswer::Pending);
    assert_eq!(push(500, &open), PushAnswer::Unknown, "of a push it is no answer");
}

#[test]
fn an_answer_for_another_prompt_says_nothing() {
    let body = result(r#""0""#, "").replace(CHECKOUT, "ws_CO_another");
    assert_eq!(query(200, &body), QueryAnswer::Unknown);
    let unnamed = r#"{"ResponseCode": "0", "ResultCode": "0"}"#;
    assert_eq!(query(200, unnamed), QueryAnswer::Unknown);
    let refused =
        result(r#""1032""#, "").replace(r#""ResponseCode": "0""#, r#""ResponseCode": "1""#);
    assert_eq!(query(200, &refused), QueryAnswer::Unknown);
}
