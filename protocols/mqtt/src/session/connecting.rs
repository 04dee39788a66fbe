//! From CONNECT to CONNACK: the client says who it is, the driver says whether it may.

mod welcome;

use super::state::SessionState;
use super::subscribing::SharedPlaces;
use super::{Output, Session, State};
use crate::acl::Acl;
use crate::error::{CloseReason, ConnackCode, ProtocolError};
use crate::frame::Frame;
use crate::message::{Connect, QoS, Version, Will, version_of};
use crate::property::{Properties, Property};
use crate::topic::Topic;
use crate::translate::{Content, Origin};
use model::{DeviceFacts, DeviceId, Now, Redacted, Tenant};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest client identifier, in bytes: a device's identity has 256.
const CLIENT_ID_LEN_MAX: usize = 256;

/// What a client says of itself in CONNECT. Client id and user name may be subscriber numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Introduction {
    /// What it calls itself. Where it is empty, [`Grant::assigned_client_id`] must give a name.
    pub client_id: Redacted<Box<str>>,
    /// User name.
    pub username: Option<Redacted<Box<str>>>,
    /// Password; in 3.x only with a user name.
    pub password: Option<Redacted<Box<[u8]>>>,
    /// Which protocol it speaks.
    pub version: Version,
    /// Whether it wants nothing of earlier connections: what is kept of them is to be forgotten.
    pub clean_start: bool,
    /// For how many seconds after the connection its session is to be kept; `u32::MAX`: for ever.
    /// In 3.x without clean session [`crate::Options::session_expiry_3x`].
    pub session_expiry_s: u32,
    /// Longest silence it promises, in seconds; 0: none promised.
    pub keep_alive_s: u16,
}

/// Who the client is and what it may do: the driver's answer to [`Output::Authenticate`].
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which device; of a program what [`DeviceId::program`] made.
    pub device: DeviceId,
    /// Whose.
    pub tenant: Tenant,
    /// What it may publish and read.
    pub acl: Arc<Acl>,
    /// Further names that may stand for `{device}` in the ACL, beside the client id.
    pub aliases: Vec<Box<str>>,
    /// Whether it is a program: its publishes are `lastmile.message.published`, and its coming and
    /// going are no events.
    pub is_program: bool,
    /// What an earlier connection left behind. Ignored with `clean_start`.
    pub resumed: Option<SessionState>,
    /// The name of a client that brought none.
    pub assigned_client_id: Option<Box<str>>,
    /// Longest time for which a session is kept after its connection, in whole seconds; what is
    /// asked for beyond is lowered, and in 5.0 said so.
    pub session_expiry_max: Duration,
    /// What the registry is to take over with the connected event.
    pub facts: Option<Box<DeviceFacts>>,
    /// Who is asked before a shared subscription is granted; without, all are.
    pub shares: Option<Arc<dyn SharedPlaces>>,
}

/// What of CONNECT is kept until the driver answers.
pub(super) struct Waiting {
    client_id: Box<str>,
    clean_start: bool,
    keep_alive_s: u16,
    will: Option<Box<LastWill>>,
    asked: Asked,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// What a client asks for in the properties of its CONNECT; in 3.x what the standard takes for it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    session_expiry_s: u32,
    receive_max: u16,
    alias_max: u16,
    wants_response_information: bool,
    wants_problem_information: bool,
}

/// Who the client is, once the driver has said so.
pub(super) struct Peer {
    pub(super) device: DeviceId,
    pub(super) tenant: Tenant,
    pub(super) acl: Arc<Acl>,
    /// The client id, unless it has none, then the aliases.
    pub(super) names: Box<[Box<str>]>,
    pub(super) is_program: bool,
    pub(super) shares: Option<Arc<dyn SharedPlaces>>,
    pub(super) will: Option<Box<LastWill>>,
    /// Most that it takes above QoS 0 without having acknowledged.
    pub(super) receive_max: u16,
    /// Most topics that we may name by a number.
    pub(super) alias_max: u16,
    pub(super) wants_problem_information: bool,
    pub(super) aliases: Option<Box<Aliases>>,
}

/// Topics that have a number, by that number less one; those not yet given are empty.
#[derive(Default)]
pub(super) struct Aliases {
    /// The client's.
    pub(super) theirs: Vec<Box<str>>,
    /// Ours.
    pub(super) ours: Vec<Box<str>>,
}

