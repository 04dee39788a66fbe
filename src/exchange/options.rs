//! What an operator may set of sessions, queues and retained messages.

use std::time::Duration;

/// Bounds of sessions, queues and retained messages (`[mqtt]`).
#[derive(Clone, Debug)]
pub struct ExchangeOptions {
    /// Longest that a session may outlive its connection; [`Duration::MAX`] for ever.
    pub session_expiry_max: Duration,
    /// Most sessions that outlive their connections.
    pub sessions_max: usize,
    /// Most of them of one program; all programs together have at most half of all.
    pub sessions_per_program_max: usize,
    /// Most connections of one program: each reads the events for itself.
    pub connections_per_program_max: usize,
    /// Most messages that wait for one board.
    pub queue_messages_max: usize,
    /// Most bytes of topics, payloads and properties that wait for one board.
    pub queue_bytes_max: u64,
    /// Which message is lost when a queue is full.
    pub queue_full: QueueFull,
    /// Longest that a message waits for a board.
    pub queue_age_max: Duration,
    /// Most retained messages of all tenants.
    pub retained_messages_max: usize,
    /// Most of them that one board published.
    pub retained_per_board_max: usize,
    /// Most of them that one program published.
    pub retained_per_program_max: usize,
    /// Most bytes of all of them, which are in memory.
    pub retained_bytes_max: u64,
    /// Most bytes of one.
    pub retained_message_max: u64,
    /// How far a program's session may be behind, in bytes of events.
    pub program_session_lag_max: u64,
    /// Most groups of programs that share a subscription.
    pub shared_groups_max: usize,
}

/// Which message is lost when a queue is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueueFull {
    /// The one that waits longest.
    DropOldest,
    /// The one that comes.
    RefuseNewest,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            session_expiry_max: Duration::from_secs(7 * 86_400),
            sessions_max: 500_000,
            sessions_per_program_max: 100,
            connections_per_program_max: 1_000,
            queue_messages_max: 1_000,
            queue_bytes_max: 1 << 20,
            queue_full: QueueFull::DropOldest,
            queue_age_max: Duration::from_secs(7 * 86_400),
            retained_messages_max: 100_000,
            retained_per_board_max: 100,
            retained_per_program_max: 50_000,
            retained_bytes_max: 64 << 20,
            retained_message_max: 64 << 10,
            program_session_lag_max: 256 << 20,
            shared_groups_max: 100,
        }
    }
}
