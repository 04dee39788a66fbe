//! What is said of payments by others than the provider's answers: callbacks, and the operator.

use super::Payments;
use super::steps::{Unkept, Without};
use crate::store::{Operation, PaymentOperation, PaymentRow, StrayRow};
use backend::payment::{Claim, Input, Output, State, only_adopter};
use model::Tenant;
use mpesa::Callback;

/// How often it is looked anew whose prompt a callback tells of.
const LOOKS_MAX: usize = 8;
/// Payments of one number and amount that are looked at: two already are too many.
const CANDIDATES_MAX: usize = 16;

/// What became of a callback that was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// The provider will be asked.
    Claimed,
    /// It says what is known.
    Known,
    /// It fits nothing, and is kept for the operator.
    Stray,
}

impl Heard {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Known => "known",
            Self::Stray => "stray",
        }
    }
}

/// What a callback of M-Pesa's says.
pub fn claim_of(callback: Callback) -> Claim {
    Claim {
        checkout: callback.checkout,
        code: Some(callback.code),
        amount_cents: callback.amount_cents,
        number: callback.number.and_then(|it| it.device()),
        receipt: callback.receipt,
    }
}

impl Payments {
    /// Keeps what a callback says, as a claim. Nothing is believed of it: the provider is asked by a
    /// task of its own.
    ///
    /// # Errors
    ///
    /// It is not kept; it should come again.
    pub async fn called_back(&self, claim: &Claim) -> Result<Heard, Unkept> {
        let heard = self.claimed(claim).await;
        self.parts.metrics.called_back(heard.as_ref().map_or("unkept", |it| it.as_str()));
        heard
    }

    /// A callback that is none.
    pub fn misheard(&self, code: &str) {
        self.parts.metrics.called_back(code);
    }

    async fn claimed(&self, claim: &Claim) -> Result<Heard, Unkept> {
        let input = Input::CalledBack(claim.clone());
        let mut without = Without::default();
        let mut looks_left = LOOKS_MAX;
        loop {
            let Some(row) = self.addressee(claim).await? else {
                return self.keep_stray(claim).await;
            };
            looks_left -= 1;
            let taken = match self.attempt(&row, &input, without, None).await {
                Ok(taken) => taken,
                Err(unkept) => match unkept.conflict() {
                    Some(word) if looks_left > 0 => {
                        // Another prompt's owner is found by the next look.
                        without.learn(word, &input);
                        continue;
                    }
                    Some(_) | None => return Err(unkept),
                },
            };
            let is_stray = |it: &Output| matches!(it, Output::Stray(stray) if stray == claim);
            return Ok(match () {
                () if taken.outputs.iter().any(is_stray) => Heard::Stray,
                () if taken.row.payment == row.payment => Heard::Known,
                () => Heard::Claimed,
            });
        }
    }

    /// Whom it is about: whose prompt it names, else who has its receipt, since that money is credited;
    /// else the only one who may have had it.
    async fn addressee(&self, claim: &Claim) -> Result<Option<PaymentRow>, Unkept> {
        if let Some(row) = self.parts.store.payment_of_checkout(&claim.checkout).await? {
            return Ok(Some(row));
        }
        if let Some(receipt) = &claim.receipt
            && let Some(row) = self.parts.store.payment_of_receipt(receipt).await?
        {
            return Ok(Some(row));
        }
        let shillings = claim.amount_cents.filter(|it| it % 100 == 0).map(|it| it / 100);
        let shillings = shillings.and_then(|it| u32::try_from(it).ok());
        let (Some(number), Some(amount)) = (&claim.number, shillings) else { return Ok(None) };
        let rows = self.parts.store.nameless_payments(number, amount, CANDIDATES_MAX).await?;
        let candidates = rows.iter().enumerate().map(|(place, row)| (place, &row.payment));
        let only = only_adopter(claim, candidates);
        Ok(only.and_then(|place| rows.into_iter().nth(place)))
    }

    async fn keep_stray(&self, claim: &Claim) -> Result<Heard, Unkept> {
        let stray = StrayRow {
            id: 0,
            tenant: Tenant::default(),
            payment: None,
            time: self.parts.clock.now().wall,
            claim: claim.clone(),
        };
        let keep = Operation::Payment(PaymentOperation::KeepStray(Box::new(stray)));
        self.parts.pipeline.keep(Vec::new(), vec![keep]).await.map_err(Unkept::Write)?;
        Ok(Heard::Stray)
    }

    /// An operator has looked: it was paid, under that receipt, or it was not. `audit` is kept with it.
    ///
    /// # Errors
    ///
    /// [`SettleError::Settled`] when it is paid already, whatever he says now.
    pub async fn settle(
        &self,
        tenant: &Tenant,
        id: &str,
        paid: Option<&str>,
        audit: &Operation,
    ) -> Result<PaymentRow, SettleError> {
        let settled = Input::Settled { paid: paid.is_some(), receipt: paid.map(Into::into) };
        let before = self.parts.store.payment(tenant, id).await.map_err(Unkept::Read)?;
        let before = before.ok_or(Unkept::Missing)?;
        let taken = self.take(tenant, id, &settled, Some(audit)).await?;
        let is_said = match paid {
            Some(receipt) => taken.row.payment.receipt.as_deref() == Some(receipt),
            None => taken.row.payment.state == State::Declined,
        };
        if before.payment.state == State::Paid || !is_said {
            return Err(SettleError::Settled);
        }
        Ok(taken.row)
    }
}

/// Why an operator's word does not count.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It is paid.
    #[error("the payment is credited: nothing settles it again")]
    Settled,
    /// It is not kept.
    #[error(transparent)]
    Unkept(#[from] Unkept),
}
