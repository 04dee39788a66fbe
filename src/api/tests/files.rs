//! Images and uploads, as operators handle them. What devices do with them is tested from outside.

use super::scene::{Answer, ROUTER, ROUTER_URL, Scene, id, other};
use crate::store::{Operation, UploadRow};
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use firmware::{FileType, Sha256};
use model::{Command, CommandId, CommandKind, CommandState, Tenant};
use serde_json::{Value, json};
use std::net::IpAddr;

/// SHA-256 of `one`.
const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";

impl Scene {
    pub(super) async fn put(&self, path: &str, content: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method("PUT")
            .uri(format!("/api/v1/images/{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .body(content.into())
            .unwrap();
        self.send(request, IpAddr::from([127, 0, 0, 1])).await
    }
}

#[tokio::test]
async fn an_image_is_put_shown_fetched_and_deleted() {
    let scene = Scene::new().await;
    let made = scene.put("fw-1.bin?model=HG8245&version=V3", "one").await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json["bytes"], 3);
    assert_eq!(made.json["sha256"], ONE);
    assert_eq!(made.json["file_type"], "1 Firmware Upgrade Image");
    let (actor, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*actor, &*action, &*subject), ("admin", "image.put", "fw-1.bin"));
    assert_eq!(detail["sha256"], ONE);

    let shown = scene.call("GET /api/v1/images/fw-1.bin", None).await;
    assert_eq!(shown.json, made.json);
    let content = scene.call("GET /api/v1/images/fw-1.bin/content", None).await;
    assert_eq!((content.status, &*content.text), (StatusCode::OK, "one"));
    assert_eq!(content.headers["content-length"], "3");
    assert_eq!(content.headers["content-type"], "application/octet-stream");

    scene.put("a.bin?file_type=3%20Vendor%20Configuration%20File", "two").await;
    let page = scene.call("GET /api/v1/images?limit=1", None).await;
    assert_eq!(page.json["items"][0]["file_type"], "3 Vendor Configuration File");
    let next = page.json["next"].as_str().unwrap();
    let page = scene.call(&format!("GET /api/v1/images?limit=1&cursor={next}"), None).await;
    assert_eq!(page.json["items"], json!([made.json]));
    assert_eq!(page.json["next"], Value::Null);

    let gone = scene.call("DELETE /api/v1/images/fw-1.bin", None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let shown = scene.call("GET /api/v1/images/fw-1.bin", None).await;
    assert_eq!(shown.code(), "no_such_image");
    let again = scene.call("DELETE /api/v1/images/fw-1.bin", None).await;
    assert_eq!(again.code(), "no_such_image");
}

#[tokio::test]
async fn an_image_has_one_content() {
    let scene = Scene::new().await;
    scene.put("fw.bin", "one").await;
    let again = scene.put(&format!("fw.bin?version=V3&sha256={ONE}"), "one").await;
    assert_eq!((again.status, &again.json["version"]), (StatusCode::OK, &json!("V3")));
    let other = scene.put("fw.bin", "two").await;
    assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "conflict"));
    let kept = scene.call("GET /api/v1/images/fw.bin/content", None).await;
    assert_eq!(kept.text, "one");
    let replaced = scene.put("fw.bin?replace=true", "two").await;
    assert_eq!(replaced.status, StatusCode::OK);
    let kept = scene.call("GET /api/v1/images/fw.bin/content", None).await;
    assert_eq!(kept.text, "two");
    let damaged = scene.put(&format!("b.bin?sha256={ONE}"), "onE").await;
    assert_eq!(damaged.code(), "invalid_body");
    assert_eq!(scene.call("GET /api/v1/images/b.bin", None).await.code(), "no_such_image");
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let scene = Scene::new().await;
    for (path, code) in [
        ("..", "invalid_path"),
        ("..%2Ffw.bin", "invalid_path"),
        (".hidden", "invalid_path"),
        ("a%20b", "invalid_path"),
        (&*"x".repeat(65), "invalid_path"),
        ("fw.bin?model=", "invalid_query"),
        ("fw.bin?file_type=%0d%0a", "invalid_query"),
        ("fw.bin?sha256=12", "invalid_query"),
        ("fw.bin?colour=red", "invalid_query"),
    ] {
        assert_eq!(scene.put(path, "one").await.code(), code, "{path}");
    }
    assert_eq!(scene.put("fw.bin", "").await.code(), "invalid_body");
    let request = Request::builder()
        .method("PUT")
        .uri("/api/v1/images/fw.bin")
        .header("authorization", format!("Bearer {}", scene.token))
        .body(Body::new(Declared(u64::MAX)))
        .unwrap();
    let answer = scene.send(request, IpAddr::from([127, 0, 0, 1])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    assert_eq!(scene.call("GET /api/v1/images", None).await.json["items"], json!([]));
}

