//! From CONNECT to CONNACK: the board says who it is, the driver says whether it may.

use super::{Output, Reply, Session, State};
use crate::Properties;
use crate::acl::Acl;
use crate::error::{CloseReason, ConnackCode, ProtocolError};
use crate::message::{self, Connect, QoS, Version, Will};
use crate::topic::Topic;
use crate::translate::{self, Origin};
use model::{DeviceFacts, DeviceId, Fact, Now, Redacted, Tenant};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// Longest client identifier, in bytes: a device's identity has 256.
const CLIENT_ID_LEN_MAX: usize = 256;

/// What a board says of itself in CONNECT. Client id and user name may be subscriber numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Introduction {
    /// What it calls itself. Empty only with `clean_session`: then a name may be given to it.
    pub client_id: Redacted<Box<str>>,
    /// User name.
    pub username: Option<Redacted<Box<str>>>,
    /// Password; only with a user name.
    pub password: Option<Redacted<Box<[u8]>>>,
    /// Which protocol it speaks.
    pub version: Version,
    /// Whether it wants nothing kept of earlier connections.
    pub clean_session: bool,
}

/// Who the board is and what it may do: the driver's answer to [`Output::Authenticate`].
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which device.
    pub device: DeviceId,
    /// Whose.
    pub tenant: Tenant,
    /// What it may publish and read.
    pub acl: Arc<Acl>,
    /// Further names that may stand for `{device}` in the ACL, beside the client id.
    pub aliases: Vec<Box<str>>,
    /// Whether an earlier session is resumed. Without `clean_session` only [MQTT-3.2.2-1].
    pub session_present: bool,
    /// What the registry is to take over with the connected event.
    pub facts: Option<Box<DeviceFacts>>,
}

/// What of CONNECT is kept until the driver answers.
pub(super) struct Waiting {
    client_id: Box<str>,
    version: Version,
    clean_session: bool,
    keep_alive_s: u16,
    will: Option<Box<LastWill>>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Who the board is, once the driver has said so.
pub(super) struct Peer {
    pub(super) device: DeviceId,
    pub(super) tenant: Tenant,
    pub(super) acl: Arc<Acl>,
    /// The client id and the aliases.
    pub(super) names: Box<[Box<str>]>,
    pub(super) version: Version,
    pub(super) will: Option<Box<LastWill>>,
}

impl Peer {
    pub(super) fn origin(&self, now: Now) -> Origin<'_> {
        Origin { tenant: &self.tenant, device: &self.device, time: now.wall }
    }
}

/// A will, kept as long as the session.
pub(super) struct LastWill {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl From<&Will<'_>> for LastWill {
    fn from(will: &Will<'_>) -> Self {
        let Will { topic, payload, qos, retain, .. } = *will;
        Self { topic: topic.into(), payload: payload.into(), qos, retain }
    }
}

impl Session {
    /// Welcomes the board that [`Output::Authenticate`] asked about.
    ///
    /// CONNACK follows when its arrival is on disk. Ignored when the session has ended meanwhile.
    pub fn authenticated(&mut self, grant: Grant, now: Now) {
        let waiting = match mem::replace(&mut self.state, State::Closed) {
            State::ExpectGrant(waiting) => waiting,
            state @ (State::ExpectConnect
            | State::ExpectCommit
            | State::ExpectPacket
            | State::Closed) => {
                self.state = state;
                return;
            }
        };
        let Waiting { client_id, version, clean_session, keep_alive_s, will } = *waiting;
        let mut names = grant.aliases;
        if !client_id.is_empty() && !names.contains(&client_id) {
            names.push(client_id.clone());
        }
        let names = names.into_boxed_slice();
        if let Some(will) = &will {
            let topic = Topic::parse(&will.topic, self.options.topic);
            if !topic.is_ok_and(|topic| grant.acl.may_publish(topic, &names)) {
                self.answer_refusal(ConnackCode::NotAuthorised, now);
                return;
            }
        }
        self.silence_max = silence_max(keep_alive_s, self.options.keep_alive_max);
        let Grant { device, tenant, acl, session_present, facts, .. } = grant;
        // MQTT 3.1.1 [MQTT-3.2.2-1]
        let session_present = session_present && !clean_session && version != Version::V3_1;
        let peer = Peer { device, tenant, acl, names, version, will };
        if self.options.presence {
            let origin = peer.origin(now);
            let mut event =
                translate::connected(origin, &client_id, version, clean_session, keep_alive_s);
            event.facts = facts;
            self.state = State::ExpectCommit;
            self.emit(Fact::Event(event), Reply::Welcome { session_present });
        } else {
            self.welcome(session_present);
        }
        self.heard = now.monotonic;
        self.peer = Some(Box::new(peer));
    }

