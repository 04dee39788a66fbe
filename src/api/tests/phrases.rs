//! What the water service says, as operators change it.

use super::scene::{Scene, other};
use super::water::assert_refused;
use crate::store::PhraseStore as _;
use axum::http::StatusCode;
use model::Tenant;
use serde_json::json;

const PHRASES: &str = "/api/v1/water/phrases";

#[tokio::test]
async fn a_language_is_added_changed_and_taken_away() {
    let scene = Scene::new().await;
    let languages =
        async || scene.call(&format!("GET {PHRASES}"), None).await.json["languages"].clone();
    assert_eq!(languages().await, json!(["en", "sw"]));
    assert_eq!(scene.call(&format!("GET {PHRASES}/fr"), None).await.code(), "no_such_phrase");
    let body = json!({ "phrases": { "language_name": "Francais", "goodbye": "Au revoir." } });
    let put = scene.call(&format!("PUT {PHRASES}/fr"), Some(body)).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    assert_eq!(put.json["changed"], json!(["goodbye", "language_name"]));
    assert_eq!(languages().await, json!(["en", "fr", "sw"]));
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*action, &*subject), ("water.phrases.put", "fr"));
    let phrases = json!({ "goodbye": "Au revoir.", "language_name": "Francais" });
    assert_eq!(detail, json!({ "phrases": phrases }));

    let one = json!({ "text": "Asante sana. Kwaheri." });
    let answer = scene.call(&format!("PUT {PHRASES}/sw/goodbye"), Some(one)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    let shown = scene.call(&format!("GET {PHRASES}/sw"), None).await.json;
    assert_eq!(
        (&shown["phrases"]["goodbye"], &shown["changed"]),
        (&json!("Asante sana. Kwaheri."), &json!(["goodbye"]))
    );
    assert!(shown["phrases"]["exit"] == "Ondoka");
    let kept = scene.engine.phrases().await.unwrap();
    assert_eq!(kept.len(), 3, "they are there after a restart");

    let stranger = scene.make_token(&other(), "admin").await;
    let theirs = scene.call_as(Some(&stranger), &format!("GET {PHRASES}"), None).await;
    assert_eq!(theirs.json["languages"], json!(["en", "sw"]));

    let gone = scene.call(&format!("DELETE {PHRASES}/sw/goodbye"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let again = scene.call(&format!("DELETE {PHRASES}/sw/goodbye"), None).await;
    assert_eq!(again.code(), "no_such_phrase");
    let gone = scene.call(&format!("DELETE {PHRASES}/fr"), None).await;
    assert_eq!((gone.status, languages().await), (StatusCode::NO_CONTENT, json!(["en", "sw"])));
    assert_eq!(scene.call(&format!("DELETE {PHRASES}/sw"), None).await.code(), "no_such_phrase");
    assert_refused(&scene.call(&format!("DELETE {PHRASES}/en"), None).await, "conflict", "English");
}

#[tokio::test]
async fn what_a_menu_could_not_show_is_refused_with_its_faults() {
    let scene = Scene::new().await;
    let put = async |key: &str, text: &str| {
        let body = json!({ "text": text });
        scene.call(&format!("PUT {PHRASES}/en/{key}"), Some(body)).await
    };
    let long = put("goodbye", &"Goodbye. ".repeat(30)).await;
    assert_eq!((long.status, long.code()), (StatusCode::UNPROCESSABLE_ENTITY, "faulty_phrases"));
    let faults = long.json["faults"].as_array().unwrap();
    assert!(!faults.is_empty() && faults[0]["line"].is_u64(), "{faults:?}");
    assert_eq!(put("goodbye", "Goodbye, {stranger}.").await.code(), "faulty_phrases");
    // One letter that GSM-7 has not leaves room for 80 characters.
    assert_eq!(put("language_name", "Français").await.code(), "faulty_phrases");
    assert_refused(&put("goodbye", "").await, "invalid_body", "is empty");
    assert_refused(&put("goodbye", "{").await, "invalid_body", "`goodbye`");
    assert_refused(&put("goodbye", &"x".repeat(2_001)).await, "invalid_body", "2000 bytes");
    assert_eq!(put("godbye", "Goodbye.").await.code(), "no_such_phrase");
    let body = json!({ "phrases": { "exit": "x" } });
    let wrong = scene.call(&format!("PUT {PHRASES}/next"), Some(body)).await;
    assert_eq!(wrong.code(), "invalid_path");
    let none = scene.call(&format!("PUT {PHRASES}/fr"), Some(json!({ "phrases": {} }))).await;
    assert_refused(&none, "invalid_body", "has none");
    let kept = scene.engine.phrases().await.unwrap();
    assert_eq!(kept, [], "nothing is kept of what was refused");
    assert!(scene.audit_len(&Tenant::default()).await == 0);
}

#[tokio::test]
async fn a_reset_brings_back_what_the_files_say() {
    let scene = Scene::new().await;
    for (language, key) in [("en", "exit"), ("sw", "exit"), ("fr", "exit")] {
        let body = json!({ "text": "Quit" });
        let answer = scene.call(&format!("PUT {PHRASES}/{language}/{key}"), Some(body)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let reset = scene.call(&format!("POST {PHRASES}/reset"), None).await;
    assert_eq!(reset.status, StatusCode::NO_CONTENT, "{reset:?}");
    for language in ["en", "sw"] {
        let shown = scene.call(&format!("GET {PHRASES}/{language}"), None).await.json;
        assert_eq!(shown["changed"], json!([]));
    }
    let kept = scene.engine.phrases().await.unwrap();
    assert_eq!(kept, []);
    assert_eq!(scene.last_audit().await.1, "water.phrases.reset");
}
