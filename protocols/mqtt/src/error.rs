//! What can go wrong, each with a stable word for metrics.
//!
//! A peer's fault is not our error: a [`ProtocolError`] ends that peer's session and nothing else.

use crate::ReasonCode;
use std::fmt;

/// How a peer broke the protocol. Ends the connection [MQTT-4.8.0-1].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A length of more than four bytes [2.2.3]; in 5.0 of more than it needs [MQTT-1.5.5-1].
    #[error("a length runs past its bytes")]
    BadLength,
    /// A packet announced longer than allowed.
    #[error("packet is announced longer than allowed")]
    PacketTooLong,
    /// Packet type 0 or 15 [2.2.1].
    #[error("packet type is reserved")]
    ReservedType,
    /// Flags that the packet type does not allow [MQTT-2.2.2-2].
    #[error("fixed header flags are not those of the packet type")]
    ReservedFlags,
    /// A body that ends before its fields do.
    #[error("packet ends before its fields do")]
    Truncated,
    /// Bytes after the last field.
    #[error("packet goes on after its last field")]
    TrailingBytes,
    /// A string that is not UTF-8 [MQTT-1.5.3-1].
    #[error("string is not UTF-8")]
    NotUtf8,
    /// A string with U+0000 in it [MQTT-1.5.3-2].
    #[error("string contains U+0000")]
    NulInString,
    /// Packet identifier 0 [MQTT-2.3.1-1].
    #[error("packet identifier is zero")]
    ZeroPacketId,
    /// QoS 3 [MQTT-3.3.1-4], [MQTT-3.8.3-4], [MQTT-3.1.2-14].
    #[error("qos is 3")]
    ReservedQos,
    /// DUP on a QoS 0 publish [MQTT-3.3.1-2].
    #[error("duplicate flag on a qos 0 publish")]
    DuplicateQos0,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter [MQTT-3.8.3-3], [MQTT-3.10.3-2].
    #[error("no topic filter")]
    NoFilter,
    /// CONNECT for another protocol [MQTT-3.1.2-1].
    #[error("protocol name is not MQTT")]
    BadProtocolName,
    /// A protocol level we do not speak [MQTT-3.1.2-2].
    #[error("protocol level is not supported")]
    UnsupportedVersion,
    /// The reserved CONNECT flag is set [MQTT-3.1.2-3].
    #[error("reserved connect flag is set")]
    ReservedConnectFlag,
    /// Will QoS or retain without a will [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15].
    #[error("will flags contradict each other")]
    WillContradicts,
    /// A password without a user name [MQTT-3.1.2-22].
    #[error("password without a user name")]
    PasswordWithoutUser,
    /// A topic name that is empty, too long, too deep or has a wildcard [MQTT-3.3.2-2].
    #[error("topic name is not allowed")]
    BadTopic,
    /// A topic filter that is empty, too long, too deep or malformed [MQTT-4.7.1-2].
    #[error("topic filter is not allowed")]
    BadFilter,
    /// A packet before CONNECT [MQTT-3.1.0-1].
    #[error("packet before connect")]
    NotConnected,
    /// A second CONNECT [MQTT-3.1.0-2].
    #[error("second connect")]
    SecondConnect,
    /// A packet that only a server sends.
    #[error("packet that only a server sends")]
    ServerPacket,
    /// More publishes begun and not answered than allowed [MQTT 5.0, MQTT-3.3.4-7]; in 3.x at QoS 2.
    #[error("too many publishes not answered")]
    TooManyUnreleased,
    /// A property that 5.0 does not have [MQTT 5.0, 2.2.2.2].
    #[error("property is unknown")]
    UnknownProperty,
    /// A property that this packet does not have [MQTT 5.0, 2.2.2.2].
    #[error("property may not stand in this packet")]
    MisplacedProperty,
    /// A property twice that may stand once [MQTT 5.0, 2.2.2.2].
    #[error("property stands twice")]
    RepeatedProperty,
    /// A property's value out of its range.
    #[error("property is out of range")]
    BadPropertyValue,
    /// A response topic that is empty or has a wildcard [MQTT 5.0, MQTT-3.3.2-14].
    #[error("response topic is not allowed")]
    BadResponseTopic,
    /// Topic alias 0, above the maximum, or never given [MQTT 5.0, MQTT-3.3.2-8, MQTT-3.3.2-9].
    #[error("topic alias is not allowed")]
    BadTopicAlias,
    /// Neither a topic name nor an alias for one [MQTT 5.0, 3.3.2.1].
    #[error("neither topic name nor alias")]
    NoTopic,
    /// A reason code that this packet does not have [MQTT 5.0, 2.4].
    #[error("reason code may not stand in this packet")]
    BadReasonCode,
    /// Reserved bits among the subscription options [MQTT 5.0, MQTT-3.8.3-5].
    #[error("reserved subscription option is set")]
    ReservedSubscriptionOption,
    /// QoS 3 or retain handling 3 [MQTT 5.0, 3.8.3.1].
    #[error("subscription option is out of range")]
    BadSubscriptionOption,
    /// A shared subscription with "no local" [MQTT 5.0, MQTT-3.8.3-4].
    #[error("shared subscription with no local")]
    SharedNoLocal,
    /// AUTH where CONNECT named no method [MQTT 5.0, MQTT-4.12.0-7].
    #[error("no authentication is going on")]
    NotAuthenticating,
    /// A DISCONNECT that would keep a session which was to end [MQTT 5.0, 3.14.2.2.2].
    #[error("session expiry was zero in connect")]
    SessionExpiryRaised,
    /// Authentication without a method [MQTT 5.0, 3.1.2.11.10, 3.15.2.2.2].
    #[error("authentication without a method")]
    NoAuthenticationMethod,
    /// What it asks for has an answer longer than it takes [MQTT 5.0, MQTT-3.1.2-24].
    #[error("the answer is longer than the client takes")]
    AnswerTooLong,
}

