//! Beam by TCP: a signed line, then a message on each line. Each is answered by a line that begins
//! with a status of HTTP; whoever is refused for what he is, and not for one message, is hung up on.

use super::{Beam, Outcome, Way, wrapped_max};
use crate::listen::{Connection, Port, Stream, accept};
use crate::shutdown::Stage;
use soracom::auth::{Sender, Signed};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Longest for the last bytes of a connection that ends.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Accepts on `port` until the stage stops.
pub(crate) async fn serve(beam: Arc<Beam>, port: Port, stage: Stage) {
    let stop = stage.stop().clone();
    let serve = move |connection: Connection| {
        let (beam, stop) = (Arc::clone(&beam), stop.clone());
        async move {
            let from = connection.peer.ip();
            let (stream, _place) = connection.into_parts();
            Talk { beam, from, stream: BufReader::new(stream) }.run(&stop).await;
        }
    };
    accept(port, stage, serve).await;
}

/// One connection.
struct Talk {
    beam: Arc<Beam>,
    from: IpAddr,
    stream: BufReader<Stream>,
}

/// Why no line was read.
enum Ended {
    /// The peer closed.
    Gone,
    /// It broke off within a line, or the connection broke.
    Broken,
    /// It fell silent.
    Silent,
    /// It is longer than allowed.
    TooLong,
}

impl Talk {
    async fn run(mut self, stop: &CancellationToken) {
        let read = timeout(self.beam.options.line_timeout, self.line(Signed::LINE_LEN_MAX));
        let signed = tokio::select! {
            line = read => line.unwrap_or(Err(Ended::Silent)),
            () = stop.cancelled() => return,
        };
        let sender = match signed {
            Ok(line) => self.beam.admit(self.from).and_then(|()| self.sender(&line)),
            Err(Ended::TooLong) => Err(Outcome::Malformed("line")),
            Err(Ended::Gone) => return self.ended("no_line"),
            Err(Ended::Silent) => return self.ended("line_timeout"),
            Err(Ended::Broken) => return self.ended("broken"),
        };
        match sender {
            Ok(sender) => self.messages(&sender, stop).await,
            Err(outcome) => {
                let _ = self.answer(outcome, stop).await;
            }
        }
        // What was answered is to be read before the connection ends.
        let _ = timeout(LAST_WRITE, self.stream.get_mut().shutdown()).await;
    }

    fn sender(&self, line: &[u8]) -> Result<Sender, Outcome> {
        let line = std::str::from_utf8(line).map_err(|_| Outcome::Malformed("line"))?;
        self.beam.sender(Signed::of_line(line))
    }

    async fn messages(&mut self, sender: &Sender, stop: &CancellationToken) {
        let len_max = wrapped_max(self.beam.options.message_max);
        loop {
            let read = timeout(self.beam.options.idle_timeout, self.line(len_max));
            let line = tokio::select! {
                line = read => line.unwrap_or(Err(Ended::Silent)),
                () = stop.cancelled() => return,
            };
            let outcome = match line {
                Ok(line) if line.is_empty() => continue,
                Ok(line) => match self.beam.admit(self.from) {
                    Ok(()) => self.beam.take(sender, &line).await,
                    Err(outcome) => outcome,
                },
                Err(Ended::TooLong) => Outcome::TooLong,
                Err(Ended::Gone) => return,
                Err(Ended::Silent) => return self.ended("idle_timeout"),
                Err(Ended::Broken) => return self.ended("broken"),
            };
            let answered = self.answer(outcome, stop).await;
            // Where the next line begins is not known any more; nor does a stranger's next matter.
            let is_over = matches!(outcome, Outcome::TooLong | Outcome::Nobody);
            if is_over || answered.is_err() {
                return;
            }
        }
    }

    /// Counts how a connection ended that had more to say.
    fn ended(&self, code: &'static str) {
        self.beam.count(Way::Tcp, Outcome::Ended(code));
    }

    /// Answers in a line. Who does not read his answers is hung up on: he would hold his place for
    /// ever.
    async fn answer(&mut self, outcome: Outcome, stop: &CancellationToken) -> Result<(), Ended> {
        self.beam.count(Way::Tcp, outcome);
        let line = format!("{} {}\r\n", outcome.status(), outcome.text());
        let stream = self.stream.get_mut();
        let written = async {
            stream.write_all(line.as_bytes()).await?;
            stream.flush().await
        };
        tokio::select! {
            written = timeout(self.beam.options.line_timeout, written) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Ended::Gone),
                Err(_) => {
                    self.ended("too_slow");
                    Err(Ended::Gone)
                }
            },
            () = stop.cancelled() => Err(Ended::Gone),
        }
    }

    /// The next line, without its end. What stands behind the last end is none: it may be the beginning
    /// of one that broke off.
    async fn line(&mut self, len_max: usize) -> Result<Vec<u8>, Ended> {
        let mut line = Vec::new();
        loop {
            let read = self.stream.fill_buf().await.map_err(|error| {
                debug!(%error, "connection of Beam ended");
                Ended::Broken
            })?;
            if read.is_empty() {
                return Err(if line.is_empty() { Ended::Gone } else { Ended::Broken });
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(read.len());
            if line.len() + taken > len_max + 1 {
                return Err(Ended::TooLong);
            }
            line.extend_from_slice(&read[..taken]);
            self.stream.consume(end.map_or(taken, |end| end + 1));
            if end.is_some() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return if line.len() > len_max { Err(Ended::TooLong) } else { Ok(line) };
            }
        }
    }
}
