//! What a connection takes of what waits for its session, and says that it has.

use super::session::{Inner, Session};
use super::{Exchange, Queued, Seat, is_present, is_retained};
use crate::store::ReadError;

impl Exchange {
    /// What waits for a session, in its order, then what is retained of topics that it subscribed to,
    /// at most so many; they are with the connection from now on, until it is closed or has them
    /// [acknowledged](Self::acknowledged). Empty when nothing does.
    ///
    /// # Errors
    ///
    /// When what is on disk cannot be read; it stays there.
    pub async fn take(&self, seat: &Seat, max: usize) -> Result<Vec<Queued>, ReadError> {
        let session = &seat.session;
        let mut taken = Vec::new();
        loop {
            let wanted = {
                let mut inner = session.lock();
                if !is_present(&inner, seat) {
                    return Ok(taken);
                }
                taken.extend(inner.queue.take(max - taken.len()));
                let wanted = inner.queue.stored(max - taken.len());
                if wanted.is_empty() && taken.len() < max {
                    taken.extend(self.take_retained(session, &mut inner, max - taken.len()));
                }
                if !taken.is_empty() && wanted.is_empty() || !inner.has_any() {
                    return Ok(taken);
                }
                wanted
            };
            let Some(from) = wanted.first().copied() else {
                // So many topics were looked at for nothing: others are to have their turn.
                tokio::task::yield_now().await;
                continue;
            };
            let read = match self.store.mqtt_queue(session.number, from, wanted.len()).await {
                Ok(read) => read,
                // What was in memory is not lost for it: the next call tells.
                Err(_) if !taken.is_empty() => return Ok(taken),
                Err(error) => return Err(error),
            };
            let read = read.into_iter().map(|row| Queued {
                key: row.key,
                through: row.through,
                is_own: row.is_own,
                message: row.message,
            });
            let mut inner = session.lock();
            if is_present(&inner, seat) {
                taken.extend(inner.queue.read(&wanted, read.collect()));
            }
            // The first that was wanted is handed out or forgotten, so this ends.
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// What is retained, of the first subscription that was not sent all of it.
    fn take_retained(&self, session: &Session, inner: &mut Inner, max: usize) -> Vec<Queued> {
        let Inner { places, readable, .. } = inner;
        // A program's session judges by itself what it may read.
        let readable = (!session.is_program).then_some(&**readable);
        let now = self.clock.now().wall;
        places.read(|filter, after| {
            self.retained.page(&session.tenant, (filter, readable), after, max, now)
        })
    }

    /// A session that is not kept subscribed to this, and is to be sent what is retained. Of one that
    /// is kept [`Exchange::keep`] knows it.
    pub fn send_retained(&self, seat: &Seat, filter: &str) {
        let mut inner = seat.session.lock();
        if is_present(&inner, seat) {
            inner.places.begin(filter);
        }
    }

    /// Whether [`Exchange::take`] may hand out anything.
    #[must_use]
    pub fn has_any(&self, seat: &Seat) -> bool {
        let inner = seat.session.lock();
        is_present(&inner, seat) && inner.has_any()
    }

    /// The client has these messages: they are needed no more. Written behind, and with the next
    /// [`Exchange::keep`].
    pub fn acknowledged(&self, seat: &Seat, keys: &[u64]) {
        let mut inner = seat.session.lock();
        if !is_present(&inner, seat) {
            return;
        }
        let (retained, queued): (Vec<_>, Vec<_>) = keys.iter().partition(|key| is_retained(**key));
        retained.into_iter().for_each(|key| inner.places.done(key));
        let rows = queued.into_iter().filter_map(|key| inner.queue.remove(key));
        let gone: Vec<_> = rows.map(|row| row.key).collect();
        if !gone.is_empty() {
            inner.queue.acknowledged.extend(gone);
            self.dirty.lock().insert(seat.session.number);
        }
    }

    /// The client will not have this message; `reason` is one of few words.
    pub fn give_up(&self, seat: &Seat, key: u64, reason: &str) {
        self.metrics.drop_one(reason);
        self.acknowledged(seat, &[key]);
    }
}

impl Inner {
    fn has_any(&self) -> bool {
        self.queue.has_any() || self.places.has_any()
    }
}
