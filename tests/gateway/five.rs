//! A client of MQTT 5.0 by hand: rumqttc's codec, which knows nothing of ours, over a blocking
//! socket. It does nothing by itself, so that a test can do what no client does.

use crate::daemon::Daemon;
use crate::http::PATIENCE;
use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectProperties, ConnectReturnCode,
    DisconnectReasonCode, Filter, LastWill, Login, Packet, PubAck, PubComp, PubRec, PubRel,
    Publish, PublishProperties, Subscribe, SubscribeProperties, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What a client says first: it wants its session kept for an hour.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) connect: Connect,
    pub(crate) will: Option<LastWill>,
    login: Login,
}

impl Hello {
    /// One that signs in as that user with that password.
    pub(crate) fn new(client_id: &str, (user, password): (&str, &str)) -> Self {
        let properties =
            ConnectProperties { session_expiry_interval: Some(3600), ..ConnectProperties::new() };
        let connect = Connect {
            keep_alive: 60,
            client_id: client_id.to_owned(),
            clean_start: false,
            properties: Some(properties),
        };
        Self { connect, will: None, login: Login::new(user, password) }
    }

    /// A board that signs in with the enrolment secret.
    pub(crate) fn board(daemon: &Daemon, client_id: &str) -> Self {
        Self::new(client_id, ("enrol", &daemon.enrolment()))
    }

    /// A program that signs in with its token.
    pub(crate) fn program(client_id: &str, token: &str) -> Self {
        Self::new(client_id, ("token", token))
    }

    /// Asks for something else.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut ConnectProperties)) -> Self {
        change(self.connect.properties.get_or_insert_with(ConnectProperties::new));
        self
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Five {
    stream: TcpStream,
    bytes: BytesMut,
    /// How it was answered.
    pub(crate) connack: ConnAck,
    next_id: u16,
}

impl Five {
    /// Connects; it must be welcome.
    pub(crate) fn connect(daemon: &Daemon, hello: &Hello) -> Self {
        let five = Self::try_connect(daemon, hello).unwrap();
        assert_eq!(five.connack.code, ConnectReturnCode::Success);
        five
    }

