//! Callbacks, in every shape that was seen.

use mpesa::{ACCEPTED, BODY_LEN_MAX, Callback, Unreadable};
use serde_json::{Value, json};

fn paid() -> Value {
    json!({"Body": {"stkCallback": {
        "MerchantRequestID": "29115-34620561-1",
        "CheckoutRequestID": "ws_CO_191220191020363925",
        "ResultCode": 0,
        "ResultDesc": "The service request is processed successfully.",
        "CallbackMetadata": {"Item": [
            {"Name": "Amount", "Value": 1.00},
            {"Name": "MpesaReceiptNumber", "Value": "NLJ7RT61SV"},
            {"Name": "Balance"},
            {"Name": "TransactionDate", "Value": 20_191_219_102_115_u64},
            {"Name": "PhoneNumber", "Value": 254_708_374_149_u64},
        ]},
    }}})
}

fn parse(body: &Value) -> Result<Callback, Unreadable> {
    Callback::parse(body.to_string().as_bytes())
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Callback, Unreadable> {
    let mut body = paid();
    change(&mut body["Body"]["stkCallback"]);
    parse(&body)
}

#[test]
fn a_success_says_amount_receipt_and_number() {
    let callback = parse(&paid()).unwrap();
    assert_eq!(&*callback.checkout, "ws_CO_191220191020363925");
    assert_eq!((callback.code, callback.amount_cents), (0, Some(100)));
    assert_eq!(callback.receipt.as_deref(), Some("NLJ7RT61SV"));
    assert_eq!(callback.number.as_ref().unwrap().as_str(), "254708374149");
    assert!(!format!("{callback:?}").contains("254708"));
}

#[test]
fn a_failure_has_no_metadata() {
    let failed = with(|said| {
        said["ResultCode"] = json!(1032);
        said.as_object_mut().unwrap().remove("CallbackMetadata");
    })
    .unwrap();
    assert_eq!((failed.code, failed.amount_cents), (1032, None));
    assert_eq!((failed.receipt, failed.number), (None, None));
}

#[test]
fn codes_and_values_come_as_text_too() {
    let callback = with(|said| {
        said["ResultCode"] = json!("0");
        let items = &mut said["CallbackMetadata"]["Item"];
        items[0]["Value"] = json!("1.00");
        items[4]["Value"] = json!("254708374149");
    });
    assert_eq!(callback, parse(&paid()));
}

#[test]
fn what_is_missing_is_not_said() {
    for metadata in [json!(null), json!({}), json!({"Item": null}), json!({"Item": []})] {
        let callback = with(|said| said["CallbackMetadata"] = metadata).unwrap();
        assert_eq!((callback.amount_cents, callback.receipt), (None, None));
    }
    for value in [json!("2547****4149"), json!(null), json!({}), json!(true)] {
        let callback = with(|said| {
            said["CallbackMetadata"]["Item"][1]["Value"] = value.clone();
            said["CallbackMetadata"]["Item"][4]["Value"] = value;
        })
        .unwrap();
        assert_eq!((callback.receipt, callback.number), (None, None));
        assert_eq!(callback.amount_cents, Some(100));
    }
}

#[test]
fn each_fault_of_a_callback_has_its_name() {
    let wrong = |name| Err(Unreadable::WrongField(name));
    for value in [json!(null), json!(""), json!("a b"), json!(7)] {
        assert_eq!(with(|it| it["CheckoutRequestID"] = value), wrong("CheckoutRequestID"));
    }
    for value in [json!(null), json!(-1), json!("x"), json!(1.5)] {
        assert_eq!(with(|it| it["ResultCode"] = value), wrong("ResultCode"));
    }
    for value in [json!("1,000"), json!(-1), json!(1.005), json!({})] {
        let amount = with(|it| it["CallbackMetadata"]["Item"][0]["Value"] = value);
        assert_eq!(amount, wrong("Amount"), "another amount is not as if none were said");
    }
    let many = with(|it| {
        it["CallbackMetadata"]["Item"] = json!(vec![json!({"Name": "X"}); Callback::ITEMS_MAX + 1]);
    });
    assert_eq!(many, wrong("Item"));
    let twice = with(|it| it["CallbackMetadata"]["Item"][2]["Name"] = json!("Amount"));
    assert_eq!(twice, Err(Unreadable::RepeatedItem("Amount")));
    let page = Callback::parse(b"<html></html>");
    assert_eq!(page, Err(Unreadable::Malformed));
    let named_twice = paid().to_string().replace(r#""ResultDesc""#, r#""ResultCode""#);
    assert_eq!(Callback::parse(named_twice.as_bytes()), Err(Unreadable::Malformed));
    assert_eq!(Callback::parse(&vec![b' '; BODY_LEN_MAX + 1]), Err(Unreadable::TooLong));
    let faults = [
        Unreadable::TooLong,
        Unreadable::Malformed,
        Unreadable::WrongField("Item"),
        Unreadable::RepeatedItem("Amount"),
    ];
    let codes = faults.map(Unreadable::code);
    assert_eq!(codes, ["too_long", "malformed", "wrong_field", "repeated_item"]);
}

#[test]
fn a_kept_callback_is_answered_with_a_zero() {
    let answer: Value = serde_json::from_str(ACCEPTED).unwrap();
    assert_eq!(answer["ResultCode"], 0);
}
