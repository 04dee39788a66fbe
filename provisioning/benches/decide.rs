//! A steady device: what it costs to see that nothing is to be done.
//!
//! `cargo bench -p lastmile-provisioning --bench decide`; what must be reached: 5 µs for a decision
//! over 40 parameters of a data model with 5,000 entries. Times are those of the processor.
#![expect(clippy::disallowed_methods, reason = "a measurement reads /proc")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use jiff::{SignedDuration, Timestamp};
use lastmile_provisioning::{
    Circumstances, Drift, Held, Pattern, Presence, Rule, ValueKind, Wanted, WantedObject,
    WantedParameter, WantedRefresh, decide,
};
use model::{DataModel, NameEntry, Observation, Reading, Redacted};
use std::hint::black_box;
use std::time::Duration;

const ENTRIES: usize = 5_000;
const PARAMETERS: usize = 40;
const TURNS: usize = 200_000;
/// What tells one object of a table from the others.
const KEY: &str = "Device.G9.Table.4.P1";

fn main() {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    let known = known(at);
    println!("{} entries, {PARAMETERS} parameters held, all as wanted", known.len());
    let now = at + SignedDuration::from_mins(30);
    let events: [Box<str>; 1] = ["2 PERIODIC".into()];
    let it = Circumstances {
        now,
        session_began: now,
        events: &events,
        is_claimed: true,
        fingerprint: 1,
        ..Circumstances::default()
    };

    let plain = Wanted { parameters: parameters(), refreshes: refreshes(), ..Wanted::default() };
    let held = steady(&plain, &known, it);
    each("is_due", || assert!(!black_box(&held).is_due(black_box(now), black_box(&events), true)));
    each("decide, whole paths", || steady_plan(&plain, &known, &held, it));
    let mut sorted = plain;
    sorted.parameters.sort_by(|a, b| a.path.cmp(&b.path));
    each("decide, in order of paths", || steady_plan(&sorted, &known, &held, it));
    let mut wide = sorted;
    wide.parameters.push(parameter("Device.G7.Table.*.P3", "v"));
    wide.objects.push(WantedObject {
        table: Pattern::parse("Device.G9.Table.").unwrap(),
        keys: vec![("P1".into(), Redacted("mine".into()))],
        presence: Presence::Present,
        parameters: Vec::new(),
        rule: Rule::default(),
    });
    let held = steady(&wide, &known, it);
    each("decide, with a wildcard and an object", || steady_plan(&wide, &known, &held, it));
}

fn steady_plan(wanted: &Wanted, known: &DataModel, held: &Held, it: Circumstances<'_>) {
    let plan = decide(black_box(wanted), black_box(known), held, it);
    assert!(plan.is_empty() && plan.blocked.is_empty());
}

/// After a session in which nothing was to be done.
fn steady(wanted: &Wanted, known: &DataModel, it: Circumstances<'_>) -> Held {
    let mut held = Held::default();
    held.begin(it);
    let plan = decide(wanted, known, &held, it);
    assert!(!held.starts_round(&plan, 5, it.now), "{plan:?}");
    held.settle(wanted, &plan, it);
    held
}

/// 50 groups of 100 entries: tables with instances, as a large gateway has them.
fn known(at: Timestamp) -> DataModel {
    let mut paths = Vec::new();
    for group in 0..50 {
        for instance in 1..=10 {
            for name in 0..9 {
                paths.push(format!("Device.G{group}.Table.{instance}.P{name}"));
            }
        }
    }
    paths.truncate(ENTRIES);
    let reading = |path: &String| Reading {
        path: path.as_str().into(),
        value: Redacted(if *path == *KEY { "mine" } else { "v" }.into()),
        xsd_type: "string".into(),
    };
    let entry = |path: &String| NameEntry { path: path.as_str().into(), writable: true };
    let mut known = DataModel::new();
    let entries = paths.iter().map(entry).collect();
    known.learn(&Observation::Names { path: "".into(), next_level: false, entries }, at);
    let values = paths.iter().map(reading).collect();
    known.learn(&Observation::Values { asked: vec![], values }, at);
    known.set_whole();
    known
}

/// Spread over the groups, a few to each object, in the order of a profile and not of paths.
fn parameters() -> Vec<WantedParameter> {
    let path = |number: usize| {
        let group = (number / 4) * 37 % 50;
        format!("Device.G{group}.Table.{}.P{}", number / 2 % 10 + 1, number % 9)
    };
    (0..PARAMETERS).map(|number| parameter(&path(number), "v")).collect()
}

fn parameter(path: &str, value: &str) -> WantedParameter {
    WantedParameter {
        path: Pattern::parse(path).unwrap(),
        value: Redacted(value.into()),
        kind: ValueKind::AsTheDevice,
        is_secret: false,
        drift: Drift::Mend,
        is_optional: false,
        verify_every: Duration::from_secs(86_400),
        window: None,
        rule: Rule::default(),
    }
}

fn refreshes() -> Vec<WantedRefresh> {
    let refresh = |number: usize| WantedRefresh {
        path: Pattern::parse(&format!("Device.G{number}.Table.1.P0")).unwrap(),
        every: Duration::from_secs(3_600),
        on_events: vec!["1 BOOT".into()],
        measure: None,
        rule: Rule::default(),
    };
    (0..4).map(refresh).collect()
}

fn each(what: &str, mut act: impl FnMut()) {
    for _ in 0..TURNS / 10 {
        act();
    }
    let began = cpu_ns();
    for _ in 0..TURNS {
        act();
    }
    let spent = (cpu_ns() - began) as f64 / TURNS as f64;
    println!("{what:<40}{spent:>9.1} ns");
}

/// What this process has spent, in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
