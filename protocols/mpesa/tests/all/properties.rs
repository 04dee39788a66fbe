//! Any bytes at all, and what may be concluded from them.

use jiff::Timestamp;
use mpesa::{Callback, PushAnswer, QueryAnswer, Token};
use proptest::prelude::*;
use serde_json::json;

const NOW: Timestamp = Timestamp::constant(1_576_740_075, 0);

/// JSON of the names that count, with values of every kind.
fn object() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "ResponseCode",
        "ResultCode",
        "ResultDesc",
        "CheckoutRequestID",
        "MerchantRequestID",
        "errorCode",
        "errorMessage",
        "access_token",
        "expires_in",
    ]);
    let values = prop::sample::select(vec![
        json!(0),
        json!("0"),
        json!("1032"),
        json!(1),
        json!("ws_CO_1"),
        json!("500.001.1001"),
        json!("400.002.02"),
        json!("404.001.03"),
        json!("The transaction is being processed"),
        json!(null),
        json!({}),
        json!([0]),
        json!(true),
        json!("3599"),
        json!("4999"),
    ]);
    prop::collection::vec((names, values), 0..7).prop_map(|fields| {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_say_nothing(
        status in any::<u16>(),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = Token::read(status, &body, NOW);
        let _ = Callback::parse(&body);
        let push = PushAnswer::read(status, &body);
        prop_assert!(matches!(push, PushAnswer::Unknown | PushAnswer::TokenRefused));
        let query = QueryAnswer::read("ws_CO_1", status, &body);
        prop_assert!(matches!(query, QueryAnswer::Unknown | QueryAnswer::TokenRefused));
    }

    #[test]
    fn nothing_is_concluded_without_its_evidence(
        status in prop::sample::select(vec![200, 201, 400, 401, 403, 404, 405, 429, 500, 502, 503, 504]),
        body in object(),
    ) {
        let has = |text: &str| body.contains(text);
        match PushAnswer::read(status, body.as_bytes()) {
            PushAnswer::Accepted { checkout, .. } => {
                prop_assert!(status < 300 && &*checkout == "ws_CO_1" && has("\"ResponseCode\""));
            }
            PushAnswer::Refused { .. } => {
                prop_assert!(has("\"ResponseCode\"") && status < 300 || has("\"errorCode\""));
                prop_assert!(!matches!(status, 401 | 429 | 502..));
            }
            PushAnswer::TokenRefused => prop_assert!(status == 401 || has("404.001.03")),
            PushAnswer::Unknown => {}
        }
        match QueryAnswer::read("ws_CO_1", status, body.as_bytes()) {
            QueryAnswer::Paid | QueryAnswer::Declined { .. } => {
                prop_assert!(status < 300);
                prop_assert!(has("\"ResultCode\"") && has("\"CheckoutRequestID\":\"ws_CO_1\""));
            }
            QueryAnswer::Pending => prop_assert!(has("being processed") || has("4999")),
            QueryAnswer::TokenRefused => prop_assert!(status == 401 || has("404.001.03")),
            QueryAnswer::Unknown => {}
        }
    }
}
