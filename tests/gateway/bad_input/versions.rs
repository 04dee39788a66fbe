//! Everything a client can do wrong in MQTT, in each of its versions, and what it hears of it.

use super::{CUT_OFF, Scene, Why};
use crate::board::packet;
use crate::daemon::Daemon;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

/// What MQTT is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    V31,
    V311,
    V5,
}

pub(crate) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// Reason codes [MQTT 5.0, 2.4].
const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const BAD_METHOD: u8 = 0x8C;
const FILTER_INVALID: u8 = 0x8F;
const TOPIC_INVALID: u8 = 0x90;
const ALIAS_INVALID: u8 = 0x94;
const TOO_LARGE: u8 = 0x95;
/// The type of a DISCONNECT.
const DISCONNECT: u8 = 0xE0;

impl Version {
    /// The same, with an empty list of properties where 5.0 has one.
    fn properties(self) -> &'static [u8] {
        if self == Self::V5 { &[0] } else { &[] }
    }

    /// A CONNECT with a clean session.
    pub(crate) fn connect(self, client_id: &str, username: &str, password: &str) -> Vec<u8> {
        let (name, level) = match self {
            Self::V31 => ("MQIsdp", 3),
            Self::V311 => ("MQTT", 4),
            Self::V5 => ("MQTT", 5),
        };
        let mut body = string(name.as_bytes());
        body.extend([level, 0b1100_0010, 0, 60]);
        body.extend(self.properties());
        [client_id, username, password]
            .iter()
            .for_each(|text| body.extend(string(text.as_bytes())));
        packet(0x10, &body)
    }

    /// A PUBLISH with those flags.
    pub(crate) fn publish(self, flags: u8, topic: &[u8], id: u16, payload: &[u8]) -> Vec<u8> {
        let mut body = string(topic);
        if flags & 0b110 != 0 {
            body.extend(id.to_be_bytes());
        }
        body.extend(self.properties());
        body.extend(payload);
        packet(0x30 | flags, &body)
    }

    /// A SUBSCRIBE to one filter.
    pub(crate) fn subscribe(self, filter: &[u8], options: u8) -> Vec<u8> {
        let body = [&[0, 1], self.properties(), &string(filter), &[options]].concat();
        packet(0x82, &body)
    }
}

/// A text with its length.
fn string(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text].concat()
}

/// A connection that is written to and read from as bytes.
pub(super) struct Raw(TcpStream);

impl Raw {
    pub(super) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(CUT_OFF)).unwrap();
        stream.set_write_timeout(Some(CUT_OFF)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Signs in; its CONNACK says that it may.
    fn connect(daemon: &Daemon, version: Version, client_id: &str) -> Self {
        let mut raw = Self::open(daemon.ports.mqtt);
        raw.write(&version.connect(client_id, "enrol", &daemon.enrolment()));
        let answer = raw.packet().unwrap();
        assert_eq!(answer[..2], [0x20, answer[1]], "{answer:02x?}");
        assert_eq!(answer[3], 0, "{answer:02x?}");
        raw
    }

    /// Sends what the peer may have stopped to read.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// The next packet, of less than 128 bytes.
    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head)?;
        assert!(head[1] < 0x80, "{head:02x?}");
        let mut body = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut body)?;
        Ok([&head[..], &body].concat())
    }

    /// What comes until the gateway closes; `None` when it does not.
    pub(super) fn rest(mut self) -> Option<Vec<Vec<u8>>> {
        let mut packets = Vec::new();
        loop {
            match self.packet() {
                Ok(packet) => packets.push(packet),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return None;
                }
                Err(_) => return Some(packets),
            }
        }
    }
}

/// What is wrong, the bytes, what 5.0 is told of it, and as what it is counted.
type Bad = (&'static str, Vec<u8>, u8, &'static str);

