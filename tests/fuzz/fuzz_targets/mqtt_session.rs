//! An MQTT session between a client, a driver and a disk that act in any order.

#![no_main]

#[path = "../../../protocols/mqtt/tests/all/world.rs"]
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (steps, _) = input.1.as_chunks();
    world::play(input.0, steps);
});