    /// Connects, welcome or not.
    pub(crate) fn try_connect(daemon: &Daemon, hello: &Hello) -> io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.ports.mqtt))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut bytes = BytesMut::new();
        hello.connect.write(&hello.will, &Some(hello.login.clone()), &mut bytes).unwrap();
        stream.write_all(&bytes)?;
        bytes.clear();
        let connack = ConnAck {
            session_present: false,
            code: ConnectReturnCode::UnspecifiedError,
            properties: None,
        };
        let mut five = Self { stream, bytes, connack, next_id: 0 };
        match five.receive()? {
            Packet::ConnAck(connack) => five.connack = connack,
            other => return Err(io::Error::other(format!("{other:?} before CONNACK"))),
        }
        Ok(five)
    }

    /// What it was told beside the welcome.
    pub(crate) fn told(&self) -> ConnAckProperties {
        self.connack.properties.clone().expect("properties of CONNACK")
    }

    /// Sends a packet.
    pub(crate) fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.stream.write_all(&bytes)
    }

    /// Publishes; the packet's identifier, 0 at QoS 0.
    pub(crate) fn publish(
        &mut self,
        (topic, qos): (&str, QoS),
        payload: impl Into<Vec<u8>>,
        change: impl FnOnce(&mut Publish, &mut PublishProperties),
    ) -> u16 {
        let mut publish = Publish::new(topic, qos, payload.into(), None);
        if qos != QoS::AtMostOnce {
            publish.pkid = self.id();
        }
        let mut properties = PublishProperties::default();
        change(&mut publish, &mut properties);
        publish.properties = Some(properties);
        let id = publish.pkid;
        self.send(&Packet::Publish(publish)).unwrap();
        id
    }

    /// Publishes at QoS 1 and waits until that is kept.
    pub(crate) fn publish_and_wait(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        change: impl FnOnce(&mut Publish, &mut PublishProperties),
    ) {
        let id = self.publish((topic, QoS::AtLeastOnce), payload, change);
        self.wait(|packet| matches!(packet, Packet::PubAck(it) if it.pkid == id));
    }

    /// Subscribes to one filter, under a number where one is given; it must be granted.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS, number: Option<usize>) {
        let properties =
            number.map(|id| SubscribeProperties { id: Some(id), user_properties: Vec::new() });
        let mut subscribe = Subscribe::new(Filter::new(filter, qos), properties);
        subscribe.pkid = self.id();
        self.send(&Packet::Subscribe(subscribe)).unwrap();
        let suback = self.wait(|packet| matches!(packet, Packet::SubAck(_)));
        let Packet::SubAck(suback) = suback else { unreachable!("waited for") };
        assert_eq!(suback.return_codes, [SubscribeReasonCode::Success(qos)], "{filter}");
    }

    /// The next message, answered to as its guarantee asks; all else is passed over.
    pub(crate) fn next(&mut self) -> Publish {
        let publish = self.peek();
        self.answer(publish)
    }

    fn answer(&mut self, publish: Publish) -> Publish {
        let (id, qos) = (publish.pkid, publish.qos);
        self.acknowledge(&publish);
        if qos == QoS::ExactlyOnce {
            self.wait(|packet| matches!(packet, Packet::PubRel(it) if it.pkid == id));
            self.send(&Packet::PubComp(PubComp::new(id, None))).unwrap();
        }
        publish
    }

    /// The next message, not answered to.
    pub(crate) fn peek(&mut self) -> Publish {
        let Packet::Publish(publish) = self.wait(|packet| matches!(packet, Packet::Publish(_)))
        else {
            unreachable!("waited for")
        };
        publish
    }

    /// The first answer to a message.
    pub(crate) fn acknowledge(&mut self, publish: &Publish) {
        let packet = match publish.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Packet::PubAck(PubAck::new(publish.pkid, None)),
            QoS::ExactlyOnce => Packet::PubRec(PubRec::new(publish.pkid, None)),
        };
        self.send(&packet).unwrap();
    }

    /// Releases a message that it published at QoS 2.
    pub(crate) fn release(&mut self, id: u16) -> io::Result<()> {
        self.send(&Packet::PubRel(PubRel::new(id, None)))
    }

    /// Passes over what comes until it is that.
    pub(crate) fn wait(&mut self, is_it: impl Fn(&Packet) -> bool) -> Packet {
        loop {
            let packet = self.receive().unwrap();
            if is_it(&packet) {
                return packet;
            }
        }
    }

    /// The next message, answered to, if one comes so soon.
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<Publish> {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let came = self.receive();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match came {
            Ok(Packet::Publish(publish)) => Some(self.answer(publish)),
            Ok(_) => self.next_within(time),
            Err(error) => {
                assert!(is_timeout(&error), "{error}");
                None
            }
        }
    }

    /// Whether nothing comes for so long. What does come is lost.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let came = self.receive();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        came.is_err_and(|error| is_timeout(&error))
    }

    /// Waits until the gateway closes: the reason that it gave.
    pub(crate) fn end(mut self) -> Option<DisconnectReasonCode> {
        let mut reason = None;
        loop {
            match self.receive() {
                Ok(Packet::Disconnect(it)) => reason = Some(it.reason_code),
                Ok(_) => {}
                Err(error) => {
                    assert!(!is_timeout(&error), "it is not closed");
                    return reason;
                }
            }
        }
    }

    /// The next packet.
    pub(crate) fn receive(&mut self) -> io::Result<Packet> {
        loop {
            match Packet::read(&mut self.bytes, None) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            let mut some = [0; 4096];
            let count = self.stream.read(&mut some)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.bytes.extend_from_slice(&some[..count]);
        }
    }

    fn id(&mut self) -> u16 {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.next_id
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
