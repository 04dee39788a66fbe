//! What came out: a table for people, JSON for programs.

use crate::ledger::Account;
use crate::meter::{Kind, Meter};
use crate::process::Usage;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The result of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Which scenario.
    pub(crate) scenario: String,
    /// How long it was measured.
    pub(crate) seconds: f64,
    /// Times and rates by kind.
    pub(crate) kinds: Vec<Row>,
    /// Errors by kind.
    pub(crate) errors: Vec<ErrorRow>,
    /// What the daemon used, where its process is known.
    pub(crate) daemon: Option<Usage>,
    /// Operations of the daemon that its CPU time is divided by.
    pub(crate) operations: u64,
    /// CPU of the daemon in µs per operation.
    pub(crate) cpu_us_per_operation: Option<f64>,
    /// What this program used itself, in CPU seconds.
    pub(crate) generator_cpu_s: f64,
    /// The part of that with which the backend verified, read and noted an event, in µs: its own
    /// work, without the sockets.
    pub(crate) backend_us_per_event: Option<f64>,
    /// The account of all facts, where there is a backend.
    pub(crate) account: Option<Account>,
    /// Some of what is lost.
    pub(crate) lost_examples: Vec<String>,
    /// Further figures of the scenario.
    pub(crate) remarks: Vec<String>,
    /// What the scenario demands and was not kept.
    pub(crate) broken: Vec<String>,
}

/// Times of one kind, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Of what.
    pub(crate) kind: &'static str,
    /// How many.
    pub(crate) count: u64,
    /// How many a second.
    pub(crate) rate: f64,
    /// Half were faster.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred were faster.
    pub(crate) p99_ms: f64,
    /// The slowest.
    pub(crate) max_ms: f64,
}

/// One sort of error.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorRow {
    /// Of what.
    pub(crate) kind: &'static str,
    /// Which.
    pub(crate) error: String,
    /// How often.
    pub(crate) count: u64,
}

