//! Bytes from the socket and to it.

use super::rates::Pace;
use super::{Driver, LAST_WRITE};
use crate::clock::Clock;
use crate::listen::Stream;
use ::mqtt::{CloseReason, Session};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// What is read at once. One buffer for each worker thread, not for each connection.
const SCRATCH_LEN: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_LEN]);
}

/// Reads what is there into the session; false at the end of the stream. What is no whole packet
/// stays in `rest`.
pub(super) async fn read(
    stream: &mut Stream,
    session: &mut Session,
    (rest, pace): (&mut Vec<u8>, &mut Pace),
    clock: Clock,
) -> bool {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            let bytes = buffer.filled();
            if read.is_err() || bytes.is_empty() {
                return Poll::Ready(false);
            }
            let now = clock.now();
            if rest.is_empty() {
                let taken = pace.receive(session, bytes, now);
                rest.extend_from_slice(&bytes[taken..]);
            } else {
                rest.extend_from_slice(bytes);
                let taken = pace.receive(session, rest, now);
                rest.drain(..taken);
            }
            trim(rest);
            Poll::Ready(true)
        })
    })
    .await
}

fn trim(rest: &mut Vec<u8>) {
    if rest.is_empty() {
        *rest = Vec::new();
    }
}

impl Driver {
    /// Takes packets that were read before; says whether there was a whole one.
    pub(super) fn take_rest(&mut self) -> bool {
        let now = self.listener.parts.clock.now();
        let taken = self.pace.receive(&mut self.session, &self.rest, now);
        self.rest.drain(..taken);
        trim(&mut self.rest);
        taken > 0
    }

    /// Writes what waits to be written. The error is why the client must go: it takes nothing, has
    /// connected anew, or the daemon stops.
    pub(super) async fn write(&mut self) -> Result<(), CloseReason> {
        while self.session.has_output() {
            let bytes = self.session.take_output();
            let mut at = 0;
            if !self.write_at_once(&bytes, &mut at).await {
                // On the heap: what waits for slow clients is not to be in every connection.
                if let Err(reason) = Box::pin(self.write_all(&bytes, &mut at)).await {
                    self.unwritten = bytes[at..].to_vec();
                    return Err(reason);
                }
            }
            // There may be room for what waited.
            self.drain().await;
        }
        Ok(())
    }

    /// Writes what the socket takes without waiting; says whether that was all.
    async fn write_at_once(&mut self, bytes: &[u8], at: &mut usize) -> bool {
        poll_fn(|cx| {
            let mut stream = Pin::new(&mut self.stream);
            if let Poll::Ready(Ok(count)) = stream.as_mut().poll_write(cx, bytes) {
                *at = count;
            }
            let is_done =
                *at == bytes.len() && matches!(stream.poll_flush(cx), Poll::Ready(Ok(())));
            Poll::Ready(is_done)
        })
        .await
    }

    async fn write_all(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), CloseReason> {
        let patience = self.listener.options.slow_reader_timeout;
        let line = self.client.as_deref().map(|client| &*client.line);
        let taken_over = async {
            match line {
                Some(line) => line.taken_over().await,
                None => std::future::pending().await,
            }
        };
        let stream = &mut self.stream;
        let written = async {
            while *at < bytes.len() {
                match timeout(patience, stream.write(&bytes[*at..])).await {
                    Ok(Ok(count)) if count > 0 => *at += count,
                    Ok(_) => return Err(CloseReason::Lost),
                    Err(_) => return Err(CloseReason::TooSlow),
                }
            }
            // With TLS the last of it may still be in a buffer.
            match timeout(patience, stream.flush()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(CloseReason::Lost),
                Err(_) => Err(CloseReason::TooSlow),
            }
        };
        tokio::select! {
            biased;
            written = written => written,
            () = self.stop.cancelled() => Err(CloseReason::Shutdown),
            () = taken_over => Err(CloseReason::TakenOver),
        }
    }

    /// Writes what is left, as far as the client takes it in a second.
    pub(super) async fn write_last(&mut self) {
        let Self { stream, session, unwritten, .. } = self;
        unwritten.append(&mut session.take_output());
        let last = async {
            stream.write_all(unwritten).await?;
            stream.shutdown().await
        };
        let _ = timeout(LAST_WRITE, last).await;
    }

    /// Takes what a client that was sent away has still on its way, for a second at most: closed with
    /// bytes unread, the connection would be reset, and the reason lost that it was told.
    pub(super) async fn linger(&mut self) {
        let Self { stream, stop, .. } = self;
        let rest = poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                loop {
                    let mut buffer = ReadBuf::new(scratch);
                    let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
                    if read.is_err() || buffer.filled().is_empty() {
                        return Poll::Ready(());
                    }
                }
            })
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ = timeout(LAST_WRITE, rest) => {}
        }
    }
}
