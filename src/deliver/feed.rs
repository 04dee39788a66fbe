//! The events as a stream, for `GET /api/v1/events`.
//!
//! Reads the outbox as a sink does, but keeps no cursor: who listens remembers where it was and
//! says so when it comes back. Holds at most one read of events; a slow listener slows only itself,
//! and is told when what it missed was trimmed meanwhile.

use super::Filter;
use crate::store::{Position, ReadError, Store, StoredEvent, Writer};
use futures_util::stream::{self, Stream};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Where a listener was: one position for each shard. Opaque to it: the SSE `id`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Positions(Vec<Position>);

impl Positions {
    /// Most shards in one text: what `Last-Event-ID` may make us hold.
    pub const SHARDS_MAX: usize = 64;

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let positions = text.split(',').map(|part| Position::parse(part.trim()));
        let positions: Vec<_> = positions.take(Self::SHARDS_MAX + 1).collect::<Option<_>>()?;
        (positions.len() <= Self::SHARDS_MAX).then_some(Self(positions))
    }

    /// Of a reader of the one shard.
    pub(crate) fn of_shard(position: Position) -> Self {
        Self(vec![position])
    }

    fn of(&self, shard: u16) -> Option<Position> {
        self.0.iter().copied().find(|position| position.shard == shard)
    }
}

/// `shard-sequence`, joined by commas.
impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, position) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{position}")?;
        }
        Ok(())
    }
}

/// Where a feed begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedStart {
    /// With the next event that is committed.
    Now,
    /// With the oldest event there is.
    Oldest,
    /// After what the listener has: its `Last-Event-ID`.
    After(Positions),
}

/// What a feed yields.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// An event, and where the listener is once it has it.
    Event {
        /// The event.
        event: StoredEvent,
        /// What to give as `id`, and to hand back to [`FeedStart::After`].
        resume: Positions,
    },
    /// Events are missing here: they were trimmed before the listener came for them, are damaged,
    /// or it comes from another store. What follows is the oldest there is.
    Gap {
        /// The last position before it.
        after: Position,
    },
}

/// A reader of the events as they are committed.
pub struct Feed {
    store: Arc<dyn Store>,
    committed: watch::Receiver<u64>,
    filter: Filter,
    at: Vec<Position>,
    ready: VecDeque<FeedItem>,
}

/// Events of one read.
const ROWS_MAX: usize = 256;

/// Bytes of data of one read.
const BYTES_MAX: usize = 1 << 20;

impl Feed {
    /// A feed of the events that `filter` wants.
    pub async fn open(
        store: Arc<dyn Store>,
        writer: &Writer,
        filter: Filter,
        start: FeedStart,
    ) -> Result<Self, ReadError> {
        // Before the head is read: what is committed in between is not missed.
        let committed = writer.committed();
        let heads = store.head().await?;
        let mut feed = Self { store, committed, filter, at: Vec::new(), ready: VecDeque::new() };
        for head in heads {
            let at = match &start {
                FeedStart::Now => head,
                FeedStart::Oldest => feed.oldest(head).await?,
                FeedStart::After(positions) => match positions.of(head.shard) {
                    Some(after) if after <= head => after,
                    // Ahead of all there is, or of a shard it does not know: start over, and say so.
                    unknown => {
                        let after = unknown.unwrap_or(Position { shard: head.shard, sequence: 0 });
                        feed.ready.push_back(FeedItem::Gap { after });
                        feed.oldest(head).await?
                    }
                },
            };
            feed.at.push(at);
        }
        Ok(feed)
    }

    /// Where the feed is: what a listener that has everything so far would resume after. Moves on
    /// over unwanted events too, so a keep-alive may carry it as `id`.
    pub fn position(&self) -> Positions {
        Positions(self.at.clone())
    }

    /// The next item; waits for one. `None` when the daemon stops. Cancelled, it loses nothing.
    pub async fn next(&mut self) -> Option<Result<FeedItem, ReadError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            // Before the reads: a commit during them is seen afterwards.
            self.committed.borrow_and_update();
            match self.read().await {
                Ok(true) => {}
                Ok(false) => self.committed.changed().await.ok()?,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The feed as a stream; it ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<FeedItem, ReadError>> + Send {
        stream::unfold(Some(self), async |feed| {
            let mut feed = feed?;
            let item = feed.next().await?;
            let feed = item.is_ok().then_some(feed);
            Some((item, feed))
        })
    }

    /// Reads each shard once; false when there was nothing.
    async fn read(&mut self) -> Result<bool, ReadError> {
        let mut found = false;
        for shard in 0..self.at.len() {
            let after = self.at[shard];
            let events = match self.store.events_after(after, ROWS_MAX, BYTES_MAX).await {
                // One by one up to the damaged event, which is left out like a trimmed one.
                Err(ReadError::Damaged(_)) => match self.store.events_after(after, 1, 1).await {
                    Err(ReadError::Damaged(position)) => {
                        self.ready.push_back(FeedItem::Gap { after });
                        self.at[shard] = position;
                        found = true;
                        continue;
                    }
                    other => other?,
                },
                other => other?,
            };
            found |= !events.is_empty();
            for event in events {
                let expected = self.at[shard].sequence + 1;
                if event.position.sequence > expected {
                    self.ready.push_back(FeedItem::Gap { after: self.at[shard] });
                }
                self.at[shard] = event.position;
                if self.filter.wants(&event) {
                    let resume = self.position();
                    self.ready.push_back(FeedItem::Event { event, resume });
                }
            }
        }
        Ok(found)
    }

    async fn oldest(&self, head: Position) -> Result<Position, ReadError> {
        let start = Position { shard: head.shard, sequence: 0 };
        let first = self.store.events_after(start, 1, 1).await?;
        let before = |event: &StoredEvent| event.position.sequence.saturating_sub(1);
        let sequence = first.first().map_or(head.sequence, before);
        Ok(Position { sequence, ..start })
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("at", &self.at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        for text in ["0-12", "0-12,1-4"] {
            assert_eq!(Positions::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "12", "0-", "0-1,", "0-1;1-2", "-1-2"] {
            assert_eq!(Positions::parse(wrong), None, "{wrong}");
        }
        let many = vec!["0-1"; Positions::SHARDS_MAX + 1].join(",");
        assert_eq!(Positions::parse(&many), None);
    }
}
