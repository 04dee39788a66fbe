//! What of a session outlives its connection: asked for by the driver, given back to the next.

use super::downstream::{Inflight, Stage, What};
use super::subscribing::Subscription;
use super::upstream::Unreleased;
use super::{Output, Reply, Session};
use crate::error::CloseReason;
use crate::message::{self, Acknowledgement, PacketId, QoS, RetainHandling, SubscriptionOptions};
use crate::options::Options;
use crate::topic::Filter;
use crate::translate;
use model::{CommandId, Json, Now, Ticket};
use serde::{Deserialize, Serialize};

/// What outlives the connection, where the session's expiry is above 0 [MQTT 5.0, 4.1]; kept by the
/// driver as it is told by [`Output::Keep`], and handed to the next connection's
/// [`crate::Grant::resumed`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionState {
    /// What the client is subscribed to.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// Packet identifiers of QoS 2 publishes that are kept and not yet released by the client.
    pub unreleased: Vec<u16>,
    /// What was sent above QoS 0 and not acknowledged.
    pub inflight: Vec<InflightRecord>,
    /// For how many seconds after the connection it is kept; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// Subscriptions that are answered once this is kept, and that are to be sent what is retained
    /// from then on, also over another connection. Not kept itself: the driver keeps how far it is.
    #[serde(skip)]
    pub wants_retained: Vec<Box<str>>,
}

/// One subscription.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SubscriptionRecord {
    /// As it was granted, `$share/group/filter` included.
    pub filter: Box<str>,
    /// The guarantee granted: 0, 1 or 2.
    pub qos: u8,
    /// Not what this client published itself.
    #[serde(default)]
    pub no_local: bool,
    /// The publisher's retain flag is passed on as it was.
    #[serde(default)]
    pub retain_as_published: bool,
    /// The client's number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<u32>,
}

/// One message between being sent and being acknowledged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InflightRecord {
    /// Which message, as [`Session::send`] was told; 0 with a command.
    pub key: u64,
    /// Under which packet identifier.
    pub packet_id: u16,
    /// The client has it (PUBREC): it is released with PUBREL, and never sent again.
    pub is_received: bool,
    /// Which command, if it is one; only those at QoS 2 are kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandId>,
}

/// What is to be said of a client whose connection's end nobody hears of, since the daemon did not
/// live to see it: kept with its arrival, and until its last words are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LastWords {
    /// Its coming is an event, so that its going must be one.
    pub is_told: bool,
    /// The will: its delay in seconds, 0 for at once, and the data of its event.
    pub will: Option<(u32, Json)>,
}

impl LastWords {
    /// Whether there is anything to be said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_told && self.will.is_none()
    }

    /// The data of the event that tells of a board which left in such a way.
    #[must_use]
    pub fn gone(reason: CloseReason) -> Json {
        Json::from_stored(translate::gone(reason.cause()))
    }
}

impl Session {
    /// What is to be said of the client if its connection is lost unseen. Ask for it with the first
    /// fact or state after the grant; empty before the grant and at the end.
    pub fn last_words(&self, now: Now) -> LastWords {
        let Some(peer) = &self.peer else { return LastWords::default() };
        let will = peer.will.as_ref().map(|will| {
            let event =
                translate::will(peer.origin(now), peer.content(will), CloseReason::Lost.cause());
            (will.delay_s.min(self.expiry_s), event.data)
        });
        LastWords { is_told: self.options.presence && !peer.is_program, will }
    }

    /// What outlives the connection as it stands with the last [`Output::Keep`] handed out, and at
    /// the end after [`Output::Close`]. Meaningless before the grant.
    pub fn state(&self) -> SessionState {
        let unreleased = self.unreleased.iter().filter(|it| it.ticket <= self.told);
        let inflight = self.inflight.iter().filter_map(Inflight::record);
        SessionState {
            subscriptions: self.subscriptions.iter().map(Subscription::record).collect(),
            unreleased: unreleased.map(|it| it.packet_id.get()).collect(),
            inflight: inflight.collect(),
            expiry_s: self.expiry_s,
            wants_retained: self.wants_retained(),
        }
    }

