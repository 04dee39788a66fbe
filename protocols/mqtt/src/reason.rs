//! MQTT 5.0 reason codes: how it went, in one byte, each with a stable word for metrics.

use crate::property::Place;

/// What became of a request, or why a connection ends [MQTT 5.0, 2.4, table 2.6].
///
/// From 0x80 on it is a failure.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of table 2.6, which says more")]
pub enum ReasonCode {
    /// Also "normal disconnection" and "granted QoS 0".
    Success = 0x00,
    GrantedQos1 = 0x01,
    GrantedQos2 = 0x02,
    DisconnectWithWill = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    Reauthenticate = 0x19,
    Unspecified = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecific = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorised = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8A,
    ServerShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    SessionTakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdInUse = 0x91,
    PacketIdNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9A,
    QosNotSupported = 0x9B,
    UseAnotherServer = 0x9C,
    ServerMoved = 0x9D,
    SharedNotSupported = 0x9E,
    ConnectionRateExceeded = 0x9F,
    MaximumConnectTime = 0xA0,
    SubscriptionIdentifiersNotSupported = 0xA1,
    WildcardNotSupported = 0xA2,
}

use ReasonCode as Code;

/// All of table 2.6, with the word for metrics and where each may stand.
const TABLE: [(Code, &str, &[Place]); 43] = {
    use Place::{Auth, Connack, Disconnect, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};
    [
        (
            Code::Success,
            "success",
            &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth],
        ),
        (Code::GrantedQos1, "granted_qos_1", &[Suback]),
        (Code::GrantedQos2, "granted_qos_2", &[Suback]),
        (Code::DisconnectWithWill, "disconnect_with_will", &[Disconnect]),
        (Code::NoMatchingSubscribers, "no_matching_subscribers", &[Puback, Pubrec]),
        (Code::NoSubscriptionExisted, "no_subscription_existed", &[Unsuback]),
        (Code::ContinueAuthentication, "continue_authentication", &[Auth]),
        (Code::Reauthenticate, "reauthenticate", &[Auth]),
        (Code::Unspecified, "unspecified", ANYTHING_ASKED),
        (Code::MalformedPacket, "malformed_packet", &[Connack, Disconnect]),
        (Code::ProtocolError, "protocol_error", &[Connack, Disconnect]),
        (Code::ImplementationSpecific, "implementation_specific", ANYTHING_ASKED),
        (Code::UnsupportedProtocolVersion, "unsupported_protocol_version", &[Connack]),
        (Code::ClientIdNotValid, "client_id_not_valid", &[Connack]),
        (Code::BadUserNameOrPassword, "bad_user_name_or_password", &[Connack]),
        (Code::NotAuthorised, "not_authorised", ANYTHING_ASKED),
        (Code::ServerUnavailable, "server_unavailable", &[Connack]),
        (Code::ServerBusy, "server_busy", &[Connack, Disconnect]),
        (Code::Banned, "banned", &[Connack]),
        (Code::ServerShuttingDown, "server_shutting_down", &[Disconnect]),
        (Code::BadAuthenticationMethod, "bad_authentication_method", &[Connack, Disconnect]),
        (Code::KeepAliveTimeout, "keep_alive_timeout", &[Disconnect]),
        (Code::SessionTakenOver, "session_taken_over", &[Disconnect]),
        (Code::TopicFilterInvalid, "topic_filter_invalid", &[Suback, Unsuback, Disconnect]),
        (Code::TopicNameInvalid, "topic_name_invalid", &[Connack, Puback, Pubrec, Disconnect]),
        (Code::PacketIdInUse, "packet_id_in_use", &[Puback, Pubrec, Suback, Unsuback]),
        (Code::PacketIdNotFound, "packet_id_not_found", &[Pubrel, Pubcomp]),
        (Code::ReceiveMaximumExceeded, "receive_maximum_exceeded", &[Disconnect]),
        (Code::TopicAliasInvalid, "topic_alias_invalid", &[Disconnect]),
        (Code::PacketTooLarge, "packet_too_large", &[Connack, Disconnect]),
        (Code::MessageRateTooHigh, "message_rate_too_high", &[Disconnect]),
        (Code::QuotaExceeded, "quota_exceeded", &[Connack, Puback, Pubrec, Suback, Disconnect]),
        (Code::AdministrativeAction, "administrative_action", &[Disconnect]),
        (
            Code::PayloadFormatInvalid,
            "payload_format_invalid",
            &[Connack, Puback, Pubrec, Disconnect],
        ),
        (Code::RetainNotSupported, "retain_not_supported", &[Connack, Disconnect]),
        (Code::QosNotSupported, "qos_not_supported", &[Connack, Disconnect]),
        (Code::UseAnotherServer, "use_another_server", &[Connack, Disconnect]),
        (Code::ServerMoved, "server_moved", &[Connack, Disconnect]),
        (Code::SharedNotSupported, "shared_not_supported", &[Suback, Disconnect]),
        (Code::ConnectionRateExceeded, "connection_rate_exceeded", &[Connack, Disconnect]),
        (Code::MaximumConnectTime, "maximum_connect_time", &[Disconnect]),
        (
            Code::SubscriptionIdentifiersNotSupported,
            "subscription_identifiers_not_supported",
            &[Suback, Disconnect],
        ),
        (Code::WildcardNotSupported, "wildcard_not_supported", &[Suback, Disconnect]),
    ]
};

/// Where the general failures may stand.
const ANYTHING_ASKED: &[Place] = &[
    Place::Connack,
    Place::Puback,
    Place::Pubrec,
    Place::Suback,
    Place::Unsuback,
    Place::Disconnect,
];

impl ReasonCode {
    /// The code of that byte, if table 2.6 has it.
    pub fn parse(byte: u8) -> Option<Self> {
        let row = TABLE.binary_search_by_key(&byte, |row| row.0.byte()).ok()?;
        Some(TABLE[row].0)
    }

    /// The byte.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// A stable word for metrics.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// Whether it says that something was refused or failed.
    pub const fn is_failure(self) -> bool {
        self.byte() >= 0x80
    }

    /// Whether a client may say it in DISCONNECT [MQTT 5.0, table 3.13].
    pub const fn is_clients_goodbye(self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::DisconnectWithWill
                | Self::Unspecified
                | Self::MalformedPacket
                | Self::ProtocolError
                | Self::ImplementationSpecific
                | Self::TopicNameInvalid
                | Self::ReceiveMaximumExceeded
                | Self::TopicAliasInvalid
                | Self::PacketTooLarge
                | Self::MessageRateTooHigh
                | Self::QuotaExceeded
                | Self::AdministrativeAction
                | Self::PayloadFormatInvalid
        )
    }

    /// Whether table 2.6 allows it in a packet of that type.
    pub fn may_stand_in(self, place: Place) -> bool {
        self.row().2.contains(&place)
    }

    fn row(self) -> &'static (Self, &'static str, &'static [Place]) {
        let row = TABLE.binary_search_by_key(&self.byte(), |row| row.0.byte());
        &TABLE[row.expect("the table has every variant: a test counts them")]
    }
}
