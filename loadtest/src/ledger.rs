//! What was offered, what was acknowledged, what arrived: the proof that nothing was lost.
//!
//! Every fact has a tag of its own (`lt-<run>-<stream>-<number>`) that travels inside it: in a
//! message's payload, in a parameter of an Inform, in a dialogue's session id. A stream is one
//! device, its numbers rise. Only acknowledged facts must arrive; what was in flight when the
//! daemon died is neither lost nor counted.

mod bits;
mod file;
mod receipts;
mod stream;
mod tag;

pub(crate) use file::LedgerFile;
pub(crate) use receipts::Receipts;
pub(crate) use stream::Arrival;
pub(crate) use tag::Tag;

use bits::Bits;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stream::{Stream, Totals};

/// Everything that is known of every fact of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    run: u32,
    streams: Vec<(Box<str>, Mutex<Stream>)>,
    /// Event ids by shard: a batch that comes twice is not a fact that was made twice.
    seen: Mutex<HashMap<u32, Bits>>,
    file: Option<LedgerFile>,
    acknowledged: AtomicU64,
    /// Acknowledged and arrived, in either order, or parked.
    settled: AtomicU64,
    redelivered: AtomicU64,
    foreign: AtomicU64,
    mislabelled: AtomicU64,
}

/// One line of the final account.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Account {
    /// Facts that were sent at least once.
    pub(crate) offered: u64,
    /// Facts that the daemon acknowledged.
    pub(crate) acknowledged: u64,
    /// Facts that reached the backend, acknowledged or not.
    pub(crate) arrived: u64,
    /// Acknowledged, not arrived, not parked.
    pub(crate) lost: u64,
    /// First arrivals behind a later fact of the same device.
    pub(crate) out_of_order: u64,
    /// Acknowledged facts that stand behind one that the backend refused for good.
    pub(crate) parked: u64,
    /// The same event delivered again: at least once allows it.
    pub(crate) redelivered: u64,
    /// The same fact in two events, where the device had sent it twice.
    pub(crate) made_twice: u64,
    /// The same fact in two events, where the device had sent it once: an error.
    pub(crate) doubled: u64,
    /// Facts that nobody offered, or under another device's name: an error.
    pub(crate) phantom: u64,
    /// Tagged facts of another run, and events that bear no tag.
    pub(crate) foreign: u64,
}

impl Account {
    /// Whether all promises were kept.
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0 && self.doubled == 0 && self.phantom == 0
    }
}

impl Ledger {
    /// A ledger of one run; `subjects` are the devices' identities as the events will spell them.
    pub(crate) fn new(
        run: u32,
        subjects: impl IntoIterator<Item = String>,
        file: Option<LedgerFile>,
    ) -> Self {
        let streams = subjects
            .into_iter()
            .map(|subject| (subject.into_boxed_str(), Mutex::new(Stream::default())))
            .collect();
        Self {
            run,
            streams,
            seen: Mutex::default(),
            file,
            acknowledged: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            redelivered: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            mislabelled: AtomicU64::new(0),
        }
    }

    /// The tag of a fact.
    pub(crate) fn tag(&self, stream: u32, number: u32) -> Tag {
        Tag { run: self.run, stream, number }
    }

    /// The next fact of a stream is about to be sent. Returns its number.
    pub(crate) fn offer(&self, stream: u32) -> u32 {
        self.stream(stream).map_or(0, |mut it| it.offer())
    }

    /// A fact is sent again, because its acknowledgement may have been lost.
    pub(crate) fn offer_again(&self, stream: u32, number: u32) {
        if let Some(mut it) = self.stream(stream) {
            it.offer_again(number);
        }
    }

    /// Nobody waits for a fact any longer: when the daemon makes it, and in what order, is its own.
    pub(crate) fn abandon(&self, stream: u32, number: u32) {
        if let Some(mut it) = self.stream(stream) {
            it.abandon(number);
        }
    }

    /// The daemon acknowledged a fact.
    pub(crate) fn acknowledge(&self, stream: u32, number: u32) {
        let Some(mut it) = self.stream(stream) else { return };
        let Some(settled) = it.acknowledge(number) else { return };
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        if settled {
            self.settled.fetch_add(1, Ordering::Relaxed);
        }
        drop(it);
        if let Some((file, (subject, _))) =
            self.file.as_ref().zip(self.streams.get(stream as usize))
        {
            file.acknowledged(subject, number);
        }
    }