    fn wants_retained(&self) -> Vec<Box<str>> {
        let told = self.answers.iter().filter(|answer| answer.after <= self.told);
        let granted = told.filter_map(|answer| {
            if let Some(Output::Subscribed { filters }) = &answer.then {
                Some(filters)
            } else {
                None
            }
        });
        let wanting = granted.flatten().filter(|new| new.wants_retained);
        wanting.map(|new| new.filter.clone()).collect()
    }

    /// Whether what it subscribes to is handed out by [`Output::Keep`] before it is answered; if not,
    /// [`Output::Subscribed`] is the first that is heard of it.
    pub fn is_kept(&self) -> bool {
        self.persists
    }

    /// Asks for the state to be kept before `reply`, if it outlives the connection at all;
    /// otherwise the reply is for the caller to carry out.
    pub(super) fn keep(&mut self, reply: Reply) -> bool {
        if self.persists {
            self.ask_to_keep(reply);
        }
        self.persists
    }

    /// Asks for what is to be kept, whether the session outlives the connection or not.
    pub(super) fn ask_to_keep(&mut self, reply: Reply) {
        let ticket = self.next_ticket(reply, 0);
        self.outputs.push_back(Output::Keep { ticket });
    }

    /// Notes up to which ticket the driver has been told.
    pub(super) fn note_told(&mut self, output: Option<&Output>) {
        if let Some(Output::Keep { ticket: Ticket(ticket) }) = output {
            self.told = *ticket;
        }
    }

    /// Takes up what an earlier connection left behind. What cannot be read any more, because a
    /// limit has been lowered since, is dropped.
    pub(super) fn resume(&mut self, state: SessionState) {
        let options = &self.options;
        let known = state.subscriptions.into_iter();
        self.subscriptions = known.filter_map(|it| it.read(options)).collect();
        let unreleased = state.unreleased.into_iter().filter_map(PacketId::new);
        self.unreleased = unreleased.map(Unreleased::resumed).collect();
        self.inflight = state.inflight.into_iter().filter_map(InflightRecord::read).collect();
        self.packet_id_last =
            self.inflight.back().map_or(self.packet_id_last, |it| it.packet_id.get());
    }

    /// After CONNACK: releases again what the client has received [MQTT-4.4.0-1].
    pub(super) fn release_again(&mut self) {
        for known in self.inflight.iter().filter(|known| known.stage == Stage::Released) {
            let packet = Acknowledgement::success(known.packet_id);
            message::pubrel(&packet, self.version, &mut self.out);
        }
    }
}

impl SubscriptionRecord {
    fn read(self, options: &Options) -> Option<Subscription> {
        Some(Subscription {
            filter: Filter::parse(&self.filter, options.topic).ok()?,
            options: SubscriptionOptions {
                qos: QoS::parse(self.qos).ok()?,
                no_local: self.no_local,
                retain_as_published: self.retain_as_published,
                retain_handling: RetainHandling::DoNotSend,
            },
            identifier: self.identifier,
        })
    }
}

impl Subscription {
    pub(super) fn record(&self) -> SubscriptionRecord {
        SubscriptionRecord {
            filter: self.filter.as_str().into(),
            qos: self.options.qos.level(),
            no_local: self.options.no_local,
            retain_as_published: self.options.retain_as_published,
            identifier: self.identifier,
        }
    }
}

impl Inflight {
    /// What is kept of it: messages above QoS 0, and commands at QoS 2, since others go back to
    /// their queue.
    fn record(&self) -> Option<InflightRecord> {
        let (key, command) = match (&self.what, self.qos) {
            (_, QoS::AtMostOnce) | (What::Command(_), QoS::AtLeastOnce) => return None,
            (What::Command(id), QoS::ExactlyOnce) => (0, Some(id.clone())),
            (What::Message(key), QoS::AtLeastOnce | QoS::ExactlyOnce) => (*key, None),
        };
        let is_received = matches!(self.stage, Stage::Received | Stage::Released);
        Some(InflightRecord { key, packet_id: self.packet_id.get(), is_received, command })
    }
}

impl InflightRecord {
    fn read(self) -> Option<Inflight> {
        Some(Inflight {
            packet_id: PacketId::new(self.packet_id)?,
            what: self.command.map_or(What::Message(self.key), What::Command),
            // Which it was matters no more: it is sent again as it then is.
            qos: QoS::ExactlyOnce,
            stage: if self.is_received { Stage::Released } else { Stage::Resumed },
            is_lowered: false,
            duplicate: true,
            unsent: None,
        })
    }
}
