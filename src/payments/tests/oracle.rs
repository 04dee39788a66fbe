//! The money, held against whom it was taken from.

use super::operator::MADE_UP;
use super::till::{CREDIT, NOTICE};
use super::world::World;
use crate::payments::SettleError;
use crate::store::{
    Operation, PaymentRow, PaymentStore as _, Position, Store as _, Strays, TaskState,
    Tasks as Which,
};
use backend::payment::{Payment, State};
use lastmile_daraja::Taken;
use model::{Json, Tenant};
use std::collections::{BTreeMap, BTreeSet};

/// What all stores together have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    seen: BTreeMap<&'static str, usize>,
    cut_off: BTreeMap<&'static str, u32>,
}

/// What stands in a store at the end.
struct Books {
    rows: Vec<PaymentRow>,
    /// How often each was credited, and told.
    credits: BTreeMap<Box<str>, u32>,
    notices: BTreeMap<Box<str>, Vec<String>>,
    /// How often each event tells of each payment.
    events: BTreeMap<(Box<str>, Box<str>), u32>,
    late: usize,
    said: BTreeSet<Box<str>>,
    strays: usize,
    taken: Vec<Taken>,
}

async fn books(world: &World) -> Books {
    let (mut credits, mut notices) = (BTreeMap::new(), BTreeMap::new());
    let tenant = Tenant::default();
    let mut after = None;
    loop {
        let which = Which::Of { tenant: tenant.clone(), state: TaskState::Waiting, after };
        let marks = world.engine.tasks(&which, 1_000).await.unwrap();
        for mark in &marks {
            let body: serde_json::Value = serde_json::from_str(mark.body.as_str()).unwrap();
            let payment: Box<str> = body["payment"].as_str().unwrap().into();
            match &*mark.kind {
                CREDIT => *credits.entry(payment).or_insert(0) += 1,
                NOTICE => notices
                    .entry(payment)
                    .or_insert_with(Vec::new)
                    .push(body["word"].as_str().unwrap().to_owned()),
                kind => panic!("{kind} is still due"),
            }
        }
        let Some(last) = marks.last().filter(|_| marks.len() == 1_000) else { break };
        after = Some(last.id.clone());
    }
    let mut events = BTreeMap::new();
    let mut late = 0;
    let mut at = Position::default();
    loop {
        let some = world.engine.events_after(at, 1_000, 1 << 20).await.unwrap();
        let Some(last) = some.last() else { break };
        at = last.position;
        for event in some.iter().filter(|it| it.kind.starts_with("lastmile.payment.")) {
            let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
            let id: Box<str> = data["id"].as_str().unwrap().into();
            *events.entry((event.kind.clone(), id)).or_insert(0) += 1;
            late += usize::from(data["late"] == true);
        }
    }
    let rows = world.rows().await;
    let which = Strays::Of { tenant, before: None };
    let strays = world.engine.payment_strays(&which, 10_000).await.unwrap();
    let claimed = rows.iter().filter_map(|it| it.payment.claim.as_ref()?.receipt.clone());
    let kept = rows.iter().filter_map(|it| it.payment.receipt.clone());
    let stray = strays.iter().filter_map(|it| it.claim.receipt.clone());
    let said = claimed.chain(kept).chain(stray).collect();
    let taken = world.sky.daraja.lock().taken().to_vec();
    Books { rows, credits, notices, events, late, said, strays: strays.len(), taken }
}

pub(super) async fn judge(world: &World, tally: &mut Tally) {
    let books = books(world).await;
    assert_eq!(world.sky.daraja.lock().seen().faults, 0, "a request of ours was not taken");
    ends(&books);
    let credited = credits(&books);
    let open: Vec<&Taken> =
        books.taken.iter().filter(|it| !credited.contains(it.checkout.as_str())).collect();
    let standing = stands_unresolved(world, &books, &open);
    for taken in &open {
        let is_heard = world.heard.iter().any(|it| **it == *taken.receipt);
        let is_kept = books.said.contains(taken.receipt.as_str());
        assert!(!is_heard || is_kept, "heard, and forgotten: {taken:?}");
    }
    tally.count(world, &books, standing.len());
    let settled = open.iter().zip(&standing).map(|(taken, id)| (id.clone(), (*taken).clone()));
    settle(world, settled.collect()).await;
}

