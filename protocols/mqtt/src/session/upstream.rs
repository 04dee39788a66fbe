//! What the board sends: publishes become events, acknowledged when they are on disk.

use super::{Output, Reply, Session, State};
use crate::error::{CloseReason, ProtocolError};
use crate::message::{self, Acknowledgement, PacketId, Publish, PublishDelivery};
use crate::topic::Topic;
use crate::translate::{self, Content};
use model::{Fact, Now};

/// A QoS 2 publish between PUBLISH and PUBREL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unreleased {
    packet_id: PacketId,
    /// On disk, so PUBREC was sent.
    is_kept: bool,
}

impl Session {
    /// Takes a publish [3.3].
    #[inline]
    pub(super) fn published(
        &mut self,
        publish: Publish<'_>,
        now: Now,
    ) -> Result<State, CloseReason> {
        self.published_in_second = self.published_in_second.saturating_add(1);
        let topic =
            Topic::parse(publish.topic, self.options.topic).map_err(|_| ProtocolError::BadTopic)?;
        let Some(peer) = &self.peer else { return Err(ProtocolError::NotConnected.into()) };
        if !peer.acl.may_publish(topic, &peer.names) {
            // MQTT 3.1.1 [MQTT-3.3.5-2]: acknowledge what is not done, or close; we do not lie.
            return Err(CloseReason::NotAuthorised);
        }
        let reply = match publish.delivery {
            PublishDelivery::AtMostOnce => Reply::Nothing,
            PublishDelivery::AtLeastOnce(packet_id) => Reply::Puback(packet_id),
            PublishDelivery::ExactlyOnce(packet_id) => {
                if self.repeated(packet_id)? {
                    return Ok(State::ExpectPacket);
                }
                Reply::Pubrec(packet_id)
            }
        };
        let content = Content {
            topic: publish.topic,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            payload: publish.payload,
        };
        let Some(peer) = &self.peer else { return Err(ProtocolError::NotConnected.into()) };
        let event = translate::telemetry(peer.origin(now), content);
        self.emit(Fact::Event(event), reply);
        Ok(State::ExpectPacket)
    }

    /// Whether a QoS 2 publish was taken before; if not, notes that it now is [MQTT-4.3.3-2].
    fn repeated(&mut self, packet_id: PacketId) -> Result<bool, CloseReason> {
        if let Some(known) = self.unreleased.iter().find(|known| known.packet_id == packet_id) {
            if known.is_kept {
                self.pubrec(packet_id);
            }
            return Ok(true);
        }
        if self.unreleased.len() >= self.options.unreleased_max {
            return Err(ProtocolError::TooManyUnreleased.into());
        }
        self.unreleased.push(Unreleased { packet_id, is_kept: false });
        Ok(false)
    }

    /// A QoS 2 publish is on disk.
    pub(super) fn received(&mut self, packet_id: PacketId) {
        for known in &mut self.unreleased {
            known.is_kept |= known.packet_id == packet_id;
        }
        self.pubrec(packet_id);
    }

    fn pubrec(&mut self, packet_id: PacketId) {
        let packet = Acknowledgement::success(packet_id);
        message::pubrec(&packet, self.version(), &mut self.out);
    }

    /// Takes PUBREL: the packet identifier may be used anew. Answered even when unknown, so that a
    /// board that comes back can finish what it began.
    pub(super) fn released(&mut self, packet_id: PacketId) -> State {
        self.unreleased.retain(|known| known.packet_id != packet_id);
        if self.unreleased.is_empty() {
            self.unreleased = Vec::new();
        }
        let packet = Acknowledgement::success(packet_id);
        message::pubcomp(&packet, self.version(), &mut self.out);
        State::ExpectPacket
    }

    /// Says that deliveries may go on, if one was refused and there is room now.
    pub(super) fn say_if_ready(&mut self) {
        if self.starved && self.has_room() {
            self.starved = false;
            self.outputs.push_back(Output::Ready);
        }
    }
}
