//! The three requests, byte for byte.

use jiff::Timestamp;
use model::Redacted;
use mpesa::{Account, AccountFields, Call, Number, Order, OrderError, Token, TransactionType};
use serde_json::{Value, json};

/// 2019-12-19 10:21:15 in Nairobi, 07:21:15 in UTC.
const NOW: Timestamp = Timestamp::constant(1_576_740_075, 0);

fn account(transaction_type: TransactionType) -> Account {
    Account::new(&AccountFields {
        consumer_key: "key",
        consumer_secret: Redacted("secret"),
        passkey: Redacted("bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"),
        short_code: "174379",
        till: Some("600123"),
        transaction_type,
        callback_url: Redacted("https://gateway.example/payments/mpesa/s"),
    })
    .unwrap()
}

fn token() -> Token {
    Token::read(200, br#"{"access_token": "t0ken", "expires_in": "3599"}"#, NOW).unwrap()
}

fn order() -> Order {
    Order::new(Number::parse("254708374149").unwrap(), 1, "LOD1", "Water").unwrap()
}

fn header<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.headers.iter().find(|it| it.0 == name).map(|it| it.1.expose().as_str())
}

#[test]
fn a_token_is_asked_for_with_key_and_secret() {
    let call = account(TransactionType::PayBill).token_call();
    assert_eq!(
        (call.method, call.path),
        ("GET", "/oauth/v1/generate?grant_type=client_credentials")
    );
    // base64 of `key:secret`.
    assert_eq!(header(&call, "authorization"), Some("Basic a2V5OnNlY3JldA=="));
    assert!(call.body.expose().is_empty());
}

#[test]
fn a_prompt_s_request_has_every_field() {
    let call = account(TransactionType::PayBill).push_call(&token(), &order(), NOW);
    assert_eq!((call.method, call.path), ("POST", "/mpesa/stkpush/v1/processrequest"));
    assert_eq!(header(&call, "authorization"), Some("Bearer t0ken"));
    assert_eq!(header(&call, "content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(call.body.expose()).unwrap();
    let wanted = json!({
        "BusinessShortCode": "174379",
        "Password": "MTc0Mzc5YmZiMjc5ZjlhYTliZGJjZjE1OGU5N2RkNzFhNDY3Y2QyZTBjODkzMDU5YjEwZjc4ZTZiNzJhZGExZWQyYzkxOTIwMTkxMjE5MTAyMTE1",
        "Timestamp": "20191219102115",
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 1,
        "PartyA": "254708374149",
        "PartyB": "174379",
        "PhoneNumber": "254708374149",
        "CallBackURL": "https://gateway.example/payments/mpesa/s",
        "AccountReference": "LOD1",
        "TransactionDesc": "Water",
    });
    assert_eq!(body, wanted);
}

#[test]
fn at_a_till_the_till_is_paid() {
    let call = account(TransactionType::BuyGoods).push_call(&token(), &order(), NOW);
    let body: Value = serde_json::from_str(call.body.expose()).unwrap();
    assert_eq!(body["TransactionType"], "CustomerBuyGoodsOnline");
    assert_eq!((&body["BusinessShortCode"], &body["PartyB"]), (&json!("174379"), &json!("600123")));
}

#[test]
fn a_query_names_the_prompt() {
    let call = account(TransactionType::PayBill).query_call(&token(), "ws_CO_1", NOW);
    assert_eq!((call.method, call.path), ("POST", "/mpesa/stkpushquery/v1/query"));
    let body: Value = serde_json::from_str(call.body.expose()).unwrap();
    assert_eq!(body["CheckoutRequestID"], "ws_CO_1");
    assert_eq!(body["Timestamp"], "20191219102115");
    assert_eq!(body.as_object().unwrap().len(), 4);
}

#[test]
fn the_time_is_nairobi_s_on_either_side_of_midnight() {
    for (now, stamp) in [
        ("2026-11-20T20:59:59Z", "20261120235959"),
        ("2026-11-20T21:00:00Z", "20261121000000"),
        ("2026-12-31T21:00:00.999Z", "20270101000000"),
    ] {
        let now = now.parse().unwrap();
        let call = account(TransactionType::PayBill).query_call(&token(), "ws_CO_1", now);
        let body: Value = serde_json::from_str(call.body.expose()).unwrap();
        assert_eq!(body["Timestamp"], stamp);
    }
}

#[test]
fn an_order_has_its_bounds() {
    let order = |amount, reference, description| {
        let number = Number::parse("254708374149").unwrap();
        Order::new(number, amount, reference, description).map(|_| ())
    };
    assert_eq!(order(1, "A2345678-012", "Water 5678901"), Ok(()));
    assert_eq!(order(0, "A", "W"), Err(OrderError::Amount));
    for reference in ["", " ", "A234567890123", "a/b", "ü"] {
        assert_eq!(order(1, reference, "W"), Err(OrderError::Reference), "{reference}");
    }
    for description in ["", "Water 56789012", "<b>"] {
        assert_eq!(order(1, "A", description), Err(OrderError::Description), "{description}");
    }
}

#[test]
fn no_request_is_printed() {
    let account = account(TransactionType::PayBill);
    let printed = format!(
        "{:?}{:?}{:?}{:?}",
        account.token_call(),
        account.push_call(&token(), &order(), NOW),
        order(),
        account,
    );
    for secret in ["254708374149", "t0ken", "a2V5", "MTc0", "/payments/mpesa/s", "bfb279"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