/// Whatever was begun has come to an end, and each was told once at most.
fn ends(books: &Books) {
    let told = |kind: &str, row: &PaymentRow| {
        books.events.get(&(kind.into(), row.id.clone())).copied().unwrap_or_default()
    };
    for row in &books.rows {
        let payment = &row.payment;
        assert!(!payment.state.is_in_flight(), "still open: {row:?}");
        assert_eq!(payment.check, None, "a timer nobody keeps: {row:?}");
        let credits = books.credits.get(&row.id).copied().unwrap_or_default();
        let is_paid = payment.state == State::Paid;
        assert_eq!(
            credits,
            u32::from(is_paid),
            "paid is credited, once, and nothing else: {row:?}"
        );
        assert_eq!(told("lastmile.payment.credited", row), u32::from(is_paid));
        assert_eq!(told("lastmile.payment.requested", row), 1);
        let is_escalated = u32::from(payment.is_escalated);
        assert_eq!(told("lastmile.payment.unresolved", row), is_escalated);
        assert!(payment.state != State::Unresolved || payment.is_escalated, "nobody sees {row:?}");
        let told = books.notices.get(&row.id).map(Vec::as_slice).unwrap_or_default();
        let waits = told.iter().filter(|it| **it == "unconfirmed").count();
        let ends = told.len() - waits;
        assert!(waits <= 1 && ends <= 1, "each once: {row:?} {told:?}");
        assert_eq!(waits + ends > 0, payment.is_told, "{row:?}");
        let is_owed = payment.state == State::Declined && payment.is_word_owed;
        assert!(!is_owed, "he waits for a word: {row:?}");
    }
}

/// The prompts of what is credited. Nothing is credited twice, and nothing that was not taken, but where
/// the operator made it up.
fn credits(books: &Books) -> BTreeSet<&str> {
    let mut credited = BTreeSet::new();
    for row in books.rows.iter().filter(|it| it.payment.state == State::Paid) {
        let Some(taken) = money_of(books, row) else {
            let receipt = row.payment.receipt.as_deref().unwrap_or_default();
            assert!(receipt.starts_with(MADE_UP), "credited and not taken: {row:?}");
            continue;
        };
        assert_eq!(taken.amount, row.payment.amount);
        assert_eq!(format!("msisdn:+{}", taken.number), row.payment.number.as_str());
        assert!(credited.insert(taken.checkout.as_str()), "credited twice: {taken:?}");
    }
    credited
}

/// What was taken for a payment that is credited: by its receipt, else by its prompt.
fn money_of<'a>(books: &'a Books, row: &PaymentRow) -> Option<&'a Taken> {
    let receipt = row.payment.receipt.as_deref();
    let checkout = row.payment.checkout.as_ref().map(|it| &*it.id);
    let by_receipt = books.taken.iter().find(|it| receipt == Some(&*it.receipt));
    by_receipt.or_else(|| books.taken.iter().find(|it| checkout == Some(&*it.checkout)))
}

/// For each shilling that is not credited, the payment that stands before the operator: its prompt, or
/// one of that phone and amount whose prompt nobody knows. One of which he said himself that it was not
/// made stands where he left it.
fn stands_unresolved(world: &World, books: &Books, open: &[&Taken]) -> Vec<Box<str>> {
    let stands = |row: &PaymentRow| match row.payment.state {
        State::Unresolved => true,
        State::Declined => row.payment.code.is_none() && world.operator.not_paid.contains(&row.id),
        State::Draft | State::Requesting | State::Prompted | State::Paid => false,
    };
    let mut standing: Vec<Option<Box<str>>> = vec![None; open.len()];
    for by_name in [true, false] {
        for (index, taken) in open.iter().enumerate() {
            if standing[index].is_some() {
                continue;
            }
            let found = books.rows.iter().find(|row| {
                let payment = &row.payment;
                let named = payment.checkout.as_ref().filter(|it| !it.is_adopted || by_name);
                let fits = match named {
                    Some(checkout) => *checkout.id == *taken.checkout,
                    None => !by_name,
                };
                stands(row)
                    && fits
                    && payment.amount == taken.amount
                    && payment.number.as_str() == format!("msisdn:+{}", taken.number)
                    && !standing.iter().flatten().any(|it| *it == row.id)
            });
            standing[index] = found.map(|it| it.id.clone());
        }
    }
    let all: Option<Vec<_>> = standing.iter().cloned().collect();
    all.unwrap_or_else(|| panic!("taken, and nowhere: {open:?}\n{standing:?}\n{:?}", books.rows))
}

