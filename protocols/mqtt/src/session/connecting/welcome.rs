//! CONNACK: with what a client is welcomed, and how one is turned away.

use super::{Asked, Grant, Peer, Waiting, whole_seconds};
use crate::error::{CloseReason, ConnackCode, ProtocolError};
use crate::frame;
use crate::message::{self, Version};
use crate::property::{Properties, Property};
use crate::session::output::Answer;
use crate::session::{Output, Reply, Session, State};
use crate::topic::Topic;
use crate::translate;
use model::{Fact, Now};
use std::mem;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

impl Session {
    /// Welcomes the client that [`Output::Authenticate`] asked about.
    ///
    /// CONNACK follows when its arrival, and what of its session outlives the connection, is on
    /// disk. Ignored when the session has ended meanwhile.
    pub fn authenticated(&mut self, grant: Grant, now: Now) {
        let waiting = match mem::replace(&mut self.state, State::Closed) {
            State::ExpectGrant(waiting) => *waiting,
            state @ (State::ExpectConnect
            | State::ExpectCommit
            | State::ExpectPacket
            | State::Closed) => {
                self.state = state;
                return;
            }
        };
        let client_id = match &grant.assigned_client_id {
            Some(assigned) if waiting.client_id.is_empty() => assigned.clone(),
            _ => waiting.client_id.clone(),
        };
        let names = names(client_id, &grant.aliases);
        if let Some(will) = &waiting.will {
            let topic = Topic::parse(&will.topic, self.options.topic);
            if !topic.is_ok_and(|topic| grant.acl.may_publish(topic, &names)) {
                self.answer_refusal(ConnackCode::NotAuthorised, now);
                return;
            }
        }
        self.arrive(waiting, grant, names, now);
    }

    fn arrive(&mut self, waiting: Waiting, grant: Grant, names: Box<[Box<str>]>, now: Now) {
        let Waiting { client_id, clean_start, keep_alive_s, will, asked } = waiting;
        let held_s = held_keep_alive(keep_alive_s, self.options.keep_alive_max);
        self.silence_max = one_and_a_half(held_s);
        self.expiry_max_s = whole_seconds(grant.session_expiry_max);
        self.expiry_s = asked.session_expiry_s.min(self.expiry_max_s);
        let assigned = grant.assigned_client_id.as_deref().filter(|_| client_id.is_empty());
        let told = Told {
            assigned,
            keep_alive_s: (held_s != keep_alive_s).then_some(held_s),
            response_prefix: asked
                .wants_response_information
                .then(|| grant.acl.response_prefix(&names))
                .flatten(),
        };
        let Some(connack) = self.connack_properties(asked, told) else {
            // Nothing of it is kept.
            self.expiry_s = 0;
            return self.close(ProtocolError::AnswerTooLong.into(), now);
        };
        let resumed = grant.resumed.filter(|_| !clean_start);
        let is_resumed = resumed.is_some();
        let is_changed = resumed.as_ref().map_or(0, |it| it.expiry_s) != self.expiry_s;
        self.persists = is_resumed || self.expiry_s > 0;
        if let Some(state) = resumed {
            self.resume(state);
        }
        let Grant { device, tenant, acl, is_program, assigned_client_id, facts, shares, .. } =
            grant;
        let assigned = assigned_client_id.filter(|_| client_id.is_empty());
        let aliases_max = self.options.topic_alias_max;
        let peer = Peer {
            device,
            tenant,
            acl,
            names,
            is_program,
            shares,
            will,
            receive_max: asked.receive_max,
            alias_max: asked.alias_max.min(aliases_max),
            wants_problem_information: asked.wants_problem_information,
            aliases: None,
        };
        let arrival = (self.options.presence && !is_program).then(|| {
            let mut event = translate::connected(
                peer.origin(now),
                assigned.as_deref().unwrap_or(&client_id),
                self.version,
                clean_start,
                keep_alive_s,
            );
            event.facts = facts;
            event
        });
        self.heard = now.monotonic;
        // That it is back, and its will, are kept with its arrival where that is an event.
        let says_more = is_resumed || peer.will.is_some();
        let keeps = (self.persists && is_changed) || (arrival.is_none() && says_more);
        self.peer = Some(Box::new(peer));
        self.answer_arrival(arrival, is_resumed, keeps, connack);
    }

    /// CONNACK, once its arrival and its state are kept, where there is anything to keep.
    fn answer_arrival(
        &mut self,
        arrival: Option<model::Event>,
        is_resumed: bool,
        keeps: bool,
        connack: Vec<u8>,
    ) {
        // MQTT 3.1.1 [MQTT-3.2.2-1]; MQTT 3.1 has no such flag.
        let session_present = is_resumed && self.version != Version::V3_1;
        let welcome = Reply::Welcome { session_present };
        let after = self.ticket_next + u64::from(keeps && arrival.is_some());
        if self.version == Version::V5 {
            let bytes = connack.into_boxed_slice();
            self.answers.push_back(Answer { after, bytes, then: None });
        }
        self.state = State::ExpectCommit;
        match arrival {
            Some(event) if keeps => {
                self.emit(Fact::Event(event), Reply::Arrival);
                self.ask_to_keep(welcome);
            }
            Some(event) => self.emit(Fact::Event(event), welcome),
            None if keeps => self.ask_to_keep(welcome),
            None => self.welcome(session_present),
        }
    }

