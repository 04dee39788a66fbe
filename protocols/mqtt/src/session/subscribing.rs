//! What the client wants to be sent: subscriptions, cut to what it may read.

use super::output::NewSubscription;
use super::{Output, Reply, Session, State};
use crate::error::{CloseReason, ProtocolError, Refusal};
use crate::message::{
    self, PacketId, QoS, RetainHandling, SUBACK_FAILURE, SubscriptionOptions, Version,
};
use crate::property::{Properties, Property};
use crate::reason::ReasonCode;
use crate::topic::{Filter, SHARE, Topic};
use std::collections::HashMap;
use std::fmt;

/// One filter the client is subscribed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Subscription {
    pub(super) filter: Filter,
    pub(super) options: SubscriptionOptions,
    /// The client's number for it.
    pub(super) identifier: Option<u32>,
}

/// Whether one more shared subscription may be: the driver's knowledge, asked before one is granted.
pub trait SharedPlaces: fmt::Debug + Send + Sync {
    /// Takes a place for the subscription, spelled with its group; false when there is none.
    fn take(&self, filter: &str) -> bool;
}

/// What a filter came to.
struct Subscribed {
    granted: NewSubscription,
    /// Whether what is kept of the session is another from now on.
    is_change: bool,
}

impl Subscription {
    /// Whether it is sent `topic` because it matches: a shared one is sent its part by name.
    pub(super) fn matches(&self, topic: Topic<'_>) -> bool {
        self.filter.matches(topic) && self.filter.shared().is_none()
    }
}

impl Session {
    /// The guarantee with which the client is subscribed to `topic`, if it is; the best where
    /// several filters match [MQTT-3.3.5-1]. Shared subscriptions do not count.
    pub fn subscribed_qos(&self, topic: Topic<'_>) -> Option<QoS> {
        let matching = self.subscriptions.iter().filter(|known| known.matches(topic));
        matching.map(|known| known.options.qos).max()
    }

    /// Takes SUBSCRIBE [3.8].
    pub(super) fn subscribed(
        &mut self,
        packet_id: PacketId,
        filters: &[(&str, SubscriptionOptions)],
        properties: Properties<'_>,
    ) -> Result<State, CloseReason> {
        self.check_answer(filters.len())?;
        let identifier = properties.iter().find_map(|property| {
            if let Property::SubscriptionIdentifier(it) = property { Some(it) } else { None }
        });
        self.count_filters(filters.len());
        let mut codes = Vec::with_capacity(filters.len());
        let mut refused = Vec::new();
        // Each filter once, however often it stands there: one packet can hold tens of thousands.
        let (mut granted, mut places) = (Vec::new(), HashMap::new());
        let mut is_change = false;
        for (place, &(text, options)) in filters.iter().enumerate() {
            let filter = self.filter_of(text)?;
            let subscribed = if place < self.options.subscriptions_max {
                self.subscribe(filter, options, identifier)
            } else {
                Err(Refusal::SubscriptionLimit)
            };
            codes.push(match subscribed {
                Ok(subscribed) => {
                    is_change |= subscribed.is_change;
                    let new = subscribed.granted;
                    let known = *places.entry(text).or_insert(granted.len());
                    match granted.get_mut(known) {
                        None => granted.push(new),
                        Some(known) => {
                            known.qos = new.qos;
                            known.wants_retained |= new.wants_retained;
                        }
                    }
                    options.qos.level()
                }
                Err(refusal) => {
                    if !refused.contains(&refusal) {
                        refused.push(refusal);
                    }
                    refusal_code(self.version, refusal, options.qos)
                }
            });
        }
        self.subscriptions.shrink_to_fit();
        let why = refused.first().copied().map(Refusal::reason_string);
        self.outputs.extend(refused.into_iter().map(Output::Refused));
        // Where what is retained is to be sent, it is kept how far that is.
        let must_keep = is_change || granted.iter().any(|new| new.wants_retained);
        let news = Output::Subscribed { filters: granted };
        self.answer(news, must_keep, why, |properties, version, out| {
            message::suback(packet_id, &codes, properties, version, out);
        });
        Ok(State::ExpectPacket)
    }

    /// Counts filters among the publishes of a second.
    fn count_filters(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.published_in_second = self.published_in_second.saturating_add(count);
    }

