//! `[mqtt]`: boards.

use crate::bounded::{Bounded, DAY, GIB, KIB, MIB, MINUTE, Period, SECOND, Size};
use crate::section::{section, words};
use crate::top::Auth;
use std::net::SocketAddr;

words! {
    /// Which message is lost when a board's queue is full.
    QueueFull {
        /// The one that waits longest: what is newer is worth more.
        DropOldest = "drop_oldest",
        /// The one that comes: what was promised first is kept.
        RefuseNewest = "refuse_newest",
    }
}

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
        /// Longest that a session, its subscriptions and what waits for it are kept after the
        /// connection; a client that asks for more is told so (MQTT 5.0). A board that is away for a
        /// week is away for other reasons than its network. `0ms` keeps none.
        restart session_expiry_max: Period<0, { 3_650 * DAY }> = "7d",
        /// Most sessions that are kept; one more lives only as long as its connection. Each is some
        /// 1 KiB of memory and of the store.
        restart sessions_max: Bounded<0, 10_000_000> = 500_000,
        /// Most messages that wait for one board, its commands not counted. A board that is away for
        /// a day is sent some hundreds.
        restart queue_messages_max: Bounded<1, 100_000> = 1000,
        /// Most bytes that wait for one board: what one that never comes back costs the store.
        restart queue_bytes_max: Size<KIB, GIB> = "1 MiB",
        /// Which message is lost when a board's queue is full. The first loss is told in
        /// `lastmile.message.dropped`.
        restart queue_full: QueueFull = "drop_oldest",
        /// Longest that a message waits for a board, whatever expiry its publisher gave it. After a
        /// week nobody means it any more.
        restart queue_age_max: Period<SECOND, { 3_650 * DAY }> = "7d",
        /// Most retained messages of all tenants. Each is in memory, so that a subscription is
        /// answered without a read: one for every other board of a large fleet.
        restart retained_messages_max: Bounded<0, 10_000_000> = 100_000,
        /// Most bytes of all retained messages, which is memory as well.
        restart retained_bytes_max: Size<0, { 16 * GIB }> = "64 MiB",
        /// Largest retained message. A state is hundreds of bytes; what is larger is a file.
        restart retained_message_max: Size<0, { 16 * MIB }> = "64 KiB",
        /// How many bytes of events a program's kept session, or a subscription that programs share,
        /// may be behind. Until then events are not trimmed before they have them; beyond it a
        /// session ends and a shared subscription goes on with the newest event, and
        /// `lastmile.session.dropped` tells of it.
        restart program_session_max_lag: Size<MIB, { 1024 * GIB }> = "256 MiB",
        /// Most different subscriptions that programs share. Each reads the events for itself, which
        /// costs as much as a sink.
        restart shared_groups_max: Bounded<0, 10_000> = 100,
        /// Failed sign-ins per minute from one address, or at one board's user name from all addresses,
        /// before the next wait. A board whose name is guessed at is still heard from the address where
        /// it was last. There is no limit of connections per address, since a whole carrier stands
        /// behind one.
        restart failed_sign_ins_per_minute: Bounded<1, 100_000> = 10,
    }
}
