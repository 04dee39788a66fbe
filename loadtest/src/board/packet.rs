//! The few MQTT 3.1.1 packets that the lean client needs.

/// `CONNECT` with a clean session.
pub(super) fn connect(
    client_id: &str,
    credentials: Option<(&str, &str)>,
    keep_alive_s: u16,
    out: &mut Vec<u8>,
) {
    let mut body = b"\x00\x04MQTT\x04".to_vec();
    body.push(if credentials.is_some() { 0b1100_0010 } else { 0b0000_0010 });
    body.extend(keep_alive_s.to_be_bytes());
    string(client_id, &mut body);
    if let Some((user, password)) = credentials {
        string(user, &mut body);
        string(password, &mut body);
    }
    out.push(0x10);
    length(body.len(), out);
    out.extend(body);
}

/// `PUBLISH` at QoS 1.
pub(super) fn publish(topic: &str, packet_id: u16, payload: &[u8], again: bool, out: &mut Vec<u8>) {
    out.push(if again { 0b0011_1010 } else { 0b0011_0010 });
    length(2 + topic.len() + 2 + payload.len(), out);
    string(topic, out);
    out.extend(packet_id.to_be_bytes());
    out.extend(payload);
}

/// `PINGREQ`.
pub(super) const PING: &[u8] = &[0xC0, 0];

/// `DISCONNECT`.
pub(super) const DISCONNECT: &[u8] = &[0xE0, 0];

/// What a server says to a client that subscribes to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// `CONNACK` with its code; 0 is welcome.
    ConnAck(u8),
    /// `PUBACK`.
    PubAck(u16),
    /// Anything else.
    Other,
}

/// The next packet at the head of `bytes` and its length; `None` while it is not all there.
pub(super) fn hear(bytes: &[u8]) -> Option<(Heard, usize)> {
    /// Longest remaining length in bytes (MQTT-2.2.3).
    const LENGTH_BYTES_MAX: usize = 4;
    let (first, rest) = bytes.split_first()?;
    let mut len = 0;
    let mut used = 0;
    loop {
        let byte = *rest.get(used)?;
        len |= usize::from(byte & 0x7F) << (7 * used);
        used += 1;
        if byte & 0x80 == 0 || used == LENGTH_BYTES_MAX {
            break;
        }
    }
    let body = rest.get(used..used + len)?;
    let heard = match (first >> 4, body) {
        (2, [_, code, ..]) => Heard::ConnAck(*code),
        (4, [high, low, ..]) => Heard::PubAck(u16::from_be_bytes([*high, *low])),
        _ => Heard::Other,
    };
    Some((heard, 1 + used + len))
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

    /// rumqttc's codec as an independent reader.
    fn read_back(bytes: &[u8]) -> Packet {
        Packet::read(&mut bytes.into(), 1 << 20).unwrap()
    }

    #[test]
    fn an_independent_codec_reads_what_is_written() {
        let mut bytes = Vec::new();
        connect("LTB1", Some(("enrol", "secret")), 60, &mut bytes);
        let Packet::Connect(connect) = read_back(&bytes) else { panic!("no CONNECT") };
        assert_eq!((&*connect.client_id, connect.keep_alive), ("LTB1", 60));
        assert_eq!(connect.login.map(|it| it.password), Some("secret".to_owned()));
        bytes.clear();
        publish("boards/a/up/t", 7, &[b'x'; 300], true, &mut bytes);
        let Packet::Publish(publish) = read_back(&bytes) else { panic!("no PUBLISH") };
        assert_eq!((publish.pkid, publish.payload.len(), publish.dup), (7, 300, true));
    }

    #[test]
    fn packets_are_heard_when_they_are_whole() {
        let bytes = [0x20, 2, 0, 5, 0x40, 2, 1, 2, 0xD0, 0];
        assert_eq!(hear(&bytes[..3]), None);
        assert_eq!(hear(&bytes), Some((Heard::ConnAck(5), 4)));
        assert_eq!(hear(&bytes[4..]), Some((Heard::PubAck(258), 4)));
        assert_eq!(hear(&bytes[8..]), Some((Heard::Other, 2)));
        assert_eq!(hear(&[]), None);
    }
}
