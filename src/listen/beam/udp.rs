//! Beam by UDP: a signed line, a line feed, a message; one datagram each, and one in answer, which
//! begins with a status of HTTP and never is longer than what was asked.
//!
//! What the network loses, or the socket while all places are taken, is lost: only an answer says
//! that a message is on disk, and whoever hears none sends again under a new signature.

use super::{Beam, Outcome, Way, wrapped_max};
use crate::shutdown::Stage;
use soracom::auth::Signed;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tracing::debug;

/// Largest datagram that IPv4 carries, in bytes, and one more, so that what is too long shows.
const DATAGRAM_MAX: usize = 65_508;
/// The wait after a fault of the socket, so that one that stays costs no processor.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until the stage stops.
pub(crate) async fn serve(beam: Arc<Beam>, socket: UdpSocket, stage: Stage) {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(beam.options.datagrams_max));
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        // Only with a place to answer from is the next one read.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stage.stop().cancelled() => return,
        };
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            () = stage.stop().cancelled() => return,
        };
        let (len, peer) = match received {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "socket of Beam");
                tokio::time::sleep(FAULT_PAUSE).await;
                continue;
            }
        };
        // A flood costs a look at its address, and no task.
        if let Err(outcome) = beam.admit(peer.ip()) {
            beam.count(Way::Udp, outcome);
            continue;
        }
        let (beam, socket, datagram) =
            (Arc::clone(&beam), Arc::clone(&socket), datagram[..len].to_vec());
        stage.spawn(async move {
            let outcome = beam.count(Way::Udp, take(&beam, &datagram).await);
            answer(&socket, peer, outcome, datagram.len()).await;
            drop(place);
        });
    }
}

async fn take(beam: &Beam, datagram: &[u8]) -> Outcome {
    let end = datagram.iter().take(Signed::LINE_LEN_MAX).position(|byte| *byte == b'\n');
    let Some(end) = end else { return Outcome::Malformed("line") };
    let line = datagram[..end].strip_suffix(b"\r").unwrap_or(&datagram[..end]);
    let Ok(line) = std::str::from_utf8(line) else { return Outcome::Malformed("line") };
    let sender = match beam.sender(Signed::of_line(line)) {
        Ok(sender) => sender,
        Err(outcome) => return outcome,
    };
    let message = &datagram[end + 1..];
    let message = message.strip_suffix(b"\n").unwrap_or(message);
    let message = message.strip_suffix(b"\r").unwrap_or(message);
    if message.len() > wrapped_max(beam.options.message_max) {
        return Outcome::TooLong;
    }
    beam.take(&sender, message).await
}

/// An answer is never longer than what was asked: who writes another's address as his own shall gain
/// nothing by it.
async fn answer(socket: &UdpSocket, peer: SocketAddr, outcome: Outcome, len: usize) {
    let line = format!("{} {}\r\n", outcome.status(), outcome.text());
    if line.len() > len {
        return;
    }
    // What the network does not take is asked again by whoever waits for it.
    let _ = socket.send_to(line.as_bytes(), peer).await;
}
