//! What the board wants to be sent: subscriptions, cut to what it may read.

use super::{Output, Session, State};
use crate::Properties;
use crate::error::{CloseReason, ProtocolError, Refusal};
use crate::message::{self, PacketId, QoS, SUBACK_FAILURE, SubscriptionOptions, Version};
use crate::topic::{Filter, Topic};

/// One filter the board is subscribed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Subscription {
    filter: Filter,
    qos: QoS,
}

impl Session {
    /// The guarantee with which the board is subscribed to `topic`, if it is; the best where
    /// several filters match [MQTT-3.3.5-1].
    pub fn subscribed_qos(&self, topic: Topic<'_>) -> Option<QoS> {
        let matching = self.subscriptions.iter().filter(|known| known.filter.matches(topic));
        matching.map(|known| known.qos).max()
    }

    /// Takes SUBSCRIBE [3.8].
    pub(super) fn subscribed(
        &mut self,
        packet_id: PacketId,
        filters: &[(&str, SubscriptionOptions)],
    ) -> Result<State, CloseReason> {
        let mut codes = Vec::with_capacity(filters.len());
        let mut refused = [None, None];
        for &(text, SubscriptionOptions { qos, .. }) in filters {
            let filter = Filter::parse(text, self.options.topic);
            let filter = filter.map_err(|_| ProtocolError::BadFilter)?;
            // QoS 2 towards boards is not offered: [MQTT-3.8.4-6] allows to grant less.
            let granted = qos.min(QoS::AtLeastOnce);
            codes.push(match self.subscribe(filter, granted) {
                Ok(()) => granted.level(),
                Err(refusal) => {
                    refused[usize::from(refusal == Refusal::Subscription)] = Some(refusal);
                    match self.version() {
                        // MQTT 3.1 has no word for it: granted in name, nothing is delivered.
                        Version::V3_1 => granted.level(),
                        Version::V3_1_1 | Version::V5 => SUBACK_FAILURE,
                    }
                }
            });
        }
        self.subscriptions.shrink_to_fit();
        message::suback(packet_id, &codes, Properties::EMPTY, self.version(), &mut self.out);
        // Once per packet: one packet can hold tens of thousands.
        self.outputs.extend(refused.into_iter().flatten().map(Output::Refused));
        self.outputs.push_back(Output::Subscribed);
        Ok(State::ExpectPacket)
    }

    fn subscribe(&mut self, filter: Filter, qos: QoS) -> Result<(), Refusal> {
        let allowed =
            self.peer.as_ref().is_some_and(|peer| peer.acl.may_subscribe(&filter, &peer.names));
        if !allowed {
            return Err(Refusal::Subscription);
        }
        // MQTT 3.1.1 [MQTT-3.8.4-3]
        if let Some(known) = self.subscriptions.iter_mut().find(|known| known.filter == filter) {
            known.qos = qos;
            return Ok(());
        }
        if self.subscriptions.len() >= self.options.subscriptions_max {
            return Err(Refusal::SubscriptionLimit);
        }
        self.subscriptions.push(Subscription { filter, qos });
        Ok(())
    }

    /// Takes UNSUBSCRIBE [3.10]: answered whether or not anything was subscribed
    /// [MQTT-3.10.4-5].
    pub(super) fn unsubscribed(
        &mut self,
        packet_id: PacketId,
        filters: &[&str],
    ) -> Result<State, CloseReason> {
        for text in filters {
            Filter::parse(text, self.options.topic).map_err(|_| ProtocolError::BadFilter)?;
            self.subscriptions.retain(|known| known.filter.as_str() != *text);
        }
        self.subscriptions.shrink_to_fit();
        message::unsuback(packet_id, &[], Properties::EMPTY, self.version(), &mut self.out);
        Ok(State::ExpectPacket)
    }
}
