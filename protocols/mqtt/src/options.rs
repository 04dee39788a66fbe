//! What an operator may set, as the session needs it.

use crate::TopicLimits;
use std::time::Duration;

/// The bounds of every session. One value is shared by all (`Arc`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// From accepting the connection to CONNECT answered. A modem on a poor link needs some
    /// seconds for TCP's retries; who needs more than 10 s holds a socket for nothing.
    pub connect_timeout: Duration,
    /// Longest CONNECT body, in bytes: what a stranger can make us hold. Client id, user,
    /// password and a will of ordinary size fit many times.
    pub connect_len_max: usize,
    /// Longest body of any other packet, in bytes. Boards send kilobytes.
    pub packet_len_max: usize,
    /// Longest keep-alive. A board that asks for more, or for none, is closed after one and a
    /// half times this; the default is the most that 3.1.1 can say, so none is cut.
    pub keep_alive_max: Duration,
    /// Bounds of topic names and filters.
    pub topic: TopicLimits,
    /// Most filters a board may be subscribed to, and most of one SUBSCRIBE that are looked at. It has
    /// one subtree; 100 is generous.
    pub subscriptions_max: usize,
    /// Most facts of one session between being handed out and settled. Reading stops there, so
    /// it bounds memory, not throughput: a window of 10 is usual, 512 fills a group commit.
    pub unsettled_max: usize,
    /// Most bytes of event data of one session between being handed out and settled. Reading
    /// stops once it is passed, so at most one packet more is held.
    pub unsettled_bytes_max: usize,
    /// Most publishes of one session per second, at least 1, filters that it subscribes to or not any
    /// more counted as well; beyond, reading stops until the second is over. A board that was out of
    /// reach empties its queue at some hundreds per second.
    pub publish_rate_max: u32,
    /// Most commands and messages of one session sent and not acknowledged: mosquitto's default of
    /// 20. A client's Receive Maximum lowers it.
    pub inflight_max: usize,
    /// Most bytes that wait to be written before reading stops: a peer that does not read its
    /// answers may not make us keep more.
    pub output_bytes_max: usize,
    /// Most publishes of one session of 5.0 at QoS 1 and 2 that are not answered, at least 1; said in
    /// CONNACK as Receive Maximum. Each costs 16 bytes, and waits for a commit: 100 in one group
    /// commit of some milliseconds are beyond any modem.
    pub receive_max: u16,
    /// Most publishes of one session of 3.x at QoS 2 begun and not released, at least 1. 3.x has no
    /// word for it, and a client that waits for PUBREC before it says PUBREL begins as many as it
    /// likes; what it says waits behind what it sent, so that not reading would be for ever.
    pub unreleased_max_3x: usize,
    /// Most topics that may be named by a number, either way, in 5.0; 0: none. Each is kept as text
    /// as long as the connection.
    pub topic_alias_max: u16,
    /// For how long after its connection a 3.x session without "clean session" is kept: 3.x has no
    /// word for it, and for ever is too long for a board that was thrown away.
    pub session_expiry_3x: Duration,
    /// Whether connecting and disconnecting are events.
    pub presence: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            connect_len_max: 16 * 1024,
            packet_len_max: 256 * 1024,
            keep_alive_max: Duration::from_secs(65_535),
            topic: TopicLimits::default(),
            subscriptions_max: 100,
            unsettled_max: 512,
            unsettled_bytes_max: 512 * 1024,
            publish_rate_max: 2_000,
            inflight_max: 20,
            output_bytes_max: 64 * 1024,
            receive_max: 100,
            unreleased_max_3x: 1_000,
            topic_alias_max: 16,
            session_expiry_3x: Duration::from_secs(7 * 24 * 3600),
            presence: true,
        }
    }
}
