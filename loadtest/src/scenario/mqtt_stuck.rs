//! A program that stops reading, a board that reconnects without end, and the ordinary ones beside.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict};
use crate::api::Api;
use crate::args::MqttStuck;
use crate::board::program::{self, Mood, Story};
use crate::board::{self, Caller, Link, LinkError, Way, connect};
use crate::meter::Kind;
use crate::report::Report;
use crate::world::{World, read_line};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longest wait for the program to end.
const FAREWELL: Duration = Duration::from_secs(40);

/// Without a message for so long, a program that reads has all that will come.
const SILENCE: Duration = Duration::from_secs(5);

/// Runs it.
pub(super) async fn run(args: MqttStuck) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let boards: Vec<_> = (0..args.boards).map(|it| roll.add_board(&common.fleet, it)).collect();
    let restless = roll.add_board(&common.fleet, args.boards);
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;
    let way = Arc::new(build::way(&world, &args.way)?);
    let mut conductor = Conductor::new("mqtt-stuck", &world, end, common);
    let reader = Reader::begin(&world, &way, &args).await?;

    for ((stream, client_id), at) in boards.into_iter().zip(0..) {
        let spec = board::Spec {
            stream,
            client_id,
            way: Arc::clone(&way),
            qos: 1,
            expiry_s: 0,
            window: 10,
            payload: args.payload,
            interval: Some(args.board_interval),
            offset: args.board_interval * at / args.boards.max(1),
        };
        conductor.add(board::run(Arc::clone(&world), spec, true));
    }
    let churn = Arc::new(Mutex::new(Churn::default()));
    if args.reconnects > 0 {
        let pace = Duration::from_secs(60) / args.reconnects;
        let spec = (restless.0, restless.1, pace);
        conductor.clients.spawn(reconnect(
            Arc::clone(&world),
            Arc::clone(&way),
            spec,
            Arc::clone(&churn),
        ));
    }
    // The program said that it is ready, too.
    conductor.wanted += 1;
    conductor.warm_up(common.warm_up).await?;
    if !args.reads {
        reader.mood.send_replace(Mood::Stuck);
    }
    let mut report = conductor.measure(Duration::from_secs(common.seconds)).await;
    conductor.stop().await;
    reader.tell(&world, common.drain, &mut report).await;
    report.remarks.push(lock(&churn).tell());
    conductor.close(report, common).await
}

/// The program, and what it is told.
struct Reader {
    mood: watch::Sender<Mood>,
    progress: watch::Receiver<u64>,
    task: JoinHandle<Story>,
}

impl Reader {
    /// Has it subscribed before any board speaks.
    async fn begin(world: &Arc<World>, way: &Way, args: &MqttStuck) -> Result<Self, Error> {
        let name = format!("loadtest-{:08x}", build::run_number());
        let token = match &args.program_token_file {
            Some(file) => Some(
                read_line(file)
                    .map_err(|source| Error::Open { what: "the program's token", source })?,
            ),
            None if world.secrets.operator.is_some() => {
                Some(Api::connect(world).await?.program_token(&name).await?)
            }
            None => None,
        };
        let way = Way {
            to: args.program_at.unwrap_or(way.to),
            tls: if args.program_at.is_some() { None } else { way.tls.clone() },
            credentials: token.map(|token| (String::from("token"), token)),
            ..way.clone()
        };
        let (mood, moods) = watch::channel(Mood::Reads);
        let (sender, progress) = watch::channel(0);
        let spec =
            program::Spec { client_id: name, way: Arc::new(way), filter: args.filter.clone() };
        let task = tokio::spawn(program::run(Arc::clone(world), spec, moods, sender));
        let patience = args.common.warm_up;
        let is_there = async {
            while world.ready() == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // Where it cannot be, the warm-up says why.
        let _ = timeout(patience, is_there).await;
        Ok(Self { mood, progress, task })
    }

    /// Has it read on until it has all, or nothing comes any more, and says what it got.
    async fn tell(mut self, world: &World, drain: Duration, report: &mut Report) {
        let before = *self.progress.borrow();
        self.mood.send_replace(Mood::Reads);
        let began = Instant::now();
        let mut came = (*self.progress.borrow_and_update(), began);
        while began.elapsed() < drain && came.1.elapsed() < SILENCE {
            let _ = timeout(Duration::from_millis(100), self.progress.changed()).await;
            let now = *self.progress.borrow_and_update();
            if now != came.0 {
                came = (now, Instant::now());
            }
        }
        self.mood.send_replace(Mood::Leaves);
        let Ok(Ok(story)) = timeout(FAREWELL, self.task).await else {
            report.broken.push(String::from("the program ends"));
            return;
        };
        let (acknowledged, _) = world.ledger.progress();
        let missing = world.ledger.missing_in(&story.receipts);
        let mut text = format!(
            "program: {} messages, {before} of them before it read on and the rest {:.1} s after; \
             {} of {acknowledged} acknowledged facts reached it",
            story.messages,
            came.1.duration_since(began).as_secs_f64(),
            acknowledged - missing,
        );
        let _ = write!(text, "; its session was resumed {} times", story.resumed);
        for error in &story.ended {
            let _ = write!(text, "; it ended with {error}");
        }
        report.remarks.push(text);
        if missing > 0 {
            report.broken.push(format!("the program got all: {missing} did not reach it"));
        }
    }
}

/// What became of the board that reconnects.
#[derive(Default)]
struct Churn {
    welcome: u64,
    refused: BTreeMap<String, u64>,
}

impl Churn {
    fn tell(&self) -> String {
        let mut text = format!("restless board: {} times welcome", self.welcome);
        for (why, count) in &self.refused {
            let _ = write!(text, ", {count} times {why}");
        }
        text
    }
}

/// Connects at a pace, publishes, and leaves by a goodbye, by a reset, or only when the next
/// connection takes its session over.
async fn reconnect(
    world: Arc<World>,
    way: Arc<Way>,
    (stream, client_id, pace): (u32, String, Duration),
    churn: Arc<Mutex<Churn>>,
) {
    let mut tick = interval(pace);
    let mut left = None;
    let mut round = 0_u32;
    while !world.is_over() {
        tick.tick().await;
        let began = Instant::now();
        let met = once(&world, &way, stream, &client_id).await;
        // What it left behind was open until now.
        drop(left.take());
        match met {
            Ok(link) => {
                lock(&churn).welcome += 1;
                world.meter.record(Kind::MqttCycle, stream, began.elapsed());
                match round % 3 {
                    0 => link.end().await,
                    1 => link.reset(),
                    _ => left = Some(link),
                }
                round = round.wrapping_add(1);
            }
            Err(error) => *lock(&churn).refused.entry(error.to_string()).or_default() += 1,
        }
    }
}

fn lock(churn: &Mutex<Churn>) -> MutexGuard<'_, Churn> {
    churn.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn once(world: &World, way: &Way, stream: u32, client_id: &str) -> Result<Link, LinkError> {
    let caller = Caller { client_id, keep_alive_s: 60, expiry_s: 0, from: None, pace: None };
    let mut link = connect(way, &caller).await?;
    let number = world.ledger.offer(stream);
    let payload = board::payload(world.ledger.tag(stream, number), 100);
    link.publish_one(&format!("boards/{client_id}/up/telemetry"), &payload).await?;
    world.ledger.acknowledge(stream, number);
    Ok(link)
}
