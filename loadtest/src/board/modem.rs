//! A board in the field: an LTE-M modem (BG96) that sleeps, wakes, reports, listens a little and is
//! gone, by a goodbye or without one.
//!
//! Its session outlives its connections. A message without its PUBACK is sent again at the next
//! waking, under the same packet identifier and with DUP. What it reports goes to `customer_mngt`,
//! with its number, its SIM and its status; further messages of a waking are telemetry.

use super::link::{Caller, Link, LinkError, Pace, Way, connect};
use super::packet::{self, Heard};
use super::template::Template;
use super::updates::{FIRST_VERSION, Updates};
use crate::ledger::Tag;
use crate::meter::Kind;
use crate::world::World;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long a session waits for its board: a day.
const SESSION_S: u32 = 86_400;

/// Longest wait for an answer while awake.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where boards report.
const REPORTS: &str = "customer_mngt";

/// How a board lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Time from one waking to the next.
    pub(crate) sleep: Duration,
    /// How long it listens after its last PUBACK.
    pub(crate) listen: Duration,
    /// Messages of one waking.
    pub(crate) messages: u16,
    /// Its `STATUS`.
    pub(crate) status: u8,
    /// Share of wakings that end before a PUBACK is read, with any part of what it says sent.
    pub(crate) cut: f64,
    /// Share of wakings that end without a DISCONNECT, be it after all was well.
    pub(crate) vanish: f64,
    /// How slow its link is.
    pub(crate) pace: Option<Pace>,
    /// Whether it asks for firmware at each waking, and in pieces of how many bytes it fetches it.
    pub(crate) firmware: Option<usize>,
}

/// What one board is.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its place in the ledger, and among the boards.
    pub(crate) stream: u32,
    pub(crate) client_id: String,
    pub(crate) way: Arc<Way>,
    pub(crate) habits: Habits,
    /// When it first wakes.
    pub(crate) offset: Duration,
}

/// What happened to all boards.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Times that a board was awake and connected.
    pub(crate) wakings: AtomicU64,
    /// Of these, with a session that the server had kept.
    pub(crate) resumed: AtomicU64,
    /// Messages that were sent again.
    pub(crate) again: AtomicU64,
    /// Connections that ended with a reset.
    pub(crate) resets: AtomicU64,
    /// Connections that were left open and never used again.
    pub(crate) half_open: AtomicU64,
    /// Messages that came down.
    pub(crate) down: AtomicU64,
    /// Times that a board asked for firmware.
    pub(crate) asked: AtomicU64,
    /// Pieces of firmware that were fetched.
    pub(crate) pieces: AtomicU64,
    /// Boards that came to run what they had fetched.
    pub(crate) updated: AtomicU64,
}

/// How a waking ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Goodbye,
    Reset,
    HalfOpen,
}

/// Runs one board until the load ends.
pub(crate) async fn run(world: Arc<World>, spec: Spec, counts: Arc<Counts>) {
    sleep(spec.offset).await;
    let mut modem = Modem::new(&world, &spec, &counts);
    let mut is_known = false;
    while !world.is_over() {
        let began = Instant::now();
        match modem.wake().await {
            Ok(()) if !is_known => {
                is_known = true;
                world.is_ready();
            }
            Ok(()) => {}
            Err(error) => world.meter.error(Kind::MqttPublish, error.to_string()),
        }
        let rest = spec.habits.sleep.saturating_sub(began.elapsed());
        tokio::select! {
            () = world.stop.cancelled() => {}
            () = sleep(rest) => {}
        }
    }
}

/// A message that has no PUBACK yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    packet_id: u16,
    number: u32,
    is_report: bool,
    offered: Instant,
}

struct Modem<'a> {
    world: &'a World,
    spec: &'a Spec,
    counts: &'a Counts,
    report: Template,
    telemetry: Template,
    pending: Vec<Pending>,
    packet_id: u16,
    is_subscribed: bool,
    updates: Option<Updates>,
    /// The connection that it left without a word, until it is back.
    left: Option<Link>,
    chance: RandomState,
    thrown: u32,
}

