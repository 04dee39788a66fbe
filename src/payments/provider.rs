//! Who takes the money.

use crate::store::PaymentRow;
use async_trait::async_trait;
use backend::payment::{Pushed, Queried};
use mpesa::TransactionType;

/// Asks a phone for money, and what became of it.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What customers pay to.
    fn channel(&self) -> Channel;

    /// Asks for a prompt. Its intent is on disk: it is never asked for twice.
    async fn push(&self, row: &PaymentRow) -> Pushed;

    /// Asks what became of a prompt.
    async fn query(&self, checkout: &str) -> Queried;
}

/// What customers pay to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    /// A paybill.
    PayBill,
    /// A till.
    Till,
}

impl Channel {
    /// The word in screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PayBill => "paybill",
            Self::Till => "till",
        }
    }
}

impl From<TransactionType> for Channel {
    fn from(it: TransactionType) -> Self {
        match it {
            TransactionType::PayBill => Self::PayBill,
            TransactionType::BuyGoods => Self::Till,
        }
    }
}
