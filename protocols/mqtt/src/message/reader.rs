//! Reads the fields of one packet body, front to back.

use super::PacketId;
use crate::ProtocolError;

/// What is left of a body.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) fn byte(&mut self) -> Result<u8, ProtocolError> {
        let (&byte, rest) = self.rest.split_first().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u16, ProtocolError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(super) fn packet_id(&mut self) -> Result<PacketId, ProtocolError> {
        PacketId::new(self.number()?).ok_or(ProtocolError::ZeroPacketId)
    }

    /// Two bytes of length, then that many.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], ProtocolError> {
        let len = usize::from(self.number()?);
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A string [1.5.3]: well-formed UTF-8 (so without surrogates) and without U+0000.
    pub(super) fn string(&mut self) -> Result<&'a str, ProtocolError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| ProtocolError::NotUtf8)?;
        if bytes.contains(&0) { Err(ProtocolError::NulInString) } else { Ok(text) }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that nothing is left.
    pub(super) fn end(&self) -> Result<(), ProtocolError> {
        if self.is_empty() { Ok(()) } else { Err(ProtocolError::TrailingBytes) }
    }
}