impl Report {
    /// Gathers what the meter has.
    pub(crate) fn new(
        scenario: &str,
        meter: &Meter,
        measured: Duration,
        daemon: Option<Usage>,
    ) -> Self {
        let seconds = measured.as_secs_f64().max(f64::MIN_POSITIVE);
        let rows = Kind::ALL.iter().map(|kind| row(*kind, &meter.total(*kind), seconds));
        let errors = meter.errors().into_iter();
        let operations = meter.operations();
        let (judged, judging) = meter.judging();
        Self {
            scenario: scenario.to_owned(),
            seconds,
            kinds: rows.filter(|row| row.count > 0).collect(),
            errors: errors
                .map(|(kind, error, count)| ErrorRow { kind: kind.name(), error, count })
                .collect(),
            cpu_us_per_operation: daemon
                .filter(|_| operations > 0)
                .map(|usage| usage.cpu_s * 1e6 / float(operations)),
            daemon,
            operations,
            generator_cpu_s: 0.0,
            backend_us_per_event: (judged > 0).then(|| judging.as_secs_f64() * 1e6 / float(judged)),
            account: None,
            lost_examples: Vec::new(),
            remarks: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// Whether all promises were kept.
    pub(crate) fn is_good(&self) -> bool {
        self.broken.is_empty() && self.account.as_ref().is_none_or(Account::is_good)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure in a table needs no 53 bits")]
fn float(count: u64) -> f64 {
    count as f64
}

fn row(kind: Kind, times: &Histogram<u64>, seconds: f64) -> Row {
    let ms = |us: u64| float(us) / 1000.0;
    Row {
        kind: kind.name(),
        count: times.len(),
        rate: float(times.len()) / seconds,
        p50_ms: ms(times.value_at_quantile(0.5)),
        p99_ms: ms(times.value_at_quantile(0.99)),
        max_ms: ms(times.max()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {:.1} s measured", self.scenario, self.seconds)?;
        writeln!(
            f,
            "\n{:<14} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "kind", "count", "per s", "p50 ms", "p99 ms", "max ms"
        )?;
        for row in &self.kinds {
            writeln!(
                f,
                "{:<14} {:>10} {:>10.1} {:>10.2} {:>10.2} {:>10.2}",
                row.kind, row.count, row.rate, row.p50_ms, row.p99_ms, row.max_ms
            )?;
        }
        if self.errors.is_empty() {
            writeln!(f, "\nno errors")?;
        } else {
            writeln!(f, "\n{:<14} {:>10}  error", "kind", "count")?;
            for error in &self.errors {
                writeln!(f, "{:<14} {:>10}  {}", error.kind, error.count, error.error)?;
            }
        }
        self.costs(f)?;
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        for promise in &self.broken {
            writeln!(f, "BROKEN: {promise}")?;
        }
        self.verdict(f)
    }
}

impl Report {
    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        if let Some(daemon) = &self.daemon {
            write!(f, "daemon: {:.2} s CPU ({:.2} s user)", daemon.cpu_s, daemon.user_s)?;
            if let Some(us) = self.cpu_us_per_operation {
                write!(f, ", {us:.2} µs per operation, {:.2} ms per 1,000", us)?;
            }
            writeln!(f, " ({} operations)", self.operations)?;
            writeln!(
                f,
                "        memory {} KiB at the beginning, {} KiB at the end, {} KiB at most; {} open \
                 files, {} threads, {} restarts",
                daemon.rss_begin_kib,
                daemon.rss_kib,
                daemon.rss_peak_kib,
                daemon.fds,
                daemon.threads,
                daemon.restarts
            )?;
        }
        write!(f, "generator: {:.2} s CPU", self.generator_cpu_s)?;
        if self.operations > 0 {
            let us = self.generator_cpu_s * 1e6 / float(self.operations);
            write!(f, ", {us:.2} µs per operation")?;
        }
        if let Some(us) = self.backend_us_per_event {
            write!(f, "; its backend {us:.2} µs per event")?;
        }
        writeln!(f)
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(account) = &self.account else { return Ok(()) };
        writeln!(
            f,
            "offered {}, parked {}, delivered again {}, made twice {}, doubled {}, phantoms {}, \
             others' {}",
            account.offered,
            account.parked,
            account.redelivered,
            account.made_twice,
            account.doubled,
            account.phantom,
            account.foreign
        )?;
        for example in &self.lost_examples {
            writeln!(f, "lost: {example}")?;
        }
        writeln!(
            f,
            "acknowledged {}, arrived {}, lost {}, out of order {}",
            account.acknowledged, account.arrived, account.lost, account.out_of_order
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let meter = Meter::new();
        meter.measure(true);
        for ms in 1..=100 {
            meter.record(Kind::UssdHop, ms, Duration::from_millis(ms.into()));
        }
        meter.error(Kind::MqttConnect, "refused");
        let usage = Usage {
            cpu_s: 0.002,
            user_s: 0.001,
            rss_begin_kib: 1,
            rss_kib: 2,
            rss_peak_kib: 3,
            fds: 4,
            threads: 5,
            restarts: 0,
        };
        Report::new("test", &meter, Duration::from_secs(10), Some(usage))
    }

    #[test]
    fn figures_are_of_the_measured_time() {
        let report = report();
        let row = &report.kinds[0];
        assert_eq!((row.kind, row.count), ("ussd hop", 100));
        assert!((row.rate - 10.0).abs() < 1e-9);
        assert!((49.9..50.2).contains(&row.p50_ms) && (98.9..99.2).contains(&row.p99_ms));
        assert!((report.cpu_us_per_operation.unwrap() - 20.0).abs() < 1e-9);
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        let mut report = report();
        assert!(report.is_good(), "nothing was compared");
        report.account =
            Some(Account { acknowledged: 3, arrived: 2, lost: 1, ..Account::default() });
        let text = report.to_string();
        assert!(text.ends_with("acknowledged 3, arrived 2, lost 1, out of order 0\n"), "{text}");
        assert!(text.contains("refused") && text.contains("20.00 µs per operation"), "{text}");
        assert!(!report.is_good());
        report.account = Some(Account::default());
        assert!(report.is_good());
        report.broken.push("one".to_owned());
        assert!(!report.is_good() && report.to_string().contains("BROKEN: one\n"));
        report.account = Some(Account { lost: 1, ..Account::default() });
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["account"]["lost"], 1);
    }
}
