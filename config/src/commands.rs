//! `[commands]`: what devices are told to do.

use crate::bounded::Bounded;
use crate::section::section;

section! {
    /// What devices are told to do. How long a message to a board may be follows `mqtt.packet_max` and
    /// `mqtt.topic_bytes_max`.
    Commands "[commands]" "commands." {
        /// Most commands that may be open for one device; the next is refused. What an operator has in
        /// mind at once, many times.
        restart open_per_device_max: Bounded<1, 100_000> = 100,
        /// Most commands that may be open for all devices together: some 1 KB of memory each with what
        /// they carry. One for every other device of the largest fleet.
        restart open_max: Bounded<1, 100_000_000> = 1_000_000,
        /// Most times that a command is sent which has `retry`. With a first pause of 5 minutes the
        /// tenth try is 2 days later.
        restart attempts_max: Bounded<1, 1_000> = 10,
    }
}
