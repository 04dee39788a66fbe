//! A thousand histories over the real store: fifty customers at once in each of twenty, with crashes
//! at every wait.

use super::oracle::{self, Tally};
use super::world::World;
use tokio::runtime;

const STORES: u64 = 20;
const CUSTOMERS: u64 = 50;
/// Stores that are worked on at once.
const AT_ONCE: usize = 2;

#[test]
fn every_shilling_is_credited_once_or_stands_before_the_operator() {
    let mut tally = Tally::default();
    let seeds: Vec<u64> = (0..STORES).collect();
    let of = |seeds: &[u64]| seeds.iter().copied().map(history).collect::<Vec<_>>();
    let all: Vec<Vec<Tally>> = std::thread::scope(|scope| {
        let parts = seeds.chunks(seeds.len() / AT_ONCE);
        let threads: Vec<_> = parts.map(|seeds| scope.spawn(move || of(seeds))).collect();
        threads.into_iter().map(|it| it.join().expect("a history does not hold")).collect()
    });
    all.into_iter().flatten().for_each(|it| tally.add(it));
    tally.check();
}

fn history(seed: u64) -> Tally {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tally = Tally::default();
        let mut world = World::new(seed, CUSTOMERS).await;
        world.run().await;
        oracle::judge(&world, &mut tally).await;
        tally
    })
}