    fn subscribe(
        &mut self,
        filter: Filter,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) -> Result<Subscribed, Refusal> {
        let shared = filter.shared().and_then(|(_, inner)| self.inner_filter(inner));
        let allowed = self.peer.as_ref().is_some_and(|peer| {
            peer.acl.may_subscribe(shared.as_ref().unwrap_or(&filter), &peer.names)
        });
        if !allowed {
            return Err(Refusal::Subscription);
        }
        let mut new = NewSubscription {
            filter: filter.as_str().into(),
            qos: options.qos,
            is_new: true,
            wants_retained: false,
        };
        let subscription = Subscription { filter, options, identifier };
        let mut all = self.subscriptions.iter_mut();
        let is_change;
        // MQTT 3.1.1 [MQTT-3.8.4-3]
        if let Some(known) = all.find(|known| known.filter == subscription.filter) {
            is_change = known.record() != subscription.record();
            *known = subscription;
            new.is_new = false;
        } else if self.subscriptions.len() >= self.options.subscriptions_max {
            return Err(Refusal::SubscriptionLimit);
        } else if shared.is_some() && !self.takes_place(&new.filter) {
            return Err(Refusal::SharedLimit);
        } else {
            is_change = true;
            self.subscriptions.push(subscription);
        }
        // MQTT 5.0, 3.3.1.3, and 4.8.2: a shared subscription is sent none.
        new.wants_retained = shared.is_none()
            && match options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => new.is_new,
                RetainHandling::DoNotSend => false,
            };
        Ok(Subscribed { granted: new, is_change })
    }

    /// Asks the driver for a place among the shared subscriptions, where it counts them.
    fn takes_place(&self, filter: &str) -> bool {
        let shares = self.peer.as_ref().and_then(|peer| peer.shares.as_ref());
        shares.is_none_or(|shares| shares.take(filter))
    }

    /// Takes UNSUBSCRIBE [3.10]: answered whether or not anything was subscribed
    /// [MQTT-3.10.4-5].
    pub(super) fn unsubscribed(
        &mut self,
        packet_id: PacketId,
        filters: &[&str],
    ) -> Result<State, CloseReason> {
        self.check_answer(filters.len())?;
        self.count_filters(filters.len());
        let mut codes = Vec::with_capacity(filters.len());
        let mut removed = Vec::new();
        for text in filters {
            self.filter_of(text)?;
            let known = self.subscriptions.iter();
            codes.push(match known.into_iter().position(|it| it.filter.as_str() == *text) {
                Some(index) => {
                    removed.push(self.subscriptions.remove(index).filter.as_str().into());
                    ReasonCode::Success.byte()
                }
                None => ReasonCode::NoSubscriptionExisted.byte(),
            });
        }
        self.subscriptions.shrink_to_fit();
        let is_change = !removed.is_empty();
        let news = Output::Unsubscribed { filters: removed };
        self.answer(news, is_change, None, |properties, version, out| {
            message::unsuback(packet_id, &codes, properties, version, out);
        });
        Ok(State::ExpectPacket)
    }

    /// Whether the client takes an answer with that many codes: it must have one [MQTT-3.8.4-1],
    /// and none longer than it takes [MQTT 5.0, MQTT-3.1.2-24].
    fn check_answer(&self, codes: usize) -> Result<(), CloseReason> {
        // A packet identifier and no properties.
        if self.takes(2 + 1 + codes) { Ok(()) } else { Err(ProtocolError::AnswerTooLong.into()) }
    }

    /// Writes an answer, and says so to the driver, once the state is kept where it outlives the
    /// connection and is another.
    fn answer(
        &mut self,
        news: Output,
        must_keep: bool,
        why: Option<&str>,
        write: impl Fn(Properties<'_>, Version, &mut Vec<u8>),
    ) {
        let (version, start) = (self.version, self.out.len());
        match why {
            Some(text) if version == Version::V5 => {
                self.with_reason_string(text, |properties, out| write(properties, version, out));
            }
            _ => write(Properties::EMPTY, version, &mut self.out),
        }
        let after = self.ticket_next;
        if self.persists && must_keep {
            let bytes = self.out.split_off(start);
            self.keep(Reply::Answer);
            self.answer_after(after, bytes, Some(news));
        } else if self.persists && !self.pending.is_empty() {
            // Behind the answers that wait.
            let bytes = self.out.split_off(start);
            self.answer_after(after - 1, bytes, Some(news));
        } else {
            self.outputs.push_back(news);
        }
    }

    /// Checks a filter, and what is within a shared one [MQTT 5.0, MQTT-4.8.2-1], [MQTT-4.8.2-2].
    fn filter_of(&self, text: &str) -> Result<Filter, CloseReason> {
        let filter =
            Filter::parse(text, self.options.topic).map_err(|_| ProtocolError::BadFilter)?;
        let is_fine = match filter.shared() {
            Some((group, inner)) => {
                !group.is_empty()
                    && !group.contains(['+', '#'])
                    && self.inner_filter(inner).is_some()
            }
            None => !text.starts_with(SHARE),
        };
        if is_fine { Ok(filter) } else { Err(ProtocolError::BadFilter.into()) }
    }

    fn inner_filter(&self, text: &str) -> Option<Filter> {
        Filter::parse(text, self.options.topic).ok()
    }
}

/// How SUBACK spells it [3.9.3].
fn refusal_code(version: Version, refusal: Refusal, asked: QoS) -> u8 {
    match version {
        // MQTT 3.1 has no word for it: granted in name, nothing is delivered.
        Version::V3_1 => asked.level(),
        Version::V3_1_1 => SUBACK_FAILURE,
        Version::V5 => match refusal {
            Refusal::SubscriptionLimit | Refusal::SharedLimit => ReasonCode::QuotaExceeded.byte(),
            Refusal::Subscription
            | Refusal::Publish
            | Refusal::Unwelcome
            | Refusal::StrayAcknowledgement => ReasonCode::NotAuthorised.byte(),
        },
    }
}
