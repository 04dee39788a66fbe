//! Any bytes as a board's side of an MQTT connection, in each version.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt::message::{self, Packet, Version};
use mqtt::{Properties, frame};
use std::hint::black_box;

/// As a session allows.
const BODY_LEN_MAX: usize = 256 * 1024;

fuzz_target!(|input: (u8, &[u8])| {
    let version = [Version::V3_1, Version::V3_1_1, Version::V5][usize::from(input.0 % 3)];
    let mut rest = input.1;
    loop {
        let announced = frame::announced(rest, BODY_LEN_MAX);
        let Ok(Some((frame, used))) = frame::decode(rest, BODY_LEN_MAX) else { return };
        assert_eq!(announced, Ok(Some(used)));
        assert!(used <= rest.len());
        black_box(message::version_of(frame));
        match message::decode(frame, version) {
            Ok(packet) => {
                black_box(message::check_client(&packet).map_err(|error| error.reason()).ok());
                assert!(
                    properties(&packet).iter().count() <= frame.body.len(),
                    "no property takes less than a byte"
                );
            }
            Err(error) => _ = black_box((error.code(), error.reason().code())),
        }
        rest = &rest[used..];
    }
});

fn properties<'a>(packet: &Packet<'a>) -> Properties<'a> {
    match packet {
        Packet::Connect(it) => it.will.map_or(it.properties, |will| will.properties),
        Packet::Publish(it) => it.properties,
        Packet::Puback(it) | Packet::Pubrec(it) | Packet::Pubrel(it) | Packet::Pubcomp(it) => {
            it.properties
        }
        Packet::Connack { properties, .. }
        | Packet::Subscribe { properties, .. }
        | Packet::Suback { properties, .. }
        | Packet::Unsubscribe { properties, .. }
        | Packet::Unsuback { properties, .. }
        | Packet::Disconnect { properties, .. }
        | Packet::Auth { properties, .. } => *properties,
        Packet::Pingreq | Packet::Pingresp => Properties::EMPTY,
    }
}
