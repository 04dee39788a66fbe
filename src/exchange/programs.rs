//! Programs: each session reads the events from a place of its own, or with others of its group.

use super::{Exchange, Membership, Progress, Seat, is_present, peek};
use crate::deliver::{Feed, FeedStart, Filter as EventFilter, Positions};
use crate::store::{Position, ReadError, Store, WriteError, Writer};
use ::mqtt::SharedPlaces;
use model::{DeviceId, Tenant};
use std::sync::Arc;

/// Why a program does not take part in a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// Its session was not kept with such a subscription, or more groups might be when it was.
    #[error("there is no such group")]
    NoSuchGroup,
}

impl Exchange {
    /// The events that a program's session is to be sent, from where it was.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn feed(&self, seat: &Seat) -> Result<Feed, ReadError> {
        let session = &seat.session;
        let done = session.lock().reading.map(|reading| reading.done).unwrap_or_default();
        feed_after(&self.store, &self.writer, &session.tenant, done).await
    }

    /// Where the newest event stands.
    ///
    /// # Errors
    ///
    /// When that cannot be read.
    pub async fn newest(&self) -> Result<Position, ReadError> {
        Ok(self.store.head().await?.into_iter().next().unwrap_or_default())
    }

    /// Where a program's session is: what its [`Progress`] begins with.
    #[must_use]
    pub fn position(&self, seat: &Seat) -> Position {
        seat.session.lock().reading.map(|reading| reading.done).unwrap_or_default()
    }

    /// The same with what it is done with beyond, where it goes on.
    #[must_use]
    pub fn progress(&self, seat: &Seat) -> Progress {
        let inner = seat.session.lock();
        let at = inner.reading.map(|reading| reading.done).unwrap_or_default();
        Progress::resumed(at, inner.ahead.clone())
    }

    /// Whether events are kept for a program's session to read.
    #[must_use]
    pub fn has_place(&self, seat: &Seat) -> bool {
        seat.session.lock().reading.is_some_and(|reading| reading.stored.is_some())
    }

    /// A program's session has come so far. Written behind, and with the next [`Exchange::keep`].
    pub fn advance(&self, seat: &Seat, progress: &Progress) {
        let mut inner = seat.session.lock();
        if !is_present(&inner, seat) {
            return;
        }
        let to = progress.position();
        inner.ahead = progress.ahead();
        if let Some(reading) = inner.reading.as_mut().filter(|reading| reading.done < to) {
            reading.done = to;
            if reading.stored.is_some() {
                self.dirty.lock().insert(seat.session.number);
            }
        }
    }

    /// Takes part in a shared subscription of programs (`$share/<group>/<filter>`), which the
    /// session must have been [kept](Self::keep) with; at most `window` messages are with the member
    /// at once.
    ///
    /// # Errors
    ///
    /// When it has no such subscription, or there are as many groups as may be.
    pub fn join(&self, seat: &Seat, filter: &str, window: usize) -> Result<Membership, JoinError> {
        self.groups.join(&self.store, &self.writer, &seat.session.tenant, filter, window)
    }

    /// Who is asked before a program's shared subscription is granted: what is granted has its place
    /// among the groups from then on.
    #[must_use]
    pub fn shares(self: &Arc<Self>, seat: &Seat) -> Arc<dyn SharedPlaces> {
        Arc::new(Shares { exchange: Arc::clone(self), seat: seat.clone() })
    }

    /// Ends the sessions of programs that do not stand any more: their tokens are revoked.
    ///
    /// # Errors
    ///
    /// When one could not be forgotten on disk; those after it are left.
    pub async fn end_programs(
        &self,
        stands: impl Fn(&Tenant, &DeviceId) -> bool,
    ) -> Result<(), WriteError> {
        let all: Vec<_> = self.by_number.iter().map(|found| Arc::clone(&found)).collect();
        for session in all.into_iter().filter(|session| session.is_program) {
            if !stands(&session.tenant, &session.owner) {
                self.end(&session, "revoked", None).await?;
            }
        }
        Ok(())
    }
}

/// One program's connection, asking for groups.
#[derive(Debug)]
struct Shares {
    exchange: Arc<Exchange>,
    seat: Seat,
}

impl SharedPlaces for Shares {
    fn take(&self, filter: &str) -> bool {
        let inner = self.seat.session.lock();
        is_present(&inner, &self.seat)
            && self.exchange.groups.claim(&self.seat.session, &inner, filter)
    }
}

/// The events of a tenant that were messages, behind a place.
pub(super) async fn feed_after(
    store: &Arc<dyn Store>,
    writer: &Writer,
    tenant: &Tenant,
    done: Position,
) -> Result<Feed, ReadError> {
    let filter = EventFilter::new(peek::kinds(), [tenant.clone()]);
    let filter = filter.expect("the types of our events are spelled as such");
    let start = FeedStart::After(Positions::of_shard(done));
    Feed::open(Arc::clone(store), writer, filter, start).await
}
