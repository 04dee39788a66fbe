//! Hops of dialogues as many as fit, over an aggregator's few connections; beside them, where that is
//! asked for, the same requests to a server that does nothing with them.

use super::bare_http::BareServer;
use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict};
use crate::args::{Common, UssdHops};
use crate::caller::{self, Pace};
use crate::report::Report;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs it.
pub(super) async fn run(args: UssdHops) -> Result<Verdict, Error> {
    if args.connections == 0 || args.numbers == 0 {
        return Err(Error::Zero("--connections or --numbers"));
    }
    let common = &args.common;
    if args.bare && common.pid.is_none() && common.pid_file.is_none() {
        return Err(Error::NoPid);
    }
    let mut conductor = muster(&args, common, false).await?;
    conductor.warm_up(common.warm_up).await?;
    let seconds = Duration::from_secs(common.seconds);
    let mut report = conductor.measure(seconds).await;
    if args.bare {
        // The daemon rests meanwhile: two servers share no processor with each other.
        conductor.stop().await;
        let beside = beside(&args).await?;
        report.remarks.push(compare(&report, &beside));
    }
    conductor.close(report, common).await
}

/// The same hops against a bare server.
async fn beside(args: &UssdHops) -> Result<Report, Error> {
    let server = BareServer::start()?;
    let mut common = args.common.clone();
    common.ussd = Some(server.at);
    common.pid = Some(server.pid());
    common.pid_file = None;
    common.ledger = None;
    // It has nothing to deliver.
    common.backend.no_backend = true;
    let mut conductor = muster(args, &common, true).await?;
    conductor.warm_up(common.warm_up).await?;
    let report = conductor.measure(Duration::from_secs(common.seconds)).await;
    conductor.stop().await;
    conductor.end.cancel();
    Ok(report)
}

/// What a request costs in both.
fn compare(daemon: &Report, bare: &Report) -> String {
    let (ours, theirs) = (daemon.cpu_us_per_operation, bare.cpu_us_per_operation);
    let rate = |report: &Report| report.kinds.iter().map(|row| row.rate).sum::<f64>();
    let rates = format!("{:.0} hops/s beside {:.0}/s", rate(daemon), rate(bare));
    match ours.zip(theirs).filter(|(_, theirs)| *theirs > 0.0) {
        Some((ours, theirs)) => format!(
            "CPU per hop {ours:.2} µs, of a bare server {theirs:.2} µs: {:.2} times; {rates}",
            ours / theirs
        ),
        None => format!("CPU per hop is too little to be told; {rates}"),
    }
}

/// The aggregator's connections, which begin at once.
async fn muster(args: &UssdHops, common: &Common, bare: bool) -> Result<Conductor, Error> {
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let callers: Vec<Vec<_>> = (0..args.connections)
        .map(|caller| {
            let first = caller * args.numbers;
            (first..first + args.numbers).map(|index| roll.add_phone(index)).collect()
        })
        .collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;

    let pace = match args.rate {
        Some(0) => return Err(Error::Zero("--rate")),
        Some(rate) => Pace::Every(Duration::from_secs(1) * args.connections / rate),
        None => Pace::Flat,
    };
    let mut conductor = Conductor::new("ussd-hops", &world, end, common);
    for phones in callers {
        let Some((stream, _)) = phones.first() else { continue };
        let offset = match pace {
            Pace::Every(every) => every * (*stream / args.numbers) / args.connections,
            Pace::Flat | Pace::Think(_) => Duration::ZERO,
        };
        let spec = caller::Spec {
            stream: *stream,
            numbers: phones.into_iter().map(|(_, number)| number).collect(),
            scripts: vec![script(args.hops)],
            pace,
            offset,
            service: common.service.clone(),
            bare,
        };
        conductor.add(caller::run(Arc::clone(&world), spec));
    }
    Ok(conductor)
}

/// Keys of a dialogue of that many hops: the language to and fro, at last goodbye.
fn script(hops: u16) -> Vec<&'static str> {
    let between = usize::from(hops.saturating_sub(2));
    let mut keys = vec!["9"; between];
    keys.push("0");
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Kind, Meter};
    use crate::process::Usage;

    #[test]
    fn a_dialogue_has_its_hops() {
        assert_eq!(script(2), ["0"]);
        assert_eq!(script(5), ["9", "9", "9", "0"]);
        assert_eq!(script(0), ["0"]);
    }

    #[test]
    fn what_a_hop_costs_stands_beside_a_bare_one() {
        let report = |cpu_s| {
            let meter = Meter::new();
            meter.measure(true);
            (0..1_000).for_each(|it| meter.record(Kind::UssdHop, it, Duration::from_millis(1)));
            let usage = Usage {
                cpu_s,
                user_s: cpu_s,
                rss_begin_kib: 0,
                rss_kib: 0,
                rss_peak_kib: 0,
                fds: 0,
                threads: 0,
                restarts: 0,
            };
            Report::new("test", &meter, Duration::from_secs(2), Some(usage))
        };
        assert_eq!(
            compare(&report(0.009), &report(0.006)),
            "CPU per hop 9.00 µs, of a bare server 6.00 µs: 1.50 times; 500 hops/s beside 500/s"
        );
        assert!(compare(&report(0.009), &report(0.0)).starts_with("CPU per hop is too little"));
    }
}
