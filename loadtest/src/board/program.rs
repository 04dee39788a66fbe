//! A program at the other end: it subscribes to what boards send, and may stop reading.

use super::link::{Caller, Link, LinkError, Way, connect};
use super::packet::{self, Heard};
use crate::ledger::{Receipts, Tag};
use crate::meter::Kind;
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long its session waits for it, in seconds.
const SESSION_S: u32 = 3600;

/// How much it reads at once.
const ROOM: usize = 64 << 10;

/// Longest wait for SUBACK.
const PATIENCE: Duration = Duration::from_secs(30);

/// Wait after a lost connection.
const BREATHE: Duration = Duration::from_millis(300);

/// What it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// Reads, and acknowledges.
    Reads,
    /// Keeps its connection and takes nothing from it.
    Stuck,
    /// Goes, and leaves no session behind.
    Leaves,
}

/// Who it is.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) client_id: String,
    pub(crate) way: Arc<Way>,
    pub(crate) filter: String,
}

/// What it saw.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Which facts came.
    pub(crate) receipts: Receipts,
    /// Messages, the repeated too.
    pub(crate) messages: u64,
    /// Connections that ended before it wanted.
    pub(crate) ended: Vec<LinkError>,
    /// Connections that found their session kept.
    pub(crate) resumed: u64,
}

/// Subscribes and does as it is told, until it is told to leave. `progress` says how many messages
/// came.
pub(crate) async fn run(
    world: Arc<World>,
    spec: Spec,
    mut mood: watch::Receiver<Mood>,
    progress: watch::Sender<u64>,
) -> Story {
    let mut story = Story::default();
    while *mood.borrow() != Mood::Leaves {
        let caller = Caller {
            client_id: &spec.client_id,
            keep_alive_s: 0,
            expiry_s: SESSION_S,
            from: None,
            pace: None,
        };
        let done = match connect(&spec.way, &caller).await {
            Ok(link) => {
                let program = Program { world: &world, spec: &spec, link, story: &mut story };
                program.read(&mut mood, &progress).await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => break,
            Err(error) => {
                world.meter.error(Kind::MqttConnect, format!("program: {error}"));
                story.ended.push(error);
            }
        }
        sleep(BREATHE).await;
    }
    forget(&spec).await;
    story
}

/// Ends the session, so that no later run finds it.
async fn forget(spec: &Spec) {
    let caller =
        Caller { client_id: &spec.client_id, keep_alive_s: 0, expiry_s: 0, from: None, pace: None };
    if let Ok(link) = connect(&spec.way, &caller).await {
        link.end().await;
    }
}

struct Program<'a> {
    world: &'a World,
    spec: &'a Spec,
    link: Link,
    story: &'a mut Story,
}

impl Program<'_> {
    async fn read(
        mut self,
        mood: &mut watch::Receiver<Mood>,
        progress: &watch::Sender<u64>,
    ) -> Result<(), LinkError> {
        if self.link.is_resumed {
            self.story.resumed += 1;
        } else {
            timeout(PATIENCE, self.subscribe()).await.unwrap_or(Err(LinkError::Late))?;
        }
        self.world.is_ready();
        self.take().await?;
        loop {
            progress.send_replace(self.story.messages);
            let now = *mood.borrow_and_update();
            tokio::select! {
                biased;
                changed = mood.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                heard = self.link.read_with(ROOM), if now == Mood::Reads => {
                    heard?;
                    self.take().await?;
                }
                () = std::future::ready(()), if now == Mood::Leaves => {
                    self.link.end().await;
                    return Ok(());
                }
            }
        }
    }

    async fn subscribe(&mut self) -> Result<(), LinkError> {
        let mut out = Vec::new();
        packet::subscribe(self.spec.way.version, 1, &self.spec.filter, 1, &mut out);
        self.link.write(&out).await?;
        loop {
            self.link.read_with(ROOM).await?;
            // What follows in the same bytes is heard by whoever reads on.
            match self.link.next() {
                Some(Heard::SubAck(code)) if code >= 0x80 => return Err(LinkError::NotTaken(code)),
                Some(Heard::SubAck(_)) => return Ok(()),
                Some(_) | None => {}
            }
        }
    }

    async fn take(&mut self) -> Result<(), LinkError> {
        let mut out = Vec::new();
        while let Some(heard) = self.link.next() {
            match heard {
                Heard::Publish { qos, packet_id, payload } => {
                    self.story.messages += 1;
                    if qos == 1 {
                        packet::answer(packet::PUBACK, packet_id, &mut out);
                    }
                    let text = std::str::from_utf8(self.link.payload(payload)).unwrap_or_default();
                    if let Some(tag) = Tag::find(text) {
                        self.story.receipts.note(tag);
                    }
                }
                Heard::Disconnect(reason) => return Err(LinkError::Dismissed(reason)),
                _ => {}
            }
        }
        if out.is_empty() { Ok(()) } else { self.link.write(&out).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Version;
    use crate::board::stand_in::StandIn;
    use crate::ledger::Ledger;
    use std::sync::atomic::Ordering;

    #[tokio::test]
    async fn what_a_program_read_can_be_held_against_the_ledger() {
        let server = StandIn::start().await;
        let world = Arc::new(World::bare(Ledger::new(1, ["mqtt:a".to_owned()], None)));
        let way = Way { to: server.at, tls: None, version: Version::V4, credentials: None };
        let way = Arc::new(way);
        let board = crate::board::Spec {
            stream: 0,
            client_id: "a".to_owned(),
            way: Arc::clone(&way),
            qos: 2,
            expiry_s: 60,
            window: 3,
            payload: 100,
            interval: Some(Duration::from_millis(1)),
            offset: Duration::ZERO,
        };
        let task = tokio::spawn(crate::board::run(Arc::clone(&world), board, true));
        sleep(Duration::from_millis(200)).await;
        world.end_load();
        task.await.unwrap();
        let count = world.ledger.account().acknowledged;
        assert!(count > 3, "{:?}", world.meter.errors());

        server.sends.store(true, Ordering::Relaxed);
        let (mood, moods) = watch::channel(Mood::Stuck);
        let (sender, mut progress) = watch::channel(0);
        let spec = Spec { client_id: "p".to_owned(), way, filter: "boards/#".to_owned() };
        let task = tokio::spawn(run(Arc::clone(&world), spec, moods, sender));
        mood.send_replace(Mood::Reads);
        timeout(PATIENCE, progress.wait_for(|it| *it >= count)).await.unwrap().unwrap();
        mood.send_replace(Mood::Leaves);
        let story = task.await.unwrap();
        assert_eq!(world.ledger.missing_in(&story.receipts), 0);
        assert_eq!(world.ledger.missing_in(&Receipts::default()), count);
        assert!(story.ended.is_empty());
    }
}