/// A body that says it is long, and that nobody may read.
struct Declared(u64);

impl hyper::body::Body for Declared {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        panic!("a body that is too long is read");
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn an_image_that_a_command_needs_stays() {
    let scene = Scene::furnished().await;
    scene.put("fw.bin", "one").await;
    let now = scene.state.clock.now().wall;
    let command = Command {
        id: CommandId::new("01HZZZZZZZZZZZZZZZZZZZZZZZ").unwrap(),
        tenant: Tenant::default(),
        device: id(ROUTER),
        kind: CommandKind::Download { image: "fw.bin".to_owned(), delay_s: 0 },
        state: CommandState::Queued,
        cause: None,
        result: None,
        created_at: now,
        updated_at: now,
        expires_at: None,
        actor: "admin".into(),
        retry: None,
        attempts: 0,
        retry_at: None,
    };
    scene.commit(vec![Operation::CreateCommand { command, key: None }]).await;
    let refused = scene.call("DELETE /api/v1/images/fw.bin", None).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "image_in_use"));
    scene.put("other.bin", "one").await;
    let gone = scene.call("DELETE /api/v1/images/other.bin", None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn uploads_are_their_tenants_own() {
    let scene = Scene::furnished().await;
    let row = UploadRow {
        id: "01HYYYYYYYYYYYYYYYYYYYYYYY".into(),
        tenant: Tenant::default(),
        device: id(ROUTER),
        command: CommandId::new("01HZZZ").unwrap(),
        file_type: FileType::new("1 Vendor Configuration File").unwrap(),
        name: "config.xml".into(),
        bytes: 7,
        sha256: Sha256([1; 32]),
        received_at: scene.state.clock.now().wall,
    };
    scene.commit(vec![Operation::PutUpload(row.clone())]).await;
    let list = scene.call(&format!("GET {ROUTER_URL}/uploads"), None).await;
    assert_eq!(list.json["items"][0]["name"], "config.xml", "{list:?}");
    let upload = format!("/api/v1/uploads/{}", row.id);
    let shown = scene.call(&format!("GET {upload}"), None).await;
    assert_eq!(shown.json, list.json["items"][0]);

    let stranger = scene.make_token(&other(), "admin").await;
    for call in
        [format!("GET {upload}"), format!("GET {upload}/content"), format!("DELETE {upload}")]
    {
        let answer = scene.call_as(Some(&stranger), &call, None).await;
        assert_eq!(answer.code(), "no_such_upload", "{call}");
    }
    let reader = scene.make_token(&Tenant::default(), "reader").await;
    let answer = scene.call_as(Some(&reader), &format!("GET {upload}/content"), None).await;
    assert_eq!(answer.code(), "forbidden", "it holds secrets");

    let gone = scene.call(&format!("DELETE {upload}"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let (_, action, subject, detail) = scene.last_audit().await;
    assert_eq!((&*action, &*subject), ("upload.delete", &*row.id));
    assert_eq!(detail["device"], ROUTER);
    assert_eq!(scene.call(&format!("DELETE {upload}"), None).await.code(), "no_such_upload");
}
