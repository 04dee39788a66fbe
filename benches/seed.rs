//! Fills a data directory with devices, for measuring a restart: `cargo bench --bench seed -- DIR N`.
//!
//! Each device has what a CPE says of itself and five aliases. Prints how long it took; start
//! `lastmile serve --data-dir DIR` afterwards and time `/readyz`.
#![allow(missing_docs, clippy::disallowed_methods, reason = "a program that measures")]

use jiff::Timestamp;
use lastmile::store::{Operation, SqliteOptions, SqliteStore, Store, Writer, WriterOptions};
use model::{Alias, AliasKind, DeviceFacts, DeviceId, Tenant};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Devices in one write.
const STEP: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let (Some(dir), Some(count)) = (words.next(), words.next()) else {
        println!("seed: nothing to do without DIR and N");
        return Ok(());
    };
    let (dir, count) = (PathBuf::from(dir), count.parse::<u64>()?);
    std::fs::create_dir_all(&dir)?;
    let options = SqliteOptions::new(dir.join("store.db"), 16 << 30);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(options).await?);
    let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
    tokio::spawn(task);
    let started = Instant::now();
    for first in (0..count).step_by(usize::try_from(STEP)?) {
        let devices = (first..count.min(first + STEP)).map(device);
        writer.transact(devices.collect::<Result<_, _>>()?).await?;
    }
    store.close().await;
    println!("{count} devices written in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn device(number: u64) -> Result<Operation, Box<dyn Error>> {
    let serial = format!("SN{number:010}");
    let mut facts = DeviceFacts {
        manufacturer: Some("Acme Networks".into()),
        oui: Some("00D09E".into()),
        product_class: Some("HG8245".into()),
        serial: Some(serial.as_str().into()),
        model: Some("HG8245H".into()),
        hardware_version: Some("11D.A".into()),
        software_version: Some(format!("V3R017C{:02}", number % 20).into()),
        connection_request_url: Some(
            format!("http://10.{}.0.7:7547/{number:x}", number % 250).into(),
        ),
        udp_connection_request_address: None,
        periodic_interval_s: Some(3_600),
        aliases: Vec::new(),
    };
    for (kind, value) in [
        (AliasKind::Serial, serial.clone()),
        (AliasKind::GponSerial, format!("ACME{number:08X}")),
        (AliasKind::Mac, format!("{number:012x}")),
        (AliasKind::Imsi, format!("44010{number:010}")),
        (AliasKind::Iccid, format!("898110{number:013}")),
    ] {
        facts.aliases.push(Alias::new(kind, &value)?);
    }
    let device = DeviceId::cwmp("00D09E", "HG8245", &serial)?;
    Ok(Operation::PutDevice { tenant: Tenant::default(), device, facts, at: Timestamp::now() })
}