/// What is wrong with a publish, and with any packet, in every version.
fn bad_publishes(version: Version) -> Vec<Bad> {
    let publish = |topic: &[u8]| version.publish(2, topic, 1, b"{}");
    let huge = [&[0x32, 0xFF, 0xFF, 0xFF, 0x7F][..], &[b'x'; 1000]].concat();
    let invalid = if version == Version::V5 { PROTOCOL_ERROR } else { TOPIC_INVALID };
    let empty = if version == Version::V5 { "no_topic" } else { "bad_topic" };
    vec![
        (
            "a second CONNECT",
            version.connect("bad", "enrol", "x"),
            PROTOCOL_ERROR,
            "second_connect",
        ),
        ("a packet of 256 MiB", huge, TOO_LARGE, "packet_too_long"),
        (
            "a length of five bytes",
            vec![0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            MALFORMED,
            "bad_length",
        ),
        ("QoS 3", version.publish(0b110, b"boards/bad/up/a", 1, b""), MALFORMED, "reserved_qos"),
        (
            "DUP at QoS 0",
            version.publish(0b1000, b"boards/bad/up/a", 1, b""),
            MALFORMED,
            "duplicate_qos0",
        ),
        ("+ in a topic", publish(b"boards/bad/up/+"), TOPIC_INVALID, "bad_topic"),
        ("# in a topic", publish(b"boards/bad/up/#"), TOPIC_INVALID, "bad_topic"),
        ("a NUL in a topic", publish(b"boards/bad/up/\0"), MALFORMED, "nul_in_string"),
        ("no UTF-8 in a topic", publish(b"boards/bad/up/\xFF"), MALFORMED, "not_utf8"),
        ("a surrogate in a topic", publish(b"boards/bad/up/\xED\xA0\x80"), MALFORMED, "not_utf8"),
        ("an empty topic", publish(b""), invalid, empty),
        (
            "a topic of 33 levels",
            publish(["x"; 33].join("/").as_bytes()),
            TOPIC_INVALID,
            "bad_topic",
        ),
        ("a topic of 1,025 bytes", publish(&[b'x'; 1025]), TOPIC_INVALID, "bad_topic"),
        (
            "packet id 0",
            version.publish(2, b"boards/bad/up/a", 0, b""),
            PROTOCOL_ERROR,
            "zero_packet_id",
        ),
        ("a cut PUBLISH", packet(0x32, b"\0\x0fboards"), MALFORMED, "truncated"),
    ]
}

/// What is wrong with what asks for something, and with what a client does not say, in every version.
fn bad_requests(version: Version) -> Vec<Bad> {
    let subscribe = |filter: &[u8]| version.subscribe(filter, 1);
    let unsubscribe = [&[0, 1], version.properties(), &string(b"a/#/b")].concat();
    // In 5.0 it is AUTH.
    let type_15 = if version == Version::V5 { "reserved_flags" } else { "reserved_type" };
    vec![
        ("a/#/b", subscribe(b"a/#/b"), FILTER_INVALID, "bad_filter"),
        ("a#", subscribe(b"a#"), FILTER_INVALID, "bad_filter"),
        ("a/b+", subscribe(b"a/b+"), FILTER_INVALID, "bad_filter"),
        ("an empty filter", subscribe(b""), FILTER_INVALID, "bad_filter"),
        ("a NUL in a filter", subscribe(b"a\0"), MALFORMED, "nul_in_string"),
        ("no UTF-8 in a filter", subscribe(b"\xFF"), MALFORMED, "not_utf8"),
        (
            "no filter",
            packet(0x82, &[&[0, 1], version.properties()].concat()),
            PROTOCOL_ERROR,
            "no_filter",
        ),
        ("unsubscribing from a/#/b", packet(0xA2, &unsubscribe), FILTER_INVALID, "bad_filter"),
        (
            "reserved flags of SUBSCRIBE",
            packet(0x80, &[0, 1, 0, 1, b'a', 0]),
            MALFORMED,
            "reserved_flags",
        ),
        ("reserved flags of PUBREL", packet(0x60, &[0, 1]), MALFORMED, "reserved_flags"),
        ("reserved flags of PINGREQ", packet(0xC1, &[]), MALFORMED, "reserved_flags"),
        ("a PINGREQ with a body", packet(0xC0, &[0]), MALFORMED, "trailing_bytes"),
        ("packet type 0", packet(0x00, &[]), MALFORMED, "reserved_type"),
        ("packet type 15", packet(0xF1, &[]), MALFORMED, type_15),
        (
            "a CONNACK from a client",
            packet(0x20, &[&[0, 0], version.properties()].concat()),
            PROTOCOL_ERROR,
            "server_packet",
        ),
        (
            "a SUBACK from a client",
            packet(0x90, &[&[0, 1], version.properties(), &[0]].concat()),
            PROTOCOL_ERROR,
            "server_packet",
        ),
        ("a PINGRESP from a client", packet(0xD0, &[]), PROTOCOL_ERROR, "server_packet"),
    ]
}

/// What is wrong in 5.0 alone.
fn bad_of_5() -> Vec<Bad> {
    let with = |properties: &[u8]| {
        let length = [u8::try_from(properties.len()).unwrap()];
        let body = [&string(b"boards/bad/up/a")[..], &[0, 1], &length, properties, b"{}"].concat();
        packet(0x32, &body)
    };
    vec![
        ("a property that there is not", with(&[0x7F, 0]), MALFORMED, "unknown_property"),
        ("a property of another packet", with(&[0x21, 0, 9]), MALFORMED, "misplaced_property"),
        ("a property twice", with(&[0x01, 0, 0x01, 0]), PROTOCOL_ERROR, "repeated_property"),
        ("a payload format of 2", with(&[0x01, 2]), PROTOCOL_ERROR, "bad_property_value"),
        ("topic alias 0", with(&[0x23, 0, 0]), ALIAS_INVALID, "bad_topic_alias"),
        ("topic alias 60000", with(&[0x23, 0xEA, 0x60]), ALIAS_INVALID, "bad_topic_alias"),
        ("a subscription identifier", with(&[0x0B, 1]), MALFORMED, "misplaced_property"),
        (
            "a wildcard as response topic",
            with(&[0x08, 0, 1, b'#']),
            TOPIC_INVALID,
            "bad_response_topic",
        ),
        ("properties that end too late", with(&[0x03, 0xFF, 0xFF, b'x']), MALFORMED, "truncated"),
        (
            "retain handling 3",
            Version::V5.subscribe(b"a", 0b0011_0000),
            PROTOCOL_ERROR,
            "bad_subscription_option",
        ),
        (
            "reserved options",
            Version::V5.subscribe(b"a", 0b0100_0000),
            MALFORMED,
            "reserved_subscription_option",
        ),
        (
            "no local on a shared one",
            Version::V5.subscribe(b"$share/g/a", 0b101),
            PROTOCOL_ERROR,
            "shared_no_local",
        ),
        (
            "$share without a filter",
            Version::V5.subscribe(b"$share/g", 1),
            FILTER_INVALID,
            "bad_filter",
        ),
        (
            "an AUTH without a method",
            packet(0xF0, &[0x19, 0]),
            PROTOCOL_ERROR,
            "no_authentication_method",
        ),
        (
            "an AUTH of no method of ours",
            packet(0xF0, b"\x19\x05\x15\0\x02xy"),
            BAD_METHOD,
            "not_authenticating",
        ),
        (
            "a reason that PUBACK has not",
            packet(0x40, &[0, 1, 0x8E, 0]),
            PROTOCOL_ERROR,
            "bad_reason_code",
        ),
    ]
}

pub(super) fn every_version() {
    let mut scene = Scene::new();
    for version in VERSIONS {
        let mut all = bad_publishes(version);
        all.extend(bad_requests(version));
        if version == Version::V5 {
            all.extend(bad_of_5());
        }
        for (what, bytes, reason, code) in all {
            let what = format!("{version:?}: {what}");
            scene.ended(Why::Fault(code), &what, |daemon| {
                let mut raw = Raw::connect(daemon, version, "bad");
                raw.write(&bytes);
                let packets = raw.rest().unwrap_or_else(|| panic!("{what} is suffered"));
                // 3.x has no word for it [MQTT 3.1.1, 4.8].
                let told = packets.last().filter(|it| it[0] == DISCONNECT).map(|it| it[2]);
                let wanted = (version == Version::V5).then_some(reason);
                assert_eq!(told, wanted, "{what}: {packets:02x?}");
            });
        }
        for (what, bytes, why) in before_connect(version) {
            let what = format!("{version:?}: {what}");
            scene.ended(why, &what, |daemon| {
                let mut raw = Raw::open(daemon.ports.mqtt);
                raw.write(&bytes);
                let packets = raw.rest().unwrap_or_else(|| panic!("{what} is suffered"));
                assert!(packets.iter().all(|it| it[0] == 0x20 && it[3] != 0), "{packets:02x?}");
            });
        }
    }
    scene.end();
}

/// What is no CONNECT, or one that is wrong.
fn before_connect(version: Version) -> Vec<(&'static str, Vec<u8>, Why)> {
    let good = version.connect("bad", "enrol", "x");
    let with = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        changed
    };
    // Where the flags are: behind the header, the protocol's name and its level.
    let flags = if version == Version::V31 { 11 } else { 9 };
    vec![
        (
            "a PUBLISH first",
            version.publish(2, b"boards/bad/up/a", 1, b""),
            Why::Fault("not_connected"),
        ),
        ("a SUBSCRIBE first", version.subscribe(b"a", 0), Why::Fault("not_connected")),
        ("a PINGREQ first", packet(0xC0, &[]), Why::Fault("not_connected")),
        ("reserved flags of CONNECT", with(0, 0x11), Why::Fault("reserved_flags")),
        (
            "the reserved bit of its flags",
            with(flags, 0b1100_0011),
            Why::Fault("reserved_connect_flag"),
        ),
        ("a will of QoS 3", with(flags, 0b1101_1110), Why::Fault("reserved_qos")),
        ("a will's QoS without a will", with(flags, 0b1100_1010), Why::Fault("will_contradicts")),
        ("a level that is not spoken", with(flags - 1, 9), Why::Refused("unacceptable_version")),
        ("another protocol's name", with(flags - 2, b'X'), Why::Fault("bad_protocol_name")),
        ("a cut CONNECT", packet(0x10, &good[2..good.len() - 3]), Why::Fault("truncated")),
        (
            "more than a CONNECT",
            packet(0x10, &[&good[2..], b"x"].concat()),
            Why::Fault("trailing_bytes"),
        ),
        (
            "a NUL in a client id",
            version.connect("a\0b", "enrol", "x"),
            Why::Fault("nul_in_string"),
        ),
        (
            "a length of five bytes",
            vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            Why::Fault("bad_length"),
        ),
    ]
}