    /// An event of this id and subject reached the backend with that tag in it.
    pub(crate) fn arrive(&self, event_id: &str, subject: &str, tag: Tag) -> Arrival {
        if tag.run != self.run {
            self.foreign.fetch_add(1, Ordering::Relaxed);
            return Arrival::Foreign;
        }
        if !self.is_new(event_id) {
            self.redelivered.fetch_add(1, Ordering::Relaxed);
            return Arrival::Again;
        }
        let named = self.streams.get(tag.stream as usize).is_some_and(|(it, _)| **it == *subject);
        let stream = self.stream(tag.stream).filter(|_| named);
        let Some(mut stream) = stream else {
            self.mislabelled.fetch_add(1, Ordering::Relaxed);
            return Arrival::Foreign;
        };
        let arrival = stream.arrive(tag.number);
        if arrival == (Arrival::First { settled: true }) {
            self.settled.fetch_add(1, Ordering::Relaxed);
        }
        arrival
    }

    /// An event without a tag arrived.
    pub(crate) fn arrive_untagged(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// The backend refused this fact for good, so that it and its device's later ones may stay away.
    pub(crate) fn park(&self, tag: Tag) {
        if let Some(mut stream) = self.stream(tag.stream).filter(|_| tag.run == self.run) {
            stream.park(tag.number);
        }
    }

    /// Facts acknowledged so far, and of these the ones that also arrived. Cheap.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::Relaxed), self.settled.load(Ordering::Relaxed))
    }

    /// Counts everything: at the end, or rarely.
    pub(crate) fn account(&self) -> Account {
        let mut totals = Totals::default();
        for (_, stream) in &self.streams {
            lock(stream).add_to(&mut totals);
        }
        Account {
            offered: totals.offered,
            acknowledged: totals.acknowledged,
            arrived: totals.arrived,
            lost: totals.lost,
            out_of_order: totals.out_of_order,
            parked: totals.parked,
            redelivered: self.redelivered.load(Ordering::Relaxed),
            made_twice: totals.made_twice,
            doubled: totals.doubled,
            phantom: totals.phantom + self.mislabelled.load(Ordering::Relaxed),
            foreign: self.foreign.load(Ordering::Relaxed),
        }
    }

    /// Facts that the daemon acknowledged and that somebody beside the backend did not get.
    pub(crate) fn missing_in(&self, receipts: &Receipts) -> u64 {
        let streams = self.streams.iter().enumerate();
        streams.map(|(at, (_, it))| lock(it).missing_in(receipts.of(self.run, at))).sum()
    }

    /// Some of what is lost, for a person who must look for it.
    pub(crate) fn lost_examples(&self, most: usize) -> Vec<String> {
        let of_stream = |(subject, stream): &(Box<str>, Mutex<Stream>)| {
            let numbers = lock(stream).lost(most);
            numbers.into_iter().map(|number| format!("{subject} {number}")).collect::<Vec<_>>()
        };
        self.streams.iter().flat_map(of_stream).take(most).collect()
    }

    /// Writes out what the ledger's file still holds back.
    pub(crate) fn flush(&self) {
        if let Some(file) = &self.file {
            file.flush();
        }
    }

    fn stream(&self, stream: u32) -> Option<MutexGuard<'_, Stream>> {
        self.streams.get(stream as usize).map(|(_, stream)| lock(stream))
    }

    /// Ids are `shard-sequence`: a bit each.
    fn is_new(&self, event_id: &str) -> bool {
        let parts = event_id.split_once('-');
        let numbers = parts.and_then(|(shard, sequence)| {
            Some((shard.parse::<u32>().ok()?, sequence.parse::<usize>().ok()?))
        });
        // An id of another form cannot be kept in a bit; it is then told apart by its fact alone.
        let Some((shard, sequence)) = numbers else { return true };
        lock(&self.seen).entry(shard).or_default().set(sequence)
    }
}

