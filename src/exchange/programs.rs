//! Programs: each session reads the events from a place of its own, or with others of its group.

use super::{Exchange, JoinError, Membership, Seat, is_present, peek};
use crate::deliver::{Feed, FeedStart, Filter as EventFilter, Positions};
use crate::store::{Position, ReadError, Store, WriteError, Writer};
use model::{DeviceId, Tenant};
use std::sync::Arc;

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

    /// Where a program's session is: what its [`Progress`](super::Progress) begins with.
    #[must_use]
    pub fn position(&self, seat: &Seat) -> Position {
        seat.session.lock().reading.map(|reading| reading.done).unwrap_or_default()
    }

    /// A program's session is done with everything up to `to`. Written behind, and with the next
    /// [`Exchange::keep`].
    pub fn advance(&self, seat: &Seat, to: Position) {
        let mut inner = seat.session.lock();
        if !is_present(&inner, seat) {
            return;
        }
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

    /// Whether one more group of programs may be: asked before a shared subscription is granted.
    #[must_use]
    pub fn has_room_for(&self, tenant: &Tenant, filter: &str) -> bool {
        self.groups.has_room_for(tenant, filter)
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
