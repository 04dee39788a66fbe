//! MQTT 5.0 properties: what a packet may say beside its fields.
//!
//! Borrowed and checked once, when the packet is decoded: which property, where, how often, and
//! its value. Reading them afterwards cannot fail, and allocates nothing. Spec: MQTT 5.0, 2.2.2.

use crate::ProtocolError;
use crate::message::reader::Reader;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

/// The properties of one packet, as they are spelled on the wire without their length.
///
/// None in MQTT 3.x. Prints how many bytes they are, never what they say.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// None at all.
    pub const EMPTY: Self = Self(&[]);

    /// Takes properties, without their length, that stand in such a packet.
    ///
    /// Checks all that MQTT 5.0 says of them: known, allowed there, at most once but for user
    /// properties (and subscription identifiers in PUBLISH), values in range.
    pub fn parse(bytes: &'a [u8], place: Place) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(bytes);
        let mut seen = 0_u64;
        while !reader.is_empty() {
            let property = Property::read(&mut reader)?;
            if !property.may_stand_in(place) {
                return Err(ProtocolError::MisplacedProperty);
            }
            let bit = 1 << property.identifier();
            if seen & bit != 0 && !property.may_repeat_in(place) {
                return Err(ProtocolError::RepeatedProperty);
            }
            seen |= bit;
        }
        Ok(Self(bytes))
    }

    /// Properties of our own making, or that were checked before.
    pub(crate) const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// As they are spelled, without their length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// One by one, in the order they came.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        let mut reader = Reader::new(self.0);
        // Read before without a fault: an error is the end.
        std::iter::from_fn(move || Property::read(&mut reader).ok())
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Properties({} bytes)", self.0.len())
    }
}

/// A packet type, or the will in CONNECT: what a property or a reason code may or may not stand in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the names are those of table 2.1")]
pub enum Place {
    Connect,
    /// The will of a CONNECT [3.1.3.2].
    Will,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
    Auth,
}

