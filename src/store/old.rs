//! What is old, and need not be kept any longer.

use super::CommitError;
use async_trait::async_trait;
use jiff::Timestamp;

/// What grows old.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Old {
    /// Payments that are paid or declined and not asked about any more, by when they last changed, with
    /// their steps and with what came to them and did not fit. None that is open, or of which nobody
    /// knows.
    Payments,
    /// What was said of prompts and fits no payment, by when it came.
    PaymentStrays,
    /// Texts that are not to be sent any more, by when they last changed.
    Texts,
    /// Broadcasts that run no more and have no text left, by when they last changed.
    Broadcasts,
    /// What happened to customers of the water service, by until when it is to be kept.
    WaterTransactions,
    /// Wrong PINs and codes, by the last one in a row.
    WaterTries,
    /// Which SIM a number was used with, by when that was last seen.
    WaterNumbers,
    /// What effects of menus were answered, by when.
    Effects,
}

impl Old {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::PaymentStrays => "payment_strays",
            Self::Texts => "texts",
            Self::Broadcasts => "broadcasts",
            Self::WaterTransactions => "water_transactions",
            Self::WaterTries => "water_tries",
            Self::WaterNumbers => "water_numbers",
            Self::Effects => "effects",
        }
    }
}

/// Removes what is old.
#[async_trait]
pub trait OldStore: Send + Sync + 'static {
    /// Removes what is older than that, at most `rows_max`, the oldest first, in one transaction that a
    /// full store takes, too; says how many.
    async fn remove_old(
        &self,
        what: Old,
        older_than: Timestamp,
        rows_max: usize,
    ) -> Result<u64, CommitError>;
}
