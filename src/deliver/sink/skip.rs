//! What a sink that is not required may do and no other: pass over what it cannot keep up with.
//!
//! It skips the older half of what waits when that is more than it may be behind, and learns of what
//! was trimmed while it was away. Either is logged, counted, and told in an event
//! `lastmile.sink.skipped`, stored together with the step of the cursor.

use super::super::lag::Lag;
use super::super::options::Optional;
use super::super::reader::Missing;
use super::ahead::Ahead;
use super::cursor::Stored;
use super::{Sink, SinkError};
use crate::store::{Operation, Position, WriteError};
use model::{DeviceId, Event, EventType, Json};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};

/// How often it is counted how far the sink is behind.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How far behind, and when that was looked at.
#[derive(Debug)]
pub(super) struct Behind {
    lag: Lag,
    look_at: Instant,
}

impl Behind {
    pub(super) fn new(optional: &Optional) -> Self {
        Self { lag: Lag::new(optional.lag_bytes_max), look_at: Instant::now() }
    }
}

/// The data of the event.
#[derive(Serialize)]
struct Skipped<'a> {
    sink: &'a str,
    /// The first position that was passed over.
    from: String,
    /// The last.
    to: String,
    /// How many events of all tenants and types that is.
    events: u64,
    cause: &'static str,
}

impl Sink {
    /// Skips when the sink is too far behind, and tells of what was trimmed before it came. True
    /// when it skipped: a batch that was taken from the window is no longer to be sent.
    pub(super) async fn skip_if_behind(&mut self) -> Result<bool, SinkError> {
        if let Some(missing) = self.reader.take_missing()
            && let Some(optional) = self.options.optional.clone()
        {
            self.tell(&optional, missing, "trimmed", None).await?;
        }
        let done = self.done();
        let Some((optional, behind)) = self.options.optional.as_ref().zip(self.behind.as_mut())
        else {
            return Ok(false);
        };
        if behind.look_at > Instant::now() {
            return Ok(false);
        }
        behind.look_at = Instant::now() + LOOK_EVERY;
        let heads = self.store.head().await.map_err(SinkError::Read)?;
        let Some(head) = heads.into_iter().find(|head| head.shard == done.shard) else {
            return Ok(false);
        };
        let bytes = behind.lag.count(&*self.store, done, head).await.map_err(SinkError::Read)?;
        if bytes <= optional.lag_bytes_max {
            return Ok(false);
        }
        let Some(to) = behind.lag.leaving(optional.lag_bytes_max / 2) else { return Ok(false) };
        let optional = optional.clone();
        self.skip(&optional, done, to).await?;
        Ok(true)
    }

    async fn skip(
        &mut self,
        optional: &Optional,
        done: Position,
        to: Position,
    ) -> Result<(), SinkError> {
        // What was parked on the way becomes dead letters before, as it would have been.
        self.flush(Duration::ZERO).await?;
        self.tell(optional, Missing::between(done, to), "max_lag", Some(to)).await?;
        self.stored = Stored { done: to, holds_ends: false };
        self.flushed_at = Instant::now();
        self.ahead = Ahead::found(to, Vec::new());
        self.hunt = super::Hunt::default();
        self.reader.jump(to);
        Ok(())
    }

    /// Logs, counts and stores that events were passed over; the cursor goes with it to `to`.
    async fn tell(
        &self,
        optional: &Optional,
        missing: Missing,
        cause: &'static str,
        to: Option<Position>,
    ) -> Result<(), SinkError> {
        let (sink, events, at) = (&*self.options.name, missing.events(), self.clock.now().wall);
        warn!(sink, from = %missing.first, to = %missing.last, events, cause, "events skipped");
        self.metrics.skipped(cause, events);
        let operations = || -> Vec<Operation> {
            let name = || self.cursor.clone();
            let step = |to| Operation::AdvanceCursor { name: name(), to, parked: Vec::new(), at };
            let count = Operation::CountSkipped { name: name(), events };
            to.map(step).into_iter().chain([count]).collect()
        };
        let (from, to) = (missing.first.to_string(), missing.last.to_string());
        let data = Json::of(&Skipped { sink, from, to, events, cause });
        let subject = DeviceId::sink(sink);
        let event = subject.ok().map(|device| Event {
            tenant: optional.tenant.clone(),
            device,
            kind: EventType::SINK_SKIPPED,
            time: at,
            data,
            facts: None,
        });
        match self.writer.append(event.into_iter().collect(), operations()).await {
            Ok(()) => Ok(()),
            // The step frees space, the event takes some: the log has told of it.
            Err(WriteError::Full) => {
                error!(sink, "no room for the event that tells of skipped events");
                self.write(operations).await
            }
            Err(WriteError::Refused(_)) => Err(SinkError::Dropped),
            Err(error) => Err(SinkError::Write(error)),
        }
    }
}
