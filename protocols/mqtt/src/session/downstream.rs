//! What the client is sent, and what it says of it: commands, on disk as sent before the first
//! byte leaves, and the one window that they share with messages.

use super::connecting::Peer;
use super::sending::Outgoing;
use super::{Output, Reply, Session, State};
use crate::error::{Refusal, Undeliverable};
use crate::message::{self, Acknowledgement, PacketId, QoS, Version};
use crate::property::Property;
use crate::reason::ReasonCode;
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
    /// Where an answer is awaited, and the board must be allowed to publish: in 5.0 the response
    /// topic, with the command's name as correlation data; in 3.x the board knows by itself.
    pub answer_topic: Option<String>,
    /// Correlation data of 5.0, where no answer is awaited: of an answer to what the board asked.
    pub correlation: Option<Bytes>,
}

/// A command or a message between being handed in and being acknowledged.
pub(super) struct Inflight {
    pub(super) packet_id: PacketId,
    pub(super) what: What,
    pub(super) qos: QoS,
    pub(super) stage: Stage,
    pub(super) duplicate: bool,
    /// The command asked for more than the subscription gives.
    pub(super) is_lowered: bool,
    /// What to send, until it is: `None` then.
    pub(super) unsent: Option<Box<Outgoing>>,
}

/// Whose packet it is.
#[derive(Debug)]
pub(super) enum What {
    Command(CommandId),
    /// By its key.
    Message(u64),
}

/// How far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Sent by an earlier connection: waits to be handed in again.
    Resumed,
    /// Waits for the disk.
    Unsent,
    /// Waits for PUBACK or PUBREC.
    Sent,
    /// PUBREC has come; PUBREL waits for the disk.
    Received,
    /// Waits for PUBCOMP.
    Released,
}

impl Inflight {
    /// Whether an earlier connection has sent that command, or the client has it.
    fn remembers(&self, command: &CommandId) -> bool {
        matches!(&self.what, What::Command(id) if id == command)
            && matches!(self.stage, Stage::Resumed | Stage::Received | Stage::Released)
    }
}

impl Session {
    /// Sends the board a command, if it can be sent now.
    ///
    /// Hands out the fact that it is sent; the bytes follow when that is on disk. Above QoS 0 the
    /// board's acknowledgement makes it delivered; when the session ends before, it goes back to
    /// queued. At QoS 0 sent is the end of it.
    pub fn deliver(&mut self, delivery: Delivery<'_>) -> Result<(), Undeliverable> {
        let (State::ExpectPacket, Some(peer)) = (&self.state, &self.peer) else {
            return Err(Undeliverable::NotConnected);
        };
        let topic = self.readable(peer, delivery.topic)?;
        if let Some(answer_topic) = &delivery.answer_topic {
            let topic = Topic::parse(answer_topic, self.options.topic).ok();
            topic
                .filter(|topic| peer.acl.may_publish(*topic, &peer.names))
                .ok_or(Undeliverable::NotAnswerable)?;
        }
        let asked = match delivery.qos {
            model::QoS::AtMostOnce => QoS::AtMostOnce,
            model::QoS::AtLeastOnce => QoS::AtLeastOnce,
            model::QoS::ExactlyOnce => QoS::ExactlyOnce,
        };
        let mut properties = Vec::new();
        if self.version == Version::V5 {
            if let Some(answer_topic) = &delivery.answer_topic {
                Property::ResponseTopic(answer_topic).encode(&mut properties);
                let correlation = delivery.command.as_str().as_bytes();
                Property::CorrelationData(correlation).encode(&mut properties);
            } else if let Some(correlation) = &delivery.correlation {
                Property::CorrelationData(correlation).encode(&mut properties);
            }
            self.identify(topic, false, &mut properties);
        }
        let outgoing = Outgoing {
            topic: delivery.topic.into(),
            payload: delivery.payload,
            retain: false,
            properties: properties.into(),
        };
        if !self.fits(&outgoing, asked) {
            return Err(Undeliverable::TooLong);
        }
        let granted = self.subscribed_qos(topic).ok_or(Undeliverable::NotSubscribed)?;
        let remembered = self.inflight.iter().position(|known| known.remembers(&delivery.command));
        let known = remembered.and_then(|index| self.inflight.get(index));
        if known.is_some_and(|known| known.stage != Stage::Resumed) {
            // The board has it, and its acknowledgement was not kept.
            self.emit(step(&delivery.command, CommandState::Delivered, None), Reply::Record);
            return Ok(());
        }
        if !self.has_room() {
            self.starved = true;
            return Err(Undeliverable::WindowFull);
        }
        let qos = asked.min(granted);
        let resumed = remembered.and_then(|index| self.inflight.remove(index));
        let packet_id =
            resumed.as_ref().map_or_else(|| self.free_packet_id(), |known| known.packet_id);
        let sent = step(&delivery.command, CommandState::Sent, None);
        self.inflight.push_back(Inflight {
            packet_id,
            what: What::Command(delivery.command),
            qos,
            stage: Stage::Unsent,
            duplicate: (delivery.duplicate || resumed.is_some()) && qos != QoS::AtMostOnce,
            is_lowered: qos == QoS::AtMostOnce && asked != QoS::AtMostOnce,
            unsent: Some(Box::new(outgoing)),
        });
        if qos == QoS::ExactlyOnce && self.persists {
            self.emit(sent, Reply::Recorded(packet_id));
            self.keep(Reply::Deliver(packet_id));
        } else {
            self.emit(sent, Reply::Deliver(packet_id));
        }
        Ok(())
    }

