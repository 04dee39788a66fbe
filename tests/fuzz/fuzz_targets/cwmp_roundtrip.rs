//! What is read, written and read again.

#![no_main]

use cwmp::{Body, Message, Options};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(first) = cwmp::decode(None, bytes, &Options::default()) else { return };
    // What is written may be longer than what was read: entities, and what was left out.
    let options = Options { body_bytes_max: usize::MAX, ..Options::default() };
    let written = first.encode();
    let second = cwmp::decode(None, written.as_bytes(), &options);
    let second = second.unwrap_or_else(|error| panic!("{error}: {written}"));
    if said(&first) != said(&second) {
        panic!("{first:?}\n{second:?}\n{written}");
    }
    assert_eq!(written, second.encode(), "nor is it the same twice");
});

/// An empty body has no envelope to name anything in, and an unknown call keeps no name that could
/// not be an element's.
fn said(message: &Message) -> Option<(Option<&str>, &str, Body)> {
    let body = match &message.body {
        Body::Empty => return None,
        Body::Unknown { .. } => Body::Unknown { name: "".into() },
        other => other.clone(),
    };
    Some((message.id.as_deref(), message.namespace.as_str(), body))
}
