//! The scanner beside a general reader of XML: what both read, they read alike.

use super::scanner::{Scanner, Token};
use super::text::meant;
use super::{is_forbidden, local_name};
use crate::DecodeError;
use proptest::prelude::*;
use quick_xml::events::Event;
use std::borrow::Cow;

/// What is seen of a document up to the end of its own element, in one line. Of attributes that are
/// not well-formed each reader makes what it likes.
fn ours(text: &str, attributes: bool) -> Result<String, DecodeError> {
    let mut scanner = Scanner::new(text);
    let mut seen = String::new();
    loop {
        match scanner.token()? {
            Token::Start => {
                let element = scanner.element();
                seen.push_str(&format!("<{}", element.name()));
                element.attribute(|name, value| {
                    if attributes {
                        seen.push_str(&format!(" {name}={value}"));
                    }
                    None::<()>
                });
                seen.push('>');
            }
            Token::Text if scanner.depth() == 0 => {}
            Token::Text => {
                let piece = scanner.piece();
                let text = if piece.plain { Cow::Borrowed(piece.raw) } else { meant(&piece) };
                seen.push_str(&text);
            }
            Token::End => {
                seen.push_str("</>");
                if scanner.depth() == 0 {
                    return Ok(seen);
                }
            }
        }
    }
}

fn theirs(text: &str, attributes: bool) -> Result<String, quick_xml::Error> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    reader.config_mut().expand_empty_elements = true;
    let (mut seen, mut depth) = (String::new(), 0);
    let clean = |text: &str| text.replace(is_forbidden, "\u{FFFD}");
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                depth += 1;
                seen.push_str(&format!("<{}", local_name(start.name().into_inner())));
                for attribute in start.attributes().with_checks(false).take_while(|_| attributes) {
                    let attribute = attribute?;
                    let name = attribute.key.into_inner();
                    seen.push_str(&format!(" {name}={}", attribute.value));
                }
                seen.push('>');
            }
            Event::End(_) => {
                depth -= 1;
                seen.push_str("</>");
                if depth == 0 {
                    return Ok(seen);
                }
            }
            Event::Text(text) if depth > 0 => seen.push_str(&clean(&text.xml10_content())),
            Event::CData(text) if depth > 0 => seen.push_str(&clean(&text.xml10_content())),
            Event::GeneralRef(it) if depth > 0 => {
                let name = it.xml10_content();
                let is_number = name.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric());
                let named = || quick_xml::escape::resolve_predefined_entity(&name);
                seen.push_str(&match it.resolve_char_ref() {
                    Ok(Some(c)) => clean(&c.to_string()),
                    Err(_) if is_number => "\u{FFFD}".to_owned(),
                    // What is no reference is kept as it is written.
                    Ok(None) | Err(_) => {
                        named().map_or_else(|| clean(&format!("&{name};")), str::to_owned)
                    }
                });
            }
            Event::Eof => return Ok("cut".to_owned()),
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Empty(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    "([a-z]{1,3}:)?[A-Za-zä_][A-Za-z0-9_.-]{0,6}"
}

fn attributes() -> impl Strategy<Value = String> {
    let one =
        (name(), "[ \\t]?", "[ \\n]?", prop_oneof!["\"[a-z>' /:=]{0,6}\"", "'[a-z>\" /]{0,6}'"])
            .prop_map(|(name, before, after, value)| format!(" {name}{before}={after}{value}"));
    prop::collection::vec(one, 0..3).prop_map(|all| all.concat())
}

fn content() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \\t\\r\\na-z0-9äß€🦀>\"';/]{0,12}",
        "[a-z]{0,3}&(amp|lt|gt|quot|apos|nbsp|#65|#x41|#0|#xD|#1114112|#xD800);",
        "[a-z ]{0,3}& ?[a-z]{0,3}",
        "<!\\[CDATA\\[[a-z<&>\\r\\n]{0,6}\\]? \\]\\]>",
        "<!--[ a-z<&>]{0,6}-->",
        "<\\?[a-z]{1,4} [a-z<&]{0,6}\\?>",
        "[\\u{1}-\\u{1f}\\u{fffe}\\u{ffff}a-z]{0,4}",
    ]
}

fn document() -> impl Strategy<Value = String> {
    let leaf = (name(), attributes(), prop::collection::vec(content(), 0..4), any::<bool>())
        .prop_map(|(name, attributes, content, empty)| match content.concat() {
            content if empty && content.is_empty() => format!("<{name}{attributes}/>"),
            content => format!("<{name}{attributes}>{content}</{name} >"),
        });
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(prop_oneof![inner, content()], 0..4);
        (name(), attributes(), parts).prop_map(|(name, attributes, parts)| {
            format!("<{name}{attributes} >{}</{name}>", parts.concat())
        })
    });
    ("(<\\?xml version='1.0'\\?>)?[ \\n]{0,2}", tree).prop_map(|(head, tree)| head + &tree)
}

proptest! {
    #[test]
    fn a_document_is_read_as_a_general_reader_does(text in document()) {
        prop_assert_eq!(ours(&text, true).unwrap(), theirs(&text, true).unwrap(), "{}", text);
    }

    /// Broken in a place or two, it is read alike where both still take it.
    #[test]
    fn so_is_one_with_changes(
        text in document(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[<>&;/=\"' a!?-]"), 1..3),
    ) {
        let mut text = text;
        for (at, piece) in changes {
            let at = text.floor_char_boundary(at.index(text.len()));
            text.insert_str(at, &piece);
        }
        if let (Ok(ours), Ok(theirs)) = (ours(&text, false), theirs(&text, false)) {
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}

#[test]
fn what_is_no_mark_is_refused() {
    for (text, error) in [
        ("", DecodeError::Truncated),
        ("text", DecodeError::Truncated),
        ("<", DecodeError::Truncated),
        ("<a", DecodeError::Truncated),
        ("<a b='", DecodeError::Truncated),
        ("<a>", DecodeError::Truncated),
        ("<a></", DecodeError::Truncated),
        ("<a></a ", DecodeError::Truncated),
        ("<a><!--", DecodeError::Truncated),
        ("<a><![CDATA[", DecodeError::Truncated),
        ("<a><?b", DecodeError::Truncated),
        ("<>", DecodeError::Malformed),
        ("<a:>", DecodeError::Malformed),
        ("< a>", DecodeError::Malformed),
        ("<a<b>", DecodeError::Malformed),
        ("<a b<c>", DecodeError::Malformed),
        ("<a></b>", DecodeError::Malformed),
        ("<a></a b>", DecodeError::Malformed),
        ("<a></ab>", DecodeError::Malformed),
        ("</a>", DecodeError::Malformed),
        ("<a><!b>", DecodeError::Malformed),
        ("<!DOCTYPE a><a/>", DecodeError::Dtd),
        ("<!doctype a><a/>", DecodeError::Dtd),
    ] {
        assert_eq!(ours(text, true), Err(error), "{text}");
    }
}
