//! A packet that is read, written and read again, in each version.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt::frame;
use mqtt::message::{self, Packet, Version};

const BODY_LEN_MAX: usize = 256 * 1024;

fuzz_target!(|input: (u8, &[u8])| {
    let version = [Version::V3_1, Version::V3_1_1, Version::V5][usize::from(input.0 % 3)];
    let Ok(Some((frame, used))) = frame::decode(input.1, BODY_LEN_MAX) else { return };
    let Ok(packet) = message::decode(frame, version) else { return };
    // A CONNECT says by itself what it speaks.
    let version = if let Packet::Connect(it) = &packet { it.version } else { version };
    let mut written = Vec::new();
    packet.encode(version, &mut written);
    assert!(written.len() <= used, "only what may be left out was there");
    let (frame, again) = frame::decode(&written, BODY_LEN_MAX)
        .expect("what is written is a frame")
        .expect("what is written is whole");
    assert_eq!(again, written.len());
    assert_eq!(message::decode(frame, version), Ok(packet));
    if let Packet::Publish(it) = message::decode(frame, version).expect("it was read above") {
        let qos = it.delivery.qos();
        let len = message::publish_len(it.topic, qos, it.properties, it.payload.len(), version);
        assert_eq!(len, frame.body.len());
    }
});
