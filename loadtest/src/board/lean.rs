//! A board in a few hundred bytes: one socket, one window.

use super::link::{Caller, Link, LinkError, connect};
use super::packet::{self, Heard};
use super::template::Template;
use super::window::Waiting;
use super::{FAREWELL, Spec, Window, reconnect_after};
use crate::meter::Kind;
use crate::world::World;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until, timeout};

/// How long we promise to be heard again.
const KEEP_ALIVE_S: u16 = 60;

/// A board that waits for words looks up this often, for the end of the load.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A board that connects, speaks, and comes back.
pub(super) async fn run(world: &World, spec: &Spec) {
    let mut window = Window::new(spec.window, spec.interval, Instant::now() + spec.offset);
    let tag = world.ledger.tag(spec.stream, 0);
    let template = Template::new(spec.way.version, &spec.topic(), spec.qos, tag, spec.payload);
    let mut known = false;
    while !world.is_over() {
        match sign_in(world, spec, KEEP_ALIVE_S).await {
            Ok(link) => {
                if !known {
                    known = true;
                    world.is_ready();
                }
                let board = Board {
                    world,
                    spec,
                    window: &mut window,
                    link,
                    template: &template,
                    out: Vec::new(),
                    took: Vec::new(),
                };
                if let Err(error) = board.speak().await
                    && !world.is_over()
                {
                    world.meter.error(Kind::MqttPublish, error.to_string());
                }
            }
            Err(error) => world.meter.error(Kind::MqttConnect, error.to_string()),
        }
        sleep(reconnect_after(spec.stream)).await;
    }
}

/// Connects a board, and notes how long it took.
pub(crate) async fn sign_in(
    world: &World,
    spec: &Spec,
    keep_alive_s: u16,
) -> Result<Link, LinkError> {
    let began = Instant::now();
    let caller = Caller {
        client_id: &spec.client_id,
        keep_alive_s,
        expiry_s: spec.expiry_s,
        from: None,
        pace: None,
    };
    let link = connect(&spec.way, &caller).await?;
    world.meter.record(Kind::MqttConnect, spec.stream, began.elapsed());
    Ok(link)
}

struct Board<'a> {
    world: &'a World,
    spec: &'a Spec,
    window: &'a mut Window,
    link: Link,
    template: &'a Template,
    /// Written and not yet sent.
    out: Vec<u8>,
    /// Times of one round, kept for their room.
    took: Vec<Duration>,
}

impl Board<'_> {
    /// Speaks until the connection or the load ends.
    async fn speak(mut self) -> Result<(), LinkError> {
        self.again();
        let ping_every = Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2);
        let mut spoke = Instant::now();
        let mut timer = pin!(sleep_until((spoke + LOOK_EVERY).into()));
        while !self.world.is_over() {
            let now = Instant::now();
            self.fill(now);
            if now.duration_since(spoke) >= ping_every {
                self.out.extend(packet::PING);
            }
            if !self.out.is_empty() {
                spoke = now;
                self.send(now).await?;
            }
            let next =
                self.window.next_at().map_or(now + LOOK_EVERY, |at| at.min(now + LOOK_EVERY));
            // A timer that is early only looks once more; one for each answer would cost as much as
            // the answer.
            if next < timer.deadline().into_std() || timer.is_elapsed() {
                timer.as_mut().reset(next.into());
            }
            tokio::select! {
                biased;
                heard = self.link.read() => {
                    heard?;
                    self.hear()?;
                }
                () = timer.as_mut() => {}
            }
        }
        self.farewell().await
    }

    /// What the connection before left open.
    fn again(&mut self) {
        let (ledger, stream) = (&self.world.ledger, self.spec.stream);
        let waiting = if self.link.is_resumed {
            self.window.resumed(ledger, stream, self.spec.qos)
        } else {
            self.window.again(ledger, stream)
        };
        for Waiting { packet_id, number, is_received, .. } in waiting {
            if is_received {
                packet::answer(packet::PUBREL, packet_id, &mut self.out);
            } else {
                self.template.write(packet_id, number, true, &mut self.out);
            }
        }
    }

    /// Writes what is due.
    fn fill(&mut self, now: Instant) {
        let (ledger, stream) = (&self.world.ledger, self.spec.stream);
        for _ in 0..self.window.size() {
            let next = match self.spec.qos {
                0 => self.window.take_unheard(ledger, stream, now),
                _ => self.window.take(ledger, stream, now),
            };
            let Some(next) = next else { return };
            self.template.write(next.packet_id, next.number, false, &mut self.out);
            if self.spec.qos == 0 {
                self.took.push(now.saturating_duration_since(next.due));
            }
        }
    }

    async fn send(&mut self, began: Instant) -> Result<(), LinkError> {
        self.link.write(&self.out).await?;
        self.out.clear();
        if self.spec.qos == 0 {
            // All that can be known of QoS 0 is when the socket took it.
            let wrote = began.elapsed();
            let took = self.took.drain(..).map(|late| late + wrote);
            self.world.meter.record_all(Kind::MqttPublish, self.spec.stream, took);
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        while let Some(heard) = self.link.next() {
            let waiting = match heard {
                Heard::PubAck(_, reason) | Heard::PubRec(_, reason) if reason >= 0x80 => {
                    return Err(LinkError::NotTaken(reason));
                }
                Heard::Disconnect(reason) => return Err(LinkError::Dismissed(reason)),
                Heard::PubAck(packet_id, _) => self.window.acknowledged(packet_id),
                Heard::PubRec(packet_id, _) => {
                    packet::answer(packet::PUBREL, packet_id, &mut self.out);
                    let Some(waiting) = self.window.received(packet_id) else { continue };
                    self.world.ledger.acknowledge(self.spec.stream, waiting.number);
                    continue;
                }
                Heard::PubComp(packet_id) => self.window.acknowledged(packet_id),
                _ => continue,
            };
            let Some(waiting) = waiting else {
                self.world.meter.error(Kind::MqttPublish, "an acknowledgement for nothing");
                continue;
            };
            self.world.ledger.acknowledge(self.spec.stream, waiting.number);
            self.took.push(now.saturating_duration_since(waiting.due));
        }
        self.world.meter.record_all(Kind::MqttPublish, self.spec.stream, self.took.drain(..));
        Ok(())
    }

    /// Waits a little for the last acknowledgements.
    async fn farewell(mut self) -> Result<(), LinkError> {
        let all = async {
            while !self.window.is_empty() {
                self.link.write(&self.out).await?;
                self.out.clear();
                self.link.read().await?;
                self.hear()?;
            }
            Ok(())
        };
        let result = timeout(FAREWELL, all).await.unwrap_or(Err(LinkError::Late));
        self.link.end().await;
        result
    }
}