impl ProtocolError {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadLength => "bad_length",
            Self::PacketTooLong => "packet_too_long",
            Self::ReservedType => "reserved_type",
            Self::ReservedFlags => "reserved_flags",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::NotUtf8 => "not_utf8",
            Self::NulInString => "nul_in_string",
            Self::ZeroPacketId => "zero_packet_id",
            Self::ReservedQos => "reserved_qos",
            Self::DuplicateQos0 => "duplicate_qos0",
            Self::NoFilter => "no_filter",
            Self::BadProtocolName => "bad_protocol_name",
            Self::UnsupportedVersion => "unsupported_version",
            Self::ReservedConnectFlag => "reserved_connect_flag",
            Self::WillContradicts => "will_contradicts",
            Self::PasswordWithoutUser => "password_without_user",
            Self::BadTopic => "bad_topic",
            Self::BadFilter => "bad_filter",
            Self::NotConnected => "not_connected",
            Self::SecondConnect => "second_connect",
            Self::ServerPacket => "server_packet",
            Self::TooManyUnreleased => "too_many_unreleased",
            Self::UnknownProperty => "unknown_property",
            Self::MisplacedProperty => "misplaced_property",
            Self::RepeatedProperty => "repeated_property",
            Self::BadPropertyValue => "bad_property_value",
            Self::BadResponseTopic => "bad_response_topic",
            Self::BadTopicAlias => "bad_topic_alias",
            Self::NoTopic => "no_topic",
            Self::BadReasonCode => "bad_reason_code",
            Self::ReservedSubscriptionOption => "reserved_subscription_option",
            Self::BadSubscriptionOption => "bad_subscription_option",
            Self::SharedNoLocal => "shared_no_local",
            Self::NotAuthenticating => "not_authenticating",
            Self::SessionExpiryRaised => "session_expiry_raised",
            Self::NoAuthenticationMethod => "no_authentication_method",
            Self::AnswerTooLong => "answer_too_long",
        }
    }

    /// What a peer that speaks MQTT 5.0 is told of it, in DISCONNECT or CONNACK [MQTT 5.0, 4.13].
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::BadLength
            | Self::ReservedType
            | Self::ReservedFlags
            | Self::Truncated
            | Self::TrailingBytes
            | Self::NotUtf8
            | Self::NulInString
            | Self::ReservedQos
            | Self::DuplicateQos0
            | Self::ReservedConnectFlag
            | Self::WillContradicts
            | Self::UnknownProperty
            | Self::MisplacedProperty
            | Self::ReservedSubscriptionOption => ReasonCode::MalformedPacket,
            Self::ZeroPacketId
            | Self::NoFilter
            | Self::PasswordWithoutUser
            | Self::NotConnected
            | Self::SecondConnect
            | Self::ServerPacket
            | Self::RepeatedProperty
            | Self::BadPropertyValue
            | Self::NoTopic
            | Self::BadReasonCode
            | Self::BadSubscriptionOption
            | Self::SharedNoLocal
            | Self::SessionExpiryRaised
            | Self::NoAuthenticationMethod => ReasonCode::ProtocolError,
            Self::NotAuthenticating => ReasonCode::BadAuthenticationMethod,
            Self::PacketTooLong | Self::AnswerTooLong => ReasonCode::PacketTooLarge,
            Self::BadProtocolName | Self::UnsupportedVersion => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Self::BadTopic | Self::BadResponseTopic => ReasonCode::TopicNameInvalid,
            Self::BadFilter => ReasonCode::TopicFilterInvalid,
            Self::BadTopicAlias => ReasonCode::TopicAliasInvalid,
            Self::TooManyUnreleased => ReasonCode::ReceiveMaximumExceeded,
        }
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// The client said goodbye.
    Disconnected,
    /// The client said goodbye and wants its will published [MQTT 5.0, 3.14.2.1].
    DisconnectedWithWill,
    /// The board was silent for one and a half times its keep-alive [MQTT-3.1.2-24].
    KeepAlive,
    /// No CONNECT, or no answer to it, in time.
    ConnectTimeout,
    /// The driver found the socket closed or broken.
    Lost,
    /// The same device connected anew [MQTT-3.1.4-2].
    TakenOver,
    /// The daemon stops.
    Shutdown,
    /// A fact could not be kept: there is no room.
    StoreFull,
    /// The client published where it may not, or may no longer be here.
    NotAuthorised,
    /// The client does not read what it is sent.
    TooSlow,
    /// An operator ended it.
    Administrative,
    /// CONNECT was refused with that code.
    Refused(ConnackCode),
    /// The board broke the protocol.
    Protocol(ProtocolError),
}

