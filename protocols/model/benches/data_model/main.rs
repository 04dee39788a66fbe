//! What a data model costs: learning it, and making bytes of it and back.
//!
//! `cargo bench -p lastmile-model`: the median of many runs on one thread, for gateways of several
//! sizes. Compression is that of the daemon's store; sealing, some 1 ns a byte, is not in here.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement, not a part of the daemon"
)]

mod gateway;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use gateway::gateway;
use jiff::Timestamp;
use lastmile_model::{DataModel, Observation};
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

const RUNS: usize = 301;
const LEVELS: [u32; 5] = [1, 2, 3, 4, 6];

fn main() {
    for parameters in [100, 1_000, 5_000, 20_000] {
        measure(parameters);
    }
}

fn measure(parameters: usize) {
    let (names, values) = gateway(parameters, 7);
    let asked = values.iter().map(|value| value.path.clone()).collect();
    let names = Observation::Names {
        path: "InternetGatewayDevice.".into(),
        next_level: false,
        entries: names,
    };
    let few = values.iter().take(8).cloned().collect();
    let values = Observation::Values { asked, values };
    let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();

    let mut model = DataModel::new();
    model.learn(&names, at(0));
    model.learn(&values, at(1));
    let bytes = model.encode();
    println!("{parameters} parameters, {} entries, {} bytes encoded", model.len(), bytes.len());
    row("names", DataModel::new, |mut model| {
        model.learn(&names, at(0));
        model
    });
    let mut named = DataModel::new();
    named.learn(&names, at(0));
    row(
        "values",
        || named.clone(),
        |mut model| {
            model.learn(&values, at(1));
            model
        },
    );
    row(
        "names and values again",
        || model.clone(),
        |mut model| {
            model.learn(&names, at(2));
            model.learn(&values, at(2));
            model
        },
    );
    let few = Observation::Values { asked: Vec::new(), values: few };
    row(
        "8 values",
        || model.clone(),
        |mut model| {
            model.learn(&few, at(3));
            model
        },
    );
    row("encode", || (), |()| model.encode());
    row("decode", || (), |()| DataModel::decode(&bytes).unwrap());
    for level in LEVELS {
        let compressed = compress(&bytes, level);
        row(
            &format!("deflate {level}: {} bytes", compressed.len()),
            || (),
            |()| compress(&bytes, level),
        );
        row(
            &format!("inflate {level}"),
            || (),
            |()| {
                let mut out = Vec::with_capacity(bytes.len());
                DeflateDecoder::new(compressed.as_slice()).read_to_end(&mut out).unwrap();
                out
            },
        );
    }
}

fn compress(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder =
        DeflateEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn row<I, O>(name: &str, prepare: impl Fn() -> I, work: impl Fn(I) -> O) {
    let mut took: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let input = prepare();
            let start = Instant::now();
            let output = black_box(work(black_box(input)));
            let took = start.elapsed();
            drop(output);
            took
        })
        .collect();
    took.sort_unstable();
    println!("  {name:<28} {:>9.1} µs", took[RUNS / 2].as_secs_f64() * 1e6);
}
