//! One device's facts, in the order it sent them.

use super::bits::Bits;
use std::collections::HashSet;

/// What is known of one device's facts.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Facts 0 to this have been offered.
    offered: u32,
    acknowledged: Bits,
    arrived: Bits,
    /// Offered more than once.
    again: HashSet<u32>,
    /// Given up by the device.
    abandoned: HashSet<u32>,
    /// One past the highest arrived.
    arrived_to: u32,
    parked_from: Option<u32>,
    out_of_order: u32,
    made_twice: u32,
    doubled: u32,
    phantom: u32,
}

/// What an arrival was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// A fact for the first time; `settled` where it was acknowledged before.
    First {
        /// Whether it was acknowledged before.
        settled: bool,
    },
    /// One that had arrived before.
    Again,
    /// None of this run's.
    Foreign,
}

/// Sums over streams.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) offered: u64,
    pub(super) acknowledged: u64,
    pub(super) arrived: u64,
    pub(super) lost: u64,
    pub(super) parked: u64,
    pub(super) out_of_order: u64,
    pub(super) made_twice: u64,
    pub(super) doubled: u64,
    pub(super) phantom: u64,
}

impl Stream {
    pub(super) fn offer(&mut self) -> u32 {
        let number = self.offered;
        self.offered += 1;
        number
    }

    pub(super) fn offer_again(&mut self, number: u32) {
        self.again.insert(number);
    }

    pub(super) fn abandon(&mut self, number: u32) {
        self.abandoned.insert(number);
    }

    /// Whether it had arrived already; `None` where it was acknowledged before.
    pub(super) fn acknowledge(&mut self, number: u32) -> Option<bool> {
        self.acknowledged.set(number as usize).then(|| self.arrived.has(number as usize))
    }

    pub(super) fn arrive(&mut self, number: u32) -> Arrival {
        if number >= self.offered {
            self.phantom += 1;
            return Arrival::Foreign;
        }
        if !self.arrived.set(number as usize) {
            if self.again.contains(&number) {
                self.made_twice += 1;
            } else {
                self.doubled += 1;
            }
            return Arrival::Again;
        }
        if number < self.arrived_to && !self.abandoned.contains(&number) {
            self.out_of_order += 1;
        }
        self.arrived_to = self.arrived_to.max(number + 1);
        Arrival::First { settled: self.acknowledged.has(number as usize) }
    }

    pub(super) fn park(&mut self, number: u32) {
        self.parked_from = Some(self.parked_from.map_or(number, |from| from.min(number)));
    }

    /// Acknowledged facts that did not arrive and are not parked.
    pub(super) fn lost(&self, most: usize) -> Vec<u32> {
        self.missing().filter(|number| !self.is_parked(*number)).take(most).collect()
    }

    /// How many acknowledged facts are not among those.
    pub(super) fn missing_in(&self, seen: Option<&Bits>) -> u64 {
        seen.map_or_else(
            || self.acknowledged.count(),
            |seen| self.acknowledged.without(seen).map(|_| 1).sum(),
        )
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        totals.offered += u64::from(self.offered);
        totals.acknowledged += self.acknowledged.count();
        totals.arrived += self.arrived.count();
        for number in self.missing() {
            if self.is_parked(number) {
                totals.parked += 1;
            } else {
                totals.lost += 1;
            }
        }
        totals.out_of_order += u64::from(self.out_of_order);
        totals.made_twice += u64::from(self.made_twice);
        totals.doubled += u64::from(self.doubled);
        totals.phantom += u64::from(self.phantom);
    }

    fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        let numbers = self.acknowledged.without(&self.arrived);
        numbers.filter_map(|number| u32::try_from(number).ok())
    }

    fn is_parked(&self, number: u32) -> bool {
        self.parked_from.is_some_and(|from| number >= from)
    }
}