impl CloseReason {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::DisconnectedWithWill => "disconnected_with_will",
            Self::KeepAlive => "keep_alive",
            Self::ConnectTimeout => "connect_timeout",
            Self::Lost => "lost",
            Self::TakenOver => "taken_over",
            Self::Shutdown => "shutdown",
            Self::StoreFull => "store_full",
            Self::NotAuthorised => "publish_not_authorised",
            Self::TooSlow => "too_slow",
            Self::Administrative => "administrative",
            Self::Refused(code) => code.code(),
            Self::Protocol(error) => error.code(),
        }
    }

    /// Whether the board's will is published: always, unless it said goodbye [MQTT-3.1.2-8].
    pub const fn publishes_will(self) -> bool {
        !matches!(self, Self::Disconnected)
    }

    /// The `cause` of the `lastmile.device.disconnected` that follows.
    pub const fn cause(self) -> Cause {
        match self {
            Self::Disconnected | Self::DisconnectedWithWill => Cause::Normal,
            Self::KeepAlive => Cause::KeepAlive,
            Self::ConnectTimeout | Self::Lost => Cause::Lost,
            Self::TakenOver => Cause::TakenOver,
            Self::Shutdown => Cause::Shutdown,
            Self::StoreFull
            | Self::NotAuthorised
            | Self::TooSlow
            | Self::Administrative
            | Self::Refused(_) => Cause::Refused,
            Self::Protocol(_) => Cause::Protocol,
        }
    }

    /// What a welcome client of 5.0 is told in DISCONNECT [MQTT 5.0, 3.14.2.1]; `None` where it
    /// knows, or cannot be told.
    pub const fn reason(self) -> Option<ReasonCode> {
        match self {
            Self::Disconnected
            | Self::DisconnectedWithWill
            | Self::ConnectTimeout
            | Self::Lost
            | Self::Refused(_) => None,
            Self::KeepAlive => Some(ReasonCode::KeepAliveTimeout),
            Self::TakenOver => Some(ReasonCode::SessionTakenOver),
            Self::Shutdown => Some(ReasonCode::ServerShuttingDown),
            Self::StoreFull | Self::TooSlow => Some(ReasonCode::QuotaExceeded),
            Self::NotAuthorised => Some(ReasonCode::NotAuthorised),
            Self::Administrative => Some(ReasonCode::AdministrativeAction),
            Self::Protocol(error) => Some(error.reason()),
        }
    }
}

