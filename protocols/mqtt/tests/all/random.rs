//! Sessions as chance makes them: see [`crate::world`].

use crate::world::play;
use proptest::collection::vec;
use proptest::prelude::*;

/// Sequences in one run; `PROPTEST_CASES` asks for more.
const CASES: u32 = 2_000;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(CASES), ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_the_order_nothing_is_lost_or_made_twice(
        kind in 0..12_u8,
        steps in vec(any::<[u8; 2]>(), 0..150),
    ) {
        play(kind, &steps);
    }
}
