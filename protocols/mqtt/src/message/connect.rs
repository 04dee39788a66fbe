//! CONNECT: who is there, and what becomes of the connection when they are gone.

use super::reader::Reader;
use super::{QoS, Version};
use crate::ProtocolError;
use crate::property::{Place, Properties, Property};
use std::fmt;

/// A client asks to connect. Prints neither its names nor its password.
#[derive(Clone, Eq, PartialEq)]
pub struct Connect<'a> {
    /// Which protocol it speaks.
    pub version: Version,
    /// Whether it wants nothing kept [3.1.2.4]; in 5.0, nothing of before ("clean start").
    pub clean_session: bool,
    /// Longest silence it promises, in seconds; 0: none promised [3.1.2.10].
    pub keep_alive_s: u16,
    /// What it calls itself; may be empty.
    pub client_id: &'a str,
    /// What to say when it is gone without goodbye.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// What 5.0 says beside it.
    pub properties: Properties<'a>,
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_session", &self.clean_session)
            .field("keep_alive_s", &self.keep_alive_s)
            .field("will", &self.will.is_some())
            .field("username", &self.username.is_some())
            .field("password", &self.password.is_some())
            .finish_non_exhaustive()
    }
}

/// A last will [3.1.2.5].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Will<'a> {
    /// Topic name, unchecked but for being a string.
    pub topic: &'a str,
    /// What to say.
    pub payload: &'a [u8],
    /// Guarantee.
    pub qos: QoS,
    /// Whether it asks to be kept.
    pub retain: bool,
    /// What 5.0 says beside it.
    pub properties: Properties<'a>,
}

/// The connect flags of figure 3.4.
pub(super) mod flag {
    pub(crate) const RESERVED: u8 = 1 << 0;
    pub(crate) const CLEAN_SESSION: u8 = 1 << 1;
    pub(crate) const WILL: u8 = 1 << 2;
    pub(crate) const WILL_QOS_SHIFT: u8 = 3;
    pub(crate) const WILL_RETAIN: u8 = 1 << 5;
    pub(crate) const PASSWORD: u8 = 1 << 6;
    pub(crate) const USERNAME: u8 = 1 << 7;
}

/// Reads a CONNECT's body, all but its end.
pub(super) fn decode<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, ProtocolError> {
    let version = version(reader)?;
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    if has(flag::RESERVED) {
        return Err(ProtocolError::ReservedConnectFlag);
    }
    // In 5.0 a password may stand alone [MQTT 5.0, 3.1.2.9].
    if has(flag::PASSWORD) && !has(flag::USERNAME) && version != Version::V5 {
        return Err(ProtocolError::PasswordWithoutUser);
    }
    let will_qos = QoS::parse((flags >> flag::WILL_QOS_SHIFT) & 0b11)?;
    let will_retain = has(flag::WILL_RETAIN);
    if !has(flag::WILL) && (will_qos != QoS::AtMostOnce || will_retain) {
        return Err(ProtocolError::WillContradicts);
    }
    let keep_alive_s = reader.number()?;
    let properties = reader.properties(version, Place::Connect)?;
    check_authentication(properties)?;

    // The payload's order is fixed [MQTT-3.1.3-1].
    let client_id = reader.string()?;
    let will = if has(flag::WILL) {
        let properties = reader.properties(version, Place::Will)?;
        let topic = reader.string()?;
        let payload = reader.binary()?;
        Some(Will { topic, payload, qos: will_qos, retain: will_retain, properties })
    } else {
        None
    };
    let username = has(flag::USERNAME).then(|| reader.string()).transpose()?;
    let password = has(flag::PASSWORD).then(|| reader.binary()).transpose()?;
    let clean_session = has(flag::CLEAN_SESSION);
    Ok(Connect {
        version,
        clean_session,
        keep_alive_s,
        client_id,
        will,
        username,
        password,
        properties,
    })
}

/// Which protocol a CONNECT speaks, read before anything else in it.
pub(super) fn version(reader: &mut Reader<'_>) -> Result<Version, ProtocolError> {
    let name = reader.binary()?;
    match (name, reader.byte()?) {
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQTT", 4) => Ok(Version::V3_1_1),
        (b"MQIsdp", 3) => Ok(Version::V3_1),
        (b"MQTT" | b"MQIsdp", _) => Err(ProtocolError::UnsupportedVersion),
        _ => Err(ProtocolError::BadProtocolName),
    }
}

/// Authentication data needs a method [MQTT 5.0, 3.1.2.11.10].
fn check_authentication(properties: Properties<'_>) -> Result<(), ProtocolError> {
    let has = |wanted: fn(&Property<'_>) -> bool| properties.iter().any(|it| wanted(&it));
    let is_fine = !has(|it| matches!(it, Property::AuthenticationData(_)))
        || has(|it| matches!(it, Property::AuthenticationMethod(_)));
    if is_fine { Ok(()) } else { Err(ProtocolError::NoAuthenticationMethod) }
}