/// For people: the reason string of a DISCONNECT.
impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected | Self::DisconnectedWithWill => "the client said goodbye",
            Self::KeepAlive => "nothing heard for one and a half times the keep-alive",
            Self::ConnectTimeout => "no connect in time",
            Self::Lost => "the connection broke",
            Self::TakenOver => "the same client has connected anew",
            Self::Shutdown => "the server stops",
            Self::StoreFull => "the server has no room for what was sent",
            Self::NotAuthorised => "not authorised",
            Self::TooSlow => "the client does not read what it is sent",
            Self::Administrative => "ended by an operator",
            Self::Refused(code) => code.code(),
            Self::Protocol(error) => return error.fmt(f),
        })
    }
}

impl From<ProtocolError> for CloseReason {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// The words of `cause` in `lastmile.device.disconnected`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cause {
    /// The board said goodbye.
    Normal,
    /// It was silent too long.
    KeepAlive,
    /// The connection broke.
    Lost,
    /// It connected anew.
    TakenOver,
    /// It broke the protocol.
    Protocol,
    /// We would not take what it sent.
    Refused,
    /// The daemon stopped.
    Shutdown,
}

impl Cause {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::KeepAlive => "keep_alive",
            Self::Lost => "lost",
            Self::TakenOver => "taken_over",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Why a CONNECT is refused. 5.0 has a word for each, 3.x has five [table 3.1].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConnackCode {
    /// The protocol level is not supported.
    UnacceptableVersion,
    /// The client identifier is not one we take.
    IdentifierRejected,
    /// We cannot serve now.
    ServerUnavailable,
    /// Wrong user name or password.
    BadCredentials,
    /// The client may not connect, or may not leave that will.
    NotAuthorised,
    /// It wants to authenticate in a way that we do not know.
    BadAuthenticationMethod,
    /// As many devices are known as may be, and it is another.
    QuotaExceeded,
    /// It connects, or fails to sign in, too often.
    ConnectionRateExceeded,
}

impl ConnackCode {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnacceptableVersion => "unacceptable_version",
            Self::IdentifierRejected => "identifier_rejected",
            Self::ServerUnavailable => "server_unavailable",
            Self::BadCredentials => "bad_credentials",
            Self::NotAuthorised => "not_authorised",
            Self::BadAuthenticationMethod => "bad_authentication_method",
            Self::QuotaExceeded => "quota_exceeded",
            Self::ConnectionRateExceeded => "connection_rate_exceeded",
        }
    }

    /// What 3.x is told.
    pub const fn return_code(self) -> u8 {
        match self {
            Self::UnacceptableVersion => 1,
            Self::IdentifierRejected => 2,
            Self::ServerUnavailable | Self::QuotaExceeded | Self::ConnectionRateExceeded => 3,
            Self::BadCredentials => 4,
            Self::NotAuthorised | Self::BadAuthenticationMethod => 5,
        }
    }

    /// What 5.0 is told.
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::UnacceptableVersion => ReasonCode::UnsupportedProtocolVersion,
            Self::IdentifierRejected => ReasonCode::ClientIdNotValid,
            Self::ServerUnavailable => ReasonCode::ServerUnavailable,
            Self::BadCredentials => ReasonCode::BadUserNameOrPassword,
            Self::NotAuthorised => ReasonCode::NotAuthorised,
            Self::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
            Self::QuotaExceeded => ReasonCode::QuotaExceeded,
            Self::ConnectionRateExceeded => ReasonCode::ConnectionRateExceeded,
        }
    }
}

