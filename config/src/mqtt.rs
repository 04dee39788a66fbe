//! `[mqtt]`: boards.

use crate::bounded::{Bounded, KIB, MIB, MINUTE, Period, SECOND, Size};
use crate::section::section;
use crate::top::Auth;
use std::net::SocketAddr;

section! {
    /// Boards, over MQTT.
    Mqtt "[mqtt]" "mqtt." {
        /// Where boards connect without TLS. 1883 is MQTT's registered port.
        restart listen: SocketAddr = "0.0.0.0:1883",
        /// Where boards connect with TLS 1.2 or 1.3 (8883 is registered); needs a certificate in
        /// `[tls]`. Off by default, because no certificate is there at first.
        restart tls_listen: Option<SocketAddr> = none,
        /// Whether a board must sign in. `open` is for a lab: it opens every topic to everyone too.
        restart auth: Auth = "required",
        /// Longest wait for CONNECT after the connection. A board on LTE-M needs two round trips of
        /// a second; ten leave room for a retransmission.
        restart connect_timeout: Period<SECOND, { 5 * MINUTE }> = "10s",
        /// Largest packet. Telemetry is hundreds of bytes; the limit is what one peer can make us
        /// buffer before anything of it is judged.
        restart packet_max: Size<KIB, { 16 * MIB }> = "256 KiB",
        /// Most levels of a topic or filter: matching costs time for each.
        restart topic_levels_max: Bounded<4, 128> = 32,
        /// Longest topic or filter. The protocol allows 65,535 bytes, which nobody means.
        restart topic_bytes_max: Bounded<64, 65_535> = 1024,
        /// Most subscriptions of one board: each is compared with what is published to it.
        restart subscriptions_max: Bounded<1, 10_000> = 100,
        /// Most messages of one board that wait for their commit. Beyond it the socket is not read,
        /// which slows that board alone. A window of 10 is usual; 512 fill a group commit.
        restart unsettled_max: Bounded<1, 65_535> = 512,
        /// Most messages sent to one board that wait for its PUBACK; the others wait in the store. A
        /// board's modem has few buffers.
        restart inflight_max: Bounded<1, 65_535> = 20,
        /// Most publishes per second of one board; beyond it the socket is not read until the second
        /// is over. A board that has been out of reach empties its queue at some hundreds.
        restart publish_rate_max: Bounded<1, 1_000_000> = 2000,
        /// Longest keep-alive that a board may ask for, and what is taken for 0 (none) as well when
        /// it is set below the protocol's own limit of 65,535 s.
        restart keep_alive_max: Period<SECOND, { 65_535 * SECOND }> = "65535s",
        /// Most connections at once, both listeners together. An idle one costs some 4 KiB.
        restart connections_max: Bounded<1, 2_000_000> = 200_000,
        /// Failed sign-ins per minute from one address, or at one board's user name from all addresses,
        /// before the next wait. A board whose name is guessed at is still heard from the address where
        /// it was last. There is no limit of connections per address, since a whole carrier stands
        /// behind one.
        restart failed_sign_ins_per_minute: Bounded<1, 100_000> = 10,
    }
}
