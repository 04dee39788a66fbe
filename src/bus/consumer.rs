//! What a consumer may say to the broker: pure, bytes in and a verdict out.
//!
//! rumqttd has no access rules and does not survive everything: a publish to a topic that is not
//! ASCII, a client id with `/` that connects twice, more connections than it has room for, a shared
//! subscriber that goes away with messages unacknowledged. None of that gets past here.

use model::Redacted;
use mqtt::message::{Connect, Packet, Version, decode, version_of};
use mqtt::{ConnackCode, ProtocolError, frame};
use sha2::{Digest as _, Sha256};

/// The user name of every consumer.
const USER: &str = "bus";
/// Longest packet of a consumer: a CONNECT or a SUBSCRIBE of some filters.
pub(super) const PACKET_MAX: usize = 16 << 10;
/// The first byte of a CONNECT (MQTT 3.1.1, figure 3.1).
const CONNECT: u8 = 0x10;
/// Longest client id, in bytes.
const CLIENT_ID_MAX: usize = 64;
/// Longest filter, in bytes.
const FILTER_LEN_MAX: usize = 256;
/// What begins the client ids that are ours.
const RESERVED: &str = "lastmile";

/// A consumer that may come in.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Welcome {
    /// What it calls itself; empty when it leaves that to us.
    pub(super) client_id: String,
    /// Whether it wants nothing kept.
    pub(super) clean_session: bool,
    /// Longest silence it promises, in seconds; 0: none promised.
    pub(super) keep_alive_s: u16,
}

/// Why a consumer is refused or cut off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Objection {
    /// Not MQTT 3.1.1.
    Version,
    /// A client id that the broker would not bear, or one of ours.
    ClientId,
    /// Wrong user name or password.
    Credentials,
    /// A last will: a consumer publishes nothing.
    Will,
    /// It publishes.
    Publishes,
    /// A filter that the broker would not bear: shared, under `$`, not ASCII, too long.
    Filter,
    /// More different filters than may be.
    Filters,
    /// Not MQTT, or not now.
    Malformed,
}

impl Objection {
    /// A stable word for metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::ClientId => "client_id",
            Self::Credentials => "credentials",
            Self::Will => "will",
            Self::Publishes => "publish",
            Self::Filter => "filter",
            Self::Filters => "filters_max",
            Self::Malformed => "malformed",
        }
    }

    /// What a CONNECT is answered with, where it is answered at all (MQTT 3.1.1, 3.2.2.3).
    pub(super) fn connack(self) -> Option<ConnackCode> {
        match self {
            Self::Version => Some(ConnackCode::UnacceptableVersion),
            Self::ClientId => Some(ConnackCode::IdentifierRejected),
            Self::Credentials => Some(ConnackCode::BadCredentials),
            Self::Will => Some(ConnackCode::NotAuthorised),
            Self::Publishes | Self::Filter | Self::Filters | Self::Malformed => None,
        }
    }
}

/// Something that may be handed on.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// Filters it subscribes to.
    Subscribe(Vec<String>),
    /// An acknowledgement, a ping.
    Other,
    /// It leaves.
    Farewell,
}

/// The first packet of a connection, with how many bytes it takes; `None` while it is not whole.
pub(super) fn welcome(
    bytes: &[u8],
    secret: &Redacted<String>,
) -> Result<Option<(Welcome, usize)>, Objection> {
    // Who speaks something else is not waited for.
    if bytes.first().is_some_and(|head| *head != CONNECT) {
        return Err(Objection::Malformed);
    }
    let found = frame::decode(bytes, PACKET_MAX).map_err(|_| Objection::Malformed)?;
    let Some((frame, used)) = found else { return Ok(None) };
    // Told in its own words even where the rest of it cannot be read.
    let speaks = version_of(frame);
    let packet = decode(frame, Version::V3_1_1).map_err(|error| match error {
        ProtocolError::UnsupportedVersion => Objection::Version,
        _ if speaks.is_some_and(|version| version != Version::V3_1_1) => Objection::Version,
        _ => Objection::Malformed,
    })?;
    let Packet::Connect(connect) = packet else { return Err(Objection::Malformed) };
    if connect.version != Version::V3_1_1 {
        return Err(Objection::Version);
    }
    if !knows(&connect, secret) {
        return Err(Objection::Credentials);
    }
    if connect.will.is_some() {
        return Err(Objection::Will);
    }
    if !is_bearable(connect.client_id) || (connect.client_id.is_empty() && !connect.clean_session) {
        return Err(Objection::ClientId);
    }
    let welcome = Welcome {
        client_id: connect.client_id.to_owned(),
        clean_session: connect.clean_session,
        keep_alive_s: connect.keep_alive_s,
    };
    Ok(Some((welcome, used)))
}

