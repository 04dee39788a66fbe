//! The end of a session, whoever brings it about.

use super::{Output, Reply, Session, State};
use crate::error::{CloseReason, ProtocolError};
use crate::message::{self, Version};
use crate::property::{Properties, Property};
use crate::reason::ReasonCode;
use crate::translate;
use model::{Event, Fact, Now};
use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

impl Session {
    /// Ends the session: for the driver, when the socket is lost, the client has connected anew,
    /// the daemon stops, or the client does not read. A session that has ended stays as it is.
    ///
    /// Commands not acknowledged go back to queued, the will is published (or handed out for
    /// later) unless the client said goodbye, the disconnection is an event, and what outlives the
    /// connection is to be kept: all are handed out before [`Output::Close`]. A client of 5.0 is
    /// told why.
    pub fn close(&mut self, reason: CloseReason, now: Now) {
        if mem::replace(&mut self.has_ended, true) {
            return;
        }
        self.state = State::Closed;
        self.say_goodbye(reason);
        self.requeue();
        let has_arrived = self.peer.is_some();
        if let Some(mut peer) = self.peer.take() {
            let will = peer.will.take().filter(|_| reason.publishes_will());
            if let Some(will) = will {
                let content = peer.content(&will);
                let event = translate::will(peer.origin(now), content, reason.cause());
                self.publish_will(event, will.delay_s);
            }
            if self.options.presence && !peer.is_program {
                let event = translate::disconnected(peer.origin(now), reason.cause());
                self.emit(Fact::Event(event), Reply::Record);
            }
        }
        if has_arrived {
            self.keep(Reply::Record);
        }
        self.outputs.push_back(Output::Close(reason));
        self.pending = VecDeque::new();
        self.pending_bytes = 0;
        self.answers = VecDeque::new();
        if !self.persists {
            self.subscriptions = Vec::new();
            self.unreleased = Vec::new();
        }
    }

    /// At once where the session ends with the connection [MQTT 5.0, 3.1.3.2.2], or the will is
    /// to have no delay [MQTT-3.1.2-8].
    fn publish_will(&mut self, event: Event, delay_s: u32) {
        match delay_s.min(self.expiry_s) {
            0 => self.emit(Fact::Event(event), Reply::Record),
            seconds => {
                let delay = Duration::from_secs(seconds.into());
                self.outputs.push_back(Output::WillLater { delay, will: event });
            }
        }
    }

    /// Takes DISCONNECT [3.14]. In 5.0 it may change how long the session is kept, but not make
    /// one last that was to end [MQTT 5.0, 3.14.2.2.2].
    pub(super) fn said_goodbye(
        &mut self,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> CloseReason {
        let expiry = properties.iter().find_map(|property| {
            if let Property::SessionExpiry(seconds) = property { Some(seconds) } else { None }
        });
        match expiry {
            Some(seconds) if seconds > 0 && self.expiry_s == 0 => {
                return ProtocolError::SessionExpiryRaised.into();
            }
            Some(seconds) => self.expiry_s = seconds.min(self.expiry_max_s),
            None => {}
        }
        if reason == ReasonCode::Success {
            CloseReason::Disconnected
        } else {
            CloseReason::DisconnectedWithWill
        }
    }

    /// The last word to a client of 5.0: DISCONNECT, or CONNACK where it was not yet welcome.
    fn say_goodbye(&mut self, reason: CloseReason) {
        if self.version != Version::V5 {
            return;
        }
        if self.is_welcome {
            let Some(code) = reason.reason() else { return };
            self.with_reason_string(&reason.to_string(), |properties, out| {
                message::disconnect(code, properties, Version::V5, out);
            });
        } else if let CloseReason::Protocol(error) = reason {
            let code = error.reason().byte();
            self.with_reason_string(&error.to_string(), |properties, out| {
                message::connack(false, code, properties, Version::V5, out);
            });
        }
    }

    /// Writes a packet with a reason string, or without where the client does not want one
    /// [MQTT 5.0, 3.1.2.11.7] or takes no packet that long [MQTT-3.14.2-3].
    pub(super) fn with_reason_string(
        &mut self,
        text: &str,
        write: impl Fn(Properties<'_>, &mut Vec<u8>),
    ) {
        let wants_it = self.peer.as_ref().is_none_or(|peer| peer.wants_problem_information);
        let packet_len_max = self.their_packet_len_max as usize;
        let start = self.out.len();
        if wants_it {
            let mut properties = Vec::new();
            Property::ReasonString(text).encode(&mut properties);
            write(Properties::trusted(&properties), &mut self.out);
            if self.out.len() - start <= packet_len_max {
                return;
            }
            self.out.truncate(start);
        }
        write(Properties::EMPTY, &mut self.out);
        if self.out.len() - start > packet_len_max {
            // MQTT 5.0 [MQTT-3.1.2-25]: as if it had been sent.
            self.out.truncate(start);
        }
    }
}
