//! MQTT framing: bytes to frames and back, nothing about what a frame means.
//!
//! Never holds bytes: a frame borrows from the reader's buffer, and one that is announced longer
//! than allowed is refused before its body arrives. Spec: MQTT 3.1.1, 2.2 "Fixed header".

use crate::ProtocolError;

/// Longest fixed header: the type and four bytes of length.
pub const HEADER_LEN_MAX: usize = 1 + LENGTH_SIZE_MAX;

/// Longest body that a length of four bytes can announce [2.2.3].
pub const BODY_LEN_MAX: usize = 268_435_455;

const LENGTH_SIZE_MAX: usize = 4;

/// One control packet, still undecoded, borrowed from the read buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// The packet type (high four bits) and its flags (low four), as sent.
    pub head: u8,
    /// Everything after the length.
    pub body: &'a [u8],
    /// The length is spelled in more bytes than it needs: allowed in 3.x, not in 5.0.
    pub is_overlong: bool,
}

/// Takes one frame off the front of `bytes`, with how many bytes it used.
///
/// `Ok(None)` means "not all here yet": read more and call again with the same bytes and more.
/// `body_len_max` is applied to the announced length, in bytes.
#[inline]
pub fn decode(
    bytes: &[u8],
    body_len_max: usize,
) -> Result<Option<(Frame<'_>, usize)>, ProtocolError> {
    let Some((start, end)) = extent(bytes, body_len_max)? else { return Ok(None) };
    let Some(body) = bytes.get(start..end) else { return Ok(None) };
    let is_overlong = start != 1 + length_size(body.len());
    Ok(Some((Frame { head: bytes[0], body, is_overlong }, end)))
}

/// How many bytes the frame at the front of `bytes` has in all, as soon as its length is there.
///
/// For a reader that wants to make room for exactly what is still to come.
pub fn announced(bytes: &[u8], body_len_max: usize) -> Result<Option<usize>, ProtocolError> {
    Ok(extent(bytes, body_len_max)?.map(|(_, end)| end))
}

/// Appends a fixed header for a body of `body_len` bytes, at most [`BODY_LEN_MAX`].
pub fn encode_header(head: u8, body_len: usize, out: &mut Vec<u8>) {
    debug_assert!(body_len <= BODY_LEN_MAX, "callers bound what they encode");
    out.push(head);
    encode_length(body_len, out);
}

/// Appends a variable byte integer, at most [`BODY_LEN_MAX`], in as few bytes as can be
/// [MQTT 5.0, MQTT-1.5.5-1].
pub(crate) fn encode_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    loop {
        let low = rest.to_le_bytes()[0] & 0x7F;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// How many bytes [`encode_length`] takes for it.
pub(crate) const fn length_size(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => LENGTH_SIZE_MAX,
    }
}

/// Where the body of the first frame starts and ends.
fn extent(bytes: &[u8], body_len_max: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some((_, rest)) = bytes.split_first() else { return Ok(None) };
    let mut body_len = 0;
    for (index, &byte) in rest.iter().take(LENGTH_SIZE_MAX).enumerate() {
        body_len |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // Refused before the body arrives, so no peer can make us hold more than the limit.
            if body_len > body_len_max {
                return Err(ProtocolError::PacketTooLong);
            }
            let start = index + 2;
            return Ok(Some((start, start + body_len)));
        }
    }
    if rest.len() < LENGTH_SIZE_MAX { Ok(None) } else { Err(ProtocolError::BadLength) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The boundaries of table 2.4, and every strict prefix merely incomplete.
    #[test]
    fn round_trips_and_waits() {
        for body_len in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut bytes = Vec::new();
            encode_header(0x30, body_len, &mut bytes);
            let header_len = bytes.len();
            bytes.resize(header_len + body_len, 7);

            let (frame, used) = decode(&bytes, body_len).unwrap().unwrap();
            assert_eq!((frame.head, frame.body.len(), used), (0x30, body_len, bytes.len()));
            for cut in (0..bytes.len()).step_by(1 + body_len / 300) {
                assert_eq!(decode(&bytes[..cut], body_len), Ok(None), "cut at {cut}");
                let known = (cut >= header_len).then_some(bytes.len());
                assert_eq!(announced(&bytes[..cut], body_len), Ok(known), "cut at {cut}");
            }
        }
    }

    /// The examples of table 2.4.
    #[test]
    fn lengths_are_spelled_as_the_standard_says() {
        let spelled = |body_len| {
            let mut out = Vec::new();
            encode_header(0, body_len, &mut out);
            out.split_off(1)
        };
        assert_eq!(spelled(64), [0x40]);
        assert_eq!(spelled(321), [193, 2]);
        assert_eq!(spelled(16_384), [0x80, 0x80, 0x01]);
        assert_eq!(spelled(BODY_LEN_MAX), [0xFF, 0xFF, 0xFF, 0x7F]);
    }

    #[test]
    fn refuses_before_the_body_arrives() {
        let announced = [0x30, 0xFF, 0xFF, 0xFF, 0x7F];
        assert_eq!(decode(&announced, 1024), Err(ProtocolError::PacketTooLong));
        assert_eq!(decode(&[0x30, 0x81, 0x08], 1024), Err(ProtocolError::PacketTooLong));
        assert_eq!(decode(&[0x30, 0x80, 0x08], 1024), Ok(None));
        let five = [0x30, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(decode(&five, BODY_LEN_MAX), Err(ProtocolError::BadLength));
    }
}
