//! What the board is sent: commands, on disk as sent before the first byte leaves.

use super::{Output, Reply, Session, State};
use crate::Properties;
use crate::error::{Refusal, Undeliverable};
use crate::message::{self, PacketId, Publish, PublishDelivery, QoS, Version};
use crate::topic::Topic;
use bytes::Bytes;
use model::{CommandChange, CommandId, CommandState, Fact};
use std::collections::VecDeque;

/// A command to be sent.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// Which command.
    pub command: CommandId,
    /// Absolute topic name, under the board's `down/`.
    pub topic: &'a str,
    /// What to send.
    pub payload: Bytes,
    /// Guarantee asked for; lowered to that of the board's subscription [MQTT-3.8.4-6].
    pub qos: model::QoS,
    /// Whether it may have been sent before [MQTT-3.3.1-1]. Ignored at QoS 0.
    pub duplicate: bool,
}

/// A command between being handed out as sent and being acknowledged.
pub(super) struct Inflight {
    packet_id: PacketId,
    command: CommandId,
    qos: QoS,
    duplicate: bool,
    /// What to send, until it is: `None` then.
    unsent: Option<(Box<str>, Bytes)>,
    /// The command asked for more than the subscription gives.
    is_lowered: bool,
}

impl Session {
    /// Sends the board a command, if it can be sent now.
    ///
    /// Hands out the fact that it is sent; the bytes follow when that is on disk. At QoS 1 the
    /// board's acknowledgement makes it delivered; when the session ends before, it goes back to
    /// queued. At QoS 0 sent is the end of it.
    pub fn deliver(&mut self, delivery: Delivery<'_>) -> Result<(), Undeliverable> {
        let (State::ExpectPacket, Some(peer)) = (&self.state, &self.peer) else {
            return Err(Undeliverable::NotConnected);
        };
        let topic = Topic::parse(delivery.topic, self.options.topic)
            .map_err(|_| Undeliverable::NotAllowed)?;
        if !peer.acl.may_read(topic, &peer.names) {
            return Err(Undeliverable::NotAllowed);
        }
        let asked = match delivery.qos {
            model::QoS::AtMostOnce => QoS::AtMostOnce,
            model::QoS::AtLeastOnce => QoS::AtLeastOnce,
            model::QoS::ExactlyOnce => QoS::ExactlyOnce,
        };
        let body_len = message::publish_len(
            delivery.topic,
            asked,
            Properties::EMPTY,
            delivery.payload.len(),
            peer.version,
        );
        if body_len > self.options.packet_len_max {
            return Err(Undeliverable::TooLong);
        }
        let granted = self.subscribed_qos(topic).ok_or(Undeliverable::NotSubscribed)?;
        if !self.has_room() {
            self.starved = true;
            return Err(Undeliverable::WindowFull);
        }
        let qos = asked.min(granted);
        let packet_id = self.free_packet_id();
        let sent = step(&delivery.command, CommandState::Sent, None);
        self.inflight.push_back(Inflight {
            packet_id,
            command: delivery.command,
            qos,
            duplicate: delivery.duplicate && qos != QoS::AtMostOnce,
            unsent: Some((delivery.topic.into(), delivery.payload)),
            is_lowered: qos < asked,
        });
        self.emit(sent, Reply::Deliver(packet_id));
        Ok(())
    }

    /// Whether one more command may be on its way.
    pub(super) fn has_room(&self) -> bool {
        self.inflight.len() < self.options.inflight_max
            && self.out.len() < self.options.output_bytes_max
            && !self.owes_us()
    }

    /// Its being sent is on disk: it is sent.
    pub(super) fn send(&mut self, packet_id: PacketId) {
        let found = self.inflight.iter_mut().find(|inflight| inflight.packet_id == packet_id);
        let Some(inflight) = found else { return };
        let Some((topic, payload)) = inflight.unsent.take() else { return };
        let is_acknowledged = inflight.qos != QoS::AtMostOnce;
        let publish = Publish {
            duplicate: inflight.duplicate,
            delivery: if is_acknowledged {
                PublishDelivery::AtLeastOnce(packet_id)
            } else {
                PublishDelivery::AtMostOnce
            },
            retain: false,
            topic: &topic,
            payload: &payload,
            properties: Properties::EMPTY,
        };
        let version = self.peer.as_ref().map_or(Version::V3_1_1, |peer| peer.version);
        message::publish(&publish, version, &mut self.out);
        if is_acknowledged {
            return;
        }
        if inflight.is_lowered {
            // No acknowledgement will ever come. Left as sent it would go out again with every
            // connection, for ever.
            let cause = "the board is subscribed at qos 0 and does not acknowledge";
            let delivered = step(&inflight.command, CommandState::Delivered, Some(cause));
            self.emit(delivered, Reply::Record);
        }
        self.forget(packet_id);
    }

    /// Takes PUBACK: the board has a command.
    pub(super) fn acknowledged(&mut self, packet_id: PacketId) -> State {
        let is_sent = |known: &Inflight| known.packet_id == packet_id && known.unsent.is_none();
        let found = self.inflight.iter().position(is_sent);
        match found.and_then(|index| self.inflight.remove(index)) {
            Some(inflight) => {
                let delivered = step(&inflight.command, CommandState::Delivered, None);
                self.emit(delivered, Reply::Record);
                self.tidy_inflight();
            }
            None => self.outputs.push_back(Output::Refused(Refusal::StrayAcknowledgement)),
        }
        State::ExpectPacket
    }

    /// Drops a command that is done with, or that could not be recorded as sent.
    pub(super) fn forget(&mut self, packet_id: PacketId) {
        self.inflight.retain(|known| known.packet_id != packet_id);
        self.tidy_inflight();
    }

    /// What was sent and not acknowledged goes back to wait. At QoS 0 there is no second time.
    pub(super) fn requeue(&mut self) {
        for inflight in std::mem::take(&mut self.inflight) {
            if inflight.qos != QoS::AtMostOnce {
                let cause = "the connection ended before the board acknowledged";
                let queued = step(&inflight.command, CommandState::Queued, Some(cause));
                self.emit(queued, Reply::Record);
            }
        }
    }

    fn tidy_inflight(&mut self) {
        if self.inflight.is_empty() {
            self.inflight = VecDeque::new();
        }
        self.say_if_ready();
    }

    /// The next packet identifier that is not in use [MQTT-2.3.1-2].
    fn free_packet_id(&mut self) -> PacketId {
        loop {
            self.packet_id_last = self.packet_id_last.wrapping_add(1);
            let free = PacketId::new(self.packet_id_last)
                .filter(|id| self.inflight.iter().all(|known| known.packet_id != *id));
            // Ends: `inflight_max` is far below 65,535, as `Options` says.
            if let Some(packet_id) = free {
                return packet_id;
            }
        }
    }
}

fn step(command: &CommandId, state: CommandState, cause: Option<&str>) -> Fact {
    let cause = cause.map(Box::from);
    Fact::Command(CommandChange { cause, ..CommandChange::new(command.clone(), state) })
}
