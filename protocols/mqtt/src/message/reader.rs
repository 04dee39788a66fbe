//! Reads the fields of one packet body, front to back.

use super::{PacketId, Version};
use crate::property::{Place, Properties};
use crate::{ProtocolError, ReasonCode};

/// What is left of a body.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ProtocolError> {
        let (&byte, rest) = self.rest.split_first().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u16, ProtocolError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(crate) fn long(&mut self) -> Result<u32, ProtocolError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// A byte that may be 0 or 1.
    pub(crate) fn bit(&mut self) -> Result<bool, ProtocolError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolError::BadPropertyValue),
        }
    }

    /// A variable byte integer of up to four bytes, in as few as can be [MQTT 5.0, 1.5.5].
    pub(crate) fn length(&mut self) -> Result<u32, ProtocolError> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            length |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let is_overlong = shift > 0 && byte == 0;
                return if is_overlong { Err(ProtocolError::BadLength) } else { Ok(length) };
            }
        }
        Err(ProtocolError::BadLength)
    }

    /// The properties of a packet of that type, in MQTT 5.0; none in 3.x.
    pub(crate) fn properties(
        &mut self,
        version: Version,
        place: Place,
    ) -> Result<Properties<'a>, ProtocolError> {
        if version != Version::V5 {
            return Ok(Properties::EMPTY);
        }
        let len = self.length()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Properties::parse(bytes, place)
    }

    /// A reason code that may stand in a packet of that type.
    pub(crate) fn reason(&mut self, place: Place) -> Result<ReasonCode, ProtocolError> {
        reason(self.byte()?, place)
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, ProtocolError> {
        PacketId::new(self.number()?).ok_or(ProtocolError::ZeroPacketId)
    }

    /// Two bytes of length, then that many.
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], ProtocolError> {
        let len = usize::from(self.number()?);
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A string [1.5.3]: well-formed UTF-8 (so without surrogates) and without U+0000.
    pub(crate) fn string(&mut self) -> Result<&'a str, ProtocolError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| ProtocolError::NotUtf8)?;
        // All of it, without a way out: in steps of many bytes, which a search is not.
        let has_nul = bytes.iter().fold(false, |has_nul, &byte| has_nul | (byte == 0));
        if has_nul { Err(ProtocolError::NulInString) } else { Ok(text) }
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), ProtocolError> {
        if self.is_empty() { Ok(()) } else { Err(ProtocolError::TrailingBytes) }
    }
}

/// A byte that must be a reason code of a packet of that type [MQTT 5.0, 2.4].
pub(super) fn reason(byte: u8, place: Place) -> Result<ReasonCode, ProtocolError> {
    let code = ReasonCode::parse(byte).filter(|code| code.may_stand_in(place));
    code.ok_or(ProtocolError::BadReasonCode)
}
