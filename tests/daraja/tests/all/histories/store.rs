//! What survives a crash: payments and tasks, changed in whole transactions.

use super::world::Customer;
use backend::payment::{Claim, Notice, Output, Payment, State, Step};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A payment's number in the store.
pub(crate) type Id = usize;

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) payment: Payment,
    pub(crate) customer: Customer,
}

/// What the clock owes a payment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Work {
    Push(u8),
    Check(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) at: Timestamp,
    pub(crate) is_done: bool,
    /// Somebody works on it; forgotten by a crash.
    pub(crate) is_leased: bool,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// The payment was changed since it was read.
    Changed,
    /// Another payment has the prompt.
    Checkout,
    /// Another payment has the receipt.
    Receipt,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) rows: Vec<Row>,
    pub(crate) tasks: BTreeMap<(Id, Work), Task>,
    pub(crate) strays: Vec<Claim>,
    /// Whom what was credited to.
    pub(crate) credits: Vec<Id>,
    pub(crate) late_credits: usize,
    pub(crate) notices: Vec<(Id, Notice)>,
    pub(crate) escalated: Vec<Id>,
}

impl Store {
    /// One payment in flight for a customer, as the store's index has it.
    pub(crate) fn put(&mut self, customer: Customer, step: Step) {
        let id = self.rows.len();
        let is_free = self
            .rows
            .iter()
            .all(|row| row.customer.index != customer.index || !row.payment.state.is_in_flight());
        assert!(is_free, "two payments in flight");
        self.rows.push(Row { payment: step.payment, customer });
        self.apply(id, step.outputs);
    }

    /// All of it, or nothing where the payment is not the one the step was made from.
    pub(crate) fn keep(&mut self, id: Id, read: u64, step: &Step) -> Result<(), Refused> {
        if self.rows[id].payment.version != read {
            return Err(Refused::Changed);
        }
        let others =
            || self.rows.iter().enumerate().filter(|it| it.0 != id).map(|it| &it.1.payment);
        if let Some(checkout) = step.payment.checkout.as_ref()
            && others().filter_map(|it| it.checkout.as_ref()).any(|it| it.id == checkout.id)
        {
            return Err(Refused::Checkout);
        }
        let is_paid = step.payment.state == State::Paid;
        if is_paid
            && let Some(receipt) = &step.payment.receipt
            && others().any(|it| it.receipt.as_ref() == Some(receipt))
        {
            return Err(Refused::Receipt);
        }
        self.rows[id].payment = step.payment.clone();
        self.apply(id, step.outputs.clone());
        Ok(())
    }

    fn apply(&mut self, id: Id, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Push | Output::Query => {}
                Output::PushAt { attempt, at } => self.owe((id, Work::Push(attempt)), at),
                Output::Timer { number, at } => self.owe((id, Work::Check(number)), at),
                Output::Credit { late } => {
                    self.credits.push(id);
                    self.late_credits += usize::from(late);
                }
                Output::Notice(notice) => self.notices.push((id, notice)),
                Output::Unresolved => self.escalated.push(id),
                Output::Stray(claim) => self.strays.push(claim),
            }
        }
    }

    /// A key that is there already is not made again.
    fn owe(&mut self, key: (Id, Work), at: Timestamp) {
        let task = Task { at, is_done: false, is_leased: false };
        assert!(self.tasks.insert(key, task).is_none(), "a task made twice: {key:?}");
    }

    /// Nobody works on anything any more.
    pub(crate) fn forget_leases(&mut self) {
        for task in self.tasks.values_mut() {
            task.is_leased = false;
        }
    }

    pub(crate) fn by_checkout(&self, checkout: &str) -> Option<Id> {
        let has = |row: &Row| row.payment.checkout.as_ref().is_some_and(|it| *it.id == *checkout);
        self.rows.iter().position(has)
    }
}