impl Peer {
    pub(super) fn origin(&self, now: Now) -> Origin<'_> {
        Origin { tenant: &self.tenant, device: &self.device, time: now.wall }
    }

    /// The will as the message that it will be.
    pub(super) fn content<'a>(&'a self, will: &'a LastWill) -> Content<'a> {
        Content {
            topic: &will.topic,
            qos: will.qos,
            retain: will.retain,
            payload: &will.payload,
            properties: Properties::trusted(&will.properties),
            client_id: self.said_client_id(),
        }
    }

    /// The client id where events say it: a program's.
    pub(super) fn said_client_id(&self) -> Option<&str> {
        self.names.first().filter(|_| self.is_program).map(|name| &**name)
    }
}

/// A will, kept as long as the session.
pub(super) struct LastWill {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) delay_s: u32,
    /// Those that belong to the message.
    pub(super) properties: Box<[u8]>,
}

impl From<&Will<'_>> for LastWill {
    fn from(will: &Will<'_>) -> Self {
        let mut properties = Vec::new();
        let mut delay_s = 0;
        for property in will.properties.iter() {
            if let Property::WillDelay(delay) = property {
                delay_s = delay;
            } else {
                property.encode(&mut properties);
            }
        }
        Self {
            topic: will.topic.into(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            delay_s,
            properties: properties.into(),
        }
    }
}

impl Session {
    /// Takes CONNECT and asks the driver.
    pub(super) fn introduced(&mut self, connect: &Connect<'_>) -> Result<State, CloseReason> {
        let version = connect.version;
        self.version = version;
        let asked = self.asked(connect)?;
        // MQTT 3.1.1 [MQTT-3.1.3-8]; MQTT 3.1 always wants a name, MQTT 5.0 never.
        let must_be_named = match version {
            Version::V3_1 => true,
            Version::V3_1_1 => !connect.clean_session,
            Version::V5 => false,
        };
        let unnamed = connect.client_id.is_empty();
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
            version,
            clean_start: connect.clean_session,
            session_expiry_s: asked.session_expiry_s,
            keep_alive_s: connect.keep_alive_s,
        })));
        Ok(State::ExpectGrant(Box::new(Waiting {
            client_id,
            clean_start: connect.clean_session,
            keep_alive_s: connect.keep_alive_s,
            will: connect.will.as_ref().map(|will| Box::new(will.into())),
            asked,
        })))
    }

    fn asked(&mut self, connect: &Connect<'_>) -> Result<Asked, CloseReason> {
        let mut asked = Asked {
            session_expiry_s: match connect.version {
                Version::V3_1 | Version::V3_1_1 if !connect.clean_session => {
                    whole_seconds(self.options.session_expiry_3x)
                }
                Version::V3_1 | Version::V3_1_1 | Version::V5 => 0,
            },
            receive_max: u16::MAX,
            alias_max: 0,
            wants_response_information: false,
            wants_problem_information: true,
        };
        for property in connect.properties.iter() {
            #[expect(clippy::wildcard_enum_match_arm, reason = "checked when decoded")]
            match property {
                Property::SessionExpiry(seconds) => asked.session_expiry_s = seconds,
                Property::ReceiveMaximum(count) => asked.receive_max = count.get(),
                Property::MaximumPacketSize(len) => self.their_packet_len_max = len.get(),
                Property::TopicAliasMaximum(count) => asked.alias_max = count,
                Property::RequestResponseInformation(is_wanted) => {
                    asked.wants_response_information = is_wanted;
                }
                Property::RequestProblemInformation(is_wanted) => {
                    asked.wants_problem_information = is_wanted;
                }
                // MQTT 5.0, 4.12: we have none beyond the password.
                Property::AuthenticationMethod(_) => {
                    return Err(self.refusal(ConnackCode::BadAuthenticationMethod));
                }
                _ => {}
            }
        }
        Ok(asked)
    }

    /// What ends a session whose packet cannot be read.
    pub(super) fn unreadable(&mut self, frame: Frame<'_>, error: ProtocolError) -> CloseReason {
        if !matches!(self.state, State::ExpectConnect) {
            return error.into();
        }
        if let Some(version) = version_of(frame) {
            self.version = version;
        }
        // MQTT 3.1.1 [MQTT-3.1.2-2]: the one fault that its CONNACK has a word for.
        if error == ProtocolError::UnsupportedVersion {
            // Who speaks a later version than we do understands MQTT 5.0's word.
            let level = frame.body.get(6).filter(|_| frame.body.starts_with(b"\0\x04MQTT"));
            if level.is_some_and(|level| (6..0x80).contains(level)) {
                self.version = Version::V5;
            }
            self.refusal(ConnackCode::UnacceptableVersion)
        } else {
            error.into()
        }
    }
}

/// Saturates at `u32::MAX`, which is for ever.
fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
