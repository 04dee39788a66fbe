//! A thousand histories over the real store: fifty customers at once in each of twenty, with crashes
//! at every wait.

use super::oracle::{self, Tally};
use super::world::World;
use tokio::runtime;

const STORES: u64 = 20;
const CUSTOMERS: u64 = 50;
/// Stores that are worked on at once.
const AT_ONCE: u64 = 2;

#[test]
fn every_shilling_is_credited_once_or_stands_before_the_operator() {
    let mut tally = Tally::default();
    let of = |first: u64| move || (first..STORES).step_by(AT_ONCE as usize).map(history).collect();
    let all: Vec<Vec<Tally>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|first| scope.spawn(of(first))).collect();
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
        oracle::judge(&mut world, &mut tally).await;
        tally
    })
}
