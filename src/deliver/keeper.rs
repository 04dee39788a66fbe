//! Removes what every required reader has and commands long at their end, and measures how far
//! each sink is behind.
//!
//! Never removes an event that a required reader lacks, not even when the store is full.

use super::Metrics;
use super::options::cursor_name;
use crate::clock::Clock;
use crate::store::{CommitError, Cursor, Position, ReadError, Room, Store, Writer};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Bounds of the keeper.
#[derive(Clone, Copy, Debug)]
pub struct KeeperOptions {
    /// How long events stay after every required reader has them, for resume and replay
    /// (`events.retain`),
    /// and commands after their end.
    pub retain: Duration,
    /// How often it looks.
    pub interval: Duration,
    /// Most events removed in one transaction: it holds up the writer while it runs, for about a
    /// microsecond an event.
    pub rows_max: usize,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        Self {
            retain: Duration::from_secs(72 * 3_600),
            interval: Duration::from_secs(5),
            rows_max: 10_000,
        }
    }
}

/// The one task that trims.
pub struct Keeper {
    store: Arc<dyn Store>,
    clock: Clock,
    room: watch::Receiver<Room>,
    options: KeeperOptions,
    metrics: Metrics,
    sinks: Vec<Box<str>>,
}

/// Between two removals in a full store: time for the writer to notice the room.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// Most commands removed in one transaction: each may touch pages of its own in two indexes, and
/// this many still fit into the ballast.
const COMMANDS_STEP_MAX: usize = 500;
/// Most such transactions in one look: 2,000 commands a second at the default interval, more than
/// are made.
const COMMAND_STEPS_MAX: usize = 20;
/// How long commands stay after their end in a full store: who waits for one still learns its end,
/// and asking again under its key is still the same as asking once.
const ENDED_FULL: Duration = Duration::from_secs(3_600);

/// A full store is trimmed to this part of its quota, in percent, so that it is not full again at
/// once.
const FREE_TO_PERCENT: u64 = 90;

impl Keeper {
    /// A keeper; `sinks` are the configured sinks' names, for the metrics.
    pub fn new(
        store: Arc<dyn Store>,
        writer: &Writer,
        clock: Clock,
        options: KeeperOptions,
        metrics: Metrics,
        sinks: Vec<Box<str>>,
    ) -> Self {
        Self { store, clock, room: writer.room_changes(), options, metrics, sinks }
    }

    /// Trims and measures until `stop`. Ends with an error only when the store has failed.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), CommitError> {
        let mut look = interval(self.options.interval);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = look.tick() => {}
                changed = self.room.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
            // A removal is short, so a stop in between need not interrupt it.
            match self.look().await {
                Ok(()) => {}
                Err(KeepError::Read(error)) => warn!(%error, "the outbox could not be looked over"),
                Err(KeepError::Trim(CommitError::Full)) => {
                    warn!("no room to trim, trying again");
                }
                Err(KeepError::Trim(failed)) => return Err(failed),
            }
        }
    }

    async fn look(&mut self) -> Result<(), KeepError> {
        let cursors = self.store.cursors().await?;
        let heads = self.store.head().await?;
        self.measure(&cursors, &heads).await?;
        for head in heads {
            let to = passed_by_all(&cursors, head);
            self.trim(to).await?;
        }
        self.trim_commands().await
    }

    async fn trim(&mut self, to: Position) -> Result<(), KeepError> {
        loop {
            let full = *self.room.borrow_and_update() == Room::Full;
            let older_than = if full { Timestamp::MAX } else { self.before(self.options.retain) };
            let removed = self.store.trim(to, older_than, self.options.rows_max).await;
            let removed = removed.map_err(KeepError::Trim)?;
            self.metrics.trimmed(removed);
            if removed == 0 {
                return Ok(());
            }
            if full && self.has_room_again().await? {
                return Ok(());
            }
        }
    }

    async fn trim_commands(&mut self) -> Result<(), KeepError> {
        let rows_max = self.options.rows_max.min(COMMANDS_STEP_MAX);
        for _ in 0..COMMAND_STEPS_MAX {
            let full = *self.room.borrow_and_update() == Room::Full;
            let retain = self.options.retain;
            let older_than = self.before(if full { retain.min(ENDED_FULL) } else { retain });
            let removed = self.store.trim_commands(older_than, rows_max).await;
            let removed = removed.map_err(KeepError::Trim)?;
            if removed < rows_max as u64 || (full && self.has_room_again().await?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether enough was removed from a full store; gives the writer a moment to notice when not.
    async fn has_room_again(&mut self) -> Result<bool, ReadError> {
        let usage = self.store.usage().await?;
        let enough = usage.quota_bytes / 100 * FREE_TO_PERCENT;
        if usage.used_bytes <= enough && *self.room.borrow() != Room::Full {
            return Ok(true);
        }
        // Late or changed, the next round asks.
        let _ = timeout(FULL_PAUSE, self.room.changed()).await;
        Ok(false)
    }

    fn before(&self, age: Duration) -> Timestamp {
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        self.clock.now().wall.checked_sub(age).unwrap_or(Timestamp::MIN)
    }

    async fn measure(&self, cursors: &[Cursor], heads: &[Position]) -> Result<(), ReadError> {
        let now = self.clock.now().wall;
        for sink in &self.sinks {
            let name = cursor_name(sink);
            let Some(cursor) = cursors.iter().find(|cursor| cursor.name == name) else { continue };
            let head = heads.iter().find(|head| head.shard == cursor.done.shard);
            let behind = head.map_or(0, |head| head.sequence.saturating_sub(cursor.done.sequence));
            let oldest = match behind {
                0 => None,
                _ => match self.store.events_after(cursor.done, 1, 1).await {
                    Ok(events) => events.into_iter().next(),
                    // The sink itself tells of it.
                    Err(ReadError::Damaged(_)) => None,
                    Err(failed) => return Err(failed),
                },
            };
            let age = oldest.map(|event| now.duration_since(event.time));
            let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
            self.metrics.lag(sink).set(behind, age);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Up to where every required reader of the shard has come; the head when there is none.
fn passed_by_all(cursors: &[Cursor], head: Position) -> Position {
    let required = cursors.iter().filter(|cursor| cursor.required);
    let of_shard = required.map(|cursor| cursor.done).filter(|done| done.shard == head.shard);
    of_shard.min().unwrap_or(head).min(head)
}

/// What ends a look.
enum KeepError {
    Read(ReadError),
    Trim(CommitError),
}

impl From<ReadError> for KeepError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_slowest_required_reader_only() {
        let at = |sequence| Position { shard: 0, sequence };
        let cursor = |name: &str, sequence, required| Cursor {
            name: name.into(),
            done: at(sequence),
            batch_ends: vec![at(sequence + 1)],
            required,
            skipped: 0,
        };
        let cursors = [cursor("sink:a", 7, true), cursor("b", 5, true), cursor("c", 1, false)];
        assert_eq!(passed_by_all(&cursors, at(9)), at(5));
        assert_eq!(passed_by_all(&cursors[2..], at(9)), at(9), "nobody required is behind");
        assert_eq!(passed_by_all(&[], at(9)), at(9));
    }
}
