//! Boards: telemetry, each message a fact of its own.
//!
//! Two clients with one behaviour: [`independent`] is rumqttc, which nobody here wrote; [`lean`] is
//! our own, for scenarios where the client would cost more than the server. A message without its
//! PUBACK when the connection ends is sent again, in order, on the next. [`modem`] behaves like a
//! board in the field, and [`program`] is at the other end: it reads what boards send.

pub(crate) mod independent;
pub(crate) mod lean;
mod link;
pub(crate) mod modem;
mod packet;
pub(crate) mod program;
#[cfg(test)]
#[path = "board/tests/stand_in.rs"]
mod stand_in;
mod template;
mod updates;
mod window;

pub(crate) use link::{Caller, Link, LinkError, Pace, Way, connect};
pub(crate) use packet::Version;

use crate::ledger::Tag;
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;
use window::Window;

/// Wait between a lost connection and the next try, times a little chance: a storm is a scenario of
/// its own.
const RECONNECT_AFTER: Duration = Duration::from_millis(300);

/// Longest wait for the last PUBACKs when the load ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// What one board is and does.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its place in the ledger.
    pub(crate) stream: u32,
    /// Its client id.
    pub(crate) client_id: String,
    /// Where it connects, and how.
    pub(crate) way: Arc<Way>,
    /// Quality of its messages.
    pub(crate) qos: u8,
    /// How long its session lasts without it, in seconds; 0 is a clean one.
    pub(crate) expiry_s: u32,
    /// Messages that may wait for their PUBACK, or that go at once at QoS 0.
    pub(crate) window: u16,
    /// Bytes of a message; a tag needs some 50.
    pub(crate) payload: usize,
    /// Time between two messages; as many as fit where there is none.
    pub(crate) interval: Option<Duration>,
    /// When the first is due, so that not all speak at once.
    pub(crate) offset: Duration,
}

impl Spec {
    fn topic(&self) -> String {
        format!("boards/{}/up/telemetry", self.client_id)
    }
}

/// `{"fact":"<tag>","pad":"…"}` of about `size` bytes.
pub(crate) fn payload(tag: Tag, size: usize) -> String {
    const FRAME: usize = r#"{"fact":"","pad":""}"#.len() + Tag::LEN;
    format!(r#"{{"fact":"{tag}","pad":"{}"}}"#, "x".repeat(size.saturating_sub(FRAME)))
}

/// Runs one board until the load ends.
pub(crate) async fn run(world: Arc<World>, spec: Spec, lean: bool) {
    if lean { lean::run(&world, &spec).await } else { independent::run(&world, &spec).await }
}

/// A little chance from what differs between boards.
pub(crate) fn reconnect_after(stream: u32) -> Duration {
    RECONNECT_AFTER + Duration::from_millis(u64::from(stream.wrapping_mul(2_654_435_761) >> 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_that_size_with_its_tag() {
        let tag = Tag { run: 1, stream: 2, number: 3 };
        let text = payload(tag, 200);
        assert_eq!(text.len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        assert_eq!(Tag::find(&text), Some(tag));
        assert_eq!(Tag::find(&payload(tag, 0)), Some(tag));
    }
}
