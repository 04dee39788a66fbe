//! An operator in the middle of it all: with the provider's statement in hand, in haste, or mistaken.

use super::sky::Sky;
use crate::payments::{Payments, SettleError};
use crate::store::{Operation, PaymentRow, RECEIPT_TAKEN};
use backend::payment::State;
use jiff::Timestamp;
use lastmile_daraja::Taken;
use model::{Json, Tenant};
use std::collections::BTreeSet;

/// How receipts begin that nobody gave.
pub(super) const MADE_UP: &str = "MADEUP";

/// What he said, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Operator {
    /// Of which payments he said that they were not made; some were, or still will be.
    pub(super) not_paid: BTreeSet<Box<str>>,
    /// Of which payments he said that they were made, under receipts that nobody gave.
    pub(super) made_up: BTreeSet<Box<str>>,
    pub(super) right: usize,
    pub(super) refused: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Paid, under the receipt that the statement has for it.
    Right,
    /// Paid, under the receipt of another payment that is credited.
    OfAnother,
    /// Paid, under a receipt that he made up.
    MadeUp,
    NotPaid,
}

/// What he says of one payment.
#[derive(Debug)]
pub(super) struct Word {
    kind: Kind,
    id: Box<str>,
    receipt: Option<Box<str>>,
    is_kept: bool,
}

impl Word {
    pub(super) async fn say(mut self, payments: &Payments, wall: Timestamp) -> Self {
        let tenant = Tenant::default();
        let line = Operation::audit(
            &tenant,
            wall,
            "operator",
            "payment.settle",
            &self.id,
            Json::empty_object(),
        );
        match payments.settle(&tenant, &self.id, self.receipt.as_deref(), &line).await {
            Ok(row) => {
                assert_ne!(self.kind, Kind::OfAnother, "a receipt credits once: {row:?}");
                self.is_kept = true;
            }
            Err(SettleError::Settled) => {}
            Err(SettleError::Unkept(unkept)) => {
                let word = unkept.conflict();
                assert_eq!((self.kind, word), (Kind::OfAnother, Some(RECEIPT_TAKEN)), "{unkept}");
            }
        }
        self
    }
}

impl Operator {
    pub(super) fn heard(&mut self, word: Word) {
        match (word.kind, word.is_kept) {
            (Kind::Right, true) => self.right += 1,
            (Kind::OfAnother, _) => self.refused += 1,
            (Kind::Right | Kind::NotPaid | Kind::MadeUp, _) => {}
        }
    }

    /// Which payment he speaks of, and what he says. What may be kept though he is cut off is noted at once.
    pub(super) fn choose(
        &mut self,
        rows: &[PaymentRow],
        taken: &[Taken],
        sky: &Sky,
    ) -> Option<Word> {
        let kind =
            [Kind::Right, Kind::Right, Kind::Right, Kind::OfAnother, Kind::MadeUp, Kind::NotPaid];
        let kind = kind[usize::try_from(sky.roll(6)).unwrap()];
        let one = |all: &[&PaymentRow]| {
            (!all.is_empty())
                .then(|| all[usize::try_from(sky.roll(all.len() as u64)).unwrap()].id.clone())
        };
        let open: Vec<_> = rows.iter().filter(|it| it.payment.state != State::Paid).collect();
        let named =
            |it: &&&PaymentRow| it.payment.checkout.as_ref().is_some_and(|it| !it.is_adopted);
        let word = |kind, id, receipt| Some(Word { kind, id, receipt, is_kept: false });
        match kind {
            // The newest first: its callback may be on its way.
            Kind::Right => {
                let (row, taken) =
                    taken.iter().rev().find_map(|it| Some((owner(rows, it)?, it)))?;
                word(kind, row.id.clone(), Some(taken.receipt.as_str().into()))
            }
            Kind::OfAnother => {
                let receipt = rows.iter().filter(|it| it.payment.state == State::Paid);
                let receipt = receipt.filter_map(|it| it.payment.receipt.clone()).next()?;
                word(kind, one(&open)?, Some(receipt))
            }
            Kind::MadeUp => {
                let named: Vec<_> = open.iter().filter(named).copied().collect();
                let id = one(&named)?;
                self.made_up.insert(id.clone());
                let receipt = format!("{MADE_UP}{id}");
                word(kind, id, Some(receipt.into()))
            }
            Kind::NotPaid => {
                let id = one(&open)?;
                self.not_paid.insert(id.clone());
                word(kind, id, None)
            }
        }
    }
}

/// The one payment that money was for which stands in the statement and is not credited; `None` where
/// that is not sure.
fn owner<'a>(rows: &'a [PaymentRow], taken: &Taken) -> Option<&'a PaymentRow> {
    let number = format!("msisdn:+{}", taken.number);
    let mut candidates = Vec::new();
    for row in rows {
        let payment = &row.payment;
        let is_its = payment.checkout.as_ref().is_some_and(|it| *it.id == *taken.checkout);
        let has_receipt = payment.receipt.as_deref() == Some(&*taken.receipt);
        if payment.state == State::Paid && (is_its || has_receipt) {
            return None;
        }
        if is_its {
            return Some(row);
        }
        let is_nameless = payment.checkout.as_ref().is_none_or(|it| it.is_adopted);
        let fits = payment.number.as_str() == number && payment.amount == taken.amount;
        if fits && is_nameless && payment.pushed_at.is_some() && payment.state != State::Paid {
            candidates.push(row);
        }
    }
    let [only] = candidates[..] else { return None };
    // Of one whose push is under way it is not known which prompt it will be told.
    let is_sure = only.payment.is_lost || only.payment.state == State::Unresolved;
    is_sure.then_some(only)
}