impl<'a> Modem<'a> {
    fn new(world: &'a World, spec: &'a Spec, counts: &'a Counts) -> Self {
        const TELEMETRY_BYTES: usize = 200;
        let (tag, version) = (world.ledger.tag(spec.stream, 0), spec.way.version);
        let words = report(spec.stream, spec.habits.status, FIRST_VERSION, tag);
        let topic = format!("boards/{}/up/telemetry", spec.client_id);
        Self {
            world,
            spec,
            counts,
            report: Template::of(version, REPORTS, 1, tag, &words),
            telemetry: Template::new(version, &topic, 1, tag, TELEMETRY_BYTES),
            pending: Vec::new(),
            packet_id: 0,
            is_subscribed: false,
            updates: spec.habits.firmware.map(Updates::new),
            left: None,
            chance: RandomState::new(),
            thrown: 0,
        }
    }

    /// One waking, from the connection to the sleep.
    async fn wake(&mut self) -> Result<(), LinkError> {
        let began = Instant::now();
        let caller = Caller {
            client_id: &self.spec.client_id,
            keep_alive_s: 60,
            expiry_s: SESSION_S,
            from: None,
            pace: self.spec.habits.pace,
        };
        let mut link = connect(&self.spec.way, &caller).await?;
        self.world.meter.record(Kind::MqttConnect, self.spec.stream, began.elapsed());
        self.left = None;
        count(&self.counts.wakings);
        if link.is_resumed {
            count(&self.counts.resumed);
        } else {
            self.is_subscribed = false;
        }
        let mut out = Vec::new();
        self.speak(&mut out);
        if self.throws(self.spec.habits.cut) {
            // Nothing of it, a part that ends anywhere, or all.
            let share = self.draw();
            let part = usize::try_from((u64::from(share) * out.len() as u64) >> 32).unwrap_or(0);
            link.write(&out[..part]).await?;
            let end = self.abruptly();
            self.leave(link, end).await;
            return Ok(());
        }
        link.write(&out).await?;
        timeout(PATIENCE, self.settle(&mut link)).await.unwrap_or(Err(LinkError::Late))?;
        // Silence is no fault; an end is.
        if let Ok(error) = timeout(self.spec.habits.listen, self.listen(&mut link)).await {
            return Err(error);
        }
        self.update().await;
        let end = if self.throws(self.spec.habits.vanish) { self.abruptly() } else { End::Goodbye };
        self.leave(link, end).await;
        Ok(())
    }

