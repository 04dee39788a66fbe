//! Dialogues that are all open at once, for what one costs in memory.

use super::build::{self, Roll};
use super::conduct::{Conductor, finish};
use super::{Error, Verdict};
use crate::args::UssdHeld;
use crate::caller::{FORM, form};
use crate::http::{Answer, Client, HttpError};
use crate::meter::Kind;
use crate::world::World;
use bytes::Bytes;
use hyper::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Rest before the memory is read, so that what was freed is counted as free and the daemon has counted
/// its dialogues.
const SETTLE: Duration = Duration::from_secs(2);

/// The daemon's count of them.
const GAUGE: &str = "lastmile_ussd_dialogues ";

/// Runs it.
pub(super) async fn run(args: UssdHeld) -> Result<Verdict, Error> {
    if args.connections == 0 || args.dialogues == 0 {
        return Err(Error::Zero("--connections or --dialogues"));
    }
    let common = &args.common;
    let end = CancellationToken::new();
    let world = Roll::default().world(common)?;
    build::backend(common, &world, &end).await?;
    let mut conductor = Conductor::new("ussd-held", &world, end, common);
    conductor.wanted = args.dialogues;

    let crowd = Arc::new(Crowd::new(&world, &args));
    let counted_before = counted(&world).await.unwrap_or(0);
    conductor.follower.begin();
    let before = conductor.follower.look().map_or(0, |sample| sample.rss_kib);
    world.meter.measure(true);
    let began = Instant::now();
    all(&crowd).await;
    let took = began.elapsed();
    sleep(SETTLE).await;

    let after = conductor.follower.look().map_or(0, |sample| sample.rss_kib);
    let held = world.ready();
    let counted = counted(&world).await;
    let mut report = conductor.measure(Duration::from_secs(common.seconds)).await;
    report.remarks.push(format!("{held} dialogues begun in {:.1} s", took.as_secs_f64()));
    if conductor.follower.is_following() && held > 0 {
        let grown = after.saturating_sub(before);
        let each = 1024.0 * f64::from(u32::try_from(grown).unwrap_or(u32::MAX)) / f64::from(held);
        report.remarks.push(format!(
            "{before} KiB before, {after} KiB with them, {grown} KiB more: {each:.0} bytes each"
        ));
    }
    match counted {
        Some(now) => report
            .remarks
            .push(format!("the daemon counts {now} dialogues, {counted_before} before")),
        None => report.broken.push("the daemon does not tell how many dialogues it has".to_owned()),
    }
    if held < args.dialogues || counted.is_some_and(|it| it < counted_before + held) {
        let wanted = args.dialogues;
        report.broken.push(format!("{wanted} dialogues were to be open, {held} were begun"));
    }
    conductor.end.cancel();
    finish(report, common)
}

/// The phones, and how they call.
struct Crowd {
    world: Arc<World>,
    path: String,
    run: u32,
    dialogues: u32,
    connections: u32,
    keys: u16,
}

impl Crowd {
    fn new(world: &Arc<World>, args: &UssdHeld) -> Self {
        Self {
            world: Arc::clone(world),
            path: world.secrets.ussd_path(&args.common.service),
            run: build::run_number(),
            dialogues: args.dialogues,
            connections: args.connections,
            keys: args.keys,
        }
    }

    /// What a phone has typed after so many keys: the language to and fro.
    fn typed(keys: u16) -> String {
        vec!["9"; usize::from(keys)].join("*")
    }

    /// Begins a dialogue and leaves it open.
    async fn phone(&self, client: &mut Option<Client>, index: u32) -> Result<(), HttpError> {
        let session = format!("ATUid_{:08x}{index:08x}", self.run);
        let number = format!("+2547990{index:06}");
        for keys in 0..=self.keys {
            let began = Instant::now();
            let text = Self::typed(keys);
            let answer = self.post(client, &form(&session, &number, &text)).await?;
            self.world.meter.record(Kind::UssdHop, index, began.elapsed());
            if !answer.body.starts_with(b"CON ") {
                self.world.meter.error(Kind::UssdHop, "the dialogue ended");
                return Ok(());
            }
        }
        self.world.is_ready();
        Ok(())
    }

    async fn post(&self, client: &mut Option<Client>, form: &str) -> Result<Answer, HttpError> {
        if !client.as_ref().is_some_and(Client::is_open) {
            *client = Some(Client::connect(self.world.targets.ussd, None, None).await?);
        }
        let open = client.as_mut().ok_or(HttpError::Lost)?;
        let answer =
            open.post(&self.path, &[FORM], Bytes::copy_from_slice(form.as_bytes())).await?;
        if answer.closes() {
            *client = None;
        }
        Ok(answer)
    }
}

/// Every phone does it once, over the aggregator's connections.
async fn all(crowd: &Arc<Crowd>) {
    let next = Arc::new(AtomicU32::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..crowd.connections {
        let (crowd, next) = (Arc::clone(crowd), Arc::clone(&next));
        connections.spawn(async move {
            let mut client = None;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= crowd.dialogues || crowd.world.is_over() {
                    return;
                }
                if let Err(error) = crowd.phone(&mut client, index).await {
                    client = None;
                    crowd.world.meter.error(Kind::UssdHop, error.to_string());
                }
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

/// How many the daemon says it has.
async fn counted(world: &World) -> Option<u32> {
    let mut client = Client::connect(world.targets.operator, None, None).await.ok()?;
    let answer = client.request(Method::GET, "/metrics", &[], Bytes::new()).await.ok()?;
    gauge(&String::from_utf8_lossy(&answer.body))
}

fn gauge(metrics: &str) -> Option<u32> {
    metrics.lines().find_map(|line| line.strip_prefix(GAUGE))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_s_count_is_read() {
        let metrics = "# HELP lastmile_ussd_dialogues USSD dialogues in progress.\n\
                       # TYPE lastmile_ussd_dialogues gauge\nlastmile_ussd_dialogues 100000\n";
        assert_eq!(gauge(metrics), Some(100_000));
        assert_eq!(gauge("lastmile_ussd_dialogues_total 3\n"), None);
    }
}
