//! The end of a session, whoever brings it about.

use super::{Output, Reply, Session, State};
use crate::error::CloseReason;
use crate::translate::{self, Content};
use model::{Fact, Now};
use std::collections::VecDeque;
use std::mem;

impl Session {
    /// Ends the session: for the driver, when the socket is lost, the device has connected anew,
    /// or the daemon stops. A session that has ended stays as it is.
    ///
    /// Commands not acknowledged go back to queued, the will is published unless the board said
    /// goodbye, and the disconnection is an event: all are handed out before [`Output::Close`].
    pub fn close(&mut self, reason: CloseReason, now: Now) {
        if mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.state = State::Closed;
        self.requeue();
        if let Some(peer) = self.peer.take() {
            let origin = peer.origin(now);
            // MQTT 3.1.1 [MQTT-3.1.2-8], [MQTT-3.14.4-3]
            if let Some(will) = peer.will.as_deref().filter(|_| reason.publishes_will()) {
                let content = Content {
                    topic: &will.topic,
                    qos: will.qos,
                    retain: will.retain,
                    payload: &will.payload,
                };
                let event = translate::will(origin, content, reason.cause());
                self.emit(Fact::Event(event), Reply::Record);
            }
            if self.options.presence {
                let event = translate::disconnected(origin, reason.cause());
                self.emit(Fact::Event(event), Reply::Record);
            }
        }
        self.outputs.push_back(Output::Close(reason));
        self.pending = VecDeque::new();
        self.pending_bytes = 0;
        self.subscriptions = Vec::new();
        self.unreleased = Vec::new();
    }
}