/// The next packet of a consumer that is in, with how many bytes it takes.
pub(super) fn said(bytes: &[u8]) -> Result<Option<(Said, usize)>, Objection> {
    let found = frame::decode(bytes, PACKET_MAX).map_err(|_| Objection::Malformed)?;
    let Some((frame, used)) = found else { return Ok(None) };
    let packet = decode(frame, Version::V3_1_1).map_err(|_| Objection::Malformed)?;
    let said = match packet {
        Packet::Subscribe { filters, .. } => {
            let filters = filters.into_iter().map(|(filter, _)| filter);
            if !filters.clone().all(is_harmless) {
                return Err(Objection::Filter);
            }
            Said::Subscribe(filters.map(str::to_owned).collect())
        }
        Packet::Unsubscribe { filters, .. } if filters.iter().copied().all(is_harmless) => {
            Said::Other
        }
        Packet::Unsubscribe { .. } => return Err(Objection::Filter),
        Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubcomp(_) | Packet::Pingreq => Said::Other,
        Packet::Disconnect { .. } => Said::Farewell,
        // A release is a publisher's.
        Packet::Publish(_) | Packet::Pubrel(_) => return Err(Objection::Publishes),
        Packet::Connect(_)
        | Packet::Connack { .. }
        | Packet::Suback { .. }
        | Packet::Unsuback { .. }
        | Packet::Pingresp
        | Packet::Auth { .. } => return Err(Objection::Malformed),
    };
    Ok(Some((said, used)))
}

fn knows(connect: &Connect<'_>, secret: &Redacted<String>) -> bool {
    // Hashes differ at a place that says nothing of where the texts do.
    let digest = |bytes: &[u8]| Sha256::digest(bytes);
    connect.username == Some(USER)
        && connect.password.is_some_and(|it| digest(it) == digest(secret.expose().as_bytes()))
}

/// Letters, digits, `-`, `_`, `.`, `:`: what clients call themselves by habit.
fn is_bearable(client_id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    client_id.len() <= CLIENT_ID_MAX
        && client_id.bytes().all(allowed)
        && !client_id.starts_with(RESERVED)
}

