//! Topics and access control against a naive oracle, on generated names.

use mqtt::{Acl, Filter, Topic, TopicLimits};
use proptest::prelude::*;

const LIMITS: TopicLimits = TopicLimits { len_max: 1024, levels_max: 32 };

/// Level by level, by recursion, straight from 4.7.
fn oracle(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", rest @ ..], [_, names @ ..]) => oracle(rest, names),
        ([wanted, rest @ ..], [name, names @ ..]) => wanted == name && oracle(rest, names),
        _ => false,
    }
}

fn matches_by_oracle(filter: &str, topic: &str) -> bool {
    let filter_levels: Vec<_> = filter.split('/').collect();
    let topic_levels: Vec<_> = topic.split('/').collect();
    let hidden = topic.starts_with('$') && matches!(filter_levels[0], "#" | "+");
    !hidden && oracle(&filter_levels, &topic_levels)
}

/// Short words of a small alphabet, so that generated names meet.
fn topic_text() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["", "a", "b", "own", "alias", "other", "$S", "é"]);
    prop::collection::vec(level, 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |it| !it.is_empty())
}

fn filter_text() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["", "a", "b", "own", "alias", "other", "$S", "+", "é"]);
    (prop::collection::vec(level, 0..4), any::<bool>())
        .prop_map(|(levels, rest)| {
            let levels = levels.into_iter().chain(rest.then_some("#"));
            levels.collect::<Vec<_>>().join("/")
        })
        .prop_filter("empty", |it| !it.is_empty())
}

fn template_text() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["", "a", "b", "{device}", "+", "$S"]);
    (prop::collection::vec(level, 0..4), any::<bool>())
        .prop_map(|(levels, rest)| {
            let levels = levels.into_iter().chain(rest.then_some("#"));
            levels.collect::<Vec<_>>().join("/")
        })
        .prop_filter("empty", |it| !it.is_empty())
}

/// What a template means for a device of these names: one plain filter per name.
fn spelled_out(template: &str, names: &[Box<str>]) -> Vec<String> {
    names.iter().map(|name| template.replace("{device}", name)).collect()
}

proptest! {
    #[test]
    fn matching_agrees_with_the_oracle(filter in filter_text(), topic in topic_text()) {
        let parsed = Filter::parse(&filter, LIMITS).unwrap();
        let name = Topic::parse(&topic, LIMITS).unwrap();
        prop_assert_eq!(parsed.matches(name), matches_by_oracle(&filter, &topic));
        // Theirs panics when the first character is not ASCII, and never matches `$`.
        if topic.is_ascii() && !topic.starts_with('$') {
            prop_assert_eq!(parsed.matches(name), rumqttc::matches(&topic, &filter));
        }
    }

    #[test]
    fn access_agrees_with_the_oracle(template in template_text(), topic in topic_text()) {
        // Two names each in a place of their own would need a mixed spelling: leave those out.
        if template.matches("{device}").count() > 1 {
            return Ok(());
        }
        let names: Vec<Box<str>> = vec!["own".into(), "alias".into()];
        let acl = Acl::new([&*template], [&*template]).unwrap();
        let name = Topic::parse(&topic, LIMITS).unwrap();
        let expected =
            spelled_out(&template, &names).iter().any(|filter| matches_by_oracle(filter, &topic));
        prop_assert_eq!(acl.may_publish(name, &names), expected);
        prop_assert_eq!(acl.may_read(name, &names), expected);
    }

    /// A granted filter shares a topic with the template, a refused one shares none.
    #[test]
    fn overlap_agrees_with_the_oracle(template in template_text(), filter in filter_text()) {
        // `/#` takes the level above it: the empty topic, which nobody can publish to.
        if template == "/#" || filter == "/#" {
            return Ok(());
        }
        let names: Vec<Box<str>> = vec!["own".into(), "alias".into()];
        let acl = Acl::new([], [&*template]).unwrap();
        let granted = acl.may_subscribe(&Filter::parse(&filter, LIMITS).unwrap(), &names);
        // Of the topics up to five levels of the alphabet, those built from either text suffice:
        // fill every wildcard of both with every word.
        let shared = witnesses(&template, &filter).into_iter().any(|topic| {
            Topic::parse(&topic, LIMITS).is_ok_and(|name| {
                acl.may_read(name, &names) && matches_by_oracle(&filter, &topic)
            })
        });
        prop_assert_eq!(granted, shared);
    }
}

