//! The money, held against whom it was taken from.

use super::store::Id;
use super::world::World;
use backend::payment::{Notice, State};
use daraja::Taken;
use std::collections::{BTreeMap, BTreeSet};

/// What all histories together have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    taken: usize,
    credited: usize,
    late: usize,
    declined: usize,
    unresolved_paid: usize,
    unresolved_unpaid: usize,
    strays: usize,
    adopted: usize,
    receipts: usize,
    unconfirmed: usize,
    conflicts: u32,
    lost: u32,
    early: u32,
    hidden: u32,
    stale_tokens: u32,
    cut_off: BTreeMap<&'static str, u32>,
}

pub(crate) fn judge(world: &mut World, tally: &mut Tally) {
    assert_eq!(world.unreadable, 0, "a callback of the stand-in's was not read");
    assert_eq!(world.daraja.seen().faults, 0, "a request of ours was not taken");
    ends(world);
    let credited = credits(world);
    let open: Vec<Taken> = world
        .daraja
        .taken()
        .iter()
        .enumerate()
        .filter(|(index, _)| !credited.contains(index))
        .map(|(_, taken)| taken.clone())
        .collect();
    let standing = stands_unresolved(world, &open);
    is_known(world, &open);
    count(world, tally, credited.len(), &standing);
    settle(world, &open, &standing);
}

/// Whatever was begun has come to an end, and each was told once at most.
fn ends(world: &World) {
    for (id, row) in world.store.rows.iter().enumerate() {
        let payment = &row.payment;
        assert!(!payment.state.is_in_flight(), "still open: {payment:?}");
        assert_eq!(payment.check, None, "a timer nobody keeps: {payment:?}");
        let is_escalated = world.store.escalated.contains(&id);
        assert!(payment.state != State::Unresolved || is_escalated, "nobody sees {payment:?}");
        let told = || world.store.notices.iter().filter(|it| it.0 == id);
        let waits = told().filter(|it| it.1 == Notice::Unconfirmed).count();
        assert!(waits <= 1 && told().count() <= waits + 1, "each end once: {payment:?}");
        let is_ended = payment.state == State::Declined;
        assert!(!is_ended || !payment.is_word_owed, "he waits for a word: {payment:?}");
        assert!(world.store.escalated.iter().filter(|it| **it == id).count() <= 1);
    }
}

/// Which of what was taken is credited. Nothing is credited twice, and nothing that was not taken.
fn credits(world: &World) -> BTreeSet<usize> {
    let mut credited = BTreeSet::new();
    for id in &world.store.credits {
        let row = &world.store.rows[*id];
        assert_eq!(row.payment.state, State::Paid);
        let checkout = &row.payment.checkout.as_ref().unwrap().id;
        let taken = world.daraja.taken().iter().position(|it| *it.checkout == **checkout);
        let Some(index) = taken else { panic!("credited and not taken: {:?}", row.payment) };
        let taken = &world.daraja.taken()[index];
        assert_eq!(taken.amount, row.payment.amount);
        assert_eq!(format!("msisdn:+{}", taken.number), row.customer.device.as_str());
        assert!(credited.insert(index), "credited twice: {taken:?}");
    }
    credited
}

/// For each shilling that is not credited, the payment that stands before the operator: its prompt,
/// or one of that phone and amount whose prompt nobody knows.
fn stands_unresolved(world: &World, open: &[Taken]) -> Vec<Id> {
    let mut standing: Vec<Option<Id>> = vec![None; open.len()];
    for by_name in [true, false] {
        for (index, taken) in open.iter().enumerate() {
            if standing[index].is_some() {
                continue;
            }
            let found = world.store.rows.iter().enumerate().position(|(id, row)| {
                let payment = &row.payment;
                let named = payment.checkout.as_ref().filter(|it| !it.is_adopted || by_name);
                let fits = match named {
                    Some(checkout) => *checkout.id == *taken.checkout,
                    None => !by_name,
                };
                payment.state == State::Unresolved
                    && fits
                    && payment.amount == taken.amount
                    && row.customer.device.as_str() == format!("msisdn:+{}", taken.number)
                    && !standing.contains(&Some(id))
            });
            standing[index] = found;
        }
    }
    let all: Option<Vec<_>> = standing.iter().copied().collect();
    all.unwrap_or_else(|| panic!("taken, and nowhere: {open:?}\n{standing:?}\n{:?}", world.store))
}

