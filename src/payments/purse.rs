//! What a payment is for.

use crate::store::{Operation, PaymentRow, ReadError};
use async_trait::async_trait;
use backend::payment::Notice;
use jiff::Timestamp;
use model::Event;

/// Knows what a payment is for. It changes nothing by itself: it says what is to be kept, and that is
/// kept in the transaction of the payment's own step, or not at all.
#[async_trait]
pub trait Purse: Send + Sync + 'static {
    /// What crediting means, read from the store as it is now. `payment` is as it will be kept, paid.
    /// Where an operation of it is refused as a conflict, the payment is read again and, if it is
    /// still not credited, this is asked again, [`CREDITS_MAX`](super::CREDITS_MAX) times in all.
    ///
    /// # Errors
    ///
    /// Nothing is kept and it is asked again later, for a day.
    async fn credit(&self, payment: &PaymentRow, now: Timestamp) -> Result<Outcome, PurseError>;

    /// The customer is to be told that he did not pay, or that nobody knows yet. `payment` is as it will
    /// be kept.
    ///
    /// # Errors
    ///
    /// As [`Purse::credit`].
    async fn told(
        &self,
        payment: &PaymentRow,
        notice: Notice,
        now: Timestamp,
    ) -> Result<Outcome, PurseError>;
}

/// What is to be kept, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What happened by it.
    pub events: Vec<Event>,
    /// What changes by it.
    pub operations: Vec<Operation>,
}

/// Why a purse cannot say.
#[derive(Debug, thiserror::Error)]
pub enum PurseError {
    /// What it needs cannot be read.
    #[error("what the payment is for cannot be read")]
    Read(#[from] ReadError),
    /// It has nothing that the payment could be for: the money is there, and an operator must look.
    #[error("there is nothing that the payment is for")]
    Nothing,
}
