//! A thousand histories: the machine, the codec and the stand-in, with crashes in between.
//!
//! Whatever was done to the money is then held against whom it was taken from: every shilling taken is
//! credited exactly once, or stands unresolved before the operator; nothing else is credited.

mod oracle;
mod store;
mod world;

use oracle::Tally;
use world::World;

const HISTORIES: u64 = 1_000;

#[test]
fn every_shilling_taken_is_credited_once_or_stands_before_the_operator() {
    let mut tally = Tally::default();
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        world.run();
        oracle::judge(&mut world, &mut tally);
    }
    // What did not happen was not tried.
    tally.check(HISTORIES);
}
