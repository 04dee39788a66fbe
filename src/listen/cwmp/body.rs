//! The body of a request: read and unpacked within bounds.

use super::{Answer, CwmpOptions, plain};
use cwmp::frame::{self, Coding};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::{BodyExt as _, Limited};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use std::io::Read;
use std::time::Duration;

/// Longest time for a body that is not looked at: a CPE sends its Inform in one go.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a body is not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// Longer than allowed, packed or unpacked.
    TooLong,
    /// Packed in a way that we do not know.
    Coding,
    /// Not what its coding says.
    Packed,
    /// It stopped arriving.
    Slow,
    /// The connection broke.
    Broken,
}

impl BodyError {
    /// A stable word for metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Coding => "coding",
            Self::Packed => "packed",
            Self::Slow => "slow_body",
            Self::Broken => "http_broken",
        }
    }

    /// What HTTP says to it.
    pub(super) fn answer(self) -> Answer {
        let (status, text) = match self {
            Self::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than allowed"),
            Self::Coding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body may be packed by gzip or deflate")
            }
            Self::Packed => (StatusCode::BAD_REQUEST, "the body is not what its coding says"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::Broken => (StatusCode::BAD_REQUEST, "the body broke off"),
        };
        plain(status, text)
    }
}

/// Reads a body within its bounds, as it arrives and once it is unpacked.
pub(super) async fn read(
    body: Incoming,
    encoding: Option<&HeaderValue>,
    options: &CwmpOptions,
) -> Result<Bytes, BodyError> {
    let coding = match encoding {
        None => Coding::Identity,
        Some(encoding) => {
            encoding.to_str().ok().and_then(frame::coding).ok_or(BodyError::Coding)?
        }
    };
    let whole = Limited::new(body, options.body_max).collect();
    let collected = tokio::time::timeout(options.body_timeout, whole).await;
    let packed = match collected {
        Err(_) => return Err(BodyError::Slow),
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(BodyError::TooLong);
        }
        Ok(Err(_)) => return Err(BodyError::Broken),
    };
    let max = options.body_decoded_max;
    match coding {
        Coding::Identity => Ok(packed),
        Coding::Gzip => unpack(MultiGzDecoder::new(&*packed), max),
        Coding::Deflate => match unpack(ZlibDecoder::new(&*packed), max) {
            Err(BodyError::Packed) => unpack(DeflateDecoder::new(&*packed), max),
            unpacked => unpacked,
        },
    }
}

/// Reads and forgets, so that the peer is done sending when it hears the answer. Of a stranger's body
/// nothing is kept, and he has little time.
pub(super) async fn drain(mut body: Incoming, max: usize) {
    let forget = async {
        let mut left = max;
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(len) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, forget).await;
}

/// Stops one byte over the limit, so that a bomb costs no more than a large body.
fn unpack(decoder: impl Read, max: usize) -> Result<Bytes, BodyError> {
    let mut plain = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut plain).map_err(|_| BodyError::Packed)?;
    if plain.len() > max { Err(BodyError::TooLong) } else { Ok(plain.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder};
    use std::io::Write as _;

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&vec![b' '; 10 << 20]).unwrap();
        let bomb = packer.finish().unwrap();
        assert!(bomb.len() < 20_000);
        assert_eq!(unpack(MultiGzDecoder::new(&*bomb), 1 << 20), Err(BodyError::TooLong));
    }

    #[test]
    fn raw_deflate_and_rubbish_are_told_apart() {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(b"<xml/>").unwrap();
        let raw = packer.finish().unwrap();
        assert_eq!(unpack(DeflateDecoder::new(&*raw), 100).unwrap(), "<xml/>");
        assert_eq!(unpack(ZlibDecoder::new(&b"rubbish"[..]), 100), Err(BodyError::Packed));
    }
}