/// What has ended other brokers for good.
pub(super) fn what_ended_others() {
    let mut scene = Scene::new();
    let secret = scene.daemon.enrolment();
    let port = scene.daemon.ports.mqtt;
    // Topics beyond ASCII, while filters are there; a client id like a path, twice.
    for version in VERSIONS {
        for _ in 0..2 {
            let mut raw = Raw::connect(&scene.daemon, version, "dev/1");
            raw.write(&version.subscribe("boards/+/down/温度/#".as_bytes(), 1));
            raw.packet().unwrap();
            raw.write(&version.publish(2, "boards/dev/1/up/x".as_bytes(), 1, b"{}"));
        }
        let mut raw = Raw::connect(&scene.daemon, version, "größe");
        raw.write(&version.publish(2, "boards/größe/up/温度".as_bytes(), 7, b"{}"));
        assert_eq!(raw.packet().unwrap()[..4], [0x40, 2, 0, 7], "{version:?}");
    }
    scene.all_is_well();
    // Many that never finish their CONNECT, and one that is turned away and tries again at once.
    let half: Vec<_> = (0..200)
        .map(|_| {
            let mut raw = Raw::open(port);
            raw.write(&Version::V311.connect("half", "enrol", &secret)[..9]);
            raw
        })
        .collect();
    for _ in 0..50 {
        let mut raw = Raw::open(port);
        raw.write(&Version::V311.connect("refused", "enrol", "wrong"));
        assert_eq!(raw.packet().unwrap(), [0x20, 2, 0, 4]);
    }
    scene.all_is_well();
    drop(half);
    scene.end();
}