/// A panic elsewhere must not hide the account.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(7, ["mqtt:a".to_owned(), "mqtt:b".to_owned()], None)
    }

    #[test]
    fn what_is_acknowledged_and_does_not_arrive_is_lost() {
        let ledger = ledger();
        for _ in 0..3 {
            let number = ledger.offer(0);
            ledger.acknowledge(0, number);
        }
        ledger.offer(0);
        ledger.arrive("0-1", "mqtt:a", ledger.tag(0, 0));
        ledger.arrive("0-2", "mqtt:a", ledger.tag(0, 2));
        let account = ledger.account();
        assert_eq!((account.offered, account.acknowledged, account.arrived), (4, 3, 2));
        assert_eq!((account.lost, account.out_of_order), (1, 0), "the fourth was in flight");
        assert_eq!(ledger.lost_examples(9), ["mqtt:a 1"]);
        assert!(!account.is_good());
        assert_eq!(ledger.progress(), (3, 2));
        ledger.arrive("0-3", "mqtt:a", ledger.tag(0, 1));
        let account = ledger.account();
        assert_eq!((account.lost, account.out_of_order), (0, 1), "late is out of order");
    }

    #[test]
    fn arriving_before_the_acknowledgement_is_no_loss() {
        let ledger = ledger();
        let number = ledger.offer(1);
        ledger.arrive("0-9", "mqtt:b", ledger.tag(1, number));
        assert_eq!(ledger.progress(), (0, 0));
        ledger.acknowledge(1, number);
        ledger.acknowledge(1, number);
        assert_eq!(ledger.progress(), (1, 1));
        assert!(ledger.account().is_good());
    }

    #[test]
    fn twice_delivered_twice_made_and_doubled_are_told_apart() {
        let ledger = ledger();
        let (once, twice) = (ledger.offer(0), ledger.offer(0));
        ledger.offer_again(0, twice);
        ledger.arrive("0-1", "mqtt:a", ledger.tag(0, once));
        ledger.arrive("0-1", "mqtt:a", ledger.tag(0, once));
        ledger.arrive("0-2", "mqtt:a", ledger.tag(0, twice));
        ledger.arrive("0-3", "mqtt:a", ledger.tag(0, twice));
        let account = ledger.account();
        assert_eq!((account.redelivered, account.made_twice, account.doubled), (1, 1, 0));
        assert!(account.is_good());
        ledger.arrive("0-4", "mqtt:a", ledger.tag(0, once));
        assert_eq!(ledger.account().doubled, 1);
        assert!(!ledger.account().is_good());
    }

    #[test]
    fn phantoms_and_strangers() {
        let ledger = ledger();
        ledger.offer(0);
        ledger.arrive("0-1", "mqtt:a", Tag { run: 8, stream: 0, number: 0 });
        ledger.arrive("0-2", "mqtt:b", ledger.tag(0, 0));
        ledger.arrive("0-3", "mqtt:a", ledger.tag(0, 5));
        ledger.arrive("0-4", "mqtt:a", ledger.tag(99, 0));
        ledger.arrive_untagged();
        let account = ledger.account();
        assert_eq!((account.foreign, account.phantom, account.arrived), (2, 3, 0));
    }

    #[test]
    fn an_abandoned_fact_may_come_late() {
        let ledger = ledger();
        for (number, id) in [(0, "0-2"), (1, "0-1")] {
            assert_eq!(ledger.offer(0), number);
            ledger.arrive(id, "mqtt:a", ledger.tag(0, 1 - number));
        }
        assert_eq!(ledger.account().phantom, 1, "it came before it was offered");
        let ledger = self::ledger();
        ledger.offer(0);
        ledger.abandon(0, 0);
        ledger.offer(0);
        ledger.arrive("0-1", "mqtt:a", ledger.tag(0, 1));
        ledger.arrive("0-2", "mqtt:a", ledger.tag(0, 0));
        assert!(ledger.account().is_good());
    }

    #[test]
    fn behind_a_parked_fact_nothing_is_lost() {
        let ledger = ledger();
        for number in 0..4 {
            ledger.offer(0);
            ledger.acknowledge(0, number);
        }
        ledger.arrive("0-1", "mqtt:a", ledger.tag(0, 0));
        ledger.park(ledger.tag(0, 2));
        let account = ledger.account();
        assert_eq!((account.parked, account.lost), (2, 1), "1 stands before the parked one");
    }
}
