//! How many bytes a real gateway's data model takes.

use super::at;
use crate::{DataModel, Observation};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write as _;

#[path = "../../../benches/data_model/gateway.rs"]
mod gateway;

/// As the daemon's store compresses.
fn compressed(model: &DataModel) -> usize {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(1));
    encoder.write_all(&model.encode()).unwrap();
    encoder.finish().unwrap().len()
}

#[test]
fn five_thousand_parameters_take_some_twenty_thousand_bytes() {
    let (names, values) = gateway::gateway(5_000, 7);
    let asked = values.iter().map(|value| value.path.clone()).collect();
    let path = "InternetGatewayDevice.".into();
    let mut model = DataModel::new();
    model.learn(&Observation::Names { path, next_level: false, entries: names }, at(1_790_000_000));
    model.learn(&Observation::Values { asked, values }, at(1_790_000_060));
    assert_eq!(model.below("").filter(|it| it.value.is_some()).count(), 5_000);
    assert_eq!(model.dropped(), 0);
    assert_eq!(DataModel::decode(&model.encode()).unwrap(), model);
    // 19,158 when this was written. Two real gateways with as many took 28,101 and 32,058.
    let bytes = compressed(&model);
    assert!((15_000..25_000).contains(&bytes), "{bytes}");
}
