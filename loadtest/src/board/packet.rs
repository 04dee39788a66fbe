//! The few packets that our own clients need, in MQTT 3.1, 3.1.1 and 5.0.

use std::ops::Range;

/// Which MQTT is spoken: the level that CONNECT names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Version {
    /// 3.1, as modems have it.
    V3 = 3,
    /// 3.1.1.
    #[default]
    V4 = 4,
    /// 5.0.
    V5 = 5,
}

/// What a CONNECT says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connect<'a> {
    pub(super) version: Version,
    pub(super) client_id: &'a str,
    pub(super) credentials: Option<(&'a str, &'a str)>,
    pub(super) keep_alive_s: u16,
    /// How long the session outlives its connections, in seconds; 0 begins and ends it with this one.
    /// Before 5.0 only whether it is 0 can be said.
    pub(super) expiry_s: u32,
}

/// `CONNECT`.
pub(super) fn connect(connect: &Connect<'_>, out: &mut Vec<u8>) {
    /// Session expiry interval.
    const SESSION_EXPIRY: u8 = 0x11;
    let mut body = Vec::with_capacity(64);
    string(if connect.version == Version::V3 { "MQIsdp" } else { "MQTT" }, &mut body);
    body.push(connect.version as u8);
    let signs_in = if connect.credentials.is_some() { 0b1100_0000 } else { 0 };
    body.push(signs_in | if connect.expiry_s == 0 { 0b10 } else { 0 });
    body.extend(connect.keep_alive_s.to_be_bytes());
    if connect.version == Version::V5 {
        if connect.expiry_s == 0 {
            body.push(0);
        } else {
            body.extend([5, SESSION_EXPIRY]);
            body.extend(connect.expiry_s.to_be_bytes());
        }
    }
    string(connect.client_id, &mut body);
    if let Some((user, password)) = connect.credentials {
        string(user, &mut body);
        string(password, &mut body);
    }
    out.push(0x10);
    length(body.len(), out);
    out.extend(body);
}

/// `PUBLISH`. Returns where in `out` its packet identifier stands, where it has one.
pub(super) fn publish(
    version: Version,
    topic: &str,
    qos: u8,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Option<usize> {
    let identifier = if qos == 0 { 0 } else { 2 };
    let properties = usize::from(version == Version::V5);
    out.push(0x30 | qos << 1);
    length(2 + topic.len() + identifier + properties + payload.len(), out);
    string(topic, out);
    let at = out.len();
    out.resize(at + identifier + properties, 0);
    out.extend(payload);
    (identifier > 0).then_some(at)
}

/// The bit of a PUBLISH that says that it may have been there before.
pub(super) const DUP: u8 = 0b1000;

/// First bytes of the packets that are a packet identifier and no more.
pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBREL: u8 = 0x62;

/// One of those, in the short form that all versions have.
pub(super) fn answer(first: u8, packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend([first, 2, high, low]);
}

/// `SUBSCRIBE` to one filter.
pub(super) fn subscribe(
    version: Version,
    packet_id: u16,
    filter: &str,
    qos: u8,
    out: &mut Vec<u8>,
) {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    out.push(0x82);
    length(2 + properties.len() + 2 + filter.len() + 1, out);
    out.extend(packet_id.to_be_bytes());
    out.extend(properties);
    string(filter, out);
    out.push(qos);
}

/// `PINGREQ`.
pub(super) const PING: &[u8] = &[0xC0, 0];

/// `DISCONNECT`.
pub(super) const DISCONNECT: &[u8] = &[0xE0, 0];

/// What a server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// `CONNACK` with its code; 0 is welcome.
    ConnAck { code: u8, session_present: bool },
    /// `PUBACK`, with its reason in 5.0.
    PubAck(u16, u8),
    /// `PUBREC`, likewise.
    PubRec(u16, u8),
    /// `PUBREL`.
    PubRel(u16),
    /// `PUBCOMP`.
    PubComp(u16),
    /// `SUBACK` of one filter with its code; from 0x80 it is a refusal.
    SubAck(u8),
    /// `PUBLISH`; the payload is a place in the bytes that were looked at.
    Publish { qos: u8, packet_id: u16, payload: Range<usize> },
    /// `DISCONNECT` with its reason: 5.0 only.
    Disconnect(u8),
    /// Anything else.
    Other,
}

