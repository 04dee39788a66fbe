//! What a callback claims, and whom it may be about.

use super::{Payment, State};
use model::DeviceId;
use serde::{Deserialize, Serialize};

/// What somebody says of a prompt. Prints without the number.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Claim {
    /// The prompt's id.
    pub checkout: Box<str>,
    /// 0 where the money is said to be taken, else why not; `None` where only the prompt is known.
    pub code: Option<u32>,
    /// How much, in hundredths of a shilling; `None` where it is not said.
    pub amount_cents: Option<u64>,
    /// Whose phone; `None` where it is not said.
    pub number: Option<DeviceId>,
    /// The number of the receipt.
    pub receipt: Option<Box<str>>,
}

impl Claim {
    /// Of a prompt of which nothing else is known.
    pub(super) fn of_prompt(checkout: Box<str>) -> Self {
        Self { checkout, code: None, amount_cents: None, number: None, receipt: None }
    }

    /// Whether it says that the money was taken.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// Whether nothing it says contradicts the payment.
    pub(super) fn fits(&self, payment: &Payment) -> bool {
        self.amount_cents.is_none_or(|it| it == u64::from(payment.amount) * 100)
            && self.number.as_ref().is_none_or(|it| *it == payment.number)
    }

    /// Whether it says enough to be given to a payment that does not know its prompt: a query tells
    /// neither amount nor number, and without the receipt nobody could say that it is credited already.
    pub(super) fn is_whole(&self) -> bool {
        let is_named = self.number.is_some() && self.receipt.is_some();
        self.is_success() && self.amount_cents.is_some() && is_named
    }
}

impl Payment {
    /// Whether a claim of a prompt that no payment knows may be about this one: its own is not
    /// known, or only by such a claim; amount, number and receipt are said and fit.
    pub fn may_adopt(&self, claim: &Claim) -> bool {
        let is_waiting = match self.state {
            State::Requesting | State::Unresolved => true,
            State::Draft | State::Prompted | State::Paid | State::Declined => false,
        };
        let is_nameless = self.checkout.as_ref().is_none_or(|it| it.is_adopted);
        // Of one that was given up before its push there is no prompt.
        let is_waiting = is_waiting && self.pushed_at.is_some();
        is_waiting && is_nameless && claim.is_whole() && claim.fits(self)
    }
}

/// The one payment that a claim of an unknown prompt is given to. `None` where there is none, or more
/// than one: the claim is kept for the operator, and every candidate stays as it is.
pub fn only_adopter<'a, K>(
    claim: &Claim,
    open: impl IntoIterator<Item = (K, &'a Payment)>,
) -> Option<K> {
    let mut candidates = open.into_iter().filter(|(_, payment)| payment.may_adopt(claim));
    match (candidates.next(), candidates.next()) {
        (Some((key, _)), None) => Some(key),
        (Some(_), Some(_)) | (None, _) => None,
    }
}
