//! The index finds what comparing with every filter finds.

use super::*;
use crate::exchange::index::{Entry, Index, UNLIMITED};
use proptest::prelude::*;
use proptest::sample::select;

fn level() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "boards", "down", "", "$x"])
}

fn topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(level(), 1..6);
    levels.prop_map(|levels| levels.join("/")).prop_filter("empty", |topic| !topic.is_empty())
}

fn any_filter() -> impl Strategy<Value = String> {
    let wild = prop_oneof![3 => level(), 1 => Just("+")];
    let levels = (prop::collection::vec(wild, 0..5), any::<bool>());
    let joined = levels.prop_map(|(mut levels, rest)| {
        if rest {
            levels.push("#");
        }
        levels.join("/")
    });
    joined.prop_filter("empty", |filter| !filter.is_empty())
}

fn session(number: u64) -> Arc<Session> {
    let key = (Tenant::default(), board(&format!("b{number}")), "c".into());
    Session::new(number, key, false)
}

proptest! {
    #[test]
    fn finds_what_the_naive_matcher_finds(
        filters in prop::collection::vec((any_filter(), prop::collection::vec(any_filter(), 1..3)), 0..40),
        topics in prop::collection::vec(topic(), 1..20),
        removed in any::<u64>(),
    ) {
        let mut index = Index::default();
        let entry = |number: usize, (text, readable): &(String, Vec<String>)| {
            let readable: Arc<[Filter]> = readable.iter().map(|it| scene::filter(it)).collect();
            Entry::new(&session(number as u64), text, (1, false), &readable).unwrap()
        };
        for (number, subscribed) in filters.iter().enumerate() {
            index.insert(entry(number, subscribed));
        }
        let is_removed = |number: usize| removed >> (number % 64) & 1 == 1;
        for (number, subscribed) in filters.iter().enumerate() {
            if is_removed(number) {
                index.remove(&entry(number, subscribed));
            }
        }
        for topic in &topics {
            let mut found = Vec::new();
            index.find(topic, &mut found);
            let mut found: Vec<_> = found.iter().map(|entry| entry.session.number).collect();
            found.sort_unstable();
            found.dedup();
            let parsed = ::mqtt::Topic::parse(topic, UNLIMITED).unwrap();
            let matches = |text: &String| scene::filter(text).matches(parsed);
            let naive = filters.iter().enumerate().filter(|(number, (text, readable))| {
                !is_removed(*number) && matches(text) && readable.iter().any(matches)
            });
            let naive: Vec<_> = naive.map(|(number, _)| number as u64).collect();
            prop_assert_eq!(found, naive, "{}", topic);
        }
        for (number, subscribed) in filters.iter().enumerate() {
            index.remove(&entry(number, subscribed));
        }
        prop_assert!(index.is_empty());
    }
}

#[test]
fn a_look_says_what_the_message_says() {
    use crate::exchange::peek::peek;
    for data in [
        r#"{"topic":"a/b","qos":1,"text":"x"}"#,
        r#"{"topic":"a/b","qos":0,"retain":true,"text":"x"}"#,
        r#"{"topic":"a\"b","qos":2,"retain":true,"text":"x"}"#,
        r#"{"qos":1,"topic":"a","retain":true,"payload":{"topic":"no"}}"#,
        r#"{"topic":"a","qos":1,"cause":"lost","text":"\"retain\":true"}"#,
    ] {
        let event = Event { data: Json::from_stored(data.into()), ..event("a=b") };
        let (peek, message) = (peek(&event).unwrap(), message_of(&event).unwrap());
        assert_eq!((&*peek.topic, peek.retain), (&*message.topic, message.retain), "{data}");
    }
    let other = Event { kind: EventType::DEVICE_CONNECTED, ..event("a=b") };
    assert!(peek(&other).is_none());
}
