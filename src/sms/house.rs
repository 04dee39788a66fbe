//! Removes texts that need not be kept any longer.

use crate::clock::Clock;
use crate::shutdown::Stage;
use crate::store::{Operation, SmsOperation, WriteError, Writer};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tracing::debug;

/// How often.
const TRIM_EVERY: Duration = Duration::from_secs(600);
/// Texts, and broadcasts, that are removed in one step.
const TRIM_ROWS: usize = 5_000;

/// The housekeeper of texts.
#[derive(Debug)]
pub struct House {
    /// Where they are.
    pub writer: Writer,
    /// The time.
    pub clock: Clock,
    /// How long what became of a text is kept.
    pub retain: Duration,
}

impl House {
    /// Keeps house until the stage stops.
    pub async fn run(self, stage: Stage) {
        let mut tick = tokio::time::interval(TRIM_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => return,
            }
            if let Err(error) = self.trim().await {
                debug!(%error, "old texts are not removed; tried again");
            }
        }
    }

    async fn trim(&self) -> Result<(), WriteError> {
        let retain = SignedDuration::try_from(self.retain).unwrap_or(SignedDuration::MAX);
        let now = self.clock.now().wall;
        let older_than = now.checked_sub(retain).unwrap_or(Timestamp::MIN);
        let trim = SmsOperation::Trim { older_than, rows_max: TRIM_ROWS };
        self.writer.transact(vec![Operation::Sms(trim)]).await
    }
}
