//! `[beam]`: messages that SORACOM Beam brings.

use crate::bounded::{Bounded, HOUR, KIB, MINUTE, Period, SECOND, Size};
use crate::section::section;
use std::net::SocketAddr;
use std::path::PathBuf;

section! {
    /// Messages that SORACOM Beam brings: by HTTP to `/beam` on `public.listen`, by TCP and by UDP.
    Beam "[beam]" "beam." {
        /// A file that holds the pre-shared key given to Beam, 8 to 4,096 bytes on one line. Without it
        /// nobody's signature is right, and every message is refused.
        restart secret_file: Option<PathBuf> = none,
        /// Where Beam connects by TCP. Off by default; there is no TLS here: put a proxy with TLS in
        /// front, which hands on the bytes.
        restart tcp_listen: Option<SocketAddr> = none,
        /// Where datagrams come in. Off by default: what is lost on the way to us, and what comes while
        /// the store is behind, nobody sends again.
        restart udp_listen: Option<SocketAddr> = none,
        /// How old a signature may be, or how far ahead. It does not cover the message, so whoever
        /// overhears one could send under it for as long.
        restart max_age: Period<SECOND, HOUR> = "5m",
        /// Largest message of a board, unwrapped. Beam itself carries 64 KiB by TCP and UDP.
        restart message_max: Size<KIB, { 64 * KIB }> = "64 KiB",
        /// Most TCP connections at once. Beam opens one for each board that speaks.
        restart connections_max: Bounded<1, 100_000> = 1_000,
        /// Most datagrams that wait for their commit; beyond it the socket is not read.
        restart datagrams_max: Bounded<1, 10_000> = 512,
        /// Longest wait for the signed line of a TCP connection, and for each answer to be taken.
        restart line_timeout: Period<SECOND, MINUTE> = "10s",
        /// Longest silence on a TCP connection between two messages.
        restart idle_timeout: Period<SECOND, { 24 * HOUR }> = "15m",
        /// Most messages per second from one address. Whole fleets come through a few addresses of
        /// SORACOM's, so this bounds what a stranger costs and no board.
        restart rate_per_address: Bounded<1, 1_000_000> = 10_000,
        /// Most messages per minute of one board: a sketch that loops shall not fill the store.
        restart rate_per_device: Bounded<1, 1_000_000> = 600,
    }
}