/// With the provider's statement in hand, the operator brings every shilling to its end.
async fn settle(world: &World, open: Vec<(Box<str>, Taken)>) {
    let tenant = Tenant::default();
    let audit = |id: &str| {
        let (now, detail) = (world.sky.wall(), Json::empty_object());
        Operation::audit(&tenant, now, "operator", "payment.settle", id, detail)
    };
    let payments = &world.daemon().payments;
    for (id, taken) in &open {
        let line = audit(id);
        let settled = payments.settle(&tenant, id, Some(&taken.receipt), &line);
        assert_eq!(world.through(settled).await.unwrap().payment.state, State::Paid);
        let again = payments.settle(&tenant, id, None, &line);
        assert!(matches!(world.through(again).await, Err(SettleError::Settled)));
    }
    for row in world.rows().await.iter().filter(|it| it.payment.state == State::Unresolved) {
        let line = audit(&row.id);
        let settled = payments.settle(&tenant, &row.id, None, &line);
        assert_eq!(world.through(settled).await.unwrap().payment.state, State::Declined);
    }
    let books = books(world).await;
    let paid = books.rows.iter().filter(|it| it.payment.state == State::Paid);
    let paid: u32 = paid.map(|it| it.payment.amount).sum();
    let credited = |row: &PaymentRow| row.payment.amount * books.credits.get(&row.id).unwrap_or(&0);
    let credited: u32 = books.rows.iter().map(credited).sum();
    let taken: u32 = books.taken.iter().map(|it| it.amount).sum();
    let is_made_up = |it: &&PaymentRow| it.payment.state == State::Paid;
    let made_up = books.rows.iter().filter(is_made_up).filter(|it| money_of(&books, it).is_none());
    let said: u32 = taken + made_up.map(|it| it.payment.amount).sum::<u32>();
    assert_eq!((paid, credited), (said, said));
}

impl Tally {
    fn count(&mut self, world: &World, books: &Books, standing: usize) {
        let seen = world.sky.daraja.lock().seen();
        let rows = || books.rows.iter().map(|it| &it.payment);
        let in_state = |state| rows().filter(|it| it.state == state).count();
        let is_adopted = |it: &&Payment| {
            it.state == State::Paid && it.checkout.as_ref().is_some_and(|it| it.is_adopted)
        };
        let told = |word: &str| books.notices.values().flatten().filter(|it| *it == word).count();
        let all = [
            ("taken", books.taken.len()),
            ("credited", in_state(State::Paid)),
            ("late", books.late),
            ("declined", in_state(State::Declined)),
            ("unresolved, paid", standing),
            ("unresolved, unpaid", in_state(State::Unresolved) - standing),
            ("strays", books.strays),
            ("adopted", rows().filter(is_adopted).count()),
            ("receipts", rows().filter(|it| it.receipt.is_some()).count()),
            ("unconfirmed", told("unconfirmed")),
            ("refused, one is open", world.refused_open as usize),
            ("refused credits", *world.till.refused.lock() as usize),
            ("stores opened anew", world.reopened as usize),
            ("calendars set", world.jumped as usize),
            ("nights down", world.nights as usize),
            ("settled right", world.operator.right),
            ("receipts of others refused", world.operator.refused),
            ("said to be paid, made up", world.operator.made_up.len()),
            ("said not to be paid", world.operator.not_paid.len()),
            ("lost callbacks", seen.lost as usize),
            ("early callbacks", seen.early as usize),
            ("hidden answers", seen.hidden as usize),
            ("stale tokens", seen.stale_tokens as usize),
        ];
        for (name, times) in all {
            *self.seen.entry(name).or_default() += times;
        }
        for (name, times) in &world.cut_off {
            *self.cut_off.entry(name).or_default() += times;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (name, times) in other.seen {
            *self.seen.entry(name).or_default() += times;
        }
        for (name, times) in other.cut_off {
            *self.cut_off.entry(name).or_default() += times;
        }
    }

    /// Everything that may happen did: what did not was not tried.
    pub(super) fn check(&self) {
        println!("{self:#?}");
        for (name, times) in &self.seen {
            assert!(*times >= 10, "{name}: {times}");
        }
        let waits = [
            "before the push",
            "after the push",
            "after a read",
            "before the commit of a credit",
            "before the commit of a notice",
            "in a call",
            "in a callback",
            "at work",
        ];
        for name in waits {
            let times = self.cut_off.get(name).copied().unwrap_or_default();
            assert!(times >= 1, "no crash {name}");
        }
        assert!(self.seen["credited"] > self.seen["taken"] * 8 / 10, "most needs no operator");
        let his = self.seen["settled right"] + self.seen["said to be paid, made up"];
        assert!(self.seen["credited"] - his > self.seen["taken"] * 7 / 10, "his words aside");
    }
}