/// What was said of it and taken with 200 is there for the operator to see.
fn is_known(world: &World, open: &[Taken]) {
    let claims = || {
        let kept = world.store.rows.iter().filter_map(|it| it.payment.claim.as_ref());
        kept.chain(&world.store.strays)
    };
    for taken in open.iter().filter(|it| world.heard.iter().any(|said| **said == *it.receipt)) {
        let is_kept = claims().any(|it| it.receipt.as_deref() == Some(&taken.receipt));
        assert!(is_kept, "heard, and forgotten: {taken:?}");
    }
}

/// With the provider's statement in hand, the operator brings every shilling to its end.
fn settle(world: &mut World, open: &[Taken], standing: &[Id]) {
    for (taken, id) in open.iter().zip(standing) {
        world.settle(*id, Some(&taken.receipt));
    }
    for id in 0..world.store.rows.len() {
        if world.store.rows[id].payment.state == State::Unresolved {
            world.settle(id, None);
        }
    }
    let credited = world.store.credits.iter().map(|id| world.store.rows[*id].payment.amount);
    let credited: u32 = credited.sum();
    let taken: u32 = world.daraja.taken().iter().map(|it| it.amount).sum();
    assert_eq!(credited, taken);
    assert_eq!(world.states(State::Unresolved), 0);
}

fn count(world: &World, tally: &mut Tally, credited: usize, standing: &[Id]) {
    let rows = || world.store.rows.iter().map(|it| &it.payment);
    let seen = world.daraja.seen();
    tally.taken += world.daraja.taken().len();
    tally.credited += credited;
    tally.late += world.store.late_credits;
    tally.declined += world.states(State::Declined);
    tally.unresolved_paid += standing.len();
    tally.unresolved_unpaid += world.states(State::Unresolved) - standing.len();
    tally.strays += world.store.strays.len();
    let is_adopted = |it: &backend::payment::Payment| {
        it.state == State::Paid && it.checkout.as_ref().is_some_and(|it| it.is_adopted)
    };
    tally.adopted += rows().filter(|it| is_adopted(it)).count();
    tally.receipts += rows().filter(|it| it.receipt.is_some()).count();
    let unconfirmed = world.store.notices.iter().filter(|it| it.1 == Notice::Unconfirmed);
    tally.unconfirmed += unconfirmed.count();
    tally.conflicts += world.conflicts;
    tally.lost += seen.lost;
    tally.early += seen.early;
    tally.hidden += seen.hidden;
    tally.stale_tokens += seen.stale_tokens;
    for (name, times) in &world.cut_off {
        *tally.cut_off.entry(name).or_default() += times;
    }
}

impl Tally {
    /// Everything that may happen did.
    pub(crate) fn check(&self, histories: u64) {
        println!("{histories} histories: {self:#?}");
        let often = [
            ("credited", self.credited),
            ("late", self.late),
            ("declined", self.declined),
            ("unresolved, paid", self.unresolved_paid),
            ("unresolved, unpaid", self.unresolved_unpaid),
            ("strays", self.strays),
            ("adopted", self.adopted),
            ("receipts", self.receipts),
            ("unconfirmed", self.unconfirmed),
            ("conflicts", self.conflicts as usize),
            ("lost callbacks", self.lost as usize),
            ("early callbacks", self.early as usize),
            ("hidden answers", self.hidden as usize),
            ("stale tokens", self.stale_tokens as usize),
        ];
        for (name, times) in often {
            assert!(times >= 10, "{name}: {times}");
        }
        let waits = self.cut_off.values().filter(|it| **it >= 10).count();
        assert_eq!(waits, 7, "a crash at every wait: {:?}", self.cut_off);
        assert!(self.credited > self.taken * 8 / 10, "most of it needs no operator");
    }
}
