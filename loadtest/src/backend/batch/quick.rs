//! Batches in the very form that the daemon writes: the attributes in its order, nothing between them, no
//! escapes in them. The data is not looked into: it ends where the next event begins.

use super::CloudEvent;
use memchr::memchr;
use memchr::memmem::Finder;
use std::borrow::Cow;
use std::sync::LazyLock;

const BEGIN: &str = r#"{"specversion":"1.0","id":""#;
const BETWEEN: &str = r#"},{"specversion":"1.0","id":""#;

static NEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BETWEEN));

/// Reads a batch; `None` when its form is another.
pub(super) fn read(body: &[u8]) -> Option<Vec<CloudEvent<'_>>> {
    let body = std::str::from_utf8(body).ok()?;
    let mut rest = body.strip_prefix('[')?.strip_suffix("}]")?.strip_prefix(BEGIN)?;
    let mut events = Vec::new();
    loop {
        let Some(end) = NEXT.find(rest.as_bytes()) else {
            events.push(event(rest)?);
            return Some(events);
        };
        events.push(event(&rest[..end])?);
        rest = &rest[end + BETWEEN.len()..];
    }
}

/// An event without its beginning and its last brace.
fn event(text: &str) -> Option<CloudEvent<'_>> {
    let (id, rest) = value(text)?;
    let (_, rest) = value(rest.strip_prefix(r#","source":""#)?)?;
    let (kind, rest) = value(rest.strip_prefix(r#","type":""#)?)?;
    let (subject, rest) = value(rest.strip_prefix(r#","subject":""#)?)?;
    let (time, rest) = value(rest.strip_prefix(r#","time":""#)?)?;
    let (_, rest) = value(rest.strip_prefix(r#","tenant":""#)?)?;
    let (_, rest) = value(rest.strip_prefix(r#","sequence":""#)?)?;
    let data = rest.strip_prefix(r#","datacontenttype":"application/json","data":"#)?;
    let borrowed = Cow::Borrowed;
    Some(CloudEvent {
        id: borrowed(id),
        kind: borrowed(kind),
        subject: borrowed(subject),
        time: Some(borrowed(time)),
        data: Some(data),
    })
}

/// What stands before the next quotation mark, and what behind it.
fn value(text: &str) -> Option<(&str, &str)> {
    let end = memchr(b'"', text.as_bytes())?;
    let (value, rest) = (&text[..end], &text[end + 1..]);
    (!value.contains('\\')).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::super::Batch;
    use super::*;

    fn written(id: &str, data: &str) -> String {
        format!(
            "{BEGIN}{id}\",\"source\":\"/lastmile/a\",\"type\":\"lastmile.telemetry.received\",\
             \"subject\":\"mqtt:a\",\"time\":\"2026-01-02T03:04:05Z\",\"tenant\":\"default\",\
             \"sequence\":\"00000000000000000007\",\"datacontenttype\":\"application/json\",\
             \"data\":{data}}}"
        )
    }

    #[test]
    fn both_ways_read_the_same() {
        let (first, second) = (written("0-7", r#"{"a":"},{\"id\":"}"#), written("0-8", "[{}]"));
        for body in [format!("[{first}]"), format!("[{first},{second}]")] {
            let quick = read(body.as_bytes()).unwrap();
            assert_eq!(Batch(quick), Batch::read_in_full(body.as_bytes()).unwrap());
            assert!(Batch::read(body.as_bytes(), true).is_ok());
        }
    }

    #[test]
    fn another_form_is_left_to_the_other_way() {
        let plain = written("0-7", "{}");
        for other in
            [plain.clone(), format!("[{plain} ]"), format!("[{}]", written("0\\u002d7", "{}"))]
        {
            assert!(read(other.as_bytes()).is_none(), "{other}");
            assert!(Batch::read(other.trim().as_bytes(), false).is_ok(), "{other}");
        }
        assert!(read(b"[]").is_none() && read(b"[{}]").is_none() && read(b"\xff").is_none());
    }

    #[test]
    fn what_only_looks_like_a_batch_is_found_out() {
        let body = format!("[{}]", written("0-7", "{\"a\":"));
        assert!(Batch::read(body.as_bytes(), true).is_err());
        let nested = format!("[{}]", written("0-7", &format!("[{{}},{}]", written("0-9", "1"))));
        assert!(Batch::read(nested.as_bytes(), true).is_err());
    }
}