/// The next packet at the head of `bytes` and its length; `None` while it is not all there.
pub(super) fn hear(version: Version, bytes: &[u8]) -> Option<(Heard, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let (len, used) = variable(rest)?;
    let begin = 1 + used;
    let body = bytes.get(begin..begin + len)?;
    let id = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    let reason = |rest: &[u8]| rest.first().copied().unwrap_or(0);
    let heard = match (first >> 4, body) {
        (2, [flags, code, ..]) => Heard::ConnAck { code: *code, session_present: flags & 1 == 1 },
        (3, body) => {
            let heard = published(version, first >> 1 & 3, body);
            heard.map_or(Heard::Other, |(packet_id, at)| Heard::Publish {
                qos: first >> 1 & 3,
                packet_id,
                payload: begin + at..begin + len,
            })
        }
        (4, [high, low, rest @ ..]) => Heard::PubAck(id(high, low), reason(rest)),
        (5, [high, low, rest @ ..]) => Heard::PubRec(id(high, low), reason(rest)),
        (6, [high, low, ..]) => Heard::PubRel(id(high, low)),
        (7, [high, low, ..]) => Heard::PubComp(id(high, low)),
        (9, [_, _, .., code]) => Heard::SubAck(*code),
        (14, rest) => Heard::Disconnect(reason(rest)),
        _ => Heard::Other,
    };
    Some((heard, begin + len))
}

/// A PUBLISH's packet identifier (0 where it has none) and where its payload begins.
fn published(version: Version, qos: u8, body: &[u8]) -> Option<(u16, usize)> {
    let topic = u16::from_be_bytes(body.get(..2)?.try_into().ok()?);
    let mut at = 2 + usize::from(topic);
    let mut packet_id = 0;
    if qos > 0 {
        packet_id = u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?);
        at += 2;
    }
    if version == Version::V5 {
        let (properties, used) = variable(body.get(at..)?)?;
        at += used + properties;
    }
    (at <= body.len()).then_some((packet_id, at))
}

/// A length of one to four bytes (MQTT-2.2.3), and how many it was.
fn variable(bytes: &[u8]) -> Option<(usize, usize)> {
    const BYTES_MAX: usize = 4;
    let mut len = 0;
    for (at, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((len, at + 1));
        }
    }
    None
}

fn string(text: &str, out: &mut Vec<u8>) {
    let len = u16::try_from(text.len()).expect("our own names and topics are short");
    out.extend(len.to_be_bytes());
    out.extend(text.as_bytes());
}