    /// Asks for what is for it, repeats what is open, and says what is new.
    fn speak(&mut self, out: &mut Vec<u8>) {
        if !self.is_subscribed {
            let filter = format!("boards/{}/down/#", self.spec.client_id);
            let id = self.next_id();
            packet::subscribe(self.spec.way.version, id, &filter, 1, out);
        }
        for open in &self.pending {
            self.world.ledger.offer_again(self.spec.stream, open.number);
            count(&self.counts.again);
            self.template(open.is_report).write(open.packet_id, open.number, true, out);
        }
        for at in 0..self.spec.habits.messages {
            let new = Pending {
                packet_id: self.next_id(),
                number: self.world.ledger.offer(self.spec.stream),
                is_report: at == 0,
                offered: Instant::now(),
            };
            self.template(new.is_report).write(new.packet_id, new.number, false, out);
            self.pending.push(new);
        }
        if let Some(updates) = &self.updates {
            count(&self.counts.asked);
            let topic = format!("boards/{}/up/firmware", self.spec.client_id);
            let (imei, version) = (imei(self.spec.stream), updates.version());
            let question = format!(r#"{{"imei":"{imei}","version":"{version}"}}"#);
            // Nobody waits for its acknowledgement: the answer is one, and it asks again.
            packet::publish(self.spec.way.version, &topic, 0, question.as_bytes(), out);
        }
    }

    /// Fetches the firmware that it was told of, and says at its next waking that it runs it.
    async fn update(&mut self) {
        let Some(updates) = &mut self.updates else { return };
        let came = updates.fetch(self.world).await;
        self.counts.pieces.fetch_add(came.pieces, Ordering::Relaxed);
        if came.is_updated {
            count(&self.counts.updated);
            let tag = self.world.ledger.tag(self.spec.stream, 0);
            let words = report(self.spec.stream, self.spec.habits.status, updates.version(), tag);
            self.report = Template::of(self.spec.way.version, REPORTS, 1, tag, &words);
        }
    }

    /// Waits until all it said is acknowledged.
    async fn settle(&mut self, link: &mut Link) -> Result<(), LinkError> {
        while !self.pending.is_empty() || !self.is_subscribed {
            link.read().await?;
            self.hear(link).await?;
        }
        Ok(())
    }

    /// Takes what comes down, until the connection ends.
    async fn listen(&mut self, link: &mut Link) -> LinkError {
        loop {
            if let Err(error) = link.read().await {
                return error;
            }
            if let Err(error) = self.hear(link).await {
                return error;
            }
        }
    }

    async fn hear(&mut self, link: &mut Link) -> Result<(), LinkError> {
        let mut out = Vec::new();
        while let Some(heard) = link.next() {
            match heard {
                Heard::SubAck(code) if code >= 0x80 => return Err(LinkError::NotTaken(code)),
                Heard::SubAck(_) => self.is_subscribed = true,
                Heard::PubAck(_, reason) if reason >= 0x80 => {
                    return Err(LinkError::NotTaken(reason));
                }
                Heard::PubAck(packet_id, _) => self.acknowledged(packet_id),
                Heard::Publish { qos, packet_id, payload } => {
                    count(&self.counts.down);
                    if let Some(updates) = &mut self.updates {
                        updates.heard(link.payload(payload));
                    }
                    if qos == 1 {
                        packet::answer(packet::PUBACK, packet_id, &mut out);
                    }
                }
                Heard::Disconnect(reason) => return Err(LinkError::Dismissed(reason)),
                _ => {}
            }
        }
        if out.is_empty() { Ok(()) } else { link.write(&out).await }
    }

    fn acknowledged(&mut self, packet_id: u16) {
        let Some(at) = self.pending.iter().position(|it| it.packet_id == packet_id) else {
            self.world.meter.error(Kind::MqttPublish, "an acknowledgement for nothing");
            return;
        };
        let done = self.pending.remove(at);
        self.world.ledger.acknowledge(self.spec.stream, done.number);
        self.world.meter.record(Kind::MqttPublish, self.spec.stream, done.offered.elapsed());
    }

    async fn leave(&mut self, link: Link, end: End) {
        match end {
            End::Goodbye => link.end().await,
            End::Reset => {
                count(&self.counts.resets);
                link.reset();
            }
            End::HalfOpen => {
                count(&self.counts.half_open);
                self.left = Some(link);
            }
        }
    }

    fn abruptly(&mut self) -> End {
        if self.throws(0.5) { End::Reset } else { End::HalfOpen }
    }

    fn throws(&mut self, share: f64) -> bool {
        f64::from(self.draw()) < share * f64::from(u32::MAX)
    }

    fn draw(&mut self) -> u32 {
        self.thrown = self.thrown.wrapping_add(1);
        u32::try_from(self.chance.hash_one(self.thrown) >> 32).unwrap_or(0)
    }

    fn template(&self, is_report: bool) -> &Template {
        if is_report { &self.report } else { &self.telemetry }
    }

    /// Never 0, and never one that is still open.
    fn next_id(&mut self) -> u16 {
        loop {
            self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
            if self.pending.iter().all(|it| it.packet_id != self.packet_id) {
                return self.packet_id;
            }
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a board says of itself, with the tag of the fact.
fn report(index: u32, status: u8, version: &str, tag: Tag) -> String {
    let imei = imei(index);
    format!(
        r#"{{"imei":"{imei}","imsi":"29505{index:010}","STATUS":{status},"sketch_ver":"{version}","fact":"{tag}"}}"#
    )
}

/// A modem's number of a range for tests, with its check digit (3GPP TS 23.003, annex B).
fn imei(index: u32) -> String {
    let body = format!("0010{index:010}");
    let sum: u32 = body
        .bytes()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Version;
    use crate::board::stand_in::StandIn;
    use crate::ledger::Ledger;

    const HABITS: Habits = Habits {
        sleep: Duration::from_millis(20),
        listen: Duration::from_millis(5),
        messages: 2,
        status: 0,
        cut: 0.0,
        vanish: 0.0,
        pace: None,
        firmware: None,
    };

    /// A board's life against a server that remembers.
    async fn live(version: Version, habits: Habits, long: Duration) -> (StandIn, Counts, World) {
        let server = StandIn::start().await;
        let world = World::bare(Ledger::new(1, ["mqtt:a".to_owned()], None));
        let way = Way { to: server.at, tls: None, version, credentials: None };
        let spec = Spec {
            stream: 0,
            client_id: "a".to_owned(),
            way: Arc::new(way),
            habits,
            offset: Duration::ZERO,
        };
        let (world, counts) = (Arc::new(world), Arc::new(Counts::default()));
        let board = tokio::spawn(run(Arc::clone(&world), spec, Arc::clone(&counts)));
        sleep(long).await;
        world.end_load();
        board.await.unwrap();
        // The server reads the last goodbye.
        sleep(Duration::from_millis(100)).await;
        let world = Arc::into_inner(world).unwrap();
        (server, Arc::into_inner(counts).unwrap(), world)
    }

    #[tokio::test]
    async fn a_board_reports_and_sleeps() {
        let (server, counts, world) = live(Version::V4, HABITS, Duration::from_millis(300)).await;
        let wakings = counts.wakings.into_inner();
        assert!((3..=15).contains(&wakings), "{wakings}");
        assert_eq!(counts.resumed.into_inner(), wakings - 1, "its session is kept");
        assert_eq!(server.disconnects(), wakings);
        assert_eq!(counts.again.into_inner(), 0);
        let account = world.ledger.account();
        assert_eq!((account.acknowledged, account.offered), (2 * wakings, 2 * wakings));
        let said = server.published();
        assert!(said[0].0 == REPORTS && said[0].1.contains("STATUS"), "{said:?}");
        assert!(said[1].0.ends_with("/up/telemetry"));
    }

    #[tokio::test]
    async fn what_was_cut_off_is_said_again_under_its_old_identifier() {
        let habits = Habits { cut: 0.5, vanish: 0.5, ..HABITS };
        let (server, counts, world) = live(Version::V5, habits, Duration::from_secs(1)).await;
        assert!(counts.again.into_inner() > 0);
        assert!(counts.resets.into_inner() > 0 && counts.half_open.into_inner() > 0);
        assert!(server.duplicates() > 0, "DUP with an identifier that had been there");
        assert_eq!(server.strangers(), 0, "a message keeps its identifier");
        assert!(server.torn() > 0, "what is cut off is cut anywhere");
        let account = world.ledger.account();
        assert!(account.acknowledged > 0 && account.acknowledged <= account.offered);
    }

    #[tokio::test]
    async fn a_slow_link_carries_the_same() {
        let pace = Pace { bytes: 40, pause: Duration::from_millis(1) };
        let habits = Habits { pace: Some(pace), ..HABITS };
        let (server, _, world) = live(Version::V3, habits, Duration::from_millis(400)).await;
        assert!(world.ledger.account().acknowledged > 0);
        assert!(!server.published().is_empty());
    }

    #[test]
    fn a_modems_number_has_its_check_digit() {
        assert_eq!(imei(0), "001000000000009");
        assert_eq!(imei(1), "001000000000017");
        let tag = Tag { run: 1, stream: 2, number: 3 };
        let report: serde_json::Value = serde_json::from_str(&report(7, 2, "1.0.0", tag)).unwrap();
        assert_eq!(
            (report["STATUS"].as_u64(), report["imsi"].as_str().unwrap().len()),
            (Some(2), 15)
        );
    }
}
