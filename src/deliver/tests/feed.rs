//! The event stream.

use super::scene::Scene;
use crate::deliver::{Feed, FeedItem, FeedStart, Filter, Positions};
use crate::store::Position;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

async fn open(scene: &Scene, start: FeedStart) -> Feed {
    let store = Arc::clone(&scene.context.store);
    Feed::open(store, &scene.writer, Filter::default(), start).await.unwrap()
}

async fn said(feed: &mut Feed) -> (String, Positions) {
    match feed.next().await.unwrap().unwrap() {
        FeedItem::Event { event, resume } => (event.data.as_str().to_owned(), resume),
        gap @ FeedItem::Gap { .. } => panic!("{gap:?}"),
    }
}

fn after(sequence: u64) -> FeedStart {
    FeedStart::After(Positions::parse(&format!("0-{sequence}")).unwrap())
}

#[tokio::test(start_paused = true)]
async fn yields_what_is_committed_from_now_on() {
    let scene = Scene::new();
    scene.append([("a", "1")]).await;
    let mut feed = open(&scene, FeedStart::Now).await;
    assert!(timeout(Duration::from_secs(60), feed.next()).await.is_err(), "nothing yet");
    scene.append([("a", "2"), ("a", "3")]).await;
    assert_eq!(said(&mut feed).await.0, "\"2\"");
    assert_eq!(said(&mut feed).await.0, "\"3\"");
    assert!(timeout(Duration::from_secs(60), feed.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn resumes_after_the_last_event_that_was_heard() {
    let scene = Scene::new();
    let numbers: Vec<_> = (1..=1_000).map(|n| n.to_string()).collect();
    scene.append(numbers.iter().map(|n| ("a", n.as_str()))).await;
    let mut feed = open(&scene, FeedStart::Oldest).await;
    let mut heard = Vec::new();
    let mut resume = Positions::default();
    for _ in 0..700 {
        let (data, at) = said(&mut feed).await;
        (heard, resume) = ([heard, vec![data]].concat(), at);
    }
    assert_eq!(resume.to_string(), "0-700", "not where reading is, but what was heard");
    let resume = Positions::parse(&resume.to_string()).unwrap();
    let mut feed = open(&scene, FeedStart::After(resume)).await;
    for _ in 0..300 {
        heard.push(said(&mut feed).await.0);
    }
    let expected: Vec<_> = numbers.iter().map(|n| format!("\"{n}\"")).collect();
    assert_eq!(heard, expected);
}

#[tokio::test(start_paused = true)]
async fn tells_of_what_was_trimmed() {
    let scene = Scene::new();
    scene.append((0..10).map(|_| ("a", "x"))).await;
    let store = Arc::clone(&scene.context.store);
    let to = Position { shard: 0, sequence: 6 };
    store.trim(to, Timestamp::MAX, 100).await.unwrap();
    let mut feed = open(&scene, after(3)).await;
    let first = feed.next().await.unwrap().unwrap();
    assert!(matches!(first, FeedItem::Gap { after } if after.sequence == 3), "{first:?}");
    assert_eq!(said(&mut feed).await.1.to_string(), "0-7");
    // Who has the last trimmed one misses nothing; who starts with the oldest neither.
    assert_eq!(said(&mut open(&scene, after(6)).await).await.1.to_string(), "0-7");
    assert_eq!(said(&mut open(&scene, FeedStart::Oldest).await).await.1.to_string(), "0-7");
    // Who is ahead of all there is comes from another store.
    let mut feed = open(&scene, after(99)).await;
    let first = feed.next().await.unwrap().unwrap();
    assert!(matches!(first, FeedItem::Gap { after } if after.sequence == 99), "{first:?}");
    assert_eq!(said(&mut feed).await.1.to_string(), "0-7");
}

#[tokio::test(start_paused = true)]
async fn leaves_out_what_is_not_wanted_and_ends_with_the_writer() {
    let mut scene = Scene::new();
    scene.append([("a", "1")]).await;
    let filter = Filter::new(["lastmile.device.*"], []).unwrap();
    let store = Arc::clone(&scene.context.store);
    let feed = Feed::open(store, &scene.writer, filter, FeedStart::Oldest).await.unwrap();
    scene = Scene::over(scene.store);
    // The writer's last handles went with the scene.
    let items: Vec<_> = feed.into_stream().collect().await;
    assert!(items.is_empty());
    drop(scene);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_event_is_a_gap() {
    let scene = Scene::new();
    scene.append([("a", "1"), ("a", "2"), ("a", "3")]).await;
    scene.store.kept().damaged = Some(2);
    let mut feed = open(&scene, FeedStart::Oldest).await;
    assert_eq!(said(&mut feed).await.0, "\"1\"");
    let gap = feed.next().await.unwrap().unwrap();
    assert!(matches!(gap, FeedItem::Gap { after } if after.sequence == 1), "{gap:?}");
    assert_eq!(said(&mut feed).await.0, "\"3\"");
}
