//! A broker that remembers what it was told and misbehaves on order.

use bytes::BytesMut;
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, Packet, PubAck};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// How it behaves on its next connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    Acknowledges,
    /// Only when so many wait for it.
    AcknowledgesInHeaps(usize),
    NeverAcknowledges,
    NeverAnswersConnect,
    CutsAfter(usize),
    ClosesAfterConnack,
    RefusesWith(u8),
    AcknowledgesWhatNobodySent,
    SpeaksNoMqtt,
}

#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) topic: String,
    pub(super) payload: serde_json::Value,
    pub(super) retain: bool,
    pub(super) qos: u8,
}

impl Published {
    pub(super) fn number(&self) -> u64 {
        self.payload["data"]["n"].as_u64().unwrap()
    }

    /// Data that is a number as a text.
    pub(super) fn text(&self) -> u64 {
        self.payload["data"].as_str().unwrap().parse().unwrap()
    }

    pub(super) fn id(&self) -> String {
        self.payload["id"].as_str().unwrap().to_owned()
    }

    pub(super) fn subject(&self) -> String {
        self.payload["subject"].as_str().unwrap().to_owned()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) connects: Vec<Connect>,
    pub(super) published: Vec<Published>,
    pub(super) unacknowledged_max: usize,
    pub(super) farewells: usize,
    pub(super) closed: usize,
}

#[derive(Clone)]
pub(super) struct FakeBroker {
    pub(super) port: u16,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<watch::Sender<Seen>>,
    hang_up: Arc<watch::Sender<()>>,
}

impl FakeBroker {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = Self {
            port: listener.local_addr().unwrap().port(),
            manner: Arc::new(Mutex::new(manner)),
            seen: Arc::new(watch::Sender::new(Seen::default())),
            hang_up: Arc::new(watch::Sender::new(())),
        };
        let accepting = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = accepting.clone();
                tokio::spawn(async move {
                    let mut hang_up = serving.hang_up.subscribe();
                    tokio::select! {
                        _ = serving.serve(stream) => {}
                        _ = hang_up.changed() => {}
                    }
                    serving.seen.send_modify(|seen| seen.closed += 1);
                });
            }
        });
        broker
    }

    /// From the next packet on.
    pub(super) fn be(&self, manner: Manner) {
        *self.manner() = manner;
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(super) async fn until(&self, is_so: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waited = timeout(Duration::from_secs(20), seen.wait_for(is_so)).await;
        waited.expect("it never happened").unwrap();
    }

    /// Closes every connection.
    pub(super) fn hang_up(&self) {
        self.hang_up.send_replace(());
    }

    fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap()
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let (mut read, mut out) = (BytesMut::new(), BytesMut::new());
        let (mut published, mut owed) = (0, Vec::new());
        loop {
            let packet = next(&mut stream, &mut read).await?;
            let manner = *self.manner();
            match packet {
                Packet::Connect(connect) => {
                    self.seen.send_modify(|seen| seen.connects.push(connect));
                    match manner {
                        Manner::NeverAnswersConnect => {}
                        Manner::SpeaksNoMqtt => out.extend_from_slice(&[0x00, 0x00]),
                        Manner::RefusesWith(code) => out.extend_from_slice(&[0x20, 2, 0, code]),
                        _ => {
                            ConnAck::new(ConnectReturnCode::Success, false)
                                .write(&mut out)
                                .unwrap();
                        }
                    }
                }
                Packet::Publish(publish) => {
                    published += 1;
                    owed.push(publish.pkid);
                    let (count, payload) = (owed.len(), serde_json::from_slice(&publish.payload));
                    self.seen.send_modify(|seen| {
                        seen.unacknowledged_max = seen.unacknowledged_max.max(count);
                        seen.published.push(Published {
                            topic: publish.topic,
                            payload: payload.unwrap(),
                            retain: publish.retain,
                            qos: publish.qos as u8,
                        });
                    });
                    match manner {
                        Manner::NeverAcknowledges => continue,
                        Manner::CutsAfter(most) if published >= most => return None,
                        Manner::AcknowledgesInHeaps(heap) if owed.len() < heap => continue,
                        Manner::AcknowledgesWhatNobodySent => owed = vec![60_000],
                        _ => {}
                    }
                    for pkid in owed.drain(..) {
                        PubAck::new(pkid).write(&mut out).unwrap();
                    }
                }
                Packet::PingReq => out.extend_from_slice(&[0xD0, 0]),
                Packet::Disconnect => {
                    self.seen.send_modify(|seen| seen.farewells += 1);
                    return None;
                }
                other => panic!("a publisher has no business with {other:?}"),
            }
            stream.write_all(&out).await.ok()?;
            out.clear();
            if matches!(manner, Manner::ClosesAfterConnack) {
                return None;
            }
        }
    }
}

async fn next(stream: &mut TcpStream, read: &mut BytesMut) -> Option<Packet> {
    loop {
        match Packet::read(read, 1 << 20) {
            Ok(packet) => return Some(packet),
            Err(Error::InsufficientBytes(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
