//! Handing a file out as it is asked for: in pieces from the disk, no faster than allowed.

use super::gate::Transfer;
use super::sealed::Unsealer;
use crate::clock::Clock;
use bytes::Bytes;
use firmware::Pace;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Largest piece, in bytes: what one transfer holds in memory.
const PIECE_MAX: u64 = 64 * 1024;
/// What a piece is worth of a limited line, so that bytes flow evenly.
const PIECE_TIME: Duration = Duration::from_millis(250);

/// A file's bytes as the body of an answer.
pub(crate) type FileBody = StreamBody<Pin<Box<dyn Stream<Item = Piece> + Send>>>;
type Piece = io::Result<Frame<Bytes>>;

/// The limits that a transfer keeps.
#[derive(Debug)]
pub(super) struct Paces {
    /// Of all together.
    pub(super) all: Option<Arc<Mutex<Pace>>>,
    /// Of this one.
    pub(super) own: Option<Pace>,
    pub(super) clock: Clock,
}

impl Paces {
    fn piece_max(&self) -> u64 {
        let all = self.all.as_ref().map(|all| {
            let all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.worth(PIECE_TIME)
        });
        let own = self.own.as_ref().map(|own| own.worth(PIECE_TIME));
        all.into_iter().chain(own).fold(PIECE_MAX, u64::min)
    }

    /// Waits until so many bytes may go.
    async fn wait(&mut self, bytes: u64) {
        let now = self.clock.now().monotonic;
        let own = self.own.as_mut().map_or(Duration::ZERO, |own| own.take(bytes, now));
        let all = self.all.as_ref().map_or(Duration::ZERO, |all| {
            all.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now)
        });
        let wait = own.max(all);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

struct Sending {
    file: Arc<File>,
    at: u64,
    left: u64,
    piece_max: u64,
    paces: Paces,
    transfer: Option<Transfer>,
}

/// `length` bytes of a file from `first` on. `transfer` is held until they are gone.
pub(super) fn plain(
    file: Arc<File>,
    (first, length): (u64, u64),
    paces: Paces,
    transfer: Option<Transfer>,
) -> FileBody {
    let piece_max = paces.piece_max();
    let sending = Sending { file, at: first, left: length, piece_max, paces, transfer };
    StreamBody::new(Box::pin(try_unfold(sending, next)))
}

async fn next(mut sending: Sending) -> io::Result<Option<(Frame<Bytes>, Sending)>> {
    let length = sending.left.min(sending.piece_max);
    if length == 0 {
        return Ok(None);
    }
    sending.paces.wait(length).await;
    let (file, at) = (Arc::clone(&sending.file), sending.at);
    let read = move || {
        let mut piece = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut piece, at).map(|()| piece)
    };
    let piece = spawn_blocking(read).await.map_err(io::Error::other)??;
    sending.at += length;
    sending.left -= length;
    if let Some(transfer) = &mut sending.transfer {
        transfer.carried(length);
        // The last piece is asked for when what came before it is nearly gone; whether it arrives
        // is known to the device alone, which says so by TransferComplete.
        if sending.left == 0 {
            transfer.ends("done");
        }
    }
    Ok(Some((Frame::data(piece.into()), sending)))
}

/// The whole of a file that lies encrypted.
pub(super) fn unsealed(unsealer: Unsealer) -> FileBody {
    let stream = try_unfold(unsealer, async |mut unsealer| {
        let read = move || unsealer.next().map(|piece| (piece, unsealer));
        let read = spawn_blocking(read).await.map_err(io::Error::other)?;
        let (piece, unsealer) = read.map_err(io::Error::other)?;
        Ok(piece.map(|piece| (Frame::data(piece.into()), unsealer)))
    });
    StreamBody::new(Box::pin(stream))
}
