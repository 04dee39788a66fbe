//! How the daemon is: for probes that must be told the truth.

use crate::store::Room;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::ApiState;

/// Shared between whoever starts and stops the daemon and the probes.
#[derive(Debug)]
pub struct Health {
    started: AtomicBool,
    stopping: AtomicBool,
    room: watch::Receiver<Room>,
}

/// Why a probe fails. Each is one word in its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The store is being read, or a listener is not open yet.
    Starting,
    /// There is no room: facts are refused until there is.
    StoreFull,
    /// A write failed, or the writer is gone: nothing will be taken until a restart.
    StoreFailed,
    /// The daemon was told to stop.
    Stopping,
}

impl Health {
    /// Not started yet; `room` is [`crate::store::Writer::room_changes`].
    pub fn new(room: watch::Receiver<Room>) -> Self {
        Self { started: AtomicBool::new(false), stopping: AtomicBool::new(false), room }
    }

    /// Every listener is open and the registry is whole.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The daemon was told to stop: from now on nothing new should be sent here.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Why new work should go elsewhere; nothing when it should not.
    pub fn not_ready(&self) -> Vec<Reason> {
        let mut reasons = self.not_started();
        if self.stopping.load(Ordering::Acquire) {
            reasons.push(Reason::Stopping);
        }
        match *self.room.borrow() {
            Room::Free => {}
            Room::Full => reasons.push(Reason::StoreFull),
            Room::Failed => reasons.push(Reason::StoreFailed),
        }
        if self.writer_is_gone() && !reasons.contains(&Reason::StoreFailed) {
            reasons.push(Reason::StoreFailed);
        }
        reasons
    }

    /// Why the process should be replaced by a new one. A full store is no reason: it recovers.
    pub fn not_alive(&self) -> Vec<Reason> {
        let failed = *self.room.borrow() == Room::Failed || self.writer_is_gone();
        let stopping = self.stopping.load(Ordering::Acquire);
        // The writer ends last in an orderly stop.
        if failed && !stopping { vec![Reason::StoreFailed] } else { Vec::new() }
    }

    fn not_started(&self) -> Vec<Reason> {
        if self.started.load(Ordering::Acquire) { Vec::new() } else { vec![Reason::Starting] }
    }

    fn writer_is_gone(&self) -> bool {
        self.room.has_changed().is_err()
    }
}

/// What a probe answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Condition {
    /// Whether all is well.
    ok: bool,
    /// What is not, when it is not.
    reasons: Vec<Reason>,
}

fn condition(reasons: Vec<Reason>) -> (StatusCode, Json<Condition>) {
    let ok = reasons.is_empty();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Condition { ok, reasons }))
}

/// Whether the process works. 503 only when a restart is the remedy.
#[utoipa::path(get, path = "/livez", tag = "probes", security(()), responses(
    (status = 200, description = "It works", body = Condition),
    (status = 503, description = "Restart it", body = Condition),
))]
pub(super) async fn livez(State(state): State<ApiState>) -> (StatusCode, Json<Condition>) {
    condition(state.health.not_alive())
}

/// Whether new work should be sent here.
#[utoipa::path(get, path = "/readyz", tag = "probes", security(()), responses(
    (status = 200, description = "It takes work", body = Condition),
    (status = 503, description = "It does not, for these reasons", body = Condition),
))]
pub(super) async fn readyz(State(state): State<ApiState>) -> (StatusCode, Json<Condition>) {
    condition(state.health.not_ready())
}

/// Whether the start is over.
#[utoipa::path(get, path = "/startupz", tag = "probes", security(()), responses(
    (status = 200, description = "It has started", body = Condition),
    (status = 503, description = "It is starting", body = Condition),
))]
pub(super) async fn startupz(State(state): State<ApiState>) -> (StatusCode, Json<Condition>) {
    condition(state.health.not_started())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_wrong_and_whose_remedy_is_a_restart() {
        let (room, seen) = watch::channel(Room::Free);
        let health = Health::new(seen);
        assert_eq!(health.not_ready(), [Reason::Starting]);
        assert_eq!(health.not_alive(), []);
        health.set_started();
        assert_eq!(health.not_ready(), []);
        room.send_replace(Room::Full);
        assert_eq!(health.not_ready(), [Reason::StoreFull]);
        assert_eq!(health.not_alive(), []);
        room.send_replace(Room::Failed);
        assert_eq!(health.not_ready(), [Reason::StoreFailed]);
        assert_eq!(health.not_alive(), [Reason::StoreFailed]);
        room.send_replace(Room::Free);
        drop(room);
        assert_eq!(health.not_alive(), [Reason::StoreFailed], "the writer is gone");
        health.set_stopping();
        assert_eq!(health.not_ready(), [Reason::Stopping, Reason::StoreFailed]);
        assert_eq!(health.not_alive(), [], "it ends last");
    }
}
