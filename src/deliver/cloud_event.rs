//! A stored event as a CloudEvent.
//!
//! Writes the JSON form of CloudEvents 1.0 (JSON event format, §3) and, for many at once, the
//! batched content of the HTTP binding (§3.3). The data is copied as it was stored, never parsed.

use crate::store::StoredEvent;
use jiff::fmt::temporal::DateTimePrinter;

/// The media type of a batch (CloudEvents HTTP binding, §3.3).
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";

/// Writes times as they are displayed.
static TIME: DateTimePrinter = DateTimePrinter::new();

/// Appends one event to `out`.
///
/// `source` is `/lastmile/<node>` (see [`source`]); `id` is the position, so a receiver that keeps
/// the ids it has seen drops what comes twice. `sequence` is the extension of that name: a string
/// that sorts by its characters, so the number is written with leading zeros to 20 digits. It grows
/// within a shard, and all events of one device are in one shard.
pub fn write(out: &mut Vec<u8>, source: &str, event: &StoredEvent) {
    let (shard, shard_begin) = decimal(event.position.shard.into());
    let (sequence, sequence_begin) = decimal(event.position.sequence);
    out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":\"");
    out.extend_from_slice(&shard[shard_begin..]);
    out.push(b'-');
    out.extend_from_slice(&sequence[sequence_begin..]);
    out.extend_from_slice(b"\",\"source\":");
    write_string(out, source);
    out.extend_from_slice(b",\"type\":");
    write_string(out, &event.kind);
    out.extend_from_slice(b",\"subject\":");
    write_string(out, event.device.as_str());
    out.extend_from_slice(b",\"time\":\"");
    TIME.print_timestamp(&event.time, &mut *out).expect("writing to memory cannot fail");
    out.extend_from_slice(b"\",\"tenant\":");
    write_string(out, event.tenant.as_str());
    out.extend_from_slice(b",\"sequence\":\"");
    out.extend_from_slice(&sequence);
    out.extend_from_slice(b"\",\"datacontenttype\":\"application/json\",\"data\":");
    out.extend_from_slice(event.data.as_str().as_bytes());
    out.push(b'}');
}

/// One event as a text: what the event stream sends.
pub fn to_text(source: &str, event: &StoredEvent) -> String {
    let mut out = Vec::with_capacity(384 + event.data.as_str().len());
    write(&mut out, source, event);
    String::from_utf8(out).expect("made of texts")
}

/// The CloudEvents `source` of a node.
pub fn source(node: &str) -> String {
    format!("/lastmile/{node}")
}

/// A number in decimal, with leading zeros, and where those end.
fn decimal(number: u64) -> ([u8; 20], usize) {
    let (mut digits, mut begin, mut rest) = ([b'0'; 20], 19, number);
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        if rest == 0 {
            break;
        }
        *digit += u8::try_from(rest % 10).unwrap_or(0);
        (rest, begin) = (rest / 10, at);
    }
    (digits, begin)
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Nearly all that is written here stands for itself.
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    serde_json::to_writer(out, text).expect("a text is representable in JSON");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Position;
    use model::{DeviceId, Json, Tenant};

    fn event(data: &str) -> StoredEvent {
        StoredEvent {
            position: Position { shard: 0, sequence: 42 },
            tenant: Tenant::new("acme").unwrap(),
            device: DeviceId::mqtt("board \"7\"").unwrap(),
            kind: "lastmile.telemetry.received".into(),
            time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            data: Json::from_stored(data.to_owned()),
        }
    }

    #[test]
    fn writes_the_attributes_by_their_names() {
        let text = to_text(&source("n1"), &event("{\"t\":1.50}"));
        assert_eq!(
            text,
            "{\"specversion\":\"1.0\",\"id\":\"0-42\",\"source\":\"/lastmile/n1\",\
             \"type\":\"lastmile.telemetry.received\",\"subject\":\"mqtt:board%20%227%22\",\
             \"time\":\"2026-01-02T03:04:05.678Z\",\"tenant\":\"acme\",\
             \"sequence\":\"00000000000000000042\",\"datacontenttype\":\"application/json\",\
             \"data\":{\"t\":1.50}}"
        );
    }

    #[test]
    fn positions_are_written_as_they_are_displayed() {
        for (shard, sequence) in [(0, 0), (0, 9), (7, 10), (65_535, u64::MAX)] {
            let mut event = event("1");
            event.position = Position { shard, sequence };
            let read: serde_json::Value = serde_json::from_str(&to_text("s", &event)).unwrap();
            assert_eq!(read["id"], event.position.to_string());
            assert_eq!(read["sequence"], format!("{sequence:020}"));
            assert_eq!(read["time"], event.time.to_string());
        }
    }

    #[test]
    fn stays_json_whatever_the_names_hold() {
        let mut odd = event("null");
        odd.kind = "a\"b\\c\n".into();
        let text = to_text("/lastmile/\"", &odd);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["type"], "a\"b\\c\n");
        assert_eq!(read["source"], "/lastmile/\"");
        assert!(read["data"].is_null());
    }
}