/// Topics that would show an overlap: level by level, what either text says there.
fn witnesses(template: &str, filter: &str) -> Vec<String> {
    let levels = |text: &str| -> Vec<String> {
        text.trim_end_matches('#').split('/').map(str::to_owned).collect()
    };
    let (ours, theirs) = (levels(template), levels(filter));
    let mut found = Vec::new();
    for depth in 1..=5 {
        let mut topics = vec![Vec::<String>::new()];
        for index in 0..depth {
            let mut words: Vec<String> = vec!["own".into(), "alias".into(), "a".into()];
            for level in [ours.get(index), theirs.get(index)].into_iter().flatten() {
                if level != "+" && level != "{device}" && !words.contains(level) {
                    words.push(level.clone());
                }
            }
            let longer = topics.iter().flat_map(|topic| {
                words.iter().map(|word| [&**topic, std::slice::from_ref(word)].concat())
            });
            topics = longer.collect();
        }
        found.extend(topics.into_iter().map(|topic| topic.join("/")));
    }
    found
}

#[test]
fn the_board_template_is_closed_by_default() {
    let acl = Acl::board();
    let names: Vec<Box<str>> = vec!["own".into()];
    let topic = |text| Topic::parse(text, LIMITS).unwrap();
    for (name, publish, read) in [
        ("boards/own/up/t", true, false),
        ("boards/own/up", true, false),
        ("boards/own/down/t", false, true),
        ("boards/own", false, false),
        ("boards/other/up/t", false, false),
        ("boards/own/upper", false, false),
        ("customer_mngt", true, false),
        ("customer_mngt/own", false, false),
        ("boards/{device}/up/t", false, false),
    ] {
        assert_eq!(acl.may_publish(topic(name), &names), publish, "{name}");
        assert_eq!(acl.may_read(topic(name), &names), read, "{name}");
    }
    assert!(!acl.may_publish(topic("boards//up/t"), &[]), "no name, no topic");
    assert!(!Acl::default().may_publish(topic("a"), &names));
}

#[test]
fn what_is_denied_is_cut_out() {
    let acl = Acl::open().denying(["test/nosubscribe", "secret/#", "+/private"]).unwrap();
    let topic = |text| Topic::parse(text, LIMITS).unwrap();
    for (name, allowed) in [
        ("test/nosubscribe", false),
        ("test/nosubscribe/x", true),
        ("secret", false),
        ("secret/x", false),
        ("a/private", false),
        ("a", true),
    ] {
        assert_eq!(acl.may_publish(topic(name), &[]), allowed, "{name}");
        assert_eq!(acl.may_read(topic(name), &[]), allowed, "{name}");
    }
    let filter = |text| Filter::parse(text, LIMITS).unwrap();
    for (text, granted) in [
        ("#", true),
        ("test/+", true),
        ("test/nosubscribe", false),
        ("test/nosubscribe/#", true),
        ("secret/#", false),
        ("secret/+/x", false),
        ("+/private", false),
        ("a/private", false),
        ("+/private/#", true),
    ] {
        assert_eq!(acl.may_subscribe(&filter(text), &[]), granted, "{text}");
    }
    let program = Acl::open().denying(["#"]).unwrap().for_program();
    assert!(!program.may_publish(topic("$a/b"), &[]), "all is denied, `$` names too");
}

#[test]
fn a_client_id_stands_for_itself() {
    let acl = Acl::new(["clients/{client_id}/#"], ["boards/{device}/+"]).unwrap();
    let names: Vec<Box<str>> = vec!["first".into(), "alias".into()];
    let topic = |text| Topic::parse(text, LIMITS).unwrap();
    assert!(acl.may_publish(topic("clients/first/x"), &names));
    assert!(!acl.may_publish(topic("clients/alias/x"), &names));
    assert!(acl.may_read(topic("boards/alias/x"), &names));
}

#[test]
fn a_response_topic_is_below_what_may_be_read() {
    let names: Vec<Box<str>> = vec!["own".into()];
    let prefix = |filter| Acl::new([], [filter]).unwrap().response_prefix(&names);
    assert_eq!(prefix("boards/{device}/down/#").as_deref(), Some("boards/own/down/"));
    assert_eq!(prefix("a/{client_id}/#").as_deref(), Some("a/own/"));
    for nothing in ["#", "a/+/b/#", "a/b"] {
        assert_eq!(prefix(nothing), None, "{nothing}");
    }
    assert_eq!(Acl::default().response_prefix(&names), None);
}

#[test]
fn braces_mean_one_thing() {
    use mqtt::{AclError, TopicError};
    for bad in ["boards/{device}x", "{imei}/a", "a/}", "{"] {
        assert_eq!(Acl::new([bad], []), Err(AclError::Placeholder), "{bad}");
    }
    assert_eq!(Acl::new(["a/#/b"], []), Err(AclError::Filter(TopicError::Wildcard)));
    assert_eq!(Acl::new(vec!["a"; 101], []), Err(AclError::TooMany));
}