fn length(mut len: usize, out: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(len % 128).expect("a remainder of 128 fits");
        len /= 128;
        out.push(if len > 0 { byte | 0x80 } else { byte });
        if len == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::mqttbytes::v4::Packet;
    use rumqttc::v5::mqttbytes::v5::Packet as Packet5;

    const CONNECT: Connect<'_> = Connect {
        version: Version::V4,
        client_id: "LTB1",
        credentials: Some(("enrol", "secret")),
        keep_alive_s: 60,
        expiry_s: 0,
    };

    /// rumqttc's codec as an independent reader.
    fn read_back(bytes: &[u8]) -> Packet {
        Packet::read(&mut bytes.into(), 1 << 20).unwrap()
    }

    fn read_back_5(bytes: &[u8]) -> Packet5 {
        Packet5::read(&mut bytes.into(), Some(1 << 20)).unwrap()
    }

    #[test]
    fn an_independent_codec_reads_what_is_written() {
        let mut bytes = Vec::new();
        connect(&CONNECT, &mut bytes);
        let Packet::Connect(connect) = read_back(&bytes) else { panic!("no CONNECT") };
        assert_eq!((&*connect.client_id, connect.keep_alive), ("LTB1", 60));
        assert!(connect.clean_session);
        assert_eq!(connect.login.map(|it| it.password), Some("secret".to_owned()));
        bytes.clear();
        let at = publish(Version::V4, "boards/a/up/t", 1, &[b'x'; 300], &mut bytes).unwrap();
        bytes[at + 1] = 7;
        bytes[0] |= DUP;
        let Packet::Publish(publish) = read_back(&bytes) else { panic!("no PUBLISH") };
        assert_eq!((publish.pkid, publish.payload.len(), publish.dup), (7, 300, true));
        bytes.clear();
        answer(PUBREL, 9, &mut bytes);
        assert!(matches!(read_back(&bytes), Packet::PubRel(it) if it.pkid == 9));
        bytes.clear();
        subscribe(Version::V4, 3, "a/#", 1, &mut bytes);
        assert!(matches!(read_back(&bytes), Packet::Subscribe(it) if it.filters[0].path == "a/#"));
    }

    #[test]
    fn so_it_does_in_5_0() {
        let mut bytes = Vec::new();
        connect(&Connect { version: Version::V5, expiry_s: 9, ..CONNECT }, &mut bytes);
        let Packet5::Connect(connect, _, login) = read_back_5(&bytes) else { panic!("no CONNECT") };
        assert!(!connect.clean_start && login.is_some());
        let expiry = connect.properties.and_then(|it| it.session_expiry_interval);
        assert_eq!(expiry, Some(9));
        bytes.clear();
        let at = publish(Version::V5, "a", 2, b"payload", &mut bytes).unwrap();
        bytes[at + 1] = 7;
        let Packet5::Publish(publish) = read_back_5(&bytes) else { panic!("no PUBLISH") };
        assert_eq!((publish.pkid, &*publish.payload), (7, &b"payload"[..]));
        let heard = Heard::Publish { qos: 2, packet_id: 7, payload: 8..15 };
        assert_eq!(hear(Version::V5, &bytes), Some((heard, 15)));
        bytes.clear();
        subscribe(Version::V5, 3, "a/#", 2, &mut bytes);
        assert!(matches!(read_back_5(&bytes), Packet5::Subscribe(it) if it.filters.len() == 1));
    }

    #[test]
    fn a_modems_protocol_has_another_name() {
        let mut bytes = Vec::new();
        connect(&Connect { version: Version::V3, ..CONNECT }, &mut bytes);
        assert!(bytes[2..].starts_with(b"\x00\x06MQIsdp\x03"), "{bytes:?}");
    }

    #[test]
    fn packets_are_heard_when_they_are_whole() {
        let hear = |bytes| hear(Version::V4, bytes);
        let bytes = [0x20, 2, 0, 5, 0x40, 2, 1, 2, 0xD0, 0];
        assert_eq!(hear(&bytes[..3]), None);
        let refused = Heard::ConnAck { code: 5, session_present: false };
        assert_eq!(hear(&bytes), Some((refused, 4)));
        assert_eq!(hear(&bytes[4..]), Some((Heard::PubAck(258, 0), 4)));
        assert_eq!(hear(&bytes[8..]), Some((Heard::Other, 2)));
        assert_eq!(hear(&[]), None);
        assert_eq!(hear(&[0x90, 3, 0, 1, 0x80]), Some((Heard::SubAck(0x80), 5)));
        assert_eq!(hear(&[0x32, 3, 0, 9, b'a']), Some((Heard::Other, 5)), "cut short");
        assert_eq!(hear(&[0xE0, 1, 0x8E]), Some((Heard::Disconnect(0x8E), 3)));
    }
}