/// Something refused without ending the connection: the driver counts it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// A filter that shares no topic with what the board may read.
    Subscription,
    /// One subscription more than allowed.
    SubscriptionLimit,
    /// A shared subscription for which the driver had no place.
    SharedLimit,
    /// A publish of 5.0 where the client may not; in 3.x it ends the connection.
    Publish,
    /// The client refused what it was sent, in an acknowledgement.
    Unwelcome,
    /// An acknowledgement of something that was not sent.
    StrayAcknowledgement,
}

impl Refusal {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Subscription => "subscription_not_authorised",
            Self::SubscriptionLimit => "subscription_limit",
            Self::SharedLimit => "shared_subscription_limit",
            Self::Publish => "publish_not_authorised",
            Self::Unwelcome => "refused_by_client",
            Self::StrayAcknowledgement => "stray_acknowledgement",
        }
    }

    /// For people: the reason string of an acknowledgement.
    pub(crate) const fn reason_string(self) -> &'static str {
        match self {
            Self::Subscription => "not authorised to read any topic of a filter",
            Self::SubscriptionLimit => "too many subscriptions",
            Self::SharedLimit => "too many shared subscriptions",
            Self::Publish => "not authorised to publish to this topic",
            Self::Unwelcome => "refused by the client",
            Self::StrayAcknowledgement => "acknowledgement of nothing",
        }
    }
}

/// Why a command or a message cannot be sent over this connection now.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Undeliverable {
    /// CONNECT is not yet answered, or the connection is ending.
    #[error("not connected")]
    NotConnected,
    /// The client has not subscribed to the topic; try again after [`crate::Output::Subscribed`].
    #[error("not subscribed to the topic")]
    NotSubscribed,
    /// The client may not read the topic, or it is no topic name: no later try will do better.
    #[error("not a topic of this client")]
    NotAllowed,
    /// The client may not publish where it is to answer: no later try will do better.
    #[error("the client may not publish where it is to answer")]
    NotAnswerable,
    /// The packet would be longer than allowed, by us or by the client: no later try over this
    /// connection will do better.
    #[error("payload is too long")]
    TooLong,
    /// As many are on their way as may be; try again after an acknowledgement
    /// ([`crate::Output::Ready`]).
    #[error("too many deliveries not acknowledged")]
    WindowFull,
    /// The message is not worth delivering any more: no later try will do better.
    #[error("the message has expired")]
    Expired,
}

impl Undeliverable {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::NotSubscribed => "not_subscribed",
            Self::NotAllowed => "not_allowed",
            Self::NotAnswerable => "not_answerable",
            Self::TooLong => "too_long",
            Self::WindowFull => "window_full",
            Self::Expired => "expired",
        }
    }

    /// Whether the same delivery can succeed later.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::NotConnected | Self::NotSubscribed | Self::WindowFull => true,
            Self::NotAllowed | Self::NotAnswerable | Self::TooLong | Self::Expired => false,
        }
    }
}
