//! Who wants no texts that are not answers.

use super::scene::{Scene, other};
use axum::http::StatusCode;
use model::{DeviceId, Tenant};
use serde_json::json;

const ALL: &str = "/api/v1/sms/opt-outs";

fn phone(number: u32) -> String {
    format!("+2547110000{number:02}")
}

#[tokio::test]
async fn a_wish_is_kept_shown_and_taken_back() {
    let scene = Scene::new().await;
    let one = format!("{ALL}/{}", phone(1));
    assert_eq!(scene.call(&format!("GET {one}"), None).await.code(), "no_such_opt_out");
    let put = scene.call(&format!("PUT {one}"), None).await;
    assert_eq!((put.status, &put.json["phone_number"]), (StatusCode::OK, &json!(phone(1))));
    let (actor, action, subject, _) = scene.last_audit().await;
    let number = format!("msisdn:{}", phone(1));
    assert_eq!((&*actor, &*action, subject), ("admin", "sms.opt_out.put", number));
    let again = scene.call(&format!("PUT {one}"), None).await;
    assert_eq!(again.json, put.json, "it stands since the first time");
    assert_eq!(scene.call(&format!("GET {one}"), None).await.json, put.json);
    // What sends texts asks the same rows.
    let (tenant, device) = (Tenant::default(), DeviceId::msisdn(&phone(1)).unwrap());
    let out = scene.state.sms_store.opted_out(&tenant, std::slice::from_ref(&device)).await;
    assert!(out.unwrap().contains(&device));

    let encoded = format!("{ALL}/%2B254711000001");
    let deleted = scene.call(&format!("DELETE {encoded}"), None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(scene.last_audit().await.1, "sms.opt_out.delete");
    assert_eq!(scene.call(&format!("DELETE {one}"), None).await.code(), "no_such_opt_out");
    let wrong = scene.call(&format!("PUT {ALL}/0711000001"), None).await;
    assert_eq!(wrong.code(), "invalid_path", "{wrong:?}");
}

#[tokio::test]
async fn numbers_are_listed_page_by_page_and_each_tenants_alone() {
    let scene = Scene::new().await;
    for number in [3, 1, 5, 2, 4] {
        scene.call(&format!("PUT {ALL}/{}", phone(number)), None).await;
    }
    let stranger = scene.make_token(&other(), "admin").await;
    let as_stranger = async |call: &str| scene.call_as(Some(&stranger), call, None).await;
    assert_eq!(as_stranger(&format!("PUT {ALL}/{}", phone(9))).await.status, StatusCode::OK);
    let theirs = as_stranger(&format!("GET {ALL}")).await.json;
    assert_eq!(theirs["items"].as_array().unwrap().len(), 1);
    let hidden = as_stranger(&format!("DELETE {ALL}/{}", phone(1))).await;
    assert_eq!(hidden.code(), "no_such_opt_out");

    let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = scene.call(&format!("GET {ALL}?limit=2{next}"), None).await.json;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|it| it["phone_number"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!((seen, pages), ([1, 2, 3, 4, 5].map(phone).to_vec(), 3));
}

#[tokio::test]
async fn a_reader_changes_no_wish() {
    let scene = Scene::new().await;
    let reader = scene.make_token(&Tenant::default(), "reader").await;
    let one = format!("{ALL}/{}", phone(1));
    for call in ["PUT", "DELETE"] {
        let refused = scene.call_as(Some(&reader), &format!("{call} {one}"), None).await;
        assert_eq!(refused.code(), "forbidden", "{call}");
    }
    let listed = scene.call_as(Some(&reader), &format!("GET {ALL}"), None).await;
    assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
}