/// One property [table 2.4]. Numbers are seconds or bytes as the standard says of each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Property<'a> {
    /// 0: bytes; 1: the payload is UTF-8 [3.3.2.3.2].
    PayloadFormat(u8),
    /// Seconds for which the message is worth delivering [3.3.2.3.3].
    MessageExpiry(u32),
    /// What the payload is [3.3.2.3.9].
    ContentType(&'a str),
    /// Where an answer is awaited: a topic name [3.3.2.3.5].
    ResponseTopic(&'a str),
    /// What an answer must repeat [3.3.2.3.6].
    CorrelationData(&'a [u8]),
    /// The subscriber's number for a subscription, 1 to 268,435,455 [3.8.2.1.2].
    SubscriptionIdentifier(u32),
    /// Seconds for which the session outlives the connection; `u32::MAX`: for ever [3.1.2.11.2].
    SessionExpiry(u32),
    /// The name given to a client that brought none [3.2.2.3.7].
    AssignedClientId(&'a str),
    /// The keep-alive that holds instead of the client's, in seconds [3.2.2.3.14].
    ServerKeepAlive(u16),
    /// How to authenticate beyond a password [4.12].
    AuthenticationMethod(&'a str),
    /// A step of it. Secret.
    AuthenticationData(&'a [u8]),
    /// Whether reason strings and user properties are welcome [3.1.2.11.7].
    RequestProblemInformation(bool),
    /// Seconds between the end of the connection and the will [3.1.3.2.2].
    WillDelay(u32),
    /// Whether response information is welcome [3.1.2.11.6].
    RequestResponseInformation(bool),
    /// What response topics may be made of [3.2.2.3.15].
    ResponseInformation(&'a str),
    /// Where to go instead [4.11].
    ServerReference(&'a str),
    /// For people [3.2.2.3.9].
    ReasonString(&'a str),
    /// Most publishes above QoS 0 that may be unacknowledged [3.1.2.11.3].
    ReceiveMaximum(NonZeroU16),
    /// The highest topic alias that is understood; 0: none [3.1.2.11.5].
    TopicAliasMaximum(u16),
    /// A number for the topic [3.3.2.3.4].
    TopicAlias(NonZeroU16),
    /// The greatest QoS that is served: 0 or 1 [3.2.2.3.4].
    MaximumQos(u8),
    /// Whether messages are retained [3.2.2.3.5].
    RetainAvailable(bool),
    /// Any name and value [2.2.2.2].
    UserProperty(&'a str, &'a str),
    /// Longest packet that is taken, in bytes, fixed header included [3.1.2.11.4].
    MaximumPacketSize(NonZeroU32),
    /// Whether filters may have wildcards [3.2.2.3.11].
    WildcardAvailable(bool),
    /// Whether subscriptions may have identifiers [3.2.2.3.12].
    SubscriptionIdentifiersAvailable(bool),
    /// Whether subscriptions may be shared [3.2.2.3.13].
    SharedAvailable(bool),
}

impl<'a> Property<'a> {
    /// Its identifier [table 2.4].
    pub const fn identifier(&self) -> u8 {
        match self {
            Self::PayloadFormat(_) => 1,
            Self::MessageExpiry(_) => 2,
            Self::ContentType(_) => 3,
            Self::ResponseTopic(_) => 8,
            Self::CorrelationData(_) => 9,
            Self::SubscriptionIdentifier(_) => 11,
            Self::SessionExpiry(_) => 17,
            Self::AssignedClientId(_) => 18,
            Self::ServerKeepAlive(_) => 19,
            Self::AuthenticationMethod(_) => 21,
            Self::AuthenticationData(_) => 22,
            Self::RequestProblemInformation(_) => 23,
            Self::WillDelay(_) => 24,
            Self::RequestResponseInformation(_) => 25,
            Self::ResponseInformation(_) => 26,
            Self::ServerReference(_) => 28,
            Self::ReasonString(_) => 31,
            Self::ReceiveMaximum(_) => 33,
            Self::TopicAliasMaximum(_) => 34,
            Self::TopicAlias(_) => 35,
            Self::MaximumQos(_) => 36,
            Self::RetainAvailable(_) => 37,
            Self::UserProperty(..) => 38,
            Self::MaximumPacketSize(_) => 39,
            Self::WildcardAvailable(_) => 40,
            Self::SubscriptionIdentifiersAvailable(_) => 41,
            Self::SharedAvailable(_) => 42,
        }
    }

    /// Whether table 2.4 allows it in a packet of that type.
    pub const fn may_stand_in(&self, place: Place) -> bool {
        use Place::{Auth, Connack, Connect, Disconnect, Publish, Subscribe, Will};
        match self {
            Self::UserProperty(..) => true,
            Self::PayloadFormat(_)
            | Self::MessageExpiry(_)
            | Self::ContentType(_)
            | Self::ResponseTopic(_)
            | Self::CorrelationData(_) => matches!(place, Publish | Will),
            Self::WillDelay(_) => matches!(place, Will),
            Self::TopicAlias(_) => matches!(place, Publish),
            Self::SubscriptionIdentifier(_) => matches!(place, Publish | Subscribe),
            Self::SessionExpiry(_) => matches!(place, Connect | Connack | Disconnect),
            Self::AuthenticationMethod(_) | Self::AuthenticationData(_) => {
                matches!(place, Connect | Connack | Auth)
            }
            Self::RequestProblemInformation(_) | Self::RequestResponseInformation(_) => {
                matches!(place, Connect)
            }
            Self::ReceiveMaximum(_) | Self::TopicAliasMaximum(_) | Self::MaximumPacketSize(_) => {
                matches!(place, Connect | Connack)
            }
            Self::ServerReference(_) => matches!(place, Connack | Disconnect),
            Self::ReasonString(_) => {
                !matches!(place, Connect | Will | Publish | Subscribe | Place::Unsubscribe)
            }
            Self::AssignedClientId(_)
            | Self::ServerKeepAlive(_)
            | Self::ResponseInformation(_)
            | Self::MaximumQos(_)
            | Self::RetainAvailable(_)
            | Self::WildcardAvailable(_)
            | Self::SubscriptionIdentifiersAvailable(_)
            | Self::SharedAvailable(_) => matches!(place, Connack),
        }
    }

    /// Whether it may stand there more than once.
    const fn may_repeat_in(&self, place: Place) -> bool {
        // One for each subscription that matched [3.3.2.3.8].
        let is_of_many = matches!(self, Self::SubscriptionIdentifier(_));
        matches!(self, Self::UserProperty(..)) || (is_of_many && matches!(place, Place::Publish))
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, ProtocolError> {
        const OUT_OF_RANGE: ProtocolError = ProtocolError::BadPropertyValue;
        // A variable byte integer, but none so far needs a second byte.
        Ok(match reader.byte()? {
            1 => Self::PayloadFormat(reader.bit()?.into()),
            2 => Self::MessageExpiry(reader.long()?),
            3 => Self::ContentType(reader.string()?),
            8 => Self::ResponseTopic(topic_name(reader.string()?)?),
            9 => Self::CorrelationData(reader.binary()?),
            11 => Self::SubscriptionIdentifier(match reader.length()? {
                0 => return Err(OUT_OF_RANGE),
                number => number,
            }),
            17 => Self::SessionExpiry(reader.long()?),
            18 => Self::AssignedClientId(reader.string()?),
            19 => Self::ServerKeepAlive(reader.number()?),
            21 => Self::AuthenticationMethod(reader.string()?),
            22 => Self::AuthenticationData(reader.binary()?),
            23 => Self::RequestProblemInformation(reader.bit()?),
            24 => Self::WillDelay(reader.long()?),
            25 => Self::RequestResponseInformation(reader.bit()?),
            26 => Self::ResponseInformation(reader.string()?),
            28 => Self::ServerReference(reader.string()?),
            31 => Self::ReasonString(reader.string()?),
            33 => Self::ReceiveMaximum(NonZeroU16::new(reader.number()?).ok_or(OUT_OF_RANGE)?),
            34 => Self::TopicAliasMaximum(reader.number()?),
            35 => {
                let alias = NonZeroU16::new(reader.number()?);
                Self::TopicAlias(alias.ok_or(ProtocolError::BadTopicAlias)?)
            }
            36 => Self::MaximumQos(reader.bit()?.into()),
            37 => Self::RetainAvailable(reader.bit()?),
            38 => Self::UserProperty(reader.string()?, reader.string()?),
            39 => Self::MaximumPacketSize(NonZeroU32::new(reader.long()?).ok_or(OUT_OF_RANGE)?),
            40 => Self::WildcardAvailable(reader.bit()?),
            41 => Self::SubscriptionIdentifiersAvailable(reader.bit()?),
            42 => Self::SharedAvailable(reader.bit()?),
            _ => return Err(ProtocolError::UnknownProperty),
        })
    }

    /// Appends the property to what will be [`Properties`]. Strings and bytes must fit into
    /// 65,535 bytes each.
    pub fn encode(&self, out: &mut Vec<u8>) {
        use crate::message::binary;
        out.push(self.identifier());
        match *self {
            Self::PayloadFormat(byte) | Self::MaximumQos(byte) => out.push(byte),
            Self::RequestProblemInformation(bit)
            | Self::RequestResponseInformation(bit)
            | Self::RetainAvailable(bit)
            | Self::WildcardAvailable(bit)
            | Self::SubscriptionIdentifiersAvailable(bit)
            | Self::SharedAvailable(bit) => out.push(bit.into()),
            Self::ServerKeepAlive(number) | Self::TopicAliasMaximum(number) => {
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::ReceiveMaximum(number) | Self::TopicAlias(number) => {
                out.extend_from_slice(&number.get().to_be_bytes());
            }
            Self::MessageExpiry(long) | Self::SessionExpiry(long) | Self::WillDelay(long) => {
                out.extend_from_slice(&long.to_be_bytes());
            }
            Self::MaximumPacketSize(long) => out.extend_from_slice(&long.get().to_be_bytes()),
            Self::SubscriptionIdentifier(number) => {
                crate::frame::encode_length(number as usize, out)
            }
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientId(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => binary(text.as_bytes(), out),
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => binary(bytes, out),
            Self::UserProperty(name, value) => {
                binary(name.as_bytes(), out);
                binary(value.as_bytes(), out);
            }
        }
    }
}

/// A response topic is a topic name: not empty, no wildcards [MQTT-3.3.2-14], [MQTT-4.7.3-1].
fn topic_name(text: &str) -> Result<&str, ProtocolError> {
    let is_name = !text.is_empty() && !text.contains(['+', '#']);
    if is_name { Ok(text) } else { Err(ProtocolError::BadResponseTopic) }
}
