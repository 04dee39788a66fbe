//! Taking a file in as it arrives: to disk in buffers, never whole in memory.

use super::shelf::{Incoming, ShelfError};
use crate::files::FileError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::time::Duration;
use tokio::time::timeout;

/// What is gathered before it goes to disk, in bytes: a write costs a change of threads.
const BUFFER: usize = 256 * 1024;
/// What must arrive within the idle timeout, in bytes. Who sends one byte at a time is cut off.
const PROGRESS: usize = 16 * 1024;

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// It is larger than allowed.
    #[error("the file is larger than allowed")]
    TooLong,
    /// It does not arrive, or a byte at a time.
    #[error("the file did not arrive in time")]
    Slow,
    /// The connection broke, or what was sent is not framed as it says.
    #[error("the file broke off")]
    Broken,
    /// There is no room for it.
    #[error("there is no room for the file")]
    Full,
    /// The disk failed.
    #[error("the file could not be written")]
    Disk(#[source] FileError),
}

impl ReceiveError {
    /// A stable word for metrics.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Slow => "slow_body",
            Self::Broken => "broken",
            Self::Full => "full",
            Self::Disk(_) => "disk",
        }
    }
}

impl From<FileError> for ReceiveError {
    fn from(error: FileError) -> Self {
        if error.is_full() { Self::Full } else { Self::Disk(error) }
    }
}

impl From<ShelfError> for ReceiveError {
    fn from(error: ShelfError) -> Self {
        match error {
            ShelfError::Quota => Self::Full,
            ShelfError::File(error) => error.into(),
        }
    }
}

/// How much and how slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most bytes.
    pub(crate) bytes_max: u64,
    /// Longest time for the next 16 KiB.
    pub(crate) idle_timeout: Duration,
}

/// Writes everything that `source` brings; says nothing of what lies behind it.
pub(crate) async fn receive<S, E>(
    source: &mut S,
    incoming: &mut Incoming,
    limits: Limits,
) -> Result<(), ReceiveError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut buffer = Vec::new();
    loop {
        let before = buffer.len();
        let gather = gather(source, &mut buffer, before + PROGRESS);
        let ended = timeout(limits.idle_timeout, gather).await.map_err(|_| ReceiveError::Slow)?;
        let ended = ended?;
        if incoming.bytes() + buffer.len() as u64 > limits.bytes_max {
            return Err(ReceiveError::TooLong);
        }
        if ended && buffer.is_empty() {
            return Ok(());
        }
        if ended || buffer.len() >= BUFFER {
            buffer = incoming.write(buffer).await?;
        }
        if ended {
            return Ok(());
        }
    }
}

/// Gathers until there are `enough` bytes; says whether it was the end.
async fn gather<S, E>(
    source: &mut S,
    buffer: &mut Vec<u8>,
    enough: usize,
) -> Result<bool, ReceiveError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    while buffer.len() < enough {
        match source.next().await {
            Some(Ok(piece)) => buffer.extend_from_slice(&piece),
            Some(Err(_)) => return Err(ReceiveError::Broken),
            None => return Ok(true),
        }
    }
    Ok(false)
}
