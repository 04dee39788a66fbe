//! What an operator may set of a sink.

use super::Filter;
use model::Tenant;
use std::time::Duration;

/// Bounds and habits of one sink.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Its name: keys the cursor, labels the metrics. `a-z`, `0-9`, `-` and `_`, at most 64.
    pub name: Box<str>,
    /// Which events it gets.
    pub filter: Filter,
    /// Most events in one batch. Beyond some 1,000 a larger batch gains nothing.
    pub batch_rows_max: usize,
    /// Most bytes of one batch's body; a single event that is larger goes alone.
    pub batch_bytes_max: usize,
    /// Most bytes of batches that wait for their turn while their ends go to disk; at least one does.
    pub ahead_bytes_max: usize,
    /// Least time between two batches that are not full, so that under load events travel together.
    /// An event after a pause goes at once.
    pub linger: Duration,
    /// How long one attempt may take, from connecting to the answer's head.
    pub timeout: Duration,
    /// The first ceiling of the pause between attempts; the pause is drawn from 0 to the ceiling,
    /// which doubles each time.
    pub retry_min: Duration,
    /// The highest ceiling of that pause.
    pub retry_max: Duration,
    /// The longest `Retry-After` that is honoured; a longer one is cut to this.
    pub retry_after_max: Duration,
    /// How long a single event may fail (other than by refusal) while others succeed before it is
    /// parked. After half of it a failing batch is halved to find the event.
    pub poison_after: Duration,
    /// Set when the outbox does not wait for it.
    pub optional: Option<Optional>,
}

/// What a sink is allowed that the outbox does not wait for.
#[derive(Clone, Debug)]
pub struct Optional {
    /// How far it may be behind, in bytes of data; beyond it, it skips the older half.
    pub lag_bytes_max: u64,
    /// Whose sink it is: who is told when it skips.
    pub tenant: Tenant,
}

impl SinkOptions {
    /// The defaults for a sink of that name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            filter: Filter::default(),
            batch_rows_max: 1_000,
            batch_bytes_max: 1 << 20,
            ahead_bytes_max: 8 << 20,
            linger: Duration::from_millis(20),
            timeout: Duration::from_secs(30),
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(600),
            poison_after: Duration::from_secs(900),
            optional: None,
        }
    }

    /// The name of its cursor in the store.
    pub fn cursor_name(&self) -> Box<str> {
        cursor_name(&self.name)
    }
}

/// The name of a sink's cursor in the store.
pub(super) fn cursor_name(sink: &str) -> Box<str> {
    format!("sink:{sink}").into_boxed_str()
}
