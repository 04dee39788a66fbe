//! A PUBLISH that is made once and filled in for each message: what differs is a few bytes.

use super::packet::{self, Version};
use super::payload;
use crate::ledger::Tag;

/// A board's PUBLISH with holes.
#[derive(Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where its packet identifier stands; QoS 0 has none.
    packet_id: Option<usize>,
    /// Where its fact's number stands.
    number: usize,
}

impl Template {
    /// Of a payload of about `size` bytes.
    pub(super) fn new(version: Version, topic: &str, qos: u8, tag: Tag, size: usize) -> Self {
        Self::of(version, topic, qos, tag, &payload(tag, size))
    }

    /// Of a payload that bears that tag.
    pub(super) fn of(version: Version, topic: &str, qos: u8, tag: Tag, payload: &str) -> Self {
        let mut bytes = Vec::new();
        let packet_id = packet::publish(version, topic, qos, payload.as_bytes(), &mut bytes);
        let tag_at = payload.find(&tag.to_string()).expect("the payload bears its tag");
        let number = bytes.len() - payload.len() + tag_at + Tag::LEN - Tag::NUMBER_LEN;
        Self { bytes, packet_id, number }
    }

    /// One message.
    pub(super) fn write(&self, packet_id: u16, number: u32, again: bool, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        let packet = &mut out[begin..];
        if let Some(at) = self.packet_id {
            packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        packet[self.number..self.number + Tag::NUMBER_LEN].copy_from_slice(&Tag::digits(number));
        if again {
            packet[0] |= packet::DUP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_template_is_the_message() {
        let tag = Tag { run: 1, stream: 2, number: 0 };
        let template = Template::new(Version::V5, "boards/a/up/telemetry", 1, tag, 200);
        let mut out = b"before".to_vec();
        template.write(0x1234, 0xDEAD_BEEF, true, &mut out);
        let mut expected = Vec::new();
        let text = payload(Tag { number: 0xDEAD_BEEF, ..tag }, 200);
        let at = packet::publish(
            Version::V5,
            "boards/a/up/telemetry",
            1,
            text.as_bytes(),
            &mut expected,
        );
        let at = at.unwrap();
        expected[at..at + 2].copy_from_slice(&[0x12, 0x34]);
        expected[0] |= packet::DUP;
        assert_eq!(&out[6..], expected);
    }
}