    /// Turns the board away that [`Output::Authenticate`] asked about.
    pub fn refused(&mut self, code: ConnackCode, now: Now) {
        if matches!(self.state, State::ExpectGrant(_)) {
            self.answer_refusal(code, now);
        }
    }

    /// Takes CONNECT and asks the driver.
    pub(super) fn introduced(&mut self, connect: &Connect<'_>) -> Result<State, CloseReason> {
        let unnamed = connect.client_id.is_empty();
        // MQTT 3.1.1 [MQTT-3.1.3-8]; MQTT 3.1 always wants a name.
        let must_be_named = !connect.clean_session || connect.version == Version::V3_1;
        if (unnamed && must_be_named) || connect.client_id.len() > CLIENT_ID_LEN_MAX {
            return Err(self.refusal(ConnackCode::IdentifierRejected));
        }
        if let Some(will) = &connect.will {
            Topic::parse(will.topic, self.options.topic).map_err(|_| ProtocolError::BadTopic)?;
        }
        let client_id = Box::<str>::from(connect.client_id);
        self.outputs.push_back(Output::Authenticate(Box::new(Introduction {
            client_id: Redacted(client_id.clone()),
            username: connect.username.map(|name| Redacted(name.into())),
            password: connect.password.map(|password| Redacted(password.into())),
            version: connect.version,
            clean_session: connect.clean_session,
        })));
        Ok(State::ExpectGrant(Box::new(Waiting {
            client_id,
            version: connect.version,
            clean_session: connect.clean_session,
            keep_alive_s: connect.keep_alive_s,
            will: connect.will.as_ref().map(|will| Box::new(will.into())),
        })))
    }

    /// What ends a session whose packet cannot be read.
    pub(super) fn unreadable(&mut self, error: ProtocolError) -> CloseReason {
        // MQTT 3.1.1 [MQTT-3.1.2-2]: the one fault that CONNACK has a word for.
        if error == ProtocolError::UnsupportedVersion {
            self.refusal(ConnackCode::UnacceptableVersion)
        } else {
            error.into()
        }
    }

    /// Writes CONNACK: the board may send.
    pub(super) fn welcome(&mut self, session_present: bool) {
        message::connack(session_present, 0, Properties::EMPTY, self.version(), &mut self.out);
        self.state = State::ExpectPacket;
    }

    /// Its arrival could not be kept, so it has not arrived: nothing is said of its leaving.
    pub(super) fn turn_away(&mut self, now: Now) {
        self.peer = None;
        let code = ConnackCode::ServerUnavailable as u8;
        message::connack(false, code, Properties::EMPTY, Version::V3_1_1, &mut self.out);
        self.close(CloseReason::StoreFull, now);
    }

    fn answer_refusal(&mut self, code: ConnackCode, now: Now) {
        let reason = self.refusal(code);
        self.close(reason, now);
    }

    /// Writes a CONNACK that refuses [MQTT-3.2.2-4], [MQTT-3.2.2-5].
    pub(super) fn refusal(&mut self, code: ConnackCode) -> CloseReason {
        message::connack(false, code as u8, Properties::EMPTY, Version::V3_1_1, &mut self.out);
        CloseReason::Refused(code)
    }
}

/// One and a half times the keep-alive [MQTT-3.1.2-24]; none, or more than we allow, is the most
/// we allow.
fn silence_max(keep_alive_s: u16, keep_alive_max: Duration) -> Duration {
    let asked = match keep_alive_s {
        0 => keep_alive_max,
        seconds => Duration::from_secs(seconds.into()).min(keep_alive_max),
    };
    asked.saturating_add(asked / 2)
}
