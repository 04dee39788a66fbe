//! When a payment is pushed, asked about, and given up.

use jiff::Timestamp;
use std::time::Duration;

/// When a payment is pushed, asked about, and given up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How long after it was wanted a prompt is asked for: while the dialogue is open the phone
    /// cannot show it.
    pub push_delay: Duration,
    /// How long after it was wanted a prompt may still be asked for: later the customer has gone away,
    /// or tries again by himself.
    pub push_within: Duration,
    /// How long after a push that did not leave us the next one follows.
    pub push_again_after: Duration,
    /// How often a push is tried that does not leave us.
    pub pushes_max: u8,
    /// When the provider is asked, counted from the push; at least one, rising. After the last one
    /// the customer is told that it is not confirmed.
    pub query_after: Box<[Duration]>,
    /// When he is asked after that, counted from the push, rising. After the last one it is the
    /// operator's.
    pub reconcile_after: Box<[Duration]>,
    /// How long a payment of which nobody knows keeps the customer from another prompt.
    pub unresolved_hold: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            push_delay: Duration::from_secs(3),
            push_within: Duration::from_secs(600),
            push_again_after: Duration::from_secs(5),
            pushes_max: 3,
            query_after: [30, 60, 90, 120].map(Duration::from_secs).into(),
            reconcile_after: [300, 900, 3_600, 21_600, 86_400].map(Duration::from_secs).into(),
            unresolved_hold: Duration::from_secs(300),
        }
    }
}

impl Timing {
    /// The last moment of [`Timing::query_after`].
    pub(super) fn last_query(&self, counted_from: Timestamp) -> Timestamp {
        after(counted_from, self.query_after.last().copied().unwrap_or_default())
    }

    /// The first moment after `now` when the provider is to be asked.
    pub(super) fn next(&self, counted_from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let moments = self.query_after.iter().chain(&self.reconcile_after);
        moments.map(|it| after(counted_from, *it)).find(|it| now < *it)
    }

    /// The first of [`Timing::reconcile_after`] after `now`.
    pub(super) fn next_late(&self, counted_from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        self.reconcile_after.iter().map(|it| after(counted_from, *it)).find(|it| now < *it)
    }
}

/// That long after a moment, at most the last one there is.
pub(super) fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}