    /// What 5.0 is told beside the welcome [MQTT 5.0, 3.2.2.3]: all that differs from what it
    /// asked for, or from what the standard takes for granted. Where the client does not take a
    /// packet that long [MQTT-3.1.2-24], without what it can do without; `None` where that is too
    /// long as well.
    fn connack_properties(&self, asked: Asked, told: Told<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if self.version != Version::V5 {
            return Some(out);
        }
        let fits = |properties: &[u8]| {
            let len = properties.len();
            self.takes(CONNACK_HEAD_LEN + frame::length_size(len) + len)
        };
        for is_whole in [true, false] {
            out.clear();
            self.write_told(asked, &told, is_whole, &mut out);
            if fits(&out) {
                return Some(out);
            }
        }
        None
    }

    /// Without what `is_whole` stands for a client does nothing that we would not take.
    fn write_told(&self, asked: Asked, told: &Told<'_>, is_whole: bool, out: &mut Vec<u8>) {
        let options = &self.options;
        if self.expiry_s != asked.session_expiry_s {
            Property::SessionExpiry(self.expiry_s).encode(out);
        }
        if let Some(count) = NonZeroU16::new(options.receive_max) {
            Property::ReceiveMaximum(count).encode(out);
        }
        let packet_len_max = u32::try_from(options.packet_len_max).unwrap_or(u32::MAX);
        if let Some(len) = NonZeroU32::new(packet_len_max) {
            Property::MaximumPacketSize(len).encode(out);
        }
        if options.topic_alias_max > 0 && is_whole {
            Property::TopicAliasMaximum(options.topic_alias_max).encode(out);
        }
        if let Some(name) = told.assigned {
            Property::AssignedClientId(name).encode(out);
        }
        if let Some(seconds) = told.keep_alive_s {
            Property::ServerKeepAlive(seconds).encode(out);
        }
        if let Some(prefix) = told.response_prefix.as_deref().filter(|_| is_whole) {
            Property::ResponseInformation(prefix).encode(out);
        }
    }

    /// Turns the client away that [`Output::Authenticate`] asked about.
    pub fn refused(&mut self, code: ConnackCode, now: Now) {
        if matches!(self.state, State::ExpectGrant(_)) {
            self.answer_refusal(code, now);
        }
    }

    /// Writes CONNACK: the client may send.
    pub(in crate::session) fn welcome(&mut self, session_present: bool) {
        let properties = match self.version {
            Version::V5 => self.answers.pop_front().map(|answer| answer.bytes),
            Version::V3_1 | Version::V3_1_1 => None,
        };
        let properties = properties.as_deref().map_or(Properties::EMPTY, Properties::trusted);
        message::connack(session_present, 0, properties, self.version, &mut self.out);
        self.state = State::ExpectPacket;
        self.is_welcome = true;
        self.release_again();
        if !self.subscriptions.is_empty() {
            self.outputs.push_back(Output::Ready);
        }
    }

    /// Its arrival could not be kept, so it has not arrived: nothing is said of its leaving.
    pub(in crate::session) fn turn_away(&mut self, now: Now) {
        self.peer = None;
        self.persists = false;
        self.refusal(ConnackCode::ServerUnavailable);
        self.close(CloseReason::StoreFull, now);
    }

    fn answer_refusal(&mut self, code: ConnackCode, now: Now) {
        let reason = self.refusal(code);
        self.close(reason, now);
    }

    /// Writes a CONNACK that refuses [MQTT-3.2.2-4], [MQTT-3.2.2-5].
    pub(super) fn refusal(&mut self, code: ConnackCode) -> CloseReason {
        let byte = match self.version {
            Version::V3_1 | Version::V3_1_1 => code.return_code(),
            Version::V5 => code.reason().byte(),
        };
        let start = self.out.len();
        message::connack(false, byte, Properties::EMPTY, self.version, &mut self.out);
        if self.out.len() - start > self.their_packet_len_max as usize {
            self.out.truncate(start);
        }
        CloseReason::Refused(code)
    }
}

/// What a client is told in CONNACK that it could not know.
struct Told<'a> {
    /// The name that it was given.
    assigned: Option<&'a str>,
    /// The keep-alive, where it is another than it asked for.
    keep_alive_s: Option<u16>,
    /// Below which topics it may be answered, where it asked for that.
    response_prefix: Option<String>,
}

/// Flags and reason code [3.2.2].
const CONNACK_HEAD_LEN: usize = 2;

/// The client id first, unless it has none.
fn names(client_id: Box<str>, aliases: &[Box<str>]) -> Box<[Box<str>]> {
    let others: Vec<_> = aliases.iter().filter(|alias| **alias != client_id).cloned().collect();
    let own = (!client_id.is_empty()).then_some(client_id);
    own.into_iter().chain(others).collect()
}

/// The keep-alive that holds, in seconds: none, or more than we allow, is the most we allow.
fn held_keep_alive(asked_s: u16, max: Duration) -> u16 {
    let max_s = u16::try_from(max.as_secs()).unwrap_or(u16::MAX);
    if asked_s == 0 { max_s } else { asked_s.min(max_s) }
}

/// One and a half times the keep-alive [MQTT-3.1.2-24].
fn one_and_a_half(keep_alive_s: u16) -> Duration {
    let keep_alive = Duration::from_secs(keep_alive_s.into());
    keep_alive + keep_alive / 2
}
