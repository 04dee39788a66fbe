//! The hot path of the codec: a board's publish read, its acknowledgement written.
//!
//! `cargo bench -p lastmile-mqtt`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use mqtt::message::{self, Acknowledgement, PacketId, Publish, PublishDelivery, Version};
use mqtt::{Place, Properties, Property, frame};

extern crate lastmile_mqtt as mqtt;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];

/// As many as a socket hands over in one read of 64 KiB, about.
const PACKETS: usize = 256;

fn main() {
    divan::main();
}

#[divan::bench(args = VERSIONS)]
fn read_publishes(bencher: Bencher<'_, '_>, version: Version) {
    read(bencher, version, Properties::EMPTY);
}

/// With what a board of 5.0 usually says: how long it is worth, and whom to answer.
#[divan::bench]
fn read_publishes_with_properties(bencher: Bencher<'_, '_>) {
    let mut bytes = Vec::new();
    Property::MessageExpiry(3_600).encode(&mut bytes);
    Property::ContentType("application/json").encode(&mut bytes);
    Property::CorrelationData(b"0123456789abcdef").encode(&mut bytes);
    let properties = Properties::parse(&bytes, Place::Publish);
    read(bencher, Version::V5, properties.expect("a publish may say these"));
}

fn read(bencher: Bencher<'_, '_>, version: Version, properties: Properties<'_>) {
    let packet = Publish {
        duplicate: false,
        delivery: PublishDelivery::AtLeastOnce(PacketId::MIN),
        retain: false,
        topic: "boards/490154203237518/up/telemetry",
        payload: &[b'x'; 200],
        properties,
    };
    let mut bytes = Vec::new();
    for _ in 0..PACKETS {
        message::publish(&packet, version, &mut bytes);
    }
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let mut rest = black_box(&bytes[..]);
        while let Ok(Some((frame, used))) = frame::decode(rest, 256 * 1024) {
            black_box(message::decode(frame, version).is_ok());
            rest = &rest[used..];
        }
    });
}

#[divan::bench(args = VERSIONS)]
fn write_pubacks(bencher: Bencher<'_, '_>, version: Version) {
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        out.clear();
        for _ in 0..PACKETS {
            let packet = Acknowledgement::success(black_box(PacketId::MIN));
            message::puback(&packet, version, &mut out);
        }
        black_box(out.len())
    });
}
