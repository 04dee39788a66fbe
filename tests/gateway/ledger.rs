//! What devices were told is kept, and the proof that the backend has it.

use crate::backend::{Backend, Received};
use crate::daemon::Daemon;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Longest wait for the last acknowledged fact to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// One fact as its device knows it: whose, of what kind, and which of that kind.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Fact {
    pub(crate) subject: String,
    pub(crate) kind: &'static str,
    pub(crate) number: u64,
}

/// What was sent, and what of it was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sent: HashSet<Fact>,
    acknowledged: HashSet<Fact>,
    customers: Vec<String>,
}

impl Ledger {
    /// Notes a fact before its first byte leaves.
    pub(crate) fn send(&mut self, fact: Fact) {
        assert!(self.sent.insert(fact), "the test sends each fact once");
    }

    /// Notes that the daemon said it has it.
    pub(crate) fn acknowledge(&mut self, fact: Fact) {
        assert!(self.sent.contains(&fact), "{fact:?} acknowledged but never sent");
        self.acknowledged.insert(fact);
    }

    /// Notes that the API said it made a customer.
    pub(crate) fn made_customer(&mut self, id: String) {
        self.customers.push(id);
    }

    /// Proves that every customer is there who was said to be made.
    pub(crate) fn assert_customers(&self, daemon: &Daemon) {
        assert!(!self.customers.is_empty());
        for id in &self.customers {
            daemon.call("GET", &format!("/api/v1/customers/{id}"), &Value::Null);
        }
    }

    /// How many facts of that kind were acknowledged.
    pub(crate) fn acknowledged(&self, kind: &str) -> usize {
        self.acknowledged.iter().filter(|fact| fact.kind == kind).count()
    }

    /// Proves that the backend has every acknowledged fact, nothing that was never sent, no fact
    /// as two events, and each device's facts in order.
    pub(crate) fn assert_arrived(&self, backend: &Backend) {
        let mut missing = self.acknowledged.clone();
        let mut read = 0;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            backend.wait("all that was acknowledged", PATIENCE, |accepted| {
                for event in &accepted[read..] {
                    if let Some(fact) = fact(event) {
                        missing.remove(&fact);
                    }
                }
                read = accepted.len();
                missing.is_empty()
            })
        }));
        let Ok(accepted) = outcome else {
            let mut lost: Vec<_> = missing.into_iter().collect();
            lost.sort();
            let (count, all) = (lost.len(), self.acknowledged.len());
            lost.truncate(20);
            panic!("{count} of {all} acknowledged facts never arrived, such as {lost:#?}");
        };
        backend.assert_no_faults();
        self.assert_no_phantoms(&accepted);
        assert_in_order(&accepted);
    }

    fn assert_no_phantoms(&self, accepted: &[Received]) {
        let mut events: HashMap<Fact, &str> = HashMap::new();
        for event in accepted {
            let Some(fact) = fact(event) else { continue };
            assert!(self.sent.contains(&fact), "never sent: {event:?}");
            if let Some(first) = events.insert(fact, &event.id) {
                panic!("{} says the same as {first}: {event:?}", event.id);
            }
        }
    }
}

/// Each device's events came in the order of their positions, and so did its own numbers.
pub(crate) fn assert_in_order(accepted: &[Received]) {
    let mut last: HashMap<&str, &Received> = HashMap::new();
    let mut numbers: HashMap<(String, &str), u64> = HashMap::new();
    for event in accepted {
        if let Some(before) = last.insert(&event.subject, event) {
            assert!(before.sequence < event.sequence, "{event:?} came after {before:?}");
        }
        let Some(Fact { subject, kind, number }) = fact(event) else { continue };
        if let Some(before) = numbers.insert((subject, kind), number) {
            assert!(before < number, "{event:?} came after its device's number {before}");
        }
    }
}

/// The fact that an event tells, where it is one that the load counts.
pub(crate) fn fact(event: &Received) -> Option<Fact> {
    let (kind, number) = match event.kind.as_str() {
        "lastmile.telemetry.received" => ("telemetry", event.data["payload"]["n"].as_u64()),
        "lastmile.device.bootstrapped"
        | "lastmile.device.discovered"
        | "lastmile.device.booted" => {
            let up_time = &event.data["parameters"]["InternetGatewayDevice.DeviceInfo.UpTime"];
            ("boot", up_time.as_u64())
        }
        "lastmile.ussd.started" => ("call", call_number(event)),
        "lastmile.ussd.ended" => ("call end", call_number(event)),
        _ => return None,
    };
    Some(Fact { subject: event.subject.clone(), kind, number: number? })
}

fn call_number(event: &Received) -> Option<u64> {
    event.data["session"].as_str()?.rsplit('_').next()?.parse().ok()
}
