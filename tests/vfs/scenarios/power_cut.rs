//! Power cuts at any call of SQLite's, from the first byte of a new store on.

use super::ledger::{self, Ledger, Running};
use lastmile::store::{SqliteStore, Store};
use lastmile_vfs::{Handle, Vfs};
use tempfile::TempDir;

/// Devices that send at the same time.
const DEVICES: usize = 6;
/// Lives of one store, each ended by a cut.
const LIVES: u64 = 3;

/// Appends through the writer, cuts the power at a random call, opens again: all that was
/// acknowledged is there, whole and in order, three times over.
pub fn nothing_acknowledged_is_lost() {
    let vfs = Vfs::register("power-cut", 0);
    let (mut acknowledged, mut cut_early) = (0, 0);
    for seed in 0..super::cases(100) {
        vfs.replace(seed);
        let folder = TempDir::new().unwrap();
        let ledger = Ledger::default();
        super::run(async {
            for life in 0..LIVES {
                let case = format!("seed {seed}, life {life}");
                // Early cuts fall into the opening, late ones into commits and checkpoints.
                let calls = 1 + mixed(seed * LIVES + life) % 600;
                if !live(&vfs, folder.path(), &ledger, calls, seed + life).await {
                    cut_early += 1;
                }
                vfs.restore();
                let store = SqliteStore::open(ledger::options(folder.path(), Some(&vfs))).await;
                let store = store.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                ledger.check(&store, &case).await;
                store.close().await;
            }
        });
        acknowledged += ledger.acknowledged();
    }
    assert!(acknowledged > 1_000 && cut_early > 0, "{acknowledged} {cut_early}: nothing was tried");
}

/// Runs until the cut; false when the store was not even open.
async fn live(
    vfs: &Handle,
    folder: &std::path::Path,
    ledger: &Ledger,
    calls: u64,
    chance: u64,
) -> bool {
    vfs.cut_after(calls);
    let Ok(store) = SqliteStore::open(ledger::options(folder, Some(vfs))).await else {
        assert!(vfs.is_cut(), "only a cut keeps it from opening");
        return false;
    };
    let running = Running::start(store);
    let senders: Vec<_> = (0..DEVICES)
        .map(|device| {
            let (writer, ledger) = (running.writer.clone(), ledger.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while ledger.append(&writer, device, 1 + (count + chance) % 3).await {
                    count += 1;
                }
            })
        })
        .collect();
    let (writer, reader) = (running.writer.clone(), ledger.clone());
    let store = running.store.clone();
    let mover = tokio::spawn(async move {
        loop {
            let head = store.head().await.unwrap()[0].sequence;
            if !reader.advance(&writer, head).await {
                break;
            }
            // In every other case the outbox is trimmed behind the reader.
            if chance.is_multiple_of(2) && !reader.trim(&store, head / 2).await {
                break;
            }
        }
    });
    for sender in senders {
        sender.await.unwrap();
    }
    mover.await.unwrap();
    assert!(vfs.is_cut(), "the senders end when the power does");
    assert!(running.stop().await.is_err(), "the writer ends with the failure");
    true
}

/// A well-spread number for a case.
fn mixed(case: u64) -> u64 {
    let mixed = case.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}
