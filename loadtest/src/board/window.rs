//! Messages on their way, and when the next is due.

use crate::ledger::Ledger;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One board's unacknowledged messages, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    interval: Option<Duration>,
    due: Instant,
    packet_id: u16,
    waiting: VecDeque<Waiting>,
}

/// A message that waits for the end of its exchange: PUBACK, or PUBCOMP at QoS 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Waiting {
    pub(super) packet_id: u16,
    /// Of the fact in its stream.
    pub(super) number: u32,
    /// When it was due: a late start counts as waiting, so that a slow server cannot slow the clock.
    pub(super) due: Instant,
    /// QoS 2: the PUBREC was here, only the exchange's end is missing.
    pub(super) is_received: bool,
}

impl Window {
    pub(super) fn new(size: u16, interval: Option<Duration>, first: Instant) -> Self {
        let size = usize::from(size.max(1));
        Self { size, interval, due: first, packet_id: 0, waiting: VecDeque::with_capacity(size) }
    }

    /// How many may wait.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// When the next message may go; `None` while the window is full.
    pub(super) fn next_at(&self) -> Option<Instant> {
        (self.waiting.len() < self.size).then_some(self.due)
    }

    /// Takes the next message on its way, if it is due.
    pub(super) fn take(&mut self, ledger: &Ledger, stream: u32, now: Instant) -> Option<Waiting> {
        let waiting = self.take_unheard(ledger, stream, now)?;
        self.waiting.push_back(waiting);
        Some(waiting)
    }

    /// The same for QoS 0, where nothing comes back and nothing waits.
    pub(super) fn take_unheard(
        &mut self,
        ledger: &Ledger,
        stream: u32,
        now: Instant,
    ) -> Option<Waiting> {
        if self.next_at()? > now {
            return None;
        }
        let due = match self.interval {
            Some(interval) => {
                let due = self.due;
                self.due += interval;
                due
            }
            None => now,
        };
        let number = ledger.offer(stream);
        Some(Waiting { packet_id: self.next_id(), number, due, is_received: false })
    }

    /// A PUBACK or PUBCOMP came; `None` is one that nobody waits for.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> Option<Waiting> {
        // Servers acknowledge in order: the first is nearly always the one.
        let at = self.waiting.iter().position(|it| it.packet_id == packet_id)?;
        self.waiting.remove(at)
    }

    /// A PUBREC came; `None` is one that nobody waits for, or that came before.
    pub(super) fn received(&mut self, packet_id: u16) -> Option<Waiting> {
        let waiting = self.waiting.iter_mut().find(|it| it.packet_id == packet_id)?;
        let first = !std::mem::replace(&mut waiting.is_received, true);
        first.then_some(*waiting)
    }

    /// All that wait, to be sent again in order on a new connection. The server may have some of
    /// them, which the ledger learns.
    pub(super) fn again(&mut self, ledger: &Ledger, stream: u32) -> Vec<Waiting> {
        // A session that is not known any more has nothing to end.
        self.waiting.retain(|it| !it.is_received);
        self.packet_id = 0;
        for at in 0..self.waiting.len() {
            let packet_id = self.next_id();
            self.waiting[at].packet_id = packet_id;
            ledger.offer_again(stream, self.waiting[at].number);
        }
        self.waiting.iter().copied().collect()
    }

    /// All that wait, under the identifiers that they have: the server kept the session. At QoS 2 it
    /// must then make nothing twice, so the ledger is told nothing.
    pub(super) fn resumed(&self, ledger: &Ledger, stream: u32, qos: u8) -> Vec<Waiting> {
        if qos < 2 {
            self.waiting.iter().for_each(|it| ledger.offer_again(stream, it.number));
        }
        self.waiting.iter().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Never 0 (MQTT-2.2.1-3), and never one that still waits: the window is far smaller.
    fn next_id(&mut self) -> u16 {
        loop {
            self.packet_id = if self.packet_id == u16::MAX { 1 } else { self.packet_id + 1 };
            if self.waiting.iter().all(|it| it.packet_id != self.packet_id) {
                return self.packet_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_fills_empties_and_is_sent_again() {
        let ledger = Ledger::new(1, ["mqtt:a".to_owned()], None);
        let begin = Instant::now();
        let mut window = Window::new(2, None, begin);
        let one = window.take(&ledger, 0, begin).unwrap();
        let two = window.take(&ledger, 0, begin).unwrap();
        assert_eq!((one.number, two.number, two.packet_id), (0, 1, 2));
        assert_eq!(window.take(&ledger, 0, begin), None, "full");
        assert_eq!(window.acknowledged(9), None);
        assert_eq!(window.acknowledged(1), Some(one));
        let again = window.again(&ledger, 0);
        assert_eq!((again.len(), again[0].number, again[0].packet_id), (1, 1, 1));
        assert!(window.acknowledged(1).is_some() && window.is_empty());
        window.packet_id = u16::MAX;
        assert_eq!(window.take(&ledger, 0, begin).unwrap().packet_id, 1);
    }

    #[test]
    fn the_clock_does_not_wait_for_a_slow_server() {
        let ledger = Ledger::new(1, ["mqtt:a".to_owned()], None);
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let mut window = Window::new(9, Some(second), begin + second);
        assert_eq!(window.take(&ledger, 0, begin), None, "not yet");
        let late = begin + 10 * second;
        let dues: Vec<_> = (0..3).map(|_| window.take(&ledger, 0, late).unwrap().due).collect();
        assert_eq!(dues, [begin + second, begin + 2 * second, begin + 3 * second]);
    }

    #[test]
    fn what_was_received_at_qos_2_is_only_ended() {
        let ledger = Ledger::new(1, ["mqtt:a".to_owned()], None);
        let begin = Instant::now();
        let mut window = Window::new(3, None, begin);
        let taken = (0..3).filter_map(|_| window.take(&ledger, 0, begin)).count();
        assert_eq!(taken, 3);
        assert!(window.received(1).is_some());
        assert_eq!(window.received(1), None, "again");
        let resumed = window.resumed(&ledger, 0, 2);
        assert_eq!(
            resumed.iter().map(|it| it.is_received).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(window.acknowledged(2).map(|it| it.number), Some(1));
        window.packet_id = u16::MAX;
        assert_eq!(window.take(&ledger, 0, begin).unwrap().packet_id, 2, "1 still waits");
        assert_eq!(window.again(&ledger, 0).len(), 2, "the session is gone, and 1 is through");
    }
}
