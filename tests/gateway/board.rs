//! A board: MQTT 3.1.1 by hand over a blocking socket, independent of the daemon's codec.

use crate::http::PATIENCE;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// CONNACK: the server is unavailable (MQTT 3.1.1 [3.2.2.3]).
pub(crate) const SERVER_UNAVAILABLE: u8 = 3;

/// More than the buffers of both sockets hold together.
const STUFFED_MAX: usize = 64 * 1024 * 1024;

/// A connected board.
#[derive(Debug)]
pub(crate) struct Board {
    stream: TcpStream,
    next_id: u16,
}

/// What the gateway sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Packet {
    Connack(u8),
    Puback(u16),
    Suback(u8),
    Pingresp,
    Publish { topic: String, payload: Vec<u8>, id: u16 },
}

impl Board {
    /// Opens a connection and says nothing yet.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next_id: 0 })
    }

    /// Signs in; the CONNACK's code when it is refused.
    pub(crate) fn connect(
        port: u16,
        client_id: &str,
        username: &str,
        password: &str,
    ) -> io::Result<Result<Self, u8>> {
        let mut board = Self::open(port)?;
        board.write(&connect_packet(client_id, username, password))?;
        match board.receive()? {
            Packet::Connack(0) => Ok(Ok(board)),
            Packet::Connack(code) => Ok(Err(code)),
            other => Err(io::Error::other(format!("{other:?} before CONNACK"))),
        }
    }

    /// Signs in with the enrolment secret, which must work.
    pub(crate) fn enrol(port: u16, client_id: &str, secret: &str) -> Self {
        Self::connect(port, client_id, "enrol", secret).unwrap().unwrap()
    }

    /// The same connection once more: for a thread that writes while another reads.
    pub(crate) fn twin(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), next_id: self.next_id }
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for just these bytes.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(bytes)
    }

    /// Sends `bytes` again and again, reading nothing, until the gateway has taken none for a second:
    /// then it waits for this board to read.
    pub(crate) fn stuff(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        for _ in 0..STUFFED_MAX / bytes.len() {
            match self.stream.write(bytes) {
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("the gateway takes all that is sent"))
    }

    /// Publishes with QoS 1; the packet's id.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<u16> {
        self.next_id = if self.next_id == u16::MAX { 1 } else { self.next_id + 1 };
        let mut body = string(topic);
        body.extend_from_slice(&self.next_id.to_be_bytes());
        body.extend_from_slice(payload);
        self.write(&packet(0x32, &body))?;
        Ok(self.next_id)
    }

    /// Publishes and waits for its PUBACK, skipping what else comes.
    pub(crate) fn publish_and_wait(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let id = self.publish(topic, payload)?;
        while self.receive()? != Packet::Puback(id) {}
        Ok(())
    }

    /// Subscribes with QoS 1; the code of its SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str) -> io::Result<u8> {
        let mut body = vec![0, 77];
        body.extend(string(filter));
        body.push(1);
        self.write(&packet(0x82, &body))?;
        loop {
            if let Packet::Suback(code) = self.receive()? {
                return Ok(code);
            }
        }
    }

    /// Acknowledges a publish.
    pub(crate) fn puback(&mut self, id: u16) -> io::Result<()> {
        self.write(&packet(0x40, &id.to_be_bytes()))
    }

    /// Whether the connection still answers.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.write(&packet(0xC0, &[]))?;
        while self.receive()? != Packet::Pingresp {}
        Ok(())
    }

    /// Says goodbye.
    pub(crate) fn disconnect(mut self) {
        let _ = self.write(&packet(0xE0, &[]));
    }

    /// Longest wait for the next packet.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Waits until the gateway closes; whether it did.
    pub(crate) fn is_closed_within(&mut self, patience: Duration) -> bool {
        self.set_patience(patience);
        loop {
            match self.receive() {
                Ok(_) => {}
                Err(error) => {
                    return !matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }

    /// The next packet.
    pub(crate) fn receive(&mut self) -> io::Result<Packet> {
        let first = self.byte()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        Ok(match first >> 4 {
            2 => Packet::Connack(body[1]),
            4 => Packet::Puback(number(0)),
            9 => Packet::Suback(body[2]),
            13 => Packet::Pingresp,
            3 => {
                let end = 2 + usize::from(number(0));
                let topic = String::from_utf8(body[2..end].to_vec()).unwrap();
                let has_id = first & 0b110 != 0;
                let id = if has_id { number(end) } else { 0 };
                let payload = body[end + if has_id { 2 } else { 0 }..].to_vec();
                Packet::Publish { topic, payload, id }
            }
            other => return Err(io::Error::other(format!("a packet of type {other}"))),
        })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

/// A CONNECT with a clean session and a keep-alive of a minute.
pub(crate) fn connect_packet(client_id: &str, username: &str, password: &str) -> Vec<u8> {
    let mut body = string("MQTT");
    body.extend_from_slice(&[4, 0b1100_0010, 0, 60]);
    for text in [client_id, username, password] {
        body.extend(string(text));
    }
    packet(0x10, &body)
}

/// The same with a will: `gone`, on its board's `up/w`.
pub(crate) fn with_will(client_id: &str, username: &str, password: &str) -> Vec<u8> {
    let mut body = string("MQTT");
    body.extend_from_slice(&[4, 0b1100_0110, 0, 60]);
    let topic = format!("boards/{client_id}/up/w");
    for text in [client_id, &topic, "gone", username, password] {
        body.extend(string(text));
    }
    packet(0x10, &body)
}

/// A packet of that first byte.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}
