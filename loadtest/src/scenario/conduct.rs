//! From the first connection to the last line: warm up, measure, stop, drain, judge.

use super::{Error, Verdict};
use crate::args::Common;
use crate::process::{Follower, Sample};
use crate::progress::Progress;
use crate::report::Report;
use crate::world::World;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often the daemon is looked at and the bar moves.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the daemon is watched before it is said to rest.
const REST: Duration = Duration::from_millis(400);

/// Longest wait for the clients to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// A run that is set up.
pub(super) struct Conductor {
    pub(super) name: &'static str,
    pub(super) world: Arc<World>,
    /// All clients.
    pub(super) clients: JoinSet<()>,
    /// How many of them say that they are ready.
    pub(super) wanted: u32,
    /// Ends the backend and the doors, after the account is closed.
    pub(super) end: CancellationToken,
    pub(super) follower: Follower,
}

impl Conductor {
    /// Runs it to its verdict, and prints the report.
    pub(super) async fn run(mut self, common: &Common) -> Result<Verdict, Error> {
        self.warm_up(common.warm_up).await?;
        let seconds = Duration::from_secs(common.seconds);
        let report = self.measure(seconds).await;
        self.close(report, common).await
    }

    /// After the measurement: ends the load, waits for what has not arrived, and judges.
    pub(super) async fn close(
        mut self,
        mut report: Report,
        common: &Common,
    ) -> Result<Verdict, Error> {
        self.stop().await;
        if !common.backend.no_backend {
            let drained = self.drain(common.drain).await;
            report.remarks.push(drained);
            report.account = Some(self.world.ledger.account());
            report.lost_examples = self.world.ledger.lost_examples(EXAMPLES_MAX);
        }
        self.end.cancel();
        self.world.ledger.flush();
        finish(report, common)
    }

    /// Waits until everyone is connected and known. Some may be missing: errors tell, and a daemon
    /// that is killed in a test is no reason to end; none at all is.
    pub(super) async fn warm_up(&self, patience: Duration) -> Result<(), Error> {
        let began = Instant::now();
        let progress = Progress::new(u64::from(self.wanted));
        while self.world.ready() < self.wanted && began.elapsed() < patience {
            let ready = self.world.ready();
            progress.at(u64::from(ready), format!("{ready} of {} ready", self.wanted));
            sleep(LOOK_EVERY).await;
        }
        progress.end();
        let ready = self.world.ready();
        if ready < self.wanted {
            let errors = self.world.meter.errors();
            let errors = errors.iter().take(EXAMPLES_MAX);
            let errors: Vec<_> =
                errors.map(|(kind, error, n)| format!("{}: {error} ({n})", kind.name())).collect();
            let error = Error::NotReady { ready, wanted: self.wanted, errors: errors.join(", ") };
            if ready == 0 && self.wanted > 0 {
                return Err(error);
            }
            eprintln!("loadtest: {error}");
        }
        Ok(())
    }

    /// Measures for some time, or until it is interrupted.
    pub(super) async fn measure(&mut self, seconds: Duration) -> Report {
        self.measure_until(seconds, || false).await
    }

    /// The same, or until that is so.
    pub(super) async fn measure_until(
        &mut self,
        seconds: Duration,
        is_over: impl Fn() -> bool,
    ) -> Report {
        let generator = std::process::id();
        let own = || Sample::take(generator).unwrap_or_default().cpu();
        let tenths = u64::try_from(seconds.as_millis() / 100).unwrap_or(u64::MAX);
        let progress = Progress::new(tenths);
        let mut tick = interval(LOOK_EVERY);
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        self.follower.begin();
        let own_before = own();
        let began = Instant::now();
        self.world.meter.measure(true);
        while began.elapsed() < seconds && !is_over() {
            tokio::select! {
                _ = &mut interrupt => break,
                _ = tick.tick() => {}
            }
            let sample = self.follower.look();
            progress.at(
                u64::try_from(began.elapsed().as_millis() / 100).unwrap_or(0),
                self.says(sample),
            );
        }
        self.world.meter.measure(false);
        let measured = began.elapsed();
        self.follower.look();
        progress.end();
        let usage = self.follower.usage();
        let mut report = Report::new(self.name, &self.world.meter, measured, usage);
        // The backend is told of for itself.
        let (_, judging) = self.world.meter.judging();
        let generating = own().saturating_sub(own_before).saturating_sub(judging);
        report.generator_cpu_s = generating.as_secs_f64();
        report
    }

    fn says(&self, sample: Option<Sample>) -> String {
        let (acknowledged, arrived) = self.world.ledger.progress();
        let operations = self.world.meter.operations();
        let memory =
            sample.map(|it| format!(", daemon {} MiB", it.rss_kib / 1024)).unwrap_or_default();
        format!("{operations} operations, acknowledged {acknowledged}, arrived {arrived}{memory}")
    }

    /// Waits until the daemon rests: until it uses less than a twentieth of a processor.
    pub(super) async fn rest(&self, patience: Duration) {
        let began = Instant::now();
        let used = || self.follower.now().map(|sample| sample.cpu()).unwrap_or_default();
        let mut before = used();
        while self.follower.is_following() && began.elapsed() < patience {
            sleep(REST).await;
            let now = used();
            if now.saturating_sub(before) <= REST / 20 {
                return;
            }
            before = now;
        }
    }

    /// Ends the load.
    pub(super) async fn stop(&mut self) {
        self.world.end_load();
        let all = async { while self.clients.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            self.clients.abort_all();
        }
    }

    /// Waits for what is acknowledged and has not arrived. Says how long it took.
    async fn drain(&self, patience: Duration) -> String {
        let began = Instant::now();
        loop {
            let (acknowledged, arrived) = self.world.ledger.progress();
            // The parked are only in the full account: look at it when the cheap one stands still.
            if arrived >= acknowledged || self.world.ledger.account().lost == 0 {
                let took = began.elapsed().as_secs_f64();
                return format!("the backend had everything {took:.1} s after the last message");
            }
            if began.elapsed() >= patience {
                let wait = patience.as_secs_f64();
                return format!("the backend did not have everything after {wait:.0} s");
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Most examples in a message.
const EXAMPLES_MAX: usize = 10;

/// Prints the report, and writes it where that is asked for.
pub(super) fn finish(report: Report, common: &Common) -> Result<Verdict, Error> {
    print!("{report}");
    if let Some(path) = &common.json {
        let json =
            serde_json::to_vec_pretty(&report).map_err(|error| Error::Report(error.into()))?;
        fs::write(path, json).map_err(Error::Report)?;
    }
    Ok(Verdict::Measured(Box::new(report)))
}

impl Conductor {
    /// A run in that world, without clients yet.
    pub(super) fn new(
        name: &'static str,
        world: &Arc<World>,
        end: CancellationToken,
        common: &Common,
    ) -> Self {
        Self {
            name,
            world: Arc::clone(world),
            clients: JoinSet::new(),
            wanted: 0,
            end,
            follower: Follower::new(common.pid, common.pid_file.clone()),
        }
    }

    /// Adds a client that will say when it is ready.
    pub(super) fn add(&mut self, client: impl Future<Output = ()> + Send + 'static) {
        self.wanted += 1;
        self.clients.spawn(client);
    }
}