    /// Whether that packet is a command's, which goes back to its queue by itself.
    pub(super) fn carries_command(&self, packet_id: PacketId) -> bool {
        let mut known = self.inflight.iter();
        known.any(|it| it.packet_id == packet_id && matches!(it.what, What::Command(_)))
    }

    /// Checks that the client may read a topic.
    pub(super) fn readable<'a>(
        &self,
        peer: &Peer,
        topic: &'a str,
    ) -> Result<Topic<'a>, Undeliverable> {
        let topic =
            Topic::parse(topic, self.options.topic).map_err(|_| Undeliverable::NotAllowed)?;
        if peer.acl.may_read(topic, &peer.names) {
            Ok(topic)
        } else {
            Err(Undeliverable::NotAllowed)
        }
    }

    /// Whether one more command or message may be on its way: by our own window and the client's
    /// [MQTT 5.0, MQTT-3.3.4-9].
    pub(super) fn has_room(&self) -> bool {
        let receive_max = self.peer.as_ref().map_or(0, |peer| peer.receive_max);
        let on_their_way = if self.inflight.is_empty() {
            0
        } else {
            self.inflight.iter().filter(|known| known.stage != Stage::Resumed).count()
        };
        on_their_way < self.options.inflight_max.min(receive_max.into())
            && self.inflight.len() < PACKET_IDS
            && self.out.len() < self.options.output_bytes_max
            && !self.owes_us()
    }

    /// What had to be on disk before is: it is sent.
    pub(super) fn send_now(&mut self, packet_id: PacketId) {
        let found = self.inflight.iter_mut().find(|known| known.packet_id == packet_id);
        let Some(known) = found else { return };
        let Some(outgoing) = known.unsent.take() else { return };
        known.stage = Stage::Sent;
        let (qos, duplicate, is_lowered) = (known.qos, known.duplicate, known.is_lowered);
        self.write_publish(&outgoing, qos, packet_id, duplicate);
        if qos != QoS::AtMostOnce {
            return;
        }
        let done = self.forget_packet(packet_id);
        if let (true, Some(What::Command(command))) = (is_lowered, done.map(|it| it.what)) {
            // No acknowledgement will ever come. Left as sent it would go out again with every
            // connection, for ever.
            let cause = "the board is subscribed at qos 0 and does not acknowledge";
            self.emit(step(&command, CommandState::Delivered, Some(cause)), Reply::Record);
        }
    }

    /// Takes PUBACK: the client has it, or (in 5.0) will not have it.
    pub(super) fn acknowledged(&mut self, packet: Acknowledgement<'_>) -> State {
        let is_meant = |known: &Inflight| {
            known.packet_id == packet.packet_id
                && known.qos == QoS::AtLeastOnce
                && known.stage == Stage::Sent
        };
        if self.inflight.iter().any(is_meant) {
            if let Some(known) = self.forget_packet(packet.packet_id) {
                self.arrived(&known.what, packet.reason);
            }
        } else {
            self.outputs.push_back(Output::Refused(Refusal::StrayAcknowledgement));
        }
        State::ExpectPacket
    }

    /// Takes PUBREC: the client has it, which is kept before PUBREL.
    pub(super) fn received_by_client(&mut self, packet: Acknowledgement<'_>) -> State {
        let packet_id = packet.packet_id;
        let known = self.inflight.iter_mut().find(|known| {
            known.packet_id == packet_id
                && known.qos == QoS::ExactlyOnce
                && known.stage != Stage::Unsent
        });
        match known {
            Some(known) if packet.reason.is_failure() => {
                let is_new = matches!(known.stage, Stage::Resumed | Stage::Sent);
                let known = self.forget_packet(packet_id).filter(|_| is_new);
                if let Some(known) = known {
                    self.arrived(&known.what, packet.reason);
                }
            }
            Some(Inflight { stage: stage @ (Stage::Resumed | Stage::Sent), what, .. }) => {
                *stage = Stage::Received;
                let what = match what {
                    What::Command(id) => What::Command(id.clone()),
                    What::Message(key) => What::Message(*key),
                };
                self.arrived(&what, packet.reason);
                if !self.keep(Reply::Pubrel(packet_id)) {
                    self.release(packet_id);
                }
            }
            Some(Inflight { stage: Stage::Released, .. }) => self.release(packet_id),
            Some(Inflight { stage: Stage::Unsent | Stage::Received, .. }) => {}
            None => {
                self.outputs.push_back(Output::Refused(Refusal::StrayAcknowledgement));
                // So that a client that comes back can finish what was begun.
                let packet = Acknowledgement::new(packet_id, ReasonCode::PacketIdNotFound);
                message::pubrel(&packet, self.version, &mut self.out);
            }
        }
        State::ExpectPacket
    }

    /// That the client has it is on disk: PUBREL.
    pub(super) fn release(&mut self, packet_id: PacketId) {
        let known = self.inflight.iter_mut().find(|known| known.packet_id == packet_id);
        let Some(known) = known else { return };
        known.stage = Stage::Released;
        message::pubrel(&Acknowledgement::success(packet_id), self.version, &mut self.out);
    }

    /// Takes PUBCOMP: the packet identifier is free.
    pub(super) fn completed(&mut self, packet_id: PacketId) -> State {
        let is_meant =
            |known: &Inflight| known.packet_id == packet_id && known.stage == Stage::Released;
        if self.inflight.iter().any(is_meant) {
            self.forget_packet(packet_id);
        } else {
            self.outputs.push_back(Output::Refused(Refusal::StrayAcknowledgement));
        }
        State::ExpectPacket
    }

    /// The client has a command or a message, or refused it for good.
    fn arrived(&mut self, what: &What, reason: ReasonCode) {
        let is_refused = reason.is_failure();
        match what {
            What::Message(key) => self.outputs.push_back(Output::Acknowledged(*key)),
            What::Command(id) if is_refused => {
                let cause = format!("the board refused it: {}", reason.code());
                self.emit(step(id, CommandState::Failed, Some(&cause)), Reply::Record);
            }
            What::Command(id) => {
                self.emit(step(id, CommandState::Delivered, None), Reply::Record);
            }
        }
        if is_refused {
            self.outputs.push_back(Output::Refused(Refusal::Unwelcome));
        }
    }

    /// Drops what is done with, or what could not be recorded as sent.
    pub(super) fn forget_packet(&mut self, packet_id: PacketId) -> Option<Inflight> {
        let index = self.inflight.iter().position(|known| known.packet_id == packet_id);
        let known = index.and_then(|index| self.inflight.remove(index));
        if self.inflight.is_empty() {
            self.inflight = VecDeque::new();
        }
        self.say_if_ready();
        known
    }

    /// Commands that were sent and not acknowledged go back to wait; at QoS 0 there is no second
    /// time. What the client may have seen keeps its packet identifier, where the session outlives
    /// the connection.
    pub(super) fn requeue(&mut self) {
        let mut remembered = VecDeque::new();
        for known in std::mem::take(&mut self.inflight) {
            let is_open = matches!(known.stage, Stage::Unsent | Stage::Sent);
            let goes_back = is_open && known.qos != QoS::AtMostOnce;
            if let (What::Command(command), true) = (&known.what, goes_back) {
                let cause = "the connection ended before the board acknowledged";
                self.emit(step(command, CommandState::Queued, Some(cause)), Reply::Record);
            }
            // One that is a duplicate was sent by an earlier connection, if not by this one.
            if self.persists && (known.stage != Stage::Unsent || known.duplicate) {
                remembered.push_back(known);
            }
        }
        self.inflight = remembered;
    }

    /// The next packet identifier that is not in use [MQTT-2.3.1-2].
    pub(super) fn free_packet_id(&mut self) -> PacketId {
        loop {
            self.packet_id_last = self.packet_id_last.wrapping_add(1);
            let free = PacketId::new(self.packet_id_last)
                .filter(|id| self.inflight.iter().all(|known| known.packet_id != *id));
            // Ends: `has_room` leaves one free.
            if let Some(packet_id) = free {
                return packet_id;
            }
        }
    }
}

/// How many packet identifiers there are.
const PACKET_IDS: usize = u16::MAX as usize;

fn step(command: &CommandId, state: CommandState, cause: Option<&str>) -> Fact {
    let cause = cause.map(Box::from);
    Fact::Command(CommandChange { cause, ..CommandChange::new(command.clone(), state) })
}
