//! The stream of events: begun, resumed, filtered, ended.

use super::super::ApiOptions;
use super::scene::{BOARD, Scene, other};
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use model::{DeviceFacts, Tenant};
use serde_json::Value;
use std::time::Duration;
use tower::ServiceExt as _;

/// An open stream.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    async fn open(scene: &Scene, token: &str, query: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder()
            .uri(format!("/api/v1/events{query}"))
            .header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = scene.app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut reader = Self { body: response.into_body(), text: String::new() };
        let hello = reader.block().await.unwrap();
        assert!(hello.contains("retry: 2000"), "{hello}");
        reader
    }

    /// The next block, up to its empty line; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = self.body.frame().await?.unwrap();
            let data = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The id and the CloudEvent of the next block.
    async fn event(&mut self) -> (String, Value) {
        let block = self.block().await.expect("another event");
        let line = |key: &str| {
            let found = block.lines().find_map(|line| line.strip_prefix(key));
            found.unwrap_or_else(|| panic!("no `{key}` in {block}")).trim().to_owned()
        };
        (line("id:"), serde_json::from_str(&line("data:")).unwrap())
    }
}

async fn meet(scene: &Scene, tenant: &Tenant) {
    scene.meet(tenant, BOARD, DeviceFacts::default()).await;
}

#[tokio::test]
async fn events_come_as_they_happen_and_the_stream_is_resumed() {
    let scene = Scene::new().await;
    let mine = Tenant::default();
    meet(&scene, &mine).await;
    let mut reader = Reader::open(&scene, &scene.token, "", None).await;
    meet(&scene, &mine).await;
    meet(&scene, &other()).await;
    meet(&scene, &mine).await;
    let (id, event) = reader.event().await;
    assert_eq!((event["id"].as_str(), event["specversion"].as_str()), (Some("0-2"), Some("1.0")));
    assert_eq!(event["type"], "lastmile.device.bootstrapped");
    assert_eq!((&event["subject"], &event["source"]), (&BOARD.into(), &"/lastmile/test".into()));
    assert_eq!(event["tenant"], "default");
    let (_, event) = reader.event().await;
    assert_eq!(event["id"], "0-4", "what happens to another tenant is not told");
    drop(reader);

    let mut resumed = Reader::open(&scene, &scene.token, "", Some(&id)).await;
    assert_eq!(resumed.event().await.1["id"], "0-4");
    let mut by_query = Reader::open(&scene, &scene.token, &format!("?after={id}"), None).await;
    assert_eq!(by_query.event().await.1["id"], "0-4");
    let mut oldest = Reader::open(&scene, &scene.token, "?after=oldest", None).await;
    assert_eq!(oldest.event().await.1["id"], "0-1");
}

#[tokio::test]
async fn a_place_that_is_gone_is_told() {
    let scene = Scene::new().await;
    meet(&scene, &Tenant::default()).await;
    // Ahead of all there is: the listener comes from another store.
    let mut reader = Reader::open(&scene, &scene.token, "", Some("0-99")).await;
    let gap = reader.block().await.unwrap();
    assert_eq!(gap, "event: gap\ndata: {\"after\":\"0-99\"}");
    assert_eq!(reader.event().await.1["id"], "0-1");
}

#[tokio::test]
async fn only_the_types_that_are_asked_for() {
    let scene = Scene::new().await;
    meet(&scene, &Tenant::default()).await;
    let query = "?after=oldest&types=lastmile.ussd.*,lastmile.device.bootstrapped";
    let mut wanted = Reader::open(&scene, &scene.token, query, None).await;
    assert_eq!(wanted.event().await.1["id"], "0-1");
    let query = "?after=oldest&types=lastmile.ussd.*";
    let mut unwanted = Reader::open(&scene, &scene.token, query, None).await;
    scene.state.stop.cancel();
    assert_eq!(unwanted.block().await, None);
    for query in ["types=A", "types=", "after=x", "after=0-1,", "since=1"] {
        let answer = scene.call(&format!("GET /api/v1/events?{query}"), None).await;
        assert_eq!(answer.code(), "invalid_query", "{query}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_daemon() {
    let scene = Scene::new().await;
    let reader_token = scene.make_token(&Tenant::default(), "reader").await;
    let mut revoked = Reader::open(&scene, &reader_token, "", None).await;
    let mut stopped = Reader::open(&scene, &scene.token, "", None).await;
    assert_eq!(scene.state.metrics.streams.get(), 2);
    scene.call("DELETE /api/v1/tokens/reader", None).await;
    assert_eq!(revoked.block().await, None);
    scene.state.stop.cancel();
    assert_eq!(stopped.block().await, None);
    drop((revoked, stopped));
    assert_eq!(scene.state.metrics.streams.get(), 0);
}

#[tokio::test]
async fn only_so_many_streams_and_a_closed_one_makes_room() {
    let options = ApiOptions { streams_max: 1, ..ApiOptions::default() };
    let scene = Scene::bounded(options).await;
    let reader = Reader::open(&scene, &scene.token, "", None).await;
    let refused = scene.call("GET /api/v1/events", None).await;
    assert_eq!(refused.code(), "too_many_streams");
    assert!(refused.headers.contains_key("retry-after"));
    drop(reader);
    Reader::open(&scene, &scene.token, "", None).await;
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_lives() {
    let options = ApiOptions { keep_alive: Duration::from_secs(5), ..ApiOptions::default() };
    let scene = Scene::bounded(options).await;
    let mut reader = Reader::open(&scene, &scene.token, "", None).await;
    // Only now: the store's threads do not know of virtual time.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let comment = reader.block().await.unwrap();
    assert!(comment.starts_with(':'), "{comment}");
    assert!(before.elapsed() >= Duration::from_secs(5));
}
