//! Any bytes at all, and what may be concluded from them.

use super::{account, form, notified};
use proptest::prelude::*;
use serde_json::json;
use sms::{AfricasTalking, Answer, Api, Cause, Notified, Outcome, Provider, Twilio};
use std::collections::BTreeSet;

const NUMBERS: [&str; 2] = ["+254711000001", "+254711000002"];

fn providers() -> [Box<dyn Provider>; 3] {
    let of = |api| Box::new(AfricasTalking::new(account("u", Some("s")), api));
    [of(Api::Classic), of(Api::Bulk), Box::new(Twilio::new(account("AC1", Some("s"))))]
}

/// Answers of the names that count, with values of every kind.
fn answer() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        json!(101),
        json!("101"),
        json!(403),
        json!(-1),
        json!("queued"),
        json!("failed"),
        json!("SM1"),
        json!("None"),
        json!("InvalidSenderId"),
        json!("+254711000001"),
        json!("+254711000002"),
        json!(21_211),
        json!(20_429),
        json!(null),
        json!({}),
        json!([0]),
        json!(1.5),
        json!(true),
    ]);
    let names =
        prop::sample::select(vec!["statusCode", "number", "messageId", "sid", "status", "code"]);
    let object = prop::collection::btree_map(names, value.clone(), 0..6);
    (object.clone(), prop::collection::vec(object, 0..3), value).prop_map(
        |(flat, each, message)| {
            let mut whole = json!(flat);
            whole["SMSMessageData"] = json!({"Message": message, "Recipients": each});
            whole.to_string()
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_say_nothing(
        status in any::<u16>(),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        for provider in providers() {
            let numbers = &NUMBERS[..provider.numbers_max().min(2)];
            match provider.read(status, &body, numbers) {
                Answer::Each(each) => {
                    prop_assert_eq!(each.len(), numbers.len());
                    let is_refused = |it: &Outcome| *it == Outcome::Refused(Cause::Request);
                    let said = |it: &Outcome| *it == Outcome::Unknown || (400..500).contains(&status) && is_refused(it);
                    prop_assert!(each.iter().all(said));
                }
                Answer::NotTaken(_) => prop_assert!((400..500).contains(&status)),
            }
            let _ = provider.notice(&Notified { url: "https://a/b", signature: Some("AAAA"), body: &body });
        }
    }

    #[test]
    fn nothing_is_concluded_without_its_evidence(
        status in prop::sample::select(vec![200_u16, 201, 400, 401, 403, 404, 429, 500, 503]),
        body in answer(),
    ) {
        for provider in providers() {
            let numbers = &NUMBERS[..provider.numbers_max().min(2)];
            let Answer::Each(each) = provider.read(status, body.as_bytes(), numbers) else {
                // A success says for each what came of it.
                prop_assert!((400..500).contains(&status));
                continue;
            };
            prop_assert_eq!(each.len(), numbers.len());
            for outcome in each {
                match outcome {
                    Outcome::Taken { .. } => prop_assert!(status < 300),
                    Outcome::Refused(_) | Outcome::Later(_) => prop_assert!(status < 500),
                    Outcome::Unknown => {}
                }
            }
        }
    }

    #[test]
    fn a_text_arrives_as_it_was_written(text in "\\PC{0,200}") {
        for provider in providers() {
            let call = provider.call(&text, &NUMBERS[..1], None);
            let body = call.body.expose();
            let written = match serde_json::from_str::<serde_json::Value>(body) {
                Ok(json) => json["message"].as_str().map(str::to_owned),
                Err(_) => form(body).into_iter().find(|(name, _)| name == "message" || name == "Body").map(|(_, it)| it),
            };
            prop_assert_eq!(written.as_deref(), Some(text.as_str()));
        }
    }

    #[test]
    fn a_notice_of_any_fields_is_read_or_refused(
        fields in prop::collection::vec(("[a-zA-Z]{1,12}|status|id|from|text|senderId|phoneNumber", "[ -~]{0,20}"), 0..8),
    ) {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let notice = AfricasTalking::new(account("u", None), Api::Bulk).notice(&notified(&body.join("&")));
        if let Err(error) = notice {
            prop_assert!(!error.code().is_empty());
        }
    }
}

#[test]
fn each_cause_has_a_word_of_its_own() {
    let words: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
    assert_eq!(words.len(), Cause::ALL.len());
    let names: BTreeSet<_> = providers().iter().map(|it| it.name()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["africas_talking", "twilio"]);
}