/// A filter by the standard's rules (MQTT 3.1.1, 4.7.1), in ASCII, of the ordinary topics.
fn is_harmless(filter: &str) -> bool {
    let mut levels = filter.split('/').rev();
    let last = levels.next().unwrap_or_default();
    let is_level = |level: &str| level == "+" || !level.contains(['+', '#']);
    (1..=FILTER_LEN_MAX).contains(&filter.len())
        && filter.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && !filter.starts_with('$')
        && (last == "#" || is_level(last))
        && levels.all(is_level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use rumqttc::mqttbytes::QoS;
    use rumqttc::mqttbytes::v4;

    fn secret() -> Redacted<String> {
        Redacted("s3cret".to_owned())
    }

    /// A CONNECT by rumqttc, so that the two ends were not written by the same hand.
    fn connect(change: impl FnOnce(&mut v4::Connect)) -> BytesMut {
        let mut connect = v4::Connect::new("n8n");
        connect.set_login("bus", "s3cret");
        change(&mut connect);
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn who_knows_the_secret_comes_in() {
        let bytes = connect(|connect| connect.keep_alive = 7);
        let (welcome, used) = welcome(&bytes, &secret()).unwrap().unwrap();
        assert_eq!(used, bytes.len());
        let expected =
            Welcome { client_id: "n8n".to_owned(), clean_session: true, keep_alive_s: 7 };
        assert_eq!(welcome, expected);
        for cut in 0..bytes.len() {
            assert_eq!(super::welcome(&bytes[..cut], &secret()), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn who_would_harm_the_broker_does_not() {
        let refused =
            |change: fn(&mut v4::Connect)| welcome(&connect(change), &secret()).unwrap_err();
        assert_eq!(refused(|it| it.login = None), Objection::Credentials);
        assert_eq!(refused(|it| _ = it.set_login("bus", "s3cre")), Objection::Credentials);
        assert_eq!(refused(|it| _ = it.set_login("lastmile", "s3cret")), Objection::Credentials);
        assert_eq!(refused(|it| it.client_id = "dev/1".to_owned()), Objection::ClientId);
        assert_eq!(refused(|it| it.client_id = "é".to_owned()), Objection::ClientId);
        assert_eq!(refused(|it| it.client_id = "lastmile-probe".to_owned()), Objection::ClientId);
        assert_eq!(refused(|it| it.client_id = "x".repeat(65)), Objection::ClientId);
        let will = |it: &mut v4::Connect| {
            it.last_will = Some(v4::LastWill::new("a", "b", QoS::AtMostOnce, false));
        };
        assert_eq!(refused(will), Objection::Will);
        let unnamed = |it: &mut v4::Connect| {
            (it.client_id, it.clean_session) = (String::new(), false);
        };
        assert_eq!(refused(unnamed), Objection::ClientId);
        let newer = |it: &mut v4::Connect| it.protocol = rumqttc::mqttbytes::Protocol::V5;
        assert_eq!(refused(newer), Objection::Version);
        assert_eq!(welcome(b"GET / HTTP/1.1\r\n\r\n", &secret()), Err(Objection::Malformed));
    }

    fn subscribe(filter: &str) -> Result<Option<(Said, usize)>, Objection> {
        let mut subscribe = v4::Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = 1;
        let mut bytes = BytesMut::new();
        subscribe.write(&mut bytes).unwrap();
        said(&bytes)
    }

    #[test]
    fn harmless_filters_are_handed_on() {
        for filter in ["#", "device/bootstrap/+", "lastmile/events/#", "a/+/c", "a b", "/"] {
            let (said, _) = subscribe(filter).unwrap().unwrap();
            assert_eq!(said, Said::Subscribe(vec![filter.to_owned()]));
        }
        let long = "x".repeat(257);
        for filter in ["$share/g/a", "$SYS/#", "a/#/b", "a#", "a+/b", "é", &long] {
            assert_eq!(subscribe(filter), Err(Objection::Filter), "{filter}");
        }
    }

    #[test]
    fn consumers_do_not_publish() {
        let mut bytes = BytesMut::new();
        v4::Publish::new("é", QoS::AtMostOnce, "x").write(&mut bytes).unwrap();
        assert_eq!(said(&bytes), Err(Objection::Publishes));
        assert_eq!(said(&[0x62, 2, 0, 1]), Err(Objection::Publishes), "nor release");
        assert_eq!(said(&[0xC0, 0]), Ok(Some((Said::Other, 2))));
        assert_eq!(said(&[0x40, 2, 0, 1, 0xC0]), Ok(Some((Said::Other, 4))));
        assert_eq!(said(&[0xE0, 0]), Ok(Some((Said::Farewell, 2))));
        assert_eq!(said(&[0xD0, 0]), Err(Objection::Malformed));
        assert_eq!(said(&connect(|_| {})), Err(Objection::Malformed), "a second CONNECT");
        assert_eq!(said(&[0x82, 0xFF, 0xFF, 0x7F]), Err(Objection::Malformed), "2 MiB");
    }
}
